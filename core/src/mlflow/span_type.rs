//! Span types and the log levels that follow from them.

/// The type of a span that was given none.
pub(crate) const UNKNOWN: &str = "UNKNOWN";

/// Severity as MLflow stores it in `mlflow.spanLogLevel`.
pub(crate) const DEBUG: u8 = 10;
pub(crate) const INFO: u8 = 20;
pub(crate) const ERROR: u8 = 40;

/// The level of a span that set none, by its type.
pub(crate) fn default_level(span_type: &str) -> u8 {
    match span_type {
        "LLM" | "CHAT_MODEL" | "TOOL" | "RETRIEVER" | "AGENT" | "EMBEDDING" => INFO,
        _ => DEBUG,
    }
}
