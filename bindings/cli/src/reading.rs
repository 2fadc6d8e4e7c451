//! What `list`, `show` and the page read of a trace in the same way.

use mlflow_trace_core::client::{Span, TraceInfo};
use serde_json::Value;

/// The latest traces first, in the terms of a search.
pub(crate) const LATEST: &str = "timestamp_ms DESC";

/// Attributes that are shown by other means than the list of attributes.
const KNOWN: [&str; 4] = [
    "mlflow.traceRequestId",
    "mlflow.spanType",
    "mlflow.spanInputs",
    "mlflow.spanOutputs",
];

/// The name of a trace, which is that of its root.
pub(crate) fn name(info: &TraceInfo) -> Option<&str> {
    info.tag("mlflow.traceName")
}

/// How long a trace took, in nanoseconds; MLflow keeps milliseconds.
pub(crate) fn duration(info: &TraceInfo) -> Option<u64> {
    let millis = info.execution_duration?;
    Some(millis.saturating_mul(1_000_000))
}

/// The attributes of a span that nothing else shows.
pub(crate) fn attributes(span: &Span) -> impl Iterator<Item = (String, Value)> {
    let keys = span.attributes.keys();
    let others = keys.filter(|key| !KNOWN.contains(&key.as_str()));
    others.filter_map(|key| Some((key.clone(), span.attribute(key)?)))
}
