//! Blocking calls to the tracking server, for the few things that a host wants an answer to.

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::export::experiments;
use crate::export::http::{Failure, Http};

/// An MLflow experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Experiment {
    /// Its id, decimal.
    pub experiment_id: String,
    /// Its name.
    pub name: String,
}

/// A client of the configured server. Every call waits for the reply, at most `http.timeout_ms`.
#[derive(Clone, Debug)]
pub struct Client {
    config: Config,
}

impl Client {
    pub(crate) fn new(config: &Config) -> Result<Self> {
        match config.target() {
            Some(_) => Ok(Client {
                config: config.clone(),
            }),
            None => Err(Error::new(
                ErrorKind::InvalidConfig,
                "option 'tracking_uri' is not set",
            )),
        }
    }

    /// The experiment of this name, made if there is none.
    ///
    /// Fails with `Transport` when the server cannot be reached and `Rejected` when the experiment
    /// is deleted.
    pub fn set_experiment(&self, name: &str) -> Result<Experiment> {
        self.call(async |http| experiments::by_name(http, self.workspace(), name).await)
    }

    /// The experiment of this id. Fails with `NotFound` if there is none.
    pub fn get_experiment(&self, id: &str) -> Result<Experiment> {
        self.call(async |http| experiments::by_id(http, self.workspace(), id).await)
    }

    fn workspace(&self) -> Option<&str> {
        self.config
            .get("workspace")
            .ok()
            .filter(|name| !name.is_empty())
    }

    /// Runs a call on a thread of its own: the caller's may belong to an async runtime, in which
    /// another one cannot be started.
    fn call<T: Send>(
        &self,
        request: impl AsyncFn(&Http) -> std::result::Result<T, Failure> + Send,
    ) -> Result<T> {
        let run = move || -> Result<T> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
            let result = runtime.block_on(async { Ok(request(&Http::new(&self.config)?).await?) });
            runtime.shutdown_background();
            result
        };
        std::thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Internal,
                "the request's thread failed",
            ))
        })
    }
}
