//! Every option, once: key, environment variable, default, range and meaning, for all languages.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use reqwest::Url;

use crate::destination::{Destination, Experiment};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::mlflow::environment;

/// What an option accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepts {
    /// Any text without control characters.
    Text,
    /// As [`Accepts::Text`]; never printed.
    Secret,
    /// An `http://` or `https://` URI.
    Uri,
    /// Decimal digits, at most 19.
    ExperimentId,
    /// A directory; made when first written to.
    Directory,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number in this range.
    Integer(u64, u64),
    /// `true`, `1` or `on`, `false`, `0` or `off`, in any case.
    Flag,
    /// A number from 0 to 1.
    Ratio,
}

/// One option.
#[derive(Debug)]
pub struct OptionSpec {
    /// The key, the same in every language.
    pub key: &'static str,
    /// The environment variable that [`Config::from_env`] reads.
    pub variable: &'static str,
    /// The default; empty means "not set".
    pub default: &'static str,
    /// What it accepts.
    pub accepts: Accepts,
    /// One line of documentation.
    pub doc: &'static str,
}

const fn option(
    key: &'static str,
    variable: &'static str,
    default: &'static str,
    accepts: Accepts,
    doc: &'static str,
) -> OptionSpec {
    OptionSpec {
        key,
        variable,
        default,
        accepts,
        doc,
    }
}

const EXPORTERS: &[&str] = &["auto", "mlflow", "file", "memory", "none"];
const MINUTE_MS: u64 = 60_000;
const MIB: u64 = 1 << 20;

/// How many options there are; written out because the table's own length would define itself.
const COUNT: usize = 30;

/// The table of options. Its order is the order of the documentation.
#[rustfmt::skip]
pub const OPTIONS: &[OptionSpec; COUNT] = &[
    option("tracking_uri", "MLFLOW_TRACKING_URI", "", Accepts::Uri, "MLflow server; userinfo in it becomes the credentials"),
    option("experiment_id", "MLFLOW_EXPERIMENT_ID", "", Accepts::ExperimentId, "experiment of new traces; wins over the name"),
    option("experiment_name", "MLFLOW_EXPERIMENT_NAME", "", Accepts::Text, "experiment of new traces by name; created when missing"),
    option("tracking_username", "MLFLOW_TRACKING_USERNAME", "", Accepts::Text, "user name of Basic authentication"),
    option("tracking_password", "MLFLOW_TRACKING_PASSWORD", "", Accepts::Secret, "password of Basic authentication"),
    option("tracking_token", "MLFLOW_TRACKING_TOKEN", "", Accepts::Secret, "Bearer token; user name and password win over it"),
    option("workspace", "MLFLOW_WORKSPACE", "", Accepts::Text, "workspace of new traces, sent as X-MLFLOW-WORKSPACE"),
    option("exporter", "MLFLOW_TRACE_EXPORTER", "auto", Accepts::Choice(EXPORTERS), "auto is mlflow with a tracking URI and file without"),
    option("file.directory", "MLFLOW_TRACE_FILE_DIRECTORY", "./mlflow-traces", Accepts::Directory, "where the file exporter writes OTLP/JSON lines"),
    option("service.name", "OTEL_SERVICE_NAME", "", Accepts::Text, "resource attribute service.name"),
    option("source.name", "MLFLOW_TRACE_SOURCE_NAME", "", Accepts::Text, "metadata mlflow.source.name; the program's path by default"),
    option("queue.max_bytes", "MLFLOW_TRACE_QUEUE_MAX_BYTES", "67108864", Accepts::Integer(MIB, 1 << 40), "memory for traces that wait; newer ones are dropped and counted"),
    option("batch.max_spans", "MLFLOW_TRACE_BATCH_MAX_SPANS", "512", Accepts::Integer(1, 1 << 20), "spans in one request"),
    option("batch.max_bytes", "MLFLOW_TRACE_BATCH_MAX_BYTES", "1048576", Accepts::Integer(1024, 60 * MIB), "bytes of spans in one request"),
    option("batch.delay_ms", "MLFLOW_TRACE_BATCH_DELAY_MS", "1000", Accepts::Integer(0, 10 * MINUTE_MS), "longest wait of a finished trace before it is sent"),
    option("http.timeout_ms", "MLFLOW_TRACE_HTTP_TIMEOUT_MS", "10000", Accepts::Integer(1, 10 * MINUTE_MS), "limit of one request, connection and reply included"),
    option("shutdown.timeout_ms", "MLFLOW_TRACE_SHUTDOWN_TIMEOUT_MS", "2000", Accepts::Integer(0, 10 * MINUTE_MS), "limit of the flush that bindings do at exit"),
    option("sdk.disabled", "OTEL_SDK_DISABLED", "false", Accepts::Flag, "true records nothing"),
    option("sampling.ratio", "MLFLOW_TRACE_SAMPLING_RATIO", "1", Accepts::Ratio, "share of the traces begun here that is recorded"),
    option("sampling.max_traces_per_second", "MLFLOW_TRACE_MAX_TRACES_PER_SECOND", "0", Accepts::Integer(0, u32::MAX as u64), "traces begun here in one second; 0 is no limit"),
    option("sampling.keep_errors", "MLFLOW_TRACE_KEEP_ERRORS", "false", Accepts::Flag, "records traces that are not sampled and sends those in which a span failed"),
    option("trace.timeout_s", "MLFLOW_TRACE_TIMEOUT_SECONDS", "0", Accepts::Integer(0, 1 << 32), "traces that run longer are closed as failed; 0 is no limit"),
    option("trace.ttl_s", "MLFLOW_TRACE_BUFFER_TTL_SECONDS", "3600", Accepts::Integer(1, 1 << 32), "traces in which nothing happens for so long are closed as abandoned"),
    option("trace.max_open", "MLFLOW_TRACE_BUFFER_MAX_SIZE", "10000", Accepts::Integer(1, 1 << 20), "with more open traces, those that were quiet longest are closed as abandoned"),
    option("trace.children_wait_ms", "MLFLOW_TRACE_CHILDREN_WAIT_MS", "30000", Accepts::Integer(0, 1 << 40), "how long a trace waits for children that outlive its root; later ones are sent by themselves"),
    option("trace.partial_after_ms", "MLFLOW_TRACE_PARTIAL_AFTER_MS", "5000", Accepts::Integer(0, 1 << 40), "ended spans of a running trace are sent when they have waited so long"),
    option("limits.value_bytes", "MLFLOW_TRACE_MAX_VALUE_BYTES", "8388608", Accepts::Integer(64, 48 * MIB), "bytes of one text in a span; longer ones are cut, with a note"),
    option("limits.attributes", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "1024", Accepts::Integer(0, 1 << 20), "attributes of a span; further ones are left out and counted"),
    option("limits.events", "OTEL_SPAN_EVENT_COUNT_LIMIT", "8192", Accepts::Integer(0, 1 << 20), "events of a span; further ones are left out and counted"),
    option("limits.links", "OTEL_SPAN_LINK_COUNT_LIMIT", "1024", Accepts::Integer(0, 1 << 20), "links of a span; further ones are left out and counted"),
];

/// A set of option values. Setting checks; nothing is read from the environment unless asked.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Config {
    values: [Option<String>; COUNT],
}

impl Config {
    /// The built-in defaults.
    pub fn new() -> Self {
        Config::default()
    }

    /// The defaults, then every variable of [`OPTIONS`] that is set and not empty.
    ///
    /// Fails with `InvalidConfig`, naming the variable.
    pub fn from_env() -> Result<Self> {
        let mut config = Config::new();
        config.set_env()?;
        Ok(config)
    }

    /// Takes over every variable of [`OPTIONS`] that is set and not empty.
    ///
    /// Fails with `InvalidConfig`, naming the variable; the options before it are set.
    pub fn set_env(&mut self) -> Result<()> {
        OPTIONS
            .iter()
            .try_for_each(|option| self.set_variable(option))
    }

    /// Takes over the variable of one option, if it is set and not empty.
    pub(crate) fn set_variable(&mut self, option: &OptionSpec) -> Result<()> {
        match std::env::var(option.variable) {
            Ok(value) if !value.is_empty() => self.set(option.key, &value).map_err(|error| {
                let message = format!("{} ({})", error.message(), option.variable);
                Error::new(error.kind(), message)
            }),
            _ => Ok(()),
        }
    }

    /// Sets an option; the empty text goes back to its default.
    ///
    /// Fails with `InvalidConfig` for an unknown key or a value that the option does not accept.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let index = index(key)?;
        if !value.is_empty() {
            check(&OPTIONS[index], value)?;
        }
        self.values[index] = (!value.is_empty()).then(|| value.to_owned());
        Ok(())
    }

    /// The value of an option, or its default; empty when neither exists.
    pub fn get(&self, key: &str) -> Result<&str> {
        let index = index(key)?;
        Ok(self.values[index]
            .as_deref()
            .unwrap_or(OPTIONS[index].default))
    }

    /// For keys of the table only.
    fn text(&self, key: &str) -> Option<&str> {
        self.get(key).ok().filter(|text| !text.is_empty())
    }

    fn number(&self, key: &str) -> u64 {
        self.text(key)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    }

    /// The server's base URL without userinfo and trailing slash.
    pub(crate) fn server(&self) -> Option<String> {
        let mut url = Url::parse(self.text("tracking_uri")?).ok()?;
        // Both fail only for URLs without a host, which `check` refuses.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Some(url.as_str().trim_end_matches('/').to_owned())
    }

    /// User name and password, from the options or else from the tracking URI.
    pub(crate) fn basic(&self) -> Option<(String, String)> {
        if let (Some(user), Some(password)) = (
            self.text("tracking_username"),
            self.text("tracking_password"),
        ) {
            return Some((user.to_owned(), password.to_owned()));
        }
        let url = Url::parse(self.text("tracking_uri")?).ok()?;
        let password = url.password()?;
        Some((percent_decode(url.username()), percent_decode(password)))
    }

    pub(crate) fn token(&self) -> Option<&str> {
        self.text("tracking_token")
    }

    /// Who records: the Basic user name, else the account of the process.
    pub(crate) fn user(&self) -> &str {
        self.text("tracking_username")
            .unwrap_or_else(|| environment::user())
    }

    pub(crate) fn source_name(&self) -> Option<&str> {
        self.text("source.name")
    }

    pub(crate) fn service_name(&self) -> Option<&str> {
        self.text("service.name")
    }

    /// The exporter, with `auto` resolved.
    pub(crate) fn exporter(&self) -> &str {
        match self.text("exporter") {
            Some("auto") | None if self.text("tracking_uri").is_some() => "mlflow",
            Some("auto") | None => "file",
            Some(name) => name,
        }
    }

    pub(crate) fn directory(&self) -> &Path {
        Path::new(self.text("file.directory").unwrap_or("."))
    }

    pub(crate) fn destination(&self) -> Destination {
        let experiment = match (self.text("experiment_id"), self.text("experiment_name")) {
            (Some(id), _) => Experiment::Id(id.to_owned()),
            (None, Some(name)) => Experiment::Name(name.to_owned()),
            // MLflow's default experiment.
            (None, None) => Experiment::Id("0".to_owned()),
        };
        Destination {
            experiment,
            workspace: self.text("workspace").map(str::to_owned),
        }
    }

    pub(crate) fn queue_bytes(&self) -> usize {
        self.number("queue.max_bytes") as usize
    }

    pub(crate) fn batch_spans(&self) -> usize {
        self.number("batch.max_spans") as usize
    }

    pub(crate) fn batch_bytes(&self) -> usize {
        self.number("batch.max_bytes") as usize
    }

    pub(crate) fn batch_delay(&self) -> Duration {
        Duration::from_millis(self.number("batch.delay_ms"))
    }

    pub(crate) fn http_timeout(&self) -> Duration {
        Duration::from_millis(self.number("http.timeout_ms"))
    }

    fn flag(&self, key: &str) -> bool {
        self.text(key).and_then(flag) == Some(true)
    }

    /// The number of a key for which 0 means none.
    fn limit(&self, key: &str) -> Option<u64> {
        Some(self.number(key)).filter(|number| *number != 0)
    }

    pub(crate) fn is_disabled(&self) -> bool {
        self.flag("sdk.disabled")
    }

    pub(crate) fn sampling_ratio(&self) -> f64 {
        self.text("sampling.ratio").and_then(ratio).unwrap_or(1.0)
    }

    pub(crate) fn max_traces_per_second(&self) -> Option<u32> {
        let limit = self.limit("sampling.max_traces_per_second")?;
        u32::try_from(limit).ok()
    }

    pub(crate) fn keeps_errors(&self) -> bool {
        self.flag("sampling.keep_errors")
    }

    pub(crate) fn trace_timeout(&self) -> Option<Duration> {
        self.limit("trace.timeout_s").map(Duration::from_secs)
    }

    pub(crate) fn trace_ttl(&self) -> Duration {
        Duration::from_secs(self.number("trace.ttl_s"))
    }

    pub(crate) fn max_open_traces(&self) -> usize {
        self.number("trace.max_open") as usize
    }

    pub(crate) fn children_wait(&self) -> Duration {
        Duration::from_millis(self.number("trace.children_wait_ms"))
    }

    pub(crate) fn partial_after(&self) -> Duration {
        Duration::from_millis(self.number("trace.partial_after_ms"))
    }

    /// What one span may hold.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            value_bytes: self.number("limits.value_bytes") as u32,
            attributes: self.number("limits.attributes") as u32,
            events: self.number("limits.events") as u32,
            links: self.number("limits.links") as u32,
        }
    }

    /// The limit that bindings give to the flush at exit.
    pub fn shutdown_timeout(&self) -> Duration {
        Duration::from_millis(self.number("shutdown.timeout_ms"))
    }
}

/// Shows what is set, without secrets and without userinfo.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (option, value) in OPTIONS.iter().zip(&self.values) {
            match (option.accepts, value) {
                (_, None) => {}
                (Accepts::Secret, Some(_)) => {
                    map.entry(&option.key, &"***");
                }
                (Accepts::Uri, Some(_)) => {
                    map.entry(&option.key, &self.server());
                }
                (_, Some(value)) => {
                    map.entry(&option.key, value);
                }
            }
        }
        map.finish()
    }
}

fn index(key: &str) -> Result<usize> {
    OPTIONS
        .iter()
        .position(|option| option.key == key)
        .ok_or_else(|| Error::new(ErrorKind::InvalidConfig, format!("unknown option '{key}'")))
}

fn check(option: &OptionSpec, value: &str) -> Result<()> {
    let problem = match option.accepts {
        Accepts::Text | Accepts::Secret => control(value),
        Accepts::Directory => value.contains('\0').then(|| "contains a NUL".to_owned()),
        Accepts::ExperimentId => {
            let digits = value.len() <= 19 && value.bytes().all(|byte| byte.is_ascii_digit());
            (!digits).then(|| format!("'{value}' is not a decimal number of at most 19 digits"))
        }
        Accepts::Choice(words) => (!words.contains(&value))
            .then(|| format!("'{value}' is not one of {}", words.join(", "))),
        Accepts::Integer(least, most) => match value.parse::<u64>() {
            Ok(number) if (least..=most).contains(&number) => None,
            _ => Some(format!(
                "'{value}' is not a whole number from {least} to {most}"
            )),
        },
        Accepts::Uri => uri(value),
        Accepts::Flag => flag(value)
            .is_none()
            .then(|| format!("'{value}' is not one of true, false, 1, 0, on, off")),
        Accepts::Ratio => ratio(value)
            .is_none()
            .then(|| format!("'{value}' is not a number from 0 to 1")),
    };
    match problem {
        None => Ok(()),
        Some(problem) => Err(Error::new(
            ErrorKind::InvalidConfig,
            format!("option '{}': {problem}", option.key),
        )),
    }
}

/// The spellings of MLflow's booleans, and those of switches.
fn flag(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "on" => Some(true),
        "false" | "0" | "off" => Some(false),
        _ => None,
    }
}

fn ratio(value: &str) -> Option<f64> {
    let ratio: f64 = value.trim().parse().ok()?;
    (0.0..=1.0).contains(&ratio).then_some(ratio)
}

/// Values travel in HTTP headers, where a line break would start a header of its own.
fn control(value: &str) -> Option<String> {
    value
        .chars()
        .any(char::is_control)
        .then(|| "contains a control character".to_owned())
}

/// Never repeats the URI in its message: it may hold a password.
fn uri(value: &str) -> Option<String> {
    match Url::parse(value) {
        Err(error) => Some(format!("not a URI: {error}")),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => Some(format!(
            "scheme '{}' is not supported, only http and https",
            url.scheme()
        )),
        Ok(url) if url.host_str().is_none_or(str::is_empty) => Some("has no host".to_owned()),
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            Some("has a query or a fragment".to_owned())
        }
        Ok(_) => control(value),
    }
}

fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = tail
            .get(..2)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        match hex
            .filter(|_| byte == b'%')
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
        {
            Some(decoded) => {
                out.push(decoded);
                rest = &tail[2..];
            }
            None => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_accepted_by_their_own_option() {
        for option in OPTIONS.iter().filter(|option| !option.default.is_empty()) {
            check(option, option.default).unwrap();
        }
    }

    #[test]
    fn errors_name_the_option() {
        let mut config = Config::new();
        for (key, value) in [
            ("no.such", "1"),
            ("tracking_uri", "localhost:5000"),
            ("tracking_uri", "ftp://host"),
            ("tracking_uri", "http://"),
            ("experiment_id", "../1"),
            ("batch.max_spans", "0"),
            ("batch.delay_ms", "soon"),
            ("exporter", "carrier-pigeon"),
            ("sampling.ratio", "1.5"),
            ("sdk.disabled", "maybe"),
            ("workspace", "a\r\nX-Evil: 1"),
        ] {
            let error = config.set(key, value).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(error.message().contains(key), "{error}");
        }
        assert_eq!(config, Config::new());
    }

    #[test]
    fn userinfo_becomes_credentials_and_is_never_shown() {
        let mut config = Config::new();
        config
            .set("tracking_uri", "http://me:p%40ss@host:5000/base/")
            .unwrap();
        config.set("tracking_token", "hunter2").unwrap();
        assert_eq!(config.server().unwrap(), "http://host:5000/base");
        assert_eq!(config.basic(), Some(("me".into(), "p@ss".into())));
        let shown = format!("{config:?}");
        assert!(
            !shown.contains("p%40ss") && !shown.contains("hunter2"),
            "{shown}"
        );
    }

    #[test]
    fn auto_follows_the_tracking_uri() {
        let mut config = Config::new();
        assert_eq!(config.exporter(), "file");
        config.set("tracking_uri", "http://localhost:5000").unwrap();
        assert_eq!(config.exporter(), "mlflow");
        config.set("tracking_uri", "").unwrap();
        assert_eq!(config.exporter(), "file");
    }
}
