//! The spool against a model of what it promises.
//!
//! - After a kill, whatever was appended and not acknowledged is there, byte for byte, and nothing else.
//! - After a power cut, whatever was synced and not acknowledged is there; of the rest some may be.
//! - Nobody ever has a record that another living process has.

use std::collections::BTreeMap;

use mlflow_trace_core::spool::{Entry, Fingerprint, Kind, PART, Record, Refused, Ticket};
use proptest::prelude::*;

use crate::program::{Faults, Made, Op, PROCESSES, programs};
use crate::sim::Sim;
use crate::support::{ANYTHING, Host, destination, numbers, options, payload, trace_id};

/// What is known of a record.
#[derive(Clone, Debug)]
struct Known {
    payload: Vec<u8>,
    kind: Kind,
    flags: u8,
    trace: u64,
    destination: usize,
    created_ms: u64,
    /// The process that appended it lives.
    own: bool,
    /// Who has it, and as what.
    holder: Option<(usize, Ticket)>,
    synced: bool,
    /// Somebody is done with it.
    acked: bool,
    /// It may be on disk although nobody needs it, or not be there although it was not acknowledged.
    unsure: bool,
    /// Its process was killed while it was appended.
    unreported: bool,
    marked: Option<bool>,
}

struct Model {
    sim: Sim,
    hosts: Vec<Option<Host>>,
    times: [u64; PROCESSES],
    records: BTreeMap<u64, Known>,
    next: u64,
    power_was_cut: bool,
    /// A process was killed within a call.
    died: bool,
    faulty: bool,
}

type Checked = Result<(), TestCaseError>;

impl Model {
    fn new(seed: u64) -> Self {
        let sim = Sim::new(seed);
        let hosts = (0..PROCESSES).map(|_| Some(Host::new(&sim, options())));
        Model {
            hosts: hosts.collect(),
            sim,
            times: [0; PROCESSES],
            records: BTreeMap::new(),
            next: 1,
            power_was_cut: false,
            died: false,
            faulty: false,
        }
    }

    fn host(&mut self, process: usize) -> &Host {
        let sim = &self.sim;
        self.hosts[process].get_or_insert_with(|| Host::new(sim, options()))
    }

    fn held(&self, process: usize) -> Vec<(u64, Ticket)> {
        let held = self.records.iter().filter_map(|(number, known)| {
            let (holder, ticket) = known.holder?;
            (holder == process && !known.acked).then_some((*number, ticket))
        });
        held.collect()
    }

    /// Whether a process was killed in the middle of what it does.
    fn is_dead(&self, process: usize) -> bool {
        let host = self.hosts[process].as_ref();
        host.is_some_and(|host| !self.sim.is_alive(host.process.id))
    }

    fn run(&mut self, op: &Op) -> Checked {
        self.run_op(op)?;
        for process in 0..PROCESSES {
            if self.is_dead(process) {
                self.died = true;
                self.hosts[process] = None;
                self.let_go(process);
            }
        }
        Ok(())
    }

    fn run_op(&mut self, op: &Op) -> Checked {
        match *op {
            Op::Append {
                process,
                destination,
                len,
                kind,
            } => self.append(process, destination, len, kind),
            Op::Ack { process, pick } => self.ack(process, pick),
            Op::MarkSent { process, pick } => self.mark(process, pick),
            Op::Sync { process } => self.sync(process),
            Op::Maintain { process, ms } => self.maintain(process, ms),
            Op::Adopt {
                process,
                destinations,
                bytes,
            } => self.adopt(process, destinations, bytes),
            Op::ReadBack { process } => self.read_back(process),
            Op::Kill { process } => {
                if let Some(host) = self.hosts[process].take() {
                    host.kill();
                    self.let_go(process);
                }
                Ok(())
            }
            Op::Close { process } => {
                if let Some(host) = self.hosts[process].take() {
                    host.spool.close();
                    drop(host);
                    self.let_go(process);
                }
                Ok(())
            }
            Op::DieIn { process, calls } => {
                let id = self.host(process).process.id;
                self.sim.die_in(id, calls);
                Ok(())
            }
            Op::CutPower => {
                self.sim.cut_power();
                self.power_was_cut = true;
                for process in 0..PROCESSES {
                    self.hosts[process] = None;
                    self.let_go(process);
                }
                for known in self.records.values_mut() {
                    // What is left is on disk for good, and nobody knows what that is.
                    known.unsure |= known.acked || !known.synced;
                    if known.marked == Some(true) {
                        known.marked = None;
                    }
                }
                Ok(())
            }
            Op::Wait { ms } => {
                let clock = &mut self.sim.world().clock;
                clock.wall_ms += ms;
                clock.since_boot_ms += ms;
                Ok(())
            }
            Op::Fail { after } => {
                self.sim.world().fail_in = Some(after);
                self.faulty = true;
                Ok(())
            }
            Op::Space { bytes } => {
                self.sim.world().space = bytes;
                self.faulty = true;
                Ok(())
            }
        }
    }

    fn let_go(&mut self, process: usize) {
        for known in self.records.values_mut() {
            if known.holder.is_some_and(|(holder, _)| holder == process) {
                known.holder = None;
            }
            known.own &= known.holder.is_some();
        }
    }

    fn append(&mut self, process: usize, to: usize, len: usize, made: Made) -> Checked {
        let number = self.next;
        self.next += 1;
        let mut trace = number;
        let mut to = to;
        if made == Made::End {
            let roots = self.records.iter().find(|(_, known)| {
                let is_held = known.holder.is_some_and(|(holder, _)| holder == process);
                is_held && known.own && known.kind == Kind::RootOpen && !known.acked
            });
            if let Some((_, root)) = roots {
                (trace, to) = (root.trace, root.destination);
            }
        }
        let (kind, flags) = match made {
            Made::Whole | Made::End => (Kind::Trace, 0),
            Made::Part => (Kind::Trace, PART),
            Made::Root => (Kind::RootOpen, 0),
        };
        let payload = payload(number, len);
        let created_ms = self.sim.world().clock.wall_ms;
        let entry = Entry {
            kind,
            flags,
            class: number as u16,
            trace_id: trace_id(trace),
            created_ms,
            payload: &[&payload],
        };
        let faulty = self.faulty;
        let appended = self.host(process).spool.append(&destination(to), &entry);
        let known = Known {
            payload: payload.clone(),
            kind,
            flags,
            trace,
            destination: to,
            created_ms,
            own: true,
            holder: None,
            synced: false,
            acked: false,
            unsure: false,
            unreported: false,
            marked: Some(false),
        };
        match appended {
            Ok(ticket) => {
                let holder = Some((process, ticket));
                self.records.insert(number, Known { holder, ..known });
            }
            Err(Refused::Degraded) if self.is_dead(process) => {
                let unreported = Known {
                    unreported: true,
                    acked: true,
                    unsure: true,
                    own: false,
                    ..known
                };
                self.records.insert(number, unreported);
            }
            Err(Refused::Degraded | Refused::Full) if faulty => {}
            Err(why) => prop_assert!(false, "refused: {:?}", why),
        }
        Ok(())
    }

    fn ack(&mut self, process: usize, pick: u64) -> Checked {
        let held = self.held(process);
        let picked = |number: u64| (pick >> (number % 64)) & 1 == 0;
        let ends = |trace| {
            let ends = |(number, _): &(u64, Ticket)| self.is_end(*number, trace) && picked(*number);
            held.iter().any(ends)
        };
        let chosen = held.iter().filter(|(number, _)| {
            let known = &self.records[number];
            // A root is done with when its trace is, at the latest.
            picked(*number) || known.kind == Kind::RootOpen && ends(known.trace)
        });
        let (numbers, tickets): (Vec<u64>, Vec<Ticket>) = chosen.copied().unzip();
        self.host(process).spool.ack(&tickets);
        let faulty = self.faulty || self.is_dead(process);
        for number in numbers {
            let known = self.records.get_mut(&number).unwrap();
            known.acked = true;
            known.holder = None;
            known.unsure |= faulty;
        }
        Ok(())
    }

    /// Whether a record is the end of a trace.
    fn is_end(&self, number: u64, trace: u64) -> bool {
        let known = &self.records[&number];
        known.trace == trace && known.kind == Kind::Trace && known.flags & PART == 0
    }

    fn has_end(&self, trace: u64) -> bool {
        self.records
            .keys()
            .any(|number| self.is_end(*number, trace))
    }

    fn mark(&mut self, process: usize, pick: u64) -> Checked {
        let held = self.held(process);
        let chosen = held
            .iter()
            .filter(|(number, _)| (pick >> (number % 64)) & 7 == 0);
        let (numbers, tickets): (Vec<u64>, Vec<Ticket>) = chosen.copied().unzip();
        self.host(process).spool.mark_sent(&tickets);
        let faulty = self.faulty || self.is_dead(process);
        for number in numbers {
            let known = self.records.get_mut(&number).unwrap();
            known.marked = if faulty { None } else { Some(true) };
        }
        Ok(())
    }

    fn keep(&mut self, tickets: &[Ticket], process: usize) -> Checked {
        prop_assert!(self.faulty || self.is_dead(process) || tickets.is_empty());
        for known in self.records.values_mut() {
            let kept = known
                .holder
                .is_some_and(|(holder, ticket)| holder == process && tickets.contains(&ticket));
            if kept {
                // The caller has them again; whether the disk has them, nobody knows after a power cut.
                known.synced = false;
            }
        }
        Ok(())
    }

    fn sync(&mut self, process: usize) -> Checked {
        let kept = self.host(process).spool.sync();
        if self.is_dead(process) {
            return Ok(());
        }
        let own = self.own(process);
        if !self.faulty {
            for number in own {
                self.records.get_mut(&number).unwrap().synced = true;
            }
        } else {
            // Records of which an earlier sync failed are not promised again.
            for number in own {
                let known = self.records.get_mut(&number).unwrap();
                let (_, ticket) = known.holder.unwrap();
                if !kept.contains(&ticket) && !known.unsure {
                    known.synced = true;
                }
            }
        }
        self.mark_kept(&kept, process);
        self.keep(&kept, process)
    }

    /// From now on nobody can say of these whether they are on disk.
    fn mark_kept(&mut self, tickets: &[Ticket], process: usize) {
        for known in self.records.values_mut() {
            let kept = known
                .holder
                .is_some_and(|(holder, ticket)| holder == process && tickets.contains(&ticket));
            known.unsure |= kept;
        }
    }

    /// Records that the process appended by itself, of which a sync speaks.
    fn own(&mut self, process: usize) -> Vec<u64> {
        let held = self.held(process);
        let mut cursor = Default::default();
        let records = self.host(process).spool.read_back(&mut cursor, usize::MAX);
        let own: Vec<Ticket> = records.iter().map(|record| record.ticket).collect();
        held.into_iter()
            .filter(|(_, ticket)| own.contains(ticket))
            .map(|(number, _)| number)
            .collect()
    }

    fn maintain(&mut self, process: usize, ms: u64) -> Checked {
        self.times[process] += ms;
        let at = self.times[process];
        let host = self.host(process);
        let done = host.spool.maintain(host.at(at));
        prop_assert!(done.dropped.is_empty());
        self.mark_kept(&done.keep, process);
        self.keep(&done.keep, process)
    }

    fn check(&self, record: &Record, number: u64) -> Checked {
        let known = self.records.get(&number);
        prop_assert!(known.is_some(), "nobody appended {number}");
        let known = known.unwrap();
        prop_assert_eq!(&record.payload, &known.payload);
        prop_assert_eq!(
            (record.kind, record.flags, record.class, record.created_ms),
            (known.kind, known.flags, number as u16, known.created_ms)
        );
        prop_assert_eq!(record.trace_id, trace_id(known.trace));
        prop_assert_eq!(record.destination, destination(known.destination));
        if let Some(marked) = known.marked {
            prop_assert_eq!(record.maybe_sent, marked, "{}", number);
        }
        Ok(())
    }

    fn adopt(&mut self, process: usize, destinations: u8, bytes: usize) -> Checked {
        let wanted = move |one: &Fingerprint| {
            (0..3).any(|number| destinations >> number & 1 == 0 && *one == destination(number))
        };
        let time = self.times[process];
        let host = self.host(process);
        let adopted = host.spool.adopt(&wanted, bytes, host.at(time));
        self.adopted(process, &adopted.records)
    }

    fn adopted(&mut self, process: usize, records: &[Record]) -> Checked {
        for (record, number) in records.iter().zip(numbers(records)) {
            self.check(record, number)?;
            let trace = self.records[&number].trace;
            let has_ended = self
                .records
                .iter()
                .any(|(number, known)| self.is_end(*number, trace) && !known.unreported);
            let known = self.records.get_mut(&number).unwrap();
            prop_assert!(!known.acked || known.unsure, "{} is done with", number);
            prop_assert!(known.holder.is_none(), "{} has a holder", number);
            if known.kind == Kind::RootOpen && !self.faulty && !self.power_was_cut {
                prop_assert!(!has_ended, "root {} has ended", number);
            }
            known.holder = Some((process, record.ticket));
            known.acked = false;
        }
        Ok(())
    }

    /// What a process appended and nobody is done with, it can read again.
    fn read_back(&mut self, process: usize) -> Checked {
        let mut cursor = Default::default();
        let mut records = Vec::new();
        let host = self.host(process);
        loop {
            let some = host.spool.read_back(&mut cursor, 500);
            if some.is_empty() {
                break;
            }
            records.extend(some);
        }
        for (record, number) in records.iter().zip(numbers(&records)) {
            self.check(record, number)?;
            let known = &self.records[&number];
            prop_assert_eq!(known.holder, Some((process, record.ticket)));
            prop_assert!(!known.acked);
        }
        Ok(())
    }

    /// Everybody dies; one process after that sees what is left.
    fn end(mut self) -> Checked {
        for process in 0..PROCESSES {
            self.run(&Op::Kill { process })?;
        }
        {
            let mut world = self.sim.world();
            world.fail_in = None;
            world.space = None;
        }
        let host = Host::new(&self.sim, options());
        let records = host.adopt_all(ANYTHING);
        let stats = host.spool.stats();
        if !self.power_was_cut && !self.faulty && !self.died {
            prop_assert_eq!(
                (stats.corrupt, stats.quarantined, stats.unreadable),
                (0, 0, 0)
            );
        }
        prop_assert_eq!(stats.pending, records.len() as u64);
        self.adopted(0, &records)?;
        let found = numbers(&records);
        for (number, known) in &self.records {
            let is_promised = match self.power_was_cut {
                false => true,
                true => known.synced && !known.unsure,
            };
            let is_ended = known.kind == Kind::RootOpen && self.has_end(known.trace);
            if is_promised && !known.acked && !is_ended {
                prop_assert!(found.contains(number), "{} is lost: {:?}", number, known);
            }
        }
        host.spool
            .ack(&records.iter().map(|one| one.ticket).collect::<Vec<_>>());
        prop_assert_eq!(host.spool.stats().pending, 0);
        drop(host);
        if !self.power_was_cut && !self.faulty {
            prop_assert_eq!(self.sim.files(), BTreeMap::new());
        }
        Ok(())
    }
}

fn check((seed, program): (u64, Vec<Op>)) -> Checked {
    let mut model = Model::new(seed);
    for op in &program {
        model.run(op)?;
    }
    model.end()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn what_was_appended_is_there(case in programs(Faults::None)) {
        check(case)?;
    }

    #[test]
    fn a_failing_disk_loses_nothing_that_it_took(case in programs(Faults::All)) {
        check(case)?;
    }
}
