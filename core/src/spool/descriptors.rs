//! The spool's file descriptors and forks.
//!
//! A child shares its parent's open files, and with them its locks: a lock is given up only when both have closed the
//! file. So every descriptor is noted in a list of the process that a child can walk through before it does anything
//! else, without allocating and without a lock.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use crate::pipeline::fork;

const NONE: RawFd = -1;

static NOTED: AtomicPtr<Slot> = AtomicPtr::new(ptr::null_mut());

/// A place for a descriptor, used again and never freed.
struct Slot {
    fd: AtomicI32,
    next: Option<&'static Slot>,
}

/// An open file that the children of this process close.
pub(super) struct Descriptor {
    fd: Option<OwnedFd>,
    slot: &'static Slot,
    generation: u32,
}

/// The slots, without a lock.
fn slots() -> impl Iterator<Item = &'static Slot> {
    // SAFETY: it is null or came from `Box::leak` in `note`.
    let first: Option<&'static Slot> = unsafe { NOTED.load(Ordering::Acquire).as_ref() };
    std::iter::successors(first, |slot| slot.next)
}

fn note(fd: RawFd) -> &'static Slot {
    let take = |slot: &&Slot| {
        let taken = slot
            .fd
            .compare_exchange(NONE, fd, Ordering::AcqRel, Ordering::Relaxed);
        taken.is_ok()
    };
    if let Some(slot) = slots().find(take) {
        return slot;
    }
    let slot = Box::leak(Box::new(Slot {
        fd: AtomicI32::new(fd),
        next: None,
    }));
    loop {
        let first = NOTED.load(Ordering::Acquire);
        // SAFETY: as in `slots`.
        slot.next = unsafe { first.as_ref() };
        let added = NOTED.compare_exchange(first, slot, Ordering::AcqRel, Ordering::Relaxed);
        if added.is_ok() {
            return slot;
        }
    }
}

/// Closes what a forked child inherited of the spools of its parent, so that their runs can be adopted when the parent
/// dies. To be called once, in the child, before it opens any file: safe where only async-signal-safe functions are.
pub fn close_inherited() {
    for slot in slots() {
        let fd = slot.fd.swap(NONE, Ordering::AcqRel);
        if fd != NONE {
            // A fork copies the table of open files before memory: what another thread opened in between is noted here and
            // not open, and nobody minds. Not `rustix::io::close`, which takes that for a fault of its caller.
            // SAFETY: the parent had it open, and whoever owns it here belongs to an earlier generation: `Descriptor`
            // neither uses nor closes it any more.
            unsafe { libc::close(fd) };
        }
    }
}

impl Descriptor {
    /// Never one of the three that belong to the standard streams: where a host has closed those, its output would end
    /// up in our files.
    pub(super) fn new(fd: OwnedFd) -> io::Result<Self> {
        const FIRST: RawFd = 3;
        let fd = match fd.as_raw_fd() {
            FIRST.. => fd,
            _ => rustix::io::fcntl_dupfd_cloexec(&fd, FIRST)?,
        };
        Ok(Descriptor {
            slot: note(fd.as_raw_fd()),
            fd: Some(fd),
            generation: fork::generation(),
        })
    }

    /// An error in a child of the process that opened it, where the number may name another file by now.
    pub(super) fn get(&self) -> io::Result<BorrowedFd<'_>> {
        let fd = self.fd.as_ref().map(AsFd::as_fd);
        fd.filter(|_| self.generation == fork::generation())
            .ok_or_else(|| rustix::io::Errno::BADF.into())
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if self.generation != fork::generation() {
            // The child closed it already.
            self.fd.take().map(IntoRawFd::into_raw_fd);
            return;
        }
        // Before it is closed: its number can be somebody else's a moment later.
        self.slot.fd.store(NONE, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_do_not_mind_what_is_noted_and_not_open() {
        fork::install();
        let slot = note(RawFd::MAX);
        // SAFETY: the child does nothing but end.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: it ends the child at once.
            unsafe { libc::_exit(0) };
        }
        let mut status = -1;
        // SAFETY: `pid` is a child of this process and `status` is writable.
        assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
        assert_eq!(status, 0);
        slot.fd.store(NONE, Ordering::Release);
    }

    #[test]
    fn slots_are_used_again() {
        let open = || {
            Descriptor::new(
                rustix::fs::open("/", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())
                    .unwrap(),
            )
        };
        let first = open().unwrap();
        let place = ptr::from_ref(first.slot);
        assert_eq!(
            first.slot.fd.load(Ordering::Relaxed),
            first.get().unwrap().as_raw_fd()
        );
        drop(first);
        let again: Vec<Descriptor> = (0..64).map(|_| open().unwrap()).collect();
        assert!(again.iter().any(|one| ptr::eq(one.slot, place)));
        let places: std::collections::HashSet<_> =
            again.iter().map(|one| ptr::from_ref(one.slot)).collect();
        assert_eq!(places.len(), again.len());
    }
}
