//! How much work of one session is under way.
//!
//! The dispatcher enters every operation; completions leave. At the limit the dispatcher waits, the ring fills up behind it and
//! the guest waits in turn, as CUDA's launch queue does.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How often a waiting dispatcher looks whether its session is closed.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(crate) struct Queue {
    under_way: AtomicU64,
    waits: AtomicBool,
    lock: Mutex<()>,
    room: Condvar,
}

impl Queue {
    /// Enters one operation; waits at the limit. `false`: the session was closed meanwhile.
    pub(crate) fn enter(&self, limit: u64, closed: impl Fn() -> bool) -> bool {
        if self.under_way.load(Ordering::Relaxed) >= limit {
            let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.waits.store(true, Ordering::SeqCst);
            while self.under_way.load(Ordering::SeqCst) >= limit {
                if closed() {
                    return false;
                }
                guard = self
                    .room
                    .wait_timeout(guard, LOOK)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
            self.waits.store(false, Ordering::SeqCst);
        }
        self.under_way.fetch_add(1, Ordering::SeqCst);
        true
    }

    /// Takes `count` completed operations out.
    pub(crate) fn leave(&self, count: u64) {
        if count == 0 {
            return;
        }
        self.under_way.fetch_sub(count, Ordering::SeqCst);
        if self.waits.load(Ordering::SeqCst) {
            // Under the lock, so that the wake-up cannot fall between the dispatcher's look and its sleep.
            let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.room.notify_one();
        }
    }

    /// Operations under way.
    #[cfg(test)]
    pub(crate) fn under_way(&self) -> u64 {
        self.under_way.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_and_room_wakes() {
        let queue = Queue::default();
        assert!(queue.enter(2, || false) && queue.enter(2, || false));
        assert!(!queue.enter(2, || true), "closed while it waits");
        assert_eq!(queue.under_way(), 2);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| queue.enter(2, || false));
            queue.leave(1);
            assert!(waiter.join().unwrap());
        });
        assert_eq!(queue.under_way(), 2);
    }
}
