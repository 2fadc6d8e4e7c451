//! How delivery goes, for hosts that want to know.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::lock::Mutex;

/// Why something was not delivered at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryError {
    /// As a stable word: `unreachable` (no reply), `unavailable` (HTTP 408, 425, 429, 502, 503, 504),
    /// `server_error` (500), `unauthorized` (401, 403), `rejected` (refused for good), `exporter` (of the host), `file`.
    pub class: &'static str,
    /// The text, for people; without credentials.
    pub message: String,
    /// When it happened.
    pub time: SystemTime,
}

/// How the delivery of a tracer goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// `closed` while all is well, `open` while the destination is away and one request at a time asks whether it is
    /// back, `parked` while it takes nothing because of the credentials.
    pub circuit: &'static str,
    /// When the destination last took something.
    pub last_success: Option<SystemTime>,
    /// What last went wrong, even if all has been well since.
    pub last_error: Option<DeliveryError>,
    /// Spans open, waiting or on their way.
    pub pending: u64,
    /// Spans given up, by reason; every reason is listed.
    pub dropped: Vec<(&'static str, u64)>,
}

/// Of a tracer that has sent nothing.
impl Default for Health {
    fn default() -> Self {
        Health {
            circuit: "closed",
            last_success: None,
            last_error: None,
            pending: 0,
            dropped: Vec::new(),
        }
    }
}

impl Health {
    /// `{"circuit": word, "last_success_ms": n or null, "last_error": {"class": word, "message": text, "time_ms": n} or
    /// null, "pending": n, "dropped": {reason: n}}`; times in milliseconds since the Unix epoch.
    pub fn to_json(&self) -> String {
        let dropped: serde_json::Map<String, serde_json::Value> = self
            .dropped
            .iter()
            .map(|(reason, spans)| ((*reason).to_owned(), (*spans).into()))
            .collect();
        let error = self.last_error.as_ref().map(|error| {
            serde_json::json!({
                "class": error.class,
                "message": error.message,
                "time_ms": millis(error.time),
            })
        });
        serde_json::json!({
            "circuit": self.circuit,
            "last_success_ms": self.last_success.map(millis),
            "last_error": error,
            "pending": self.pending,
            "dropped": dropped,
        })
        .to_string()
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What the exporter thread notes.
#[derive(Default)]
pub(crate) struct Monitor(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    /// Traces have had to wait since the last good news.
    is_away: bool,
    health: Health,
}

impl Monitor {
    /// Something was taken; whether that is news, as far as `all` is well now.
    pub(crate) fn succeeded(&self, all: bool) -> bool {
        let mut noted = self.0.lock();
        noted.health.last_success = Some(SystemTime::now());
        all && std::mem::take(&mut noted.is_away)
    }

    /// Something went wrong; what `delays` other traces as well makes the destination one that is away.
    pub(crate) fn failed(&self, class: &'static str, message: &str, delays: bool) {
        let mut noted = self.0.lock();
        noted.is_away |= delays;
        noted.health.last_error = Some(DeliveryError {
            class,
            message: message.to_owned(),
            time: SystemTime::now(),
        });
    }

    /// Whether traces have to wait.
    pub(crate) fn is_away(&self) -> bool {
        self.0.lock().is_away
    }

    pub(crate) fn circuit(&self, name: &'static str) {
        self.0.lock().health.circuit = name;
    }

    /// A reading, without counts.
    pub(crate) fn read(&self) -> Health {
        self.0.lock().health.clone()
    }
}
