//! Waiting without holding the interpreter, and without making the user wait for an interrupt.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use mlflow_trace_core::{Error, ErrorKind};
use pyo3::prelude::*;

use crate::error::{invalid_argument, raise};
use crate::lock::lock;

/// How often a waiting main thread looks for signals.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(50);
/// Long enough for everybody, short enough for every clock.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// A timeout argument in seconds.
pub(crate) fn timeout(py: Python<'_>, seconds: f64) -> PyResult<Duration> {
    if seconds.is_nan() || seconds < 0.0 {
        return Err(invalid_argument(py, "`timeout` must not be negative"));
    }
    Ok(Duration::try_from_secs_f64(seconds).map_or(LONGEST, |timeout| timeout.min(LONGEST)))
}

/// Runs `work` on a thread of its own and waits for it, detached from the interpreter.
///
/// An interrupt ends the wait, not the work, which has to be bounded by itself.
pub(crate) fn interruptible<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> T + Send + 'static,
) -> PyResult<T> {
    let (sender, receiver) = channel();
    let work = Arc::new(Mutex::new(Some(work)));
    let spawned = thread::Builder::new()
        .name("mlflow-trace-wait".to_owned())
        .spawn({
            let work = work.clone();
            move || run(&work).map(|result| sender.send(result))
        });
    if spawned.is_err() {
        // Where the system gives no thread, waiting without signals is better than not waiting.
        return py.detach(|| run(&work)).ok_or_else(|| panicked(py));
    }
    // The receiver is not `Sync`, which detaching asks for.
    let receiver = Mutex::new(receiver);
    loop {
        match py.detach(|| lock(&receiver).recv_timeout(SIGNAL_INTERVAL)) {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => return Err(panicked(py)),
        }
    }
}

fn run<T, F: FnOnce() -> T>(work: &Mutex<Option<F>>) -> Option<T> {
    let work = lock(work).take();
    work.map(|work| work())
}

#[cold]
fn panicked(py: Python<'_>) -> PyErr {
    raise(
        py,
        &Error::new(ErrorKind::Panic, "the work that was waited for panicked"),
    )
}
