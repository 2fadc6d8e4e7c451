//! The bounded queue between the host's threads and the worker: an outbox for each thread, which the
//! worker empties, a lane for each destination, in which traces wait, and the account of what is in flight.
//!
//! The host only ever takes the lock of its own outbox; everything that waits does so on the worker's
//! side, or in an explicit flush. Where a thread of the host needs another lock, because it is new or because it
//! makes room for a trace, nobody holds that for longer than a few traces take to move. Locks are taken in the
//! order in which [`Queue`] names them, and those of outboxes after `outboxes`.

#[cfg(all(test, mlflow_loom))]
mod models;
#[cfg(all(test, not(mlflow_loom)))]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::lane::{Lane, Load};
pub(crate) use super::ledger::{Bounds, Room, Slice};
use super::ledger::{Ledger, SLICE};
use super::outbox::Outbox;
use crate::buffers;
use crate::finished::Finished;
use crate::lock::{Condvar, Mutex};
use crate::sync::{AtomicBool, AtomicUsize, Notify};

/// Emptied outboxes of no more than this many traces, and bytes of short ones, are used again.
const MOST_SPARE: usize = 4096;
const MOST_SPARE_BYTES: usize = 1 << 20;
/// How much longer batches may become while more waits than one can hold.
const GROWTH: usize = 4;
/// What one request may hold, whatever the configuration says: servers stop at 64 MiB (OTLP).
pub(crate) const MOST_BYTES: usize = 60 << 20;
/// To how much a batch grows, unless it is configured to be longer: what is in flight counts as well.
const GROWN_BYTES: usize = 4 << 20;
/// The fewest bytes of a batch, whatever a server finds too long.
const LEAST_BYTES: usize = 16 << 10;
/// Traces that are not freed yet may take one in so many of the queue's bytes besides, and the last of them more.
const BURIED_SHARE: usize = 16;

pub(crate) struct Queue {
    /// Held while traces move from outboxes to lanes, so that those of one trace keep their order.
    routing: Mutex<Routing>,
    outboxes: Mutex<Outboxes>,
    ledger: Mutex<Ledger>,
    buried: Mutex<Buried>,
    /// Wakes the worker.
    work: Notify,
    /// Wakes flushes.
    settled: Condvar,
    /// Nobody looks after open traces: there were none.
    unattended: AtomicBool,
    /// Wakes who looks after them.
    begun: Notify,
    /// Bytes in the queue, and bytes that outboxes have reserved and not used.
    held: AtomicUsize,
    /// Traces in the queue; counted only where they are limited.
    count: AtomicUsize,
    /// Bytes that a batch should have: fewer after a server found one too long.
    target: AtomicUsize,
    /// How many bytes an outbox reserves at once.
    share: usize,
    bounds: Bounds,
}

#[derive(Default)]
struct Outboxes {
    list: Vec<Arc<Outbox>>,
    /// Spans that threads started which have ended since.
    created: u64,
    refusing: bool,
}

/// What was in one outbox.
struct Taken {
    traces: Vec<Finished>,
    /// The short ones among their spans.
    packed: Vec<u8>,
    /// Bytes of the limit that the outbox had taken for them.
    reserved: usize,
}

impl Taken {
    /// Gives each trace its spans.
    fn unpack(&mut self) {
        let mut packed = self.packed.as_slice();
        for trace in &mut self.traces {
            packed = trace.unpack(packed);
        }
        self.packed.clear();
    }
}

/// What threads of the host made room of. To free a long trace takes longer than they may wait, so the worker does.
#[derive(Default)]
struct Buried {
    traces: Vec<Finished>,
    bytes: usize,
}

#[derive(Default)]
struct Routing {
    taken: Vec<Taken>,
    /// Empty, for the next outboxes: their threads need not grow them again.
    spare: Vec<(Vec<Finished>, Vec<u8>)>,
}

/// What the worker sees when it looks.
#[derive(Debug)]
pub(crate) struct View {
    /// When the worker must give up; `None` while the tracer is open.
    pub(crate) closing: Option<Instant>,
    /// How many flushes have asked for an attempt so far.
    pub(crate) flushes: u64,
    /// Somebody waits for what is here: it does not wait for more.
    pub(crate) urgent: bool,
    pub(crate) lanes: usize,
    /// Something waits.
    pub(crate) waits: bool,
}

impl Queue {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Queue {
            routing: Mutex::default(),
            outboxes: Mutex::default(),
            ledger: Mutex::new(Ledger::new(bounds.one_lane)),
            buried: Mutex::default(),
            work: Notify::new(),
            settled: Condvar::default(),
            unattended: AtomicBool::new(true),
            begun: Notify::new(),
            held: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            target: AtomicUsize::new(bounds.batch_bytes),
            share: match bounds.max_traces {
                // One by one, or they could not be counted.
                Some(_) => 0,
                None => (bounds.max_bytes / 64).min(64 * 1024),
            },
            bounds,
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

    /// Takes at least `bytes` of the limit for finished traces; `None` when there are none left, or too many
    /// traces.
    pub(crate) fn reserve(&self, bytes: usize) -> Option<usize> {
        let Some(max) = self.bounds.max_traces else {
            return self.claim(bytes);
        };
        let has_place = self.count.fetch_add(1, Ordering::Relaxed) < max;
        let claimed = has_place.then(|| self.claim(bytes)).flatten();
        if claimed.is_none() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        claimed
    }

    /// Takes at least `bytes` of the limit; `None` when there are none left.
    pub(crate) fn claim(&self, bytes: usize) -> Option<usize> {
        [bytes.max(self.share), bytes].into_iter().find(|wanted| {
            let held = self.held.fetch_add(*wanted, Ordering::Relaxed);
            let fits = held.saturating_add(*wanted) <= self.bounds.max_bytes;
            if !fits {
                self.held.fetch_sub(*wanted, Ordering::Relaxed);
            }
            fits
        })
    }

    /// Whether more than half of the limit is taken.
    pub(crate) fn is_filling(&self) -> bool {
        self.held.load(Ordering::Relaxed) > self.bounds.max_bytes / 2
    }

    /// Whether something of this size could ever be put in.
    pub(crate) fn may_hold(&self, bytes: usize) -> bool {
        bytes <= self.bounds.max_bytes
    }

    /// Gives bytes of the limit back.
    pub(crate) fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Holds so many bytes instead of others. In one step: who finds the limit reached drops a trace.
    fn exchange(&self, before: usize, after: usize) {
        match before.checked_sub(after) {
            Some(less) => self.give_back(less),
            None => {
                self.held.fetch_add(after - before, Ordering::Relaxed);
            }
        }
    }

    /// Where the queue gives up what waited longest: takes out as much of that as makes room for so many bytes,
    /// if so much waits. The caller counts it.
    #[cold]
    pub(crate) fn make_room(&self, bytes: usize) -> Vec<Finished> {
        let mut evicted = Vec::new();
        if !self.bounds.drops_oldest || bytes > self.bounds.max_bytes {
            return evicted;
        }
        let mut wanted = bytes.max(self.share);
        self.evict(&mut wanted, &mut evicted);
        if wanted > 0 {
            // A burst that the worker did not get round to yet, or is about to.
            self.gather(&mut self.routing.lock(), None, false);
            self.evict(&mut wanted, &mut evicted);
        }
        evicted
    }

    /// Leaves it to the worker to free what was [evicted](Self::make_room), and wakes it. While it lags behind, the
    /// memory matters more than the caller's time.
    #[cold]
    pub(crate) fn bury(&self, mut traces: Vec<Finished>) {
        {
            let mut buried = self.buried.lock();
            if buried.bytes <= self.bounds.max_bytes / BURIED_SHARE {
                buried.bytes += traces.iter().map(Finished::size).sum::<usize>();
                buried.traces.append(&mut traces);
            }
        }
        self.work.notify_one();
    }

    fn free_buried(&self) {
        let buried = std::mem::take(&mut *self.buried.lock());
        drop(buried.traces);
    }

    fn evict(&self, wanted: &mut usize, evicted: &mut Vec<Finished>) {
        let mut ledger = self.ledger.lock();
        while *wanted > 0
            && let Some(trace) = ledger.evict()
        {
            let load = Load::one(&trace);
            self.release(load);
            *wanted = wanted.saturating_sub(load.bytes);
            evicted.push(trace);
        }
        self.end_flushes(&mut ledger);
    }

    /// Gives back what traces took of the limits.
    fn release(&self, load: Load) {
        self.give_back(load.bytes);
        if self.bounds.max_traces.is_some() {
            self.count.fetch_sub(load.traces, Ordering::Relaxed);
        }
    }

    /// Whether this much is worth sending without delay.
    #[inline]
    pub(crate) fn is_batch(&self, bytes: usize, spans: u64) -> bool {
        bytes >= self.bounds.batch_bytes || spans >= self.bounds.batch_spans
    }

    /// Tells the worker that there may be something new to do.
    #[cold]
    pub(super) fn wake(&self) {
        self.work.notify_one();
    }

    /// Takes out what is in the outboxes; with `watch`, the next trace in any of them wakes the worker.
    fn sweep(&self, routing: &mut Routing, watch: Option<bool>, refuse: bool) {
        let mut outboxes = self.outboxes.lock();
        let Outboxes {
            list,
            created,
            refusing,
        } = &mut *outboxes;
        *refusing |= refuse;
        let mut spans = 0;
        list.retain(|outbox| {
            // Read first: whatever its thread did before it ended is here then.
            let orphaned = outbox.orphaned.load(Ordering::Acquire);
            // Its thread may be waiting: no more than a swap.
            let taken = outbox.visit(|chunk| {
                if let Some(watch) = watch {
                    chunk.wake = watch;
                    chunk.signalled = false;
                }
                chunk.refusing |= refuse;
                chunk.bytes = 0;
                spans += std::mem::take(&mut chunk.spans);
                let (traces, packed) = match chunk.traces.is_empty() {
                    true => Default::default(),
                    false => routing.spare.pop().unwrap_or_default(),
                };
                Taken {
                    traces: std::mem::replace(&mut chunk.traces, traces),
                    packed: std::mem::replace(&mut chunk.packed, packed),
                    reserved: std::mem::take(&mut chunk.reserved),
                }
            });
            routing.taken.push(taken);
            if orphaned {
                *created += outbox.created();
            }
            !orphaned
        });
        // Before anybody can look into the outboxes again, or they would be nowhere for a moment.
        self.ledger.lock().expect(spans);
    }

    /// Moves what is in the outboxes to the lanes.
    fn gather(&self, routing: &mut Routing, watch: Option<bool>, refuse: bool) {
        // Earlier parts of a trace were put in before it was, and perhaps by other threads: where later ones are found,
        // the earlier ones are found at the next look, and they go first. Few traces have parts.
        // There is an end to it, because what was found still counts towards the limit.
        let mut is_parted = false;
        loop {
            let first = routing.taken.len();
            self.sweep(routing, watch, refuse);
            let found = routing.taken[first..]
                .iter()
                .flat_map(|taken| &taken.traces);
            if found.into_iter().all(|trace| trace.earlier == 0) {
                break;
            }
            is_parted = true;
        }
        if is_parted {
            let mut all = Taken {
                traces: Vec::new(),
                packed: Vec::new(),
                reserved: 0,
            };
            for mut taken in routing.taken.drain(..) {
                taken.unpack();
                all.traces.append(&mut taken.traces);
                all.reserved += taken.reserved;
            }
            all.traces.sort_by_key(|trace| trace.earlier);
            routing.taken.push(all);
        }
        self.route(routing);
    }

    fn route(&self, routing: &mut Routing) {
        let now = Instant::now();
        let Routing { taken, spare } = routing;
        for mut taken in taken.drain(..) {
            taken.unpack();
            let Taken {
                mut traces,
                packed,
                reserved,
            } = taken;
            let mut bytes = 0;
            let mut rest = traces.drain(..);
            while rest.len() > 0 {
                let mut ledger = self.ledger.lock();
                for trace in rest.by_ref().take(SLICE) {
                    bytes += ledger.put(trace, now);
                }
            }
            drop(rest);
            self.exchange(reserved, bytes);
            let is_usual = (1..=MOST_SPARE).contains(&traces.capacity())
                && packed.capacity() <= MOST_SPARE_BYTES;
            if is_usual && spare.len() < SLICE {
                spare.push((traces, packed));
            }
        }
    }

    /// What there is to do; `None` when nothing is left and the tracer is closing.
    pub(crate) fn look(&self) -> Option<View> {
        self.free_buried();
        buffers::stock();
        let mut routing = self.routing.lock();
        let (requested, closing) = {
            let ledger = self.ledger.lock();
            (ledger.flushes, ledger.closing)
        };
        self.gather(&mut routing, Some(self.bounds.delay.is_zero()), false);
        let nothing_waits = {
            let mut ledger = self.ledger.lock();
            ledger.mark(requested);
            self.end_flushes(&mut ledger);
            ledger.waiting.traces == 0
        };
        if nothing_waits {
            // Again, because something may have come since; then the worker is not woken for it.
            self.gather(&mut routing, Some(true), closing.is_some());
        }
        let mut ledger = self.ledger.lock();
        if closing.is_some() && nothing_waits && ledger.is_empty() {
            ledger.stopped = true;
            self.settled.notify_all();
            return None;
        }
        Some(View {
            closing,
            flushes: requested,
            urgent: ledger.is_urgent(),
            lanes: ledger.lanes(),
            waits: ledger.waiting.traces > 0,
        })
    }

    /// The number of the lane that a trace belongs in.
    pub(crate) fn lane(&self, trace: &Finished) -> usize {
        self.ledger.lock().lane(trace)
    }

    /// When a batch of what waits in a lane should go; `None` when nothing waits there.
    pub(crate) fn due(&self, lane: usize, urgent: bool) -> Option<Instant> {
        let ledger = self.ledger.lock();
        let since = ledger.since(lane)?;
        let load = ledger.load(lane);
        match urgent || self.is_batch(load.bytes, load.spans) {
            true => Some(since),
            false => Some(since + self.bounds.delay),
        }
    }

    /// How much the next batch of a lane may have.
    pub(crate) fn room(&self, lane: usize) -> Room {
        let load = self.ledger.lock().load(lane);
        let bytes = self.target.load(Ordering::Relaxed);
        let spans = self.bounds.batch_spans;
        let many = bytes >= self.bounds.batch_bytes
            && (load.bytes / GROWTH >= bytes || load.spans / GROWTH as u64 >= spans);
        match many {
            true => Room {
                bytes: (bytes * GROWTH).min(GROWN_BYTES.max(bytes)).min(MOST_BYTES),
                spans: spans * GROWTH as u64,
            },
            false => Room { bytes, spans },
        }
    }

    /// A server found a request of so many bytes too long: batches are shorter from now on.
    pub(crate) fn shrink_batches(&self, bytes: usize) {
        let half = (bytes / 2).max(LEAST_BYTES);
        self.target.fetch_min(half, Ordering::Relaxed);
    }

    /// A batch arrived: the way back to long ones is slow.
    pub(crate) fn regrow_batches(&self) {
        let target = self.target.load(Ordering::Relaxed);
        if target < self.bounds.batch_bytes {
            let more = (target + target / 256).min(self.bounds.batch_bytes);
            self.target.store(more, Ordering::Relaxed);
        }
    }

    /// As [`Ledger::take`].
    pub(crate) fn take(
        &self,
        lane: usize,
        room: &mut Room,
        flush: &mut Option<u64>,
        is_empty: bool,
    ) -> Slice {
        self.ledger.lock().take(lane, room, flush, is_empty)
    }

    /// What was `before` in flight, of what came in the same `flush`, is now `after`: the rest was settled. It may have
    /// grown as well, by content that the server does not want as attachments.
    pub(crate) fn settle(&self, flush: u64, before: Load, after: Load) {
        let mut ledger = self.ledger.lock();
        self.exchange(before.bytes, after.bytes);
        self.release(Load {
            traces: before.traces - after.traces,
            ..Load::default()
        });
        ledger.settle(flush, before, after);
        self.end_flushes(&mut ledger);
    }

    fn end_flushes(&self, ledger: &mut Ledger) {
        if ledger.end_flushes() {
            self.settled.notify_all();
        }
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

    /// Spans in the outboxes, waiting and in flight, read while nothing of them moves.
    fn undelivered<R>(&self, read: impl FnOnce(u64) -> R) -> R {
        let outboxes = self.outboxes.lock();
        let ledger = self.ledger.lock();
        let here = outboxes.list.iter();
        let spans: u64 = here.map(|outbox| outbox.visit(|chunk| chunk.spans)).sum();
        read(ledger.waiting.spans + ledger.in_flight.spans + spans)
    }

    /// Waits until everything put in so far is settled, at most until `deadline`; returns the spans
    /// that still wait or are in flight.
    pub(crate) fn flush(&self, deadline: Instant) -> u64 {
        let mut ledger = self.ledger.lock();
        ledger.flushes += 1;
        let own = ledger.flushes;
        self.work.notify_one();
        let done = |ledger: &Ledger| ledger.flushed >= own || ledger.stopped;
        drop(self.settled.wait_until(ledger, deadline, done));
        self.spans()
    }

    /// Asks the worker to send what there is and stop; `deadline` is when it should give up.
    pub(crate) fn close(&self, deadline: Instant) {
        self.ledger.lock().closing = Some(deadline);
        self.work.notify_one();
    }

    /// Waits until the worker has stopped, at most until `deadline`, and has `read` answer from the spans left
    /// while nothing is given up or settled.
    pub(crate) fn wait_stopped(&self, deadline: Instant, read: impl FnOnce(u64) -> u64) -> u64 {
        let ledger = self.ledger.lock();
        drop(
            self.settled
                .wait_until(ledger, deadline, |ledger| ledger.stopped),
        );
        self.undelivered(read)
    }

    /// When the worker must give up; `None` while the tracer is open.
    pub(crate) fn closing(&self) -> Option<Instant> {
        self.ledger.lock().closing
    }

    /// Gives up what waits and what is in flight: has `count` count the spans of both, with what waits at hand, refuses
    /// everything from now on and tells those who wait. Returns what waited.
    pub(crate) fn give_up(&self, count: impl FnOnce(u64, &mut [Finished])) -> Vec<Finished> {
        self.free_buried();
        self.gather(&mut self.routing.lock(), Some(false), true);
        let mut ledger = self.ledger.lock();
        let (left, lanes) = ledger.stop();
        let traces = |mut lane: Lane| std::iter::from_fn(move || lane.pop());
        let mut waiting: Vec<Finished> = lanes.into_iter().flat_map(traces).collect();
        count(left.spans, &mut waiting);
        self.release(left);
        self.settled.notify_all();
        waiting
    }

    /// Spans waiting or in flight.
    pub(crate) fn spans(&self) -> u64 {
        self.undelivered(|spans| spans)
    }
}
