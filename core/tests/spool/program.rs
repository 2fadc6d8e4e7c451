//! Random programs: what processes do with a spool, and what happens to them.

use proptest::prelude::*;

/// Processes at a time; a new one takes the place of one that ended.
pub(crate) const PROCESSES: usize = 2;

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Append {
        process: usize,
        destination: usize,
        len: usize,
        kind: Made,
    },
    Ack {
        process: usize,
        pick: u64,
    },
    MarkSent {
        process: usize,
        pick: u64,
    },
    Sync {
        process: usize,
    },
    Maintain {
        process: usize,
        ms: u64,
    },
    Adopt {
        process: usize,
        destinations: u8,
        bytes: usize,
    },
    ReadBack {
        process: usize,
    },
    Kill {
        process: usize,
    },
    Close {
        process: usize,
    },
    /// The process is killed between two system calls, or in one.
    DieIn {
        process: usize,
        calls: usize,
    },
    CutPower,
    Wait {
        ms: u64,
    },
    Fail {
        after: usize,
    },
    Space {
        bytes: Option<u64>,
    },
}

/// What is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    Whole,
    Part,
    Root,
    /// The whole trace of a root that was appended before by the same process.
    End,
}

/// How a disk may fail in a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Faults {
    None,
    All,
}

fn op(faults: Faults) -> BoxedStrategy<Op> {
    let process = 0..PROCESSES;
    let made = prop_oneof![
        6 => Just(Made::Whole),
        2 => Just(Made::Part),
        2 => Just(Made::Root),
        2 => Just(Made::End),
    ];
    let append = (process.clone(), 0..3usize, 0..900usize, made);
    let append = append.prop_map(|(process, destination, len, kind)| Op::Append {
        process,
        destination,
        len,
        kind,
    });
    let ack = (process.clone(), any::<u64>()).prop_map(|(process, pick)| Op::Ack { process, pick });
    let sent =
        (process.clone(), any::<u64>()).prop_map(|(process, pick)| Op::MarkSent { process, pick });
    let adopt = (process.clone(), any::<u8>(), 1..3000usize);
    let adopt = adopt.prop_map(|(process, destinations, bytes)| Op::Adopt {
        process,
        destinations,
        bytes,
    });
    let maintain = (process.clone(), 0..40_000u64);
    let maintain = maintain.prop_map(|(process, ms)| Op::Maintain { process, ms });
    let usual = prop_oneof![
        20 => append,
        5 => ack,
        2 => sent,
        3 => process.clone().prop_map(|process| Op::Sync { process }),
        4 => maintain,
        4 => adopt,
        1 => process.clone().prop_map(|process| Op::ReadBack { process }),
        1 => process.clone().prop_map(|process| Op::Kill { process }),
        1 => process.prop_map(|process| Op::Close { process }),
        1 => (0..100_000u64).prop_map(|ms| Op::Wait { ms }),
    ];
    let cut = Just(Op::CutPower);
    let die = (0..PROCESSES, 0..25usize).prop_map(|(process, calls)| Op::DieIn { process, calls });
    match faults {
        Faults::None => prop_oneof![40 => usual, 1 => cut, 1 => die].boxed(),
        Faults::All => {
            let fail = (0..12usize).prop_map(|after| Op::Fail { after });
            let space = proptest::option::of(0..3000u64).prop_map(|bytes| Op::Space { bytes });
            prop_oneof![40 => usual, 1 => cut, 1 => die, 3 => fail, 2 => space].boxed()
        }
    }
}

pub(crate) fn programs(faults: Faults) -> impl Strategy<Value = (u64, Vec<Op>)> {
    (any::<u64>(), proptest::collection::vec(op(faults), 1..120))
}
