//! What recording a span costs, beside other tracing libraries doing the same work in the same run.
//!
//! `make bench` builds the library, this program and `record.c`, and runs it; the report is
//! `docs/bench/record.md` with the chart `record.svg`. To repeat it alone, after `make build`:
//!
//! ```text
//! make bench-record                  all of it, under three minutes
//! make bench-record BENCH=--quick    a few seconds, to see that it works
//! make bench-record BENCH="--rounds 101 --spans 20000 --out /tmp/bench"
//! ```
//!
//! `export/` measures exporting: `make bench-export`.
//!
//! The machine should have nothing else to do: the report shows its load. Each library has a worker
//! process (`worker.rs`; `record.c` for the C ABI) that this program asks for one run after the other,
//! all libraries in turn. A worker waits until its sink has got everything before it answers, and a run
//! of which something was dropped ends the benchmark with an error.
#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that meets a surprise has to stop, and nobody embeds it"
)]

mod chart;
mod child;
mod export;
mod figures;
mod library;
mod machine;
mod measure;
mod memory;
mod options;
mod pool;
mod protocol;
mod report;
mod targets;
mod work;
mod worker;

use std::process::ExitCode;

use crate::library::Subject;
use crate::machine::Machine;
use crate::options::{Options, USAGE};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, subject, queue] = &arguments[..]
        && role == "worker"
        && let (Some(subject), Ok(queue)) = (Subject::parse(subject), queue.parse())
    {
        worker::serve(subject, queue);
        return ExitCode::SUCCESS;
    }
    let exported = match arguments.split_first() {
        Some((first, rest)) if first == "export" => Some(export::bench(rest)),
        Some((first, rest)) if first == "export-worker" => Some(export::work(rest)),
        _ => None,
    };
    if let Some(outcome) = exported {
        return finish(outcome);
    }
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(mistake) => {
            eprintln!("{mistake}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    finish(bench(&options))
}

fn finish(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn bench(options: &Options) -> Result<(), String> {
    let before = machine::load();
    let figures = measure::measure(options)?;
    let text = report::markdown(
        &figures,
        options,
        &Machine::look(),
        [&before, &machine::load()],
    );
    let write = |name: &str, content: &str| {
        let path = options.out.join(name);
        std::fs::write(&path, content).map_err(|error| format!("{}: {error}", path.display()))
    };
    std::fs::create_dir_all(&options.out).map_err(|error| error.to_string())?;
    write("record.md", &text)?;
    write("record.svg", &chart::svg(&figures))?;
    println!("{text}");
    Ok(())
}
