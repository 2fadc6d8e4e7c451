//! Translations of whole spans. `tests/otlp` compares them with those of MLflow's SDK.

use super::*;
use crate::otlp::{span as field, wire};
use crate::value::{self, encode_key_value};

/// The changes of a span with these attributes.
fn translated(name: &str, attributes: &[(&str, Value)]) -> Changes {
    let mut span = Vec::new();
    wire::bytes_field(&mut span, field::NAME, name.as_bytes());
    for (key, value) in attributes {
        let text = value.to_string();
        let value = match value {
            Value::String(text) => value::Value::Str(text),
            _ => value::Value::Json(&text),
        };
        encode_key_value(&mut span, field::ATTRIBUTES, key, value);
    }
    translate(&span)
}

/// The attributes, with JSON text read.
fn attributes(changes: &Changes) -> Object {
    let read = |value: &Value| match value {
        Value::String(text) if json::is_container(text) => serde_json::from_str(text).unwrap(),
        other => other.clone(),
    };
    let pairs = changes.attributes.iter();
    pairs
        .map(|(key, value)| (key.clone(), read(value)))
        .collect()
}

/// What a call of a provider that is known by this format becomes.
fn call(format: &str, inputs: Value, outputs: Value) -> Value {
    let changes = translated(
        "call",
        &[
            (keys::SPAN_TYPE, "CHAT_MODEL".into()),
            (keys::MESSAGE_FORMAT, format.into()),
            (keys::SPAN_INPUTS, inputs),
            (keys::SPAN_OUTPUTS, outputs),
        ],
    );
    let mut found = attributes(&changes);
    assert_eq!(found.remove(OPERATION_NAME).unwrap(), "chat");
    found.into()
}

#[test]
fn names_and_kinds() {
    let model = || (keys::LLM_MODEL, Value::from("gpt"));
    for (span_type, more, name, kind) in [
        ("CHAT_MODEL", vec![model()], "chat gpt", Some(CLIENT)),
        ("LLM", vec![], "generate_content", Some(CLIENT)),
        ("EMBEDDING", vec![model()], "embeddings gpt", Some(CLIENT)),
        ("TOOL", vec![model()], "execute_tool own", Some(INTERNAL)),
        ("AGENT", vec![], "invoke_agent own", Some(INTERNAL)),
        (
            "TOOL",
            vec![(TOOL_NAME, "t".into())],
            "execute_tool t",
            Some(INTERNAL),
        ),
        (
            "AGENT",
            vec![(AGENT_NAME, "\"a\"".into())],
            "invoke_agent a",
            Some(INTERNAL),
        ),
        ("CHAIN", vec![], "CHAIN", None),
    ] {
        let mut given = vec![(keys::SPAN_TYPE, span_type.into())];
        given.extend(more);
        let changes = translated("own", &given);
        assert_eq!(changes.name.as_deref(), Some(name));
        assert_eq!(changes.kind, kind, "{span_type}");
        assert!(changes.stripped);
    }
    let tool = translated("execute_tool", &[(keys::SPAN_TYPE, "TOOL".into())]);
    assert_eq!(tool.name.as_deref(), Some("execute_tool"));
    let without_type = translated("own", &[("own", 1.into())]);
    assert_eq!((without_type.name, without_type.attributes), (None, vec![]));
}

#[test]
fn usage_provider_and_tools() {
    let changes = translated(
        "search",
        &[
            (keys::SPAN_TYPE, "TOOL".into()),
            (keys::LLM_PROVIDER, "openai".into()),
            (
                keys::CHAT_TOKEN_USAGE,
                json!({"input_tokens": 3, "output_tokens": 0}),
            ),
            (keys::CHAT_TOOLS, json!([{"type": "function"}])),
            (keys::SPAN_INPUTS, json!({"q": 1})),
            (keys::SPAN_OUTPUTS, json!("found")),
        ],
    );
    let expected = json!({
        OPERATION_NAME: "execute_tool",
        PROVIDER_NAME: "openai",
        USAGE_INPUT_TOKENS: 3,
        USAGE_OUTPUT_TOKENS: 0,
        TOOL_NAME: "search",
        TOOL_CALL_ARGUMENTS: {"q": 1},
        TOOL_CALL_RESULT: "\"found\"",
        TOOL_DEFINITIONS: [{"type": "function"}],
    });
    assert_eq!(Value::Object(attributes(&changes)), expected);
}

#[test]
fn chat_completions() {
    let inputs = json!({
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,cG5n"}},
                {"type": "image_url", "image_url": {"url": "https://host/a.png"}},
                {"type": "image_url"},
            ]},
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
        ],
        "temperature": 0.5, "max_tokens": 9, "top_p": 1, "stop": "end",
        "tools": [{"type": "function", "function": {"name": "f"}}, {"name": "g"}],
    });
    let outputs = json!({
        "id": "r1", "model": "gpt-4o",
        "choices": [{
            "finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": null, "tool_calls": [
                {"id": "c2", "function": {"name": "f", "arguments": "{\"x\": 1}"}},
            ]},
        }],
    });
    let text = |content: &str| json!({"type": "text", "content": content});
    let expected = json!({
        INPUT_MESSAGES: [
            {"role": "user", "parts": [
                text("What is it?"),
                {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "cG5n"},
                {"type": "uri", "modality": "image", "uri": "https://host/a.png"},
                text("{\"type\": \"image_url\"}"),
            ]},
            {"role": "tool", "parts": [
                {"type": "tool_call_response", "id": "c1", "response": "42"},
            ]},
        ],
        SYSTEM_INSTRUCTIONS: [text("Be brief.")],
        REQUEST_TEMPERATURE: 0.5,
        REQUEST_MAX_TOKENS: 9,
        REQUEST_TOP_P: 1,
        REQUEST_STOP_SEQUENCES: ["end"],
        TOOL_DEFINITIONS: [{"type": "function", "name": "f"}, {"type": "function", "name": "g"}],
        OUTPUT_MESSAGES: [{"role": "assistant", "finish_reason": "tool_calls", "parts": [
            {"type": "tool_call", "id": "c2", "name": "f", "arguments": {"x": 1}},
        ]}],
        RESPONSE_ID: "r1",
        RESPONSE_MODEL: "gpt-4o",
        RESPONSE_FINISH_REASONS: ["tool_calls"],
    });
    assert_eq!(call("openai", inputs, outputs), expected);
}

#[test]
fn each_side_by_itself_and_odd_parts_as_text() {
    let inputs = json!({"messages": [{"role": "user", "content": "hi"}, 5]});
    let found = call("", inputs, json!("plain text"));
    assert_eq!(found[INPUT_MESSAGES][0]["parts"][0]["content"], "hi");
    assert_eq!(
        found[INPUT_MESSAGES][1],
        json!({"role": "user", "parts": []})
    );
    assert_eq!(found.get(OUTPUT_MESSAGES), None);
    for format in ["openai", "anthropic", "gemini", "bedrock", "new"] {
        for odd in [
            json!([1]),
            json!({"messages": 1}),
            json!({"input": 1}),
            json!({"contents": 1}),
        ] {
            call(format, odd.clone(), odd);
        }
    }
}
