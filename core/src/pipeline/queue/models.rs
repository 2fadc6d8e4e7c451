//! Models of how the host's threads, flushes and the worker meet in the queue, for `make loom`.
//!
//! There is no time in them: who waits, waits for a step of another thread. A wake-up that is lost is a deadlock,
//! which loom reports.

mod ending;

use std::pin::pin;
use std::sync::atomic::{AtomicU64 as Tally, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loom::thread;

use super::*;
use crate::destination;
use crate::id::TraceId;
use crate::pipeline::stats;

const LONG: Duration = Duration::from_secs(3600);
const AMPLE: usize = 1 << 20;

/// Tries every order of steps in which threads are interrupted so many times in the middle of their work; more
/// finds hardly anything and takes hours. `LOOM_MAX_PREEMPTIONS` sets another number.
fn model(steps: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(steps);
}

fn later() -> Instant {
    Instant::now() + LONG
}

/// A trace of one span.
fn trace() -> Finished {
    let mut trace = Finished::new(TraceId::from_bytes([1; 16]), destination::by_number(0));
    trace.has_info = true;
    trace.span_count = 1;
    trace
}

const BOUNDS: Bounds = Bounds {
    max_bytes: AMPLE,
    max_traces: None,
    drops_oldest: false,
    batch_bytes: AMPLE,
    batch_spans: 100,
    delay: Duration::ZERO,
    one_lane: false,
};

fn queue(bounds: Bounds) -> Arc<Queue> {
    Arc::new(Queue::new(bounds))
}

/// A queue that sends at once.
fn prompt(max_bytes: usize) -> Arc<Queue> {
    queue(Bounds {
        max_bytes,
        ..BOUNDS
    })
}

/// A queue that sends when so many spans wait, and else after a time that never passes.
fn patient(batch_spans: u64) -> Arc<Queue> {
    queue(Bounds {
        batch_spans,
        delay: LONG,
        ..BOUNDS
    })
}

/// One of the host's threads: its outbox of the queue.
struct Host {
    queue: Arc<Queue>,
    outbox: Arc<Outbox>,
}

impl Host {
    fn new(queue: &Arc<Queue>) -> Self {
        let outbox = Arc::new(Outbox::default());
        queue.register(outbox.clone());
        Host {
            queue: queue.clone(),
            outbox,
        }
    }

    /// Starts and ends a trace; whether the queue took it.
    fn record(&self) -> Result<(), stats::Drop> {
        self.outbox.create(1);
        self.put(trace())
    }

    fn put(&self, trace: Finished) -> Result<(), stats::Drop> {
        let (size, spans) = (trace.size(), u64::from(trace.span_count));
        self.outbox.push(&self.queue, size, spans, |_| Some(trace))
    }
}

/// As `Local` does when its thread ends.
impl Drop for Host {
    fn drop(&mut self) {
        self.outbox.orphaned.store(true, Ordering::Release);
    }
}

/// Runs a thread of the host that records `traces` traces; how many the queue took.
fn spawn_host(queue: &Arc<Queue>, traces: usize) -> thread::JoinHandle<u64> {
    let queue = queue.clone();
    thread::spawn(move || {
        let host = Host::new(&queue);
        let taken = (0..traces).filter(|_| host.record().is_ok());
        taken.count() as u64
    })
}

fn block_on(future: impl Future<Output = ()>) {
    let polled = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(polled, Poll::Ready(()));
}

/// What the worker does next.
enum Step {
    Send(Vec<Finished>),
    Sleep,
    Stop,
}

fn step(queue: &Queue) -> Step {
    let Some(view) = queue.look() else {
        return Step::Stop;
    };
    let is_due = |lane: &usize| {
        let due = queue.due(*lane, view.urgent);
        due.is_some_and(|due| due <= Instant::now())
    };
    let Some(lane) = (0..view.lanes).find(is_due) else {
        return Step::Sleep;
    };
    // Whoever sends is not asleep and may miss a wake-up.
    queue.work.forget();
    let slice = queue.take(lane, &mut queue.room(lane), &mut None, true);
    assert!(slice.lost.is_empty());
    Step::Send(slice.traces)
}

fn settle(queue: &Queue, batch: &[Finished]) -> u64 {
    let load = Load::of(batch);
    // Nothing, if it was given up for newer traces a moment ago.
    if let Some(first) = batch.first() {
        queue.settle(first.progress.flush, load, Load::default());
    }
    load.spans
}

/// The worker, until it has delivered so many spans or stops; how many it has delivered.
fn work(queue: &Queue, spans: u64) -> u64 {
    let mut delivered = 0;
    while delivered < spans {
        match step(queue) {
            Step::Send(batch) => delivered += settle(queue, &batch),
            Step::Sleep => block_on(queue.woken()),
            Step::Stop => break,
        }
        assert!(
            queue.held.load(Relaxed) <= 2 * AMPLE,
            "more given back than taken"
        );
    }
    delivered
}

/// Nothing is left in the queue, and nothing of its limit is taken.
fn check_empty(queue: &Queue) {
    // What an outbox reserved and did not use goes back at the next visit.
    queue.gather(&mut queue.routing.lock(), None, false);
    assert_eq!(queue.spans(), 0);
    assert_eq!(queue.held.load(Relaxed), 0);
}

#[test]
fn a_trace_wakes_the_worker() {
    model(|| {
        let queue = prompt(AMPLE);
        let hosts = [spawn_host(&queue, 1), spawn_host(&queue, 1)];
        assert_eq!(work(&queue, 2), 2);
        assert_eq!(hosts.map(|host| host.join().unwrap()), [1, 1]);
        check_empty(&queue);
    });
}

#[test]
fn traces_one_after_the_other_wake_the_worker() {
    model(|| {
        let queue = prompt(AMPLE);
        let host = spawn_host(&queue, 2);
        assert_eq!(work(&queue, 2), 2);
        assert_eq!(host.join().unwrap(), 2);
        check_empty(&queue);
    });
}

#[test]
fn batches_wake_the_worker_before_its_time() {
    model(|| {
        let queue = patient(2);
        // When the worker falls asleep with one of them in hand, at least two are to come.
        let host = spawn_host(&queue, 5);
        assert_eq!(work(&queue, 4), 4);
        assert_eq!(host.join().unwrap(), 5);
    });
}

/// Different threads may hand over a part of a trace and what follows it.
#[test]
fn parts_come_before_the_rest_of_their_trace() {
    model(|| {
        let queue = prompt(AMPLE);
        let hosts = Arc::new([Host::new(&queue), Host::new(&queue)]);
        let threads = [1, 2].map(|id| {
            let hosts = hosts.clone();
            thread::spawn(move || {
                let (mut part, mut rest) = (trace(), trace());
                part.id = TraceId::from_bytes([id; 16]);
                rest.id = part.id;
                part.goes_on = true;
                rest.earlier = 1;
                hosts[0].put(part).unwrap();
                hosts[1].put(rest).unwrap();
            })
        });
        drop(hosts);
        let mut delivered = Vec::new();
        while delivered.len() < 4 {
            match step(&queue) {
                Step::Send(batch) => {
                    delivered.extend(batch.iter().map(|trace| (trace.id, trace.goes_on)));
                    settle(&queue, &batch);
                }
                Step::Sleep => block_on(queue.woken()),
                Step::Stop => break,
            }
        }
        let place = |of| delivered.iter().position(|trace| *trace == of).unwrap();
        for (id, _) in &delivered {
            assert!(place((*id, true)) < place((*id, false)));
        }
        for thread in threads {
            thread.join().unwrap();
        }
        check_empty(&queue);
    });
}

#[test]
fn reservations_are_exact() {
    model(|| {
        // Room for two traces.
        let queue = prompt(2 * trace().size());
        let hosts = [spawn_host(&queue, 1), spawn_host(&queue, 2)];
        let early = work(&queue, 1);
        let taken: u64 = hosts.map(|host| host.join().unwrap()).into_iter().sum();
        assert!((2..=3).contains(&taken));
        assert_eq!(early + work(&queue, taken - early), taken);
        check_empty(&queue);
    });
}

/// A batch is settled in steps, and what is left of it may be more than it was.
#[test]
fn batches_settled_in_steps_give_back_what_they_hold() {
    model(|| {
        let queue = prompt(AMPLE);
        let host = spawn_host(&queue, 2);
        let mut delivered = 0;
        while delivered < 2 {
            match step(&queue) {
                Step::Send(mut batch) => {
                    let mut before = Load::of(&batch);
                    while let Some(trace) = batch.pop() {
                        let mut after = Load::of(&batch);
                        after.bytes += 50 * batch.len();
                        queue.settle(trace.progress.flush, before, after);
                        assert_eq!(queue.ledger.lock().in_flight, after);
                        before = after;
                        delivered += 1;
                    }
                }
                Step::Sleep => block_on(queue.woken()),
                Step::Stop => break,
            }
        }
        assert_eq!(host.join().unwrap(), 2);
        check_empty(&queue);
    });
}

#[test]
fn open_traces_give_back_what_they_reserve() {
    model(|| {
        let queue = prompt(AMPLE);
        let host = spawn_host(&queue, 1);
        let open = {
            let queue = queue.clone();
            thread::spawn(move || {
                let reserved = queue.reserve(100).unwrap();
                assert!(reserved >= 100);
                queue.give_back(reserved);
            })
        };
        assert_eq!(work(&queue, 1), 1);
        open.join().unwrap();
        assert_eq!(host.join().unwrap(), 1);
        check_empty(&queue);
    });
}

#[test]
fn spans_of_threads_that_ended_stay_counted() {
    model(|| {
        let queue = prompt(AMPLE);
        let delivered = Arc::new(Tally::new(0));
        let hosts = [spawn_host(&queue, 1), spawn_host(&queue, 1)];
        let reader = {
            let (queue, delivered) = (queue.clone(), delivered.clone());
            thread::spawn(move || {
                let settled = delivered.load(Relaxed);
                let created = queue.created();
                assert!(settled <= created && created <= 2);
            })
        };
        delivered.fetch_add(work(&queue, 1), Relaxed);
        delivered.fetch_add(work(&queue, 2 - delivered.load(Relaxed)), Relaxed);
        assert_eq!(hosts.map(|host| host.join().unwrap()), [1, 1]);
        reader.join().unwrap();
        check_empty(&queue);
        assert_eq!(queue.created(), 2);
        assert!(queue.outboxes.lock().list.is_empty());
    });
}

/// What is given up for newer traces is never delivered as well, and nothing is lost between the two.
#[test]
fn what_makes_room_is_given_up_once() {
    model(|| {
        let queue = queue(Bounds {
            max_bytes: trace().size(),
            drops_oldest: true,
            ..BOUNDS
        });
        let host = {
            let queue = queue.clone();
            thread::spawn(move || {
                let host = Host::new(&queue);
                let mut given_up = 0;
                for _ in 0..2 {
                    if host.record().is_err() {
                        let evicted = queue.make_room(trace().size());
                        given_up += evicted.len() as u64;
                        queue.bury(evicted);
                        // It may be on its way, and make no room.
                        given_up += u64::from(host.put(trace()).is_err());
                    }
                }
                given_up
            })
        };
        let early = work(&queue, 1);
        let given_up = host.join().unwrap();
        assert_eq!(early + work(&queue, 2 - given_up - early) + given_up, 2);
        check_empty(&queue);
    });
}

/// A trace that begins while its attendant is about to leave is found at the latest when another begins.
#[test]
fn open_traces_do_not_stay_unattended() {
    model(|| {
        let queue = prompt(AMPLE);
        let open = Arc::new(Tally::new(0));
        let begin = || {
            let (queue, open) = (queue.clone(), open.clone());
            thread::spawn(move || {
                if queue.is_unattended() {
                    queue.attend();
                }
                open.fetch_add(1, Relaxed);
            })
        };
        queue.attend();
        let early = begin();
        let mut late = None;
        // As `sweep::attend`, with a pause for each of its sleeps, in which others get on.
        loop {
            thread::yield_now();
            match open.load(Relaxed) {
                0 => queue.leave(),
                1 => {
                    late.get_or_insert_with(begin);
                    continue;
                }
                _ => break,
            }
            thread::yield_now();
            if open.load(Relaxed) > 0 {
                queue.attend();
            }
            late.get_or_insert_with(begin);
            block_on(queue.trace_begun());
        }
        early.join().unwrap();
        late.unwrap().join().unwrap();
    });
}

#[test]
fn who_has_left_is_called_or_will_be() {
    model(|| {
        let queue = prompt(AMPLE);
        queue.leave();
        let begins = {
            let queue = queue.clone();
            thread::spawn(move || {
                if queue.is_unattended() {
                    queue.attend();
                }
            })
        };
        block_on(queue.trace_begun());
        queue.leave();
        begins.join().unwrap();
        assert!(queue.is_unattended() || queue.begun.forget());
    });
}
