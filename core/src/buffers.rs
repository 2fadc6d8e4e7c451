//! Buffers of finished traces, which go from the host's threads to the exporter's and back.
//!
//! Memory that one thread allocates and another frees is the slowest kind; so emptied buffers return
//! in batches instead. Each thread keeps a few, the process a bounded number.

use crate::lock::Mutex;
use crate::pipeline::fork::ForkCell;

/// How many buffers of a size cross at once.
const BATCH: usize = 64;
/// Buffers come in these sizes; larger ones are freed. Close together, because a buffer counts as a whole towards the
/// queue's limit.
const SIZES: [usize; 9] = [
    256,
    512,
    1 << 10,
    2 << 10,
    4 << 10,
    8 << 10,
    16 << 10,
    32 << 10,
    64 << 10,
];
/// Bytes of each size that the process keeps.
const KEPT: usize = 2 << 20;
/// Bytes of each size that a thread keeps.
const KEPT_LOCAL: usize = 256 << 10;

/// The empty buffers of one size that cross.
#[derive(Default)]
struct Shelf {
    buffers: Vec<Vec<u8>>,
    /// How many more were taken than came back since the last [`stock`].
    missing: isize,
}

static SHARED: ForkCell<Mutex<[Shelf; SIZES.len()]>> = ForkCell::new();

/// Makes as many buffers as are missing, for the exporter's thread: while traces wait, their buffers do not come back, and the
/// system takes its time to give more memory, which those who record should not have to wait for.
pub(crate) fn stock() {
    let shelves = SHARED.get_or_init(Mutex::default);
    let wanted: [usize; SIZES.len()] = {
        let mut shelves = shelves.lock();
        std::array::from_fn(|size| {
            let Shelf { buffers, missing } = &mut shelves[size];
            let missing = usize::try_from(std::mem::take(missing)).unwrap_or(0);
            missing
                .min(KEPT / SIZES[size])
                .saturating_sub(buffers.len())
        })
    };
    for (size, wanted) in wanted.into_iter().enumerate() {
        if wanted > 0 {
            let made: Vec<_> = (0..wanted).map(|_| touched(SIZES[size])).collect();
            shelves.lock()[size].buffers.extend(made);
        }
    }
}

/// An empty buffer whose memory the system has given.
fn touched(bytes: usize) -> Vec<u8> {
    let mut buffer = vec![1; bytes];
    buffer.clear();
    buffer
}

/// The empty buffers of one thread, by size.
#[derive(Default)]
pub(crate) struct Buffers([Vec<Vec<u8>>; SIZES.len()]);

impl Buffers {
    /// An empty buffer for a short span, used before if there is one.
    #[inline]
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.of_size(0)
    }

    #[inline]
    fn of_size(&mut self, size: usize) -> Vec<u8> {
        self.0[size].pop().unwrap_or_else(|| self.refill(size))
    }

    #[cold]
    fn refill(&mut self, size: usize) -> Vec<u8> {
        let mut shared = SHARED.get_or_init(Mutex::default).lock();
        let Shelf { buffers, missing } = &mut shared[size];
        let keep = buffers.len().saturating_sub(Self::batch(size));
        *missing += (buffers.len() - keep).max(1) as isize;
        self.0[size].extend(buffers.drain(keep..));
        let used = self.0[size].pop();
        used.unwrap_or_else(|| Vec::with_capacity(SIZES[size]))
    }

    fn batch(size: usize) -> usize {
        BATCH.min(KEPT_LOCAL / 2 / SIZES[size]).max(1)
    }

    /// Makes room in a buffer for `needed` bytes altogether.
    #[inline]
    pub(crate) fn grow(&mut self, buffer: &mut Vec<u8>, needed: usize) {
        if needed > buffer.capacity() {
            self.replace(buffer, needed);
        }
    }

    #[cold]
    fn replace(&mut self, buffer: &mut Vec<u8>, needed: usize) {
        match SIZES.iter().position(|size| *size >= needed) {
            Some(size) => {
                let mut larger = self.of_size(size);
                larger.extend_from_slice(buffer);
                self.give(std::mem::replace(buffer, larger));
            }
            None => buffer.reserve(needed - buffer.len()),
        }
    }

    /// Gives a buffer back; its content is forgotten.
    pub(crate) fn give(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        let Some(size) = SIZES.iter().rposition(|size| *size <= capacity) else {
            return;
        };
        if capacity >= 2 * SIZES[size] {
            return;
        }
        buffer.clear();
        self.0[size].push(buffer);
        if self.0[size].len() >= 2 * Self::batch(size) {
            self.spill(size);
        }
    }

    #[cold]
    fn spill(&mut self, size: usize) {
        let mut shared = SHARED.get_or_init(Mutex::default).lock();
        let Shelf { buffers, missing } = &mut shared[size];
        let room = (KEPT / SIZES[size]).saturating_sub(buffers.len());
        let batch = Self::batch(size);
        *missing -= batch as isize;
        let keep = self.0[size].len() - batch;
        buffers.extend(self.0[size].drain(keep..).take(room));
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
        buffers.give(Vec::with_capacity(1 << 20));
        assert!(buffers.take().capacity() < 1 << 20);
    }

    #[test]
    fn what_is_missing_is_made_by_another_thread() {
        // The largest size, which no other test of this process uses; exporters of others may be the ones that make them.
        let size = SIZES.len() - 1;
        let waiting = || {
            SHARED.get_or_init(Mutex::default).lock()[size]
                .buffers
                .len()
        };
        let mut buffers = Buffers::default();
        let _taken: Vec<_> = (0..3).map(|_| buffers.of_size(size)).collect();
        std::thread::spawn(stock).join().unwrap();
        assert_eq!(waiting(), 3);
        let made = buffers.of_size(size);
        assert!(made.is_empty() && made.capacity() >= SIZES[size]);
        assert!(waiting() < 3);
    }

    #[test]
    fn buffers_grow_by_sizes_and_keep_what_they_hold() {
        let mut buffers = Buffers::default();
        let mut buffer = buffers.take();
        for needed in [300, 5_000, 100_000] {
            buffer.push(1);
            buffers.grow(&mut buffer, needed);
            assert!(buffer.capacity() >= needed);
        }
        assert_eq!(buffer, [1, 1, 1]);
    }
}
