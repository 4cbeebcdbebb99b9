//! Which bytes of global memory were ever written: one bit per byte, in pages that exist once something was written to them.
//!
//! Bits are set and tested by several executors at once. They are cleared in place when memory is allocated, so that an executor
//! which holds on to a page sees it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Bytes of memory that a page is about.
pub(super) const PAGE: u64 = 4096;
const WORDS: usize = 64;
const SHARDS: usize = 64;

/// The bits of 4 KiB.
#[derive(Debug)]
pub(super) struct Page([AtomicU64; WORDS]);

/// The word of a byte in its page and the bits of up to `bytes` bytes from there that lie in the word.
fn word(at: u64, bytes: u64) -> (usize, u64, u64) {
    let bit = at % 64;
    let here = bytes.min(64 - bit);
    let mask = if here == 64 {
        u64::MAX
    } else {
        ((1 << here) - 1) << bit
    };
    let index = usize::try_from(at % PAGE / 64).unwrap_or(0);
    (index, mask, here)
}

impl Page {
    fn empty() -> Self {
        Self([const { AtomicU64::new(0) }; WORDS])
    }

    /// Bytes of `at ..  at + bytes`, which lie in this page, that were written.
    pub(super) fn written(&self, mut at: u64, mut bytes: u64) -> u64 {
        let mut count = 0;
        while bytes > 0 {
            let (index, mask, here) = word(at, bytes);
            count += u64::from((self.0[index].load(Ordering::Relaxed) & mask).count_ones());
            at += here;
            bytes -= here;
        }
        count
    }

    /// Sets or clears the bits of bytes that lie in this page.
    pub(super) fn set(&self, mut at: u64, mut bytes: u64, value: bool) {
        while bytes > 0 {
            let (index, mask, here) = word(at, bytes);
            let cell = &self.0[index];
            if value {
                if cell.load(Ordering::Relaxed) & mask != mask {
                    cell.fetch_or(mask, Ordering::Relaxed);
                }
            } else {
                cell.fetch_and(!mask, Ordering::Relaxed);
            }
            at += here;
            bytes -= here;
        }
    }
}

/// The pieces of a range that lie in one page each: (page, first byte, bytes).
pub(super) fn pieces(at: u64, bytes: u64) -> impl Iterator<Item = (u64, u64, u64)> {
    let end = at.saturating_add(bytes);
    let mut next = at;
    std::iter::from_fn(move || {
        if next >= end {
            return None;
        }
        let page = next / PAGE;
        let first = next;
        next = end.min((page + 1).saturating_mul(PAGE));
        Some((page, first, next - first))
    })
}

/// One part of the pages, behind a lock of its own.
type Shard = RwLock<HashMap<u64, Arc<Page>>>;

/// The bits of an address space.
#[derive(Debug)]
pub(super) struct Shadow {
    shards: Vec<Shard>,
}

impl Shadow {
    pub(super) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
        }
    }

    fn shard(&self, page: u64) -> &Shard {
        &self.shards[usize::try_from(page % SHARDS as u64).unwrap_or(0)]
    }

    /// A page, when it exists.
    fn find(&self, page: u64) -> Option<Arc<Page>> {
        let shard = self.shard(page).read().unwrap_or_else(PoisonError::into_inner);
        shard.get(&page).cloned()
    }

    /// A page, made when it does not exist.
    pub(super) fn page(&self, page: u64) -> Arc<Page> {
        if let Some(found) = self.find(page) {
            return found;
        }
        let mut shard = self.shard(page).write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(shard.entry(page).or_insert_with(|| Arc::new(Page::empty())))
    }

    /// Notes that bytes were written.
    pub(super) fn mark(&self, at: u64, bytes: u64) {
        for (page, at, bytes) in pieces(at, bytes) {
            self.page(page).set(at, bytes, true);
        }
    }

    /// Notes that nobody has written bytes.
    pub(super) fn clear(&self, at: u64, bytes: u64) {
        for (page, at, bytes) in pieces(at, bytes) {
            if let Some(found) = self.find(page) {
                found.set(at, bytes, false);
            }
        }
    }

    fn is_written(&self, at: u64) -> bool {
        self.find(at / PAGE).is_some_and(|page| page.written(at, 1) == 1)
    }

    /// Gives bytes at `to` what bytes at `from` have.
    pub(super) fn copy(&self, to: u64, from: u64, bytes: u64) {
        // The ordinary case: all of the source was written.
        let whole =
            pieces(from, bytes).all(|(page, at, n)| self.find(page).is_some_and(|p| p.written(at, n) == n));
        if whole {
            self.mark(to, bytes);
            return;
        }
        // Overlapping ranges are copied in the order that keeps the source.
        let one = |i: u64| {
            if self.is_written(from + i) {
                self.mark(to + i, 1);
            } else {
                self.clear(to + i, 1);
            }
        };
        if to <= from {
            (0..bytes).for_each(one);
        } else {
            (0..bytes).rev().for_each(one);
        }
    }
}
