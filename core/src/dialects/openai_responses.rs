//! `openai.responses`: items of output; the last event of a stream has all of it.

use serde_json::{Value, json};

use super::Object;
use super::merge::{Numbered, append};
use super::read;

/// The response in the last event, which is all of it; `None` where the stream has no such end.
pub(super) fn closing(chunks: &[&str]) -> Option<Object> {
    // After it come at most a blank event and a mark of the end.
    let last = chunks.iter().rev().take(3);
    let mut events = last.flat_map(|text| read::objects(text));
    let mut response = events.find_map(|mut event| {
        let kind = event.get("type")?.as_str()?;
        match kind {
            "response.completed" | "response.incomplete" | "response.failed" => {
                read::take(&mut event, &["response"]).and_then(read::object)
            }
            _ => None,
        }
    })?;
    let output = response.get_mut("output").and_then(Value::as_array_mut);
    output
        .is_some_and(|output| !output.is_empty())
        .then_some(response)
}

pub(super) fn fold(events: &mut dyn Iterator<Item = Object>) -> Object {
    let mut response = Object::new();
    let mut items = Numbered::<Object>::new();
    for mut event in events {
        if event.get("object").is_some_and(|kind| kind == "response") {
            response = event;
            continue;
        }
        let Some(Value::String(kind)) = event.shift_remove("type") else {
            continue;
        };
        if let Some(whole) = read::take(&mut event, &["response"]).and_then(read::object) {
            response = whole;
            continue;
        }
        let index = event.get("output_index");
        match kind.as_str() {
            "error" => {
                event.shift_remove("sequence_number");
                response.insert("error".to_owned(), event.into());
            }
            "response.output_item.added" | "response.output_item.done" => {
                if let Some(Value::Object(whole)) = event.get("item") {
                    *items.at(index) = whole.clone();
                }
            }
            "response.content_part.added" | "response.reasoning_summary_part.added" => {
                if let Some(Value::Object(start)) = event.get("part")
                    && let Some(part) = part(items.at(index), &event)
                {
                    *part = start.clone();
                }
            }
            _ => {
                if let Some(Value::String(piece)) = event.get("delta") {
                    grow(items.at(index), &kind, &event, piece);
                }
            }
        }
    }
    let output = response.get("output").and_then(Value::as_array);
    if !items.is_empty() && output.is_none_or(Vec::is_empty) {
        let items = items.into_values(|_, item| item.into());
        response.insert("output".to_owned(), items.into());
    }
    response
}

/// Continues what an event is named after.
fn grow(item: &mut Object, kind: &str, event: &Object, piece: &str) {
    let (into, key) = match kind {
        "response.output_text.delta"
        | "response.reasoning_text.delta"
        | "response.reasoning_summary_text.delta" => (part(item, event), "text"),
        "response.refusal.delta" => (part(item, event), "refusal"),
        "response.function_call_arguments.delta" | "response.mcp_call_arguments.delta" => {
            (Some(item), "arguments")
        }
        "response.custom_tool_call_input.delta" => (Some(item), "input"),
        "response.code_interpreter_call_code.delta" => (Some(item), "code"),
        _ => (None, ""),
    };
    if let Some(into) = into {
        append(into, key, piece);
    }
}

/// The part of an item's content or summary that an event is about.
fn part<'a>(item: &'a mut Object, event: &Object) -> Option<&'a mut Object> {
    let (list, index) = match event.get("summary_index") {
        Some(index) => ("summary", Some(index)),
        None => ("content", event.get("content_index")),
    };
    let index = index.and_then(Value::as_u64).unwrap_or_default();
    let parts = item.entry(list).or_insert_with(|| json!([]));
    let parts = parts.as_array_mut()?;
    let at = usize::try_from(index)
        .unwrap_or(usize::MAX)
        .min(parts.len());
    if at == parts.len() {
        parts.push(json!({}));
    }
    parts[at].as_object_mut()
}
