//! What a thread keeps to itself, so that recording meets no other thread: ids, clock, free slots,
//! buffers, and the outboxes in which its finished traces wait for the exporter.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::buffers::Buffers;
use crate::clock::Anchor;
use crate::destination::{self, Destination};
use crate::id::{self, TraceId};
use crate::pipeline::fork;
use crate::pipeline::outbox::Outbox;
use crate::pipeline::queue::Queue;
use crate::slot::FreeSlots;
use crate::state::State;

/// The state of one thread in one fork generation.
pub(crate) struct Local {
    fork: u32,
    pub(crate) rng: SmallRng,
    pub(crate) anchor: Anchor,
    pub(crate) free: FreeSlots,
    pub(crate) buffers: Buffers,
    /// One for each tracer that this thread has used, by the number of its state, and for its mirror.
    outboxes: Vec<(u64, Arc<Outbox>)>,
    /// The destination last asked for, by its number.
    destination: Option<(u32, &'static Destination)>,
    /// The trace that this thread ended last.
    pub(crate) last_trace: Option<TraceId>,
}

thread_local! {
    static LOCAL: RefCell<Option<Local>> = const { RefCell::new(None) };
}

/// Runs `f` with this thread's state. While the thread ends, `f` gets a state for this call only.
#[inline]
pub(crate) fn with<R>(mut f: impl FnMut(&mut Local) -> R) -> R {
    LOCAL
        .try_with(|cell| {
            let mut local = cell.try_borrow_mut().ok()?;
            Some(f(current(&mut local)))
        })
        .ok()
        .flatten()
        .unwrap_or_else(|| f(&mut Local::new()))
}

/// A fork's child begins anew: it must not repeat its parent's ids, and a free slot may be held by a
/// thread of the parent at that moment.
#[inline]
fn current(local: &mut Option<Local>) -> &mut Local {
    if local
        .as_ref()
        .is_none_or(|local| local.fork != fork::generation())
    {
        *local = None;
    }
    local.get_or_insert_with(Local::new)
}

impl Local {
    #[cold]
    fn new() -> Self {
        Local {
            fork: fork::generation(),
            rng: SmallRng::from_seed(id::seed()),
            anchor: Anchor::default(),
            free: FreeSlots::default(),
            buffers: Buffers::default(),
            outboxes: Vec::new(),
            destination: None,
            last_trace: None,
        }
    }

    /// This thread's outbox of a tracer.
    #[inline]
    pub(crate) fn outbox(&mut self, state: &State) -> &Outbox {
        let known = self.outboxes.iter().position(|(id, _)| *id == state.id);
        let index = known.unwrap_or_else(|| self.register(state.id, &state.shared.queue));
        &self.outboxes[index].1
    }

    /// This thread's outbox of a queue, by the number under which it is kept.
    pub(crate) fn outbox_of(&mut self, number: u64, queue: &Queue) -> &Outbox {
        let known = self.outboxes.iter().position(|(id, _)| *id == number);
        let index = known.unwrap_or_else(|| self.register(number, queue));
        &self.outboxes[index].1
    }

    #[cold]
    fn register(&mut self, number: u64, queue: &Queue) -> usize {
        self.outboxes.retain(|(_, outbox)| !outbox.is_closed());
        let outbox = Arc::new(Outbox::default());
        queue.register(outbox.clone());
        self.outboxes.push((number, outbox));
        self.outboxes.len() - 1
    }

    /// The destination of this number.
    #[inline]
    pub(crate) fn destination(&mut self, number: u32) -> &'static Destination {
        match self.destination {
            Some((known, destination)) if known == number => destination,
            _ => {
                let destination = destination::by_number(number);
                self.destination = Some((number, destination));
                destination
            }
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if self.fork != fork::generation() {
            return;
        }
        self.free.give_back();
        for (_, outbox) in &self.outboxes {
            outbox.orphaned.store(true, Ordering::Release);
        }
    }
}
