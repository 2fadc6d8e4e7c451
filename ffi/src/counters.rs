//! What the boundary itself counts, for the whole process.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
pub(crate) struct Counter(AtomicU64);

/// Panics caught.
pub(crate) static PANICS: Counter = Counter(AtomicU64::new(0));

/// Values in which bytes that are not UTF-8 were replaced.
pub(crate) static INVALID_UTF8: Counter = Counter(AtomicU64::new(0));

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
