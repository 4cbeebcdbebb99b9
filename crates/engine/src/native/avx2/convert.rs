//! Conversions: those that AVX2 has with half as many lanes, and those that it does not have.
//!
//! Integers of 64 bits and unsigned ones of 32 become numbers by way of magic ones: an exponent is put above the bits, so
//! that they are those of `2^52 + n`, and subtracted again. Of the two parts of an integer only the last sum rounds.

use iced_x86::{Code, Instruction, Register};

use super::emit::{Src, xmm};
use super::float::number;
use super::{Lower, Result};

const AND: Code = Code::VEX_Vpand_ymm_ymm_ymmm256;
const OR: Code = Code::VEX_Vpor_ymm_ymm_ymmm256;
const XOR: Code = Code::VEX_Vpxor_ymm_ymm_ymmm256;
const MOVE: Code = Code::VEX_Vmovdqu_ymm_ymmm256;

/// Not less than; with NaN true.
const NOT_LESS: u32 = 5;

impl Lower<'_> {
    pub(super) fn conversion(&mut self, i: &Instruction) -> Result<bool> {
        use Code::*;
        match i.code() {
            EVEX_Vcvtps2pd_zmm_k1z_ymmm256b32_sae => self.widening(i, VEX_Vcvtps2pd_ymm_xmmm128, 8)?,
            EVEX_Vcvtdq2pd_zmm_k1z_ymmm256b32_er => self.widening(i, VEX_Vcvtdq2pd_ymm_xmmm128, 8)?,
            EVEX_Vcvtph2ps_zmm_k1z_ymmm256_sae => self.widening(i, VEX_Vcvtph2ps_ymm_xmmm128, 4)?,
            EVEX_Vcvtudq2pd_zmm_k1z_ymmm256b32_er => self.lanes_of([1, 0], i, 8, false, |s, h, d| {
                let a = s.part_or_all(i, 1, h)?;
                let magic = s.all64(0x4330 << 48);
                let magic = s.load(magic)?;
                s.e2(VEX_Vpmovzxdq_ymm_xmmm128, d, a)?;
                s.e3(OR, d, d, magic)?;
                s.e3(VEX_Vsubpd_ymm_ymm_ymmm256, d, d, magic)
            })?,
            EVEX_Vcvtudq2ps_zmm_k1z_zmmm512b32_er => self.unsigned_to_single(i)?,
            EVEX_Vcvtqq2pd_zmm_k1z_zmmm512b64_er => self.doubles(i, true)?,
            EVEX_Vcvtuqq2pd_zmm_k1z_zmmm512b64_er => self.doubles(i, false)?,
            EVEX_Vcvtps2dq_zmm_k1z_zmmm512b32_er => {
                let mut bc = None;
                let how = 8 | number(i.rounding_control());
                self.lanes(i, 4, false, |s, h, d| {
                    let a = s.src(i, 1, h, &mut bc)?;
                    s.e2i(VEX_Vroundps_ymm_ymmm256_imm8, d, a, how)?;
                    s.e2(VEX_Vcvttps2dq_ymm_ymmm256, d, d)
                })?;
            }
            EVEX_Vcvtps2udq_zmm_k1z_zmmm512b32_er => {
                self.unsigned_words(i, 8 | number(i.rounding_control()))?;
            }
            EVEX_Vcvttps2udq_zmm_k1z_zmmm512b32_sae => self.unsigned_words(i, 11)?,
            EVEX_Vcvtps2ph_ymmm256_k1z_zmm_imm8_sae => self.narrowing(i, |s, d, a| {
                s.e2i(VEX_Vcvtps2ph_xmmm128_ymm_imm8, xmm(d), a, i.immediate8().into())
            })?,
            EVEX_Vcvtpd2ps_ymm_k1z_zmmm512b64_er => {
                self.rounding(i)?;
                self.narrowing(i, |s, d, a| s.e2(VEX_Vcvtpd2ps_xmm_ymmm256, xmm(d), a))?;
                self.nearest_again(i)?;
            }
            EVEX_Vcvttpd2dq_ymm_k1z_zmmm512b64_sae => {
                self.narrowing(i, |s, d, a| s.e2(VEX_Vcvttpd2dq_xmm_ymmm256, xmm(d), a))?;
            }
            EVEX_Vcvtpd2dq_ymm_k1z_zmmm512b64_er => {
                let how = 8 | number(i.rounding_control());
                self.narrowing(i, |s, d, a| {
                    s.e2i(VEX_Vroundpd_ymm_ymmm256_imm8, d, a, how)?;
                    s.e2(VEX_Vcvttpd2dq_xmm_ymmm256, xmm(d), d)
                })?;
            }
            EVEX_Vcvttpd2udq_ymm_k1z_zmmm512b64_sae => {
                self.narrowing(i, |s, d, a| s.unsigned_words_of_doubles(d, a, 11))?;
            }
            EVEX_Vcvtpd2udq_ymm_k1z_zmmm512b64_er => {
                let how = 8 | number(i.rounding_control());
                self.narrowing(i, |s, d, a| s.unsigned_words_of_doubles(d, a, how))?;
            }
            EVEX_Vcvtqq2ps_ymm_k1z_zmmm512b64_er => self.wide_to_single(i, true)?,
            EVEX_Vcvtuqq2ps_ymm_k1z_zmmm512b64_er => self.wide_to_single(i, false)?,
            _ => return self.wide_integers(i),
        }
        Ok(true)
    }

    /// Doubles or singles to integers of 64 bits.
    fn wide_integers(&mut self, i: &Instruction) -> Result<bool> {
        use Code::*;
        let (signed, how) = match i.code() {
            EVEX_Vcvttpd2qq_zmm_k1z_zmmm512b64_sae | EVEX_Vcvttps2qq_zmm_k1z_ymmm256b32_sae => (true, 11),
            EVEX_Vcvtpd2qq_zmm_k1z_zmmm512b64_er | EVEX_Vcvtps2qq_zmm_k1z_ymmm256b32_er => {
                (true, 8 | number(i.rounding_control()))
            }
            EVEX_Vcvttpd2uqq_zmm_k1z_zmmm512b64_sae | EVEX_Vcvttps2uqq_zmm_k1z_ymmm256b32_sae => (false, 11),
            EVEX_Vcvtpd2uqq_zmm_k1z_zmmm512b64_er | EVEX_Vcvtps2uqq_zmm_k1z_ymmm256b32_er => {
                (false, 8 | number(i.rounding_control()))
            }
            _ => return Ok(false),
        };
        let single = matches!(
            i.code(),
            EVEX_Vcvttps2qq_zmm_k1z_ymmm256b32_sae
                | EVEX_Vcvtps2qq_zmm_k1z_ymmm256b32_er
                | EVEX_Vcvttps2uqq_zmm_k1z_ymmm256b32_sae
                | EVEX_Vcvtps2uqq_zmm_k1z_ymmm256b32_er
        );
        let mut bc = None;
        let order = if single { [1, 0] } else { [0, 1] };
        self.lanes_of(order, i, 8, false, |s, h, d| {
            let a = if single {
                let (part, t) = (s.part_or_all(i, 1, h)?, s.tmp()?);
                s.e2(VEX_Vcvtps2pd_ymm_xmmm128, t, part)?;
                t
            } else {
                let a = s.src(i, 1, h, &mut bc)?;
                s.load(a)?
            };
            s.double_to_integer(d, a, how, signed)
        })?;
        Ok(true)
    }

    fn widening(&mut self, i: &Instruction, code: Code, width: u8) -> Result {
        self.lanes_of([1, 0], i, width, false, |s, h, d| {
            let a = s.part_or_all(i, 1, h)?;
            s.e2(code, d, a)
        })
    }

    /// Two halves become the two parts of one: `body` makes a part in the lower half of a register.
    pub(super) fn narrowing(
        &mut self,
        i: &Instruction,
        mut body: impl FnMut(&mut Self, Register, Register) -> Result,
    ) -> Result {
        let mut bc = None;
        self.lanes(i, 4, false, |s, _, d| {
            let high = s.tmp()?;
            for (half, to) in [(0, d), (1, high)] {
                let pinned = s.pinned;
                let a = s.src(i, 1, half, &mut bc)?;
                let a = s.load(a)?;
                body(s, to, a)?;
                s.pinned = pinned;
            }
            s.pair(d, d, high)
        })
    }

    fn unsigned_to_single(&mut self, i: &Instruction) -> Result {
        use Code::*;
        let mut bc = None;
        self.rounding(i)?;
        let rounded = number(i.rounding_control()) != 0;
        self.lanes(i, 4, false, |s, h, d| {
            let a = s.src(i, 1, h, &mut bc)?;
            let (a, t) = (s.load(a)?, s.tmp()?);
            let (low, upper, lower, less) = (
                s.all32(0xffff),
                s.all32(0x5300_0000),
                s.all32(0x4b00_0000),
                s.all32(0x5300_0080),
            );
            // 2^39 + 2^16 high, 2^23 + low
            s.e2i(VEX_Vpsrld_ymm_ymm_imm8, t, a, 16)?;
            s.e3(OR, t, t, upper)?;
            s.e3(AND, d, a, low)?;
            s.e3(OR, d, d, lower)?;
            s.e3(VEX_Vsubps_ymm_ymm_ymmm256, t, t, less)?;
            s.e3(VEX_Vaddps_ymm_ymm_ymmm256, d, d, t)?;
            if rounded {
                // Downwards, nothing is -0.
                let magnitude = s.all32(!(1 << 31));
                s.e3(AND, d, d, magnitude)?;
            }
            Ok(())
        })?;
        self.nearest_again(i)
    }

    fn doubles(&mut self, i: &Instruction, signed: bool) -> Result {
        use Code::*;
        let mut bc = None;
        self.rounding(i)?;
        let rounded = number(i.rounding_control()) != 0;
        self.lanes(i, 8, false, |s, h, d| {
            let a = s.src(i, 1, h, &mut bc)?;
            let (a, t) = (s.load(a)?, s.tmp()?);
            s.number_of(d, a, t, signed)?;
            if rounded {
                s.e3(XOR, t, t, t)?;
                s.e3(VEX_Vpcmpeqq_ymm_ymm_ymmm256, t, t, a)?;
                s.e3(VEX_Vpandn_ymm_ymm_ymmm256, d, t, d)?;
            }
            Ok(())
        })?;
        self.nearest_again(i)
    }

    /// Integers of 64 bits as doubles; `t` is overwritten.
    fn number_of(&mut self, d: Register, a: Register, t: Register, signed: bool) -> Result {
        use Code::*;
        // 2^84 + 2^32 high (+ 2^63), 2^52 + low
        let (upper, less) = if signed {
            (0x4530_0000_8000_0000, 0x4530_0000_8010_0000)
        } else {
            (0x4530_0000_0000_0000, 0x4530_0000_0010_0000)
        };
        let (upper, less, lower) = (self.all64(upper), self.all64(less), self.all64(0x4330 << 48));
        self.e2i(VEX_Vpsrlq_ymm_ymm_imm8, t, a, 32)?;
        self.e3(XOR, t, t, upper)?;
        self.e3i(VEX_Vpblendd_ymm_ymm_ymmm256_imm8, d, a, lower, 0xaa)?;
        self.e3(VEX_Vsubpd_ymm_ymm_ymmm256, t, t, less)?;
        self.e3(VEX_Vaddpd_ymm_ymm_ymmm256, d, d, t)
    }

    /// Integers of 64 bits to singles, rounded once: what a double cannot hold is gathered in its last bit.
    fn wide_to_single(&mut self, i: &Instruction, signed: bool) -> Result {
        use Code::*;
        let rounding = number(i.rounding_control());
        self.narrowing(i, |s, d, a| {
            let (n, t, sign) = (s.copy(Src::Reg(a))?, s.tmp()?, s.tmp()?);
            if signed {
                s.signs64(sign, a)?;
                s.e3(XOR, n, n, sign)?;
                s.e3(VEX_Vpsubq_ymm_ymm_ymmm256, n, n, sign)?;
                s.e2i(VEX_Vpsllq_ymm_ymm_imm8, sign, sign, 63)?;
            }
            let (low, high) = (s.all64(0x7ff), s.all64(!0x7ff));
            s.e3(AND, t, n, low)?;
            s.e3(VEX_Vpaddq_ymm_ymm_ymmm256, t, t, low)?;
            s.e3(OR, t, t, n)?;
            s.e3(AND, t, t, high)?;
            let small = s.tmp()?;
            s.e2i(VEX_Vpsrlq_ymm_ymm_imm8, small, n, 53)?;
            s.e3(XOR, d, d, d)?;
            s.e3(VEX_Vpcmpeqq_ymm_ymm_ymmm256, small, small, d)?;
            s.blend(8, n, t, n, small)?;
            s.number_of(d, n, t, false)?;
            if signed {
                s.e3(OR, d, d, sign)?;
            }
            s.set_rounding(rounding)?;
            s.e2(VEX_Vcvtpd2ps_xmm_ymmm256, xmm(d), d)?;
            s.nearest_again(i)
        })
    }

    /// Singles that are not negative, or NaN; what is too large gives all ones.
    fn unsigned_words(&mut self, i: &Instruction, how: u32) -> Result {
        use Code::*;
        let mut bc = None;
        self.lanes(i, 4, false, |s, h, d| {
            let a = s.src(i, 1, h, &mut bc)?;
            let (x, big, t) = (s.tmp()?, s.tmp()?, s.tmp()?);
            s.e2i(VEX_Vroundps_ymm_ymmm256_imm8, x, a, how)?;
            let (half, whole) = (s.all32(0x4f00_0000), s.all32(0x4f80_0000));
            s.e3i(VEX_Vcmpps_ymm_ymm_ymmm256_imm8, big, x, half, 0x1d)?;
            s.e3(AND, t, big, half)?;
            s.e3(VEX_Vsubps_ymm_ymm_ymmm256, t, x, t)?;
            s.e2(VEX_Vcvttps2dq_ymm_ymmm256, t, t)?;
            s.e2i(VEX_Vpslld_ymm_ymm_imm8, big, big, 31)?;
            s.e3(XOR, t, t, big)?;
            s.e3i(VEX_Vcmpps_ymm_ymm_ymmm256_imm8, d, x, whole, NOT_LESS)?;
            s.e3(OR, d, d, t)
        })
    }

    /// As [`unsigned_words`](Self::unsigned_words), of four doubles in the lower half of a register.
    fn unsigned_words_of_doubles(&mut self, d: Register, a: Register, how: u32) -> Result {
        use Code::*;
        let t = self.tmp()?;
        let (magic, whole) = (self.all64(0x4330 << 48), self.all64(0x41f0 << 48));
        self.e2i(VEX_Vroundpd_ymm_ymmm256_imm8, d, a, how)?;
        self.e3i(VEX_Vcmppd_ymm_ymm_ymmm256_imm8, t, d, whole, NOT_LESS)?;
        self.e3(VEX_Vaddpd_ymm_ymm_ymmm256, d, d, magic)?;
        self.e3(OR, d, d, t)?;
        self.low_words(d, d)
    }

    /// The low words of four lanes of 64 bits in the lower half of a register.
    fn low_words(&mut self, d: Register, a: Register) -> Result {
        use Code::*;
        self.e2i(VEX_Vpshufd_ymm_ymmm256_imm8, d, a, 0x88)?;
        self.e2i(VEX_Vpermq_ymm_ymmm256_imm8, d, d, 0x08)
    }

    /// Doubles to integers of 64 bits; where there is none the sign bit alone, unsigned all ones.
    fn double_to_integer(&mut self, d: Register, a: Register, how: u32, signed: bool) -> Result {
        use Code::*;
        let (x, high, over) = (self.tmp()?, self.tmp()?, self.tmp()?);
        self.e2i(VEX_Vroundpd_ymm_ymmm256_imm8, x, a, how)?;
        if signed {
            let magnitude = self.all64(!(1 << 63));
            self.e3(AND, x, x, magnitude)?;
        }
        let limit = self.all64(if signed { 0x43e0 << 48 } else { 0x43f0 << 48 });
        self.e3i(VEX_Vcmppd_ymm_ymm_ymmm256_imm8, over, x, limit, NOT_LESS)?;
        // high = floor(x / 2^32), x -= high * 2^32: all of it exact
        let (down, up, magic) = (
            self.all64(0x3df0 << 48),
            self.all64(0x41f0 << 48),
            self.all64(0x4330 << 48),
        );
        self.e3(VEX_Vmulpd_ymm_ymm_ymmm256, high, x, down)?;
        self.e2i(VEX_Vroundpd_ymm_ymmm256_imm8, high, high, 11)?;
        self.e3(VEX_Vmulpd_ymm_ymm_ymmm256, d, high, up)?;
        self.e3(VEX_Vsubpd_ymm_ymm_ymmm256, d, x, d)?;
        self.e3(VEX_Vaddpd_ymm_ymm_ymmm256, d, d, magic)?;
        self.e3(VEX_Vaddpd_ymm_ymm_ymmm256, high, high, magic)?;
        self.e2i(VEX_Vpsllq_ymm_ymm_imm8, high, high, 32)?;
        self.e3i(VEX_Vpblendd_ymm_ymm_ymmm256_imm8, d, d, high, 0xaa)?;
        if signed {
            self.signs64(x, a)?;
            self.e3(XOR, d, d, x)?;
            self.e3(VEX_Vpsubq_ymm_ymm_ymmm256, d, d, x)?;
            let none = self.all64(1 << 63);
            self.blend(8, d, d, none, over)
        } else {
            self.e3(OR, d, d, over)
        }
    }

    /// A source in a register that may be written.
    pub(super) fn copy(&mut self, src: Src) -> Result<Register> {
        let t = self.tmp()?;
        self.e2(MOVE, t, src)?;
        Ok(t)
    }
}
