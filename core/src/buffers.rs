//! Buffers of finished traces, which go from the host's threads to the exporter's and back.
//!
//! Memory that one thread allocates and another frees is the slowest kind; so emptied buffers return
//! in batches instead. Each thread keeps a few, the process a bounded number.

use crate::lock::Mutex;
use crate::pipeline::fork::ForkCell;

/// How many buffers cross at once.
const BATCH: usize = 64;
/// Larger buffers are freed: they would be kept for traces that do not need them.
const LARGEST: usize = 64 * 1024;
/// How many the process keeps: 16 MiB at most.
const KEPT: usize = 256;
/// Room for a typical span.
const FIRST: usize = 256;

static SHARED: ForkCell<Mutex<Vec<Vec<u8>>>> = ForkCell::new();

/// The empty buffers of one thread.
#[derive(Default)]
pub(crate) struct Buffers(Vec<Vec<u8>>);

impl Buffers {
    /// An empty buffer, used before if there is one.
    #[inline]
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_else(|| self.refill())
    }

    #[cold]
    fn refill(&mut self) -> Vec<u8> {
        let mut shared = SHARED.get_or_init(Mutex::default).lock();
        let keep = shared.len().saturating_sub(BATCH);
        self.0.extend(shared.drain(keep..));
        self.0.pop().unwrap_or_else(|| Vec::with_capacity(FIRST))
    }

    /// Gives a buffer back; its content is forgotten.
    pub(crate) fn give(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() == 0 || buffer.capacity() > LARGEST {
            return;
        }
        buffer.clear();
        self.0.push(buffer);
        if self.0.len() >= 2 * BATCH {
            let mut shared = SHARED.get_or_init(Mutex::default).lock();
            let room = KEPT.saturating_sub(shared.len()).min(BATCH);
            shared.extend(self.0.drain(..room));
            self.0.truncate(BATCH);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_empty_and_small() {
        let mut buffers = Buffers::default();
        let mut buffer = buffers.take();
        buffer.extend_from_slice(b"span");
        buffers.give(buffer);
        assert!(buffers.take().is_empty());
        buffers.give(Vec::with_capacity(LARGEST + 1));
        assert!(buffers.take().capacity() <= LARGEST);
    }
}
