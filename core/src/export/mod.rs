//! Where finished traces go.

pub(crate) mod experiments;
mod file;
mod gzip;
pub(crate) mod http;
mod memory;
pub(crate) mod mlflow;
mod otlp;
pub(crate) mod retry;
mod sdk;
pub(crate) mod sink;

#[cfg(fuzzing)]
pub(crate) use otlp::rejected;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::mlflow::attachment;
use crate::shared::Shared;
use crate::trace::Finished;

/// What the worker should do with the traces that an exporter left in the batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing is left, or the rest can go on at once.
    Done,
    /// Try the rest again: after this time, or by the worker's backoff.
    Retry(Option<Duration>),
    /// Keep the rest, and what else goes to this destination: it takes nothing from us, but may once we have other
    /// credentials or rights.
    Park,
    /// The tracer closed and its time is up.
    OutOfTime,
}

/// A destination. It removes from the batch, and counts, every trace that is delivered or refused
/// for good; what stays in the batch is offered again. All of a batch goes to one [`Destination`]. Several batches may be on their way at once, all on
/// the exporter thread, and never two with spans of the same trace.
pub(crate) trait Exporter {
    fn export<'a>(
        &'a self,
        batch: &'a mut Vec<Finished>,
    ) -> Pin<Box<dyn Future<Output = Verdict> + 'a>>;

    /// How many batches may be on their way at once, whatever the configuration says.
    fn max_in_flight(&self) -> usize {
        usize::MAX
    }
}

/// The exporter that the host gave, or else the one that the configuration asks for. Runs on the exporter thread.
pub(crate) fn build(shared: &Arc<Shared>) -> Box<dyn Exporter> {
    let shared = shared.clone();
    if shared.sink.is_some() {
        return Box::new(sdk::SdkExporter::new(shared));
    }
    match shared.config.exporter() {
        "mlflow" => Box::new(mlflow::MlflowExporter::new(shared)),
        "otlp" => Box::new(otlp::OtlpExporter::new(shared)),
        "memory" => Box::new(memory::MemoryExporter::new(shared)),
        "none" => Box::new(Discard(shared)),
        _ => Box::new(file::FileExporter::new(shared)),
    }
}

/// The exporter of the second destination.
pub(crate) fn collector(lane: &Arc<Shared>) -> Box<dyn Exporter> {
    Box::new(otlp::OtlpExporter::new(lane.clone()))
}

/// Leaves the attachments that spans refer to and that are as small as the configuration asks.
fn limit_attachments(trace: &mut Finished, config: &Config) {
    let Finished {
        spans,
        id,
        attachments,
        ..
    } = trace;
    attachment::drop_unreferenced(spans, attachments);
    let limit = config.attachment_limit();
    if let Some(changed) = attachment::discard_oversized(spans, id, limit, attachments) {
        *spans = changed;
    }
}

/// Puts the content of attachments into the spans, for a destination that has no place beside them.
fn keep_inline(trace: &mut Finished) {
    let attachments = std::mem::take(&mut trace.attachments);
    if let Some(spans) = attachment::put_inline(&trace.spans, &trace.id, &attachments) {
        trace.spans = spans;
    }
}

/// Takes everything and keeps nothing: for measuring what recording alone costs.
struct Discard(Arc<Shared>);

impl Exporter for Discard {
    fn export<'a>(
        &'a self,
        batch: &'a mut Vec<Finished>,
    ) -> Pin<Box<dyn Future<Output = Verdict> + 'a>> {
        for mut trace in batch.drain(..) {
            self.0.delivered(&mut trace);
        }
        Box::pin(std::future::ready(Verdict::Done))
    }
}
