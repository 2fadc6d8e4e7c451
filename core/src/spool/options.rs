//! What a spool may use, and where it lies.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};

const MIB: u64 = 1 << 20;

/// What gives way when there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The oldest segment, with whatever is not delivered of it.
    DropOldest,
    /// The record that is to be appended.
    DropNewest,
}

/// The settings of a spool.
#[derive(Clone, Debug)]
pub struct SpoolOptions {
    /// Where it lies. Shared by all processes that may deliver each other's traces.
    pub directory: PathBuf,
    /// Takes a network file system as well, where locks may not tell whether another machine's process lives.
    pub force_network: bool,
    /// Bytes of the directory, over all processes.
    pub max_bytes: u64,
    /// Bytes after which a new segment is begun; no more than a quarter of `max_bytes`.
    pub segment_bytes: u64,
    /// The longest payload; no more than 64 MiB.
    pub max_record_bytes: u64,
    /// Bytes of the disk that are left free, whatever `max_bytes` says.
    pub min_free_bytes: u64,
    /// The same in percent of the disk; the larger of both counts.
    pub min_free_percent: u8,
    /// Records that are older are not delivered any more.
    pub max_age: Duration,
    /// What gives way when there is no room.
    pub full: Full,
    /// How often what was appended is made to outlast a power cut.
    pub sync_interval: Duration,
    /// How long a disk that failed is left alone.
    pub retry_after: Duration,
    /// Files that are looked at in a second while orphans are adopted.
    pub files_per_second: u32,
}

impl SpoolOptions {
    /// The defaults, for this directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        SpoolOptions {
            directory: directory.into(),
            force_network: false,
            max_bytes: 256 * MIB,
            segment_bytes: 8 * MIB,
            max_record_bytes: super::MAX_PAYLOAD,
            min_free_bytes: 512 * MIB,
            min_free_percent: 5,
            max_age: Duration::from_secs(7 * 24 * 3600),
            full: Full::DropOldest,
            sync_interval: Duration::from_millis(500),
            retry_after: Duration::from_secs(30),
            files_per_second: 1000,
        }
    }

    /// Those that are configured. Fails with `InvalidConfig` where no directory can be named.
    pub fn of(config: &Config) -> Result<Self> {
        let directory = config.path("spool.dir").or_else(default_directory);
        let directory = directory.ok_or_else(|| {
            let text = "option 'spool.dir': there is no home directory";
            Error::new(ErrorKind::InvalidConfig, text)
        })?;
        Ok(SpoolOptions {
            max_bytes: config.number("spool.max_bytes"),
            ..SpoolOptions::new(directory)
        })
    }

    /// Puts what depends on each other into its bounds.
    pub(super) fn bounded(mut self) -> Self {
        self.segment_bytes = self.segment_bytes.min(self.max_bytes / 4);
        self.max_record_bytes = self.max_record_bytes.min(super::MAX_PAYLOAD);
        self.files_per_second = self.files_per_second.max(1);
        self
    }

    pub(super) fn max_age_ms(&self) -> u64 {
        u64::try_from(self.max_age.as_millis()).unwrap_or(u64::MAX)
    }
}

/// `$XDG_STATE_HOME/mlflow-trace/spool/v1`, or the same below `~/.local/state` (XDG Base Directory Specification 0.8).
/// `None` without a home: there is no other place that survives and is nobody else's.
pub fn default_directory() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = std::env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("mlflow-trace/spool/v1"))
}
