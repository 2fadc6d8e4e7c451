//! Spans in protobuf's JSON: a server's, with `snake_case` names and ids in base64, and OTLP/JSON's, with `camelCase` names
//! and ids in hex.

use serde_json::{Map, Value};

use super::member::{items, number};

/// Nesting that a reader follows; deeper values read as null.
const MAX_DEPTH: usize = 64;

/// A member by its `snake_case` name, in either form; null when it is missing.
pub(super) fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    if let Some(found) = value.get(name) {
        return found;
    }
    let mut camel = String::with_capacity(name.len());
    let mut raise = false;
    for character in name.chars() {
        match character {
            '_' => raise = true,
            _ if std::mem::take(&mut raise) => camel.push(character.to_ascii_uppercase()),
            _ => camel.push(character),
        }
    }
    value.get(&camel).unwrap_or(&Value::Null)
}

/// A list of `{"key", "value"}` as names and plain JSON; the last value of a key wins, in the first one's place.
pub(super) fn attributes(span: &Value) -> Map<String, Value> {
    let items = items(span, "attributes").iter();
    let pairs = items.filter_map(|item| {
        let key = item.get("key")?.as_str()?.to_owned();
        Some((key, any(&item["value"], 0)))
    });
    pairs.collect()
}

/// An `AnyValue` as plain JSON; one that is missing is null, as servers write it.
fn any(value: &Value, depth: usize) -> Value {
    let Some((kind, held)) = value.as_object().and_then(|members| members.iter().next()) else {
        return Value::Null;
    };
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    match kind.as_str() {
        "int_value" | "intValue" => match held {
            Value::String(text) => text.parse::<i64>().map_or(Value::Null, Value::from),
            other => other.clone(),
        },
        "double_value" | "doubleValue" => double(held),
        "array_value" | "arrayValue" => {
            let items = items(held, "values").iter();
            items.map(|item| any(item, depth + 1)).collect()
        }
        "kvlist_value" | "kvlistValue" => {
            let members = items(held, "values").iter();
            let members = members.filter_map(|item| {
                let key = item.get("key")?.as_str()?.to_owned();
                Some((key, any(&item["value"], depth + 1)))
            });
            Value::Object(members.collect())
        }
        _ => held.clone(),
    }
}

/// A number, which JSON may have written without its point.
fn double(held: &Value) -> Value {
    match held {
        Value::Number(number) => number.as_f64().map_or(Value::Null, Value::from),
        other => other.clone(),
    }
}

/// A status code: a number or a name with or without its prefix.
pub(super) fn status_code(code: &Value) -> u64 {
    match code.as_str() {
        Some(name) => match name.trim_start_matches("STATUS_CODE_") {
            "OK" => 1,
            "ERROR" => 2,
            _ => 0,
        },
        None => number(code).unwrap_or(0),
    }
}
