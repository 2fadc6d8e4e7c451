//! The rounds.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::child::WorkerProcess;
use crate::figures::{Case, Figures, Live, Producers};
use crate::library::Subject;
use crate::options::Options;
use crate::pool::unix_nanos;
use crate::protocol::{Job, Reply, Request, Run};
use crate::work::{Mode, Work};

/// Rounds that nothing is noted of.
const WARM_UP: usize = 2;
/// How long a worker has to get its threads spinning at the start line.
const LEAD: Duration = Duration::from_millis(2);

/// Every case once a round, all libraries in turn.
pub(crate) fn measure(options: &Options) -> Result<Figures, String> {
    let mut bench = Bench::start(options)?;
    let cases = cases();
    let began = Instant::now();
    for round in 0..WARM_UP + options.rounds {
        for at in 0..cases.len() {
            // Who comes after whom changes from round to round.
            let case = cases[(at + round * 7) % cases.len()];
            let nanos = bench.run(case)?;
            if let (Some(nanos), true) = (nanos, round >= WARM_UP) {
                bench.figures.nanos.entry(case).or_default().push(nanos);
            }
        }
        progress(round, WARM_UP + options.rounds, began);
    }
    for attributes in [false, true] {
        bench.live(attributes)?;
    }
    Ok(bench.figures)
}

fn progress(round: usize, rounds: usize, began: Instant) {
    let done = round + 1;
    let line = format!("round {done} of {rounds}, {} s", began.elapsed().as_secs());
    let mut out = std::io::stderr().lock();
    let _ = match out.is_terminal() {
        true => write!(out, "\r{line}{}", if done == rounds { "\n" } else { "" }),
        false if done == rounds || done.is_multiple_of(5) => writeln!(out, "{line}"),
        false => Ok(()),
    };
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for work in Work::ALL {
        let modes = if work == Work::W1 { 1 } else { Mode::ALL.len() };
        for subject in Subject::ALL {
            for mode in subject.modes().iter().take(modes) {
                if subject.does(work) {
                    let producers: &[Producers] = match subject {
                        Subject::Rust => &[
                            Producers::OneThread,
                            Producers::TwoThreads,
                            Producers::TwoProcesses,
                        ],
                        Subject::Unsampled => &[Producers::OneThread],
                        _ => &[Producers::OneThread, Producers::TwoThreads],
                    };
                    cases.extend(
                        producers
                            .iter()
                            .map(|producers| Case::new(subject, work, *mode, *producers)),
                    );
                }
            }
        }
    }
    cases
}

struct Bench<'a> {
    options: &'a Options,
    workers: BTreeMap<Subject, WorkerProcess>,
    /// The other one of two processes.
    second: WorkerProcess,
    figures: Figures,
}

impl<'a> Bench<'a> {
    fn start(options: &'a Options) -> Result<Bench<'a>, String> {
        let c = options.c.as_deref();
        let start = |subject| {
            WorkerProcess::start(subject, options.queue(), c.unwrap_or_else(|| Path::new("")))
        };
        let mut bench = Bench {
            options,
            workers: BTreeMap::new(),
            second: start(Subject::Rust)?,
            figures: Figures::default(),
        };
        for subject in Subject::ALL {
            if subject == Subject::C && c.is_none() {
                let reason = "no program given with --c".to_owned();
                bench.figures.skipped.insert(subject, reason);
            } else {
                bench.workers.insert(subject, start(subject)?);
            }
        }
        Ok(bench)
    }

    /// Nanoseconds a span and thread; `None` where the library does not do it.
    fn run(&mut self, case: Case) -> Result<Option<f64>, String> {
        let Some(worker) = self.workers.get_mut(&case.subject) else {
            return Ok(None);
        };
        let request = Request::Run(Job {
            work: case.work,
            mode: case.mode,
            threads: match case.producers {
                Producers::TwoThreads => 2,
                Producers::OneThread | Producers::TwoProcesses => 1,
            },
            spans: self.options.spans,
            start: unix_nanos() + LEAD.as_nanos() as u64,
        });
        let both = case.producers == Producers::TwoProcesses;
        worker.send(request)?;
        if both {
            self.second.send(request)?;
        }
        let mut run = match worker.reply()? {
            Reply::Done(run) => run,
            Reply::Refused(reason) => {
                self.figures.skipped.insert(case.subject, reason);
                self.workers.remove(&case.subject);
                return Ok(None);
            }
            other => return Err(format!("unexpected answer: {}", other.line())),
        };
        self.figures.counts.insert(case.subject, run.counts);
        if both {
            let Reply::Done(second) = self.second.reply()? else {
                return Err("the second process refused to record".into());
            };
            run = together(run, second);
        }
        let elapsed = run.end.saturating_sub(run.begin);
        Ok(Some(elapsed as f64 / self.options.spans as f64))
    }

    /// In a process of its own: memory that was used before would be used again.
    fn live(&mut self, attributes: bool) -> Result<(), String> {
        let spans = self.options.live;
        let mut worker = WorkerProcess::start(Subject::Rust, 1, Path::new(""))?;
        match worker.ask(Request::Live { spans, attributes })? {
            Reply::Live { grown, content } => {
                self.figures.live.push(Live {
                    attributes,
                    spans: spans as u64,
                    grown,
                    content,
                });
                Ok(())
            }
            other => Err(format!("unexpected answer: {}", other.line())),
        }
    }
}

/// From the first beginning to the last end.
fn together(first: Run, second: Run) -> Run {
    Run {
        begin: first.begin.min(second.begin),
        end: first.end.max(second.end),
        ..first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_case_is_taken_twice() {
        let mut cases = cases();
        let count = cases.len();
        cases.sort();
        cases.dedup();
        assert_eq!(cases.len(), count);
    }

    #[test]
    fn two_processes_take_from_the_first_begin_to_the_last_end() {
        let run = |begin, end| Run {
            begin,
            end,
            ..Run::default()
        };
        assert_eq!(together(run(5, 20), run(3, 18)), run(3, 20));
    }
}
