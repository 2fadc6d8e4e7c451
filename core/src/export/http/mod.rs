//! HTTP to one server: connection rules, credentials, limits, and what a reply means.
//!
//! ```text
//! Request -> checked -> authorised -> Link (TLS, proxy, pool) -> Reply, read within limits -> body or Failure
//! ```
//!
//! A 401 or 403 has the credential renewed, once for each request. A broken connection that was kept from before, and
//! TLS files that changed, are tried again at once; everything else is for the caller to try again.

mod auth;
pub(crate) mod credentials;
mod databricks;
mod fault;
pub(crate) mod headers;
mod link;
mod presigned;
pub(crate) mod proxy;
mod reply;
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value;
use tokio::time::Instant;

use crate::config::{Config, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::lock::Mutex;
use crate::secret::Secrets;
pub(crate) use auth::Auth;
use fault::Fault;
use link::{Call, Link};
pub(crate) use proxy::Proxies;
use reply::State;
pub(crate) use reply::{BAD_REPLY, DELETED, Failure, NO_ENDPOINT, Reply};
pub(crate) use tls::TlsOptions;

/// A server, and how to talk to it.
pub(crate) struct Endpoint {
    /// Without userinfo; a trailing slash is dropped.
    pub(crate) base: String,
    pub(crate) authorization: Auth,
    /// Sent with every request.
    pub(crate) headers: HeaderMap,
    pub(crate) tls: TlsOptions,
    /// Of one request, reply included; each MiB of its body allows as much again.
    pub(crate) timeout: Duration,
    /// What waits is on disk, so that a server may ask for more patience.
    pub(crate) spools: bool,
    pub(crate) proxies: Proxies,
}

/// A client of one server with one set of credentials.
pub(crate) struct Http {
    base: String,
    url: Url,
    auth: Auth,
    held: tokio::sync::Mutex<auth::Held>,
    headers: HeaderMap,
    tls: TlsOptions,
    timeout: Duration,
    proxies: Proxies,
    link: Link,
    /// The way of the last upload.
    uploads: Mutex<Option<(url::Origin, Arc<Link>)>>,
    /// The longest wait that a server may ask for.
    patience: Duration,
    secrets: Secrets,
    /// Successes whose body made no sense.
    odd: Arc<AtomicU64>,
    is_databricks: bool,
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
    /// Bytes of the reply that are read.
    pub(crate) most: usize,
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
            most: reply::MAX_BODY,
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

impl Http {
    /// A client of the tracking server. Reads the files of credentials that the options lead to.
    ///
    /// Fails with `InvalidConfig` without a tracking URI, where options contradict each other or hold what no header can,
    /// and without a workspace of Databricks or credentials for it.
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let (base, authorization) = match config.target() {
            Some(Target::Server(base)) => (base, Auth::from_config(config)),
            Some(Target::Databricks(profile)) => databricks::resolve(config, profile)?,
            None => {
                return Err(Error::new(
                    ErrorKind::InvalidConfig,
                    "option 'tracking_uri' is not set",
                ));
            }
        };
        let endpoint = Endpoint {
            base,
            authorization,
            headers: config.headers(),
            tls: TlsOptions::from_config(config),
            timeout: config.http_timeout(),
            spools: config.spools(),
            proxies: Proxies::from_config(config),
        };
        let mut http = Http::to(endpoint)?;
        http.odd = config.attached.odd_replies.clone();
        http.is_databricks = matches!(config.target(), Some(Target::Databricks(_)));
        Ok(http)
    }

    /// A client of any server.
    ///
    /// Fails with `InvalidConfig` for a base that is not a URL of HTTP, and as [`Self::new`].
    pub(crate) fn to(endpoint: Endpoint) -> Result<Self> {
        let Endpoint {
            base,
            authorization,
            headers,
            tls,
            timeout,
            spools,
            proxies,
        } = endpoint;
        tls.check()?;
        let url = Url::parse(&base)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| Error::new(ErrorKind::InvalidConfig, "not a URL of HTTP"))?;
        let secrets = Secrets::default();
        for value in headers.values().filter_map(|value| value.to_str().ok()) {
            // After the name of a scheme, the credential alone.
            let credential = value.split_once(' ').map(|(_, credential)| credential);
            let parts = [value].into_iter().chain(credential);
            parts.for_each(|part| secrets.add_if_long(part));
        }
        let mut http = Http {
            base: url.as_str().trim_end_matches('/').to_owned(),
            link: Link::new(url.scheme() == "https", tls.clone(), None, None),
            uploads: Mutex::default(),
            url,
            auth: authorization,
            held: tokio::sync::Mutex::default(),
            headers,
            tls,
            timeout,
            proxies: Proxies::none(),
            patience: crate::export::retry::patience(spools),
            secrets,
            odd: Arc::default(),
            is_databricks: false,
        };
        http.check_auth()?;
        http.route(proxies);
        Ok(http)
    }

    /// Goes by way of these proxies from now on, of whose passwords no message may tell.
    fn route(&mut self, proxies: Proxies) {
        let via = proxies.via(&self.url);
        let hidden = via.iter().flat_map(proxy::Via::secrets);
        hidden.for_each(|secret| self.secrets.add(&secret));
        let secure = self.url.scheme() == "https";
        self.link = Link::new(secure, self.tls.clone(), via, None);
        self.proxies = proxies;
    }

    /// What no message about it may hold; more can be added.
    pub(crate) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Whether artifacts go by way of grants ([`Self::upload`]).
    pub(crate) fn is_databricks(&self) -> bool {
        self.is_databricks
    }

    /// Sends a request and reads the whole reply. Success is any 2xx.
    pub(crate) async fn send(&self, request: Request<'_>) -> std::result::Result<Vec<u8>, Failure> {
        // A page in reply to a page's request is nothing odd: that is how MLflow tells its version.
        let sends = !request.content_type.is_empty();
        self.accept(self.exchange(request).await?, sends)
    }

    /// Sends a request whose reply is JSON.
    pub(crate) async fn json(&self, request: Request<'_>) -> std::result::Result<Value, Failure> {
        let body = self.accept(self.exchange(request).await?, true)?;
        Ok(serde_json::from_slice(&body).unwrap_or_else(|_| {
            // An empty body is one that was counted, or one that nobody wrote anything into.
            let odd = u64::from(!body.is_empty());
            self.odd.fetch_add(odd, Ordering::Relaxed);
            Value::Null
        }))
    }

    /// As [`Self::send`], for who needs what the reply holds: one that makes no sense is a failure, and messages are the
    /// server's own.
    pub(crate) async fn ask(&self, request: Request<'_>) -> std::result::Result<Vec<u8>, Failure> {
        let reply = self.exchange(request).await?;
        if !reply.status.is_success() {
            return Err(reply.refusal(&self.secrets));
        }
        match reply.oddity() {
            Some(failure) => Err(failure),
            None => Ok(reply.body),
        }
    }

    /// As [`Self::send`], for who reads replies by rules of its own. Fails only where there is none.
    pub(crate) async fn exchange(
        &self,
        request: Request<'_>,
    ) -> std::result::Result<Reply, Failure> {
        let deadline = Instant::now() + self.allowance(request.body.len());
        let authorization = self.authorization(deadline).await?;
        let mut call = self.call(request, authorization.clone(), deadline)?;
        let mut reply = self.perform(&call).await?;
        if matches!(reply.status.as_u16(), 401 | 403)
            && let Some(renewed) = self.renewed(authorization.as_ref(), deadline).await
        {
            call.headers.insert(AUTHORIZATION, renewed);
            reply = self.perform(&call).await?;
        }
        Ok(reply)
    }

    /// Long bodies take their time on slow lines; a limit that none of them can meet would hold up all that waits
    /// behind them.
    fn allowance(&self, body: usize) -> Duration {
        let mebibytes = u32::try_from(body >> 20).unwrap_or(u32::MAX);
        self.timeout.saturating_mul(mebibytes.saturating_add(1))
    }

    /// Fails for a request that would be another one on the wire.
    fn call(
        &self,
        request: Request<'_>,
        authorization: Option<HeaderValue>,
        deadline: Instant,
    ) -> std::result::Result<Call, Failure> {
        let unsendable = |what: &str| Failure::unsendable(format!("{what} cannot be sent"));
        let text = format!("{}{}", self.base, request.path);
        let url = Url::parse(&text).ok();
        let url = url
            .filter(|url| is_same(url, &text) && request.path.starts_with('/'))
            .ok_or_else(|| unsendable("the path"))?;
        let mut headers = self.headers.clone();
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value);
        }
        if !request.content_type.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(request.content_type));
        }
        if request.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some(name) = request.workspace {
            let value = headers::value(name).ok_or_else(|| unsendable("the workspace's name"))?;
            headers.insert("x-mlflow-workspace", value);
        }
        if let Some(id) = request.experiment_id {
            let value = Some(id).filter(|id| is_experiment_id(id));
            let value = value.and_then(headers::value);
            let value = value.ok_or_else(|| unsendable("the experiment's id"))?;
            headers.insert("x-mlflow-experiment-id", value);
        }
        Ok(Call {
            limit: self.allowance(request.body.len()),
            method: request.method,
            url,
            headers,
            body: request.body,
            most: request.most,
            deadline,
        })
    }

    async fn perform(&self, call: &Call) -> std::result::Result<Reply, Failure> {
        self.receive(&self.link, call, &self.base).await
    }

    async fn receive(
        &self,
        link: &Link,
        call: &Call,
        whom: &str,
    ) -> std::result::Result<Reply, Failure> {
        let fault = match link.send(call).await {
            Ok(response) => {
                let patience = self.patience;
                return Ok(Reply::read(response, call.deadline, patience, call.most).await);
            }
            Err(fault) => fault,
        };
        let by_way = link
            .via()
            .map(|via| format!(" through proxy {}", via.host()));
        let message = format!("{whom}{}: {fault}", by_way.unwrap_or_default());
        let message = self.secrets.scrub(&message);
        Err(match fault {
            Fault::Endless => Failure::unsendable(message),
            Fault::ProxyDenied => Failure::Retry {
                status: 407,
                after: Some(reply::UNAUTHORIZED_WAIT),
                message,
            },
            _ => Failure::passing(message),
        })
    }

    /// The body of a success. One that makes no sense is a success all the same: the server took what it was sent.
    fn accept(&self, reply: Reply, no_page: bool) -> std::result::Result<Vec<u8>, Failure> {
        if !reply.status.is_success() {
            return Err(reply.failure(&self.secrets));
        }
        let is_odd = reply.state != State::Whole || (no_page && reply.is_page);
        if is_odd {
            self.odd.fetch_add(1, Ordering::Relaxed);
            return Ok(Vec::new());
        }
        Ok(reply.body)
    }
}

/// Whether a URL says what was meant: ids and names from elsewhere are part of it, and `..` or `#` in one of them would
/// make it lead to another place.
fn is_same(url: &Url, text: &str) -> bool {
    url.as_str() == text && url.fragment().is_none()
}

/// At most 19 decimal digits.
fn is_experiment_id(id: &str) -> bool {
    (1..=19).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_would_become_others() {
        let same = |path: &str| {
            let text = format!("http://h:1/base{path}");
            Url::parse(&text).is_ok_and(|url| is_same(&url, &text))
        };
        for good in ["/version", "/a/b-1.0?x=%2F..&y=/", "/a/..x", "/a%2Fb"] {
            assert!(same(good), "{good}");
        }
        for bad in [
            "/a/../b",
            "/a/.",
            "/a\\b",
            "/a/%2e%2e/b",
            "/a/.%2E/b",
            "/a b",
            "/a#b",
            "/a?b#c",
            "/a\r\nX: y",
            "/a\t",
            "/a\u{0}",
            "/\u{e4}",
            "/a/ ",
        ] {
            assert!(!same(bad), "{bad}");
        }
    }
}
