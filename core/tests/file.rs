//! The embedded default: OTLP/JSON lines.
#![allow(clippy::unwrap_used)]

mod support;

use mlflow_trace_core::client::TraceSearch;
use mlflow_trace_core::{ErrorKind, Parent, SpanStart, Value};
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

#[test]
fn files_answer_as_a_server_does() {
    let directory = std::env::temp_dir().join(format!("mlflow-trace-read-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    let tracer = tracer(&[
        ("file.directory", directory.to_str().unwrap()),
        ("batch.delay_ms", "0"),
    ]);
    let client = tracer.client();
    assert!(
        client
            .search_traces(&TraceSearch::default())
            .unwrap()
            .items
            .is_empty()
    );
    let mut ids = Vec::new();
    for name in ["first", "second", "third"] {
        let root = tracer.start(SpanStart::new(name));
        root.set_inputs(Value::Json("{\"q\": 1}")).unwrap();
        ids.push(root.context().unwrap().trace_id.to_mlflow());
        tracer
            .set_trace_tag(&ids[ids.len() - 1], "name", name)
            .unwrap();
        root.end().unwrap();
    }
    assert_eq!(tracer.flush(PATIENCE), 0);
    let trace = client.get_trace(&ids[1]).unwrap();
    assert_eq!(trace.data.request(), Some("{\"q\": 1}"));
    assert_eq!(trace.data.spans[0].name, "second");
    assert_eq!(client.get_trace_info(&ids[1]).unwrap(), trace.info);
    let wanted = [ids[2].clone(), "tr-none".to_owned(), ids[0].clone()];
    let found = client.get_traces(&wanted).unwrap();
    let names: Vec<&str> = found
        .iter()
        .map(|trace| trace.data.spans[0].name.as_str())
        .collect();
    assert_eq!(names, ["third", "first"]);

    let search = |filter: &str, most| TraceSearch {
        filter: filter.to_owned(),
        order_by: vec!["name ASC".to_owned()],
        max_results: Some(most),
        ..TraceSearch::default()
    };
    let page = client
        .search_traces(&search("tags.name LIKE '%ir%'", 1))
        .unwrap();
    assert_eq!(page.items[0].info.trace_id, ids[0]);
    let next = TraceSearch {
        page_token: page.next_page_token,
        ..search("tags.name LIKE '%ir%'", 1)
    };
    let last = client.search_traces(&next).unwrap();
    assert_eq!(last.items[0].info.trace_id, ids[2]);
    assert_eq!(last.next_page_token, None);
    assert_eq!(client.traces(search("", 2)).count(), 3);
    let error = client
        .search_traces(&search("span.name = 'x'", 1))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidFilter);
    let error = client.delete_experiment("1").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);

    let file = std::fs::read_dir(&directory)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let whole = std::fs::read(&file).unwrap();
    let half = whole.len() - 10;
    std::fs::write(&file, &whole[..half]).unwrap();
    let error = client.get_trace(&ids[2]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert_eq!(
        client.get_trace("tr-none").unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let page = client.search_traces(&TraceSearch::default()).unwrap();
    assert_eq!((page.items.len(), page.unreadable.len()), (2, 1));
    std::fs::remove_dir_all(&directory).unwrap();
}
