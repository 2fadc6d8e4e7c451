//! Sends what OpenTelemetry's tracers record to MLflow. Without `MLFLOW_TRACKING_URI` it is written to
//! `./mlflow-traces`.
//!
//! ```sh
//! MLFLOW_TRACKING_URI=http://127.0.0.1:5000 cargo run -p mlflow-trace-core --example opentelemetry
//! ```

use std::error::Error;
use std::time::Duration;

use mlflow_trace_core::otel::MlflowSpanExporter;
use mlflow_trace_core::{Config, Tracer};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Span, TraceContextExt, Tracer as _, TracerProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;

fn main() -> Result<(), Box<dyn Error>> {
    let engine = Tracer::new(Config::from_env()?)?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(MlflowSpanExporter::new(engine.clone()))
        .build();
    let tracer = provider.tracer("assistant");

    tracer.in_span("answer", |context| {
        let answer = context.span();
        answer.set_attribute(KeyValue::new("mlflow.spanType", "AGENT"));
        let question = r#"{"question": "What is tracing?"}"#;
        answer.set_attribute(KeyValue::new("mlflow.spanInputs", question));

        let mut chat = tracer.start("chat");
        chat.set_attribute(KeyValue::new("gen_ai.operation.name", "chat"));
        chat.set_attribute(KeyValue::new("gen_ai.usage.input_tokens", 12));
        chat.set_attribute(KeyValue::new("gen_ai.usage.output_tokens", 7));
        chat.end();

        let reply = "Seeing what a program did.";
        answer.set_attribute(KeyValue::new("mlflow.spanOutputs", reply));
    });

    provider.shutdown()?;
    match engine.shutdown(Duration::from_secs(5)) {
        0 => Ok(()),
        spans => Err(format!("{spans} spans were not delivered").into()),
    }
}
