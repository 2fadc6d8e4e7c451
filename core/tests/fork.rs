//! Fork without the host's help.
#![allow(unsafe_code, clippy::unwrap_used)]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mlflow_trace_core::{Parent, SpanStart};
use support::{assert_conserved, memory_tracer};

/// What a child checks; its result is its exit code.
fn child(tracer: &mlflow_trace_core::Tracer, inherited: mlflow_trace_core::Span) -> i32 {
    if tracer.stats().created != 0 || inherited.end().is_ok() {
        return 2;
    }
    let root = tracer.start(SpanStart::new("root"));
    let inner = tracer.start(SpanStart {
        parent: Parent::Span(root),
        ..SpanStart::new("inner")
    });
    if inner.end().is_err() || root.end().is_err() {
        return 3;
    }
    if tracer.flush(Duration::from_secs(5)) != 0 || tracer.stats().delivered != 2 {
        return 4;
    }
    0
}

fn wait(pid: libc::pid_t) -> i32 {
    let start = Instant::now();
    loop {
        let mut status = 0;
        // SAFETY: `pid` is a child of this process and `status` is writable.
        if unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) } == pid {
            return if libc::WIFEXITED(status) {
                libc::WEXITSTATUS(status)
            } else {
                -status
            };
        }
        if start.elapsed() > Duration::from_secs(10) {
            // SAFETY: as above.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            return -1000;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn children_record_and_flush_under_load() {
    let tracer = memory_tracer();
    let inherited = tracer.start(SpanStart::new("inherited"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let root = tracer.start(SpanStart::new("load"));
                    inherited.set_name("inherited").unwrap();
                    root.end().unwrap();
                }
            });
        }
        let codes: Vec<i32> = (0..25)
            .map(|_| {
                // SAFETY: the child calls only this library and `_exit`. This library is what is
                // tested; its allocations rely on glibc keeping its allocator usable after a fork.
                match unsafe { libc::fork() } {
                    // SAFETY: ends the child without running this process's handlers.
                    0 => unsafe { libc::_exit(child(&tracer, inherited)) },
                    pid => wait(pid),
                }
            })
            .collect();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(codes, vec![0; 25]);
    });
    inherited.end().unwrap();
    assert_eq!(tracer.flush(support::PATIENCE), 0);
    assert_conserved(&tracer);
}
