//! Spans over OTLP: many traces in one request.

use reqwest::Method;

use super::native::native;
use super::{MlflowExporter, Sequence, Server, Stop};
use crate::export::gzip::compress;
use crate::export::http::{Failure, Http, NO_ENDPOINT, Request};
use crate::otlp;
use crate::pipeline::queue::MOST_BYTES;
use crate::trace::Finished;

/// What becomes of some traces that a server did not take together.
enum Step {
    /// It may take some of them.
    Halve,
    /// Each is given up, or has to wait.
    Refuse,
    End(Stop),
}

/// The search for what a server stumbles over.
#[derive(Default)]
struct Search {
    /// Requests that failed.
    failures: u32,
    /// One did not.
    has_passed: bool,
}

impl MlflowExporter {
    /// Sends the spans of the first `count` traces in one request; on a refusal, finds what caused it. Traces may be taken
    /// apart in that: returns how many they are now.
    pub(super) async fn send_spans(
        &self,
        http: &Http,
        server: Server,
        experiment: &str,
        batch: &mut Vec<Finished>,
        count: usize,
    ) -> Result<usize, Stop> {
        let mut search = Search::default();
        let mut at = 0;
        // How many traces each request has, the next one last.
        let mut lengths = vec![count];
        while let Some(length) = lengths.pop() {
            let part = &mut batch[at..at + length];
            let bytes: usize = lacking(part).map(|trace| trace.spans.len()).sum();
            if lacking(part).next().is_none() {
                at += length;
                continue;
            }
            let sent = match bytes > MOST_BYTES {
                true => Err(too_long()),
                false => self.post_spans(http, server, experiment, part).await,
            };
            let failure = match sent {
                Ok(()) => {
                    search.has_passed = true;
                    self.took_something();
                    self.shared.queue.regrow_batches();
                    let part = part.iter_mut().filter(|trace| trace.lacks_spans());
                    part.for_each(|trace| trace.progress.spans_sent = true);
                    at += length;
                    continue;
                }
                Err(failure) => failure,
            };
            if matches!(failure, Failure::Refused { status: 413, .. }) {
                self.shared.queue.shrink_batches(bytes);
            }
            search.failures += 1;
            match self.judge(&failure, part, &search) {
                Step::End(stop) => return Err(stop),
                Step::Halve if length > 1 => {
                    lengths.extend([length - length / 2, length / 2]);
                    continue;
                }
                Step::Halve => {
                    if let Some(rest) = take_apart(&mut part[0], server) {
                        batch.insert(at + 1, rest);
                        lengths.extend([1, 1]);
                        continue;
                    }
                }
                Step::Refuse => {}
            }
            for trace in part.iter_mut().filter(|trace| trace.lacks_spans()) {
                self.refuse_spans(server, trace, &failure)?;
            }
            at += length;
        }
        Ok(at)
    }

    fn judge(&self, failure: &Failure, part: &mut [Finished], search: &Search) -> Step {
        match failure {
            Failure::Refused { status: 501, .. } => Step::End(self.without_spans()),
            Failure::Refused { code, .. } if code == NO_ENDPOINT => Step::End(self.without_spans()),
            Failure::Refused {
                status: 400 | 413 | 422,
                ..
            } => Step::Halve,
            Failure::Refused { .. } => Step::Refuse,
            Failure::Retry { .. } => Step::End(self.stop(failure)),
            Failure::Server { .. } => {
                let traces = part.iter_mut().filter(|trace| trace.lacks_spans());
                let mut is_suspect = true;
                let mut spans = 0;
                for trace in traces {
                    if search.failures == 1 {
                        trace.progress.suspect();
                    }
                    is_suspect &= trace.progress.is_suspect();
                    spans += trace.span_count;
                }
                // What fails whatever is sent is the server.
                let enough = 2 * spans.max(1).ilog2() + 4;
                match is_suspect && (search.has_passed || search.failures <= enough) {
                    true => Step::Halve,
                    false => Step::End(self.stop(failure)),
                }
            }
        }
    }

    /// As [`Self::refuse_or_retry`]; a trace that can go into an artifact instead is not given up.
    fn refuse_spans(
        &self,
        server: Server,
        trace: &mut Finished,
        failure: &Failure,
    ) -> Result<(), Stop> {
        match failure {
            Failure::Refused {
                status: 400 | 413 | 422,
                message,
                ..
            } if trace.has_info && server.sequence != Sequence::SpansOnly => {
                trace.progress.spans_refused = true;
                self.shared.diagnostics.report("refused_spans", || {
                    let id = trace.id.to_mlflow();
                    format!(
                        "the server refused the spans of {id}, they go into an artifact: {message}"
                    )
                });
                Ok(())
            }
            // It was counted with its batch.
            Failure::Server { .. } => {
                self.blame_or_retry(trace, failure);
                Ok(())
            }
            _ => self.refuse_or_retry(trace, failure).map(|_| ()),
        }
    }

    async fn post_spans(
        &self,
        http: &Http,
        server: Server,
        experiment: &str,
        part: &[Finished],
    ) -> Result<(), Failure> {
        let natives: Vec<Vec<u8>> = match server.reads_json {
            true => Vec::new(),
            false => lacking(part).map(|trace| native(&trace.spans)).collect(),
        };
        let runs: Vec<&[u8]> = match server.reads_json {
            true => lacking(part).map(|trace| trace.spans.as_slice()).collect(),
            false => natives.iter().map(Vec::as_slice).collect(),
        };
        // A batch is of one process.
        let origin = part.first().and_then(|trace| trace.origin.as_deref());
        let resource = self.shared.resource_of(origin);
        let body = otlp::request(resource, &[], &runs);
        let gzip = server.gzip && self.shared.config.compresses();
        let compressed = gzip.then(|| compress(&body)).flatten();
        let request = Request {
            method: Method::POST,
            workspace: part
                .first()
                .and_then(|trace| trace.destination.workspace.as_deref()),
            content_type: "application/x-protobuf",
            gzip: compressed.is_some(),
            experiment_id: Some(experiment),
            body: compressed.unwrap_or(body).into(),
            ..Request::get("/v1/traces")
        };
        http.send(request).await.map(|_| ())
    }
}

fn lacking(part: &[Finished]) -> impl Iterator<Item = &Finished> {
    part.iter().filter(|trace| trace.lacks_spans())
}

/// Half of the spans of a trace, taken out of it, unless it has to stay whole: information counts all of them, and an
/// attachment that is refused goes back into its span.
fn take_apart(trace: &mut Finished, server: Server) -> Option<Finished> {
    let is_whole = trace.has_info && server.sequence != Sequence::SpansOnly;
    match is_whole || !trace.attachments.is_empty() {
        true => None,
        false => trace.split(),
    }
}

/// As a server would say it, of what is not even sent.
fn too_long() -> Failure {
    Failure::Refused {
        status: 413,
        code: String::new(),
        message: format!("longer than {} MiB", MOST_BYTES >> 20),
    }
}
