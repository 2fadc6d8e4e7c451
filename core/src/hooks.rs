//! Who may change a span: anybody while it is recorded, its processors alone while they look at it.

use std::thread::{self, ThreadId};

/// How far the processors of a span are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hooks {
    #[default]
    Waiting,
    /// They run on this thread; no other may change the span meanwhile, behind their backs.
    Running(ThreadId),
    /// They have seen its end.
    Done,
}

impl Hooks {
    /// Whether this thread may change the span.
    #[inline]
    pub(crate) fn admit(self) -> bool {
        match self {
            Hooks::Waiting => true,
            Hooks::Running(thread) => thread == thread::current().id(),
            Hooks::Done => false,
        }
    }

    /// Whether the caller is the one who runs the processors now.
    pub(crate) fn begin(&mut self) -> bool {
        let waits = *self == Hooks::Waiting;
        if waits {
            *self = Hooks::Running(thread::current().id());
        }
        waits
    }

    /// The processors have seen the span's start, or its end.
    pub(crate) fn finish(&mut self, has_ended: bool) {
        *self = match has_ended {
            true => Hooks::Done,
            false => Hooks::Waiting,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_thread_of_the_processors_may_go_on() {
        let mut hooks = Hooks::default();
        assert!(hooks.admit() && hooks.begin() && hooks.admit());
        assert!(!hooks.begin());
        let elsewhere = thread::spawn(move || hooks.admit());
        assert!(!elsewhere.join().unwrap());
        hooks.finish(false);
        assert!(hooks.begin());
        hooks.finish(true);
        assert!(!hooks.admit() && !hooks.begin());
    }
}
