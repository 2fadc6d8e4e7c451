//! Locks: the standard library's without poisoning for what is rarely taken, and a spin lock for what
//! every span takes.
//!
//! Not parking_lot's: its waiters meet in one table of the process, whose locks a thread of the parent
//! may hold at the moment of a fork, and no fresh state of ours would reach it. A panic under one of
//! these locks is caught at the boundary and leaves counters and buffers that are valid as they are.

use std::sync::PoisonError;
use std::time::Instant;

use crate::sync::{self, SpinMutex};
pub(crate) use crate::sync::{MutexGuard, SpinMutexGuard as SpinGuard};

#[derive(Default)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Mutex(sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
pub(crate) struct Condvar(sync::Condvar);

impl Condvar {
    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Waits until `done` holds or the deadline has passed.
    pub(crate) fn wait_until<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        deadline: Instant,
        mut done: impl FnMut(&T) -> bool,
    ) -> MutexGuard<'a, T> {
        while !done(&guard) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.0.wait_timeout(guard, left);
            guard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        guard
    }
}

/// A lock that costs one atomic operation: it is released by a plain store. For data of one span or one
/// thread, which others hardly ever want at the same moment; who meets a holder soon gives up the CPU.
#[derive(Default)]
pub(crate) struct Spin<T>(SpinMutex<T>);

impl<T> Spin<T> {
    #[inline]
    pub(crate) fn lock(&self) -> SpinGuard<'_, T> {
        loop {
            if let Some(guard) = self.lock_while(|| true) {
                return guard;
            }
        }
    }

    /// Locks, unless it turns out while somebody else has the lock that it is not `wanted` any more.
    #[inline]
    pub(crate) fn lock_while(&self, wanted: impl Fn() -> bool) -> Option<SpinGuard<'_, T>> {
        self.0.try_lock().or_else(|| self.wait(wanted))
    }

    #[cold]
    fn wait(&self, wanted: impl Fn() -> bool) -> Option<SpinGuard<'_, T>> {
        let mut attempts = 0u32;
        while wanted() {
            sync::relax(&self.0, attempts);
            attempts = attempts.saturating_add(1);
            let guard = self.0.try_lock();
            if guard.is_some() {
                return guard;
            }
        }
        None
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
