//! Batches of OTLP from hosts that record elsewhere: an OpenTelemetry SDK of any language, an OTLP receiver.

use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::trace::SpanData;

use super::{decode, encode};
use crate::error::{self, Error, ErrorKind};
use crate::otlp::reader::{Fields, Malformed};

// Fields of `ExportTraceServiceRequest`, which are those of `TracesData` (OTLP 1.x, trace/v1/trace.proto).
const RESOURCE_SPANS: u32 = 1;
const SCOPE_SPANS: u32 = 2;
const SCOPE: u32 = 1;
const SPANS: u32 = 2;

/// The spans of a request, in its order.
///
/// Fails with `InvalidArgument` for bytes that are not one: then nothing of it is taken.
pub(super) fn spans(request: &[u8]) -> error::Result<Vec<SpanData>> {
    let mut spans = Vec::new();
    read(request, &mut spans).map_err(|Malformed| {
        Error::new(
            ErrorKind::InvalidArgument,
            "not an OTLP ExportTraceServiceRequest in protobuf",
        )
    })?;
    Ok(spans)
}

fn read(request: &[u8], spans: &mut Vec<SpanData>) -> Result<(), Malformed> {
    for resource_spans in members(request, RESOURCE_SPANS)? {
        for scope_spans in members(resource_spans, SCOPE_SPANS)? {
            read_scope(scope_spans, spans)?;
        }
    }
    Ok(())
}

fn read_scope(scope_spans: &[u8], spans: &mut Vec<SpanData>) -> Result<(), Malformed> {
    let scope = scope(members(scope_spans, SCOPE)?.last().copied())?;
    for message in members(scope_spans, SPANS)? {
        check(message)?;
        spans.push(decode::span(message, &scope));
    }
    Ok(())
}

/// The `Span` message as MLflow's rules have it of the only span in a `ScopeSpans` message.
pub(crate) fn translate(scope_spans: &[u8]) -> Option<Vec<u8>> {
    let mut spans = Vec::new();
    read_scope(scope_spans, &mut spans).ok()?;
    let [span] = spans.as_slice() else {
        return None;
    };
    Some(encode::span(span))
}

/// The messages in a field; all fields are checked.
fn members(message: &[u8], number: u32) -> Result<Vec<&[u8]>, Malformed> {
    let mut found = Vec::new();
    for field in Fields::new(message) {
        let field = field?;
        if field.number == number {
            found.push(field.bytes().ok_or(Malformed)?);
        }
    }
    Ok(found)
}

/// Reading a span is lenient; one that is cut off in the middle is nobody's.
fn check(span: &[u8]) -> Result<(), Malformed> {
    Fields::new(span).try_for_each(|field| field.map(|_| ()))
}

fn scope(message: Option<&[u8]>) -> Result<InstrumentationScope, Malformed> {
    let message = message.unwrap_or_default();
    let (name, version) = (text(message, 1)?, text(message, 2)?);
    let scope = InstrumentationScope::builder(name);
    Ok(match version.is_empty() {
        true => scope.build(),
        false => scope.with_version(version).build(),
    })
}

fn text(message: &[u8], number: u32) -> Result<String, Malformed> {
    let last = members(message, number)?.pop();
    Ok(String::from_utf8_lossy(last.unwrap_or_default()).into_owned())
}
