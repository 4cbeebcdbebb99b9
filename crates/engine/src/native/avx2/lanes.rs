//! Operations lane by lane: those that AVX2 has, and integer ones made of several.

use iced_x86::{Code, Instruction, Register};

use super::emit::Src;
use super::masks::equal;
use super::{Lower, Result};

const AND: Code = Code::VEX_Vpand_ymm_ymm_ymmm256;
const OR: Code = Code::VEX_Vpor_ymm_ymm_ymmm256;
const XOR: Code = Code::VEX_Vpxor_ymm_ymm_ymmm256;

/// `d = code(a, b)` in one instruction: its code and the bytes of a lane.
const fn two(code: Code) -> Option<(Code, u8)> {
    use Code::*;
    Some(match code {
        EVEX_Vpaddb_zmm_k1z_zmm_zmmm512 => (VEX_Vpaddb_ymm_ymm_ymmm256, 1),
        EVEX_Vpaddw_zmm_k1z_zmm_zmmm512 => (VEX_Vpaddw_ymm_ymm_ymmm256, 2),
        EVEX_Vpaddd_zmm_k1z_zmm_zmmm512b32 => (VEX_Vpaddd_ymm_ymm_ymmm256, 4),
        EVEX_Vpaddq_zmm_k1z_zmm_zmmm512b64 => (VEX_Vpaddq_ymm_ymm_ymmm256, 8),
        EVEX_Vpsubw_zmm_k1z_zmm_zmmm512 => (VEX_Vpsubw_ymm_ymm_ymmm256, 2),
        EVEX_Vpsubd_zmm_k1z_zmm_zmmm512b32 => (VEX_Vpsubd_ymm_ymm_ymmm256, 4),
        EVEX_Vpsubq_zmm_k1z_zmm_zmmm512b64 => (VEX_Vpsubq_ymm_ymm_ymmm256, 8),
        EVEX_Vpmullw_zmm_k1z_zmm_zmmm512 => (VEX_Vpmullw_ymm_ymm_ymmm256, 2),
        EVEX_Vpmulhw_zmm_k1z_zmm_zmmm512 => (VEX_Vpmulhw_ymm_ymm_ymmm256, 2),
        EVEX_Vpmulhuw_zmm_k1z_zmm_zmmm512 => (VEX_Vpmulhuw_ymm_ymm_ymmm256, 2),
        EVEX_Vpmulld_zmm_k1z_zmm_zmmm512b32 => (VEX_Vpmulld_ymm_ymm_ymmm256, 4),
        EVEX_Vpmuludq_zmm_k1z_zmm_zmmm512b64 => (VEX_Vpmuludq_ymm_ymm_ymmm256, 8),
        EVEX_Vpmuldq_zmm_k1z_zmm_zmmm512b64 => (VEX_Vpmuldq_ymm_ymm_ymmm256, 8),
        EVEX_Vpmaddwd_zmm_k1z_zmm_zmmm512 => (VEX_Vpmaddwd_ymm_ymm_ymmm256, 4),
        EVEX_Vpmaddubsw_zmm_k1z_zmm_zmmm512 => (VEX_Vpmaddubsw_ymm_ymm_ymmm256, 2),
        EVEX_Vpsadbw_zmm_zmm_zmmm512 => (VEX_Vpsadbw_ymm_ymm_ymmm256, 8),
        EVEX_Vpshufb_zmm_k1z_zmm_zmmm512 => (VEX_Vpshufb_ymm_ymm_ymmm256, 1),
        EVEX_Vpminuw_zmm_k1z_zmm_zmmm512 => (VEX_Vpminuw_ymm_ymm_ymmm256, 2),
        EVEX_Vpmaxuw_zmm_k1z_zmm_zmmm512 => (VEX_Vpmaxuw_ymm_ymm_ymmm256, 2),
        EVEX_Vpminsw_zmm_k1z_zmm_zmmm512 => (VEX_Vpminsw_ymm_ymm_ymmm256, 2),
        EVEX_Vpmaxsw_zmm_k1z_zmm_zmmm512 => (VEX_Vpmaxsw_ymm_ymm_ymmm256, 2),
        EVEX_Vpminud_zmm_k1z_zmm_zmmm512b32 => (VEX_Vpminud_ymm_ymm_ymmm256, 4),
        EVEX_Vpmaxud_zmm_k1z_zmm_zmmm512b32 => (VEX_Vpmaxud_ymm_ymm_ymmm256, 4),
        EVEX_Vpminsd_zmm_k1z_zmm_zmmm512b32 => (VEX_Vpminsd_ymm_ymm_ymmm256, 4),
        EVEX_Vpmaxsd_zmm_k1z_zmm_zmmm512b32 => (VEX_Vpmaxsd_ymm_ymm_ymmm256, 4),
        EVEX_Vpandd_zmm_k1z_zmm_zmmm512b32 => (AND, 4),
        EVEX_Vpandq_zmm_k1z_zmm_zmmm512b64 => (AND, 8),
        EVEX_Vpandnd_zmm_k1z_zmm_zmmm512b32 => (VEX_Vpandn_ymm_ymm_ymmm256, 4),
        EVEX_Vpandnq_zmm_k1z_zmm_zmmm512b64 => (VEX_Vpandn_ymm_ymm_ymmm256, 8),
        EVEX_Vpord_zmm_k1z_zmm_zmmm512b32 => (OR, 4),
        EVEX_Vporq_zmm_k1z_zmm_zmmm512b64 => (OR, 8),
        EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32 => (XOR, 4),
        EVEX_Vpxorq_zmm_k1z_zmm_zmmm512b64 => (XOR, 8),
        EVEX_Vpsllvd_zmm_k1z_zmm_zmmm512b32 => (VEX_Vpsllvd_ymm_ymm_ymmm256, 4),
        EVEX_Vpsllvq_zmm_k1z_zmm_zmmm512b64 => (VEX_Vpsllvq_ymm_ymm_ymmm256, 8),
        EVEX_Vpsrlvd_zmm_k1z_zmm_zmmm512b32 => (VEX_Vpsrlvd_ymm_ymm_ymmm256, 4),
        EVEX_Vpsrlvq_zmm_k1z_zmm_zmmm512b64 => (VEX_Vpsrlvq_ymm_ymm_ymmm256, 8),
        EVEX_Vpsravd_zmm_k1z_zmm_zmmm512b32 => (VEX_Vpsravd_ymm_ymm_ymmm256, 4),
        EVEX_Vaddps_zmm_k1z_zmm_zmmm512b32_er => (VEX_Vaddps_ymm_ymm_ymmm256, 4),
        EVEX_Vaddpd_zmm_k1z_zmm_zmmm512b64_er => (VEX_Vaddpd_ymm_ymm_ymmm256, 8),
        EVEX_Vsubps_zmm_k1z_zmm_zmmm512b32_er => (VEX_Vsubps_ymm_ymm_ymmm256, 4),
        EVEX_Vsubpd_zmm_k1z_zmm_zmmm512b64_er => (VEX_Vsubpd_ymm_ymm_ymmm256, 8),
        EVEX_Vmulps_zmm_k1z_zmm_zmmm512b32_er => (VEX_Vmulps_ymm_ymm_ymmm256, 4),
        EVEX_Vmulpd_zmm_k1z_zmm_zmmm512b64_er => (VEX_Vmulpd_ymm_ymm_ymmm256, 8),
        EVEX_Vdivps_zmm_k1z_zmm_zmmm512b32_er => (VEX_Vdivps_ymm_ymm_ymmm256, 4),
        EVEX_Vdivpd_zmm_k1z_zmm_zmmm512b64_er => (VEX_Vdivpd_ymm_ymm_ymmm256, 8),
        EVEX_Vminps_zmm_k1z_zmm_zmmm512b32_sae => (VEX_Vminps_ymm_ymm_ymmm256, 4),
        EVEX_Vminpd_zmm_k1z_zmm_zmmm512b64_sae => (VEX_Vminpd_ymm_ymm_ymmm256, 8),
        EVEX_Vmaxps_zmm_k1z_zmm_zmmm512b32_sae => (VEX_Vmaxps_ymm_ymm_ymmm256, 4),
        EVEX_Vmaxpd_zmm_k1z_zmm_zmmm512b64_sae => (VEX_Vmaxpd_ymm_ymm_ymmm256, 8),
        EVEX_Vmaxps_ymm_k1z_ymm_ymmm256b32 => (VEX_Vmaxps_ymm_ymm_ymmm256, 4),
        _ => return None,
    })
}

/// `d = code(a)`
const fn one(code: Code) -> Option<(Code, u8)> {
    use Code::*;
    Some(match code {
        EVEX_Vpabsw_zmm_k1z_zmmm512 => (VEX_Vpabsw_ymm_ymmm256, 2),
        EVEX_Vpabsd_zmm_k1z_zmmm512b32 => (VEX_Vpabsd_ymm_ymmm256, 4),
        EVEX_Vmovshdup_zmm_k1z_zmmm512 => (VEX_Vmovshdup_ymm_ymmm256, 4),
        EVEX_Vsqrtps_zmm_k1z_zmmm512b32_er => (VEX_Vsqrtps_ymm_ymmm256, 4),
        EVEX_Vsqrtpd_zmm_k1z_zmmm512b64_er => (VEX_Vsqrtpd_ymm_ymmm256, 8),
        EVEX_Vcvtdq2ps_zmm_k1z_zmmm512b32_er => (VEX_Vcvtdq2ps_ymm_ymmm256, 4),
        EVEX_Vcvttps2dq_zmm_k1z_zmmm512b32_sae => (VEX_Vcvttps2dq_ymm_ymmm256, 4),
        _ => return None,
    })
}

/// `d = code(a)` with an immediate.
const fn shift(code: Code) -> Option<(Code, u8)> {
    use Code::*;
    Some(match code {
        EVEX_Vpsllw_zmm_k1z_zmmm512_imm8 => (VEX_Vpsllw_ymm_ymm_imm8, 2),
        EVEX_Vpsrlw_zmm_k1z_zmmm512_imm8 => (VEX_Vpsrlw_ymm_ymm_imm8, 2),
        EVEX_Vpsraw_zmm_k1z_zmmm512_imm8 => (VEX_Vpsraw_ymm_ymm_imm8, 2),
        EVEX_Vpslld_zmm_k1z_zmmm512b32_imm8 => (VEX_Vpslld_ymm_ymm_imm8, 4),
        EVEX_Vpsrld_zmm_k1z_zmmm512b32_imm8 => (VEX_Vpsrld_ymm_ymm_imm8, 4),
        EVEX_Vpsrad_zmm_k1z_zmmm512b32_imm8 => (VEX_Vpsrad_ymm_ymm_imm8, 4),
        EVEX_Vpsllq_zmm_k1z_zmmm512b64_imm8 => (VEX_Vpsllq_ymm_ymm_imm8, 8),
        EVEX_Vpsrlq_zmm_k1z_zmmm512b64_imm8 => (VEX_Vpsrlq_ymm_ymm_imm8, 8),
        _ => return None,
    })
}

impl Lower<'_> {
    /// Instructions that write a vector; false when it is none of them.
    pub(super) fn vector(&mut self, i: &Instruction) -> Result<bool> {
        let mut broadcast = None;
        if let Some((code, width)) = two(i.code()) {
            let same = i.op1_register() == i.op2_register();
            self.rounding(i)?;
            self.lanes(i, width, true, |s, h, d| {
                if code == XOR && same {
                    return s.e3(XOR, d, d, d);
                }
                let (a, b) = (s.reg(i, 1, h)?, s.src(i, 2, h, &mut broadcast)?);
                s.e3(code, d, a, b)
            })?;
            self.nearest_again(i)?;
            return Ok(true);
        }
        if let Some((code, width)) = one(i.code()) {
            self.rounding(i)?;
            self.lanes(i, width, true, |s, h, d| {
                let a = s.src(i, 1, h, &mut broadcast)?;
                s.e2(code, d, a)
            })?;
            self.nearest_again(i)?;
            return Ok(true);
        }
        if let Some((code, width)) = shift(i.code()) {
            self.lanes(i, width, true, |s, h, d| {
                let a = s.src(i, 1, h, &mut broadcast)?;
                let a = s.load(a)?;
                s.e2i(code, d, a, i.immediate8().into())
            })?;
            return Ok(true);
        }
        Ok(
            self.integers(i)?
                || self.floats(i)?
                || self.conversion(i)?
                || self.moves(i)?
                || self.places(i)?,
        )
    }

    /// Integer operations made of several.
    fn integers(&mut self, i: &Instruction) -> Result<bool> {
        use Code::*;
        let mut bc = None;
        match i.code() {
            EVEX_Vpternlogd_zmm_k1z_zmm_zmmm512b32_imm8 | EVEX_Vpternlogq_zmm_k1z_zmm_zmmm512b64_imm8 => {
                self.ternary(i)?;
            }
            EVEX_Vpblendmd_zmm_k1z_zmm_zmmm512b32 | EVEX_Vpblendmq_zmm_k1z_zmm_zmmm512b64 => {
                self.choice(i)?;
            }
            EVEX_Vpmullq_zmm_k1z_zmm_zmmm512b64 => self.lanes(i, 8, false, |s, h, d| {
                let (a, b) = (s.reg(i, 1, h)?, s.src(i, 2, h, &mut bc)?);
                let b = s.load(b)?;
                s.product64(d, a, b)
            })?,
            EVEX_Vpabsq_zmm_k1z_zmmm512b64 => self.lanes(i, 8, false, |s, h, d| {
                let a = s.src(i, 1, h, &mut bc)?;
                let (a, sign) = (s.load(a)?, s.tmp()?);
                s.signs64(sign, a)?;
                s.e3(XOR, d, a, sign)?;
                s.e3(VEX_Vpsubq_ymm_ymm_ymmm256, d, d, sign)
            })?,
            EVEX_Vpminuq_zmm_k1z_zmm_zmmm512b64 => self.extreme64(i, false, false)?,
            EVEX_Vpmaxuq_zmm_k1z_zmm_zmmm512b64 => self.extreme64(i, false, true)?,
            EVEX_Vpminsq_zmm_k1z_zmm_zmmm512b64 => self.extreme64(i, true, false)?,
            EVEX_Vpmaxsq_zmm_k1z_zmm_zmmm512b64 => self.extreme64(i, true, true)?,
            EVEX_Vpsraq_zmm_k1z_zmmm512b64_imm8 => self.lanes(i, 8, false, |s, h, d| {
                let a = s.src(i, 1, h, &mut bc)?;
                let (a, sign) = (s.load(a)?, s.tmp()?);
                s.signs64(sign, a)?;
                s.e3(XOR, d, a, sign)?;
                s.e2i(VEX_Vpsrlq_ymm_ymm_imm8, d, d, i.immediate8().into())?;
                s.e3(XOR, d, d, sign)
            })?,
            EVEX_Vpsravq_zmm_k1z_zmm_zmmm512b64 => self.lanes(i, 8, false, |s, h, d| {
                let (a, n) = (s.reg(i, 1, h)?, s.src(i, 2, h, &mut bc)?);
                let sign = s.tmp()?;
                s.signs64(sign, a)?;
                s.e3(XOR, d, a, sign)?;
                s.e3(VEX_Vpsrlvq_ymm_ymm_ymmm256, d, d, n)?;
                s.e3(XOR, d, d, sign)
            })?,
            EVEX_Vprold_zmm_k1z_zmmm512b32_imm8 => self.turned(i, u32::from(i.immediate8()) & 31)?,
            EVEX_Vprord_zmm_k1z_zmmm512b32_imm8 => {
                self.turned(i, (32 - (u32::from(i.immediate8()) & 31)) & 31)?;
            }
            EVEX_Vprolvd_zmm_k1z_zmm_zmmm512b32 => self.turned_by(i, false)?,
            EVEX_Vprorvd_zmm_k1z_zmm_zmmm512b32 => self.turned_by(i, true)?,
            EVEX_Vpopcntd_zmm_k1z_zmmm512b32 => self.ones(i, 4)?,
            EVEX_Vpopcntq_zmm_k1z_zmmm512b64 => self.ones(i, 8)?,
            EVEX_Vplzcntd_zmm_k1z_zmmm512b32 => self.lanes(i, 4, false, |s, h, d| {
                let a = s.src(i, 1, h, &mut bc)?;
                s.zeros32(d, a)
            })?,
            EVEX_Vplzcntq_zmm_k1z_zmmm512b64 => self.lanes(i, 8, false, |s, h, d| {
                let a = s.src(i, 1, h, &mut bc)?;
                let (t, low) = (s.tmp()?, s.tmp()?);
                s.zeros32(t, a)?;
                s.e2i(VEX_Vpsrlq_ymm_ymm_imm8, d, t, 32)?;
                let (cut, all) = (s.all64(0xffff_ffff), s.all64(32));
                s.e3(AND, t, t, cut)?;
                s.e3(equal(8), low, d, all)?;
                s.e3(AND, t, t, low)?;
                s.e3(VEX_Vpaddq_ymm_ymm_ymmm256, d, d, t)
            })?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// All ones where a lane of 64 bits is negative.
    pub(super) fn signs64(&mut self, to: Register, a: Register) -> Result {
        self.e3(XOR, to, to, to)?;
        self.e3(Code::VEX_Vpcmpgtq_ymm_ymm_ymmm256, to, to, a)
    }

    /// Low 64 bits of products.
    fn product64(&mut self, d: Register, a: Register, b: Register) -> Result {
        use Code::*;
        let (t, u) = (self.tmp()?, self.tmp()?);
        self.e2i(VEX_Vpsrlq_ymm_ymm_imm8, t, a, 32)?;
        self.e3(VEX_Vpmuludq_ymm_ymm_ymmm256, t, t, b)?;
        self.e2i(VEX_Vpsrlq_ymm_ymm_imm8, u, b, 32)?;
        self.e3(VEX_Vpmuludq_ymm_ymm_ymmm256, u, u, a)?;
        self.e3(VEX_Vpaddq_ymm_ymm_ymmm256, t, t, u)?;
        self.e2i(VEX_Vpsllq_ymm_ymm_imm8, t, t, 32)?;
        self.e3(VEX_Vpmuludq_ymm_ymm_ymmm256, d, a, b)?;
        self.e3(VEX_Vpaddq_ymm_ymm_ymmm256, d, d, t)
    }

    /// The lesser or greater of 64-bit lanes.
    fn extreme64(&mut self, i: &Instruction, signed: bool, greater: bool) -> Result {
        let mut bc = None;
        self.lanes(i, 8, false, |s, h, d| {
            let (a, b) = (s.reg(i, 1, h)?, s.src(i, 2, h, &mut bc)?);
            let (b, above) = (s.load(b)?, s.tmp()?);
            if signed {
                s.e3(Code::VEX_Vpcmpgtq_ymm_ymm_ymmm256, above, a, b)?;
            } else {
                let sign = s.all64(1 << 63);
                let (sign, t) = (s.load(sign)?, s.tmp()?);
                s.e3(XOR, above, a, sign)?;
                s.e3(XOR, t, b, sign)?;
                s.e3(Code::VEX_Vpcmpgtq_ymm_ymm_ymmm256, above, above, t)?;
            }
            let (no, yes) = if greater { (b, a) } else { (a, b) };
            s.blend(8, d, no, yes, above)
        })
    }

    /// The first source where the mask is not, the second where it is.
    fn choice(&mut self, i: &Instruction) -> Result {
        let width = if i.code() == Code::EVEX_Vpblendmd_zmm_k1z_zmm_zmmm512b32 {
            4
        } else {
            8
        };
        let k = super::flow::mask_number(i.op_mask()).unwrap_or(0);
        let mut plain = *i;
        plain.set_op_mask(Register::None);
        let mut bc = None;
        self.lanes(&plain, width, true, |s, h, d| {
            let choice = s.form(k, width, h)?;
            let (no, yes) = (s.reg(i, 1, h)?, s.src(i, 2, h, &mut bc)?);
            s.blend(width, d, no, yes, choice)
        })
    }

    /// Rotations to the left by a known amount.
    fn turned(&mut self, i: &Instruction, by: u32) -> Result {
        use Code::*;
        let mut bc = None;
        self.lanes(i, 4, by.is_multiple_of(8), |s, h, d| {
            let a = s.src(i, 1, h, &mut bc)?;
            let a = s.load(a)?;
            if by.is_multiple_of(8) {
                let from = (0..4u32)
                    .map(|to| ((to + 4 - by / 8) % 4) << (8 * to))
                    .sum::<u32>();
                let places = s.lanes32(|lane| from + 0x0404_0404 * (lane % 4));
                return s.e3(VEX_Vpshufb_ymm_ymm_ymmm256, d, a, places);
            }
            let t = s.tmp()?;
            s.e2i(VEX_Vpslld_ymm_ymm_imm8, t, a, by)?;
            s.e2i(VEX_Vpsrld_ymm_ymm_imm8, d, a, 32 - by)?;
            s.e3(OR, d, d, t)
        })
    }

    /// Rotations by an amount of each lane.
    fn turned_by(&mut self, i: &Instruction, right: bool) -> Result {
        use Code::*;
        let mut bc = None;
        let (there, back) = if right {
            (VEX_Vpsrlvd_ymm_ymm_ymmm256, VEX_Vpsllvd_ymm_ymm_ymmm256)
        } else {
            (VEX_Vpsllvd_ymm_ymm_ymmm256, VEX_Vpsrlvd_ymm_ymm_ymmm256)
        };
        self.lanes(i, 4, false, |s, h, d| {
            let (a, n) = (s.reg(i, 1, h)?, s.src(i, 2, h, &mut bc)?);
            let (most, whole) = (s.all32(31), s.all32(32));
            let most = s.load(most)?;
            let (t, u) = (s.tmp()?, s.load(whole)?);
            s.e3(AND, t, most, n)?;
            s.e3(VEX_Vpsubd_ymm_ymm_ymmm256, u, u, t)?;
            s.e3(there, t, a, t)?;
            s.e3(back, d, a, u)?;
            s.e3(OR, d, d, t)
        })
    }

    /// Ones of lanes: of each half of a byte by a table, then sums.
    fn ones(&mut self, i: &Instruction, width: u8) -> Result {
        use Code::*;
        let mut bc = None;
        self.lanes(i, width, false, |s, h, d| {
            let a = s.src(i, 1, h, &mut bc)?;
            let (a, t) = (s.load(a)?, s.tmp()?);
            let counts = [0x0201_0100, 0x0302_0201, 0x0302_0201, 0x0403_0302];
            let (cut, table) = (s.all32(0x0f0f_0f0f), s.lanes32(|lane| counts[lane as usize % 4]));
            let (cut, table) = (s.load(cut)?, s.load(table)?);
            s.e2i(VEX_Vpsrld_ymm_ymm_imm8, t, a, 4)?;
            s.e3(AND, t, t, cut)?;
            s.e3(AND, d, a, cut)?;
            s.e3(VEX_Vpshufb_ymm_ymm_ymmm256, t, table, t)?;
            s.e3(VEX_Vpshufb_ymm_ymm_ymmm256, d, table, d)?;
            s.e3(VEX_Vpaddb_ymm_ymm_ymmm256, d, d, t)?;
            if width == 8 {
                s.e3(XOR, t, t, t)?;
                return s.e3(VEX_Vpsadbw_ymm_ymm_ymmm256, d, d, t);
            }
            let (bytes, words) = (s.all32(0x0101_0101), s.all32(0x0001_0001));
            s.e3(VEX_Vpmaddubsw_ymm_ymm_ymmm256, d, d, bytes)?;
            s.e3(VEX_Vpmaddwd_ymm_ymm_ymmm256, d, d, words)
        })
    }

    /// Leading zeros of lanes of 32 bits: the exponent of the first bit alone, which no rounding moves.
    fn zeros32(&mut self, d: Register, a: Src) -> Result {
        use Code::*;
        let a = self.load(a)?;
        let t = self.tmp()?;
        self.e2i(VEX_Vpsrld_ymm_ymm_imm8, t, a, 1)?;
        self.e3(VEX_Vpandn_ymm_ymm_ymmm256, t, t, a)?;
        self.e2(VEX_Vcvtdq2ps_ymm_ymmm256, t, t)?;
        self.e2i(VEX_Vpsrld_ymm_ymm_imm8, t, t, 23)?;
        let (top, most) = (self.all32(158), self.all32(32));
        self.e2(VEX_Vmovdqu_ymm_ymmm256, d, top)?;
        self.e3(VEX_Vpsubd_ymm_ymm_ymmm256, d, d, t)?;
        // Of zero it is 158; with the sign bit, negative.
        self.e3(VEX_Vpminsd_ymm_ymm_ymmm256, d, d, most)?;
        self.e3(XOR, t, t, t)?;
        self.e3(VEX_Vpmaxsd_ymm_ymm_ymmm256, d, d, t)
    }
}
