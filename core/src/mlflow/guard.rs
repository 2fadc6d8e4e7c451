//! Text attributes that would make a server (3.7 and later) refuse a span or be unable to read its trace.
//!
//! Servers decode text that holds a JSON object or array, with Python's reader, and hand it out as protobuf.
//! Measured with 3.17.2: integers past 64 bits and too much depth are stored, and then every read of the
//! trace fails; with 3.14.0, lone surrogates too. Text that the reader gives up by another error than that of a syntax makes them refuse the
//! span: it recurses once per bracket, and takes no integer of more than 4300 digits.

use std::borrow::Cow;

use super::attachment::spans::{Edit, rewrite};
use super::{keys, surrogate};
use crate::depth;
use crate::json::{string_end, write_string};

/// Digits from which on an integer may not have 64 bits.
const WIDE: usize = 19;

/// Digits from which on Python's reader raises, well below 4300.
const MANY_DIGITS: usize = 4000;

/// Brackets from which on text must not reach Python's reader unless they are known to be closed in time. It
/// raises at 1000 less the depth of the server's own stack.
const MANY_OPENERS: usize = 400;

/// Makes the text attributes of a run of `ScopeSpans.spans` fields harmless, if some are not.
pub(crate) fn protect(run: &mut Vec<u8>) {
    let changed = rewrite(run, may_harm, |attribute| {
        let text = attribute
            .string()
            // Servers look for the type in its plain form.
            .filter(|text| attribute.key != keys::SPAN_TYPE && may_harm(text.as_bytes()))
            .and_then(harmless);
        Edit {
            text,
            ..Edit::default()
        }
    });
    if let Some(changed) = changed {
        *run = changed;
    }
}

/// A quick look that errs on the safe side.
fn may_harm(bytes: &[u8]) -> bool {
    depth::may_be_deep(bytes) || has_digits(bytes, WIDE) || surrogate::may_be_there(bytes)
}

fn has_many(bytes: &[u8]) -> bool {
    depth::openers(bytes) >= MANY_OPENERS || has_digits(bytes, MANY_DIGITS)
}

/// Whether this many digits follow on each other. Looks only at every so many bytes.
fn has_digits(bytes: &[u8], count: usize) -> bool {
    let mut end = count;
    while end <= bytes.len() {
        let run = bytes[end - count..end].iter().rev();
        match run.take_while(|byte| byte.is_ascii_digit()).count() {
            found if found == count => return true,
            found => end += count - found,
        }
    }
    false
}

/// What is to be sent instead of a text; `None` when it can go as it is.
fn harmless(text: &str) -> Option<String> {
    let trimmed = text.trim_start();
    match trimmed.as_bytes().first()? {
        b'{' | b'[' => {}
        b'"' => return surrogate::replaced(text).filter(|_| is_read(text)),
        b'-' | b'0'..=b'9' => {
            return has_digits(text.as_bytes(), MANY_DIGITS).then(|| quoted(text));
        }
        _ => return None,
    }
    let narrow = narrowed(text);
    let paired = surrogate::replaced(narrow.as_deref().unwrap_or(text)).or(narrow);
    let limited = match depth::limit(paired.as_deref().unwrap_or(text)) {
        Cow::Owned(limited) => Some(limited),
        Cow::Borrowed(_) => paired,
    };
    let many = has_many(text.as_bytes());
    // A text that nothing would be done about is not parsed.
    if limited.is_none() && !many {
        return None;
    }
    if is_read(text) {
        return limited;
    }
    many.then(|| quoted(text))
}

/// Servers take off one layer of quotes, and do not look into what was within.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    write_string(&mut out, text);
    out
}

/// Whether a text is one that [`protect`] put in quotes: servers store it without them.
pub(crate) fn is_quoted(text: &str) -> bool {
    text.starts_with('"')
        && has_many(text.as_bytes())
        && serde_json::from_str::<String>(text).is_ok()
}

/// The text with integers past 64 bits as strings of their digits; `None` when there are none.
fn narrowed(text: &str) -> Option<String> {
    if !has_digits(text.as_bytes(), WIDE) {
        return None;
    }
    let bytes = text.as_bytes();
    let mut out = String::new();
    let (mut at, mut copied) = (0, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at)?,
            b'-' | b'0'..=b'9' => {
                let length = bytes[at..].iter().take_while(|byte| is_of_number(**byte));
                let number = &text[at..at + length.count()];
                let digits = number.strip_prefix('-').unwrap_or(number);
                let is_integer = digits.bytes().all(|byte| byte.is_ascii_digit());
                if digits.len() >= WIDE && is_integer && number.parse::<i64>().is_err() {
                    out.push_str(&text[copied..at]);
                    write_string(&mut out, number);
                    copied = at + number.len();
                }
                at += number.len();
            }
            _ => at += 1,
        }
    }
    (copied > 0).then(|| out + &text[copied..])
}

fn is_of_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

/// Whether Python reads this as JSON: it also takes `NaN` and `Infinity`. To replace them in strings does no
/// harm, and what is taken for JSON by mistake is not too deep either, once it is limited.
fn is_read(text: &str) -> bool {
    let parses = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    parses(text) || parses(&text.replace("NaN", "0").replace("Infinity", "0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::{SCOPE_SPANS_SPANS, span, wire};
    use crate::value::{Value, encode_key_value};

    #[test]
    fn integers_past_64_bits_become_strings() {
        for (text, expected) in [
            (
                r#" {"a": 18446744073709551616, "b": "18446744073709551616"}"#,
                Some(r#" {"a": "18446744073709551616", "b": "18446744073709551616"}"#),
            ),
            ("[-9223372036854775809]", Some("[\"-9223372036854775809\"]")),
            (
                "[NaN, -Infinity, 9223372036854775808]",
                Some("[NaN, -Infinity, \"9223372036854775808\"]"),
            ),
            ("[-9223372036854775808, 9223372036854775807]", None),
            (
                "[18446744073709551616.0, 0.18446744073709551616, 18446744073709551616e1]",
                None,
            ),
            ("[18446744073709551616", None),
            ("{18446744073709551616}", None),
            ("18446744073709551616", None),
            ("see [18446744073709551616]", None),
            ("\"see [18446744073709551616]\"", None),
            (r#"{"a": "\udfff"}"#, Some(r#"{"a": "?"}"#)),
            (r#""\ud800""#, Some(r#""?""#)),
            (r#"["\ud800""#, None),
            (r"see \ud800", None),
        ] {
            assert_eq!(harmless(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn depth_becomes_text_where_it_is_json() {
        let lists = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(harmless(&lists(47)), None);
        let limited = format!("{}\"[]\"{}", "[".repeat(47), "]".repeat(47));
        assert_eq!(harmless(&lists(48)), Some(limited));
        assert_eq!(harmless(&format!("{} no JSON", lists(60))), None);
        assert_eq!(harmless(&format!("[{}0]", "[], ".repeat(2000))), None);
    }

    #[test]
    fn what_no_reader_comes_through_is_quoted() {
        let open = "[\"".repeat(1000);
        assert_eq!(
            harmless(&open).as_deref(),
            serde_json::to_string(&open).ok().as_deref()
        );
        assert!(is_quoted(&harmless(&open).unwrap()));
        let digits = "1".repeat(5000);
        assert_eq!(harmless(&digits), Some(format!("\"{digits}\"")));
        assert_eq!(
            harmless(&format!("[{digits}")),
            Some(format!("\"[{digits}\""))
        );
        assert_eq!(
            harmless(&format!("[{digits}]")),
            Some(format!("[\"{digits}\"]"))
        );
    }

    #[test]
    fn only_what_harms_is_rewritten() {
        let run = |text: &str| {
            let mut run = Vec::new();
            wire::message_field(&mut run, SCOPE_SPANS_SPANS, |out| {
                for (key, text) in [("before", "[1]"), ("key", text), ("after", "{}")] {
                    encode_key_value(out, span::ATTRIBUTES, key, Value::Str(text));
                }
            });
            run
        };
        let plain = run("1234567890123456789");
        let mut same = plain.clone();
        protect(&mut same);
        assert_eq!(same, plain);
        let mut changed = run("[99999999999999999999]");
        protect(&mut changed);
        assert_eq!(changed, run("[\"99999999999999999999\"]"));
    }

    #[test]
    fn runs_of_digits_are_found_wherever_they_begin() {
        for before in 0..50 {
            let text = format!("{}{}x", "a".repeat(before), "1".repeat(19));
            assert!(has_digits(text.as_bytes(), 19) && !has_digits(text.as_bytes(), 20));
        }
    }
}
