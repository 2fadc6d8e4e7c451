//! Exports to an MLflow server, by the sequence that its version needs.
//!
//! | server | sequence |
//! |---|---|
//! | 3.12 and later | trace information, then the spans of many traces in one OTLP request |
//! | 3.6 to 3.11 | spans first: the other order counts token usage twice |
//! | 3.2 to 3.5, and file stores | trace information, then `traces.json` as an artifact |
//!
//! `docs/decisions/0004-order-of-mlflow-requests.md` has the measurements. Attachments follow the trace
//! information, and go before the spans where these come later.

mod artifacts;
mod attachments;
mod parts;
mod spans;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use once_cell::unsync::OnceCell;
use reqwest::Method;
use serde_json::json;

use super::http::{Failure, Http, Request};
use super::{Exporter, Verdict, experiments};
use crate::mlflow::{info, keys};
use crate::otlp::reader::{self, SpanData};
use crate::pipeline::stats::Drop;
use crate::shared::Shared;
use crate::trace::{Experiment, Finished};
use parts::Parts;

/// What the server's version implies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Server {
    sequence: Sequence,
    gzip: bool,
    /// Whether content is moved out of spans. It stays for older servers, whose readers expect it there.
    attachments: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sequence {
    InfoThenSpans,
    SpansThenInfo,
    InfoThenArtifact,
}

impl Server {
    /// `None` for servers before 3.2, which do not know this protocol. A version that cannot be read
    /// is taken for a new one: what it lacks shows in its replies.
    fn from_version(version: &str) -> Option<Self> {
        let mut parts = version
            .trim()
            .split('.')
            .map(|part| part.parse::<u32>().ok());
        let version = match (parts.next().flatten(), parts.next().flatten()) {
            (Some(major), Some(minor)) => (major, minor),
            _ => (u32::MAX, 0),
        };
        let sequence = match version {
            (..=2, _) | (3, ..=1) => return None,
            (3, ..=5) => Sequence::InfoThenArtifact,
            (3, ..=11) => Sequence::SpansThenInfo,
            _ => Sequence::InfoThenSpans,
        };
        Some(Server {
            sequence,
            gzip: version >= (3, 7),
            attachments: version >= (3, 12),
        })
    }
}

/// Stops a pass: the rest of the batch is offered again after this time, if one is named.
struct TryAgain(Option<Duration>);

type Pass = Result<(), TryAgain>;

pub(super) struct MlflowExporter {
    shared: Arc<Shared>,
    http: OnceCell<Http>,
    server: Cell<Option<Server>>,
    /// Ids of experiments by workspace and name.
    experiments: RefCell<HashMap<(Option<String>, String), String>>,
    /// Whether the server itself stores artifacts, by workspace and experiment id.
    stores_artifacts: RefCell<HashMap<(Option<String>, String), bool>>,
    parts: RefCell<Parts>,
}

impl Exporter for MlflowExporter {
    fn export<'a>(
        &'a self,
        batch: &'a mut Vec<Finished>,
    ) -> Pin<Box<dyn Future<Output = Verdict> + 'a>> {
        Box::pin(async move {
            let pass = self.pass(batch).await;
            batch.retain_mut(|trace| {
                if trace.progress.settled {
                    self.parts.borrow_mut().settle(trace, &self.shared);
                }
                !trace.progress.settled
            });
            match pass {
                Ok(()) => Verdict::Done,
                Err(TryAgain(after)) => Verdict::Retry(after),
            }
        })
    }
}

/// What is held for traces that did not come to their end is not kept silently.
impl std::ops::Drop for MlflowExporter {
    fn drop(&mut self) {
        let held = self.parts.borrow().held();
        self.shared.counters.drop(Drop::Shutdown, held);
    }
}

impl MlflowExporter {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        MlflowExporter {
            shared,
            http: OnceCell::new(),
            server: Cell::new(None),
            experiments: RefCell::default(),
            stores_artifacts: RefCell::default(),
            parts: RefCell::default(),
        }
    }

    async fn pass(&self, batch: &mut [Finished]) -> Pass {
        let http = match self.http.get_or_try_init(|| Http::new(&self.shared.config)) {
            Ok(http) => http,
            Err(error) => {
                batch
                    .iter_mut()
                    .for_each(|trace| self.shared.rejected(trace, error.message()));
                return Ok(());
            }
        };
        let Some(server) = self.learn(http).await? else {
            let why = "the server is older than MLflow 3.2, which is the first that takes traces this way";
            batch
                .iter_mut()
                .for_each(|trace| self.shared.rejected(trace, why));
            return Ok(());
        };
        batch.sort_by(|a, b| a.destination.cmp(b.destination));
        for group in batch.chunk_by_mut(|a, b| a.destination == b.destination) {
            if let Some(experiment) = self.experiment(http, group).await? {
                self.send_group(http, server, &experiment, group).await?;
            }
        }
        Ok(())
    }

    /// The server's version, asked once.
    async fn learn(&self, http: &Http) -> Result<Option<Server>, TryAgain> {
        if let Some(server) = self.server.get() {
            return Ok(Some(server));
        }
        let version = match http.send(Request::get("/version")).await {
            Ok(body) => String::from_utf8_lossy(&body).into_owned(),
            Err(Failure::Refused { .. }) => String::new(),
            Err(failure) => return Err(self.try_again(&failure)),
        };
        self.server.set(Server::from_version(&version));
        Ok(self.server.get())
    }

    /// The experiment id of a group; `None` when it does not exist and the group was given up.
    async fn experiment(
        &self,
        http: &Http,
        group: &mut [Finished],
    ) -> Result<Option<String>, TryAgain> {
        let Some(destination) = group.first().map(|trace| trace.destination) else {
            return Ok(None);
        };
        let name = match &destination.experiment {
            Experiment::Id(id) => return Ok(Some(id.clone())),
            Experiment::Name(name) => name,
        };
        let key = (destination.workspace.clone(), name.clone());
        if let Some(id) = self.experiments.borrow().get(&key) {
            return Ok(Some(id.clone()));
        }
        match experiments::by_name(http, destination.workspace.as_deref(), name).await {
            Ok(experiment) => {
                self.experiments
                    .borrow_mut()
                    .insert(key, experiment.experiment_id.clone());
                Ok(Some(experiment.experiment_id))
            }
            Err(Failure::Refused { message, .. }) => {
                let why = format!("experiment '{name}': {message}");
                group
                    .iter_mut()
                    .for_each(|trace| self.shared.rejected(trace, &why));
                Ok(None)
            }
            Err(failure) => Err(self.try_again(&failure)),
        }
    }

    async fn send_group(
        &self,
        http: &Http,
        server: Server,
        experiment: &str,
        group: &mut [Finished],
    ) -> Pass {
        let takes_parts = server.sequence != Sequence::InfoThenArtifact;
        let flag = &self.shared.takes_parts;
        flag.store(takes_parts, Ordering::Relaxed);
        if !takes_parts {
            self.parts.borrow_mut().hold(group);
        }
        self.parts.borrow_mut().restore(group);
        self.prepare(http, server, experiment, group).await?;
        self.parts.borrow_mut().note(group);
        match server.sequence {
            Sequence::InfoThenSpans => {
                let first = parts::first(group);
                let parts = &mut group[..first];
                self.send_attachments(http, parts).await?;
                self.send_spans(http, server.gzip, experiment, parts)
                    .await?;
                for part in parts.iter_mut().filter(|part| part.progress.settled) {
                    self.parts.borrow_mut().settle(part, &self.shared);
                }
                self.send_infos(http, experiment, group).await?;
                self.send_attachments(http, group).await?;
                self.send_spans(http, server.gzip, experiment, group)
                    .await?;
            }
            Sequence::SpansThenInfo => {
                self.send_spans(http, server.gzip, experiment, group)
                    .await?;
                self.send_infos(http, experiment, group).await?;
                self.send_attachments(http, group).await?;
            }
            Sequence::InfoThenArtifact => {
                self.send_infos(http, experiment, group).await?;
                self.send_attachments(http, group).await?;
            }
        }
        // The server may have turned out to store no spans, then or in an earlier pass.
        self.send_artifacts(http, group).await?;
        for trace in group.iter_mut().filter(|trace| !trace.progress.settled) {
            self.shared.delivered(trace);
        }
        Ok(())
    }

    /// Posts the information of each trace, once.
    async fn send_infos(&self, http: &Http, experiment: &str, group: &mut [Finished]) -> Pass {
        for trace in group
            .iter_mut()
            .filter(|trace| !trace.progress.settled && !trace.progress.info_sent)
        {
            let spans = decode(trace);
            let Some(info) = info::assemble(
                trace,
                &spans,
                self.parts.borrow().of(trace),
                experiment,
                &self.shared.config,
            ) else {
                continue;
            };
            let body = json!({"trace": {"trace_info": info}});
            let request = Request::json(Method::POST, "/api/3.0/mlflow/traces", &body)
                .workspace(trace.destination.workspace.as_deref());
            match http.json(request).await {
                Ok(reply) => {
                    let tags = &reply["trace"]["trace_info"]["tags"];
                    let tag = |key: &str| tags[key].as_str().map(str::to_owned);
                    trace.progress.info_sent = true;
                    trace.progress.artifact_location = tag(keys::TAG_ARTIFACT_LOCATION);
                    // 3.6 stores spans only in its database, and says so before it has any.
                    trace.progress.stored =
                        tag(keys::TAG_SPANS_LOCATION).as_deref() == Some("TRACKING_STORE");
                }
                Err(failure) => self.refuse_or_retry(trace, &failure)?,
            }
        }
        Ok(())
    }

    /// Gives a trace up, or ends the pass so that everything left is tried again.
    fn refuse_or_retry(&self, trace: &mut Finished, failure: &Failure) -> Pass {
        match failure {
            Failure::Refused { message, .. } => self.shared.rejected(trace, message),
            Failure::Server { message } if trace.progress.is_suspect() => {
                self.shared.rejected(trace, message)
            }
            Failure::Server { .. } => {
                trace.progress.suspect();
                return Err(self.try_again(failure));
            }
            Failure::Retry { .. } => return Err(self.try_again(failure)),
        }
        Ok(())
    }

    fn try_again(&self, failure: &Failure) -> TryAgain {
        self.shared.diagnostics.report("unreachable", || {
            format!(
                "traces wait, the server does not take them: {}",
                failure.message()
            )
        });
        match failure {
            Failure::Retry { after, .. } => TryAgain(*after),
            _ => TryAgain(None),
        }
    }
}

fn decode(trace: &Finished) -> Vec<SpanData> {
    let mut spans: Vec<SpanData> = reader::spans(&trace.spans)
        .filter_map(|message| SpanData::decode(message).ok())
        .collect();
    // In order of creation, as readers of traces.json expect; parents before children.
    spans.sort_by_key(|span| (span.start, !span.parent_span_id.is_empty()));
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_stays_in_the_spans_for_older_servers() {
        let moves = |version| Server::from_version(version).map(|server| server.attachments);
        assert_eq!(moves("3.11.1"), Some(false));
        assert_eq!(moves("3.12.0"), Some(true));
    }

    #[test]
    fn sequences_by_version() {
        let sequence = |version| Server::from_version(version).map(|server| server.sequence);
        assert_eq!(sequence("2.22.0"), None);
        assert_eq!(sequence("3.1.4"), None);
        assert_eq!(sequence("3.4.0"), Some(Sequence::InfoThenArtifact));
        assert_eq!(sequence("3.6.0"), Some(Sequence::SpansThenInfo));
        assert_eq!(sequence("3.11.1"), Some(Sequence::SpansThenInfo));
        assert_eq!(sequence("3.12.0"), Some(Sequence::InfoThenSpans));
        assert_eq!(sequence("3.17.2.dev0"), Some(Sequence::InfoThenSpans));
        assert_eq!(sequence("not a version"), Some(Sequence::InfoThenSpans));
    }
}
