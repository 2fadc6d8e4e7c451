//! The host's `SpanExporter` and the thread that it runs on.
//!
//! The thread is its own, not the worker's, because exporters may block, as OpenTelemetry's processors let them: the
//! worker goes on looking after open traces, and gives up in time whether or not the exporter answers. Calls follow
//! each other and never overlap.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind, Result};
use crate::lock::{Condvar, Mutex};
use crate::pipeline::fork;
use crate::plugins::ask;

/// `SpanExporter` as an object. Calls wait for their end.
trait HostExporter: Send + Sync {
    fn introduce(&mut self, resource: &Resource);
    fn send(&self, batch: Vec<SpanData>) -> OTelSdkResult;
    fn flush(&self) -> OTelSdkResult;
    fn stop(&self, timeout: Duration) -> OTelSdkResult;
}

impl<T: SpanExporter> HostExporter for T {
    fn introduce(&mut self, resource: &Resource) {
        self.set_resource(resource);
    }

    fn send(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        futures_executor::block_on(self.export(batch))
    }

    fn flush(&self) -> OTelSdkResult {
        self.force_flush()
    }

    fn stop(&self, timeout: Duration) -> OTelSdkResult {
        self.shutdown_with_timeout(timeout)
    }
}

/// The exporter that the host gave, in the process that it was given in.
pub(crate) struct Given {
    exporter: Arc<dyn HostExporter>,
    fork: u32,
}

impl Given {
    pub(crate) fn new(exporter: impl SpanExporter + 'static) -> Self {
        Given {
            exporter: Arc::new(exporter),
            fork: fork::generation(),
        }
    }

    /// Tells it the resource, before anybody uses it.
    pub(crate) fn introduce(&mut self, resource: &Resource) -> Result<()> {
        let told = Arc::get_mut(&mut self.exporter).map(|own| ask(|| own.introduce(resource)));
        let failed = || Error::new(ErrorKind::InvalidConfig, "exporter: set_resource panicked");
        told.flatten().ok_or_else(failed)
    }

    fn is_here(&self) -> bool {
        self.fork == fork::generation()
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        if !self.is_here() {
            // Dropping it could wait for a lock that nobody holds, or send what the parent will send.
            std::mem::forget(self.exporter.clone());
        }
    }
}

/// What became of a batch.
pub(super) enum Answer {
    Taken,
    /// Another attempt may help.
    Failed(String),
    Panicked,
    /// It will take nothing more.
    Shut,
}

type Call = Box<dyn FnOnce(&dyn HostExporter) + Send>;

enum Stage {
    /// It has no thread yet.
    Idle,
    Open(Sender<Call>),
    Closing,
    Closed(std::result::Result<(), String>),
}

struct Desk {
    stage: Mutex<Stage>,
    closed: Condvar,
}

/// The host's exporter as one fork generation uses it.
pub(crate) struct Sink {
    /// Absent in a fork's child. The exporter is its parent's: its locks may be held by threads that do not exist in
    /// the child, its connections are shared, and it may hold spans that the parent will send.
    exporter: Option<Arc<dyn HostExporter>>,
    desk: Arc<Desk>,
}

impl Sink {
    pub(crate) fn new(given: &Given) -> Self {
        let desk = Desk {
            stage: Mutex::new(Stage::Idle),
            closed: Condvar::default(),
        };
        Sink {
            exporter: given.is_here().then(|| given.exporter.clone()),
            desk: Arc::new(desk),
        }
    }

    /// Whether it belongs to a parent process.
    pub(super) fn is_foreign(&self) -> bool {
        self.exporter.is_none()
    }

    /// Has the thread, which is started if need be, make a call after those before it; false when it cannot.
    fn submit(&self, stage: &mut Stage, call: Call) -> bool {
        if matches!(stage, Stage::Idle)
            && let Some(calls) = self.start()
        {
            *stage = Stage::Open(calls);
        }
        matches!(stage, Stage::Open(calls) if calls.send(call).is_ok())
    }

    fn start(&self) -> Option<Sender<Call>> {
        let exporter = self.exporter.clone()?;
        let (sender, calls) = mpsc::channel::<Call>();
        // For exporters that do their I/O with tokio.
        let runtime = Handle::try_current().ok();
        let run = move || {
            let _context = runtime.as_ref().map(Handle::enter);
            for call in calls {
                call(exporter.as_ref());
            }
        };
        let thread = std::thread::Builder::new().name("mlflow-sink".into());
        thread.spawn(run).ok().map(|_| sender)
    }

    /// Hands a batch over. Whether or not the answer is waited for, the exporter gets it.
    pub(super) async fn export(&self, batch: Vec<SpanData>) -> Answer {
        let (reply, answer) = oneshot::channel();
        let call = move |exporter: &dyn HostExporter| {
            // Nobody waits any more once the tracer's time is up.
            let _ = reply.send(ask(|| exporter.send(batch)));
        };
        if !self.submit(&mut self.desk.stage.lock(), Box::new(call)) {
            return Answer::Failed("it has no thread".into());
        }
        match answer.await {
            Ok(Some(Ok(()))) => Answer::Taken,
            Ok(Some(Err(OTelSdkError::AlreadyShutdown))) => Answer::Shut,
            Ok(Some(Err(error))) => Answer::Failed(error.to_string()),
            Ok(None) | Err(_) => Answer::Panicked,
        }
    }

    /// Has it pass on what it took, and waits until `deadline` at most; says why that failed.
    pub(crate) fn flush(&self, deadline: Instant) -> std::result::Result<(), String> {
        let (reply, answer) = mpsc::channel();
        let call = move |exporter: &dyn HostExporter| {
            let _ = reply.send(outcome(ask(|| exporter.flush())));
        };
        match &*self.desk.stage.lock() {
            Stage::Open(calls) => {
                let _ = calls.send(Box::new(call));
            }
            // It took nothing yet, or everything for good.
            _ => return Ok(()),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        answer
            .recv_timeout(left)
            .unwrap_or_else(|error| match error {
                RecvTimeoutError::Timeout => Err("it did not answer in time".into()),
                RecvTimeoutError::Disconnected => Err("it has no thread".into()),
            })
    }

    /// Has it shut down after all that it was given; only the first call does.
    pub(super) fn begin_close(&self, deadline: Instant) {
        let mut stage = self.desk.stage.lock();
        if !matches!(*stage, Stage::Idle | Stage::Open(_)) {
            return;
        }
        let desk = self.desk.clone();
        let call = move |exporter: &dyn HostExporter| {
            let left = deadline.saturating_duration_since(Instant::now());
            let stopped = outcome(ask(|| exporter.stop(left)));
            *desk.stage.lock() = Stage::Closed(stopped);
            desk.closed.notify_all();
        };
        *stage = match self.submit(&mut stage, Box::new(call)) {
            true => Stage::Closing,
            false => Stage::Closed(Ok(())),
        };
    }

    /// As [`Self::begin_close`], and waits until `deadline` at most; says why that failed.
    pub(crate) fn close(&self, deadline: Instant) -> std::result::Result<(), String> {
        self.begin_close(deadline);
        let is_closed = |stage: &Stage| matches!(stage, Stage::Closed(_));
        let stage = self.desk.stage.lock();
        match &*self.desk.closed.wait_until(stage, deadline, is_closed) {
            Stage::Closed(stopped) => stopped.clone(),
            _ => Err("it did not answer in time".into()),
        }
    }
}

/// Success, or why not. One that was shut down by somebody else is as it should be.
fn outcome(answer: Option<OTelSdkResult>) -> std::result::Result<(), String> {
    match answer {
        Some(Ok(()) | Err(OTelSdkError::AlreadyShutdown)) => Ok(()),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("it panicked".into()),
    }
}
