//! Attribute values and their OTLP `AnyValue` encoding.
//!
//! A value is encoded once, as it is set, in the form that an MLflow server (3.11 and later) stores
//! without loss: scalars natively; objects and arrays as JSON text in `string_value`, which the
//! server decodes. `docs/decisions/0003-encode-once-attributes.md` has the reasons.

use crate::depth;
use crate::otlp::wire;

/// A value of a span attribute, input, output, event or link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Nothing (JSON `null`).
    Null,
    /// A boolean.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A double; NaN and the infinities are kept as the strings `NaN`, `Infinity`, `-Infinity`.
    Double(f64),
    /// Text.
    Str(&'a str),
    /// JSON text of any kind. Text that is not valid JSON is kept as a string.
    Json(&'a str),
    /// A list of values.
    Array(&'a [Value<'a>]),
}

/// Field numbers of `opentelemetry.proto.common.v1.AnyValue`.
pub(crate) mod any_value {
    pub(crate) const STRING: u32 = 1;
    pub(crate) const BOOL: u32 = 2;
    pub(crate) const INT: u32 = 3;
    pub(crate) const DOUBLE: u32 = 4;
    pub(crate) const ARRAY: u32 = 5;
    pub(crate) const KVLIST: u32 = 6;
    pub(crate) const BYTES: u32 = 7;
}

/// What a JSON text stands for on the wire.
enum Json<'a> {
    Scalar(Value<'a>),
    Text(std::borrow::Cow<'a, str>),
}

fn classify(text: &str) -> Json<'_> {
    // Containers travel as they are; whether they parse is the reader's business.
    if let Some(b'{' | b'[') = text.as_bytes().first() {
        return Json::Text(depth::limit(text));
    }
    let trimmed = text.trim();
    let scalar = match trimmed.as_bytes().first() {
        Some(b'{' | b'[') => return Json::Text(depth::limit(text)),
        Some(b'"') => {
            return match serde_json::from_str::<String>(trimmed) {
                Ok(decoded) => Json::Text(decoded.into()),
                Err(_) => Json::Text(text.into()),
            };
        }
        _ => match trimmed {
            "null" => Some(Value::Null),
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            _ => number(trimmed),
        },
    };
    scalar.map_or(Json::Text(text.into()), Json::Scalar)
}

/// A JSON number that survives as a native one; digits beyond 64 bits stay text.
fn number(text: &str) -> Option<Value<'_>> {
    match serde_json::from_str::<serde_json::Number>(text).ok()? {
        number if number.is_i64() => number.as_i64().map(Value::Int),
        number if number.is_u64() => None,
        number => match text.bytes().any(|b| matches!(b, b'.' | b'e' | b'E')) {
            true => number.as_f64().map(Value::Double),
            false => None,
        },
    }
}

/// The name of a number that JSON has no form for.
pub(crate) fn special(double: f64) -> Option<&'static str> {
    if double.is_finite() {
        None
    } else if double.is_nan() {
        Some("NaN")
    } else if double > 0.0 {
        Some("Infinity")
    } else {
        Some("-Infinity")
    }
}

/// Appends the fields of an `AnyValue` for `value` (without its own tag and length).
pub(crate) fn encode(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Null => {}
        Value::Bool(flag) => wire::varint_field(out, any_value::BOOL, u64::from(flag)),
        Value::Int(int) => wire::varint_field(out, any_value::INT, int as u64),
        Value::Double(double) => match special(double) {
            Some(name) => wire::bytes_field(out, any_value::STRING, name.as_bytes()),
            None => wire::fixed64_field(out, any_value::DOUBLE, double.to_bits()),
        },
        Value::Str(text) => wire::bytes_field(out, any_value::STRING, text.as_bytes()),
        Value::Json(text) => match classify(text) {
            Json::Scalar(scalar) => encode(out, scalar),
            Json::Text(text) => wire::bytes_field(out, any_value::STRING, text.as_bytes()),
        },
        Value::Array(items) => encode_array(out, items, encode),
    }
}

/// Appends an `array_value`, its items written by `encode`.
pub(crate) fn encode_array(
    out: &mut Vec<u8>,
    items: &[Value<'_>],
    encode: impl Fn(&mut Vec<u8>, Value<'_>),
) {
    wire::message_field(out, any_value::ARRAY, |out| {
        for item in items {
            wire::message_field(out, 1, |out| encode(out, *item));
        }
    });
}

/// Keys and texts that together stay below this leave every length of a `KeyValue` in one byte.
pub(crate) const SHORT: usize = 110;

const fn tag(number: u32, wire_type: u32) -> u8 {
    (number << 3 | wire_type) as u8
}

/// Everything up to the `AnyValue`, whose length is known, without looking back.
#[inline]
fn short_head(out: &mut Vec<u8>, number: u32, key: &str, any_length: usize) {
    let length = 2 + key.len() + 2 + any_length;
    out.reserve(2 + length);
    let key_length = key.len() as u8;
    let head = [
        tag(number, wire::LENGTH),
        length as u8,
        tag(1, wire::LENGTH),
        key_length,
    ];
    out.extend_from_slice(&head);
    out.extend_from_slice(key.as_bytes());
}

/// The common case of text: all lengths take one byte each.
#[inline]
fn encode_short_text(out: &mut Vec<u8>, number: u32, key: &str, text: &str) {
    let any_length = 2 + text.len();
    short_head(out, number, key, any_length);
    let string = tag(any_value::STRING, wire::LENGTH);
    let head = [
        tag(2, wire::LENGTH),
        any_length as u8,
        string,
        text.len() as u8,
    ];
    out.extend_from_slice(&head);
    out.extend_from_slice(text.as_bytes());
}

/// The common case of an integer.
#[inline]
fn encode_short_int(out: &mut Vec<u8>, number: u32, key: &str, int: u64) {
    let any_length = 1 + wire::varint_len(int);
    short_head(out, number, key, any_length);
    let head = [
        tag(2, wire::LENGTH),
        any_length as u8,
        tag(any_value::INT, wire::VARINT),
    ];
    out.extend_from_slice(&head);
    wire::varint(out, int);
}

/// Appends a `KeyValue` message if it is one of the common ones.
#[inline]
pub(crate) fn encode_short(out: &mut Vec<u8>, number: u32, key: &str, value: Value<'_>) -> bool {
    match value {
        Value::Str(text) if key.len() + text.len() < SHORT => {
            encode_short_text(out, number, key, text);
            true
        }
        Value::Int(int) if key.len() < SHORT => {
            encode_short_int(out, number, key, int as u64);
            true
        }
        _ => false,
    }
}

/// Text of any length: the lengths are known before it is written, so that nothing is moved.
fn encode_text(out: &mut Vec<u8>, number: u32, key: &str, text: &str) {
    let any_length = wire::field_len(text.len());
    let length = wire::field_len(key.len()) + wire::field_len(any_length);
    out.reserve(wire::field_len(length));
    wire::length_prefix(out, number, length);
    wire::bytes_field(out, 1, key.as_bytes());
    wire::length_prefix(out, 2, any_length);
    wire::bytes_field(out, any_value::STRING, text.as_bytes());
}

/// Appends a `KeyValue` message (field `number` of its parent). Keys are never empty on the wire.
pub(crate) fn encode_key_value(out: &mut Vec<u8>, number: u32, key: &str, value: Value<'_>) {
    if encode_short(out, number, key, value) {
        return;
    }
    match value {
        Value::Str(text) => return encode_text(out, number, key, text),
        Value::Json(text) => match classify(text) {
            Json::Scalar(scalar) => return encode_key_value(out, number, key, scalar),
            Json::Text(text) => return encode_text(out, number, key, &text),
        },
        _ => {}
    }
    wire::message_field(out, number, |out| {
        wire::bytes_field(out, 1, key.as_bytes());
        wire::message_field(out, 2, |out| encode(out, value));
    });
}

/// As [`encode_key_value`], for events and links: servers do not decode JSON text there, so objects and
/// arrays are written natively.
pub(crate) fn encode_native_key_value(out: &mut Vec<u8>, number: u32, key: &str, value: Value<'_>) {
    let container = match value {
        Value::Json(text) if text.trim_start().starts_with(['{', '[']) => {
            serde_json::from_str::<serde_json::Value>(&depth::limit_native(text)).ok()
        }
        _ => None,
    };
    match container {
        None => encode_key_value(out, number, key, value),
        Some(container) => wire::message_field(out, number, |out| {
            wire::bytes_field(out, 1, key.as_bytes());
            wire::message_field(out, 2, |out| encode_native(out, &container));
        }),
    }
}

fn encode_native(out: &mut Vec<u8>, value: &serde_json::Value) {
    use serde_json::Value as Json;
    match value {
        Json::Null => {}
        Json::Bool(flag) => encode(out, Value::Bool(*flag)),
        Json::String(text) => encode(out, Value::Str(text)),
        // Digits beyond 64 bits stay text, as everywhere.
        Json::Number(number) => encode(out, Value::Json(&number.to_string())),
        Json::Array(items) => wire::message_field(out, any_value::ARRAY, |out| {
            for item in items {
                wire::message_field(out, 1, |out| encode_native(out, item));
            }
        }),
        Json::Object(members) => wire::message_field(out, any_value::KVLIST, |out| {
            for (key, item) in members {
                wire::message_field(out, 1, |out| {
                    wire::bytes_field(out, 1, key.as_bytes());
                    wire::message_field(out, 2, |out| encode_native(out, item));
                });
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(value: Value<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out, value);
        out
    }

    #[test]
    fn json_text_is_the_same_as_the_native_value() {
        assert_eq!(bytes(Value::Json(" 5 ")), bytes(Value::Int(5)));
        assert_eq!(bytes(Value::Json("true")), bytes(Value::Bool(true)));
        assert_eq!(bytes(Value::Json("null")), bytes(Value::Null));
        assert_eq!(bytes(Value::Json("1.5")), bytes(Value::Double(1.5)));
        assert_eq!(bytes(Value::Json("\"a\\nb\"")), bytes(Value::Str("a\nb")));
        assert_eq!(
            bytes(Value::Json("{\"a\": 1}")),
            bytes(Value::Str("{\"a\": 1}"))
        );
    }

    #[test]
    fn what_is_not_json_or_too_wide_stays_text() {
        assert_eq!(bytes(Value::Json("hello")), bytes(Value::Str("hello")));
        let wide = "99999999999999999999999";
        assert_eq!(bytes(Value::Json(wide)), bytes(Value::Str(wide)));
        assert_eq!(
            bytes(Value::Json("18446744073709551615")),
            bytes(Value::Str("18446744073709551615"))
        );
    }

    #[test]
    fn short_key_values_are_the_same_as_long_ones() {
        for length in [0, 1, SHORT - 2, SHORT - 1, SHORT, 200] {
            for key in ["k", &"k".repeat(SHORT - 1), &"k".repeat(SHORT)] {
                let text = "x".repeat(length);
                for value in [
                    Value::Str(&text),
                    Value::Int(-1),
                    Value::Int(0),
                    Value::Int(300),
                ] {
                    let mut quick = Vec::new();
                    encode_key_value(&mut quick, 9, key, value);
                    let mut plain = Vec::new();
                    wire::message_field(&mut plain, 9, |out| {
                        wire::bytes_field(out, 1, key.as_bytes());
                        wire::message_field(out, 2, |out| encode(out, value));
                    });
                    assert_eq!(quick, plain, "{} {length}", key.len());
                }
            }
        }
    }

    #[test]
    fn non_finite_doubles_are_named() {
        assert_eq!(bytes(Value::Double(f64::NAN)), bytes(Value::Str("NaN")));
        assert_eq!(
            bytes(Value::Double(f64::NEG_INFINITY)),
            bytes(Value::Str("-Infinity"))
        );
    }
}
