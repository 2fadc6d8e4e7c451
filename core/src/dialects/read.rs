//! Reading JSON of any shape and depth, of which only a part may be of interest.
//!
//! What handles members is not inlined: it would be most of the code of the dialects, and more than the rest of them.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::Object;
use crate::depth;

/// The wanted members of an object; none if the text is no object. The others are not built, which saves most of the
/// work: messages and embeddings are long.
#[inline(never)]
pub(super) fn members(text: &str, wanted: &[&str]) -> Object {
    let read = |text: &str| {
        let mut reader = serde_json::Deserializer::from_str(text);
        reader.deserialize_map(Wanted(wanted))
    };
    // JSON that is too deep for the parser is shallow enough after this.
    let read = read(text).or_else(|_| read(&depth::limit(text)));
    read.unwrap_or_default()
}

struct Wanted<'a>(&'a [&'a str]);

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Object, A::Error> {
        let mut kept = Object::new();
        while let Some(key) = members.next_key::<String>()? {
            if self.0.contains(&key.as_str()) {
                kept.insert(key, members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(kept)
    }
}

/// The object that the text is, or the objects of a list.
#[inline(never)]
pub(super) fn objects(text: &str) -> Vec<Object> {
    let read = |text: &str| serde_json::from_str::<Value>(text);
    match read(text).or_else(|_| read(&depth::limit(text))) {
        Ok(Value::Object(object)) => vec![object],
        Ok(list) => listed(list),
        Err(_) => Vec::new(),
    }
}

/// The objects of a list, without what else is in it.
#[inline(never)]
pub(super) fn listed(list: Value) -> Vec<Object> {
    let mut objects = Vec::new();
    if let Value::Array(items) = list {
        for item in items {
            if let Value::Object(object) = item {
                objects.push(object);
            }
        }
    }
    objects
}

/// Takes out the first of these members that is not null; null if there is none.
#[inline(never)]
pub(super) fn take(object: &mut Object, names: &[&str]) -> Value {
    let mut taken = Value::Null;
    for name in names {
        if taken.is_null() {
            taken = object.shift_remove(*name).unwrap_or_default();
        }
    }
    taken
}

/// The same of a member that is an object; an empty one if there is none.
#[inline(never)]
pub(super) fn take_object(object: &mut Object, names: &[&str]) -> Object {
    match take(object, names) {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

/// A member, to be changed; null if it is new.
#[inline(never)]
pub(super) fn slot<'a>(object: &'a mut Object, name: &str) -> &'a mut Value {
    object.entry(name).or_insert(Value::Null)
}

/// Sets a member.
#[inline(never)]
pub(super) fn set(object: &mut Object, name: &str, value: Value) {
    *slot(object, name) = value;
}

/// A member that is an object, to be changed; an empty one takes the place of anything else.
#[inline(never)]
pub(super) fn inner<'a>(object: &'a mut Object, name: &str) -> &'a mut Object {
    let slot = slot(object, name);
    if !slot.is_object() {
        *slot = Value::Object(Object::new());
    }
    match slot {
        Value::Object(object) => object,
        _ => unreachable!("it was made one"),
    }
}

/// Parses a member that came as text; it stays as it is where it ends too early.
#[inline(never)]
pub(super) fn parse(value: &mut Value) {
    if let Some(parsed) = value
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok())
    {
        *value = parsed;
    }
}
