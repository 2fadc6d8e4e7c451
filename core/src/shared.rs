//! What the host's threads and the exporter thread of one tracer share.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::config::Config;
use crate::diagnostics::Diagnostics;
use crate::export::sink::Sink;
use crate::lock::Mutex;
use crate::pipeline::mirror::Mirror;
use crate::pipeline::queue::Queue;
use crate::pipeline::room::Room;
use crate::pipeline::stats::{Counters, Drop};
use crate::plugins::Plugins;
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
    pub(crate) diagnostics: Diagnostics,
    /// The fields of the OTLP `Resource` message.
    pub(crate) resource: Vec<u8>,
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
        let bytes = match mirror {
            Some(_) => Mirror::share(&config),
            None => config.queue_bytes(),
        };
        let shared = Self::lane(id, config, plugins, bytes, mirror);
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

    /// What belongs to one destination; its queue may hold so many bytes.
    pub(crate) fn lane(
        id: u64,
        config: Config,
        plugins: &Plugins,
        bytes: usize,
        mirror: Option<Mirror>,
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
            queue: Queue::new(
                bytes,
                config.batch_bytes(),
                config.batch_spans(),
                config.batch_delay(),
            ),
            counters: Counters::default(),
            diagnostics: Diagnostics::default(),
            resource: resource::message(&plugins.resource),
            sink: plugins.exporter.as_ref().map(Sink::new),
            memory: Mutex::default(),
            redactor: Redactor::from_config(&config),
            config,
        })
    }

    /// Where open traces take their bytes from.
    pub(crate) fn room(&self) -> &Room {
        match &self.mirror {
            Some(mirror) => &mirror.room,
            None => self.queue.room(),
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
        self.counters.deliver(u64::from(trace.span_count));
    }

    /// Counts a trace that can never be delivered, and says why.
    pub(crate) fn rejected(&self, trace: &mut Finished, why: &str) {
        trace.progress.settled = true;
        trace.progress.rejected = true;
        self.counters
            .drop(Drop::Rejected, u64::from(trace.span_count));
        self.diagnostics.report("rejected", || {
            format!("trace {} was refused: {why}", trace.id.to_mlflow())
        });
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
