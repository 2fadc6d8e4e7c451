//! Every option, once: key, environment variable, default, range and meaning, for all languages.

use reqwest::Url;

use crate::error::{Error, ErrorKind, Result};
use crate::export::http::{headers, proxy};
use crate::redact;

/// What an option accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepts {
    /// Any text without control characters.
    Text,
    /// As [`Accepts::Text`]; never printed.
    Secret,
    /// An `http://` or `https://` URI, `databricks` or `databricks://` with a profile.
    Uri,
    /// An `http://` or `https://` URI, which may have a query.
    Endpoint,
    /// A file that is read when it is needed.
    File,
    /// The URI of a proxy, or `direct`; never printed.
    Proxy,
    /// Headers as `name=value` separated by commas, values percent-encoded; never printed.
    Headers,
    /// Visible ASCII characters, which stay one word in an HTTP header.
    Word,
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
    /// A variable that is read where that one says nothing; empty for most options.
    pub general: &'static str,
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
        general: "",
        default,
        accepts,
        doc,
    }
}

impl OptionSpec {
    const fn or(self, general: &'static str) -> Self {
        OptionSpec { general, ..self }
    }
}

const EXPORTERS: &[&str] = &["auto", "mlflow", "otlp", "file", "memory", "none"];
const MINUTE_MS: u64 = 60_000;
const MIB: u64 = 1 << 20;

/// The table of options. Its order is the order of the documentation.
#[rustfmt::skip]
pub const OPTIONS: &[OptionSpec] = &[
    option("tracking_uri", "MLFLOW_TRACKING_URI", "", Accepts::Uri, "MLflow server, or databricks; userinfo in it becomes the credentials"),
    option("experiment_id", "MLFLOW_TRACING_DESTINATION", "", Accepts::ExperimentId, "experiment of new traces; wins over the name").or("MLFLOW_EXPERIMENT_ID"),
    option("experiment_name", "MLFLOW_EXPERIMENT_NAME", "", Accepts::Text, "experiment of new traces by name; created when missing"),
    option("tracking_username", "MLFLOW_TRACKING_USERNAME", "", Accepts::Text, "user name of Basic authentication"),
    option("tracking_password", "MLFLOW_TRACKING_PASSWORD", "", Accepts::Secret, "password of Basic authentication"),
    option("tracking_token", "MLFLOW_TRACKING_TOKEN", "", Accepts::Secret, "Bearer token; user name and password win over it"),
    option("tracking_token_file", "MLFLOW_TRACKING_TOKEN_FILE", "", Accepts::File, "file with a Bearer token, read again when the server refuses it; tracking_token wins over it"),
    option("workspace", "MLFLOW_WORKSPACE", "", Accepts::Word, "workspace of new traces, sent as X-MLFLOW-WORKSPACE"),
    option("exporter", "MLFLOW_TRACE_EXPORTER", "auto", Accepts::Choice(EXPORTERS), "auto is otlp with an endpoint of a collector, else mlflow with a tracking URI, else file"),
    option("file.directory", "MLFLOW_TRACE_FILE_DIRECTORY", "./mlflow-traces", Accepts::Directory, "where the file exporter writes OTLP/JSON lines"),
    option("otlp.endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", "", Accepts::Endpoint, "OpenTelemetry collector; traces go to /v1/traces below it"),
    option("otlp.traces_endpoint", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "", Accepts::Endpoint, "where the collector takes traces, used as it is; wins over otlp.endpoint"),
    option("otlp.headers", "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "", Accepts::Headers, "headers of requests to the collector").or("OTEL_EXPORTER_OTLP_HEADERS"),
    option("otlp.protocol", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf", Accepts::Choice(&["http/protobuf"]), "the protocol; there is only this one").or("OTEL_EXPORTER_OTLP_PROTOCOL"),
    option("otlp.timeout_ms", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "10000", Accepts::Integer(1, 10 * MINUTE_MS), "http.timeout_ms for the collector").or("OTEL_EXPORTER_OTLP_TIMEOUT"),
    option("otlp.compression", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none", Accepts::Choice(&["gzip", "none"]), "compression of requests to the collector").or("OTEL_EXPORTER_OTLP_COMPRESSION"),
    option("otlp.certificate", "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "", Accepts::File, "PEM file with the authorities that the collector's certificate is checked against, besides the system's").or("OTEL_EXPORTER_OTLP_CERTIFICATE"),
    option("otlp.client_certificate", "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "", Accepts::File, "PEM file with the client's certificate for the collector").or("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"),
    option("otlp.client_key", "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "", Accepts::File, "PEM file with the key of that certificate").or("OTEL_EXPORTER_OTLP_CLIENT_KEY"),
    option("otlp.enabled", "MLFLOW_ENABLE_OTLP_EXPORTER", "true", Accepts::Flag, "false takes no notice of endpoints of collectors, unless exporter is otlp"),
    option("otlp.dual_export", "MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT", "false", Accepts::Flag, "true sends traces to the collector besides, not instead"),
    option("otlp.genai_semconv", "MLFLOW_ENABLE_OTEL_GENAI_SEMCONV", "false", Accepts::Flag, "true sends the collector attributes of the GenAI semantic conventions instead of MLflow's"),
    option("service.name", "OTEL_SERVICE_NAME", "", Accepts::Text, "resource attribute service.name"),
    option("source.name", "MLFLOW_TRACE_SOURCE_NAME", "", Accepts::Text, "metadata mlflow.source.name; the program's path by default"),
    option("queue.max_bytes", "MLFLOW_TRACE_QUEUE_MAX_BYTES", "67108864", Accepts::Integer(MIB, 1 << 40), "memory for traces that are open, wait or are sent; what is too much is dropped and counted"),
    option("queue.max_traces", "MLFLOW_TRACE_QUEUE_MAX_TRACES", "0", Accepts::Integer(0, 1 << 40), "finished traces that wait, as queue.max_bytes; 0 is no limit"),
    option("queue.drop", "MLFLOW_TRACE_QUEUE_DROP", "newest", Accepts::Choice(&["newest", "oldest"]), "which traces a full queue gives up"),
    option("spool", "MLFLOW_TRACE_SPOOL", "off", Accepts::Choice(&["off", "spill", "write-through", "sync"]), "finished traces on disk: spill, where the server is away, the queue is half full, and at exit; write-through, before they are sent, so that a kill loses none; sync, and a flush waits for the disk"),
    option("spool.dir", "MLFLOW_TRACE_SPOOL_DIR", "", Accepts::Directory, "where they lie; $XDG_STATE_HOME/mlflow-trace/spool/v1 by default. Processes that share it deliver each other's traces"),
    option("spool.close_orphans", "MLFLOW_TRACE_SPOOL_CLOSE_ORPHANS", "true", Accepts::Flag, "traces that a process left open when it died are closed as failed by the next one"),
    option("spool.max_bytes", "MLFLOW_TRACE_SPOOL_MAX_BYTES", "268435456", Accepts::Integer(MIB, 1 << 40), "bytes of that directory, over all processes; the oldest give way"),
    option("batch.max_spans", "MLFLOW_TRACE_BATCH_MAX_SPANS", "512", Accepts::Integer(1, 1 << 20), "spans in one request; up to four times as many while more than that waits"),
    option("batch.max_bytes", "MLFLOW_TRACE_BATCH_MAX_BYTES", "1048576", Accepts::Integer(1024, 60 * MIB), "bytes of spans in one request; up to 4 MiB while more than four times as many wait"),
    option("batch.delay_ms", "MLFLOW_TRACE_BATCH_DELAY_MS", "1000", Accepts::Integer(0, 10 * MINUTE_MS), "longest wait of a finished trace before it is sent"),
    option("export.max_in_flight", "MLFLOW_TRACE_EXPORT_MAX_IN_FLIGHT", "4", Accepts::Integer(1, 8), "batches on their way at once, never two with spans of the same trace"),
    option("export.trace_info", "MLFLOW_TRACE_EXPORT_TRACE_INFO", "full", Accepts::Choice(&["full", "spans_only"]), "spans_only makes no request for each trace; name, tags, session and user go with the root span (MLflow 3.13)"),
    option("export.compression", "MLFLOW_TRACE_EXPORT_COMPRESSION", "auto", Accepts::Choice(&["auto", "gzip", "none"]), "of requests with spans; auto is gzip unless the server is on this machine"),
    option("http.timeout_ms", "MLFLOW_TRACE_HTTP_TIMEOUT_MS", "10000", Accepts::Integer(1, 10 * MINUTE_MS), "limit of one request, connection and reply included; each MiB of its body allows as much again"),
    option("http.headers", "MLFLOW_TRACE_HTTP_HEADERS", "", Accepts::Headers, "headers of every request to the tracking server"),
    option("http.proxy", "MLFLOW_TRACE_HTTP_PROXY", "", Accepts::Proxy, "proxy, instead of HTTP_PROXY, HTTPS_PROXY and ALL_PROXY; direct takes none. NO_PROXY holds in any case"),
    option("tls.certificate", "MLFLOW_TRACKING_SERVER_CERT_PATH", "", Accepts::File, "PEM file with authorities to trust besides the system's; read again when it changes"),
    option("tls.client_certificate", "MLFLOW_TRACKING_CLIENT_CERT_PATH", "", Accepts::File, "PEM file with the client's certificate, and its key unless that has a file of its own"),
    option("tls.client_key", "MLFLOW_TRACE_CLIENT_KEY_PATH", "", Accepts::File, "PEM file with the key of that certificate"),
    option("tls.insecure", "MLFLOW_TRACKING_INSECURE_TLS", "false", Accepts::Flag, "true takes any certificate, so that anybody on the way can read and change what is sent"),
    option("databricks.host", "DATABRICKS_HOST", "", Accepts::Word, "Databricks workspace, for the tracking URI databricks"),
    option("databricks.token", "DATABRICKS_TOKEN", "", Accepts::Secret, "personal access token for it"),
    option("databricks.client_id", "DATABRICKS_CLIENT_ID", "", Accepts::Text, "service principal, for OAuth"),
    option("databricks.client_secret", "DATABRICKS_CLIENT_SECRET", "", Accepts::Secret, "secret of the service principal"),
    option("databricks.profile", "DATABRICKS_CONFIG_PROFILE", "", Accepts::Text, "profile of the file, where neither the tracking URI names one nor databricks.host is set; DEFAULT by default"),
    option("databricks.config_file", "DATABRICKS_CONFIG_FILE", "", Accepts::File, "file with profiles; ~/.databrickscfg by default"),
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
    option("capture_content", "MLFLOW_TRACE_CAPTURE_CONTENT", "true", Accepts::Flag, "false keeps names, ids, times, states, token usage and models, and no content"),
    option("redact.keys", "MLFLOW_TRACE_REDACT_KEYS", "", Accepts::Keys, "attributes and JSON members whose values are taken out; any case"),
    option("redact.paths", "MLFLOW_TRACE_REDACT_PATHS", "", Accepts::Paths, "places in inputs, outputs and attributes whose values are taken out"),
    option("redact.patterns", "MLFLOW_TRACE_REDACT_PATTERNS", "", Accepts::Patterns, "what is taken out of every text that it matches"),
    option("attachments.extract", "MLFLOW_TRACE_EXTRACT_ATTACHMENTS", "true", Accepts::Flag, "moves base64 content of inputs and outputs into attachments"),
    option("attachments.max_bytes", "MLFLOW_TRACE_MAX_ATTACHMENT_SIZE", "", Accepts::Integer(0, 1 << 40), "larger attachments are discarded and their span fails; 0 is no limit"),
];

/// Whether an option accepts a value; otherwise an error that names the option.
pub(crate) fn check(option: &OptionSpec, value: &str) -> Result<()> {
    let problem = match option.accepts {
        Accepts::Text | Accepts::Secret => control(value),
        Accepts::Word => (!value.bytes().all(|byte| byte.is_ascii_graphic()))
            .then(|| "has a character that is not visible ASCII".to_owned()),
        Accepts::Headers => headers::parse(value).err(),
        Accepts::Proxy => proxy::check(value),
        Accepts::Directory | Accepts::File => {
            value.contains('\0').then(|| "contains a NUL".to_owned())
        }
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
        Accepts::Endpoint => endpoint(value, true),
        Accepts::Flag => flag(value)
            .is_none()
            .then(|| format!("'{value}' is not one of true, false, 1, 0, on, off")),
        Accepts::Ratio => ratio(value)
            .is_none()
            .then(|| format!("'{value}' is not a number from 0 to 1")),
        Accepts::Keys => redact::check_keys(value),
        Accepts::Paths => redact::check_paths(value),
        Accepts::Patterns => redact::check_patterns(value),
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
pub(crate) fn flag(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "on" => Some(true),
        "false" | "0" | "off" => Some(false),
        _ => None,
    }
}

/// Whether a tracking URI stands for Databricks, and the profile that it names.
pub(crate) fn databricks(uri: &str) -> Option<Option<&str>> {
    match uri {
        "databricks" => Some(None),
        uri => uri.strip_prefix("databricks://").map(Some),
    }
}

/// From 0 to 1.
pub(crate) fn ratio(value: &str) -> Option<f64> {
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
    if let Some(profile) = databricks(value) {
        // A colon is for secrets that only Databricks' own runtime can read.
        let is_name = profile.is_none_or(|name| !name.is_empty() && !name.contains([':', '/']));
        return match is_name {
            true => control(value),
            false => Some("the name of the Databricks profile is malformed".to_owned()),
        };
    }
    endpoint(value, false)
}

/// As [`uri`], of HTTP alone.
fn endpoint(value: &str, with_query: bool) -> Option<String> {
    match Url::parse(value) {
        Err(error) => Some(format!("not a URI: {error}")),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => Some(format!(
            "scheme '{}' is not supported, only http, https and databricks",
            url.scheme()
        )),
        Ok(url) if url.host_str().is_none_or(str::is_empty) => Some("has no host".to_owned()),
        Ok(url) if url.query().is_some() && !with_query => Some("has a query".to_owned()),
        Ok(url) if url.fragment().is_some() => Some("has a fragment".to_owned()),
        Ok(_) => control(value),
    }
}
