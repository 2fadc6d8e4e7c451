//! How a span ends: its processors see it, its bytes join its trace, and a trace that is complete with it goes
//! to the exporter.

use std::sync::Arc;

use crate::live::LiveSpan;
use crate::local::Local;
use crate::processor;
use crate::slot::{self, Cell, Locked};
use crate::span::Span;
use crate::state::State;
use crate::trace::{Ended, Trace};

/// Ends a locked span and returns what `keep` made of its `Span` message.
#[inline]
pub(crate) fn finish<R>(
    mut own: Locked,
    end_time_ns: Option<u64>,
    now: u64,
    local: &mut Local,
    keep: &impl Fn(&[u8]) -> R,
) -> R {
    own.live.finish(end_time_ns, now);
    let home = own.live.home;
    if own.live.rules.hooked {
        protect(&mut own);
    }
    let kept = keep(own.live.bytes());
    if home == own.index {
        let Cell { live, trace } = &mut *own;
        let trace = trace.as_deref_mut().filter(|trace| trace.is_open());
        if end_in(trace, ended(live, now), local) {
            own.end_trace();
        }
    } else if let Some(trace_id) = own.live.trace_id()
        && let Some(mut home) = slot::lock_trace(home, trace_id)
        && end_in(home.open_trace(), ended(&own.live, now), local)
    {
        home.end_trace();
        home.release(&mut local.free);
    }
    own.end_span();
    own.release(&mut local.free);
    kept
}

#[inline]
fn ended(live: &LiveSpan, now: u64) -> Ended<'_> {
    Ended {
        bytes: live.bytes(),
        is_root: live.is_root(),
        failed: live.has_failed(),
        now,
    }
}

/// Ends a span in its trace, unless that was handed over without it and the span counted then; true
/// when the trace is complete with it.
#[inline]
pub(crate) fn end_in(trace: Option<&mut Trace>, span: Ended<'_>, local: &mut Local) -> bool {
    let Some(trace) = trace else {
        return false;
    };
    if let Some(finished) = trace.end_span(span) {
        trace.state.hand_over(local, finished);
        return true;
    }
    if trace.state.shared.is_part(trace) {
        let part = trace.take_ended();
        trace.state.hand_over(local, part);
    }
    false
}

/// The tracer that a span belongs to, while its trace is open.
fn state_of(own: &Locked) -> Option<Arc<State>> {
    let home = own.live.home;
    if home == own.index {
        return own.trace.as_deref().map(|trace| trace.state.clone());
    }
    let home = slot::lock_trace(home, own.live.trace_id()?)?;
    home.trace.as_deref().map(|trace| trace.state.clone())
}

/// Takes out of a finished span what must not be sent.
#[cold]
fn protect(own: &mut Locked) {
    if let Some(state) = state_of(own) {
        let failed = own.live.is_tainted();
        state.shared.protect(own.live.bytes_mut(), failed);
    }
}

/// Lets the processors see a span that has started.
#[cold]
pub(crate) fn run_start_hooks(span: Span, state: &State) {
    let processors = &state.plugins.processors;
    let failure = processor::run(processors, |processor| processor.on_start(span));
    settle(span, state, failure);
}

/// Lets the processors see a span that is about to end; `None` when somebody else does, or did.
#[cold]
pub(crate) fn run_hooks(span: Span) -> Option<()> {
    let mut own = span.lock()?;
    if !own.live.begin_hooks() {
        return None;
    }
    let state = state_of(&own);
    drop(own);
    if let Some(state) = state {
        let processors = &state.plugins.processors;
        let failure = processor::run(processors, |processor| processor.on_end(span));
        settle(span, &state, failure);
    }
    span.lock()?.live.end_hooks();
    Some(())
}

fn settle(span: Span, state: &State, failure: Option<String>) {
    let Some(message) = failure else { return };
    if let Some(mut own) = span.lock() {
        own.live.taint();
    }
    let report = || format!("a span processor failed, content is withheld: {message}");
    state.shared.diagnostics.report("redaction_failed", report);
}
