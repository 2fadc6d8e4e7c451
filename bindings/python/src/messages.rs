//! The engine's messages about itself: the first go to the host's logger, all can be asked for.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use mlflow_trace_core::{Diagnostic, Process, Tracer};
use pyo3::prelude::*;

use crate::error::warn;
use crate::lock::lock;

/// Later lines are only kept: a fault that lasts must not fill the host's log.
const LOGGED: u32 = 20;
const KEPT: usize = 64;

static LINES: AtomicU32 = AtomicU32::new(0);
static UNREAD: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

/// Takes a tracer's new messages, logs the first of the process and keeps them for [`take`].
#[inline]
pub(crate) fn pull(py: Python<'_>, tracer: &Tracer) -> PyResult<()> {
    match tracer.has_diagnostics() {
        true => publish(py, || tracer.next_diagnostic()),
        false => Ok(()),
    }
}

/// As [`pull`], of all tracers of the process.
pub(crate) fn pull_all(py: Python<'_>, process: &Process) -> PyResult<()> {
    publish(py, || process.next_diagnostic())
}

#[cold]
fn publish(py: Python<'_>, next: impl Fn() -> Option<Diagnostic>) -> PyResult<()> {
    while let Some(line) = next() {
        let message = line.to_string();
        {
            let mut unread = lock(&UNREAD);
            if unread.len() == KEPT {
                unread.pop_front();
            }
            unread.push_back(message.clone());
        }
        // Also what is no problem: nobody would look for the file that their traces went to.
        if LINES.fetch_add(1, Ordering::Relaxed) < LOGGED {
            warn(py, &message)?;
        }
    }
    Ok(())
}

/// Takes the messages that nobody asked for yet, oldest first.
pub(crate) fn take() -> Vec<String> {
    lock(&UNREAD).drain(..).collect()
}
