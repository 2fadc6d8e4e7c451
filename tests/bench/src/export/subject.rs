//! The exporters that are measured.

use crate::work::Work;

/// Spans of a trace: a root and its children, each with the attributes of the workload.
pub(crate) const SPANS: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Our engine to a collector.
    Otlp,
    /// Our engine to an MLflow server, with requests of spans and nothing else, not compressed.
    SpansOnly,
    /// Our engine to an MLflow server: trace information as well, and compressed bodies.
    Mlflow,
    /// opentelemetry_sdk's batch processor with opentelemetry-otlp, http/protobuf.
    OpenTelemetry,
}

impl Subject {
    pub(crate) const ALL: [Subject; 4] = [
        Subject::Otlp,
        Subject::SpansOnly,
        Subject::Mlflow,
        Subject::OpenTelemetry,
    ];

    /// The one that the targets are about: it does what its peer does.
    pub(crate) const BEST: Subject = Subject::Otlp;

    pub(crate) fn key(self) -> &'static str {
        match self {
            Subject::Otlp => "otlp",
            Subject::SpansOnly => "spans-only",
            Subject::Mlflow => "mlflow",
            Subject::OpenTelemetry => "opentelemetry",
        }
    }

    pub(crate) fn parse(key: &str) -> Option<Subject> {
        Subject::ALL
            .into_iter()
            .find(|subject| subject.key() == key)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Subject::Otlp => "mlflow-trace, exporter=otlp",
            Subject::SpansOnly => "mlflow-trace, exporter=mlflow, spans only",
            Subject::Mlflow => "mlflow-trace, exporter=mlflow",
            Subject::OpenTelemetry => "opentelemetry-otlp",
        }
    }

    /// Options of our engine beside the exporter.
    pub(crate) fn options(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Subject::SpansOnly => &[
                ("export.trace_info", "spans_only"),
                ("export.compression", "none"),
            ],
            _ => &[],
        }
    }

    /// What the sink is.
    pub(crate) fn version(self) -> Option<&'static str> {
        match self {
            Subject::Otlp | Subject::OpenTelemetry => None,
            Subject::SpansOnly | Subject::Mlflow => Some("3.17.2"),
        }
    }

    /// How many traces are recorded in a run. With a request for each, fewer will do.
    pub(crate) fn traces(self, traces: usize, work: Work) -> usize {
        let traces = match work {
            Work::W3 => traces / 3,
            _ => traces,
        };
        match self {
            Subject::Mlflow => traces / 10,
            _ => traces,
        }
    }
}
