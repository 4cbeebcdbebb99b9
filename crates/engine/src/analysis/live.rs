//! Liveness of virtual registers, at block boundaries and, walking back, at any instruction.

use super::BitSet;
use super::cfg::NONE;
use crate::lir::{B, Inst, Kernel, V};

/// Which registers are live where. Registers that never leave their block are not in the sets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Live {
    /// Number in the sets, `NONE` for registers local to a block and constants.
    index: Vec<u32>,
    /// Register of each number.
    pub(crate) shared: Vec<V>,
    pub(crate) live_in: Vec<BitSet>,
    pub(crate) live_out: Vec<BitSet>,
    /// Highest block in which a register is live at the start, by number.
    last: Vec<u32>,
}

/// Calls `visit` with each register that an instruction reads.
pub(crate) fn reads(inst: &Inst, mut visit: impl FnMut(V)) {
    for &v in &inst.s {
        visit(v);
    }
    if let Some((p, _)) = inst.guard {
        visit(p);
    }
}

impl Live {
    pub(crate) fn new(kernel: &Kernel) -> Self {
        let (index, shared) = Self::number(kernel);
        let count = kernel.blocks.len();
        let bits = shared.len();
        let mut live = Self {
            index,
            shared,
            live_in: vec![BitSet::new(bits); count],
            live_out: vec![BitSet::new(bits); count],
            last: vec![0; bits],
        };
        let (uses, kills) = live.local_sets(kernel);
        let mut changed = true;
        while changed {
            changed = false;
            for b in (0..count).rev() {
                let mut out = std::mem::take(&mut live.live_out[b]);
                for s in kernel.blocks[b].term.successors() {
                    out.union(&live.live_in[s as usize]);
                }
                let mut flow = out.clone();
                for (word, kill) in flow.0.iter_mut().zip(&kills[b].0) {
                    *word &= !kill;
                }
                flow.union(&uses[b]);
                changed |= live.live_in[b].union(&flow);
                live.live_out[b] = out;
            }
        }
        for b in 0..count {
            for i in live.live_in[b].iter() {
                live.last[i] = u32::try_from(b).unwrap_or(NONE);
            }
        }
        live
    }

    /// Numbers the registers that appear in several blocks, or are read before they are written in one.
    fn number(kernel: &Kernel) -> (Vec<u32>, Vec<V>) {
        const UNSEEN: u32 = u32::MAX;
        let mut home = vec![UNSEEN; kernel.vregs.len()];
        let mut wide = vec![false; kernel.vregs.len()];
        for (b, block) in (0u32..).zip(&kernel.blocks) {
            let mut touch = |v: V, write: bool| {
                let at = &mut home[v as usize];
                if *at == UNSEEN {
                    *at = b;
                    wide[v as usize] |= !write;
                }
                wide[v as usize] |= *at != b;
            };
            for inst in &block.insts {
                reads(inst, |v| touch(v, false));
                for &d in &inst.d {
                    // A guarded write keeps the old value where the guard is false.
                    touch(d, inst.guard.is_none());
                }
            }
            if let Some(v) = block.term.operand() {
                touch(v, false);
            }
        }
        let mut index = vec![NONE; kernel.vregs.len()];
        let mut shared = Vec::new();
        for (v, vreg) in (0u32..).zip(&kernel.vregs) {
            if vreg.konst.is_none() && wide[v as usize] {
                index[v as usize] = u32::try_from(shared.len()).unwrap_or(NONE);
                shared.push(v);
            }
        }
        (index, shared)
    }

    /// Number of a register in the sets.
    pub(crate) fn index(&self, v: V) -> Option<usize> {
        match self.index.get(v as usize) {
            Some(&i) if i != NONE => Some(i as usize),
            _ => None,
        }
    }

    fn local_sets(&self, kernel: &Kernel) -> (Vec<BitSet>, Vec<BitSet>) {
        let bits = self.shared.len();
        let mut uses = Vec::new();
        let mut kills = Vec::new();
        for block in &kernel.blocks {
            let (mut used, mut killed) = (BitSet::new(bits), BitSet::new(bits));
            let mut read = |v: V, killed: &BitSet| {
                if let Some(i) = self.index(v)
                    && !killed.contains(i)
                {
                    used.insert(i);
                }
            };
            for inst in &block.insts {
                reads(inst, |v| read(v, &killed));
                for &d in &inst.d {
                    if inst.guard.is_some() {
                        read(d, &killed);
                    } else if let Some(i) = self.index(d) {
                        killed.insert(i);
                    }
                }
            }
            if let Some(v) = block.term.operand() {
                read(v, &killed);
            }
            uses.push(used);
            kills.push(killed);
        }
        (uses, kills)
    }

    /// Whether lanes that wait at a block after `b` may still want the value of `v` that they have. Nobody ever waits at a block
    /// before `first`.
    pub(crate) fn wanted_after(&self, v: V, b: B, first: B) -> bool {
        self.index(v)
            .is_some_and(|i| self.last[i] > b && self.last[i] >= first)
    }

    /// Registers that are live before instruction `at` of block `b` (its length is the terminator).
    pub(crate) fn before(&self, kernel: &Kernel, b: B, at: usize) -> Vec<V> {
        let block = &kernel.blocks[b as usize];
        let mut live: std::collections::BTreeSet<V> =
            self.live_out[b as usize].iter().map(|i| self.shared[i]).collect();
        live.extend(block.term.operand());
        for inst in block.insts.iter().skip(at).rev() {
            if inst.guard.is_none() {
                for d in &inst.d {
                    live.remove(d);
                }
            } else {
                live.extend(&inst.d);
            }
            reads(inst, |v| {
                live.insert(v);
            });
        }
        live.into_iter()
            .filter(|&v| kernel.vregs[v as usize].konst.is_none())
            .collect()
    }
}
