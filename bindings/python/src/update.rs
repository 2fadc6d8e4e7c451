//! Changes to the trace around the current span, and which trace was the last.

use std::sync::Mutex;

use mlflow_trace_core::{TraceId, TraceState, TraceUpdate};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::context::Current;
use crate::error::{invalid_argument, raise, warn};
use crate::lock::lock;
use crate::settings::{optional_text, pairs};
use crate::text::{text_of, utf8};
use crate::{engine, join};

/// Updates the trace of the current span; what is not given stays as it is.
///
/// Without a current span there is only a warning. Raises `InvalidArgumentError` for a preview that
/// is no string and for a state other than OK and ERROR.
#[pyfunction]
#[pyo3(signature = (tags = None, metadata = None, client_request_id = None, request_preview = None,
    response_preview = None, state = None, model_id = None, session_id = None, user = None))]
#[expect(
    clippy::too_many_arguments,
    reason = "the parameters of MLflow's function"
)]
pub(crate) fn update_current_trace(
    py: Python<'_>,
    tags: Option<&Bound<'_, PyAny>>,
    metadata: Option<&Bound<'_, PyAny>>,
    client_request_id: Option<&Bound<'_, PyAny>>,
    request_preview: Option<&Bound<'_, PyAny>>,
    response_preview: Option<&Bound<'_, PyAny>>,
    state: Option<&Bound<'_, PyAny>>,
    model_id: Option<&Bound<'_, PyAny>>,
    session_id: Option<&Bound<'_, PyAny>>,
    user: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    // Below a span of OpenTelemetry's, the trace is that one's.
    let nearest = join::current(py);
    let span = Current::read(py).span(py);
    if nearest.is_none() && span.is_none() {
        return warn(
            py,
            "no active trace to update; start a span with start_span or @trace first",
        );
    }
    let update = TraceUpdate {
        tags: pairs("tags", tags)?,
        metadata: pairs("metadata", metadata)?,
        client_request_id: optional_text(client_request_id)?,
        request_preview: preview("request_preview", request_preview)?,
        response_preview: preview("response_preview", response_preview)?,
        state: state.map(parse_state).transpose()?,
        session_id: optional_text(session_id)?,
        user: optional_text(user)?,
        model_id: optional_text(model_id)?,
        ..TraceUpdate::default()
    };
    match (nearest, span) {
        (Some(nearest), _) => {
            engine::with_tracer(py, |tracer| {
                let _ = tracer.update_trace(nearest.trace_id, &update);
            });
        }
        (None, Some(span)) => {
            let _ = span.get().handle.update_trace(&update);
        }
        (None, None) => {}
    }
    Ok(())
}

fn preview(name: &str, value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<String>> {
    let Some(value) = value else {
        return Ok(None);
    };
    match value.cast::<PyString>() {
        Ok(text) => Ok(Some(utf8(text).into_owned())),
        Err(_) => Err(invalid_argument(
            value.py(),
            format!("the `{name}` parameter must be a string"),
        )),
    }
}

fn parse_state(value: &Bound<'_, PyAny>) -> PyResult<TraceState> {
    TraceState::parse(&text_of(value)?).map_err(|error| raise(value.py(), &error))
}

static LAST_OF_PROCESS: Mutex<Option<TraceId>> = Mutex::new(None);

/// Notes the trace whose root has just ended.
pub(crate) fn remember_trace(id: TraceId) {
    *lock(&LAST_OF_PROCESS) = Some(id);
}

/// The id of the trace whose root ended last, in the process or in this thread or task.
#[pyfunction]
#[pyo3(signature = (thread_local = false))]
pub(crate) fn get_last_active_trace_id(py: Python<'_>, thread_local: bool) -> Option<String> {
    let last = match thread_local {
        false => *lock(&LAST_OF_PROCESS),
        true => Current::read(py).last(),
    };
    last.map(|id| id.to_mlflow())
}
