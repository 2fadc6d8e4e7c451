//! The bridge from OpenTelemetry's SDK: what its tracers record arrives in MLflow as MLflow spans. The way back, from
//! our [`Tracer`] to any exporter of the SDK, is [`TracerBuilder::exporter`](crate::TracerBuilder::exporter).
//!
//! ```no_run
//! use mlflow_trace_core::otel::MlflowSpanExporter;
//! use mlflow_trace_core::{Config, Tracer};
//! use opentelemetry_sdk::trace::SdkTracerProvider;
//!
//! # fn main() -> mlflow_trace_core::Result<()> {
//! let tracer = Tracer::new(Config::from_env()?)?;
//! let provider = SdkTracerProvider::builder()
//!     .with_batch_exporter(MlflowSpanExporter::new(tracer))
//!     .build();
//! # Ok(()) }
//! ```
//!
//! # Traces
//! OpenTelemetry hands over spans as they end, children before roots, in any number of batches. The
//! exporter keeps the spans of a trace until its root arrives and then gives the [`Tracer`] all of them as
//! one complete trace, so that MLflow's trace information (previews, token usage, sizes) covers them. Spans
//! go alone, without trace information,
//!
//! - with a span whose parent is remote: the trace is rooted in another process;
//! - when they arrive after their root;
//! - when the root has not arrived within the [wait](MlflowSpanExporter::with_root_wait), which is looked at
//!   whenever spans arrive, or when they hold more memory than half of `queue.max_bytes`;
//! - at [`SpanExporter::force_flush`] and at shutdown.
//!
//! A root that arrives after spans that went alone brings the information, computed without those.
//!
//! [`MlflowSpanProcessor`] hears of spans when they start, too: they share traces with those of the [`Tracer`], and
//! nothing waits.
//!
//! # Spans
//! Attributes of the GenAI semantic conventions go unchanged, the server translates them; attributes named
//! `mlflow.*` (`mlflow.spanType`, `mlflow.spanInputs`, ...) mean what they mean in MLflow. What OpenTelemetry
//! has no word for is added by MLflow's rules: a type, which follows from `gen_ai.operation.name` as it does on a
//! server, the log level of that type, the status OK for one that was not set.
//! Array attributes travel as JSON text, which MLflow shows as arrays. The instrumentation scope becomes
//! `otel.scope.name` and `otel.scope.version`, as OpenTelemetry asks of exporters of other formats.
//!
//! The provider's resource is not used: the tracer has its own, from `service.name` and
//! `OTEL_RESOURCE_ATTRIBUTES`.

pub(crate) mod decode;
pub(crate) mod encode;
mod ended;
mod processor;
mod span_type;
mod submit;
mod waiting;

use std::fmt;
use std::future::{Future, ready};
use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use crate::error::{Error, ErrorKind, Result};
use crate::lock::{Mutex, MutexGuard};
use crate::pipeline::fork::ForkCell;
use crate::tracer::Tracer;
use waiting::Waiting;

pub use processor::MlflowSpanProcessor;
pub(crate) use submit::translate;

/// The instrumentation scope of the spans that this library records.
pub(crate) const SCOPE_NAME: &str = "mlflow-trace";

/// How long [`SpanExporter::force_flush`] waits: what the SDK's processors allow.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// How long spans wait for their root unless [`MlflowSpanExporter::with_root_wait`] says otherwise.
const ROOT_WAIT: Duration = Duration::from_secs(300);

/// Delivers the spans of an OpenTelemetry provider through a [`Tracer`].
///
/// Exporting only queues, on the caller's thread: it neither blocks nor does I/O. Clones share everything.
/// Keep one, or a clone of the tracer, to learn what became of the spans: the SDK's batch processor passes
/// neither `force_flush` nor the answer of a shutdown on.
#[derive(Clone)]
pub struct MlflowSpanExporter(Arc<Inner>);

struct Inner {
    tracer: Tracer,
    root_wait: Duration,
    /// A fork's child must not send what its parent recorded.
    waiting: ForkCell<Mutex<Waiting>>,
}

impl MlflowSpanExporter {
    /// An exporter through this tracer, whose configuration says where the spans go.
    pub fn new(tracer: Tracer) -> Self {
        MlflowSpanExporter(Arc::new(Inner {
            tracer,
            root_wait: ROOT_WAIT,
            waiting: ForkCell::new(),
        }))
    }

    /// Sets how long spans wait for the root of their trace, five minutes otherwise. Zero sends every batch
    /// on at once. For an exporter that is not in use yet: what its clones took stays with them.
    pub fn with_root_wait(self, wait: Duration) -> Self {
        MlflowSpanExporter(Arc::new(Inner {
            tracer: self.0.tracer.clone(),
            root_wait: wait,
            waiting: ForkCell::new(),
        }))
    }

    /// Takes a batch that another program, or another language's SDK, encoded: an `ExportTraceServiceRequest` of OTLP
    /// in protobuf, not compressed. Its spans are treated as those of [`SpanExporter::export`]; a parent is remote
    /// where the span's flags say so (OTLP 1.1). The request's resource is not used. Returns how many spans there
    /// were; they are copied, and nothing blocks.
    ///
    /// Fails with `InvalidArgument` for anything else, of which nothing is taken, with `InvalidState` once the
    /// tracer is shut down, and with `Rejected` if spans were left out because their ids are zero or not unique.
    pub fn submit_otlp(&self, request: &[u8]) -> Result<usize> {
        let spans = submit::spans(request)?;
        self.0.take(&spans).map_err(|error| {
            let kind = match error {
                OTelSdkError::AlreadyShutdown => ErrorKind::InvalidState,
                _ => ErrorKind::Rejected,
            };
            Error::new(kind, error.to_string())
        })?;
        Ok(spans.len())
    }

    /// Hands over the spans that wait for their root: they go without it.
    pub fn release(&self) {
        // The tracer counts what it refuses.
        let _ = self.0.release();
    }
}

impl Inner {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        let most = self.tracer.config().bounds().max_bytes / 2;
        self.waiting
            .get_or_init(|| Mutex::new(Waiting::new(self.root_wait, most)))
            .lock()
    }

    /// Gives frames to the tracer.
    fn drain(&self, frames: &[u8]) -> OTelSdkResult {
        // Which spans are announced is known by process, and several exporters may get the same spans
        // at the same time.
        static DRAINING: ForkCell<Mutex<()>> = ForkCell::new();
        let _draining = DRAINING.get_or_init(Mutex::default).lock();
        match self.tracer.drain(frames) {
            0 => Ok(()),
            bad => Err(OTelSdkError::InternalFailure(format!(
                "{bad} messages about spans were refused"
            ))),
        }
    }

    fn take(&self, batch: &[SpanData]) -> OTelSdkResult {
        if self.tracer.is_stopped() {
            return Err(OTelSdkError::AlreadyShutdown);
        }
        // Held while draining, so that a flush finds every span either here or in the tracer.
        let mut waiting = self.waiting();
        let frames = waiting.take(batch);
        self.drain(&frames)
    }

    /// Sends what waits for its root.
    fn release(&self) -> OTelSdkResult {
        let mut waiting = self.waiting();
        let frames = waiting.release();
        self.drain(&frames)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Nobody is left to tell; the tracer counts what it refuses.
        let _ = self.release();
    }
}

/// What a flush or shutdown that left spans undelivered answers.
fn settle(undelivered: u64, started: Instant, timeout: Duration) -> OTelSdkResult {
    match undelivered {
        0 => Ok(()),
        _ if started.elapsed() >= timeout => Err(OTelSdkError::Timeout(timeout)),
        spans => Err(OTelSdkError::InternalFailure(format!(
            "{spans} ended spans are not delivered"
        ))),
    }
}

impl SpanExporter for MlflowSpanExporter {
    /// Queues spans. The work is done by the call itself, not by the future.
    ///
    /// Fails with `AlreadyShutdown` once the tracer is shut down, and with `InternalFailure` if spans were
    /// refused because their ids are zero or not unique.
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        ready(self.0.take(&batch))
    }

    /// Delivers the spans that ended, with or without their roots, waiting at most five seconds.
    ///
    /// Fails with `Timeout` if the time did not suffice and with `InternalFailure` if ended spans wait for
    /// others of their trace that are still open in the tracer.
    fn force_flush(&self) -> OTelSdkResult {
        let started = Instant::now();
        self.0.release()?;
        let undelivered = self.0.tracer.flush(FLUSH_TIMEOUT);
        settle(undelivered, started, FLUSH_TIMEOUT)
    }

    /// Delivers what ended and shuts the tracer down, for all who use it.
    ///
    /// Fails with `AlreadyShutdown` if it is, with `Timeout` if the time did not suffice, and with
    /// `InternalFailure` if spans were given up for another reason.
    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        if self.0.tracer.is_stopped() {
            return Err(OTelSdkError::AlreadyShutdown);
        }
        let started = Instant::now();
        let released = self.0.release();
        let undelivered = self.0.tracer.shutdown(timeout);
        settle(undelivered, started, timeout).and(released)
    }
}

impl fmt::Debug for MlflowSpanExporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MlflowSpanExporter")
            .field("root_wait", &self.0.root_wait)
            .field("stopped", &self.0.tracer.is_stopped())
            .finish_non_exhaustive()
    }
}
