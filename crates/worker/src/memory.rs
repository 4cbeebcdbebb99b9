//! Host memory on its way to the device.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tessera_channel::SharedRange;
use tessera_device::HostRange;

/// A piece of shared memory as the device wants it.
pub(crate) fn host_range(range: &SharedRange) -> HostRange {
    // SAFETY: the owner keeps the mapping, readable and writable, for exactly this range; it is sealed against shrinking.
    unsafe { HostRange::new(range.base(), range.len(), range.owner()) }
}

/// Bytes that queued copies may hold in the worker's own memory.
#[derive(Debug, Default)]
pub(crate) struct Budget(AtomicU64);

impl Budget {
    /// Whether so many bytes more fit under `limit`; they are booked then.
    fn book(&self, bytes: u64, limit: u64) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|&used| used <= limit)
            })
            .is_ok()
    }
}

/// Bytes that came with a message, kept until the device has copied them.
struct Inline {
    _bytes: Vec<u8>,
    booked: u64,
    budget: Arc<Budget>,
}

impl Drop for Inline {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.booked, Ordering::Relaxed);
    }
}

/// Keeps a copy of `bytes` for the device; `None` when the budget is used up.
pub(crate) fn inline_range(bytes: &[u8], budget: &Arc<Budget>, limit: u64) -> Option<HostRange> {
    let booked = bytes.len() as u64;
    if !budget.book(booked, limit) {
        return None;
    }
    let mut bytes = bytes.to_vec();
    let base = NonNull::new(bytes.as_mut_ptr())?;
    let length = bytes.len();
    let owner = Arc::new(Inline {
        _bytes: bytes,
        booked,
        budget: Arc::clone(budget),
    });
    // SAFETY: the vector's buffer does not move when the vector does, is never touched through it again and is freed with `owner`.
    Some(unsafe { HostRange::new(base, length, owner) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_given_back() {
        let budget = Arc::new(Budget::default());
        let first = inline_range(&[1; 60], &budget, 100).unwrap();
        assert!(inline_range(&[2; 60], &budget, 100).is_none());
        let clone = first.slice(10, 20).unwrap();
        drop(first);
        assert!(inline_range(&[2; 60], &budget, 100).is_none());
        drop(clone);
        let second = inline_range(&[2; 60], &budget, 100).unwrap();
        // SAFETY: the range has 60 bytes and nobody writes to it.
        assert_eq!(unsafe { second.as_ptr().add(59).read() }, 2);
    }
}
