//! Time shares from counters: what part of the engines' time a vGPU used lately. Pure.

use std::collections::VecDeque;

/// Measurements closer together than this say more about the counters' grain than about the vGPU, nanoseconds.
const SHORTEST_NS: u64 = 20_000_000;
/// How far back a share looks where there are enough measurements, nanoseconds.
const WINDOW_NS: u64 = 1_000_000_000;
/// Measurements kept.
const MOST: usize = 64;

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When, by the worker's monotonic clock, nanoseconds.
    pub at_ns: u64,
    /// Engine time used so far, nanoseconds, summed over executors.
    pub busy_ns: u64,
    /// Executors.
    pub executors: u32,
}

/// The recent measurements of one worker.
#[derive(Debug, Default)]
pub struct Samples {
    recent: VecDeque<Sample>,
}

impl Samples {
    /// Adds a measurement; gives the share of engine time since the newest measurement that is at least a second old, else since
    /// the oldest there is. `None` without one that is far enough back.
    pub fn add(&mut self, sample: Sample) -> Option<f64> {
        if self
            .recent
            .back()
            .is_some_and(|last| sample.at_ns < last.at_ns || sample.busy_ns < last.busy_ns)
        {
            self.recent.clear(); // another worker counts now
        }
        let base = self.base(sample.at_ns);
        let crowded = self
            .recent
            .back()
            .is_some_and(|last| sample.at_ns - last.at_ns < SHORTEST_NS);
        if !crowded {
            self.recent.push_back(sample);
        }
        while self.recent.len() > MOST
            || self
                .recent
                .get(1)
                .is_some_and(|second| sample.at_ns - second.at_ns >= WINDOW_NS)
        {
            self.recent.pop_front();
        }
        let base = base?;
        let elapsed = (sample.at_ns - base.at_ns) as f64 * f64::from(sample.executors.max(1));
        Some(((sample.busy_ns - base.busy_ns) as f64 / elapsed).clamp(0.0, 1.0))
    }

    fn base(&self, now_ns: u64) -> Option<Sample> {
        let old_enough = |sample: &&Sample| now_ns - sample.at_ns >= WINDOW_NS;
        let base = self
            .recent
            .iter()
            .rev()
            .find(old_enough)
            .or(self.recent.front())?;
        (now_ns - base.at_ns >= SHORTEST_NS).then_some(*base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64, busy_ms: u64) -> Sample {
        Sample {
            at_ns: ms * 1_000_000,
            busy_ns: busy_ms * 1_000_000,
            executors: 2,
        }
    }

    #[test]
    fn a_share_needs_two_measurements() {
        let mut samples = Samples::default();
        assert_eq!(samples.add(at(1000, 0)), None);
        assert_eq!(samples.add(at(1010, 10)), None);
        assert_eq!(samples.add(at(1200, 200)), Some(0.5));
    }

    #[test]
    fn a_share_is_of_the_last_second() {
        let mut samples = Samples::default();
        for tick in 0..50 {
            samples.add(at(tick * 100, tick * 200)); // busy: 1.0
        }
        let mut last = None;
        for tick in 0..=10 {
            last = samples.add(at(5000 + tick * 100, 49 * 200)); // idle
        }
        assert_eq!(last, Some(0.0));
        assert!(samples.recent.len() <= 13, "{}", samples.recent.len());
    }

    #[test]
    fn a_new_worker_starts_anew() {
        let mut samples = Samples::default();
        samples.add(at(1000, 900));
        assert_eq!(samples.add(at(2000, 0)), None);
        assert_eq!(samples.add(at(3000, 2000)), Some(1.0));
    }
}
