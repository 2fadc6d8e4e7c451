//! The C ABI over `mlflow-trace-core`; `include/mlflow_trace.h` is generated from this crate.
//!
//! The modules below the boundary helpers are the groups of the header, in its order. Three rules hold for
//! every exported function and are tested: its body is one [`guard::guard`] or [`guard::guard_or`], its
//! documentation has the four labelled lines, and its name stands in `abi/symbols.txt`.
//!
//! Safety, once for the whole crate: a pointer from C is checked for null and alignment before it becomes a
//! shared reference, a length before it becomes a slice, and nothing ever becomes `&mut`. What cannot be
//! checked (that memory behind a non-null pointer is alive, initialised and left alone during the call) is the
//! caller's part. The header's introduction asks it of callers; below it is "the header's contract".

#![deny(clippy::undocumented_unsafe_blocks)]
#![allow(unsafe_code, reason = "this crate is the boundary to C")]
#![allow(
    non_camel_case_types,
    reason = "items carry their C names, so that no table of renames exists"
)]
#![allow(
    clippy::missing_safety_doc,
    reason = "the prose is for C; what callers owe is said once, above and in the header"
)]

mod buffer;
mod counters;
mod entered;
mod fields;
mod guard;
mod handle;
mod layout;

pub mod version;

pub mod status;

pub mod text;

pub mod error;

pub mod config;

pub mod tracer;

pub mod stats;

pub mod diagnostics;

pub mod attribute;

pub mod span;

pub mod record;

pub mod current;

pub mod attachment;

pub mod trace;

pub mod propagation;

pub mod processor;

pub mod otlp;

pub mod client;

pub mod dialect;

pub mod panic;
