//! What travels between processes: W3C Trace Context level 2 (`traceparent`, `tracestate`) and W3C Baggage
//! (Candidate Recommendation, `baggage`).
//!
//! OpenTelemetry's propagators are not used. Of `opentelemetry_sdk` 0.33, `TraceContextPropagator` clears the random
//! flag, checks the keys of `tracestate` by the grammar of level 1, cuts a list that is too long instead of dropping
//! it, and sees one header of a name only; `BaggagePropagator` loses what follows a second `=`, the spaces at the ends
//! of a value and members with invalid UTF-8, decodes properties without encoding them again, and keeps no order.

mod baggage;
mod traceparent;
mod tracestate;

use std::sync::Arc;

pub use baggage::{Baggage, BaggageMember};

use crate::context::SpanContext;
use crate::error::{Error, ErrorKind, Result};

/// The W3C flag "sampled".
pub const SAMPLED: u8 = 1;
/// The W3C flag "the trace id is random".
pub const RANDOM: u8 = 2;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
const BAGGAGE: &str = "baggage";

/// The headers that make `context` the parent of whoever reads them: `traceparent` and, where there is a valid
/// one, `tracestate`. None for a context without valid ids.
pub fn inject(context: &SpanContext) -> Vec<(&'static str, String)> {
    if !context.is_valid() {
        return Vec::new();
    }
    let mut headers = vec![(TRACEPARENT, traceparent::write(context))];
    // Whoever built the context may have put anything there, line breaks included.
    let state = context.trace_state.as_deref();
    if let Some(state) = state.and_then(|state| tracestate::read([state.as_bytes()])) {
        headers.push((TRACESTATE, state));
    }
    headers
}

/// Reads the parent from the two headers of a request, each combined already where it came several times.
///
/// Fails with `InvalidArgument` where the specification says that `traceparent` must be ignored. A
/// malformed `tracestate` is dropped alone, as the specification asks.
pub fn extract(traceparent: &str, tracestate: Option<&str>) -> Result<SpanContext> {
    context(traceparent.as_bytes(), tracestate.map(str::as_bytes))
}

/// Reads the parent from all headers of a request, as pairs of name and value in the order of their arrival.
///
/// Names match in any case; other headers are passed over. Several `tracestate` headers are one list. Fails with
/// `NotFound` without a `traceparent` and as [`extract`] with more than one or a malformed one.
pub fn extract_headers<N, V>(headers: impl IntoIterator<Item = (N, V)>) -> Result<SpanContext>
where
    N: AsRef<[u8]>,
    V: AsRef<[u8]>,
{
    let (mut parents, mut states) = (Vec::new(), Vec::new());
    for (name, value) in headers {
        if is_named(&name, TRACEPARENT) {
            parents.push(value);
        } else if is_named(&name, TRACESTATE) {
            states.push(value);
        }
    }
    match parents.as_slice() {
        [] => Err(Error::new(ErrorKind::NotFound, "no traceparent header")),
        [parent] => context(parent.as_ref(), states.iter().map(V::as_ref)),
        _ => Err(Error::new(
            ErrorKind::InvalidArgument,
            "more than one traceparent header",
        )),
    }
}

/// The header that carries `baggage`; none when it is empty.
pub fn inject_baggage(baggage: &Baggage) -> Option<(&'static str, String)> {
    (!baggage.is_empty()).then(|| (BAGGAGE, baggage.to_string()))
}

/// Reads the baggage from all headers of a request, as pairs of name and value in the order of their arrival.
///
/// Several `baggage` headers are one list. Malformed members, and those beyond the limits of [`Baggage`], are
/// dropped one by one.
pub fn extract_baggage<N, V>(headers: impl IntoIterator<Item = (N, V)>) -> Baggage
where
    N: AsRef<[u8]>,
    V: AsRef<[u8]>,
{
    let mut baggage = Baggage::new();
    for (name, value) in headers {
        if is_named(&name, BAGGAGE) {
            baggage.extend_from_header(value.as_ref());
        }
    }
    baggage
}

fn is_named(name: &impl AsRef<[u8]>, header: &str) -> bool {
    name.as_ref().eq_ignore_ascii_case(header.as_bytes())
}

fn context<'a>(
    traceparent: &[u8],
    tracestate: impl IntoIterator<Item = &'a [u8]>,
) -> Result<SpanContext> {
    let (trace_id, span_id, flags) = traceparent::read(trim(traceparent))
        .ok_or_else(|| Error::new(ErrorKind::InvalidArgument, "malformed traceparent header"))?;
    Ok(SpanContext {
        trace_id,
        span_id,
        flags,
        trace_state: tracestate::read(tracestate).map(Arc::from),
        remote: true,
    })
}

/// Without the optional white space of HTTP (RFC 9110, section 5.6.3) around it.
fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}
