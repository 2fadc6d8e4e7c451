//! A queue that is full: what it gives up, and that all of it is counted.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashSet;
use std::sync::atomic::Ordering::SeqCst;

use mlflow_trace_core::{SpanStart, Tracer, Value};
use support::sending::{connected, failing, names, record, requests};
use support::{PATIENCE, assert_conserved, child, dropped, until};

/// What each recorded trace was called, and which of them a server has in the end.
fn overflow(options: &[(&str, &str)], count: usize) -> (Tracer, Vec<usize>) {
    let (server, down) = failing(503, "retry-after: 1\r\n");
    let tracer = connected(&server.url, options);
    record(&tracer, &["first"]);
    until("it was tried", || requests(&server) == 1);
    let text = "x".repeat(50_000);
    for n in 0..count {
        let span = tracer.start(SpanStart::new(&n.to_string()));
        span.set_inputs(Value::Str(&text)).unwrap();
        span.end().unwrap();
    }
    assert_conserved(&tracer);
    down.store(false, SeqCst);
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_conserved(&tracer);
    let mut kept: Vec<usize> = names(&server)
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect();
    kept.sort_unstable();
    assert_eq!(tracer.stats().delivered, kept.len() as u64 + 1);
    assert_eq!(dropped(&tracer, "queue_full"), (count - kept.len()) as u64);
    (tracer, kept)
}

#[test]
fn a_full_queue_gives_up_what_it_is_told_to() {
    let few = ("queue.max_bytes", "1048576");
    let (_, kept) = overflow(&[few], 200);
    assert!(
        (10..=20).contains(&kept.len()) && kept == (0..kept.len()).collect::<Vec<_>>(),
        "{kept:?}"
    );
    let (_, kept) = overflow(&[few, ("queue.drop", "oldest")], 200);
    let newest: Vec<usize> = (200 - kept.len()..200).collect();
    assert!(
        (10..=20).contains(&kept.len()) && kept == newest,
        "{kept:?}"
    );
}

#[test]
fn traces_are_limited_by_their_number_as_well() {
    let few = ("queue.max_traces", "11");
    let (_, kept) = overflow(&[few], 100);
    assert_eq!(kept, (0..10).collect::<Vec<_>>());
    let (_, kept) = overflow(&[few, ("queue.drop", "oldest")], 100);
    assert_eq!(kept, (90..100).collect::<Vec<_>>());
}

/// Part of a trace would pass for all of it.
#[test]
fn a_trace_of_which_a_part_was_given_up_is_not_finished() {
    for drop in ["newest", "oldest"] {
        let (server, down) = failing(503, "retry-after: 1\r\n");
        let options = [("queue.max_traces", "3"), ("queue.drop", drop)];
        let tracer = connected(&server.url, &options);
        record(&tracer, &["first"]);
        until("it was tried", || requests(&server) == 1);
        let root = tracer.start(SpanStart::new("root"));
        for n in 0..10 {
            let name = format!("part{n}");
            tracer.start(child(root, &name)).end().unwrap();
            if drop == "oldest" {
                record(&tracer, &["other"]);
            }
        }
        down.store(false, SeqCst);
        tracer.flush(PATIENCE);
        root.end().unwrap();
        assert_eq!(tracer.flush(PATIENCE), 0);
        let names = names(&server);
        assert!(
            !names.iter().any(|name| name == "root"),
            "{drop}: {names:?}"
        );
        assert_eq!(tracer.stats().pending, 0);
        assert_conserved(&tracer);
    }
}

#[test]
fn several_threads_fill_a_queue_and_all_is_counted() {
    for drop in ["newest", "oldest"] {
        let (server, down) = failing(503, "");
        let options = [
            ("queue.max_bytes", "1048576"),
            ("queue.drop", drop),
            ("batch.max_spans", "64"),
        ];
        let tracer = connected(&server.url, &options);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..5_000).for_each(|_| record(&tracer, &["span"])));
            }
        });
        assert_conserved(&tracer);
        let stats = tracer.stats();
        assert!(
            stats.pending > 0 && dropped(&tracer, "queue_full") > 0,
            "{stats:?}"
        );
        down.store(false, SeqCst);
        assert_eq!(tracer.flush(PATIENCE), 0);
        let stats = tracer.stats();
        assert_eq!((stats.created, stats.pending), (20_000, 0));
        // What was sent and not taken is sent again.
        let ids: HashSet<_> = server.spans().iter().map(|span| span.trace_id()).collect();
        assert_eq!(ids.len() as u64, stats.delivered);
        assert_conserved(&tracer);
    }
}
