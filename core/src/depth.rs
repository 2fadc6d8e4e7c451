//! The depth that JSON may have for a trace to stay readable.
//!
//! MLflow (3.17.2) stores deeper JSON, and then every read of the trace fails, alone and in batches: an
//! object costs three levels of the protobuf readers of server and client and an array two, of a hundred
//! less the envelope. What lies deeper is kept as a string that holds its text.

use std::borrow::Cow;

use crate::json::{string_end, write_string};

/// The levels that a value may use: measured, 31 objects or 47 arrays are read back and one more is not.
const BUDGET: usize = 95;
/// Of an attribute of an event or a link, which lies one level further down: measured likewise.
const NATIVE_BUDGET: usize = BUDGET - 1;
const OBJECT: usize = 3;
const ARRAY: usize = 2;

/// JSON text within the budget. Text that is not balanced is left alone; no reader will parse it.
pub(crate) fn limit(text: &str) -> Cow<'_, str> {
    limit_to(text, BUDGET)
}

/// As [`limit`], for attributes of events and links.
pub(crate) fn limit_native(text: &str) -> Cow<'_, str> {
    limit_to(text, NATIVE_BUDGET)
}

fn limit_to(text: &str, budget: usize) -> Cow<'_, str> {
    // A count is far quicker than a scan, and nearly always enough.
    if openers(text.as_bytes()) <= budget / OBJECT {
        return Cow::Borrowed(text);
    }
    limited(text, budget).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Whether text may be as deep as to be changed: a quick look that errs on the safe side.
pub(crate) fn may_be_deep(bytes: &[u8]) -> bool {
    openers(bytes) > BUDGET / OBJECT
}

/// How many objects and arrays are opened, in strings too.
pub(crate) fn openers(bytes: &[u8]) -> usize {
    let count = |chunk: &[u8]| {
        let opening = chunk
            .iter()
            // They differ in one bit.
            .map(|byte| u8::from(byte & !(b'{' ^ b'[') == b'['));
        usize::from(opening.sum::<u8>())
    };
    // Sums of bytes compile to vector instructions and cannot overflow in so short a chunk.
    bytes.chunks(128).map(count).sum()
}

/// The text with its deep parts replaced; `None` when there are none, or the text is not balanced.
fn limited(text: &str, budget: usize) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let (mut copied, mut at, mut used) = (0, 0, 0);
    let mut open: Vec<usize> = Vec::new();
    while at < bytes.len() {
        let next = match bytes[at] {
            b'"' => string_end(bytes, at)?,
            byte @ (b'{' | b'[') => {
                let cost = if byte == b'{' { OBJECT } else { ARRAY };
                if used + cost > budget {
                    let end = container_end(bytes, at)?;
                    out.push_str(&text[copied..at]);
                    write_string(&mut out, &text[at..end]);
                    copied = end;
                    end
                } else {
                    used += cost;
                    open.push(cost);
                    at + 1
                }
            }
            b'}' | b']' => {
                used -= open.pop()?;
                at + 1
            }
            _ => at + 1,
        };
        at = next;
    }
    (copied > 0 && open.is_empty()).then(|| {
        out.push_str(&text[copied..]);
        out
    })
}

/// Where the object or array that begins at `start` ends.
fn container_end(bytes: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut depth) = (start, 0usize);
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = string_end(bytes, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(depth: usize) -> String {
        format!("{}1{}", "{\"a\": ".repeat(depth), "}".repeat(depth))
    }

    #[test]
    fn shallow_text_is_not_touched() {
        for text in [
            objects(31),
            format!("{}{}", "[".repeat(47), "]".repeat(47)),
            "[{}, {}]".repeat(40),
        ] {
            assert_eq!(limit(&text), text);
        }
    }

    #[test]
    fn deep_parts_become_strings_that_hold_their_text() {
        let limited = limit(&objects(40)).into_owned();
        let mut value: serde_json::Value = serde_json::from_str(&limited).unwrap();
        for _ in 0..31 {
            value = value["a"].take();
        }
        assert_eq!(value.as_str(), Some(objects(9).as_str()));
    }

    #[test]
    fn events_and_links_have_one_level_less() {
        let lists = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let full = format!("{{\"a\": {}}}", lists(46));
        assert_eq!(limit(&full), full);
        assert_ne!(limit_native(&full), full);
        assert_eq!(limit_native(&lists(47)), lists(47));
    }

    #[test]
    fn strings_do_not_count_and_depth_does_not_matter() {
        let quoted = format!("{{\"a\": \"{}\"}}", "[".repeat(200));
        assert_eq!(limit(&quoted), quoted);
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(serde_json::from_str::<serde_json::Value>(&limit(&deep)).is_ok());
    }

    #[test]
    fn unbalanced_text_is_left_alone() {
        for text in [
            "{\"a\": ".repeat(50),
            "]".repeat(50) + &"[".repeat(50),
            "[".repeat(49) + "\"" + &"]".repeat(49),
        ] {
            assert_eq!(limit(&text), text);
        }
    }
}
