//! OpenTelemetry's spans in the traces of ours, from their start on.
#![allow(clippy::unwrap_used)]

mod support;

use mlflow_trace_core::otel::MlflowSpanProcessor;
use mlflow_trace_core::{Parent, SpanContext, SpanStart, Tracer as Engine};
use opentelemetry::trace::{Span as _, TraceContextExt, Tracer as _, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanProcessor};
use support::{assert_conserved, memory_tracer, traces};

fn provider(engine: &Engine) -> SdkTracerProvider {
    SdkTracerProvider::builder()
        .with_span_processor(MlflowSpanProcessor::new(engine.clone()))
        .build()
}

fn names(trace: &serde_json::Value) -> Vec<&str> {
    let spans = trace["spans"].as_array().unwrap();
    let mut names: Vec<_> = spans
        .iter()
        .filter_map(|span| span["name"].as_str())
        .collect();
    names.sort_unstable();
    names
}

/// The context of a span of ours as OpenTelemetry has it.
fn theirs(context: &SpanContext) -> Context {
    let context = opentelemetry::trace::SpanContext::new(
        opentelemetry::TraceId::from_bytes(*context.trace_id.bytes()),
        opentelemetry::SpanId::from_bytes(*context.span_id.bytes()),
        opentelemetry::TraceFlags::SAMPLED,
        true,
        opentelemetry::trace::TraceState::NONE,
    );
    Context::new().with_remote_span_context(context)
}

/// The context of a span of theirs as ours take it.
fn ours(span: &opentelemetry_sdk::trace::Span) -> SpanContext {
    let context = span.span_context();
    SpanContext {
        trace_id: mlflow_trace_core::TraceId::from_bytes(context.trace_id().to_bytes()),
        span_id: mlflow_trace_core::SpanId::from_bytes(context.span_id().to_bytes()),
        flags: context.trace_flags().to_u8(),
        trace_state: None,
        remote: false,
    }
}

#[test]
fn a_trace_of_both_kinds_is_complete_when_the_last_span_ends() {
    let engine = memory_tracer();
    let tracer = provider(&engine).tracer("test");
    let (root, context) = engine.start_with_context(SpanStart::new("ours")).unwrap();
    let mut middle = tracer.start_with_context("theirs", &theirs(&context));
    let leaf = engine.start(SpanStart {
        parent: Parent::Remote(ours(&middle)),
        ..SpanStart::new("ours again")
    });
    root.end().unwrap();
    leaf.end().unwrap();
    assert_eq!(engine.flush(std::time::Duration::from_secs(5)), 2);
    assert!(engine.next_memory_trace().is_none());
    middle.set_attribute(KeyValue::new("k", 1));
    middle.end();
    let found = traces(&engine);
    assert_eq!(names(&found[0]), ["ours", "ours again", "theirs"]);
    assert!(found[0]["info"].is_object());
    assert_conserved(&engine);
}

#[test]
fn a_root_of_theirs_opens_the_trace() {
    let engine = memory_tracer();
    let tracer = provider(&engine).tracer("test");
    let mut root = tracer.start("theirs");
    let child = engine.start(SpanStart {
        parent: Parent::Remote(ours(&root)),
        ..SpanStart::new("ours")
    });
    child.end().unwrap();
    root.end();
    let found = traces(&engine);
    assert_eq!(names(&found[0]), ["ours", "theirs"]);
    assert!(found[0]["info"].is_object());
    assert_conserved(&engine);
}

#[test]
fn unsampled_spans_are_not_noted() {
    let engine = memory_tracer();
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::AlwaysOff)
        .with_span_processor(MlflowSpanProcessor::new(engine.clone()))
        .build();
    provider.tracer("test").start("dropped").end();
    assert_eq!(traces(&engine).len(), 0);
    assert_eq!(engine.stats().created, 0);
}

#[test]
fn a_shutdown_ends_recording() {
    let engine = memory_tracer();
    let processor = MlflowSpanProcessor::new(engine.clone());
    let provider = provider(&engine);
    provider.tracer("test").start("before").end();
    assert!(provider.shutdown().is_ok());
    assert!(matches!(
        processor.shutdown(),
        Err(OTelSdkError::AlreadyShutdown)
    ));
    assert_eq!(engine.stats().delivered, 1);
}
