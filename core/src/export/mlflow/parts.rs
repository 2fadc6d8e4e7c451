//! Traces whose spans are sent while they run: what is remembered for the information at their end.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::id::TraceId;
use crate::mlflow::outline::Outline;
use crate::otlp::reader::{self, SpanData};
use crate::pipeline::depot::Receipt;
use crate::pipeline::stats::Drop;
use crate::record::Origin;
use crate::shared::Shared;
use crate::trace::Finished;

/// Traces that are remembered; more must have been lost on the way.
const TRACES: usize = 16_384;

/// Spans that are remembered of one trace, about 32 MiB of them.
const SPANS: usize = 1 << 20;

/// What was sent of one trace so far.
#[derive(Default)]
struct Sent {
    outlines: Vec<Outline>,
    /// Spans that the server refused, by the place of their part in the trace.
    lost: HashMap<u32, u32>,
    /// Spans that could not be sent without the information after all, and how many.
    held: (Vec<u8>, u32),
    /// The records of these.
    receipts: Vec<Arc<Receipt>>,
    /// The process that recorded them, where that is not this one.
    origin: Option<Arc<Origin>>,
}

/// The traces that were sent in part.
#[derive(Default)]
pub(super) struct Parts(HashMap<TraceId, Sent>);

impl Parts {
    /// Where the server takes no spans alone: keeps parts for the rest of their trace.
    pub(super) fn hold(&mut self, group: &mut [Finished]) {
        for part in group.iter_mut().filter(|trace| is_part(trace)) {
            self.forget(part);
            let sent = self.entry(part.id);
            let held = &mut sent.held;
            held.0.append(&mut part.spans);
            held.1 += part.span_count;
            sent.receipts.append(&mut part.progress.receipts);
            sent.origin = part.origin.clone();
            // Counted with the trace that it joins.
            part.progress.settled = true;
        }
    }

    /// Puts back what was held of traces that have come to their end.
    pub(super) fn restore(&mut self, group: &mut [Finished]) {
        for trace in group.iter_mut().filter(|trace| is_rest(trace)) {
            if let Some(sent) = self.0.get_mut(&trace.id) {
                let (spans, count) = std::mem::take(&mut sent.held);
                trace.spans.splice(..0, spans);
                trace.span_count += count;
                trace.earlier -= count;
                trace.progress.receipts.append(&mut sent.receipts);
            }
            // All that there was of it has been sent, and its information is not to be.
            trace.progress.settled |= trace.span_count == 0 && !trace.has_info;
        }
    }

    /// Takes note of the parts in a group that is about to be sent, in the form in which they are.
    pub(super) fn note(&mut self, group: &mut [Finished]) {
        for part in group.iter_mut().filter(|trace| is_part(trace)) {
            if std::mem::replace(&mut part.progress.noted, true) {
                continue;
            }
            let outlines = &mut self.entry(part.id).outlines;
            outlines.extend(outlines_of(part));
            if outlines.len() > SPANS {
                outlines.clear();
            }
        }
    }

    fn entry(&mut self, id: TraceId) -> &mut Sent {
        if self.0.len() >= TRACES && !self.0.contains_key(&id) {
            // What is held is all that there is of it.
            self.0.retain(|_, sent| sent.held.1 > 0);
        }
        self.0.entry(id).or_default()
    }

    /// The spans that were sent of a trace before these; `None` when not all of them are known.
    pub(super) fn of(&self, trace: &Finished) -> Option<&[Outline]> {
        let Some(sent) = self.0.get(&trace.id) else {
            return (trace.earlier == 0).then_some(&[]);
        };
        let known = sent.outlines.len() + sent.lost.values().sum::<u32>() as usize;
        (known == trace.earlier as usize).then_some(&sent.outlines)
    }

    /// Forgets what is settled: a trace with its last part, a part that was refused with what it would have
    /// counted for.
    pub(super) fn settle(&mut self, trace: &mut Finished, shared: &Shared) {
        if trace.goes_on {
            if trace.progress.rejected {
                self.forget(trace);
                let lost = &mut self.entry(trace.id).lost;
                lost.insert(trace.earlier, trace.span_count);
            }
            return;
        }
        let Some(mut sent) = self.0.remove(&trace.id) else {
            return;
        };
        // Given up before it was put together.
        Receipt::settle(&mut sent.receipts);
        let counters = shared.counters_of(sent.origin.as_deref());
        counters.drop(Drop::Rejected, u64::from(sent.held.1));
    }

    /// Takes back what was noted of a part.
    fn forget(&mut self, part: &mut Finished) {
        if !std::mem::take(&mut part.progress.noted) {
            return;
        }
        if let Some(sent) = self.0.get_mut(&part.id) {
            let ids: HashSet<[u8; 8]> = outlines_of(part).map(|span| span.span_id).collect();
            sent.outlines.retain(|span| !ids.contains(&span.span_id));
        }
    }

    /// Counts the spans of traces that did not come to their end.
    pub(super) fn abandon(&self, shared: &Shared) {
        for sent in self.0.values() {
            let spans = u64::from(sent.held.1);
            match &shared.depot {
                Some(depot) if !sent.receipts.is_empty() => {
                    depot.keep(u64::from(sent.origin.is_none()) * spans);
                }
                _ => shared.counters.drop(Drop::Shutdown, spans),
            }
        }
    }

    /// Spans of other processes that wait for the rest of their trace.
    pub(super) fn recovered(&self) -> u64 {
        let sent = self.0.values().filter(|sent| sent.origin.is_some());
        sent.map(|sent| u64::from(sent.held.1)).sum()
    }
}

/// Whether a trace goes on after these spans.
fn is_part(trace: &Finished) -> bool {
    trace.goes_on && !trace.progress.settled
}

/// Whether these are the last spans of a trace that was sent in part.
fn is_rest(trace: &Finished) -> bool {
    !trace.goes_on && trace.earlier > 0 && !trace.progress.settled
}

/// Moves to the front those whose spans go before any information, and returns how many they are: what the
/// server refuses of them must not be counted there, or it would wait for them for ever. Not those with
/// attachments: when one is refused, its content can still go into a span.
pub(super) fn first(group: &mut [Finished]) -> usize {
    let is_first =
        |trace: &Finished| trace.goes_on || trace.earlier > 0 && trace.attachments.is_empty();
    group.sort_by_key(|trace| !is_first(trace));
    group.partition_point(is_first)
}

fn outlines_of(trace: &Finished) -> impl Iterator<Item = Outline> {
    reader::spans(&trace.spans)
        .filter_map(|message| SpanData::decode(message).ok())
        .map(|span| Outline::of(&span))
}
