//! Random programs: what the host does, without what comes of it.

use mlflow_trace_core::TraceUpdate;
use proptest::prelude::*;

use crate::table::{EXPERIMENTS, KEYS, LEVELS, NAMES, TIMES, TYPES, USAGES, VALUES};

/// A program: a beginning in one thread, then several at once, then the end in one thread again.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) tracers: usize,
    /// With so small a queue that traces may be dropped.
    pub(crate) tight: bool,
    pub(crate) setup: Vec<Op>,
    pub(crate) threads: Vec<Vec<Op>>,
    /// Whether what is still open ends before the tracers are shut down.
    pub(crate) ends_all: bool,
}

/// One call. Which span or trace it is about is a number that the runner takes modulo what there is, so
/// that a program stays one when calls are taken away from it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Start(Start),
    Act(Target, Action),
    Tracer(usize, TracerOp),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) tracer: usize,
    pub(crate) parent: Parent,
    pub(crate) span_type: Option<usize>,
    pub(crate) time: Option<usize>,
    pub(crate) update: Option<Update>,
    pub(crate) experiment: Option<usize>,
    /// Through `start_with_context`.
    pub(crate) with_context: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Parent {
    None,
    /// Live, ended or of another tracer, as it happens.
    Span(u8),
    /// The context of a span of this program.
    Known(u8),
    /// A span of another process, in one of a few traces.
    Foreign {
        trace: u8,
        span: u8,
        sampled: bool,
        state: bool,
    },
    /// A handle that was never given out.
    Forged(u8, Forgery),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    Span(u8),
    Forged(u8, Forgery),
}

/// What a handle is turned into.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Forgery {
    None,
    Add(u64),
    Flip(u8),
    Swap,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Name(usize),
    Type(usize),
    Inputs(usize),
    Outputs(usize),
    Attribute(usize, usize),
    Level(usize),
    Usage(usize),
    /// The value is the number of the call.
    Serial(usize),
    /// As large as the queue nearly.
    Big,
    Event {
        name: usize,
        time: Option<usize>,
        key: usize,
        value: usize,
    },
    Exception,
    Link {
        of: u8,
        bare: bool,
        value: usize,
    },
    Status(Status),
    Update(Update),
    End,
    EndAt(usize),
    EndWithRecord(Option<usize>),
    Read,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Unset,
    Ok,
    Error,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum TracerOp {
    Update(u8, Update),
    UpdateUnknown(Update),
    Experiment(usize),
    Flush,
    Stats,
    Take,
    Shutdown,
}

/// Changes of a trace's information: a bit for every field, values made of the number of the call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Update {
    pub(crate) fields: u16,
    pub(crate) style: Style,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Style {
    Plain,
    Empty,
    /// Beyond every limit.
    Long,
}

impl Update {
    pub(crate) const STATE_OK: u16 = 1 << 9;
    pub(crate) const STATE_ERROR: u16 = 1 << 10;

    pub(crate) fn build(self, serial: usize) -> TraceUpdate {
        use mlflow_trace_core::TraceState;
        let text = || match self.style {
            Style::Plain => format!("u{serial}"),
            Style::Empty => String::new(),
            Style::Long => format!("u{serial}-{}", "é".repeat(4200)),
        };
        let field = |bit: u16| (self.fields & 1 << bit != 0).then(text);
        let pair = |bit: u16, key: &str| field(bit).map(|value| (key.to_owned(), value));
        let key = match self.style {
            Style::Long => "k".repeat(300),
            _ => "k".to_owned(),
        };
        TraceUpdate {
            tags: [pair(0, "a"), pair(1, "b")].into_iter().flatten().collect(),
            metadata: [pair(2, "m"), pair(3, &key)]
                .into_iter()
                .flatten()
                .collect(),
            client_request_id: field(4),
            request_preview: field(5),
            response_preview: field(6),
            session_id: field(7),
            user: field(8),
            state: match self.fields {
                fields if fields & Self::STATE_OK != 0 => Some(TraceState::Ok),
                fields if fields & Self::STATE_ERROR != 0 => Some(TraceState::Error),
                _ => None,
            },
            model_id: field(11),
            ..TraceUpdate::default()
        }
    }
}

fn index(length: usize) -> impl Strategy<Value = usize> + Clone {
    0..length
}

fn maybe<S: Strategy>(weight: f64, of: S) -> impl Strategy<Value = Option<S::Value>> {
    prop::option::weighted(weight, of)
}

fn update() -> impl Strategy<Value = Update> {
    let style = prop_oneof![
        8 => Just(Style::Plain),
        1 => Just(Style::Empty),
        1 => Just(Style::Long),
    ];
    // Few fields at once, so that updates add up instead of replacing all of each other.
    (any::<u16>(), any::<u16>(), style).prop_map(|(some, of, style)| Update {
        fields: some & of & 0xfff,
        style,
    })
}

fn forgery() -> impl Strategy<Value = Forgery> {
    prop_oneof![
        Just(Forgery::None),
        prop_oneof![Just(1), Just(2), Just(u64::MAX), Just(u64::MAX - 1)].prop_map(Forgery::Add),
        (0u8..64).prop_map(Forgery::Flip),
        Just(Forgery::Swap),
    ]
}

fn parent() -> impl Strategy<Value = Parent> {
    let foreign =
        (0u8..2, 1u8..4, any::<bool>(), any::<bool>()).prop_map(|(trace, span, sampled, state)| {
            Parent::Foreign {
                trace,
                span,
                sampled,
                state,
            }
        });
    prop_oneof![
        4 => Just(Parent::None),
        10 => any::<u8>().prop_map(Parent::Span),
        3 => any::<u8>().prop_map(Parent::Known),
        2 => foreign,
        1 => (any::<u8>(), forgery()).prop_map(|(of, forgery)| Parent::Forged(of, forgery)),
    ]
}

fn start() -> impl Strategy<Value = Op> {
    (
        index(2),
        parent(),
        maybe(0.4, index(TYPES.len())),
        maybe(0.2, index(TIMES.len())),
        maybe(0.2, update()),
        maybe(0.1, index(EXPERIMENTS.len())),
        any::<bool>(),
    )
        .prop_map(
            |(tracer, parent, span_type, time, update, experiment, with_context)| {
                Op::Start(Start {
                    tracer,
                    parent,
                    span_type,
                    time,
                    update,
                    experiment,
                    with_context,
                })
            },
        )
}

fn end() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => Just(Action::End),
        1 => index(TIMES.len()).prop_map(Action::EndAt),
        1 => maybe(0.3, index(TIMES.len())).prop_map(Action::EndWithRecord),
    ]
}

fn recording() -> impl Strategy<Value = Action> {
    let value = || index(VALUES.len());
    let event = (
        index(NAMES.len()),
        maybe(0.5, index(TIMES.len())),
        index(KEYS.len()),
        value(),
    )
        .prop_map(|(name, time, key, value)| Action::Event {
            name,
            time,
            key,
            value,
        });
    prop_oneof![
        1 => index(NAMES.len()).prop_map(Action::Name),
        1 => index(TYPES.len()).prop_map(Action::Type),
        2 => value().prop_map(Action::Inputs),
        2 => value().prop_map(Action::Outputs),
        5 => (index(KEYS.len()), value()).prop_map(|(key, value)| Action::Attribute(key, value)),
        3 => index(KEYS.len()).prop_map(Action::Serial),
        1 => index(LEVELS.len()).prop_map(Action::Level),
        2 => index(USAGES.len()).prop_map(Action::Usage),
        2 => event,
        1 => Just(Action::Exception),
        1 => (any::<u8>(), any::<bool>(), value())
            .prop_map(|(of, bare, value)| Action::Link { of, bare, value }),
        1 => prop_oneof![Just(Status::Unset), Just(Status::Ok), Just(Status::Error)]
            .prop_map(Action::Status),
        2 => update().prop_map(Action::Update),
        2 => Just(Action::Read),
    ]
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        15 => any::<u8>().prop_map(Target::Span),
        1 => (any::<u8>(), forgery()).prop_map(|(of, forgery)| Target::Forged(of, forgery)),
    ]
}

fn tracer_op() -> impl Strategy<Value = Op> {
    let operation = prop_oneof![
        3 => (any::<u8>(), update()).prop_map(|(of, update)| TracerOp::Update(of, update)),
        1 => update().prop_map(TracerOp::UpdateUnknown),
        1 => index(EXPERIMENTS.len()).prop_map(TracerOp::Experiment),
        3 => Just(TracerOp::Flush),
        2 => Just(TracerOp::Stats),
        1 => Just(TracerOp::Take),
        1 => Just(TracerOp::Shutdown),
    ];
    (index(2), operation).prop_map(|(tracer, operation)| Op::Tracer(tracer, operation))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        9 => start(),
        8 => (target(), end()).prop_map(|(target, end)| Op::Act(target, end)),
        14 => (target(), recording()).prop_map(|(target, action)| Op::Act(target, action)),
        2 => tracer_op(),
    ]
}

/// Programs of one thread.
pub(crate) fn sequential() -> impl Strategy<Value = Program> {
    (
        1usize..=2,
        prop::collection::vec(op(), 1..=40),
        any::<bool>(),
    )
        .prop_map(|(tracers, setup, ends_all)| Program {
            tracers,
            tight: false,
            setup,
            threads: Vec::new(),
            ends_all,
        })
}

/// A call that takes long while others wait for the span.
fn big() -> impl Strategy<Value = Op> {
    any::<u8>().prop_map(|of| Op::Act(Target::Span(of), Action::Big))
}

/// Programs that hold more than their queue.
pub(crate) fn overflowing() -> impl Strategy<Value = Program> {
    let op = prop_oneof![2 => op(), 1 => big()];
    (1usize..=2, prop::collection::vec(op, 1..=40)).prop_map(|(tracers, setup)| Program {
        tracers,
        tight: true,
        setup,
        threads: Vec::new(),
        ends_all: true,
    })
}

/// Programs of several threads that share spans.
pub(crate) fn concurrent() -> impl Strategy<Value = Program> {
    let thread = prop::collection::vec(prop_oneof![30 => op(), 1 => big()], 1..=10);
    (
        1usize..=2,
        prop::collection::vec(op(), 1..=6),
        prop::collection::vec(thread, 2..=4),
        any::<bool>(),
    )
        .prop_map(|(tracers, setup, threads, ends_all)| Program {
            tracers,
            tight: false,
            setup,
            threads,
            ends_all,
        })
}
