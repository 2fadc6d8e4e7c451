//! What the figures are to reach.

use crate::figures::{Case, Figures, Producers, Spread};
use crate::library::Subject;
use crate::work::{Mode, Work};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
    Above(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Nanos,
    Bytes,
    Times,
}

pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) unit: Unit,
    pub(crate) bound: Bound,
    /// `None` where it was not measured.
    pub(crate) measured: Option<Spread>,
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Bound::AtMost(bound) => value <= bound,
            Bound::AtLeast(bound) => value >= bound,
            Bound::Above(bound) => value > bound,
        }
    }
}

impl Unit {
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Unit::Nanos => format!("{} ns", grouped(value)),
            Unit::Bytes => format!("{} bytes", grouped(value)),
            Unit::Times => format!("{value:.2}x"),
        }
    }
}

impl Target {
    pub(crate) fn wanted(&self) -> String {
        let (sign, bound) = match self.bound {
            Bound::AtMost(bound) => ("≤", bound),
            Bound::AtLeast(bound) => ("≥", bound),
            Bound::Above(bound) => (">", bound),
        };
        format!("{sign} {}", self.unit.show(bound))
    }

    pub(crate) fn verdict(&self) -> &'static str {
        match &self.measured {
            None => "not measured",
            Some(spread) if self.bound.holds(spread.median) => "met",
            Some(_) => "**not met**",
        }
    }
}

/// A whole number with its thousands apart.
pub(crate) fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// All targets beside what was measured. Ratios count; nanoseconds say what to aim at.
pub(crate) fn targets(figures: &Figures) -> Vec<Target> {
    let one = |subject, work, mode| Case::new(subject, work, mode, Producers::OneThread);
    let mut targets = Vec::new();
    let mut add = |what: String, unit, bound, measured| {
        targets.push(Target {
            what,
            unit,
            bound,
            measured,
        });
    };
    for (work, bound) in Work::ALL.into_iter().zip([70.0, 200.0, 300.0]) {
        add(
            format!(
                "{}: {}",
                work.name(),
                Subject::Rust.label(work, Mode::Together)
            ),
            Unit::Nanos,
            Bound::AtMost(bound),
            figures.spread(one(Subject::Rust, work, Mode::Together)),
        );
    }
    let mut against = |peer: Subject, work: Work, mode, bound| {
        let ours = one(Subject::Rust, work, mode);
        let (ours_label, label) = (Subject::Rust.label(work, mode), peer.label(work, mode));
        add(
            format!("{}: {ours_label}, faster than {label}", work.name()),
            Unit::Times,
            bound,
            figures.ratio(ours.of(peer), ours),
        );
    };
    for (work, bound) in Work::ALL.into_iter().zip([3.0, 2.3, 1.8]) {
        let bound = Bound::AtLeast(bound);
        against(Subject::OpenTelemetry, work, Mode::Together, bound);
    }
    for work in [Work::W2, Work::W3] {
        let bound = Bound::AtLeast(4.0);
        against(Subject::OpenTelemetry, work, Mode::OneByOne, bound);
    }
    for work in Work::ALL {
        against(Subject::Fastrace, work, Mode::Together, Bound::Above(1.0));
    }
    for work in Work::ALL {
        add(
            format!(
                "{}: mlflow-trace Rust, 2 threads beside 2 processes",
                work.name()
            ),
            Unit::Times,
            Bound::AtLeast(0.85),
            scaling(figures, work, Mode::Together),
        );
    }
    for (work, bound) in Work::ALL.into_iter().zip([95.0, 270.0, 400.0]) {
        add(
            format!(
                "{}: {}",
                work.name(),
                Subject::C.label(work, Mode::Together)
            ),
            Unit::Nanos,
            Bound::AtMost(bound),
            figures.spread(one(Subject::C, work, Mode::Together)),
        );
    }
    for live in &figures.live {
        let with = if live.attributes {
            "with 10 attributes"
        } else {
            "with a name only"
        };
        add(
            format!("Memory of a live span {with}, beyond its content"),
            Unit::Bytes,
            Bound::AtMost(512.0),
            Spread::of(vec![live.beyond_content()]),
        );
    }
    for work in [Work::W1, Work::W2] {
        add(
            format!(
                "{}: {}",
                work.name(),
                Subject::Unsampled.label(work, Mode::Together)
            ),
            Unit::Nanos,
            Bound::AtMost(25.0),
            figures.spread(one(Subject::Unsampled, work, Mode::Together)),
        );
    }
    targets
}

/// The throughput of two threads as a share of that of two processes with a thread each.
pub(crate) fn scaling(figures: &Figures, work: Work, mode: Mode) -> Option<Spread> {
    let case = |producers| Case::new(Subject::Rust, work, mode, producers);
    figures.ratio(case(Producers::TwoProcesses), case(Producers::TwoThreads))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_follow_the_median() {
        let target = |bound, median| Target {
            what: String::new(),
            unit: Unit::Times,
            bound,
            measured: Spread::of(vec![median]),
        };
        assert_eq!(target(Bound::AtLeast(3.0), 3.0).verdict(), "met");
        assert_eq!(target(Bound::AtLeast(3.0), 2.9).verdict(), "**not met**");
        assert_eq!(target(Bound::Above(1.0), 1.0).verdict(), "**not met**");
        assert_eq!(target(Bound::AtMost(70.0), 71.0).verdict(), "**not met**");
        let mut unknown = target(Bound::AtMost(70.0), 1.0);
        unknown.measured = None;
        assert_eq!(unknown.verdict(), "not measured");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(999.6), "1,000");
        assert_eq!(grouped(12.0), "12");
        assert_eq!(grouped(1_234_567.0), "1,234,567");
    }

    #[test]
    fn scaling_is_a_share_of_throughput() {
        let mut figures = Figures::default();
        let case = |producers| Case::new(Subject::Rust, Work::W1, Mode::Together, producers);
        figures
            .nanos
            .insert(case(Producers::TwoProcesses), vec![90.0]);
        figures
            .nanos
            .insert(case(Producers::TwoThreads), vec![100.0]);
        assert_eq!(
            scaling(&figures, Work::W1, Mode::Together).unwrap().median,
            0.9
        );
    }
}
