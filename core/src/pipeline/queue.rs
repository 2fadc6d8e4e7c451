//! The bounded queue between the host's threads and the worker: an outbox for each thread, which the
//! worker empties, and what it took and has not sent yet.
//!
//! The host only ever takes the lock of its own outbox; everything that waits does so on the worker's
//! side, or in an explicit flush.

#[cfg(all(test, mlflow_loom))]
mod models;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::outbox::Outbox;
use super::room::Room;
use crate::finished::Finished;
use crate::lock::{Condvar, Mutex};
use crate::sync::{AtomicBool, Notify};

pub(crate) struct Queue {
    outboxes: Mutex<Outboxes>,
    inner: Mutex<Inner>,
    /// Wakes the worker.
    work: Notify,
    /// Wakes flushes.
    settled: Condvar,
    /// Nobody looks after open traces: there were none.
    unattended: AtomicBool,
    /// Wakes who looks after them.
    begun: Notify,
    /// For bytes in the queue, and bytes that outboxes have reserved and not used.
    room: Room,
    batch_bytes: usize,
    batch_spans: u64,
    delay: Duration,
}

#[derive(Default)]
struct Outboxes {
    list: Vec<Arc<Outbox>>,
    /// Spans that threads started which have ended since.
    created: u64,
    refusing: bool,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Finished>,
    waiting_bytes: usize,
    waiting_spans: u64,
    in_flight_bytes: usize,
    in_flight_spans: u64,
    /// Traces ever taken from outboxes, and of these the ones that are settled: delivered or dropped.
    taken: u64,
    settled: u64,
    /// How many flushes asked for something; each is worth an attempt at once.
    flushes: u64,
    /// Flushes that the worker has seen, with the number of traces that were taken by then.
    marks: VecDeque<(u64, u64)>,
    /// The last flush whose traces are all settled.
    flushed: u64,
    oldest: Option<Instant>,
    closing: Option<Instant>,
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
    pub(crate) fn new(
        max_bytes: usize,
        batch_bytes: usize,
        batch_spans: usize,
        delay: Duration,
    ) -> Self {
        Queue {
            outboxes: Mutex::default(),
            inner: Mutex::default(),
            work: Notify::new(),
            settled: Condvar::default(),
            unattended: AtomicBool::new(true),
            begun: Notify::new(),
            room: Room::new(max_bytes),
            batch_bytes,
            batch_spans: batch_spans as u64,
            delay,
        }
    }

    /// Adds the outbox of a thread.
    pub(crate) fn register(&self, outbox: Arc<Outbox>) {
        let mut outboxes = self.outboxes.lock();
        outbox.visit(|chunk| {
            chunk.wake = true;
            chunk.refusing = outboxes.refusing;
        });
        outboxes.list.push(outbox);
    }

    /// Spans started.
    pub(crate) fn created(&self) -> u64 {
        let outboxes = self.outboxes.lock();
        let here = outboxes.list.iter().map(|outbox| outbox.created());
        outboxes.created + here.sum::<u64>()
    }

    /// Takes at least `bytes` of the limit; `None` when there are none left.
    pub(crate) fn reserve(&self, bytes: usize) -> Option<usize> {
        self.room.reserve(bytes)
    }

    /// What its bytes are taken from.
    pub(crate) fn room(&self) -> &Room {
        &self.room
    }

    /// Whether this much is worth sending without delay.
    #[inline]
    pub(crate) fn is_batch(&self, bytes: usize, spans: u64) -> bool {
        bytes >= self.batch_bytes || spans >= self.batch_spans
    }

    /// Tells the worker that there may be something new to do.
    #[cold]
    pub(super) fn wake(&self) {
        self.work.notify_one();
    }

    /// Empties the outboxes into `inner`; with `watch`, the next trace in any of them wakes the worker.
    fn collect(&self, inner: &mut Inner, watch: bool, refuse: bool) {
        let mut outboxes = self.outboxes.lock();
        outboxes.refusing |= refuse;
        let first = inner.waiting.len();
        self.empty(&mut outboxes, inner, watch, refuse);
        let is_rest = |trace: &Finished| trace.earlier > 0 && !trace.goes_on;
        if inner.waiting.iter().skip(first).any(is_rest) {
            // Earlier parts of it were put in before it was, and perhaps by other threads: where the
            // rest was found, they are found now, and they go first.
            self.empty(&mut outboxes, inner, watch, refuse);
            inner.waiting.make_contiguous()[first..].sort_by_key(|trace| !trace.goes_on);
        }
        if inner.oldest.is_none() && !inner.waiting.is_empty() {
            inner.oldest = Some(Instant::now());
        }
    }

    /// Moves what is in the outboxes to what waits.
    fn empty(&self, outboxes: &mut Outboxes, inner: &mut Inner, watch: bool, refuse: bool) {
        let mut taken: Vec<Finished> = Vec::new();
        let mut over = 0;
        outboxes.list.retain(|outbox| {
            // Read first: whatever its thread did before it ended is here then.
            let orphaned = outbox.orphaned.load(Ordering::Acquire);
            outbox.visit(|chunk| {
                chunk.wake = watch;
                chunk.signalled = false;
                chunk.refusing |= refuse;
                std::mem::swap(&mut chunk.traces, &mut taken);
                inner.waiting_bytes += std::mem::take(&mut chunk.bytes);
                inner.waiting_spans += std::mem::take(&mut chunk.spans);
                let bytes: usize = taken.iter().map(Finished::size).sum();
                let unused = std::mem::take(&mut chunk.reserved) - bytes;
                self.room.give_back(unused);
            });
            inner.taken += taken.len() as u64;
            inner.waiting.extend(taken.drain(..));
            if orphaned {
                over += outbox.created();
            }
            !orphaned
        });
        outboxes.created += over;
    }

    /// Decides what the worker does; what it is told to send is in flight from now on.
    pub(crate) fn next(&self) -> Next {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let requested = inner.flushes;
        let closing = inner.closing.is_some();
        self.collect(inner, self.delay.is_zero(), false);
        if inner.marks.back().map_or(inner.flushed, |mark| mark.0) < requested {
            inner.marks.push_back((requested, inner.taken));
        }
        self.settle_marks(inner);
        if inner.waiting.is_empty() {
            // Again, because something may have come since; then it is not empty.
            self.collect(inner, true, closing);
        }
        let Some(oldest) = inner.oldest.filter(|_| !inner.waiting.is_empty()) else {
            if closing {
                inner.stopped = true;
                self.settled.notify_all();
                return Next::Stop;
            }
            return Next::Sleep(None);
        };
        let urgent = closing || !inner.marks.is_empty();
        let ready = self.is_batch(inner.waiting_bytes, inner.waiting_spans);
        let age = oldest.elapsed();
        if !urgent && !ready && age < self.delay {
            return Next::Sleep(Some(self.delay - age));
        }
        Next::Send(self.batch(inner))
    }

    fn batch(&self, inner: &mut Inner) -> Vec<Finished> {
        let mut batch = Vec::new();
        let (mut bytes, mut spans) = (0, 0);
        while let Some(trace) = inner.waiting.front() {
            let (size, count) = (trace.size(), u64::from(trace.span_count));
            let full = bytes + size > self.batch_bytes || spans + count > self.batch_spans;
            if full && !batch.is_empty() {
                break;
            }
            bytes += size;
            spans += count;
            batch.extend(inner.waiting.pop_front());
        }
        inner.waiting_bytes -= bytes;
        inner.waiting_spans -= spans;
        inner.in_flight_bytes = bytes;
        inner.in_flight_spans = spans;
        // The rest has waited no longer than what was taken; its own clock starts now.
        inner.oldest = (!inner.waiting.is_empty()).then(Instant::now);
        batch
    }

    fn settle_marks(&self, inner: &mut Inner) {
        while let Some((flush, taken)) = inner.marks.front().copied()
            && taken <= inner.settled
        {
            inner.marks.pop_front();
            inner.flushed = flush;
            self.settled.notify_all();
        }
    }

    /// The worker settled `traces` of the batch in flight; `left_spans` of it are still to be sent.
    pub(crate) fn settle(&self, traces: usize, left_bytes: usize, left_spans: u64) {
        let mut inner = self.inner.lock();
        // What is left may have grown: content that the server does not want as attachments.
        self.room.grow(left_bytes);
        self.room.give_back(inner.in_flight_bytes);
        inner.in_flight_bytes = left_bytes;
        inner.in_flight_spans = left_spans;
        inner.settled += traces as u64;
        self.settle_marks(&mut inner);
    }

    /// Whether a trace that begins now would go unattended. A store that is not seen yet only delays
    /// the moment until the next trace begins.
    #[inline]
    pub(crate) fn is_unattended(&self) -> bool {
        self.unattended.load(Ordering::Relaxed)
    }

    /// Has open traces looked after from now on.
    #[cold]
    pub(crate) fn attend(&self) {
        self.unattended.store(false, Ordering::Relaxed);
        self.begun.notify_one();
    }

    /// Says that there are no open traces to look after.
    pub(crate) fn leave(&self) {
        self.unattended.store(true, Ordering::Relaxed);
    }

    /// Resolves when open traces are to be looked after again.
    pub(crate) async fn trace_begun(&self) {
        self.begun.notified().await;
    }

    /// Resolves when there may be something new to do.
    pub(crate) async fn woken(&self) {
        self.work.notified().await;
    }

    /// Spans in the outboxes, waiting and in flight.
    fn undelivered(&self, inner: &Inner) -> u64 {
        let outboxes = self.outboxes.lock();
        let here = outboxes.list.iter();
        let spans: u64 = here.map(|outbox| outbox.visit(|chunk| chunk.spans)).sum();
        inner.waiting_spans + inner.in_flight_spans + spans
    }

    /// Waits until everything put in so far is settled, at most until `deadline`; returns the spans
    /// that still wait or are in flight.
    pub(crate) fn flush(&self, deadline: Instant) -> u64 {
        let mut inner = self.inner.lock();
        inner.flushes += 1;
        let own = inner.flushes;
        self.work.notify_one();
        let done = |inner: &Inner| inner.flushed >= own || inner.stopped;
        let inner = self.settled.wait_until(inner, deadline, done);
        self.undelivered(&inner)
    }

    /// Asks the worker to send what there is and stop; `deadline` is when it should give up.
    pub(crate) fn close(&self, deadline: Instant) {
        self.inner.lock().closing = Some(deadline);
        self.work.notify_one();
    }

    /// Waits until the worker has stopped, at most until `deadline`, and has `read` answer from the spans left
    /// while nothing is given up or settled.
    pub(crate) fn wait_stopped(&self, deadline: Instant, read: impl FnOnce(u64) -> u64) -> u64 {
        let inner = self.inner.lock();
        let inner = self
            .settled
            .wait_until(inner, deadline, |inner| inner.stopped);
        read(self.undelivered(&inner))
    }

    /// How many flushes have asked for an attempt so far.
    pub(crate) fn flushes(&self) -> u64 {
        self.inner.lock().flushes
    }

    /// When the worker must give up; `None` while the tracer is open.
    pub(crate) fn closing(&self) -> Option<Instant> {
        self.inner.lock().closing
    }

    /// Gives up what waits, and `in_flight` spans besides: has `count` count them, refuses everything from now
    /// on and tells those who wait. Returns their number.
    pub(crate) fn give_up(&self, in_flight: u64, count: impl FnOnce(u64)) -> u64 {
        let mut inner = self.inner.lock();
        self.collect(&mut inner, false, true);
        let spans = std::mem::take(&mut inner.waiting_spans) + in_flight;
        count(spans);
        let bytes = std::mem::take(&mut inner.waiting_bytes);
        self.room
            .give_back(bytes + std::mem::take(&mut inner.in_flight_bytes));
        inner.in_flight_spans = 0;
        inner.stopped = true;
        self.settled.notify_all();
        let traces = std::mem::take(&mut inner.waiting);
        drop(inner);
        drop(traces);
        spans
    }

    /// Spans of the batch in flight.
    pub(crate) fn in_flight(&self) -> u64 {
        self.inner.lock().in_flight_spans
    }

    /// Spans waiting or in flight.
    pub(crate) fn spans(&self) -> u64 {
        self.undelivered(&self.inner.lock())
    }
}
