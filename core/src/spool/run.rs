//! The directory of one process, and the lock that says whether the process still lives.

use std::collections::BTreeMap;
use std::io;

use super::format::{AckEntry, seq};
use super::reader::{Opened, SegmentReader};
use super::segment::Segment;
use super::vfs::{Lock, Vfs};
use crate::id;

const LOCK: &str = "lock";

/// A run whose lock we hold: our own, or that of a process that died.
pub(super) struct Run {
    pub(super) name: String,
    /// The random number in its name, which its checksums are made with.
    pub(super) id: u64,
    pub(super) segments: BTreeMap<u32, Segment>,
    lock: Box<dyn Lock>,
}

impl Run {
    /// Makes a run of this process and takes its lock.
    pub(super) fn create(vfs: &dyn Vfs) -> io::Result<Run> {
        /// Somebody who looks for orphans may take a directory away before it is locked.
        const ATTEMPTS: usize = 5;
        let mut last = io::Error::from(io::ErrorKind::WouldBlock);
        for _ in 0..ATTEMPTS {
            let id = id::random_u64();
            let clock = vfs.clock();
            let boot =
                u32::from_be_bytes([clock.boot[0], clock.boot[1], clock.boot[2], clock.boot[3]]);
            let name = RunName {
                boot,
                process: vfs.process_id(),
                begun_ms: clock.wall_ms,
                id,
            }
            .to_string();
            let made = vfs.make_dir(&name).and_then(|()| Run::lock(vfs, &name, id));
            match made {
                Ok(Some(run)) => return Ok(run),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Takes the lock of a run; `None` where its process lives, or somebody else adopted it.
    pub(super) fn lock(vfs: &dyn Vfs, name: &str, id: u64) -> io::Result<Option<Run>> {
        let Some(lock) = vfs.lock(&format!("{name}/{LOCK}"))? else {
            return Ok(None);
        };
        // Whoever removes a run removes the file while holding its lock, so this one may be gone.
        Ok(lock.is_linked()?.then(|| Run {
            name: name.to_owned(),
            id,
            segments: BTreeMap::new(),
            lock,
        }))
    }

    /// Whether its lock still keeps others away.
    pub(super) fn is_ours(&self) -> bool {
        self.lock.is_linked().unwrap_or(true)
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.segments.values().any(Segment::is_dirty)
    }

    /// Segments with entries that their `.ack` files lack.
    pub(super) fn unwritten(&self) -> impl Iterator<Item = u32> {
        let waiting = self
            .segments
            .iter()
            .filter(|(_, one)| !one.unwritten.is_empty());
        waiting.map(|(number, _)| *number)
    }

    pub(super) fn segment_path(&self, number: u32) -> String {
        segment_path(&self.name, number)
    }

    pub(super) fn open(&self, vfs: &dyn Vfs, number: u32) -> io::Result<Opened> {
        SegmentReader::open(vfs.open(&self.segment_path(number))?, self.id, number)
    }

    pub(super) fn ack_path(&self, number: u32) -> String {
        ack_path(&self.name, number)
    }

    /// Notes entries for the `.ack` file of a segment; whether a record was sent, and otherwise is done with.
    pub(super) fn note(&mut self, number: u32, entries: &[(u32, bool)]) {
        let id = self.id;
        if let Some(segment) = self.segments.get_mut(&number) {
            for (ordinal, sent) in entries {
                let entry = AckEntry {
                    seq: seq(number, *ordinal),
                    sent: *sent,
                };
                segment.unwritten.extend(entry.encode(id));
            }
        }
    }

    /// Removes a segment for good: its records first, because an `.ack` file without them means nothing.
    pub(super) fn remove_files(vfs: &dyn Vfs, run: &str, number: u32) -> io::Result<()> {
        match vfs.remove(&segment_path(run, number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // An orphan is removed by whoever adopts the run.
        let _ = vfs.remove(&ack_path(run, number));
        Ok(())
    }

    /// Gives the run up, and removes its directory if nothing is left in it.
    pub(super) fn release(self, vfs: &dyn Vfs) {
        let is_empty = vfs
            .list(&self.name)
            .is_ok_and(|files| files.iter().all(|file| file.name == LOCK));
        if is_empty {
            let lock = format!("{}/{LOCK}", self.name);
            // Another process that meets the directory half removed finishes the work.
            let _ = vfs.remove(&lock).and_then(|()| vfs.remove_dir(&self.name));
        }
    }
}

pub(super) fn segment_path(directory: &str, number: u32) -> String {
    format!("{directory}/{number:06}.seg")
}

pub(super) fn ack_path(directory: &str, number: u32) -> String {
    format!("{directory}/{number:06}.ack")
}

/// The parts of the name of a run: `<boot>-<process id>-<begun>-<random number>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunName {
    pub(super) boot: u32,
    pub(super) process: u32,
    pub(super) begun_ms: u64,
    pub(super) id: u64,
}

impl std::fmt::Display for RunName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let RunName {
            boot,
            process,
            begun_ms,
            id,
        } = self;
        write!(f, "{boot:08x}-{process}-{begun_ms}-{id:016x}")
    }
}

impl RunName {
    /// `None` for whatever else lies in the directory.
    pub(super) fn parse(name: &str) -> Option<RunName> {
        let mut parts = name.split('-');
        let mut part = || parts.next();
        let (boot, process, begun, id) = (part()?, part()?, part()?, part()?);
        let parsed = RunName {
            boot: u32::from_str_radix(boot, 16).ok()?,
            process: process.parse().ok()?,
            begun_ms: begun.parse().ok()?,
            id: u64::from_str_radix(id, 16).ok()?,
        };
        // One spelling for each, so that a name can be put together from its parts.
        (parsed.to_string() == name).then_some(parsed)
    }
}

/// The files that a segment has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Records,
    Acks,
}

/// What a file of a run is; `None` for whatever else lies there.
pub(super) fn parse_file(name: &str) -> Option<(u32, Part)> {
    let (number, extension) = name.split_once('.')?;
    let part = match extension {
        "seg" => Part::Records,
        "ack" => Part::Acks,
        _ => return None,
    };
    let parsed = number.parse().ok()?;
    (format!("{parsed:06}") == number).then_some((parsed, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let name = RunName {
            boot: 0x9e78_0625,
            process: 4711,
            begun_ms: 1_800_000_000_000,
            id: 0x0123_4567_89ab_cdef,
        };
        assert_eq!(
            name.to_string(),
            "9e780625-4711-1800000000000-0123456789abcdef"
        );
        assert_eq!(RunName::parse(&name.to_string()), Some(name));
        for other in [
            "dead",
            "bad",
            "",
            "9e780625-4711-1-1",
            "../x-1-1-0123456789abcdef",
        ] {
            assert_eq!(RunName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn files_are_told_apart() {
        assert_eq!(parse_file("000001.seg"), Some((1, Part::Records)));
        assert_eq!(parse_file("1234567.ack"), Some((1_234_567, Part::Acks)));
        for other in ["lock", "1.seg", "000001.tmp", "+00001.seg", "000001"] {
            assert_eq!(parse_file(other), None, "{other}");
        }
    }
}
