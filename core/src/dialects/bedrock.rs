//! `bedrock.converse`: a message of content blocks, whose kind is the name of their only member.

use serde_json::Value;

use super::Object;
use super::merge::{Numbered, merge, supplement};
use super::read::{inner, listed, parse, set, slot, take, take_object};
use super::tools::add;
use super::usage::{Usage, count, part};

#[inline(never)]
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

#[inline(never)]
pub(super) fn tools(request: &mut Object) -> Vec<Value> {
    let mut config = take_object(request, &["toolConfig"]);
    let mut tools = Vec::new();
    for mut tool in listed(take(&mut config, &["tools"])) {
        // A marker of the cache, which is in the list as well, has no name.
        let mut tool = take_object(&mut tool, &["toolSpec", "systemTool"]);
        let mut schema = take_object(&mut tool, &["inputSchema"]);
        set(&mut tool, "parameters", take(&mut schema, &["json"]));
        add(&mut tools, tool);
    }
    tools
}

#[inline(never)]
pub(super) fn fold(events: &mut dyn Iterator<Item = Object>) -> Object {
    let mut reply = Object::new();
    let mut role = Value::Null;
    let mut blocks = Numbered::default();
    for event in events {
        for (kind, body) in event {
            let mut body = match (kind.as_str(), body) {
                ("output" | "stopReason" | "usage" | "metrics", body) => {
                    set(&mut reply, &kind, body);
                    continue;
                }
                (_, Value::Object(body)) => body,
                _ => continue,
            };
            match kind.as_str() {
                "messageStart" => role = take(&mut body, &["role"]),
                "contentBlockStart" => {
                    let start = take_object(&mut body, &["start"]);
                    *blocks.of(&body, "contentBlockIndex") = start;
                }
                "contentBlockDelta" => {
                    let delta = take_object(&mut body, &["delta"]);
                    grow(blocks.of(&body, "contentBlockIndex"), delta);
                }
                "messageStop" | "metadata" => supplement(&mut reply, body),
                kind if kind.ends_with("Exception") => {
                    set(&mut reply, "error", body.into());
                }
                _ => {}
            }
        }
    }
    if !role.is_null() || !blocks.is_empty() {
        let message = inner(inner(&mut reply, "output"), "message");
        *slot(message, "role") = match role {
            Value::Null => "assistant".into(),
            role => role,
        };
        *slot(message, "content") = blocks.finish(|_, block| {
            if let Some(Value::Object(tool)) = block.get_mut("toolUse")
                && let Some(input) = tool.get_mut("input")
            {
                // It came as text.
                parse(input);
            }
        });
    }
    reply
}

fn grow(block: &mut Object, delta: Object) {
    for (kind, mut piece) in delta {
        // A whole reply has the text and signature of reasoning one level further down.
        if kind == "reasoningContent" && piece.get("redactedContent").is_none() {
            let mut reasoning = Object::new();
            set(&mut reasoning, "reasoningText", piece);
            piece = reasoning.into();
        }
        merge(slot(block, &kind), piece);
    }
}
