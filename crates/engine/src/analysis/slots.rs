//! Slots of a frame: linear scan over the order of blocks, one pool per kind.
//!
//! ```text
//!  offset 0      scalar slots (64 or 128 bytes)   predicates (32 bytes)   vector slots (128 or 256 bytes per warp)
//! ```
//!
//! Intervals are over the linear order. A register that is written in a loop and wanted outside keeps its slot over the whole
//! loop: lanes that have left wait with its value while others go round again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::cfg::{Cfg, NONE};
use super::live::{Live, reads};
use super::shape::Shape;
use crate::exec::alu::Class;
use crate::exec::{FLAT, UNIT};
use crate::lir::{Kernel, V, What};

/// Where the values of a register are: operands of operations, `NONE` where it has no such place.
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    /// Scalar slot of a uniform or affine register.
    pub(crate) scalar: Vec<u32>,
    /// Vector slot or predicate; of an affine register only when something reads its lanes.
    pub(crate) vector: Vec<u32>,
    pub(crate) frame_bytes: usize,
}

/// Kinds of slots, in the order in which they lie in the frame.
const KINDS: usize = 5;

fn kind_of(class: Class, scalar: bool) -> usize {
    match (class, scalar) {
        (Class::W32, true) => 0,
        (Class::W64, true) => 1,
        (Class::Pred, _) => 2,
        (Class::W32, false) => 3,
        (Class::W64, false) => 4,
    }
}

/// First and last position of each register: twice the number of the instruction, plus one for what is written after reading.
pub(crate) fn intervals(kernel: &Kernel, cfg: &Cfg, live: &Live) -> Vec<(u32, u32)> {
    let mut range = vec![(NONE, 0u32); kernel.vregs.len()];
    let mut extend = |v: V, at: u32| {
        let r = &mut range[v as usize];
        r.0 = r.0.min(at);
        r.1 = r.1.max(at);
    };
    let mut bounds = Vec::new();
    let mut position = 0u32;
    for (b, block) in kernel.blocks.iter().enumerate() {
        let start = position * 2;
        for i in live.live_in[b].iter() {
            extend(live.shared[i], start);
        }
        for inst in &block.insts {
            let at = position * 2;
            reads(inst, |v| extend(v, at));
            // Lane by lane, a result may take the place of an operand; elsewhere all operands outlive all results.
            let after = u32::from(matches!(inst.what, What::Alu(..) | What::Pred(_)));
            for &d in &inst.d {
                extend(d, at + after);
                if inst.guard.is_some() || after == 0 {
                    extend(d, at);
                    extend(d, at + 1);
                }
            }
            position += 1;
        }
        if let Some(v) = block.term.operand() {
            extend(v, position * 2);
        }
        position += 1;
        let end = position * 2 - 1;
        for i in live.live_out[b].iter() {
            extend(live.shared[i], end);
        }
        bounds.push((start, end));
    }
    for l in &cfg.loops {
        // All blocks numbered between header and latch count, also exits that happen to lie there: lanes that went through
        // one wait above the latch while the others start again at the header.
        let inside = l.header..=l.latch;
        let mut outside = super::BitSet::new(live.shared.len());
        for b in inside.clone() {
            for s in kernel.blocks[b as usize].term.successors() {
                if !inside.contains(&s) {
                    outside.union(&live.live_in[s as usize]);
                }
            }
        }
        let (start, end) = (bounds[l.header as usize].0, bounds[l.latch as usize].1);
        for b in inside {
            for d in kernel.blocks[b as usize].insts.iter().flat_map(|i| &i.d) {
                if live.index(*d).is_some_and(|i| outside.contains(i)) {
                    extend(*d, start);
                    extend(*d, end);
                }
            }
        }
    }
    range
}

/// Allocates. `lanes` is what a vector slot holds.
pub(crate) fn allocate(
    kernel: &Kernel,
    cfg: &Cfg,
    live: &Live,
    shapes: Option<&[Shape]>,
    twins: &[bool],
    warps: usize,
) -> Slots {
    let range = intervals(kernel, cfg, live);
    let mut wants: Vec<(u32, u32, usize, V)> = Vec::new();
    for (v, vreg) in (0u32..).zip(&kernel.vregs) {
        let (start, end) = range[v as usize];
        if vreg.konst.is_some() || start == NONE {
            continue;
        }
        let shared = vreg.class != Class::Pred && shapes.is_some_and(|s| s[v as usize].stride().is_some());
        if shared {
            wants.push((start, end, kind_of(vreg.class, true), v));
        }
        if !shared || twins[v as usize] {
            wants.push((start, end, kind_of(vreg.class, false), v));
        }
    }
    wants.sort_unstable();
    let mut free: [BinaryHeap<Reverse<u32>>; KINDS] = Default::default();
    let mut used = [0u32; KINDS];
    let mut active: BinaryHeap<Reverse<(u32, usize, u32)>> = BinaryHeap::new();
    let mut taken = Vec::with_capacity(wants.len());
    for &(start, end, kind, v) in &wants {
        while let Some(&Reverse((until, k, slot))) = active.peek() {
            if until >= start {
                break;
            }
            active.pop();
            free[k].push(Reverse(slot));
        }
        let slot = match free[kind].pop() {
            Some(Reverse(slot)) => slot,
            None => {
                used[kind] += 1;
                used[kind] - 1
            }
        };
        active.push(Reverse((end, kind, slot)));
        taken.push((v, kind, slot));
    }
    place(kernel.vregs.len(), &used, &taken, warps)
}

fn place(count: usize, used: &[u32; KINDS], taken: &[(V, usize, u32)], warps: usize) -> Slots {
    let size = |kind: usize| match kind {
        0 => 64,
        1 => 128,
        2 => 32,
        3 => 128 * warps,
        _ => 256 * warps,
    };
    let mut base = [0usize; KINDS];
    let mut at = 0usize;
    for kind in 0..KINDS {
        at = at.next_multiple_of(64);
        base[kind] = at;
        at += used[kind] as usize * size(kind);
    }
    let mut slots = Slots {
        scalar: vec![NONE; count],
        vector: vec![NONE; count],
        frame_bytes: at.next_multiple_of(64).max(256 * warps),
    };
    for &(v, kind, slot) in taken {
        let offset = (base[kind] + slot as usize * size(kind)) / UNIT;
        let operand = u32::try_from(offset).unwrap_or(0);
        if kind < 2 {
            slots.scalar[v as usize] = operand | FLAT;
        } else {
            slots.vector[v as usize] = operand;
        }
    }
    slots
}
