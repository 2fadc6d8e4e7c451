//! Spans that a host encodes itself, drained in batches.
//!
//! A crossing per attribute costs Node six times what encoding in JavaScript does, so such hosts
//! write OTLP `Span` messages into a buffer and hand it over. Bookkeeping stays here.
//!
//! Frames lie back to back, numbers are little-endian:
//! `u8 kind | u8 flags | u16 zero | u32 payload length | payload`.
//!
//! | kind | payload |
//! |---|---|
//! | 1 START | `trace_id[16] span_id[8] parent_span_id[8] start_time_unix_nano[8]`, then a [`TraceUpdate`] as JSON or nothing; parent zero is a root; flag bit 0: the parent is remote, bit 1: the trace is not sampled, and recorded for its errors only |
//! | 2 SPAN | an ended span: the bytes of an OTLP `Span`; limits are enforced and what MLflow's rules add is added here; flag bit 0: its content is to be withheld |
//! | 3 UPDATE | `trace_id[16]`, then a [`TraceUpdate`] as JSON |
//! | 4 LOST | `trace_id[16] span_id[8]`: the host lost the span, it will never end |
//! | 5 ATTACH | `trace_id[16] id[36]`, length of the content type `u16`, content type, content: an [`Attachment`] that inputs or outputs of the trace refer to |
//! | 6 FOREIGN | an ended span of an OpenTelemetry SDK: an OTLP `ScopeSpans` with nothing else in it, which is written anew by the rules of [`crate::otel`]; flags as of SPAN |

mod limits;
mod rules;
mod seen;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::clock;
use crate::destination::Destination;
use crate::ending;
use crate::id::{SpanId, TraceId};
use crate::local::{self, Local};
use crate::lock::Mutex;
use crate::mlflow::attachment::Attachment;
use crate::otel;
use crate::pipeline::fork::ForkCell;
use crate::pipeline::stats::Drop;
use crate::slot::{self, Home, Locked, Site};
use crate::state::State;
use crate::trace::{Ended, TraceUpdate};

pub use rules::HostRules;
use seen::Seen;

pub(crate) const START: u8 = 1;
pub(crate) const SPAN: u8 = 2;
const UPDATE: u8 = 3;
pub(crate) const LOST: u8 = 4;
const ATTACH: u8 = 5;
const FOREIGN: u8 = 6;

/// Flag of START.
const ONLY_ERRORS: u8 = 1 << 1;
/// Flag of SPAN.
pub(crate) const WITHHOLD: u8 = 1;

const HEADER: usize = 8;

/// A span that a host announced and did not end yet, with the tracer it was announced to: frames name
/// none, and a host may have replaced its tracer meanwhile.
#[derive(Clone)]
struct OpenSpan {
    /// The slot that its trace lies in.
    home: Site,
    state: Arc<State>,
    is_root: bool,
}

/// Seeded at random, because the ids of remote parents are chosen by whoever sends them.
type OpenSpans = Mutex<HashMap<(TraceId, SpanId), OpenSpan, RandomState>>;

/// The open spans of this process.
fn open() -> &'static OpenSpans {
    static OPEN: ForkCell<OpenSpans> = ForkCell::new();
    OPEN.get_or_init(Mutex::default)
}

/// Takes frames; returns how many were malformed or had no open span.
pub(crate) fn drain(state: &Arc<State>, destination: u32, frames: &[u8]) -> usize {
    local::with(|local| {
        let destination = local.destination(destination);
        let mut bad = 0;
        let mut rest = frames;
        while !rest.is_empty() {
            let Some((frame, after)) = Frame::split(rest) else {
                return bad + 1;
            };
            rest = after;
            let taken = match frame.kind {
                START => start(state, destination, frame, local),
                SPAN => end(frame, local),
                UPDATE => update(state, frame.payload),
                LOST => lose(frame.payload, local),
                ATTACH => attach(state, frame.payload),
                FOREIGN => end_foreign(frame, local),
                _ => None,
            };
            bad += usize::from(taken.is_none());
        }
        bad
    })
}

fn start(
    state: &Arc<State>,
    destination: &'static Destination,
    frame: Frame<'_>,
    local: &mut Local,
) -> Option<()> {
    let (trace_id, rest) = take_trace_id(frame.payload)?;
    let (span_id, rest) = take_span_id(rest)?;
    let (parent, rest) = rest.split_first_chunk::<8>()?;
    let (_start_time, context) = rest.split_first_chunk::<8>()?;
    if state.is_stopped() {
        return None;
    }
    let now = clock::monotonic_nanos();
    let parent = SpanId::from_bytes(*parent);
    let is_root = !parent.is_valid();
    let announced = open().lock().get(&(trace_id, parent)).cloned();
    let beside = announced.filter(|parent| {
        let mut home = slot::lock_trace(parent.home, trace_id);
        let trace = home.as_mut().and_then(|home| home.open_trace());
        trace.map(|trace| trace.open_span(now)).is_some()
    });
    let (home, state) = match beside {
        Some(parent) => (parent.home, parent.state),
        None => {
            let only_errors = frame.flags & ONLY_ERRORS != 0;
            let home = state.join(trace_id, is_root, only_errors, destination, now, local)?;
            (home, state.clone())
        }
    };
    local.outbox(&state).create(1);
    if is_root {
        begin(home, trace_id, context);
    }
    let span = OpenSpan {
        home,
        state,
        is_root,
    };
    if let Some(replaced) = open().lock().insert((trace_id, span_id), span) {
        // Announced twice: the first can never be ended.
        replaced.lose(trace_id, local);
        return None;
    }
    Some(())
}

/// Takes what the host set at the start of a trace.
fn begin(home: Site, id: TraceId, context: &[u8]) {
    let update = std::str::from_utf8(context).map(TraceUpdate::from_json);
    if let Ok(Ok(update)) = update
        && let Some(mut home) = slot::lock_trace(home, id)
        && let Some(trace) = home.open_trace()
    {
        trace.update(&update);
    }
}

fn end(frame: Frame<'_>, local: &mut Local) -> Option<()> {
    let message = frame.payload;
    let seen = Seen::scan(message).ok()?;
    let trace_id = seen.trace_id?;
    let span = open().lock().remove(&(trace_id, seen.span_id?))?;
    let within = limits::enforce(message, seen.counts, &span.state.rules.limits);
    let mut bytes = within.as_deref().unwrap_or(message);
    let mut more = local.buffers.take();
    seen.complete(&mut more);
    let withhold = frame.flags & WITHHOLD != 0;
    let mut whole = Vec::new();
    if withhold || span.state.shared.redactor.is_some() {
        whole.reserve(bytes.len() + more.len());
        whole.extend_from_slice(bytes);
        whole.append(&mut more);
        span.state.shared.protect(&mut whole, withhold);
        bytes = &whole;
    }
    if let Some(mut home) = slot::lock_trace(span.home, trace_id) {
        let ended = Ended {
            bytes,
            more: &more,
            is_root: span.is_root,
            failed: seen.error,
            now: clock::monotonic_nanos(),
        };
        if ending::end_in(home.open_trace(), ended, local) {
            home.end_trace();
            home.release(&mut local.free);
        }
    }
    local.buffers.give(more);
    Some(())
}

fn end_foreign(frame: Frame<'_>, local: &mut Local) -> Option<()> {
    let message = otel::translate(frame.payload)?;
    let frame = Frame {
        payload: &message,
        ..frame
    };
    end(frame, local)
}

/// Forgets the open spans of traces that were closed without them, and that were counted then.
pub(crate) fn forget(closed: &HashSet<Home>) {
    if closed.is_empty() {
        return;
    }
    let mut open = open().lock();
    let forgotten = open.extract_if(|(id, _), span| closed.contains(&(span.home, *id)));
    // With them go references to tracers, which are not to be dropped under the lock.
    let forgotten: Vec<_> = forgotten.collect();
    drop(open);
    drop(forgotten);
}

impl OpenSpan {
    fn lose(self, id: TraceId, local: &mut Local) {
        self.state.lose_span(self.home, id, Drop::Unfinished, local);
    }
}

fn lose(payload: &[u8], local: &mut Local) -> Option<()> {
    let (trace_id, rest) = take_trace_id(payload)?;
    let (span_id, _) = take_span_id(rest)?;
    let span = open().lock().remove(&(trace_id, span_id))?;
    span.lose(trace_id, local);
    Some(())
}

#[derive(Clone, Copy)]
struct Frame<'a> {
    kind: u8,
    flags: u8,
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The first frame, and what follows it.
    fn split(frames: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, rest) = frames.split_first_chunk::<HEADER>()?;
        let [kind, flags, _, _, length @ ..] = *header;
        let (payload, rest) = rest.split_at_checked(u32::from_le_bytes(length) as usize)?;
        let frame = Frame {
            kind,
            flags,
            payload,
        };
        Some((frame, rest))
    }
}

fn take_trace_id(payload: &[u8]) -> Option<(TraceId, &[u8])> {
    let (bytes, rest) = payload.split_first_chunk::<16>()?;
    let id = TraceId::from_bytes(*bytes);
    id.is_valid().then_some((id, rest))
}

fn take_span_id(payload: &[u8]) -> Option<(SpanId, &[u8])> {
    let (bytes, rest) = payload.split_first_chunk::<8>()?;
    let id = SpanId::from_bytes(*bytes);
    id.is_valid().then_some((id, rest))
}

fn update(state: &Arc<State>, payload: &[u8]) -> Option<()> {
    let (trace_id, json) = take_trace_id(payload)?;
    let update = TraceUpdate::from_json(std::str::from_utf8(json).ok()?).ok()?;
    find(state, trace_id)?.open_trace()?.update(&update);
    Some(())
}

fn attach(state: &Arc<State>, payload: &[u8]) -> Option<()> {
    let (trace_id, rest) = take_trace_id(payload)?;
    let (id, rest) = rest.split_first_chunk::<36>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_le_bytes(*length));
    let (content_type, content) = rest.split_at_checked(length)?;
    let (id, content_type) = (str::from_utf8(id).ok()?, str::from_utf8(content_type).ok()?);
    let attachment = Attachment::with_id(id, content_type, content)?;
    let mut found = find(state, trace_id)?;
    found.open_trace()?.attach(attachment);
    Some(())
}

/// An open trace of this tracer, or of one before it.
fn find(state: &State, id: TraceId) -> Option<Locked> {
    let of_another_tracer = || {
        let open = open().lock();
        let span = open.iter().find(|((trace, _), _)| *trace == id);
        let home = span.map(|(_, span)| span.home);
        drop(open);
        slot::lock_trace(home?, id)
    };
    state.find(id).or_else(of_another_tracer)
}
