//! What became of records. At every quiet moment
//! `appended + adopted = acked + parked + expired + dropped + lost + pending`.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) appended: Counter,
    pub(super) adopted: Counter,
    pub(super) acked: Counter,
    pub(super) parked: Counter,
    pub(super) expired: Counter,
    pub(super) dropped: Counter,
    pub(super) lost: Counter,
    pub(super) refused_full: Counter,
    pub(super) refused_large: Counter,
    pub(super) refused_degraded: Counter,
    pub(super) corrupt: Counter,
    pub(super) quarantined: Counter,
    pub(super) unreadable: Counter,
    pub(super) forgotten: Counter,
    pub(super) unsynced: Counter,
    pub(super) failures: Counter,
}

impl Counters {
    pub(super) fn read(&self) -> SpoolStats {
        let mut stats = SpoolStats {
            acked: self.acked.get(),
            parked: self.parked.get(),
            expired: self.expired.get(),
            dropped: self.dropped.get(),
            lost: self.lost.get(),
            appended: self.appended.get(),
            adopted: self.adopted.get(),
            pending: 0,
            refused_full: self.refused_full.get(),
            refused_large: self.refused_large.get(),
            refused_degraded: self.refused_degraded.get(),
            corrupt: self.corrupt.get(),
            quarantined: self.quarantined.get(),
            unreadable: self.unreadable.get(),
            forgotten: self.forgotten.get(),
            unsynced: self.unsynced.get(),
            failures: self.failures.get(),
            degraded: false,
        };
        let settled = stats.acked + stats.parked + stats.expired + stats.dropped + stats.lost;
        stats.pending = (stats.appended + stats.adopted).saturating_sub(settled);
        stats
    }
}

/// What became of the records of a spool in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolStats {
    /// Records that this process appended.
    pub appended: u64,
    /// Records that it took over from processes that died.
    pub adopted: u64,
    /// Records that it was told to be done with.
    pub acked: u64,
    /// Records that were put into `dead/`.
    pub parked: u64,
    /// Records that were too old to be delivered.
    pub expired: u64,
    /// Records that gave way to newer ones.
    pub dropped: u64,
    /// Records that could be read first and not a second time.
    pub lost: u64,
    /// Records on disk that none of that happened to yet.
    pub pending: u64,
    /// Records that were not appended: no room.
    pub refused_full: u64,
    /// Records that were not appended: too long.
    pub refused_large: u64,
    /// Records that were not appended: the disk fails.
    pub refused_degraded: u64,
    /// Stretches of adopted segments that no record could be made of. The cut end that a kill can leave is one.
    pub corrupt: u64,
    /// Segments that were moved to `bad/`.
    pub quarantined: u64,
    /// How often a file or directory of a dead process could not be read, and was left where it is.
    pub unreadable: u64,
    /// Files of `dead/` and `bad/` that were removed because they were too old or too many.
    pub forgotten: u64,
    /// Records of which a disk could not say whether it has them.
    pub unsynced: u64,
    /// How often writing failed.
    pub failures: u64,
    /// Whether nothing can be appended at the moment because the disk fails.
    pub degraded: bool,
}
