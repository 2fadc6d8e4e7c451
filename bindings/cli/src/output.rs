//! What is printed, and how it looks.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use clap::ColorChoice;
use serde_json::Value;

use crate::arguments::Common;

pub(crate) struct Output {
    /// One JSON object a line instead of what people read.
    pub(crate) json: bool,
    colours: bool,
    out: io::Stdout,
}

/// What something is, for its colour.
#[derive(Clone, Copy)]
pub(crate) enum Tone {
    Plain,
    Faint,
    Strong,
    Good,
    Bad,
    Doubtful,
}

impl Output {
    pub(crate) fn new(common: &Common) -> Self {
        let out = io::stdout();
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let colours = match common.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => out.is_terminal() && !is_set("NO_COLOR"),
        };
        Output {
            json: common.json,
            colours: colours && !common.json,
            out,
        }
    }

    /// A text in the colour of its tone. What would steer a terminal is shown instead.
    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        let text = visible(text);
        let style = match tone {
            Tone::Plain => Style::new(),
            Tone::Faint => Style::new().dimmed(),
            Tone::Strong => Style::new().bold(),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
            Tone::Doubtful => AnsiColor::Yellow.on_default(),
        };
        match self.colours {
            true => format!("{style}{text}{style:#}"),
            false => text,
        }
    }

    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    pub(crate) fn json(&mut self, value: &Value) -> io::Result<()> {
        writeln!(self.out, "{value}")
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.out.flush()
    }
}

/// The tone of a state or a status.
pub(crate) fn tone(state: &str) -> Tone {
    match state {
        "OK" => Tone::Good,
        "ERROR" => Tone::Bad,
        "IN_PROGRESS" => Tone::Doubtful,
        _ => Tone::Faint,
    }
}

/// A text without what a terminal would take for an instruction.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' | '\t' => shown.push(letter),
            _ if letter.is_control() => {
                // A String takes everything.
                let _ = write!(shown, "{}", letter.escape_unicode());
            }
            _ => shown.push(letter),
        }
    }
    shown
}

/// The first line of a text, and at most so many characters of it.
pub(crate) fn brief(text: &str, most: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    let is_cut = line.len() < text.trim_end().len();
    match line.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None if is_cut => format!("{line}…"),
        None => line.to_owned(),
    }
}

/// A time span in the unit that suits it.
pub(crate) fn duration(nanoseconds: u64) -> String {
    let amount = |unit: f64, name| {
        let amount = nanoseconds as f64 / unit;
        let digits = 2 - (amount >= 10.0) as usize - (amount >= 100.0) as usize;
        format!("{amount:.digits$} {name}")
    };
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => amount(1e3, "µs"),
        1_000_000..1_000_000_000 => amount(1e6, "ms"),
        1_000_000_000..60_000_000_000 => amount(1e9, "s"),
        _ => amount(60e9, "min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_instructions() {
        assert_eq!(visible("a\u{1b}[31mb\nc\u{9b}"), "a\\u{1b}[31mb\nc\\u{9b}");
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(brief("abc", 3), "abc");
        assert_eq!(brief("abcd", 3), "abc…");
        assert_eq!(brief("ab\ncd", 3), "ab…");
        assert_eq!(brief("äöü", 2), "äö…");
        assert_eq!(brief("", 3), "");
    }

    #[test]
    fn durations_have_three_digits() {
        let shown = [
            999,
            1_500,
            20_000_000,
            345_000_000,
            2_000_000_000,
            90_000_000_000,
        ]
        .map(duration);
        assert_eq!(
            shown,
            [
                "999 ns", "1.50 µs", "20.0 ms", "345 ms", "2.00 s", "1.50 min"
            ]
        );
    }
}
