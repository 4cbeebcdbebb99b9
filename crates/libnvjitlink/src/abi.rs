//! Arguments of the C interface.
//!
//! The contract of the interface is C's: an address is null, or valid for what the function does with it.

use crate::code::Code;
use std::ffi::{CStr, c_char};

/// Where a result goes.
#[repr(transparent)]
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// Refuses null.
    pub(crate) fn required(self) -> Result<Self, Code> {
        if self.0.is_null() {
            Err(Code::NullInput)
        } else {
            Ok(self)
        }
    }

    /// Writes one value.
    pub(crate) fn put(self, value: T) -> Result<(), Code> {
        let place = self.required()?;
        // SAFETY: not null, so valid for a write by the interface's contract; no alignment is assumed.
        unsafe { place.0.write_unaligned(value) };
        Ok(())
    }

    /// Copies values there.
    pub(crate) fn put_all(self, values: &[T]) -> Result<(), Code>
    where
        T: Copy,
    {
        let place = self.required()?;
        // SAFETY: not null, so valid for as many values as the size said that the program asked for before; the places do not overlap,
        // one being this library's own.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), place.0, values.len()) };
        Ok(())
    }
}

impl<T: Copy> Out<T> {
    /// What is there.
    pub(crate) fn get(&self) -> Result<T, Code> {
        if self.0.is_null() {
            return Err(Code::NullInput);
        }
        // SAFETY: not null, so valid for a read by the interface's contract.
        Ok(unsafe { self.0.read_unaligned() })
    }
}

/// Values that a program hands over.
#[repr(transparent)]
pub(crate) struct In<T>(*const T);

impl<T: Copy> In<T> {
    pub(crate) fn is_null(&self) -> bool {
        self.0.is_null()
    }

    /// The value at an index of an array.
    pub(crate) fn at(&self, index: usize) -> Result<T, Code> {
        if self.0.is_null() {
            return Err(Code::NullInput);
        }
        // SAFETY: not null, so an array that is as long as the program says; the caller counts no further.
        Ok(unsafe { self.0.wrapping_add(index).read_unaligned() })
    }

    /// A copy of the first `count` values.
    pub(crate) fn copy(&self, count: usize) -> Result<Vec<T>, Code> {
        if self.0.is_null() {
            return Err(Code::InvalidInput);
        }
        // SAFETY: not null, so valid for as many values as the program says; they are copied at once.
        Ok(unsafe { std::slice::from_raw_parts(self.0, count) }.to_vec())
    }
}

/// A text, which may be null.
pub(crate) fn text(address: *const c_char) -> Option<String> {
    if address.is_null() {
        return None;
    }
    // SAFETY: not null, so a text that ends by the interface's contract; it is copied at once.
    let text = unsafe { CStr::from_ptr(address) };
    Some(text.to_string_lossy().into_owned())
}
