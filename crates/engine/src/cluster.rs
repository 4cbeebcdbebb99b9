//! A cluster: blocks that run side by side, reach each other's shared memory and meet at a barrier.
//!
//! Blocks of a cluster may run on different threads at once. Their shared memory belongs to the cluster and lives as long as any of them; it is
//! only ever touched through raw pointers, as device memory is. In the window of shared memory the block itself lies at 0 and the block
//! of rank `r` at `(r + 1) << 24`:
//!
//! ```text
//!  0          1 << 24        2 << 24        3 << 24
//!  │ own      │ rank 0       │ rank 1       │ ...        each as long as the shared memory of a block; what is between is not mapped
//! ```

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::exec::{Mask, Site, WARPS};
use crate::frame::Buf;

/// The shared memory of rank `r` starts at `(r + 1) << RANK_SHIFT`.
pub(crate) const RANK_SHIFT: u32 = 24;

/// What the blocks of a cluster share.
#[derive(Debug)]
pub(crate) struct Cluster {
    shared: Vec<Buf>,
    barrier: Mutex<Barrier>,
}

/// The barrier of a cluster. It opens when every thread that lives has arrived, and is then at its next phase.
#[derive(Debug)]
struct Barrier {
    phase: u64,
    arrived: u32,
    live: u32,
}

/// Lanes of a group that arrived at the barrier during a phase, and those that have exited.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Arrived {
    phase: u64,
    lanes: Mask,
    gone: Mask,
}

impl Arrived {
    /// Those of one warp of the group, as of a group of its own.
    pub(crate) fn of_warp(&self, warp: usize) -> Self {
        Self {
            phase: self.phase,
            lanes: of_warp(&self.lanes, warp),
            gone: of_warp(&self.gone, warp),
        }
    }
}

/// The lanes of one warp, as of a group of its own.
pub(crate) fn of_warp(lanes: &Mask, warp: usize) -> Mask {
    let mut own = [0; WARPS];
    own[0] = lanes[warp];
    own
}

fn count(mask: &Mask) -> u32 {
    mask.iter().map(|w| w.count_ones()).sum()
}

impl Barrier {
    fn open(&mut self) {
        if self.live > 0 && self.arrived >= self.live {
            self.phase += 1;
            self.arrived = 0;
        }
    }
}

impl Cluster {
    /// A cluster of so many blocks with so many threads; shared memory is zero.
    pub(crate) fn new(blocks: u32, threads: u32, shared_bytes: usize) -> Self {
        Self {
            shared: (0..blocks).map(|_| Buf::zeroed(shared_bytes)).collect(),
            barrier: Mutex::new(Barrier {
                phase: 1,
                arrived: 0,
                live: blocks.saturating_mul(threads),
            }),
        }
    }

    /// Shared memory of a block, as offsets from 0.
    pub(crate) fn memory(&self, rank: u32) -> Site {
        let Some(buf) = self.shared.get(rank as usize) else {
            return Site::EMPTY;
        };
        Site {
            lo: 0,
            len: buf.len() as u64,
            host: buf.as_ptr(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Barrier> {
        self.barrier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `barrier.cluster.arrive` of these lanes. A lane that has arrived already and has not waited counts once.
    pub(crate) fn arrive(&self, own: &mut Arrived, lanes: &Mask) {
        let mut barrier = self.lock();
        if own.phase != barrier.phase {
            (own.phase, own.lanes) = (barrier.phase, [0; WARPS]);
        }
        for w in 0..WARPS {
            barrier.arrived += (lanes[w] & !own.lanes[w]).count_ones();
            own.lanes[w] |= lanes[w];
        }
        barrier.open();
    }

    /// Whether these lanes may go on behind `barrier.cluster.wait`.
    pub(crate) fn open_for(&self, own: &Arrived, lanes: &Mask) -> bool {
        let waits = lanes.iter().zip(&own.lanes).any(|(l, o)| l & o != 0);
        !waits || own.phase != self.lock().phase
    }

    /// Of these threads only the live ones are left: nobody waits for the others.
    pub(crate) fn leave(&self, own: &mut Arrived, all: &Mask, live: &Mask) {
        let mut gone = *all;
        for (w, gone) in gone.iter_mut().enumerate() {
            *gone &= !live[w] & !own.gone[w];
        }
        if gone == [0; WARPS] {
            return;
        }
        let mut barrier = self.lock();
        barrier.live = barrier.live.saturating_sub(count(&gone));
        for w in 0..WARPS {
            own.gone[w] |= gone[w];
            if own.phase == barrier.phase {
                barrier.arrived -= (own.lanes[w] & gone[w]).count_ones();
                own.lanes[w] &= !gone[w];
            }
        }
        barrier.open();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(n: u32) -> Mask {
        let mut mask = [0; WARPS];
        mask[0] = u32::MAX.checked_shr(32 - n).unwrap_or(0);
        mask
    }

    #[test]
    fn the_barrier_opens_when_all_that_live_have_arrived() {
        let cluster = Cluster::new(2, 32, 0);
        let (mut a, mut b) = (Arrived::default(), Arrived::default());
        assert!(
            cluster.open_for(&a, &lanes(32)),
            "nobody has arrived, so nobody waits"
        );
        cluster.arrive(&mut a, &lanes(32));
        assert!(!cluster.open_for(&a, &lanes(32)));
        cluster.arrive(&mut b, &lanes(30));
        assert!(!cluster.open_for(&a, &lanes(1)) && !cluster.open_for(&b, &lanes(1)));
        // The last two exit instead.
        cluster.leave(&mut b, &lanes(32), &lanes(30));
        cluster.leave(&mut b, &lanes(32), &lanes(30));
        assert!(cluster.open_for(&a, &lanes(32)) && cluster.open_for(&b, &lanes(30)));
        // The next phase wants all again, and one that arrived and exits is not counted.
        cluster.arrive(&mut a, &lanes(32));
        cluster.leave(&mut a, &lanes(32), &lanes(31));
        cluster.arrive(&mut b, &lanes(29));
        assert!(!cluster.open_for(&b, &lanes(29)));
        cluster.arrive(&mut b, &lanes(30));
        assert!(cluster.open_for(&a, &lanes(32)) && cluster.open_for(&b, &lanes(30)));
    }
}
