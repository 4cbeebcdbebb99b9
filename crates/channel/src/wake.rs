//! Sleeping on a word of shared memory and waking whoever sleeps there.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// How a carrier puts a side to sleep and wakes it.
pub trait Wake: Send + Sync {
    /// Sleeps while `word` holds `expected`, at most `limit`; returns early for any reason.
    fn sleep(&self, word: &AtomicU32, expected: u32, limit: Option<Duration>);

    /// Wakes `count` sleepers on `word`, in whatever process.
    fn wake(&self, word: &AtomicU32, count: i32);
}

/// Wakes through a futex, for two processes under one kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct FutexWake;

impl Wake for FutexWake {
    fn sleep(&self, word: &AtomicU32, expected: u32, limit: Option<Duration>) {
        let spec = limit.map(|limit| libc::timespec {
            tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        });
        let spec: *const libc::timespec = spec.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: `word` is a valid aligned u32; `spec` is null or points to a timespec that lives through the call. Without
        // FUTEX_PRIVATE_FLAG the kernel matches the word by its page, so the other process reaches it.
        unsafe {
            libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, spec);
        }
    }

    fn wake(&self, word: &AtomicU32, count: i32) {
        // SAFETY: `word` is a valid aligned u32; FUTEX_WAKE reads no other argument.
        unsafe {
            libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, count);
        }
    }
}
