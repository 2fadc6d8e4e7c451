//! Tracer
//!
//! A tracer records spans and sends finished traces from a thread of its own. A process usually has one.
//! Handles may be used from any thread at any time; only the `_free` of an object must be its last use.
//! fork() needs no help: a child starts with an empty queue, never sends what its parent recorded, and may
//! use the same tracer right away. No function may be called from a signal handler.
//!
//! The end of the process sends nothing: call mlflow_tracer_shutdown before it. The tracer's thread reads
//! environment variables (proxy settings, the user's name), so do not change the environment while it runs.

use std::sync::Arc;
use std::time::Duration;

use mlflow_trace_core::otel::MlflowSpanExporter;
use mlflow_trace_core::{ErrorKind, Tracer};

use crate::config::mlflow_config_t;
use crate::error::mlflow_error_t;
use crate::guard::{Failure, guard, guard_or};
use crate::handle;
use crate::processor::Callback;
use crate::status::mlflow_status_t;

/// As `timeout_ms`: the value of the tracer's option "shutdown.timeout_ms", which is 2000 unless it was set.
pub const MLFLOW_TIMEOUT_DEFAULT: u64 = 0xFFFF_FFFF_FFFF_FFFF;

/// Records spans and sends finished traces.
pub struct mlflow_tracer_t {
    pub(crate) tracer: Tracer,
    /// What hosts that record by other means hand over.
    pub(crate) elsewhere: MlflowSpanExporter,
    /// Keeps them alive for the tracer's processors.
    pub(crate) _callbacks: Vec<Arc<Callback>>,
}

impl mlflow_tracer_t {
    fn timeout(&self, timeout_ms: u64) -> Duration {
        match timeout_ms {
            MLFLOW_TIMEOUT_DEFAULT => self.tracer.config().shutdown_timeout(),
            // A deadline further away could not be computed.
            bounded => Duration::from_millis(bounded).min(Duration::from_secs(365 * 24 * 60 * 60)),
        }
    }
}

/// Makes a tracer from a copy of `config`. Its thread starts with the first trace that is complete.
///
/// Ownership: the caller owns `*tracer` and releases it with mlflow_tracer_free; `config` stays the caller's.
/// Threads: any thread, at any time; in a forked child as said of configurations.
/// Errors: INVALID_ARGUMENT when `config` or `tracer` is NULL; INVALID_CONFIG naming the option at fault.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_tracer_new(
    config: *const mlflow_config_t,
    tracer: *mut *mut mlflow_tracer_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable, `config` is not freed and `tracer` is
    // writable; `borrow` and `output` refuse NULL.
    unsafe {
        guard(error, || {
            let config = handle::borrow(config, "config")?;
            let output = handle::output(tracer, "tracer")?;
            output.give(config.build()?);
            Ok(())
        })
    }
}

/// Waits until every trace that is complete by now was delivered or dropped, at most `timeout_ms` milliseconds.
///
/// `*pending` (optional) receives the number of ended spans that are still to be delivered, also on TIMEOUT.
/// It includes those of traces with open spans and those that ended meanwhile, which are not waited for.
///
/// Ownership: none.
/// Threads: any thread, at any time; blocks only the caller. In a forked child it waits for the child's own.
/// Errors: INVALID_ARGUMENT when `tracer` is NULL; TIMEOUT when `*pending` is not 0, even before the time is up.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_tracer_flush(
    tracer: *const mlflow_tracer_t,
    timeout_ms: u64,
    pending: *mut u64,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` and `pending` are NULL or writable and `tracer` is not freed;
    // `borrow` refuses NULL.
    unsafe {
        guard(error, || {
            let tracer = handle::borrow(tracer, "tracer")?;
            let timeout = tracer.timeout(timeout_ms);
            settle(pending, || {
                tracer.elsewhere.release();
                tracer.tracer.flush(timeout)
            })
        })
    }
}

/// Stops recording, and waits at most `timeout_ms` milliseconds until what has ended is delivered; the rest is
/// dropped. Recording calls may go on, without effect.
///
/// `*pending` (optional) receives the number of ended spans that were not delivered, also on TIMEOUT. Spans that
/// are open are dropped as "unfinished" and not included. A second call is harmless.
///
/// Ownership: none; the handle stays valid until mlflow_tracer_free.
/// Threads: any thread, at any time; blocks only the caller. A forked child shuts down its own side only.
/// Errors: INVALID_ARGUMENT when `tracer` is NULL; TIMEOUT when `*pending` is not 0.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_tracer_shutdown(
    tracer: *const mlflow_tracer_t,
    timeout_ms: u64,
    pending: *mut u64,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` and `pending` are NULL or writable and `tracer` is not freed;
    // `borrow` refuses NULL.
    unsafe {
        guard(error, || {
            let tracer = handle::borrow(tracer, "tracer")?;
            let timeout = tracer.timeout(timeout_ms);
            settle(pending, || {
                tracer.elsewhere.release();
                tracer.tracer.shutdown(timeout)
            })
        })
    }
}

/// Releases a tracer without ever waiting. As long as the process lives, what has ended is still sent, for at
/// most the option "shutdown.timeout_ms"; to be sure, call mlflow_tracer_shutdown first. Open spans are dropped;
/// calls on them do no harm.
///
/// Ownership: takes `tracer`; NULL is a no-op.
/// Threads: any thread, once, after every other use; also in a forked child.
/// Errors: none.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_tracer_free(tracer: *mut mlflow_tracer_t) {
    // SAFETY: by the header's contract `tracer` is NULL or ours and not freed yet, and this is its last use.
    guard_or((), || unsafe { handle::free(tracer) })
}

/// Waits, then reports what is pending both as a number and as a status.
///
/// # Safety
/// `pending` is null or leads to one `u64`.
unsafe fn settle(pending: *mut u64, wait: impl FnOnce() -> u64) -> Result<(), Failure> {
    if !pending.is_aligned() {
        return Err(Failure::Argument("pending", "is misaligned"));
    }
    let left = wait();
    if !pending.is_null() {
        // SAFETY: not null and aligned, as checked; room for the number is the caller's promise.
        unsafe { pending.write(left) };
    }
    match left {
        0 => Ok(()),
        _ => Err(ErrorKind::Timeout.into()),
    }
}
