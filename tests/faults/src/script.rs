//! What the sink is told to do wrong, as JSON, and when it does it.
//!
//! ```json
//! {"seed": 7, "version": "3.17.2", "token": "secret", "keep_alive_ms": 5000,
//!  "refuse_ms": 60000, "freeze_ms": 1000, "tls": "expired", "collector": false,
//!  "rules": [{"on": "spans", "do": {"status": {"code": 503}}, "ratio": 0.5, "for_ms": 60000}]}
//! ```
//!
//! A script takes the place of the one before; `{}` is a server in good health. The first rule that applies
//! to a request decides. What is random follows from the seed and the order of requests.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::ledger::TraceKey;

/// What a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// A new connection, before anything is read.
    Accept,
    /// `GET /version`.
    Version,
    /// `/api/2.0/mlflow/experiments/…`.
    Experiments,
    /// `POST /api/3.0/mlflow/traces`.
    Info,
    /// `GET /api/3.0/mlflow/traces/…`.
    Trace,
    /// `POST /v1/traces`.
    Spans,
    /// `/api/2.0/mlflow-artifacts/…`.
    Artifact,
    /// `CONNECT`, of a client that takes the sink for its proxy.
    Connect,
    /// Anything else.
    Other,
    /// In rules: any request, and no connection.
    #[default]
    Any,
}

impl Endpoint {
    pub(crate) fn of(method: &str, path: &str) -> Endpoint {
        match (method, path) {
            ("CONNECT", _) => Endpoint::Connect,
            ("GET", "/version") => Endpoint::Version,
            ("POST", "/v1/traces") => Endpoint::Spans,
            ("POST", "/api/3.0/mlflow/traces") => Endpoint::Info,
            ("GET", path) if path.starts_with("/api/3.0/mlflow/traces/") => Endpoint::Trace,
            (_, path) if path.starts_with("/api/2.0/mlflow/experiments/") => Endpoint::Experiments,
            (_, path) if path.starts_with("/api/2.0/mlflow-artifacts/") => Endpoint::Artifact,
            _ => Endpoint::Other,
        }
    }
}

/// Which certificate the sink shows, and what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// A good one for 127.0.0.1 and localhost, by the sink's own authority.
    Valid,
    /// One that ran out.
    Expired,
    /// A good one for another host.
    WrongHost,
    /// One that no authority signed.
    SelfSigned,
    /// A good one; the client has to show one as well.
    ClientCert,
    /// Answers with the alert of a server that knows only protocols that are too old.
    OldProtocol,
    /// Cuts the connection after the client's first message.
    Cut,
}

/// What happens to a request instead of its answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// This answer. Spans are stored with a 2xx only.
    Status {
        code: u16,
        #[serde(default)]
        retry_after: Option<String>,
        #[serde(default)]
        content_type: Option<String>,
        #[serde(default)]
        body: String,
    },
    /// No answer ever, until the client goes away or the script ends.
    BlackHole,
    /// The usual answer, after this time.
    Delay { ms: u64 },
    /// The usual answer, a byte at a time.
    Slow { interval_ms: u64 },
    /// The usual answer with a body, of which the second half is missing.
    Truncate,
    /// The usual answer with a body that is longer than it says.
    WrongLength,
    /// Bytes that are no HTTP at all.
    Garbage,
    /// A body in chunks of this many MiB in total.
    Endless { code: u16, megabytes: u64 },
    /// As much, compressed a thousandfold.
    Bomb { code: u16, megabytes: u64 },
    /// OTLP's partial success: all but so many spans are stored.
    PartialSuccess {
        rejected: usize,
        #[serde(default)]
        message: String,
        /// Forgets them without saying so.
        #[serde(default)]
        silent: bool,
    },
    /// Resets the connection, before the request is read or after.
    Reset {
        #[serde(default)]
        before: bool,
        /// Whether the request was carried out all the same.
        #[serde(default)]
        stored: bool,
    },
    /// The usual answer, and then the connection is closed without a word about it.
    Close,
}

impl Action {
    /// For the ledger.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Action::Status { .. } => "status",
            Action::BlackHole => "black_hole",
            Action::Delay { .. } => "delay",
            Action::Slow { .. } => "slow",
            Action::Truncate => "truncate",
            Action::WrongLength => "wrong_length",
            Action::Garbage => "garbage",
            Action::Endless { .. } => "endless",
            Action::Bomb { .. } => "bomb",
            Action::PartialSuccess { .. } => "partial_success",
            Action::Reset { .. } => "reset",
            Action::Close => "close",
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    #[serde(default)]
    on: Endpoint,
    #[serde(rename = "do")]
    action: Action,
    /// The share of the requests that it applies to.
    #[serde(default = "one")]
    ratio: f64,
    /// How often it applies at most.
    times: Option<u64>,
    /// How many of the requests that it would apply to are spared first.
    #[serde(default)]
    skip: u64,
    /// Counted from when the script was set.
    #[serde(default)]
    after_ms: u64,
    for_ms: Option<u64>,
    /// Once for the traces of a request: a second request with any of them is spared.
    #[serde(default)]
    once_per_trace: bool,
    /// To requests that contain a span of this name.
    span_name: Option<String>,
    /// To requests that contain the span with this id, in hexadecimal.
    span_id: Option<String>,
    /// To bodies of more bytes, unpacked.
    larger_than: Option<usize>,
}

fn one() -> f64 {
    1.0
}

/// A script as it was sent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Script {
    pub(crate) seed: u64,
    pub(crate) version: Option<String>,
    /// Without this Bearer token: 401.
    pub(crate) token: Option<String>,
    pub(crate) keep_alive_ms: Option<u64>,
    pub(crate) refuse_ms: Option<u64>,
    pub(crate) freeze_ms: Option<u64>,
    pub(crate) tls: Option<Tls>,
    /// A collector rather than an MLflow server: spans need no experiment.
    pub(crate) collector: bool,
    pub(crate) rules: Vec<Rule>,
}

/// What a rule may look at.
#[derive(Default)]
pub(crate) struct Case<'a> {
    pub(crate) bytes: usize,
    pub(crate) traces: &'a [TraceKey],
    /// Whether a span with this name is in the request.
    pub(crate) has_name: Option<&'a dyn Fn(&str) -> bool>,
    /// Whether the span with this id is in the request.
    pub(crate) has_id: Option<&'a dyn Fn(&str) -> bool>,
}

#[derive(Default)]
struct Memory {
    matched: u64,
    applied: u64,
    random: u64,
    seen: HashSet<TraceKey>,
}

/// A script at work.
pub(crate) struct Play {
    pub(crate) script: Script,
    began: Instant,
    memory: Mutex<Vec<Memory>>,
}

impl Play {
    pub(crate) fn new(script: Script) -> Self {
        let memory = (0..script.rules.len() as u64).map(|index| Memory {
            random: script.seed ^ (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            ..Memory::default()
        });
        Play {
            memory: Mutex::new(memory.collect()),
            script,
            began: Instant::now(),
        }
    }

    /// Whether any rule looks into requests of spans.
    pub(crate) fn is_idle(&self) -> bool {
        self.script.rules.is_empty()
    }

    /// What happens to a new connection.
    pub(crate) fn on_accept(&self) -> Option<Action> {
        self.find(Endpoint::Accept, &Case::default(), |_| true)
    }

    /// What happens before the body of a request is read.
    pub(crate) fn before_body(&self, endpoint: Endpoint) -> Option<Action> {
        self.find(endpoint, &Case::default(), |action| {
            matches!(action, Action::Reset { before: true, .. })
        })
    }

    /// What happens to a request.
    pub(crate) fn on_request(&self, endpoint: Endpoint, case: &Case<'_>) -> Option<Action> {
        self.find(endpoint, case, |action| {
            !matches!(action, Action::Reset { before: true, .. })
        })
    }

    fn find(
        &self,
        endpoint: Endpoint,
        case: &Case<'_>,
        wanted: impl Fn(&Action) -> bool,
    ) -> Option<Action> {
        if self.is_idle() {
            return None;
        }
        let age = self.began.elapsed();
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = self.script.rules.iter().zip(memory.iter_mut());
        for (rule, memory) in pairs {
            let meant =
                rule.on == endpoint || rule.on == Endpoint::Any && endpoint != Endpoint::Accept;
            if meant && wanted(&rule.action) && rule.applies(memory, age, case) {
                return Some(rule.action.clone());
            }
        }
        None
    }
}

impl Rule {
    fn applies(&self, memory: &mut Memory, age: Duration, case: &Case<'_>) -> bool {
        let since = Duration::from_millis(self.after_ms);
        let over = self
            .for_ms
            .is_some_and(|length| age >= since + Duration::from_millis(length));
        let has = |wanted: &Option<String>, look: Option<&dyn Fn(&str) -> bool>| match wanted {
            Some(wanted) => look.is_some_and(|look| look(wanted)),
            None => true,
        };
        if age < since
            || over
            || self.times.is_some_and(|times| memory.applied >= times)
            || self.larger_than.is_some_and(|limit| case.bytes <= limit)
            || !has(&self.span_name, case.has_name)
            || !has(&self.span_id, case.has_id)
        {
            return false;
        }
        if self.once_per_trace {
            let seen = case.traces.iter().any(|id| memory.seen.contains(id));
            memory.seen.extend(case.traces);
            if seen {
                return false;
            }
        }
        memory.matched += 1;
        if memory.matched <= self.skip || self.ratio < 1.0 && memory.draw() >= self.ratio {
            return false;
        }
        memory.applied += 1;
        true
    }
}

impl Memory {
    /// SplitMix64, as a fraction.
    fn draw(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn play(script: serde_json::Value) -> Play {
        Play::new(serde_json::from_value(script).unwrap())
    }

    fn hits(play: &Play, requests: usize) -> Vec<bool> {
        (0..requests)
            .map(|_| play.on_request(Endpoint::Spans, &Case::default()).is_some())
            .collect()
    }

    #[test]
    fn the_seed_decides() {
        let script = |seed: u64| {
            play(json!({"seed": seed, "rules": [
                {"on": "spans", "do": {"status": {"code": 503}}, "ratio": 0.5}]}))
        };
        let first = hits(&script(1), 1000);
        assert_eq!(first, hits(&script(1), 1000));
        assert_ne!(first, hits(&script(2), 1000));
        let share = first.iter().filter(|hit| **hit).count();
        assert!((400..600).contains(&share), "{share}");
    }

    #[test]
    fn skips_and_times() {
        let play =
            play(json!({"rules": [{"do": "black_hole", "skip": 1, "times": 2, "on": "spans"}]}));
        assert_eq!(hits(&play, 4), [false, true, true, false]);
        assert!(play.on_accept().is_none());
    }

    #[test]
    fn a_trace_is_met_once() {
        let play = play(json!({"rules": [{"do": "black_hole", "once_per_trace": true}]}));
        let met = |traces: &[TraceKey]| {
            let case = Case {
                traces,
                ..Case::default()
            };
            play.on_request(Endpoint::Info, &case).is_some()
        };
        assert!(met(&[[1; 16]]));
        assert!(!met(&[[1; 16]]));
        assert!(met(&[[2; 16]]));
    }

    #[test]
    fn a_mistake_in_a_script_is_an_error() {
        for wrong in [
            json!({"rulez": []}),
            json!({"rules": [{"do": "explode"}]}),
            json!({"rules": [{"do": "close", "on": "spanz"}]}),
            json!({"rules": [{"do": "close", "ratios": 1}]}),
        ] {
            assert!(serde_json::from_value::<Script>(wrong).is_err());
        }
    }
}
