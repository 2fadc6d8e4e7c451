//! A trace: what spans share while they are recorded, and what is handed over when they have ended.

use std::sync::Arc;

use crate::lock::Mutex;
use serde_json::Value;

use crate::buffers;
use crate::error::{Error, ErrorKind, Result};
use crate::id::TraceId;
use crate::mlflow::attachment::Attachment;
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
    fn size(&self) -> usize {
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

/// Where a trace goes; fixed when its root starts.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Destination {
    pub(crate) experiment: Experiment,
    pub(crate) workspace: Option<String>,
}

/// An experiment as it was configured. Names are resolved by the exporter, never by the caller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Experiment {
    Id(String),
    Name(String),
}

/// What every span of a trace begins with, encoded once: the trace id and `mlflow.traceRequestId`.
pub(crate) struct Prefix([u8; Prefix::LENGTH]);

impl Prefix {
    const LENGTH: usize = 82;
    /// Where the attribute begins.
    const ATTRIBUTE: usize = 18;

    fn new(id: TraceId) -> Self {
        let mut out = *b"\x0a\x10................\
            \x4a\x3e\x0a\x15mlflow.traceRequestId\x12\x25\x0a\x23...................................";
        out[2..Self::ATTRIBUTE].copy_from_slice(id.bytes());
        out[Self::LENGTH - 35..].copy_from_slice(id.mlflow_text().as_bytes());
        Prefix(out)
    }

    /// Both fields of the `Span` message.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The attribute alone.
    pub(crate) fn attribute(&self) -> &[u8] {
        &self.0[Self::ATTRIBUTE..]
    }
}

/// The state that the open spans of one trace share.
pub(crate) struct Trace {
    pub(crate) id: TraceId,
    pub(crate) prefix: Prefix,
    pub(crate) destination: Arc<Destination>,
    /// The tracer that it belongs to.
    pub(crate) state: Arc<State>,
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    open: u32,
    /// Rooted in another process: its spans are sent, its information is the other's business.
    remote: bool,
    root_ended: bool,
    /// Completed and handed over: late spans need a new trace.
    closed: bool,
    /// Ended spans as a run of `ScopeSpans.spans` fields.
    spans: Vec<u8>,
    ended: u32,
    /// Boxed: most traces set nothing.
    update: Option<Box<TraceUpdate>>,
}

impl Trace {
    /// A trace with its first span open.
    pub(crate) fn new(
        id: TraceId,
        remote: bool,
        destination: Arc<Destination>,
        state: Arc<State>,
    ) -> Self {
        Trace {
            id,
            prefix: Prefix::new(id),
            destination,
            state,
            shared: Mutex::new(Shared {
                open: 1,
                remote,
                ..Shared::default()
            }),
        }
    }

    /// Counts one more open span; false when the trace has been handed over already.
    pub(crate) fn open_span(&self) -> bool {
        let mut shared = self.shared.lock();
        if !shared.closed {
            shared.open += 1;
        }
        !shared.closed
    }

    /// As [`Self::open_span`], for the root of a trace that was taken for a remote one.
    pub(crate) fn open_root(&self) -> bool {
        let mut shared = self.shared.lock();
        if !shared.closed {
            shared.open += 1;
            shared.remote = false;
        }
        !shared.closed
    }

    /// Merges `update`; false when the trace has been handed over already.
    pub(crate) fn update(&self, update: &TraceUpdate) -> bool {
        let mut shared = self.shared.lock();
        if !shared.closed {
            shared.update.get_or_insert_default().merge(update);
        }
        !shared.closed
    }

    /// Takes the bytes of a span that ended. Returns the whole trace when nothing of it is open.
    pub(crate) fn end_span(&self, span: &[u8], is_root: bool) -> Option<Finished> {
        let mut shared = self.shared.lock();
        if shared.closed {
            // Given up at shutdown and counted there.
            return None;
        }
        if shared.ended == 0 {
            shared.spans = buffers::take();
        }
        shared.spans.reserve(wire::field_len(span.len()));
        wire::bytes_field(&mut shared.spans, SCOPE_SPANS_SPANS, span);
        shared.ended += 1;
        shared.open = shared.open.saturating_sub(1);
        shared.root_ended |= is_root;
        let complete = shared.open == 0 && (shared.root_ended || shared.remote);
        complete.then(|| self.close(&mut shared))
    }

    /// Forgets a span that will never end (its host lost it). Returns what is left of the trace
    /// when nothing of it is open any more.
    pub(crate) fn lose_span(&self) -> Option<Finished> {
        let mut shared = self.shared.lock();
        if shared.closed {
            return None;
        }
        shared.open = shared.open.saturating_sub(1);
        (shared.open == 0).then(|| self.close(&mut shared))
    }

    /// Hands over what ended, whatever is still open; returns the number of spans given up with it.
    pub(crate) fn force_close(&self) -> (Option<Finished>, u32) {
        let mut shared = self.shared.lock();
        if shared.closed {
            return (None, 0);
        }
        let open = std::mem::take(&mut shared.open);
        let finished = self.close(&mut shared);
        (
            Some(finished).filter(|finished| finished.span_count > 0),
            open,
        )
    }

    fn close(&self, shared: &mut Shared) -> Finished {
        shared.closed = true;
        Finished {
            id: self.id,
            destination: self.destination.clone(),
            has_info: !shared.remote && shared.root_ended,
            update: shared.update.take(),
            spans: std::mem::take(&mut shared.spans),
            span_count: shared.ended,
            attachments: Vec::new(),
            progress: Progress::default(),
        }
    }

    /// Spans that have ended and were not handed over.
    pub(crate) fn ended(&self) -> u64 {
        let shared = self.shared.lock();
        if shared.closed {
            0
        } else {
            u64::from(shared.ended)
        }
    }
}

/// A trace on its way to the exporter.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) id: TraceId,
    pub(crate) destination: Arc<Destination>,
    /// Whether its information is ours to send; not so for the local part of a trace that is rooted
    /// elsewhere.
    pub(crate) has_info: bool,
    /// What the host set of the information; absent when it set nothing.
    pub(crate) update: Option<Box<TraceUpdate>>,
    /// A run of `ScopeSpans.spans` fields.
    pub(crate) spans: Vec<u8>,
    pub(crate) span_count: u32,
    /// Content that its spans refer to and that is still to be stored.
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) progress: Progress,
}

impl Drop for Finished {
    fn drop(&mut self) {
        buffers::give(std::mem::take(&mut self.spans));
    }
}

/// How far the delivery of a trace got, so that a retry sends nothing twice.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Delivered or given up, and counted.
    pub(crate) settled: bool,
    /// It was decided what becomes of its attachments.
    pub(crate) prepared: bool,
    pub(crate) info_sent: bool,
    pub(crate) spans_sent: bool,
    /// The server refused these very spans; they may still go into an artifact.
    pub(crate) spans_refused: bool,
    /// The server said that it keeps spans in its database.
    pub(crate) stored: bool,
    /// Where the server wants artifacts of the trace.
    pub(crate) artifact_location: Option<String>,
    server_errors: u8,
}

impl Progress {
    /// How often a payload may be answered with a server error before it is taken for the cause.
    const MAX_SERVER_ERRORS: u8 = 3;

    /// Counts a server error.
    pub(crate) fn suspect(&mut self) {
        self.server_errors = self.server_errors.saturating_add(1);
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.server_errors >= Self::MAX_SERVER_ERRORS
    }

    /// Forgets server errors: the payload that met them is out of the way.
    pub(crate) fn forgive(&mut self) {
        self.server_errors = 0;
    }

    /// Whether its spans are still to be sent.
    pub(crate) fn lacks_spans(&self) -> bool {
        !self.settled && !self.spans_sent && !self.spans_refused
    }
}

impl Finished {
    /// Bytes that it holds, for the queue's bound.
    pub(crate) fn size(&self) -> usize {
        let attachments = self.attachments.iter().map(Attachment::size);
        size_of::<Self>()
            + self.spans.len()
            + attachments.sum::<usize>()
            + self.update.as_ref().map_or(0, |update| update.size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(remote: bool) -> Trace {
        let destination = Destination {
            experiment: Experiment::Id("0".into()),
            workspace: None,
        };
        let state = State::new(crate::Config::new());
        Trace::new(TraceId::generate(), remote, Arc::new(destination), state)
    }

    #[test]
    fn the_prefix_is_what_would_be_encoded() {
        use crate::mlflow::keys;
        use crate::otlp::span as field;
        use crate::value::{Value, encode_key_value};
        let id = TraceId::generate();
        let mut encoded = Vec::new();
        wire::bytes_field(&mut encoded, field::TRACE_ID, id.bytes());
        let request_id = Value::Str(&id.to_mlflow());
        encode_key_value(
            &mut encoded,
            field::ATTRIBUTES,
            keys::TRACE_REQUEST_ID,
            request_id,
        );
        assert_eq!(Prefix::new(id).bytes(), encoded);
    }

    #[test]
    fn completes_when_the_root_and_every_child_ended() {
        let trace = trace(false);
        assert!(trace.open_span());
        assert!(trace.end_span(b"root", true).is_none());
        let finished = trace.end_span(b"child", false).unwrap();
        assert_eq!(finished.span_count, 2);
        assert!(finished.has_info);
        assert!(!trace.open_span());
        assert!(!trace.update(&TraceUpdate::default()));
    }

    #[test]
    fn a_remote_trace_hands_over_spans_only() {
        let finished = trace(true).end_span(b"span", false).unwrap();
        assert!(!finished.has_info);
    }

    #[test]
    fn forced_closing_counts_what_was_open() {
        let trace = trace(false);
        trace.open_span();
        assert!(trace.end_span(b"child", false).is_none());
        let (finished, open) = trace.force_close();
        assert_eq!((finished.unwrap().span_count, open), (1, 1));
        assert_eq!(trace.force_close().1, 0);
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
