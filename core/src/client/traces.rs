//! Traces: read, tagged, linked and deleted.

use futures_util::StreamExt;
use futures_util::stream;
use reqwest::Method;
use serde_json::{Value, json};

use super::server::{Server, bad_reply};
use super::{Client, Store, Trace, TraceInfo, artifacts, files};
use crate::error::{Error, ErrorKind, Result};
use crate::export::http::{Failure, NO_ENDPOINT};
use crate::mlflow::keys;
use crate::uri::encode;

/// What MLflow's own client asks for at once.
const BATCH: usize = 10;
/// What servers take at once when traces are deleted or linked.
const CHUNK: usize = 100;
/// Requests at a time.
const PARALLEL: usize = 4;

/// Tags that a server sets itself.
const IMMUTABLE: [&str; 4] = [
    "mlflow.user",
    keys::TAG_ARTIFACT_LOCATION,
    keys::TAG_SPANS_LOCATION,
    "mlflow.trace.archiveLocation",
];
const ARCHIVAL_FAILURE: &str = "mlflow.trace.archivalFailure";

/// Which traces of an experiment are deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// Those with these ids.
    Ids(Vec<String>),
    /// The oldest up to a time in milliseconds since the Unix epoch, perhaps at most so many.
    UpTo {
        /// The time.
        timestamp_ms: u64,
        /// The number.
        max_traces: Option<u64>,
    },
}

impl Client {
    /// What is known of a trace besides its spans. Fails with `NotFound`.
    pub fn get_trace_info(&self, trace_id: &str) -> Result<TraceInfo> {
        if let Store::Files(directory) = self.store() {
            return files::get(directory, trace_id).map(|trace| trace.info);
        }
        self.call(async |server| info(server, trace_id).await)
    }

    /// A whole trace, wherever its spans are stored.
    ///
    /// Fails with `NotFound` where there is no such trace or its spans are not all there yet, and `Damaged` where they
    /// were written by half.
    pub fn get_trace(&self, trace_id: &str) -> Result<Trace> {
        if let Store::Files(directory) = self.store() {
            return files::get(directory, trace_id);
        }
        self.call(async |server| load(server, info(server, trace_id).await?).await)
    }

    /// The traces with these ids, in this order; those that there are not, or not whole, are left out.
    pub fn get_traces(&self, trace_ids: &[String]) -> Result<Vec<Trace>> {
        if let Store::Files(directory) = self.store() {
            return files::get_all(directory, trace_ids);
        }
        self.call(async |server| {
            let infos = infos(server, trace_ids).await?;
            Ok(load_all(server, infos).await?.0)
        })
    }

    /// Deletes traces for good and returns how many. Fails with `NotFound` for an unknown experiment.
    pub fn delete_traces(&self, experiment_id: &str, which: &Deletion) -> Result<u64> {
        let bodies: Vec<Value> = match which {
            Deletion::Ids(ids) => {
                let chunks = ids.chunks(CHUNK);
                let body = |ids| json!({"experiment_id": experiment_id, "request_ids": ids});
                chunks.map(body).collect()
            }
            Deletion::UpTo {
                timestamp_ms,
                max_traces,
            } => {
                let mut body = json!({
                    "experiment_id": experiment_id,
                    "max_timestamp_millis": timestamp_ms,
                });
                if let Some(most) = max_traces {
                    body["max_traces"] = (*most).into();
                }
                vec![body]
            }
        };
        self.call(async |server| {
            let mut deleted = 0;
            for body in &bodies {
                let path = "/api/2.0/mlflow/traces/delete-traces";
                let reply = server.json(Method::POST, path, body).await?;
                deleted += reply["traces_deleted"].as_u64().unwrap_or(0);
            }
            Ok(deleted)
        })
    }

    /// Sets a tag of a finished trace. Fails with `NotFound` and, for a tag that only the server sets,
    /// `InvalidArgument`.
    pub fn set_trace_tag(&self, trace_id: &str, key: &str, value: &str) -> Result<()> {
        check_settable(key)?;
        let body = json!({"key": key, "value": value});
        self.change_tag(Method::PATCH, trace_id, &body)
    }

    /// Deletes a tag of a finished trace. Fails as [`Self::set_trace_tag`], and where the trace has no such tag.
    pub fn delete_trace_tag(&self, trace_id: &str, key: &str) -> Result<()> {
        check_deletable(key)?;
        self.change_tag(Method::DELETE, trace_id, &json!({"key": key}))
    }

    fn change_tag(&self, method: Method, trace_id: &str, body: &Value) -> Result<()> {
        let path = format!("/api/2.0/mlflow/traces/{}/tags", encode(trace_id));
        self.call(async |server| {
            let reply = server.json(method.clone(), &path, body).await;
            reply.map(drop).map_err(|failure| about(trace_id, failure))
        })
    }

    /// Makes traces part of a run. Fails with `NotFound`.
    pub fn link_traces_to_run(&self, trace_ids: &[String], run_id: &str) -> Result<()> {
        self.call(async |server| {
            for ids in trace_ids.chunks(CHUNK) {
                let body = json!({"trace_ids": ids, "run_id": run_id});
                let path = "/api/2.0/mlflow/traces/link-to-run";
                server.json(Method::POST, path, &body).await?;
            }
            Ok(())
        })
    }

    /// Makes a trace of which there is only information, and returns what the server made of it. Its spans follow by
    /// [`Self::upload_trace_data`] or [`Self::export_spans`].
    pub fn create_trace(&self, info: &TraceInfo) -> Result<TraceInfo> {
        self.call(async |server| create(server, info).await)
    }

    /// Hands the server spans, an `ExportTraceServiceRequest` of OTLP in protobuf. Without bytes nothing is asked.
    ///
    /// Fails with `Unsupported` where the server stores no spans.
    pub fn export_spans(&self, experiment_id: &str, request: Vec<u8>) -> Result<()> {
        if request.is_empty() {
            return Ok(());
        }
        self.call(async |server| Ok(server.spans(experiment_id, request.clone()).await?))
    }

    /// Stores a finished trace under its own id in an experiment, and returns what the server made of its information:
    /// with its spans in the server's database, or as a file where it stores none. Doing it again changes nothing more.
    pub fn import_trace(&self, trace: &Trace, experiment_id: &str) -> Result<TraceInfo> {
        self.call(async |server| {
            let mut info = trace.info.clone();
            info.trace_location = super::TraceLocation::experiment(experiment_id);
            // Where it was stored before.
            info.tags
                .retain(|(key, _)| !IMMUTABLE.contains(&key.as_str()));
            for assessment in &mut info.assessments {
                assessment.identify();
            }
            // Servers before 3.12 count tokens twice if the information comes first.
            match server.spans(experiment_id, trace.data.to_otlp()).await {
                Err(Failure::Refused { status: 501, .. }) => {}
                Err(failure) if failure.is_missing(NO_ENDPOINT) => {}
                reply => reply?,
            }
            let stored = create(server, &info).await?;
            if stored.tag(keys::TAG_SPANS_LOCATION) != Some("TRACKING_STORE") {
                artifacts::upload(server, &stored, &trace.data).await?;
            }
            Ok(stored)
        })
    }
}

async fn create(server: &Server<'_>, info: &TraceInfo) -> Result<TraceInfo> {
    let body = json!({"trace": {"trace_info": info.to_request()}});
    let path = "/api/3.0/mlflow/traces";
    read_info(&server.json(Method::POST, path, &body).await?)
}

/// Fails with `InvalidArgument` for a tag that only the server sets.
pub(super) fn check_settable(key: &str) -> Result<()> {
    match key {
        ARCHIVAL_FAILURE => Err(immutable(key)),
        _ => check_deletable(key),
    }
}

/// Fails with `InvalidArgument` for a tag that only the server deletes.
pub(super) fn check_deletable(key: &str) -> Result<()> {
    match IMMUTABLE.contains(&key) {
        true => Err(immutable(key)),
        false => Ok(()),
    }
}

#[cold]
fn immutable(key: &str) -> Error {
    let text = format!("tag '{key}' is immutable: only the server sets it");
    Error::new(ErrorKind::InvalidArgument, text)
}

/// The information of a trace, from servers before 3.2 as well.
async fn info(server: &Server<'_>, trace_id: &str) -> Result<TraceInfo> {
    let id = encode(trace_id);
    match server.get(&format!("/api/3.0/mlflow/traces/{id}")).await {
        Err(failure) if failure.is_missing(NO_ENDPOINT) => {
            let path = format!("/api/2.0/mlflow/traces/{id}/info");
            let reply = server.get(&path).await.map_err(|_| failure)?;
            TraceInfo::from_json(&reply["trace_info"])
        }
        reply => read_info(&reply?),
    }
}

fn read_info(reply: &Value) -> Result<TraceInfo> {
    match &reply["trace"]["trace_info"] {
        Value::Null => Err(bad_reply("the reply has no trace").into()),
        info => TraceInfo::from_json(info),
    }
}

/// The information of those traces that there are, in order.
async fn infos(server: &Server<'_>, trace_ids: &[String]) -> Result<Vec<TraceInfo>> {
    let requests = trace_ids.iter().map(|id| info(server, id));
    let replies: Vec<Result<TraceInfo>> = stream::iter(requests).buffered(PARALLEL).collect().await;
    let found = replies.into_iter().filter(|reply| {
        let missing = |error: &Error| error.kind() == ErrorKind::NotFound;
        !reply.as_ref().is_err_and(missing)
    });
    found.collect()
}

/// Whether the spans are where only the server gets at them.
fn is_stored(info: &TraceInfo) -> bool {
    matches!(
        info.tag(keys::TAG_SPANS_LOCATION),
        Some("TRACKING_STORE" | "ARCHIVE_REPO")
    )
}

/// A trace with its spans.
async fn load(server: &Server<'_>, info: TraceInfo) -> Result<Trace> {
    if !is_stored(&info) {
        let data = artifacts::download(server, &info).await?;
        return Ok(Trace { info, data });
    }
    let id = encode(&info.trace_id);
    let path = format!("/api/3.0/mlflow/traces/get?trace_id={id}&allow_partial=false");
    let failure = match server.get(&path).await {
        Ok(reply) => return Trace::from_json(&reply["trace"]),
        Err(failure) => failure,
    };
    // Servers before 3.7 take the word for an id.
    let is_unknown = match &failure {
        Failure::Refused { status: 501, .. } => true,
        Failure::Refused {
            status: 404,
            code,
            message,
        } => code == NO_ENDPOINT || message.contains("'get'"),
        _ => false,
    };
    if !is_unknown {
        return Err(failure.into());
    }
    let found = batch(server, std::slice::from_ref(&info.trace_id)).await?;
    let found = found.into_iter().next();
    found.ok_or_else(|| {
        let text = format!("the spans of trace {} are not all there yet", info.trace_id);
        Error::new(ErrorKind::NotFound, text)
    })
}

/// Whole traces that the server stores; those that are not complete are missing.
async fn batch(server: &Server<'_>, ids: &[String]) -> Result<Vec<Trace>> {
    let query: Vec<String> = ids
        .iter()
        .map(|id| format!("trace_ids={}", encode(id)))
        .collect();
    let path = format!("/api/3.0/mlflow/traces/batchGet?{}", query.join("&"));
    let reply = server.get(&path).await?;
    let traces = reply["traces"].as_array().map_or(&[][..], Vec::as_slice);
    traces.iter().map(Trace::from_json).collect()
}

/// The traces with their spans, in order, and the ids of those whose spans cannot be read.
pub(super) async fn load_all(
    server: &Server<'_>,
    infos: Vec<TraceInfo>,
) -> Result<(Vec<Trace>, Vec<String>)> {
    let stored: Vec<String> = infos
        .iter()
        .filter(|info| is_stored(info))
        .map(|info| info.trace_id.clone())
        .collect();
    let batches = stored.chunks(BATCH).map(|ids| batch(server, ids));
    let batches: Vec<Result<Vec<Trace>>> = stream::iter(batches).buffered(PARALLEL).collect().await;
    // One trace may spoil its batch; then each is asked for by itself.
    let mut found: Vec<Trace> = batches
        .into_iter()
        .filter_map(Result::ok)
        .flatten()
        .collect();
    let rest = infos.into_iter().map(|info| {
        let at = found
            .iter()
            .position(|trace| trace.info.trace_id == info.trace_id);
        (at.map(|at| found.swap_remove(at)), info)
    });
    let rest: Vec<(Option<Trace>, TraceInfo)> = rest.collect();
    let requests = rest.into_iter().map(async |(trace, info)| {
        let id = info.trace_id.clone();
        match trace {
            Some(trace) => Ok((id, Some(trace))),
            None => match load(server, info).await {
                Ok(trace) => Ok((id, Some(trace))),
                Err(error) if is_about_trace(&error) => Ok((id, None)),
                Err(error) => Err(error),
            },
        }
    });
    let replies: Vec<Result<(String, Option<Trace>)>> =
        stream::iter(requests).buffered(PARALLEL).collect().await;
    let (mut traces, mut unreadable) = (Vec::new(), Vec::new());
    for reply in replies {
        match reply? {
            (_, Some(trace)) => traces.push(trace),
            (id, None) => unreadable.push(id),
        }
    }
    Ok((traces, unreadable))
}

/// Whether an error is about one trace, and another one may be read.
fn is_about_trace(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::Damaged | ErrorKind::Rejected | ErrorKind::BadReply
    )
}

/// What a failed change to a trace means. Servers let their database say that there is no such trace: of a tag all, of
/// an assessment some (3.10).
#[cold]
pub(super) fn about(trace_id: &str, failure: Failure) -> Error {
    match failure.message().contains("FOREIGN KEY") {
        true => missing(trace_id),
        false => failure.into(),
    }
}

#[cold]
fn missing(trace_id: &str) -> Error {
    let text = format!("there is no trace {trace_id}; it may not have been delivered yet");
    Error::new(ErrorKind::NotFound, text)
}
