//! Kills processes with a spool at any moment and sees what the next one delivers: `make crash`.
//!
//! ```text
//! crash [--runs 1000] [--seed 1]
//! ```

use std::process::ExitCode;

use mlflow_trace_faults::crash;
use mlflow_trace_faults::runner::Settings;

fn parse(mut arguments: impl Iterator<Item = String>) -> Option<(u64, u64)> {
    let (mut runs, mut seed) = (1000, 1);
    while let Some(argument) = arguments.next() {
        let number = arguments.next()?.parse().ok()?;
        match argument.as_str() {
            "--runs" => runs = number,
            "--seed" => seed = number,
            _ => return None,
        }
    }
    Some((runs, seed))
}

fn main() -> ExitCode {
    let Some((runs, seed)) = parse(std::env::args().skip(1)) else {
        eprintln!("usage: crash [--runs N] [--seed N]");
        return ExitCode::from(2);
    };
    let scratch = std::env::temp_dir().join(format!("mlflow-trace-crash-{}", std::process::id()));
    let ready = std::fs::create_dir_all(&scratch).and_then(|()| std::env::current_exe());
    let producer = match ready {
        Ok(own) => own.with_file_name("fault-producer"),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let settings = Settings::new(1.0, producer, scratch.clone());
    let outcome = crash::run(&settings, runs, seed, |run, found| {
        if (run + 1) % 100 == 0 {
            println!("{found}");
        }
    });
    let _ = std::fs::remove_dir_all(&scratch);
    match outcome {
        Ok(found) => {
            println!("seed {seed}: {found}");
            match found.is_clean() {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            }
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}
