//! Adopts a run whose segment and `.ack` file are any bytes: whatever they are, it ends, and every record is accounted
//! for.
#![no_main]

mod forge;
#[allow(dead_code)]
#[path = "../../core/tests/spool/sim/mod.rs"]
mod sim;

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use mlflow_trace_core::spool::vfs::Vfs;
use mlflow_trace_core::spool::{AckEntry, Spool, SpoolOptions};
use sim::Sim;

fuzz_target!(|data: &[u8]| {
    let Some((how, data)) = data.split_first() else {
        return;
    };
    let (acks, segment) = data.split_at(data.len().min(usize::from(how / 4)));
    let mut segment = segment.to_vec();
    if how & 1 == 1 {
        forge::seal(&mut segment);
    }
    let mut written = acks.to_vec();
    if how & 2 == 2 {
        let entry = |ordinal: &u8| {
            let entry = AckEntry {
                seq: u64::from(forge::SEGMENT) << 32 | u64::from(*ordinal & 0x7F),
                sent: *ordinal & 0x80 != 0,
            };
            entry.encode(forge::RUN)
        };
        written = acks.iter().flat_map(entry).collect();
    }
    let sim = Sim::new(1);
    let process = sim.process();
    let spool = Spool::with_vfs(process.clone(), SpoolOptions::new("/nowhere")).unwrap();
    let run = format!("01020304-5-1700000000000-{:016x}", forge::RUN);
    process.make_dir(&run).unwrap();
    sim.overwrite(&format!("{run}/000001.seg"), &segment);
    sim.overwrite(&format!("{run}/000001.ack"), &written);
    let now = Instant::now();
    let mut records = 0;
    for second in 0.. {
        let now = now + Duration::from_secs(second);
        let adopted = spool.adopt(&|_| true, 1000, now);
        let tickets: Vec<_> = adopted.records.iter().map(|record| record.ticket).collect();
        records += tickets.len();
        spool.ack(&tickets);
        assert!(second as usize <= segment.len(), "it does not end");
        if !adopted.more {
            break;
        }
    }
    let stats = spool.stats();
    assert_eq!(stats.pending, 0, "{stats:?}");
    assert!(stats.adopted >= records as u64);
});
