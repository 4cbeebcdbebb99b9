//! Floating point beyond what AVX2 does in one instruction: rounding as said, fused products, least and greatest numbers.

use iced_x86::{Code, Instruction, Register, RoundingControl};

use super::super::asm::Literal;
use super::emit::Src;
use super::{Lower, Result, flow};

/// All exceptions masked, to nearest.
const MXCSR: u32 = 0x1f80;

/// The number of a rounding, in `MXCSR` as in immediates.
pub(super) const fn number(rounding: RoundingControl) -> u32 {
    match rounding {
        RoundingControl::RoundDown => 1,
        RoundingControl::RoundUp => 2,
        RoundingControl::RoundTowardZero => 3,
        _ => 0,
    }
}

impl Lower<'_> {
    /// From here on arithmetic rounds as the instruction says.
    pub(super) fn rounding(&mut self, i: &Instruction) -> Result {
        self.set_rounding(number(i.rounding_control()))
    }

    /// And from here on as always.
    pub(super) fn nearest_again(&mut self, i: &Instruction) -> Result {
        if number(i.rounding_control()) == 0 {
            return Ok(());
        }
        let control = self.literal(Literal::Double(MXCSR));
        self.out
            .push(Instruction::with1(Code::VEX_Vldmxcsr_m32, control)?);
        Ok(())
    }

    pub(super) fn set_rounding(&mut self, number: u32) -> Result {
        if number != 0 {
            let control = self.literal(Literal::Double(MXCSR | number << 13));
            self.out
                .push(Instruction::with1(Code::VEX_Vldmxcsr_m32, control)?);
        }
        Ok(())
    }

    pub(super) fn floats(&mut self, i: &Instruction) -> Result<bool> {
        use Code::*;
        match i.code() {
            EVEX_Vfmadd213ps_zmm_k1z_zmm_zmmm512b32_er => {
                self.fused(i, VEX_Vfmadd213ps_ymm_ymm_ymmm256, 4)?;
            }
            EVEX_Vfmadd213pd_zmm_k1z_zmm_zmmm512b64_er => {
                self.fused(i, VEX_Vfmadd213pd_ymm_ymm_ymmm256, 8)?;
            }
            EVEX_Vfmadd231ps_zmm_k1z_zmm_zmmm512b32_er => {
                self.fused(i, VEX_Vfmadd231ps_ymm_ymm_ymmm256, 4)?;
            }
            EVEX_Vfmadd231pd_zmm_k1z_zmm_zmmm512b64_er => {
                self.fused(i, VEX_Vfmadd231pd_ymm_ymm_ymmm256, 8)?;
            }
            EVEX_Vrndscaleps_zmm_k1z_zmmm512b32_imm8_sae if i.immediate8() < 12 => {
                self.integral(i, VEX_Vroundps_ymm_ymmm256_imm8, 4)?;
            }
            EVEX_Vrndscalepd_zmm_k1z_zmmm512b64_imm8_sae if i.immediate8() < 12 => {
                self.integral(i, VEX_Vroundpd_ymm_ymmm256_imm8, 8)?;
            }
            EVEX_Vrangeps_zmm_k1z_zmm_zmmm512b32_imm8_sae | EVEX_Vrangepd_zmm_k1z_zmm_zmmm512b64_imm8_sae
                if matches!(i.immediate8(), 4 | 5) =>
            {
                self.extreme(i)?;
            }
            // It makes signaling NaNs quiet, so that numbers win against them; here they do anyway.
            EVEX_Vfixupimmps_zmm_k1z_zmm_zmmm512b32_imm8_sae
            | EVEX_Vfixupimmpd_zmm_k1z_zmm_zmmm512b64_imm8_sae => {
                return Ok(i.op0_register() == i.op1_register() && !i.has_op_mask());
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The destination is the term or a factor.
    fn fused(&mut self, i: &Instruction, code: Code, width: u8) -> Result {
        self.rounding(i)?;
        let mut bc = None;
        self.lanes(i, width, true, |s, h, d| {
            let value = Self::half(i.op0_register(), h);
            let old = match s.bank.register(value) {
                Some(register) => Src::Reg(super::emit::ymm(register)),
                None => Src::Mem(s.home(value)),
            };
            if !matches!(old, Src::Reg(old) if old == d) {
                s.e2(Code::VEX_Vmovdqu_ymm_ymmm256, d, old)?;
            }
            let (a, b) = (s.reg(i, 1, h)?, s.src(i, 2, h, &mut bc)?);
            s.e3(code, d, a, b)
        })?;
        self.nearest_again(i)
    }

    fn integral(&mut self, i: &Instruction, code: Code, width: u8) -> Result {
        let mut bc = None;
        self.lanes(i, width, true, |s, h, d| {
            let a = s.src(i, 1, h, &mut bc)?;
            s.e2i(code, d, a, i.immediate8().into())
        })
    }

    /// The least or greatest of two, a number before NaN, -0 before +0.
    fn extreme(&mut self, i: &Instruction) -> Result {
        use Code::*;
        let single = i.code() == EVEX_Vrangeps_zmm_k1z_zmm_zmmm512b32_imm8_sae;
        let (width, compare) = if single {
            (4, VEX_Vcmpps_ymm_ymm_ymmm256_imm8)
        } else {
            (8, VEX_Vcmppd_ymm_ymm_ymmm256_imm8)
        };
        let greatest = i.immediate8() == 5;
        let code = match (single, greatest) {
            (true, false) => VEX_Vminps_ymm_ymm_ymmm256,
            (true, true) => VEX_Vmaxps_ymm_ymm_ymmm256,
            (false, false) => VEX_Vminpd_ymm_ymm_ymmm256,
            (false, true) => VEX_Vmaxpd_ymm_ymm_ymmm256,
        };
        // Of two zeros the instruction gives the second: both orders have both signs.
        let both = if greatest {
            VEX_Vpand_ymm_ymm_ymmm256
        } else {
            VEX_Vpor_ymm_ymm_ymmm256
        };
        let mut bc = None;
        self.lanes(i, width, false, |s, h, d| {
            let (a, b) = (s.reg(i, 1, h)?, s.src(i, 2, h, &mut bc)?);
            let (b, t) = (s.load(b)?, s.tmp()?);
            s.e3(code, d, a, b)?;
            s.e3(code, t, b, a)?;
            s.e3(both, d, d, t)?;
            s.e3i(compare, t, a, a, 3)?;
            s.blend(width, d, d, b, t)?;
            s.e3i(compare, t, b, b, 3)?;
            s.blend(width, d, d, a, t)
        })
    }

    /// Half `h` of the vector register of an operand that has 256 bits in all, or is narrower; as an operand of 128 bits.
    pub(super) fn part(&mut self, i: &Instruction, o: u32, h: u8, bytes: i64) -> Result<Src> {
        if i.op_kind(o) == iced_x86::OpKind::Memory {
            return Ok(Src::Mem(Self::memory_of(i, bytes * i64::from(h))));
        }
        let value = 2 * flow::vector_number(i.op_register(o)).unwrap_or(0);
        let whole = self.read(value)?;
        if h == 0 {
            return Ok(Src::Reg(super::emit::xmm(whole)));
        }
        let t = self.tmp()?;
        self.e2i(
            Code::VEX_Vextracti128_xmmm128_ymm_imm8,
            super::emit::xmm(t),
            whole,
            1,
        )?;
        Ok(Src::Reg(super::emit::xmm(t)))
    }

    /// As [`part`](Self::part); an element of memory for all lanes, or a literal, is in a register.
    pub(super) fn part_or_all(&mut self, i: &Instruction, o: u32, h: u8) -> Result<Src> {
        if let Some(literal) = self.literal_of(i) {
            let mut bytes = [0; 32];
            match literal {
                Literal::Double(value) => {
                    for to in bytes.chunks_exact_mut(4) {
                        to.copy_from_slice(&value.to_le_bytes());
                    }
                }
                Literal::Vector(whole) => bytes[..16].copy_from_slice(&whole[16 * usize::from(h)..][..16]),
                Literal::Half(whole) => bytes[..16].copy_from_slice(&whole[16 * usize::from(h)..][..16]),
                Literal::Quad(_) => {}
            }
            return Ok(self.bytes(bytes));
        }
        if i.op_kind(o) == iced_x86::OpKind::Memory && i.is_broadcast() {
            let t = self.tmp()?;
            let t = super::emit::xmm(t);
            self.e2(
                Code::VEX_Vpbroadcastd_xmm_xmmm32,
                t,
                Src::Mem(Self::memory_of(i, 0)),
            )?;
            return Ok(Src::Reg(t));
        }
        self.part(i, o, h, 16)
    }

    /// Joins the lower halves of two registers.
    pub(super) fn pair(&mut self, to: Register, low: Register, high: Register) -> Result {
        self.out.push(Instruction::with4(
            Code::VEX_Vinserti128_ymm_ymm_xmmm128_imm8,
            to,
            low,
            super::emit::xmm(high),
            1,
        )?);
        Ok(())
    }
}
