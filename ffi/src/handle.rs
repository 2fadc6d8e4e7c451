//! Pointers to the opaque types: checked on the way in, boxed on the way out.

use crate::guard::Failure;

/// A shared reference to what a C handle points to, which any thread may use at any time.
///
/// # Safety
/// A non-null, aligned `pointer` came from this library and is not freed before the call from C returns.
pub(crate) unsafe fn borrow<'a, T: Sync>(
    pointer: *const T,
    name: &'static str,
) -> Result<&'a T, Failure> {
    check(pointer, name)?;
    // SAFETY: not null and aligned, as checked; alive, as the caller promises; only shared references are ever
    // made from a handle, and `T` may be shared between threads.
    Ok(unsafe { &*pointer })
}

/// An output parameter, checked before the work is done so that success always has a place to go.
pub(crate) fn output<T>(pointer: *mut T, name: &'static str) -> Result<Output<T>, Failure> {
    check(pointer, name)?;
    Ok(Output(pointer))
}

/// A checked place for one value.
pub(crate) struct Output<T>(*mut T);

impl<T> Output<T> {
    /// Writes without reading what was there.
    ///
    /// # Safety
    /// The pointer given to [`output`] leads to memory for one `T`.
    pub(crate) unsafe fn write(&self, value: T) {
        // SAFETY: `output` checked for null and alignment; the memory is the caller's promise.
        unsafe { self.0.write(value) };
    }
}

impl<T: Send> Output<*mut T> {
    /// Hands a new object to the caller, who owns it from here.
    ///
    /// # Safety
    /// As [`Output::write`].
    pub(crate) unsafe fn give(&self, object: T) {
        // SAFETY: the same promise, passed on.
        unsafe { self.write(Box::into_raw(Box::new(object))) };
    }
}

/// Drops what C owns, on whichever thread it is freed; null is a no-op.
///
/// # Safety
/// A non-null, aligned `pointer` came from [`Output::give`] or another `Box` of this library, and this is its
/// last use.
pub(crate) unsafe fn free<T: Send>(pointer: *mut T) {
    if !pointer.is_null() && pointer.is_aligned() {
        // SAFETY: it came from `Box::into_raw` and nobody uses it after this, as the caller promises; `T` may be
        // dropped on another thread than the one that made it.
        drop(unsafe { Box::from_raw(pointer) });
    }
}

fn check<T>(pointer: *const T, name: &'static str) -> Result<(), Failure> {
    if pointer.is_null() {
        return Err(Failure::Argument(name, "must not be NULL"));
    }
    if !pointer.is_aligned() {
        return Err(Failure::Argument(name, "is misaligned"));
    }
    Ok(())
}
