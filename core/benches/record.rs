//! What recording costs the caller, beside OpenTelemetry's SDK doing the same work in the same run.
//!
//! W1: start and end a root with a name. W2: child of an active root (10 to a root), name, 5 texts and 5
//! integers. W3: W2 with 1 KB of JSON as input and as output. Both sides drop what they recorded.
//! Rounds of both alternate; figures are medians in nanoseconds a span.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use mlflow_trace_core::{Config, Parent, SpanStart, Tracer, Value};
use opentelemetry::trace::{Span as _, TraceContextExt, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, SpanData, SpanProcessor};

const CHILDREN: usize = 10;
const TEXTS: [(&str, &str); 5] = [
    ("gen_ai.system", "openai-like"),
    ("gen_ai.request.model", "model-large-2026"),
    ("http.route", "/v1/chat/completions"),
    ("server.address", "inference-7.local"),
    ("app.tenant", "tenant-0042"),
];
const NUMBERS: [(&str, i64); 5] = [
    ("gen_ai.usage.input_tokens", 1234),
    ("gen_ai.usage.output_tokens", 567),
    ("http.status_code", 200),
    ("app.retries", 0),
    ("app.queue_us", 8_123_456),
];

fn payload() -> String {
    let content = "All work and no play makes a dull trace. ".repeat(24);
    format!(r#"{{"messages": [{{"role": "user", "content": "{content}"}}]}}"#)
}

fn ours_root(tracer: &Tracer, spans: usize) {
    for _ in 0..spans {
        let _ = tracer.start(SpanStart::new(black_box("root"))).end();
    }
}

fn ours_children(tracer: &Tracer, spans: usize, payload: Option<&str>) {
    for _ in 0..spans / CHILDREN {
        let root = tracer.start(SpanStart::new("root"));
        for _ in 0..CHILDREN {
            let span = tracer.start(SpanStart {
                parent: Parent::Span(root),
                ..SpanStart::new(black_box("child span"))
            });
            for (key, text) in TEXTS {
                let _ = span.set_attribute(key, Value::Str(black_box(text)));
            }
            for (key, number) in NUMBERS {
                let _ = span.set_attribute(key, Value::Int(black_box(number)));
            }
            if let Some(payload) = payload {
                let _ = span.set_inputs(Value::Json(black_box(payload)));
                let _ = span.set_outputs(Value::Json(black_box(payload)));
            }
            let _ = span.end();
        }
        let _ = root.end();
    }
}

#[derive(Debug)]
struct Discard;

impl SpanProcessor for Discard {
    fn on_start(&self, _span: &mut opentelemetry_sdk::trace::Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        black_box(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

fn otel_root(tracer: &SdkTracer, spans: usize) {
    for _ in 0..spans {
        tracer
            .start_with_context(black_box("root"), &Context::new())
            .end();
    }
}

fn otel_children(tracer: &SdkTracer, spans: usize, payload: Option<&str>) {
    for _ in 0..spans / CHILDREN {
        let root = tracer.start_with_context("root", &Context::new());
        let context = Context::new().with_span(root);
        for _ in 0..CHILDREN {
            let texts = TEXTS.map(|(key, text)| KeyValue::new(key, black_box(text)));
            let numbers = NUMBERS.map(|(key, number)| KeyValue::new(key, black_box(number)));
            let values = payload.map(|text| {
                ["mlflow.spanInputs", "mlflow.spanOutputs"]
                    .map(|key| KeyValue::new(key, text.to_owned()))
            });
            let attributes = texts
                .into_iter()
                .chain(numbers)
                .chain(values.into_iter().flatten());
            let mut span = tracer
                .span_builder(black_box("child span"))
                .with_attributes(attributes)
                .start_with_context(tracer, &context);
            span.end();
        }
        context.span().end();
    }
}

fn nanos_per_span(spans: usize, run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_nanos() as f64 / spans as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let spans = 20_000;
    let rounds = 25;
    let mut config = Config::new();
    for (key, value) in [("exporter", "none"), ("queue.max_bytes", "1073741824")] {
        config.set(key, value).unwrap();
    }
    let ours = Tracer::new(config).unwrap();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(Discard)
        .build();
    let otel = provider.tracer("bench");
    let payload = payload();

    let mut figures: [Vec<f64>; 6] = Default::default();
    for _ in 0..rounds {
        let mut take = |at: usize, run: &dyn Fn()| figures[at].push(nanos_per_span(spans, run));
        take(0, &|| ours_root(&ours, spans));
        take(1, &|| otel_root(&otel, spans));
        take(2, &|| ours_children(&ours, spans, None));
        take(3, &|| otel_children(&otel, spans, None));
        take(4, &|| ours_children(&ours, spans, Some(&payload)));
        take(5, &|| otel_children(&otel, spans, Some(&payload)));
        ours.flush(Duration::from_secs(60));
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{rounds} rounds of {spans} spans, medians in ns a span; load {}",
        load.trim()
    );
    println!("| work | mlflow-trace | opentelemetry_sdk, by builder | ratio |\n|---|---|---|---|");
    let mut medians = figures.map(median).into_iter();
    for work in ["W1", "W2", "W3"] {
        if let (Some(ours), Some(peer)) = (medians.next(), medians.next()) {
            println!("| {work} | {ours:.0} | {peer:.0} | {:.1}x |", peer / ours);
        }
    }
    let stats = ours.stats();
    assert_eq!(stats.created, stats.delivered, "{stats:?}");
}
