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
//! | 1 START | `trace_id[16] span_id[8] parent_span_id[8] start_time_unix_nano[8]`, then a [`TraceUpdate`] as JSON or nothing; parent zero is a root; flag bit 0: the parent is remote |
//! | 2 SPAN | an ended span: the bytes of an OTLP `Span`; what MLflow's rules add is added here |
//! | 3 UPDATE | `trace_id[16]`, then a [`TraceUpdate`] as JSON |
//! | 4 LOST | `trace_id[16] span_id[8]`: the host lost the span, it will never end |

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::clock;
use crate::destination::Destination;
use crate::ending;
use crate::id::{SpanId, TraceId};
use crate::local::{self, Local};
use crate::lock::Mutex;
use crate::mlflow::{keys, span_type};
use crate::otlp::reader::{Fields, Malformed};
use crate::otlp::{span as field, wire};
use crate::pipeline::fork::ForkCell;
use crate::pipeline::stats::Drop;
use crate::slot;
use crate::state::State;
use crate::trace::{Ended, TraceUpdate};
use crate::value::{Value, any_value, encode_key_value};

pub(crate) const START: u8 = 1;
pub(crate) const SPAN: u8 = 2;
const UPDATE: u8 = 3;
pub(crate) const LOST: u8 = 4;

const HEADER: usize = 8;

/// A span that a host announced and did not end yet, with the tracer it was announced to: frames name
/// none, and a host may have replaced its tracer meanwhile.
#[derive(Clone)]
struct OpenSpan {
    /// The slot that its trace lies in.
    home: u32,
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
            let Some((kind, payload, after)) = split(rest) else {
                return bad + 1;
            };
            rest = after;
            let taken = match kind {
                START => start(state, destination, payload, local),
                SPAN => end(payload, local),
                UPDATE => update(state, payload),
                LOST => lose(payload, local),
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
    payload: &[u8],
    local: &mut Local,
) -> Option<()> {
    let (trace_id, rest) = take_trace_id(payload)?;
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
            let home = state.join(trace_id, is_root, destination, now, local)?;
            (home, state.clone())
        }
    };
    local.outbox(&state).create();
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
fn begin(home: u32, id: TraceId, context: &[u8]) {
    let update = std::str::from_utf8(context).map(TraceUpdate::from_json);
    if let Ok(Ok(update)) = update
        && let Some(mut home) = slot::lock_trace(home, id)
        && let Some(trace) = home.open_trace()
    {
        trace.update(&update);
    }
}

fn end(message: &[u8], local: &mut Local) -> Option<()> {
    let seen = Seen::scan(message).ok()?;
    let trace_id = seen.trace_id?;
    let span = open().lock().remove(&(trace_id, seen.span_id?))?;
    let mut bytes = local.buffers.take();
    bytes.extend_from_slice(message);
    seen.complete(&mut bytes);
    span.state.shared.protect(&mut bytes, false);
    if let Some(mut home) = slot::lock_trace(span.home, trace_id) {
        let ended = Ended {
            bytes: &bytes,
            is_root: span.is_root,
            failed: seen.error,
            now: clock::monotonic_nanos(),
        };
        if ending::end_in(home.open_trace(), ended, local) {
            home.end_trace();
            home.release(&mut local.free);
        }
    }
    local.buffers.give(bytes);
    Some(())
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

fn split(frames: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (header, rest) = frames.split_first_chunk::<HEADER>()?;
    let [kind, _flags, _, _, length @ ..] = *header;
    let (payload, rest) = rest.split_at_checked(u32::from_le_bytes(length) as usize)?;
    Some((kind, payload, rest))
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
    let of_another_tracer = || {
        let open = open().lock();
        let span = open.iter().find(|((id, _), _)| *id == trace_id);
        let home = span.map(|(_, span)| span.home);
        drop(open);
        slot::lock_trace(home?, trace_id)
    };
    let mut found = state.find(trace_id).or_else(of_another_tracer)?;
    found.open_trace()?.update(&update);
    Some(())
}

/// What a shallow look at a `Span` message finds of the fields that MLflow's rules depend on.
#[derive(Default)]
struct Seen {
    trace_id: Option<TraceId>,
    span_id: Option<SpanId>,
    span_type: Option<String>,
    level: Option<i64>,
    exception: bool,
    error: bool,
    ok: bool,
}

impl Seen {
    fn scan(message: &[u8]) -> Result<Self, Malformed> {
        let mut seen = Seen::default();
        for found in Fields::new(message) {
            let found = found?;
            let bytes = found.bytes().unwrap_or_default();
            match found.number {
                field::TRACE_ID => seen.trace_id = take_trace_id(bytes).map(|(id, _)| id),
                field::SPAN_ID => seen.span_id = take_span_id(bytes).map(|(id, _)| id),
                field::ATTRIBUTES => seen.attribute(bytes)?,
                field::EVENTS => seen.exception |= is_exception(bytes)?,
                field::STATUS => {
                    for part in Fields::new(bytes) {
                        let part = part?;
                        if part.number == 3 {
                            seen.ok = part.integer() == Some(1);
                            seen.error = part.integer() == Some(2);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(seen)
    }

    fn attribute(&mut self, key_value: &[u8]) -> Result<(), Malformed> {
        let mut key: &[u8] = &[];
        for part in Fields::new(key_value) {
            let part = part?;
            let bytes = part.bytes().unwrap_or_default();
            if part.number == 1 {
                key = bytes;
            } else if part.number == 2 && key == keys::SPAN_TYPE.as_bytes() {
                for value in Fields::new(bytes) {
                    let value = value?;
                    if value.number == any_value::STRING {
                        let text = value.bytes().unwrap_or_default();
                        self.span_type = Some(String::from_utf8_lossy(text).into_owned());
                    }
                }
            } else if part.number == 2 && key == keys::SPAN_LOG_LEVEL.as_bytes() {
                for value in Fields::new(bytes) {
                    let value = value?;
                    if value.number == any_value::INT {
                        self.level = value.integer().map(|level| level as i64);
                    }
                }
            }
        }
        Ok(())
    }

    /// Appends what the host left to the engine. Repeated fields and later values of singular ones
    /// may be appended to a protobuf message without touching the rest.
    fn complete(&self, span: &mut Vec<u8>) {
        let mut put =
            |key: &str, value: Value<'_>| encode_key_value(span, field::ATTRIBUTES, key, value);
        let span_type = self.span_type.as_deref().unwrap_or(span_type::UNKNOWN);
        if self.span_type.is_none() {
            put(keys::SPAN_TYPE, Value::Str(span_type));
        }
        let level = self
            .level
            .unwrap_or_else(|| span_type::default_level(span_type));
        let raised = if self.exception {
            level.max(span_type::ERROR)
        } else {
            level
        };
        if self.level != Some(raised) {
            put(keys::SPAN_LOG_LEVEL, Value::Int(raised));
        }
        if !self.error && !self.ok {
            wire::message_field(span, field::STATUS, |out| wire::varint_field(out, 3, 1));
        }
    }
}

fn is_exception(event: &[u8]) -> Result<bool, Malformed> {
    for part in Fields::new(event) {
        let part = part?;
        if part.number == 2 {
            return Ok(part.bytes() == Some(keys::EVENT_EXCEPTION.as_bytes()));
        }
    }
    Ok(false)
}
