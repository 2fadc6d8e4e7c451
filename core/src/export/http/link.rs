//! Connections to one server: made when needed, kept for a moment, made anew when their TLS files change.

use std::cell::Cell;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, Response, Url};
use tokio::time::{Instant, timeout_at};
use tower_layer::Layer;
use tower_service::Service;

use super::fault::Fault;
use super::presigned::Guard;
use super::proxy::Via;
use super::tls::{Stamp, TlsOptions};
use crate::lock::Mutex;

/// MLflow's server closes idle connections after 5 s; sending on one that it just closed fails. The pool looks once in
/// this time, so a connection is idle for twice as long at most.
const IDLE: Duration = Duration::from_secs(2);
const MAX_IDLE: usize = 8;
const MAX_HEADERS: usize = 100;

/// A request that can be made again.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Bytes of the reply that are read.
    pub(super) most: usize,
    /// When the reply must be there.
    pub(super) deadline: Instant,
    pub(super) limit: Duration,
}

/// A way to a server.
pub(super) struct Link {
    secure: bool,
    tls: TlsOptions,
    via: Option<Via>,
    /// Decides which addresses may be connected to; absent where all may.
    guard: Option<Arc<Guard>>,
    pool: Mutex<Option<Pool>>,
}

struct Pool {
    client: Client,
    files: Vec<Stamp>,
}

impl Link {
    pub(super) fn new(
        secure: bool,
        tls: TlsOptions,
        via: Option<Via>,
        guard: Option<Arc<Guard>>,
    ) -> Self {
        Link {
            secure,
            tls,
            via,
            guard,
            pool: Mutex::default(),
        }
    }

    pub(super) fn via(&self) -> Option<&Via> {
        self.via.as_ref()
    }

    /// Makes a call and waits for the head of its reply.
    ///
    /// A server may close a connection while it is idle, and that shows only when it is used again; such a failure is
    /// not one, and the call goes out again at once. Sending twice is safe for everything that is sent here.
    pub(super) async fn send(&self, call: &Call) -> Result<Response, Fault> {
        let mut reread = false;
        let mut stale = 0;
        loop {
            let client = self.client().map_err(Fault::Tls)?;
            let attempt = timeout_at(call.deadline, attempt(&client, call));
            let (fault, fresh) = match attempt.await {
                Ok((Ok(response), _)) => return Ok(response),
                Ok((Err(error), fresh)) => (Fault::of(error, self.secure), fresh),
                Err(_) => return Err(Fault::Late(call.limit)),
            };
            match fault {
                Fault::Tls(_) if !reread && self.forget_changed() => reread = true,
                Fault::Broken(_) if !fresh && stale <= MAX_IDLE => stale += 1,
                fault => return Err(fault),
            }
        }
    }

    fn client(&self) -> Result<Client, String> {
        let mut pool = self.pool.lock();
        if let Some(pool) = &*pool {
            return Ok(pool.client.clone());
        }
        // Before they are read: a change in between shows later.
        let files = self.tls.stamps();
        let client = self.build()?;
        *pool = Some(Pool {
            client: client.clone(),
            files,
        });
        Ok(client)
    }

    fn build(&self) -> Result<Client, String> {
        let secure = self.secure || self.via.as_ref().is_some_and(Via::is_secure);
        let mut builder = Client::builder()
            .user_agent(concat!("mlflow-trace/", env!("CARGO_PKG_VERSION")))
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MAX_IDLE)
            .http1_max_headers(MAX_HEADERS)
            .redirect(reqwest::redirect::Policy::none())
            .tls_backend_preconfigured(self.tls.client_config(secure)?)
            .connector_layer(Watch)
            .no_proxy();
        if let Some(via) = &self.via {
            builder = builder.proxy(via.to_proxy()?);
        }
        if let Some(guard) = &self.guard {
            builder = builder.dns_resolver(guard.clone());
        }
        builder.build().map_err(|error| error.to_string())
    }

    /// Lets go of the connections if their TLS files are not what they were.
    fn forget_changed(&self) -> bool {
        let mut pool = self.pool.lock();
        let changed = pool
            .as_ref()
            .is_some_and(|pool| pool.files != self.tls.stamps());
        if changed {
            *pool = None;
        }
        changed
    }
}

/// The outcome, and whether a connection was made for it.
async fn attempt(client: &Client, call: &Call) -> (reqwest::Result<Response>, bool) {
    let mut request = client
        .request(call.method.clone(), call.url.clone())
        .headers(call.headers.clone());
    if call.method != Method::GET {
        request = request.body(call.body.clone());
    }
    let watched = async {
        let outcome = request.send().await;
        (outcome, CONNECTED.with(Cell::get))
    };
    CONNECTED.scope(Cell::new(false), watched).await
}

tokio::task_local! {
    /// Whether the request at hand made a connection.
    static CONNECTED: Cell<bool>;
}

/// Notes when a connection is made.
#[derive(Clone)]
struct Watch;

impl<S> Layer<S> for Watch {
    type Service = Watched<S>;

    fn layer(&self, inner: S) -> Watched<S> {
        Watched(inner)
    }
}

#[derive(Clone)]
struct Watched<S>(S);

impl<S: Service<R>, R> Service<R> for Watched<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: R) -> S::Future {
        // Connections for nobody in particular are made outside of requests.
        let _ = CONNECTED.try_with(|connected| connected.set(true));
        self.0.call(request)
    }
}
