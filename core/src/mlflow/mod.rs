//! What MLflow adds to OpenTelemetry: reserved keys, trace information, previews, span JSON.
//!
//! Formats are those of MLflow 3.17.2.

pub(crate) mod attachment;
pub(crate) mod carried;
pub(crate) mod entity;
pub(crate) mod environment;
pub(crate) mod git;
pub(crate) mod guard;
pub(crate) mod info;
pub(crate) mod keys;
pub(crate) mod outline;
pub(crate) mod preview;
pub(crate) mod span_json;
pub(crate) mod span_type;
mod surrogate;
pub(crate) mod times;
pub(crate) mod usage;
