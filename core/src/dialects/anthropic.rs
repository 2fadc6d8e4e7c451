//! `anthropic`: a message of content blocks, which a stream delivers one after the other.

use serde_json::Value;

use super::Object;
use super::merge::{Numbered, append, supplement};
use super::read::{inner, parse, set, slot, take_object};
use super::usage::{Usage, count, part};

#[inline(never)]
pub(super) fn usage(reply: &Object) -> Option<Usage> {
    let usage = part(reply, &["usage"])?;
    let tiers = part(usage, &["cache_creation"]);
    let counts = Usage {
        input: count(usage, &["input_tokens"]),
        output: count(usage, &["output_tokens"]),
        total: None,
        cache_read: count(usage, &["cache_read_input_tokens"]),
        cache_creation: count(usage, &["cache_creation_input_tokens"]),
        cache_creation_above_1hr: tiers
            .and_then(|tiers| count(tiers, &["ephemeral_1h_input_tokens"])),
    };
    Some(counts.beside_cache())
}

#[inline(never)]
pub(super) fn fold(events: &mut dyn Iterator<Item = Object>) -> Object {
    let mut message = Object::new();
    let mut blocks = Numbered::default();
    for mut event in events {
        let kind = event.get("type").and_then(Value::as_str);
        match kind.unwrap_or_default() {
            "message" => message = event,
            "message_start" => message = take_object(&mut event, &["message"]),
            "content_block_start" => {
                let start = take_object(&mut event, &["content_block"]);
                *blocks.of(&event, "index") = start;
            }
            "content_block_delta" => {
                let delta = take_object(&mut event, &["delta"]);
                grow(blocks.of(&event, "index"), delta);
            }
            "message_delta" => {
                let counts = take_object(&mut event, &["usage"]);
                supplement(&mut message, take_object(&mut event, &["delta"]));
                if !counts.is_empty() {
                    supplement(inner(&mut message, "usage"), counts);
                }
            }
            _ => {}
        }
    }
    if !blocks.is_empty() {
        *slot(&mut message, "content") = blocks.finish(|_, block| {
            if let Some(input) = block.get_mut("input") {
                parse(input);
            }
        });
    }
    message
}

fn grow(block: &mut Object, delta: Object) {
    for (key, value) in delta {
        match (key.as_str(), value) {
            ("type", _) | (_, Value::Null) => {}
            // A tool's input comes as text; the object at its start is empty.
            ("partial_json", Value::String(piece)) if !piece.is_empty() => {
                append(block, "input", &piece);
            }
            ("partial_json", _) => {}
            ("citation", citation) => {
                let citations = slot(block, "citations");
                if !citations.is_array() {
                    *citations = Value::Array(Vec::new());
                }
                if let Value::Array(citations) = citations {
                    citations.push(citation);
                }
            }
            (key, Value::String(piece)) => append(block, key, &piece),
            (key, value) => set(block, key, value),
        }
    }
}
