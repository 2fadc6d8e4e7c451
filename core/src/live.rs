//! A span while it is recorded. It writes its own OTLP bytes as its fields are set.

use std::ops::Range;
use std::sync::Arc;

use crate::clock::{self, Moment};
use crate::context::SpanContext;
use crate::hooks::Hooks;
use crate::id::{SpanId, TraceId};
use crate::limits::{self, Limits};
use crate::mlflow::{keys, span_type};
use crate::otlp::reader::Fields;
use crate::otlp::{span as field, wire};
use crate::slot::Site;
use crate::span::StatusCode;
use crate::value::{Value, encode_key_value};

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

/// What limits left out.
#[derive(Default)]
struct Dropped {
    attributes: u32,
    events: u32,
    links: u32,
}

/// Where an attribute lies in the buffer, to replace it when it is set again.
#[derive(Clone, Copy)]
struct Attribute {
    hash: u32,
    start: u32,
    end: u32,
}

impl Attribute {
    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// What most spans begin and end with, ready-made: `mlflow.spanType` UNKNOWN, `mlflow.spanLogLevel` DEBUG,
/// status OK.
const UNKNOWN_TYPE: &[u8] = b"\x4a\x1c\x0a\x0fmlflow.spanType\x12\x09\x0a\x07UNKNOWN";
const DEBUG_LEVEL: &[u8] = b"\x4a\x19\x0a\x13mlflow.spanLogLevel\x12\x02\x18\x0a";
const STATUS_OK: &[u8] = b"\x7a\x02\x18\x01";

/// Trace id, span id and start: what the buffer of every span begins with.
const HEAD: usize = 37;

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
    events: u32,
    links: u32,
    dropped: Dropped,
    trace_state: Option<Arc<str>>,
    start: Moment,
    /// OTLP `Span` fields written so far.
    buffer: Vec<u8>,
    /// The field of the name in it.
    name: Range<u32>,
    attributes: Vec<Attribute>,
    /// A bit for the hash of every attribute that was set: most keys are new, and then nothing is searched.
    seen: u128,
    status_message: String,
    /// The log level that follows from the type; absent for a type that was not set.
    type_level: Option<i64>,
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
        let expected = HEAD + UNKNOWN_TYPE.len() + name.len() + 64;
        out.reserve(expected + 32 * start.attributes.len());
        let mut head = *b"\x0a\x10................\x12\x08........\x39........";
        head[2..18].copy_from_slice(start.trace_id.bytes());
        head[20..28].copy_from_slice(start.span_id.bytes());
        head[29..].copy_from_slice(&self.start.unix.to_le_bytes());
        out.extend_from_slice(&head);
        if let Some(parent) = start.parent {
            wire::bytes_field(out, field::PARENT_SPAN_ID, parent.bytes());
        }
        let name_start = out.len() as u32;
        wire::bytes_field(out, field::NAME, name.as_bytes());
        self.name = name_start..out.len() as u32;
        match start.span_type {
            None => self.append_ready(TYPE_HASH, UNKNOWN_TYPE),
            Some(name) => {
                self.type_level = Some(span_type::default_level(name));
                let most = self.rules.limits.value_bytes;
                self.append_attribute(keys::SPAN_TYPE, TYPE_HASH, Value::Str(name), most);
            }
        }
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
        self.seen = 0;
        self.status = StatusCode::Unset;
        self.type_level = None;
        self.level = None;
        self.failed = false;
        self.silent = false;
        self.hooks = Hooks::default();
        self.tainted = false;
        self.events = 0;
        self.links = 0;
        self.dropped = Dropped::default();
        self.status_message.clear();
        if self.buffer.capacity() > KEEP_CAPACITY
            || self.status_message.capacity() > KEEP_CAPACITY
            || self.attributes.capacity() > KEEP_CAPACITY / size_of::<Attribute>()
        {
            self.shrink();
        }
    }

    #[cold]
    fn shrink(&mut self) {
        self.buffer = Vec::new();
        self.status_message = String::new();
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
                attribute.end -= length;
            }
        }
    }

    /// OK is final and UNSET changes nothing, as OpenTelemetry asks.
    pub(crate) fn set_status(&mut self, status: StatusCode, message: &str) {
        if self.status == StatusCode::Ok || status == StatusCode::Unset {
            return;
        }
        self.status = status;
        self.status_message.clear();
        // OpenTelemetry keeps a description for errors only.
        if status == StatusCode::Error {
            let message = limits::clip(message, self.rules.limits.value_bytes);
            self.status_message.push_str(&message);
        }
    }

    /// Sets or replaces an attribute. An empty key is ignored, as OpenTelemetry asks, and so is the
    /// trace's own id, which servers recompute.
    #[inline]
    pub(crate) fn set_attribute(&mut self, key: &str, value: Value<'_>) {
        match (key, value) {
            ("" | keys::TRACE_REQUEST_ID, _) => return,
            (keys::SPAN_TYPE, Value::Str(name)) => {
                self.type_level = Some(span_type::default_level(name));
            }
            (keys::SPAN_TYPE, _) => self.type_level = Some(span_type::DEBUG),
            (keys::SPAN_LOG_LEVEL, Value::Int(level)) => self.level = Some(level),
            _ => {}
        }
        let hash = hash(key);
        let replaces = self.remove_attribute(key, hash);
        let limits = self.rules.limits;
        let is_over = self.attributes.len() >= limits.attributes as usize
            && !replaces
            && !key.starts_with(keys::RESERVED);
        let room = limits::room(&self.buffer);
        let most = limits.value_bytes.min(room);
        if is_over || !limits::fits(key, value, most, room) {
            self.dropped.attributes += 1;
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

    /// Appends an attribute that is encoded already.
    #[inline]
    fn append_ready(&mut self, hash: u32, field: &[u8]) {
        let start = self.buffer.len() as u32;
        self.buffer.extend_from_slice(field);
        self.note_attribute(hash, start);
    }

    #[inline]
    fn note_attribute(&mut self, hash: u32, start: u32) {
        self.seen |= bit(hash);
        self.attributes.push(Attribute {
            hash,
            start,
            end: self.buffer.len() as u32,
        });
    }

    /// Whether an attribute was set to anything but null.
    pub(crate) fn has_attribute(&self, key: &str) -> bool {
        self.find_attribute(key, hash(key))
            .and_then(|index| self.key_value(self.attributes[index]).nth(1))
            .is_some_and(|any_value| !any_value.is_empty())
    }

    fn find_attribute(&self, key: &str, hash: u32) -> Option<usize> {
        if self.seen & bit(hash) == 0 {
            return None;
        }
        self.attributes.iter().position(|attribute| {
            attribute.hash == hash && self.key_value(*attribute).next() == Some(key.as_bytes())
        })
    }

    /// The key and the encoded `AnyValue` of an attribute, as they were written.
    fn key_value(&self, attribute: Attribute) -> impl Iterator<Item = &[u8]> {
        let field = &self.buffer[attribute.range()];
        let message = Fields::new(field).find_map(|field| field.ok()?.bytes());
        Fields::new(message.unwrap_or_default()).filter_map(|part| part.ok()?.bytes())
    }

    /// Whether it was there.
    fn remove_attribute(&mut self, key: &str, hash: u32) -> bool {
        let Some(index) = self.find_attribute(key, hash) else {
            return false;
        };
        let attribute = self.attributes.remove(index);
        self.cut(attribute.range());
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
        if self.events >= limits.events || limits::room(&self.buffer) == 0 {
            self.dropped.events += 1;
            return;
        }
        self.events += 1;
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
        if self.links >= limits.links || limits::room(&self.buffer) == 0 {
            self.dropped.links += 1;
            return;
        }
        self.links += 1;
        wire::message_field(&mut self.buffer, field::LINKS, |out| {
            wire::bytes_field(out, 1, trace_id.bytes());
            wire::bytes_field(out, 2, span_id.bytes());
            limits::encode_attributes(out, 4, attributes, limits.value_bytes);
        });
    }

    /// Writes what is only known at the end; the buffer is the whole `Span` message then.
    #[inline]
    pub(crate) fn finish(&mut self, end_time_ns: Option<u64>, monotonic: u64) {
        self.settle_status();
        self.finish_level();
        let end = end_time_ns
            .unwrap_or_else(|| self.start.plus_elapsed(monotonic))
            .max(self.start.unix)
            .min(clock::LATEST);
        let mut out = std::mem::take(&mut self.buffer);
        wire::fixed64_field(&mut out, field::END, end);
        self.write_tail(&mut out);
        self.buffer = out;
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

    /// Writes the log level: what was set, or what follows from the type; an exception raises it.
    fn finish_level(&mut self) {
        let plain = self.type_level.is_none() && !self.failed;
        let key = keys::SPAN_LOG_LEVEL;
        if plain && self.find_attribute(key, LEVEL_HASH).is_none() {
            return self.buffer.extend_from_slice(DEBUG_LEVEL);
        }
        self.settle_level();
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
        let level = self.level.or(self.type_level).unwrap_or(span_type::DEBUG);
        let raised = if self.failed {
            level.max(span_type::ERROR)
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
        for (number, count) in [
            (field::DROPPED_ATTRIBUTES, self.dropped.attributes),
            (field::DROPPED_EVENTS, self.dropped.events),
            (field::DROPPED_LINKS, self.dropped.links),
        ] {
            if count > 0 {
                wire::varint_field(out, number, u64::from(count));
            }
        }
        if let Some(state) = &self.trace_state {
            wire::bytes_field(out, field::TRACE_STATE, state.as_bytes());
        }
        match self.status {
            StatusCode::Unset => {}
            StatusCode::Ok => out.extend_from_slice(STATUS_OK),
            StatusCode::Error => wire::message_field(out, field::STATUS, |out| {
                if !self.status_message.is_empty() {
                    wire::bytes_field(out, 2, self.status_message.as_bytes());
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

fn bit(hash: u32) -> u128 {
    1 << (hash % 128)
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
                Value::Int(span_type::DEBUG),
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
    }
}
