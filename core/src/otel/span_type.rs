//! The MLflow type of a span that names none, from what other conventions call it: the rules by which an MLflow
//! server (3.17.2, `mlflow.tracing.otel.translation`) gives such spans a type when it stores them.
//!
//! They are applied here because the log level follows from the type, and servers leave the level alone. A server
//! asks more conventions after these; spans of those are left to it.

use opentelemetry::{KeyValue, Value};

/// The type, by the first convention that knows one, in the server's order.
pub(super) fn of(attributes: &[KeyValue]) -> Option<&'static str> {
    let text = |key| text(attributes, key);
    text("openinference.span.kind")
        .and_then(open_inference)
        .or_else(|| {
            text("gen_ai.agent.name").filter(|name| *name == "gemini-cli")?;
            gemini_cli(text("gen_ai.operation.name")?)
        })
        .or_else(|| claude_code(text("span.type")?))
        .or_else(|| gen_ai(text("gen_ai.operation.name")?))
}

/// The last value of a key, if that is text.
fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let last = attributes
        .iter()
        .rfind(|attribute| attribute.key.as_str() == key)?;
    match &last.value {
        Value::String(text) => Some(text.as_str()),
        _ => None,
    }
}

/// Its kinds have the names of MLflow's types.
fn open_inference(kind: &str) -> Option<&'static str> {
    const KINDS: [&str; 10] = [
        "TOOL",
        "CHAIN",
        "LLM",
        "RETRIEVER",
        "EMBEDDING",
        "AGENT",
        "RERANKER",
        "UNKNOWN",
        "GUARDRAIL",
        "EVALUATOR",
    ];
    KINDS.into_iter().find(|known| *known == kind)
}

fn gemini_cli(operation: &str) -> Option<&'static str> {
    match operation {
        "llm_call" => Some("LLM"),
        "tool_call" => Some("TOOL"),
        "agent_call" => Some("AGENT"),
        _ => None,
    }
}

fn claude_code(span_type: &str) -> Option<&'static str> {
    match span_type.strip_prefix("claude_code.").unwrap_or(span_type) {
        "interaction" => Some("AGENT"),
        "llm_request" => Some("LLM"),
        "tool" => Some("TOOL"),
        _ => None,
    }
}

/// OpenTelemetry's semantic conventions for generative AI.
fn gen_ai(operation: &str) -> Option<&'static str> {
    match operation {
        "chat" => Some("CHAT_MODEL"),
        "create_agent" | "invoke_agent" => Some("AGENT"),
        "embeddings" => Some("EMBEDDING"),
        "execute_tool" => Some("TOOL"),
        "generate_content" | "text_completion" | "response" => Some("LLM"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(pairs: &[(&'static str, &'static str)]) -> Option<&'static str> {
        let pairs = pairs.iter().copied();
        let attributes: Vec<_> = pairs.map(|(key, text)| KeyValue::new(key, text)).collect();
        of(&attributes)
    }

    #[test]
    fn operations_have_the_types_that_a_server_gives_them() {
        for (name, expected) in [
            ("chat", Some("CHAT_MODEL")),
            ("create_agent", Some("AGENT")),
            ("embeddings", Some("EMBEDDING")),
            ("execute_tool", Some("TOOL")),
            ("generate_content", Some("LLM")),
            ("invoke_agent", Some("AGENT")),
            ("text_completion", Some("LLM")),
            ("response", Some("LLM")),
            ("tool_call", None),
            ("Chat", None),
            ("", None),
        ] {
            assert_eq!(derived(&[("gen_ai.operation.name", name)]), expected);
        }
        assert_eq!(of(&[KeyValue::new("gen_ai.operation.name", 5)]), None);
        assert_eq!(derived(&[("traceloop.span.kind", "agent")]), None);
    }

    #[test]
    fn the_first_convention_that_knows_a_type_decides() {
        let chat = ("gen_ai.operation.name", "chat");
        for (other, expected) in [
            (("openinference.span.kind", "CHAIN"), "CHAIN"),
            (("openinference.span.kind", "chain"), "CHAT_MODEL"),
            (("span.type", "tool"), "TOOL"),
            (("span.type", "claude_code.interaction"), "AGENT"),
            (("span.type", "other"), "CHAT_MODEL"),
            (("gen_ai.agent.name", "gemini-cli"), "CHAT_MODEL"),
            (("gen_ai.operation.name", "embeddings"), "EMBEDDING"),
        ] {
            assert_eq!(derived(&[chat, other]), Some(expected), "{other:?}");
        }
        let tool = ("gen_ai.operation.name", "tool_call");
        let gemini = ("gen_ai.agent.name", "gemini-cli");
        assert_eq!(derived(&[tool, gemini]), Some("TOOL"));
    }
}
