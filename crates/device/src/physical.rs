//! Frame buffer apart from addresses: it is charged to the device, not to a context, and lives as long as somebody holds it.
//!
//! ```text
//!   Device::create_physical ─┐                    ┌─ Context::map_physical ─▶ an address here
//!                            ├─▶ Arc<dyn Physical> ┤
//!   Context::share ──────────┘                    └─ Context::map_physical ─▶ another address, or another context
//! ```

use crate::DeviceError;
use std::any::Any;
use std::sync::Arc;

/// Memory of the frame buffer. Dropping the last reference, those of mappings included, frees it.
pub trait Physical: Send + Sync {
    /// Bytes that it takes.
    fn bytes(&self) -> u64;
    /// For the device that made it.
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// A part of some physical memory.
#[derive(Clone)]
pub struct PhysicalRange {
    memory: Arc<dyn Physical>,
    offset: u64,
    bytes: u64,
}

impl PhysicalRange {
    /// `bytes` bytes from `offset`.
    ///
    /// # Errors
    /// They do not lie inside, or are none.
    pub fn new(memory: Arc<dyn Physical>, offset: u64, bytes: u64) -> Result<Self, DeviceError> {
        let inside = offset
            .checked_add(bytes)
            .is_some_and(|end| bytes > 0 && end <= memory.bytes());
        if inside {
            Ok(Self {
                memory,
                offset,
                bytes,
            })
        } else {
            let text = format!(
                "{bytes} bytes at {offset} of {} of physical memory",
                memory.bytes()
            );
            Err(DeviceError::InvalidValue(text))
        }
    }

    /// What it is a part of.
    #[must_use]
    pub fn memory(&self) -> &Arc<dyn Physical> {
        &self.memory
    }

    /// First byte.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Length; not 0.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}
