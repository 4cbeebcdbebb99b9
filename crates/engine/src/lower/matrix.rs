//! Matrix instructions.

use tessera_ptx::modifier::Count;
use tessera_ptx::{Flag, Inst as PtxInst, Opcode as O, Operand, Type as T};

use super::{Lower, Result};
use crate::exec::alu::Class;
use crate::lir::matrix::{Elem, Mma, Move, Sum};
use crate::lir::{V, What};

impl Lower<'_> {
    pub(super) fn matrix(&mut self, inst: &PtxInst) -> Result<()> {
        match inst.op {
            O::Mma => self.mma(inst),
            O::Ldmatrix | O::Stmatrix => self.move_matrix(inst),
            _ => {
                let Some(operand) = inst.operands.first() else {
                    return self.refuse("no destination");
                };
                let d = self.dest(operand, Class::W32)?;
                let s = [self.arg(inst, 1, T::B32)?];
                self.emit(What::MoveMatrix, &[d], &s);
                Ok(())
            }
        }
    }

    /// The registers of a fragment that is read.
    fn fragment(&mut self, inst: &PtxInst, n: usize, ty: T) -> Result<Vec<V>> {
        let parts = self.elements(inst, n)?;
        parts.iter().map(|part| self.source(part, ty)).collect()
    }

    /// The registers of a fragment that is written; registers of their own for those that are dropped.
    fn fragment_to(&mut self, inst: &PtxInst, n: usize, class: Class) -> Result<Vec<V>> {
        let parts: Vec<Operand> = self.elements(inst, n)?.to_vec();
        parts.iter().map(|part| self.dest(part, class)).collect()
    }

    fn elem(&self, ty: Option<T>) -> Result<Elem> {
        Ok(match ty {
            Some(T::F16) => Elem::F16,
            Some(T::Bf16) => Elem::Bf16,
            Some(T::Tf32) => Elem::Tf32,
            Some(T::E4m3) => Elem::E4m3,
            Some(T::E5m2) => Elem::E5m2,
            Some(T::S8) => Elem::S8,
            Some(T::U8) => Elem::U8,
            Some(T::S4) => Elem::S4,
            Some(T::U4) => Elem::U4,
            _ => return self.refuse("factors of this type"),
        })
    }

    fn sum(&self, ty: Option<T>) -> Result<Sum> {
        Ok(match ty {
            Some(T::F32) => Sum::F32,
            Some(T::F16) => Sum::F16,
            Some(T::S32) => Sum::S32,
            _ => return self.refuse("sums of this type"),
        })
    }

    fn mma(&mut self, inst: &PtxInst) -> Result<()> {
        let Some(shape) = inst.shape() else {
            return self.refuse("no shape");
        };
        if inst.has(Flag::Sp) || inst.has(Flag::SpOrdered) {
            return self.refuse("sparse factors");
        }
        if inst.kind().is_some() {
            return self.refuse("factors of mixed formats");
        }
        let (a, b) = (self.elem(inst.ty(1))?, self.elem(inst.ty(2))?);
        if a == Elem::F16 && shape.k == 4 {
            return self.refuse("the quarter-warp shape");
        }
        let m = Mma {
            tall: 1,
            half: shape.m == 8,
            wide: 1,
            deep: u8::try_from(usize::from(shape.k) / a.per_word() / 4).unwrap_or(0),
            a,
            b,
            c: self.sum(inst.ty(3))?,
            d: self.sum(inst.ty(0))?,
            clamp: inst.has(Flag::Satfinite),
        };
        self.product(inst, m)
    }

    /// Emits a product whose fragments have the order that the operation wants.
    fn product(&mut self, inst: &PtxInst, m: Mma) -> Result<()> {
        let d = self.fragment_to(inst, 0, Class::W32)?;
        let (a, b) = (self.fragment(inst, 1, T::B32)?, self.fragment(inst, 2, T::B32)?);
        let c = self.fragment(inst, 3, T::B32)?;
        if [a.len(), b.len(), c.len(), d.len()] != m.registers() {
            return self.refuse("fragments of this size");
        }
        let s: Vec<V> = [a, b, c].concat();
        self.emit(What::Mma(m), &d, &s);
        Ok(())
    }

    fn move_matrix(&mut self, inst: &PtxInst) -> Result<()> {
        let load = inst.op == O::Ldmatrix;
        if inst.ty(0) != Some(T::B16) {
            return self.refuse("matrices of elements below 16 bits");
        }
        let n = match inst.count() {
            Some(Count::X1) => 1,
            Some(Count::X2) => 2,
            Some(Count::X4) => 4,
            _ => return self.refuse("no count"),
        };
        let generic = inst.space().is_none();
        let address = self.mem_address(inst, usize::from(load))?;
        let (base, offset) = self.address(address, !generic)?;
        let m = Move {
            n,
            transposed: inst.has(Flag::Trans),
            generic,
            offset,
        };
        if load {
            let d = self.fragment_to(inst, 0, Class::W32)?;
            self.emit(What::LoadMatrix(m), &d, &[base]);
        } else {
            let mut s = vec![base];
            s.extend(self.fragment(inst, 1, T::B32)?);
            self.emit(What::StoreMatrix(m), &[], &s);
        }
        Ok(())
    }
}
