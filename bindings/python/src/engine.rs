//! The process-wide tracer: made from the environment on first use, replaced by configuration.

use std::collections::BTreeMap;
use std::iter;
use std::mem;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use mlflow_trace_core::config::{OPTIONS, OptionSpec};
use mlflow_trace_core::{Config, Error, ErrorKind, Result, Tracer};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::{raise, warn};
use crate::lock::{read, write};
use crate::messages;
use crate::past::Past;
use crate::text::text_of;
use crate::wait::{interruptible, timeout};

/// Option values that the program set, by key; they win over the environment.
type Options = BTreeMap<&'static str, String>;

struct Process {
    tracer: Option<Tracer>,
    /// `shutdown` was called on the tracer.
    stopped: bool,
    options: Options,
    /// Replaced tracers that still have spans to deliver.
    retired: Vec<Tracer>,
    /// What remains of replaced tracers that have none.
    past: Past,
}

static PROCESS: RwLock<Process> = RwLock::new(Process {
    tracer: None,
    stopped: false,
    options: BTreeMap::new(),
    retired: Vec::new(),
    past: Past::new(),
});
static ENABLED: AtomicBool = AtomicBool::new(true);

/// Whether spans are recorded at all.
pub(crate) fn enabled() -> bool {
    ENABLED.load(Ordering::Relaxed)
}

/// Switches recording on or off for the whole process.
#[pyfunction]
pub(crate) fn set_enabled(enabled: bool) {
    ENABLED.store(enabled, Ordering::Relaxed);
}

/// Runs `work` with the tracer, which is made first where there is none. `None` when even that is
/// impossible. `work` must not call into Python.
#[inline]
pub(crate) fn with_tracer<R>(
    py: Python<'_>,
    work: impl FnOnce(&Tracer) -> R,
) -> PyResult<Option<R>> {
    if let Some(tracer) = &read(&PROCESS).tracer {
        return Ok(Some(work(tracer)));
    }
    Ok(first_tracer(py)?.map(|tracer| work(&tracer)))
}

/// Recording never fails: what is wrong with the environment is logged and left out.
#[cold]
fn first_tracer(py: Python<'_>) -> PyResult<Option<Tracer>> {
    let source = source_name(py);
    let mut faults = Vec::new();
    let tracer = {
        let mut process = write(&PROCESS);
        if process.tracer.is_none() {
            let config = config(&process.options, source, |fault| {
                faults.push(fault);
                Ok(())
            });
            process.tracer = config
                .and_then(Tracer::new)
                .map_err(|fault| faults.push(fault))
                .ok();
        }
        process.tracer.clone()
    };
    for fault in faults {
        warn(py, &format!("ignored: {fault}"))?;
    }
    Ok(tracer)
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

/// The program's options, then the environment's. `fault` decides about a bad variable.
fn config(
    options: &Options,
    source: Option<String>,
    mut fault: impl FnMut(Error) -> Result<()>,
) -> Result<Config> {
    let mut config = Config::new();
    for option in OPTIONS {
        if let Some(value) = options.get(option.key) {
            config.set(option.key, value)?;
        } else if let Ok(value) = std::env::var(option.variable) {
            config.set(option.key, &value).or_else(|error| {
                fault(Error::new(
                    error.kind(),
                    format!("{error} ({})", option.variable),
                ))
            })?;
        }
    }
    if let Some(source) = source
        && config.get("source.name")?.is_empty()
    {
        // A program's path that no option may hold is not worth an error.
        let _ = config.set("source.name", &source);
    }
    Ok(config)
}

/// Puts a tracer with other options in place for the traces that start from now on.
fn replace(py: Python<'_>, change: impl FnOnce(&mut Options)) -> PyResult<()> {
    let source = source_name(py);
    let replaced = exchange(source, change).map_err(|error| raise(py, &error))?;
    let Some(replaced) = replaced else {
        return Ok(());
    };
    messages::pull(py, &replaced)?;
    write(&PROCESS).retired.push(replaced);
    forget_done();
    Ok(())
}

/// Returns the tracer that was replaced, if there was one and its configuration was another.
fn exchange(source: Option<String>, change: impl FnOnce(&mut Options)) -> Result<Option<Tracer>> {
    let mut process = write(&PROCESS);
    let mut options = process.options.clone();
    change(&mut options);
    let config = config(&options, source, Err)?;
    let same = process
        .tracer
        .as_ref()
        .is_some_and(|tracer| *tracer.config() == config);
    if same && !process.stopped {
        process.options = options;
        return Ok(None);
    }
    let tracer = Tracer::new(config)?;
    process.options = options;
    process.stopped = false;
    Ok(process.tracer.replace(tracer))
}

/// The tracer, for calls that may fail: unlike [`with_tracer`] they say what is wrong.
fn required(py: Python<'_>) -> PyResult<Tracer> {
    if read(&PROCESS).tracer.is_none() {
        replace(py, |_| {})?;
    }
    let tracer = read(&PROCESS).tracer.clone();
    tracer.ok_or_else(|| {
        raise(
            py,
            &Error::new(ErrorKind::InvalidState, "there is no tracer"),
        )
    })
}

/// Every tracer of the process that may hold spans.
fn tracers() -> Vec<Tracer> {
    let process = read(&PROCESS);
    process
        .tracer
        .iter()
        .chain(&process.retired)
        .cloned()
        .collect()
}

/// Accepts the engine's keys and, as keyword arguments need it, keys with `_` for `.`.
fn option(key: &str) -> Result<&'static OptionSpec> {
    let found = OPTIONS
        .iter()
        .find(|option| option.key == key || option.key.replace('.', "_") == key);
    found.ok_or_else(|| Error::new(ErrorKind::InvalidConfig, format!("unknown option '{key}'")))
}

/// Sets options by key; `None` gives an option back to the environment and its default.
#[pyfunction]
pub(crate) fn configure(options: &Bound<'_, PyDict>) -> PyResult<()> {
    let py = options.py();
    let mut changes = Vec::new();
    for (key, value) in options.iter() {
        let option = option(&text_of(&key)?).map_err(|error| raise(py, &error))?;
        let value = match value.is_none() {
            true => None,
            false => Some(text_of(&value)?.into_owned()),
        };
        changes.push((option.key, value));
    }
    replace(py, |options| {
        let moves = changes
            .iter()
            .any(|(key, value)| *key == "tracking_uri" && options.get(key) != value.as_ref());
        let named = options
            .get("experiment_name")
            .is_some_and(|name| !name.is_empty());
        if moves && named {
            // The id that the name had belongs to the former server.
            options.insert("experiment_id", String::new());
        }
        for (key, value) in changes {
            match value {
                Some(value) => options.insert(key, value),
                None => options.remove(key),
            };
        }
    })
}

/// The value of an option; empty when it is not set and has no default.
#[pyfunction]
pub(crate) fn get_option(py: Python<'_>, key: &str) -> PyResult<String> {
    let read = || {
        option(key).and_then(|option| {
            let process = read(&PROCESS);
            let config = config(&process.options, None, |_| Ok(()))?;
            config.get(option.key).map(str::to_owned)
        })
    };
    read().map_err(|error| raise(py, &error))
}

/// Makes an experiment, found or created by name or found by id, the one of later traces.
///
/// Returns its id and its name; without a tracking server, what was given.
#[pyfunction]
#[pyo3(signature = (name = None, experiment_id = None))]
pub(crate) fn set_experiment(
    py: Python<'_>,
    name: Option<String>,
    experiment_id: Option<String>,
) -> PyResult<(Option<String>, Option<String>)> {
    let tracer = required(py)?;
    if tracer.config().get("tracking_uri").is_ok_and(str::is_empty) {
        replace(py, |options| {
            keep_experiment(options, name.clone(), experiment_id.clone())
        })?;
        return Ok((experiment_id, name));
    }
    let client = tracer.client().map_err(|error| raise(py, &error))?;
    let found = interruptible(py, move || match (experiment_id, name) {
        (Some(id), _) => client.get_experiment(&id),
        (None, name) => client.set_experiment(&name.unwrap_or_default()),
    })?;
    let experiment = found.map_err(|error| raise(py, &error))?;
    let (id, name) = (experiment.experiment_id, experiment.name);
    tracer
        .set_experiment_id(&id)
        .map_err(|error| raise(py, &error))?;
    keep_experiment(
        &mut write(&PROCESS).options,
        Some(name.clone()),
        Some(id.clone()),
    );
    Ok((Some(id), Some(name)))
}

/// An option that is not given must not come from the environment: it would name another experiment.
fn keep_experiment(options: &mut Options, name: Option<String>, id: Option<String>) {
    options.insert("experiment_name", name.unwrap_or_default());
    options.insert("experiment_id", id.unwrap_or_default());
}

/// Waits for delivery. Returns the spans that have ended and are still undelivered.
#[pyfunction]
#[pyo3(signature = (timeout = 30.0))]
pub(crate) fn flush(py: Python<'_>, timeout: f64) -> PyResult<u64> {
    let limit = self::timeout(py, timeout)?;
    settle(py, move |tracer| tracer.flush(limit))
}

/// Ends recording after a last delivery. Returns the spans that are still undelivered.
#[pyfunction]
#[pyo3(signature = (timeout = 2.0))]
pub(crate) fn shutdown(py: Python<'_>, timeout: f64) -> PyResult<u64> {
    let limit = self::timeout(py, timeout)?;
    write(&PROCESS).stopped = true;
    settle(py, move |tracer| tracer.shutdown(limit))
}

/// Runs `work` on all tracers at once and adds up what it returns.
fn settle(
    py: Python<'_>,
    work: impl Fn(&Tracer) -> u64 + Copy + Send + Sync + 'static,
) -> PyResult<u64> {
    let tracers = tracers();
    if tracers.is_empty() {
        return Ok(0);
    }
    let waiting = tracers.clone();
    let pending = interruptible(py, move || match waiting.as_slice() {
        [tracer] => work(tracer),
        several => thread::scope(|scope| {
            let threads: Vec<_> = several
                .iter()
                .map(|tracer| scope.spawn(move || work(tracer)))
                .collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().ok())
                .sum()
        }),
    })?;
    for tracer in &tracers {
        messages::pull(py, tracer)?;
    }
    forget_done();
    Ok(pending)
}

/// Lets go of the replaced tracers that have nothing left to deliver.
fn forget_done() {
    let done: Vec<Tracer>;
    {
        let mut process = write(&PROCESS);
        (process.retired, done) = mem::take(&mut process.retired)
            .into_iter()
            .partition(|tracer| tracer.stats().pending > 0);
        for tracer in &done {
            process.past.add(tracer);
        }
    }
    // Outside the lock: dropping the last clone of a tracer stops its thread.
    drop(done);
}

/// Spans created, delivered, pending and dropped by reason, and recording calls without effect.
#[pyfunction]
pub(crate) fn stats(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let tracers = tracers();
    let mut totals = read(&PROCESS).past.totals();
    let mut pending = 0;
    for tracer in &tracers {
        let stats = tracer.stats();
        pending += stats.pending;
        totals.add(stats);
    }
    let dict = PyDict::new(py);
    dict.set_item("created", totals.created)?;
    dict.set_item("delivered", totals.delivered)?;
    dict.set_item("pending", pending)?;
    dict.set_item("dropped", totals.dropped)?;
    dict.set_item("ignored", totals.ignored)?;
    Ok(dict)
}

/// Takes the engine's messages about itself since the last call.
#[pyfunction]
pub(crate) fn diagnostics(py: Python<'_>) -> PyResult<Vec<String>> {
    for tracer in tracers() {
        messages::pull(py, &tracer)?;
    }
    Ok(messages::take())
}

/// Takes what the memory exporter received, one JSON text per trace.
#[pyfunction]
pub(crate) fn memory_traces() -> Vec<String> {
    let mut traces = mem::take(&mut write(&PROCESS).past.traces);
    for tracer in tracers() {
        traces.extend(iter::from_fn(|| tracer.next_memory_trace()));
    }
    traces
}
