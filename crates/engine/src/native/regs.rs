//! Which slots live in registers of the processor, and which of those hold something at a place.
//!
//! A slot has one home for the whole kernel: a register or the frame. So no two places of the code can disagree about where a
//! value is, whichever way control comes. The slots used most, counted by loop depth, get the registers.

use std::collections::HashMap;

use crate::analysis::cfg::NONE;
use crate::analysis::slots::intervals;
use crate::decode::{Analysed, Code};
use crate::exec::alu::Class;
use crate::lir::V;

/// Vector registers that hold slots; the others are for what an operation needs meanwhile.
pub(super) const HOMES: u8 = 24;
/// The mask register that holds a predicate.
const PREDICATE_HOMES: u8 = 1;

/// A slot with a register.
#[derive(Debug, Clone, Copy)]
pub(super) struct Home {
    /// Operand of the slot.
    pub(super) slot: u32,
    pub(super) class: Class,
    /// First register: two of a 32-bit slot, four of a 64-bit one, by chunk.
    pub(super) register: u8,
}

impl Home {
    /// The numbers of its vector registers.
    pub(super) fn vectors(self) -> std::ops::Range<u8> {
        let count = if self.class == Class::Pred {
            0
        } else {
            Self::registers(self.class)
        };
        self.register..self.register + count
    }

    const fn registers(class: Class) -> u8 {
        match class {
            Class::W32 => 2,
            Class::W64 => 4,
            Class::Pred => 1,
        }
    }
}

/// The homes, and a sweep over the instructions that knows which hold a value.
#[derive(Debug, Default)]
pub(super) struct Homes {
    pub(super) all: Vec<Home>,
    by_slot: HashMap<u32, usize>,
    /// Starts and ends of the values of homes, in order.
    starts: Vec<(u32, usize)>,
    ends: Vec<(u32, usize)>,
    next: (usize, usize),
    /// First and last place of each value.
    ranges: Vec<(u32, u32, usize)>,
    count: Vec<u32>,
}

/// The slot that vector operations find a register in.
fn slot_of(code: &Code, v: V) -> u32 {
    code.slots.vector[v as usize]
}

fn weights(a: &Analysed, code: &Code) -> HashMap<u32, (Class, u64)> {
    let depth = super::compile::depths(a);
    let mut weight: HashMap<u32, (Class, u64)> = HashMap::new();
    for (block, depth) in a.kernel.blocks.iter().zip(depth) {
        let each = 1u64 << (3 * depth.min(8));
        let guards = block.insts.iter().filter_map(|i| i.guard.map(|g| g.0));
        let uses = block.insts.iter().flat_map(|i| i.d.iter().chain(&i.s).copied());
        for v in uses.chain(guards).chain(block.term.operand()) {
            let slot = slot_of(code, v);
            if slot != NONE {
                let class = a.kernel.vregs[v as usize].class;
                weight.entry(slot).or_insert((class, 0)).1 += each;
            }
        }
    }
    weight
}

impl Homes {
    pub(super) fn new(a: &Analysed, code: &Code) -> Self {
        let mut wanted: Vec<_> = weights(a, code)
            .into_iter()
            .map(|(slot, (class, w))| (w * 4 / u64::from(Home::registers(class)), slot, class))
            .collect();
        wanted.sort_unstable_by_key(|&(weight, slot, _)| (std::cmp::Reverse(weight), slot));
        let mut homes = Self::default();
        let (mut vectors, mut predicates) = (0, 0);
        for (_, slot, class) in wanted {
            let (used, limit) = if class == Class::Pred {
                (&mut predicates, PREDICATE_HOMES)
            } else {
                (&mut vectors, HOMES)
            };
            let count = Home::registers(class);
            if *used + count <= limit {
                homes.by_slot.insert(slot, homes.all.len());
                homes.all.push(Home {
                    slot,
                    class,
                    register: *used,
                });
                *used += count;
            }
        }
        homes.count = vec![0; homes.all.len()];
        for (v, (start, end)) in (0u32..).zip(intervals(&a.kernel, &a.cfg, &a.live)) {
            if start != NONE
                && let Some(&home) = homes.by_slot.get(&slot_of(code, v))
            {
                homes.ranges.push((start, end, home));
                homes.starts.push((start, home));
                homes.ends.push((end, home));
            }
        }
        homes.starts.sort_unstable();
        homes.ends.sort_unstable();
        homes
    }

    pub(super) fn get(&self, slot: u32) -> Option<Home> {
        self.by_slot.get(&slot).map(|&i| self.all[i])
    }

    /// Homes that may hold something between two instructions.
    pub(super) fn held_within(&self, first: u32, last: u32) -> Vec<Home> {
        let within = |r: &(u32, u32, usize), i| r.2 == i && r.0 <= last * 2 + 1 && r.1 >= first * 2;
        let all = self.all.iter().enumerate();
        all.filter(|(i, _)| self.ranges.iter().any(|r| within(r, *i)))
            .map(|(_, home)| *home)
            .collect()
    }

    /// Goes on to instruction `inst`, which is not before the last one asked for.
    pub(super) fn advance(&mut self, inst: u32) {
        while let Some(&(at, home)) = self.starts.get(self.next.0)
            && at <= inst * 2 + 1
        {
            self.count[home] += 1;
            self.next.0 += 1;
        }
        while let Some(&(at, home)) = self.ends.get(self.next.1)
            && at < inst * 2
        {
            self.count[home] -= 1;
            self.next.1 += 1;
        }
    }

    /// Homes that may hold something that is wanted at this instruction or after it.
    pub(super) fn held(&self) -> Vec<Home> {
        self.all
            .iter()
            .zip(&self.count)
            .filter(|(_, n)| **n != 0)
            .map(|(h, _)| *h)
            .collect()
    }
}
