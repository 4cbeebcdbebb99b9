//! Host memory handed to a device.

use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;

/// A range of host memory that a device may read and write, for instance of the aperture. Another process may change it at any
/// time: it is never looked at through a reference, only copied by pointer.
#[derive(Clone)]
pub struct HostRange {
    base: NonNull<u8>,
    bytes: usize,
    _owner: Arc<dyn Any + Send + Sync>,
}

// SAFETY: the range is plain memory kept alive by `_owner`; whoever touches it does so by raw copies that tolerate races.
unsafe impl Send for HostRange {}
// SAFETY: as above.
unsafe impl Sync for HostRange {}

impl HostRange {
    /// A range that `owner` keeps mapped.
    ///
    /// # Safety
    /// `base .. base + bytes` must stay mapped readable and writable as long as `owner` is alive.
    pub unsafe fn new(base: NonNull<u8>, bytes: usize, owner: Arc<dyn Any + Send + Sync>) -> Self {
        Self {
            base,
            bytes,
            _owner: owner,
        }
    }

    /// First byte.
    #[must_use]
    pub fn as_ptr(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether the range holds no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// `bytes` bytes from `offset`, or `None` where they do not lie inside.
    #[must_use]
    pub fn slice(&self, offset: usize, bytes: usize) -> Option<Self> {
        let end = offset.checked_add(bytes)?;
        if end > self.bytes {
            return None;
        }
        // SAFETY: offset <= self.bytes, so the pointer stays inside or one past the range that `_owner` keeps mapped.
        let base = unsafe { self.base.add(offset) };
        Some(Self {
            base,
            bytes,
            _owner: Arc::clone(&self._owner),
        })
    }
}

impl std::fmt::Debug for HostRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HostRange({:p}, {} bytes)", self.base, self.bytes)
    }
}
