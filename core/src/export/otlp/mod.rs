//! Exports to any OpenTelemetry collector: OTLP/HTTP with protobuf (OTLP 1.x).
//!
//! One request carries the spans of many traces. A refused one is halved until what is to blame is alone: first
//! between traces, then between the spans of one. `docs/otlp.md` tells users.

mod endpoint;
mod load;
mod outgoing;
mod reply;
mod semconv;

#[cfg(fuzzing)]
pub(crate) use reply::rejected;

use std::cell::Cell;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use once_cell::unsync::OnceCell;
use reqwest::Method;

use super::gzip::compress;
use super::http::Request;
use super::{Exporter, Verdict, keep_inline, limit_attachments};
use crate::error::Result;
use crate::mlflow::guard;
use crate::otel::SCOPE_NAME;
use crate::otlp::{self, wire};
use crate::pipeline::stats::{Counters, Drop};
use crate::shared::Shared;
use crate::trace::Finished;
use endpoint::Collector;
use load::{Load, Spans, Traces};
use reply::{Answer, scrub};

/// The fewest bytes to which requests are limited, whatever the collector finds too long.
const SMALLEST: usize = 16 * 1024;
/// How many requests of a batch may be refused in a row, from its first on, and still be halved: a collector that takes
/// nothing at all must not be asked about every span.
const REFUSALS: u32 = 32;
/// The same for server errors, which rarely come from what was sent.
const SERVER_ERRORS: u32 = 1;

pub(super) struct OtlpExporter {
    shared: Arc<Shared>,
    /// Made on first use, and tried again while that fails: a file may be about to come.
    collector: OnceCell<Collector>,
    /// The fields of our `InstrumentationScope`.
    scope: Vec<u8>,
    /// Whether the collector gets attributes of the GenAI semantic conventions instead of MLflow's.
    genai: bool,
    /// Bytes of spans that a request should have: fewer after the collector found one too long.
    limit: Cell<usize>,
    /// Room for the next trace to be written anew: what the last one leaves.
    emptied: Cell<Vec<u8>>,
}

/// The collector takes nothing now; what is left is offered again, as this says.
struct Later(Verdict);

type Sent<T> = std::result::Result<T, Later>;

/// What the collector takes of the batch in hand.
#[derive(Default)]
struct Trial {
    /// It took some of it.
    passed: bool,
    refusals: u32,
}

impl Trial {
    /// Whether it is worth finding out which part of a request it refused with this status.
    fn goes_on(&self, status: u16) -> bool {
        let patience = match status {
            500 => SERVER_ERRORS,
            _ => REFUSALS,
        };
        self.passed || self.refusals <= patience
    }
}

/// Items that the collector refused for good.
struct Refused {
    items: Range<usize>,
    status: u16,
    why: String,
}

impl OtlpExporter {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let mut scope = Vec::new();
        wire::bytes_field(&mut scope, 1, SCOPE_NAME.as_bytes());
        wire::bytes_field(&mut scope, 2, crate::VERSION.as_bytes());
        OtlpExporter {
            limit: Cell::new(shared.config.batch_bytes()),
            emptied: Cell::default(),
            collector: OnceCell::new(),
            scope,
            genai: shared.config.flag("otlp.genai_semconv"),
            shared,
        }
    }

    async fn deliver(&self, batch: &mut Vec<Finished>) -> Verdict {
        batch.iter_mut().for_each(|trace| self.prepare(trace));
        batch.retain(|trace| !trace.progress.settled);
        let sent = match self.connect() {
            Ok(collector) => self.send_batch(collector, batch).await,
            Err(error) => {
                self.shared.diagnostics.report("unreachable", || {
                    format!("traces wait, there is no way to the collector: {error}")
                });
                Err(Later(Verdict::Retry(None)))
            }
        };
        batch.retain(|trace| !trace.progress.settled);
        match sent {
            Ok(()) => Verdict::Done,
            Err(Later(verdict)) => verdict,
        }
    }

    fn connect(&self) -> Result<&Collector> {
        let connect = || Collector::new(&self.shared.config);
        self.collector.get_or_try_init(connect)
    }

    /// Gives a trace the form in which it goes out, once.
    fn prepare(&self, trace: &mut Finished) {
        if std::mem::replace(&mut trace.progress.prepared, true) {
            return;
        }
        let config = &self.shared.config;
        limit_attachments(trace, config);
        keep_inline(trace);
        // What lies behind the collector may be an MLflow server.
        guard::protect(&mut trace.spans);
        let mut spans = self.emptied.take();
        outgoing::write_spans(&mut spans, trace, self.genai);
        std::mem::swap(&mut trace.spans, &mut spans);
        spans.clear();
        self.emptied.set(spans);
        // The end of a trace all of whose spans went before it.
        trace.progress.settled = trace.spans.is_empty();
    }

    async fn send_batch(&self, collector: &Collector, batch: &mut [Finished]) -> Sent<()> {
        let mut trial = Trial::default();
        let mut traces = Traces(batch);
        let mut groups = traces.groups(self.limit.get());
        let is_refused = |group: &Range<usize>| load::is_refused(&traces.0[group.start]);
        let apart: Vec<Range<usize>> = groups.extract_if(.., |group| is_refused(group)).collect();
        for trace in apart {
            let trace = &mut traces.0[trace.start];
            self.send_apart(collector, trace, &mut trial).await?;
        }
        let refused = self
            .send(collector, &mut traces, groups, &mut trial)
            .await?;
        for Refused { items, status, why } in refused {
            match &mut traces.0[items] {
                [trace]
                    if load::is_refused(trace)
                        && is_about_payload(status)
                        && trial.goes_on(status) =>
                {
                    self.send_apart(collector, trace, &mut trial).await?;
                }
                several => several
                    .iter_mut()
                    .for_each(|trace| self.shared.rejected(trace, &why)),
            }
        }
        Ok(())
    }

    /// Sends as many spans as possible of a trace that was refused whole.
    async fn send_apart(
        &self,
        collector: &Collector,
        trace: &mut Finished,
        trial: &mut Trial,
    ) -> Sent<()> {
        let id = trace.id;
        let mut spans = Spans::of(trace);
        let groups = spans.groups();
        for refused in self.send(collector, &mut spans, groups, trial).await? {
            let count = spans.spans(refused.items.clone());
            let counters = self.shared.counters_of(spans.origin());
            counters.drop(Drop::Rejected, count);
            self.shared.diagnostics.report("rejected", || {
                let (id, why) = (id.to_mlflow(), &refused.why);
                format!("{count} spans of trace {id} were refused: {why}")
            });
            self.bury(&spans, refused.items.clone(), &refused.why);
            spans.settle(refused.items);
        }
        Ok(())
    }

    /// Sends these groups of items, and of those that are refused the halves, and so on; returns what is left.
    async fn send(
        &self,
        collector: &Collector,
        load: &mut impl Load,
        mut groups: Vec<Range<usize>>,
        trial: &mut Trial,
    ) -> Sent<Vec<Refused>> {
        groups.reverse();
        let mut refused: Vec<Refused> = Vec::new();
        loop {
            let Some(group) = groups.pop() else {
                // What had been set aside may be looked into if something passed meanwhile.
                let is_open = |one: &mut Refused| {
                    trial.passed && one.items.len() > 1 && is_about_payload(one.status)
                };
                let open = refused.extract_if(.., is_open);
                groups.extend(open.flat_map(|one| halves(one.items)));
                match groups.is_empty() {
                    true => return Ok(refused),
                    false => continue,
                }
            };
            let (status, why) = match self.offer(collector, load, group.clone()).await? {
                None => {
                    trial.passed = true;
                    load.settle(group);
                    continue;
                }
                Some(refusal) => refusal,
            };
            trial.refusals += 1;
            load.suspect(group.clone());
            if group.len() > 1 && is_about_payload(status) && trial.goes_on(status) {
                groups.extend(halves(group));
                continue;
            }
            refused.push(Refused {
                items: group,
                status,
                why,
            });
        }
    }

    /// Sends one request. Items that are taken have been counted; otherwise the answer is the status, and why.
    async fn offer(
        &self,
        collector: &Collector,
        load: &impl Load,
        items: Range<usize>,
    ) -> Sent<Option<(u16, String)>> {
        let body = otlp::request(
            self.shared.resource_of(load.origin()),
            &self.scope,
            &load.runs(items.clone()),
        );
        let length = body.len();
        let compressed = collector.gzip.then(|| compress(&body)).flatten();
        let request = Request {
            method: Method::POST,
            content_type: "application/x-protobuf",
            gzip: compressed.is_some(),
            body: compressed.unwrap_or(body).into(),
            ..Request::get(&collector.path)
        };
        let answer = match collector.http.exchange(request).await {
            Ok(reply) => reply::read(&reply),
            Err(failure) => {
                let hint = collector.hint;
                return Err(self.later(
                    Verdict::Retry(None),
                    &format!("{}{hint}", failure.message()),
                ));
            }
        };
        let told = |status: u16, message: &str| {
            let message = scrub(message, collector.http.secrets());
            let text = format!("HTTP {status} {message}");
            format!("{}{}", text.trim_end(), collector.hint)
        };
        match answer {
            Answer::Taken {
                rejected,
                message,
                is_odd,
            } => {
                let odd = &self.shared.config.attached.odd_replies;
                odd.fetch_add(u64::from(is_odd), Ordering::Relaxed);
                let spans = load.spans(items.clone());
                if rejected >= spans {
                    // Of fewer, nobody knows which.
                    self.bury(load, items, &scrub(&message, collector.http.secrets()));
                }
                let counters = self.shared.counters_of(load.origin());
                self.taken(counters, spans, rejected.min(spans), || {
                    scrub(&message, collector.http.secrets())
                });
                self.grow_limit();
                Ok(None)
            }
            Answer::Later {
                status,
                after,
                message,
            } => {
                let verdict = match status {
                    401 | 403 => Verdict::Park,
                    _ => Verdict::Retry(after),
                };
                Err(self.later(verdict, &told(status, &message)))
            }
            Answer::Refused { status, message } => {
                if status == 413 {
                    let shorter = (length / 2).max(SMALLEST);
                    self.limit.set(shorter.min(self.limit.get()));
                }
                Ok(Some((status, told(status, &message))))
            }
        }
    }

    /// Keeps what was refused for good, where there is a spool.
    fn bury(&self, load: &impl Load, items: Range<usize>, why: &str) {
        if let Some(depot) = &self.shared.depot {
            for (trace, spans) in load.letters(items) {
                depot.bury(trace, &spans, why);
            }
        }
    }

    /// Counts spans of which the collector took all but `rejected`. It may have something to say even of none.
    fn taken(
        &self,
        counters: &Counters,
        spans: u64,
        rejected: u64,
        message: impl FnOnce() -> String,
    ) {
        counters.deliver(spans - rejected);
        counters.drop(Drop::ServerRejected, rejected);
        let message = message();
        if rejected > 0 || !message.is_empty() {
            self.shared.diagnostics.report("partial_success", || {
                format!("the collector rejected {rejected} of {spans} spans: {message}")
            });
        }
    }

    /// The way back to full requests is slow.
    fn grow_limit(&self) {
        let limit = self.limit.get();
        self.limit
            .set((limit + limit / 16).min(self.shared.config.batch_bytes()));
    }

    fn later(&self, verdict: Verdict, why: &str) -> Later {
        self.shared.diagnostics.report("unreachable", || {
            format!("traces wait, the collector does not take them: {why}")
        });
        Later(verdict)
    }
}

/// Whether a request with other spans may meet with another answer.
fn is_about_payload(status: u16) -> bool {
    matches!(status, 400 | 413 | 422 | 500)
}

/// The second half first: the last is taken next.
fn halves(range: Range<usize>) -> [Range<usize>; 2] {
    let middle = range.start + range.len() / 2;
    [middle..range.end, range.start..middle]
}

impl Exporter for OtlpExporter {
    fn export<'a>(
        &'a self,
        batch: &'a mut Vec<Finished>,
    ) -> Pin<Box<dyn Future<Output = Verdict> + 'a>> {
        Box::pin(self.deliver(batch))
    }
}
