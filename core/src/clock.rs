//! Wall-clock starts and monotonic durations, in nanoseconds.
//!
//! A span's start is read from the monotonic clock and placed on the wall clock by an anchor that
//! each thread renews every second; its end is the start plus a monotonic difference. So
//! `end >= start` holds whatever the wall clock does in between.
//!
//! The monotonic clock is the system's until a process has recorded enough to make it worth
//! [calibrating](calibrate) the processor's counter, which costs less than half as much to read.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// The latest time that a server can store, in nanoseconds since the Unix epoch.
pub(crate) const LATEST: u64 = i64::MAX as u64;

const ANCHOR_AGE: u64 = Duration::from_secs(1).as_nanos() as u64;

/// A moment on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Nanoseconds since the Unix epoch.
    pub(crate) unix: u64,
    /// Nanoseconds since an arbitrary point of this process.
    pub(crate) monotonic: u64,
}

impl Moment {
    /// The wall-clock time of a later reading of the monotonic clock.
    #[inline]
    pub(crate) fn plus_elapsed(self, monotonic: u64) -> u64 {
        self.unix
            .saturating_add(monotonic.saturating_sub(self.monotonic))
    }
}

/// The processor's counter, scaled to nanoseconds of the system's monotonic clock.
struct Counter {
    clock: quanta::Clock,
    /// What the counter and our own monotonic clock showed at the same moment.
    raw: u64,
    nanos: u64,
}

static COUNTER: OnceLock<Counter> = OnceLock::new();

/// Fixes the origin of the monotonic clock. Before the first span: a fork must not meet it half done.
pub(crate) fn install() {
    system_nanos();
}

/// Nanoseconds of the system's monotonic clock since this process first asked; never 0.
fn system_nanos() -> u64 {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    ORIGIN.get_or_init(Instant::now).elapsed().as_nanos() as u64 + 1
}

/// Nanoseconds since this process first asked; never 0.
#[inline]
pub(crate) fn monotonic_nanos() -> u64 {
    match COUNTER.get() {
        Some(counter) => {
            let since = counter
                .clock
                .delta_as_nanos(counter.raw, counter.clock.raw());
            counter.nanos + since
        }
        None => system_nanos(),
    }
}

/// Starts a thread, once in a process image, that measures the processor's counter against the system's
/// clock for at most 200 ms; from then on it is read instead. Nothing changes where there is no
/// counter that runs evenly, or no thread to be had.
pub(crate) fn calibrate() {
    static STARTED: AtomicBool = AtomicBool::new(false);
    if STARTED.swap(true, Ordering::Relaxed) {
        return;
    }
    let measure = || {
        let clock = quanta::Clock::new();
        let (raw, nanos) = (clock.raw(), system_nanos());
        // Only this thread sets it.
        let _ = COUNTER.set(Counter { clock, raw, nanos });
    };
    // Without it, the system's clock remains.
    let _ = std::thread::Builder::new()
        .name("mlflow-clock".into())
        .spawn(measure);
}

/// Nanoseconds since the Unix epoch; 0 for a clock set before it.
pub(crate) fn unix_nanos() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

/// Where the wall clock is on the monotonic one, as a thread last saw it.
#[derive(Default)]
pub(crate) struct Anchor(Moment);

impl Anchor {
    /// Now, on both clocks.
    #[inline]
    pub(crate) fn now(&mut self) -> Moment {
        let monotonic = monotonic_nanos();
        let age = monotonic.wrapping_sub(self.0.monotonic);
        if self.0.monotonic != 0 && age < ANCHOR_AGE {
            return Moment {
                unix: self.0.plus_elapsed(monotonic),
                monotonic,
            };
        }
        self.0 = Moment {
            unix: unix_nanos(),
            monotonic,
        };
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_does_not_run_backwards() {
        let start = Anchor::default().now();
        let end = start.plus_elapsed(monotonic_nanos());
        assert!(end >= start.unix);
        assert!(unix_nanos().abs_diff(end) < 1_000_000_000);
    }

    #[test]
    fn the_counter_continues_the_system_clock() {
        calibrate();
        let patience = Instant::now() + Duration::from_secs(10);
        while COUNTER.get().is_none() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(5));
        }
        let (before, counted, after) = (system_nanos(), monotonic_nanos(), system_nanos());
        let slack = Duration::from_millis(5).as_nanos() as u64;
        assert!(before < counted + slack && counted < after + slack);
    }
}
