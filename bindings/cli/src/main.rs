//! The command `mlflow-trace`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(mlflow_trace_cli::run(std::env::args_os()))
}
