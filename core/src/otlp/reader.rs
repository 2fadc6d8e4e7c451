//! Reads OTLP protobuf: what this engine wrote, and what hosts submit. Bounds-checked, never panics.

use serde_json::{Map, Number, Value};

use super::json::hex;
use super::wire::{FIXED32, FIXED64, LENGTH, VARINT};
use super::{SCOPE_SPANS_SPANS, span};
use crate::mlflow::keys;
use crate::value::{any_value, special};

/// Nesting that a reader follows; deeper values read as null.
const MAX_DEPTH: usize = 64;

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    pub(crate) value: FieldValue<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum FieldValue<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    pub(crate) fn bytes(self) -> Option<&'a [u8]> {
        match self.value {
            FieldValue::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn integer(self) -> Option<u64> {
        match self.value {
            FieldValue::Varint(value) | FieldValue::Fixed64(value) => Some(value),
            FieldValue::Fixed32(value) => Some(u64::from(value)),
            FieldValue::Bytes(_) => None,
        }
    }

    fn text(self) -> String {
        String::from_utf8_lossy(self.bytes().unwrap_or_default()).into_owned()
    }
}

/// The fields of a message in order; `Err` once, at the first malformed byte.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

/// A message that is not protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl<'a> Fields<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Fields { rest: message }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        // Nearly all of them: tags, and the lengths of what is short.
        if let Some((&byte, rest)) = self.rest.split_first()
            && byte < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(Malformed)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    #[inline]
    fn field(&mut self) -> Result<Field<'a>, Malformed> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| Malformed)?;
        let value = match (tag & 7) as u32 {
            VARINT => FieldValue::Varint(self.varint()?),
            FIXED64 => FieldValue::Fixed64(u64::from_le_bytes(self.array()?)),
            FIXED32 => FieldValue::Fixed32(u32::from_le_bytes(self.array()?)),
            LENGTH => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                FieldValue::Bytes(self.take(length)?)
            }
            _ => return Err(Malformed),
        };
        if number == 0 {
            return Err(Malformed);
        }
        Ok(Field { number, value })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// The fields of a message with the bytes that each was read from; stops at the first malformed byte.
pub(crate) fn raw_fields(message: &[u8]) -> impl Iterator<Item = (Field<'_>, &[u8])> {
    let mut fields = Fields::new(message);
    std::iter::from_fn(move || {
        let before = fields.rest;
        let field = fields.next()?.ok()?;
        Some((field, &before[..before.len() - fields.rest.len()]))
    })
}

/// The spans of a run written as `ScopeSpans.spans` fields; stops at the first malformed byte.
pub(crate) fn spans(run: &[u8]) -> impl Iterator<Item = &[u8]> {
    Fields::new(run)
        .map_while(Result::ok)
        .filter(|field| field.number == SCOPE_SPANS_SPANS)
        .filter_map(Field::bytes)
}

/// A decoded span. Values are JSON values; text attributes are kept as they are on the wire.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SpanData {
    pub(crate) trace_id: Vec<u8>,
    pub(crate) span_id: Vec<u8>,
    pub(crate) parent_span_id: Vec<u8>,
    pub(crate) trace_state: String,
    pub(crate) name: String,
    pub(crate) kind: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) attributes: Vec<(String, Value)>,
    pub(crate) events: Vec<EventData>,
    pub(crate) links: Vec<LinkData>,
    pub(crate) status_code: u64,
    pub(crate) status_message: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct EventData {
    pub(crate) time: u64,
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, Value)>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LinkData {
    pub(crate) trace_id: Vec<u8>,
    pub(crate) span_id: Vec<u8>,
    pub(crate) attributes: Vec<(String, Value)>,
}

impl SpanData {
    /// Decodes one `Span` message. `mlflow.traceRequestId` comes from the trace id, as on a server (which
    /// ignores what it is sent), so that nobody has to write it.
    pub(crate) fn decode(message: &[u8]) -> Result<Self, Malformed> {
        let mut data = SpanData::default();
        for field in Fields::new(message) {
            let field = field?;
            let bytes = field.bytes().unwrap_or_default();
            match field.number {
                span::TRACE_ID => data.trace_id = bytes.to_vec(),
                span::SPAN_ID => data.span_id = bytes.to_vec(),
                span::TRACE_STATE => data.trace_state = field.text(),
                span::PARENT_SPAN_ID => data.parent_span_id = bytes.to_vec(),
                span::NAME => data.name = field.text(),
                span::KIND => data.kind = field.integer().unwrap_or(0),
                span::START => data.start = field.integer().unwrap_or(0),
                span::END => data.end = field.integer().unwrap_or(0),
                span::ATTRIBUTES => upsert(&mut data.attributes, key_value(bytes, 0)?),
                span::EVENTS => data.events.push(event(bytes)?),
                span::LINKS => data.links.push(link(bytes)?),
                span::STATUS => {
                    for field in Fields::new(bytes) {
                        let field = field?;
                        match field.number {
                            2 => data.status_message = field.text(),
                            3 => data.status_code = field.integer().unwrap_or(0),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        let request_id = (
            keys::TRACE_REQUEST_ID,
            format!("tr-{}", hex(&data.trace_id)),
        );
        data.attributes.retain(|(key, _)| key != request_id.0);
        data.attributes
            .insert(0, (request_id.0.to_owned(), request_id.1.into()));
        Ok(data)
    }

    /// The value of an attribute.
    pub(crate) fn attribute(&self, key: &str) -> Option<&Value> {
        self.attributes
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }
}

/// The attributes of a message whose field 1 is a repeated `KeyValue`, such as a `Resource`.
pub(crate) fn key_values(message: &[u8]) -> Vec<(String, Value)> {
    Fields::new(message)
        .map_while(Result::ok)
        .filter(|field| field.number == 1)
        .filter_map(|field| key_value(field.bytes()?, 0).ok())
        .collect()
}

/// Attribute keys are unique; the last value wins, in the first one's place.
fn upsert(attributes: &mut Vec<(String, Value)>, (key, value): (String, Value)) {
    match attributes.iter_mut().find(|(name, _)| *name == key) {
        Some(entry) => entry.1 = value,
        None => attributes.push((key, value)),
    }
}

fn event(message: &[u8]) -> Result<EventData, Malformed> {
    let mut data = EventData::default();
    for field in Fields::new(message) {
        let field = field?;
        match field.number {
            1 => data.time = field.integer().unwrap_or(0),
            2 => data.name = field.text(),
            3 => upsert(
                &mut data.attributes,
                key_value(field.bytes().unwrap_or_default(), 0)?,
            ),
            _ => {}
        }
    }
    Ok(data)
}

fn link(message: &[u8]) -> Result<LinkData, Malformed> {
    let mut data = LinkData::default();
    for field in Fields::new(message) {
        let field = field?;
        let bytes = field.bytes().unwrap_or_default();
        match field.number {
            1 => data.trace_id = bytes.to_vec(),
            2 => data.span_id = bytes.to_vec(),
            4 => upsert(&mut data.attributes, key_value(bytes, 0)?),
            _ => {}
        }
    }
    Ok(data)
}

/// A `KeyValue` that lies `depth` values deep.
pub(crate) fn key_value(message: &[u8], depth: usize) -> Result<(String, Value), Malformed> {
    let mut key = String::new();
    let mut value = Value::Null;
    for field in Fields::new(message) {
        let field = field?;
        match field.number {
            1 => key = field.text(),
            2 => value = any(field.bytes().unwrap_or_default(), depth)?,
            _ => {}
        }
    }
    Ok((key, value))
}

fn any(message: &[u8], depth: usize) -> Result<Value, Malformed> {
    if depth > MAX_DEPTH {
        return Ok(Value::Null);
    }
    let mut value = Value::Null;
    for field in Fields::new(message) {
        let field = field?;
        let bytes = field.bytes().unwrap_or_default();
        value = match field.number {
            any_value::STRING => Value::String(field.text()),
            any_value::BOOL => Value::Bool(field.integer().unwrap_or(0) != 0),
            any_value::INT => Value::from(field.integer().unwrap_or(0) as i64),
            any_value::DOUBLE => {
                let double = f64::from_bits(field.integer().unwrap_or(0));
                Number::from_f64(double)
                    .map(Value::Number)
                    .unwrap_or_else(|| special(double).into())
            }
            any_value::ARRAY => {
                let mut items = Vec::new();
                for item in Fields::new(bytes) {
                    items.push(any(item?.bytes().unwrap_or_default(), depth + 1)?);
                }
                Value::Array(items)
            }
            any_value::KVLIST => {
                let mut members = Map::new();
                for member in Fields::new(bytes) {
                    let (key, item) = key_value(member?.bytes().unwrap_or_default(), depth + 1)?;
                    members.insert(key, item);
                }
                Value::Object(members)
            }
            any_value::BYTES => {
                use base64::Engine;
                Value::String(base64::engine::general_purpose::STANDARD.encode(bytes))
            }
            _ => continue,
        };
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::wire;
    use crate::value::{Value as Attribute, encode_key_value};

    #[test]
    fn every_kind_of_value_is_read_back() {
        let mut message = Vec::new();
        let items = [Attribute::Int(-1), Attribute::Null, Attribute::Str("x")];
        for (key, value) in [
            ("bool", Attribute::Bool(true)),
            ("int", Attribute::Int(i64::MIN)),
            ("double", Attribute::Double(0.25)),
            ("text", Attribute::Str("héé")),
            ("list", Attribute::Array(&items)),
            ("int", Attribute::Int(2)),
        ] {
            encode_key_value(&mut message, span::ATTRIBUTES, key, value);
        }
        let data = SpanData::decode(&message).unwrap();
        let expected = serde_json::json!({
            "mlflow.traceRequestId": "tr-", "bool": true, "int": 2, "double": 0.25, "text": "héé",
            "list": [-1, null, "x"]
        });
        let read: Map<String, Value> = data.attributes.into_iter().collect();
        assert_eq!(Value::Object(read), expected);
    }

    #[test]
    fn truncation_anywhere_is_an_error_or_a_shorter_message() {
        let mut message = Vec::new();
        wire::bytes_field(&mut message, span::NAME, b"name");
        wire::fixed64_field(&mut message, span::START, 7);
        encode_key_value(&mut message, span::ATTRIBUTES, "k", Attribute::Str("v"));
        for end in 0..message.len() {
            let _ = SpanData::decode(&message[..end]);
        }
        assert_eq!(
            SpanData::decode(&message[..message.len() - 1]),
            Err(Malformed)
        );
    }
}
