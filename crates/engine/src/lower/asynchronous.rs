//! Asynchronous copies, `mbarrier` objects, bulk operations, and the stores and reductions that report to an `mbarrier`.
//!
//! This device makes a copy when it is issued, so groups of copies are always complete and waiting for one does nothing.

use tessera_ptx::modifier::AtomOp;
use tessera_ptx::{Flag, Inst as PtxInst, Opcode as O, Operand, Space as PtxSpace, Type as T};

use super::{Lower, Result};
use crate::exec::alu::{Alu, Class};
use crate::exec::bulk::Bulk;
use crate::exec::mbarrier::Mbarrier;
use crate::exec::thread::{Thread, ThreadOp};
use crate::lir::{Space, V, What};

impl Lower<'_> {
    pub(super) fn asynchronous(&mut self, inst: &PtxInst) -> Result<()> {
        match inst.op {
            O::CpAsync => self.copy_async(inst),
            O::CpAsyncMbarrierArrive => {
                let counted = inst.has(Flag::NoInc);
                let (a, shared) = self.flat(inst, 0, inst.space())?;
                self.thread(
                    ThreadOp::Mbarrier(Mbarrier::Copies { counted }),
                    shared,
                    &[],
                    &[a],
                );
                Ok(())
            }
            O::CpAsyncBulk => self.copy_bulk(inst),
            O::CpReduceAsyncBulk => self.reduce_bulk(inst),
            O::StBulk => self.store_bulk(inst),
            O::StAsync => self.store_async(inst),
            O::RedAsync => self.red_async(inst),
            O::ClusterlaunchcontrolTryCancel => self.try_cancel(inst),
            O::ClusterlaunchcontrolQueryCancel => self.query_cancel(inst),
            // Copies are complete, and a prefetch brings nothing nearer.
            O::CpAsyncCommitGroup
            | O::CpAsyncWaitGroup
            | O::CpAsyncWaitAll
            | O::CpAsyncBulkCommitGroup
            | O::CpAsyncBulkWaitGroup
            | O::CpAsyncBulkPrefetch => Ok(()),
            _ => self.mbarrier(inst),
        }
    }

    /// The address in operand `n` with its offset, in 64 bits, and 1 if it is an offset into shared memory.
    pub(super) fn flat(&mut self, inst: &PtxInst, n: usize, space: Option<PtxSpace>) -> Result<(V, u8)> {
        let address = self.mem_address(inst, n)?;
        let (space, base, offset) = self.place_of_access(inst, space, address)?;
        let shared = space == Space::Shared;
        let mut v = self.coerce(base, Class::W64);
        if offset != 0 {
            let by = self.imm64(i64::from(offset).cast_unsigned());
            v = self.alu(Alu::Add64, 0, &[v, by]);
        }
        Ok((v, u8::from(shared)))
    }

    pub(super) fn thread(&mut self, what: ThreadOp, shared: u8, d: &[V], s: &[V]) {
        self.emit(What::Thread(Thread { what, shared }), d, s);
    }

    fn constant_operand(&self, inst: &PtxInst, n: usize) -> Result<i64> {
        match inst.operands.get(n) {
            Some(Operand::Int(value)) => Ok(*value),
            _ => self.refuse("a constant is missing"),
        }
    }

    /// `cp.async`, whose third operand is a constant and whose fourth is a number of bytes, a predicate or a cache policy.
    fn copy_async(&mut self, inst: &PtxInst) -> Result<()> {
        let bytes = match self.constant_operand(inst, 2)? {
            size @ (4 | 8 | 16) => u8::try_from(size).unwrap_or(16),
            _ => return self.refuse("copies of other than 4, 8 or 16 bytes"),
        };
        let (to, shared) = self.flat(inst, 0, inst.space())?;
        let (from, _) = self.flat(inst, 1, Some(PtxSpace::Global))?;
        let all = self.imm32(u32::from(bytes));
        let policy = inst.spelling().contains("cache_hint") && inst.operands.len() == 4;
        let count = match inst.operands.get(3) {
            Some(operand) if !policy => {
                let register = match operand {
                    Operand::Reg(reg) | Operand::Not(reg) => Some(self.register(*reg)),
                    _ => None,
                };
                if register.is_some_and(|v| self.class(v) == Class::Pred) {
                    let ignore = self.source(operand, T::Pred)?;
                    let none = self.imm32(0);
                    self.alu(Alu::Sel32, 0, &[none, all, ignore])
                } else {
                    self.source(operand, T::U32)?
                }
            }
            _ => all,
        };
        self.thread(ThreadOp::CopyAsync(bytes), shared, &[], &[to, from, count]);
        Ok(())
    }

    fn mbarrier(&mut self, inst: &PtxInst) -> Result<()> {
        match inst.op {
            O::MbarrierInit | O::MbarrierExpectTx | O::MbarrierCompleteTx => {
                let what = match inst.op {
                    O::MbarrierInit => Mbarrier::Init,
                    O::MbarrierExpectTx => Mbarrier::ExpectTx,
                    _ => Mbarrier::CompleteTx,
                };
                let (a, shared) = self.flat(inst, 0, inst.space())?;
                let count = self.arg(inst, 1, T::U32)?;
                self.thread(ThreadOp::Mbarrier(what), shared, &[], &[a, count]);
            }
            O::MbarrierInval => {
                let (a, shared) = self.flat(inst, 0, inst.space())?;
                self.thread(ThreadOp::Mbarrier(Mbarrier::Inval), shared, &[], &[a]);
            }
            O::MbarrierArrive | O::MbarrierArriveDrop => self.arrive(inst)?,
            O::MbarrierTestWait | O::MbarrierTryWait => {
                let parity = inst.has(Flag::Parity);
                let gives_way = inst.op == O::MbarrierTryWait;
                let Some(operand) = inst.operands.first() else {
                    return self.refuse("no destination");
                };
                let d = self.dest(operand, Class::Pred)?;
                let (a, shared) = self.flat(inst, 1, inst.space())?;
                let state = self.arg(inst, 2, if parity { T::U32 } else { T::B64 })?;
                // A time limit, the fourth operand, only says when to stop waiting: this one never waits long.
                let what = Mbarrier::Wait { parity, gives_way };
                self.thread(ThreadOp::Mbarrier(what), shared, &[d], &[a, state]);
            }
            O::MbarrierPendingCount => {
                let state = self.arg(inst, 1, T::B64)?;
                let low = self.alu(Alu::Low32, 0, &[state]);
                let mask = self.imm32(0xf_ffff);
                return self.result(inst, Alu::And32, 0, &[low, mask]);
            }
            _ => return self.refuse("this instruction"),
        }
        Ok(())
    }

    fn arrive(&mut self, inst: &PtxInst) -> Result<()> {
        let what = Mbarrier::Arrive {
            drop: inst.op == O::MbarrierArriveDrop,
            expect: inst.has(Flag::ExpectTx),
            no_complete: inst.has(Flag::NoComplete),
        };
        let (a, shared) = self.flat(inst, 1, inst.space())?;
        let count = if inst.operands.len() > 2 {
            self.arg(inst, 2, T::U32)?
        } else {
            self.imm32(1)
        };
        let d = match inst.operands.first() {
            Some(Operand::Sink) => None,
            Some(operand) => Some(self.dest(operand, Class::W64)?),
            None => return self.refuse("no destination"),
        };
        self.thread(ThreadOp::Mbarrier(what), shared, d.as_slice(), &[a, count]);
        Ok(())
    }

    /// Destination and source of a bulk operation: their spaces are the first two modifiers.
    fn ends(&mut self, inst: &PtxInst) -> Result<(V, V, u8)> {
        let mut spaces = inst.spaces();
        let (first, second) = (spaces.next(), spaces.next());
        let (to, at) = self.flat(inst, 0, first)?;
        let (from, from_at) = self.flat(inst, 1, second)?;
        Ok((to, from, at | from_at << 1))
    }

    fn copy_bulk(&mut self, inst: &PtxInst) -> Result<()> {
        if inst.has(Flag::MulticastCluster) {
            return self.refuse("copies to several blocks of a cluster");
        }
        if inst.has(Flag::IgnoreOob) {
            return self.refuse("copies that leave out what is out of bounds");
        }
        let (to, from, mut shared) = self.ends(inst)?;
        let bytes = self.arg(inst, 2, T::U32)?;
        let mut s = vec![to, from, bytes];
        let reports = inst.has(Flag::MbarrierCompleteTx);
        // The mask is the last operand, after a cache policy if there is one.
        let masked = inst.has(Flag::CpMask);
        if reports {
            // In the block that the copy goes to.
            let space = inst.spaces().next().unwrap_or(PtxSpace::Shared);
            let (barrier, at) = self.flat(inst, 3, Some(space))?;
            shared |= at << 3;
            s.push(barrier);
        } else if masked {
            s.push(self.arg(inst, inst.operands.len() - 1, T::B16)?);
        }
        self.thread(ThreadOp::Bulk(Bulk::Copy { reports, masked }), shared, &[], &s);
        Ok(())
    }

    fn reduce_bulk(&mut self, inst: &PtxInst) -> Result<()> {
        let (to, from, mut shared) = self.ends(inst)?;
        let Some(ty) = inst.ty(0) else {
            return self.refuse("no type");
        };
        let kind = self.atom_kind(inst, ty, true)?;
        let size = self.arg(inst, 2, T::U32)?;
        let mut s = vec![to, from, size];
        let reports = inst.has(Flag::MbarrierCompleteTx);
        if reports {
            let (barrier, at) = self.flat(inst, 3, Some(PtxSpace::Shared))?;
            shared |= at << 3;
            s.push(barrier);
        }
        let bytes = u8::try_from(ty.bytes()).unwrap_or(8);
        let what = Bulk::Reduce { kind, bytes, reports };
        self.thread(ThreadOp::Bulk(what), shared, &[], &s);
        Ok(())
    }

    /// `st.bulk`: the value can only be zero.
    fn store_bulk(&mut self, inst: &PtxInst) -> Result<()> {
        if self.constant_operand(inst, 2)? != 0 {
            return self.refuse("a value other than zero");
        }
        let (to, shared) = self.flat(inst, 0, inst.space())?;
        let bytes = self.arg(inst, 1, T::U64)?;
        self.thread(ThreadOp::Bulk(Bulk::Zero), shared, &[], &[to, bytes]);
        Ok(())
    }

    fn store_async(&mut self, inst: &PtxInst) -> Result<()> {
        if !inst.has(Flag::MbarrierCompleteTx) {
            // Without a barrier it is a store with release semantics.
            return self.store(inst);
        }
        let Some(ty) = inst.ty(0) else {
            return self.refuse("no type");
        };
        let (to, at) = self.flat(inst, 0, inst.space())?;
        let (barrier, barrier_at) = self.flat(inst, 2, inst.space())?;
        let mut s = vec![to, barrier];
        let parts = self.elements(inst, 1)?;
        for part in parts {
            s.push(self.source(part, ty)?);
        }
        let what = Bulk::Store {
            bytes: u8::try_from(ty.bytes()).unwrap_or(8),
            n: u8::try_from(parts.len()).unwrap_or(1),
        };
        self.thread(ThreadOp::Bulk(what), at | barrier_at << 1, &[], &s);
        Ok(())
    }

    fn red_async(&mut self, inst: &PtxInst) -> Result<()> {
        if !inst.has(Flag::MbarrierCompleteTx) {
            return self.atom(inst);
        }
        let (Some(ty), Some(op)) = (inst.ty(0), inst.atom_op()) else {
            return self.refuse("no operation");
        };
        debug_assert_ne!(op, AtomOp::Cas, "the table has no such form");
        let kind = self.atom_kind(inst, ty, false)?;
        let (to, at) = self.flat(inst, 0, inst.space())?;
        let value = self.arg(inst, 1, ty)?;
        let (barrier, barrier_at) = self.flat(inst, 2, inst.space())?;
        let bytes = u8::try_from(ty.bytes()).unwrap_or(8);
        let what = Bulk::Red { kind, bytes };
        self.thread(
            ThreadOp::Bulk(what),
            at | barrier_at << 1,
            &[],
            &[to, barrier, value],
        );
        Ok(())
    }

    /// `clusterlaunchcontrol.try_cancel`: a request to take over a cluster that has not started. It may be turned down at any time, and
    /// here always is: clusters start when an executor is free, and a block that is done has another one begin in its place anyway. The
    /// answer is 16 bytes of zero, written and reported like those of an `st.async`.
    fn try_cancel(&mut self, inst: &PtxInst) -> Result<()> {
        if inst.has(Flag::MulticastClusterAll) {
            return self.refuse("an answer to several blocks of a cluster");
        }
        let (to, at) = self.flat(inst, 0, inst.space())?;
        let (barrier, barrier_at) = self.flat(inst, 1, inst.space())?;
        let zero = self.imm64(0);
        let what = Bulk::Store { bytes: 8, n: 2 };
        self.thread(
            ThreadOp::Bulk(what),
            at | barrier_at << 1,
            &[],
            &[to, barrier, zero, zero],
        );
        Ok(())
    }

    /// What an answer to [`try_cancel`](Self::try_cancel) says: coordinates of a block in its first three words, 0 in the last when the
    /// request was turned down.
    fn query_cancel(&mut self, inst: &PtxInst) -> Result<()> {
        let Some(&Operand::Reg(reg)) = inst.operands.get(1) else {
            return self.refuse("an answer that is no register");
        };
        let low = self.register(reg);
        let halves = [
            (0, Alu::Low32),
            (0, Alu::High32),
            (1, Alu::Low32),
            (1, Alu::High32),
        ];
        let words = halves.map(|(which, alu)| self.alu(alu, 0, &[low + which]));
        if inst.has(Flag::IsCanceled) {
            let Some(operand) = inst.operands.first() else {
                return self.refuse("no destination");
            };
            let (d, zero) = (self.dest(operand, Class::Pred)?, self.imm32(0));
            self.alu_to(d, Alu::NeU32, 0, &[words[3], zero]);
            return Ok(());
        }
        let parts = self.elements(inst, 0)?;
        let axes = [Flag::FirstCtaidY, Flag::FirstCtaidZ];
        let first = axes.iter().position(|&f| inst.has(f)).map_or(0, |axis| axis + 1);
        for (part, &word) in parts.iter().zip(&words[first..]) {
            let d = self.dest(part, Class::W32)?;
            self.assign(d, word);
        }
        Ok(())
    }
}
