//! The handle through which a live span is recorded.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock;
use crate::context::SpanContext;
use crate::ending;
use crate::error::{ErrorKind, Recorded};
use crate::hooks::Hooks;
use crate::id::{SpanId, TraceId};
use crate::live::LiveSpan;
use crate::local::{self, Local};
use crate::mlflow::attachment::Attachment;
use crate::mlflow::{keys, span_json};
use crate::otlp::reader::SpanData;
use crate::pipeline::fork::ForkCell;
use crate::slot::{self, Handle, Locked};
use crate::start::Answer;
use crate::trace::{Trace, TraceUpdate};
use crate::value::Value;

/// OpenTelemetry's span status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum StatusCode {
    /// Not set; becomes OK when the span ends.
    #[default]
    Unset = 0,
    /// The operation succeeded.
    Ok = 1,
    /// The operation failed.
    Error = 2,
}

/// A handle of a live span: a slot number and a generation in 64 bits.
///
/// It can be copied and used from any thread. After the span ended, every call through any copy of
/// the handle answers `InvalidState`, changes nothing and is counted; so does one that would change the span
/// while its [processors](crate::SpanProcessor) look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span(u64);

/// A stale handle names no tracer, so these are counted by process.
static IGNORED: ForkCell<AtomicU64> = ForkCell::new();

/// Recording calls of this process that had no effect.
pub(crate) fn ignored_calls() -> u64 {
    IGNORED
        .get_or_init(AtomicU64::default)
        .load(Ordering::Relaxed)
}

impl Span {
    /// The handle that stands for no span: every call answers `InvalidState`.
    pub const NONE: Span = Span(u64::MAX);

    /// The handle of the spans of a trace that began here and is not sampled: every call has no effect and
    /// is no fault, and so are its children. Its context is not kept: what it passes to other processes
    /// names a trace of its own, as unsampled.
    pub const UNSAMPLED: Span = Span(u64::MAX - 2);

    #[inline]
    pub(crate) fn new(handle: Handle) -> Self {
        Span(u64::from(handle.index) << 32 | u64::from(handle.generation))
    }

    /// The handle as a number, for other languages. Never 0.
    pub fn to_raw(self) -> u64 {
        self.0
    }

    /// A handle from its number; `None` for 0. Any other number is safe to use: one that was never
    /// given out behaves as a stale handle.
    pub fn from_raw(raw: u64) -> Option<Self> {
        (raw != 0).then_some(Span(raw))
    }

    pub(crate) fn lock(self) -> Option<Locked> {
        slot::lock(Handle {
            index: (self.0 >> 32) as u32,
            generation: self.0 as u32,
        })
    }

    #[cold]
    fn ignored() -> ErrorKind {
        IGNORED
            .get_or_init(AtomicU64::default)
            .fetch_add(1, Ordering::Relaxed);
        ErrorKind::InvalidState
    }

    /// What a call on a handle without a live span answers.
    #[cold]
    fn missed(self) -> Recorded {
        match self {
            Span::UNSAMPLED => Ok(()),
            _ => Err(Self::ignored()),
        }
    }

    #[inline]
    fn record(self, change: impl FnOnce(&mut LiveSpan)) -> Recorded {
        let Some(mut locked) = self.lock() else {
            return self.missed();
        };
        if locked.live.is_silent() {
            return Ok(());
        }
        if !locked.live.hooks.admit() {
            return Err(Self::ignored());
        }
        change(&mut locked.live);
        Ok(())
    }

    /// Whether the span is live and its trace is recorded.
    pub fn is_recording(self) -> bool {
        self.lock().is_some_and(|own| !own.live.is_silent())
    }

    /// Renames the span.
    pub fn set_name(self, name: &str) -> Recorded {
        self.record(|live| live.set_name(name))
    }

    /// Sets the MLflow span type (`mlflow.spanType`): one of the predefined ones or any other text.
    pub fn set_type(self, span_type: &str) -> Recorded {
        self.set_attribute(keys::SPAN_TYPE, Value::Str(span_type))
    }

    /// Sets the inputs (`mlflow.spanInputs`), usually [`Value::Json`].
    pub fn set_inputs(self, inputs: Value<'_>) -> Recorded {
        self.set_attribute(keys::SPAN_INPUTS, inputs)
    }

    /// Sets the outputs (`mlflow.spanOutputs`), usually [`Value::Json`].
    pub fn set_outputs(self, outputs: Value<'_>) -> Recorded {
        self.set_attribute(keys::SPAN_OUTPUTS, outputs)
    }

    /// Whether outputs were set to anything but null.
    pub fn has_outputs(self) -> bool {
        self.lock()
            .is_some_and(|own| own.live.has_attribute(keys::SPAN_OUTPUTS))
    }

    /// Sets an attribute; the last value of a key wins. An empty key is ignored.
    pub fn set_attribute(self, key: &str, value: Value<'_>) -> Recorded {
        self.record(|live| live.set_attribute(key, value))
    }

    /// Sets several attributes, as [`Self::set_attribute`] does one after the other.
    pub fn set_attributes(self, attributes: &[(&str, Value<'_>)]) -> Recorded {
        self.record(|live| {
            for (key, value) in attributes {
                live.set_attribute(key, *value);
            }
        })
    }

    /// Adds an event; `time_ns` is in nanoseconds since the Unix epoch, now when absent.
    pub fn add_event(
        self,
        name: &str,
        time_ns: Option<u64>,
        attributes: &[(&str, Value<'_>)],
    ) -> Recorded {
        self.record(|live| live.add_event(name, time_ns, attributes))
    }

    /// Adds an `exception` event (OpenTelemetry semantic conventions) and sets the status to ERROR
    /// with the message `<type_name>: <message>`.
    pub fn record_exception(self, type_name: &str, message: &str, stacktrace: &str) -> Recorded {
        self.record(|live| {
            live.add_exception(type_name, message, stacktrace);
            live.set_status(StatusCode::Error, &format!("{type_name}: {message}"));
        })
    }

    /// Links the span to another one, of this trace or any other.
    pub fn add_link(
        self,
        trace_id: TraceId,
        span_id: SpanId,
        attributes: &[(&str, Value<'_>)],
    ) -> Recorded {
        self.record(|live| live.add_link(trace_id, span_id, attributes))
    }

    /// Sets the status. The message is kept for errors only; OK is final and UNSET changes nothing.
    pub fn set_status(self, status: StatusCode, message: &str) -> Recorded {
        self.record(|live| live.set_status(status, message))
    }

    /// Ends the span now. A status that is not ERROR becomes OK.
    #[inline]
    pub fn end(self) -> Recorded {
        self.finish(None, |_| ()).or_else(|_| self.missed())
    }

    /// Ends the span at `end_time_ns` (nanoseconds since the Unix epoch), never before its start.
    pub fn end_at(self, end_time_ns: u64) -> Recorded {
        self.finish(Some(end_time_ns), |_| ())
            .or_else(|_| self.missed())
    }

    /// As [`Self::end`] or [`Self::end_at`]; returns a copy of what was recorded, which is empty for a
    /// span that is not.
    pub fn end_with_record(
        self,
        end_time_ns: Option<u64>,
    ) -> std::result::Result<SpanRecord, ErrorKind> {
        let record = |bytes: &[u8]| SpanRecord(bytes.into());
        self.finish(end_time_ns, record)
            .or_else(|_| self.missed().map(|()| record(&[])))
    }

    #[inline]
    fn finish<R>(
        self,
        end_time_ns: Option<u64>,
        keep: impl Fn(&[u8]) -> R,
    ) -> std::result::Result<R, Gone> {
        if self == Span::UNSAMPLED {
            return Err(Gone);
        }
        let now = clock::monotonic_nanos();
        let finish = |local: &mut Local| {
            let own = self.lock().ok_or(Gone)?;
            match own.live.rules.hooked && own.live.hooks != Hooks::Done {
                true => Ok(None),
                false => Ok(Some(ending::finish(own, end_time_ns, now, local, &keep))),
            }
        };
        if let Some(kept) = local::with(finish)? {
            return Ok(kept);
        }
        ending::run_hooks(self).ok_or(Gone)?;
        local::with(finish)?.ok_or(Gone)
    }

    /// Ends a span that its host seems to have forgotten, as failed.
    pub(crate) fn abandon(self, message: &str, exception: Option<&str>) -> bool {
        let fail = |live: &mut LiveSpan| {
            if let Some(type_name) = exception {
                live.add_exception(type_name, message, "");
            }
            live.set_status(StatusCode::Error, message);
        };
        self.record(fail).is_ok() && self.finish(None, |_| ()).is_ok()
    }

    /// What its children and other processes need to know; `None` after the end.
    pub fn context(self) -> Option<SpanContext> {
        self.lock()?.live.context()
    }

    /// What to pass to another process: [`Self::context`], or for [`Span::UNSAMPLED`] new ids in each call,
    /// with the flag "random" alone.
    pub fn propagation_context(self) -> Option<SpanContext> {
        match self {
            Span::UNSAMPLED => Some(local::with(Answer::unsampled)),
            live => live.context(),
        }
    }

    /// The parent's id; `None` for a root and after the end.
    pub fn parent_id(self) -> Option<SpanId> {
        self.lock()?.live.parent()
    }

    /// Changes the information of the span's trace.
    pub fn update_trace(self, update: &TraceUpdate) -> Recorded {
        self.in_trace(|trace| trace.update(update))
    }

    /// Sets what of the information of the span's trace is not set yet, for hosts that merge one trace into another.
    pub fn supplement_trace(self, update: &TraceUpdate) -> Recorded {
        self.in_trace(|trace| trace.supplement(update))
    }

    /// Stores content beside the spans of the trace. Inputs or outputs should hold its
    /// [`uri`](Attachment::uri): what no span refers to is not stored.
    pub fn attach(self, attachment: Attachment) -> Recorded {
        self.in_trace(|trace| trace.attach(attachment))
    }

    /// Has the content of the span replaced by `[redaction failed]` when it ends, for hosts that run hooks of
    /// their own: what a hook that failed should have taken out must not be sent.
    pub fn withhold(self) -> Recorded {
        self.record(LiveSpan::taint)
    }

    /// Undoes [`Self::withhold`], for hosts that withhold every span from its start: then nothing that ends
    /// without their hooks, because its trace took too long for instance, is sent with its content.
    pub fn disclose(self) -> Recorded {
        self.record(LiveSpan::clear_taint)
    }

    /// Sets what the end would set, for hosts whose hooks are to see it: a status that is not ERROR becomes
    /// OK, and a log level that was not set follows from the type.
    pub fn settle(self) -> Recorded {
        self.record(LiveSpan::settle)
    }

    /// Runs `change` on the trace while it is open.
    fn in_trace(self, change: impl FnOnce(&mut Trace)) -> Recorded {
        let Some(own) = self.lock() else {
            return self.missed();
        };
        if own.live.is_silent() {
            return Ok(());
        }
        let (home, trace_id) = (own.live.home, own.live.trace_id());
        let mut home = match home.index == own.index {
            true => Some(own),
            false => {
                drop(own);
                trace_id.and_then(|id| slot::lock_trace(home, id))
            }
        };
        let trace = home.as_mut().and_then(|home| home.open_trace());
        trace.map(change).ok_or_else(Self::ignored)
    }

    /// The span as MLflow's span JSON (attribute values are JSON text), with the end time 0; `None`
    /// after the end and for a span that is not recorded.
    pub fn snapshot(self) -> Option<serde_json::Value> {
        let own = self.lock().filter(|own| !own.live.is_silent())?;
        let bytes = own.live.preview();
        drop(own);
        SpanRecord(bytes.into()).snapshot()
    }
}

/// The handle's span is not live, or is ending.
struct Gone;

/// What a span recorded, after its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanRecord(Box<[u8]>);

impl SpanRecord {
    /// The span as MLflow's span JSON; attribute values are JSON text. `None` for a span that was not recorded.
    pub fn snapshot(&self) -> Option<serde_json::Value> {
        let bytes = Some(&self.0).filter(|bytes| !bytes.is_empty())?;
        let data = SpanData::decode(bytes).ok()?;
        Some(span_json::span(&data))
    }
}
