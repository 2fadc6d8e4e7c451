//! Traces whose information travels on their root spans.
#![allow(clippy::unwrap_used)]

mod support;

use mlflow_trace_core::{Attachment, SpanStart, TraceUpdate, Tracer, Value};
use serde_json::Value as Json;
use support::otlp::Span;
use support::server::Server;
use support::{PATIENCE, assert_conserved, child, get, tracer, until};

const VERSION: &str = "GET /version";
const INFO: &str = "POST /api/3.0/mlflow/traces";
const SPANS: &str = "POST /v1/traces";

fn connected(url: &str, more: &[(&str, &str)]) -> Tracer {
    let options = [
        ("tracking_uri", url),
        ("export.trace_info", "spans_only"),
        ("batch.delay_ms", "60000"),
    ];
    tracer(&[&options, more].concat())
}

fn record(tracer: &Tracer) {
    let root = tracer.start(SpanStart::new("root"));
    let update =
        r#"{"tags": {"team": "a", "json": "{\"a\": 1}"}, "session_id": "s-1", "user": "u-1"}"#;
    root.update_trace(&TraceUpdate::from_json(update).unwrap())
        .unwrap();
    tracer.start(child(root, "below")).end().unwrap();
    root.end().unwrap();
}

fn named(server: &Server, name: &str) -> Span {
    let spans = server.spans();
    spans.into_iter().find(|span| span.name() == name).unwrap()
}

#[test]
fn the_root_carries_what_there_is_place_for() {
    let server = Server::mlflow("3.17.2", |_| None);
    let tracer = connected(&server.url, &[]);
    for _ in 0..20 {
        record(&tracer);
    }
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(server.log(), [VERSION, SPANS]);
    let root = named(&server, "root");
    for (key, value) in [
        ("mlflow.traceTag.mlflow.traceName", "root"),
        ("mlflow.traceTag.team", "a"),
        ("mlflow.traceTag.json", r#""{\"a\": 1}""#),
        ("session.id", "s-1"),
        ("user.id", "u-1"),
    ] {
        assert_eq!(root.text(key).as_deref(), Some(value), "{key}");
    }
    let keys = named(&server, "below").keys();
    assert!(!keys.iter().any(|key| key.contains("traceTag")), "{keys:?}");
    assert_eq!(tracer.stats().delivered, 40);
    assert_conserved(&tracer);
}

#[test]
fn servers_that_cannot_read_it_get_the_information() {
    for (version, expected) in [
        ("3.12.0", [VERSION, INFO, SPANS]),
        ("3.10.1", [VERSION, SPANS, INFO]),
    ] {
        let server = Server::mlflow(version, |_| None);
        let tracer = connected(&server.url, &[]);
        record(&tracer);
        assert_eq!(tracer.flush(PATIENCE), 0);
        assert_eq!(server.log(), expected);
        let keys = named(&server, "root").keys();
        assert!(!keys.iter().any(|key| key.contains("traceTag")), "{keys:?}");
    }
}

#[test]
fn attachments_go_before_the_spans() {
    let server = Server::mlflow("3.17.2", |_| None);
    let tracer = connected(&server.url, &[]);
    let root = tracer.start(SpanStart::new("root"));
    let attachment = Attachment::new("text/plain", b"content");
    let reference = attachment.uri(&root.context().unwrap().trace_id);
    let id = root.context().unwrap().trace_id.to_mlflow();
    let path = format!(
        "PUT /api/2.0/mlflow-artifacts/artifacts/0/traces/{id}/artifacts/attachments/{}",
        attachment.id()
    );
    root.set_inputs(Value::Str(&reference)).unwrap();
    root.attach(attachment).unwrap();
    root.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    let experiment = "GET /api/2.0/mlflow/experiments/get?experiment_id=0";
    assert_eq!(server.log(), [VERSION, experiment, &path, SPANS]);
}

#[test]
fn requests_are_compressed_as_asked() {
    for (option, encoding) in [("auto", None), ("none", None), ("gzip", Some("gzip"))] {
        let server = Server::mlflow("3.17.2", |_| None);
        let tracer = connected(&server.url, &[("export.compression", option)]);
        for _ in 0..20 {
            record(&tracer);
        }
        assert_eq!(tracer.flush(PATIENCE), 0);
        assert_eq!(server.seen()[1].header("content-encoding"), encoding);
        assert_eq!(server.spans().len(), 40);
    }
}

/// Against a real server: `tests/server/mlflow_server.py` runs a command beside one.
#[test]
fn a_server_shows_what_the_root_carries() {
    let Ok(url) = std::env::var("MLFLOW_TRACE_TEST_SERVER") else {
        return eprintln!("skipped: MLFLOW_TRACE_TEST_SERVER is not set");
    };
    let tracer = connected(&url, &[]);
    let root = tracer.start(SpanStart::new("carried"));
    let id = root.context().unwrap().trace_id.to_mlflow();
    let update =
        r#"{"tags": {"team": "a", "json": "{\"a\": 1}"}, "session_id": "s-1", "user": "u-1"}"#;
    root.update_trace(&TraceUpdate::from_json(update).unwrap())
        .unwrap();
    root.set_inputs(Value::Str("question")).unwrap();
    tracer.start(child(root, "below")).end().unwrap();
    root.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    let mut info = Json::Null;
    until("it is shown", || {
        let reply = get(&url, &format!("/api/3.0/mlflow/traces/{id}"));
        info = reply.map_or(Json::Null, |reply| reply["trace"]["trace_info"].clone());
        !info.is_null()
    });
    assert_eq!(info["state"], "OK");
    assert_eq!(info["tags"]["mlflow.traceName"], "carried");
    assert_eq!(info["tags"]["team"], "a");
    assert_eq!(info["tags"]["json"], r#"{"a": 1}"#);
    assert_eq!(info["trace_metadata"]["mlflow.trace.session"], "s-1");
    assert_eq!(info["trace_metadata"]["mlflow.trace.user"], "u-1");
    assert_eq!(info["request_preview"], "\"question\"");
}
