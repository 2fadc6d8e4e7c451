//! Attachments that a program made itself. Extracted ones are in `core/tests/attachments.rs`.

use std::sync::Arc;

use super::super::fake::{Reply, Seen, Server, reply};

use super::MlflowExporter;
use crate::config::Config;
use crate::destination;
use crate::export::memory::MemoryExporter;
use crate::export::{Exporter, Verdict};
use crate::id::TraceId;
use crate::mlflow::attachment::Attachment;
use crate::mlflow::keys;
use crate::otlp::{SCOPE_SPANS_SPANS, span, wire};
use crate::shared::Shared;
use crate::trace::{Destination, Experiment, Finished};
use crate::value::{Value, encode_key_value};

const VERSION: &str = "GET /version";
const EXPERIMENT: &str = "GET /api/2.0/mlflow/experiments/get?experiment_id=0";
const INFO: &str = "POST /api/3.0/mlflow/traces";
const SPANS: &str = "POST /v1/traces";

fn shared(options: &[(&str, &str)]) -> Arc<Shared> {
    let mut config = Config::new();
    for (key, value) in options {
        config.set(key, value).unwrap();
    }
    let (config, plugins) = crate::TracerBuilder::new(config).into_parts();
    Shared::new(0, config, &plugins)
}

/// A trace with an attachment that its root refers to, and one that nothing refers to.
fn finished() -> Finished {
    let id = TraceId::generate();
    let attachment = Attachment::new("text/plain", b"content");
    let mut spans = Vec::new();
    wire::message_field(&mut spans, SCOPE_SPANS_SPANS, |out| {
        wire::bytes_field(out, span::TRACE_ID, id.bytes());
        wire::bytes_field(out, span::SPAN_ID, &[1; 8]);
        wire::bytes_field(out, span::NAME, b"root");
        let inputs = format!("{{\"file\": \"{}\"}}", attachment.uri(&id));
        encode_key_value(
            out,
            span::ATTRIBUTES,
            keys::SPAN_INPUTS,
            Value::Json(&inputs),
        );
    });
    let destination = destination::by_number(destination::intern(Destination {
        experiment: Experiment::Id("0".into()),
        workspace: None,
    }));
    let mut trace = Finished::new(id, destination);
    trace.has_info = true;
    trace.spans = spans;
    trace.span_count = 1;
    trace.attachments = vec![Attachment::new("text/plain", b"redacted"), attachment];
    trace
}

fn run(exporter: &dyn Exporter, trace: Finished) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut batch = vec![trace];
    assert_eq!(runtime.block_on(exporter.export(&mut batch)), Verdict::Done);
    assert!(batch.is_empty());
}

/// Sends one such trace; the requests, with uploads as what they carried, and the last span body.
fn sent(
    version: &'static str,
    special: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static,
    options: &[(&str, &str)],
) -> (Vec<String>, String, Arc<Shared>) {
    let server = Server::mlflow(version, special);
    let shared = shared(&[&[("tracking_uri", server.url.as_str())], options].concat());
    run(&MlflowExporter::new(shared.clone()), finished());
    let seen = server.seen();
    let log = seen
        .iter()
        .map(|seen| match seen.path.contains("/attachments/") {
            true => format!("PUT {}", String::from_utf8_lossy(&seen.body)),
            false => format!("{} {}", seen.method, seen.path),
        });
    let spans = seen.iter().rev().find(|seen| seen.path == "/v1/traces");
    let spans = String::from_utf8_lossy(&spans.unwrap().body).into_owned();
    assert_eq!(shared.counters.read(|| 1).delivered, 1);
    (log.collect(), spans, shared)
}

#[test]
fn only_what_spans_refer_to_is_uploaded() {
    for (version, expected) in [
        ("3.17.2", [VERSION, EXPERIMENT, INFO, "PUT content", SPANS]),
        ("3.10.1", [VERSION, EXPERIMENT, SPANS, INFO, "PUT content"]),
    ] {
        for extract in ["on", "off"] {
            let options = [("attachments.extract", extract)];
            let (log, spans, shared) = sent(version, |_| None, &options);
            assert_eq!(log, expected);
            assert!(spans.contains("mlflow-attachment://"));
            assert!(shared.diagnostics.next().is_none());
        }
    }
}

#[test]
fn content_over_the_limit_is_not_uploaded() {
    let options = [("attachments.max_bytes", "6")];
    let (log, spans, _) = sent("3.17.2", |_| None, &options);
    assert_eq!(log, [VERSION, INFO, SPANS]);
    assert!(spans.contains("[Attachment too large: 7 bytes exceeds 6 bytes limit]"));
}

#[test]
fn content_that_cannot_be_stored_stands_in_the_span() {
    let elsewhere = r#"{"experiment": {"artifact_location": "s3://bucket/0"}}"#;
    for version in ["3.17.2", "3.10.1"] {
        let special = move |seen: &Seen| {
            seen.path
                .contains("experiments")
                .then(|| reply(200, elsewhere))
        };
        let (log, spans, _) = sent(version, special, &[]);
        assert_eq!(log.len(), 4, "{log:?}");
        assert!(
            spans.contains("data:text/plain;base64,Y29udGVudA=="),
            "{spans}"
        );
    }
}

#[test]
fn content_that_is_refused_after_the_spans_is_lost_and_reported() {
    let refuse = |seen: &Seen| seen.path.contains("/attachments/").then(|| reply(404, ""));
    let (log, _, shared) = sent("3.10.1", refuse, &[]);
    assert_eq!(log, [VERSION, EXPERIMENT, SPANS, INFO, "PUT content"]);
    let line = shared.diagnostics.next().unwrap();
    assert_eq!(line.reason, "attachment");
    assert!(line.message.contains("is lost"), "{line}");
}

#[test]
fn exporters_without_a_place_for_files_write_content_into_the_spans() {
    let shared = shared(&[]);
    run(&MemoryExporter::new(shared.clone()), finished());
    let text = shared.memory.lock().pop_front().unwrap();
    assert!(
        text.contains("data:text/plain;base64,Y29udGVudA=="),
        "{text}"
    );
    assert!(!text.contains("mlflow-attachment"));
}
