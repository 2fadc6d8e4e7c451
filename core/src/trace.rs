//! A trace: what spans share while they are recorded, and what is handed over when they have ended.

use std::sync::Arc;

use serde_json::Value;

pub(crate) use crate::destination::{Destination, Experiment};
use crate::error::{Error, ErrorKind, Result};
pub(crate) use crate::finished::{Finished, Progress};
use crate::id::TraceId;
use crate::local::Local;
use crate::otlp::{SCOPE_SPANS_SPANS, wire};
use crate::state::State;

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
}

impl TraceUpdate {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == TraceUpdate::default()
    }

    /// Reads `{"tags": {..}, "metadata": {..}, "client_request_id": .., "request_preview": ..,
    /// "response_preview": .., "state": .., "session_id": .., "user": .., "model_id": ..}`.
    ///
    /// Values that are not strings are kept as their JSON text; unknown members are ignored. Fails
    /// with `InvalidArgument` for text that is not a JSON object and for an unknown state.
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
        })
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
    }

    /// Bytes of text, for the queue's bound.
    pub(crate) fn size(&self) -> usize {
        let pairs = self.tags.iter().chain(&self.metadata);
        pairs.map(|(key, value)| key.len() + value.len()).sum()
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

/// The state that the open spans of one trace share. It lies in the slot of its first span, and is used
/// again for the next trace there.
pub(crate) struct Trace {
    pub(crate) id: TraceId,
    pub(crate) destination: &'static Destination,
    /// The tracer that it belongs to.
    pub(crate) state: Arc<State>,
    /// Open spans; none when the trace was handed over.
    open: u32,
    /// Rooted in another process: its spans are sent, its information is the other's business.
    remote: bool,
    root_ended: bool,
    /// Ended spans as a run of `ScopeSpans.spans` fields.
    spans: Vec<u8>,
    ended: u32,
    /// Boxed: most traces set nothing.
    update: Option<Box<TraceUpdate>>,
}

/// What a new trace is made from.
pub(crate) struct Opening<'a> {
    pub(crate) id: TraceId,
    pub(crate) remote: bool,
    pub(crate) destination: &'static Destination,
    pub(crate) state: &'a Arc<State>,
}

impl Trace {
    /// Begins a trace with its first span open, in the place of one that is over if there is one.
    #[inline]
    pub(crate) fn open<'a>(
        place: &'a mut Option<Box<Trace>>,
        opening: Opening<'_>,
        local: &mut Local,
    ) -> &'a mut Trace {
        let spans = local.buffers.take();
        match place {
            Some(trace) => {
                trace.id = opening.id;
                trace.destination = opening.destination;
                // Counting a reference costs as much as all the rest.
                if !Arc::ptr_eq(&trace.state, opening.state) {
                    trace.state = opening.state.clone();
                }
                trace.open = 1;
                trace.remote = opening.remote;
                trace.root_ended = false;
                trace.spans = spans;
                trace.ended = 0;
                trace
            }
            None => place.insert(Box::new(Trace {
                id: opening.id,
                destination: opening.destination,
                state: opening.state.clone(),
                open: 1,
                remote: opening.remote,
                root_ended: false,
                spans,
                ended: 0,
                update: None,
            })),
        }
    }

    /// Whether it was not handed over yet.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.open > 0
    }

    /// Counts one more open span.
    #[inline]
    pub(crate) fn open_span(&mut self) {
        self.open += 1;
    }

    /// As [`Self::open_span`], for the root of a trace that was taken for a remote one.
    pub(crate) fn open_root(&mut self) {
        self.open += 1;
        self.remote = false;
    }

    /// Merges `update`.
    pub(crate) fn update(&mut self, update: &TraceUpdate) {
        self.update.get_or_insert_default().merge(update);
    }

    /// Takes the bytes of a span that ended. Returns the whole trace when nothing of it is open.
    #[inline]
    pub(crate) fn end_span(&mut self, span: &[u8], is_root: bool) -> Option<Finished> {
        self.spans.reserve(wire::field_len(span.len()));
        wire::bytes_field(&mut self.spans, SCOPE_SPANS_SPANS, span);
        self.ended += 1;
        self.open = self.open.saturating_sub(1);
        self.root_ended |= is_root;
        (self.open == 0).then(|| self.close())
    }

    /// Forgets a span that will never end (its host lost it). Returns what is left of the trace
    /// when nothing of it is open any more.
    pub(crate) fn lose_span(&mut self) -> Option<Finished> {
        self.open = self.open.saturating_sub(1);
        (self.open == 0).then(|| self.close())
    }

    /// Hands over what ended, whatever is still open; returns the number of spans given up with it.
    pub(crate) fn force_close(&mut self) -> (Finished, u32) {
        let open = std::mem::take(&mut self.open);
        (self.close(), open)
    }

    #[inline]
    fn close(&mut self) -> Finished {
        Finished {
            id: self.id,
            destination: self.destination,
            has_info: !self.remote && self.root_ended,
            update: self.update.take(),
            spans: std::mem::take(&mut self.spans),
            span_count: self.ended,
            progress: Progress::default(),
        }
    }

    /// Spans that have ended and were not handed over.
    pub(crate) fn ended(&self) -> u64 {
        u64::from(self.ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local;

    fn trace(remote: bool) -> Box<Trace> {
        let opening = Opening {
            id: TraceId::generate(),
            remote,
            destination: crate::destination::by_number(0),
            state: &State::new(crate::Config::new()),
        };
        let mut place = None;
        local::with(|local| {
            Trace::open(&mut place, Opening { ..opening }, local);
        });
        place.unwrap()
    }

    #[test]
    fn completes_when_the_root_and_every_child_ended() {
        let mut trace = trace(false);
        trace.open_span();
        assert!(trace.end_span(b"root", true).is_none());
        let finished = trace.end_span(b"child", false).unwrap();
        assert_eq!(finished.span_count, 2);
        assert!(finished.has_info);
        assert!(!trace.is_open());
    }

    #[test]
    fn a_remote_trace_hands_over_spans_only() {
        let finished = trace(true).end_span(b"span", false).unwrap();
        assert!(!finished.has_info);
    }

    #[test]
    fn forced_closing_counts_what_was_open() {
        let mut trace = trace(false);
        trace.open_span();
        assert!(trace.end_span(b"child", false).is_none());
        let (finished, open) = trace.force_close();
        assert_eq!((finished.span_count, open), (1, 1));
        assert!(!trace.is_open());
    }

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
    fn the_last_value_of_a_key_wins() {
        let mut update = TraceUpdate::from_json(r#"{"tags": {"a": "1"}, "user": "u"}"#).unwrap();
        update.merge(&TraceUpdate::from_json(r#"{"tags": {"a": "2"}, "user": ""}"#).unwrap());
        assert_eq!(update.tags, [("a".into(), "2".into())]);
        assert_eq!(update.user.as_deref(), Some("u"));
    }
}
