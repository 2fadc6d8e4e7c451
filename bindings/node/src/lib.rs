//! The native half of the npm package `mlflow-trace`.
//!
//! JavaScript encodes spans and hands them over in batches (`drain`); there is no call per span.
//! Every function may be called from any thread of Node. Panics become JavaScript errors.

mod client;
pub mod dialect;
mod engine;
mod error;
mod intake;
mod otel;
mod settings;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use napi::bindgen_prelude::{AsyncTask, Object, Uint8ArraySlice};
use napi::{Env, Status, Task};
use napi_derive::napi;

use crate::engine::process;
use crate::error::Result;
use crate::settings::Settings;

/// (Re)creates the process-wide tracer from the environment and then these options.
///
/// Throws with `code` `ERR_MLFLOW_TRACE_INVALID_CONFIG` and names the option; the tracer stays then.
#[napi(catch_unwind)]
pub fn configure(options: HashMap<String, String>, has_processors: bool) -> Result<()> {
    engine::configure(&options, has_processors).map_err(error::to_napi)
}

/// Has every thread withhold content until `configure` succeeds.
#[napi(catch_unwind)]
pub fn withhold_content() {
    engine::withhold_content();
}

/// Runs the command `mlflow-trace` with these arguments, without the program's name; its exit code.
#[napi(catch_unwind)]
pub fn run_command(arguments: Vec<String>) -> u32 {
    let name = "mlflow-trace".to_owned();
    let arguments = std::iter::once(name).chain(arguments);
    u32::from(mlflow_trace_cli::run(arguments.map(Into::into)))
}

/// The settings in force.
#[napi(catch_unwind)]
pub fn settings() -> Settings {
    engine::settings()
}

/// What becomes of a trace: 0 it is not recorded, 1 it is recorded for its errors, 2 it is recorded. A `ratio`
/// that is not NaN overrides the configured one.
#[napi(catch_unwind)]
pub fn sample(id0: i32, id1: i32, id2: i32, id3: i32, ratio: f64) -> u32 {
    let ratio = Some(ratio).filter(|ratio| !ratio.is_nan());
    let id = settings::trace_id([id0, id1, id2, id3]);
    settings::to_number(engine::sample(id, ratio))
}

/// Whether an open trace is recorded for its errors.
#[napi(catch_unwind)]
pub fn keeps_errors_of(id0: i32, id1: i32, id2: i32, id3: i32) -> bool {
    engine::keeps_errors_of(settings::trace_id([id0, id1, id2, id3]))
}

/// Takes the frames in the first `length` bytes; answers the number of the settings in force. Bad frames are
/// counted and skipped.
#[napi(catch_unwind)]
pub fn drain(buffer: Uint8ArraySlice, length: u32) -> u32 {
    let bytes: &[u8] = &buffer;
    engine::drain(bytes.get(..length as usize).unwrap_or(bytes))
}

/// Waits on the pool of libuv; resolves with the spans that are still pending.
#[napi]
pub fn flush(timeout_ms: u32) -> AsyncTask<Flush> {
    AsyncTask::new(Flush(milliseconds(timeout_ms)))
}

/// As `flush`, on this thread.
#[napi(catch_unwind)]
pub fn flush_sync(timeout_ms: u32) -> i64 {
    to_count(process().flush(milliseconds(timeout_ms)))
}

/// Ends recording and delivers what has ended; returns the spans that are still pending.
#[napi(catch_unwind)]
pub fn shutdown_sync(timeout_ms: u32) -> i64 {
    to_count(process().shutdown(milliseconds(timeout_ms)))
}

/// `{"created":n,"delivered":n,"pending":n,"dropped":{reason:n},"ignored":n,"abandoned":n,"redaction_failed":n,"odd_2xx":n}`
#[napi(catch_unwind)]
pub fn stats() -> String {
    process().stats().to_json()
}

/// How delivery goes: `Health::to_json` of the engine.
#[napi(catch_unwind)]
pub fn health() -> String {
    process().health().to_json()
}

/// The tracking URI as it is in force, without credentials; empty without one.
#[napi(catch_unwind)]
pub fn tracking_server() -> Result<String> {
    engine::tracking_server().map_err(error::to_napi)
}

/// Calls a method of the client with `options` instead of what is configured. `arguments` and the result are JSON.
/// The promise is always resolved, with one or the other: a result, or why there is none.
#[napi(catch_unwind)]
pub fn call(
    env: &Env,
    method: String,
    arguments: String,
    options: HashMap<String, String>,
) -> napi::Result<Object<'_>> {
    client::call(env, method, arguments, options)
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
        catch_unwind(AssertUnwindSafe(|| process().flush(timeout)))
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
