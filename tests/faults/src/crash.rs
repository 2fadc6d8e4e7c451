//! Processes with a spool that are killed at any moment, and what the next one delivers of theirs.

use std::fmt;
use std::time::{Duration, Instant};

use crate::report::Ended;
use crate::runner::Settings;
use crate::runner::scene::{Outcome, Producer, directory, spool_dir, text};
use crate::sink::{Options, Sink};

/// The longest life of a process.
const LIFE_MS: u64 = 300;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Processes that were killed.
    pub runs: u64,
    /// Spans whose `end` had returned.
    pub ended: usize,
    /// Of these, spans that were never delivered.
    pub lost: usize,
    /// Spans that are not what was recorded.
    pub broken: usize,
    /// Spans that nobody recorded.
    pub invented: usize,
    /// Spans that were delivered more than once.
    pub duplicates: usize,
    /// Runs after which the next process did not start or did not deliver what it recorded itself.
    pub stuck: u64,
}

impl Found {
    /// Whether nothing is wrong. Duplicates are not: a request may have been on its way.
    pub fn is_clean(&self) -> bool {
        self.lost + self.broken + self.invented == 0 && self.stuck == 0
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Found {
            runs,
            ended,
            lost,
            broken,
            invented,
            duplicates,
            stuck,
        } = self;
        write!(
            f,
            "{runs} kills, {ended} spans ended, {lost} lost, {broken} changed, {invented} invented, \
             {duplicates} twice, {stuck} starts failed"
        )
    }
}

/// The moment of a kill, from 0 to 300 ms.
fn moment(seed: u64, run: u64) -> Duration {
    let mut mixed = (seed ^ run.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(run);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Duration::from_micros((mixed ^ (mixed >> 31)) % (LIFE_MS * 1000))
}

/// Kills so many processes, each at a moment that follows from the seed, and starts another after each; tells
/// `show` of every run.
pub fn run(
    settings: &Settings,
    runs: u64,
    seed: u64,
    mut show: impl FnMut(u64, &Found),
) -> Outcome<Found> {
    let mut found = Found::default();
    for run in 0..runs {
        let spool = directory(settings)?;
        let sink = Sink::start(&Options::default()).map_err(text)?;
        let options = [
            "spool=write-through",
            &spool_dir(&spool),
            "--rate",
            "5000",
            "--bytes",
            "500",
        ];
        let mut victim = Producer::start(settings, &sink.url(), &options, &[])?;
        std::thread::sleep(moment(seed, run));
        victim.kill()?;
        let mut listed = victim.listed()?;
        // What ended after the last word of its thread may be there and need not.
        let known = listed.len();
        let quiet = [
            "spool=write-through",
            &spool_dir(&spool),
            "batch.delay_ms=20",
        ];
        let delivered = Producer::start(settings, &sink.url(), &quiet, &[])
            .and_then(|heir| deliver(heir, &sink, &listed));
        match delivered {
            Ok(fresh) => listed.extend(fresh),
            Err(_) => found.stuck += 1,
        }
        let ledger = sink.ledger();
        let (summary, stored) = (ledger.summary(), ledger.spans());
        drop(ledger);
        found.runs += 1;
        found.ended += known;
        found.lost += listed
            .keys()
            .filter(|key| !stored.contains_key(*key))
            .count();
        found.broken += summary.broken + summary.conflicts;
        found.duplicates += summary.duplicates;
        // Two threads were killed; each may have ended a trace of ten that it had not listed yet.
        let unlisted = stored.keys().filter(|key| !listed.contains_key(*key));
        found.invented += unlisted.count().saturating_sub(20);
        std::fs::remove_dir_all(&spool).map_err(text)?;
        show(run, &found);
    }
    Ok(found)
}

/// Has a process record a trace of its own and deliver everything; returns what it recorded.
fn deliver(mut heir: Producer, sink: &Sink, listed: &Ended) -> Outcome<Ended> {
    heir.ask("burst 1")?;
    heir.ask("flush 10000")?;
    let start = Instant::now();
    loop {
        let stored = sink.ledger().spans();
        if listed.keys().all(|key| stored.contains_key(key)) {
            break;
        }
        if start.elapsed() > Duration::from_secs(10) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    heir.listed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_all_over_the_life_of_a_process() {
        let moments: Vec<_> = (0..1000).map(|run| moment(1, run)).collect();
        assert!(
            moments
                .iter()
                .all(|at| *at < Duration::from_millis(LIFE_MS))
        );
        let late = moments.iter().filter(|at| at.as_millis() >= 150).count();
        assert!((400..600).contains(&late), "{late}");
    }
}
