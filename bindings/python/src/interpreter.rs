//! One interpreter of the process uses this module: objects of one must not reach another through what is static here.

use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;

/// The address of the `sys` module of the interpreter that came first; each has one of its own.
static OWNER: AtomicUsize = AtomicUsize::new(0);

/// Fails in every interpreter but the first.
pub(crate) fn claim(py: Python<'_>) -> PyResult<()> {
    let own = py.import("sys")?.as_ptr() as usize;
    match OWNER.compare_exchange(0, own, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Ok(()),
        Err(owner) if owner == own => Ok(()),
        Err(_) => Err(PyImportError::new_err(
            "mlflow_trace does not support subinterpreters: another interpreter of this process uses it",
        )),
    }
}
