//! Signals are the host's.
#![allow(unsafe_code)]

/// Calls `start`, which starts a thread, with all signals blocked, and gives the caller its mask back. The thread keeps
/// it blocked: no handler of the host's runs there, and no signal that the host waits for elsewhere ends the process.
pub(crate) fn start_without<R>(start: impl FnOnce() -> R) -> R {
    let mut all = std::mem::MaybeUninit::uninit();
    let mut before = std::mem::MaybeUninit::uninit();
    // SAFETY: both point to memory for a set of signals; the first is filled before it is read, and the second is read
    // only where the call says that it was filled.
    let before = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        match libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) {
            0 => Some(before.assume_init()),
            _ => None,
        }
    };
    let started = start();
    if let Some(before) = before {
        // SAFETY: a set that the system filled.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut()) };
    }
    started
}
