//! What holds in every order in which several threads may have come to their turns.

use std::collections::{BTreeMap, HashSet};

use mlflow_trace_core::{ErrorKind, SpanContext};

use crate::content::{self, Contents};
use crate::delivery::{Checked, Piece, base64, ensure};
use crate::info::Expected;
use crate::program::{Action, TracerOp};
use crate::register::Moment;
use crate::run::{Answer, Call, Entry, FINISH, From, On, Run, THREADS, update};
use crate::sequential::{dropped, is_sampled};
use crate::table::EXPERIMENTS;

/// A span that was started.
struct Var {
    tracer: usize,
    context: SpanContext,
    /// The number of the live parent whose trace it entered.
    entered: Option<usize>,
    moment: Moment,
}

struct World<'a> {
    run: &'a Run,
    /// Tracers that were shut down before the end.
    stopped: HashSet<usize>,
    contents: Contents,
    vars: BTreeMap<usize, Var>,
    /// Of each tracer.
    pieces: Vec<Vec<Piece>>,
}

pub(crate) fn check(run: &Run) -> Checked {
    let mut world = World {
        run,
        stopped: run.log.iter().filter_map(shutdown).collect(),
        contents: Contents::new(),
        vars: BTreeMap::new(),
        pieces: Vec::new(),
    };
    for entry in &run.log {
        content::record(&mut world.contents, entry);
        world
            .start(entry)
            .map_err(|problem| format!("{problem}\n  at {entry:?}"))?;
    }
    world.check_handles()?;
    for texts in &run.delivered {
        let pieces: Result<_, _> = texts.iter().map(|text| Piece::parse(text)).collect();
        world.pieces.push(pieces?);
    }
    for tracer in 0..run.program.tracers {
        world.check_spans(tracer)?;
        world.check_traces(tracer)?;
        world.check_counters(tracer)?;
    }
    let bad: Vec<_> = run
        .diagnostics
        .iter()
        .filter(|text| text.contains("internal"))
        .collect();
    ensure(bad.is_empty(), || format!("diagnostics {bad:?}"))
}

/// The tracer of an early shutdown.
fn shutdown(entry: &Entry) -> Option<usize> {
    match entry.call {
        Call::Tracer(tracer, TracerOp::Shutdown) if entry.phase < FINISH => Some(tracer),
        _ => None,
    }
}

fn answer(entry: &Entry) -> Option<Result<(), ErrorKind>> {
    match &entry.answer {
        Answer::Done(answer) => Some(*answer),
        Answer::Ended(answer) => Some(answer.as_ref().map(|_| ()).map_err(|kind| *kind)),
        _ => None,
    }
}

fn is_end(entry: &Entry) -> bool {
    use Action::{End, EndAt, EndWithRecord};
    matches!(&entry.call, Call::Act(_, End | EndAt(_) | EndWithRecord(_)))
}

impl<'a> World<'a> {
    fn start(&mut self, entry: &Entry) -> Checked {
        let (Call::Start { var, parent, start }, Answer::Started(context)) =
            (&entry.call, &entry.answer)
        else {
            return Ok(());
        };
        let Some(context) = context else {
            return ensure(self.stopped.contains(&start.tracer), || {
                "no span".to_owned()
            });
        };
        let mut entered = None;
        let parent = match parent {
            From::None | From::Stale => None,
            From::Remote(context) => Some(context.clone()),
            From::Var(number) => {
                let var = &self.vars[number];
                let is_child = var.context.trace_id == context.trace_id;
                entered = Some(*number).filter(|_| is_child && var.tracer == start.tracer);
                is_child.then(|| var.context.clone())
            }
        };
        let fresh = || {
            self.vars
                .values()
                .all(|var| var.context.trace_id != context.trace_id)
        };
        let fits = match &parent {
            Some(parent) => context.trace_id == parent.trace_id && context.flags == parent.flags,
            None => fresh(),
        };
        ensure(fits, || format!("context, with the parent {parent:?}"))?;
        if let Some(content) = self.contents.get_mut(var) {
            content.parent = parent.map(|parent| parent.span_id);
        }
        self.vars.insert(
            *var,
            Var {
                tracer: start.tracer,
                context: context.clone(),
                entered,
                moment: Moment::of(entry),
            },
        );
        Ok(())
    }

    fn calls_on(&self, var: usize) -> impl Iterator<Item = &'a Entry> {
        self.run.log.iter().filter(move |entry| {
            let (Call::Act(on, _) | Call::Link(on, ..)) = &entry.call else {
                return false;
            };
            *on == On::Var(var)
        })
    }

    /// A handle is live until one call ends its span, and then never again.
    fn check_handles(&self) -> Checked {
        for (number, var) in &self.vars {
            let ends = self
                .calls_on(*number)
                .filter(|entry| is_end(entry) && answer(entry) == Some(Ok(())))
                .count();
            ensure(ends <= 1, || format!("span {number} ended {ends} times"))?;
            // What the handle of a span does that was given up at a shutdown is left open.
            if self.stopped.contains(&var.tracer) {
                continue;
            }
            let mut stale: HashSet<(usize, usize)> = HashSet::new();
            for entry in self.calls_on(*number) {
                let Some(answer) = answer(entry) else {
                    continue;
                };
                let (phase, thread) = (entry.phase, entry.thread);
                if answer.is_err() {
                    ensure(ends == 1, || {
                        format!("refused though it is live: {entry:?}")
                    })?;
                    stale.insert((phase, thread));
                }
                let before = stale
                    .iter()
                    .any(|(p, t)| *p < phase || (*p == phase && *t == thread));
                ensure(answer.is_err() || !before, || {
                    format!("live again: {entry:?}")
                })?;
                if is_end(entry) && answer.is_ok() {
                    stale.insert((phase, thread));
                }
            }
        }
        let mut stale_calls = self.run.log.iter().filter(|entry| {
            matches!(
                &entry.call,
                Call::Act(On::Stale, _) | Call::Link(On::Stale, ..)
            )
        });
        let took_effect = stale_calls.find(|entry| answer(entry) == Some(Ok(())));
        ensure(took_effect.is_none(), || {
            format!("not refused: {took_effect:?}")
        })
    }

    fn id(&self, var: usize) -> String {
        base64(self.vars[&var].context.span_id.bytes())
    }

    fn piece_of(&self, var: usize) -> Option<usize> {
        let id = self.id(var);
        let pieces = &self.pieces[self.vars[&var].tracer];
        pieces
            .iter()
            .position(|piece| piece.spans.contains_key(&id))
    }

    /// Every span that ended arrives once and holds what was recorded.
    fn check_spans(&self, tracer: usize) -> Checked {
        let mut seen = HashSet::new();
        for piece in &self.pieces[tracer] {
            for (id, span) in &piece.spans {
                ensure(seen.insert(id), || format!("delivered twice: {span}"))?;
            }
        }
        let mut known = 0;
        let is_here = |var: &Var| var.tracer == tracer && is_sampled(&var.context);
        for (number, var) in self.vars.iter().filter(|(_, var)| is_here(var)) {
            let content = &self.contents[number];
            let Some(piece) = self.piece_of(*number) else {
                let is_open = content.end.is_none_or(|(moment, _)| moment.phase > THREADS);
                let may_miss = is_open || self.stopped.contains(&tracer);
                let may_miss = may_miss && !(content.end.is_some() && self.stopped.is_empty());
                ensure(may_miss, || format!("span {number} ended and is missing"))?;
                continue;
            };
            known += 1;
            ensure(content.end.is_some(), || {
                format!("span {number} is open and arrived")
            })?;
            let span = &self.pieces[tracer][piece].spans[&self.id(*number)];
            content.check(span)?;
            if let Some(record) = &content.record {
                ensure(record == span, || {
                    format!("record {record}\n  and span {span}")
                })?;
            }
            if let Some(parent) = var.entered.filter(|parent| self.binds(*parent, var)) {
                let together = self.piece_of(parent).is_none_or(|other| other == piece);
                ensure(together, || format!("span {number} parted from {parent}"))?;
            }
        }
        ensure(known == seen.len(), || {
            "a span that was never started arrived".to_owned()
        })
    }

    /// Whether a child must arrive together with its parent: the parent did not end, and its trace was not
    /// handed over, just as the child started.
    fn binds(&self, parent: usize, child: &Var) -> bool {
        let ended_meanwhile = self.contents[&parent].end.is_some_and(|(moment, _)| {
            moment.phase == child.moment.phase && moment.thread != child.moment.thread
        });
        !ended_meanwhile && !self.stopped.contains(&child.tracer)
    }

    /// A trace has its information exactly where its root is.
    fn check_traces(&self, tracer: usize) -> Checked {
        for piece in &self.pieces[tracer] {
            let has_root = piece.root().is_some();
            ensure(piece.info.is_some() == has_root, || {
                format!("information and root do not go together: {piece:?}")
            })?;
            if has_root {
                self.expected(tracer, piece).check(piece)?;
            }
        }
        Ok(())
    }

    fn expected(&self, tracer: usize, piece: &Piece) -> Expected {
        let mut expected = Expected::in_experiment("0".to_owned());
        let has = |var: &usize| piece.spans.contains_key(&self.id(*var));
        let is_of_trace = |var: &Var| {
            var.tracer == tracer && base64(var.context.trace_id.bytes()) == piece.trace_id
        };
        // Without spans elsewhere there is no other part that an update may have reached.
        let is_whole = self
            .vars
            .iter()
            .all(|(number, var)| !is_of_trace(var) || has(number));
        for entry in &self.run.log {
            let moment = Moment::of(entry);
            let certain = match (&entry.call, &entry.answer) {
                (Call::Start { var, start, .. }, Answer::Started(Some(_))) if has(var) => {
                    let chosen = start.experiment.map(|index| EXPERIMENTS[index]);
                    expected.experiments.extend(chosen.map(str::to_owned));
                    let is_root = self.contents[var].parent.is_none();
                    is_root.then_some(true)
                }
                (Call::Act(On::Var(var), Action::Update(_)), Answer::Done(Ok(()))) => {
                    is_of_trace(&self.vars[var]).then(|| has(var) && self.stopped.is_empty())
                }
                (Call::Update(of, id, _), Answer::Done(Ok(()))) => {
                    let same = *of == tracer && base64(id.bytes()) == piece.trace_id;
                    same.then_some(is_whole && self.stopped.is_empty())
                }
                (Call::Tracer(of, TracerOp::Experiment(index)), Answer::Done(Ok(()))) => {
                    if *of == tracer {
                        expected.experiments.push(EXPERIMENTS[*index].to_owned());
                    }
                    None
                }
                _ => None,
            };
            if let (Some(certain), Some(update)) = (certain, update(entry)) {
                expected.update(certain, moment, &update);
            }
        }
        expected
    }

    /// Nothing is lost without being counted.
    fn check_counters(&self, tracer: usize) -> Checked {
        let stats = &self.run.after[tracer];
        let is_here = |var: &&Var| var.tracer == tracer && is_sampled(&var.context);
        let created = self.vars.values().filter(is_here).count() as u64;
        let pieces = self.pieces[tracer].iter();
        let delivered: u64 = pieces.map(|piece| piece.spans.len() as u64).sum();
        let lost = dropped(stats, "unfinished") + dropped(stats, "shutdown");
        let fits = stats.created == created
            && stats.delivered == delivered
            && stats.pending == 0
            && stats.dropped_total() == lost
            && created == delivered + lost;
        ensure(fits, || {
            format!("created {created}, delivered {delivered}: {stats:?}")
        })?;
        let is_whole = self.run.program.ends_all && !self.stopped.contains(&tracer);
        ensure(!is_whole || lost == 0, || {
            format!("spans were lost: {stats:?}")
        })
    }
}
