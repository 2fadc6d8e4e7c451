//! Random programs, run against the engine and against a model of what is specified.
//!
//! `MLFLOW_TRACE_MODEL_PROGRAMS` is how many programs run, `MLFLOW_TRACE_MODEL_SEED` where they begin. A
//! program that fails is made as small as possible and shown with its seed; to run it alone, give that
//! seed and one program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod concurrent;
mod content;
mod delivery;
mod info;
mod program;
mod register;
mod run;
mod sequential;
mod table;
mod watchdog;

use std::cell::Cell;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use delivery::Checked;
use program::Program;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use run::Run;

/// Enough for every build; `make model` runs a hundred thousand.
const PROGRAMS: u64 = 3000;
/// How often a program that failed once is tried, where threads may come to their turns in another order.
const ATTEMPTS: usize = 50;

/// Programs run one after the other: handles of one must not hit spans of another.
static ALONE: Mutex<()> = Mutex::new(());

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// Runs one in `share` of the programs.
fn run_programs(
    name: &str,
    share: u64,
    programs: &impl Strategy<Value = Program>,
    check: fn(&Run) -> Checked,
) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let count = setting("MLFLOW_TRACE_MODEL_PROGRAMS").unwrap_or(PROGRAMS);
    let first = setting("MLFLOW_TRACE_MODEL_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        now.as_nanos() as u64
    });
    for number in 0..count.div_ceil(share) {
        let seed = first.wrapping_add(number);
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let config = Config {
            failure_persistence: None,
            max_shrink_iters: 5000,
            ..Config::default()
        };
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(config, rng);
        let program = programs.new_tree(&mut runner).unwrap();
        let has_failed = Cell::new(false);
        let outcome = runner.run_one(program, |program| {
            let attempts = match has_failed.get() && !program.threads.is_empty() {
                true => ATTEMPTS,
                false => 1,
            };
            attempt(seed, &program, attempts, check).map_err(|problem| {
                has_failed.set(true);
                TestCaseError::fail(problem)
            })
        });
        if let Err(TestError::Fail(reason, program)) = outcome {
            panic!(
                "{name}: MLFLOW_TRACE_MODEL_SEED={seed} MLFLOW_TRACE_MODEL_PROGRAMS=1\n{reason}\n{program:?}"
            );
        }
    }
}

fn attempt(seed: u64, program: &Program, attempts: usize, check: fn(&Run) -> Checked) -> Checked {
    for _ in 0..attempts {
        let run = watchdog::watch(seed, program, || run::run(program));
        check(&run).map_err(|problem| {
            let mut text = format!("{problem}\n\nThe calls:\n");
            for entry in &run.log {
                let _ = writeln!(
                    text,
                    "  {}.{} {:?} -> {:?}",
                    entry.phase, entry.thread, entry.call, entry.answer
                );
            }
            text
        })?;
    }
    Ok(())
}

#[test]
fn one_thread_behaves_as_specified() {
    run_programs("sequential", 2, &program::sequential(), sequential::check);
}

#[test]
fn several_threads_behave_as_some_order_of_their_calls() {
    run_programs("concurrent", 2, &program::concurrent(), concurrent::check);
}

#[test]
fn what_a_full_queue_drops_is_whole_traces_and_counted() {
    run_programs(
        "overflowing",
        100,
        &program::overflowing(),
        sequential::check,
    );
}
