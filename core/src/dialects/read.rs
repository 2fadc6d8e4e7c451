//! Reading JSON of any shape and depth, of which only a part may be of interest.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::Object;
use crate::depth;

/// The wanted members of an object; none if the text is no object. The others are not built, which saves most of the
/// work: messages and embeddings are long.
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
pub(super) fn objects(text: &str) -> Vec<Object> {
    let value = serde_json::from_str(text).or_else(|_| serde_json::from_str(&depth::limit(text)));
    match value {
        Ok(Value::Object(object)) => vec![object],
        Ok(Value::Array(items)) => items.into_iter().filter_map(object).collect(),
        _ => Vec::new(),
    }
}

/// The object that a value is.
pub(super) fn object(value: Value) -> Option<Object> {
    match value {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// Takes a list out of a value.
pub(super) fn list(value: Option<&mut Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(items)) => std::mem::take(items),
        _ => Vec::new(),
    }
}

/// Takes out the first of these members that is not null.
pub(super) fn take(object: &mut Object, names: &[&str]) -> Option<Value> {
    let mut values = names.iter().filter_map(|name| object.shift_remove(*name));
    values.find(|value| !value.is_null())
}

/// A text parsed, or as it is where it ends too early.
pub(super) fn parsed(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}
