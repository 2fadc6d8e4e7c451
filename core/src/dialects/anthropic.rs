//! `anthropic`: a message of content blocks, which a stream delivers one after the other.

use serde_json::Value;

use super::Object;
use super::merge::{Numbered, append, supplement};
use super::read::{object, parsed, take};
use super::usage::{Usage, count, part};

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

/// A content block; a tool's input comes as text.
#[derive(Default)]
struct Block {
    content: Object,
    input: String,
}

pub(super) fn fold(events: &mut dyn Iterator<Item = Object>) -> Object {
    let mut message = Object::new();
    let mut blocks = Numbered::<Block>::new();
    for mut event in events {
        match event.get("type").and_then(Value::as_str) {
            Some("message") => message = event,
            Some("message_start") => {
                message = take(&mut event, &["message"])
                    .and_then(object)
                    .unwrap_or_default();
            }
            Some("content_block_start") => {
                if let Some(content) = take(&mut event, &["content_block"]).and_then(object) {
                    blocks.at(event.get("index")).content = content;
                }
            }
            Some("content_block_delta") => {
                if let Some(delta) = take(&mut event, &["delta"]).and_then(object) {
                    blocks.at(event.get("index")).grow(delta);
                }
            }
            Some("message_delta") => {
                let counts = take(&mut event, &["usage"]).and_then(object);
                let delta = take(&mut event, &["delta"]).and_then(object);
                supplement(&mut message, delta.unwrap_or_default());
                if let Some(counts) = counts {
                    match message.get_mut("usage") {
                        Some(Value::Object(usage)) => supplement(usage, counts),
                        _ => {
                            message.insert("usage".to_owned(), counts.into());
                        }
                    }
                }
            }
            _ => {}
        }
    }
    if !blocks.is_empty() {
        let blocks = blocks.into_values(|_, block| block.finish());
        message.insert("content".to_owned(), blocks.into());
    }
    message
}

impl Block {
    fn grow(&mut self, delta: Object) {
        for (key, value) in delta {
            match (key.as_str(), value) {
                ("type", _) | (_, Value::Null) => {}
                ("partial_json", Value::String(piece)) => self.input.push_str(&piece),
                ("citation", citation) => match self.content.get_mut("citations") {
                    Some(Value::Array(citations)) => citations.push(citation),
                    _ => {
                        let citations = vec![citation].into();
                        self.content.insert("citations".to_owned(), citations);
                    }
                },
                (key, Value::String(piece)) => append(&mut self.content, key, &piece),
                (_, value) => {
                    self.content.insert(key, value);
                }
            }
        }
    }

    fn finish(mut self) -> Value {
        if !self.input.is_empty() {
            self.content.insert("input".to_owned(), parsed(self.input));
        }
        self.content.into()
    }
}
