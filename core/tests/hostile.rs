//! Values that a server could not take, or not hand out again.
//!
//! Against a real server: `tests/server/mlflow_server.py` runs a command beside one.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use mlflow_trace_core::{SpanStart, Value};
use serde_json::{Value as Json, json};
use support::{PATIENCE, assert_conserved, tracer};

/// A trace as the server hands it out.
fn trace(url: &str, id: &str) -> String {
    let host = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let path = format!("/api/3.0/mlflow/traces/get?trace_id={id}&allow_partial=false");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    assert_eq!(head.split(' ').nth(1), Some("200"), "{body}");
    body.to_owned()
}

/// How many lists there are in a trace, which may be deeper than JSON is read here.
fn lists_in(trace: &str) -> usize {
    trace.matches("\"array_value\"").count()
}

fn attributes(trace: &str) -> Json {
    let trace: Json = serde_json::from_str(trace).unwrap();
    members(trace["trace"]["spans"][0]["attributes"].as_array().unwrap())
}

/// A value of protobuf's JSON.
fn read(value: &Json) -> Json {
    let Some((kind, content)) = value.as_object().and_then(|value| value.iter().next()) else {
        return Json::Null;
    };
    let values = content["values"].as_array();
    let values = values.map_or(&[][..], Vec::as_slice);
    match kind.as_str() {
        "array_value" => values.iter().map(read).collect(),
        "kvlist_value" => members(values),
        _ => content.clone(),
    }
}

fn members(pairs: &[Json]) -> Json {
    let member = |pair: &Json| {
        (
            pair["key"].as_str().unwrap().to_owned(),
            read(&pair["value"]),
        )
    };
    Json::Object(pairs.iter().map(member).collect())
}

fn lists(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[test]
fn a_server_reads_back_what_could_harm_it() {
    let Ok(url) = std::env::var("MLFLOW_TRACE_TEST_SERVER") else {
        return eprintln!("skipped: MLFLOW_TRACE_TEST_SERVER is not set");
    };
    let tracer = tracer(&[("tracking_uri", &url)]);
    let wide = r#"{"a": 18446744073709551616, "b": [-9223372036854775809, 1.5, NaN]}"#;
    let narrow = json!({"a": "18446744073709551616", "b": ["-9223372036854775809", 1.5, "NaN"]});
    let digits = "7".repeat(5000);
    let texts = [
        (wide.to_owned(), narrow),
        ("[".repeat(399), json!("[".repeat(399))),
        ("[".repeat(2000), json!("[".repeat(2000))),
        ("{\"\\é\":".repeat(500), json!("{\"\\é\":".repeat(500))),
        (digits.clone(), json!(digits)),
        (format!("[{digits}"), json!(format!("[{digits}"))),
        (format!("[{digits}]"), json!([digits])),
    ];
    let mut recorded = Vec::new();
    for (text, expected) in &texts {
        let span = tracer.start(SpanStart::new("text"));
        span.set_inputs(Value::Str(text)).unwrap();
        span.set_attribute("value", Value::Json(text)).unwrap();
        let id = span.context().unwrap().trace_id.to_mlflow();
        span.end().unwrap();
        recorded.push((id, expected));
    }
    assert_eq!(tracer.flush(PATIENCE), 0);
    for (id, expected) in recorded {
        let found = attributes(&trace(&url, &id));
        assert_eq!(&found["mlflow.spanInputs"], expected);
        assert_eq!(&found["value"], expected);
    }
    assert_conserved(&tracer);
}

#[test]
fn a_server_reads_back_deep_values() {
    let Ok(url) = std::env::var("MLFLOW_TRACE_TEST_SERVER") else {
        return eprintln!("skipped: MLFLOW_TRACE_TEST_SERVER is not set");
    };
    let tracer = tracer(&[("tracking_uri", &url)]);
    let (full, deep) = (format!("{{\"k\": {}}}", lists(46)), lists(60));
    let record = |attribute, event| {
        let span = tracer.start(SpanStart::new("deep"));
        let context = span.context().unwrap();
        span.set_inputs(attribute).unwrap();
        let attributes = [("value", event)];
        span.add_event("event", None, &attributes).unwrap();
        span.add_link(context.trace_id, context.span_id, &attributes)
            .unwrap();
        span.end().unwrap();
        context.trace_id.to_mlflow()
    };
    let recorded = [
        (record(Value::Str(&deep), Value::Null), 47),
        (record(Value::Str(&full), Value::Null), 46),
        (record(Value::Null, Value::Json(&full)), 2 * 45),
        (record(Value::Null, Value::Json(&deep)), 2 * 47),
    ];
    assert_eq!(tracer.flush(PATIENCE), 0);
    for (id, levels) in recorded {
        assert_eq!(lists_in(&trace(&url, &id)), levels, "{id}");
    }
    assert_conserved(&tracer);
}
