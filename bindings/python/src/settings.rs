//! What a scope gives to the traces that start inside it, and how dictionaries of text are read.

use mlflow_trace_core::TraceUpdate;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::error::warn;
use crate::text::text_of;

/// Metadata of a trace that names the MLflow run it belongs to.
pub(crate) const SOURCE_RUN: &str = "mlflow.sourceRun";

/// Tags that only a server sets; MLflow's SDK drops them from a new trace.
const SERVER_TAGS: [&str; 5] = [
    "mlflow.user",
    "mlflow.artifactLocation",
    "mlflow.trace.spansLocation",
    "mlflow.trace.archiveLocation",
    "mlflow.trace.archivalFailure",
];

/// One `tracing.context(...)` scope, outer scopes merged in.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    /// Whether spans are recorded inside; `None` leaves it to the process.
    pub(crate) enabled: Option<bool>,
    /// Applied to every trace that starts inside.
    pub(crate) update: TraceUpdate,
}

impl Settings {
    /// These settings inside a scope that has `inner` ones, which win key by key.
    pub(crate) fn with(mut self, inner: &Settings) -> Self {
        merge(&mut self.update.metadata, inner.update.metadata.clone());
        merge(&mut self.update.tags, inner.update.tags.clone());
        if inner.update.session_id.is_some() {
            self.update.session_id.clone_from(&inner.update.session_id);
        }
        if inner.update.user.is_some() {
            self.update.user.clone_from(&inner.update.user);
        }
        self.enabled = inner.enabled.or(self.enabled);
        self
    }
}

/// A `dict[str, str]` argument. Values that are no strings are written as `str(value)`, with a warning.
pub(crate) fn pairs(
    field: &str,
    dict: Option<&Bound<'_, PyAny>>,
) -> PyResult<Vec<(String, String)>> {
    let Some(given) = dict else {
        return Ok(Vec::new());
    };
    let Ok(dict) = given.cast::<PyDict>() else {
        warn(
            given.py(),
            &format!("`{field}` must be a dictionary; it is ignored"),
        )?;
        return Ok(Vec::new());
    };
    let mut pairs = Vec::with_capacity(dict.len());
    for (key, value) in dict.copy()?.iter() {
        let key = text_of(&key)?.into_owned();
        if !value.is_instance_of::<PyString>() {
            let text =
                format!("the value of `{key}` in `{field}` is no string; str(value) is used");
            warn(given.py(), &text)?;
        }
        pairs.push((key, text_of(&value)?.into_owned()));
    }
    Ok(pairs)
}

/// As [`pairs`], without the tags that only a server sets.
pub(crate) fn tags(dict: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<(String, String)>> {
    let mut tags = pairs("tags", dict)?;
    tags.retain(|(key, _)| !SERVER_TAGS.contains(&key.as_str()));
    Ok(tags)
}

/// Adds `newer` to `pairs`; a key that is there already takes the newer value.
pub(crate) fn merge(pairs: &mut Vec<(String, String)>, newer: Vec<(String, String)>) {
    for (key, value) in newer {
        match pairs.iter_mut().find(|(known, _)| *known == key) {
            Some(entry) => entry.1 = value,
            None => pairs.push((key, value)),
        }
    }
}

/// An optional argument as text; anything that is no string is written as `str(value)`.
pub(crate) fn optional_text(value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<String>> {
    value
        .map(|value| text_of(value).map(|text| text.into_owned()))
        .transpose()
}
