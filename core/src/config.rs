//! A set of option values, and what they mean to the engine.

#[cfg(test)]
mod tests;

use std::env::VarError;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderMap;

use crate::destination::{Destination, Experiment};
use crate::error::{Error, ErrorKind, Result};
use crate::export::http::headers;
use crate::limits::Limits;
use crate::mlflow::environment;
use crate::pipeline::queue::Bounds;
use crate::secret::Secret;
use crate::token::TokenProvider;
use crate::uri::{basic_of, without_secrets};

pub use crate::options::{Accepts, OPTIONS, OptionSpec};
use crate::options::{check, databricks, flag, ratio};

/// A set of option values. Setting checks; nothing is read from the environment unless asked.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    values: Vec<Option<String>>,
    /// Options about content that were last given a value they do not accept, a bit each. Who asks for
    /// less content and makes a slip must not send all of it.
    refused: u128,
    /// What was wrong with variables that are not only ours, by the option.
    ignored: Vec<(usize, String)>,
    pub(crate) attached: Attached,
}

/// What goes with the options of a tracer to everything that connects to its server, and is no text.
#[derive(Clone, Default)]
pub(crate) struct Attached {
    pub(crate) tokens: Option<Arc<dyn TokenProvider>>,
    /// Counts replies of success whose body makes no sense.
    pub(crate) odd_replies: Arc<AtomicU64>,
}

/// Configurations are the same when they do the same; counters do not matter.
impl PartialEq for Attached {
    fn eq(&self, other: &Self) -> bool {
        match (&self.tokens, &other.tokens) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            (one, two) => one.is_none() && two.is_none(),
        }
    }
}

impl Eq for Attached {}

/// Where traces are tracked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// A base URL without userinfo and trailing slash.
    Server(String),
    /// A workspace of Databricks, by its profile if one is named.
    Databricks(Option<&'a str>),
}

/// The bit of an option about content that does not exist: a slip in its name.
const UNKNOWN: u128 = 1 << 127;

// A bit for every option, apart from that.
const _: () = assert!(OPTIONS.len() < u128::BITS as usize);

impl Default for Config {
    fn default() -> Self {
        Config {
            values: vec![None; OPTIONS.len()],
            refused: 0,
            ignored: Vec::new(),
            attached: Attached::default(),
        }
    }
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
    /// Fails with `InvalidConfig`, naming the first variable at fault; the others are set.
    pub fn set_env(&mut self) -> Result<()> {
        let mut outcome = Ok(());
        for option in OPTIONS {
            outcome = outcome.and(self.set_variable(option));
        }
        outcome
    }

    /// Takes over the variable of one option, if it is set and not empty.
    ///
    /// Those of the OTLP exporter speak to all that is in the process: as OpenTelemetry has it, a value that is of no
    /// use here is ignored, and told to who uses a collector.
    pub(crate) fn set_variable(&mut self, option: &OptionSpec) -> Result<()> {
        let variables = [option.variable, option.general].into_iter();
        for variable in variables.filter(|variable| !variable.is_empty()) {
            let value = match std::env::var(variable) {
                Ok(value) if !value.is_empty() => value,
                // Refused where that matters: no option about content accepts it.
                Err(VarError::NotUnicode(_)) if is_about_content(option) => "\0".to_owned(),
                _ => continue,
            };
            let Err(error) = self.set(option.key, &value) else {
                return Ok(());
            };
            let message = format!("{} ({variable})", error.message());
            if !variable.starts_with("OTEL_EXPORTER_OTLP_") {
                return Err(Error::new(error.kind(), message));
            }
            self.ignored.push((index(option.key)?, message));
        }
        Ok(())
    }

    /// What was wrong with variables of the OTLP exporter, where it matters: with one that says where to send
    /// traces, and with all of them when they are sent.
    pub(crate) fn ignored(&self) -> Option<String> {
        let is_used = self.exporter() == "otlp" || self.mirrors();
        let matter = self
            .ignored
            .iter()
            .filter(|(index, _)| is_used || OPTIONS[*index].accepts == Accepts::Endpoint);
        let messages: Vec<&str> = matter.map(|(_, message)| message.as_str()).collect();
        (!messages.is_empty()).then(|| format!("ignored: {}", messages.join("; ")))
    }

    /// Sets an option; the empty text goes back to its default.
    ///
    /// Fails with `InvalidConfig` for an unknown key or a value that the option does not accept. After
    /// such a value for `capture_content` or `redact.*`, no content is captured until the option is set
    /// to one that it accepts; after an unknown key that begins with `capture` or `redact`, until any option
    /// about content is.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let index = index(key).inspect_err(|_| {
            if ["capture", "redact"]
                .iter()
                .any(|start| key.starts_with(start))
            {
                self.refused |= UNKNOWN;
            }
        })?;
        let checked = match value {
            "" => Ok(()),
            value => check(&OPTIONS[index], value),
        };
        let refused = checked.is_err() && is_about_content(&OPTIONS[index]);
        self.refused = self.refused & !(1 << index) | u128::from(refused) << index;
        checked?;
        if is_about_content(&OPTIONS[index]) {
            self.refused &= !UNKNOWN;
        }
        self.ignored.retain(|(about, _)| *about != index);
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
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.get(key).ok().filter(|text| !text.is_empty())
    }

    pub(crate) fn number(&self, key: &str) -> u64 {
        self.text(key)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    }

    /// For keys of the table only.
    pub(crate) fn path(&self, key: &str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    /// For keys of the table only.
    pub(crate) fn secret(&self, key: &str) -> Option<Secret> {
        self.text(key).map(Secret::new)
    }

    /// Where traces are tracked, if anywhere.
    pub(crate) fn target(&self) -> Option<Target<'_>> {
        let uri = self.text("tracking_uri")?;
        match databricks(uri) {
            Some(profile) => Some(Target::Databricks(profile)),
            None => without_secrets(uri).map(Target::Server),
        }
    }

    /// User name and password, from the options or else from the tracking URI.
    pub(crate) fn basic(&self) -> Option<(String, Secret)> {
        if let (Some(user), Some(password)) = (self.username(), self.password()) {
            return Some((user.to_owned(), password));
        }
        basic_of(&Url::parse(self.text("tracking_uri")?).ok()?)
    }

    pub(crate) fn username(&self) -> Option<&str> {
        self.text("tracking_username")
    }

    pub(crate) fn password(&self) -> Option<Secret> {
        self.secret("tracking_password")
    }

    pub(crate) fn token(&self) -> Option<Secret> {
        self.secret("tracking_token")
    }

    /// Headers of every request.
    pub(crate) fn headers(&self) -> HeaderMap {
        let list = self.text("http.headers").unwrap_or_default();
        headers::parse(list).unwrap_or_default()
    }

    pub(crate) fn proxy(&self) -> Option<&str> {
        self.text("http.proxy")
    }

    /// Whether any certificate of the server is taken.
    pub(crate) fn is_insecure(&self) -> bool {
        self.flag("tls.insecure")
    }

    /// Who records: the Basic user name, else the account of the process.
    pub(crate) fn user(&self) -> &str {
        match self.username() {
            Some(user) => user,
            None => environment::login().unwrap_or_else(environment::user),
        }
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
            Some("auto") | None if self.has_collector() && !self.is_dual() => "otlp",
            Some("auto") | None if self.text("tracking_uri").is_some() => "mlflow",
            Some("auto") | None => "file",
            Some(name) => name,
        }
    }

    /// Whether a collector gets what the exporter sends elsewhere as well.
    pub(crate) fn mirrors(&self) -> bool {
        self.has_collector() && self.is_dual() && self.exporter() != "otlp"
    }

    fn is_dual(&self) -> bool {
        self.flag("otlp.dual_export")
    }

    /// Whether a collector is named, and may be used without being asked for.
    fn has_collector(&self) -> bool {
        let named = ["otlp.traces_endpoint", "otlp.endpoint"];
        self.flag("otlp.enabled") && named.iter().any(|key| self.text(key).is_some())
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

    /// How much the queue may hold.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            max_bytes: self.number("queue.max_bytes") as usize,
            max_traces: self.limit("queue.max_traces").map(|limit| limit as usize),
            drops_oldest: self.text("queue.drop") == Some("oldest"),
            batch_bytes: self.batch_bytes(),
            batch_spans: self.number("batch.max_spans"),
            delay: self.batch_delay(),
            one_lane: self.exporter() == "otlp",
        }
    }

    /// Whether finished traces are kept on disk until they are delivered.
    pub(crate) fn spools(&self) -> bool {
        !matches!(self.text("spool"), None | Some("off"))
    }

    /// Whether what ends is sent to where a spool is of use, and kept on disk until it has arrived.
    pub(crate) fn has_depot(&self) -> bool {
        self.spools() && matches!(self.exporter(), "mlflow" | "otlp")
    }

    /// Whether it is on disk before its `end` returns. Otherwise it goes there where memory gets short, and when the
    /// tracer closes.
    pub(crate) fn writes_through(&self) -> bool {
        self.has_depot() && self.text("spool") != Some("spill")
    }

    /// Whether traces that were open when their process died are closed by the next one.
    pub(crate) fn closes_orphans(&self) -> bool {
        self.flag("spool.close_orphans")
    }

    /// Whether a flush waits for the disk.
    pub(crate) fn syncs(&self) -> bool {
        self.text("spool") == Some("sync")
    }

    /// What tells the server of one process from that of another: its URL, and a name for the credential, never the
    /// credential itself.
    pub(crate) fn spool_target(&self) -> (String, String) {
        let named = ["otlp.traces_endpoint", "otlp.endpoint"];
        let collector = || named.iter().find_map(|key| self.text(key));
        let url = match (self.exporter(), self.target()) {
            ("otlp", _) => collector().and_then(without_secrets),
            (_, Some(Target::Server(url))) => Some(url),
            (_, Some(Target::Databricks(profile))) => {
                let profile = profile.or(self.text("databricks.profile"));
                let place = profile.or(self.text("databricks.host"));
                Some(format!("databricks://{}", place.unwrap_or_default()))
            }
            (_, None) => None,
        };
        let basic = self.basic().map(|(user, _)| format!("user {user}"));
        let client = || {
            self.text("databricks.client_id")
                .map(|id| format!("client {id}"))
        };
        let token = || self.text("tracking_token").map(|_| "token".to_owned());
        let file = || {
            self.text("tracking_token_file")
                .map(|path| format!("file {path}"))
        };
        let credential = basic.or_else(client).or_else(token).or_else(file);
        (url.unwrap_or_default(), credential.unwrap_or_default())
    }

    /// How many batches may be on their way at once.
    pub(crate) fn max_in_flight(&self) -> usize {
        self.number("export.max_in_flight") as usize
    }

    /// Whether traces go without a request of their own where that is possible.
    pub(crate) fn spans_only(&self) -> bool {
        self.text("export.trace_info") == Some("spans_only")
    }

    /// Whether requests with spans are compressed.
    pub(crate) fn compresses(&self) -> bool {
        match self.text("export.compression") {
            Some("gzip") => true,
            Some("none") => false,
            _ => !self.is_local(),
        }
    }

    /// Whether the server is on this machine, as far as its name tells.
    fn is_local(&self) -> bool {
        let url = self
            .text("tracking_uri")
            .and_then(|uri| Url::parse(uri).ok());
        url.and_then(|url| {
            let host = url.host_str()?.trim_matches(['[', ']']);
            let address = host.parse::<IpAddr>();
            Some(host == "localhost" || address.is_ok_and(|address| address.is_loopback()))
        }) == Some(true)
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

    pub(crate) fn flag(&self, key: &str) -> bool {
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

    pub(crate) fn captures_content(&self) -> bool {
        self.refused == 0 && self.flag("capture_content")
    }

    pub(crate) fn extracts_attachments(&self) -> bool {
        self.flag("attachments.extract")
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
                (
                    Accepts::Secret | Accepts::Patterns | Accepts::Proxy | Accepts::Headers,
                    Some(_),
                ) => {
                    map.entry(&option.key, &"***");
                }
                (Accepts::Uri, Some(_)) => {
                    map.entry(&option.key, &self.target());
                }
                (Accepts::Endpoint, Some(value)) => {
                    map.entry(&option.key, &without_secrets(value));
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
