//! The standard library's lock and condition variable, without poisoning.
//!
//! Not parking_lot's: its waiters meet in one table of the process, whose locks a thread of the parent
//! may hold at the moment of a fork, and no fresh state of ours would reach it. A panic under one of
//! these locks is caught at the boundary and leaves counters and buffers that are valid as they are.

pub(crate) use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Instant;

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
