//! What remains of tracers that were replaced: their counters, and what a test may still ask for.

use std::collections::BTreeMap;
use std::{iter, process};

use mlflow_trace_core::{Stats, Tracer};

/// Counters of several tracers, in spans; what is pending is never past.
#[derive(Clone, Default)]
pub(crate) struct Totals {
    pub(crate) created: u64,
    pub(crate) delivered: u64,
    pub(crate) dropped: BTreeMap<&'static str, u64>,
    /// Of the whole process already.
    pub(crate) ignored: u64,
}

impl Totals {
    pub(crate) const fn new() -> Self {
        Totals {
            created: 0,
            delivered: 0,
            dropped: BTreeMap::new(),
            ignored: 0,
        }
    }

    pub(crate) fn add(&mut self, stats: Stats) {
        self.created += stats.created;
        self.delivered += stats.delivered;
        self.ignored = self.ignored.max(stats.ignored);
        for (reason, spans) in stats.dropped {
            *self.dropped.entry(reason).or_default() += spans;
        }
    }
}

/// The tracers that this process has let go of.
pub(crate) struct Past {
    /// A forked child begins without a past.
    process: u32,
    totals: Totals,
    /// What the memory exporter received.
    pub(crate) traces: Vec<String>,
}

impl Past {
    pub(crate) const fn new() -> Self {
        Past {
            process: 0,
            totals: Totals::new(),
            traces: Vec::new(),
        }
    }

    /// Adds a tracer that has nothing pending.
    pub(crate) fn add(&mut self, tracer: &Tracer) {
        if self.process != process::id() {
            *self = Past::new();
            self.process = process::id();
        }
        self.totals.add(tracer.stats());
        self.traces
            .extend(iter::from_fn(|| tracer.next_memory_trace()));
    }

    pub(crate) fn totals(&self) -> Totals {
        match self.process == process::id() {
            true => self.totals.clone(),
            false => Totals::new(),
        }
    }
}
