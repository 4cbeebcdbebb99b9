//! Mask registers: bits and forms, comparisons, operations on bits.

use iced_x86::{Code, Instruction, MemoryOperand, OpKind, Register, RflagsBits};

use super::bank::{FORMS, Mask, NONE, VALUES};
use super::emit::{Src, narrow, wide};
use super::{Lower, Refused, Result, flow};

const XOR: Code = Code::VEX_Vpxor_ymm_ymm_ymmm256;

/// What a comparison of two numbers asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Unequal,
    GreaterOrEqual,
    Greater,
}

impl Order {
    const fn of(imm: u8) -> Option<Self> {
        Some(match imm {
            0 => Self::Equal,
            1 => Self::Less,
            2 => Self::LessOrEqual,
            4 => Self::Unequal,
            5 => Self::GreaterOrEqual,
            6 => Self::Greater,
            _ => return None,
        })
    }
}

impl Lower<'_> {
    fn bits_home(&self, k: u8, distance: i32) -> MemoryOperand {
        self.spilled(32 * i32::try_from(VALUES).unwrap_or(0) + 8 * i32::from(k) + distance)
    }

    /// The integer register with the bits of a mask, pinned: its number. No flags change.
    pub(super) fn bits(&mut self, k: u8) -> Result<u8> {
        let mask = self.masks[usize::from(k)];
        if mask.register != NONE {
            self.pinned_integers |= 1 << mask.register;
            return Ok(mask.register);
        }
        if !mask.stored {
            return self.bits_of_form(k);
        }
        let register = self.integer()?;
        self.e2(Code::Mov_r64_rm64, wide(register), self.bits_home(k, 0))?;
        self.integers[usize::from(register)] = k;
        self.masks[usize::from(k)].register = register;
        Ok(register)
    }

    /// Sees to it that memory holds the bits of a mask. No flags change.
    pub(super) fn store_bits(&mut self, k: u8) -> Result {
        if self.masks[usize::from(k)].stored {
            return Ok(());
        }
        let pinned = self.pinned_integers;
        let register = self.bits(k)?;
        self.pinned_integers = pinned;
        self.store(Code::Mov_rm64_r64, self.bits_home(k, 0), wide(register))?;
        self.masks[usize::from(k)].stored = true;
        Ok(())
    }

    /// The mask is what the integer register holds.
    fn set_bits(&mut self, k: u8, register: u8) {
        let old = self.masks[usize::from(k)].register;
        if old != NONE && old != register {
            self.integers[usize::from(old)] = NONE;
        }
        for h in 0..2 {
            self.bank.forget(FORMS + 2 * k + h);
        }
        self.integers[usize::from(register)] = k;
        self.masks[usize::from(k)] = Mask {
            register,
            stored: false,
            width: 0,
        };
    }

    /// Writes the bits of a mask by `body`, which is given the register.
    fn make_bits(&mut self, k: u8, body: impl FnOnce(&mut Self, u8) -> Result) -> Result {
        let register = self.integer()?;
        body(self, register)?;
        self.set_bits(k, register);
        Ok(())
    }

    /// The mask is the form that the two registers hold.
    fn set_form(&mut self, k: u8, width: u8, halves: [Register; 2]) {
        let old = self.masks[usize::from(k)].register;
        if old != NONE {
            self.integers[usize::from(old)] = NONE;
        }
        for (h, register) in (0..2).zip(halves) {
            self.set(FORMS + 2 * k + h, register);
        }
        self.masks[usize::from(k)] = Mask {
            register: NONE,
            stored: false,
            width,
        };
    }

    fn bits_of_form(&mut self, k: u8) -> Result<u8> {
        let width = self.masks[usize::from(k)].width;
        let pinned = self.pinned;
        let [low, high] = [self.read(FORMS + 2 * k)?, self.read(FORMS + 2 * k + 1)?];
        let (a, b) = (self.integer()?, self.integer()?);
        match width {
            4 | 8 => {
                let (code, by) = if width == 4 {
                    (Code::VEX_Vmovmskps_r32_ymm, 8)
                } else {
                    (Code::VEX_Vmovmskpd_r32_ymm, 4)
                };
                self.e1(code, narrow(a), low)?;
                self.e1(code, narrow(b), high)?;
                self.e2i(Code::VEX_Rorx_r32_rm32_imm8, narrow(b), narrow(b), 32 - by)?;
                self.sum(a, b, Code::Lea_r32_m)?;
            }
            2 => {
                let t = self.tmp()?;
                self.e3(Code::VEX_Vpacksswb_ymm_ymm_ymmm256, t, low, high)?;
                self.e2i(Code::VEX_Vpermq_ymm_ymmm256_imm8, t, t, 0xd8)?;
                self.e1(Code::VEX_Vpmovmskb_r32_ymm, narrow(a), t)?;
                self.give(t);
            }
            _ => {
                self.e1(Code::VEX_Vpmovmskb_r32_ymm, narrow(a), low)?;
                self.e1(Code::VEX_Vpmovmskb_r32_ymm, narrow(b), high)?;
                self.e2i(Code::VEX_Rorx_r64_rm64_imm8, wide(b), wide(b), 32)?;
                self.sum(a, b, Code::Lea_r64_m)?;
            }
        }
        self.pinned = pinned;
        self.pinned_integers &= !(1 << b);
        self.integers[usize::from(b)] = NONE;
        self.integers[usize::from(a)] = k;
        self.masks[usize::from(k)].register = a;
        Ok(a)
    }

    /// `a += b` without flags.
    fn sum(&mut self, a: u8, b: u8, code: Code) -> Result {
        let to = if code == Code::Lea_r32_m {
            narrow(a)
        } else {
            wide(a)
        };
        let sum = MemoryOperand::with_base_index(wide(a), wide(b));
        self.e2(code, to, sum)
    }

    /// Half `h` of the form of a mask.
    pub(super) fn form(&mut self, k: u8, width: u8, h: u8) -> Result<Register> {
        let mask = self.masks[usize::from(k)];
        if mask.width != width {
            self.store_bits(k)?;
            for half in 0..2 {
                self.bank.forget(FORMS + 2 * k + half);
            }
            let mut halves = [Register::None; 2];
            for (half, register) in (0u8..).zip(&mut halves) {
                *register = self.expand(k, width, half)?;
            }
            for (half, register) in (0..2).zip(halves) {
                self.set(FORMS + 2 * k + half, register);
            }
            self.masks[usize::from(k)].width = width;
            // Only one of the two is in the way.
            self.give(halves[usize::from(1 - h)]);
        }
        self.read(FORMS + 2 * k + h)
    }

    /// A half of the form from the bits in memory.
    fn expand(&mut self, k: u8, width: u8, h: u8) -> Result<Register> {
        let t = self.tmp()?;
        let at = |s: &Self, distance: u8| Src::Mem(s.bits_home(k, i32::from(distance)));
        let bits = match width {
            4 => {
                let from = at(self, 0);
                self.e2(Code::VEX_Vpbroadcastd_ymm_xmmm32, t, from)?;
                self.lanes32(|i| 1 << (8 * u32::from(h) + i))
            }
            8 => {
                let from = at(self, 0);
                self.e2(Code::VEX_Vpbroadcastq_ymm_xmmm64, t, from)?;
                self.lanes32(|i| {
                    if i % 2 == 0 {
                        1 << (4 * u32::from(h) + i / 2)
                    } else {
                        0
                    }
                })
            }
            2 => {
                let from = at(self, 2 * h);
                self.e2(Code::VEX_Vpbroadcastw_ymm_xmmm16, t, from)?;
                self.lanes32(|i| 1 << (2 * i) | 1 << (2 * i + 17))
            }
            _ => {
                let from = at(self, 4 * h);
                self.e2(Code::VEX_Vpbroadcastd_ymm_xmmm32, t, from)?;
                let spread = self.lanes32(|i| 0x0101_0101 * (i / 2));
                self.e3(Code::VEX_Vpshufb_ymm_ymm_ymmm256, t, t, spread)?;
                self.lanes32(|i| if i % 2 == 0 { 0x0804_0201 } else { 0x8040_2010 })
            }
        };
        self.e3(Code::VEX_Vpand_ymm_ymm_ymmm256, t, t, bits)?;
        self.e3(equal(width), t, t, bits)?;
        Ok(t)
    }

    /// Instructions that write or read a mask; false when it is none of them.
    pub(super) fn mask(&mut self, i: &Instruction) -> Result<bool> {
        use Code::*;
        match i.code() {
            VEX_Kmovd_kr_r32 => self.of_integer(i, Mov_r32_rm32)?,
            VEX_Kmovw_kr_r32 => self.of_integer(i, Movzx_r32_rm16)?,
            VEX_Kmovd_kr_km32 => self.of_mask_or_memory(i, Mov_r32_rm32)?,
            VEX_Kmovw_kr_km16 => self.of_mask_or_memory(i, Movzx_r32_rm16)?,
            VEX_Kmovb_kr_km8 => self.of_mask_or_memory(i, Movzx_r32_rm8)?,
            VEX_Kmovd_r32_kr | VEX_Kmovw_r32_kr => {
                let k = flow::mask_number(i.op1_register()).unwrap_or(0);
                let bits = self.bits(k)?;
                if i.code() == VEX_Kmovd_r32_kr {
                    self.e2(Mov_r32_rm32, i.op0_register(), narrow(bits))?;
                } else {
                    self.e2(Movzx_r32_rm16, i.op0_register(), word(bits))?;
                }
            }
            VEX_Kmovd_m32_kr | VEX_Kmovw_m16_kr => {
                let k = flow::mask_number(i.op1_register()).unwrap_or(0);
                let bits = self.bits(k)?;
                if i.code() == VEX_Kmovd_m32_kr {
                    self.store(Mov_rm32_r32, Self::memory_of(i, 0), narrow(bits))?;
                } else {
                    self.store(Mov_rm16_r16, Self::memory_of(i, 0), word(bits))?;
                }
            }
            VEX_Kshiftrd_kr_kr_imm8 | VEX_Kshiftrw_kr_kr_imm8 => self.shift(i)?,
            VEX_Kunpckwd_kr_kr_kr => self.unpack(i, 16)?,
            VEX_Kunpckbw_kr_kr_kr => self.unpack(i, 8)?,
            VEX_Kandw_kr_kr_kr | VEX_Kandd_kr_kr_kr => {
                self.logic(i, And_r64_rm64, VEX_Vpand_ymm_ymm_ymmm256)?;
            }
            VEX_Korw_kr_kr_kr | VEX_Kord_kr_kr_kr => self.logic(i, Or_r64_rm64, VEX_Vpor_ymm_ymm_ymmm256)?,
            VEX_Kandnw_kr_kr_kr | VEX_Kandnd_kr_kr_kr => {
                self.logic(i, VEX_Andn_r64_r64_rm64, VEX_Vpandn_ymm_ymm_ymmm256)?;
            }
            VEX_Kxorw_kr_kr_kr | VEX_Kxord_kr_kr_kr => {
                self.logic(i, Xor_r64_rm64, VEX_Vpxor_ymm_ymm_ymmm256)?;
            }
            VEX_Kxnord_kr_kr_kr if i.op1_register() == i.op2_register() => {
                let k = flow::mask_number(i.op0_register()).unwrap_or(0);
                self.make_bits(k, |s, to| {
                    s.out.push(Instruction::with2(Mov_r32_imm32, narrow(to), -1i32)?);
                    Ok(())
                })?;
            }
            VEX_Knotw_kr_kr | VEX_Knotd_kr_kr => {
                let from = flow::mask_number(i.op1_register()).unwrap_or(0);
                let k = flow::mask_number(i.op0_register()).unwrap_or(0);
                let bits = self.bits(from)?;
                self.make_bits(k, |s, to| {
                    // A complement leaves flags alone.
                    s.e2(Mov_r32_rm32, narrow(to), narrow(bits))?;
                    s.out.push(Instruction::with1(Not_rm32, narrow(to))?);
                    s.cut(i.code(), to)
                })?;
            }
            VEX_Kortestw_kr_kr => self.any(i)?,
            _ => return self.comparison(i),
        }
        Ok(true)
    }

    fn of_integer(&mut self, i: &Instruction, code: Code) -> Result {
        let k = flow::mask_number(i.op0_register()).unwrap_or(0);
        let from = i.op1_register();
        self.make_bits(k, |s, to| {
            if code == Code::Mov_r32_rm32 {
                s.e2(code, narrow(to), from)
            } else {
                let word = Register::AX + (from as u32 - Register::EAX as u32);
                s.e2(code, narrow(to), word)
            }
        })
    }

    fn of_mask_or_memory(&mut self, i: &Instruction, code: Code) -> Result {
        let k = flow::mask_number(i.op0_register()).unwrap_or(0);
        if i.op1_kind() != OpKind::Register {
            let from = Self::memory_of(i, 0);
            return self.make_bits(k, |s, to| s.e2(code, narrow(to), from));
        }
        let bits = self.bits(flow::mask_number(i.op1_register()).unwrap_or(0))?;
        let from = match code {
            Code::Mov_r32_rm32 => narrow(bits),
            Code::Movzx_r32_rm16 => word(bits),
            _ => Register::R8L + u32::from(bits),
        };
        self.make_bits(k, |s, to| s.e2(code, narrow(to), from))
    }

    /// Cuts bits to what an instruction on 16-bit masks leaves.
    fn cut(&mut self, code: Code, to: u8) -> Result {
        use Code::*;
        if matches!(
            code,
            VEX_Kandw_kr_kr_kr
                | VEX_Korw_kr_kr_kr
                | VEX_Kandnw_kr_kr_kr
                | VEX_Kxorw_kr_kr_kr
                | VEX_Knotw_kr_kr
        ) {
            self.e2(Movzx_r32_rm16, narrow(to), word(to))?;
        }
        Ok(())
    }

    fn shift(&mut self, i: &Instruction) -> Result {
        self.flags_free()?;
        let k = flow::mask_number(i.op0_register()).unwrap_or(0);
        let bits = self.bits(flow::mask_number(i.op1_register()).unwrap_or(0))?;
        let by = i32::from(i.immediate8());
        self.make_bits(k, |s, to| {
            if i.code() == Code::VEX_Kshiftrw_kr_kr_imm8 {
                s.e2(Code::Movzx_r32_rm16, narrow(to), word(bits))?;
            } else {
                s.e2(Code::Mov_r32_rm32, narrow(to), narrow(bits))?;
            }
            s.out
                .push(Instruction::with2(Code::Shr_rm32_imm8, narrow(to), by)?);
            Ok(())
        })
    }

    /// `to = a << by | b`
    fn unpack(&mut self, i: &Instruction, by: i32) -> Result {
        self.flags_free()?;
        let k = flow::mask_number(i.op0_register()).unwrap_or(0);
        let a = self.bits(flow::mask_number(i.op1_register()).unwrap_or(0))?;
        let b = self.bits(flow::mask_number(i.op2_register()).unwrap_or(0))?;
        self.make_bits(k, |s, to| {
            let t = s.integer()?;
            if by == 16 {
                s.e2(Code::Movzx_r32_rm16, narrow(t), word(b))?;
                s.e2(Code::Mov_r32_rm32, narrow(to), narrow(a))?;
            } else {
                s.e2(Code::Movzx_r32_rm8, narrow(t), Register::R8L + u32::from(b))?;
                s.e2(Code::Movzx_r32_rm8, narrow(to), Register::R8L + u32::from(a))?;
            }
            s.out
                .push(Instruction::with2(Code::Shl_rm32_imm8, narrow(to), by)?);
            s.e2(Code::Or_r32_rm32, narrow(to), narrow(t))
        })
    }

    fn logic(&mut self, i: &Instruction, code: Code, vector: Code) -> Result {
        let k = flow::mask_number(i.op0_register()).unwrap_or(0);
        let [a, b] = [i.op1_register(), i.op2_register()].map(|r| flow::mask_number(r).unwrap_or(0));
        let [of_a, of_b] = [a, b].map(|k| self.masks[usize::from(k)]);
        // Forms, as long as one of the two is nothing else.
        if of_a.width != 0 && of_a.width == of_b.width && !(of_a.has_bits() && of_b.has_bits()) {
            let mut halves = [Register::None; 2];
            for (h, half) in (0..2).zip(&mut halves) {
                let (x, y) = (self.form(a, of_a.width, h)?, self.form(b, of_a.width, h)?);
                *half = self.tmp()?;
                self.e3(vector, *half, x, y)?;
            }
            self.set_form(k, of_a.width, halves);
            return Ok(());
        }
        self.flags_free()?;
        let (a, b) = (self.bits(a)?, self.bits(b)?);
        self.make_bits(k, |s, to| {
            if code == Code::VEX_Andn_r64_r64_rm64 {
                s.e3(code, wide(to), wide(a), wide(b))?;
            } else {
                s.e2(Code::Mov_r64_rm64, wide(to), wide(a))?;
                s.e2(code, wide(to), wide(b))?;
            }
            s.cut(i.code(), to)
        })
    }

    /// Whether any of the 16 bits is set, as the zero flag, or all of them, as the carry flag: whichever is read.
    fn any(&mut self, i: &Instruction) -> Result {
        let a = self.bits(flow::mask_number(i.op0_register()).unwrap_or(0))?;
        let b = self.bits(flow::mask_number(i.op1_register()).unwrap_or(0))?;
        let t = self.integer()?;
        self.e2(Code::Mov_r32_rm32, narrow(t), narrow(a))?;
        self.e2(Code::Or_r32_rm32, narrow(t), narrow(b))?;
        self.out.push(match flow::flags_read(self.code, self.at) {
            RflagsBits::CF => Instruction::with2(Code::Add_rm16_imm8, word(t), 1)?,
            RflagsBits::NONE | RflagsBits::ZF => {
                Instruction::with2(Code::Test_rm32_imm32, narrow(t), 0xffffi32)?
            }
            _ => return Err(Refused::Flags(i.code())),
        });
        Ok(())
    }

    /// Comparisons and what else makes a mask of vectors.
    fn comparison(&mut self, i: &Instruction) -> Result<bool> {
        use Code::*;
        let width = match i.code() {
            EVEX_Vpcmpud_kr_k1_zmm_zmmm512b32_imm8
            | EVEX_Vpcmpd_kr_k1_zmm_zmmm512b32_imm8
            | EVEX_Vpcmpeqd_kr_k1_zmm_zmmm512b32
            | EVEX_Vptestmd_kr_k1_zmm_zmmm512b32
            | EVEX_Vptestnmd_kr_k1_zmm_zmmm512b32
            | EVEX_Vpmovd2m_kr_zmm
            | EVEX_Vcmpps_kr_k1_zmm_zmmm512b32_imm8_sae
            | EVEX_Vcmpps_kr_k1_ymm_ymmm256b32_imm8
            | EVEX_Vfpclassps_kr_k1_zmmm512b32_imm8 => 4,
            EVEX_Vpcmpuq_kr_k1_zmm_zmmm512b64_imm8
            | EVEX_Vpcmpq_kr_k1_zmm_zmmm512b64_imm8
            | EVEX_Vpcmpeqq_kr_k1_zmm_zmmm512b64
            | EVEX_Vptestmq_kr_k1_zmm_zmmm512b64
            | EVEX_Vptestnmq_kr_k1_zmm_zmmm512b64
            | EVEX_Vpmovq2m_kr_zmm
            | EVEX_Vcmppd_kr_k1_zmm_zmmm512b64_imm8_sae
            | EVEX_Vfpclasspd_kr_k1_zmmm512b64_imm8 => 8,
            EVEX_Vptestnmw_kr_k1_zmm_zmmm512 | EVEX_Vpcmpuw_kr_k1_zmm_zmmm512_imm8 => 2,
            EVEX_Vptestmb_kr_k1_zmm_zmmm512 | EVEX_Vpmovb2m_kr_zmm => 1,
            _ => return Ok(false),
        };
        let k = flow::mask_number(i.op0_register()).unwrap_or(0);
        let mut broadcast = None;
        let mut halves = [Register::None; 2];
        for (h, half) in (0..2u8).zip(&mut halves) {
            let d = self.tmp()?;
            self.hold(d);
            *half = d;
            if h == 1 && i.code() == EVEX_Vcmpps_kr_k1_ymm_ymmm256b32_imm8 {
                self.e3(XOR, d, d, d)?;
                continue;
            }
            if !self.compare_half(i, width, h, d, &mut broadcast)? {
                return Ok(false);
            }
            if let Some(under) = flow::mask_number(i.op_mask()) {
                let choice = self.form(under, width, h)?;
                self.e3(VEX_Vpand_ymm_ymm_ymmm256, d, d, choice)?;
            }
            self.next_half();
        }
        if i.code() == EVEX_Vcmpps_kr_k1_ymm_ymmm256b32_imm8 && self.flow.after[self.at].has_mask(k) {
            return self.eight_of_width_four(k, halves).map(|()| true);
        }
        self.set_form(k, width, halves);
        Ok(true)
    }

    /// Eight lanes of four bytes that will be asked for as lanes of eight.
    fn eight_of_width_four(&mut self, k: u8, [low, high]: [Register; 2]) -> Result {
        use Code::*;
        let _ = high;
        let (a, b) = (self.tmp()?, self.tmp()?);
        self.e2(VEX_Vpmovsxdq_ymm_xmmm128, a, super::emit::xmm(low))?;
        self.e2i(VEX_Vextracti128_xmmm128_ymm_imm8, super::emit::xmm(b), low, 1)?;
        self.e2(VEX_Vpmovsxdq_ymm_xmmm128, b, super::emit::xmm(b))?;
        self.set_form(k, 8, [a, b]);
        Ok(())
    }

    /// A half of a comparison as all ones and zeros in `d`.
    fn compare_half(
        &mut self,
        i: &Instruction,
        width: u8,
        h: u8,
        d: Register,
        broadcast: &mut Option<Register>,
    ) -> Result<bool> {
        use Code::*;
        match i.code() {
            EVEX_Vpmovd2m_kr_zmm => {
                let a = self.reg(i, 1, h)?;
                self.e2i(VEX_Vpsrad_ymm_ymm_imm8, d, a, 31)?;
            }
            EVEX_Vpmovq2m_kr_zmm | EVEX_Vpmovb2m_kr_zmm => {
                let a = self.src(i, 1, h, broadcast)?;
                self.e3(XOR, d, d, d)?;
                let code = if width == 1 {
                    VEX_Vpcmpgtb_ymm_ymm_ymmm256
                } else {
                    VEX_Vpcmpgtq_ymm_ymm_ymmm256
                };
                self.e3(code, d, d, a)?;
            }
            EVEX_Vcmpps_kr_k1_zmm_zmmm512b32_imm8_sae | EVEX_Vcmpps_kr_k1_ymm_ymmm256b32_imm8 => {
                let (a, b) = (self.reg(i, 1, h)?, self.src(i, 2, h, broadcast)?);
                self.e3i(VEX_Vcmpps_ymm_ymm_ymmm256_imm8, d, a, b, i.immediate8().into())?;
            }
            EVEX_Vcmppd_kr_k1_zmm_zmmm512b64_imm8_sae => {
                let (a, b) = (self.reg(i, 1, h)?, self.src(i, 2, h, broadcast)?);
                self.e3i(VEX_Vcmppd_ymm_ymm_ymmm256_imm8, d, a, b, i.immediate8().into())?;
            }
            EVEX_Vfpclassps_kr_k1_zmmm512b32_imm8 | EVEX_Vfpclasspd_kr_k1_zmmm512b64_imm8 => {
                let a = self.src(i, 1, h, broadcast)?;
                return self.class(width, i.immediate8(), d, a);
            }
            EVEX_Vptestmd_kr_k1_zmm_zmmm512b32
            | EVEX_Vptestmq_kr_k1_zmm_zmmm512b64
            | EVEX_Vptestmb_kr_k1_zmm_zmmm512 => {
                self.test(i, width, h, d, broadcast)?;
                self.complement(d)?;
            }
            EVEX_Vptestnmd_kr_k1_zmm_zmmm512b32
            | EVEX_Vptestnmq_kr_k1_zmm_zmmm512b64
            | EVEX_Vptestnmw_kr_k1_zmm_zmmm512 => self.test(i, width, h, d, broadcast)?,
            EVEX_Vpcmpeqd_kr_k1_zmm_zmmm512b32 | EVEX_Vpcmpeqq_kr_k1_zmm_zmmm512b64 => {
                let (a, b) = (self.reg(i, 1, h)?, self.src(i, 2, h, broadcast)?);
                self.e3(equal(width), d, a, b)?;
            }
            _ => {
                let signed = matches!(
                    i.code(),
                    EVEX_Vpcmpd_kr_k1_zmm_zmmm512b32_imm8 | EVEX_Vpcmpq_kr_k1_zmm_zmmm512b64_imm8
                );
                let Some(order) = Order::of(i.immediate8()) else {
                    return Ok(false);
                };
                let (a, b) = (self.reg(i, 1, h)?, self.src(i, 2, h, broadcast)?);
                self.order(width, signed, order, d, a, b)?;
            }
        }
        Ok(true)
    }

    /// Whether no bit of both operands is set.
    fn test(
        &mut self,
        i: &Instruction,
        width: u8,
        h: u8,
        d: Register,
        broadcast: &mut Option<Register>,
    ) -> Result {
        let zero = self.tmp()?;
        self.e3(XOR, zero, zero, zero)?;
        if i.op2_kind() == OpKind::Register && i.op1_register() == i.op2_register() {
            let a = self.src(i, 1, h, broadcast)?;
            return self.e3(equal(width), d, zero, a);
        }
        let (a, b) = (self.reg(i, 1, h)?, self.src(i, 2, h, broadcast)?);
        self.e3(Code::VEX_Vpand_ymm_ymm_ymmm256, d, a, b)?;
        self.e3(equal(width), d, d, zero)
    }

    pub(super) fn complement(&mut self, d: Register) -> Result {
        let ones = self.all32(u32::MAX);
        self.e3(XOR, d, d, ones)
    }

    fn order(&mut self, width: u8, signed: bool, order: Order, d: Register, a: Register, b: Src) -> Result {
        use Code::*;
        use Order::*;
        if matches!(order, Equal | Unequal) {
            self.e3(equal(width), d, a, b)?;
        } else if !signed && width != 8 {
            let (least, most) = if width == 4 {
                (VEX_Vpminud_ymm_ymm_ymmm256, VEX_Vpmaxud_ymm_ymm_ymmm256)
            } else {
                (VEX_Vpminuw_ymm_ymm_ymmm256, VEX_Vpmaxuw_ymm_ymm_ymmm256)
            };
            // Greater is not less or equal, less is not greater or equal.
            let code = if matches!(order, LessOrEqual | Greater) {
                least
            } else {
                most
            };
            self.e3(code, d, a, b)?;
            self.e3(equal(width), d, d, a)?;
            if matches!(order, Less | Greater) {
                self.complement(d)?;
            }
            return Ok(());
        } else {
            let (mut a, mut b) = (a, b);
            if !signed {
                let sign = self.all64(1 << 63);
                let sign = self.load(sign)?;
                let (x, y) = (self.tmp()?, self.tmp()?);
                self.e3(XOR, x, a, sign)?;
                self.e3(XOR, y, sign, b)?;
                (a, b) = (x, Src::Reg(y));
            }
            let greater = if width == 8 {
                VEX_Vpcmpgtq_ymm_ymm_ymmm256
            } else {
                VEX_Vpcmpgtd_ymm_ymm_ymmm256
            };
            if matches!(order, Greater | LessOrEqual) {
                self.e3(greater, d, a, b)?;
            } else {
                let b = self.load(b)?;
                self.e3(greater, d, b, a)?;
            }
        }
        if matches!(order, Unequal | LessOrEqual | GreaterOrEqual) {
            self.complement(d)?;
        }
        Ok(())
    }

    /// Whether numbers are of the classes of `vfpclass`.
    fn class(&mut self, width: u8, classes: u8, d: Register, a: Src) -> Result<bool> {
        use Code::*;
        const NAN: u8 = 0x81;
        const INFINITE: u8 = 0x18;
        const SUBNORMAL: u8 = 0x20;
        if ![0, NAN].contains(&(classes & NAN))
            || ![0, INFINITE].contains(&(classes & INFINITE))
            || classes & !(NAN | INFINITE | SUBNORMAL) != 0
        {
            return Ok(false);
        }
        let magnitude = self.tmp()?;
        let bits = self.all(width, !(1 << 31), !(1 << 63));
        let a = self.load(a)?;
        self.e3(VEX_Vpand_ymm_ymm_ymmm256, magnitude, a, bits)?;
        let infinity = self.all(width, 0x7f80_0000, 0x7ff0 << 48);
        let greater = if width == 8 {
            VEX_Vpcmpgtq_ymm_ymm_ymmm256
        } else {
            VEX_Vpcmpgtd_ymm_ymm_ymmm256
        };
        let mut made = false;
        if classes & NAN != 0 {
            self.e3(greater, d, magnitude, infinity)?;
            made = true;
        }
        if classes & INFINITE != 0 {
            let t = if made { self.tmp()? } else { d };
            self.e3(equal(width), t, magnitude, infinity)?;
            if made {
                self.e3(VEX_Vpor_ymm_ymm_ymmm256, d, d, t)?;
            }
            made = true;
        }
        if classes & SUBNORMAL != 0 {
            let (t, u) = (if made { self.tmp()? } else { d }, self.tmp()?);
            let normal = self.all(width, 0x0080_0000, 0x0010 << 48);
            let normal = self.load(normal)?;
            self.e3(greater, t, normal, magnitude)?;
            self.e3(XOR, u, u, u)?;
            self.e3(greater, u, magnitude, u)?;
            self.e3(VEX_Vpand_ymm_ymm_ymmm256, t, t, u)?;
            if made {
                self.e3(VEX_Vpor_ymm_ymm_ymmm256, d, d, t)?;
            }
        }
        Ok(true)
    }
}

/// The low 16 bits of an integer register.
pub(super) fn word(number: u8) -> Register {
    Register::R8W + u32::from(number)
}

/// The comparison for equality of lanes of a width.
pub(super) const fn equal(width: u8) -> Code {
    match width {
        1 => Code::VEX_Vpcmpeqb_ymm_ymm_ymmm256,
        2 => Code::VEX_Vpcmpeqw_ymm_ymm_ymmm256,
        8 => Code::VEX_Vpcmpeqq_ymm_ymm_ymmm256,
        _ => Code::VEX_Vpcmpeqd_ymm_ymm_ymmm256,
    }
}
