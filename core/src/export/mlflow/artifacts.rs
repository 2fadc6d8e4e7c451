//! Artifacts: spans of servers that keep them nowhere else, and the place where a trace's artifacts lie.

use reqwest::Method;
use serde_json::{Value, json};

use super::attachments::NOT_HERE;
use super::{MlflowExporter, Pass, decode};
use crate::export::http::{Http, Request};
use crate::mlflow::span_json;
use crate::trace::Finished;

impl MlflowExporter {
    /// Uploads `traces.json` for traces whose spans the server keeps nowhere else.
    pub(super) async fn send_artifacts(&self, http: &Http, group: &mut [Finished]) -> Pass {
        for trace in group.iter_mut() {
            let progress = &trace.progress;
            let elsewhere = progress.stored && !progress.spans_refused;
            if !trace.is_waiting() || progress.spans_sent || elsewhere {
                continue;
            }
            if progress.stored {
                self.shared
                    .rejected(trace, "the server refused its spans and reads no others");
                continue;
            }
            if !trace.has_info {
                self.shared.rejected(
                    trace,
                    "the server stores no spans of traces that are rooted elsewhere",
                );
                continue;
            }
            let Some(folder) = folder(trace) else {
                self.shared.rejected(trace, NOT_HERE);
                continue;
            };
            let path = format!("{folder}/traces.json");
            let spans: Value = decode(trace).iter().map(span_json::span).collect();
            let request = Request {
                content_type: "text/plain",
                ..Request::json(Method::PUT, &path, &json!({"spans": spans}))
            };
            match http
                .send(request.workspace(trace.destination.workspace.as_deref()))
                .await
            {
                Ok(_) => trace.progress.spans_sent = true,
                Err(failure) => {
                    self.refuse_or_retry(trace, &failure)?;
                }
            }
        }
        Ok(())
    }
}

/// The path of a trace's artifacts on the server, computed here: one from a reply is only compared.
/// `None` when they are not on the server.
pub(super) fn folder(trace: &Finished) -> Option<String> {
    let location = trace.progress.artifact_location.as_deref()?;
    let tail = format!("/traces/{}/artifacts", trace.id.to_mlflow());
    let root = root(location.strip_suffix(&tail)?)?;
    Some(format!("/api/2.0/mlflow-artifacts/artifacts/{root}{tail}"))
}

/// The path of an artifact location of this server; `None` for locations elsewhere and for such as would
/// lead out of it.
pub(super) fn root(location: &str) -> Option<&str> {
    let root = location.strip_prefix("mlflow-artifacts:/")?;
    let plain = root.split('/').all(|part| {
        !["", ".", ".."].contains(&part)
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    });
    plain.then_some(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_on_this_server() {
        for (location, path) in [
            ("mlflow-artifacts:/1", Some("1")),
            (
                "mlflow-artifacts:/workspaces/a-b/1",
                Some("workspaces/a-b/1"),
            ),
            ("mlflow-artifacts:/", None),
            ("mlflow-artifacts://elsewhere:5000/1", None),
            ("mlflow-artifacts:/1/../../etc", None),
            ("mlflow-artifacts:/./1", None),
            ("mlflow-artifacts:/1%2f..", None),
            ("mlflow-artifacts:/1?x", None),
            ("s3://bucket/1", None),
            ("/mlruns/1", None),
        ] {
            assert_eq!(root(location), path, "{location}");
        }
    }
}
