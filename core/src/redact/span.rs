//! Applies rules to the fields of an OTLP `Span` (opentelemetry-proto 1.x).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::message::{Edit, Malformed, rewrite, sole_key_value, text_value};
use super::paths::{Place, Step};
use super::skeleton::{is_structural, is_type};
use super::{REDACTED, Rules};
use crate::json::write_f64;
use crate::otlp::reader::{Field, FieldValue, Fields};
use crate::otlp::span as field;
use crate::value::any_value;

/// Nesting of arrays and lists of members that is followed, as far as the reader follows it.
const MAX_DEPTH: usize = 64;

/// One application of the rules.
pub(super) struct Pass<'r> {
    pub(super) rules: &'r Rules,
    pub(super) failed: bool,
}

/// What a key and its value are part of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Span,
    Other,
}

impl<'r> Pass<'r> {
    pub(super) fn new(rules: &'r Rules) -> Self {
        Pass {
            rules,
            failed: false,
        }
    }

    pub(super) fn failed(&self) -> bool {
        self.failed
    }

    /// The message redacted; `None` when nothing changes.
    pub(super) fn span(&mut self, message: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
        let attributes = self.rules.paths.root();
        rewrite(message, |part| {
            let FieldValue::Bytes(bytes) = part.value else {
                return Ok(Edit::Keep);
            };
            Ok(match part.number {
                field::TRACE_ID => Edit::of_id(bytes, 16),
                field::SPAN_ID | field::PARENT_SPAN_ID => Edit::of_id(bytes, 8),
                field::TRACE_STATE => self.trace_state(bytes),
                field::NAME => self.edit_text(part.number, bytes, &Place::default()),
                field::ATTRIBUTES => Edit::of(
                    part.number,
                    self.key_value(bytes, &attributes, Owner::Span, 0)?,
                ),
                field::EVENTS => Edit::of(part.number, self.event(bytes)?),
                field::LINKS => Edit::of(part.number, self.link(bytes)?),
                field::STATUS => Edit::of(part.number, self.status(bytes)?),
                _ => Edit::of_unknown(part.value),
            })
        })
    }

    fn event(&mut self, message: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
        rewrite(message, |part| match (part.number, part.value) {
            (2, FieldValue::Bytes(name)) => Ok(self.edit_text(2, name, &Place::default())),
            (3, FieldValue::Bytes(attribute)) => self.edit_attribute(3, attribute),
            (_, value) => Ok(Edit::of_unknown(value)),
        })
    }

    fn link(&mut self, message: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
        rewrite(message, |part| match (part.number, part.value) {
            (1, FieldValue::Bytes(id)) => Ok(Edit::of_id(id, 16)),
            (2, FieldValue::Bytes(id)) => Ok(Edit::of_id(id, 8)),
            (3, FieldValue::Bytes(state)) => Ok(self.trace_state(state)),
            (4, FieldValue::Bytes(attribute)) => self.edit_attribute(4, attribute),
            (_, value) => Ok(Edit::of_unknown(value)),
        })
    }

    fn status(&mut self, message: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
        rewrite(message, |part| match (part.number, part.value) {
            (2, FieldValue::Bytes(text)) => Ok(self.edit_text(2, text, &Place::default())),
            (_, value) => Ok(Edit::of_unknown(value)),
        })
    }

    /// A `tracestate` cannot be changed in part and stay one.
    fn trace_state(&mut self, text: &[u8]) -> Edit {
        match self.edit_text(field::TRACE_STATE, text, &Place::default()) {
            Edit::Put(..) => Edit::Drop,
            edit => edit,
        }
    }

    /// An attribute of an event or a link, where no path leads.
    fn edit_attribute(&mut self, number: u32, message: &[u8]) -> Result<Edit, Malformed> {
        let changed = self.key_value(message, &Place::default(), Owner::Other, 0)?;
        Ok(Edit::of(number, changed))
    }

    /// Bytes that are no UTF-8 are matched as readers show them.
    fn edit_text(&mut self, number: u32, bytes: &[u8], place: &Place) -> Edit {
        let text = String::from_utf8_lossy(bytes);
        Edit::of(number, self.text(&text, place).map(String::into_bytes))
    }

    /// A `KeyValue` of something at `place`. Readers differ on which of two keys counts, so that a rule
    /// holds when it is for one of them.
    fn key_value(
        &mut self,
        message: &[u8],
        place: &Place,
        owner: Owner,
        depth: usize,
    ) -> Result<Option<Vec<u8>>, Malformed> {
        let sole = sole_key_value(message)?.filter(|_| owner == Owner::Span);
        let is_kept = sole.is_some_and(|(key, value)| is_structural(key, value));
        // A type is a name: patterns hold for it and nothing else.
        let is_type = sole.is_some_and(|(key, value)| is_type(key, value));
        let (mut inner, mut covered) = (Place::default(), false);
        if !is_kept && !is_type {
            (inner, covered) = self.enter(message, place)?;
        }
        rewrite(message, |part| match (part.number, part.value) {
            // Names of MLflow have a meaning for servers.
            (1, FieldValue::Bytes(key)) if owner == Owner::Span && key.starts_with(b"mlflow.") => {
                Ok(Edit::Keep)
            }
            (1, FieldValue::Bytes(key)) => Ok(self.edit_text(1, key, &Place::default())),
            (2, FieldValue::Bytes(_)) if is_kept => Ok(Edit::Keep),
            (2, FieldValue::Bytes(_)) if covered => Ok(Edit::Put(2, text_value(REDACTED))),
            (2, FieldValue::Bytes(value)) => Ok(Edit::of(2, self.any(value, &inner, depth)?)),
            (_, value) => Ok(Edit::of_unknown(value)),
        })
    }

    /// Where the keys of a `KeyValue` lead, and whether a rule asks for the value as a whole.
    fn enter(&self, message: &[u8], place: &Place) -> Result<(Place, bool), Malformed> {
        let (mut inner, mut covered) = (Place::default(), false);
        for part in Fields::new(message) {
            let part = part?;
            if let (1, Some(key)) = (part.number, part.bytes()) {
                let key = String::from_utf8_lossy(key);
                covered |= self.names(&key);
                let (next, selected) = self.rules.paths.step(place, Step::Name(&key));
                inner.add(next);
                covered |= selected;
            }
        }
        Ok((inner, covered))
    }

    /// Whether the values of this key are to be taken out.
    pub(super) fn names(&self, key: &str) -> bool {
        let keys = self.rules.keys.as_ref();
        keys.is_some_and(|keys| keys.matches(key))
    }

    /// An `AnyValue` at `place`.
    fn any(
        &mut self,
        message: &[u8],
        place: &Place,
        depth: usize,
    ) -> Result<Option<Vec<u8>>, Malformed> {
        if depth > MAX_DEPTH {
            return Ok(Some(text_value(&self.give_up())));
        }
        rewrite(message, |part| match (part.number, part.value) {
            (any_value::STRING, FieldValue::Bytes(text)) => {
                Ok(self.edit_text(any_value::STRING, text, place))
            }
            (any_value::ARRAY, FieldValue::Bytes(list)) => {
                Ok(Edit::of(part.number, self.array(list, place, depth)?))
            }
            (any_value::KVLIST, FieldValue::Bytes(list)) => {
                let changed = rewrite(list, |member| match (member.number, member.value) {
                    (1, FieldValue::Bytes(member)) => {
                        let changed = self.key_value(member, place, Owner::Other, depth + 1)?;
                        Ok(Edit::of(1, changed))
                    }
                    (_, value) => Ok(Edit::of_unknown(value)),
                })?;
                Ok(Edit::of(part.number, changed))
            }
            (any_value::BYTES, FieldValue::Bytes(bytes)) => Ok(self.edit_bytes(bytes, place)),
            _ => Ok(self.edit_number(part)),
        })
    }

    fn array(
        &mut self,
        message: &[u8],
        place: &Place,
        depth: usize,
    ) -> Result<Option<Vec<u8>>, Malformed> {
        let mut index = 0;
        rewrite(message, |item| match (item.number, item.value) {
            (1, FieldValue::Bytes(value)) => {
                let (inner, selected) = self.rules.paths.step(place, Step::Index(index));
                index += 1;
                Ok(match selected {
                    true => Edit::Put(1, text_value(REDACTED)),
                    false => Edit::of(1, self.any(value, &inner, depth + 1)?),
                })
            }
            (_, value) => Ok(Edit::of_unknown(value)),
        })
    }

    /// Bytes are shown in Base64, and may be text.
    fn edit_bytes(&mut self, bytes: &[u8], place: &Place) -> Edit {
        let text = String::from_utf8_lossy(bytes);
        let patterns = self.rules.patterns.as_ref();
        let shown = patterns.is_some_and(|patterns| patterns.match_in(&STANDARD.encode(bytes)));
        match shown || self.text(&text, place).is_some() {
            true => Edit::Put(any_value::STRING, REDACTED.into()),
            false => Edit::Keep,
        }
    }

    fn edit_number(&mut self, part: Field<'_>) -> Edit {
        let mut digits = String::new();
        match (part.number, part.integer()) {
            (any_value::INT, Some(int)) => digits = (int as i64).to_string(),
            (any_value::DOUBLE, Some(bits)) => write_f64(&mut digits, f64::from_bits(bits)),
            _ => return Edit::of_unknown(part.value),
        }
        match self.takes_number(&digits) {
            true => Edit::Put(any_value::STRING, REDACTED.into()),
            false => Edit::Keep,
        }
    }
}
