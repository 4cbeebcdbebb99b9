//! Who used which bytes last: a cell per granule of memory, and the rule by which two uses conflict.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::report::AccessKind;

/// A use of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) time: u32,
    /// Number of the block in the grid.
    pub(super) block: u32,
    /// Number of the thread in the block.
    pub(super) thread: u16,
    pub(super) kind: AccessKind,
    /// An atomic, or a volatile, relaxed or stronger access: two of these do not race.
    pub(super) strong: bool,
    /// A compare-and-swap, which sees by itself that a value read before is no longer right.
    pub(super) verifies: bool,
    /// Which instruction: an index into the table of checked ones.
    pub(super) inst: u32,
}

/// The last uses of a granule.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cell {
    write: Option<Mark>,
    /// What it wrote.
    value: Option<u32>,
    /// The last reader, and the last one before it that was another thread.
    reads: [Option<Mark>; 2],
}

impl Mark {
    const fn same_thread(&self, other: &Self) -> bool {
        self.thread == other.thread && self.block == other.block
    }

    /// Whether two uses, at least one of them a write, may not happen side by side.
    fn against(&self, other: &Self, ordered: impl Fn(&Self) -> bool) -> bool {
        let verified = |read: &Self, swap: &Self| read.kind == AccessKind::Read && swap.verifies;
        let fine = self.same_thread(other)
            || self.strong && other.strong
            || verified(self, other)
            || verified(other, self)
            || ordered(other);
        !fine
    }
}

impl Cell {
    /// Notes a use; the use before it that it races with. `value` is what a write leaves.
    pub(super) fn touch(
        &mut self,
        me: Mark,
        value: Option<u32>,
        ordered: impl Fn(&Mark) -> bool,
    ) -> Option<Mark> {
        let writes = me.kind != AccessKind::Read;
        let mut found = None;
        if let Some(write) = self.write
            && me.against(&write, &ordered)
            // Two threads that write the same leave the same.
            && !(writes && value.is_some() && value == self.value)
        {
            found = Some(write);
        }
        if !writes {
            match self.reads[0] {
                Some(last) if last.same_thread(&me) => {}
                last => self.reads[1] = last,
            }
            self.reads[0] = Some(me);
            return found;
        }
        let reads = self.reads.into_iter().flatten();
        let found = found.or_else(|| reads.into_iter().find(|read| me.against(read, &ordered)));
        (self.write, self.value, self.reads) = (Some(me), value, [None; 2]);
        found
    }
}

/// Granules of a page of cells.
const CELLS: usize = 64;

/// Cells that come into being as they are used.
#[derive(Debug, Clone, Default)]
pub(super) struct Cells {
    pages: Vec<Option<Box<[Cell; CELLS]>>>,
}

impl Cells {
    pub(super) fn cell(&mut self, granule: usize) -> &mut Cell {
        let page = granule / CELLS;
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        let cells = self.pages[page].get_or_insert_with(|| Box::new([Cell::default(); CELLS]));
        &mut cells[granule % CELLS]
    }
}

const SHARDS: usize = 64;

/// The cells of global memory of one launch, used by all its blocks.
#[derive(Debug)]
pub(super) struct LaunchRaces {
    shards: Vec<Mutex<HashMap<u64, Box<[Cell; CELLS]>>>>,
    /// When each block last published what it did.
    released: Mutex<HashMap<u32, u32>>,
}

impl Default for LaunchRaces {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            released: Mutex::default(),
        }
    }
}

impl LaunchRaces {
    /// As [`Cell::touch`], on the cell of a granule.
    pub(super) fn touch(
        &self,
        granule: u64,
        me: Mark,
        value: Option<u32>,
        ordered: impl Fn(&Mark) -> bool,
    ) -> Option<Mark> {
        let page = granule / CELLS as u64;
        let shard = usize::try_from(page % SHARDS as u64).unwrap_or(0);
        let mut shard = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        let cells = shard
            .entry(page)
            .or_insert_with(|| Box::new([Cell::default(); CELLS]));
        cells[usize::try_from(granule % CELLS as u64).unwrap_or(0)].touch(me, value, ordered)
    }

    /// A block published what it did before `time`.
    pub(super) fn release(&self, block: u32, time: u32) {
        let mut released = self.released.lock().unwrap_or_else(PoisonError::into_inner);
        released.insert(block, time);
    }

    /// Whether a block has published what it did at `time`.
    pub(super) fn is_released(&self, block: u32, time: u32) -> bool {
        let released = self.released.lock().unwrap_or_else(PoisonError::into_inner);
        released.get(&block).is_some_and(|&at| at > time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(thread: u16, kind: AccessKind) -> Mark {
        Mark {
            time: 0,
            block: 0,
            thread,
            kind,
            strong: kind == AccessKind::Atomic,
            verifies: false,
            inst: 0,
        }
    }

    #[test]
    fn conflicts_need_two_threads_and_a_write() {
        use AccessKind::{Atomic, Read, Write};
        let never = |_: &Mark| false;
        let after = |first: &[(u16, AccessKind)], then: (u16, AccessKind)| {
            let mut cell = Cell::default();
            for &(thread, kind) in first {
                cell.touch(mark(thread, kind), None, never);
            }
            cell.touch(mark(then.0, then.1), None, never).map(|m| m.thread)
        };
        assert_eq!(after(&[(1, Write)], (1, Read)), None);
        assert_eq!(after(&[(1, Read)], (2, Read)), None);
        assert_eq!(after(&[(1, Write)], (2, Read)), Some(1));
        assert_eq!(after(&[(1, Write)], (2, Write)), Some(1));
        assert_eq!(after(&[(1, Atomic)], (2, Atomic)), None);
        assert_eq!(after(&[(1, Atomic)], (2, Read)), Some(1));
        // The writer itself was the last reader: the reader before it counts.
        assert_eq!(after(&[(1, Read), (2, Read)], (2, Write)), Some(1));
        assert_eq!(after(&[(2, Read)], (2, Write)), None);
    }

    #[test]
    fn the_same_value_twice_is_no_race_and_what_is_ordered_is_none() {
        let mut cell = Cell::default();
        cell.touch(mark(1, AccessKind::Write), Some(7), |_| false);
        assert_eq!(cell.touch(mark(2, AccessKind::Write), Some(7), |_| false), None);
        assert_eq!(cell.touch(mark(3, AccessKind::Write), Some(8), |_| true), None);
        assert!(
            cell.touch(mark(4, AccessKind::Write), Some(9), |_| false)
                .is_some()
        );
    }
}
