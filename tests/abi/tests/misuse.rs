//! `tests/c/errors.c` misuses every function of the ABI: a new one cannot escape it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;

use mlflow_trace_abi_tests::source;

#[test]
fn every_function_is_misused() {
    let modules = source::modules().unwrap();
    let test = fs::read_to_string(source::root().join("tests/c/errors.c")).unwrap();
    for export in source::exports(&modules) {
        let name = export.name();
        let provoked_elsewhere = name == "mlflow_panic_provoke";
        assert!(
            provoked_elsewhere || test.contains(&format!("{name}(")),
            "tests/c/errors.c does not call {name}"
        );
    }
}
