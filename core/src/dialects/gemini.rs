//! `gemini`: candidates of parts. Its Python library has `snake_case` members, all others `camelCase`.

use serde_json::Value;

use super::Object;
use super::merge::{Numbered, append, supplement};
use super::read::{inner, listed, set, slot, take, take_object};
use super::tools::add;
use super::usage::{Usage, count, part};

/// Thoughts are in the total but not in the output, as MLflow has it.
#[inline(never)]
pub(super) fn usage(reply: &Object) -> Option<Usage> {
    let usage = part(reply, &["usage_metadata", "usageMetadata"])?;
    Some(Usage {
        input: count(usage, &["prompt_token_count", "promptTokenCount"]),
        output: count(usage, &["candidates_token_count", "candidatesTokenCount"]),
        total: count(usage, &["total_token_count", "totalTokenCount"]),
        cache_read: count(
            usage,
            &["cached_content_token_count", "cachedContentTokenCount"],
        ),
        ..Usage::default()
    })
}

/// The libraries have the tools in `config`, the request itself does not.
#[inline(never)]
pub(super) fn tools(request: &mut Object) -> Vec<Value> {
    let mut config = take_object(request, &["config"]);
    let mut list = take(&mut config, &["tools"]);
    if list.is_null() {
        list = take(request, &["tools"]);
    }
    let mut tools = Vec::new();
    for tool in listed(list) {
        // One tool may declare many functions, and be one of Gemini's own beside.
        for (key, value) in tool {
            match key.as_str() {
                "function_declarations" | "functionDeclarations" => {
                    for declaration in listed(value) {
                        add_declared(&mut tools, declaration);
                    }
                }
                _ if value.is_null() => {}
                _ => {
                    let mut own = Object::new();
                    set(&mut own, "name", key.into());
                    add(&mut tools, own);
                }
            }
        }
    }
    tools
}

fn add_declared(tools: &mut Vec<Value>, mut declaration: Object) {
    let json_schema = ["parameters_json_schema", "parametersJsonSchema"];
    let json_schema = take(&mut declaration, &json_schema);
    let parameters = slot(&mut declaration, "parameters");
    match json_schema {
        Value::Null => schema(parameters),
        json_schema => *parameters = json_schema,
    }
    add(tools, declaration);
}

/// Makes a schema as Gemini writes it (`{"type": "STRING", "any_of": null}`) one of JSON Schema.
fn schema(value: &mut Value) {
    if let Value::Array(items) = value {
        items.iter_mut().for_each(schema);
    }
    let Value::Object(members) = value else {
        return;
    };
    members.retain(|_, value| !value.is_null());
    let any_of = take(members, &["any_of"]);
    if !any_of.is_null() {
        set(members, "anyOf", any_of);
    }
    for (key, value) in members {
        match (key.as_str(), value) {
            ("type", Value::String(kind)) => kind.make_ascii_lowercase(),
            // What lies below are names of the host's, not words of the schema.
            ("properties", Value::Object(named)) => named.values_mut().for_each(schema),
            ("anyOf" | "items", value) => schema(value),
            _ => {}
        }
    }
}

#[inline(never)]
pub(super) fn fold(events: &mut dyn Iterator<Item = Object>) -> Object {
    const TELLING: [&str; 5] = [
        "candidates",
        "usage_metadata",
        "usageMetadata",
        "prompt_feedback",
        "promptFeedback",
    ];
    let mut whole = Object::new();
    let mut candidates = Numbered::default();
    let mut is_reply = false;
    for mut event in events {
        is_reply |= TELLING.iter().any(|key| event.contains_key(*key));
        let delivered = take(&mut event, &["candidates"]);
        supplement(&mut whole, event);
        for mut piece in listed(delivered) {
            let candidate = candidates.of(&piece, "index");
            let mut content = take_object(&mut piece, &["content"]);
            if !content.is_empty() {
                let parts = take(&mut content, &["parts"]);
                let known = inner(candidate, "content");
                add_parts(slot(known, "parts"), parts);
                supplement(known, content);
            }
            supplement(candidate, piece);
        }
    }
    if !is_reply {
        return Object::new();
    }
    if !candidates.is_empty() {
        set(&mut whole, "candidates", candidates.finish(|_, _| ()));
    }
    whole
}

/// Adds parts; text goes on where the last part is text as well, and both are thoughts or neither.
fn add_parts(parts: &mut Value, more: Value) {
    if !parts.is_array() {
        *parts = Value::Array(Vec::new());
    }
    let Value::Array(parts) = parts else { return };
    let is_thought = |part: &Object| part.get("thought") == Some(&Value::Bool(true));
    for mut part in listed(more) {
        match (parts.last_mut(), part.get("text")) {
            (Some(Value::Object(last)), Some(Value::String(text)))
                if last.get("text").is_some_and(Value::is_string)
                    && is_thought(last) == is_thought(&part) =>
            {
                append(last, "text", text);
                take(&mut part, &["text"]);
                supplement(last, part);
            }
            _ => parts.push(part.into()),
        }
    }
}
