//! Which blocks of a kernel run next: what has not started, what waits, what was given back.
//!
//! ```text
//!                 batch of numbers                          block stops short of its end
//!  not started ───────────────────▶ claim of an executor ──────────────────────────────▶ ready, at the grid barrier
//!                                     │          ▲                                          │
//!                        what it did  │          └───────────────── claim ──────────────────┤
//!                        not get to   └──▶ given back ──── claim, before anything newer ────┘
//! ```
//!
//! Of the blocks of a claim one is resident at a time: they are begun one after the other in the same memory.

use super::Kernel;
use crate::executor::Local;
use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use tessera_engine::{Cta, NextBlock, Why};

/// Time that the blocks of one claim take, about.
const CLAIM_NS: u64 = 15_000;
/// Time below which a claim is not cut for the sake of an equal end: beginning it would cost more than waiting for it.
const LEAST_CLAIM_NS: u64 = 2_000;
/// Blocks of one claim at most.
const MOST_CLAIMED: u64 = 256;

#[derive(Default)]
pub(super) struct Parked {
    ready: VecDeque<(u64, Cta)>,
    at_barrier: Vec<(u64, Cta)>,
    /// Blocks that were claimed and not begun.
    given_back: Vec<Range<u64>>,
}

impl Parked {
    /// Pieces of work that wait here for an executor.
    fn count(&self) -> u64 {
        (self.ready.len() + self.given_back.len()) as u64
    }
}

/// What an executor works on next.
pub(super) enum Claim {
    Parked(u64, Cta),
    /// Blocks that have not begun, one at least.
    Fresh(Range<u64>),
}

/// The blocks of a claim, one after the other.
pub(super) struct Claimed<'a> {
    pub(super) kernel: &'a Kernel,
    /// The block that runs.
    pub(super) number: Cell<u64>,
    pub(super) end: u64,
}

impl NextBlock for Claimed<'_> {
    fn next(&self) -> Option<[u32; 3]> {
        let number = self.number.get() + 1;
        if number >= self.end {
            return None;
        }
        self.number.set(number);
        Some(self.kernel.launch.geometry().cluster_origin(number))
    }
}

impl Kernel {
    fn parked(&self) -> MutexGuard<'_, Parked> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn can_start(&self) -> bool {
        self.next.load(Ordering::Relaxed).saturating_mul(self.cluster) < self.total
            && self.resident.load(Ordering::Relaxed) + self.cluster <= self.most_resident
    }

    pub(super) fn claim(&self, local: &mut Local) -> Option<Claim> {
        local.parked_first = !local.parked_first;
        if local.parked_first {
            self.claim_parked().or_else(|| self.claim_fresh(local))
        } else {
            self.claim_fresh(local).or_else(|| self.claim_parked())
        }
    }

    fn claim_parked(&self) -> Option<Claim> {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut parked = self.parked();
        let claimed = parked.ready.pop_front();
        self.waiting.store(parked.count(), Ordering::Release);
        claimed.map(|(number, cta)| Claim::Parked(number, cta))
    }

    /// What was given back, before anything newer. Counts as resident beyond the limit: a block that is resident may wait for one of
    /// these.
    fn claim_given_back(&self) -> Option<Claim> {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut parked = self.parked();
        let lowest = (0..parked.given_back.len()).min_by_key(|&i| parked.given_back[i].start)?;
        let mut range = parked.given_back.swap_remove(lowest);
        if self.singly.load(Ordering::Relaxed) && range.end - range.start > 1 {
            parked.given_back.push(range.start + 1..range.end);
            range.end = range.start + 1;
        }
        self.waiting.store(parked.count(), Ordering::Release);
        self.resident.fetch_add(1, Ordering::Relaxed);
        Some(Claim::Fresh(range))
    }

    /// How many of `left` blocks to claim at once.
    fn batch(&self, left: u64) -> u64 {
        let block_ns = self.block_ns.load(Ordering::Relaxed);
        if block_ns == 0 || self.singly.load(Ordering::Relaxed) {
            return 1;
        }
        // All executors are to be done at the same time.
        let share = match u64::from(self.context.shared.executors) {
            0 | 1 => left,
            executors => (left / (2 * executors)).max(LEAST_CLAIM_NS / block_ns),
        };
        (CLAIM_NS / block_ns).min(share).clamp(1, MOST_CLAIMED)
    }

    fn claim_fresh(&self, local: &mut Local) -> Option<Claim> {
        if let Some(claim) = self.claim_given_back() {
            return Some(claim);
        }
        let (total, size) = (self.total / self.cluster, self.cluster);
        let begun = self.next.load(Ordering::Relaxed);
        if begun >= total {
            return None;
        }
        // Of the blocks of a claim one is resident at a time.
        if self.resident.fetch_add(size, Ordering::Relaxed) + size > self.most_resident {
            self.resident.fetch_sub(size, Ordering::Relaxed);
            return None;
        }
        let batch = self.batch(total - begun);
        let number = self.next.fetch_add(batch, Ordering::Relaxed);
        if number >= total {
            self.resident.fetch_sub(size, Ordering::Relaxed);
            return None;
        }
        if size == 1 {
            return Some(Claim::Fresh(number..(number + batch).min(total)));
        }
        // The others of the cluster are ready too: any executor takes them on.
        let origin = self.launch.geometry().cluster_origin(number);
        let mut blocks = (number * size..).zip(Cta::cluster(&self.launch, origin, &mut local.pool));
        let first = blocks.next();
        let mut parked = self.parked();
        parked.ready.extend(blocks);
        self.waiting.store(parked.count(), Ordering::Release);
        first.map(|(number, cta)| Claim::Parked(number, cta))
    }

    pub(super) fn park(&self, number: u64, cta: Cta, why: Why) {
        let mut parked = self.parked();
        if why == Why::GridBarrier {
            parked.at_barrier.push((number, cta));
            self.open_barrier(&mut parked);
        } else {
            parked.ready.push_back((number, cta));
        }
        self.waiting.store(parked.count(), Ordering::Release);
    }

    /// Blocks that were claimed and not begun.
    pub(super) fn give_back(&self, blocks: Range<u64>) {
        let mut parked = self.parked();
        parked.given_back.push(blocks);
        self.waiting.store(parked.count(), Ordering::Release);
    }

    /// Lets the blocks at the grid barrier go on when nobody else can come.
    fn open_barrier(&self, parked: &mut Parked) {
        let here = parked.at_barrier.len() as u64;
        if here > 0 && here + self.done.load(Ordering::Acquire) == self.total {
            parked.ready.extend(parked.at_barrier.drain(..));
        }
    }

    /// All of the `blocks` of a claim are done.
    pub(super) fn count_done(&self, blocks: u64) {
        self.resident.fetch_sub(1, Ordering::Relaxed);
        self.count_finished(blocks);
    }

    /// Blocks are done; the claim that they are from goes on.
    pub(super) fn count_finished(&self, blocks: u64) {
        if !self.cooperative {
            self.done.fetch_add(blocks, Ordering::AcqRel);
            return;
        }
        let mut parked = self.parked();
        self.done.fetch_add(blocks, Ordering::AcqRel);
        self.open_barrier(&mut parked);
        self.waiting.store(parked.count(), Ordering::Release);
    }
}
