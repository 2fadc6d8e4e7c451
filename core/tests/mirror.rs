//! Dual export: MLflow and a collector get the same traces, and neither suffers from the other.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use mlflow_trace_core::{Attachment, MirrorStats, Span, SpanStart, Tracer, TracerBuilder, Value};
use support::server::{Server, reply};
use support::{PATIENCE, assert_conserved, child, config, dropped, tracer, until};

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:1";

fn connected(mlflow: &str, collector: &str, more: &[(&str, &str)]) -> Tracer {
    let both = [
        ("tracking_uri", mlflow),
        ("otlp.endpoint", collector),
        ("otlp.dual_export", "true"),
        ("batch.delay_ms", "20"),
    ];
    tracer(&[&both[..], more].concat())
}

fn mlflow() -> Server {
    Server::mlflow("3.17.2", |_| None)
}

fn collector() -> Server {
    Server::start(|_| reply(200, ""))
}

/// Answers nothing in time.
fn silent() -> Server {
    Server::start(|_| {
        std::thread::sleep(PATIENCE);
        reply(200, "")
    })
}

fn record(tracer: &Tracer, name: &str, bytes: usize) -> Span {
    let root = tracer.start(SpanStart::new(name));
    let inner = tracer.start(child(root, "inner"));
    inner.set_inputs(Value::Str(&"x".repeat(bytes))).unwrap();
    inner.end().unwrap();
    root.end().unwrap();
    root
}

/// The counters of the copies, which balance.
fn copies(tracer: &Tracer) -> MirrorStats {
    let stats = tracer.stats().mirror.unwrap();
    let dropped: u64 = stats.dropped.iter().map(|(_, spans)| spans).sum();
    assert_eq!(stats.created, stats.delivered + stats.pending + dropped);
    stats
}

fn copies_dropped(tracer: &Tracer, reason: &str) -> u64 {
    let stats = copies(tracer);
    let found = stats.dropped.iter().find(|(name, _)| *name == reason);
    found.unwrap().1
}

#[test]
fn both_get_every_trace() {
    let (mlflow, collector) = (mlflow(), collector());
    let tracer = connected(&mlflow.url, &collector.url, &[]);
    for _ in 0..20 {
        record(&tracer, "root", 10);
    }
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(mlflow.spans().len(), 40);
    assert_eq!(collector.spans().len(), 40);
    assert_eq!(mlflow.infos().len(), 20);
    assert!(collector.log().iter().all(|line| line == "POST /v1/traces"));
    assert_eq!(tracer.stats().delivered, 40);
    let copies = copies(&tracer);
    assert_eq!((copies.created, copies.delivered), (40, 40));
    assert_conserved(&tracer);
    let json = tracer.stats().to_json();
    assert!(
        json.contains(r#""mirror":{"created":40,"delivered":40,"pending":0"#),
        "{json}"
    );
}

#[test]
fn each_gets_content_in_its_own_way() {
    let (mlflow, collector) = (mlflow(), collector());
    let tracer = connected(
        &mlflow.url,
        &collector.url,
        &[("trace.partial_after_ms", "0")],
    );
    let root = tracer.start(SpanStart::new("root"));
    let inner = tracer.start(child(root, "inner"));
    let image = Attachment::new("image/png", *b"png");
    let uri = image.uri(&root.context().unwrap().trace_id);
    inner.set_inputs(Value::Str(&uri)).unwrap();
    inner.attach(image).unwrap();
    inner.end().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    root.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    let inputs = |server: &Server| server.spans()[0].text("mlflow.spanInputs").unwrap();
    assert_eq!(inputs(&mlflow), uri);
    assert_eq!(inputs(&collector), "data:image/png;base64,cG5n");
    let uploads = mlflow
        .log()
        .iter()
        .filter(|line| line.contains("/attachments/"))
        .count();
    assert_eq!(uploads, 1);
}

#[test]
fn a_running_trace_shows_in_both() {
    let (mlflow, collector) = (mlflow(), collector());
    let tracer = connected(
        &mlflow.url,
        &collector.url,
        &[("trace.partial_after_ms", "0")],
    );
    let root = tracer.start(SpanStart::new("root"));
    tracer.start(child(root, "early")).end().unwrap();
    until("both parts", || {
        mlflow.spans().len() + collector.spans().len() == 2
    });
    root.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!((mlflow.spans().len(), collector.spans().len()), (2, 2));
    assert_eq!(copies(&tracer).delivered, 2);
    assert_conserved(&tracer);
}

#[test]
fn a_dead_collector_costs_mlflow_nothing() {
    let silent = silent();
    for dead in [NOWHERE, &silent.url] {
        let mlflow = mlflow();
        let tracer = connected(&mlflow.url, dead, &[("queue.max_bytes", "1048576")]);
        // Many times what the queue holds, whose room is given back a little later than what was in it is counted.
        for index in 0..100 {
            record(&tracer, "root", 40_000);
            until("MLflow's", || tracer.stats().delivered == 2 * (index + 1));
        }
        assert_eq!(mlflow.infos().len(), 100);
        assert_eq!(tracer.stats().dropped_total(), 0);
        let lost = copies_dropped(&tracer, "queue_full");
        let copies = copies(&tracer);
        assert_eq!((copies.created, copies.delivered), (200, 0));
        assert_eq!(copies.pending + lost, 200);
        assert!(lost > 150, "{lost}");
        assert_conserved(&tracer);
        let reasons = std::iter::from_fn(|| tracer.next_diagnostic()).map(|line| line.reason);
        assert!(reasons.collect::<Vec<_>>().contains(&"queue_full"));
    }
}

#[test]
fn a_dead_server_costs_the_collector_nothing() {
    let silent = silent();
    for dead in [NOWHERE, &silent.url] {
        let collector = collector();
        let tracer = connected(dead, &collector.url, &[("queue.max_bytes", "1048576")]);
        for index in 0..100 {
            record(&tracer, "root", 40_000);
            until("the collector's", || {
                copies(&tracer).delivered == 2 * (index + 1)
            });
        }
        assert_eq!(collector.spans().len(), 200);
        assert_eq!(copies(&tracer).created, 200);
        let lost = dropped(&tracer, "queue_full");
        assert!(lost > 150, "{lost}");
        assert_eq!(tracer.stats().pending + lost, 200);
        assert_conserved(&tracer);
    }
}

#[test]
fn a_flush_waits_for_both_and_says_what_either_lacks() {
    let (mlflow, collector) = (mlflow(), collector());
    for (server, copy, left) in [
        (&mlflow.url[..], &collector.url[..], 0),
        (&mlflow.url, NOWHERE, 2),
        (NOWHERE, &collector.url, 2),
        (NOWHERE, NOWHERE, 4),
    ] {
        let tracer = connected(server, copy, &[("batch.delay_ms", "60000")]);
        record(&tracer, "root", 10);
        let limit = match left {
            0 => PATIENCE,
            _ => Duration::from_millis(500),
        };
        assert_eq!(tracer.flush(limit), left);
        // Whoever can deliver has delivered, though the other used up the time.
        let pending = tracer.stats().pending + copies(&tracer).pending;
        assert_eq!(pending, left);
        let start = Instant::now();
        assert_eq!(tracer.shutdown(Duration::from_millis(300)), left);
        assert!(start.elapsed() < Duration::from_secs(2));
        let given_up = dropped(&tracer, "shutdown") + copies_dropped(&tracer, "shutdown");
        assert_eq!(given_up, left);
        assert_conserved(&tracer);
    }
}

#[test]
fn a_shutdown_delivers_to_both() {
    let (mlflow, collector) = (mlflow(), collector());
    let tracer = connected(&mlflow.url, &collector.url, &[("batch.delay_ms", "60000")]);
    for _ in 0..5 {
        record(&tracer, "root", 10);
    }
    let _open = tracer.start(SpanStart::new("open"));
    assert_eq!(tracer.shutdown(PATIENCE), 0);
    assert_eq!((mlflow.spans().len(), collector.spans().len()), (10, 10));
    assert_eq!(dropped(&tracer, "unfinished"), 1);
    assert_eq!(copies(&tracer).created, 10);
    assert_conserved(&tracer);
    // Nothing was ever queued.
    let tracer = connected(&mlflow.url, &collector.url, &[]);
    assert_eq!(tracer.shutdown(PATIENCE), 0);
}

#[test]
fn dropping_the_tracer_delivers_to_both() {
    let (mlflow, collector) = (mlflow(), collector());
    let tracer = connected(&mlflow.url, &collector.url, &[("batch.delay_ms", "60000")]);
    record(&tracer, "root", 10);
    drop(tracer);
    until("both", || {
        mlflow.spans().len() + collector.spans().len() == 4
    });
}

#[test]
fn what_the_collector_rejects_is_its_own_affair() {
    let body = r#"{"partialSuccess": {"rejectedSpans": "1"}}"#;
    let (mlflow, collector) = (mlflow(), Server::start(move |_| reply(200, body)));
    let tracer = connected(&mlflow.url, &collector.url, &[]);
    record(&tracer, "root", 10);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(tracer.stats().delivered, 2);
    assert_eq!(copies_dropped(&tracer, "server_rejected"), 1);
    assert_eq!(copies(&tracer).delivered, 1);
}

#[test]
fn beside_a_file_and_not_beside_an_exporter_of_the_host() {
    let collector = collector();
    let options = [
        ("otlp.endpoint", collector.url.as_str()),
        ("otlp.dual_export", "true"),
        ("exporter", "memory"),
    ];
    let tracer = tracer(&options);
    record(&tracer, "root", 10);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert!(tracer.next_memory_trace().is_some());
    assert_eq!(collector.spans().len(), 2);

    #[derive(Debug)]
    struct Host;
    impl opentelemetry_sdk::trace::SpanExporter for Host {
        async fn export(
            &self,
            _: Vec<opentelemetry_sdk::trace::SpanData>,
        ) -> opentelemetry_sdk::error::OTelSdkResult {
            Ok(())
        }
    }
    let builder = TracerBuilder::new(config(&options)).exporter(Host);
    let tracer = builder.build().unwrap();
    record(&tracer, "root", 10);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(tracer.stats().mirror, None);
    assert_eq!(collector.spans().len(), 2);
}
