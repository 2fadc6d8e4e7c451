//! Testing
//!
//! For a program that wants to see the library's last line of defence work.

use crate::error::mlflow_error_t;
use crate::guard::guard;
use crate::status::mlflow_status_t;

/// Panics inside the library on purpose. The panic is caught, counted in the statistic "panics" and returned as
/// a status; the process goes on. Like any panic it is first reported on standard error.
///
/// Ownership: none.
/// Threads: any thread, at any time, also in a forked child.
/// Errors: always PANIC.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_panic_provoke(error: *mut *mut mlflow_error_t) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable.
    unsafe {
        guard(error, || {
            #[expect(clippy::panic, reason = "the panic is the purpose")]
            {
                panic!("provoked by mlflow_panic_provoke")
            }
        })
    }
}
