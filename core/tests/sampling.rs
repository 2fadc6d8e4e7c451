//! Which traces are recorded, and what becomes of the others.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mlflow_trace_core::{
    Attachment, Decision, ErrorKind, Parent, Span, SpanContext, SpanId, SpanStart, StatusCode,
    TraceId, TraceUpdate, Tracer, TracerBuilder, Value, extract, inject,
};
use opentelemetry_sdk::trace::IdGenerator;
use support::frames::{end, field, start};
use support::{assert_conserved, child, config, dropped, names, tracer, traces, until};

const MEMORY: [(&str, &str); 2] = [("exporter", "memory"), ("batch.delay_ms", "0")];

fn sampling(options: &[(&str, &str)]) -> Tracer {
    tracer(&[&MEMORY, options].concat())
}

/// What MLflow 3.17.2 computes for a ratio: `round(ratio * 2**64)` in Python.
const BOUNDS: [(&str, u128); 10] = [
    ("0", 0),
    ("1e-19", 2),
    ("1e-9", 18_446_744_074),
    ("0.1", 1_844_674_407_370_955_264),
    ("0.25", 4_611_686_018_427_387_904),
    ("0.3333333333333333", 6_148_914_691_236_516_864),
    ("0.5", 9_223_372_036_854_775_808),
    ("0.7", 12_912_720_851_596_685_312),
    ("0.9999999999", 18_446_744_071_864_877_056),
    ("1", 18_446_744_073_709_551_616),
];

/// The `n`th of a spread of ids; the lower half alone decides.
fn low_half(n: u64) -> u64 {
    match n {
        0 => 0,
        1 => u64::MAX,
        2 => 1 << 63,
        3 => (1 << 63) - 1,
        n => n.wrapping_mul(0x9e37_79b9_7f4a_7c15),
    }
}

#[derive(Debug, Default)]
struct Spread(AtomicU64);

impl IdGenerator for Spread {
    fn new_trace_id(&self) -> opentelemetry::TraceId {
        let low = low_half(self.0.fetch_add(1, Ordering::Relaxed));
        opentelemetry::TraceId::from(u128::from(u64::MAX) << 64 | u128::from(low))
    }

    fn new_span_id(&self) -> opentelemetry::SpanId {
        opentelemetry::SpanId::from(self.0.load(Ordering::Relaxed))
    }
}

#[test]
fn a_ratio_takes_the_traces_that_mlflow_takes() {
    for (ratio, bound) in BOUNDS {
        let options = [&MEMORY[..], &[("sampling.ratio", ratio)]].concat();
        let tracer = TracerBuilder::new(config(&options))
            .id_generator(Spread::default())
            .build()
            .unwrap();
        for n in 0..10_000 {
            let span = tracer.start(SpanStart::new("root"));
            let expected = u128::from(low_half(n)) < bound;
            assert_eq!(span.is_recording(), expected, "{ratio} {n}");
            span.end().unwrap();
        }
        let taken = (0..10_000).filter(|n| u128::from(low_half(*n)) < bound);
        assert_eq!(tracer.stats().created, taken.count() as u64);
        let mut id = [0xff; 16];
        for n in 0..10_000 {
            id[8..].copy_from_slice(&low_half(n).to_be_bytes());
            let asked = tracer.samples(TraceId::from_bytes(id), "root", None);
            let expected = match u128::from(low_half(n)) < bound {
                true => Decision::Sample,
                false => Decision::Drop,
            };
            assert_eq!(asked, expected, "{ratio} {n}");
        }
    }
}

#[test]
fn a_root_may_override_the_ratio_and_its_children_follow() {
    let tracer = sampling(&[("sampling.ratio", "0")]);
    let kept = tracer.start(SpanStart {
        sampling_ratio: Some(1.0),
        ..SpanStart::new("kept")
    });
    let not_asked = tracer.start(SpanStart {
        sampling_ratio: Some(0.0),
        ..child(kept, "child")
    });
    not_asked.end().unwrap();
    kept.end().unwrap();
    let left = tracer.start(SpanStart::new("left"));
    let below = tracer.start(SpanStart {
        sampling_ratio: Some(1.0),
        ..child(left, "below")
    });
    let deeper = tracer.start(child(below, "deeper"));
    assert!(![left, below, deeper].iter().any(|span| span.is_recording()));
    for span in [deeper, below, left] {
        span.end().unwrap();
    }
    let traces = traces(&tracer);
    assert_eq!(traces.len(), 1);
    assert_eq!(names(&traces[0]), ["child", "kept"]);
    assert_eq!((tracer.stats().created, tracer.stats().ignored), (2, 0));

    let all = sampling(&[]);
    let left = all.start(SpanStart {
        sampling_ratio: Some(0.0),
        ..SpanStart::new("left")
    });
    assert_eq!(left, Span::UNSAMPLED);
    let (span, context) = all.start_with_context(child(left, "below")).unwrap();
    assert_eq!(span, Span::UNSAMPLED);
    assert_eq!(context.flags & 1, 0);
    assert_eq!(all.stats().created, 0);
}

/// Everything that can be done with a span is harmless on one that is not recorded.
fn is_inert(span: Span) {
    let update = TraceUpdate::from_json(r#"{"tags": {"a": "1"}}"#).unwrap();
    let (trace_id, span_id) = (TraceId::generate(), SpanId::generate());
    for answer in [
        span.set_name("name"),
        span.set_type("TOOL"),
        span.set_inputs(Value::Str("in")),
        span.set_outputs(Value::Json("{}")),
        span.set_attribute("key", Value::Int(1)),
        span.set_attributes(&[("a", Value::Null), ("b", Value::Bool(true))]),
        span.add_event("event", None, &[("k", Value::Null)]),
        span.record_exception("ValueError", "bad", "at"),
        span.add_link(trace_id, span_id, &[]),
        span.set_status(StatusCode::Error, "bad"),
        span.update_trace(&update),
        span.attach(Attachment::new("text/plain", *b"content")),
        span.withhold(),
    ] {
        assert_eq!(answer, Ok(()));
    }
    assert!(!span.is_recording() && !span.has_outputs());
    assert_eq!(span.snapshot(), None);
}

#[test]
fn every_call_on_an_unsampled_span_is_accepted_and_does_nothing() {
    let tracer = sampling(&[("sampling.ratio", "0")]);
    let before = tracer.stats();
    let span = tracer.start(SpanStart::new("root"));
    is_inert(span);
    assert_eq!((span.context(), span.parent_id()), (None, None));
    assert_eq!((span.end(), span.end()), (Ok(()), Ok(())));
    assert_eq!(span.end_at(1), Ok(()));
    let record = span.end_with_record(None).unwrap();
    assert_eq!(record.snapshot(), None);
    is_inert(span);
    assert_eq!(Span::from_raw(span.to_raw()), Some(span));
    assert!(traces(&tracer).is_empty());
    let after = tracer.stats();
    assert_eq!((after.created, after.ignored), (0, before.ignored));
    assert!(tracer.next_diagnostic().is_none());
}

const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

fn remote(context: &SpanContext, name: &'static str) -> SpanStart<'static> {
    SpanStart {
        parent: Parent::Remote(context.clone()),
        sampling_ratio: Some(1.0),
        ..SpanStart::new(name)
    }
}

#[test]
fn the_context_of_an_unsampled_caller_passes_through() {
    let tracer = sampling(&[]);
    let caller = extract(UNSAMPLED, Some("vendor=a,other=b")).unwrap();
    let before = tracer.stats().ignored;
    let served = tracer.start(remote(&caller, "served"));
    let inner = tracer.start(child(served, "inner"));
    for span in [served, inner] {
        is_inert(span);
        let context = span.context().unwrap();
        assert_eq!(context.trace_id, caller.trace_id);
        assert_eq!((context.flags, context.remote), (0, false));
        assert_eq!(context.trace_state, caller.trace_state);
        assert_ne!(context.span_id, caller.span_id);
        let headers = inject(&context);
        let parent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-00", context.span_id);
        assert_eq!(headers[0], ("traceparent", parent));
        assert_eq!(headers[1], ("tracestate", "vendor=a,other=b".to_owned()));
    }
    assert_eq!(served.parent_id(), Some(caller.span_id));
    assert_eq!(inner.parent_id(), served.context().map(|own| own.span_id));
    let record = inner.end_with_record(None).unwrap();
    assert_eq!(record.snapshot(), None);
    served.end().unwrap();
    assert_eq!(tracer.stats().ignored, before);
    assert_eq!(served.end(), Err(ErrorKind::InvalidState));
    assert!(traces(&tracer).is_empty());
    assert_eq!(tracer.stats().created, 0);
}

#[test]
fn an_unsampled_root_tells_others_so() {
    let tracer = sampling(&[("sampling.ratio", "0")]);
    let (span, context) = tracer.start_with_context(SpanStart::new("root")).unwrap();
    assert!(context.trace_id.is_valid() && context.span_id.is_valid());
    let by_handle = span.propagation_context().unwrap();
    for told in [&context, &by_handle] {
        assert!(inject(told)[0].1.ends_with("-02"));
    }
    // By context, as a host does that keeps contexts and no handles.
    let below = tracer.start(remote(&context, "below"));
    is_inert(below);
    assert_eq!(below.context().unwrap().trace_id, context.trace_id);
    below.end().unwrap();
    span.end().unwrap();
    assert_eq!(tracer.stats().created, 0);
}

#[test]
fn only_so_many_traces_begin_in_a_second() {
    let tracer = sampling(&[("sampling.max_traces_per_second", "20")]);
    let begin = Instant::now();
    let mut roots = 0;
    for _ in 0..500 {
        let root = tracer.start(SpanStart {
            sampling_ratio: Some(1.0),
            ..SpanStart::new("root")
        });
        // Children are not counted.
        tracer.start(child(root, "child")).end().unwrap();
        roots += u64::from(root.is_recording());
        root.end().unwrap();
    }
    let seconds = begin.elapsed().as_secs() + 2;
    assert!((20..=20 * seconds).contains(&roots), "{roots}");
    assert_eq!(tracer.stats().created, 2 * roots);
    // Spans of others are not limited: their roots were counted elsewhere.
    let sampled = extract(&UNSAMPLED.replace("b7-00", "b7-01"), None).unwrap();
    assert!((0..100).all(|_| {
        let span = tracer.start(remote(&sampled, "served"));
        let recording = span.is_recording();
        span.end().unwrap();
        recording
    }));
}

const ERRORS: [(&str, &str); 2] = [("sampling.ratio", "0"), ("sampling.keep_errors", "true")];

#[test]
fn a_trace_with_an_error_is_kept() {
    let tracer = sampling(&ERRORS);
    for failing in ["", "root", "child", "grandchild"] {
        let spans = {
            let root = tracer.start(SpanStart::new("root"));
            let below = tracer.start(child(root, "child"));
            let deeper = tracer.start(child(below, "grandchild"));
            [("grandchild", deeper), ("child", below), ("root", root)]
        };
        for (name, span) in spans {
            assert!(span.is_recording());
            assert_eq!(span.context().unwrap().flags & 1, 0);
            if name == failing {
                span.set_status(StatusCode::Error, failing).unwrap();
            }
            span.end().unwrap();
        }
        let traces = traces(&tracer);
        match failing {
            "" => assert!(traces.is_empty()),
            _ => {
                assert_eq!(names(&traces[0]), ["child", "grandchild", "root"]);
                assert!(traces[0]["info"].is_object());
            }
        }
    }
    let stats = tracer.stats();
    assert_eq!(dropped(&tracer, "unsampled"), 3);
    assert_eq!((stats.created, stats.delivered, stats.pending), (12, 9, 0));
    assert_conserved(&tracer);
}

#[test]
fn a_child_by_context_belongs_to_a_trace_that_is_kept_for_its_errors() {
    let tracer = sampling(&ERRORS);
    let root = tracer.start(SpanStart::new("root"));
    let context = root.context().unwrap();
    let below = tracer.start(remote(&context, "below"));
    assert!(below.is_recording());
    below.record_exception("ValueError", "bad", "").unwrap();
    below.end().unwrap();
    root.end().unwrap();
    let kept = traces(&tracer);
    assert_eq!(names(&kept[0]), ["below", "root"]);
    // The trace is over: nothing is known of it any more but that it is not sampled.
    let late = tracer.start(remote(&context, "late"));
    is_inert(late);
    late.end().unwrap();
    assert!(traces(&tracer).is_empty());
    assert_conserved(&tracer);
}

#[test]
fn a_child_of_another_tracers_trace_is_no_more_sampled_than_that() {
    let (first, second) = (sampling(&ERRORS), sampling(&[]));
    let root = first.start(SpanStart::new("root"));
    let guest = second.start(child(root, "guest"));
    is_inert(guest);
    assert_eq!(
        guest.context().unwrap().trace_id,
        root.context().unwrap().trace_id
    );
    guest.end().unwrap();
    root.end().unwrap();
    assert!(traces(&second).is_empty());
    assert_eq!(second.stats().created, 0);
}

#[test]
fn a_trace_without_errors_waits_for_all_its_children() {
    let tracer = sampling(
        &[
            &ERRORS[..],
            &[
                ("trace.children_wait_ms", "50"),
                ("trace.partial_after_ms", "50"),
            ],
        ]
        .concat(),
    );
    let root = tracer.start(SpanStart::new("root"));
    let late = tracer.start(child(root, "late"));
    root.end().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(dropped(&tracer, "unsampled"), 0);
    late.set_status(StatusCode::Error, "late").unwrap();
    late.end().unwrap();
    let kept = traces(&tracer);
    assert_eq!(names(&kept[0]), ["late", "root"]);
    assert_eq!(kept[0]["info"]["tags"]["mlflow.traceName"], "root");
    assert_conserved(&tracer);
}

#[test]
fn hosts_that_encode_their_spans_keep_errors_as_well() {
    let tracer = sampling(&ERRORS);
    for (trace, status) in [(81, 1), (82, 2)] {
        let id = TraceId::from_bytes([trace; 16]);
        assert_eq!(tracer.samples(id, "root", None), Decision::KeepErrors);
        let mut root = start(trace, 1, 0, "");
        // Says that the trace is recorded for its errors only.
        root[1] = 2;
        let status = field(15, &[3 << 3, status]);
        let frames = [
            root,
            start(trace, 2, 1, ""),
            end(trace, 2, 1, "child", &status),
            end(trace, 1, 0, "root", &[]),
        ];
        assert_eq!(tracer.drain(&frames.concat()), 0);
    }
    let traces = traces(&tracer);
    assert_eq!(traces.len(), 1);
    assert_eq!(
        traces[0]["info"]["trace_id"],
        format!("tr-{}", "52".repeat(16))
    );
    assert_eq!(dropped(&tracer, "unsampled"), 2);
    assert_conserved(&tracer);

    let none = sampling(&[("sampling.ratio", "0")]);
    let samples = |ratio| none.samples(TraceId::generate(), "root", ratio);
    assert_eq!(samples(None), Decision::Drop);
    assert_eq!(samples(Some(1.0)), Decision::Sample);
}

#[test]
fn nothing_is_recorded_when_disabled() {
    let tracer = sampling(&[
        ("sdk.disabled", "true"),
        ("sampling.keep_errors", "true"),
        ("sampling.ratio", "1"),
    ]);
    let root = tracer.start(SpanStart {
        sampling_ratio: Some(1.0),
        ..SpanStart::new("root")
    });
    assert_eq!(root, Span::UNSAMPLED);
    is_inert(root);
    let asked = tracer.samples(TraceId::generate(), "root", Some(1.0));
    assert_eq!(asked, Decision::Drop);

    // Propagation works on: the caller's context is the one that callees get.
    let caller = extract(&UNSAMPLED.replace("b7-00", "b7-01"), Some("vendor=a")).unwrap();
    let served = tracer.start(remote(&caller, "served"));
    let inner = tracer.start(child(served, "inner"));
    for span in [inner, served] {
        is_inert(span);
        let passed = SpanContext {
            remote: false,
            ..caller.clone()
        };
        assert_eq!(span.context(), Some(passed));
        span.end().unwrap();
    }
    let frames = [start(83, 1, 0, ""), end(83, 1, 0, "root", &[])];
    assert_eq!(tracer.drain(&frames.concat()), 0);
    let update = TraceUpdate::from_json(r#"{"tags": {"a": "1"}}"#).unwrap();
    assert_eq!(
        tracer.update_trace(TraceId::from_bytes([83; 16]), &update),
        Ok(())
    );
    assert!(traces(&tracer).is_empty());
    let stats = tracer.stats();
    assert_eq!((stats.created, stats.ignored, stats.pending), (0, 0, 0));
    assert_eq!(tracer.shutdown(Duration::ZERO), 0);
}

#[test]
fn dropping_traces_gives_their_slots_and_buffers_back() {
    let tracer = sampling(&ERRORS);
    for _ in 0..20_000 {
        let root = tracer.start(SpanStart::new("root"));
        tracer.start(child(root, "child")).end().unwrap();
        root.end().unwrap();
    }
    until("all are counted", || tracer.stats().pending == 0);
    assert_eq!(dropped(&tracer, "unsampled"), 40_000);
    assert_conserved(&tracer);
}
