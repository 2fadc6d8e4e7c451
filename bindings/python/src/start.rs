//! Starting spans: the context manager `start_span` and the detached `start_span_no_context`.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, OnceLock};

use mlflow_trace_core::propagation::SAMPLED;
use mlflow_trace_core::{SpanContext, SpanStart, TraceUpdate};
use pyo3::exceptions::PyGeneratorExit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

use crate::context::{self, ContextScope, Current, Place};
use crate::error::warn;
use crate::lock::lock;
use crate::settings::{SOURCE_RUN, merge, optional_text, pairs, tags as read_tags};
use crate::span::{LiveSpan, time_argument};
use crate::text::{contain, str_of, text_of, utf8};
use crate::{destination, engine, finder, hook, join, messages, view};

/// What the caller asks of a new trace.
#[derive(Default)]
struct Wishes {
    update: Option<TraceUpdate>,
    experiment_id: Option<String>,
    sampling_ratio: Option<f64>,
}

/// What became of a span.
enum Started<'py> {
    Live(Bound<'py, LiveSpan>),
    /// Its trace is not sampled.
    Unsampled(SpanContext),
    /// Nothing is recorded: where it is switched off, in a trace that is not sampled, after shutdown.
    Off,
}

#[inline]
fn start<'py>(
    py: Python<'py>,
    name: &Bound<'py, PyString>,
    span_type: Option<&str>,
    place: Place,
    start_time_ns: Option<u64>,
    wishes: &Wishes,
) -> PyResult<Started<'py>> {
    let settings = place.settings;
    let inherited = settings.as_deref();
    let is_off = inherited.is_some_and(|settings| settings.enabled == Some(false));
    if place.unsampled || is_off || !engine::is_enabled(py) {
        return Ok(Started::Off);
    }
    let text = utf8(name);
    let request = SpanStart {
        name: &text,
        span_type,
        parent: place.parent,
        start_time_ns,
        update: wishes
            .update
            .as_ref()
            .or(inherited.map(|settings| &settings.update)),
        experiment_id: wishes.experiment_id.as_deref(),
        sampling_ratio: wishes.sampling_ratio,
        ..SpanStart::default()
    };
    let started = match place.tracer {
        Some(tracer) => tracer.start_with_context(request).zip(Some(tracer)),
        None => engine::with_tracer(py, |tracer| {
            tracer.start_with_context(request).zip(Some(tracer.clone()))
        })
        .flatten(),
    };
    let Some(((handle, context), tracer)) = started else {
        return Ok(Started::Off);
    };
    // What is recorded only for its errors is not sampled, but live.
    if context.flags & SAMPLED == 0 && !handle.is_recording() {
        let _ = handle.end();
        return Ok(Started::Unsampled(context));
    }
    let withheld = hook::reasons();
    if withheld != 0 {
        let _ = handle.withhold();
    }
    let span = LiveSpan {
        handle,
        tracer,
        context,
        parent: place.parent_id,
        name: name.clone().unbind(),
        settings,
        last: place.last,
        order: finder::order(),
        abandoned: AtomicBool::new(false),
        withheld,
        ending: AtomicBool::new(false),
        covers: AtomicBool::new(false),
        record: OnceLock::new(),
    };
    // Made an object here: the struct is large, and would be copied on its way.
    Bound::new(py, span).map(Started::Live)
}

/// The name of a span; anything that is no string is written as `str(name)`.
fn span_name<'py>(
    py: Python<'py>,
    name: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyString>> {
    match name {
        None => Ok(intern!(py, "span").clone()),
        Some(name) => match name.cast::<PyString>() {
            Ok(name) => Ok(name.clone()),
            Err(_) => Ok(PyString::new(py, &str_of(name)?)),
        },
    }
}

/// The span that stands for one that is not recorded.
fn no_op(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static NO_OP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let span = NO_OP.get_or_try_init(py, || {
        let class = py
            .import(intern!(py, "mlflow_trace.entities"))?
            .getattr(intern!(py, "NoOpSpan"))?;
        class.call0().map(Bound::unbind)
    })?;
    Ok(span.bind(py).clone())
}

/// What `start_span` was asked for; read when the scope is entered.
struct Request {
    name: Option<Py<PyAny>>,
    span_type: Option<Py<PyAny>>,
    attributes: Option<Py<PyAny>>,
    trace_destination: Option<Py<PyAny>>,
    log_level: Option<Py<PyAny>>,
    run_id: Option<Py<PyAny>>,
    links: Option<Py<PyAny>>,
    description: Option<Py<PyAny>>,
    sampling_ratio: Option<f64>,
}

/// What a scope has made current.
enum Inside {
    Span {
        span: Py<LiveSpan>,
        token: Option<Py<PyAny>>,
        /// Of OpenTelemetry's context.
        joined: Option<Py<PyAny>>,
    },
    Unsampled(Box<ContextScope>),
    Nothing,
}

struct Entered {
    inside: Inside,
    /// The scope was entered again before it was left.
    outer: Option<Box<Entered>>,
}

/// The context manager of `start_span`: a span that is current while it is open.
#[pyclass(frozen, module = "mlflow_trace._native")]
pub(crate) struct SpanScope {
    request: Request,
    entered: Mutex<Option<Entered>>,
}

#[pymethods]
impl SpanScope {
    fn __enter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let span = match self.request.start(py)? {
            Started::Live(span) => span,
            Started::Unsampled(context) => {
                let scope = context::unsampled(py, context)?;
                scope.enter(py);
                self.push(Inside::Unsampled(Box::new(scope)));
                return no_op(py);
            }
            Started::Off => {
                self.push(Inside::Nothing);
                return no_op(py);
            }
        };
        self.push(Inside::Span {
            token: context::enter(py, span.as_any()).ok().map(Bound::unbind),
            joined: join::enter(py, &span.get().context),
            span: span.clone().unbind(),
        });
        if let Err(interrupt) = self.request.dress(span.get(), py) {
            // Nobody will leave a scope whose entering failed.
            self.leave(py, None)?;
            return Err(interrupt);
        }
        Ok(span.into_any())
    }

    /// Starts the span without making it current. Returns it, and the scope in which it is current.
    fn detached<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, ContextScope)> {
        let span = match self.request.start(py)? {
            Started::Live(span) => span,
            Started::Unsampled(context) => {
                return Ok((no_op(py)?, context::unsampled(py, context)?));
            }
            Started::Off => return Ok((no_op(py)?, context::silence(py)?)),
        };
        self.request.dress(span.get(), py)?;
        Ok((span.clone().into_any(), context::activation(span)))
    }

    #[pyo3(signature = (exc_type, exc_value, traceback, /))]
    #[expect(unused_variables, reason = "the protocol fixes the arguments")]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: &Bound<'_, PyAny>,
        exc_value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        // Closing a generator is how its user says "enough", not a failure.
        let failed = !exc_value.is_none() && !exc_value.is_instance_of::<PyGeneratorExit>();
        self.leave(py, failed.then_some(exc_value))
    }
}

impl SpanScope {
    #[inline]
    fn push(&self, inside: Inside) {
        let mut entered = lock(&self.entered);
        *entered = Some(Entered {
            inside,
            outer: entered.take().map(Box::new),
        });
    }

    /// Ends the span that was entered last, as failed where there is an exception.
    fn leave(&self, py: Python<'_>, exception: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let mut entered = lock(&self.entered);
        let Some(left) = entered.take() else {
            return Ok(());
        };
        *entered = left.outer.map(|outer| *outer);
        drop(entered);
        let (span, token) = match left.inside {
            Inside::Span {
                span,
                token,
                joined,
            } => {
                join::leave(py, joined);
                (span.into_bound(py), token)
            }
            Inside::Unsampled(scope) => {
                scope.leave(py);
                return Ok(());
            }
            Inside::Nothing => return Ok(()),
        };
        if let Some(token) = token {
            context::leave(py, &span, token);
        }
        let described = exception.map_or(Ok(()), |exception| span.get().fail(exception));
        let finished = LiveSpan::finish(&span, None);
        described
            .and(finished)
            .and(messages::pull(py, &span.get().tracer))
    }
}

impl Request {
    fn scope(self) -> SpanScope {
        SpanScope {
            request: self,
            entered: Mutex::new(None),
        }
    }

    fn start<'py>(&self, py: Python<'py>) -> PyResult<Started<'py>> {
        let name = span_name(py, self.name.as_ref().map(|name| name.bind(py)))?;
        let span_type = self
            .span_type
            .as_ref()
            .map(|kind| text_of(kind.bind(py)))
            .transpose()?;
        join::begin(py);
        let place = Current::read(py).joined_place(py);
        let wishes = self.wishes(py, &place)?;
        start(py, &name, span_type.as_deref(), place, None, &wishes)
    }

    fn wishes(&self, py: Python<'_>, place: &Place) -> PyResult<Wishes> {
        let mut wishes = Wishes {
            sampling_ratio: self.sampling_ratio,
            experiment_id: destination_of(py, place),
            ..Wishes::default()
        };
        if self.run_id.is_none() && self.trace_destination.is_none() {
            return Ok(wishes);
        }
        if place.parent_id.is_some() {
            let text =
                "`run_id` and `trace_destination` belong to root spans; here they are ignored";
            return warn(py, text).map(|()| wishes);
        }
        if let Some(run_id) = &self.run_id {
            let mut update = place.settings().update;
            let run_id = text_of(run_id.bind(py))?.into_owned();
            merge(&mut update.metadata, vec![(SOURCE_RUN.to_owned(), run_id)]);
            wishes.update = Some(update);
        }
        if let Some(destination) = &self.trace_destination {
            let explicit = experiment_of(destination.bind(py))?;
            wishes.experiment_id = explicit.or(wishes.experiment_id);
        }
        Ok(wishes)
    }

    #[inline]
    fn dress(&self, span: &LiveSpan, py: Python<'_>) -> PyResult<()> {
        Dress {
            attributes: self.attributes.as_ref().map(|value| value.bind(py)),
            description: self.description.as_ref().map(|value| value.bind(py)),
            log_level: self.log_level.as_ref().map(|value| value.bind(py)),
            links: self.links.as_ref().map(|value| value.bind(py)),
        }
        .put_on(span)
    }
}

/// What a span gets right after its start.
struct Dress<'a, 'py> {
    attributes: Option<&'a Bound<'py, PyAny>>,
    description: Option<&'a Bound<'py, PyAny>>,
    log_level: Option<&'a Bound<'py, PyAny>>,
    links: Option<&'a Bound<'py, PyAny>>,
}

impl Dress<'_, '_> {
    #[inline]
    fn put_on(self, span: &LiveSpan) -> PyResult<()> {
        if let Some(attributes) = self.attributes {
            span.set_pairs(attributes)?;
        }
        if let Some(description) = self.description {
            span.set_value(view::DESCRIPTION, description)?;
        }
        if let Some(level) = self.log_level {
            span.set_log_level(level)?;
        }
        if let Some(links) = self.links {
            span.set_links(links)?;
        }
        Ok(())
    }
}

/// The experiment that was chosen for the traces that start now, for a root.
#[inline]
fn destination_of(py: Python<'_>, place: &Place) -> Option<String> {
    match place.parent_id {
        None => destination::experiment(py),
        Some(_) => None,
    }
}

/// The experiment of a trace location, MLflow's or anything else with an `experiment_id`.
fn experiment_of(destination: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let py = destination.py();
    match destination.getattr_opt(intern!(py, "experiment_id")) {
        Ok(Some(id)) if !id.is_none() => Ok(Some(text_of(&id)?.into_owned())),
        Ok(_) => warn(py, "`trace_destination` names no experiment; it is ignored").map(|()| None),
        Err(error) => contain(py, error).map(|()| None),
    }
}

/// A context manager that starts a span on entry, makes it current, and ends it on exit.
#[pyfunction]
#[pyo3(
    signature = (name = None, span_type = None, attributes = None, trace_destination = None,
        log_level = None, run_id = None, links = None, description = None),
    text_signature = "(name='span', span_type='UNKNOWN', attributes=None, trace_destination=None, \
        log_level=None, run_id=None, links=None, description=None)"
)]
#[expect(
    clippy::too_many_arguments,
    reason = "the parameters of MLflow's function"
)]
pub(crate) fn start_span(
    name: Option<Py<PyAny>>,
    span_type: Option<Py<PyAny>>,
    attributes: Option<Py<PyAny>>,
    trace_destination: Option<Py<PyAny>>,
    log_level: Option<Py<PyAny>>,
    run_id: Option<Py<PyAny>>,
    links: Option<Py<PyAny>>,
    description: Option<Py<PyAny>>,
) -> SpanScope {
    Request {
        name,
        span_type,
        attributes,
        trace_destination,
        log_level,
        run_id,
        links,
        description,
        sampling_ratio: None,
    }
    .scope()
}

/// As `start_span`; this share of the roots is recorded, whatever the option `sampling.ratio` says.
#[pyfunction]
#[pyo3(signature = (sampling_ratio, name = None, span_type = None, attributes = None, trace_destination = None,
    log_level = None, run_id = None, links = None, description = None))]
#[expect(
    clippy::too_many_arguments,
    reason = "those of start_span and one more"
)]
pub(crate) fn start_sampled_span(
    sampling_ratio: f64,
    name: Option<Py<PyAny>>,
    span_type: Option<Py<PyAny>>,
    attributes: Option<Py<PyAny>>,
    trace_destination: Option<Py<PyAny>>,
    log_level: Option<Py<PyAny>>,
    run_id: Option<Py<PyAny>>,
    links: Option<Py<PyAny>>,
    description: Option<Py<PyAny>>,
) -> SpanScope {
    Request {
        name,
        span_type,
        attributes,
        trace_destination,
        log_level,
        run_id,
        links,
        description,
        sampling_ratio: Some(sampling_ratio),
    }
    .scope()
}

/// Starts a span that the caller ends; it does not become the current one. Without a `parent_span` it
/// belongs below the current span and is a root where there is none, as with MLflow 3.17.2.
#[pyfunction]
#[pyo3(
    signature = (name, span_type = None, parent_span = None, inputs = None, attributes = None,
        tags = None, metadata = None, experiment_id = None, start_time_ns = None, log_level = None,
        links = None, description = None),
    text_signature = "(name, span_type='UNKNOWN', parent_span=None, inputs=None, attributes=None, \
        tags=None, metadata=None, experiment_id=None, start_time_ns=None, log_level=None, \
        links=None, description=None)"
)]
#[expect(
    clippy::too_many_arguments,
    reason = "the parameters of MLflow's function"
)]
pub(crate) fn start_span_no_context<'py>(
    py: Python<'py>,
    name: Bound<'py, PyAny>,
    span_type: Option<&Bound<'py, PyAny>>,
    parent_span: Option<&Bound<'py, PyAny>>,
    inputs: Option<&Bound<'py, PyAny>>,
    attributes: Option<&Bound<'py, PyAny>>,
    tags: Option<&Bound<'py, PyAny>>,
    metadata: Option<&Bound<'py, PyAny>>,
    experiment_id: Option<&Bound<'py, PyAny>>,
    start_time_ns: Option<&Bound<'py, PyAny>>,
    log_level: Option<&Bound<'py, PyAny>>,
    links: Option<&Bound<'py, PyAny>>,
    description: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let name = span_name(py, Some(&name))?;
    let span_type = span_type.map(text_of).transpose()?;
    let start_time_ns = time_argument("start_time_ns", start_time_ns)?;
    join::begin(py);
    let current = Current::read(py);
    let place = match parent_span.map(|parent| parent.cast::<LiveSpan>()) {
        None => current.joined_place(py),
        Some(Ok(parent)) => Place {
            settings: current.settings().cloned(),
            ..Place::under(parent.get())
        },
        // The child of a span that is not recorded is not recorded either.
        Some(Err(_)) => return no_op(py),
    };
    let child = place.parent_id.is_some();
    let chosen = destination_of(py, &place);
    let mut update = match child {
        true => TraceUpdate::default(),
        false => place.settings().update,
    };
    merge(&mut update.tags, read_tags(tags)?);
    merge(&mut update.metadata, pairs("metadata", metadata)?);
    let wishes = Wishes {
        update: Some(update),
        experiment_id: optional_text(experiment_id)?.or(chosen),
        sampling_ratio: None,
    };
    let started = start(
        py,
        &name,
        span_type.as_deref(),
        place,
        start_time_ns,
        &wishes,
    )?;
    let Started::Live(started) = started else {
        return no_op(py);
    };
    let span = started.get();
    if let Some(update) = wishes.update.filter(|update| child && !update.is_empty()) {
        let _ = span.handle.update_trace(&update);
    }
    if let Some(inputs) = inputs {
        span.set_inputs(inputs)?;
    }
    Dress {
        attributes,
        description,
        log_level,
        links,
    }
    .put_on(span)?;
    Ok(started.into_any())
}
