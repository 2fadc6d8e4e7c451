//! Counters. At every quiet moment `created = delivered + dropped{reason} + pending`.

use std::sync::atomic::Ordering;

use crate::sync::AtomicU64;

/// Why spans were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drop {
    /// The queue held its limit of bytes.
    QueueFull,
    /// The server refused the trace for good.
    Rejected,
    /// The collector took a request but for these (OTLP, "partial success").
    ServerRejected,
    /// Still undelivered when the tracer was shut down.
    Shutdown,
    /// Never ended: open when the tracer was shut down, or lost by the host.
    Unfinished,
    /// No free slot for a live span.
    TooManySpans,
    /// Recorded for its errors (`sampling.keep_errors`), and there were none.
    Unsampled,
    /// A fault of this library.
    Internal,
}

impl Drop {
    const ALL: [Drop; 8] = [
        Drop::QueueFull,
        Drop::Rejected,
        Drop::ServerRejected,
        Drop::Shutdown,
        Drop::Unfinished,
        Drop::TooManySpans,
        Drop::Unsampled,
        Drop::Internal,
    ];

    fn name(self) -> &'static str {
        match self {
            Drop::QueueFull => "queue_full",
            Drop::Rejected => "rejected",
            Drop::ServerRejected => "server_rejected",
            Drop::Shutdown => "shutdown",
            Drop::Unfinished => "unfinished",
            Drop::TooManySpans => "too_many_spans",
            Drop::Unsampled => "unsampled",
            Drop::Internal => "internal",
        }
    }
}

/// The counters of one tracer in one fork generation, in spans.
///
/// What is pending is not counted: it is what was created and neither delivered nor dropped, so the
/// equation holds at every moment and a span that got lost would stay pending for ever.
#[derive(Default)]
pub(crate) struct Counters {
    delivered: AtomicU64,
    dropped: [AtomicU64; Drop::ALL.len()],
    /// Calls that did nothing: after shutdown, malformed frames.
    ignored: AtomicU64,
    abandoned: AtomicU64,
    redaction_failed: AtomicU64,
}

impl Counters {
    pub(crate) fn deliver(&self, spans: u64) {
        self.delivered.fetch_add(spans, Ordering::Release);
    }

    pub(crate) fn drop(&self, reason: Drop, spans: u64) {
        self.dropped[reason as usize].fetch_add(spans, Ordering::Release);
    }

    pub(crate) fn dropped(&self, reason: Drop) -> u64 {
        self.dropped[reason as usize].load(Ordering::Acquire)
    }

    pub(crate) fn ignore(&self, calls: u64) {
        self.ignored.fetch_add(calls, Ordering::Relaxed);
    }

    /// Counts a span that was ended for its host.
    pub(crate) fn abandon(&self) {
        self.abandoned.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a span, or what a host set of a trace, in which content was replaced because taking something out
    /// of it failed.
    pub(crate) fn fail_closed(&self) {
        self.redaction_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// A reading. Spans settle after they start, so the ends are read before the starts.
    pub(crate) fn read(&self, created: impl FnOnce() -> u64) -> Stats {
        let delivered = self.delivered.load(Ordering::Acquire);
        let dropped: Vec<_> = Drop::ALL
            .iter()
            .map(|reason| (reason.name(), self.dropped(*reason)))
            .collect();
        let settled = delivered + dropped.iter().map(|(_, spans)| spans).sum::<u64>();
        let created = created();
        Stats {
            created,
            delivered,
            pending: created.saturating_sub(settled),
            dropped,
            ignored: self.ignored.load(Ordering::Relaxed),
            abandoned: self.abandoned.load(Ordering::Relaxed),
            redaction_failed: self.redaction_failed.load(Ordering::Relaxed),
            odd_2xx: 0,
            spooled: 0,
            spool_degraded: false,
            recovered: None,
            mirror: None,
        }
    }
}

/// What became of the spans of a tracer in this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Spans started.
    pub created: u64,
    /// Spans that the destination acknowledged.
    pub delivered: u64,
    /// Spans open, waiting or on their way.
    pub pending: u64,
    /// Spans given up, by reason; every reason is listed.
    pub dropped: Vec<(&'static str, u64)>,
    /// Recording calls that had no effect, for instance on an ended span.
    pub ignored: u64,
    /// Spans that were ended for their host, as failed: their trace ran too long (`trace.timeout_s`) or nothing
    /// happened in it any more (`trace.ttl_s`, `trace.max_open`).
    pub abandoned: u64,
    /// Spans, and traces by what their host set of them, in which content was replaced by `[redaction failed]`.
    pub redaction_failed: u64,
    /// Replies by which the server took what it was sent, in a form that makes no sense: cut off, too long, not JSON, a
    /// page for people. A proxy that answers in the server's place shows here.
    pub odd_2xx: u64,
    /// Spans, of those that are pending, that are in the spool and not in memory: there was no room for them, or the
    /// tracer has been shut down. Another process delivers them, or this one later.
    pub spooled: u64,
    /// Whether what ends now is in memory alone although a spool is configured: the disk fails, or is full.
    pub spool_degraded: bool,
    /// With a spool, what became of the spans that other processes left there.
    pub recovered: Option<RecoveredStats>,
    /// With dual export, what became of the copies for the collector.
    pub mirror: Option<MirrorStats>,
}

/// What became of spans that other processes recorded and left in the spool. They are not among those of [`Stats`]:
/// `adopted = delivered + dropped + pending` by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveredStats {
    /// Spans taken over.
    pub adopted: u64,
    /// Spans that the destination acknowledged.
    pub delivered: u64,
    /// Spans given up.
    pub dropped: u64,
    /// Spans waiting or on their way; after a shutdown, spans that are left to the next process.
    pub pending: u64,
}

/// What became of the copies of ended spans that dual export sends to a collector. The balance of [`Stats`] holds here
/// as well, by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MirrorStats {
    /// Copies made.
    pub created: u64,
    /// Copies that the collector acknowledged.
    pub delivered: u64,
    /// Copies waiting or on their way.
    pub pending: u64,
    /// Copies given up, by reason; every reason is listed.
    pub dropped: Vec<(&'static str, u64)>,
}

impl Stats {
    /// Adds the counters of another tracer of this process; ignored calls are counted by process.
    pub(crate) fn add(&mut self, other: &Stats) {
        self.created += other.created;
        self.delivered += other.delivered;
        self.pending += other.pending;
        self.abandoned += other.abandoned;
        self.redaction_failed += other.redaction_failed;
        self.odd_2xx += other.odd_2xx;
        self.ignored = self.ignored.max(other.ignored);
        self.spooled += other.spooled;
        self.spool_degraded |= other.spool_degraded;
        if let Some(other) = &other.recovered {
            let recovered = self.recovered.get_or_insert_default();
            recovered.adopted += other.adopted;
            recovered.delivered += other.delivered;
            recovered.dropped += other.dropped;
            recovered.pending += other.pending;
        }
        add_dropped(&mut self.dropped, &other.dropped);
        if let Some(other) = &other.mirror {
            let mirror = self.mirror.get_or_insert_default();
            mirror.created += other.created;
            mirror.delivered += other.delivered;
            mirror.pending += other.pending;
            add_dropped(&mut mirror.dropped, &other.dropped);
        }
    }

    /// Whether nothing is open, waiting or on its way.
    pub(crate) fn is_settled(&self) -> bool {
        let copies = self.mirror.as_ref().map_or(0, |mirror| mirror.pending);
        self.pending == self.spooled && copies == 0
    }

    /// `{"created": n, "delivered": n, "pending": n, "dropped": {reason: n}, "ignored": n,
    /// "abandoned": n, "redaction_failed": n, "odd_2xx": n}`; with a spool also `"spooled": n, "spool_degraded": 0 or 1,
    /// "recovered": {"adopted": n, "delivered": n, "pending": n, "dropped": n}`; with dual export also
    /// `"mirror": {"created": n, "delivered": n, "pending": n, "dropped": {reason: n}}`.
    pub fn to_json(&self) -> String {
        let mut json = serde_json::json!({
            "created": self.created,
            "delivered": self.delivered,
            "pending": self.pending,
            "dropped": reasons(&self.dropped),
            "ignored": self.ignored,
            "abandoned": self.abandoned,
            "redaction_failed": self.redaction_failed,
            "odd_2xx": self.odd_2xx,
        });
        if let Some(recovered) = &self.recovered {
            json["spooled"] = self.spooled.into();
            json["spool_degraded"] = u64::from(self.spool_degraded).into();
            json["recovered"] = serde_json::json!({
                "adopted": recovered.adopted,
                "delivered": recovered.delivered,
                "pending": recovered.pending,
                "dropped": recovered.dropped,
            });
        }
        if let Some(mirror) = &self.mirror {
            json["mirror"] = serde_json::json!({
                "created": mirror.created,
                "delivered": mirror.delivered,
                "pending": mirror.pending,
                "dropped": reasons(&mirror.dropped),
            });
        }
        json.to_string()
    }

    /// Spans given up for any reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().map(|(_, spans)| spans).sum()
    }
}

fn add_dropped(sums: &mut Vec<(&'static str, u64)>, others: &[(&'static str, u64)]) {
    for (reason, spans) in others {
        match sums.iter_mut().find(|(name, _)| name == reason) {
            Some(entry) => entry.1 += spans,
            None => sums.push((reason, *spans)),
        }
    }
}

fn reasons(dropped: &[(&'static str, u64)]) -> serde_json::Map<String, serde_json::Value> {
    let dropped = dropped.iter();
    dropped
        .map(|(reason, spans)| ((*reason).to_owned(), (*spans).into()))
        .collect()
}
