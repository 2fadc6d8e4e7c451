//! An oracle for exporters: a server that keeps a ledger of what it took on and misbehaves on demand, and the
//! faults that it is used for.
//!
//! | | |
//! |---|---|
//! | [`sink`] | the server; `oracle-sink` is the same as a process, for every language |
//! | `script.rs` | what it can be told to do wrong |
//! | [`ledger`] | what it took on |
//! | [`runner`] | the faults, and a table of what they did |
//! | [`crash`] | processes that are killed at any moment |
//! | [`seal`] | how it knows that a span is what its program recorded |
#![allow(
    clippy::unwrap_used,
    reason = "a test that meets a surprise has to stop, and nobody embeds it"
)]

mod answer;
pub mod client;
mod control;
pub mod crash;
pub mod histogram;
mod http;
pub mod ledger;
mod misbehave;
mod mlflow;
pub mod otlp;
pub mod report;
pub mod runner;
pub mod script;
pub mod seal;
pub mod sink;
mod tls;
