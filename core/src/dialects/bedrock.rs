//! `bedrock.converse`: a message of content blocks, whose kind is the name of their only member.

use serde_json::{Map, Value, json};

use super::Object;
use super::merge::{Numbered, append, merge, supplement};
use super::read::{list, object, parsed, take};
use super::tools::function;
use super::usage::{Usage, count, part};

pub(super) fn usage(reply: &Object) -> Option<Usage> {
    let usage = part(reply, &["usage"])?;
    let counts = Usage {
        input: count(usage, &["inputTokens"]),
        output: count(usage, &["outputTokens"]),
        cache_read: count(usage, &["cacheReadInputTokens"]),
        cache_creation: count(usage, &["cacheWriteInputTokens"]),
        ..Usage::default()
    };
    Some(counts.beside_cache())
}

pub(super) fn tools(request: &mut Object) -> Vec<Value> {
    let tools = request.get_mut("toolConfig");
    let tools = list(tools.and_then(|config| config.get_mut("tools")));
    tools
        .into_iter()
        .filter_map(object)
        .filter_map(tool)
        .collect()
}

/// A marker of the cache, which is in the list as well, is none.
fn tool(mut tool: Object) -> Option<Value> {
    let mut tool = take(&mut tool, &["toolSpec", "systemTool"]).and_then(object)?;
    let schema = take(&mut tool, &["inputSchema"]).and_then(object);
    function(
        take(&mut tool, &["name"]),
        take(&mut tool, &["description"]),
        schema.and_then(|mut schema| take(&mut schema, &["json"])),
        take(&mut tool, &["strict"]),
    )
}

/// A content block; a tool's input comes as text.
#[derive(Default)]
struct Block {
    content: Object,
    input: String,
}

pub(super) fn fold(events: &mut dyn Iterator<Item = Object>) -> Object {
    let mut reply = Object::new();
    let mut role = None;
    let mut blocks = Numbered::<Block>::new();
    for (kind, mut body) in events.flatten() {
        match (kind.as_str(), &mut body) {
            ("messageStart", Value::Object(start)) => role = start.shift_remove("role"),
            ("contentBlockStart", Value::Object(event)) => {
                let start = take(event, &["start"]).and_then(object);
                let block = blocks.at(event.get("contentBlockIndex"));
                block.content = start.unwrap_or_default();
            }
            ("contentBlockDelta", Value::Object(event)) => {
                if let Some(delta) = take(event, &["delta"]).and_then(object) {
                    blocks.at(event.get("contentBlockIndex")).grow(delta);
                }
            }
            ("messageStop" | "metadata", Value::Object(event)) => {
                supplement(&mut reply, std::mem::take(event));
            }
            ("output" | "stopReason" | "usage" | "metrics", _) => {
                reply.insert(kind, body);
            }
            (kind, _) if kind.ends_with("Exception") => {
                reply.insert("error".to_owned(), body);
            }
            _ => {}
        }
    }
    if role.is_some() || !blocks.is_empty() {
        let role = role.unwrap_or_else(|| "assistant".into());
        let content = blocks.into_values(|_, block| block.finish());
        let output = json!({"message": {"role": role, "content": content}});
        reply.insert("output".to_owned(), output);
    }
    reply
}

impl Block {
    fn grow(&mut self, delta: Object) {
        for (kind, mut piece) in delta {
            match (kind.as_str(), &mut piece) {
                ("text", Value::String(piece)) => append(&mut self.content, "text", piece),
                ("toolUse", Value::Object(tool)) => {
                    if let Some(Value::String(piece)) = tool.get("input") {
                        self.input.push_str(piece);
                    }
                }
                // A whole reply has its text and signature one level further down.
                ("reasoningContent", Value::Object(piece))
                    if piece.contains_key("redactedContent") =>
                {
                    let piece = std::mem::take(piece);
                    self.content.insert(kind, piece.into());
                }
                ("reasoningContent", piece) => {
                    let reasoning = self.content.entry(kind).or_insert_with(|| json!({}));
                    merge(reasoning, json!({"reasoningText": piece}));
                }
                _ => {
                    merge(self.content.entry(kind).or_insert(Value::Null), piece);
                }
            }
        }
    }

    fn finish(mut self) -> Value {
        if !self.input.is_empty() {
            let tool = self
                .content
                .entry("toolUse")
                .or_insert_with(|| Map::new().into());
            if let Value::Object(tool) = tool {
                tool.insert("input".to_owned(), parsed(self.input));
            }
        }
        self.content.into()
    }
}
