//! Request and response previews: the last message a person wrote or read, else the JSON text.

use serde_json::Value;

use crate::json;

/// The longest preview, in code points.
pub(crate) const MAX_LENGTH: usize = 1000;

/// The preview of a root's JSON text, looking for messages of `role` (`user` or `assistant`).
pub(crate) fn preview(text: &str, role: &str) -> String {
    let message = serde_json::from_str::<Value>(text)
        .ok()
        .and_then(|value| last_message(&value, role));
    match message {
        Some(content) if !content.is_empty() => json::truncate(&content, MAX_LENGTH),
        _ => json::truncate(text, MAX_LENGTH),
    }
}

fn last_message(value: &Value, role: &str) -> Option<String> {
    let messages = messages(value)?;
    let chosen = messages
        .iter()
        .rev()
        .find(|item| item["role"] == role)
        .or(messages.last())?;
    content(&chosen["content"]).map(str::to_owned)
}

/// The messages of the first shape that fits: chat request or response, responses API, agent.
fn messages(value: &Value) -> Option<Vec<&Value>> {
    let list = |key: &str| {
        let items = value.get(key)?.as_array().filter(|items| !items.is_empty());
        items.map(|items| items.iter().filter(|item| is_message(item)).collect())
    };
    let choice = || {
        let message = value.get("choices")?.as_array()?.first()?.get("message");
        message
            .filter(|item| is_message(item))
            .map(|item| vec![item])
    };
    list("messages")
        .or_else(choice)
        .or_else(|| list("input"))
        .or_else(|| list("output"))
        .or_else(|| messages(value.get("request")?))
}

fn is_message(item: &Value) -> bool {
    item.get("role").is_some() && item.get("content").is_some()
}

fn content(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        // The first part that is text decides, even when it holds none.
        Value::Array(parts) => parts.iter().find_map(|part| match part {
            Value::String(text) => Some(text.as_str()),
            _ => match part.get("type").and_then(Value::as_str) {
                Some("text" | "output_text") => {
                    Some(part.get("text").and_then(Value::as_str).unwrap_or(""))
                }
                _ => None,
            },
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::preview;

    #[test]
    fn the_table_of_the_specification() {
        let image = r#"{"messages": [{"role": "user", "content": [{"type": "image_url"}, {"type": "text", "text": "T1"}, {"type": "text", "text": "T2"}]}]}"#;
        let dialogue = r#"{"messages": [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}, {"role": "tool", "content": "T"}]}"#;
        let empty = r#"{"messages": [{"role": "user", "content": null}]}"#;
        let textless = r#"{"messages": [{"role": "user", "content": [{"type": "text"}, {"type": "text", "text": "T"}]}]}"#;
        for (text, role, expected) in [
            (dialogue, "user", "A"),
            (
                r#"{"messages": [{"role": "system", "content": "S"}]}"#,
                "user",
                "S",
            ),
            (image, "user", "T1"),
            (empty, "user", empty),
            (
                r#"{"choices": [{"message": {"role": "assistant", "content": "C"}}]}"#,
                "assistant",
                "C",
            ),
            (
                r#"{"request": {"input": [{"role": "user", "content": "R"}]}}"#,
                "user",
                "R",
            ),
            (
                r#"[{"role": "user", "content": "L"}]"#,
                "user",
                r#"[{"role": "user", "content": "L"}]"#,
            ),
            (r#"{"input": "plain"}"#, "user", r#"{"input": "plain"}"#),
            (
                r#"{"input": [], "output": [{"role": "assistant", "content": "O"}]}"#,
                "assistant",
                "O",
            ),
            (
                r#"{"choices": [{"message": null}], "input": [{"role": "user", "content": "I"}]}"#,
                "user",
                "I",
            ),
            (textless, "user", textless),
            (r#""out""#, "assistant", r#""out""#),
        ] {
            assert_eq!(preview(text, role), expected);
        }
    }

    #[test]
    fn long_text_is_cut_at_1000_code_points() {
        let text = format!("\"{}\"", "é".repeat(2000));
        let cut = preview(&text, "user");
        assert_eq!(cut.chars().count(), 1000);
        assert!(cut.ends_with("..."));
    }
}
