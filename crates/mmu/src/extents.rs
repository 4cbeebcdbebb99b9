//! The slots that hold extents: written by one thread, read by many without a lock.
//!
//! Each slot is a sequence lock: odd version = being written. Slots live in chunks of doubling size that are never freed before the
//! space is; the slot of a retired extent is used again, so memory is bounded by the largest number of extents alive at once.

use crate::Flags;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};

const FIRST_CHUNK: u32 = 64;
const CHUNKS: usize = 24;

/// One contiguous run with the same flags.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) base: u64,
    pub(crate) bytes: u64,
    pub(crate) host: *mut u8,
    pub(crate) flags: Flags,
}

#[derive(Default)]
struct Slot {
    version: AtomicU32,
    flags: AtomicU32,
    base: AtomicU64,
    bytes: AtomicU64,
    host: AtomicPtr<u8>,
}

/// All slots of a space. Numbers start at 1; 0 means "no extent" in a table.
pub(crate) struct Extents {
    chunks: [OnceLock<Box<[Slot]>>; CHUNKS],
}

/// Chunk and place in it of slot `index` (from 0): chunk k holds `FIRST_CHUNK << k` slots.
fn place(index: u32) -> (usize, usize) {
    let scaled = index / FIRST_CHUNK + 1;
    let chunk = scaled.ilog2();
    let first = FIRST_CHUNK * ((1 << chunk) - 1);
    (chunk as usize, (index - first) as usize)
}

impl Extents {
    pub(crate) fn new() -> Self {
        Self {
            chunks: [const { OnceLock::new() }; CHUNKS],
        }
    }

    /// Slots that can exist at most.
    pub(crate) const fn limit() -> u32 {
        FIRST_CHUNK * ((1 << CHUNKS) - 1)
    }

    fn slot(&self, number: u32) -> Option<&Slot> {
        let (chunk, at) = place(number.checked_sub(1)?);
        self.chunks.get(chunk)?.get()?.get(at)
    }

    /// Writes slot `number` (1 ..= limit). Only the thread that holds the writer's lock of the space calls this.
    pub(crate) fn write(&self, number: u32, extent: &Extent) {
        let (chunk, at) = place(number - 1);
        let slots = self.chunks[chunk].get_or_init(|| {
            let count = (FIRST_CHUNK as usize) << chunk;
            std::iter::repeat_with(Slot::default).take(count).collect()
        });
        let slot = &slots[at];
        let version = slot.version.load(Ordering::Relaxed);
        slot.version.store(version.wrapping_add(1), Ordering::Relaxed);
        // A reader that sees one of the new fields also sees the odd version when it looks again.
        fence(Ordering::Release);
        slot.base.store(extent.base, Ordering::Relaxed);
        slot.bytes.store(extent.bytes, Ordering::Relaxed);
        slot.host.store(extent.host, Ordering::Relaxed);
        slot.flags.store(extent.flags.bits(), Ordering::Relaxed);
        slot.version.store(version.wrapping_add(2), Ordering::Release);
    }

    /// A consistent copy of slot `number`, or `None` while it changes.
    #[inline]
    pub(crate) fn read(&self, number: u32) -> Option<Extent> {
        let slot = self.slot(number)?;
        let version = slot.version.load(Ordering::Acquire);
        let extent = Extent {
            base: slot.base.load(Ordering::Relaxed),
            bytes: slot.bytes.load(Ordering::Relaxed),
            host: slot.host.load(Ordering::Relaxed),
            flags: Flags::from_bits_truncate(slot.flags.load(Ordering::Relaxed)),
        };
        fence(Ordering::Acquire);
        let unchanged = slot.version.load(Ordering::Relaxed) == version;
        (version % 2 == 0 && unchanged).then_some(extent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_fill_the_chunks_without_gap_or_overlap() {
        let mut expected = (0_usize, 0_usize);
        for index in 0..FIRST_CHUNK * 15 {
            assert_eq!(place(index), expected, "slot {index}");
            expected.1 += 1;
            if expected.1 == (FIRST_CHUNK as usize) << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert_eq!(place(Extents::limit() - 1).0, CHUNKS - 1);
    }

    #[test]
    fn a_slot_reads_back_and_can_be_used_again() {
        let extents = Extents::new();
        assert!(extents.read(0).is_none());
        assert!(extents.read(1).is_none());
        for round in 1..4_u64 {
            let extent = Extent {
                base: round << 20,
                bytes: 4096 * round,
                host: std::ptr::null_mut(),
                flags: Flags::READ_ONLY,
            };
            extents.write(70, &extent);
            let got = extents.read(70).expect("written");
            assert_eq!(
                (got.base, got.bytes, got.flags),
                (round << 20, 4096 * round, Flags::READ_ONLY)
            );
        }
    }
}
