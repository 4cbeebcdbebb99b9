//! What the emission of every operation stands on: operands, temporaries, instructions with masks.
//!
//! An operation is emitted once per vector: once for 32-bit lanes, for the low and then the high eight lanes where they
//! have 64 bits. Within one of these, sources are read before the destination is written (it may be one of them), and only
//! the last instruction writes it, under the mask. Everything before works on temporaries.

use iced_x86::{Code, IcedError, Instruction, MemoryOperand, Register, RoundingControl};

use super::alu::{Lanes, Source, Temps};
use super::asm::Asm;
use super::ops;

pub(super) type Result<T = ()> = std::result::Result<T, IcedError>;

/// An instruction for 32-bit lanes and the same for 64-bit lanes.
pub(super) type Pair = [Code; 2];

/// The last operand of an instruction.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rm {
    Reg(Register),
    Mem(MemoryOperand),
}

impl From<Register> for Rm {
    fn from(register: Register) -> Self {
        Self::Reg(register)
    }
}

impl From<MemoryOperand> for Rm {
    fn from(memory: MemoryOperand) -> Self {
        Self::Mem(memory)
    }
}

impl Rm {
    /// Whether it is this register.
    pub(super) fn is(self, register: Register) -> bool {
        matches!(self, Self::Reg(own) if own == register)
    }

    /// The one element of a broadcast operand, for an instruction that reads no vector.
    pub(super) fn element(self) -> Self {
        match self {
            Self::Mem(mut memory) => {
                memory.is_broadcast = false;
                Self::Mem(memory)
            }
            register @ Self::Reg(_) => register,
        }
    }
}

/// Where an instruction writes: a register, under a mask or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct To {
    register: Register,
    mask: Register,
    zeroing: bool,
}

impl To {
    /// The register.
    pub(super) const fn register(self) -> Register {
        self.register
    }
}

impl From<Register> for To {
    fn from(register: Register) -> Self {
        Self {
            register,
            mask: Register::None,
            zeroing: false,
        }
    }
}

/// The lanes of `mask`; the others stay.
pub(super) fn at(register: Register, mask: Register) -> To {
    To {
        register,
        mask,
        zeroing: false,
    }
}

/// The lanes of `mask`; the others become zero.
pub(super) fn zeroed(register: Register, mask: Register) -> To {
    To {
        register,
        mask,
        zeroing: true,
    }
}

/// The lower half of a vector register.
pub(super) fn ymm(register: Register) -> Register {
    Register::YMM0 + (register as u32 - Register::ZMM0 as u32)
}

/// The lowest quarter of a vector register.
pub(super) fn xmm(register: Register) -> Register {
    Register::XMM0 + (register as u32 - Register::ZMM0 as u32)
}

/// The rounding of bits 0 and 1 of an immediate.
pub(super) const fn rounding(x: u32) -> RoundingControl {
    match x & 3 {
        0 => RoundingControl::RoundToNearest,
        1 => RoundingControl::RoundTowardZero,
        2 => RoundingControl::RoundDown,
        _ => RoundingControl::RoundUp,
    }
}

/// The emission of one operation.
pub(super) struct Emit<'a> {
    a: &'a mut Asm,
    temps: &'a Temps,
    sources: [Source; 3],
    destination: Lanes,
    mask: Register,
    /// The immediate.
    pub(super) x: u32,
    /// Whether the instructions of a [`Pair`] are those for 64-bit lanes.
    pub(super) wide: bool,
    /// Which vector of 64-bit lanes.
    half: usize,
    /// Whether the last mask register holds the mask of the high half.
    high_mask: bool,
    /// Temporaries that hold sources for the whole operation.
    kept: usize,
    zmm: usize,
    k: usize,
}

impl<'a> Emit<'a> {
    pub(super) fn new(
        a: &'a mut Asm,
        x: u32,
        destination: Lanes,
        mask: Register,
        sources: &[Source],
        temps: &'a Temps,
    ) -> Result<Self> {
        let mut all = [Source::Constant(0); 3];
        all[..sources.len()].copy_from_slice(sources);
        let mut emit = Self {
            a,
            temps,
            sources: all,
            destination,
            mask,
            x,
            wide: false,
            half: 0,
            high_mask: false,
            kept: 0,
            zmm: 0,
            k: 0,
        };
        emit.keep_sources()?;
        Ok(emit)
    }

    /// A source of 32-bit lanes must outlive the writing of the low half of a result of 64-bit lanes.
    fn keep_sources(&mut self) -> Result {
        let Lanes::W64([low, high]) = self.destination else {
            return Ok(());
        };
        for i in 0..3 {
            if let Source::Reg(Lanes::W32(z)) = self.sources[i]
                && (z == low || z == high)
            {
                let kept = self.temps.zmm[self.kept];
                self.op2(ops::MOVE, Register::from(kept), Register::from(z))?;
                self.sources[i] = Source::Reg(Lanes::W32(kept));
                self.kept += 1;
            }
        }
        self.zmm = self.kept;
        Ok(())
    }

    /// What the processor has besides.
    pub(super) fn extras(&self) -> super::asm::Extras {
        self.a.extras
    }

    /// Whether a NaN may stay as the processor makes it.
    pub(super) fn any_nan(&self) -> bool {
        self.a.any_nan
    }

    // Temporaries.

    /// A free vector register.
    pub(super) fn z(&mut self) -> Register {
        self.zmm += 1;
        self.temps.zmm[self.zmm - 1].into()
    }

    /// A free mask register.
    pub(super) fn k(&mut self) -> Register {
        self.k += 1;
        // The last one holds the mask of the high half.
        debug_assert!(self.k < 3 || !self.high_mask);
        self.temps.k[self.k - 1].into()
    }

    /// A mask register to write what is computed under mask `k`: `k` itself if it is a temporary.
    pub(super) fn mask_from(&mut self, k: Register) -> Register {
        if self.temps.k.iter().any(|&temp| Register::from(temp) == k) {
            k
        } else {
            self.k()
        }
    }

    /// Gives back all temporaries but the one that now holds `z`.
    pub(super) fn keep_only(&mut self, z: Register) -> Result<Register> {
        self.zmm = self.kept;
        let kept = self.z();
        if kept != z {
            self.op2(ops::MOVE, kept, z)?;
        }
        Ok(kept)
    }

    /// Temporaries in use, for [`release`](Self::release).
    pub(super) fn used(&self) -> (usize, usize) {
        (self.zmm, self.k)
    }

    /// Gives back the temporaries taken since.
    pub(super) fn release(&mut self, used: (usize, usize)) {
        (self.zmm, self.k) = used;
    }

    // Instructions.

    fn push(&mut self, mut instruction: Instruction, to: To) -> Result {
        if to.mask != Register::None {
            instruction.set_op_mask(to.mask);
            instruction.set_zeroing_masking(to.zeroing);
        }
        self.a.add_instruction(instruction)
    }

    fn pick(&self, pair: Pair) -> Code {
        pair[usize::from(self.wide)]
    }

    /// `to = code(b)`
    pub(super) fn i2(&mut self, code: Code, to: impl Into<To>, b: impl Into<Rm>) -> Result {
        let to = to.into();
        let instruction = match b.into() {
            Rm::Reg(b) => Instruction::with2(code, to.register, b)?,
            Rm::Mem(b) => Instruction::with2(code, to.register, b)?,
        };
        self.push(instruction, to)
    }

    /// `to = code(b)`, with an immediate
    pub(super) fn i2i(&mut self, code: Code, to: impl Into<To>, b: impl Into<Rm>, imm: u32) -> Result {
        let to = to.into();
        let instruction = match b.into() {
            Rm::Reg(b) => Instruction::with3(code, to.register, b, imm)?,
            Rm::Mem(b) => Instruction::with3(code, to.register, b, imm)?,
        };
        self.push(instruction, to)
    }

    /// `to = code(a, b)`
    pub(super) fn i3(&mut self, code: Code, to: impl Into<To>, a: Register, b: impl Into<Rm>) -> Result {
        let to = to.into();
        let instruction = match b.into() {
            Rm::Reg(b) => Instruction::with3(code, to.register, a, b)?,
            Rm::Mem(b) => Instruction::with3(code, to.register, a, b)?,
        };
        self.push(instruction, to)
    }

    /// `to = code(a, b)`, with an immediate
    pub(super) fn i3i(
        &mut self,
        code: Code,
        to: impl Into<To>,
        a: Register,
        b: impl Into<Rm>,
        imm: u32,
    ) -> Result {
        let to = to.into();
        let instruction = match b.into() {
            Rm::Reg(b) => Instruction::with4(code, to.register, a, b, imm)?,
            Rm::Mem(b) => Instruction::with4(code, to.register, a, b, imm)?,
        };
        self.push(instruction, to)
    }

    /// `to = code(b)`, rounding as said
    pub(super) fn i2r(
        &mut self,
        code: Code,
        to: impl Into<To>,
        b: Register,
        rounding: RoundingControl,
    ) -> Result {
        let to = to.into();
        let mut instruction = Instruction::with2(code, to.register, b)?;
        instruction.set_rounding_control(rounding);
        self.push(instruction, to)
    }

    /// `to = code(a, b)`, rounding as said
    pub(super) fn i3r(
        &mut self,
        code: Code,
        to: impl Into<To>,
        a: Register,
        b: Register,
        rounding: RoundingControl,
    ) -> Result {
        let to = to.into();
        let mut instruction = Instruction::with3(code, to.register, a, b)?;
        instruction.set_rounding_control(rounding);
        self.push(instruction, to)
    }

    /// As [`i2`](Self::i2) for the width of the operation.
    pub(super) fn op2(&mut self, pair: Pair, to: impl Into<To>, b: impl Into<Rm>) -> Result {
        self.i2(self.pick(pair), to, b)
    }

    /// As [`i2i`](Self::i2i) for the width of the operation.
    pub(super) fn op2i(&mut self, pair: Pair, to: impl Into<To>, b: impl Into<Rm>, imm: u32) -> Result {
        self.i2i(self.pick(pair), to, b, imm)
    }

    /// As [`i3`](Self::i3) for the width of the operation.
    pub(super) fn op3(&mut self, pair: Pair, to: impl Into<To>, a: Register, b: impl Into<Rm>) -> Result {
        self.i3(self.pick(pair), to, a, b)
    }

    /// As [`i3i`](Self::i3i) for the width of the operation.
    pub(super) fn op3i(
        &mut self,
        pair: Pair,
        to: impl Into<To>,
        a: Register,
        b: impl Into<Rm>,
        imm: u32,
    ) -> Result {
        self.i3i(self.pick(pair), to, a, b, imm)
    }

    /// As [`i3`](Self::i3) for the width of the operation; embedded rounding unless it is to nearest.
    pub(super) fn op3r(
        &mut self,
        pair: Pair,
        to: impl Into<To>,
        a: Register,
        b: impl Into<Rm>,
        rounding: RoundingControl,
    ) -> Result {
        if rounding == RoundingControl::RoundToNearest {
            return self.op3(pair, to, a, b);
        }
        let b = self.load(b)?;
        self.i3r(self.pick(pair), to, a, b, rounding)
    }

    /// As [`i2`](Self::i2) for the width of the operation; embedded rounding unless it is to nearest.
    pub(super) fn op2r(
        &mut self,
        pair: Pair,
        to: impl Into<To>,
        b: impl Into<Rm>,
        rounding: RoundingControl,
    ) -> Result {
        if rounding == RoundingControl::RoundToNearest {
            return self.op2(pair, to, b);
        }
        let b = self.load(b)?;
        self.i2r(self.pick(pair), to, b, rounding)
    }

    /// All zeros.
    pub(super) fn zero(&mut self) -> Result<Register> {
        let z = self.z();
        self.i3(ops::XOR[0], z, z, z)?;
        Ok(z)
    }

    /// All ones.
    pub(super) fn ones(&mut self) -> Result<Register> {
        let z = self.z();
        self.i3i(ops::TERNARY[0], z, z, z, 0xff)?;
        Ok(z)
    }

    /// A copy that may be changed.
    pub(super) fn copy(&mut self, b: impl Into<Rm>) -> Result<Register> {
        let z = self.z();
        self.mov(z, b)?;
        Ok(z)
    }

    /// `to = b`, which is a register, a whole vector in memory, or one element for every lane of the operation's width.
    pub(super) fn mov(&mut self, to: impl Into<To>, b: impl Into<Rm>) -> Result {
        match b.into() {
            Rm::Mem(mut memory) if memory.is_broadcast => {
                memory.is_broadcast = false;
                self.op2(ops::BROADCAST, to, memory)
            }
            b => self.op2(ops::MOVE, to, b),
        }
    }

    /// `b` in a register.
    pub(super) fn load(&mut self, b: impl Into<Rm>) -> Result<Register> {
        match b.into() {
            Rm::Reg(register) => Ok(register),
            b => self.copy(b),
        }
    }

    /// `first`, where a bit of `choice` is set, else `second`; `choice` is overwritten.
    pub(super) fn choose(&mut self, choice: Register, first: Register, second: impl Into<Rm>) -> Result {
        self.op3i(ops::TERNARY, choice, first, second, 0xca)
    }

    // Literals.

    /// `value` for every 32-bit lane.
    pub(super) fn c32(&mut self, value: u32) -> Rm {
        Rm::Mem(self.a.memory32(value, true))
    }

    /// `value` for every 64-bit lane.
    pub(super) fn c64(&mut self, value: u64) -> Rm {
        Rm::Mem(self.a.memory64(value, true))
    }

    /// One of the two, for every lane of the operation's width.
    pub(super) fn c(&mut self, narrow: u32, wide: u64) -> Rm {
        if self.wide {
            self.c64(wide)
        } else {
            self.c32(narrow)
        }
    }

    /// A whole vector of 32-bit lanes.
    pub(super) fn vector32(&mut self, lanes: [u32; 16]) -> Rm {
        let mut bytes = [0; 64];
        for (to, lane) in bytes.chunks_mut(4).zip(lanes) {
            to.copy_from_slice(&lane.to_le_bytes());
        }
        Rm::Mem(self.a.memory512(bytes))
    }

    /// A whole vector of 64-bit lanes.
    pub(super) fn vector64(&mut self, lanes: [u64; 8]) -> Rm {
        let mut bytes = [0; 64];
        for (to, lane) in bytes.chunks_mut(8).zip(lanes) {
            to.copy_from_slice(&lane.to_le_bytes());
        }
        Rm::Mem(self.a.memory512(bytes))
    }

    // Sources.

    fn memory(base: impl Into<Register>, disp: i32, broadcast: bool) -> MemoryOperand {
        let size = u32::from(disp != 0);
        MemoryOperand::new(
            base.into(),
            Register::None,
            1,
            i64::from(disp),
            size,
            broadcast,
            Register::None,
        )
    }

    /// Source `i` of the operation's width, as the last operand of an instruction.
    pub(super) fn rm(&mut self, i: usize) -> Rm {
        match self.sources[i] {
            Source::Reg(Lanes::W32(z)) => Rm::Reg(z.into()),
            Source::Reg(Lanes::W64(z)) => Rm::Reg(z[self.half].into()),
            Source::Reg(Lanes::Pred(k)) => Rm::Reg(k.into()),
            Source::Memory { base, disp } => {
                let half = if self.wide && self.half == 1 { 64 } else { 0 };
                Rm::Mem(Self::memory(base, disp + half, false))
            }
            Source::Broadcast { base, disp } => Rm::Mem(Self::memory(base, disp, true)),
            Source::Constant(value) => self.c(low(value), value),
        }
    }

    /// Source `i` of the operation's width, in a register.
    pub(super) fn r(&mut self, i: usize) -> Result<Register> {
        let b = self.rm(i);
        self.load(b)
    }

    /// Sources `i` and `j`, in either order.
    pub(super) fn either(&mut self, i: usize, j: usize) -> Result<(Register, Rm)> {
        match (self.rm(i), self.rm(j)) {
            (a @ Rm::Mem(_), Rm::Reg(b)) => Ok((b, a)),
            (a, b) => Ok((self.load(a)?, b)),
        }
    }

    /// The value of source `i` if it is known.
    pub(super) fn constant(&self, i: usize) -> Option<u64> {
        match self.sources[i] {
            Source::Constant(value) => Some(value),
            _ => None,
        }
    }

    /// Whether source `i` is the same for all lanes.
    pub(super) fn uniform(&self, i: usize) -> bool {
        matches!(self.sources[i], Source::Broadcast { .. } | Source::Constant(_))
    }

    /// Source `i`, a predicate; of this half where the operation is wide.
    pub(super) fn predicate(&mut self, i: usize) -> Result<Register> {
        let whole = match self.sources[i] {
            Source::Reg(Lanes::Pred(k)) => k.into(),
            Source::Memory { base, disp } => {
                let k = self.k();
                let second = self.wide && self.half == 1;
                let code = if second {
                    Code::VEX_Kmovb_kr_km8
                } else {
                    Code::VEX_Kmovw_kr_km16
                };
                self.i2(code, k, Self::memory(base, disp + i32::from(second), false))?;
                return Ok(k);
            }
            _ => unreachable!("a predicate is in a mask register or a vector of bits"),
        };
        if !self.wide || self.half == 0 {
            return Ok(whole);
        }
        let k = self.k();
        self.i2i(Code::VEX_Kshiftrw_kr_kr_imm8, k, whole, 8)?;
        Ok(k)
    }

    /// The eight 32-bit lanes of source `i` that belong to this half, as the last operand of a widening instruction.
    pub(super) fn narrow(&mut self, i: usize) -> Result<Rm> {
        self.narrow_half(i, self.half)
    }

    /// The eight 32-bit lanes of source `i` that belong to `half`.
    pub(super) fn narrow_half(&mut self, i: usize, half: usize) -> Result<Rm> {
        Ok(match self.sources[i] {
            Source::Reg(Lanes::W32(z)) => Rm::Reg(self.upper_or_lower(z.into(), half)?),
            Source::Memory { base, disp } => {
                let half = if half == 1 { 32 } else { 0 };
                Rm::Mem(Self::memory(base, disp + half, false))
            }
            Source::Broadcast { base, disp } => Rm::Mem(Self::memory(base, disp, true)),
            Source::Constant(value) => self.c32(low(value)),
            Source::Reg(_) => unreachable!("a source of 32-bit lanes"),
        })
    }

    /// A half of a vector, as a register of 256 bits.
    pub(super) fn upper_or_lower(&mut self, z: Register, half: usize) -> Result<Register> {
        if half == 0 {
            return Ok(ymm(z));
        }
        let upper = ymm(self.z());
        self.extract_upper(upper, z)?;
        Ok(upper)
    }

    /// The upper 256 bits of `z`.
    fn extract_upper(&mut self, upper: Register, z: Register) -> Result {
        self.i2i(Code::EVEX_Vextracti64x4_ymmm256_k1z_zmm_imm8, upper, z, 1)
    }

    /// Puts the 256 bits of `upper` into the upper half of `z`.
    pub(super) fn join(&mut self, to: impl Into<To>, z: Register, upper: Register) -> Result {
        self.i3i(Code::EVEX_Vinserti64x4_zmm_k1z_zmm_ymmm256_imm8, to, z, upper, 1)
    }

    /// Source `i` so that the lanes of this half lie in the low words of the 64-bit lanes; what lies above does not matter.
    pub(super) fn spread(&mut self, i: usize) -> Result<Register> {
        if !self.uniform(i) {
            return self.extended(i, false);
        }
        let element = self.narrow(i)?.element();
        let z = self.z();
        self.i2(ops::BROADCAST[0], z, element)?;
        Ok(z)
    }

    /// The lanes of source `i` that belong to this half, extended to 64 bits, in a new temporary.
    pub(super) fn extended(&mut self, i: usize, signed: bool) -> Result<Register> {
        let z = self.z();
        self.extend(z.into(), z, i, signed)?;
        Ok(z)
    }

    /// As [`extended`](Self::extended), into a register; `scratch` is overwritten.
    pub(super) fn extend(&mut self, to: To, scratch: Register, i: usize, signed: bool) -> Result {
        let from = match self.sources[i] {
            Source::Constant(value) => {
                let value = low(value);
                let wide = if signed {
                    i64::from(value.cast_signed()).cast_unsigned()
                } else {
                    u64::from(value)
                };
                let wide = self.c64(wide).element();
                return self.i2(ops::BROADCAST[1], to, wide);
            }
            Source::Reg(Lanes::W32(whole)) if self.half == 1 => {
                self.extract_upper(ymm(scratch), whole.into())?;
                Rm::Reg(ymm(scratch))
            }
            Source::Broadcast { .. } => {
                let element = self.narrow(i)?.element();
                self.i2(ops::BROADCAST[0], scratch, element)?;
                Rm::Reg(ymm(scratch))
            }
            _ => self.narrow(i)?,
        };
        self.i2(widening(signed), to, from)
    }

    /// Sixteen 32-bit lanes extended to the destination's 64 bits.
    pub(super) fn done_extended(&mut self, z: Register, signed: bool) -> Result {
        self.substitute(0, z)?;
        self.widely(|e| {
            let part = e.narrow(0)?;
            let to = e.out();
            e.i2(widening(signed), to, part)
        })
    }

    /// Makes `z`, of 32-bit lanes, source `i` of what follows; all other temporaries are given back.
    pub(super) fn substitute(&mut self, i: usize, z: Register) -> Result {
        let at = self.kept;
        self.keep_only(z)?;
        self.sources[i] = Source::Reg(Lanes::W32(self.temps.zmm[at]));
        self.kept = at + 1;
        Ok(())
    }

    /// As [`narrow`](Self::narrow), in a register of 256 bits.
    pub(super) fn narrow_register(&mut self, i: usize) -> Result<Register> {
        let b = self.narrow(i)?;
        let memory = match b {
            Rm::Reg(register) => return Ok(register),
            Rm::Mem(memory) => memory,
        };
        let z = ymm(self.z());
        if memory.is_broadcast {
            self.i2(Code::EVEX_Vpbroadcastd_ymm_k1z_xmmm32, z, b.element())?;
        } else {
            self.i2(Code::EVEX_Vmovdqu32_ymm_k1z_ymmm256, z, b)?;
        }
        Ok(z)
    }

    /// Sixteen 32-bit lanes from the two vectors of source 0: `body` makes eight in the lower half of a register.
    pub(super) fn gather_halves(
        &mut self,
        mut body: impl FnMut(&mut Self, Register, Register) -> Result,
    ) -> Result<Register> {
        let wide = std::mem::replace(&mut self.wide, true);
        let mut parts = [Register::None; 2];
        for (half, part) in parts.iter_mut().enumerate() {
            self.half = half;
            *part = self.z();
            let used = self.used();
            let a = self.r(0)?;
            body(self, *part, a)?;
            self.release(used);
        }
        (self.half, self.wide) = (0, wide);
        self.join(parts[0], parts[0], ymm(parts[1]))?;
        let (zmm, k) = self.used();
        self.release((zmm - 1, k));
        Ok(parts[0])
    }

    /// All sixteen 32-bit lanes of source `i`, in a register, whichever half is emitted.
    pub(super) fn all_lanes(&mut self, i: usize) -> Result<Register> {
        let wide = std::mem::replace(&mut self.wide, false);
        let z = self.r(i);
        self.wide = wide;
        z
    }

    /// Both vectors of source `i`, of 64-bit lanes.
    pub(super) fn both(&mut self, i: usize) -> Result<[Register; 2]> {
        let wide = std::mem::replace(&mut self.wide, true);
        let low = self.r(i)?;
        self.half = 1;
        let high = self.r(i)?;
        (self.half, self.wide) = (0, wide);
        Ok([low, high])
    }

    /// Which of two vectors is emitted.
    pub(super) const fn half(&self) -> usize {
        self.half
    }

    /// Source `i` as an operand of an instruction that cannot broadcast.
    pub(super) fn full(&mut self, i: usize) -> Result<Rm> {
        match self.rm(i) {
            Rm::Mem(memory) if memory.is_broadcast => self.copy(memory).map(Rm::Reg),
            b => Ok(b),
        }
    }

    // The destination.

    pub(super) fn destination(&self) -> Register {
        match self.destination {
            Lanes::W32(z) => z.into(),
            Lanes::W64(z) => z[self.half].into(),
            Lanes::Pred(k) => k.into(),
        }
    }

    /// The mask of this vector's lanes.
    pub(super) fn lanes(&self) -> Register {
        if self.high_mask {
            // The last mask register is kept for it.
            self.temps.k[2].into()
        } else {
            self.mask
        }
    }

    /// The destination, under the mask: of the last instruction only.
    pub(super) fn out(&self) -> To {
        at(self.destination(), self.lanes())
    }

    /// A register for a value that becomes the result after all sources were read: the destination itself where no mask
    /// protects its lanes.
    pub(super) fn last(&mut self) -> Register {
        if self.mask == Register::None {
            self.destination()
        } else {
            self.z()
        }
    }

    /// Writes `z` to the destination.
    pub(super) fn done(&mut self, z: Register) -> Result {
        if z == self.destination() {
            return Ok(());
        }
        let to = self.out();
        self.op2(ops::MOVE, to, z)
    }

    /// Emits `body` once for 32-bit lanes.
    pub(super) fn narrowly(&mut self, body: impl FnOnce(&mut Self) -> Result) -> Result {
        self.wide = false;
        body(self)
    }

    /// Emits `body` for both vectors of 64-bit lanes.
    pub(super) fn widely(&mut self, mut body: impl FnMut(&mut Self) -> Result) -> Result {
        self.wide = true;
        for half in 0..2 {
            self.half = half;
            (self.zmm, self.k) = (self.kept, 0);
            if half == 1 && self.mask != Register::None {
                self.high_mask = true;
                let k = Register::from(self.temps.k[2]);
                self.i2i(Code::VEX_Kshiftrw_kr_kr_imm8, k, self.mask, 8)?;
            }
            body(self)?;
        }
        Ok(())
    }

    /// Emits `body` for the operation's width and writes its value. Of values of 64-bit lanes in 32-bit lanes, the low words.
    pub(super) fn value(
        &mut self,
        wide: bool,
        mut body: impl FnMut(&mut Self) -> Result<Register>,
    ) -> Result {
        if !wide || matches!(self.destination, Lanes::W64(_)) {
            return self.each(wide, |e| {
                let z = body(e)?;
                e.done(z)
            });
        }
        self.wide = true;
        let low = body(self)?;
        let low = self.keep_only(low)?;
        self.half = 1;
        (self.kept, self.k) = (self.kept + 1, 0);
        let high = body(self)?;
        self.half = 0;
        let low = self.low_words(low, high)?;
        self.wide = false;
        self.done(low)
    }

    /// The low words of sixteen 64-bit lanes, in a new temporary or the last register.
    pub(super) fn low_words(&mut self, low: Register, high: Register) -> Result<Register> {
        let places = self.vector32(std::array::from_fn(|i| 2 * lane(i)));
        self.words(low, high, places)
    }

    /// The words at these places of the vectors `low` and `high` together, in a new temporary or the last register.
    pub(super) fn words(&mut self, low: Register, high: Register, places: Rm) -> Result<Register> {
        let mut z = self.last();
        if z == low || z == high {
            z = self.z();
        }
        self.i2(ops::MOVE[0], z, places)?;
        self.i3(Code::EVEX_Vpermi2d_zmm_k1z_zmm_zmmm512b32, z, low, high)?;
        Ok(z)
    }

    /// Emits a comparison, `body`, which writes one predicate bit per lane.
    pub(super) fn compare(&mut self, wide: bool, mut body: impl FnMut(&mut Self, To) -> Result) -> Result {
        let (low, high) = (self.temps.k[0].into(), self.temps.k[1].into());
        self.wide = wide;
        if !wide {
            if self.mask == Register::None {
                let to = self.destination().into();
                return body(self, to);
            }
            self.k = 1;
            body(self, at(low, self.mask))?;
            return self.merge(low);
        }
        for half in 0..2 {
            self.half = half;
            (self.zmm, self.k) = (self.kept, 2);
            body(self, if half == 0 { low } else { high }.into())?;
        }
        self.i3(Code::VEX_Kunpckbw_kr_kr_kr, low, high, low)?;
        self.predicate_done(low)
    }

    /// Writes the bits of `k`, all of which were computed, to the destination.
    pub(super) fn predicate_done(&mut self, k: Register) -> Result {
        if self.mask == Register::None {
            let to = self.destination();
            return if to == k {
                Ok(())
            } else {
                self.i2(Code::VEX_Kmovw_kr_km16, to, k)
            };
        }
        self.i3(Code::VEX_Kandw_kr_kr_kr, k, k, self.mask)?;
        self.merge(k)
    }

    /// Sets the bits of `k` too in a predicate that was just written.
    pub(super) fn also(&mut self, to: To, k: Register) -> Result {
        if to.mask != Register::None {
            self.i3(Code::VEX_Kandw_kr_kr_kr, k, k, to.mask)?;
        }
        self.i3(Code::VEX_Korw_kr_kr_kr, to.register, to.register, k)
    }

    /// Writes the bits that `k` does not have.
    pub(super) fn none_of(&mut self, to: To, k: Register) -> Result {
        if to.mask == Register::None {
            self.i2(Code::VEX_Knotw_kr_kr, to.register, k)
        } else {
            self.i3(Code::VEX_Kandnw_kr_kr_kr, to.register, k, to.mask)
        }
    }

    /// Writes the bits of `k`, none of which is outside the mask, to the destination.
    fn merge(&mut self, k: Register) -> Result {
        let to = self.destination();
        self.i3(Code::VEX_Kandnw_kr_kr_kr, to, self.mask, to)?;
        self.i3(Code::VEX_Korw_kr_kr_kr, to, to, k)
    }

    /// Emits `body` as the width of the operation has it.
    pub(super) fn each(&mut self, wide: bool, body: impl FnMut(&mut Self) -> Result) -> Result {
        if wide {
            self.widely(body)
        } else {
            self.narrowly(body)
        }
    }
}

/// The instruction that extends eight 32-bit lanes.
const fn widening(signed: bool) -> Code {
    if signed {
        Code::EVEX_Vpmovsxdq_zmm_k1z_ymmm256
    } else {
        Code::EVEX_Vpmovzxdq_zmm_k1z_ymmm256
    }
}

/// A small number as a lane.
#[allow(clippy::cast_possible_truncation, reason = "numbers of lanes")]
pub(super) const fn lane(i: usize) -> u32 {
    i as u32
}

/// The low half of a known value.
#[allow(clippy::cast_possible_truncation, reason = "that is what it is for")]
pub(super) const fn low(value: u64) -> u32 {
    value as u32
}
