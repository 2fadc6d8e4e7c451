//! A bound on the bytes of open traces, where they have one of their own.

use std::sync::atomic::Ordering;

use crate::sync::AtomicUsize;

pub(crate) struct Allowance {
    /// Bytes in use, and such that are reserved and not used.
    held: AtomicUsize,
    max: usize,
    /// How many are reserved at once.
    share: usize,
}

impl Allowance {
    pub(crate) fn new(max: usize) -> Self {
        Allowance {
            held: AtomicUsize::new(0),
            max,
            share: (max / 64).min(64 * 1024),
        }
    }

    /// Takes at least `bytes` of the limit; `None` when there are none left.
    pub(crate) fn claim(&self, bytes: usize) -> Option<usize> {
        [bytes.max(self.share), bytes].into_iter().find(|wanted| {
            let held = self.held.fetch_add(*wanted, Ordering::Relaxed);
            let fits = held.saturating_add(*wanted) <= self.max;
            if !fits {
                self.held.fetch_sub(*wanted, Ordering::Relaxed);
            }
            fits
        })
    }

    /// Gives bytes of the limit back.
    pub(crate) fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}
