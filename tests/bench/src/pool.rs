//! The producing threads of a worker. They live as long as it does, as the threads of a server do.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::library::Library;
use crate::protocol::Job;
use crate::work::{Mode, Work};

/// As many as any run asks for.
const THREADS: usize = 2;

/// Now, in nanoseconds since the Unix epoch: the one clock that processes share without `unsafe`.
pub(crate) fn unix_nanos() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

/// What one thread did.
pub(crate) struct Part {
    pub(crate) begin: u64,
    pub(crate) end: u64,
    pub(crate) started: u64,
}

struct Producer {
    jobs: Sender<Job>,
    parts: Receiver<Part>,
}

pub(crate) struct Pool(Vec<Producer>);

impl Pool {
    pub(crate) fn new(library: &Arc<dyn Library>) -> Pool {
        Pool((0..THREADS).map(|_| Producer::new(library)).collect())
    }

    /// Runs the job on as many threads as it asks for, all beginning at its start.
    pub(crate) fn run(&self, job: Job) -> Vec<Part> {
        let producers = &self.0[..job.threads];
        for producer in producers {
            producer.jobs.send(job).unwrap();
        }
        producers
            .iter()
            .map(|producer| producer.parts.recv().unwrap())
            .collect()
    }

    /// Records one more span on every thread; returns their number.
    pub(crate) fn nudge(&self) -> u64 {
        let job = Job {
            work: Work::W1,
            mode: Mode::Together,
            threads: THREADS,
            spans: 1,
            start: 0,
        };
        self.run(job).iter().map(|part| part.started).sum()
    }
}

impl Producer {
    fn new(library: &Arc<dyn Library>) -> Producer {
        let (jobs, waiting) = channel::<Job>();
        let (done, parts) = channel();
        let library = library.clone();
        thread::spawn(move || {
            for job in waiting {
                while unix_nanos() < job.start {
                    std::hint::spin_loop();
                }
                let begin = unix_nanos();
                let started = library.record(job.work, job.mode, job.spans);
                let end = unix_nanos();
                let part = Part {
                    begin,
                    end,
                    started,
                };
                if done.send(part).is_err() {
                    return;
                }
            }
        });
        Producer { jobs, parts }
    }
}
