//! Injects the faults of the specification and prints one table: `make faults`.
//!
//! ```text
//! faults [--scale 0.1] [--full] [--only F3,F8] [--producer PROGRAM]
//! ```
//!
//! The scale is the share of the specified lengths and numbers; what the engine has fixed (its backoff, its limit
//! of connections that wait) is not scaled.

use std::path::PathBuf;
use std::process::ExitCode;

use mlflow_trace_faults::runner::row::{HEAD, Verdict};
use mlflow_trace_faults::runner::{self, Settings};

const USAGE: &str = "usage: faults [--scale SHARE] [--full] [--only F3,F8] [--producer PROGRAM]";

struct Arguments {
    scale: f64,
    only: Vec<String>,
    producer: Option<PathBuf>,
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Arguments> {
    let mut parsed = Arguments {
        scale: 0.1,
        only: Vec::new(),
        producer: None,
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--full" => parsed.scale = 1.0,
            "--scale" => parsed.scale = arguments.next()?.parse().ok()?,
            "--producer" => parsed.producer = Some(arguments.next()?.into()),
            "--only" => {
                let only = arguments.next()?;
                parsed.only = only.split(',').map(str::to_owned).collect();
            }
            _ => return None,
        }
    }
    let known = runner::names();
    let fits = parsed.scale > 0.0 && parsed.scale <= 1.0;
    let exist = parsed
        .only
        .iter()
        .all(|only| known.contains(&only.as_str()));
    (fits && exist).then_some(parsed)
}

fn main() -> ExitCode {
    let Some(arguments) = parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}\nfaults and loads: {}", runner::names().join(" "));
        return ExitCode::from(2);
    };
    let scratch = std::env::temp_dir().join(format!("mlflow-trace-faults-{}", std::process::id()));
    let beside = std::env::current_exe().map(|own| own.with_file_name("fault-producer"));
    let settings = match (
        arguments.producer,
        beside,
        std::fs::create_dir_all(&scratch),
    ) {
        (Some(producer), _, Ok(())) | (None, Ok(producer), Ok(())) => {
            let mut settings = Settings::new(arguments.scale, producer, scratch.clone());
            settings.judges_callers = true;
            settings
        }
        (_, Err(error), _) | (_, _, Err(error)) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    println!("Scale {}.\n\n{HEAD}", settings.scale);
    let rows = runner::run(&settings, &arguments.only, |row| {
        println!("{}", row.markdown());
    });
    let _ = std::fs::remove_dir_all(&scratch);
    let count = |verdict| rows.iter().filter(|row| row.verdict() == verdict).count();
    let failed = count(Verdict::Fail);
    println!("\n{} passed, {failed} failed", count(Verdict::Pass));
    match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
