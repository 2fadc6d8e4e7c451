//! The bounded queue between the host's threads and the worker.
//!
//! The host only ever takes the short lock; everything that waits does so on the worker's side, or
//! in an explicit flush.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::lock::{Condvar, Mutex};
use tokio::sync::Notify;

use super::stats::Drop;
use crate::trace::Finished;

/// What wakes the worker, and what flushes wait for.
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    /// Wakes the worker.
    work: Notify,
    /// Wakes flushes.
    settled: Condvar,
    max_bytes: usize,
    batch_bytes: usize,
    batch_spans: usize,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Finished>,
    waiting_bytes: usize,
    waiting_spans: u64,
    in_flight_bytes: usize,
    in_flight_spans: u64,
    /// Traces ever pushed, and of these the ones that are settled: delivered or dropped.
    pushed: u64,
    settled: u64,
    /// A flush wants everything up to this number sent without delay.
    flush_to: u64,
    /// How many flushes asked for something; each is worth an attempt at once.
    flushes: u64,
    oldest: Option<Instant>,
    closing: Option<Instant>,
    refusing: bool,
    stopped: bool,
}

/// What the worker should do next.
pub(crate) enum Next {
    /// Sleep until woken, or at most this long.
    Sleep(Option<Duration>),
    /// Send these.
    Send(Vec<Finished>),
    /// Nothing is left and the tracer is closing.
    Stop,
}

impl Queue {
    pub(crate) fn new(max_bytes: usize, batch_bytes: usize, batch_spans: usize) -> Self {
        Queue {
            inner: Mutex::default(),
            work: Notify::new(),
            settled: Condvar::default(),
            max_bytes,
            batch_bytes,
            batch_spans,
        }
    }

    /// Appends a finished trace, or says why it cannot.
    pub(crate) fn push(&self, trace: Finished) -> Result<(), Drop> {
        let size = trace.size();
        let mut inner = self.inner.lock();
        if inner.refusing {
            return Err(Drop::Shutdown);
        }
        let held = inner.waiting_bytes + inner.in_flight_bytes;
        if held.saturating_add(size) > self.max_bytes {
            return Err(Drop::QueueFull);
        }
        let was_ready = self.ready(&inner);
        let was_empty = inner.waiting.is_empty();
        inner.waiting_bytes += size;
        inner.waiting_spans += u64::from(trace.span_count);
        inner.pushed += 1;
        inner.waiting.push_back(trace);
        if was_empty {
            inner.oldest = Some(Instant::now());
        }
        let wake = was_empty || (self.ready(&inner) && !was_ready);
        drop(inner);
        if wake {
            self.work.notify_one();
        }
        Ok(())
    }

    fn ready(&self, inner: &Inner) -> bool {
        inner.waiting_bytes >= self.batch_bytes || inner.waiting_spans >= self.batch_spans as u64
    }

    /// Decides what the worker does; what it is told to send is in flight from now on.
    pub(crate) fn next(&self, delay: Duration) -> Next {
        let mut inner = self.inner.lock();
        let Some(oldest) = inner.oldest.filter(|_| !inner.waiting.is_empty()) else {
            return match inner.closing {
                Some(_) => {
                    inner.refusing = true;
                    inner.stopped = true;
                    self.settled.notify_all();
                    Next::Stop
                }
                None => Next::Sleep(None),
            };
        };
        let urgent = inner.closing.is_some() || inner.flush_to > inner.settled;
        let age = oldest.elapsed();
        if !urgent && !self.ready(&inner) && age < delay {
            return Next::Sleep(Some(delay - age));
        }
        let mut batch = Vec::new();
        let (mut bytes, mut spans) = (0usize, 0usize);
        while let Some(trace) = inner.waiting.front() {
            let size = trace.size();
            let full = bytes + size > self.batch_bytes
                || spans + trace.span_count as usize > self.batch_spans;
            if full && !batch.is_empty() {
                break;
            }
            bytes += size;
            spans += trace.span_count as usize;
            batch.extend(inner.waiting.pop_front());
        }
        inner.waiting_bytes -= bytes;
        inner.waiting_spans -= spans as u64;
        inner.in_flight_bytes = bytes;
        inner.in_flight_spans = spans as u64;
        // The rest has waited no longer than what was taken; its own clock starts now.
        inner.oldest = (!inner.waiting.is_empty()).then(Instant::now);
        Next::Send(batch)
    }

    /// The worker settled `traces` of the batch in flight; `left_spans` of it are still to be sent.
    pub(crate) fn settle(&self, traces: usize, left_bytes: usize, left_spans: u64) {
        let mut inner = self.inner.lock();
        inner.in_flight_bytes = left_bytes;
        inner.in_flight_spans = left_spans;
        inner.settled += traces as u64;
        self.settled.notify_all();
    }

    /// Resolves when there may be something new to do.
    pub(crate) async fn woken(&self) {
        self.work.notified().await;
    }

    /// Waits until everything pushed so far is settled, at most until `deadline`; returns the spans
    /// that still wait or are in flight.
    pub(crate) fn flush(&self, deadline: Instant) -> u64 {
        let mut inner = self.inner.lock();
        let target = inner.pushed;
        if inner.settled < target {
            inner.flush_to = inner.flush_to.max(target);
            inner.flushes += 1;
            self.work.notify_one();
        }
        let settled = |inner: &Inner| inner.settled >= target || inner.stopped;
        let inner = self.settled.wait_until(inner, deadline, settled);
        inner.waiting_spans + inner.in_flight_spans
    }

    /// Asks the worker to send what there is and stop; `deadline` is when it should give up.
    pub(crate) fn close(&self, deadline: Instant) {
        self.inner.lock().closing = Some(deadline);
        self.work.notify_one();
    }

    /// Waits until the worker has stopped, at most until `deadline`; returns the spans left.
    pub(crate) fn wait_stopped(&self, deadline: Instant) -> u64 {
        let inner = self.inner.lock();
        let inner = self
            .settled
            .wait_until(inner, deadline, |inner| inner.stopped);
        inner.waiting_spans + inner.in_flight_spans
    }

    /// How many flushes have asked for an attempt so far.
    pub(crate) fn flushes(&self) -> u64 {
        self.inner.lock().flushes
    }

    /// When the worker must give up; `None` while the tracer is open.
    pub(crate) fn closing(&self) -> Option<Instant> {
        self.inner.lock().closing
    }

    /// Refuses everything from now on and takes what is left, for the caller to count before it
    /// calls [`Self::stop`].
    pub(crate) fn refuse(&self) -> Vec<Finished> {
        let mut inner = self.inner.lock();
        inner.refusing = true;
        inner.waiting_bytes = 0;
        inner.waiting_spans = 0;
        inner.waiting.drain(..).collect()
    }

    /// Tells those who wait that nothing more will be sent.
    pub(crate) fn stop(&self) {
        let mut inner = self.inner.lock();
        inner.refusing = true;
        inner.stopped = true;
        inner.in_flight_bytes = 0;
        inner.in_flight_spans = 0;
        self.settled.notify_all();
    }

    /// Spans waiting or in flight.
    pub(crate) fn spans(&self) -> u64 {
        let inner = self.inner.lock();
        inner.waiting_spans + inner.in_flight_spans
    }
}
