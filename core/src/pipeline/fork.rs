//! Fork without the host's help.
//!
//! The child of a fork inherits memory whose locks may be held by threads that do not exist there.
//! So the child handler only bumps a number and closes the parent's spool files, and whatever holds shared state asks
//! for it through a [`ForkCell`], which makes fresh state in a new generation and leaks the old one.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

use crate::spool;

static GENERATION: AtomicU32 = AtomicU32::new(1);

/// How often this process is a fork of the one that loaded the library, plus one.
#[inline]
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

extern "C" fn child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    spool::close_inherited();
}

/// Registers the child handler, once per process image.
pub(crate) fn install() {
    // No `Once`: a fork in the middle of one would leave it locked in the child.
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    if !INSTALLED.swap(true, Ordering::AcqRel) {
        // SAFETY: `child` only increments an atomic and closes files, which is async-signal-safe, and stays
        // mapped: the library is linked so that it is never unloaded.
        unsafe { libc::pthread_atfork(None, None, Some(child)) };
    }
}

struct Entry<T> {
    generation: u32,
    value: T,
}

/// A value that every fork generation makes for itself.
pub(crate) struct ForkCell<T> {
    entry: AtomicPtr<Entry<T>>,
}

impl<T: Send + Sync> ForkCell<T> {
    pub(crate) const fn new() -> Self {
        ForkCell {
            entry: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    /// This generation's value, made by `init` on first use. Threads may race to make it; one wins.
    pub(crate) fn get_or_init(&self, init: impl Fn() -> T) -> &T {
        let generation = generation();
        loop {
            let current = self.entry.load(Ordering::Acquire);
            // SAFETY: a non-null entry came from `Box::into_raw` below. It is freed only by `drop`,
            // which has exclusive access; replaced entries are leaked.
            if let Some(entry) = unsafe { current.as_ref() }
                && entry.generation == generation
            {
                return &entry.value;
            }
            let fresh = Box::into_raw(Box::new(Entry {
                generation,
                value: init(),
            }));
            if self
                .entry
                .compare_exchange(current, fresh, Ordering::AcqRel, Ordering::Acquire)
                .is_err()
            {
                // SAFETY: `fresh` was never shared.
                drop(unsafe { Box::from_raw(fresh) });
            }
        }
    }
}

impl<T> Drop for ForkCell<T> {
    fn drop(&mut self) {
        let current = *self.entry.get_mut();
        // SAFETY: as in `get_or_init`; nobody else can hold a reference now.
        if let Some(entry) = unsafe { current.as_ref() }
            && entry.generation == generation()
        {
            // SAFETY: the pointer came from `Box::into_raw` and is not used again. A value of
            // another generation is leaked: dropping it could wait for a lock that nobody holds.
            drop(unsafe { Box::from_raw(current) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_for_all_threads() {
        let cell = ForkCell::new();
        let made = AtomicU32::new(0);
        let value = || made.fetch_add(1, Ordering::Relaxed);
        let seen: Vec<u32> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| *cell.get_or_init(value)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(seen.iter().all(|value| *value == seen[0]), "{seen:?}");
    }
}
