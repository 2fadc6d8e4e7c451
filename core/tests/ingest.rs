//! Frames of hosts that encode their spans themselves.
#![allow(clippy::unwrap_used)]

mod support;

use support::{assert_conserved, memory_tracer, span, traces};

fn frame(kind: u8, payload: &[&[u8]]) -> Vec<u8> {
    let payload = payload.concat();
    let mut out = vec![kind, 0, 0, 0];
    out.extend((payload.len() as u32).to_le_bytes());
    out.extend(payload);
    out
}

fn start(trace: u8, span: u8, parent: u8, context: &str) -> Vec<u8> {
    frame(
        1,
        &[
            &[trace; 16],
            &[span; 8],
            &[parent; 8],
            &[0; 8],
            context.as_bytes(),
        ],
    )
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
}

fn end(trace: u8, span: u8, parent: u8, name: &str, more: &[u8]) -> Vec<u8> {
    let parent = if parent == 0 {
        vec![]
    } else {
        field(4, &[parent; 8])
    };
    frame(
        2,
        &[
            &field(1, &[trace; 16]),
            &field(2, &[span; 8]),
            &parent,
            &field(5, name.as_bytes()),
            more,
        ],
    )
}

#[test]
fn spans_are_completed_by_mlflows_rules() {
    let tracer = memory_tracer();
    let attribute = |key: &str, value: &str| {
        field(
            9,
            &[
                field(1, key.as_bytes()),
                field(2, &field(1, value.as_bytes())),
            ]
            .concat(),
        )
    };
    let frames = [
        start(1, 1, 0, r#"{"tags": {"a": "1"}}"#),
        start(1, 2, 1, ""),
        frame(3, &[&[1; 16], br#"{"tags": {"b": "2"}}"#]),
        end(1, 2, 1, "child", &attribute("mlflow.spanType", "TOOL")),
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
