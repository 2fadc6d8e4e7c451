//! Errors of the engine as Python exceptions, and Python exceptions as span events.

use mlflow_trace_core::{Error, ErrorKind};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::text::{contain, placeholder, str_of, utf8};

/// The exception for an engine error: the class that `mlflow_trace.exceptions` has for its kind.
#[cold]
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    let made = py
        .import(intern!(py, "mlflow_trace.exceptions"))
        .and_then(|module| module.getattr(intern!(py, "from_kind")))
        .and_then(|make| make.call1((error.kind().code(), error.message())));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(_) => PyRuntimeError::new_err(error.message().to_owned()),
    }
}

/// An error about an argument of the caller.
#[cold]
pub(crate) fn invalid_argument(py: Python<'_>, message: impl Into<String>) -> PyErr {
    raise(py, &Error::new(ErrorKind::InvalidArgument, message))
}

/// Number and name of every error kind, in numeric order.
#[pyfunction]
pub(crate) fn error_kinds() -> Vec<(i32, &'static str)> {
    ErrorKind::ALL
        .iter()
        .map(|kind| (kind.code(), kind.name()))
        .collect()
}

/// What is recorded of an exception.
pub(crate) struct Description {
    pub(crate) class: String,
    pub(crate) message: String,
    pub(crate) stacktrace: String,
}

/// Describes an exception as MLflow does: bare class name, `str(error)`, formatted traceback.
pub(crate) fn describe(exception: &Bound<'_, PyAny>) -> PyResult<Description> {
    let class = exception.get_type().name();
    let class = class
        .as_ref()
        .map_or_else(|_| "Exception".into(), |name| utf8(name).into_owned());
    let message = str_of(exception)?;
    let stacktrace = match stacktrace(exception) {
        Ok(text) => text,
        Err(error) => contain(exception.py(), error).map(|()| placeholder(exception))?,
    };
    Ok(Description {
        class,
        message,
        stacktrace,
    })
}

fn stacktrace(exception: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = exception.py();
    let lines = py
        .import(intern!(py, "traceback"))?
        .call_method1(intern!(py, "format_exception"), (exception,))?;
    let text = PyString::new(py, "").call_method1(intern!(py, "join"), (lines,))?;
    Ok(str_of(&text)?.trim().to_owned())
}

/// Tells the host's logger about a call that was ignored because it was wrong.
#[cold]
pub(crate) fn warn(py: Python<'_>, message: &str) -> PyResult<()> {
    let warned = py
        .import(intern!(py, "mlflow_trace._logging"))
        .and_then(|module| module.call_method1(intern!(py, "warn"), (message,)));
    match warned {
        Ok(_) => Ok(()),
        Err(error) => contain(py, error),
    }
}
