//! Blocks whose rows have sixteen threads: both halves of a warp have the same `%tid.x`, so an address that depends on no
//! other coordinate is the same in both, and one check does.
//!
//! What the address depends on is a guess that costs time where it is wrong, and no more: the code compares, and leaves the
//! access to its handler where the halves differ.

use iced_x86::IcedError;
use iced_x86::code_asm::*;

use super::compile::{FRAME, Gen, slot_disp};
use super::kept::{NARROW, Place, WIDE as KEPT};
use crate::decode::{Analysed, Halves};
use crate::exec::{LINE, Op, WIDE};
use crate::lir::{Special, V, What};

/// The registers whose values differ between two rows of threads, as far as one can tell.
pub(super) fn differ_by_row(a: &Analysed) -> Vec<bool> {
    let mut apart = vec![false; a.kernel.vregs.len()];
    loop {
        let mut changed = false;
        for inst in a.kernel.blocks.iter().flat_map(|b| &b.insts) {
            let follows = match inst.what {
                What::Special(special) => !matches!(special, Special::Tid(0) | Special::Ctaid(_)),
                What::Alu(..) | What::Pred(_) | What::Load(_) => {
                    let guard = inst.guard.iter().map(|g| g.0);
                    inst.s.iter().copied().chain(guard).any(|v| apart[v as usize])
                }
                _ => true,
            };
            for &d in inst.d.iter().filter(|_| follows) {
                changed |= !std::mem::replace(&mut apart[d as usize], true);
            }
        }
        if !changed {
            return apart;
        }
    }
}

impl Gen<'_> {
    /// Whether both halves are expected to load the same row.
    pub(super) fn repeats(&self, op: &Op, address: V) -> bool {
        self.code.halves == Halves::Repeat && op.flags & LINE != 0 && !self.apart[address as usize]
    }

    /// With the host's address of the lower half's row in `rax`: to `slow` unless it is the upper half's, too.
    pub(super) fn repeat(&mut self, op: &Op, slow: CodeLabel) -> Result<(), IcedError> {
        let wide = op.flags & WIDE != 0;
        let low = slot_disp(op.a);
        let high = low + if wide { 8 } else { 4 };
        let [low_kept, high_kept] = [low, high].map(|at| self.kept(Place::Frame(at), wide));
        // Scalar slots are never in the pool.
        match (high_kept, low_kept, wide) {
            (Some(h), Some(l), true) => self.asm.cmp(KEPT[h], KEPT[l])?,
            (Some(h), Some(l), false) => self.asm.cmp(NARROW[h], NARROW[l])?,
            (Some(h), None, true) => self.asm.cmp(KEPT[h], qword_ptr(FRAME + low))?,
            (Some(h), None, false) => self.asm.cmp(NARROW[h], dword_ptr(FRAME + low))?,
            (None, _, true) => {
                self.asm.mov(rcx, qword_ptr(FRAME + low))?;
                self.asm.cmp(rcx, qword_ptr(FRAME + high))?;
            }
            (None, _, false) => {
                self.asm.mov(ecx, dword_ptr(FRAME + low))?;
                self.asm.cmp(ecx, dword_ptr(FRAME + high))?;
            }
        }
        self.asm.jne(slow)
    }
}
