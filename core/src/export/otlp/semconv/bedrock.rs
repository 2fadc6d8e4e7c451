//! Amazon Bedrock's Converse.

use serde_json::{Value, json};

use super::{
    Attributes, Object, Provider, REQUEST_MAX_TOKENS, REQUEST_STOP_SEQUENCES, REQUEST_TEMPERATURE,
    REQUEST_TOP_P, TOOL_DEFINITIONS, as_text, items, message, parsed, role, text,
};
use crate::json;

pub(super) struct Converse;

impl Provider for Converse {
    fn inputs(&self, inputs: &Object) -> Option<Vec<Value>> {
        let messages = inputs.get("messages")?.as_array()?.iter();
        Some(messages.map(convert).collect())
    }

    fn instructions(&self, inputs: &Object) -> Option<Vec<Value>> {
        let blocks = inputs.get("system")?.as_array()?.iter();
        let texts = blocks.filter_map(|block| block["text"].as_str());
        let parts: Vec<Value> = texts.filter(|words| !words.is_empty()).map(text).collect();
        (!parts.is_empty()).then_some(parts)
    }

    fn outputs(&self, outputs: &Object) -> Option<Vec<Value>> {
        let message = outputs.get("output")?.get("message")?;
        message.is_object().then(|| vec![convert(message)])
    }

    fn request(&self, inputs: &Object, out: &mut Attributes) {
        let config = inputs.get("inferenceConfig").unwrap_or(&Value::Null);
        for (key, name) in [
            (REQUEST_TEMPERATURE, "temperature"),
            (REQUEST_MAX_TOKENS, "maxTokens"),
            (REQUEST_TOP_P, "topP"),
            (REQUEST_STOP_SEQUENCES, "stopSequences"),
        ] {
            out.put_some(key, config.get(name));
        }
        let tools = inputs
            .get("toolConfig")
            .map_or(&[][..], |config| items(config, "tools"));
        if !tools.is_empty() {
            out.put_text(TOOL_DEFINITIONS, &tools.iter().filter_map(tool).collect());
        }
    }
}

fn convert(given: &Value) -> Value {
    let parts: Vec<Value> = items(given, "content").iter().filter_map(block).collect();
    let has_result = parts
        .iter()
        .any(|part| part["type"] == "tool_call_response");
    message(if has_result { "tool" } else { role(given) }, parts)
}

/// `None` for a block of an unknown form.
fn block(block: &Value) -> Option<Value> {
    if let Some(content) = block.get("text") {
        return Some(text(content.clone()));
    }
    let given = |name: &str| block.get(name).filter(|value| value.is_object());
    if let Some(call) = given("toolUse") {
        return Some(json!({
            "type": "tool_call",
            "id": call["toolUseId"],
            "name": call["name"],
            "arguments": call.get("input").map_or(json!({}), parsed),
        }));
    }
    if let Some(result) = given("toolResult") {
        return Some(json!({
            "type": "tool_call_response",
            "id": result["toolUseId"],
            "response": tool_result(items(result, "content")),
        }));
    }
    given("image").map(image)
}

/// One text as it is, several as a list in JSON.
fn tool_result(content: &[Value]) -> Value {
    let texts = content.iter().filter_map(|item| match item.get("json") {
        Some(value) if !value.is_null() => Some(json::to_text(value)),
        _ => item["text"]
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned),
    });
    let texts: Vec<String> = texts.collect();
    match texts.as_slice() {
        [] => Value::Null,
        [only] => only.as_str().into(),
        several => json::to_text(&json!(several)).into(),
    }
}

fn image(image: &Value) -> Value {
    let Some(content) = image["source"]["bytes"].as_str() else {
        return as_text(image);
    };
    let format = image["format"].as_str().unwrap_or("png");
    json!({
        "type": "blob",
        "modality": "image",
        "mime_type": format!("image/{format}"),
        "content": content,
    })
}

/// `None` for what is no specification of a tool.
fn tool(tool: &Value) -> Option<Value> {
    let given = tool.get("toolSpec")?;
    let mut flat = json!({"type": "function", "name": given.get("name")?});
    if let Some(description) = given.get("description") {
        flat["description"] = description.clone();
    }
    if let Some(schema) = given.get("inputSchema") {
        flat["parameters"] = schema["json"].clone();
    }
    Some(flat)
}
