//! Version
//!
//! The macros say what a program was compiled against, the functions what it runs with. Within one
//! MLFLOW_TRACE_ABI_VERSION, which is the major, the ABI only grows: a program also runs with every later
//! library of that major.

use std::ffi::{CStr, c_char};

use crate::guard::guard_or;

/// The version of the ABI that this header describes; the shared library's name carries it.
pub const MLFLOW_TRACE_ABI_VERSION: u32 = 1;

/// Tells the version of the library that is loaded, for instance "0.1.0".
///
/// Ownership: static text; never free it.
/// Threads: any thread, at any time, also in a forked child.
/// Errors: none.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn mlflow_version() -> *const c_char {
    guard_or(c"".as_ptr(), || {
        CStr::from_bytes_until_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes())
            .unwrap_or_default()
            .as_ptr()
    })
}

/// Tells the ABI version of the library that is loaded; compare it with MLFLOW_TRACE_ABI_VERSION.
///
/// Ownership: none.
/// Threads: any thread, at any time, also in a forked child.
/// Errors: none.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn mlflow_abi_version() -> u32 {
    guard_or(0, || MLFLOW_TRACE_ABI_VERSION)
}
