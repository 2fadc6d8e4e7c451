//! What the host's threads and the exporter thread of one tracer share.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::config::Config;
use crate::diagnostics::Diagnostics;
use crate::export::sink::Sink;
use crate::lock::Mutex;
use crate::pipeline::depot::Depot;
use crate::pipeline::health::Monitor;
use crate::pipeline::mirror::Mirror;
use crate::pipeline::queue::{Bounds, Queue};
use crate::pipeline::stats::{Counters, Drop};
use crate::plugins::Plugins;
use crate::record::Origin;
use crate::redact::Redactor;
use crate::resource;
use crate::trace::{Finished, TraceUpdate};

/// Created anew in every fork generation.
pub(crate) struct Shared {
    /// The number of the state that it belongs to.
    pub(crate) id: u64,
    pub(crate) config: Config,
    /// Whether the exporter takes spans of traces that are still running.
    pub(crate) takes_parts: AtomicBool,
    /// Whether a destination gets attachments in the spans that refer to them, and with these.
    pub(crate) keeps_inline: bool,
    /// The second destination, where there is one.
    pub(crate) mirror: Option<Mirror>,
    /// What must be taken out of spans; absent when nothing is.
    pub(crate) redactor: Option<Redactor>,
    pub(crate) queue: Queue,
    pub(crate) counters: Counters,
    pub(crate) health: Monitor,
    pub(crate) diagnostics: Diagnostics,
    /// The fields of the OTLP `Resource` message.
    pub(crate) resource: Vec<u8>,
    /// Where what ended is kept on disk, if it is.
    pub(crate) depot: Option<Arc<Depot>>,
    /// The exporter that the host gave, where it gave one.
    pub(crate) sink: Option<Sink>,
    /// What the memory exporter received, as JSON.
    pub(crate) memory: Mutex<VecDeque<String>>,
}

impl Shared {
    pub(crate) fn new(id: u64, mut config: Config, plugins: &Plugins) -> Arc<Self> {
        // Of this tracer in this process, as its other counters.
        config.attached.odd_replies = Arc::default();
        let mirror = Mirror::new(&config, plugins);
        let mut bounds = config.bounds();
        if mirror.is_some() {
            bounds.max_bytes = Mirror::share(&config);
        }
        let depot = match plugins.exporter {
            Some(_) => None,
            None => Depot::new(&config, &resource::message(&plugins.resource)),
        };
        let shared = Self::lane(id, config, plugins, bounds, mirror, depot);
        if let Some(ignored) = shared.config.ignored() {
            shared.diagnostics.report("environment", || ignored);
        }
        if shared.config.is_insecure() && shared.config.exporter() == "mlflow" {
            shared.diagnostics.report("insecure_tls", || {
                "option 'tls.insecure': no certificate is checked; anybody on the way to the server can read and change what is sent".into()
            });
        }
        shared
    }

    /// What belongs to one destination, with these bounds of its queue.
    pub(crate) fn lane(
        id: u64,
        config: Config,
        plugins: &Plugins,
        bounds: Bounds,
        mirror: Option<Mirror>,
        depot: Option<Arc<Depot>>,
    ) -> Arc<Self> {
        let exporter = match plugins.exporter {
            Some(_) => "",
            None => config.exporter(),
        };
        Arc::new(Shared {
            id,
            // Most servers do; one that does not shows when it is asked for its version.
            takes_parts: AtomicBool::new(matches!(exporter, "mlflow" | "otlp")),
            keeps_inline: exporter == "otlp" || mirror.is_some(),
            mirror,
            depot,
            queue: Queue::new(bounds),
            health: Monitor::default(),
            counters: Counters::default(),
            diagnostics: Diagnostics::default(),
            resource: resource::message(&plugins.resource),
            sink: plugins.exporter.as_ref().map(Sink::new),
            memory: Mutex::default(),
            redactor: Redactor::from_config(&config),
            config,
        })
    }

    /// Takes at least so many bytes of the limit for an open trace; `None` when there are none left.
    #[cold]
    pub(crate) fn claim_open(&self, bytes: usize) -> Option<usize> {
        if let Some(mirror) = &self.mirror {
            return mirror.open.claim(bytes);
        }
        let claimed = self.queue.claim(bytes);
        match claimed.is_none() && self.make_room(bytes) {
            true => self.queue.claim(bytes),
            false => claimed,
        }
    }

    /// Gives them back.
    pub(crate) fn release_open(&self, bytes: usize) {
        match &self.mirror {
            Some(mirror) => mirror.open.give_back(bytes),
            None => self.queue.give_back(bytes),
        }
    }

    /// Whether ended spans of running traces may be sent.
    pub(crate) fn takes_parts(&self) -> bool {
        self.takes_parts.load(Ordering::Relaxed)
    }

    /// Takes out of a `Span` message what must not be sent; everything where a processor of the host `failed`.
    pub(crate) fn protect(&self, message: &mut Vec<u8>, failed: bool) {
        if failed {
            Redactor::fail_closed(message);
        }
        let redacted = self
            .redactor
            .as_ref()
            .map(|redactor| redactor.span(message));
        if failed || redacted.is_some_and(|outcome| outcome.failed) {
            self.counters.fail_closed();
        }
    }

    /// The same of what the host set of a trace.
    pub(crate) fn protect_update(&self, update: &mut TraceUpdate) {
        let outcome = self
            .redactor
            .as_ref()
            .map(|redactor| redactor.update(update));
        if outcome.is_some_and(|outcome| outcome.failed) {
            self.counters.fail_closed();
        }
    }

    /// Counts a trace that the destination acknowledged.
    pub(crate) fn delivered(&self, trace: &mut Finished) {
        trace.progress.settled = true;
        let counters = self.counters_of(trace.origin.as_deref());
        counters.deliver(u64::from(trace.span_count));
    }

    /// Gives up a trace that can never be delivered, and says why.
    pub(crate) fn rejected(&self, trace: &mut Finished, why: &str) {
        self.health.failed("rejected", why, false);
        self.diagnostics.report("rejected", || {
            format!("trace {} was refused: {why}", trace.id.to_mlflow())
        });
        if let Some(depot) = &self.depot {
            depot.bury(trace, &trace.spans, why);
        }
        self.park(trace, Drop::Rejected);
    }

    /// Gives up a trace for which the queue has no room.
    pub(crate) fn evicted(&self, trace: &mut Finished) {
        self.diagnostics.report("queue_full", || {
            "the queue is full; traces are dropped (queue.max_bytes, queue.max_traces)".into()
        });
        match &self.depot {
            Some(depot) if depot.rescue(trace) => depot.leave(trace),
            _ => self.park(trace, Drop::QueueFull),
        }
    }

    /// Where a full queue gives up what waited longest, has it do so for a trace of so many bytes; whether it did.
    #[cold]
    pub(crate) fn make_room(&self, bytes: usize) -> bool {
        let mut evicted = self.queue.make_room(bytes);
        evicted.iter_mut().for_each(|trace| self.evicted(trace));
        let is_some = !evicted.is_empty();
        self.queue.bury(evicted);
        is_some
    }

    /// Counts a trace that is given up. Whatever was queued and is not delivered ends here, or, when the tracer was shut
    /// down, in [`Self::abandoned`].
    fn park(&self, trace: &mut Finished, reason: Drop) {
        trace.progress.settled = true;
        trace.progress.rejected = true;
        let counters = self.counters_of(trace.origin.as_deref());
        counters.drop(reason, u64::from(trace.span_count));
    }

    /// The counters of what this process recorded, or of what it recovered.
    pub(crate) fn counters_of(&self, origin: Option<&Origin>) -> &Counters {
        match &self.depot {
            Some(depot) if origin.is_some() => &depot.recovered,
            _ => &self.counters,
        }
    }

    /// The fields of the OTLP `Resource` message of the process that recorded something.
    pub(crate) fn resource_of<'a>(&'a self, origin: Option<&'a Origin>) -> &'a [u8] {
        origin.map_or(&self.resource, |origin| &origin.resource)
    }

    /// Counts so many spans, of `traces` and others, that are given up. What is on disk, or can be put there, is left
    /// there.
    pub(crate) fn count_left<'a>(
        &self,
        reason: Drop,
        spans: u64,
        traces: impl Iterator<Item = &'a mut Finished>,
    ) {
        let (mut on_disk, mut own) = (0, 0);
        for trace in traces {
            let is_left = self.depot.as_ref().is_some_and(|depot| depot.rescue(trace));
            if !is_left {
                continue;
            }
            let spans = u64::from(trace.span_count);
            on_disk += spans;
            own += u64::from(trace.origin.is_none()) * spans;
        }
        if let Some(depot) = &self.depot {
            depot.keep(own);
        }
        self.counters.drop(reason, spans.saturating_sub(on_disk));
    }

    /// Counts a trace that a fault of its exporter lost.
    pub(crate) fn failed(&self, trace: &mut Finished) {
        self.park(trace, Drop::Internal);
        self.diagnostics.report("internal", || {
            "the exporter failed; what it had in hand is lost".into()
        });
    }

    /// Says what was left when the tracer's time was up. It was counted in the moment in which the queue closed
    /// ([`Queue::give_up`]).
    pub(crate) fn abandoned(&self) {
        let lost = self.counters.dropped(Drop::Shutdown);
        let kept = self.depot.as_ref().map_or(0, |depot| depot.spooled());
        if lost + kept == 0 {
            return;
        }
        self.diagnostics.report("shutdown", || match kept {
            0 => format!("shut down before {lost} spans could be delivered"),
            _ => format!(
                "shut down before {} spans could be delivered; {kept} of them are in the spool",
                lost + kept
            ),
        });
    }

    /// Notes that a destination took something, and says so if all is well again.
    pub(crate) fn arrived(&self, all: bool) {
        if self.health.succeeded(all) {
            let report = || "traces are delivered again".into();
            self.diagnostics.report("recovered", report);
        }
    }

    /// Notes why traces have to wait, and says so under this reason.
    pub(crate) fn delayed(&self, reason: &'static str, class: &'static str, why: &str) {
        self.health.failed(class, why, true);
        self.diagnostics.report(reason, || why.to_owned());
    }

    /// Has the host's exporter pass on what it took, until `deadline` at most.
    pub(crate) fn flush_sink(&self, deadline: Instant) {
        if let Some(Err(why)) = self.sink.as_ref().map(|sink| sink.flush(deadline)) {
            let report = || format!("the exporter could not be flushed: {why}");
            self.diagnostics.report("exporter", report);
        }
    }

    /// Has the host's exporter shut down, which happens once, and waits for it until `deadline` at most.
    pub(crate) fn close_sink(&self, deadline: Instant) {
        if let Some(Err(why)) = self.sink.as_ref().map(|sink| sink.close(deadline)) {
            let report = || format!("the exporter could not be shut down: {why}");
            self.diagnostics.report("exporter", report);
        }
    }
}
