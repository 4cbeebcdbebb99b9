//! Clusters: which block of one this is, the shared memory of the others, the barrier.

use tessera_ptx::{Component, Inst as PtxInst, Opcode as O, SpecialKind as S, SpecialReg, Type as T};

use super::{Lower, Result};
use crate::cluster::RANK_SHIFT;
use crate::exec::alu::{Alu, Class};
use crate::lir::{Konst, Special, V, What};
use crate::{SHARED_WINDOW, WINDOW_BYTES};

impl Lower<'_> {
    /// A special register of the block's cluster.
    pub(super) fn cluster_special(&mut self, reg: SpecialReg) -> V {
        let c = match reg.component {
            None | Some(Component::X) => 0,
            Some(Component::Y) => 1,
            Some(Component::Z) => 2,
            Some(Component::W) => return self.imm32(0),
        };
        match reg.kind {
            S::ClusterNctaid => self.cluster_size(c),
            S::ClusterNctarank => self.konst(Class::W32, Konst::ClusterBlocks),
            S::Nclusterid => self.konst(Class::W32, Konst::Nclusterid(c)),
            S::Clusterid => {
                let (block, size) = (self.ctaid(c), self.cluster_size(c));
                self.alu(Alu::DivU32, 0, &[block, size])
            }
            S::ClusterCtaid => self.place_in_cluster(c),
            S::ClusterCtarank => self.rank(),
            _ => {
                let (explicit, zero) = (self.konst(Class::W32, Konst::ExplicitCluster), self.imm32(0));
                self.alu(Alu::NeU32, 0, &[explicit, zero])
            }
        }
    }

    fn ctaid(&mut self, c: u8) -> V {
        let d = self.temp(Class::W32);
        self.push(What::Special(Special::Ctaid(c)), &[d], &[], None);
        d
    }

    fn cluster_size(&mut self, c: u8) -> V {
        self.konst(Class::W32, Konst::ClusterNctaid(c))
    }

    fn place_in_cluster(&mut self, c: u8) -> V {
        let (block, size) = (self.ctaid(c), self.cluster_size(c));
        self.alu(Alu::RemU32, 0, &[block, size])
    }

    fn rank(&mut self) -> V {
        let [x, y, z] = [0, 1, 2].map(|c| self.place_in_cluster(c));
        let [width, height] = [0, 1].map(|c| self.cluster_size(c));
        let row = self.alu(Alu::MadLo32, 0, &[z, height, y]);
        self.alu(Alu::MadLo32, 0, &[row, width, x])
    }

    /// `mapa` and `getctarank`. An address is one in the window of shared memory, generic or not; see [`crate::cluster`] for where blocks lie.
    pub(super) fn cluster_address(&mut self, inst: &PtxInst) -> Result<()> {
        self.kernel.cluster = true;
        let ty = inst.ty(0).unwrap_or(T::U64);
        let shared = inst.space().is_some();
        let address = self.arg(inst, 1, ty)?;
        // The low half of a generic address is the place in the window.
        let low = self.coerce(address, Class::W32);
        if inst.op == O::Getctarank {
            let shift = self.imm32(RANK_SHIFT);
            let (block, zero, own) = (
                self.alu(Alu::ShrU32, 0, &[low, shift]),
                self.imm32(0),
                self.rank(),
            );
            let one = self.imm32(1);
            let other = self.alu(Alu::Sub32, 0, &[block, one]);
            let here = self.alu(Alu::EqU32, 0, &[block, zero]);
            return self.result(inst, Alu::Sel32, 0, &[own, other, here]);
        }
        let wanted = self.arg(inst, 2, T::U32)?;
        let (own, one, mask) = (self.rank(), self.imm32(1), self.imm32((1 << RANK_SHIFT) - 1));
        let offset = self.alu(Alu::And32, 0, &[low, mask]);
        let block = self.alu(Alu::Add32, 0, &[wanted, one]);
        let shift = self.imm32(RANK_SHIFT);
        let base = self.alu(Alu::Shl32, 0, &[block, shift]);
        let far = self.alu(Alu::Or32, 0, &[base, offset]);
        // The block itself stays where it is, so that the result is right as an address of `.shared::cta` too.
        let here = self.alu(Alu::EqU32, 0, &[wanted, own]);
        let place = self.alu(Alu::Sel32, 0, &[offset, far, here]);
        if self.class(address) == Class::W32 {
            return self.result(inst, Alu::Mov32, 0, &[place]);
        }
        let wide = self.alu(Alu::Zx32To64, 0, &[place]);
        if shared {
            return self.result(inst, Alu::Mov64, 0, &[wide]);
        }
        let window = self.imm64(SHARED_WINDOW);
        self.result(inst, Alu::Add64, 0, &[wide, window])
    }

    /// Whether a generic address lies in the block's own shared memory, as far as the window says.
    pub(super) fn in_own_shared(&mut self, d: V, address: V) -> Result<()> {
        let (window, size) = (self.imm64(SHARED_WINDOW), self.imm64(1 << RANK_SHIFT));
        let offset = self.alu(Alu::Sub64, 0, &[address, window]);
        self.alu_to(d, Alu::LtU64, 0, &[offset, size]);
        Ok(())
    }

    /// The generic address of one in `.shared::cluster`, which may be in another block.
    pub(super) fn through_window(&mut self, base: V) -> V {
        self.kernel.cluster = true;
        let place = self.coerce(base, Class::W32);
        let place = self.alu(Alu::Zx32To64, 0, &[place]);
        debug_assert!(SHARED_WINDOW.is_multiple_of(WINDOW_BYTES));
        let window = self.imm64(SHARED_WINDOW);
        self.alu(Alu::Add64, 0, &[place, window])
    }

    /// `barrier.cluster.arrive` and `.wait`
    pub(super) fn cluster_barrier(&mut self, inst: &PtxInst) {
        self.kernel.cluster = true;
        self.kernel.cluster_barrier = true;
        let arrive = inst.op == O::BarrierClusterArrive;
        self.emit(What::Cluster { arrive }, &[], &[]);
    }
}
