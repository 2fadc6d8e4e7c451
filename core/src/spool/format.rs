//! The bytes on disk, of which `docs/spool.md` is the full description. Everything is little-endian.
//!
//! Checks also cover the random number of the run, and sequence numbers name the segment: what belongs to another run
//! or segment is never taken for a record, whether it stands inside a payload or a file system brought it back.

use memchr::memmem;

use super::{Fingerprint, Kind};
use crate::id::TraceId;

/// Length of a segment's header.
const HEADER: usize = 96;
/// How often the header is written, one after the other, so that a damaged byte does not cost a segment.
const COPIES: usize = 2;
/// Where records begin.
pub const RECORDS: u64 = (HEADER * COPIES) as u64;
/// Length of a record without its payload.
pub const RECORD: usize = 52;
/// Length of an entry of an `.ack` file.
pub const ACK: usize = 12;
/// The longest payload, whatever a length field says.
pub const MAX_PAYLOAD: u64 = 64 << 20;
/// The longest reason of a dead letter.
pub(super) const MAX_REASON: usize = 1024;
/// A dead letter is longer than what it was, by its reason and the length of that.
pub(super) const MAX_STORED: u64 = MAX_PAYLOAD + MAX_REASON as u64 + 2;
/// Where a record begins; its first byte occurs in no UTF-8 text.
pub const SYNC: [u8; 4] = [0xF5, b'M', b'L', b'R'];

const MAGIC: [u8; 8] = *b"MLFTSPL1";
const FORMAT: u16 = 1;
/// Segments are numbered below this, which leaves the top bit of a sequence number free.
pub(super) const MAX_SEGMENT: u32 = 1 << 31;
/// The top bit of an `.ack` entry: not acknowledged, but sent with unknown outcome.
const SENT: u64 = 1 << 63;

/// A checksum as it is stored: those of data that holds checksums are weak, so it is rotated and shifted, as in LevelDB.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A checksum of a payload, as a record holds it.
pub(super) fn payload_check(slices: &[&[u8]]) -> u32 {
    let crc = slices
        .iter()
        .fold(0, |crc, slice| crc32c::crc32c_append(crc, slice));
    masked(crc)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    if let Some(field) = bytes.get(at..at + N) {
        out.copy_from_slice(field);
    }
    out
}

fn get_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

fn get_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + field.len()) {
        place.copy_from_slice(field);
    }
}

/// What both clocks showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Milliseconds since the Unix epoch.
    pub wall_ms: u64,
    /// Milliseconds since the system was started.
    pub since_boot_ms: u64,
    /// Tells starts of the system apart; zero where it does not say.
    pub boot: [u8; 16],
}

/// The first bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The segment's number in its run.
    pub number: u32,
    /// The random number of the run.
    pub run: u64,
    /// When it was made.
    pub made: Clock,
    /// Where its records go.
    pub destination: Fingerprint,
}

/// What the first bytes of a file turned out to be.
#[derive(Debug)]
pub(super) enum Parsed {
    Segment(SegmentHeader),
    /// Intact, but of another version of the format.
    Foreign,
    Unreadable,
}

impl SegmentHeader {
    /// All copies.
    pub fn encode(&self) -> [u8; RECORDS as usize] {
        let mut one = [0; HEADER];
        put(&mut one, 0, &MAGIC);
        put(&mut one, 8, &FORMAT.to_le_bytes());
        put(&mut one, 12, &self.number.to_le_bytes());
        put(&mut one, 16, &self.run.to_le_bytes());
        put(&mut one, 24, &self.made.wall_ms.to_le_bytes());
        put(&mut one, 32, &self.made.since_boot_ms.to_le_bytes());
        put(&mut one, 40, &self.made.boot);
        put(&mut one, 56, self.destination.bytes());
        let check = masked(crc32c::crc32c(&one[..HEADER - 4]));
        put(&mut one, HEADER - 4, &check.to_le_bytes());
        let mut all = [0; RECORDS as usize];
        for copy in all.chunks_exact_mut(HEADER) {
            copy.copy_from_slice(&one);
        }
        all
    }

    /// The first intact copy of the header of this segment, and from where on there may be records. Another segment's
    /// may stand in a payload.
    pub(super) fn parse(bytes: &[u8], run: u64, number: u32) -> (Parsed, usize) {
        let mut places = memmem::find_iter(bytes, &MAGIC);
        let found = places.find_map(|place| {
            let mut copies = bytes[place..].chunks_exact(HEADER).take(COPIES);
            let parsed = Self::parse_copy(copies.next()?);
            let is_it = match &parsed {
                Parsed::Segment(header) => (header.run, header.number) == (run, number),
                Parsed::Foreign => place < RECORDS as usize,
                Parsed::Unreadable => false,
            };
            let more = copies.take_while(|copy| bytes[place..].starts_with(copy));
            // Where the first copy is not at its place, nothing else may be.
            let end = if place == 0 {
                HEADER * (1 + more.count())
            } else {
                0
            };
            is_it.then_some((parsed, end))
        });
        found.unwrap_or((Parsed::Unreadable, 0))
    }

    fn parse_copy(copy: &[u8]) -> Parsed {
        if masked(crc32c::crc32c(&copy[..HEADER - 4])) != get_u32(copy, HEADER - 4) {
            return Parsed::Unreadable;
        }
        let (format, flags): ([u8; 2], [u8; 2]) = (array(copy, 8), array(copy, 10));
        let number = get_u32(copy, 12);
        if u16::from_le_bytes(format) != FORMAT || flags != [0, 0] || number >= MAX_SEGMENT {
            return Parsed::Foreign;
        }
        Parsed::Segment(SegmentHeader {
            number,
            run: get_u64(copy, 16),
            made: Clock {
                wall_ms: get_u64(copy, 24),
                since_boot_ms: get_u64(copy, 32),
                boot: array(copy, 40),
            },
            destination: Fingerprint::from_bytes(array(copy, 56)),
        })
    }
}

/// The number of a record in its run: its segment's number, and how many records stand before it there.
pub(super) fn seq(segment: u32, ordinal: u32) -> u64 {
    u64::from(segment) << 32 | u64::from(ordinal)
}

/// A record without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Where it begins in its segment.
    pub offset: u64,
    /// Bytes of payload.
    pub len: u32,
    pub(super) payload_check: u32,
    /// What the payload is.
    pub kind: Kind,
    /// [`super::PART`] and others.
    pub flags: u8,
    /// Free for the exporter, for instance how an attempt failed.
    pub class: u16,
    /// Its number in its run.
    pub seq: u64,
    /// The trace that it is about.
    pub trace_id: TraceId,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_ms: u64,
}

impl RecordHeader {
    /// How many records stand before it in its segment.
    pub(super) fn ordinal(&self) -> u32 {
        self.seq as u32
    }

    /// Where the next one begins.
    pub(super) fn end(&self) -> u64 {
        self.offset + RECORD as u64 + u64::from(self.len)
    }

    pub(super) fn encode(&self, run: u64) -> [u8; RECORD] {
        let mut out = [0; RECORD];
        put(&mut out, 0, &SYNC);
        put(&mut out, 8, &self.len.to_le_bytes());
        put(&mut out, 12, &self.payload_check.to_le_bytes());
        put(&mut out, 16, &[self.kind as u8, self.flags]);
        put(&mut out, 18, &self.class.to_le_bytes());
        put(&mut out, 20, &self.seq.to_le_bytes());
        put(&mut out, 28, self.trace_id.bytes());
        put(&mut out, 44, &self.created_ms.to_le_bytes());
        let check = Self::check(&out, run);
        put(&mut out, 4, &check.to_le_bytes());
        out
    }

    fn check(bytes: &[u8], run: u64) -> u32 {
        let crc = crc32c::crc32c(&bytes[8..RECORD]);
        masked(crc32c::crc32c_append(crc, &run.to_le_bytes()))
    }

    /// The record of this segment that begins with these bytes; `None` where none does.
    pub(super) fn parse(
        bytes: &[u8; RECORD],
        segment: &SegmentHeader,
        offset: u64,
    ) -> Option<Self> {
        let intact =
            bytes.starts_with(&SYNC) && Self::check(bytes, segment.run) == get_u32(bytes, 4);
        let header = RecordHeader {
            offset,
            len: get_u32(bytes, 8),
            payload_check: get_u32(bytes, 12),
            kind: Kind::from_byte(bytes[16])?,
            flags: bytes[17],
            class: u16::from_le_bytes(array(bytes, 18)),
            seq: get_u64(bytes, 20),
            trace_id: TraceId::from_bytes(array(bytes, 28)),
            created_ms: get_u64(bytes, 44),
        };
        let belongs = header.seq >> 32 == u64::from(segment.number);
        (intact && belongs && u64::from(header.len) <= MAX_STORED).then_some(header)
    }
}

/// How many records a segment of so many bytes can have had, a few that were cut out of it included. What is kept per
/// record is sized by ordinals, so they are never believed beyond this.
pub(super) fn most_records(bytes: u64) -> u32 {
    const CUT_OUT: u64 = 4096;
    u32::try_from(bytes / RECORD as u64 + CUT_OUT).unwrap_or(u32::MAX)
}

/// An entry of an `.ack` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckEntry {
    /// The record.
    pub seq: u64,
    /// It was sent and the outcome is unknown; otherwise it is done with.
    pub sent: bool,
}

impl AckEntry {
    /// The entry as it stands in a run's file.
    pub fn encode(&self, run: u64) -> [u8; ACK] {
        let value = self.seq | if self.sent { SENT } else { 0 };
        let mut out = [0; ACK];
        put(&mut out, 0, &value.to_le_bytes());
        put(&mut out, 8, &Self::check(value, run).to_le_bytes());
        out
    }

    fn check(value: u64, run: u64) -> u32 {
        let crc = crc32c::crc32c(&value.to_le_bytes());
        masked(crc32c::crc32c_append(crc, &run.to_le_bytes()))
    }

    /// The entry of this segment that `bytes` begin with.
    pub(super) fn parse(bytes: &[u8], segment: &SegmentHeader) -> Option<Self> {
        let value = get_u64(bytes, 0);
        let seq = value & !SENT;
        let intact = bytes.len() >= ACK && Self::check(value, segment.run) == get_u32(bytes, 8);
        (intact && seq >> 32 == u64::from(segment.number)).then_some(AckEntry {
            seq,
            sent: value & SENT != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_is_crc32c() {
        // RFC 3720, appendix B.4: 32 bytes of zeros.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(masked(0), 0xa282_ead8);
        assert_eq!(payload_check(&[b"12345", b"6789"]), masked(0xe306_9283));
    }

    #[test]
    fn a_record_counts_only_in_its_segment() {
        let segment = SegmentHeader {
            number: 7,
            run: 99,
            made: Clock::default(),
            destination: Fingerprint::from_bytes([3; 32]),
        };
        let record = RecordHeader {
            offset: RECORDS + 5,
            len: 5,
            payload_check: 1,
            kind: Kind::Trace,
            flags: 1,
            class: 2,
            seq: seq(7, 1),
            trace_id: TraceId::from_bytes([9; 16]),
            created_ms: 11,
        };
        let bytes = record.encode(segment.run);
        let parse = |segment: &SegmentHeader| RecordHeader::parse(&bytes, segment, record.offset);
        assert_eq!(parse(&segment), Some(record));
        assert_eq!(parse(&SegmentHeader { run: 98, ..segment }), None);
        assert_eq!(
            parse(&SegmentHeader {
                number: 8,
                ..segment
            }),
            None
        );
    }
}
