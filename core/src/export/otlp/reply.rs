//! What a collector's reply means (OTLP 1.x, "OTLP/HTTP Response").

use std::time::Duration;

use serde_json::Value;

use crate::export::http::Reply;
use crate::json;
use crate::otlp::reader::{Field, Fields};
use crate::secret::Secrets;

/// Code points of a message that are shown.
const MAX_MESSAGE: usize = 200;

/// What became of a request. Messages are the collector's, as they came.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// It took all spans but so many, which it will never take. An odd success is one that no collector would write.
    Taken {
        rejected: u64,
        message: String,
        is_odd: bool,
    },
    /// It takes nothing now.
    Later {
        status: u16,
        after: Option<Duration>,
        message: String,
    },
    /// It refuses this request for good.
    Refused { status: u16, message: String },
}

/// Only 429, 502, 503 and 504 are worth another try by the protocol. Credentials may be renewed meanwhile.
pub(super) fn read(reply: &Reply) -> Answer {
    let status = reply.status.as_u16();
    if reply.status.is_success() {
        return taken(&reply.body, reply.is_whole());
    }
    match reply.is_too_long() {
        true => Answer::Refused {
            status,
            message: "the reply is too long".to_owned(),
        },
        false => refused(status, reply.after, &reply.body),
    }
}

/// How many spans a collector would not take, for bytes that say so.
#[cfg(fuzzing)]
pub(crate) fn rejected(reply: &Reply) -> Option<u64> {
    match read(reply) {
        Answer::Taken { rejected, .. } => Some(rejected),
        Answer::Later { .. } | Answer::Refused { .. } => None,
    }
}

fn refused(status: u16, after: Option<Duration>, body: &[u8]) -> Answer {
    let message = error_message(body);
    match status {
        429 | 502..=504 => Answer::Later {
            status,
            after,
            message,
        },
        401 | 403 => Answer::Later {
            status,
            after: None,
            message: format!("the collector does not accept the credentials. {message}"),
        },
        _ => Answer::Refused { status, message },
    }
}

/// Reads an `ExportTraceServiceResponse`; one that cannot be read changes nothing about the success.
fn taken(body: &[u8], is_whole: bool) -> Answer {
    let read = match body.first() {
        Some(b'{') => partial_success_json(body),
        _ => partial_success(body),
    };
    let is_odd = !is_whole || read.is_none();
    let (rejected, message) = read.unwrap_or_default();
    Answer::Taken {
        rejected: u64::try_from(rejected).unwrap_or(0),
        message,
        is_odd,
    }
}

/// Spans rejected, and why; `None` for what is no such message.
fn partial_success(body: &[u8]) -> Option<(i64, String)> {
    let reply = fields(body)?;
    let Some(partial) = reply.iter().rfind(|field| field.number == 1) else {
        return Some((0, String::new()));
    };
    let partial = fields(partial.bytes()?)?;
    let rejected = partial
        .iter()
        .rfind(|field| field.number == 1)
        .and_then(|field| field.integer());
    Some((rejected.unwrap_or(0) as i64, text(&partial, 2)))
}

/// The same in JSON, where 64-bit integers are strings, mostly.
fn partial_success_json(body: &[u8]) -> Option<(i64, String)> {
    let reply: Value = serde_json::from_slice(body).ok()?;
    let partial = &reply["partialSuccess"];
    let rejected = match &partial["rejectedSpans"] {
        Value::String(digits) => digits.parse().ok(),
        other => other.as_i64(),
    };
    let message = partial["errorMessage"].as_str().unwrap_or_default();
    Some((rejected.unwrap_or(0), message.to_owned()))
}

/// The message of a `google.rpc.Status`, in protobuf or JSON; of other bodies what is text.
fn error_message(body: &[u8]) -> String {
    if let Some(status) = fields(body).filter(|status| status.iter().any(|field| field.number == 2))
    {
        return text(&status, 2);
    }
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let known = ["message", "detail"]
        .iter()
        .find_map(|key| json[*key].as_str());
    match (known, std::str::from_utf8(body)) {
        (Some(message), _) => message.to_owned(),
        (None, Ok(text)) => text.to_owned(),
        (None, Err(_)) => String::new(),
    }
}

/// The fields of a message; `None` unless all of it can be read.
fn fields(message: &[u8]) -> Option<Vec<Field<'_>>> {
    Fields::new(message).collect::<Result<_, _>>().ok()
}

fn text(fields: &[Field<'_>], number: u32) -> String {
    let field = fields.iter().rfind(|field| field.number == number);
    let bytes = field.and_then(|field| field.bytes()).unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

/// A collector's message in a form that may be shown: one short line without what it must not repeat.
pub(super) fn scrub(message: &str, secrets: &Secrets) -> String {
    let clean = secrets.scrub(message);
    let words: Vec<&str> = clean
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    json::truncate(&words.join(" "), MAX_MESSAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_success_in_every_form() {
        for (body, expected) in [
            (&b""[..], (0, "")),
            (b"\x0a\x00", (0, "")),
            (b"\x0a\x02\x08\x03", (3, "")),
            (b"\x0a\x07\x08\x03\x12\x03why", (3, "why")),
            (b"\x0a\x05\x12\x03why", (0, "why")),
            // A negative number of spans.
            (
                b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                (0, ""),
            ),
            (br#"{"partialSuccess": null}"#, (0, "")),
            (
                br#"{"partialSuccess": {"rejectedSpans": "3", "errorMessage": "why"}}"#,
                (3, "why"),
            ),
            (br#"{"partialSuccess": {"rejectedSpans": 3}}"#, (3, "")),
            (b"<!doctype html><title>Welcome</title>", (0, "")),
            (b"\x0a\xff", (0, "")),
            (b"\xff\xff\xff", (0, "")),
            (b"{", (0, "")),
        ] {
            let is_odd = [&b"<"[..], b"\x0a\xff", b"\xff"]
                .iter()
                .any(|odd| body.starts_with(odd));
            let answer = Answer::Taken {
                rejected: expected.0,
                message: expected.1.to_owned(),
                is_odd: is_odd || body == b"{",
            };
            assert_eq!(taken(body, true), answer, "{body:?}");
        }
    }

    #[test]
    fn statuses() {
        let kind = |status| match refused(status, None, b"") {
            Answer::Taken { .. } => "taken",
            Answer::Later { .. } => "later",
            Answer::Refused { .. } => "refused",
        };
        for (expected, statuses) in [
            ("later", &[401, 403, 429, 502, 503, 504][..]),
            (
                "refused",
                &[
                    400, 413, 422, 500, 301, 404, 405, 408, 409, 415, 425, 501, 505,
                ],
            ),
        ] {
            for status in statuses {
                assert_eq!(kind(*status), expected, "{status}");
            }
        }
    }

    #[test]
    fn messages_of_errors() {
        for (body, expected) in [
            (&b"\x08\x03\x12\x03why"[..], "why"),
            (br#"{"code": 3, "message": "why"}"#, "why"),
            (br#"{"detail": "why"}"#, "why"),
            (b"why", "why"),
            (b"\xff\xfe", ""),
        ] {
            assert_eq!(error_message(body), expected, "{body:?}");
        }
    }

    #[test]
    fn what_is_shown_is_short_and_clean() {
        let secrets = Secrets::default();
        secrets.add("hunter2");
        assert_eq!(scrub("no\r\n\x1b[31m hunter2!\0", &secrets), "no [31m ***!");
        assert!(scrub(&"é".repeat(1000), &secrets).chars().count() <= 200);
    }
}
