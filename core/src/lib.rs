//! The engine of mlflow-trace: records, serialises and exports MLflow traces.
//!
//! ```text
//! host call -> live Span -> Trace (assembled) -> Queue (bounded, bytes) -> Batch -> Exporter
//!                  |              |                                                   |
//!            writes its own   tags, metadata,                        MLflow server, OTLP/JSON file,
//!            OTLP bytes       open spans                             memory
//! ```
//!
//! A span writes its OTLP bytes as its fields are set; exporting is concatenation. Each [`Tracer`]
//! has one thread of its own, on which everything that can wait happens.

mod buffers;
mod builder;
mod clock;
mod depth;
mod destination;
mod ending;
mod export;
mod finished;
#[cfg(fuzzing)]
pub mod fuzzing;
mod hooks;
mod ingest;
mod limits;
mod live;
mod local;
mod lock;
mod mlflow;
mod options;
mod otlp;
mod pipeline;
mod plugins;
mod processor;
mod record;
mod redact;
mod resource;
mod sampler;
mod secret;
mod shared;
mod slot;
mod start;
mod state;
mod sync;
mod token;
mod update;
mod uri;

pub mod client;
pub mod config;
pub mod context;
pub mod diagnostics;
pub mod dialects;
pub mod error;
pub mod id;
pub mod json;
pub mod otel;
pub mod process;
pub mod propagation;
pub mod span;
#[doc(hidden)]
pub mod spool;
pub mod trace;
pub mod tracer;
pub mod value;

pub use builder::TracerBuilder;
pub use client::{Client, Experiment};
pub use config::Config;
pub use context::SpanContext;
pub use diagnostics::Diagnostic;
pub use dialects::{Dialect, ReplyFacts, RequestFacts};
pub use error::{Error, ErrorKind, Recorded, Result};
pub use id::{SpanId, TraceId};
pub use ingest::HostRules;
pub use mlflow::attachment::Attachment;
pub use pipeline::health::{DeliveryError, Health};
pub use pipeline::stats::{MirrorStats, RecoveredStats, Stats};
pub use process::Process;
pub use processor::{ProcessorError, SpanProcessor};
pub use propagation::{
    Baggage, BaggageMember, extract, extract_baggage, extract_headers, inject, inject_baggage,
};
pub use sampler::Decision;
pub use secret::Secret;
pub use span::{Span, SpanRecord, StatusCode};
pub use token::TokenProvider;
pub use trace::{TraceState, TraceUpdate};
pub use tracer::{Parent, SpanStart, Tracer};
pub use value::Value;

/// The version of this library.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
