//! Finished spans that become part of a trace of this process, with their own ids.

use mlflow_trace_core::otel::MlflowSpanProcessor;
use mlflow_trace_core::{SpanContext, SpanId, TraceId, TraceUpdate};
use opentelemetry::trace::{
    Event, SpanContext as OtelContext, SpanKind, Status, TraceFlags, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use pyo3::prelude::*;

use crate::error::invalid_argument;
use crate::hook;
use crate::otel::{attributes, nanoseconds};
use crate::settings::{pairs, tags as read_tags};
use crate::span::LiveSpan;

/// Adds a finished span to the trace of `target`: ids of span and parent as hexadecimal text, attributes as JSON texts,
/// events as name, time and attributes.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "the parts of a span")]
pub(crate) fn merge_span(
    target: &Bound<'_, LiveSpan>,
    name: String,
    span_id: &str,
    parent_id: &str,
    start_time_ns: &Bound<'_, PyAny>,
    end_time_ns: &Bound<'_, PyAny>,
    span_attributes: &Bound<'_, PyAny>,
    events: Vec<(String, Bound<'_, PyAny>, Bound<'_, PyAny>)>,
    failure: Option<String>,
) -> PyResult<()> {
    let span = target.get();
    let id = |text: &str| {
        let malformed = || invalid_argument(target.py(), format!("`{text}` is no id of a span"));
        SpanId::from_hex(text).ok_or_else(malformed)
    };
    let (span_id, parent_id) = (id(span_id)?, id(parent_id)?);
    let mut own_events = SpanEvents::default();
    for (name, time, values) in events {
        let event = Event::new(name, nanoseconds(&time)?, attributes(&values)?, 0);
        own_events.events.push(event);
    }
    let data = SpanData {
        span_context: otel_context(&span.context, span_id),
        parent_span_id: opentelemetry::SpanId::from_bytes(*parent_id.bytes()),
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: name.into(),
        start_time: nanoseconds(start_time_ns)?,
        end_time: nanoseconds(end_time_ns)?,
        attributes: encoded(span.context.trace_id, attributes(span_attributes)?),
        dropped_attributes_count: 0,
        events: own_events,
        links: SpanLinks::default(),
        status: failure.map_or(Status::Ok, Status::error),
        // Of this library, so that nothing about another is added.
        instrumentation_scope: InstrumentationScope::builder("mlflow-trace").build(),
    };
    let processor = MlflowSpanProcessor::new(span.tracer.clone());
    if processor.start(&data.span_context, data.parent_span_id, data.start_time) {
        processor.end(&data, hook::reasons() != 0);
    }
    Ok(())
}

/// The attributes with the mark by which their values are known to be JSON texts.
fn encoded(trace_id: TraceId, mut attributes: Vec<KeyValue>) -> Vec<KeyValue> {
    const TRACE_REQUEST_ID: &str = "mlflow.traceRequestId";
    attributes.retain(|attribute| attribute.key.as_str() != TRACE_REQUEST_ID);
    let id = format!("\"{}\"", trace_id.to_mlflow());
    attributes.push(KeyValue::new(TRACE_REQUEST_ID, id));
    attributes
}

fn otel_context(parent: &SpanContext, span_id: SpanId) -> OtelContext {
    OtelContext::new(
        opentelemetry::TraceId::from_bytes(*parent.trace_id.bytes()),
        opentelemetry::SpanId::from_bytes(*span_id.bytes()),
        TraceFlags::SAMPLED,
        false,
        TraceState::NONE,
    )
}

/// Gives the trace of `target` the tags and the metadata that it does not have.
#[pyfunction]
pub(crate) fn supplement_trace(
    target: &Bound<'_, LiveSpan>,
    tags: &Bound<'_, PyAny>,
    metadata: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let update = TraceUpdate {
        tags: read_tags(Some(tags))?,
        metadata: pairs("metadata", Some(metadata))?,
        ..TraceUpdate::default()
    };
    let _ = target.get().handle.supplement_trace(&update);
    Ok(())
}
