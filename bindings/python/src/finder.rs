//! Spans of frameworks that keep a context of their own, as LangChain does: they are entered and left where the
//! context variable cannot follow. Who integrates such a framework tells which of its spans is running.

use std::mem;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pyo3::prelude::*;

use crate::context::Current;
use crate::lock::lock;
use crate::span::LiveSpan;

/// Spares who has no such framework all but this look.
static IS_SET: AtomicBool = AtomicBool::new(false);

static FINDER: Mutex<Option<Py<PyAny>>> = Mutex::new(None);

/// Sets what tells the running span: a function of the active span, or None without one, that answers with a span
/// nearer than that, or with None. Below a span that is not recorded nothing is.
#[pyfunction]
#[pyo3(signature = (finder, /))]
pub(crate) fn set_span_finder(finder: Option<Py<PyAny>>) {
    let is_set = finder.is_some();
    // Dropped outside the lock: it may run code of the host.
    let replaced = mem::replace(&mut *lock(&FINDER), finder);
    IS_SET.store(is_set, Ordering::Relaxed);
    drop(replaced);
}

/// The number of a span that starts, which orders it among others; 0 while nobody needs it.
#[inline]
pub(crate) fn order() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    match IS_SET.load(Ordering::Relaxed) {
        false => 0,
        true => NEXT.fetch_add(1, Ordering::Relaxed),
    }
}

/// What is current: `known`, or the span of a framework that runs inside it.
#[inline]
pub(crate) fn nearest<'py>(py: Python<'py>, known: Current<'py>) -> Current<'py> {
    match IS_SET.load(Ordering::Relaxed) {
        false => known,
        true => ask(py, known),
    }
}

#[cold]
fn ask<'py>(py: Python<'py>, known: Current<'py>) -> Current<'py> {
    let Some(finder) = lock(&FINDER).as_ref().map(|finder| finder.clone_ref(py)) else {
        return known;
    };
    let active = known.span(py);
    let Ok(found) = finder.bind(py).call1((active.as_ref(),)) else {
        return known;
    };
    if found.is_none() || active.is_some_and(|active| active.is(&found)) {
        return known;
    }
    match found.cast_into::<LiveSpan>() {
        Ok(span) => Current::Span(span),
        Err(_) => known.silent(py),
    }
}
