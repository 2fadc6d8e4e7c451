//! Which collector, by the options: OpenTelemetry's "OTLP exporter configuration" (specification 1.x).

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use crate::config::{Config, basic_of};
use crate::error::{Error, ErrorKind, Result};
use crate::export::http::{Endpoint, Http, basic};
use crate::export::tls::TlsOptions;
use crate::options;

/// Where collectors listen unless something else is said.
const USUAL: &str = "http://localhost:4318";
const PATH: &str = "/v1/traces";
/// The port for gRPC, which answers nothing that is of use here.
const GRPC_PORT: u16 = 4317;
/// Header values shorter than this are no secrets.
const SECRET_LENGTH: usize = 6;

/// A connection to a collector.
pub(super) struct Collector {
    pub(super) http: Http,
    /// Path and query that take traces.
    pub(super) path: String,
    pub(super) gzip: bool,
    /// What must not be repeated, though the collector may say it.
    pub(super) secrets: Vec<String>,
    /// What to add to the news that it cannot be reached.
    pub(super) hint: &'static str,
}

impl Collector {
    /// Fails with `InvalidConfig` when TLS cannot be set up.
    pub(super) fn new(config: &Config) -> Result<Self> {
        let url = url(config)?;
        let headers = headers(config)?;
        let authorization = match basic_of(&url) {
            Some((user, password)) if !headers.contains_key(AUTHORIZATION) => {
                Some(basic(&user, &password)?)
            }
            _ => None,
        };
        let secrets = headers.values().chain(&authorization).flat_map(secrets);
        let file = |key: &str| config.text(key).map(PathBuf::from);
        Ok(Collector {
            path: match url.query() {
                Some(query) => format!("{}?{query}", url.path()),
                None => url.path().to_owned(),
            },
            gzip: config.text("otlp.compression") == Some("gzip"),
            secrets: secrets.chain(url.query().map(str::to_owned)).collect(),
            hint: match url.port() {
                Some(GRPC_PORT) => " (4317 is the port for gRPC; http/protobuf is usually at 4318)",
                _ => "",
            },
            http: Http::to(Endpoint {
                base: url.origin().ascii_serialization(),
                authorization,
                headers,
                tls: TlsOptions {
                    certificate: file("otlp.certificate"),
                    client_certificate: file("otlp.client_certificate"),
                    client_key: file("otlp.client_key"),
                },
                timeout: Duration::from_millis(config.number("otlp.timeout_ms")),
            })?,
        })
    }
}

/// The whole URL: that for traces as it is, else the general one with the path of traces.
fn url(config: &Config) -> Result<Url> {
    let text = match config.text("otlp.traces_endpoint") {
        Some(endpoint) => endpoint.to_owned(),
        None => {
            let base = config.text("otlp.endpoint").unwrap_or(USUAL);
            format!("{}{PATH}", base.trim_end_matches('/'))
        }
    };
    Url::parse(&text).map_err(|error| {
        let message = format!("option 'otlp.endpoint': not a URI: {error}");
        Error::new(ErrorKind::InvalidConfig, message)
    })
}

fn headers(config: &Config) -> Result<HeaderMap> {
    let list = config.text("otlp.headers").unwrap_or_default();
    options::headers(list).map_err(|problem| {
        let message = format!("option 'otlp.headers': {problem}");
        Error::new(ErrorKind::InvalidConfig, message)
    })
}

/// A header's value and, after the name of a scheme, the credential alone; unless it is too short to be a secret.
fn secrets(value: &HeaderValue) -> Vec<String> {
    let value = String::from_utf8_lossy(value.as_bytes());
    let credential = value.split_once(' ').map(|(_, credential)| credential);
    let parts = [Some(&value[..]), credential].into_iter().flatten();
    let long = parts.filter(|part| part.len() >= SECRET_LENGTH);
    long.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collector(options: &[(&str, &str)]) -> Collector {
        let mut config = Config::new();
        for (key, value) in options {
            config.set(key, value).unwrap();
        }
        Collector::new(&config).unwrap()
    }

    #[test]
    fn paths() {
        let traces = "otlp.traces_endpoint";
        let general = "otlp.endpoint";
        for (options, path) in [
            (&[][..], "/v1/traces"),
            (&[(general, "http://host")], "/v1/traces"),
            (&[(general, "http://host:4318/")], "/v1/traces"),
            (&[(general, "http://host/otlp/")], "/otlp/v1/traces"),
            (&[(traces, "http://host")], "/"),
            (&[(traces, "http://host/own/?key=1")], "/own/?key=1"),
            (
                &[(traces, "http://host/own"), (general, "http://other")],
                "/own",
            ),
        ] {
            assert_eq!(collector(options).path, path, "{options:?}");
        }
    }

    #[test]
    fn the_port_for_grpc_is_noticed() {
        assert!(
            collector(&[("otlp.endpoint", "http://host:4317")])
                .hint
                .contains("4318")
        );
        assert_eq!(collector(&[("otlp.endpoint", "http://host:4318")]).hint, "");
    }

    #[test]
    fn secrets_are_known_in_all_their_forms() {
        let known = collector(&[
            ("otlp.headers", "authorization=Bearer%20hunter2,x=1"),
            ("otlp.traces_endpoint", "http://host/?key=swordfish"),
        ]);
        let expected = ["Bearer hunter2", "hunter2", "key=swordfish"];
        assert_eq!(known.secrets, expected);
        let userinfo = collector(&[("otlp.endpoint", "http://me:p%40ssword@host")]);
        assert!(userinfo.secrets.contains(&"bWU6cEBzc3dvcmQ=".to_owned()));
    }

    #[test]
    fn files_that_cannot_be_read_are_named() {
        let mut config = Config::new();
        config.set("otlp.endpoint", "https://host").unwrap();
        config.set("otlp.certificate", "/no/such.pem").unwrap();
        let error = Collector::new(&config).err().unwrap();
        assert!(error.message().contains("/no/such.pem"), "{error}");
    }
}
