//! The same types for loom. What is not loom's own is modelled by what its documentation promises: a spin lock
//! by a mutex, tokio's `Notify` by one permit.

pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard, MutexGuard as SpinMutexGuard};

#[derive(Default)]
pub(crate) struct SpinMutex<T>(Mutex<T>);

impl<T> SpinMutex<T> {
    pub(crate) fn try_lock(&self) -> Option<SpinMutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }
}

/// Waits until the holder is done: threads that only yield to each other are too much for loom.
pub(crate) fn relax<T>(lock: &SpinMutex<T>, _attempts: u32) {
    drop(lock.0.lock().unwrap());
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
