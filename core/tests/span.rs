//! What a span records, read back through the memory exporter.
#![allow(clippy::unwrap_used)]

mod support;

use mlflow_trace_core::{
    ErrorKind, Parent, Span, SpanContext, SpanId, SpanStart, StatusCode, TraceId, TraceUpdate,
    Value,
};
use serde_json::json;
use support::{assert_conserved, child, memory_tracer, span, traces};

#[test]
fn a_trace_with_everything() {
    let tracer = memory_tracer();
    let root = tracer.start(SpanStart {
        span_type: Some("AGENT"),
        ..SpanStart::new("agent")
    });
    root.set_inputs(Value::Json(r#"{"question":"hi"}"#))
        .unwrap();
    let tool = tracer.start(child(root, "tool"));
    tool.set_type("TOOL").unwrap();
    tool.set_attribute("n", Value::Int(1)).unwrap();
    tool.set_attribute("text", Value::Str("héé")).unwrap();
    tool.set_attribute("n", Value::Int(2)).unwrap();
    let usage = r#"{"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}"#;
    tool.set_attribute("mlflow.chat.tokenUsage", Value::Json(usage))
        .unwrap();
    tool.add_event(
        "found",
        Some(7),
        &[("docs", Value::Array(&[Value::Int(1), Value::Int(2)]))],
    )
    .unwrap();
    tool.end().unwrap();
    let update = TraceUpdate::from_json(r#"{"tags": {"env": "test"}, "session_id": "s"}"#).unwrap();
    root.update_trace(&update).unwrap();
    root.set_outputs(Value::Json("\"done\"")).unwrap();
    root.end().unwrap();

    let traces = traces(&tracer);
    let trace = &traces[0];
    let info = &trace["info"];
    assert_eq!(info["state"], "OK");
    assert_eq!(
        info["tags"],
        json!({"env": "test", "mlflow.traceName": "agent"})
    );
    assert_eq!(info["request_preview"], r#"{"question": "hi"}"#);
    assert_eq!(info["response_preview"], r#""done""#);
    let metadata = &info["trace_metadata"];
    assert_eq!(metadata["mlflow.trace.session"], "s");
    assert_eq!(metadata["mlflow.traceInputs"], r#"{"question": "hi"}"#);
    assert_eq!(metadata["mlflow.trace.tokenUsage"], usage);
    let stats: serde_json::Value =
        serde_json::from_str(metadata["mlflow.trace.sizeStats"].as_str().unwrap()).unwrap();
    assert_eq!(stats["num_spans"], 2);

    let (root, tool) = (span(trace, "agent"), span(trace, "tool"));
    assert_eq!(root["parent_span_id"], json!(null));
    assert_eq!(tool["parent_span_id"], root["span_id"]);
    assert_eq!(
        root["attributes"]["mlflow.traceRequestId"],
        info["trace_id"].to_string()
    );
    assert_eq!(root["attributes"]["mlflow.spanType"], "\"AGENT\"");
    assert_eq!(root["attributes"]["mlflow.spanLogLevel"], "20");
    assert_eq!(tool["attributes"]["n"], "2");
    assert_eq!(tool["attributes"]["text"], "\"héé\"");
    assert_eq!(
        tool["events"],
        json!([{"name": "found", "time_unix_nano": 7, "attributes": {"docs": [1, 2]}}])
    );
    assert_eq!(tool["status"]["code"], "STATUS_CODE_OK");
    assert!(tool["start_time_unix_nano"].as_u64() >= root["start_time_unix_nano"].as_u64());
    assert!(tool["end_time_unix_nano"].as_u64() <= root["end_time_unix_nano"].as_u64());
    assert_conserved(&tracer);
}

#[test]
fn an_exception_marks_the_span_and_raises_its_level() {
    let tracer = memory_tracer();
    let root = tracer.start(SpanStart::new("root"));
    root.record_exception("ValueError", "bad", "trace back")
        .unwrap();
    root.end().unwrap();
    let traces = traces(&tracer);
    let root = span(&traces[0], "root");
    assert_eq!(traces[0]["info"]["state"], "ERROR");
    assert_eq!(
        root["status"],
        json!({"code": "STATUS_CODE_ERROR", "message": "ValueError: bad"})
    );
    assert_eq!(root["attributes"]["mlflow.spanLogLevel"], "40");
    assert_eq!(root["events"][0]["name"], "exception");
    assert_eq!(
        root["events"][0]["attributes"],
        json!({"exception.message": "bad", "exception.type": "ValueError", "exception.stacktrace": "trace back"})
    );
}

#[test]
fn ok_is_final() {
    let tracer = memory_tracer();
    let root = tracer.start(SpanStart::new("root"));
    root.set_status(StatusCode::Error, "first").unwrap();
    root.set_status(StatusCode::Unset, "").unwrap();
    assert_eq!(root.snapshot().unwrap()["status"]["message"], "first");
    root.set_status(StatusCode::Ok, "").unwrap();
    root.record_exception("ValueError", "late", "").unwrap();
    root.end().unwrap();
    let traces = traces(&tracer);
    assert_eq!(traces[0]["info"]["state"], "OK");
    let root = span(&traces[0], "root");
    assert_eq!(
        root["status"],
        json!({"code": "STATUS_CODE_OK", "message": ""})
    );
    assert_eq!(root["attributes"]["mlflow.spanLogLevel"], "40");
}

#[test]
fn containers_in_events_and_links_are_native() {
    let tracer = memory_tracer();
    let root = tracer.start(SpanStart::new("root"));
    let value = Value::Json(r#"{"a": [1, [2.5, null]], "b": {}}"#);
    root.add_event("e", Some(1), &[("v", value), ("n", Value::Json("5"))])
        .unwrap();
    let context = root.context().unwrap();
    root.add_link(context.trace_id, context.span_id, &[("v", value)])
        .unwrap();
    root.end().unwrap();
    let traces = traces(&tracer);
    let root = span(&traces[0], "root");
    let native = json!({"a": [1, [2.5, null]], "b": {}});
    assert_eq!(
        root["events"][0]["attributes"],
        json!({"v": native, "n": 5})
    );
    assert_eq!(root["links"][0]["attributes"], json!({"v": native}));
}

#[test]
fn a_child_may_outlive_its_root() {
    let tracer = memory_tracer();
    let root = tracer.start(SpanStart::new("root"));
    let late = tracer.start(child(root, "late"));
    root.end().unwrap();
    assert_eq!(tracer.stats().pending, 2);
    late.end().unwrap();
    let traces = traces(&tracer);
    assert_eq!(traces.len(), 1);
    assert_eq!(
        span(&traces[0], "late")["parent_span_id"],
        span(&traces[0], "root")["span_id"]
    );
}

#[test]
fn a_remote_parent_gives_spans_without_trace_information() {
    let tracer = memory_tracer();
    let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let parent = mlflow_trace_core::extract(header, Some("vendor=a")).unwrap();
    let outer = tracer.start(SpanStart {
        parent: Parent::Remote(parent),
        ..SpanStart::new("outer")
    });
    let inner = tracer.start(child(outer, "inner"));
    let context = inner.context().unwrap();
    assert_eq!(
        context.trace_id.to_string(),
        "4bf92f3577b34da6a3ce929d0e0e4736"
    );
    assert_eq!(context.trace_state.as_deref(), Some("vendor=a"));
    inner.end().unwrap();
    outer.end().unwrap();
    let traces = traces(&tracer);
    assert_eq!(traces[0]["info"], json!(null));
    assert_eq!(traces[0]["spans"].as_array().unwrap().len(), 2);
    assert_eq!(span(&traces[0], "outer")["parent_span_id"], "APBnqgupArc=");
}

#[test]
fn an_ended_span_refuses_and_changes_nothing() {
    let tracer = memory_tracer();
    let root = tracer.start(SpanStart::new("root"));
    root.end().unwrap();
    let ignored = tracer.stats().ignored;
    for refused in [
        root.end(),
        root.end_at(1),
        root.set_name("x"),
        root.set_attribute("k", Value::Null),
        root.add_event("e", None, &[]),
        root.set_status(StatusCode::Error, "x"),
        root.update_trace(&TraceUpdate::default()),
        Span::NONE.end(),
        Span::from_raw(12345 << 32 | 1).unwrap().end(),
    ] {
        assert_eq!(refused, Err(ErrorKind::InvalidState));
    }
    assert!(tracer.stats().ignored >= ignored + 9);
    assert_eq!(root.context(), None);
    assert_eq!(Span::from_raw(0), None);
    let orphan = tracer.start(child(root, "orphan"));
    orphan.end().unwrap();
    let traces = traces(&tracer);
    assert_eq!(span(&traces[0], "root")["status"]["code"], "STATUS_CODE_OK");
    assert_eq!(span(&traces[1], "orphan")["parent_span_id"], json!(null));
    assert_conserved(&tracer);
}

#[test]
fn given_times_are_kept_and_never_run_backwards() {
    let tracer = memory_tracer();
    let start = 1_700_000_000_000_000_000;
    for (name, end) in [("forward", start + 5), ("backward", start - 5)] {
        let span = tracer.start(SpanStart {
            start_time_ns: Some(start),
            ..SpanStart::new(name)
        });
        span.end_at(end).unwrap();
    }
    let traces = traces(&tracer);
    assert_eq!(span(&traces[0], "forward")["end_time_unix_nano"], start + 5);
    assert_eq!(span(&traces[1], "backward")["end_time_unix_nano"], start);
    assert_eq!(
        span(&traces[0], "forward")["attributes"]["mlflow.spanStartTimeNs"],
        start.to_string()
    );
}

#[test]
fn a_live_span_and_its_record_can_be_read() {
    let tracer = memory_tracer();
    let root = tracer.start(SpanStart::new("root"));
    root.set_outputs(Value::Null).unwrap();
    assert!(!root.has_outputs());
    root.set_outputs(Value::Json("{}")).unwrap();
    assert!(root.has_outputs());
    assert_eq!(
        root.snapshot().unwrap()["attributes"]["mlflow.spanOutputs"],
        "{}"
    );
    assert_eq!(
        root.snapshot().unwrap()["status"]["code"],
        "STATUS_CODE_UNSET"
    );
    let record = root.end_with_record(None).unwrap();
    assert_eq!(
        record.snapshot().unwrap()["status"]["code"],
        "STATUS_CODE_OK"
    );
}

#[test]
fn the_same_span_from_many_threads() {
    let tracer = memory_tracer();
    let root = tracer.start(SpanStart::new("root"));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let tracer = &tracer;
            scope.spawn(move || {
                for item in 0..200 {
                    root.set_attribute(&format!("k{thread}"), Value::Int(item))
                        .unwrap();
                    let inner = tracer.start(child(root, "inner"));
                    inner.end().unwrap();
                }
            });
        }
    });
    let ended: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| root.end().is_ok())).collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().ok())
            .filter(|ended| *ended)
            .count()
    });
    assert_eq!(ended, 1);
    let traces = traces(&tracer);
    assert_eq!(traces[0]["spans"].as_array().unwrap().len(), 1601);
    assert_eq!(span(&traces[0], "root")["attributes"]["k3"], "199");
    assert_conserved(&tracer);
}

#[test]
fn times_that_no_server_can_store_are_the_latest_that_one_can() {
    let tracer = memory_tracer();
    for (start, end) in [
        (u64::MAX, None),
        (1 << 63, Some(u64::MAX)),
        (1, Some(1 << 63)),
    ] {
        let span = tracer.start(SpanStart {
            start_time_ns: Some(start),
            ..SpanStart::new("late")
        });
        span.add_event("event", Some(u64::MAX), &[]).unwrap();
        span.end_with_record(end).unwrap();
    }
    for (trace, start) in traces(&tracer).iter().zip([i64::MAX, i64::MAX, 1]) {
        let late = span(trace, "late");
        assert_eq!(late["start_time_unix_nano"], json!(start));
        assert_eq!(late["end_time_unix_nano"], json!(i64::MAX));
        assert_eq!(late["events"][0]["time_unix_nano"], json!(i64::MAX));
    }
}

#[test]
fn a_parent_without_ids_is_none() {
    let tracer = memory_tracer();
    let (trace_id, span_id) = (TraceId::generate(), SpanId::generate());
    let none = (TraceId::from_bytes([0; 16]), SpanId::from_bytes([0; 8]));
    for (trace_id, span_id) in [(none.0, span_id), (trace_id, none.1), none] {
        let context = SpanContext {
            trace_id,
            span_id,
            flags: 1,
            trace_state: None,
            remote: true,
        };
        let root = tracer.start(SpanStart {
            parent: Parent::Remote(context.clone()),
            ..SpanStart::new("root")
        });
        let own = root.context().unwrap();
        assert!(own.is_valid() && own.trace_id != trace_id);
        assert_eq!(root.parent_id(), None);
        root.end().unwrap();
        assert!(traces(&tracer)[0]["info"].is_object());
    }
    assert_conserved(&tracer);
}

#[test]
fn a_thread_knows_the_trace_that_it_ended_last() {
    let tracer = memory_tracer();
    assert_eq!(TraceId::last_of_thread(), None);
    let root = tracer.start(SpanStart::new("root"));
    let own = root.context().unwrap();
    let inner = tracer.start(child(root, "child"));
    inner.end().unwrap();
    assert_eq!(TraceId::last_of_thread(), None);
    root.end().unwrap();
    assert_eq!(TraceId::last_of_thread(), Some(own.trace_id));
    let remote = TraceId::generate();
    let entry = tracer.start(SpanStart {
        parent: Parent::Remote(SpanContext {
            trace_id: remote,
            ..own
        }),
        ..SpanStart::new("entry")
    });
    let inner = tracer.start(child(entry, "inner"));
    entry.end().unwrap();
    assert_ne!(TraceId::last_of_thread(), Some(remote));
    inner.end().unwrap();
    assert_eq!(TraceId::last_of_thread(), Some(remote));
    let elsewhere = std::thread::spawn(TraceId::last_of_thread);
    assert_eq!(elsewhere.join().unwrap(), None);
}
