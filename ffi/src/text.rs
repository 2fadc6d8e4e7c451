//! Text
//!
//! Text goes in as a pointer and a length, needs no final NUL, and is copied before the call returns. NULL
//! with length 0 is the empty text. A bad length is one above PTRDIFF_MAX, or any but 0 with NULL. In values
//! (names, attributes, inputs, tags) bytes that are not UTF-8 become U+FFFD; in keys and options they are
//! refused.
//!
//! Short text comes out into the caller's buffer, always with a final NUL; `*length` (optional) receives its
//! length without that NUL. When it does not fit, the status is MLFLOW_ERROR_BUFFER_TOO_SMALL, the buffer is
//! untouched, and `*length` still tells the length: `*length` + 1 bytes will do. To ask for the length alone,
//! pass NULL with capacity 0, which gives that same status. A bad buffer is NULL with another capacity, or has
//! a capacity above PTRDIFF_MAX.
//!
//! Text that may be long comes out as an mlflow_text_t.

use std::borrow::Cow;
use std::ffi::c_char;

use crate::buffer::EMPTY_TEXT;
use crate::counters;
use crate::guard::{Failure, guard_or};
use crate::handle;

/// Text that somebody else owns. MLFLOW_STR("literal"), mlflow_str(pointer) and mlflow_str_n make one.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct mlflow_str_t {
    /// The first byte; NULL only where `len` is 0.
    pub ptr: *const c_char,
    /// The number of bytes, at most PTRDIFF_MAX.
    pub len: usize,
}

/// Text that the library made and the caller owns.
pub struct mlflow_text_t {
    /// Ends with a NUL that is not part of the text.
    terminated: String,
}

impl mlflow_str_t {
    pub(crate) const fn empty() -> Self {
        mlflow_str_t {
            ptr: std::ptr::null(),
            len: 0,
        }
    }

    /// The bytes, for as long as the call from C lasts: `'a` must not outlive it.
    ///
    /// # Safety
    /// A non-null `ptr` leads to `len` readable bytes that nobody writes to or frees until the call returns.
    #[inline]
    pub(crate) unsafe fn bytes<'a>(self, name: &'static str) -> Result<&'a [u8], Failure> {
        match (self.ptr.is_null(), self.len) {
            (_, 0) => Ok(&[]),
            (true, _) => Err(Failure::Argument(name, "is NULL but has a length")),
            (false, len) if len > isize::MAX as usize => {
                Err(Failure::Argument(name, "is longer than any object"))
            }
            // SAFETY: not null and no longer than any object, as checked above; bytes need no alignment; that
            // they are readable and stay as they are is the caller's promise.
            (false, len) => Ok(unsafe { std::slice::from_raw_parts(self.ptr.cast(), len) }),
        }
    }

    /// A key or an option: valid UTF-8, not empty.
    ///
    /// # Safety
    /// As [`mlflow_str_t::bytes`].
    #[inline]
    pub(crate) unsafe fn key<'a>(self, name: &'static str) -> Result<&'a str, Failure> {
        // SAFETY: the same promise, passed on.
        match unsafe { self.option(name) }? {
            "" => Err(Failure::Argument(name, "must not be empty")),
            key => Ok(key),
        }
    }

    /// The value of an option: valid UTF-8.
    ///
    /// # Safety
    /// As [`mlflow_str_t::key`].
    #[inline]
    pub(crate) unsafe fn option<'a>(self, name: &'static str) -> Result<&'a str, Failure> {
        // SAFETY: the same promise, passed on.
        unsafe { self.valid(name) }?.ok_or(Failure::Argument(name, "is not valid UTF-8"))
    }

    /// The text, if it is valid UTF-8.
    ///
    /// # Safety
    /// As [`mlflow_str_t::bytes`].
    #[inline]
    pub(crate) unsafe fn valid<'a>(self, name: &'static str) -> Result<Option<&'a str>, Failure> {
        // SAFETY: the same promise, passed on.
        let bytes = unsafe { self.bytes(name) }?;
        // Most text is ASCII, which is seen several times quicker than that it is UTF-8.
        Ok(match bytes.is_ascii() {
            // SAFETY: ASCII is UTF-8.
            true => Some(unsafe { std::str::from_utf8_unchecked(bytes) }),
            false => std::str::from_utf8(bytes).ok(),
        })
    }

    /// A recorded value: whatever is not UTF-8 is replaced and counted.
    ///
    /// # Safety
    /// As [`mlflow_str_t::key`].
    #[inline]
    pub(crate) unsafe fn value<'a>(self, name: &'static str) -> Result<Cow<'a, str>, Failure> {
        // SAFETY: the same promise, passed on.
        match unsafe { self.valid(name) }? {
            Some(text) => Ok(Cow::Borrowed(text)),
            // SAFETY: as above.
            None => unsafe { self.replaced(name) }.map(Cow::Owned),
        }
    }

    /// # Safety
    /// As [`mlflow_str_t::bytes`].
    #[cold]
    unsafe fn replaced(self, name: &'static str) -> Result<String, Failure> {
        counters::INVALID_UTF8.add();
        // SAFETY: the same promise, passed on.
        let bytes = unsafe { self.bytes(name) }?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }
}

impl mlflow_text_t {
    pub(crate) fn new(text: String) -> Self {
        let mut terminated = text;
        terminated.push('\0');
        mlflow_text_t { terminated }
    }

    /// The first byte; a NUL follows the last one.
    pub(crate) fn start(&self) -> *const c_char {
        self.terminated.as_ptr().cast()
    }
}

/// Lends the text; the empty text for NULL. `ptr` is never NULL, and a NUL follows the `len` bytes.
///
/// Ownership: borrowed; valid until mlflow_text_free.
/// Threads: any thread, at any time, also in a forked child.
/// Errors: none.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_text_get(text: *const mlflow_text_t) -> mlflow_str_t {
    guard_or(EMPTY_TEXT, || {
        // SAFETY: by the header's contract `text` is not freed; `borrow` refuses NULL. What is lent lives as
        // long as the text.
        unsafe { handle::borrow(text, "text") }.map_or(EMPTY_TEXT, |text| mlflow_str_t {
            ptr: text.start(),
            len: text.terminated.len() - 1,
        })
    })
}

/// Releases a text.
///
/// Ownership: takes `text`; NULL is a no-op.
/// Threads: any thread, once, after every other use; also in a forked child.
/// Errors: none.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_text_free(text: *mut mlflow_text_t) {
    // SAFETY: by the header's contract `text` is NULL or ours and not freed yet, and this is its last use.
    guard_or((), || unsafe { handle::free(text) })
}
