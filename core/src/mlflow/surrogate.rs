//! Lone surrogates in JSON text: `"\ud800"` is JSON, and stands for no text (RFC 8259 section 8.2).

use std::ops::RangeInclusive;

use memchr::{memchr, memchr_iter};

const HIGH: RangeInclusive<u16> = 0xd800..=0xdbff;
const LOW: RangeInclusive<u16> = 0xdc00..=0xdfff;
/// `\ud800`
const ESCAPE: usize = 6;

/// Whether there may be surrogates: a quick look that errs on the safe side.
pub(super) fn may_be_there(bytes: &[u8]) -> bool {
    memchr_iter(b'\\', bytes).any(|at| matches!(bytes[at + 1..], [b'u', b'd' | b'D', ..]))
}

/// The JSON text with `?` for each lone one, which is what MLflow's server (3.17.2) reads in their place; `None` when
/// there are none.
pub(super) fn replaced(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let (mut at, mut copied) = (0, 0);
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr(b'\\', rest)) {
        let start = at + found;
        at = match unit(bytes, start) {
            Some(unit) if HIGH.contains(&unit) && is_low(bytes, start + ESCAPE) => {
                start + 2 * ESCAPE
            }
            Some(unit) if HIGH.contains(&unit) || LOW.contains(&unit) => {
                out.push_str(&text[copied..start]);
                out.push('?');
                copied = start + ESCAPE;
                copied
            }
            _ => start + 2,
        };
    }
    (copied > 0).then(|| out + &text[copied..])
}

fn is_low(bytes: &[u8], at: usize) -> bool {
    unit(bytes, at).is_some_and(|unit| LOW.contains(&unit))
}

/// The code unit of an escape that begins here.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + ESCAPE)?.strip_prefix(b"\\u")?;
    let mut digits = digits.iter().map(|digit| char::from(*digit).to_digit(16));
    digits.try_fold(0, |unit, digit| Some(unit << 4 | digit? as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_ones_are_replaced_and_pairs_stay() {
        for (text, expected) in [
            (r#"["\ud800"]"#, Some(r#"["?"]"#)),
            (r#"["\uDC00\ud83d"]"#, Some(r#"["??"]"#)),
            (r#"{"\ud83dx": 1}"#, Some(r#"{"?x": 1}"#)),
            (r#"["\ud83d\ude00", "é\u00e9"]"#, None),
            (r#"["\ud83d\ud83d\ude00"]"#, Some(r#"["?\ud83d\ude00"]"#)),
            (r#"["\\ud800"]"#, None),
            (r#"["\\\ud800"]"#, Some(r#"["\\?"]"#)),
            (r#"["\ud80"#, None),
            ("\\", None),
        ] {
            assert_eq!(replaced(text).as_deref(), expected, "{text}");
            assert!(may_be_there(text.as_bytes()) || expected.is_none());
        }
    }
}
