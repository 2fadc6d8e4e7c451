//! Frames of hosts that encode their spans themselves.
#![allow(clippy::unwrap_used)]

mod support;

use mlflow_trace_core::{Attachment, Decision, HostRules, TraceId};
use support::frames::{end, field, frame, start, text};
use support::{assert_conserved, memory_tracer, span, tracer, traces};

/// The frame with a flag.
fn flagged(flag: u8, mut frame: Vec<u8>) -> Vec<u8> {
    frame[1] = flag;
    frame
}

fn failed() -> Vec<u8> {
    field(15, &[3 << 3, 2])
}

const UUID: &str = "0189f7ea-ae2c-4f71-8d2b-5ac4e5f2d1c3";

fn attach(trace: u8, id: &str, content_type: &str, content: &[u8]) -> Vec<u8> {
    let length = (content_type.len() as u16).to_le_bytes();
    let parts: [&[u8]; 5] = [
        &[trace; 16],
        id.as_bytes(),
        &length,
        content_type.as_bytes(),
        content,
    ];
    frame(5, &parts)
}

#[test]
fn spans_are_completed_by_mlflows_rules() {
    let tracer = memory_tracer();
    let frames = [
        start(1, 1, 0, r#"{"tags": {"a": "1"}}"#),
        start(1, 2, 1, ""),
        frame(3, &[&[1; 16], br#"{"tags": {"b": "2"}}"#]),
        end(1, 2, 1, "child", &text("mlflow.spanType", "TOOL")),
        end(1, 1, 0, "root", &field(11, &field(2, b"exception"))),
    ];
    assert_eq!(tracer.drain(&frames.concat()), 0);
    let traces = traces(&tracer);
    assert_eq!(traces[0]["info"]["tags"]["a"], "1");
    assert_eq!(traces[0]["info"]["tags"]["b"], "2");
    let (root, child) = (span(&traces[0], "root"), span(&traces[0], "child"));
    assert_eq!(child["parent_span_id"], root["span_id"]);
    assert_eq!(child["attributes"]["mlflow.spanLogLevel"], "20");
    assert_eq!(root["attributes"]["mlflow.spanLogLevel"], "40");
    assert_eq!(root["attributes"]["mlflow.spanType"], "\"UNKNOWN\"");
    assert_eq!(
        root["attributes"]["mlflow.traceRequestId"],
        "\"tr-01010101010101010101010101010101\""
    );
    assert_eq!(root["status"]["code"], "STATUS_CODE_OK");
    assert_conserved(&tracer);
}

#[test]
fn a_lost_span_does_not_hold_its_trace() {
    let tracer = memory_tracer();
    let frames = [
        start(2, 1, 0, ""),
        start(2, 2, 1, ""),
        end(2, 1, 0, "root", &[]),
        frame(4, &[&[2; 16], &[2; 8]]),
    ];
    assert_eq!(tracer.drain(&frames.concat()), 0);
    assert_eq!(traces(&tracer).len(), 1);
    let stats = tracer.stats();
    assert_eq!((stats.created, stats.delivered, stats.pending), (2, 1, 0));
}

#[test]
fn a_span_announced_twice_is_one_span_and_one_lost() {
    let tracer = memory_tracer();
    let frames = [
        start(5, 1, 0, ""),
        start(5, 2, 1, ""),
        start(5, 2, 1, ""),
        end(5, 2, 1, "child", &[]),
        end(5, 1, 0, "root", &[]),
    ];
    assert_eq!(tracer.drain(&frames.concat()), 1);
    assert_eq!(traces(&tracer).len(), 1);
    let stats = tracer.stats();
    assert_eq!((stats.created, stats.delivered, stats.pending), (3, 2, 0));
}

#[test]
fn a_root_may_be_announced_after_its_child() {
    let tracer = memory_tracer();
    let frames = [
        start(6, 2, 1, ""),
        start(6, 1, 0, ""),
        end(6, 1, 0, "root", &[]),
        end(6, 2, 1, "child", &[]),
    ];
    assert_eq!(tracer.drain(&frames.concat()), 0);
    let traces = traces(&tracer);
    assert_eq!(traces.len(), 1);
    assert_eq!(traces[0]["info"]["tags"]["mlflow.traceName"], "root");
    assert_eq!(tracer.stats().pending, 0);
}

#[test]
fn malformed_frames_are_counted_and_harmless() {
    let tracer = memory_tracer();
    let good = [start(3, 1, 0, "not json"), end(3, 1, 0, "root", &[])].concat();
    for bad in [
        vec![1],
        frame(9, &[]),
        frame(1, &[&[0; 40]]),
        frame(2, &[&[0xff; 9]]),
        end(3, 5, 0, "never started", &[]),
        frame(3, &[&[3; 16], b"{}"]),
        attach(3, UUID, "image/png", b"no such trace"),
        vec![2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1],
    ] {
        assert_eq!(tracer.drain(&bad), 1, "{bad:?}");
    }
    assert_eq!(tracer.drain(&good), 0);
    assert_eq!(traces(&tracer).len(), 1);
    for end in 0..good.len() {
        tracer.drain(&good[..end]);
    }
    assert_conserved(&tracer);
}

#[test]
fn frames_reach_the_tracer_that_saw_the_start() {
    let (first, second) = (memory_tracer(), memory_tracer());
    first.drain(&start(4, 3, 0, ""));
    second.drain(
        &[
            start(4, 4, 3, ""),
            end(4, 4, 3, "child", &[]),
            end(4, 3, 0, "root", &[]),
        ]
        .concat(),
    );
    assert_eq!(traces(&first)[0]["spans"].as_array().unwrap().len(), 2);
    assert!(traces(&second).is_empty());
}

#[test]
fn traces_recorded_for_their_errors_are_sent_only_with_one() {
    let only_errors = |frame| flagged(2, frame);
    let tracer = memory_tracer();
    let frames = [
        only_errors(start(7, 1, 0, "")),
        only_errors(start(7, 2, 1, "")),
        end(7, 2, 1, "child", &[]),
        end(7, 1, 0, "fine", &[]),
        only_errors(start(8, 1, 0, "")),
        only_errors(start(8, 2, 1, "")),
        end(8, 2, 1, "child", &failed()),
        end(8, 1, 0, "failed", &[]),
        // Of a trace that was handed over.
        only_errors(start(7, 3, 1, "")),
        end(7, 3, 1, "late", &[]),
    ];
    assert_eq!(tracer.drain(&frames.concat()), 0);
    let traces = traces(&tracer);
    assert_eq!(traces.len(), 1, "{traces:?}");
    assert_eq!(
        span(&traces[0], "child")["status"]["code"],
        "STATUS_CODE_ERROR"
    );
    let stats = tracer.stats();
    assert_eq!((stats.created, stats.delivered, stats.pending), (5, 2, 0));
    assert!(stats.dropped.contains(&("unsampled", 3)), "{stats:?}");
}

#[test]
fn hosts_are_told_how_to_sample() {
    let id = TraceId::from_bytes([9; 16]);
    let usual = memory_tracer();
    assert_eq!(
        usual.host_rules(),
        HostRules {
            disabled: false,
            takes_all: true,
            keeps_errors: false,
            max_events: 8192,
            writes_through: false,
        }
    );
    assert_eq!(usual.samples(id, "", None), Decision::Sample);
    assert_eq!(usual.samples(id, "", Some(0.0)), Decision::Drop);

    let none = [("exporter", "memory"), ("sampling.ratio", "0")];
    let off = tracer(&none);
    assert!(!off.host_rules().takes_all);
    assert_eq!(off.samples(id, "", None), Decision::Drop);
    assert_eq!(off.samples(id, "", Some(1.0)), Decision::Sample);
    off.drain(&start(9, 1, 0, ""));
    assert!(!off.keeps_errors_of(id));

    let errors = tracer(&[none[0], none[1], ("sampling.keep_errors", "true")]);
    assert!(errors.host_rules().keeps_errors);
    assert_eq!(errors.samples(id, "", None), Decision::KeepErrors);
    assert!(!errors.keeps_errors_of(id));
    errors.drain(&flagged(2, start(10, 1, 0, "")));
    assert!(errors.keeps_errors_of(TraceId::from_bytes([10; 16])));

    let disabled = tracer(&[("sdk.disabled", "true"), ("limits.events", "3")]);
    let rules = disabled.host_rules();
    assert!(rules.disabled && !rules.takes_all);
    assert_eq!(rules.max_events, 3);
}

#[test]
fn hosts_are_told_when_a_span_has_to_be_on_disk() {
    let mlflow = ("tracking_uri", "http://127.0.0.1:1");
    let directory = std::env::temp_dir().join("mlflow-trace-ingest-spool");
    let spool = |value| {
        [
            mlflow,
            ("spool", value),
            ("spool.dir", directory.to_str().unwrap()),
            ("shutdown.timeout_ms", "0"),
        ]
    };
    for (options, expected) in [
        (&spool("write-through")[..], true),
        (&spool("sync"), true),
        (&spool("spill"), false),
        (&spool("off"), false),
        (&[("exporter", "memory"), ("spool", "sync")], false),
    ] {
        let rules = tracer(options).host_rules();
        assert_eq!(rules.writes_through, expected, "{options:?}");
    }
    std::fs::remove_dir_all(&directory).unwrap_or_default();
}

#[test]
fn a_host_may_have_content_withheld() {
    let tracer = memory_tracer();
    let content = text("mlflow.spanInputs", "secret");
    let frames = [
        start(11, 1, 0, ""),
        start(11, 2, 1, ""),
        end(11, 2, 1, "open", &content),
        flagged(1, end(11, 1, 0, "closed", &content)),
    ];
    assert_eq!(tracer.drain(&frames.concat()), 0);
    let traces = traces(&tracer);
    let inputs = |name| &span(&traces[0], name)["attributes"]["mlflow.spanInputs"];
    assert_eq!(inputs("open"), "\"secret\"");
    assert_eq!(inputs("closed"), "\"[redaction failed]\"");
    assert_eq!(tracer.stats().redaction_failed, 1);
    assert!(!traces[0]["info"].to_string().contains("secret"));
}

#[test]
fn attachments_come_in_frames_of_their_own() {
    let tracer = memory_tracer();
    let content = vec![0xabu8; 300];
    let reference = Attachment::with_id(UUID, "image/x y", &content[..])
        .unwrap()
        .uri(&TraceId::from_bytes([12; 16]));
    let frames = [
        start(12, 1, 0, ""),
        attach(12, UUID, "image/x y", &content),
        end(12, 1, 0, "root", &text("mlflow.spanOutputs", &reference)),
    ];
    assert_eq!(tracer.drain(&frames.concat()), 0);
    let traces = traces(&tracer);
    let outputs = span(&traces[0], "root")["attributes"]["mlflow.spanOutputs"].to_string();
    assert!(outputs.contains("data:image/x y;base64,q6ur"), "{outputs}");
}

#[test]
fn ids_of_attachments_are_uuids() {
    let upper = UUID.to_uppercase();
    let path = "../".repeat(12);
    let dashes = "-".repeat(36);
    let short = &UUID[1..];
    for id in [upper.as_str(), &path, &dashes, short, ""] {
        assert_eq!(Attachment::with_id(id, "text/plain", ""), None, "{id}");
    }
    let tracer = memory_tracer();
    assert_eq!(tracer.drain(&start(13, 1, 0, "")), 0);
    for bad in [
        attach(13, &path, "text/plain", b""),
        attach(13, &path[..35], "text/plain", b""),
        // The content type is longer than the frame.
        frame(5, &[&[13; 16], UUID.as_bytes(), &[9, 0], b"short"]),
    ] {
        assert_eq!(tracer.drain(&bad), 1);
    }
    assert_eq!(tracer.drain(&attach(13, UUID, "", b"")), 0);
    assert_eq!(tracer.drain(&end(13, 1, 0, "root", &[])), 0);
}

#[test]
fn limits_hold_for_what_hosts_encode() {
    let tracer = tracer(&[
        ("exporter", "memory"),
        ("batch.delay_ms", "0"),
        ("limits.value_bytes", "64"),
        ("limits.attributes", "2"),
        ("limits.events", "1"),
    ]);
    let more = [
        text("mlflow.spanInputs", &"x".repeat(100)),
        text("one", "1"),
        text("two", "2"),
        text("mlflow.chat.tokenUsage", "{}"),
        field(11, &field(2, b"first")),
        field(11, &field(2, b"second")),
    ];
    let frames = [start(14, 1, 0, ""), end(14, 1, 0, "root", &more.concat())];
    assert_eq!(tracer.drain(&frames.concat()), 0);
    let traces = traces(&tracer);
    let root = span(&traces[0], "root");
    let attributes = root["attributes"].as_object().unwrap();
    let inputs = format!("\"{}... [truncated, 100 bytes]\"", "x".repeat(64));
    assert_eq!(attributes["mlflow.spanInputs"], inputs);
    assert!(attributes.contains_key("one") && !attributes.contains_key("two"));
    for key in [
        "mlflow.chat.tokenUsage",
        "mlflow.spanType",
        "mlflow.spanLogLevel",
    ] {
        assert!(attributes.contains_key(key), "{key}");
    }
    assert_eq!(root["events"].as_array().unwrap().len(), 1);
    assert_eq!(root["events"][0]["name"], "first");
}

#[test]
fn spans_of_an_sdk_are_written_anew() {
    let tracer = memory_tracer();
    let span = [
        field(1, &[9; 16]),
        field(2, &[1; 8]),
        field(5, b"chat"),
        text("gen_ai.operation.name", "chat"),
    ];
    let scope = field(1, &field(1, b"shop"));
    let foreign = |spans: &[u8]| frame(6, &[&scope, spans]);
    let frames = [start(9, 1, 0, ""), foreign(&field(2, &span.concat()))];
    assert_eq!(tracer.drain(&frames.concat()), 0);
    let traces = traces(&tracer);
    let attributes = &support::span(&traces[0], "chat")["attributes"];
    assert_eq!(attributes["mlflow.spanType"], "\"CHAT_MODEL\"");
    assert_eq!(attributes["otel.scope.name"], "\"shop\"");
    let bad = [foreign(&[]), foreign(b"\x12\x05"), foreign(&field(2, b"x"))];
    assert_eq!(tracer.drain(&bad.concat()), 3);
    assert_conserved(&tracer);
}
