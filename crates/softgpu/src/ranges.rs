//! A set of free ranges of numbers: of frame buffer offsets, of virtual addresses. Pure.
//!
//! Invariant: ranges neither overlap nor touch (neighbours are joined), and both indices hold the same ranges.

use std::collections::{BTreeMap, BTreeSet};

/// Free ranges, found by place and by size.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    /// Start to length.
    by_start: BTreeMap<u64, u64>,
    /// (length, start)
    by_length: BTreeSet<(u64, u64)>,
    total: u64,
}

impl Ranges {
    /// One free range.
    pub(crate) fn new(start: u64, length: u64) -> Self {
        let mut ranges = Self::default();
        ranges.insert(start, length);
        ranges
    }

    /// Sum of all lengths.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    fn insert(&mut self, start: u64, length: u64) {
        if length > 0 {
            self.by_start.insert(start, length);
            self.by_length.insert((length, start));
            self.total += length;
        }
    }

    fn remove(&mut self, start: u64, length: u64) {
        self.by_start.remove(&start);
        self.by_length.remove(&(length, start));
        self.total -= length;
    }

    /// Takes `length` numbers from the smallest range that holds them at a multiple of `align` (a power of two).
    pub(crate) fn take(&mut self, length: u64, align: u64) -> Option<u64> {
        /// Ranges that are only just long enough and looked at for one that happens to be aligned.
        const TRIES: usize = 8;
        let fits = |&(have, start): &(u64, u64)| {
            let at = start.checked_next_multiple_of(align)?;
            (at.checked_add(length)? <= start.checked_add(have)?).then_some((start, have, at))
        };
        let close = self.by_length.range((length, 0)..).take(TRIES).find_map(fits);
        let (start, have, at) = close.or_else(|| {
            let surely = length.checked_add(align - 1)?;
            self.by_length.range((surely, 0)..).find_map(fits)
        })?;
        self.carve(start, have, at, length);
        Some(at)
    }

    /// Takes the longest range, or its first `length` numbers: `(start, length)`.
    pub(crate) fn take_longest(&mut self, length: u64) -> Option<(u64, u64)> {
        let &(have, start) = self.by_length.last()?;
        let taken = have.min(length);
        self.carve(start, have, start, taken);
        Some((start, taken))
    }

    /// Takes exactly `start .. start + length`; false where a part of it is not free.
    pub(crate) fn take_exactly(&mut self, start: u64, length: u64) -> bool {
        let Some((&from, &have)) = self.by_start.range(..=start).next_back() else {
            return false;
        };
        let Some(end) = start.checked_add(length) else {
            return false;
        };
        if end > from + have {
            return false;
        }
        self.carve(from, have, start, length);
        true
    }

    fn carve(&mut self, start: u64, have: u64, at: u64, length: u64) {
        self.remove(start, have);
        self.insert(start, at - start);
        self.insert(at + length, start + have - (at + length));
    }

    /// Gives a range back.
    pub(crate) fn give(&mut self, start: u64, length: u64) {
        let (mut start, mut length) = (start, length);
        if let Some((&before, &have)) = self.by_start.range(..start).next_back() {
            debug_assert!(before + have <= start, "range given back twice");
            if before + have == start {
                self.remove(before, have);
                (start, length) = (before, have + length);
            }
        }
        if let Some((&after, &have)) = self.by_start.range(start..).next() {
            debug_assert!(start + length <= after, "range given back twice");
            if start + length == after {
                self.remove(after, have);
                length += have;
            }
        }
        self.insert(start, length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn takes_the_smallest_range_that_fits() {
        let mut ranges = Ranges::new(0, 100);
        assert!(ranges.take_exactly(10, 10));
        assert!(ranges.take_exactly(50, 1));
        // Free now: 0..10, 20..50, 51..100.
        assert_eq!(ranges.take(9, 1), Some(0));
        assert_eq!(ranges.take(30, 1), Some(20));
        assert_eq!(ranges.take(8, 64), Some(64));
        assert_eq!(ranges.take(100, 1), None);
        assert!(!ranges.take_exactly(60, 10), "64 is taken");
        assert_eq!(ranges.take(1, 1 << 40), None);
        assert_eq!(ranges.take(u64::MAX, 2), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn agrees_with_a_set_of_numbers(steps in proptest::collection::vec((0..4_u8, 1..40_u64, 0..4_u32, 0..256_u64), 1..80)) {
            const SIZE: u64 = 256;
            let mut ranges = Ranges::new(0, SIZE);
            let mut free: Vec<bool> = vec![true; 256];
            let mut taken: Vec<(u64, u64)> = Vec::new();
            let at = |n: u64| usize::try_from(n).unwrap();
            for (kind, length, shift, start) in steps {
                let got = match kind {
                    0 => {
                        let align = 1 << shift;
                        let got = ranges.take(length, align);
                        let possible = (0..SIZE).step_by(at(align)).any(|s| s + length <= SIZE && free[at(s)..at(s + length)].iter().all(|&f| f));
                        prop_assert_eq!(got.is_some(), possible);
                        prop_assert!(got.is_none_or(|start| start % align == 0));
                        got.map(|start| (start, length))
                    }
                    1 => {
                        let possible = start + length <= SIZE && free[at(start)..at(start + length)].iter().all(|&f| f);
                        prop_assert_eq!(ranges.take_exactly(start, length), possible);
                        possible.then_some((start, length))
                    }
                    2 => ranges.take_longest(length),
                    _ => {
                        if !taken.is_empty() {
                            let (start, length) = taken.swap_remove(at(start) % taken.len());
                            ranges.give(start, length);
                            free[at(start)..at(start + length)].fill(true);
                        }
                        None
                    }
                };
                if let Some((start, length)) = got {
                    prop_assert!(free[at(start)..at(start + length)].iter().all(|&f| f));
                    free[at(start)..at(start + length)].fill(false);
                    taken.push((start, length));
                }
                prop_assert_eq!(ranges.total(), free.iter().filter(|&&f| f).count() as u64);
            }
        }
    }
}
