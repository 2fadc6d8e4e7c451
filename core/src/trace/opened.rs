//! What the spool knows of a trace that is open, for whoever has to close it if this process dies.

use super::{Finished, Trace};
use crate::otlp::{SCOPE_SPANS_SPANS, wire};
use crate::pipeline::depot::Receipt;

impl Trace {
    /// Whether the spool is still to be told that it is open: its root is, and it is to be sent. Not where processors of
    /// the host have a say in what is sent: they see a span when it ends.
    pub(crate) fn is_unknown(&self) -> bool {
        let run = &self.run;
        run.opened.is_none()
            && !(run.spans_only || run.root_ended || run.overfull)
            && run.is_wanted()
            && self.state.plugins.processors.is_empty()
    }

    /// Writes down that it is open; `root` is the message of its root as it is now.
    pub(crate) fn note_open(&mut self, mut root: Vec<u8>) {
        let Trace { id, state, run, .. } = self;
        let shared = &state.shared;
        let Some(depot) = &shared.depot else { return };
        shared.protect(&mut root, false);
        let mut update = run.update.clone();
        if let Some(update) = &mut update {
            shared.protect_update(update);
        }
        let mut spans = Vec::with_capacity(wire::field_len(root.len()));
        wire::bytes_field(&mut spans, SCOPE_SPANS_SPANS, &root);
        let mut open = Finished::new(*id, run.destination);
        open.has_info = true;
        open.update = update;
        open.spans = spans;
        open.span_count = 1;
        run.opened = depot.append_open(&open);
    }
}

impl super::Run {
    /// What becomes of the trace is decided: nobody has to close it any more. Before it is handed over, so that nobody
    /// closes a trace that was delivered.
    #[inline]
    pub(super) fn forget_open(&mut self) {
        if let Some(receipt) = self.opened.take() {
            Receipt::settle(&mut vec![receipt]);
        }
    }
}
