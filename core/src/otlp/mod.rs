//! OTLP (opentelemetry-proto 1.x): the protobuf writer of the hot path, and a reader.

pub(crate) mod json;
pub(crate) mod reader;
pub(crate) mod wire;

/// Field numbers of `opentelemetry.proto.trace.v1.Span`.
pub(crate) mod span {
    pub(crate) const TRACE_ID: u32 = 1;
    pub(crate) const SPAN_ID: u32 = 2;
    pub(crate) const TRACE_STATE: u32 = 3;
    pub(crate) const PARENT_SPAN_ID: u32 = 4;
    pub(crate) const NAME: u32 = 5;
    pub(crate) const KIND: u32 = 6;
    pub(crate) const START: u32 = 7;
    pub(crate) const END: u32 = 8;
    pub(crate) const ATTRIBUTES: u32 = 9;
    pub(crate) const DROPPED_ATTRIBUTES: u32 = 10;
    pub(crate) const EVENTS: u32 = 11;
    pub(crate) const DROPPED_EVENTS: u32 = 12;
    pub(crate) const LINKS: u32 = 13;
    pub(crate) const DROPPED_LINKS: u32 = 14;
    pub(crate) const STATUS: u32 = 15;
    pub(crate) const FLAGS: u32 = 16;
}

/// Field number of `spans` in `ScopeSpans`, with which every finished span is prefixed.
pub(crate) const SCOPE_SPANS_SPANS: u32 = 2;

/// An `ExportTraceServiceRequest` with one resource and one scope around ready-made spans.
///
/// `resource` holds the fields of a `Resource`, `scope` those of an `InstrumentationScope`, none if it is empty;
/// each of `spans` is a run of length-delimited spans (field 2 of `ScopeSpans`), so that exporting is concatenation.
pub(crate) fn request(resource: &[u8], scope: &[u8], spans: &[&[u8]]) -> Vec<u8> {
    let spans_len: usize = spans.iter().map(|run| run.len()).sum();
    let resource_len = wire::field_len(resource.len());
    let scope_len = match scope {
        [] => 0,
        scope => wire::field_len(scope.len()),
    };
    let scope_spans_len = wire::field_len(scope_len + spans_len);
    let mut out = Vec::with_capacity(wire::field_len(resource_len + scope_spans_len));
    wire::length_prefix(&mut out, 1, resource_len + scope_spans_len);
    wire::bytes_field(&mut out, 1, resource);
    wire::length_prefix(&mut out, 2, scope_len + spans_len);
    if scope_len > 0 {
        wire::bytes_field(&mut out, 1, scope);
    }
    for run in spans {
        out.extend_from_slice(run);
    }
    out
}
