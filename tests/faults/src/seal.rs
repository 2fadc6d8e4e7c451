//! A seal over everything that a program gave a span, so that the sink can tell whether that is what arrived.
//!
//! The seal is an attribute of the span. It covers ids, name, times and the texts whose keys begin with
//! `oracle.`; what an engine adds is its own affair.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use memchr::memmem;

use crate::otlp::{self, Span};

/// The key of the seal.
pub const SEAL: &str = "oracle.seal";
/// The key of the text that fills a span.
pub const TEXT: &str = "oracle.text";
const PREFIX: &[u8] = b"oracle.";

/// What the sink found in a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No seal.
    None,
    /// A seal that fits.
    Whole,
    /// A seal that does not fit.
    Broken,
}

/// The seal of a span with these texts, in their order. It covers the times only when the program set them,
/// which is when both are not 0.
pub fn seal<'a>(span: &Span<'_>, texts: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> String {
    let mut hasher = FixedState::with_seed(0x6f72_6163_6c65).build_hasher();
    let timed = span.start != 0 && span.end != 0;
    for bytes in [span.trace_id, span.span_id, span.parent_id, span.name] {
        hasher.write_usize(bytes.len());
        hasher.write(bytes);
    }
    if timed {
        hasher.write_u64(span.start);
        hasher.write_u64(span.end);
    }
    for (key, text) in texts {
        if key.starts_with(PREFIX) && key != SEAL.as_bytes() {
            for bytes in [key, text] {
                hasher.write_usize(bytes.len());
                hasher.write(bytes);
            }
        }
    }
    let letter = if timed { 't' } else { 'u' };
    format!("{letter}{:016x}", hasher.finish())
}

/// Whether a span message is what was sealed.
pub(crate) fn check(message: &[u8], span: &Span<'_>) -> Verdict {
    if memmem::find(message, SEAL.as_bytes()).is_none() {
        return Verdict::None;
    }
    let Some((_, found)) = otlp::texts(message).find(|(key, _)| *key == SEAL.as_bytes()) else {
        return Verdict::None;
    };
    let mut sealed = span.clone();
    if found.starts_with(b"u") {
        (sealed.start, sealed.end) = (0, 0);
    }
    match seal(&sealed, otlp::texts(message)).as_bytes() == found {
        true => Verdict::Whole,
        false => Verdict::Broken,
    }
}

/// Text of `length` bytes that no other seed gives.
pub fn text(seed: u64, length: usize) -> String {
    let mut state = seed;
    let mut out = String::with_capacity(length + 16);
    while out.len() < length {
        state = state
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        out.push_str(&format!("{:016x}", state ^ (state >> 29)));
    }
    out.truncate(length);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::tests::field;

    fn attribute(key: &str, text: &str) -> Vec<u8> {
        let value = field(2, &field(1, text.as_bytes()));
        field(9, &[field(1, key.as_bytes()), value].concat())
    }

    #[test]
    fn a_flipped_bit_breaks_the_seal() {
        let content = text(1, 100);
        let span = Span {
            trace_id: &[1; 16],
            span_id: &[2; 8],
            name: b"name",
            ..Span::default()
        };
        let seal = seal(&span, [(TEXT.as_bytes(), content.as_bytes())].into_iter());
        let mut message = [
            field(1, &[1; 16]),
            field(2, &[2; 8]),
            field(5, b"name"),
            attribute(TEXT, &content),
            attribute("mlflow.spanType", "LLM"),
            attribute(SEAL, &seal),
        ]
        .concat();
        let verdict = |message: &[u8]| check(message, &Span::read(message).unwrap());
        assert_eq!(verdict(&message), Verdict::Whole);
        let at = memmem::find(&message, &content.as_bytes()[50..]).unwrap();
        message[at] ^= 1;
        assert_eq!(verdict(&message), Verdict::Broken);
        assert_eq!(verdict(&field(5, b"name")), Verdict::None);
    }
}
