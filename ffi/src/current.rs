//! Current span
//!
//! Each thread keeps a stack of the spans that were entered on it, for code that is not handed its parent. A span
//! becomes nobody's parent by itself: the caller says so.
//!
//!     mlflow_span_enter(request, NULL);
//!     ...
//!     mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT;
//!     options.parent = mlflow_span_get_current();
//!     mlflow_span_start(tracer, MLFLOW_STR("query"), &options, &query, NULL);
//!     ...
//!     mlflow_span_exit(request, NULL);
//!
//! A span may be entered on several threads, and several times on one. What ended without an exit is passed over.

use crate::entered::{self, NO_SPAN};
use crate::error::mlflow_error_t;
use crate::guard::{guard, guard_or};
use crate::span::mlflow_span_t;
use crate::status::mlflow_status_t;

/// Makes a span the current one of this thread until mlflow_span_exit.
///
/// Ownership: none; it does not keep the span from ending.
/// Threads: any thread, for that thread alone; also in a forked child, which has the stack of the thread that
/// forked, without its parent's spans.
/// Errors: INVALID_STATE when the span is not live, or its thread is about to end; CAPACITY when 65536 live spans are
/// entered on this thread.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_enter(
    span: mlflow_span_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable; a handle is safe whatever its number.
    unsafe { guard(error, || entered::enter(span.handle())) }
}

/// Takes a span off this thread's stack: the innermost of its entries, also when others were entered after it.
///
/// Ownership: none.
/// Threads: any thread, for that thread alone; also in a forked child.
/// Errors: INVALID_STATE when the span is not entered on this thread.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_exit(
    span: mlflow_span_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable; a handle is safe whatever its number.
    unsafe { guard(error, || entered::exit(span.handle())) }
}

/// Tells the innermost live span that was entered on this thread; {0}, no span, when there is none.
///
/// Ownership: none; the span is still its starter's to end.
/// Threads: any thread, at any time, also in a forked child.
/// Errors: none.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn mlflow_span_get_current() -> mlflow_span_t {
    guard_or(NO_SPAN, || {
        entered::current().map_or(NO_SPAN, |span| mlflow_span_t { id: span.to_raw() })
    })
}
