//! How requests are authorised, and where a refused credential is renewed.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use tokio::time::{Instant, timeout_at};

use super::credentials;
use super::databricks::{self, Machine};
use super::reply::Failure;
use super::{Http, headers};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::plugins::ask;
use crate::secret::Secret;
use crate::token::TokenProvider;

/// How requests are authorised.
#[derive(Clone, Debug, Default)]
pub(crate) enum Auth {
    #[default]
    None,
    Basic {
        user: String,
        password: Secret,
    },
    Bearer(Secret),
    /// The first line of a file.
    TokenFile(PathBuf),
    /// `~/.mlflow/credentials`, for what the options leave open.
    Login {
        user: Option<String>,
        password: Option<Secret>,
        file: PathBuf,
    },
    Provider(Provider),
    Machine(Machine),
}

/// A [`TokenProvider`] of the host.
#[derive(Clone)]
pub(crate) struct Provider(pub(crate) Arc<dyn TokenProvider>);

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Provider")
    }
}

impl Auth {
    /// A provider wins over everything, user name and password over tokens, as in MLflow's client.
    pub(super) fn from_config(config: &Config) -> Self {
        if let Some(provider) = config.attached.tokens.clone() {
            return Auth::Provider(Provider(provider));
        }
        if let Some((user, password)) = config.basic() {
            return Auth::Basic { user, password };
        }
        let login = Auth::Login {
            user: config.username().map(str::to_owned),
            password: config.password(),
            file: credentials::mlflow_file(),
        };
        if matches!(login.read(), Ok(Auth::Basic { .. })) {
            return login;
        }
        match (config.token(), config.path("tracking_token_file")) {
            (Some(token), _) => Auth::Bearer(token),
            (None, Some(path)) => Auth::TokenFile(path),
            (None, None) => Auth::None,
        }
    }

    /// Whether asking again may give another credential.
    fn is_renewable(&self) -> bool {
        !matches!(self, Auth::None | Auth::Basic { .. } | Auth::Bearer(_))
    }

    /// The credential of now, where that takes no request; waits for files and for the host.
    fn read(&self) -> std::result::Result<Auth, String> {
        let token = |token: Secret| match token.expose().trim() {
            "" => Err("the token is empty".to_owned()),
            text => Ok(Auth::Bearer(Secret::new(text))),
        };
        match self {
            Auth::TokenFile(path) => {
                let text = std::fs::read_to_string(path).map(Secret::new);
                token(text.map_err(|error| {
                    format!(
                        "the token file '{}' cannot be read: {error}",
                        path.display()
                    )
                })?)
            }
            Auth::Provider(Provider(provider)) => match ask(|| provider.token()) {
                Some(Ok(secret)) => token(secret),
                Some(Err(error)) => Err(format!("the token provider failed: {error}")),
                None => Err("the token provider panicked".to_owned()),
            },
            Auth::Login {
                user,
                password,
                file,
            } => {
                let (its_user, its_password) = credentials::mlflow(file);
                let user = user
                    .clone()
                    .or(its_user.map(|user| user.expose().to_owned()));
                match (user, password.clone().or(its_password)) {
                    (Some(user), Some(password)) => Ok(Auth::Basic { user, password }),
                    _ => Err(format!("'{}' holds no credentials", file.display())),
                }
            }
            other => Ok(other.clone()),
        }
    }

    /// The value of the `Authorization` header; nothing for what must be read first.
    pub(super) fn header(&self, http: &Http) -> std::result::Result<Option<HeaderValue>, String> {
        let text = match self {
            Auth::Basic { user, password } => {
                let pair = Secret::new(format!("{user}:{}", password.expose()));
                let encoded = Secret::new(STANDARD.encode(pair.expose()));
                http.secrets.add(password.expose());
                http.secrets.add(encoded.expose());
                Secret::new(format!("Basic {}", encoded.expose()))
            }
            Auth::Bearer(token) => {
                http.secrets.add(token.expose());
                Secret::new(format!("Bearer {}", token.expose()))
            }
            _ => return Ok(None),
        };
        let mut value = headers::value(text.expose())
            .ok_or("the token has characters that an HTTP header cannot hold")?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// The password in the base64 of Basic authentication.
pub(super) fn password_of(pair: &str) -> Option<String> {
    let pair = String::from_utf8(STANDARD.decode(pair).ok()?).ok()?;
    pair.split_once(':')
        .map(|(_, password)| password.to_owned())
        .filter(|password| !password.is_empty())
}

/// A credential as it is sent.
#[derive(Default)]
pub(super) struct Held {
    header: Option<HeaderValue>,
    /// When it was obtained; absent before.
    since: Option<Instant>,
    /// When it is to be replaced without waiting for a refusal.
    until: Option<Instant>,
}

impl Http {
    /// Fails with `InvalidConfig` where the options hold what no header can.
    pub(super) fn check_auth(&self) -> Result<()> {
        let header = self.auth.header(self);
        header.map(drop).map_err(|problem| {
            Error::new(
                ErrorKind::InvalidConfig,
                format!("option 'tracking_token': {problem}"),
            )
        })
    }

    /// The `Authorization` header for the next request.
    pub(super) async fn authorization(
        &self,
        deadline: Instant,
    ) -> std::result::Result<Option<HeaderValue>, Failure> {
        let mut held = self.held.lock().await;
        let is_good = held.since.is_some() && held.until.is_none_or(|until| Instant::now() < until);
        if !is_good {
            *held = self.obtain(deadline).await?;
        }
        Ok(held.header.clone())
    }

    /// Another header after the server refused this one, if there is another. Of several requests that are refused at
    /// once, the first obtains it for all.
    pub(super) async fn renewed(
        &self,
        refused: Option<&HeaderValue>,
        deadline: Instant,
    ) -> Option<HeaderValue> {
        if !self.auth.is_renewable() {
            return None;
        }
        let mut held = self.held.lock().await;
        if held.header.as_ref() == refused {
            let fresh = match &self.auth {
                Auth::Machine(_) => held.since.is_some_and(databricks::is_recent),
                _ => false,
            };
            if !fresh && let Ok(obtained) = self.obtain(deadline).await {
                *held = obtained;
            }
        }
        held.header.clone().filter(|header| Some(header) != refused)
    }

    async fn obtain(&self, deadline: Instant) -> std::result::Result<Held, Failure> {
        let fail = |problem: String| Failure::passing(self.secrets.scrub(&problem));
        let (auth, until) = match &self.auth {
            Auth::Machine(machine) => {
                let (token, lifetime) = self.machine_token(machine, deadline).await?;
                (Auth::Bearer(token), Some(Instant::now() + lifetime))
            }
            auth if auth.is_renewable() => {
                let auth = auth.clone();
                // Not on this thread, which has more to do than to wait for the host or a slow disk.
                let reading = tokio::task::spawn_blocking(move || auth.read());
                let read = timeout_at(deadline, reading).await;
                let read = read.map_err(|_| fail("no token in time".to_owned()))?;
                let auth = read.unwrap_or_else(|error| Err(error.to_string()));
                (auth.map_err(fail)?, None)
            }
            auth => (auth.clone(), None),
        };
        Ok(Held {
            header: auth.header(self).map_err(fail)?,
            since: Some(Instant::now()),
            until,
        })
    }
}
