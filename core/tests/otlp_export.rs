//! Delivery to an OpenTelemetry collector: what goes out, retries, refusals, partial success.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mlflow_trace_core::{
    Attachment, Config, Parent, SpanStart, StatusCode, TraceUpdate, Tracer, Value, extract,
};
use support::otlp::{Span, messages, number, spans};
use support::server::{Seen, Server, reply};
use support::{PATIENCE, assert_conserved, child, dropped, tracer, until};

const COLLECTOR: &str = "POST /v1/traces";

fn connected(url: &str, more: &[(&str, &str)]) -> Tracer {
    tracer(&[&[("otlp.endpoint", url), ("batch.delay_ms", "100")], more].concat())
}

fn record(tracer: &Tracer, names: &[&str]) {
    for name in names {
        tracer.start(SpanStart::new(name)).end().unwrap();
    }
}

/// A root with children of these names.
fn record_trace(tracer: &Tracer, names: &[&str]) {
    let root = tracer.start(SpanStart::new("root"));
    for name in names {
        tracer.start(child(root, name)).end().unwrap();
    }
    root.end().unwrap();
}

/// Takes everything.
fn collector() -> Server {
    Server::start(|_| reply(200, ""))
}

/// Refuses requests with a span of this name.
fn refusing(name: &'static str, status: u16) -> Server {
    Server::start(
        move |seen| match spans(seen).iter().any(|span| span.name() == name) {
            true => reply(status, ""),
            false => reply(200, ""),
        },
    )
}

/// Names of the spans in requests without one of this name.
fn taken(server: &Server, without: &str) -> Vec<String> {
    let seen = server.seen();
    let requests = seen.iter().map(spans);
    let names = requests.map(|spans| spans.iter().map(Span::name).collect::<Vec<_>>());
    let mut taken: Vec<String> = names
        .filter(|names| names.iter().all(|name| name != without))
        .flatten()
        .collect();
    taken.sort();
    taken
}

fn diagnostics(tracer: &Tracer) -> Vec<(&'static str, String)> {
    std::iter::from_fn(|| tracer.next_diagnostic())
        .map(|line| (line.reason, line.to_string()))
        .collect()
}

#[test]
fn a_collector_gets_what_mlflows_sdk_would_send_it() {
    let server = collector();
    let url = format!("{}/own?key=1", server.url);
    let options = [
        ("otlp.traces_endpoint", url.as_str()),
        ("otlp.headers", "api-key=se%20cret,x-mlflow-experiment-id=7"),
        ("service.name", "shop"),
    ];
    let tracer = connected("http://nowhere.invalid", &options);
    let update = TraceUpdate {
        tags: vec![
            ("env".into(), "prod".into()),
            ("mlflow.own".into(), "x".into()),
        ],
        session_id: Some("s".into()),
        ..TraceUpdate::default()
    };
    let root = tracer.start(SpanStart {
        span_type: Some("AGENT"),
        update: Some(&update),
        ..SpanStart::new("root")
    });
    root.set_inputs(Value::Json(r#"{"q": 1}"#)).unwrap();
    root.set_attribute("n", Value::Int(5)).unwrap();
    let id = root.context().unwrap().trace_id;
    tracer.start(child(root, "child")).end().unwrap();
    root.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);

    let seen = server.seen();
    assert_eq!(server.log(), ["POST /own?key=1"]);
    for (name, value) in [
        ("content-type", "application/x-protobuf"),
        ("api-key", "se cret"),
        ("x-mlflow-experiment-id", "7"),
    ] {
        assert_eq!(seen[0].header(name), Some(value));
    }
    assert_eq!(seen[0].header("content-encoding"), None);
    let agent = seen[0].header("user-agent").unwrap();
    assert!(agent.starts_with("mlflow-trace/"), "{agent}");

    let sent = spans(&seen[0]);
    let [child, root] = sent.as_slice() else {
        panic!("{sent:?}")
    };
    for span in [child, root] {
        let request_id = span.text("mlflow.traceRequestId");
        assert_eq!(request_id, Some(id.to_mlflow()));
        assert_eq!(number(&span.0, 6), 1, "kind INTERNAL");
        assert_eq!(number(&span.0, 16), 0x100, "the parent is local");
    }
    assert_eq!(root.text("mlflow.spanType").unwrap(), "AGENT");
    assert_eq!(root.text("mlflow.spanInputs").unwrap(), r#"{"q": 1}"#);
    assert_eq!(root.text("mlflow.traceTag.env").unwrap(), "prod");
    let tags = |span: &Span| {
        let keys = span.keys();
        keys.iter().filter(|key| key.contains("traceTag")).count()
    };
    assert_eq!((tags(root), tags(child)), (1, 0));
    let resource = messages(&seen[0].body, 1)[0];
    let scope = messages(messages(resource, 2)[0], 1)[0];
    assert_eq!(messages(scope, 1), [b"mlflow-trace"]);
    assert_eq!(tracer.stats().delivered, 2);
}

#[test]
fn experiments_share_requests() {
    let server = collector();
    let tracer = connected(&server.url, &[]);
    for experiment in ["1", "2", "3"] {
        let start = SpanStart {
            experiment_id: Some(experiment),
            ..SpanStart::new("root")
        };
        tracer.start(start).end().unwrap();
    }
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(server.log(), [COLLECTOR]);
    assert_eq!(spans(&server.seen()[0]).len(), 3);
}

#[test]
fn where_a_parent_lives() {
    let server = collector();
    let tracer = connected(&server.url, &[]);
    let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let served = tracer.start(SpanStart {
        parent: Parent::Remote(extract(header, None).unwrap()),
        ..SpanStart::new("served")
    });
    tracer.start(child(served, "within")).end().unwrap();
    served.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    let flags = |span: &Span| (span.name(), number(&span.0, 16));
    let found: Vec<_> = server.spans().iter().map(flags).collect();
    assert_eq!(found, [("within".into(), 0x100), ("served".into(), 0x300)]);
}

#[test]
fn a_running_trace_shows() {
    let server = collector();
    let tracer = connected(&server.url, &[("trace.partial_after_ms", "0")]);
    let root = tracer.start(SpanStart::new("root"));
    tracer.start(child(root, "early")).end().unwrap();
    until("the first part", || server.spans().len() == 1);
    root.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(server.spans().len(), 2);
    // Nothing is said about a parent that was still open.
    assert_eq!(number(&server.spans()[0].0, 16), 0);
    assert_conserved(&tracer);
}

#[test]
fn attachments_stay_in_their_spans_and_these_wait_for_them() {
    let server = collector();
    let tracer = connected(&server.url, &[("trace.partial_after_ms", "0")]);
    let root = tracer.start(SpanStart::new("root"));
    let inner = tracer.start(child(root, "inner"));
    let image = Attachment::new("image/png", *b"png");
    let uri = image.uri(&root.context().unwrap().trace_id);
    inner.set_inputs(Value::Str(&uri)).unwrap();
    inner.attach(image).unwrap();
    inner.end().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(server.log().len(), 0);
    root.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    let inputs = server.spans()[0].text("mlflow.spanInputs").unwrap();
    assert_eq!(inputs, "data:image/png;base64,cG5n");
}

#[test]
fn compression_when_asked_for() {
    let server = collector();
    let tracer = connected(&server.url, &[("otlp.compression", "gzip")]);
    let long = "x".repeat(5000);
    record(&tracer, &["a", &long]);
    assert_eq!(tracer.flush(PATIENCE), 0);
    let encoding = server.seen()[0]
        .header("content-encoding")
        .map(str::to_owned);
    assert_eq!(encoding.as_deref(), Some("gzip"));
    assert_eq!(server.spans()[1].name(), long);
}

#[test]
fn only_some_statuses_are_worth_another_try() {
    for status in [429, 502, 503, 504] {
        let requests = AtomicUsize::new(0);
        let server = Server::start(move |_| match requests.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => (status, "retry-after: 0\r\n".to_owned(), String::new()),
            _ => reply(200, ""),
        });
        let tracer = connected(&server.url, &[]);
        record(&tracer, &["a"]);
        assert_eq!(tracer.flush(PATIENCE), 0, "{status}");
        assert_eq!(server.log(), [COLLECTOR; 3], "{status}");
        assert_eq!(tracer.stats().delivered, 1);
        assert_eq!(diagnostics(&tracer)[0].0, "unreachable");
    }
    for status in [301, 404, 405, 408, 409, 415, 425, 501, 505] {
        let server = Server::start(move |_| {
            let elsewhere = "retry-after: 0\r\nlocation: /elsewhere\r\n".to_owned();
            (status, elsewhere, String::new())
        });
        let tracer = connected(&server.url, &[]);
        record(&tracer, &["a", "b"]);
        assert_eq!(tracer.flush(PATIENCE), 0, "{status}");
        assert_eq!(server.log(), [COLLECTOR], "{status}");
        assert_eq!(dropped(&tracer, "rejected"), 2, "{status}");
        assert_conserved(&tracer);
    }
}

#[test]
fn credentials_that_are_refused_are_no_loss() {
    for status in [401, 403] {
        let server = Server::start(move |_| reply(status, "no"));
        let tracer = connected(&server.url, &[]);
        record(&tracer, &["a"]);
        assert_eq!(tracer.flush(Duration::from_millis(500)), 1);
        assert_eq!(server.log(), [COLLECTOR]);
        assert_eq!(tracer.stats().pending, 1);
    }
}

#[test]
fn a_bad_trace_is_found_in_few_requests() {
    for status in [400, 413, 422, 500] {
        let server = refusing("poison", status);
        let tracer = connected(&server.url, &[("batch.delay_ms", "60000")]);
        let names: Vec<String> = (0..512).map(|index| index.to_string()).collect();
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        names[300] = "poison";
        record(&tracer, &names);
        assert_eq!(tracer.flush(PATIENCE), 0);
        assert_eq!(taken(&server, "poison").len(), 511, "{status}");
        assert_eq!(tracer.stats().delivered, 511, "{status}");
        assert_eq!(dropped(&tracer, "rejected"), 1, "{status}");
        let requests = server.log().len();
        assert!(requests <= 22, "{requests}");
        assert_conserved(&tracer);
    }
}

#[test]
fn of_a_trace_only_the_bad_span_is_lost() {
    for status in [400, 413, 422, 500] {
        let server = refusing("poison", status);
        let tracer = connected(&server.url, &[]);
        record_trace(&tracer, &["a", "b", "poison", "c", "d"]);
        record_trace(&tracer, &["e"]);
        assert_eq!(tracer.flush(PATIENCE), 0);
        let expected = ["a", "b", "c", "d", "e", "root", "root"];
        assert_eq!(taken(&server, "poison"), expected, "{status}");
        assert_eq!(tracer.stats().delivered, 7, "{status}");
        assert_eq!(dropped(&tracer, "rejected"), 1, "{status}");
        assert_conserved(&tracer);
    }
}

#[test]
fn many_bad_spans_are_told_from_good_ones() {
    let server = refusing("poison", 400);
    let tracer = connected(&server.url, &[("batch.delay_ms", "60000")]);
    for index in 0..64 {
        record_trace(&tracer, &["a", if index % 8 == 0 { "poison" } else { "b" }]);
    }
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(tracer.stats().delivered, 64 * 3 - 8);
    assert_eq!(dropped(&tracer, "rejected"), 8);
    assert_conserved(&tracer);
}

#[test]
fn a_collector_that_takes_nothing_is_not_asked_about_everything() {
    for (status, most) in [(400, 42), (422, 42), (500, 3)] {
        let server = Server::start(move |_| reply(status, ""));
        let tracer = connected(&server.url, &[("batch.delay_ms", "60000")]);
        let names = ["a"; 512];
        record(&tracer, &names);
        assert_eq!(tracer.flush(PATIENCE), 0);
        assert_eq!(dropped(&tracer, "rejected"), 512, "{status}");
        let requests = server.log().len();
        assert!(requests <= most, "{requests} of status {status}");
        assert_conserved(&tracer);
    }
}

#[test]
fn an_interruption_in_the_search_loses_and_repeats_nothing() {
    let requests = AtomicUsize::new(0);
    let server = Server::start(move |seen| {
        let poisoned = spans(seen).iter().any(|span| span.name() == "poison");
        match requests.fetch_add(1, Ordering::Relaxed) % 3 {
            2 => (503, "retry-after: 0\r\n".to_owned(), String::new()),
            _ if poisoned => reply(400, ""),
            _ => reply(200, ""),
        }
    });
    let tracer = connected(&server.url, &[]);
    record_trace(&tracer, &["a", "b", "poison", "c", "d", "e"]);
    let start = Instant::now();
    while tracer.flush(Duration::from_secs(1)) > 0 {
        assert!(start.elapsed() < PATIENCE);
    }
    assert_eq!(tracer.stats().delivered, 6);
    assert_eq!(dropped(&tracer, "rejected"), 1);
    assert_conserved(&tracer);
}

#[test]
fn requests_become_as_short_as_the_collector_wants_them() {
    let most = 40_000;
    let server = Server::start(move |seen| match seen.body.len() > most {
        true => reply(413, ""),
        false => reply(200, ""),
    });
    let tracer = connected(&server.url, &[("batch.delay_ms", "60000")]);
    let long = "x".repeat(9_000);
    let refused = |server: &Server| {
        let seen = server.seen();
        seen.iter().filter(|seen| seen.body.len() > most).count()
    };
    record(&tracer, &[long.as_str(); 32]);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(tracer.stats().delivered, 32);
    let before = refused(&server);
    assert!(before > 0);
    record(&tracer, &[long.as_str(); 8]);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(tracer.stats().delivered, 40);
    assert!(refused(&server) <= before + 1, "{}", refused(&server));
    assert_conserved(&tracer);
}

#[test]
fn partial_success_is_counted_to_the_span_and_not_repeated() {
    let server = Server::start(|_| {
        let message = format!(
            "too\\nmany canary-se%20cret canary-token {}",
            "x".repeat(500)
        );
        let body = format!(
            r#"{{"partialSuccess": {{"rejectedSpans": "3", "errorMessage": "{message}"}}}}"#
        );
        reply(200, &body)
    });
    let headers = "authorization=Bearer%20canary-token,api-key=canary-se%2520cret";
    let tracer = connected(&server.url, &[("otlp.headers", headers)]);
    record_trace(&tracer, &["a", "b", "c", "d"]);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(server.log(), [COLLECTOR]);
    assert_eq!(tracer.stats().delivered, 2);
    assert_eq!(dropped(&tracer, "server_rejected"), 3);
    assert_conserved(&tracer);
    let lines = diagnostics(&tracer);
    let (reason, line) = &lines[0];
    assert_eq!(*reason, "partial_success");
    assert!(
        line.contains("rejected 3 of 5 spans: too many *** ***"),
        "{line}"
    );
    assert!(line.len() < 260 && !line.contains("canary"), "{line}");
    // More than there were, and fewer than none.
    for (rejected, delivered) in [(i64::MAX, 0), (-1, 1)] {
        let body = format!(r#"{{"partialSuccess": {{"rejectedSpans": {rejected}}}}}"#);
        let server = Server::start(move |_| reply(200, &body));
        let tracer = connected(&server.url, &[]);
        record(&tracer, &["a"]);
        assert_eq!(tracer.flush(PATIENCE), 0);
        assert_eq!(tracer.stats().delivered, delivered);
        assert_eq!(dropped(&tracer, "server_rejected"), 1 - delivered);
        assert_conserved(&tracer);
    }
}

#[test]
fn a_success_is_one_whatever_its_body() {
    for body in [
        "",
        "OK",
        "<html>",
        "{",
        "\u{1}\u{2}\u{3}",
        "{\"partialSuccess\": 5}",
    ] {
        for status in [200, 202, 204] {
            let server =
                Server::start(move |_| reply(status, if status == 204 { "" } else { body }));
            let tracer = connected(&server.url, &[]);
            record(&tracer, &["a"]);
            assert_eq!(tracer.flush(PATIENCE), 0);
            assert_eq!(server.log(), [COLLECTOR]);
            assert_eq!(tracer.stats().delivered, 1, "{body}");
            let is_plain = status == 204 || body.is_empty() || body.starts_with("{\"");
            assert_eq!(tracer.stats().odd_2xx, u64::from(!is_plain), "{body}");
        }
    }
}

#[test]
fn secrets_are_not_repeated() {
    let echo = |seen: &Seen| {
        let headers: Vec<String> = seen
            .headers
            .iter()
            .map(|(k, v)| format!("{k}: {v}"))
            .collect();
        reply(400, &format!("{} {}", seen.path, headers.join("; ")))
    };
    let server = Server::start(echo);
    let url = server.url.replace("http://", "http://me:canary-password@");
    let endpoint = format!("{url}/?key=canary-query");
    for options in [
        &[("otlp.traces_endpoint", endpoint.as_str())][..],
        &[
            ("otlp.traces_endpoint", &endpoint),
            ("otlp.headers", "authorization=canary-header"),
        ],
        &[(
            "otlp.traces_endpoint",
            "http://me:canary-password@127.0.0.1:1/?key=canary-query",
        )],
    ] {
        let tracer = connected("http://127.0.0.1:1", options);
        record(&tracer, &["a"]);
        tracer.flush(Duration::from_millis(500));
        let lines = diagnostics(&tracer);
        let text = format!("{lines:?} {:?}", tracer.config());
        assert!(!lines.is_empty() && !text.contains("canary"), "{text}");
        // `me:canary-password`
        assert!(!text.contains("bWU6Y2FuYXJ5LXBhc3N3b3Jk"), "{text}");
    }
    let authorization = |index: usize| {
        server.seen()[index]
            .header("authorization")
            .map(str::to_owned)
    };
    assert_eq!(authorization(0).unwrap(), "Basic bWU6Y2FuYXJ5LXBhc3N3b3Jk");
    assert_eq!(authorization(1).unwrap(), "canary-header");
}

#[test]
fn a_collector_that_is_away_holds_nobody_up() {
    let silent = Server::start(|_| {
        std::thread::sleep(PATIENCE);
        reply(200, "")
    });
    for url in ["http://127.0.0.1:1", &silent.url] {
        let tracer = connected(url, &[]);
        record(&tracer, &["a", "b"]);
        assert_eq!(tracer.flush(Duration::from_millis(300)), 2);
        let start = Instant::now();
        assert_eq!(tracer.shutdown(Duration::from_millis(500)), 2);
        assert!(start.elapsed() < Duration::from_secs(2));
        assert_eq!(dropped(&tracer, "shutdown"), 2);
        assert_conserved(&tracer);
    }
}

#[test]
fn a_certificate_that_is_missing_is_waited_for() {
    let options = [("otlp.certificate", "/no/such.pem")];
    let tracer = connected("https://127.0.0.1:1", &options);
    record(&tracer, &["a"]);
    assert_eq!(tracer.flush(Duration::from_millis(300)), 1);
    let lines = diagnostics(&tracer);
    assert!(lines[0].1.contains("/no/such.pem"), "{lines:?}");
}

#[test]
fn words_of_the_genai_conventions() {
    let server = collector();
    let tracer = connected(&server.url, &[("otlp.genai_semconv", "true")]);
    let span = tracer.start(SpanStart {
        span_type: Some("CHAT_MODEL"),
        ..SpanStart::new("call")
    });
    let inputs = r#"{"messages": [{"role": "user", "content": "hi"}], "temperature": 0.5}"#;
    span.set_inputs(Value::Json(inputs)).unwrap();
    span.set_attribute("mlflow.llm.model", Value::Str("gpt"))
        .unwrap();
    span.set_attribute("own", Value::Str("kept")).unwrap();
    span.set_status(StatusCode::Error, "no").unwrap();
    span.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    let [sent] = &server.spans()[..] else {
        panic!("not one span")
    };
    assert_eq!((sent.name(), number(&sent.0, 6)), ("chat gpt".into(), 3));
    assert!(sent.keys().iter().all(|key| !key.starts_with("mlflow.")));
    assert_eq!(sent.text("own").unwrap(), "kept");
    assert_eq!(sent.text("gen_ai.request.model").unwrap(), "gpt");
    let expected = r#"[{"role": "user", "parts": [{"type": "text", "content": "hi"}]}]"#;
    assert_eq!(sent.text("gen_ai.input.messages").unwrap(), expected);
    assert_eq!(number(messages(&sent.0, 15)[0], 3), 2, "status");
}

/// The test below with variables of the environment; run by it.
#[test]
#[ignore = "needs variables of the environment"]
fn with_the_variables() {
    let config = Config::from_env().unwrap();
    for (key, value) in [
        ("otlp.endpoint", ""),
        ("otlp.traces_endpoint", "http://127.0.0.1:1/t"),
        ("otlp.protocol", "http/protobuf"),
        ("otlp.timeout_ms", "700"),
        ("otlp.headers", "for=traces"),
        ("otlp.certificate", "general.pem"),
    ] {
        assert_eq!(config.get(key).unwrap(), value, "{key}");
    }
    let tracer = Tracer::new(config).unwrap();
    tracer.flush(Duration::ZERO);
    let lines = diagnostics(&tracer);
    let (reason, line) = &lines[0];
    assert_eq!(*reason, "environment");
    for named in [
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "'grpc'",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ] {
        assert!(line.contains(named), "{line}");
    }
}

#[test]
fn variables_for_everybody_are_ignored_where_they_are_of_no_use() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "with_the_variables", "--ignored"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317")
        .env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1/t")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        .env("OTEL_EXPORTER_OTLP_TIMEOUT", "700")
        .env("OTEL_EXPORTER_OTLP_HEADERS", "for=all")
        .env("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "for=traces")
        .env("OTEL_EXPORTER_OTLP_CERTIFICATE", "general.pem")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}
