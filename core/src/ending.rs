//! How a span ends: its processors see it, its bytes join its trace, and a trace that is complete with it goes
//! to the exporter.

use std::sync::Arc;

use crate::live::LiveSpan;
use crate::local::Local;
use crate::processor;
use crate::redact::Redactor;
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
    if own.live.is_silent() {
        own.end_span();
        own.release(&mut local.free);
        return keep(&[]);
    }
    own.live.finish(end_time_ns, now);
    let home = own.live.home;
    if own.live.rules.hooked {
        protect(&mut own);
    }
    let kept = keep(own.live.bytes());
    if home.index == own.index {
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
        more: &[],
        is_root: live.is_root(),
        failed: live.has_failed(),
        now,
    }
}

/// Ends a span in its trace, unless that was handed over without it and the span counted then; true
/// when the trace is complete with it.
#[inline]
pub(crate) fn end_in(trace: Option<&mut Trace>, span: Ended<'_>, local: &mut Local) -> bool {
    trace.is_some_and(|trace| trace.end_span(span, local))
}

/// The tracer that a span belongs to, while its trace is open.
fn state_of(own: &Locked) -> Option<Arc<State>> {
    let home = own.live.home;
    if home.index == own.index {
        return own.trace.as_deref().map(|trace| trace.state.clone());
    }
    let home = slot::lock_trace(home, own.live.trace_id()?)?;
    home.trace.as_deref().map(|trace| trace.state.clone())
}

/// Takes out of a finished span what must not be sent.
#[cold]
fn protect(own: &mut Locked) {
    let failed = own.live.is_tainted();
    match state_of(own) {
        Some(state) => state.shared.protect(own.live.bytes_mut(), failed),
        // Its tracer, and with it the rules, are not known any more: nothing is told.
        None => Redactor::fail_closed(own.live.bytes_mut()),
    }
}

/// Lets the processors see a span that has started, if it is recorded.
#[cold]
pub(crate) fn run_start_hooks(span: Span, state: &State) {
    let processors = &state.plugins.processors;
    if processors.is_empty() || !begin_hooks(span) {
        return;
    }
    let failure = processor::run(processors, |processor| processor.on_start(span));
    settle(span, state, failure, false);
}

/// Whether the caller may run the processors of a live span.
fn begin_hooks(span: Span) -> bool {
    span.lock()
        .is_some_and(|mut own| !own.live.is_silent() && own.live.hooks.begin())
}

/// Lets the processors see a span that is about to end; `None` when somebody else does, or did.
#[cold]
pub(crate) fn run_hooks(span: Span) -> Option<()> {
    let mut own = span.lock()?;
    if !own.live.hooks.begin() {
        return None;
    }
    let state = state_of(&own);
    drop(own);
    let Some(state) = state else {
        // The trace was closed meanwhile: what no processor saw goes nowhere.
        let mut own = span.lock()?;
        own.live.taint();
        own.live.hooks.finish(true);
        return Some(());
    };
    let processors = &state.plugins.processors;
    let failure = processor::run(processors, |processor| processor.on_end(span));
    settle(span, &state, failure, true);
    Some(())
}

/// Takes note that the processors have seen a span start or end, and of whether one failed.
fn settle(span: Span, state: &State, failure: Option<String>, has_ended: bool) {
    if let Some(mut own) = span.lock() {
        own.live.hooks.finish(has_ended);
        if failure.is_some() {
            own.live.taint();
        }
    }
    let Some(message) = failure else { return };
    let report = || format!("a span processor failed, content is withheld: {message}");
    state.shared.diagnostics.report("redaction_failed", report);
}
