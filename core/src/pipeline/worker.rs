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

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use super::*;
    use crate::export::{Exporter, Verdict};
    use crate::finished::{Finished, Progress};
    use crate::id::TraceId;
    use crate::pipeline::outbox::Outbox;
    use crate::{Config, TracerBuilder, destination};

    /// Takes the first trace of a batch, and fails at that in its second one.
    struct Failing(Arc<Shared>);

    impl Exporter for Failing {
        fn export<'a>(
            &'a self,
            batch: &'a mut Vec<Finished>,
        ) -> Pin<Box<dyn Future<Output = Verdict> + 'a>> {
            Box::pin(async move {
                self.0.delivered(&mut batch[0]);
                assert_ne!(batch.len(), 3, "a fault of the exporter");
                Verdict::Retry(None)
            })
        }
    }

    fn trace(experiment: &str) -> Finished {
        let destination = crate::trace::Destination {
            experiment: crate::trace::Experiment::Id(experiment.to_owned()),
            workspace: None,
        };
        Finished {
            id: TraceId::generate(),
            destination: destination::by_number(destination::intern(destination)),
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
        for experiment in ["1", "1", "2", "2", "2"] {
            outbox.create();
            let size = trace(experiment).size();
            let pushed = outbox.push(&shared.queue, size, 1, || trace(experiment));
            assert_eq!(pushed, Ok(()));
        }
        let run = AssertUnwindSafe(|| {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().unwrap();
            runtime.block_on(dispatch::run(&shared, &Failing(shared.clone())));
        });
        assert!(catch_unwind(run).is_err());
        give_up(&shared);
        let stats = shared.counters.read(|| shared.queue.created());
        let counted = (stats.created, stats.delivered, stats.dropped_total());
        assert_eq!(counted, (5, 2, 3));
    }
}
