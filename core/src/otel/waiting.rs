//! Spans that wait for the root of their trace.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use opentelemetry_sdk::trace::SpanData;

use super::ended::Ended;
use crate::id::TraceId;

/// How many settled traces are remembered, so that their late spans do not wait for a root.
const REMEMBERED: usize = 4096;

/// What is here of one trace.
struct Incomplete {
    arrival: u64,
    since: Instant,
    spans: Vec<Ended>,
}

/// The spans of one exporter that wait.
pub(super) struct Waiting {
    longest: Duration,
    most_bytes: usize,
    bytes: usize,
    traces: HashMap<TraceId, Incomplete>,
    /// The traces in the order in which their first spans came.
    arrivals: BTreeMap<u64, TraceId>,
    next_arrival: u64,
    /// Traces whose root, or a span with a remote parent, has come: the newest of them.
    settled: HashSet<TraceId>,
    settled_order: VecDeque<TraceId>,
}

impl Waiting {
    /// Spans wait at most `longest`, and no more than `most_bytes` of them.
    pub(super) fn new(longest: Duration, most_bytes: usize) -> Self {
        Waiting {
            longest,
            most_bytes,
            bytes: 0,
            traces: HashMap::new(),
            arrivals: BTreeMap::new(),
            next_arrival: 0,
            settled: HashSet::new(),
            settled_order: VecDeque::new(),
        }
    }

    /// Takes a batch; returns the frames of the spans that need not wait.
    pub(super) fn take(&mut self, batch: &[SpanData]) -> Vec<u8> {
        let now = Instant::now();
        let mut ready = HashSet::new();
        for data in batch {
            let id = self.add(data, now);
            if self.settled.contains(&id) {
                ready.insert(id);
            }
        }
        let mut frames = Vec::new();
        for id in ready {
            self.emit(id, &mut frames);
        }
        while let Some(oldest) = self.oldest()
            && (self.bytes > self.most_bytes || self.has_expired(oldest, now))
        {
            self.emit(oldest, &mut frames);
        }
        frames
    }

    /// The frames of everything.
    pub(super) fn release(&mut self) -> Vec<u8> {
        let mut frames = Vec::new();
        while let Some(oldest) = self.oldest() {
            self.emit(oldest, &mut frames);
        }
        frames
    }

    fn oldest(&self) -> Option<TraceId> {
        self.arrivals.first_key_value().map(|(_, id)| *id)
    }

    fn has_expired(&self, id: TraceId, now: Instant) -> bool {
        let trace = self.traces.get(&id);
        trace.is_some_and(|trace| now.saturating_duration_since(trace.since) >= self.longest)
    }

    fn add(&mut self, data: &SpanData, now: Instant) -> TraceId {
        let ended = Ended::new(data);
        let id = ended.trace_id();
        if ended.is_root() || data.parent_span_is_remote {
            self.settle(id);
        }
        self.bytes += ended.size();
        let trace = self.traces.entry(id).or_insert_with(|| {
            let arrival = self.next_arrival;
            self.next_arrival += 1;
            self.arrivals.insert(arrival, id);
            Incomplete {
                arrival,
                since: now,
                spans: Vec::new(),
            }
        });
        trace.spans.push(ended);
        id
    }

    fn settle(&mut self, id: TraceId) {
        if !self.settled.insert(id) {
            return;
        }
        self.settled_order.push_back(id);
        if self.settled_order.len() > REMEMBERED
            && let Some(oldest) = self.settled_order.pop_front()
        {
            self.settled.remove(&oldest);
        }
    }

    /// Appends the frames of a trace: a root is announced first and everything is announced before
    /// anything ends, so that the tracer takes the spans for one trace and hands it over whole.
    fn emit(&mut self, id: TraceId, frames: &mut Vec<u8>) {
        let Some(mut trace) = self.traces.remove(&id) else {
            return;
        };
        self.arrivals.remove(&trace.arrival);
        trace.spans.sort_by_key(|span| !span.is_root());
        for span in &trace.spans {
            self.bytes -= span.size();
            span.announce(frames);
        }
        for span in &trace.spans {
            span.end(false, frames);
        }
    }
}
