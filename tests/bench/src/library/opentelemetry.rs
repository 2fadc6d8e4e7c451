//! `opentelemetry_sdk`. Keys and span names are static and cost it nothing; values are strings made for the
//! span, as it asks for text that is known only when the program runs.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::trace::{Span as _, TraceContextExt, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider, Span, SpanData,
    SpanExporter, SpanProcessor,
};

use super::Library;
use crate::protocol::Counts;
use crate::work::{CHILD, CHILDREN, Mode, NUMBERS, PAYLOADS, ROOT, Work, owned_texts, payload};

thread_local! {
    /// Spans that ended on this thread: a counter that threads share would be part of what is measured.
    static ENDED: Cell<u64> = const { Cell::new(0) };
}

/// Drops what the batch processor's thread hands it.
#[derive(Debug)]
struct DropExporter(Arc<AtomicU64>);

impl SpanExporter for DropExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.fetch_add(batch.len() as u64, Ordering::Relaxed);
        drop(black_box(batch));
        Ok(())
    }
}

/// Drops the span on the thread that ends it.
#[derive(Debug)]
struct DropProcessor;

impl SpanProcessor for DropProcessor {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        drop(black_box(span));
        ENDED.set(ENDED.get() + 1);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

pub(crate) struct OpenTelemetry {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    payload: String,
    delivered: Arc<AtomicU64>,
}

impl OpenTelemetry {
    /// With a batch processor whose queue holds `queue` spans.
    pub(crate) fn batch(queue: usize) -> Self {
        let delivered = Arc::new(AtomicU64::new(0));
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(queue)
            .with_max_export_batch_size(512)
            .build();
        let processor = BatchSpanProcessor::builder(DropExporter(delivered.clone()))
            .with_batch_config(config)
            .build();
        Self::new(processor, delivered)
    }

    pub(crate) fn drop_at_once() -> Self {
        Self::new(DropProcessor, Arc::default())
    }

    fn new(processor: impl SpanProcessor + 'static, delivered: Arc<AtomicU64>) -> Self {
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .build();
        OpenTelemetry {
            tracer: provider.tracer("bench"),
            provider,
            payload: payload(),
            delivered,
        }
    }

    fn roots(&self, spans: usize) -> u64 {
        for _ in 0..spans {
            self.tracer
                .start_with_context(black_box(ROOT), &Context::new())
                .end();
        }
        spans as u64
    }

    fn children(&self, spans: usize, child: impl Fn(&Context) -> Span) -> u64 {
        let roots = spans / CHILDREN;
        for _ in 0..roots {
            let root = self
                .tracer
                .start_with_context(black_box(ROOT), &Context::new());
            let context = Context::new().with_span(root);
            for _ in 0..CHILDREN {
                child(&context).end();
            }
            context.span().end();
        }
        (roots * (CHILDREN + 1)) as u64
    }

    fn built(&self, context: &Context, payload: Option<&str>) -> Span {
        let count = NUMBERS.len() * 2 + payload.map_or(0, |_| PAYLOADS.len());
        let mut attributes = Vec::with_capacity(count);
        attributes.extend(owned_texts().map(|(key, text)| KeyValue::new(key, text)));
        attributes.extend(NUMBERS.map(|(key, number)| KeyValue::new(key, black_box(number))));
        if let Some(text) = payload {
            attributes.extend(PAYLOADS.map(|key| KeyValue::new(key, black_box(text).to_owned())));
        }
        self.tracer
            .span_builder(black_box(CHILD))
            .with_attributes(attributes)
            .start_with_context(&self.tracer, context)
    }

    fn set_one_by_one(&self, context: &Context, payload: Option<&str>) -> Span {
        let mut span = self.tracer.start_with_context(black_box(CHILD), context);
        for (key, text) in owned_texts() {
            span.set_attribute(KeyValue::new(key, text));
        }
        for (key, number) in NUMBERS {
            span.set_attribute(KeyValue::new(key, black_box(number)));
        }
        if let Some(text) = payload {
            for key in PAYLOADS {
                span.set_attribute(KeyValue::new(key, black_box(text).to_owned()));
            }
        }
        span
    }
}

impl Library for OpenTelemetry {
    fn record(&self, work: Work, mode: Mode, spans: usize) -> u64 {
        let payload = (work == Work::W3).then_some(self.payload.as_str());
        let started = match (work, mode) {
            (Work::W1, _) => self.roots(spans),
            (_, Mode::Together) => self.children(spans, |context| self.built(context, payload)),
            (_, Mode::OneByOne) => {
                self.children(spans, |context| self.set_one_by_one(context, payload))
            }
        };
        self.delivered.fetch_add(ENDED.take(), Ordering::Relaxed);
        started
    }

    fn settle(&self) -> Counts {
        let _ = self.provider.force_flush();
        Counts {
            delivered: self.delivered.load(Ordering::Relaxed),
            ..Counts::default()
        }
    }
}
