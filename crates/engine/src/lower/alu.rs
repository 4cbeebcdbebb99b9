//! Integer arithmetic, logic, bit fields; comparison and selection.

use tessera_arith::logic::PermuteMode;
use tessera_ptx::modifier::{AtomOp, PrmtMode};
use tessera_ptx::{Flag, Inst as PtxInst, Mod, Opcode as O, Operand, Type as T};

use super::{Lower, Result};
use crate::exec::alu::{Alu, Class};
use crate::lir::{Konst, PredOp, V};

/// Untyped bits as the unsigned type of their width: one row per width in the tables below.
pub(super) const fn plain(ty: T) -> T {
    match ty {
        T::B8 => T::U8,
        T::B16 => T::U16,
        T::B32 => T::U32,
        T::B64 => T::U64,
        other => other,
    }
}

/// Operations on two operands of the instruction's type.
#[allow(clippy::too_many_lines, reason = "a table")]
fn binary(inst: &PtxInst, ty: T) -> Option<Alu> {
    use tessera_ptx::modifier::MulHalf as H;
    let (sat, relu) = (inst.has(Flag::Sat), inst.has(Flag::Relu));
    Some(match (inst.op, ty) {
        (O::Add, T::U16 | T::S16) => Alu::Add16,
        (O::Add, T::S32) if sat => Alu::AddSatS32,
        (O::Add, T::U32) if sat => Alu::AddSatU32,
        (O::Add, T::U32 | T::S32) if !sat => Alu::Add32,
        (O::Add, T::U64 | T::S64) if !sat => Alu::Add64,
        (O::Add, T::U16x2 | T::S16x2) if !sat => Alu::Add16x2,
        (O::Sub, T::U16 | T::S16) => Alu::Sub16,
        (O::Sub, T::S32) if sat => Alu::SubSatS32,
        (O::Sub, T::U32 | T::S32) if !sat => Alu::Sub32,
        (O::Sub, T::U64 | T::S64) if !sat => Alu::Sub64,
        (O::Mul, ty) => match (inst.mul_half()?, ty) {
            (H::Lo, T::U16 | T::S16) => Alu::MulLo16,
            (H::Lo, T::U32 | T::S32) => Alu::MulLo32,
            (H::Lo, T::U64 | T::S64) => Alu::MulLo64,
            (H::Hi, T::U16) => Alu::MulHiU16,
            (H::Hi, T::S16) => Alu::MulHiS16,
            (H::Hi, T::U32) => Alu::MulHiU32,
            (H::Hi, T::S32) => Alu::MulHiS32,
            (H::Hi, T::U64) => Alu::MulHiU64,
            (H::Hi, T::S64) => Alu::MulHiS64,
            (H::Wide, T::U16) => Alu::MulWideU16,
            (H::Wide, T::S16) => Alu::MulWideS16,
            (H::Wide, T::U32) => Alu::MulWideU32,
            (H::Wide, T::S32) => Alu::MulWideS32,
            _ => return None,
        },
        (O::Mul24, ty) => match (inst.mul_half()?, ty) {
            (H::Lo, T::U32) => Alu::Mul24LoU32,
            (H::Lo, T::S32) => Alu::Mul24LoS32,
            (H::Hi, T::U32) => Alu::Mul24HiU32,
            (H::Hi, T::S32) => Alu::Mul24HiS32,
            _ => return None,
        },
        (O::Div, T::U16) => Alu::DivU16,
        (O::Div, T::S16) => Alu::DivS16,
        (O::Div, T::U32) => Alu::DivU32,
        (O::Div, T::S32) => Alu::DivS32,
        (O::Div, T::U64) => Alu::DivU64,
        (O::Div, T::S64) => Alu::DivS64,
        (O::Rem, T::U16) => Alu::RemU16,
        (O::Rem, T::S16) => Alu::RemS16,
        (O::Rem, T::U32) => Alu::RemU32,
        (O::Rem, T::S32) => Alu::RemS32,
        (O::Rem, T::U64) => Alu::RemU64,
        (O::Rem, T::S64) => Alu::RemS64,
        (O::Min, T::S32) if relu => Alu::MinReluS32,
        (O::Min, T::S16x2) if relu => Alu::MinReluS16x2,
        (O::Max, T::S32) if relu => Alu::MaxReluS32,
        (O::Max, T::S16x2) if relu => Alu::MaxReluS16x2,
        (O::Min | O::Max, _) if relu => return None,
        (O::Min, T::U16) => Alu::MinU16,
        (O::Min, T::S16) => Alu::MinS16,
        (O::Min, T::U32) => Alu::MinU32,
        (O::Min, T::S32) => Alu::MinS32,
        (O::Min, T::U64) => Alu::MinU64,
        (O::Min, T::S64) => Alu::MinS64,
        (O::Min, T::U16x2) => Alu::MinU16x2,
        (O::Min, T::S16x2) => Alu::MinS16x2,
        (O::Max, T::U16) => Alu::MaxU16,
        (O::Max, T::S16) => Alu::MaxS16,
        (O::Max, T::U32) => Alu::MaxU32,
        (O::Max, T::S32) => Alu::MaxS32,
        (O::Max, T::U64) => Alu::MaxU64,
        (O::Max, T::S64) => Alu::MaxS64,
        (O::Max, T::U16x2) => Alu::MaxU16x2,
        (O::Max, T::S16x2) => Alu::MaxS16x2,
        (O::And, T::U16 | T::U32) => Alu::And32,
        (O::And, T::U64) => Alu::And64,
        (O::Or, T::U16 | T::U32) => Alu::Or32,
        (O::Or, T::U64) => Alu::Or64,
        (O::Xor, T::U16 | T::U32) => Alu::Xor32,
        (O::Xor, T::U64) => Alu::Xor64,
        _ => return None,
    })
}

/// Operations on one operand of the instruction's type.
fn unary(op: O, ty: T) -> Option<Alu> {
    Some(match (op, ty) {
        (O::Abs, T::S16) => Alu::AbsS16,
        (O::Abs, T::S32) => Alu::AbsS32,
        (O::Abs, T::S64) => Alu::AbsS64,
        (O::Neg, T::S16) => Alu::Neg16,
        (O::Neg, T::S32) => Alu::Neg32,
        (O::Neg, T::S64) => Alu::Neg64,
        (O::Not, T::U16) => Alu::Not16,
        (O::Not, T::U32) => Alu::Not32,
        (O::Not, T::U64) => Alu::Not64,
        (O::Cnot, T::U16) => Alu::Cnot16,
        (O::Cnot, T::U32) => Alu::Cnot32,
        (O::Cnot, T::U64) => Alu::Cnot64,
        (O::Popc, T::U32) => Alu::Popc32,
        (O::Popc, T::U64) => Alu::Popc64,
        (O::Clz, T::U32) => Alu::Clz32,
        (O::Clz, T::U64) => Alu::Clz64,
        (O::Brev, T::U32) => Alu::Brev32,
        (O::Brev, T::U64) => Alu::Brev64,
        (O::Bfind, T::U32) => Alu::BfindU32,
        (O::Bfind, T::S32) => Alu::BfindS32,
        (O::Bfind, T::U64) => Alu::BfindU64,
        (O::Bfind, T::S64) => Alu::BfindS64,
        _ => return None,
    })
}

/// Multiply-add and sum of absolute differences. The third operand may be wide.
fn ternary(inst: &PtxInst, ty: T) -> Option<Alu> {
    use tessera_ptx::modifier::MulHalf as H;
    let sat = inst.has(Flag::Sat);
    Some(match (inst.op, inst.mul_half(), ty) {
        (O::Mad, Some(H::Hi), T::S32) if sat => Alu::MadHiSatS32,
        (O::Mad24, Some(H::Hi), T::S32) if sat => Alu::Mad24HiSatS32,
        (O::Mad | O::Mad24, _, _) if sat => return None,
        (O::Mad, Some(H::Lo), T::U16 | T::S16) => Alu::MadLo16,
        (O::Mad, Some(H::Lo), T::U32 | T::S32) => Alu::MadLo32,
        (O::Mad, Some(H::Lo), T::U64 | T::S64) => Alu::MadLo64,
        (O::Mad, Some(H::Hi), T::U16) => Alu::MadHiU16,
        (O::Mad, Some(H::Hi), T::S16) => Alu::MadHiS16,
        (O::Mad, Some(H::Hi), T::U32) => Alu::MadHiU32,
        (O::Mad, Some(H::Hi), T::S32) => Alu::MadHiS32,
        (O::Mad, Some(H::Hi), T::U64) => Alu::MadHiU64,
        (O::Mad, Some(H::Hi), T::S64) => Alu::MadHiS64,
        (O::Mad, Some(H::Wide), T::U16) => Alu::MadWideU16,
        (O::Mad, Some(H::Wide), T::S16) => Alu::MadWideS16,
        (O::Mad, Some(H::Wide), T::U32) => Alu::MadWideU32,
        (O::Mad, Some(H::Wide), T::S32) => Alu::MadWideS32,
        (O::Mad24, Some(H::Lo), T::U32) => Alu::Mad24LoU32,
        (O::Mad24, Some(H::Lo), T::S32) => Alu::Mad24LoS32,
        (O::Mad24, Some(H::Hi), T::U32) => Alu::Mad24HiU32,
        (O::Mad24, Some(H::Hi), T::S32) => Alu::Mad24HiS32,
        (O::Sad, _, T::U16) => Alu::SadU16,
        (O::Sad, _, T::S16) => Alu::SadS16,
        (O::Sad, _, T::U32) => Alu::SadU32,
        (O::Sad, _, T::S32) => Alu::SadS32,
        (O::Sad, _, T::U64) => Alu::SadU64,
        (O::Sad, _, T::S64) => Alu::SadS64,
        _ => return None,
    })
}

const fn prmt_bits(mode: PrmtMode) -> (PermuteMode, u32) {
    match mode {
        PrmtMode::F4e => (PermuteMode::F4e, 0),
        PrmtMode::B4e => (PermuteMode::B4e, 1),
        PrmtMode::Rc8 => (PermuteMode::Rc8, 2),
        PrmtMode::Ecl => (PermuteMode::Ecl, 3),
        PrmtMode::Ecr => (PermuteMode::Ecr, 4),
        PrmtMode::Rc16 => (PermuteMode::Rc16, 5),
    }
}

impl Lower<'_> {
    pub(super) fn integer(&mut self, inst: &PtxInst) -> Result<()> {
        let ty = inst.ty(0).map_or(T::U32, plain);
        if ty == T::Pred {
            return self.predicate_logic(inst);
        }
        if inst.has(Flag::Cc) || matches!(inst.op, O::Addc | O::Subc | O::Madc) {
            return self.carry(inst, ty);
        }
        if self.media(inst, ty)? {
            return Ok(());
        }
        if let Some(alu) = binary(inst, ty) {
            let s = [self.arg(inst, 1, ty)?, self.arg(inst, 2, ty)?];
            return self.result(inst, alu, 0, &s);
        }
        if let Some(alu) = unary(inst.op, ty) {
            let s = [self.arg(inst, 1, ty)?];
            return self.result(inst, alu, u32::from(inst.has(Flag::ShiftAmt)), &s);
        }
        if let Some(alu) = ternary(inst, ty) {
            let third = if alu.signature().0.get(2) == Some(&Class::W64) {
                T::U64
            } else {
                T::U32
            };
            let third = if ty.bits() == 64 { ty } else { third };
            let s = [
                self.arg(inst, 1, ty)?,
                self.arg(inst, 2, ty)?,
                self.arg(inst, 3, third)?,
            ];
            return self.result(inst, alu, 0, &s);
        }
        self.bits(inst, ty)
    }

    /// Shifts, bit fields, permutations, dot products.
    #[allow(clippy::too_many_lines, reason = "a table")]
    fn bits(&mut self, inst: &PtxInst, ty: T) -> Result<()> {
        match inst.op {
            O::Shl | O::Shr => {
                let alu = match (inst.op, ty) {
                    (O::Shl, T::U16) => Alu::Shl16,
                    (O::Shl, T::U32) => Alu::Shl32,
                    (O::Shl, T::U64) => Alu::Shl64,
                    (O::Shr, T::U16) => Alu::ShrU16,
                    (O::Shr, T::S16) => Alu::ShrS16,
                    (O::Shr, T::U32) => Alu::ShrU32,
                    (O::Shr, T::S32) => Alu::ShrS32,
                    (O::Shr, T::U64) => Alu::ShrU64,
                    (O::Shr, T::S64) => Alu::ShrS64,
                    _ => return self.refuse("this type"),
                };
                let s = [self.arg(inst, 1, ty)?, self.arg(inst, 2, T::U32)?];
                self.result(inst, alu, 0, &s)
            }
            O::Shf => self.funnel(inst),
            O::Lop3 => self.lop3(inst),
            O::Prmt => {
                let s = [
                    self.arg(inst, 1, ty)?,
                    self.arg(inst, 2, ty)?,
                    self.arg(inst, 3, ty)?,
                ];
                let mode = inst.mods.iter().find_map(|m| match m {
                    Mod::Prmt(mode) => Some(prmt_bits(*mode).1),
                    _ => None,
                });
                match mode {
                    None => self.result(inst, Alu::Prmt, 0, &s),
                    Some(x) => self.result(inst, Alu::PrmtMode, x, &s),
                }
            }
            O::Bfe => {
                let alu = match ty {
                    T::U32 => Alu::BfeU32,
                    T::S32 => Alu::BfeS32,
                    T::U64 => Alu::BfeU64,
                    T::S64 => Alu::BfeS64,
                    _ => return self.refuse("this type"),
                };
                let s = [
                    self.arg(inst, 1, ty)?,
                    self.arg(inst, 2, T::U32)?,
                    self.arg(inst, 3, T::U32)?,
                ];
                self.result(inst, alu, 0, &s)
            }
            O::Bfi => self.insert(inst, ty),
            O::Fns => {
                let s = [
                    self.arg(inst, 1, ty)?,
                    self.arg(inst, 2, ty)?,
                    self.arg(inst, 3, T::S32)?,
                ];
                self.result(inst, Alu::Fns, 0, &s)
            }
            O::Bmsk | O::Szext => {
                let alu = match (inst.op, ty) {
                    (O::Bmsk, _) => Alu::Bmsk,
                    (_, T::S32) => Alu::SzextS32,
                    _ => Alu::SzextU32,
                };
                let s = [self.arg(inst, 1, ty)?, self.arg(inst, 2, T::U32)?];
                self.result(inst, alu, u32::from(inst.has(Flag::Clamp)), &s)
            }
            O::Dp4a | O::Dp2a => {
                let signed = |n| u32::from(inst.ty(n).is_some_and(T::is_signed));
                let hi = inst.mul_half() == Some(tessera_ptx::modifier::MulHalf::Hi);
                let x = signed(0) | signed(1) << 1 | u32::from(hi) << 2;
                let alu = if inst.op == O::Dp4a { Alu::Dp4a } else { Alu::Dp2a };
                let s = [
                    self.arg(inst, 1, T::U32)?,
                    self.arg(inst, 2, T::U32)?,
                    self.arg(inst, 3, T::U32)?,
                ];
                self.result(inst, alu, x, &s)
            }
            O::GriddepcontrolWait => Ok(()),
            _ => self.refuse("this instruction is not executed"),
        }
    }

    fn funnel(&mut self, inst: &PtxInst) -> Result<()> {
        let s = [
            self.arg(inst, 1, T::U32)?,
            self.arg(inst, 2, T::U32)?,
            self.arg(inst, 3, T::U32)?,
        ];
        let (left, clamp) = (inst.has(Flag::Left), inst.has(Flag::Clamp));
        if s[0] == s[1] && !clamp {
            let alu = if left { Alu::RotL } else { Alu::RotR };
            return self.result(inst, alu, 0, &[s[0], s[2]]);
        }
        let alu = match (left, clamp) {
            (true, false) => Alu::ShfLWrap,
            (true, true) => Alu::ShfLClamp,
            (false, false) => Alu::ShfRWrap,
            (false, true) => Alu::ShfRClamp,
        };
        self.result(inst, alu, 0, &s)
    }

    fn lop3(&mut self, inst: &PtxInst) -> Result<()> {
        let Some(Operand::Int(lut)) = inst.operands.get(4) else {
            return self.refuse("the table is not a constant");
        };
        let lut = u32::from(lut.to_le_bytes()[0]);
        let s = [
            self.arg(inst, 1, T::U32)?,
            self.arg(inst, 2, T::U32)?,
            self.arg(inst, 3, T::U32)?,
        ];
        let Some(op) = inst.bool_op() else {
            return self.result(inst, Alu::Lop3, lut, &s);
        };
        // `d|p`: whether any bit is set, combined with a predicate. That is read before `p`, which may be the same, is written.
        let (d, p) = self.dest_pair(inst, Class::W32)?;
        let q = self.arg(inst, 5, T::Pred)?;
        let (value, zero) = (self.alu(Alu::Lop3, lut, &s), self.imm32(0));
        let any = self.alu(Alu::NeU32, 0, &[value, zero]);
        let any = self.combined(op, any, q);
        self.assign(d, value);
        if let Some(p) = p {
            self.mov(p, any);
        }
        Ok(())
    }

    fn insert(&mut self, inst: &PtxInst, ty: T) -> Result<()> {
        let (a, b) = (self.arg(inst, 1, ty)?, self.arg(inst, 2, ty)?);
        let (pos, len) = (self.arg(inst, 3, T::U32)?, self.arg(inst, 4, T::U32)?);
        // Four operands: position and length travel together.
        let field = match (
            self.kernel.vregs[pos as usize].konst,
            self.kernel.vregs[len as usize].konst,
        ) {
            (Some(Konst::Imm(pos)), Some(Konst::Imm(len))) => {
                self.konst(Class::W32, Konst::Imm(pos & 255 | (len & 255) << 8))
            }
            _ => self.join(&[pos, len], 8),
        };
        let alu = if ty == T::U64 { Alu::Bfi64 } else { Alu::Bfi32 };
        self.result(inst, alu, 0, &[a, b, field])
    }

    /// The condition code of the function being lowered.
    fn carry_register(&mut self) -> V {
        if let Some(v) = self.scope().carry {
            return v;
        }
        let v = self.temp(Class::Pred);
        self.scope_mut().carry = Some(v);
        v
    }

    /// `add.cc`, `addc`, `sub.cc`, `subc`, `mad.cc`, `madc`.
    fn carry(&mut self, inst: &PtxInst, ty: T) -> Result<()> {
        let wide = ty.bits() == 64;
        let cc = self.carry_register();
        let carry_in = match inst.op {
            O::Addc | O::Subc | O::Madc => cc,
            _ => self.pred(PredOp::False, &[]),
        };
        let (mut a, mut b) = (self.arg(inst, 1, ty)?, self.arg(inst, 2, ty)?);
        if matches!(inst.op, O::Mad | O::Madc) {
            let high = inst.mul_half() == Some(tessera_ptx::modifier::MulHalf::Hi);
            let product = match (high, ty) {
                (false, T::U32 | T::S32) => Alu::MulLo32,
                (false, _) => Alu::MulLo64,
                (true, T::U32) => Alu::MulHiU32,
                (true, T::S32) => Alu::MulHiS32,
                (true, T::U64) => Alu::MulHiU64,
                (true, _) => Alu::MulHiS64,
            };
            a = self.alu(product, 0, &[a, b]);
            b = self.arg(inst, 3, ty)?;
        }
        let (value, out) = match (matches!(inst.op, O::Sub | O::Subc), wide) {
            (false, false) => (Alu::AddC32, Alu::AddCOut32),
            (false, true) => (Alu::AddC64, Alu::AddCOut64),
            (true, false) => (Alu::SubC32, Alu::SubCOut32),
            (true, true) => (Alu::SubC64, Alu::SubCOut64),
        };
        if inst.has(Flag::Cc) {
            // The carry is computed before the destination, which may be an operand, and written after, being an operand too.
            let carry_out = self.alu(out, 0, &[a, b, carry_in]);
            self.result(inst, value, 0, &[a, b, carry_in])?;
            self.mov(cc, carry_out);
            return Ok(());
        }
        self.result(inst, value, 0, &[a, b, carry_in])
    }

    fn predicate_logic(&mut self, inst: &PtxInst) -> Result<()> {
        let op = match inst.op {
            O::And => PredOp::And,
            O::Or => PredOp::Or,
            O::Xor => PredOp::Xor,
            O::Not => PredOp::Not,
            _ => return self.refuse("not an operation on predicates"),
        };
        let mut s = vec![self.arg(inst, 1, T::Pred)?];
        if inst.op != O::Not {
            s.push(self.arg(inst, 2, T::Pred)?);
        }
        let Some(operand) = inst.operands.first() else {
            return self.refuse("no destination");
        };
        let d = self.dest(operand, Class::Pred)?;
        self.emit(crate::lir::What::Pred(op), &[d], &s);
        Ok(())
    }
}

/// The integer operation of an atomic, by type.
pub(super) const fn atom_int(op: AtomOp, signed: bool) -> Option<tessera_arith::atomics::AtomOp> {
    use tessera_arith::atomics::AtomOp as A;
    Some(match op {
        AtomOp::Add => A::Add,
        AtomOp::And => A::And,
        AtomOp::Or => A::Or,
        AtomOp::Xor => A::Xor,
        AtomOp::Exch => A::Exch,
        AtomOp::Inc => A::Inc,
        AtomOp::Dec => A::Dec,
        AtomOp::Min if signed => A::MinS,
        AtomOp::Min => A::MinU,
        AtomOp::Max if signed => A::MaxS,
        AtomOp::Max => A::MaxU,
        AtomOp::Cas | AtomOp::Popc => return None,
    })
}
