//! What one span may hold. Nothing is cut silently: cut text says so, and what is left out is counted in
//! OTLP's `dropped_*_count` fields.

use std::borrow::Cow;

use crate::config::Config;
use crate::value::Value;

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

/// Calls `encode` with the value, cut to `limit` bytes of text.
#[inline]
pub(crate) fn with_clipped<R>(
    value: Value<'_>,
    limit: u32,
    encode: impl FnOnce(Value<'_>) -> R,
) -> R {
    match value {
        // What is left of JSON is no JSON any more.
        Value::Str(text) | Value::Json(text) if text.len() > limit as usize => {
            encode(Value::Str(&clipped(text, limit)))
        }
        other => encode(other),
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
}
