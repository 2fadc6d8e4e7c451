//! Attributes of events: scalars and lists of scalars as they are, other containers as JSON (which the
//! engine writes natively there), everything else as `str(value)`.

use mlflow_trace_core::Value;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::error::warn;
use crate::json;
use crate::text::{bytes_repr, str_of, text_of};

/// An attribute value that outlives the host object it was read from.
pub(crate) enum Owned {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Str(String),
    Json(String),
    Array(Vec<Owned>),
}

impl Owned {
    /// Reads the attributes of an event.
    pub(crate) fn of_dict(attributes: &Bound<'_, PyAny>) -> PyResult<Vec<(String, Owned)>> {
        if attributes.is_none() {
            return Ok(Vec::new());
        }
        let Ok(dict) = attributes.cast::<PyDict>() else {
            warn(
                attributes.py(),
                "attributes must be a dictionary; they are ignored",
            )?;
            return Ok(Vec::new());
        };
        let members = json::members(dict)?;
        let owned = members
            .iter()
            .map(|(key, value)| Ok((text_of(key)?.into_owned(), Owned::of(value)?)));
        owned.collect()
    }

    fn of(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(list) = value.cast::<PyList>() {
            return Owned::sequence(value, list.iter());
        }
        if let Ok(tuple) = value.cast::<PyTuple>() {
            return Owned::sequence(value, tuple.iter());
        }
        Owned::single(value)
    }

    /// A list of scalars as it is; one with containers inside as JSON.
    fn sequence<'py>(
        value: &Bound<'py, PyAny>,
        items: impl Iterator<Item = Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let items: Vec<_> = items.collect();
        match items.iter().any(is_container) {
            true => Owned::single(value),
            false => items
                .iter()
                .map(Owned::single)
                .collect::<PyResult<_>>()
                .map(Owned::Array),
        }
    }

    fn single(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        if !is_container(value) && !is_scalar(value) {
            // As OpenTelemetry does with event attributes, dataclasses included.
            return match value.is_instance_of::<PyBytes>() {
                true => bytes_repr(value),
                false => str_of(value),
            }
            .map(Owned::Str);
        }
        json::with_value(value, |value| match value {
            Value::Null | Value::Array(_) => Owned::Null,
            Value::Bool(flag) => Owned::Bool(flag),
            Value::Int(number) => Owned::Int(number),
            Value::Double(number) => Owned::Double(number),
            Value::Str(text) => Owned::Str(text.to_owned()),
            Value::Json(text) => Owned::Json(text.to_owned()),
        })
    }

    fn items(&self) -> Vec<Value<'_>> {
        match self {
            Owned::Array(items) => items.iter().map(|item| item.borrowed(&[])).collect(),
            _ => Vec::new(),
        }
    }

    fn borrowed<'a>(&'a self, items: &'a [Value<'a>]) -> Value<'a> {
        match self {
            Owned::Null => Value::Null,
            Owned::Bool(flag) => Value::Bool(*flag),
            Owned::Int(number) => Value::Int(*number),
            Owned::Double(number) => Value::Double(*number),
            Owned::Str(text) => Value::Str(text),
            Owned::Json(text) => Value::Json(text),
            Owned::Array(_) => Value::Array(items),
        }
    }
}

/// Hands the attributes to `record` in the form that the engine takes.
pub(crate) fn with_attributes<R>(
    attributes: &[(String, Owned)],
    record: impl FnOnce(&[(&str, Value<'_>)]) -> R,
) -> R {
    let items: Vec<_> = attributes.iter().map(|(_, value)| value.items()).collect();
    let borrowed: Vec<_> = attributes
        .iter()
        .zip(&items)
        .map(|((key, value), items)| (key.as_str(), value.borrowed(items)))
        .collect();
    record(&borrowed)
}

fn is_container(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyDict>()
        || value.is_instance_of::<PyList>()
        || value.is_instance_of::<PyTuple>()
}

fn is_scalar(value: &Bound<'_, PyAny>) -> bool {
    value.is_none()
        || value.is_instance_of::<PyString>()
        || value.is_instance_of::<PyInt>()
        || value.is_instance_of::<PyFloat>()
}
