//! A trace on its way to the exporter.

use std::sync::Arc;
use std::time::Instant;

use crate::destination::Destination;
use crate::id::TraceId;
use crate::local;
use crate::mlflow::attachment::Attachment;
use crate::otlp::reader;
use crate::pipeline::depot::Receipt;
use crate::record::Origin;
use crate::trace::TraceUpdate;

/// A trace on its way to the exporter.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) id: TraceId,
    pub(crate) destination: &'static Destination,
    /// Whether its information is ours to send; not so for the local part of a trace that is rooted
    /// elsewhere.
    pub(crate) has_info: bool,
    /// Spans of the trace that were handed over before these.
    pub(crate) earlier: u32,
    /// Its information follows, with more spans.
    pub(crate) goes_on: bool,
    /// Content that its spans refer to and that is still to be stored.
    pub(crate) attachments: Vec<Attachment>,
    /// What the host set of the information; absent when it set nothing.
    pub(crate) update: Option<Box<TraceUpdate>>,
    /// A run of `ScopeSpans.spans` fields.
    pub(crate) spans: Vec<u8>,
    /// In an outbox: how many bytes of spans lie there, packed with those of other traces.
    pub(crate) packed_bytes: u32,
    pub(crate) span_count: u32,
    /// The process that recorded it, where that is not this one.
    pub(crate) origin: Option<Arc<Origin>>,
    pub(crate) progress: Progress,
}

impl Drop for Finished {
    fn drop(&mut self) {
        if self.progress.settled && !self.progress.receipts.is_empty() {
            Receipt::settle(&mut self.progress.receipts);
        }
        if self.spans.capacity() > 0 {
            local::with(|local| local.buffers.give(std::mem::take(&mut self.spans)));
        }
    }
}

/// How far the delivery of a trace got, so that a retry sends nothing twice.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// The last flush before it was queued.
    pub(crate) flush: u64,
    /// Delivered or given up, and counted.
    pub(crate) settled: bool,
    /// The records of the spool that it is in; acknowledged when it is settled.
    pub(crate) receipts: Vec<Arc<Receipt>>,
    /// Settled by giving it up.
    pub(crate) rejected: bool,
    /// A part whose spans the end of the trace will count.
    pub(crate) noted: bool,
    /// It was decided what becomes of its attachments.
    pub(crate) prepared: bool,
    pub(crate) info_sent: bool,
    pub(crate) spans_sent: bool,
    /// The server refused these very spans; they may still go into an artifact.
    pub(crate) spans_refused: bool,
    /// The server said that it keeps spans in its database.
    pub(crate) stored: bool,
    /// It has to wait for the next attempt, unlike others of its batch.
    pub(crate) delayed: bool,
    /// Apart, because a trace is moved more often before it is first sent than after.
    replies: Option<Box<Replies>>,
}

/// What replies, and their absence, told of a trace.
#[derive(Clone, Debug, Default)]
struct Replies {
    artifact_location: Option<String>,
    doubted: Option<Instant>,
    refused_among: Option<u32>,
    server_errors: u8,
    /// When delivering it first failed.
    failing_since: Option<Instant>,
}

impl Progress {
    /// How often a payload may be answered with a server error before it is looked into, or taken for the cause if
    /// others were taken meanwhile.
    const MAX_SERVER_ERRORS: u8 = 3;
    /// How often if nothing was: then the server is more likely to be the cause.
    const MAX_UNIVERSAL_ERRORS: u8 = 10;

    fn replies(&mut self) -> &mut Replies {
        self.replies.get_or_insert_default()
    }

    /// Where the server wants artifacts of the trace.
    pub(crate) fn artifact_location(&self) -> Option<&str> {
        self.replies.as_deref()?.artifact_location.as_deref()
    }

    pub(crate) fn locate_artifacts(&mut self, location: Option<String>) {
        if location.is_some() || self.replies.is_some() {
            self.replies().artifact_location = location;
        }
    }

    /// Its information was posted and no reply came: since when it has not been known whether the server has it.
    pub(crate) fn doubted(&self) -> Option<Instant> {
        self.replies.as_deref()?.doubted
    }

    /// Notes that its information was posted then and no reply came.
    pub(crate) fn doubt(&mut self, posted: Instant) {
        self.replies().doubted.get_or_insert(posted);
    }

    /// How many spans the shortest request had that a collector refused because of these spans or others in it.
    pub(crate) fn refused_among(&self) -> Option<u32> {
        self.replies.as_deref()?.refused_among
    }

    /// Notes that a collector refused a request of so many spans because of these or others in it.
    pub(crate) fn refuse_among(&mut self, spans: u32) {
        let among = &mut self.replies().refused_among;
        *among = Some(among.map_or(spans, |before| before.min(spans)));
    }

    /// Counts a server error.
    pub(crate) fn suspect(&mut self) {
        let replies = self.replies();
        replies.server_errors = replies.server_errors.saturating_add(1);
        self.fail();
    }

    fn server_errors(&self) -> u8 {
        self.replies.as_deref().map_or(0, |it| it.server_errors)
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.server_errors() >= Self::MAX_SERVER_ERRORS
    }

    /// Whether server errors are taken to be its own fault, when the server last took something at this time.
    pub(crate) fn is_to_blame(&self, last_taken: Option<Instant>) -> bool {
        let others_passed = last_taken.is_some() && last_taken >= self.failing_since();
        match others_passed {
            true => self.is_suspect(),
            false => self.server_errors() >= Self::MAX_UNIVERSAL_ERRORS,
        }
    }

    /// Notes that delivering it failed; returns when that happened first.
    pub(crate) fn fail(&mut self) -> Instant {
        *self
            .replies()
            .failing_since
            .get_or_insert_with(Instant::now)
    }

    fn failing_since(&self) -> Option<Instant> {
        self.replies.as_deref()?.failing_since
    }

    /// As if it had failed then.
    #[cfg(test)]
    pub(crate) fn failed_at(&mut self, since: Instant) {
        self.replies().failing_since = Some(since);
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failing_since().is_some()
    }

    /// Forgets failures: the payload that met them is out of the way.
    pub(crate) fn forgive(&mut self) {
        if let Some(replies) = &mut self.replies {
            replies.server_errors = 0;
            replies.failing_since = None;
        }
    }
}

impl Finished {
    /// A trace of which nothing is there yet.
    pub(crate) fn new(id: TraceId, destination: &'static Destination) -> Self {
        Finished {
            id,
            destination,
            has_info: false,
            earlier: 0,
            goes_on: false,
            attachments: Vec::new(),
            update: None,
            spans: Vec::new(),
            origin: None,
            packed_bytes: 0,
            span_count: 0,
            progress: Progress::default(),
        }
    }

    /// So many spans of the same trace.
    fn of_same(&self, spans: Vec<u8>, span_count: u32) -> Self {
        let mut other = Finished::new(self.id, self.destination);
        other.has_info = self.has_info;
        other.earlier = self.earlier;
        other.goes_on = self.goes_on;
        other.spans = spans;
        other.span_count = span_count;
        other
    }

    /// Takes its spans out of what is packed, and returns the rest.
    pub(crate) fn unpack<'a>(&mut self, packed: &'a [u8]) -> &'a [u8] {
        let length = std::mem::take(&mut self.packed_bytes) as usize;
        let (own, rest) = packed.split_at(length.min(packed.len()));
        if !own.is_empty() {
            self.spans = own.to_vec();
        }
        rest
    }

    /// Whether something of it may be sent in this attempt.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.progress.settled && !self.progress.delayed
    }

    /// Whether its spans may be sent in this attempt.
    pub(crate) fn lacks_spans(&self) -> bool {
        self.is_waiting() && !self.progress.spans_sent && !self.progress.spans_refused
    }

    /// Takes out the second half of its spans; `None` when it has no two.
    pub(crate) fn split(&mut self) -> Option<Finished> {
        let first = self.span_count / 2;
        let fields = reader::raw_fields(&self.spans).take(first as usize);
        let length: usize = fields.map(|(_, raw)| raw.len()).sum();
        if length == 0 || length == self.spans.len() {
            return None;
        }
        let spans = self.spans.split_off(length);
        let mut rest = self.of_same(spans, self.span_count - first);
        rest.earlier += first;
        rest.origin = self.origin.clone();
        rest.progress = self.progress.clone();
        self.span_count = first;
        Some(rest)
    }

    /// Another one with the same content, which has gone nowhere yet.
    pub(crate) fn copy(&self) -> Finished {
        let mut copy = self.of_same(self.spans.clone(), self.span_count);
        copy.attachments = self.attachments.clone();
        copy.update = self.update.clone();
        copy
    }

    /// Bytes that it holds, for the queue's bound.
    pub(crate) fn size(&self) -> usize {
        let attachments = self.attachments.iter().map(Attachment::size);
        size_of::<Self>()
            + self.spans.capacity()
            + attachments.sum::<usize>()
            + self.update.as_ref().map_or(0, |update| update.size())
    }
}
