//! Putting together what a stream delivers in pieces.

use serde_json::{Value, json};

use super::Object;
use super::event::{Event, Part};

/// Members that a piece repeats in full; texts of all others are continued.
const REPEATED: [&str; 5] = ["id", "type", "role", "object", "format"];

/// Adds a piece: texts are continued, objects merged, and items of lists found again by `index` or `id`. What is null says
/// nothing.
pub(super) fn merge(into: &mut Value, piece: Value) {
    match (into, piece) {
        (_, Value::Null) => {}
        (Value::String(into), Value::String(piece)) => into.push_str(&piece),
        (Value::Object(into), Value::Object(piece)) => merge_members(into, piece),
        (Value::Array(into), Value::Array(piece)) => {
            for item in piece {
                match position(into, &item) {
                    Some(at) => merge(&mut into[at], item),
                    None => into.insert(place(into, &item), item),
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

fn merge_members(into: &mut Object, piece: Object) {
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

/// Adds a part of an event to a member as [`merge`] does; a new member takes it as it is.
#[inline(never)]
pub(super) fn extend(into: &mut Object, name: &str, part: Part<'_>) {
    match (into.get_mut(name), part) {
        (Some(Value::String(text)), Part::Text(piece)) if !REPEATED.contains(&name) => {
            text.push_str(&piece);
        }
        (Some(Value::Object(object)), Part::Members(event)) if !REPEATED.contains(&name) => {
            for (key, part) in event.into_members() {
                extend(object, &key, part);
            }
        }
        (_, part) => {
            let mut piece = Object::new();
            piece.insert(name.to_owned(), part.into_value());
            merge_members(into, piece);
        }
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

/// Where a new item goes: they are in the order of their indices.
fn place(items: &[Value], piece: &Value) -> usize {
    let Some(index) = piece["index"].as_u64() else {
        return items.len();
    };
    let is_before = |item: &Value| item["index"].as_u64().is_none_or(|other| other <= index);
    items.iter().rposition(is_before).map_or(0, |at| at + 1)
}

/// Later members replace earlier ones, unless they are null.
#[inline(never)]
pub(super) fn supplement(into: &mut Object, later: Object) {
    for (key, value) in later {
        if !value.is_null() || !into.contains_key(&key) {
            into.insert(key, value);
        }
    }
}

/// As [`supplement`], of an event, which mostly repeats what is there.
#[inline(never)]
pub(super) fn update(into: &mut Object, event: Event<'_>) {
    for (key, part) in event.into_members() {
        match into.get_mut(key.as_ref()) {
            None => {
                into.insert(key.into_owned(), part.into_value());
            }
            Some(old) if !part.is_null() && !part.repeats(old) => *old = part.into_value(),
            Some(_) => {}
        }
    }
}

/// Continues the text of a member.
#[inline(never)]
pub(super) fn append(into: &mut Object, key: &str, piece: &str) {
    match into.get_mut(key) {
        Some(Value::String(text)) => text.push_str(piece),
        _ => {
            into.insert(key.to_owned(), piece.into());
        }
    }
}

/// Objects that come in pieces under a number, in the order of their numbers.
#[derive(Default)]
pub(super) struct Numbered(Vec<(u64, Object)>);

impl Numbered {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The object that a member of the piece has the number of; without a number, the first.
    pub(super) fn of(&mut self, piece: &Object, number: &str) -> &mut Object {
        let number = piece.get(number).and_then(Value::as_u64);
        self.at(number.unwrap_or_default())
    }

    /// The object with this number.
    #[inline(never)]
    pub(super) fn at(&mut self, number: u64) -> &mut Object {
        let before = self.0.iter().rposition(|(other, _)| *other <= number);
        let at = match before {
            Some(at) if self.0[at].0 == number => at,
            _ => {
                let at = before.map_or(0, |at| at + 1);
                self.0.insert(at, (number, Object::new()));
                at
            }
        };
        &mut self.0[at].1
    }

    /// The objects as a list, each finished with its number.
    pub(super) fn finish(self, finish: fn(u64, &mut Object)) -> Value {
        let mut list = Vec::with_capacity(self.0.len());
        for (number, mut object) in self.0 {
            finish(number, &mut object);
            list.push(Value::Object(object));
        }
        Value::Array(list)
    }
}
