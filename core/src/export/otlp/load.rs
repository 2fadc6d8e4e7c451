//! What requests are made of: traces, or the spans of one that was refused whole.

use std::ops::Range;

use crate::otlp::reader;
use crate::trace::Finished;

/// Items that can be sent in any groups.
pub(super) trait Load {
    /// What a request with these items consists of: runs of `ScopeSpans.spans` fields.
    fn runs(&self, items: Range<usize>) -> Vec<&[u8]>;

    /// How many spans these items have.
    fn spans(&self, items: Range<usize>) -> u64;

    /// These items are dealt with and counted: what is left is without them, whenever the exporter is stopped.
    fn settle(&mut self, items: Range<usize>);
}

/// Each item is a trace.
pub(super) struct Traces<'a>(pub(super) &'a mut [Finished]);

impl Traces<'_> {
    /// All of them, in groups of at most so many bytes if they can be.
    pub(super) fn groups(&self, limit: usize) -> Vec<Range<usize>> {
        let mut groups: Vec<Range<usize>> = Vec::new();
        let mut bytes = 0;
        for (index, trace) in self.0.iter().enumerate() {
            bytes += trace.spans.len();
            match groups.last_mut() {
                Some(group) if bytes <= limit => group.end = index + 1,
                _ => {
                    groups.push(index..index + 1);
                    bytes = trace.spans.len();
                }
            }
        }
        groups
    }
}

impl Load for Traces<'_> {
    fn runs(&self, items: Range<usize>) -> Vec<&[u8]> {
        let traces = self.0[items].iter();
        traces.map(|trace| trace.spans.as_slice()).collect()
    }

    fn spans(&self, items: Range<usize>) -> u64 {
        let traces = self.0[items].iter();
        traces.map(|trace| u64::from(trace.span_count)).sum()
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

    pub(super) fn all(&self) -> Range<usize> {
        0..self.fields.len()
    }
}

impl Load for Spans<'_> {
    fn runs(&self, items: Range<usize>) -> Vec<&[u8]> {
        self.fields[items].iter().map(Vec::as_slice).collect()
    }

    fn spans(&self, items: Range<usize>) -> u64 {
        items.len() as u64
    }

    fn settle(&mut self, items: Range<usize>) {
        self.trace.span_count -= items.len() as u32;
        self.fields[items].iter_mut().for_each(Vec::clear);
        self.trace.spans = self.fields.concat();
        self.trace.progress.settled = self.trace.spans.is_empty();
    }
}
