//! Traces whose spans are sent while they run: what is remembered for the information at their end.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use super::Sequence;
use crate::id::TraceId;
use crate::mlflow::outline::Outline;
use crate::otlp::reader::{self, SpanData};
use crate::shared::Shared;
use crate::trace::Finished;

/// Traces that are remembered; more must have been lost on the way.
const TRACES: usize = 16_384;

/// Spans that are remembered of one trace, about 32 MiB of them.
const SPANS: usize = 1 << 20;

/// What was sent of one trace so far.
#[derive(Default)]
pub(super) struct Sent {
    outlines: Vec<Outline>,
    /// More than are remembered.
    too_many: bool,
    /// Spans that could not be sent without the information after all, and how many.
    held: (Vec<u8>, u32),
}

/// The traces that were sent in part.
#[derive(Default)]
pub(super) struct Parts(HashMap<TraceId, Sent>);

impl Parts {
    /// Takes note of the parts in a group that is about to be sent. Where the server takes no spans alone,
    /// a part is kept for the rest of its trace, and then put back.
    pub(super) fn note(&mut self, group: &mut [Finished], sequence: Sequence, shared: &Shared) {
        let alone = sequence != Sequence::InfoThenArtifact;
        shared.takes_parts.store(alone, Ordering::Relaxed);
        for trace in group.iter_mut().filter(|trace| !trace.progress.settled) {
            if trace.goes_on {
                self.note_part(trace, alone);
            } else if trace.earlier > 0
                && let Some(sent) = self.0.get_mut(&trace.id)
            {
                let (spans, count) = std::mem::take(&mut sent.held);
                trace.spans.splice(..0, spans);
                trace.span_count += count;
            }
        }
    }

    fn note_part(&mut self, trace: &mut Finished, alone: bool) {
        if self.0.len() >= TRACES && !self.0.contains_key(&trace.id) {
            self.0.clear();
        }
        let sent = self.0.entry(trace.id).or_default();
        if !alone {
            sent.held.0.append(&mut trace.spans);
            sent.held.1 += trace.span_count;
            // Counted with the trace that it joins.
            trace.progress.settled = true;
            return;
        }
        if trace.progress.noted {
            return;
        }
        trace.progress.noted = true;
        sent.outlines.extend(outlines(trace));
        if sent.outlines.len() > SPANS {
            sent.too_many = true;
            sent.outlines = Vec::new();
        }
    }

    /// The spans of a trace that were sent before these; `None` when they are too many to remember.
    pub(super) fn of(&self, trace: &Finished) -> Option<&[Outline]> {
        match self.0.get(&trace.id) {
            Some(sent) if sent.too_many => None,
            Some(sent) => Some(&sent.outlines),
            None => Some(&[]),
        }
    }

    /// Forgets what is settled: a trace with its last part, a part with what it would have counted for.
    pub(super) fn settle(&mut self, trace: &Finished) {
        if !trace.goes_on {
            self.0.remove(&trace.id);
        } else if trace.progress.rejected
            && let Some(sent) = self.0.get_mut(&trace.id)
        {
            let lost: Vec<[u8; 8]> = outlines(trace).map(|span| span.span_id).collect();
            sent.outlines.retain(|span| !lost.contains(&span.span_id));
        }
    }
}

fn outlines(trace: &Finished) -> impl Iterator<Item = Outline> {
    reader::spans(&trace.spans)
        .filter_map(|message| SpanData::decode(message).ok())
        .map(|span| Outline::of(&span))
}
