//! Spools on simulated disks, and records that can be told apart.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mlflow_trace_core::TraceId;
use mlflow_trace_core::spool::{
    Entry, Fingerprint, Full, Kind, Record, Refused, Spool, SpoolOptions, SpoolStats, Ticket,
};

use crate::sim::{Process, Sim};

pub(crate) const ANYTHING: &dyn Fn(&Fingerprint) -> bool = &|_| true;

/// The destinations of the tests.
pub(crate) fn destination(number: usize) -> Fingerprint {
    Fingerprint::new("http://server", &number.to_string(), None, "user")
}

pub(crate) fn options() -> SpoolOptions {
    SpoolOptions {
        segment_bytes: 4096,
        max_bytes: 1 << 40,
        min_free_bytes: 0,
        min_free_percent: 0,
        full: Full::DropNewest,
        ..SpoolOptions::new("/nowhere")
    }
}

/// A process with a spool.
pub(crate) struct Host {
    pub(crate) sim: Sim,
    pub(crate) process: Arc<Process>,
    pub(crate) spool: Spool,
    pub(crate) begun: Instant,
}

impl Host {
    pub(crate) fn new(sim: &Sim, options: SpoolOptions) -> Self {
        let process = sim.process();
        Host {
            sim: sim.clone(),
            spool: Spool::with_vfs(process.clone(), options).unwrap(),
            process,
            begun: Instant::now(),
        }
    }

    /// The process ends without a word.
    pub(crate) fn kill(self) {
        self.sim.kill(self.process.id);
    }

    pub(crate) fn at(&self, ms: u64) -> Instant {
        self.begun + Duration::from_millis(ms)
    }

    /// Adopts until there is no more, a little at a time.
    pub(crate) fn adopt_all(&self, wanted: &dyn Fn(&Fingerprint) -> bool) -> Vec<Record> {
        let mut records = Vec::new();
        for second in 0.. {
            let adopted = self.spool.adopt(wanted, 200, self.at(second * 1000));
            records.extend(adopted.records);
            if !adopted.more {
                return records;
            }
            assert!(second < 100_000, "no end of adopting");
        }
        unreachable!()
    }
}

pub(crate) fn trace_id(number: u64) -> TraceId {
    let mut bytes = [7; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    TraceId::from_bytes(bytes)
}

/// A payload of `len` bytes that only this number has.
pub(crate) fn payload(number: u64, len: usize) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    let mut state = number;
    while bytes.len() < len {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        bytes.push((state >> 56) as u8);
    }
    bytes
}

pub(crate) fn entry<'a>(number: u64, payload: &'a [&'a [u8]]) -> Entry<'a> {
    Entry {
        kind: Kind::Trace,
        flags: 0,
        class: number as u16,
        trace_id: trace_id(number),
        created_ms: 1_800_000_000_000,
        payload,
    }
}

/// Appends a trace with the payload of its number.
pub(crate) fn append(spool: &Spool, to: usize, number: u64, len: usize) -> Result<Ticket, Refused> {
    let payload = payload(number, len);
    let (first, second) = payload.split_at(payload.len() / 3);
    spool.append(&destination(to), &entry(number, &[first, &[], second]))
}

pub(crate) fn numbers(records: &[Record]) -> Vec<u64> {
    let number = |record: &Record| {
        let (first, _) = record.payload.split_first_chunk().unwrap();
        u64::from_le_bytes(*first)
    };
    records.iter().map(number).collect()
}

pub(crate) fn tickets(records: &[Record]) -> Vec<Ticket> {
    records.iter().map(|record| record.ticket).collect()
}

/// `appended + adopted = acked + parked + expired + dropped + lost + pending`, with a pending that was counted.
pub(crate) fn assert_conserved(stats: &SpoolStats, pending: u64) {
    assert_eq!(stats.pending, pending, "{stats:?}");
    let settled = stats.acked + stats.parked + stats.expired + stats.dropped + stats.lost;
    assert_eq!(
        stats.appended + stats.adopted,
        settled + pending,
        "{stats:?}"
    );
}
