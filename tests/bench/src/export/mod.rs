//! What exporting costs (W4): traces of ten spans, as fast as they can be recorded, until a sink in a process of
//! its own has acknowledged the last one.
//!
//! ```text
//! make bench-export                  all of it, a few minutes
//! make bench-export BENCH=--quick    to see that it works
//! ```

mod capacity;
mod report;
mod server;
mod subject;
mod worker;

use std::path::PathBuf;

use serde_json::Value;

use crate::machine::{self, Machine};
use crate::work::Work;
use server::Server;
use subject::Subject;

pub(crate) use worker::main as work;

const USAGE: &str = "\
usage: mlflow-trace-bench export --sink PROGRAM [--runs N] [--traces N] [--quick] [--out DIR]

  --sink PROGRAM  oracle-sink
  --runs N        runs to take medians of (5)
  --traces N      traces of W2 in a run (100000); of W3 it is a third
  --quick         1 run of 2000 traces: the figures say little
  --out DIR       where export.md goes (docs/bench)";

#[derive(Clone, Debug)]
pub(crate) struct Options {
    sink: PathBuf,
    runs: usize,
    traces: usize,
    out: PathBuf,
}

impl Options {
    fn parse(arguments: &[String]) -> Option<Options> {
        let mut options = Options {
            sink: PathBuf::new(),
            runs: 5,
            traces: 100_000,
            out: "docs/bench".into(),
        };
        let mut arguments = arguments.iter();
        while let Some(name) = arguments.next() {
            match name.as_str() {
                "--quick" => (options.runs, options.traces) = (1, 2000),
                "--sink" => options.sink = arguments.next()?.into(),
                "--out" => options.out = arguments.next()?.into(),
                "--runs" => options.runs = arguments.next()?.parse().ok()?,
                "--traces" => options.traces = arguments.next()?.parse().ok()?,
                _ => return None,
            }
        }
        (options.sink.is_file() && options.runs > 0).then_some(options)
    }
}

/// The figures of one run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) spans_a_second: f64,
    /// Nanoseconds of CPU for each span, of the thread that records.
    pub(crate) producer: f64,
    /// Of all other threads of its process.
    pub(crate) exporter: f64,
    /// Of the sink.
    pub(crate) sink: f64,
    /// MiB of resident memory at most.
    pub(crate) peak: f64,
    pub(crate) dropped: f64,
}

/// Runs everything and writes the report.
pub(crate) fn bench(arguments: &[String]) -> Result<(), String> {
    let options = Options::parse(arguments).ok_or(USAGE)?;
    let before = machine::load();
    let capacity = capacity::measure(&options)?;
    let mut results: Vec<(Subject, Work, Vec<Figures>)> = Vec::new();
    let mut usual = Vec::new();
    for work in [Work::W2, Work::W3] {
        usual.push(once(&options, Subject::BEST, work, Queue::Usual)?);
        let first = results.len();
        results.extend(Subject::ALL.map(|subject| (subject, work, Vec::new())));
        for _ in 0..options.runs {
            for (subject, work, runs) in &mut results[first..] {
                runs.push(once(&options, *subject, *work, Queue::Ample)?);
            }
        }
    }
    let text = report::markdown(
        &options,
        &capacity,
        &results,
        &usual,
        &Machine::look(),
        [&before, &machine::load()],
    );
    std::fs::create_dir_all(&options.out).map_err(|error| error.to_string())?;
    let path = options.out.join("export.md");
    std::fs::write(&path, &text).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("{text}");
    Ok(())
}

/// What an exporter may keep waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    /// As much as there is.
    Ample,
    /// The limit that it has unless told otherwise.
    Usual,
}

impl Queue {
    pub(crate) fn key(self) -> &'static str {
        match self {
            Queue::Ample => "ample",
            Queue::Usual => "usual",
        }
    }
}

fn once(options: &Options, subject: Subject, work: Work, queue: Queue) -> Result<Figures, String> {
    let traces = subject.traces(options.traces, work);
    let server = Server::start(&options.sink, &["--count-only"], subject.version())?;
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = std::process::Command::new(own)
        .args(["export-worker", subject.key(), work.name()])
        .args([&traces.to_string(), &server.url, queue.key()])
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| error.to_string())?;
    let said: Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| format!("{}: the worker failed", subject.name()))?;
    let number = |key: &str| said[key].as_f64().unwrap_or(f64::NAN);
    let spans = (traces * subject::SPANS) as f64;
    let there = server.spans()? as f64;
    let dropped = number("dropped");
    // What is dropped is cheap, so only runs that may drop something are allowed to.
    if there + dropped != spans || dropped > 0.0 && queue == Queue::Ample {
        return Err(format!(
            "{}: {spans} recorded, {dropped} dropped, {there} at the sink",
            subject.name()
        ));
    }
    Ok(Figures {
        spans_a_second: there / number("seconds"),
        producer: number("producer_ns") / there,
        exporter: (number("process_ns") - number("producer_ns")) / there,
        sink: server.cpu_ns()? / there,
        peak: number("peak_kib") / 1024.0,
        dropped,
    })
}
