//! What the sink alone can take: prepared requests, one after the other on one connection.

use std::time::Instant;

use mlflow_trace_faults::client;

use super::Options;
use super::server::Server;
use crate::work::{CHILD, NUMBERS, TEXTS};

/// Spans of a request.
const SPANS: usize = 2048;
/// Different requests, so that ids are not always the same.
const REQUESTS: usize = 64;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    pub(crate) ledger: bool,
    pub(crate) spans_a_second: f64,
    /// Nanoseconds of the sink's CPU for each span.
    pub(crate) sink: f64,
}

/// With a ledger and without.
pub(crate) fn measure(options: &Options) -> Result<Vec<Capacity>, String> {
    let bodies: Vec<Vec<u8>> = (0..REQUESTS).map(request).collect();
    let requests = (options.traces / 50).max(100);
    [true, false]
        .into_iter()
        .map(|ledger| {
            let arguments: &[&str] = if ledger { &[] } else { &["--count-only"] };
            let server = Server::start(&options.sink, arguments, None)?;
            let send = |times| {
                client::repeat(&server.url, "", &bodies, times).map_err(|error| error.to_string())
            };
            send(4)?;
            // The CPU is counted in hundredths of a second, and a ledger grows.
            let requests = if ledger { requests } else { requests * 8 };
            let before = server.cpu_ns()?;
            let start = Instant::now();
            send(requests)?;
            let seconds = start.elapsed().as_secs_f64();
            let spans = (requests * SPANS) as f64;
            Ok(Capacity {
                ledger,
                spans_a_second: spans / seconds,
                sink: (server.cpu_ns()? - before) / spans,
            })
        })
        .collect()
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    varint(&mut out, bytes.len() as u64);
    out.extend_from_slice(bytes);
    out
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// An OTLP request (opentelemetry-proto 1.x) of W2 spans in traces of ten.
fn request(number: usize) -> Vec<u8> {
    let spans: Vec<u8> = (0..SPANS)
        .flat_map(|index| field(2, &span((number * SPANS + index) as u64)))
        .collect();
    field(1, &[field(1, b""), field(2, &spans)].concat())
}

fn span(number: u64) -> Vec<u8> {
    let mixed = |number: u64| {
        (number + 1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .to_be_bytes()
    };
    let trace = [mixed(number / 10), mixed(number / 10 + 1_000_000)].concat();
    let mut out = field(1, &trace);
    out.extend(field(2, &mixed(number)));
    out.extend(field(4, &mixed(number / 10)));
    out.extend(field(5, CHILD.as_bytes()));
    for (key, time) in [
        (7, 1_700_000_000_000_000_000u64),
        (8, 1_700_000_000_000_500_000),
    ] {
        out.push(key << 3 | 1);
        out.extend(time.to_le_bytes());
    }
    for (key, text) in TEXTS {
        let value = field(2, &field(1, text.as_bytes()));
        out.extend(field(9, &[field(1, key.as_bytes()), value].concat()));
    }
    for (key, number) in NUMBERS {
        let mut value = vec![3 << 3];
        varint(&mut value, number as u64);
        let value = field(2, &value);
        out.extend(field(9, &[field(1, key.as_bytes()), value].concat()));
    }
    out
}
