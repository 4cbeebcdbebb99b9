//! Floating-point arithmetic, half precision and packed forms included.

use tessera_ptx::modifier::Rounding as R;
use tessera_ptx::{Flag, Inst as PtxInst, Opcode as O, Type as T};

use super::{Lower, Result};
use crate::exec::alu::Alu;
use crate::exec::modifiers::{ABS, FTZ, NAN, RELU, SAT, XORSIGN, rounding_bits};

/// The modifiers of an instruction as an immediate.
pub(super) fn immediate(inst: &PtxInst) -> u32 {
    let rounding = match inst.rounding() {
        Some(R::Rz) => rounding_bits(tessera_arith::Rounding::Rz),
        Some(R::Rm) => rounding_bits(tessera_arith::Rounding::Rm),
        Some(R::Rp) => rounding_bits(tessera_arith::Rounding::Rp),
        _ => rounding_bits(tessera_arith::Rounding::Rn),
    };
    let flag = |f, bit| if inst.has(f) { bit } else { 0 };
    rounding
        | flag(Flag::Ftz, FTZ)
        | flag(Flag::Sat, SAT)
        | flag(Flag::Relu, RELU)
        | flag(Flag::Nan, NAN)
        | flag(Flag::Abs, ABS)
        | flag(Flag::XorSign, XORSIGN)
}

/// One operand. The common form, then the one that looks at the immediate.
fn unary(inst: &PtxInst, ty: T, x: u32) -> Option<Alu> {
    let approx = inst.has(Flag::Approx);
    let plain = x == 0;
    Some(match (inst.op, ty) {
        (O::Abs, T::F32) if x == FTZ => Alu::AbsFtzF32,
        (O::Neg, T::F32) if x == FTZ => Alu::NegFtzF32,
        (O::Abs, T::F32) => Alu::AbsF32,
        (O::Neg, T::F32) => Alu::NegF32,
        (O::Abs, T::F64) => Alu::AbsF64,
        (O::Neg, T::F64) => Alu::NegF64,
        (O::Abs, T::F16) => Alu::AbsF16,
        (O::Neg, T::F16) => Alu::NegF16,
        (O::Abs, T::F16x2) => Alu::AbsF16x2,
        (O::Neg, T::F16x2) => Alu::NegF16x2,
        (O::Abs, T::Bf16) => Alu::AbsBf16,
        (O::Neg, T::Bf16) => Alu::NegBf16,
        (O::Abs, T::Bf16x2) => Alu::AbsBf16x2,
        (O::Neg, T::Bf16x2) => Alu::NegBf16x2,
        (O::Rcp, T::F32) if approx => Alu::RcpApproxF32,
        (O::Rcp, T::F64) if approx => Alu::RcpApproxF64,
        (O::Rcp, T::F32) if plain => Alu::RcpF32,
        (O::Rcp, T::F32) => Alu::RcpXF32,
        (O::Rcp, T::F64) if plain => Alu::RcpF64,
        (O::Rcp, T::F64) => Alu::RcpXF64,
        (O::Sqrt, T::F32) if approx => Alu::SqrtApproxF32,
        (O::Sqrt, T::F32) if plain => Alu::SqrtF32,
        (O::Sqrt, T::F32) => Alu::SqrtXF32,
        (O::Sqrt, T::F64) if plain => Alu::SqrtF64,
        (O::Sqrt, T::F64) => Alu::SqrtXF64,
        (O::Rsqrt, T::F32) => Alu::RsqrtApproxF32,
        (O::Rsqrt, T::F64) if inst.has(Flag::Ftz) => Alu::RsqrtApproxFtzF64,
        (O::Rsqrt, T::F64) => Alu::RsqrtApproxF64,
        (O::Sin, T::F32) => Alu::SinApproxF32,
        (O::Cos, T::F32) => Alu::CosApproxF32,
        (O::Lg2, T::F32) => Alu::Lg2ApproxF32,
        (O::Ex2, T::F32) => Alu::Ex2ApproxF32,
        (O::Ex2, T::F16) => Alu::Ex2F16,
        (O::Ex2, T::F16x2) => Alu::Ex2F16x2,
        (O::Ex2, T::Bf16) => Alu::Ex2Bf16,
        (O::Ex2, T::Bf16x2) => Alu::Ex2Bf16x2,
        (O::Tanh, T::F32) => Alu::TanhApproxF32,
        (O::Tanh, T::F16) => Alu::TanhF16,
        (O::Tanh, T::F16x2) => Alu::TanhF16x2,
        (O::Tanh, T::Bf16) => Alu::TanhBf16,
        (O::Tanh, T::Bf16x2) => Alu::TanhBf16x2,
        _ => return None,
    })
}

fn binary(inst: &PtxInst, ty: T, x: u32) -> Option<Alu> {
    let plain = x == 0;
    macro_rules! arithmetic {
        ($f32:ident $ftz:ident $x32:ident $f64:ident $x64:ident $f16:ident $f16x2:ident $bf16:ident $bf16x2:ident) => {
            match ty {
                T::F32 if plain => Alu::$f32,
                T::F32 if x == FTZ => Alu::$ftz,
                T::F32 => Alu::$x32,
                T::F64 if plain => Alu::$f64,
                T::F64 => Alu::$x64,
                T::F16 => Alu::$f16,
                T::F16x2 => Alu::$f16x2,
                T::Bf16 => Alu::$bf16,
                T::Bf16x2 => Alu::$bf16x2,
                _ => return None,
            }
        };
    }
    Some(match (inst.op, ty) {
        (O::Add, _) => arithmetic!(AddF32 AddFtzF32 AddXF32 AddF64 AddXF64 AddF16 AddF16x2 AddBf16 AddBf16x2),
        (O::Sub, _) => arithmetic!(SubF32 SubFtzF32 SubXF32 SubF64 SubXF64 SubF16 SubF16x2 SubBf16 SubBf16x2),
        (O::Mul, _) => arithmetic!(MulF32 MulFtzF32 MulXF32 MulF64 MulXF64 MulF16 MulF16x2 MulBf16 MulBf16x2),
        (O::Div, T::F32) if inst.has(Flag::Approx) => Alu::DivApproxF32,
        (O::Div, T::F32) if inst.has(Flag::Full) => Alu::DivFullF32,
        (O::Div, T::F32) if plain => Alu::DivF32,
        (O::Div, T::F32) => Alu::DivXF32,
        (O::Div, T::F64) if plain => Alu::DivF64,
        (O::Div, T::F64) => Alu::DivXF64,
        (O::Copysign, T::F32) => Alu::CopysignF32,
        (O::Copysign, T::F64) => Alu::CopysignF64,
        (O::Min, T::F32) if plain => Alu::MinF32,
        (O::Max, T::F32) if plain => Alu::MaxF32,
        (O::Min, T::F32) => Alu::MinXF32,
        (O::Max, T::F32) => Alu::MaxXF32,
        (O::Min, T::F64) => Alu::MinF64,
        (O::Max, T::F64) => Alu::MaxF64,
        (O::Min, T::F16) => Alu::MinF16,
        (O::Max, T::F16) => Alu::MaxF16,
        (O::Min, T::F16x2) => Alu::MinF16x2,
        (O::Max, T::F16x2) => Alu::MaxF16x2,
        (O::Min, T::Bf16) => Alu::MinBf16,
        (O::Max, T::Bf16) => Alu::MaxBf16,
        (O::Min, T::Bf16x2) => Alu::MinBf16x2,
        (O::Max, T::Bf16x2) => Alu::MaxBf16x2,
        _ => return None,
    })
}

fn ternary(op: O, ty: T, x: u32) -> Option<Alu> {
    Some(match (op, ty) {
        (O::Fma | O::Mad, T::F32) if x == 0 => Alu::FmaF32,
        (O::Fma | O::Mad, T::F32) if x == FTZ => Alu::FmaFtzF32,
        (O::Fma | O::Mad, T::F32) => Alu::FmaXF32,
        (O::Fma | O::Mad, T::F64) if x == 0 => Alu::FmaF64,
        (O::Fma | O::Mad, T::F64) => Alu::FmaXF64,
        (O::Fma, T::F16) => Alu::FmaF16,
        (O::Fma, T::F16x2) => Alu::FmaF16x2,
        (O::Fma, T::Bf16) => Alu::FmaBf16,
        (O::Fma, T::Bf16x2) => Alu::FmaBf16x2,
        (O::Min, T::F32) => Alu::Min3F32,
        (O::Max, T::F32) => Alu::Max3F32,
        _ => return None,
    })
}

impl Lower<'_> {
    pub(super) fn float(&mut self, inst: &PtxInst) -> Result<()> {
        let Some(ty) = inst.ty(0) else {
            return self.refuse("no type");
        };
        if let Some(half @ (T::F16 | T::Bf16)) = inst.ty(1)
            && ty == T::F32
        {
            return self.mixed(inst, half);
        }
        if inst.ty(1).is_some() {
            return self.refuse("this instruction of these types is not executed");
        }
        if ty == T::F32x2 {
            return self.float_pair(inst);
        }
        if inst.has(Flag::Oob) {
            return self.fma_oob(inst, ty);
        }
        let x = immediate(inst);
        let found = match inst.operands.len() {
            2 => unary(inst, ty, x),
            3 => binary(inst, ty, x),
            4 => ternary(inst.op, ty, x),
            _ => None,
        };
        let Some(alu) = found else {
            return self.refuse("this instruction of this type is not executed");
        };
        let mut s = Vec::new();
        for n in 1..inst.operands.len() {
            s.push(self.arg(inst, n, ty)?);
        }
        self.result(inst, alu, x, &s)
    }

    /// `add`, `sub`, `fma` of `.f32` with halves as first operands: those are widened, which is exact.
    fn mixed(&mut self, inst: &PtxInst, half: T) -> Result<()> {
        let (alu, narrow) = match inst.op {
            O::Add => (Alu::AddXF32, 1),
            O::Sub => (Alu::SubXF32, 1),
            O::Fma => (Alu::FmaXF32, 2),
            _ => return self.refuse("this instruction of mixed precision"),
        };
        let widen = if half == T::F16 {
            Alu::F16ToF32
        } else {
            Alu::Bf16ToF32
        };
        let mut s = Vec::new();
        for n in 1..inst.operands.len() {
            s.push(if n <= narrow {
                let v = self.arg(inst, n, half)?;
                self.alu(widen, 0, &[v])
            } else {
                self.arg(inst, n, T::F32)?
            });
        }
        self.result(inst, alu, immediate(inst), &s)
    }

    /// `fma.oob`. The high half of a register that holds one number is zero, and so is what it gives: -0 does not come of it.
    fn fma_oob(&mut self, inst: &PtxInst, ty: T) -> Result<()> {
        let alu = match ty {
            T::F16 | T::F16x2 => Alu::FmaOobF16x2,
            T::Bf16 | T::Bf16x2 => Alu::FmaOobBf16x2,
            _ => return self.refuse("this type"),
        };
        let mut s = Vec::new();
        for n in 1..inst.operands.len() {
            let v = self.arg(inst, n, ty)?;
            s.push(if ty.bits() == 16 {
                self.alu(Alu::Zx16, 0, &[v])
            } else {
                v
            });
        }
        self.result(inst, alu, immediate(inst), &s)
    }

    /// `add`, `sub`, `mul`, `fma` of `.f32x2`: one half after the other.
    fn float_pair(&mut self, inst: &PtxInst) -> Result<()> {
        let x = immediate(inst);
        let alu = match inst.op {
            O::Fma => Alu::FmaXF32,
            O::Add => Alu::AddXF32,
            O::Sub => Alu::SubXF32,
            O::Mul => Alu::MulXF32,
            _ => return self.refuse("this instruction of .f32x2"),
        };
        let mut halves = Vec::new();
        for from in [0, 32] {
            let mut s = Vec::new();
            for n in 1..inst.operands.len() {
                let v = self.arg(inst, n, T::B64)?;
                s.push(self.bits_of(v, from, 32));
            }
            if s.len() != alu.signature().0.len() {
                return self.refuse("operands are missing");
            }
            halves.push(self.alu(alu, x, &s));
        }
        self.result(inst, Alu::Pack32, 0, &halves)
    }
}
