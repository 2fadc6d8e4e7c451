//! Spans of the OpenTelemetry SDK for Python, handed to the engine as it takes those of the Rust SDK.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mlflow_trace_core::Tracer;
use mlflow_trace_core::otel::{MlflowSpanExporter, MlflowSpanProcessor};
use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Array, InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter, SpanLinks};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString};

use crate::context::Current;
use crate::lock::lock;
use crate::text::{bytes_repr, contain, str_of, text_of, utf8};
use crate::{engine, hook, json, messages};

/// Notes that a span of an SDK has started. Not where recording is off: then its end is ignored, too.
#[pyfunction]
pub(crate) fn otel_start(py: Python<'_>, span: &Bound<'_, PyAny>) -> PyResult<()> {
    let settings = Current::read(py).settings().cloned();
    let is_off = settings.is_some_and(|settings| settings.enabled == Some(false));
    if is_off || !engine::is_enabled(py) {
        return Ok(());
    }
    let read = || -> PyResult<_> {
        let start = nanoseconds(&span.getattr(intern!(py, "start_time"))?)?;
        Ok((own_context(span)?, parent(span)?.0, start))
    };
    match read() {
        Ok((context, parent, start)) => {
            if context.is_sampled() {
                engine::with_tracer(py, |tracer| {
                    MlflowSpanProcessor::new(tracer.clone()).start(&context, parent, start)
                });
            }
            Ok(())
        }
        Err(error) => contain(py, error),
    }
}

/// Takes a span of an SDK that has ended. One that did not start by [`otel_start`] is ignored.
#[pyfunction]
pub(crate) fn otel_end(py: Python<'_>, span: &Bound<'_, PyAny>) -> PyResult<()> {
    let data = match data(span) {
        Ok(data) => data,
        Err(error) => return contain(py, error),
    };
    // Functions that take content out are made for spans of our own; what they did not see has none.
    let withhold = hook::reasons() != 0;
    let tracer = engine::with_tracer(py, |tracer| {
        if data.span_context.is_sampled() {
            MlflowSpanProcessor::new(tracer.clone()).end(&data, withhold);
        }
        tracer.clone()
    });
    tracer.map_or(Ok(()), |tracer| messages::pull(py, &tracer))
}

/// What takes batches of spans that have ended, children before roots.
#[pyclass(frozen, module = "mlflow_trace._native")]
pub(crate) struct OtelExporter {
    /// The one of the process's tracer, and that tracer.
    current: Mutex<Option<(Arc<Tracer>, MlflowSpanExporter)>>,
    root_wait: Duration,
}

#[pymethods]
impl OtelExporter {
    #[new]
    fn new(root_wait: f64) -> PyResult<Self> {
        let root_wait = Duration::try_from_secs_f64(root_wait).map_err(|_| {
            pyo3::exceptions::PyValueError::new_err(
                "`root_wait` must be a number of seconds, not negative",
            )
        })?;
        Ok(OtelExporter {
            current: Mutex::new(None),
            root_wait,
        })
    }

    /// Takes a batch; answers whether all of it was taken.
    fn export(&self, py: Python<'_>, spans: &Bound<'_, PyAny>) -> PyResult<bool> {
        let mut batch = Vec::new();
        let mut whole = true;
        for span in spans.try_iter()? {
            match span.and_then(|span| data(&span)) {
                // Content that a function of the program should have seen must not be sent: see `hook`.
                Ok(data) if hook::reasons() != 0 => batch.push(without_content(data)),
                Ok(data) => batch.push(data),
                Err(error) => {
                    contain(py, error)?;
                    whole = false;
                }
            }
        }
        if !engine::is_enabled(py) {
            return Ok(whole);
        }
        let Some(exporter) = self.exporter(py) else {
            return Ok(false);
        };
        let taken = py.detach(|| finish(exporter.export(batch)));
        Ok(whole && taken)
    }

    /// Hands on what waits for its root.
    fn release(&self, py: Python<'_>) -> bool {
        let Some(exporter) = self.exporter(py) else {
            return true;
        };
        let dropped = lock(&self.current).take();
        py.detach(|| drop((exporter, dropped)));
        true
    }
}

impl OtelExporter {
    /// The exporter through the current tracer, which changes with the configuration.
    fn exporter(&self, py: Python<'_>) -> Option<MlflowSpanExporter> {
        let tracer = engine::current(py)?;
        let mut current = lock(&self.current);
        if let Some((known, exporter)) = current.as_ref()
            && Arc::ptr_eq(known, &tracer)
        {
            return Some(exporter.clone());
        }
        let exporter =
            MlflowSpanExporter::new(Tracer::clone(&tracer)).with_root_wait(self.root_wait);
        let replaced = current.replace((tracer, exporter.clone()));
        drop(current);
        py.detach(|| drop(replaced));
        Some(exporter)
    }
}

/// The answer of an export, which does all of its work when it is asked for the first time.
fn finish<E>(export: impl Future<Output = Result<(), E>>) -> bool {
    let mut poll = Poll::from_waker(Waker::noop());
    matches!(pin!(export).poll(&mut poll), std::task::Poll::Ready(Ok(())))
}

fn own_context(span: &Bound<'_, PyAny>) -> PyResult<SpanContext> {
    let py = span.py();
    context(&span.call_method0(intern!(py, "get_span_context"))?)
}

/// A `SpanContext` of the API.
fn context(context: &Bound<'_, PyAny>) -> PyResult<SpanContext> {
    let py = context.py();
    let state = context.getattr(intern!(py, "trace_state"))?;
    let state = match state.is_truthy()? {
        true => text_of(&state.call_method0(intern!(py, "to_header"))?)?
            .parse()
            .ok(),
        false => None,
    };
    let trace_id: u128 = context.getattr(intern!(py, "trace_id"))?.extract()?;
    let span_id: u64 = context.getattr(intern!(py, "span_id"))?.extract()?;
    let flags: u8 = context.getattr(intern!(py, "trace_flags"))?.extract()?;
    Ok(SpanContext::new(
        TraceId::from(trace_id),
        SpanId::from(span_id),
        TraceFlags::new(flags),
        context.getattr(intern!(py, "is_remote"))?.is_truthy()?,
        state.unwrap_or(TraceState::NONE),
    ))
}

/// The id of the parent, invalid for a root, and whether it is remote.
fn parent(span: &Bound<'_, PyAny>) -> PyResult<(SpanId, bool)> {
    let parent = span.getattr(intern!(span.py(), "parent"))?;
    match parent.is_none() {
        true => Ok((SpanId::INVALID, false)),
        false => context(&parent).map(|parent| (parent.span_id(), parent.is_remote())),
    }
}

/// A time in nanoseconds since the Unix epoch; none is now.
pub(crate) fn nanoseconds(time: &Bound<'_, PyAny>) -> PyResult<SystemTime> {
    match time.is_none() {
        true => Ok(SystemTime::now()),
        false => Ok(UNIX_EPOCH + Duration::from_nanos(time.extract()?)),
    }
}

/// A `ReadableSpan` of the SDK.
fn data(span: &Bound<'_, PyAny>) -> PyResult<SpanData> {
    let py = span.py();
    let (parent_span_id, parent_span_is_remote) = parent(span)?;
    let mut events = SpanEvents::default();
    for event in span.getattr(intern!(py, "events"))?.try_iter()? {
        let event = event?;
        let dropped = count(&event, "dropped_attributes");
        events.events.push(Event::new(
            text_of(&event.getattr(intern!(py, "name"))?)?.into_owned(),
            nanoseconds(&event.getattr(intern!(py, "timestamp"))?)?,
            attributes(&event.getattr(intern!(py, "attributes"))?)?,
            dropped,
        ));
    }
    events.dropped_count = count(span, "dropped_events");
    let mut links = SpanLinks::default();
    for link in span.getattr(intern!(py, "links"))?.try_iter()? {
        let link = link?;
        let dropped = count(&link, "dropped_attributes");
        links.links.push(Link::new(
            context(&link.getattr(intern!(py, "context"))?)?,
            attributes(&link.getattr(intern!(py, "attributes"))?)?,
            dropped,
        ));
    }
    links.dropped_count = count(span, "dropped_links");
    Ok(SpanData {
        span_context: own_context(span)?,
        parent_span_id,
        parent_span_is_remote,
        span_kind: kind(&span.getattr(intern!(py, "kind"))?)?,
        name: text_of(&span.getattr(intern!(py, "name"))?)?
            .into_owned()
            .into(),
        start_time: nanoseconds(&span.getattr(intern!(py, "start_time"))?)?,
        end_time: nanoseconds(&span.getattr(intern!(py, "end_time"))?)?,
        attributes: attributes(&span.getattr(intern!(py, "attributes"))?)?,
        dropped_attributes_count: count(span, "dropped_attributes"),
        events,
        links,
        status: status(&span.getattr(intern!(py, "status"))?)?,
        instrumentation_scope: scope(&span.getattr(intern!(py, "instrumentation_scope"))?)?,
    })
}

/// The span without what users may have put into it.
fn without_content(mut data: SpanData) -> SpanData {
    data.attributes.clear();
    data.events = SpanEvents::default();
    data.links = SpanLinks::default();
    if let Status::Error { description } = &mut data.status {
        *description = "[redaction failed]".into();
    }
    data
}

/// A number of what was dropped; 0 where the SDK does not say.
fn count(of: &Bound<'_, PyAny>, name: &str) -> u32 {
    of.getattr(name)
        .and_then(|count| count.extract())
        .unwrap_or_default()
}

fn kind(kind: &Bound<'_, PyAny>) -> PyResult<SpanKind> {
    Ok(
        match kind.getattr(intern!(kind.py(), "value"))?.extract()? {
            1 => SpanKind::Server,
            2 => SpanKind::Client,
            3 => SpanKind::Producer,
            4 => SpanKind::Consumer,
            _ => SpanKind::Internal,
        },
    )
}

fn status(status: &Bound<'_, PyAny>) -> PyResult<Status> {
    let py = status.py();
    let code = status.getattr(intern!(py, "status_code"))?;
    match code.getattr(intern!(py, "value"))?.extract()? {
        1 => Ok(Status::Ok),
        2 => {
            let description = status.getattr(intern!(py, "description"))?;
            let description = match description.is_none() {
                true => String::new(),
                false => text_of(&description)?.into_owned(),
            };
            Ok(Status::error(description))
        }
        _ => Ok(Status::Unset),
    }
}

fn scope(scope: &Bound<'_, PyAny>) -> PyResult<InstrumentationScope> {
    let py = scope.py();
    if scope.is_none() {
        return Ok(InstrumentationScope::default());
    }
    let name = text_of(&scope.getattr(intern!(py, "name"))?)?.into_owned();
    let version = scope.getattr(intern!(py, "version"))?;
    let builder = InstrumentationScope::builder(name);
    Ok(match version.is_truthy()? {
        true => builder
            .with_version(text_of(&version)?.into_owned())
            .build(),
        false => builder.build(),
    })
}

pub(crate) fn attributes(attributes: &Bound<'_, PyAny>) -> PyResult<Vec<KeyValue>> {
    if attributes.is_none() {
        return Ok(Vec::new());
    }
    let members = PyDict::new(attributes.py());
    members.update(attributes.cast()?)?;
    let pairs = members.iter().map(|(key, value)| {
        Ok(KeyValue::new(
            text_of(&key)?.into_owned(),
            self::value(&value)?,
        ))
    });
    pairs.collect()
}

fn value(value: &Bound<'_, PyAny>) -> PyResult<Value> {
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Value::from(utf8(text).into_owned()));
    }
    if let Ok(flag) = value.cast::<PyBool>() {
        return Ok(Value::Bool(flag.is_true()));
    }
    if value.is_instance_of::<PyInt>() {
        return match value.extract::<i64>() {
            Ok(int) => Ok(Value::I64(int)),
            Err(_) => Ok(Value::from(
                json::text(value, false)?.trim_matches('"').to_owned(),
            )),
        };
    }
    if let Ok(double) = value.cast::<PyFloat>() {
        return Ok(Value::F64(double.value()));
    }
    if value.is_instance_of::<pyo3::types::PyBytes>() {
        return Ok(Value::from(bytes_repr(value)?));
    }
    if value.is_instance_of::<PyDict>() {
        return Ok(Value::from(json::text(value, false)?));
    }
    // The SDK keeps sequences as tuples of one kind, possibly with None.
    match value.try_iter() {
        Ok(items) => Ok(Value::Array(array(&items.collect::<PyResult<Vec<_>>>()?)?)),
        Err(_) => Ok(Value::from(str_of(value)?)),
    }
}

fn array(items: &[Bound<'_, PyAny>]) -> PyResult<Array> {
    let all = |test: fn(&Bound<'_, PyAny>) -> bool| items.iter().all(test);
    if all(|item| item.is_instance_of::<PyBool>()) {
        return Ok(Array::Bool(
            items
                .iter()
                .map(|item| item.extract())
                .collect::<PyResult<_>>()?,
        ));
    }
    if all(|item| item.is_instance_of::<PyInt>())
        && let Ok(ints) = items
            .iter()
            .map(|item| item.extract())
            .collect::<PyResult<_>>()
    {
        return Ok(Array::I64(ints));
    }
    if all(|item| item.is_instance_of::<PyFloat>()) {
        return Ok(Array::F64(
            items
                .iter()
                .map(|item| item.extract())
                .collect::<PyResult<_>>()?,
        ));
    }
    let texts = items
        .iter()
        .map(|item| Ok(text_of(item)?.into_owned().into()));
    Ok(Array::String(texts.collect::<PyResult<_>>()?))
}
