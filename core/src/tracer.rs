//! The entry point: starts spans, flushes, shuts down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::client::Client;
use crate::clock::{self, Moment};
use crate::config::Config;
use crate::context::SpanContext;
use crate::destination::{self, Destination, Experiment};
use crate::diagnostics::Diagnostic;
use crate::error::{Error, ErrorKind, Recorded, Result};
use crate::id::{SpanId, TraceId};
use crate::ingest;
use crate::live::{LiveSpan, Start};
use crate::local::{self, Local};
use crate::pipeline::fork::{self, ForkCell};
use crate::pipeline::stats::{Drop as Reason, Stats};
use crate::propagation::{RANDOM, SAMPLED};
use crate::slot::{self, Locked};
use crate::span::Span;
use crate::state::State;
use crate::trace::{Opening, Trace, TraceUpdate};
use crate::value::Value;

/// The parent of a new span.
#[derive(Clone, Debug, Default)]
pub enum Parent {
    /// None: the span is the root of a new trace.
    #[default]
    None,
    /// A live span of this process. If it has ended already, the new span becomes a root.
    Span(Span),
    /// A span known by its context: of another process, or ended.
    Remote(SpanContext),
}

/// What a new span starts with.
#[derive(Clone, Debug, Default)]
pub struct SpanStart<'a> {
    /// The name.
    pub name: &'a str,
    /// The MLflow span type, `UNKNOWN` when absent.
    pub span_type: Option<&'a str>,
    /// The parent.
    pub parent: Parent,
    /// The start in nanoseconds since the Unix epoch, now when absent.
    pub start_time_ns: Option<u64>,
    /// Attributes to begin with; the last value of a key wins.
    pub attributes: &'a [(&'a str, Value<'a>)],
    /// Information of the new trace; ignored for spans that are not roots.
    pub update: Option<&'a TraceUpdate>,
    /// The experiment of the new trace instead of the tracer's; ignored for spans that are not roots
    /// and, with a message, if it is not decimal.
    pub experiment_id: Option<&'a str>,
}

impl<'a> SpanStart<'a> {
    /// A root span with a name and nothing else.
    pub fn new(name: &'a str) -> Self {
        SpanStart {
            name,
            ..SpanStart::default()
        }
    }
}

/// What a new span takes over from its trace and its parent.
struct Kin {
    trace_id: TraceId,
    parent: Option<SpanId>,
    flags: u8,
    trace_state: Option<Arc<str>>,
}

impl Kin {
    #[inline]
    fn of(parent: &LiveSpan) -> Option<Self> {
        parent.context().map(Kin::from)
    }

    #[inline]
    fn start<'a>(self, start: &SpanStart<'a>, span_id: SpanId, now: Moment) -> Start<'a> {
        Start {
            trace_id: self.trace_id,
            span_id,
            parent: self.parent,
            flags: self.flags,
            trace_state: self.trace_state,
            now,
            name: start.name,
            span_type: start.span_type,
            start_time_ns: start.start_time_ns,
            attributes: start.attributes,
        }
    }
}

impl From<SpanContext> for Kin {
    #[inline]
    fn from(parent: SpanContext) -> Self {
        Kin {
            trace_id: parent.trace_id,
            parent: Some(parent.span_id),
            flags: parent.flags,
            trace_state: parent.trace_state,
        }
    }
}

struct Inner {
    config: Config,
    /// The number of the destination. Outside the state, so that a fork's child keeps what was set after
    /// the start.
    destination: AtomicU32,
    state: ForkCell<Arc<State>>,
}

/// Records traces and exports them on a thread of its own.
///
/// Clones share everything. Any method may be called from any thread, and after a fork in the child
/// as well: the child begins with an empty queue and never sends its parent's spans.
///
/// Dropping the last clone waits for nothing: the exporter sends what has ended within
/// `shutdown.timeout_ms` on its own thread, and spans still open are counted as unfinished.
#[derive(Clone)]
pub struct Tracer(Arc<Inner>);

impl Drop for Inner {
    fn drop(&mut self) {
        let timeout = self.config.shutdown_timeout();
        let config = &self.config;
        self.state
            .get_or_init(|| State::new(config.clone()))
            .close(timeout);
    }
}

impl Tracer {
    /// Makes a tracer. Starts no thread and does no I/O; those come with the first finished trace.
    pub fn new(config: Config) -> Result<Tracer> {
        fork::install();
        clock::install();
        let destination = AtomicU32::new(destination::intern(config.destination()));
        Ok(Tracer(Arc::new(Inner {
            config,
            destination,
            state: ForkCell::new(),
        })))
    }

    fn state(&self) -> &Arc<State> {
        let config = &self.0.config;
        self.0.state.get_or_init(|| State::new(config.clone()))
    }

    /// The configuration that it was made with.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Starts a span. Never fails: after shutdown, and when a million spans are live, the handle is
    /// [`Span::NONE`] and the span is counted.
    #[inline]
    pub fn start(&self, start: SpanStart<'_>) -> Span {
        self.begin(&start, |_| ())
            .map_or(Span::NONE, |(span, ())| span)
    }

    /// As [`Self::start`], with the new span's context, which saves asking for it; `None` where `start`
    /// answers [`Span::NONE`].
    pub fn start_with_context(&self, start: SpanStart<'_>) -> Option<(Span, SpanContext)> {
        let (span, context) = self.begin(&start, LiveSpan::context)?;
        Some((span, context?))
    }

    #[inline]
    fn begin<R>(&self, start: &SpanStart<'_>, read: impl Fn(&LiveSpan) -> R) -> Option<(Span, R)> {
        let state = self.state();
        if state.is_stopped() {
            state.shared.counters.ignore(1);
            return None;
        }
        local::with(|local| {
            let now = local.anchor.now();
            local.outbox(state).create();
            match &start.parent {
                Parent::None => self.root(state, local, now, start, &read),
                Parent::Span(parent) => self.child(state, local, now, *parent, start, &read),
                Parent::Remote(context) => {
                    self.remote(state, local, now, context.clone(), start, &read)
                }
            }
        })
    }

    /// Counts a span for which there is no slot.
    #[cold]
    fn refuse<R>(state: &State) -> Option<R> {
        state.shared.counters.drop(Reason::TooManySpans, 1);
        Self::complain(state);
        None
    }

    #[cold]
    fn complain(state: &State) {
        state.shared.diagnostics.report("too_many_spans", || {
            "too many live spans; do they ever end?".into()
        });
    }

    /// The root of a new trace, which lies in the root's own slot.
    #[inline]
    fn root<R>(
        &self,
        state: &Arc<State>,
        local: &mut Local,
        now: Moment,
        start: &SpanStart<'_>,
        read: &impl Fn(&LiveSpan) -> R,
    ) -> Option<(Span, R)> {
        let id = TraceId::random(&mut local.rng);
        let span_id = SpanId::random(&mut local.rng);
        let usual = self.0.destination.load(Ordering::Relaxed);
        let number = match start.experiment_id {
            None => usual,
            Some(experiment) => Self::chosen(state, experiment, usual),
        };
        let destination = local.destination(number);
        let Some(mut locked) = slot::allocate(&mut local.free) else {
            return Self::refuse(state);
        };
        let opening = Opening {
            id,
            remote: false,
            destination,
            state,
        };
        let trace = Trace::open(&mut locked.trace, opening, local);
        if let Some(update) = start.update {
            trace.update(update);
        }
        let index = locked.index;
        locked.publish_trace(id);
        let kin = Kin {
            trace_id: id,
            parent: None,
            // "Random" is a claim about the trace id that only its maker can make.
            flags: SAMPLED | RANDOM,
            trace_state: None,
        };
        locked.live.begin(index, kin.start(start, span_id, now));
        let kept = read(&locked.live);
        Some((Span::new(locked.start_span()), kept))
    }

    /// A child of a live span.
    #[inline]
    fn child<R>(
        &self,
        state: &Arc<State>,
        local: &mut Local,
        now: Moment,
        parent: Span,
        start: &SpanStart<'_>,
        read: &impl Fn(&LiveSpan) -> R,
    ) -> Option<(Span, R)> {
        let Some(mut locked) = parent.lock() else {
            state.shared.diagnostics.report("ended_parent", || {
                "a span was started under one that had ended; it became a root".into()
            });
            return self.root(state, local, now, start, read);
        };
        let kin = Kin::of(&locked.live)?;
        let home = locked.live.home;
        let opened = match home == locked.index {
            true => Self::open_in(state, kin.trace_id, &mut locked),
            false => {
                drop(locked);
                let trace = slot::lock_trace(home, kin.trace_id);
                trace.is_some_and(|mut trace| Self::open_in(state, kin.trace_id, &mut trace))
            }
        };
        if !opened {
            // The trace was handed over meanwhile or belongs to another tracer.
            return self.join(state, local, now, kin, start, read);
        }
        self.live(state, local, now, home, kin, start, read)
    }

    /// Opens a span in the trace of a slot if it is this tracer's.
    #[inline]
    fn open_in(state: &State, id: TraceId, locked: &mut Locked) -> bool {
        let trace = locked.open_trace();
        let trace = trace.filter(|trace| trace.id == id && trace.state.id == state.id);
        trace.map(Trace::open_span).is_some()
    }

    /// A span whose parent is known by its context.
    fn remote<R>(
        &self,
        state: &Arc<State>,
        local: &mut Local,
        now: Moment,
        context: SpanContext,
        start: &SpanStart<'_>,
        read: &impl Fn(&LiveSpan) -> R,
    ) -> Option<(Span, R)> {
        self.join(state, local, now, Kin::from(context), start, read)
    }

    fn join<R>(
        &self,
        state: &Arc<State>,
        local: &mut Local,
        now: Moment,
        kin: Kin,
        start: &SpanStart<'_>,
        read: &impl Fn(&LiveSpan) -> R,
    ) -> Option<(Span, R)> {
        let destination = local.destination(self.0.destination.load(Ordering::Relaxed));
        let Some(home) = state.join(kin.trace_id, false, destination, local) else {
            return Self::refuse(state);
        };
        self.live(state, local, now, home, kin, start, read)
    }

    /// Lets a span live in a slot of its own; it is open in the trace in the slot `home`.
    #[inline]
    #[allow(clippy::too_many_arguments)]
    fn live<R>(
        &self,
        state: &Arc<State>,
        local: &mut Local,
        now: Moment,
        home: u32,
        kin: Kin,
        start: &SpanStart<'_>,
        read: &impl Fn(&LiveSpan) -> R,
    ) -> Option<(Span, R)> {
        let trace_id = kin.trace_id;
        let Some(mut locked) = slot::allocate(&mut local.free) else {
            state.lose_span(home, trace_id, Reason::TooManySpans, local);
            Self::complain(state);
            return None;
        };
        let span_id = SpanId::random(&mut local.rng);
        locked.live.begin(home, kin.start(start, span_id, now));
        let kept = read(&locked.live);
        Some((Span::new(locked.start_span()), kept))
    }

    /// The number of a destination with the experiment that a root asked for.
    #[cold]
    fn chosen(state: &State, id: &str, usual: u32) -> u32 {
        if let Err(error) = Config::new().set("experiment_id", id) {
            state
                .shared
                .diagnostics
                .report("host", || error.message().to_owned());
            return usual;
        }
        destination::intern(Destination {
            experiment: Experiment::Id(id.to_owned()),
            workspace: destination::by_number(usual).workspace.clone(),
        })
    }

    /// Changes the information of an open trace.
    pub fn update_trace(&self, id: TraceId, update: &TraceUpdate) -> Recorded {
        let state = self.state();
        let mut found = state.find(id);
        match found.as_mut().and_then(|locked| locked.open_trace()) {
            Some(trace) => {
                trace.update(update);
                Ok(())
            }
            None => {
                state.shared.counters.ignore(1);
                Err(ErrorKind::InvalidState)
            }
        }
    }

    /// Takes frames from a host that encodes its spans itself; see [`crate::ingest`]. Returns how
    /// many frames were malformed or had no open span; these are counted as ignored.
    pub fn drain(&self, frames: &[u8]) -> usize {
        let state = self.state();
        let bad = ingest::drain(state, self.0.destination.load(Ordering::Relaxed), frames);
        state.shared.counters.ignore(bad as u64);
        bad
    }

    /// Sends traces that start from now on to another experiment.
    ///
    /// Fails with `InvalidConfig` for an id that is not decimal.
    pub fn set_experiment_id(&self, id: &str) -> Result<()> {
        let mut config = Config::new();
        config.set("experiment_id", id)?;
        self.set_experiment(Experiment::Id(id.to_owned()));
        Ok(())
    }

    /// Sends traces that start from now on to the experiment of this name, which the exporter looks
    /// up, and makes if it is missing, when it first sends to it.
    pub fn set_experiment_name(&self, name: &str) -> Result<()> {
        let mut config = Config::new();
        config.set("experiment_name", name)?;
        if name.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                "option 'experiment_name': is empty",
            ));
        }
        self.set_experiment(Experiment::Name(name.to_owned()));
        Ok(())
    }

    fn set_experiment(&self, experiment: Experiment) {
        let usual = self.0.destination.load(Ordering::Relaxed);
        let number = destination::intern(Destination {
            experiment,
            workspace: destination::by_number(usual).workspace.clone(),
        });
        self.0.destination.store(number, Ordering::Relaxed);
    }

    /// A blocking client of the configured server.
    ///
    /// Fails with `InvalidConfig` where no tracking URI is set.
    pub fn client(&self) -> Result<Client> {
        Client::new(&self.0.config)
    }

    /// Waits until every trace that is complete by now was delivered or given up, at most `timeout`.
    /// Returns the spans that have ended and are still undelivered; 0 is full success.
    pub fn flush(&self, timeout: Duration) -> u64 {
        self.state().flush(timeout)
    }

    /// Ends recording and delivers what has ended within `timeout`. Returns the spans that had ended and
    /// were not delivered: 0 is full success. Calling it again gives the same answer; recording
    /// afterwards has no effect.
    pub fn shutdown(&self, timeout: Duration) -> u64 {
        self.state().shutdown(timeout)
    }

    /// The counters of this process.
    pub fn stats(&self) -> Stats {
        self.state().stats()
    }

    /// Takes the oldest message about the engine itself. There is at most one per reason in 30 s.
    pub fn next_diagnostic(&self) -> Option<Diagnostic> {
        self.state().shared.diagnostics.next()
    }

    /// Whether [`Self::next_diagnostic`] has something: one load, cheap enough for every span.
    pub fn has_diagnostics(&self) -> bool {
        self.state().shared.diagnostics.waiting()
    }

    /// Whether it was shut down.
    pub fn is_stopped(&self) -> bool {
        self.state().is_stopped()
    }

    /// Whether [`Self::next_memory_trace`] has something.
    pub(crate) fn has_memory_traces(&self) -> bool {
        !self.state().shared.memory.lock().is_empty()
    }

    /// Adds a message of the host's binding (reason `host`).
    pub fn note(&self, message: impl Into<String>) {
        self.state()
            .shared
            .diagnostics
            .report("host", || message.into());
    }

    /// Takes the oldest trace that the memory exporter received, as JSON text
    /// `{"info": TraceInfo V3 or null, "spans": [span JSON]}`. Flush first.
    pub fn next_memory_trace(&self) -> Option<String> {
        self.state().shared.memory.lock().pop_front()
    }
}
