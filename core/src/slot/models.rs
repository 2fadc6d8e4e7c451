//! Models of how threads meet in slots, for `make loom`.
//!
//! The places are the engine's. What spans and traces do in them repeats the steps of `start.rs`, `ending.rs` and
//! `state.rs` in their order, without the bytes that a single thread works on in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32 as Tally, Ordering};

use loom::thread;

use super::place::{Guard, Place};
use crate::lock::Mutex;
use crate::sync::AtomicU64;

const FORK: u32 = 1;
/// The key of the trace in most models.
const TRACE: u64 = 7;

#[derive(Clone, Copy, PartialEq, Debug)]
struct Handle {
    at: usize,
    generation: u32,
}

/// What lies in a place: a span, a trace, both or neither.
#[derive(Default)]
struct Content {
    span: Option<Span>,
    trace: Option<Trace>,
    /// How often a trace was opened here.
    openings: u32,
}

/// Where a trace lies.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Site {
    at: usize,
    opening: u32,
}

struct Span {
    home: Site,
    trace: u64,
    attribute: u32,
}

struct Trace {
    key: u64,
    open: u32,
    ended: u32,
    /// The sum of what its spans recorded.
    attributes: u32,
    root_ended: bool,
}

/// A table of slots, and what became of the spans in it. The tallies are no part of the model: they order nothing.
struct Slots {
    places: Vec<Place<Content>>,
    keys: Vec<AtomicU64>,
    free: std::sync::Mutex<Vec<usize>>,
    joining: Mutex<()>,
    created: Tally,
    handed_over: Tally,
    attributes: Tally,
    unfinished: Tally,
}

impl Slots {
    fn new(count: usize) -> Arc<Self> {
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

    fn allocate(&self) -> (usize, Guard<'_, Content>) {
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

    fn lock(&self, span: Handle) -> Option<Guard<'_, Content>> {
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

    fn find(&self, key: u64) -> Option<(usize, Guard<'_, Content>)> {
        let keys = self.keys.iter().enumerate();
        keys.filter(|(_, entry)| entry.load(Ordering::Acquire) == key)
            .find_map(|(at, _)| Some((at, self.lock_trace_at(at, key)?)))
    }

    fn create(&self) {
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

    fn root(&self, key: u64) -> Handle {
        self.create();
        let (at, mut place) = self.allocate();
        let home = self.open(at, key, &mut place);
        self.live(at, home, key, place)
    }

    fn live(&self, at: usize, home: Site, trace: u64, mut place: Guard<'_, Content>) -> Handle {
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

    /// `None` when the parent has ended; the engine begins a root then.
    fn child(&self, parent: Handle) -> Option<Handle> {
        let mut place = self.lock(parent)?;
        let span = place.span.as_ref().unwrap();
        let (home, key) = (span.home, span.trace);
        let opened = match home.at == parent.at {
            true => {
                let trace = place.trace.as_mut();
                let opened = trace.map(|trace| trace.open += 1).is_some();
                drop(place);
                opened
            }
            false => {
                drop(place);
                let home = self.lock_trace(home, key);
                home.is_some_and(|mut home| home.trace.as_mut().map(|it| it.open += 1).is_some())
            }
        };
        if !opened {
            return Some(self.join(key));
        }
        self.create();
        let (at, place) = self.allocate();
        Some(self.live(at, home, key, place))
    }

    /// A span under a context.
    fn join(&self, key: u64) -> Handle {
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

    fn set(&self, span: Handle, value: u32) -> bool {
        let place = self.lock(span);
        place
            .map(|mut place| place.span.as_mut().unwrap().attribute = value)
            .is_some()
    }

    /// Ends a span; what it had recorded.
    fn end(&self, span: Handle) -> Option<u32> {
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
        if trace.open > 0 {
            return false;
        }
        self.hand_over(trace);
        place.trace = None;
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
    fn close(&self) {
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
    fn sweep(&self) {
        self.for_each_trace(|_, mut place| {
            if let Some(trace) = place.trace.as_mut().filter(|trace| trace.root_ended) {
                self.hand_over(trace);
            }
        });
    }

    /// Every span was counted once, and every slot is free once.
    fn check(&self) {
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

/// Runs `steps` on a thread of its own.
fn spawn<R: 'static>(
    slots: &Arc<Slots>,
    steps: impl FnOnce(&Slots) -> R + 'static,
) -> thread::JoinHandle<R> {
    let slots = slots.clone();
    thread::spawn(move || steps(&slots))
}

#[test]
fn of_two_ends_one_counts() {
    loom::model(|| {
        let slots = Slots::new(1);
        let span = slots.root(TRACE);
        let other = spawn(&slots, move |slots| slots.end(span).is_some());
        let here = slots.end(span).is_some();
        assert!(other.join().unwrap() != here);
        slots.check();
    });
}

#[test]
fn what_is_set_before_the_end_is_in_the_span() {
    loom::model(|| {
        let slots = Slots::new(1);
        let span = slots.root(TRACE);
        let set = spawn(&slots, move |slots| slots.set(span, 9));
        let recorded = slots.end(span).unwrap();
        assert_eq!(recorded == 9, set.join().unwrap());
        slots.check();
    });
}

#[test]
fn a_stale_handle_never_reaches_the_next_span() {
    loom::model(|| {
        let slots = Slots::new(1);
        let span = slots.root(TRACE);
        let stale = spawn(&slots, move |slots| {
            (slots.set(span, 9), slots.end(span).is_some())
        });
        let ended = slots.end(span);
        let next = ended.map(|_| {
            let next = slots.root(TRACE + 1);
            assert_eq!(next.at, span.at);
            next
        });
        let (set, ended_there) = stale.join().unwrap();
        assert!(ended.is_some() != ended_there);
        assert_eq!(
            ended.is_some_and(|recorded| recorded == 9),
            set && ended.is_some()
        );
        if let Some(next) = next {
            assert_eq!(slots.end(next), Some(0));
        }
        slots.check();
    });
}

#[test]
fn a_root_may_end_while_its_child_starts() {
    loom::model(|| {
        let slots = Slots::new(2);
        let root = slots.root(TRACE);
        let child = spawn(&slots, move |slots| {
            slots
                .child(root)
                .is_none_or(|child| slots.end(child).is_some())
        });
        assert!(slots.end(root).is_some());
        assert!(child.join().unwrap());
        slots.check();
    });
}

#[test]
fn the_last_of_several_to_end_completes_the_trace() {
    loom::model(|| {
        let slots = Slots::new(3);
        let root = slots.root(TRACE);
        let children = [slots.child(root).unwrap(), slots.child(root).unwrap()];
        let threads = children.map(|child| spawn(&slots, move |slots| slots.end(child).is_some()));
        assert!(slots.end(root).is_some());
        for thread in threads {
            assert!(thread.join().unwrap());
        }
        slots.check();
    });
}

#[test]
fn a_grandchild_may_start_while_its_parent_ends() {
    loom::model(|| {
        let slots = Slots::new(3);
        let root = slots.root(TRACE);
        let child = slots.child(root).unwrap();
        let other = spawn(&slots, move |slots| {
            let grandchild = slots.child(child);
            grandchild.is_none_or(|grandchild| slots.end(grandchild).is_some())
        });
        assert!(slots.end(child).is_some());
        assert!(slots.end(root).is_some());
        assert!(other.join().unwrap());
        slots.check();
    });
}

#[test]
fn a_trace_may_be_closed_while_a_child_starts() {
    loom::model(|| {
        // One more: a child of a trace that was closed begins another one.
        let slots = Slots::new(3);
        let root = slots.root(TRACE);
        let child = spawn(&slots, move |slots| {
            slots
                .child(root)
                .is_none_or(|child| slots.end(child).is_some())
        });
        slots.close();
        assert!(child.join().unwrap());
        assert!(slots.end(root).is_some());
        slots.check();
    });
}

#[test]
fn a_trace_may_be_closed_while_its_spans_end() {
    loom::model(|| {
        let slots = Slots::new(2);
        let root = slots.root(TRACE);
        let child = slots.child(root).unwrap();
        let close = spawn(&slots, |slots| slots.close());
        let other = spawn(&slots, move |slots| slots.end(child).is_some());
        assert!(slots.end(root).is_some());
        assert!(other.join().unwrap());
        close.join().unwrap();
        slots.check();
    });
}

#[test]
fn a_late_child_follows_what_the_sweep_has_sent() {
    loom::model(|| {
        let slots = Slots::new(2);
        let root = slots.root(TRACE);
        let child = slots.child(root).unwrap();
        let sweep = spawn(&slots, |slots| slots.sweep());
        let other = spawn(&slots, move |slots| slots.end(child).is_some());
        assert!(slots.end(root).is_some());
        assert!(other.join().unwrap());
        sweep.join().unwrap();
        slots.check();
    });
}

#[test]
fn spans_under_one_context_share_a_trace() {
    loom::model(|| {
        let slots = Slots::new(4);
        let other = spawn(&slots, |slots| slots.join(TRACE));
        let here = slots.join(TRACE);
        let there = other.join().unwrap();
        let home = |span| slots.lock(span).unwrap().span.as_ref().unwrap().home;
        assert_eq!(home(here), home(there));
        assert!(slots.end(here).is_some() && slots.end(there).is_some());
        slots.check();
    });
}

#[test]
fn a_trace_that_is_found_is_whole() {
    loom::model(|| {
        let slots = Slots::new(1);
        let begun = spawn(&slots, |slots| slots.root(TRACE));
        if let Some((_, place)) = slots.find(TRACE) {
            assert_eq!(place.trace.as_ref().map(|trace| trace.open), Some(1));
            assert!(place.is_live() && place.span.is_some());
        }
        assert!(slots.end(begun.join().unwrap()).is_some());
        slots.check();
    });
}

#[test]
fn a_child_of_a_closed_trace_leaves_the_next_one_in_the_slot_alone() {
    loom::model(|| {
        let slots = Slots::new(2);
        let root = slots.root(TRACE);
        let child = slots.child(root).unwrap();
        slots.close();
        assert!(slots.end(root).is_some());
        let late = spawn(&slots, move |slots| slots.end(child).is_some());
        let next = slots.root(TRACE + 1);
        assert_eq!(next.at, root.at);
        assert!(slots.end(next).is_some());
        assert!(late.join().unwrap());
        slots.check();
    });
}

#[test]
fn a_child_of_a_closed_trace_does_not_end_in_what_follows_it() {
    loom::model(|| {
        let slots = Slots::new(3);
        let root = slots.root(TRACE);
        let child = slots.child(root).unwrap();
        slots.close();
        assert!(slots.end(root).is_some());
        let late = spawn(&slots, move |slots| slots.end(child).is_some());
        // Under the same id, in the same slot.
        let next = slots.join(TRACE);
        assert!(slots.set(next, 9));
        assert_eq!(slots.end(next), Some(9));
        assert!(late.join().unwrap());
        assert_eq!(slots.attributes.load(Ordering::Relaxed), 9);
        slots.check();
    });
}

/// Two children that were starting when their traces were closed may have got each other's trace's slot.
#[test]
fn spans_that_look_for_traces_in_each_others_slots_end() {
    loom::model(|| {
        let slots = Slots::new(2);
        let lost = |at: usize| {
            slots.create();
            let home = Site { at, opening: 0 };
            slots.unfinished.fetch_add(1, Ordering::Relaxed);
            let (at, place) = slots.allocate();
            slots.live(at, home, TRACE, place)
        };
        let (one, two) = (lost(1), lost(0));
        let other = spawn(&slots, move |slots| slots.end(two).is_some());
        assert!(slots.end(one).is_some());
        assert!(other.join().unwrap());
        slots.check();
    });
}
