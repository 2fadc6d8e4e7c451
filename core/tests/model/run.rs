//! Runs a program against the engine and writes down every call and its answer.

use std::time::Duration;

use mlflow_trace_core::{
    Config, ErrorKind, Parent, Span, SpanContext, SpanId, SpanStart, Stats, StatusCode, TraceId,
    TraceUpdate, Tracer, Value,
};
use serde_json::Value as Json;

use crate::program::{Action, Forgery, Op, Program, Start, Status, Target, TracerOp};
use crate::table::{EXPERIMENTS, KEYS, LEVELS, NAMES, TIMES, TYPES, USAGES, VALUES};

/// Nothing takes this long when it works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The beginning, the threads, and the end: what happens in one is before what happens in the next.
pub(crate) const SETUP: usize = 0;
pub(crate) const THREADS: usize = 1;
pub(crate) const FINISH: usize = 2;

/// Everything that a run showed.
pub(crate) struct Run {
    pub(crate) program: Program,
    pub(crate) log: Vec<Entry>,
    /// Of each tracer: what it delivered, in order.
    pub(crate) delivered: Vec<Vec<String>>,
    /// Of each tracer, before the first call and after the shutdown.
    pub(crate) before: Vec<Stats>,
    pub(crate) after: Vec<Stats>,
    /// Messages of the engine about itself.
    pub(crate) diagnostics: Vec<String>,
}

/// A call and its answer.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) phase: usize,
    pub(crate) thread: usize,
    /// Of this call alone.
    pub(crate) serial: usize,
    pub(crate) call: Call,
    pub(crate) answer: Answer,
}

/// A call with everything that it refers to.
#[derive(Debug)]
pub(crate) enum Call {
    Start {
        var: usize,
        parent: From,
        start: Start,
    },
    Act(On, Action),
    /// A link to a span that there is, or to one that there is not.
    Link(On, TraceId, SpanId, Option<usize>),
    Update(usize, TraceId, crate::program::Update),
    Tracer(usize, TracerOp),
}

/// The parent of a new span.
#[derive(Debug)]
pub(crate) enum From {
    None,
    Var(usize),
    Stale,
    Remote(SpanContext),
}

/// A handle: of a span of this program, or one that was never given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Var(usize),
    Stale,
}

#[derive(Debug)]
pub(crate) enum Answer {
    Started(Option<SpanContext>),
    Done(Result<(), ErrorKind>),
    /// An end that gave a copy of what was recorded.
    Ended(Result<Option<Json>, ErrorKind>),
    Read(Reading),
    /// Spans that a flush or a shutdown left.
    Left(u64),
    Stats(Stats),
    Nothing,
}

/// What can be asked of a handle.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) recording: bool,
    pub(crate) context: Option<SpanContext>,
    pub(crate) parent: Option<SpanId>,
    pub(crate) has_outputs: bool,
    pub(crate) snapshot: Option<Json>,
}

/// A span of the program: its number, its handle, and its context if it was started.
#[derive(Clone)]
struct Var {
    number: usize,
    span: Span,
    context: Option<SpanContext>,
}

/// What one thread knows and did.
struct Host<'a> {
    tracers: &'a [Tracer],
    phase: usize,
    thread: usize,
    /// Handles may be forged: there is no other thread whose spans they might hit.
    alone: bool,
    next_var: usize,
    vars: Vec<Var>,
    log: Vec<Entry>,
    taken: Vec<(usize, String)>,
}

pub(crate) fn run(program: &Program) -> Run {
    let tracers: Vec<Tracer> = (0..program.tracers)
        .map(|_| tracer(program.tight))
        .collect();
    let before = tracers.iter().map(Tracer::stats).collect();

    let mut host = Host {
        tracers: &tracers,
        phase: SETUP,
        thread: 0,
        alone: true,
        next_var: 0,
        vars: Vec::new(),
        log: Vec::new(),
        taken: Vec::new(),
    };
    host.run(&program.setup);
    host.run_threads(&program.threads);
    host.finish(program.ends_all);

    let Host {
        vars, log, taken, ..
    } = host;
    let mut delivered: Vec<Vec<String>> = vec![Vec::new(); tracers.len()];
    for (tracer, text) in taken {
        delivered[tracer].push(text);
    }
    for (tracer, delivered) in tracers.iter().zip(&mut delivered) {
        delivered.extend(std::iter::from_fn(|| tracer.next_memory_trace()));
    }
    let after = tracers.iter().map(Tracer::stats).collect();
    let diagnostics = tracers
        .iter()
        .flat_map(|tracer| std::iter::from_fn(|| tracer.next_diagnostic()))
        .map(|diagnostic| format!("{diagnostic:?}"))
        .collect();
    for var in vars {
        let _ = var.span.end();
    }
    Run {
        program: program.clone(),
        log,
        delivered,
        before,
        after,
        diagnostics,
    }
}

fn tracer(tight: bool) -> Tracer {
    let mut config = Config::new();
    let options = [
        ("exporter", "memory"),
        ("batch.delay_ms", if tight { "600000" } else { "0" }),
        ("queue.max_bytes", if tight { "1048576" } else { "" }),
    ];
    for (key, value) in options {
        config.set(key, value).unwrap();
    }
    Tracer::new(config).unwrap()
}

/// Half of the smallest queue.
pub(crate) fn big() -> &'static str {
    static BIG: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    BIG.get_or_init(|| "b".repeat(500_000))
}

/// A trace that starts nowhere here.
fn foreign_trace(number: u8) -> TraceId {
    TraceId::from_bytes([0xf0 + number; 16])
}

impl Host<'_> {
    fn run(&mut self, ops: &[Op]) {
        for (index, op) in ops.iter().enumerate() {
            let serial = (self.phase * 8 + self.thread) * 1000 + index;
            let (call, answer) = self.call(*op, serial);
            self.log.push(Entry {
                phase: self.phase,
                thread: self.thread,
                serial,
                call,
                answer,
            });
        }
    }

    fn run_threads(&mut self, threads: &[Vec<Op>]) {
        let mut next_var = self.next_var;
        let mut hosts = Vec::new();
        for (thread, ops) in threads.iter().enumerate() {
            hosts.push((
                Host {
                    tracers: self.tracers,
                    phase: THREADS,
                    thread,
                    alone: false,
                    next_var,
                    vars: self.vars.clone(),
                    log: Vec::new(),
                    taken: Vec::new(),
                },
                ops,
            ));
            next_var += ops.iter().filter(|op| matches!(op, Op::Start(_))).count();
        }
        let shared = self.vars.len();
        let barrier = std::sync::Barrier::new(hosts.len());
        std::thread::scope(|scope| {
            let running: Vec<_> = hosts
                .into_iter()
                .map(|(mut host, ops)| {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        host.run(ops);
                        (host.vars, host.log, host.taken)
                    })
                })
                .collect();
            for thread in running {
                let (vars, log, taken) = thread.join().unwrap();
                self.vars.extend(vars.into_iter().skip(shared));
                self.log.extend(log);
                self.taken.extend(taken);
            }
        });
        self.next_var = next_var;
    }

    /// Ends what is open, if asked to, flushes, and shuts down twice.
    fn finish(&mut self, ends_all: bool) {
        self.phase = FINISH;
        self.thread = 0;
        let mut ops = Vec::new();
        if ends_all {
            let open = (0..self.vars.len()).filter(|var| self.vars[*var].span.is_recording());
            ops.extend(open.map(|var| Op::Act(Target::Span(var as u8), Action::End)));
        }
        for operation in [
            TracerOp::Stats,
            TracerOp::Flush,
            TracerOp::Stats,
            TracerOp::Shutdown,
            TracerOp::Shutdown,
        ] {
            ops.extend((0..self.tracers.len()).map(|tracer| Op::Tracer(tracer, operation)));
        }
        self.run(&ops);
    }

    fn var(&self, pick: u8) -> Option<&Var> {
        self.vars.get(usize::from(pick) % self.vars.len().max(1))
    }

    fn known(&self, pick: u8) -> Option<SpanContext> {
        self.var(pick)?.context.clone()
    }

    fn target(&self, target: Target) -> (Span, On) {
        match target {
            Target::Span(pick) => match self.var(pick) {
                Some(var) if var.context.is_some() => (var.span, On::Var(var.number)),
                _ => (Span::NONE, On::Stale),
            },
            Target::Forged(pick, forgery) => self.forged(pick, forgery),
        }
    }

    /// A handle that may, by chance, be one that was given out.
    fn forged(&self, pick: u8, forgery: Forgery) -> (Span, On) {
        let base = self.var(pick).map_or(0, |var| var.span.to_raw());
        let raw = match forgery {
            _ if !self.alone => Span::NONE.to_raw(),
            Forgery::None => Span::NONE.to_raw(),
            Forgery::Add(number) => base.wrapping_add(number),
            Forgery::Flip(bit) => base ^ 1 << bit,
            Forgery::Swap => base.rotate_left(32),
        };
        let span = Span::from_raw(raw)
            .filter(|span| *span != Span::UNSAMPLED)
            .unwrap_or(Span::NONE);
        let known = self
            .vars
            .iter()
            .find(|var| var.span == span && var.context.is_some());
        (span, known.map_or(On::Stale, |var| On::Var(var.number)))
    }

    fn call(&mut self, op: Op, serial: usize) -> (Call, Answer) {
        match op {
            Op::Start(start) => self.start(start, serial),
            Op::Act(target, action) => self.act(target, action, serial),
            Op::Tracer(tracer, operation) => {
                self.operate(tracer % self.tracers.len(), operation, serial)
            }
        }
    }

    fn start(&mut self, start: Start, serial: usize) -> (Call, Answer) {
        use crate::program::Parent as Chosen;
        let of_handle = |(span, on): (Span, On)| match on {
            On::Var(var) => (Parent::Span(span), From::Var(var)),
            On::Stale => (Parent::Span(span), From::Stale),
        };
        let of_context = |context: Option<SpanContext>| match context {
            Some(context) => (Parent::Remote(context.clone()), From::Remote(context)),
            None => (Parent::None, From::None),
        };
        let (parent, from) = match start.parent {
            Chosen::None => (Parent::None, From::None),
            Chosen::Span(pick) => of_handle(self.target(Target::Span(pick))),
            Chosen::Forged(pick, forgery) => of_handle(self.forged(pick, forgery)),
            Chosen::Known(pick) => of_context(self.known(pick).map(|context| SpanContext {
                remote: true,
                ..context
            })),
            Chosen::Foreign {
                trace,
                span,
                sampled,
                state,
            } => of_context(Some(SpanContext {
                trace_id: foreign_trace(trace),
                span_id: SpanId::from_bytes([span; 8]),
                flags: u8::from(sampled),
                trace_state: state.then(|| "vendor=a".into()),
                remote: true,
            })),
        };
        let update = start.update.map(|update| update.build(serial));
        let number = self.next_var;
        let name = name(number);
        let tracer = &self.tracers[start.tracer % self.tracers.len()];
        let start = Start {
            tracer: start.tracer % self.tracers.len(),
            ..start
        };
        let mut begin = SpanStart::new(&name);
        begin.span_type = start.span_type.map(|index| TYPES[index].0);
        begin.parent = parent;
        begin.start_time_ns = start.time.map(|index| TIMES[index].0);
        begin.update = update.as_ref();
        begin.experiment_id = start.experiment.map(|index| EXPERIMENTS[index]);
        let (span, context) = if start.with_context {
            match tracer.start_with_context(begin) {
                Some((span, context)) => (span, Some(context)),
                None => (Span::NONE, None),
            }
        } else {
            let span = tracer.start(begin);
            (span, span.context())
        };
        self.next_var += 1;
        self.vars.push(Var {
            number,
            span,
            context: context.clone(),
        });
        let call = Call::Start {
            var: number,
            parent: from,
            start,
        };
        (call, Answer::Started(context))
    }

    fn act(&mut self, target: Target, action: Action, serial: usize) -> (Call, Answer) {
        let (span, on) = self.target(target);
        let time = |index: usize| TIMES[index].0;
        let value = |index: usize| VALUES[index].value;
        let answer = match action {
            Action::Name(index) => span.set_name(&renamed(index, serial)),
            Action::Type(index) => span.set_type(TYPES[index].0),
            Action::Inputs(index) => span.set_inputs(value(index)),
            Action::Outputs(index) => span.set_outputs(value(index)),
            Action::Attribute(key, index) => span.set_attribute(KEYS[key], value(index)),
            Action::Serial(key) => span.set_attribute(KEYS[key], Value::Int(serial as i64)),
            Action::Level(index) => {
                span.set_attribute("mlflow.spanLogLevel", Value::Int(LEVELS[index]))
            }
            Action::Usage(index) => {
                span.set_attribute("mlflow.chat.tokenUsage", Value::Json(USAGES[index]))
            }
            Action::Big => span.set_attribute("big", Value::Str(big())),
            Action::Event {
                name,
                time: at,
                key,
                value: index,
            } => {
                let attributes = [
                    ("serial", Value::Int(serial as i64)),
                    (KEYS[key], Value::Null),
                    (KEYS[key], value(index)),
                ];
                span.add_event(NAMES[name], at.map(time), &attributes)
            }
            Action::Exception => {
                span.record_exception("ValueError", &format!("bad {serial}"), "at line 1")
            }
            Action::Link { of, bare, value } => {
                return self.link(span, on, of, (!bare).then_some(value), serial);
            }
            Action::Status(status) => span.set_status(code(status), &message(serial)),
            Action::Update(update) => span.update_trace(&update.build(serial)),
            Action::End => span.end(),
            Action::EndAt(index) => span.end_at(time(index)),
            Action::EndWithRecord(index) => {
                let record = span.end_with_record(index.map(time));
                let answer = Answer::Ended(record.map(|record| record.snapshot()));
                return (Call::Act(on, action), answer);
            }
            Action::Read => {
                let reading = Reading {
                    recording: span.is_recording(),
                    context: span.context(),
                    parent: span.parent_id(),
                    has_outputs: span.has_outputs(),
                    snapshot: span.snapshot(),
                };
                return (Call::Act(on, action), Answer::Read(reading));
            }
        };
        (Call::Act(on, action), Answer::Done(answer))
    }

    fn link(
        &self,
        span: Span,
        on: On,
        of: u8,
        value: Option<usize>,
        serial: usize,
    ) -> (Call, Answer) {
        let (trace_id, span_id) = match self.known(of) {
            Some(context) => (context.trace_id, context.span_id),
            None => (foreign_trace(0), SpanId::from_bytes([7; 8])),
        };
        let attributes = [
            ("serial", Value::Int(serial as i64)),
            ("v", value.map_or(Value::Null, |index| VALUES[index].value)),
        ];
        let attributes = if value.is_some() {
            &attributes[..]
        } else {
            &[]
        };
        let answer = span.add_link(trace_id, span_id, attributes);
        (
            Call::Link(on, trace_id, span_id, value),
            Answer::Done(answer),
        )
    }

    fn operate(&mut self, index: usize, operation: TracerOp, serial: usize) -> (Call, Answer) {
        let tracer = &self.tracers[index];
        let trace_update = |update: crate::program::Update, id: TraceId| {
            let answer = tracer.update_trace(id, &update.build(serial));
            (Call::Update(index, id, update), Answer::Done(answer))
        };
        let answer = match operation {
            TracerOp::Update(of, update) => {
                let known = self.known(of).map(|context| context.trace_id);
                return trace_update(update, known.unwrap_or(foreign_trace(0)));
            }
            TracerOp::UpdateUnknown(update) => {
                return trace_update(update, TraceId::from_bytes([0xee; 16]));
            }
            TracerOp::Experiment(experiment) => Answer::Done(
                tracer
                    .set_experiment_id(EXPERIMENTS[experiment])
                    .map_err(|error| error.kind()),
            ),
            TracerOp::Flush => Answer::Left(tracer.flush(PATIENCE)),
            TracerOp::Stats => Answer::Stats(tracer.stats()),
            TracerOp::Shutdown => Answer::Left(tracer.shutdown(PATIENCE)),
            TracerOp::Take => {
                let taken = std::iter::from_fn(|| tracer.next_memory_trace());
                self.taken.extend(taken.map(|text| (index, text)));
                Answer::Nothing
            }
        };
        (Call::Tracer(index, operation), answer)
    }
}

/// The name that a span starts with.
pub(crate) fn name(var: usize) -> String {
    format!("s{var}")
}

/// A name that a span is given later.
pub(crate) fn renamed(index: usize, serial: usize) -> String {
    format!("{}{serial}", NAMES[index])
}

/// The message of a status.
pub(crate) fn message(serial: usize) -> String {
    format!("failed {serial}")
}

fn code(status: Status) -> StatusCode {
    match status {
        Status::Unset => StatusCode::Unset,
        Status::Ok => StatusCode::Ok,
        Status::Error => StatusCode::Error,
    }
}

/// The update as a trace takes it.
pub(crate) fn update(entry: &Entry) -> Option<TraceUpdate> {
    match &entry.call {
        Call::Start { start, .. } => start.update.map(|update| update.build(entry.serial)),
        Call::Act(_, Action::Update(update)) | Call::Update(_, _, update) => {
            Some(update.build(entry.serial))
        }
        _ => None,
    }
}
