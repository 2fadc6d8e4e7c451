//! Finished traces as OpenTelemetry's finished spans: the way back of [`super::encode`].

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Array, InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use serde_json::Value as Json;

use super::SCOPE_NAME;
use crate::finished::Finished;
use crate::json;
use crate::otlp::reader::{self, Field, Fields};
use crate::otlp::span as field;

/// The spans of a trace.
///
/// Where a parent lives is not on the wire: one that is not among the spans of its trace is taken for a span of
/// another process, unless spans of the trace went before these.
pub(crate) fn spans(trace: &Finished) -> Vec<SpanData> {
    let scope = InstrumentationScope::builder(SCOPE_NAME)
        .with_version(crate::VERSION)
        .build();
    let messages = reader::spans(&trace.spans);
    let mut spans: Vec<SpanData> = messages.map(|message| span(message, &scope)).collect();
    if trace.earlier == 0 {
        let here: HashSet<SpanId> = spans
            .iter()
            .map(|span| span.span_context.span_id())
            .collect();
        for span in &mut spans {
            let parent = span.parent_span_id;
            span.parent_span_is_remote = parent != SpanId::INVALID && !here.contains(&parent);
        }
    }
    spans
}

/// The fields of a message that can be read.
fn fields(message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    Fields::new(message).map_while(Result::ok)
}

/// One span.
pub(super) fn span(message: &[u8], scope: &InstrumentationScope) -> SpanData {
    let mut context = Context::default();
    let mut events = SpanEvents::default();
    let mut links = SpanLinks::default();
    let mut data = SpanData {
        span_context: SpanContext::NONE,
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: "".into(),
        start_time: UNIX_EPOCH,
        end_time: UNIX_EPOCH,
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: scope.clone(),
    };
    for part in fields(message) {
        let bytes = part.bytes().unwrap_or_default();
        match part.number {
            field::TRACE_ID => context.trace_id = trace_id(bytes),
            field::SPAN_ID => context.span_id = span_id(bytes),
            field::TRACE_STATE => context.state = trace_state(bytes),
            field::PARENT_SPAN_ID => data.parent_span_id = span_id(bytes),
            field::NAME => data.name = text(bytes).into(),
            field::KIND => data.span_kind = kind(part.integer()),
            field::START => data.start_time = time(part),
            field::END => data.end_time = time(part),
            field::ATTRIBUTES => attribute(&mut data.attributes, bytes),
            field::DROPPED_ATTRIBUTES => data.dropped_attributes_count = count(part),
            field::EVENTS => events.events.push(event(bytes)),
            field::DROPPED_EVENTS => events.dropped_count = count(part),
            field::LINKS => links.links.push(link(bytes)),
            field::DROPPED_LINKS => links.dropped_count = count(part),
            field::STATUS => data.status = status(bytes),
            field::FLAGS => data.parent_span_is_remote = is_remote(part),
            _ => {}
        }
    }
    data.span_context = context.finish();
    data.events = events;
    data.links = links;
    data
}

/// Whether the flags say that they know where the parent lives, and that it is elsewhere (`SpanFlags` of OTLP 1.1).
fn is_remote(flags: Field<'_>) -> bool {
    const KNOWN_AND_REMOTE: u64 = 0x300;
    flags.integer().unwrap_or(0) & KNOWN_AND_REMOTE == KNOWN_AND_REMOTE
}

/// A `SpanContext` while it is read.
struct Context {
    trace_id: TraceId,
    span_id: SpanId,
    state: TraceState,
}

impl Default for Context {
    fn default() -> Self {
        Context {
            trace_id: TraceId::INVALID,
            span_id: SpanId::INVALID,
            state: TraceState::NONE,
        }
    }
}

impl Context {
    /// What is exported is sampled.
    fn finish(self) -> SpanContext {
        let flags = TraceFlags::SAMPLED;
        SpanContext::new(self.trace_id, self.span_id, flags, false, self.state)
    }
}

fn trace_id(bytes: &[u8]) -> TraceId {
    bytes
        .try_into()
        .map_or(TraceId::INVALID, TraceId::from_bytes)
}

fn span_id(bytes: &[u8]) -> SpanId {
    bytes.try_into().map_or(SpanId::INVALID, SpanId::from_bytes)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// One that OpenTelemetry does not accept is left out.
fn trace_state(bytes: &[u8]) -> TraceState {
    text(bytes).parse().unwrap_or_default()
}

fn kind(number: Option<u64>) -> SpanKind {
    match number {
        Some(2) => SpanKind::Server,
        Some(3) => SpanKind::Client,
        Some(4) => SpanKind::Producer,
        Some(5) => SpanKind::Consumer,
        _ => SpanKind::Internal,
    }
}

fn time(field: Field<'_>) -> SystemTime {
    let since = Duration::from_nanos(field.integer().unwrap_or(0));
    UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
}

fn count(field: Field<'_>) -> u32 {
    let count = field.integer().unwrap_or(0);
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn event(message: &[u8]) -> Event {
    let mut event = Event::new("", UNIX_EPOCH, Vec::new(), 0);
    for part in fields(message) {
        let bytes = part.bytes().unwrap_or_default();
        match part.number {
            1 => event.timestamp = time(part),
            2 => event.name = text(bytes).into(),
            3 => attribute(&mut event.attributes, bytes),
            4 => event.dropped_attributes_count = count(part),
            _ => {}
        }
    }
    event
}

fn link(message: &[u8]) -> Link {
    let mut context = Context::default();
    let mut attributes = Vec::new();
    let mut dropped = 0;
    for part in fields(message) {
        let bytes = part.bytes().unwrap_or_default();
        match part.number {
            1 => context.trace_id = trace_id(bytes),
            2 => context.span_id = span_id(bytes),
            3 => context.state = trace_state(bytes),
            4 => attribute(&mut attributes, bytes),
            5 => dropped = count(part),
            _ => {}
        }
    }
    Link::new(context.finish(), attributes, dropped)
}

fn status(message: &[u8]) -> Status {
    let (mut code, mut description) = (0, String::new());
    for part in fields(message) {
        match part.number {
            2 => description = text(part.bytes().unwrap_or_default()),
            3 => code = part.integer().unwrap_or(0),
            _ => {}
        }
    }
    match code {
        1 => Status::Ok,
        2 => Status::error(description),
        _ => Status::Unset,
    }
}

/// Adds an attribute; of one key the last value counts, in the first one's place. OpenTelemetry has no null: an
/// attribute without a value is left out.
fn attribute(attributes: &mut Vec<KeyValue>, message: &[u8]) {
    let Ok((key, value)) = reader::key_value(message, 0) else {
        return;
    };
    let known = attributes
        .iter()
        .position(|known| known.key.as_str() == key);
    match (known, self::value(value)) {
        (Some(at), Some(value)) => attributes[at].value = value,
        (Some(at), None) => {
            attributes.remove(at);
        }
        (None, Some(value)) => attributes.push(KeyValue::new(key, value)),
        (None, None) => {}
    }
}

/// Scalars and arrays of one kind natively, everything else as JSON text.
fn value(value: Json) -> Option<Value> {
    match value {
        Json::Null => None,
        Json::Bool(flag) => Some(flag.into()),
        Json::Number(number) => match number.as_i64() {
            Some(int) => Some(int.into()),
            None => number.as_f64().map(Value::from),
        },
        Json::String(text) => Some(text.into()),
        Json::Array(ref items) => Some(match array(items) {
            Some(array) => Value::Array(array),
            None => json::to_text(&value).into(),
        }),
        Json::Object(_) => Some(json::to_text(&value).into()),
    }
}

fn array(items: &[Json]) -> Option<Array> {
    fn all<'a, T>(items: &'a [Json], of: impl Fn(&'a Json) -> Option<T>) -> Option<Vec<T>> {
        items.iter().map(of).collect()
    }
    let text = |item: &Json| item.as_str().map(|text| StringValue::from(text.to_owned()));
    let double = |item: &Json| item.as_f64().filter(|_| item.is_f64());
    // An empty array is of every kind.
    all(items, text)
        .map(Array::String)
        .or_else(|| all(items, Json::as_bool).map(Array::Bool))
        .or_else(|| all(items, Json::as_i64).map(Array::I64))
        .or_else(|| all(items, double).map(Array::F64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otel::encode;
    use crate::value::{Value as Attribute, encode_key_value, encode_native_key_value};
    use serde_json::json;

    fn scope() -> InstrumentationScope {
        InstrumentationScope::builder(SCOPE_NAME)
            .with_version(crate::VERSION)
            .build()
    }

    #[test]
    fn what_is_encoded_is_read_back() {
        let state = TraceState::from_key_value([("vendor", "value")]).unwrap();
        let context = |id: u64| {
            let (trace, flags) = (TraceId::from(7u128), TraceFlags::SAMPLED);
            SpanContext::new(trace, id.into(), flags, false, state.clone())
        };
        let time = |nanos| UNIX_EPOCH + Duration::from_nanos(nanos);
        let pair = || vec![KeyValue::new("key", Value::Array(vec![1i64, 2].into()))];
        let mut events = SpanEvents::default();
        events.events = vec![Event::new("event", time(3), pair(), 4)];
        events.dropped_count = 5;
        let mut links = SpanLinks::default();
        links.links = vec![Link::new(context(8), pair(), 6)];
        links.dropped_count = 7;
        for (span_kind, status) in [
            (SpanKind::Internal, Status::Unset),
            (SpanKind::Server, Status::Ok),
            (SpanKind::Client, Status::error("why")),
            (SpanKind::Producer, Status::error("")),
            (SpanKind::Consumer, Status::Ok),
        ] {
            let data = SpanData {
                span_context: context(9),
                parent_span_id: 8.into(),
                parent_span_is_remote: false,
                span_kind,
                name: "name".into(),
                start_time: time(1),
                end_time: time(2),
                attributes: vec![
                    KeyValue::new("bool", true),
                    KeyValue::new("int", i64::MIN),
                    KeyValue::new("double", 1.0),
                    KeyValue::new("text", "é"),
                ],
                dropped_attributes_count: 8,
                events: events.clone(),
                links: links.clone(),
                status,
                instrumentation_scope: scope(),
            };
            assert_eq!(span(&encode::span(&data), &scope()), data);
        }
    }

    #[test]
    fn values_that_opentelemetry_has_no_type_for() {
        for (given, expected) in [
            (json!(null), None),
            (json!([]), Some(Value::Array(Array::String(vec![])))),
            (json!([1.0, 2.5]), Some(Value::Array(vec![1.0, 2.5].into()))),
            (json!([true]), Some(Value::Array(vec![true].into()))),
            (json!([1, 2.5]), Some("[1, 2.5]".into())),
            (json!(["a", null]), Some("[\"a\", null]".into())),
            (json!({"a": [1]}), Some("{\"a\": [1]}".into())),
        ] {
            assert_eq!(value(given), expected);
        }
    }

    #[test]
    fn the_last_value_counts_and_null_is_none() {
        let mut message = Vec::new();
        for (key, value) in [
            ("a", Attribute::Int(1)),
            ("b", Attribute::Int(2)),
            ("a", Attribute::Json("{\"x\": 1}")),
            ("b", Attribute::Null),
            ("c", Attribute::Null),
        ] {
            encode_key_value(&mut message, field::ATTRIBUTES, key, value);
        }
        let attributes = span(&message, &scope()).attributes;
        assert_eq!(attributes, [KeyValue::new("a", "{\"x\": 1}")]);
    }

    #[test]
    fn objects_of_events_become_text() {
        let mut message = Vec::new();
        encode_native_key_value(&mut message, 3, "key", Attribute::Json("{\"a\":1}"));
        assert_eq!(
            event(&message).attributes,
            [KeyValue::new("key", "{\"a\": 1}")]
        );
    }

    #[test]
    fn damaged_messages_are_read_as_far_as_they_go() {
        let mut message = Vec::new();
        encode_key_value(&mut message, field::ATTRIBUTES, "key", Attribute::Int(1));
        let whole = message.len();
        message.extend_from_slice(&[0x4a, 0x7f, 0x01]);
        for end in 0..message.len() {
            let attributes = span(&message[..end], &scope()).attributes;
            assert_eq!(attributes.len(), usize::from(end >= whole), "{end}");
        }
    }
}
