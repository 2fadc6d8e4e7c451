//! What a call of a model leaves in its span: request and reply are written once, and their text is read by a dialect.
//! What its request carries, and what goes by in the stream that it gives.

use std::sync::atomic::Ordering;

use mlflow_trace_core::{ReplyFacts, Value, inject};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyBytes, PyDict, PyIterator, PyList, PyString};

use crate::context::{self, ContextScope};
use crate::span::LiveSpan;
use crate::text::contain;
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
                Some(dialect.request_facts(text))
            }
            _ => None,
        }
    };
    let facts = match inputs.cast::<PyBytes>() {
        Ok(bytes) => record(Value::Json(
            str::from_utf8(bytes.as_bytes()).unwrap_or_default(),
        )),
        Err(_) => json::with_content(inputs, Some(&live.keeper()), record)?,
    };
    let facts = match (dialect, described) {
        (Some(dialect), Some(described)) => {
            Some(dialect.request_facts(&json::text(described, false)?))
        }
        _ => facts,
    };
    if let Some(facts) = facts {
        set(live, MODEL, facts.model.as_deref().map(Value::Str));
        set(live, TOOLS, facts.tools.as_deref().map(Value::Json));
    }
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
        Ok(text) => {
            let facts = dialect.map(|dialect| dialect.reply_facts(text));
            record_facts(span.get(), text, facts.unwrap_or_default(), usage)
        }
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
    let (whole, facts) = dialect::with_chunks(
        chunks,
        |body| dialect.fold_body_facts(body),
        |chunks| dialect.fold_facts(chunks),
    )?;
    Ok(record_facts(span.get(), &whole, facts, usage))
}

/// The W3C headers by which a request belongs to a span.
#[pyfunction]
pub(crate) fn span_headers<'py>(span: &Bound<'py, LiveSpan>) -> PyResult<Bound<'py, PyDict>> {
    inject(&span.get().context).into_py_dict(span.py())
}

/// The iterator of a source that keeps an attribute of each item which goes by.
#[pyclass(frozen, module = "mlflow_trace._native")]
pub(crate) struct Tap {
    source: Py<PyIterator>,
    attribute: Py<PyString>,
    kept: Py<PyList>,
}

#[pymethods]
impl Tap {
    #[new]
    fn new(source: &Bound<'_, PyAny>, attribute: Py<PyString>, kept: Py<PyList>) -> PyResult<Self> {
        Ok(Tap {
            source: source.try_iter()?.unbind(),
            attribute,
            kept,
        })
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(item) = self.source.bind(py).clone().next().transpose()? else {
            return Ok(None);
        };
        let kept = item.getattr(&self.attribute);
        // The reader is to get its item, whatever it is.
        if let Err(error) = kept.and_then(|kept| self.kept.bind(py).append(kept)) {
            contain(py, error)?;
        }
        Ok(Some(item))
    }

    /// Closes the source, if it is a generator.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let close = self.source.bind(py).getattr_opt(intern!(py, "close"))?;
        close.map_or(Ok(()), |close| close.call0().map(drop))
    }
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

fn record_facts(span: &LiveSpan, reply: &str, facts: ReplyFacts, usage: bool) -> Option<String> {
    let _ = span.handle.set_outputs(Value::Json(reply));
    if usage {
        set(span, USAGE, facts.usage.as_deref().map(Value::Json));
    }
    set(span, MODEL, facts.model.as_deref().map(Value::Str));
    facts.error
}

fn set(span: &LiveSpan, key: &str, value: Option<Value<'_>>) {
    if let Some(value) = value {
        let _ = span.handle.set_attribute(key, value);
    }
}
