//! The specified behaviour, call by call: every answer and everything delivered follows from the program.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use mlflow_trace_core::{ErrorKind, SpanContext, Stats, TraceId};

use crate::content::{self, Contents};
use crate::delivery::{Checked, Piece, base64, ensure};
use crate::info::Expected;
use crate::program::{Action, TracerOp};
use crate::register::Moment;
use crate::run::{Answer, Call, Entry, From, On, Reading, Run, update};
use crate::table::EXPERIMENTS;

/// W3C trace flags of a root: sampled, with a random id.
const ROOT_FLAGS: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Live,
    Ended,
    /// Open when its tracer was shut down: what its handle does is left open, but it is never delivered.
    GivenUp,
    /// Of a trace that its remote parent does not sample: live, but nothing of it is recorded.
    Silent,
}

struct Var {
    context: SpanContext,
    state: State,
    /// Absent for one that is not recorded.
    trace: Option<usize>,
    is_root: bool,
}

/// A trace as one tracer sees it.
struct Trace {
    tracer: usize,
    id: TraceId,
    is_remote: bool,
    root_ended: bool,
    open: BTreeSet<usize>,
    ended: Vec<usize>,
    info: Expected,
}

struct TracerState {
    experiment: String,
    is_stopped: bool,
    created: u64,
    /// Spans of complete traces.
    completed: u64,
    given_up: u64,
    ignored: u64,
    open: HashMap<TraceId, usize>,
    /// Traces that were handed over.
    complete: Vec<usize>,
}

#[derive(Default)]
struct World {
    tracers: Vec<TracerState>,
    traces: Vec<Trace>,
    vars: BTreeMap<usize, Var>,
    contents: Contents,
    /// Calls with handles that are not live, and those that may count as such.
    stale: u64,
    perhaps_stale: u64,
    tight: bool,
}

pub(crate) fn check(run: &Run) -> Checked {
    let mut world = World {
        tight: run.program.tight,
        ..World::default()
    };
    for _ in 0..run.program.tracers {
        world.tracers.push(TracerState {
            experiment: "0".to_owned(),
            is_stopped: false,
            created: 0,
            completed: 0,
            given_up: 0,
            ignored: 0,
            open: HashMap::new(),
            complete: Vec::new(),
        });
    }
    for entry in &run.log {
        world
            .step(entry)
            .map_err(|problem| format!("{problem}\n  at {entry:?}"))?;
    }
    for tracer in 0..run.program.tracers {
        world.settle(run, tracer)?;
    }
    let bad: Vec<_> = run
        .diagnostics
        .iter()
        .filter(|text| text.contains("internal"))
        .collect();
    ensure(bad.is_empty(), || format!("diagnostics {bad:?}"))
}

impl World {
    fn step(&mut self, entry: &Entry) -> Checked {
        content::record(&mut self.contents, entry);
        match (&entry.call, &entry.answer) {
            (Call::Start { .. }, Answer::Started(context)) => self.start(entry, context.as_ref()),
            (Call::Act(on, Action::Read), Answer::Read(reading)) => self.read(*on, reading),
            (Call::Act(on, _), Answer::Done(answer))
            | (Call::Link(on, ..), Answer::Done(answer)) => self.act(entry, *on, *answer),
            (Call::Act(on, _), Answer::Ended(answer)) => self.act(
                entry,
                *on,
                answer.as_ref().map(|_| ()).map_err(|kind| *kind),
            ),
            (Call::Update(tracer, id, _), Answer::Done(answer)) => {
                self.update(entry, *tracer, *id, *answer)
            }
            (Call::Tracer(tracer, operation), answer) => self.operate(*tracer, *operation, answer),
            _ => Err("an answer of another kind".to_owned()),
        }
    }

    fn start(&mut self, entry: &Entry, answer: Option<&SpanContext>) -> Checked {
        let Call::Start { var, parent, start } = &entry.call else {
            return Ok(());
        };
        let tracer = start.tracer;
        if self.tracers[tracer].is_stopped {
            self.tracers[tracer].ignored += 1;
            return ensure(answer.is_none(), || "a span after the shutdown".to_owned());
        }
        let Some(context) = answer else {
            return Err("no span".to_owned());
        };
        let parent = self.parent(parent, context);
        let trace = match &parent {
            None => Some(self.begin(entry, context)?),
            Some(parent) if !is_sampled(parent) => None,
            Some(parent) => Some(self.join(tracer, parent.trace_id)),
        };
        let expected = SpanContext {
            trace_id: parent
                .as_ref()
                .map_or(context.trace_id, |parent| parent.trace_id),
            span_id: context.span_id,
            flags: parent.as_ref().map_or(ROOT_FLAGS, |parent| parent.flags),
            trace_state: parent
                .as_ref()
                .and_then(|parent| parent.trace_state.clone()),
            remote: false,
        };
        ensure(*context == expected, || {
            format!("context, should be {expected:?}")
        })?;
        let known = self
            .vars
            .values()
            .any(|var| var.context.span_id == context.span_id);
        ensure(!known && context.span_id.is_valid(), || {
            "the span id".to_owned()
        })?;
        if let Some(content) = self.contents.get_mut(var) {
            content.parent = parent.as_ref().map(|parent| parent.span_id);
        }
        if let Some(trace) = trace {
            self.tracers[tracer].created += 1;
            self.traces[trace].open.insert(*var);
        }
        self.vars.insert(
            *var,
            Var {
                context: context.clone(),
                state: trace.map_or(State::Silent, |_| State::Live),
                trace,
                is_root: parent.is_none(),
            },
        );
        Ok(())
    }

    /// The parent's context, if the span has a parent. A handle that was given up may count as either.
    fn parent(&self, parent: &From, child: &SpanContext) -> Option<SpanContext> {
        match parent {
            From::None | From::Stale => None,
            From::Remote(context) => Some(context.clone()),
            From::Var(var) => {
                let var = &self.vars[var];
                let is_live = match var.state {
                    State::Live | State::Silent => true,
                    State::Ended => false,
                    State::GivenUp => child.trace_id == var.context.trace_id,
                };
                is_live.then(|| var.context.clone())
            }
        }
    }

    /// A trace of a root.
    fn begin(&mut self, entry: &Entry, root: &SpanContext) -> Result<usize, String> {
        let Call::Start { start, .. } = &entry.call else {
            return Err("no start".to_owned());
        };
        let known = self.traces.iter().any(|trace| trace.id == root.trace_id);
        ensure(!known && root.trace_id.is_valid(), || {
            "the trace id of a root".to_owned()
        })?;
        let tracer = start.tracer;
        let chosen = start.experiment.map(|index| EXPERIMENTS[index]);
        let chosen = chosen.filter(|id| is_decimal(id)).map(str::to_owned);
        let experiment = chosen.unwrap_or_else(|| self.tracers[tracer].experiment.clone());
        let mut info = Expected::in_experiment(experiment);
        if let Some(update) = update(entry) {
            info.update(true, Moment::of(entry), &update);
        }
        Ok(self.open(tracer, root.trace_id, false, info))
    }

    /// The trace of a span that has a parent: the one that is open in its tracer, else a part of its own.
    fn join(&mut self, tracer: usize, id: TraceId) -> usize {
        let open = self.tracers[tracer].open.get(&id).copied();
        open.unwrap_or_else(|| self.open(tracer, id, true, Expected::default()))
    }

    fn open(&mut self, tracer: usize, id: TraceId, is_remote: bool, info: Expected) -> usize {
        let index = self.traces.len();
        self.traces.push(Trace {
            tracer,
            id,
            is_remote,
            root_ended: false,
            open: BTreeSet::new(),
            ended: Vec::new(),
            info,
        });
        self.tracers[tracer].open.insert(id, index);
        index
    }

    fn act(&mut self, entry: &Entry, on: On, answer: Result<(), ErrorKind>) -> Checked {
        let state = match on {
            On::Stale => State::Ended,
            On::Var(var) => self.vars[&var].state,
        };
        match state {
            State::GivenUp => {
                self.perhaps_stale += 1;
                Ok(())
            }
            State::Ended => {
                self.stale += 1;
                ensure(answer == Err(ErrorKind::InvalidState), || {
                    "a call with a stale handle".to_owned()
                })
            }
            State::Live | State::Silent => {
                ensure(answer.is_ok(), || "a call with a live handle".to_owned())?;
                if let (Call::Act(_, action), On::Var(var)) = (&entry.call, on) {
                    self.apply(entry, *action, var);
                }
                Ok(())
            }
        }
    }

    fn apply(&mut self, entry: &Entry, action: Action, number: usize) {
        let Some(var) = self.vars.get_mut(&number) else {
            return;
        };
        let is_end = matches!(
            action,
            Action::End | Action::EndAt(_) | Action::EndWithRecord(_)
        );
        if is_end {
            var.state = State::Ended;
        }
        let Some(index) = var.trace else {
            return;
        };
        let trace = &mut self.traces[index];
        if is_end {
            trace.open.remove(&number);
            trace.ended.push(number);
            trace.root_ended |= var.is_root;
            if trace.open.is_empty() && (trace.root_ended || trace.is_remote) {
                self.close(index);
            }
        } else if let Some(update) = update(entry) {
            trace.info.update(true, Moment::of(entry), &update);
        }
    }

    /// Hands over what has ended of a trace.
    fn close(&mut self, index: usize) {
        let trace = &self.traces[index];
        let tracer = &mut self.tracers[trace.tracer];
        tracer.open.remove(&trace.id);
        tracer.completed += trace.ended.len() as u64;
        tracer.given_up += trace.open.len() as u64;
        tracer.complete.push(index);
        for var in &trace.open {
            if let Some(var) = self.vars.get_mut(var) {
                var.state = State::GivenUp;
            }
        }
    }

    fn read(&self, on: On, reading: &Reading) -> Checked {
        let live = match on {
            On::Var(var) if self.vars[&var].state == State::GivenUp => return Ok(()),
            On::Var(var) if self.vars[&var].state == State::Silent => {
                let context = Some(&self.vars[&var].context);
                let fits = !reading.recording && reading.context.as_ref() == context;
                return ensure(fits, || "what a span shows that is not recorded".to_owned());
            }
            On::Var(var) if self.vars[&var].state == State::Live => Some(var),
            _ => None,
        };
        let Some(var) = live else {
            let nothing = !reading.recording
                && reading.context.is_none()
                && reading.parent.is_none()
                && !reading.has_outputs
                && reading.snapshot.is_none();
            return ensure(nothing, || "a stale handle shows something".to_owned());
        };
        let content = &self.contents[&var];
        let fits = reading.recording
            && reading.context.as_ref() == Some(&content.context)
            && reading.parent == content.parent
            && reading.has_outputs == content.has_outputs();
        ensure(fits, || "what a live handle shows".to_owned())?;
        let snapshot = reading
            .snapshot
            .as_ref()
            .ok_or("no snapshot of a live span")?;
        content.check_open(snapshot)
    }

    fn update(
        &mut self,
        entry: &Entry,
        tracer: usize,
        id: TraceId,
        answer: Result<(), ErrorKind>,
    ) -> Checked {
        match self.tracers[tracer].open.get(&id) {
            None => {
                self.tracers[tracer].ignored += 1;
                ensure(answer == Err(ErrorKind::InvalidState), || {
                    "an update of a trace that is not open".to_owned()
                })
            }
            Some(trace) => {
                if let Some(update) = update(entry) {
                    let info = &mut self.traces[*trace].info;
                    info.update(true, Moment::of(entry), &update);
                }
                ensure(answer.is_ok(), || "an update of an open trace".to_owned())
            }
        }
    }

    fn operate(&mut self, index: usize, operation: TracerOp, answer: &Answer) -> Checked {
        match (operation, answer) {
            (TracerOp::Experiment(experiment), Answer::Done(answer)) => {
                let id = EXPERIMENTS[experiment];
                if is_decimal(id) {
                    self.tracers[index].experiment = id.to_owned();
                }
                ensure(answer.is_ok() == is_decimal(id), || {
                    "set_experiment_id".to_owned()
                })
            }
            (TracerOp::Flush, Answer::Left(left)) => {
                let ended = self.ended_in_open_traces(index);
                // Whether an open trace outgrows the queue hangs on the capacity of buffers that were used before.
                let fits = *left == ended || self.tight && *left < ended;
                ensure(fits, || format!("flush, should be {ended}"))
            }
            (TracerOp::Shutdown, Answer::Left(left)) => {
                self.tracers[index].is_stopped = true;
                let open: Vec<usize> = self.tracers[index].open.values().copied().collect();
                open.into_iter().for_each(|trace| self.close(trace));
                ensure(*left == 0, || "spans left by a shutdown".to_owned())
            }
            (TracerOp::Stats, Answer::Stats(stats)) => self.check_stats(index, stats),
            (TracerOp::Take, Answer::Nothing) => Ok(()),
            _ => Err("an answer of another kind".to_owned()),
        }
    }

    fn ended_in_open_traces(&self, index: usize) -> u64 {
        let open = self.tracers[index].open.values();
        open.map(|trace| self.traces[*trace].ended.len() as u64)
            .sum()
    }

    fn check_stats(&self, index: usize, stats: &Stats) -> Checked {
        let tracer = &self.tracers[index];
        let full = dropped(stats, "queue_full");
        let ended = tracer.completed + self.ended_in_open_traces(index);
        let fits = stats.created == tracer.created
            && stats.delivered <= tracer.completed
            && stats.delivered + full <= ended
            && (self.tight || full == 0)
            && stats.dropped_total() == tracer.given_up + full
            && dropped(stats, "unfinished") == tracer.given_up
            && stats.pending + stats.delivered + stats.dropped_total() == stats.created;
        ensure(fits, || {
            format!(
                "created {}, completed {}, given up {}",
                tracer.created, tracer.completed, tracer.given_up
            )
        })
    }

    /// Compares what a tracer delivered, and its counters after the shutdown.
    fn settle(&self, run: &Run, index: usize) -> Checked {
        let tracer = &self.tracers[index];
        let mut pieces = Vec::new();
        for text in &run.delivered[index] {
            pieces.push(Piece::parse(text)?);
        }
        let mut lost = 0;
        let mut parts: HashMap<String, HashSet<String>> = HashMap::new();
        for trace in tracer.complete.iter().map(|trace| &self.traces[*trace]) {
            let ids: HashSet<String> = trace.ended.iter().map(|var| self.id(*var)).collect();
            if ids.is_empty() {
                continue;
            }
            let trace_id = base64(trace.id.bytes());
            let has_info = trace.root_ended && !trace.is_remote;
            let found = pieces.iter().position(|piece| {
                piece.trace_id == trace_id
                    && piece.info.is_some() == has_info
                    && ids.iter().all(|id| piece.spans.contains_key(id))
            });
            let Some(found) = found else {
                lost += ids.len();
                continue;
            };
            if !has_info {
                // Parts of a trace that is rooted elsewhere may travel together.
                parts.entry(trace_id).or_default().extend(ids);
                continue;
            }
            let piece = pieces.remove(found);
            ensure(piece.spans.len() == ids.len(), || {
                format!("more spans than {} in {piece:?}", ids.len())
            })?;
            trace.info.check(&piece)?;
            self.check_spans(&piece)?;
        }
        for piece in &pieces {
            let expected = parts.get(&piece.trace_id);
            let known = piece
                .spans
                .keys()
                .all(|id| expected.is_some_and(|ids| ids.contains(id)));
            ensure(piece.info.is_none() && known, || {
                format!("something that was never recorded: {piece:?}")
            })?;
            self.check_spans(piece)?;
        }
        let delivered: usize = run.delivered[index].len();
        let after = &run.after[index];
        let full = dropped(after, "queue_full");
        ensure(lost as u64 == full, || {
            format!(
                "{lost} spans of complete traces are missing, {full} were counted; {delivered} traces"
            )
        })?;
        self.check_stats(index, after)?;
        ensure(after.pending == 0, || {
            format!("pending after the shutdown: {after:?}")
        })?;
        ensure(after.delivered == tracer.completed - full, || {
            format!("{} spans were complete: {after:?}", tracer.completed)
        })?;
        let least = tracer.ignored + self.stale;
        let ignored = after.ignored - run.before[index].ignored;
        ensure(
            (least..=least + self.perhaps_stale).contains(&ignored),
            || format!("{ignored} calls ignored, should be {least}"),
        )
    }

    fn id(&self, var: usize) -> String {
        base64(self.vars[&var].context.span_id.bytes())
    }

    fn check_spans(&self, piece: &Piece) -> Checked {
        for (number, content) in &self.contents {
            let Some(span) = piece.spans.get(&self.id(*number)) else {
                continue;
            };
            content.check(span)?;
            if let Some(record) = &content.record {
                ensure(record == span, || {
                    format!("record {record}\n  and span {span}")
                })?;
            }
        }
        Ok(())
    }
}

/// Whether the trace of a parent is to be recorded (W3C Trace Context).
pub(crate) fn is_sampled(parent: &SpanContext) -> bool {
    parent.flags & 1 == 1
}

fn is_decimal(id: &str) -> bool {
    id.bytes().all(|byte| byte.is_ascii_digit())
}

pub(crate) fn dropped(stats: &Stats, reason: &str) -> u64 {
    let entry = stats.dropped.iter().find(|(name, _)| *name == reason);
    entry.map_or(0, |(_, spans)| *spans)
}
