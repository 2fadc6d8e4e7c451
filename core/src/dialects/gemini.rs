//! `gemini`: candidates of parts. Its Python library has `snake_case` members, all others `camelCase`.

use serde_json::{Value, json};

use super::Object;
use super::merge::{Numbered, append, supplement};
use super::read::{list, object, take};
use super::tools::function;
use super::usage::{Usage, count, part};

/// Thoughts are in the total but not in the output, as MLflow has it.
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
pub(super) fn tools(request: &mut Object) -> Vec<Value> {
    let mut config = take(request, &["config"])
        .and_then(object)
        .unwrap_or_default();
    let mut tools = take(&mut config, &["tools"]).or_else(|| take(request, &["tools"]));
    let tools = list(tools.as_mut()).into_iter().filter_map(object);
    tools.flat_map(tool).collect()
}

/// One tool may declare many functions, and be one of Gemini's own beside.
fn tool(tool: Object) -> Vec<Value> {
    let mut tools = Vec::new();
    for (key, mut value) in tool {
        match key.as_str() {
            "function_declarations" | "functionDeclarations" => {
                let declarations = list(Some(&mut value)).into_iter().filter_map(object);
                tools.extend(declarations.filter_map(declared));
            }
            _ if value.is_null() => {}
            _ => tools.extend(function(Some(key.into()), None, None, None)),
        }
    }
    tools
}

fn declared(mut declaration: Object) -> Option<Value> {
    let json_schema = ["parameters_json_schema", "parametersJsonSchema"];
    let parameters = take(&mut declaration, &json_schema)
        .or_else(|| take(&mut declaration, &["parameters"]).map(schema));
    let description = take(&mut declaration, &["description"]);
    function(
        take(&mut declaration, &["name"]),
        description,
        parameters,
        None,
    )
}

/// A schema as Gemini writes it (`{"type": "STRING", "any_of": null}`) as JSON Schema.
fn schema(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(schema).collect(),
        Value::Object(members) => {
            let members = members.into_iter().filter(|(_, value)| !value.is_null());
            let members = members.map(|(key, value)| match (key.as_str(), value) {
                ("type", Value::String(kind)) => (key, kind.to_lowercase().into()),
                // What lies below are names of the host's, not words of the schema.
                ("properties", Value::Object(named)) => {
                    let named = named.into_iter();
                    let named = named.map(|(name, value)| (name, schema(value)));
                    (key, Value::Object(named.collect()))
                }
                ("any_of", value) => ("anyOf".to_owned(), schema(value)),
                ("anyOf" | "items", value) => (key, schema(value)),
                (_, value) => (key, value),
            });
            Value::Object(members.collect())
        }
        value => value,
    }
}

#[derive(Default)]
struct Candidate {
    rest: Object,
    content: Option<Object>,
    parts: Vec<Value>,
}

pub(super) fn fold(events: &mut dyn Iterator<Item = Object>) -> Object {
    let mut whole = Object::new();
    let mut candidates = Numbered::<Candidate>::new();
    let mut is_reply = false;
    for mut event in events {
        let mut delivered = take(&mut event, &["candidates"]);
        is_reply |= delivered.is_some();
        is_reply |= [
            "usage_metadata",
            "usageMetadata",
            "prompt_feedback",
            "promptFeedback",
        ]
        .iter()
        .any(|key| event.contains_key(*key));
        supplement(&mut whole, event);
        for mut candidate in list(delivered.as_mut()).into_iter().filter_map(object) {
            let known = candidates.at(candidate.get("index"));
            if let Some(mut content) = take(&mut candidate, &["content"]).and_then(object) {
                for part in list(content.get_mut("parts")) {
                    add(&mut known.parts, part);
                }
                supplement(known.content.get_or_insert_default(), content);
            }
            supplement(&mut known.rest, candidate);
        }
    }
    if !is_reply {
        return Object::new();
    }
    if !candidates.is_empty() {
        let candidates = candidates.into_values(|_, candidate| candidate.finish());
        whole.insert("candidates".to_owned(), candidates.into());
    }
    whole
}

impl Candidate {
    fn finish(self) -> Value {
        let mut candidate = Object::new();
        if let Some(mut content) = self.content {
            content.insert("parts".to_owned(), self.parts.into());
            candidate.insert("content".to_owned(), content.into());
        }
        supplement(&mut candidate, self.rest);
        candidate.into()
    }
}

/// Adds a part; text goes on where the last part is text as well, and both are thoughts or neither.
fn add(parts: &mut Vec<Value>, mut part: Value) {
    let is_thought = |part: &Value| part["thought"] == json!(true);
    if let Some(last) = parts.last_mut()
        && last["text"].is_string()
        && is_thought(last) == is_thought(&part)
        && let Some(last) = last.as_object_mut()
        && let Some(new) = part.as_object_mut()
        && let Some(Value::String(text)) = new.get_mut("text")
    {
        append(last, "text", &std::mem::take(text));
        new.shift_remove("text");
        supplement(last, std::mem::take(new));
    } else {
        parts.push(part);
    }
}
