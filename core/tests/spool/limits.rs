//! Limits: of the directory, of the disk, of a record, of age.

use std::time::Duration;

use mlflow_trace_core::spool::{Full, Refused, SpoolOptions};

use crate::sim::Sim;
use crate::support::{
    ANYTHING, Host, append, assert_conserved, destination, entry, numbers, options,
};

const DAY_MS: u64 = 24 * 3600 * 1000;

fn small(full: Full) -> SpoolOptions {
    SpoolOptions {
        max_bytes: 64 << 10,
        full,
        ..options()
    }
}

fn used(sim: &Sim) -> u64 {
    sim.files().values().sum()
}

#[test]
fn the_oldest_segment_gives_way() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, small(Full::DropOldest));
    host.spool.maintain(host.at(0));
    let mut tickets = Vec::new();
    let mut dropped = Vec::new();
    for number in 0..500 {
        tickets.push(append(&host.spool, 0, number, 400).unwrap());
        assert!(used(&sim) <= 64 << 10, "{}", used(&sim));
        if number % 7 == 0 {
            dropped.extend(host.spool.maintain(host.at(number * 1000)).dropped);
        }
    }
    dropped.extend(host.spool.maintain(host.at(500_000)).dropped);
    let stats = host.spool.stats();
    assert_eq!(stats.dropped, dropped.len() as u64);
    assert_eq!(dropped, tickets[..dropped.len()]);
    assert!(stats.dropped > 300 && stats.pending > 100, "{stats:?}");
    assert_conserved(&stats, 500 - stats.dropped);
    host.kill();
    let host = Host::new(&sim, small(Full::DropOldest));
    let kept: Vec<u64> = (stats.dropped..500).collect();
    assert_eq!(numbers(&host.adopt_all(ANYTHING)), kept);
}

#[test]
fn the_newest_record_gives_way() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, small(Full::DropNewest));
    host.spool.maintain(host.at(0));
    let outcomes: Vec<_> = (0..500)
        .map(|number| append(&host.spool, 0, number, 400))
        .collect();
    let taken = outcomes.iter().take_while(|one| one.is_ok()).count();
    assert!(
        outcomes[taken..]
            .iter()
            .all(|one| *one == Err(Refused::Full))
    );
    assert!(used(&sim) <= 64 << 10 && taken > 100);
    let stats = host.spool.stats();
    assert_eq!((stats.dropped, stats.refused_full), (0, 500 - taken as u64));
    assert_conserved(&stats, taken as u64);
}

/// The limit is one of the directory: what others use counts once somebody has looked.
#[test]
fn the_limit_counts_all_processes() {
    let sim = Sim::new(1);
    let first = Host::new(&sim, small(Full::DropNewest));
    first.spool.maintain(first.at(0));
    while append(&first.spool, 0, 1, 400).is_ok() {}
    let second = Host::new(&sim, small(Full::DropNewest));
    second.spool.maintain(second.at(0));
    assert_eq!(append(&second.spool, 0, 2, 400), Err(Refused::Full));
}

/// Many at once see the same room, and leave some to each other.
#[test]
fn processes_share_what_is_left() {
    let sim = Sim::new(1);
    let hosts: Vec<Host> = (0..4)
        .map(|_| Host::new(&sim, small(Full::DropNewest)))
        .collect();
    for host in &hosts {
        host.spool.maintain(host.at(0));
    }
    for host in &hosts {
        while append(&host.spool, 0, 1, 400).is_ok() {}
    }
    assert!(
        used(&sim) > 32 << 10 && used(&sim) <= 64 << 10,
        "{}",
        used(&sim)
    );
    for second in 1..50 {
        for host in &hosts {
            host.spool.maintain(host.at(second * 1000));
            let _ = append(&host.spool, 0, 1, 400);
        }
    }
    // By no more than what each may have appended since it looked.
    assert!(used(&sim) <= (64 << 10) + 4 * 600, "{}", used(&sim));
}

#[test]
fn orphans_give_way_first() {
    let sim = Sim::new(1);
    let first = Host::new(&sim, small(Full::DropNewest));
    first.spool.maintain(first.at(0));
    let mut count = 0;
    while append(&first.spool, 0, count, 400).is_ok() {
        count += 1;
    }
    first.kill();
    let second = Host::new(&sim, small(Full::DropOldest));
    second.spool.maintain(second.at(0));
    let stats = second.spool.stats();
    assert!(stats.dropped > 0 && stats.dropped < 40, "{stats:?}");
    assert_conserved(&stats, 0);
    for number in 0..15 {
        append(&second.spool, 0, 1000 + number, 400).unwrap();
    }
    let left = numbers(&second.adopt_all(ANYTHING));
    assert_eq!(left, (stats.dropped..count).collect::<Vec<_>>());
}

#[test]
fn the_disk_keeps_some_room() {
    let sim = Sim::new(1);
    sim.world().total_space = 100_000;
    sim.world().space = Some(9_000);
    let floor = SpoolOptions {
        min_free_bytes: 1000,
        min_free_percent: 5,
        ..options()
    };
    let host = Host::new(&sim, floor);
    let mut taken = 0;
    while append(&host.spool, 0, taken, 400) != Err(Refused::Full) {
        taken += 1;
    }
    assert!(taken > 4, "{taken}");
    assert!(sim.world().space >= Some(5000));
    assert!(!host.spool.stats().degraded);
}

#[test]
fn a_record_has_a_limit() {
    let sim = Sim::new(1);
    let limited = SpoolOptions {
        max_record_bytes: 10_000,
        ..options()
    };
    let host = Host::new(&sim, limited);
    assert_eq!(append(&host.spool, 0, 1, 10_001), Err(Refused::TooLarge));
    // Longer than a segment, so it gets one for itself.
    append(&host.spool, 0, 2, 10_000).unwrap();
    append(&host.spool, 0, 3, 100).unwrap();
    assert_eq!(host.spool.stats().refused_large, 1);
    host.kill();
    let host = Host::new(&sim, options());
    assert_eq!(numbers(&host.adopt_all(ANYTHING)), [2, 3]);
}

/// A write beyond the limit of a process's files would end the process.
#[test]
fn no_file_grows_beyond_the_limit_of_the_process() {
    let sim = Sim::new(1);
    sim.world().file_limit = 2000;
    let host = Host::new(&sim, options());
    assert_eq!(append(&host.spool, 0, 1, 1800), Err(Refused::TooLarge));
    for number in 0..20 {
        append(&host.spool, 0, number, 500).unwrap();
    }
    assert!(sim.files().values().all(|len| *len <= 2000));
}

#[test]
fn many_slices_and_destinations() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    let slices: Vec<Vec<u8>> = (0..3000u32)
        .map(|number| number.to_le_bytes().to_vec())
        .collect();
    let payload: Vec<&[u8]> = slices.iter().map(Vec::as_slice).collect();
    host.spool
        .append(&destination(0), &entry(1, &payload))
        .unwrap();
    for number in 0..40 {
        append(&host.spool, number as usize % 20, number, 30).unwrap();
    }
    host.kill();
    let host = Host::new(&sim, options());
    let records = host.adopt_all(ANYTHING);
    assert_eq!(records.len(), 41);
    assert_eq!(records[0].payload, slices.concat());
}

fn age(since_boot: bool, days: u64, reboot: bool) -> usize {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    append(&host.spool, 0, 1, 40).unwrap();
    host.kill();
    {
        let clock = &mut sim.world().clock;
        clock.wall_ms += days * DAY_MS;
        if since_boot {
            clock.since_boot_ms += days * DAY_MS;
        }
        if reboot {
            clock.boot = [2; 16];
            clock.since_boot_ms = 1000;
        }
    }
    let host = Host::new(&sim, options());
    let records = host.adopt_all(ANYTHING);
    let stats = host.spool.stats();
    assert_eq!(stats.expired, 1 - records.len() as u64);
    assert_conserved(&stats, records.len() as u64);
    drop(host);
    assert_eq!(sim.files().is_empty(), records.is_empty());
    records.len()
}

#[test]
fn old_records_expire() {
    assert_eq!(age(true, 6, false), 1);
    assert_eq!(age(true, 8, false), 0);
    assert_eq!(age(true, 8, true), 0);
    assert_eq!(age(true, 6, true), 1);
}

/// The wall clock jumped ten years; the system has been up for a moment.
#[test]
fn a_clock_that_jumps_expires_nothing() {
    assert_eq!(age(false, 3650, false), 1);
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    append(&host.spool, 0, 1, 40).unwrap();
    host.kill();
    sim.world().clock.wall_ms -= 3650 * DAY_MS;
    sim.world().clock.boot = [2; 16];
    let host = Host::new(&sim, options());
    assert_eq!(host.adopt_all(ANYTHING).len(), 1);
}

/// A system that does not know the time stamps its records with 1970.
#[test]
fn a_clock_that_is_not_set_expires_nothing() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    let payload = 1u64.to_le_bytes();
    let payload = [&payload[..]];
    let entry = mlflow_trace_core::spool::Entry {
        created_ms: 5000,
        ..entry(1, &payload)
    };
    host.spool.append(&destination(0), &entry).unwrap();
    host.kill();
    sim.world().clock.boot = [2; 16];
    let host = Host::new(&sim, options());
    assert_eq!(host.adopt_all(ANYTHING).len(), 1);
}

#[test]
fn own_records_expire_too() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    let ticket = append(&host.spool, 0, 1, 40).unwrap();
    host.spool.maintain(host.at(0));
    {
        let clock = &mut sim.world().clock;
        clock.wall_ms += 8 * DAY_MS;
        clock.since_boot_ms += 8 * DAY_MS;
    }
    append(&host.spool, 1, 2, 40).unwrap();
    let done = host
        .spool
        .maintain(host.begun + Duration::from_millis(8 * DAY_MS));
    // The second one says that it is as old, and its segment is not.
    assert_eq!(done.dropped, [ticket]);
    assert_conserved(&host.spool.stats(), 1);
    assert_eq!(host.spool.stats().expired, 1);
}

#[test]
fn what_nobody_wants_expires() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    append(&host.spool, 7, 1, 40).unwrap();
    host.kill();
    sim.world().clock.wall_ms += 6 * DAY_MS;
    sim.world().clock.boot = [2; 16];
    let host = Host::new(&sim, options());
    let nothing = &|_: &_| false;
    assert!(host.adopt_all(nothing).is_empty());
    assert_eq!(host.spool.stats().expired, 0);
    sim.world().clock.wall_ms += 2 * DAY_MS;
    assert!(host.adopt_all(nothing).is_empty());
    assert_eq!(host.spool.stats().expired, 1);
    drop(host);
    assert!(sim.files().is_empty(), "{:?}", sim.files());
}
