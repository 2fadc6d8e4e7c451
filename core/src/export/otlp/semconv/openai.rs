//! OpenAI's Chat Completions, which many providers speak, and its Responses.

use serde_json::{Value, json};

use super::{
    Attributes, Object, Provider, RESPONSE_FINISH_REASONS, TOOL_DEFINITIONS, as_text, items,
    message, parsed, request, response, role, text,
};
use crate::json;

pub(super) struct ChatCompletions;

impl Provider for ChatCompletions {
    fn inputs(&self, inputs: &Object) -> Option<Vec<Value>> {
        let messages = inputs.get("messages")?.as_array()?.iter();
        let others = messages.filter(|message| role(message) != "system");
        Some(others.map(convert).collect())
    }

    fn instructions(&self, inputs: &Object) -> Option<Vec<Value>> {
        let messages = inputs.get("messages")?.as_array()?.iter();
        let system = messages.filter(|message| role(message) == "system");
        let parts: Vec<Value> = system
            .filter_map(|message| message["content"].as_str())
            .map(text)
            .collect();
        (!parts.is_empty()).then_some(parts)
    }

    fn outputs(&self, outputs: &Object) -> Option<Vec<Value>> {
        let choices = outputs.get("choices")?.as_array()?.iter();
        let messages = choices.map(|choice| {
            let whole = choice.get("message").filter(|message| !message.is_null());
            let mut message = convert(whole.unwrap_or(&choice["delta"]));
            if let Some(reason) = choice["finish_reason"].as_str() {
                message["finish_reason"] = reason.into();
            }
            message
        });
        Some(messages.collect())
    }

    fn request(&self, inputs: &Object, out: &mut Attributes) {
        request(inputs, out);
        put_tools(inputs, out);
    }

    fn response(&self, outputs: &Object, out: &mut Attributes) {
        response(outputs, out);
        let choices = outputs.get("choices").and_then(Value::as_array);
        let reasons: Vec<&Value> = choices
            .into_iter()
            .flatten()
            .map(|choice| &choice["finish_reason"])
            .filter(|reason| reason.is_string())
            .collect();
        if !reasons.is_empty() {
            out.put(RESPONSE_FINISH_REASONS, json!(reasons));
        }
    }
}

pub(super) struct Responses;

impl Provider for Responses {
    fn inputs(&self, inputs: &Object) -> Option<Vec<Value>> {
        match inputs.get("input")? {
            Value::String(input) => Some(vec![message("user", vec![text(input.as_str())])]),
            Value::Array(items) => Some(items.iter().map(input).collect()),
            _ => None,
        }
    }

    fn instructions(&self, inputs: &Object) -> Option<Vec<Value>> {
        let instructions = inputs.get("instructions")?.as_str()?;
        (!instructions.is_empty()).then(|| vec![text(instructions)])
    }

    fn outputs(&self, outputs: &Object) -> Option<Vec<Value>> {
        let items = outputs.get("output")?.as_array()?.iter();
        let status = outputs.get("status").and_then(Value::as_str);
        let messages = items.map(|item| {
            let mut message = output(item);
            if let Some(status) = status {
                message["finish_reason"] = status.into();
            }
            message
        });
        Some(messages.collect())
    }

    fn request(&self, inputs: &Object, out: &mut Attributes) {
        request(inputs, out);
        put_tools(inputs, out);
    }

    fn response(&self, outputs: &Object, out: &mut Attributes) {
        response(outputs, out);
        if let Some(status) = outputs.get("status").filter(|status| status.is_string()) {
            out.put(RESPONSE_FINISH_REASONS, json!([status]));
        }
    }
}

fn input(item: &Value) -> Value {
    match item["type"].as_str() {
        Some("function_call") => function_call(item),
        Some("function_call_output") => {
            message("tool", vec![tool_result(&item["call_id"], &item["output"])])
        }
        _ => convert(item),
    }
}

fn output(item: &Value) -> Value {
    match item["type"].as_str() {
        Some("message") => {
            let parts = items(item, "content").iter().map(|part| {
                match (part["type"].as_str(), part.get("text")) {
                    (Some("output_text"), Some(content)) => text(content.clone()),
                    _ => as_text(part),
                }
            });
            let role = item["role"].as_str().unwrap_or("assistant");
            message(role, parts.collect())
        }
        Some("function_call") => function_call(item),
        _ => message("assistant", vec![as_text(item)]),
    }
}

fn function_call(item: &Value) -> Value {
    let call = json!({
        "type": "tool_call",
        "id": item["call_id"],
        "name": item["name"],
        "arguments": parsed(&item["arguments"]),
    });
    message("assistant", vec![call])
}

fn tool_result(id: &Value, response: &Value) -> Value {
    json!({"type": "tool_call_response", "id": id, "response": response})
}

/// A message of Chat Completions.
fn convert(given: &Value) -> Value {
    let mut parts = content(&given["content"]);
    if parts.is_empty() {
        // Spoken replies have no other text.
        let spoken = given["audio"]["transcript"].as_str();
        parts.extend(spoken.map(text));
    }
    parts.extend(items(given, "tool_calls").iter().map(tool_call));
    match &given["tool_call_id"] {
        Value::String(id) if !id.is_empty() => {
            let result = parts.first().map_or(&Value::Null, |part| &part["content"]);
            message(role(given), vec![tool_result(&json!(id), result)])
        }
        _ => message(role(given), parts),
    }
}

fn content(content: &Value) -> Vec<Value> {
    match content {
        Value::Null => Vec::new(),
        Value::String(content) => vec![text(content.as_str())],
        Value::Array(parts) => parts
            .iter()
            .map(|given| part(given).unwrap_or_else(|| as_text(given)))
            .collect(),
        other => vec![as_text(other)],
    }
}

/// `None` for one of an unknown form.
fn part(part: &Value) -> Option<Value> {
    match part["type"].as_str()? {
        "text" | "input_text" => part.get("text").map(|content| text(content.clone())),
        "image_url" => part["image_url"]["url"].as_str().map(image),
        "input_image" => part["image_url"].as_str().map(image),
        "input_audio" => {
            let audio = &part["input_audio"];
            Some(json!({
                "type": "blob",
                "modality": "audio",
                "mime_type": format!("audio/{}", audio["format"].as_str()?),
                "content": audio.get("data")?,
            }))
        }
        _ => None,
    }
}

/// By `data:` URI (RFC 2397), or by the address of an image elsewhere.
fn image(url: &str) -> Value {
    match url.strip_prefix("data:") {
        Some(data) => {
            let (header, content) = data.split_once(',').unwrap_or((data, ""));
            let mime_type = header.strip_suffix(";base64").unwrap_or(header);
            json!({"type": "blob", "modality": "image", "mime_type": mime_type, "content": content})
        }
        None => json!({"type": "uri", "modality": "image", "uri": url}),
    }
}

fn tool_call(call: &Value) -> Value {
    let function = &call["function"];
    let arguments = function.get("arguments").map_or(json!({}), parsed);
    json!({
        "type": "tool_call",
        "id": call["id"],
        "name": function["name"],
        "arguments": arguments,
    })
}

/// Definitions of tools with what Chat Completions nests in `function` beside the type.
fn put_tools(inputs: &Object, out: &mut Attributes) {
    let Some(tools) = inputs.get("tools").and_then(Value::as_array) else {
        return;
    };
    let flat = tools.iter().map(|tool| {
        let Some(members) = tool.as_object() else {
            return tool.clone();
        };
        let mut flat = Object::new();
        let kind = members.get("type").cloned();
        flat.insert("type".into(), kind.unwrap_or_else(|| "function".into()));
        let inner = tool["function"].as_object().unwrap_or(members);
        flat.extend(inner.clone());
        Value::Object(flat)
    });
    let text = json::to_text(&flat.collect());
    out.put(TOOL_DEFINITIONS, text.into());
}
