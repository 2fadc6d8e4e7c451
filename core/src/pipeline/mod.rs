//! From a finished trace to the exporter: queue, worker thread, dispatcher, statistics, fork generations.

mod allowance;
mod circuit;
pub(crate) mod depot;
mod dispatch;
pub(crate) mod fork;
pub(crate) mod health;
mod lane;
mod ledger;
pub(crate) mod mirror;
pub(crate) mod outbox;
pub(crate) mod queue;
mod recovery;
pub(crate) mod signals;
pub(crate) mod stats;
mod sweep;
pub(crate) mod worker;
