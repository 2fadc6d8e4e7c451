//! Tells which program hangs, and ends the test.

use std::io::Write;
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use crate::program::Program;

/// No program takes a thousandth of this.
const LIMIT: Duration = Duration::from_secs(30);

/// What runs, and since when.
static RUNNING: Mutex<Option<(u64, Program, Instant)>> = Mutex::new(None);

fn running() -> std::sync::MutexGuard<'static, Option<(u64, Program, Instant)>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a program under watch.
pub(crate) fn watch<R>(seed: u64, program: &Program, run: impl FnOnce() -> R) -> R {
    static WATCHDOG: Once = Once::new();
    WATCHDOG.call_once(|| {
        std::thread::spawn(bark);
    });
    *running() = Some((seed, program.clone(), Instant::now()));
    let result = run();
    *running() = None;
    result
}

fn bark() {
    loop {
        std::thread::sleep(LIMIT / 10);
        if let Some((seed, program, since)) = &*running()
            && since.elapsed() > LIMIT
        {
            // Past the test harness, which would keep the output to itself.
            let _ = writeln!(
                std::io::stderr(),
                "A program hangs: MLFLOW_TRACE_MODEL_SEED={seed} MLFLOW_TRACE_MODEL_PROGRAMS=1\n{program:?}"
            );
            std::process::abort();
        }
    }
}
