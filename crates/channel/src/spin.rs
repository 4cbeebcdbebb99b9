//! Spinning before sleeping, for as long as it has paid off lately.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Rounds of the shortest and the longest spin; one round is a `pause` (some tens of nanoseconds) and a look. The longest is about
/// what two wake-ups cost, one at each end: a spin shorter than that makes both ends fall asleep in turn, and every round trip of
/// a microsecond becomes one of fifty.
const SHORTEST: u32 = 32;
const LONGEST: u32 = 2048;
/// The longest spin for work of executors on few processors: what a copy by the dispatcher itself takes.
const LONGEST_SHARED: u32 = 256;
/// A wait that took no longer than this, sleep included, would have been over within the longest spin or soon after.
const SHORT_WAIT: Duration = Duration::from_micros(200);

/// An adaptive budget: the longest after a wait that was short, halved after each one that was long. A peer that answers at once
/// is waited for awake; one that does not costs next to nothing.
#[derive(Debug)]
pub(crate) struct Spin {
    rounds: AtomicU32,
    longest: u32,
}

impl Default for Spin {
    fn default() -> Self {
        Self {
            rounds: AtomicU32::new(LONGEST),
            longest: LONGEST,
        }
    }
}

impl Spin {
    /// For a wait on work of executors. Where guest, dispatcher and executor cannot all have a processor, a waiting guest would
    /// keep the executor from running: a woken thread does not displace a spinning one at once.
    pub(crate) fn for_executors() -> Self {
        let longest = match std::thread::available_parallelism() {
            Ok(processors) if processors.get() > 3 => LONGEST,
            _ => LONGEST_SHARED,
        };
        Self {
            rounds: AtomicU32::new(longest),
            longest,
        }
    }

    /// Looks with `done` until it says yes or the budget is spent; says which. After a no the caller sleeps and then tells
    /// [`Spin::slept`].
    pub(crate) fn until(&self, mut done: impl FnMut() -> bool) -> bool {
        for _ in 0..self.rounds.load(Ordering::Relaxed) {
            if done() {
                return true;
            }
            std::hint::spin_loop();
        }
        false
    }

    /// A wait ended after this much time, the spin not counted.
    pub(crate) fn slept(&self, time: Duration) {
        let rounds = if time <= SHORT_WAIT {
            self.longest
        } else {
            (self.rounds.load(Ordering::Relaxed) / 2).max(SHORTEST)
        };
        self.rounds.store(rounds, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_waits_are_spun_and_long_ones_are_not() {
        let spin = Spin::default();
        let looks = || {
            let mut count = 0;
            assert!(!spin.until(|| {
                count += 1;
                false
            }));
            count
        };
        assert_eq!(looks(), LONGEST);
        for _ in 0..20 {
            spin.slept(Duration::from_millis(10));
        }
        assert_eq!(looks(), SHORTEST);
        spin.slept(Duration::from_micros(20));
        assert_eq!(looks(), LONGEST);
    }
}
