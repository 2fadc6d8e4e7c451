//! Delivery to an MLflow server: the sequence of requests, retries, refusals, time limits.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mlflow_trace_core::{Parent, SpanStart, Tracer, Value};
use support::server::{Seen, Server, reply};
use support::{PATIENCE, assert_conserved, dropped, tracer};

fn connected(url: &str, more: &[(&str, &str)]) -> Tracer {
    tracer(&[&[("tracking_uri", url), ("batch.delay_ms", "50")], more].concat())
}

fn record(tracer: &Tracer, names: &[&str]) {
    for name in names {
        tracer.start(SpanStart::new(name)).end().unwrap();
    }
}

const VERSION: &str = "GET /version";
const INFO: &str = "POST /api/3.0/mlflow/traces";
const SPANS: &str = "POST /v1/traces";

#[test]
fn a_new_server_gets_information_then_the_spans_of_all_traces() {
    let server = Server::mlflow("3.17.2", |_| None);
    let tracer = connected(
        &server.url,
        &[("experiment_id", "7"), ("tracking_token", "t")],
    );
    record(&tracer, &["a", "b"]);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(server.log(), [VERSION, INFO, INFO, SPANS]);
    let seen = server.seen();
    let spans = &seen[3];
    assert_eq!(spans.header("x-mlflow-experiment-id"), Some("7"));
    assert_eq!(spans.header("content-type"), Some("application/x-protobuf"));
    assert!(
        seen.iter()
            .all(|seen| seen.header("authorization") == Some("Bearer t"))
    );
    assert_eq!(tracer.stats().delivered, 2);
    assert_conserved(&tracer);
}

#[test]
fn an_older_server_gets_spans_first() {
    let server = Server::mlflow("3.10.1", |_| None);
    let tracer = connected(&server.url, &[]);
    record(&tracer, &["a"]);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(server.log(), [VERSION, SPANS, INFO]);
}

#[test]
fn a_server_without_span_ingest_gets_an_artifact() {
    for (version, status) in [("3.4.0", 200), ("3.17.2", 501), ("3.17.2", 404)] {
        let server = Server::mlflow(version, move |seen| {
            (seen.path == "/v1/traces").then(|| reply(status, "{\"detail\": \"not here\"}"))
        });
        let tracer = connected(&server.url, &[]);
        record(&tracer, &["a"]);
        assert_eq!(tracer.flush(PATIENCE), 0, "{version}");
        record(&tracer, &["b"]);
        assert_eq!(tracer.flush(PATIENCE), 0);
        let log = server.log();
        let count = |wanted: &str| log.iter().filter(|line| line.contains(wanted)).count();
        assert_eq!(count("POST /api/3.0/mlflow/traces"), 2, "{log:?}");
        assert_eq!(count("/artifacts/0/traces/tr-"), 2, "{log:?}");
        let last = server.seen().pop().unwrap();
        let sent: serde_json::Value = serde_json::from_slice(&last.body).unwrap();
        assert_eq!(sent["spans"][0]["name"], "b");
        assert_eq!(tracer.stats().delivered, 2);
    }
}

#[test]
fn an_artifact_location_that_leaves_the_server_is_not_followed() {
    let server = Server::mlflow("3.4.0", |seen| {
        let location = r#"{"trace": {"trace_info": {"tags": {"mlflow.artifactLocation": "mlflow-artifacts:/../../etc"}}}}"#;
        (seen.path == "/api/3.0/mlflow/traces").then(|| reply(200, location))
    });
    let tracer = connected(&server.url, &[]);
    record(&tracer, &["a"]);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(server.log(), [VERSION, INFO]);
    assert_eq!(dropped(&tracer, "rejected"), 1);
}

#[test]
fn an_experiment_name_is_resolved_once_and_made_when_missing() {
    let server = Server::mlflow("3.17.2", |seen| match seen.path.as_str() {
        "/api/2.0/mlflow/experiments/get-by-name?experiment_name=my%20exp" => Some(reply(
            404,
            r#"{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such experiment"}"#,
        )),
        "/api/2.0/mlflow/experiments/create" => Some(reply(200, r#"{"experiment_id": "42"}"#)),
        _ => None,
    });
    let tracer = connected(&server.url, &[("experiment_name", "my exp")]);
    for _ in 0..2 {
        record(&tracer, &["a"]);
        assert_eq!(tracer.flush(PATIENCE), 0);
    }
    let log = server.log();
    assert_eq!(
        log.iter()
            .filter(|line| line.contains("experiments"))
            .count(),
        2,
        "{log:?}"
    );
    assert_eq!(
        server
            .seen()
            .pop()
            .unwrap()
            .header("x-mlflow-experiment-id"),
        Some("42")
    );
}

#[test]
fn a_passing_fault_is_retried_without_sending_twice() {
    let failures = AtomicUsize::new(0);
    let server = Server::mlflow("3.17.2", move |seen| {
        let first = seen.path == "/v1/traces" && failures.fetch_add(1, Ordering::Relaxed) < 2;
        first.then(|| (503, "retry-after: 0\r\n".to_owned(), String::new()))
    });
    let tracer = connected(&server.url, &[]);
    record(&tracer, &["a"]);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(server.log(), [VERSION, INFO, SPANS, SPANS, SPANS]);
    assert_eq!(tracer.stats().delivered, 1);
    assert_eq!(tracer.next_diagnostic().unwrap().reason, "unreachable");
}

#[test]
fn one_bad_trace_does_not_take_the_others_with_it() {
    let poisoned = |seen: &Seen| seen.body.windows(6).any(|window| window == b"poison");
    let server = Server::mlflow("3.17.2", move |seen| {
        (seen.path == "/v1/traces" && poisoned(seen))
            .then(|| reply(422, "{\"detail\": \"bad span\"}"))
    });
    let tracer = connected(&server.url, &[("batch.delay_ms", "500")]);
    record(&tracer, &["a", "b", "c", "poison", "d", "e", "f"]);
    assert_eq!(tracer.flush(PATIENCE), 0);
    // The bad one is readable all the same, from an artifact.
    assert_eq!(tracer.stats().delivered, 7);
    let artifacts = server
        .log()
        .iter()
        .filter(|line| line.starts_with("PUT"))
        .count();
    assert_eq!(artifacts, 1);
    let posts = server.log().iter().filter(|line| *line == SPANS).count();
    assert!(posts <= 2 * 3 + 4, "{posts}");
    assert_conserved(&tracer);
}

#[test]
fn refused_spans_without_information_are_given_up() {
    let server = Server::mlflow("3.17.2", |seen| {
        (seen.path == "/v1/traces").then(|| reply(422, ""))
    });
    let tracer = connected(&server.url, &[]);
    let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let parent = mlflow_trace_core::extract(header, None).unwrap();
    let span = tracer.start(SpanStart {
        parent: Parent::Remote(parent),
        ..SpanStart::new("served")
    });
    span.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(dropped(&tracer, "rejected"), 1);
    assert_conserved(&tracer);
}

#[test]
fn a_payload_that_always_breaks_the_server_is_given_up() {
    let server = Server::mlflow("3.17.2", |seen| {
        (seen.path == "/v1/traces").then(|| reply(500, ""))
    });
    let tracer = connected(&server.url, &[]);
    record(&tracer, &["a"]);
    let start = Instant::now();
    while tracer.flush(Duration::from_secs(1)) > 0 {
        assert!(start.elapsed() < PATIENCE);
    }
    assert_eq!(dropped(&tracer, "rejected"), 1);
    assert_conserved(&tracer);
}

#[test]
fn local_spans_of_a_remote_trace_go_without_information() {
    let server = Server::mlflow("3.17.2", |_| None);
    let tracer = connected(&server.url, &[]);
    let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let span = tracer.start(SpanStart {
        parent: Parent::Remote(mlflow_trace_core::extract(header, None).unwrap()),
        ..SpanStart::new("served")
    });
    span.set_inputs(Value::Str("x")).unwrap();
    span.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(server.log(), [VERSION, SPANS]);
}

/// A port that nobody listens on.
fn closed_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn an_unreachable_server_holds_nobody_up() {
    let silent = Server::start(|_| {
        std::thread::sleep(PATIENCE);
        reply(200, "")
    });
    for url in [closed_port(), silent.url.clone()] {
        let tracer = connected(&url, &[]);
        let start = Instant::now();
        record(&tracer, &["a", "b"]);
        assert!(start.elapsed() < Duration::from_millis(500));
        assert_eq!(tracer.flush(Duration::from_millis(300)), 2);
        assert_eq!(tracer.stats().pending, 2);
        let start = Instant::now();
        tracer.shutdown(Duration::from_secs(2));
        assert!(
            start.elapsed() < Duration::from_millis(2_100),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(dropped(&tracer, "shutdown"), 2);
        assert_conserved(&tracer);
        record(&tracer, &[]);
        assert!(tracer.start(SpanStart::new("late")).end().is_err());
        assert_eq!(tracer.shutdown(Duration::ZERO), 2);
    }
}

#[test]
fn shutdown_delivers_what_ended_and_counts_what_did_not() {
    let server = Server::mlflow("3.17.2", |_| None);
    let tracer = connected(&server.url, &[("batch.delay_ms", "60000")]);
    record(&tracer, &["whole"]);
    let open = tracer.start(SpanStart::new("open"));
    let child = tracer.start(SpanStart {
        parent: Parent::Span(open),
        ..SpanStart::new("child")
    });
    child.end().unwrap();
    assert_eq!(tracer.shutdown(PATIENCE), 0);
    assert_eq!(
        (tracer.stats().delivered, dropped(&tracer, "unfinished")),
        (2, 1)
    );
    assert_conserved(&tracer);
    let _ = open.end();
    assert_conserved(&tracer);
}

#[test]
fn a_full_queue_drops_new_traces_and_counts_them() {
    let tracer = connected(&closed_port(), &[("queue.max_bytes", "1048576")]);
    let text = "x".repeat(100_000);
    for _ in 0..30 {
        let span = tracer.start(SpanStart::new("big"));
        span.set_inputs(Value::Str(&text)).unwrap();
        span.end().unwrap();
    }
    let stats = tracer.stats();
    assert_eq!(stats.created, 30);
    assert_eq!(stats.pending, 10);
    assert_eq!(dropped(&tracer, "queue_full"), 20);
    assert_conserved(&tracer);
}

#[test]
fn dropping_the_tracer_delivers_in_the_background() {
    let server = Server::mlflow("3.17.2", |_| None);
    let tracer = connected(&server.url, &[("batch.delay_ms", "60000")]);
    record(&tracer, &["a"]);
    drop(tracer);
    let start = Instant::now();
    while server.log().len() < 3 {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_password_never_shows() {
    let url = closed_port().replace("http://", "http://user:hunter2@");
    let tracer = connected(&url, &[]);
    record(&tracer, &["a"]);
    tracer.flush(Duration::from_millis(300));
    let text = tracer.next_diagnostic().unwrap().to_string();
    assert!(!text.contains("hunter2"), "{text}");
    assert!(!format!("{:?}", tracer.config()).contains("hunter2"));
}
