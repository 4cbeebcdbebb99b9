//! Values that lanes share, in the processor's integer registers.
//!
//! A scalar slot holds sixteen elements for the interpreter: copies of a uniform value, or the base of each half of the warp of
//! an affine one. Machine code keeps the first two right and lets the others be; before a handler reads copies of a uniform
//! value they are [made](Gen::widen_operands).

use std::mem::offset_of;

use iced_x86::IcedError;
use iced_x86::code_asm::*;

use super::compile::{CX, FRAME, Gen, disp, slot_disp};
use super::compute::base_of;
use crate::analysis::shape::Shape;
use crate::exec::alu::{Alu, Class};
use crate::exec::{Cx, Op};
use crate::lir::{Inst, V};

/// An operand of 32 or 64 bits.
#[derive(Clone, Copy)]
enum Value {
    Imm(u64),
    At(AsmMemoryOperand),
}

/// What an operation does with the accumulator.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Mov,
    Add,
    Sub,
    Mul,
    And,
    Or,
    Xor,
    Shl,
    ShrU,
    ShrS,
    Not,
    Neg,
}

/// The operation, and whether it has 64 bits.
const fn simple(alu: Alu) -> Option<(Act, bool)> {
    Some(match alu {
        Alu::Mov32 | Alu::Low32 => (Act::Mov, false),
        Alu::Mov64 => (Act::Mov, true),
        Alu::Add32 => (Act::Add, false),
        Alu::Add64 => (Act::Add, true),
        Alu::Sub32 => (Act::Sub, false),
        Alu::Sub64 => (Act::Sub, true),
        Alu::MulLo32 => (Act::Mul, false),
        Alu::MulLo64 => (Act::Mul, true),
        Alu::And32 => (Act::And, false),
        Alu::And64 => (Act::And, true),
        Alu::Or32 => (Act::Or, false),
        Alu::Or64 => (Act::Or, true),
        Alu::Xor32 => (Act::Xor, false),
        Alu::Xor64 => (Act::Xor, true),
        Alu::Shl32 => (Act::Shl, false),
        Alu::Shl64 => (Act::Shl, true),
        Alu::ShrU32 => (Act::ShrU, false),
        Alu::ShrU64 => (Act::ShrU, true),
        Alu::ShrS32 => (Act::ShrS, false),
        Alu::ShrS64 => (Act::ShrS, true),
        Alu::Not32 => (Act::Not, false),
        Alu::Not64 => (Act::Not, true),
        Alu::Neg32 => (Act::Neg, false),
        Alu::Neg64 => (Act::Neg, true),
        _ => return None,
    })
}

/// The comparison of a predicate: its name, signedness, width.
#[derive(Clone, Copy)]
enum Test {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

const fn comparison(alu: Alu) -> Option<(Test, bool, bool)> {
    Some(match alu {
        Alu::EqU32 => (Test::Eq, false, false),
        Alu::NeU32 => (Test::Ne, false, false),
        Alu::LtU32 => (Test::Lt, false, false),
        Alu::LeU32 => (Test::Le, false, false),
        Alu::GtU32 => (Test::Gt, false, false),
        Alu::GeU32 => (Test::Ge, false, false),
        Alu::LtS32 => (Test::Lt, true, false),
        Alu::LeS32 => (Test::Le, true, false),
        Alu::GtS32 => (Test::Gt, true, false),
        Alu::GeS32 => (Test::Ge, true, false),
        Alu::EqU64 => (Test::Eq, false, true),
        Alu::NeU64 => (Test::Ne, false, true),
        Alu::LtU64 => (Test::Lt, false, true),
        Alu::LeU64 => (Test::Le, false, true),
        Alu::GtU64 => (Test::Gt, false, true),
        Alu::GeU64 => (Test::Ge, false, true),
        Alu::LtS64 => (Test::Lt, true, true),
        Alu::LeS64 => (Test::Le, true, true),
        Alu::GtS64 => (Test::Gt, true, true),
        Alu::GeS64 => (Test::Ge, true, true),
        _ => return None,
    })
}

impl Gen<'_> {
    pub(super) fn shape(&self, v: V) -> Shape {
        if self.analysed.kernel.vregs[v as usize].konst.is_some() {
            return Shape::Uniform;
        }
        self.code.shapes.as_ref().map_or(Shape::Vector, |s| s[v as usize])
    }

    fn class(&self, v: V) -> Class {
        self.analysed.kernel.vregs[v as usize].class
    }

    /// Element `c` of a shared value. The result may take the place of an operand, so no other element is read for it.
    fn element(&self, v: V, operand: u32, c: i32) -> Value {
        if let Some(value) = self.constant(v) {
            return Value::Imm(value);
        }
        let at = base_of(operand) + slot_disp(operand);
        Value::At(if self.class(v) == Class::W64 {
            qword_ptr(at + 8 * c)
        } else {
            dword_ptr(at + 4 * c)
        })
    }

    /// Loads 32 or 64 bits into `rax` or `rcx`.
    fn load_value(&mut self, second: bool, wide: bool, value: Value) -> Result<(), IcedError> {
        let (narrow_to, wide_to) = if second { (ecx, rcx) } else { (eax, rax) };
        match (value, wide) {
            (Value::Imm(i), true) => self.asm.mov(wide_to, i),
            #[allow(clippy::cast_possible_truncation, reason = "the operand has 32 bits")]
            (Value::Imm(i), false) => self.asm.mov(narrow_to, i as u32),
            (Value::At(m), true) => self.asm.mov(wide_to, qword_ptr(m)),
            (Value::At(m), false) => self.asm.mov(narrow_to, dword_ptr(m)),
        }
    }

    /// Applies an operation to `rax`, with `rcx` as the other operand.
    fn act(&mut self, act: Act, wide: bool, b: Option<Value>) -> Result<(), IcedError> {
        let Some(b) = b else {
            return match (act, wide) {
                (Act::Not, true) => self.asm.not(rax),
                (Act::Not, false) => self.asm.not(eax),
                (Act::Neg, true) => self.asm.neg(rax),
                (Act::Neg, false) => self.asm.neg(eax),
                _ => Ok(()),
            };
        };
        if matches!(act, Act::Shl | Act::ShrU | Act::ShrS) {
            let Value::Imm(by) = b else { return Ok(()) };
            let by = u32::try_from(by).unwrap_or(0);
            return match (act, wide) {
                (Act::Shl, true) => self.asm.shl(rax, by),
                (Act::Shl, false) => self.asm.shl(eax, by),
                (Act::ShrU, true) => self.asm.shr(rax, by),
                (Act::ShrU, false) => self.asm.shr(eax, by),
                (_, true) => self.asm.sar(rax, by),
                (_, false) => self.asm.sar(eax, by),
            };
        }
        self.load_value(true, wide, b)?;
        match (act, wide) {
            (Act::Add, true) => self.asm.add(rax, rcx),
            (Act::Add, false) => self.asm.add(eax, ecx),
            (Act::Sub, true) => self.asm.sub(rax, rcx),
            (Act::Sub, false) => self.asm.sub(eax, ecx),
            (Act::Mul, true) => self.asm.imul_2(rax, rcx),
            (Act::Mul, false) => self.asm.imul_2(eax, ecx),
            (Act::And, true) => self.asm.and(rax, rcx),
            (Act::And, false) => self.asm.and(eax, ecx),
            (Act::Or, true) => self.asm.or(rax, rcx),
            (Act::Or, false) => self.asm.or(eax, ecx),
            (_, true) => self.asm.xor(rax, rcx),
            (_, false) => self.asm.xor(eax, ecx),
        }
    }

    /// Loads the product of two 32-bit values in 64 bits.
    fn wide_product(&mut self, signed: bool, a: Value, b: Value) -> Result<(), IcedError> {
        for (second, value) in [(false, a), (true, b)] {
            let (narrow_to, wide_to) = if second { (ecx, rcx) } else { (eax, rax) };
            match value {
                #[allow(clippy::cast_possible_truncation, reason = "the operand has 32 bits")]
                Value::Imm(i) if signed => self.asm.mov(wide_to, i64::from((i as u32).cast_signed()))?,
                #[allow(clippy::cast_possible_truncation, reason = "the operand has 32 bits")]
                Value::Imm(i) => self.asm.mov(narrow_to, i as u32)?,
                Value::At(m) if signed => self.asm.movsxd(wide_to, dword_ptr(m))?,
                Value::At(m) => self.asm.mov(narrow_to, dword_ptr(m))?,
            }
        }
        self.asm.imul_2(rax, rcx)
    }

    /// Whether [`scalar_integer`](Self::scalar_integer) has the operation.
    fn integer_form(&self, alu: Alu, inst: &Inst) -> bool {
        let known = |i: usize, below: u64| {
            inst.s
                .get(i)
                .and_then(|&v| self.constant(v))
                .is_some_and(|n| n < below)
        };
        match simple(alu) {
            Some((Act::Shl | Act::ShrU | Act::ShrS, wide)) => known(1, if wide { 64 } else { 32 }),
            Some(_) => true,
            None => {
                comparison(alu).is_some()
                    || matches!(
                        alu,
                        Alu::MadLo32
                            | Alu::MadLo64
                            | Alu::MulWideS32
                            | Alu::MulWideU32
                            | Alu::MadWideS32
                            | Alu::MadWideU32
                            | Alu::Zx32To64
                            | Alu::Sx32To64
                    )
            }
        }
    }

    /// An operation on shared values in integer registers.
    pub(super) fn scalar_integer(&mut self, alu: Alu, inst: &Inst, op: &Op) -> Result<bool, IcedError> {
        if !self.integer_form(alu, inst) {
            return Ok(false);
        }
        let operands = [op.a, op.b, op.c];
        if let Some((test, signed, wide)) = comparison(alu) {
            let [a, b] = [0, 1].map(|i| self.element(inst.s[i], operands[i], 0));
            self.load_value(false, wide, a)?;
            self.load_value(true, wide, b)?;
            self.compare(test, signed, wide)?;
            self.put_uniform_predicate(op.d)?;
            return Ok(true);
        }
        let uniform = self.shape(inst.d[0]) == Shape::Uniform;
        let to = slot_disp(op.d);
        let out_wide = self.class(inst.d[0]) == Class::W64;
        for c in 0..2 {
            if c == 0 || !uniform {
                let s = |g: &Self, i: usize| g.element(inst.s[i], operands[i], c);
                match (simple(alu), alu) {
                    (Some((act, wide)), _) => {
                        let a = s(self, 0);
                        let b = (inst.s.len() > 1).then(|| s(self, 1));
                        self.load_value(false, wide, a)?;
                        self.act(act, wide, b)?;
                    }
                    (None, Alu::MadLo32 | Alu::MadLo64) => {
                        let (a, b, e) = (s(self, 0), s(self, 1), s(self, 2));
                        self.load_value(false, out_wide, a)?;
                        self.act(Act::Mul, out_wide, Some(b))?;
                        self.act(Act::Add, out_wide, Some(e))?;
                    }
                    (None, Alu::Zx32To64) => {
                        let a = s(self, 0);
                        self.load_value(false, false, a)?;
                    }
                    (None, Alu::Sx32To64) => {
                        let a = s(self, 0);
                        self.load_value(false, false, a)?;
                        self.asm.movsxd(rax, eax)?;
                    }
                    (None, _) => {
                        let signed = matches!(alu, Alu::MulWideS32 | Alu::MadWideS32);
                        let (a, b) = (s(self, 0), s(self, 1));
                        self.wide_product(signed, a, b)?;
                        if inst.s.len() > 2 {
                            let e = s(self, 2);
                            self.act(Act::Add, true, Some(e))?;
                        }
                    }
                }
            }
            if out_wide {
                self.asm.mov(qword_ptr(FRAME + (to + 8 * c)), rax)?;
            } else {
                self.asm.mov(dword_ptr(FRAME + (to + 4 * c)), eax)?;
            }
        }
        Ok(true)
    }

    /// Compares `rax` with `rcx` and writes the predicate for all lanes.
    fn compare(&mut self, test: Test, signed: bool, wide: bool) -> Result<(), IcedError> {
        if wide {
            self.asm.cmp(rax, rcx)?;
        } else {
            self.asm.cmp(eax, ecx)?;
        }
        match (test, signed) {
            (Test::Eq, _) => self.asm.sete(al)?,
            (Test::Ne, _) => self.asm.setne(al)?,
            (Test::Lt, true) => self.asm.setl(al)?,
            (Test::Le, true) => self.asm.setle(al)?,
            (Test::Gt, true) => self.asm.setg(al)?,
            (Test::Ge, true) => self.asm.setge(al)?,
            (Test::Lt, false) => self.asm.setb(al)?,
            (Test::Le, false) => self.asm.setbe(al)?,
            (Test::Gt, false) => self.asm.seta(al)?,
            (Test::Ge, false) => self.asm.setae(al)?,
        }
        self.asm.movzx(eax, al)?;
        self.asm.neg(eax)
    }

    /// Writes `eax`, all ones or zeros, to a predicate, in the lanes that execute.
    pub(super) fn put_uniform_predicate(&mut self, operand: u32) -> Result<(), IcedError> {
        let mask = dword_ptr(CX + disp(offset_of!(Cx, mask)));
        if self.homes.get(operand).is_some() {
            self.asm.kmovd(k6, eax)?;
            return self.set_predicate(operand, false);
        }
        // old ^ (old ^ new) & mask
        let at = dword_ptr(FRAME + slot_disp(operand));
        self.asm.mov(ecx, at)?;
        self.asm.xor(eax, ecx)?;
        self.asm.and(eax, mask)?;
        self.asm.xor(eax, ecx)?;
        self.asm.mov(at, eax)
    }

    /// The uniform operands of an instruction whose copies a handler reads: operand and class.
    pub(super) fn copied(&self, sources: &[V]) -> Vec<(u32, Class)> {
        let mut found: Vec<(u32, Class)> = Vec::new();
        for &v in sources {
            let konst = self.analysed.kernel.vregs[v as usize].konst.is_some();
            let class = self.class(v);
            if !konst && class != Class::Pred && self.shape(v) == Shape::Uniform {
                let slot = (self.code.slots.scalar[v as usize], class);
                if !found.contains(&slot) {
                    found.push(slot);
                }
            }
        }
        found
    }

    /// Makes the copies of uniform values that a handler reads.
    pub(super) fn widen_operands(&mut self, slots: &[(u32, Class)]) -> Result<(), IcedError> {
        for &(operand, class) in slots {
            let at = slot_disp(operand);
            if class == Class::W64 {
                self.asm.vpbroadcastq(zmm24, qword_ptr(FRAME + at))?;
                self.asm.vmovdqa64(zmmword_ptr(FRAME + (at + 64)), zmm24)?;
            } else {
                self.asm.vpbroadcastd(zmm24, dword_ptr(FRAME + at))?;
            }
            self.asm.vmovdqa64(zmmword_ptr(FRAME + at), zmm24)?;
        }
        Ok(())
    }
}
