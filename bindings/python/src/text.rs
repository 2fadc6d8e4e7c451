//! Python text as UTF-8, whatever the host put into it.

use std::borrow::Cow;

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PySlice, PyString};

/// Bytes of a bytes object that are looked at.
const MAX_BYTES: usize = 16 << 20;

/// The characters of a Python string; lone surrogates, which UTF-8 cannot hold, become `?`.
pub(crate) fn utf8<'a>(text: &'a Bound<'_, PyString>) -> Cow<'a, str> {
    match text.to_str() {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(without_surrogates(text)),
    }
}

#[cold]
fn without_surrogates(text: &Bound<'_, PyString>) -> String {
    let py = text.py();
    // Through the type, because a subclass of str may bring an `encode` of its own.
    py.get_type::<PyString>()
        .call_method1(intern!(py, "encode"), (text, "utf-8", "replace"))
        .ok()
        .and_then(|bytes| bytes.cast_into::<PyBytes>().ok())
        .map(|bytes| String::from_utf8_lossy(bytes.as_bytes()).into_owned())
        .unwrap_or_default()
}

/// `str(value)`, or a placeholder when that fails.
pub(crate) fn str_of(value: &Bound<'_, PyAny>) -> PyResult<String> {
    settle(value, value.str())
}

/// `repr(value)`, or a placeholder when that fails.
pub(crate) fn repr_of(value: &Bound<'_, PyAny>) -> PyResult<String> {
    settle(value, value.repr())
}

/// `repr(value)` of bytes: what `str(value)` is, which `python -bb` forbids. Of very long ones the
/// beginning, with a note of how long they are: the text takes four times as much room.
pub(crate) fn bytes_repr(value: &Bound<'_, PyAny>) -> PyResult<String> {
    match beginning(value) {
        Ok(None) => {
            // Through the type, because that of numpy shows its own name as well.
            let class = match value.is_instance_of::<PyBytes>() {
                true => value.py().get_type::<PyBytes>(),
                false => value.get_type(),
            };
            let text = class.call_method1(intern!(value.py(), "__repr__"), (value,));
            settle(
                value,
                text.and_then(|text| Ok(text.cast_into::<PyString>()?)),
            )
        }
        Ok(Some((beginning, length))) => {
            let mut text = repr_of(&beginning)?;
            text.push_str(&format!("... [truncated, {length} bytes]"));
            Ok(text)
        }
        // A subclass with a length or items of its own.
        Err(error) => contain(value.py(), error).map(|()| placeholder(value)),
    }
}

/// What of bytes is looked at, and their length; `None` for all of them.
fn beginning<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<(Bound<'py, PyAny>, usize)>> {
    let length = value.len()?;
    if length <= MAX_BYTES {
        return Ok(None);
    }
    let beginning = PySlice::new(value.py(), 0, MAX_BYTES as isize, 1);
    Ok(Some((value.get_item(beginning)?, length)))
}

/// The text of a string, `str(value)` of anything else.
pub(crate) fn text_of<'a>(value: &'a Bound<'_, PyAny>) -> PyResult<Cow<'a, str>> {
    match value.cast::<PyString>() {
        Ok(text) => Ok(utf8(text)),
        Err(_) => str_of(value).map(Cow::Owned),
    }
}

fn settle(value: &Bound<'_, PyAny>, text: PyResult<Bound<'_, PyString>>) -> PyResult<String> {
    match text {
        Ok(text) => Ok(utf8(&text).into_owned()),
        Err(error) => contain(value.py(), error).map(|()| placeholder(value)),
    }
}

/// Swallows what host code raised while it was asked for a value, except the user's interrupt.
pub(crate) fn contain(py: Python<'_>, error: PyErr) -> PyResult<()> {
    match error.is_instance_of::<PyKeyboardInterrupt>(py) {
        true => Err(error),
        false => Ok(()),
    }
}

/// What stands for a value that cannot be written.
pub(crate) fn placeholder(value: &Bound<'_, PyAny>) -> String {
    let name = value.get_type().name();
    let name = name.as_ref().map_or(Cow::Borrowed("object"), utf8);
    format!("<unserializable {name}>")
}
