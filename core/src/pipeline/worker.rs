//! The exporter thread: one per tracer and fork generation, started on first use.
//!
//! It owns a current-thread tokio runtime and everything that talks to the network. No other thread
//! ever runs on it or sees its client.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::dispatch;
use super::stats::Drop;
use super::sweep;
use crate::export;
use crate::shared::Shared;

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
        let exporter = export::build(shared);
        tokio::select! {
            () = dispatch::run(shared, exporter.as_ref()) => {}
            never = sweep::attend(shared) => match never {},
        }
    });
    // Name resolution may still hang on a thread of the runtime; it must not hold up the exit.
    runtime.shutdown_background();
    Ok(())
}

/// The thread is lost: what waits can never be sent, so it is counted instead of kept.
fn give_up(shared: &Shared) {
    let count = |spans| shared.counters.drop(Drop::Internal, spans);
    drop(shared.queue.give_up(count));
    shared.diagnostics.report("internal", || {
        "the exporter thread failed; nothing more will be sent".into()
    });
}
