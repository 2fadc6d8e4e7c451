//! Spans in OTLP's protobuf, with native values, as every server that stores spans reads them.

use serde_json::{Map, Value};

use super::span::{Link, Span, SpanEvent};
use crate::id::{SpanId, TraceId};
use crate::json;
use crate::otlp::{SCOPE_SPANS_SPANS, span as field, wire};
use crate::value::{Value as Attribute, encode_native_key_value};

/// Appends a span as a field of `ScopeSpans`.
pub(super) fn encode(out: &mut Vec<u8>, span: &Span) {
    let [trace_id, span_id, parent] = span.raw_ids();
    wire::message_field(out, SCOPE_SPANS_SPANS, |out| {
        wire::bytes_field(out, field::TRACE_ID, trace_id);
        wire::bytes_field(out, field::SPAN_ID, span_id);
        if !parent.is_empty() {
            wire::bytes_field(out, field::PARENT_SPAN_ID, parent);
        }
        wire::bytes_field(out, field::NAME, span.name.as_bytes());
        wire::fixed64_field(out, field::START, span.start_time_ns);
        if let Some(end) = span.end_time_ns {
            wire::fixed64_field(out, field::END, end);
        }
        for (key, value) in &span.attributes {
            match value.as_str() {
                Some(text) => put(out, field::ATTRIBUTES, key, text),
                None => put(out, field::ATTRIBUTES, key, &json::to_text(value)),
            }
        }
        for event in &span.events {
            wire::message_field(out, field::EVENTS, |out| encode_event(out, event));
        }
        for link in &span.links {
            encode_link(out, link);
        }
        wire::message_field(out, field::STATUS, |out| {
            if !span.status.message.is_empty() {
                wire::bytes_field(out, 2, span.status.message.as_bytes());
            }
            wire::varint_field(out, 3, span.status.code as u64);
        });
    });
}

fn encode_event(out: &mut Vec<u8>, event: &SpanEvent) {
    wire::fixed64_field(out, 1, event.timestamp);
    wire::bytes_field(out, 2, event.name.as_bytes());
    put_all(out, 3, &event.attributes);
}

/// One whose ids are no OpenTelemetry's has no form here.
fn encode_link(out: &mut Vec<u8>, link: &Link) {
    let digits = link.trace_id.rsplit('/').next().unwrap_or_default();
    let trace_id = TraceId::from_hex(digits.trim_start_matches("tr-"));
    if let (Some(trace_id), Some(span_id)) = (trace_id, SpanId::from_hex(&link.span_id)) {
        wire::message_field(out, field::LINKS, |out| {
            wire::bytes_field(out, 1, trace_id.bytes());
            wire::bytes_field(out, 2, span_id.bytes());
            if let Some(attributes) = &link.attributes {
                put_all(out, 4, attributes);
            }
        });
    }
}

fn put_all(out: &mut Vec<u8>, number: u32, attributes: &Map<String, Value>) {
    for (key, value) in attributes {
        put(out, number, key, &json::to_text(value));
    }
}

/// Text that is no JSON is itself the value.
fn put(out: &mut Vec<u8>, number: u32, key: &str, text: &str) {
    encode_native_key_value(out, number, key, Attribute::Json(text));
}
