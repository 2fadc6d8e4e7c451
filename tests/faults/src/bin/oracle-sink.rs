//! The sink as a process: `oracle-sink [--version 3.17.2] [--count-only] [--tls valid]`.
//!
//! The first line that it prints is the address that exporters send to, the second that of the control
//! endpoint. It ends when its input ends, so that it never outlives who started it.

use std::io::{Read, Write};
use std::process::ExitCode;

use mlflow_trace_faults::sink::{Options, Sink};

const USAGE: &str = "usage: oracle-sink [--version VERSION] [--count-only] \
    [--tls valid|expired|wrong_host|self_signed|client_cert|old_protocol|cut]";

fn options(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--version" => options.version = arguments.next()?,
            "--count-only" => options.count_only = true,
            "--tls" => options.tls = serde_json::from_value(arguments.next()?.into()).ok()?,
            _ => return None,
        }
    }
    Some(options)
}

fn main() -> ExitCode {
    let Some(options) = options(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let sink = match Sink::start(&options) {
        Ok(sink) => sink,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    println!("{}\n{}", sink.url(), sink.control_url());
    let _ = std::io::stdout().flush();
    let mut rest = [0; 256];
    let mut input = std::io::stdin();
    while input.read(&mut rest).is_ok_and(|read| read > 0) {}
    ExitCode::SUCCESS
}
