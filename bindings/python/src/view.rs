//! Reading a span back, and reading the values that describe one.

use mlflow_trace_core::{SpanId, StatusCode, TraceId, json};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString};
use serde_json::Value;

use crate::attribute::Owned;
use crate::text::{contain, text_of, utf8};

/// Reserved span attributes (MLflow 3.17.2) that have a property of their own.
pub(crate) const SPAN_TYPE: &str = "mlflow.spanType";
pub(crate) const INPUTS: &str = "mlflow.spanInputs";
pub(crate) const OUTPUTS: &str = "mlflow.spanOutputs";
pub(crate) const DESCRIPTION: &str = "mlflow.spanDescription";
pub(crate) const LOG_LEVEL: &str = "mlflow.spanLogLevel";
pub(crate) const MODEL: &str = "mlflow.llm.model";
pub(crate) const COST: &str = "mlflow.llm.cost";

/// Members of MLflow's span JSON that Python makes objects of.
pub(crate) mod member {
    pub(crate) const EVENTS: &str = "events";
    pub(crate) const LINKS: &str = "links";
    pub(crate) const STATUS: &str = "status";
    pub(crate) const LOG_LEVEL: &str = "log_level";
}

fn loads<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import(intern!(py, "json"))?
        .call_method1(intern!(py, "loads"), (text,))
}

/// A member of the span JSON, or all of it, as Python objects.
pub(crate) fn object<'py>(py: Python<'py>, value: Option<&Value>) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Some(value) => loads(py, &json::to_text(value)),
        None => Ok(py.None().into_bound(py)),
    }
}

/// The value of an attribute, or None.
pub(crate) fn attribute<'py>(
    py: Python<'py>,
    span: Option<&Value>,
    key: &str,
) -> PyResult<Bound<'py, PyAny>> {
    match span.and_then(|span| span.get("attributes")?.get(key)?.as_str()) {
        Some(text) => loads(py, text),
        None => Ok(py.None().into_bound(py)),
    }
}

/// All attributes, decoded.
pub(crate) fn attributes<'py>(
    py: Python<'py>,
    span: Option<&Value>,
) -> PyResult<Bound<'py, PyAny>> {
    let texts = span.and_then(|span| span.get("attributes")?.as_object());
    let members = texts.into_iter().flatten().filter_map(|(key, text)| {
        let value = serde_json::from_str(text.as_str()?).ok()?;
        Some((key.clone(), value))
    });
    object(py, Some(&Value::Object(members.collect())))
}

/// A value that `mlflow_trace._view.<name>` makes of a part of the span JSON.
pub(crate) fn entity<'py>(
    py: Python<'py>,
    name: &str,
    part: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    py.import(intern!(py, "mlflow_trace._view"))?
        .getattr(name)?
        .call1((part,))
}

/// Reads a `SpanStatus`, a `SpanStatusCode` or its name; `None` for anything else.
pub(crate) fn status(status: &Bound<'_, PyAny>) -> PyResult<Option<(StatusCode, String)>> {
    let py = status.py();
    if let Ok(name) = status.cast::<PyString>() {
        return Ok(status_code(&utf8(name)).map(|code| (code, String::new())));
    }
    let parts = || -> PyResult<_> {
        let code = status.getattr(intern!(py, "status_code"))?;
        Ok((code, status.getattr(intern!(py, "description"))?))
    };
    match parts() {
        Ok((code, description)) => {
            let description = match description.is_none() {
                true => String::new(),
                false => text_of(&description)?.into_owned(),
            };
            Ok(status_code(&text_of(&code)?).map(|code| (code, description)))
        }
        Err(error) => contain(py, error).map(|()| None),
    }
}

fn status_code(name: &str) -> Option<StatusCode> {
    match name {
        "UNSET" => Some(StatusCode::Unset),
        "OK" => Some(StatusCode::Ok),
        "ERROR" => Some(StatusCode::Error),
        _ => None,
    }
}

/// Reads a `SpanLogLevel` or its name; `None` for anything else.
pub(crate) fn log_level(level: &Bound<'_, PyAny>) -> PyResult<Option<i64>> {
    let number = match level.cast::<PyString>() {
        Ok(name) => match utf8(name).trim().to_ascii_uppercase().as_str() {
            "DEBUG" => 10,
            "INFO" => 20,
            "WARNING" => 30,
            "ERROR" => 40,
            "CRITICAL" => 50,
            _ => return Ok(None),
        },
        Err(_) if level.is_instance_of::<PyInt>() => match level.extract::<i64>() {
            Ok(number) => number,
            Err(error) => return contain(level.py(), error).map(|()| None),
        },
        Err(_) => return Ok(None),
    };
    Ok(matches!(number, 10 | 20 | 30 | 40 | 50).then_some(number))
}

/// The parts of a link: whose span it names, and its attributes.
pub(crate) type LinkParts = (TraceId, SpanId, Vec<(String, Owned)>);

/// Reads a `Link`; `None` for anything else and for ids that are malformed.
pub(crate) fn link(link: &Bound<'_, PyAny>) -> PyResult<Option<LinkParts>> {
    let py = link.py();
    let parts = || -> PyResult<_> {
        let trace_id = link.getattr(intern!(py, "trace_id"))?;
        let span_id = link.getattr(intern!(py, "span_id"))?;
        Ok((trace_id, span_id, link.getattr(intern!(py, "attributes"))?))
    };
    match parts() {
        Ok((trace_id, span_id, attributes)) => {
            let ids = TraceId::from_mlflow(&text_of(&trace_id)?)
                .zip(SpanId::from_hex(&text_of(&span_id)?));
            let attributes = Owned::of_dict(&attributes)?;
            Ok(ids.map(|(trace_id, span_id)| (trace_id, span_id, attributes)))
        }
        Err(error) => contain(py, error).map(|()| None),
    }
}
