//! Flushes, the close, and what is given up at it.

use super::*;
use crate::pipeline::stats::Counters;

#[test]
fn what_is_taken_before_the_close_is_delivered() {
    model(|| {
        let queue = prompt(AMPLE);
        let host = spawn_host(&queue, 2);
        let closing = {
            let queue = queue.clone();
            thread::spawn(move || queue.close(later()))
        };
        let delivered = work(&queue, u64::MAX);
        closing.join().unwrap();
        assert_eq!(host.join().unwrap(), delivered);
        assert_eq!(Host::new(&queue).record(), Err(stats::Drop::Shutdown));
        check_empty(&queue);
    });
}

#[test]
fn what_a_worker_gives_up_is_counted() {
    model(|| {
        let queue = prompt(AMPLE);
        let hosts = [spawn_host(&queue, 1), spawn_host(&queue, 1)];
        let mut counted = work(&queue, 1);
        queue.give_up(|spans, _| counted += spans);
        let taken: u64 = hosts.map(|host| host.join().unwrap()).into_iter().sum();
        assert_eq!(taken, counted);
        check_empty(&queue);
    });
}

/// At every moment no more spans are settled than were started, and in the end every one is, once.
#[test]
fn every_span_is_counted_once() {
    model(|| {
        let queue = prompt(AMPLE);
        let counters = Arc::new(Counters::default());
        let host = {
            let (queue, counters) = (queue.clone(), counters.clone());
            thread::spawn(move || {
                let host = Host::new(&queue);
                for _ in 0..2 {
                    if let Err(reason) = host.record() {
                        Counters::drop(&counters, reason, 1);
                    }
                }
            })
        };
        let worker = {
            let (queue, counters) = (queue.clone(), counters.clone());
            thread::spawn(move || {
                loop {
                    match step(&queue) {
                        // As a worker whose time is up.
                        Step::Send(_) if queue.closing().is_some() => {
                            let count = |spans, _: &mut [_]| {
                                Counters::drop(&counters, stats::Drop::Shutdown, spans);
                            };
                            queue.give_up(count);
                            break;
                        }
                        Step::Send(batch) => {
                            counters.deliver(batch.len() as u64);
                            settle(&queue, &batch);
                        }
                        Step::Sleep => block_on(queue.woken()),
                        Step::Stop => break,
                    }
                }
            })
        };
        let settled = |stats: &stats::Stats| stats.delivered + stats.dropped_total();
        let stats = counters.read(|| queue.created());
        assert!(settled(&stats) <= stats.created);
        queue.close(later());
        assert_eq!(queue.wait_stopped(later(), |left| left), 0);
        host.join().unwrap();
        worker.join().unwrap();
        let stats = counters.read(|| queue.created());
        assert_eq!((stats.created, settled(&stats)), (2, 2));
        check_empty(&queue);
    });
}

/// A worker that waits for the next attempt hears of a flush, and of the end.
#[test]
fn a_flush_and_the_end_are_heard_between_attempts() {
    for ends in [false, true] {
        model(move || {
            let queue = prompt(AMPLE);
            let host = Host::new(&queue);
            host.record().unwrap();
            let worker = {
                let queue = queue.clone();
                thread::spawn(move || {
                    let Step::Send(batch) = step(&queue) else {
                        unreachable!();
                    };
                    // As the dispatcher, whose timers never fire here.
                    loop {
                        let view = queue.look().unwrap();
                        if view.flushes > 0 || view.closing.is_some() {
                            break;
                        }
                        block_on(queue.woken());
                    }
                    settle(&queue, &batch);
                    assert_eq!(work(&queue, u64::MAX), 0);
                })
            };
            if !ends {
                assert_eq!(queue.flush(later()), 0);
            }
            queue.close(later());
            assert_eq!(queue.wait_stopped(later(), |left| left), 0);
            worker.join().unwrap();
            check_empty(&queue);
        });
    }
}

#[test]
fn a_shutdown_is_seen_by_who_waits_for_it() {
    model(|| {
        let queue = prompt(AMPLE);
        let host = Host::new(&queue);
        host.record().unwrap();
        let worker = {
            let queue = queue.clone();
            thread::spawn(move || work(&queue, u64::MAX))
        };
        queue.close(later());
        assert_eq!(queue.wait_stopped(later(), |left| left), 0);
        assert_eq!(worker.join().unwrap(), 1);
    });
}

#[test]
fn a_flush_waits_for_what_came_before_it() {
    model(|| {
        let queue = patient(100);
        let delivered = Arc::new(Tally::new(0));
        let worker = {
            let (queue, delivered) = (queue.clone(), delivered.clone());
            thread::spawn(move || {
                loop {
                    match step(&queue) {
                        Step::Send(batch) => {
                            delivered.fetch_add(batch.len() as u64, Relaxed);
                            settle(&queue, &batch);
                        }
                        Step::Sleep => block_on(queue.woken()),
                        Step::Stop => break,
                    }
                }
            })
        };
        let host = Host::new(&queue);
        host.record().unwrap();
        assert_eq!(queue.flush(later()), 0);
        assert_eq!(delivered.load(Relaxed), 1);
        queue.close(later());
        worker.join().unwrap();
    });
}

#[test]
fn flushes_of_two_threads_end() {
    model(|| {
        let queue = patient(100);
        let flushes = [1, 2].map(|_| {
            let queue = queue.clone();
            thread::spawn(move || {
                let host = Host::new(&queue);
                host.record().unwrap();
                queue.flush(later());
                assert!(queue.ledger.lock().flushed >= 1);
            })
        });
        work(&queue, 2);
        // The second flush may have come when nothing was left to send.
        let last = {
            let queue = queue.clone();
            thread::spawn(move || work(&queue, u64::MAX))
        };
        for flush in flushes {
            flush.join().unwrap();
        }
        queue.close(later());
        last.join().unwrap();
        check_empty(&queue);
    });
}

/// Batches are settled in any order; a flush waits for all that came before it.
#[test]
fn a_flush_waits_for_every_batch_in_flight() {
    model(|| {
        let queue = prompt(AMPLE);
        let host = Host::new(&queue);
        let mut batches = Vec::new();
        for _ in 0..2 {
            host.record().unwrap();
            match step(&queue) {
                Step::Send(batch) => batches.push(batch),
                _ => unreachable!(),
            }
        }
        let settled = Arc::new(Tally::new(0));
        let flush = {
            let (queue, settled) = (queue.clone(), settled.clone());
            thread::spawn(move || {
                assert_eq!(queue.flush(later()), 0);
                assert_eq!(settled.load(Relaxed), 2);
            })
        };
        let worker = {
            let queue = queue.clone();
            thread::spawn(move || {
                for batch in batches.iter().rev() {
                    settled.fetch_add(1, Relaxed);
                    settle(&queue, batch);
                }
                assert_eq!(work(&queue, u64::MAX), 0);
            })
        };
        flush.join().unwrap();
        queue.close(later());
        worker.join().unwrap();
        check_empty(&queue);
    });
}
