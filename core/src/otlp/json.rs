//! OTLP/JSON (OTLP 1.x, "JSON Protobuf Encoding"): camelCase names, hex ids, 64-bit numbers as strings.

use serde_json::{Value, json};

use super::reader::{EventData, LinkData, SpanData};

/// A span as an OTLP/JSON object.
pub(crate) fn span(data: &SpanData) -> Value {
    let mut out = json!({
        "traceId": hex(&data.trace_id),
        "spanId": hex(&data.span_id),
        "name": data.name,
        "kind": data.kind,
        "startTimeUnixNano": data.start.to_string(),
        "endTimeUnixNano": data.end.to_string(),
        "attributes": attributes(&data.attributes),
        "status": {"code": data.status_code, "message": data.status_message},
    });
    if !data.parent_span_id.is_empty() {
        out["parentSpanId"] = hex(&data.parent_span_id).into();
    }
    if !data.trace_state.is_empty() {
        out["traceState"] = data.trace_state.as_str().into();
    }
    if !data.events.is_empty() {
        out["events"] = data.events.iter().map(event).collect();
    }
    if !data.links.is_empty() {
        out["links"] = data.links.iter().map(link).collect();
    }
    out
}

/// Attributes as a list of `{"key", "value"}`.
pub(crate) fn attributes(attributes: &[(String, Value)]) -> Value {
    attributes
        .iter()
        .map(|(key, value)| json!({"key": key, "value": any(value)}))
        .collect()
}

/// A JSON value as an `AnyValue` object.
pub(crate) fn any(value: &Value) -> Value {
    match value {
        Value::Null => json!({}),
        Value::Bool(flag) => json!({"boolValue": flag}),
        Value::Number(number) => match number.as_i64() {
            Some(int) => json!({"intValue": int.to_string()}),
            None => json!({"doubleValue": number}),
        },
        Value::String(text) => json!({"stringValue": text}),
        Value::Array(items) => {
            json!({"arrayValue": {"values": items.iter().map(any).collect::<Value>()}})
        }
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(key, item)| json!({"key": key, "value": any(item)}));
            json!({"kvlistValue": {"values": members.collect::<Value>()}})
        }
    }
}

fn event(data: &EventData) -> Value {
    json!({
        "timeUnixNano": data.time.to_string(),
        "name": data.name,
        "attributes": attributes(&data.attributes),
    })
}

fn link(data: &LinkData) -> Value {
    json!({
        "traceId": hex(&data.trace_id),
        "spanId": hex(&data.span_id),
        "attributes": attributes(&data.attributes),
    })
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
