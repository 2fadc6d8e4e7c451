//! `include/mlflow_trace.h` is what the sources say. `BLESS=1 cargo test -p mlflow-trace-abi-tests` rewrites it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::env;
use std::fs;

use mlflow_trace_abi_tests::{header, source};

#[test]
fn header_is_fresh() {
    let path = source::root().join("include/mlflow_trace.h");
    let rendered = header::render().unwrap();
    if env::var_os("BLESS").is_some() {
        fs::write(&path, &rendered).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap();
    let stale = committed
        .lines()
        .zip(rendered.lines())
        .enumerate()
        .find(|(_, (committed, rendered))| committed != rendered);
    if let Some((line, (committed, rendered))) = stale {
        panic!(
            "line {} of the header is stale\ncommitted: {committed}\nsources:   {rendered}\nrun with BLESS=1 to rewrite it",
            line + 1
        );
    }
    assert_eq!(
        committed, rendered,
        "the header is stale; run with BLESS=1 to rewrite it"
    );
}

#[test]
fn no_item_of_the_abi_depends_on_a_feature_or_platform() {
    for path in source::files().unwrap() {
        if path.ends_with("layout.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("#[cfg"), "{} has a cfg", path.display());
    }
}
