//! What a call of a model leaves in its span: request and reply are written once, and their text is read by a dialect.

use std::sync::atomic::Ordering;

use mlflow_trace_core::{Dialect, Value};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::context::{self, ContextScope};
use crate::span::LiveSpan;
use crate::{dialect, json};

const MODEL: &str = "mlflow.llm.model";
const TOOLS: &str = "mlflow.chat.tools";
const USAGE: &str = "mlflow.chat.tokenUsage";

/// Takes down the request: `inputs` as they are, model and tools as the dialect finds them in `described`, which is
/// `inputs` unless it is given; bytes are JSON text. From now on, requests inside the span belong to it.
#[pyfunction]
#[pyo3(signature = (span, dialect, inputs, described = None))]
pub(crate) fn record_request(
    span: &Bound<'_, LiveSpan>,
    dialect: Option<&str>,
    inputs: &Bound<'_, PyAny>,
    described: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let dialect = dialect
        .map(|name| dialect::named(span.py(), name))
        .transpose()?;
    let live = span.get();
    live.covers.store(true, Ordering::Relaxed);
    let record = |value: Value<'_>| {
        let _ = live.handle.set_inputs(value);
        match (dialect, value) {
            (Some(dialect), Value::Json(text)) if described.is_none() => {
                Some(dialect.request(text))
            }
            _ => None,
        }
    };
    let told = match inputs.cast::<PyBytes>() {
        Ok(bytes) => record(Value::Json(
            str::from_utf8(bytes.as_bytes()).unwrap_or_default(),
        )),
        Err(_) => json::with_content(inputs, Some(&live.keeper()), record)?,
    };
    let told = match (dialect, described) {
        (Some(dialect), Some(described)) => Some(dialect.request(&json::text(described, false)?)),
        _ => told,
    };
    let told = Told::of(told);
    told.record(live, MODEL, "model");
    told.record(live, TOOLS, "tools");
    Ok(())
}

/// Takes down the reply, JSON text, and returns the text of an error that it tells about.
///
/// The model is that of the reply where MLflow prefers it; `usage` false leaves out the tokens, which spans below have.
#[pyfunction]
pub(crate) fn record_reply(
    span: &Bound<'_, LiveSpan>,
    dialect: Option<&str>,
    reply: &Bound<'_, PyBytes>,
    usage: bool,
) -> PyResult<Option<String>> {
    let dialect = dialect
        .map(|name| dialect::named(span.py(), name))
        .transpose()?;
    Ok(match str::from_utf8(reply.as_bytes()) {
        Ok(text) => record_text(span.get(), dialect, text, usage),
        Err(_) => None,
    })
}

/// As [`record_reply`], of a stream, its events or its body: what the same call would have got without streaming.
#[pyfunction]
pub(crate) fn record_stream(
    span: &Bound<'_, LiveSpan>,
    dialect: &str,
    chunks: &Bound<'_, PyAny>,
    usage: bool,
) -> PyResult<Option<String>> {
    let dialect = dialect::named(span.py(), dialect)?;
    let whole = dialect::fold(dialect, chunks)?;
    Ok(record_text(span.get(), Some(dialect), &whole, usage))
}

/// Whether requests that are sent now belong to the current span, as it stands for a call of a model.
#[pyfunction]
pub(crate) fn is_covered(py: Python<'_>) -> bool {
    context::get_current_active_span(py)
        .is_some_and(|span| span.get().covers.load(Ordering::Relaxed))
}

/// The scope in which a span is the current one.
#[pyfunction]
pub(crate) fn span_scope(span: Bound<'_, LiveSpan>) -> ContextScope {
    context::activation(span)
}

fn record_text(
    span: &LiveSpan,
    dialect: Option<Dialect>,
    text: &str,
    usage: bool,
) -> Option<String> {
    let _ = span.handle.set_outputs(Value::Json(text));
    let told = Told::of(dialect.map(|dialect| dialect.reply(text)));
    if usage {
        told.record(span, USAGE, "usage");
    }
    told.record(span, MODEL, "model");
    Some(told.0.get("error")?.as_str()?.to_owned())
}

/// What a dialect tells.
struct Told(serde_json::Value);

impl Told {
    fn of(text: Option<String>) -> Self {
        let value = text.and_then(|text| serde_json::from_str(&text).ok());
        Told(value.unwrap_or_default())
    }

    fn record(&self, span: &LiveSpan, key: &str, member: &str) {
        let _ = match self.0.get(member) {
            Some(serde_json::Value::String(text)) => {
                span.handle.set_attribute(key, Value::Str(text))
            }
            Some(value) => span
                .handle
                .set_attribute(key, Value::Json(&value.to_string())),
            None => return,
        };
    }
}
