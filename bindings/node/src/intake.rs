//! Frames that JavaScript has handed over and the engine has not taken yet, and the thread that takes them.
//!
//! To take a span costs the engine a third of what writing it costs JavaScript, and nobody waits for it: so a thread of
//! JavaScript leaves a copy here and goes on. One thread takes what all of them left, in the order in which it came.

use std::mem;
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// More than so many bytes do not wait: whoever brings more waits until they were taken.
const MOST_BYTES: usize = 4 << 20;
/// Room that is kept where nothing has come for some time: new memory costs more than the copy.
const KEPT_BYTES: usize = 128 << 10;
const LULL: Duration = Duration::from_secs(1);
/// The thread is asleep for so long before it looks whether more has come: to be woken costs those who record more than
/// their frames do.
const NAP: Duration = Duration::from_millis(1);
/// It is woken before that where so many bytes wait.
const URGENT_BYTES: usize = 256 << 10;

/// Takes the frames of one hand-over; must not panic.
type Take = fn(&[u8]);

pub(crate) struct Intake {
    take: Take,
    waiting: Mutex<Waiting>,
    /// Something is to be taken.
    wake: Condvar,
    /// Something was taken.
    taken: Condvar,
}

struct Waiting {
    frames: Vec<u8>,
    /// Where each hand-over ends: a bad frame in one must not cost another's.
    ends: Vec<usize>,
    thread: Thread,
    /// How often frames were brought, and how many of these times are over and done with.
    brought: u64,
    done: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Thread {
    None,
    /// It sleeps until it is woken.
    Asleep,
    /// It will look by itself.
    Napping,
    /// It takes, or is about to look.
    Awake,
}

impl Intake {
    pub(crate) const fn new(take: Take) -> Self {
        Intake {
            take,
            waiting: Mutex::new(Waiting {
                frames: Vec::new(),
                ends: Vec::new(),
                thread: Thread::None,
                brought: 0,
                done: 0,
            }),
            wake: Condvar::new(),
            taken: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves frames to be taken soon.
    pub(crate) fn bring(&'static self, frames: &[u8]) {
        let mut waiting = self.lock();
        if waiting.thread == Thread::None {
            if !self.spawn() {
                drop(waiting);
                return (self.take)(frames);
            }
            waiting.thread = Thread::Awake;
        }
        while waiting.frames.len() > MOST_BYTES {
            waiting = self.until_taken(waiting);
        }
        waiting.frames.extend_from_slice(frames);
        let end = waiting.frames.len();
        waiting.ends.push(end);
        waiting.brought += 1;
        let is_urgent = end >= URGENT_BYTES && waiting.thread == Thread::Napping;
        if is_urgent || waiting.thread == Thread::Asleep {
            waiting.thread = Thread::Awake;
            drop(waiting);
            self.wake.notify_one();
        }
    }

    /// Waits until all was taken that was brought before.
    pub(crate) fn settle(&self) {
        let mut waiting = self.lock();
        let brought = waiting.brought;
        while waiting.done < brought {
            waiting = self.until_taken(waiting);
        }
    }

    /// Has the thread take what waits, and waits for the end of that.
    fn until_taken<'a>(&self, mut waiting: MutexGuard<'a, Waiting>) -> MutexGuard<'a, Waiting> {
        waiting.thread = Thread::Awake;
        self.wake.notify_one();
        let waited = self.taken.wait(waiting);
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&'static self) -> bool {
        let thread = thread::Builder::new().name("mlflow-intake".to_owned());
        thread.spawn(|| self.run()).is_ok()
    }

    fn run(&self) {
        let mut frames = Vec::new();
        let mut ends = Vec::new();
        let mut waiting = self.lock();
        loop {
            if waiting.ends.is_empty() {
                waiting = self.rest(waiting, Thread::Asleep, LULL);
            }
            if waiting.ends.is_empty() {
                frames.shrink_to(KEPT_BYTES);
                waiting.frames.shrink_to(KEPT_BYTES);
                waiting = self.rest(waiting, Thread::Asleep, Duration::MAX);
            }
            waiting.thread = Thread::Awake;
            mem::swap(&mut frames, &mut waiting.frames);
            mem::swap(&mut ends, &mut waiting.ends);
            let brought = waiting.brought;
            drop(waiting);
            for range in ranges(&ends) {
                (self.take)(&frames[range]);
            }
            frames.clear();
            ends.clear();
            waiting = self.lock();
            waiting.done = brought;
            self.taken.notify_all();
            waiting = self.rest(waiting, Thread::Napping, NAP);
        }
    }

    /// Waits in this way until the thread is woken, but no longer than `most`.
    fn rest<'a>(
        &self,
        mut waiting: MutexGuard<'a, Waiting>,
        way: Thread,
        most: Duration,
    ) -> MutexGuard<'a, Waiting> {
        waiting.thread = way;
        let is_resting = |waiting: &mut Waiting| waiting.thread == way;
        let rested = self.wake.wait_timeout_while(waiting, most, is_resting);
        rested.unwrap_or_else(PoisonError::into_inner).0
    }
}

fn ranges(ends: &[usize]) -> impl Iterator<Item = Range<usize>> {
    let mut begin = 0;
    ends.iter()
        .map(move |&end| mem::replace(&mut begin, end)..end)
}
