//! OpenTelemetry's finished spans as OTLP `Span` messages.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{Event, Link, SpanKind, Status, TraceState};
use opentelemetry::{Array, KeyValue, SpanId, Value as OtelValue};
use opentelemetry_sdk::trace::SpanData;

use super::{SCOPE_NAME, span_type};
use crate::clock;
use crate::json;
use crate::mlflow::keys;
use crate::otlp::{span as field, wire};
use crate::value::{Value, encode_key_value};

/// Attributes for formats without instrumentation scopes (OpenTelemetry, "Mapping to non-OTLP Formats").
const OTEL_SCOPE_NAME: &str = "otel.scope.name";
const OTEL_SCOPE_VERSION: &str = "otel.scope.version";

/// The `Span` message of a finished span.
pub(crate) fn span(data: &SpanData) -> Vec<u8> {
    let context = &data.span_context;
    let mut out = Vec::with_capacity(256);
    wire::bytes_field(&mut out, field::TRACE_ID, &context.trace_id().to_bytes());
    wire::bytes_field(&mut out, field::SPAN_ID, &context.span_id().to_bytes());
    trace_state(&mut out, field::TRACE_STATE, context.trace_state());
    if data.parent_span_id != SpanId::INVALID {
        let parent = data.parent_span_id.to_bytes();
        wire::bytes_field(&mut out, field::PARENT_SPAN_ID, &parent);
    }
    wire::bytes_field(&mut out, field::NAME, data.name.as_bytes());
    wire::varint_field(&mut out, field::KIND, kind(&data.span_kind));
    let start = nanoseconds(data.start_time);
    wire::fixed64_field(&mut out, field::START, start);
    let end = nanoseconds(data.end_time).max(start);
    wire::fixed64_field(&mut out, field::END, end);
    attributes(&mut out, &data.attributes);
    derived_type(&mut out, &data.attributes);
    scope(&mut out, data);
    count(
        &mut out,
        field::DROPPED_ATTRIBUTES,
        data.dropped_attributes_count,
    );
    data.events.iter().for_each(|found| event(&mut out, found));
    count(&mut out, field::DROPPED_EVENTS, data.events.dropped_count);
    data.links.iter().for_each(|found| link(&mut out, found));
    count(&mut out, field::DROPPED_LINKS, data.links.dropped_count);
    status(&mut out, &data.status);
    out
}

fn kind(kind: &SpanKind) -> u64 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

/// Nanoseconds since the Unix epoch; times before it are 0, those that no server can store the latest that one can.
pub(super) fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos())
        .unwrap_or(u64::MAX)
        .min(clock::LATEST)
}

fn trace_state(out: &mut Vec<u8>, number: u32, state: &TraceState) {
    let header = state.header();
    if !header.is_empty() {
        wire::bytes_field(out, number, header.as_bytes());
    }
}

fn count(out: &mut Vec<u8>, number: u32, dropped: u32) {
    if dropped > 0 {
        wire::varint_field(out, number, u64::from(dropped));
    }
}

/// The attributes that count: the SDK appends, so the last value of a key is the one that was set; the
/// trace's own id in MLflow follows from the ids.
fn set(attributes: &[KeyValue]) -> impl Iterator<Item = &KeyValue> {
    attributes.iter().enumerate().filter_map(|(index, found)| {
        let key = found.key.as_str();
        let replaced = attributes[index + 1..]
            .iter()
            .any(|later| later.key.as_str() == key);
        let counts = !replaced && !key.is_empty() && key != keys::TRACE_REQUEST_ID;
        counts.then_some(found)
    })
}

fn attributes(out: &mut Vec<u8>, attributes: &[KeyValue]) {
    let of_mlflow = is_of_mlflow(attributes);
    for KeyValue { key, value, .. } in set(attributes) {
        let (text, json);
        let value = match value {
            OtelValue::Array(array) => {
                text = array_text(array);
                Value::Json(&text)
            }
            OtelValue::String(encoded) if of_mlflow => {
                json = serde_json::from_str(encoded.as_str());
                decoded(json.as_ref().ok(), encoded.as_str())
            }
            scalar => plain(scalar),
        };
        encode_key_value(out, field::ATTRIBUTES, key.as_str(), value);
    }
}

/// Whether MLflow's own SDK (3.17.2) recorded the span: all its attributes are JSON texts then, the trace's id,
/// which every such span has, among them.
fn is_of_mlflow(attributes: &[KeyValue]) -> bool {
    attributes.iter().any(|found| match &found.value {
        OtelValue::String(text) => {
            found.key.as_str() == keys::TRACE_REQUEST_ID && text.as_str().starts_with('"')
        }
        _ => false,
    })
}

/// The value of a JSON text; the text itself where it is none.
fn decoded<'a>(json: Option<&'a serde_json::Value>, text: &'a str) -> Value<'a> {
    match json {
        None => Value::Str(text),
        Some(serde_json::Value::Null) => Value::Null,
        Some(serde_json::Value::Bool(flag)) => Value::Bool(*flag),
        Some(serde_json::Value::String(inner)) => Value::Str(inner),
        Some(serde_json::Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => Value::Int(int),
            (None, Some(double)) => Value::Double(double),
            _ => Value::Json(text),
        },
        Some(_) => Value::Json(text),
    }
}

/// Attributes of events, links and resources: native arrays, because servers do not decode JSON text there.
pub(crate) fn native_attributes(out: &mut Vec<u8>, number: u32, attributes: &[KeyValue]) {
    for KeyValue { key, value, .. } in set(attributes) {
        match value {
            OtelValue::Array(array) => {
                let items = array_items(array);
                encode_key_value(out, number, key.as_str(), Value::Array(&items));
            }
            scalar => encode_key_value(out, number, key.as_str(), plain(scalar)),
        }
    }
}

fn plain(value: &OtelValue) -> Value<'_> {
    match value {
        OtelValue::Bool(flag) => Value::Bool(*flag),
        OtelValue::I64(int) => Value::Int(*int),
        OtelValue::F64(double) => Value::Double(*double),
        OtelValue::String(text) => Value::Str(text.as_str()),
        // The type may grow.
        _ => Value::Null,
    }
}

fn array_items(array: &Array) -> Vec<Value<'_>> {
    match array {
        Array::Bool(items) => items.iter().copied().map(Value::Bool).collect(),
        Array::I64(items) => items.iter().copied().map(Value::Int).collect(),
        Array::F64(items) => items.iter().copied().map(Value::Double).collect(),
        Array::String(items) => items.iter().map(|text| Value::Str(text.as_str())).collect(),
        _ => Vec::new(),
    }
}

fn array_text(array: &Array) -> String {
    let mut out = String::from("[");
    for (index, item) in array_items(array).iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        match item {
            Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Value::Int(int) => out.push_str(&int.to_string()),
            Value::Double(double) => json::write_f64(&mut out, *double),
            Value::Str(text) => json::write_string(&mut out, text),
            _ => out.push_str("null"),
        }
    }
    out.push(']');
    out
}

fn is_set(attributes: &[KeyValue], key: &str) -> bool {
    attributes.iter().any(|found| found.key.as_str() == key)
}

fn derived_type(out: &mut Vec<u8>, attributes: &[KeyValue]) {
    let derived = span_type::of(attributes).filter(|_| !is_set(attributes, keys::SPAN_TYPE));
    if let Some(name) = derived {
        encode_key_value(out, field::ATTRIBUTES, keys::SPAN_TYPE, Value::Str(name));
    }
}

/// Spans that this library recorded say nothing of it: they come back as they were.
fn scope(out: &mut Vec<u8>, data: &SpanData) {
    let scope = &data.instrumentation_scope;
    if scope.name() == SCOPE_NAME {
        return;
    }
    let name = Some(scope.name()).filter(|name| !name.is_empty());
    for (key, text) in [
        (OTEL_SCOPE_NAME, name),
        (OTEL_SCOPE_VERSION, scope.version()),
    ] {
        if let Some(text) = text.filter(|_| !is_set(&data.attributes, key)) {
            encode_key_value(out, field::ATTRIBUTES, key, Value::Str(text));
        }
    }
}

fn event(out: &mut Vec<u8>, event: &Event) {
    wire::message_field(out, field::EVENTS, |out| {
        wire::fixed64_field(out, 1, nanoseconds(event.timestamp));
        wire::bytes_field(out, 2, event.name.as_bytes());
        native_attributes(out, 3, &event.attributes);
        count(out, 4, event.dropped_attributes_count);
    });
}

fn link(out: &mut Vec<u8>, link: &Link) {
    let context = &link.span_context;
    wire::message_field(out, field::LINKS, |out| {
        wire::bytes_field(out, 1, &context.trace_id().to_bytes());
        wire::bytes_field(out, 2, &context.span_id().to_bytes());
        trace_state(out, 3, context.trace_state());
        native_attributes(out, 4, &link.attributes);
        count(out, 5, link.dropped_attributes_count);
    });
}

/// An unset status is left to the engine, which makes it OK.
fn status(out: &mut Vec<u8>, status: &Status) {
    match status {
        Status::Unset => {}
        Status::Ok => wire::message_field(out, field::STATUS, |out| wire::varint_field(out, 3, 1)),
        Status::Error { description } => wire::message_field(out, field::STATUS, |out| {
            if !description.is_empty() {
                wire::bytes_field(out, 2, description.as_bytes());
            }
            wire::varint_field(out, 3, 2);
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_outside_the_range_are_clamped() {
        assert_eq!(nanoseconds(UNIX_EPOCH - Duration::from_secs(1)), 0);
        assert_eq!(nanoseconds(UNIX_EPOCH + Duration::from_nanos(7)), 7);
        let far = UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert_eq!(nanoseconds(far), clock::LATEST);
    }

    #[test]
    fn keys_are_unique_and_the_last_value_counts() {
        let pair = |key: &'static str, value: i64| KeyValue::new(key, value);
        let mut out = Vec::new();
        attributes(
            &mut out,
            &[pair("a", 1), pair("b", 2), pair("", 3), pair("a", 4)],
        );
        let mut expected = Vec::new();
        encode_key_value(&mut expected, field::ATTRIBUTES, "b", Value::Int(2));
        encode_key_value(&mut expected, field::ATTRIBUTES, "a", Value::Int(4));
        assert_eq!(out, expected);
    }

    #[test]
    fn values_of_mlflows_sdk_are_json_texts() {
        let pair = |key: &'static str, value: &'static str| KeyValue::new(key, value);
        let texts = [
            pair("a", "\"x\""),
            pair("b", "5"),
            pair("c", "1.5"),
            pair("d", "true"),
            pair("e", "null"),
            pair("f", "{\"g\": [1]}"),
            pair("h", "{bad"),
        ];
        let encoded = |values: [Value<'_>; 7]| {
            let mut out = Vec::new();
            for (text, value) in texts.iter().zip(values) {
                encode_key_value(&mut out, field::ATTRIBUTES, text.key.as_str(), value);
            }
            out
        };
        let written = |mark: &'static str| {
            let mut out = Vec::new();
            let mark = pair(keys::TRACE_REQUEST_ID, mark);
            attributes(&mut out, &[&[mark], texts.as_slice()].concat());
            out
        };
        let decoded = encoded([
            Value::Str("x"),
            Value::Int(5),
            Value::Double(1.5),
            Value::Bool(true),
            Value::Null,
            Value::Json("{\"g\": [1]}"),
            Value::Str("{bad"),
        ]);
        assert_eq!(written("\"tr-1\""), decoded);
        let plain = ["\"x\"", "5", "1.5", "true", "null", "{\"g\": [1]}", "{bad"];
        assert_eq!(written("tr-1"), encoded(plain.map(Value::Str)));
    }

    #[test]
    fn arrays_as_json_text() {
        for (array, text) in [
            (Array::Bool(vec![true, false]), "[true, false]"),
            (Array::I64(vec![i64::MIN]), "[-9223372036854775808]"),
            (Array::F64(vec![1.0, f64::NAN]), "[1.0, \"NaN\"]"),
            (Array::String(vec!["a\"b".into()]), "[\"a\\\"b\"]"),
            (Array::I64(vec![]), "[]"),
        ] {
            assert_eq!(array_text(&array), text);
        }
    }
}
