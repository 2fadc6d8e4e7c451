//! Rewrites attributes of spans that are already encoded; all other bytes stay as they are.

use serde_json::Value;

use crate::json;
use crate::mlflow::{keys, span_type};
use crate::otlp::reader::{self, Field, Fields};
use crate::otlp::{SCOPE_SPANS_SPANS, span as field, wire};
use crate::value::{self, any_value, encode_key_value};

/// What becomes of an attribute.
#[derive(Debug, Default, PartialEq)]
pub(in crate::mlflow) struct Edit {
    /// Its new text, if it changes.
    pub(in crate::mlflow) text: Option<String>,
    /// What went wrong with it; each is recorded on the span as an exception.
    pub(in crate::mlflow) problems: Vec<String>,
}

/// An attribute of an encoded span.
pub(in crate::mlflow) struct Attribute<'a> {
    pub(in crate::mlflow) key: &'a str,
    /// The `KeyValue` message.
    message: &'a [u8],
}

impl<'a> Attribute<'a> {
    fn read(part: Field<'a>) -> Option<Self> {
        let message = part.bytes().filter(|_| part.number == field::ATTRIBUTES)?;
        let key = std::str::from_utf8(member(message, 1)?).ok()?;
        Some(Attribute { key, message })
    }

    /// Its value, if that is a string.
    pub(in crate::mlflow) fn string(&self) -> Option<&'a str> {
        let value = member(self.message, 2)?;
        std::str::from_utf8(member(value, any_value::STRING)?).ok()
    }

    /// The text of its value: a string as it is, other values as JSON text.
    fn text(&self) -> Option<String> {
        let (_, value) = reader::key_value(self.message, 0).ok()?;
        Some(match value {
            Value::String(text) => text,
            // Servers decode JSON text, so that what was a native value stays one.
            value => json::to_text(&value),
        })
    }
}

fn member(message: &[u8], number: u32) -> Option<&[u8]> {
    Fields::new(message)
        .map_while(Result::ok)
        .find(|part| part.number == number)?
        .bytes()
}

/// As [`rewrite`], of inputs and outputs alone; `edit` sees their text.
pub(super) fn rewrite_content(
    run: &[u8],
    is_candidate: impl Fn(&[u8]) -> bool,
    mut edit: impl FnMut(&str) -> Edit,
) -> Option<Vec<u8>> {
    if !is_candidate(run) {
        return None;
    }
    rewrite(run, is_candidate, |attribute| {
        let is_content = [keys::SPAN_INPUTS, keys::SPAN_OUTPUTS].contains(&attribute.key);
        let text = is_content.then(|| attribute.text()).flatten();
        text.map_or_else(Edit::default, |text| edit(&text))
    })
}

/// The run with the attributes of its candidates edited; `None` when nothing changed.
pub(in crate::mlflow) fn rewrite(
    run: &[u8],
    is_candidate: impl Fn(&[u8]) -> bool,
    mut edit: impl FnMut(&Attribute<'_>) -> Edit,
) -> Option<Vec<u8>> {
    // Made for the first span that changes; what lies between such spans is copied with the next.
    let mut out = Vec::new();
    let (mut copied, mut read) = (0, 0);
    for (part, raw) in reader::raw_fields(run) {
        let start = read;
        read += raw.len();
        let span = part
            .bytes()
            .filter(|span| part.number == SCOPE_SPANS_SPANS && is_candidate(span));
        if let Some(span) = span.and_then(|span| rewrite_span(span, &mut edit)) {
            out.reserve(run.len() - copied);
            out.extend_from_slice(&run[copied..start]);
            wire::bytes_field(&mut out, SCOPE_SPANS_SPANS, &span);
            copied = read;
        }
    }
    if copied == 0 {
        return None;
    }
    // Also what cannot be read: that is left to whoever receives it.
    out.extend_from_slice(&run[copied..]);
    Some(out)
}

fn rewrite_span(span: &[u8], edit: &mut impl FnMut(&Attribute<'_>) -> Edit) -> Option<Vec<u8>> {
    let fields: Vec<(Field<'_>, &[u8])> = reader::raw_fields(span).collect();
    if fields.iter().map(|(_, raw)| raw.len()).sum::<usize>() != span.len() {
        return None;
    }
    let mut problems = Vec::new();
    let edited: Vec<Option<Vec<u8>>> = fields
        .iter()
        .map(|(part, _)| edit_attribute(*part, edit, &mut problems))
        .collect();
    if edited.iter().all(Option::is_none) {
        return None;
    }
    let mut out = Vec::with_capacity(span.len());
    for ((part, raw), edited) in fields.iter().zip(edited) {
        match edited.or_else(|| fail(*part, problems.last()?)) {
            Some(edited) => out.extend_from_slice(&edited),
            None => out.extend_from_slice(raw),
        }
    }
    let end = fields
        .iter()
        .find(|(part, _)| part.number == field::END)
        .and_then(|(part, _)| part.integer());
    for problem in &problems {
        write_exception(&mut out, end.unwrap_or(0), problem);
    }
    Some(out)
}

/// The field of an attribute whose text was edited.
fn edit_attribute(
    part: Field<'_>,
    edit: &mut impl FnMut(&Attribute<'_>) -> Edit,
    problems: &mut Vec<String>,
) -> Option<Vec<u8>> {
    let attribute = Attribute::read(part)?;
    let edited = edit(&attribute);
    problems.extend(edited.problems);
    let text = edited.text?;
    let mut out = Vec::new();
    wire::message_field(&mut out, field::ATTRIBUTES, |out| {
        wire::bytes_field(out, 1, attribute.key.as_bytes());
        wire::message_field(out, 2, |out| {
            wire::bytes_field(out, any_value::STRING, text.as_bytes());
        });
    });
    Some(out)
}

/// The status or the log level of a span that failed by `problem`; one that had failed before keeps its own.
fn fail(part: Field<'_>, problem: &str) -> Option<Vec<u8>> {
    const ERROR: u64 = 2;
    let mut out = Vec::new();
    if part.number == field::STATUS {
        let mut parts = Fields::new(part.bytes()?).map_while(Result::ok);
        if parts.any(|part| part.number == 3 && part.integer() == Some(ERROR)) {
            return None;
        }
        wire::message_field(&mut out, field::STATUS, |out| {
            wire::bytes_field(out, 2, format!("{EXCEPTION}: {problem}").as_bytes());
            wire::varint_field(out, 3, ERROR);
        });
        return Some(out);
    }
    if Attribute::read(part)?.key != keys::SPAN_LOG_LEVEL {
        return None;
    }
    let (key, level) = reader::key_value(part.bytes()?, 0).ok()?;
    if level.as_i64()? >= span_type::ERROR.into() {
        return None;
    }
    let level = value::Value::Int(span_type::ERROR.into());
    encode_key_value(&mut out, field::ATTRIBUTES, &key, level);
    Some(out)
}

/// The type under which MLflow records a problem that is no exception of the program.
const EXCEPTION: &str = "Exception";

fn write_exception(out: &mut Vec<u8>, time: u64, problem: &str) {
    let stacktrace = format!("{EXCEPTION}: {problem}");
    wire::message_field(out, field::EVENTS, |out| {
        wire::fixed64_field(out, 1, time);
        wire::bytes_field(out, 2, keys::EVENT_EXCEPTION.as_bytes());
        for (key, text) in [
            (keys::EXCEPTION_MESSAGE, problem),
            (keys::EXCEPTION_TYPE, EXCEPTION),
            (keys::EXCEPTION_STACKTRACE, &stacktrace),
        ] {
            encode_key_value(out, 3, key, value::Value::Str(text));
        }
    });
}
