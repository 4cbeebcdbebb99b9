//! Moves, loads and stores, also of lanes anywhere.

use iced_x86::{Code, Instruction, MemoryOperand, OpKind, Register};

use super::bank::NONE;
use super::emit::{Src, narrow, wide, xmm};
use super::masks::word;
use super::{Lower, Result, flow};

const LOAD: Code = Code::VEX_Vmovdqu_ymm_ymmm256;
const STORE: Code = Code::VEX_Vmovdqu_ymmm256_ymm;

/// The generator's registers of the frame and of its state: nobody else writes what they point to.
const OWN: [Register; 2] = [Register::R14, Register::R13];

impl Lower<'_> {
    pub(super) fn moves(&mut self, i: &Instruction) -> Result<bool> {
        use Code::*;
        match i.code() {
            EVEX_Vmovdqa64_zmm_k1z_zmmm512
            | EVEX_Vmovdqu64_zmm_k1z_zmmm512
            | EVEX_Vmovdqa32_zmm_k1z_zmmm512
            | EVEX_Vmovdqu32_zmm_k1z_zmmm512
            | EVEX_Vmovdqu16_zmm_k1z_zmmm512
            | EVEX_Vmovdqu8_zmm_k1z_zmmm512
            | EVEX_Vmovdqu32_ymm_k1z_ymmm256 => {
                let width = match i.code() {
                    EVEX_Vmovdqa64_zmm_k1z_zmmm512 | EVEX_Vmovdqu64_zmm_k1z_zmmm512 => 8,
                    EVEX_Vmovdqu16_zmm_k1z_zmmm512 => 2,
                    EVEX_Vmovdqu8_zmm_k1z_zmmm512 => 1,
                    _ => 4,
                };
                let mut bc = None;
                self.lanes(i, width, true, |s, h, d| {
                    let a = s.src(i, 1, h, &mut bc)?;
                    s.e2(LOAD, d, a)
                })?;
            }
            EVEX_Vmovdqa64_zmmm512_k1z_zmm
            | EVEX_Vmovdqa32_zmmm512_k1z_zmm
            | EVEX_Vmovdqu32_zmmm512_k1z_zmm
            | EVEX_Vmovdqu64_zmmm512_k1z_zmm => self.store_vector(i)?,
            EVEX_Vpmovdb_xmmm128_k1z_zmm if i.op0_kind() == OpKind::Memory => self.store_narrow(i, 1)?,
            EVEX_Vpmovdw_ymmm256_k1z_zmm if i.op0_kind() == OpKind::Memory => self.store_narrow(i, 2)?,
            EVEX_Vpbroadcastd_zmm_k1z_xmmm32 | EVEX_Vpbroadcastd_ymm_k1z_xmmm32 => {
                self.spread(i, VEX_Vpbroadcastd_ymm_xmmm32, 4)?;
            }
            EVEX_Vpbroadcastq_zmm_k1z_xmmm64 => self.spread(i, VEX_Vpbroadcastq_ymm_xmmm64, 8)?,
            EVEX_Vpbroadcastd_zmm_k1z_r32 => {
                self.spread_integer(i, VEX_Vmovd_xmm_rm32, VEX_Vpbroadcastd_ymm_xmmm32, 4)?;
            }
            EVEX_Vpbroadcastq_zmm_k1z_r64 => {
                self.spread_integer(i, VEX_Vmovq_xmm_rm64, VEX_Vpbroadcastq_ymm_xmmm64, 8)?;
            }
            EVEX_Vmovd_rm32_xmm | EVEX_Vmovq_rm64_xmm if i.op0_kind() == OpKind::Register => {
                let code = if i.code() == EVEX_Vmovd_rm32_xmm {
                    VEX_Vmovd_rm32_xmm
                } else {
                    VEX_Vmovq_rm64_xmm
                };
                let from = self.reg(i, 1, 0)?;
                self.e1(code, i.op0_register(), xmm(from))?;
            }
            EVEX_Vpgatherdd_zmm_k1_vm32z => self.gather_words(i)?,
            EVEX_Vpgatherqd_ymm_k1_vm64z => self.gather_by_wide(i)?,
            EVEX_Vpgatherqq_zmm_k1_vm64z => self.gather_wide(i)?,
            EVEX_Vpscatterdd_vm32z_k1_zmm => self.scatter(i, 4, 4, 16)?,
            EVEX_Vpscatterqd_vm64z_k1_ymm => self.scatter(i, 8, 4, 8)?,
            EVEX_Vpscatterqq_vm64z_k1_zmm => self.scatter(i, 8, 8, 8)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn spread(&mut self, i: &Instruction, code: Code, width: u8) -> Result {
        if self.literal_of(i).is_some() {
            let mut bc = None;
            return self.lanes(i, width, true, |s, h, d| {
                let a = s.src(i, 1, h, &mut bc)?;
                s.e2(LOAD, d, a)
            });
        }
        let mut first = None;
        self.lanes(i, width, true, |s, _, d| {
            if let Some(first) = first
                && !i.has_op_mask()
            {
                return s.e2(LOAD, d, Src::Reg(first));
            }
            let a = match i.op1_kind() {
                OpKind::Memory => Src::Mem(Self::memory_of(i, 0)),
                _ => Src::Reg(xmm(s.reg(i, 1, 0)?)),
            };
            first = Some(d);
            s.hold(d);
            s.e2(code, d, a)
        })
    }

    fn spread_integer(&mut self, i: &Instruction, movement: Code, code: Code, width: u8) -> Result {
        self.lanes(i, width, true, |s, _, d| {
            s.e1(movement, xmm(d), i.op1_register())?;
            s.e2(code, d, Src::Reg(xmm(d)))
        })
    }

    /// A whole vector to memory, of the lanes of a mask.
    fn store_vector(&mut self, i: &Instruction) -> Result {
        use Code::*;
        let width = match i.code() {
            EVEX_Vmovdqa64_zmmm512_k1z_zmm | EVEX_Vmovdqu64_zmmm512_k1z_zmm => 8,
            _ => 4,
        };
        let Some(k) = flow::mask_number(i.op_mask()) else {
            for h in 0..2 {
                let from = self.reg(i, 1, h)?;
                self.store(STORE, Self::memory_of(i, 32 * i64::from(h)), from)?;
                self.next_half();
            }
            return Ok(());
        };
        if OWN.contains(&i.memory_base()) {
            for h in 0..2 {
                let (to, choice) = (Self::memory_of(i, 32 * i64::from(h)), self.form(k, width, h)?);
                let (from, old) = (self.reg(i, 1, h)?, self.tmp()?);
                self.e2(LOAD, old, to)?;
                self.blend(width, old, old, from, choice)?;
                self.store(STORE, to, old)?;
                self.next_half();
            }
            return Ok(());
        }
        // The whole row, or lane by lane where others are not to be touched.
        let halves = [self.reg(i, 1, 0)?, self.reg(i, 1, 1)?];
        let choices = [self.form(k, width, 0)?, self.form(k, width, 1)?];
        let masked = if width == 4 {
            VEX_Vpmaskmovd_m256_ymm_ymm
        } else {
            VEX_Vpmaskmovq_m256_ymm_ymm
        };
        let t = self.integer()?;
        self.by_row(k, t, if width == 4 { 16 } else { 8 }, |s, whole| {
            for (h, (from, choice)) in (0i64..).zip(halves.into_iter().zip(choices)) {
                let to = Self::memory_of(i, 32 * h);
                s.out.push(if whole {
                    Instruction::with2(STORE, to, from)?
                } else {
                    Instruction::with3(masked, to, choice, from)?
                });
            }
            Ok(())
        })
    }

    /// Emits `body` for when all lanes of the mask are there, and for when some are not. `t` is overwritten.
    fn by_row(
        &mut self,
        k: u8,
        t: u8,
        lanes: u32,
        mut body: impl FnMut(&mut Self, bool) -> Result,
    ) -> Result {
        self.flags_free()?;
        let bits = self.bits(k)?;
        let (part, done) = (self.label(), self.label());
        let all = i32::try_from((1u32 << lanes) - 1).unwrap_or(0);
        if lanes == 16 {
            self.e2(Code::Movzx_r32_rm16, narrow(t), word(bits))?;
        } else {
            self.e2(Code::Movzx_r32_rm8, narrow(t), Register::R8L + u32::from(bits))?;
        }
        self.out
            .push(Instruction::with2(Code::Cmp_rm32_imm32, narrow(t), all)?);
        self.out.push(Instruction::with_branch(Code::Jne_rel32_64, part)?);
        body(self, true)?;
        self.out.push(Instruction::with_branch(Code::Jmp_rel32_64, done)?);
        self.bind(part);
        body(self, false)?;
        self.bind(done);
        Ok(())
    }

    /// The low bytes of sixteen lanes of 32 bits, to a row of `bytes` each.
    fn store_narrow(&mut self, i: &Instruction, bytes: u8) -> Result {
        use Code::*;
        let k = flow::mask_number(i.op_mask());
        let z = flow::vector_number(i.op1_register()).unwrap_or(0);
        let (low, high) = (self.reg(i, 1, 0)?, self.reg(i, 1, 1)?);
        let packed = self.tmp()?;
        self.words(packed, low, high)?;
        if bytes == 1 {
            // Sixteen words: their low bytes.
            let (cut, t) = (self.all32(0x00ff_00ff), self.tmp()?);
            self.e3(VEX_Vpand_ymm_ymm_ymmm256, packed, packed, cut)?;
            self.e2i(VEX_Vextracti128_xmmm128_ymm_imm8, xmm(t), packed, 1)?;
            self.e3(VEX_Vpackuswb_xmm_xmm_xmmm128, xmm(packed), xmm(packed), xmm(t))?;
        }
        let to = Self::memory_of(i, 0);
        let row = |s: &mut Self| {
            if bytes == 1 {
                s.store(VEX_Vmovdqu_xmmm128_xmm, to, xmm(packed))
            } else {
                s.store(STORE, to, packed)
            }
        };
        let Some(k) = k else {
            return row(self);
        };
        self.store_value(2 * z)?;
        self.store_value(2 * z + 1)?;
        let (lane, mask, value) = (self.integer()?, self.integer()?, self.integer()?);
        let from = self.home(2 * z);
        let base = to.base;
        self.by_row(k, mask, 16, |s, whole| {
            if whole {
                return row(s);
            }
            let bits = s.bits(k)?;
            s.e2(Movzx_r32_rm16, narrow(mask), word(bits))?;
            s.each_lane(mask, lane, |s| {
                let element = with_index(from, lane, 4);
                s.e2(Mov_r32_rm32, narrow(value), element)?;
                let place = MemoryOperand::new(
                    base,
                    wide(lane),
                    u32::from(bytes),
                    to.displacement,
                    1,
                    false,
                    Register::None,
                );
                if bytes == 1 {
                    s.store(Mov_rm8_r8, place, Register::R8L + u32::from(value))
                } else {
                    s.store(Mov_rm16_r16, place, word(value))
                }
            })
        })
    }

    /// The low 16 bits of sixteen lanes.
    pub(super) fn words(&mut self, to: Register, low: Register, high: Register) -> Result {
        use Code::*;
        let t = self.tmp()?;
        let cut = self.all32(0xffff);
        self.e3(VEX_Vpand_ymm_ymm_ymmm256, to, low, cut)?;
        self.e3(VEX_Vpand_ymm_ymm_ymmm256, t, high, cut)?;
        self.e3(VEX_Vpackusdw_ymm_ymm_ymmm256, to, to, t)?;
        self.e2i(VEX_Vpermq_ymm_ymmm256_imm8, to, to, 0xd8)?;
        self.give(t);
        Ok(())
    }

    /// Emits a loop over the bits of `mask`, which is used up: `body` finds their numbers in `lane`.
    fn each_lane(&mut self, mask: u8, lane: u8, body: impl FnOnce(&mut Self) -> Result) -> Result {
        let (again, done) = (self.label(), self.label());
        self.e2(Code::Test_rm32_r32, narrow(mask), narrow(mask))?;
        self.out.push(Instruction::with_branch(Code::Je_rel32_64, done)?);
        self.bind(again);
        self.e2(Code::Tzcnt_r32_rm32, narrow(lane), narrow(mask))?;
        body(self)?;
        self.e2(Code::VEX_Blsr_r32_rm32, narrow(mask), narrow(mask))?;
        self.out
            .push(Instruction::with_branch(Code::Jne_rel32_64, again)?);
        self.bind(done);
        Ok(())
    }

    /// Stores lanes anywhere, one after the other: the last of those at one place wins.
    fn scatter(&mut self, i: &Instruction, offset: u32, bytes: u32, lanes: u32) -> Result {
        use Code::*;
        self.flags_free()?;
        let z = flow::vector_number(i.op1_register()).unwrap_or(0);
        let index = flow::vector_number(i.memory_index()).unwrap_or(0);
        for value in [2 * z, 2 * z + 1, 2 * index, 2 * index + 1] {
            self.store_value(value)?;
        }
        let k = flow::mask_number(i.op_mask()).unwrap_or(0);
        let bits = self.bits(k)?;
        let (mask, at) = (self.integer()?, self.integer()?);
        if lanes == 16 {
            self.e2(Movzx_r32_rm16, narrow(mask), word(bits))?;
        } else {
            self.e2(Movzx_r32_rm8, narrow(mask), Register::R8L + u32::from(bits))?;
        }
        // The mask is zero afterwards, and its register free.
        self.store_bits(k)?;
        self.masks[usize::from(k)].register = NONE;
        let lane = bits;
        let value = self.integer()?;
        let (values, offsets) = (self.home(2 * z), self.home(2 * index));
        self.each_lane(mask, lane, |s| {
            let from = with_index(offsets, lane, offset);
            if offset == 4 {
                s.e2(Mov_r32_rm32, narrow(at), from)?;
            } else {
                s.e2(Mov_r64_rm64, wide(at), from)?;
            }
            let to = MemoryOperand::new(
                i.memory_base(),
                wide(at),
                1,
                i.memory_displacement64().cast_signed(),
                1,
                false,
                Register::None,
            );
            let from = with_index(values, lane, bytes);
            if bytes == 4 {
                s.e2(Mov_r32_rm32, narrow(value), from)?;
                s.store(Mov_rm32_r32, to, narrow(value))
            } else {
                s.e2(Mov_r64_rm64, wide(value), from)?;
                s.store(Mov_rm64_r64, to, wide(value))
            }
        })?;
        self.integers[usize::from(lane)] = NONE;
        Ok(())
    }

    /// A gather of the processor: it uses up the mask, and leaves lanes outside alone.
    fn gathered(
        &mut self,
        i: &Instruction,
        code: Code,
        d: Register,
        index: Register,
        choice: Register,
    ) -> Result {
        let from = MemoryOperand::new(
            i.memory_base(),
            index,
            i.memory_index_scale(),
            i.memory_displacement64().cast_signed(),
            1,
            false,
            Register::None,
        );
        self.out.push(Instruction::with3(code, d, from, choice)?);
        Ok(())
    }

    fn gather_words(&mut self, i: &Instruction) -> Result {
        let k = flow::mask_number(i.op_mask()).unwrap_or(0);
        let z = flow::vector_number(i.op0_register()).unwrap_or(0);
        for h in 0..2 {
            let form = self.form(k, 4, h)?;
            let choice = self.copy(Src::Reg(form))?;
            let old = self.value_of(2 * z + h);
            let d = self.copy(old)?;
            let index = self.read(Self::half(i.memory_index(), h))?;
            self.gathered(i, Code::VEX_Vpgatherdd_ymm_vm32y_ymm, d, index, choice)?;
            self.set(2 * z + h, d);
            self.next_half();
        }
        Ok(())
    }

    fn gather_wide(&mut self, i: &Instruction) -> Result {
        let k = flow::mask_number(i.op_mask()).unwrap_or(0);
        let z = flow::vector_number(i.op0_register()).unwrap_or(0);
        for h in 0..2 {
            let form = self.form(k, 8, h)?;
            let choice = self.copy(Src::Reg(form))?;
            let old = self.value_of(2 * z + h);
            let d = self.copy(old)?;
            let index = self.read(Self::half(i.memory_index(), h))?;
            self.gathered(i, Code::VEX_Vpgatherqq_ymm_vm64y_ymm, d, index, choice)?;
            self.set(2 * z + h, d);
            self.next_half();
        }
        Ok(())
    }

    /// Eight lanes of 32 bits at offsets of 64, four at a time.
    fn gather_by_wide(&mut self, i: &Instruction) -> Result {
        use Code::*;
        let k = flow::mask_number(i.op_mask()).unwrap_or(0);
        let z = flow::vector_number(i.op0_register()).unwrap_or(0);
        // Of lanes of 32 bits the lower eight: one half of the form.
        let form = self.form(k, 4, 0)?;
        let choice = self.copy(Src::Reg(form))?;
        let upper = self.tmp()?;
        self.e2i(VEX_Vextracti128_xmmm128_ymm_imm8, xmm(upper), form, 1)?;
        let old = self.value_of(2 * z);
        let d = self.copy(old)?;
        let high = self.tmp()?;
        self.e2i(VEX_Vextracti128_xmmm128_ymm_imm8, xmm(high), d, 1)?;
        for (h, to, choice) in [(0, d, choice), (1, high, upper)] {
            let index = self.read(Self::half(i.memory_index(), h))?;
            self.gathered(i, VEX_Vpgatherqd_xmm_vm64y_xmm, xmm(to), index, xmm(choice))?;
        }
        self.pair(d, d, high)?;
        self.set(2 * z, d);
        if self.flow.after[self.at].has_half(2 * z + 1) {
            let zero = self.tmp()?;
            self.e3(VEX_Vpxor_ymm_ymm_ymmm256, zero, zero, zero)?;
            self.set(2 * z + 1, zero);
        }
        Ok(())
    }

    /// A value where it is.
    pub(super) fn value_of(&self, value: u8) -> Src {
        match self.bank.register(value) {
            Some(register) => Src::Reg(super::emit::ymm(register)),
            None => Src::Mem(self.home(value)),
        }
    }
}

/// Element `lane` of a place in memory.
fn with_index(at: MemoryOperand, lane: u8, bytes: u32) -> MemoryOperand {
    MemoryOperand::new(
        at.base,
        wide(lane),
        bytes,
        at.displacement,
        1,
        false,
        Register::None,
    )
}
