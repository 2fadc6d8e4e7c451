//! From a finished trace to the exporter: queue, worker thread, statistics, fork generations.

pub(crate) mod fork;
pub(crate) mod outbox;
pub(crate) mod queue;
mod signals;
pub(crate) mod stats;
mod sweep;
pub(crate) mod worker;
