//! What one span may hold. Nothing is cut silently: cut text says so, and what is left out is counted in
//! OTLP's `dropped_*_count` fields.

use std::borrow::Cow;

use crate::config::Config;
use crate::otlp::wire;
use crate::value::{self, Value, encode_native_key_value};

/// The limits of every span of a tracer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of one text: a value, a name, a message.
    pub(crate) value_bytes: u32,
    /// Attributes of a span. MLflow's own (`mlflow.*`) are always kept.
    pub(crate) attributes: u32,
    pub(crate) events: u32,
    pub(crate) links: u32,
}

/// Bytes of a whole span; an MLflow server is sent no request of more than 60 MiB.
pub(crate) const SPAN_BYTES: u32 = 48 << 20;

impl Default for Limits {
    fn default() -> Self {
        Config::new().limits()
    }
}

/// The text, or as much of it as `limit` bytes hold, with a note of how long it was.
#[inline]
pub(crate) fn clip(text: &str, limit: u32) -> Cow<'_, str> {
    match text.len() <= limit as usize {
        true => Cow::Borrowed(text),
        false => Cow::Owned(clipped(text, limit)),
    }
}

#[cold]
fn clipped(text: &str, limit: u32) -> String {
    let mut end = limit as usize;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}... [truncated, {} bytes]", &text[..end], text.len())
}

/// How much longer than its limit a text may be when it is cut, by the note.
const NOTE: usize = 64;

/// Bytes that a span has left.
#[inline]
pub(crate) fn room(span: &[u8]) -> u32 {
    SPAN_BYTES.saturating_sub(span.len() as u32)
}

/// Whether there is a place for an attribute in `room` bytes when its texts are cut to `limit`.
#[inline]
pub(crate) fn fits(key: &str, value: Value<'_>, limit: u32, room: u32) -> bool {
    let fits = key.len() <= limit.min(room) as usize;
    match value {
        Value::Array(items) => fits && weight(items, limit) <= room as usize,
        _ => fits,
    }
}

/// Bytes that a list takes at most.
fn weight(items: &[Value<'_>], limit: u32) -> usize {
    // Tags and lengths, and anything that is no text.
    const ITEM: usize = 24;
    let weights = items.iter().map(|item| match item {
        Value::Str(text) | Value::Json(text) => ITEM + text.len().min(limit as usize + NOTE),
        Value::Array(items) => ITEM + weight(items, limit),
        _ => ITEM,
    });
    weights.sum()
}

/// Appends a `KeyValue` by `encode`, its texts cut to `limit` bytes.
#[inline]
pub(crate) fn encode_key_value(
    out: &mut Vec<u8>,
    number: u32,
    key: &str,
    value: Value<'_>,
    limit: u32,
    encode: impl FnOnce(&mut Vec<u8>, u32, &str, Value<'_>),
) {
    match value {
        // What is left of JSON is no JSON any more.
        Value::Str(text) | Value::Json(text) if text.len() > limit as usize => {
            encode(out, number, key, Value::Str(&clipped(text, limit)));
        }
        Value::Array(items) => encode_list(out, number, key, items, limit),
        other => encode(out, number, key, other),
    }
}

fn encode_list(out: &mut Vec<u8>, number: u32, key: &str, items: &[Value<'_>], limit: u32) {
    wire::message_field(out, number, |out| {
        wire::bytes_field(out, 1, key.as_bytes());
        wire::message_field(out, 2, |out| encode(out, Value::Array(items), limit));
    });
}

/// As [`value::encode`], its texts cut to `limit` bytes.
fn encode(out: &mut Vec<u8>, value: Value<'_>, limit: u32) {
    match value {
        Value::Str(text) | Value::Json(text) if text.len() > limit as usize => {
            value::encode(out, Value::Str(&clipped(text, limit)));
        }
        Value::Array(items) => {
            value::encode_array(out, items, |out, item| encode(out, item, limit));
        }
        other => value::encode(out, other),
    }
}

/// Appends the attributes of an event or a link that have a place, natively, and the number of the others.
pub(crate) fn encode_attributes(
    out: &mut Vec<u8>,
    number: u32,
    attributes: &[(&str, Value<'_>)],
    limit: u32,
) {
    let mut dropped = 0;
    for (key, value) in attributes.iter().filter(|(key, _)| !key.is_empty()) {
        let room = room(out);
        let limit = limit.min(room);
        match fits(key, *value, limit, room) {
            true => encode_key_value(out, number, key, *value, limit, encode_native_key_value),
            false => dropped += 1,
        }
    }
    if dropped > 0 {
        // `dropped_attributes_count` follows `attributes` in both messages.
        wire::varint_field(out, number + 1, dropped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_code_points() {
        assert_eq!(clip("héé", 5), "héé");
        assert_eq!(clip("héé", 4), "hé... [truncated, 5 bytes]");
        assert_eq!(clip("héé", 0), "... [truncated, 5 bytes]");
    }

    #[test]
    fn the_weight_of_a_list_is_never_too_low() {
        let long = "x".repeat(200);
        let inner = [Value::Str(&long), Value::Json(&long), Value::Null];
        let items = [
            Value::Int(i64::MIN),
            Value::Double(f64::MIN),
            Value::Array(&inner),
        ];
        for limit in [0, 64, 1000] {
            let mut out = Vec::new();
            encode(&mut out, Value::Array(&items), limit);
            assert!(out.len() <= weight(&items, limit), "{limit}");
            let fits = |room| fits("", Value::Array(&items), limit, room);
            assert!(fits(1000) && !fits(100));
        }
    }
}
