//! Disks that are full, fail or go away: recording goes on, and what was taken is kept.

use mlflow_trace_core::spool::Refused;

use crate::sim::Sim;
use crate::support::{ANYTHING, Host, append, assert_conserved, numbers, options};

/// Whatever byte a disk is full at, what was taken is there, and nothing else.
#[test]
fn a_full_disk_at_any_byte() {
    for space in 0..1200 {
        let sim = Sim::new(space);
        sim.world().space = Some(space);
        let host = Host::new(&sim, options());
        let mut taken = Vec::new();
        for number in 0..12 {
            match append(&host.spool, 0, number, 40) {
                Ok(_) => taken.push(number),
                Err(why) => assert!(matches!(why, Refused::Degraded | Refused::Full)),
            }
        }
        let stats = host.spool.stats();
        assert_eq!(
            stats.refused_full + stats.refused_degraded,
            12 - taken.len() as u64
        );
        assert_conserved(&stats, taken.len() as u64);
        sim.world().space = None;
        host.spool.maintain(host.at(0));
        host.spool.maintain(host.at(30_000));
        assert!(!host.spool.stats().degraded, "{space}");
        taken.push(99);
        append(&host.spool, 0, 99, 40).unwrap();
        host.kill();
        let host = Host::new(&sim, options());
        assert_eq!(numbers(&host.adopt_all(ANYTHING)), taken, "{space}");
        assert_eq!(host.spool.stats().quarantined, 0);
    }
}

#[test]
fn a_failing_disk_is_left_alone_for_half_a_minute() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    append(&host.spool, 0, 1, 40).unwrap();
    sim.world().fail_in = Some(0);
    assert_eq!(append(&host.spool, 0, 2, 40), Err(Refused::Degraded));
    // The disk works again, and nobody knows.
    assert_eq!(append(&host.spool, 0, 3, 40), Err(Refused::Degraded));
    let due = host.spool.maintain(host.at(1000)).next.unwrap();
    assert!(due <= host.at(31_000));
    host.spool.maintain(host.at(30_999));
    assert!(host.spool.stats().degraded);
    assert_eq!(append(&host.spool, 0, 4, 40), Err(Refused::Degraded));
    host.spool.maintain(host.at(31_000));
    append(&host.spool, 0, 5, 40).unwrap();
    let stats = host.spool.stats();
    assert_eq!((stats.refused_degraded, stats.degraded), (3, false));
    host.kill();
    let host = Host::new(&sim, options());
    assert_eq!(numbers(&host.adopt_all(ANYTHING)), [1, 5]);
}

#[test]
fn a_spool_begins_without_its_disk() {
    let sim = Sim::new(1);
    sim.world().fail_in = Some(0);
    let host = Host::new(&sim, options());
    assert_eq!(append(&host.spool, 0, 1, 40), Err(Refused::Degraded));
    assert!(host.spool.stats().degraded);
    host.spool.maintain(host.at(0));
    host.spool.maintain(host.at(30_000));
    append(&host.spool, 0, 2, 40).unwrap();
}

/// After a failed sync nobody knows what is on disk: whoever appended has to keep it.
#[test]
fn a_failed_sync_gives_records_back() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    let first = append(&host.spool, 0, 1, 40).unwrap();
    assert!(host.spool.sync().is_empty());
    let second = append(&host.spool, 0, 2, 40).unwrap();
    sim.world().fail_in = Some(0);
    assert_eq!(host.spool.sync(), [second]);
    assert_eq!(append(&host.spool, 0, 3, 40), Err(Refused::Degraded));
    host.spool.maintain(host.at(0));
    host.spool.maintain(host.at(30_000));
    let third = append(&host.spool, 0, 2, 40).unwrap();
    assert!(host.spool.sync().is_empty());
    host.spool.ack(&[second]);
    assert_conserved(&host.spool.stats(), 2);
    host.spool.ack(&[first, third]);
    assert_conserved(&host.spool.stats(), 0);
    drop(host);
    assert!(sim.files().is_empty(), "{:?}", sim.files());
}

#[test]
fn a_failed_sync_of_a_directory_counts() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    let ticket = append(&host.spool, 0, 1, 40).unwrap();
    sim.world().fail_in = Some(1);
    assert_eq!(host.spool.sync(), [ticket]);
    assert_eq!(host.spool.stats().unsynced, 1);
}

#[test]
fn a_directory_that_goes_away_is_made_again() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    let tickets: Vec<_> = (0..3)
        .map(|number| append(&host.spool, 0, number, 40).unwrap())
        .collect();
    assert!(host.spool.sync().is_empty());
    sim.wipe();
    let done = host.spool.maintain(host.at(0));
    assert_eq!(done.keep, tickets);
    append(&host.spool, 0, 3, 40).unwrap();
    host.spool.ack(&tickets);
    assert_conserved(&host.spool.stats(), 1);
    host.kill();
    let host = Host::new(&sim, options());
    assert_eq!(numbers(&host.adopt_all(ANYTHING)), [3]);
}

/// Acknowledgements that could not be written are written later.
#[test]
fn acknowledgements_outlast_a_full_disk() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    let tickets: Vec<_> = (0..3)
        .map(|number| append(&host.spool, 0, number, 40).unwrap())
        .collect();
    sim.world().space = Some(0);
    host.spool.ack(&tickets[..2]);
    assert_conserved(&host.spool.stats(), 1);
    sim.world().space = None;
    host.spool.maintain(host.at(0));
    host.kill();
    let host = Host::new(&sim, options());
    assert_eq!(numbers(&host.adopt_all(ANYTHING)), [2]);
}

#[test]
fn segments_that_cannot_be_removed_are_removed_later() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    append(&host.spool, 0, 1, 3900).unwrap();
    let tickets = [append(&host.spool, 0, 2, 3900).unwrap()];
    assert_eq!(sim.files().len(), 3);
    sim.world().fail_in = Some(0);
    host.spool.ack(&tickets);
    assert_eq!(sim.files().len(), 3);
    host.spool.maintain(host.at(0));
    assert_eq!(
        sim.files()
            .keys()
            .filter(|path| path.ends_with(".seg"))
            .count(),
        1
    );
}
