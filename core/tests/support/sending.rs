//! Traces that go as spans alone, to servers that fail as told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use mlflow_trace_core::{SpanStart, Tracer};

use super::server::Server;
use super::tracer;

pub(crate) const SPANS: &str = "/v1/traces";

/// Spans alone, each trace in a batch of its own.
pub(crate) fn connected(url: &str, more: &[(&str, &str)]) -> Tracer {
    let options = [
        ("tracking_uri", url),
        ("export.trace_info", "spans_only"),
        ("batch.delay_ms", "0"),
        ("batch.max_spans", "1"),
        ("trace.partial_after_ms", "600000"),
    ];
    tracer(&[&options, more].concat())
}

pub(crate) fn record(tracer: &Tracer, names: &[&str]) {
    for name in names {
        tracer.start(SpanStart::new(name)).end().unwrap();
    }
}

/// Names of the spans that arrived at a server, in their order.
pub(crate) fn names(server: &Server) -> Vec<String> {
    server.spans().iter().map(|span| span.name()).collect()
}

pub(crate) fn requests(server: &Server) -> usize {
    server
        .seen()
        .iter()
        .filter(|seen| seen.path == SPANS)
        .count()
}

/// A server that answers with this status while it is `down`.
pub(crate) fn failing(status: u16, headers: &'static str) -> (Server, Arc<AtomicBool>) {
    let down = Arc::new(AtomicBool::new(true));
    let own = down.clone();
    let server = Server::mlflow("3.17.2", move |seen| {
        let fails = seen.path == SPANS && own.load(SeqCst);
        fails.then(|| (status, headers.to_owned(), String::new()))
    });
    (server, down)
}
