//! Dead letters: what a server refuses for good, kept until somebody sends it again or it is too old.

use std::io::{self, IoSlice};
use std::sync::Arc;

use super::format::{
    MAX_REASON, MAX_SEGMENT, MAX_STORED, RECORDS, RecordHeader, SegmentHeader, payload_check, seq,
};
use super::reader::{Opened, SegmentReader};
use super::run::RunName;
use super::store::Spool;
use super::usage::{DEAD, DEAD_PERCENT};
use super::vfs::{ListedKind, Vfs, append_all};
use super::{Entry, Fingerprint, Kind, REASON, SpoolOptions, Ticket};
use crate::error::{Error, ErrorKind, Result};
use crate::id::TraceId;

/// A record that was refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Names it among the others.
    pub name: String,
    /// Why it was refused.
    pub reason: String,
    /// Where it was to go.
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
    /// As it was appended.
    pub payload: Vec<u8>,
}

/// The dead letters of a spool's directory, of all processes. To send one again: read it, send or append what was read,
/// remove it.
pub struct DeadLetters {
    vfs: Arc<dyn Vfs>,
}

impl DeadLetters {
    /// Those of a directory, without a spool. Fails as [`Spool::open`] does, and where the directory cannot be read.
    #[cfg(unix)]
    pub fn open(options: SpoolOptions) -> Result<Self> {
        let disk = super::Disk::new(&options.directory, options.force_network)?;
        disk.prepare().map_err(|unfit| {
            let message = format!("option 'spool.directory': {unfit}");
            Error::new(ErrorKind::InvalidConfig, message)
        })?;
        Ok(Self::new(Arc::new(disk)))
    }

    pub(super) fn new(vfs: Arc<dyn Vfs>) -> Self {
        DeadLetters { vfs }
    }

    /// The names of all, the oldest first.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let files = match self.vfs.list(DEAD) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            files => files?,
        };
        let mut names: Vec<((u64, u32), String)> = files
            .into_iter()
            .filter(|file| file.kind == ListedKind::File)
            .filter_map(|file| {
                let (run, number) = parse_letter(&file.name)?;
                Some(((run.begun_ms, number), file.name))
            })
            .collect();
        names.sort();
        Ok(names.into_iter().map(|(_, name)| name).collect())
    }

    /// Reads one. `InvalidData` where it is damaged.
    pub fn read(&self, name: &str) -> io::Result<DeadLetter> {
        let damaged = || io::Error::from(io::ErrorKind::InvalidData);
        let (run, number) = parse_letter(name).ok_or(io::ErrorKind::InvalidInput)?;
        let opened = SegmentReader::open(self.vfs.open(&path(name))?, run.id, number)?;
        let Opened::Segment(mut reader) = opened else {
            return Err(damaged());
        };
        let header = reader.next_header().ok_or_else(damaged)?;
        let mut payload = reader.payload(&header).ok_or_else(damaged)?;
        let mut reason = Vec::new();
        if header.flags & REASON != 0 {
            let (len, _) = payload.split_first_chunk().ok_or_else(damaged)?;
            let end = len.len() + usize::from(u16::from_le_bytes(*len));
            reason = payload.get(2..end).ok_or_else(damaged)?.to_vec();
            payload.drain(..end);
        }
        Ok(DeadLetter {
            name: name.to_owned(),
            reason: String::from_utf8_lossy(&reason).into_owned(),
            destination: reader.header().destination,
            kind: header.kind,
            flags: header.flags & !REASON,
            class: header.class,
            trace_id: header.trace_id,
            created_ms: header.created_ms,
            payload,
        })
    }

    /// Removes one.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        parse_letter(name).ok_or(io::ErrorKind::InvalidInput)?;
        self.vfs.remove(&path(name))
    }
}

/// Puts dead letters back among what waits, for whoever delivers to their destination next: how many, and which could
/// not be, with the reason. A letter goes when its record outlasts a power cut.
///
/// Fails as [`Spool::open`].
pub fn revive(options: &SpoolOptions, names: &[String]) -> Result<(u64, Vec<(String, String)>)> {
    if names.is_empty() {
        return Ok((0, Vec::new()));
    }
    let spool = Spool::open(options.clone())?;
    let letters = spool.dead_letters();
    let mut revived = 0;
    let mut failures = Vec::new();
    for name in names {
        match revive_one(&spool, &letters, name) {
            Ok(()) => revived += 1,
            Err(error) => failures.push((name.clone(), error.to_string())),
        }
    }
    spool.close();
    Ok((revived, failures))
}

fn revive_one(spool: &Spool, letters: &DeadLetters, name: &str) -> io::Result<()> {
    let letter = letters.read(name)?;
    let entry = Entry {
        kind: letter.kind,
        flags: letter.flags,
        class: letter.class,
        trace_id: letter.trace_id,
        created_ms: letter.created_ms,
        payload: &[&letter.payload],
    };
    let ticket = spool
        .append(&letter.destination, &entry)
        .map_err(|refused| io::Error::other(format!("the spool does not take it: {refused:?}")))?;
    if spool.sync().contains(&ticket) {
        return Err(io::Error::other("the disk does not keep it"));
    }
    letters.remove(name)
}

/// The letter's run, and its number there. Names come from command lines: nothing but a letter is ever read or removed.
pub(super) fn parse_letter(name: &str) -> Option<(RunName, u32)> {
    let (run, number) = name.strip_suffix(".seg")?.rsplit_once('-')?;
    Some((RunName::parse(run)?, number.parse().ok()?))
}

fn path(name: &str) -> String {
    format!("{DEAD}/{name}")
}

impl Spool {
    /// Puts a record into `dead/` and makes it outlast a power cut; the one with the ticket is then done with. The
    /// answer is the letter's name. Where it fails, nothing has changed.
    pub fn park(
        &self,
        ticket: Option<Ticket>,
        destination: &Fingerprint,
        entry: &Entry<'_>,
        reason: &str,
    ) -> io::Result<String> {
        if self.is_inherited() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut back = self.back.lock();
        let number = back.last_letter + 1;
        let front = self.front.lock();
        let run = front.run.as_ref().filter(|_| number < MAX_SEGMENT);
        let (run, id) = run
            .map(|run| (run.name.clone(), run.id))
            .ok_or(io::ErrorKind::StorageFull)?;
        let room = front.room;
        drop(front);

        let mut end = reason.len().min(MAX_REASON);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let reason = &reason.as_bytes()[..end];
        let len = (reason.len() as u16).to_le_bytes();
        let mut payload = vec![&len[..], reason];
        payload.extend(entry.payload);
        let bytes: u64 = payload.iter().map(|slice| slice.len() as u64).sum();
        let share = self.base.options.max_bytes / 100 * DEAD_PERCENT;
        if bytes > MAX_STORED || bytes > share || bytes > room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let segment = SegmentHeader {
            number,
            run: id,
            made: self.base.vfs.clock(),
            destination: *destination,
        };
        let record = RecordHeader {
            offset: RECORDS,
            len: bytes as u32,
            payload_check: payload_check(&payload),
            kind: entry.kind,
            flags: entry.flags | REASON,
            class: entry.class,
            seq: seq(number, 0),
            trace_id: entry.trace_id,
            created_ms: entry.created_ms,
        };
        let (segment, record) = (segment.encode(), record.encode(id));
        let mut slices = vec![IoSlice::new(&segment), IoSlice::new(&record)];
        slices.extend(payload.iter().map(|slice| IoSlice::new(slice)));
        let name = format!("{run}-{number:06}.seg");
        self.write_letter(&path(&name), &mut slices)?;
        back.last_letter = number;
        if let Some(ticket) = ticket {
            self.settle(&mut back, &[ticket], &self.base.counters.parked);
        }
        self.tidy(DEAD, share);
        Ok(name)
    }

    fn write_letter(&self, path: &str, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        let vfs = &*self.base.vfs;
        match vfs.make_dir(DEAD) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let file = vfs.create(path)?;
        let written = append_all(&*file, slices)
            .and_then(|()| file.sync())
            .and_then(|()| vfs.sync_dir(DEAD))
            .and_then(|()| vfs.sync_dir(""));
        if written.is_err() {
            // Half a letter would be taken for a damaged one.
            let _ = vfs.remove(path);
        }
        written
    }
}
