//! A process that holds one library and records what the measuring process asks for.
//!
//! Each library has a process of its own, so that none runs in a heap that another has torn, nor beside
//! another's threads.

use std::io::{BufRead, Write};
use std::sync::Arc;

use crate::library::{Library, Ours, Subject};
use crate::memory;
use crate::pool::Pool;
use crate::protocol::{Counts, Job, Reply, Request, Run};
use crate::work::{CHILD, attribute_bytes};

/// How often the producers are nudged until everything arrived.
const NUDGES: usize = 1000;

/// Answers requests from standard input until it ends.
pub(crate) fn serve(subject: Subject, queue: usize) {
    let mut worker = subject.open(queue).map(Worker::new);
    for line in std::io::stdin().lock().lines() {
        let reply = match (&mut worker, Request::parse(&line.unwrap())) {
            (_, None) => Reply::Failed("a request that it does not understand".into()),
            (Err(reason), _) => Reply::Refused(reason.clone()),
            (Ok(worker), Some(Request::Run(job))) => worker.run(job),
            (Ok(_), Some(Request::Live { spans, attributes })) => live(spans, attributes),
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", reply.line()).unwrap();
        out.flush().unwrap();
    }
}

struct Worker {
    library: Arc<dyn Library>,
    pool: Pool,
    started: u64,
}

impl Worker {
    fn new(library: Arc<dyn Library>) -> Worker {
        Worker {
            pool: Pool::new(&library),
            library,
            started: 0,
        }
    }

    fn run(&mut self, job: Job) -> Reply {
        let parts = self.pool.run(job);
        self.started += parts.iter().map(|part| part.started).sum::<u64>();
        let mut counts = self.library.settle();
        // fastrace keeps what does not fit its channel until the thread records again.
        for _ in 0..NUDGES {
            if counts.delivered >= self.library.expected(self.started) {
                break;
            }
            self.started += self.pool.nudge();
            counts = self.library.settle();
        }
        match self.check(counts) {
            Ok(counts) => Reply::Done(Run {
                begin: parts.iter().map(|part| part.begin).min().unwrap_or(0),
                end: parts.iter().map(|part| part.end).max().unwrap_or(0),
                counts,
            }),
            Err(reason) => Reply::Failed(reason),
        }
    }

    /// Whether what was recorded is what arrived.
    fn check(&self, counts: Counts) -> Result<Counts, String> {
        let started = self.started;
        let right = counts.delivered == self.library.expected(started)
            && counts.dropped == 0
            && [0, started].contains(&counts.started);
        match right {
            true => Ok(Counts { started, ..counts }),
            false => Err(format!("{started} spans were recorded, but: {counts:?}")),
        }
    }
}

/// Opens children of one root in a process that has recorded before, and compares its resident memory.
fn live(spans: usize, attributes: bool) -> Reply {
    let measure = || -> Result<Reply, String> {
        let ours = Ours::new(&[])?;
        let open = |root| {
            let span = ours.child(root);
            if attributes {
                Ours::set_one_by_one(span);
            }
            span
        };
        let root = ours.root();
        let mut handles = vec![root; spans];
        for _ in 0..1000 {
            let _ = open(root).end();
        }
        ours.settle();
        let before = memory::resident()?;
        for handle in &mut handles {
            *handle = open(root);
        }
        let after = memory::resident()?;
        for handle in handles {
            handle
                .end()
                .map_err(|kind| format!("no live span: {kind:?}"))?;
        }
        root.end()
            .map_err(|kind| format!("no live root: {kind:?}"))?;
        let counts = ours.settle();
        let recorded = spans as u64 + 1001;
        if (counts.started, counts.delivered, counts.dropped) != (recorded, recorded, 0) {
            return Err(format!("{recorded} spans were recorded, but: {counts:?}"));
        }
        let content = CHILD.len() + if attributes { attribute_bytes() } else { 0 };
        Ok(Reply::Live {
            grown: after.saturating_sub(before),
            content: (spans * content) as u64,
        })
    };
    measure().unwrap_or_else(Reply::Failed)
}
