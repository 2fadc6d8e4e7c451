//! A span while it is recorded. It writes its own OTLP bytes as its fields are set.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::clock::{self, Moment};
use crate::context::SpanContext;
use crate::hooks::Hooks;
use crate::id::{SpanId, TraceId};
use crate::limits::{self, Limits};
use crate::mlflow::{keys, span_type};
use crate::otlp::reader::{self, Fields};
use crate::otlp::{span as field, wire};
use crate::slot::Site;
use crate::span::StatusCode;
use crate::value::{self, Value, encode_key_value};

/// A buffer that grew beyond this is given back when its span ends.
const KEEP_CAPACITY: usize = 4 * 1024;

/// What a new span starts with.
pub(crate) struct Start<'a> {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) parent: Option<SpanId>,
    /// W3C flags.
    pub(crate) flags: u8,
    pub(crate) trace_state: Option<Arc<str>>,
    pub(crate) now: Moment,
    pub(crate) name: &'a str,
    pub(crate) span_type: Option<&'a str>,
    pub(crate) start_time_ns: Option<u64>,
    pub(crate) attributes: &'a [(&'a str, Value<'a>)],
    pub(crate) rules: Rules,
}

/// What the tracer of a span prescribes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Rules {
    pub(crate) limits: Limits,
    /// Its end is for processors or redaction to see.
    pub(crate) hooked: bool,
}

/// What most spans do not have. Apart, so that a live span stays small.
#[derive(Default)]
struct Extras {
    events: u32,
    links: u32,
    dropped: Dropped,
    /// Of an error.
    status_message: String,
}

/// What limits left out.
#[derive(Default)]
struct Dropped {
    attributes: u32,
    events: u32,
    links: u32,
}

/// Where an attribute begins in the buffer, to replace it when it is set again.
#[derive(Clone, Copy)]
struct Attribute {
    hash: u32,
    start: u32,
}

/// What most spans begin and end with, ready-made: `mlflow.spanType` UNKNOWN, `mlflow.spanLogLevel` DEBUG,
/// status OK.
const UNKNOWN_TYPE: &[u8] = b"\x4a\x1c\x0a\x0fmlflow.spanType\x12\x09\x0a\x07UNKNOWN";
const DEBUG_LEVEL: &[u8] = b"\x4a\x19\x0a\x13mlflow.spanLogLevel\x12\x02\x18\x0a";
const END: &[u8] = b"\x41........";
const STATUS_OK: &[u8] = b"\x7a\x02\x18\x01";

/// What the buffer of a span begins with: trace id, span id and start, with their places to fill in; and the
/// type, where none is set.
const HEAD: [u8; PLAIN_HEAD + UNKNOWN_TYPE.len()] =
    *b"\x0a\x10................\x12\x08........\x39........\x4a\x1c\x0a\x0fmlflow.spanType\x12\x09\x0a\x07UNKNOWN";
const PLAIN_HEAD: usize = 37;

/// What it ends with where nothing is set: log level, end and status.
const TAIL: [u8; DEBUG_LEVEL.len() + END.len() + STATUS_OK.len()] =
    *b"\x4a\x19\x0a\x13mlflow.spanLogLevel\x12\x02\x18\x0a\x41........\x7a\x02\x18\x01";

/// A span's bytes beside its name and attributes.
const EXPECTED: usize = HEAD.len() + TAIL.len() + 16;

/// The buffer of a span that is shorter has room for any short attribute.
const ROOMY: usize = 32 << 20;

/// The span in a slot. Its buffers outlive it, so that the next span in the slot allocates nothing.
#[derive(Default)]
pub(crate) struct LiveSpan {
    ids: Option<(TraceId, SpanId, Option<SpanId>)>,
    /// The slot that the trace lies in.
    pub(crate) home: Site,
    flags: u8,
    status: StatusCode,
    failed: bool,
    /// It belongs to a trace that is not recorded, and only passes its context on.
    silent: bool,
    pub(crate) hooks: Hooks,
    tainted: bool,
    pub(crate) rules: Rules,
    /// The log level that follows from the type; absent for a type that was not set.
    type_level: Option<u8>,
    extras: Option<Box<Extras>>,
    trace_state: Option<Arc<str>>,
    start: Moment,
    /// OTLP `Span` fields written so far.
    buffer: Vec<u8>,
    /// The field of the name in it.
    name: Range<u32>,
    attributes: Vec<Attribute>,
    /// A bit for the hash of every attribute that was set: most keys are new, and then nothing is searched.
    seen: Seen,
    level: Option<i64>,
}

impl LiveSpan {
    /// Begins a span in a slot that was reset; its trace lies in the slot `home`.
    #[inline]
    pub(crate) fn begin(&mut self, home: Site, start: Start<'_>) {
        self.home = home;
        self.rules = start.rules;
        self.ids = Some((start.trace_id, start.span_id, start.parent));
        self.flags = start.flags;
        self.trace_state = start.trace_state;
        self.start = start.now;
        let start_time_ns = start.start_time_ns.map(|time| time.min(clock::LATEST));
        if let Some(time) = start_time_ns {
            self.start.unix = time;
        }
        let name = limits::clip(start.name, self.rules.limits.value_bytes);
        let out = &mut self.buffer;
        out.reserve(EXPECTED + name.len() + 40 * start.attributes.len());
        if !start.attributes.is_empty() {
            // The type as well, the level, and one to spare.
            self.attributes.reserve(start.attributes.len() + 3);
        }
        let mut head = HEAD;
        head[2..18].copy_from_slice(start.trace_id.bytes());
        head[20..28].copy_from_slice(start.span_id.bytes());
        head[29..37].copy_from_slice(&self.start.unix.to_le_bytes());
        match start.span_type {
            None => {
                out.extend_from_slice(&head);
                self.note_attribute(TYPE_HASH, PLAIN_HEAD as u32);
            }
            Some(name) => {
                out.extend_from_slice(&head[..PLAIN_HEAD]);
                self.type_level = Some(span_type::default_level(name));
                let most = self.rules.limits.value_bytes;
                self.append_attribute(keys::SPAN_TYPE, TYPE_HASH, Value::Str(name), most);
            }
        }
        let out = &mut self.buffer;
        if let Some(parent) = start.parent {
            let mut field = *b"\x22\x08........";
            field[2..].copy_from_slice(parent.bytes());
            out.extend_from_slice(&field);
        }
        let name_start = out.len() as u32;
        wire::bytes_field(out, field::NAME, name.as_bytes());
        self.name = name_start..out.len() as u32;
        if let Some(time) = start_time_ns {
            let key = keys::SPAN_START_TIME_NS;
            self.append_attribute(key, hash(key), Value::Int(time as i64), u32::MAX);
        }
        for (key, value) in start.attributes {
            self.set_attribute(key, *value);
        }
    }

    /// Empties the slot's span.
    #[inline]
    pub(crate) fn reset(&mut self) {
        self.ids = None;
        self.trace_state = None;
        self.buffer.clear();
        self.attributes.clear();
        self.seen = Seen::default();
        self.status = StatusCode::Unset;
        self.type_level = None;
        self.level = None;
        self.failed = false;
        self.silent = false;
        self.hooks = Hooks::default();
        self.tainted = false;
        self.extras = None;
        if self.buffer.capacity() > KEEP_CAPACITY
            || self.attributes.capacity() > KEEP_CAPACITY / size_of::<Attribute>()
        {
            self.shrink();
        }
    }

    #[cold]
    fn shrink(&mut self) {
        self.buffer = Vec::new();
        self.attributes = Vec::new();
    }

    /// Begins a span that is not recorded.
    pub(crate) fn begin_silent(&mut self, start: Start<'_>) {
        // In no slot: it has no trace.
        self.home = Site::NOWHERE;
        self.rules.hooked = false;
        self.ids = Some((start.trace_id, start.span_id, start.parent));
        self.flags = start.flags;
        self.trace_state = start.trace_state;
        self.silent = true;
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.silent
    }

    /// A processor failed: what it should have taken out must not be sent.
    pub(crate) fn taint(&mut self) {
        self.tainted = true;
        self.rules.hooked = true;
    }

    pub(crate) fn is_tainted(&self) -> bool {
        self.tainted
    }

    /// What should have been taken out was taken out after all.
    pub(crate) fn clear_taint(&mut self) {
        self.tainted = false;
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.status == StatusCode::Error
    }

    pub(crate) fn trace_id(&self) -> Option<TraceId> {
        self.ids.map(|(trace_id, ..)| trace_id)
    }

    pub(crate) fn is_root(&self) -> bool {
        matches!(self.ids, Some((_, _, None)))
    }

    pub(crate) fn parent(&self) -> Option<SpanId> {
        self.ids.and_then(|(_, _, parent)| parent)
    }

    pub(crate) fn context(&self) -> Option<SpanContext> {
        self.ids.map(|(trace_id, span_id, _)| SpanContext {
            trace_id,
            span_id,
            flags: self.flags,
            trace_state: self.trace_state.clone(),
            remote: false,
        })
    }

    pub(crate) fn set_name(&mut self, name: &str) {
        self.cut(self.name.start as usize..self.name.end as usize);
        let start = self.buffer.len() as u32;
        let name = limits::clip(name, self.rules.limits.value_bytes);
        wire::bytes_field(&mut self.buffer, field::NAME, name.as_bytes());
        self.name = start..self.buffer.len() as u32;
    }

    /// What few spans have, from now on.
    #[cold]
    fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// Takes a field out of the buffer.
    fn cut(&mut self, field: Range<usize>) {
        let (start, length) = (field.start as u32, field.len() as u32);
        self.buffer.drain(field);
        if self.name.start > start {
            self.name = self.name.start - length..self.name.end - length;
        }
        for attribute in &mut self.attributes {
            if attribute.start > start {
                attribute.start -= length;
            }
        }
    }

    /// OK is final and UNSET changes nothing, as OpenTelemetry asks.
    pub(crate) fn set_status(&mut self, status: StatusCode, message: &str) {
        if self.status == StatusCode::Ok || status == StatusCode::Unset {
            return;
        }
        self.status = status;
        // OpenTelemetry keeps a description for errors only.
        let message = match status {
            StatusCode::Error => limits::clip(message, self.rules.limits.value_bytes),
            _ => Cow::default(),
        };
        if !message.is_empty() || self.extras.is_some() {
            self.extras().status_message = message.into_owned();
        }
    }

    /// Sets or replaces an attribute. An empty key is ignored, as OpenTelemetry asks, and so is the
    /// trace's own id, which servers recompute.
    #[inline]
    pub(crate) fn set_attribute(&mut self, key: &str, value: Value<'_>) {
        let hash = hash(key);
        let start = self.buffer.len();
        let Limits {
            value_bytes,
            attributes,
            ..
        } = self.rules.limits;
        let is_plain = !self.seen.may_hold(hash)
            && self.attributes.len() < attributes as usize
            && value_bytes as usize >= value::SHORT
            && start < ROOMY
            && !matches!(hash, TYPE_HASH | LEVEL_HASH | REQUEST_ID_HASH)
            && !key.is_empty();
        if is_plain && value::encode_short(&mut self.buffer, field::ATTRIBUTES, key, value) {
            self.note_attribute(hash, start as u32);
        } else {
            self.set_any(key, hash, value);
        }
    }

    /// As [`Self::set_attribute`], whatever the key and the value are.
    fn set_any(&mut self, key: &str, hash: u32, value: Value<'_>) {
        match (key, value) {
            ("" | keys::TRACE_REQUEST_ID, _) => return,
            (keys::SPAN_TYPE, Value::Str(name)) => {
                self.type_level = Some(span_type::default_level(name));
            }
            (keys::SPAN_TYPE, _) => self.type_level = Some(span_type::DEBUG),
            (keys::SPAN_LOG_LEVEL, Value::Int(level)) => self.level = Some(level),
            _ => {}
        }
        let replaces = self.remove_attribute(key, hash);
        let limits = self.rules.limits;
        let is_over = self.attributes.len() >= limits.attributes as usize
            && !replaces
            && !key.starts_with(keys::RESERVED);
        let room = limits::room(&self.buffer);
        let most = limits.value_bytes.min(room);
        if is_over || !limits::fits(key, value, most, room) {
            self.extras().dropped.attributes += 1;
            return;
        }
        self.append_attribute(key, hash, value, most);
    }

    #[inline]
    fn append_attribute(&mut self, key: &str, hash: u32, value: Value<'_>, most: u32) {
        let start = self.buffer.len() as u32;
        let out = &mut self.buffer;
        limits::encode_key_value(out, field::ATTRIBUTES, key, value, most, encode_key_value);
        self.note_attribute(hash, start);
    }

    #[inline]
    fn note_attribute(&mut self, hash: u32, start: u32) {
        self.seen.insert(hash);
        self.attributes.push(Attribute { hash, start });
    }

    /// Whether an attribute was set to anything but null.
    pub(crate) fn has_attribute(&self, key: &str) -> bool {
        self.find_attribute(key, hash(key))
            .and_then(|index| self.key_value(self.attributes[index]).nth(1))
            .is_some_and(|any_value| !any_value.is_empty())
    }

    fn find_attribute(&self, key: &str, hash: u32) -> Option<usize> {
        if !self.seen.may_hold(hash) {
            return None;
        }
        self.attributes.iter().position(|attribute| {
            attribute.hash == hash && self.key_value(*attribute).next() == Some(key.as_bytes())
        })
    }

    /// The key and the encoded `AnyValue` of an attribute, as they were written.
    fn key_value(&self, attribute: Attribute) -> impl Iterator<Item = &[u8]> {
        let mut fields = Fields::new(&self.buffer[attribute.start as usize..]);
        let message = fields.next().and_then(|field| field.ok()?.bytes());
        Fields::new(message.unwrap_or_default()).filter_map(|part| part.ok()?.bytes())
    }

    /// Whether it was there.
    fn remove_attribute(&mut self, key: &str, hash: u32) -> bool {
        let Some(index) = self.find_attribute(key, hash) else {
            return false;
        };
        let start = self.attributes.remove(index).start as usize;
        let field = reader::raw_fields(&self.buffer[start..]).next();
        let length = field.map_or(0, |(_, bytes)| bytes.len());
        self.cut(start..start + length);
        true
    }

    pub(crate) fn add_event(
        &mut self,
        name: &str,
        time: Option<u64>,
        attributes: &[(&str, Value<'_>)],
    ) {
        self.failed |= name == keys::EVENT_EXCEPTION;
        let Rules { limits, .. } = self.rules;
        let is_full = limits::room(&self.buffer) == 0;
        let extras = self.extras();
        if is_full || extras.events >= limits.events {
            extras.dropped.events += 1;
            return;
        }
        extras.events += 1;
        let name = limits::clip(name, limits.value_bytes);
        let time = time
            .unwrap_or_else(|| self.start.plus_elapsed(clock::monotonic_nanos()))
            .min(clock::LATEST);
        wire::message_field(&mut self.buffer, field::EVENTS, |out| {
            wire::fixed64_field(out, 1, time);
            wire::bytes_field(out, 2, name.as_bytes());
            limits::encode_attributes(out, 3, attributes, limits.value_bytes);
        });
    }

    /// Adds an `exception` event (OpenTelemetry semantic conventions).
    pub(crate) fn add_exception(&mut self, type_name: &str, message: &str, stacktrace: &str) {
        let attributes = [
            (keys::EXCEPTION_MESSAGE, Value::Str(message)),
            (keys::EXCEPTION_TYPE, Value::Str(type_name)),
            (keys::EXCEPTION_STACKTRACE, Value::Str(stacktrace)),
        ];
        self.add_event(keys::EVENT_EXCEPTION, None, &attributes);
    }

    pub(crate) fn add_link(
        &mut self,
        trace_id: TraceId,
        span_id: SpanId,
        attributes: &[(&str, Value<'_>)],
    ) {
        let Rules { limits, .. } = self.rules;
        let is_full = limits::room(&self.buffer) == 0;
        let extras = self.extras();
        if is_full || extras.links >= limits.links {
            extras.dropped.links += 1;
            return;
        }
        extras.links += 1;
        wire::message_field(&mut self.buffer, field::LINKS, |out| {
            wire::bytes_field(out, 1, trace_id.bytes());
            wire::bytes_field(out, 2, span_id.bytes());
            limits::encode_attributes(out, 4, attributes, limits.value_bytes);
        });
    }

    /// Writes what is only known at the end; the buffer is the whole `Span` message then.
    #[inline]
    pub(crate) fn finish(&mut self, end_time_ns: Option<u64>, monotonic: u64) {
        let end = end_time_ns
            .unwrap_or_else(|| self.start.plus_elapsed(monotonic))
            .max(self.start.unix)
            .min(clock::LATEST);
        if self.is_plain() {
            let mut tail = TAIL;
            let time = DEBUG_LEVEL.len() + 1;
            tail[time..time + 8].copy_from_slice(&end.to_le_bytes());
            self.buffer.extend_from_slice(&tail);
            return;
        }
        self.settle();
        let mut out = std::mem::take(&mut self.buffer);
        wire::fixed64_field(&mut out, field::END, end);
        self.write_tail(&mut out);
        self.buffer = out;
    }

    /// Whether nothing was set that its end depends on.
    #[inline]
    fn is_plain(&self) -> bool {
        self.status != StatusCode::Error
            && !self.failed
            && self.type_level.is_none()
            && !self.seen.may_hold(LEVEL_HASH)
            && self.trace_state.is_none()
            && self.extras.is_none()
    }

    /// As [`Self::bytes`], to be rewritten as a whole.
    pub(crate) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// What was written so far.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Sets the status and the log level that the end would set.
    pub(crate) fn settle(&mut self) {
        self.settle_status();
        self.settle_level();
    }

    fn settle_status(&mut self) {
        if self.status != StatusCode::Error {
            self.status = StatusCode::Ok;
        }
    }

    fn settle_level(&mut self) {
        let implied = self.type_level.unwrap_or(span_type::DEBUG);
        let level = self.level.unwrap_or(implied.into());
        let raised = if self.failed {
            level.max(span_type::ERROR.into())
        } else {
            level
        };
        if self.level != Some(raised) {
            self.set_attribute(keys::SPAN_LOG_LEVEL, Value::Int(raised));
        }
    }

    /// The message as it is now, for reading a live span.
    pub(crate) fn preview(&self) -> Vec<u8> {
        let mut out = self.buffer.clone();
        self.write_tail(&mut out);
        out
    }

    #[inline]
    fn write_tail(&self, out: &mut Vec<u8>) {
        if let Some(Extras { dropped, .. }) = self.extras.as_deref() {
            for (number, count) in [
                (field::DROPPED_ATTRIBUTES, dropped.attributes),
                (field::DROPPED_EVENTS, dropped.events),
                (field::DROPPED_LINKS, dropped.links),
            ] {
                if count > 0 {
                    wire::varint_field(out, number, u64::from(count));
                }
            }
        }
        if let Some(state) = &self.trace_state {
            wire::bytes_field(out, field::TRACE_STATE, state.as_bytes());
        }
        match self.status {
            StatusCode::Unset => {}
            StatusCode::Ok => out.extend_from_slice(STATUS_OK),
            StatusCode::Error => wire::message_field(out, field::STATUS, |out| {
                let message = self.extras.as_ref().map(|extras| &extras.status_message);
                if let Some(message) = message.filter(|message| !message.is_empty()) {
                    wire::bytes_field(out, 2, message.as_bytes());
                }
                wire::varint_field(out, 3, StatusCode::Error as u64);
            }),
        }
    }
}

/// Tells a handful of keys apart: their length and their last eight bytes, which differ where keys
/// share a prefix.
#[inline]
const fn hash(key: &str) -> u32 {
    let bytes = key.as_bytes();
    let tail = match bytes.last_chunk::<8>() {
        Some(tail) => u64::from_le_bytes(*tail),
        None => short(bytes),
    };
    let mixed = (tail ^ bytes.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32
}

/// Fewer than eight bytes as a number.
const fn short(mut bytes: &[u8]) -> u64 {
    let mut number = 0;
    while let [first, rest @ ..] = bytes {
        number = number << 8 | *first as u64;
        bytes = rest;
    }
    number
}

const TYPE_HASH: u32 = hash(keys::SPAN_TYPE);
const LEVEL_HASH: u32 = hash(keys::SPAN_LOG_LEVEL);
const REQUEST_ID_HASH: u32 = hash(keys::TRACE_REQUEST_ID);

/// A bit for each hash; a few of them fall together. Two halves, whose alignment leaves no gap in a span.
#[derive(Clone, Copy, Default)]
struct Seen([u64; 2]);

impl Seen {
    #[inline]
    fn bits(self) -> u128 {
        u128::from(self.0[1]) << 64 | u128::from(self.0[0])
    }

    #[inline]
    fn insert(&mut self, hash: u32) {
        let bits = self.bits() | 1 << (hash % 128);
        self.0 = [bits as u64, (bits >> 64) as u64];
    }

    #[inline]
    fn may_hold(self, hash: u32) -> bool {
        self.bits() >> (hash % 128) & 1 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_made_fields_are_what_would_be_encoded() {
        for (ready, key, value) in [
            (
                UNKNOWN_TYPE,
                keys::SPAN_TYPE,
                Value::Str(span_type::UNKNOWN),
            ),
            (
                DEBUG_LEVEL,
                keys::SPAN_LOG_LEVEL,
                Value::Int(span_type::DEBUG.into()),
            ),
        ] {
            let mut encoded = Vec::new();
            encode_key_value(&mut encoded, field::ATTRIBUTES, key, value);
            assert_eq!(ready, encoded);
        }
        let mut status = Vec::new();
        wire::message_field(&mut status, field::STATUS, |out| {
            wire::varint_field(out, 3, 1)
        });
        assert_eq!(STATUS_OK, status);
        assert_eq!(HEAD[PLAIN_HEAD..], *UNKNOWN_TYPE);
        assert_eq!(TAIL[..], [DEBUG_LEVEL, END, STATUS_OK].concat());
    }
}
