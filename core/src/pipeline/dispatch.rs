//! Decides what is sent next: several batches at once, each of one destination and with its own retries, never two with
//! spans of the same trace, and as little as possible to a server that is away.

use std::cell::Cell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::Notify;

use super::circuit::Circuit;
use super::lane::Load;
use super::queue::View;
use super::stats::Drop;
use crate::clock;
use crate::export::retry::Backoff;
use crate::export::{Exporter, Verdict};
use crate::finished::Finished;
use crate::id::TraceId;
use crate::shared::Shared;

/// A process that has recorded this many traces gets a faster clock.
const BUSY: usize = 1000;
/// How often a destination that takes nothing from us, for want of rights, is asked again.
const PARKED: Duration = Duration::from_secs(60);
/// How often a batch is tried again while the tracer is closing and the destination takes others.
const CHANCES: u8 = 2;
/// How often the outboxes are looked into at least while nothing can be sent, however short batches may wait.
const TICK: Duration = Duration::from_millis(50);

/// Some traces on their way to one destination.
struct Batch {
    number: u64,
    lane: usize,
    /// The flush that they came after.
    flush: u64,
    traces: Vec<Finished>,
    ids: Vec<TraceId>,
    /// As the queue knows it.
    load: Load,
    backoff: Backoff,
    started: Instant,
    /// When it is tried again, after a failure; never, if it failed too often while the tracer was closing.
    due: Option<Instant>,
    /// How often it may still fail while the tracer is closing.
    chances: u8,
    /// The flushes that there had been when it was last tried.
    flushes: u64,
    /// The tracer was closing when it was last tried.
    closing: bool,
}

/// A trace in a batch.
struct Busy {
    batch: u64,
    /// What came of it since.
    followers: Vec<Finished>,
}

/// What is known of a destination.
#[derive(Default)]
struct Way {
    /// What had to wait for its trace, and need not any more.
    ready: VecDeque<Finished>,
    /// Batches on their way.
    going: usize,
    /// It takes nothing from us; when to ask again.
    parked: Option<Instant>,
    /// It has taken something; before that, one batch at a time is enough to learn what it is called there.
    proven: bool,
}

impl Way {
    fn is_free(&self, now: Instant) -> bool {
        self.parked.is_none_or(|until| until <= now) && (self.proven || self.going == 0)
    }
}

/// Tells attempts when the tracer's time is up.
#[derive(Default)]
struct Closing {
    deadline: Cell<Option<Instant>>,
    told: Notify,
}

impl Closing {
    async fn passed(&self) {
        loop {
            let told = self.told.notified();
            match self.deadline.get() {
                Some(deadline) => return tokio::time::sleep_until(deadline.into()).await,
                None => told.await,
            }
        }
    }
}

async fn attempt(
    shared: &Shared,
    exporter: &dyn Exporter,
    closing: &Closing,
    mut batch: Batch,
) -> (Batch, Verdict) {
    let export = async { exporter.export(&mut batch.traces).await };
    let verdict = tokio::select! {
        biased;
        verdict = AssertUnwindSafe(export).catch_unwind() => verdict,
        () = closing.passed() => Ok(Verdict::OutOfTime),
    };
    let verdict = verdict.unwrap_or_else(|_| {
        // Nobody knows how far it came with those that are left.
        batch.traces.retain(|trace| !trace.progress.settled);
        batch
            .traces
            .iter_mut()
            .for_each(|trace| shared.failed(trace));
        batch.traces.clear();
        Verdict::Done
    });
    (batch, verdict)
}

/// What to do next.
enum Next {
    Start(Batch),
    /// Nothing, until something happens or this time has come.
    Wait(Option<Instant>),
}

struct Dispatcher<'a> {
    shared: &'a Shared,
    /// How many batches may be on their way at once.
    most: usize,
    going: usize,
    circuit: Circuit,
    ways: Vec<Way>,
    busy: HashMap<TraceId, Busy, FixedState>,
    retrying: Vec<Batch>,
    batches: u64,
    /// The way that was last served.
    served: usize,
    flushes: u64,
    /// Somebody waits for an attempt.
    forced: bool,
    closing: bool,
    /// Something arrived since the tracer began to close.
    alive: bool,
    /// It did not, and nothing will.
    hopeless: bool,
    traces: usize,
}

/// Sends what comes until the tracer has closed and nothing is left, or its time is up.
pub(super) async fn run(shared: &Shared, exporter: &dyn Exporter) {
    let closing = Closing::default();
    let most = shared.config.max_in_flight().min(exporter.max_in_flight());
    let mut dispatcher = Dispatcher {
        shared,
        most,
        going: 0,
        circuit: Circuit::default(),
        ways: Vec::new(),
        busy: HashMap::default(),
        retrying: Vec::new(),
        batches: 0,
        served: 0,
        flushes: 0,
        forced: false,
        closing: false,
        alive: false,
        hopeless: false,
        traces: 0,
    };
    let mut going = FuturesUnordered::new();
    while let Some(view) = shared.queue.look() {
        let now = Instant::now();
        if let Some(deadline) = view.closing.filter(|_| closing.deadline.get().is_none()) {
            closing.deadline.set(Some(deadline));
            closing.told.notify_waiters();
            dispatcher.close();
        }
        dispatcher.hear(&view, now);
        let is_late = view.closing.is_some_and(|deadline| deadline <= now);
        let next = match is_late || dispatcher.hopeless {
            true => Next::Wait(None),
            false => dispatcher.next(&view, now),
        };
        let until = match next {
            Next::Start(mut batch) => {
                dispatcher.start(&mut batch, now);
                going.push(attempt(shared, exporter, &closing, batch));
                Some(now)
            }
            Next::Wait(until) => until,
        };
        let is_over = |until: Instant| view.closing.is_some_and(|deadline| deadline < until);
        if going.is_empty() && view.closing.is_some() && until.is_none_or(is_over) {
            return dispatcher.abandon();
        }
        let pause = async {
            match until {
                // There may be more to start; others get on meanwhile.
                Some(until) if until <= now => tokio::task::yield_now().await,
                Some(until) => tokio::time::sleep_until(until.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some((batch, verdict)) = going.next() => dispatcher.finish(batch, verdict),
            () = shared.queue.woken() => {}
            () = pause => {}
        }
    }
}

impl Dispatcher<'_> {
    /// The tracer closes: whatever stood in the way of an attempt does not any more.
    fn close(&mut self) {
        self.closing = true;
        self.alive = false;
        self.insist();
    }

    fn insist(&mut self) {
        self.forced = true;
        self.circuit.insist();
    }

    /// A flush, or the end, is worth one attempt at once.
    fn hear(&mut self, view: &View, now: Instant) {
        self.ways
            .resize_with(view.lanes.max(self.ways.len()), Way::default);
        if view.flushes > self.flushes {
            self.flushes = view.flushes;
            self.forced = true;
        }
        if self.forced {
            self.retrying
                .iter_mut()
                .for_each(|batch| batch.due = batch.due.min(Some(now)));
            self.ways
                .iter_mut()
                .for_each(|way| way.parked = way.parked.min(Some(now)));
        }
    }

    fn next(&mut self, view: &View, now: Instant) -> Next {
        let backlog = view
            .waits
            .then(|| now + self.shared.config.batch_delay().max(TICK));
        if self.going >= self.most || !self.circuit.permits(now, self.going, self.forced) {
            let until = self.circuit.next().filter(|until| *until > now);
            return Next::Wait(earliest([until, backlog]));
        }
        // Whether the server is back is better asked with something that it has not stumbled over.
        let is_first = |batch: &Batch| !self.circuit.is_open() || !batch.is_suspect();
        let again = self.again(now, is_first);
        let batch = again.map(|index| self.retrying.swap_remove(index));
        if let Some(batch) = batch.or_else(|| self.fresh(view, now)) {
            return Next::Start(batch);
        }
        if let Some(index) = self.again(now, |_| true) {
            return Next::Start(self.retrying.swap_remove(index));
        }
        let due = |lane| self.shared.queue.due(lane, view.urgent);
        let lanes = (0..view.lanes).filter(|lane| self.ways[*lane].is_free(now));
        let lanes = lanes.filter_map(due);
        let retries = self.retrying.iter().filter_map(|batch| batch.due);
        let parked = self.ways.iter().filter_map(|way| way.parked);
        let later = lanes
            .chain(retries)
            .chain(parked)
            .filter(|time| *time > now);
        Next::Wait(earliest([later.min(), backlog]))
    }

    /// The batch that is to be tried again now, if there is one; while the server is away, any of them.
    fn again(&self, now: Instant, wanted: impl Fn(&Batch) -> bool) -> Option<usize> {
        let is_due = |due: Instant| self.circuit.is_open() || due <= now;
        let batches = self.retrying.iter().enumerate();
        let due = batches.filter(|(_, batch)| batch.due.is_some_and(is_due) && wanted(batch));
        let free = due.filter(|(_, batch)| self.ways[batch.lane].is_free(now));
        free.min_by_key(|(_, batch)| batch.due)
            .map(|(index, _)| index)
    }

    /// A batch of what waits; destinations take turns.
    fn fresh(&mut self, view: &View, now: Instant) -> Option<Batch> {
        for turn in 1..=view.lanes {
            let lane = (self.served + turn) % view.lanes;
            if !self.ways[lane].is_free(now) {
                continue;
            }
            let due = self.shared.queue.due(lane, view.urgent);
            if self.ways[lane].ready.is_empty() && due.is_none_or(|due| due > now) {
                continue;
            }
            if let Some(batch) = self.fill(lane, now) {
                self.served = lane;
                return Some(batch);
            }
        }
        None
    }

    /// Fills a batch with what a lane has; `None` if all of that has to wait for its traces.
    fn fill(&mut self, lane: usize, now: Instant) -> Option<Batch> {
        let queue = &self.shared.queue;
        let mut room = queue.room(lane);
        let mut flush = None;
        self.batches += 1;
        let mut batch = Batch {
            number: self.batches,
            lane,
            flush: 0,
            traces: Vec::new(),
            ids: Vec::new(),
            load: Load::default(),
            backoff: Backoff::default(),
            started: now,
            due: Some(now),
            chances: CHANCES,
            flushes: 0,
            closing: false,
        };
        while let Some(trace) = self.ways[lane].ready.pop_front() {
            let load = Load::one(&trace);
            let own = *flush.get_or_insert(trace.progress.flush);
            if own != trace.progress.flush || !room.fit(load) && !batch.traces.is_empty() {
                self.ways[lane].ready.push_front(trace);
                break;
            }
            self.admit(trace, &mut batch);
        }
        while self.ways[lane].ready.is_empty() {
            let is_empty = batch.traces.is_empty();
            let slice = queue.take(lane, &mut room, &mut flush, is_empty);
            if slice.traces.is_empty() && slice.lost.is_empty() {
                break;
            }
            for trace in slice.traces {
                self.admit(trace, &mut batch);
            }
            for mut trace in slice.lost {
                let load = Load::one(&trace);
                self.shared.evicted(&mut trace);
                queue.settle(trace.progress.flush, load, Load::default());
            }
        }
        batch.flush = flush.unwrap_or(0);
        (!batch.traces.is_empty()).then_some(batch)
    }

    /// Puts a trace into a batch, unless another one has its id.
    fn admit(&mut self, trace: Finished, batch: &mut Batch) {
        let busy = self.busy.entry(trace.id).or_insert_with(|| {
            batch.ids.push(trace.id);
            Busy {
                batch: batch.number,
                followers: Vec::new(),
            }
        });
        match busy.batch == batch.number {
            true => {
                batch.load += Load::one(&trace);
                batch.traces.push(trace);
            }
            false => busy.followers.push(trace),
        }
    }

    fn start(&mut self, batch: &mut Batch, now: Instant) {
        self.forced = false;
        self.going += 1;
        self.ways[batch.lane].going += 1;
        batch.started = now;
        batch.flushes = self.flushes;
        batch.closing = self.closing;
    }

    /// Takes back a batch after an attempt.
    fn finish(&mut self, mut batch: Batch, verdict: Verdict) {
        let now = Instant::now();
        // An attempt that was cut off leaves what it settled.
        batch.traces.retain(|trace| !trace.progress.settled);
        // Before anybody hears of it: whoever waited for that may end the process.
        if let Some(depot) = &self.shared.depot {
            depot.acknowledge();
        }
        let before = batch.load;
        let mut after = Load::of(&batch.traces);
        let has_passed = after.traces < before.traces || after.spans < before.spans;
        // One that was taken apart counts as one.
        after.traces = after.traces.min(before.traces);
        batch.load = after;
        self.release(&mut batch);
        self.going -= 1;
        let way = &mut self.ways[batch.lane];
        way.going -= 1;
        let has_passed = has_passed || verdict == Verdict::Done;
        if has_passed {
            way.parked = None;
            way.proven = true;
            self.circuit.success();
            self.alive = true;
            self.hopeless = false;
            batch.backoff = Backoff::default();
        }
        batch.due = Some(now);
        match verdict {
            Verdict::Done | Verdict::OutOfTime => {}
            Verdict::Retry(after) => {
                self.circuit.failure(now, batch.started, after);
                let pause = batch.backoff.next();
                if self.flushes == batch.flushes {
                    batch.due = Some(now + pause);
                }
                if self.closing && !batch.closing {
                    // It was on its way before: that was not its last chance.
                    batch.due = Some(now);
                    self.insist();
                } else if self.closing {
                    self.hopeless = !self.alive;
                    match batch.chances.checked_sub(1) {
                        Some(left) => batch.chances = left,
                        None => batch.due = None,
                    }
                }
            }
            Verdict::Park => {
                way.parked = Some(now + PARKED);
                way.proven = false;
                // It has answered.
                self.circuit.success();
            }
        }
        let is_parked = self.ways.iter().any(|way| way.parked.is_some());
        if has_passed {
            self.shared.arrived(!is_parked);
        }
        self.shared.health.circuit(match is_parked {
            true => "parked",
            false => self.circuit.name(),
        });
        // Last, because it ends flushes, and who waited for one may ask how it went.
        self.shared.queue.settle(batch.flush, before, after);
        self.calibrate(before.traces - after.traces);
        if !batch.traces.is_empty() {
            self.retrying.push(batch);
        }
    }

    /// Lets what followed traces go that are not in the batch any more.
    fn release(&mut self, batch: &mut Batch) {
        let left: HashSet<TraceId> = batch.traces.iter().map(|trace| trace.id).collect();
        for id in std::mem::take(&mut batch.ids) {
            if left.contains(&id) {
                batch.ids.push(id);
                continue;
            }
            let followers = self.busy.remove(&id).map(|busy| busy.followers);
            for trace in followers.into_iter().flatten() {
                let lane = self.shared.queue.lane(&trace);
                self.ways
                    .resize_with(self.ways.len().max(lane + 1), Way::default);
                self.ways[lane].ready.push_back(trace);
            }
        }
    }

    fn calibrate(&mut self, traces: usize) {
        self.traces += traces;
        if self.traces >= BUSY {
            clock::calibrate();
        }
    }

    /// The tracer has closed, and this is not going to be delivered any more.
    fn abandon(self) {
        let retrying = self.retrying.into_iter().flat_map(|batch| batch.traces);
        let followers = self.busy.into_values().flat_map(|busy| busy.followers);
        let ready = self.ways.into_iter().flat_map(|way| way.ready);
        let mut own: Vec<Finished> = retrying.chain(followers).chain(ready).collect();
        let count = |spans, waiting: &mut [Finished]| {
            let left = own.iter_mut().chain(waiting);
            self.shared.count_left(Drop::Shutdown, spans, left);
        };
        drop(self.shared.queue.give_up(count));
        self.shared.abandoned();
    }
}

impl Batch {
    /// Whether a server stumbled over some of it.
    fn is_suspect(&self) -> bool {
        self.traces.iter().any(|trace| trace.progress.has_failed())
    }
}

fn earliest(times: [Option<Instant>; 2]) -> Option<Instant> {
    times.into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::Arc;

    use super::*;
    use crate::pipeline::outbox::Outbox;
    use crate::{Config, TracerBuilder, destination};

    /// Fails after the first trace of a batch.
    struct Failing(Arc<Shared>);

    impl Exporter for Failing {
        fn export<'a>(
            &'a self,
            batch: &'a mut Vec<Finished>,
        ) -> Pin<Box<dyn Future<Output = Verdict> + 'a>> {
            self.0.delivered(&mut batch[0]);
            panic!("a fault of the exporter");
        }
    }

    fn trace() -> Finished {
        let mut trace = Finished::new(TraceId::generate(), destination::by_number(0));
        trace.has_info = true;
        trace.span_count = 1;
        trace
    }

    #[tokio::test]
    async fn what_an_exporter_leaves_when_it_fails_is_counted_once() {
        let (config, plugins) = TracerBuilder::new(Config::new()).into_parts();
        let shared = Shared::new(0, config, &plugins);
        let outbox = Arc::new(Outbox::default());
        shared.queue.register(outbox.clone());
        outbox.create(3);
        for _ in 0..3 {
            let size = trace().size();
            let pushed = outbox.push(&shared.queue, size, 1, |_| Some(trace()));
            assert_eq!(pushed, Ok(()));
        }
        shared.queue.close(Instant::now() + Duration::from_secs(10));
        run(&shared, &Failing(shared.clone())).await;
        let stats = shared.counters.read(|| shared.queue.created());
        let counted = (stats.created, stats.delivered, stats.dropped_total());
        assert_eq!(counted, (3, 1, 2));
    }
}
