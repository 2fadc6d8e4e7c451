//! Looks after traces that are open: sends what has ended of long ones, and closes those that do not end.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::time::Duration;

use crate::clock;
use crate::id::TraceId;
use crate::ingest;
use crate::local::{self, Local};
use crate::pipeline::stats::Drop;
use crate::shared::Shared;
use crate::slot::{self, Home, Locked};
use crate::span::Span;

/// The exception type that MLflow (3.17.2) gives to a trace that ran too long.
const TIMEOUT_EXCEPTION: &str = "MlflowTracingException";

/// How often a sweep comes at most and at least; in between, often enough for the shortest deadline.
const OFTEN: Duration = Duration::from_millis(20);
const RARELY: Duration = Duration::from_secs(1);

/// What a sweep found.
#[derive(Default)]
struct Found {
    open: usize,
    /// What is to be closed, and whether it ran too long.
    overdue: HashMap<Home, bool>,
    /// How long nothing has happened in each of the others.
    quiet: Vec<(u64, Home)>,
}

/// How long traces may go on, in nanoseconds. Looked up once, since every look at a trace holds up who records it.
struct Limits {
    timeout: Option<u64>,
    ttl: u64,
    children_wait: u64,
    partial_after: u64,
    /// When the spool is to know of an open trace; never if `None`.
    noted_after: Option<u64>,
}

impl Limits {
    fn of(shared: &Shared) -> Self {
        let config = &shared.config;
        let depot = shared.depot.as_ref();
        Limits {
            timeout: config.trace_timeout().map(nanos),
            ttl: nanos(config.trace_ttl()),
            children_wait: nanos(config.children_wait()),
            partial_after: nanos(config.partial_after()),
            noted_after: depot
                .filter(|depot| depot.notes_open())
                .map(|_| nanos(config.partial_after().min(RARELY))),
        }
    }
}

/// Sweeps as long as traces are open; sleeps while there are none.
pub(super) async fn attend(shared: &Shared) -> Infallible {
    let limits = Limits::of(shared);
    let shortest = limits.children_wait.min(limits.partial_after);
    let interval = Duration::from_nanos(shortest / 4).clamp(OFTEN, RARELY);
    loop {
        tokio::time::sleep(interval).await;
        if sweep(shared, &limits) > 0 {
            continue;
        }
        shared.queue.leave();
        // A trace may have begun before its thread saw that.
        tokio::time::sleep(interval).await;
        if sweep(shared, &limits) > 0 {
            shared.queue.attend();
        }
        shared.queue.trace_begun().await;
    }
}

/// Looks at every open trace once; returns how many are left.
fn sweep(shared: &Shared, limits: &Limits) -> usize {
    let now = clock::monotonic_nanos();
    let mut found = Found::default();
    local::with(|local| {
        slot::for_each_trace(|locked| {
            if locked.belongs_to(shared.id) {
                look(limits, locked, now, local, &mut found);
            }
        });
    });
    let most = shared.config.max_open_traces();
    if found.quiet.len() > most {
        found.quiet.sort_by_key(|(quiet, _)| Reverse(*quiet));
        let over = found.quiet.len() - most;
        let longest = found.quiet.drain(..over).map(|(_, home)| (home, false));
        found.overdue.extend(longest);
    }
    if !found.overdue.is_empty() {
        close(shared, &found.overdue);
    }
    found.open - found.overdue.len()
}

fn look(limits: &Limits, mut locked: Locked, now: u64, local: &mut Local, found: &mut Found) {
    let site = locked.site();
    if let Some(after) = limits.noted_after {
        note_open(after, &mut locked, now);
    }
    let Some(trace) = locked.open_trace() else {
        return;
    };
    found.open += 1;
    let timed_out = limits
        .timeout
        .is_some_and(|timeout| trace.age(now) >= timeout);
    let home = (site, trace.id);
    if timed_out || trace.quiet(now) >= limits.ttl {
        found.overdue.insert(home, timed_out);
        return;
    }
    found.quiet.push((trace.quiet(now), home));
    let lingers = trace.lingered(now);
    let waited = trace.waited(now);
    if lingers.is_some_and(|waited| waited >= limits.children_wait) {
        trace.close(local);
    } else if waited.is_some_and(|waited| waited >= limits.partial_after) && trace.may_be_parted() {
        trace.part(local);
    }
}

/// Has the spool know of traces that have been open for some time.
fn note_open(after: u64, locked: &mut Locked, now: u64) {
    let id = locked
        .open_trace()
        .filter(|trace| trace.age(now) >= after && trace.is_unknown())
        .map(|trace| trace.id);
    // The root is where its trace is, unless that began with another span.
    if id.is_none() || locked.live.trace_id() != id || !locked.live.is_root() {
        return;
    }
    let root = locked.live.preview();
    if let Some(trace) = locked.open_trace() {
        trace.note_open(root);
    }
}

/// Ends the open spans of traces as failed; what a host encodes itself cannot be ended and is given up.
fn close(shared: &Shared, overdue: &HashMap<Home, bool>) {
    for (home, handle) in slot::live_spans(|home| overdue.contains_key(&home)) {
        let timed_out = overdue.get(&home) == Some(&true);
        let span = Span::new(handle);
        let exception = (timed_out && span.parent_id().is_none()).then_some(TIMEOUT_EXCEPTION);
        if span.abandon(&reason(shared, home.1, timed_out), exception) {
            shared.counters.abandon();
        }
    }
    let mut unfinished = HashSet::new();
    local::with(|local| {
        for (home, id) in overdue.keys().copied() {
            let Some(mut locked) = slot::lock_trace(home, id) else {
                continue;
            };
            if let Some(trace) = locked.open_trace() {
                let spans = u64::from(trace.force_close(local));
                shared.counters.drop(Drop::Unfinished, spans);
                unfinished.insert((home, id));
                locked.end_trace();
                locked.release(&mut local.free);
            }
        }
    });
    ingest::forget(&unfinished);
    for ((_, id), timed_out) in overdue {
        shared.diagnostics.report("abandoned", || {
            let reason = reason(shared, *id, *timed_out);
            format!("trace {}: {reason}", id.to_mlflow())
        });
    }
}

fn reason(shared: &Shared, id: TraceId, timed_out: bool) -> String {
    if !timed_out {
        return "The span was never ended; its trace was closed as abandoned.".to_owned();
    }
    format!(
        "Trace {} is timed out after {} seconds (trace.timeout_s).",
        id.to_mlflow(),
        shared.config.trace_timeout().unwrap_or_default().as_secs()
    )
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
