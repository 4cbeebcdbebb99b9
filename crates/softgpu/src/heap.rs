//! The device heap: what `malloc` and `free` in kernels take from.
//!
//! One allocation of frame buffer, made at the first `malloc` of a context, cut into blocks. The books are kept on the host, where
//! no kernel can overwrite them.

use crate::ranges::Ranges;
use std::collections::BTreeMap;
use tessera_device::DevicePtr;

/// Alignment of every block, bytes.
const ALIGN: u64 = 16;

/// The heap of a context.
pub(crate) struct Heap {
    /// `CU_LIMIT_MALLOC_HEAP_SIZE`.
    limit: u64,
    /// A kernel that takes from it was launched.
    used: bool,
    free: Option<Ranges>,
    blocks: BTreeMap<DevicePtr, u64>,
}

impl Heap {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            used: false,
            free: None,
            blocks: BTreeMap::new(),
        }
    }

    /// A kernel that takes from it is launched.
    pub(crate) fn touch(&mut self) {
        self.used = true;
    }

    /// Changes the size, as long as nobody may have taken from it.
    pub(crate) fn resize(&mut self, limit: u64) -> bool {
        if self.used {
            return false;
        }
        self.limit = limit;
        true
    }

    /// A block, or `None` when there is no room. `reserve` makes the allocation behind the heap when it is first needed.
    pub(crate) fn malloc(
        &mut self,
        bytes: u64,
        reserve: impl FnOnce(u64) -> Option<DevicePtr>,
    ) -> Option<DevicePtr> {
        let bytes = bytes.max(1).checked_next_multiple_of(ALIGN)?;
        if bytes > self.limit {
            return None;
        }
        if self.free.is_none() {
            self.free = Some(Ranges::new(reserve(self.limit)?, self.limit));
        }
        let at = self.free.as_mut()?.take(bytes, ALIGN)?;
        self.blocks.insert(at, bytes);
        Some(at)
    }

    /// Gives a block back; false when `address` is not one.
    pub(crate) fn free(&mut self, address: DevicePtr) -> bool {
        match (self.blocks.remove(&address), &mut self.free) {
            (Some(bytes), Some(free)) => {
                free.give(address, bytes);
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_from_one_reservation_and_go_back_to_it() {
        let mut heap = Heap::new(64);
        assert!(!heap.free(0x1000));
        let a = heap
            .malloc(17, |bytes| (bytes == 64).then_some(0x1000))
            .expect("room");
        let b = heap.malloc(32, |_| None).expect("reserved already");
        assert_eq!((a % 16, b % 16), (0, 0));
        assert_eq!(heap.malloc(1, |_| None), None, "full");
        assert!(heap.free(a));
        assert!(!heap.free(a), "twice");
        assert!(!heap.free(b + 16), "inside of a block");
        assert_eq!(heap.malloc(0, |_| None), Some(a));
        assert_eq!(heap.malloc(u64::MAX, |_| None), None);
    }

    #[test]
    fn a_heap_that_is_in_use_keeps_its_size() {
        let mut heap = Heap::new(64);
        assert!(heap.resize(32));
        assert_eq!(heap.malloc(48, |_| Some(0x1000)), None, "larger than all of it");
        assert!(heap.resize(128));
        heap.touch();
        assert!(!heap.resize(64));
        assert_eq!(
            heap.malloc(128, |bytes| (bytes == 128).then_some(0x1000)),
            Some(0x1000)
        );
    }

    #[test]
    fn a_heap_that_cannot_be_reserved_gives_nothing() {
        let mut heap = Heap::new(64);
        assert_eq!(heap.malloc(16, |_| None), None);
        assert_eq!(heap.malloc(16, |_| Some(0x2000)), Some(0x2000), "tries again");
    }
}
