//! The dialects of model providers, JSON text in and out.

use std::borrow::Cow;

use mlflow_trace_core::Dialect;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::error::raise;
use crate::text::utf8;

/// What a request says: `{"model"?, "tools"?}`.
#[pyfunction]
pub(crate) fn dialect_request(
    py: Python<'_>,
    dialect: &str,
    request: &Bound<'_, PyAny>,
) -> PyResult<String> {
    Ok(named(py, dialect)?.request(&text(request)))
}

/// What a reply says: `{"usage"?, "model"?, "error"?}`.
#[pyfunction]
pub(crate) fn dialect_reply(
    py: Python<'_>,
    dialect: &str,
    reply: &Bound<'_, PyAny>,
) -> PyResult<String> {
    Ok(named(py, dialect)?.reply(&text(reply)))
}

/// The reply that the events of a stream make, one by one or the whole body; `null` of events without any meaning.
#[pyfunction]
pub(crate) fn dialect_fold(
    py: Python<'_>,
    dialect: &str,
    chunks: &Bound<'_, PyAny>,
) -> PyResult<String> {
    let dialect = named(py, dialect)?;
    with_chunks(
        chunks,
        |body| dialect.fold_body(body),
        |chunks| dialect.fold(chunks),
    )
}

/// Hands on a stream that is the text of its body, or a list of the texts of its events.
pub(crate) fn with_chunks<R>(
    chunks: &Bound<'_, PyAny>,
    body: impl FnOnce(&str) -> R,
    events: impl FnOnce(&[&str]) -> R,
) -> PyResult<R> {
    if chunks.is_instance_of::<PyString>() || chunks.is_instance_of::<PyBytes>() {
        return Ok(body(&text(chunks)));
    }
    let chunks: Vec<Bound<'_, PyAny>> = chunks.extract()?;
    let chunks: Vec<_> = chunks.iter().map(text).collect();
    let chunks: Vec<&str> = chunks.iter().map(AsRef::as_ref).collect();
    Ok(events(&chunks))
}

pub(crate) fn named(py: Python<'_>, dialect: &str) -> PyResult<Dialect> {
    dialect.parse().map_err(|error| raise(py, &error))
}

/// JSON as str or bytes; anything else is no JSON, like any other text that is none.
fn text<'a>(json: &'a Bound<'_, PyAny>) -> Cow<'a, str> {
    if let Ok(text) = json.cast::<PyString>() {
        return utf8(text);
    }
    let bytes = json.cast::<PyBytes>();
    bytes.map_or_else(
        |_| "".into(),
        |bytes| String::from_utf8_lossy(bytes.as_bytes()),
    )
}
