//! Traces that outlast their process: on disk when they have ended, delivered by whoever comes next.
#![cfg(unix)]
#![allow(unsafe_code, clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use mlflow_trace_core::spool::{DeadLetters, SpoolOptions};
use mlflow_trace_core::{Parent, SpanStart, TraceUpdate, Tracer, Value};
use support::server::{Server, reply, usual};
use support::{PATIENCE, assert_conserved, child, dropped, tracer, until};

/// A server that is away until it is not.
struct Away {
    server: Server,
    is_back: Arc<AtomicBool>,
}

impl Away {
    fn start() -> Self {
        let is_back = Arc::new(AtomicBool::new(false));
        let flag = is_back.clone();
        let server = Server::start(move |seen| match flag.load(Ordering::SeqCst) {
            true => usual("3.17.2", seen),
            false => reply(503, "away"),
        });
        Away { server, is_back }
    }

    fn comes_back(&self) {
        self.is_back.store(true, Ordering::SeqCst);
    }

    /// Ids of the spans that arrived, as often as they did.
    fn stored(&self) -> Vec<Vec<u8>> {
        let seen = self.server.seen();
        let taken = seen.iter().filter(|seen| seen.path == "/v1/traces");
        let spans = taken.flat_map(support::otlp::spans);
        spans.map(|span| span.0).collect()
    }
}

/// A directory that goes when the test does.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("mlflow-trace-spooled-{}-{number}", std::process::id());
        Directory(std::env::temp_dir().join(name))
    }

    fn segments(&self) -> usize {
        let runs = std::fs::read_dir(&self.0).into_iter().flatten();
        let files = runs.flat_map(|run| std::fs::read_dir(run.unwrap().path()).unwrap());
        let names = files.map(|file| file.unwrap().file_name());
        names
            .filter(|name| Path::new(name).extension().is_some_and(|end| end == "seg"))
            .count()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn spooling(url: &str, directory: &Path, more: &[(&str, &str)]) -> Tracer {
    let options = [
        ("tracking_uri", url),
        ("spool", "write-through"),
        ("spool.dir", directory.to_str().unwrap()),
        ("batch.delay_ms", "0"),
    ];
    tracer(&[&options, more].concat())
}

/// A trace of two spans.
fn record(tracer: &Tracer, name: &str) {
    let update = TraceUpdate::from_json(r#"{"tags": {"kept": "yes"}, "session_id": "s"}"#).unwrap();
    let root = tracer.start(SpanStart {
        update: Some(&update),
        ..SpanStart::new(name)
    });
    root.set_inputs(Value::Str("question")).unwrap();
    let inner = tracer.start(child(root, "inner"));
    inner.end().unwrap();
    root.end().unwrap();
}

fn recovered(tracer: &Tracer) -> (u64, u64) {
    let recovered = tracer.stats().recovered.unwrap();
    assert_eq!(
        recovered.adopted,
        recovered.delivered + recovered.dropped + recovered.pending
    );
    (recovered.delivered, recovered.pending)
}

/// Not a test: the process that is killed.
#[test]
fn victim() {
    let Ok(url) = std::env::var("SPOOL_VICTIM_URL") else {
        return;
    };
    let directory = PathBuf::from(std::env::var("SPOOL_VICTIM_DIR").unwrap());
    let more = [("source.name", "victim"), ("service.name", "victim")];
    let tracer = spooling(&url, &directory, &more);
    for name in ["one", "two", "three"] {
        record(&tracer, name);
    }
    if std::env::var("SPOOL_VICTIM_OPENS").is_ok() {
        let root = tracer.start(SpanStart::new("open"));
        root.set_inputs(Value::Str("question")).unwrap();
        tracer.start(child(root, "inner")).end().unwrap();
        std::thread::sleep(Duration::from_secs(3));
    }
    println!("\nrecorded");
    std::thread::sleep(Duration::from_secs(60));
}

/// Has a process record three traces, and kills it at once.
fn kill(url: &str, directory: &Path) {
    kill_with(url, directory, &[]);
}

fn kill_with(url: &str, directory: &Path, environment: &[(&str, &str)]) {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture"])
        .envs(environment.iter().copied())
        .env("SPOOL_VICTIM_URL", url)
        .env("SPOOL_VICTIM_DIR", directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "recorded"));
    process.kill().unwrap();
    process.wait().unwrap();
}

#[test]
fn the_next_process_delivers_what_a_killed_one_recorded() {
    let (away, directory) = (Away::start(), Directory::new());
    kill(&away.server.url, &directory.0);
    assert!(away.stored().is_empty());
    away.comes_back();
    let more = [("source.name", "heir"), ("service.name", "heir")];
    let heir = spooling(&away.server.url, &directory.0, &more);
    until("everything is delivered", || recovered(&heir) == (6, 0));
    assert_eq!(heir.stats().created, 0);
    assert_conserved(&heir);

    let spans = away.stored();
    assert_eq!(spans.len(), 6);
    assert_eq!(spans.iter().collect::<HashSet<_>>().len(), 6);
    let infos = away.server.infos();
    assert_eq!(infos.len(), 3);
    for info in &infos {
        assert_eq!(info["tags"]["kept"], "yes");
        assert_eq!(info["trace_metadata"]["mlflow.source.name"], "victim");
        assert_eq!(info["trace_metadata"]["mlflow.trace.session"], "s");
        assert_eq!(info["request_preview"], "\"question\"");
    }
    let names: HashSet<&str> = infos
        .iter()
        .map(|info| info["tags"]["mlflow.traceName"].as_str().unwrap())
        .collect();
    assert_eq!(names, HashSet::from(["one", "two", "three"]));
    let seen = away.server.seen();
    let posted = seen.iter().filter(|seen| seen.path == "/v1/traces");
    for request in posted {
        let text = String::from_utf8_lossy(&request.body);
        assert!(text.contains("victim") && !text.contains("heir"));
    }
    assert_eq!(heir.shutdown(PATIENCE), 0);
    until("nothing is left on disk", || directory.segments() == 0);
}

#[test]
fn of_two_heirs_one_delivers() {
    let (away, directory) = (Away::start(), Directory::new());
    for _ in 0..4 {
        kill(&away.server.url, &directory.0);
    }
    away.comes_back();
    let heirs = [(); 2].map(|()| spooling(&away.server.url, &directory.0, &[]));
    until("everything is delivered", || {
        heirs.iter().map(|heir| recovered(heir).0).sum::<u64>() == 24
    });
    assert_eq!(away.stored().len(), 24);
    assert_eq!(away.stored().iter().collect::<HashSet<_>>().len(), 24);
}

#[test]
fn what_a_shutdown_leaves_is_not_lost() {
    let (away, directory) = (Away::start(), Directory::new());
    let first = spooling(&away.server.url, &directory.0, &[]);
    record(&first, "late");
    assert_eq!(first.shutdown(Duration::from_millis(200)), 2);
    let stats = first.stats();
    assert_eq!((stats.spooled, stats.pending), (2, 2));
    assert_eq!(dropped(&first, "shutdown"), 0);
    assert_conserved(&first);
    away.comes_back();
    let second = spooling(&away.server.url, &directory.0, &[]);
    until("the rest is delivered", || recovered(&second) == (2, 0));
    assert_eq!(second.shutdown(PATIENCE), 0);

    let third = spooling(&away.server.url, &directory.0, &[]);
    record(&third, "own");
    assert_eq!(third.shutdown(PATIENCE), 0);
    assert_eq!(recovered(&third), (0, 0));
    assert_eq!(away.stored().len(), 4);
}

#[test]
fn what_finds_no_room_in_memory_is_delivered_from_the_disk() {
    let (away, directory) = (Away::start(), Directory::new());
    for policy in ["newest", "oldest"] {
        away.is_back.store(false, Ordering::SeqCst);
        let more = [("queue.max_bytes", "1048576"), ("queue.drop", policy)];
        let tracer = spooling(&away.server.url, &directory.0, &more);
        let before = away.server.infos().len();
        let long = "x".repeat(100_000);
        for _ in 0..30 {
            let root = tracer.start(SpanStart::new("long"));
            root.set_attribute("text", Value::Str(&long)).unwrap();
            root.end().unwrap();
        }
        until("some is on disk alone", || tracer.stats().spooled > 0);
        assert_conserved(&tracer);
        away.comes_back();
        until("everything is delivered", || tracer.stats().delivered == 30);
        assert_eq!(tracer.stats().dropped_total(), 0, "{policy}");
        assert_eq!(tracer.stats().spooled, 0);
        let infos = away.server.infos();
        let ids: HashSet<String> = infos[before..]
            .iter()
            .map(|info| info["trace_id"].to_string())
            .collect();
        assert!(ids.len() >= 30);
        assert_eq!(tracer.shutdown(PATIENCE), 0);
    }
}

#[test]
fn children_of_a_fork_have_a_spool_of_their_own() {
    let (away, directory) = (Away::start(), Directory::new());
    let parent = spooling(&away.server.url, &directory.0, &[]);
    record(&parent, "parent");
    // SAFETY: the child calls only this library and `_exit`, as in the tests of forks.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        record(&parent, "child");
        let stats = parent.stats();
        // SAFETY: ends the child without running this process's handlers.
        unsafe { libc::_exit(i32::from(stats.created != 2)) };
    }
    let mut status = -1;
    // SAFETY: `pid` is a child of this process and `status` is writable.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert_eq!(status, 0);
    away.comes_back();
    let heir = spooling(&away.server.url, &directory.0, &[]);
    until("the child's is delivered, by one of them", || {
        recovered(&heir).0 + recovered(&parent).0 == 2
    });
    assert_eq!(parent.flush(PATIENCE), 0);
    assert_eq!(parent.stats().delivered, 2);
    let names: HashSet<String> = away
        .server
        .infos()
        .iter()
        .map(|info| info["tags"]["mlflow.traceName"].to_string())
        .collect();
    assert!(names.contains("\"parent\"") && names.contains("\"child\""));
}

#[test]
fn without_a_disk_traces_are_in_memory() {
    let away = Away::start();
    away.comes_back();
    let directory = Directory::new();
    std::fs::write(&directory.0, "").unwrap();
    let below = directory.0.join("spool");
    let tracer = spooling(&away.server.url, &below, &[]);
    record(&tracer, "kept");
    assert_eq!(tracer.flush(PATIENCE), 0);
    let stats = tracer.stats();
    assert!(stats.spool_degraded && stats.delivered == 2, "{stats:?}");
    drop(tracer);
    std::fs::remove_file(&directory.0).unwrap();
}

#[test]
fn what_is_refused_for_good_is_put_aside() {
    let directory = Directory::new();
    let server = Server::mlflow("3.17.2", |seen| {
        (seen.path == "/v1/traces").then(|| reply(400, "no"))
    });
    let more = [("export.trace_info", "spans_only")];
    let tracer = spooling(&server.url, &directory.0, &more);
    tracer.start(SpanStart::new("bad")).end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(dropped(&tracer, "rejected"), 1);
    assert_eq!(tracer.shutdown(PATIENCE), 0);
    let letters = DeadLetters::open(SpoolOptions::new(&directory.0)).unwrap();
    let names = letters.names().unwrap();
    assert_eq!(names.len(), 1);
    let letter = letters.read(&names[0]).unwrap();
    // What a server says beyond its status may be anything, and is not kept.
    assert_eq!(letter.reason, "HTTP 400");
    assert!(!letter.payload.is_empty());
    let heir = spooling(&server.url, &directory.0, &[]);
    assert_eq!(heir.flush(PATIENCE), 0);
    assert_eq!(recovered(&heir), (0, 0));
}

#[test]
fn parts_of_a_trace_are_spooled() {
    let (away, directory) = (Away::start(), Directory::new());
    let more = [("trace.partial_after_ms", "50"), ("spool", "sync")];
    let first = spooling(&away.server.url, &directory.0, &more);
    let root = first.start(SpanStart::new("root"));
    first.start(child(root, "early")).end().unwrap();
    std::thread::sleep(Duration::from_millis(400));
    let late = first.start(SpanStart {
        parent: Parent::Span(root),
        ..SpanStart::new("late")
    });
    late.end().unwrap();
    root.end().unwrap();
    // Returns when the disk has what the server has not.
    assert_eq!(first.flush(Duration::from_millis(200)), 3);
    assert_eq!(first.shutdown(Duration::from_millis(200)), 3);
    assert_eq!(first.stats().spooled, 3);
    away.comes_back();
    let second = spooling(&away.server.url, &directory.0, &more);
    until("all parts are delivered", || recovered(&second) == (3, 0));
    let infos = away.server.infos();
    assert_eq!(infos.len(), 1);
    let sizes = infos[0]["trace_metadata"]["mlflow.trace.sizeStats"].as_str();
    assert!(sizes.unwrap().contains("\"num_spans\": 3"), "{sizes:?}");
}

#[test]
fn what_a_killed_process_left_open_is_closed() {
    let (away, directory) = (Away::start(), Directory::new());
    kill_with(
        &away.server.url,
        &directory.0,
        &[("SPOOL_VICTIM_OPENS", "1")],
    );
    away.comes_back();
    let leave = [("spool.close_orphans", "false")];
    let copy = Directory::new();
    let copied = Command::new("cp")
        .arg("-a")
        .args([&directory.0, &copy.0])
        .status();
    assert!(copied.unwrap().success());
    for (spool, more, spans, infos) in [(&copy, &leave[..], 6, 3), (&directory, &[], 7, 4)] {
        let before = (away.stored().len(), away.server.infos().len());
        let heir = spooling(&away.server.url, &spool.0, more);
        until("everything is delivered", || recovered(&heir) == (spans, 0));
        assert_eq!(heir.shutdown(PATIENCE), 0);
        let after = (away.stored().len(), away.server.infos().len());
        assert_eq!(
            (after.0 - before.0, after.1 - before.1),
            (spans as usize, infos)
        );
        assert_eq!(spool.segments(), 0);
    }
    let all = away.server.infos();
    let open = all
        .iter()
        .find(|info| info["tags"]["mlflow.traceName"] == "open")
        .unwrap();
    assert_eq!(open["state"], "ERROR");
    assert_eq!(open["request_preview"], "\"question\"");
    let received = away.server.received();
    assert!(received.contains("no end recorded; closed by recovery"));
}

#[test]
fn spilling_writes_what_memory_cannot_keep() {
    let (away, directory) = (Away::start(), Directory::new());
    away.comes_back();
    let more = [("spool", "spill"), ("queue.max_bytes", "1048576")];
    let first = spooling(&away.server.url, &directory.0, &more);
    record(&first, "delivered");
    assert_eq!(first.flush(PATIENCE), 0);
    assert_eq!(directory.segments(), 0);

    away.is_back.store(false, Ordering::SeqCst);
    record(&first, "kept in memory, until the end");
    let long = "x".repeat(100_000);
    for _ in 0..30 {
        let root = first.start(SpanStart::new("long"));
        root.set_attribute("text", Value::Str(&long)).unwrap();
        root.end().unwrap();
    }
    assert!(directory.segments() > 0);
    assert_eq!(first.shutdown(Duration::from_millis(200)), 32);
    let stats = first.stats();
    assert_eq!((stats.spooled, stats.pending), (32, 32), "{stats:?}");
    assert_conserved(&first);

    away.comes_back();
    let second = spooling(&away.server.url, &directory.0, &[]);
    until("the rest is delivered", || recovered(&second) == (32, 0));
    assert_eq!(second.shutdown(PATIENCE), 0);
    let infos = away.server.infos();
    let ids: HashSet<_> = infos
        .iter()
        .map(|info| info["trace_id"].to_string())
        .collect();
    assert_eq!(ids.len(), 32);
}

#[test]
fn a_trace_longer_than_the_queue_goes_by_way_of_the_disk() {
    let (away, directory) = (Away::start(), Directory::new());
    away.comes_back();
    let more = [("queue.max_bytes", "1048576")];
    let tracer = spooling(&away.server.url, &directory.0, &more);
    let long = "x".repeat(700_000);
    let root = tracer.start(SpanStart::new("root"));
    for _ in 0..5 {
        let inner = tracer.start(child(root, "inner"));
        inner.set_attribute("text", Value::Str(&long)).unwrap();
        inner.end().unwrap();
    }
    root.set_attribute("text", Value::Str(&"x".repeat(2_000_000)))
        .unwrap();
    root.end().unwrap();
    until("everything is delivered", || tracer.stats().delivered == 6);
    assert_eq!(tracer.shutdown(PATIENCE), 0);
}

#[test]
fn spans_that_a_collector_refuses_are_put_aside() {
    let directory = Directory::new();
    let server = Server::start(|seen| {
        let is_bad = String::from_utf8_lossy(&seen.body).contains("poison");
        reply(if is_bad { 400 } else { 200 }, "")
    });
    let more = [("exporter", "otlp"), ("otlp.endpoint", server.url.as_str())];
    let tracer = spooling(&server.url, &directory.0, &more);
    let root = tracer.start(SpanStart::new("root"));
    for name in ["one", "poison", "two"] {
        tracer.start(child(root, name)).end().unwrap();
    }
    root.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_conserved(&tracer);
    assert_eq!(
        (tracer.stats().delivered, dropped(&tracer, "rejected")),
        (3, 1)
    );
    assert_eq!(tracer.shutdown(PATIENCE), 0);
    let letters = DeadLetters::open(SpoolOptions::new(&directory.0)).unwrap();
    let names = letters.names().unwrap();
    assert_eq!(names.len(), 1);
    let letter = letters.read(&names[0]).unwrap();
    let text = String::from_utf8_lossy(&letter.payload);
    assert!(letter.reason.starts_with("HTTP 400"), "{}", letter.reason);
    assert!(text.contains("poison") && !text.contains("two"));
}
