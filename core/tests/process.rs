//! The process-wide tracer of a binding.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use mlflow_trace_core::{ErrorKind, Process, SpanStart};
use support::PATIENCE;

const MEMORY: (&str, Option<&str>) = ("exporter", Some("memory"));

fn record(process: &Process, name: &str) {
    let tracer = process.tracer().unwrap();
    tracer
        .as_deref()
        .unwrap()
        .start(SpanStart::new(name))
        .end()
        .unwrap();
}

#[test]
fn traces_keep_the_tracer_they_started_with() {
    let process = Process::new();
    process
        .configure(&[MEMORY, ("service_name", Some("a"))])
        .unwrap();
    let early = process
        .tracer()
        .unwrap()
        .as_deref()
        .unwrap()
        .start(SpanStart::new("early"));
    process.configure(&[("service.name", Some("b"))]).unwrap();
    record(&process, "late");
    early.end().unwrap();
    assert_eq!(process.flush(PATIENCE), 0);
    let stats = process.stats();
    assert_eq!((stats.created, stats.delivered, stats.pending), (2, 2, 0));
    let names: Vec<String> = std::iter::from_fn(|| process.next_memory_trace()).collect();
    assert!(
        names[0].contains("early") && names[1].contains("late"),
        "{names:?}"
    );
    process.configure(&[("service.name", Some("c"))]).unwrap();
    assert_eq!(process.stats().delivered, 2);
}

#[test]
fn changes_are_all_or_none_and_name_the_option() {
    let process = Process::new();
    process.configure(&[MEMORY]).unwrap();
    let error = process
        .configure(&[
            ("service.name", Some("x")),
            ("batch.max_spans", Some("none")),
        ])
        .unwrap_err();
    assert!(error.message().contains("batch.max_spans"), "{error}");
    assert_eq!(process.option("service_name").unwrap(), "");
    assert_eq!(process.option("exporter").unwrap(), "memory");
    process.configure(&[("exporter", None)]).unwrap();
    assert_eq!(process.option("exporter").unwrap(), "auto");
    assert_eq!(
        process.configure(&[("no.such", None)]).unwrap_err().kind(),
        ErrorKind::InvalidConfig
    );
}

#[test]
fn init_forgets_what_was_chosen_before() {
    let process = Process::new();
    process
        .configure(&[MEMORY, ("service.name", Some("a"))])
        .unwrap();
    process.init(&[("exporter", "memory")]).unwrap();
    assert_eq!(process.option("service.name").unwrap(), "");
    assert!(process.init(&[("experiment_id", "x")]).is_err());
    assert_eq!(process.option("exporter").unwrap(), "memory");
}

#[test]
fn the_bindings_defaults_lose_to_the_program() {
    let process = Process::new();
    process.set_defaults(&[("source.name", "program.py"), ("no.such", "x")]);
    assert_eq!(process.option("source.name").unwrap(), "program.py");
    process
        .configure(&[("source.name", Some("given"))])
        .unwrap();
    assert_eq!(process.option("source.name").unwrap(), "given");
}

#[test]
fn an_experiment_without_a_server_is_remembered() {
    let process = Process::new();
    process.configure(&[MEMORY]).unwrap();
    process.set_experiment(Some("mine"), None).unwrap();
    assert_eq!(process.option("experiment_name").unwrap(), "mine");
    assert_eq!(
        process.set_experiment(None, None).unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
}

#[test]
fn an_experiment_chosen_by_id_holds_for_the_server_that_is_set_later() {
    let process = Process::new();
    process.configure(&[MEMORY]).unwrap();
    process.set_experiment(None, Some("5")).unwrap();
    process
        .configure(&[("tracking_uri", Some("http://127.0.0.1:1"))])
        .unwrap();
    assert_eq!(process.option("experiment_id").unwrap(), "5");
}

#[test]
fn the_id_that_a_name_had_stays_with_its_server() {
    let process = Process::new();
    let experiment = [
        MEMORY,
        ("experiment_name", Some("mine")),
        ("experiment_id", Some("5")),
    ];
    process.configure(&experiment).unwrap();
    // Not set, and still not set: the server is the same.
    process.configure(&[("tracking_uri", None)]).unwrap();
    assert_eq!(process.option("experiment_id").unwrap(), "5");
    let server = ("tracking_uri", Some("http://127.0.0.1:1"));
    process.configure(&[server]).unwrap();
    assert_eq!(process.option("experiment_id").unwrap(), "");
    assert_eq!(process.option("experiment_name").unwrap(), "mine");
    // An id that comes with the server is one of its own, in whatever order.
    let server = ("tracking_uri", Some("http://127.0.0.1:2"));
    process
        .configure(&[("experiment_id", Some("6")), server])
        .unwrap();
    assert_eq!(process.option("experiment_id").unwrap(), "6");
}

#[test]
fn after_a_shutdown_configuring_begins_anew() {
    let process = Process::new();
    process.configure(&[MEMORY]).unwrap();
    assert_eq!(process.shutdown(Duration::from_secs(5)), 0);
    let tracer = process.tracer().unwrap();
    assert!(
        tracer
            .as_deref()
            .unwrap()
            .start(SpanStart::new("ignored"))
            .end()
            .is_err()
    );
    process.configure(&[]).unwrap();
    record(&process, "again");
    assert_eq!(process.flush(PATIENCE), 0);
    assert_eq!(process.stats().delivered, 1);
}
