//! Spans of OpenTelemetry's SDK that the tracer knows from their start on.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::trace::Span as _;
use opentelemetry::{Context, trace};
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};

use super::ended::{Ended, announce};
use super::{FLUSH_TIMEOUT, encode, settle};
use crate::tracer::Tracer;

/// Records the spans of an OpenTelemetry provider in the traces of a [`Tracer`], from their start to their end.
///
/// A trace may hold spans of both kinds, each below the other: it is complete when its root has ended and no
/// span of either kind is open, and has its information from all of them. Unlike the
/// [exporter](super::MlflowSpanExporter) it keeps nothing waiting, and [`Tracer::stats`] counts every span.
///
/// A span whose parent nobody announced belongs to a trace that is rooted in another process.
#[derive(Clone)]
pub struct MlflowSpanProcessor {
    tracer: Tracer,
}

impl MlflowSpanProcessor {
    /// A processor for this tracer, whose configuration says where the spans go.
    pub fn new(tracer: Tracer) -> Self {
        MlflowSpanProcessor { tracer }
    }

    /// Notes that a span has started; its parent is [`trace::SpanId::INVALID`] for a root. False if it is not recorded,
    /// because the tracer is shut down for instance.
    pub fn start(
        &self,
        context: &trace::SpanContext,
        parent: trace::SpanId,
        start: SystemTime,
    ) -> bool {
        let mut frames = Vec::with_capacity(64);
        let parts: [&[u8]; 4] = [
            &context.trace_id().to_bytes(),
            &context.span_id().to_bytes(),
            &parent.to_bytes(),
            &encode::nanoseconds(start).to_le_bytes(),
        ];
        announce(&mut frames, parts);
        self.tracer.drain(&frames) == 0
    }

    /// Takes a span that has ended, without its content if that is to be withheld. False for one that is not
    /// open, because it started unnoticed or its trace was closed without it.
    pub fn end(&self, data: &SpanData, withhold: bool) -> bool {
        let mut frames = Vec::new();
        Ended::new(data).end(withhold, &mut frames);
        self.tracer.drain(&frames) == 0
    }
}

impl SpanProcessor for MlflowSpanProcessor {
    fn on_start(&self, span: &mut Span, _context: &Context) {
        let sampled = span.span_context().is_sampled();
        if let Some(data) = span.exported_data().filter(|_| sampled) {
            self.start(&data.span_context, data.parent_span_id, data.start_time);
        }
    }

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.end(&span, false);
        }
    }

    /// Delivers the spans that ended, waiting at most five seconds; fails as
    /// [`MlflowSpanExporter`](super::MlflowSpanExporter) does.
    fn force_flush(&self) -> OTelSdkResult {
        let started = Instant::now();
        settle(self.tracer.flush(FLUSH_TIMEOUT), started, FLUSH_TIMEOUT)
    }

    /// Delivers what ended and shuts the tracer down, for all who use it; fails as
    /// [`MlflowSpanExporter`](super::MlflowSpanExporter) does.
    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        if self.tracer.is_stopped() {
            return Err(OTelSdkError::AlreadyShutdown);
        }
        let started = Instant::now();
        settle(self.tracer.shutdown(timeout), started, timeout)
    }
}

impl fmt::Debug for MlflowSpanProcessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MlflowSpanProcessor")
            .field("stopped", &self.tracer.is_stopped())
            .finish_non_exhaustive()
    }
}
