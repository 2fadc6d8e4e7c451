//! What a root span carries for its trace where the server gets no trace information (MLflow 3.13 and later): name,
//! tags, session and user. Metadata, a state or previews that the host set have no place there.

use super::info::{TAG_KEY_LENGTH, TAG_VALUE_LENGTH};
use super::keys;
use crate::json;
use crate::otlp::reader::{self, Field, Fields};
use crate::otlp::{SCOPE_SPANS_SPANS, span as field, wire};
use crate::trace::TraceUpdate;
use crate::value::{Value, encode_key_value};

/// The place of a span in a run.
struct Place {
    /// Of its field.
    start: usize,
    /// Of its message.
    message: usize,
    end: usize,
}

/// Writes name, tags, session and user of a trace on the root in a run of `ScopeSpans.spans` fields, if that is there.
pub(crate) fn carry(run: &mut Vec<u8>, update: Option<&TraceUpdate>) {
    let Some(place) = root(run) else { return };
    let message = &run[place.message..place.end];
    let mut extra = Vec::new();
    let name = text(message, field::NAME).unwrap_or("");
    tag(&mut extra, keys::TAG_TRACE_NAME, name);
    if let Some(update) = update {
        for (key, value) in &update.tags {
            let key = json::cut(key, TAG_KEY_LENGTH);
            tag(&mut extra, key, json::cut(value, TAG_VALUE_LENGTH));
        }
        let ids = [
            (keys::SESSION_ID, &update.session_id),
            (keys::USER_ID, &update.user),
        ];
        for (key, value) in ids {
            if let Some(value) = value {
                put(&mut extra, key, value);
            }
        }
    }
    let message = message.to_vec();
    let behind = run.split_off(place.end);
    run.truncate(place.start);
    wire::length_prefix(run, SCOPE_SPANS_SPANS, message.len() + extra.len());
    // A key that is there twice has its last value.
    for bytes in [message, extra, behind] {
        run.extend_from_slice(&bytes);
    }
}

fn tag(out: &mut Vec<u8>, key: &str, value: &str) {
    put(out, &format!("{}{key}", keys::TRACE_TAG), value);
}

fn put(out: &mut Vec<u8>, key: &str, value: &str) {
    let quoted = quoted(value);
    let value = Value::Str(quoted.as_deref().unwrap_or(value));
    encode_key_value(out, field::ATTRIBUTES, key, value);
}

/// Servers decode text that holds a JSON object, array or string; in quotes it stays what it is.
fn quoted(text: &str) -> Option<String> {
    text.trim_start().starts_with(['{', '[', '"']).then(|| {
        let mut out = String::new();
        json::write_string(&mut out, text);
        out
    })
}

/// The root in a run.
fn root(run: &[u8]) -> Option<Place> {
    let is_root = |place: &Place| {
        let mut parts = Fields::new(&run[place.message..place.end]).map_while(Result::ok);
        let parent = parts.find(|part| part.number == field::PARENT_SPAN_ID);
        parent.and_then(Field::bytes).is_none_or(<[u8]>::is_empty)
    };
    // Mostly the one that has ended last.
    let last = places(run).last().filter(is_root);
    last.or_else(|| places(run).find(is_root))
}

fn places(run: &[u8]) -> impl Iterator<Item = Place> {
    let mut start = 0;
    reader::raw_fields(run).filter_map(move |(part, raw)| {
        let end = start + raw.len();
        let start = std::mem::replace(&mut start, end);
        let message = part.bytes().filter(|_| part.number == SCOPE_SPANS_SPANS)?;
        Some(Place {
            start,
            message: end - message.len(),
            end,
        })
    })
}

fn text(message: &[u8], number: u32) -> Option<&str> {
    let mut parts = Fields::new(message).map_while(Result::ok);
    let part = parts.find(|part| part.number == number)?;
    std::str::from_utf8(part.bytes()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::reader::SpanData;

    fn span(run: &mut Vec<u8>, name: &str, parent: &[u8]) {
        wire::message_field(run, SCOPE_SPANS_SPANS, |out| {
            wire::bytes_field(out, field::PARENT_SPAN_ID, parent);
            wire::bytes_field(out, field::NAME, name.as_bytes());
            encode_key_value(out, field::ATTRIBUTES, "own", Value::Int(1));
        });
    }

    fn carried(names: &[(&str, &[u8])], update: &TraceUpdate) -> Vec<SpanData> {
        let mut run = Vec::new();
        for (name, parent) in names {
            span(&mut run, name, parent);
        }
        carry(&mut run, Some(update));
        let spans = reader::spans(&run);
        spans.map(|span| SpanData::decode(span).unwrap()).collect()
    }

    #[test]
    fn the_root_carries_it_wherever_it_lies() {
        let update = TraceUpdate::from_json(
            r#"{"tags": {"k": "v", "json": "{\"a\": 1}"}, "session_id": "s", "user": "u", "metadata": {"m": "1"}}"#,
        )
        .unwrap();
        let child: (&str, &[u8]) = ("child", &[1; 8]);
        let root: (&str, &[u8]) = ("root", &[]);
        for (spans, place) in [
            (vec![child, child, root], 2),
            (vec![child, root, child], 1),
            (vec![root], 0),
        ] {
            let found = carried(&spans, &update);
            let names: Vec<&str> = found.iter().map(|span| span.name.as_str()).collect();
            let given: Vec<&str> = spans.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, given);
            let attributes = |span: &SpanData| -> Vec<String> {
                // The reader adds the id of the trace.
                let list = span.attributes.iter().skip(1);
                list.map(|(key, value)| format!("{key}={value}")).collect()
            };
            let expected = [
                "own=1",
                r#"mlflow.traceTag.mlflow.traceName="root""#,
                r#"mlflow.traceTag.k="v""#,
                r#"mlflow.traceTag.json="\"{\\\"a\\\": 1}\"""#,
                r#"session.id="s""#,
                r#"user.id="u""#,
            ];
            assert_eq!(attributes(&found[place]), expected);
            for (index, span) in found
                .iter()
                .enumerate()
                .filter(|(index, _)| *index != place)
            {
                assert_eq!(attributes(span), ["own=1"], "{index}");
            }
        }
    }

    #[test]
    fn a_part_without_the_root_stays_as_it_is() {
        let mut run = Vec::new();
        span(&mut run, "child", &[1; 8]);
        let before = run.clone();
        carry(&mut run, None);
        assert_eq!(run, before);
    }

    #[test]
    fn only_what_a_server_would_decode_is_quoted() {
        for text in ["plain", "", "5", "true", "a \"b\""] {
            assert_eq!(quoted(text), None);
        }
        assert_eq!(quoted(" [1]").unwrap(), r#"" [1]""#);
        assert_eq!(quoted("\"x\"").unwrap(), r#""\"x\"""#);
    }
}
