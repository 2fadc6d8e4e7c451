//! JSON text as MLflow's Python SDK writes it: `", "` and `": "` between tokens, non-ASCII kept.
//!
//! Size statistics and previews are computed over this text, so it has to agree to the byte.

use std::fmt::Write;

use serde_json::Value;

/// Appends `text` as a JSON string.
pub fn write_string(out: &mut String, text: &str) {
    out.reserve(text.len() + 2);
    out.push('"');
    let mut rest = text;
    while let Some(at) = first_special(rest.as_bytes()) {
        let (clean, tail) = rest.split_at(at);
        out.push_str(clean);
        match tail.as_bytes()[0] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            control => {
                let _ = write!(out, "\\u{control:04x}");
            }
        }
        rest = &tail[1..];
    }
    out.push_str(rest);
    out.push('"');
}

/// Where the first byte lies that a JSON string must escape. Clean chunks are skipped as a whole, which
/// compiles to vector instructions.
fn first_special(bytes: &[u8]) -> Option<usize> {
    const CHUNK: usize = 16;
    let is_special = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    let clean = bytes
        .chunks_exact(CHUNK)
        .take_while(|chunk| {
            !chunk
                .iter()
                .fold(false, |special, byte| special | is_special(*byte))
        })
        .count()
        * CHUNK;
    let found = bytes[clean..].iter().position(|byte| is_special(*byte))?;
    Some(clean + found)
}

/// Appends a number as Python's `repr` does (`1.0`, `1e-05`, `1e+16`). Values that JSON cannot
/// hold become the strings `"NaN"`, `"Infinity"` and `"-Infinity"`.
pub fn write_f64(out: &mut String, number: f64) {
    if number.is_nan() {
        return out.push_str("\"NaN\"");
    }
    if number.is_infinite() {
        return out.push_str(if number > 0.0 {
            "\"Infinity\""
        } else {
            "\"-Infinity\""
        });
    }
    let Some(shortest) = serde_json::Number::from_f64(number) else {
        return;
    };
    let start = out.len();
    // Like Python, serde_json writes the shortest digits that read back as this number, of two such the
    // nearer, and of two as near the even one. The standard library rounds ties away from zero.
    let _ = write!(out, "{shortest}");
    if number != 0.0 && !(1e-4..1e16).contains(&number.abs()) {
        let text = out.split_off(start);
        write_scientific(out, &text);
    }
}

/// Rewrites a number as Python's `repr` does where it takes an exponent: `1.5e-07`, `1e+16`.
fn write_scientific(out: &mut String, text: &str) {
    let (sign, text) = text
        .strip_prefix('-')
        .map_or(("", text), |rest| ("-", rest));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0');
    let leading = digits.len() - significant.len();
    let shift = whole.len() as i32 - 1 - leading as i32;
    let exponent = exponent.parse::<i32>().unwrap_or(0) + shift;
    let (first, rest) = significant.split_at(1.min(significant.len()));
    let rest = rest.trim_end_matches('0');
    let point = if rest.is_empty() { "" } else { "." };
    let direction = if exponent < 0 { '-' } else { '+' };
    let _ = write!(
        out,
        "{sign}{first}{point}{rest}e{direction}{:02}",
        exponent.abs()
    );
}

/// Appends any JSON value.
pub fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => match number.as_f64() {
            Some(double) if number.is_f64() => write_f64(out, double),
            _ => {
                let _ = write!(out, "{number}");
            }
        },
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (index, (key, item)) in members.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_string(out, key);
                out.push_str(": ");
                write_value(out, item);
            }
            out.push('}');
        }
    }
}

/// The text of any JSON value.
pub fn to_text(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

/// Respaces valid JSON text to MLflow's form without touching numbers, member order or duplicates.
pub fn respace(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let end = string_end(bytes, at).unwrap_or(bytes.len());
                out.push_str(&text[at..end]);
                at = end;
                continue;
            }
            b',' => out.push_str(", "),
            b':' => out.push_str(": "),
            b' ' | b'\t' | b'\r' | b'\n' => {}
            byte => out.push(char::from(byte)),
        }
        at += 1;
    }
    out
}

/// Where the JSON string that begins at `start` ends; `None` when it does not.
pub(crate) fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// Appends `text` if it is JSON, otherwise as a JSON string.
pub fn write_json(out: &mut String, text: &str) {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => out.push_str(&respace(text)),
        Err(_) => write_string(out, text),
    }
}

/// Whether `text` is a JSON object or array: what an MLflow server decodes from a string attribute.
pub(crate) fn is_container(text: &str) -> bool {
    matches!(text.trim_start().as_bytes().first(), Some(b'{' | b'['))
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// The length in bytes that `text` has as a JSON string with every non-ASCII character escaped.
pub(crate) fn ascii_string_len(text: &str) -> u64 {
    let escaped = text.chars().map(|c| match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        ' '..='\u{7e}' => 1,
        '\u{10000}'.. => 12,
        _ => 6,
    });
    2 + escaped.sum::<u64>()
}

/// The first `limit` code points, with `...` as the last three when something was cut.
pub(crate) fn truncate(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some(_) => {
            let keep = text
                .char_indices()
                .nth(limit.saturating_sub(3))
                .map_or(text.len(), |(at, _)| at);
            format!("{}...", &text[..keep])
        }
    }
}

/// The first `limit` code points.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    text.char_indices()
        .nth(limit)
        .map_or(text, |(at, _)| &text[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> String {
        let mut out = String::new();
        write_string(&mut out, text);
        out
    }

    fn number(value: f64) -> String {
        let mut out = String::new();
        write_f64(&mut out, value);
        out
    }

    #[test]
    fn strings_as_python() {
        let long = "x".repeat(40);
        assert_eq!(
            string(&format!("{long}\n{long}")),
            format!("\"{long}\\n{long}\"")
        );
        assert_eq!(
            string("a\"b\\c\n\u{1}é日\u{7f}"),
            "\"a\\\"b\\\\c\\n\\u0001é日\u{7f}\""
        );
    }

    #[test]
    fn numbers_as_python() {
        for (value, text) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e-5, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (-1.25e-5, "-1.25e-05"),
            (9.999e-5, "9.999e-05"),
            (1e-4, "0.0001"),
            (5e-324, "5e-324"),
            (1e16, "1e+16"),
            (-1.5e16, "-1.5e+16"),
            (733082449316978.0 + 0.25, "733082449316978.2"),
            (733082449316978.0 + 0.75, "733082449316978.8"),
            (123456789012345.0, "123456789012345.0"),
            (1e100, "1e+100"),
            (f64::NAN, "\"NaN\""),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn respacing_keeps_tokens() {
        assert_eq!(
            respace("{\"a\":1,\n \"b\" :[1e5,\"x, y:\\\" \"],\"é\":\"日\"}"),
            "{\"a\": 1, \"b\": [1e5, \"x, y:\\\" \"], \"é\": \"日\"}"
        );
    }

    #[test]
    fn ascii_length_is_that_of_the_escaped_text() {
        for (text, escaped) in [
            ("plain", r#""plain""#),
            ("q\"\n", r#""q\"\n""#),
            ("é", r#""\u00e9""#),
            ("\u{7f}", r#""\u007f""#),
            ("😀", r#""\ud83d\ude00""#),
        ] {
            assert_eq!(ascii_string_len(text), escaped.len() as u64, "{text:?}");
        }
    }

    #[test]
    fn truncation_counts_code_points() {
        assert_eq!(truncate("éééé", 4), "éééé");
        assert_eq!(truncate("ééééé", 4), "é...");
        assert_eq!(cut("日本語", 2), "日本");
    }
}
