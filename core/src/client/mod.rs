//! Blocking calls that read and annotate what was recorded: on a tracking server, or in the files that are written
//! where none is configured.
//!
//! Formats and paths are those of MLflow 3.17.2; what older servers (3.2 and later, for reading 2.14 and later) lack is
//! asked for in their way. Each call runs on a thread of its own, so that it can be made from anywhere, an async
//! runtime included. Errors have one kind each, see [`crate::ErrorKind`], and the server's own words where it gave some.

mod artifacts;
mod assessments;
mod doctor;
mod experiments;
mod files;
mod filter;
mod invoke;
mod recording;
mod search;
mod server;
mod stored;
mod traces;

use std::path::Path;
use std::thread;

use crate::config::{Config, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::export::http::Http;
pub use crate::mlflow::entity::{
    Assessment, AssessmentError, AssessmentSource, AssessmentValue, Expectation, Experiment,
    Feedback, IssueReference, Link, SourceType, Span, SpanEvent, SpanStatus, Trace, TraceData,
    TraceInfo, TraceLocation, TraceStatus,
};
use crate::pipeline::signals;
pub use assessments::AssessmentUpdate;
pub use doctor::{Finding, Severity};
pub use experiments::{ExperimentSearch, ViewType};
pub use search::{Page, TraceSearch, Traces};
use server::Server;
pub use stored::StoredTraces;
pub use traces::Deletion;

/// A client of the configured server, or of the files where none is configured. Every request waits for its reply, at
/// most `http.timeout_ms`; a call may need several.
#[derive(Clone, Debug)]
pub struct Client {
    config: Config,
}

/// Where a client reads.
enum Store<'a> {
    Server,
    Files(&'a Path),
}

impl Client {
    /// A client of what these options name.
    pub fn new(config: &Config) -> Self {
        Client {
            config: config.clone(),
        }
    }

    fn store(&self) -> Store<'_> {
        match self.config.target() {
            Some(_) => Store::Server,
            None => Store::Files(self.config.directory()),
        }
    }

    /// The directory of the files where no server is configured; `None` where one is.
    pub fn directory(&self) -> Option<&Path> {
        match self.store() {
            Store::Server => None,
            Store::Files(directory) => Some(directory),
        }
    }

    /// The server, without credentials: a URL, or `databricks` with the profile that is named. `None` where none is
    /// configured.
    pub fn server(&self) -> Option<String> {
        Some(match self.config.target()? {
            Target::Server(base) => base,
            Target::Databricks(None) => "databricks".to_owned(),
            Target::Databricks(Some(profile)) => format!("databricks://{profile}"),
        })
    }

    /// Runs a call on a thread of its own: the caller's may belong to an async runtime, in which another one cannot be
    /// started. Fails with `Unsupported` without a server.
    fn call<T: Send>(&self, work: impl AsyncFn(&Server<'_>) -> Result<T> + Send) -> Result<T> {
        if self.directory().is_some() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "this needs a tracking server: set option 'tracking_uri'",
            ));
        }
        let run = move || -> Result<T> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
            let result = runtime.block_on(async {
                let http = Http::new(&self.config)?;
                work(&Server::new(&http, self.workspace())).await
            });
            runtime.shutdown_background();
            result
        };
        let failed = |text: &str| Err(Error::new(ErrorKind::Internal, text));
        thread::scope(|scope| {
            let thread = thread::Builder::new().name("mlflow-trace-call".to_owned());
            match signals::start_without(|| thread.spawn_scoped(scope, run)) {
                Ok(thread) => thread
                    .join()
                    .unwrap_or_else(|_| failed("the request's thread failed")),
                Err(_) => failed("there can be no thread for the request"),
            }
        })
    }

    fn workspace(&self) -> Option<&str> {
        let name = self.config.get("workspace").ok();
        name.filter(|name| !name.is_empty())
    }
}
