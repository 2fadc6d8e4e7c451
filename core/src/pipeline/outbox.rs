//! The finished traces of one thread, until the worker takes them.
//!
//! Each thread has one for each tracer, so that ending a trace meets no other thread: only the worker, now
//! and then, wants the same lock.

use std::sync::atomic::Ordering;

use super::queue::Queue;
use super::stats::Drop;
use crate::finished::Finished;
use crate::lock::Spin;
use crate::sync::{AtomicBool, AtomicU64};

#[derive(Default)]
pub(crate) struct Outbox {
    /// Spans that this thread started. Written by it alone.
    created: AtomicU64,
    /// Its thread has ended.
    pub(crate) orphaned: AtomicBool,
    chunk: Spin<Chunk>,
}

/// What has been put in since the worker's last visit.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) traces: Vec<Finished>,
    /// The short ones among their spans.
    pub(super) packed: Vec<u8>,
    pub(super) bytes: usize,
    pub(super) spans: u64,
    /// Bytes of the queue's limit that this outbox may use.
    pub(super) reserved: usize,
    /// The worker sleeps until something comes.
    pub(super) wake: bool,
    /// The worker knows that a batch is ready.
    pub(super) signalled: bool,
    /// The tracer was shut down.
    pub(super) refusing: bool,
}

impl Outbox {
    /// Counts spans that start on this thread.
    #[inline]
    pub(crate) fn create(&self, spans: u64) {
        let created = self.created.load(Ordering::Relaxed);
        self.created.store(created + spans, Ordering::Relaxed);
    }

    pub(super) fn created(&self) -> u64 {
        self.created.load(Ordering::Acquire)
    }

    /// Whether nothing more may come in.
    pub(crate) fn is_closed(&self) -> bool {
        self.chunk.lock().refusing
    }

    /// Puts in a finished trace of so many bytes and spans, which `make` makes, or says why it cannot.
    #[inline]
    pub(crate) fn push(
        &self,
        queue: &Queue,
        size: usize,
        spans: u64,
        make: impl FnOnce(&mut Vec<u8>) -> Option<Finished>,
    ) -> Result<(), Drop> {
        let mut chunk = self.chunk.lock();
        if chunk.refusing {
            return Err(Drop::Shutdown);
        }
        let bytes = chunk.bytes + size;
        if bytes > chunk.reserved {
            chunk.reserved += queue
                .reserve(bytes - chunk.reserved)
                .ok_or(Drop::QueueFull)?;
        }
        chunk.bytes = bytes;
        chunk.spans += spans;
        let Chunk { traces, packed, .. } = &mut *chunk;
        traces.extend(make(packed));
        let ready = !chunk.signalled && queue.is_batch(chunk.bytes, chunk.spans);
        if ready || chunk.wake {
            chunk.wake = false;
            chunk.signalled |= ready;
            drop(chunk);
            queue.wake();
        }
        Ok(())
    }

    /// For the worker, and for who opens or closes the queue.
    pub(super) fn visit<R>(&self, visit: impl FnOnce(&mut Chunk) -> R) -> R {
        visit(&mut self.chunk.lock())
    }
}
