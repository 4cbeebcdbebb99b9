//! Registers, operands and instructions of the narrow code.

use iced_x86::{Code, Instruction, MemoryOperand, OpKind, Register};

use super::super::asm::Literal;
use super::bank::{FORMS, NONE};
use super::{Lower, Refused, Result, SCRATCH, flow};

/// The last operand of an instruction.
#[derive(Debug, Clone, Copy)]
pub(super) enum Src {
    Reg(Register),
    Mem(MemoryOperand),
}

impl From<Register> for Src {
    fn from(register: Register) -> Self {
        Self::Reg(register)
    }
}

impl From<MemoryOperand> for Src {
    fn from(memory: MemoryOperand) -> Self {
        Self::Mem(memory)
    }
}

/// A vector register by number.
pub(super) fn ymm(number: u8) -> Register {
    Register::YMM0 + u32::from(number)
}

/// The lower half of a vector register.
pub(super) fn xmm(register: Register) -> Register {
    Register::XMM0 + (register as u32 - Register::YMM0 as u32)
}

/// An integer register of the lowering by number, of 64 bits.
pub(super) fn wide(number: u8) -> Register {
    Register::R8 + u32::from(number)
}

/// The lower half of one.
pub(super) fn narrow(number: u8) -> Register {
    Register::R8D + u32::from(number)
}

fn number(register: Register) -> u8 {
    u8::try_from(register as u32 - Register::YMM0 as u32).unwrap_or(0)
}

/// Values used again within so many instructions are worth a register.
const SOON: u32 = 12;

impl Lower<'_> {
    // Vector registers.

    /// Instructions until the value is read, as the code lies; the largest number when it is not wanted.
    fn distance(&self, value: u8) -> u32 {
        let wanted = self.wanted();
        if value >= FORMS {
            let k = (value - FORMS) / 2;
            return if wanted.has_mask(k) && self.masks[usize::from(k)].width != 0 {
                SOON
            } else {
                u32::MAX
            };
        }
        if !wanted.has_half(value) {
            return u32::MAX;
        }
        let readers = &self.flow.readers[usize::from(value / 2)];
        let at = u32::try_from(self.at).unwrap_or(0);
        let next = readers.partition_point(|&r| r < at);
        readers.get(next).map_or(1 << 30, |r| r - at)
    }

    /// A free register, pinned.
    pub(super) fn tmp(&mut self) -> Result<Register> {
        let busy = self.pinned | self.held;
        let register = (0..16u8)
            .filter(|r| busy >> r & 1 == 0)
            .max_by_key(|&r| {
                self.bank.value(r).map_or((u32::MAX, true), |value| {
                    (self.distance(value), !self.bank.is_dirty(r))
                })
            })
            .ok_or(Refused::Register(self.code[self.at].code()))?;
        if let Some(value) = self.bank.value(register)
            && self.distance(value) != u32::MAX
        {
            self.store_value(value)?;
        }
        self.bank.free(register);
        self.pinned |= 1 << register;
        Ok(ymm(register))
    }

    /// Keeps a register for the whole instruction.
    pub(super) fn hold(&mut self, register: Register) {
        self.held |= 1 << number(register);
    }

    /// Gives a temporary back.
    pub(super) fn give(&mut self, register: Register) {
        self.pinned &= !(1 << number(register));
        self.held &= !(1 << number(register));
    }

    /// Goes on to the other half.
    pub(super) fn next_half(&mut self) {
        self.pinned = 0;
    }

    /// Sees to it that memory holds the value.
    pub(super) fn store_value(&mut self, value: u8) -> Result {
        if let Some(register) = self.bank.register(value)
            && self.bank.is_dirty(register)
        {
            let store = self.store_of(value, register)?;
            self.out.push(store);
            self.bank.set_clean(register);
        }
        Ok(())
    }

    /// A value in a register, pinned.
    pub(super) fn read(&mut self, value: u8) -> Result<Register> {
        if let Some(register) = self.bank.register(value) {
            self.pinned |= 1 << register;
            return Ok(ymm(register));
        }
        let register = self.tmp()?;
        let load = self.load_of(value, number(register))?;
        self.out.push(load);
        self.bank.bind(value, number(register), false);
        Ok(register)
    }

    /// A value where it is, or in a register if it is used again soon.
    fn value(&mut self, value: u8) -> Result<Src> {
        if self.bank.register(value).is_none() {
            let at = u32::try_from(self.at).unwrap_or(0);
            let readers = &self.flow.readers[usize::from(value / 2)];
            let next = readers.partition_point(|&r| r <= at);
            if readers.get(next).is_none_or(|r| r - at > SOON) {
                return Ok(Src::Mem(self.home(value)));
            }
        }
        self.read(value).map(Src::Reg)
    }

    /// The value is what the register holds.
    pub(super) fn set(&mut self, value: u8, register: Register) {
        self.bank.bind(value, number(register), true);
        self.pinned |= 1 << number(register);
    }

    // Integer registers.

    /// A free integer register, pinned: its number.
    pub(super) fn integer(&mut self) -> Result<u8> {
        let free = (0..4u8)
            .filter(|r| self.pinned_integers >> r & 1 == 0)
            .min_by_key(|&r| {
                let owner = self.integers[usize::from(r)];
                (
                    owner < SCRATCH,
                    owner < SCRATCH && !self.masks[usize::from(owner)].stored,
                )
            })
            .ok_or(Refused::Register(self.code[self.at].code()))?;
        let owner = self.integers[usize::from(free)];
        if owner < SCRATCH {
            self.store_bits(owner)?;
            self.masks[usize::from(owner)].register = NONE;
        }
        self.integers[usize::from(free)] = SCRATCH;
        self.pinned_integers |= 1 << free;
        Ok(free)
    }

    // Operands.

    /// Half `h` of a vector operand.
    pub(super) fn half(register: Register, h: u8) -> u8 {
        let z = flow::vector_number(register).unwrap_or(0);
        2 * z + if register.is_zmm() { h } else { 0 }
    }

    /// Half `h` of register operand `o`, in a register.
    pub(super) fn reg(&mut self, i: &Instruction, o: u32, h: u8) -> Result<Register> {
        self.read(Self::half(i.op_register(o), h))
    }

    /// The literal that an instruction names.
    pub(super) fn literal_of(&self, i: &Instruction) -> Option<Literal> {
        (i.memory_base() == Register::RIP)
            .then(|| self.known.get(&i.memory_displacement64()).copied())
            .flatten()
    }

    /// A literal as an operand.
    pub(super) fn literal(&mut self, literal: Literal) -> MemoryOperand {
        let target = self.literals.target(literal);
        MemoryOperand::new(Register::RIP, Register::None, 1, target, 8, false, Register::None)
    }

    /// 32 known bytes.
    pub(super) fn bytes(&mut self, bytes: [u8; 32]) -> Src {
        Src::Mem(self.literal(Literal::Half(bytes)))
    }

    /// Eight times the same.
    pub(super) fn all32(&mut self, value: u32) -> Src {
        self.lanes32(|_| value)
    }

    /// Four times the same.
    pub(super) fn all64(&mut self, value: u64) -> Src {
        let mut bytes = [0; 32];
        for to in bytes.chunks_exact_mut(8) {
            to.copy_from_slice(&value.to_le_bytes());
        }
        self.bytes(bytes)
    }

    /// The same for every lane of the width: of 4 or 8 bytes.
    pub(super) fn all(&mut self, width: u8, narrow: u32, wide: u64) -> Src {
        if width == 8 {
            self.all64(wide)
        } else {
            self.all32(narrow)
        }
    }

    /// Eight known lanes.
    pub(super) fn lanes32(&mut self, lane: impl Fn(u32) -> u32) -> Src {
        let mut bytes = [0; 32];
        for (i, to) in (0u32..).zip(bytes.chunks_exact_mut(4)) {
            to.copy_from_slice(&lane(i).to_le_bytes());
        }
        self.bytes(bytes)
    }

    /// The memory operand of an instruction, `distance` bytes further on.
    pub(super) fn memory_of(i: &Instruction, distance: i64) -> MemoryOperand {
        let at = i.memory_displacement64().cast_signed() + distance;
        MemoryOperand::new(
            i.memory_base(),
            i.memory_index(),
            i.memory_index_scale(),
            at,
            u32::from(at != 0),
            false,
            Register::None,
        )
    }

    /// Half `h` of operand `o`, of the width of a whole vector; an element of memory for all lanes is in a register that is
    /// held until the end of the instruction.
    pub(super) fn src(
        &mut self,
        i: &Instruction,
        o: u32,
        h: u8,
        broadcast: &mut Option<Register>,
    ) -> Result<Src> {
        if i.op_kind(o) == OpKind::Register {
            return self.value(Self::half(i.op_register(o), h));
        }
        if let Some(literal) = self.literal_of(i) {
            return Ok(match literal {
                Literal::Double(value) => self.all32(value),
                Literal::Quad(value) => self.all64(value),
                Literal::Vector(bytes) => {
                    let part = &bytes[32 * usize::from(h)..][..32];
                    self.bytes(part.try_into().unwrap_or([0; 32]))
                }
                Literal::Half(bytes) => self.bytes(bytes),
            });
        }
        if !i.is_broadcast() {
            return Ok(Src::Mem(Self::memory_of(i, 32 * i64::from(h))));
        }
        if let Some(register) = *broadcast {
            return Ok(Src::Reg(register));
        }
        let register = self.tmp()?;
        self.hold(register);
        let code = if i.memory_size().element_size() == 8 {
            Code::VEX_Vpbroadcastq_ymm_xmmm64
        } else {
            Code::VEX_Vpbroadcastd_ymm_xmmm32
        };
        self.e2(code, register, Src::Mem(Self::memory_of(i, 0)))?;
        *broadcast = Some(register);
        Ok(Src::Reg(register))
    }

    /// An operand in a register; it may not be written.
    pub(super) fn load(&mut self, src: Src) -> Result<Register> {
        match src {
            Src::Reg(register) => Ok(register),
            Src::Mem(_) => {
                let register = self.tmp()?;
                self.e2(Code::VEX_Vmovdqu_ymm_ymmm256, register, src)?;
                Ok(register)
            }
        }
    }

    // Instructions.

    pub(super) fn e1(&mut self, code: Code, to: Register, b: Register) -> Result {
        self.out.push(Instruction::with2(code, to, b)?);
        Ok(())
    }

    /// `to = code(b)`
    pub(super) fn e2(&mut self, code: Code, to: Register, b: impl Into<Src>) -> Result {
        self.out.push(match b.into() {
            Src::Reg(b) => Instruction::with2(code, to, b)?,
            Src::Mem(b) => Instruction::with2(code, to, b)?,
        });
        Ok(())
    }

    /// `to = code(b)`, with an immediate
    pub(super) fn e2i(&mut self, code: Code, to: Register, b: impl Into<Src>, imm: u32) -> Result {
        self.out.push(match b.into() {
            Src::Reg(b) => Instruction::with3(code, to, b, imm)?,
            Src::Mem(b) => Instruction::with3(code, to, b, imm)?,
        });
        Ok(())
    }

    /// `to = code(a, b)`
    pub(super) fn e3(&mut self, code: Code, to: Register, a: Register, b: impl Into<Src>) -> Result {
        self.out.push(match b.into() {
            Src::Reg(b) => Instruction::with3(code, to, a, b)?,
            Src::Mem(b) => Instruction::with3(code, to, a, b)?,
        });
        Ok(())
    }

    /// `to = code(a, b)`, with an immediate
    pub(super) fn e3i(
        &mut self,
        code: Code,
        to: Register,
        a: Register,
        b: impl Into<Src>,
        imm: u32,
    ) -> Result {
        self.out.push(match b.into() {
            Src::Reg(b) => Instruction::with4(code, to, a, b, imm)?,
            Src::Mem(b) => Instruction::with4(code, to, a, b, imm)?,
        });
        Ok(())
    }

    /// `to = [memory]` or `[memory] = from`, whichever the code says.
    pub(super) fn store(&mut self, code: Code, to: MemoryOperand, from: Register) -> Result {
        self.out.push(Instruction::with2(code, to, from)?);
        Ok(())
    }

    /// `to = choice ? yes : no`, by lanes of the width.
    pub(super) fn blend(
        &mut self,
        width: u8,
        to: Register,
        no: Register,
        yes: impl Into<Src>,
        choice: Register,
    ) -> Result {
        let code = match width {
            4 => Code::VEX_Vblendvps_ymm_ymm_ymmm256_ymm,
            8 => Code::VEX_Vblendvpd_ymm_ymm_ymmm256_ymm,
            _ => Code::VEX_Vpblendvb_ymm_ymm_ymmm256_ymm,
        };
        self.out.push(match yes.into() {
            Src::Reg(yes) => Instruction::with4(code, to, no, yes, choice)?,
            Src::Mem(yes) => Instruction::with4(code, to, no, yes, choice)?,
        });
        Ok(())
    }

    /// An integer instruction of the lowering with flags as its side effect, where nobody reads those.
    pub(super) fn flags_free(&self) -> Result {
        if flow::flags_wanted(self.code, self.at) {
            return Err(Refused::Flags(self.code[self.at].code()));
        }
        Ok(())
    }

    // Results.

    /// Writes both halves of the destination, by `body` into the register that it is given, under the mask that the
    /// instruction has, whose lanes have `width` bytes. `once`: the body writes that register with its last instruction only.
    pub(super) fn lanes(
        &mut self,
        i: &Instruction,
        width: u8,
        once: bool,
        body: impl FnMut(&mut Self, u8, Register) -> Result,
    ) -> Result {
        self.lanes_of([0, 1], i, width, once, body)
    }

    /// As [`lanes`](Self::lanes), of halves in an order: the upper one first where both are made of the lower one of a source,
    /// which may be the destination.
    pub(super) fn lanes_of(
        &mut self,
        halves: [u8; 2],
        i: &Instruction,
        width: u8,
        once: bool,
        mut body: impl FnMut(&mut Self, u8, Register) -> Result,
    ) -> Result {
        let z = flow::vector_number(i.op0_register()).unwrap_or(0);
        for h in halves {
            let value = 2 * z + h;
            if !self.flow.after[self.at].has_half(value) {
                continue;
            }
            if h == 1 && !i.op0_register().is_zmm() {
                let d = self.tmp()?;
                self.e3(Code::VEX_Vpxor_ymm_ymm_ymmm256, d, d, d)?;
                self.set(value, d);
                continue;
            }
            let own = self.bank.register(value).filter(|_| once && !i.has_op_mask());
            let d = match own {
                Some(register) => {
                    self.pinned |= 1 << register;
                    ymm(register)
                }
                None => self.tmp()?,
            };
            body(self, h, d)?;
            self.masked(i, width, value, d)?;
            self.next_half();
        }
        Ok(())
    }

    /// Makes what is in `d` the value, in the lanes of the instruction's mask.
    fn masked(&mut self, i: &Instruction, width: u8, value: u8, d: Register) -> Result {
        if let Some(k) = flow::mask_number(i.op_mask()) {
            let choice = self.form(k, width, value % 2)?;
            if i.zeroing_masking() {
                self.e3(Code::VEX_Vpand_ymm_ymm_ymmm256, d, d, choice)?;
            } else {
                let old = self.read(value)?;
                self.blend(width, d, old, d, choice)?;
            }
        }
        self.set(value, d);
        Ok(())
    }
}
