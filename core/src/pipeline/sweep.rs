//! Looks after traces that are open: sends what has ended of long ones, and closes those that do not end.

use std::convert::Infallible;
use std::time::Duration;

use crate::clock;
use crate::id::TraceId;
use crate::local::{self, Local};
use crate::pipeline::stats::Drop;
use crate::shared::Shared;
use crate::slot::{self, Locked};
use crate::span::Span;

/// The exception type that MLflow (3.17.2) gives to a trace that ran too long.
const TIMEOUT_EXCEPTION: &str = "MlflowTracingException";

/// How often a sweep comes at most and at least; in between, often enough for the shortest deadline.
const OFTEN: Duration = Duration::from_millis(20);
const RARELY: Duration = Duration::from_secs(1);

/// A trace that is to be closed.
struct Overdue {
    home: u32,
    id: TraceId,
    timed_out: bool,
}

/// What a sweep found.
#[derive(Default)]
struct Found {
    open: usize,
    overdue: Vec<Overdue>,
    /// When something last happened in each of the others.
    quiet: Vec<(u64, Overdue)>,
}

/// Sweeps as long as traces are open; sleeps while there are none.
pub(super) async fn attend(shared: &Shared) -> Infallible {
    let config = &shared.config;
    let shortest = config.children_wait().min(config.partial_after());
    let interval = (shortest / 4).clamp(OFTEN, RARELY);
    loop {
        tokio::time::sleep(interval).await;
        if sweep(shared) > 0 {
            continue;
        }
        shared.queue.leave();
        // A trace may have begun before its thread saw that.
        tokio::time::sleep(interval).await;
        if sweep(shared) > 0 {
            shared.queue.attend();
        }
        shared.queue.trace_begun().await;
    }
}

/// Looks at every open trace once; returns how many are left.
fn sweep(shared: &Shared) -> usize {
    let now = clock::monotonic_nanos();
    let mut found = Found::default();
    local::with(|local| {
        slot::for_each_trace(|locked| {
            if locked.belongs_to(shared.id) {
                look(shared, locked, now, local, &mut found);
            }
        });
    });
    let most = shared.config.max_open_traces();
    if found.quiet.len() > most {
        found.quiet.sort_by_key(|(active, _)| *active);
        let over = found.quiet.len() - most;
        let oldest = found.quiet.drain(..over).map(|(_, trace)| trace);
        found.overdue.extend(oldest);
    }
    let closed = found.overdue.len();
    found.overdue.iter().for_each(|trace| close(shared, trace));
    found.open - closed
}

fn look(shared: &Shared, mut locked: Locked, now: u64, local: &mut Local, found: &mut Found) {
    let config = &shared.config;
    let home = locked.index;
    let Some(trace) = locked.open_trace() else {
        return;
    };
    found.open += 1;
    let timeout = config.trace_timeout();
    let timed_out = timeout.is_some_and(|timeout| trace.age(now) >= nanos(timeout));
    let overdue = Overdue {
        home,
        id: trace.id,
        timed_out,
    };
    if timed_out || trace.quiet(now) >= nanos(config.trace_ttl()) {
        found.overdue.push(overdue);
        return;
    }
    found.quiet.push((u64::MAX - trace.quiet(now), overdue));
    let lingers = trace.lingered(now);
    let waited = trace.waited(now);
    if lingers.is_some_and(|waited| waited >= nanos(config.children_wait())) {
        trace.close(local);
    } else if waited.is_some_and(|waited| waited >= nanos(config.partial_after()))
        && trace.may_be_parted()
    {
        trace.part(local);
    }
}

/// Ends the open spans of a trace as failed; what a host encodes itself cannot be ended and is given up.
fn close(shared: &Shared, trace: &Overdue) {
    let message = match trace.timed_out {
        true => format!(
            "Trace {} is timed out after {} seconds (trace.timeout_s).",
            trace.id.to_mlflow(),
            shared.config.trace_timeout().unwrap_or_default().as_secs()
        ),
        false => "The span was never ended; its trace was closed as abandoned.".to_owned(),
    };
    for handle in slot::live_spans(trace.home, trace.id) {
        let span = Span::new(handle);
        let exception =
            (trace.timed_out && span.parent_id().is_none()).then_some(TIMEOUT_EXCEPTION);
        if span.abandon(&message, exception) {
            shared.counters.abandon();
        }
    }
    local::with(|local| {
        let Some(mut locked) = slot::lock_trace(trace.home, trace.id) else {
            return;
        };
        let Some(open) = locked.open_trace() else {
            return;
        };
        let unfinished = u64::from(open.force_close(local));
        shared.counters.drop(Drop::Unfinished, unfinished);
        locked.end_trace();
        locked.release(&mut local.free);
    });
    let id = trace.id.to_mlflow();
    shared
        .diagnostics
        .report("abandoned", || format!("trace {id}: {message}"));
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
