//! The control endpoint, on a port of its own, so that no fault keeps anybody from it.
//!
//! | request | |
//! |---|---|
//! | `POST /__faults` | puts a script (`script.rs`) in the place of the one before |
//! | `GET /__ledger` | what was stored, by trace and span, and every request |
//! | `GET /__stats` | counters |
//! | `POST /__reset` | forgets ledger and counters |
//! | `GET /__ca` | the certificate of the sink's authority, as PEM |

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::http::{Connection, Head, Reply, Wire};
use crate::sink::Shared;

pub(crate) fn serve(shared: &Arc<Shared>, listener: &TcpListener) {
    while !shared.is_stopping() {
        let Ok((stream, _)) = listener.accept() else {
            continue;
        };
        let shared = shared.clone();
        std::thread::spawn(move || while_open(&shared, stream));
    }
}

fn while_open(shared: &Shared, stream: TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut connection = Connection::new(Wire::Plain(stream));
    let mut body = Vec::new();
    loop {
        let head = connection.head().ok()??;
        let length = connection.body(&head, &mut body).ok()?;
        let reply = answer(shared, &head, &body[..length]);
        connection.wire.write_all(&reply.bytes()).ok()?;
        let closes = |word: &str| word.eq_ignore_ascii_case("close");
        if head.header("connection").is_some_and(closes) {
            return None;
        }
    }
}

fn answer(shared: &Shared, head: &Head, body: &[u8]) -> Reply {
    match (head.method.as_str(), head.path()) {
        ("POST", "/__faults") => {
            let script: Result<Value, _> = serde_json::from_slice(body);
            let outcome = script
                .map_err(Into::into)
                .and_then(|script| shared.set_script(&script));
            match outcome {
                Ok(()) => Reply::json(200, &json!({})),
                Err(error) => Reply::new(400, "text/plain", error.to_string()),
            }
        }
        ("GET", "/__ledger") => Reply::json(200, &shared.ledger_json()),
        ("GET", "/__stats") => Reply::json(200, &shared.stats()),
        ("POST", "/__reset") => {
            shared.reset();
            Reply::json(200, &json!({}))
        }
        ("GET", "/__ca") => match shared.root_pem() {
            Some(pem) => Reply::new(200, "application/x-pem-file", pem),
            None => Reply::new(404, "text/plain", "started without TLS"),
        },
        _ => Reply::new(404, "text/plain", "no such control"),
    }
}
