//! The spans that each thread has entered.

use std::cell::RefCell;

use mlflow_trace_core::{ErrorKind, Span};

use crate::guard::Failure;
use crate::span::mlflow_span_t;

pub(crate) const NO_SPAN: mlflow_span_t = mlflow_span_t { id: 0 };

/// The spans that one thread may have entered.
const MOST: usize = 1 << 16;

thread_local! {
    static ENTERED: RefCell<Vec<Span>> = const { RefCell::new(Vec::new()) };
}

/// Puts a span on top.
pub(crate) fn enter(span: Span) -> Result<(), Failure> {
    if !is_live(&span) {
        return Err(ErrorKind::InvalidState.into());
    }
    let entered = with(|entered| {
        if entered.len() >= MOST {
            entered.retain(is_live);
        }
        let has_room = entered.len() < MOST;
        if has_room {
            entered.push(span);
        }
        has_room
    });
    match entered {
        Some(true) => Ok(()),
        Some(false) => Err(ErrorKind::Capacity.into()),
        None => Err(ErrorKind::InvalidState.into()),
    }
}

/// Takes the innermost entry of a span out.
pub(crate) fn exit(span: Span) -> Result<(), Failure> {
    let removed = with(|entered| {
        let at = entered.iter().rposition(|other| *other == span)?;
        Some(entered.remove(at))
    });
    match removed.flatten() {
        Some(_) => Ok(()),
        None => Err(ErrorKind::InvalidState.into()),
    }
}

/// The innermost live span of this thread.
pub(crate) fn current() -> Option<Span> {
    with(|entered| entered.iter().rev().copied().find(is_live)).flatten()
}

/// A span that is not sampled counts: what starts under it is not sampled either.
fn is_live(span: &Span) -> bool {
    *span == Span::UNSAMPLED || span.context().is_some()
}

/// `None` while the thread ends.
fn with<R>(work: impl FnOnce(&mut Vec<Span>) -> R) -> Option<R> {
    let reached = ENTERED.try_with(|entered| {
        let mut entered = entered.try_borrow_mut().ok()?;
        Some(work(&mut entered))
    });
    reached.ok().flatten()
}
