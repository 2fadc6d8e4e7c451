//! The ways in which a process ends, and forks.
#![allow(
    unsafe_code,
    reason = "fork, _exit and waiting for a child are what this is about"
)]

use std::time::Duration;

use serde_json::{Value, json};

use crate::recording::Host;

/// Lets SIGINT end the process, also where a shell that runs it in the background had it ignored.
pub(crate) fn heed_interrupts() {
    // SAFETY: the default action runs no code of ours.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
}

/// Ends the process.
pub(crate) fn die(host: &Host, how: &str) -> Value {
    match how {
        // SAFETY: nothing of this process is used afterwards.
        "_exit" => unsafe { libc::_exit(0) },
        "abort" => std::process::abort(),
        #[allow(clippy::panic, reason = "it is what was asked for")]
        "panic" => panic!("as told"),
        _ => {
            // As the bindings do at exit.
            let left = host
                .tracer
                .shutdown(host.tracer.config().shutdown_timeout());
            let mut last = host.stats();
            last["left"] = left.into();
            crate::say(&last);
            std::process::exit(0)
        }
    }
}

/// Forks a child that records a trace and ends as told; waits for it, at most 10 s.
pub(crate) fn fork(host: &Host, how: &str) -> Value {
    // SAFETY: the child calls the engine, which promises to work there, writes to a file of its own through the
    // list, and ends without returning. It may allocate: glibc's allocator is usable in the child of a fork.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let Ok(child) = host.in_child(how == "flush") else {
            // SAFETY: nothing of this process is used afterwards.
            unsafe { libc::_exit(2) }
        };
        child.record_trace();
        match how {
            "flush" => {
                let left = child.tracer.flush(Duration::from_secs(5));
                // SAFETY: nothing of this process is used afterwards.
                unsafe { libc::_exit(i32::from(left != 0)) }
            }
            "abort" => std::process::abort(),
            "exec" => {
                let program = c"/bin/true";
                // SAFETY: both texts end with a NUL and the list of arguments with a null pointer.
                unsafe { libc::execl(program.as_ptr(), program.as_ptr(), std::ptr::null::<i8>()) };
            }
            _ => {}
        }
        // SAFETY: nothing of this process is used afterwards.
        unsafe { libc::_exit(0) }
    }
    let mut status = 0;
    for _ in 0..10_000 {
        // SAFETY: `child` is a child of this process and `status` is writable.
        if unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } == child {
            return json!({"status": status});
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    // SAFETY: `child` has not been waited for, so the number is still its own.
    unsafe { libc::kill(child, libc::SIGKILL) };
    // SAFETY: as above.
    unsafe { libc::waitpid(child, &mut status, 0) };
    json!({"hung": true})
}
