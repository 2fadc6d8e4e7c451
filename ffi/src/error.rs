//! Errors
//!
//! The last parameter of a function that can fail is `mlflow_error_t **error`. Pass NULL to have the status
//! alone, which costs nothing. Otherwise `*error` is overwritten, whatever it held: with NULL on success, and on
//! failure with an object that the caller releases with mlflow_error_free. Other outputs are written only on
//! success, unless a function says otherwise.

use std::ffi::c_char;

use mlflow_trace_core::Error;

use crate::guard::guard_or;
use crate::handle;
use crate::status::{MLFLOW_OK, mlflow_status_t};
use crate::text::mlflow_text_t;

/// What went wrong, for programs and for people.
pub struct mlflow_error_t {
    status: mlflow_status_t,
    message: mlflow_text_t,
    retryable: bool,
}

impl mlflow_error_t {
    #[cold]
    pub(crate) fn boxed(error: Error) -> *mut Self {
        Box::into_raw(Box::new(mlflow_error_t {
            status: error.kind().into(),
            message: mlflow_text_t::new(error.message().to_owned()),
            retryable: error.retryable(),
        }))
    }
}

/// Tells the status that came with the error; MLFLOW_OK for NULL.
///
/// Ownership: none.
/// Threads: any thread, at any time, also in a forked child.
/// Errors: none.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_error_get_code(error: *const mlflow_error_t) -> mlflow_status_t {
    guard_or(MLFLOW_OK, || {
        // SAFETY: by the header's contract `error` is not freed; `borrow` refuses NULL.
        unsafe { handle::borrow(error, "error") }.map_or(MLFLOW_OK, |error| error.status)
    })
}

/// Lends the message, NUL-terminated, for instance "unknown option 'colour'"; "" for NULL.
///
/// Ownership: borrowed; valid until mlflow_error_free.
/// Threads: any thread, at any time, also in a forked child.
/// Errors: none.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_error_get_message(error: *const mlflow_error_t) -> *const c_char {
    guard_or(c"".as_ptr(), || {
        // SAFETY: by the header's contract `error` is not freed; `borrow` refuses NULL. The message lives as
        // long as the error.
        unsafe { handle::borrow(error, "error") }
            .map_or(c"".as_ptr(), |error| error.message.start())
    })
}

/// Tells whether the same call may succeed later without any change: 1 or 0; 0 for NULL.
///
/// Ownership: none.
/// Threads: any thread, at any time, also in a forked child.
/// Errors: none.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_error_get_retryable(error: *const mlflow_error_t) -> i32 {
    guard_or(0, || {
        // SAFETY: by the header's contract `error` is not freed; `borrow` refuses NULL.
        unsafe { handle::borrow(error, "error") }.map_or(0, |error| i32::from(error.retryable))
    })
}

/// Releases an error.
///
/// Ownership: takes `error`; NULL is a no-op.
/// Threads: any thread, once, after every other use; also in a forked child.
/// Errors: none.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_error_free(error: *mut mlflow_error_t) {
    // SAFETY: by the header's contract `error` is NULL or ours and not freed yet, and this is its last use.
    guard_or((), || unsafe { handle::free(error) })
}
