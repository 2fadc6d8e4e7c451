//! A span that has ended, as it was recorded or read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::member::{damaged, items, number, optional, text};
use super::otlp_json::{self, member};
use crate::error::{Error, ErrorKind, Result};
use crate::json;
use crate::mlflow::{keys, span_json};
use crate::otlp::json::hex;
use crate::otlp::reader::SpanData;
use crate::span::StatusCode;

const TRACE_ID_BYTES: usize = 16;
const SPAN_ID_BYTES: usize = 8;

/// Outcome of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanStatus {
    /// The code.
    pub code: StatusCode,
    /// What went wrong; empty unless the code is an error.
    pub message: String,
}

/// Something that happened during a span.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanEvent {
    /// Its name.
    pub name: String,
    /// In nanoseconds since the Unix epoch.
    pub timestamp: u64,
    /// Plain JSON values, unlike those of the span.
    pub attributes: Map<String, Value>,
}

/// A reference to a span of another trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// `tr-` and 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits.
    pub span_id: String,
    /// Plain JSON values.
    pub attributes: Option<Map<String, Value>>,
}

/// A span that does not change any more.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    trace_id: Vec<u8>,
    span_id: Vec<u8>,
    parent_span_id: Option<Vec<u8>>,
    /// Its name.
    pub name: String,
    /// In nanoseconds since the Unix epoch.
    pub start_time_ns: u64,
    /// In nanoseconds since the Unix epoch; `None` for one that was not finished.
    pub end_time_ns: Option<u64>,
    /// Its outcome.
    pub status: SpanStatus,
    /// Values as JSON texts; what a foreign writer left as anything else is kept. See [`Self::attribute`].
    pub attributes: Map<String, Value>,
    /// What happened during it.
    pub events: Vec<SpanEvent>,
    /// References to other traces.
    pub links: Vec<Link>,
}

impl Span {
    /// The trace it belongs to: what was recorded, else `tr-` and 32 hex digits.
    pub fn trace_id(&self) -> String {
        match self.attribute(keys::TRACE_REQUEST_ID) {
            Some(Value::String(id)) => id,
            _ => format!("tr-{}", hex(&self.trace_id)),
        }
    }

    /// Its id, 16 hex digits.
    pub fn span_id(&self) -> String {
        hex(&self.span_id)
    }

    /// The id of its parent; `None` for a root.
    pub fn parent_id(&self) -> Option<String> {
        self.parent_span_id.as_deref().map(hex)
    }

    /// The ids of its trace, of itself and of its parent, which is empty for a root.
    pub(super) fn raw_ids(&self) -> [&[u8]; 3] {
        let parent = self.parent_span_id.as_deref().unwrap_or_default();
        [&self.trace_id, &self.span_id, parent]
    }

    /// The value of an attribute. What is no JSON text is the value itself.
    pub fn attribute(&self, key: &str) -> Option<Value> {
        let held = self.attributes.get(key)?;
        let text = held.as_str();
        Some(text.map_or_else(
            || held.clone(),
            |text| serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        ))
    }

    /// The JSON text of an attribute, as it is stored.
    pub fn attribute_text(&self, key: &str) -> Option<&str> {
        self.attributes.get(key)?.as_str()
    }

    /// Its type, for instance `LLM`.
    pub fn span_type(&self) -> Option<String> {
        match self.attribute(keys::SPAN_TYPE)? {
            Value::String(name) => Some(name),
            _ => None,
        }
    }

    /// Its inputs.
    pub fn inputs(&self) -> Option<Value> {
        self.attribute(keys::SPAN_INPUTS)
    }

    /// Its outputs.
    pub fn outputs(&self) -> Option<Value> {
        self.attribute(keys::SPAN_OUTPUTS)
    }

    /// MLflow's span JSON: ids in base64, attribute values as JSON texts; the order of the members is the reference's.
    pub fn to_json(&self) -> Value {
        json!({
            "trace_id": STANDARD.encode(&self.trace_id),
            "span_id": STANDARD.encode(&self.span_id),
            "parent_span_id": self.parent_span_id.as_deref().map(|id| STANDARD.encode(id)),
            "name": self.name,
            "start_time_unix_nano": self.start_time_ns,
            "end_time_unix_nano": self.end_time_ns,
            "events": self.events.iter().map(SpanEvent::to_json).collect::<Value>(),
            "status": {"code": status_name(self.status.code), "message": self.status.message},
            "attributes": self.attributes,
            "links": self.links.iter().map(Link::to_json).collect::<Value>(),
        })
    }

    /// Reads [`Self::to_json`], a server's reply, OTLP/JSON, and what MLflow wrote since 2.14. Fails with `Damaged`.
    pub fn from_json(value: &Value) -> Result<Self> {
        let is_version_2 = value.get("context").is_some();
        let is_otlp = value.get("attributes").is_some_and(Value::is_array)
            || value.get("startTimeUnixNano").is_some()
            || !is_version_2 && value.get("attributes").is_none_or(Value::is_null);
        match (is_version_2, is_otlp) {
            (true, _) => Self::of_version_2(value),
            (_, true) => Self::of_otlp(value),
            _ => Self::of_span_json(value),
        }
        .map_err(|error| {
            let name = optional(value, "name").unwrap_or_default();
            let text = format!("the span '{name}' cannot be read: {}", error.message());
            Error::new(ErrorKind::Damaged, text)
        })
    }

    fn of_span_json(value: &Value) -> Result<Self> {
        let attributes = value["attributes"].as_object().cloned();
        let events = items(value, "events").iter();
        let links = items(value, "links").iter();
        Ok(Span {
            trace_id: id(&value["trace_id"], TRACE_ID_BYTES)?,
            span_id: id(&value["span_id"], SPAN_ID_BYTES)?,
            parent_span_id: parent(&value["parent_span_id"])?,
            name: text(value, "name")?,
            start_time_ns: start(&value["start_time_unix_nano"])?,
            end_time_ns: end(&value["end_time_unix_nano"]),
            status: SpanStatus::from_json(&value["status"]),
            attributes: attributes.unwrap_or_default(),
            events: events
                .map(|event| SpanEvent::read(event, "time_unix_nano"))
                .collect(),
            links: links.map(Link::read).collect::<Result<_>>()?,
        })
    }

    fn of_version_2(value: &Value) -> Result<Self> {
        let context = &value["context"];
        let events = items(value, "events").iter();
        Ok(Span {
            trace_id: id(&context["trace_id"], TRACE_ID_BYTES)?,
            span_id: id(&context["span_id"], SPAN_ID_BYTES)?,
            parent_span_id: parent(&value["parent_id"])?,
            name: text(value, "name")?,
            start_time_ns: start(&value["start_time"])?,
            end_time_ns: end(&value["end_time"]),
            status: SpanStatus {
                code: code(otlp_json::status_code(&value["status_code"])),
                message: optional(value, "status_message").unwrap_or_default(),
            },
            attributes: value["attributes"].as_object().cloned().unwrap_or_default(),
            events: events
                .map(|event| SpanEvent::read(event, "timestamp"))
                .collect(),
            links: items(value, "links")
                .iter()
                .map(Link::read)
                .collect::<Result<_>>()?,
        })
    }

    fn of_otlp(value: &Value) -> Result<Self> {
        let trace_id = id(member(value, "trace_id"), TRACE_ID_BYTES)?;
        let request_id = format!("tr-{}", hex(&trace_id));
        // OTLP/JSON is what this engine wrote: its texts may be JSON texts already.
        let is_own = value.get("traceId").is_some();
        let attributes = otlp_json::attributes(value).into_iter();
        let mut attributes: Map<String, Value> = attributes
            .map(|(key, value)| {
                let text = match is_own {
                    true => span_json::attribute_text(&key, &value),
                    false => json::to_text(&value),
                };
                (key, text.into())
            })
            .collect();
        // As a server does, which ignores what it is sent.
        let mark = json::to_text(&request_id.into());
        attributes.insert(keys::TRACE_REQUEST_ID.to_owned(), mark.into());
        let events = items(value, "events").iter();
        let links = items(value, "links").iter();
        Ok(Span {
            trace_id,
            span_id: id(member(value, "span_id"), SPAN_ID_BYTES)?,
            parent_span_id: parent(member(value, "parent_span_id"))?,
            name: optional(value, "name").unwrap_or_default(),
            start_time_ns: number(member(value, "start_time_unix_nano")).unwrap_or(0),
            end_time_ns: end(member(value, "end_time_unix_nano")),
            status: SpanStatus::from_json(&value["status"]),
            attributes,
            events: events
                .map(|event| SpanEvent {
                    name: optional(event, "name").unwrap_or_default(),
                    timestamp: number(member(event, "time_unix_nano")).unwrap_or(0),
                    attributes: otlp_json::attributes(event),
                })
                .collect(),
            links: links.map(Link::of_otlp).collect::<Result<_>>()?,
        })
    }
}

impl From<&SpanData> for Span {
    fn from(data: &SpanData) -> Self {
        let attributes = data.attributes.iter();
        let parent = Some(data.parent_span_id.clone());
        Span {
            trace_id: data.trace_id.clone(),
            span_id: data.span_id.clone(),
            parent_span_id: parent.filter(|id| !id.is_empty()),
            name: data.name.clone(),
            start_time_ns: data.start,
            end_time_ns: Some(data.end),
            status: SpanStatus {
                code: code(data.status_code),
                message: data.status_message.clone(),
            },
            attributes: attributes
                .map(|(key, value)| (key.clone(), span_json::attribute_text(key, value).into()))
                .collect(),
            events: data
                .events
                .iter()
                .map(|event| SpanEvent {
                    name: event.name.clone(),
                    timestamp: event.time,
                    attributes: event.attributes.iter().cloned().collect(),
                })
                .collect(),
            links: data
                .links
                .iter()
                .map(|link| Link {
                    trace_id: format!("tr-{}", hex(&link.trace_id)),
                    span_id: hex(&link.span_id),
                    attributes: Some(link.attributes.iter().cloned().collect())
                        .filter(|attributes: &Map<_, _>| !attributes.is_empty()),
                })
                .collect(),
        }
    }
}

impl SpanStatus {
    fn from_json(value: &Value) -> Self {
        SpanStatus {
            code: code(otlp_json::status_code(&value["code"])),
            message: optional(value, "message").unwrap_or_default(),
        }
    }
}

impl SpanEvent {
    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "time_unix_nano": self.timestamp,
            "attributes": self.attributes,
        })
    }

    fn read(value: &Value, time: &str) -> Self {
        SpanEvent {
            name: optional(value, "name").unwrap_or_default(),
            timestamp: number(&value[time]).unwrap_or(0),
            attributes: value["attributes"].as_object().cloned().unwrap_or_default(),
        }
    }
}

impl Link {
    /// Its ids are not base64, unlike those of its span, and no attributes are null.
    fn to_json(&self) -> Value {
        json!({
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "attributes": self.attributes,
        })
    }

    fn read(value: &Value) -> Result<Self> {
        Ok(Link {
            trace_id: text(value, "trace_id")?,
            span_id: text(value, "span_id")?,
            attributes: value["attributes"].as_object().cloned(),
        })
    }

    fn of_otlp(value: &Value) -> Result<Self> {
        let trace_id = id(member(value, "trace_id"), TRACE_ID_BYTES)?;
        let attributes = otlp_json::attributes(value);
        Ok(Link {
            trace_id: format!("tr-{}", hex(&trace_id)),
            span_id: hex(&id(member(value, "span_id"), SPAN_ID_BYTES)?),
            attributes: (!attributes.is_empty()).then_some(attributes),
        })
    }
}

fn status_name(code: StatusCode) -> &'static str {
    match code {
        StatusCode::Unset => "STATUS_CODE_UNSET",
        StatusCode::Ok => "STATUS_CODE_OK",
        StatusCode::Error => "STATUS_CODE_ERROR",
    }
}

fn code(number: u64) -> StatusCode {
    match number {
        1 => StatusCode::Ok,
        2 => StatusCode::Error,
        _ => StatusCode::Unset,
    }
}

fn start(value: &Value) -> Result<u64> {
    number(value).ok_or_else(|| damaged("its start is missing"))
}

fn end(value: &Value) -> Option<u64> {
    number(value).filter(|time| *time > 0)
}

fn parent(value: &Value) -> Result<Option<Vec<u8>>> {
    match value.as_str() {
        None | Some("") => Ok(None),
        Some(_) => id(value, SPAN_ID_BYTES).map(Some),
    }
}

/// An id in base64 or in hex, with any of MLflow's prefixes.
fn id(value: &Value, length: usize) -> Result<Vec<u8>> {
    let text = value.as_str().unwrap_or_default();
    let digits = text.strip_prefix("trace:/").map_or(text, |id| {
        id.rsplit_once('/').map_or(id, |(_, digits)| digits)
    });
    let digits = digits.trim_start_matches("tr-").trim_start_matches("0x");
    if digits.len() == 2 * length && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
        let pairs = digits.as_bytes().chunks_exact(2);
        return Ok(pairs
            .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
            .collect());
    }
    let decoded = STANDARD.decode(text).unwrap_or_default();
    match decoded.len() == length {
        true => Ok(decoded),
        false => Err(damaged(format!("'{text}' is no id of {length} bytes"))),
    }
}
