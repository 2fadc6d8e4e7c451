//! A few of the faults at a small scale; `make faults` runs all of them, and judges what callers feel.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::PathBuf;

use mlflow_trace_faults::runner::row::{Row, Verdict};
use mlflow_trace_faults::runner::{self, Settings};

fn rows(fault: &str) -> Vec<Row> {
    let scratch = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(fault);
    let _ = std::fs::remove_dir_all(&scratch);
    std::fs::create_dir_all(&scratch).unwrap();
    let producer = env!("CARGO_BIN_EXE_fault-producer").into();
    let settings = Settings::new(0.01, producer, scratch);
    runner::run(&settings, &[fault.to_owned()], |_| ())
}

fn passes(fault: &str) {
    for row in rows(fault) {
        assert_eq!(row.verdict(), Verdict::Pass, "{}", row.markdown());
    }
}

#[test]
fn half_of_the_requests_answered_with_503() {
    passes("F3");
}

#[test]
fn broken_replies() {
    passes("F6");
}

#[test]
fn partial_success() {
    passes("F7");
}

#[test]
fn one_span_of_512_refused() {
    passes("F8");
}

#[test]
fn more_than_the_queue_holds() {
    passes("F22");
}

#[test]
fn an_upgrade_and_servers_without_spans() {
    passes("F28");
}

#[test]
fn a_lost_span_is_noticed() {
    // The sink acknowledges what it does not keep.
    let mut row = Row::default();
    let settings = Settings::new(
        0.01,
        env!("CARGO_BIN_EXE_fault-producer").into(),
        env!("CARGO_TARGET_TMPDIR").into(),
    );
    runner::forgetful(&settings, &mut row).unwrap();
    assert_eq!(row.verdict(), Verdict::Fail);
    assert!(row.measured().contains("at the sink"), "{}", row.measured());
}
