//! Models of how threads meet in slots, for `make loom`.

mod slots;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use loom::thread;

use crate::sync::{self, AtomicU64};
use slots::{Site, Slots};

/// The key of the trace in most models.
const TRACE: u64 = 7;

fn model(steps: impl Fn() + Send + Sync + 'static) {
    sync::explore(5, steps);
}

/// Runs `steps` on a thread of its own.
fn spawn<R: 'static>(
    slots: &Arc<Slots>,
    steps: impl FnOnce(&Slots) -> R + 'static,
) -> thread::JoinHandle<R> {
    let slots = slots.clone();
    thread::spawn(move || steps(&slots))
}

/// Were the models not run by loom, this one would hold.
#[test]
#[should_panic(expected = "an update was lost")]
fn loom_interrupts_between_two_steps() {
    model(|| {
        let sum = Arc::new(AtomicU64::new(0));
        let add = |sum: &AtomicU64| sum.store(sum.load(Ordering::SeqCst) + 1, Ordering::SeqCst);
        let other = {
            let sum = sum.clone();
            thread::spawn(move || add(&sum))
        };
        add(&sum);
        other.join().unwrap();
        assert_eq!(sum.load(Ordering::SeqCst), 2, "an update was lost");
    });
}

#[test]
fn of_two_ends_one_counts() {
    model(|| {
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
    model(|| {
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
    model(|| {
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
    model(|| {
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
    model(|| {
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
    model(|| {
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
    model(|| {
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
    model(|| {
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
fn a_child_without_a_slot_leaves_its_trace() {
    model(|| {
        let slots = Slots::new(1);
        let root = slots.root(TRACE);
        let lost = spawn(&slots, move |slots| slots.lost_child(root));
        let close = spawn(&slots, |slots| slots.close());
        assert!(slots.end(root).is_some());
        lost.join().unwrap();
        close.join().unwrap();
        slots.check();
    });
}

#[test]
fn what_is_ended_for_its_host_may_end_and_begin_meanwhile() {
    model(|| {
        let slots = Slots::new(2);
        let root = slots.root(TRACE);
        let sweep = spawn(&slots, |slots| slots.abandon());
        // Where the root was ended first there is no child.
        let child = slots.child(root);
        child.map(|child| slots.end(child));
        slots.end(root);
        sweep.join().unwrap();
        slots.check();
    });
}

#[test]
fn a_late_child_follows_what_the_sweep_has_sent() {
    model(|| {
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
    model(|| {
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
    model(|| {
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
    model(|| {
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
    model(|| {
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
    model(|| {
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
