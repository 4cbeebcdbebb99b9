//! Barriers of a block: who has arrived, when they open, what they reduce.
//!
//! Threads count one by one. With an explicit count a warp counts as 32 once all of its live lanes are there, as on a GPU.

use crate::check;
use crate::cta::Block;
use crate::exec::{Mask, NUMBER, UNIT, WARPS};
use crate::frame::{BARRIERS, BLOCK_WARPS, Barrier, Wait};

/// Lanes that come to a barrier.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Arrival {
    pub(crate) id: usize,
    /// Threads that the instruction says take part; 0 for all that live.
    pub(crate) count: u32,
    pub(crate) mask: Mask,
    /// Predicate to reduce.
    pub(crate) pred: Mask,
    /// They do not wait.
    pub(crate) arrive: bool,
}

impl Block {
    /// Counts an arrival; whether that opened the barrier.
    pub(crate) fn arrive(&mut self, g: usize, arrival: &Arrival) -> bool {
        let (groups, state) = self.groups_mut();
        let (live, first) = (groups[g].live, groups[g].first_warp as usize);
        state.active |= 1 << (arrival.id % BARRIERS);
        let barrier = &mut state.barriers[arrival.id % BARRIERS];
        if arrival.count != 0 {
            barrier.expected = arrival.count;
        }
        for w in 0..WARPS {
            let mask = arrival.mask[w];
            if arrival.arrive {
                barrier.passed += if mask != 0 && mask == live[w] {
                    32
                } else {
                    mask.count_ones()
                };
            } else {
                barrier.arrived[(first + w) % BLOCK_WARPS] |= mask;
            }
            let yes = mask & arrival.pred[w];
            barrier.ones += yes.count_ones();
            barrier.any |= yes != 0;
        }
        self.open(arrival.id % BARRIERS)
    }

    /// Threads that exited are no longer waited for.
    pub(crate) fn recheck_barriers(&mut self) {
        let mut active = self.groups_mut().1.active;
        while active != 0 {
            let id = active.trailing_zeros() as usize;
            active &= active - 1;
            self.open(id);
        }
    }

    /// Opens a barrier if all that are expected have arrived.
    pub(crate) fn open(&mut self, id: usize) -> bool {
        let (groups, state) = self.groups_mut();
        let barrier = state.barriers[id];
        let mut counted = barrier.passed;
        let mut waiting = 0;
        let mut complete = true;
        for group in groups.iter() {
            for (w, live) in group.live.iter().enumerate().take(group.warps as usize) {
                let arrived = barrier.arrived[(group.first_warp as usize + w) % BLOCK_WARPS];
                let whole = arrived != 0 && arrived == *live;
                counted += if whole { 32 } else { arrived.count_ones() };
                waiting += arrived.count_ones();
                complete &= arrived == *live;
            }
        }
        let opens = if barrier.expected == 0 {
            complete
        } else {
            counted >= barrier.expected
        };
        if !opens {
            return false;
        }
        state.barriers[id] = Barrier::default();
        state.active &= !(1 << id);
        if state.check.is_some() {
            check::sync::opens(groups, state, id, barrier.expected != 0);
        }
        let all = barrier.ones == waiting;
        for group in groups.iter_mut() {
            let code = state.code(group.vector);
            for split in &mut group.splits {
                if split.wait != Wait::Barrier(u8::try_from(id).unwrap_or(0)) {
                    continue;
                }
                let op = code.ops[split.pc as usize];
                let bytes = group.frame.bytes_mut();
                let at = op.d as usize * UNIT;
                match op.flags >> NUMBER & 3 {
                    1 if id < 16 => write_count(bytes, at, &split.mask, barrier.ones),
                    2 if id < 16 => write_predicate(bytes, at, &split.mask, all),
                    3 if id < 16 => write_predicate(bytes, at, &split.mask, barrier.any),
                    _ => {}
                }
                split.wait = Wait::None;
                split.pc += 1;
                group.progress += 1;
            }
        }
        true
    }
}

fn write_count(frame: &mut [u8], at: usize, mask: &Mask, count: u32) {
    for lane in 0..WARPS * 32 {
        if mask[lane / 32] >> (lane % 32) & 1 != 0
            && let Some(slot) = frame.get_mut(at + lane * 4..at + lane * 4 + 4)
        {
            slot.copy_from_slice(&count.to_ne_bytes());
        }
    }
}

fn write_predicate(frame: &mut [u8], at: usize, mask: &Mask, value: bool) {
    for (w, &lanes) in mask.iter().enumerate() {
        if let Some(slot) = frame.get_mut(at + w * 4..at + w * 4 + 4) {
            let old = u32::from_ne_bytes([slot[0], slot[1], slot[2], slot[3]]);
            let new = if value { old | lanes } else { old & !lanes };
            slot.copy_from_slice(&new.to_ne_bytes());
        }
    }
}
