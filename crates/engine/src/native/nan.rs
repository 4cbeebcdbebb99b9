//! Where the bits of a NaN matter.
//!
//! Arithmetic gives the canonical NaN, and two instructions see to that. They can be left out where whoever reads the value
//! only asks whether it is a NaN: other arithmetic, comparisons. What is stored, shuffled or taken for an integer is not of
//! that kind.

use super::compile::Gen;
use crate::decode::Analysed;
use crate::exec::alu::Alu;
use crate::lir::{Inst, V, What};

/// Operations whose results may be left with any NaN.
pub(super) const fn makes(alu: Alu) -> bool {
    matches!(
        alu,
        Alu::AddF32
            | Alu::SubF32
            | Alu::MulF32
            | Alu::FmaF32
            | Alu::AddF64
            | Alu::SubF64
            | Alu::MulF64
            | Alu::FmaF64
    )
}

/// Operations to which all NaNs are the same.
const fn indifferent(alu: Alu) -> bool {
    makes(alu)
        || matches!(
            alu,
            Alu::AddFtzF32
                | Alu::SubFtzF32
                | Alu::MulFtzF32
                | Alu::FmaFtzF32
                | Alu::DivF32
                | Alu::RcpF32
                | Alu::SqrtF32
                | Alu::DivF64
                | Alu::RcpF64
                | Alu::SqrtF64
                | Alu::RsqrtApproxF32
                | Alu::RcpApproxF32
                | Alu::SqrtApproxF32
                | Alu::Ex2ApproxF32
                | Alu::EqF32
                | Alu::NeF32
                | Alu::LtF32
                | Alu::LeF32
                | Alu::GtF32
                | Alu::GeF32
                | Alu::EquF32
                | Alu::NeuF32
                | Alu::LtuF32
                | Alu::LeuF32
                | Alu::GtuF32
                | Alu::GeuF32
        )
}

fn reads_bits(inst: &Inst) -> bool {
    !matches!(inst.what, What::Alu(alu, _) if indifferent(alu))
}

/// The registers of which somebody reads the bits.
pub(super) fn read_as_bits(a: &Analysed) -> Vec<bool> {
    let mut bits = vec![false; a.kernel.vregs.len()];
    for inst in a
        .kernel
        .blocks
        .iter()
        .flat_map(|b| &b.insts)
        .filter(|i| reads_bits(i))
    {
        for &v in &inst.s {
            bits[v as usize] = true;
        }
    }
    bits
}

impl Gen<'_> {
    /// Whether the current instruction may leave any NaN in `d`: nobody ever reads its bits, or not before the same lanes of
    /// it are written again in this block.
    pub(super) fn any_nan(&self, d: V) -> bool {
        if !self.read_as_bits[d as usize] {
            return true;
        }
        let block = &self.analysed.kernel.blocks[self.block as usize];
        for inst in block.insts.iter().skip(self.place_in_block + 1) {
            if inst.s.contains(&d) && reads_bits(inst) {
                return false;
            }
            if inst.d.contains(&d) {
                return inst.guard.is_none();
            }
        }
        // A register that no other block knows dies here.
        self.analysed.live.index(d).is_none()
    }
}
