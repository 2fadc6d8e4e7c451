//! Traces that do not end: closed after a time, or when there are too many; nothing of them is lost.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use mlflow_trace_core::{ErrorKind, Parent, Span, SpanStart, StatusCode, TraceUpdate, Tracer};
use serde_json::{Value, json};
use support::frames::{end, start};
use support::server::Server;
use support::{PATIENCE, assert_conserved, child, dropped, names, span, tracer, traces, until};

/// Delivers to memory at once, and looks after traces every 20 ms.
fn watched(options: &[(&str, &str)]) -> Tracer {
    let base = [
        ("exporter", "memory"),
        ("batch.delay_ms", "0"),
        ("trace.partial_after_ms", "80"),
    ];
    tracer(&[&base, options].concat())
}

fn conserved_and_idle(tracer: &Tracer) {
    assert_conserved(tracer);
    assert_eq!(tracer.stats().pending, 0);
}

#[test]
fn a_trace_that_runs_too_long_is_closed_as_failed() {
    let tracer = watched(&[("trace.timeout_s", "1")]);
    let begin = Instant::now();
    let root = tracer.start(SpanStart::new("root"));
    tracer.start(child(root, "ended")).end().unwrap();
    let open = tracer.start(child(root, "open"));
    let done = tracer.start(child(open, "done"));
    done.set_status(StatusCode::Ok, "").unwrap();
    // However much happens in it.
    while tracer.stats().abandoned == 0 {
        assert!(begin.elapsed() < PATIENCE);
        tracer.start(child(root, "ended")).end().unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(begin.elapsed() >= Duration::from_secs(1));
    until("all of it is closed", || !root.is_recording());
    let traces = traces(&tracer);
    let trace = &traces[0];
    let id = trace["info"]["trace_id"].as_str().unwrap();
    let message = format!("Trace {id} is timed out after 1 seconds (trace.timeout_s).");
    assert_eq!(trace["info"]["state"], "ERROR");
    let failed = json!({"code": "STATUS_CODE_ERROR", "message": message});
    let (root_json, open_json) = (span(trace, "root"), span(trace, "open"));
    assert_eq!(
        (&root_json["status"], &open_json["status"]),
        (&failed, &failed)
    );
    let exception = &root_json["events"][0]["attributes"];
    assert_eq!(exception["exception.type"], "MlflowTracingException");
    assert_eq!(exception["exception.message"], message);
    assert_eq!(root_json["attributes"]["mlflow.spanLogLevel"], "40");
    assert_eq!(open_json["events"], json!([]));
    // What the program had decided stays.
    assert_eq!(span(trace, "done")["status"]["code"], "STATUS_CODE_OK");
    for span in [root, open, done] {
        assert_eq!(span.end(), Err(ErrorKind::InvalidState));
    }
    assert_eq!(tracer.stats().abandoned, 3);
    let told: Vec<_> = std::iter::from_fn(|| tracer.next_diagnostic()).collect();
    assert!(told.iter().any(|line| line.reason == "abandoned"));
    assert!(tracer.flush(PATIENCE) == 0 && dropped(&tracer, "unfinished") == 0);
    conserved_and_idle(&tracer);
}

#[test]
fn a_trace_in_which_nothing_happens_any_more_is_closed() {
    let tracer = watched(&[("trace.ttl_s", "1")]);
    let quiet = tracer.start(SpanStart::new("quiet"));
    tracer.start(child(quiet, "child")).end().unwrap();
    let busy = tracer.start(SpanStart::new("busy"));
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(1500) {
        tracer.start(child(busy, "child")).end().unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!quiet.is_recording() && busy.is_recording());
    assert_eq!(tracer.stats().abandoned, 1);
    busy.end().unwrap();
    let traces = traces(&tracer);
    let trace = traces
        .iter()
        .find(|trace| names(trace) == ["child", "quiet"]);
    let root = span(trace.unwrap(), "quiet");
    assert_eq!(root["status"]["code"], "STATUS_CODE_ERROR");
    assert_eq!(
        root["status"]["message"],
        "The span was never ended; its trace was closed as abandoned."
    );
    assert_eq!(root["events"], json!([]));
    let start = root["start_time_unix_nano"].as_u64().unwrap();
    let end = root["end_time_unix_nano"].as_u64().unwrap();
    assert!(end - start >= 1_000_000_000);
    conserved_and_idle(&tracer);
}

#[test]
fn of_too_many_open_traces_those_that_were_quiet_longest_are_closed() {
    let tracer = watched(&[("trace.max_open", "5")]);
    let pause = || std::thread::sleep(Duration::from_millis(2));
    let first: Vec<Span> = (0..5)
        .map(|_| {
            pause();
            tracer.start(SpanStart::new("first"))
        })
        .collect();
    // The oldest is not the quietest.
    for root in [first[0], first[2]] {
        pause();
        tracer.start(child(root, "child")).end().unwrap();
    }
    let more = [0; 3].map(|_| {
        pause();
        tracer.start(SpanStart::new("more"))
    });
    until("three are closed", || tracer.stats().abandoned == 3);
    std::thread::sleep(Duration::from_millis(60));
    let open = |span: &Span| span.is_recording();
    let left: Vec<bool> = first.iter().map(open).collect();
    assert_eq!(left, [true, false, true, false, false]);
    assert!(more.iter().all(open));
    for span in first.iter().chain(&more) {
        let _ = span.end();
    }
    assert_eq!(traces(&tracer).len(), 8);
    assert_eq!(tracer.stats().abandoned, 3);
    conserved_and_idle(&tracer);
}

#[test]
fn ten_thousand_spans_that_never_end_are_all_accounted_for() {
    let tracer = watched(&[("trace.max_open", "100"), ("queue.max_bytes", "1000000000")]);
    let begin = Instant::now();
    let roots: Vec<Span> = (0..5_000)
        .map(|_| {
            let root = tracer.start(SpanStart::new("root"));
            tracer.start(child(root, "child"));
            root
        })
        .collect();
    until("all but a hundred are closed", || {
        tracer.stats().abandoned == 2 * 4_900
    });
    assert!(begin.elapsed() < Duration::from_secs(10));
    let open = roots.iter().filter(|root| root.is_recording());
    assert_eq!(open.count(), 100);
    assert_eq!(traces(&tracer).len(), 4_900);
    tracer.shutdown(PATIENCE);
    assert_eq!(dropped(&tracer, "unfinished"), 200);
    conserved_and_idle(&tracer);
}

#[test]
fn closing_meets_threads_at_work() {
    let tracer = watched(&[("trace.max_open", "1"), ("batch.max_spans", "7")]);
    let leaks: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut refused = 0;
                    for n in 0..2_000 {
                        let root = tracer.start(SpanStart::new("root"));
                        let below = tracer.start(child(root, "below"));
                        if n % 5 > 0 {
                            refused += usize::from(below.end().is_err());
                            refused += usize::from(root.end().is_err());
                        }
                    }
                    refused
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    until("all but one are closed", || {
        tracer.stats().abandoned as usize >= 2 * (4 * 400 - 1) + leaks
    });
    tracer.shutdown(PATIENCE);
    conserved_and_idle(&tracer);
}

fn infos(traces: &[Value]) -> usize {
    traces
        .iter()
        .filter(|trace| trace["info"].is_object())
        .count()
}

#[test]
fn children_that_outlive_the_root_are_waited_for_and_then_follow() {
    let tracer = watched(&[("trace.children_wait_ms", "300")]);
    let root = tracer.start(SpanStart::new("root"));
    let in_time = tracer.start(child(root, "in time"));
    let late = tracer.start(child(root, "late"));
    let later = tracer.start(child(late, "later"));
    root.end().unwrap();
    in_time.end().unwrap();
    assert_eq!(tracer.stats().delivered, 0);
    until("the information is sent", || tracer.stats().delivered == 2);
    let sent = traces(&tracer);
    assert_eq!(names(&sent[0]), ["in time", "root"]);
    let stats = sent[0]["info"]["trace_metadata"]["mlflow.trace.sizeStats"].as_str();
    let stats: Value = serde_json::from_str(stats.unwrap()).unwrap();
    assert_eq!(stats["num_spans"], 2);

    // Its children are still children of that trace, new ones too.
    let newest = tracer.start(child(later, "newest"));
    let by_context = tracer.start(SpanStart {
        parent: Parent::Remote(late.context().unwrap()),
        ..SpanStart::new("by context")
    });
    let update = TraceUpdate::from_json(r#"{"tags": {"late": "1"}}"#).unwrap();
    late.update_trace(&update).unwrap();
    for span in [newest, later, late, by_context] {
        span.end().unwrap();
    }
    let rest = traces(&tracer);
    assert_eq!(infos(&rest), 0);
    let mut all: Vec<&str> = rest.iter().flat_map(names).collect();
    all.sort_unstable();
    assert_eq!(all, ["by context", "late", "later", "newest"]);
    let ids: HashSet<String> = rest
        .iter()
        .chain(&sent)
        .flat_map(|trace| trace["spans"].as_array().unwrap().clone())
        .map(|span| span["trace_id"].to_string())
        .collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(tracer.stats().abandoned, 0);
    conserved_and_idle(&tracer);
}

#[test]
fn a_server_gets_late_children_alone() {
    let server = Server::mlflow("3.17.2", |_| None);
    let tracer = tracer(&[
        ("tracking_uri", &server.url),
        ("batch.delay_ms", "20"),
        ("trace.children_wait_ms", "80"),
        ("trace.partial_after_ms", "600000"),
    ]);
    let root = tracer.start(SpanStart::new("root"));
    let late = tracer.start(child(root, "late"));
    root.end().unwrap();
    until("the root is there", || tracer.stats().delivered == 1);
    late.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    let posts: Vec<String> = server.log().drain(1..).collect();
    assert_eq!(
        posts,
        [
            "POST /api/3.0/mlflow/traces",
            "POST /v1/traces",
            "POST /v1/traces"
        ]
    );
    let names: Vec<String> = server.spans().iter().map(|span| span.name()).collect();
    assert_eq!(names, ["root", "late"]);
    conserved_and_idle(&tracer);
}

#[test]
fn a_child_that_outlives_its_root_and_never_ends_is_closed_as_well() {
    let tracer = watched(&[("trace.children_wait_ms", "40"), ("trace.ttl_s", "1")]);
    let root = tracer.start(SpanStart::new("root"));
    let late = tracer.start(child(root, "late"));
    root.end().unwrap();
    until("it is closed", || tracer.stats().abandoned == 1);
    assert_eq!(late.end(), Err(ErrorKind::InvalidState));
    let traces = traces(&tracer);
    assert_eq!((traces.len(), infos(&traces)), (2, 1));
    assert_eq!(names(&traces[1]), ["late"]);
    conserved_and_idle(&tracer);
}

#[test]
fn spans_that_a_host_announced_and_never_ends_are_given_up() {
    let tracer = watched(&[("trace.ttl_s", "1")]);
    let frames = [
        start(61, 1, 0, r#"{"tags": {"a": "1"}}"#),
        start(61, 2, 1, ""),
        start(61, 3, 1, ""),
        end(61, 2, 1, "child", &[]),
    ];
    assert_eq!(tracer.drain(&frames.concat()), 0);
    until("they are given up", || dropped(&tracer, "unfinished") == 2);
    // There is no root to tell of: what has ended goes alone.
    let sent = traces(&tracer);
    assert_eq!((sent.len(), infos(&sent)), (1, 0));
    assert_eq!(names(&sent[0]), ["child"]);
    conserved_and_idle(&tracer);

    // Their ends come too late, also for a trace of the same id that lies in the same place.
    let again = [start(61, 4, 1, ""), start(61, 5, 4, "")];
    assert_eq!(tracer.drain(&again.concat()), 0);
    assert_eq!(tracer.drain(&end(61, 1, 0, "root", &[])), 1);
    assert_eq!(tracer.drain(&end(61, 3, 1, "late", &[])), 1);
    assert_eq!(tracer.stats().pending, 2);
    let ends = [end(61, 5, 4, "inner", &[]), end(61, 4, 1, "outer", &[])];
    assert_eq!(tracer.drain(&ends.concat()), 0);
    let sent = traces(&tracer);
    assert_eq!(names(&sent[0]), ["inner", "outer"]);
    conserved_and_idle(&tracer);
}

#[test]
fn spans_that_a_host_announced_do_not_outlive_the_tracer() {
    let tracer = watched(&[]);
    let frames = [start(62, 1, 0, ""), start(62, 2, 1, "")];
    assert_eq!(tracer.drain(&frames.concat()), 0);
    tracer.shutdown(PATIENCE);
    assert_eq!(dropped(&tracer, "unfinished"), 2);
    assert_eq!(tracer.drain(&end(62, 2, 1, "late", &[])), 1);
    conserved_and_idle(&tracer);
}

#[test]
fn an_abandoned_trace_is_one_with_an_error() {
    let tracer = watched(&[
        ("trace.ttl_s", "1"),
        ("sampling.ratio", "0"),
        ("sampling.keep_errors", "true"),
    ]);
    tracer.start(SpanStart::new("root"));
    until("it is closed", || tracer.stats().abandoned == 1);
    let traces = traces(&tracer);
    assert_eq!(traces[0]["info"]["state"], "ERROR");
    conserved_and_idle(&tracer);
}

/// How often threads of this name have gone to sleep.
#[cfg(target_os = "linux")]
fn sleeps(name: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let of = |path: std::path::PathBuf| {
        let comm = std::fs::read_to_string(path.join("comm")).ok()?;
        let status = std::fs::read_to_string(path.join("status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        (comm.trim() == name).then(|| line.trim().parse::<u64>().unwrap())
    };
    tasks.filter_map(|task| of(task.unwrap().path())).sum()
}

/// In a process of its own: the exporters of other tests have threads of the same name.
#[cfg(target_os = "linux")]
#[test]
fn nothing_wakes_the_exporter_while_there_is_nothing_to_do() {
    const CHILD: &str = "MLFLOW_TRACE_TEST_ABANDONED_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let own = std::env::current_exe().unwrap();
        let name = "nothing_wakes_the_exporter_while_there_is_nothing_to_do";
        let status = std::process::Command::new(own)
            .args(["--exact", name, "--nocapture"])
            .env(CHILD, "1")
            .status();
        assert!(status.unwrap().success());
        return;
    }
    let tracers = [watched(&[]), watched(&[("exporter", "none")])];
    for round in 0..2 {
        for tracer in &tracers {
            let root = tracer.start(SpanStart::new("root"));
            tracer.start(child(root, "child")).end().unwrap();
            root.end().unwrap();
            assert_eq!(tracer.flush(PATIENCE), 0);
        }
        // Two more sweeps find nothing.
        std::thread::sleep(Duration::from_millis(400));
        let before = sleeps("mlflow-trace");
        assert!(before > 0);
        std::thread::sleep(Duration::from_millis(400));
        assert_eq!(sleeps("mlflow-trace"), before, "round {round}");
    }
    // It is there when it is needed again.
    let begin = Instant::now();
    let late = watched(&[("trace.children_wait_ms", "40")]);
    for tracer in [&tracers[0], &late] {
        let root = tracer.start(SpanStart::new("root"));
        root.end().unwrap();
        assert_eq!(tracer.flush(PATIENCE), 0);
    }
    std::thread::sleep(Duration::from_millis(300));
    let root = late.start(SpanStart::new("root"));
    let child = late.start(child(root, "child"));
    root.end().unwrap();
    until("the root is sent", || late.stats().delivered == 2);
    child.end().unwrap();
    assert!(begin.elapsed() < PATIENCE);
    conserved_and_idle(&tracers[0]);
}

/// In a process of its own, whose threads ask for more stack than there is memory.
#[test]
fn what_no_thread_was_there_to_send_is_counted_by_the_shutdown() {
    const CHILD: &str = "MLFLOW_TRACE_TEST_THREADLESS_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let own = std::env::current_exe().unwrap();
        let name = "what_no_thread_was_there_to_send_is_counted_by_the_shutdown";
        let status = std::process::Command::new(own)
            .args(["--exact", name, "--nocapture"])
            .env(CHILD, "1")
            .env("RUST_MIN_STACK", (1u64 << 60).to_string())
            .status();
        assert!(status.unwrap().success());
        return;
    }
    let tracer = watched(&[]);
    tracer.start(SpanStart::new("root")).end().unwrap();
    let told = std::iter::from_fn(|| tracer.next_diagnostic());
    let reasons: Vec<_> = told.map(|message| message.reason).collect();
    assert_eq!(reasons, ["thread"]);
    assert_eq!(tracer.flush(Duration::ZERO), 1);
    assert_eq!(tracer.stats().pending, 1);
    assert_eq!(tracer.shutdown(PATIENCE), 1);
    assert_eq!(dropped(&tracer, "shutdown"), 1);
    conserved_and_idle(&tracer);
}
