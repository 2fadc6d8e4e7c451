//! The command line.

use std::path::PathBuf;

use crate::work::CHILDREN;

pub(crate) const USAGE: &str = "\
usage: mlflow-trace-bench [--rounds N] [--spans N] [--quick] [--out DIR] [--c PROGRAM]

  --rounds N   rounds to take medians of (41)
  --spans N    spans of each thread in a run, rounded up to tens (20000)
  --quick      3 short rounds, to see that it works: the figures say little
  --out DIR    where record.md and record.svg go (docs/bench)
  --c PROGRAM  record.c, built against the library; without it the C ABI is left out";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) spans: usize,
    /// Spans held open to measure their memory.
    pub(crate) live: usize,
    pub(crate) out: PathBuf,
    pub(crate) c: Option<PathBuf>,
}

impl Options {
    /// The reason where they cannot be used.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            rounds: 41,
            spans: 20_000,
            live: 100_000,
            out: "docs/bench".into(),
            c: None,
        };
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
            match name.as_str() {
                "--rounds" => options.rounds = number(&name, &value()?)?,
                "--spans" => {
                    options.spans = number(&name, &value()?)?.next_multiple_of(CHILDREN);
                }
                "--quick" => {
                    options.rounds = 3;
                    options.spans = 2_000;
                }
                "--out" => options.out = value()?.into(),
                "--c" => options.c = Some(value()?.into()),
                _ => return Err(format!("unknown option {name}")),
            }
        }
        Ok(options)
    }

    /// Room for all that a run leaves behind, so that a queue never fills: two threads' spans and their roots.
    pub(crate) fn queue(&self) -> usize {
        2 * (self.spans + self.spans / CHILDREN)
    }
}

fn number(name: &str, text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=10_000_000).contains(&number) => Ok(number),
        _ => Err(format!(
            "{name} needs a number from 1 to 10000000, not {text:?}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read() {
        let options = parse("--rounds 7 --spans 11 --out /tmp/x --c a.out").unwrap();
        assert_eq!(
            (options.rounds, options.spans, options.queue()),
            (7, 20, 44)
        );
        assert_eq!(options.out, PathBuf::from("/tmp/x"));
        assert_eq!(parse("--quick").unwrap().rounds, 3);
    }

    #[test]
    fn mistakes_are_named() {
        assert!(parse("--rounds").unwrap_err().contains("--rounds"));
        assert!(parse("--rounds 0").unwrap_err().contains("--rounds"));
        assert!(parse("--spams 3").unwrap_err().contains("--spams"));
    }
}
