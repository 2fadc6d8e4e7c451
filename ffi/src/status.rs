//! Status
//!
//! Every function that can fail returns an mlflow_status_t: MLFLOW_OK, or one of the numbers below. The
//! numbers never change meaning, and later versions may add some: treat an unknown one as a failure.

use std::ffi::c_char;

use mlflow_trace_core::ErrorKind;

use crate::guard::guard_or;

/// The outcome of a call.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct mlflow_status_t(pub i32);

/// The call did what it says.
pub const MLFLOW_OK: mlflow_status_t = mlflow_status_t(0);
/// A NULL or misaligned pointer, a bad length or key, or another argument that the call cannot use.
pub const MLFLOW_ERROR_INVALID_ARGUMENT: mlflow_status_t = mlflow_status_t(1);
/// An unknown option, or a value outside its range.
pub const MLFLOW_ERROR_INVALID_CONFIG: mlflow_status_t = mlflow_status_t(2);
/// The handle is no live span: it has ended, is {0}, was never issued, or is that of a parent process.
pub const MLFLOW_ERROR_INVALID_STATE: mlflow_status_t = mlflow_status_t(3);
/// A bound was reached and the item was dropped (and counted).
pub const MLFLOW_ERROR_CAPACITY: mlflow_status_t = mlflow_status_t(4);
/// A flush or shutdown left spans undelivered.
pub const MLFLOW_ERROR_TIMEOUT: mlflow_status_t = mlflow_status_t(5);
/// The server could not be reached; trying again may help.
pub const MLFLOW_ERROR_TRANSPORT: mlflow_status_t = mlflow_status_t(6);
/// The server refused for good.
pub const MLFLOW_ERROR_REJECTED: mlflow_status_t = mlflow_status_t(7);
/// The caller's buffer is too small; `*length` tells the length of the text.
pub const MLFLOW_ERROR_BUFFER_TOO_SMALL: mlflow_status_t = mlflow_status_t(8);
/// Not available with this configuration, server or platform.
pub const MLFLOW_ERROR_UNSUPPORTED: mlflow_status_t = mlflow_status_t(9);
/// A fault of this library, contained.
pub const MLFLOW_ERROR_INTERNAL: mlflow_status_t = mlflow_status_t(10);
/// A panic of this library, caught.
pub const MLFLOW_ERROR_PANIC: mlflow_status_t = mlflow_status_t(11);
/// What was asked for does not exist, or nothing is left of it.
pub const MLFLOW_ERROR_NOT_FOUND: mlflow_status_t = mlflow_status_t(12);
/// The experiment is deleted: restore it or choose another.
pub const MLFLOW_ERROR_DELETED: mlflow_status_t = mlflow_status_t(13);
/// A filter or an order of a search that is not understood; the message is the server's.
pub const MLFLOW_ERROR_INVALID_FILTER: mlflow_status_t = mlflow_status_t(14);
/// The server does not accept the credentials; they may have expired.
pub const MLFLOW_ERROR_UNAUTHORIZED: mlflow_status_t = mlflow_status_t(15);
/// What answered is no MLflow server, or one that is broken.
pub const MLFLOW_ERROR_BAD_REPLY: mlflow_status_t = mlflow_status_t(16);
/// Stored data cannot be read, for instance a file that was written by half.
pub const MLFLOW_ERROR_DAMAGED: mlflow_status_t = mlflow_status_t(17);

impl From<ErrorKind> for mlflow_status_t {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidArgument => MLFLOW_ERROR_INVALID_ARGUMENT,
            ErrorKind::InvalidConfig => MLFLOW_ERROR_INVALID_CONFIG,
            ErrorKind::InvalidState => MLFLOW_ERROR_INVALID_STATE,
            ErrorKind::Capacity => MLFLOW_ERROR_CAPACITY,
            ErrorKind::Timeout => MLFLOW_ERROR_TIMEOUT,
            ErrorKind::Transport => MLFLOW_ERROR_TRANSPORT,
            ErrorKind::Rejected => MLFLOW_ERROR_REJECTED,
            ErrorKind::BufferTooSmall => MLFLOW_ERROR_BUFFER_TOO_SMALL,
            ErrorKind::Unsupported => MLFLOW_ERROR_UNSUPPORTED,
            ErrorKind::Internal => MLFLOW_ERROR_INTERNAL,
            ErrorKind::Panic => MLFLOW_ERROR_PANIC,
            ErrorKind::NotFound => MLFLOW_ERROR_NOT_FOUND,
            ErrorKind::Deleted => MLFLOW_ERROR_DELETED,
            ErrorKind::InvalidFilter => MLFLOW_ERROR_INVALID_FILTER,
            ErrorKind::Unauthorized => MLFLOW_ERROR_UNAUTHORIZED,
            ErrorKind::BadReply => MLFLOW_ERROR_BAD_REPLY,
            ErrorKind::Damaged => MLFLOW_ERROR_DAMAGED,
        }
    }
}

/// Names a status, for instance "INVALID_ARGUMENT"; "OK" for MLFLOW_OK, "UNKNOWN" for any other number.
///
/// Ownership: static text; never free it.
/// Threads: any thread, at any time, also in a forked child.
/// Errors: none.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn mlflow_status_name(status: mlflow_status_t) -> *const c_char {
    guard_or(c"UNKNOWN".as_ptr(), || {
        match status {
            MLFLOW_OK => c"OK",
            MLFLOW_ERROR_INVALID_ARGUMENT => c"INVALID_ARGUMENT",
            MLFLOW_ERROR_INVALID_CONFIG => c"INVALID_CONFIG",
            MLFLOW_ERROR_INVALID_STATE => c"INVALID_STATE",
            MLFLOW_ERROR_CAPACITY => c"CAPACITY",
            MLFLOW_ERROR_TIMEOUT => c"TIMEOUT",
            MLFLOW_ERROR_TRANSPORT => c"TRANSPORT",
            MLFLOW_ERROR_REJECTED => c"REJECTED",
            MLFLOW_ERROR_BUFFER_TOO_SMALL => c"BUFFER_TOO_SMALL",
            MLFLOW_ERROR_UNSUPPORTED => c"UNSUPPORTED",
            MLFLOW_ERROR_INTERNAL => c"INTERNAL",
            MLFLOW_ERROR_PANIC => c"PANIC",
            MLFLOW_ERROR_NOT_FOUND => c"NOT_FOUND",
            MLFLOW_ERROR_DELETED => c"DELETED",
            MLFLOW_ERROR_INVALID_FILTER => c"INVALID_FILTER",
            MLFLOW_ERROR_UNAUTHORIZED => c"UNAUTHORIZED",
            MLFLOW_ERROR_BAD_REPLY => c"BAD_REPLY",
            MLFLOW_ERROR_DAMAGED => c"DAMAGED",
            _ => c"UNKNOWN",
        }
        .as_ptr()
    })
}
