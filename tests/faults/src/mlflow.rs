//! What an MLflow server of a version answers to an exporter, and a collector, as far as they are asked.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::http::{Head, Reply};
use crate::ledger::{Info, trace_key};
use crate::script::Endpoint;

/// The server's state beside the ledger.
pub(crate) struct Server {
    version: (u32, u32),
    text: String,
    experiments: HashMap<String, u64>,
}

impl Server {
    pub(crate) fn new(version: &str) -> Self {
        Server {
            version: parse(version),
            text: version.to_owned(),
            experiments: HashMap::from([("Default".to_owned(), 0)]),
        }
    }

    pub(crate) fn set_version(&mut self, version: &str) {
        self.version = parse(version);
        self.text = version.to_owned();
    }

    /// Whether this version takes spans, and compressed ones.
    pub(crate) fn takes_spans(&self) -> bool {
        self.version >= (3, 4)
    }

    pub(crate) fn takes_gzip(&self) -> bool {
        self.version >= (3, 7)
    }

    pub(crate) fn version_reply(&self) -> Reply {
        Reply::new(200, "text/html; charset=utf-8", self.text.clone())
    }

    /// What is stored when this information is accepted, and the reply. `has_spans` says whether spans of its
    /// trace are stored.
    pub(crate) fn info(
        &self,
        body: &[u8],
        request: u32,
        has_spans: impl Fn(&[u8; 16]) -> bool,
    ) -> (Option<Info>, Reply) {
        if self.version < (3, 2) {
            return (None, no_such_route());
        }
        let sent: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let info = &sent["trace"]["trace_info"];
        let id = info["trace_id"].as_str().unwrap_or_default();
        let Some(trace) = trace_key(id) else {
            return (None, refusal(400, "INVALID_PARAMETER_VALUE", "trace_id"));
        };
        let location = &info["trace_location"]["mlflow_experiment"]["experiment_id"];
        let experiment = location.as_str().unwrap_or("0");
        let mut reply = info.clone();
        let tags = &mut reply["tags"];
        if !tags.is_object() {
            *tags = json!({});
        }
        tags["mlflow.artifactLocation"] =
            format!("mlflow-artifacts:/{experiment}/traces/{id}/artifacts").into();
        let says_so = match self.version {
            (3, ..=5) => false,
            (3, 6) => true,
            _ => has_spans(&trace),
        };
        if says_so {
            tags["mlflow.trace.spansLocation"] = "TRACKING_STORE".into();
        }
        let stored = Info {
            trace,
            state: info["state"].as_str().unwrap_or_default().to_owned(),
            request,
        };
        let reply = Reply::json(200, &json!({"trace": {"trace_info": reply}}));
        (Some(stored), reply)
    }

    /// The information of a trace, of which spans or information may be stored.
    pub(crate) fn trace(&self, head: &Head, knows: impl Fn(&[u8; 16]) -> (bool, bool)) -> Reply {
        let id = head.path().rsplit('/').next().unwrap_or_default();
        let (spans, info) = trace_key(id).map_or((false, false), |key| knows(&key));
        if !spans && !info {
            let message = format!("Trace with ID '{id}' not found.");
            return refusal(404, "RESOURCE_DOES_NOT_EXIST", &message);
        }
        let mut metadata = json!({});
        if info {
            metadata["mlflow.trace.infoFinalized"] = "true".into();
        }
        let mut tags = json!({});
        if spans {
            tags["mlflow.trace.spansLocation"] = "TRACKING_STORE".into();
        }
        let info = json!({"trace_id": id, "trace_metadata": metadata, "tags": tags});
        Reply::json(200, &json!({"trace": {"trace_info": info}}))
    }

    pub(crate) fn experiments(&mut self, head: &Head, body: &[u8]) -> Reply {
        let found = |name: &str, id: u64| {
            let experiment = json!({
                "experiment_id": id.to_string(),
                "name": name,
                "lifecycle_stage": "active",
                "artifact_location": format!("mlflow-artifacts:/{id}"),
            });
            Reply::json(200, &json!({ "experiment": experiment }))
        };
        let none = || refusal(404, "RESOURCE_DOES_NOT_EXIST", "No such experiment");
        match head.path().rsplit('/').next().unwrap_or_default() {
            "get-by-name" => {
                let name = head.query("experiment_name").unwrap_or_default();
                let id = self.experiments.get(&name);
                id.map_or_else(none, |id| found(&name, *id))
            }
            "get" => {
                let id = head.query("experiment_id").unwrap_or_default();
                let known = self.experiments.iter();
                let known = known.map(|(name, id)| (name.clone(), *id));
                // Any other number is taken for an experiment that was always there.
                match (
                    known.into_iter().find(|(_, known)| known.to_string() == id),
                    id.parse(),
                ) {
                    (Some((name, id)), _) => found(&name, id),
                    (None, Ok(number)) => found(&format!("experiment {id}"), number),
                    (None, Err(_)) => none(),
                }
            }
            "create" => {
                let sent: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
                let name = sent["name"].as_str().unwrap_or_default().to_owned();
                if self.experiments.contains_key(&name) {
                    return refusal(400, "RESOURCE_ALREADY_EXISTS", "It exists");
                }
                let id = self.experiments.len() as u64;
                self.experiments.insert(name, id);
                Reply::json(200, &json!({"experiment_id": id.to_string()}))
            }
            _ => no_such_route(),
        }
    }
}

fn parse(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// MLflow's error body.
pub(crate) fn refusal(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({"error_code": code, "message": message}))
}

/// What FastAPI answers for MLflow.
pub(crate) fn detail(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({ "detail": message }))
}

pub(crate) fn no_such_route() -> Reply {
    Reply::new(
        404,
        "text/html",
        "<!doctype html><title>404 Not Found</title>",
    )
}

pub(crate) fn unauthenticated(endpoint: Endpoint) -> Reply {
    let kind = match endpoint {
        Endpoint::Spans => "text/plain",
        _ => "text/html",
    };
    let mut reply = Reply::new(401, kind, "You are not authenticated.");
    reply.headers += "www-authenticate: Basic realm=\"mlflow\"\r\n";
    reply
}

/// The success of an OTLP request, with `rejected` spans if any.
pub(crate) fn exported(rejected: usize, message: &str) -> Reply {
    let mut body = Vec::new();
    if rejected > 0 {
        let mut partial = vec![1 << 3];
        varint(&mut partial, rejected as u64);
        partial.push(2 << 3 | 2);
        varint(&mut partial, message.len() as u64);
        partial.extend_from_slice(message.as_bytes());
        body.push(1 << 3 | 2);
        varint(&mut body, partial.len() as u64);
        body.extend(partial);
    }
    Reply::new(200, "application/x-protobuf", body)
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The spans of an artifact `traces.json`: the trace by MLflow's name, and how many.
pub(crate) fn artifact(path: &str, body: &[u8]) -> Option<(String, usize)> {
    let mut parts = path.rsplit('/');
    if parts.next()? != "traces.json" || parts.next()? != "artifacts" {
        return None;
    }
    let sent: Value = serde_json::from_slice(body).ok()?;
    let spans = sent["spans"].as_array()?.len();
    Some((parts.next()?.to_owned(), spans))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_spans_are_depends_on_the_version() {
        let id = format!("tr-{}", "0".repeat(31) + "1");
        let body = json!({"trace": {"trace_info": {"trace_id": id, "state": "OK"}}}).to_string();
        let said = |version: &str, spans: bool| {
            let (stored, reply) = Server::new(version).info(body.as_bytes(), 0, |_| spans);
            assert_eq!(stored.unwrap().state, "OK");
            let reply: Value = serde_json::from_slice(&reply.body).unwrap();
            let tags = &reply["trace"]["trace_info"]["tags"];
            tags.get("mlflow.trace.spansLocation").is_some()
        };
        assert!(!said("3.4.0", true));
        assert!(said("3.6.0", false));
        assert!(said("3.17.2", true) && !said("3.17.2", false));
        assert!(Server::new("3.1.4").info(b"{}", 0, |_| true).0.is_none());
    }

    #[test]
    fn artifacts_of_traces() {
        let path = "/api/2.0/mlflow-artifacts/artifacts/0/traces/tr-1/artifacts/traces.json";
        assert_eq!(
            artifact(path, br#"{"spans": [{}, {}]}"#),
            Some(("tr-1".to_owned(), 2))
        );
        assert_eq!(artifact(&path.replace("traces.json", "uuid"), b"x"), None);
    }
}
