//! Comparison and selection: `setp`, `set`, `selp`, `slct`, `testp`.

use tessera_ptx::modifier::{BoolOp, CmpOp, TestOp};
use tessera_ptx::{Flag, Inst as PtxInst, Mod, Opcode as O, Type as T};

use super::alu::plain;
use super::operand::class_of;
use super::{Lower, Result};
use crate::exec::alu::{Alu, Class};
use crate::exec::modifiers::FTZ;
use crate::lir::{PredOp, V};

/// A comparison and whether its result is to be inverted.
fn comparison(op: CmpOp, ty: T) -> Option<Alu> {
    macro_rules! ordered {
        ($eq:ident $ne:ident $lt:ident $le:ident $gt:ident $ge:ident) => {
            match op {
                CmpOp::Eq => Alu::$eq,
                CmpOp::Ne => Alu::$ne,
                CmpOp::Lt | CmpOp::Lo => Alu::$lt,
                CmpOp::Le | CmpOp::Ls => Alu::$le,
                CmpOp::Gt | CmpOp::Hi => Alu::$gt,
                CmpOp::Ge | CmpOp::Hs => Alu::$ge,
                _ => return None,
            }
        };
    }
    macro_rules! float {
        ($($op:ident $alu:ident)+) => { match op { $(CmpOp::$op => Alu::$alu,)+ _ => return None } };
    }
    Some(match ty {
        T::U16 => ordered!(EqU16 NeU16 LtU16 LeU16 GtU16 GeU16),
        T::S16 => ordered!(EqU16 NeU16 LtS16 LeS16 GtS16 GeS16),
        T::U32 => ordered!(EqU32 NeU32 LtU32 LeU32 GtU32 GeU32),
        T::S32 => ordered!(EqU32 NeU32 LtS32 LeS32 GtS32 GeS32),
        T::U64 => ordered!(EqU64 NeU64 LtU64 LeU64 GtU64 GeU64),
        T::S64 => ordered!(EqU64 NeU64 LtS64 LeS64 GtS64 GeS64),
        T::F32 => {
            float!(Eq EqF32 Ne NeF32 Lt LtF32 Le LeF32 Gt GtF32 Ge GeF32 Equ EquF32 Neu NeuF32 Ltu LtuF32
            Leu LeuF32 Gtu GtuF32 Geu GeuF32 Num NumF32 Nan NanF32)
        }
        T::F64 => {
            float!(Eq EqF64 Ne NeF64 Lt LtF64 Le LeF64 Gt GtF64 Ge GeF64 Equ EquF64 Neu NeuF64 Ltu LtuF64
            Leu LeuF64 Gtu GtuF64 Geu GeuF64 Num NumF64 Nan NanF64)
        }
        _ => return None,
    })
}

impl Lower<'_> {
    /// `setp`, `set`, `selp`, `slct`, `testp`.
    pub(super) fn compare(&mut self, inst: &PtxInst) -> Result<()> {
        match inst.op {
            O::Setp => self.setp(inst),
            O::Set => self.set(inst),
            O::Selp => {
                let ty = inst.ty(0).map_or(T::U32, plain);
                let s = [
                    self.arg(inst, 1, ty)?,
                    self.arg(inst, 2, ty)?,
                    self.arg(inst, 3, T::Pred)?,
                ];
                let alu = if class_of(ty) == Class::W64 {
                    Alu::Sel64
                } else {
                    Alu::Sel32
                };
                self.result(inst, alu, 0, &s)
            }
            O::Slct => {
                let ty = inst.ty(0).map_or(T::U32, plain);
                let float = inst.ty(1) == Some(T::F32);
                let c = self.arg(inst, 3, if float { T::F32 } else { T::S32 })?;
                let ftz = if inst.has(Flag::Ftz) { FTZ } else { 0 };
                let first = self.alu(if float { Alu::SlctF32 } else { Alu::SlctS32 }, ftz, &[c]);
                let s = [self.arg(inst, 1, ty)?, self.arg(inst, 2, ty)?, first];
                let alu = if class_of(ty) == Class::W64 {
                    Alu::Sel64
                } else {
                    Alu::Sel32
                };
                self.result(inst, alu, 0, &s)
            }
            _ => {
                let x = inst.mods.iter().find_map(|m| match m {
                    Mod::Test(TestOp::Finite) => Some(0),
                    Mod::Test(TestOp::Infinite) => Some(1),
                    Mod::Test(TestOp::Number) => Some(2),
                    Mod::Test(TestOp::NotANumber) => Some(3),
                    Mod::Test(TestOp::Normal) => Some(4),
                    Mod::Test(TestOp::Subnormal) => Some(5),
                    _ => None,
                });
                let ty = inst.ty(0).unwrap_or(T::F32);
                let s = [self.arg(inst, 1, ty)?];
                let alu = if ty == T::F64 {
                    Alu::TestpF64
                } else {
                    Alu::TestpF32
                };
                self.result(inst, alu, x.unwrap_or(0), &s)
            }
        }
    }

    /// The comparison of operands 1 and 2, of type `ty`, in a fresh predicate or in `d`.
    fn compared(&mut self, inst: &PtxInst, ty: T, d: Option<V>) -> Result<V> {
        let Some(op) = inst.cmp() else {
            return self.refuse("no comparison");
        };
        let ty = plain(ty);
        let (a, b) = (self.arg(inst, 1, ty)?, self.arg(inst, 2, ty)?);
        self.comparison(op, ty, inst.has(Flag::Ftz), [a, b], d)
    }

    /// The comparison of two registers of type `ty`.
    fn comparison(&mut self, op: CmpOp, ty: T, ftz: bool, [mut a, mut b]: [V; 2], d: Option<V>) -> Result<V> {
        let mut kind = ty;
        if matches!(ty, T::F16 | T::Bf16) {
            // Widening is exact.
            let widen = if ty == T::F16 {
                Alu::F16ToF32
            } else {
                Alu::Bf16ToF32
            };
            if ftz {
                // Adding zero flushes; that it turns -0 into +0 no comparison can see. Only f16 has `.ftz`.
                let zero = self.imm32(0);
                a = self.alu(Alu::AddF16, FTZ, &[a, zero]);
                b = self.alu(Alu::AddF16, FTZ, &[b, zero]);
            }
            a = self.alu(widen, 0, &[a]);
            b = self.alu(widen, 0, &[b]);
            kind = T::F32;
        } else if ftz {
            let flush = crate::exec::modifiers::NO_INT_ROUNDING << crate::exec::modifiers::INT_ROUNDING | FTZ;
            a = self.alu(Alu::F32ToF32, flush, &[a]);
            b = self.alu(Alu::F32ToF32, flush, &[b]);
        }
        let Some(alu) = comparison(op, kind) else {
            return self.refuse("this comparison of this type");
        };
        match d {
            Some(d) => {
                self.alu_to(d, alu, 0, &[a, b]);
                Ok(d)
            }
            None => Ok(self.alu(alu, 0, &[a, b])),
        }
    }

    /// The comparisons of the low and of the high halves of operands 1 and 2, each combined with `c` as the instruction says.
    fn compared_halves(&mut self, inst: &PtxInst, ty: T, combine: Option<(BoolOp, V)>) -> Result<[V; 2]> {
        let Some(op) = inst.cmp() else {
            return self.refuse("no comparison");
        };
        let half = if ty == T::F16x2 { T::F16 } else { T::Bf16 };
        let (a, b) = (self.arg(inst, 1, ty)?, self.arg(inst, 2, ty)?);
        let mut results = [a; 2];
        for (result, from) in results.iter_mut().zip([0, 16]) {
            let halves = [self.bits_of(a, from, 16), self.bits_of(b, from, 16)];
            *result = self.comparison(op, half, inst.has(Flag::Ftz), halves, None)?;
            if let Some((op, c)) = combine {
                *result = self.combined(op, *result, c);
            }
        }
        Ok(results)
    }

    /// The boolean operation of the instruction and its predicate operand.
    fn combination(&mut self, inst: &PtxInst) -> Result<Option<(BoolOp, V)>> {
        Ok(match inst.bool_op() {
            Some(op) => Some((op, self.arg(inst, 3, T::Pred)?)),
            None => None,
        })
    }

    pub(super) fn combined(&mut self, op: BoolOp, compared: V, c: V) -> V {
        let op = match op {
            BoolOp::And => PredOp::And,
            BoolOp::Or => PredOp::Or,
            BoolOp::Xor => PredOp::Xor,
        };
        self.pred(op, &[compared, c])
    }

    fn setp(&mut self, inst: &PtxInst) -> Result<()> {
        let Some(ty) = inst.ty(0) else {
            return self.refuse("no type");
        };
        let (p, q) = self.dest_pair(inst, Class::Pred)?;
        let combine = self.combination(inst)?;
        if matches!(ty, T::F16x2 | T::Bf16x2) {
            let [low, high] = self.compared_halves(inst, ty, combine)?;
            self.mov(p, low);
            if let Some(q) = q {
                self.mov(q, high);
            }
            return Ok(());
        }
        if q.is_none() && combine.is_none() {
            self.compared(inst, ty, Some(p))?;
            return Ok(());
        }
        let mut first = self.compared(inst, ty, None)?;
        let mut second = self.pred(PredOp::Not, &[first]);
        if let Some((op, c)) = combine {
            first = self.combined(op, first, c);
            second = self.combined(op, second, c);
        }
        self.mov(p, first);
        if let Some(q) = q {
            self.mov(q, second);
        }
        Ok(())
    }

    fn set(&mut self, inst: &PtxInst) -> Result<()> {
        let (Some(to), Some(from)) = (inst.ty(0), inst.ty(1)) else {
            return self.refuse("types are missing");
        };
        let combine = self.combination(inst)?;
        let yes = match to {
            T::F32 => 1f32.to_bits(),
            T::F16 | T::F16x2 => 0x3c00,
            T::Bf16 | T::Bf16x2 => 0x3f80,
            T::U16 | T::S16 => 0xffff,
            _ => u32::MAX,
        };
        if matches!(from, T::F16x2 | T::Bf16x2) {
            // An integer result is a mask for each half.
            let (yes, no) = (self.imm32(yes & 0xffff), self.imm32(0));
            let halves = self.compared_halves(inst, from, combine)?;
            let halves = halves.map(|p| self.alu(Alu::Sel32, 0, &[yes, no, p]));
            return self.result(inst, Alu::Pack16, 0, &halves);
        }
        let mut p = self.compared(inst, from, None)?;
        if let Some((op, c)) = combine {
            p = self.combined(op, p, c);
        }
        let s = [self.imm32(yes), self.imm32(0), p];
        self.result(inst, Alu::Sel32, 0, &s)
    }
}
