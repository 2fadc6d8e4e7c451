//! What a request gets, and what is stored of it.

use std::hash::BuildHasher;
use std::io::{self, Read};
use std::sync::atomic::Ordering;

use foldhash::fast::FixedState;
use serde_json::json;

use crate::http::{Head, Reply};
use crate::ledger::{self, Entry, Request, TraceKey};
use crate::mlflow;
use crate::otlp::{self, Span};
use crate::script::{Action, Case, Endpoint, Play};
use crate::seal;
use crate::sink::{Shared, lock};

/// Buffers of a connection.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) body: Vec<u8>,
    plain: Vec<u8>,
    entries: Vec<Entry>,
    pub(crate) traces: Vec<TraceKey>,
}

/// Decides what a request gets, and stores what it brings.
pub(crate) fn answer(
    shared: &Shared,
    play: &Play,
    head: &Head,
    endpoint: Endpoint,
    number: u32,
    request: &mut Request,
    scratch: &mut Scratch,
) -> (Option<Action>, Reply) {
    scratch.traces.clear();
    scratch.entries.clear();
    let Scratch {
        body,
        plain,
        entries,
        traces,
    } = scratch;
    let body = &body[..request.bytes];
    let zipped = head.header("content-encoding");
    let unpacked = zipped.map(|_| unpack(body, plain));
    let body = match unpacked {
        Some(Ok(())) => plain.as_slice(),
        _ => body,
    };
    let mut malformed = false;
    match endpoint {
        Endpoint::Spans => match read(shared, body, number, entries) {
            Ok(spans) => request.spans = spans,
            Err(otlp::Malformed) => malformed = true,
        },
        Endpoint::Info if !shared.count_only => traces.extend(info_trace(body)),
        _ => {}
    }
    traces.extend(entries.iter().map(|entry| entry.key.0));
    traces.dedup();
    if !shared.count_only {
        lock(&shared.ledger).hold(traces);
    }
    let case = Case {
        bytes: body.len(),
        traces,
        has_name: Some(&|name| has(body, |span| span.name == name.as_bytes())),
        has_id: Some(&|id| has(body, |span| ledger::hex(span.span_id) == id)),
    };
    let action = play.on_request(endpoint, &case);
    let authorized = play.script.token.as_ref().is_none_or(|token| {
        head.header("authorization")
            .is_some_and(|sent| sent == format!("Bearer {token}"))
    });
    let mut rejected = 0;
    let keeps = match &action {
        None
        | Some(
            Action::Delay { .. }
            | Action::Slow { .. }
            | Action::Truncate
            | Action::WrongLength
            | Action::Close,
        ) => true,
        Some(Action::PartialSuccess {
            rejected: spans, ..
        }) => {
            rejected = (*spans).min(request.spans);
            true
        }
        Some(Action::Reset { stored, .. }) => *stored,
        Some(Action::Endless { code, .. } | Action::Bomb { code, .. })
        | Some(Action::Status { code, .. }) => (200..300).contains(code),
        Some(Action::BlackHole | Action::Garbage) => false,
    };
    let mut usual = || {
        if !authorized {
            return mlflow::unauthenticated(endpoint);
        }
        let mut server = lock(&shared.server);
        match endpoint {
            Endpoint::Spans => {
                let collector = play.script.collector;
                let refused = match () {
                    () if !collector && !server.takes_spans() => Some(mlflow::no_such_route()),
                    () if !collector && zipped.is_some() && !server.takes_gzip() => {
                        Some(mlflow::detail(400, "Invalid OpenTelemetry format"))
                    }
                    () if !collector && head.header("x-mlflow-experiment-id").is_none() => Some(
                        mlflow::detail(422, "x-mlflow-experiment-id: Field required"),
                    ),
                    () if malformed => Some(mlflow::detail(400, "Invalid OpenTelemetry format")),
                    () => None,
                };
                refused.unwrap_or_else(|| {
                    request.stored = request.spans - rejected;
                    let stored = request.stored as u64;
                    shared.spans.fetch_add(stored, Ordering::Relaxed);
                    let length = body.len() as u64;
                    shared.bytes.fetch_add(length, Ordering::Relaxed);
                    if !shared.count_only {
                        lock(&shared.ledger).store_spans(&entries[rejected..]);
                    }
                    match &action {
                        Some(Action::PartialSuccess {
                            message, silent, ..
                        }) if !silent => mlflow::exported(rejected, message),
                        _ => mlflow::exported(0, ""),
                    }
                })
            }
            Endpoint::Info => {
                shared.infos.fetch_add(1, Ordering::Relaxed);
                let mut ledger = lock(&shared.ledger);
                let (stored, reply) = server.info(body, number, |id| ledger.knows(id).0);
                if let Some(info) = stored.filter(|_| !shared.count_only) {
                    ledger.store_info(info);
                }
                reply
            }
            Endpoint::Trace => server.trace(head, |id| lock(&shared.ledger).knows(id)),
            Endpoint::Version => server.version_reply(),
            Endpoint::Experiments => server.experiments(head, body),
            Endpoint::Artifact => {
                if let Some(artifact) = mlflow::artifact(head.path(), body) {
                    lock(&shared.ledger).artifacts.push(artifact);
                }
                Reply::json(200, &json!({}))
            }
            Endpoint::Connect => Reply::new(405, "text/plain", "no tunnels here"),
            Endpoint::Accept | Endpoint::Other | Endpoint::Any => mlflow::no_such_route(),
        }
    };
    let usual = match keeps {
        true => usual(),
        false => Reply::default(),
    };
    let reply = match &action {
        Some(Action::Status {
            code,
            retry_after,
            content_type,
            body,
        }) => {
            let content_type = content_type.as_deref().unwrap_or("application/json");
            let mut reply = Reply::new(*code, content_type, body.clone());
            if let Some(after) = retry_after {
                reply.headers += &format!("retry-after: {after}\r\n");
            }
            reply
        }
        Some(Action::Endless { code, .. } | Action::Bomb { code, .. }) => Reply {
            status: *code,
            ..Reply::default()
        },
        _ => usual,
    };
    (action, reply)
}

fn unpack(body: &[u8], plain: &mut Vec<u8>) -> io::Result<()> {
    plain.clear();
    flate2::read::GzDecoder::new(body).read_to_end(plain)?;
    Ok(())
}

/// Counts the spans of a request, and takes down what the ledger wants of each.
fn read(
    shared: &Shared,
    body: &[u8],
    request: u32,
    entries: &mut Vec<Entry>,
) -> Result<usize, otlp::Malformed> {
    let mut count = 0;
    if shared.count_only {
        otlp::spans(body, |_| count += 1)?;
        return Ok(count);
    }
    let hashes = FixedState::default();
    let mut whole = true;
    otlp::spans(body, |message| {
        count += 1;
        match Span::read(message) {
            Ok(span) => {
                let ids = (span.trace_id.try_into(), span.span_id.try_into());
                let (Ok(trace), Ok(id)) = ids else {
                    whole = false;
                    return;
                };
                entries.push(Entry {
                    key: (trace, id),
                    hash: hashes.hash_one(message),
                    request,
                    seal: seal::check(message, &span),
                    length: span.end.wrapping_sub(span.start) as i64,
                });
            }
            Err(otlp::Malformed) => whole = false,
        }
    })?;
    match whole {
        true => Ok(count),
        false => Err(otlp::Malformed),
    }
}

fn has(body: &[u8], wanted: impl Fn(&Span<'_>) -> bool) -> bool {
    let mut found = false;
    let _ = otlp::spans(body, |message| {
        found |= Span::read(message).is_ok_and(|span| wanted(&span));
    });
    found
}

fn info_trace(body: &[u8]) -> Option<TraceKey> {
    let at = memchr::memmem::find(body, b"\"tr-")? + 1;
    let name = std::str::from_utf8(body.get(at..at + 35)?).ok()?;
    ledger::trace_key(name)
}
