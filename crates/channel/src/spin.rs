//! Spinning before sleeping, for as long as it has paid off lately.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Rounds of the shortest and the longest spin; one round is a `pause` (some tens of nanoseconds) and a look.
const SHORTEST: u32 = 32;
const LONGEST: u32 = 1024;
/// The longest spin where guest, dispatcher and executor cannot all have a processor: one of the three then waits for a spinner to
/// give up. Measured on two processors: with the long spin a 64 KiB copy took 70 µs instead of 6; offering the processor between
/// looks instead costs whole time slices where other programs want it.
const LONGEST_SHARED: u32 = 128;

fn longest() -> u32 {
    static ROUNDS: OnceLock<u32> = OnceLock::new();
    *ROUNDS.get_or_init(|| match std::thread::available_parallelism() {
        Ok(processors) if processors.get() > 3 => LONGEST,
        _ => LONGEST_SHARED,
    })
}

/// An adaptive budget: doubled when spinning found what it waited for, halved when it ended in sleep.
#[derive(Debug)]
pub(crate) struct Spin {
    rounds: AtomicU32,
}

impl Default for Spin {
    fn default() -> Self {
        Self {
            rounds: AtomicU32::new(longest()),
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
                    self.rounds.store((rounds * 2).min(longest()), Ordering::Relaxed);
                }
                return true;
            }
            std::hint::spin_loop();
        }
        self.rounds.store((rounds / 2).max(SHORTEST), Ordering::Relaxed);
        false
    }

    /// The wait ended soon after the sleep began: spinning longer would have saved it.
    pub(crate) fn lengthen(&self) {
        let rounds = self.rounds.load(Ordering::Relaxed);
        self.rounds.store((rounds * 2).min(longest()), Ordering::Relaxed);
    }
}
