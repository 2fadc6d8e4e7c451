//! What was measured, and the statistics of it.

use std::collections::BTreeMap;

use crate::library::Subject;
use crate::protocol::Counts;
use crate::work::{Mode, Work};

/// Who records at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Producers {
    OneThread,
    TwoThreads,
    /// One thread each.
    TwoProcesses,
}

/// A figure that is taken once a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Case {
    pub(crate) subject: Subject,
    pub(crate) work: Work,
    pub(crate) mode: Mode,
    pub(crate) producers: Producers,
}

impl Case {
    pub(crate) fn new(subject: Subject, work: Work, mode: Mode, producers: Producers) -> Case {
        Case {
            subject,
            work,
            // W1 has no attributes; it is measured in the first mode.
            mode: if work == Work::W1 {
                Mode::Together
            } else {
                mode
            },
            producers,
        }
    }

    /// The same of another library.
    pub(crate) fn of(self, subject: Subject) -> Case {
        Case { subject, ..self }
    }
}

/// The memory of spans that are open, of one process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Live {
    pub(crate) attributes: bool,
    pub(crate) spans: u64,
    /// Bytes.
    pub(crate) grown: u64,
    /// Bytes.
    pub(crate) content: u64,
}

impl Live {
    pub(crate) fn beyond_content(&self) -> f64 {
        self.grown.saturating_sub(self.content) as f64 / self.spans as f64
    }
}

/// The middle of the figures of all rounds and where a tenth lies on either side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) p10: f64,
    pub(crate) median: f64,
    pub(crate) p90: f64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let last = values.len().checked_sub(1)?;
            values.get((last as f64 * part).round() as usize).copied()
        };
        Some(Spread {
            p10: at(0.1)?,
            median: at(0.5)?,
            p90: at(0.9)?,
        })
    }
}

#[derive(Default)]
pub(crate) struct Figures {
    /// Nanoseconds a span and thread, a round each.
    pub(crate) nanos: BTreeMap<Case, Vec<f64>>,
    /// What became of the spans of each library.
    pub(crate) counts: BTreeMap<Subject, Counts>,
    /// Why a library was not measured.
    pub(crate) skipped: BTreeMap<Subject, String>,
    pub(crate) live: Vec<Live>,
}

impl Figures {
    pub(crate) fn spread(&self, case: Case) -> Option<Spread> {
        Spread::of(self.nanos.get(&case)?.clone())
    }

    /// How many times longer `slow` takes than `fast`, taken round by round: what loads the machine for a
    /// while loads both.
    pub(crate) fn ratio(&self, slow: Case, fast: Case) -> Option<Spread> {
        let (slow, fast) = (self.nanos.get(&slow)?, self.nanos.get(&fast)?);
        Spread::of(
            slow.iter()
                .zip(fast)
                .map(|(slow, fast)| slow / fast)
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_the_sorted_values() {
        let spread = Spread::of((0..=10).rev().map(f64::from).collect());
        let expected = Spread {
            p10: 1.0,
            median: 5.0,
            p90: 9.0,
        };
        assert_eq!(spread, Some(expected));
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let slow = Case::new(
            Subject::Fastrace,
            Work::W1,
            Mode::OneByOne,
            Producers::OneThread,
        );
        let fast = slow.of(Subject::Rust);
        let mut figures = Figures::default();
        figures.nanos.insert(slow, vec![10.0, 40.0, 300.0]);
        figures.nanos.insert(fast, vec![5.0, 10.0, 100.0]);
        let ratio = figures.ratio(slow, fast).unwrap();
        assert_eq!((ratio.p10, ratio.median, ratio.p90), (2.0, 3.0, 4.0));
    }
}
