//! What the tests of the C ABI share: the sources of `ffi` as data, and the header made from them.

pub mod header;
pub mod source;
