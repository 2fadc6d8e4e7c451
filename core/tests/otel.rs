//! OpenTelemetry's SDK exporting through the engine.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};

use mlflow_trace_core::otel::MlflowSpanExporter;
use mlflow_trace_core::{Parent, SpanStart, Tracer as Engine};
use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
    TraceState, Tracer as _, TracerProvider,
};
use opentelemetry::{Array, Context, InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider, Span, SpanData,
    SpanEvents, SpanExporter, SpanLinks,
};
use serde_json::json;
use support::{assert_conserved, memory_tracer, span, traces};

/// A batch processor whose queue does not overflow here and that exports only when told or when full.
fn processor(exporter: MlflowSpanExporter, batch: usize) -> BatchSpanProcessor {
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(100_000)
        .with_max_export_batch_size(batch)
        .with_scheduled_delay(Duration::from_secs(3600));
    BatchSpanProcessor::builder(exporter)
        .with_batch_config(config.build())
        .build()
}

fn provider(engine: &Engine) -> SdkTracerProvider {
    SdkTracerProvider::builder()
        .with_span_processor(processor(MlflowSpanExporter::new(engine.clone()), 512))
        .build()
}

fn child(tracer: &SdkTracer, name: &'static str, parent: &Span) -> Span {
    under(tracer, name, parent.span_context().clone())
}

fn under(tracer: &SdkTracer, name: &'static str, parent: SpanContext) -> Span {
    let context = Context::new().with_remote_span_context(parent);
    tracer.start_with_context(name, &context)
}

/// A span as the SDK would hand it over.
fn data(trace: u128, id: u64, parent: u64, name: &'static str) -> SpanData {
    SpanData {
        span_context: context(trace, id, false),
        parent_span_id: SpanId::from(parent),
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: name.into(),
        start_time: UNIX_EPOCH + Duration::from_secs(1),
        end_time: UNIX_EPOCH + Duration::from_secs(2),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::default(),
    }
}

fn context(trace: u128, id: u64, remote: bool) -> SpanContext {
    let (trace, id) = (TraceId::from(trace), SpanId::from(id));
    SpanContext::new(trace, id, TraceFlags::SAMPLED, remote, TraceState::NONE)
}

fn export(exporter: &MlflowSpanExporter, batch: Vec<SpanData>) -> OTelSdkResult {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(exporter.export(batch))
}

/// Names of the spans of each trace that arrived, sorted, and whether it came with its information.
fn arrived(engine: &Engine) -> Vec<(Vec<String>, bool)> {
    let names = |trace: &serde_json::Value| {
        let spans = trace["spans"].as_array().unwrap();
        let mut names: Vec<_> = spans
            .iter()
            .map(|span| span["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    traces(engine)
        .iter()
        .map(|trace| (names(trace), trace["info"].is_object()))
        .collect()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_trace_is_complete_when_its_root_arrives() {
    let engine = memory_tracer();
    let provider = provider(&engine);
    let tracer = provider.tracer("tests");
    let mut root = tracer.start("root");
    let mut middle = child(&tracer, "middle", &root);
    let mut leaf = child(&tracer, "leaf", &middle);
    let ids = [&root, &middle].map(|span| span.span_context().span_id().to_string());
    leaf.end();
    provider.force_flush().unwrap();
    middle.end();
    provider.force_flush().unwrap();
    assert_eq!(arrived(&engine), []);
    assert_eq!(engine.stats().created, 0);
    root.end();
    provider.force_flush().unwrap();

    let traces = traces(&engine);
    assert_eq!(traces.len(), 1);
    let trace = &traces[0];
    assert_eq!(trace["info"]["state"], "OK");
    assert_eq!(trace["spans"].as_array().unwrap().len(), 3);
    let parents = ["middle", "leaf"].map(|name| hex(&span(trace, name)["parent_span_id"]));
    assert_eq!(parents, ids);
    let root = span(trace, "root");
    assert!(root["parent_span_id"].is_null());
    assert_eq!(root["status"]["code"], "STATUS_CODE_OK");
    assert_eq!(root["attributes"]["mlflow.spanType"], "\"UNKNOWN\"");
    assert_eq!(root["attributes"]["otel.scope.name"], "\"tests\"");
    assert_conserved(&engine);
    assert_eq!(engine.stats().delivered, 3);
}

/// A base64 id as hex digits.
fn hex(id: &serde_json::Value) -> String {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(id.as_str().unwrap());
    bytes
        .unwrap()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn attributes_of_every_kind() {
    let engine = memory_tracer();
    let provider = provider(&engine);
    let mut root = provider.tracer("").start("root");
    let texts: Vec<StringValue> = vec!["a\"b".into(), "é".into()];
    let values: [(&str, Value, &str); 15] = [
        ("bool", true.into(), "true"),
        ("int", i64::MIN.into(), "-9223372036854775808"),
        ("double", 1.5.into(), "1.5"),
        ("nan", f64::NAN.into(), "\"NaN\""),
        ("text", "héé".into(), "\"héé\""),
        ("empty", "".into(), "\"\""),
        (
            "bools",
            Value::Array(vec![true, false].into()),
            "[true, false]",
        ),
        ("ints", Value::Array(vec![1i64, -2].into()), "[1, -2]"),
        (
            "doubles",
            Value::Array(Array::F64(vec![1.0, 0.5])),
            "[1.0, 0.5]",
        ),
        ("texts", Value::Array(texts.into()), r#"["a\"b", "é"]"#),
        ("none", Value::Array(Array::String(vec![])), "[]"),
        ("mlflow.spanType", "LLM".into(), "\"LLM\""),
        ("mlflow.spanInputs", r#"{"q":1}"#.into(), r#"{"q": 1}"#),
        ("gen_ai.request.model", "m".into(), "\"m\""),
        ("gen_ai.usage.input_tokens", 7.into(), "7"),
    ];
    root.set_attribute(KeyValue::new("int", 1));
    root.set_attribute(KeyValue::new("", "no key"));
    root.set_attribute(KeyValue::new("mlflow.traceRequestId", "tr-0"));
    let request_id = format!("\"tr-{}\"", root.span_context().trace_id());
    for (key, value, _) in &values {
        root.set_attribute(KeyValue::new(*key, value.clone()));
    }
    root.end();
    provider.force_flush().unwrap();

    let traces = traces(&engine);
    let attributes = span(&traces[0], "root")["attributes"].as_object().unwrap();
    for (key, _, text) in &values {
        assert_eq!(attributes[*key], *text, "{key}");
    }
    assert_eq!(attributes["mlflow.traceRequestId"], *request_id);
    assert_eq!(attributes["mlflow.spanLogLevel"], "20");
    // Those, the request id and the level; no scope, as it has no name.
    assert_eq!(attributes.len(), values.len() + 2, "{attributes:?}");
}

#[test]
fn genai_operations_give_a_type_and_its_level() {
    let engine = memory_tracer();
    let provider = provider(&engine);
    let tracer = provider.tracer("");
    let record = |pairs: &[(&'static str, &'static str)], failed: bool| {
        let mut span = tracer.start("span");
        for (key, value) in pairs {
            span.set_attribute(KeyValue::new(*key, *value));
        }
        if failed {
            span.record_error(&std::io::Error::other("broken"));
        }
        span.end();
        provider.force_flush().unwrap();
        let traces = traces(&engine);
        let attributes = self::span(&traces[0], "span")["attributes"].clone();
        let text = |key: &str| attributes[key].as_str().unwrap().to_owned();
        (text("mlflow.spanType"), text("mlflow.spanLogLevel"))
    };
    let chat = ("gen_ai.operation.name", "chat");
    let other = ("gen_ai.operation.name", "other");
    let chosen = ("mlflow.spanType", "CHAIN");
    for (pairs, failed, expected) in [
        (vec![chat], false, ("\"CHAT_MODEL\"", "20")),
        (vec![chat], true, ("\"CHAT_MODEL\"", "40")),
        (vec![other], false, ("\"UNKNOWN\"", "10")),
        (vec![chat, chosen], false, ("\"CHAIN\"", "10")),
    ] {
        let (span_type, level) = record(&pairs, failed);
        assert_eq!((span_type.as_str(), level.as_str()), expected, "{pairs:?}");
    }
    // What the server translates is left to it.
    let mut span = tracer.start("translated");
    span.set_attribute(KeyValue::new(chat.0, chat.1));
    span.set_attribute(KeyValue::new("gen_ai.input.messages", "[]"));
    span.set_attribute(KeyValue::new("gen_ai.usage.input_tokens", 7));
    span.set_attribute(KeyValue::new("gen_ai.request.model", "m"));
    span.end();
    provider.force_flush().unwrap();
    let traces = traces(&engine);
    let attributes = self::span(&traces[0], "translated")["attributes"].as_object();
    let mut own: Vec<_> = attributes.unwrap().keys().collect();
    own.retain(|key| key.starts_with("mlflow."));
    own.sort();
    let expected = [
        "mlflow.spanLogLevel",
        "mlflow.spanType",
        "mlflow.traceRequestId",
    ];
    assert_eq!(own, expected);
}

#[test]
fn a_failed_span_with_events_and_links() {
    let engine = memory_tracer();
    let provider = provider(&engine);
    let mut root = provider.tracer("tests").start("root");
    let error = std::io::Error::other("broken");
    root.record_error(&error);
    let array = Value::Array(vec![1i64, 2].into());
    let time = UNIX_EPOCH + Duration::from_nanos(1_234_567_890_123_456_789);
    root.add_event_with_timestamp("retry", time, vec![KeyValue::new("after", array)]);
    root.add_link(context(10, 11, true), vec![KeyValue::new("why", "cause")]);
    root.set_status(Status::error("it broke"));
    root.end();
    provider.force_flush().unwrap();

    let traces = traces(&engine);
    let root = span(&traces[0], "root");
    assert_eq!(traces[0]["info"]["state"], "ERROR");
    assert_eq!(
        root["status"],
        json!({"code": "STATUS_CODE_ERROR", "message": "it broke"})
    );
    assert_eq!(root["attributes"]["mlflow.spanLogLevel"], "40");
    assert_eq!(root["events"][0]["name"], "exception");
    assert_eq!(
        root["events"][0]["attributes"]["exception.message"],
        "broken"
    );
    let retry = json!({
        "name": "retry",
        "time_unix_nano": 1_234_567_890_123_456_789u64,
        "attributes": {"after": [1, 2]},
    });
    assert_eq!(root["events"][1], retry);
    let link = json!({
        "trace_id": "tr-0000000000000000000000000000000a",
        "span_id": "000000000000000b",
        "attributes": {"why": "cause"},
    });
    assert_eq!(root["links"], json!([link]));
}

#[test]
fn what_only_otlp_has() {
    let directory = std::env::temp_dir().join(format!("mlflow-trace-otel-{}", std::process::id()));
    let engine = support::tracer(&[
        ("exporter", "file"),
        ("file.directory", directory.to_str().unwrap()),
        ("batch.delay_ms", "0"),
    ]);
    let exporter = MlflowSpanExporter::new(engine);
    let kinds = [
        SpanKind::Internal,
        SpanKind::Server,
        SpanKind::Client,
        SpanKind::Producer,
        SpanKind::Consumer,
    ];
    let state = TraceState::from_key_value([("vendor", "value")]).unwrap();
    let spans = kinds.into_iter().zip(1..).map(|(kind, id)| {
        let trace = TraceId::from(77);
        let flags = TraceFlags::SAMPLED;
        SpanData {
            span_kind: kind,
            span_context: SpanContext::new(trace, id.into(), flags, false, state.clone()),
            // Before its start: clocks may be set back.
            end_time: UNIX_EPOCH,
            ..data(77, id, id - 1, "span")
        }
    });
    export(&exporter, spans.collect()).unwrap();
    exporter.force_flush().unwrap();
    let file = std::fs::read_dir(&directory).unwrap().next().unwrap();
    let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let spans = &line["resourceSpans"][0]["scopeSpans"][0]["spans"];
    let kinds: HashMap<&str, i64> = spans
        .as_array()
        .unwrap()
        .iter()
        .map(|span| {
            assert_eq!(span["traceState"], "vendor=value");
            assert_eq!(span["endTimeUnixNano"], span["startTimeUnixNano"]);
            (
                span["spanId"].as_str().unwrap(),
                span["kind"].as_i64().unwrap(),
            )
        })
        .collect();
    let expected = (1..=5).map(|id| (format!("{id:016x}"), id));
    assert_eq!(kinds.len(), 5);
    for (id, kind) in expected {
        assert_eq!(kinds[id.as_str()], kind);
    }
}

#[test]
fn a_trace_rooted_elsewhere_has_spans_only() {
    let engine = memory_tracer();
    let provider = provider(&engine);
    let tracer = provider.tracer("tests");
    let mut entry = under(&tracer, "entry", context(5, 6, true));
    let mut inner = child(&tracer, "inner", &entry);
    inner.end();
    provider.force_flush().unwrap();
    assert_eq!(arrived(&engine), []);
    entry.end();
    provider.force_flush().unwrap();
    let first = traces(&engine);
    assert_eq!(first.len(), 1);
    assert!(first[0]["info"].is_null());
    assert_eq!(first[0]["spans"].as_array().unwrap().len(), 2);
    assert_eq!(
        hex(&span(&first[0], "entry")["parent_span_id"]),
        "0000000000000006"
    );

    // The trace is through: nothing that is still to come waits.
    let mut late = child(&tracer, "late", &entry);
    late.end();
    provider.force_flush().unwrap();
    assert_eq!(arrived(&engine), [(names(&["late"]), false)]);
    assert_conserved(&engine);
}

#[test]
fn late_children_go_alone() {
    let engine = memory_tracer();
    let provider = provider(&engine);
    let tracer = provider.tracer("tests");
    let mut root = tracer.start("root");
    let mut early = child(&tracer, "early", &root);
    let mut late = child(&tracer, "late", &root);
    early.end();
    root.end();
    provider.force_flush().unwrap();
    assert_eq!(arrived(&engine), [(names(&["early", "root"]), true)]);
    late.end();
    provider.force_flush().unwrap();
    assert_eq!(arrived(&engine), [(names(&["late"]), false)]);
    assert_conserved(&engine);
    assert_eq!(engine.stats().delivered, 3);
}

#[test]
fn the_order_within_a_batch_does_not_matter() {
    let engine = memory_tracer();
    let exporter = MlflowSpanExporter::new(engine.clone());
    let mut entry = data(1, 4, 2, "entry");
    entry.parent_span_is_remote = true;
    let batch = vec![
        data(1, 1, 0, "root"),
        data(2, 9, 0, "other"),
        entry,
        data(1, 3, 2, "leaf"),
        data(1, 2, 1, "middle"),
    ];
    export(&exporter, batch).unwrap();
    let mut all = arrived(&engine);
    all.sort();
    let whole = names(&["entry", "leaf", "middle", "root"]);
    assert_eq!(all, [(whole, true), (names(&["other"]), true)]);
}

#[test]
fn a_root_is_not_waited_for_for_ever() {
    let engine = memory_tracer();
    let exporter = MlflowSpanExporter::new(engine.clone()).with_root_wait(Duration::ZERO);
    export(&exporter, vec![data(1, 2, 1, "child")]).unwrap();
    assert_eq!(arrived(&engine), [(names(&["child"]), false)]);
    export(&exporter, vec![data(1, 1, 0, "root")]).unwrap();
    assert_eq!(arrived(&engine), [(names(&["root"]), true)]);
}

#[test]
fn waiting_spans_are_bounded_in_memory() {
    let engine = support::tracer(&[
        ("exporter", "memory"),
        ("batch.delay_ms", "0"),
        ("queue.max_bytes", "1048576"),
    ]);
    let exporter = MlflowSpanExporter::new(engine.clone());
    let large = |trace| {
        let mut large = data(trace, 2, 1, "large");
        large.attributes = vec![KeyValue::new("text", "x".repeat(300_000))];
        large
    };
    export(&exporter, vec![data(1, 2, 1, "oldest"), large(2)]).unwrap();
    assert_eq!(arrived(&engine), []);
    export(&exporter, vec![large(3)]).unwrap();
    let gone = [(names(&["oldest"]), false), (names(&["large"]), false)];
    assert_eq!(arrived(&engine), gone);
    export(&exporter, vec![data(3, 1, 0, "root")]).unwrap();
    assert_eq!(arrived(&engine), [(names(&["large", "root"]), true)]);
}

#[test]
fn a_flush_sends_what_waits_and_tells_what_it_could_not() {
    let engine = memory_tracer();
    let exporter = MlflowSpanExporter::new(engine.clone());
    export(&exporter, vec![data(1, 2, 1, "child")]).unwrap();
    exporter.force_flush().unwrap();
    assert_eq!(engine.stats().delivered, 1);
    assert_eq!(arrived(&engine), [(names(&["child"]), false)]);

    let root = engine.start(SpanStart::new("open"));
    let ended = engine.start(SpanStart {
        parent: Parent::Span(root),
        ..SpanStart::new("ended")
    });
    ended.end().unwrap();
    let answer = exporter.force_flush();
    assert!(
        matches!(answer, Err(OTelSdkError::InternalFailure(_))),
        "{answer:?}"
    );
    root.end().unwrap();
    exporter.force_flush().unwrap();
}

#[test]
fn shutdown_sends_what_waits_and_ends_exporting() {
    let engine = memory_tracer();
    let exporter = MlflowSpanExporter::new(engine.clone());
    export(&exporter, vec![data(1, 2, 1, "child")]).unwrap();
    exporter.shutdown_with_timeout(support::PATIENCE).unwrap();
    assert!(engine.is_stopped());
    assert_eq!(engine.stats().delivered, 1);
    let again = exporter.shutdown_with_timeout(support::PATIENCE);
    assert!(
        matches!(again, Err(OTelSdkError::AlreadyShutdown)),
        "{again:?}"
    );
    let late = export(&exporter, vec![data(2, 1, 0, "root")]);
    assert!(
        matches!(late, Err(OTelSdkError::AlreadyShutdown)),
        "{late:?}"
    );
    assert_conserved(&engine);
}

#[test]
fn a_shutdown_that_delivers_nothing_fails() {
    // Nobody listens on a port that was just given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let uri = format!("http://127.0.0.1:{port}");
    let engine = support::tracer(&[("tracking_uri", &uri), ("experiment_id", "0")]);
    let exporter = MlflowSpanExporter::new(engine.clone());
    export(&exporter, vec![data(1, 1, 0, "root")]).unwrap();
    // Early or late, depending on how the next attempt falls.
    match exporter.shutdown_with_timeout(Duration::from_millis(200)) {
        Err(OTelSdkError::Timeout(_) | OTelSdkError::InternalFailure(_)) => {}
        answer => unreachable!("{answer:?}"),
    }
    assert_conserved(&engine);
    assert_eq!(engine.stats().dropped_total(), 1);
}

#[test]
fn dropping_the_exporter_sends_what_waits() {
    let engine = memory_tracer();
    let exporter = MlflowSpanExporter::new(engine.clone());
    export(&exporter, vec![data(1, 2, 1, "child")]).unwrap();
    drop(exporter);
    assert_eq!(arrived(&engine), [(names(&["child"]), false)]);
}

#[test]
fn refused_spans_are_an_error() {
    let engine = memory_tracer();
    let exporter = MlflowSpanExporter::new(engine.clone());
    let answer = export(
        &exporter,
        vec![data(0, 1, 0, "no trace"), data(1, 1, 0, "good")],
    );
    assert!(
        matches!(answer, Err(OTelSdkError::InternalFailure(_))),
        "{answer:?}"
    );
    assert_eq!(arrived(&engine), [(names(&["good"]), true)]);
    assert!(engine.stats().ignored > 0);
}

#[test]
fn parallel_traces_to_two_tracers() {
    const THREADS: usize = 4;
    const TRACES: usize = 250;
    const CHILDREN: usize = 5;
    let engines = [memory_tracer(), memory_tracer()];
    let mut builder = SdkTracerProvider::builder();
    for engine in &engines {
        // Small batches, so that traces are cut in pieces.
        let exporter = MlflowSpanExporter::new(engine.clone());
        builder = builder.with_span_processor(processor(exporter, 7));
    }
    let provider = builder.build();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let tracer = provider.tracer("tests");
                for _ in 0..TRACES {
                    let mut root = tracer.start("root");
                    for _ in 0..CHILDREN {
                        child(&tracer, "child", &root).end();
                    }
                    root.end();
                }
            });
        }
    });
    provider.force_flush().unwrap();
    for engine in &engines {
        let traces = arrived(engine);
        assert_eq!(traces.len(), THREADS * TRACES);
        for (spans, has_info) in traces {
            assert_eq!((spans.len(), has_info), (CHILDREN + 1, true));
        }
        let stats = engine.stats();
        let spans = (THREADS * TRACES * (CHILDREN + 1)) as u64;
        assert_eq!(
            (stats.created, stats.delivered, stats.pending),
            (spans, spans, 0)
        );
        assert_eq!((stats.dropped_total(), stats.ignored), (0, 0));
    }
}
