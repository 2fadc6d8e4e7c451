//! Google's Gemini.

use serde_json::{Value, json};

use super::{Attributes, Object, Provider, as_text, items, message, request, role, text};

pub(super) struct Gemini;

impl Provider for Gemini {
    fn inputs(&self, inputs: &Object) -> Option<Vec<Value>> {
        let contents = match inputs.get("contents")? {
            Value::String(content) => {
                return Some(vec![message("user", vec![text(content.as_str())])]);
            }
            Value::Array(contents) => contents,
            _ => return None,
        };
        let are_messages = contents
            .first()
            .is_some_and(|first| first.get("role").is_some());
        Some(match are_messages {
            true => contents.iter().map(convert).collect(),
            false => vec![message("user", contents.iter().map(part).collect())],
        })
    }

    fn instructions(&self, inputs: &Object) -> Option<Vec<Value>> {
        match &inputs.get("config")?["system_instruction"] {
            Value::String(instruction) => Some(vec![text(instruction.as_str())]),
            instruction @ Value::Object(_) => {
                Some(items(instruction, "parts").iter().map(part).collect())
            }
            _ => None,
        }
    }

    fn outputs(&self, outputs: &Object) -> Option<Vec<Value>> {
        let candidates = outputs.get("candidates")?.as_array()?.iter();
        let messages = candidates.map(|candidate| {
            let content = &candidate["content"];
            let parts = items(content, "parts").iter().map(part);
            message(speaker(content), parts.collect())
        });
        Some(messages.collect())
    }

    fn request(&self, inputs: &Object, out: &mut Attributes) {
        let Some(mut config) = inputs.get("config").and_then(Value::as_object).cloned() else {
            return;
        };
        for (theirs, usual) in [
            ("max_output_tokens", "max_tokens"),
            ("stop_sequences", "stop"),
        ] {
            if let Some(value) = config.remove(theirs) {
                config.insert(usual.to_owned(), value);
            }
        }
        // Their tools are Python functions; `mlflow.chat.tools` has the definitions.
        config.remove("tools");
        request(&config, out);
    }
}

fn speaker(content: &Value) -> &str {
    match role(content) {
        "model" => "assistant",
        other => other,
    }
}

fn convert(content: &Value) -> Value {
    let parts: Vec<Value> = items(content, "parts").iter().map(part).collect();
    let is_result = |part: &Value| part["type"] == "tool_call_response";
    match !parts.is_empty() && parts.iter().all(is_result) {
        true => message("tool", parts),
        false => message(speaker(content), parts),
    }
}

fn part(part: &Value) -> Value {
    if let Some(content) = part.as_str() {
        return text(content);
    }
    let given = |name: &str| part.get(name).filter(|value| value.is_object());
    let member =
        |of: &Value, name: &str, otherwise: Value| of.get(name).cloned().unwrap_or(otherwise);
    if let Some(content) = part.get("text").filter(|content| !content.is_null()) {
        text(content.clone())
    } else if let Some(data) = given("inline_data") {
        media("blob", data, "content", member(data, "data", "".into()))
    } else if let Some(data) = given("file_data") {
        media("uri", data, "uri", member(data, "file_uri", "".into()))
    } else if let Some(call) = given("function_call") {
        json!({
            "type": "tool_call",
            "name": member(call, "name", "".into()),
            "arguments": member(call, "args", json!({})),
        })
    } else if let Some(result) = given("function_response") {
        json!({
            "type": "tool_call_response",
            "name": member(result, "name", "".into()),
            "response": member(result, "response", json!({})),
        })
    } else {
        as_text(part)
    }
}

fn media(kind: &str, data: &Value, key: &str, content: Value) -> Value {
    let mime_type = data["mime_type"].as_str().unwrap_or_default();
    let mut part = json!({"type": kind, "mime_type": mime_type});
    part[key] = content;
    if let Some(modality) = mime_type.split('/').next().filter(|name| !name.is_empty()) {
        part["modality"] = modality.into();
    }
    part
}
