//! The entry point: starts spans, flushes, shuts down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::builder::TracerBuilder;
use crate::client::Client;
use crate::clock;
use crate::config::Config;
use crate::context::SpanContext;
use crate::destination::{self, Destination, Experiment};
use crate::diagnostics::Diagnostic;
use crate::ending;
use crate::error::{Error, ErrorKind, Recorded, Result};
use crate::id::TraceId;
use crate::ingest::{self, HostRules};
use crate::local;
use crate::pipeline::fork::{self, ForkCell};
use crate::pipeline::health::Health;
use crate::pipeline::stats::Stats;
use crate::plugins::Plugins;
use crate::sampler::Decision;
use crate::span::Span;
use crate::start::{Answer, Starting};
use crate::state::State;
use crate::trace::TraceUpdate;
use crate::value::Value;

/// The parent of a new span.
#[derive(Clone, Debug, Default)]
pub enum Parent {
    /// None: the span is the root of a new trace.
    #[default]
    None,
    /// A live span of this process. If it has ended already, the new span becomes a root.
    Span(Span),
    /// A span known by its context: of another process, or ended. One with an id that is all zero is none.
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
    /// The start in nanoseconds since the Unix epoch, now when absent; at most `i64::MAX`, as everywhere: a
    /// server cannot store later ones.
    pub start_time_ns: Option<u64>,
    /// Overrides `sampling.ratio` for the new trace; ignored for spans that are not roots.
    pub sampling_ratio: Option<f64>,
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

struct Inner {
    config: Config,
    plugins: Arc<Plugins>,
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
            .get_or_init(|| State::new(config.clone(), self.plugins.clone()))
            .close(timeout);
    }
}

impl Tracer {
    /// Makes a tracer. Starts no thread and does no I/O; those come with the first finished trace, or at once with the
    /// option `spool`: what other processes left on disk does not wait for that.
    pub fn new(config: Config) -> Result<Tracer> {
        TracerBuilder::new(config).build()
    }

    pub(crate) fn with_plugins(config: Config, plugins: Plugins) -> Result<Tracer> {
        fork::install();
        clock::install();
        let destination = AtomicU32::new(destination::intern(config.destination()));
        let spools = config.spools();
        let tracer = Tracer(Arc::new(Inner {
            config,
            plugins: Arc::new(plugins),
            destination,
            state: ForkCell::new(),
        }));
        if spools {
            let number = tracer.0.destination.load(Ordering::Relaxed);
            tracer.state().begin(destination::by_number(number));
        }
        Ok(tracer)
    }

    #[inline]
    pub(crate) fn state(&self) -> &Arc<State> {
        let Inner {
            config, plugins, ..
        } = &*self.0;
        self.0
            .state
            .get_or_init(|| State::new(config.clone(), plugins.clone()))
    }

    /// The configuration that it was made with.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Starts a span. Never fails: after shutdown, and when a million spans are live, the handle is
    /// [`Span::NONE`] and the span is counted; where its trace is not sampled, it is [`Span::UNSAMPLED`] or
    /// a handle that records nothing.
    #[inline]
    pub fn start(&self, start: SpanStart<'_>) -> Span {
        self.begin::<()>(&start)
            .map_or(Span::NONE, |(span, ())| span)
    }

    /// As [`Self::start`], with the new span's context, which saves asking for it; `None` where `start`
    /// answers [`Span::NONE`].
    pub fn start_with_context(&self, start: SpanStart<'_>) -> Option<(Span, SpanContext)> {
        self.begin(&start)
    }

    #[inline]
    fn begin<R: Answer>(&self, start: &SpanStart<'_>) -> Option<(Span, R)> {
        let state = self.state();
        if state.is_stopped() {
            state.shared.counters.ignore(1);
            return None;
        }
        let begun = local::with(|local| {
            let starting = Starting {
                tracer: self,
                state,
                start,
            };
            match &start.parent {
                Parent::None => starting.root(local),
                Parent::Span(Span::UNSAMPLED) => Some((Span::UNSAMPLED, R::unsampled(local))),
                Parent::Span(parent) => starting.child(*parent, local),
                Parent::Remote(context) if context.is_valid() => {
                    starting.remote(context.clone(), local)
                }
                Parent::Remote(_) => starting.root(local),
            }
        });
        match &begun {
            Some((span, _)) if state.rules.hooked => ending::run_start_hooks(*span, state),
            _ => {}
        }
        if state.is_stopped() {
            // It may have begun after a shutdown looked for it.
            state.close_open_traces();
        }
        begun
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
            None if state.plugins.sampler.is_disabled() => Ok(()),
            None => {
                state.shared.counters.ignore(1);
                Err(ErrorKind::InvalidState)
            }
        }
    }

    /// What hosts that encode their spans themselves have to know.
    pub fn host_rules(&self) -> HostRules {
        HostRules::new(&self.0.config, &self.state().plugins.sampler)
    }

    /// What becomes of a trace with this root, for hosts that encode their spans themselves: they ask once
    /// for each root and announce no span of a trace that is dropped. `ratio` overrides `sampling.ratio`.
    pub fn samples(&self, id: TraceId, name: &str, ratio: Option<f64>) -> Decision {
        let sampler = &self.state().plugins.sampler;
        match sampler.takes_all() && ratio.is_none() {
            true => Decision::Sample,
            false => sampler.decide(id, name, ratio),
        }
    }

    /// Whether spans of a trace that was not sampled are recorded here all the same, because the trace is
    /// open and kept for its errors. For such hosts, about parents that are known by their context.
    pub fn keeps_errors_of(&self, id: TraceId) -> bool {
        let state = self.state();
        state.plugins.sampler.keeps_errors() && state.find(id).is_some()
    }

    /// Takes frames from a host that encodes its spans itself; see [`crate::ingest`]. Returns how
    /// many frames were malformed or had no open span; these are counted as ignored.
    pub fn drain(&self, frames: &[u8]) -> usize {
        let state = self.state();
        if state.plugins.sampler.is_disabled() {
            return 0;
        }
        let bad = ingest::drain(state, self.destination(), frames);
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

    /// The number of the destination of new traces.
    #[inline]
    pub(crate) fn destination(&self) -> u32 {
        self.0.destination.load(Ordering::Relaxed)
    }

    fn set_experiment(&self, experiment: Experiment) {
        let usual = self.destination();
        let number = destination::intern(Destination {
            experiment,
            workspace: destination::by_number(usual).workspace.clone(),
        });
        self.0.destination.store(number, Ordering::Relaxed);
    }

    /// A blocking client of the configured server, or of the files that are written where none is configured.
    pub fn client(&self) -> Client {
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

    /// How delivery goes.
    pub fn health(&self) -> Health {
        self.state().health()
    }

    /// Takes the oldest message about the engine itself. There is at most one per reason in 30 s.
    pub fn next_diagnostic(&self) -> Option<Diagnostic> {
        let shared = &self.state().shared;
        let mirror = || shared.mirror.as_ref()?.diagnostics().next();
        shared.diagnostics.next().or_else(mirror)
    }

    /// Whether [`Self::next_diagnostic`] has something: one load, cheap enough for every span.
    pub fn has_diagnostics(&self) -> bool {
        let shared = &self.state().shared;
        let mirror = shared.mirror.as_ref();
        shared.diagnostics.waiting() || mirror.is_some_and(|mirror| mirror.diagnostics().waiting())
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
