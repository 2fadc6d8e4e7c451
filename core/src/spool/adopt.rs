//! Taking over what processes left behind that died.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::format::RecordHeader;
use super::reader::{Opened, SegmentReader, read_acks};
use super::run::{Part, Run, RunName, parse_file};
use super::segment::Segment;
use super::store::{Back, Spool};
use super::usage::{BAD, BAD_PERCENT, run_names, segments};
use super::vfs::Vfs;
use super::{Fingerprint, Kind, PART, Record, Ticket};
use crate::id::TraceId;

/// Orphans of which records are pending here at a time; each holds a descriptor.
const MAX_HELD: usize = 64;

/// What [`Spool::adopt`] found.
#[derive(Debug, Default)]
pub struct Adopted {
    /// Records, the oldest first; those of one destination and process in the order of their appending.
    pub records: Vec<Record>,
    /// There may be more, now or in a moment. Otherwise every orphan was looked at, and the next call begins anew.
    pub more: bool,
}

/// How far the adoption came.
#[derive(Default)]
pub(super) struct Adoption {
    /// Orphans still to be looked at; absent before they were looked for.
    queue: Option<VecDeque<String>>,
    /// The run that is being read.
    run: Option<u32>,
    reading: Option<Reading>,
    /// The files that were looked at within this second.
    window: Option<(Instant, u32)>,
}

/// A run that is being read.
struct Reading {
    index: u32,
    segments: VecDeque<u32>,
    /// Whether a destination is wanted, asked once: the parts of a trace must not be told apart.
    wanted: BTreeMap<Fingerprint, bool>,
    current: Option<(u32, SegmentReader)>,
    /// Roots whose end was not read yet.
    roots: BTreeMap<TraceId, Root>,
    /// Roots whose end was.
    ended: Vec<Ticket>,
}

#[derive(Clone, Copy)]
struct Root {
    ticket: Ticket,
    offset: u64,
}

impl Adoption {
    pub(super) fn is_reading(&self, index: u32) -> bool {
        self.run == Some(index)
    }

    /// Whether another file may be looked at now.
    fn may_look(&mut self, now: Instant, per_second: u32) -> bool {
        let (since, files) = self.window.get_or_insert((now, 0));
        if now.saturating_duration_since(*since) >= Duration::from_secs(1) {
            (*since, *files) = (now, 0);
        }
        *files += 1;
        *files <= per_second
    }
}

/// One step of the adoption.
enum Step {
    Record(Record),
    Nothing,
    /// Not now.
    Pause,
    End,
}

impl Spool {
    /// Takes over records of processes that died and whose destination is `wanted`; what others want stays for them.
    /// A few at a time: no more than it takes to reach `max_bytes` of payload. They are acknowledged like our own.
    /// `wanted` is asked once for each destination that a process left records of.
    ///
    /// A [root](Kind::RootOpen) comes after all other records of its process, and only if its trace did not end.
    pub fn adopt(
        &self,
        wanted: &dyn Fn(&Fingerprint) -> bool,
        max_bytes: usize,
        now: Instant,
    ) -> Adopted {
        let mut adopted = Adopted::default();
        if self.is_inherited() {
            return adopted;
        }
        let mut back = self.back.lock();
        let mut bytes = 0;
        adopted.more = loop {
            if bytes >= max_bytes {
                break true;
            }
            match self.step(&mut back, wanted, now) {
                Step::Record(record) => {
                    bytes += record.payload.len().max(1);
                    adopted.records.push(record);
                }
                Step::Nothing => {}
                Step::Pause => break true,
                Step::End => break false,
            }
        };
        self.settle_ended(&mut back);
        adopted
    }

    fn step(&self, back: &mut Back, wanted: &dyn Fn(&Fingerprint) -> bool, now: Instant) -> Step {
        let per_second = self.base.options.files_per_second;
        let Some(mut reading) = back.adoption.reading.take() else {
            return self.next_run(back, now);
        };
        if let Some((number, mut reader)) = reading.current.take() {
            let step = self.read(back, &mut reading, number, &mut reader);
            match step {
                Some(_) => reading.current = Some((number, reader)),
                None => self.finish_segment(back, &reading, number, &reader),
            }
            back.adoption.reading = Some(reading);
            return step.unwrap_or(Step::Nothing);
        }
        if !back.adoption.may_look(now, per_second) {
            back.adoption.reading = Some(reading);
            return Step::Pause;
        }
        let step = if let Some(number) = reading.segments.pop_front() {
            self.open_segment(back, &mut reading, number, wanted);
            Step::Nothing
        } else if let Some((_, root)) = reading.roots.pop_first() {
            self.read_root(back, root)
        } else {
            back.adoption.reading = Some(reading);
            self.settle_ended(back);
            back.adoption.reading = None;
            back.adoption.run = None;
            self.release(back);
            return Step::Nothing;
        };
        back.adoption.reading = Some(reading);
        step
    }

    /// Takes the lock of the next orphan.
    fn next_run(&self, back: &mut Back, now: Instant) -> Step {
        let vfs = &*self.base.vfs;
        let per_second = self.base.options.files_per_second;
        if back.runs.len() >= MAX_HELD || !back.adoption.may_look(now, per_second) {
            return Step::Pause;
        }
        let queue = back.adoption.queue.get_or_insert_with(|| {
            let mut names: Vec<_> = run_names(vfs.list("").unwrap_or_default()).collect();
            names.sort();
            names.into_iter().map(|(_, name)| name).collect()
        });
        let Some(name) = queue.pop_front() else {
            back.adoption.queue = None;
            return Step::End;
        };
        let held = |run: &Run| run.name == name;
        let is_held =
            back.runs.values().any(held) || self.front.lock().run.as_ref().is_some_and(held);
        let parsed = RunName::parse(&name).filter(|_| !is_held);
        let Some(parsed) = parsed else {
            return Step::Nothing;
        };
        let run = match Run::lock(vfs, &name, parsed.id) {
            Ok(Some(run)) => run,
            Ok(None) => return Step::Nothing,
            Err(error) => {
                let is_gone = error.kind() == std::io::ErrorKind::NotFound;
                self.base.counters.unreadable.add(u64::from(!is_gone));
                return Step::Nothing;
            }
        };
        let files = vfs.list(&name).unwrap_or_default();
        let numbers = segments(&files);
        for file in &files {
            if let Some((number, Part::Acks)) = parse_file(&file.name)
                && !numbers.contains_key(&number)
            {
                // Its segment went first. One that stays means nothing.
                let _ = vfs.remove(&run.ack_path(number));
            }
        }
        let index = back.next_index;
        back.next_index += 1;
        back.runs.insert(index, run);
        back.adoption.run = Some(index);
        back.adoption.reading = Some(Reading {
            index,
            segments: numbers.into_keys().collect(),
            wanted: BTreeMap::new(),
            current: None,
            roots: BTreeMap::new(),
            ended: Vec::new(),
        });
        Step::Nothing
    }

    fn open_segment(
        &self,
        back: &mut Back,
        reading: &mut Reading,
        number: u32,
        wanted: &dyn Fn(&Fingerprint) -> bool,
    ) {
        let vfs = &*self.base.vfs;
        let Some(run) = back.runs.get_mut(&reading.index) else {
            return;
        };
        let opened = run.open(vfs, number);
        let reader = match opened {
            Ok(Opened::Segment(reader)) => reader,
            Ok(Opened::Unreadable) => return self.quarantine(&run.name, number),
            Ok(Opened::Empty) => {
                back.doomed.push((run.name.clone(), number));
                return self.remove_doomed(back);
            }
            Ok(Opened::Foreign) => return,
            Err(_) => return self.base.counters.unreadable.add(1),
        };
        let header = *reader.header();
        let is_wanted = reading.wanted.entry(header.destination);
        if !*is_wanted.or_insert_with(|| wanted(&header.destination)) {
            return self.expire_unwanted(back, reading.index, number, reader);
        }
        let mut segment = Segment::new(header.destination, header.made, None);
        let acks = acks(vfs, &run.name, number, &reader);
        (segment.settled, segment.sent) = (acks.settled, acks.sent);
        run.segments.insert(number, segment);
        reading.current = Some((number, reader));
    }

    /// Reads on in a segment; `None` at its end.
    fn read(
        &self,
        back: &mut Back,
        reading: &mut Reading,
        number: u32,
        reader: &mut SegmentReader,
    ) -> Option<Step> {
        let run = back.runs.get_mut(&reading.index)?;
        let segment = run.segments.get_mut(&number)?;
        let header = reader.next_header()?;
        let counters = &self.base.counters;
        let ticket = Ticket {
            run: reading.index,
            seq: header.seq,
        };
        let is_settled = segment.settled.get(header.ordinal());
        let payload = if is_settled {
            None
        } else {
            reader.payload(&header)
        };
        if !is_settled && payload.is_none() {
            return Some(Step::Nothing);
        }
        segment.records = segment.records.max(header.ordinal().saturating_add(1));
        segment.newest_ms = segment.newest_ms.max(header.created_ms);
        let ends = header.kind == Kind::Trace && header.flags & PART == 0;
        if ends && let Some(root) = reading.roots.remove(&header.trace_id) {
            reading.ended.push(root.ticket);
        }
        let Some(payload) = payload else {
            return Some(Step::Nothing);
        };
        counters.adopted.add(1);
        segment.pending += 1;
        if self.base.is_expired(header.created_ms, &segment.made) {
            segment.settle(header.ordinal());
            counters.expired.add(1);
            return Some(Step::Nothing);
        }
        if header.kind == Kind::RootOpen {
            let root = Root {
                ticket,
                offset: header.offset,
            };
            let earlier = reading.roots.insert(header.trace_id, root);
            reading.ended.extend(earlier.map(|root| root.ticket));
            return Some(Step::Nothing);
        }
        let sent = segment.sent.get(header.ordinal());
        let destination = segment.destination;
        Some(Step::Record(Record::new(
            ticket,
            destination,
            &header,
            sent,
            payload,
        )))
    }

    fn finish_segment(
        &self,
        back: &mut Back,
        reading: &Reading,
        number: u32,
        reader: &SegmentReader,
    ) {
        self.base.counters.corrupt.add(reader.damaged());
        let Some(run) = back.runs.get_mut(&reading.index) else {
            return;
        };
        let Some(segment) = run.segments.get_mut(&number) else {
            return;
        };
        segment.is_open = false;
        if segment.is_done() {
            run.segments.remove(&number);
            back.doomed.push((run.name.clone(), number));
            self.remove_doomed(back);
        }
    }

    /// A root whose trace did not end.
    fn read_root(&self, back: &mut Back, root: Root) -> Step {
        let Root { ticket, offset } = root;
        let run = back.runs.get(&ticket.run);
        let reread = run.and_then(|run| {
            let segment = run.segments.get(&ticket.segment())?;
            let opened = run.open(&*self.base.vfs, ticket.segment()).ok()?;
            let Opened::Segment(reader) = opened else {
                return None;
            };
            let (header, payload) = reader.again(offset)?;
            let sent = segment.sent.get(ticket.ordinal());
            let destination = segment.destination;
            Some(Record::new(ticket, destination, &header, sent, payload))
        });
        match reread {
            Some(record) => Step::Record(record),
            None => {
                self.settle(back, &[ticket], &self.base.counters.lost);
                Step::Nothing
            }
        }
    }

    /// Marks roots as done with whose trace ended: before anybody can acknowledge that end, which would leave a root
    /// without one.
    fn settle_ended(&self, back: &mut Back) {
        let ended = back.adoption.reading.as_mut();
        let ended = ended.map(|reading| std::mem::take(&mut reading.ended));
        if let Some(ended) = ended.filter(|ended| !ended.is_empty()) {
            self.settle(back, &ended, &self.base.counters.acked);
        }
    }

    /// Nobody came for these records: they are removed when all of them are too old.
    fn expire_unwanted(&self, back: &mut Back, index: u32, number: u32, mut reader: SegmentReader) {
        let made = reader.header().made;
        if !self.base.is_expired(made.wall_ms, &made) {
            return;
        }
        let Some(run) = back.runs.get(&index) else {
            return;
        };
        let acks = acks(&*self.base.vfs, &run.name, number, &reader);
        let mut expired = 0;
        while let Some(header) = reader.next_header() {
            if !self.base.is_expired(header.created_ms, &made) {
                return;
            }
            expired += u64::from(!acks.settled.get(header.ordinal()));
        }
        self.base.counters.adopted.add(expired);
        self.base.counters.expired.add(expired);
        back.doomed.push((run.name.clone(), number));
        self.remove_doomed(back);
    }

    /// Puts a segment aside that nobody can read.
    fn quarantine(&self, run: &str, number: u32) {
        let vfs = &*self.base.vfs;
        let from = super::run::segment_path(run, number);
        // Both may exist already; what matters is whether the file can be moved there.
        let _ = vfs.make_dir(BAD);
        let moved = vfs.rename(&from, &format!("{BAD}/{run}-{number:06}.seg"));
        let counters = &self.base.counters;
        match moved {
            Ok(()) => counters.quarantined.add(1),
            Err(_) => counters.unreadable.add(1),
        }
        let _ = vfs.remove(&super::run::ack_path(run, number));
        self.tidy(BAD, self.base.options.max_bytes / 100 * BAD_PERCENT);
    }
}

/// What the `.ack` file of a segment says; nothing where there is none, or it cannot be read.
pub(super) fn acks(
    vfs: &dyn Vfs,
    run: &str,
    number: u32,
    reader: &SegmentReader,
) -> super::acks::Acks {
    let file = vfs.open(&super::run::ack_path(run, number));
    let acks = file.and_then(|file| read_acks(&*file, reader.header(), reader.end()));
    acks.unwrap_or_default()
}

/// How many records of a segment are not done with.
pub(super) fn count_unsettled(vfs: &dyn Vfs, run: &Run, number: u32) -> u64 {
    let Ok(Opened::Segment(mut reader)) = run.open(vfs, number) else {
        return 0;
    };
    let acks = acks(vfs, &run.name, number, &reader);
    std::iter::from_fn(|| reader.next_header())
        .filter(|header: &RecordHeader| !acks.settled.get(header.ordinal()))
        .count() as u64
}
