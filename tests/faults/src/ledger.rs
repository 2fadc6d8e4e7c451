//! What the sink took on: every span, trace information and artifact that it stored, and every request.
//!
//! Written at full speed and looked into afterwards, so it is a log: what belongs together is put together
//! when somebody asks.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use foldhash::fast::FixedState;
use serde::Serialize;
use serde_json::{Value, json};

use crate::script::Endpoint;
use crate::seal::Verdict;

/// A trace id as it is on the wire.
pub type TraceKey = [u8; 16];
/// A trace id and a span id.
pub type SpanKey = (TraceKey, [u8; 8]);

/// A span that was stored.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its ids.
    pub key: SpanKey,
    /// Of the bytes of its message.
    pub hash: u64,
    /// The number of the request that brought it.
    pub request: u32,
    /// Whether it is what its program sealed.
    pub seal: Verdict,
    /// From its start to its end in nanoseconds; negative when it ended before it started.
    pub length: i64,
}

/// Trace information that was stored.
#[derive(Clone, Debug)]
pub struct Info {
    /// Its trace.
    pub trace: TraceKey,
    /// `OK`, `ERROR` or `IN_PROGRESS`.
    pub state: String,
    /// The number of the request that brought it.
    pub request: u32,
}

/// A request, in the order in which heads arrived.
#[derive(Clone, Debug, Serialize)]
pub struct Request {
    /// What it asked for.
    pub endpoint: Endpoint,
    /// Whether its client took the sink for its proxy.
    pub proxied: bool,
    /// The connection, counted from 1.
    pub connection: u64,
    /// Milliseconds since the sink started.
    pub begun_ms: f64,
    /// When it was answered or the client went away; absent while neither has happened.
    pub ended_ms: Option<f64>,
    /// Of the reply; 0 without one.
    pub status: u16,
    /// Bytes of its body as they came.
    pub bytes: usize,
    /// Spans in it.
    pub spans: usize,
    /// Spans of it that were stored.
    pub stored: usize,
    /// The fault that was injected.
    pub fault: Option<&'static str>,
    /// Bytes of the reply that the client's system took.
    pub sent: u64,
}

#[derive(Default)]
struct Trace {
    in_flight: u32,
    has_spans: bool,
    has_info: bool,
}

/// Everything since the start or the last reset.
#[derive(Default)]
pub struct Ledger {
    /// Every copy of every span that was stored, in order.
    pub entries: Vec<Entry>,
    /// Every copy of trace information that was stored, in order.
    pub infos: Vec<Info>,
    /// Traces whose spans came as an artifact, and how many.
    pub artifacts: Vec<(String, usize)>,
    /// Every request.
    pub requests: Vec<Request>,
    traces: HashMap<TraceKey, Trace, FixedState>,
    max_in_flight: u32,
}

/// What the ledger has of one span.
#[derive(Clone, Copy, Debug)]
pub struct Copies {
    /// How often it was stored.
    pub count: u32,
    /// The hash of the first copy.
    pub hash: u64,
    /// Whether all copies are the same.
    pub same: bool,
}

/// The ledger in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Spans, each counted once.
    pub spans: usize,
    /// Further copies of them.
    pub duplicates: usize,
    /// Spans whose copies differ.
    pub conflicts: usize,
    /// Spans that are not what their program sealed.
    pub broken: usize,
    /// Spans that ended before they started.
    pub backward: usize,
    /// How long the longest span took, in milliseconds.
    pub longest_ms: i64,
    /// Traces with information.
    pub infos: usize,
    /// Further copies of information.
    pub info_duplicates: usize,
    /// Traces whose spans came as an artifact.
    pub artifacts: usize,
    /// The most requests that were under way at the same time for one trace.
    pub concurrent_per_trace: u32,
    /// Requests.
    pub requests: usize,
}

impl Ledger {
    /// Notes that a request arrived; returns its number.
    pub(crate) fn begin(&mut self, request: Request) -> u32 {
        self.requests.push(request);
        (self.requests.len() - 1) as u32
    }

    /// Notes that a request for these traces is under way.
    pub(crate) fn hold(&mut self, traces: &[TraceKey]) {
        for trace in traces {
            let held = self.traces.entry(*trace).or_default();
            held.in_flight += 1;
            self.max_in_flight = self.max_in_flight.max(held.in_flight);
        }
    }

    /// Undoes [`Self::hold`].
    pub(crate) fn release(&mut self, traces: &[TraceKey]) {
        for trace in traces {
            if let Some(held) = self.traces.get_mut(trace) {
                held.in_flight = held.in_flight.saturating_sub(1);
            }
        }
    }

    pub(crate) fn store_spans(&mut self, entries: &[Entry]) {
        self.entries.extend_from_slice(entries);
        let mut last = None;
        for entry in entries {
            if last.replace(entry.key.0) != Some(entry.key.0) {
                self.traces.entry(entry.key.0).or_default().has_spans = true;
            }
        }
    }

    pub(crate) fn store_info(&mut self, info: Info) {
        self.traces.entry(info.trace).or_default().has_info = true;
        self.infos.push(info);
    }

    /// Whether spans and information of a trace are stored.
    pub(crate) fn knows(&self, trace: &TraceKey) -> (bool, bool) {
        let found = self.traces.get(trace);
        found.map_or((false, false), |trace| (trace.has_spans, trace.has_info))
    }

    /// The stored spans, each once.
    pub fn spans(&self) -> HashMap<SpanKey, Copies, FixedState> {
        let mut spans: HashMap<SpanKey, Copies, FixedState> = HashMap::default();
        spans.reserve(self.entries.len());
        for entry in &self.entries {
            match spans.entry(entry.key) {
                Slot::Occupied(mut found) => {
                    let copies = found.get_mut();
                    copies.count += 1;
                    copies.same &= copies.hash == entry.hash;
                }
                Slot::Vacant(place) => {
                    place.insert(Copies {
                        count: 1,
                        hash: entry.hash,
                        same: true,
                    });
                }
            }
        }
        spans
    }

    /// The requests for an endpoint.
    pub fn requests_for(&self, endpoint: Endpoint) -> impl Iterator<Item = &Request> {
        let requests = self.requests.iter();
        requests.filter(move |request| request.endpoint == endpoint)
    }

    /// The figures.
    pub fn summary(&self) -> Summary {
        let spans = self.spans();
        let mut infos: Vec<TraceKey> = self.infos.iter().map(|info| info.trace).collect();
        infos.sort_unstable();
        infos.dedup();
        let lengths = self.entries.iter().map(|entry| entry.length);
        Summary {
            spans: spans.len(),
            duplicates: self.entries.len() - spans.len(),
            conflicts: spans.values().filter(|copies| !copies.same).count(),
            broken: self
                .entries
                .iter()
                .filter(|entry| entry.seal == Verdict::Broken)
                .count(),
            backward: self.entries.iter().filter(|entry| entry.length < 0).count(),
            longest_ms: lengths.max().unwrap_or(0) / 1_000_000,
            infos: infos.len(),
            info_duplicates: self.infos.len() - infos.len(),
            artifacts: self.artifacts.len(),
            concurrent_per_trace: self.max_in_flight,
            requests: self.requests.len(),
        }
    }

    /// `{"summary": …, "traces": {"tr-…": {"spans": {id: {"copies": n, "hash": text, "same": bool}}, "infos":
    /// [state], "artifacts": n}}, "requests": […]}`; trace ids as MLflow writes them.
    pub fn to_json(&self) -> Value {
        let mut traces = serde_json::Map::new();
        let mut at = |id: String| {
            let slot = traces.entry(id);
            slot.or_insert_with(|| json!({"spans": {}, "infos": [], "artifacts": 0}));
        };
        for entry in &self.entries {
            at(trace_name(&entry.key.0));
        }
        for info in &self.infos {
            at(trace_name(&info.trace));
        }
        for (id, _) in &self.artifacts {
            at(id.clone());
        }
        for (key, copies) in self.spans() {
            traces[&trace_name(&key.0)]["spans"][hex(&key.1)] = json!({
                "copies": copies.count,
                "hash": format!("{:016x}", copies.hash),
                "same": copies.same,
            });
        }
        for info in &self.infos {
            if let Some(infos) = traces[&trace_name(&info.trace)]["infos"].as_array_mut() {
                infos.push(info.state.clone().into());
            }
        }
        for (id, _) in &self.artifacts {
            let count = &mut traces[id]["artifacts"];
            *count = (count.as_u64().unwrap_or(0) + 1).into();
        }
        json!({"summary": self.summary(), "traces": traces, "requests": self.requests})
    }
}

/// MLflow's name of a trace.
pub fn trace_name(trace: &TraceKey) -> String {
    format!("tr-{}", hex(trace))
}

/// The trace of MLflow's name.
pub(crate) fn trace_key(name: &str) -> Option<TraceKey> {
    let digits = name.strip_prefix("tr-").filter(|hex| hex.len() == 32)?;
    Some(u128::from_str_radix(digits, 16).ok()?.to_be_bytes())
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(span: u8, hash: u64) -> Entry {
        Entry {
            key: ([1; 16], [span; 8]),
            hash,
            request: 0,
            seal: Verdict::None,
            length: 0,
        }
    }

    #[test]
    fn copies_are_told_apart() {
        let mut ledger = Ledger::default();
        ledger.store_spans(&[entry(1, 5), entry(2, 6), entry(1, 5), entry(2, 7)]);
        let summary = ledger.summary();
        assert_eq!(
            (summary.spans, summary.duplicates, summary.conflicts),
            (2, 2, 1)
        );
        let json = ledger.to_json();
        let spans = &json["traces"][trace_name(&[1; 16])]["spans"];
        assert_eq!(spans[hex(&[1; 8])]["copies"], 2);
        assert_eq!(spans[hex(&[2; 8])]["same"], false);
    }

    #[test]
    fn requests_for_one_trace_at_the_same_time_are_noticed() {
        let mut ledger = Ledger::default();
        ledger.hold(&[[1; 16], [2; 16]]);
        ledger.release(&[[2; 16]]);
        ledger.hold(&[[2; 16]]);
        assert_eq!(ledger.summary().concurrent_per_trace, 1);
        ledger.hold(&[[1; 16]]);
        assert_eq!(ledger.summary().concurrent_per_trace, 2);
    }

    #[test]
    fn names_of_traces() {
        assert_eq!(trace_key(&trace_name(&[7; 16])), Some([7; 16]));
        assert_eq!(trace_key("tr-7"), None);
    }
}
