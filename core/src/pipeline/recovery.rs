//! What the exporter thread does for the spool: looks after the disk, and delivers what other processes left there.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout, timeout_at};

use super::depot::Depot;
use super::stats::Drop;
use crate::finished::Finished;
use crate::local;
use crate::shared::Shared;
use crate::spool::{Cursor, Spool};

/// How often what dead processes left is looked for: at first more often, since who is being replaced may not be dead
/// yet.
const OFTEN: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(1);
/// How long to wait for room in the queue, or for the disk.
const PAUSE: Duration = Duration::from_millis(500);
/// Bytes of records in memory at a time: what is recorded meanwhile goes first.
const AT_ONCE: usize = 1 << 20;

/// Works until the tracer closes.
pub(super) async fn attend(shared: &Shared) -> Infallible {
    let Some(depot) = &shared.depot else {
        return pending().await;
    };
    match depot.open() {
        Ok(spool) => {
            tokio::select! {
                never = look_after(shared, depot, spool) => never,
                never = deliver(shared, depot, spool) => never,
            }
        }
        Err(why) => {
            depot.note_looked();
            shared.diagnostics.report("spool", || {
                format!("without a spool, traces are in memory alone: {why}")
            });
            pending().await
        }
    }
}

async fn look_after(shared: &Shared, depot: &Depot, spool: &Spool) -> Infallible {
    loop {
        let next = depot.maintain(spool, &shared.counters).next;
        if depot.is_degraded() {
            shared.diagnostics.report("spool", || {
                "the spool takes nothing at the moment; traces are in memory alone".into()
            });
        }
        let appended = depot.appended.notified();
        match next.map(|next| next.saturating_duration_since(Instant::now())) {
            Some(rest) => drop(timeout(rest, appended).await),
            None => appended.await,
        }
        // Many appends are one sync.
        sleep(PAUSE).await;
    }
}

/// A little at a time: the next records are read when these have been delivered.
async fn deliver(shared: &Shared, depot: &Arc<Depot>, spool: &Spool) -> Infallible {
    let mut cursor = Cursor::default();
    let mut due = Instant::now();
    let mut interval = SOON;
    loop {
        let mut traces = Vec::new();
        if depot.has_left() {
            let back = spool.read_back(&mut cursor, AT_ONCE);
            if back.is_empty() {
                cursor = Cursor::default();
            }
            traces.extend(
                back.into_iter()
                    .filter_map(|record| depot.take_back(record, &shared.counters)),
            );
        }
        let now = Instant::now();
        let mut more = depot.has_left();
        if due <= now {
            let wanted = |fingerprint: &_| depot.is_known(fingerprint);
            let adopted = spool.adopt(&wanted, AT_ONCE, now);
            if !adopted.more {
                depot.forget_heard();
                due = now + interval;
                interval = (interval * 2).min(OFTEN);
            }
            more |= adopted.more;
            let records = adopted.records.into_iter();
            traces.extend(records.filter_map(|record| depot.adopt(record)));
            depot.acknowledge();
        }
        let is_idle = traces.is_empty();
        for trace in traces {
            put(shared, depot, trace).await;
        }
        depot.note_looked();
        while depot.recovering() > depot.held.load(std::sync::atomic::Ordering::Relaxed) {
            depot.acknowledged.notified().await;
        }
        match (more, is_idle) {
            (true, false) => {}
            (true, true) => sleep(PAUSE).await,
            // Or until something is left to the disk for want of room.
            (false, _) => drop(timeout_at(due.into(), depot.acknowledged.notified()).await),
        }
    }
}

/// Queues a trace when there is room for it; at once one for which there never would be.
async fn put(shared: &Shared, depot: &Depot, trace: Finished) {
    let spans = u64::from(trace.span_count);
    let size = match trace.size() {
        size if shared.queue.may_hold(size) => size,
        _ => 0,
    };
    let mut trace = Some(trace);
    loop {
        let pushed = local::with(|local| {
            let outbox = local.outbox_of(shared.id, &shared.queue);
            outbox.push(&shared.queue, size, spans, |_| {
                trace.take().inspect(|trace| depot.queued(trace))
            })
        });
        match pushed {
            Err(Drop::QueueFull) => {
                depot.note_looked();
                sleep(PAUSE).await;
            }
            // Where the tracer has closed, it stays on disk.
            _ => return,
        }
    }
}
