//! Where live spans are kept: a table of slots that are reused and never freed.
//!
//! A handle is a slot number and the slot's generation at the time, so a stale handle is recognised
//! by two loads and a span costs no allocation once its slot has been used. See
//! `docs/decisions/0001-span-handles.md`.

use std::cell::RefCell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::lock::{Mutex, MutexGuard};

use crate::live::LiveSpan;
use crate::pipeline::fork::{self, ForkCell};

const CHUNK: usize = 64;
/// 16,384 chunks: 1,048,576 live spans in a process.
const CHUNKS: usize = 1 << 14;
/// A thread keeps this many free slots to itself.
const LOCAL_FREE: usize = 64;

static TABLE: [OnceLock<Box<[Slot]>>; CHUNKS] = [const { OnceLock::new() }; CHUNKS];
static CHUNKS_USED: AtomicUsize = AtomicUsize::new(0);
static FREE: ForkCell<Mutex<Vec<u32>>> = ForkCell::new();

struct Slot {
    /// Odd while a span lives in the slot, even while it is free; each start and each end adds one. A
    /// handle never holds an even one, so the next span of a free slot cannot be guessed.
    generation: AtomicU32,
    /// The fork generation that the span belongs to. Checked before the lock: a lock taken by
    /// another thread of the parent would never be released in a child.
    fork: AtomicU32,
    live: Mutex<LiveSpan>,
}

struct LocalFree(Vec<u32>);

impl Drop for LocalFree {
    fn drop(&mut self) {
        free().lock().append(&mut self.0);
    }
}

thread_local! {
    static LOCAL: RefCell<LocalFree> = const { RefCell::new(LocalFree(Vec::new())) };
}

fn free() -> &'static Mutex<Vec<u32>> {
    FREE.get_or_init(Mutex::default)
}

fn slot(index: u32) -> Option<&'static Slot> {
    let index = index as usize;
    TABLE.get(index / CHUNK)?.get()?.get(index % CHUNK)
}

/// A slot number and a generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Handle {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// Takes a free slot and lets `fill` prepare its span; `None` when a million spans are live.
pub(crate) fn allocate(fill: impl FnOnce(&mut LiveSpan)) -> Option<Handle> {
    let index = take_free()?;
    let slot = slot(index)?;
    slot.fork.store(fork::generation(), Ordering::Relaxed);
    let mut live = slot.live.lock();
    fill(&mut live);
    Some(Handle {
        index,
        generation: slot
            .generation
            .fetch_add(1, Ordering::Release)
            .wrapping_add(1),
    })
}

fn take_free() -> Option<u32> {
    LOCAL
        .try_with(|local| {
            let local = &mut local.borrow_mut().0;
            if local.is_empty() {
                refill(local);
            }
            local.pop()
        })
        .unwrap_or_else(|_| {
            // This thread is ending and its list is gone.
            let mut rest = Vec::new();
            refill(&mut rest);
            let index = rest.pop();
            free().lock().append(&mut rest);
            index
        })
}

fn refill(local: &mut Vec<u32>) {
    {
        let mut free = free().lock();
        let keep = free.len().saturating_sub(LOCAL_FREE / 2);
        local.extend(free.drain(keep..));
    }
    if !local.is_empty() {
        return;
    }
    let chunk = CHUNKS_USED.fetch_add(1, Ordering::Relaxed);
    let Some(place) = TABLE.get(chunk) else {
        CHUNKS_USED.fetch_sub(1, Ordering::Relaxed);
        return;
    };
    place.get_or_init(|| {
        let slot = || Slot {
            generation: AtomicU32::new(0),
            fork: AtomicU32::new(0),
            live: Mutex::default(),
        };
        std::iter::repeat_with(slot).take(CHUNK).collect()
    });
    let first = (chunk * CHUNK) as u32;
    local.extend(first..first + CHUNK as u32);
}

/// A live span, locked.
pub(crate) struct Locked {
    index: u32,
    slot: &'static Slot,
    live: MutexGuard<'static, LiveSpan>,
}

/// Locks the span of a handle; `None` when it has ended, never existed or belongs to a parent process.
pub(crate) fn lock(handle: Handle) -> Option<Locked> {
    if handle.generation.is_multiple_of(2) {
        return None;
    }
    let slot = slot(handle.index)?;
    if slot.generation.load(Ordering::Acquire) != handle.generation
        || slot.fork.load(Ordering::Relaxed) != fork::generation()
    {
        return None;
    }
    let live = slot.live.lock();
    // It may have ended while this thread waited; the generation changes only under the lock.
    (slot.generation.load(Ordering::Relaxed) == handle.generation).then_some(Locked {
        index: handle.index,
        slot,
        live,
    })
}

impl Locked {
    /// Ends the handle's life. The slot is free for another span afterwards.
    pub(crate) fn release(mut self) {
        self.live.reset();
        self.slot.generation.fetch_add(1, Ordering::Release);
        drop(self.live);
        let index = self.index;
        let kept = LOCAL.try_with(|local| {
            let local = &mut local.borrow_mut().0;
            local.push(index);
            if local.len() > LOCAL_FREE {
                free().lock().extend(local.drain(LOCAL_FREE / 2..));
            }
        });
        if kept.is_err() {
            free().lock().push(index);
        }
    }
}

impl std::ops::Deref for Locked {
    type Target = LiveSpan;

    fn deref(&self) -> &LiveSpan {
        &self.live
    }
}

impl std::ops::DerefMut for Locked {
    fn deref_mut(&mut self) -> &mut LiveSpan {
        &mut self.live
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_handle_is_stale() {
        let handle = allocate(|_| {}).unwrap();
        lock(handle).unwrap().release();
        assert!(lock(handle).is_none());
        let again = allocate(|_| {}).unwrap();
        assert_ne!(again, handle);
        lock(again).unwrap().release();
    }

    #[test]
    fn unknown_slots_are_stale() {
        for index in [CHUNK as u32 * CHUNKS as u32 - 1, u32::MAX] {
            assert!(
                lock(Handle {
                    index,
                    generation: 1
                })
                .is_none()
            );
        }
    }

    #[test]
    fn a_free_slot_is_stale_under_every_generation_near_its_own() {
        let handle = allocate(|_| {}).unwrap();
        lock(handle).unwrap().release();
        let own = slot(handle.index)
            .unwrap()
            .generation
            .load(Ordering::Relaxed);
        for generation in [own.wrapping_sub(1), own] {
            assert!(
                lock(Handle {
                    generation,
                    ..handle
                })
                .is_none(),
                "{generation}"
            );
        }
    }

    #[test]
    fn slots_come_back_from_ended_threads() {
        for _ in 0..50 {
            std::thread::spawn(|| {
                let handles: Vec<_> = (0..200).filter_map(|_| allocate(|_| {})).collect();
                for handle in handles {
                    lock(handle).unwrap().release();
                }
            })
            .join()
            .unwrap();
        }
        assert!(CHUNKS_USED.load(Ordering::Relaxed) < 50);
    }
}
