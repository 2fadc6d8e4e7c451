//! What requests are made of: traces, or the spans of one that was refused whole.

use std::ops::Range;

use crate::otlp::reader;
use crate::record::Origin;
use crate::trace::Finished;

/// Items that can be sent in any groups.
pub(super) trait Load {
    /// What a request with these items consists of: runs of `ScopeSpans.spans` fields.
    fn runs(&self, items: Range<usize>) -> Vec<&[u8]>;

    /// The process that recorded them, where that is not this one.
    fn origin(&self) -> Option<&Origin>;

    /// How many spans these items have.
    fn spans(&self, items: Range<usize>) -> u64;

    /// What these items are of, each trace with its spans as in [`Self::runs`].
    fn letters(&self, items: Range<usize>) -> Vec<(&Finished, Vec<u8>)>;

    /// A request with these items was refused.
    fn suspect(&mut self, items: Range<usize>);

    /// These items are dealt with and counted: what is left is without them, whenever the exporter is stopped.
    fn settle(&mut self, items: Range<usize>);
}

/// Each item is a trace.
pub(super) struct Traces<'a>(pub(super) &'a mut [Finished]);

impl Traces<'_> {
    /// All of them, in groups of at most so many bytes if they can be, and of such a size that the search for what is
    /// to blame for earlier refusals goes on where it was interrupted.
    pub(super) fn groups(&self, limit: usize) -> Vec<Range<usize>> {
        let mut groups: Vec<Range<usize>> = Vec::new();
        let (mut bytes, mut spans, mut most) = (0, 0, u32::MAX);
        for (index, trace) in self.0.iter().enumerate() {
            bytes += trace.spans.len();
            spans += trace.span_count;
            most = most.min(most_together(trace));
            match groups.last_mut() {
                Some(group) if bytes <= limit && spans <= most => group.end = index + 1,
                _ => {
                    groups.push(index..index + 1);
                    bytes = trace.spans.len();
                    spans = trace.span_count;
                    most = most_together(trace);
                }
            }
        }
        groups
    }
}

/// How many spans a request with some of this trace should have.
fn most_together(trace: &Finished) -> u32 {
    let refused = trace.progress.refused_among();
    refused.map_or(u32::MAX, |spans| (spans / 2).max(1))
}

/// Whether a trace as a whole was refused already.
pub(super) fn is_refused(trace: &Finished) -> bool {
    trace.span_count > 1 && trace.span_count > most_together(trace)
}

impl Load for Traces<'_> {
    fn origin(&self) -> Option<&Origin> {
        self.0.first()?.origin.as_deref()
    }

    fn runs(&self, items: Range<usize>) -> Vec<&[u8]> {
        let traces = self.0[items].iter();
        traces.map(|trace| trace.spans.as_slice()).collect()
    }

    fn spans(&self, items: Range<usize>) -> u64 {
        let traces = self.0[items].iter();
        traces.map(|trace| u64::from(trace.span_count)).sum()
    }

    fn letters(&self, items: Range<usize>) -> Vec<(&Finished, Vec<u8>)> {
        let traces = self.0[items].iter();
        traces.map(|trace| (trace, trace.spans.clone())).collect()
    }

    fn suspect(&mut self, items: Range<usize>) {
        let spans = self.spans(items.clone()) as u32;
        for trace in &mut self.0[items] {
            trace.progress.refuse_among(spans);
        }
    }

    fn settle(&mut self, items: Range<usize>) {
        for trace in &mut self.0[items] {
            trace.progress.settled = true;
        }
    }
}

/// Each item is a span of this trace.
pub(super) struct Spans<'a> {
    trace: &'a mut Finished,
    /// Those that were there at first; empty when settled.
    fields: Vec<Vec<u8>>,
}

impl<'a> Spans<'a> {
    pub(super) fn of(trace: &'a mut Finished) -> Self {
        let fields = reader::raw_fields(&trace.spans);
        let fields = fields.map(|(_, raw)| raw.to_vec()).collect();
        Spans { trace, fields }
    }

    /// All of them, in groups as [`Traces::groups`] makes them.
    pub(super) fn groups(&self) -> Vec<Range<usize>> {
        let most = most_together(self.trace) as usize;
        let all = 0..self.fields.len();
        let starts = all.clone().step_by(most);
        starts
            .map(|start| start..(start + most).min(all.end))
            .collect()
    }
}

impl Load for Spans<'_> {
    fn origin(&self) -> Option<&Origin> {
        self.trace.origin.as_deref()
    }

    fn runs(&self, items: Range<usize>) -> Vec<&[u8]> {
        self.fields[items].iter().map(Vec::as_slice).collect()
    }

    fn spans(&self, items: Range<usize>) -> u64 {
        items.len() as u64
    }

    fn letters(&self, items: Range<usize>) -> Vec<(&Finished, Vec<u8>)> {
        vec![(&*self.trace, self.fields[items].concat())]
    }

    fn suspect(&mut self, items: Range<usize>) {
        self.trace.progress.refuse_among(items.len() as u32);
    }

    fn settle(&mut self, items: Range<usize>) {
        self.trace.span_count -= items.len() as u32;
        self.fields[items].iter_mut().for_each(Vec::clear);
        self.trace.spans = self.fields.concat();
        self.trace.progress.settled = self.trace.spans.is_empty();
    }
}
