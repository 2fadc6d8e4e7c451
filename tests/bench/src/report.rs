//! The report in Markdown.

use std::fmt::Write;

use crate::figures::{Case, Figures, Producers, Spread};
use crate::library::Subject;
use crate::machine::{Machine, version};
use crate::options::Options;
use crate::targets::{Unit, grouped, scaling, targets};
use crate::work::{Mode, Work};

const ABSENT: &str = "–";

pub(crate) fn markdown(
    figures: &Figures,
    options: &Options,
    machine: &Machine,
    loads: [&str; 2],
) -> String {
    let mut text = String::new();
    head(&mut text, options, machine, loads);
    notes(&mut text, figures);
    write_targets(&mut text, figures);
    for work in Work::ALL {
        nanos(&mut text, figures, work);
    }
    two(&mut text, figures);
    live(&mut text, figures);
    counts(&mut text, figures);
    text
}

fn head(text: &mut String, options: &Options, machine: &Machine, loads: [&str; 2]) {
    let Options { rounds, spans, .. } = options;
    let _ = write!(
        text,
        "# What recording a span costs\n\n\
         Written by `make bench`, which takes these figures anew; do not edit.\n\n\
         ![Nanoseconds a span, by workload and library](record.svg)\n\n\
         Time on the thread that records, while every library's own thread takes the spans to a sink that \
         drops them. Medians of {rounds} rounds of {} spans a thread, with the 10th and 90th percentile in \
         brackets; every round runs all libraries, each in a process of its own, in turn. A ratio is the \
         median of the ratios of the rounds. Absolute figures differ from machine to machine: a target \
         counts as a ratio to a peer in the same run.\n\n\
         - W1: start and end a root with a name only.\n\
         - W2: a child of an active root, 10 to a root, with a name, 5 strings and 5 integers. The time \
         includes that of the root and is divided by the children.\n\
         - W3: W2 with 1 KB of JSON text as input and 1 KB as output.\n\n\
         | | |\n|---|---|\n\
         | CPU | {}, {} cores |\n\
         | load average at the start | {} |\n\
         | load average at the end | {} |\n\
         | compiler | {} |\n\
         | commit | {} |\n\
         | opentelemetry_sdk | {} |\n\
         | fastrace | {} |\n\n",
        grouped(*spans as f64),
        machine.cpu,
        machine.cores,
        loads[0],
        loads[1],
        machine.rustc,
        machine.commit,
        version("opentelemetry_sdk"),
        version("fastrace"),
    );
}

fn notes(text: &mut String, figures: &Figures) {
    text.push_str(
        "opentelemetry_sdk has a batch processor, with a queue and a thread of its own as this engine has, \
         and a queue in which everything fits. Its *lower bound* is a processor that drops the span on the \
         thread that ends it: nothing can be exported that way. Its attributes are strings made for the \
         span, as values known only at run time are; keys are static. fastrace's *local spans* cannot \
         leave their thread or outlive their parent's scope.\n\n",
    );
    for (subject, reason) in &figures.skipped {
        let _ = writeln!(text, "Not measured: {} ({reason}).\n", subject.name());
    }
}

fn write_targets(text: &mut String, figures: &Figures) {
    text.push_str("## Targets\n\n| | target | measured | |\n|---|---|---|---|\n");
    for target in targets(figures) {
        let measured = target
            .measured
            .map_or(ABSENT.to_owned(), |spread| show(target.unit, spread));
        let _ = writeln!(
            text,
            "| {} | {} | {measured} | {} |",
            target.what,
            target.wanted(),
            target.verdict()
        );
    }
    text.push('\n');
}

/// A figure, with its spread where it has one.
fn show(unit: Unit, spread: Spread) -> String {
    let median = unit.show(spread.median);
    if spread.p10 == spread.p90 {
        return median;
    }
    let plain = |value| match unit {
        Unit::Times => format!("{value:.2}"),
        Unit::Nanos | Unit::Bytes => grouped(value),
    };
    format!("{median} ({} to {})", plain(spread.p10), plain(spread.p90))
}

fn nanos(text: &mut String, figures: &Figures, work: Work) {
    let _ = write!(
        text,
        "## {}: {}\n\n\
         | | 1 thread | beside ours | 2 threads, a span and thread | beside ours |\n\
         |---|---|---|---|---|\n",
        work.name(),
        work.describe()
    );
    for subject in Subject::ALL {
        let modes = if work == Work::W1 { 1 } else { 2 };
        for mode in subject.modes().iter().take(modes) {
            let columns: Vec<String> = [Producers::OneThread, Producers::TwoThreads]
                .into_iter()
                .flat_map(|producers| {
                    let case = Case::new(subject, work, *mode, producers);
                    let nanos = figures.spread(case);
                    let ratio = figures.ratio(case, case.of(Subject::Rust));
                    [
                        nanos.map_or(ABSENT.to_owned(), |spread| show(Unit::Nanos, spread)),
                        ratio.map_or(ABSENT.to_owned(), |spread| Unit::Times.show(spread.median)),
                    ]
                })
                .collect();
            if columns.iter().any(|column| column != ABSENT) {
                let label = subject.label(work, *mode);
                let _ = writeln!(text, "| {label} | {} |", columns.join(" | "));
            }
        }
    }
    text.push('\n');
}

fn two(text: &mut String, figures: &Figures) {
    text.push_str(
        "## Two threads beside two processes\n\n\
         The same spans recorded by two threads of one process and by two processes with a thread each, at \
         the same time: from when the first begins to when the last has ended. What the threads lose to \
         the processes, they lose to each other.\n\n\
         | | 2 threads, a span and thread | 2 processes | throughput of the threads, as a share |\n\
         |---|---|---|---|\n",
    );
    for work in Work::ALL {
        let modes = if work == Work::W1 { 1 } else { 2 };
        for mode in Mode::ALL.into_iter().take(modes) {
            let nanos = |producers| {
                let case = Case::new(Subject::Rust, work, mode, producers);
                figures
                    .spread(case)
                    .map_or(ABSENT.to_owned(), |spread| show(Unit::Nanos, spread))
            };
            let share = scaling(figures, work, mode)
                .map_or(ABSENT.to_owned(), |spread| show(Unit::Times, spread));
            let _ = writeln!(
                text,
                "| {}: {} | {} | {} | {share} |",
                work.name(),
                Subject::Rust.label(work, mode),
                nanos(Producers::TwoThreads),
                nanos(Producers::TwoProcesses),
            );
        }
    }
    text.push('\n');
}

fn live(text: &mut String, figures: &Figures) {
    text.push_str(
        "## Memory of a live span\n\n\
         Growth of resident memory over children of one root, all open at once, in a fresh process. \
         Content is the bytes of name, keys and values, 8 for an integer.\n\n\
         | | spans | bytes a span | of which content | beyond it |\n|---|---|---|---|---|\n",
    );
    for live in &figures.live {
        let each = |bytes: u64| grouped(bytes as f64 / live.spans as f64);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            if live.attributes {
                "name and 10 attributes"
            } else {
                "name only"
            },
            grouped(live.spans as f64),
            each(live.grown),
            each(live.content),
            grouped(live.beyond_content()),
        );
    }
    text.push('\n');
}

fn counts(text: &mut String, figures: &Figures) {
    text.push_str(
        "## What became of the spans\n\n\
         After each run the sink has to hold what was recorded, or the benchmark fails: nothing measured \
         here was cheap because it was dropped. Roots and rounds to warm up are included.\n\n\
         | | recorded | arrived | dropped |\n|---|---|---|---|\n",
    );
    for (subject, counts) in &figures.counts {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            subject.name(),
            grouped(counts.started as f64),
            grouped(counts.delivered as f64),
            grouped(counts.dropped as f64),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_said() {
        let mut figures = Figures::default();
        figures
            .skipped
            .insert(Subject::Unsampled, "unknown option".into());
        let case = Case::new(
            Subject::Rust,
            Work::W1,
            Mode::Together,
            Producers::OneThread,
        );
        figures.nanos.insert(case, vec![50.0, 60.0, 80.0]);
        let options = Options::parse([]).unwrap();
        let machine = Machine {
            cpu: "a CPU".into(),
            cores: 2,
            rustc: "rustc".into(),
            commit: "abc".into(),
        };
        let text = markdown(&figures, &options, &machine, ["0.1", "0.2"]);
        assert!(text.contains("sampled out (unknown option)"), "{text}");
        assert!(text.contains("| W1: mlflow-trace Rust | ≤ 70 ns | 60 ns (50 to 80) | met |"));
        assert!(text.contains("| W1: mlflow-trace C | ≤ 95 ns | – | not measured |"));
    }
}
