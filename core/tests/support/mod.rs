//! Helpers of the integration tests.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub(crate) mod server;

use std::time::Duration;

use mlflow_trace_core::{Config, Tracer};
use serde_json::Value;

/// Long enough for any machine; nothing here waits this long when it works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn config(options: &[(&str, &str)]) -> Config {
    let mut config = Config::new();
    for (key, value) in options {
        config.set(key, value).unwrap();
    }
    config
}

pub(crate) fn tracer(options: &[(&str, &str)]) -> Tracer {
    Tracer::new(config(options)).unwrap()
}

pub(crate) fn memory_tracer() -> Tracer {
    tracer(&[("exporter", "memory"), ("batch.delay_ms", "0")])
}

/// Everything that the memory exporter received.
pub(crate) fn traces(tracer: &Tracer) -> Vec<Value> {
    assert_eq!(tracer.flush(PATIENCE), 0);
    std::iter::from_fn(|| tracer.next_memory_trace())
        .map(|text| serde_json::from_str(&text).unwrap())
        .collect()
}

/// The span of this name.
pub(crate) fn span<'a>(trace: &'a Value, name: &str) -> &'a Value {
    trace["spans"]
        .as_array()
        .unwrap()
        .iter()
        .find(|span| span["name"] == name)
        .unwrap_or_else(|| panic!("no span {name} in {trace}"))
}

/// `created = delivered + dropped + pending`, whatever happened.
pub(crate) fn assert_conserved(tracer: &Tracer) {
    let stats = tracer.stats();
    assert_eq!(
        stats.created,
        stats.delivered + stats.dropped_total() + stats.pending,
        "{stats:?}"
    );
}
