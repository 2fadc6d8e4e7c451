//! The same types for loom. What is not loom's own is modelled by what its documentation promises: a spin lock
//! by a mutex, tokio's `Notify` by one permit.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;

pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};

/// Tries every order of steps in which threads are interrupted so many times in the middle of their work; more
/// finds hardly anything and takes hours. `LOOM_MAX_PREEMPTIONS` sets another number.
pub(crate) fn explore(interruptions: usize, steps: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(interruptions));
    builder.check(steps);
}

/// Who is about to try loom's own lock does not fail when another thread gets it first, but waits, and that a lock is
/// released is no step for loom. So both are marked by a step that orders nothing else: whoever tries comes before
/// or after who releases.
#[derive(Default)]
pub(crate) struct SpinMutex<T> {
    lock: Mutex<T>,
    steps: AtomicUsize,
}

impl<T> SpinMutex<T> {
    pub(crate) fn try_lock(&self) -> Option<SpinMutexGuard<'_, T>> {
        self.steps.fetch_add(1, Ordering::Relaxed);
        Some(SpinMutexGuard {
            content: self.lock.try_lock().ok()?,
            steps: &self.steps,
        })
    }
}

pub(crate) struct SpinMutexGuard<'a, T> {
    content: MutexGuard<'a, T>,
    steps: &'a AtomicUsize,
}

impl<T> Drop for SpinMutexGuard<'_, T> {
    fn drop(&mut self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }
}

impl<T> Deref for SpinMutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.content
    }
}

impl<T> DerefMut for SpinMutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.content
    }
}

/// Waits until the holder is done: threads that only yield to each other are too much for loom.
pub(crate) fn relax<T>(lock: &SpinMutex<T>, _attempts: u32) {
    drop(lock.lock.lock().unwrap());
}

/// Of tokio's: one waiter and `notify_one`, whose permit is kept until somebody waits for it.
pub(crate) struct Notify {
    permit: Mutex<bool>,
    notified: Condvar,
}

impl Notify {
    pub(crate) fn new() -> Self {
        Notify {
            permit: Mutex::new(false),
            notified: Condvar::new(),
        }
    }

    pub(crate) fn notify_one(&self) {
        *self.permit.lock().unwrap() = true;
        self.notified.notify_one();
    }

    /// Takes the permit; whether there was one.
    pub(crate) fn forget(&self) -> bool {
        std::mem::take(&mut *self.permit.lock().unwrap())
    }

    /// Blocks the thread where tokio's would suspend the task.
    pub(crate) async fn notified(&self) {
        let mut permit = self.permit.lock().unwrap();
        while !std::mem::take(&mut *permit) {
            permit = self.notified.wait(permit).unwrap();
        }
    }
}
