//! The command `mlflow-trace`, for `python -m mlflow_trace`.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the command with these arguments, without the program's name; its exit code.
#[pyfunction]
pub(crate) fn run_command(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    let name = OsString::from("mlflow-trace");
    py.detach(|| mlflow_trace_cli::run([name].into_iter().chain(arguments)))
}
