//! When it is safe to give memory to somebody else.
//!
//! A thread that translates device addresses may hold a span that was void a moment ago. Each such thread has a *slot* with a counter:
//! odd while it works, even while it does not. Whoever takes mappings away notes the odd counters afterwards; once each of them has
//! changed, no thread can hold a span from before.
//!
//! ```text
//!  executor:  enter (odd) ─ looks up, uses spans ─ leave (even) ─ ...
//!  retirer:   unmap ── snapshot: who is odd? ── passed(): have they all moved on? ── scrub, give to the next owner
//! ```
//!
//! Invariant: between `enter` and `leave` a thread runs for a bounded time (a quantum, a chunk of a copy), or until `stop` is set.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

/// One thread that translates addresses.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Slot {
    epoch: AtomicU64,
    /// Asks a running block to stop at its next safe point.
    stop: AtomicBool,
    /// Blocks that it has run to their end.
    blocks: AtomicU64,
}

impl Slot {
    /// The flag that a running block polls.
    pub(crate) fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    /// Counts blocks that are done. Only the slot's own thread does.
    pub(crate) fn count(&self, blocks: u64) {
        let before = self.blocks.load(Ordering::Relaxed);
        self.blocks.store(before + blocks, Ordering::Relaxed);
    }

    pub(crate) fn blocks(&self) -> u64 {
        self.blocks.load(Ordering::Relaxed)
    }
}

/// All such threads of a device.
pub(crate) struct Slots(Box<[Slot]>);

/// Which threads were at work.
#[derive(Debug)]
pub(crate) struct Snapshot(Vec<(usize, u64)>);

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Self(std::iter::repeat_with(Slot::default).take(count).collect())
    }

    pub(crate) fn slot(&self, index: usize) -> &Slot {
        &self.0[index]
    }

    /// The thread of this slot starts to work.
    pub(crate) fn enter(&self, index: usize) {
        let slot = &self.0[index];
        let epoch = slot.epoch.load(Ordering::Relaxed);
        debug_assert!(epoch.is_multiple_of(2), "slot entered twice");
        slot.stop.store(false, Ordering::Relaxed);
        slot.epoch.store(epoch + 1, Ordering::Release);
        // Either the snapshot sees the odd epoch, or this thread sees the tables as they are after the unmapping.
        fence(Ordering::SeqCst);
    }

    /// It has dropped every span.
    pub(crate) fn leave(&self, index: usize) {
        let slot = &self.0[index];
        let epoch = slot.epoch.load(Ordering::Relaxed);
        slot.epoch.store(epoch + 1, Ordering::Release);
    }

    /// The thread of this slot panicked, perhaps while it was at work.
    pub(crate) fn leave_after_panic(&self, index: usize) {
        if !self.0[index].epoch.load(Ordering::Relaxed).is_multiple_of(2) {
            self.leave(index);
        }
    }

    /// Who is at work now; taken after mappings were changed.
    pub(crate) fn snapshot(&self) -> Snapshot {
        fence(Ordering::SeqCst);
        let odd = |(index, slot): (usize, &Slot)| {
            let epoch = slot.epoch.load(Ordering::Acquire);
            (!epoch.is_multiple_of(2)).then_some((index, epoch))
        };
        Snapshot(self.0.iter().enumerate().filter_map(odd).collect())
    }

    /// Whether all of them have moved on.
    pub(crate) fn passed(&self, snapshot: &Snapshot) -> bool {
        snapshot
            .0
            .iter()
            .all(|&(index, epoch)| self.0[index].epoch.load(Ordering::Acquire) != epoch)
    }

    /// Asks every running block to stop at its next safe point. Those that were not meant go on in their next quantum.
    pub(crate) fn stop_all(&self) {
        fence(Ordering::SeqCst);
        for slot in &self.0 {
            slot.stop.store(true, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_passes_when_those_at_work_have_moved_on() {
        let slots = Slots::new(3);
        slots.enter(0);
        slots.enter(1);
        let snapshot = slots.snapshot();
        assert!(!slots.passed(&snapshot));
        slots.leave(1);
        assert!(!slots.passed(&snapshot));
        slots.leave(0);
        slots.enter(0);
        assert!(
            slots.passed(&snapshot),
            "slot 0 works again, but on something newer"
        );
        slots.enter(2);
        assert!(slots.passed(&snapshot));
        slots.stop_all();
        assert!(slots.slot(2).stop().load(Ordering::Relaxed));
        slots.leave(2);
        slots.enter(2);
        assert!(
            !slots.slot(2).stop().load(Ordering::Relaxed),
            "a request does not outlive the quantum"
        );
    }
}
