//! What the information of a trace needs to know of each of its spans, whether it is still here or was sent
//! while the trace was running.

use serde_json::{Map, Value};

use super::{keys, span_json};
use crate::otlp::reader::SpanData;

/// A span in outline.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outline {
    pub(crate) span_id: [u8; 8],
    /// Zero for a root.
    pub(crate) parent: [u8; 8],
    /// Length of its JSON as Python writes it.
    pub(crate) size: u32,
    /// Its `mlflow.chat.tokenUsage`. Boxed: most spans have none.
    pub(crate) usage: Option<Box<Map<String, Value>>>,
}

impl Outline {
    pub(crate) fn of(span: &SpanData) -> Self {
        let size = span_json::dumped_len(&span_json::span(span));
        Outline {
            span_id: id(&span.span_id),
            parent: id(&span.parent_span_id),
            size: u32::try_from(size).unwrap_or(u32::MAX),
            usage: usage(span).map(Box::new),
        }
    }
}

fn id(bytes: &[u8]) -> [u8; 8] {
    bytes.try_into().unwrap_or_default()
}

fn usage(span: &SpanData) -> Option<Map<String, Value>> {
    match span.attribute(keys::CHAT_TOKEN_USAGE)? {
        Value::Object(usage) => Some(usage.clone()),
        Value::String(text) => serde_json::from_str(text).ok(),
        _ => None,
    }
}
