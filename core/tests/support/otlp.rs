//! Reads what a server received over OTLP, by a reader of its own (opentelemetry-proto 1.x).

use super::server::{Seen, Server};

/// A field of a protobuf message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, in order.
pub(crate) fn fields(mut message: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut out = Vec::new();
    while !message.is_empty() {
        let tag = varint(&mut message);
        let value = match tag & 7 {
            0 => Field::Number(varint(&mut message)),
            1 => Field::Number(u64::from_le_bytes(
                take(&mut message, 8).try_into().unwrap(),
            )),
            2 => {
                let length = varint(&mut message) as usize;
                Field::Bytes(take(&mut message, length))
            }
            5 => Field::Number(u64::from(u32::from_le_bytes(
                take(&mut message, 4).try_into().unwrap(),
            ))),
            other => panic!("wire type {other}"),
        };
        out.push((tag >> 3, value));
    }
    out
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = take(rest, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, after) = rest.split_at(length);
    *rest = after;
    taken
}

/// The payloads of a repeated length-delimited field.
pub(crate) fn messages(message: &[u8], number: u64) -> Vec<&[u8]> {
    fields(message)
        .into_iter()
        .filter(|(found, _)| *found == number)
        .filter_map(|(_, value)| match value {
            Field::Bytes(bytes) => Some(bytes),
            Field::Number(_) => None,
        })
        .collect()
}

/// The value of a number; 0 without one.
pub(crate) fn number(message: &[u8], number: u64) -> u64 {
    let found = fields(message)
        .into_iter()
        .rfind(|(found, _)| *found == number);
    match found {
        Some((_, Field::Number(value))) => value,
        _ => 0,
    }
}

fn text(message: &[u8], number: u64) -> String {
    let last = messages(message, number).pop().unwrap_or_default();
    String::from_utf8(last.to_vec()).unwrap()
}

/// A `Span` as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Span(pub(crate) Vec<u8>);

impl Span {
    pub(crate) fn name(&self) -> String {
        text(&self.0, 5)
    }

    pub(crate) fn trace_id(&self) -> Vec<u8> {
        messages(&self.0, 1)[0].to_vec()
    }

    pub(crate) fn dropped_attributes(&self) -> u64 {
        number(&self.0, 10)
    }

    pub(crate) fn events(&self) -> Vec<&[u8]> {
        messages(&self.0, 11)
    }

    pub(crate) fn dropped_events(&self) -> u64 {
        number(&self.0, 12)
    }

    pub(crate) fn links(&self) -> Vec<&[u8]> {
        messages(&self.0, 13)
    }

    pub(crate) fn dropped_links(&self) -> u64 {
        number(&self.0, 14)
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        let attributes = messages(&self.0, 9);
        attributes.iter().map(|pair| text(pair, 1)).collect()
    }

    /// The text of an attribute; `None` without it.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        let attributes = messages(&self.0, 9);
        let pair = attributes.iter().rfind(|pair| text(pair, 1) == key)?;
        Some(text(messages(pair, 2)[0], 1))
    }
}

/// The spans of one request.
pub(crate) fn spans(seen: &Seen) -> Vec<Span> {
    messages(&seen.body, 1)
        .into_iter()
        .flat_map(|resource| messages(resource, 2))
        .flat_map(|scope| messages(scope, 2))
        .map(|span| Span(span.to_vec()))
        .collect()
}

impl Server {
    /// The spans of every request so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let seen = self.seen();
        let requests = seen.iter().filter(|seen| seen.path == "/v1/traces");
        requests.flat_map(spans).collect()
    }

    /// The trace information that arrived, in order.
    pub(crate) fn infos(&self) -> Vec<serde_json::Value> {
        let posted = |seen: &Seen| {
            let body: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
            body["trace"]["trace_info"].clone()
        };
        let seen = self.seen();
        let posts = seen
            .iter()
            .filter(|seen| seen.path == "/api/3.0/mlflow/traces");
        posts.map(posted).collect()
    }
}
