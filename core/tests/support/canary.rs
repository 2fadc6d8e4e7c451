//! Content that must not get out.

use mlflow_trace_core::{Span, SpanId, StatusCode, TraceId, Value};
use serde_json::json;

/// What must never leave the process.
pub(crate) const CANARY: &str = "canary-7d1f";

/// Puts the canary everywhere but into names, which stay.
pub(crate) fn fill(span: Span) {
    let json = json!({"messages": [{"role": "user", "content": CANARY}]}).to_string();
    let attributes = [("text", Value::Str(CANARY)), ("json", Value::Json(&json))];
    span.set_inputs(Value::Json(&json)).unwrap();
    span.set_outputs(Value::Array(&[Value::Str(CANARY)]))
        .unwrap();
    span.set_attributes(&attributes).unwrap();
    span.add_event("event", None, &attributes).unwrap();
    span.record_exception("ValueError", CANARY, CANARY).unwrap();
    span.add_link(TraceId::generate(), SpanId::generate(), &attributes)
        .unwrap();
    span.set_status(StatusCode::Error, CANARY).unwrap();
}
