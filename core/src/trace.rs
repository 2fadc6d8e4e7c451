//! A trace: what spans share while they are recorded, and what is handed over when they have ended.

mod opened;

use std::sync::Arc;

pub(crate) use crate::destination::{Destination, Experiment};
pub(crate) use crate::finished::{Finished, Progress};
use crate::id::TraceId;
use crate::local::Local;
use crate::mlflow::attachment::{self, Attachment};
use crate::otlp::{SCOPE_SPANS_SPANS, wire};
use crate::pipeline::depot::Receipt;
use crate::pipeline::stats::Drop;
use crate::shared::Shared;
use crate::state::State;
pub use crate::update::{TraceState, TraceUpdate};

/// The state that the open spans of one trace share. It lies in the slot of its first span, and is used
/// again for the next trace there.
pub(crate) struct Trace {
    pub(crate) id: TraceId,
    /// The tracer that it belongs to.
    pub(crate) state: Arc<State>,
    /// How often a trace was opened in this place.
    pub(crate) opening: u32,
    run: Run,
}

/// One use of the place of a trace.
struct Run {
    destination: &'static Destination,
    /// Open spans; none when the trace was handed over.
    open: u32,
    /// Its information is not ours to send: it is rooted in another process, or the information went before
    /// these spans.
    spans_only: bool,
    /// Sent only if a span of it fails.
    only_errors: bool,
    failed: bool,
    /// The queue had no room for a span of it: it is given up whole.
    overfull: bool,
    root_ended: bool,
    /// Ended spans as a run of `ScopeSpans.spans` fields.
    spans: Vec<u8>,
    ended: u32,
    /// Spans that were handed over before.
    earlier: u32,
    /// Bytes of spans of the trace that was here before: the next one may well have as many.
    expected: usize,
    /// Bytes of the queue's limit that it holds.
    reserved: usize,
    /// Readings of the monotonic clock, in nanoseconds.
    opened_at: u64,
    active_at: u64,
    root_ended_at: u64,
    /// When the first of `spans` ended.
    waiting_since: u64,
    /// Boxed: most traces set nothing.
    update: Option<Box<TraceUpdate>>,
    attachments: Vec<Attachment>,
    /// The record of the spool that says that it is open.
    opened: Option<Arc<Receipt>>,
}

/// What a new trace is made from.
pub(crate) struct Opening<'a> {
    pub(crate) id: TraceId,
    /// Rooted in another process.
    pub(crate) remote: bool,
    pub(crate) only_errors: bool,
    pub(crate) destination: &'static Destination,
    pub(crate) state: &'a Arc<State>,
    /// On the monotonic clock.
    pub(crate) now: u64,
}

/// A span that ended.
pub(crate) struct Ended<'a> {
    /// The `Span` message.
    pub(crate) bytes: &'a [u8],
    /// Fields that belong to it as well.
    pub(crate) more: &'a [u8],
    pub(crate) is_root: bool,
    pub(crate) failed: bool,
    /// On the monotonic clock.
    pub(crate) now: u64,
}

/// Spans of an open trace that need no room in the queue's limit: a few short ones.
const FREE_BYTES: usize = 4 * 1024;

/// A buffer is made for no more than this before the spans come.
const MOST_EXPECTED: usize = 64 * 1024;

/// Spans of a trace that are copied rather than handed over with their buffer.
const PACKED_BYTES: usize = 1024;

impl Trace {
    /// Begins a trace with its first span open, in the place of one that is over if there is one.
    #[inline]
    pub(crate) fn open<'a>(
        place: &'a mut Option<Box<Trace>>,
        opening: Opening<'_>,
    ) -> &'a mut Trace {
        let trace = place.get_or_insert_with(|| Box::new(Trace::blank(&opening)));
        trace.id = opening.id;
        trace.opening = trace.opening.wrapping_add(1);
        // Counting a reference costs as much as all the rest.
        if !Arc::ptr_eq(&trace.state, opening.state) {
            trace.state = opening.state.clone();
        }
        let run = &mut trace.run;
        run.destination = opening.destination;
        run.open = 1;
        run.spans_only = opening.remote;
        run.only_errors = opening.only_errors;
        run.failed = false;
        run.overfull = false;
        run.root_ended = false;
        run.ended = 0;
        run.earlier = 0;
        run.opened_at = opening.now;
        run.active_at = opening.now;
        trace
    }

    #[cold]
    fn blank(opening: &Opening<'_>) -> Self {
        Trace {
            id: opening.id,
            state: opening.state.clone(),
            opening: 0,
            run: Run {
                destination: opening.destination,
                open: 0,
                spans_only: false,
                only_errors: false,
                failed: false,
                overfull: false,
                root_ended: false,
                spans: Vec::new(),
                ended: 0,
                earlier: 0,
                expected: 0,
                reserved: 0,
                opened_at: 0,
                active_at: 0,
                root_ended_at: 0,
                waiting_since: 0,
                update: None,
                attachments: Vec::new(),
                opened: None,
            },
        }
    }

    /// Whether it was not handed over yet.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.run.open > 0
    }

    /// Counts one more open span.
    #[inline]
    pub(crate) fn open_span(&mut self, now: u64) {
        self.run.open += 1;
        self.run.active_at = now;
    }

    /// As [`Self::open_span`], for the root of a trace that was taken for a remote one.
    pub(crate) fn open_root(&mut self, now: u64) {
        self.open_span(now);
        self.run.spans_only = false;
    }

    /// Merges `update`.
    pub(crate) fn update(&mut self, update: &TraceUpdate) {
        self.run.update.get_or_insert_default().merge(update);
    }

    /// Changes what was set of its information, if that is sent from here and was not sent yet.
    pub(crate) fn revise<R>(&mut self, change: impl FnOnce(&mut TraceUpdate) -> R) -> Option<R> {
        let update = self.run.update.get_or_insert_default();
        (!self.run.spans_only).then(|| change(update))
    }

    /// Takes over what is not set yet.
    pub(crate) fn supplement(&mut self, update: &TraceUpdate) {
        let own = self.run.update.get_or_insert_default();
        let mut both = update.clone();
        both.merge(own);
        **own = both;
    }

    /// Keeps content that is stored beside the spans.
    pub(crate) fn attach(&mut self, attachment: Attachment) {
        self.run.attachments.push(attachment);
    }

    /// Takes a span that ended; hands the whole trace over, and answers true, when nothing of it is open.
    #[inline]
    pub(crate) fn end_span(&mut self, span: Ended<'_>, local: &mut Local) -> bool {
        let Trace { id, state, run, .. } = self;
        let size = span.bytes.len() + span.more.len();
        let length = wire::field_len(size);
        run.open = run.open.saturating_sub(1);
        if span.is_root {
            run.root_ended = true;
            run.root_ended_at = span.now;
        }
        if span.is_root || run.spans_only && run.open == 0 {
            local.last_trace = Some(*id);
        }
        run.failed |= span.failed;
        run.active_at = span.now;
        let needed = run.spans.len() + length;
        let room = run.reserved.max(FREE_BYTES);
        let fits = needed <= room || !run.overfull && run.reserve(needed, &state.shared);
        if run.overfull || !fits && !run.may_leave(&state.shared) {
            run.overflow(&state.shared, local);
        } else {
            if run.ended == 0 {
                run.waiting_since = span.now;
            }
            let wanted = match run.ended {
                0 => needed.max(run.expected),
                _ => needed,
            };
            local.buffers.grow(&mut run.spans, wanted);
            wire::length_prefix(&mut run.spans, SCOPE_SPANS_SPANS, size);
            run.spans.extend_from_slice(span.bytes);
            run.spans.extend_from_slice(span.more);
            run.ended += 1;
        }
        if !fits && self.is_open() && self.ended() > 0 {
            self.part(local);
        }
        self.settle(local)
    }

    /// Forgets a span that will never end (its host lost it). Hands over what is left of the trace, and
    /// answers true, when nothing of it is open any more.
    pub(crate) fn lose_span(&mut self, local: &mut Local) -> bool {
        self.run.open = self.run.open.saturating_sub(1);
        self.settle(local)
    }

    /// Hands over what ended, whatever is still open; returns the number of spans given up with it.
    pub(crate) fn force_close(&mut self, local: &mut Local) -> u32 {
        let open = std::mem::take(&mut self.run.open);
        self.close(local);
        open
    }

    #[inline]
    fn settle(&mut self, local: &mut Local) -> bool {
        let complete = self.run.open == 0;
        if complete {
            self.close(local);
        } else if self.is_part() {
            self.part(local);
        }
        complete
    }

    /// Hands over what ended, as the whole trace. Spans that are still open will follow without information.
    #[inline]
    pub(crate) fn close(&mut self, local: &mut Local) {
        let Trace { id, state, run, .. } = self;
        let shared = &state.shared;
        let spans = u64::from(run.ended);
        run.forget_open();
        if run.overfull {
            // What an exporter may remember of it ends with its parts.
            run.root_ended = false;
        }
        if !run.is_wanted() {
            shared.counters.drop(Drop::Unsampled, spans);
            run.forget(local);
            return run.release(shared);
        }
        if let Some(update) = &mut run.update {
            shared.protect_update(update);
        }
        let has_info = !run.spans_only && run.root_ended;
        // The exporter may remember, or hold, parts of it.
        let was_parted = run.earlier > 0 && !run.spans_only;
        run.spans_only |= has_info;
        let matters = spans > 0 || has_info || was_parted;
        // First, or its bytes would be counted twice in the queue's limit.
        run.release(shared);
        let size = run.size();
        let make = |packed: &mut Vec<u8>| run.take(*id, has_info, packed);
        if !matters || !state.hand_over(local, size, spans, make) {
            run.forget(local);
        }
    }

    /// Hands over what ended so far, of a trace that goes on.
    pub(crate) fn part(&mut self, local: &mut Local) {
        let Trace { id, state, run, .. } = self;
        let spans = u64::from(run.ended);
        let size = size_of::<Finished>() + run.spans.capacity();
        attachment::mark_referenced(&run.spans, &mut run.attachments);
        run.release(&state.shared);
        if !state.hand_over(local, size, spans, |_| run.take_ended(*id)) {
            run.ended = 0;
            run.spans.clear();
            // The rest would pass for all of it.
            run.overfull = true;
        }
    }

    /// Whether so much has ended that it should be sent at once.
    #[inline]
    fn is_part(&self) -> bool {
        let shared = &self.state.shared;
        shared
            .queue
            .is_batch(self.run.spans.len(), u64::from(self.run.ended))
            && self.may_be_parted()
    }

    /// Whether ended spans may be sent before it is known how the trace ends.
    pub(crate) fn may_be_parted(&self) -> bool {
        self.run.may_be_parted(&self.state.shared)
    }

    /// Spans that have ended and were not handed over.
    pub(crate) fn ended(&self) -> u64 {
        u64::from(self.run.ended)
    }

    /// How long the first of these spans has waited, in nanoseconds; `None` without any.
    pub(crate) fn waited(&self, now: u64) -> Option<u64> {
        (self.run.ended > 0).then(|| now.saturating_sub(self.run.waiting_since))
    }

    /// Nanoseconds since it began.
    pub(crate) fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.run.opened_at)
    }

    /// Nanoseconds since a span of it started or ended.
    pub(crate) fn quiet(&self, now: u64) -> u64 {
        now.saturating_sub(self.run.active_at)
    }

    /// How long its information has waited for children that outlived the root, in nanoseconds; `None`
    /// while the root is open, when the information was sent, and as long as only the failure of such a child
    /// would make the trace worth sending.
    pub(crate) fn lingered(&self, now: u64) -> Option<u64> {
        let waits = self.run.root_ended && !self.run.spans_only && self.run.is_wanted();
        waits.then(|| now.saturating_sub(self.run.root_ended_at))
    }
}

impl Run {
    /// Whether it is to be sent, as far as is known.
    #[inline]
    fn is_wanted(&self) -> bool {
        !self.only_errors || self.failed
    }

    /// Not the root: its trace's information is made from it.
    fn may_be_parted(&self, shared: &Shared) -> bool {
        self.is_wanted()
            && (!self.root_ended || self.spans_only)
            && shared.takes_parts()
            && (self.attachments.is_empty() || !shared.keeps_inline)
    }

    /// Whether what there is no room for in memory can go to the disk at once: as the whole trace, or as a part of it.
    #[cold]
    fn may_leave(&self, shared: &Shared) -> bool {
        let spools = shared
            .depot
            .as_ref()
            .is_some_and(|depot| !depot.is_degraded());
        spools && (self.open == 0 || self.may_be_parted(shared))
    }

    /// Makes room for spans of so many bytes together within the queue's limit.
    #[cold]
    fn reserve(&mut self, needed: usize, shared: &Shared) -> bool {
        let bytes = shared.claim_open(needed - self.reserved);
        self.reserved += bytes.unwrap_or(0);
        bytes.is_some()
    }

    /// Counts the span that found no room and gives up what the trace has: part of a trace would pass for all
    /// of it.
    #[cold]
    fn overflow(&mut self, shared: &Shared, local: &mut Local) {
        self.overfull = true;
        let spans = u64::from(self.ended) + 1;
        shared.counters.drop(Drop::QueueFull, spans);
        shared.diagnostics.report("queue_full", || {
            "the queue is full; traces are dropped (queue.max_bytes)".into()
        });
        self.forget(local);
        self.release(shared);
    }

    /// Gives back what was reserved for spans that are elsewhere now.
    #[inline]
    fn release(&mut self, shared: &Shared) {
        if self.reserved > 0 {
            shared.release_open(self.reserved);
            self.reserved = 0;
        }
    }

    /// Bytes of everything that ended, for the queue's limit.
    #[inline]
    fn size(&self) -> usize {
        let attachments = self.attachments.iter().map(Attachment::size);
        size_of::<Finished>()
            + self.spans.capacity()
            + attachments.sum::<usize>()
            + self.update.as_ref().map_or(0, |update| update.size())
    }

    /// Everything that ended, as the whole trace. A few short spans are `packed` with those of other traces, so
    /// that their buffer stays here and is used again while it is warm.
    #[inline]
    fn take(&mut self, id: TraceId, has_info: bool, packed: &mut Vec<u8>) -> Finished {
        let mut packed_bytes = 0;
        self.expected = self.spans.len().min(MOST_EXPECTED);
        if self.spans.len() <= PACKED_BYTES {
            packed.extend_from_slice(&self.spans);
            packed_bytes = self.spans.len() as u32;
            self.spans.clear();
        }
        Finished {
            id,
            destination: self.destination,
            has_info,
            earlier: self.earlier,
            goes_on: false,
            update: self.update.take(),
            attachments: std::mem::take(&mut self.attachments),
            spans: match packed_bytes {
                0 => std::mem::take(&mut self.spans),
                _ => Vec::new(),
            },
            origin: None,
            packed_bytes,
            span_count: self.count(),
            progress: Progress::default(),
        }
    }

    fn take_ended(&mut self, id: TraceId) -> Finished {
        let mut part = Finished::new(id, self.destination);
        part.earlier = self.earlier;
        part.goes_on = !self.spans_only;
        part.spans = std::mem::take(&mut self.spans);
        part.span_count = self.count();
        part
    }

    /// The number of ended spans, which go elsewhere now.
    #[inline]
    fn count(&mut self) -> u32 {
        let ended = std::mem::take(&mut self.ended);
        self.earlier += ended;
        ended
    }

    /// Drops what nobody takes.
    #[cold]
    fn forget(&mut self, local: &mut Local) {
        self.ended = 0;
        local.buffers.give(std::mem::take(&mut self.spans));
        self.update = None;
        self.attachments.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local;

    fn trace(remote: bool) -> Box<Trace> {
        let (config, plugins) = crate::TracerBuilder::new(crate::Config::new()).into_parts();
        let state = State::new(config, Arc::new(plugins));
        let mut place = None;
        let opening = Opening {
            id: TraceId::generate(),
            remote,
            only_errors: false,
            destination: crate::destination::by_number(0),
            state: &state,
            now: 1,
        };
        Trace::open(&mut place, opening);
        place.unwrap()
    }

    fn ended(bytes: &[u8], is_root: bool) -> Ended<'_> {
        Ended {
            bytes,
            more: &[],
            is_root,
            failed: false,
            now: 2,
        }
    }

    /// What the next hand-over would be.
    fn closed(trace: &mut Trace) -> Finished {
        let has_info = !trace.run.spans_only && trace.run.root_ended;
        trace.run.take(trace.id, has_info, &mut Vec::new())
    }

    #[test]
    fn completes_when_the_root_and_every_child_ended() {
        let mut trace = trace(false);
        trace.open_span(2);
        local::with(|local| {
            assert!(!trace.end_span(ended(b"root", true), local));
            assert_eq!(trace.lingered(5), Some(3));
            assert!(trace.end_span(ended(b"child", false), local));
        });
        assert!(!trace.is_open());
        assert_eq!(trace.ended(), 0);
    }

    #[test]
    fn only_a_trace_with_its_root_has_information() {
        let mut own = trace(false);
        own.open_span(2);
        let mut remote = trace(true);
        remote.open_span(2);
        for trace in [&mut own, &mut remote] {
            local::with(|local| trace.end_span(ended(b"span", true), local));
        }
        assert!(closed(&mut own).has_info);
        assert!(!closed(&mut remote).has_info);
    }

    #[test]
    fn forced_closing_counts_what_was_open() {
        let mut trace = trace(false);
        trace.open_span(2);
        local::with(|local| {
            assert!(!trace.end_span(ended(b"child", false), local));
            assert_eq!(trace.force_close(local), 1);
        });
        assert!(!trace.is_open());
    }

    #[test]
    fn children_that_outlive_their_trace_follow_alone() {
        let mut trace = trace(false);
        trace.open_span(2);
        local::with(|local| {
            assert!(!trace.end_span(ended(b"root", true), local));
            trace.close(local);
        });
        assert!(trace.is_open() && trace.lingered(9).is_none());
        trace.run.ended = 1;
        let late = closed(&mut trace);
        assert!(!late.has_info && late.earlier == 1);
    }

    #[test]
    fn parts_of_a_running_trace_are_counted() {
        let mut trace = trace(false);
        trace.open_span(2);
        local::with(|local| assert!(!trace.end_span(ended(b"child", false), local)));
        let part = trace.run.take_ended(trace.id);
        assert!(!part.has_info && part.goes_on && part.earlier == 0 && part.span_count == 1);
        trace.open_span(3);
        local::with(|local| assert!(!trace.end_span(ended(b"root", true), local)));
        let rest = closed(&mut trace);
        assert!(rest.has_info && !rest.goes_on && rest.earlier == 1 && rest.span_count == 1);
    }
}
