//! What the measuring process and its workers say to each other, a line each; `record.c` speaks it too.

use crate::work::{Mode, Work};

/// A run of one workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) mode: Mode,
    pub(crate) threads: usize,
    /// Spans of each thread; roots of W2 and W3 come on top.
    pub(crate) spans: usize,
    /// When to begin, in nanoseconds since the Unix epoch: so threads and processes begin together.
    pub(crate) start: u64,
}

/// What a worker is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Run(Job),
    /// Hold this many children open, with or without the ten attributes, and tell what memory they take.
    Live {
        spans: usize,
        attributes: bool,
    },
}

/// When a run began and ended, in nanoseconds since the Unix epoch, and what became of all spans of the
/// worker so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) begin: u64,
    pub(crate) end: u64,
    pub(crate) counts: Counts,
}

/// Spans of one worker since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Counted by the loop that recorded them.
    pub(crate) started: u64,
    /// Counted by the sink.
    pub(crate) delivered: u64,
    /// Counted by the library, where it counts them: ignored calls are included.
    pub(crate) dropped: u64,
}

/// A worker's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Done(Run),
    /// Resident bytes that the open spans took, and the bytes of their names, keys and values.
    Live {
        grown: u64,
        content: u64,
    },
    /// The library lacks what was asked for.
    Refused(String),
    /// The run is worth nothing.
    Failed(String),
}

impl Request {
    pub(crate) fn line(&self) -> String {
        match self {
            Request::Run(job) => format!(
                "run {} {} {} {} {}",
                job.work.name(),
                job.mode.name(),
                job.threads,
                job.spans,
                job.start
            ),
            Request::Live { spans, attributes } => {
                format!("live {spans} {}", u8::from(*attributes))
            }
        }
    }

    pub(crate) fn parse(line: &str) -> Option<Request> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["run", work, mode, threads, spans, start] => Some(Request::Run(Job {
                work: Work::parse(work)?,
                mode: Mode::parse(mode)?,
                threads: threads.parse().ok()?,
                spans: spans.parse().ok()?,
                start: start.parse().ok()?,
            })),
            ["live", spans, attributes] => Some(Request::Live {
                spans: spans.parse().ok()?,
                attributes: attributes == "1",
            }),
            _ => None,
        }
    }
}

impl Reply {
    pub(crate) fn line(&self) -> String {
        match self {
            Reply::Done(run) => {
                let Counts {
                    started,
                    delivered,
                    dropped,
                } = run.counts;
                format!(
                    "done {} {} {started} {delivered} {dropped}",
                    run.begin, run.end
                )
            }
            Reply::Live { grown, content } => format!("live {grown} {content}"),
            Reply::Refused(reason) => format!("refused {}", reason.replace('\n', " ")),
            Reply::Failed(reason) => format!("failed {}", reason.replace('\n', " ")),
        }
    }

    pub(crate) fn parse(line: &str) -> Option<Reply> {
        let (word, rest) = line.trim().split_once(' ')?;
        let numbers = || -> Option<Vec<u64>> {
            rest.split_whitespace()
                .map(|number| number.parse().ok())
                .collect()
        };
        match word {
            "done" => match numbers()?[..] {
                [begin, end, started, delivered, dropped] => Some(Reply::Done(Run {
                    begin,
                    end,
                    counts: Counts {
                        started,
                        delivered,
                        dropped,
                    },
                })),
                _ => None,
            },
            "live" => match numbers()?[..] {
                [grown, content] => Some(Reply::Live { grown, content }),
                _ => None,
            },
            "refused" => Some(Reply::Refused(rest.to_owned())),
            "failed" => Some(Reply::Failed(rest.to_owned())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let run = Request::Run(Job {
            work: Work::W3,
            mode: Mode::OneByOne,
            threads: 2,
            spans: 50,
            start: u64::MAX,
        });
        let live = Request::Live {
            spans: 7,
            attributes: true,
        };
        for request in [run, live] {
            assert_eq!(Request::parse(&request.line()), Some(request));
        }
        let done = Reply::Done(Run {
            begin: 1,
            end: 2,
            counts: Counts {
                started: 3,
                delivered: 4,
                dropped: 5,
            },
        });
        let live = Reply::Live {
            grown: 6,
            content: 7,
        };
        for reply in [done, live, Reply::Refused("no such option".into())] {
            assert_eq!(Reply::parse(&reply.line()), Some(reply));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for line in ["", "run W9 together 1 1 1", "run W1 together 1", "walk"] {
            assert_eq!(Request::parse(line), None, "{line}");
        }
        for line in ["", "done", "done 1 2 3", "live x y"] {
            assert_eq!(Reply::parse(line), None, "{line}");
        }
    }
}
