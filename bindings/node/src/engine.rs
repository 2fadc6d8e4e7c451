//! The one tracer of the process, which all of Node's threads share.

use std::collections::HashMap;
use std::iter;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use mlflow_trace_core::{Config, Error, Result, Stats, Tracer};

/// How long a tracer that was replaced may go on delivering.
const RETIREMENT: Duration = Duration::from_secs(30);

static CURRENT: RwLock<Option<Tracer>> = RwLock::new(None);
/// Tracers that were replaced and may not be done; a flush waits for them as well.
static RETIRED: Mutex<Vec<Tracer>> = Mutex::new(Vec::new());

/// Makes a tracer of the environment and `options`, and retires the one before it.
pub(crate) fn configure(options: &HashMap<String, String>) -> Result<()> {
    let mut config = Config::from_env()?;
    for (key, value) in options {
        config.set(key, value)?;
    }
    let tracer = Tracer::new(config)?;
    let replaced = CURRENT
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .replace(tracer);
    if let Some(tracer) = replaced {
        retire(tracer);
    }
    Ok(())
}

/// Lets a tracer deliver what it has without anybody waiting for it.
fn retire(tracer: Tracer) {
    let mut retired = lock_retired();
    retired.retain(|tracer| tracer.stats().pending > 0);
    if tracer.stats().pending == 0 {
        return;
    }
    let worker = tracer.clone();
    let spawned = std::thread::Builder::new()
        .name("mlflow-trace-old".to_owned())
        .spawn(move || worker.shutdown(RETIREMENT));
    // Without a thread the tracer is dropped here, which closes it too, with less time.
    if spawned.is_ok() {
        retired.push(tracer);
    }
}

/// The current tracer; before any `configure` one of the environment, or of the defaults where the
/// environment is malformed: recording must not fail.
pub(crate) fn tracer() -> Option<Tracer> {
    if let Some(tracer) = configured() {
        return Some(tracer);
    }
    let mut current = CURRENT.write().unwrap_or_else(PoisonError::into_inner);
    if current.is_none() {
        *current = Config::from_env()
            .and_then(Tracer::new)
            .or_else(with_defaults)
            .ok();
    }
    current.clone()
}

fn with_defaults(error: Error) -> Result<Tracer> {
    let tracer = Tracer::new(Config::new())?;
    tracer.note(format!("the defaults are used: {error}"));
    Ok(tracer)
}

/// Takes frames of encoded spans.
pub(crate) fn drain(frames: &[u8]) {
    if let Some(tracer) = tracer() {
        tracer.drain(frames);
    }
}

/// Waits for the current tracer and for those before it.
pub(crate) fn flush(timeout: Duration) -> u64 {
    wait(timeout, Tracer::flush)
}

/// Ends recording.
pub(crate) fn shutdown(timeout: Duration) -> u64 {
    wait(timeout, Tracer::shutdown)
}

fn wait(timeout: Duration, until_done: fn(&Tracer, Duration) -> u64) -> u64 {
    let deadline = Instant::now() + timeout;
    let current = configured();
    let pending = current.map_or(0, |tracer| until_done(&tracer, timeout));
    let retired = lock_retired().clone();
    let old: u64 = retired
        .iter()
        .map(|tracer| tracer.shutdown(deadline.saturating_duration_since(Instant::now())))
        .sum();
    lock_retired().retain(|tracer| tracer.stats().pending > 0);
    pending + old
}

/// The counters of the current tracer.
pub(crate) fn stats() -> Stats {
    tracer().map_or_else(Stats::default, |tracer| tracer.stats())
}

/// Takes all messages.
pub(crate) fn diagnostics() -> Vec<String> {
    let retired = lock_retired().clone();
    let current = configured();
    let tracers = retired.iter().chain(&current);
    tracers
        .flat_map(|tracer| iter::from_fn(|| tracer.next_diagnostic()))
        .map(|diagnostic| diagnostic.message)
        .collect()
}

/// Takes what the memory exporter of the current tracer received.
pub(crate) fn memory_traces() -> Vec<String> {
    tracer().map_or_else(Vec::new, |tracer| {
        iter::from_fn(|| tracer.next_memory_trace()).collect()
    })
}

fn configured() -> Option<Tracer> {
    CURRENT
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

// A panic leaves a list of tracers behind that is as good as any.
fn lock_retired() -> MutexGuard<'static, Vec<Tracer>> {
    RETIRED.lock().unwrap_or_else(PoisonError::into_inner)
}
