//! From a finished trace to the exporter: queue, worker thread, statistics, fork generations.

pub(crate) mod fork;
pub(crate) mod mirror;
pub(crate) mod outbox;
pub(crate) mod queue;
pub(crate) mod room;
pub(crate) mod stats;
mod sweep;
pub(crate) mod worker;
