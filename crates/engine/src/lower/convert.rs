//! `cvt`.

use tessera_arith::{IntRounding, IntType};
use tessera_ptx::modifier::Rounding as R;
use tessera_ptx::{Flag, Inst as PtxInst, Type as T};

use super::{Lower, Result};
use crate::exec::alu::{Alu, Class};
use crate::exec::modifiers::{
    FTZ, INT_ROUNDING, INT_TYPE, NO_INT_ROUNDING, SAT, SATFINITE, int_rounding_bits, int_type_bits,
};
use crate::lir::V;

const fn int_type(ty: T) -> Option<IntType> {
    Some(match ty {
        T::U8 => IntType::U8,
        T::S8 => IntType::S8,
        T::U16 => IntType::U16,
        T::S16 => IntType::S16,
        T::U32 => IntType::U32,
        T::S32 => IntType::S32,
        T::U64 => IntType::U64,
        T::S64 => IntType::S64,
        _ => return None,
    })
}

const fn int_rounding(r: R) -> Option<IntRounding> {
    Some(match r {
        R::Rni => IntRounding::Rni,
        R::Rzi => IntRounding::Rzi,
        R::Rmi => IntRounding::Rmi,
        R::Rpi => IntRounding::Rpi,
        _ => return None,
    })
}

/// Everything that a conversion's immediate may carry.
fn immediate(inst: &PtxInst, int: Option<IntType>) -> u32 {
    let integral = inst.rounding().and_then(int_rounding);
    let satfinite = if inst.has(Flag::Satfinite) { SATFINITE } else { 0 };
    // `.rna` only exists for tf32, which takes the bits of `.rp` for it.
    let rna = if inst.rounding() == Some(R::Rna) { 3 } else { 0 };
    super::float::immediate(inst)
        | rna
        | satfinite
        | int.map_or(0, int_type_bits) << INT_TYPE
        | integral.map_or(NO_INT_ROUNDING, int_rounding_bits) << INT_ROUNDING
}

impl Lower<'_> {
    pub(super) fn convert(&mut self, inst: &PtxInst) -> Result<()> {
        let (Some(to), Some(from)) = (inst.ty(0), inst.ty(1)) else {
            return self.refuse("types are missing");
        };
        let value = match (int_type(to), int_type(from)) {
            (Some(to_int), Some(from_int)) => {
                let a = self.raw(inst, 1)?;
                self.int_to_int(inst, to_int, from_int, a)?
            }
            (Some(to_int), None) => self.float_to_int(inst, to_int, from)?,
            (None, Some(from_int)) => self.int_to_float(inst, to, from_int)?,
            (None, None) => self.float_to_float(inst, to, from)?,
        };
        let Some(operand) = inst.operands.first() else {
            return self.refuse("no destination");
        };
        let d = self.dest(operand, self.class(value))?;
        let value = match (self.class(value), self.class(d)) {
            // A wider destination takes the sign of the instruction's type.
            (Class::W32, Class::W64) if to.is_signed() => self.alu(Alu::Sx32To64, 0, &[value]),
            _ => value,
        };
        self.assign(d, value);
        Ok(())
    }

    /// A source in whatever width its register has.
    fn raw(&mut self, inst: &PtxInst, n: usize) -> Result<V> {
        match inst.operands.get(n) {
            Some(tessera_ptx::Operand::Reg(reg)) => Ok(self.register(*reg)),
            Some(tessera_ptx::Operand::Special(special)) => self.arg(inst, n, special.ty()),
            _ => {
                let ty = inst.ty(1).unwrap_or(T::U32);
                self.arg(inst, n, ty)
            }
        }
    }

    fn int_to_int(&mut self, inst: &PtxInst, to: IntType, from: IntType, a: V) -> Result<V> {
        if inst.has(Flag::Sat) {
            let x = int_type_bits(to) | int_type_bits(from) << 4 | 256;
            let alu = match (self.class(a), to.bits() == 64) {
                (Class::W64, true) => Alu::IntToInt64,
                (Class::W64, false) => Alu::IntToInt64To32,
                (_, true) => Alu::IntToInt32To64,
                (_, false) => Alu::IntToInt32,
            };
            return Ok(self.alu(alu, x, &[a]));
        }
        // The value as its type says, in the width of the source...
        let from_class = if from.bits() == 64 { Class::W64 } else { Class::W32 };
        let a = self.coerce(a, from_class);
        let a = self.trim(from, a);
        if to.bits() == 64 {
            return Ok(match (from_class, from.is_signed()) {
                (Class::W64, _) => a,
                (_, true) => self.alu(Alu::Sx32To64, 0, &[a]),
                (_, false) => self.alu(Alu::Zx32To64, 0, &[a]),
            });
        }
        // ... then cut to the destination's type.
        let a = self.coerce(a, Class::W32);
        Ok(
            if to.bits() < from.bits() || to.bits() < 32 && to.is_signed() != from.is_signed() {
                self.trim(to, a)
            } else {
                a
            },
        )
    }

    /// Cuts a 32-bit register to a narrow type and extends it again.
    fn trim(&mut self, ty: IntType, a: V) -> V {
        match ty {
            IntType::U8 => self.alu(Alu::Zx8, 0, &[a]),
            IntType::S8 => self.alu(Alu::Sx8, 0, &[a]),
            IntType::U16 => self.alu(Alu::Zx16, 0, &[a]),
            IntType::S16 => self.alu(Alu::Sx16, 0, &[a]),
            _ => a,
        }
    }

    fn float_to_int(&mut self, inst: &PtxInst, to: IntType, from: T) -> Result<V> {
        let a = self.arg(inst, 1, from)?;
        let x = immediate(inst, Some(to));
        let plain = inst.rounding() == Some(R::Rzi) && !inst.has(Flag::Ftz);
        let wide = to.bits() == 64;
        let alu = match (from, to) {
            (T::F32, IntType::S32) if plain => Alu::F32ToS32,
            (T::F32, IntType::U32) if plain => Alu::F32ToU32,
            (T::F32, IntType::S64) if plain => Alu::F32ToS64,
            (T::F32, IntType::U64) if plain => Alu::F32ToU64,
            (T::F64, IntType::S32) if plain => Alu::F64ToS32,
            (T::F64, IntType::U32) if plain => Alu::F64ToU32,
            (T::F64, IntType::S64) if plain => Alu::F64ToS64,
            (T::F32, _) if wide => Alu::F32ToInt64,
            (T::F32, _) => Alu::F32ToInt32,
            (T::F64, _) if wide => Alu::F64ToInt64,
            (T::F64, _) => Alu::F64ToInt32,
            (T::F16, _) if wide => Alu::F16ToInt64,
            (T::F16, _) => Alu::F16ToInt32,
            (T::Bf16, _) if wide => Alu::Bf16ToInt64,
            (T::Bf16, _) => Alu::Bf16ToInt32,
            _ => return self.refuse("this conversion"),
        };
        Ok(self.alu(alu, x, &[a]))
    }

    fn int_to_float(&mut self, inst: &PtxInst, to: T, from: IntType) -> Result<V> {
        let a = self.raw(inst, 1)?;
        let a = self.coerce(a, if from.bits() == 64 { Class::W64 } else { Class::W32 });
        let x = immediate(inst, Some(from));
        let nearest = matches!(inst.rounding(), None | Some(R::Rn));
        let wide = from.bits() == 64;
        let alu = match (to, from) {
            (T::F32, IntType::S32) if nearest => Alu::S32ToF32,
            (T::F32, IntType::U32) if nearest => Alu::U32ToF32,
            (T::F64, IntType::S32) if nearest => Alu::S32ToF64,
            (T::F64, IntType::U32) if nearest => Alu::U32ToF64,
            (T::F32, _) if wide => Alu::Int64ToF32,
            (T::F32, _) => Alu::Int32ToF32,
            (T::F64, _) if wide => Alu::Int64ToF64,
            (T::F64, _) => Alu::Int32ToF64,
            (T::F16, _) if wide => Alu::Int64ToF16,
            (T::F16, _) => Alu::Int32ToF16,
            (T::Bf16, _) if wide => Alu::Int64ToBf16,
            (T::Bf16, _) => Alu::Int32ToBf16,
            _ => return self.refuse("this conversion"),
        };
        let value = self.alu(alu, x, &[a]);
        if !inst.has(Flag::Sat) {
            return Ok(value);
        }
        let saturate = NO_INT_ROUNDING << INT_ROUNDING | SAT;
        Ok(match to {
            T::F32 => self.alu(Alu::F32ToF32, saturate, &[value]),
            T::F64 => self.alu(Alu::F64ToF64, saturate, &[value]),
            T::F16 => self.alu(Alu::F16ToF16, saturate, &[value]),
            _ => return self.refuse("this conversion with .sat"),
        })
    }

    fn float_to_float(&mut self, inst: &PtxInst, to: T, from: T) -> Result<V> {
        let x = immediate(inst, None);
        if inst.rounding() == Some(R::Rs) {
            return self.stochastic(inst, to, x);
        }
        let two = inst.operands.len() == 3;
        let plain_half = x & !(7 << INT_ROUNDING) == 0;
        let alu = match (to, from) {
            (T::F32, T::F32) => Alu::F32ToF32,
            (T::F64, T::F64) => Alu::F64ToF64,
            (T::F16, T::F16) => Alu::F16ToF16,
            (T::Bf16, T::Bf16) => Alu::Bf16ToBf16,
            (T::F64, T::F32) => Alu::F32ToF64,
            (T::F32, T::F64) => Alu::F64ToF32,
            (T::F32, T::F16) => Alu::F16ToF32,
            (T::F32, T::Bf16) => Alu::Bf16ToF32,
            (T::F64, T::F16) => Alu::F16ToF64,
            (T::F64, T::Bf16) => Alu::Bf16ToF64,
            (T::F16, T::F64) => Alu::F64ToF16,
            (T::Bf16, T::F64) => Alu::F64ToBf16,
            (T::Bf16, T::F16) => Alu::F16ToBf16,
            (T::F16, T::Bf16) => Alu::Bf16ToF16,
            (T::F16, T::F32) if plain_half => Alu::F32ToF16Rn,
            (T::F16, T::F32) => Alu::F32ToF16,
            (T::Bf16, T::F32) => Alu::F32ToBf16,
            (T::Tf32, T::F32) => Alu::F32ToTf32,
            (T::F16x2, T::F32) if two => Alu::F32ToF16x2,
            (T::Bf16x2, T::F32) if two => Alu::F32ToBf16x2,
            (T::E4m3x2, T::F32) => Alu::F32ToE4m3x2,
            (T::E5m2x2, T::F32) => Alu::F32ToE5m2x2,
            (T::E4m3x2, T::F16x2) => Alu::F16x2ToE4m3x2,
            (T::E5m2x2, T::F16x2) => Alu::F16x2ToE5m2x2,
            (T::E4m3x2, T::Bf16x2) => Alu::Bf16x2ToE4m3x2,
            (T::E5m2x2, T::Bf16x2) => Alu::Bf16x2ToE5m2x2,
            (T::F16x2, T::E4m3x2) => Alu::E4m3x2ToF16x2,
            (T::F16x2, T::E5m2x2) => Alu::E5m2x2ToF16x2,
            _ => match self.tiny(inst, to, from, x)? {
                Some(value) => return Ok(value),
                None => return self.refuse("this conversion"),
            },
        };
        let mut s = Vec::new();
        for n in 1..inst.operands.len() {
            s.push(self.arg(inst, n, from)?);
        }
        if s.len() != alu.signature().0.len() {
            return self.refuse("this conversion with this number of operands");
        }
        let mut value = self.alu(alu, x, &s);
        // Saturation and flushing of what the lane functions do not take them for.
        let late = x & (SAT | FTZ);
        if late != 0 && matches!(alu, Alu::F16ToF32 | Alu::Bf16ToF32) {
            value = self.alu(Alu::F32ToF32, NO_INT_ROUNDING << INT_ROUNDING | late, &[value]);
        } else if late & SAT != 0 && matches!(alu, Alu::F16ToF64 | Alu::Bf16ToF64) {
            value = self.alu(Alu::F64ToF64, NO_INT_ROUNDING << INT_ROUNDING | SAT, &[value]);
        } else if late == SAT && matches!(alu, Alu::F64ToF16 | Alu::Bf16ToF16) {
            value = self.alu(Alu::F16ToF16, NO_INT_ROUNDING << INT_ROUNDING | SAT, &[value]);
        } else if late != 0
            && matches!(
                alu,
                Alu::F64ToF16 | Alu::F64ToBf16 | Alu::F16ToBf16 | Alu::Bf16ToF16
            )
        {
            return self.refuse("this conversion with .sat or .ftz");
        }
        Ok(value)
    }
}
