//! What waits for one destination, of one process, in the order in which it came.

use std::collections::VecDeque;
use std::ops::{AddAssign, SubAssign};
use std::sync::Arc;
use std::time::Instant;

use crate::destination::Destination;
use crate::finished::Finished;
use crate::record::Origin;

/// How much something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) traces: usize,
    /// As [`Finished::size`] counts them.
    pub(crate) bytes: usize,
    pub(crate) spans: u64,
}

impl Load {
    pub(crate) fn of(traces: &[Finished]) -> Self {
        let mut load = Load::default();
        traces.iter().for_each(|trace| load += Load::one(trace));
        load
    }

    pub(crate) fn one(trace: &Finished) -> Self {
        Load {
            traces: 1,
            bytes: trace.size(),
            spans: u64::from(trace.span_count),
        }
    }
}

impl AddAssign for Load {
    fn add_assign(&mut self, other: Load) {
        self.traces += other.traces;
        self.bytes += other.bytes;
        self.spans += other.spans;
    }
}

impl SubAssign for Load {
    fn sub_assign(&mut self, other: Load) {
        self.traces -= other.traces;
        self.bytes -= other.bytes;
        self.spans -= other.spans;
    }
}

/// Traces in a block: what grows is a list of blocks, so that growing never moves a trace, and memory is given
/// back block by block.
const BLOCK: usize = 64;

pub(super) struct Lane {
    pub(super) destination: &'static Destination,
    /// The process that recorded what waits here, where that is not this one.
    pub(super) origin: Option<Arc<Origin>>,
    blocks: VecDeque<VecDeque<Finished>>,
    pub(super) load: Load,
    /// When the first of them came, as far as that is known; absent when nothing waits.
    pub(super) since: Option<Instant>,
}

impl Lane {
    pub(super) fn new(destination: &'static Destination, origin: Option<Arc<Origin>>) -> Self {
        Lane {
            destination,
            origin,
            blocks: VecDeque::new(),
            load: Load::default(),
            since: None,
        }
    }

    pub(super) fn push(&mut self, trace: Finished, now: Instant) {
        self.since.get_or_insert(now);
        self.load += Load::one(&trace);
        match self.blocks.back_mut() {
            Some(block) if block.len() < BLOCK => block.push_back(trace),
            _ => {
                let mut block = VecDeque::with_capacity(BLOCK);
                block.push_back(trace);
                self.blocks.push_back(block);
            }
        }
    }

    pub(super) fn front(&self) -> Option<&Finished> {
        self.blocks.front()?.front()
    }

    pub(super) fn pop(&mut self) -> Option<Finished> {
        let block = self.blocks.front_mut()?;
        let trace = block.pop_front()?;
        if block.is_empty() {
            self.blocks.pop_front();
        }
        self.load -= Load::one(&trace);
        if self.blocks.is_empty() {
            self.since = None;
        }
        Some(trace)
    }
}
