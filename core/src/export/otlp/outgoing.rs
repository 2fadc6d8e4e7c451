//! Spans in the form in which a collector gets them: as MLflow's SDK (3.17.2) hands them to OpenTelemetry's exporter.
//!
//! The engine's own bytes are OTLP already and stay as they are. What it leaves to MLflow's server to know, or has no
//! use for, is added: the trace id in MLflow's form, the tags of the trace on its root, the kind and the flags.

use std::collections::HashSet;

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

/// The spans of a trace as they go out; with `semconv` in the words of the GenAI semantic conventions.
pub(super) fn spans(trace: &Finished, semconv: bool) -> Vec<u8> {
    let here: HashSet<&[u8]> = reader::spans(&trace.spans)
        .map(|span| bytes_of(span, field::SPAN_ID))
        .collect();
    let mut out = Vec::with_capacity(trace.spans.len() + 128 * trace.span_count as usize);
    for (part, raw) in reader::raw_fields(&trace.spans) {
        let span = part
            .bytes()
            .filter(|_| part.number == SCOPE_SPANS_SPANS)
            .and_then(|span| outgoing(span, trace, &here, semconv));
        match span {
            Some(span) => wire::bytes_field(&mut out, SCOPE_SPANS_SPANS, &span),
            None => out.extend_from_slice(raw),
        }
    }
    out
}

/// One span; `None` for one that cannot be read, which is left to the collector.
fn outgoing(
    span: &[u8],
    trace: &Finished,
    here: &HashSet<&[u8]>,
    semconv: bool,
) -> Option<Vec<u8>> {
    let fields: Vec<(Field<'_>, &[u8])> = reader::raw_fields(span).collect();
    if fields.iter().map(|(_, raw)| raw.len()).sum::<usize>() != span.len() {
        return None;
    }
    let parent = bytes_of(span, field::PARENT_SPAN_ID);
    let mut changes = match semconv {
        true => semconv::translate(span),
        false => Changes {
            attributes: vec![(
                keys::TRACE_REQUEST_ID.to_owned(),
                trace.id.to_mlflow().into(),
            )],
            ..Changes::default()
        },
    };
    if parent.is_empty() && trace.has_info {
        changes.attributes.extend(tags(trace));
    }
    let mut out = Vec::with_capacity(span.len() + 128);
    for (part, raw) in &fields {
        let stays = match part.number {
            field::ATTRIBUTES => !changes.drops(bytes_of(part.bytes()?, 1)),
            field::NAME => changes.name.is_none(),
            field::KIND => changes.kind.is_none() && part.value != FieldValue::Varint(0),
            field::FLAGS => false,
            _ => true,
        };
        if stays {
            out.extend_from_slice(raw);
        }
    }
    if let Some(name) = &changes.name {
        wire::bytes_field(&mut out, field::NAME, name.as_bytes());
    }
    let has_kind = fields
        .iter()
        .any(|(part, _)| part.number == field::KIND && part.value != FieldValue::Varint(0));
    match changes.kind {
        Some(kind) => wire::varint_field(&mut out, field::KIND, kind),
        None if !has_kind => wire::varint_field(&mut out, field::KIND, INTERNAL),
        None => {}
    }
    for (key, value) in &changes.attributes {
        attribute(&mut out, key, value);
    }
    if let Some(flags) = flags(parent, trace, here) {
        wire::fixed32_field(&mut out, field::FLAGS, flags);
    }
    Some(out)
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

/// Where a parent lives is not on the wire: one that is not among the spans of its trace is taken for a span of
/// another process, unless others of the trace went before these or follow; then nothing is said.
fn flags(parent: &[u8], trace: &Finished, here: &HashSet<&[u8]>) -> Option<u32> {
    if parent.is_empty() || here.contains(parent) {
        return Some(HAS_IS_REMOTE);
    }
    let is_whole = trace.earlier == 0 && !trace.goes_on;
    is_whole.then_some(HAS_IS_REMOTE | IS_REMOTE)
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

/// The payload of the last field of this number; empty without one.
fn bytes_of(message: &[u8], number: u32) -> &[u8] {
    reader::raw_fields(message)
        .filter(|(part, _)| part.number == number)
        .last()
        .and_then(|(part, _)| part.bytes())
        .unwrap_or_default()
}
