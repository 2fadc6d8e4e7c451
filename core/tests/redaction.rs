//! What the options of redaction take out of everything that is sent.
#![allow(clippy::unwrap_used)]

mod support;

use mlflow_trace_core::{SpanStart, TraceUpdate, Value};
use serde_json::json;
use support::canary::{CANARY, fill};
use support::frames::{end, field, frame, start, text};
use support::{PATIENCE, assert_conserved, child, span, tracer, traces};

const MEMORY: [(&str, &str); 2] = [("exporter", "memory"), ("batch.delay_ms", "0")];

/// The options, each with whether it takes the canary out of everything that `fill` puts it into.
const OPTIONS: [(&str, &str, bool); 4] = [
    ("capture_content", "off", true),
    ("redact.patterns", "canary-[0-9a-f]+", true),
    ("redact.keys", "content,text,json", false),
    ("redact.paths", "inputs.messages[*].content,outputs", false),
];

#[test]
fn the_options_hold_for_spans() {
    for (key, value, all) in OPTIONS {
        let tracer = tracer(&[&MEMORY[..], &[(key, value)]].concat());
        let root = tracer.start(SpanStart {
            attributes: &[("text", Value::Str(CANARY))],
            ..SpanStart::new("root")
        });
        let below = tracer.start(child(root, "below"));
        fill(below);
        below.end().unwrap();
        fill(root);
        let update = json!({
            "tags": {"text": CANARY, "note": CANARY}, "request_preview": CANARY,
            "metadata": {"mlflow.traceInputs": CANARY},
        });
        let update = TraceUpdate::from_json(&update.to_string()).unwrap();
        root.update_trace(&update).unwrap();
        let record = root.end_with_record(None).unwrap().snapshot().unwrap();
        let traces = traces(&tracer);
        let (info, root) = (&traces[0]["info"], span(&traces[0], "root"));
        assert_eq!(record["attributes"], root["attributes"], "{key}");
        let inputs = &root["attributes"]["mlflow.spanInputs"];
        assert!(!inputs.to_string().contains(CANARY), "{key}: {inputs}");
        let preview = info["request_preview"].to_string();
        match key {
            // Labels are no content.
            "capture_content" => {
                assert!(inputs.is_null() && info["request_preview"].is_null());
                assert_eq!(info["tags"]["note"], CANARY);
                assert_eq!(root["events"][0]["name"], "event");
                assert_eq!(root["status"]["code"], "STATUS_CODE_ERROR");
            }
            "redact.patterns" => {
                assert_eq!(info["tags"]["note"], "[redacted]");
                assert_eq!(preview, "\"[redacted]\"");
            }
            "redact.keys" => {
                assert_eq!(root["attributes"]["text"], "\"[redacted]\"");
                assert_eq!(root["events"][0]["attributes"]["json"], "[redacted]");
                assert_eq!(info["tags"]["text"], "[redacted]");
            }
            _ => assert_eq!(root["attributes"]["mlflow.spanOutputs"], "\"[redacted]\""),
        }
        let spans = traces[0]["spans"].to_string();
        assert_eq!(!spans.contains(CANARY), all, "{key}: {spans}");
        assert_eq!(tracer.stats().redaction_failed, 0);
        assert_conserved(&tracer);
    }
}

#[test]
fn the_options_hold_for_spans_that_a_host_encoded() {
    for (at, (key, value, _)) in OPTIONS.into_iter().enumerate() {
        let trace = 90 + at as u8;
        let tracer = tracer(&[&MEMORY[..], &[(key, value)]].concat());
        let inputs = json!({"messages": [{"content": CANARY}]}).to_string();
        let outputs = json!({ "content": CANARY }).to_string();
        let fields = [
            text("mlflow.spanInputs", &inputs),
            text("mlflow.spanOutputs", &outputs),
            text("text", CANARY),
        ]
        .concat();
        let fields = match key {
            "redact.paths" => fields[..fields.len() - text("text", CANARY).len()].to_vec(),
            _ => fields,
        };
        let update = json!({"tags": {"text": CANARY}}).to_string();
        let frames = [
            start(trace, 1, 0, ""),
            frame(3, &[&[trace; 16], update.as_bytes()]),
            start(trace, 2, 1, ""),
            end(trace, 2, 1, "below", &fields),
            end(trace, 1, 0, "root", &fields),
        ];
        assert_eq!(tracer.drain(&frames.concat()), 0);
        let traces = traces(&tracer);
        let spans = traces[0]["spans"].to_string();
        assert!(!spans.contains(CANARY), "{key}: {spans}");
        for preview in ["request_preview", "response_preview"] {
            let preview = traces[0]["info"][preview].to_string();
            assert!(!preview.contains(CANARY), "{key}: {preview}");
        }
        let tag = &traces[0]["info"]["tags"]["text"];
        let kept = matches!(key, "capture_content" | "redact.paths");
        assert_eq!(tag == CANARY, kept, "{key}: {tag}");
        assert_conserved(&tracer);
    }
}

#[test]
fn spans_of_hosts_that_cannot_be_read_are_withheld() {
    let tracer = tracer(&[&MEMORY[..], &[("redact.keys", "secret")]].concat());
    // An attribute that is no message.
    let broken = [field(9, b"\xff\xff\xff"), text("secret", CANARY)].concat();
    let frames = [start(99, 1, 0, ""), end(99, 1, 0, "root", &broken)];
    tracer.drain(&frames.concat());
    tracer.shutdown(PATIENCE);
    while let Some(trace) = tracer.next_memory_trace() {
        assert!(!trace.contains(CANARY), "{trace}");
    }
    assert_conserved(&tracer);
}

#[test]
fn what_rules_cannot_be_applied_to_in_a_preview_is_replaced_and_counted() {
    let tracer = tracer(&[&MEMORY[..], &[("redact.paths", "inputs.secret")]].concat());
    let root = tracer.start(SpanStart::new("root"));
    let cut = json!({"request_preview": format!(r#"{{"secret": "{CANARY}..."#)}).to_string();
    let update = TraceUpdate::from_json(&cut).unwrap();
    root.update_trace(&update).unwrap();
    root.end().unwrap();
    let traces = traces(&tracer);
    assert_eq!(traces[0]["info"]["request_preview"], "[redaction failed]");
    assert_eq!(tracer.stats().redaction_failed, 1);
}
