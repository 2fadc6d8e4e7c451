//! The one boundary that no panic crosses.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mlflow_trace_core::{Error, ErrorKind};

use crate::counters;
use crate::error::mlflow_error_t;
use crate::status::{MLFLOW_OK, mlflow_status_t};

/// Why a call failed. Only [`Failure::Error`] allocates before somebody asks for the text.
pub(crate) enum Failure {
    /// A recording call of core refused.
    Kind(ErrorKind),
    /// What is wrong with which argument.
    Argument(&'static str, &'static str),
    /// A core error with its own text.
    Error(Error),
    /// A panic, with its message where it had one.
    Panic(String),
}

impl Failure {
    fn kind(&self) -> ErrorKind {
        match self {
            Failure::Kind(kind) => *kind,
            Failure::Argument(..) => ErrorKind::InvalidArgument,
            Failure::Error(error) => error.kind(),
            Failure::Panic(_) => ErrorKind::Panic,
        }
    }

    #[cold]
    fn into_error(self) -> Error {
        match self {
            Failure::Kind(kind) => Error::new(kind, summary(kind)),
            Failure::Argument(name, problem) => {
                Error::new(ErrorKind::InvalidArgument, format!("{name} {problem}"))
            }
            Failure::Error(error) => error,
            Failure::Panic(message) => Error::new(ErrorKind::Panic, message),
        }
    }
}

impl From<ErrorKind> for Failure {
    fn from(kind: ErrorKind) -> Self {
        Failure::Kind(kind)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Error(error)
    }
}

/// The text of a kind that came without one.
fn summary(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidArgument => "an argument is not valid",
        ErrorKind::InvalidConfig => "an option is not valid",
        ErrorKind::InvalidState => "the handle is not a live span",
        ErrorKind::Capacity => "a bound was reached and the item was dropped",
        ErrorKind::Timeout => "not every span that has ended was delivered",
        ErrorKind::Transport => "the server could not be reached",
        ErrorKind::Rejected => "the server refused",
        ErrorKind::BufferTooSmall => "the buffer is too small; the length of the text was written",
        ErrorKind::Unsupported => "not supported here",
        ErrorKind::Internal => "a fault inside the library",
        ErrorKind::Panic => "a panic inside the library",
        ErrorKind::NotFound => "nothing by that name",
        ErrorKind::Deleted => "the experiment is deleted",
        ErrorKind::InvalidFilter => "the filter is not understood",
        ErrorKind::Unauthorized => "the server does not accept the credentials",
        ErrorKind::BadReply => "the reply is not that of an MLflow server",
        ErrorKind::Damaged => "stored data cannot be read",
    }
}

/// Runs the body of a fallible function and turns every outcome into a status.
///
/// `error` may be null; otherwise it receives an owned error, or null on success.
///
/// # Safety
/// `error` is null or points to memory for one pointer.
#[inline]
pub(crate) unsafe fn guard(
    error: *mut *mut mlflow_error_t,
    body: impl FnOnce() -> Result<(), Failure>,
) -> mlflow_status_t {
    let error = if error.is_aligned() {
        error
    } else {
        std::ptr::null_mut()
    };
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => {
            if !error.is_null() {
                // SAFETY: not null and aligned here; room for a pointer is the caller's promise.
                unsafe { error.write(std::ptr::null_mut()) };
            }
            MLFLOW_OK
        }
        // SAFETY: null or aligned here; room for a pointer is the caller's promise.
        outcome => unsafe { fail(error, outcome) },
    }
}

/// Takes the outcome as it is, so that success costs one look at it.
///
/// # Safety
/// `error` is null, or aligned and points to memory for one pointer.
#[cold]
unsafe fn fail(
    error: *mut *mut mlflow_error_t,
    outcome: std::thread::Result<Result<(), Failure>>,
) -> mlflow_status_t {
    let failure = match outcome {
        Ok(Ok(())) => return MLFLOW_OK,
        Ok(Err(failure)) => failure,
        Err(payload) => caught(payload),
    };
    let status = failure.kind().into();
    if !error.is_null() {
        // SAFETY: not null; aligned, with room for a pointer, as the caller promises.
        unsafe { error.write(mlflow_error_t::boxed(failure.into_error())) };
    }
    status
}

/// Runs the body of a function that cannot fail; a panic becomes `fallback`.
pub(crate) fn guard_or<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        caught(payload);
        fallback
    })
}

#[cold]
fn caught(payload: Box<dyn Any + Send>) -> Failure {
    counters::PANICS.add();
    let payload = match payload.downcast::<&'static str>() {
        Ok(text) => return Failure::Panic((*text).to_owned()),
        Err(payload) => payload,
    };
    match payload.downcast::<String>() {
        Ok(text) => Failure::Panic(*text),
        Err(payload) => {
            // A destructor of its own might panic again and unwind into C.
            std::mem::forget(payload);
            Failure::Panic(summary(ErrorKind::Panic).to_owned())
        }
    }
}
