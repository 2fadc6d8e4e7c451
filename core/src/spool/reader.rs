//! Reading a segment that may be damaged anywhere: one record at a time, never more memory than a payload.

use std::io;
use std::sync::Arc;

use memchr::memmem;

use super::acks::{Acks, Bits};
use super::format::{
    ACK, AckEntry, Parsed, RECORD, RECORDS, RecordHeader, SYNC, SegmentHeader, most_records,
    payload_check,
};
use super::vfs::{VfsFile, read_exact_at};

/// What is looked through at once for the next record.
const CHUNK: usize = 4096;
/// What a disk fails to read at least.
const SECTOR: usize = 512;

/// Reads the records of one segment in order, past whatever is damaged.
pub struct SegmentReader {
    file: Arc<dyn VfsFile>,
    header: SegmentHeader,
    /// Where the next record is expected.
    offset: u64,
    /// What is behind this was not looked at yet: lengths are believed only when what they span is intact.
    sure: u64,
    end: u64,
    /// Records whose payload was given.
    seen: Bits,
    damaged: u64,
}

/// What a file turned out to be.
pub enum Opened {
    /// A segment.
    Segment(SegmentReader),
    /// Cut off before its first record: there is nothing in it to lose.
    Empty,
    /// Written by another version of this library.
    Foreign,
    /// No copy of its header is intact, so nobody can tell whose records these are.
    Unreadable,
}

impl SegmentReader {
    /// Looks at the first bytes of a file, which is to be this segment of this run.
    pub fn open(file: Arc<dyn VfsFile>, run: u64, number: u32) -> io::Result<Opened> {
        let end = file.len()?;
        let mut chunk = [0; CHUNK];
        let mut first = &mut chunk[..CHUNK.min(end as usize)];
        let mut read = read_exact_at(&*file, first, 0);
        if read.is_err() {
            // What cannot be read may be behind the header.
            first = &mut chunk[..SECTOR.min(end as usize)];
            read = read_exact_at(&*file, first, 0);
        }
        if read?.is_none() {
            return Ok(Opened::Empty);
        }
        let (parsed, records) = SegmentHeader::parse(first, run, number);
        Ok(match parsed {
            Parsed::Segment(header) => Opened::Segment(SegmentReader {
                file,
                header,
                offset: records as u64,
                sure: records as u64,
                end,
                seen: Bits::default(),
                damaged: 0,
            }),
            Parsed::Foreign => Opened::Foreign,
            Parsed::Unreadable if end <= RECORDS => Opened::Empty,
            Parsed::Unreadable => Opened::Unreadable,
        })
    }

    /// Continues at the place where another reader of the same file was, up to `end`.
    pub(super) fn between(&mut self, offset: u64, end: u64) {
        self.offset = self.offset.max(offset);
        self.sure = self.offset;
        self.end = self.end.min(end);
    }

    /// The segment's header.
    pub fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// Where the next record is expected.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Where the segment ends.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// How many stretches of bytes were skipped because no record could be made of them.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// The next record; `None` at the end.
    pub fn next_header(&mut self) -> Option<RecordHeader> {
        let expected = self.offset;
        let next = self.new_at(expected).or_else(|| self.search(self.sure));
        let found = next.map_or(self.end, |record| record.offset);
        self.damaged += u64::from(found != expected);
        self.offset = next.map_or(self.end, |record| record.end());
        self.sure = next.map_or(self.end, |record| record.offset + RECORD as u64);
        next
    }

    /// The payload of the record that [`Self::next_header`] gave; `None` where it is damaged.
    pub fn payload(&mut self, record: &RecordHeader) -> Option<Vec<u8>> {
        let payload = self.intact_payload(record);
        match payload {
            Some(_) => {
                self.sure = self.offset;
                self.seen.set(record.ordinal());
            }
            None => self.offset = self.sure,
        }
        payload
    }

    /// A record that was read before.
    pub(super) fn again(&self, offset: u64) -> Option<(RecordHeader, Vec<u8>)> {
        let record = self.header_at(offset)?;
        Some((record, self.intact_payload(&record)?))
    }

    fn intact_payload(&self, record: &RecordHeader) -> Option<Vec<u8>> {
        let mut payload = vec![0; record.len as usize];
        let read = read_exact_at(&*self.file, &mut payload, record.offset + RECORD as u64);
        let is_whole = matches!(read, Ok(Some(())));
        (is_whole && payload_check(&[&payload]) == record.payload_check).then_some(payload)
    }

    /// The record at an offset, where one begins that was not given yet: a copy is none.
    fn new_at(&self, offset: u64) -> Option<RecordHeader> {
        let record = self.header_at(offset)?;
        (!self.seen.get(record.ordinal())).then_some(record)
    }

    fn header_at(&self, offset: u64) -> Option<RecordHeader> {
        let mut bytes = [0; RECORD];
        if self.end.saturating_sub(offset) < RECORD as u64 {
            return None;
        }
        // Sectors that cannot be read are damage like any other.
        let Ok(Some(())) = read_exact_at(&*self.file, &mut bytes, offset) else {
            return None;
        };
        let record = RecordHeader::parse(&bytes, &self.header, offset)?;
        let is_possible = record.end() <= self.end && record.ordinal() < most_records(self.end);
        is_possible.then_some(record)
    }

    /// The next new record that begins at or behind `from`.
    fn search(&self, mut from: u64) -> Option<RecordHeader> {
        let mut chunk = [0; CHUNK];
        while self.end.saturating_sub(from) >= RECORD as u64 {
            let len = CHUNK.min((self.end - from) as usize);
            let mut looked_at = &mut chunk[..len];
            let mut read = read_exact_at(&*self.file, looked_at, from);
            if read.is_err() {
                // Somewhere in it is a sector that cannot be read: this one, or one behind it.
                let sector = SECTOR - (from % SECTOR as u64) as usize;
                looked_at = &mut chunk[..len.min(sector)];
                read = read_exact_at(&*self.file, looked_at, from);
            }
            let len = looked_at.len();
            from += match read {
                Ok(Some(())) => {
                    let mut places = memmem::find_iter(looked_at, &SYNC);
                    if let Some(record) = places.find_map(|place| self.new_at(from + place as u64))
                    {
                        return Some(record);
                    }
                    // A marker may stand across the end of what was looked at.
                    len.saturating_sub(SYNC.len() - 1).max(1) as u64
                }
                Ok(None) => return None,
                Err(_) => len as u64,
            };
        }
        None
    }
}

/// Reads what an `.ack` file says of a segment of `len` bytes. Entries that are damaged are passed over: a record
/// is then sent once more.
pub(super) fn read_acks(file: &dyn VfsFile, segment: &SegmentHeader, len: u64) -> io::Result<Acks> {
    let mut acks = Acks::default();
    let most = most_records(len);
    let mut chunk = [0; CHUNK];
    let (mut held, mut offset) = (0, 0);
    loop {
        let read = file.read_at(&mut chunk[held..], offset)?;
        offset += read as u64;
        held += read;
        let mut at = 0;
        while held - at >= ACK {
            let Some(entry) = AckEntry::parse(&chunk[at..at + ACK], segment) else {
                at += 1;
                continue;
            };
            at += ACK;
            let ordinal = entry.seq as u32;
            if ordinal < most {
                match entry.sent {
                    true => acks.sent.set(ordinal),
                    false => acks.settled.set(ordinal),
                };
            }
        }
        chunk.copy_within(at..held, 0);
        held -= at;
        if read == 0 {
            return Ok(acks);
        }
    }
}
