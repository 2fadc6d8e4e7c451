//! What has to happen from time to time: syncing, trying again, making room.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Ticket;
use super::front::Front;
use super::segment::Synced;
use super::store::{Back, Spool};
use super::vfs::VfsFile;

/// How often others' use of the directory and of the disk is looked at while this process appends.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What the exporter has to know after [`Spool::maintain`].
#[derive(Debug, Default)]
pub struct Maintained {
    /// Records that the disk may not have, though it took them. They are still pending: whoever has them in memory
    /// keeps them there, or appends them again and acknowledges these.
    pub keep: Vec<Ticket>,
    /// Records that are not on disk any more: they gave way, or were too old.
    pub dropped: Vec<Ticket>,
    /// When there is something to do again if nothing is appended until then. `None`: not before that.
    pub next: Option<Instant>,
}

/// A segment as it was when its sync began.
struct Dirty {
    number: u32,
    file: Arc<dyn VfsFile>,
    to: Synced,
    has_entry: bool,
}

impl Spool {
    /// Does what is due: to be called by the thread that exports, at [`Maintained::next`] and after every append (or
    /// twice a second instead). `now` only has to be monotonic.
    pub fn maintain(&self, now: Instant) -> Maintained {
        if self.is_inherited() {
            return Maintained::default();
        }
        let mut back = self.back.lock();
        let options = &self.base.options;
        self.look_for_run(&mut back);
        if is_due(&mut back.synced_at, now, options.sync_interval) && self.is_dirty() {
            self.sync_dirty(&mut back);
            back.synced_at = Some(now);
        }
        if self.front.lock().degraded {
            if is_due(&mut back.failed_at, now, options.retry_after) {
                back.failed_at = None;
                self.revive(&mut back);
            }
        } else {
            back.failed_at = None;
        }
        let look_after = self.look_after(&self.front.lock());
        if back.looked_at.is_none()
            || look_after.is_some_and(|after| is_due(&mut back.looked_at, now, after))
        {
            back.looked_at = Some(now);
            self.front.lock().grew = false;
            self.look(&mut back);
        }
        self.remove_doomed(&mut back);
        self.retry_acks(&mut back);
        self.make_spare();
        self.report(&mut self.front.lock(), &back, now)
    }

    /// Makes the next segment ahead. Where that fails, the thread that needs it makes it, or finds out.
    fn make_spare(&self) {
        let plan = self.front.lock().plan_spare(&self.base);
        let Some(plan) = plan else { return };
        match plan.make(&*self.base.vfs) {
            Ok(made) => {
                let is_kept = self.front.lock().keep_spare(made);
                if !is_kept {
                    let _ = self.base.vfs.remove(&plan.path);
                }
            }
            Err(_) => self.base.counters.failures.add(1),
        }
    }

    /// How soon after the last time others' use is to be looked at, if at all.
    fn look_after(&self, front: &Front) -> Option<Duration> {
        let is_short = front.room < self.wanted_room();
        let soon = self.base.options.sync_interval;
        front
            .grew
            .then_some(if is_short { soon } else { LOOK_EVERY })
    }

    fn report(&self, front: &mut Front, back: &Back, now: Instant) -> Maintained {
        let options = &self.base.options;
        let is_dirty = front.run.as_ref().is_some_and(|run| run.is_dirty());
        let due = |since: Option<Instant>, after| since.unwrap_or(now) + after;
        let next = [
            is_dirty.then(|| due(back.synced_at, options.sync_interval)),
            front
                .degraded
                .then(|| due(back.failed_at, options.retry_after)),
            self.look_after(front)
                .map(|after| due(back.looked_at, after)),
            (!back.doomed.is_empty()).then(|| now + options.retry_after),
        ];
        Maintained {
            keep: std::mem::take(&mut front.keep),
            dropped: std::mem::take(&mut front.dropped),
            next: next.into_iter().flatten().min(),
        }
    }

    /// Makes everything that was appended before outlast a power cut; one sync serves all that wait. The answer are
    /// the records of which the disk does not say so: see [`Maintained::keep`].
    pub fn sync(&self) -> Vec<Ticket> {
        if self.is_inherited() {
            return Vec::new();
        }
        let mut back = self.back.lock();
        self.look_for_run(&mut back);
        self.sync_dirty(&mut back);
        std::mem::take(&mut self.front.lock().keep)
    }

    fn is_dirty(&self) -> bool {
        let front = self.front.lock();
        front.run.as_ref().is_some_and(|run| run.is_dirty())
    }

    fn sync_dirty(&self, back: &mut Back) {
        let (name, dirty) = {
            let front = self.front.lock();
            let Some(run) = &front.run else { return };
            let segments = run.segments.iter().filter_map(|(number, segment)| {
                let file = segment.file.clone().filter(|_| segment.is_dirty())?;
                Some(Dirty {
                    number: *number,
                    file,
                    to: Synced {
                        len: segment.len,
                        records: segment.records,
                        entry: true,
                    },
                    has_entry: segment.synced.entry,
                })
            });
            (run.name.clone(), segments.collect::<Vec<Dirty>>())
        };
        let vfs = &*self.base.vfs;
        let mut outcomes: Vec<io::Result<()>> = Vec::new();
        for segment in &dirty {
            let synced = segment.file.sync();
            outcomes.push(synced.and_then(|()| linked(&*segment.file)));
        }
        // Names after content: a segment that is found has its records.
        if dirty.iter().any(|segment| !segment.has_entry) {
            let run = match back.run_entry_synced {
                true => Ok(()),
                false => vfs.sync_dir(""),
            };
            let entries = run.and_then(|()| vfs.sync_dir(&name));
            back.run_entry_synced |= entries.is_ok();
            for (segment, outcome) in dirty.iter().zip(&mut outcomes) {
                if !segment.has_entry && outcome.is_ok() && entries.is_err() {
                    *outcome = Err(io::ErrorKind::Other.into());
                }
            }
        }
        let mut doomed = Vec::new();
        let mut front = self.front.lock();
        for (dirty, outcome) in dirty.iter().zip(outcomes) {
            let run = front.run.as_mut();
            let Some(segment) = run.and_then(|run| run.segments.get_mut(&dirty.number)) else {
                continue;
            };
            match outcome {
                Ok(()) => {
                    segment.synced = dirty.to;
                    if !segment.is_open && segment.synced.len == segment.len {
                        segment.file = None;
                    }
                }
                Err(_) => front.abandon(&self.base, dirty.number, &mut doomed),
            }
        }
        drop(front);
        back.doomed
            .extend(doomed.into_iter().map(|number| (name.clone(), number)));
        self.remove_doomed(back);
    }

    /// Where somebody took our directory away, whoever has our records in memory is asked to keep them.
    fn look_for_run(&self, back: &mut Back) {
        let mut doomed = Vec::new();
        let mut front = self.front.lock();
        if front.run.as_ref().is_none_or(|run| run.is_ours()) {
            return;
        }
        let numbers: Vec<u32> = front
            .run
            .iter()
            .flat_map(|run| run.segments.keys().copied())
            .collect();
        front.take_spare();
        for number in numbers {
            let run = front.run.as_mut();
            if let Some(segment) = run.and_then(|run| run.segments.get_mut(&number)) {
                segment.synced = Synced::default();
            }
            front.abandon(&self.base, number, &mut doomed);
        }
        let index = front.index;
        if let Some(run) = front.run.take()
            && !run.segments.is_empty()
        {
            back.runs.insert(index, run);
        }
        drop(front);
        // That is no failure of the disk: there may be a new directory at once.
        self.revive(back);
    }

    /// Tries whether the disk works again: the next append will show.
    fn revive(&self, back: &mut Back) {
        let has_run = self.front.lock().run.is_some();
        if !has_run {
            // Counted, and tried again.
            let _ = self.begin(back);
        } else if self.base.vfs.prepare().is_ok() {
            self.look(back);
            self.front.lock().degraded = false;
        }
    }

    /// Writes entries of `.ack` files that could not be written before.
    pub(super) fn retry_acks(&self, back: &mut Back) {
        let mut waiting = Vec::new();
        for (index, run) in &back.runs {
            waiting.extend(run.unwritten().map(|number| (*index, number)));
        }
        {
            let front = self.front.lock();
            let own = front.run.iter().flat_map(|run| run.unwritten());
            waiting.extend(own.map(|number| (front.index, number)));
        }
        for (index, number) in waiting {
            self.write_acks(back, index, number);
        }
    }
}

/// Whether so much time passed since a moment, which is now where it was not set.
fn is_due(since: &mut Option<Instant>, now: Instant, after: Duration) -> bool {
    now.saturating_duration_since(*since.get_or_insert(now)) >= after
}

fn linked(file: &dyn VfsFile) -> io::Result<()> {
    match file.is_linked()? {
        true => Ok(()),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}
