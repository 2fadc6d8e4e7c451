//! Members of JSON objects, with errors that name them.

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};

/// An error about stored data.
#[cold]
pub(super) fn damaged(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Damaged, what)
}

/// A text that has to be there.
pub(super) fn text(value: &Value, key: &str) -> Result<String> {
    optional(value, key).ok_or_else(|| damaged(format!("'{key}' is missing or no text")))
}

/// A text that may be missing, null or empty.
pub(super) fn optional(value: &Value, key: &str) -> Option<String> {
    let text = value.get(key)?.as_str()?;
    Some(text.to_owned())
}

/// As [`optional`]; the empty text is none.
pub(super) fn filled(value: &Value, key: &str) -> Option<String> {
    optional(value, key).filter(|text| !text.is_empty())
}

/// A whole number, also as text: protobuf writes those of 64 bits that way.
pub(super) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| {
            let double = number.as_f64()?;
            (double >= 0.0).then_some(double as u64)
        }),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// The items of a list; none for anything else.
pub(super) fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Names and texts: an object, or a list of `{"key", "value"}` as MLflow 2 has it.
pub(super) fn pairs(value: &Value, key: &str) -> Vec<(String, String)> {
    match value.get(key) {
        Some(Value::Object(members)) => {
            let pairs = members.iter();
            pairs
                .map(|(key, value)| (key.clone(), plain(value)))
                .collect()
        }
        Some(Value::Array(items)) => {
            let pairs = items.iter();
            pairs
                .filter_map(|item| Some((optional(item, "key")?, plain(&item["value"]))))
                .collect()
        }
        _ => Vec::new(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => crate::json::to_text(other),
    }
}

/// Names and texts as an object.
pub(super) fn object(pairs: &[(String, String)]) -> Value {
    let members = pairs.iter();
    Value::Object(
        members
            .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
            .collect(),
    )
}

/// Puts a member unless it is empty or missing.
pub(super) fn put(object: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    let value = value.into();
    let is_empty = match &value {
        Value::Null => true,
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    if !is_empty {
        object.insert(key.to_owned(), value);
    }
}
