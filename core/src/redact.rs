//! Takes content out of ended spans before anything is queued: all of it, or what rules name.
//!
//! Everything fails closed. A message that is no protobuf, a value that no rule can be applied to and
//! even a panic in here leave [`FAILED`] where the content was. `docs/redaction.md` has the rules.
//!
//! A redactor may be used by a fork's child: the pool in which `regex` keeps its scratch space never
//! waits for a lock.

mod keys;
mod message;
mod paths;
mod patterns;
mod skeleton;
mod span;
mod text;
mod update;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::config::Config;
use crate::trace::{TraceState, TraceUpdate};

use keys::Keys;
use paths::Paths;
use patterns::Patterns;
use span::Pass;

pub(crate) use keys::check as check_keys;
pub(crate) use paths::check as check_paths;
pub(crate) use patterns::check as check_patterns;

/// Stands where a rule took something out.
pub(crate) const REDACTED: &str = "[redacted]";
/// Stands where a rule could not be applied.
pub(crate) const FAILED: &str = "[redaction failed]";

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Whether more than the rules ask for had to go; to be counted.
    pub(crate) failed: bool,
}

/// The rules of one tracer.
pub(crate) struct Redactor {
    captures_content: bool,
    rules: Option<Rules>,
}

/// At least one of them asks for something.
struct Rules {
    keys: Option<Keys>,
    paths: Paths,
    patterns: Option<Patterns>,
}

impl Rules {
    fn of(config: &Config) -> Result<Option<Rules>, String> {
        let rules = Rules {
            keys: Keys::parse(option(config, "redact.keys"))?,
            paths: Paths::parse(option(config, "redact.paths"))?,
            patterns: Patterns::parse(option(config, "redact.patterns"))?,
        };
        let idle = rules.keys.is_none() && rules.paths.is_empty() && rules.patterns.is_none();
        Ok((!idle).then_some(rules))
    }
}

fn option<'a>(config: &'a Config, key: &str) -> &'a str {
    config.get(key).unwrap_or_default()
}

impl Redactor {
    /// `None` when the configuration asks for nothing.
    pub(crate) fn from_config(config: &Config) -> Option<Redactor> {
        let redactor = match Rules::of(config) {
            Ok(rules) => Redactor {
                captures_content: config.captures_content(),
                rules,
            },
            // `Config::set` accepts only what can be read here; if it ever did not, nothing may get out.
            Err(_) => Redactor {
                captures_content: false,
                rules: None,
            },
        };
        let idle = redactor.captures_content && redactor.rules.is_none();
        (!idle).then_some(redactor)
    }

    /// Redacts a whole OTLP `Span` message.
    pub(crate) fn span(&self, message: &mut Vec<u8>) -> Outcome {
        let redacted = catch_unwind(AssertUnwindSafe(|| self.redacted(message)));
        let Ok(Ok((replacement, failed))) = redacted else {
            *message = skeleton::bare(message);
            return Outcome { failed: true };
        };
        if let Some(replacement) = replacement {
            *message = replacement;
        }
        Outcome { failed }
    }

    fn redacted(&self, message: &[u8]) -> Result<(Option<Vec<u8>>, bool), message::Malformed> {
        let kept = match self.captures_content {
            true => None,
            false => Some(skeleton::without_content(message)?),
        };
        let Some(rules) = &self.rules else {
            return Ok((kept, false));
        };
        let mut pass = Pass::new(rules);
        let replacement = pass.span(kept.as_deref().unwrap_or(message))?;
        Ok((replacement.or(kept), pass.failed()))
    }

    /// Redacts what the user set of a trace.
    pub(crate) fn update(&self, update: &mut TraceUpdate) -> Outcome {
        let state: Option<TraceState> = update.state;
        let redacted = catch_unwind(AssertUnwindSafe(|| {
            if !self.captures_content {
                update::drop_content(update);
            }
            let Some(rules) = &self.rules else {
                return false;
            };
            let mut pass = Pass::new(rules);
            pass.update(update);
            pass.failed()
        }));
        let failed = redacted.unwrap_or_else(|_| {
            *update = TraceUpdate {
                state,
                ..TraceUpdate::default()
            };
            true
        });
        Outcome { failed }
    }

    /// Takes all content out of a `Span` message, for when a user's own redaction failed.
    ///
    /// Ids, names, times, type, log level, status code and token usage stay; what else there is of
    /// attributes, of events and links and of the status message becomes [`FAILED`].
    pub(crate) fn fail_closed(message: &mut Vec<u8>) {
        let closed = catch_unwind(AssertUnwindSafe(|| skeleton::failed(message)));
        *message = match closed {
            Ok(Ok(closed)) => closed,
            _ => skeleton::bare(message),
        };
    }
}

#[cfg(test)]
mod tests;
