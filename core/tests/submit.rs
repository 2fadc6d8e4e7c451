//! Batches of OTLP that were encoded elsewhere.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use mlflow_trace_core::ErrorKind;
use mlflow_trace_core::otel::MlflowSpanExporter;
use serde_json::json;
use support::{assert_conserved, memory_tracer, span, traces};

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A length-delimited field.
fn bytes(number: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, number << 3 | 2);
    varint(&mut out, payload.len() as u64);
    out.extend_from_slice(payload);
    out
}

fn fixed64(number: u64, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, number << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
    out
}

fn attribute(key: &str, value: &[u8]) -> Vec<u8> {
    bytes(9, &[bytes(1, key.as_bytes()), bytes(2, value)].concat())
}

/// A `Span` message of trace 7, with more fields at its end.
fn message(id: u8, parent: u8, name: &str, more: &[u8]) -> Vec<u8> {
    let mut out = [bytes(1, &[7; 16]), bytes(2, &[id; 8])].concat();
    if parent != 0 {
        out.extend(bytes(4, &[parent; 8]));
    }
    out.extend(bytes(5, name.as_bytes()));
    out.extend(fixed64(7, 1_000));
    out.extend(fixed64(8, 2_000));
    out.extend_from_slice(more);
    out
}

/// A request with these spans in one scope.
fn request(spans: &[Vec<u8>]) -> Vec<u8> {
    let scope = bytes(1, &[bytes(1, b"lib"), bytes(2, b"1.2")].concat());
    let spans = spans.iter().flat_map(|span| bytes(2, span));
    let scope_spans: Vec<u8> = scope.into_iter().chain(spans).collect();
    let resource = bytes(1, &bytes(1, &[bytes(1, b"service.name")].concat()));
    bytes(1, &[resource, bytes(2, &scope_spans)].concat())
}

#[test]
fn a_trace_arrives_whole_when_its_root_does() {
    let engine = memory_tracer();
    let exporter = MlflowSpanExporter::new(engine.clone());
    let text = attribute("mlflow.spanInputs", &bytes(1, b"question"));
    let nan = attribute("ratio", &fixed64(4, f64::NAN.to_bits()));
    let invalid = attribute("text", &bytes(1, b"a\xffb"));
    let child = message(2, 1, "child", &[text, nan, invalid].concat());
    assert_eq!(exporter.submit_otlp(&request(&[child])).unwrap(), 1);
    engine.flush(Duration::from_secs(5));
    assert!(traces(&engine).is_empty());
    let root = message(1, 0, "root", &[]);
    assert_eq!(exporter.submit_otlp(&request(&[root])).unwrap(), 1);
    let all = traces(&engine);
    assert_eq!(all.len(), 1);
    assert!(all[0]["info"].is_object());
    let attributes = &span(&all[0], "child")["attributes"];
    assert_eq!(attributes["mlflow.spanInputs"], json!("\"question\""));
    assert_eq!(attributes["ratio"], json!("\"NaN\""));
    assert_eq!(attributes["text"], json!("\"a\u{fffd}b\""));
    assert_eq!(attributes["otel.scope.name"], json!("\"lib\""));
    assert_eq!(attributes["otel.scope.version"], json!("\"1.2\""));
    assert_conserved(&engine);
    assert_eq!(engine.stats().delivered, 2);
}

#[test]
fn flags_tell_that_the_parent_is_elsewhere() {
    let engine = memory_tracer();
    let exporter = MlflowSpanExporter::new(engine.clone());
    let flags = [&[0x85, 0x01][..], &0x301u32.to_le_bytes()].concat();
    let entry = message(2, 1, "entry", &flags);
    exporter.submit_otlp(&request(&[entry])).unwrap();
    let all = traces(&engine);
    assert_eq!(all.len(), 1);
    assert!(all[0]["info"].is_null());
}

#[test]
fn what_waits_can_be_released() {
    let engine = memory_tracer();
    let exporter = MlflowSpanExporter::new(engine.clone());
    let child = message(2, 1, "child", &[]);
    exporter.submit_otlp(&request(&[child])).unwrap();
    exporter.release();
    assert_eq!(traces(&engine).len(), 1);
}

#[test]
fn a_request_is_taken_whole_or_not_at_all() {
    let engine = memory_tracer();
    let exporter = MlflowSpanExporter::new(engine.clone()).with_root_wait(Duration::ZERO);
    assert_eq!(exporter.submit_otlp(&[]).unwrap(), 0);
    let two = [message(1, 0, "one", &[]), message(2, 1, "two", &[])];
    let whole = request(&two);
    for end in 1..whole.len() {
        let refused = exporter.submit_otlp(&whole[..end]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument, "{end}");
    }
    for garbage in [
        &b"{\"resourceSpans\": []}"[..],
        &[0x0a],
        &[0xff; 40],
        &[0x08, 1],
    ] {
        let refused = exporter.submit_otlp(garbage).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    }
    assert_eq!(engine.stats().created, 0);
    assert_eq!(exporter.submit_otlp(&whole).unwrap(), 2);
    assert_conserved(&engine);
}

#[test]
fn spans_without_ids_are_refused_and_the_others_taken() {
    let engine = memory_tracer();
    let exporter = MlflowSpanExporter::new(engine.clone());
    let nameless = [bytes(1, &[0; 16]), bytes(2, &[3; 8])].concat();
    let good = message(1, 0, "good", &[]);
    let refused = exporter
        .submit_otlp(&request(&[nameless, good]))
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Rejected);
    assert_eq!(traces(&engine).len(), 1);
    engine.shutdown(Duration::from_secs(5));
    let late = exporter.submit_otlp(&request(&[message(4, 0, "late", &[])]));
    assert_eq!(late.unwrap_err().kind(), ErrorKind::InvalidState);
}

#[test]
fn times_that_no_server_can_store_are_the_latest_that_one_can() {
    let engine = memory_tracer();
    let exporter = MlflowSpanExporter::new(engine.clone());
    let late = [fixed64(7, u64::MAX), fixed64(8, u64::MAX)].concat();
    exporter
        .submit_otlp(&request(&[message(1, 0, "late", &late)]))
        .unwrap();
    let all = traces(&engine);
    let late = span(&all[0], "late");
    assert_eq!(late["start_time_unix_nano"], json!(i64::MAX));
    assert_eq!(late["end_time_unix_nano"], json!(i64::MAX));
}
