//! The assembler: `iced-x86`'s, with a pool of literals.
//!
//! A literal is asked for by value and comes back as a memory operand relative to the instruction pointer, so that the code
//! runs wherever it is mapped. Equal literals are one. The pool lies before the code:
//!
//! ```text
//!  0            64-byte literals │ 8-byte │ 4-byte │ padding     multiple of 64
//!  ▼                                                             ▼
//!  ├──────────────────────── pool ───────────────────────────────┼── code ──▶
//! ```
//!
//! Therefore an entry is not offset 0 but where its [`Mark`] is.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};

use super::avx2::{self, Refused};
use iced_x86::code_asm::{AsmMemoryOperand, CodeAssembler, dword_ptr, qword_ptr, zmmword_ptr};
use iced_x86::{
    BlockEncoder, BlockEncoderOptions, IcedError, Instruction, InstructionBlock, MemoryOperand, Register,
};

/// A literal, in the order in which the pool holds them: the larger ones first, so that all are aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Literal {
    Vector([u8; 64]),
    /// A vector of 256 bits.
    Half([u8; 32]),
    Quad(u64),
    Double(u32),
}

impl Literal {
    const fn size(self) -> usize {
        match self {
            Self::Vector(_) => 64,
            Self::Half(_) => 32,
            Self::Quad(_) => 8,
            Self::Double(_) => 4,
        }
    }
}

/// With what code is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entered {
    /// Not at all, but from the instruction before and by jumps.
    No,
    /// Nothing in vector and mask registers.
    Empty,
    /// All in its registers, as a jump to an address finds it.
    Running,
}

/// The place of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark(usize);

/// An assembler of 64-bit code. Its instructions are those of the [`CodeAssembler`] it dereferences to.
pub(super) struct Asm {
    code: CodeAssembler,
    literals: Literals,
    target: Target,
    /// What is entered, and how.
    marks: RefCell<Vec<(usize, Entered)>>,
    /// What the processor has beyond the extensions that every machine code here needs.
    pub(super) extras: Extras,
    /// Nobody looks at the bits of a NaN that the next operation makes: it need not be the canonical one.
    pub(super) any_nan: bool,
}

/// Extensions that make some sequences shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extras {
    /// AVX-512 CD: leading zeros.
    pub(super) cd: bool,
    /// AVX-512 VPOPCNTDQ: ones of a lane.
    pub(super) popcnt: bool,
    /// AVX-512 VBMI2: funnel shifts.
    pub(super) vbmi2: bool,
}

impl Extras {
    /// None of them.
    #[cfg(test)]
    pub(super) const NONE: Self = Self {
        cd: false,
        popcnt: false,
        vbmi2: false,
    };

    /// Those that the lowering to AVX2 has better sequences for than the generator.
    const LOWERED: Self = Self {
        cd: true,
        popcnt: true,
        vbmi2: false,
    };

    /// Those of this processor.
    pub(super) fn detected() -> Self {
        Self {
            cd: is_x86_feature_detected!("avx512cd"),
            popcnt: is_x86_feature_detected!("avx512vpopcntdq"),
            vbmi2: is_x86_feature_detected!("avx512vbmi2"),
        }
    }
}

/// First target that names a literal; labels count from 1 and never come here.
const FIRST_LITERAL: u64 = 1 << 32;

/// By value, the target by which instructions name a literal until the end.
#[derive(Debug, Default)]
pub(super) struct Literals(HashMap<Literal, u64>);

impl Literals {
    /// The target that names a literal.
    pub(super) fn target(&mut self, literal: Literal) -> i64 {
        let next = FIRST_LITERAL + self.0.len() as u64;
        self.0.entry(literal).or_insert(next).cast_signed()
    }

    /// The literals by what names them.
    pub(super) fn by_target(&self) -> HashMap<u64, Literal> {
        self.0
            .iter()
            .map(|(&literal, &target)| (target, literal))
            .collect()
    }
}

/// The instructions that the processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// AVX-512 F, BW, DQ, VL.
    Avx512,
    /// AVX2, FMA, F16C, BMI1, BMI2: the code is [lowered](super::avx2), with values in memory at a register and a distance.
    Avx2 { spill: (Register, i32) },
}

impl Deref for Asm {
    type Target = CodeAssembler;
    fn deref(&self) -> &CodeAssembler {
        &self.code
    }
}

impl DerefMut for Asm {
    fn deref_mut(&mut self) -> &mut CodeAssembler {
        &mut self.code
    }
}

impl Asm {
    /// An assembler without instructions.
    pub(super) fn new(target: Target) -> Result<Self, IcedError> {
        let mut code = CodeAssembler::new(64)?;
        // Of two encodings the one that reaches all 32 registers and all mask forms is not needed where the older one does.
        code.set_prefer_vex(true);
        Ok(Self {
            code,
            literals: Literals::default(),
            target,
            marks: RefCell::default(),
            extras: match target {
                Target::Avx512 => Extras::detected(),
                Target::Avx2 { .. } => Extras::LOWERED,
            },
            any_nan: false,
        })
    }

    fn literal(&mut self, literal: Literal) -> i64 {
        self.literals.target(literal)
    }

    /// `value` as a 32-bit operand.
    pub(super) fn double(&mut self, value: u32) -> AsmMemoryOperand {
        dword_ptr(AsmMemoryOperand::from(Register::RIP) + self.literal(Literal::Double(value)))
    }

    /// `value` as a 64-bit operand.
    pub(super) fn quad(&mut self, value: u64) -> AsmMemoryOperand {
        qword_ptr(AsmMemoryOperand::from(Register::RIP) + self.literal(Literal::Quad(value)))
    }

    /// A whole vector.
    pub(super) fn vector(&mut self, bytes: [u8; 64]) -> AsmMemoryOperand {
        zmmword_ptr(AsmMemoryOperand::from(Register::RIP) + self.literal(Literal::Vector(bytes)))
    }

    /// A literal as an operand of a single instruction, where `broadcast` one element for every lane.
    fn memory(&mut self, literal: Literal, broadcast: bool) -> MemoryOperand {
        let target = self.literal(literal);
        MemoryOperand::new(
            Register::RIP,
            Register::None,
            1,
            target,
            8,
            broadcast,
            Register::None,
        )
    }

    /// `value`, for every lane of 32 bits if `broadcast`.
    pub(super) fn memory32(&mut self, value: u32, broadcast: bool) -> MemoryOperand {
        self.memory(Literal::Double(value), broadcast)
    }

    /// `value`, for every lane of 64 bits if `broadcast`.
    pub(super) fn memory64(&mut self, value: u64, broadcast: bool) -> MemoryOperand {
        self.memory(Literal::Quad(value), broadcast)
    }

    /// As [`vector`](Self::vector).
    pub(super) fn memory512(&mut self, bytes: [u8; 64]) -> MemoryOperand {
        self.memory(Literal::Vector(bytes), false)
    }

    /// The place of the next instruction.
    pub(super) fn mark(&self) -> Mark {
        self.mark_as(Entered::Running)
    }

    /// As [`mark`](Self::mark), of code that is entered with nothing in vector and mask registers.
    pub(super) fn mark_loader(&self) -> Mark {
        self.mark_as(Entered::Empty)
    }

    fn mark_as(&self, entered: Entered) -> Mark {
        let at = self.code.instructions().len();
        self.marks.borrow_mut().push((at, entered));
        Mark(at)
    }

    /// The instructions that the code will have.
    pub(super) const fn target(&self) -> Target {
        self.target
    }

    /// Encodes everything. An instruction must follow the last label and the last mark.
    pub(super) fn finish(self) -> Result<Assembled, Refused> {
        let Self {
            mut code,
            mut literals,
            target,
            marks,
            ..
        } = self;
        let mut code = code.take_instructions();
        let mut moved = None;
        if let Target::Avx2 { spill } = target {
            let lowered = avx2::lower(&code, &marks.borrow(), &literals, spill)?;
            (code, literals, moved) = (lowered.code, lowered.literals, Some(lowered.marks));
        }
        let (pool, pool_bytes) = literals.pool()?;
        let blocks = [
            InstructionBlock::new(&pool, 0),
            InstructionBlock::new(&code, pool_bytes as u64),
        ];
        let options = BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS;
        let encoded = BlockEncoder::encode_slice(64, &blocks, options)?;
        let mut bytes = Vec::with_capacity(encoded.iter().map(|block| block.code_buffer.len()).sum());
        let mut offsets = Vec::new();
        for block in encoded {
            bytes.extend(block.code_buffer);
            offsets = block.new_instruction_offsets;
        }
        Ok(Assembled {
            bytes,
            pool_bytes,
            offsets,
            moved,
        })
    }
}

impl Literals {
    /// The literals, largest first, filled up to a multiple of 64, and the bytes that this takes.
    fn pool(&mut self) -> Result<(Vec<Instruction>, usize), IcedError> {
        let mut literals: Vec<_> = self.0.drain().collect();
        // In the order of their making: the same kernel gives the same code.
        literals.sort_unstable_by_key(|&(literal, target)| (std::cmp::Reverse(literal.size()), target));
        let mut pool = Vec::with_capacity(4 * literals.len());
        let mut bytes = 0;
        for (literal, target) in literals {
            bytes += literal.size();
            let first = pool.len();
            match literal {
                Literal::Vector(vector) => {
                    for part in vector.chunks(16) {
                        pool.push(Instruction::with_declare_byte(part)?);
                    }
                }
                Literal::Half(vector) => {
                    for part in vector.chunks(16) {
                        pool.push(Instruction::with_declare_byte(part)?);
                    }
                }
                Literal::Quad(value) => pool.push(Instruction::with_declare_qword(&[value])?),
                Literal::Double(value) => pool.push(Instruction::with_declare_dword(&[value])?),
            }
            pool[first].set_ip(target);
        }
        while bytes % 64 != 0 {
            let part = (64 - bytes % 64).min(16);
            pool.push(Instruction::with_declare_byte(&[0xcc; 16][..part])?);
            bytes += part;
        }
        Ok((pool, bytes))
    }
}

/// Machine code and where its marks came to lie.
pub(super) struct Assembled {
    /// Pool and code.
    pub(super) bytes: Vec<u8>,
    pool_bytes: usize,
    offsets: Vec<u32>,
    /// Where lowering put what is entered.
    moved: Option<HashMap<usize, usize>>,
}

impl Assembled {
    /// Offset of a mark in the bytes.
    pub(super) fn offset(&self, mark: Mark) -> usize {
        let at = self.moved.as_ref().map_or(mark.0, |moved| moved[&mark.0]);
        self.pool_bytes + self.offsets[at] as usize
    }
}

#[cfg(test)]
mod tests {
    use super::super::code::Code;
    use super::*;
    use iced_x86::code_asm::*;

    fn call(assembled: &Assembled, mark: Mark, argument: u64) -> u64 {
        let code = Code::new(&assembled.bytes).unwrap();
        // SAFETY: the tests below assemble functions of this type at their marks.
        let f: extern "C" fn(u64) -> u64 = unsafe { std::mem::transmute(code.entry(assembled.offset(mark))) };
        f(argument)
    }

    #[test]
    fn literals_are_found_from_any_entry() {
        let mut a = Asm::new(Target::Avx512).unwrap();
        let first = a.mark();
        let operand = a.quad(0x0123_4567_89ab_cdef);
        a.mov(rax, operand).unwrap();
        a.add(rax, rdi).unwrap();
        a.ret().unwrap();
        let second = a.mark();
        let operand = a.double(77);
        a.mov(eax, operand).unwrap();
        let operand = a.double(78);
        a.add(eax, operand).unwrap();
        a.ret().unwrap();
        let assembled = a.finish().unwrap();
        assert_eq!(call(&assembled, first, 1), 0x0123_4567_89ab_cdf0);
        assert_eq!(call(&assembled, second, 0), 155);
    }

    #[test]
    fn equal_literals_are_one_and_all_are_aligned() {
        let mut a = Asm::new(Target::Avx512).unwrap();
        for _ in 0..3 {
            a.double(5);
            a.quad(5);
            a.double(6);
            a.memory512([9; 64]);
        }
        let entry = a.mark();
        a.ret().unwrap();
        let assembled = a.finish().unwrap();
        assert_eq!(assembled.offset(entry), 128);
        let mut wanted = vec![9; 64];
        wanted.extend(5u64.to_le_bytes());
        wanted.extend(5u32.to_le_bytes());
        wanted.extend(6u32.to_le_bytes());
        wanted.resize(128, 0xcc);
        wanted.push(0xc3);
        assert_eq!(assembled.bytes, wanted);
    }

    #[test]
    fn branches_reach_across_much_code_and_marks_move_with_it() {
        let mut a = Asm::new(Target::Avx512).unwrap();
        let mut end = a.create_label();
        a.xor(eax, eax).unwrap();
        let entry = a.mark();
        let operand = a.quad(1);
        a.mov(rax, operand).unwrap();
        a.test(rdi, rdi).unwrap();
        a.je(end).unwrap();
        for _ in 0..1000 {
            a.inc(rax).unwrap();
        }
        a.set_label(&mut end).unwrap();
        a.ret().unwrap();
        let assembled = a.finish().unwrap();
        assert_eq!(call(&assembled, entry, 0), 1);
        assert_eq!(call(&assembled, entry, 1), 1001);
    }

    #[test]
    fn code_without_literals_starts_at_once() {
        let mut a = Asm::new(Target::Avx512).unwrap();
        let entry = a.mark();
        a.ret().unwrap();
        let assembled = a.finish().unwrap();
        assert_eq!((assembled.offset(entry), assembled.bytes), (0, vec![0xc3]));
    }
}
