//! A trace on its way to the exporter.

use crate::destination::Destination;
use crate::id::TraceId;
use crate::local;
use crate::mlflow::attachment::Attachment;
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
    pub(crate) span_count: u32,
    pub(crate) progress: Progress,
}

impl Drop for Finished {
    fn drop(&mut self) {
        if self.spans.capacity() > 0 {
            local::with(|local| local.buffers.give(std::mem::take(&mut self.spans)));
        }
    }
}

/// How far the delivery of a trace got, so that a retry sends nothing twice.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Delivered or given up, and counted.
    pub(crate) settled: bool,
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
    /// Where the server wants artifacts of the trace.
    pub(crate) artifact_location: Option<String>,
    /// How many spans the shortest request had that a collector refused because of these spans or others in it.
    pub(crate) refused_among: Option<u32>,
    server_errors: u8,
}

impl Progress {
    /// How often a payload may be answered with a server error before it is taken for the cause.
    const MAX_SERVER_ERRORS: u8 = 3;

    /// Counts a server error.
    pub(crate) fn suspect(&mut self) {
        self.server_errors = self.server_errors.saturating_add(1);
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.server_errors >= Self::MAX_SERVER_ERRORS
    }

    /// Forgets server errors: the payload that met them is out of the way.
    pub(crate) fn forgive(&mut self) {
        self.server_errors = 0;
    }

    /// Whether its spans are still to be sent.
    pub(crate) fn lacks_spans(&self) -> bool {
        !self.settled && !self.spans_sent && !self.spans_refused
    }
}

impl Finished {
    /// Another one with the same content, which has gone nowhere yet.
    pub(crate) fn copy(&self) -> Finished {
        Finished {
            id: self.id,
            destination: self.destination,
            has_info: self.has_info,
            earlier: self.earlier,
            goes_on: self.goes_on,
            attachments: self.attachments.clone(),
            update: self.update.clone(),
            spans: self.spans.clone(),
            span_count: self.span_count,
            progress: Progress::default(),
        }
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
