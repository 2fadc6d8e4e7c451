//! What servers of different versions take, and how that is learnt.

use std::time::{Duration, Instant};

use super::{MlflowExporter, Stop};
use crate::export::http::{Failure, Http, Request};

/// How often a server is asked again: it may have been upgraded, or got a database.
const AGAIN_AFTER: Duration = Duration::from_secs(3600);

/// What the server's version implies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) sequence: Sequence,
    pub(super) gzip: bool,
    /// Whether JSON text is read as the objects and arrays that it holds.
    pub(super) reads_json: bool,
    /// Whether content is moved out of spans. It stays for older servers, whose readers expect it there.
    pub(super) attachments: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sequence {
    InfoThenSpans,
    SpansThenInfo,
    InfoThenArtifact,
    /// No information: the root carries what there is place for.
    SpansOnly,
}

impl Sequence {
    /// Whether spans are taken by themselves, before their trace has ended.
    pub(super) fn takes_parts(self) -> bool {
        self != Sequence::InfoThenArtifact
    }
}

/// What is known of the server, and since when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// Absent for one that does not know this protocol.
    server: Option<Server>,
    asked: Instant,
}

impl Server {
    /// `None` for servers before 3.2, which do not know this protocol. A version that cannot be read
    /// is taken for a new one: what it lacks shows in its replies.
    fn from_version(version: &str, spans_only: bool) -> Option<Self> {
        let mut parts = version
            .trim()
            .split('.')
            .map(|part| part.parse::<u32>().ok());
        let version = match (parts.next().flatten(), parts.next().flatten()) {
            (Some(major), Some(minor)) => (major, minor),
            _ => (u32::MAX, 0),
        };
        let sequence = match version {
            (..=2, _) | (3, ..=1) => return None,
            (3, ..=5) => Sequence::InfoThenArtifact,
            (3, ..=11) => Sequence::SpansThenInfo,
            _ if spans_only && version >= (3, 13) => Sequence::SpansOnly,
            _ => Sequence::InfoThenSpans,
        };
        Some(Server {
            sequence,
            gzip: version >= (3, 7),
            reads_json: version >= (3, 11),
            attachments: version >= (3, 12),
        })
    }
}

impl MlflowExporter {
    /// What the server takes, asked once in a while.
    pub(super) async fn learn(&self, http: &Http) -> Result<Option<Server>, Stop> {
        let known = self.known.get();
        if let Some(known) = known {
            if known.asked.elapsed() < AGAIN_AFTER {
                return Ok(known.server);
            }
            // Others go on with what is known.
            self.note_server(known.server);
        }
        let version = match http.send(Request::get("/version")).await {
            Ok(body) => String::from_utf8_lossy(&body).into_owned(),
            Err(Failure::Refused { .. }) => String::new(),
            Err(failure) => {
                return match known {
                    Some(known) => Ok(known.server),
                    None => Err(self.stop(&failure)),
                };
            }
        };
        let server = Server::from_version(&version, self.shared.config.spans_only());
        self.note_server(server);
        Ok(server)
    }

    fn note_server(&self, server: Option<Server>) {
        self.known.set(Some(Known {
            server,
            asked: Instant::now(),
        }));
    }

    /// It takes no spans, whatever its version says: from now on they go into artifacts.
    pub(super) fn without_spans(&self) -> Stop {
        if let Some(server) = self.known.get().and_then(|known| known.server) {
            self.note_server(Some(Server {
                sequence: Sequence::InfoThenArtifact,
                ..server
            }));
        }
        Stop::Anew
    }

    /// As if what is known had been learnt long ago.
    #[cfg(test)]
    pub(super) fn forget_server(&self) {
        let old = Instant::now().checked_sub(AGAIN_AFTER);
        self.known.set(
            self.known
                .get()
                .zip(old)
                .map(|(known, asked)| Known { asked, ..known }),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(version: &str) -> Option<Server> {
        Server::from_version(version, false)
    }

    #[test]
    fn content_stays_in_the_spans_for_older_servers() {
        let moves = |version| server(version).map(|server| server.attachments);
        assert_eq!(moves("3.11.1"), Some(false));
        assert_eq!(moves("3.12.0"), Some(true));
    }

    #[test]
    fn sequences_by_version() {
        for (version, full, spans_only) in [
            ("2.22.0", None, None),
            ("3.1.4", None, None),
            (
                "3.2.0",
                Some(Sequence::InfoThenArtifact),
                Some(Sequence::InfoThenArtifact),
            ),
            (
                "3.4.0",
                Some(Sequence::InfoThenArtifact),
                Some(Sequence::InfoThenArtifact),
            ),
            (
                "3.6.0",
                Some(Sequence::SpansThenInfo),
                Some(Sequence::SpansThenInfo),
            ),
            (
                "3.11.1",
                Some(Sequence::SpansThenInfo),
                Some(Sequence::SpansThenInfo),
            ),
            (
                "3.12.0",
                Some(Sequence::InfoThenSpans),
                Some(Sequence::InfoThenSpans),
            ),
            (
                "3.13.0",
                Some(Sequence::InfoThenSpans),
                Some(Sequence::SpansOnly),
            ),
            (
                "3.17.2.dev0",
                Some(Sequence::InfoThenSpans),
                Some(Sequence::SpansOnly),
            ),
            (
                "not a version",
                Some(Sequence::InfoThenSpans),
                Some(Sequence::SpansOnly),
            ),
        ] {
            let sequence = |spans_only| {
                Server::from_version(version, spans_only).map(|server| server.sequence)
            };
            assert_eq!(
                (sequence(false), sequence(true)),
                (full, spans_only),
                "{version}"
            );
        }
    }

    #[test]
    fn json_text_is_for_those_that_read_it() {
        let reads = |version| server(version).map(|server| server.reads_json);
        assert_eq!(reads("3.10.1"), Some(false));
        assert_eq!(reads("3.11.0"), Some(true));
    }

    #[test]
    fn compression_by_version() {
        assert_eq!(server("3.6.0").map(|server| server.gzip), Some(false));
        assert_eq!(server("3.7.0").map(|server| server.gzip), Some(true));
    }
}
