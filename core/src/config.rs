//! Every option, once: key, environment variable, default, range and meaning, for all languages.

use std::env::VarError;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use reqwest::Url;

use crate::error::{Error, ErrorKind, Result};
use crate::mlflow::environment;
use crate::redact;
use crate::trace::{Destination, Experiment};

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
    /// Names separated by commas; `*` stands for any characters.
    Keys,
    /// Paths into attributes separated by commas, in a subset of JSONPath (RFC 9535).
    Paths,
    /// Regular expressions, one per line or as a JSON array of texts; never printed.
    Patterns,
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
const COUNT: usize = 23;

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
    option("http.timeout_ms", "MLFLOW_TRACE_HTTP_TIMEOUT_MS", "10000", Accepts::Integer(1, 10 * MINUTE_MS), "limit of one request, connection and reply included; each MiB of its body allows as much again"),
    option("shutdown.timeout_ms", "MLFLOW_TRACE_SHUTDOWN_TIMEOUT_MS", "2000", Accepts::Integer(0, 10 * MINUTE_MS), "limit of the flush that bindings do at exit"),
    option("capture_content", "MLFLOW_TRACE_CAPTURE_CONTENT", "true", Accepts::Flag, "false keeps names, ids, times, states, token usage and models, and no content"),
    option("redact.keys", "MLFLOW_TRACE_REDACT_KEYS", "", Accepts::Keys, "attributes and JSON members whose values are taken out; any case"),
    option("redact.paths", "MLFLOW_TRACE_REDACT_PATHS", "", Accepts::Paths, "places in inputs, outputs and attributes whose values are taken out"),
    option("redact.patterns", "MLFLOW_TRACE_REDACT_PATTERNS", "", Accepts::Patterns, "what is taken out of every text that it matches"),
    option("attachments.extract", "MLFLOW_TRACE_EXTRACT_ATTACHMENTS", "true", Accepts::Flag, "moves base64 content of inputs and outputs into attachments"),
    option("attachments.max_bytes", "MLFLOW_TRACE_MAX_ATTACHMENT_SIZE", "", Accepts::Integer(0, 1 << 40), "larger attachments are discarded and their span fails; 0 is no limit"),
];

/// A set of option values. Setting checks; nothing is read from the environment unless asked.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Config {
    values: [Option<String>; COUNT],
    /// Options about content that were last given a value they do not accept, a bit each. Who asks for
    /// less content and makes a slip must not send all of it.
    refused: u64,
}

// A bit for every option.
const _: () = assert!(COUNT <= u64::BITS as usize);

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
    /// Fails with `InvalidConfig`, naming the first variable at fault; the others are set.
    pub fn set_env(&mut self) -> Result<()> {
        let mut outcome = Ok(());
        for option in OPTIONS {
            outcome = outcome.and(self.set_variable(option));
        }
        outcome
    }

    /// Takes over the variable of one option, if it is set and not empty.
    pub(crate) fn set_variable(&mut self, option: &OptionSpec) -> Result<()> {
        let value = match std::env::var(option.variable) {
            Ok(value) if !value.is_empty() => value,
            // Refused where that matters: no option about content accepts it.
            Err(VarError::NotUnicode(_)) if is_about_content(option) => "\0".to_owned(),
            _ => return Ok(()),
        };
        self.set(option.key, &value).map_err(|error| {
            let message = format!("{} ({})", error.message(), option.variable);
            Error::new(error.kind(), message)
        })
    }

    /// Sets an option; the empty text goes back to its default.
    ///
    /// Fails with `InvalidConfig` for an unknown key or a value that the option does not accept. After
    /// such a value for `capture_content` or `redact.*`, no content is captured until the option is set
    /// to one that it accepts.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let index = index(key)?;
        let checked = match value {
            "" => Ok(()),
            value => check(&OPTIONS[index], value),
        };
        let refused = checked.is_err() && is_about_content(&OPTIONS[index]);
        self.refused = self.refused & !(1 << index) | u64::from(refused) << index;
        checked?;
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

    pub(crate) fn captures_content(&self) -> bool {
        self.refused == 0 && self.text("capture_content").and_then(flag) == Some(true)
    }

    pub(crate) fn extracts_attachments(&self) -> bool {
        self.text("attachments.extract").and_then(flag) == Some(true)
    }

    /// How many bytes an attachment may have.
    pub(crate) fn attachment_limit(&self) -> usize {
        match self.number("attachments.max_bytes") {
            0 => usize::MAX,
            limit => limit as usize,
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
                (Accepts::Secret | Accepts::Patterns, Some(_)) => {
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

/// Whether an option takes content out of traces.
fn is_about_content(option: &OptionSpec) -> bool {
    option.key == "capture_content" || option.key.starts_with("redact.")
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
        Accepts::Keys => redact::check_keys(value),
        Accepts::Paths => redact::check_paths(value),
        Accepts::Patterns => redact::check_patterns(value),
        Accepts::Flag => flag(value)
            .is_none()
            .then(|| format!("'{value}' is not one of true, false, 1, 0, on, off")),
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
            ("attachments.extract", "yes"),
            ("attachments.max_bytes", "-1"),
            ("workspace", "a\r\nX-Evil: 1"),
            ("capture_content", "no"),
            ("redact.keys", "[\"password\"]"),
            ("redact.paths", "inputs.messages[-1]"),
            ("redact.patterns", "(secret"),
        ] {
            let error = config.set(key, value).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(error.message().contains(key), "{error}");
        }
        assert_eq!(config.values, Config::new().values);
    }

    #[test]
    fn a_refused_value_about_content_withholds_content() {
        for (key, bad, good) in [
            ("capture_content", "no", "on"),
            ("redact.keys", ",", "password"),
            ("redact.paths", "messages", "inputs"),
            ("redact.patterns", "(", "secret"),
        ] {
            let mut config = Config::new();
            assert!(config.captures_content());
            config.set(key, bad).unwrap_err();
            config.set("batch.max_spans", "1").unwrap();
            assert!(!config.captures_content(), "{key}");
            config.set(key, good).unwrap();
            assert!(config.captures_content(), "{key}");
            config.set(key, "\0").unwrap_err();
            config.set(key, "").unwrap();
            assert!(config.captures_content(), "{key}");
        }
        let mut config = Config::new();
        config.set("batch.max_spans", "many").unwrap_err();
        assert!(config.captures_content());
    }

    #[test]
    fn userinfo_becomes_credentials_and_is_never_shown() {
        let mut config = Config::new();
        config
            .set("tracking_uri", "http://me:p%40ss@host:5000/base/")
            .unwrap();
        config.set("tracking_token", "hunter2").unwrap();
        config.set("redact.patterns", "hunter2").unwrap();
        assert_eq!(config.server().unwrap(), "http://host:5000/base");
        assert_eq!(config.basic(), Some(("me".into(), "p@ss".into())));
        let shown = format!("{config:?}");
        assert!(
            !shown.contains("p%40ss") && !shown.contains("hunter2"),
            "{shown}"
        );
    }

    #[test]
    fn switches_and_limits_of_attachments() {
        let mut config = Config::new();
        assert!(config.extracts_attachments());
        for (text, on) in [("False", false), ("1", true), ("OFF", false), ("", true)] {
            config.set("attachments.extract", text).unwrap();
            assert_eq!(config.extracts_attachments(), on, "{text}");
        }
        for (text, limit) in [("", usize::MAX), ("0", usize::MAX), ("7", 7)] {
            config.set("attachments.max_bytes", text).unwrap();
            assert_eq!(config.attachment_limit(), limit, "{text}");
        }
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
