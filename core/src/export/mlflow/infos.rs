//! The information of traces: one request for each, once.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::{MlflowExporter, Pass, decode};
use crate::export::http::{Failure, Http, Request};
use crate::mlflow::{info, keys};
use crate::trace::Finished;

/// How long after a post without a reply the server is asked whether it has the information: another post could undo
/// what a user did since.
const LOOK_AFTER: Duration = Duration::from_secs(5);

impl MlflowExporter {
    /// Posts the information of each trace. One that the server stumbles over does not hold up the next.
    pub(super) async fn send_infos(
        &self,
        http: &Http,
        experiment: &str,
        group: &mut [Finished],
    ) -> Pass {
        let mut stumbled = false;
        let has_info = |trace: &&mut Finished| trace.has_info && !trace.progress.info_sent;
        for trace in group.iter_mut().filter(has_info) {
            if !trace.is_waiting() || self.has_info(http, trace).await? {
                continue;
            }
            let Some(body) = self.info(trace, experiment) else {
                continue;
            };
            let request = Request::json(Method::POST, "/api/3.0/mlflow/traces", &body)
                .workspace(trace.destination.workspace.as_deref());
            let posted = Instant::now();
            match http.json(request).await {
                Ok(reply) => {
                    self.took_something();
                    note(trace, &reply);
                    stumbled = false;
                }
                Err(failure) => {
                    if is_unknown(&failure) {
                        trace.progress.doubt(posted);
                    }
                    let is_second = stumbled;
                    stumbled = self.refuse_or_retry(trace, &failure)?;
                    if stumbled && is_second {
                        return Err(self.stop(&failure));
                    }
                }
            }
        }
        Ok(())
    }

    fn info(&self, trace: &Finished, experiment: &str) -> Option<Value> {
        let spans = decode(trace);
        let parts = self.parts.borrow();
        let info = info::assemble(
            trace,
            &spans,
            parts.of(trace),
            experiment,
            &self.shared.config,
        )?;
        Some(json!({"trace": {"trace_info": info}}))
    }

    /// Whether the server has the information that was posted before.
    async fn has_info(&self, http: &Http, trace: &mut Finished) -> Result<bool, super::Stop> {
        // Nobody knows how far the process came that recorded it.
        let is_recovered = trace.origin.is_some();
        let is_doubtful = |since: Instant| since.elapsed() >= LOOK_AFTER;
        if !is_recovered && !trace.progress.doubted().is_some_and(is_doubtful) {
            return Ok(false);
        }
        let path = format!("/api/3.0/mlflow/traces/{}", trace.id.to_mlflow());
        let request = Request::get(&path).workspace(trace.destination.workspace.as_deref());
        let reply = self
            .look_up(http.json(request).await)?
            .unwrap_or(Value::Null);
        let metadata = &reply["trace"]["trace_info"]["trace_metadata"];
        let has_it = metadata[keys::META_INFO_FINALIZED] == "true";
        if has_it {
            note(trace, &reply);
            if trace.is_orphan() {
                // It did end: its root is not to be sent as one that did not.
                self.shared.delivered(trace);
            }
        }
        Ok(has_it)
    }
}

/// Whether the server may have done what it was asked to.
fn is_unknown(failure: &Failure) -> bool {
    // A gateway that got no reply in time, as well.
    matches!(
        failure,
        Failure::Retry {
            status: 0 | 408 | 502 | 504,
            ..
        }
    )
}

/// Notes what the server tells of a trace whose information it has.
fn note(trace: &mut Finished, reply: &Value) {
    let tags = &reply["trace"]["trace_info"]["tags"];
    let tag = |key: &str| tags[key].as_str().map(str::to_owned);
    let progress = &mut trace.progress;
    progress.info_sent = true;
    progress.locate_artifacts(tag(keys::TAG_ARTIFACT_LOCATION));
    // 3.6 stores spans only in its database, and says so before it has any.
    progress.stored = tag(keys::TAG_SPANS_LOCATION).as_deref() == Some("TRACKING_STORE");
}
