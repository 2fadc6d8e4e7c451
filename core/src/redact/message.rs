//! Rewrites protobuf messages field by field, and copies nothing while nothing changes.

use crate::otlp::reader::{Field, FieldValue, Fields};
use crate::otlp::wire;
use crate::value::any_value;

pub(super) use crate::otlp::reader::Malformed;

/// The largest field number (protobuf language specification, "Assigning Field Numbers").
const MAX_NUMBER: u32 = (1 << 29) - 1;

/// What to do with a field.
pub(super) enum Edit {
    Keep,
    Drop,
    /// Write this length-delimited field instead.
    Put(u32, Vec<u8>),
}

impl Edit {
    /// A payload that may have changed.
    pub(super) fn of(number: u32, changed: Option<Vec<u8>>) -> Edit {
        changed.map_or(Edit::Keep, |payload| Edit::Put(number, payload))
    }

    /// An id has its length or is absent; anything else may be content.
    pub(super) fn of_id(id: &[u8], length: usize) -> Edit {
        match id.is_empty() || id.len() == length {
            true => Edit::Keep,
            false => Edit::Drop,
        }
    }

    /// Numbers tell nothing; texts and messages that nobody asked for cannot be looked into.
    pub(super) fn of_unknown(value: FieldValue<'_>) -> Edit {
        match value {
            FieldValue::Bytes(_) => Edit::Drop,
            _ => Edit::Keep,
        }
    }
}

/// The message with its fields edited; `None` when all of them are kept.
pub(super) fn rewrite<'a>(
    message: &'a [u8],
    mut edit: impl FnMut(Field<'a>) -> Result<Edit, Malformed>,
) -> Result<Option<Vec<u8>>, Malformed> {
    let mut out: Option<Vec<u8>> = None;
    for (index, field) in Fields::new(message).enumerate() {
        let field = field?;
        if field.number > MAX_NUMBER {
            return Err(Malformed);
        }
        match edit(field)? {
            Edit::Keep => {
                if let Some(out) = &mut out {
                    copy(out, field);
                }
            }
            change => {
                let out = out.get_or_insert_with(|| first(message, index));
                if let Edit::Put(number, payload) = change {
                    wire::bytes_field(out, number, &payload);
                }
            }
        }
    }
    Ok(out)
}

/// A copy of the first fields, all of which have been read before.
fn first(message: &[u8], count: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    for field in Fields::new(message).take(count).map_while(Result::ok) {
        copy(&mut out, field);
    }
    out
}

pub(super) fn copy(out: &mut Vec<u8>, field: Field<'_>) {
    match field.value {
        FieldValue::Varint(value) => wire::varint_field(out, field.number, value),
        FieldValue::Fixed64(value) => wire::fixed64_field(out, field.number, value),
        FieldValue::Fixed32(value) => {
            wire::varint(out, u64::from(field.number << 3 | wire::FIXED32));
            out.extend_from_slice(&value.to_le_bytes());
        }
        FieldValue::Bytes(bytes) => wire::bytes_field(out, field.number, bytes),
    }
}

/// An `AnyValue` that holds `text`.
pub(super) fn text_value(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    wire::bytes_field(&mut out, any_value::STRING, text.as_bytes());
    out
}

/// The key and the `AnyValue` of a `KeyValue`.
pub(super) type KeyValue<'a> = (&'a [u8], &'a [u8]);

/// The only key and the only value of a `KeyValue`; `None` when something is missing or given twice.
pub(super) fn sole_key_value(message: &[u8]) -> Result<Option<KeyValue<'_>>, Malformed> {
    let (mut key, mut value) = (None, None);
    for field in Fields::new(message) {
        let field = field?;
        let twice = match (field.number, field.bytes()) {
            (1, Some(bytes)) => key.replace(bytes).is_some(),
            (2, Some(bytes)) => value.replace(bytes).is_some(),
            _ => true,
        };
        if twice {
            return Ok(None);
        }
    }
    Ok(key.zip(value))
}

/// The only field of a message.
pub(super) fn sole_field(message: &[u8]) -> Option<Field<'_>> {
    let mut fields = Fields::new(message);
    let field = fields.next()?.ok()?;
    fields.next().is_none().then_some(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut message = Vec::new();
        wire::bytes_field(&mut message, 1, b"one");
        wire::fixed64_field(&mut message, 2, 7);
        wire::varint(&mut message, u64::from(16 << 3 | wire::FIXED32));
        message.extend_from_slice(&257u32.to_le_bytes());
        wire::bytes_field(&mut message, 3, b"three");
        wire::varint_field(&mut message, 4, 300);
        message
    }

    #[test]
    fn unchanged_messages_are_not_copied_and_the_rest_of_changed_ones_is() {
        let message = sample();
        assert_eq!(rewrite(&message, |_| Ok(Edit::Keep)), Ok(None));
        let changed = rewrite(&message, |field| {
            Ok(match field.number {
                3 => Edit::Put(5, b"five".to_vec()),
                _ => Edit::Keep,
            })
        });
        let changed = changed.unwrap().unwrap();
        let fields = |message| Fields::new(message).map(Result::unwrap).collect::<Vec<_>>();
        let (before, after) = (fields(&message), fields(&changed));
        assert_eq!(after[3].number, 5);
        assert_eq!(after[3].bytes(), Some(&b"five"[..]));
        assert_eq!((&after[..3], after[4]), (&before[..3], before[4]));
    }

    #[test]
    fn numbers_that_no_field_can_have_are_malformed() {
        let mut message = Vec::new();
        // Written again in 32 bits, its tag would be that of field 1.
        wire::varint(&mut message, ((1u64 << 29) + 1) << 3);
        message.push(5);
        assert_eq!(rewrite(&message, |_| Ok(Edit::Keep)), Err(Malformed));
    }

    #[test]
    fn a_key_given_twice_is_no_sole_one() {
        let mut message = Vec::new();
        wire::bytes_field(&mut message, 1, b"key");
        wire::bytes_field(&mut message, 2, b"value");
        let sole = sole_key_value(&message).unwrap();
        assert_eq!(sole, Some((&b"key"[..], &b"value"[..])));
        wire::bytes_field(&mut message, 1, b"other");
        assert_eq!(sole_key_value(&message), Ok(None));
    }
}
