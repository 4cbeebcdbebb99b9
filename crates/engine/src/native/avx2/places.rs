//! Lanes that change places: halves, widths, permutations.

use iced_x86::{Code, Instruction, OpKind, Register};

use super::super::asm::Literal;
use super::emit::{Src, xmm};
use super::{Lower, Result, flow};

const LOAD: Code = Code::VEX_Vmovdqu_ymm_ymmm256;

/// Where the lanes of a permutation of two vectors come from, if known: numbers 0 to 31.
type Places = [u32; 16];

impl Lower<'_> {
    pub(super) fn places(&mut self, i: &Instruction) -> Result<bool> {
        use Code::*;
        match i.code() {
            EVEX_Vextracti64x4_ymmm256_k1z_zmm_imm8 if i.op0_kind() == OpKind::Register => {
                let z = flow::vector_number(i.op1_register()).unwrap_or(0);
                let from = 2 * z + (i.immediate8() & 1);
                self.lanes(i, 8, true, |s, _, d| {
                    let from = s.value_of(from);
                    s.e2(LOAD, d, from)
                })?;
            }
            EVEX_Vinserti64x4_zmm_k1z_zmm_ymmm256_imm8 => self.insert(i)?,
            EVEX_Vpmovzxdq_zmm_k1z_ymmm256 => self.widen(i, VEX_Vpmovzxdq_ymm_xmmm128, 8, 16)?,
            EVEX_Vpmovsxdq_zmm_k1z_ymmm256 => self.widen(i, VEX_Vpmovsxdq_ymm_xmmm128, 8, 16)?,
            EVEX_Vpmovzxwd_zmm_k1z_ymmm256 => self.widen(i, VEX_Vpmovzxwd_ymm_xmmm128, 4, 16)?,
            EVEX_Vpmovsxwd_zmm_k1z_ymmm256 => self.widen(i, VEX_Vpmovsxwd_ymm_xmmm128, 4, 16)?,
            EVEX_Vpmovzxbd_zmm_k1z_xmmm128 => self.widen(i, VEX_Vpmovzxbd_ymm_xmmm64, 4, 8)?,
            EVEX_Vpmovsxbd_zmm_k1z_xmmm128 => self.widen(i, VEX_Vpmovsxbd_ymm_xmmm64, 4, 8)?,
            EVEX_Vpmovzxwq_zmm_k1z_xmmm128 => self.widen(i, VEX_Vpmovzxwq_ymm_xmmm64, 8, 8)?,
            EVEX_Vpmovsxwq_zmm_k1z_xmmm128 => self.widen(i, VEX_Vpmovsxwq_ymm_xmmm64, 8, 8)?,
            EVEX_Vpmovzxbq_zmm_k1z_xmmm64 => self.widen(i, VEX_Vpmovzxbq_ymm_xmmm32, 8, 4)?,
            EVEX_Vpmovsxbq_zmm_k1z_xmmm64 => self.widen(i, VEX_Vpmovsxbq_ymm_xmmm32, 8, 4)?,
            EVEX_Vpmovdw_ymmm256_k1z_zmm => self.lanes(i, 2, false, |s, _, d| {
                let (low, high) = (s.reg(i, 1, 0)?, s.reg(i, 1, 1)?);
                s.words(d, low, high)
            })?,
            EVEX_Vpmovqd_ymmm256_k1z_zmm => self.lanes(i, 4, false, |s, _, d| {
                let (low, high) = (s.reg(i, 1, 0)?, s.reg(i, 1, 1)?);
                s.every_other(d, low, high, 0x88)
            })?,
            EVEX_Vpmovm2b_zmm_kr => {
                let k = flow::mask_number(i.op1_register()).unwrap_or(0);
                self.lanes(i, 1, true, |s, h, d| {
                    let form = s.form(k, 1, h)?;
                    s.e2(LOAD, d, form)
                })?;
            }
            // Both halves of a result are made of both halves of the sources.
            EVEX_Vpermi2d_zmm_k1z_zmm_zmmm512b32 | EVEX_Vpermd_zmm_k1z_zmm_zmmm512b32
                if i.op2_register() == i.op0_register() =>
            {
                return Ok(false);
            }
            EVEX_Vpermi2d_zmm_k1z_zmm_zmmm512b32 if i.op1_register() == i.op0_register() => return Ok(false),
            EVEX_Vpermi2d_zmm_k1z_zmm_zmmm512b32 => self.permutation(i)?,
            EVEX_Vpermd_zmm_k1z_zmm_zmmm512b32 => self.lanes(i, 4, false, |s, h, d| {
                let places = s.reg(i, 1, h)?;
                let (low, high) = (s.src(i, 2, 0, &mut None)?, s.src(i, 2, 1, &mut None)?);
                let t = s.tmp()?;
                s.e3(VEX_Vpermd_ymm_ymm_ymmm256, t, places, high)?;
                s.e3(VEX_Vpermd_ymm_ymm_ymmm256, d, places, low)?;
                let upper = s.tmp()?;
                s.e2i(VEX_Vpslld_ymm_ymm_imm8, upper, places, 28)?;
                s.blend(4, d, d, t, upper)
            })?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn widen(&mut self, i: &Instruction, code: Code, width: u8, bytes: i64) -> Result {
        self.lanes_of([1, 0], i, width, false, |s, h, d| {
            let a = if s.literal_of(i).is_some() || i.is_broadcast() {
                s.part_or_all(i, 1, h)?
            } else {
                s.part(i, 1, h, bytes)?
            };
            s.e2(code, d, a)
        })
    }

    /// The upper half is another one.
    fn insert(&mut self, i: &Instruction) -> Result {
        // Both are read before one is written.
        let whole = 2 * flow::vector_number(i.op1_register()).unwrap_or(0);
        let part = match i.op2_kind() {
            OpKind::Register => {
                let part = 2 * flow::vector_number(i.op2_register()).unwrap_or(0);
                let to = 2 * flow::vector_number(i.op0_register()).unwrap_or(0);
                if part == to && whole != to {
                    let from = self.read(part)?;
                    let kept = self.copy(Src::Reg(from))?;
                    self.hold(kept);
                    Some(kept)
                } else {
                    None
                }
            }
            _ => None,
        };
        self.lanes(i, 8, true, |s, h, d| {
            let from = if h == 0 {
                s.value_of(whole)
            } else if let Some(kept) = part {
                Src::Reg(kept)
            } else if i.op2_kind() == OpKind::Memory {
                Src::Mem(Self::memory_of(i, 0))
            } else {
                s.value_of(2 * flow::vector_number(i.op2_register()).unwrap_or(0))
            };
            if matches!(from, Src::Reg(from) if from == d) {
                return Ok(());
            }
            s.e2(LOAD, d, from)
        })
    }

    /// The even (0x88) or odd (0xdd) words of two registers.
    fn every_other(&mut self, d: Register, low: Register, high: Register, which: u32) -> Result {
        self.e3i(Code::VEX_Vshufps_ymm_ymm_ymmm256_imm8, d, low, high, which)?;
        self.e2i(Code::VEX_Vpermq_ymm_ymmm256_imm8, d, d, 0xd8)
    }

    /// What the instruction before put into the register of places.
    fn known_places(&self, i: &Instruction) -> Option<Places> {
        let before = self.code.get(self.at.checked_sub(1)?)?;
        let moved = before.code() == Code::EVEX_Vmovdqu32_zmm_k1z_zmmm512
            && before.op0_register() == i.op0_register()
            && !before.has_op_mask();
        match self.literal_of(before) {
            Some(Literal::Vector(bytes)) if moved && i.ip() == 0 => Some(std::array::from_fn(|lane| {
                let at = 4 * lane;
                u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
            })),
            _ => None,
        }
    }

    fn permutation(&mut self, i: &Instruction) -> Result {
        let z = flow::vector_number(i.op0_register()).unwrap_or(0);
        let [a, b] = [i.op1_register(), i.op2_register()];
        let whole = i.op2_kind() == OpKind::Register && !i.has_op_mask();
        let known = self.known_places(i).filter(|_| whole);
        let is = |from: &dyn Fn(u32) -> u32| {
            known.is_some_and(|p| (0u32..).zip(p).all(|(lane, p)| p == from(lane)))
        };
        for (which, odd) in [(0x88, 0), (0xdd, 1)] {
            if is(&|lane| 2 * lane + odd) {
                return self.lanes(i, 4, false, |s, h, d| {
                    let from = if h == 0 { a } else { b };
                    let [low, high] = [0, 1].map(|half| Self::half(from, half));
                    let (low, high) = (s.read(low)?, s.read(high)?);
                    s.every_other(d, low, high, which)
                });
            }
        }
        for half in 0..2u8 {
            let first = 8 * u32::from(half);
            if is(&|lane| first + lane / 2 + if lane % 2 == 0 { 0 } else { 16 }) {
                return self.lanes(i, 4, false, |s, h, d| {
                    let (low, high) = (s.read(Self::half(a, half))?, s.read(Self::half(b, half))?);
                    let t = s.tmp()?;
                    for (to, from) in [(d, low), (t, high)] {
                        let mut part = xmm(from);
                        if h == 1 {
                            s.e2i(Code::VEX_Vextracti128_xmmm128_ymm_imm8, xmm(to), from, 1)?;
                            part = xmm(to);
                        }
                        s.e2(Code::VEX_Vpmovzxdq_ymm_xmmm128, to, part)?;
                    }
                    s.e2i(Code::VEX_Vpsllq_ymm_ymm_imm8, t, t, 32)?;
                    s.e3(Code::VEX_Vpor_ymm_ymm_ymmm256, d, d, t)
                });
            }
        }
        self.any_places(i, z)
    }

    /// A permutation of two vectors by numbers in the destination.
    fn any_places(&mut self, i: &Instruction, z: u8) -> Result {
        use Code::*;
        self.lanes(i, 4, false, |s, h, d| {
            let places = s.read(2 * z + h)?;
            let (t, bit) = (s.tmp()?, s.tmp()?);
            let u = s.tmp()?;
            s.e2i(VEX_Vpslld_ymm_ymm_imm8, bit, places, 28)?;
            for (o, to) in [(1, d), (2, u)] {
                for (half, to) in [(0, to), (1, t)] {
                    let pinned = s.pinned;
                    let from = s.src(i, o, half, &mut None)?;
                    s.e3(VEX_Vpermd_ymm_ymm_ymmm256, to, places, from)?;
                    s.pinned = pinned;
                }
                s.blend(4, to, to, t, bit)?;
            }
            s.e2i(VEX_Vpslld_ymm_ymm_imm8, bit, places, 27)?;
            s.blend(4, d, d, u, bit)
        })
    }
}
