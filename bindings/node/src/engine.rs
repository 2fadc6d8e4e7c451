//! The one tracer of the process, which all of Node's threads share.

use std::collections::HashMap;
use std::iter;

use mlflow_trace_core::{Process, Result};

/// The tracers of this process.
pub(crate) static PROCESS: Process = Process::new();

/// Makes a tracer of the environment and `options`, which replaces the one before it.
pub(crate) fn configure(options: &HashMap<String, String>) -> Result<()> {
    let options: Vec<(&str, &str)> = options
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    PROCESS.init(&options)
}

/// Takes frames of encoded spans.
pub(crate) fn drain(frames: &[u8]) {
    if let Ok(tracer) = PROCESS.tracer()
        && let Some(tracer) = tracer.as_deref()
    {
        tracer.drain(frames);
    }
}

/// Takes all messages.
pub(crate) fn diagnostics() -> Vec<String> {
    iter::from_fn(|| PROCESS.next_diagnostic())
        .map(|diagnostic| diagnostic.message)
        .collect()
}

/// Takes what the memory exporter received.
pub(crate) fn memory_traces() -> Vec<String> {
    iter::from_fn(|| PROCESS.next_memory_trace()).collect()
}
