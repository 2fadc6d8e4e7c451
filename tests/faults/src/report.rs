//! The list of the spans that a producer ended, in a file that outlives it.
//!
//! Each record is written with one system call after `end` returned, so whatever kills the producer, what is
//! in the list had ended.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use foldhash::fast::FixedState;

use crate::ledger::SpanKey;

const RECORD: usize = 16 + 8 + 8;

/// When spans ended, in nanoseconds since the Unix epoch.
pub type Ended = HashMap<SpanKey, u64, FixedState>;

/// Writes the list.
pub struct Reporter(File);

impl Reporter {
    /// Appends to a file, which several threads and processes may do.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Reporter(file))
    }

    /// Adds the spans of a trace, in one piece.
    pub fn add(&self, spans: &[(SpanKey, u64)]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(spans.len() * RECORD);
        for ((trace, span), ended) in spans {
            bytes.extend_from_slice(trace);
            bytes.extend_from_slice(span);
            bytes.extend_from_slice(&ended.to_le_bytes());
        }
        (&self.0).write_all(&bytes)
    }
}

/// Reads a list; a record that was cut off had not ended.
pub fn read(path: &Path) -> io::Result<Ended> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        bytes => bytes?,
    };
    let record = |record: &[u8]| {
        let trace = record[..16].try_into().ok()?;
        let span = record[16..24].try_into().ok()?;
        let ended = record[24..].try_into().ok()?;
        Some(((trace, span), u64::from_le_bytes(ended)))
    };
    Ok(bytes.chunks_exact(RECORD).filter_map(record).collect())
}
