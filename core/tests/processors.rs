//! Hooks of the host: what they see, what they change, and that nothing gets past them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock};

use mlflow_trace_core::{
    Attachment, ErrorKind, Parent, ProcessorError, Span, SpanProcessor, SpanStart, StatusCode,
    TraceUpdate, Tracer, TracerBuilder, Value, extract,
};
use support::canary::{CANARY, fill};
use support::server::Server;
use support::{PATIENCE, assert_conserved, child, config, dropped, names, span, traces, until};

type Outcome = Result<(), ProcessorError>;

/// A processor from two closures.
struct Hooks<S, E>(S, E);

impl<S, E> SpanProcessor for Hooks<S, E>
where
    S: Fn(Span) -> Outcome + Send + Sync,
    E: Fn(Span) -> Outcome + Send + Sync,
{
    fn on_start(&self, span: Span) -> Outcome {
        self.0(span)
    }

    fn on_end(&self, span: Span) -> Outcome {
        self.1(span)
    }
}

fn at_start(hook: impl Fn(Span) -> Outcome + Send + Sync + 'static) -> impl SpanProcessor {
    Hooks(hook, |_| Ok(()))
}

fn at_end(hook: impl Fn(Span) -> Outcome + Send + Sync + 'static) -> impl SpanProcessor {
    Hooks(|_| Ok(()), hook)
}

fn fails(_span: Span) -> Outcome {
    Err(ProcessorError {
        message: "out of order".into(),
    })
}

const MEMORY: [(&str, &str); 2] = [("exporter", "memory"), ("batch.delay_ms", "0")];

fn builder(options: &[(&str, &str)]) -> TracerBuilder {
    TracerBuilder::new(config(&[&MEMORY, options].concat()))
}

fn name_of(span: Span) -> String {
    let snapshot = span.snapshot().unwrap();
    snapshot["name"].as_str().unwrap().to_owned()
}

#[test]
fn processors_see_each_other_s_work_in_order() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let note = |who: &'static str| {
        let seen = seen.clone();
        move |span: Span| {
            let attributes = span.snapshot().unwrap()["attributes"].clone();
            let keys = ["given", "first", "second", "later"];
            let known = keys.iter().filter(|key| !attributes[**key].is_null());
            let known: Vec<&str> = known.copied().collect();
            let line = format!("{who}: {} {}", name_of(span), known.join(" "));
            seen.lock().unwrap().push(line);
            let key = who.split(' ').next().unwrap();
            span.set_attribute(key, Value::Bool(true)).unwrap();
            Ok(())
        }
    };
    let tracer = builder(&[])
        .processor(Hooks(note("first start"), note("first end")))
        .processor(Hooks(note("second start"), note("second end")))
        .build()
        .unwrap();
    let root = tracer.start(SpanStart {
        attributes: &[("given", Value::Bool(true))],
        ..SpanStart::new("root")
    });
    root.set_attribute("later", Value::Bool(true)).unwrap();
    root.end().unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        [
            "first start: root given",
            "second start: root given first",
            "first end: root given first second later",
            "second end: root given first second later",
        ]
    );
    let traces = traces(&tracer);
    let root = span(&traces[0], "root");
    assert_eq!(root["attributes"]["second"], "true");
    assert_eq!(tracer.stats().redaction_failed, 0);
    assert_conserved(&tracer);
}

#[test]
fn what_a_processor_changes_is_what_is_sent() {
    let hide = |span: Span| {
        span.set_name("renamed").unwrap();
        span.set_type("TOOL").unwrap();
        span.set_inputs(Value::Str("***")).unwrap();
        span.set_status(StatusCode::Error, "hidden").unwrap();
        span.update_trace(&TraceUpdate::from_json(r#"{"tags": {"seen": "1"}}"#).unwrap())
            .unwrap();
        Ok(())
    };
    let tracer = builder(&[]).processor(at_end(hide)).build().unwrap();
    let root = tracer.start(SpanStart::new("root"));
    root.set_inputs(Value::Str(CANARY)).unwrap();
    let record = root.end_with_record(None).unwrap();
    let traces = traces(&tracer);
    let sent = span(&traces[0], "renamed");
    assert_eq!(sent["status"]["message"], "hidden");
    assert_eq!(sent["attributes"]["mlflow.spanLogLevel"], "20");
    assert_eq!(record.snapshot().unwrap()["attributes"], sent["attributes"]);
    let info = &traces[0]["info"];
    assert_eq!(info["state"], "ERROR");
    assert_eq!(info["request_preview"], "\"***\"");
    assert_eq!(info["tags"]["seen"], "1");
    assert!(!traces[0].to_string().contains(CANARY));
}

#[test]
fn a_processor_that_fails_lets_no_content_pass() {
    type Add = fn(TracerBuilder) -> TracerBuilder;
    let ways: [(&str, Add); 4] = [
        ("error at the start", |to| to.processor(at_start(fails))),
        ("error at the end", |to| to.processor(at_end(fails))),
        ("panic at the start", |to| {
            to.processor(at_start(|_| panic!("on purpose")))
        }),
        ("panic at the end", |to| {
            to.processor(at_end(|_| panic!("on purpose")))
        }),
    ];
    for (way, add) in ways {
        let server = Server::mlflow("3.17.2", |_| None);
        let last = Arc::new(AtomicUsize::new(0));
        let count = last.clone();
        let options = config(&[("tracking_uri", server.url.as_str())]);
        let tracer = add(TracerBuilder::new(options))
            .processor(at_end(move |_| {
                count.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }))
            .build()
            .unwrap();
        let root = tracer.start(SpanStart {
            attributes: &[("given", Value::Str(CANARY))],
            span_type: Some("AGENT"),
            ..SpanStart::new("root")
        });
        let below = tracer.start(child(root, "below"));
        fill(below);
        let record = below.end_with_record(None).unwrap();
        fill(root);
        root.end().unwrap();
        assert_eq!(tracer.flush(PATIENCE), 0);
        let all = server.received() + &record.snapshot().unwrap().to_string();
        assert!(!all.contains(CANARY), "{way}: {all}");
        let infos = server.infos();
        assert_eq!(infos[0]["state"], "ERROR");
        assert_eq!(infos[0]["request_preview"], "\"[redaction failed]\"");
        let spans = server.spans();
        assert_eq!(spans.len(), 2);
        for span in spans {
            assert_eq!(span.text("json").unwrap(), "[redaction failed]");
            assert_eq!(span.events().len(), 2);
        }
        assert_eq!(
            last.load(Ordering::Relaxed),
            2,
            "the others run all the same"
        );
        assert_eq!(tracer.stats().redaction_failed, 2);
        let told: Vec<_> = std::iter::from_fn(|| tracer.next_diagnostic()).collect();
        assert_eq!(told[0].reason, "redaction_failed");
        assert!(!told.iter().any(|line| line.message.contains(CANARY)));
        assert_conserved(&tracer);
    }
}

#[test]
fn a_failure_withholds_one_span_and_no_other() {
    let fails_for_bad = |span: Span| match name_of(span).as_str() {
        "bad" => fails(span),
        _ => Ok(()),
    };
    let tracer = builder(&[])
        .processor(at_end(fails_for_bad))
        .build()
        .unwrap();
    let root = tracer.start(SpanStart::new("root"));
    for name in ["good", "bad", "good too"] {
        let below = tracer.start(child(root, name));
        below.set_outputs(Value::Str(name)).unwrap();
        below.end().unwrap();
    }
    root.end().unwrap();
    let traces = traces(&tracer);
    for (name, outputs) in [
        ("good", "\"good\""),
        ("bad", "\"[redaction failed]\""),
        ("good too", "\"good too\""),
    ] {
        let attributes = &span(&traces[0], name)["attributes"];
        assert_eq!(attributes["mlflow.spanOutputs"], outputs);
    }
    assert_eq!(tracer.stats().redaction_failed, 1);
}

#[test]
fn a_processor_cannot_end_the_span_that_it_is_shown() {
    let answers: Arc<Mutex<Vec<Result<(), ErrorKind>>>> = Arc::default();
    let ends = || {
        let answers = answers.clone();
        move |span: Span| {
            answers.lock().unwrap().push(span.end());
            answers.lock().unwrap().push(span.end_at(1));
            Ok(())
        }
    };
    let tracer = builder(&[])
        .processor(Hooks(ends(), ends()))
        .build()
        .unwrap();
    let root = tracer.start(SpanStart::new("root"));
    assert!(root.is_recording());
    assert_eq!(root.end(), Ok(()));
    assert_eq!(*answers.lock().unwrap(), [Err(ErrorKind::InvalidState); 4]);
    assert_eq!(traces(&tracer).len(), 1);
    assert_conserved(&tracer);
}

/// The tracer, for processors that use it.
type Own = Arc<OnceLock<Tracer>>;

#[test]
fn a_processor_may_record_spans_of_its_own() {
    let own = Own::default();
    let at = |when: &'static str| {
        let own = own.clone();
        move |span: Span| {
            let Some(tracer) = own.get() else {
                return Ok(());
            };
            if name_of(span).starts_with("audit") {
                return Ok(());
            }
            let audit = tracer.start(SpanStart {
                parent: Parent::Span(span),
                ..SpanStart::new(when)
            });
            audit.set_attribute("by", Value::Str("processor")).unwrap();
            audit.end().unwrap();
            tracer.start(SpanStart::new("audit apart")).end().unwrap();
            Ok(())
        }
    };
    let tracer = builder(&[])
        .processor(Hooks(at("audit start"), at("audit end")))
        .build()
        .unwrap();
    own.set(tracer.clone()).ok().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let root = tracer.start(SpanStart::new("root"));
                    tracer.start(child(root, "below")).end().unwrap();
                    root.end().unwrap();
                }
            });
        }
    });
    let traces = traces(&tracer);
    // Four audits of its own traces for each root and each child; two spans apart for each of these.
    let (roots, apart): (Vec<_>, Vec<_>) = traces.iter().partition(|trace| names(trace).len() > 1);
    assert_eq!((roots.len(), apart.len()), (200, 800));
    let expected = [
        "audit end",
        "audit end",
        "audit start",
        "audit start",
        "below",
        "root",
    ];
    assert!(roots.iter().all(|trace| names(trace) == expected));
    assert_conserved(&tracer);
    assert_eq!(tracer.stats().redaction_failed, 0);
}

#[test]
fn nobody_changes_or_ends_a_span_behind_its_processors_back() {
    let (entered, leave) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let runs = Arc::new(AtomicUsize::new(0));
    let hook = {
        let (entered, leave, runs) = (entered.clone(), leave.clone(), runs.clone());
        move |span: Span| {
            if name_of(span) == "root" {
                runs.fetch_add(1, Ordering::Relaxed);
                entered.wait();
                leave.wait();
                span.set_attribute("checked", Value::Bool(true)).unwrap();
            }
            Ok(())
        }
    };
    let tracer = builder(&[]).processor(at_end(hook)).build().unwrap();
    let root = tracer.start(SpanStart::new("root"));
    let ender = std::thread::spawn(move || root.end());
    entered.wait();
    for refused in [
        root.end(),
        root.end_at(1),
        root.end_with_record(None).map(|_| ()),
        root.set_attribute("late", Value::Str(CANARY)),
        root.set_outputs(Value::Str(CANARY)),
        root.set_name(CANARY),
        root.add_event("late", None, &[("late", Value::Str(CANARY))]),
        root.set_status(StatusCode::Error, CANARY),
    ] {
        assert_eq!(refused, Err(ErrorKind::InvalidState));
    }
    // It is live all the same: a child of it is one.
    let below = tracer.start(child(root, "below"));
    leave.wait();
    assert_eq!(ender.join().unwrap(), Ok(()));
    assert_eq!(root.end(), Err(ErrorKind::InvalidState));
    below.end().unwrap();
    let traces = traces(&tracer);
    assert_eq!(names(&traces[0]), ["below", "root"]);
    assert_eq!(span(&traces[0], "root")["attributes"]["checked"], "true");
    assert!(!traces[0].to_string().contains(CANARY));
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    assert_conserved(&tracer);
}

#[test]
fn many_threads_that_end_one_span_run_its_processors_once() {
    let runs = Arc::new(AtomicUsize::new(0));
    let count = runs.clone();
    let hook = move |_: Span| {
        count.fetch_add(1, Ordering::Relaxed);
        std::thread::yield_now();
        Ok(())
    };
    let tracer = builder(&[]).processor(at_end(hook)).build().unwrap();
    for _ in 0..100 {
        let root = tracer.start(SpanStart::new("root"));
        let ended: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| usize::from(root.end().is_ok())))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(ended, 1);
    }
    assert_eq!(runs.load(Ordering::Relaxed), 100);
    assert_eq!(traces(&tracer).len(), 100);
    assert_conserved(&tracer);
}

#[test]
fn processors_are_shown_recorded_spans_only() {
    let shown = Arc::new(AtomicUsize::new(0));
    let count = || {
        let shown = shown.clone();
        move |_: Span| {
            shown.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    };
    let tracer = builder(&[("sampling.ratio", "0")])
        .processor(Hooks(count(), count()))
        .build()
        .unwrap();
    let root = tracer.start(SpanStart::new("root"));
    tracer.start(child(root, "below")).end().unwrap();
    root.end().unwrap();
    let caller = extract(
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        None,
    );
    let served = tracer.start(SpanStart {
        parent: Parent::Remote(caller.unwrap()),
        ..SpanStart::new("served")
    });
    served.end().unwrap();
    assert_eq!(shown.load(Ordering::Relaxed), 0);
    assert!(tracer.next_diagnostic().is_none());
}

#[test]
fn a_span_that_is_ended_for_its_host_is_shown_as_well() {
    let hide = |span: Span| {
        span.set_inputs(Value::Str("***")).unwrap();
        Ok(())
    };
    let tracer = builder(&[("trace.ttl_s", "1"), ("trace.partial_after_ms", "80")])
        .processor(at_end(hide))
        .build()
        .unwrap();
    let root = tracer.start(SpanStart::new("root"));
    root.set_inputs(Value::Str(CANARY)).unwrap();
    until("it is closed", || tracer.stats().abandoned == 1);
    let traces = traces(&tracer);
    let root = span(&traces[0], "root");
    assert_eq!(root["attributes"]["mlflow.spanInputs"], "\"***\"");
    assert!(!traces[0].to_string().contains(CANARY));
}

#[test]
fn a_span_whose_trace_was_closed_while_its_processors_run_tells_nothing() {
    let own = Own::default();
    let closes = {
        let own = own.clone();
        move |_: Span| {
            own.get().unwrap().shutdown(PATIENCE);
            Ok(())
        }
    };
    let tracer = builder(&[("redact.keys", "secret")])
        .processor(at_end(closes))
        .build()
        .unwrap();
    own.set(tracer.clone()).ok().unwrap();
    let root = tracer.start(SpanStart::new("root"));
    let below = tracer.start(child(root, "below"));
    for span in [below, root] {
        span.set_attribute("secret", Value::Str(CANARY)).unwrap();
        let record = span.end_with_record(None).unwrap();
        let shown = record.snapshot().unwrap().to_string();
        assert!(!shown.contains(CANARY), "{shown}");
    }
    assert_eq!(dropped(&tracer, "unfinished"), 2);
    assert_conserved(&tracer);
}

#[test]
fn redaction_comes_after_the_processors() {
    let adds = |span: Span| {
        span.set_attribute("added", Value::Str(CANARY)).unwrap();
        Ok(())
    };
    let tracer = builder(&[("redact.patterns", "canary-[0-9a-f]+")])
        .processor(at_end(adds))
        .build()
        .unwrap();
    let root = tracer.start(SpanStart::new("root"));
    root.set_inputs(Value::Str(&format!("say {CANARY}!")))
        .unwrap();
    let record = root.end_with_record(None).unwrap();
    let traces = traces(&tracer);
    let root = span(&traces[0], "root");
    assert_eq!(root["attributes"]["added"], "\"[redacted]\"");
    assert_eq!(
        root["attributes"]["mlflow.spanInputs"],
        "\"say [redacted]!\""
    );
    assert_eq!(record.snapshot().unwrap()["attributes"], root["attributes"]);
    assert_eq!(tracer.stats().redaction_failed, 0);

    // Both at once: what failed is withheld, and what is left of it is redacted.
    let tracer = builder(&[("redact.patterns", "canary-[0-9a-f]+")])
        .processor(at_end(fails))
        .build()
        .unwrap();
    let root = tracer.start(SpanStart::new(CANARY));
    fill(root);
    root.end().unwrap();
    let traces = self::traces(&tracer);
    assert!(!traces[0].to_string().contains(CANARY));
    assert_eq!(tracer.stats().redaction_failed, 1);
}

#[test]
fn content_of_a_span_that_is_withheld_is_not_attached_either() {
    // Long traces are sent in parts, of which the last does not know what the others refer to.
    for in_parts in [false, true] {
        for off in [false, true] {
            let server = Server::mlflow("3.17.2", |_| None);
            let capture = if off { "off" } else { "on" };
            let spans = if in_parts { "1" } else { "512" };
            let options = [
                ("tracking_uri", server.url.as_str()),
                ("capture_content", capture),
                ("batch.max_spans", spans),
            ];
            let failing = Arc::new(AtomicBool::new(!off));
            let fails_when_told = move |span: Span| match name_of(span).as_str() {
                "held" if failing.load(Ordering::Relaxed) => fails(span),
                _ => Ok(()),
            };
            let tracer = TracerBuilder::new(config(&options))
                .processor(at_end(fails_when_told))
                .build()
                .unwrap();
            let root = tracer.start(SpanStart::new("root"));
            let trace_id = root.context().unwrap().trace_id;
            let attach = |name: &str, content: &str| {
                let span = tracer.start(child(root, name));
                let attachment = Attachment::new("text/plain", content.as_bytes());
                span.set_inputs(Value::Str(&attachment.uri(&trace_id)))
                    .unwrap();
                span.attach(attachment).unwrap();
                span.end().unwrap();
            };
            attach("open", "harmless");
            if in_parts {
                until("a part is sent", || !server.spans().is_empty());
            }
            attach("held", CANARY);
            root.end().unwrap();
            assert_eq!(tracer.flush(PATIENCE), 0);
            let all = server.received();
            assert!(!all.contains(CANARY), "parts {in_parts}, off {off}");
            assert_eq!(
                all.contains("harmless"),
                !off,
                "parts {in_parts}, off {off}"
            );
            assert_conserved(&tracer);
        }
    }
}
