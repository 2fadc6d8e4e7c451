//! A whole trace.

use serde_json::{Value, json};

use super::info::TraceInfo;
use super::member::{damaged, items};
use super::otlp_wire;
use super::span::Span;
use crate::error::Result;
use crate::mlflow::keys;
use crate::otlp;

/// A trace: its information and its spans.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// What is known of it as a whole.
    pub info: TraceInfo,
    /// Its spans.
    pub data: TraceData,
}

/// The spans of a trace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceData {
    /// In order of their creation, parents before children.
    pub spans: Vec<Span>,
}

impl Trace {
    /// As MLflow's `Trace.to_dict`: `{"info", "data"}`.
    pub fn to_json(&self) -> Value {
        json!({"info": self.info.to_json(), "data": self.data.to_json()})
    }

    /// Reads [`Self::to_json`], what a server answers (`{"trace_info", "spans"}`) and what MLflow 2 wrote. Fails with
    /// `Damaged`.
    pub fn from_json(value: &Value) -> Result<Self> {
        let known = [("info", value.get("data")), ("trace_info", Some(value))];
        for (name, data) in known {
            if let (Some(info), Some(data)) = (value.get(name), data) {
                return Ok(Trace {
                    info: TraceInfo::from_json(info)?,
                    data: TraceData::from_json(data)?,
                });
            }
        }
        Err(damaged("a trace has the members 'info' and 'data'"))
    }
}

impl TraceData {
    /// `{"spans"}`, as in `traces.json`.
    pub fn to_json(&self) -> Value {
        json!({"spans": self.spans.iter().map(Span::to_json).collect::<Value>()})
    }

    /// Reads [`Self::to_json`] and every other form of spans. Fails with `Damaged`.
    pub fn from_json(value: &Value) -> Result<Self> {
        let spans = items(value, "spans").iter().map(Span::from_json);
        Ok(TraceData {
            spans: spans.collect::<Result<_>>()?,
        })
    }

    /// Reads the text of a `traces.json`, which may have been written by half. Fails with `Damaged`.
    pub fn from_text(text: &[u8]) -> Result<Self> {
        let value: Value = serde_json::from_slice(text)
            .map_err(|error| damaged(format!("the spans of the trace are not whole: {error}")))?;
        if value.get("spans").is_none_or(|spans| !spans.is_array()) {
            return Err(damaged("the spans of the trace are missing"));
        }
        Self::from_json(&value)
    }

    /// An OTLP request with these spans.
    pub(crate) fn to_otlp(&self) -> Vec<u8> {
        let mut run = Vec::new();
        for span in &self.spans {
            otlp_wire::encode(&mut run, span);
        }
        otlp::request(&[], &[], &[&run])
    }

    /// The root.
    pub fn root(&self) -> Option<&Span> {
        self.spans.iter().find(|span| span.parent_id().is_none())
    }

    /// The inputs of the root as JSON text.
    pub fn request(&self) -> Option<&str> {
        self.root()?.attribute_text(keys::SPAN_INPUTS)
    }

    /// The outputs of the root as JSON text.
    pub fn response(&self) -> Option<&str> {
        self.root()?.attribute_text(keys::SPAN_OUTPUTS)
    }
}
