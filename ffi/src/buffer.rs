//! Short text on its way out, into the caller's memory.

use std::ffi::c_char;

use mlflow_trace_core::ErrorKind;

use crate::guard::Failure;
use crate::text::mlflow_str_t;

/// What text reads as where there is none: empty, and NUL-terminated like any other that goes out.
pub(crate) const EMPTY_TEXT: mlflow_str_t = mlflow_str_t {
    ptr: c"".as_ptr(),
    len: 0,
};

/// A `char *buffer, size_t capacity, size_t *length` triple.
pub(crate) struct Buffer {
    start: *mut c_char,
    capacity: usize,
    length: *mut usize,
}

impl Buffer {
    /// A null buffer of capacity 0 asks for the length alone.
    pub(crate) fn new(
        start: *mut c_char,
        capacity: usize,
        length: *mut usize,
    ) -> Result<Self, Failure> {
        if start.is_null() && capacity > 0 {
            return Err(Failure::Argument("buffer", "is NULL but has a capacity"));
        }
        if capacity > isize::MAX as usize {
            return Err(Failure::Argument("capacity", "is larger than any object"));
        }
        if !length.is_aligned() {
            return Err(Failure::Argument("length", "is misaligned"));
        }
        Ok(Buffer {
            start,
            capacity,
            length,
        })
    }

    /// Copies `text` and a final NUL; when they do not fit, only the length of `text` is written.
    ///
    /// # Safety
    /// The buffer holds `capacity` bytes apart from `text`, and `length` is null or leads to one `usize`.
    pub(crate) unsafe fn write(&self, text: &str) -> Result<(), Failure> {
        // SAFETY: the same promise, passed on.
        unsafe { self.write_after(text, || Ok(())) }
    }

    /// As [`Buffer::write`], once `work` has succeeded, which is done only for text that fits.
    ///
    /// # Safety
    /// As [`Buffer::write`].
    pub(crate) unsafe fn write_after(
        &self,
        text: &str,
        work: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if text.len() >= self.capacity {
            // SAFETY: the same promise, passed on.
            unsafe { self.write_length(text) };
            return Err(ErrorKind::BufferTooSmall.into());
        }
        work()?;
        // SAFETY: the text and a NUL fit into `capacity` bytes, as just checked, so the capacity is not 0 and
        // `new` saw no null pointer; that the text lies apart is the caller's promise.
        unsafe {
            self.start
                .copy_from_nonoverlapping(text.as_ptr().cast(), text.len());
            self.start.add(text.len()).write(0);
            self.write_length(text);
        }
        Ok(())
    }

    /// # Safety
    /// `length` is null or leads to one `usize`.
    unsafe fn write_length(&self, text: &str) {
        if !self.length.is_null() {
            // SAFETY: not null, and aligned since `new`; the memory is the caller's promise.
            unsafe { self.length.write(text.len()) };
        }
    }
}
