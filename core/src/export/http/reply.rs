//! What a reply means, and how much of it is read.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use flate2::write::MultiGzDecoder;
use memchr::memmem;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::error::{Error, ErrorKind};
use crate::export::retry;
use crate::secret::Secrets;

/// OTLP: "the client MUST limit the size of the response body"; nothing we read is longer.
pub(super) const MAX_BODY: usize = 4 << 20;
const MAX_HEADER_BYTES: usize = 64 << 10;
const MAX_MESSAGE: usize = 200;
/// Of messages that are passed on as they are.
const MAX_VERBATIM: usize = 4000;
/// What a rejected credential waits before it is tried again; it may have been renewed meanwhile.
pub(super) const UNAUTHORIZED_WAIT: Duration = Duration::from_secs(60);
/// In the reply of an MLflow server that stores no artifacts; waiting will not change that.
const NO_ARTIFACTS: &[u8] = b"--no-serve-artifacts";

/// The error code of a 404 whose body is not MLflow's: there is no such route.
pub(crate) const NO_ENDPOINT: &str = "ENDPOINT_NOT_FOUND";

/// The error code of a success that is no reply of an MLflow server.
pub(crate) const BAD_REPLY: &str = "BAD_REPLY";
/// MLflow's error code of an experiment that was deleted.
pub(crate) const DELETED: &str = "DELETED_EXPERIMENT";

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
    /// A request that must not be sent.
    pub(super) fn unsendable(message: String) -> Self {
        Failure::Refused {
            status: 0,
            code: String::new(),
            message,
        }
    }

    /// One that another attempt may get through.
    pub(super) fn passing(message: String) -> Self {
        Failure::Retry {
            status: 0,
            after: None,
            message,
        }
    }

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
        let (kind, advice) = match &failure {
            Failure::Retry {
                status: 401 | 403, ..
            } => (
                ErrorKind::Unauthorized,
                "; renew them (tracking_token, or tracking_username and tracking_password)",
            ),
            // A success without what was asked for.
            Failure::Retry { status: 200, .. } => (ErrorKind::BadReply, ""),
            Failure::Retry { .. } => (ErrorKind::Transport, ""),
            Failure::Refused { code, .. } if code == DELETED => (ErrorKind::Deleted, ""),
            Failure::Refused { code, .. } if code == BAD_REPLY => (ErrorKind::BadReply, ""),
            Failure::Refused {
                status: 404, code, ..
            } if code == NO_ENDPOINT => (
                ErrorKind::Unsupported,
                ": the server is older than this needs, or tracking_uri leads to no MLflow server",
            ),
            Failure::Refused { status: 501, .. } => (ErrorKind::Unsupported, ""),
            Failure::Refused { status: 404, .. } => (ErrorKind::NotFound, ""),
            Failure::Server { .. } | Failure::Refused { .. } => (ErrorKind::Rejected, ""),
        };
        let error = Error::new(kind, format!("{}{advice}", failure.message()));
        match &failure {
            // There was no reply, or one of success that has nothing in it.
            Failure::Retry { status: 0, .. }
            | Failure::Refused {
                status: 0 | 200, ..
            } => error,
            Failure::Retry { status, .. } => error.replied(*status, ""),
            Failure::Server { .. } => error.replied(500, ""),
            // Codes of our own say what there is no code for.
            Failure::Refused { status, code, .. } if code == BAD_REPLY || code == DELETED => {
                error.replied(*status, "")
            }
            Failure::Refused { status, code, .. } => error.replied(*status, code),
        }
    }
}

/// A reply, as far as it was read.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    /// How long the server asks to be left alone.
    pub(crate) after: Option<Duration>,
    /// The server's clock, to the second.
    pub(crate) date: Option<SystemTime>,
    /// What could be read of it.
    pub(crate) body: Vec<u8>,
    /// A page for people.
    pub(super) is_page: bool,
    pub(super) state: State,
}

/// How the body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Whole,
    /// It ended early, or is encoded in a way that was not asked for.
    Broken,
    /// Longer than what is read.
    TooLong,
}

impl Reply {
    /// Reads until the end, a limit or the deadline.
    pub(super) async fn read(
        mut response: Response,
        deadline: Instant,
        patience: Duration,
        most: usize,
    ) -> Self {
        let headers = response.headers();
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let mut reply = Reply {
            status: response.status(),
            after: text(RETRY_AFTER).and_then(|value| retry::retry_after(value, patience)),
            date: text(DATE).and_then(|date| httpdate::parse_http_date(date).ok()),
            body: Vec::new(),
            is_page: text(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html")),
            state: State::Whole,
        };
        let too_long = header_bytes(headers) > MAX_HEADER_BYTES
            || response
                .content_length()
                .is_some_and(|length| length > most as u64);
        let sink = match too_long {
            true => Err(State::TooLong),
            false => Sink::of(text(CONTENT_ENCODING), most).ok_or(State::Broken),
        };
        match sink {
            Ok(mut sink) => {
                let fed = feed(&mut sink, &mut response, deadline).await;
                (reply.body, reply.state) = sink.end(fed);
            }
            Err(state) => reply.state = state,
        }
        reply
    }

    /// A reply of these bytes, read as one from a server.
    #[cfg(fuzzing)]
    pub(crate) fn of_bytes(status: StatusCode, encoding: Option<&str>, body: &[u8]) -> Self {
        let mut reply = Reply {
            status,
            after: None,
            date: None,
            body: Vec::new(),
            is_page: false,
            state: State::Broken,
        };
        if let Some(mut sink) = Sink::of(encoding, MAX_BODY) {
            let fed = body.chunks(1000).all(|chunk| sink.write(chunk));
            (reply.body, reply.state) = sink.end(fed);
        }
        reply
    }

    /// What the exporter and the client make of it.
    #[cfg(fuzzing)]
    pub(crate) fn understood(&self, secrets: &Secrets) -> [Failure; 2] {
        [self.failure(secrets), self.refusal(secrets)]
    }

    /// Whether all of its body could be read.
    pub(crate) fn is_whole(&self) -> bool {
        self.state == State::Whole
    }

    /// Whether there was more than is read.
    pub(crate) fn is_too_long(&self) -> bool {
        self.state == State::TooLong
    }

    /// As [`Self::failure`], with the server's own message, whole, where it gave one.
    pub(super) fn refusal(&self, secrets: &Secrets) -> Failure {
        let mut failure = self.failure(secrets);
        let json: Value = serde_json::from_slice(&self.body).unwrap_or(Value::Null);
        if let Failure::Refused { message, .. } | Failure::Server { message } = &mut failure
            && let Some(text) = json["message"].as_str()
            && self.state == State::Whole
        {
            *message = crate::json::truncate(&secrets.scrub(text), MAX_VERBATIM);
        }
        match failure {
            Failure::Server { message } if self.is_page => Failure::Refused {
                status: 500,
                code: BAD_REPLY.to_owned(),
                message: format!("{message} with a page for people: see the server's log"),
            },
            failure => failure,
        }
    }

    /// Why the body of a success is no use to who needs it.
    pub(super) fn oddity(&self) -> Option<Failure> {
        let what = match self.state {
            State::Whole if self.is_page => {
                "a page for people, not MLflow's: tracking_uri may lead to a proxy's login"
            }
            State::Whole => return None,
            State::Broken => "cut short",
            State::TooLong => "too long",
        };
        Some(Failure::Refused {
            status: self.status.as_u16(),
            code: BAD_REPLY.to_owned(),
            message: format!("the reply is {what}"),
        })
    }

    /// What an error reply says: MLflow's JSON, FastAPI's `detail`, or anything else, without secrets.
    pub(super) fn failure(&self, secrets: &Secrets) -> Failure {
        let json: Value = serde_json::from_slice(&self.body).unwrap_or(Value::Null);
        let text = |key: &str| json.get(key).and_then(Value::as_str).map(str::to_owned);
        let status = self.status.as_u16();
        let code = match text("error_code") {
            Some(code) => crate::json::truncate(&secrets.scrub(&code), MAX_MESSAGE).to_owned(),
            None if status == 404 => NO_ENDPOINT.to_owned(),
            None => String::new(),
        };
        let detail = text("message")
            .or_else(|| {
                json.get("detail")
                    .map(|detail| detail.as_str().map_or(detail.to_string(), str::to_owned))
            })
            .unwrap_or_default();
        let detail = secrets.scrub(&detail);
        let message = format!(
            "HTTP {status} {}",
            crate::json::truncate(&detail, MAX_MESSAGE)
        );
        let message = message.trim_end().to_owned();
        let refused = |message| Failure::Refused {
            status,
            code,
            message,
        };
        let wait = |after, message| Failure::Retry {
            status,
            after,
            message,
        };
        match status {
            _ if self.state == State::TooLong => {
                refused(format!("{message}: the reply is too long to be read"))
            }
            503 if memmem::find(&self.body, NO_ARTIFACTS).is_some() => refused(format!(
                "{message}: the server runs with --no-serve-artifacts"
            )),
            408 | 425 | 429 | 502 | 503 | 504 => wait(self.after, message),
            401 | 403 => wait(
                Some(UNAUTHORIZED_WAIT),
                format!("{message}: the server does not accept the credentials"),
            ),
            407 => wait(
                Some(UNAUTHORIZED_WAIT),
                format!("{message}: the proxy does not accept the credentials"),
            ),
            300..=399 => refused(format!("{message}: redirects are not followed")),
            500 => Failure::Server { message },
            _ => refused(message),
        }
    }
}

fn header_bytes(headers: &HeaderMap) -> usize {
    // A line has ": " and an end besides.
    let lines = headers.iter();
    lines
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum()
}

/// Passes the body on; false when it cannot be read to its end.
async fn feed(sink: &mut Sink, response: &mut Response, deadline: Instant) -> bool {
    loop {
        match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(chunk))) if sink.write(&chunk) => {}
            Ok(Ok(None)) => return true,
            _ => return false,
        }
    }
}

/// Takes a body, unpacks it, and stops at the limit: what is packed small can be large.
enum Sink {
    Plain(Limited),
    Gzip(Box<MultiGzDecoder<Limited>>, usize),
}

impl Sink {
    /// `None` for encodings that are not understood.
    fn of(encoding: Option<&str>, most: usize) -> Option<Self> {
        match encoding.map(str::trim).unwrap_or_default() {
            "" | "identity" => Some(Sink::Plain(Limited::new(most))),
            "gzip" | "x-gzip" => {
                let decoder = MultiGzDecoder::new(Limited::new(most));
                Some(Sink::Gzip(Box::new(decoder), 0))
            }
            _ => None,
        }
    }

    fn write(&mut self, chunk: &[u8]) -> bool {
        match self {
            Sink::Plain(limited) => limited.write_all(chunk).is_ok(),
            Sink::Gzip(decoder, packed) => {
                *packed += chunk.len();
                if *packed > decoder.get_ref().most {
                    decoder.get_mut().is_full = true;
                }
                !decoder.get_ref().is_full && decoder.write_all(chunk).is_ok()
            }
        }
    }

    /// What was read, and how it ended; `fed` says whether all of it was passed on.
    fn end(self, fed: bool) -> (Vec<u8>, State) {
        let (limited, complete) = match self {
            Sink::Plain(limited) => (limited, true),
            Sink::Gzip(mut decoder, packed) => {
                let complete = packed == 0 || decoder.try_finish().is_ok();
                (
                    std::mem::replace(decoder.get_mut(), Limited::new(0)),
                    complete,
                )
            }
        };
        let state = match limited.is_full {
            true => State::TooLong,
            false if fed && complete => State::Whole,
            false => State::Broken,
        };
        (limited.body, state)
    }
}

struct Limited {
    body: Vec<u8>,
    most: usize,
    is_full: bool,
}

impl Limited {
    fn new(most: usize) -> Self {
        Limited {
            body: Vec::new(),
            most,
            is_full: false,
        }
    }
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.body.len() + bytes.len() > self.most {
            self.is_full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.body.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Failure {
        let reply = Reply {
            status: StatusCode::from_u16(status).unwrap(),
            after: None,
            date: None,
            body: body.into(),
            is_page: false,
            state: State::Whole,
        };
        let secrets = Secrets::default();
        secrets.add("hunter2");
        reply.failure(&secrets)
    }

    #[test]
    fn error_bodies_of_every_kind() {
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
    fn messages_hold_no_secret() {
        for body in [
            r#"{"error_code": "hunter2", "message": "bad token hunter2"}"#,
            r#"{"detail": {"hunter2": ["hunter2"]}}"#,
            "hunter2",
        ] {
            for status in [400, 401, 403, 404, 429, 500] {
                let shown = format!("{:?}", read(status, body));
                assert!(!shown.contains("hunter2"), "{shown}");
            }
        }
    }

    fn unpack(packed: &[u8], chunk: usize) -> (usize, State) {
        let mut sink = Sink::of(Some("gzip"), MAX_BODY).unwrap();
        let fed = packed.chunks(chunk).all(|chunk| sink.write(chunk));
        let (body, state) = sink.end(fed);
        (body.len(), state)
    }

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn packed_bodies_stop_at_the_limit() {
        let fits = gzip(&vec![0; MAX_BODY]);
        let bomb = gzip(&vec![0; MAX_BODY * 16]);
        for chunk in [1000, usize::MAX] {
            assert_eq!(unpack(&fits, chunk), (MAX_BODY, State::Whole));
            let (length, state) = unpack(&bomb, chunk);
            assert!(length <= MAX_BODY);
            assert_eq!(state, State::TooLong);
        }
        assert_eq!(unpack(b"", 1), (0, State::Whole));
        assert_eq!(unpack(b"not gzip", 3).1, State::Broken);
        assert_eq!(unpack(&fits[..fits.len() - 9], 100).1, State::Broken);
    }
}
