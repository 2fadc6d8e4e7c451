//! The spool on simulated and real disks.
//!
//! `PROPTEST_CASES` is how many programs run against the model (256), `SPOOL_MUTATIONS` how many damaged segments are
//! read (20,000). `make spool-model` runs ten thousand and a million.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(unix)]

mod adoption;
mod bytes;
mod child;
mod damage;
mod dead;
mod disk;
mod faults;
mod limits;
mod memory;
mod model;
mod processes;
mod program;
mod sim;
mod support;
