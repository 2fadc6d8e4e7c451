//! `openai.chat` and `openai.completions`: choices, of which a stream delivers a little of one at a time.

use serde_json::Value;

use super::Object;
use super::merge::{Numbered, merge, supplement};
use super::read::{list, object};
use super::usage::{Usage, count, part};

/// Of every dialect of OpenAI's: those after Chat Completions have other names for the same counts.
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

#[derive(Default)]
struct Choice {
    message: Value,
    text: Option<Value>,
    logprobs: Value,
    rest: Object,
}

pub(super) fn fold(events: &mut dyn Iterator<Item = Object>) -> Object {
    let mut whole = Object::new();
    let mut choices = Numbered::<Choice>::new();
    let mut is_chat = false;
    for mut event in events {
        let mut delivered = event.shift_remove("choices");
        is_chat |= delivered.is_some();
        supplement(&mut whole, event);
        for mut choice in list(delivered.as_mut()).into_iter().filter_map(object) {
            let known = choices.at(choice.get("index"));
            for key in ["delta", "message"] {
                if let Some(piece) = choice.shift_remove(key) {
                    merge(&mut known.message, piece);
                }
            }
            if let Some(piece) = choice.shift_remove("text") {
                merge(known.text.get_or_insert(Value::Null), piece);
            }
            if let Some(piece) = choice.shift_remove("logprobs") {
                merge(&mut known.logprobs, piece);
            }
            supplement(&mut known.rest, choice);
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
    whole.shift_remove("obfuscation");
    whole.insert("choices".to_owned(), choices.into_values(finish).into());
    whole
}

fn finish(index: u64, choice: Choice) -> Value {
    let mut whole = Object::new();
    whole.insert("index".to_owned(), index.into());
    if let Some(text) = choice.text {
        whole.insert("text".to_owned(), text);
    }
    if let Value::Object(message) = choice.message {
        whole.insert("message".to_owned(), self::message(message).into());
    }
    whole.insert("logprobs".to_owned(), choice.logprobs);
    supplement(&mut whole, choice.rest);
    whole.into()
}

fn message(pieces: Object) -> Object {
    let mut message = Object::new();
    message.insert("role".to_owned(), "assistant".into());
    message.insert("content".to_owned(), Value::Null);
    supplement(&mut message, pieces);
    if let Some(Value::Array(calls)) = message.get_mut("tool_calls") {
        calls.sort_by_key(|call| call["index"].as_u64());
        for call in calls.iter_mut().filter_map(Value::as_object_mut) {
            // Which only streams have.
            call.shift_remove("index");
        }
    }
    message
}
