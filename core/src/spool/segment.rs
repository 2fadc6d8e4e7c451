//! What is known in memory of a segment on disk.

use std::sync::Arc;

use super::Fingerprint;
use super::acks::Bits;
use super::format::{Clock, RECORDS};
use super::vfs::VfsFile;

/// A segment of our own run, or of one that we adopted.
pub(super) struct Segment {
    pub(super) destination: Fingerprint,
    /// Held while it is appended to, and until its content is synced.
    pub(super) file: Option<Arc<dyn VfsFile>>,
    /// Records are still being appended to it, or read from it.
    pub(super) is_open: bool,
    /// Bytes that are known to be good.
    pub(super) len: u64,
    /// Records begin at lower ordinals only.
    pub(super) records: u32,
    /// Records that are neither settled nor lost.
    pub(super) pending: u32,
    pub(super) settled: Bits,
    /// Records that were sent with unknown outcome.
    pub(super) sent: Bits,
    /// When it was made.
    pub(super) made: Clock,
    /// When its newest record was made, in milliseconds since the Unix epoch.
    pub(super) newest_ms: u64,
    /// What outlasts a power cut.
    pub(super) synced: Synced,
    /// Entries that could not be written to the `.ack` file yet.
    pub(super) unwritten: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Synced {
    pub(super) len: u64,
    pub(super) records: u32,
    /// Whether its name does.
    pub(super) entry: bool,
}

impl Segment {
    /// One that holds no record yet.
    pub(super) fn new(
        destination: Fingerprint,
        made: Clock,
        file: Option<Arc<dyn VfsFile>>,
    ) -> Self {
        Segment {
            destination,
            made,
            file,
            is_open: true,
            len: RECORDS,
            records: 0,
            pending: 0,
            settled: Bits::default(),
            sent: Bits::default(),
            newest_ms: 0,
            synced: Synced::default(),
            unwritten: Vec::new(),
        }
    }

    /// Marks a record as done with; whether it was not before.
    pub(super) fn settle(&mut self, ordinal: u32) -> bool {
        let is_new = ordinal < self.records && self.settled.set(ordinal);
        if is_new {
            self.pending = self.pending.saturating_sub(1);
        }
        is_new
    }

    /// Nothing in it will be needed any more.
    pub(super) fn is_done(&self) -> bool {
        !self.is_open && self.pending == 0
    }

    /// The records from `first` on that are not done with.
    pub(super) fn unsettled(&self, first: u32) -> impl Iterator<Item = u32> {
        (first..self.records).filter(|ordinal| !self.settled.get(*ordinal))
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.file.is_some() && (self.synced.len < self.len || !self.synced.entry)
    }
}
