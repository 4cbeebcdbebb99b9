//! What lies where in the arena: device memory, pinned host memory, variables of modules.
//!
//! The table serves the checks that CUDA makes when a copy or fill is asked for, and the pointer attributes. The worker has the
//! last word: its page tables decide what a kernel may touch.

use crate::types::Handle;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

/// What a range is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RangeKind {
    /// `cuMemAlloc` and its kin; of a pool, where it came from one.
    Device {
        /// The pool, 0 for none.
        pool: Handle,
    },
    /// A variable of a module; `cuMemFree` refuses it.
    Variable {
        /// The module.
        module: Handle,
    },
    /// Memory of a graph's allocation node, or of a conditional node's value.
    Graph,
    /// Managed memory of a graph's allocation node.
    GraphManaged,
    /// A mapping of `cuMemMap`, which any context can use.
    Mapped {
        /// `CUmemAllocationHandleType` of the memory.
        handle_types: i32,
        /// `CUmemAccess_flags`
        access: i32,
    },
    /// Memory of another process, by `cuIpcOpenMemHandle`.
    Opened,
    /// Memory of another process's pool.
    Imported {
        /// The pool as it was imported.
        pool: Handle,
    },
    /// `cuMemHostAlloc` with these flags.
    Host {
        /// As given.
        flags: u32,
    },
    /// `cuMemHostRegister`: the program's own pages.
    Registered,
    /// `cuMemAllocManaged`: pages of the host that the device has too; of a pool, where it came from one.
    Managed {
        /// The pool, 0 for none.
        pool: Handle,
    },
    /// The managed variables of a module.
    ManagedVariables,
}

/// Where an allocation lies in BAR1 ([`crate::bar1`]), in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bar1Place {
    /// Of the first byte.
    pub(crate) offset: u64,
    /// The program has copied to it before.
    pub(crate) filled: bool,
}

/// A range of the arena.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) base: u64,
    pub(crate) bytes: u64,
    pub(crate) kind: RangeKind,
    /// The context that made it.
    pub(crate) context: Handle,
    /// `CU_POINTER_ATTRIBUTE_BUFFER_ID`
    pub(crate) identity: u64,
    pub(crate) bar1: Option<Bar1Place>,
}

impl Range {
    /// Bytes from `address` to the end, or `None` where it is not inside.
    fn rest(&self, address: u64) -> Option<u64> {
        let offset = address.checked_sub(self.base)?;
        self.bytes.checked_sub(offset).filter(|&rest| rest > 0)
    }

    pub(crate) fn is_host(&self) -> bool {
        matches!(self.kind, RangeKind::Host { .. } | RangeKind::Registered)
    }

    /// Whether its pages are those of the host arena: pinned, registered or managed.
    pub(crate) fn is_in_host_arena(&self) -> bool {
        matches!(self.kind, RangeKind::Host { .. } | RangeKind::Registered) || self.is_managed()
    }

    pub(crate) fn is_managed(&self) -> bool {
        matches!(
            self.kind,
            RangeKind::Managed { .. } | RangeKind::ManagedVariables | RangeKind::GraphManaged
        )
    }
}

/// All ranges of the process, by address.
#[derive(Debug)]
pub(crate) struct Ranges {
    map: RwLock<BTreeMap<u64, Range>>,
    /// Between these two lies all that was ever in the table: most addresses of the host are outside, and found to be without a lock.
    lowest: AtomicU64,
    end: AtomicU64,
}

impl Default for Ranges {
    fn default() -> Self {
        Self {
            map: RwLock::default(),
            lowest: AtomicU64::new(u64::MAX),
            end: AtomicU64::new(0),
        }
    }
}

impl Ranges {
    pub(crate) fn insert(&self, range: Range) {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        self.lowest.fetch_min(range.base, Ordering::Release);
        self.end
            .fetch_max(range.base.saturating_add(range.bytes), Ordering::Release);
        map.insert(range.base, range);
    }

    /// The range that holds `address`.
    pub(crate) fn find(&self, address: u64) -> Option<Range> {
        if !self.may_overlap(address, 1) {
            return None;
        }
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let (_, range) = map
            .range((Bound::Unbounded, Bound::Included(address)))
            .next_back()?;
        range.rest(address).map(|_| *range)
    }

    /// Whether `bytes` bytes from `address` may overlap a range, without a lock; false is certain.
    #[inline]
    pub(crate) fn may_overlap(&self, address: u64, bytes: u64) -> bool {
        address < self.end.load(Ordering::Acquire)
            && address.saturating_add(bytes) > self.lowest.load(Ordering::Acquire)
    }

    /// Whether `bytes` bytes from `address` are of one range of the host arena.
    #[inline]
    pub(crate) fn is_pinned(&self, address: u64, bytes: u64) -> bool {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let before = map.range(..=address).next_back();
        before.is_some_and(|(_, range)| {
            range.is_in_host_arena() && range.rest(address).is_some_and(|rest| rest >= bytes)
        })
    }

    /// Where `bytes` bytes from `address` are in BAR1, if they are all there and of this context.
    #[inline]
    pub(crate) fn in_bar1(&self, address: u64, bytes: u64, context: Handle) -> Option<Bar1Place> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let (_, range) = map.range(..=address).next_back()?;
        let inside = range.rest(address)? >= bytes && range.context == context;
        range.bar1.filter(|_| inside).map(|place| Bar1Place {
            offset: place.offset + (address - range.base),
            ..place
        })
    }

    /// Notes that the program copies to the allocation that holds `address`.
    pub(crate) fn note_filled(&self, address: u64) {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, range)) = map.range_mut(..=address).next_back()
            && range.rest(address).is_some()
            && let Some(place) = &mut range.bar1
        {
            place.filled = true;
        }
    }

    /// A range that has bytes of `address .. address + bytes`.
    pub(crate) fn overlapping(&self, address: u64, bytes: u64) -> Option<Range> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let end = address.saturating_add(bytes);
        let (_, range) = map.range(..end).next_back()?;
        (range.base + range.bytes > address).then_some(*range)
    }

    /// The range that holds `bytes` bytes from `address`; of mappings that follow each other, the first.
    pub(crate) fn covering(&self, address: u64, bytes: u64) -> Option<Range> {
        let first = self.find(address)?;
        let mut covered = first.rest(address)?;
        let mut last = first;
        while covered < bytes && matches!(last.kind, RangeKind::Mapped { .. }) {
            last = self.find(last.base.checked_add(last.bytes)?)?;
            if !matches!(last.kind, RangeKind::Mapped { .. }) {
                break;
            }
            covered += last.bytes;
        }
        (covered >= bytes).then_some(first)
    }

    /// Takes the range that begins at `base` out, where `accept` agrees.
    pub(crate) fn take(&self, base: u64, accept: impl FnOnce(&Range) -> bool) -> Option<Range> {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        if !accept(map.get(&base)?) {
            return None;
        }
        map.remove(&base)
    }

    /// Drops every range that `keep` does not want, and gives them back.
    pub(crate) fn retain(&self, keep: impl Fn(&Range) -> bool) -> Vec<Range> {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<Range> = map.values().filter(|range| !keep(range)).copied().collect();
        for range in &gone {
            map.remove(&range.base);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(base: u64, bytes: u64) -> Range {
        Range {
            base,
            bytes,
            kind: RangeKind::Device { pool: 0 },
            context: 3,
            identity: 1,
            bar1: None,
        }
    }

    #[test]
    fn mappings_that_follow_each_other_are_one_range_of_memory() {
        let mapped = |base, bytes| Range {
            kind: RangeKind::Mapped {
                handle_types: 0,
                access: 3,
            },
            ..range(base, bytes)
        };
        let ranges = Ranges::default();
        ranges.insert(mapped(0x1000, 0x1000));
        ranges.insert(mapped(0x2000, 0x1000));
        ranges.insert(range(0x3000, 0x1000));
        assert_eq!(
            ranges.covering(0x1800, 0x1800).map(|range| range.base),
            Some(0x1000)
        );
        assert!(
            ranges.covering(0x1800, 0x1801).is_none(),
            "an allocation is not one of them"
        );
        assert!(ranges.covering(0x3800, 0x801).is_none());
        ranges.take(0x2000, |_| true);
        assert!(ranges.covering(0x1800, 0x801).is_none(), "a gap");
    }

    #[test]
    fn only_whole_pieces_of_the_context_are_in_bar1() {
        let ranges = Ranges::default();
        ranges.insert(Range {
            bar1: Some(Bar1Place {
                offset: 0x7000,
                filled: false,
            }),
            ..range(0x1000, 0x100)
        });
        ranges.insert(range(0x2000, 0x100));
        let place = |filled| {
            Some(Bar1Place {
                offset: 0x7010,
                filled,
            })
        };
        assert_eq!(ranges.in_bar1(0x1010, 0xf0, 3), place(false));
        ranges.note_filled(0x1100);
        ranges.note_filled(0x2000);
        assert_eq!(ranges.in_bar1(0x1010, 0xf0, 3), place(false));
        ranges.note_filled(0x10ff);
        assert_eq!(ranges.in_bar1(0x1010, 0xf0, 3), place(true));
        assert_eq!(ranges.in_bar1(0x1010, 0xf1, 3), None);
        assert_eq!(ranges.in_bar1(0x1010, 0x10, 4), None);
        assert_eq!(ranges.in_bar1(0x2010, 0x10, 3), None);
        assert_eq!(ranges.in_bar1(0xfff, 1, 3), None);
        assert!(!ranges.is_pinned(0x1010, 0x10));
        ranges.insert(Range {
            kind: RangeKind::Host { flags: 0 },
            ..range(0x3000, 0x100)
        });
        assert!(ranges.is_pinned(0x3010, 0xf0) && !ranges.is_pinned(0x3010, 0xf1));
    }

    #[test]
    fn addresses_find_their_range() {
        let ranges = Ranges::default();
        ranges.insert(range(0x1000, 0x100));
        ranges.insert(range(0x2000, 0x10));
        assert!(ranges.find(0xfff).is_none());
        assert_eq!(ranges.find(0x10ff).map(|range| range.base), Some(0x1000));
        assert!(ranges.find(0x1100).is_none());
        assert!(ranges.covering(0x1080, 0x80).is_some());
        assert!(ranges.covering(0x1080, 0x81).is_none());
        assert!(ranges.covering(u64::MAX, u64::MAX).is_none());
        assert!(ranges.may_overlap(0xfff, 2) && ranges.may_overlap(0x200f, 1));
        assert!(!ranges.may_overlap(0xff0, 0x10) && !ranges.may_overlap(0x2010, u64::MAX));
        assert!(ranges.overlapping(0xf00, 0x100).is_none());
        assert!(ranges.overlapping(0x1100, 0xf00).is_none());
        let overlapping = |address, bytes| ranges.overlapping(address, bytes).map(|range| range.base);
        assert_eq!(overlapping(0xf00, 0x101), Some(0x1000));
        assert_eq!(overlapping(0x10ff, 1), Some(0x1000));
        assert_eq!(overlapping(0, u64::MAX), Some(0x2000));
        assert!(ranges.take(0x1001, |_| true).is_none());
        assert!(ranges.take(0x1000, |_| false).is_none());
        assert!(ranges.take(0x1000, |_| true).is_some());
        assert_eq!(ranges.retain(|_| false).len(), 1);
    }
}
