//! Helpers of the integration tests.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub(crate) mod canary;
pub(crate) mod certs;
pub(crate) mod frames;
pub(crate) mod otlp;
pub(crate) mod raw;
pub(crate) mod sending;
pub(crate) mod server;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use mlflow_trace_core::{Config, Parent, Span, SpanStart, Tracer};
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

/// Spans given up for this reason.
pub(crate) fn dropped(tracer: &Tracer, reason: &str) -> u64 {
    let stats = tracer.stats();
    let found = stats.dropped.iter().find(|(name, _)| *name == reason);
    found.unwrap().1
}

/// What starts a child of a live span.
pub(crate) fn child(parent: Span, name: &str) -> SpanStart<'_> {
    SpanStart {
        parent: Parent::Span(parent),
        ..SpanStart::new(name)
    }
}

/// Waits until `done` holds.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Names of the spans of a trace, sorted.
pub(crate) fn names(trace: &Value) -> Vec<&str> {
    let spans = trace["spans"].as_array().unwrap().iter();
    let mut names: Vec<&str> = spans.map(|span| span["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

/// What a server tells in JSON, or its status.
pub(crate) fn get(url: &str, path: &str) -> Result<Value, u16> {
    let host = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    match head.split(' ').nth(1).unwrap().parse().unwrap() {
        200 => Ok(serde_json::from_str(body).unwrap()),
        status => Err(status),
    }
}
