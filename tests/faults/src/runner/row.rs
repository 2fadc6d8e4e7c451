//! A row of the table: what is expected, what was measured, and whether that is the same.

use std::fmt::Write;
use std::time::Duration;

use super::Settings;
use super::scene::{Outcome, Producer, Reading, Scene};
use crate::report::Ended;

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Measured, and as expected.
    Pass,
    /// Measured, and not as expected.
    Fail,
}

impl Verdict {
    /// As the table shows it.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "PASS",
            Verdict::Fail => "FAIL",
        }
    }
}

/// A row in the making.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// `F1` and so on.
    pub fault: &'static str,
    /// The fault in words.
    pub title: &'static str,
    /// What the specification expects.
    pub expected: &'static str,
    facts: Vec<String>,
    problems: Vec<String>,
    reading: Option<Reading>,
}

/// What a row may take for granted when its spans are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counting {
    /// Everything that was started is delivered, once.
    Exact,
    /// Everything is delivered; a request whose answer was lost may have come twice.
    Repeated,
    /// Something may have been given up, but what was delivered is what the sink has.
    Lossy,
}

impl Row {
    pub(crate) fn new(fault: &'static str, title: &'static str, expected: &'static str) -> Self {
        Row {
            fault,
            title,
            expected,
            ..Row::default()
        }
    }

    /// Notes what was measured or how.
    pub(crate) fn fact(&mut self, fact: impl Into<String>) {
        self.facts.push(fact.into());
    }

    /// Notes what is wrong.
    pub(crate) fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// Notes a problem where something does not hold.
    pub(crate) fn require(&mut self, holds: bool, problem: impl Into<String>) {
        if !holds {
            self.problem(problem);
        }
    }

    /// Takes over what a part of the row found.
    pub(crate) fn absorb(&mut self, part: Row, name: &str) {
        let named = |text: String| format!("{name}: {text}");
        self.facts.extend(part.facts.into_iter().map(named));
        self.problems.extend(part.problems.into_iter().map(named));
        if let Some(reading) = part.reading {
            self.count(&reading);
        }
    }

    /// Adds the counters of a producer to those of the row.
    pub(crate) fn count(&mut self, reading: &Reading) {
        let sum = self.reading.get_or_insert_default();
        sum.started += reading.started;
        sum.created += reading.created;
        sum.delivered += reading.delivered;
        sum.pending += reading.pending;
        sum.dropped += reading.dropped;
        if reading.calls >= sum.calls {
            sum.calls = reading.calls;
            (sum.p999, sum.peer_p999) = (reading.p999, reading.peer_p999);
        }
    }

    /// Checks a producer that records no more against the sink: nothing lost silently, nothing invented, nothing
    /// changed, nobody held up.
    pub(crate) fn judge(
        &mut self,
        settings: &Settings,
        scene: &mut Scene,
        counting: Counting,
    ) -> Outcome {
        let reading = scene.producer.read()?;
        let ended = scene.producer.listed()?;
        self.judge_reading(settings, scene, &reading, &ended, counting);
        Ok(())
    }

    /// As [`Self::judge`], with what the producer said and listed.
    pub(crate) fn judge_reading(
        &mut self,
        settings: &Settings,
        scene: &Scene,
        reading: &Reading,
        ended: &Ended,
        counting: Counting,
    ) {
        self.count(reading);
        let Reading {
            started,
            created,
            delivered,
            pending,
            dropped,
            ..
        } = *reading;
        if dropped > 0 {
            self.fact(format!("dropped: {}", reading.reasons()));
        }
        self.require(
            created == started,
            format!("{started} spans were started and {created} counted"),
        );
        self.require(
            created == delivered + dropped + pending,
            format!(
                "{created} created ≠ {delivered} delivered + {dropped} dropped + {pending} pending"
            ),
        );
        let ledger = scene.sink.ledger();
        let summary = ledger.summary();
        let stored = ledger.spans();
        let in_artifacts: usize = ledger.artifacts.iter().map(|(_, spans)| spans).sum();
        drop(ledger);
        let invented = stored
            .keys()
            .filter(|key| !ended.contains_key(*key))
            .count();
        let here = (stored.len() + in_artifacts) as u64;
        self.require(
            invented == 0,
            format!("{invented} spans that nobody recorded"),
        );
        match counting {
            Counting::Exact | Counting::Repeated => {
                self.require(
                    delivered == created && here == created,
                    format!("{created} created, {delivered} delivered, {here} at the sink"),
                );
                let lost = ended
                    .keys()
                    .filter(|key| !stored.contains_key(*key))
                    .count();
                self.require(
                    lost == in_artifacts,
                    format!("{lost} of the listed spans are not at the sink"),
                );
            }
            Counting::Lossy => self.require(
                delivered == here,
                format!("{delivered} delivered, {here} at the sink"),
            ),
        }
        if counting == Counting::Exact {
            let twice = summary.duplicates + summary.info_duplicates;
            self.require(twice == 0, format!("{twice} spans or infos came twice"));
        }
        for (count, what) in [
            (summary.conflicts, "spans differ between their copies"),
            (summary.broken, "spans are not what was recorded"),
            (summary.backward, "spans end before they start"),
        ] {
            self.require(count == 0, format!("{count} {what}"));
        }
        let at_once = summary.concurrent_per_trace;
        self.require(
            at_once <= 1,
            format!("{at_once} requests at the same time for one trace"),
        );
        self.patience(settings, reading);
    }

    /// Checks what the callers felt, where that is to be judged: 50 µs, or twice what a peer's callers feel at the same
    /// moment, where this machine takes longer to wake up a thread's memory. A thousandth says nothing of a few calls, of
    /// which one starts the engine's thread.
    pub(crate) fn patience(&mut self, settings: &Settings, reading: &Reading) {
        let limit = (2 * reading.peer_p999).max(50_000);
        self.require(
            !settings.judges_callers || reading.calls < 3_000 || reading.p999 <= limit,
            format!("p99.9 of a span's calls {} µs", reading.p999 / 1000),
        );
    }

    /// Checks that a process ends in time, whatever the server does.
    pub(crate) fn exits(&mut self, producer: Producer) -> Outcome<Reading> {
        let (last, took) = producer.exit()?;
        self.exit_took(took);
        Ok(last)
    }

    /// Checks the most memory that a process had: the queue's 64 MiB and 32 MiB beyond what it had in good health, in
    /// KiB.
    pub(crate) fn stays_small(&mut self, producer: &Producer, before: u64) -> Outcome {
        let grown = producer.memory("VmHWM")?.saturating_sub(before) >> 10;
        self.fact(format!("memory + {grown} MiB"));
        self.require(grown <= 96, format!("memory + {grown} MiB"));
        Ok(())
    }

    pub(crate) fn exit_took(&mut self, took: Duration) {
        self.fact(format!("exit {:.2} s", took.as_secs_f64()));
        // Starting and ending the process is not the engine's.
        self.require(
            took <= Duration::from_millis(2_300),
            format!("the exit took {:.2} s", took.as_secs_f64()),
        );
    }

    /// What became of it.
    pub fn verdict(&self) -> Verdict {
        match self.problems.is_empty() {
            true => Verdict::Pass,
            false => Verdict::Fail,
        }
    }

    /// Everything that was measured and what is wrong.
    pub fn measured(&self) -> String {
        let mut parts = self.facts.clone();
        parts.extend(self.problems.iter().map(|text| format!("**{text}**")));
        parts.join("; ")
    }

    /// The row in Markdown.
    pub fn markdown(&self) -> String {
        let mut line = format!(
            "| {} {} | {} | {} |",
            self.fault,
            self.title,
            self.expected,
            self.measured()
        );
        match &self.reading {
            Some(reading) => {
                let _ = write!(
                    line,
                    " {} | {} | {} | {} | {} µs, {} µs |",
                    reading.created,
                    reading.delivered,
                    reading.dropped,
                    reading.pending,
                    reading.p999.div_ceil(1000),
                    reading.peer_p999.div_ceil(1000)
                );
            }
            None => line += " – | – | – | – | – |",
        }
        let _ = write!(line, " {} |", self.verdict().name());
        line
    }
}

/// The head of the table. The 99.9th percentiles are of what a span's calls take, with our engine and with `opentelemetry_sdk`.
pub const HEAD: &str = "| fault | expected | measured | created | delivered | dropped | pending | p99.9, peer's | |\n\
    |---|---|---|---|---|---|---|---|---|";
