//! Locks: the standard library's without poisoning for what is rarely taken, and a spin lock for what
//! every span takes.
//!
//! Not parking_lot's: its waiters meet in one table of the process, whose locks a thread of the parent
//! may hold at the moment of a fork, and no fresh state of ours would reach it. A panic under one of
//! these locks is caught at the boundary and leaves counters and buffers that are valid as they are.

pub(crate) use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

pub(crate) use spin::mutex::SpinMutexGuard as SpinGuard;

#[derive(Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Mutex(std::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
pub(crate) struct Condvar(std::sync::Condvar);

impl Condvar {
    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Waits until `done` holds or the deadline has passed.
    pub(crate) fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Instant,
        mut done: impl FnMut(&T) -> bool,
    ) -> MutexGuard<'a, T> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.0
            .wait_timeout_while(guard, left, |value| !done(value))
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }
}

/// A lock that costs one atomic operation: it is released by a plain store. For data of one span or one
/// thread, which others hardly ever want at the same moment; who meets a holder soon gives up the CPU.
#[derive(Default)]
pub(crate) struct Spin<T>(spin::mutex::SpinMutex<T>);

impl<T> Spin<T> {
    #[inline]
    pub(crate) fn lock(&self) -> SpinGuard<'_, T> {
        match self.0.try_lock() {
            Some(guard) => guard,
            None => self.wait(),
        }
    }

    #[cold]
    fn wait(&self) -> SpinGuard<'_, T> {
        const SPINS: u32 = 64;
        const YIELDS: u32 = 128;
        let mut attempts = 0u32;
        loop {
            match attempts {
                0..SPINS => std::hint::spin_loop(),
                SPINS..YIELDS => std::thread::yield_now(),
                // The holder copies something large, or is a thread of lower priority.
                _ => std::thread::sleep(Duration::from_micros(50)),
            }
            attempts = attempts.saturating_add(1);
            if let Some(guard) = self.0.try_lock() {
                return guard;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spinning_excludes() {
        let counter = Spin::<u64>::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..20_000).for_each(|_| *counter.lock() += 1));
            }
        });
        assert_eq!(*counter.lock(), 80_000);
    }
}
