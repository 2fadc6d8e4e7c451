//! Records and exports in a process of its own, whose memory and CPU are those of one exporter.

use std::hint::black_box;
use std::time::{Duration, Instant};

use mlflow_trace_core::{Config, Parent, Span, SpanStart, Tracer, Value};
use opentelemetry::trace::{Span as _, TraceContextExt, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider,
};

use super::Queue;
use super::server::{process_cpu_ns, thread_cpu_ns};
use super::subject::{SPANS, Subject};
use crate::work::{CHILD, NUMBERS, PAYLOADS, ROOT, TEXTS, Work, owned_texts, payload};

/// Long enough to deliver everything.
const PATIENCE: Duration = Duration::from_secs(300);
/// Bytes that may be pending in our engine before the program waits, as one does that must lose nothing: half of what
/// `queue.max_bytes` is usually.
const PENDING_BYTES: usize = 32 << 20;

/// `export-worker SUBJECT WORK TRACES URL QUEUE`: prints one line of JSON.
pub(crate) fn main(arguments: &[String]) -> Result<(), String> {
    let [subject, work, traces, url, queue] = arguments else {
        return Err("export-worker SUBJECT WORK TRACES URL QUEUE".into());
    };
    let subject = Subject::parse(subject).ok_or("no such subject")?;
    let work = Work::parse(work).ok_or("no such work")?;
    let traces = traces.parse().map_err(|_| "no number of traces")?;
    let before = (process_cpu_ns("self")?, thread_cpu_ns()?);
    let start = Instant::now();
    let dropped = match subject {
        Subject::OpenTelemetry => opentelemetry(work, traces, url)?,
        _ => {
            let ample = queue == Queue::Ample.key();
            ours(subject, work, traces, url, ample)?
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    let (process, thread) = (process_cpu_ns("self")?, thread_cpu_ns()?);
    let figures = serde_json::json!({
        "seconds": seconds,
        "process_ns": process - before.0,
        "producer_ns": thread - before.1,
        "peak_kib": peak()?,
        "dropped": dropped,
    });
    println!("{figures}");
    Ok(())
}

/// The most resident memory so far, in KiB.
fn peak() -> Result<u64, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
    number.ok_or("no VmHWM".into())
}

fn ours(
    subject: Subject,
    work: Work,
    traces: usize,
    url: &str,
    ample: bool,
) -> Result<u64, String> {
    let mut config = Config::new();
    let destination = match subject {
        Subject::Otlp => [("otlp.endpoint", url), ("exporter", "otlp")],
        _ => [("tracking_uri", url), ("exporter", "mlflow")],
    };
    for (key, value) in destination.iter().chain(subject.options()) {
        config.set(key, value).map_err(|error| error.to_string())?;
    }
    if ample {
        let set = config.set("queue.max_bytes", "1099511627776");
        set.map_err(|error| error.to_string())?;
    }
    let tracer = Tracer::new(config).map_err(|error| error.to_string())?;
    let payload = payload();
    let payload = (work == Work::W3).then_some(payload.as_str());
    let pending = match work {
        Work::W3 => PENDING_BYTES / 3_000,
        _ => PENDING_BYTES / 600,
    };
    for trace in 0..traces {
        let root = span(&tracer, ROOT, Parent::None, payload);
        for _ in 1..SPANS {
            let _ = span(&tracer, CHILD, Parent::Span(root), payload).end();
        }
        let _ = root.end();
        if trace % 64 == 0 {
            while tracer.stats().pending > pending as u64 {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    }
    let left = tracer.flush(PATIENCE);
    match left {
        0 => Ok(tracer.stats().dropped_total()),
        left => Err(format!("{left} spans were not delivered")),
    }
}

fn span(tracer: &Tracer, name: &str, parent: Parent, payload: Option<&str>) -> Span {
    let [a, b, c, d, e] = TEXTS.map(|(key, text)| (key, Value::Str(black_box(text))));
    let [f, g, h, i, j] = NUMBERS.map(|(key, number)| (key, Value::Int(black_box(number))));
    let span = tracer.start(SpanStart {
        parent,
        attributes: &[a, b, c, d, e, f, g, h, i, j],
        ..SpanStart::new(black_box(name))
    });
    if let Some(text) = payload {
        let _ = span.set_inputs(Value::Json(black_box(text)));
        let _ = span.set_outputs(Value::Json(black_box(text)));
    }
    span
}

fn opentelemetry(work: Work, traces: usize, url: &str) -> Result<u64, String> {
    // Its client shares reqwest with our engine, whose features ask for a provider, with and without TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("{url}/v1/traces"))
        .with_headers([("x-mlflow-experiment-id".to_owned(), "0".to_owned())].into())
        .build()
        .map_err(|error| error.to_string())?;
    let config = BatchConfigBuilder::default()
        // Everything fits, so that nothing is dropped.
        .with_max_queue_size((traces * SPANS).max(1_000_000))
        .with_max_export_batch_size(512)
        .build();
    let processor = BatchSpanProcessor::builder(exporter)
        .with_batch_config(config)
        .build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor)
        .build();
    let tracer = provider.tracer("bench");
    let payload = payload();
    let payload = (work == Work::W3).then_some(payload.as_str());
    for _ in 0..traces {
        let root = built(&tracer, ROOT, &Context::new(), payload);
        let context = Context::new().with_span(root);
        for _ in 1..SPANS {
            built(&tracer, CHILD, &context, payload).end();
        }
        context.span().end();
    }
    // Delivers what is queued; the sink's count shows whether it did.
    provider
        .shutdown_with_timeout(PATIENCE)
        .map_err(|error| error.to_string())?;
    Ok(0)
}

fn built(
    tracer: &SdkTracer,
    name: &'static str,
    parent: &Context,
    payload: Option<&str>,
) -> opentelemetry_sdk::trace::Span {
    let count = 2 * NUMBERS.len() + payload.map_or(0, |_| PAYLOADS.len());
    let mut attributes = Vec::with_capacity(count);
    attributes.extend(owned_texts().map(|(key, text)| KeyValue::new(key, text)));
    attributes.extend(NUMBERS.map(|(key, number)| KeyValue::new(key, black_box(number))));
    if let Some(text) = payload {
        attributes.extend(PAYLOADS.map(|key| KeyValue::new(key, black_box(text).to_owned())));
    }
    tracer
        .span_builder(black_box(name))
        .with_attributes(attributes)
        .start_with_context(tracer, parent)
}
