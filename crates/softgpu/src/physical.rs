//! Frame buffer that no context owns.
//!
//! Pages are counted in [`Booked`] as long as a [`SoftPhysical`] holds them. A context that has them mapped holds a reference; the
//! pages are given back after the last mapping is gone, so that running threads are waited for as with any other memory.

use crate::device::Shared;
use crate::memory::{Pages, Piece};
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tessera_device::{DeviceError, Physical};
use tessera_mmu::LARGE_PAGE_BYTES;

/// Bytes of the frame buffer in physical memory of a device.
#[derive(Default)]
pub(crate) struct Booked(AtomicU64);

impl Booked {
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Pages with their accounting.
pub(crate) struct SoftPhysical {
    shared: Arc<Shared>,
    /// There until it is dropped.
    pages: Option<Pages>,
    bytes: u64,
}

impl SoftPhysical {
    /// Takes zeroed pages.
    pub(crate) fn new(shared: &Arc<Shared>, bytes: u64) -> Result<Arc<Self>, DeviceError> {
        if bytes == 0 || !bytes.is_multiple_of(LARGE_PAGE_BYTES) {
            let text = format!("{bytes} bytes of physical memory are not a multiple of 2 MiB");
            return Err(DeviceError::InvalidValue(text));
        }
        let pages = shared.memory.take(shared.memory.file(), bytes)?;
        Ok(Self::adopt(shared, pages))
    }

    /// Pages that were taken before, and that nobody else counts any more.
    pub(crate) fn adopt(shared: &Arc<Shared>, pages: Pages) -> Arc<Self> {
        let bytes = pages.bytes();
        shared.physical.0.fetch_add(bytes, Ordering::SeqCst);
        Arc::new(Self {
            shared: Arc::clone(shared),
            pages: Some(pages),
            bytes,
        })
    }

    /// All its pages.
    pub(crate) fn pages(&self) -> Option<&Pages> {
        self.pages.as_ref()
    }

    /// The pages of `bytes` bytes from `offset`.
    pub(crate) fn part(&self, offset: u64, bytes: u64) -> Option<Pages> {
        let whole = self.pages.as_ref()?;
        let (mut skip, mut left) = (offset, bytes);
        let mut part: Vec<Piece> = Vec::new();
        for &(start, length) in &whole.pieces {
            if skip >= length {
                skip -= length;
                continue;
            }
            let here = (length - skip).min(left);
            if here == 0 {
                break;
            }
            part.push((start + skip, here));
            left -= here;
            skip = 0;
        }
        let file = Arc::clone(&whole.file);
        Some(Pages { file, pieces: part })
    }
}

impl Physical for SoftPhysical {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Drop for SoftPhysical {
    fn drop(&mut self) {
        self.shared.physical.0.fetch_sub(self.bytes, Ordering::SeqCst);
        self.shared.memory.retire(self.pages.take(), None);
        self.shared.tidy();
    }
}
