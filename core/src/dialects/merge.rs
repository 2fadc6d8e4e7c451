//! Putting together what a stream delivers in pieces.

use serde_json::{Value, json};

use super::Object;

/// Members that a piece repeats in full; texts of all others are continued.
const REPEATED: [&str; 5] = ["id", "type", "role", "object", "format"];

/// Adds a piece: texts are continued, objects merged, and items of lists found again by `index` or `id`. What is null says
/// nothing.
pub(super) fn merge(into: &mut Value, piece: Value) {
    match (into, piece) {
        (_, Value::Null) => {}
        (Value::String(into), Value::String(piece)) => into.push_str(&piece),
        (Value::Object(into), Value::Object(piece)) => {
            for (key, value) in piece {
                let is_repeated = REPEATED.contains(&key.as_str());
                if is_repeated && value == "" && into.contains_key(&key) {
                    continue;
                }
                let old = into.entry(key).or_insert(Value::Null);
                if is_repeated && !value.is_null() {
                    *old = value;
                } else {
                    merge(old, value);
                }
            }
        }
        (Value::Array(into), Value::Array(piece)) => {
            for item in piece {
                match position(into, &item) {
                    Some(at) => merge(&mut into[at], item),
                    None => into.push(item),
                }
            }
        }
        // Content may change between a text and a list of parts in the middle of a stream, as with Mistral's reasoning.
        (Value::Array(into), Value::String(piece)) => {
            if let Some(Value::Object(last)) = into.last_mut()
                && let Some(Value::String(text)) = last.get_mut("text")
            {
                text.push_str(&piece);
            } else if !piece.is_empty() {
                into.push(json!({"type": "text", "text": piece}));
            }
        }
        (into, piece @ Value::Array(_)) => {
            let before = std::mem::replace(into, Value::Array(Vec::new()));
            if before.is_string() {
                merge(into, before);
            }
            merge(into, piece);
        }
        (into, piece) => *into = piece,
    }
}

/// Which item the piece belongs to; `None` if it is a new one.
fn position(items: &[Value], piece: &Value) -> Option<usize> {
    let index = &piece["index"];
    let id = piece["id"].as_str().unwrap_or_default();
    if index.is_null() && id.is_empty() {
        return None;
    }
    // Providers that give every call the same index still give each an id.
    items.iter().rposition(|item| {
        let other = item["id"].as_str().unwrap_or_default();
        let same_index = index.is_null() || item["index"].is_null() || *index == item["index"];
        same_index && (id.is_empty() || other.is_empty() || id == other)
    })
}

/// Later members replace earlier ones, unless they are null.
pub(super) fn supplement(into: &mut Object, later: Object) {
    for (key, value) in later {
        if !value.is_null() || !into.contains_key(&key) {
            into.insert(key, value);
        }
    }
}

/// Continues the text of a member.
pub(super) fn append(into: &mut Object, key: &str, piece: &str) {
    match into.get_mut(key) {
        Some(Value::String(text)) => text.push_str(piece),
        _ => {
            into.insert(key.to_owned(), Value::String(piece.to_owned()));
        }
    }
}

/// Items of a stream that come in pieces under a number.
pub(super) struct Numbered<T>(Vec<(u64, T)>);

impl<T: Default> Numbered<T> {
    pub(super) fn new() -> Self {
        Numbered(Vec::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The item with this number; anything that is no number is the first.
    pub(super) fn at(&mut self, number: Option<&Value>) -> &mut T {
        let number = number.and_then(Value::as_u64).unwrap_or_default();
        let known = self.0.iter().rposition(|(other, _)| *other == number);
        let at = known.unwrap_or(self.0.len());
        if known.is_none() {
            self.0.push((number, T::default()));
        }
        &mut self.0[at].1
    }

    /// The items in the order of their numbers.
    pub(super) fn into_values(mut self, finish: impl Fn(u64, T) -> Value) -> Vec<Value> {
        self.0.sort_by_key(|(number, _)| *number);
        let items = self.0.into_iter();
        items.map(|(number, item)| finish(number, item)).collect()
    }
}
