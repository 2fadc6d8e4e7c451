//! The current span: one context variable of the host, per thread and asynchronous task.
//!
//! The variable holds the active [`LiveSpan`] or, where there is none, a [`Frame`]. Both carry the
//! settings of the scopes around them and the last trace, so that one look-up answers all.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use mlflow_trace_core::{Parent, SpanContext, SpanId, TraceId, TraceUpdate, Tracer, inject};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::error::invalid_argument;
use crate::finder;
use crate::join;
use crate::lock::lock;
use crate::settings::{Settings, optional_text, pairs, tags};
use crate::span::LiveSpan;

/// Bound methods of the context variable.
struct Variable {
    get: Py<PyAny>,
    set: Py<PyAny>,
    reset: Py<PyAny>,
}

static VARIABLE: PyOnceLock<Variable> = PyOnceLock::new();

fn variable(py: Python<'_>) -> PyResult<&'static Variable> {
    VARIABLE.get_or_try_init(py, || {
        let options = PyDict::new(py);
        options.set_item(intern!(py, "default"), py.None())?;
        let variable = py
            .import(intern!(py, "contextvars"))?
            .getattr(intern!(py, "ContextVar"))?
            .call(("mlflow_trace_current",), Some(&options))?;
        let method = |name| variable.getattr(name).map(Bound::unbind);
        Ok(Variable {
            get: method(intern!(py, "get"))?,
            set: method(intern!(py, "set"))?,
            reset: method(intern!(py, "reset"))?,
        })
    })
}

/// What lies around a scope.
#[derive(Default)]
enum Around {
    #[default]
    Nothing,
    /// A local span.
    Span(Py<LiveSpan>),
    /// The parent that came with a request.
    Remote(SpanContext),
    /// A trace that is not sampled. Nothing in it is recorded; this tells other processes.
    Unsampled(SpanContext),
}

/// What there is besides an active span of its own: scopes, a remote parent, the last trace.
#[pyclass(frozen, module = "mlflow_trace._native")]
#[derive(Default)]
pub(crate) struct Frame {
    around: Around,
    settings: Option<Arc<Settings>>,
    /// The trace whose root was the last to end here.
    last: Option<TraceId>,
}

impl Frame {
    fn place(&self) -> Place {
        let place = match &self.around {
            Around::Nothing => Place::default(),
            Around::Span(span) => Place::under(span.get()),
            Around::Remote(remote) => Place {
                parent: Parent::Remote(remote.clone()),
                parent_id: Some(remote.span_id),
                ..Place::default()
            },
            Around::Unsampled(_) => Place {
                unsampled: true,
                ..Place::default()
            },
        };
        Place {
            settings: self.settings.clone(),
            last: self.last,
            ..place
        }
    }
}

/// Where a new span belongs.
#[derive(Default)]
pub(crate) struct Place {
    pub(crate) parent: Parent,
    pub(crate) parent_id: Option<SpanId>,
    /// It lies in a trace that is not sampled.
    pub(crate) unsampled: bool,
    /// The parent's; without one the process's.
    pub(crate) tracer: Option<Tracer>,
    pub(crate) settings: Option<Arc<Settings>>,
    /// The trace whose root was the last to end in this context.
    pub(crate) last: Option<TraceId>,
}

impl Place {
    /// Below a local span. One that has ended is known by its context only.
    #[inline]
    pub(crate) fn under(parent: &LiveSpan) -> Self {
        let context = &parent.context;
        Place {
            parent_id: Some(context.span_id),
            parent: match parent.handle.is_recording() {
                true => Parent::Span(parent.handle),
                false => Parent::Remote(context.clone()),
            },
            unsampled: false,
            tracer: Some(parent.tracer.clone()),
            settings: None,
            last: parent.last,
        }
    }

    /// The settings of the scopes around it, merged.
    pub(crate) fn settings(&self) -> Settings {
        self.settings.as_deref().cloned().unwrap_or_default()
    }
}

/// What the context variable holds.
pub(crate) enum Current<'py> {
    Nothing,
    Span(Bound<'py, LiveSpan>),
    Frame(Bound<'py, Frame>),
}

impl<'py> Current<'py> {
    /// Reads what is current. Never fails: without a readable variable there is no current span.
    #[inline]
    pub(crate) fn read(py: Python<'py>) -> Self {
        finder::nearest(py, Current::of_variable(py))
    }

    #[inline]
    fn of_variable(py: Python<'py>) -> Self {
        let Ok(value) = variable(py).and_then(|variable| variable.get.bind(py).call0()) else {
            return Current::Nothing;
        };
        if value.is_none() {
            return Current::Nothing;
        }
        match value.cast_into::<LiveSpan>() {
            Ok(span) if span.get().abandoned.load(Ordering::Relaxed) => Current::Nothing,
            Ok(span) => Current::Span(span),
            Err(other) => match other.into_inner().cast_into::<Frame>() {
                Ok(frame) => Current::Frame(frame),
                Err(_) => Current::Nothing,
            },
        }
    }

    /// The active local span.
    pub(crate) fn span(&self, py: Python<'py>) -> Option<Bound<'py, LiveSpan>> {
        match self {
            Current::Nothing => None,
            Current::Span(span) => Some(span.clone()),
            Current::Frame(frame) => match &frame.get().around {
                Around::Span(span) => Some(span.bind(py).clone()),
                _ => None,
            },
        }
    }

    pub(crate) fn settings(&self) -> Option<&Arc<Settings>> {
        match self {
            Current::Nothing => None,
            Current::Span(span) => span.get().settings.as_ref(),
            Current::Frame(frame) => frame.get().settings.as_ref(),
        }
    }

    /// Where a span that starts now belongs, below a span of OpenTelemetry's where such a one is nearest.
    #[inline]
    pub(crate) fn joined_place(&self, py: Python<'_>) -> Place {
        let place = self.place();
        match join::current(py) {
            None => place,
            Some(parent) => Place {
                parent_id: Some(parent.span_id),
                parent: Parent::Remote(parent),
                unsampled: false,
                ..place
            },
        }
    }

    /// Where a span that starts now belongs.
    #[inline]
    pub(crate) fn place(&self) -> Place {
        match self {
            Current::Nothing => Place::default(),
            Current::Span(span) => Place {
                settings: span.get().settings.clone(),
                ..Place::under(span.get())
            },
            Current::Frame(frame) => frame.get().place(),
        }
    }

    /// The trace whose root was the last to end in this context.
    pub(crate) fn last(&self) -> Option<TraceId> {
        match self {
            Current::Nothing => None,
            Current::Span(span) => span.get().last,
            Current::Frame(frame) => frame.get().last,
        }
    }

    /// A frame to build a scope on.
    fn frame(&self, py: Python<'py>) -> Frame {
        Frame {
            around: self.around(py),
            settings: self.settings().cloned(),
            last: self.last(),
        }
    }

    /// The same place, where nothing is recorded.
    pub(crate) fn silent(&self, py: Python<'py>) -> Self {
        match Bound::new(py, self.silent_frame(py)) {
            Ok(frame) => Current::Frame(frame),
            Err(_) => Current::Nothing,
        }
    }

    fn silent_frame(&self, py: Python<'py>) -> Frame {
        Frame {
            settings: Some(Arc::new(Settings {
                enabled: Some(false),
                ..self.place().settings()
            })),
            ..self.frame(py)
        }
    }

    fn around(&self, py: Python<'py>) -> Around {
        match self {
            Current::Nothing => Around::Nothing,
            Current::Span(span) => Around::Span(span.clone().unbind()),
            Current::Frame(frame) => match &frame.get().around {
                Around::Nothing => Around::Nothing,
                Around::Span(span) => Around::Span(span.clone_ref(py)),
                Around::Remote(context) => Around::Remote(context.clone()),
                Around::Unsampled(context) => Around::Unsampled(context.clone()),
            },
        }
    }
}

/// Makes `value` current and returns the token that undoes it.
#[inline]
pub(crate) fn enter<'py>(
    py: Python<'py>,
    value: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    variable(py)?.set.bind(py).call1((value,))
}

/// Undoes [`enter`]. A token of another context (a scope left elsewhere than entered) has no effect.
fn reset(py: Python<'_>, token: Py<PyAny>) -> PyResult<()> {
    variable(py)?.reset.bind(py).call1((token,)).map(drop)
}

/// Undoes [`enter`] for a span that ends. The trace of a root becomes the last of the context.
#[inline]
pub(crate) fn leave(py: Python<'_>, span: &Bound<'_, LiveSpan>, token: Py<PyAny>) {
    let left = variable(py).and_then(|variable| {
        let current = variable.get.bind(py).call0()?;
        if !current.is(span) {
            return abandon(py, span.get(), &current, token);
        }
        if !span.get().is_root() {
            return reset(py, token);
        }
        let frame = Frame {
            settings: span.get().settings.clone(),
            last: Some(span.get().context.trace_id),
            ..Frame::default()
        };
        enter(py, Bound::new(py, frame)?.as_any()).map(drop)
    });
    drop(left);
}

/// A span is left while another is current: one that began inside it, in a generator for instance,
/// and is still open. That one stays current, and must not bring this one back when it is left.
#[cold]
fn abandon(
    py: Python<'_>,
    span: &LiveSpan,
    current: &Bound<'_, PyAny>,
    token: Py<PyAny>,
) -> PyResult<()> {
    reset(py, token)?;
    span.abandoned.store(true, Ordering::Relaxed);
    enter(py, current).map(drop)
}

/// Notes the last trace of the context. Where a span is active, that span's trace will be the last.
pub(crate) fn note_last(py: Python<'_>, id: TraceId) {
    let current = Current::of_variable(py);
    if matches!(current, Current::Span(_)) || current.last() == Some(id) {
        return;
    }
    let frame = Frame {
        last: Some(id),
        ..current.frame(py)
    };
    let _ = Bound::new(py, frame).and_then(|frame| enter(py, frame.as_any()));
}

/// What a scope makes current.
enum Content {
    Value(Py<PyAny>),
    /// Settings on top of those that hold where the scope is entered.
    Settings(Box<Settings>),
}

/// Makes a span or a scope current while it is entered; a span is not ended on exit.
#[pyclass(frozen, module = "mlflow_trace._native")]
pub(crate) struct ContextScope {
    content: Content,
    /// One for each time that the scope was entered and not yet left.
    tokens: Mutex<Vec<Tokens>>,
}

/// What undoes that a scope was entered: here, and in OpenTelemetry's context.
struct Tokens {
    own: Option<Py<PyAny>>,
    joined: Option<Py<PyAny>>,
}

impl ContextScope {
    fn new(content: Content) -> Self {
        ContextScope {
            content,
            tokens: Mutex::new(Vec::new()),
        }
    }

    fn of_frame(py: Python<'_>, frame: Frame) -> PyResult<Self> {
        let value = Bound::new(py, frame)?.into_any().unbind();
        Ok(ContextScope::new(Content::Value(value)))
    }

    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.content {
            Content::Value(value) => Ok(value.bind(py).clone()),
            Content::Settings(settings) => {
                let current = Current::read(py);
                let frame = Frame {
                    settings: Some(Arc::new(current.place().settings().with(settings))),
                    ..current.frame(py)
                };
                Ok(Bound::new(py, frame)?.into_any())
            }
        }
    }
}

impl ContextScope {
    pub(crate) fn enter(&self, py: Python<'_>) {
        let value = self.value(py);
        let own = value
            .and_then(|value| enter(py, &value).map(Bound::unbind))
            .ok();
        let joined = self.join(py);
        lock(&self.tokens).push(Tokens { own, joined });
    }

    /// Makes what it stands for the current span of OpenTelemetry's.
    fn join(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let Content::Value(value) = &self.content else {
            return None;
        };
        if let Ok(span) = value.cast_bound::<LiveSpan>(py) {
            return join::enter(py, &span.get().context);
        }
        match &value.cast_bound::<Frame>(py).ok()?.get().around {
            Around::Remote(context) | Around::Unsampled(context) => join::enter(py, context),
            Around::Nothing | Around::Span(_) => None,
        }
    }

    pub(crate) fn leave(&self, py: Python<'_>) {
        let Some(tokens) = lock(&self.tokens).pop() else {
            return;
        };
        join::leave(py, tokens.joined);
        let Some(token) = tokens.own else {
            return;
        };
        let last = Current::of_variable(py).last();
        let _ = reset(py, token);
        if let Some(last) = last {
            note_last(py, last);
        }
    }
}

#[pymethods]
impl ContextScope {
    fn __enter__(&self, py: Python<'_>) {
        self.enter(py);
    }

    #[pyo3(signature = (exc_type, exc_value, traceback, /))]
    #[expect(unused_variables, reason = "the protocol fixes the arguments")]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: &Bound<'_, PyAny>,
        exc_value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) {
        self.leave(py);
    }
}

/// The scope in which `span` is the active span.
pub(crate) fn activation(span: Bound<'_, LiveSpan>) -> ContextScope {
    ContextScope::new(Content::Value(span.into_any().unbind()))
}

/// The scope in which nothing is recorded.
pub(crate) fn silence(py: Python<'_>) -> PyResult<ContextScope> {
    ContextScope::of_frame(py, Current::read(py).silent_frame(py))
}

/// The scope inside a root that is not sampled, or that came unsampled with a request.
pub(crate) fn unsampled(py: Python<'_>, context: SpanContext) -> PyResult<ContextScope> {
    let frame = Frame {
        around: Around::Unsampled(context),
        ..Current::read(py).frame(py)
    };
    ContextScope::of_frame(py, frame)
}

/// The active span, if it belongs to this process.
#[pyfunction]
pub(crate) fn get_current_active_span(py: Python<'_>) -> Option<Bound<'_, LiveSpan>> {
    Current::read(py).span(py)
}

/// The id of the trace of the current span, if there is one.
#[pyfunction]
pub(crate) fn get_active_trace_id(py: Python<'_>) -> Option<String> {
    let own = || {
        Current::read(py)
            .span(py)
            .map(|span| span.get().context.trace_id)
    };
    let id = join::current(py)
        .map(|nearest| nearest.trace_id)
        .or_else(own);
    id.map(|id| id.to_mlflow())
}

/// The scope whose spans continue the trace that the W3C headers of a request name.
#[pyfunction]
pub(crate) fn remote_scope(
    py: Python<'_>,
    headers: Vec<(String, Vec<u8>)>,
) -> PyResult<ContextScope> {
    let remote = mlflow_trace_core::extract_headers(headers)
        .map_err(|error| crate::error::raise(py, &error))?;
    let frame = Frame {
        around: Around::Remote(remote),
        ..Current::read(py).frame(py)
    };
    ContextScope::of_frame(py, frame)
}

/// The scope that gives tags, metadata and more to the traces started inside it.
#[pyfunction]
#[pyo3(signature = (metadata = None, tags = None, enabled = None, session_id = None, user = None))]
pub(crate) fn trace_scope(
    py: Python<'_>,
    metadata: Option<&Bound<'_, PyAny>>,
    tags: Option<&Bound<'_, PyAny>>,
    enabled: Option<&Bound<'_, PyAny>>,
    session_id: Option<&Bound<'_, PyAny>>,
    user: Option<&Bound<'_, PyAny>>,
) -> PyResult<ContextScope> {
    let enabled = enabled.map(|enabled| {
        let enabled = enabled.is_truthy();
        enabled.map_err(|_| invalid_argument(py, "`enabled` must be a bool"))
    });
    let settings = Settings {
        enabled: enabled.transpose()?,
        update: TraceUpdate {
            metadata: pairs("metadata", metadata)?,
            tags: self::tags(tags)?,
            session_id: optional_text(session_id)?,
            user: optional_text(user)?,
            ..TraceUpdate::default()
        },
    };
    Ok(ContextScope::new(Content::Settings(Box::new(settings))))
}

/// The W3C headers that carry the current span to another process; empty without one.
#[pyfunction]
pub(crate) fn headers(py: Python<'_>) -> Vec<(&'static str, String)> {
    if let Some(nearest) = join::current(py) {
        return inject(&nearest);
    }
    match Current::read(py).around(py) {
        Around::Nothing => Vec::new(),
        Around::Span(span) => inject(&span.get().context),
        Around::Remote(context) | Around::Unsampled(context) => inject(&context),
    }
}
