//! Replies that are broken, endless, slow or hostile (reliability F4 to F6, F13).
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mlflow_trace_core::{ErrorKind, SpanStart, Tracer};
use support::raw::{EXPERIMENT, Raw};
use support::server::{Seen, Server, reply};
use support::{PATIENCE, assert_conserved, dropped, tracer, until};

const SPANS: &str = "/v1/traces";

fn connected(url: &str, more: &[(&str, &str)]) -> Tracer {
    tracer(&[&[("tracking_uri", url), ("batch.delay_ms", "0")], more].concat())
}

fn record(tracer: &Tracer) {
    tracer.start(SpanStart::new("span")).end().unwrap();
}

/// Answers spans with these bytes and hangs up.
fn spans_get(bytes: impl Into<Vec<u8>>) -> (Raw, Arc<AtomicUsize>) {
    let (bytes, requests) = (bytes.into(), Arc::new(AtomicUsize::new(0)));
    let count = requests.clone();
    let raw = Raw::mlflow(move |seen, stream| {
        if seen.path != SPANS {
            return false;
        }
        count.fetch_add(1, Ordering::SeqCst);
        let _ = stream.write_all(&bytes);
        true
    });
    (raw, requests)
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn head(status: u16, headers: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\n{headers}\r\n").into_bytes()
}

/// 10 MB that unpack to 10 GB.
fn bomb(status: u16) -> Vec<u8> {
    let body = gzip(&vec![0; 16 << 20]).repeat(640);
    let headers = "content-encoding: gzip\r\ntransfer-encoding: chunked\r\n";
    let length = format!("{:x}\r\n", body.len());
    [
        &head(status, headers),
        length.as_bytes(),
        &body,
        b"\r\n0\r\n\r\n",
    ]
    .concat()
}

#[test]
fn a_success_is_one_whatever_is_wrong_with_its_body() {
    let packed = gzip(b"{}");
    let mut good_gzip = head(
        200,
        &format!(
            "content-encoding: gzip\r\ncontent-length: {}\r\n",
            packed.len()
        ),
    );
    good_gzip.extend_from_slice(&packed);
    let mut cut_gzip = head(200, "content-encoding: gzip\r\ncontent-length: 15\r\n");
    cut_gzip.extend_from_slice(&packed[..15]);
    let many = format!("x-long: {}\r\ncontent-length: 0\r\n", "v".repeat(70_000));
    for (what, bytes, odd) in [
        ("empty", head(200, "content-length: 0\r\n"), 0),
        ("gzip", good_gzip, 0),
        (
            "cut",
            head(200, "content-length: 10\r\n\r\nabc")
                .into_iter()
                .collect(),
            1,
        ),
        (
            "a page",
            head(200, "content-type: text/html\r\ncontent-length: 0\r\n"),
            1,
        ),
        ("cut gzip", cut_gzip, 1),
        (
            "another encoding",
            head(200, "content-encoding: br\r\ncontent-length: 0\r\n"),
            1,
        ),
        (
            "announced too long",
            head(200, "content-length: 10000000000\r\n"),
            1,
        ),
        ("too long a head", head(200, &many), 1),
        ("a bomb", bomb(200), 1),
    ] {
        let (server, requests) = spans_get(bytes);
        let tracer = connected(&server.url(), &[]);
        record(&tracer);
        assert_eq!(tracer.flush(PATIENCE), 0, "{what}");
        let stats = tracer.stats();
        assert_eq!((stats.delivered, stats.odd_2xx), (1, odd), "{what}");
        assert_eq!(requests.load(Ordering::SeqCst), 1, "{what}");
    }
}

#[test]
fn an_error_that_is_too_long_is_not_tried_again() {
    let many = "x-a: 1\r\n".repeat(101);
    let endless = format!("HTTP/1.1 200 X\r\nx: {}", "a".repeat(1 << 20)).into_bytes();
    for (what, bytes) in [
        ("announced", head(503, "content-length: 10000000000\r\n")),
        ("a bomb", bomb(503)),
        (
            "too long a head",
            head(503, &format!("x-long: {}\r\n", "v".repeat(70_000))),
        ),
        (
            "too many headers",
            head(503, &format!("{many}content-length: 0\r\n")),
        ),
        ("a head without end", endless),
    ] {
        let (server, requests) = spans_get(bytes);
        let tracer = connected(&server.url(), &[]);
        record(&tracer);
        assert_eq!(tracer.flush(PATIENCE), 0, "{what}");
        assert_eq!(dropped(&tracer, "rejected"), 1, "{what}");
        assert_eq!(requests.load(Ordering::SeqCst), 1, "{what}");
        assert_conserved(&tracer);
    }
}

#[test]
fn an_endless_body_is_read_to_the_limit_and_no_further() {
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    let server = Raw::mlflow(move |seen, stream| {
        if seen.path != SPANS {
            return false;
        }
        stream
            .write_all(&head(200, "transfer-encoding: chunked\r\n"))
            .unwrap();
        let chunk = [&b"10000\r\n"[..], &[b' '; 0x10000], b"\r\n"].concat();
        // 10 GB.
        for _ in 0..160_000 {
            if stream.write_all(&chunk).is_err() {
                break;
            }
            count.fetch_add(chunk.len(), Ordering::SeqCst);
        }
        true
    });
    let tracer = connected(&server.url(), &[]);
    record(&tracer);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!((tracer.stats().delivered, tracer.stats().odd_2xx), (1, 1));
    // What the system buffers on both sides comes on top.
    assert!(written.load(Ordering::SeqCst) < 32 << 20);
}

/// Writes a byte at a time for as long as anybody listens; tells when nobody does.
fn drip(stream: &mut TcpStream, hung_up: &Mutex<Option<Instant>>) {
    loop {
        std::thread::sleep(Duration::from_millis(20));
        if stream.write_all(b" ").is_err() {
            *hung_up.lock().unwrap() = Some(Instant::now());
            return;
        }
    }
}

#[test]
fn slow_replies_are_cut_at_the_deadline() {
    for (bytes, delivered) in [
        (b"HTTP/1.1 200 X\r\nx-a:".to_vec(), 0),
        (head(200, "content-length: 1000000\r\n"), 1),
    ] {
        let hung_up = Arc::new(Mutex::new(None));
        let note = hung_up.clone();
        let server = Raw::mlflow(move |seen, stream| {
            if seen.path == SPANS {
                stream.write_all(&bytes).unwrap();
                drip(stream, &note);
            }
            seen.path == SPANS
        });
        let tracer = connected(&server.url(), &[("http.timeout_ms", "300")]);
        record(&tracer);
        until("the client hangs up", || hung_up.lock().unwrap().is_some());
        if delivered == 1 {
            assert_eq!(tracer.flush(PATIENCE), 0);
        }
        let stats = tracer.stats();
        assert_eq!((stats.delivered, stats.odd_2xx), (delivered, delivered));
        drop(tracer);
    }
}

#[test]
fn a_page_instead_of_an_answer_is_no_experiment() {
    let page = |_: &Seen| {
        (
            200,
            "content-type: text/html\r\n".to_owned(),
            "<html>log in</html>".to_owned(),
        )
    };
    let server = Server::start(page);
    let client = connected(&server.url, &[]).client();
    let error = client.get_experiment("7").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadReply, "{error}");
}

#[test]
fn a_server_that_asks_for_patience_gets_it() {
    for (asked, least) in [("1", 1.0), ("-1", 0.0), ("soon", 0.0), ("0", 0.0)] {
        let times = Arc::new(Mutex::new(Vec::new()));
        let log = times.clone();
        let server = Server::mlflow("3.17.2", move |seen| {
            if seen.path != SPANS {
                return None;
            }
            let mut times = log.lock().unwrap();
            times.push(Instant::now());
            let wait = format!("retry-after: {asked}\r\n");
            (times.len() == 1).then(|| (429, wait, String::new()))
        });
        let tracer = connected(&server.url, &[]);
        record(&tracer);
        until("it is delivered", || tracer.stats().delivered == 1);
        let times = times.lock().unwrap();
        let waited = times[1] - times[0];
        assert!(
            waited >= Duration::from_secs_f64(least),
            "{asked}: {waited:?}"
        );
    }
}

/// A server that reads the second request of each connection and hangs up.
fn forgetful(first: bool) -> (Raw, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = requests.clone();
    let server = Raw::start(move |mut stream, number| {
        for request in 0.. {
            let Some(seen) = support::server::read(&stream) else {
                return;
            };
            count.fetch_add(1, Ordering::SeqCst);
            // Either what is reused fails, or the very first connection does as well.
            if request == 1 || (first && number == 0) {
                return;
            }
            let body = support::raw::answer(&seen);
            if stream.write_all(&support::server::bytes(&body)).is_err() {
                return;
            }
        }
    });
    (server, requests)
}

#[test]
fn a_connection_that_was_closed_while_idle_is_no_failure() {
    let (server, requests) = forgetful(false);
    let tracer = connected(&server.url(), &[]);
    record(&tracer);
    assert_eq!(tracer.flush(PATIENCE), 0);
    // The version, then trace information and spans, each of which met a dead connection first.
    assert_eq!(requests.load(Ordering::SeqCst), 5);
    assert_eq!(tracer.next_diagnostic(), None);
}

#[test]
fn a_new_connection_that_breaks_is_a_failure() {
    let (server, requests) = forgetful(true);
    let client = connected(&server.url(), &[]).client();
    let error = client.get_experiment("7").unwrap_err();
    assert!(error.retryable(), "{error}");
    assert_eq!(requests.load(Ordering::SeqCst), 1);
    assert_eq!(client.get_experiment("7").unwrap().experiment_id, "7");
}

#[test]
fn redirects_are_not_followed() {
    let target = Server::start(|_| reply(200, EXPERIMENT));
    let location = format!("location: {}/x\r\n", target.url);
    for status in [301, 302, 303, 307, 308] {
        let location = location.clone();
        let server = Server::start(move |_| (status, location.clone(), String::new()));
        let tracer = connected(&server.url, &[("tracking_token", "hunter2")]);
        let error = tracer.client().get_experiment("7").unwrap_err();
        assert!(error.message().contains("redirects"), "{error}");
    }
    assert!(target.seen().is_empty());
}

#[test]
fn bytes_that_are_not_http_are_no_reply() {
    for bytes in [
        "",
        "\0\0\0\0\r\n\r\n",
        "SSH-2.0-OpenSSH_9\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
    ] {
        let server = Raw::start(move |mut stream, _| {
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer);
            let _ = stream.write_all(bytes.as_bytes());
        });
        let client = connected(&server.url(), &[]).client();
        let error = client.get_experiment("7").unwrap_err();
        assert!(error.retryable(), "{bytes}: {error}");
    }
}
