//! The faults of the specification of reliability, one after the other, and a table of what they did.

mod disk;
mod load;
mod memory;
mod network;
mod process;
mod replies;
pub mod row;
pub(crate) mod scene;
mod secure;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use row::Row;
pub use scene::Outcome;

/// How the faults are run.
#[derive(Debug)]
pub struct Settings {
    /// How much of the specified lengths and numbers; 1 is all.
    pub scale: f64,
    /// The program `fault-producer`.
    pub producer: PathBuf,
    /// Where lists, spools and the like go.
    pub scratch: PathBuf,
    /// Whether what callers feel is judged: a machine that is busy with other tests decides that.
    pub judges_callers: bool,
    files: AtomicU64,
}

impl Settings {
    /// With the producer beside this program, and a scratch directory that has to be there.
    pub fn new(scale: f64, producer: PathBuf, scratch: PathBuf) -> Self {
        Settings {
            scale,
            producer,
            scratch,
            judges_callers: false,
            files: AtomicU64::new(0),
        }
    }

    /// So many seconds of the specification.
    fn seconds(&self, seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds * self.scale)
    }

    /// So many times of the specification, at least 10.
    fn times(&self, times: u64) -> u64 {
        ((times as f64 * self.scale) as u64).clamp(10.min(times), times)
    }

    fn fresh_path(&self, name: &str) -> PathBuf {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        self.scratch.join(format!("{number}-{name}"))
    }
}

type Run = fn(&Settings, &mut Row) -> Outcome;

/// The rows: fault, what happens, what is expected, how it is run.
#[rustfmt::skip]
const ROWS: &[(&str, &str, &str, Run)] = &[
    ("F0", "no fault", "everything delivered once", network::nothing),
    ("F1", "server refused 60 s", "100 % delivered ≤ 30 s after; ≤ 12 connects in 60 s", network::refused),
    ("F2", "black hole 60 s", "requests end at their limit; exit ≤ 2.1 s; then as F1", network::black_hole),
    ("F3", "503 for half of the requests, 5 min", "100 % delivered; ≤ 1.6 extra requests each; retries uniform in their window", replies::storm),
    ("F4", "429 with Retry-After in every form", "nothing earlier; ≤ 10 % later; clamped; garbage is backoff", replies::retry_after),
    ("F5", "reply of one byte a second", "cut at the limit; other endpoints go on", network::slow),
    ("F6", "truncated, wrong length, garbage, HTML, endless, bomb", "≤ 4 MiB read, memory + ≤ 8 MiB; 2xx delivered; too long an error not retried", replies::broken),
    ("F7", "partial success, 3 rejected", "not retried; server_rejected = 3; message ≤ 200 characters", replies::partial_success),
    ("F8", "400, 413, 422 for 1 span of 512", "511 delivered in ≤ 22 requests, the one put aside", replies::poison),
    ("F9", "500 for one payload", "tried 3 times and put aside; others wait ≤ 5 s", replies::server_error),
    ("F10", "401 and 403 mid-run", "parked; 100 % delivered with a new token; one message", secure::unauthorized),
    ("F11", "TLS: expired, wrong host, self-signed, old, cut, client certificate", "classified, no plain text, no storm, recovers", secure::tls),
    ("F12", "names that do not resolve", "never on the caller's thread; exit ≤ 2.1 s", network::names),
    ("F13", "keep-alive closed by the server; resets", "0 visible errors; ≤ 1 duplicate a reset", network::resets),
    ("F14", "proxies: variables, 407, NO_PROXY", "honoured; password never shown", secure::proxies),
    ("F15", "spool: no space left (8 MiB)", "memory instead; spool_degraded; nothing torn", disk::full),
    ("F16", "spool: no directory, read-only, deleted", "the same; one that was deleted is made again", disk::unusable),
    ("F17", "spool: SIGKILL at any moment", "everything that ended is delivered, byte for byte", disk::killed),
    ("F18", "spool: simulated power cut", "what was acknowledged is recovered", disk::power_cut),
    ("F19", "forks at any moment", "0 hangs, 0 duplicates, 0 lost", process::forks),
    ("F20", "SIGTERM, SIGINT, _exit, abort, panic", "exit ≤ 2.1 s; what ended 1 s before is delivered", process::deaths),
    ("F20", "the same with a spool", "0 lost", disk::deaths),
    ("F21", "clock jumps of 1 h and 10 years; suspended", "end ≥ start; durations stay; nothing retried early", process::clocks),
    ("F22", "ten times more than the queue holds", "whole traces dropped, counted exactly", memory::overflow),
    ("F22", "which traces an overflow drops", "selectable", memory::policy),
    ("F24", "spans never ended, ended twice, a trace of 10 M spans", "closed as abandoned; counted; memory bounded", memory::endless),
    ("F26", "spool: several processes, killed at random", "one adopter at a time; 0 lost", disk::shared),
    ("F27", "spool: changed files", "what is intact is recovered; nothing invented", disk::changed),
    ("F28", "server upgraded 3.6 to 3.17; 501, 404", "falls back to artifacts and remembers", replies::upgrade),
];

/// The rows of load, which are run when they are asked for.
#[rustfmt::skip]
const LOADS: &[(&str, &str, &str, Run)] = &[
    ("L1", "50,000 spans/s of 2 kB to a collector, 60 s", "0 dropped; the sink has all", load::memory),
    ("L2", "20,000 spans/s to a server, with spool=write-through", "0 dropped; the sink has all", load::disk),
    ("L5", "5,000 spans/s for 10 min, server refused", "memory + ≤ 96 MiB", load::outage),
    ("L6", "2,000 spans/s for 8 h, a fault in each of 24 parts", "0 lost; memory and files stay", load::soak),
    ("L7", "5,000 spans/s", "≤ 25 % of a core, ≤ 3 threads", load::background),
    ("L8", "nothing", "0 wake-ups and 0 sockets after 5 s", load::idle),
    ("L9", "200,000 spans at once", "whole traces; counted exactly", load::burst),
];

/// The faults and loads that there are rows for.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = ROWS.iter().chain(LOADS).map(|(name, ..)| *name).collect();
    names.dedup();
    names
}

/// Runs the rows of these faults and loads, those of all faults without any, and `show`s each when it is done.
pub fn run(settings: &Settings, only: &[String], mut show: impl FnMut(&Row)) -> Vec<Row> {
    let wanted = |fault: &str| only.iter().any(|only| only == fault);
    let chosen = ROWS.iter().chain(LOADS).filter(|(fault, ..)| wanted(fault));
    let chosen: Vec<_> = match only.is_empty() {
        true => ROWS.iter().collect(),
        false => chosen.collect(),
    };
    let mut rows = Vec::new();
    for (fault, title, expected, run) in chosen {
        let mut row = Row::new(fault, title, expected);
        if let Err(problem) = run(settings, &mut row) {
            row.problem(problem);
        }
        show(&row);
        rows.push(row);
    }
    rows
}

/// Not a fault of the specification: a sink that acknowledges spans and forgets them. The table has to notice.
pub fn forgetful(settings: &Settings, row: &mut Row) -> Outcome {
    network::forgetful(settings, row)
}
