//! Wall-clock starts and monotonic durations, in nanoseconds.
//!
//! A span's start is read from the monotonic clock and placed on the wall clock by an anchor that
//! each thread renews every second; its end is the start plus a monotonic difference. So
//! `end >= start` holds whatever the wall clock does in between.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

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
    pub(crate) fn plus_elapsed(self, monotonic: u64) -> u64 {
        self.unix
            .saturating_add(monotonic.saturating_sub(self.monotonic))
    }
}

thread_local! {
    static ANCHOR: Cell<Moment> = const { Cell::new(Moment { unix: 0, monotonic: 0 }) };
}

/// Fixes the origin of the monotonic clock. Before the first span: a fork must not meet it half done.
pub(crate) fn install() {
    monotonic_nanos();
}

/// Nanoseconds of the monotonic clock since this process first asked.
pub(crate) fn monotonic_nanos() -> u64 {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    // Never 0, which marks an anchor that was not set.
    ORIGIN.get_or_init(Instant::now).elapsed().as_nanos() as u64 + 1
}

/// Nanoseconds since the Unix epoch; 0 for a clock set before it.
pub(crate) fn unix_nanos() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

/// Now, on both clocks.
pub(crate) fn now() -> Moment {
    let monotonic = monotonic_nanos();
    let anchor = ANCHOR.get();
    if anchor.monotonic != 0 && monotonic.saturating_sub(anchor.monotonic) < ANCHOR_AGE {
        return Moment {
            unix: anchor.plus_elapsed(monotonic),
            monotonic,
        };
    }
    let moment = Moment {
        unix: unix_nanos(),
        monotonic,
    };
    ANCHOR.set(moment);
    moment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_does_not_run_backwards() {
        let start = now();
        let end = start.plus_elapsed(monotonic_nanos());
        assert!(end >= start.unix);
        assert!(unix_nanos().abs_diff(end) < 1_000_000_000);
    }
}
