//! Anthropic's Messages.

use serde_json::{Value, json};

use super::{
    Attributes, Object, Provider, REQUEST_STOP_SEQUENCES, as_text, list, message, request, role,
    text,
};

pub(super) struct Anthropic;

impl Provider for Anthropic {
    fn inputs(&self, inputs: &Object) -> Option<Vec<Value>> {
        let messages = inputs.get("messages")?.as_array()?.iter();
        Some(messages.map(convert).collect())
    }

    fn instructions(&self, inputs: &Object) -> Option<Vec<Value>> {
        match inputs.get("system")? {
            Value::String(system) => Some(vec![text(system.as_str())]),
            Value::Array(blocks) => Some(blocks.iter().map(block).collect()),
            _ => None,
        }
    }

    fn outputs(&self, outputs: &Object) -> Option<Vec<Value>> {
        let parts = outputs.get("content")?.as_array()?.iter().map(block);
        let role = outputs.get("role").and_then(Value::as_str);
        Some(vec![message(role.unwrap_or("assistant"), parts.collect())])
    }

    fn request(&self, inputs: &Object, out: &mut Attributes) {
        request(inputs, out);
        let stop = inputs.get("stop_sequences").map(list);
        out.put_some(REQUEST_STOP_SEQUENCES, stop.as_ref());
    }
}

fn convert(given: &Value) -> Value {
    let parts: Vec<Value> = match &given["content"] {
        Value::String(content) => vec![text(content.as_str())],
        Value::Array(blocks) => blocks.iter().map(block).collect(),
        _ => Vec::new(),
    };
    match parts.as_slice() {
        // The result of a tool comes in the name of the user.
        [only] if only["type"] == "tool_call_response" => message("tool", parts),
        _ => message(role(given), parts),
    }
}

fn block(block: &Value) -> Value {
    let member = |name: &str| block.get(name).cloned().unwrap_or_else(|| "".into());
    match block["type"].as_str() {
        Some("text") => text(member("text")),
        Some(modality @ ("image" | "document")) => {
            source(modality, &block["source"]).unwrap_or_else(|| as_text(block))
        }
        Some("tool_use") => json!({
            "type": "tool_call",
            "id": member("id"),
            "name": member("name"),
            "arguments": block["input"],
        }),
        Some("tool_result") => json!({
            "type": "tool_call_response",
            "id": member("tool_use_id"),
            "response": member("content"),
        }),
        _ => as_text(block),
    }
}

fn source(modality: &str, source: &Value) -> Option<Value> {
    let member = |name: &str| source.get(name).cloned().unwrap_or_else(|| "".into());
    match source["type"].as_str()? {
        "base64" => Some(json!({
            "type": "blob",
            "modality": modality,
            "mime_type": member("media_type"),
            "content": member("data"),
        })),
        "url" => Some(json!({"type": "uri", "modality": modality, "uri": member("url")})),
        _ => None,
    }
}
