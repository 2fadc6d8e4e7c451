//! Taking over from processes that died.

use std::time::Duration;

use mlflow_trace_core::spool::vfs::Vfs;
use mlflow_trace_core::spool::{
    Entry, Fingerprint, Kind, PART, RECORDS, Spool, SpoolOptions, Ticket,
};

use crate::memory;
use crate::sim::Sim;
use crate::support::{
    ANYTHING, Host, append, assert_conserved, destination, entry, numbers, options, payload,
    tickets, trace_id,
};

fn append_kind(spool: &Spool, number: u64, trace: u64, kind: Kind, flags: u8) -> Ticket {
    let payload = payload(number, 50);
    let payload = [&payload[..]];
    let entry = Entry {
        kind,
        flags,
        trace_id: trace_id(trace),
        ..entry(number, &payload)
    };
    spool.append(&destination(0), &entry).unwrap()
}

#[test]
fn the_living_keep_their_own() {
    let sim = Sim::new(1);
    let (first, second) = (Host::new(&sim, options()), Host::new(&sim, options()));
    append(&first.spool, 0, 1, 40).unwrap();
    assert!(second.adopt_all(ANYTHING).is_empty());
    assert!(first.adopt_all(ANYTHING).is_empty());
    first.kill();
    assert_eq!(numbers(&second.adopt_all(ANYTHING)), [1]);
}

#[test]
fn orphans_have_one_heir_at_a_time() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    for number in 0..5 {
        append(&host.spool, 0, number, 40).unwrap();
    }
    host.kill();
    let (first, second) = (Host::new(&sim, options()), Host::new(&sim, options()));
    let records = first.adopt_all(ANYTHING);
    assert_eq!(numbers(&records), [0, 1, 2, 3, 4]);
    assert!(second.adopt_all(ANYTHING).is_empty());
    first.spool.ack(&tickets(&records)[..2]);
    first.kill();
    assert_eq!(numbers(&second.adopt_all(ANYTHING)), [2, 3, 4]);
    assert_conserved(&second.spool.stats(), 3);
}

#[test]
fn each_destination_has_its_own_heirs() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    for number in 0..6 {
        append(&host.spool, number as usize % 2, number, 40).unwrap();
    }
    host.kill();
    let only = |wanted: usize| move |one: &Fingerprint| *one == destination(wanted);
    let (even, odd) = (Host::new(&sim, options()), Host::new(&sim, options()));
    let records = even.adopt_all(&only(0));
    assert_eq!(numbers(&records), [0, 2, 4]);
    even.spool.ack(&tickets(&records));
    let records = odd.adopt_all(&only(1));
    assert_eq!(numbers(&records), [1, 3, 5]);
    odd.spool.ack(&tickets(&records));
    drop((even, odd));
    assert!(sim.files().is_empty(), "{:?}", sim.files());
}

#[test]
fn the_oldest_come_first_and_a_few_at_a_time() {
    let sim = Sim::new(1);
    let hosts: Vec<Host> = (0..3)
        .map(|number| {
            sim.world().clock.wall_ms += 1;
            let host = Host::new(&sim, options());
            for one in 0..100 {
                append(&host.spool, 0, number * 100 + one, 300).unwrap();
            }
            host
        })
        .collect();
    for host in hosts.into_iter().rev() {
        host.kill();
    }
    let host = Host::new(&sim, options());
    let mut found = Vec::new();
    loop {
        let (adopted, peak) = memory::peak(|| host.spool.adopt(ANYTHING, 3000, host.at(0)));
        assert!(
            adopted.records.len() <= 11 && peak < 3000 + (32 << 10),
            "{peak}"
        );
        found.extend(numbers(&adopted.records));
        if !adopted.more {
            break;
        }
    }
    assert_eq!(found, (0..300).collect::<Vec<u64>>());
}

/// Start-up looks at so many files in a second, however many there are.
#[test]
fn orphans_do_not_storm_the_disk() {
    let sim = Sim::new(1);
    for number in 0..30 {
        let host = Host::new(&sim, options());
        append(&host.spool, 0, number, 40).unwrap();
        host.kill();
    }
    let slow = SpoolOptions {
        files_per_second: 8,
        ..options()
    };
    let host = Host::new(&sim, slow);
    let mut seconds = 0;
    let mut found = 0;
    loop {
        let now = host.begun + Duration::from_secs(seconds);
        let adopted = host.spool.adopt(ANYTHING, 1 << 20, now);
        assert!(adopted.records.len() <= 8);
        found += adopted.records.len();
        host.spool.ack(&tickets(&adopted.records));
        if !adopted.more {
            break;
        }
        seconds += 1;
    }
    assert_eq!(found, 30);
    assert!((7..20).contains(&seconds), "{seconds}");
}

/// Each orphan holds a descriptor until its records are delivered.
#[test]
fn not_too_many_orphans_are_held() {
    let sim = Sim::new(1);
    for number in 0..100 {
        let host = Host::new(&sim, options());
        append(&host.spool, 0, number, 40).unwrap();
        host.kill();
    }
    let host = Host::new(&sim, options());
    let first = host.spool.adopt(ANYTHING, 1 << 20, host.at(0));
    assert!(first.more && first.records.len() == 64);
    let again = host.spool.adopt(ANYTHING, 1 << 20, host.at(0));
    assert!(again.more && again.records.is_empty());
    host.spool.ack(&tickets(&first.records));
    let rest = host.spool.adopt(ANYTHING, 1 << 20, host.at(0));
    assert!(!rest.more && rest.records.len() == 36);
}

#[test]
fn open_roots_come_last_and_only_without_an_end() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    append_kind(&host.spool, 1, 1, Kind::RootOpen, 0);
    append_kind(&host.spool, 2, 2, Kind::RootOpen, 0);
    append_kind(&host.spool, 3, 3, Kind::RootOpen, 0);
    append_kind(&host.spool, 4, 1, Kind::Trace, 0);
    append_kind(&host.spool, 5, 2, Kind::Trace, PART);
    let delivered = append_kind(&host.spool, 6, 3, Kind::Trace, 0);
    host.spool.ack(&[delivered]);
    host.kill();
    let host = Host::new(&sim, options());
    let adopted = host.spool.adopt(ANYTHING, 1 << 20, host.at(0));
    assert_eq!(numbers(&adopted.records), [4, 5, 2]);
    assert_eq!(adopted.records[2].kind, Kind::RootOpen);
    assert_conserved(&host.spool.stats(), 3);
    host.spool.ack(&tickets(&adopted.records));
    drop(host);
    assert!(sim.files().is_empty(), "{:?}", sim.files());
}

/// A root is marked as ended before anybody can be done with its end.
#[test]
fn a_root_does_not_outlive_its_trace_in_a_second_heir() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    append_kind(&host.spool, 1, 1, Kind::RootOpen, 0);
    // The rest of the segment, so that root and end are in two.
    append(&host.spool, 0, 2, 3800).unwrap();
    append_kind(&host.spool, 3, 1, Kind::Trace, 0);
    host.kill();
    let host = Host::new(&sim, options());
    let records = host.adopt_all(ANYTHING);
    assert_eq!(numbers(&records), [2, 3]);
    host.spool.ack(&tickets(&records)[1..]);
    host.kill();
    let host = Host::new(&sim, options());
    assert_eq!(numbers(&host.adopt_all(ANYTHING)), [2]);
}

#[test]
fn an_unknown_outcome_is_told() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    let all: Vec<Ticket> = (0..3)
        .map(|number| append(&host.spool, 0, number, 40).unwrap())
        .collect();
    host.spool.mark_sent(&all[1..2]);
    host.kill();
    let host = Host::new(&sim, options());
    let records = host.adopt_all(ANYTHING);
    let sent: Vec<bool> = records.iter().map(|record| record.maybe_sent).collect();
    assert_eq!(sent, [false, true, false]);
    host.spool.mark_sent(&tickets(&records)[..1]);
    host.kill();
    let host = Host::new(&sim, options());
    let sent: Vec<bool> = host
        .adopt_all(ANYTHING)
        .iter()
        .map(|one| one.maybe_sent)
        .collect();
    assert_eq!(sent, [true, true, false]);
}

/// What a later version of this library writes is left for it.
#[test]
fn another_version_keeps_its_files() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    append(&host.spool, 0, 1, 40).unwrap();
    host.kill();
    let path = sim
        .files()
        .into_keys()
        .find(|path| path.ends_with(".seg"))
        .unwrap();
    let mut bytes = sim.content(&path);
    for copy in bytes[..RECORDS as usize].chunks_exact_mut(96) {
        copy[8] = 2;
        let crc = crc32c(&copy[..92]);
        let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
        copy[92..].copy_from_slice(&masked.to_le_bytes());
    }
    sim.overwrite(&path, &bytes);
    let host = Host::new(&sim, options());
    assert!(host.adopt_all(ANYTHING).is_empty());
    assert_eq!(host.spool.stats().quarantined, 0);
    drop(host);
    assert_eq!(sim.content(&path), bytes);
}

/// By its definition, so that the library's is checked as well.
fn crc32c(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    });
    !crc
}

#[test]
fn orphaned_acknowledgements_are_removed() {
    let sim = Sim::new(1);
    let run = "01020304-5-1700000000000-00000000000000aa";
    let host = Host::new(&sim, options());
    host.process.make_dir(run).unwrap();
    host.process.make_dir("something-else").unwrap();
    sim.overwrite(&format!("{run}/000003.ack"), b"whatever");
    sim.overwrite("something-else/000003.ack", b"not ours");
    assert!(host.adopt_all(ANYTHING).is_empty());
    drop(host);
    assert_eq!(
        sim.files().into_keys().collect::<Vec<_>>(),
        ["something-else/000003.ack"]
    );
}

/// What is delivered at once leaves no full segments behind.
#[test]
fn the_disk_is_free_when_all_is_delivered() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    for number in 0..200 {
        let ticket = append(&host.spool, 0, number, 100).unwrap();
        host.spool.ack(&[ticket]);
        let used: u64 = sim.files().values().sum();
        assert!(used < 4096, "{used}");
    }
    host.spool.close();
    assert!(sim.files().is_empty(), "{:?}", sim.files());
    assert!(append(&host.spool, 0, 1, 40).is_err());
}

/// Rolling takes the segment that was made ahead.
#[test]
fn the_next_segment_is_made_ahead() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    append(&host.spool, 0, 0, 3500).unwrap();
    host.spool.maintain(host.at(0));
    let segments = || {
        sim.files()
            .keys()
            .filter(|path| path.ends_with(".seg"))
            .count()
    };
    assert_eq!(segments(), 2);
    append(&host.spool, 0, 1, 3500).unwrap();
    assert_eq!(segments(), 2);
    host.kill();
    let host = Host::new(&sim, options());
    assert_eq!(numbers(&host.adopt_all(ANYTHING)), [0, 1]);
}

/// An idle process wakes up for nothing.
#[test]
fn nothing_is_due_when_nothing_happens() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    assert_eq!(host.spool.maintain(host.at(0)).next, None);
    append(&host.spool, 0, 0, 35).unwrap();
    assert_eq!(host.spool.maintain(host.at(100)).next, Some(host.at(500)));
    let mut time = 500;
    let mut wakes = 0;
    while let Some(next) = host.spool.maintain(host.at(time)).next {
        time = next.duration_since(host.begun).as_millis() as u64;
        wakes += 1;
        assert!(wakes < 5);
    }
}

#[test]
fn threads_append_at_once() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let spool = &host.spool;
            scope.spawn(move || {
                for number in 0..200 {
                    let ticket =
                        append(spool, thread as usize % 2, thread * 1000 + number, 60).unwrap();
                    if number % 3 == 0 {
                        spool.ack(&[ticket]);
                    }
                }
            });
        }
        for round in 0..50 {
            host.spool.maintain(host.at(round * 700));
            assert!(host.spool.sync().is_empty());
        }
    });
    host.kill();
    let host = Host::new(&sim, options());
    let mut found = numbers(&host.adopt_all(ANYTHING));
    found.sort_unstable();
    let all = (0..4).flat_map(|thread| (0..200).map(move |number| thread * 1000 + number));
    let kept: Vec<u64> = all.filter(|number| number % 1000 % 3 != 0).collect();
    assert_eq!(found, kept);
}
