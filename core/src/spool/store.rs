//! The spool of one process.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::adopt::Adoption;
use super::counters::{Counter, Counters, SpoolStats};
use super::format::{Clock, seq};
use super::front::{Front, Prepared, Settled};
use super::options::SpoolOptions;
use super::reader::{Opened, SegmentReader};
use super::run::Run;
use super::vfs::{Unfit, Vfs, append_all};
use super::{DeadLetters, Entry, Fingerprint, Record, Refused, Ticket};
use crate::error::{Error, ErrorKind, Result};
use crate::lock::Mutex;
use crate::pipeline::fork;

/// What everything else here works with.
pub(super) struct Base {
    pub(super) vfs: Arc<dyn Vfs>,
    pub(super) options: SpoolOptions,
    pub(super) counters: Counters,
    /// [`Vfs::file_limit`], as it was when somebody last looked.
    pub(super) file_limit: AtomicU64,
}

impl Base {
    /// How long a segment may become.
    pub(super) fn segment_limit(&self) -> u64 {
        let file_limit = self.file_limit.load(Ordering::Relaxed);
        self.options.segment_bytes.min(file_limit)
    }

    /// Whether a record is too old. Never because of a clock alone: one that was set forward since does not age a
    /// record beyond the time that its system has been up, and a record of the future or of a system without a
    /// clock has no age.
    pub(super) fn is_expired(&self, created_ms: u64, made: &Clock) -> bool {
        /// 2020-01-01. Systems that do not know the time begin in 1970 or 2000.
        const CLOCK_IS_SET: u64 = 1_577_836_800_000;
        let now = self.vfs.clock();
        let mut age = now.wall_ms.saturating_sub(created_ms);
        if now.boot == made.boot && now.boot != [0; 16] {
            age = age.min(now.since_boot_ms.saturating_sub(made.since_boot_ms));
        }
        created_ms >= CLOCK_IS_SET && age > self.options.max_age_ms()
    }
}

/// What only the exporting thread needs.
#[derive(Default)]
pub(super) struct Back {
    /// Runs of processes that died, and runs of our own whose directory somebody took away.
    pub(super) runs: BTreeMap<u32, Run>,
    pub(super) next_index: u32,
    /// The number of the last dead letter.
    pub(super) last_letter: u32,
    pub(super) adoption: Adoption,
    /// Segments that are out of the books and could not be removed yet.
    pub(super) doomed: Vec<(String, u32)>,
    pub(super) synced_at: Option<Instant>,
    pub(super) looked_at: Option<Instant>,
    pub(super) failed_at: Option<Instant>,
    pub(super) run_entry_synced: bool,
}

/// How far [`Spool::read_back`] came.
#[derive(Clone, Debug, Default)]
pub struct Cursor(BTreeMap<Ticket, u64>);

/// The spool of one process: its own run, and those that it adopted.
///
/// A forked child makes one of its own; what it inherited does nothing there.
pub struct Spool {
    pub(super) base: Base,
    /// Taken after `back` where both are needed.
    pub(super) front: Mutex<Front>,
    pub(super) back: Mutex<Back>,
    generation: u32,
}

impl Spool {
    /// Opens the spool in a directory, and makes the directory if it is missing.
    ///
    /// Fails only for what somebody has to change: a directory that others could read or write, or one on a network
    /// file system. Where the disk fails, the spool begins degraded and tries again.
    #[cfg(unix)]
    pub fn open(options: SpoolOptions) -> Result<Spool> {
        let disk = super::Disk::new(&options.directory, options.force_network)?;
        Self::with_vfs(Arc::new(disk), options)
    }

    /// Not supported on this platform: fails.
    #[cfg(not(unix))]
    pub fn open(_: SpoolOptions) -> Result<Spool> {
        Err(Error::new(
            ErrorKind::Unsupported,
            "option 'spool': not supported on this platform",
        ))
    }

    /// Opens the spool on a file system that is given.
    pub fn with_vfs(vfs: Arc<dyn Vfs>, options: SpoolOptions) -> Result<Spool> {
        // Children must not keep what is locked here.
        fork::install();
        let spool = Spool {
            base: Base {
                vfs,
                options: options.bounded(),
                counters: Counters::default(),
                file_limit: AtomicU64::new(u64::MAX),
            },
            front: Mutex::default(),
            back: Mutex::default(),
            generation: fork::generation(),
        };
        if let Err(Unfit::Refused(why)) = spool.begin(&mut spool.back.lock()) {
            let message = format!("option 'spool.directory': {why}");
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        }
        Ok(spool)
    }

    /// Begins a run, where the disk takes one.
    pub(super) fn begin(&self, back: &mut Back) -> std::result::Result<(), Unfit> {
        /// The share of the limit that is used before anybody has looked at what others use.
        const AT_FIRST: u64 = 8;
        let vfs = &*self.base.vfs;
        let limit = &self.base.file_limit;
        limit.store(vfs.file_limit(), Ordering::Relaxed);
        let begun = vfs.prepare().and_then(|()| {
            let room = self.room_on_disk()?;
            Ok((Run::create(vfs)?, room))
        });
        let mut front = self.front.lock();
        match begun {
            Ok((run, room)) => {
                front.begin_run(run, back.next_index);
                front.room = room.min(self.base.options.max_bytes / AT_FIRST);
                back.next_index += 1;
                back.run_entry_synced = false;
                Ok(())
            }
            Err(unfit) => {
                self.base.counters.failures.add(1);
                front.degraded = true;
                Err(unfit)
            }
        }
    }

    /// A forked child inherits locks that nobody will release, and files that are its parent's.
    pub(super) fn is_inherited(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Appends a record, with one system call. From then on it outlasts the process.
    ///
    /// From any thread. Never waits for a sync; blocks as long as the system takes for the write itself.
    pub fn append(
        &self,
        destination: &Fingerprint,
        entry: &Entry<'_>,
    ) -> std::result::Result<Ticket, Refused> {
        if self.is_inherited() {
            return Err(Refused::Closed);
        }
        let counters = &self.base.counters;
        let Some(prepared) = Prepared::new(entry, &self.base) else {
            counters.refused_large.add(1);
            return Err(Refused::TooLarge);
        };
        let mut doomed = Vec::new();
        let (outcome, run) = {
            let mut front = self.front.lock();
            let outcome = front.append(&self.base, destination, &prepared, &mut doomed);
            let name = || front.run.as_ref().map(|run| run.name.clone());
            let run = if doomed.is_empty() { None } else { name() };
            // Counted under the lock, so that nothing is settled before it is counted.
            match outcome {
                Ok(_) => counters.appended.add(1),
                Err(Refused::Full) => counters.refused_full.add(1),
                Err(Refused::Degraded) => counters.refused_degraded.add(1),
                Err(Refused::TooLarge | Refused::Closed) => {}
            }
            (outcome, run)
        };
        if let Some(run) = run {
            for number in doomed {
                // One that stays is delivered by whoever adopts it.
                let _ = Run::remove_files(&*self.base.vfs, &run, number);
            }
        }
        outcome
    }

    /// Marks records as done with: delivered, or given up by the caller. Segments of which nothing is left go.
    ///
    /// Records are marked on disk in the order of their tickets, so that no [root](super::Kind::RootOpen) outlives its
    /// trace when both are given at once.
    pub fn ack(&self, tickets: &[Ticket]) {
        if !self.is_inherited() {
            self.settle(&mut self.back.lock(), tickets, &self.base.counters.acked);
        }
    }

    /// Marks records as about to be sent. Who adopts them from a process that dies before their [`Self::ack`] is told.
    pub fn mark_sent(&self, tickets: &[Ticket]) {
        if self.is_inherited() {
            return;
        }
        let mut back = self.back.lock();
        for (run, number, ordinals) in grouped(tickets) {
            self.with_run(&mut back, run, |run| {
                if let Some(segment) = run.segments.get_mut(&number) {
                    let new = ordinals.iter().filter(|one| segment.sent.set(**one));
                    let entries = new.map(|one| (*one, true)).collect::<Vec<_>>();
                    run.note(number, &entries);
                }
            });
            self.write_acks(&mut back, run, number);
        }
    }

    pub(super) fn settle(&self, back: &mut Back, tickets: &[Ticket], counter: &Counter) {
        for (index, number, ordinals) in grouped(tickets) {
            let settled = {
                let mut front = self.front.lock();
                match back.runs.get_mut(&index) {
                    Some(run) => settle_adopted(run, number, &ordinals),
                    None if index == front.index => front.settle(&self.base, number, &ordinals),
                    None => Settled::default(),
                }
            };
            counter.add(settled.new.len() as u64);
            if settled.is_done {
                let name = self.with_run(back, index, |run| run.name.clone());
                back.doomed.extend(name.map(|name| (name, number)));
                self.remove_doomed(back);
            } else if !settled.new.is_empty() {
                let entries: Vec<_> = settled.new.iter().map(|one| (*one, false)).collect();
                self.with_run(back, index, |run| run.note(number, &entries));
                self.write_acks(back, index, number);
            }
        }
    }

    /// Does something with a run whose number is in a ticket.
    pub(super) fn with_run<T>(
        &self,
        back: &mut Back,
        index: u32,
        work: impl FnOnce(&mut Run) -> T,
    ) -> Option<T> {
        if let Some(run) = back.runs.get_mut(&index) {
            return Some(work(run));
        }
        let mut front = self.front.lock();
        let is_own = front.index == index;
        front.run.as_mut().filter(|_| is_own).map(work)
    }

    /// Writes what is noted for the `.ack` file of a segment; what cannot be written stays noted.
    pub(super) fn write_acks(&self, back: &mut Back, index: u32, number: u32) {
        let noted = self.with_run(back, index, |run| {
            let segment = run.segments.get_mut(&number)?;
            let bytes = std::mem::take(&mut segment.unwritten);
            (!bytes.is_empty()).then(|| (bytes, run.ack_path(number)))
        });
        let Some((bytes, path)) = noted.flatten() else {
            return;
        };
        let file = self.base.vfs.append_to(&path);
        let written = file.and_then(|file| append_all(&*file, &mut [IoSlice::new(&bytes)]));
        if written.is_err() {
            // Readers step over a half written entry, and one that is written twice does no harm.
            self.base.counters.failures.add(1);
            self.with_run(back, index, |run| {
                if let Some(segment) = run.segments.get_mut(&number) {
                    segment.unwritten = bytes;
                }
            });
        }
    }

    /// Removes what is out of the books; what cannot be removed is tried again. Runs that nothing is left of for us are
    /// given up.
    pub(super) fn remove_doomed(&self, back: &mut Back) {
        back.doomed
            .retain(|(run, number)| Run::remove_files(&*self.base.vfs, run, *number).is_err());
        self.release(back);
    }

    pub(super) fn release(&self, back: &mut Back) {
        let Back {
            runs,
            adoption,
            doomed,
            ..
        } = back;
        let is_over = |index: u32, run: &Run| {
            let is_doomed = doomed.iter().any(|(name, _)| *name == run.name);
            run.segments.is_empty() && !is_doomed && !adoption.is_reading(index)
        };
        let over = runs.iter().filter(|(index, run)| is_over(**index, run));
        let over: Vec<u32> = over.map(|(index, _)| *index).collect();
        for run in over.iter().filter_map(|index| runs.remove(index)) {
            run.release(&*self.base.vfs);
        }
    }

    /// Reads back records of this process that are not done with, from where the cursor stands, in the order in which
    /// each destination's were appended; no more than it takes to reach `max_bytes` of payload.
    pub fn read_back(&self, cursor: &mut Cursor, max_bytes: usize) -> Vec<Record> {
        let mut records = Vec::new();
        if self.is_inherited() {
            return records;
        }
        // Nothing is removed while it is read.
        let _back = self.back.lock();
        let (index, name, id, segments) = {
            let front = self.front.lock();
            let Some(run) = &front.run else {
                return records;
            };
            let numbers: Vec<(u32, u64)> = run
                .segments
                .iter()
                .filter(|(_, segment)| segment.pending > 0)
                .map(|(number, segment)| (*number, segment.len))
                .collect();
            (front.index, run.name.clone(), run.id, numbers)
        };
        let key = |number| Ticket {
            run: index,
            seq: seq(number, 0),
        };
        cursor.0.retain(|ticket, _| {
            let number = ticket.segment();
            ticket.run == index && segments.iter().any(|(known, _)| *known == number)
        });
        let mut bytes = 0;
        for (number, len) in segments {
            let offset = cursor.0.entry(key(number)).or_default();
            if *offset >= len || bytes >= max_bytes {
                continue;
            }
            let path = super::run::segment_path(&name, number);
            let file = self.base.vfs.open(&path);
            let opened = file.and_then(|file| SegmentReader::open(file, id, number));
            let Ok(Opened::Segment(mut reader)) = opened else {
                continue;
            };
            reader.between(*offset, len);
            while bytes < max_bytes
                && let Some(header) = reader.next_header()
            {
                let state = {
                    let front = self.front.lock();
                    let run = front.run.as_ref();
                    let segment = run.and_then(|run| run.segments.get(&number));
                    segment
                        .filter(|segment| !segment.settled.get(header.ordinal()))
                        .map(|segment| (segment.destination, segment.sent.get(header.ordinal())))
                };
                if let Some((destination, sent)) = state
                    && let Some(payload) = reader.payload(&header)
                {
                    bytes += payload.len().max(1);
                    let ticket = Ticket {
                        run: index,
                        seq: header.seq,
                    };
                    records.push(Record::new(ticket, destination, &header, sent, payload));
                }
            }
            *offset = reader.offset();
        }
        records
    }

    /// What a server refused for good, over all processes.
    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters::new(self.base.vfs.clone())
    }

    /// What became of the records.
    pub fn stats(&self) -> SpoolStats {
        let mut stats = self.base.counters.read();
        if !self.is_inherited() {
            stats.degraded = self.front.lock().degraded;
        }
        stats
    }

    /// Ends the spool of this process. What is pending stays for the next one; nothing is appended any more, and
    /// acknowledgements come too late.
    ///
    /// Does not sync: call [`Self::sync`] before where that matters.
    pub fn close(&self) {
        if self.is_inherited() {
            return;
        }
        let mut back = self.back.lock();
        self.retry_acks(&mut back);
        let mut doomed = Vec::new();
        let run = {
            let mut front = self.front.lock();
            front.closed = true;
            doomed.extend(front.take_spare());
            front.seal_all(&mut doomed);
            front.run.take()
        };
        let mut runs: Vec<Run> = std::mem::take(&mut back.runs).into_values().collect();
        if let Some(run) = run {
            back.doomed
                .extend(doomed.iter().map(|number| (run.name.clone(), *number)));
            runs.push(run);
        }
        self.remove_doomed(&mut back);
        back.adoption = Adoption::default();
        for run in runs {
            run.release(&*self.base.vfs);
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.close();
    }
}

/// Marks records of a run that is not our own as done with.
fn settle_adopted(run: &mut Run, number: u32, ordinals: &[u32]) -> Settled {
    let Some(segment) = run.segments.get_mut(&number) else {
        return Settled::default();
    };
    let mut new = ordinals.to_vec();
    new.retain(|ordinal| segment.settle(*ordinal));
    let is_done = segment.is_done();
    if is_done {
        run.segments.remove(&number);
    }
    Settled { new, is_done }
}

/// Tickets by run and segment, in order.
fn grouped(tickets: &[Ticket]) -> Vec<(u32, u32, Vec<u32>)> {
    let mut sorted = tickets.to_vec();
    sorted.sort_unstable();
    sorted
        .chunk_by(|a, b| (a.run, a.segment()) == (b.run, b.segment()))
        .filter_map(|group| {
            let first = group.first()?;
            let ordinals = group.iter().map(Ticket::ordinal).collect();
            Some((first.run, first.segment(), ordinals))
        })
        .collect()
}
