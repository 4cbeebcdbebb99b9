//! The staging heap: a part of the aperture where bulk data rests between guest memory and device.
//!
//! The guest alone manages it, in private memory; the worker is told offsets and checks only that they lie inside. A piece is
//! freed when its [`Staging`] is dropped, or, for asynchronous copies, handed over with [`StagingHeap::release_after`] and
//! freed once the stream has got there. When the heap is full, [`StagingHeap::allocate`] waits for the oldest such piece.
//!
//! Free pieces are kept by offset and the lowest one that fits is taken, so that little memory is touched and it stays cached.

use crate::record::{Completion, Records};
use crate::{ChannelError, Layout, Shared, SharedRange};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Pieces start and end at multiples of this.
const GRANULE: u64 = 256;

#[derive(Debug)]
struct Pool {
    /// Offset to length of every free piece; no two touch.
    free: BTreeMap<u64, u64>,
}

impl Pool {
    fn take(&mut self, bytes: u64) -> Option<u64> {
        let (&offset, &length) = self.free.iter().find(|&(_, &length)| length >= bytes)?;
        self.free.remove(&offset);
        if length > bytes {
            self.free.insert(offset + bytes, length - bytes);
        }
        Some(offset)
    }

    fn give(&mut self, offset: u64, bytes: u64) {
        let mut start = offset;
        let mut length = bytes;
        if let Some((&before, &size)) = self.free.range(..offset).next_back()
            && before + size == offset
        {
            self.free.remove(&before);
            start = before;
            length += size;
        }
        if let Some(size) = self.free.remove(&(offset + bytes)) {
            length += size;
        }
        self.free.insert(start, length);
    }
}

#[derive(Debug)]
struct Pending {
    staging: Staging,
    completion: Completion,
    seq: u64,
}

/// The heap of a session; shared by all threads of the guest.
#[derive(Debug)]
pub struct StagingHeap {
    aperture: Arc<Shared>,
    base: u64,
    bytes: u64,
    pool: Arc<Mutex<Pool>>,
    pending: Mutex<VecDeque<Pending>>,
}

impl StagingHeap {
    pub(crate) fn new(aperture: Arc<Shared>, layout: &Layout) -> Self {
        let bytes = layout.staging_bytes / GRANULE * GRANULE;
        let free = if bytes == 0 {
            BTreeMap::new()
        } else {
            BTreeMap::from([(0, bytes)])
        };
        Self {
            aperture,
            base: layout.staging_offset,
            bytes,
            pool: Arc::new(Mutex::new(Pool { free })),
            pending: Mutex::new(VecDeque::new()),
        }
    }

    /// Bytes of the whole heap.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.bytes
    }

    /// A piece of at least `bytes` bytes, if there is one now.
    #[must_use]
    pub fn try_allocate(&self, bytes: u64) -> Option<Staging> {
        let bytes = bytes.max(1).checked_next_multiple_of(GRANULE)?;
        let offset = self
            .pool
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(bytes)?;
        let piece = Piece {
            pool: Arc::clone(&self.pool),
            offset,
            bytes,
        };
        let range = self.aperture.range(self.base + offset, bytes)?;
        Some(Staging { range, piece })
    }

    /// A piece of at least `bytes` bytes; waits for pieces of [`StagingHeap::release_after`] where the heap is full.
    ///
    /// # Errors
    /// More than the heap has, or nothing is pending that could be waited for, or the worker is gone.
    pub fn allocate(&self, bytes: u64, records: &Records) -> Result<Staging, ChannelError> {
        if bytes > self.bytes {
            return Err(ChannelError::TooLarge("staging heap"));
        }
        self.reap(records);
        loop {
            if let Some(staging) = self.try_allocate(bytes) {
                return Ok(staging);
            }
            let oldest = self
                .pending
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            let Some(oldest) = oldest else {
                return Err(ChannelError::Exhausted("staging heap"));
            };
            records.wait(oldest.completion, oldest.seq)?;
        }
    }

    /// Frees `staging` once the stream of `completion` has completed `seq`.
    pub fn release_after(&self, staging: Staging, completion: Completion, seq: u64) {
        self.pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(Pending {
                staging,
                completion,
                seq,
            });
    }

    /// Frees, oldest first, what its stream has completed.
    pub fn reap(&self, records: &Records) {
        let mut done = Vec::new();
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(oldest) = pending.front() {
            let over = records.value(oldest.completion) >= oldest.seq
                || records.fault(oldest.completion) != 0
                || records.is_retired(oldest.completion);
            if !over {
                break;
            }
            done.extend(pending.pop_front().map(|pending| pending.staging));
        }
        drop(pending);
    }

    /// Bytes free now, in however many pieces.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.free.values().sum()
    }
}

#[derive(Debug)]
struct Piece {
    pool: Arc<Mutex<Pool>>,
    offset: u64,
    bytes: u64,
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.pool
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .give(self.offset, self.bytes);
    }
}

/// A piece of the staging heap; freed when dropped.
#[derive(Debug)]
pub struct Staging {
    range: SharedRange,
    piece: Piece,
}

impl Staging {
    /// Where it is in the heap: what messages carry.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.piece.offset
    }

    /// The memory itself.
    #[must_use]
    pub fn range(&self) -> &SharedRange {
        &self.range
    }

    /// Copies `source` in at `offset`.
    ///
    /// # Errors
    /// It does not fit.
    pub fn write(&self, offset: usize, source: &[u8]) -> Result<(), ChannelError> {
        self.range.write(offset, source)
    }

    /// Copies out from `offset`.
    ///
    /// # Errors
    /// There are fewer bytes.
    pub fn read(&self, offset: usize, destination: &mut [u8]) -> Result<(), ChannelError> {
        self.range.read(offset, destination)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever the order of taking and giving: pieces never overlap, and at the end the pool is one piece again.
        #[test]
        fn pool_keeps_its_books(steps in prop::collection::vec((any::<bool>(), 1u64..40, any::<prop::sample::Index>()), 1..200)) {
            let total = 1u64 << 12;
            let mut pool = Pool { free: BTreeMap::from([(0, total)]) };
            let mut held: Vec<(u64, u64)> = Vec::new();
            for (take, granules, which) in steps {
                if take {
                    let bytes = granules * 16;
                    if let Some(offset) = pool.take(bytes) {
                        prop_assert!(offset + bytes <= total);
                        prop_assert!(held.iter().all(|&(o, b)| offset + bytes <= o || o + b <= offset));
                        held.push((offset, bytes));
                    }
                } else if !held.is_empty() {
                    let (offset, bytes) = held.swap_remove(which.index(held.len()));
                    pool.give(offset, bytes);
                }
                let free: u64 = pool.free.values().sum();
                let used: u64 = held.iter().map(|&(_, b)| b).sum();
                prop_assert_eq!(free + used, total);
            }
            for (offset, bytes) in held {
                pool.give(offset, bytes);
            }
            prop_assert_eq!(pool.free, BTreeMap::from([(0, total)]));
        }
    }
}
