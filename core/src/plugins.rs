//! What a host's own code contributes to a tracer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::IdGenerator;

use crate::export::sink::Given;
use crate::id::{SpanId, TraceId};
use crate::local::Local;
use crate::processor::SpanProcessor;
use crate::sampler::Sampler;

/// Fixed when the tracer is made; the same in a fork's child.
pub(crate) struct Plugins {
    pub(crate) processors: Vec<Box<dyn SpanProcessor>>,
    pub(crate) sampler: Sampler,
    pub(crate) ids: Option<Box<dyn IdGenerator>>,
    /// Ours and the host's, merged.
    pub(crate) resource: Resource,
    /// Where traces go, instead of where the configuration says.
    pub(crate) exporter: Option<Given>,
}

/// What the host's code answers; nothing if it panics, which must not unwind into whoever records.
pub(crate) fn ask<T>(host: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(host)).ok()
}

impl Plugins {
    /// The id of a new trace: a random one where a generator gives all zeros or panics.
    #[inline]
    pub(crate) fn trace_id(&self, local: &mut Local) -> TraceId {
        self.ids
            .as_ref()
            .and_then(|ids| ask(|| ids.new_trace_id()))
            .map(|id| TraceId::from_bytes(id.to_bytes()))
            .filter(TraceId::is_valid)
            .unwrap_or_else(|| TraceId::random(&mut local.rng))
    }

    /// The id of a new span: a random one where a generator gives all zeros or panics.
    #[inline]
    pub(crate) fn span_id(&self, local: &mut Local) -> SpanId {
        self.ids
            .as_ref()
            .and_then(|ids| ask(|| ids.new_span_id()))
            .map(|id| SpanId::from_bytes(id.to_bytes()))
            .filter(SpanId::is_valid)
            .unwrap_or_else(|| SpanId::random(&mut local.rng))
    }
}
