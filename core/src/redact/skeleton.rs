//! A span without its content: what is left when content is not captured or could not be redacted.

use super::FAILED;
use super::message::{
    Edit, KeyValue, Malformed, copy, rewrite, sole_field, sole_key_value, text_value,
};
use crate::json::string_end;
use crate::mlflow::{keys, span_type};
use crate::otlp::reader::{FieldValue, Fields};
use crate::otlp::{span as field, wire};
use crate::value::{Value, any_value, encode_key_value};

/// Reserved attributes that say what a call cost and which model answered (MLflow 3.17.2, and
/// OpenTelemetry's semantic conventions for generative AI).
const LLM_COST: &str = "mlflow.llm.cost";
const USAGE_PREFIX: &str = "gen_ai.usage.";
const EXPERIMENT_ID: &str = "mlflow.experimentId";
const MODELS: [&str; 3] = [
    "mlflow.llm.model",
    "gen_ai.request.model",
    "gen_ai.response.model",
];

/// The members of token usage and cost.
const AMOUNTS: [&str; 9] = [
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_input_tokens_above_1hr",
    "input_cost",
    "output_cost",
    "total_cost",
];

/// What becomes of content.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Dropped,
    Failed,
}

/// The span with its content left out, as `capture_content` promises.
pub(super) fn without_content(message: &[u8]) -> Result<Vec<u8>, Malformed> {
    Ok(reduce(message, Content::Dropped)?.unwrap_or_else(|| message.to_vec()))
}

/// The span with [`FAILED`] in place of its content.
pub(super) fn failed(message: &[u8]) -> Result<Vec<u8>, Malformed> {
    Ok(reduce(message, Content::Failed)?.unwrap_or_else(|| message.to_vec()))
}

fn reduce(message: &[u8], content: Content) -> Result<Option<Vec<u8>>, Malformed> {
    rewrite(message, |part| {
        let FieldValue::Bytes(bytes) = part.value else {
            return Ok(Edit::Keep);
        };
        Ok(match part.number {
            field::TRACE_ID => Edit::of_id(bytes, 16),
            field::SPAN_ID | field::PARENT_SPAN_ID => Edit::of_id(bytes, 8),
            field::NAME => Edit::Keep,
            field::ATTRIBUTES => attribute(part.number, bytes, content, is_skeleton)?,
            field::EVENTS => Edit::of(part.number, event(bytes, content)?),
            field::LINKS => Edit::of(part.number, link(bytes, content)?),
            field::STATUS => Edit::of(part.number, status(bytes, content)?),
            _ => Edit::Drop,
        })
    })
}

fn event(message: &[u8], content: Content) -> Result<Option<Vec<u8>>, Malformed> {
    rewrite(message, |part| match (part.number, part.value) {
        (2, FieldValue::Bytes(_)) => Ok(Edit::Keep),
        (3, FieldValue::Bytes(bytes)) => attribute(3, bytes, content, is_exception_type),
        (_, value) => Ok(Edit::of_unknown(value)),
    })
}

fn link(message: &[u8], content: Content) -> Result<Option<Vec<u8>>, Malformed> {
    rewrite(message, |part| match (part.number, part.value) {
        (1, FieldValue::Bytes(id)) => Ok(Edit::of_id(id, 16)),
        (2, FieldValue::Bytes(id)) => Ok(Edit::of_id(id, 8)),
        (4, FieldValue::Bytes(bytes)) => attribute(4, bytes, content, |_, _, _| false),
        (_, value) => Ok(Edit::of_unknown(value)),
    })
}

fn status(message: &[u8], content: Content) -> Result<Option<Vec<u8>>, Malformed> {
    rewrite(message, |part| {
        Ok(match (part.number, part.value) {
            (2, FieldValue::Bytes(text)) if content == Content::Failed && !text.is_empty() => {
                Edit::Put(2, FAILED.into())
            }
            (_, value) => Edit::of_unknown(value),
        })
    })
}

/// An attribute, unless it is `kept`. One with two keys or two values is content.
fn attribute(
    number: u32,
    message: &[u8],
    content: Content,
    kept: impl Fn(&[u8], &[u8], Content) -> bool,
) -> Result<Edit, Malformed> {
    let sole = sole_key_value(message)?;
    Ok(match (sole, content) {
        (Some((key, value)), _) if kept(key, value, content) => Edit::Keep,
        (Some((key, _)), Content::Failed) => {
            let mut failed = Vec::new();
            wire::bytes_field(&mut failed, 1, key);
            wire::bytes_field(&mut failed, 2, &text_value(FAILED));
            Edit::Put(number, failed)
        }
        _ => Edit::Drop,
    })
}

fn is_skeleton(key: &[u8], value: &[u8], content: Content) -> bool {
    let is = |name: &str| key == name.as_bytes();
    is_structural(key, value)
        || is_type(key, value)
        || content == Content::Dropped && MODELS.into_iter().any(is) && is_text(value)
}

fn is_exception_type(key: &[u8], value: &[u8], content: Content) -> bool {
    content == Content::Dropped && key == keys::EXCEPTION_TYPE.as_bytes() && is_text(value)
}

/// Whether an attribute is the span's type.
pub(super) fn is_type(key: &[u8], value: &[u8]) -> bool {
    key == keys::SPAN_TYPE.as_bytes() && is_text(value)
}

/// Whether an attribute is part of the span's own bookkeeping, by its key and its value: no rule ever
/// applies to it.
pub(super) fn is_structural(key: &[u8], value: &[u8]) -> bool {
    let is = |name: &str| key == name.as_bytes();
    if is(keys::TRACE_REQUEST_ID) {
        is_request_id(value)
    } else if is(keys::SPAN_LOG_LEVEL) || is(keys::SPAN_START_TIME_NS) {
        sole_field(value)
            .is_some_and(|part| part.number == any_value::INT && part.bytes().is_none())
    } else if is(EXPERIMENT_ID) {
        text(value).is_some_and(|id| id.len() <= 19 && id.iter().all(u8::is_ascii_digit))
    } else if is(keys::CHAT_TOKEN_USAGE) || is(LLM_COST) {
        is_amounts(value)
    } else {
        key.starts_with(USAGE_PREFIX.as_bytes()) && is_number(value)
    }
}

fn text(value: &[u8]) -> Option<&[u8]> {
    let part = sole_field(value).filter(|part| part.number == any_value::STRING)?;
    part.bytes()
}

fn is_text(value: &[u8]) -> bool {
    text(value).is_some()
}

fn is_number(value: &[u8]) -> bool {
    sole_field(value).is_some_and(|part| {
        matches!(part.number, any_value::INT | any_value::DOUBLE) && part.bytes().is_none()
    })
}

fn is_request_id(value: &[u8]) -> bool {
    let digits = text(value).and_then(|id| id.strip_prefix(b"tr-"));
    digits.is_some_and(|digits| digits.len() == 32 && digits.iter().all(u8::is_ascii_hexdigit))
}

/// Whether an `AnyValue` holds numbers under the names of amounts and nothing else, as JSON text or as
/// members.
fn is_amounts(value: &[u8]) -> bool {
    let Some(part) = sole_field(value) else {
        return false;
    };
    match (part.number, part.bytes()) {
        (any_value::STRING, Some(json)) => is_amounts_json(json),
        (any_value::KVLIST, Some(list)) => Fields::new(list).all(|member| {
            let member = member.ok().filter(|member| member.number == 1);
            let key_value = member.and_then(|member| sole_key_value(member.bytes()?).ok()?);
            key_value.is_some_and(|(key, value)| is_amount(key) && is_number(value))
        }),
        _ => false,
    }
}

fn is_amount(name: &[u8]) -> bool {
    AMOUNTS.iter().any(|amount| amount.as_bytes() == name)
}

/// Looks at the characters only, so that it holds for members given twice and for what is no JSON.
fn is_amounts_json(json: &[u8]) -> bool {
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        at = match byte {
            b'"' => match string_end(json, at) {
                Some(end) if is_amount(&json[at + 1..end - 1]) => end,
                _ => return false,
            },
            b'n' if json[at..].starts_with(b"null") => at + 4,
            b' ' | b'{' | b'}' | b':' | b',' | b'.' | b'+' | b'-' | b'e' | b'E' | b'0'..=b'9' => {
                at + 1
            }
            _ => return false,
        };
    }
    true
}

/// What is certain of a message that may be anything: ids, times, kind and status code.
pub(super) fn bare(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut status = None;
    for part in Fields::new(message).map_while(Result::ok) {
        match (part.number, part.value) {
            (field::TRACE_ID, FieldValue::Bytes(id)) if id.len() == 16 => copy(&mut out, part),
            (field::SPAN_ID | field::PARENT_SPAN_ID, FieldValue::Bytes(id)) if id.len() == 8 => {
                copy(&mut out, part);
            }
            (field::START | field::END, FieldValue::Fixed64(_)) => copy(&mut out, part),
            (field::KIND, FieldValue::Varint(_)) => copy(&mut out, part),
            (field::ATTRIBUTES, FieldValue::Bytes(attribute)) => {
                let sole = sole_key_value(attribute).ok().flatten();
                let is_id = |(key, value): KeyValue<'_>| {
                    key == keys::TRACE_REQUEST_ID.as_bytes() && is_request_id(value)
                };
                if sole.is_some_and(is_id) {
                    copy(&mut out, part);
                }
            }
            (field::STATUS, FieldValue::Bytes(bytes)) => {
                let codes = Fields::new(bytes).map_while(Result::ok);
                let codes = codes.filter(|code| code.number == 3);
                status = codes.filter_map(|code| code.integer()).last().or(status);
            }
            _ => {}
        }
    }
    wire::bytes_field(&mut out, field::NAME, FAILED.as_bytes());
    let unknown = Value::Str(span_type::UNKNOWN);
    encode_key_value(&mut out, field::ATTRIBUTES, keys::SPAN_TYPE, unknown);
    if let Some(code) = status {
        wire::message_field(&mut out, field::STATUS, |out| {
            wire::varint_field(out, 3, code);
        });
    }
    out
}
