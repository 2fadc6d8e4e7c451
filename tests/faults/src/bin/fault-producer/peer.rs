//! What the callers of another library feel on this machine at this moment: `opentelemetry_sdk`, whose spans are dropped.

use std::hint::black_box;

use mlflow_trace_faults::seal;
use opentelemetry::trace::{Span as _, TraceContextExt, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, SdkTracer, SdkTracerProvider, SpanData, SpanExporter,
};

use crate::stopwatch::Stopwatch;

/// Drops what the batch processor's thread hands it.
#[derive(Debug)]
struct DropExporter;

impl SpanExporter for DropExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        drop(black_box(batch));
        Ok(())
    }
}

pub(crate) struct Peer {
    tracer: SdkTracer,
    /// Ends its thread when it goes.
    _provider: SdkTracerProvider,
}

impl Peer {
    pub(crate) fn new() -> Self {
        let processor = BatchSpanProcessor::builder(DropExporter).build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .build();
        Peer {
            tracer: provider.tracer("peer"),
            _provider: provider,
        }
    }

    /// A trace of so many spans with a text of so many bytes each; answers what the calls of each took, in nanoseconds.
    pub(crate) fn record_trace(&self, spans: u64, bytes: usize) -> Vec<u64> {
        let mut took = Vec::new();
        let text = |number| KeyValue::new(seal::TEXT, seal::text(number, bytes));
        let watch = Stopwatch::start();
        let root = self.tracer.start_with_context("root", &Context::new());
        let root_began = watch.stop();
        let root = Context::new().with_span(root);
        for number in 1..spans {
            let watch = Stopwatch::start();
            let mut child = self.tracer.start_with_context("child", &root);
            let began = watch.stop();
            let text = text(number);
            let watch = Stopwatch::start();
            child.set_attribute(text);
            child.end();
            took.push(began + watch.stop());
        }
        let text = text(0);
        let watch = Stopwatch::start();
        root.span().set_attribute(text);
        root.span().end();
        took.push(root_began + watch.stop());
        took
    }
}
