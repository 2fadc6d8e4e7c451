//! Which collector, by the options: OpenTelemetry's "OTLP exporter configuration" (specification 1.x).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use crate::config::{Config, basic_of};
use crate::error::{Error, ErrorKind, Result};
use crate::export::http::{Auth, Endpoint, Http, TlsOptions, headers};
use crate::secret::Secrets;

/// Where collectors listen unless something else is said.
const USUAL: &str = "http://localhost:4318";
/// What comes after the general endpoint.
const TRACES: &str = "/v1/traces";
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
    pub(super) secrets: Secrets,
    /// What to add to the news that it cannot be reached.
    pub(super) hint: &'static str,
}

impl Collector {
    /// Fails with `InvalidConfig` for options that contradict each other.
    pub(super) fn new(config: &Config) -> Result<Self> {
        let url = url(config)?;
        let headers = headers_of(config)?;
        let secrets = Secrets::default();
        headers
            .values()
            .for_each(|value| add_secrets(value, &secrets));
        url.query().inspect(|query| secrets.add(query));
        let authorization = match basic_of(&url) {
            Some((user, password)) if !headers.contains_key(AUTHORIZATION) => {
                secrets.add(password.expose());
                secrets.add(&STANDARD.encode(format!("{user}:{}", password.expose())));
                Auth::Basic { user, password }
            }
            _ => Auth::None,
        };
        Ok(Collector {
            path: match url.query() {
                Some(query) => format!("{}?{query}", url.path()),
                None => url.path().to_owned(),
            },
            gzip: config.text("otlp.compression") == Some("gzip"),
            secrets,
            hint: match url.port() {
                Some(GRPC_PORT) => " (4317 is the port for gRPC; http/protobuf is usually at 4318)",
                _ => "",
            },
            http: Http::to(Endpoint {
                base: url.origin().ascii_serialization(),
                authorization,
                headers,
                tls: TlsOptions {
                    certificate: config.path("otlp.certificate"),
                    client_certificate: config.path("otlp.client_certificate"),
                    client_key: config.path("otlp.client_key"),
                    insecure: false,
                },
                timeout: Duration::from_millis(config.number("otlp.timeout_ms")),
            })?,
        })
    }
}

/// The whole URL: that for traces as it is, else the general one with the path of traces.
fn url(config: &Config) -> Result<Url> {
    let traces = config.text("otlp.traces_endpoint");
    let general = || config.text("otlp.endpoint").unwrap_or(USUAL);
    let mut url = Url::parse(traces.unwrap_or_else(general)).map_err(|error| {
        let message = format!("option 'otlp.endpoint': not a URI: {error}");
        Error::new(ErrorKind::InvalidConfig, message)
    })?;
    if traces.is_none() {
        let path = format!("{}{TRACES}", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    Ok(url)
}

fn headers_of(config: &Config) -> Result<HeaderMap> {
    let list = config.text("otlp.headers").unwrap_or_default();
    headers::parse(list).map_err(|problem| {
        let message = format!("option 'otlp.headers': {problem}");
        Error::new(ErrorKind::InvalidConfig, message)
    })
}

/// A header's value and, after the name of a scheme, the credential alone; unless it is too short to be a secret.
fn add_secrets(value: &HeaderValue, secrets: &Secrets) {
    let value = String::from_utf8_lossy(value.as_bytes());
    let credential = value.split_once(' ').map(|(_, credential)| credential);
    let parts = [Some(&value[..]), credential].into_iter().flatten();
    let long = parts.filter(|part| part.len() >= SECRET_LENGTH);
    long.for_each(|part| secrets.add(part));
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
            (
                &[(general, "http://host/otlp?key=1")],
                "/otlp/v1/traces?key=1",
            ),
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
            (
                "otlp.traces_endpoint",
                "http://me:p%40ssword@host/?key=swordfish",
            ),
        ]);
        let text = "1 Bearer hunter2 hunter2 key=swordfish p@ssword";
        // The userinfo is not used, the header is.
        assert_eq!(known.secrets.scrub(text), "1 *** *** *** p@ssword");
        let userinfo = collector(&[("otlp.endpoint", "http://me:p%40ssword@host")]);
        assert_eq!(userinfo.secrets.scrub("p@ssword"), "***");
    }
}
