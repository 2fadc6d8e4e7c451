//! The chart: nanoseconds a span by workload and library, as SVG.

use std::fmt::Write;

use crate::figures::{Case, Figures, Producers};
use crate::library::Subject;
use crate::targets::grouped;
use crate::work::Work;

const WIDTH: f64 = 880.0;
/// Where bars begin, and how long the longest is.
const LEFT: f64 = 260.0;
const LENGTH: f64 = 530.0;
const BAR: f64 = 11.0;
const ROW: f64 = 2.0 * BAR + 10.0;

/// Both schemes of GitHub's pages. Plain colours: not every viewer of SVG knows CSS variables.
const STYLE: &str = "\
    svg { font: 13px system-ui, -apple-system, 'Segoe UI', sans-serif; }
    .paper { fill: #ffffff; } text { fill: #1f2328; } .soft { fill: #59636e; }
    .ours { fill: #1f6feb; } .peer { fill: #8c959f; } .two { opacity: 0.55; }
    .title { font-size: 15px; font-weight: 600; } .figure { font-size: 11px; } .end { text-anchor: end; }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #0d1117; } text { fill: #f0f6fc; } .soft { fill: #9198a1; }
      .ours { fill: #58a6ff; } .peer { fill: #6e7681; }
    }
";

struct Bars {
    label: String,
    ours: bool,
    /// Medians with one thread and with two.
    nanos: [f64; 2],
}

fn panel(figures: &Figures, work: Work) -> Vec<Bars> {
    let shown = [
        Subject::Rust,
        Subject::C,
        Subject::OpenTelemetry,
        Subject::Fastrace,
    ];
    let modes = if work == Work::W1 { 1 } else { 2 };
    let mut panel = Vec::new();
    for subject in shown {
        for mode in subject.modes().iter().take(modes) {
            let median = |producers| {
                let case = Case::new(subject, work, *mode, producers);
                figures.spread(case).map(|spread| spread.median)
            };
            if let (Some(one), Some(two)) =
                (median(Producers::OneThread), median(Producers::TwoThreads))
            {
                panel.push(Bars {
                    label: subject.label(work, *mode),
                    ours: matches!(subject, Subject::Rust | Subject::C),
                    nanos: [one, two],
                });
            }
        }
    }
    panel
}

pub(crate) fn svg(figures: &Figures) -> String {
    let mut body = String::new();
    let mut y = 34.0;
    let _ = writeln!(
        body,
        r#"<text class="title" x="20" y="{y}">Nanoseconds a span on the thread that records it</text>"#
    );
    y += 22.0;
    let _ = writeln!(
        body,
        r#"<text class="soft" x="20" y="{y}">Shorter is better. Full bars: 1 thread; faint bars: 2 threads, a span and thread. Medians.</text>"#
    );
    for work in Work::ALL {
        let bars = panel(figures, work);
        let longest = bars.iter().flat_map(|bars| bars.nanos).fold(1.0, f64::max);
        y += 38.0;
        let _ = writeln!(
            body,
            r#"<text class="title" x="20" y="{y}">{}: {}</text>"#,
            work.name(),
            work.describe()
        );
        y += 12.0;
        for bars in bars {
            row(&mut body, &bars, y, longest);
            y += ROW;
        }
    }
    let height = y + 16.0;
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" aria-labelledby="name">
<title id="name">Nanoseconds a span, by workload and library</title>
<style>
{STYLE}</style>
<rect class="paper" width="100%" height="100%" rx="8"/>
{body}</svg>
"#
    )
}

fn row(body: &mut String, bars: &Bars, y: f64, longest: f64) {
    let _ = writeln!(
        body,
        r#"<text class="end" x="{:.1}" y="{:.1}">{}</text>"#,
        LEFT - 10.0,
        y + BAR + 4.0,
        bars.label
    );
    let kind = if bars.ours { "ours" } else { "peer" };
    for ((nanos, two), top) in bars.nanos.iter().zip(["", " two"]).zip([y, y + BAR + 1.0]) {
        let length = nanos / longest * LENGTH;
        let _ = writeln!(
            body,
            r#"<rect class="{kind}{two}" x="{LEFT}" y="{top:.1}" width="{length:.1}" height="{BAR}" rx="2"/><text class="soft figure" x="{:.1}" y="{:.1}">{}</text>"#,
            LEFT + length + 6.0,
            top + BAR - 1.5,
            grouped(*nanos)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::Mode;

    #[test]
    fn the_longest_bar_fills_the_room() {
        let mut figures = Figures::default();
        for (subject, nanos) in [(Subject::Rust, 50.0), (Subject::OpenTelemetry, 200.0)] {
            for producers in [Producers::OneThread, Producers::TwoThreads] {
                let case = Case::new(subject, Work::W1, Mode::Together, producers);
                figures.nanos.insert(case, vec![nanos]);
            }
        }
        let svg = svg(&figures);
        assert!(svg.contains(&format!(r#"width="{LENGTH:.1}""#)), "{svg}");
        assert!(
            svg.contains(&format!(r#"width="{:.1}""#, LENGTH / 4.0)),
            "{svg}"
        );
        assert_eq!(svg.matches(r#"<rect class="ours"#).count(), 2);
    }
}
