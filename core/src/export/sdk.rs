//! Gives finished traces to an exporter of OpenTelemetry's SDK (`opentelemetry_sdk` 0.33).
//!
//! Such exporters answer with one kind of failure for whatever went wrong, so that a batch that will never be taken looks
//! like a destination that is away for a while. What is tried again is therefore sent in halves, then in quarters, and
//! so on: where some of it passes, what does not is to blame.

use std::cell::Cell;
use std::future::Future;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry_sdk::trace::SpanData;

use super::sink::Answer;
use super::{Exporter, Verdict, keep_inline, limit_attachments};
use crate::otel::decode;
use crate::shared::Shared;
use crate::trace::Finished;

/// What fails for longer is given up, so that it does not hold up for ever what comes after it; the OpenTelemetry
/// Collector's exporters have the same limit (`max_elapsed_time`).
const PATIENCE: Duration = Duration::from_secs(300);
/// The same where others of the batch were taken meanwhile.
const PATIENCE_AMONG_OTHERS: Duration = Duration::from_secs(10);
/// An exporter that takes longer to answer is reported.
const SLOW: Duration = Duration::from_secs(30);

pub(super) struct SdkExporter {
    shared: Arc<Shared>,
    /// When the exporter last took something.
    taken: Cell<Option<Instant>>,
}

impl SdkExporter {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        SdkExporter {
            shared,
            taken: Cell::new(None),
        }
    }

    async fn deliver(&self, batch: &mut Vec<Finished>) -> Verdict {
        if self
            .shared
            .sink
            .as_ref()
            .is_none_or(|sink| sink.is_foreign())
        {
            let why = "its exporter belongs to the parent process, make a tracer in the child";
            batch
                .iter_mut()
                .for_each(|trace| self.shared.rejected(trace, why));
            batch.clear();
            return Verdict::Done;
        }
        batch.iter_mut().for_each(|trace| self.prepare(trace));
        self.attempt(batch).await;
        for trace in batch.iter_mut().filter(|trace| !trace.progress.settled) {
            if self.is_hopeless(trace) {
                self.shared.rejected(trace, "the exporter kept failing");
            }
        }
        // In place until here: an attempt that is cut off must leave every trace to be counted.
        batch.retain(|trace| !trace.progress.settled);
        if batch.is_empty() {
            return Verdict::Done;
        }
        // The next attempt looks elsewhere first.
        batch.rotate_left(1);
        Verdict::Retry(None)
    }

    /// Whether a trace has failed for too long.
    fn is_hopeless(&self, trace: &mut Finished) -> bool {
        let since = trace.progress.fail();
        let patience = match self.taken.get() {
            Some(taken) if taken >= since => PATIENCE_AMONG_OTHERS,
            _ => PATIENCE,
        };
        since.elapsed() >= patience
    }

    fn prepare(&self, trace: &mut Finished) {
        if !std::mem::replace(&mut trace.progress.prepared, true) {
            limit_attachments(trace, &self.shared.config);
            keep_inline(trace);
        }
    }

    /// Settles what can be settled.
    async fn attempt(&self, batch: &mut [Finished]) {
        // A tracer that closes makes no other attempt.
        let is_again = batch.iter().any(|trace| trace.progress.has_failed());
        let last = is_again || self.shared.queue.closing().is_some();
        let mut passed = false;
        let whole = 0..batch.len();
        let mut ranges = vec![whole];
        while let Some(range) = ranges.pop() {
            let traces = &mut batch[range.clone()];
            let answer = self.send(traces).await;
            let settle: &dyn Fn(&mut Finished) = match answer {
                Answer::Taken => {
                    passed = true;
                    self.taken.set(Some(Instant::now()));
                    &|trace| self.shared.delivered(trace)
                }
                Answer::Shut => &|trace| self.shared.rejected(trace, "the exporter is shut down"),
                Answer::Panicked if range.len() == 1 => {
                    &|trace| self.shared.rejected(trace, "the exporter panicked")
                }
                Answer::Failed(why) => {
                    let why = format!("the exporter failed, will try again: {why}");
                    self.shared.delayed("exporter", "exporter", &why);
                    match range.len() {
                        // The destination may be away.
                        1 if !passed => break,
                        1 => {}
                        _ if !last => break,
                        _ => ranges.extend(halves(range)),
                    }
                    continue;
                }
                Answer::Panicked => {
                    ranges.extend(halves(range));
                    continue;
                }
            };
            traces.iter_mut().for_each(settle);
        }
    }

    async fn send(&self, traces: &[Finished]) -> Answer {
        let spans: Vec<SpanData> = traces.iter().flat_map(decode::spans).collect();
        let Some(sink) = self.shared.sink.as_ref().filter(|_| !spans.is_empty()) else {
            return Answer::Taken;
        };
        let mut answer = pin!(sink.export(spans));
        loop {
            if let Ok(answer) = tokio::time::timeout(SLOW, &mut answer).await {
                return answer;
            }
            self.shared.diagnostics.report("exporter", || {
                format!("the exporter takes more than {} s", SLOW.as_secs())
            });
        }
    }
}

/// The second half first: the last is taken next.
fn halves(range: Range<usize>) -> [Range<usize>; 2] {
    let middle = range.start + range.len() / 2;
    [middle..range.end, range.start..middle]
}

impl Exporter for SdkExporter {
    fn export<'a>(
        &'a self,
        batch: &'a mut Vec<Finished>,
    ) -> Pin<Box<dyn Future<Output = Verdict> + 'a>> {
        Box::pin(self.deliver(batch))
    }

    /// Calls of the host's exporter follow each other.
    fn max_in_flight(&self) -> usize {
        1
    }
}

/// The worker is done with it: nothing more will come.
impl Drop for SdkExporter {
    fn drop(&mut self) {
        let closing = self.shared.queue.closing();
        let deadline =
            closing.unwrap_or_else(|| Instant::now() + self.shared.config.shutdown_timeout());
        if let Some(sink) = &self.shared.sink {
            sink.begin_close(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination;
    use crate::id::TraceId;
    use crate::otlp::{SCOPE_SPANS_SPANS, span as field, wire};
    use crate::pipeline::stats::Drop as Reason;
    use crate::{Config, TracerBuilder};
    use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
    use opentelemetry_sdk::trace::SpanExporter;

    /// Takes no batch with a span of this name.
    #[derive(Debug)]
    struct Without(&'static str);

    impl SpanExporter for Without {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            match batch.iter().any(|span| span.name == self.0) {
                true => Err(OTelSdkError::InternalFailure("no".into())),
                false => Ok(()),
            }
        }
    }

    fn finished(name: &str) -> Finished {
        let mut spans = Vec::new();
        wire::message_field(&mut spans, SCOPE_SPANS_SPANS, |out| {
            wire::bytes_field(out, field::NAME, name.as_bytes());
        });
        let destination = destination::intern(Config::new().destination());
        let mut trace = Finished::new(TraceId::generate(), destination::by_number(destination));
        trace.has_info = true;
        trace.spans = spans;
        trace.span_count = 1;
        trace
    }

    /// The verdict about traces of these names whose batch has failed for so long already, how many of them are
    /// left, and how many were delivered and rejected.
    fn attempt(names: &[&str], failing_for: Option<Duration>) -> (Verdict, [u64; 3]) {
        let builder = TracerBuilder::new(Config::new()).exporter(Without("bad"));
        let (config, plugins) = builder.into_parts();
        let exporter = SdkExporter::new(Shared::new(0, config, &plugins));
        let mut batch: Vec<Finished> = names.iter().map(|name| finished(name)).collect();
        if let Some(length) = failing_for {
            batch
                .iter_mut()
                .for_each(|trace| trace.progress.failed_at(Instant::now() - length));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let verdict = runtime.block_on(exporter.export(&mut batch));
        let delivered = exporter.shared.counters.read(|| 0).delivered;
        let rejected = exporter.shared.counters.dropped(Reason::Rejected);
        (verdict, [batch.len() as u64, delivered, rejected])
    }

    #[test]
    fn the_first_failure_is_taken_for_an_absence() {
        let counts = attempt(&["a", "bad"], None);
        assert_eq!(counts, (Verdict::Retry(None), [2, 0, 0]));
    }

    #[test]
    fn good_traces_are_separated_from_bad_ones() {
        let short = Some(Duration::ZERO);
        for names in [
            ["a", "bad", "b", "c", "d"],
            ["a", "b", "c", "d", "bad"],
            ["a", "bad", "bad", "bad", "b"],
        ] {
            let bad = names.iter().filter(|name| **name == "bad").count() as u64;
            let counts = attempt(&names, short);
            assert_eq!(counts, (Verdict::Retry(None), [bad, 5 - bad, 0]));
        }
        // Nothing has passed yet when the bad one is found.
        let counts = attempt(&["bad", "a"], short);
        assert_eq!(counts, (Verdict::Retry(None), [2, 0, 0]));
    }

    #[test]
    fn what_keeps_failing_is_given_up() {
        let moment = Duration::from_secs(1);
        for (names, failing_for, expected) in [
            (["bad", "bad"], PATIENCE - moment, [2, 0, 0]),
            (["bad", "bad"], PATIENCE, [0, 0, 2]),
            (["a", "bad"], PATIENCE_AMONG_OTHERS - moment, [1, 1, 0]),
            (["a", "bad"], PATIENCE_AMONG_OTHERS, [0, 1, 1]),
        ] {
            let verdict = match expected[0] {
                0 => Verdict::Done,
                _ => Verdict::Retry(None),
            };
            assert_eq!(attempt(&names, Some(failing_for)), (verdict, expected));
        }
    }
}
