//! A bounded ring of messages about ourselves, pulled by the host.
//!
//! The engine never writes to the host's streams or loggers; bindings decide what to do with a line.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::lock::Mutex;

const CAPACITY: usize = 64;
const REPEAT_AFTER: Duration = Duration::from_secs(30);

/// A message about the engine itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What it is about, as a stable word: `file`, `file_error`, `unreachable`, `recovered`, `rejected`,
    /// `refused_spans`, `attachment`, `queue_full`, `shutdown`, `too_many_spans`, `ended_parent`, `abandoned`,
    /// `redaction_failed`, `thread`, `exporter`, `internal`, `host`.
    pub reason: &'static str,
    /// The text, for people.
    pub message: String,
}

impl Diagnostic {
    /// Whether something went wrong; otherwise it is information.
    pub fn is_problem(&self) -> bool {
        !matches!(self.reason, "file" | "recovered")
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The ring of one tracer.
#[derive(Default)]
pub(crate) struct Diagnostics {
    ring: Mutex<Ring>,
    waiting: AtomicBool,
}

#[derive(Default)]
struct Ring {
    messages: VecDeque<Diagnostic>,
    last: HashMap<&'static str, Instant>,
}

impl Diagnostics {
    /// Adds a line; at most one per `reason` every 30 s, the oldest line goes when the ring is full.
    pub(crate) fn report(&self, reason: &'static str, message: impl FnOnce() -> String) {
        let mut ring = self.ring.lock();
        let now = Instant::now();
        if ring
            .last
            .get(reason)
            .is_some_and(|last| now.duration_since(*last) < REPEAT_AFTER)
        {
            return;
        }
        ring.last.insert(reason, now);
        if ring.messages.len() == CAPACITY {
            ring.messages.pop_front();
        }
        let message = message();
        ring.messages.push_back(Diagnostic { reason, message });
        self.waiting.store(true, Ordering::Relaxed);
    }

    /// Whether a line waits.
    pub(crate) fn waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Takes the oldest line.
    pub(crate) fn next(&self) -> Option<Diagnostic> {
        let mut ring = self.ring.lock();
        let line = ring.messages.pop_front();
        self.waiting
            .store(!ring.messages.is_empty(), Ordering::Relaxed);
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_reason() {
        let diagnostics = Diagnostics::default();
        for _ in 0..3 {
            diagnostics.report("unreachable", || "server unreachable".into());
        }
        diagnostics.report("file", || "written to".into());
        assert!(diagnostics.waiting());
        let first = diagnostics.next().unwrap();
        assert_eq!(
            (first.to_string().as_str(), first.is_problem()),
            ("server unreachable", true)
        );
        assert!(!diagnostics.next().unwrap().is_problem());
        assert_eq!(diagnostics.next(), None);
        assert!(!diagnostics.waiting());
    }
}
