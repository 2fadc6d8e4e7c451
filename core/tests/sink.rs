//! Our traces through an exporter of OpenTelemetry's SDK.
#![allow(unsafe_code, clippy::unwrap_used, clippy::panic)]

mod support;

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant, UNIX_EPOCH};

use mlflow_trace_core::otel::MlflowSpanExporter;
use mlflow_trace_core::{
    Attachment, ErrorKind, Parent, SpanContext, SpanId, SpanStart, StatusCode, TraceId, Tracer,
    TracerBuilder, Value, extract,
};
use opentelemetry::trace::{SpanKind, Status};
use opentelemetry::{Array, Key, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{IdGenerator, SpanData, SpanExporter};
use support::{PATIENCE, assert_conserved, child, config, dropped, traces, until};

/// What an exporter was told.
#[derive(Default)]
struct Seen {
    spans: Vec<SpanData>,
    resource: Option<Resource>,
    threads: Vec<Option<String>>,
    /// `export`, `flush` and `shutdown`, in their order.
    calls: Vec<&'static str>,
}

type Log = Arc<Mutex<Seen>>;
type Script = dyn Fn(&[SpanData]) -> OTelSdkResult + Send + Sync;

/// Keeps what it is given when `script` answers `Ok`.
struct Scripted {
    log: Log,
    script: Box<Script>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

impl SpanExporter for Scripted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let thread = std::thread::current().name().map(str::to_owned);
        {
            let mut log = self.log.lock().unwrap();
            log.calls.push("export");
            log.threads.push(thread);
        }
        (self.script)(&batch)?;
        self.log.lock().unwrap().spans.extend(batch);
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.log.lock().unwrap().calls.push("flush");
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        self.log.lock().unwrap().calls.push("shutdown");
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.log.lock().unwrap().resource = Some(resource.clone());
    }
}

fn builder(exporter: impl SpanExporter + 'static) -> TracerBuilder {
    // Long enough for traces to be batched; every test flushes.
    TracerBuilder::new(config(&[("batch.delay_ms", "600000")])).exporter(exporter)
}

/// A tracer whose exporter answers by `script`, and what that sees.
fn scripted(
    script: impl Fn(&[SpanData]) -> OTelSdkResult + Send + Sync + 'static,
) -> (Tracer, Log) {
    let log = Log::default();
    let exporter = Scripted {
        log: log.clone(),
        script: Box::new(script),
    };
    (builder(exporter).build().unwrap(), log)
}

fn failure() -> OTelSdkResult {
    Err(OTelSdkError::InternalFailure("not now".into()))
}

/// Records a trace for each name.
fn record(tracer: &Tracer, names: &[&str]) {
    for name in names {
        tracer.start(SpanStart::new(name)).end().unwrap();
    }
}

fn names(log: &Log) -> Vec<String> {
    let spans = &log.lock().unwrap().spans;
    let mut names: Vec<_> = spans.iter().map(|span| span.name.to_string()).collect();
    names.sort();
    names
}

/// Flushes until `spans` are delivered, which makes an attempt each time.
fn flush_until_delivered(tracer: &Tracer, spans: u64) {
    until("delivery", || {
        tracer.flush(Duration::from_millis(20));
        tracer.stats().delivered == spans
    });
}

#[test]
fn spans_arrive_with_all_that_was_recorded() {
    let (tracer, log) = scripted(|_| Ok(()));
    let root = tracer.start(SpanStart {
        span_type: Some("AGENT"),
        start_time_ns: Some(1_000_000_007),
        ..SpanStart::new("root")
    });
    let context = root.context().unwrap();
    let inputs = Value::Json(r#"{"q": [1]}"#);
    root.set_inputs(inputs).unwrap();
    let numbers = [Value::Double(1.0), Value::Double(0.5)];
    let values = [
        ("bool", Value::Bool(true)),
        ("int", Value::Int(-3)),
        ("double", Value::Double(0.5)),
        ("numbers", Value::Array(&numbers)),
        ("nothing", Value::Null),
    ];
    root.set_attributes(&values).unwrap();
    root.add_event("event", Some(1_500_000_000), &[("n", Value::Int(1))])
        .unwrap();
    let (linked, other) = (TraceId::generate(), SpanId::generate());
    root.add_link(linked, other, &[("why", Value::Str("cause"))])
        .unwrap();
    let inner = tracer.start(child(root, "inner"));
    let inner_context = inner.context().unwrap();
    inner.set_status(StatusCode::Error, "broken").unwrap();
    inner.end().unwrap();
    root.end_at(2_000_000_000).unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);

    let seen = log.lock().unwrap();
    let [inner, root] = seen.spans.as_slice() else {
        panic!("{:?}", seen.spans);
    };
    assert_eq!(
        root.span_context.trace_id().to_bytes(),
        *context.trace_id.bytes()
    );
    assert_eq!(
        root.span_context.span_id().to_bytes(),
        *context.span_id.bytes()
    );
    assert!(root.span_context.is_sampled() && !root.span_context.is_remote());
    assert_eq!(root.parent_span_id, opentelemetry::SpanId::INVALID);
    assert_eq!(root.span_kind, SpanKind::Internal);
    assert_eq!(root.name, "root");
    let time = |nanos| UNIX_EPOCH + Duration::from_nanos(nanos);
    assert_eq!(root.start_time, time(1_000_000_007));
    assert_eq!(root.end_time, time(2_000_000_000));
    let expected = [
        KeyValue::new("mlflow.spanType", "AGENT"),
        KeyValue::new("mlflow.spanStartTimeNs", 1_000_000_007),
        KeyValue::new("mlflow.spanInputs", r#"{"q": [1]}"#),
        KeyValue::new("bool", true),
        KeyValue::new("int", -3),
        KeyValue::new("double", 0.5),
        KeyValue::new(
            "numbers",
            opentelemetry::Value::Array(Array::F64(vec![1.0, 0.5])),
        ),
        KeyValue::new("mlflow.spanLogLevel", 20),
    ];
    assert_eq!(root.attributes, expected);
    assert_eq!(root.events[0].name, "event");
    assert_eq!(root.events[0].timestamp, time(1_500_000_000));
    assert_eq!(root.events[0].attributes, [KeyValue::new("n", 1)]);
    let link = &root.links[0];
    assert_eq!(link.span_context.trace_id().to_bytes(), *linked.bytes());
    assert_eq!(link.span_context.span_id().to_bytes(), *other.bytes());
    assert_eq!(link.attributes, [KeyValue::new("why", "cause")]);
    assert_eq!(root.status, Status::Ok);
    assert_eq!(root.instrumentation_scope.name(), "mlflow-trace");
    let version = root.instrumentation_scope.version();
    assert_eq!(version, Some(mlflow_trace_core::VERSION));

    assert_eq!(inner.status, Status::error("broken"));
    assert_eq!(inner.parent_span_id, root.span_context.span_id());
    assert!(!inner.parent_span_is_remote);
    let id = inner.span_context.span_id().to_bytes();
    assert_eq!(id, *inner_context.span_id.bytes());
    assert_eq!(seen.threads, [Some("mlflow-sink".to_owned())]);
    assert_eq!(tracer.stats().delivered, 2);
}

#[test]
fn a_remote_parent_and_its_state_are_passed_on() {
    let (tracer, log) = scripted(|_| Ok(()));
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let remote = extract(parent, Some("vendor=value")).unwrap();
    let entry = tracer.start(SpanStart {
        parent: Parent::Remote(remote),
        ..SpanStart::new("entry")
    });
    tracer.start(child(entry, "inner")).end().unwrap();
    entry.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    let seen = log.lock().unwrap();
    let found: Vec<_> = seen
        .spans
        .iter()
        .map(|span| (span.name.as_ref(), span.parent_span_is_remote))
        .collect();
    assert_eq!(found, [("inner", false), ("entry", true)]);
    for span in &seen.spans {
        assert_eq!(span.span_context.trace_state().header(), "vendor=value");
    }
}

#[test]
fn the_exporter_is_told_the_merged_resource() {
    let log = Log::default();
    let exporter = Scripted {
        log: log.clone(),
        script: Box::new(|_| Ok(())),
    };
    let given = Resource::builder_empty()
        .with_attribute(KeyValue::new("host.cpus", 8))
        .with_attribute(KeyValue::new("telemetry.sdk.name", "other"));
    let config = config(&[("service.name", "shop")]);
    let builder = TracerBuilder::new(config).exporter(exporter);
    builder.resource(given.build()).build().unwrap();
    let resource = log.lock().unwrap().resource.take().unwrap();
    let get = |key: &'static str| resource.get(&Key::from_static_str(key)).unwrap();
    assert_eq!(get("host.cpus"), 8.into());
    assert_eq!(get("service.name"), "shop".into());
    assert_eq!(get("telemetry.sdk.name"), "mlflow-trace".into());
}

#[test]
fn attachments_stand_in_the_spans_and_rules_hold() {
    let log = Log::default();
    let exporter = Scripted {
        log: log.clone(),
        script: Box::new(|_| Ok(())),
    };
    let config = config(&[("redact.keys", "password")]);
    let tracer = TracerBuilder::new(config)
        .exporter(exporter)
        .build()
        .unwrap();
    let root = tracer.start(SpanStart::new("root"));
    let attachment = Attachment::new("text/plain", b"content");
    let uri = attachment.uri(&root.context().unwrap().trace_id);
    let inputs = format!(r#"{{"file": "{uri}", "password": "hunter2"}}"#);
    root.set_inputs(Value::Json(&inputs)).unwrap();
    root.attach(attachment).unwrap();
    root.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    let seen = log.lock().unwrap();
    let found = seen.spans[0]
        .attributes
        .iter()
        .find(|found| found.key.as_str() == "mlflow.spanInputs");
    let text = found.unwrap().value.as_str().into_owned();
    assert!(
        text.contains("data:text/plain;base64,Y29udGVudA=="),
        "{text}"
    );
    assert!(
        text.contains("[redacted]") && !text.contains("hunter2"),
        "{text}"
    );
}

#[test]
fn failures_are_tried_again_and_nothing_arrives_twice() {
    for fail in [failure, || Err(OTelSdkError::Timeout(Duration::ZERO))] {
        let attempts = AtomicUsize::new(0);
        let (tracer, log) = scripted(move |_| match attempts.fetch_add(1, Ordering::Relaxed) {
            0..7 => fail(),
            _ => Ok(()),
        });
        record(&tracer, &["a", "b", "c"]);
        flush_until_delivered(&tracer, 3);
        assert_eq!(names(&log), ["a", "b", "c"]);
        assert_eq!(tracer.next_diagnostic().unwrap().reason, "exporter");
        assert_conserved(&tracer);
    }
}

#[test]
fn traces_that_are_not_taken_do_not_hold_up_the_others() {
    let (tracer, log) = scripted(|batch| match batch.iter().any(|span| span.name == "bad") {
        true => failure(),
        false => Ok(()),
    });
    record(&tracer, &["bad", "a", "b", "bad", "c", "d", "e"]);
    flush_until_delivered(&tracer, 5);
    assert_eq!(names(&log), ["a", "b", "c", "d", "e"]);
    assert_eq!(tracer.stats().pending, 2);
    assert_eq!(tracer.shutdown(PATIENCE), 2);
    assert_eq!(dropped(&tracer, "shutdown"), 2);
    assert_conserved(&tracer);
}

#[test]
fn a_shutdown_separates_good_from_bad_in_its_one_attempt() {
    let (tracer, log) = scripted(|batch| match batch.iter().any(|span| span.name == "bad") {
        true => failure(),
        false => Ok(()),
    });
    record(&tracer, &["a", "bad", "b"]);
    assert_eq!(tracer.shutdown(PATIENCE), 1);
    assert_eq!(names(&log), ["a", "b"]);
    assert_conserved(&tracer);
}

#[test]
fn one_that_was_shut_down_gets_nothing_twice() {
    let (tracer, log) = scripted(|_| Err(OTelSdkError::AlreadyShutdown));
    record(&tracer, &["a", "b"]);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(dropped(&tracer, "rejected"), 2);
    assert_eq!(log.lock().unwrap().calls, ["export", "flush"]);
    assert_conserved(&tracer);
}

#[test]
fn a_panic_costs_the_trace_that_it_is_about() {
    let (tracer, log) = scripted(|batch| {
        assert!(batch.iter().all(|span| span.name != "bad"), "as it should");
        Ok(())
    });
    record(&tracer, &["a", "bad", "b", "c"]);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(names(&log), ["a", "b", "c"]);
    assert_eq!(dropped(&tracer, "rejected"), 1);
    record(&tracer, &["later"]);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(names(&log), ["a", "b", "c", "later"]);
    assert_conserved(&tracer);
}

#[test]
fn an_exporter_that_always_panics_is_survived() {
    let (tracer, _) = scripted(|_| panic!("as it should"));
    record(&tracer, &["span"; 5]);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(dropped(&tracer, "rejected"), 5);
    assert_eq!(tracer.shutdown(PATIENCE), 0);
    assert_conserved(&tracer);
}

#[test]
fn an_exporter_that_blocks_holds_up_nobody() {
    let (release, blocked) = mpsc::channel::<()>();
    let blocked = Mutex::new(blocked);
    let (tracer, log) = scripted(move |_| {
        let _ = blocked.lock().unwrap().recv();
        Ok(())
    });
    record(&tracer, &["a"]);
    let start = Instant::now();
    assert_eq!(tracer.flush(Duration::from_millis(50)), 1);
    // Neither those who record, nor who looks after open traces.
    record(&tracer, &["b"]);
    assert_eq!(tracer.shutdown(Duration::from_millis(50)), 2);
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
    assert_eq!(dropped(&tracer, "shutdown"), 2);
    assert_conserved(&tracer);
    drop(release);
    until("shutdown", || {
        log.lock().unwrap().calls.contains(&"shutdown")
    });
    assert_eq!(names(&log), ["a"]);
}

/// One whose `export` does not end at once.
#[derive(Debug, Default)]
struct Waits(Arc<AtomicU64>);

impl SpanExporter for Waits {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        let taken = self.0.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let task = tokio::spawn(async move { batch.len() as u64 });
            taken.fetch_add(task.await.unwrap(), Ordering::Relaxed);
            Ok(())
        }
    }
}

#[test]
fn exporters_may_use_tokio() {
    let exporter = Waits::default();
    let taken = exporter.0.clone();
    let tracer = builder(exporter).build().unwrap();
    record(&tracer, &["a"]);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(taken.load(Ordering::Relaxed), 1);
}

#[test]
fn flush_and_shutdown_are_passed_on() {
    let (tracer, log) = scripted(|_| Ok(()));
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(log.lock().unwrap().calls, [""; 0]);
    record(&tracer, &["a"]);
    assert_eq!(tracer.flush(PATIENCE), 0);
    record(&tracer, &["b"]);
    for _ in 0..2 {
        assert_eq!(tracer.shutdown(PATIENCE), 0);
    }
    assert_eq!(tracer.flush(PATIENCE), 0);
    let calls = ["export", "flush", "export", "shutdown"];
    assert_eq!(log.lock().unwrap().calls, calls);
}

#[test]
fn a_tracer_that_is_dropped_shuts_it_down_after_the_last_span() {
    for spans in [0, 3] {
        let (tracer, log) = scripted(|_| Ok(()));
        record(&tracer, &vec!["span"; spans]);
        drop(tracer);
        until("shutdown", || {
            log.lock().unwrap().calls.last() == Some(&"shutdown")
        });
        assert_eq!(names(&log).len(), spans);
    }
}

/// Panics as it is told the resource.
#[derive(Debug)]
struct Unwilling;

impl SpanExporter for Unwilling {
    async fn export(&self, _batch: Vec<SpanData>) -> OTelSdkResult {
        Ok(())
    }

    fn set_resource(&mut self, _resource: &Resource) {
        panic!("as it should");
    }
}

#[test]
fn building_fails_if_the_exporter_does_not_take_the_resource() {
    let error = builder(Unwilling).build().err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.message().contains("exporter"), "{error}");
}

#[test]
fn the_child_of_a_fork_leaves_it_to_the_parent() {
    let (tracer, log) = scripted(|_| Ok(()));
    record(&tracer, &["before"]);
    assert_eq!(tracer.flush(PATIENCE), 0);
    let in_child = || {
        record(&tracer, &["in the child"]);
        let flushed = tracer.flush(Duration::from_secs(5));
        let settled = flushed == 0 && dropped(&tracer, "rejected") == 1;
        let told = tracer.next_diagnostic().is_some();
        let quick = tracer.shutdown(Duration::from_secs(5)) == 0;
        // The exporter of the parent was not called here.
        let calls = log.lock().unwrap().calls.len();
        i32::from(!(settled && told && quick && calls == 2))
    };
    // SAFETY: the child calls only this library and `_exit`; no other thread holds the lock of the log.
    let code = match unsafe { libc::fork() } {
        // SAFETY: ends the child without running this process's handlers.
        0 => unsafe { libc::_exit(in_child()) },
        pid => wait(pid),
    };
    assert_eq!(code, 0);
    record(&tracer, &["after"]);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(names(&log), ["after", "before"]);
}

fn wait(pid: libc::pid_t) -> i32 {
    let mut status = 0;
    until("the child", || {
        // SAFETY: `pid` is a child of this process and `status` is writable.
        unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) == pid }
    });
    match libc::WIFEXITED(status) {
        true => libc::WEXITSTATUS(status),
        false => -status,
    }
}

/// The same ids in every tracer.
#[derive(Debug, Default)]
struct Counting(AtomicU64);

impl IdGenerator for Counting {
    fn new_trace_id(&self) -> opentelemetry::TraceId {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed) + 1).into()
    }

    fn new_span_id(&self) -> opentelemetry::SpanId {
        (self.0.fetch_add(1, Ordering::Relaxed) + 1).into()
    }
}

/// Records the same each time.
fn conversation(tracer: &Tracer) {
    let at = |seconds: u64| seconds * 1_000_000_000;
    let span = |name, span_type, parent, seconds| {
        tracer.start(SpanStart {
            span_type,
            parent,
            start_time_ns: Some(at(seconds)),
            ..SpanStart::new(name)
        })
    };
    let root = span("answer", Some("AGENT"), Parent::None, 1);
    let question = r#"{"messages":[{"role":"user","content":"héé?"}]}"#;
    root.set_inputs(Value::Json(question)).unwrap();
    let chat = span("chat", Some("CHAT_MODEL"), Parent::Span(root), 2);
    let usage = r#"{"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}"#;
    let list = [Value::Int(1), Value::Int(2)];
    let mixed = [Value::Int(1), Value::Str("two")];
    let values = [
        ("mlflow.chat.tokenUsage", Value::Json(usage)),
        ("gen_ai.operation.name", Value::Str("chat")),
        ("flag", Value::Bool(false)),
        ("nan", Value::Double(f64::NAN)),
        ("whole", Value::Double(2.0)),
        ("list", Value::Array(&list)),
        ("mixed", Value::Array(&mixed)),
    ];
    chat.set_attributes(&values).unwrap();
    let attributes = [("list", Value::Array(&list)), ("text", Value::Str("x"))];
    chat.add_event("retry", Some(at(3)), &attributes).unwrap();
    chat.end_at(at(4)).unwrap();
    let tool = span("tool", Some("TOOL"), Parent::Span(root), 5);
    tool.add_event(
        "exception",
        Some(at(6)),
        &[("exception.message", Value::Str("no"))],
    )
    .unwrap();
    tool.set_status(StatusCode::Error, "no").unwrap();
    tool.add_link(
        TraceId::from_bytes([7; 16]),
        SpanId::from_bytes([8; 8]),
        &[],
    )
    .unwrap();
    tool.end_at(at(7)).unwrap();
    let context = root.context().map(|context| SpanContext {
        remote: true,
        ..context
    });
    let plain = span("plain", None, Parent::Remote(context.unwrap()), 8);
    plain.end_at(at(9)).unwrap();
    root.set_outputs(Value::Str("so it is")).unwrap();
    root.end_at(at(10)).unwrap();
}

#[test]
fn a_trace_that_goes_through_both_bridges_stays_as_it_is() {
    let memory = [("exporter", "memory"), ("batch.delay_ms", "0")];
    let direct = TracerBuilder::new(config(&memory)).id_generator(Counting::default());
    let direct = direct.build().unwrap();
    conversation(&direct);
    let last = support::tracer(&memory);
    let first = builder(MlflowSpanExporter::new(last.clone())).id_generator(Counting::default());
    let first = first.build().unwrap();
    conversation(&first);
    // Flushes the last as well.
    assert_eq!(first.flush(PATIENCE), 0);
    assert_eq!(last.stats().delivered, 4);

    let [expected] = traces(&direct).try_into().unwrap();
    let [mut found]: [serde_json::Value; 1] = traces(&last).try_into().unwrap();
    // The bridge hands roots over first.
    let spans = found["spans"].as_array_mut().unwrap();
    spans.sort_by_key(|span| span["end_time_unix_nano"].as_u64());
    for (found, expected) in spans.iter().zip(expected["spans"].as_array().unwrap()) {
        assert_eq!(found, expected);
    }
    assert_eq!(found, expected);
}
