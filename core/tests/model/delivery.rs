//! What a tracer delivered, parsed.

use std::collections::BTreeMap;

use base64::Engine;
use serde_json::Value as Json;

/// Nothing, or what is wrong.
pub(crate) type Checked = Result<(), String>;

pub(crate) fn ensure(holds: bool, problem: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(problem()) }
}

/// Ids as span JSON has them.
pub(crate) fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// What arrived at once: the spans of a trace, with its information or without.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) trace_id: String,
    pub(crate) info: Option<Json>,
    /// By id.
    pub(crate) spans: BTreeMap<String, Json>,
}

impl Piece {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let json: Json = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let list = json["spans"].as_array().ok_or("no list of spans")?;
        let id = |span: &Json, key: &str| {
            let id = span[key].as_str().map(str::to_owned);
            id.ok_or_else(|| format!("no {key} in {span}"))
        };
        let first = list
            .first()
            .ok_or_else(|| format!("a trace without spans: {text}"))?;
        let trace_id = id(first, "trace_id")?;
        let mut spans = BTreeMap::new();
        for span in list {
            ensure(id(span, "trace_id")? == trace_id, || {
                format!("spans of two traces in {text}")
            })?;
            let twice = spans.insert(id(span, "span_id")?, span.clone());
            ensure(twice.is_none(), || format!("a span twice in {text}"))?;
        }
        Ok(Piece {
            trace_id,
            info: Some(json["info"].clone()).filter(|info| !info.is_null()),
            spans,
        })
    }

    pub(crate) fn root(&self) -> Option<&Json> {
        self.spans
            .values()
            .find(|span| span["parent_span_id"].is_null())
    }
}
