//! Segments that are damaged in every way: what is intact is read, wherever it stands; nothing is made up, and nothing is
//! believed that would cost memory.

use std::ops::Range;
use std::sync::Arc;

use mlflow_trace_core::spool::{Opened, RECORDS, RecordHeader, SegmentReader};

use crate::bytes::Bytes;
use crate::memory;
use crate::sim::{Dice, Sim};
use crate::support::{ANYTHING, Host, append, destination, entry, numbers, options, tickets};

/// What reading may take beyond the size of the file.
const SLACK: usize = 64 << 10;

struct Sample {
    bytes: Vec<u8>,
    /// Where each record stands.
    places: Vec<Range<usize>>,
    /// The records by their numbers.
    records: Vec<(RecordHeader, Vec<u8>)>,
    run: String,
}

/// A segment of three records. The middle one holds another run's segment, as a trace of a program that reads spools may.
fn sample(first: usize, last: usize) -> Sample {
    let (other, _, _) = written(&[vec![1; 30], vec![2; 40]]);
    let middle = [other.as_slice(), b"\xF5MLR", &other].concat();
    let (bytes, places, run) = written(&[vec![b'a'; first], middle, vec![b'z'; last]]);
    let opened = SegmentReader::open(Arc::new(Bytes(bytes.clone())), id(&run), 1);
    let Ok(Opened::Segment(mut reader)) = opened else {
        panic!("the sample is damaged");
    };
    let records = std::iter::from_fn(|| {
        let header = reader.next_header()?;
        Some((header, reader.payload(&header)?))
    });
    let records: Vec<_> = records.collect();
    assert_eq!((records.len(), reader.damaged()), (3, 0));
    Sample {
        bytes,
        places,
        records,
        run,
    }
}

/// A segment with these payloads, where its records stand, and the name of its run.
fn written(payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<Range<usize>>, String) {
    let sim = Sim::new(1);
    let host = Host::new(&sim, options());
    let mut end = RECORDS as usize;
    let mut places = Vec::new();
    for (number, payload) in payloads.iter().enumerate() {
        let entry = entry(number as u64, &[]);
        let payload = [&payload[..]];
        let entry = mlflow_trace_core::spool::Entry {
            payload: &payload,
            ..entry
        };
        host.spool.append(&destination(0), &entry).unwrap();
        let len = sim
            .files()
            .iter()
            .find(|(path, _)| path.ends_with(".seg"))
            .map(|(_, len)| *len);
        places.push(end..len.unwrap() as usize);
        end = len.unwrap() as usize;
    }
    let path = sim
        .files()
        .into_keys()
        .find(|path| path.ends_with(".seg"))
        .unwrap();
    let content = sim.content(&path);
    assert_eq!(content.len(), end);
    let run = path.split('/').next().unwrap().to_owned();
    (content, places, run)
}

/// The random number of a run, as it stands in its name.
fn id(run: &str) -> u64 {
    u64::from_str_radix(run.rsplit('-').next().unwrap(), 16).unwrap()
}

impl Sample {
    /// Which records are read from damaged bytes. Each is one of those that were written.
    fn read(&self, bytes: &[u8]) -> Vec<usize> {
        let mut found = Vec::with_capacity(self.records.len());
        // Not counted: the copy that stands for the file.
        let file = Arc::new(Bytes(bytes.to_vec()));
        let ((), peak) = memory::peak(|| {
            let Ok(Opened::Segment(mut reader)) = SegmentReader::open(file, id(&self.run), 1)
            else {
                return;
            };
            while let Some(header) = reader.next_header() {
                let Some(payload) = reader.payload(&header) else {
                    continue;
                };
                let same = |(known, content): &(RecordHeader, Vec<u8>)| {
                    let mut moved = header;
                    moved.offset = known.offset;
                    moved == *known && payload == *content
                };
                let number = self.records.iter().position(same);
                found.push(number.expect("a record that nobody wrote"));
            }
        });
        assert!(peak <= bytes.len() + SLACK, "{peak} for {}", bytes.len());
        found
    }

    fn check(&self, bytes: &[u8], expected: &[usize], what: &dyn Fn() -> String) {
        let found = self.read(bytes);
        assert_eq!(found, expected, "{}", what());
    }
}

#[test]
fn every_truncation_leaves_what_is_whole() {
    let sample = sample(20, 33);
    for end in 0..=sample.bytes.len() {
        let whole = (0..3).filter(|number| sample.places[*number].end <= end);
        let whole: Vec<usize> = whole.collect();
        sample.check(&sample.bytes[..end], &whole, &|| format!("cut at {end}"));
    }
}

#[test]
fn every_changed_byte_costs_one_record_at_most() {
    let sample = sample(20, 33);
    for place in 0..sample.bytes.len() {
        let spared = (0..3).filter(|number| !sample.places[*number].contains(&place));
        let spared: Vec<usize> = spared.collect();
        let mut bytes = sample.bytes.clone();
        for change in 1..=255 {
            bytes[place] = sample.bytes[place] ^ change;
            sample.check(&bytes, &spared, &|| format!("{change} at {place}"));
        }
    }
}

fn find(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Damage of all kinds, also such as moves what is behind it.
fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let end = bytes.len();
    let from = dice.roll(end);
    let most = if dice.roll(2) == 0 { 8 } else { 300 };
    let to = (from + 1 + dice.roll(most)).min(end);
    match dice.roll(8) {
        0 => bytes[from] ^= 1 << dice.roll(8),
        1 => bytes[from..to].fill(0),
        2 => bytes[from..to].fill_with(|| dice.roll(256) as u8),
        3 => drop(bytes.drain(from..to)),
        4 => {
            let copy = bytes[from..to].to_vec();
            let at = dice.roll(end);
            bytes.splice(at..at, copy);
        }
        5 => {
            let random: Vec<u8> = (from..to).map(|_| dice.roll(256) as u8).collect();
            bytes.splice(from..from, random);
        }
        6 => bytes.truncate(from),
        _ => {
            let copy = bytes[from..to].to_vec();
            let at = dice.roll(end - copy.len() + 1);
            bytes[at..at + copy.len()].copy_from_slice(&copy);
        }
    }
}

#[test]
fn random_damage_leaves_what_is_intact() {
    let count = std::env::var("SPOOL_MUTATIONS").map_or(20_000, |count| count.parse().unwrap());
    let sample = sample(50, 90);
    let mut dice = Dice::new(27);
    let mut recovered = [0u64; 4];
    for number in 0..count {
        let mut bytes = sample.bytes.clone();
        for _ in 0..=dice.roll(4) {
            if !bytes.is_empty() {
                mutate(&mut bytes, &mut dice);
            }
        }
        let found = sample.read(&bytes);
        let mut once = found.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), found.len(), "mutation {number}: read twice");
        recovered[found.len()] += 1;
        // Each record that is whole is found, if a copy of the header is.
        let header = &sample.bytes[..RECORDS as usize / 2];
        let has_header = find(&bytes[..bytes.len().min(4096)], header);
        for (record, place) in sample.places.iter().enumerate() {
            let is_whole = find(&bytes, &sample.bytes[place.clone()]);
            if has_header && is_whole {
                assert!(found.contains(&record), "mutation {number} lost {record}");
            }
        }
    }
    println!("{count} damaged segments, of which 0, 1, 2, 3 records were read: {recovered:?}");
    assert!(recovered.iter().all(|count| *count > 0), "{recovered:?}");
}

/// Puts damaged bytes where a dead process may have left them.
fn planted(sample: &Sample, bytes: &[u8]) -> (Sim, Host) {
    let sim = Sim::new(3);
    let host = Host::new(&sim, options());
    use mlflow_trace_core::spool::vfs::Vfs;
    host.process.make_dir(&sample.run).unwrap();
    sim.overwrite(&format!("{}/000001.seg", sample.run), bytes);
    (sim, host)
}

#[test]
fn adopting_damage_never_fails() {
    let sample = sample(20, 33);
    let damaged = |place: usize, cut: bool| match cut {
        true => sample.bytes[..place].to_vec(),
        false => {
            let mut bytes = sample.bytes.clone();
            bytes[place] ^= 0x55;
            bytes
        }
    };
    for cut in [true, false] {
        for place in 0..sample.bytes.len() {
            let bytes = damaged(place, cut);
            let expected = sample.read(&bytes);
            let (sim, host) = planted(&sample, &bytes);
            let records = host.adopt_all(ANYTHING);
            let ordinals: Vec<usize> = records.iter().map(|one| usize::from(one.class)).collect();
            assert_eq!(ordinals, expected, "{place} {cut}");
            let stats = host.spool.stats();
            assert_eq!(stats.quarantined, 0, "{place} {cut}");
            assert!(
                cut || place < RECORDS as usize || stats.corrupt == 1,
                "{place}: {stats:?}"
            );
            host.spool.ack(&tickets(&records));
            drop(host);
            assert!(sim.files().is_empty(), "{place} {cut}: {:?}", sim.files());
        }
    }
}

#[test]
fn what_nobody_can_read_is_put_aside() {
    let sample = sample(20, 33);
    let mut bytes = sample.bytes.clone();
    bytes[..RECORDS as usize].fill(0);
    let (sim, host) = planted(&sample, &bytes);
    assert!(host.adopt_all(ANYTHING).is_empty());
    assert_eq!(host.spool.stats().quarantined, 1);
    let kept = format!("bad/{}-000001.seg", sample.run);
    assert_eq!(sim.content(&kept), bytes);
    drop(host);
    assert_eq!(sim.files().into_keys().collect::<Vec<_>>(), [kept]);
}

/// A segment under another name would be acknowledged in vain, so it is not taken for one.
#[test]
fn a_segment_of_another_run_is_put_aside() {
    let sample = sample(20, 33);
    let mut other = sample.run.clone();
    other.replace_range(other.len() - 4.., "0000");
    let foreign = Sample {
        run: other,
        ..sample
    };
    let (_, host) = planted(&foreign, &foreign.bytes);
    assert!(host.adopt_all(ANYTHING).is_empty());
    assert_eq!(host.spool.stats().quarantined, 1);
}

#[test]
fn sectors_that_cannot_be_read_cost_what_is_in_them() {
    let sim = Sim::new(5);
    let host = Host::new(&sim, options());
    for number in 0..30 {
        append(&host.spool, 0, number, 60).unwrap();
    }
    host.kill();
    let path = sim
        .files()
        .into_keys()
        .find(|path| path.ends_with(".seg"))
        .unwrap();
    sim.world().unreadable.insert(path, (1024, 1536));
    let host = Host::new(&sim, options());
    let found = numbers(&host.adopt_all(ANYTHING));
    let touched = |number: &u64| {
        let from = RECORDS + number * 112;
        from < 1536 && from + 112 > 1024
    };
    // A record whose beginning shares a failing read may be lost as well.
    let spared = (0..30).filter(|number| !touched(number));
    let missing: Vec<u64> = spared.filter(|number| !found.contains(number)).collect();
    assert!(missing.len() <= 4, "{missing:?}");
    assert!(found.len() >= 20 && found.contains(&0) && found.contains(&29));
}

/// A damaged `.ack` file may let records be sent again, and never keeps one from being sent.
#[test]
fn every_changed_byte_of_acknowledgements_is_harmless() {
    let sim = Sim::new(6);
    let host = Host::new(&sim, options());
    let all: Vec<_> = (0..6)
        .map(|number| append(&host.spool, 0, number, 20).unwrap())
        .collect();
    host.spool.ack(&all[..2]);
    host.spool.ack(&all[3..5]);
    host.kill();
    let path = |end: &str| {
        sim.files()
            .into_keys()
            .find(|path| path.ends_with(end))
            .unwrap()
    };
    let (seg, ack) = (path(".seg"), path(".ack"));
    let (records, acks) = (sim.content(&seg), sim.content(&ack));
    assert_eq!(acks.len(), 4 * 12);
    let run = seg.split('/').next().unwrap().to_owned();
    for place in 0..=acks.len() {
        for cut in [true, false] {
            let mut damaged = acks.clone();
            match cut {
                true => damaged.truncate(place),
                false if place < acks.len() => damaged[place] ^= 0xA5,
                false => drop(damaged.drain(..5)),
            }
            let sim = Sim::new(7);
            let host = Host::new(&sim, options());
            use mlflow_trace_core::spool::vfs::Vfs;
            host.process.make_dir(&run).unwrap();
            sim.overwrite(&seg, &records);
            sim.overwrite(&ack, &damaged);
            let found = numbers(&host.adopt_all(ANYTHING));
            assert!(
                [2, 5].iter().all(|number| found.contains(number)),
                "{place}"
            );
            let again = found.len() - 2;
            assert!(
                again <= if cut { 4 - place / 12 } else { 1 },
                "{place}: {found:?}"
            );
        }
    }
}
