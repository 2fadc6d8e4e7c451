//! The native half of the npm package `mlflow-trace`.
//!
//! JavaScript encodes spans and hands them over in batches (`drain`); there is no call per span.
//! Every function may be called from any thread of Node. Panics become JavaScript errors.

mod engine;
mod error;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use napi::bindgen_prelude::{AsyncTask, Uint8ArraySlice};
use napi::{Env, Status, Task};
use napi_derive::napi;

use crate::engine::PROCESS;
use crate::error::Result;

/// (Re)creates the process-wide tracer from the environment and then these options.
///
/// Throws with `code` `ERR_MLFLOW_TRACE_INVALID_CONFIG` and names the option; the tracer stays then.
#[napi(catch_unwind)]
pub fn configure(options: HashMap<String, String>) -> Result<()> {
    engine::configure(&options).map_err(error::to_napi)
}

/// Takes the frames in the first `length` bytes. Bad frames are counted and skipped.
#[napi(catch_unwind)]
pub fn drain(buffer: Uint8ArraySlice, length: u32) {
    let bytes: &[u8] = &buffer;
    engine::drain(bytes.get(..length as usize).unwrap_or(bytes));
}

/// Waits on the pool of libuv; resolves with the spans that are still pending.
#[napi]
pub fn flush(timeout_ms: u32) -> AsyncTask<Flush> {
    AsyncTask::new(Flush(milliseconds(timeout_ms)))
}

/// As `flush`, on this thread.
#[napi(catch_unwind)]
pub fn flush_sync(timeout_ms: u32) -> i64 {
    to_count(PROCESS.flush(milliseconds(timeout_ms)))
}

/// Ends recording and delivers what has ended; returns the spans that are still pending.
#[napi(catch_unwind)]
pub fn shutdown_sync(timeout_ms: u32) -> i64 {
    to_count(PROCESS.shutdown(milliseconds(timeout_ms)))
}

/// `{"created":n,"delivered":n,"pending":n,"dropped":{reason:n}}`
#[napi(catch_unwind)]
pub fn stats() -> String {
    PROCESS.stats().to_json()
}

/// Messages of the engine about itself since the last call, oldest first.
#[napi(catch_unwind)]
pub fn diagnostics() -> Vec<String> {
    engine::diagnostics()
}

/// Takes what the exporter `memory` received, for tests: a JSON text per trace.
#[napi(catch_unwind)]
pub fn memory_traces() -> Vec<String> {
    engine::memory_traces()
}

/// Version of the engine.
#[napi(catch_unwind)]
pub fn version() -> String {
    mlflow_trace_core::VERSION.to_owned()
}

/// A wait away from JavaScript's thread.
pub struct Flush(Duration);

impl Task for Flush {
    type Output = u64;
    type JsValue = i64;

    fn compute(&mut self) -> napi::Result<u64> {
        let timeout = self.0;
        catch_unwind(AssertUnwindSafe(|| PROCESS.flush(timeout)))
            .map_err(|_| napi::Error::new(Status::GenericFailure, "the engine panicked in flush"))
    }

    fn resolve(&mut self, _: Env, pending: u64) -> napi::Result<i64> {
        Ok(to_count(pending))
    }
}

fn milliseconds(count: u32) -> Duration {
    Duration::from_millis(u64::from(count))
}

fn to_count(spans: u64) -> i64 {
    i64::try_from(spans).unwrap_or(i64::MAX)
}
