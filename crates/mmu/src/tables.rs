//! The radix tables: from an address to the number of its extent.
//!
//! Tables are made on first use and live as long as the space. Entries are plain atomics: written under the writer's lock of the
//! space, read by anybody.

use crate::{ADDRESS_BITS, DIRTY_BYTES, LARGE_PAGE_BYTES, PAGE_BYTES};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

const TOP: usize = 1024;
const MID: usize = 256;
const DIRECTORY: usize = 256;
const LEAF: usize = 512;

/// Entries of 4 KiB below one directory entry.
struct Leaf([AtomicU32; LEAF]);

/// One entry for 2 MiB.
#[derive(Default)]
struct Entry {
    /// Extent that covers all of it, or 0.
    large: AtomicU32,
    /// One bit for each 64 KiB.
    dirty: AtomicU32,
    /// Entries for 4 KiB each, looked at where `large` is 0.
    small: OnceLock<Box<Leaf>>,
}

struct Directory([Entry; DIRECTORY]);
struct Middle([OnceLock<Box<Directory>>; MID]);

/// The whole tree of a space.
pub(crate) struct Tables {
    top: Box<[OnceLock<Box<Middle>>]>,
}

/// `bits` bits of `address` from bit `shift` on, as an index.
#[inline]
fn index(address: u64, shift: u32, count: usize) -> usize {
    #[allow(clippy::cast_possible_truncation, reason = "masked to less than 1024")]
    let at = (address >> shift) as usize & (count - 1);
    at
}

impl Tables {
    pub(crate) fn new() -> Self {
        Self {
            top: std::iter::repeat_with(OnceLock::new).take(TOP).collect(),
        }
    }

    #[inline]
    fn entry(&self, address: u64) -> Option<&Entry> {
        if address >> ADDRESS_BITS != 0 {
            return None;
        }
        let middle = self.top[index(address, 37, TOP)].get()?;
        let directory = middle.0[index(address, 29, MID)].get()?;
        Some(&directory.0[index(address, 21, DIRECTORY)])
    }

    fn entry_or_make(&self, address: u64) -> &Entry {
        let middle = self.top[index(address, 37, TOP)]
            .get_or_init(|| Box::new(Middle([const { OnceLock::new() }; MID])));
        let directory = middle.0[index(address, 29, MID)]
            .get_or_init(|| Box::new(Directory(std::array::from_fn(|_| Entry::default()))));
        &directory.0[index(address, 21, DIRECTORY)]
    }

    /// Number of the extent at `address`, 0 for none.
    #[inline]
    pub(crate) fn get(&self, address: u64) -> u32 {
        let Some(entry) = self.entry(address) else {
            return 0;
        };
        let large = entry.large.load(Ordering::Acquire);
        if large != 0 {
            return large;
        }
        entry
            .small
            .get()
            .map_or(0, |leaf| leaf.0[index(address, 12, LEAF)].load(Ordering::Acquire))
    }

    /// Points all pages of `[base, end)` to extent `number` (0 takes them away). Both ends are multiples of 4 KiB below 2^47.
    pub(crate) fn set(&self, base: u64, end: u64, number: u32) {
        let mut at = base;
        while at < end {
            let large_end = (at / LARGE_PAGE_BYTES + 1) * LARGE_PAGE_BYTES;
            let entry = self.entry_or_make(at);
            if at.is_multiple_of(LARGE_PAGE_BYTES) && large_end <= end {
                Self::set_large(entry, number);
                at = large_end;
            } else {
                let stop = end.min(large_end);
                Self::set_small(entry, at, stop, number);
                at = stop;
            }
        }
    }

    fn set_large(entry: &Entry, number: u32) {
        entry.large.store(number, Ordering::Release);
        // Stale small entries must not come to light when `large` is taken away. They are cleared after `large` names an extent;
        // a reader between the two steps of an unmap sees an entry that is going away, which the generation covers.
        if let Some(leaf) = entry.small.get() {
            for small in &leaf.0 {
                small.store(0, Ordering::Release);
            }
        }
    }

    fn set_small(entry: &Entry, base: u64, end: u64, number: u32) {
        let large = entry.large.load(Ordering::Relaxed);
        if large == 0 && number == 0 && entry.small.get().is_none() {
            return;
        }
        let leaf = entry
            .small
            .get_or_init(|| Box::new(Leaf(std::array::from_fn(|_| AtomicU32::new(0)))));
        if large != 0 {
            // A large page is split: every small entry gets its extent before the large one steps back.
            for small in &leaf.0 {
                small.store(large, Ordering::Release);
            }
        }
        let mut at = base;
        while at < end {
            leaf.0[index(at, 12, LEAF)].store(number, Ordering::Release);
            at += PAGE_BYTES;
        }
        if large != 0 {
            entry.large.store(0, Ordering::Release);
        }
    }

    /// Sets the dirty bit of the granule that holds `address`.
    #[inline]
    pub(crate) fn mark_dirty(&self, address: u64) {
        if let Some(entry) = self.entry(address) {
            let bit = 1_u32 << ((address % LARGE_PAGE_BYTES) / DIRTY_BYTES);
            entry.dirty.fetch_or(bit, Ordering::Release);
        }
    }

    /// Takes the dirty bits of the 2 MiB that hold `address`.
    pub(crate) fn take_dirty(&self, address: u64) -> u32 {
        self.entry(address)
            .map_or(0, |entry| entry.dirty.swap(0, Ordering::AcqRel))
    }
}
