//! What holds back the content of spans: the function of the host that sees every span before it ends
//! (`tracing.configure`), and settings that were refused.
//!
//! The function is there to take out what must not be sent. Spans are therefore withheld from their start
//! on, and disclosed once it has let them pass: one that the engine ends by itself, or in which the function
//! fails, is sent without its content. So is every span of who goes on after a function, or an option about
//! content, was refused.

use std::mem;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use pyo3::prelude::*;

use crate::context;
use crate::lock::lock;
use crate::span::LiveSpan;
use crate::text::contain;

/// Why spans are withheld, a bit each; 0 where nothing is.
static REASONS: AtomicU8 = AtomicU8::new(0);
/// There is a function to ask.
const HOOK: u8 = 1;
/// A function was refused.
const REFUSED_HOOK: u8 = 2;
/// An option about content was refused.
const REFUSED_OPTION: u8 = 4;

static FUNCTION: Mutex<Option<Py<PyAny>>> = Mutex::new(None);

fn note(reason: u8, holds: bool) {
    let _ = match holds {
        true => REASONS.fetch_or(reason, Ordering::Relaxed),
        false => REASONS.fetch_and(!reason, Ordering::Relaxed),
    };
}

/// Sets what is called with every span that ends, and answers whether it may be sent; None for nothing.
#[pyfunction]
#[pyo3(signature = (hook, /))]
pub(crate) fn set_end_hook(hook: Option<Py<PyAny>>) {
    let is_set = hook.is_some();
    // Dropped outside the lock: it may run code of the host.
    let replaced = mem::replace(&mut *lock(&FUNCTION), hook);
    note(HOOK, is_set);
    note(REFUSED_HOOK, false);
    drop(replaced);
}

/// Withholds spans until a function is set: the one that should be cannot be called.
#[pyfunction]
pub(crate) fn refuse_end_hook() {
    note(REFUSED_HOOK, true);
}

/// Withholds spans until options about content are accepted.
pub(crate) fn note_options(refused: bool) {
    note(REFUSED_OPTION, refused);
}

/// Why spans are withheld now; 0 where they are not.
#[inline]
pub(crate) fn reasons() -> u8 {
    REASONS.load(Ordering::Relaxed)
}

/// Lets the function see a span, and change it. Fails only on an interrupt.
#[cold]
pub(crate) fn run(span: &Bound<'_, LiveSpan>) -> PyResult<()> {
    let handle = span.get().handle;
    if !handle.is_recording() {
        return Ok(());
    }
    let refused = (span.get().withheld | reasons()) & (REFUSED_HOOK | REFUSED_OPTION) != 0;
    let answer = match refused {
        true => Ok(false),
        false => ask(span),
    };
    let _ = match answer {
        Ok(true) => handle.disclose(),
        _ => handle.withhold(),
    };
    match answer {
        Ok(_) => Ok(()),
        Err(error) => contain(span.py(), error),
    }
}

/// Whether the span may be sent. Spans that the function starts are not recorded: it would be called for
/// them in turn, without end.
fn ask(span: &Bound<'_, LiveSpan>) -> PyResult<bool> {
    let py = span.py();
    let Some(hook) = lock(&FUNCTION).as_ref().map(|hook| hook.clone_ref(py)) else {
        return Ok(true);
    };
    let _ = span.get().handle.settle();
    let inside = context::silence(py)?;
    inside.enter(py);
    let answer = hook.bind(py).call1((span,));
    inside.leave(py);
    answer?.is_truthy()
}
