//! The entry point: starts spans, flushes, shuts down.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::client::Client;
use crate::clock;
use crate::config::Config;
use crate::context::SpanContext;
use crate::diagnostics::Diagnostic;
use crate::error::{Error, ErrorKind, Recorded, Result};
use crate::id::TraceId;
use crate::ingest;
use crate::live::Start;
use crate::pipeline::fork::{self, ForkCell};
use crate::pipeline::stats::{Drop as Reason, Stats};
use crate::slot;
use crate::span::Span;
use crate::state::State;
use crate::trace::{Destination, Experiment, Trace, TraceUpdate};

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

struct Inner {
    config: Config,
    /// Outside the state, so that a fork's child keeps what was set after the start.
    destination: ArcSwap<Destination>,
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
        let destination = ArcSwap::from_pointee(config.destination());
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
    pub fn start(&self, start: SpanStart<'_>) -> Span {
        self.start_with_context(start)
            .map_or(Span::NONE, |(span, _)| span)
    }

    /// As [`Self::start`], with the new span's context, which saves asking for it; `None` where `start`
    /// answers [`Span::NONE`].
    pub fn start_with_context(&self, start: SpanStart<'_>) -> Option<(Span, SpanContext)> {
        let state = self.state();
        if state.is_stopped() {
            state.shared.counters.ignore(1);
            return None;
        }
        state.shared.counters.create();
        let (trace, parent) = self.place(state, start.parent, start.update, start.experiment_id);
        let opened = trace.clone();
        let mut context = None;
        let handle = slot::allocate(|live| {
            live.begin(Start {
                trace,
                parent: parent.as_ref().map(|parent| (parent.span_id, parent.flags)),
                trace_state: parent.and_then(|parent| parent.trace_state),
                name: start.name,
                span_type: start.span_type,
                start_time_ns: start.start_time_ns,
            });
            context = live.context();
        });
        if handle.is_none() {
            Self::refuse(state, &opened);
        }
        Some((Span::new(handle?), context?))
    }

    #[cold]
    fn refuse(state: &State, trace: &Arc<Trace>) {
        state.lose_span(trace, Reason::TooManySpans);
        state.shared.diagnostics.report("too_many_spans", || {
            "too many live spans; do they ever end?".into()
        });
    }

    /// The trace of a new span, with the span counted as open in it.
    fn place(
        &self,
        state: &Arc<State>,
        parent: Parent,
        update: Option<&TraceUpdate>,
        experiment_id: Option<&str>,
    ) -> (Arc<Trace>, Option<SpanContext>) {
        let context = match parent {
            Parent::None => None,
            Parent::Remote(context) => Some(context),
            Parent::Span(span) => match Self::adopt(state, span) {
                Some(Ok((trace, context))) => return (trace, Some(context)),
                Some(Err(context)) => Some(context),
                None => {
                    state.shared.diagnostics.report("ended_parent", || {
                        "a span was started under one that had ended; it became a root".into()
                    });
                    None
                }
            },
        };
        let destination = self.0.destination.load();
        match context {
            Some(context) => (state.join(context.trace_id, &destination), Some(context)),
            None => {
                let chosen = experiment_id.and_then(|id| Self::chosen(state, id, &destination));
                let destination = chosen.unwrap_or_else(|| destination.clone());
                let trace = Trace::new(TraceId::generate(), false, destination, state.clone());
                if let Some(update) = update {
                    trace.update(update);
                }
                (state.open_trace(trace), None)
            }
        }
    }

    /// A destination with the experiment that a root asked for.
    fn chosen(state: &State, id: &str, usual: &Destination) -> Option<Arc<Destination>> {
        if let Err(error) = Config::new().set("experiment_id", id) {
            state
                .shared
                .diagnostics
                .report("host", || error.message().to_owned());
            return None;
        }
        Some(Arc::new(Destination {
            experiment: Experiment::Id(id.to_owned()),
            workspace: usual.workspace.clone(),
        }))
    }

    /// The trace of a live parent of this tracer with one more span open; only the context where
    /// the trace was handed over meanwhile or belongs to another tracer; `None` for a stale handle.
    #[allow(clippy::type_complexity)]
    fn adopt(
        state: &Arc<State>,
        span: Span,
    ) -> Option<std::result::Result<(Arc<Trace>, SpanContext), SpanContext>> {
        let live = span.lock()?;
        let context = live.context()?;
        let trace = live.trace()?;
        Some(
            match Arc::ptr_eq(&trace.state, state) && trace.open_span() {
                true => Ok((trace.clone(), context)),
                false => Err(context),
            },
        )
    }

    /// Changes the information of an open trace.
    pub fn update_trace(&self, id: TraceId, update: &TraceUpdate) -> Recorded {
        let state = self.state();
        match state.find(id) {
            Some(trace) if trace.update(update) => Ok(()),
            _ => {
                state.shared.counters.ignore(1);
                Err(ErrorKind::InvalidState)
            }
        }
    }

    /// Takes frames from a host that encodes its spans itself; see [`crate::ingest`]. Returns how
    /// many frames were malformed or had no open span; these are counted as ignored.
    pub fn drain(&self, frames: &[u8]) -> usize {
        let state = self.state();
        let bad = ingest::drain(state, &self.0.destination.load(), frames);
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
        let workspace = self.0.destination.load().workspace.clone();
        self.0.destination.store(Arc::new(Destination {
            experiment,
            workspace,
        }));
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
