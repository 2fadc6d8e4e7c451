//! `ollama`: a message, or a text in `response`, of which each line of a stream continues the last.

use super::Object;
use super::merge::{merge, supplement};
use super::read::{slot, take};
use super::usage::{Usage, count};

#[inline(never)]
pub(super) fn usage(reply: &Object) -> Option<Usage> {
    Some(Usage {
        input: count(reply, &["prompt_eval_count"]),
        output: count(reply, &["eval_count"]),
        ..Usage::default()
    })
}

#[inline(never)]
pub(super) fn fold(events: &mut dyn Iterator<Item = Object>) -> Object {
    const CONTINUED: [&str; 3] = ["message", "response", "thinking"];
    let mut whole = Object::new();
    for mut event in events {
        if !event.contains_key("done") && !event.contains_key("embeddings") {
            continue;
        }
        for key in CONTINUED {
            if event.contains_key(key) {
                merge(slot(&mut whole, key), take(&mut event, &[key]));
            }
        }
        supplement(&mut whole, event);
    }
    whole
}
