//! Databricks workspaces: which one, and by which credentials.
//!
//! Settings and files are those of Databricks' SDKs ("unified authentication"); of its ways to authenticate, personal access
//! tokens, user name with password, and OAuth for machines are understood.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Method, Url};
use serde_json::Value;
use tokio::time::Instant;

use super::auth::{Auth, Provider};
use super::credentials::{Ini, at_home};
use super::reply::{Failure, UNAUTHORIZED_WAIT};
use super::{Http, Request};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// Where a workspace gives tokens to machines (OAuth 2.0 client credentials, RFC 6749 section 4.4).
const TOKEN_PATH: &str = "/oidc/v1/token";
const GRANT: &[u8] = b"grant_type=client_credentials&scope=all-apis";
/// A token is replaced so long before it expires, or a tenth of its life where that is shorter.
const AHEAD: Duration = Duration::from_secs(60);
/// What a token lives whose reply does not say so.
const LIFETIME: Duration = Duration::from_secs(3600);
/// A token younger than this is not replaced because it was refused: another one would be as well.
const RECENT: Duration = Duration::from_secs(30);

/// A service principal.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    client_id: String,
    client_secret: Secret,
}

pub(super) fn is_recent(since: Instant) -> bool {
    since.elapsed() < RECENT
}

/// What is known of a workspace, from one place: a token never goes to a host that is configured elsewhere.
struct Known {
    place: String,
    base: Option<String>,
    auth: Option<Auth>,
}

impl Known {
    fn read(place: String, get: impl Fn(&str) -> Option<Secret>) -> Self {
        let text = |key| get(key).map(|value: Secret| value.expose().to_owned());
        let auth = if let Some(token) = get("token") {
            Some(Auth::Bearer(token))
        } else if let (Some(user), Some(password)) = (text("username"), get("password")) {
            Some(Auth::Basic { user, password })
        } else if let (Some(client_id), Some(client_secret)) =
            (text("client_id"), get("client_secret"))
        {
            Some(Auth::Machine(Machine {
                client_id,
                client_secret,
            }))
        } else {
            None
        };
        Known {
            place,
            base: text("host").and_then(|host| base_of(&host)),
            auth,
        }
    }
}

/// The base URL and the credentials of a workspace: of the profile that the tracking URI names, or else of the options
/// if they name a host, or else of the profile that they name, which is `DEFAULT` if they do not.
pub(super) fn resolve(config: &Config, profile: Option<&str>) -> Result<(String, Auth)> {
    let fault = |problem| Error::new(ErrorKind::InvalidConfig, problem);
    let option = |key: &str| config.secret(&format!("databricks.{key}"));
    let known = match profile {
        None if option("host").is_some() => {
            // These have no user name and password.
            let keys = ["host", "token", "client_id", "client_secret"];
            let place = "the options 'databricks.*'".to_owned();
            Known::read(place, |key| {
                keys.contains(&key).then(|| option(key)).flatten()
            })
        }
        _ => {
            let chosen = option("profile");
            let chosen = chosen.as_ref().map(Secret::expose);
            let name = profile.or(chosen).unwrap_or("DEFAULT");
            let path = file(config);
            let place = format!("profile '{name}' of '{}'", path.display());
            let ini = Ini::read(&path);
            if !ini.has(name) {
                return Err(fault(format!("there is no {place}")));
            }
            Known::read(place, |key| ini.get(name, key).cloned())
        }
    };
    let Known { place, base, auth } = known;
    let base = base.ok_or_else(|| fault(format!("{place}: no host of a Databricks workspace")))?;
    let given = config.attached.tokens.clone();
    let auth = given
        .map(|tokens| Auth::Provider(Provider(tokens)))
        .or(auth)
        .ok_or_else(|| {
            fault(format!(
                "{place}: neither a token nor a client id with its secret"
            ))
        })?;
    Ok((base, auth))
}

/// The file with profiles.
fn file(config: &Config) -> PathBuf {
    let path = config.path("databricks.config_file");
    let path = path.unwrap_or_else(|| PathBuf::from("~/.databrickscfg"));
    match path.strip_prefix("~") {
        Ok(rest) => at_home(rest),
        Err(_) => path,
    }
}

/// `https://` unless the host says otherwise, and nothing after the port.
fn base_of(host: &str) -> Option<String> {
    let url = match host.contains("://") {
        true => Url::parse(host),
        false => Url::parse(&format!("https://{host}")),
    };
    let url = url.ok()?;
    let plain = matches!(url.scheme(), "http" | "https") && url.username().is_empty();
    plain.then(|| url.origin().ascii_serialization())
}

impl Http {
    /// A token for a service principal, and how long it is to be used.
    pub(super) async fn machine_token(
        &self,
        machine: &Machine,
        deadline: Instant,
    ) -> std::result::Result<(Secret, Duration), Failure> {
        let Machine {
            client_id,
            client_secret,
        } = machine;
        self.secrets.add(client_secret.expose());
        let basic = Auth::Basic {
            user: client_id.clone(),
            password: client_secret.clone(),
        };
        let request = Request {
            method: Method::POST,
            content_type: "application/x-www-form-urlencoded",
            body: GRANT.into(),
            ..Request::get(TOKEN_PATH)
        };
        let header = basic.header(self).map_err(Failure::passing)?;
        let reply = self.perform(&self.call(request, header, deadline)?).await?;
        let json: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
        match json["access_token"].as_str() {
            Some(token) if reply.status.is_success() && !token.is_empty() => {
                let lifetime = json["expires_in"].as_u64().map(Duration::from_secs);
                let lifetime = lifetime.unwrap_or(LIFETIME);
                let ahead = AHEAD.min(lifetime / 10);
                Ok((Secret::new(token), lifetime - ahead))
            }
            // 400 is the answer to a wrong secret, which may be put right like one that is refused with 401.
            _ => Err(Failure::Retry {
                status: 401,
                after: Some(UNAUTHORIZED_WAIT),
                message: format!(
                    "{}{TOKEN_PATH}: HTTP {}, no token for the client id",
                    self.base,
                    reply.status.as_u16()
                ),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_in_every_form() {
        for (host, base) in [
            (
                "https://adb-1.azuredatabricks.net/",
                Some("https://adb-1.azuredatabricks.net"),
            ),
            (
                "adb-1.azuredatabricks.net",
                Some("https://adb-1.azuredatabricks.net"),
            ),
            ("https://h:8443/?o=123#x", Some("https://h:8443")),
            ("http://127.0.0.1:5000", Some("http://127.0.0.1:5000")),
            ("ftp://h", None),
            ("https://me:pw@h", None),
            ("https://", None),
        ] {
            assert_eq!(base_of(host).as_deref(), base, "{host}");
        }
    }
}
