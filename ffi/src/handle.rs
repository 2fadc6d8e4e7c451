//! Pointers to the opaque types: checked on the way in, boxed on the way out.

use crate::guard::Failure;

/// A shared reference to what a C handle points to.
///
/// # Safety
/// A non-null, aligned `pointer` came from [`give`] and was not freed.
pub(crate) unsafe fn borrow<'a, T>(
    pointer: *const T,
    name: &'static str,
) -> Result<&'a T, Failure> {
    check(pointer, name)?;
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
    /// # Safety
    /// The pointer given to [`output`] leads to memory for one `T`.
    pub(crate) unsafe fn write(&self, value: T) {
        unsafe { self.0.write(value) };
    }
}

impl<T> Output<*mut T> {
    /// Hands a new object to the caller, who owns it from here.
    ///
    /// # Safety
    /// As [`Output::write`].
    pub(crate) unsafe fn give(&self, object: T) {
        unsafe { self.write(Box::into_raw(Box::new(object))) };
    }
}

/// Drops what [`Output::give`] handed out; null is a no-op.
///
/// # Safety
/// A non-null `pointer` came from `give`, and this is its last use.
pub(crate) unsafe fn free<T>(pointer: *mut T) {
    if !pointer.is_null() && pointer.is_aligned() {
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
