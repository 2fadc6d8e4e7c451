//! Appending: what the threads of the host share, under one short lock.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::counters::Counter;
use super::format::{
    MAX_SEGMENT, RECORD, RECORDS, RecordHeader, SegmentHeader, payload_check, seq,
};
use super::run::Run;
use super::segment::Segment;
use super::store::Base;
use super::vfs::{Vfs, VfsFile, append_all};
use super::{Entry, Fingerprint, Full, Refused, Ticket};

/// Destinations with an open segment each; of the others the next record begins a new one.
const MAX_ACTIVE: usize = 8;

/// A segment that is to be made.
pub(super) struct Plan {
    pub(super) path: String,
    header: SegmentHeader,
}

/// An empty segment.
pub(super) struct Made {
    header: SegmentHeader,
    file: Arc<dyn VfsFile>,
}

impl Plan {
    pub(super) fn make(&self, vfs: &dyn Vfs) -> io::Result<Made> {
        let header = self.header;
        let file = vfs.create(&self.path)?;
        if let Err(error) = append_all(&*file, &mut [IoSlice::new(&header.encode())]) {
            let _ = vfs.remove(&self.path);
            return Err(error);
        }
        Ok(Made { header, file })
    }
}

/// The run of this process.
#[derive(Default)]
pub(super) struct Front {
    /// Absent while the disk does not take one.
    pub(super) run: Option<Run>,
    /// The run's number in tickets.
    pub(super) index: u32,
    /// The segments that are appended to; the most recently used one is the last.
    active: Vec<(Fingerprint, u32)>,
    /// Made ahead, so that a full segment costs its thread no new file.
    spare: Option<Made>,
    next_number: u32,
    /// Bytes that may be written until somebody looks again.
    pub(super) room: u64,
    pub(super) degraded: bool,
    pub(super) closed: bool,
    /// Something was appended since the disk's usage was last looked at.
    pub(super) grew: bool,
    /// Records that were removed, or may have been, without their owner's doing.
    pub(super) dropped: Vec<Ticket>,
    pub(super) keep: Vec<Ticket>,
}

/// What an entry needs that can be made without the lock.
pub(super) struct Prepared<'a> {
    entry: &'a Entry<'a>,
    len: u32,
    check: u32,
}

impl<'a> Prepared<'a> {
    /// `None` where it is longer than a record may be.
    pub(super) fn new(entry: &'a Entry<'a>, base: &Base) -> Option<Self> {
        let len: u64 = entry.payload.iter().map(|slice| slice.len() as u64).sum();
        let whole = len.saturating_add(RECORDS + RECORD as u64);
        let fits = len <= base.options.max_record_bytes
            && whole <= base.file_limit.load(Ordering::Relaxed);
        Some(Prepared {
            entry,
            len: u32::try_from(len).ok().filter(|_| fits)?,
            check: payload_check(entry.payload),
        })
    }

    fn size(&self) -> u64 {
        RECORD as u64 + u64::from(self.len)
    }
}

impl Front {
    /// Starts with a run; `index` is its number in tickets.
    pub(super) fn begin_run(&mut self, run: Run, index: u32) {
        self.run = Some(run);
        self.index = index;
        self.active.clear();
        self.spare = None;
        self.next_number = 1;
        self.degraded = false;
    }

    /// Appends a record. Segments in `doomed` are to be removed when the lock is free.
    pub(super) fn append(
        &mut self,
        base: &Base,
        destination: &Fingerprint,
        prepared: &Prepared<'_>,
        doomed: &mut Vec<u32>,
    ) -> Result<Ticket, Refused> {
        if self.closed {
            return Err(Refused::Closed);
        }
        if self.degraded || self.run.is_none() {
            return Err(Refused::Degraded);
        }
        let size = prepared.size();
        self.make_room(base, size + RECORDS, doomed)?;
        let written = self
            .segment_for(base, destination, size, doomed)
            .and_then(|number| self.write(number, prepared));
        match written {
            Ok(ticket) => {
                self.room = self.room.saturating_sub(size);
                self.grew = true;
                Ok(ticket)
            }
            Err(_) => {
                self.fail(base, destination, doomed);
                Err(Refused::Degraded)
            }
        }
    }

    /// The segment that the next record of a destination goes to.
    fn segment_for(
        &mut self,
        base: &Base,
        destination: &Fingerprint,
        size: u64,
        doomed: &mut Vec<u32>,
    ) -> io::Result<u32> {
        let place = self
            .active
            .iter()
            .position(|(known, _)| known == destination);
        if let (Some(place), Some(run)) = (place, &self.run) {
            let (_, number) = self.active[place];
            let len = run.segments.get(&number).map_or(u64::MAX, |open| open.len);
            let fits = len.saturating_add(size) <= base.segment_limit();
            // One that is longer than a segment gets one for itself.
            if fits || len == RECORDS {
                self.active[place..].rotate_left(1);
                return Ok(number);
            }
            self.seal(number, doomed);
        } else if self.active.len() == MAX_ACTIVE {
            let (_, number) = self.active[0];
            self.seal(number, doomed);
        }
        let made = match self.spare.take() {
            Some(spare) if spare.header.destination == *destination => spare,
            other => {
                self.spare = other;
                self.plan(base, destination)?.make(&*base.vfs)?
            }
        };
        let number = made.header.number;
        if let Some(run) = &mut self.run {
            let segment = Segment::new(*destination, made.header.made, Some(made.file));
            run.segments.insert(number, segment);
            self.active.push((*destination, number));
        }
        Ok(number)
    }

    fn write(&mut self, number: u32, prepared: &Prepared<'_>) -> io::Result<Ticket> {
        let Prepared { entry, len, check } = prepared;
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let run = self.run.as_mut().ok_or_else(gone)?;
        let segment = run.segments.get_mut(&number).ok_or_else(gone)?;
        let file = segment.file.as_ref().ok_or_else(gone)?;
        let header = RecordHeader {
            offset: segment.len,
            len: *len,
            payload_check: *check,
            kind: entry.kind,
            flags: entry.flags,
            class: entry.class,
            seq: seq(number, segment.records),
            trace_id: entry.trace_id,
            created_ms: entry.created_ms,
        };
        let bytes = header.encode(run.id);
        let mut slices = Vec::with_capacity(entry.payload.len() + 1);
        slices.push(IoSlice::new(&bytes));
        slices.extend(entry.payload.iter().map(|slice| IoSlice::new(slice)));
        append_all(&**file, &mut slices)?;
        segment.len = header.end();
        segment.records += 1;
        segment.pending += 1;
        segment.newest_ms = segment.newest_ms.max(entry.created_ms);
        Ok(Ticket {
            run: self.index,
            seq: header.seq,
        })
    }

    /// Writing failed: nothing follows what was half written, and nothing is written for some time.
    fn fail(&mut self, base: &Base, destination: &Fingerprint, doomed: &mut Vec<u32>) {
        base.counters.failures.add(1);
        self.degraded = true;
        let place = self.active.iter().find(|(known, _)| known == destination);
        let Some((_, number)) = place.copied() else {
            return;
        };
        let segment = self.run.as_ref().and_then(|run| run.segments.get(&number));
        if let Some(segment) = segment
            && let Some(file) = &segment.file
        {
            // Where that fails too, a reader steps over the rest: a record counts only when it is whole.
            let _ = file.truncate(segment.len);
        }
        self.seal(number, doomed);
    }

    /// What is to become the next segment; its number is not given again.
    fn plan(&mut self, base: &Base, destination: &Fingerprint) -> io::Result<Plan> {
        let number = self.next_number;
        let run = match &self.run {
            Some(run) if number < MAX_SEGMENT => run,
            _ => return Err(io::ErrorKind::StorageFull.into()),
        };
        self.next_number += 1;
        self.room = self.room.saturating_sub(RECORDS);
        Ok(Plan {
            path: run.segment_path(number),
            header: SegmentHeader {
                number,
                run: run.id,
                made: base.vfs.clock(),
                destination: *destination,
            },
        })
    }

    /// What to make ahead, where a new segment will be needed soon.
    pub(super) fn plan_spare(&mut self, base: &Base) -> Option<Plan> {
        let (destination, number) = self.active.last().copied()?;
        let segment = self.run.as_ref()?.segments.get(&number)?;
        let fills = segment.len > base.segment_limit() / 16;
        let is_wanted = fills && self.spare.is_none() && !self.degraded && self.room > RECORDS;
        is_wanted.then(|| self.plan(base, &destination).ok())?
    }

    /// Keeps what was made ahead; not where it was overtaken, because numbers are in the order of appending.
    pub(super) fn keep_spare(&mut self, made: Made) -> bool {
        let is_next = self.next_number == made.header.number + 1;
        let run = self.run.as_ref();
        let is_ours = run.is_some_and(|run| run.id == made.header.run);
        let is_kept = is_next && is_ours && !self.closed;
        if is_kept {
            self.spare = Some(made);
        }
        is_kept
    }

    /// Forgets the segment that was made ahead; its number, for its removal.
    pub(super) fn take_spare(&mut self) -> Option<u32> {
        self.spare.take().map(|spare| spare.header.number)
    }

    /// Ends a segment: nothing is appended to it any more.
    pub(super) fn seal(&mut self, number: u32, doomed: &mut Vec<u32>) {
        self.active.retain(|(_, active)| *active != number);
        let run = self.run.as_mut();
        if let Some(segment) = run.and_then(|run| run.segments.get_mut(&number)) {
            segment.is_open = false;
            if segment.is_done() {
                self.forget(number);
                doomed.push(number);
            }
        }
    }

    /// Ends all segments.
    pub(super) fn seal_all(&mut self, doomed: &mut Vec<u32>) {
        for (_, number) in self.active.clone() {
            self.seal(number, doomed);
        }
    }

    /// Takes a segment out of the books; it is the caller's to remove.
    pub(super) fn forget(&mut self, number: u32) -> Option<Segment> {
        let run = self.run.as_mut();
        let segment = run.and_then(|run| run.segments.remove(&number))?;
        self.room = self.room.saturating_add(segment.len);
        Some(segment)
    }

    /// Marks records of a segment as done with, and removes it from the books when it is done with as well.
    pub(super) fn settle(&mut self, base: &Base, number: u32, ordinals: &[u32]) -> Settled {
        let recycle = base.segment_limit() / 8;
        let run = self.run.as_mut();
        let Some(segment) = run.and_then(|run| run.segments.get_mut(&number)) else {
            return Settled::default();
        };
        let new: Vec<u32> = ordinals
            .iter()
            .copied()
            .filter(|ordinal| segment.settle(*ordinal))
            .collect();
        // What is delivered at once leaves no full segments behind, and would fill the disk with open ones.
        let is_done = segment.is_done() || segment.pending == 0 && segment.len >= recycle;
        if is_done {
            self.active.retain(|(_, active)| *active != number);
            self.forget(number);
        }
        Settled { new, is_done }
    }

    /// Drops what is oldest until there is room for so many bytes.
    fn make_room(&mut self, base: &Base, need: u64, doomed: &mut Vec<u32>) -> Result<(), Refused> {
        if self.room >= need {
            return Ok(());
        }
        let run = self.run.as_ref().ok_or(Refused::Degraded)?;
        let sealed = run.segments.iter().filter(|(_, segment)| !segment.is_open);
        let sealed: Vec<(u32, u64)> = sealed.map(|(number, one)| (*number, one.len)).collect();
        let droppable: u64 = sealed.iter().map(|(_, len)| len).sum();
        let possible = self.room.saturating_add(droppable) >= need;
        if base.options.full == Full::DropNewest || !possible {
            return Err(Refused::Full);
        }
        for (number, _) in sealed {
            if self.room >= need {
                break;
            }
            self.drop_segment(number, &base.counters.dropped);
            doomed.push(number);
        }
        Ok(())
    }

    /// Gives up what is left of a segment, which is the caller's to remove.
    pub(super) fn drop_segment(&mut self, number: u32, counter: &Counter) {
        self.active.retain(|(_, active)| *active != number);
        if let Some(segment) = self.forget(number) {
            counter.add(u64::from(segment.pending));
            let unsettled = segment.unsettled(0);
            let tickets = unsettled.map(|ordinal| self.ticket(number, ordinal));
            self.dropped.extend(tickets.collect::<Vec<_>>());
        }
    }

    fn ticket(&self, number: u32, ordinal: u32) -> Ticket {
        Ticket {
            run: self.index,
            seq: seq(number, ordinal),
        }
    }

    /// Whoever appended the records behind what is known to be on disk has to keep them: the segment may have lost
    /// them, and after a failed sync nobody can tell.
    pub(super) fn abandon(&mut self, base: &Base, number: u32, doomed: &mut Vec<u32>) {
        self.degraded = true;
        base.counters.failures.add(1);
        let run = self.run.as_mut();
        let Some(segment) = run.and_then(|run| run.segments.get_mut(&number)) else {
            return;
        };
        segment.file = None;
        let first = if segment.synced.entry {
            segment.synced.records
        } else {
            0
        };
        let unsure: Vec<u32> = segment.unsettled(first).collect();
        base.counters.unsynced.add(unsure.len() as u64);
        let tickets: Vec<Ticket> = unsure
            .into_iter()
            .map(|ordinal| self.ticket(number, ordinal))
            .collect();
        self.keep.extend(tickets);
        self.seal(number, doomed);
    }
}

/// What became of an acknowledgement.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Records that were not settled before.
    pub(super) new: Vec<u32>,
    /// The segment is out of the books, and to be removed.
    pub(super) is_done: bool,
}
