//! The one tracer of the process, which all of Node's threads share.

use std::collections::HashMap;
use std::iter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use mlflow_trace_core::{Decision, HostRules, Process, Result, TraceId, Tracer};

use crate::intake::Intake;
use crate::settings::Settings;

static PROCESS: Process = Process::new();
static INTAKE: Intake = Intake::new(take);

/// Counts the settings, so that other threads notice new ones.
static NUMBER: AtomicU32 = AtomicU32::new(0);
/// The thread that configured has processors, which run there and nowhere else.
static HAS_PROCESSORS: AtomicBool = AtomicBool::new(false);
/// The last configuration failed where it was to take content out.
static WITHHOLDS_CONTENT: AtomicBool = AtomicBool::new(false);

/// The tracers of this process, once they know of all that was handed over.
pub(crate) fn process() -> &'static Process {
    INTAKE.settle();
    &PROCESS
}

/// Makes a tracer of the environment and `options`, which replaces the one before it.
pub(crate) fn configure(options: &HashMap<String, String>, has_processors: bool) -> Result<()> {
    let options: Vec<(&str, &str)> = options
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    process().init(&options)?;
    HAS_PROCESSORS.store(has_processors, Ordering::Release);
    WITHHOLDS_CONTENT.store(false, Ordering::Release);
    NUMBER.fetch_add(1, Ordering::Release);
    Ok(())
}

/// Has every thread withhold content until it is configured anew.
pub(crate) fn withhold_content() {
    WITHHOLDS_CONTENT.store(true, Ordering::Release);
    NUMBER.fetch_add(1, Ordering::Release);
}

/// The settings in force.
pub(crate) fn settings() -> Settings {
    // First: settings that change meanwhile are read once more then.
    let number = NUMBER.load(Ordering::Acquire);
    let rules = with_tracer(Tracer::host_rules).unwrap_or(HostRules {
        disabled: true,
        takes_all: false,
        keeps_errors: false,
        max_events: 0,
        writes_through: false,
    });
    Settings {
        number,
        disabled: rules.disabled,
        takes_all: rules.takes_all,
        keeps_errors: rules.keeps_errors,
        has_processors: HAS_PROCESSORS.load(Ordering::Acquire),
        withholds_content: WITHHOLDS_CONTENT.load(Ordering::Acquire),
        max_events: rules.max_events,
        writes_through: rules.writes_through,
    }
}

/// What becomes of a trace; `None` for a ratio is the configured one.
pub(crate) fn sample(id: TraceId, ratio: Option<f64>) -> Decision {
    // A sampler that looks at names cannot be set from Node.
    with_tracer(|tracer| tracer.samples(id, "", ratio)).unwrap_or(Decision::Drop)
}

/// Whether an open trace is recorded for its errors.
pub(crate) fn keeps_errors_of(id: TraceId) -> bool {
    INTAKE.settle();
    with_tracer(|tracer| tracer.keeps_errors_of(id)).unwrap_or(false)
}

/// Takes frames of encoded spans, soon or at once; answers the number of the settings in force.
pub(crate) fn drain(frames: &[u8]) -> u32 {
    let rules = with_tracer(Tracer::host_rules);
    if rules.is_some_and(|rules| rules.writes_through || rules.keeps_errors) {
        INTAKE.settle();
        take(frames);
    } else {
        INTAKE.bring(frames);
    }
    NUMBER.load(Ordering::Acquire)
}

fn take(frames: &[u8]) {
    with_tracer(|tracer| {
        if catch_unwind(AssertUnwindSafe(|| tracer.drain(frames))).is_err() {
            let bytes = frames.len();
            tracer.note(format!(
                "{bytes} bytes of spans were lost: the engine panicked"
            ));
        }
    });
}

fn with_tracer<T>(run: impl FnOnce(&Tracer) -> T) -> Option<T> {
    let tracer = PROCESS.tracer().ok()?;
    tracer.as_deref().map(run)
}

/// Takes all messages that there are so far.
pub(crate) fn diagnostics() -> Vec<String> {
    iter::from_fn(|| PROCESS.next_diagnostic())
        .map(|diagnostic| diagnostic.message)
        .collect()
}

/// The tracking URI as it is in force; empty without one.
pub(crate) fn tracking_server() -> Result<String> {
    PROCESS.tracking_server()
}

/// Takes what the memory exporter received.
pub(crate) fn memory_traces() -> Vec<String> {
    let process = process();
    iter::from_fn(|| process.next_memory_trace()).collect()
}
