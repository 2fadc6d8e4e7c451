//! What a host's own code contributes to a tracer.

use opentelemetry_sdk::trace::IdGenerator;

use crate::id::{SpanId, TraceId};
use crate::local::Local;
use crate::processor::SpanProcessor;
use crate::sampler::Sampler;

/// Fixed when the tracer is made; the same in a fork's child.
pub(crate) struct Plugins {
    pub(crate) processors: Vec<Box<dyn SpanProcessor>>,
    pub(crate) sampler: Sampler,
    pub(crate) ids: Option<Box<dyn IdGenerator>>,
}

impl Plugins {
    /// The id of a new trace. An all-zero one from a generator is replaced.
    #[inline]
    pub(crate) fn trace_id(&self, local: &mut Local) -> TraceId {
        self.ids
            .as_ref()
            .map(|ids| TraceId::from_bytes(ids.new_trace_id().to_bytes()))
            .filter(TraceId::is_valid)
            .unwrap_or_else(|| TraceId::random(&mut local.rng))
    }

    /// The id of a new span. An all-zero one from a generator is replaced.
    #[inline]
    pub(crate) fn span_id(&self, local: &mut Local) -> SpanId {
        self.ids
            .as_ref()
            .map(|ids| SpanId::from_bytes(ids.new_span_id().to_bytes()))
            .filter(SpanId::is_valid)
            .unwrap_or_else(|| SpanId::random(&mut local.rng))
    }
}
