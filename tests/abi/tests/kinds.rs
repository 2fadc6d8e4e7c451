//! The kinds of error are the same in core, in the statuses and in the header.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![allow(unsafe_code, reason = "the names come as C strings")]

use std::ffi::CStr;
use std::fs;

use mlflow_trace::status::{mlflow_status_name, mlflow_status_t};
use mlflow_trace_abi_tests::source;
use mlflow_trace_core::ErrorKind;

fn name(status: mlflow_status_t) -> String {
    // SAFETY: a status name is static text with a NUL.
    let name = unsafe { CStr::from_ptr(mlflow_status_name(status)) };
    name.to_str().unwrap().to_owned()
}

#[test]
fn kinds_statuses_and_header_agree() {
    let header = fs::read_to_string(source::root().join("include/mlflow_trace.h")).unwrap();
    let mut defined: Vec<_> = header
        .lines()
        .filter_map(|line| line.strip_prefix("#define MLFLOW_ERROR_"))
        .map(|rest| {
            let (name, number) = rest.split_once(' ').unwrap();
            (name.to_owned(), number.trim().parse::<i32>().unwrap())
        })
        .collect();
    defined.sort_by_key(|(_, number)| *number);
    let kinds: Vec<_> = ErrorKind::ALL
        .iter()
        .map(|kind| (kind.screaming().to_owned(), kind.code()))
        .collect();
    assert_eq!(defined, kinds);
    for kind in ErrorKind::ALL {
        let status = mlflow_status_t::from(kind);
        assert_eq!(status.0, kind.code());
        assert_eq!(name(status), kind.screaming());
    }
    assert_eq!(name(mlflow_status_t(0)), "OK");
    assert_eq!(name(mlflow_status_t(-1)), "UNKNOWN");
    assert_eq!(name(mlflow_status_t(i32::MAX)), "UNKNOWN");
}
