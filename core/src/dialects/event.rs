//! An event of a stream as it is read: its texts stay where they are, and only what is kept of it becomes a value. Streams
//! have many events, which repeat most of what they say.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::Object;
use crate::depth;

/// An object, with its members in their order.
#[derive(Default)]
pub(super) struct Event<'a>(Vec<(Cow<'a, str>, Part<'a>)>);

/// A value inside an event.
pub(super) enum Part<'a> {
    /// No text, list or object.
    Scalar(Value),
    Text(Cow<'a, str>),
    List(Vec<Part<'a>>),
    Members(Event<'a>),
}

/// The events of a text: the object that it is, or the objects of a list; none of text that is no JSON.
#[inline(never)]
pub(super) fn events(text: &str) -> Vec<Event<'_>> {
    let read = serde_json::from_str(text).or_else(|error| match depth::limit(text) {
        // JSON that is too deep for the parser is shallow enough after this.
        Cow::Owned(shallow) => serde_json::from_str(&shallow).map(Part::of),
        Cow::Borrowed(_) => Err(error),
    });
    match read {
        Ok(Part::Members(event)) => vec![event],
        Ok(list) => list.into_events(),
        Err(_) => Vec::new(),
    }
}

impl<'a> Event<'a> {
    pub(super) fn of(object: Object) -> Self {
        let members = object.into_iter();
        Event(
            members
                .map(|(key, value)| (Cow::Owned(key), Part::of(value)))
                .collect(),
        )
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Of several members with one name the last counts.
    fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().rposition(|(key, _)| key == name)
    }

    /// A member that is a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match &self.0[self.position(name)?].1 {
            Part::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A member that is a number from 0 on; otherwise 0.
    pub(super) fn number(&self, name: &str) -> u64 {
        match self.position(name).map(|at| &self.0[at].1) {
            Some(Part::Scalar(value)) => value.as_u64().unwrap_or_default(),
            _ => 0,
        }
    }

    /// Takes out a member.
    #[inline(never)]
    pub(super) fn take(&mut self, name: &str) -> Option<Part<'a>> {
        Some(self.0.remove(self.position(name)?).1)
    }

    /// Takes out a member unless it is null.
    pub(super) fn take_told(&mut self, name: &str) -> Option<Part<'a>> {
        let at = self.position(name)?;
        (!self.0[at].1.is_null()).then(|| self.0.remove(at).1)
    }

    /// Takes out a member that is an object; an empty one if there is none.
    pub(super) fn take_members(&mut self, name: &str) -> Event<'a> {
        match self.take(name) {
            Some(Part::Members(event)) => event,
            _ => Event::default(),
        }
    }

    pub(super) fn into_members(self) -> impl Iterator<Item = (Cow<'a, str>, Part<'a>)> {
        self.0.into_iter()
    }

    #[inline(never)]
    pub(super) fn into_object(self) -> Object {
        let members = self.0.into_iter();
        members
            .map(|(key, part)| (key.into_owned(), part.into_value()))
            .collect()
    }
}

impl<'a> Part<'a> {
    fn of(value: Value) -> Self {
        match value {
            Value::String(text) => Part::Text(Cow::Owned(text)),
            Value::Array(items) => Part::List(items.into_iter().map(Part::of).collect()),
            Value::Object(object) => Part::Members(Event::of(object)),
            scalar => Part::Scalar(scalar),
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Part::Scalar(Value::Null))
    }

    /// Whether it is a text or another scalar, and the same as this value.
    pub(super) fn repeats(&self, value: &Value) -> bool {
        match self {
            Part::Scalar(own) => own == value,
            Part::Text(own) => value == own.as_ref(),
            Part::List(_) | Part::Members(_) => false,
        }
    }

    #[inline(never)]
    pub(super) fn into_value(self) -> Value {
        match self {
            Part::Scalar(value) => value,
            Part::Text(text) => Value::String(text.into_owned()),
            Part::List(items) => items.into_iter().map(Part::into_value).collect(),
            Part::Members(event) => Value::Object(event.into_object()),
        }
    }

    /// The objects of a list, without what else is in it.
    pub(super) fn into_events(self) -> Vec<Event<'a>> {
        let mut events = Vec::new();
        if let Part::List(items) = self {
            for item in items {
                if let Part::Members(event) = item {
                    events.push(event);
                }
            }
        }
        events
    }
}

impl<'de> Deserialize<'de> for Part<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Parts)
    }
}

struct Parts;

impl<'de> Visitor<'de> for Parts {
    type Value = Part<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Part<'de>, E> {
        Ok(Part::Scalar(Value::Null))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Part<'de>, E> {
        Ok(Part::Scalar(flag.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Part<'de>, E> {
        Ok(Part::Scalar(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Part<'de>, E> {
        Ok(Part::Scalar(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Part<'de>, E> {
        Ok(Part::Scalar(number.into()))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Part<'de>, E> {
        Ok(Part::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Part<'de>, E> {
        Ok(Part::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Part<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Part::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Part<'de>, A::Error> {
        let mut read = Vec::with_capacity(8);
        while let Some((Key(key), part)) = members.next_entry()? {
            read.push((key, part));
        }
        Ok(Part::Members(Event(read)))
    }
}

/// The name of a member, which is a text without a copy as well.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Keys)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(text.to_owned())))
    }
}
