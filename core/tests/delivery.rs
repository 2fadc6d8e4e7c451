//! Delivery of several batches at once: what waits for what, what is tried again and when, what is given up.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use mlflow_trace_core::{Parent, Span, SpanStart, Tracer};
use serde_json::Value as Json;
use support::otlp::spans;
use support::sending::{SPANS, connected, failing, names, record, requests};
use support::server::{Seen, Server, reply};
use support::{PATIENCE, assert_conserved, child, dropped, until};

const MOMENT: Duration = Duration::from_millis(100);

/// Has the server known, so that it gets more than one request at a time.
fn introduce(tracer: &Tracer) {
    record(tracer, &["first"]);
    assert_eq!(tracer.flush(PATIENCE), 0);
}

fn ended(tracer: &Tracer, parent: Span, name: &str) {
    tracer.start(child(parent, name)).end().unwrap();
}

fn has(seen: &Seen, name: &str) -> bool {
    seen.path == SPANS && spans(seen).iter().any(|span| span.name() == name)
}

fn health(tracer: &Tracer) -> Json {
    serde_json::from_str(&tracer.health().to_json()).unwrap()
}

fn reasons(tracer: &Tracer) -> Vec<&'static str> {
    std::iter::from_fn(|| tracer.next_diagnostic().map(|line| line.reason)).collect()
}

/// How many requests with spans are answered at once, and the most there were.
#[derive(Default)]
struct Crowd {
    now: Mutex<(usize, usize)>,
    changed: Condvar,
}

impl Crowd {
    /// Waits until there were so many at once, but not for ever.
    fn enter(&self, wanted: usize) {
        let mut now = self.now.lock().unwrap();
        now.0 += 1;
        now.1 = now.1.max(now.0);
        self.changed.notify_all();
        let waits = |now: &mut (usize, usize)| now.1 < wanted;
        drop(
            self.changed
                .wait_timeout_while(now, 3 * MOMENT, waits)
                .unwrap(),
        );
    }

    fn leave(&self) {
        self.now.lock().unwrap().0 -= 1;
    }

    fn most(&self) -> usize {
        self.now.lock().unwrap().1
    }
}

#[test]
fn several_batches_are_on_their_way_at_once() {
    for most in [1, 4, 8] {
        let crowd = Arc::new(Crowd::default());
        let own = crowd.clone();
        let server = Server::mlflow("3.17.2", move |seen| {
            if seen.path == SPANS && !has(seen, "first") {
                own.enter(most);
                own.leave();
            }
            None
        });
        let most = most.to_string();
        let tracer = connected(&server.url, &[("export.max_in_flight", &most)]);
        introduce(&tracer);
        record(&tracer, &["a"; 64]);
        assert_eq!(tracer.flush(PATIENCE), 0);
        assert_eq!(crowd.most().to_string(), most);
        assert_eq!(tracer.stats().delivered, 65);
        assert_conserved(&tracer);
    }
}

#[test]
fn a_server_that_has_taken_nothing_yet_is_asked_once() {
    let server = Server::mlflow("3.17.2", |seen| {
        std::thread::sleep(MOMENT);
        let found = r#"{"experiment": {"experiment_id": "5", "name": "e"}}"#;
        seen.path.contains("get-by-name").then(|| reply(200, found))
    });
    let tracer = connected(&server.url, &[("experiment_name", "e")]);
    record(&tracer, &["a"; 4]);
    until("the first is there", || server.log().len() >= 2);
    record(&tracer, &["b"; 4]);
    assert_eq!(tracer.flush(PATIENCE), 0);
    let asked = |path: &str| {
        server
            .log()
            .iter()
            .filter(|line| line.contains(path))
            .count()
    };
    assert_eq!((asked("/version"), asked("get-by-name")), (1, 1));
}

#[test]
fn parts_of_a_trace_follow_each_other_while_others_pass() {
    let going = Mutex::new(HashMap::<Vec<u8>, usize>::new());
    let overlaps = Arc::new(AtomicUsize::new(0));
    let crowd = Arc::new(Crowd::default());
    let (seen_overlaps, own) = (overlaps.clone(), crowd.clone());
    let server = Server::mlflow("3.17.2", move |seen| {
        if seen.path != SPANS {
            return None;
        }
        let ids: HashSet<_> = spans(seen).iter().map(|span| span.trace_id()).collect();
        for id in &ids {
            let mut going = going.lock().unwrap();
            let count = going.entry(id.clone()).or_default();
            *count += 1;
            seen_overlaps.fetch_add(usize::from(*count > 1), SeqCst);
        }
        own.enter(0);
        std::thread::sleep(Duration::from_millis(5));
        own.leave();
        for id in &ids {
            *going.lock().unwrap().get_mut(id).unwrap() -= 1;
        }
        None
    });
    let tracer = connected(&server.url, &[]);
    introduce(&tracer);
    let roots: Vec<Span> = ["x", "y", "z"]
        .map(|name| tracer.start(SpanStart::new(name)))
        .into();
    for n in 0..12 {
        for root in &roots {
            ended(&tracer, *root, &format!("s{n:02}"));
        }
    }
    for root in &roots {
        root.end().unwrap();
    }
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(overlaps.load(SeqCst), 0);
    assert!(crowd.most() > 1);
    for root in ["x", "y", "z"] {
        let spans = server.spans();
        let id = spans
            .iter()
            .find(|span| span.name() == root)
            .unwrap()
            .trace_id();
        let own = spans.iter().filter(|span| span.trace_id() == id);
        let mut expected: Vec<String> = (0..12).map(|n| format!("s{n:02}")).collect();
        expected.push(root.to_owned());
        assert_eq!(own.map(|span| span.name()).collect::<Vec<_>>(), expected);
    }
    assert_eq!(tracer.stats().delivered, 40);
    assert_conserved(&tracer);
}

#[test]
fn a_server_that_is_away_gets_one_request_at_a_time() {
    let (server, down) = failing(503, "");
    let tracer = connected(&server.url, &[]);
    record(&tracer, &["a"; 50]);
    until("the circuit opens", || health(&tracer)["circuit"] == "open");
    let opened = requests(&server);
    assert!(opened <= 4, "{opened}");
    record(&tracer, &["b"; 50]);
    std::thread::sleep(15 * MOMENT);
    // Waits of at most 1 s and 2 s; there is no telling how few.
    assert!(requests(&server) <= opened + 8, "{}", requests(&server));
    assert_eq!(
        (tracer.stats().pending, tracer.stats().dropped_total()),
        (100, 0)
    );
    let before = requests(&server);
    assert_eq!(tracer.flush(MOMENT), 100);
    assert!((before + 1..=before + 3).contains(&requests(&server)));
    let told = health(&tracer);
    assert_eq!(told["last_error"]["class"], "unavailable");
    assert_eq!(
        (&told["pending"], &told["last_success_ms"]),
        (&100.into(), &Json::Null)
    );
    assert_eq!(reasons(&tracer), ["unreachable"]);

    down.store(false, SeqCst);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(tracer.stats().delivered, 100);
    let told = health(&tracer);
    assert_eq!(told["circuit"], "closed");
    assert!(
        told["last_success_ms"].as_u64().unwrap()
            >= told["last_error"]["time_ms"].as_u64().unwrap()
    );
    assert_eq!(reasons(&tracer), ["recovered"]);
    assert_conserved(&tracer);
}

#[test]
fn what_the_server_asks_for_is_respected_whoever_waits() {
    let (server, down) = failing(429, "retry-after: 1\r\n");
    let tracer = connected(&server.url, &[]);
    record(&tracer, &["a"; 3]);
    until("it was tried", || requests(&server) == 1);
    let start = Instant::now();
    down.store(false, SeqCst);
    for _ in 0..5 {
        tracer.flush(Duration::from_millis(10));
    }
    assert!(start.elapsed() > 9 * MOMENT || requests(&server) == 1);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert!(start.elapsed() >= 9 * MOMENT, "{:?}", start.elapsed());
}

#[test]
fn a_passing_fault_of_one_batch_holds_up_no_other() {
    let fails = AtomicUsize::new(2);
    let server = Server::mlflow("3.17.2", move |seen| {
        let first = has(seen, "late")
            && fails
                .fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1))
                .is_ok();
        first.then(|| reply(503, ""))
    });
    let tracer = connected(&server.url, &[]);
    introduce(&tracer);
    record(&tracer, &["late"]);
    until("it was tried", || requests(&server) == 2);
    record(&tracer, &["a", "b", "c"]);
    until("the others are delivered", || tracer.stats().delivered >= 4);
    assert_eq!(tracer.flush(PATIENCE), 0);
    let names = names(&server);
    let place = |name| names.iter().rposition(|found| found == name).unwrap();
    assert!(place("late") > place("c"), "{names:?}");
    assert_eq!(tracer.stats().delivered, 5);
}

/// A payload that is always refused, among 511 others.
#[test]
fn one_span_among_many_is_found() {
    for status in [400, 413, 422] {
        for is_trace in [false, true] {
            let server = Server::mlflow("3.17.2", move |seen| {
                has(seen, "poison").then(|| reply(status, r#"{"message": "no"}"#))
            });
            let tracer = connected(
                &server.url,
                &[("batch.max_spans", "512"), ("batch.delay_ms", "600000")],
            );
            let root = is_trace.then(|| tracer.start(SpanStart::new("span")));
            for n in 0..512 - usize::from(is_trace) {
                let name = if n == 300 { "poison" } else { "span" };
                let parent = root.map_or(Parent::None, Parent::Span);
                let start = SpanStart {
                    parent,
                    ..SpanStart::new(name)
                };
                tracer.start(start).end().unwrap();
            }
            root.map(Span::end).transpose().unwrap();
            assert_eq!(tracer.flush(PATIENCE), 0);
            assert_eq!(
                (tracer.stats().delivered, dropped(&tracer, "rejected")),
                (511, 1)
            );
            assert!(requests(&server) <= 22, "{status}: {}", requests(&server));
            let taken = server
                .seen()
                .into_iter()
                .filter(|seen| !has(seen, "poison"));
            assert_eq!(taken.map(|seen| spans(&seen).len()).sum::<usize>(), 511);
            assert_eq!(health(&tracer)["last_error"]["class"], "rejected");
            assert_conserved(&tracer);
        }
    }
}

#[test]
fn requests_that_were_too_long_become_shorter() {
    let server = Server::mlflow("3.17.2", |seen| {
        (seen.path == SPANS && seen.body.len() > 40_000).then(|| reply(413, ""))
    });
    let tracer = connected(&server.url, &[("batch.max_spans", "10000")]);
    let text = "x".repeat(1000);
    for round in 0..3 {
        for _ in 0..200 {
            let span = tracer.start(SpanStart::new("span"));
            span.set_inputs(mlflow_trace_core::Value::Str(&text))
                .unwrap();
            span.end().unwrap();
        }
        let before = server.seen().len();
        assert_eq!(tracer.flush(PATIENCE), 0);
        let refused = server.seen()[before..]
            .iter()
            .filter(|seen| seen.body.len() > 40_000)
            .count();
        assert!(round < 2 || refused == 0, "{round}: {refused}");
    }
    assert_eq!(
        (tracer.stats().delivered, tracer.stats().dropped_total()),
        (600, 0)
    );
}

#[test]
fn a_payload_that_breaks_the_server_is_found_and_stalls_nobody() {
    let server = Server::mlflow("3.17.2", |seen| has(seen, "poison").then(|| reply(500, "")));
    let tracer = connected(
        &server.url,
        &[("batch.max_spans", "8"), ("batch.delay_ms", "50")],
    );
    introduce(&tracer);
    record(&tracer, &["a", "b", "poison", "c", "d", "e", "f", "g"]);
    let mut others = 0;
    until("all is settled", || {
        record(&tracer, &["other"]);
        others += 1;
        std::thread::sleep(MOMENT);
        dropped(&tracer, "rejected") == 1
    });
    assert_eq!(tracer.flush(PATIENCE), 0);
    // What comes meanwhile passes.
    let seen = server.seen();
    let other = seen.iter().position(|seen| has(seen, "other")).unwrap();
    assert!(seen[other..].iter().any(|seen| has(seen, "poison")));
    assert_eq!(dropped(&tracer, "rejected"), 1);
    assert_eq!(tracer.stats().delivered, 8 + others);
    let poisoned = server
        .seen()
        .iter()
        .filter(|seen| has(seen, "poison"))
        .count();
    assert!((4..=3 + 4).contains(&poisoned), "{poisoned}");
    assert_conserved(&tracer);
}

/// The experiment of a request, and whether it has the right token.
fn asks(seen: &Seen, experiment: &str) -> bool {
    seen.path == SPANS && seen.header("x-mlflow-experiment-id") == Some(experiment)
}

#[test]
fn a_destination_without_rights_is_parked_and_loses_nothing() {
    for status in [401, 403] {
        let denied = Arc::new(AtomicBool::new(true));
        let own = denied.clone();
        let server = Server::mlflow("3.17.2", move |seen| {
            (asks(seen, "1") && own.load(SeqCst)).then(|| reply(status, ""))
        });
        let tracer = connected(&server.url, &[("experiment_id", "1")]);
        record(&tracer, &["a"; 20]);
        until("it is parked", || health(&tracer)["circuit"] == "parked");
        let asked = || server.seen().iter().filter(|seen| asks(seen, "1")).count();
        assert_eq!(asked(), 1);
        // Another one is not.
        tracer.set_experiment_id("2").unwrap();
        record(&tracer, &["b"; 20]);
        until("the others are delivered", || {
            tracer.stats().delivered == 20
        });
        assert_eq!(asked(), 1);
        assert_eq!(tracer.flush(MOMENT), 20);
        assert_eq!(asked(), 2);
        assert_eq!(health(&tracer)["last_error"]["class"], "unauthorized");
        denied.store(false, SeqCst);
        assert_eq!(tracer.flush(PATIENCE), 0);
        assert_eq!(
            (tracer.stats().delivered, tracer.stats().dropped_total()),
            (40, 0)
        );
        assert_eq!(health(&tracer)["circuit"], "closed");
        let unreachable = reasons(&tracer)
            .iter()
            .filter(|reason| **reason == "unreachable")
            .count();
        assert_eq!(unreachable, 1);
        assert_conserved(&tracer);
    }
}

#[test]
fn batches_are_longer_while_much_waits() {
    let (server, down) = failing(503, "retry-after: 1\r\n");
    let tracer = connected(&server.url, &[("batch.max_spans", "10")]);
    record(&tracer, &["a"]);
    until("it was tried", || requests(&server) == 1);
    record(&tracer, &["b"; 400]);
    down.store(false, SeqCst);
    assert_eq!(tracer.flush(PATIENCE), 0);
    let lengths: Vec<usize> = server
        .seen()
        .iter()
        .map(|seen| match seen.path == SPANS {
            true => spans(seen).len(),
            false => 0,
        })
        .collect();
    assert_eq!(lengths.iter().max(), Some(&40), "{lengths:?}");
    assert_eq!(tracer.stats().delivered, 401);
}

#[test]
fn a_flush_waits_for_all_that_is_on_its_way() {
    let server = Server::mlflow("3.17.2", |seen| {
        if has(seen, "slow") {
            std::thread::sleep(4 * MOMENT);
        }
        None
    });
    let tracer = connected(&server.url, &[]);
    introduce(&tracer);
    record(&tracer, &["slow"]);
    until("it is on its way", || requests(&server) == 2);
    record(&tracer, &["a", "b", "c"]);
    until("the others are delivered", || tracer.stats().delivered == 4);
    assert_eq!(tracer.flush(Duration::from_millis(1)), 1);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(tracer.stats().delivered, 5);
}

#[test]
fn a_shutdown_counts_what_several_batches_leave() {
    let server = Server::mlflow("3.17.2", |seen| {
        if has(seen, "hangs") {
            std::thread::sleep(PATIENCE);
        }
        None
    });
    let tracer = connected(&server.url, &[]);
    introduce(&tracer);
    for asked in 2..=3 {
        record(&tracer, &["hangs"]);
        until("it is on its way", || requests(&server) == asked);
    }
    record(&tracer, &["a", "b", "c"]);
    let start = Instant::now();
    assert_eq!(tracer.shutdown(5 * MOMENT), 2);
    assert!(start.elapsed() < 7 * MOMENT, "{:?}", start.elapsed());
    assert_eq!(
        (tracer.stats().delivered, dropped(&tracer, "shutdown")),
        (4, 2)
    );
    assert_eq!(tracer.stats().pending, 0);
    assert_conserved(&tracer);
}

#[test]
fn a_shutdown_delivers_what_waited_for_a_server_that_is_back() {
    let (server, down) = failing(503, "retry-after: 60\r\n");
    let tracer = connected(&server.url, &[]);
    record(&tracer, &["a"; 30]);
    until("it was tried", || requests(&server) == 1);
    down.store(false, SeqCst);
    // The last chance does not wait for what the server asked for.
    assert_eq!(tracer.shutdown(PATIENCE), 0);
    assert_eq!(tracer.stats().delivered, 30);
}

#[test]
fn what_was_on_its_way_when_a_shutdown_began_has_another_chance() {
    let attempts = AtomicUsize::new(0);
    let server = Server::mlflow("3.17.2", move |seen| {
        let is_first = seen.path == SPANS && attempts.fetch_add(1, SeqCst) == 0;
        is_first.then(|| {
            std::thread::sleep(5 * MOMENT);
            (503, "retry-after: 60\r\n".to_owned(), String::new())
        })
    });
    let tracer = connected(&server.url, &[]);
    record(&tracer, &["a"; 30]);
    until("it is on its way", || requests(&server) == 1);
    assert_eq!(tracer.shutdown(PATIENCE), 0);
    assert_eq!(tracer.stats().delivered, 30);
}
