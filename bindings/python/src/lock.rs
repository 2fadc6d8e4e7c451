//! A lock that outlives a panic: what it guards is always whole, so poisoning means nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a mutex.
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
