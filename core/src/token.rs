//! Tokens that a host supplies while it runs.

use crate::error::Result;
use crate::secret::Secret;

/// Supplies the Bearer token of requests to the tracking server, instead of the options about credentials.
///
/// It is asked before the first request and again whenever the server refuses the last token. It is called on a thread of the
/// library's, may block, and is given up after `http.timeout_ms`. An error, a panic or an empty token makes the request fail
/// as an unreachable server would, so that it is tried again.
pub trait TokenProvider: Send + Sync + 'static {
    /// The token of now.
    fn token(&self) -> Result<Secret>;
}

impl<F: Fn() -> Result<Secret> + Send + Sync + 'static> TokenProvider for F {
    fn token(&self) -> Result<Secret> {
        self()
    }
}
