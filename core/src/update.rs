//! What the user sets of a trace.

use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::mlflow::entity::Assessment;

/// A state that the user forces on a trace; otherwise the root's status decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceState {
    /// The request succeeded.
    Ok,
    /// The request failed.
    Error,
}

impl TraceState {
    /// Parses `OK` or `ERROR`, as MLflow does.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "OK" => Ok(TraceState::Ok),
            "ERROR" => Ok(TraceState::Error),
            other => Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("state must be either 'OK' or 'ERROR', but got '{other}'"),
            )),
        }
    }

    /// `OK` or `ERROR`.
    pub fn name(self) -> &'static str {
        match self {
            TraceState::Ok => "OK",
            TraceState::Error => "ERROR",
        }
    }
}

/// Changes to a trace's information; later values win key by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceUpdate {
    /// Tags (mutable on the server later). Keys are cut to 250 code points, values to 4096.
    pub tags: Vec<(String, String)>,
    /// Metadata (immutable once sent). Keys and values are cut to 250 code points.
    pub metadata: Vec<(String, String)>,
    /// The caller's id of the request, at most 50 code points.
    pub client_request_id: Option<String>,
    /// Shown instead of the preview made from the root's inputs, at most 1000 code points.
    pub request_preview: Option<String>,
    /// Shown instead of the preview made from the root's outputs, at most 1000 code points.
    pub response_preview: Option<String>,
    /// Forces the state of the trace.
    pub state: Option<TraceState>,
    /// The conversation that the trace belongs to (metadata `mlflow.trace.session`).
    pub session_id: Option<String>,
    /// The end user (metadata `mlflow.trace.user`).
    pub user: Option<String>,
    /// The logged model (metadata `mlflow.modelId`).
    pub model_id: Option<String>,
    /// Feedback and expectations; see [`Tracer::log_assessment`](crate::Tracer::log_assessment).
    pub assessments: Vec<Assessment>,
}

impl TraceUpdate {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == TraceUpdate::default()
    }

    /// Reads `{"tags": {..}, "metadata": {..}, "client_request_id": .., "request_preview": ..,
    /// "response_preview": .., "state": .., "session_id": .., "user": .., "model_id": .., "assessments": [..]}`.
    ///
    /// Values that are not strings are kept as their JSON text; unknown members are ignored. Fails
    /// with `InvalidArgument` for text that is not a JSON object, an unknown state and a malformed assessment.
    pub fn from_json(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text).map_err(|error| {
            Error::new(
                ErrorKind::InvalidArgument,
                format!("trace update is not JSON: {error}"),
            )
        })?;
        let object = value.as_object().ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidArgument,
                "trace update is not a JSON object",
            )
        })?;
        let pairs = |key: &str| {
            let members = object.get(key).and_then(Value::as_object);
            members
                .into_iter()
                .flatten()
                .filter_map(|(name, value)| Some((name.clone(), plain(value)?)))
                .collect()
        };
        let text = |key: &str| object.get(key).and_then(plain);
        Ok(TraceUpdate {
            tags: pairs("tags"),
            metadata: pairs("metadata"),
            client_request_id: text("client_request_id"),
            request_preview: text("request_preview"),
            response_preview: text("response_preview"),
            state: text("state")
                .map(|name| TraceState::parse(&name))
                .transpose()?,
            session_id: text("session_id"),
            user: text("user"),
            model_id: text("model_id"),
            assessments: object
                .get("assessments")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(Assessment::from_json)
                .collect::<Result<_>>()?,
        })
    }

    /// What [`Self::from_json`] reads.
    pub(crate) fn to_json(&self) -> String {
        let pairs = |pairs: &[(String, String)]| -> Value {
            let pairs = pairs.iter();
            pairs
                .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        serde_json::json!({
            "tags": pairs(&self.tags),
            "metadata": pairs(&self.metadata),
            "client_request_id": self.client_request_id,
            "request_preview": self.request_preview,
            "response_preview": self.response_preview,
            "state": self.state.map(TraceState::name),
            "session_id": self.session_id,
            "user": self.user,
            "model_id": self.model_id,
            "assessments": self.assessments.iter().map(Assessment::to_json).collect::<Value>(),
        })
        .to_string()
    }

    /// Takes over what `newer` sets.
    pub(crate) fn merge(&mut self, newer: &TraceUpdate) {
        fn pairs(older: &mut Vec<(String, String)>, newer: &[(String, String)]) {
            for (key, value) in newer {
                match older.iter_mut().find(|(name, _)| name == key) {
                    Some(entry) => entry.1.clone_from(value),
                    None => older.push((key.clone(), value.clone())),
                }
            }
        }
        fn text(older: &mut Option<String>, newer: &Option<String>) {
            if newer.as_ref().is_some_and(|text| !text.is_empty()) {
                older.clone_from(newer);
            }
        }
        pairs(&mut self.tags, &newer.tags);
        pairs(&mut self.metadata, &newer.metadata);
        text(&mut self.client_request_id, &newer.client_request_id);
        text(&mut self.request_preview, &newer.request_preview);
        text(&mut self.response_preview, &newer.response_preview);
        text(&mut self.session_id, &newer.session_id);
        text(&mut self.user, &newer.user);
        text(&mut self.model_id, &newer.model_id);
        self.state = newer.state.or(self.state);
        self.assessments.extend_from_slice(&newer.assessments);
    }

    /// Bytes of text, for the queue's bound.
    pub(crate) fn size(&self) -> usize {
        let pairs = self.tags.iter().chain(&self.metadata);
        let pairs = pairs.map(|(key, value)| key.len() + value.len());
        let assessments = self.assessments.iter();
        let assessments = assessments.map(|assessment| assessment.to_json().to_string().len());
        pairs.sum::<usize>() + assessments.sum::<usize>()
    }
}

/// JSON null is "not set"; everything else that is not a string is kept as its text.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(crate::json::to_text(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_from_json() {
        let update =
            TraceUpdate::from_json(r#"{"tags": {"a": 1, "b": "x", "c": null}, "state": "ERROR"}"#)
                .unwrap();
        assert_eq!(
            update.tags,
            [("a".into(), "1".into()), ("b".into(), "x".into())]
        );
        assert_eq!(update.state, Some(TraceState::Error));
        assert!(TraceUpdate::from_json(r#"{"state": "FINE"}"#).is_err());
        assert!(TraceUpdate::from_json("[]").is_err());
    }

    #[test]
    fn an_update_is_read_back() {
        let text = r#"{"tags": {"a": "1"}, "metadata": {"b": "2"}, "state": "OK", "client_request_id": "c",
            "request_preview": "d", "response_preview": "e", "session_id": "f", "user": "g", "model_id": "h"}"#;
        let update = TraceUpdate::from_json(text).unwrap();
        let mut judged = update.clone();
        judged
            .assessments
            .push(Assessment::feedback("helpful", true.into()));
        for update in [update, judged, TraceUpdate::default()] {
            assert_eq!(TraceUpdate::from_json(&update.to_json()).unwrap(), update);
        }
    }

    #[test]
    fn the_last_value_of_a_key_wins() {
        let mut update = TraceUpdate::from_json(r#"{"tags": {"a": "1"}, "user": "u"}"#).unwrap();
        update.merge(&TraceUpdate::from_json(r#"{"tags": {"a": "2"}, "user": ""}"#).unwrap());
        assert_eq!(update.tags, [("a".into(), "2".into())]);
        assert_eq!(update.user.as_deref(), Some("u"));
    }
}
