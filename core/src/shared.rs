//! What the host's threads and the exporter thread of one tracer share.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::lock::Mutex;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::EnvResourceDetector;

use crate::config::Config;
use crate::diagnostics::Diagnostics;
use crate::pipeline::queue::Queue;
use crate::pipeline::stats::{Counters, Drop};
use crate::redact::Redactor;
use crate::trace::{Finished, Trace, TraceUpdate};
use crate::value::{Value, encode_key_value};

/// Created anew in every fork generation.
pub(crate) struct Shared {
    /// The number of the state that it belongs to.
    pub(crate) id: u64,
    pub(crate) config: Config,
    /// Whether the exporter takes spans of traces that are still running.
    pub(crate) takes_parts: AtomicBool,
    /// What must be taken out of spans; absent when nothing is.
    pub(crate) redactor: Option<Redactor>,
    pub(crate) queue: Queue,
    pub(crate) counters: Counters,
    pub(crate) diagnostics: Diagnostics,
    /// The fields of the OTLP `Resource` message.
    pub(crate) resource: Vec<u8>,
    /// What the memory exporter received, as JSON.
    pub(crate) memory: Mutex<VecDeque<String>>,
}

impl Shared {
    pub(crate) fn new(id: u64, config: Config) -> Arc<Self> {
        Arc::new(Shared {
            id,
            takes_parts: AtomicBool::new(false),
            queue: Queue::new(
                config.queue_bytes(),
                config.batch_bytes(),
                config.batch_spans(),
                config.batch_delay(),
            ),
            counters: Counters::default(),
            diagnostics: Diagnostics::default(),
            resource: resource(&config),
            memory: Mutex::default(),
            redactor: Redactor::from_config(&config),
            config,
        })
    }

    /// Whether what ended of a running trace is so much that it should be sent at once.
    #[inline]
    pub(crate) fn is_part(&self, trace: &Trace) -> bool {
        self.queue.is_batch(trace.waiting_bytes(), trace.ended()) && self.takes_part(trace)
    }

    /// Whether ended spans of this running trace may be sent.
    pub(crate) fn takes_part(&self, trace: &Trace) -> bool {
        trace.may_be_parted() && self.takes_parts.load(Ordering::Relaxed)
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
        if let Some(redactor) = &self.redactor {
            redactor.update(update);
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
}

/// `telemetry.sdk.*`, then `OTEL_RESOURCE_ATTRIBUTES`, then the configured service name.
fn resource(config: &Config) -> Vec<u8> {
    let mut builder = Resource::builder_empty()
        .with_attribute(opentelemetry::KeyValue::new(
            "telemetry.sdk.language",
            "rust",
        ))
        .with_attribute(opentelemetry::KeyValue::new(
            "telemetry.sdk.name",
            "mlflow-trace",
        ))
        .with_attribute(opentelemetry::KeyValue::new(
            "telemetry.sdk.version",
            crate::VERSION,
        ))
        .with_detector(Box::new(EnvResourceDetector::new()));
    if let Some(name) = config.service_name() {
        builder = builder.with_service_name(name.to_owned());
    }
    let mut fields = Vec::new();
    for (key, value) in builder.build().iter() {
        encode_key_value(&mut fields, 1, key.as_str(), Value::Str(&value.as_str()));
    }
    fields
}
