//! The current span of OpenTelemetry's API, where spans of both kinds share traces: each is the parent of what starts
//! inside it, whichever API starts that. What is called here is `mlflow_trace._otel_context`, once somebody has
//! joined the two.

use std::sync::Arc;

use mlflow_trace_core::{SpanContext, SpanId, TraceId};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// Functions of `mlflow_trace._otel_context`.
struct Hooks {
    current: Py<PyAny>,
    enter: Py<PyAny>,
    leave: Py<PyAny>,
}

static HOOKS: PyOnceLock<Hooks> = PyOnceLock::new();

/// Joins the two kinds of spans from now on, by functions that tell OpenTelemetry's current span, make one of ours
/// current and undo that.
#[pyfunction]
pub(crate) fn join_otel(py: Python<'_>, current: Py<PyAny>, enter: Py<PyAny>, leave: Py<PyAny>) {
    HOOKS.get_or_init(py, || Hooks {
        current,
        enter,
        leave,
    });
}

/// Before the first span: shares traces with OpenTelemetry's global provider if the environment asks for it.
#[inline]
pub(crate) fn begin(py: Python<'_>) {
    static BEGUN: PyOnceLock<()> = PyOnceLock::new();
    BEGUN.get_or_init(py, || {
        let unify = py
            .import(intern!(py, "mlflow_trace.tracing.otel_provider"))
            .and_then(|module| module.getattr(intern!(py, "unify")));
        let _ = unify.and_then(|unify| unify.call1((true,)));
    });
}

/// Ids, flags, trace state and whether it is remote.
type Parts = ([u8; 16], [u8; 8], u8, Option<String>, bool);

/// OpenTelemetry's current span, unless that stands for the current one of ours.
#[inline]
pub(crate) fn current(py: Python<'_>) -> Option<SpanContext> {
    HOOKS.get(py).and_then(|hooks| ask(py, hooks))
}

#[cold]
fn ask(py: Python<'_>, hooks: &Hooks) -> Option<SpanContext> {
    let answer = hooks.current.bind(py).call0().ok()?;
    let (trace_id, span_id, flags, trace_state, remote) =
        answer.extract::<Option<Parts>>().ok()??;
    Some(SpanContext {
        trace_id: TraceId::from_bytes(trace_id),
        span_id: SpanId::from_bytes(span_id),
        flags,
        trace_state: trace_state.map(Arc::from),
        remote,
    })
}

/// Makes a span of ours OpenTelemetry's current one; the answer undoes it by [`leave`].
#[inline]
pub(crate) fn enter(py: Python<'_>, span: &SpanContext) -> Option<Py<PyAny>> {
    HOOKS.get(py).and_then(|hooks| attach(py, hooks, span))
}

#[cold]
fn attach(py: Python<'_>, hooks: &Hooks, span: &SpanContext) -> Option<Py<PyAny>> {
    let ids = (span.trace_id.bytes(), span.span_id.bytes());
    let state = span.trace_state.as_deref();
    let token = hooks
        .enter
        .bind(py)
        .call1((&ids.0[..], &ids.1[..], span.flags, state));
    token.ok().map(Bound::unbind)
}

/// Undoes [`enter`].
#[inline]
pub(crate) fn leave(py: Python<'_>, token: Option<Py<PyAny>>) {
    if let Some((hooks, token)) = HOOKS.get(py).zip(token) {
        let _ = hooks.leave.bind(py).call1((token,));
    }
}
