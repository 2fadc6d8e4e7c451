//! One tracer in one process: what its spans need to reach the exporter.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::destination::Destination;
use crate::finished::Finished;
use crate::id::TraceId;
use crate::ingest;
use crate::live::Rules;
use crate::local::Local;
use crate::lock::Mutex;
use crate::pipeline::depot::Depot;
use crate::pipeline::health::Health;
use crate::pipeline::mirror::Mirror;
use crate::pipeline::stats::{Drop, RecoveredStats, Stats};
use crate::pipeline::worker;
use crate::plugins::Plugins;
use crate::shared::Shared;
use crate::slot::{self, Locked, Site};
use crate::trace::{Opening, Trace};

/// How much longer a shutdown waits than the worker, so that the worker's last count is seen.
const SETTLING: Duration = Duration::from_millis(50);

/// Made anew in every fork generation; see [`crate::pipeline::fork`].
pub(crate) struct State {
    /// Tells the states of this process apart.
    pub(crate) id: u64,
    pub(crate) shared: Arc<Shared>,
    pub(crate) plugins: Arc<Plugins>,
    /// For every span.
    pub(crate) rules: Rules,
    /// Held while a trace is looked up by its id and begun if there is none, so that it is begun once.
    joining: Mutex<()>,
    worker_started: AtomicBool,
    stopped: AtomicBool,
}

/// A number that nothing else in this process has.
pub(crate) fn next_id() -> u64 {
    static IDS: AtomicU64 = AtomicU64::new(0);
    IDS.fetch_add(1, Ordering::Relaxed)
}

impl State {
    pub(crate) fn new(config: Config, plugins: Arc<Plugins>) -> Arc<Self> {
        let id = next_id();
        let limits = config.limits();
        let shared = Shared::new(id, config, &plugins);
        Arc::new(State {
            id,
            rules: Rules {
                limits,
                hooked: !plugins.processors.is_empty() || shared.redactor.is_some(),
            },
            shared,
            plugins,
            joining: Mutex::default(),
            worker_started: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        })
    }

    #[inline]
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// An open trace of this tracer, its slot locked.
    pub(crate) fn find(&self, id: TraceId) -> Option<Locked> {
        slot::find_traces(id)
            .filter_map(|index| slot::lock_trace_at(index, id))
            .find(|locked| self.owns(locked))
    }

    fn owns(&self, locked: &Locked) -> bool {
        locked.belongs_to(self.id)
    }

    /// The slot of the open trace of this id with one more span open in it, by `open`; if there is none,
    /// of a new one. A trace that is not open here is rooted elsewhere (or has been sent), unless its
    /// root begins it. `None` when no slot is free.
    pub(crate) fn join(
        self: &Arc<Self>,
        id: TraceId,
        is_root: bool,
        only_errors: bool,
        destination: &'static Destination,
        now: u64,
        local: &mut Local,
    ) -> Option<Site> {
        self.attend();
        let _joining = self.joining.lock();
        if let Some(mut locked) = self.find(id) {
            let site = locked.site();
            let trace = locked.open_trace()?;
            match is_root {
                // Its spans were taken for the local part of a remote trace so far.
                true => trace.open_root(now),
                false => trace.open_span(now),
            }
            return Some(site);
        }
        let mut locked = slot::allocate(&mut local.free)?;
        let opening = Opening {
            id,
            remote: !is_root,
            only_errors,
            destination,
            state: self,
            now,
        };
        Trace::open(&mut locked.trace, opening);
        locked.publish_trace(id);
        Some(locked.site())
    }

    /// Queues what `make` makes: so many bytes, so many spans, short ones packed into the buffer that it is
    /// given. It is made only if there is room for it;
    /// otherwise the spans are counted, and the answer is false.
    #[inline]
    pub(crate) fn hand_over(
        &self,
        local: &mut Local,
        size: usize,
        spans: u64,
        mut make: impl FnMut(&mut Vec<u8>) -> Finished,
    ) -> bool {
        self.start_worker();
        let queue = &self.shared.queue;
        if self.shared.mirror.is_some() || self.shared.depot.is_some() {
            return self.hand_over_made(local, size, spans, make);
        }
        let mut make = |packed: &mut Vec<u8>| Some(make(packed));
        let mut pushed = local.outbox(self).push(queue, size, spans, &mut make);
        if pushed == Err(Drop::QueueFull) && self.shared.make_room(size) {
            pushed = local.outbox(self).push(queue, size, spans, &mut make);
        }
        if let Err(reason) = pushed {
            self.refused(reason, spans);
        }
        pushed.is_ok()
    }

    /// As [`Self::hand_over`], with a copy for the collector and a record in the spool, whether or not there is room for
    /// the trace itself.
    #[cold]
    fn hand_over_made(
        &self,
        local: &mut Local,
        size: usize,
        spans: u64,
        mut make: impl FnMut(&mut Vec<u8>) -> Finished,
    ) -> bool {
        let mut packed = Vec::new();
        let mut trace = make(&mut packed);
        trace.unpack(&packed);
        let Shared {
            mirror,
            depot,
            queue,
            health,
            ..
        } = &*self.shared;
        if let Some(mirror) = mirror {
            mirror.offer(&trace, local);
        }
        if let Some(depot) = depot {
            let is_hard = || queue.is_filling() || health.is_away();
            depot.keep_safe(&mut trace, is_hard);
        }
        let mut made = Some(trace);
        let mut make = |_: &mut Vec<u8>| made.take();
        let mut pushed = local.outbox(self).push(queue, size, spans, &mut make);
        if pushed == Err(Drop::QueueFull) && self.shared.make_room(size) {
            pushed = local.outbox(self).push(queue, size, spans, &mut make);
        }
        let Err(reason) = pushed else { return true };
        if let (Some(depot), Some(trace)) = (depot, &mut made)
            && depot.rescue(trace)
        {
            depot.leave(trace);
            return true;
        }
        self.refused(reason, spans);
        // The collector gets what follows in any case.
        mirror.is_some()
    }

    #[cold]
    fn refused(&self, reason: Drop, spans: u64) {
        self.shared.counters.drop(reason, spans);
        if reason == Drop::QueueFull {
            self.shared.diagnostics.report("queue_full", || {
                "the queue is full; new traces are dropped (queue.max_bytes)".into()
            });
        }
    }

    /// Gives up a span that was opened in the trace in the slot `home` and will never end, unless the trace
    /// was handed over, and the span counted then.
    pub(crate) fn lose_span(&self, home: Site, id: TraceId, reason: Drop, local: &mut Local) {
        let Some(mut locked) = slot::lock_trace(home, id) else {
            return;
        };
        self.shared.counters.drop(reason, 1);
        if locked
            .open_trace()
            .is_some_and(|trace| trace.lose_span(local))
        {
            locked.end_trace();
            locked.release(&mut local.free);
        }
    }

    /// Before a trace begins: sees to it that somebody looks after traces that do not end.
    #[inline]
    pub(crate) fn attend(&self) {
        if self.shared.queue.is_unattended() {
            self.start_worker();
            self.shared.queue.attend();
        }
    }

    /// Delivers what other processes left on disk, where there is a spool, without waiting for a trace.
    pub(crate) fn begin(&self, destination: &'static Destination) {
        if let Some(depot) = &self.shared.depot {
            depot.expect(destination);
            self.start_worker();
        }
    }

    #[inline]
    fn start_worker(&self) {
        if !self.worker_started.load(Ordering::Relaxed) {
            self.spawn_worker();
        }
    }

    #[cold]
    fn spawn_worker(&self) {
        if self.worker_started.swap(true, Ordering::AcqRel) {
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
        let mut ended = 0;
        slot::for_each_trace(|mut locked| {
            if self.owns(&locked) {
                ended += locked.open_trace().map_or(0, |trace| trace.ended());
            }
        });
        ended
    }

    pub(crate) fn stats(&self) -> Stats {
        let created = || self.shared.queue.created();
        let mut stats = self.shared.counters.read(created);
        stats.ignored += crate::span::ignored_calls();
        stats.mirror = self.shared.mirror.as_ref().map(Mirror::stats);
        let odd = &self.shared.config.attached.odd_replies;
        stats.odd_2xx = odd.load(Ordering::Relaxed);
        if let Some(depot) = &self.shared.depot {
            stats.spooled = depot.spooled();
            stats.spool_degraded = depot.is_degraded();
            let recovered = depot.recovered.read(|| depot.adopted());
            stats.recovered = Some(RecoveredStats {
                adopted: recovered.created,
                delivered: recovered.delivered,
                pending: recovered.pending,
                dropped: recovered.dropped_total(),
            });
        }
        stats
    }

    pub(crate) fn health(&self) -> Health {
        let stats = self.stats();
        Health {
            pending: stats.pending,
            dropped: stats.dropped,
            ..self.shared.health.read()
        }
    }

    /// Of so many spans in the queue, those that this process recorded, with those that are on disk alone.
    fn own(&self, queued: u64) -> u64 {
        match &self.shared.depot {
            Some(depot) => queued.saturating_sub(depot.recovering()) + depot.spooled(),
            None => queued,
        }
    }

    /// Waits for what is queued; returns the ended spans that are not delivered.
    pub(crate) fn flush(&self, timeout: Duration) -> u64 {
        let deadline = deadline(timeout);
        let mirror = self.shared.mirror.as_ref();
        let waiting = match self.worker_started.load(Ordering::Acquire) {
            true => {
                // Both at once: one that does not deliver must not use up the other's time.
                mirror.inspect(|mirror| mirror.urge());
                let own = self.own(self.shared.queue.flush(deadline));
                own + mirror.map_or(0, |mirror| mirror.flush(deadline))
            }
            false => self.own(self.shared.queue.spans()),
        };
        if let Some(depot) = &self.shared.depot
            && self.shared.config.syncs()
            && !Depot::sync_until(&self.shared, depot, deadline)
        {
            self.shared.diagnostics.report("spool", || {
                "the disk was not synced within the time of a flush; a power cut may lose traces"
                    .into()
            });
        }
        self.shared.flush_sink(deadline);
        waiting + self.ended_in_open_traces()
    }

    /// Ends recording, sends what ended, and counts the rest; returns the ended spans that were not delivered.
    pub(crate) fn shutdown(&self, timeout: Duration) -> u64 {
        let deadline = deadline(timeout);
        if !self.stopped.swap(true, Ordering::AcqRel) {
            self.close_open_traces();
            if let Some(depot) = &self.shared.depot
                && self.worker_started.load(Ordering::Acquire)
            {
                depot.wait_looked(deadline);
            }
            self.close_queues(deadline);
            if !self.worker_started.load(Ordering::Acquire) {
                // Nobody will send what is queued: nothing was, or no thread was to be had for it.
                let count = |spans, left: &mut [Finished]| {
                    self.shared
                        .count_left(Drop::Shutdown, spans, left.iter_mut());
                };
                drop(self.shared.queue.give_up(count));
                self.shared.mirror.iter().for_each(Mirror::end);
            }
        }
        let given_up = || self.shared.counters.dropped(Drop::Shutdown);
        let undelivered = |waiting| self.own(waiting) + given_up();
        let queue = &self.shared.queue;
        let mut left = queue.wait_stopped(deadline + SETTLING, undelivered);
        if let Some(depot) = &self.shared.depot
            && self.worker_started.load(Ordering::Acquire)
        {
            depot.wait_closed(deadline + SETTLING);
        }
        if let Some(mirror) = &self.shared.mirror {
            left += mirror.wait_stopped(deadline + SETTLING);
        }
        // A trace may have begun while the others were closed, by a thread that had not seen the end yet.
        self.close_open_traces();
        self.shared.close_sink(deadline + SETTLING);
        left
    }

    /// Gives the worker `timeout` to send what is queued, without waiting for it.
    pub(crate) fn close(&self, timeout: Duration) {
        if !self.stopped.swap(true, Ordering::AcqRel) {
            self.close_open_traces();
            self.close_queues(deadline(timeout));
            if !self.worker_started.load(Ordering::Acquire) {
                self.shared.close_sink(Instant::now());
            }
        }
    }

    fn close_queues(&self, deadline: Instant) {
        self.shared.queue.close(deadline);
        if let Some(mirror) = &self.shared.mirror {
            mirror.close(deadline);
        }
    }

    /// Hands over what ended of open traces and counts the rest.
    pub(crate) fn close_open_traces(&self) {
        let mut unfinished = HashSet::new();
        crate::local::with(|local| {
            slot::for_each_trace(|mut locked| {
                if !self.owns(&locked) {
                    return;
                }
                let Some(trace) = locked.open_trace() else {
                    return;
                };
                let id = trace.id;
                let spans = u64::from(trace.force_close(local));
                self.shared.counters.drop(Drop::Unfinished, spans);
                unfinished.insert((locked.site(), id));
                locked.end_trace();
                locked.release(&mut local.free);
            });
        });
        ingest::forget(&unfinished);
    }
}

/// Far enough for anybody, near enough not to overflow.
fn deadline(timeout: Duration) -> Instant {
    Instant::now() + timeout.min(Duration::from_secs(86_400 * 365))
}
