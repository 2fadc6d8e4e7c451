//! Something that holds the value that was written last.

use crate::run::{Entry, FINISH};

/// When a call was made: in which phase, and in which of its threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) phase: usize,
    pub(crate) thread: usize,
}

impl Moment {
    pub(crate) fn of(entry: &Entry) -> Self {
        Moment {
            phase: entry.phase,
            thread: entry.thread,
        }
    }
}

#[derive(Clone, Debug)]
struct Write<T> {
    moment: Moment,
    value: T,
    /// Whether the write is known to have reached this very register.
    certain: bool,
}

/// The writes of a register, those of a thread in its order.
#[derive(Clone, Debug)]
pub(crate) struct Register<T> {
    writes: Vec<Write<T>>,
}

impl<T> Default for Register<T> {
    fn default() -> Self {
        Register { writes: Vec::new() }
    }
}

impl<T: Clone + PartialEq> Register<T> {
    pub(crate) fn write(&mut self, moment: Moment, value: T) {
        self.write_if(true, moment, value);
    }

    /// A write that went elsewhere perhaps, unless it is `certain`.
    pub(crate) fn write_if(&mut self, certain: bool, moment: Moment, value: T) {
        self.writes.push(Write {
            moment,
            value,
            certain,
        });
    }

    /// The values that it may hold in the end: of what was written at the same time, any may have come
    /// last. `None` stands for "never written".
    pub(crate) fn outcomes(&self) -> Vec<Option<T>> {
        let mut outcomes = Vec::new();
        for phase in (0..=FINISH).rev() {
            let writes = || {
                self.writes
                    .iter()
                    .filter(|write| write.moment.phase == phase)
            };
            let last_thread = writes().map(|write| write.moment.thread).max();
            for thread in 0..=last_thread.unwrap_or(0) {
                let of_thread = writes().filter(|write| write.moment.thread == thread);
                for write in of_thread.rev() {
                    outcomes.push(Some(write.value.clone()));
                    if write.certain {
                        break;
                    }
                }
            }
            if writes().any(|write| write.certain) {
                return outcomes;
            }
        }
        outcomes.push(None);
        outcomes
    }

    pub(crate) fn may_hold(&self, value: Option<&T>) -> bool {
        self.outcomes()
            .iter()
            .any(|outcome| outcome.as_ref() == value)
    }
}
