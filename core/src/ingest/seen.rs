//! What the engine has to know of an encoded span, and what MLflow's rules add to it.

use super::limits::Counts;
use super::{take_span_id, take_trace_id};
use crate::clock;
use crate::id::{SpanId, TraceId};
use crate::mlflow::{keys, span_type};
use crate::otlp::reader::{Fields, Malformed};
use crate::otlp::{span as field, wire};
use crate::value::{Value, any_value, encode_key_value};

/// What a shallow look at a `Span` message finds of the fields that MLflow's rules depend on.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) trace_id: Option<TraceId>,
    pub(super) span_id: Option<SpanId>,
    pub(super) counts: Counts,
    span_type: Option<String>,
    level: Option<i64>,
    exception: bool,
    /// Start or end, with times that no server can store.
    late: Vec<u32>,
    pub(super) error: bool,
    ok: bool,
}

impl Seen {
    pub(super) fn scan(message: &[u8]) -> Result<Self, Malformed> {
        let mut seen = Seen::default();
        for found in Fields::new(message) {
            let found = found?;
            let bytes = found.bytes().unwrap_or_default();
            match found.number {
                field::TRACE_ID => seen.trace_id = take_trace_id(bytes).map(|(id, _)| id),
                field::SPAN_ID => seen.span_id = take_span_id(bytes).map(|(id, _)| id),
                field::START | field::END if found.integer() > Some(clock::LATEST) => {
                    seen.late.push(found.number);
                }
                field::ATTRIBUTES => {
                    seen.counts.attributes += 1;
                    seen.attribute(bytes)?;
                }
                field::EVENTS => {
                    seen.counts.events += 1;
                    seen.exception |= is_exception(bytes)?;
                }
                field::LINKS => seen.counts.links += 1,
                field::STATUS => {
                    for part in Fields::new(bytes) {
                        let part = part?;
                        if part.number == 3 {
                            seen.ok = part.integer() == Some(1);
                            seen.error = part.integer() == Some(2);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(seen)
    }

    fn attribute(&mut self, key_value: &[u8]) -> Result<(), Malformed> {
        let mut key: &[u8] = &[];
        for part in Fields::new(key_value) {
            let part = part?;
            let bytes = part.bytes().unwrap_or_default();
            if part.number == 1 {
                key = bytes;
            } else if part.number == 2 && key == keys::SPAN_TYPE.as_bytes() {
                for value in Fields::new(bytes) {
                    let value = value?;
                    if value.number == any_value::STRING {
                        let text = value.bytes().unwrap_or_default();
                        self.span_type = Some(String::from_utf8_lossy(text).into_owned());
                    }
                }
            } else if part.number == 2 && key == keys::SPAN_LOG_LEVEL.as_bytes() {
                for value in Fields::new(bytes) {
                    let value = value?;
                    if value.number == any_value::INT {
                        self.level = value.integer().map(|level| level as i64);
                    }
                }
            }
        }
        Ok(())
    }

    /// Appends what the host left to the engine. Repeated fields and later values of singular ones
    /// may be appended to a protobuf message without touching the rest.
    pub(super) fn complete(&self, span: &mut Vec<u8>) {
        let mut put =
            |key: &str, value: Value<'_>| encode_key_value(span, field::ATTRIBUTES, key, value);
        let span_type = self.span_type.as_deref().unwrap_or(span_type::UNKNOWN);
        if self.span_type.is_none() {
            put(keys::SPAN_TYPE, Value::Str(span_type));
        }
        let level = self
            .level
            .unwrap_or_else(|| span_type::default_level(span_type).into());
        let raised = if self.exception {
            level.max(span_type::ERROR.into())
        } else {
            level
        };
        if self.level != Some(raised) {
            put(keys::SPAN_LOG_LEVEL, Value::Int(raised));
        }
        for number in &self.late {
            wire::fixed64_field(span, *number, clock::LATEST);
        }
        if !self.error && !self.ok {
            wire::message_field(span, field::STATUS, |out| wire::varint_field(out, 3, 1));
        }
    }
}

fn is_exception(event: &[u8]) -> Result<bool, Malformed> {
    for part in Fields::new(event) {
        let part = part?;
        if part.number == 2 {
            return Ok(part.bytes() == Some(keys::EVENT_EXCEPTION.as_bytes()));
        }
    }
    Ok(false)
}
