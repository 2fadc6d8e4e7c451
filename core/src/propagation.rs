//! W3C Trace Context (level 2): the headers `traceparent` and `tracestate`.

use std::sync::Arc;

use crate::context::SpanContext;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{SpanId, TraceId};

/// The W3C flag "sampled".
pub const SAMPLED: u8 = 1;
/// The W3C flag "the trace id is random".
pub const RANDOM: u8 = 2;

/// The `tracestate` limit that senders must keep to.
const TRACE_STATE_MEMBERS: usize = 32;

/// The headers that make `context` the parent of whoever reads them.
pub fn inject(context: &SpanContext) -> Vec<(&'static str, String)> {
    let mut headers = vec![("traceparent", traceparent(context))];
    if let Some(state) = &context.trace_state {
        headers.push(("tracestate", state.to_string()));
    }
    headers
}

/// The `traceparent` value: `00-<trace id>-<span id>-<flags>`.
pub fn traceparent(context: &SpanContext) -> String {
    format!(
        "00-{}-{}-{:02x}",
        context.trace_id,
        context.span_id,
        context.flags & (SAMPLED | RANDOM)
    )
}

/// Reads the headers of an incoming request.
///
/// Fails with `InvalidArgument` where the specification says that `traceparent` must be ignored. A
/// malformed `tracestate` is dropped alone, as the specification asks.
pub fn extract(traceparent: &str, tracestate: Option<&str>) -> Result<SpanContext> {
    parse_traceparent(traceparent.trim_matches([' ', '\t']))
        .map(|(trace_id, span_id, flags)| SpanContext {
            trace_id,
            span_id,
            flags,
            trace_state: tracestate.and_then(parse_trace_state),
            remote: true,
        })
        .ok_or_else(|| Error::new(ErrorKind::InvalidArgument, "malformed traceparent header"))
}

fn parse_traceparent(text: &str) -> Option<(TraceId, SpanId, u8)> {
    let bytes = text.as_bytes();
    if bytes.len() < 55 || !text.is_ascii() {
        return None;
    }
    if bytes[2] != b'-' || bytes[35] != b'-' || bytes[52] != b'-' {
        return None;
    }
    let version = hex_byte(&text[..2])?;
    if version == 0xff || (version == 0 && bytes.len() != 55) {
        return None;
    }
    if bytes.len() > 55 && bytes[55] != b'-' {
        return None;
    }
    let trace_id = TraceId::from_hex(&text[3..35])?;
    let span_id = SpanId::from_hex(&text[36..52])?;
    Some((trace_id, span_id, hex_byte(&text[53..55])?))
}

fn hex_byte(text: &str) -> Option<u8> {
    let lower = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    lower.then(|| u8::from_str_radix(text, 16).ok()).flatten()
}

fn parse_trace_state(text: &str) -> Option<Arc<str>> {
    let members: Vec<&str> = text
        .split(',')
        .map(|member| member.trim_matches([' ', '\t']))
        .filter(|member| !member.is_empty())
        .collect();
    if members.is_empty() || members.len() > TRACE_STATE_MEMBERS {
        return None;
    }
    let mut keys: Vec<&str> = Vec::with_capacity(members.len());
    for member in &members {
        let (key, value) = member.split_once('=')?;
        if !is_state_key(key) || !is_state_value(value) || keys.contains(&key) {
            return None;
        }
        keys.push(key);
    }
    Some(members.join(",").into())
}

fn is_state_key(key: &str) -> bool {
    let simple = |part: &str, longest: usize, digit_first: bool| {
        let first = part.bytes().next();
        part.len() <= longest
            && first.is_some_and(|b| b.is_ascii_lowercase() || (digit_first && b.is_ascii_digit()))
            && part
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'))
    };
    match key.split_once('@') {
        Some((tenant, system)) => simple(tenant, 241, true) && simple(system, 14, false),
        None => simple(key, 256, false),
    }
}

fn is_state_value(value: &str) -> bool {
    (1..=256).contains(&value.len())
        && value
            .bytes()
            .all(|b| matches!(b, 0x20..=0x7e) && b != b',' && b != b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn round_trip() {
        let context = extract(PARENT, Some("vendor=a,other@sys=b")).unwrap();
        assert!(context.remote);
        assert_eq!(
            inject(&context),
            [
                ("traceparent", PARENT.to_string()),
                ("tracestate", "vendor=a,other@sys=b".into())
            ]
        );
    }

    #[test]
    fn future_versions_are_read_as_far_as_known() {
        assert!(extract(&format!("cc{}-what-the-future", &PARENT[2..]), None).is_ok());
        assert!(extract(&format!("cc{}.x", &PARENT[2..]), None).is_err());
    }

    #[test]
    fn malformed_parents_are_refused() {
        for bad in [
            "",
            "00",
            &PARENT[..54],
            &format!("{PARENT}-more"),
            &PARENT.to_uppercase(),
            &PARENT.replacen("00", "ff", 1),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-0",
        ] {
            assert!(extract(bad, None).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn malformed_state_is_dropped_alone() {
        for bad in ["novalue", "a=1,a=2", "UPPER=1", "a=b=c", ""] {
            let context = extract(PARENT, Some(bad)).unwrap();
            assert_eq!(context.trace_state, None, "{bad:?}");
        }
    }
}
