//! What one span may hold, and how what was cut or left out shows on the wire.
#![allow(clippy::unwrap_used)]

mod support;

use mlflow_trace_core::{Span, SpanId, SpanStart, StatusCode, TraceId, Tracer, Value};
use serde_json::json;
use support::otlp::{self, messages, number};
use support::server::Server;
use support::{PATIENCE, assert_conserved, span, tracer, traces};

fn memory(options: &[(&str, &str)]) -> Tracer {
    let base = [("exporter", "memory"), ("batch.delay_ms", "0")];
    tracer(&[&base, options].concat())
}

/// The only span of a tracer that sends to a server, as it arrives there.
fn sent(options: &[(&str, &str)], record: impl FnOnce(Span)) -> otlp::Span {
    let server = Server::mlflow("3.17.2", |_| None);
    let base = [("tracking_uri", server.url.as_str())];
    let tracer = tracer(&[&base, options].concat());
    let root = tracer.start(SpanStart::new("root"));
    record(root);
    assert_eq!(root.end(), Ok(()));
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_conserved(&tracer);
    server.spans().pop().unwrap()
}

/// As `text` is cut to 64 bytes.
fn cut(text: &str) -> String {
    let kept = (0..=64).rev().find(|end| text.is_char_boundary(*end));
    format!(
        "{}... [truncated, {} bytes]",
        &text[..kept.unwrap()],
        text.len()
    )
}

#[test]
fn long_texts_are_cut_and_say_so() {
    let tracer = memory(&[("limits.value_bytes", "64")]);
    let long = "é".repeat(50) + "end";
    let long_json = json!({ "text": long }).to_string();
    let short_json = r#"{"n": [1, {"deep": "kept"}]}"#;
    let inner = [Value::Str(&long), Value::Json(&long_json)];
    let items = [Value::Str("short"), Value::Array(&inner), Value::Int(1)];
    let root = tracer.start(SpanStart {
        span_type: Some(&long),
        attributes: &[("start", Value::Str(&long))],
        ..SpanStart::new(&long)
    });
    root.set_attribute("str", Value::Str(&long)).unwrap();
    root.set_attribute("json", Value::Json(&long_json)).unwrap();
    root.set_attribute("short", Value::Json(short_json))
        .unwrap();
    root.set_attribute("list", Value::Array(&items)).unwrap();
    root.set_inputs(Value::Json(&long_json)).unwrap();
    root.set_status(StatusCode::Error, &long).unwrap();
    let attributes = [
        ("str", Value::Str(&long)),
        ("list", Value::Array(&items)),
        ("json", Value::Json(&long_json)),
        ("short", Value::Json(short_json)),
    ];
    root.add_event(&long, Some(1), &attributes).unwrap();
    root.add_link(TraceId::generate(), SpanId::generate(), &attributes)
        .unwrap();
    let live = root.snapshot().unwrap();
    root.end().unwrap();

    let (long, long_json) = (cut(&long), cut(&long_json));
    let list = json!(["short", [long, long_json], 1]);
    let traces = traces(&tracer);
    let root = span(&traces[0], &long);
    let attribute = |key: &str| -> serde_json::Value {
        serde_json::from_str(root["attributes"][key].as_str().unwrap()).unwrap()
    };
    for key in ["start", "str", "mlflow.spanType"] {
        assert_eq!(attribute(key), json!(long), "{key}");
    }
    for key in ["json", "mlflow.spanInputs"] {
        assert_eq!(attribute(key), json!(long_json), "{key}");
    }
    assert_eq!(attribute("list"), list);
    let short: serde_json::Value = serde_json::from_str(short_json).unwrap();
    assert_eq!(attribute("short"), short);
    assert_eq!(root["status"]["message"], long);
    let attributes = json!({"str": long, "list": list, "json": long_json, "short": short});
    assert_eq!(root["events"][0]["name"], long);
    assert_eq!(root["events"][0]["attributes"], attributes);
    assert_eq!(root["links"][0]["attributes"], attributes);
    assert_eq!(live["attributes"]["str"], root["attributes"]["str"]);
    assert_eq!(traces[0]["info"]["tags"]["mlflow.traceName"], long);
}

#[test]
fn exceptions_are_cut_as_well() {
    let tracer = memory(&[("limits.value_bytes", "64")]);
    let long = "x".repeat(1000);
    let root = tracer.start(SpanStart::new("root"));
    root.set_name(&long).unwrap();
    root.record_exception("ValueError", &long, &long).unwrap();
    root.end().unwrap();
    let traces = traces(&tracer);
    let root = span(&traces[0], &cut(&long));
    let exception = &root["events"][0]["attributes"];
    assert_eq!(exception["exception.message"], cut(&long));
    assert_eq!(exception["exception.stacktrace"], cut(&long));
    let message = cut(&format!("ValueError: {long}"));
    assert_eq!(root["status"]["message"], message);
}

#[test]
fn further_attributes_are_left_out_and_counted() {
    let limit = ("limits.attributes", "4");
    let span = sent(&[limit], |span| {
        for n in 0..100 {
            span.set_attribute(&format!("k{n}"), Value::Int(n)).unwrap();
        }
        // Those that mean something to MLflow always have a place.
        span.set_inputs(Value::Str("in")).unwrap();
        span.set_outputs(Value::Str("out")).unwrap();
        span.set_type("TOOL").unwrap();
        span.set_attribute("mlflow.chat.tokenUsage", Value::Json("{}"))
            .unwrap();
        span.set_attribute("late", Value::Null).unwrap();
    });
    let keys = span.keys();
    let own = keys.iter().filter(|key| !key.starts_with("mlflow."));
    assert_eq!(own.collect::<Vec<_>>(), ["k0", "k1", "k2"]);
    for key in ["spanInputs", "spanOutputs", "spanType", "spanLogLevel"] {
        assert!(keys.contains(&format!("mlflow.{key}")), "{keys:?}");
    }
    assert_eq!(span.text("mlflow.spanType").unwrap(), "TOOL");
    assert_eq!(span.dropped_attributes(), 98);
}

#[test]
fn a_full_span_takes_new_values_of_what_it_has() {
    let span = sent(&[("limits.attributes", "3")], |span| {
        span.set_attribute("a", Value::Str("1")).unwrap();
        span.set_attribute("b", Value::Str("1")).unwrap();
        // Beyond the limit, as MLflow's own may be.
        span.set_inputs(Value::Str("1")).unwrap();
        span.set_outputs(Value::Str("1")).unwrap();
        span.set_attribute("c", Value::Str("1")).unwrap();
        for key in ["a", "b", "mlflow.spanInputs"] {
            span.set_attribute(key, Value::Str("2")).unwrap();
        }
    });
    for (key, text) in [("a", "2"), ("b", "2"), ("mlflow.spanInputs", "2")] {
        assert_eq!(span.text(key).as_deref(), Some(text), "{key}");
    }
    assert_eq!(span.text("c"), None);
    assert_eq!(span.dropped_attributes(), 1);
}

#[test]
fn further_events_and_links_are_left_out_and_counted() {
    let options = [("limits.events", "2"), ("limits.links", "1")];
    let span = sent(&options, |span| {
        for n in 0..5 {
            span.add_event("event", Some(n), &[]).unwrap();
            span.add_link(TraceId::generate(), SpanId::generate(), &[])
                .unwrap();
        }
        span.record_exception("ValueError", "bad", "").unwrap();
    });
    assert_eq!((span.events().len(), span.dropped_events()), (2, 4));
    assert_eq!((span.links().len(), span.dropped_links()), (1, 4));
    assert_eq!(span.dropped_attributes(), 0);
    // The exception had no place among the events; that there was one is still known.
    let level = messages(&span.0, 9)
        .into_iter()
        .find(|pair| pair.windows(12).any(|key| key == b"spanLogLevel"))
        .map(|pair| number(messages(pair, 2)[0], 3));
    assert_eq!(level, Some(40));
}

#[test]
fn limits_of_zero_leave_nothing_but_what_is_mlflows_own() {
    let none = ["attributes", "events", "links"].map(|what| format!("limits.{what}"));
    let options: Vec<(&str, &str)> = none.iter().map(|key| (key.as_str(), "0")).collect();
    let span = sent(&options, |span| {
        span.set_attribute("k", Value::Null).unwrap();
        span.set_inputs(Value::Int(1)).unwrap();
        span.add_event("event", None, &[]).unwrap();
        span.add_link(TraceId::generate(), SpanId::generate(), &[])
            .unwrap();
    });
    let keys = span.keys();
    assert!(keys.iter().all(|key| key.starts_with("mlflow.")));
    assert_eq!(keys.len(), 3, "{keys:?}");
    assert_eq!(
        (
            span.dropped_attributes(),
            span.dropped_events(),
            span.dropped_links()
        ),
        (1, 1, 1)
    );
}

#[test]
fn a_hundred_thousand_keys_cost_no_more_than_time() {
    let begin = std::time::Instant::now();
    let span = sent(&[], |span| {
        for n in 0..100_000 {
            span.set_attribute(&format!("key{n}"), Value::Int(n))
                .unwrap();
        }
    });
    assert_eq!(span.keys().len(), 1025);
    assert_eq!(span.dropped_attributes(), 100_000 - 1023);
    assert!(begin.elapsed() < PATIENCE);
}

/// Bytes of the largest request of an MLflow server that is still taken.
const REQUEST: usize = 60 << 20;

#[test]
fn a_span_stays_below_what_a_request_may_hold() {
    let text = "x".repeat(8 << 20);
    let texts = [Value::Str(&text); 10];
    let many = vec![Value::Int(i64::MIN); 10_000_000];
    let keys: Vec<String> = (0..10).map(|n| format!("k{n}")).collect();
    let attributes: Vec<_> = keys
        .iter()
        .map(|key| (key.as_str(), Value::Str(&text)))
        .collect();
    type Fill<'a> = &'a dyn Fn(Span);
    let fills: [(&str, Fill<'_>); 5] = [
        ("attributes", &|span| {
            span.set_attributes(&attributes).unwrap();
        }),
        ("texts", &|span| {
            span.set_attribute("texts", Value::Array(&texts)).unwrap();
        }),
        ("list", &|span| {
            span.set_attribute("list", Value::Array(&many)).unwrap();
        }),
        ("event", &|span| {
            span.add_event("event", None, &attributes).unwrap();
        }),
        ("link", &|span| {
            let (trace, other) = (TraceId::generate(), SpanId::generate());
            span.add_link(trace, other, &attributes).unwrap();
        }),
    ];
    for (what, fill) in fills {
        let span = sent(&[("queue.max_bytes", "1000000000")], |span| {
            fill(span);
            span.set_attribute("after", Value::Str("kept")).unwrap();
        });
        assert!(span.0.len() < REQUEST, "{what}: {}", span.0.len());
        let in_event = span.events().first().map_or(0, |event| number(event, 4));
        let in_link = span.links().first().map_or(0, |link| number(link, 5));
        let dropped = span.dropped_attributes() + in_event + in_link;
        assert!(dropped > 0, "{what}");
    }
}

/// The largest resident size since the last call, in bytes.
#[cfg(target_os = "linux")]
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    let bytes = kib.parse::<usize>().unwrap() * 1024;
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    bytes
}

/// In a process of its own: other tests use memory too.
#[cfg(target_os = "linux")]
/// A name, what is left of a text, and a call that records it.
type Use<'a> = (&'a str, usize, &'a dyn Fn(Span));

#[test]
fn long_texts_are_not_copied() {
    const CHILD: &str = "MLFLOW_TRACE_TEST_LIMITS_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let own = std::env::current_exe().unwrap();
        let status = std::process::Command::new(own)
            .args(["--exact", "long_texts_are_not_copied", "--nocapture"])
            .env(CHILD, "1")
            .status();
        assert!(status.unwrap().success());
        return;
    }
    const LENGTH: usize = 100_000_000;
    let mut text = String::with_capacity(LENGTH + 2);
    text.push('"');
    text.extend(std::iter::repeat_n('x', LENGTH));
    text.push('"');
    let tracer = tracer(&[("exporter", "none")]);
    let items = [Value::Str(&text)];
    const CUT: usize = LENGTH / 2;
    let uses: [Use<'_>; 7] = [
        ("str", CUT, &|span| {
            span.set_inputs(Value::Str(&text)).unwrap();
        }),
        ("json", CUT, &|span| {
            span.set_outputs(Value::Json(&text)).unwrap();
        }),
        ("list", CUT, &|span| {
            span.set_attribute("list", Value::Array(&items)).unwrap();
        }),
        ("event", CUT, &|span| {
            span.add_event("e", None, &[("text", Value::Json(&text))])
                .unwrap();
        }),
        ("name", CUT, &|span| {
            span.set_name(&text).unwrap();
        }),
        ("status", CUT, &|span| {
            span.set_status(StatusCode::Error, &text).unwrap();
        }),
        // Its message is put together before it is cut.
        ("exception", LENGTH + CUT, &|span| {
            span.record_exception("ValueError", &text, &text).unwrap();
        }),
    ];
    for (what, most, record) in uses {
        assert_eq!(tracer.flush(PATIENCE), 0);
        peak();
        let before = peak();
        let span = tracer.start(SpanStart::new("big"));
        record(span);
        span.end().unwrap();
        // The exporter thread may have let go of the one before only now.
        let grown = peak().saturating_sub(before);
        assert!(grown < most, "{what}: {grown}");
    }
}
