//! Spans over OTLP: many traces in one request.

use std::time::Duration;

use reqwest::Method;

use super::{MlflowExporter, Pass, Sequence, TryAgain};
use crate::export::gzip::compress;
use crate::export::http::{Failure, Http, NO_ENDPOINT, Request};
use crate::otlp;
use crate::trace::Finished;

impl MlflowExporter {
    /// Sends the spans of all traces in one request; on a refusal, finds the trace that caused it.
    pub(super) async fn send_spans(
        &mut self,
        http: &Http,
        gzip: bool,
        experiment: &str,
        group: &mut [Finished],
    ) -> Pass {
        // Runs of the group still to be sent, the next one last.
        let mut runs = vec![(0, group.len())];
        while let Some((start, end)) = runs.pop() {
            let part = &mut group[start..end];
            let waiting: Vec<&[u8]> = part
                .iter()
                .filter(|trace| trace.progress.lacks_spans())
                .map(|trace| trace.spans.as_slice())
                .collect();
            if waiting.is_empty() {
                continue;
            }
            let body = otlp::request(&self.shared.resource, &[], &waiting);
            let single = waiting.len() == 1;
            let failure = match self.post_spans(http, gzip, experiment, part, body).await {
                Ok(_) => {
                    part.iter_mut()
                        .for_each(|trace| trace.progress.spans_sent = true);
                    continue;
                }
                Err(failure) => failure,
            };
            match &failure {
                Failure::Refused { status: 501, .. } => return self.without_spans(),
                Failure::Refused { code, .. } if code == NO_ENDPOINT => {
                    return self.without_spans();
                }
                Failure::Refused {
                    status: 400 | 413 | 422,
                    ..
                } if !single => {}
                Failure::Server { .. }
                    if !single && part.iter().all(|trace| trace.progress.is_suspect()) => {}
                Failure::Server { .. } if !part.iter().all(|trace| trace.progress.is_suspect()) => {
                    part.iter_mut().for_each(|trace| trace.progress.suspect());
                    return Err(self.try_again(&failure));
                }
                _ => {
                    for trace in part.iter_mut().filter(|trace| trace.progress.lacks_spans()) {
                        self.refuse_spans(trace, &failure)?;
                    }
                    continue;
                }
            }
            let middle = start.midpoint(end);
            runs.push((middle, end));
            runs.push((start, middle));
        }
        Ok(())
    }

    /// As [`Self::refuse_or_retry`]; a trace that can go into an artifact instead is not given up.
    fn refuse_spans(&self, trace: &mut Finished, failure: &Failure) -> Pass {
        match failure {
            Failure::Refused {
                status: 400 | 413 | 422,
                message,
                ..
            } if trace.has_info => {
                trace.progress.spans_refused = true;
                self.shared.diagnostics.report("refused_spans", || {
                    let id = trace.id.to_mlflow();
                    format!(
                        "the server refused the spans of {id}, they go into an artifact: {message}"
                    )
                });
                Ok(())
            }
            _ => self.refuse_or_retry(trace, failure),
        }
    }

    async fn post_spans(
        &self,
        http: &Http,
        gzip: bool,
        experiment: &str,
        part: &[Finished],
        body: Vec<u8>,
    ) -> Result<Vec<u8>, Failure> {
        let compressed = gzip.then(|| compress(&body)).flatten();
        let request = Request {
            method: Method::POST,
            path: "/v1/traces",
            workspace: part
                .first()
                .and_then(|trace| trace.destination.workspace.as_deref()),
            content_type: "application/x-protobuf",
            gzip: compressed.is_some(),
            experiment_id: Some(experiment),
            body: compressed.unwrap_or(body).into(),
        };
        http.send(request).await
    }

    /// From now on, spans go into artifacts.
    fn without_spans(&mut self) -> Pass {
        if let Some(server) = &mut self.server {
            server.sequence = Sequence::InfoThenArtifact;
        }
        Err(TryAgain(Some(Duration::ZERO)))
    }
}
