//! The libraries that are measured.

mod fastrace;
mod opentelemetry;
mod ours;

use std::sync::Arc;

use crate::protocol::Counts;
use crate::work::{Mode, Work};

pub(crate) use self::ours::Ours;

/// A tracing library set up to record as in production and to drop what arrives at its sink.
pub(crate) trait Library: Send + Sync {
    /// Records `spans` spans on this thread; returns how many it started, roots included.
    fn record(&self, work: Work, mode: Mode, spans: usize) -> u64;

    /// Waits for the sink and tells what it got; `started` is filled in where the library counts it.
    fn settle(&self) -> Counts;

    /// How many of the started spans have to arrive at the sink.
    fn expected(&self, started: u64) -> u64 {
        started
    }
}

/// What is measured; its workers carry its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// Our Rust API.
    Rust,
    /// Our C ABI, called from C.
    C,
    /// `opentelemetry_sdk` with a batch processor: a queue and a thread of its own, as our engine has.
    OpenTelemetry,
    /// `opentelemetry_sdk` with a processor that drops the span at once.
    OpenTelemetryDrop,
    /// fastrace's spans, which may go from thread to thread as ours do.
    Fastrace,
    /// fastrace's spans that stay on their thread, inside the parent's scope.
    FastraceLocal,
    /// Our Rust API, sampling nothing.
    Unsampled,
}

impl Subject {
    pub(crate) const ALL: [Subject; 7] = [
        Subject::Rust,
        Subject::C,
        Subject::OpenTelemetry,
        Subject::OpenTelemetryDrop,
        Subject::Fastrace,
        Subject::FastraceLocal,
        Subject::Unsampled,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Subject::Rust => "mlflow-trace Rust",
            Subject::C => "mlflow-trace C",
            Subject::OpenTelemetry => "opentelemetry_sdk",
            Subject::OpenTelemetryDrop => "opentelemetry_sdk, lower bound",
            Subject::Fastrace => "fastrace",
            Subject::FastraceLocal => "fastrace, local spans",
            Subject::Unsampled => "mlflow-trace Rust, sampled out",
        }
    }

    /// Its name and how it is given attributes.
    pub(crate) fn label(self, work: Work, mode: Mode) -> String {
        let how = match (work, mode, self) {
            (Work::W1, _, _) => return self.name().to_owned(),
            (_, Mode::OneByOne, _) => "one by one",
            (_, _, Subject::OpenTelemetry | Subject::OpenTelemetryDrop) => "by builder",
            (_, _, Subject::C | Subject::Fastrace | Subject::FastraceLocal) => "at once",
            (_, _, Subject::Rust | Subject::Unsampled) => "at start",
        };
        format!("{}, {how}", self.name())
    }

    pub(crate) fn parse(name: &str) -> Option<Subject> {
        Subject::ALL
            .into_iter()
            .find(|subject| subject.name() == name)
    }

    /// The modes that it is measured in.
    pub(crate) fn modes(self) -> &'static [Mode] {
        match self {
            Subject::Fastrace | Subject::FastraceLocal => &[Mode::Together],
            _ => &Mode::ALL,
        }
    }

    /// Whether it has such spans: fastrace's local ones cannot be roots.
    pub(crate) fn does(self, work: Work) -> bool {
        self != Subject::FastraceLocal || work != Work::W1
    }

    /// Sets the library up for runs of at most `queue` spans; the reason where it lacks what that takes.
    pub(crate) fn open(self, queue: usize) -> Result<Arc<dyn Library>, String> {
        Ok(match self {
            Subject::Rust => Arc::new(Ours::new(&[])?),
            Subject::C => return Err("it is measured by a program in C".into()),
            Subject::OpenTelemetry => Arc::new(opentelemetry::OpenTelemetry::batch(queue)),
            Subject::OpenTelemetryDrop => Arc::new(opentelemetry::OpenTelemetry::drop_at_once()),
            Subject::Fastrace => Arc::new(fastrace::Fastrace::new(false)),
            Subject::FastraceLocal => Arc::new(fastrace::Fastrace::new(true)),
            Subject::Unsampled => Arc::new(Ours::new(&[("sampling.ratio", "0")])?),
        })
    }
}
