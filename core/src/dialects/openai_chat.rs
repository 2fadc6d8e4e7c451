//! `openai.chat` and `openai.completions`: choices, of which a stream delivers a little of one at a time.

use serde_json::Value;

use super::Object;
use super::event::{Event, Part};
use super::merge::{Numbered, extend, update};
use super::read::{set, slot, take};
use super::usage::{Usage, count, part};

/// Of every dialect of OpenAI's: those after Chat Completions have other names for the same counts.
#[inline(never)]
pub(super) fn usage(reply: &Object) -> Option<Usage> {
    // Groq has it in a member of its own in streams.
    let usage = part(reply, &["usage"]).or_else(|| part(part(reply, &["x_groq"])?, &["usage"]))?;
    let details = part(usage, &["prompt_tokens_details", "input_tokens_details"]);
    let cached = details.and_then(|details| count(details, &["cached_tokens"]));
    Some(Usage {
        input: count(usage, &["prompt_tokens", "input_tokens"]),
        output: count(usage, &["completion_tokens", "output_tokens"]),
        total: count(usage, &["total_tokens"]),
        // Those who translate for other providers have the others' names.
        cache_read: cached.or_else(|| count(usage, &["cache_read_input_tokens"])),
        cache_creation: count(usage, &["cache_creation_input_tokens"]),
        cache_creation_above_1hr: None,
    })
}

#[inline(never)]
pub(super) fn fold(events: &mut dyn Iterator<Item = Event<'_>>) -> Object {
    const CONTINUED: [(&str, &str); 4] = [
        ("delta", "message"),
        ("message", "message"),
        ("text", "text"),
        ("logprobs", "logprobs"),
    ];
    let mut whole = Object::new();
    let mut choices = Numbered::default();
    let mut is_chat = false;
    for mut event in events {
        let delivered = event.take("choices");
        is_chat |= delivered.is_some();
        update(&mut whole, event);
        for mut piece in delivered.map(Part::into_events).unwrap_or_default() {
            let choice = choices.at(piece.number("index"));
            if choice.is_empty() {
                // First, for those who read it.
                set(choice, "index", Value::Null);
            }
            for (from, to) in CONTINUED {
                if let Some(part) = piece.take(from) {
                    extend(choice, to, part);
                }
            }
            update(choice, piece);
        }
    }
    if !is_chat {
        return Object::new();
    }
    if let Some(Value::String(kind)) = whole.get_mut("object")
        && let Some(name) = kind.strip_suffix(".chunk")
    {
        *kind = name.to_owned();
    }
    // Noise that hides the length of a chunk from who listens on the network.
    take(&mut whole, &["obfuscation"]);
    set(&mut whole, "choices", choices.finish(finish));
    whole
}

fn finish(index: u64, choice: &mut Object) {
    let number = slot(choice, "index");
    if number.is_null() {
        *number = index.into();
    }
    slot(choice, "logprobs");
    let Some(Value::Object(message)) = choice.get_mut("message") else {
        return;
    };
    let role = slot(message, "role");
    if role.is_null() {
        *role = "assistant".into();
    }
    slot(message, "content");
    if let Some(Value::Array(calls)) = message.get_mut("tool_calls") {
        for call in calls {
            // Which only streams have.
            if let Value::Object(call) = call {
                take(call, &["index"]);
            }
        }
    }
}
