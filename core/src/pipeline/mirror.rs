//! Dual export: a collector gets a copy of what goes elsewhere.
//!
//! The copies have a lane of their own: queue, batches, backoff, counters. The two lanes share the thread and nothing
//! that can run out, so that a destination that is away neither delays nor drops what goes to the other. The limit of
//! bytes is therefore divided, in thirds: for open traces, for each lane.

use std::sync::Arc;
use std::time::Instant;

use super::allowance::Allowance;
use super::queue::Bounds;
use super::stats::{Drop, MirrorStats};
use super::worker;
use crate::config::Config;
use crate::export;
use crate::finished::Finished;
use crate::local::Local;
use crate::plugins::Plugins;
use crate::shared::Shared;
use crate::state;

pub(crate) struct Mirror {
    /// What the exporter thread needs of the second lane. Its spans are copies, and counted by themselves.
    lane: Arc<Shared>,
    /// For open traces.
    pub(crate) open: Allowance,
}

impl Mirror {
    /// The part of the limit that each of the three has.
    pub(crate) fn share(config: &Config) -> usize {
        config.bounds().max_bytes / 3
    }

    /// The second lane, where the configuration asks for one and the host did not bring an exporter.
    pub(crate) fn new(config: &Config, plugins: &Plugins) -> Option<Self> {
        if plugins.exporter.is_some() || !config.mirrors() {
            return None;
        }
        let bounds = Bounds {
            max_bytes: Self::share(config),
            one_lane: true,
            ..config.bounds()
        };
        Some(Mirror {
            lane: Shared::lane(
                state::next_id(),
                config.clone(),
                plugins,
                bounds,
                None,
                None,
            ),
            open: Allowance::new(bounds.max_bytes),
        })
    }

    /// Queues a copy of a trace on the thread that hands it over.
    pub(crate) fn offer(&self, trace: &Finished, local: &mut Local) {
        let spans = u64::from(trace.span_count);
        if spans == 0 {
            return;
        }
        let Shared {
            id,
            queue,
            counters,
            diagnostics,
            ..
        } = &*self.lane;
        let outbox = local.outbox_of(*id, queue);
        outbox.create(spans);
        let copy = trace.copy();
        if let Err(reason) = outbox.push(queue, copy.size(), spans, |_| Some(copy)) {
            counters.drop(reason, spans);
            diagnostics.report("queue_full", || {
                "the queue for the collector is full; it misses traces (queue.max_bytes)".into()
            });
        }
    }

    /// Delivers the copies until the tracer closes.
    pub(super) async fn deliver(&self) {
        worker::deliver(&self.lane, export::collector(&self.lane)).await;
    }

    /// As the worker's, when its thread is lost.
    pub(super) fn give_up(&self) {
        worker::give_up(&self.lane);
    }

    /// Asks for an attempt at once, for who is going to wait with [`Self::flush`].
    pub(crate) fn urge(&self) {
        self.lane.queue.flush(Instant::now());
    }

    /// Waits until everything put in so far is settled; returns the spans that are not.
    pub(crate) fn flush(&self, deadline: Instant) -> u64 {
        self.lane.queue.flush(deadline)
    }

    pub(crate) fn close(&self, deadline: Instant) {
        self.lane.queue.close(deadline);
    }

    /// Refuses everything from now on; there is no thread.
    pub(crate) fn end(&self) {
        drop(self.lane.queue.give_up(|_, _| ()));
    }

    /// Waits for the end of the deliveries; returns the spans that were not delivered.
    pub(crate) fn wait_stopped(&self, deadline: Instant) -> u64 {
        let given_up = || self.lane.counters.dropped(Drop::Shutdown);
        let queue = &self.lane.queue;
        queue.wait_stopped(deadline, |waiting| waiting + given_up())
    }

    pub(crate) fn stats(&self) -> MirrorStats {
        let stats = self.lane.counters.read(|| self.lane.queue.created());
        MirrorStats {
            created: stats.created,
            delivered: stats.delivered,
            pending: stats.pending,
            dropped: stats.dropped,
        }
    }

    /// The lane's own messages.
    pub(crate) fn diagnostics(&self) -> &crate::diagnostics::Diagnostics {
        &self.lane.diagnostics
    }
}
