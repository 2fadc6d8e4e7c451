//! Diagnostics
//!
//! The library never writes to the program's streams or logs, but for a panic, which is reported on standard
//! error. What else it has to say about itself waits in a bounded ring until the program asks. When the ring is
//! full the oldest message goes, and a message with the same first word comes at most every 30 s.
//!
//!     mlflow_text_t *message;
//!     while (mlflow_tracer_next_diagnostic(tracer, &message, NULL) == MLFLOW_OK) {
//!         fprintf(stderr, "%s\n", mlflow_text_get(message).ptr);
//!         mlflow_text_free(message);
//!     }

use mlflow_trace_core::ErrorKind;

use crate::error::mlflow_error_t;
use crate::guard::guard;
use crate::handle;
use crate::status::mlflow_status_t;
use crate::text::mlflow_text_t;
use crate::tracer::mlflow_tracer_t;

/// Takes the oldest message of the library about itself: a stable word, a colon and text for people. The word
/// "file" tells where traces are written. Every other one is about a problem: "unreachable", "rejected",
/// "refused_spans", "attachment", "queue_full", "file_error", "shutdown", "too_many_spans", "ended_parent",
/// "abandoned", "redaction_failed", "partial_success", "environment", "insecure_tls", "thread", "internal"; more may come.
///
/// Ownership: the caller owns `*message` and releases it with mlflow_text_free.
/// Threads: any thread, at any time; each message is given once. A forked child has its own ring.
/// Errors: INVALID_ARGUMENT when `tracer` or `message` is NULL; NOT_FOUND when there is none.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_tracer_next_diagnostic(
    tracer: *const mlflow_tracer_t,
    message: *mut *mut mlflow_text_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable, `tracer` is not freed and `message` is
    // writable; `borrow` and `output` refuse NULL.
    unsafe {
        guard(error, || {
            let tracer = handle::borrow(tracer, "tracer")?;
            let output = handle::output(message, "message")?;
            let line = tracer.tracer.next_diagnostic().ok_or(ErrorKind::NotFound)?;
            output.give(mlflow_text_t::new(format!(
                "{}: {}",
                line.reason, line.message
            )));
            Ok(())
        })
    }
}

/// Takes the oldest trace that the memory exporter (option "exporter" with the value "memory") keeps, as JSON:
/// {"info": {...}, "spans": [...]} with MLflow's own field names; "info" is null where another process began the
/// trace. Flush before, to be sure that it is there. Traces that nobody takes stay in memory.
///
/// Ownership: the caller owns `*json` and releases it with mlflow_text_free.
/// Threads: any thread, at any time; each trace is given once. A forked child has its own.
/// Errors: INVALID_ARGUMENT when `tracer` or `json` is NULL; NOT_FOUND when there is none.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_tracer_next_trace(
    tracer: *const mlflow_tracer_t,
    json: *mut *mut mlflow_text_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable, `tracer` is not freed and `json` is
    // writable; `borrow` and `output` refuse NULL.
    unsafe {
        guard(error, || {
            let tracer = handle::borrow(tracer, "tracer")?;
            let output = handle::output(json, "json")?;
            let trace = tracer
                .tracer
                .next_memory_trace()
                .ok_or(ErrorKind::NotFound)?;
            output.give(mlflow_text_t::new(trace));
            Ok(())
        })
    }
}
