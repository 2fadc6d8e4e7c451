//! A span as MLflow stores it (`traces.json`, MLflow 3.17.2), and the texts that its attributes are stored as.

use serde_json::Value;

use super::entity::Span;
use super::{guard, keys};
use crate::json;
use crate::otlp::reader::SpanData;

/// The span as a JSON object.
pub(crate) fn span(data: &SpanData) -> Value {
    Span::from(data).to_json()
}

/// The JSON text of an attribute as it is on the wire. A string that holds an object or array is
/// JSON text already, which is also how a server reads it.
pub(crate) fn attribute_text(key: &str, value: &Value) -> String {
    match value {
        Value::String(text) if key != keys::SPAN_TYPE && json::is_container(text) => {
            json::respace(text)
        }
        Value::String(text) if guard::is_quoted(text) => text.clone(),
        _ => json::to_text(value),
    }
}

/// Length in bytes of the span's JSON as Python's `json.dumps` writes it (ASCII only).
pub(crate) fn dumped_len(value: &Value) -> u64 {
    match value {
        Value::String(text) => json::ascii_string_len(text),
        Value::Array(items) => {
            2 + separators(items.len()) + items.iter().map(dumped_len).sum::<u64>()
        }
        Value::Object(members) => {
            let body = members
                .iter()
                .map(|(key, item)| json::ascii_string_len(key) + 2 + dumped_len(item));
            2 + separators(members.len()) + body.sum::<u64>()
        }
        scalar => json::to_text(scalar).len() as u64,
    }
}

fn separators(items: usize) -> u64 {
    2 * (items as u64).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn attributes_are_json_text() {
        for (value, text) in [
            (json!("plain"), "\"plain\""),
            (json!("{\"a\":1}"), "{\"a\": 1}"),
            (json!("{bad"), "\"{bad\""),
            (json!(3), "3"),
            (json!(1.0), "1.0"),
            (json!(null), "null"),
        ] {
            assert_eq!(attribute_text("k", &value), text);
        }
        let guarded = format!("\"{}\"", "[".repeat(2000));
        assert_eq!(attribute_text("k", &json!(guarded)), guarded);
    }

    #[test]
    fn dumped_length() {
        let value = json!({"a": [1, 2.5, "é"], "b": {}, "c": null});
        assert_eq!(
            dumped_len(&value),
            r#"{"a": [1, 2.5, "\u00e9"], "b": {}, "c": null}"#.len() as u64
        );
    }
}
