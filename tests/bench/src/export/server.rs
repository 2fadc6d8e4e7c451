//! The sink as a process.

use std::fs::read_to_string;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use mlflow_trace_faults::client;
use serde_json::{Value, json};

/// Of `utime` and `stime`, which Linux counts so everywhere that this runs.
const TICK_NS: f64 = 1e9 / 100.0;

pub(crate) struct Server {
    process: Child,
    pub(crate) url: String,
    control: String,
}

impl Server {
    /// A collector, or with a version an MLflow server.
    pub(crate) fn start(
        sink: &Path,
        arguments: &[&str],
        version: Option<&str>,
    ) -> Result<Server, String> {
        let mut process = Command::new(sink)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", sink.display()))?;
        let output = process.stdout.take().ok_or("no output")?;
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let server = Server {
            url: lines.next().ok_or("the sink did not start")?,
            control: lines.next().ok_or("the sink did not start")?,
            process,
        };
        let script = match version {
            Some(version) => json!({ "version": version }),
            None => json!({"collector": true}),
        };
        server.ask("POST", "/__faults", &script)?;
        Ok(server)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        client::control(&self.control, method, path, body).map_err(|error| error.to_string())
    }

    /// Spans that it acknowledged.
    pub(crate) fn spans(&self) -> Result<u64, String> {
        let stats = self.ask("GET", "/__stats", &Value::Null)?;
        stats["spans"].as_u64().ok_or("no spans".into())
    }

    /// CPU that it has used.
    pub(crate) fn cpu_ns(&self) -> Result<f64, String> {
        process_cpu_ns(&self.process.id().to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// CPU of a process by its number or `self`, ended threads included.
pub(crate) fn process_cpu_ns(pid: &str) -> Result<f64, String> {
    let path = format!("/proc/{pid}/stat");
    let text = read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let mut fields = after_name.split_whitespace().skip(11);
    let mut ticks = || fields.next().and_then(|field| field.parse::<f64>().ok());
    match (ticks(), ticks()) {
        (Some(user), Some(system)) => Ok((user + system) * TICK_NS),
        _ => Err(format!("{path}: no times")),
    }
}

/// CPU of the calling thread.
pub(crate) fn thread_cpu_ns() -> Result<f64, String> {
    let path = "/proc/thread-self/schedstat";
    let text = read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let first = text.split_whitespace().next();
    first
        .and_then(|nanos| nanos.parse().ok())
        .ok_or(format!("{path}: no time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_time() {
        let (process, thread) = (process_cpu_ns("self").unwrap(), thread_cpu_ns().unwrap());
        let sum: u64 = (0..50_000_000u64).map(std::hint::black_box).sum();
        assert!(sum > 0);
        assert!(thread_cpu_ns().unwrap() > thread);
        assert!(process_cpu_ns("self").unwrap() >= process);
    }
}
