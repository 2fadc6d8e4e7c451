//! The embedded default: OTLP/JSON lines.
#![allow(clippy::unwrap_used)]

mod support;

use mlflow_trace_core::{Parent, SpanStart, Value};
use support::{PATIENCE, assert_conserved, tracer, until};

#[test]
fn a_trace_is_a_line_that_any_otlp_reader_takes() {
    let directory = std::env::temp_dir().join(format!("mlflow-trace-file-{}", std::process::id()));
    let tracer = tracer(&[
        ("file.directory", directory.to_str().unwrap()),
        ("batch.delay_ms", "0"),
        ("service.name", "my service/1"),
    ]);
    let root = tracer.start(SpanStart::new("root"));
    root.set_inputs(Value::Json("{\"q\": 1}")).unwrap();
    let child = tracer.start(SpanStart {
        parent: Parent::Span(root),
        ..SpanStart::new("child")
    });
    child.set_attribute("n", Value::Int(3)).unwrap();
    child.end().unwrap();
    root.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_conserved(&tracer);

    let files: Vec<_> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(files.len(), 1);
    assert!(
        files[0]
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("my_service_1-")
    );
    let diagnostic = tracer.next_diagnostic().unwrap();
    assert!(!diagnostic.is_problem() && diagnostic.message.contains(files[0].to_str().unwrap()));
    let text = std::fs::read_to_string(&files[0]).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 1);
    let resource = lines[0]["resourceSpans"][0]["resource"]["attributes"]
        .as_array()
        .unwrap();
    assert!(resource.contains(
        &serde_json::json!({"key": "service.name", "value": {"stringValue": "my service/1"}})
    ));
    let scope = &lines[0]["resourceSpans"][0]["scopeSpans"][0];
    let info: serde_json::Value = serde_json::from_str(
        scope["scope"]["attributes"][0]["value"]["stringValue"]
            .as_str()
            .unwrap(),
    )
    .unwrap();
    let spans = scope["spans"].as_array().unwrap();
    assert_eq!(
        (spans[0]["name"].as_str(), spans[1]["name"].as_str()),
        (Some("child"), Some("root"))
    );
    assert_eq!(spans[0]["parentSpanId"], spans[1]["spanId"]);
    assert_eq!(
        info["trace_id"],
        format!("tr-{}", spans[1]["traceId"].as_str().unwrap())
    );
    assert!(
        spans[1]["startTimeUnixNano"]
            .as_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 0
    );
    let attributes = spans[0]["attributes"].as_array().unwrap();
    assert!(attributes.contains(&serde_json::json!({"key": "n", "value": {"intValue": "3"}})));
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_directory_that_cannot_be_made_is_reported_and_nothing_is_lost() {
    let tracer = tracer(&[
        ("file.directory", "/proc/none/traces"),
        ("batch.delay_ms", "0"),
    ]);
    tracer.start(SpanStart::new("root")).end().unwrap();
    assert_eq!(tracer.flush(std::time::Duration::from_millis(300)), 1);
    let mut told = None;
    until("the directory is told", || {
        told = tracer.next_diagnostic();
        told.is_some()
    });
    let diagnostic = told.unwrap();
    assert!(
        diagnostic.is_problem() && diagnostic.message.contains("file.directory"),
        "{diagnostic}"
    );
    assert_conserved(&tracer);
}
