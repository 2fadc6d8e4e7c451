//! Which collector, by the options: OpenTelemetry's "OTLP exporter configuration" (specification 1.x).

use std::time::Duration;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap};

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::export::http::{Auth, Endpoint, Http, Proxies, TlsOptions, headers};
use crate::uri::basic_of;

/// Where collectors listen unless something else is said.
const USUAL: &str = "http://localhost:4318";
/// What comes after the general endpoint.
const TRACES: &str = "/v1/traces";
/// The port for gRPC, which answers nothing that is of use here.
const GRPC_PORT: u16 = 4317;

/// A connection to a collector.
pub(super) struct Collector {
    pub(super) http: Http,
    /// Path and query that take traces.
    pub(super) path: String,
    pub(super) gzip: bool,
    /// What to add to the news that it cannot be reached.
    pub(super) hint: &'static str,
}

impl Collector {
    /// Fails with `InvalidConfig` for options that contradict each other.
    pub(super) fn new(config: &Config) -> Result<Self> {
        let url = url(config)?;
        let headers = headers_of(config)?;
        let authorization = match basic_of(&url) {
            Some((user, password)) if !headers.contains_key(AUTHORIZATION) => {
                Auth::Basic { user, password }
            }
            _ => Auth::None,
        };
        let http = Http::to(Endpoint {
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
            // Copies of dual export are not on disk.
            spools: config.spools() && config.exporter() == "otlp",
            proxies: Proxies::from_config(config),
        })?;
        // Keys of collectors travel in it, and collectors repeat what they refuse.
        if let Some(query) = url.query() {
            let raw = query.split('&').filter_map(|pair| pair.split_once('='));
            let values = raw.map(|(_, value)| value.to_owned());
            let plain = url.query_pairs().map(|(_, value)| value.into_owned());
            for value in values.chain(plain) {
                http.secrets().add_if_long(&value);
            }
            http.secrets().add(query);
        }
        Ok(Collector {
            path: match url.query() {
                Some(query) => format!("{}?{query}", url.path()),
                None => url.path().to_owned(),
            },
            gzip: config.text("otlp.compression") == Some("gzip"),
            hint: match url.port() {
                Some(GRPC_PORT) => " (4317 is the port for gRPC; http/protobuf is usually at 4318)",
                _ => "",
            },
            http,
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
}
