//! Buffers of finished spans, which go from the host's threads to the exporter's and back.
//!
//! Memory that one thread allocates and another frees is the slowest kind; so emptied buffers return
//! in batches instead. Each thread keeps a few, the process a bounded number.

use std::cell::RefCell;

use crate::lock::Mutex;
use crate::pipeline::fork::ForkCell;

/// How many buffers cross at once.
const BATCH: usize = 32;
/// Larger buffers are freed: they would be kept for traces that do not need them.
const LARGEST: usize = 64 * 1024;
/// How many the process keeps: 16 MiB at most.
const KEPT: usize = 256;
/// Room for a typical span.
const FIRST: usize = 512;

static SHARED: ForkCell<Mutex<Vec<Vec<u8>>>> = ForkCell::new();

thread_local! {
    static LOCAL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer, used before if there is one.
pub(crate) fn take() -> Vec<u8> {
    let used = LOCAL.try_with(|local| {
        let mut local = local.borrow_mut();
        if local.is_empty() {
            let mut shared = SHARED.get_or_init(Mutex::default).lock();
            let keep = shared.len().saturating_sub(BATCH);
            local.extend(shared.drain(keep..));
        }
        local.pop()
    });
    used.ok()
        .flatten()
        .unwrap_or_else(|| Vec::with_capacity(FIRST))
}

/// Gives a buffer back; its content is forgotten.
pub(crate) fn give(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > LARGEST {
        return;
    }
    buffer.clear();
    // Without thread-local storage, at the end of a thread, it is freed.
    let _ = LOCAL.try_with(|local| {
        let mut local = local.borrow_mut();
        local.push(buffer);
        if local.len() >= 2 * BATCH {
            let mut shared = SHARED.get_or_init(Mutex::default).lock();
            let room = KEPT.saturating_sub(shared.len()).min(BATCH);
            shared.extend(local.drain(..room));
            local.truncate(BATCH);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_empty_and_small() {
        let mut buffer = take();
        buffer.extend_from_slice(b"span");
        give(buffer);
        assert!(take().is_empty());
        give(Vec::with_capacity(LARGEST + 1));
        assert!(take().capacity() <= LARGEST);
    }
}
