//! What a test from outside cannot bring about: that time has passed, and what a trace went through before.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::fake::{Seen, Server, reply};

use super::*;
use crate::Config;
use crate::TracerBuilder;
use crate::destination::{self, Destination};
use crate::id::TraceId;
use crate::otlp::{SCOPE_SPANS_SPANS, span, wire};

const INFO: &str = "POST /api/3.0/mlflow/traces";
const SPANS: &str = "POST /v1/traces";
const MINUTE: Duration = Duration::from_secs(60);

fn exporter(url: &str, options: &[(&str, &str)]) -> MlflowExporter {
    let mut config = Config::new();
    for (key, value) in [&[("tracking_uri", url)], options].concat() {
        config.set(key, value).unwrap();
    }
    let (config, plugins) = TracerBuilder::new(config).into_parts();
    MlflowExporter::new(Shared::new(0, config, &plugins))
}

fn finished() -> Finished {
    let id = TraceId::generate();
    let mut spans = Vec::new();
    wire::message_field(&mut spans, SCOPE_SPANS_SPANS, |out| {
        wire::bytes_field(out, span::TRACE_ID, id.bytes());
        wire::bytes_field(out, span::SPAN_ID, &[1; 8]);
        wire::bytes_field(out, span::NAME, b"root");
    });
    let destination = destination::by_number(destination::intern(Destination {
        experiment: Experiment::Id("0".into()),
        workspace: None,
    }));
    let mut trace = Finished::new(id, destination);
    trace.has_info = true;
    trace.spans = spans;
    trace.span_count = 1;
    trace
}

/// One pass; what is left.
fn export(exporter: &MlflowExporter, trace: Finished) -> (Verdict, Vec<Finished>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut batch = vec![trace];
    let verdict = runtime.block_on(exporter.export(&mut batch));
    (verdict, batch)
}

fn delivered(exporter: &MlflowExporter, trace: Finished) {
    let (verdict, left) = export(exporter, trace);
    assert_eq!((verdict, left.len()), (Verdict::Done, 0));
}

/// Answers a look-up of a trace with this metadata.
fn knows(metadata: &'static str) -> impl Fn(&Seen) -> Option<super::fake::Reply> + Send + Sync {
    move |seen| {
        let body = format!(r#"{{"trace": {{"trace_info": {{"trace_metadata": {metadata}}}}}}}"#);
        let is_look = seen.method == "GET" && seen.path.starts_with("/api/3.0/mlflow/traces/tr-");
        is_look.then(|| reply(200, &body))
    }
}

#[test]
fn a_post_without_a_reply_is_looked_for_before_the_next() {
    let look = |id: &TraceId| format!("GET /api/3.0/mlflow/traces/{}", id.to_mlflow());
    for (metadata, age, looks, posts) in [
        (r#"{"mlflow.trace.infoFinalized": "true"}"#, 6, true, false),
        // Of a part that was sent before, or of nothing.
        (r#"{"mlflow.trace.sizeStats": "{}"}"#, 6, true, true),
        ("null", 6, true, true),
        // Nobody has edited it yet.
        (r#"{"mlflow.trace.infoFinalized": "true"}"#, 4, false, true),
    ] {
        let server = Server::mlflow("3.17.2", knows(metadata));
        let exporter = exporter(&server.url, &[]);
        let mut trace = finished();
        let id = trace.id;
        trace
            .progress
            .doubt(Instant::now() - Duration::from_secs(age));
        delivered(&exporter, trace);
        let mut expected = vec!["GET /version".to_owned()];
        expected.extend(looks.then(|| look(&id)));
        expected.extend(posts.then(|| INFO.to_owned()));
        expected.push(SPANS.to_owned());
        assert_eq!(server.log(), expected, "{metadata} {age}");
    }
}

#[test]
fn a_look_that_fails_is_made_again() {
    let server = Server::mlflow("3.17.2", |seen| {
        (seen.method == "GET" && seen.path.contains("/tr-")).then(|| reply(503, ""))
    });
    let exporter = exporter(&server.url, &[]);
    let mut trace = finished();
    trace.progress.doubt(Instant::now() - MINUTE);
    let (verdict, left) = export(&exporter, trace);
    assert_eq!((verdict, left.len()), (Verdict::Retry(None), 1));
    assert!(!server.log().contains(&INFO.to_owned()));
}

#[test]
fn only_a_post_whose_outcome_is_unknown_is_doubted() {
    for (status, doubted) in [
        (503, false),
        (429, false),
        (500, false),
        (502, true),
        (504, true),
    ] {
        let server = Server::mlflow("3.17.2", move |seen| {
            (seen.path == "/api/3.0/mlflow/traces").then(|| reply(status, ""))
        });
        let (_, left) = export(&exporter(&server.url, &[]), finished());
        assert_eq!(left[0].progress.doubted().is_some(), doubted, "{status}");
    }
    let server = Server::mlflow("3.17.2", |seen| {
        if seen.path == "/api/3.0/mlflow/traces" {
            std::thread::sleep(Duration::from_secs(2));
        }
        None
    });
    let exporter = exporter(&server.url, &[("http.timeout_ms", "200")]);
    let (verdict, left) = export(&exporter, finished());
    assert!(matches!(verdict, Verdict::Retry(_)));
    assert!(left[0].progress.doubted().is_some());
}

#[test]
fn a_server_is_asked_again_after_an_hour() {
    let versions = ["3.4.0", "3.10.1", "3.17.2"];
    let asked = AtomicUsize::new(0);
    let server = Server::mlflow("", move |seen| {
        let next = || versions[asked.fetch_add(1, SeqCst)];
        (seen.path == "/version").then(|| reply(200, next()))
    });
    let exporter = exporter(&server.url, &[]);
    let mut kinds = Vec::new();
    for _ in versions {
        let before = server.log().len();
        delivered(&exporter, finished());
        delivered(&exporter, finished());
        let log = server.log().split_off(before);
        let kind = |line: &String| line.split('/').next_back().unwrap().to_owned();
        kinds.push(log.iter().map(kind).collect::<Vec<_>>().join(" "));
        exporter.forget_server();
    }
    let expected = [
        "version traces traces.json traces traces.json",
        "version traces traces traces traces",
        "version traces traces traces traces",
    ];
    assert_eq!(kinds, expected);
    let seen = server.log();
    assert_eq!(seen.iter().filter(|line| *line == SPANS).count(), 4);
}

#[test]
fn a_server_that_took_no_spans_is_tried_again_after_an_hour() {
    let asked = AtomicUsize::new(0);
    let server = Server::mlflow("3.17.2", move |seen| {
        let refuses = seen.path == "/v1/traces" && asked.fetch_add(1, SeqCst) == 0;
        refuses.then(|| reply(501, r#"{"detail": "not supported by FileStore"}"#))
    });
    let exporter = exporter(&server.url, &[]);
    let spans = || server.log().iter().filter(|line| *line == SPANS).count();
    delivered(&exporter, finished());
    delivered(&exporter, finished());
    assert_eq!(spans(), 1);
    exporter.forget_server();
    delivered(&exporter, finished());
    assert_eq!(spans(), 2);
    // The information of the first was not posted twice.
    assert_eq!(server.log().iter().filter(|line| *line == INFO).count(), 3);
}

#[test]
fn a_server_that_does_not_tell_stays_what_it_was() {
    let asked = AtomicUsize::new(0);
    let server = Server::mlflow("3.10.1", move |seen| {
        let later = seen.path == "/version" && asked.fetch_add(1, SeqCst) > 0;
        later.then(|| reply(503, ""))
    });
    let exporter = exporter(&server.url, &[]);
    delivered(&exporter, finished());
    exporter.forget_server();
    delivered(&exporter, finished());
    let log = server.log();
    assert_eq!(
        log,
        ["GET /version", SPANS, INFO, "GET /version", SPANS, INFO]
    );
}

/// Where nothing else passes, a payload is blamed for server errors only after many of them.
#[test]
fn server_errors_are_the_servers_fault_as_long_as_nothing_passes() {
    let server = Server::mlflow("3.17.2", |seen| {
        (seen.path == "/v1/traces").then(|| reply(500, ""))
    });
    let exporter = exporter(&server.url, &[]);
    let mut left = vec![finished()];
    let mut passes = 0;
    while let Some(trace) = left.pop() {
        (_, left) = export(&exporter, trace);
        passes += 1;
    }
    assert_eq!(passes, 10);
    assert_eq!(
        exporter
            .shared
            .counters
            .dropped(crate::pipeline::stats::Drop::Rejected),
        1
    );
}
