//! From a finished trace to the exporter: queue, worker thread, dispatcher, statistics, fork generations.

mod circuit;
mod dispatch;
pub(crate) mod fork;
pub(crate) mod health;
mod lane;
mod ledger;
pub(crate) mod outbox;
pub(crate) mod queue;
pub(crate) mod stats;
mod sweep;
pub(crate) mod worker;
