//! How a span starts: as a root, under a live span, or under a context.

use std::sync::Arc;

use crate::clock::Moment;
use crate::config::Config;
use crate::context::SpanContext;
use crate::destination::{self, Destination, Experiment};
use crate::id::{SpanId, TraceId};
use crate::live::{LiveSpan, Start};
use crate::local::Local;
use crate::pipeline::stats::Drop;
use crate::propagation::{RANDOM, SAMPLED};
use crate::sampler::Decision;
use crate::slot::{self, Locked, Site};
use crate::span::Span;
use crate::state::State;
use crate::trace::{Opening, Trace};
use crate::tracer::{SpanStart, Tracer};

/// What the caller wants to know of a new span.
pub(crate) trait Answer: Sized {
    fn of(span: &LiveSpan) -> Option<Self>;

    /// Of a span in a trace that began here and is not recorded.
    fn unsampled(local: &mut Local) -> Self;
}

impl Answer for () {
    fn of(_span: &LiveSpan) -> Option<Self> {
        Some(())
    }

    fn unsampled(_local: &mut Local) -> Self {}
}

impl Answer for SpanContext {
    fn of(span: &LiveSpan) -> Option<Self> {
        span.context()
    }

    fn unsampled(local: &mut Local) -> Self {
        SpanContext {
            trace_id: TraceId::random(&mut local.rng),
            span_id: SpanId::random(&mut local.rng),
            flags: RANDOM,
            trace_state: None,
            remote: false,
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

/// A span about to start.
pub(crate) struct Starting<'a> {
    pub(crate) tracer: &'a Tracer,
    pub(crate) state: &'a Arc<State>,
    pub(crate) start: &'a SpanStart<'a>,
}

impl Starting<'_> {
    /// The root of a new trace, which lies in the root's own slot.
    #[inline]
    pub(crate) fn root<R: Answer>(&self, local: &mut Local) -> Option<(Span, R)> {
        let Starting { state, start, .. } = self;
        let plugins = &state.plugins;
        let id = plugins.trace_id(local);
        let decision = match plugins.sampler.takes_all() && start.sampling_ratio.is_none() {
            true => Decision::Sample,
            false => plugins.sampler.decide(id, start.name, start.sampling_ratio),
        };
        if decision == Decision::Drop {
            return Some((Span::UNSAMPLED, R::unsampled(local)));
        }
        state.attend();
        local.outbox(state).create(1);
        let now = local.anchor.now();
        let destination = local.destination(self.destination());
        let Some(mut locked) = slot::allocate(&mut local.free) else {
            return self.refuse();
        };
        let opening = Opening {
            id,
            remote: false,
            only_errors: decision == Decision::KeepErrors,
            destination,
            state,
            now: now.monotonic,
        };
        let trace = Trace::open(&mut locked.trace, opening);
        if let Some(update) = start.update {
            trace.update(update);
        }
        locked.publish_trace(id);
        let kin = Kin {
            trace_id: id,
            parent: None,
            // "Random" is a claim about the trace id that only its maker can make.
            flags: match decision {
                Decision::Sample => SAMPLED | RANDOM,
                _ => RANDOM,
            },
            trace_state: None,
        };
        self.live(locked, None, kin, now, local)
    }

    /// A child of a live span.
    #[inline]
    pub(crate) fn child<R: Answer>(&self, parent: Span, local: &mut Local) -> Option<(Span, R)> {
        let Some(mut locked) = parent.lock() else {
            self.state.shared.diagnostics.report("ended_parent", || {
                "a span was started under one that had ended; it became a root".into()
            });
            return self.root(local);
        };
        let kin = Kin::from(locked.live.context()?);
        if locked.live.is_silent() {
            drop(locked);
            return self.silent(kin, local);
        }
        let now = local.anchor.now();
        let home = locked.live.home;
        let opened = match home.index == locked.index {
            true => {
                let opened = self.open_in(&mut locked, kin.trace_id, now);
                drop(locked);
                opened
            }
            false => {
                drop(locked);
                let trace = slot::lock_trace(home, kin.trace_id);
                trace.is_some_and(|mut trace| self.open_in(&mut trace, kin.trace_id, now))
            }
        };
        if !opened {
            // The trace was handed over meanwhile or belongs to another tracer.
            return self.apart(kin, now, local);
        }
        local.outbox(self.state).create(1);
        self.beside(home, kin, now, local)
    }

    /// Opens a span in the trace of a slot if it is this tracer's.
    #[inline]
    fn open_in(&self, locked: &mut Locked, id: TraceId, now: Moment) -> bool {
        if !locked.belongs_to(self.state.id) {
            return false;
        }
        let trace = locked.open_trace().filter(|trace| trace.id == id);
        trace.map(|trace| trace.open_span(now.monotonic)).is_some()
    }

    /// A span whose parent is known by its context.
    pub(crate) fn remote<R: Answer>(
        &self,
        context: SpanContext,
        local: &mut Local,
    ) -> Option<(Span, R)> {
        let now = local.anchor.now();
        self.apart(Kin::from(context), now, local)
    }

    fn apart<R: Answer>(&self, kin: Kin, now: Moment, local: &mut Local) -> Option<(Span, R)> {
        if self.state.plugins.sampler.is_disabled() {
            return self.silent(kin, local);
        }
        if kin.flags & SAMPLED == 0 {
            return self.unsampled(kin, now, local);
        }
        self.join(kin, now, local)
    }

    /// The trace is not sampled; it may be one that is recorded here for its errors.
    #[cold]
    fn unsampled<R: Answer>(&self, kin: Kin, now: Moment, local: &mut Local) -> Option<(Span, R)> {
        let recorded = match self.state.plugins.sampler.keeps_errors() {
            true => self.state.find(kin.trace_id),
            false => None,
        };
        let Some(mut locked) = recorded else {
            return self.silent(kin, local);
        };
        let home = locked.site();
        let opened = self.open_in(&mut locked, kin.trace_id, now);
        drop(locked);
        if !opened {
            return self.silent(kin, local);
        }
        local.outbox(self.state).create(1);
        self.beside(home, kin, now, local)
    }

    /// A span that records nothing and passes on the context of its trace, as it is where nothing is
    /// recorded at all: whoever is called then is its parent's child.
    fn silent<R: Answer>(&self, kin: Kin, local: &mut Local) -> Option<(Span, R)> {
        let plugins = &self.state.plugins;
        let passed = kin.parent.filter(|_| plugins.sampler.is_disabled());
        let span_id = passed.unwrap_or_else(|| plugins.span_id(local));
        let mut locked = slot::allocate(&mut local.free)?;
        let start = self.start(kin, span_id, Moment::default());
        locked.live.begin_silent(start);
        let answer = R::of(&locked.live)?;
        Some((Span::new(locked.start_span()), answer))
    }

    fn join<R: Answer>(&self, kin: Kin, now: Moment, local: &mut Local) -> Option<(Span, R)> {
        let destination = local.destination(self.tracer.destination());
        local.outbox(self.state).create(1);
        let (id, monotonic) = (kin.trace_id, now.monotonic);
        let state = self.state;
        match state.join(id, false, false, destination, monotonic, local) {
            Some(home) => self.beside(home, kin, now, local),
            None => self.refuse(),
        }
    }

    /// Lets a span live in a slot of its own; it is open in the trace in the slot `home`.
    #[inline]
    fn beside<R: Answer>(
        &self,
        home: Site,
        kin: Kin,
        now: Moment,
        local: &mut Local,
    ) -> Option<(Span, R)> {
        match slot::allocate(&mut local.free) {
            Some(locked) => self.live(locked, Some(home), kin, now, local),
            None => {
                self.complain();
                self.state
                    .lose_span(home, kin.trace_id, Drop::TooManySpans, local);
                None
            }
        }
    }

    /// Lets the span live in this slot.
    #[inline]
    fn live<R: Answer>(
        &self,
        mut locked: Locked,
        home: Option<Site>,
        kin: Kin,
        now: Moment,
        local: &mut Local,
    ) -> Option<(Span, R)> {
        let home = home.unwrap_or_else(|| locked.site());
        let span_id = self.state.plugins.span_id(local);
        locked.live.begin(home, self.start(kin, span_id, now));
        let answer = R::of(&locked.live)?;
        Some((Span::new(locked.start_span()), answer))
    }

    #[inline]
    fn start(&self, kin: Kin, span_id: SpanId, now: Moment) -> Start<'_> {
        Start {
            trace_id: kin.trace_id,
            span_id,
            parent: kin.parent,
            flags: kin.flags,
            trace_state: kin.trace_state,
            now,
            name: self.start.name,
            span_type: self.start.span_type,
            start_time_ns: self.start.start_time_ns,
            attributes: self.start.attributes,
            rules: self.state.rules,
        }
    }

    /// Counts a span for which there is no slot.
    #[cold]
    fn refuse<R>(&self) -> Option<R> {
        self.state.shared.counters.drop(Drop::TooManySpans, 1);
        self.complain();
        None
    }

    #[cold]
    fn complain(&self) {
        self.state.shared.diagnostics.report("too_many_spans", || {
            "too many live spans; do they ever end?".into()
        });
    }

    /// The number of the destination, with the experiment that a root asks for.
    #[inline]
    fn destination(&self) -> u32 {
        let usual = self.tracer.destination();
        match self.start.experiment_id {
            None => usual,
            Some(id) => self.chosen(id, usual),
        }
    }

    #[cold]
    fn chosen(&self, id: &str, usual: u32) -> u32 {
        if let Err(error) = Config::new().set("experiment_id", id) {
            let diagnostics = &self.state.shared.diagnostics;
            diagnostics.report("host", || error.message().to_owned());
            return usual;
        }
        destination::intern(Destination {
            experiment: Experiment::Id(id.to_owned()),
            workspace: destination::by_number(usual).workspace.clone(),
        })
    }
}
