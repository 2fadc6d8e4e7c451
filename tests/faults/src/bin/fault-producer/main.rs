//! A host of the engine: records spans at a rate, does what it is told on its input, and says on its output how
//! the calls went.
//!
//! ```text
//! fault-producer [--rate SPANS_A_SECOND] [--threads N] [--spans SPANS_A_TRACE] [--bytes TEXT_A_SPAN]
//!                [--live-times] [--list FILE] [KEY=VALUE of an option of the engine]...
//! ```
//!
//! Every command gets one line of JSON:
//!
//! | command | |
//! |---|---|
//! | `stats` | counters, latencies of the callers, diagnostics so far, resident memory |
//! | `stop`, `go` | ends and begins recording at the rate |
//! | `burst TRACES` | records so many traces as fast as it goes |
//! | `record NAME` | records a trace of one span of this name, or of two with `record NAME/CHILD` |
//! | `large SPANS` | records one trace of so many spans |
//! | `open TRACES` | starts so many roots that nobody ends |
//! | `stale CALLS` | ends a span so many times too often |
//! | `flush MS` | flushes; `left` spans are undelivered |
//! | `shutdown MS` | shuts down |
//! | `fork HOW` | forks; the child records a trace and ends by `flush`, `exit`, `abort` or `exec` |
//! | `die HOW` | ends by `_exit`, `abort`, `panic` or `exit`, which does what the bindings do at exit |
//!
//! The end of its input is `die exit`.
#![allow(
    clippy::unwrap_used,
    reason = "a test program that meets a surprise has to stop"
)]

mod dying;
mod peer;
mod recording;
mod stopwatch;

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mlflow_trace_core::{Config, Tracer};
use serde_json::{Value, json};

use crate::recording::{Host, Pace};

fn main() {
    dying::heed_interrupts();
    let host = match host(std::env::args().skip(1)) {
        Ok(host) => Arc::new(host),
        Err(problem) => {
            eprintln!("{problem}");
            std::process::exit(2);
        }
    };
    let mut crew = recording::start(&host);
    say(&json!({"pid": std::process::id()}));
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let (command, argument) = line.split_once(' ').unwrap_or((&line, ""));
        let number = argument.parse().unwrap_or(0);
        let reply = match command {
            "stats" => host.stats(),
            "stop" => {
                crew.stop();
                json!({})
            }
            "go" => {
                crew = recording::start(&host);
                json!({})
            }
            "burst" => {
                (0..number).for_each(|_| host.record_trace());
                json!({})
            }
            "record" => host.record_named(argument),
            "large" => {
                host.record_large(number);
                json!({})
            }
            "open" => {
                host.leave_open(number);
                json!({})
            }
            "stale" => {
                host.end_too_often(number);
                json!({})
            }
            "flush" => timed(|| host.tracer.flush(Duration::from_millis(number))),
            "shutdown" => timed(|| host.tracer.shutdown(Duration::from_millis(number))),
            "fork" => dying::fork(&host, argument),
            "die" => dying::die(&host, argument),
            _ => json!({"error": format!("unknown command {command}")}),
        };
        say(&reply);
    }
    crew.stop();
    dying::die(&host, "exit");
}

fn say(line: &Value) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn timed(wait: impl FnOnce() -> u64) -> Value {
    let start = Instant::now();
    let left = wait();
    json!({"left": left, "ms": start.elapsed().as_secs_f64() * 1000.0})
}

fn host(mut arguments: impl Iterator<Item = String>) -> Result<Host, String> {
    let mut pace = Pace::default();
    let mut config = Config::new();
    let mut list = None;
    while let Some(argument) = arguments.next() {
        if let Some((key, value)) = argument.split_once('=') {
            config.set(key, value).map_err(|error| error.to_string())?;
            continue;
        }
        if argument == "--live-times" {
            pace.live_times = true;
            continue;
        }
        let value = arguments.next().unwrap_or_default();
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("{argument} {value}: not a number"))
        };
        match argument.as_str() {
            "--rate" => pace.rate = number()?,
            "--threads" => pace.threads = number()?,
            "--spans" => pace.spans = number()?,
            "--bytes" => pace.bytes = number()? as usize,
            "--list" => list = Some(PathBuf::from(&value)),
            _ => return Err(format!("unknown argument {argument}")),
        }
    }
    let tracer = Tracer::new(config).map_err(|error| error.to_string())?;
    Host::new(tracer, pace, list).map_err(|error| error.to_string())
}
