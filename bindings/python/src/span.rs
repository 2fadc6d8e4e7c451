//! `LiveSpan`: a span that is being recorded.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use mlflow_trace_core::span::SpanRecord;
use mlflow_trace_core::{Recorded, Span, SpanContext, SpanId, TraceId, Tracer, Value};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::attachment::Keeper;
use crate::attribute::{Owned, with_attributes};
use crate::error::{describe, warn};
use crate::settings::Settings;
use crate::text::{contain, text_of, utf8};
use crate::{context, hook, json, messages, text, update, view};

/// A span that is being recorded.
///
/// Every method may be called from any thread and at any time; after the span has ended, what would
/// change it is ignored. Nothing here raises, except for an interrupt by the user.
#[pyclass(frozen, weakref, module = "mlflow_trace._native")]
pub(crate) struct LiveSpan {
    pub(crate) handle: Span,
    /// Children go where their parent goes, whatever is configured meanwhile.
    pub(crate) tracer: Tracer,
    pub(crate) context: SpanContext,
    pub(crate) parent: Option<SpanId>,
    pub(crate) name: Py<PyString>,
    pub(crate) settings: Option<Arc<Settings>>,
    /// The trace whose root was the last to end in the context that this span started in.
    pub(crate) last: Option<TraceId>,
    /// It was left while another span was current, so it is no span's parent any more.
    pub(crate) abandoned: AtomicBool,
    /// Tells which of two spans started first, see [`finder`].
    pub(crate) order: u64,
    /// Why its content was withheld at its start, see [`hook`].
    pub(crate) withheld: u8,
    /// Somebody ends it, by way of the hook.
    pub(crate) ending: AtomicBool,
    /// It stands for a call of a model, and so for the requests that are sent inside it.
    pub(crate) covers: AtomicBool,
    /// What was recorded, once the span has ended.
    pub(crate) record: OnceLock<SpanRecord>,
}

impl LiveSpan {
    pub(crate) fn is_root(&self) -> bool {
        self.parent.is_none()
    }

    /// Ends the span now or at the given time; the first end counts. Fails only on an interrupt.
    #[inline]
    pub(crate) fn finish(slf: &Bound<'_, Self>, end_time_ns: Option<u64>) -> PyResult<()> {
        let span = slf.get();
        let seen = match span.withheld | hook::reasons() != 0 {
            true if !span.claims_end() => return Ok(()),
            true => hook::run(slf),
            false => Ok(()),
        };
        if let Ok(record) = span.handle.end_with_record(end_time_ns) {
            let _ = span.record.set(record);
            if span.is_root() {
                update::remember_trace(span.context.trace_id);
            }
        }
        seen
    }

    /// Whether the caller ends the span, and nobody else does: the hook itself may try, or another thread.
    #[cold]
    fn claims_end(&self) -> bool {
        !self.ending.swap(true, Ordering::Relaxed)
    }

    /// Takes attachments out of inputs and outputs.
    pub(crate) fn keeper(&self) -> Keeper {
        Keeper {
            span: self.handle,
            trace_id: self.context.trace_id,
        }
    }

    /// Records an exception that leaves the span: event, status ERROR.
    #[cold]
    pub(crate) fn fail(&self, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        let what = describe(exception)?;
        ignore(
            self.handle
                .record_exception(&what.class, &what.message, &what.stacktrace),
        );
        Ok(())
    }

    /// Sets an attribute whose key is known to be text.
    pub(crate) fn set_value(&self, key: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        json::with_value(value, |value| ignore(self.handle.set_attribute(key, value)))
    }

    pub(crate) fn set_pairs(&self, attributes: &Bound<'_, PyAny>) -> PyResult<()> {
        let Ok(attributes) = attributes.cast::<PyDict>() else {
            return warn(
                attributes.py(),
                "attributes must be a dictionary; they are ignored",
            );
        };
        let members = json::members(attributes)?;
        // Plain ones that follow each other are handed over together.
        let mut plain = Vec::with_capacity(members.len());
        for (key, value) in &members {
            let text = key
                .cast::<PyString>()
                .ok()
                .and_then(|key| key.to_str().ok());
            match text.zip(json::plain(value)) {
                Some(pair) => plain.push(pair),
                None => {
                    self.set_plain(&mut plain);
                    self.set_attribute(key, value)?;
                }
            }
        }
        self.set_plain(&mut plain);
        Ok(())
    }

    fn set_plain(&self, pairs: &mut Vec<(&str, Value<'_>)>) {
        if !pairs.is_empty() {
            ignore(self.handle.set_attributes(pairs));
            pairs.clear();
        }
    }

    fn snapshot(&self) -> Option<serde_json::Value> {
        match self.record.get() {
            Some(record) => record.snapshot(),
            None => self.handle.snapshot(),
        }
    }

    fn entity<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let snapshot = self.snapshot();
        let part = snapshot.as_ref().and_then(|span| span.get(name));
        view::entity(py, name, view::object(py, part)?)
    }

    /// Adds the links of a list; one that is no `Link` is ignored with a warning.
    pub(crate) fn set_links(&self, links: &Bound<'_, PyAny>) -> PyResult<()> {
        match links.try_iter() {
            Ok(links) => links.flatten().try_for_each(|link| self.add_link(&link)),
            Err(error) => {
                contain(links.py(), error)?;
                warn(links.py(), "links must be a list of Link; they are ignored")
            }
        }
    }
}

/// What a recording call without effect deserves: the engine has counted it.
fn ignore(_recorded: Recorded) {}

#[pymethods]
impl LiveSpan {
    /// The id of the trace, `tr-` and 32 hexadecimal digits.
    #[getter]
    fn trace_id(&self) -> String {
        self.context.trace_id.to_mlflow()
    }

    /// The old name of `trace_id`.
    #[getter]
    fn request_id(&self) -> String {
        self.trace_id()
    }

    /// The id of the span, 16 hexadecimal digits.
    #[getter]
    fn span_id(&self) -> String {
        self.context.span_id.to_string()
    }

    /// The id of the parent span, if there is one.
    #[getter]
    fn parent_id(&self) -> Option<String> {
        self.parent.map(|id| id.to_string())
    }

    /// The name of the span.
    #[getter]
    fn name(&self, py: Python<'_>) -> Py<PyString> {
        self.name.clone_ref(py)
    }

    /// Sets the inputs.
    pub(crate) fn set_inputs(&self, inputs: &Bound<'_, PyAny>) -> PyResult<()> {
        json::with_content(inputs, Some(&self.keeper()), |value| {
            ignore(self.handle.set_inputs(value));
        })
    }

    /// Sets the outputs.
    fn set_outputs(&self, outputs: &Bound<'_, PyAny>) -> PyResult<()> {
        json::with_content(outputs, Some(&self.keeper()), |value| {
            ignore(self.handle.set_outputs(value));
        })
    }

    /// Sets one attribute; a value that is there already is replaced.
    fn set_attribute(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        match key.cast::<PyString>() {
            Ok(key) => self.set_value(&utf8(key), value),
            Err(_) => warn(
                key.py(),
                "an attribute with a key that is no string is ignored",
            ),
        }
    }

    /// Sets several attributes.
    fn set_attributes(&self, attributes: &Bound<'_, PyAny>) -> PyResult<()> {
        self.set_pairs(attributes)
    }

    /// Sets the type of the span, for instance `SpanType.LLM`.
    fn set_span_type(&self, span_type: &Bound<'_, PyAny>) -> PyResult<()> {
        let span_type = text_of(span_type)?;
        ignore(self.handle.set_type(&span_type));
        Ok(())
    }

    /// Sets a description for people.
    fn set_description(&self, description: &Bound<'_, PyAny>) -> PyResult<()> {
        self.set_value(view::DESCRIPTION, description)
    }

    /// Sets the severity, a `SpanLogLevel` or its name.
    pub(crate) fn set_log_level(&self, level: &Bound<'_, PyAny>) -> PyResult<()> {
        match view::log_level(level)? {
            Some(level) => {
                ignore(
                    self.handle
                        .set_attribute(view::LOG_LEVEL, Value::Int(level)),
                );
                Ok(())
            }
            None => warn(level.py(), "an unknown log level is ignored"),
        }
    }

    /// Sets the status, a `SpanStatus`, a `SpanStatusCode` or its name.
    fn set_status(&self, status: &Bound<'_, PyAny>) -> PyResult<()> {
        match view::status(status)? {
            Some((code, description)) => {
                ignore(self.handle.set_status(code, &description));
                Ok(())
            }
            None => warn(status.py(), "an unknown span status is ignored"),
        }
    }

    /// Adds a `SpanEvent`.
    fn add_event(&self, event: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = event.py();
        let read = || -> PyResult<_> {
            Ok((
                event.getattr(intern!(py, "name"))?,
                event
                    .getattr(intern!(py, "timestamp"))?
                    .extract::<Option<u64>>()?,
                event.getattr(intern!(py, "attributes"))?,
            ))
        };
        match read() {
            Ok((name, time, attributes)) => {
                let name = text_of(&name)?;
                let attributes = Owned::of_dict(&attributes)?;
                with_attributes(&attributes, |attributes| {
                    ignore(self.handle.add_event(&name, time, attributes));
                });
                Ok(())
            }
            Err(error) => {
                contain(py, error)?;
                warn(py, "add_event takes a SpanEvent; the event is ignored")
            }
        }
    }

    /// Adds a `Link` to another span.
    fn add_link(&self, link: &Bound<'_, PyAny>) -> PyResult<()> {
        let Some((trace_id, span_id, attributes)) = view::link(link)? else {
            return warn(
                link.py(),
                "a link without the ids of a trace and a span is ignored",
            );
        };
        with_attributes(&attributes, |attributes| {
            ignore(self.handle.add_link(trace_id, span_id, attributes));
        });
        Ok(())
    }

    /// Records an exception, or text about one, and sets the status to ERROR.
    fn record_exception(&self, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        match exception.cast::<PyString>() {
            Ok(text) => {
                let message = utf8(text);
                let stacktrace = format!("Exception: {message}");
                ignore(
                    self.handle
                        .record_exception("Exception", &message, &stacktrace),
                );
                Ok(())
            }
            Err(_) => self.fail(exception),
        }
    }

    /// Ends the span.
    #[pyo3(signature = (outputs = None, attributes = None, status = None, end_time_ns = None))]
    fn end(
        slf: &Bound<'_, Self>,
        py: Python<'_>,
        outputs: Option<&Bound<'_, PyAny>>,
        attributes: Option<&Bound<'_, PyAny>>,
        status: Option<&Bound<'_, PyAny>>,
        end_time_ns: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let span = slf.get();
        if let Some(attributes) = attributes {
            span.set_pairs(attributes)?;
        }
        if let Some(outputs) = outputs {
            span.set_outputs(outputs)?;
        }
        if let Some(status) = status {
            span.set_status(status)?;
        }
        let finished = LiveSpan::finish(slf, time_argument("end_time_ns", end_time_ns)?);
        if span.is_root() {
            context::note_last(py, span.context.trace_id);
        }
        finished.and(messages::pull(py, &span.tracer))
    }

    /// Takes what a function returned as outputs, unless it set some other than None itself.
    fn _returned(&self, result: &Bound<'_, PyAny>) -> PyResult<()> {
        match self.handle.has_outputs() {
            true => Ok(()),
            false => self.set_outputs(result),
        }
    }

    /// Which of several spans, each inside the other, is the innermost: the one with the highest number. One that
    /// started before somebody asked for it has 0, one that has ended None.
    fn _order(&self) -> Option<u64> {
        self.handle.is_recording().then_some(self.order)
    }

    /// Records one item of a stream as MLflow's chunk event.
    fn _record_chunk(&self, index: usize, chunk: &Bound<'_, PyAny>) -> PyResult<()> {
        let text = json::to_json(chunk, true)?;
        let name = format!("mlflow.chunk.item.{index}");
        ignore(
            self.handle
                .add_event(&name, None, &[("mlflow.chunk.value", Value::Str(&text))]),
        );
        Ok(())
    }

    /// The type of the span.
    #[getter]
    fn span_type<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.get_attribute(py, view::SPAN_TYPE)
    }

    /// The inputs.
    #[getter]
    fn inputs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.get_attribute(py, view::INPUTS)
    }

    /// The outputs.
    #[getter]
    fn outputs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.get_attribute(py, view::OUTPUTS)
    }

    /// The description for people.
    #[getter]
    fn description<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.get_attribute(py, view::DESCRIPTION)
    }

    /// The model that was called.
    #[getter]
    fn model_name<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.get_attribute(py, view::MODEL)
    }

    /// The cost in US dollars.
    #[getter]
    fn llm_cost<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.get_attribute(py, view::COST)
    }

    /// The severity, a `SpanLogLevel` once it is set.
    #[getter]
    fn log_level<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        view::entity(
            py,
            view::member::LOG_LEVEL,
            self.get_attribute(py, view::LOG_LEVEL)?,
        )
    }

    /// All attributes.
    #[getter]
    fn attributes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        view::attributes(py, self.snapshot().as_ref())
    }

    /// The value of an attribute, or None.
    fn get_attribute<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Bound<'py, PyAny>> {
        view::attribute(py, self.snapshot().as_ref(), key)
    }

    /// The status, a `SpanStatus`.
    #[getter]
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.entity(py, view::member::STATUS)
    }

    /// The events, each a `SpanEvent`.
    #[getter]
    fn events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.entity(py, view::member::EVENTS)
    }

    /// The links, each a `Link`.
    #[getter]
    fn links<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.entity(py, view::member::LINKS)
    }

    /// The start in nanoseconds since the Unix epoch.
    #[getter]
    fn start_time_ns(&self) -> Option<u64> {
        self.snapshot()?.get("start_time_unix_nano")?.as_u64()
    }

    /// The end in nanoseconds since the Unix epoch; None while the span is open.
    #[getter]
    fn end_time_ns(&self) -> Option<u64> {
        self.snapshot()?
            .get("end_time_unix_nano")?
            .as_u64()
            .filter(|time| *time != 0)
    }

    /// The span as MLflow's span JSON.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        view::object(py, self.snapshot().as_ref())
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let name = text::repr_of(self.name.bind(py)).unwrap_or_default();
        let parent = self
            .parent_id()
            .map_or_else(|| "None".to_owned(), |id| format!("'{id}'"));
        let (trace, span) = (self.trace_id(), self.span_id());
        format!("LiveSpan(name={name}, trace_id='{trace}', span_id='{span}', parent_id={parent})")
    }
}

/// A time in nanoseconds since 1970; anything else is ignored with a warning.
pub(crate) fn time_argument(name: &str, time: Option<&Bound<'_, PyAny>>) -> PyResult<Option<u64>> {
    let Some(time) = time else {
        return Ok(None);
    };
    match time.extract::<u64>() {
        Ok(time) => Ok(Some(time)),
        Err(error) => {
            contain(time.py(), error)?;
            warn(
                time.py(),
                &format!("`{name}` is no time in nanoseconds; the present is used"),
            )?;
            Ok(None)
        }
    }
}
