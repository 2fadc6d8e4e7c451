//! What stands between a configuration and its traces, looked for before they are missed.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Client;
use super::server::Server;
use crate::config::{Accepts, Config, OPTIONS};
use crate::error::{Error, ErrorKind};
use crate::export::experiments;
use crate::export::http::{Failure, Request};
use crate::trace::Experiment;
use crate::uri::without_secrets;

/// A difference of clocks that nobody minds: a `Date` header is a second coarse, and requests take their time.
const CLOCKS_AGREE: Duration = Duration::from_secs(5);

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Traces are delivered all the same.
    Warning,
    /// They are not.
    Problem,
}

impl Severity {
    /// The name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Ok => "ok",
            Severity::Warning => "warning",
            Severity::Problem => "problem",
        }
    }
}

/// What was found about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at: `exporter`, `server`, `version`, `clock`, `credentials`, `experiment`, `files` or `spool`.
    pub subject: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was found.
    pub text: String,
    /// What to do about it; empty where nothing is to be done.
    pub advice: String,
}

impl Finding {
    fn new(severity: Severity, subject: &'static str, text: impl Into<String>) -> Self {
        Finding {
            subject,
            severity,
            text: text.into(),
            advice: String::new(),
        }
    }

    fn ok(subject: &'static str, text: impl Into<String>) -> Self {
        Finding::new(Severity::Ok, subject, text)
    }

    fn warning(subject: &'static str, text: impl Into<String>) -> Self {
        Finding::new(Severity::Warning, subject, text)
    }

    fn problem(subject: &'static str, text: impl Into<String>) -> Self {
        Finding::new(Severity::Problem, subject, text)
    }

    fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }
}

impl Config {
    /// The options that have another value than their default, as they may be shown: secrets are `***`, and URIs lack
    /// user, password and query.
    pub fn shown(&self) -> Vec<(&'static str, String)> {
        let changed = OPTIONS.iter().filter_map(|option| {
            let value = self
                .text(option.key)
                .filter(|value| *value != option.default)?;
            let shown = match option.accepts {
                Accepts::Secret | Accepts::Patterns | Accepts::Proxy | Accepts::Headers => {
                    "***".to_owned()
                }
                Accepts::Uri | Accepts::Endpoint if value.contains("://") => {
                    without_secrets(value).unwrap_or_else(|| "***".to_owned())
                }
                _ => value.to_owned(),
            };
            Some((option.key, shown))
        });
        changed.collect()
    }
}

impl Client {
    /// Looks at the configuration, the server and the directories. Changes nothing: what does not exist yet is not made.
    pub fn diagnose(&self) -> Vec<Finding> {
        let exporter = self.config.exporter();
        let mut findings = Vec::new();
        findings.extend(self.config.ignored().map(|text| {
            Finding::warning("exporter", text).advise("correct these variables or remove them")
        }));
        let names_server = self.server().is_some();
        findings.push(match exporter {
            "mlflow" if !names_server => Finding::problem("exporter", "no server is configured")
                .advise("set MLFLOW_TRACKING_URI"),
            "mlflow" => Finding::ok("exporter", "traces go to an MLflow server"),
            "otlp" => Finding::warning("exporter", "traces go to a collector, which is not asked")
                .advise("set otlp.enabled=false if they are for the MLflow server"),
            "file" if names_server => Finding::warning(
                "exporter",
                "traces go to files, though a server is configured",
            )
            .advise("leave option exporter out, or upload them with `mlflow-trace send`"),
            "file" => Finding::ok("exporter", "no server is configured: traces go to files"),
            other => Finding::ok("exporter", format!("traces go to exporter '{other}'")),
        });
        if names_server {
            match self.call(async |server| Ok(ask(server, &self.config).await)) {
                Ok(found) => findings.extend(found),
                Err(error) => findings.push(
                    Finding::problem("server", error.message()).advise("correct this option"),
                ),
            }
        }
        if exporter == "file" {
            findings.push(files(&self.config));
        }
        if self.config.spools() {
            findings.push(spool(&self.config));
        }
        findings
    }
}

/// What a server says of itself.
async fn ask(server: &Server<'_>, config: &Config) -> Vec<Finding> {
    let asked = SystemTime::now();
    let request = Request::get("/version").workspace(server.workspace());
    let reply = match server.http().exchange(request).await {
        Ok(reply) => reply,
        Err(failure) => {
            let error = Error::from(failure);
            return vec![Finding::problem("server", error.message()).advise(
                "check tracking_uri, that the server runs, and options http.proxy and tls.*",
            )];
        }
    };
    let answered = SystemTime::now();
    let mut findings = Vec::new();
    let version = String::from_utf8_lossy(&reply.body).trim().to_owned();
    findings.push(Finding::ok("server", "it answers"));
    let is_databricks = server.http().is_databricks();
    match (reply.status.is_success(), numbers(&version)) {
        (true, Some(numbers)) => findings.push(capabilities(&version, numbers)),
        // Its own protocol, which has no versions.
        _ if is_databricks => {}
        (true, None) => findings.push(
            Finding::problem("version", "what answers is no MLflow server")
                .advise("check tracking_uri: it may lead to a proxy's login, or lack a path"),
        ),
        (false, _) => findings.push(
            Finding::warning(
                "version",
                format!(
                    "it does not tell its version (HTTP {})",
                    reply.status.as_u16()
                ),
            )
            .advise("it is taken for a new one; let a proxy pass /version on"),
        ),
    }
    findings.extend(reply.date.map(|date| clocks(date, asked, answered)));
    findings.extend(destination(server, config).await);
    findings
}

/// The first two numbers of a version.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

fn capabilities(version: &str, numbers: (u32, u32)) -> Finding {
    if numbers < (3, 2) {
        return Finding::problem(
            "version",
            format!("MLflow {version} takes no traces from here"),
        )
        .advise("upgrade the server to 3.6 or later; 3.2 is the oldest that works");
    }
    let can = [
        ((3, 6), "stores spans in its database"),
        ((3, 7), "takes compressed requests"),
        ((3, 12), "shows attachments"),
        ((3, 13), "takes spans alone"),
    ];
    let able: Vec<&str> = can
        .iter()
        .filter(|(since, _)| numbers >= *since)
        .map(|(_, what)| *what)
        .collect();
    match able[..] {
        [] => {
            let text = format!("MLflow {version}: stores spans as files, and whole traces only");
            Finding::warning("version", text).advise("upgrade the server to 3.6 or later")
        }
        _ => Finding::ok("version", format!("MLflow {version}: {}", able.join(", "))),
    }
}

/// How far a server's clock, read between two moments of ours, is from ours.
fn clocks(server: SystemTime, asked: SystemTime, answered: SystemTime) -> Finding {
    let ahead = server.duration_since(answered).unwrap_or_default();
    let behind = asked.duration_since(server).unwrap_or_default();
    let (apart, how) = match ahead > behind {
        true => (ahead, "behind"),
        false => (behind, "ahead of"),
    };
    if apart <= CLOCKS_AGREE {
        return Finding::ok("clock", "it agrees with the server's");
    }
    let text = format!("it is {} s {how} the server's", apart.as_secs());
    Finding::warning("clock", text)
        .advise("set one of them right (NTP): times of traces and limits of tokens depend on it")
}

/// Whether the server takes the credentials, and has the experiment.
async fn destination(server: &Server<'_>, config: &Config) -> Vec<Finding> {
    let (http, workspace) = (server.http(), server.workspace());
    let destination = config.destination();
    let (found, name) = match &destination.experiment {
        Experiment::Id(id) => (
            experiments::by_id(http, workspace, id).await,
            format!("experiment {id}"),
        ),
        Experiment::Name(name) => (
            experiments::find(http, workspace, name).await,
            format!("experiment '{name}'"),
        ),
    };
    let taken = Finding::ok("credentials", "the server takes them");
    let failure = match found {
        Ok(found) => {
            let text = format!("'{}' (id {})", found.name, found.experiment_id);
            return vec![taken, Finding::ok("experiment", text)];
        }
        Err(failure) => failure,
    };
    let is_named = matches!(destination.experiment, Experiment::Name(_));
    let is_missing = failure.is_missing("RESOURCE_DOES_NOT_EXIST");
    if is_missing && is_named {
        let text = format!("there is no {name} yet");
        let made = Finding::warning("experiment", text)
            .advise("nothing, if the name is right: the first trace makes it");
        return vec![taken, made];
    }
    if is_missing {
        let missing = Finding::problem("experiment", format!("there is no {name}"))
            .advise("correct MLFLOW_EXPERIMENT_ID, or set MLFLOW_EXPERIMENT_NAME instead");
        return vec![taken, missing];
    }
    if let Failure::Retry {
        status: 401 | 403, ..
    } = failure
    {
        let text = failure.message().to_owned();
        return vec![Finding::problem("credentials", text).advise(
            "renew them: MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        )];
    }
    let error = Error::from(failure);
    let advice = match error.kind() {
        ErrorKind::Deleted => "set MLFLOW_EXPERIMENT_NAME or MLFLOW_EXPERIMENT_ID to another",
        ErrorKind::Transport => "the server is busy or failing: see its log",
        _ => "check tracking_uri, and see the server's log",
    };
    vec![Finding::problem("experiment", error.message()).advise(advice)]
}

fn files(config: &Config) -> Finding {
    let directory = config.directory();
    match try_writing(directory) {
        Ok(()) => Finding::ok(
            "files",
            format!("{} can be written to", directory.display()),
        ),
        Err(error) => {
            let text = format!("cannot write to {}: {error}", directory.display());
            Finding::problem("files", text).advise("set file.directory to another, or free space")
        }
    }
}

fn spool(config: &Config) -> Finding {
    let found = crate::spool::SpoolOptions::of(config).and_then(|options| {
        // Says what is wrong with one that exists.
        crate::spool::status(&options)?;
        try_writing(&options.directory)
            .map_err(|error| Error::new(ErrorKind::InvalidConfig, error.to_string()))?;
        Ok(options.directory)
    });
    match found {
        Ok(directory) => Finding::ok(
            "spool",
            format!("{} can be written to", directory.display()),
        ),
        Err(error) => Finding::problem("spool", error.message()).advise(
            "set spool.dir to a directory of your own; until then traces are in memory alone",
        ),
    }
}

/// Makes a file in a directory, or where that would be made, and removes it.
fn try_writing(directory: &Path) -> io::Result<()> {
    let directory = std::path::absolute(directory)?;
    let existing = directory.ancestors().find(|path| path.exists());
    let existing = existing.unwrap_or(Path::new("/"));
    let probe: PathBuf = existing.join(format!(".mlflow-trace-{:016x}", crate::id::random_u64()));
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&probe)?;
    std::fs::remove_file(&probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_compared_within_the_request() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let severity = |server| clocks(at(server), at(100), at(103)).severity;
        assert_eq!(severity(96), Severity::Ok);
        assert_eq!(severity(108), Severity::Ok);
        assert_eq!(severity(94), Severity::Warning);
        let finding = clocks(at(200), at(100), at(103));
        assert_eq!(finding.text, "it is 97 s behind the server's");
        let finding = clocks(at(10), at(100), at(103));
        assert_eq!(finding.text, "it is 90 s ahead of the server's");
    }

    #[test]
    fn versions_say_what_servers_can() {
        let severity = |version| capabilities(version, numbers(version).unwrap()).severity;
        assert_eq!(severity("2.22.0"), Severity::Problem);
        assert_eq!(severity("3.4.0"), Severity::Warning);
        assert_eq!(severity("3.17.2.dev0"), Severity::Ok);
        assert_eq!(numbers("<!doctype html>"), None);
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut config = Config::new();
        for (key, value) in [
            ("tracking_uri", "https://user:hunter2@host/path"),
            ("tracking_token", "hunter2"),
            ("http.headers", "x-key=hunter2"),
            ("http.proxy", "http://u:hunter2@proxy"),
            ("experiment_name", "mine"),
        ] {
            config.set(key, value).unwrap();
        }
        let shown = config.shown();
        assert!(!format!("{shown:?}").contains("hunter2"), "{shown:?}");
        assert!(shown.contains(&("experiment_name", "mine".to_owned())));
        assert!(shown.contains(&("tracking_uri", "https://host/path".to_owned())));
    }
}
