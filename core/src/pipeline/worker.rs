//! The exporter thread: one per tracer and fork generation, started on first use.
//!
//! It owns a current-thread tokio runtime and everything that talks to the network. No other thread
//! ever runs on it or sees its client.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::queue::Next;
use super::stats::Drop;
use super::sweep;
use crate::clock;
use crate::export::retry::Backoff;
use crate::export::{self, Exporter, Verdict};
use crate::shared::Shared;
use crate::trace::Finished;

/// A process that has recorded this many traces gets a faster clock.
const BUSY: usize = 1000;

/// Starts the thread. Fails when the system refuses one.
pub(crate) fn spawn(shared: Arc<Shared>) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name("mlflow-trace".into())
        .spawn(move || {
            let run = AssertUnwindSafe(|| run(&shared));
            if !matches!(catch_unwind(run), Ok(Ok(()))) {
                give_up(&shared);
            }
        })
        .map(|_| ())
}

fn run(shared: &Arc<Shared>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut exporter = export::build(shared);
        let deliver = async {
            let mut traces = 0;
            while let Some(batch) = next_batch(shared).await {
                traces += batch.len();
                send(shared, exporter.as_mut(), batch).await;
                if traces >= BUSY {
                    clock::calibrate();
                }
            }
        };
        tokio::select! {
            () = deliver => {}
            never = sweep::attend(shared) => match never {},
        }
    });
    // Name resolution may still hang on a thread of the runtime; it must not hold up the exit.
    runtime.shutdown_background();
    Ok(())
}

/// The thread is lost: what waits can never be sent, so it is counted instead of kept.
fn give_up(shared: &Shared) {
    let in_flight = shared.queue.in_flight();
    let count = |spans| shared.counters.drop(Drop::Internal, spans);
    shared.queue.give_up(in_flight, count);
    shared.diagnostics.report("internal", || {
        "the exporter thread failed; nothing more will be sent".into()
    });
}

async fn next_batch(shared: &Shared) -> Option<Vec<Finished>> {
    loop {
        match shared.queue.next() {
            // Exporters that never wait are not interrupted; the time is up for them as well.
            Next::Send(batch) if is_late(shared) => {
                abandon(shared, batch);
                return None;
            }
            Next::Send(batch) => return Some(batch),
            Next::Stop => return None,
            Next::Sleep(None) => shared.queue.woken().await,
            Next::Sleep(Some(limit)) => {
                let _ = tokio::time::timeout(limit, shared.queue.woken()).await;
            }
        }
    }
}

fn is_late(shared: &Shared) -> bool {
    shared
        .queue
        .closing()
        .is_some_and(|deadline| deadline <= Instant::now())
}

/// Sends a batch until nothing of it is left: delivered, refused, or given up at shutdown.
async fn send(shared: &Shared, exporter: &mut dyn Exporter, batch: Vec<Finished>) {
    let mut sending = Sending { shared, batch };
    let batch = &mut sending.batch;
    let mut backoff = Backoff::default();
    while !batch.is_empty() {
        let before = batch.len();
        let flushes = shared.queue.flushes();
        let verdict = attempt(shared, exporter, batch).await;
        settle(shared, before, batch);
        let after = match verdict {
            Verdict::Done => continue,
            Verdict::Retry(after) => after,
            Verdict::OutOfTime => return abandon(shared, std::mem::take(batch)),
        };
        if batch.len() < before {
            backoff = Backoff::default();
        }
        if shared.queue.closing().is_some() {
            return abandon(shared, std::mem::take(batch));
        }
        pause(shared, after.unwrap_or_else(|| backoff.next()), flushes).await;
    }
}

/// A batch on its way. After a panic of the exporter only what is not counted yet stays in flight.
struct Sending<'a> {
    shared: &'a Shared,
    batch: Vec<Finished>,
}

impl std::ops::Drop for Sending<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let before = self.batch.len();
            self.batch.retain(|trace| !trace.progress.settled);
            settle(self.shared, before, &self.batch);
        }
    }
}

/// One pass of the exporter, cut off when the tracer closes and its time is up.
async fn attempt(
    shared: &Shared,
    exporter: &mut dyn Exporter,
    batch: &mut Vec<Finished>,
) -> Verdict {
    let out_of_time = async {
        loop {
            match shared.queue.closing() {
                Some(deadline) => return tokio::time::sleep_until(deadline.into()).await,
                None => shared.queue.woken().await,
            }
        }
    };
    tokio::select! {
        biased;
        verdict = exporter.export(batch) => verdict,
        () = out_of_time => Verdict::OutOfTime,
    }
}

fn settle(shared: &Shared, before: usize, batch: &[Finished]) {
    let bytes = batch.iter().map(Finished::size).sum();
    let spans = batch.iter().map(|trace| u64::from(trace.span_count)).sum();
    shared.queue.settle(before - batch.len(), bytes, spans);
}

/// Waits before the next attempt; a new flush or a shutdown ends the wait.
async fn pause(shared: &Shared, length: Duration, flushes: u64) {
    let until = Instant::now() + length;
    while shared.queue.closing().is_none() && shared.queue.flushes() == flushes {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero()
            || tokio::time::timeout(left, shared.queue.woken())
                .await
                .is_err()
        {
            return;
        }
    }
}

/// The tracer is closing and the destination did not take these.
fn abandon(shared: &Shared, batch: Vec<Finished>) {
    let left = batch.iter().filter(|trace| !trace.progress.settled);
    let in_flight = left.map(|trace| u64::from(trace.span_count)).sum();
    let count = |spans| shared.counters.drop(Drop::Shutdown, spans);
    let spans = shared.queue.give_up(in_flight, count);
    shared.diagnostics.report("shutdown", || {
        format!("shut down before {spans} spans could be delivered")
    });
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use super::*;
    use crate::finished::Progress;
    use crate::id::TraceId;
    use crate::pipeline::outbox::Outbox;
    use crate::{Config, TracerBuilder, destination};

    /// Fails after the first trace of a batch.
    struct Failing(Arc<Shared>);

    impl Exporter for Failing {
        fn export<'a>(
            &'a mut self,
            batch: &'a mut Vec<Finished>,
        ) -> Pin<Box<dyn Future<Output = Verdict> + 'a>> {
            self.0.delivered(&mut batch[0]);
            panic!("a fault of the exporter");
        }
    }

    fn trace() -> Finished {
        Finished {
            id: TraceId::generate(),
            destination: destination::by_number(0),
            has_info: true,
            earlier: 0,
            goes_on: false,
            attachments: Vec::new(),
            update: None,
            spans: Vec::new(),
            span_count: 1,
            progress: Progress::default(),
        }
    }

    #[test]
    fn what_an_exporter_leaves_when_it_fails_is_counted_once() {
        let mut config = Config::new();
        config.set("batch.delay_ms", "0").unwrap();
        let (config, plugins) = TracerBuilder::new(config).into_parts();
        let shared = Shared::new(0, config, &plugins);
        let outbox = Arc::new(Outbox::default());
        shared.queue.register(outbox.clone());
        for _ in 0..3 {
            outbox.create();
            let size = trace().size();
            assert_eq!(outbox.push(&shared.queue, size, 1, trace), Ok(()));
        }
        let Next::Send(batch) = shared.queue.next() else {
            panic!("nothing to send");
        };
        let mut exporter = Failing(shared.clone());
        let sent = AssertUnwindSafe(|| {
            futures_executor::block_on(send(&shared, &mut exporter, batch));
        });
        assert!(catch_unwind(sent).is_err());
        give_up(&shared);
        let stats = shared.counters.read(|| shared.queue.created());
        let counted = (stats.created, stats.delivered, stats.dropped_total());
        assert_eq!(counted, (3, 1, 2));
    }
}
