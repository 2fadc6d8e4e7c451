//! What the directory takes of the disk, over all processes, and what goes when that is too much.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::Ordering;

use super::adopt::count_unsettled;
use super::dead::parse_letter;
use super::format::seq;
use super::reader::{Opened, SegmentReader};
use super::run::{Part, Run, RunName, parse_file};
use super::store::{Back, Spool};
use super::vfs::{Listed, ListedKind};
use super::{Full, Ticket};

/// Where segments are put that nobody can read.
pub(super) const BAD: &str = "bad";
/// Where records are put that are refused for good.
pub(super) const DEAD: &str = "dead";
/// The share of the limit that each may take, in percent.
pub(super) const BAD_PERCENT: u64 = 10;
pub(super) const DEAD_PERCENT: u64 = 25;

impl Spool {
    /// Bytes that the disk has left for us.
    pub(super) fn room_on_disk(&self) -> io::Result<u64> {
        let options = &self.base.options;
        let space = self.base.vfs.space()?;
        let percent = u64::from(options.min_free_percent.min(100));
        let floor = (space.total / 100 * percent).max(options.min_free_bytes);
        Ok(space.free.saturating_sub(floor))
    }

    /// Looks at what is used, and makes room.
    pub(super) fn look(&self, back: &mut Back) {
        self.expire_own(back);
        let limit = &self.base.file_limit;
        limit.store(self.base.vfs.file_limit(), Ordering::Relaxed);
        let options = &self.base.options;
        let mut used = self.tidy(BAD, options.max_bytes / 100 * BAD_PERCENT);
        used += self.tidy(DEAD, options.max_bytes / 100 * DEAD_PERCENT);
        let mut runs = self.runs();
        let mut total: u64 = used + runs.values().map(|run| run.bytes).sum::<u64>();
        let wanted = self.wanted_room();
        let mut room = self.room(total);
        if options.full == Full::DropOldest && room < wanted {
            for (name, usage) in &mut runs {
                while room < wanted
                    && let Some(freed) = self.evict(back, name, usage)
                {
                    total = total.saturating_sub(freed);
                    room = self.room(total);
                }
            }
        }
        // Others share what is left, and all see it at the same time. Two segments are for everybody, so that nobody
        // drops records while there is room.
        let share = room / runs.len().max(1) as u64;
        self.front.lock().room = share.max(room.min(wanted));
    }

    /// Room for what is appended until somebody looks again.
    pub(super) fn wanted_room(&self) -> u64 {
        2 * self.base.options.segment_bytes
    }

    fn room(&self, total: u64) -> u64 {
        let left = self.base.options.max_bytes.saturating_sub(total);
        // A disk that does not say how full it is shows it when it is written to.
        left.min(self.room_on_disk().unwrap_or(u64::MAX))
    }

    /// All runs, the oldest first.
    fn runs(&self) -> BTreeMap<Age, Usage> {
        let vfs = &*self.base.vfs;
        let mut runs = BTreeMap::new();
        for name in run_names(vfs.list("").unwrap_or_default()) {
            let files = vfs.list(&name.1).unwrap_or_default();
            let usage = Usage {
                bytes: files.iter().map(|file| file.len).sum(),
                segments: segments(&files),
            };
            runs.insert(name, usage);
        }
        runs
    }

    /// Removes the oldest segment of a run whose process died; the bytes that it had.
    fn evict(&self, back: &mut Back, (_, name): &Age, usage: &mut Usage) -> Option<u64> {
        let (number, len) = usage.segments.pop_first()?;
        let held = back.runs.iter().find(|(_, run)| run.name == *name);
        let held = held.map(|(index, _)| *index);
        let counters = &self.base.counters;
        match held {
            Some(index) if back.adoption.is_reading(index) => return None,
            Some(index) => {
                let run = back.runs.get_mut(&index)?;
                if let Some(segment) = run.segments.remove(&number) {
                    counters.dropped.add(u64::from(segment.pending));
                    let tickets = segment.unsettled(0).map(|ordinal| Ticket {
                        run: index,
                        seq: seq(number, ordinal),
                    });
                    self.front.lock().dropped.extend(tickets);
                } else {
                    self.count_evicted(run, number);
                }
            }
            None => {
                let parsed = RunName::parse(name)?;
                let run = Run::lock(&*self.base.vfs, name, parsed.id).ok()??;
                self.count_evicted(&run, number);
            }
        }
        Run::remove_files(&*self.base.vfs, name, number).ok()?;
        self.release(back);
        Some(len)
    }

    fn count_evicted(&self, run: &Run, number: u32) {
        let records = count_unsettled(&*self.base.vfs, run, number);
        self.base.counters.adopted.add(records);
        self.base.counters.dropped.add(records);
    }

    /// Our own records that nobody would take any more.
    fn expire_own(&self, back: &mut Back) {
        let mut front = self.front.lock();
        let Some(run) = &front.run else { return };
        let expired: Vec<u32> = run
            .segments
            .iter()
            .filter(|(_, segment)| segment.records > 0)
            .filter(|(_, segment)| self.base.is_expired(segment.newest_ms, &segment.made))
            .map(|(number, _)| *number)
            .collect();
        let name = run.name.clone();
        for number in expired {
            front.drop_segment(number, &self.base.counters.expired);
            back.doomed.push((name.clone(), number));
        }
        drop(front);
        self.remove_doomed(back);
    }

    /// Whether nobody will want a file that stands alone any more.
    fn is_old(&self, directory: &str, file: &Listed) -> bool {
        let vfs = &*self.base.vfs;
        let age = vfs.clock().wall_ms.saturating_sub(file.modified_ms);
        let made = || {
            let (run, number) = parse_letter(&file.name)?;
            let file = vfs.open(&format!("{directory}/{}", file.name)).ok()?;
            match SegmentReader::open(file, run.id, number).ok()? {
                Opened::Segment(reader) => Some(reader.header().made),
                Opened::Empty | Opened::Foreign | Opened::Unreadable => None,
            }
        };
        // Of those that can be read it is known what to think of a clock that jumped.
        age > self.base.options.max_age_ms()
            && made().is_none_or(|made| self.base.is_expired(made.wall_ms, &made))
    }

    /// Removes what is too old or too much in a directory of files that stand alone; the bytes that stay.
    pub(super) fn tidy(&self, directory: &str, most: u64) -> u64 {
        let vfs = &*self.base.vfs;
        let mut files = vfs.list(directory).unwrap_or_default();
        files.retain(|file| file.kind == ListedKind::File);
        files.sort_by(|a, b| (b.modified_ms, &b.name).cmp(&(a.modified_ms, &a.name)));
        let mut kept = 0;
        for file in files {
            let stays = kept + file.len <= most && !self.is_old(directory, &file);
            if !stays && vfs.remove(&format!("{directory}/{}", file.name)).is_ok() {
                self.base.counters.forgotten.add(1);
                continue;
            }
            kept += file.len;
        }
        kept
    }
}

/// When a run began, and its name: runs in the order of their age.
pub(super) type Age = (u64, String);

struct Usage {
    bytes: u64,
    /// The length of each.
    segments: BTreeMap<u32, u64>,
}

/// The runs among the entries of the spool's directory.
pub(super) fn run_names(entries: Vec<Listed>) -> impl Iterator<Item = Age> {
    entries.into_iter().filter_map(|entry| {
        let parsed = RunName::parse(&entry.name)?;
        let is_run = entry.kind == ListedKind::Directory;
        is_run.then_some((parsed.begun_ms, entry.name))
    })
}

/// The segments among the files of a run, with their lengths.
pub(super) fn segments(files: &[Listed]) -> BTreeMap<u32, u64> {
    let parsed = files.iter().filter_map(|file| {
        let (number, part) = parse_file(&file.name)?;
        (part == Part::Records).then_some((number, file.len))
    });
    parsed.collect()
}
