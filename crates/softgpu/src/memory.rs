//! Who holds which pages of the frame buffer.
//!
//! ```text
//!   free ── take ──▶ used ── retire ──▶ retired ── every executor has passed a safe point, pages are scrubbed ──▶ free
//! ```
//!
//! The ledger counts offsets; in which file the pages behind them lie ([`crate::fb`]), the owner says when it takes them.
//!
//! Invariants
//! * free + used + retired = size of the frame buffer, at any time ([`Memory::audit`]).
//! * A page is given to a new owner only after it was scrubbed, and scrubbed only after nobody can touch it any more.
//! * The limit is hard: `used` never exceeds the size.

use crate::fb::FrameBuffer;
use crate::quiesce::{Slots, Snapshot};
use crate::ranges::Ranges;
use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tessera_device::DeviceError;
use tessera_mmu::{LARGE_PAGE_BYTES, PAGE_BYTES};

/// Longest wait for retired pages, when an allocation needs them. Executors pass a safe point every millisecond or so; punching
/// gigabytes out of a file takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes that are scrubbed by whoever gives them back; more is left to an executor.
const SCRUB_AT_ONCE: u64 = 16 << 20;

/// A piece of the frame buffer: offset and bytes, both multiples of 4 KiB.
pub(crate) type Piece = (u64, u64);

/// Pieces with the file that they lie in, which they keep.
pub(crate) struct Pages {
    pub(crate) file: Arc<FrameBuffer>,
    pub(crate) pieces: Vec<Piece>,
}

impl Pages {
    pub(crate) fn bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.1).sum()
    }

    fn scrub(&self) {
        for &(offset, bytes) in &self.pieces {
            self.file.scrub(offset, bytes);
        }
    }
}

/// Pages, or something else that running threads may still use.
struct Retired {
    when: Snapshot,
    pages: Option<Pages>,
    /// Dropped with the pages; for instance the owner of host memory.
    keep: Option<Box<dyn Any + Send>>,
}

struct State {
    free: Ranges,
    used: u64,
    retired: Vec<Retired>,
    retired_bytes: u64,
}

/// What [`Memory::audit`] finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Audit {
    pub(crate) total: u64,
    pub(crate) free: u64,
    pub(crate) used: u64,
    pub(crate) retired: u64,
}

/// The ledger of the frame buffer, and the device's own file.
pub(crate) struct Memory {
    fb: Arc<FrameBuffer>,
    slots: Arc<Slots>,
    state: Mutex<State>,
    /// Signalled when retired pages became free.
    freed: Condvar,
    /// Number of entries in `retired`, to be looked at without the lock.
    waiting: AtomicUsize,
}

impl Memory {
    pub(crate) fn new(bytes: u64, slots: Arc<Slots>) -> Result<Self, DeviceError> {
        Ok(Self {
            fb: Arc::new(FrameBuffer::new(bytes)?),
            slots,
            state: Mutex::new(State {
                free: Ranges::new(0, bytes),
                used: 0,
                retired: Vec::new(),
                retired_bytes: 0,
            }),
            freed: Condvar::new(),
            waiting: AtomicUsize::new(0),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The device's own file.
    pub(crate) fn file(&self) -> &Arc<FrameBuffer> {
        &self.fb
    }

    pub(crate) fn audit(&self) -> Audit {
        let state = self.state();
        Audit {
            total: self.fb.bytes(),
            free: state.free.total(),
            used: state.used,
            retired: state.retired_bytes,
        }
    }

    /// `bytes` (a multiple of 4 KiB) of zeroed pages of a file, in as few pieces as there can be.
    pub(crate) fn take(&self, file: &Arc<FrameBuffer>, bytes: u64) -> Result<Pages, DeviceError> {
        let started = Instant::now();
        let mut state = self.state();
        loop {
            let total = self.fb.bytes();
            let free = total - state.used;
            if bytes > free {
                return Err(DeviceError::OutOfMemory {
                    requested: bytes,
                    free,
                    total,
                });
            }
            if bytes <= state.free.total() {
                let pieces = carve(&mut state.free, bytes);
                state.used += bytes;
                drop(state);
                advise(file, &pieces);
                let file = Arc::clone(file);
                return Ok(Pages { file, pieces });
            }
            // Enough is free, but some of it still waits for executors to let go of it.
            if started.elapsed() > PATIENCE {
                return Err(DeviceError::OutOfMemory {
                    requested: bytes,
                    free: state.free.total(),
                    total,
                });
            }
            drop(state);
            self.slots.stop_all();
            self.reclaim();
            state = self.state();
            if bytes > state.free.total() {
                let waited = self.freed.wait_timeout(state, Duration::from_millis(1));
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    /// Takes pages back whose mappings are gone already, and drops `keep` when nobody can use it any more. The ledger counts the
    /// pages as given back at once. A large range is left to whoever calls [`Memory::reclaim`] next.
    pub(crate) fn retire(&self, pages: Option<Pages>, keep: Option<Box<dyn Any + Send>>) {
        let bytes = pages.as_ref().map_or(0, Pages::bytes);
        let when = self.slots.snapshot();
        let mut state = self.state();
        debug_assert!(state.used >= bytes, "more given back than was taken");
        state.used -= bytes;
        state.retired_bytes += bytes;
        state.retired.push(Retired { when, pages, keep });
        self.waiting.store(state.retired.len(), Ordering::Release);
        drop(state);
        if bytes <= SCRUB_AT_ONCE {
            self.reclaim();
        }
    }

    /// Whether [`Memory::reclaim`] may have something to do.
    pub(crate) fn has_retired(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Scrubs retired pages that nobody can use any more and makes them free. Called by whoever passes by.
    pub(crate) fn reclaim(&self) {
        let mut state = self.state();
        let (ready, rest) = std::mem::take(&mut state.retired)
            .into_iter()
            .partition::<Vec<_>, _>(|retired| self.slots.passed(&retired.when));
        state.retired = rest;
        self.waiting.store(state.retired.len(), Ordering::Release);
        drop(state);
        if ready.is_empty() {
            return;
        }
        // Punching takes time in proportion to the pages touched: not under the lock.
        let pages = || ready.iter().filter_map(|retired| retired.pages.as_ref());
        pages().for_each(Pages::scrub);
        let mut state = self.state();
        for &(offset, bytes) in pages().flat_map(|pages| &pages.pieces) {
            state.free.give(offset, bytes);
            state.retired_bytes -= bytes;
        }
        drop(state);
        self.freed.notify_all();
        // What was kept for the readers goes now, outside of the lock: its drop is somebody else's code, and a file's takes time.
        for Retired { pages, keep, .. } in ready {
            drop((pages, keep));
        }
    }
}

fn advise(file: &FrameBuffer, pieces: &[Piece]) {
    for &(offset, bytes) in pieces.iter().filter(|piece| piece.1 >= LARGE_PAGE_BYTES) {
        file.advise_large(offset, bytes);
    }
}

/// Takes `bytes`, all of which are free: in one piece at a large page where that can be had.
fn carve(free: &mut Ranges, bytes: u64) -> Vec<Piece> {
    let whole = if bytes >= LARGE_PAGE_BYTES {
        free.take(bytes, LARGE_PAGE_BYTES)
            .or_else(|| free.take(bytes, PAGE_BYTES))
    } else {
        free.take(bytes, PAGE_BYTES)
    };
    if let Some(offset) = whole {
        return vec![(offset, bytes)];
    }
    let mut pieces = Vec::new();
    let mut left = bytes;
    while left > 0 {
        let Some((offset, got)) = free.take_longest(left) else {
            unreachable!("the caller looked: {left} of {bytes} bytes are missing");
        };
        pieces.push((offset, got));
        left -= got;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn memory(bytes: u64) -> (Memory, Arc<Slots>) {
        let slots = Arc::new(Slots::new(2));
        (Memory::new(bytes, Arc::clone(&slots)).expect("memory"), slots)
    }

    fn take(memory: &Memory, bytes: u64) -> Result<Pages, DeviceError> {
        memory.take(memory.file(), bytes)
    }

    fn balanced(memory: &Memory) -> Audit {
        let audit = memory.audit();
        assert_eq!(audit.free + audit.used + audit.retired, audit.total);
        audit
    }

    #[test]
    fn the_limit_is_hard_and_the_error_has_the_figures() {
        let (memory, _) = memory(4 * MIB);
        let taken = take(&memory, 3 * MIB).expect("fits");
        match take(&memory, 2 * MIB) {
            Err(DeviceError::OutOfMemory {
                requested,
                free,
                total,
            }) => assert_eq!((requested, free, total), (2 * MIB, MIB, 4 * MIB)),
            other => panic!("{:?}", other.map(|pages| pages.pieces)),
        }
        memory.retire(Some(taken), None);
        assert_eq!(balanced(&memory).free, 4 * MIB);
        take(&memory, 4 * MIB).expect("all of it, once it is free again");
    }

    #[test]
    fn fragments_still_make_a_large_allocation() {
        let (memory, _) = memory(8 * MIB);
        let mut taken: Vec<_> = (0..8).map(|_| take(&memory, MIB).expect("fits")).collect();
        for index in [6, 4, 2, 0] {
            memory.retire(Some(taken.remove(index)), None);
        }
        let pieces = take(&memory, 4 * MIB).expect("in four pieces");
        assert_eq!(pieces.bytes(), 4 * MIB);
        assert_eq!(pieces.pieces.len(), 4);
        assert_eq!(balanced(&memory).used, 8 * MIB);
    }

    #[test]
    fn pages_in_use_by_a_running_thread_wait_and_are_scrubbed_before_reuse() {
        let (memory, slots) = memory(MIB);
        let pieces = take(&memory, MIB).expect("fits");
        // SAFETY: our page.
        unsafe { memory.file().pointer(0).write(77) };
        slots.enter(0);
        let owner = Arc::new(());
        memory.retire(Some(pieces), Some(Box::new(Arc::clone(&owner))));
        let audit = balanced(&memory);
        assert_eq!((audit.used, audit.retired), (0, MIB));
        assert_eq!(Arc::strong_count(&owner), 2);
        // SAFETY: the thread of slot 0 may still look; it must find the page as it was.
        assert_eq!(unsafe { memory.file().pointer(0).read() }, 77);

        std::thread::scope(|scope| {
            let taker = scope.spawn(|| take(&memory, MIB).expect("after the thread has left"));
            while !slots.slot(0).stop().load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            slots.leave(0);
            taker.join().expect("no panic");
        });
        assert_eq!(Arc::strong_count(&owner), 1);
        // SAFETY: our page again.
        assert_eq!(unsafe { memory.file().pointer(0).read() }, 0, "scrubbed");
        assert_eq!(balanced(&memory).used, MIB);
    }

    #[test]
    fn what_one_file_holds_no_other_shows() {
        let (memory, _) = memory(MIB);
        let guest = Arc::new(FrameBuffer::new(MIB).expect("a file"));
        let pages = memory.take(&guest, MIB).expect("fits");
        assert_eq!(pages.pieces, [(0, MIB)]);
        assert!(take(&memory, 4096).is_err(), "files share one ledger");
        // SAFETY: our page.
        unsafe { guest.pointer(8192).write(77) };
        memory.retire(Some(pages), None);
        // SAFETY: the guest's stale pointer, into its own file.
        unsafe {
            assert_eq!(guest.pointer(8192).read(), 0, "scrubbed");
            guest.pointer(8192).write(78);
        }
        let next = take(&memory, MIB).expect("free again");
        assert_eq!(next.pieces, [(0, MIB)]);
        // SAFETY: our page.
        assert_eq!(unsafe { memory.file().pointer(8192).read() }, 0);
        assert_eq!(balanced(&memory).used, MIB);
    }
}
