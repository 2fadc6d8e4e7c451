//! `openai.responses`: items of output; the last event of a stream has all of it.

use serde_json::Value;

use super::Object;
use super::merge::{Numbered, append};
use super::read::{self, set, slot, take, take_object};

/// The response in the last event, if its output is there: nothing else has to be read then.
#[inline(never)]
pub(super) fn closing(chunks: &[&str]) -> Option<Object> {
    for chunk in chunks.iter().rev() {
        // Behind it may be a mark of the end, which is no JSON.
        if let Some(mut event) = read::objects(chunk).pop() {
            let response = take_object(&mut event, &["response"]);
            return has_output(&response).then_some(response);
        }
    }
    None
}

fn has_output(response: &Object) -> bool {
    let output = response.get("output").and_then(Value::as_array);
    output.is_some_and(|output| !output.is_empty())
}

#[inline(never)]
pub(super) fn fold(events: &mut dyn Iterator<Item = Object>) -> Object {
    let mut response = Object::new();
    let mut items = Numbered::default();
    for mut event in events {
        if event.get("object").is_some_and(|kind| kind == "response") {
            response = event;
            continue;
        }
        let Value::String(kind) = take(&mut event, &["type"]) else {
            continue;
        };
        let whole = take_object(&mut event, &["response"]);
        if !whole.is_empty() {
            response = whole;
            continue;
        }
        match kind.as_str() {
            "error" => {
                take(&mut event, &["sequence_number"]);
                set(&mut response, "error", event.into());
            }
            "response.output_item.added" | "response.output_item.done" => {
                let item = take_object(&mut event, &["item"]);
                *items.of(&event, "output_index") = item;
            }
            "response.content_part.added" | "response.reasoning_summary_part.added" => {
                let start = take_object(&mut event, &["part"]);
                if let Some(part) = part(items.of(&event, "output_index"), &event) {
                    *part = start;
                }
            }
            _ => {
                if let Some(Value::String(piece)) = event.get("delta") {
                    grow(items.of(&event, "output_index"), &kind, &event, piece);
                }
            }
        }
    }
    if !items.is_empty() && !has_output(&response) {
        set(&mut response, "output", items.finish(|_, _| ()));
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
    let parts = slot(item, list);
    if parts.is_null() {
        *parts = Value::Array(Vec::new());
    }
    let parts = parts.as_array_mut()?;
    let at = usize::try_from(index)
        .unwrap_or(usize::MAX)
        .min(parts.len());
    if at == parts.len() {
        parts.push(Object::new().into());
    }
    parts[at].as_object_mut()
}
