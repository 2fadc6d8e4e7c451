//! A table of slots for the models. The places are the engine's. What spans and traces do in them repeats the
//! steps of `start.rs`, `ending.rs`, `state.rs` and `pipeline/sweep.rs` in their order, without the bytes that a
//! single thread works on in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32 as Tally, Ordering};

use super::super::place::{Guard, Place};
use crate::lock::Mutex;
use crate::sync::AtomicU64;

const FORK: u32 = 1;

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Handle {
    pub(super) at: usize,
    generation: u32,
}

/// What lies in a place: a span, a trace, both or neither.
#[derive(Default)]
pub(super) struct Content {
    pub(super) span: Option<Span>,
    pub(super) trace: Option<Trace>,
    /// How often a trace was opened here.
    openings: u32,
}

/// Where a trace lies.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Site {
    pub(super) at: usize,
    pub(super) opening: u32,
}

pub(super) struct Span {
    pub(super) home: Site,
    trace: u64,
    attribute: u32,
}

pub(super) struct Trace {
    key: u64,
    pub(super) open: u32,
    ended: u32,
    /// The sum of what its spans recorded.
    attributes: u32,
    root_ended: bool,
}

/// A table of slots, and what became of the spans in it. The tallies are no part of the model: they order nothing.
pub(super) struct Slots {
    places: Vec<Place<Content>>,
    keys: Vec<AtomicU64>,
    free: std::sync::Mutex<Vec<usize>>,
    joining: Mutex<()>,
    created: Tally,
    handed_over: Tally,
    pub(super) attributes: Tally,
    pub(super) unfinished: Tally,
}

impl Slots {
    pub(super) fn new(count: usize) -> Arc<Self> {
        Arc::new(Slots {
            places: (0..count).map(|_| Place::default()).collect(),
            keys: (0..count).map(|_| AtomicU64::new(0)).collect(),
            free: std::sync::Mutex::new((0..count).rev().collect()),
            joining: Mutex::default(),
            created: Tally::default(),
            handed_over: Tally::default(),
            attributes: Tally::default(),
            unfinished: Tally::default(),
        })
    }

    pub(super) fn allocate(&self) -> (usize, Guard<'_, Content>) {
        let at = self.free.lock().unwrap().pop().unwrap();
        let place = self.places[at].claim(FORK);
        assert!(!place.is_live() && place.span.is_none() && place.trace.is_none());
        (at, place)
    }

    fn release(&self, at: usize, place: Guard<'_, Content>) {
        let in_use = place.is_live() || place.trace.is_some();
        drop(place);
        if !in_use {
            self.free.lock().unwrap().push(at);
        }
    }

    pub(super) fn lock(&self, span: Handle) -> Option<Guard<'_, Content>> {
        let place = self.places[span.at].lock(span.generation, FORK)?;
        assert!(place.span.is_some(), "a valid handle without a span");
        Some(place)
    }

    fn lock_trace(&self, site: Site, key: u64) -> Option<Guard<'_, Content>> {
        let place = self.lock_trace_at(site.at, key);
        place.filter(|place| place.openings == site.opening)
    }

    fn lock_trace_at(&self, at: usize, key: u64) -> Option<Guard<'_, Content>> {
        let is_here = || self.keys[at].load(Ordering::Acquire) == key;
        let place = self.places[at].enter(FORK, is_here)?;
        let is_it = place.trace.as_ref().is_some_and(|trace| trace.key == key);
        is_it.then_some(place)
    }

    pub(super) fn find(&self, key: u64) -> Option<(usize, Guard<'_, Content>)> {
        let keys = self.keys.iter().enumerate();
        keys.filter(|(_, entry)| entry.load(Ordering::Acquire) == key)
            .find_map(|(at, _)| Some((at, self.lock_trace_at(at, key)?)))
    }

    pub(super) fn create(&self) {
        self.created.fetch_add(1, Ordering::Relaxed);
    }

    fn open(&self, at: usize, key: u64, place: &mut Guard<'_, Content>) -> Site {
        place.openings += 1;
        place.trace = Some(Trace {
            key,
            open: 1,
            ended: 0,
            attributes: 0,
            root_ended: false,
        });
        self.keys[at].store(key, Ordering::Release);
        Site {
            at,
            opening: place.openings,
        }
    }

    pub(super) fn root(&self, key: u64) -> Handle {
        self.create();
        let (at, mut place) = self.allocate();
        let home = self.open(at, key, &mut place);
        self.live(at, home, key, place)
    }

    pub(super) fn live(
        &self,
        at: usize,
        home: Site,
        trace: u64,
        mut place: Guard<'_, Content>,
    ) -> Handle {
        place.span = Some(Span {
            home,
            trace,
            attribute: 0,
        });
        Handle {
            at,
            generation: place.advance(),
        }
    }

    /// Opens one more span in the trace of this one: where that lies, its key and whether it is still open. `None`
    /// when the span has ended.
    fn open_under(&self, parent: Handle) -> Option<(Site, u64, bool)> {
        let mut place = self.lock(parent)?;
        let span = place.span.as_ref().unwrap();
        let (home, key) = (span.home, span.trace);
        if home.at == parent.at {
            let trace = place.trace.as_mut();
            return Some((home, key, trace.map(|trace| trace.open += 1).is_some()));
        }
        drop(place);
        let place = self.lock_trace(home, key);
        let opened = place.is_some_and(|mut it| it.trace.as_mut().map(|it| it.open += 1).is_some());
        Some((home, key, opened))
    }

    /// `None` when the parent has ended; the engine begins a root then.
    pub(super) fn child(&self, parent: Handle) -> Option<Handle> {
        let (home, key, opened) = self.open_under(parent)?;
        if !opened {
            return Some(self.join(key));
        }
        self.create();
        let (at, place) = self.allocate();
        Some(self.live(at, home, key, place))
    }

    /// A child for which there is no slot.
    pub(super) fn lost_child(&self, parent: Handle) {
        let Some((home, key, true)) = self.open_under(parent) else {
            return;
        };
        self.create();
        if let Some(mut place) = self.lock_trace(home, key) {
            self.unfinished.fetch_add(1, Ordering::Relaxed);
            let trace = place.trace.as_mut().unwrap();
            trace.open -= 1;
            if self.settle(home.at, &mut place) {
                self.release(home.at, place);
            }
        }
    }

    /// A span under a context.
    pub(super) fn join(&self, key: u64) -> Handle {
        self.create();
        let home = {
            let _joining = self.joining.lock();
            match self.find(key) {
                Some((at, mut place)) => {
                    place.trace.as_mut().unwrap().open += 1;
                    let opening = place.openings;
                    Site { at, opening }
                }
                None => {
                    let (at, mut place) = self.allocate();
                    self.open(at, key, &mut place)
                }
            }
        };
        let (at, place) = self.allocate();
        self.live(at, home, key, place)
    }

    pub(super) fn set(&self, span: Handle, value: u32) -> bool {
        let place = self.lock(span);
        place
            .map(|mut place| place.span.as_mut().unwrap().attribute = value)
            .is_some()
    }

    /// Ends a span; what it had recorded.
    pub(super) fn end(&self, span: Handle) -> Option<u32> {
        let mut own = self.lock(span)?;
        let (home, key, attribute) = {
            let span = own.span.as_ref().unwrap();
            (span.home, span.trace, span.attribute)
        };
        if home.at == span.at {
            self.end_in(home.at, true, attribute, &mut own);
        } else if let Some(mut place) = self.lock_trace(home, key)
            && self.end_in(home.at, false, attribute, &mut place)
        {
            self.release(home.at, place);
        }
        own.span = None;
        own.advance();
        self.release(span.at, own);
        Some(attribute)
    }

    /// True when the trace is complete with it.
    fn end_in(
        &self,
        at: usize,
        is_root: bool,
        attribute: u32,
        place: &mut Guard<'_, Content>,
    ) -> bool {
        let Some(trace) = &mut place.trace else {
            return false;
        };
        trace.open -= 1;
        trace.ended += 1;
        trace.attributes += attribute;
        trace.root_ended |= is_root;
        self.settle(at, place)
    }

    /// Hands a trace over if nothing of it is open.
    fn settle(&self, at: usize, place: &mut Guard<'_, Content>) -> bool {
        let complete = place.trace.take_if(|trace| trace.open == 0);
        let Some(mut trace) = complete else {
            return false;
        };
        self.hand_over(&mut trace);
        self.keys[at].store(0, Ordering::Release);
        true
    }

    fn hand_over(&self, trace: &mut Trace) {
        let (ended, attributes) = (&mut trace.ended, &mut trace.attributes);
        self.handed_over
            .fetch_add(std::mem::take(ended), Ordering::Relaxed);
        self.attributes
            .fetch_add(std::mem::take(attributes), Ordering::Relaxed);
    }

    fn for_each_trace(&self, mut visit: impl FnMut(usize, Guard<'_, Content>)) {
        for at in 0..self.places.len() {
            if self.keys[at].load(Ordering::Acquire) != 0 {
                visit(at, self.places[at].enter(FORK, || true).unwrap());
            }
        }
    }

    /// A shutdown closes what is open.
    pub(super) fn close(&self) {
        self.for_each_trace(|at, mut place| {
            if let Some(mut trace) = place.trace.take() {
                self.unfinished.fetch_add(trace.open, Ordering::Relaxed);
                self.hand_over(&mut trace);
                self.keys[at].store(0, Ordering::Release);
                self.release(at, place);
            }
        });
    }

    /// The sweep sends traces whose children have outlived the root for too long.
    pub(super) fn sweep(&self) {
        self.for_each_trace(|_, mut place| {
            if let Some(trace) = place.trace.as_mut().filter(|trace| trace.root_ended) {
                self.hand_over(trace);
            }
        });
    }

    /// The sweep ends what is open of traces in which nothing happens any more, and then closes them.
    pub(super) fn abandon(&self) {
        let spans = self.places.iter().enumerate().map(|(at, place)| Handle {
            at,
            generation: place.generation(),
        });
        let (roots, spans): (Vec<_>, Vec<_>) = spans
            .filter_map(|span| Some((span, self.lock(span)?.span.as_ref()?.home)))
            .partition(|(span, home)| span.at == home.at);
        for (span, _) in spans.into_iter().chain(roots) {
            self.end(span);
        }
        self.close();
    }

    /// Every span was counted once, and every slot is free once.
    pub(super) fn check(&self) {
        let tally = |tally: &Tally| tally.load(Ordering::Relaxed);
        let counted = tally(&self.handed_over) + tally(&self.unfinished);
        assert_eq!(tally(&self.created), counted, "spans lost or counted twice");
        for (at, place) in self.places.iter().enumerate() {
            let place = place.enter(FORK, || true);
            assert!(place.is_none_or(|place| place.trace.is_none() && place.span.is_none()));
            assert_eq!(self.keys[at].load(Ordering::Acquire), 0);
        }
        let mut free = self.free.lock().unwrap().clone();
        free.sort_unstable();
        assert_eq!(free, (0..self.places.len()).collect::<Vec<_>>());
    }
}
