//! Dead letters.

use mlflow_trace_core::spool::{Full, SpoolOptions};

use crate::sim::Sim;
use crate::support::{
    ANYTHING, Host, append, assert_conserved, destination, entry, options, payload, trace_id,
};

#[test]
fn letters_are_kept_and_read_back() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    let content = payload(5, 100);
    let ticket = append(&host.spool, 3, 5, 100).unwrap();
    let parts = [&content[..40], &content[40..]];
    let reason = "422: ".to_owned() + &"ü".repeat(2000);
    let name = host
        .spool
        .park(Some(ticket), &destination(3), &entry(5, &parts), &reason)
        .unwrap();
    let stats = host.spool.stats();
    assert_eq!((stats.parked, stats.acked), (1, 0));
    assert_conserved(&stats, 0);
    host.kill();
    sim.cut_power();

    let host = Host::new(&sim, options());
    assert!(host.adopt_all(ANYTHING).is_empty());
    let letters = host.spool.dead_letters();
    assert_eq!(letters.names().unwrap(), std::slice::from_ref(&name));
    let letter = letters.read(&name).unwrap();
    assert_eq!(letter.payload, content);
    assert_eq!(
        (letter.destination, letter.trace_id, letter.class),
        (destination(3), trace_id(5), 5)
    );
    assert_eq!((letter.flags, letter.created_ms), (0, 1_800_000_000_000));
    assert!(letter.reason.starts_with("422: üü") && letter.reason.len() == 1023);
    letters.remove(&name).unwrap();
    assert!(letters.names().unwrap().is_empty());
    assert!(letters.read(&name).is_err());
}

#[test]
fn names_lead_nowhere_else() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    append(&host.spool, 0, 1, 40).unwrap();
    let path = sim
        .files()
        .into_keys()
        .find(|path| path.ends_with(".seg"))
        .unwrap();
    let letters = host.spool.dead_letters();
    for name in [
        format!("../{path}"),
        path,
        "..".into(),
        String::new(),
        "x/../y.seg".into(),
    ] {
        assert!(
            letters.read(&name).is_err() && letters.remove(&name).is_err(),
            "{name}"
        );
    }
    assert_eq!(host.spool.stats().pending, 1);
}

#[test]
fn a_letter_that_cannot_be_written_changes_nothing() {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    let ticket = append(&host.spool, 0, 1, 40).unwrap();
    let content = payload(1, 40);
    for fault in 0..6 {
        sim.world().fail_in = Some(fault);
        let parked = host
            .spool
            .park(Some(ticket), &destination(0), &entry(1, &[&content]), "");
        assert!(parked.is_err() || fault == 5, "{fault}");
        sim.world().fail_in = None;
        if parked.is_err() {
            assert_eq!(host.spool.dead_letters().names().unwrap(), [""; 0]);
            assert_conserved(&host.spool.stats(), 1);
        }
    }
}

#[test]
fn letters_take_a_quarter_and_the_newest_stay() {
    let sim = Sim::new(1);
    let small = SpoolOptions {
        max_bytes: 40_000,
        full: Full::DropNewest,
        ..options()
    };
    let host = Host::new(&sim, small);
    let mut names = Vec::new();
    for number in 0..30 {
        sim.world().clock.wall_ms += 1000;
        let content = payload(number, 1000);
        let parked = host
            .spool
            .park(None, &destination(0), &entry(number, &[&content]), "no");
        names.push(parked.unwrap());
    }
    let kept = host.spool.dead_letters().names().unwrap();
    assert!(kept.len() == 8, "{}", kept.len());
    assert_eq!(kept, names[22..]);
    assert_eq!(host.spool.stats().forgotten, 22);
    let long = payload(99, 10_001);
    assert!(
        host.spool
            .park(None, &destination(0), &entry(99, &[&long]), "")
            .is_err()
    );
}

/// A clock that jumps ages no letter; time does.
#[test]
fn letters_expire() {
    const DAY_MS: u64 = 24 * 3600 * 1000;
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    host.spool
        .park(None, &destination(0), &entry(1, &[b"content"]), "no")
        .unwrap();
    sim.world().clock.wall_ms += 3650 * DAY_MS;
    let second = host
        .spool
        .park(None, &destination(0), &entry(2, &[b"content"]), "no");
    assert_eq!(host.spool.dead_letters().names().unwrap().len(), 2);
    sim.world().clock.since_boot_ms += 8 * DAY_MS;
    let third = host
        .spool
        .park(None, &destination(0), &entry(3, &[b"content"]), "no");
    assert_eq!(
        host.spool.dead_letters().names().unwrap(),
        [second.unwrap(), third.unwrap()]
    );
    assert_eq!(host.spool.stats().forgotten, 1);
}
