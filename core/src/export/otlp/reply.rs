//! What a collector's reply means (OTLP 1.x, "OTLP/HTTP Response").

use std::time::Duration;

use serde_json::Value;

use crate::export::http::{MAX_MESSAGE, Reply, UNAUTHORIZED_WAIT};
use crate::json;
use crate::otlp::reader::{Field, Fields};

/// What became of a request. Messages are the collector's, as they came.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// It took all spans but so many, which it will never take.
    Taken { rejected: u64, message: String },
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
pub(super) fn read(reply: Reply) -> Answer {
    let Reply {
        status,
        after,
        body,
    } = reply;
    if status.is_success() {
        return taken(&body);
    }
    let status = status.as_u16();
    let message = error_message(&body);
    match status {
        429 | 502..=504 => Answer::Later {
            status,
            after,
            message,
        },
        401 | 403 => Answer::Later {
            status,
            after: Some(UNAUTHORIZED_WAIT),
            message: format!("the collector does not accept the credentials. {message}"),
        },
        _ => Answer::Refused { status, message },
    }
}

/// Reads an `ExportTraceServiceResponse`; one that cannot be read changes nothing about the success.
fn taken(body: &[u8]) -> Answer {
    let (rejected, message) = match body.first() {
        Some(b'{') => partial_success_json(body),
        _ => partial_success(body),
    }
    .unwrap_or_default();
    Answer::Taken {
        rejected: u64::try_from(rejected).unwrap_or(0),
        message,
    }
}

fn partial_success(body: &[u8]) -> Option<(i64, String)> {
    let reply = fields(body)?;
    let partial = reply.iter().rfind(|field| field.number == 1)?.bytes()?;
    let partial = fields(partial)?;
    let rejected = partial
        .iter()
        .rfind(|field| field.number == 1)
        .and_then(|field| field.integer());
    Some((rejected.unwrap_or(0) as i64, text(&partial, 2)))
}

/// The same in JSON, where 64-bit integers are strings, mostly.
fn partial_success_json(body: &[u8]) -> Option<(i64, String)> {
    let reply: Value = serde_json::from_slice(body).ok()?;
    let partial = reply.get("partialSuccess")?;
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
pub(super) fn scrub(message: &str, secrets: &[String]) -> String {
    let mut clean = message.to_owned();
    for secret in secrets {
        clean = clean.replace(secret.as_str(), "***");
    }
    let words: Vec<&str> = clean
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    json::truncate(&words.join(" "), MAX_MESSAGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::StatusCode;

    fn answer(status: u16, body: &[u8]) -> Answer {
        read(Reply {
            status: StatusCode::from_u16(status).unwrap(),
            after: None,
            body: body.to_vec(),
        })
    }

    fn rejected(body: &[u8]) -> (u64, String) {
        match answer(200, body) {
            Answer::Taken { rejected, message } => (rejected, message),
            other => panic!("{other:?}"),
        }
    }

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
            let (count, message) = rejected(body);
            assert_eq!((count, message.as_str()), expected, "{body:?}");
        }
    }

    #[test]
    fn statuses() {
        let kind = |status| match answer(status, b"") {
            Answer::Taken { .. } => "taken",
            Answer::Later { .. } => "later",
            Answer::Refused { .. } => "refused",
        };
        for (expected, statuses) in [
            ("taken", &[200, 202, 204][..]),
            ("later", &[401, 403, 429, 502, 503, 504]),
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
        let secrets = ["hunter2".to_owned()];
        assert_eq!(scrub("no\r\n\x1b[31m hunter2!\0", &secrets), "no [31m ***!");
        assert!(scrub(&"é".repeat(1000), &secrets).chars().count() <= 200);
    }
}
