//! What the worker has: what waits, by destination, what is in flight, and which flushes wait for what.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::lane::{Lane, Load};
use crate::finished::Finished;
use crate::id::TraceId;

/// How many traces move under one hold of the lock.
pub(super) const SLICE: usize = 64;
/// Traces of which a part was given up, for which the rest is still to come.
const MOST_LOST: usize = 16_384;

/// Unsettled spans that came after a flush, and before the next.
struct Epoch {
    flush: u64,
    spans: u64,
}

pub(super) struct Ledger {
    lanes: Vec<Lane>,
    /// Whatever the destinations are, it all goes the same way.
    one_lane: bool,
    pub(super) waiting: Load,
    pub(super) in_flight: Load,
    /// Traces of which something was given up here while they were running; the rest goes the same way, so that
    /// it does not pass for all of the trace.
    lost: HashSet<TraceId>,
    /// How many flushes asked for something; each is worth an attempt at once.
    pub(super) flushes: u64,
    /// By the flushes that the worker has seen; never empty.
    epochs: VecDeque<Epoch>,
    /// The last flush before which nothing is unsettled.
    pub(super) flushed: u64,
    pub(super) closing: Option<Instant>,
    pub(super) stopped: bool,
}

/// What still fits into a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) bytes: usize,
    pub(crate) spans: u64,
}

impl Room {
    /// Takes the room of a trace; false when there is not enough.
    pub(crate) fn fit(&mut self, load: Load) -> bool {
        let fits = load.bytes <= self.bytes && load.spans <= self.spans;
        if fits {
            self.bytes -= load.bytes;
            self.spans -= load.spans;
        }
        fits
    }
}

/// What [`Ledger::take`] takes.
#[derive(Default)]
pub(crate) struct Slice {
    pub(crate) traces: Vec<Finished>,
    /// The rest of traces of which a part was given up; nothing of them may be sent.
    pub(crate) lost: Vec<Finished>,
}

impl Ledger {
    pub(super) fn new(one_lane: bool) -> Self {
        Ledger {
            lanes: Vec::new(),
            one_lane,
            waiting: Load::default(),
            in_flight: Load::default(),
            lost: HashSet::new(),
            flushes: 0,
            epochs: VecDeque::from([Epoch { flush: 0, spans: 0 }]),
            flushed: 0,
            closing: None,
            stopped: false,
        }
    }

    pub(super) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// The number of the lane that a trace belongs in.
    pub(super) fn lane(&mut self, trace: &Finished) -> usize {
        let Finished {
            destination,
            origin,
            ..
        } = trace;
        // All of them are interned: equal ones are the same.
        let is_it = |lane: &Lane| {
            let (one, other) = (lane.origin.as_ref(), origin.as_ref());
            (self.one_lane || std::ptr::eq(lane.destination, *destination))
                && one.map(Arc::as_ptr) == other.map(Arc::as_ptr)
        };
        let known = self.lanes.iter().position(is_it);
        known.unwrap_or_else(|| {
            self.lanes.push(Lane::new(destination, origin.clone()));
            self.lanes.len() - 1
        })
    }

    pub(super) fn load(&self, lane: usize) -> Load {
        let lane = self.lanes.get(lane);
        lane.map_or_else(Load::default, |lane| lane.load)
    }

    /// Since when something waits in a lane.
    pub(super) fn since(&self, lane: usize) -> Option<Instant> {
        self.lanes.get(lane)?.since
    }

    /// Whether somebody waits for something that is here.
    pub(super) fn is_urgent(&self) -> bool {
        self.closing.is_some() || self.epochs.len() > 1
    }

    /// Counts spans that are about to be [put in](Self::put).
    pub(super) fn expect(&mut self, spans: u64) {
        self.waiting.spans += spans;
        if let Some(epoch) = self.epochs.back_mut() {
            epoch.spans += spans;
        }
    }

    /// Puts a trace into its lane; returns its bytes.
    pub(super) fn put(&mut self, mut trace: Finished, now: Instant) -> usize {
        trace.progress.flush = self.epochs.back().map_or(0, |epoch| epoch.flush);
        let bytes = trace.size();
        self.waiting.traces += 1;
        self.waiting.bytes += bytes;
        let lane = self.lane(&trace);
        self.lanes[lane].push(trace, now);
        bytes
    }

    /// Takes some traces out of a lane: as many as have `room`, at least one if the batch `is_empty`, and only such as
    /// came in the same `flush`. What is taken is in flight.
    pub(super) fn take(
        &mut self,
        lane: usize,
        room: &mut Room,
        flush: &mut Option<u64>,
        is_empty: bool,
    ) -> Slice {
        let mut slice = Slice::default();
        let Some(lane) = self.lanes.get_mut(lane) else {
            return slice;
        };
        while slice.traces.len() + slice.lost.len() < SLICE
            && let Some(front) = lane.front()
        {
            let load = Load::one(front);
            let is_first = is_empty && slice.traces.is_empty();
            let own = *flush.get_or_insert(front.progress.flush);
            if own != front.progress.flush || !room.fit(load) && !is_first {
                break;
            }
            let Some(trace) = lane.pop() else { break };
            self.waiting -= load;
            self.in_flight += load;
            match trace.earlier > 0 && self.lost.contains(&trace.id) {
                false => slice.traces.push(trace),
                true => {
                    if !trace.goes_on {
                        self.lost.remove(&trace.id);
                    }
                    slice.lost.push(trace);
                }
            }
        }
        if lane.since.is_some() {
            // The rest has waited no longer than what was taken; its own clock starts now.
            lane.since = Some(Instant::now());
        }
        slice
    }

    /// Takes what waited longest for the destination that most waits for.
    pub(super) fn evict(&mut self) -> Option<Finished> {
        let fullest = self.lanes.iter_mut().max_by_key(|lane| lane.load.bytes)?;
        let trace = fullest.pop()?;
        let load = Load::one(&trace);
        self.waiting -= load;
        self.settle_spans(trace.progress.flush, load.spans, 0);
        if trace.goes_on && trace.progress.receipts.is_empty() {
            if self.lost.len() >= MOST_LOST {
                self.lost.clear();
            }
            self.lost.insert(trace.id);
        }
        Some(trace)
    }

    /// What was `before` in flight, of what came in the same `flush`, is now `after`.
    pub(super) fn settle(&mut self, flush: u64, before: Load, after: Load) {
        self.in_flight += after;
        self.in_flight -= before;
        self.settle_spans(flush, before.spans, after.spans);
    }

    fn settle_spans(&mut self, flush: u64, before: u64, after: u64) {
        let epoch = self.epochs.iter_mut().find(|epoch| epoch.flush == flush);
        if let Some(epoch) = epoch {
            epoch.spans += after;
            epoch.spans -= before;
        }
    }

    /// Has what comes from now on be no business of the flushes so far.
    pub(super) fn mark(&mut self, flushes: u64) {
        if self.epochs.back().is_none_or(|last| last.flush < flushes) {
            self.epochs.push_back(Epoch {
                flush: flushes,
                spans: 0,
            });
        }
    }

    /// Ends flushes before which nothing is unsettled any more; whether there are such.
    pub(super) fn end_flushes(&mut self) -> bool {
        let before = self.flushed;
        while self.epochs.len() > 1 && self.epochs.front().is_some_and(|first| first.spans == 0) {
            self.epochs.pop_front();
            self.flushed = self.epochs.front().map_or(0, |epoch| epoch.flush);
        }
        self.flushed != before
    }

    /// Whether nothing waits or is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.traces + self.in_flight.traces == 0
    }

    /// Forgets everything and closes for good. Returns what there was, and of that what waited.
    pub(super) fn stop(&mut self) -> (Load, Vec<Lane>) {
        let mut left = std::mem::take(&mut self.waiting);
        left += std::mem::take(&mut self.in_flight);
        self.stopped = true;
        (left, std::mem::take(&mut self.lanes))
    }
}

/// How much the queue may hold, and how much goes at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) max_bytes: usize,
    /// Traces that wait or are in flight.
    pub(crate) max_traces: Option<usize>,
    /// What is given up when the queue is full: what waited longest, instead of what comes.
    pub(crate) drops_oldest: bool,
    pub(crate) batch_bytes: usize,
    pub(crate) batch_spans: u64,
    pub(crate) delay: Duration,
    /// Traces share batches whatever their destinations are: a collector knows neither experiments nor workspaces.
    pub(crate) one_lane: bool,
}
