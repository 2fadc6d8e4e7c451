//! HTTP to one server: connection rules, credentials, limits, and what a reply means.

use std::fmt::Write;
use std::time::Duration;

use base64::Engine;
use bytes::Bytes;
use memchr::memmem;
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::retry;
use super::tls::TlsOptions;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};

/// OTLP: "the client MUST limit the size of the response body"; nothing we read is longer.
const MAX_REPLY: usize = 4 << 20;
/// MLflow's server closes idle connections after 5 s; sending on one that it just closed fails.
const IDLE: Duration = Duration::from_secs(4);
pub(super) const MAX_MESSAGE: usize = 200;
/// What a rejected credential waits before it is tried again; it may have been renewed meanwhile.
pub(super) const UNAUTHORIZED_WAIT: Duration = Duration::from_secs(60);

/// A server, and how to talk to it.
pub(crate) struct Endpoint {
    /// Scheme, host and what all paths begin with.
    pub(crate) base: String,
    pub(crate) authorization: Option<HeaderValue>,
    /// Further headers of every request.
    pub(crate) headers: HeaderMap,
    pub(crate) tls: TlsOptions,
    /// Limit of a request, for each MiB of its body.
    pub(crate) timeout: Duration,
}

/// A client of one server with one set of credentials.
pub(crate) struct Http {
    client: reqwest::Client,
    base: String,
    timeout: Duration,
}

/// A request.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    /// Path and query, beginning with `/`.
    pub(crate) path: &'a str,
    pub(crate) workspace: Option<&'a str>,
    pub(crate) content_type: &'static str,
    pub(crate) gzip: bool,
    pub(crate) experiment_id: Option<&'a str>,
    pub(crate) body: Bytes,
}

impl<'a> Request<'a> {
    pub(crate) fn get(path: &'a str) -> Self {
        Request {
            method: Method::GET,
            path,
            workspace: None,
            content_type: "",
            gzip: false,
            experiment_id: None,
            body: Bytes::new(),
        }
    }

    pub(crate) fn json(method: Method, path: &'a str, body: &Value) -> Self {
        Request {
            method,
            content_type: "application/json",
            body: body.to_string().into(),
            ..Request::get(path)
        }
    }

    pub(crate) fn workspace(mut self, workspace: Option<&'a str>) -> Self {
        self.workspace = workspace;
        self
    }
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    /// How long it asks for patience.
    pub(crate) after: Option<Duration>,
    /// As much of it as came and is not too long.
    pub(crate) body: Vec<u8>,
}

/// Why a request has no usable reply.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Worth trying again, after this time if the server named one.
    Retry {
        /// Of the reply; 0 when there was none.
        status: u16,
        after: Option<Duration>,
        message: String,
    },
    /// 500: perhaps passing, perhaps caused by this very payload.
    Server { message: String },
    /// Refused for good.
    Refused {
        status: u16,
        code: String,
        message: String,
    },
}

impl Failure {
    pub(crate) fn message(&self) -> &str {
        match self {
            Failure::Retry { message, .. }
            | Failure::Server { message }
            | Failure::Refused { message, .. } => message,
        }
    }

    /// Whether this very request is not going to succeed, whatever other requests may do.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(
            self,
            Failure::Refused { .. } | Failure::Retry { status: 403, .. }
        )
    }

    /// Whether the server has no such endpoint or object.
    pub(crate) fn is_missing(&self, wanted: &str) -> bool {
        matches!(self, Failure::Refused { status: 404, code, .. } if code == wanted)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let kind = match &failure {
            Failure::Retry { .. } => ErrorKind::Transport,
            Failure::Refused { status: 404, .. } => ErrorKind::NotFound,
            Failure::Server { .. } | Failure::Refused { .. } => ErrorKind::Rejected,
        };
        Error::new(kind, failure.message())
    }
}

/// In the reply of an MLflow server that stores no artifacts; waiting will not change that.
const NO_ARTIFACTS: &[u8] = b"--no-serve-artifacts";

/// The error code of a 404 whose body is not MLflow's: there is no such route.
pub(crate) const NO_ENDPOINT: &str = "ENDPOINT_NOT_FOUND";

impl Http {
    /// Fails with `InvalidConfig` without a tracking URI, and when TLS cannot be set up.
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let base = config.server().ok_or_else(|| {
            Error::new(ErrorKind::InvalidConfig, "option 'tracking_uri' is not set")
        })?;
        Http::to(Endpoint {
            base,
            authorization: authorization(config)?,
            headers: HeaderMap::new(),
            tls: TlsOptions::default(),
            timeout: config.http_timeout(),
        })
    }

    /// Fails with `InvalidConfig` when TLS cannot be set up.
    pub(crate) fn to(endpoint: Endpoint) -> Result<Self> {
        let mut headers = endpoint.headers;
        if let Some(value) = endpoint.authorization {
            headers.insert(AUTHORIZATION, value);
        }
        let tls = endpoint.tls.client(endpoint.base.starts_with("https:"))?;
        let client = reqwest::Client::builder()
            .user_agent(concat!("mlflow-trace/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .pool_idle_timeout(IDLE)
            .redirect(reqwest::redirect::Policy::none())
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(|error| Error::new(ErrorKind::Internal, describe(error)))?;
        Ok(Http {
            client,
            base: endpoint.base,
            timeout: endpoint.timeout,
        })
    }

    /// Sends a request and reads the whole reply. Success is any 2xx.
    pub(crate) async fn send(&self, request: Request<'_>) -> std::result::Result<Vec<u8>, Failure> {
        let reply = self.exchange(request).await?;
        match reply.status.is_success() {
            true => Ok(reply.body),
            false => Err(failure(reply.status, reply.after, &reply.body)),
        }
    }

    /// As [`Self::send`], for who reads the reply by rules of its own. Fails only where there is none.
    pub(crate) async fn exchange(
        &self,
        request: Request<'_>,
    ) -> std::result::Result<Reply, Failure> {
        let mut builder = self
            .client
            .request(request.method, format!("{}{}", self.base, request.path));
        // Long bodies take their time on slow lines; a limit that none of them can meet would hold up all
        // that waits behind them.
        let mebibytes = u32::try_from(request.body.len() >> 20).unwrap_or(u32::MAX);
        builder = builder.timeout(self.timeout.saturating_mul(mebibytes.saturating_add(1)));
        if !request.content_type.is_empty() {
            builder = builder
                .header(CONTENT_TYPE, request.content_type)
                .body(request.body);
        }
        if request.gzip {
            builder = builder.header(CONTENT_ENCODING, "gzip");
        }
        if let Some(workspace) = request.workspace {
            builder = builder.header("X-MLFLOW-WORKSPACE", workspace);
        }
        if let Some(id) = request.experiment_id {
            builder = builder.header("x-mlflow-experiment-id", id);
        }
        let unreachable = |error: reqwest::Error| Failure::Retry {
            status: 0,
            after: None,
            message: format!("{}: {}", self.base, describe(error)),
        };
        let mut response = builder.send().await.map_err(unreachable)?;
        let status = response.status();
        let after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| retry::retry_after(value.to_str().ok()?));
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_REPLY => {
                    body.extend_from_slice(&chunk)
                }
                Ok(None) => break,
                // A success is one, whatever is wrong with its body.
                _ if status.is_success() => break,
                Ok(Some(_)) => break,
                Err(error) => return Err(unreachable(error)),
            }
        }
        Ok(Reply {
            status,
            after,
            body,
        })
    }

    /// Sends a request whose reply is JSON.
    pub(crate) async fn json(&self, request: Request<'_>) -> std::result::Result<Value, Failure> {
        let body = self.send(request).await?;
        Ok(serde_json::from_slice(&body).unwrap_or(Value::Null))
    }
}

/// Basic wins over Bearer, as in MLflow's client.
fn authorization(config: &Config) -> Result<Option<HeaderValue>> {
    match (config.basic(), config.token()) {
        (Some((user, password)), _) => basic(&user, &password).map(Some),
        (None, Some(token)) => secret(&format!("Bearer {token}")).map(Some),
        (None, None) => Ok(None),
    }
}

/// The value of `Authorization` for a user name and a password (RFC 7617).
pub(super) fn basic(user: &str, password: &str) -> Result<HeaderValue> {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    secret(&format!("Basic {pair}"))
}

fn secret(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Error::new(
            ErrorKind::InvalidConfig,
            "option 'tracking_token': not usable in an HTTP header",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// The error and its causes, without the URL.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// Reads an error reply: MLflow's JSON, FastAPI's `detail`, or anything else.
fn failure(status: StatusCode, after: Option<Duration>, body: &[u8]) -> Failure {
    let json: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let text = |key: &str| json.get(key).and_then(Value::as_str).map(str::to_owned);
    let code = match text("error_code") {
        Some(code) => code,
        None if status == StatusCode::NOT_FOUND => NO_ENDPOINT.to_owned(),
        None => String::new(),
    };
    let detail = text("message")
        .or_else(|| {
            json.get("detail")
                .map(|detail| detail.as_str().map_or(detail.to_string(), str::to_owned))
        })
        .unwrap_or_default();
    let message = format!(
        "HTTP {} {}",
        status.as_u16(),
        crate::json::truncate(&detail, MAX_MESSAGE)
    );
    let message = message.trim_end().to_owned();
    match status.as_u16() {
        status @ 503 if memmem::find(body, NO_ARTIFACTS).is_some() => Failure::Refused {
            status,
            code,
            message: format!("{message}: the server runs with --no-serve-artifacts"),
        },
        status @ (408 | 425 | 429 | 502 | 503 | 504) => Failure::Retry {
            status,
            after,
            message,
        },
        status @ (401 | 403) => Failure::Retry {
            status,
            after: Some(UNAUTHORIZED_WAIT),
            message: format!("{message}: the server does not accept the credentials"),
        },
        500 => Failure::Server { message },
        status => Failure::Refused {
            status,
            code,
            message,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_bodies_of_every_kind() {
        let read = |status: u16, body: &str| {
            failure(StatusCode::from_u16(status).unwrap(), None, body.as_bytes())
        };
        assert!(
            read(
                404,
                r#"{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "m"}"#
            )
            .is_missing("RESOURCE_DOES_NOT_EXIST")
        );
        assert!(read(404, "<!doctype html>").is_missing(NO_ENDPOINT));
        assert_eq!(
            read(422, r#"{"detail": [{"type": "missing"}]}"#).message(),
            r#"HTTP 422 [{"type":"missing"}]"#
        );
        assert!(matches!(read(503, ""), Failure::Retry { after: None, .. }));
        assert!(read(503, "Endpoint disabled due to `--no-serve-artifacts`").is_refusal());
        assert!(matches!(read(500, ""), Failure::Server { .. }));
        assert!(matches!(
            read(302, ""),
            Failure::Refused { status: 302, .. }
        ));
    }

    #[test]
    fn basic_wins_over_bearer() {
        let mut config = Config::new();
        config.set("tracking_token", "t").unwrap();
        assert_eq!(authorization(&config).unwrap().unwrap(), "Bearer t");
        config.set("tracking_username", "u").unwrap();
        config.set("tracking_password", "p").unwrap();
        assert_eq!(authorization(&config).unwrap().unwrap(), "Basic dTpw");
    }
}
