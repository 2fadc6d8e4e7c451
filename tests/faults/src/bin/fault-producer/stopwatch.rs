//! What a call costs its caller.
#![allow(unsafe_code, reason = "the system's account of a thread")]

use std::time::{Duration, Instant};

/// Takes the time of a call that the caller feels: all of it when the call waited for something, and otherwise only
/// what it had the processor for. On a busy machine others get the processor in the middle of it, for a few
/// milliseconds each time, and that is nobody's wait.
pub(crate) struct Stopwatch {
    waits: i64,
    processor: Duration,
    wall: Instant,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Stopwatch {
            waits: waits(),
            processor: processor(),
            wall: Instant::now(),
        }
    }

    /// In nanoseconds.
    pub(crate) fn stop(self) -> u64 {
        let wall = self.wall.elapsed();
        let processor = processor().saturating_sub(self.processor);
        let felt = match waits() == self.waits {
            true => wall.min(processor),
            false => wall,
        };
        felt.as_nanos() as u64
    }
}

/// How often this thread gave up the processor to wait.
fn waits() -> i64 {
    // SAFETY: zeros are a valid value of this structure of numbers, and it is writable.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &mut usage);
        usage.ru_nvcsw
    }
}

/// What this thread has had of the processor.
fn processor() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is writable.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_counts_whole() {
        let watch = Stopwatch::start();
        std::thread::sleep(Duration::from_millis(30));
        assert!(watch.stop() >= 30_000_000);
    }

    #[test]
    fn what_others_take_of_the_processor_does_not_count() {
        // More threads than processors, so that each is interrupted.
        let threads = 4 * std::thread::available_parallelism().map_or(2, usize::from);
        let busy = |_| {
            std::thread::spawn(|| {
                let (watch, wall) = (Stopwatch::start(), Instant::now());
                while processor() < Duration::from_millis(100) {}
                (watch.stop(), wall.elapsed().as_nanos() as u64)
            })
        };
        let busy: Vec<_> = (0..threads).map(busy).collect();
        let times = busy.into_iter().map(|thread| thread.join().unwrap());
        let (felt, wall) = times.fold((0, 0), |sum, time| (sum.0 + time.0, sum.1 + time.1));
        assert!(felt < wall, "{felt} of {wall}");
    }
}
