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
    let object = value.as_object()?;
    let list = |key: &str| object.get(key).and_then(Value::as_array).cloned();
    let messages = if let Some(messages) = list("messages").filter(|list| !list.is_empty()) {
        messages
    } else if let Some(message) = object
        .get("choices")
        .and_then(|choices| choices.get(0))
        .and_then(|choice| choice.get("message"))
    {
        vec![message.clone()]
    } else if let Some(items) = list("input").or_else(|| list("output")) {
        items
    } else {
        return last_message(object.get("request")?, role);
    };
    let complete: Vec<&Value> = messages
        .iter()
        .filter(|item| item.get("role").is_some() && item.get("content").is_some())
        .collect();
    let chosen = complete
        .iter()
        .rev()
        .find(|item| item["role"] == role)
        .or(complete.last())?;
    content(&chosen["content"])
}

fn content(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => parts.iter().find_map(|part| match part {
            Value::String(text) => Some(text.clone()),
            _ => match part.get("type").and_then(Value::as_str) {
                Some("text" | "output_text") => part.get("text")?.as_str().map(str::to_owned),
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
