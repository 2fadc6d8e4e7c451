//! The process-wide tracer: made from the environment on first use, replaced by configuration.

use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mlflow_trace_core::{Config, Process, Tracer};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{IntoPyDict, PyDict};
use serde_json::Value;

use crate::error::{invalid_argument, raise, warn};
use crate::text::text_of;
use crate::wait::{interruptible, timeout};
use crate::{hook, messages, option};

static PROCESS: Process = Process::new();
static ENABLED: AtomicBool = AtomicBool::new(true);
/// What the option `sdk.disabled` says.
static DISABLED: AtomicBool = AtomicBool::new(false);

/// The option that a fault in the environment must not fail anything for, as with MLflow 3.17.2.
const RATIO: &str = "sampling.ratio";
const RATIO_VARIABLE: &str = "MLFLOW_TRACE_SAMPLING_RATIO";

/// Whether spans are recorded at all.
#[pyfunction]
#[inline]
pub(crate) fn is_enabled(py: Python<'_>) -> bool {
    process(py);
    ENABLED.load(Ordering::Relaxed) && !DISABLED.load(Ordering::Relaxed)
}

/// Switches recording on or off for the whole process.
#[pyfunction]
pub(crate) fn set_enabled(enabled: bool) {
    ENABLED.store(enabled, Ordering::Relaxed);
}

/// Reads `sdk.disabled` again. The engine asks it for roots alone; here it holds for all spans.
fn note_disabled() {
    let value = PROCESS.option("sdk.disabled").unwrap_or_default();
    let is_on = matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "on");
    DISABLED.store(is_on, Ordering::Relaxed);
}

/// The tracers of this process, which know the program's name from the first use on: `sys.argv` may
/// come after the import.
#[inline]
fn process(py: Python<'_>) -> &'static Process {
    static NAMED: PyOnceLock<()> = PyOnceLock::new();
    NAMED.get_or_init(py, || {
        if let Some(name) = source_name(py) {
            PROCESS.set_defaults(&[("source.name", &name)]);
        }
        note_disabled();
    });
    &PROCESS
}

/// `sys.argv[0]`, which MLflow records as the source of a trace.
fn source_name(py: Python<'_>) -> Option<String> {
    let argv = py
        .import(intern!(py, "sys"))
        .ok()?
        .getattr(intern!(py, "argv"))
        .ok()?;
    let name: String = argv.get_item(0).ok()?.extract().ok()?;
    Some(if name.is_empty() {
        "<console>".to_owned()
    } else {
        name
    })
}

/// Runs `work` with the tracer, which is made first where there is none. `None` when even that is
/// impossible. `work` must not call into Python.
#[inline]
pub(crate) fn with_tracer<R>(py: Python<'_>, work: impl FnOnce(&Tracer) -> R) -> Option<R> {
    let current = process(py).tracer().ok()?;
    current.as_deref().map(work)
}

/// The current tracer, which stays the same until the configuration changes.
pub(crate) fn current(py: Python<'_>) -> Option<Arc<Tracer>> {
    process(py).tracer().ok()?.clone()
}

/// Sets options by key; `None` gives an option back to the environment and its default.
#[pyfunction]
pub(crate) fn configure(options: &Bound<'_, PyDict>) -> PyResult<()> {
    let mut changes = Vec::new();
    for (key, value) in options.iter() {
        changes.push((text_of(&key)?.into_owned(), value));
    }
    let configured = set(options.py(), &changes);
    // Who asks for less content and goes on after a slip must not send all of it.
    if changes.iter().any(|(key, _)| is_about_content(key)) {
        hook::note_options(configured.is_err());
    }
    configured
}

/// Whether an option, one that is misspelt included, is about what is taken out of spans.
fn is_about_content(key: &str) -> bool {
    key.starts_with("redact") || key.starts_with("capture")
}

fn set(py: Python<'_>, options: &[(String, Bound<'_, PyAny>)]) -> PyResult<()> {
    let mut changes = Vec::new();
    for (key, value) in options {
        let value = match value.is_none() {
            true => None,
            false => Some(option::text(key, value)?),
        };
        changes.push((key.as_str(), value));
    }
    let changes: Vec<(&str, Option<&str>)> = changes
        .iter()
        .map(|(key, value)| (*key, value.as_deref()))
        .collect();
    let process = process(py);
    overlook_ratio(py, process)?;
    process
        .configure(&changes)
        .map_err(|error| raise(py, &error))?;
    note_disabled();
    messages::pull_all(py, process)
}

/// Where the environment's ratio is none, all traces are sampled and whoever configures something else
/// is only warned.
fn overlook_ratio(py: Python<'_>, process: &Process) -> PyResult<()> {
    static WARNED: AtomicBool = AtomicBool::new(false);
    let text = std::env::var(RATIO_VARIABLE).unwrap_or_default();
    let Err(fault) = Config::new().set(RATIO, &text) else {
        return Ok(());
    };
    // The one in force: what the program has chosen, or else the default. Other faults are told next.
    let ratio = process.option(RATIO).unwrap_or_default();
    let _ = process.configure(&[(RATIO, Some(&ratio))]);
    match WARNED.swap(true, Ordering::Relaxed) {
        true => Ok(()),
        false => warn(py, &format!("ignored: {fault} ({RATIO_VARIABLE})")),
    }
}

/// The value of an option; empty when it is not set and has no default.
#[pyfunction]
pub(crate) fn get_option(py: Python<'_>, key: &str) -> PyResult<String> {
    process(py).option(key).map_err(|error| raise(py, &error))
}

/// Makes an experiment, found or created by name or found by id, the one of later traces.
///
/// Returns it as JSON; without a tracking server, what was given.
#[pyfunction]
#[pyo3(signature = (name = None, experiment_id = None))]
pub(crate) fn set_experiment(
    py: Python<'_>,
    name: Option<String>,
    experiment_id: Option<String>,
) -> PyResult<String> {
    let process = process(py);
    overlook_ratio(py, process)?;
    let experiment = interruptible(py, move || {
        process.set_experiment(name.as_deref(), experiment_id.as_deref())
    })?
    .map_err(|error| raise(py, &error))?;
    messages::pull_all(py, process)?;
    Ok(experiment.to_json().to_string())
}

/// Calls a method of the client by its name, with arguments and result as JSON.
#[pyfunction]
#[pyo3(signature = (method, arguments, tracking_uri = None))]
pub(crate) fn client(
    py: Python<'_>,
    method: String,
    arguments: &str,
    tracking_uri: Option<String>,
) -> PyResult<String> {
    let process = process(py);
    let arguments: Value = serde_json::from_str(arguments)
        .map_err(|error| invalid_argument(py, format!("no JSON: {error}")))?;
    let result = interruptible(py, move || {
        let uri = tracking_uri.as_deref().map(|uri| ("tracking_uri", uri));
        process.invoke(uri.as_slice(), &method, &arguments)
    })?;
    let result = result.map_err(|error| raise(py, &error))?;
    messages::pull_all(py, process)?;
    Ok(result.to_string())
}

/// Waits for delivery. Returns the spans that have ended and are still undelivered.
#[pyfunction]
#[pyo3(signature = (timeout = 30.0))]
pub(crate) fn flush(py: Python<'_>, timeout: f64) -> PyResult<u64> {
    let limit = self::timeout(py, timeout)?;
    settle(py, move |process| process.flush(limit))
}

/// Ends recording after a last delivery. Returns the spans that are still undelivered.
#[pyfunction]
#[pyo3(signature = (timeout = 2.0))]
pub(crate) fn shutdown(py: Python<'_>, timeout: f64) -> PyResult<u64> {
    let limit = self::timeout(py, timeout)?;
    settle(py, move |process| process.shutdown(limit))
}

fn settle(py: Python<'_>, work: impl FnOnce(&Process) -> u64 + Send + 'static) -> PyResult<u64> {
    let process = process(py);
    let pending = interruptible(py, move || work(process))?;
    messages::pull_all(py, process)?;
    Ok(pending)
}

/// Spans created, delivered, pending, dropped by reason, ended for the program and sent without their
/// content, and recording calls without effect; with a spool also what is on disk alone, whether the disk fails, and what
/// became of the spans that other processes left; with dual export also the first four of the copies.
#[pyfunction]
pub(crate) fn stats(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let stats = process(py).stats();
    let dict = PyDict::new(py);
    dict.set_item("created", stats.created)?;
    dict.set_item("delivered", stats.delivered)?;
    dict.set_item("pending", stats.pending)?;
    dict.set_item("dropped", stats.dropped.into_py_dict(py)?)?;
    dict.set_item("ignored", stats.ignored)?;
    dict.set_item("abandoned", stats.abandoned)?;
    dict.set_item("redaction_failed", stats.redaction_failed)?;
    dict.set_item("odd_2xx", stats.odd_2xx)?;
    if let Some(recovered) = stats.recovered {
        dict.set_item("spooled", stats.spooled)?;
        dict.set_item("spool_degraded", stats.spool_degraded)?;
        let others = PyDict::new(py);
        others.set_item("adopted", recovered.adopted)?;
        others.set_item("delivered", recovered.delivered)?;
        others.set_item("pending", recovered.pending)?;
        others.set_item("dropped", recovered.dropped)?;
        dict.set_item("recovered", others)?;
    }
    if let Some(mirror) = stats.mirror {
        let copies = PyDict::new(py);
        copies.set_item("created", mirror.created)?;
        copies.set_item("delivered", mirror.delivered)?;
        copies.set_item("pending", mirror.pending)?;
        copies.set_item("dropped", mirror.dropped.into_py_dict(py)?)?;
        dict.set_item("mirror", copies)?;
    }
    Ok(dict)
}

/// The tracking URI without credentials.
#[pyfunction]
pub(crate) fn tracking_server(py: Python<'_>) -> PyResult<String> {
    process(py)
        .tracking_server()
        .map_err(|error| raise(py, &error))
}

/// How delivery goes, as JSON: see `Health::to_json`.
#[pyfunction]
pub(crate) fn health(py: Python<'_>) -> String {
    process(py).health().to_json()
}

/// Takes the engine's messages about itself since the last call.
#[pyfunction]
pub(crate) fn diagnostics(py: Python<'_>) -> PyResult<Vec<String>> {
    messages::pull_all(py, process(py))?;
    Ok(messages::take())
}

/// Takes what the memory exporter received, one JSON text per trace.
#[pyfunction]
pub(crate) fn memory_traces(py: Python<'_>) -> Vec<String> {
    let process = process(py);
    iter::from_fn(|| process.next_memory_trace()).collect()
}
