//! The spool: finished traces on disk until somebody has them, through kills, power cuts and outages.
//!
//! ```text
//! <directory>/<run>/lock          held while the process lives
//!                   000001.seg    records, appended to and never written to again
//!                   000001.ack    which of them are done with
//!             dead/               what a server refuses for good, a file each
//!             bad/                segments that nobody can read
//! ```
//!
//! `docs/spool.md` describes every byte, `docs/decisions/0008-spool.md` why it is so.
//!
//! - [`Spool::append`] is for any thread: a short lock and one `writev`. What was appended outlasts the process.
//! - [`Spool::ack`], [`Spool::adopt`], [`Spool::maintain`] and whatever else waits for a disk are for the thread that
//!   exports. They take a lock of their own, so that nothing that is appended waits for them.
//! - [`Spool::sync`] returns when everything that was appended before outlasts a power cut as well.
//!
//! Nothing here fails for good: what the disk refuses is answered with a [`Refused`], counted, and tried again.

mod acks;
mod adopt;
mod counters;
mod dead;
mod fingerprint;
mod format;
mod front;
mod options;
mod reader;
mod run;
mod segment;
mod status;
mod store;
mod upkeep;
mod usage;

#[cfg(unix)]
mod descriptors;
#[cfg(unix)]
mod sys;

pub mod vfs;

pub use adopt::Adopted;
pub use counters::SpoolStats;
pub use dead::{DeadLetter, DeadLetters, revive};
#[cfg(unix)]
pub use descriptors::close_inherited;
pub use fingerprint::Fingerprint;
pub use format::{
    ACK, AckEntry, Clock, MAX_PAYLOAD, RECORD, RECORDS, RecordHeader, SYNC, SegmentHeader,
};
pub use options::{Full, SpoolOptions, default_directory};
pub use reader::{Opened, SegmentReader};
pub use status::{DeadStatus, RunStatus, SpoolStatus, status};
pub use store::{Cursor, Spool};
#[cfg(unix)]
pub use sys::Disk;
pub use upkeep::Maintained;

use crate::id::TraceId;

/// A flag of a record: more of its trace follows.
pub const PART: u8 = 1;
/// A flag of a record that is reserved: its payload is compressed with zstd.
pub const COMPRESSED: u8 = 1 << 1;
/// A flag of a record in `dead/`: its payload begins with the reason.
pub const REASON: u8 = 1 << 2;

/// What a record's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A finished trace, or with [`PART`] some of one that goes on.
    Trace = 1,
    /// The root of a trace was opened. Whoever adopts it without an end of that trace has to close it.
    RootOpen = 2,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Kind> {
        match byte {
            1 => Some(Kind::Trace),
            2 => Some(Kind::RootOpen),
            _ => None,
        }
    }
}

/// A record to append.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// What the payload is.
    pub kind: Kind,
    /// [`PART`], or 0.
    pub flags: u8,
    /// Free for the exporter; read back as it was.
    pub class: u16,
    /// The trace that it is about.
    pub trace_id: TraceId,
    /// When it was made, in milliseconds since the Unix epoch: its age is counted from here.
    pub created_ms: u64,
    /// The payload, of which the slices are written one after the other.
    pub payload: &'a [&'a [u8]],
}

/// Names a record in the spool of this process: one that it appended, or adopted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    /// Of which run, by the order in which this process came to hold them.
    run: u32,
    seq: u64,
}

impl Ticket {
    /// The record's number in its run. Records of one destination are numbered in the order of their appending.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    fn segment(&self) -> u32 {
        (self.seq >> 32) as u32
    }

    fn ordinal(&self) -> u32 {
        self.seq as u32
    }
}

/// A record that was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// To acknowledge it by.
    pub ticket: Ticket,
    /// Where it goes.
    pub destination: Fingerprint,
    /// What the payload is.
    pub kind: Kind,
    /// As it was appended.
    pub flags: u8,
    /// As it was appended.
    pub class: u16,
    /// As it was appended.
    pub trace_id: TraceId,
    /// As it was appended.
    pub created_ms: u64,
    /// It was [sent](Spool::mark_sent) before with unknown outcome: look for it before sending it again.
    pub maybe_sent: bool,
    /// As it was appended.
    pub payload: Vec<u8>,
}

impl Record {
    fn new(
        ticket: Ticket,
        destination: Fingerprint,
        header: &RecordHeader,
        maybe_sent: bool,
        payload: Vec<u8>,
    ) -> Self {
        Record {
            ticket,
            destination,
            kind: header.kind,
            flags: header.flags,
            class: header.class,
            trace_id: header.trace_id,
            created_ms: header.created_ms,
            maybe_sent,
            payload,
        }
    }
}

/// Why a record was not appended. The caller still has it, and the refusal is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Longer than a record may be.
    TooLarge,
    /// No room, by the spool's limit or by what must stay free on the disk.
    Full,
    /// The disk fails. It is tried again from time to time.
    Degraded,
    /// The spool was closed.
    Closed,
}
