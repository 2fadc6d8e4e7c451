//! A span as MLflow stores it (`traces.json`, MLflow 3.17.2): base64 ids, attribute values as JSON text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{guard, keys};
use crate::json;
use crate::otlp::json::hex;
use crate::otlp::reader::{EventData, LinkData, SpanData};

/// The span as a JSON object; member order is the reference's.
pub(crate) fn span(data: &SpanData) -> Value {
    let parent = (!data.parent_span_id.is_empty()).then(|| STANDARD.encode(&data.parent_span_id));
    let attributes: Map<String, Value> = data
        .attributes
        .iter()
        .map(|(key, value)| (key.clone(), attribute_text(key, value).into()))
        .collect();
    json!({
        "trace_id": STANDARD.encode(&data.trace_id),
        "span_id": STANDARD.encode(&data.span_id),
        "parent_span_id": parent,
        "name": data.name,
        "start_time_unix_nano": data.start,
        "end_time_unix_nano": data.end,
        "events": data.events.iter().map(event).collect::<Value>(),
        "status": {"code": status_name(data.status_code), "message": data.status_message},
        "attributes": attributes,
        "links": data.links.iter().map(link).collect::<Value>(),
    })
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

fn status_name(code: u64) -> &'static str {
    match code {
        1 => "STATUS_CODE_OK",
        2 => "STATUS_CODE_ERROR",
        _ => "STATUS_CODE_UNSET",
    }
}

fn event(data: &EventData) -> Value {
    json!({
        "name": data.name,
        "time_unix_nano": data.time,
        "attributes": object(&data.attributes),
    })
}

/// Link ids are not base64 here, unlike the span's own, and no attributes are `null`.
fn link(data: &LinkData) -> Value {
    let attributes = Some(&data.attributes).filter(|attributes| !attributes.is_empty());
    json!({
        "trace_id": format!("tr-{}", hex(&data.trace_id)),
        "span_id": hex(&data.span_id),
        "attributes": attributes.map(|attributes| object(attributes)),
    })
}

fn object(attributes: &[(String, Value)]) -> Value {
    Value::Object(attributes.iter().cloned().collect())
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
