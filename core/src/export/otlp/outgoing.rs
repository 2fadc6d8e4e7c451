//! Spans in the form in which a collector gets them: as MLflow's SDK (3.17.2) hands them to OpenTelemetry's exporter.
//!
//! The engine's own bytes are OTLP already and stay as they are. What it leaves to MLflow's server to know, or has no
//! use for, is added: the trace id in MLflow's form, the tags of the trace on its root, the kind and the flags.

use serde_json::Value as Json;

use super::semconv;
use crate::json;
use crate::mlflow::keys;
use crate::otlp::reader::{self, Field, FieldValue};
use crate::otlp::{SCOPE_SPANS_SPANS, span as field, wire};
use crate::trace::Finished;
use crate::value::{Value, encode_key_value, encode_native_key_value};

/// `SPAN_KIND_INTERNAL`, what OpenTelemetry's SDKs give spans whose kind nobody set.
const INTERNAL: u64 = 1;
/// `SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK`: it is known whether the parent is in another process.
const HAS_IS_REMOTE: u32 = 0x100;
/// `SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK`: it is.
const IS_REMOTE: u32 = 0x200;

/// What is different in a span that goes out.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes {
    /// Its new name, if it has one.
    pub(super) name: Option<String>,
    /// Its new kind, if it has one.
    pub(super) kind: Option<u64>,
    /// Attributes that it gets, in the place of those with the same keys.
    pub(super) attributes: Vec<(String, Json)>,
    /// MLflow's own attributes stay behind.
    pub(super) stripped: bool,
}

impl Changes {
    /// Whether an attribute of the span stays behind.
    fn drops(&self, key: &[u8]) -> bool {
        let is_ours = key.starts_with(keys::RESERVED.as_bytes())
            && !key.starts_with(keys::TRACE_TAG_PREFIX.as_bytes());
        let is_replaced = |(new, _): &(String, Json)| new.as_bytes() == key;
        self.stripped && is_ours || self.attributes.iter().any(is_replaced)
    }
}

/// Writes the spans of a trace as they go out; with `semconv` in the words of the GenAI semantic conventions.
pub(super) fn write_spans(out: &mut Vec<u8>, trace: &Finished, semconv: bool) {
    let mut here: Vec<&[u8]> = reader::spans(&trace.spans)
        .map(|span| first(span, field::SPAN_ID))
        .collect();
    here.sort_unstable();
    let mut request_id = Vec::new();
    if !semconv {
        let id = Value::Str(&trace.id.to_mlflow());
        encode_key_value(
            &mut request_id,
            field::ATTRIBUTES,
            keys::TRACE_REQUEST_ID,
            id,
        );
    }
    let mut outgoing = Outgoing {
        trace,
        here,
        request_id,
        semconv,
        added: Vec::new(),
    };
    out.reserve(trace.spans.len() + 128 * trace.span_count as usize);
    for (part, raw) in reader::raw_fields(&trace.spans) {
        let span = part
            .bytes()
            .filter(|_| part.number == SCOPE_SPANS_SPANS)
            .and_then(|span| outgoing.write(out, span));
        // One that cannot be read is left to the collector.
        if span.is_none() {
            out.extend_from_slice(raw);
        }
    }
}

/// What the spans of a trace have in common as they go out.
struct Outgoing<'a> {
    trace: &'a Finished,
    /// The ids of these spans, sorted.
    here: Vec<&'a [u8]>,
    /// The attribute with the trace's id in MLflow's form; empty where spans get none.
    request_id: Vec<u8>,
    semconv: bool,
    /// What the span in hand gets.
    added: Vec<u8>,
}

impl Outgoing<'_> {
    /// Writes one span; `None`, and nothing written, for one that cannot be read.
    fn write(&mut self, out: &mut Vec<u8>, span: &[u8]) -> Option<()> {
        let mut changes = match self.semconv {
            true => semconv::translate(span),
            false => Changes::default(),
        };
        let parent = first(span, field::PARENT_SPAN_ID);
        if parent.is_empty() && self.trace.has_info {
            changes.attributes.extend(tags(self.trace));
        }
        let (mut read, mut kept) = (0, 0);
        let mut has_kind = changes.kind.is_some();
        for (part, raw) in reader::raw_fields(span) {
            read += raw.len();
            if self.stays(&changes, &part) {
                kept += raw.len();
                has_kind |= part.number == field::KIND;
            }
        }
        if read != span.len() {
            return None;
        }
        self.add(&changes, has_kind, parent);
        wire::length_prefix(out, SCOPE_SPANS_SPANS, kept + self.added.len());
        if kept == read {
            out.extend_from_slice(span);
        } else {
            reader::raw_fields(span)
                .filter(|(part, _)| self.stays(&changes, part))
                .for_each(|(_, raw)| out.extend_from_slice(raw));
        }
        out.extend_from_slice(&self.added);
        Some(())
    }

    /// Whether a field of a span goes out as it is.
    fn stays(&self, changes: &Changes, part: &Field<'_>) -> bool {
        match part.number {
            field::ATTRIBUTES => {
                let key = first(part.bytes().unwrap_or_default(), 1);
                let is_replaced =
                    !self.request_id.is_empty() && key == keys::TRACE_REQUEST_ID.as_bytes();
                !is_replaced && !changes.drops(key)
            }
            field::NAME => changes.name.is_none(),
            field::KIND => changes.kind.is_none() && part.value != FieldValue::Varint(0),
            field::FLAGS => false,
            _ => true,
        }
    }

    /// Collects what a span gets.
    fn add(&mut self, changes: &Changes, has_kind: bool, parent: &[u8]) {
        let flags = self.flags(parent);
        let added = &mut self.added;
        added.clear();
        if let Some(name) = &changes.name {
            wire::bytes_field(added, field::NAME, name.as_bytes());
        }
        match changes.kind {
            Some(kind) => wire::varint_field(added, field::KIND, kind),
            None if !has_kind => wire::varint_field(added, field::KIND, INTERNAL),
            None => {}
        }
        added.extend_from_slice(&self.request_id);
        for (key, value) in &changes.attributes {
            attribute(added, key, value);
        }
        if let Some(flags) = flags {
            wire::fixed32_field(added, field::FLAGS, flags);
        }
    }

    /// Where a parent lives is not on the wire: one that is not among the spans of its trace is taken for a span of
    /// another process, unless others of the trace went before these or follow; then nothing is said.
    fn flags(&self, parent: &[u8]) -> Option<u32> {
        if parent.is_empty() || self.here.binary_search(&parent).is_ok() {
            return Some(HAS_IS_REMOTE);
        }
        let is_whole = self.trace.earlier == 0 && !self.trace.goes_on;
        is_whole.then_some(HAS_IS_REMOTE | IS_REMOTE)
    }
}

/// What the host set of the trace as tags, as attributes of its root; a server makes tags of them again.
fn tags(trace: &Finished) -> impl Iterator<Item = (String, Json)> {
    let tags = trace.update.iter().flat_map(|update| &update.tags);
    tags.filter(|(key, _)| !key.starts_with(keys::RESERVED))
        .map(|(key, value)| {
            let key = format!("{}{key}", keys::TRACE_TAG_PREFIX);
            (key, value.as_str().into())
        })
}

fn attribute(out: &mut Vec<u8>, key: &str, value: &Json) {
    let text = json::to_text(value);
    let number = field::ATTRIBUTES;
    match value {
        Json::String(text) => encode_key_value(out, number, key, Value::Str(text)),
        Json::Array(_) => encode_native_key_value(out, number, key, Value::Json(&text)),
        _ => encode_key_value(out, number, key, Value::Json(&text)),
    }
}

/// The payload of the first field of this number; empty without one.
fn first(message: &[u8], number: u32) -> &[u8] {
    reader::raw_fields(message)
        .find(|(part, _)| part.number == number)
        .and_then(|(part, _)| part.bytes())
        .unwrap_or_default()
}
