//! Where live spans and open traces are kept: a table of slots that are reused and never freed.
//!
//! A handle is a slot number and the slot's generation at the time, so a stale handle is recognised
//! by two loads and a span costs no allocation once its slot has been used. The trace lives in the slot
//! of its first span, whose lock is thereby the trace's as well; a slot is free again when its span has
//! ended and its trace, if it holds one, was handed over. See `docs/decisions/0001-span-handles.md` and
//! `docs/decisions/0006-recording-without-shared-locks.md`.
//!
//! Locks are taken in this order: a span's slot, the slot of its trace, an outbox.

#[cfg(all(test, mlflow_loom))]
mod models;
mod place;

use std::array;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use once_cell::race::OnceBox;

use crate::id::TraceId;
use crate::live::LiveSpan;
use crate::lock::Mutex;
use crate::pipeline::fork::{self, ForkCell};
use crate::trace::Trace;
use place::{Guard, Place};

const CHUNK: usize = 64;
/// 16,384 chunks: 1,048,576 slots in a process.
const CHUNKS: usize = 1 << 14;
/// A thread keeps this many free slots to itself.
const LOCAL_FREE: usize = 64;

/// All zero, unlike one of `OnceLock`: that would be stored in the library, with 640 KB.
static TABLE: [OnceBox<Chunk>; CHUNKS] = [const { OnceBox::new() }; CHUNKS];
static CHUNKS_USED: AtomicUsize = AtomicUsize::new(0);
static FREE: ForkCell<Mutex<Vec<u32>>> = ForkCell::new();

struct Chunk {
    slots: [Place<Cell>; CHUNK],
    /// For every slot the lower half of the id of the trace in it, 0 without one: dense, because finding
    /// a trace by its id means looking at all of them.
    traces: [AtomicU64; CHUNK],
}

impl Chunk {
    fn new() -> Box<Self> {
        Box::new(Chunk {
            slots: array::from_fn(|_| Place::default()),
            traces: array::from_fn(|_| AtomicU64::new(0)),
        })
    }
}

/// What a slot holds.
#[derive(Default)]
pub(crate) struct Cell {
    pub(crate) live: LiveSpan,
    /// The trace whose first span had this slot. Kept when it is over, for the next one.
    pub(crate) trace: Option<Box<Trace>>,
}

impl Cell {
    /// Whether an open trace of this tracer lies here.
    pub(crate) fn belongs_to(&self, state: u64) -> bool {
        let trace = self.trace.as_deref();
        trace.is_some_and(|trace| trace.is_open() && trace.state.id == state)
    }

    /// The trace, while it is open.
    pub(crate) fn open_trace(&mut self) -> Option<&mut Trace> {
        self.trace.as_deref_mut().filter(|trace| trace.is_open())
    }
}

fn slot(index: u32) -> Option<&'static Place<Cell>> {
    let index = index as usize;
    TABLE.get(index / CHUNK)?.get()?.slots.get(index % CHUNK)
}

/// The entry of a slot in the index of traces.
fn entry(index: u32) -> Option<&'static AtomicU64> {
    let index = index as usize;
    TABLE.get(index / CHUNK)?.get()?.traces.get(index % CHUNK)
}

/// Publishes which trace lies in a slot, or that there is none any more.
fn publish(index: u32, key: u64) {
    if let Some(entry) = entry(index) {
        entry.store(key, Ordering::Release);
    }
}

/// Where a trace lies: a slot, and how often a trace was opened there. The same id may come again in the same
/// slot, when a span under a remote parent follows a trace that was closed without waiting for its spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Site {
    pub(crate) index: u32,
    pub(crate) opening: u32,
}

impl Site {
    /// In no slot.
    pub(crate) const NOWHERE: Site = Site {
        index: u32::MAX,
        opening: 0,
    };
}

impl Default for Site {
    fn default() -> Self {
        Site::NOWHERE
    }
}

/// The slot that a trace lies in, and its id.
pub(crate) type Home = (Site, TraceId);

/// What stands for a trace in the index; never 0.
fn key(id: TraceId) -> u64 {
    id.low().max(1)
}

/// A slot number and a generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Handle {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// The free slots of one thread.
#[derive(Default)]
pub(crate) struct FreeSlots(Vec<u32>);

impl FreeSlots {
    #[inline]
    fn take(&mut self) -> Option<u32> {
        if self.0.is_empty() {
            self.refill();
        }
        self.0.pop()
    }

    #[inline]
    fn give(&mut self, index: u32) {
        self.0.push(index);
        if self.0.len() > LOCAL_FREE {
            self.spill();
        }
    }

    #[cold]
    fn spill(&mut self) {
        global_free().lock().extend(self.0.drain(LOCAL_FREE / 2..));
    }

    /// Leaves all of them to other threads.
    pub(crate) fn give_back(&mut self) {
        if !self.0.is_empty() {
            global_free().lock().append(&mut self.0);
        }
    }

    #[cold]
    fn refill(&mut self) {
        {
            let mut free = global_free().lock();
            let keep = free.len().saturating_sub(LOCAL_FREE / 2);
            self.0.extend(free.drain(keep..));
        }
        if !self.0.is_empty() {
            return;
        }
        let chunk = CHUNKS_USED.fetch_add(1, Ordering::Relaxed);
        let Some(place) = TABLE.get(chunk) else {
            CHUNKS_USED.fetch_sub(1, Ordering::Relaxed);
            return;
        };
        place.get_or_init(Chunk::new);
        let first = (chunk * CHUNK) as u32;
        // The lowest is used first: what is in use stays dense.
        self.0.extend((first..first + CHUNK as u32).rev());
    }
}

fn global_free() -> &'static Mutex<Vec<u32>> {
    FREE.get_or_init(Mutex::default)
}

/// Takes a free slot; `None` when a million are in use. The caller lets a span or a trace live in it.
pub(crate) fn allocate(free: &mut FreeSlots) -> Option<Locked> {
    let index = free.take()?;
    let cell = slot(index)?.claim(fork::generation());
    Some(Locked { index, cell })
}

/// Locks the slot of a handle; `None` when its span has ended, never existed or belongs to a parent process.
#[inline]
pub(crate) fn lock(handle: Handle) -> Option<Locked> {
    let index = handle.index;
    let cell = slot(index)?.lock(handle.generation, fork::generation())?;
    Some(Locked { index, cell })
}

/// Locks the slot that a trace lies in; `None` when the trace was handed over.
#[inline]
pub(crate) fn lock_trace(site: Site, id: TraceId) -> Option<Locked> {
    let here = |locked: &Locked| locked.site() == site;
    lock_trace_at(site.index, id).filter(here)
}

/// As [`lock_trace`], for whichever trace of this id lies in the slot.
pub(crate) fn lock_trace_at(index: u32, id: TraceId) -> Option<Locked> {
    let is_here = || entry(index).is_some_and(|entry| entry.load(Ordering::Acquire) == key(id));
    let mut cell = slot(index)?.enter(fork::generation(), is_here)?;
    cell.open_trace().filter(|trace| trace.id == id)?;
    Some(Locked { index, cell })
}

/// The slots in use whose entry in the index satisfies `wanted`.
fn scan(wanted: impl Fn(u64) -> bool) -> impl Iterator<Item = u32> {
    let used = CHUNKS_USED.load(Ordering::Acquire).min(CHUNKS);
    let chunks = TABLE[..used].iter().enumerate();
    chunks
        .filter_map(|(number, place)| Some((number, place.get()?)))
        .flat_map(|(number, chunk)| {
            let first = number * CHUNK;
            let entries = chunk.traces.iter().enumerate();
            entries.map(move |(at, entry)| (first + at, entry))
        })
        .filter(move |(_, entry)| wanted(entry.load(Ordering::Acquire)))
        .map(|(index, _)| index as u32)
}

/// The slots in which traces of this id seem to lie; to be verified with [`lock_trace_at`].
pub(crate) fn find_traces(id: TraceId) -> impl Iterator<Item = u32> {
    let wanted = key(id);
    scan(move |entry| entry == wanted)
}

/// Visits every open trace of this process, one locked slot after the other.
pub(crate) fn for_each_trace(mut visit: impl FnMut(Locked)) {
    for index in scan(|entry| entry != 0) {
        let cell = slot(index).and_then(|slot| slot.enter(fork::generation(), || true));
        if let Some(cell) = cell {
            visit(Locked { index, cell });
        }
    }
}

/// The live spans of the wanted traces, each with the slot and the id of its trace; roots last.
pub(crate) fn live_spans(wanted: impl Fn(Home) -> bool) -> Vec<(Home, Handle)> {
    let used = CHUNKS_USED.load(Ordering::Acquire).min(CHUNKS);
    let mut spans = Vec::new();
    let mut roots = Vec::new();
    for index in 0..(used * CHUNK) as u32 {
        let generation = slot(index).map(Place::generation);
        let handle = generation.map(|generation| Handle { index, generation });
        let Some(locked) = handle.and_then(lock) else {
            continue;
        };
        let id = locked.live.trace_id();
        let home = id
            .map(|id| (locked.live.home, id))
            .filter(|home| wanted(*home));
        let list = match locked.live.is_root() {
            true => &mut roots,
            false => &mut spans,
        };
        list.extend(home.zip(handle));
    }
    spans.append(&mut roots);
    spans
}

/// A slot, locked.
pub(crate) struct Locked {
    pub(crate) index: u32,
    cell: Guard<'static, Cell>,
}

impl Locked {
    /// Where the trace lies that was last opened here.
    #[inline]
    pub(crate) fn site(&self) -> Site {
        Site {
            index: self.index,
            opening: self.trace.as_deref().map_or(0, |trace| trace.opening),
        }
    }

    /// Lets a span live in the slot; it must have been filled.
    #[inline]
    pub(crate) fn start_span(&self) -> Handle {
        Handle {
            index: self.index,
            generation: self.cell.advance(),
        }
    }

    /// Makes the trace of the slot, which must have been filled, one that others find by its id.
    #[inline]
    pub(crate) fn publish_trace(&self, id: TraceId) {
        publish(self.index, key(id));
    }

    /// Ends the life of the span's handle.
    #[inline]
    pub(crate) fn end_span(&mut self) {
        self.cell.live.reset();
        self.cell.advance();
    }

    /// Takes the trace, which was handed over, off the index.
    #[inline]
    pub(crate) fn end_trace(&self) {
        publish(self.index, 0);
    }

    /// Unlocks the slot; it is free again if neither a span nor an open trace is in it.
    #[inline]
    pub(crate) fn release(mut self, free: &mut FreeSlots) {
        let in_use = self.cell.is_live() || self.cell.open_trace().is_some();
        let index = self.index;
        drop(self.cell);
        if !in_use {
            free.give(index);
        }
    }
}

impl std::ops::Deref for Locked {
    type Target = Cell;

    #[inline]
    fn deref(&self) -> &Cell {
        &self.cell
    }
}

impl std::ops::DerefMut for Locked {
    #[inline]
    fn deref_mut(&mut self) -> &mut Cell {
        &mut self.cell
    }
}
