//! Values of options as the engine's text; several names, paths or patterns may come as a list.

use mlflow_trace_core::config::{Accepts, OPTIONS};
use mlflow_trace_core::{Error, ErrorKind};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFrozenSet, PyList, PySet, PyString, PyTuple};

use crate::error::raise;
use crate::text::{contain, text_of, utf8};

/// The text of a value.
pub(crate) fn text(name: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    let option = OPTIONS
        .iter()
        .find(|option| option.key == name || option.key.replace('.', "_") == name);
    match option.map(|option| (option.key, option.accepts)) {
        Some((key, accepts @ (Accepts::Keys | Accepts::Paths | Accepts::Patterns))) => {
            several(key, accepts, value)
        }
        Some((key, _)) if is_list(value) => Err(refuse(value, key, "takes one value, not several")),
        // The engine says that there is no such option.
        _ => Ok(text_of(value)?.into_owned()),
    }
}

fn several(key: &str, accepts: Accepts, value: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(utf8(text).into_owned());
    }
    let items = items(key, value)?;
    match accepts {
        Accepts::Patterns if items.is_empty() => Ok(String::new()),
        Accepts::Patterns => Ok(serde_json::Value::from(items).to_string()),
        Accepts::Keys if items.iter().any(|item| item.contains(',')) => Err(refuse(
            value,
            key,
            "a name cannot contain a comma; * may stand for it",
        )),
        _ => Ok(items.join(",")),
    }
}

/// The texts in a list. No message repeats them: they may be what nobody should see.
fn items(key: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let problem = || refuse(value, key, "expected a text or a list of texts");
    if value.is_instance_of::<PyDict>() || value.is_instance_of::<PyBytes>() {
        return Err(problem());
    }
    let items = || -> PyResult<Vec<Bound<'_, PyAny>>> { value.try_iter()?.collect() };
    let items = match items() {
        Ok(items) => items,
        Err(error) => {
            contain(value.py(), error)?;
            return Err(problem());
        }
    };
    let texts = items.iter().map(|item| match item.cast::<PyString>() {
        Ok(text) => Ok(utf8(text).into_owned()),
        Err(_) => Err(problem()),
    });
    texts.collect()
}

fn is_list(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyList>()
        || value.is_instance_of::<PyTuple>()
        || value.is_instance_of::<PySet>()
        || value.is_instance_of::<PyFrozenSet>()
}

#[cold]
fn refuse(value: &Bound<'_, PyAny>, key: &str, problem: &str) -> PyErr {
    let message = format!("option '{key}': {problem}");
    raise(value.py(), &Error::new(ErrorKind::InvalidConfig, message))
}
