//! What was done, and for how long.

use std::sync::atomic::{AtomicU64, Ordering};
use tessera_device::Counters;

/// Counters that executors add to.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct CounterCell {
    kernel_ns: AtomicU64,
    copy_ns: AtomicU64,
    kernels: AtomicU64,
    copied_bytes: AtomicU64,
    preemptions: AtomicU64,
}

/// What one quantum adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) kernel_ns: u64,
    pub(crate) copy_ns: u64,
    pub(crate) copied_bytes: u64,
    pub(crate) preemptions: u64,
}

impl CounterCell {
    pub(crate) fn add(&self, spent: &Spent) {
        let pairs = [
            (&self.kernel_ns, spent.kernel_ns),
            (&self.copy_ns, spent.copy_ns),
            (&self.copied_bytes, spent.copied_bytes),
            (&self.preemptions, spent.preemptions),
        ];
        for (cell, amount) in pairs.into_iter().filter(|pair| pair.1 > 0) {
            cell.fetch_add(amount, Ordering::Relaxed);
        }
    }

    pub(crate) fn kernel_done(&self) {
        self.kernels.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self, executors: u32) -> Counters {
        Counters {
            kernel_ns: self.kernel_ns.load(Ordering::Relaxed),
            copy_ns: self.copy_ns.load(Ordering::Relaxed),
            kernels: self.kernels.load(Ordering::Relaxed),
            copied_bytes: self.copied_bytes.load(Ordering::Relaxed),
            preemptions: self.preemptions.load(Ordering::Relaxed),
            executors,
        }
    }
}

/// `CLOCK_MONOTONIC`, nanoseconds.
pub(crate) fn now_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place to write to; this clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
