//! What a spool's directory holds, for people who look at it. Nothing is changed.

use std::path::PathBuf;

use super::adopt::acks;
use super::format::RecordHeader;
use super::reader::{Opened, SegmentReader};
use super::run::{Run, RunName};
use super::usage::{BAD, run_names, segments};
use super::vfs::{ListedKind, Vfs};
use super::{DeadLetters, Kind, SpoolOptions};
use crate::error::{Error, ErrorKind, Result};

/// What a spool's directory holds.
#[derive(Clone, Debug, Default)]
pub struct SpoolStatus {
    /// The directory.
    pub directory: PathBuf,
    /// Those of all processes, the oldest first.
    pub runs: Vec<RunStatus>,
    /// What servers refused for good, the oldest first. One that cannot be read has its error for a reason.
    pub dead: Vec<DeadStatus>,
    /// Files that nobody can read, and their bytes.
    pub bad: (u64, u64),
}

/// What a process keeps in a spool, or left there.
#[derive(Clone, Debug, Default)]
pub struct RunStatus {
    /// The run's name.
    pub name: String,
    /// The process id.
    pub process: u32,
    /// When it began, in milliseconds since the Unix epoch.
    pub begun_ms: u64,
    /// Whether its process lives, or another one has adopted it.
    pub is_live: bool,
    /// Bytes of its files.
    pub bytes: u64,
    /// Traces, and parts of long ones, that are not delivered.
    pub pending: u64,
    /// Traces that were begun and not delivered.
    pub open: u64,
    /// When the oldest of them was written, in milliseconds since the Unix epoch.
    pub oldest_ms: Option<u64>,
    /// Places where no record could be read.
    pub damaged: u64,
}

/// A dead letter.
#[derive(Clone, Debug)]
pub struct DeadStatus {
    /// Names it among the others.
    pub name: String,
    /// Why it was refused.
    pub reason: String,
    /// The trace's id, with `tr-`; empty where the letter cannot be read.
    pub trace_id: String,
    /// When it was recorded, in milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// Bytes of its payload.
    pub bytes: u64,
}

/// Looks at a spool's directory; nothing is in one that does not exist.
///
/// Fails with `InvalidConfig` where the directory is unfit for a spool, and `Unsupported` on platforms without one.
#[cfg(unix)]
pub fn status(options: &SpoolOptions) -> Result<SpoolStatus> {
    if !options.directory.exists() {
        return Ok(SpoolStatus {
            directory: options.directory.clone(),
            ..SpoolStatus::default()
        });
    }
    let disk = super::Disk::new(&options.directory, options.force_network)?;
    disk.prepare().map_err(|unfit| {
        let message = format!("option 'spool.dir': {unfit}");
        Error::new(ErrorKind::InvalidConfig, message)
    })?;
    let vfs = std::sync::Arc::new(disk);
    let entries = vfs.list("").map_err(|error| damaged(&error))?;
    let mut names: Vec<(u64, String)> = run_names(entries).collect();
    names.sort();
    let bad = vfs.list(BAD).unwrap_or_default();
    let bad = bad.iter().filter(|file| file.kind == ListedKind::File);
    let bad = bad.fold((0, 0), |(count, bytes), file| (count + 1, bytes + file.len));
    Ok(SpoolStatus {
        directory: options.directory.clone(),
        runs: names
            .iter()
            .filter_map(|(_, name)| run(&*vfs, name))
            .collect(),
        dead: letters(&DeadLetters::new(vfs))?,
        bad,
    })
}

/// Not supported on this platform: fails.
#[cfg(not(unix))]
pub fn status(_: &SpoolOptions) -> Result<SpoolStatus> {
    let message = "option 'spool': not supported on this platform";
    Err(Error::new(ErrorKind::Unsupported, message))
}

#[cold]
fn damaged(error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Damaged, format!("the spool: {error}"))
}

fn letters(letters: &DeadLetters) -> Result<Vec<DeadStatus>> {
    let names = letters.names().map_err(|error| damaged(&error))?;
    let read = names.into_iter().map(|name| match letters.read(&name) {
        Ok(letter) => DeadStatus {
            name,
            reason: letter.reason,
            trace_id: letter.trace_id.to_mlflow(),
            created_ms: letter.created_ms,
            bytes: letter.payload.len() as u64,
        },
        Err(error) => DeadStatus {
            name,
            reason: format!("not readable: {error}"),
            trace_id: String::new(),
            created_ms: 0,
            bytes: 0,
        },
    });
    Ok(read.collect())
}

/// `None` for one that goes while it is looked at.
fn run(vfs: &dyn Vfs, name: &str) -> Option<RunStatus> {
    let RunName {
        process,
        begun_ms,
        id,
        ..
    } = RunName::parse(name)?;
    let files = vfs.list(name).ok()?;
    let mut status = RunStatus {
        name: name.to_owned(),
        process,
        begun_ms,
        bytes: files.iter().map(|file| file.len).sum(),
        // Given back at once: whoever looks for orphans meanwhile comes back to it.
        is_live: matches!(Run::lock(vfs, name, id), Ok(None)),
        ..RunStatus::default()
    };
    for (number, _) in segments(&files) {
        let path = super::run::segment_path(name, number);
        let opened = vfs
            .open(&path)
            .and_then(|file| SegmentReader::open(file, id, number));
        match opened {
            Ok(Opened::Segment(reader)) => status.add(vfs, reader, number),
            Ok(Opened::Unreadable) => status.damaged += 1,
            _ => {}
        }
    }
    Some(status)
}

impl RunStatus {
    fn add(&mut self, vfs: &dyn Vfs, mut reader: SegmentReader, number: u32) {
        let acks = acks(vfs, &self.name, number, &reader);
        let mut opened = std::collections::HashSet::new();
        while let Some(header) = reader.next_header() {
            if acks.settled.get(header.ordinal()) {
                continue;
            }
            let RecordHeader {
                kind, created_ms, ..
            } = header;
            match kind {
                Kind::Trace => {
                    self.pending += 1;
                    opened.remove(&header.trace_id);
                }
                Kind::RootOpen => {
                    opened.insert(header.trace_id);
                }
            }
            let oldest = self.oldest_ms.unwrap_or(u64::MAX);
            self.oldest_ms = Some(oldest.min(created_ms));
        }
        self.open += opened.len() as u64;
        // The segment that a living process appends to ends where it is written to.
        self.damaged += if self.is_live { 0 } else { reader.damaged() };
    }
}
