//! What is known of a trace besides its spans: TraceInfo V3, and how MLflow 2 wrote it.

use serde_json::{Map, Value};

use super::assessment::Assessment;
use super::location::TraceLocation;
use super::member::{damaged, filled, items, number, object, optional, pairs, put, text};
use crate::error::Result;
use crate::mlflow::times;

/// How a trace ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TraceStatus {
    /// Nothing is known.
    #[default]
    Unspecified,
    /// The request succeeded.
    Ok,
    /// The request failed.
    Error,
    /// The trace has not ended.
    InProgress,
}

impl TraceStatus {
    /// MLflow's name.
    pub fn name(self) -> &'static str {
        match self {
            TraceStatus::Unspecified => "STATE_UNSPECIFIED",
            TraceStatus::Ok => "OK",
            TraceStatus::Error => "ERROR",
            TraceStatus::InProgress => "IN_PROGRESS",
        }
    }

    /// By MLflow's name; unspecified for any other.
    pub fn parse(name: &str) -> Self {
        match name {
            "OK" => TraceStatus::Ok,
            "ERROR" => TraceStatus::Error,
            "IN_PROGRESS" => TraceStatus::InProgress,
            _ => TraceStatus::Unspecified,
        }
    }
}

/// What is known of a trace besides its spans.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceInfo {
    /// `tr-` and 32 hex digits.
    pub trace_id: String,
    /// Where it is stored.
    pub trace_location: TraceLocation,
    /// Its start in milliseconds since the Unix epoch.
    pub request_time: u64,
    /// In milliseconds; `None` while it runs.
    pub execution_duration: Option<u64>,
    /// How it ended.
    pub state: TraceStatus,
    /// The inputs in short.
    pub request_preview: Option<String>,
    /// The outputs in short.
    pub response_preview: Option<String>,
    /// The caller's id of the request.
    pub client_request_id: Option<String>,
    /// What cannot be changed any more.
    pub trace_metadata: Vec<(String, String)>,
    /// What can be changed.
    pub tags: Vec<(String, String)>,
    /// Feedback and expectations.
    pub assessments: Vec<Assessment>,
}

impl TraceInfo {
    /// The value of a tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        find(&self.tags, key)
    }

    /// A value of the metadata.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        find(&self.trace_metadata, key)
    }

    /// As in MLflow's JSON of a trace (`Trace.to_dict`), with the duration in milliseconds.
    pub fn to_json(&self) -> Value {
        let mut json = self.common();
        put(&mut json, "execution_duration_ms", self.execution_duration);
        Value::Object(json)
    }

    /// As a server takes it.
    pub fn to_request(&self) -> Value {
        let mut json = self.common();
        let duration = self.execution_duration.map(times::duration);
        put(&mut json, "execution_duration", duration);
        Value::Object(json)
    }

    fn common(&self) -> Map<String, Value> {
        let assessments: Vec<Value> = self.assessments.iter().map(Assessment::to_json).collect();
        let mut json = Map::new();
        put(&mut json, "trace_id", self.trace_id.as_str());
        put(
            &mut json,
            "client_request_id",
            self.client_request_id.clone(),
        );
        put(&mut json, "trace_location", self.trace_location.to_json());
        put(&mut json, "request_preview", self.request_preview.clone());
        put(&mut json, "response_preview", self.response_preview.clone());
        put(&mut json, "request_time", times::rfc3339(self.request_time));
        put(&mut json, "state", self.state.name());
        put(&mut json, "trace_metadata", object(&self.trace_metadata));
        put(&mut json, "tags", object(&self.tags));
        put(&mut json, "assessments", assessments);
        json
    }

    /// Reads a server's JSON, [`Self::to_json`], and the information of MLflow 2. Fails with `Damaged`.
    pub fn from_json(value: &Value) -> Result<Self> {
        if value.get("request_id").is_some() && value.get("trace_location").is_none() {
            return Self::of_version_2(value);
        }
        let time = text(value, "request_time")?;
        let duration = match optional(value, "execution_duration") {
            Some(text) => times::parse_duration(&text),
            None => value.get("execution_duration_ms").and_then(number),
        };
        Ok(TraceInfo {
            trace_id: text(value, "trace_id")?,
            trace_location: TraceLocation::from_json(&value["trace_location"])?,
            request_time: times::parse_rfc3339(&time)
                .ok_or_else(|| damaged(format!("'{time}' is no time")))?,
            execution_duration: duration,
            state: TraceStatus::parse(&optional(value, "state").unwrap_or_default()),
            request_preview: optional(value, "request_preview"),
            response_preview: optional(value, "response_preview"),
            client_request_id: filled(value, "client_request_id"),
            trace_metadata: pairs(value, "trace_metadata"),
            tags: pairs(value, "tags"),
            assessments: assessments(value)?,
        })
    }

    fn of_version_2(value: &Value) -> Result<Self> {
        let time = value.get("timestamp_ms").and_then(number);
        Ok(TraceInfo {
            trace_id: text(value, "request_id")?,
            trace_location: TraceLocation::experiment(text(value, "experiment_id")?),
            request_time: time.ok_or_else(|| damaged("'timestamp_ms' is missing"))?,
            execution_duration: value.get("execution_time_ms").and_then(number),
            state: TraceStatus::parse(&optional(value, "status").unwrap_or_default()),
            request_preview: None,
            response_preview: None,
            client_request_id: None,
            trace_metadata: pairs(value, "request_metadata"),
            tags: pairs(value, "tags"),
            assessments: assessments(value)?,
        })
    }
}

fn assessments(value: &Value) -> Result<Vec<Assessment>> {
    let items = items(value, "assessments").iter();
    items.map(Assessment::from_json).collect()
}

fn find<'a>(pairs: &'a [(String, String)], key: &str) -> Option<&'a str> {
    let (_, value) = pairs.iter().find(|(name, _)| name == key)?;
    Some(value)
}
