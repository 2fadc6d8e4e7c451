//! Proxies: which one leads to a server.

use hyper::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use reqwest::header::HeaderValue;
use reqwest::{Proxy, Url};

use crate::config::Config;

/// The word for no proxy, whatever the environment says.
const DIRECT: &str = "direct";

/// Where proxies are configured.
pub(crate) struct Proxies(Option<Matcher>);

impl Proxies {
    pub(super) fn none() -> Self {
        Proxies(None)
    }

    /// What `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say, in capital letters or small ones, or else the
    /// system's settings on macOS and Windows.
    fn system() -> Self {
        Proxies(Some(Matcher::from_system()))
    }

    /// What the option `http.proxy` says, or else the [system](Self::system). `NO_PROXY` holds for both.
    pub(crate) fn from_config(config: &Config) -> Self {
        match config.proxy() {
            None => Proxies::system(),
            Some(DIRECT) => Proxies::none(),
            Some(proxy) => {
                let variable = |name| std::env::var(name).ok();
                let direct = variable("NO_PROXY").or_else(|| variable("no_proxy"));
                let matcher = Matcher::builder()
                    .all(proxy.to_owned())
                    .no(direct.unwrap_or_default());
                Proxies(Some(matcher.build()))
            }
        }
    }

    /// The proxy that leads to this URL.
    pub(super) fn via(&self, url: &Url) -> Option<Via> {
        let uri: Uri = url.as_str().parse().ok()?;
        self.0.as_ref()?.intercept(&uri).map(Via)
    }
}

/// A proxy on the way to a server.
pub(super) struct Via(Intercept);

impl Via {
    pub(super) fn host(&self) -> &str {
        self.0.uri().host().unwrap_or_default()
    }

    pub(super) fn is_secure(&self) -> bool {
        self.0.uri().scheme_str() == Some("https")
    }

    /// What must not be shown.
    pub(super) fn secrets(&self) -> Vec<String> {
        let basic = self.0.basic_auth().and_then(|value| value.to_str().ok());
        let pair = basic.and_then(|value| value.strip_prefix("Basic "));
        let password = pair.and_then(super::auth::password_of);
        let raw = self.0.raw_auth().map(|(_, password)| password.to_owned());
        pair.map(str::to_owned)
            .into_iter()
            .chain(password)
            .chain(raw)
            .collect()
    }

    pub(super) fn to_proxy(&self) -> Result<Proxy, String> {
        let malformed = || "the proxy's URI cannot be used".to_owned();
        let mut url = Url::parse(&self.0.uri().to_string()).map_err(|_| malformed())?;
        if let Some((user, password)) = self.0.raw_auth() {
            let set = url
                .set_username(user)
                .and_then(|()| url.set_password(Some(password)));
            set.map_err(|()| malformed())?;
        }
        let proxy = Proxy::all(url).map_err(|_| malformed())?;
        Ok(match self.0.basic_auth() {
            Some(value) => proxy.custom_http_auth(HeaderValue::clone(value)),
            None => proxy,
        })
    }
}

/// Whether the option `http.proxy` accepts a text; never repeats it, since it may hold a password.
pub(crate) fn check(text: &str) -> Option<String> {
    if text == DIRECT {
        return None;
    }
    let schemes = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"];
    match Url::parse(text) {
        Ok(url) if schemes.contains(&url.scheme()) && url.host_str().is_some_and(|host| !host.is_empty()) => None,
        _ => Some("is neither 'direct' nor a URI with scheme http, https, socks4, socks4a, socks5 or socks5h".to_owned()),
    }
}
