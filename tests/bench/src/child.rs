//! A worker process, seen from the measuring one.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::library::Subject;
use crate::protocol::{Reply, Request};

pub(crate) struct WorkerProcess {
    name: &'static str,
    process: Child,
    /// `None` once it was asked to end.
    requests: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
}

impl WorkerProcess {
    /// This program again, as a worker; the program in C for our C ABI.
    pub(crate) fn start(subject: Subject, queue: usize, c: &Path) -> Result<Self, String> {
        let mut command = match subject {
            Subject::C => Command::new(c),
            _ => {
                let this = std::env::current_exe().map_err(|error| error.to_string())?;
                let mut command = Command::new(this);
                command.args(["worker", subject.name(), &queue.to_string()]);
                command
            }
        };
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        let requests = process.stdin.take();
        let replies = BufReader::new(process.stdout.take().unwrap());
        Ok(WorkerProcess {
            name: subject.name(),
            process,
            requests,
            replies,
        })
    }

    pub(crate) fn ask(&mut self, request: Request) -> Result<Reply, String> {
        self.send(request)?;
        self.reply()
    }

    pub(crate) fn send(&mut self, request: Request) -> Result<(), String> {
        let requests = self.requests.as_mut().unwrap();
        writeln!(requests, "{}", request.line())
            .map_err(|error| format!("the worker of {} is gone: {error}", self.name))
    }

    /// The answer to the last request; an error where the run is worth nothing.
    pub(crate) fn reply(&mut self) -> Result<Reply, String> {
        let mut line = String::new();
        self.replies
            .read_line(&mut line)
            .map_err(|error| error.to_string())?;
        match Reply::parse(&line) {
            Some(Reply::Failed(reason)) => Err(format!("{}: {reason}", self.name)),
            Some(reply) => Ok(reply),
            None => Err(format!("the worker of {} said {line:?}", self.name)),
        }
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        drop(self.requests.take());
        let _ = self.process.wait();
    }
}
