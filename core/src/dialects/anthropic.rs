//! `anthropic`: a message of content blocks, which a stream delivers one after the other.

use serde_json::Value;

use super::Object;
use super::event::{Event, Part};
use super::merge::{Numbered, append, update};
use super::read::{inner, parse, set, slot};
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
pub(super) fn fold(events: &mut dyn Iterator<Item = Event<'_>>) -> Object {
    let mut message = Object::new();
    let mut blocks = Numbered::default();
    for mut event in events {
        match event.text("type").unwrap_or_default() {
            "message" => message = event.into_object(),
            "message_start" => message = event.take_members("message").into_object(),
            "content_block_start" => {
                let start = event.take_members("content_block");
                *blocks.at(event.number("index")) = start.into_object();
            }
            "content_block_delta" => {
                let delta = event.take_members("delta");
                grow(blocks.at(event.number("index")), delta);
            }
            "message_delta" => {
                let counts = event.take_members("usage");
                update(&mut message, event.take_members("delta"));
                if !counts.is_empty() {
                    update(inner(&mut message, "usage"), counts);
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

fn grow(block: &mut Object, delta: Event<'_>) {
    for (key, part) in delta.into_members() {
        match (key.as_ref(), part) {
            ("type", _) | (_, Part::Scalar(Value::Null)) => {}
            // A tool's input comes as text; the object at its start is empty.
            ("partial_json", Part::Text(piece)) if !piece.is_empty() => {
                append(block, "input", &piece);
            }
            ("partial_json", _) => {}
            ("citation", citation) => {
                let citations = slot(block, "citations");
                if !citations.is_array() {
                    *citations = Value::Array(Vec::new());
                }
                if let Value::Array(citations) = citations {
                    citations.push(citation.into_value());
                }
            }
            (key, Part::Text(piece)) => append(block, key, &piece),
            (key, part) => set(block, key, part.into_value()),
        }
    }
}
