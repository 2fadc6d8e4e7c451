//! What a server stores, with MLflow's names, read from any form that a version of it writes and written in the one of
//! MLflow 3.17.2.

mod assessment;
mod experiment;
mod info;
mod location;
mod member;
mod otlp_json;
mod otlp_wire;
mod span;
mod trace;

pub use assessment::{
    Assessment, AssessmentError, AssessmentSource, AssessmentValue, Expectation, Feedback,
    IssueReference, SourceType,
};
pub use experiment::Experiment;
pub use info::{TraceInfo, TraceStatus};
pub use location::TraceLocation;
pub use span::{Link, Span, SpanEvent, SpanStatus};
pub use trace::{Trace, TraceData};
