//! MLflow's attributes in the words of OpenTelemetry's semantic conventions for GenAI (1.37 and later, "gen-ai-spans"), by the
//! rules of MLflow's SDK (3.17.2, `MLFLOW_ENABLE_OTEL_GENAI_SEMCONV`): what the type, the model and the token usage
//! are called, the span's name and kind, and the messages of providers that are known.
//!
//! Inputs and outputs are translated each by itself, and a part of a message that has an unknown form becomes its JSON
//! text: one that is odd costs nothing else. MLflow's own attributes stay behind.

mod anthropic;
mod bedrock;
mod gemini;
mod openai;

use serde_json::{Map, Value, json};

use super::outgoing::Changes;
use crate::json;
use crate::mlflow::keys;
use crate::otlp::reader::SpanData;

const OPERATION_NAME: &str = "gen_ai.operation.name";
const PROVIDER_NAME: &str = "gen_ai.provider.name";
const AGENT_NAME: &str = "gen_ai.agent.name";
const TOOL_NAME: &str = "gen_ai.tool.name";
const TOOL_CALL_ARGUMENTS: &str = "gen_ai.tool.call.arguments";
const TOOL_CALL_RESULT: &str = "gen_ai.tool.call.result";
const TOOL_DEFINITIONS: &str = "gen_ai.tool.definitions";
const INPUT_MESSAGES: &str = "gen_ai.input.messages";
const OUTPUT_MESSAGES: &str = "gen_ai.output.messages";
const SYSTEM_INSTRUCTIONS: &str = "gen_ai.system_instructions";
const REQUEST_MODEL: &str = "gen_ai.request.model";
const REQUEST_TEMPERATURE: &str = "gen_ai.request.temperature";
const REQUEST_MAX_TOKENS: &str = "gen_ai.request.max_tokens";
const REQUEST_TOP_P: &str = "gen_ai.request.top_p";
const REQUEST_STOP_SEQUENCES: &str = "gen_ai.request.stop_sequences";
const RESPONSE_ID: &str = "gen_ai.response.id";
const RESPONSE_MODEL: &str = "gen_ai.response.model";
const RESPONSE_FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
const USAGE_INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
const USAGE_OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";

/// `SPAN_KIND_INTERNAL` and `SPAN_KIND_CLIENT`.
const INTERNAL: u64 = 1;
const CLIENT: u64 = 3;

/// An object of JSON.
type Object = Map<String, Value>;

/// Attributes as they come to be known; the last value of a key counts.
#[derive(Default)]
struct Attributes(Vec<(String, Value)>);

impl Attributes {
    fn put(&mut self, key: &str, value: Value) {
        self.0.retain(|(known, _)| known != key);
        self.0.push((key.to_owned(), value));
    }

    /// As JSON text, which is how structured values travel in these conventions.
    fn put_text(&mut self, key: &str, value: &Value) {
        self.put(key, json::to_text(value).into());
    }

    /// Unless there is none.
    fn put_some(&mut self, key: &str, value: Option<&Value>) {
        if let Some(value) = value.filter(|value| !value.is_null()) {
            self.put(key, value.clone());
        }
    }

    fn put_messages(&mut self, key: &str, messages: Option<Vec<Value>>) {
        if let Some(messages) = messages {
            self.put_text(key, &messages.into());
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == key)?;
        value.as_str().filter(|text| !text.is_empty())
    }
}

/// What a provider's requests and replies hold; `None` where they are not of its form.
trait Provider {
    fn inputs(&self, inputs: &Object) -> Option<Vec<Value>>;
    fn instructions(&self, inputs: &Object) -> Option<Vec<Value>>;
    fn outputs(&self, outputs: &Object) -> Option<Vec<Value>>;

    fn request(&self, inputs: &Object, out: &mut Attributes) {
        request(inputs, out);
    }

    fn response(&self, outputs: &Object, out: &mut Attributes) {
        response(outputs, out);
    }
}

/// The parameters that most providers call the same.
fn request(inputs: &Object, out: &mut Attributes) {
    out.put_some(REQUEST_TEMPERATURE, inputs.get("temperature"));
    out.put_some(REQUEST_MAX_TOKENS, inputs.get("max_tokens"));
    out.put_some(REQUEST_TOP_P, inputs.get("top_p"));
    out.put_some(
        REQUEST_STOP_SEQUENCES,
        inputs.get("stop").map(list).as_ref(),
    );
    if let Some(tools) = inputs.get("tools").filter(|tools| !tools.is_null()) {
        out.put_text(TOOL_DEFINITIONS, tools);
    }
}

fn response(outputs: &Object, out: &mut Attributes) {
    for (key, name) in [(RESPONSE_ID, "id"), (RESPONSE_MODEL, "model")] {
        out.put_some(key, outputs.get(name).filter(|value| **value != json!("")));
    }
}

/// One text as a list.
fn list(value: &Value) -> Value {
    match value {
        Value::String(text) => json!([text]),
        other => other.clone(),
    }
}

/// What is different in a span, a `Span` message.
pub(super) fn translate(span: &[u8]) -> Changes {
    let mut changes = Changes {
        stripped: true,
        ..Changes::default()
    };
    let Ok(data) = SpanData::decode(span) else {
        return changes;
    };
    let mut out = Attributes::default();
    let span_type =
        read(&data, keys::SPAN_TYPE).and_then(|value| value.as_str().map(str::to_owned));
    if let Some(span_type) = span_type.as_deref().filter(|name| !name.is_empty()) {
        out.put(OPERATION_NAME, operation(span_type).into());
    }
    out.put_some(REQUEST_MODEL, read(&data, keys::LLM_MODEL).as_ref());
    out.put_some(PROVIDER_NAME, read(&data, keys::LLM_PROVIDER).as_ref());
    if let Some(Value::Object(usage)) = read(&data, keys::CHAT_TOKEN_USAGE) {
        out.put_some(USAGE_INPUT_TOKENS, usage.get("input_tokens"));
        out.put_some(USAGE_OUTPUT_TOKENS, usage.get("output_tokens"));
    }
    let inputs = read(&data, keys::SPAN_INPUTS);
    let outputs = read(&data, keys::SPAN_OUTPUTS);
    match span_type.as_deref() {
        Some("TOOL") => {
            put_name(&mut out, TOOL_NAME, &data);
            for (key, value) in [(TOOL_CALL_ARGUMENTS, &inputs), (TOOL_CALL_RESULT, &outputs)] {
                if let Some(value) = value {
                    out.put_text(key, value);
                }
            }
        }
        Some("AGENT") => put_name(&mut out, AGENT_NAME, &data),
        _ => {}
    }
    messages(&data, inputs.as_ref(), outputs.as_ref(), &mut out);
    if out.text(TOOL_DEFINITIONS).is_none()
        && let Some(tools) = read(&data, keys::CHAT_TOOLS)
    {
        out.put_text(TOOL_DEFINITIONS, &tools);
    }
    if let Some(operation) = out.text(OPERATION_NAME) {
        let named = [TOOL_NAME, AGENT_NAME, REQUEST_MODEL];
        changes.kind = kind(operation);
        changes.name = Some(match named.iter().find_map(|key| out.text(key)) {
            Some(name) => format!("{operation} {name}"),
            None => operation.to_owned(),
        });
    }
    changes.attributes = out.0;
    changes
}

/// The value of an attribute, with JSON text read; `None` without one and for null.
fn read(data: &SpanData, key: &str) -> Option<Value> {
    match data.attribute(key)? {
        Value::Null => None,
        Value::String(text) if json::is_container(text) => {
            Some(serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()))
        }
        value => Some(value.clone()),
    }
}

fn operation(span_type: &str) -> &str {
    match span_type {
        "CHAT_MODEL" => "chat",
        "LLM" => "generate_content",
        "EMBEDDING" => "embeddings",
        "TOOL" => "execute_tool",
        "AGENT" => "invoke_agent",
        other => other,
    }
}

fn kind(operation: &str) -> Option<u64> {
    match operation {
        "chat" | "text_completion" | "embeddings" | "generate_content" => Some(CLIENT),
        "execute_tool" | "invoke_agent" => Some(INTERNAL),
        _ => None,
    }
}

/// The name of a tool or an agent: that which the instrumentation gave, else that of the span unless it is only the
/// operation.
fn put_name(out: &mut Attributes, key: &str, data: &SpanData) {
    let given = data.attribute(key).and_then(Value::as_str);
    let unquoted = given.and_then(|name| serde_json::from_str::<String>(name).ok());
    let name = unquoted
        .as_deref()
        .or(given)
        .filter(|name| !name.is_empty());
    let is_operation = out.text(OPERATION_NAME) == Some(&data.name);
    let own = Some(data.name.as_str()).filter(|name| !name.is_empty() && !is_operation);
    if let Some(name) = name.or(own) {
        let name = name.to_owned();
        out.put(key, name.into());
    }
}

/// What the inputs and outputs say in a provider's form; Chat Completions where nobody says whose it is.
fn messages(
    data: &SpanData,
    inputs: Option<&Value>,
    outputs: Option<&Value>,
    out: &mut Attributes,
) {
    let format = read(data, keys::MESSAGE_FORMAT);
    let has_input = || inputs.is_some_and(|inputs| inputs.get("input").is_some());
    let provider: &dyn Provider = match format.as_ref().and_then(Value::as_str) {
        Some("openai") if has_input() => &openai::Responses,
        Some("anthropic") => &anthropic::Anthropic,
        Some("gemini") => &gemini::Gemini,
        Some("bedrock") => &bedrock::Converse,
        _ => &openai::ChatCompletions,
    };
    if let Some(inputs) = inputs.and_then(Value::as_object) {
        out.put_messages(INPUT_MESSAGES, provider.inputs(inputs));
        out.put_messages(SYSTEM_INSTRUCTIONS, provider.instructions(inputs));
        provider.request(inputs, out);
    }
    if let Some(outputs) = outputs.and_then(Value::as_object) {
        out.put_messages(OUTPUT_MESSAGES, provider.outputs(outputs));
        provider.response(outputs, out);
    }
}

fn message(role: &str, parts: Vec<Value>) -> Value {
    json!({"role": role, "parts": parts})
}

/// The role that a message names, `user` without one.
fn role(message: &Value) -> &str {
    message["role"].as_str().unwrap_or("user")
}

fn text(content: impl Into<Value>) -> Value {
    json!({"type": "text", "content": content.into()})
}

/// A part of an unknown form.
fn as_text(part: &Value) -> Value {
    text(json::to_text(part))
}

/// The elements of a list in a member; none without it.
fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

/// What a text holds if it is JSON; other values, and other text, as they are.
fn parsed(value: &Value) -> Value {
    let read = value
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok());
    read.unwrap_or_else(|| value.clone())
}

#[cfg(test)]
mod tests;
