//! Whether a server is worth asking.

use std::time::{Duration, Instant};

use crate::export::retry::Backoff;

/// So many failures in a row, and the server is taken to be away.
const FAILURES: u32 = 3;
/// While it is closed, several requests are on their way at once. When it opens, one request at a time goes, after a wait
/// with full jitter that grows with every failure, until one succeeds.
#[derive(Debug, Default)]
pub(super) struct Circuit {
    /// In a row.
    failures: u32,
    backoff: Backoff,
    failed_at: Option<Instant>,
    /// When the next may go, while it is open.
    until: Option<Instant>,
    /// The server asked for no request before.
    hold: Option<Instant>,
    /// The server has taken something; before that, one request at a time is enough.
    proven: bool,
}

impl Circuit {
    pub(super) fn is_open(&self) -> bool {
        self.failures >= FAILURES
    }

    /// The server answered, whatever it said.
    pub(super) fn success(&mut self) {
        *self = Circuit {
            // It asked that of all requests.
            hold: self.hold,
            proven: true,
            ..Circuit::default()
        };
    }

    /// An attempt that was `started` then failed; the server may have asked to be left alone for so long.
    pub(super) fn failure(&mut self, now: Instant, started: Instant, after: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        if let Some(after) = after {
            self.hold = self.hold.max(Some(now + after));
        }
        // Attempts that were made at the same time tell no more than one of them.
        let is_news = self.failed_at.is_none_or(|failed| started >= failed);
        if is_news {
            self.failed_at = Some(now);
        }
        if self.is_open() && (is_news || self.until.is_none()) {
            self.until = Some(now + self.backoff.next());
        }
    }

    /// Forgets what the server asked for: this is the last chance.
    pub(super) fn insist(&mut self) {
        self.hold = None;
    }

    /// Whether one more request may go beside so many; `forced` ones need not wait for their time, but for that
    /// which the server named.
    pub(super) fn permits(&self, now: Instant, going: usize, forced: bool) -> bool {
        if self.hold.is_some_and(|hold| hold > now) {
            return false;
        }
        match self.is_open() {
            true => going == 0 && (forced || self.until.is_none_or(|until| until <= now)),
            false => going == 0 || self.proven,
        }
    }

    /// When to ask again whether a request may go.
    pub(super) fn next(&self) -> Option<Instant> {
        let until = self.until.filter(|_| self.is_open());
        self.hold.max(until)
    }

    /// As hosts are told.
    pub(super) fn name(&self) -> &'static str {
        match self.is_open() {
            true => "open",
            false => "closed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(30);

    fn failed(circuit: &mut Circuit, now: Instant) {
        circuit.failure(now, now, None);
    }

    #[test]
    fn three_failures_in_a_row_open_it_and_a_success_closes_it() {
        let now = Instant::now();
        let mut circuit = Circuit::default();
        circuit.success();
        for _ in 0..2 {
            failed(&mut circuit, now);
        }
        assert!(circuit.permits(now, 3, false));
        failed(&mut circuit, now);
        assert!(circuit.is_open() && !circuit.permits(now, 1, true));
        let later = circuit.next().unwrap();
        assert!(later <= now + FIRST && circuit.permits(later, 0, false));
        circuit.success();
        assert!(circuit.permits(now, 3, false));
        failed(&mut circuit, now);
        assert!(!circuit.is_open());
    }

    #[test]
    fn a_server_that_took_nothing_yet_gets_one_request_at_a_time() {
        let circuit = Circuit::default();
        let now = Instant::now();
        assert!(circuit.permits(now, 0, false) && !circuit.permits(now, 1, false));
    }

    #[test]
    fn waits_grow_with_attempts_that_follow_each_other_only() {
        let start = Instant::now();
        let mut circuit = Circuit::default();
        let second = Duration::from_secs(1);
        // All under way when the first of them failed.
        for _ in 0..8 {
            circuit.failure(start + second, start, None);
        }
        assert!(circuit.next().unwrap() <= start + second + FIRST);
        for step in 2..40 {
            let now = start + second * step;
            circuit.failure(now, now, None);
            assert!(circuit.next().unwrap() <= now + LONGEST);
        }
    }

    #[test]
    fn what_the_server_asks_for_is_kept() {
        let now = Instant::now();
        let minute = Duration::from_secs(60);
        let mut circuit = Circuit::default();
        circuit.failure(now, now, Some(minute));
        circuit.failure(now, now, Some(Duration::ZERO));
        circuit.success();
        assert!(!circuit.permits(now + minute / 2, 0, true));
        assert_eq!(circuit.next(), Some(now + minute));
        assert!(circuit.permits(now + minute, 0, false));
        circuit.insist();
        assert!(circuit.permits(now, 0, false));
    }
}
