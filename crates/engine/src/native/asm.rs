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

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};

use iced_x86::code_asm::{
    AsmMemoryOperand, CodeAssembler, CodeLabel, dword_bcst, dword_ptr, qword_bcst, qword_ptr, zmmword_ptr,
};
use iced_x86::{BlockEncoder, BlockEncoderOptions, IcedError, InstructionBlock};

/// A literal, in the order in which the pool holds them: the larger ones first, so that all are aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Literal {
    Vector([u8; 64]),
    Quad(u64),
    Double(u32),
}

impl Literal {
    const fn size(self) -> usize {
        match self {
            Self::Vector(_) => 64,
            Self::Quad(_) => 8,
            Self::Double(_) => 4,
        }
    }
}

/// The place of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark(usize);

/// An assembler of 64-bit code. Its instructions are those of the [`CodeAssembler`] it dereferences to.
pub(super) struct Asm {
    code: CodeAssembler,
    literals: HashMap<Literal, CodeLabel>,
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
    pub(super) fn new() -> Result<Self, IcedError> {
        let mut code = CodeAssembler::new(64)?;
        // Of two encodings the one that reaches all 32 registers and all mask forms is not needed where the older one does.
        code.set_prefer_vex(true);
        Ok(Self {
            code,
            literals: HashMap::new(),
        })
    }

    fn literal(&mut self, literal: Literal) -> CodeLabel {
        let code = &mut self.code;
        *self
            .literals
            .entry(literal)
            .or_insert_with(|| code.create_label())
    }

    /// `value` as a 32-bit operand.
    pub(super) fn double(&mut self, value: u32) -> AsmMemoryOperand {
        dword_ptr(self.literal(Literal::Double(value)))
    }

    /// `value` as a 64-bit operand.
    pub(super) fn quad(&mut self, value: u64) -> AsmMemoryOperand {
        qword_ptr(self.literal(Literal::Quad(value)))
    }

    /// `value` for every 32-bit lane.
    pub(super) fn all32(&mut self, value: u32) -> AsmMemoryOperand {
        dword_bcst(self.literal(Literal::Double(value)))
    }

    /// `value` for every 64-bit lane.
    pub(super) fn all64(&mut self, value: u64) -> AsmMemoryOperand {
        qword_bcst(self.literal(Literal::Quad(value)))
    }

    /// A whole vector.
    pub(super) fn vector(&mut self, bytes: [u8; 64]) -> AsmMemoryOperand {
        zmmword_ptr(self.literal(Literal::Vector(bytes)))
    }

    /// The place of the next instruction.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.code.instructions().len())
    }

    /// Encodes everything. An instruction must follow the last label and the last mark.
    pub(super) fn finish(mut self) -> Result<Assembled, IcedError> {
        let count = self.code.instructions().len();
        let pool_bytes = self.add_pool()?;
        let (code, pool) = self.code.instructions().split_at(count);
        let blocks = [
            InstructionBlock::new(pool, 0),
            InstructionBlock::new(code, pool_bytes as u64),
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
        })
    }

    /// Appends the literals, largest first, and fills up to a multiple of 64. Returns the bytes that this takes.
    fn add_pool(&mut self) -> Result<usize, IcedError> {
        let mut literals: Vec<_> = self.literals.drain().collect();
        // The order must not depend on the map's: the same kernel gives the same code.
        literals.sort_unstable_by(|(a, _), (b, _)| b.size().cmp(&a.size()).then_with(|| a.cmp(b)));
        let mut bytes = 0;
        for (literal, mut label) in literals {
            bytes += literal.size();
            self.code.set_label(&mut label)?;
            match literal {
                Literal::Vector(vector) => self.code.db(&vector)?,
                Literal::Quad(value) => self.code.dq(&[value])?,
                Literal::Double(value) => self.code.dd(&[value])?,
            }
        }
        let padding = bytes.next_multiple_of(64) - bytes;
        if padding != 0 {
            self.code.db(&[0xcc; 64][..padding])?;
        }
        Ok(bytes + padding)
    }
}

/// Machine code and where its marks came to lie.
pub(super) struct Assembled {
    /// Pool and code.
    pub(super) bytes: Vec<u8>,
    pool_bytes: usize,
    offsets: Vec<u32>,
}

impl Assembled {
    /// Offset of a mark in the bytes.
    pub(super) fn offset(&self, mark: Mark) -> usize {
        self.pool_bytes + self.offsets[mark.0] as usize
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
        let mut a = Asm::new().unwrap();
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
        let mut a = Asm::new().unwrap();
        for _ in 0..3 {
            a.double(5);
            a.quad(5);
            a.double(6);
            a.vector([9; 64]);
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
        let mut a = Asm::new().unwrap();
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
        let mut a = Asm::new().unwrap();
        let entry = a.mark();
        a.ret().unwrap();
        let assembled = a.finish().unwrap();
        assert_eq!((assembled.offset(entry), assembled.bytes), (0, vec![0xc3]));
    }
}
