//! Which pieces of a range are free: first fit, lowest address, neighbours joined.

use std::collections::BTreeMap;

/// The free pieces of a range that starts at 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangePool {
    /// Offset to length of every free piece; no two touch.
    free: BTreeMap<u64, u64>,
}

impl RangePool {
    /// A pool of `bytes` bytes, all free.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let free = if bytes == 0 {
            BTreeMap::new()
        } else {
            BTreeMap::from([(0, bytes)])
        };
        Self { free }
    }

    /// Bytes free, in however many pieces.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.free.values().sum()
    }

    /// Takes the lowest piece of `bytes` bytes, not 0; says where it starts.
    pub fn take(&mut self, bytes: u64) -> Option<u64> {
        let (&offset, &length) = self.free.iter().find(|&(_, &length)| length >= bytes)?;
        self.free.remove(&offset);
        if length > bytes {
            self.free.insert(offset + bytes, length - bytes);
        }
        Some(offset)
    }

    /// Gives back what [`RangePool::take`] gave out, whole.
    pub fn give(&mut self, offset: u64, bytes: u64) {
        let mut start = offset;
        let mut length = bytes;
        if let Some((&before, &size)) = self.free.range(..offset).next_back()
            && before + size == offset
        {
            self.free.remove(&before);
            start = before;
            length += size;
        }
        if let Some(size) = self.free.remove(&(offset + bytes)) {
            length += size;
        }
        self.free.insert(start, length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever the order of taking and giving: pieces never overlap, and at the end the pool is one piece again.
        #[test]
        fn pool_keeps_its_books(steps in prop::collection::vec((any::<bool>(), 1u64..40, any::<prop::sample::Index>()), 1..200)) {
            let total = 1u64 << 12;
            let mut pool = RangePool::new(total);
            let mut held: Vec<(u64, u64)> = Vec::new();
            for (take, granules, which) in steps {
                if take {
                    let bytes = granules * 16;
                    if let Some(offset) = pool.take(bytes) {
                        prop_assert!(offset + bytes <= total);
                        prop_assert!(held.iter().all(|&(o, b)| offset + bytes <= o || o + b <= offset));
                        held.push((offset, bytes));
                    }
                } else if !held.is_empty() {
                    let (offset, bytes) = held.swap_remove(which.index(held.len()));
                    pool.give(offset, bytes);
                }
                let free = pool.free_bytes();
                let used: u64 = held.iter().map(|&(_, b)| b).sum();
                prop_assert_eq!(free + used, total);
            }
            for (offset, bytes) in held {
                pool.give(offset, bytes);
            }
            prop_assert_eq!(pool, RangePool::new(total));
        }
    }
}
