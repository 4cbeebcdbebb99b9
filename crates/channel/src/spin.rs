//! Spinning before sleeping, for as long as it has paid off lately.

use std::sync::atomic::{AtomicU32, Ordering};

/// Rounds of the shortest and the longest spin; one round is a `pause` (some tens of nanoseconds) and a look.
const SHORTEST: u32 = 32;
const LONGEST: u32 = 1024;

/// Rounds after which a spinner offers its processor between looks, and how often: what it waits for may be done by a thread that
/// has no processor to run on. Measured on two processors with guest, dispatcher and executor awake: a 64 KiB copy took 70 µs
/// without this, since one of the three always waited for a spinner to give up.
const UNSHARED: u32 = 48;
const SHARE_EVERY: u32 = 8;

/// An adaptive budget: doubled when spinning found what it waited for, halved when it ended in sleep.
#[derive(Debug)]
pub(crate) struct Spin {
    rounds: AtomicU32,
}

impl Default for Spin {
    fn default() -> Self {
        Self {
            rounds: AtomicU32::new(LONGEST),
        }
    }
}

impl Spin {
    /// Looks with `done` until it says yes or the budget is spent; says which.
    pub(crate) fn until(&self, mut done: impl FnMut() -> bool) -> bool {
        let rounds = self.rounds.load(Ordering::Relaxed);
        for round in 0..rounds {
            if done() {
                // Found late in the budget: allow more next time. Found early: the budget is ample as it is.
                if round > rounds / 2 {
                    self.rounds.store((rounds * 2).min(LONGEST), Ordering::Relaxed);
                }
                return true;
            }
            if round >= UNSHARED && round % SHARE_EVERY == 0 {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
        self.rounds.store((rounds / 2).max(SHORTEST), Ordering::Relaxed);
        false
    }

    /// The wait ended soon after the sleep began: spinning longer would have saved it.
    pub(crate) fn lengthen(&self) {
        let rounds = self.rounds.load(Ordering::Relaxed);
        self.rounds.store((rounds * 2).min(LONGEST), Ordering::Relaxed);
    }
}
