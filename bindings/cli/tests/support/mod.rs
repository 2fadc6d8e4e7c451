//! Runs the command, and a server that keeps what it is sent.

// The files are those of the engine's own tests, which say what they are.
#[path = "../../../../core/tests/support/otlp.rs"]
#[allow(dead_code)]
mod otlp;
#[path = "../../../../core/tests/support/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use mlflow_trace_core::client::{Span, Trace, TraceData, TraceInfo};
use mlflow_trace_core::{Config, Parent, SpanStart, Tracer};
use serde_json::{Value, json};
use server::{Reply, Seen, Server, reply};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_mlflow-trace");
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory that goes when the test does.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("mlflow-trace-command-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .unwrap();
        Directory(path)
    }

    pub(crate) fn text(&self) -> String {
        self.0.display().to_string()
    }

    /// What `send` noted.
    pub(crate) fn ledger(&self) -> PathBuf {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut paths = entries.map(|entry| entry.unwrap().path());
        paths
            .find(|path| {
                path.file_name()
                    .unwrap()
                    .to_string_lossy()
                    .starts_with(".sent-")
            })
            .unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) error: String,
}

pub(crate) fn run(arguments: &[&str]) -> Done {
    finish(Command::new(PROGRAM).args(arguments))
}

pub(crate) fn run_in(directory: &Directory, arguments: &[&str]) -> Done {
    finish(
        Command::new(PROGRAM)
            .args(arguments)
            .current_dir(&directory.0),
    )
}

fn finish(command: &mut Command) -> Done {
    let foreign = std::env::vars().map(|(key, _)| key);
    for key in foreign.filter(|key| key.starts_with("MLFLOW_") || key.starts_with("OTEL_")) {
        command.env_remove(key);
    }
    let done = command.output().unwrap();
    Done {
        code: done.status.code().unwrap(),
        out: String::from_utf8(done.stdout).unwrap(),
        error: String::from_utf8(done.stderr).unwrap(),
    }
}

fn tracer(options: &[(&str, &str)]) -> Tracer {
    let mut config = Config::new();
    for (key, value) in options {
        config.set(key, value).unwrap();
    }
    Tracer::new(config).unwrap()
}

/// A trace of two spans, and its id.
pub(crate) fn trace(tracer: &Tracer, name: &str) -> String {
    let root = tracer.start(SpanStart::new(name));
    let child = tracer.start(SpanStart {
        parent: Parent::Span(root),
        ..SpanStart::new("below")
    });
    let _ = child.end();
    let id = root.context().unwrap().trace_id.to_mlflow();
    let _ = root.end();
    id
}

/// Has a program without a server record traces of these names; their ids.
pub(crate) fn record(directory: &Directory, names: &[&str]) -> Vec<String> {
    let tracer = tracer(&[
        ("file.directory", &directory.text()),
        ("batch.delay_ms", "0"),
    ]);
    let ids = names.iter().map(|name| trace(&tracer, name)).collect();
    assert_eq!(tracer.shutdown(PATIENCE), 0);
    ids
}

/// A program with a spool.
pub(crate) fn spooling(directory: &Directory, url: &str) -> Tracer {
    tracer(&[
        ("tracking_uri", url),
        ("spool", "write-through"),
        ("spool.dir", &directory.text()),
        ("batch.delay_ms", "0"),
    ])
}

/// Has such a program record a trace and end.
pub(crate) fn record_spooled(directory: &Directory, url: &str, name: &str) {
    let tracer = spooling(directory, url);
    trace(&tracer, name);
    tracer.shutdown(PATIENCE);
}

#[derive(Default)]
struct Kept {
    traces: BTreeMap<String, Trace>,
    /// By trace id, whether or not its information is there.
    spans: BTreeMap<String, Vec<Span>>,
    refusal: Option<String>,
    refuses_credentials: bool,
    date: Option<String>,
}

/// A server that keeps what it is sent, in memory.
pub(crate) struct Keeper {
    server: Server,
    kept: Arc<Mutex<Kept>>,
}

impl Keeper {
    pub(crate) fn start() -> Self {
        let kept: Arc<Mutex<Kept>> = Arc::default();
        let mine = kept.clone();
        let server = Server::start(move |seen| {
            let mut kept = mine.lock().unwrap();
            let mut reply = kept.answer(seen);
            if let Some(date) = &kept.date {
                reply.1 += &format!("date: {date}\r\n");
            } else {
                let now = httpdate::fmt_http_date(std::time::SystemTime::now());
                reply.1 += &format!("date: {now}\r\n");
            }
            reply
        });
        Keeper { server, kept }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    pub(crate) fn url(&self) -> String {
        self.server.url.clone()
    }

    /// Answers what would store something with this message from now on.
    pub(crate) fn refuse(&self, message: &str) {
        self.kept().refusal = Some(message.to_owned());
    }

    pub(crate) fn accept(&self) {
        self.kept().refusal = None;
    }

    pub(crate) fn refuse_credentials(&self) {
        self.kept().refuses_credentials = true;
    }

    pub(crate) fn set_date(&self, date: &str) {
        self.kept().date = Some(date.to_owned());
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.kept().traces.keys().cloned().collect()
    }

    pub(crate) fn forget(&self, id: &str) {
        self.kept().traces.remove(id).unwrap();
    }

    pub(crate) fn change(&self, id: &str, change: impl FnOnce(&mut Trace)) {
        change(self.kept().traces.get_mut(id).unwrap());
    }

    pub(crate) fn experiments_of_traces(&self) -> Vec<String> {
        let kept = self.kept();
        let locations = kept.traces.values().map(|trace| &trace.info.trace_location);
        locations
            .map(|location| location.experiment_id().unwrap().to_owned())
            .collect()
    }

    pub(crate) fn requests(&self) -> usize {
        self.server.seen().len()
    }

    /// How often the information of a trace was stored.
    pub(crate) fn posts(&self) -> usize {
        let seen = self.server.seen();
        seen.iter()
            .filter(|seen| seen.path == "/api/3.0/mlflow/traces")
            .count()
    }
}

fn missing() -> Reply {
    reply(
        404,
        r#"{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"}"#,
    )
}

fn refused(message: &str) -> Reply {
    let body = json!({"error_code": "INVALID_PARAMETER_VALUE", "message": message});
    reply(400, &body.to_string())
}

fn experiment(id: &str, name: &str) -> Value {
    json!({"experiment": {"experiment_id": id, "name": name, "lifecycle_stage": "active", "artifact_location": "mlflow-artifacts:/0"}})
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Kept {
    fn keep_spans(&mut self, seen: &Seen) {
        for span in otlp::spans(seen) {
            let id = format!("tr-{}", hex(&span.trace_id()));
            let json = json!({
                "traceId": hex(&span.trace_id()),
                "spanId": hex(otlp::messages(&span.0, 2)[0]),
                "name": span.name(),
                "startTimeUnixNano": "1",
                "endTimeUnixNano": "2",
            });
            let span = Span::from_json(&json).unwrap();
            if let Some(trace) = self.traces.get_mut(&id) {
                trace.data.spans.push(span.clone());
            }
            self.spans.entry(id).or_default().push(span);
        }
    }

    fn answer(&mut self, seen: &Seen) -> Reply {
        let (path, query) = seen.path.split_once('?').unwrap_or((&seen.path, ""));
        let ok = |body: Value| reply(200, &body.to_string());
        if path == "/version" {
            return reply(200, "3.17.2");
        }
        if self.refuses_credentials {
            return reply(401, "");
        }
        match (path, &self.refusal) {
            (
                "/api/3.0/mlflow/traces" | "/v1/traces" | "/api/3.0/mlflow/traces/search",
                Some(why),
            ) => refused(why),
            ("/v1/traces", None) => {
                self.keep_spans(seen);
                reply(200, "")
            }
            ("/api/3.0/mlflow/traces", None) => {
                let sent: Value = serde_json::from_slice(&seen.body).unwrap();
                let mut info = sent["trace"]["trace_info"].clone();
                info["tags"]["mlflow.trace.spansLocation"] = "TRACKING_STORE".into();
                let id = info["trace_id"].as_str().unwrap().to_owned();
                let spans = self.spans.get(&id).cloned().unwrap_or_default();
                let trace = Trace {
                    info: TraceInfo::from_json(&info).unwrap(),
                    data: TraceData { spans },
                };
                self.traces.insert(id, trace);
                ok(json!({"trace": {"trace_info": info}}))
            }
            ("/api/3.0/mlflow/traces/get", _) => {
                let id = query
                    .split('&')
                    .find_map(|pair| pair.strip_prefix("trace_id="));
                match self.traces.get(id.unwrap()) {
                    Some(trace) => ok(json!({"trace": trace.to_json()})),
                    None => missing(),
                }
            }
            ("/api/2.0/mlflow/experiments/get", _) => match query {
                "experiment_id=0" => ok(experiment("0", "Default")),
                "experiment_id=7" => ok(experiment("7", "made now")),
                _ => missing(),
            },
            ("/api/2.0/mlflow/experiments/get-by-name", _) => missing(),
            ("/api/2.0/mlflow/experiments/create", _) => ok(json!({"experiment_id": "7"})),
            _ => match path.strip_prefix("/api/3.0/mlflow/traces/") {
                Some(id) => match self.traces.get(id) {
                    Some(trace) => ok(json!({"trace": {"trace_info": trace.info.to_json()}})),
                    None => missing(),
                },
                None => reply(404, "<!doctype html>"),
            },
        }
    }
}
