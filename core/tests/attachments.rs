//! Attachments on their way to an MLflow server: what is extracted, where it goes, what refusals do.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mlflow_trace_core::{Parent, SpanStart, Tracer, Value, extract};
use serde_json::{Value as Json, json};
use support::server::{Reply, Seen, Server, reply};
use support::{PATIENCE, assert_conserved, tracer};

const VERSION: &str = "GET /version";
const EXPERIMENT: &str = "GET /api/2.0/mlflow/experiments/get?experiment_id=0";
const INFO: &str = "POST /api/3.0/mlflow/traces";
const SPANS: &str = "POST /v1/traces";
const UPLOAD: &str = "PUT .../attachments/...";

/// `image` and `sound` in base64.
const INPUTS: &str = r#"[{"b64_json": "aW1hZ2U="}, {"audio": {"data": "c291bmQ="}}]"#;
const CONTENTS: [&[u8]; 2] = [b"aW1hZ2U=", b"c291bmQ="];

fn connected(url: &str, more: &[(&str, &str)]) -> Tracer {
    tracer(&[&[("tracking_uri", url), ("batch.delay_ms", "50")], more].concat())
}

fn record(tracer: &Tracer, inputs: &str) {
    let span = tracer.start(SpanStart::new("span"));
    span.set_inputs(Value::Json(inputs)).unwrap();
    span.end().unwrap();
}

/// Requests so far, uploads shortened.
fn log(server: &Server) -> Vec<String> {
    let short = |line: String| match line.contains("/attachments/") {
        true => UPLOAD.to_owned(),
        false => line,
    };
    server.log().into_iter().map(short).collect()
}

fn uploads(server: &Server) -> Vec<Seen> {
    let mut seen = server.seen();
    seen.retain(|seen| seen.path.contains("/attachments/"));
    seen
}

fn is_upload(seen: &Seen) -> bool {
    seen.path.contains("/attachments/")
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// How many of the two contents, and how many references, the last request to `path` held.
fn held(server: &Server, path: &str) -> (usize, usize) {
    let mut seen = server.seen();
    seen.retain(|seen| seen.path == path);
    let body = seen.pop().unwrap().body;
    let contents = CONTENTS.iter().filter(|content| contains(&body, content));
    let scheme = b"mlflow-attachment://";
    let references = body.windows(scheme.len()).filter(|part| part == scheme);
    (contents.count(), references.count())
}

/// The information that was posted.
fn info(server: &Server) -> Json {
    let mut seen = server.seen();
    seen.retain(|seen| seen.path == "/api/3.0/mlflow/traces");
    let body: Json = serde_json::from_slice(&seen.pop().unwrap().body).unwrap();
    body["trace"]["trace_info"].clone()
}

fn assert_delivered(tracer: &Tracer) {
    assert_eq!(tracer.stats().delivered, 1);
    assert_conserved(tracer);
}

#[test]
fn content_is_uploaded_between_the_information_and_the_spans() {
    let server = Server::mlflow("3.17.2", |_| None);
    let tracer = connected(&server.url, &[]);
    record(&tracer, INPUTS);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(
        log(&server),
        [VERSION, EXPERIMENT, INFO, UPLOAD, UPLOAD, SPANS]
    );
    assert_eq!(held(&server, "/v1/traces"), (0, 2));
    let info = info(&server);
    let trace_id = info["trace_id"].as_str().unwrap();
    let inputs: Json = serde_json::from_str(info["request_preview"].as_str().unwrap()).unwrap();
    let references = [&inputs[0]["b64_json"], &inputs[1]["audio"]["data"]];
    let expected = [("image%2Fpng", "image"), ("audio%2Fwav", "sound")];
    for ((upload, reference), (content_type, bytes)) in
        uploads(&server).iter().zip(references).zip(expected)
    {
        let (folder, id) = upload.path.rsplit_once('/').unwrap();
        let artifacts = "/api/2.0/mlflow-artifacts/artifacts/0/traces";
        assert_eq!(
            folder,
            format!("{artifacts}/{trace_id}/artifacts/attachments")
        );
        assert_eq!(upload.body, bytes.as_bytes());
        assert_eq!(
            upload.header("content-type"),
            Some("application/octet-stream")
        );
        let query = format!("content_type={content_type}&trace_id={trace_id}&size=5");
        assert_eq!(reference, &format!("mlflow-attachment://{id}?{query}"));
    }
    assert_delivered(&tracer);

    // The experiment is asked about once, and only for traces that hold content.
    record(&tracer, INPUTS);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(log(&server)[6..], [INFO, UPLOAD, UPLOAD, SPANS]);
    record(&tracer, r#"{"question": "what is base64?"}"#);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(log(&server)[10..], [INFO, SPANS]);
}

#[test]
fn content_stays_where_it_is_when_asked_to_or_when_nobody_would_see_it() {
    for (version, options, expected) in [
        (
            "3.17.2",
            &[("attachments.extract", "off")][..],
            [VERSION, INFO, SPANS],
        ),
        ("3.11.1", &[], [VERSION, SPANS, INFO]),
    ] {
        let server = Server::mlflow(version, |_| None);
        let tracer = connected(&server.url, options);
        record(&tracer, INPUTS);
        assert_eq!(tracer.flush(PATIENCE), 0);
        assert_eq!(log(&server), expected);
        assert_eq!(held(&server, "/v1/traces"), (2, 0));
        assert_delivered(&tracer);
    }
}

#[test]
fn a_passing_fault_is_retried_and_each_attachment_is_stored_once() {
    let calls = AtomicUsize::new(0);
    let server = Server::mlflow("3.17.2", move |seen| {
        let fails = is_upload(seen) && calls.fetch_add(1, Ordering::Relaxed) == 1;
        fails.then(|| (503, "retry-after: 0\r\n".to_owned(), String::new()))
    });
    let tracer = connected(&server.url, &[]);
    record(&tracer, INPUTS);
    assert_eq!(tracer.flush(PATIENCE), 0);
    let expected = [VERSION, EXPERIMENT, INFO, UPLOAD, UPLOAD, UPLOAD, SPANS];
    assert_eq!(log(&server), expected);
    let paths: Vec<String> = uploads(&server).into_iter().map(|seen| seen.path).collect();
    assert_ne!(paths[0], paths[1]);
    assert_eq!(paths[1], paths[2]);
    assert_delivered(&tracer);
}

/// Answers uploads, delivers one trace, and tells what its spans held and what was reported.
fn refused(answer: impl Fn() -> Reply + Send + Sync + 'static) -> (usize, usize, String) {
    let server = Server::mlflow("3.17.2", move |seen| is_upload(seen).then(&answer));
    let tracer = connected(&server.url, &[]);
    record(&tracer, INPUTS);
    let start = Instant::now();
    while tracer.flush(Duration::from_secs(1)) > 0 {
        assert!(start.elapsed() < PATIENCE);
    }
    assert_delivered(&tracer);
    let (contents, references) = held(&server, "/v1/traces");
    let reported = std::iter::from_fn(|| tracer.next_diagnostic())
        .find(|line| line.reason == "attachment")
        .unwrap();
    assert!(reported.is_problem());
    (contents, references, reported.message)
}

#[test]
fn refused_content_goes_back_into_the_spans() {
    let no_artifacts =
        "Endpoint disabled due to the mlflow server running with `--no-serve-artifacts`";
    for (status, body) in [(403, ""), (404, ""), (503, no_artifacts), (500, "")] {
        let (contents, references, message) = refused(move || reply(status, body));
        assert_eq!((contents, references), (2, 0), "{status}");
        assert!(
            message.contains("stays in the span") && message.contains(&status.to_string()),
            "{message}"
        );
    }
}

#[test]
fn content_that_is_too_large_for_the_server_is_given_up_and_the_trace_is_not() {
    let (contents, references, message) = refused(|| reply(413, ""));
    assert_eq!((contents, references), (0, 2));
    assert!(
        message.contains("is lost") && message.contains("413"),
        "{message}"
    );
}

fn experiment_at(location: &str) -> Reply {
    reply(
        200,
        &json!({"experiment": {"artifact_location": location}}).to_string(),
    )
}

#[test]
fn artifacts_outside_the_server_leave_the_content_in_the_spans() {
    for location in [
        "s3://bucket/0",
        "mlflow-artifacts://elsewhere:5000/0",
        "mlflow-artifacts:/../../etc",
        "/var/mlruns/0",
        "",
    ] {
        let server = Server::mlflow("3.17.2", move |seen| {
            seen.path
                .contains("/experiments/get?")
                .then(|| experiment_at(location))
        });
        let tracer = connected(&server.url, &[]);
        for _ in 0..2 {
            record(&tracer, INPUTS);
        }
        assert_eq!(tracer.flush(PATIENCE), 0);
        assert_eq!(
            log(&server),
            [VERSION, EXPERIMENT, INFO, INFO, SPANS],
            "{location}"
        );
        assert_eq!(held(&server, "/v1/traces"), (2, 0));
        assert_eq!(info(&server)["request_preview"], INPUTS);
        assert_conserved(&tracer);
    }
}

#[test]
fn an_experiment_that_cannot_be_read_holds_nothing_up() {
    for status in [403, 404, 500] {
        let server = Server::mlflow("3.17.2", move |seen| {
            seen.path
                .contains("/experiments/get?")
                .then(|| reply(status, ""))
        });
        let tracer = connected(&server.url, &[]);
        record(&tracer, INPUTS);
        assert_eq!(tracer.flush(PATIENCE), 0);
        assert_eq!(held(&server, "/v1/traces"), (2, 0));
        assert_delivered(&tracer);
    }
}

#[test]
fn a_location_that_leaves_the_server_is_not_followed() {
    let server = Server::mlflow("3.17.2", |seen| {
        let sent: Json = serde_json::from_slice(&seen.body).ok()?;
        let id = sent["trace"]["trace_info"]["trace_id"].as_str()?;
        let location = format!("mlflow-artifacts:/../../etc/traces/{id}/artifacts");
        let tags = json!({"mlflow.artifactLocation": location});
        let info = json!({"trace": {"trace_info": {"tags": tags}}});
        Some(reply(200, &info.to_string()))
    });
    let tracer = connected(&server.url, &[]);
    record(&tracer, INPUTS);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(log(&server), [VERSION, EXPERIMENT, INFO, SPANS]);
    assert_eq!(held(&server, "/v1/traces"), (2, 0));
    assert_eq!(tracer.next_diagnostic().unwrap().reason, "attachment");
    assert_delivered(&tracer);
}

#[test]
fn a_server_without_span_ingest_gets_attachments_beside_the_artifact() {
    let server = Server::mlflow("3.17.2", |seen| {
        (seen.path == "/v1/traces").then(|| reply(501, ""))
    });
    let tracer = connected(&server.url, &[]);
    record(&tracer, INPUTS);
    assert_eq!(tracer.flush(PATIENCE), 0);
    let log = log(&server);
    assert_eq!(log[..6], [VERSION, EXPERIMENT, INFO, UPLOAD, UPLOAD, SPANS]);
    assert_eq!(log.len(), 7);
    let artifact = server.seen().pop().unwrap().path;
    assert!(artifact.ends_with("/artifacts/traces.json"));
    assert_eq!(held(&server, &artifact), (0, 2));
    assert_delivered(&tracer);
}

const REMOTE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const REMOTE_ID: &str = "tr-4bf92f3577b34da6a3ce929d0e0e4736";

fn record_remote(server: &Server) -> Tracer {
    let tracer = connected(&server.url, &[]);
    let span = tracer.start(SpanStart {
        parent: Parent::Remote(extract(REMOTE, None).unwrap()),
        ..SpanStart::new("served")
    });
    span.set_outputs(Value::Str("data:image/png;base64,aW1hZ2U="))
        .unwrap();
    span.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_delivered(&tracer);
    tracer
}

#[test]
fn a_trace_that_is_rooted_elsewhere_is_looked_up() {
    let server = Server::mlflow("3.17.2", |seen| {
        let location = format!("mlflow-artifacts:/3/traces/{REMOTE_ID}/artifacts");
        let tags = json!({"mlflow.artifactLocation": location});
        let info = json!({"trace": {"trace_info": {"tags": tags}}}).to_string();
        seen.path.ends_with(REMOTE_ID).then(|| reply(200, &info))
    });
    record_remote(&server);
    let asked = format!("GET /api/3.0/mlflow/traces/{REMOTE_ID}");
    assert_eq!(log(&server), [VERSION, &asked, UPLOAD, SPANS]);
    assert_eq!(held(&server, "/v1/traces"), (0, 1));
    let upload = &uploads(&server)[0];
    assert!(
        upload.path.contains("/artifacts/3/traces/"),
        "{}",
        upload.path
    );
    assert_eq!(upload.body, b"image");
}

#[test]
fn a_trace_that_the_server_does_not_know_yet_keeps_its_content() {
    let unknown = r#"{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such trace"}"#;
    let server = Server::mlflow("3.17.2", move |seen| {
        seen.path.ends_with(REMOTE_ID).then(|| reply(404, unknown))
    });
    record_remote(&server);
    let asked = format!("GET /api/3.0/mlflow/traces/{REMOTE_ID}");
    assert_eq!(log(&server), [VERSION, &asked, SPANS]);
    assert_eq!(held(&server, "/v1/traces"), (1, 0));
}

#[test]
fn content_over_the_limit_is_discarded_and_fails_the_trace() {
    let server = Server::mlflow("3.17.2", |_| None);
    let tracer = connected(&server.url, &[("attachments.max_bytes", "4")]);
    record(&tracer, INPUTS);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(log(&server), [VERSION, EXPERIMENT, INFO, SPANS]);
    assert_eq!(held(&server, "/v1/traces"), (0, 0));
    let info = info(&server);
    assert_eq!(info["state"], "ERROR");
    let preview = info["request_preview"].as_str().unwrap();
    assert!(preview.contains("[Attachment too large: 5 bytes exceeds 4 bytes limit]"));
    assert_delivered(&tracer);
}
