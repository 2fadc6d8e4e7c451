//! Exports to an MLflow server, by the sequence that its version needs.
//!
//! | server | sequence |
//! |---|---|
//! | 3.12 and later | trace information, then the spans of many traces in one OTLP request |
//! | 3.13 and later, if asked to | spans alone, with what there is place for on the root |
//! | 3.6 to 3.11 | spans first: the other order counts token usage twice |
//! | 3.2 to 3.5, and file stores | trace information, then `traces.json` as an artifact |
//!
//! `docs/decisions/0004-order-of-mlflow-requests.md` has the measurements. Attachments follow the trace
//! information, and go before the spans where these come later.

pub(crate) mod artifacts;
mod attachments;
mod infos;
mod native;
mod parts;
mod server;
mod spans;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use once_cell::unsync::OnceCell;

use super::http::{Failure, Http};
use super::{Exporter, Verdict, experiments};
use crate::otlp::reader::{self, SpanData};
use crate::shared::Shared;
use crate::trace::{Experiment, Finished};
use parts::Parts;
use server::{Known, Sequence, Server};

/// Why a pass ended before its end.
#[derive(Debug)]
enum Stop {
    /// The rest of the batch is offered again, after this time if one is named.
    Later(Option<Duration>),
    /// The server takes nothing from us.
    Parked,
    /// The server turned out to want another sequence.
    Anew,
}

type Pass = std::result::Result<(), Stop>;

pub(super) struct MlflowExporter {
    shared: Arc<Shared>,
    http: OnceCell<Http>,
    known: Cell<Option<Known>>,
    /// When the server last took information or spans.
    taken: Cell<Option<Instant>>,
    /// Ids of experiments by workspace and name.
    experiments: RefCell<HashMap<(Option<String>, String), String>>,
    /// Where artifacts lie, by workspace and experiment id.
    artifacts: RefCell<HashMap<(Option<String>, String), String>>,
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
                Ok(()) | Err(Stop::Anew) => Verdict::Done,
                Err(Stop::Later(after)) => Verdict::Retry(after),
                Err(Stop::Parked) => Verdict::Park,
            }
        })
    }
}

/// What is held for traces that did not come to their end is not kept silently.
impl std::ops::Drop for MlflowExporter {
    fn drop(&mut self) {
        self.parts.borrow().abandon(&self.shared);
    }
}

impl MlflowExporter {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        MlflowExporter {
            shared,
            http: OnceCell::new(),
            known: Cell::new(None),
            taken: Cell::new(None),
            experiments: RefCell::default(),
            artifacts: RefCell::default(),
            parts: RefCell::default(),
        }
    }

    async fn pass(&self, batch: &mut Vec<Finished>) -> Pass {
        batch
            .iter_mut()
            .for_each(|trace| trace.progress.delayed = false);
        let http = match self.http.get_or_try_init(|| Http::new(&self.shared.config)) {
            Ok(http) => http,
            Err(error) => {
                self.reject(batch, error.message());
                return Ok(());
            }
        };
        loop {
            let Some(server) = self.learn(http).await? else {
                let why = "the server is older than MLflow 3.2, which is the first that takes traces this way";
                self.reject(batch, why);
                return Ok(());
            };
            let Some(experiment) = self.experiment(http, batch).await? else {
                return Ok(());
            };
            match self.send(http, server, &experiment, batch).await {
                Err(Stop::Anew) => {}
                sent => break sent?,
            }
        }
        match batch.iter().any(|trace| trace.progress.delayed) {
            true => Err(Stop::Later(None)),
            false => Ok(()),
        }
    }

    fn reject(&self, batch: &mut [Finished], why: &str) {
        batch
            .iter_mut()
            .for_each(|trace| self.shared.rejected(trace, why));
    }

    /// The experiment id of a batch; `None` when it does not exist and the batch was given up.
    async fn experiment(
        &self,
        http: &Http,
        batch: &mut [Finished],
    ) -> std::result::Result<Option<String>, Stop> {
        let Some(destination) = batch.first().map(|trace| trace.destination) else {
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
                let id = experiment.experiment_id;
                self.experiments.borrow_mut().insert(key, id.clone());
                Ok(Some(id))
            }
            Err(Failure::Refused { message, .. }) => {
                self.reject(batch, &format!("experiment '{name}': {message}"));
                Ok(None)
            }
            Err(failure) => Err(self.stop(&failure)),
        }
    }

    async fn send(
        &self,
        http: &Http,
        server: Server,
        experiment: &str,
        batch: &mut Vec<Finished>,
    ) -> Pass {
        let takes_parts = server.sequence.takes_parts();
        let flag = &self.shared.takes_parts;
        flag.store(takes_parts, Ordering::Relaxed);
        if !takes_parts {
            self.parts.borrow_mut().hold(batch);
        }
        self.parts.borrow_mut().restore(batch);
        if let Some(depot) = &self.shared.depot {
            let held = self.parts.borrow().recovered();
            depot.held.store(held, Ordering::Relaxed);
        }
        self.prepare(http, server, experiment, batch).await?;
        if server.sequence != Sequence::SpansOnly {
            self.parts.borrow_mut().note(batch);
        }
        let all = batch.len();
        match server.sequence {
            Sequence::InfoThenSpans => {
                let first = parts::first(batch);
                self.send_attachments(http, &mut batch[..first]).await?;
                let first = self
                    .send_spans(http, server, experiment, batch, first)
                    .await?;
                for part in batch[..first]
                    .iter_mut()
                    .filter(|part| part.progress.settled)
                {
                    self.parts.borrow_mut().settle(part, &self.shared);
                }
                self.send_infos(http, experiment, batch).await?;
                self.send_attachments(http, batch).await?;
                let all = batch.len();
                self.send_spans(http, server, experiment, batch, all)
                    .await?;
            }
            Sequence::SpansThenInfo => {
                self.send_spans(http, server, experiment, batch, all)
                    .await?;
                self.send_infos(http, experiment, batch).await?;
                self.send_attachments(http, batch).await?;
            }
            Sequence::InfoThenArtifact => {
                self.send_infos(http, experiment, batch).await?;
                self.send_attachments(http, batch).await?;
            }
            Sequence::SpansOnly => {
                self.send_attachments(http, batch).await?;
                self.send_spans(http, server, experiment, batch, all)
                    .await?;
            }
        }
        // The server may have turned out to store no spans, then or in an earlier pass.
        self.send_artifacts(http, batch).await?;
        for trace in batch.iter_mut().filter(|trace| trace.is_waiting()) {
            self.shared.delivered(trace);
        }
        Ok(())
    }

    /// Gives a trace up, or has it wait, in which case the answer is true; or ends the pass so that everything left is
    /// tried again.
    fn refuse_or_retry(
        &self,
        trace: &mut Finished,
        failure: &Failure,
    ) -> std::result::Result<bool, Stop> {
        match failure {
            Failure::Refused { message, .. } => self.shared.rejected(trace, message),
            Failure::Server { .. } => {
                trace.progress.suspect();
                return Ok(self.blame_or_retry(trace, failure));
            }
            Failure::Retry { .. } => return Err(self.stop(failure)),
        }
        Ok(false)
    }

    /// Gives up a trace that the server stumbles over, if that is its own fault; otherwise it waits, and the answer is
    /// true.
    fn blame_or_retry(&self, trace: &mut Finished, failure: &Failure) -> bool {
        if trace.progress.is_to_blame(self.taken.get()) {
            self.shared.rejected(trace, failure.message());
            return false;
        }
        self.note_failure(failure);
        trace.progress.delayed = true;
        true
    }

    fn took_something(&self) {
        self.taken.set(Some(Instant::now()));
    }

    /// What a failure that is not about one trace means for the rest of a batch.
    fn stop(&self, failure: &Failure) -> Stop {
        self.note_failure(failure);
        match failure {
            Failure::Retry {
                status: 401 | 403, ..
            } => Stop::Parked,
            Failure::Retry { after, .. } => Stop::Later(*after),
            _ => Stop::Later(None),
        }
    }

    fn note_failure(&self, failure: &Failure) {
        let class = match failure {
            Failure::Retry { status: 0, .. } => "unreachable",
            Failure::Retry {
                status: 401 | 403, ..
            } => "unauthorized",
            Failure::Retry { .. } => "unavailable",
            Failure::Server { .. } => "server_error",
            Failure::Refused { .. } => "rejected",
        };
        let message = failure.message();
        let why = format!("traces wait, the server does not take them: {message}");
        self.shared.delayed("unreachable", class, &why);
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
#[path = "../../../tests/support/server.rs"]
mod fake;
#[cfg(test)]
mod tests;
