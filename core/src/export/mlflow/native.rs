//! Attributes for servers that store text as text.
//!
//! Spans hold objects and arrays as JSON text, which servers from 3.11 on read as what it says (from 3.7 on objects
//! alone). For older ones they become the native values that MLflow's own SDK sends.

use serde_json::Value;

use crate::otlp::reader::{key_value, raw_fields, spans};
use crate::otlp::{SCOPE_SPANS_SPANS, span, wire};
use crate::value::{Value as Attribute, encode_native_key_value};

/// A run of spans with native objects and arrays.
pub(super) fn native(run: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(run.len());
    for message in spans(run) {
        wire::message_field(&mut out, SCOPE_SPANS_SPANS, |out| {
            for (field, raw) in raw_fields(message) {
                let attribute = (field.number == span::ATTRIBUTES)
                    .then(|| key_value(field.bytes().unwrap_or_default(), 0));
                match attribute {
                    Some(Ok((key, Value::String(text)))) if is_container(&text) => {
                        encode_native_key_value(
                            out,
                            span::ATTRIBUTES,
                            &key,
                            Attribute::Json(&text),
                        );
                    }
                    _ => out.extend_from_slice(raw),
                }
            }
        });
    }
    out
}

/// Whether text may be an object or an array: what turns out not to be JSON stays text.
fn is_container(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::otlp::reader::SpanData;
    use crate::value::encode_key_value;

    fn run(attributes: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        for name in ["first", "second"] {
            wire::message_field(&mut out, SCOPE_SPANS_SPANS, |out| {
                wire::bytes_field(out, span::NAME, name.as_bytes());
                for (key, text) in attributes {
                    encode_key_value(out, span::ATTRIBUTES, key, Attribute::Str(text));
                }
                wire::varint_field(out, span::FLAGS, 1);
            });
        }
        out
    }

    #[test]
    fn objects_and_arrays_become_what_they_say() {
        let run = run(&[
            ("object", r#"{"a": [1, "é", null]}"#),
            ("array", " [true, 0.5]"),
            ("empty", "{}"),
        ]);
        let converted = native(&run);
        let read: Vec<SpanData> = spans(&converted)
            .map(|message| SpanData::decode(message).unwrap())
            .collect();
        assert_eq!(read.len(), 2);
        for (span, name) in read.iter().zip(["first", "second"]) {
            assert_eq!(span.name, name);
            assert_eq!(
                span.attribute("object"),
                Some(&json!({"a": [1, "é", null]}))
            );
            assert_eq!(span.attribute("array"), Some(&json!([true, 0.5])));
            assert_eq!(span.attribute("empty"), Some(&json!({})));
        }
    }

    #[test]
    fn everything_else_keeps_its_bytes() {
        let run = run(&[
            ("text", "plain"),
            ("number", "5"),
            ("quoted", "\"x\""),
            ("half", "{\"a\":"),
            ("markup", "[not json]"),
        ]);
        assert_eq!(native(&run), run);
    }
}
