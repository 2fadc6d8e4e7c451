//! The native module of the Python package `mlflow-trace`.
//!
//! ```text
//! Python object -> json (JSON text) -> core::Span
//! contextvar    -> context          -> parent and scope of a new span
//! configure     -> engine           -> the process-wide core::Tracer
//! ```
//!
//! Recording never raises: a value that cannot be written becomes a placeholder. The one exception
//! that passes is `KeyboardInterrupt`, because it belongs to the user.

use pyo3::prelude::*;

mod attachment;
mod attribute;
mod command;
mod context;
mod destination;
mod dialect;
mod engine;
mod error;
mod finder;
mod hook;
mod interpreter;
mod join;
mod json;
mod lock;
mod merge;
mod messages;
mod model_call;
mod option;
mod otel;
mod parameters;
mod settings;
mod span;
mod start;
mod text;
mod update;
mod view;
mod wait;

/// The engine behind the Python package; import `mlflow_trace` instead.
#[pymodule(gil_used = false)]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::attachment::Content;
    #[pymodule_export]
    use crate::command::run_command;
    #[pymodule_export]
    use crate::context::{
        ContextScope, get_active_trace_id, get_current_active_span, headers, remote_scope,
        trace_scope,
    };
    #[pymodule_export]
    use crate::destination::set_destination;
    #[pymodule_export]
    use crate::dialect::{dialect_fold, dialect_reply, dialect_request};
    #[pymodule_export]
    use crate::engine::{
        client, configure, diagnostics, flush, get_option, health, is_enabled, memory_traces,
        set_enabled, set_experiment, shutdown, stats, tracking_server,
    };
    #[pymodule_export]
    use crate::error::error_kinds;
    #[pymodule_export]
    use crate::finder::set_span_finder;
    #[pymodule_export]
    use crate::hook::{refuse_end_hook, set_end_hook};
    #[pymodule_export]
    use crate::join::join_otel;
    #[pymodule_export]
    use crate::json::to_json;
    #[pymodule_export]
    use crate::merge::{merge_span, supplement_trace};
    #[pymodule_export]
    use crate::model_call::{
        Tap, is_covered, record_reply, record_request, record_stream, span_headers, span_scope,
    };
    #[pymodule_export]
    use crate::otel::{OtelExporter, otel_end, otel_start};
    #[pymodule_export]
    use crate::parameters::Parameters;
    #[pymodule_export]
    use crate::span::LiveSpan;
    #[pymodule_export]
    use crate::start::{SpanScope, start_sampled_span, start_span, start_span_no_context};
    #[pymodule_export]
    use crate::update::{get_last_active_trace_id, update_current_trace};

    #[pymodule_export]
    const VERSION: &str = mlflow_trace_core::VERSION;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::interpreter::claim(module.py())
    }
}
