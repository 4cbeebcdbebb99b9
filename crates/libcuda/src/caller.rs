//! Pointers that come from the program.
//!
//! A C API is only as safe as its caller: the program promises that a pointer is null or points to what the function documents. This
//! module holds that promise in one place. Null is always found and answered with `CUDA_ERROR_INVALID_VALUE`; what no library can
//! find, a dangling pointer to host memory, stays the program's fault, as with any C function.

use crate::code::{Answer, Code};
use std::ffi::{CStr, c_char, c_void};

/// A pointer argument: null, or valid for what the documentation of the function says it is used for.
#[repr(transparent)]
pub(crate) struct Caller<T>(*mut T);

impl<T> Clone for Caller<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Caller<T> {}

// SAFETY: an address; whoever uses it relies on the program's promise, which holds in any thread.
unsafe impl<T> Send for Caller<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Caller<T> {}

impl<T> Caller<T> {
    /// For arguments that are made here, and for values of `void *` options.
    pub(crate) fn from_raw(pointer: *mut T) -> Self {
        Self(pointer)
    }

    /// The null pointer.
    pub(crate) fn null() -> Self {
        Self(std::ptr::null_mut())
    }

    pub(crate) fn is_null(self) -> bool {
        self.0.is_null()
    }

    pub(crate) fn as_ptr(self) -> *mut T {
        self.0
    }

    /// The number that is the address.
    pub(crate) fn address(self) -> u64 {
        self.0.addr() as u64
    }

    pub(crate) fn cast<U>(self) -> Caller<U> {
        Caller(self.0.cast())
    }

    /// Fails where the pointer is null.
    pub(crate) fn required(self) -> Answer<Self> {
        if self.0.is_null() {
            Err(Code::INVALID_VALUE)
        } else {
            Ok(self)
        }
    }

    /// Writes an answer.
    pub(crate) fn put(self, value: T) -> Answer {
        self.required()?;
        // SAFETY: not null, so by the program's promise it points to room for a `T`.
        unsafe { self.0.write_unaligned(value) };
        Ok(())
    }

    /// Writes an answer that the program may not want.
    pub(crate) fn put_if_wanted(self, value: T) {
        if !self.0.is_null() {
            // SAFETY: as in `put`.
            unsafe { self.0.write_unaligned(value) };
        }
    }

    /// Writes item `index` of an array that the function's documentation makes long enough.
    pub(crate) fn put_at(self, index: usize, value: T) -> Answer {
        self.required()?;
        // SAFETY: the caller of the C function promises an array that holds this index.
        unsafe { self.0.add(index).write_unaligned(value) };
        Ok(())
    }
}

impl<T: Copy> Caller<T> {
    /// Reads item `index` of an array that the function's documentation makes long enough.
    pub(crate) fn at(self, index: usize) -> Answer<T> {
        self.required()?;
        // SAFETY: the caller of the C function promises an array that holds this index; `T` is plain data of the C ABI.
        Ok(unsafe { self.0.add(index).read_unaligned() })
    }

    /// Reads what it points to.
    pub(crate) fn get(self) -> Answer<T> {
        self.at(0)
    }
}

impl Caller<c_char> {
    /// The C string, copied as text.
    pub(crate) fn text(self) -> Answer<String> {
        self.required()?;
        // SAFETY: not null, so by the program's promise it points to a string with a terminating NUL.
        let text = unsafe { CStr::from_ptr(self.0) };
        Ok(text.to_string_lossy().into_owned())
    }

    /// The bytes of the C string without its NUL, copied.
    pub(crate) fn text_bytes(self) -> Answer<Vec<u8>> {
        self.required()?;
        // SAFETY: as in `text`.
        Ok(unsafe { CStr::from_ptr(self.0) }.to_bytes().to_vec())
    }

    /// Writes `text` and a NUL into room for `bytes` characters, cut where it does not fit.
    pub(crate) fn put_text(self, text: &str, bytes: usize) -> Answer {
        self.required()?;
        let length = text.len().min(bytes.checked_sub(1).ok_or(Code::INVALID_VALUE)?);
        // SAFETY: the program promises room for `bytes` characters, of which at most `bytes` are written.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr(), self.0.cast::<u8>(), length);
            self.0.add(length).write(0);
        }
        Ok(())
    }
}

impl Caller<c_void> {
    /// The pointer as a plain argument of a C callback.
    pub(crate) fn bytes(self) -> *mut u8 {
        self.0.cast()
    }

    /// `length` bytes, copied.
    pub(crate) fn copy_bytes(self, length: usize) -> Answer<Vec<u8>> {
        self.required()?;
        // SAFETY: the program promises `length` readable bytes that nobody writes during the call.
        Ok(unsafe { std::slice::from_raw_parts(self.bytes(), length) }.to_vec())
    }
}
