//! One slot, whatever lies in it: which handles are valid, and who may touch the content.

use std::sync::atomic::Ordering;

use crate::lock::{Spin, SpinGuard};
use crate::sync::AtomicU32;

#[derive(Default)]
pub(super) struct Place<T> {
    /// Odd while a span lives in the place, even while none does; each start and each end adds one. A
    /// handle never holds an even one, so the next span of a free place cannot be guessed. Changes only
    /// under the lock.
    generation: AtomicU32,
    /// The fork generation that the content belongs to. Checked before the lock: a lock taken by
    /// another thread of the parent would never be released in a child.
    fork: AtomicU32,
    content: Spin<T>,
}

impl<T> Place<T> {
    /// Locks a place that is free, for its new owner.
    #[inline]
    pub(super) fn claim(&self, fork: u32) -> Guard<'_, T> {
        self.fork.store(fork, Ordering::Relaxed);
        Guard {
            place: self,
            content: self.content.lock(),
        }
    }

    /// Locks the place of the span of this generation; `None` when it has ended or never lived.
    #[inline]
    pub(super) fn lock(&self, generation: u32, fork: u32) -> Option<Guard<'_, T>> {
        if generation.is_multiple_of(2)
            || self.generation.load(Ordering::Acquire) != generation
            || !self.is_of(fork)
        {
            return None;
        }
        let guard = Guard {
            place: self,
            content: self.content.lock(),
        };
        // It may have ended while this thread waited.
        (guard.generation() == generation).then_some(guard)
    }

    /// Locks the place for what else may lie in it; `None` when it turns out while somebody else has the lock
    /// that it is not `wanted` any more. To be asked by those who hold another place: what they are
    /// looking for may have gone, and who is here now may be waiting for them.
    #[inline]
    pub(super) fn enter(&self, fork: u32, wanted: impl Fn() -> bool) -> Option<Guard<'_, T>> {
        if !self.is_of(fork) {
            return None;
        }
        let content = self.content.lock_while(wanted)?;
        Some(Guard {
            place: self,
            content,
        })
    }

    /// The generation at this moment.
    pub(super) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    #[inline]
    fn is_of(&self, fork: u32) -> bool {
        self.fork.load(Ordering::Relaxed) == fork
    }
}

/// A place, locked.
pub(super) struct Guard<'a, T> {
    place: &'a Place<T>,
    content: SpinGuard<'a, T>,
}

impl<T> Guard<'_, T> {
    #[inline]
    fn generation(&self) -> u32 {
        self.place.generation.load(Ordering::Relaxed)
    }

    /// Whether a span lives here.
    #[inline]
    pub(super) fn is_live(&self) -> bool {
        !self.generation().is_multiple_of(2)
    }

    /// Begins or ends the life of a span here; the new generation.
    #[inline]
    pub(super) fn advance(&self) -> u32 {
        let generation = self.generation().wrapping_add(1);
        self.place.generation.store(generation, Ordering::Release);
        generation
    }
}

impl<T> std::ops::Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.content
    }
}

impl<T> std::ops::DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.content
    }
}
