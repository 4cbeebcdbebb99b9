//! The staging heap: a part of the aperture where bulk data rests between guest memory and device.
//!
//! The guest alone manages it, in private memory; the worker is told offsets and checks only that they lie inside. A piece is
//! freed when its [`Staging`] is dropped, or, for asynchronous copies, handed over with [`StagingHeap::release_after`] and
//! freed once the stream has got there. When the heap is full, [`StagingHeap::allocate`] waits for the oldest such piece.
//!
//! Free pieces are kept by offset and the lowest one that fits is taken, so that little memory is touched and it stays cached.

use crate::record::{Completion, Records};
use crate::{ChannelError, Layout, RangePool, Shared, SharedRange};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Pieces start and end at multiples of this.
const GRANULE: u64 = 256;

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
    pool: Arc<Mutex<RangePool>>,
    pending: Mutex<VecDeque<Pending>>,
}

impl StagingHeap {
    pub(crate) fn new(aperture: Arc<Shared>, layout: &Layout) -> Self {
        let bytes = layout.staging_bytes / GRANULE * GRANULE;
        Self {
            aperture,
            base: layout.staging_offset,
            bytes,
            pool: Arc::new(Mutex::new(RangePool::new(bytes))),
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
        self.pool
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .free_bytes()
    }
}

#[derive(Debug)]
struct Piece {
    pool: Arc<Mutex<RangePool>>,
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
