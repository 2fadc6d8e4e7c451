//! What identifies a span to its children, in this process or another.

use std::sync::Arc;

use crate::id::{SpanId, TraceId};

/// The part of a span that travels: ids, W3C flags and trace state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanContext {
    /// The trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
    /// W3C trace flags; bit 0 is "sampled".
    pub flags: u8,
    /// The W3C `tracestate` header, unchanged.
    pub trace_state: Option<Arc<str>>,
    /// Whether it came from another process.
    pub remote: bool,
}

impl SpanContext {
    /// Whether both ids name something: W3C Trace Context gives no meaning to one that is all zero.
    pub fn is_valid(&self) -> bool {
        self.trace_id.is_valid() && self.span_id.is_valid()
    }
}
