//! The header `traceparent` (W3C Trace Context level 2, section 3.2).

use super::{RANDOM, SAMPLED};
use crate::context::SpanContext;
use crate::id::{SpanId, TraceId};

/// The length of version 00, and the part of later versions that has a known meaning.
const LENGTH: usize = 55;

/// `00-<trace id>-<span id>-<flags>`; the flags that level 2 does not define are zero.
pub(super) fn write(context: &SpanContext) -> String {
    format!(
        "00-{}-{}-{:02x}",
        context.trace_id,
        context.span_id,
        context.flags & (SAMPLED | RANDOM)
    )
}

/// The ids and the flags that level 2 defines; `None` where the header must be ignored.
pub(super) fn read(value: &[u8]) -> Option<(TraceId, SpanId, u8)> {
    let (known, rest) = value.split_at_checked(LENGTH)?;
    let text = std::str::from_utf8(known).ok()?;
    if known[2] != b'-' || known[35] != b'-' || known[52] != b'-' {
        return None;
    }
    // Next to a dash is where characters begin and end: the text can be cut there.
    let is_complete = match hex_byte(&text[..2])? {
        0 => rest.is_empty(),
        0xff => false,
        // Later versions may only append fields.
        _ => matches!(rest, [] | [b'-', ..]),
    };
    if !is_complete {
        return None;
    }
    let trace_id = TraceId::from_hex(&text[3..35])?;
    let span_id = SpanId::from_hex(&text[36..52])?;
    let flags = hex_byte(&text[53..])?;
    Some((trace_id, span_id, flags & (SAMPLED | RANDOM)))
}

fn hex_byte(text: &str) -> Option<u8> {
    let is_lower = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    is_lower
        .then(|| u8::from_str_radix(text, 16).ok())
        .flatten()
}
