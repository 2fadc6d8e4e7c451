//! The experiment that `tracing.set_destination` chose for new traces, for the process or for one context. It wins over
//! the configured one, and an argument of the span wins over it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::lock::lock;

/// Where one was chosen, a bit each: most programs choose none, and their spans need not look.
static CHOSEN: AtomicU8 = AtomicU8::new(0);
const FOR_PROCESS: u8 = 1;
const FOR_CONTEXT: u8 = 2;

static OF_PROCESS: Mutex<Option<String>> = Mutex::new(None);
static OF_CONTEXT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

fn variable(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    let variable = OF_CONTEXT.get_or_try_init(py, || {
        let class = py
            .import(intern!(py, "contextvars"))?
            .getattr(intern!(py, "ContextVar"))?;
        class
            .call1((intern!(py, "mlflow_trace_destination"),))
            .map(Bound::unbind)
    })?;
    Ok(variable.bind(py))
}

/// Chooses the experiment of the traces that start from now on, for the process or for the current thread or task;
/// None takes the choice back.
#[pyfunction]
pub(crate) fn set_destination(
    py: Python<'_>,
    experiment_id: Option<String>,
    context_local: bool,
) -> PyResult<()> {
    if context_local {
        if experiment_id.is_some() {
            CHOSEN.fetch_or(FOR_CONTEXT, Ordering::Relaxed);
        }
        return variable(py)?
            .call_method1(intern!(py, "set"), (experiment_id,))
            .map(drop);
    }
    let _ = match experiment_id.is_some() {
        true => CHOSEN.fetch_or(FOR_PROCESS, Ordering::Relaxed),
        false => CHOSEN.fetch_and(!FOR_PROCESS, Ordering::Relaxed),
    };
    *lock(&OF_PROCESS) = experiment_id;
    Ok(())
}

/// The chosen experiment.
#[inline]
pub(crate) fn experiment(py: Python<'_>) -> Option<String> {
    match CHOSEN.load(Ordering::Relaxed) {
        0 => None,
        chosen => find(py, chosen),
    }
}

#[cold]
fn find(py: Python<'_>, chosen: u8) -> Option<String> {
    let local = || -> Option<String> {
        let value = variable(py)
            .ok()?
            .call_method1(intern!(py, "get"), (py.None(),));
        value.ok()?.extract().ok()?
    };
    let local = match chosen & FOR_CONTEXT {
        0 => None,
        _ => local(),
    };
    local.or_else(|| lock(&OF_PROCESS).clone())
}
