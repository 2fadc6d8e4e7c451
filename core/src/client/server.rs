//! Requests to a tracking server, asked again where that may help.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use serde_json::Value;
use tokio::time::sleep;

use crate::export::http::{BAD_REPLY, Failure, Http, Request};

/// Bytes of a reply that are read: a whole trace may be long.
const MOST: usize = 1 << 30;
/// Between attempts, where a server does not name a time itself.
const WAITS: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_millis(600),
    Duration::from_millis(1800),
];
/// A server that asks for more is not waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A server, and the workspace that is asked for.
pub(super) struct Server<'a> {
    http: &'a Http,
    workspace: Option<&'a str>,
}

impl<'a> Server<'a> {
    pub(super) fn new(http: &'a Http, workspace: Option<&'a str>) -> Self {
        Server { http, workspace }
    }

    pub(super) fn http(&self) -> &'a Http {
        self.http
    }

    pub(super) fn workspace(&self) -> Option<&'a str> {
        self.workspace
    }

    /// The JSON at a path.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        read(&self.bytes(path).await?)
    }

    /// The bytes at a path.
    pub(super) async fn bytes(&self, path: &str) -> Result<Vec<u8>, Failure> {
        self.send(Method::GET, path, "", Bytes::new()).await
    }

    /// The JSON that answers JSON.
    pub(super) async fn json(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Value, Failure> {
        let body = Bytes::from(body.to_string());
        read(&self.send(method, path, "application/json", body).await?)
    }

    /// Sends spans in OTLP's protobuf.
    pub(super) async fn spans(&self, experiment_id: &str, body: Vec<u8>) -> Result<(), Failure> {
        let request = Request {
            method: Method::POST,
            content_type: "application/x-protobuf",
            experiment_id: Some(experiment_id),
            body: body.into(),
            ..Request::get("/v1/traces")
        };
        let reply = self.http.ask(request.workspace(self.workspace)).await;
        reply.map(drop)
    }

    /// The bytes that answer any request. Everything that is sent here may be sent twice.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<Vec<u8>, Failure> {
        let mut waits = WAITS.iter();
        loop {
            let request = Request {
                method: method.clone(),
                content_type,
                body: body.clone(),
                most: MOST,
                ..Request::get(path)
            };
            let failure = match self.http.ask(request.workspace(self.workspace)).await {
                Ok(body) => return Ok(body),
                Err(failure) => failure,
            };
            let wait = match (&failure, waits.next()) {
                (
                    Failure::Retry {
                        status: 408 | 425 | 429 | 502..=504,
                        after,
                        ..
                    },
                    Some(wait),
                ) => after.unwrap_or(*wait),
                _ => return Err(failure),
            };
            if wait > LONGEST_WAIT {
                return Err(failure);
            }
            sleep(wait).await;
        }
    }
}

fn read(body: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(body).map_err(|_| bad_reply("the reply is no JSON"))
}

/// A reply that does not hold what it should.
pub(super) fn bad_reply(what: &str) -> Failure {
    Failure::Refused {
        status: 200,
        code: BAD_REPLY.to_owned(),
        message: format!("{what}: tracking_uri may lead to no MLflow server"),
    }
}
