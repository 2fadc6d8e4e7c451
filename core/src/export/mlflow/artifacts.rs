//! Artifacts: spans of servers that keep them nowhere else, and the place where a trace's artifacts lie.

use reqwest::Method;
use serde_json::{Value, json};

use super::attachments::NOT_HERE;
use super::{MlflowExporter, Pass, decode};
use crate::export::http::{Failure, Http, Request};
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
            let folder = folder(trace);
            if folder.is_none() && !http.is_databricks() {
                self.shared.rejected(trace, NOT_HERE);
                continue;
            }
            let spans: Value = decode(trace).iter().map(span_json::span).collect();
            let body = json!({"spans": spans});
            let outcome = match folder {
                Some(folder) => put(http, trace, &folder, &body).await,
                None => put_by_grant(http, trace, &body).await,
            };
            match outcome {
                Ok(()) => trace.progress.spans_sent = true,
                Err(failure) => {
                    self.refuse_or_retry(trace, &failure)?;
                }
            }
        }
        Ok(())
    }
}

async fn put(http: &Http, trace: &Finished, folder: &str, body: &Value) -> Result<(), Failure> {
    let path = format!("{folder}/traces.json");
    let request = Request {
        content_type: "text/plain",
        ..Request::json(Method::PUT, &path, body)
    };
    let workspace = trace.destination.workspace.as_deref();
    http.send(request.workspace(workspace)).await.map(drop)
}

/// Databricks keeps artifacts in its customers' cloud storage, and says for each where to put it.
async fn put_by_grant(http: &Http, trace: &Finished, body: &Value) -> Result<(), Failure> {
    let id = trace.id.to_mlflow();
    let path = format!("/api/2.0/mlflow/traces/{id}/credentials-for-data-upload");
    let reply = http.json(Request::get(&path)).await?;
    match &reply["credential_info"] {
        Value::Null => Err(Failure::Server {
            message: "the server grants no upload of the spans".to_owned(),
        }),
        grant => http.upload(grant, body.to_string().into()).await,
    }
}

/// The path of a trace's artifacts on the server, computed here: one from a reply is only compared.
/// `None` when they are not on the server.
pub(super) fn folder(trace: &Finished) -> Option<String> {
    path_of(trace.progress.artifact_location()?, &trace.id.to_mlflow())
}

/// The path of the artifacts of a trace on its server, which says that they are at `location`.
pub(crate) fn path_of(location: &str, trace_id: &str) -> Option<String> {
    let tail = format!("/traces/{trace_id}/artifacts");
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

    #[test]
    fn no_location_leads_elsewhere() {
        let pieces = [
            "..",
            ".",
            "/",
            "//",
            "\\",
            "%2e",
            "%2E%2e",
            "%2f",
            "%5c",
            "%00",
            "\0",
            "\r\n",
            "?",
            "#",
            ";",
            ":",
            "@",
            " ",
            "\u{ff0e}\u{ff0e}",
            "\u{2215}",
            "~",
            "*",
            "1",
            "a",
        ];
        let mut kept = 0;
        for one in pieces {
            for two in pieces {
                for location in [
                    format!("mlflow-artifacts:/{one}{two}"),
                    format!("mlflow-artifacts:/1/{one}{two}/2"),
                    format!("mlflow-artifacts:{one}/{two}"),
                    format!("{one}mlflow-artifacts:/{two}"),
                ] {
                    let Some(root) = root(&location) else {
                        continue;
                    };
                    kept += 1;
                    let base = "http://h/api/2.0/mlflow-artifacts/artifacts/";
                    let url = reqwest::Url::parse(&format!("{base}{root}")).unwrap();
                    assert_eq!(url.as_str(), format!("{base}{root}"), "{location}");
                    assert!(
                        url.query().is_none() && url.fragment().is_none(),
                        "{location}"
                    );
                    assert!(!root.contains('%') && !root.contains("//"), "{location}");
                }
            }
        }
        assert!(kept > 0);
    }
}
