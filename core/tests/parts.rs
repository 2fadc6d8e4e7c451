//! Long traces: what has ended is sent while they run, and their information counts all of it.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mlflow_trace_core::{Span, SpanStart, StatusCode, TraceUpdate, Tracer, Value};
use serde_json::{Value as Json, json};
use support::otlp::spans;
use support::server::{Reply, Seen, Server, reply};
use support::{PATIENCE, assert_conserved, child, dropped, get, tracer, traces, until};

const NEVER: &str = "600000";

/// Sends what has ended after this many milliseconds, or when there are so many spans.
fn connected(url: &str, after: &str, spans: &str) -> Tracer {
    tracer(&[
        ("tracking_uri", url),
        ("batch.delay_ms", "20"),
        ("trace.partial_after_ms", after),
        ("batch.max_spans", spans),
    ])
}

const USAGE: &str = r#"{"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}"#;
const LESS: &str = r#"{"input_tokens": 4, "output_tokens": 1, "total_tokens": 5}"#;

fn ended(tracer: &Tracer, parent: Span, name: &str, usage: Option<&str>) {
    let span = tracer.start(child(parent, name));
    if let Some(usage) = usage {
        span.set_attribute("mlflow.chat.tokenUsage", Value::Json(usage))
            .unwrap();
    }
    span.end().unwrap();
}

fn names(server: &Server) -> Vec<String> {
    let mut names: Vec<String> = server.spans().iter().map(|span| span.name()).collect();
    names.sort();
    names
}

fn metadata(info: &Json, key: &str) -> Json {
    let text = info["trace_metadata"][key].as_str();
    text.map_or(Json::Null, |text| serde_json::from_str(text).unwrap())
}

fn num_spans(info: &Json) -> Json {
    metadata(info, "mlflow.trace.sizeStats")["num_spans"].clone()
}

/// The spans of the `traces.json` files that arrived.
fn artifacts(server: &Server) -> Vec<String> {
    let seen = server.seen();
    let uploads = seen.iter().filter(|seen| seen.method == "PUT");
    let mut names: Vec<String> = uploads
        .flat_map(|seen| {
            let file: Json = serde_json::from_slice(&seen.body).unwrap();
            file["spans"].as_array().unwrap().clone()
        })
        .map(|span| span["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// A server with special answers, which answers nothing while the lock is held.
fn gated(
    special: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static,
) -> (Server, Arc<Mutex<()>>) {
    let gate = Arc::new(Mutex::new(()));
    let own = gate.clone();
    let server = Server::mlflow("3.17.2", move |seen| {
        drop(own.lock().unwrap());
        special(seen)
    });
    (server, gate)
}

#[test]
fn what_has_ended_is_sent_when_it_has_waited_long_enough() {
    let server = Server::mlflow("3.17.2", |_| None);
    // The first trace of a process: nothing was ever sent to the server before.
    let tracer = connected(&server.url, "50", "512");
    let root = tracer.start(SpanStart::new("root"));
    let step = tracer.start(child(root, "step"));
    ended(&tracer, step, "first", None);
    until("the first span is there", || names(&server) == ["first"]);
    ended(&tracer, step, "second", None);
    step.end().unwrap();
    until("the next are there", || server.spans().len() == 3);
    assert!(server.infos().is_empty());
    // Nothing is sent twice while nothing happens.
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(server.spans().len(), 3);
    assert_eq!(tracer.stats().delivered, 3);
    root.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(names(&server), ["first", "root", "second", "step"]);
    let infos = server.infos();
    assert_eq!((infos.len(), num_spans(&infos[0])), (1, json!(4)));
    assert_conserved(&tracer);
}

#[test]
fn what_has_ended_is_sent_when_it_is_enough_for_a_request() {
    let server = Server::mlflow("3.17.2", |_| None);
    let tracer = connected(&server.url, NEVER, "3");
    let root = tracer.start(SpanStart::new("root"));
    for n in 0..7 {
        ended(&tracer, root, &format!("s{n}"), None);
    }
    until("two requests are there", || server.spans().len() == 6);
    root.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(num_spans(&server.infos()[0]), 8);
    let ids: HashSet<_> = server.spans().iter().map(|span| span.trace_id()).collect();
    assert_eq!((ids.len(), server.spans().len()), (1, 8));
    assert_conserved(&tracer);
}

#[test]
fn the_information_is_the_same_as_of_a_trace_that_is_sent_at_once() {
    let infos: Vec<Json> = ["1", "512"]
        .into_iter()
        .map(|most| {
            let server = Server::mlflow("3.17.2", |_| None);
            let tracer = connected(&server.url, NEVER, most);
            let time = 1_700_000_000_000_000_000;
            let at = |name| SpanStart {
                start_time_ns: Some(time),
                ..SpanStart::new(name)
            };
            let root = tracer.start(at("root"));
            for n in 0..5 {
                let below = tracer.start(SpanStart {
                    parent: mlflow_trace_core::Parent::Span(root),
                    ..at("below")
                });
                below
                    .set_inputs(Value::Str(&"é".repeat(n * 10 + 1)))
                    .unwrap();
                below.end_at(time + 1).unwrap();
            }
            if most == "1" {
                until("parts are there", || server.spans().len() == 5);
            }
            root.set_inputs(Value::Str("question")).unwrap();
            root.end_at(time + 2).unwrap();
            assert_eq!(tracer.flush(PATIENCE), 0);
            let mut info = server.infos().pop().unwrap();
            info["trace_id"] = Json::Null;
            info
        })
        .collect();
    assert_eq!(infos[0], infos[1]);
    assert_eq!(num_spans(&infos[0]), 6);
}

#[test]
fn token_usage_is_counted_once_across_parts() {
    let server = Server::mlflow("3.17.2", |_| None);
    let tracer = connected(&server.url, NEVER, "1");
    let root = tracer.start(SpanStart::new("root"));
    let agent = tracer.start(child(root, "agent"));
    let step = tracer.start(child(agent, "step"));
    ended(&tracer, step, "model", Some(LESS));
    until("the child is there", || names(&server) == ["model"]);
    step.end().unwrap();
    // Rolled up by an ancestor that is sent later.
    agent
        .set_attribute("mlflow.chat.tokenUsage", Value::Json(USAGE))
        .unwrap();
    agent.end().unwrap();
    ended(&tracer, root, "other", Some(LESS));
    until("the others are there", || server.spans().len() == 4);
    root.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    let usage = metadata(&server.infos()[0], "mlflow.trace.tokenUsage");
    let expected = json!({"input_tokens": 14, "output_tokens": 6, "total_tokens": 20});
    assert_eq!(usage, expected);
}

#[test]
fn parts_that_other_threads_ended_count_whenever_they_are_found() {
    let (server, gate) = gated(|_| None);
    let tracer = connected(&server.url, NEVER, "1");
    // This thread is the first of which the exporter asks what there is.
    let held = gate.lock().unwrap();
    tracer.start(SpanStart::new("before")).end().unwrap();
    let root = tracer.start(SpanStart::new("root"));
    for _ in 0..3 {
        std::thread::scope(|scope| {
            scope.spawn(|| ended(&tracer, root, "below", Some(USAGE)));
        });
    }
    root.end().unwrap();
    drop(held);
    assert_eq!(tracer.flush(PATIENCE), 0);
    let infos = server.infos();
    let info = infos
        .iter()
        .find(|info| info["tags"]["mlflow.traceName"] == "root")
        .unwrap();
    assert_eq!(num_spans(info), 4);
    let usage = metadata(info, "mlflow.trace.tokenUsage");
    assert_eq!(usage["total_tokens"], 45);
    assert_conserved(&tracer);
}

fn refuses(what: &'static str) -> impl Fn(&Seen) -> Option<Reply> + Send + Sync {
    move |seen| {
        let refused =
            seen.path == "/v1/traces" && spans(seen).iter().any(|span| span.name() == what);
        refused.then(|| reply(422, r#"{"detail": "bad span"}"#))
    }
}

#[test]
fn a_part_that_the_server_refuses_is_counted_and_not_waited_for() {
    for together in [false, true] {
        let (server, gate) = gated(refuses("bad"));
        let tracer = connected(&server.url, NEVER, if together { "2" } else { "1" });
        let held = together.then(|| gate.lock().unwrap());
        let root = tracer.start(SpanStart::new("root"));
        for name in ["good", "bad", "fine", "well"] {
            ended(&tracer, root, name, Some(USAGE));
        }
        if !together {
            until("all are settled", || {
                tracer.stats().delivered + dropped(&tracer, "rejected") == 4
            });
        }
        root.end().unwrap();
        drop(held);
        assert_eq!(tracer.flush(PATIENCE), 0);
        // Its neighbour in the same part does not go with it.
        let lost = 1;
        assert_eq!(dropped(&tracer, "rejected"), lost, "{together}");
        assert_eq!(tracer.stats().delivered, 5 - lost);
        let info = &server.infos()[0];
        assert_eq!(num_spans(info), 5 - lost, "{together}");
        let usage = metadata(info, "mlflow.trace.tokenUsage");
        assert_eq!(usage["total_tokens"], 15 * (4 - lost));
        assert_conserved(&tracer);
    }
}

#[test]
fn an_end_that_the_server_refuses_is_not_waited_for_either() {
    let server = Server::mlflow("3.17.2", move |seen| {
        let posted = seen.path == "/api/3.0/mlflow/traces";
        let tags = r#"{"trace": {"trace_info": {"tags": {"mlflow.trace.spansLocation": "TRACKING_STORE"}}}}"#;
        refuses("root")(seen).or_else(|| posted.then(|| reply(200, tags)))
    });
    let tracer = connected(&server.url, NEVER, "1");
    let root = tracer.start(SpanStart::new("root"));
    ended(&tracer, root, "below", Some(USAGE));
    until("the part is there", || names(&server) == ["below"]);
    root.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    let info = &server.infos()[0];
    assert_eq!(info["tags"]["mlflow.traceName"], "root");
    assert_eq!(num_spans(info), 1);
    assert_eq!(dropped(&tracer, "rejected"), 1);
    assert_conserved(&tracer);
}

#[test]
fn a_part_is_counted_once_however_often_it_is_sent() {
    let failures = Mutex::new(2);
    let server = Server::mlflow("3.17.2", move |seen| {
        let mut left = failures.lock().unwrap();
        let fails = seen.path == "/v1/traces" && *left > 0;
        *left -= i32::from(fails);
        fails.then(|| (503, "retry-after: 0\r\n".to_owned(), String::new()))
    });
    let tracer = connected(&server.url, NEVER, "2");
    let root = tracer.start(SpanStart::new("root"));
    ended(&tracer, root, "one", Some(USAGE));
    ended(&tracer, root, "two", Some(USAGE));
    until("they are delivered", || tracer.stats().delivered == 2);
    root.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    let info = &server.infos()[0];
    assert_eq!(num_spans(info), 3);
    assert_eq!(
        metadata(info, "mlflow.trace.tokenUsage")["total_tokens"],
        30
    );
    assert_conserved(&tracer);
}

#[test]
fn a_server_that_stores_no_spans_gets_all_of_them_in_the_end() {
    for (version, status) in [("3.4.0", 200), ("3.17.2", 501), ("3.17.2", 404)] {
        let server = Server::mlflow(version, move |seen| {
            (seen.path == "/v1/traces").then(|| reply(status, r#"{"detail": "not here"}"#))
        });
        let tracer = connected(&server.url, "50", "2");
        let root = tracer.start(SpanStart::new("root"));
        for name in ["a", "b", "c"] {
            ended(&tracer, root, name, Some(USAGE));
        }
        until("it was tried", || !server.log().is_empty());
        std::thread::sleep(Duration::from_millis(150));
        for name in ["d", "e"] {
            ended(&tracer, root, name, Some(USAGE));
        }
        std::thread::sleep(Duration::from_millis(100));
        assert!(server.infos().is_empty() && artifacts(&server).is_empty());
        let stats = tracer.stats();
        assert_eq!((stats.delivered, stats.pending), (0, 6), "{version}");
        root.end().unwrap();
        assert_eq!(tracer.flush(PATIENCE), 0);
        assert_eq!(artifacts(&server), ["a", "b", "c", "d", "e", "root"]);
        let info = &server.infos()[0];
        assert_eq!(num_spans(info), 6, "{version} {status}");
        let usage = metadata(info, "mlflow.trace.tokenUsage");
        assert_eq!(usage["total_tokens"], 75);
        assert_eq!(tracer.stats().delivered, 6);
        assert_conserved(&tracer);
    }
}

#[test]
fn parts_of_a_trace_that_never_ends_are_counted_at_the_shutdown() {
    for (version, delivered) in [("3.17.2", 2), ("3.4.0", 0)] {
        let server = Server::mlflow(version, |_| None);
        let tracer = connected(&server.url, "50", "2");
        let root = tracer.start(SpanStart::new("root"));
        ended(&tracer, root, "a", None);
        ended(&tracer, root, "b", None);
        until("they are taken", || {
            let stats = tracer.stats();
            stats.delivered == delivered && !server.log().is_empty()
        });
        std::thread::sleep(Duration::from_millis(50));
        tracer.shutdown(PATIENCE);
        until("all are counted", || tracer.stats().pending == 0);
        assert_eq!(dropped(&tracer, "unfinished"), 1, "{version}");
        assert_eq!(tracer.stats().delivered, delivered);
        assert_eq!(tracer.stats().dropped_total(), 3 - delivered);
        assert_conserved(&tracer);
    }
}

#[test]
fn what_is_held_is_counted_when_time_is_up() {
    let (server, gate) =
        gated(|seen| (seen.path == "/v1/traces").then(|| reply(501, r#"{"detail": "not here"}"#)));
    let tracer = connected(&server.url, NEVER, "1");
    let root = tracer.start(SpanStart::new("root"));
    ended(&tracer, root, "held", None);
    until("it was tried", || server.log().len() >= 2);
    std::thread::sleep(Duration::from_millis(50));
    let silent = gate.lock().unwrap();
    root.end().unwrap();
    tracer.shutdown(Duration::from_millis(100));
    until("all are counted", || tracer.stats().pending == 0);
    assert_eq!(dropped(&tracer, "shutdown"), 2);
    assert_conserved(&tracer);
    drop(silent);
}

#[test]
fn a_trace_that_is_kept_for_its_errors_is_parted_when_it_has_one() {
    let server = Server::mlflow("3.17.2", |_| None);
    let tracer = tracer(&[
        ("tracking_uri", &server.url),
        ("batch.delay_ms", "20"),
        ("trace.partial_after_ms", "50"),
        ("sampling.ratio", "0"),
        ("sampling.keep_errors", "true"),
    ]);
    let root = tracer.start(SpanStart::new("root"));
    ended(&tracer, root, "fine", None);
    std::thread::sleep(Duration::from_millis(150));
    assert!(server.log().is_empty());
    let bad = tracer.start(child(root, "bad"));
    bad.set_status(StatusCode::Error, "bad").unwrap();
    bad.end().unwrap();
    until("both are there", || names(&server) == ["bad", "fine"]);
    root.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(num_spans(&server.infos()[0]), 3);
    assert_conserved(&tracer);
}

#[test]
fn a_full_queue_leaves_nothing_of_a_trace_behind() {
    let (server, gate) = gated(|_| None);
    let tracer = tracer(&[
        ("tracking_uri", &server.url),
        ("batch.delay_ms", "0"),
        ("batch.max_spans", "2"),
        ("trace.partial_after_ms", NEVER),
        ("queue.max_bytes", "1048576"),
    ]);
    let held = gate.lock().unwrap();
    let refused = |length: usize, children: usize| {
        let text = "x".repeat(length);
        let root = tracer.start(SpanStart::new("refused"));
        let secret = TraceUpdate::from_json(r#"{"tags": {"secret": "1"}, "user": "somebody"}"#);
        root.update_trace(&secret.unwrap()).unwrap();
        for _ in 0..children {
            let span = tracer.start(child(root, "below"));
            span.set_inputs(Value::Str(&text)).unwrap();
            span.end().unwrap();
        }
        root.end().unwrap();
    };
    // Parts and ends until there is no room for any of them, then traces that are so short that only their
    // end finds that out.
    (0..20).for_each(|_| refused(100_000, 4));
    let large = dropped(&tracer, "queue_full");
    (0..100).for_each(|_| refused(1_000, 1));
    assert!(large > 0 && dropped(&tracer, "queue_full") > large);
    assert_conserved(&tracer);
    drop(held);
    assert_eq!(tracer.flush(PATIENCE), 0);
    // The next traces lie where those were.
    for _ in 0..40 {
        let root = tracer.start(SpanStart::new("next"));
        root.end().unwrap();
    }
    assert_eq!(tracer.flush(PATIENCE), 0);
    let stats = tracer.stats();
    assert_eq!(stats.pending, 0);
    assert_eq!(server.spans().len() as u64, stats.delivered);
    for info in server.infos() {
        if info["tags"]["mlflow.traceName"] == "next" {
            assert_eq!(info["tags"]["secret"], Json::Null);
            assert_eq!(info["trace_metadata"]["mlflow.trace.user"], Json::Null);
            assert_eq!(num_spans(&info), 1);
        }
    }
    assert_conserved(&tracer);
}

#[test]
fn other_exporters_get_whole_traces() {
    let tracer = tracer(&[
        ("exporter", "memory"),
        ("batch.delay_ms", "0"),
        ("batch.max_spans", "1"),
        ("trace.partial_after_ms", "20"),
    ]);
    let root = tracer.start(SpanStart::new("root"));
    ended(&tracer, root, "below", None);
    std::thread::sleep(Duration::from_millis(100));
    root.end().unwrap();
    let traces = traces(&tracer);
    assert_eq!(traces.len(), 1);
    assert_eq!(traces[0]["spans"].as_array().unwrap().len(), 2);
}

/// Against a real server: `tests/server/mlflow_server.py` runs a command beside one.
#[test]
fn a_server_shows_a_trace_while_it_runs_and_all_of_it_afterwards() {
    let Ok(url) = std::env::var("MLFLOW_TRACE_TEST_SERVER") else {
        return eprintln!("skipped: MLFLOW_TRACE_TEST_SERVER is not set");
    };
    let tracer = tracer(&[
        ("tracking_uri", &url),
        ("batch.delay_ms", "20"),
        ("trace.partial_after_ms", "80"),
        ("trace.children_wait_ms", "80"),
    ]);
    let root = tracer.start(SpanStart::new("root"));
    let id = root.context().unwrap().trace_id.to_mlflow();
    let info = || {
        let reply = get(&url, &format!("/api/3.0/mlflow/traces/{id}"));
        reply.map(|reply| reply["trace"]["trace_info"].clone())
    };
    let whole = |partial: bool| {
        let path = format!("/api/3.0/mlflow/traces/get?trace_id={id}&allow_partial={partial}");
        get(&url, &path).map(|reply| reply["trace"].clone())
    };
    let count = |trace: &Json| trace["spans"].as_array().map_or(0, Vec::len);

    root.set_inputs(Value::Str("question")).unwrap();
    let agent = tracer.start(child(root, "agent"));
    ended(&tracer, agent, "model", Some(LESS));
    until("it is shown", || info().is_ok());
    assert_eq!(info().unwrap()["state"], "IN_PROGRESS");
    assert_eq!(count(&whole(true).unwrap()), 1);

    // A roll-up of what was sent before.
    agent
        .set_attribute("mlflow.chat.tokenUsage", Value::Json(USAGE))
        .unwrap();
    agent.end().unwrap();
    ended(&tracer, root, "other", Some(LESS));
    until("more is shown", || count(&whole(true).unwrap()) == 3);
    assert_eq!(info().unwrap()["state"], "IN_PROGRESS");

    let late = tracer.start(child(root, "late"));
    root.set_outputs(Value::Str("answer")).unwrap();
    root.end().unwrap();
    until("the root is sent", || tracer.stats().delivered == 4);
    let trace = whole(false).unwrap();
    assert_eq!(count(&trace), 4);
    let info = &trace["trace_info"];
    assert_eq!(info["state"], "OK");
    assert_eq!(info["tags"]["mlflow.traceName"], "root");
    assert_eq!(info["request_preview"], "\"question\"");
    assert_eq!(num_spans(info), 4);
    let usage = json!({"input_tokens": 14, "output_tokens": 6, "total_tokens": 20});
    assert_eq!(metadata(info, "mlflow.trace.tokenUsage"), usage);

    late.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    let trace = whole(false).unwrap();
    assert_eq!(count(&trace), 5);
    assert_eq!(trace["trace_info"]["state"], "OK");
    let info = &trace["trace_info"];
    assert_eq!(metadata(info, "mlflow.trace.tokenUsage"), usage);
    assert_conserved(&tracer);
}
