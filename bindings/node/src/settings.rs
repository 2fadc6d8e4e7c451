//! What JavaScript has to know of the configuration, and how it names traces.

use mlflow_trace_core::{Decision, TraceId};
use napi_derive::napi;

/// What a thread has to know of the configuration, read once for each.
#[napi(object, object_from_js = false)]
pub struct Settings {
    /// Grows with every change.
    pub number: u32,
    /// Nothing is recorded.
    pub disabled: bool,
    /// Every trace that starts here is recorded.
    pub takes_all: bool,
    /// Traces that are not sampled may be recorded for their errors.
    pub keeps_errors: bool,
    /// Spans are to be seen by processors, which are functions of one thread.
    pub has_processors: bool,
    /// No content may be sent.
    pub withholds_content: bool,
    /// Events of one span.
    pub max_events: u32,
    /// Each span is to be handed over before its `end` returns.
    pub writes_through: bool,
}

/// A trace id from the four words that JavaScript keeps it in, the highest first.
pub(crate) fn trace_id(words: [i32; 4]) -> TraceId {
    let mut bytes = [0; 16];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    TraceId::from_bytes(bytes)
}

/// How JavaScript reads a decision.
pub(crate) fn to_number(decision: Decision) -> u32 {
    match decision {
        Decision::Drop => 0,
        Decision::KeepErrors => 1,
        Decision::Sample => 2,
    }
}
