//! The exporter thread: one per tracer and fork generation, started on first use.
//!
//! It owns a current-thread tokio runtime and everything that talks to the network. No other thread
//! ever runs on it or sees its client.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::dispatch;
use super::stats::Drop;
use super::{recovery, signals, sweep};
use crate::export::{self, Exporter};
use crate::finished::Finished;
use crate::shared::Shared;

/// Starts the thread. Fails when the system refuses one.
pub(crate) fn spawn(shared: Arc<Shared>) -> std::io::Result<()> {
    let work = move || {
        let run = AssertUnwindSafe(|| run(&shared));
        if !matches!(catch_unwind(run), Ok(Ok(()))) {
            give_up(&shared);
        }
    };
    let thread = std::thread::Builder::new().name("mlflow-trace".into());
    signals::start_without(|| thread.spawn(work)).map(|_| ())
}

fn run(shared: &Arc<Shared>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let deliver = deliver(shared, export::build(shared));
        let mirror = async {
            if let Some(mirror) = &shared.mirror {
                mirror.deliver().await;
            }
        };
        tokio::select! {
            ((), ()) = async { tokio::join!(deliver, mirror) } => {}
            never = sweep::attend(shared) => match never {},
            never = recovery::attend(shared) => match never {},
        }
        if let Some(depot) = &shared.depot {
            depot.close(&shared.counters);
        }
    });
    // Name resolution may still hang on a thread of the runtime; it must not hold up the exit.
    runtime.shutdown_background();
    Ok(())
}

/// Sends what comes until the tracer closes.
pub(super) async fn deliver(shared: &Shared, exporter: Box<dyn Exporter>) {
    dispatch::run(shared, exporter.as_ref()).await;
}

/// The thread is lost: what waits can never be sent, so it is counted instead of kept.
pub(super) fn give_up(shared: &Shared) {
    let count = |spans, left: &mut [Finished]| {
        shared.count_left(Drop::Internal, spans, left.iter_mut());
    };
    drop(shared.queue.give_up(count));
    shared.diagnostics.report("internal", || {
        "the exporter thread failed; nothing more will be sent".into()
    });
    if let Some(mirror) = &shared.mirror {
        mirror.give_up();
    }
    if let Some(depot) = &shared.depot {
        depot.close(&shared.counters);
    }
}
