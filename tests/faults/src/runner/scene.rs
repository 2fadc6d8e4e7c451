//! A sink and a process that records for it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Settings;
use crate::ledger::SpanKey;
use crate::report::{self, Ended};
use crate::sink::{Options, Sink};

/// What goes wrong with a row itself.
pub type Outcome<T = ()> = Result<T, String>;

pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A producer process.
pub(crate) struct Producer {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    pub(crate) list: PathBuf,
    errors: PathBuf,
}

/// What a producer says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading {
    /// Spans that the program started.
    pub(crate) started: u64,
    pub(crate) created: u64,
    pub(crate) delivered: u64,
    pub(crate) pending: u64,
    pub(crate) dropped: u64,
    /// Spans whose calls were timed.
    pub(crate) calls: u64,
    /// The 99.9th percentile of what they took, in nanoseconds.
    pub(crate) p999: u64,
    /// The same of a thread beside them that records with another library.
    pub(crate) peer_p999: u64,
    pub(crate) stats: Value,
    pub(crate) diagnostics: Vec<(String, String)>,
}

impl Reading {
    fn of(reply: &Value) -> Self {
        let stats = &reply["stats"];
        let number = |key: &str| stats[key].as_u64().unwrap_or(0);
        let dropped = stats["dropped"].as_object().into_iter().flatten();
        let diagnostics = reply["diagnostics"].as_array().into_iter().flatten();
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Reading {
            started: reply["started"].as_u64().unwrap_or(0),
            created: number("created"),
            delivered: number("delivered"),
            pending: number("pending"),
            dropped: dropped.filter_map(|(_, spans)| spans.as_u64()).sum(),
            calls: reply["latency"]["calls"].as_u64().unwrap_or(0),
            p999: reply["latency"]["p999"].as_u64().unwrap_or(0),
            peer_p999: reply["peer"]["p999"].as_u64().unwrap_or(0),
            stats: stats.clone(),
            diagnostics: diagnostics
                .map(|entry| (word(&entry["reason"]), word(&entry["text"])))
                .collect(),
        }
    }

    pub(crate) fn dropped_for(&self, reason: &str) -> u64 {
        self.stats["dropped"][reason].as_u64().unwrap_or(0)
    }

    /// `reason: spans` of what was dropped.
    pub(crate) fn reasons(&self) -> String {
        let dropped = self.stats["dropped"].as_object().into_iter().flatten();
        let some = dropped.filter(|(_, spans)| spans.as_u64() != Some(0));
        let each: Vec<String> = some
            .map(|(reason, spans)| format!("{reason} {spans}"))
            .collect();
        each.join(", ")
    }

    pub(crate) fn messages(&self, reason: &str) -> usize {
        let found = self.diagnostics.iter();
        found.filter(|(found, _)| found == reason).count()
    }
}

impl Producer {
    /// Starts one that exports to a server, with options of the engine, arguments of its own and environment
    /// variables.
    pub(crate) fn start(
        settings: &Settings,
        url: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Outcome<Self> {
        let list = settings.fresh_path("spans");
        let errors = list.with_extension("stderr");
        let mut command = Command::new(&settings.producer);
        command
            .arg(match arguments.contains(&"exporter=otlp") {
                true => format!("otlp.endpoint={url}"),
                false => format!("tracking_uri={url}"),
            })
            .args(arguments)
            .arg("--list")
            .arg(&list)
            // What the caller has set must not reach the engine.
            .env_clear()
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).map_err(text)?);
        let mut child = command
            .spawn()
            .map_err(|error| format!("{}: {error}", settings.producer.display()))?;
        let mut producer = Producer {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().ok_or("no output")?),
            child,
            list,
            errors,
        };
        producer.line()?;
        Ok(producer)
    }

    fn line(&mut self) -> Outcome<Value> {
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(text)?;
        serde_json::from_str(&line).map_err(|_| {
            let said = std::fs::read_to_string(&self.errors).unwrap_or_default();
            format!("the producer is gone: {}", said.trim())
        })
    }

    pub(crate) fn send(&mut self, command: &str) -> Outcome {
        let input = self.input.as_mut().ok_or("it was told to end")?;
        writeln!(input, "{command}").map_err(text)
    }

    pub(crate) fn ask(&mut self, command: &str) -> Outcome<Value> {
        self.send(command)?;
        self.line()
    }

    pub(crate) fn read(&mut self) -> Outcome<Reading> {
        Ok(Reading::of(&self.ask("stats")?))
    }

    /// Waits until nothing is pending any more; the last reading tells whether it was in time.
    pub(crate) fn settle(&mut self, patience: Duration) -> Outcome<(Reading, Duration)> {
        let start = Instant::now();
        loop {
            let reading = self.read()?;
            if reading.pending == 0 || start.elapsed() > patience {
                return Ok((reading, start.elapsed()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A file of what the kernel tells of it.
    pub(crate) fn proc(&self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.child.id()).into()
    }

    /// Resident memory in KiB: now (`VmRSS`) or at most (`VmHWM`).
    pub(crate) fn memory(&self, key: &str) -> Outcome<u64> {
        let status = std::fs::read_to_string(self.proc("status")).map_err(text)?;
        let line = status.lines().find(|line| line.starts_with(key));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| format!("no {key}"))
    }

    /// Forgets the most memory that it had.
    pub(crate) fn forget_peak(&self) -> Outcome {
        std::fs::write(self.proc("clear_refs"), "5").map_err(text)
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) -> Outcome {
        let pid = self.child.id().to_string();
        let sent = Command::new("/bin/kill").args(["-s", name, &pid]).status();
        match sent.map_err(text)?.success() {
            true => Ok(()),
            false => Err(format!("kill -s {name} failed")),
        }
    }

    /// Lets it end as a program does, and says how long that took and what it counted last.
    pub(crate) fn exit(mut self) -> Outcome<(Reading, Duration)> {
        let start = Instant::now();
        drop(self.input.take());
        let last = self.line()?;
        self.child.wait().map_err(text)?;
        Ok((Reading::of(&last), start.elapsed()))
    }

    /// Waits for its end, which it was told to find; says how long that took.
    pub(crate) fn ended(&mut self, patience: Duration) -> Outcome<Duration> {
        let start = Instant::now();
        while self.child.try_wait().map_err(text)?.is_none() {
            if start.elapsed() > patience {
                return Err("it does not end".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(start.elapsed())
    }

    pub(crate) fn kill(&mut self) -> Outcome {
        self.child.kill().map_err(text)?;
        self.child.wait().map_err(text)?;
        Ok(())
    }

    pub(crate) fn listed(&self) -> Outcome<Ended> {
        report::read(&self.list).map_err(text)
    }

    /// Everything that it wrote for people.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap_or_default()
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A sink, and a producer that exports to it.
pub(crate) struct Scene {
    pub(crate) sink: Sink,
    pub(crate) producer: Producer,
}

impl Scene {
    pub(crate) fn start(settings: &Settings, arguments: &[&str]) -> Outcome<Self> {
        Scene::with(settings, &Options::default(), &json!({}), arguments)
    }

    /// With a sink that begins with a script.
    pub(crate) fn with(
        settings: &Settings,
        options: &Options,
        script: &Value,
        arguments: &[&str],
    ) -> Outcome<Self> {
        let sink = Sink::start(options).map_err(text)?;
        sink.script(script).map_err(text)?;
        let producer = Producer::start(settings, &sink.url(), arguments, &[])?;
        Ok(Scene { sink, producer })
    }

    pub(crate) fn script(&self, script: &Value) -> Outcome {
        self.sink.script(script).map_err(text)
    }
}

/// Ids of the spans of a list, in the order in which they ended.
pub(crate) fn in_order(ended: &Ended) -> Vec<SpanKey> {
    let mut spans: Vec<_> = ended.iter().map(|(key, time)| (*time, *key)).collect();
    spans.sort_unstable();
    spans.into_iter().map(|(_, key)| key).collect()
}

/// A directory of its own in the scratch directory.
pub(crate) fn directory(settings: &Settings) -> Outcome<PathBuf> {
    let path = settings.fresh_path("directory");
    std::fs::create_dir_all(&path).map_err(text)?;
    Ok(path)
}

/// `spool.dir=…`.
pub(crate) fn spool_dir(path: &Path) -> String {
    format!("spool.dir={}", path.display())
}
