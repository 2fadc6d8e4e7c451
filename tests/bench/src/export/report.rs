//! The report as Markdown.

use std::fmt::Write;

use super::capacity::Capacity;
use super::subject::{SPANS, Subject};
use super::{Figures, Options};
use crate::machine::{self, Machine};
use crate::work::Work;

type Column = (&'static str, fn(&Figures) -> f64);

const COLUMNS: [Column; 5] = [
    ("spans/s", |figures| figures.spans_a_second),
    ("producer, ns a span", |figures| figures.producer),
    ("exporter, ns a span", |figures| figures.exporter),
    ("sink, ns a span", |figures| figures.sink),
    ("peak memory, MiB", |figures| figures.peak),
];

pub(crate) fn markdown(
    options: &Options,
    capacity: &[Capacity],
    results: &[(Subject, Work, Vec<Figures>)],
    usual: &[Figures],
    machine: &Machine,
    load: [&str; 2],
) -> String {
    let mut text = String::from(
        "# What exporting costs\n\nWritten by `make bench-export`, which takes these figures anew; do not edit.\n\n",
    );
    let _ = write!(
        text,
        "Traces of {SPANS} spans, recorded by one thread as fast as it can, until the sink has acknowledged the last \
         one: {} traces of W2 in a run, a third of W3, a tenth where each trace has a request of its own. The sink \
         (`tests/faults`) is a process of its own on the same machine and counts spans and bytes. Medians of {} \
         runs, in which all exporters take their turns. CPU is that of the recording thread, of the other threads of \
         its process, and of the sink's process. A run in which something was lost is an error: all have a queue in \
         which everything fits. With our engine, the program waits while 32 MiB are pending. What is dropped with \
         the usual limit of the queue, 64 MiB, was found in a run of its own.\n\n\
         - W2: a name, 5 strings and 5 integers. W3: W2 with 1 KB of JSON text as input and 1 KB as output.\n\
         - *spans only*: requests of spans and no others, not compressed.\n\n",
        options.traces, options.runs
    );
    let _ = write!(
        text,
        "| | |\n|---|---|\n| CPU | {}, {} cores |\n| load average at the start | {} |\n\
         | load average at the end | {} |\n| compiler | {} |\n| commit | {} |\n\
         | opentelemetry_sdk | {} |\n| opentelemetry-otlp | {} |\n\n",
        machine.cpu,
        machine.cores,
        load[0],
        load[1],
        machine.rustc,
        machine.commit,
        machine::version("opentelemetry_sdk"),
        machine::version("opentelemetry-otlp"),
    );
    targets(&mut text, results, usual);
    for work in [Work::W2, Work::W3] {
        let _ = write!(text, "## {}\n\n| |", work.name());
        for (name, _) in COLUMNS {
            let _ = write!(text, " {name} |");
        }
        text.push_str("\n|---|---|---|---|---|---|\n");
        for (subject, _, runs) in results.iter().filter(|(_, found, _)| *found == work) {
            let _ = write!(text, "| {} |", subject.name());
            for (_, of) in COLUMNS {
                let _ = write!(text, " {} |", grouped(median(runs, of)));
            }
            text.push('\n');
        }
        text.push('\n');
    }
    text.push_str(
        "## The sink alone\n\nPrepared requests of 2,048 W2 spans, one after the other on one connection, from a \
         process that does nothing else.\n\n| | spans/s | sink, ns a span | spans/s of one core of the sink |\n\
         |---|---|---|---|\n",
    );
    for found in capacity {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            if found.ledger {
                "with its ledger"
            } else {
                "counting only"
            },
            grouped(found.spans_a_second),
            grouped(found.sink),
            grouped(1e9 / found.sink),
        );
    }
    text
}

fn targets(text: &mut String, results: &[(Subject, Work, Vec<Figures>)], usual: &[Figures]) {
    text.push_str("## Targets\n\n| | target | measured | |\n|---|---|---|---|\n");
    let works = [(Work::W2, 1_500_000.0, 6.0), (Work::W3, 450_000.0, 4.0)];
    for ((work, rate, times), usual) in works.into_iter().zip(usual) {
        let runs = |wanted: Subject| {
            let found = results.iter();
            let mut found =
                found.filter(|(subject, found, _)| *subject == wanted && *found == work);
            found.next().map_or(&[][..], |(_, _, runs)| runs.as_slice())
        };
        let (ours, theirs) = (runs(Subject::BEST), runs(Subject::OpenTelemetry));
        let of = |figures: &Figures| figures.spans_a_second;
        let cpu = |figures: &Figures| figures.producer + figures.exporter;
        let faster = median(ours, of) / median(theirs, of);
        let share = median(ours, cpu) / median(theirs, cpu);
        let peak = median(ours, |figures| figures.peak);
        let dropped = usual.dropped;
        for (what, target, measured, met) in [
            (
                "spans/s",
                format!("≥ {}", grouped(rate)),
                grouped(median(ours, of)),
                median(ours, of) >= rate,
            ),
            (
                "faster than opentelemetry-otlp",
                format!("≥ {times:.0}x"),
                format!("{faster:.2}x"),
                faster >= times,
            ),
            (
                "CPU beside opentelemetry-otlp",
                "≤ 0.20x".to_owned(),
                format!("{share:.2}x"),
                share <= 0.2,
            ),
            (
                "peak memory",
                "≤ 96 MiB".to_owned(),
                format!("{} MiB", grouped(peak)),
                peak <= 96.0,
            ),
            (
                "dropped with the usual queue",
                "0".to_owned(),
                grouped(dropped),
                dropped == 0.0,
            ),
        ] {
            let verdict = if met { "met" } else { "**not met**" };
            let _ = writeln!(
                text,
                "| {}: {}, {what} | {target} | {measured} | {verdict} |",
                work.name(),
                Subject::BEST.name()
            );
        }
    }
    text.push('\n');
}

fn median(runs: &[Figures], of: impl Fn(&Figures) -> f64) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        length => (values[(length - 1) / 2] + values[length / 2]) / 2.0,
    }
}

/// A whole number with commas between its thousands.
fn grouped(value: f64) -> String {
    if value.is_nan() {
        return "–".into();
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_thousands() {
        let runs: Vec<Figures> = [3.0, 1.0, 2.0]
            .map(|peak| Figures {
                peak,
                ..Figures::default()
            })
            .into();
        assert_eq!(median(&runs, |figures| figures.peak), 2.0);
        assert_eq!(grouped(1_234_567.8), "1,234,568");
        assert_eq!(grouped(999.0), "999");
    }
}
