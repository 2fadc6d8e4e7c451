//! Real processes, killed at any moment. `SPOOL_KILLS` and `SPOOL_ROUNDS` are how often (20, 3).
#![allow(unsafe_code)]

use std::collections::BTreeSet;
use std::time::Duration;

use mlflow_trace_core::spool::Record;

use crate::child::{Directory, Role};
use crate::sim::Dice;
use crate::support::{ANYTHING, numbers, payload, tickets};

fn count(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |count| count.parse().unwrap())
}

fn sleep(ms: usize) {
    std::thread::sleep(Duration::from_millis(ms as u64));
}

/// Everything that is left, in one process that sees it all.
fn left(directory: &Directory) -> Vec<Record> {
    let spool = directory.open();
    let mut all = Vec::new();
    loop {
        let adopted = spool.adopt(ANYTHING, 1 << 20, std::time::Instant::now());
        spool.ack(&tickets(&adopted.records));
        all.extend(adopted.records);
        if !adopted.more {
            break;
        }
        sleep(1);
    }
    // A kill may leave half a record at the end of a segment, which was not reported then.
    let stats = spool.stats();
    assert_eq!(
        (stats.quarantined, stats.unreadable, stats.pending),
        (0, 0, 0)
    );
    for (record, number) in all.iter().zip(numbers(&all)) {
        let len = record.payload.len();
        assert_eq!(
            record.payload,
            payload(number, len),
            "{number} is not what was written"
        );
    }
    all
}

fn said(lines: &[(char, u64)], word: char) -> BTreeSet<u64> {
    let chosen = lines.iter().filter(|(said, _)| *said == word);
    chosen.map(|(_, number)| *number).collect()
}

/// F17: whatever was appended when the process was killed is there.
#[test]
fn a_kill_at_any_moment_loses_nothing() {
    let directory = Directory::new();
    let mut dice = Dice::new(17);
    let (mut appended, mut found) = (0, 0);
    for round in 0..count("SPOOL_KILLS", 20) {
        let first = round * 10_000_000;
        let role = Role::start("appender", &directory, first);
        sleep(dice.roll(300));
        let taken = said(&role.kill_and_hear(), 'A');
        let recovered: BTreeSet<u64> = numbers(&left(&directory)).into_iter().collect();
        let missing: Vec<_> = taken.difference(&recovered).collect();
        assert!(missing.is_empty(), "round {round}: {missing:?}");
        // The last one may be written and not yet reported.
        let more: Vec<_> = recovered.difference(&taken).collect();
        assert!(more.len() <= 1, "round {round}: {more:?}");
        assert!(directory.files().is_empty(), "{:?}", directory.files());
        appended += taken.len();
        found += recovered.len();
    }
    println!("{appended} reported, {found} recovered");
    assert!(appended > 0);
}

/// F26: each orphan has one heir.
#[test]
fn heirs_share_and_never_both_take() {
    let directory = Directory::new();
    let orphans: Vec<Role> = (0..6)
        .map(|one| Role::start("appender", &directory, one * 1_000_000))
        .collect();
    sleep(150);
    let mut appended = BTreeSet::new();
    for orphan in orphans {
        appended.extend(said(&orphan.kill_and_hear(), 'A'));
    }
    let mut heirs: Vec<Role> = (0..4).map(|_| Role::start("heir", &directory, 0)).collect();
    let mut taken = BTreeSet::new();
    for heir in &mut heirs {
        for number in said(&heir.until('E'), 'G') {
            assert!(taken.insert(number), "{number} was taken twice");
        }
    }
    let missing: Vec<_> = appended.difference(&taken).collect();
    assert!(missing.is_empty() && !appended.is_empty(), "{missing:?}");
    for heir in &mut heirs {
        heir.go_on();
    }
    for heir in heirs {
        assert_eq!(heir.wait(), Some(0));
    }
    assert!(directory.files().is_empty(), "{:?}", directory.files());
}

/// F26: eight processes append, adopt and deliver, and are killed at any moment.
#[test]
fn eight_processes_killed_at_random_lose_nothing() {
    let directory = Directory::new();
    let mut dice = Dice::new(26);
    let (mut appended, mut delivered) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..count("SPOOL_ROUNDS", 3) {
        let start = |one| Role::start("worker", &directory, (round * 8 + one) * 1_000_000);
        let mut workers: Vec<Role> = (0..8).map(start).collect();
        while !workers.is_empty() {
            sleep(dice.roll(60));
            let lines = workers
                .swap_remove(dice.roll(workers.len()))
                .kill_and_hear();
            appended.extend(said(&lines, 'A'));
            delivered.extend(said(&lines, 'D'));
        }
    }
    let recovered: BTreeSet<u64> = numbers(&left(&directory)).into_iter().collect();
    let settled: BTreeSet<u64> = delivered.union(&recovered).copied().collect();
    let missing: Vec<_> = appended.difference(&settled).collect();
    println!(
        "{} appended, {} delivered, {} recovered",
        appended.len(),
        delivered.len(),
        recovered.len()
    );
    assert!(missing.is_empty(), "{missing:?}");
    assert!(!delivered.is_empty());
    assert!(directory.files().is_empty(), "{:?}", directory.files());
}

/// Has the orphans of dead children of this process as its own, so that they are not left behind.
fn adopt_processes() {
    #[cfg(target_os = "linux")]
    // SAFETY: no memory is involved.
    unsafe {
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
    }
}

/// F19: a lock belongs to an open file, which a forked child shares.
#[test]
fn an_orphan_is_adopted_while_its_child_lives() {
    adopt_processes();
    let directory = Directory::new();
    let mut parent = Role::start("forker", &directory, 0);
    // Both, in any order: the child has closed what it inherited when it says something.
    let mut said = parent.until('F');
    if !said.iter().any(|(word, _)| *word == 'C') {
        said.extend(parent.until('C'));
    }
    let child = said.iter().find(|(word, _)| *word == 'C').unwrap().1 as libc::pid_t;
    parent.kill();
    // SAFETY: asks whether it is there.
    assert_eq!(unsafe { libc::kill(child, 0) }, 0);
    let found = numbers(&left(&directory));
    // SAFETY: ends and reaps the process that we are the reaper of.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
    assert_eq!(found, [0, 1, 2, 3]);
}

#[test]
fn what_a_child_inherits_does_nothing() {
    let directory = Directory::new();
    let mut parent = Role::start("inheritor", &directory, 0);
    assert_eq!(parent.until('S').last(), Some(&('S', 0)));
    assert_eq!(parent.wait(), Some(0));
    let mut found = numbers(&left(&directory));
    found.sort_unstable();
    assert_eq!(found, [1, 3, 4]);
}

#[test]
fn a_limit_of_file_sizes_does_not_end_the_process() {
    let directory = Directory::new();
    let role = Role::start("limited", &directory, 20_000);
    assert_eq!(role.wait(), Some(0));
    assert_eq!(numbers(&left(&directory)), (0..200).collect::<Vec<_>>());
}

/// F15, where a disk of our own can be had.
#[test]
fn a_small_disk_is_filled_to_the_last_byte() {
    let directory = Directory::new();
    let Some(mut role) = Role::start_on_small_disk("filler", &directory) else {
        println!("left out: no disk can be mounted here");
        return;
    };
    let taken: Vec<u64> = std::iter::from_fn(|| role.next())
        .map(|(_, count)| count)
        .collect();
    assert_eq!(role.wait(), Some(0));
    assert!(
        taken.len() == 20 && taken.iter().sum::<u64>() > 1000,
        "{taken:?}"
    );
}

#[test]
fn standard_streams_do_not_end_up_in_the_spool() {
    let directory = Directory::new();
    assert_eq!(Role::start("streamless", &directory, 0).wait(), Some(0));
    assert_eq!(numbers(&left(&directory)), [1]);
}

#[test]
fn no_descriptor_is_left_open() {
    let directory = Directory::new();
    assert_eq!(Role::start("leaker", &directory, 0).wait(), Some(0));
}
