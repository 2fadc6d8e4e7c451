//! Attachments: what becomes of them on this server, and their upload.

use reqwest::Method;

use super::artifacts::{folder, root};
use super::{MlflowExporter, Pass, Sequence, Server, Stop};
use crate::export::http::{Failure, Http, Request};
use crate::export::{experiments, keep_inline, limit_attachments};
use crate::mlflow::{attachment, carried, guard, keys};
use crate::trace::Finished;

/// Why content is not stored, whatever the server would say.
pub(super) const NOT_HERE: &str = "the server does not take artifacts itself";

impl MlflowExporter {
    /// Makes attachments of the content that should be some, once for each trace, and before anything is
    /// computed from its spans. Where the server stores no artifacts, all content stays in the spans.
    pub(super) async fn prepare(
        &self,
        http: &Http,
        server: Server,
        experiment: &str,
        group: &mut [Finished],
    ) -> Pass {
        let extracts = server.attachments && self.shared.config.extracts_attachments();
        let limit = self.shared.config.attachment_limit();
        for trace in group
            .iter_mut()
            .filter(|trace| trace.is_waiting() && !trace.progress.prepared)
        {
            limit_attachments(trace, &self.shared.config);
            let extracted = extracts
                .then(|| attachment::extract(&trace.spans, &trace.id, limit))
                .flatten();
            if extracted.is_some() || !trace.attachments.is_empty() {
                if !self.is_stored_here(http, server, experiment, trace).await? {
                    keep_inline(trace);
                } else if let Some((spans, found)) = extracted {
                    trace.spans = spans;
                    trace.attachments.extend(found);
                }
            }
            // Servers decode text since 3.7, as they do gzip; before that it harms nobody.
            if server.gzip {
                guard::protect(&mut trace.spans);
            }
            if server.sequence == Sequence::SpansOnly && trace.has_info {
                carried::carry(&mut trace.spans, trace.update.as_deref());
            }
            trace.progress.prepared = true;
        }
        Ok(())
    }

    /// Whether the artifacts of a trace lie on the server that takes it.
    async fn is_stored_here(
        &self,
        http: &Http,
        server: Server,
        experiment: &str,
        trace: &mut Finished,
    ) -> Result<bool, Stop> {
        let workspace = trace.destination.workspace.clone();
        if !trace.has_info {
            // The experiment is another process's choice, and so is the location.
            let path = format!("/api/3.0/mlflow/traces/{}", trace.id.to_mlflow());
            let request = Request::get(&path).workspace(workspace.as_deref());
            let reply = self.look_up(http.json(request).await)?;
            let location = reply.and_then(|reply| {
                let tags = &reply["trace"]["trace_info"]["tags"];
                tags[keys::TAG_ARTIFACT_LOCATION]
                    .as_str()
                    .map(str::to_owned)
            });
            trace.progress.locate_artifacts(location);
            return Ok(folder(trace).is_some());
        }
        let key = (workspace, experiment.to_owned());
        let known = self.artifacts.borrow().get(&key).cloned();
        let location = match known {
            Some(location) => location,
            None => {
                let found =
                    experiments::artifact_location(http, key.0.as_deref(), experiment).await;
                let Some(location) = self.look_up(found)? else {
                    return Ok(false);
                };
                self.artifacts.borrow_mut().insert(key, location.clone());
                location
            }
        };
        if server.sequence == Sequence::SpansOnly {
            // No reply about the trace will tell.
            let id = trace.id.to_mlflow();
            let location = format!("{location}/traces/{id}/artifacts");
            trace.progress.locate_artifacts(Some(location));
        }
        Ok(root(&location).is_some())
    }

    /// What the server knows of something; `None` when it knows nothing or does not tell.
    pub(super) fn look_up<T>(&self, reply: Result<T, Failure>) -> Result<Option<T>, Stop> {
        match reply {
            Ok(reply) => Ok(Some(reply)),
            Err(failure @ Failure::Retry { .. }) if !failure.is_refusal() => {
                Err(self.stop(&failure))
            }
            Err(_) => Ok(None),
        }
    }

    /// Uploads what spans refer to, each attachment once. One that is refused does not hold up its trace.
    pub(super) async fn send_attachments(&self, http: &Http, group: &mut [Finished]) -> Pass {
        for trace in group.iter_mut().filter(|trace| trace.is_waiting()) {
            let folder = folder(trace);
            while let Some(attachment) = trace.attachments.first() {
                let Some(folder) = &folder else {
                    self.give_up(trace, NOT_HERE, true);
                    continue;
                };
                let path = format!("{folder}/attachments/{}", attachment.id());
                let request = Request {
                    method: Method::PUT,
                    content_type: "application/octet-stream",
                    body: attachment.shared_bytes(),
                    ..Request::get(&path).workspace(trace.destination.workspace.as_deref())
                };
                match http.send(request).await {
                    Ok(_) => {
                        trace.attachments.remove(0);
                    }
                    Err(failure @ Failure::Retry { .. }) if !failure.is_refusal() => {
                        return Err(self.stop(&failure));
                    }
                    Err(failure @ Failure::Server { .. }) if !trace.progress.is_suspect() => {
                        trace.progress.suspect();
                        trace.progress.delayed = true;
                        self.note_failure(&failure);
                        break;
                    }
                    Err(failure) => {
                        // What is too long for a request of its own is too long for one of spans.
                        let fits = !matches!(failure, Failure::Refused { status: 413, .. });
                        self.give_up(trace, failure.message(), fits);
                    }
                }
                trace.progress.forgive();
            }
        }
        Ok(())
    }

    /// Keeps the content of the next attachment in the spans, if they can still take it.
    fn give_up(&self, trace: &mut Finished, why: &str, fits: bool) {
        let attachment = trace.attachments.remove(0);
        let inline = (fits && !trace.progress.spans_sent)
            .then(|| {
                attachment::put_inline(&trace.spans, &trace.id, std::slice::from_ref(&attachment))
            })
            .flatten();
        let outcome = match inline {
            Some(spans) => {
                trace.spans = spans;
                "its content stays in the span"
            }
            None => "its content is lost",
        };
        self.shared.diagnostics.report("attachment", || {
            let id = trace.id.to_mlflow();
            format!("an attachment of {id} was refused, {outcome}: {why}")
        });
    }
}

#[cfg(test)]
mod tests;
