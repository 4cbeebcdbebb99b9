//! The state of a block between runs: plain memory, nothing that points into it.

use std::ptr::NonNull;
use std::sync::Arc;

use crate::check::state::BlockState;
use crate::cluster::{Arrived, Cluster, RANK_SHIFT};
use crate::decode::Code;
use crate::exec::{Mask, Site, WARPS};
use crate::launch::Launch;
use crate::tiers::Build;

/// Memory aligned to 64 bytes.
#[derive(Debug)]
pub(crate) struct Buf {
    at: NonNull<u8>,
    len: usize,
    capacity: usize,
}

// SAFETY: the buffer owns its memory; it is shared with nobody.
unsafe impl Send for Buf {}
// SAFETY: through a shared reference only its length and address can be read.
unsafe impl Sync for Buf {}

impl Buf {
    /// Zeroed memory.
    pub(crate) fn zeroed(len: usize) -> Self {
        if len == 0 {
            return Self {
                at: NonNull::dangling(),
                len: 0,
                capacity: 0,
            };
        }
        let layout = Self::layout(len);
        // SAFETY: the size is not zero.
        let at = unsafe { std::alloc::alloc_zeroed(layout) };
        match NonNull::new(at) {
            Some(at) => Self {
                at,
                len,
                capacity: layout.size(),
            },
            None => std::alloc::handle_alloc_error(layout),
        }
    }

    fn layout(len: usize) -> std::alloc::Layout {
        // Sizes are bounded where a launch is made, far below what could fail here.
        std::alloc::Layout::from_size_align(len.max(1).next_multiple_of(64), 64)
            .unwrap_or_else(|_| std::alloc::handle_alloc_error(std::alloc::Layout::new::<[u8; 64]>()))
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Changes the length to at most the capacity.
    pub(crate) const fn set_len(&mut self, len: usize) {
        if len <= self.capacity {
            self.len = len;
        }
    }

    pub(crate) const fn as_ptr(&self) -> *mut u8 {
        self.at.as_ptr()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: all of it was initialised when it was allocated.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr(), self.len) }
    }
}

impl Clone for Buf {
    fn clone(&self) -> Self {
        let mut new = Self::zeroed(self.len);
        new.bytes_mut().copy_from_slice(self.bytes());
        new
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        if self.capacity != 0 {
            // SAFETY: it was allocated with this layout.
            unsafe { std::alloc::dealloc(self.at.as_ptr(), Self::layout(self.capacity)) };
        }
    }
}

/// What a split waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nothing: it can run.
    None,
    /// The barrier of this number. Its program counter is that of the barrier's operation.
    Barrier(u8),
    /// Lanes of its member mask that have not come.
    Sync,
}

/// Lanes of a group that stand at one place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Split {
    pub(crate) pc: u32,
    pub(crate) mask: Mask,
    pub(crate) wait: Wait,
    /// When it last ran, in the group's clock; for taking turns.
    pub(crate) stamp: u64,
}

impl Split {
    /// Where all lanes stand at the start.
    pub(crate) const fn first(mask: Mask) -> Self {
        Self {
            pc: 0,
            mask,
            wait: Wait::None,
            stamp: 0,
        }
    }
}

/// Up to eight warps in lock step.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) frame: Buf,
    /// Local memory of its threads, one after the other.
    pub(crate) local: Buf,
    /// All splits while the group is not running; the current one is taken out while it is.
    pub(crate) splits: Vec<Split>,
    /// Lanes that have not exited.
    pub(crate) live: Mask,
    /// Lanes that there are threads for.
    pub(crate) all: Mask,
    pub(crate) first_warp: u32,
    pub(crate) warps: u32,
    /// In the all-vector decoding.
    pub(crate) vector: bool,
    /// Splits take turns.
    pub(crate) rotating: bool,
    /// The next run of this split goes ahead although lanes are missing.
    pub(crate) force: bool,
    /// Counts changes of the set of splits.
    pub(crate) progress: u64,
    /// Counts slices run.
    pub(crate) clock: u64,
    /// Clock when `progress` last changed, and its value then.
    pub(crate) seen: (u64, u64),
    /// Lanes that arrived at the barrier of the cluster.
    pub(crate) arrived: Arrived,
}

impl Group {
    /// Back to the first instruction. What is in frame and local memory stays.
    pub(crate) fn restart(&mut self) {
        self.splits.clear();
        self.splits.push(Split::first(self.all));
        self.live = self.all;
        self.rotating = false;
        self.force = false;
        self.progress = 0;
        self.clock = 0;
        self.seen = (0, 0);
        self.arrived = Arrived::default();
    }

    pub(crate) const fn first_thread(&self) -> u32 {
        self.first_warp * 32
    }

    /// Lowest program counter of the splits that can run.
    pub(crate) fn lowest(&self) -> u32 {
        self.splits
            .iter()
            .filter(|s| s.wait == Wait::None)
            .map(|s| s.pc)
            .min()
            .unwrap_or(u32::MAX)
    }

    /// Takes out the split that [`lowest`](Self::lowest) is about.
    pub(crate) fn take_lowest(&mut self) -> Option<Split> {
        if let [split] = self.splits[..]
            && split.wait == Wait::None
        {
            self.splits.clear();
            return Some(split);
        }
        let all = self.splits.iter().enumerate();
        let runnable = all.filter(|(_, s)| s.wait == Wait::None);
        let at = runnable.min_by_key(|(_, s)| s.pc).map(|(at, _)| at)?;
        Some(self.splits.swap_remove(at))
    }

    /// Takes out the split that ran least recently.
    pub(crate) fn take_oldest(&mut self) -> Option<Split> {
        let mut best: Option<(usize, (u64, u32))> = None;
        for (i, s) in self.splits.iter().enumerate() {
            let key = (s.stamp, s.pc);
            if s.wait == Wait::None && best.is_none_or(|b| key < b.1) {
                best = Some((i, key));
            }
        }
        best.map(|(i, _)| self.splits.swap_remove(i))
    }

    pub(crate) fn runnable(&self) -> bool {
        self.splits.iter().any(|s| s.wait == Wait::None)
    }

    pub(crate) fn done(&self) -> bool {
        self.live == [0; WARPS]
    }
}

/// A barrier of the block.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Barrier {
    /// Lanes that wait, by warp of the block.
    pub(crate) arrived: [u32; BLOCK_WARPS],
    /// Threads that arrived and went on.
    pub(crate) passed: u32,
    /// Threads expected; 0 for all that live.
    pub(crate) expected: u32,
    pub(crate) ones: u32,
    pub(crate) any: bool,
}

/// Warps of a block at most.
pub(crate) const BLOCK_WARPS: usize = 32;
/// Barriers of a block, and one more for the grid-wide one.
pub(crate) const BARRIERS: usize = 17;
/// The barrier that collects a block before the grid-wide one.
pub(crate) const GRID_BARRIER: usize = 16;

/// What the groups of a block share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) launch: Arc<Launch>,
    /// The block is carried out as those of the launch that have changed tiers.
    pub(crate) later: bool,
    pub(crate) block: [u32; 3],
    /// Shared memory; empty where it belongs to the cluster.
    pub(crate) shared: Buf,
    /// The cluster, when the kernel needs one.
    pub(crate) cluster: Option<Arc<Cluster>>,
    /// `%cluster_ctarank`
    pub(crate) rank: u32,
    pub(crate) barriers: Box<[Barrier; BARRIERS]>,
    /// Barriers that somebody has arrived at, one bit each.
    pub(crate) active: u32,
    pub(crate) groups: u32,
    /// What a checked block keeps; nothing for others.
    pub(crate) check: Option<Box<BlockState>>,
}

impl Shared {
    /// How the block is carried out.
    pub(crate) fn build(&self) -> &Build {
        self.launch.build(self.later)
    }

    /// The decoding of a group of the block.
    pub(crate) fn code(&self, vector: bool) -> &Code {
        self.build().code(&self.launch.program().analysed, vector)
    }

    /// Sets the block's own shared memory to zero.
    pub(crate) fn clear_shared(&mut self) {
        // A vector store of no bytes to where nothing is mapped, which is how an empty buffer points, takes the processor 100 ns.
        if self.shared.len() != 0 {
            self.shared.bytes_mut().fill(0);
        }
    }

    /// The block's shared memory, from 0.
    pub(crate) fn own_shared(&self) -> Site {
        match &self.cluster {
            Some(cluster) => cluster.memory(self.rank),
            None => Site {
                lo: 0,
                len: self.shared.len() as u64,
                host: self.shared.as_ptr(),
            },
        }
    }

    /// The shared memory that place `at` of the window lies in, from its own place in the window.
    pub(crate) fn shared_at(&self, at: u64) -> Option<Site> {
        let block = at >> RANK_SHIFT;
        let Some(rank) = block.checked_sub(1) else {
            return Some(self.own_shared());
        };
        let site = self.cluster.as_ref()?.memory(u32::try_from(rank).ok()?);
        Some(Site {
            lo: block << RANK_SHIFT,
            ..site
        })
    }

    /// Nobody has arrived anywhere.
    pub(crate) fn forget_barriers(&mut self) {
        if self.active == 0 {
            return;
        }
        for (id, barrier) in self.barriers.iter_mut().enumerate() {
            if self.active >> id & 1 != 0 {
                *barrier = Barrier::default();
            }
        }
        self.active = 0;
    }

    pub(crate) const fn one_group(&self) -> bool {
        self.groups == 1
    }

    /// Coordinates of a thread.
    pub(crate) fn thread(&self, number: u32) -> [u32; 3] {
        let [x, y, _] = self.launch.geometry().block;
        let (x, y) = (x.max(1), y.max(1));
        [number % x, number / x % y, number / x / y]
    }

    pub(crate) fn local_bytes(&self) -> usize {
        self.launch.local_bytes()
    }

    /// The parameter block. Nothing is ever written through it: the window is read-only.
    pub(crate) fn params(&self) -> Site {
        let params = self.launch.params();
        Site {
            lo: 0,
            len: params.len() as u64,
            host: params.as_ptr().cast_mut(),
        }
    }
}
