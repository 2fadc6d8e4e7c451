//! A finished span as frames for the tracer; [`crate::ingest`] has their format.

use opentelemetry_sdk::trace::SpanData;

use super::encode;
use crate::id::TraceId;
use crate::ingest::{LOST, SPAN, START, WITHHOLD};

/// An encoded span.
pub(super) struct Ended {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    /// Zero for a root.
    parent: [u8; 8],
    start_time: [u8; 8],
    message: Vec<u8>,
}

impl Ended {
    pub(super) fn new(data: &SpanData) -> Self {
        Ended {
            trace_id: data.span_context.trace_id().to_bytes(),
            span_id: data.span_context.span_id().to_bytes(),
            parent: data.parent_span_id.to_bytes(),
            start_time: encode::nanoseconds(data.start_time).to_le_bytes(),
            message: encode::span(data),
        }
    }

    pub(super) fn trace_id(&self) -> TraceId {
        TraceId::from_bytes(self.trace_id)
    }

    pub(super) fn is_root(&self) -> bool {
        self.parent == [0; 8]
    }

    /// Bytes that it holds.
    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + self.message.len()
    }

    /// Says that the span exists.
    pub(super) fn announce(&self, frames: &mut Vec<u8>) {
        announce(
            frames,
            [
                &self.trace_id,
                &self.span_id,
                &self.parent,
                &self.start_time,
            ],
        );
    }

    /// Ends it, without its content if that is to be withheld. One that no frame can hold is lost, and counted
    /// as such.
    pub(super) fn end(&self, withhold: bool, frames: &mut Vec<u8>) {
        let flags = if withhold { WITHHOLD } else { 0 };
        match u32::try_from(self.message.len()) {
            Ok(length) => frame(frames, SPAN, flags, length, &self.message),
            Err(_) => {
                let ids = [self.trace_id.as_slice(), &self.span_id].concat();
                frame(frames, LOST, 0, ids.len() as u32, &ids);
            }
        }
    }
}

/// The frame of a span that starts: the ids of its trace, its own and its parent's (zero for a root), and
/// the time, little-endian.
pub(super) fn announce(frames: &mut Vec<u8>, parts: [&[u8]; 4]) {
    let payload = parts.concat();
    frame(frames, START, 0, payload.len() as u32, &payload);
}

fn frame(frames: &mut Vec<u8>, kind: u8, flags: u8, length: u32, payload: &[u8]) {
    frames.extend_from_slice(&[kind, flags, 0, 0]);
    frames.extend_from_slice(&length.to_le_bytes());
    frames.extend_from_slice(payload);
}
