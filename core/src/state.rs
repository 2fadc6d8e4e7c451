//! One tracer in one process: the traces that are open, and the way to the exporter.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::lock::Mutex;
use foldhash::fast::RandomState;

use crate::config::Config;
use crate::id::TraceId;
use crate::pipeline::stats::{Drop, Stats};
use crate::pipeline::worker;
use crate::shared::Shared;
use crate::trace::{Destination, Finished, Trace};

/// Open traces are spread over this many locks.
const SHARDS: usize = 16;

/// How much longer a shutdown waits than the worker, so that the worker's last count is seen.
const SETTLING: Duration = Duration::from_millis(50);

/// Seeded at random, because the ids of remote parents are chosen by whoever sends them.
type Shard = HashMap<TraceId, Arc<Trace>, RandomState>;

/// Made anew in every fork generation; see [`crate::pipeline::fork`].
pub(crate) struct State {
    pub(crate) shared: Arc<Shared>,
    open: [Mutex<Shard>; SHARDS],
    worker_started: AtomicBool,
    stopped: AtomicBool,
}

impl State {
    pub(crate) fn new(config: Config) -> Arc<Self> {
        Arc::new(State {
            shared: Shared::new(config),
            open: Default::default(),
            worker_started: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        })
    }

    fn shard(&self, id: TraceId) -> &Mutex<Shard> {
        &self.open[usize::from(id.bytes()[7]) % SHARDS]
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Registers a trace whose first span is open.
    pub(crate) fn open_trace(&self, trace: Trace) -> Arc<Trace> {
        let trace = Arc::new(trace);
        self.shard(trace.id).lock().insert(trace.id, trace.clone());
        trace
    }

    /// The open trace of a parent that is known only by its ids, with one more span open. A
    /// trace that is not open here is rooted elsewhere (or has been sent): its spans go alone.
    pub(crate) fn join(
        self: &Arc<Self>,
        id: TraceId,
        destination: &Arc<Destination>,
    ) -> Arc<Trace> {
        self.enter(id, true, destination, Trace::open_span)
    }

    /// The trace of a root whose id somebody else made, with its first span open. Spans of it may have
    /// been taken for the local part of a remote trace so far.
    pub(crate) fn root(
        self: &Arc<Self>,
        id: TraceId,
        destination: &Arc<Destination>,
    ) -> Arc<Trace> {
        self.enter(id, false, destination, Trace::open_root)
    }

    /// The open trace of this id if `open` can open a span in it, else a new one in its place.
    fn enter(
        self: &Arc<Self>,
        id: TraceId,
        remote: bool,
        destination: &Arc<Destination>,
        open: fn(&Trace) -> bool,
    ) -> Arc<Trace> {
        let mut shard = self.shard(id).lock();
        if let Some(trace) = shard.get(&id)
            && open(trace)
        {
            return trace.clone();
        }
        let trace = Arc::new(Trace::new(id, remote, destination.clone(), self.clone()));
        shard.insert(id, trace.clone());
        trace
    }

    /// An open trace.
    pub(crate) fn find(&self, id: TraceId) -> Option<Arc<Trace>> {
        self.shard(id).lock().get(&id).cloned()
    }

    /// Queues a trace that has just been completed.
    pub(crate) fn hand_over(&self, trace: &Arc<Trace>, finished: Finished) {
        let spans = u64::from(finished.span_count);
        {
            let mut shard = self.shard(trace.id).lock();
            if shard
                .get(&trace.id)
                .is_some_and(|open| Arc::ptr_eq(open, trace))
            {
                shard.remove(&trace.id);
            }
        }
        if spans == 0 {
            return;
        }
        self.start_worker();
        if let Err(reason) = self.shared.queue.push(finished) {
            self.shared.counters.drop(reason, spans);
            if reason == Drop::QueueFull {
                self.shared.diagnostics.report("queue_full", || {
                    "the queue is full; new traces are dropped (queue.max_bytes)".into()
                });
            }
        }
    }

    /// Gives up an open span that will never end.
    pub(crate) fn lose_span(&self, trace: &Arc<Trace>, reason: Drop) {
        self.shared.counters.drop(reason, 1);
        if let Some(finished) = trace.lose_span() {
            self.hand_over(trace, finished);
        }
    }

    fn start_worker(&self) {
        if self.worker_started.load(Ordering::Relaxed)
            || self.worker_started.swap(true, Ordering::AcqRel)
        {
            return;
        }
        if let Err(error) = worker::spawn(self.shared.clone()) {
            self.worker_started.store(false, Ordering::Release);
            self.shared.diagnostics.report("thread", || {
                format!("no thread for the exporter, will try again: {error}")
            });
        }
    }

    /// Ended spans of open traces.
    fn ended_in_open_traces(&self) -> u64 {
        let ended = |shard: &Mutex<Shard>| {
            shard
                .lock()
                .values()
                .map(|trace| trace.ended())
                .sum::<u64>()
        };
        self.open.iter().map(ended).sum()
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.shared.counters.read();
        stats.ignored += crate::span::ignored_calls();
        stats
    }

    /// Waits for what is queued; returns the ended spans that are not delivered.
    pub(crate) fn flush(&self, timeout: Duration) -> u64 {
        let waiting = self.shared.queue.flush(deadline(timeout));
        waiting + self.ended_in_open_traces()
    }

    /// Ends recording, sends what ended, and counts the rest; returns the ended spans that were not delivered.
    pub(crate) fn shutdown(&self, timeout: Duration) -> u64 {
        let deadline = deadline(timeout);
        if !self.stopped.swap(true, Ordering::AcqRel) {
            self.close_open_traces();
            self.shared.queue.close(deadline);
            if !self.worker_started.load(Ordering::Acquire) {
                self.shared.queue.stop();
            }
        }
        let waiting = self.shared.queue.wait_stopped(deadline + SETTLING);
        waiting + self.shared.counters.dropped(Drop::Shutdown)
    }

    /// Gives the worker `timeout` to send what is queued, without waiting for it.
    pub(crate) fn close(&self, timeout: Duration) {
        if !self.stopped.swap(true, Ordering::AcqRel) {
            self.close_open_traces();
            self.shared.queue.close(deadline(timeout));
        }
    }

    fn close_open_traces(&self) {
        let open: Vec<Arc<Trace>> = self
            .open
            .iter()
            .flat_map(|shard| {
                shard
                    .lock()
                    .drain()
                    .map(|(_, trace)| trace)
                    .collect::<Vec<_>>()
            })
            .collect();
        for trace in open {
            let (finished, unfinished) = trace.force_close();
            if unfinished > 0 {
                self.shared
                    .counters
                    .drop(Drop::Unfinished, u64::from(unfinished));
            }
            if let Some(finished) = finished {
                self.hand_over(&trace, finished);
            }
        }
    }
}

/// Far enough for anybody, near enough not to overflow.
fn deadline(timeout: Duration) -> Instant {
    Instant::now() + timeout.min(Duration::from_secs(86_400 * 365))
}
