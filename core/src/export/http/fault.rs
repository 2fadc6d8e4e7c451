//! Why there was no reply.

use std::error::Error;
use std::fmt::{self, Write};
use std::io::{self, ErrorKind};
use std::time::Duration;

use super::tls;

/// Why there was no reply.
#[derive(Debug)]
pub(super) enum Fault {
    /// The time was up.
    Late(Duration),
    /// The handshake failed, or its files cannot be read.
    Tls(String),
    /// The proxy wants credentials.
    ProxyDenied,
    /// The head of the reply has no end.
    Endless,
    /// The connection could not be made, or ended.
    Broken(String),
}

impl Fault {
    pub(super) fn of(error: reqwest::Error, secure: bool) -> Self {
        let connecting = error.is_connect();
        let error = error.without_url();
        for cause in causes(&error) {
            if let Some(error) = cause.downcast_ref::<rustls::Error>() {
                return Fault::Tls(tls::explain(error));
            }
            if let Some(error) = cause.downcast_ref::<hyper::Error>()
                && error.is_parse()
                && error.to_string().contains("too large")
            {
                return Fault::Endless;
            }
            // Its type is private.
            if cause.to_string().ends_with("proxy authorization required") {
                return Fault::ProxyDenied;
            }
            if let Some(error) = cause.downcast_ref::<io::Error>()
                && (connecting && secure)
                && is_cut(error.kind())
            {
                return Fault::Tls("TLS: the connection was cut during the handshake".to_owned());
            }
        }
        Fault::Broken(describe(&error))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Late(limit) => write!(f, "no reply within {} s", limit.as_secs_f32()),
            Fault::Tls(text) | Fault::Broken(text) => f.write_str(text),
            Fault::ProxyDenied => f.write_str("the proxy does not accept the credentials (407)"),
            Fault::Endless => f.write_str("the reply has too many headers"),
        }
    }
}

fn is_cut(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    )
}

/// An error and what caused it; also what `io::Error` wraps, which its `source` steps over.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        match wrapped {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// The error and its causes.
fn describe(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
