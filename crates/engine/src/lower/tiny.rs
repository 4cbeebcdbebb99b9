//! `cvt` to and from the formats of 4, 6 and 8 bits that go through `f32`, and stochastic rounding.

use tessera_arith::convert::Tiny;
use tessera_ptx::{Flag, Inst as PtxInst, Operand, Type as T};

use super::{Lower, Result};
use crate::exec::alu::Alu;
use crate::exec::media::tiny_bits;
use crate::lir::V;

/// The tiny format of a packed type, the bits that an element takes, how many elements there are.
const fn shape(ty: T) -> Option<(Tiny, u32, usize)> {
    Some(match ty {
        T::E4m3x2 => (Tiny::E4m3, 8, 2),
        T::E5m2x2 => (Tiny::E5m2, 8, 2),
        T::E2m3x2 => (Tiny::E2m3, 8, 2),
        T::E3m2x2 => (Tiny::E3m2, 8, 2),
        T::E2m1x2 => (Tiny::E2m1, 4, 2),
        T::E4m3x4 => (Tiny::E4m3, 8, 4),
        T::E5m2x4 => (Tiny::E5m2, 8, 4),
        T::E2m3x4 => (Tiny::E2m3, 8, 4),
        T::E3m2x4 => (Tiny::E3m2, 8, 4),
        T::E2m1x4 => (Tiny::E2m1, 4, 4),
        _ => return None,
    })
}

impl Lower<'_> {
    /// Lowers a conversion that belongs here to its value; `x` has the modifiers.
    pub(super) fn tiny(&mut self, inst: &PtxInst, to: T, from: T, x: u32) -> Result<Option<V>> {
        let value = match (to, from) {
            (T::Ue8m0x2, T::F32 | T::Bf16x2) => {
                let parts = self.singles(inst, from)?;
                let parts: Vec<V> = parts
                    .iter()
                    .map(|&v| self.alu(Alu::F32ToUe8m0, x, &[v]))
                    .collect();
                self.join(&parts, 8)
            }
            (T::Bf16x2, T::Ue8m0x2) => {
                let a = self.arg(inst, 1, T::B16)?;
                let parts = [0, 8].map(|at| self.bits_of(a, at, 8));
                let parts = parts.map(|v| self.alu(Alu::Ue8m0ToBf16, 0, &[v]));
                self.join(&parts, 16)
            }
            (T::Bf16x2, T::S2f6x2) => self.fixed_to_half(inst, x)?,
            (T::S2f6x2, _) => return self.refuse("to fixed-point numbers"),
            (_, T::F32 | T::F16x2 | T::Bf16x2) => {
                let Some((format, bits, 2)) = shape(to) else {
                    return Ok(None);
                };
                let x = x & crate::exec::modifiers::RELU | tiny_bits(format);
                let parts = self.singles(inst, from)?;
                let parts: Vec<V> = parts.iter().map(|&v| self.alu(Alu::F32ToTiny, x, &[v])).collect();
                self.join_small(&parts, bits)
            }
            (T::F16x2 | T::Bf16x2, _) => {
                let Some((format, bits, 2)) = shape(from) else {
                    return Ok(None);
                };
                let a = self.arg(inst, 1, T::B16)?;
                let mut parts = Vec::new();
                // The first operand of the packing conversion makes the high half.
                for at in [bits, 0] {
                    let amount = self.imm32(at);
                    let part = self.alu(Alu::ShrU32, 0, &[a, amount]);
                    parts.push(self.alu(Alu::TinyToF32, tiny_bits(format), &[part]));
                }
                let alu = if to == T::F16x2 {
                    Alu::F32ToF16x2
                } else {
                    Alu::F32ToBf16x2
                };
                self.alu(alu, x, &parts)
            }
            _ => return Ok(None),
        };
        Ok(Some(value))
    }

    /// The sources as single-precision numbers, lowest element of the result first.
    fn singles(&mut self, inst: &PtxInst, from: T) -> Result<Vec<V>> {
        if from == T::F32 {
            // The first operand makes the highest element.
            return (1..inst.operands.len())
                .rev()
                .map(|n| self.arg(inst, n, T::F32))
                .collect();
        }
        let widen = if from == T::F16x2 {
            Alu::F16ToF32
        } else {
            Alu::Bf16ToF32
        };
        let a = self.arg(inst, 1, from)?;
        let halves = [0, 16].map(|at| self.bits_of(a, at, 16));
        Ok(halves.map(|v| self.alu(widen, 0, &[v])).to_vec())
    }

    /// Joins elements of 4 or 8 bits, of which nothing is set above those.
    fn join_small(&mut self, parts: &[V], bits: u32) -> V {
        let mut value = self.imm32(0);
        for (i, &part) in (0u32..).zip(parts) {
            let at = self.imm32(i * bits);
            let moved = if i == 0 {
                part
            } else {
                self.alu(Alu::Shl32, 0, &[part, at])
            };
            value = if i == 0 {
                moved
            } else {
                self.alu(Alu::Or32, 0, &[value, moved])
            };
        }
        value
    }

    fn fixed_to_half(&mut self, inst: &PtxInst, x: u32) -> Result<V> {
        let a = self.arg(inst, 1, T::B16)?;
        let scale = if inst.has(Flag::ScaledN2Ue8m0) {
            self.arg(inst, 2, T::B16)?
        } else {
            // 2^0 for both.
            self.imm32(0x7f7f)
        };
        let mut parts = Vec::new();
        for at in [0, 8] {
            let s = [self.bits_of(a, at, 8), self.bits_of(scale, at, 8)];
            parts.push(self.alu(Alu::S2f6ToBf16, x, &s));
        }
        Ok(self.join(&parts, 16))
    }

    /// `.rs`: the last operand has the random bits.
    pub(super) fn stochastic(&mut self, inst: &PtxInst, to: T, x: u32) -> Result<V> {
        let Some(last) = inst.operands.len().checked_sub(1) else {
            return self.refuse("operands are missing");
        };
        let random = self.arg(inst, last, T::B32)?;
        let half = match to {
            T::F16x2 => Some(Alu::F32ToF16Rs),
            T::Bf16x2 => Some(Alu::F32ToBf16Rs),
            _ => None,
        };
        if let Some(alu) = half {
            let mut parts = Vec::new();
            for (n, at) in [(2, 0), (1, 16)] {
                let s = [self.arg(inst, n, T::F32)?, self.bits_of(random, at, 16)];
                parts.push(self.alu(alu, x, &s));
            }
            return Ok(self.join(&parts, 16));
        }
        let (Some((format, bits, 4)), Some(Operand::Vec(sources))) = (shape(to), inst.operands.get(1)) else {
            return self.refuse("this conversion with random bits");
        };
        if format == Tiny::E2m1 {
            return self.refuse("which random bits round which of four values is not settled");
        }
        let x = x & crate::exec::modifiers::RELU | tiny_bits(format);
        let mut parts = Vec::new();
        // The first two sources, which make the highest elements, share the upper half of the random bits.
        for (source, at) in sources.iter().zip([16, 16, 0, 0]).rev() {
            let s = [self.source(source, T::F32)?, self.bits_of(random, at, 16)];
            parts.push(self.alu(Alu::F32ToTinyRs, x, &s));
        }
        Ok(self.join_small(&parts, bits))
    }
}
