//! Sends our traces to an exporter of OpenTelemetry's SDK, with a sampler, ids and a resource of the host's own.
//! Any `SpanExporter` will do, for instance that of `opentelemetry-otlp`; this one prints.
//!
//! ```sh
//! cargo run -p mlflow-trace-core --example sink
//! ```

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mlflow_trace_core::{Config, Parent, SpanStart, TracerBuilder, Value};
use opentelemetry::{KeyValue, SpanId, TraceId};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{IdGenerator, Sampler, SpanData, SpanExporter};

/// Prints spans.
#[derive(Debug)]
struct Print;

impl SpanExporter for Print {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        for span in batch {
            let context = &span.span_context;
            println!("{}/{} {}", context.trace_id(), context.span_id(), span.name);
            for KeyValue { key, value, .. } in &span.attributes {
                println!("    {key} = {value}");
            }
        }
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        for (key, value) in resource {
            println!("{key} = {value}");
        }
    }
}

/// Counts, so that runs can be compared.
#[derive(Debug, Default)]
struct Counting(AtomicU64);

impl IdGenerator for Counting {
    fn new_trace_id(&self) -> TraceId {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed) + 1).into()
    }

    fn new_span_id(&self) -> SpanId {
        (self.0.fetch_add(1, Ordering::Relaxed) + 1).into()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let resource = Resource::builder_empty()
        .with_service_name("assistant")
        .with_attribute(KeyValue::new("deployment.environment.name", "staging"))
        .build();
    let tracer = TracerBuilder::new(Config::from_env()?)
        .exporter(Print)
        .sampler(Sampler::TraceIdRatioBased(1.0))
        .id_generator(Counting::default())
        .resource(resource)
        .build()?;

    let answer = tracer.start(SpanStart {
        span_type: Some("AGENT"),
        ..SpanStart::new("answer")
    });
    let question = Value::Json(r#"{"question": "What is tracing?"}"#);
    answer.set_inputs(question).map_err(|kind| kind.name())?;
    let chat = tracer.start(SpanStart {
        span_type: Some("CHAT_MODEL"),
        parent: Parent::Span(answer),
        ..SpanStart::new("chat")
    });
    chat.end().map_err(|kind| kind.name())?;
    let reply = Value::Str("Seeing what a program did.");
    answer.set_outputs(reply).map_err(|kind| kind.name())?;
    answer.end().map_err(|kind| kind.name())?;

    match tracer.shutdown(Duration::from_secs(5)) {
        0 => Ok(()),
        spans => Err(format!("{spans} spans were not delivered").into()),
    }
}
