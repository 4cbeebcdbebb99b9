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
use super::kept::{NARROW, Place, WIDE};
use crate::analysis::shape::Shape;
use crate::decode::Role;
use crate::exec::alu::{Alu, Class};
use crate::exec::{Cx, Op, POOL};
use crate::lir::{Inst, Term, V};

/// An operand of 32 or 64 bits.
#[derive(Clone, Copy)]
enum Value {
    Imm(u64),
    At(AsmMemoryOperand),
    /// Index in [`WIDE`].
    In(usize),
}

impl Value {
    const fn register(self) -> Option<usize> {
        match self {
            Self::In(r) => Some(r),
            _ => None,
        }
    }
}

/// Places of `rax` and `rcx` in [`WIDE`].
const RAX: usize = 7;
const RCX: usize = 8;

/// An instruction of two operands, the second of which may be anything but a large immediate.
macro_rules! two {
    ($gen:ident.$name:ident($wide:expr, $r:expr, $b:expr)) => {
        match ($b, $wide) {
            (Value::In(b), true) => $gen.asm.$name(WIDE[$r], WIDE[b]),
            (Value::In(b), false) => $gen.asm.$name(NARROW[$r], NARROW[b]),
            (Value::At(b), true) => $gen.asm.$name(WIDE[$r], qword_ptr(b)),
            (Value::At(b), false) => $gen.asm.$name(NARROW[$r], dword_ptr(b)),
            (Value::Imm(b), true) => $gen.asm.$name(WIDE[$r], short(b)),
            (Value::Imm(b), false) => $gen.asm.$name(NARROW[$r], short(b)),
        }
    };
}

/// The low half of an immediate.
#[allow(clippy::cast_possible_truncation, reason = "that is what it is for")]
const fn short(value: u64) -> i32 {
    value as i32
}

/// Whether an instruction's immediate of 32 bits can say this.
fn fits(value: u64, wide: bool) -> bool {
    !wide || i64::from(short(value)).cast_unsigned() == value
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

/// A comparison of shared values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Compare {
    test: Test,
    signed: bool,
    wide: bool,
    /// Registers and their operands.
    sources: [(V, u32); 2],
}

/// The comparison of a predicate: its name, signedness, width.
#[derive(Debug, Clone, Copy)]
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
    fn element(&mut self, v: V, operand: u32, c: i32) -> Value {
        if let Some(value) = self.constant(v) {
            return Value::Imm(if self.class(v) == Class::W64 {
                value
            } else {
                value & 0xffff_ffff
            });
        }
        let wide = self.class(v) == Class::W64;
        let at = slot_disp(operand) + if wide { 8 } else { 4 } * c;
        if operand & POOL == 0
            && let Some(register) = self.kept(Place::Frame(at), wide)
        {
            return Value::In(register);
        }
        self.in_memory(v, operand, c)
    }

    /// As [`element`](Self::element) of a value that is not known, where memory has it.
    fn in_memory(&self, v: V, operand: u32, c: i32) -> Value {
        let wide = self.class(v) == Class::W64;
        let at = base_of(operand) + (slot_disp(operand) + if wide { 8 } else { 4 } * c);
        Value::At(if wide { qword_ptr(at) } else { dword_ptr(at) })
    }

    /// Loads 32 or 64 bits.
    fn load_value(&mut self, r: usize, wide: bool, value: Value) -> Result<(), IcedError> {
        match (value, wide) {
            (Value::Imm(i), _) => match u32::try_from(i) {
                Ok(i) => self.asm.mov(NARROW[r], i),
                Err(_) => self.asm.mov(WIDE[r], i),
            },
            (Value::In(from), true) => self.asm.mov(WIDE[r], WIDE[from]),
            (Value::In(from), false) => self.asm.mov(NARROW[r], NARROW[from]),
            (Value::At(m), true) => self.asm.mov(WIDE[r], qword_ptr(m)),
            (Value::At(m), false) => self.asm.mov(NARROW[r], dword_ptr(m)),
        }
    }

    /// Applies an operation to register `r`.
    fn act(&mut self, act: Act, wide: bool, r: usize, b: Option<Value>) -> Result<(), IcedError> {
        let Some(b) = b else {
            return match (act, wide) {
                (Act::Not, true) => self.asm.not(WIDE[r]),
                (Act::Not, false) => self.asm.not(NARROW[r]),
                (Act::Neg, true) => self.asm.neg(WIDE[r]),
                (Act::Neg, false) => self.asm.neg(NARROW[r]),
                _ => Ok(()),
            };
        };
        if matches!(act, Act::Shl | Act::ShrU | Act::ShrS) {
            let Value::Imm(by) = b else { return Ok(()) };
            let by = u32::try_from(by).unwrap_or(0);
            return match (act, wide) {
                (Act::Shl, true) => self.asm.shl(WIDE[r], by),
                (Act::Shl, false) => self.asm.shl(NARROW[r], by),
                (Act::ShrU, true) => self.asm.shr(WIDE[r], by),
                (Act::ShrU, false) => self.asm.shr(NARROW[r], by),
                (_, true) => self.asm.sar(WIDE[r], by),
                (_, false) => self.asm.sar(NARROW[r], by),
            };
        }
        let b = match b {
            Value::Imm(i) if act == Act::Mul && i.is_power_of_two() => {
                return self.act(Act::Shl, wide, r, Some(Value::Imm(u64::from(i.trailing_zeros()))));
            }
            Value::Imm(i) if act == Act::Mul || !fits(i, wide) => {
                self.load_value(RCX, wide, b)?;
                Value::In(RCX)
            }
            b => b,
        };
        match act {
            Act::Add => two!(self.add(wide, r, b)),
            Act::Sub => two!(self.sub(wide, r, b)),
            Act::And => two!(self.and(wide, r, b)),
            Act::Or => two!(self.or(wide, r, b)),
            Act::Mul => match (b, wide) {
                (Value::At(b), true) => self.asm.imul_2(WIDE[r], qword_ptr(b)),
                (Value::At(b), false) => self.asm.imul_2(NARROW[r], dword_ptr(b)),
                (Value::In(b), true) => self.asm.imul_2(WIDE[r], WIDE[b]),
                (Value::In(b), false) => self.asm.imul_2(NARROW[r], NARROW[b]),
                (Value::Imm(_), _) => Ok(()),
            },
            _ => two!(self.xor(wide, r, b)),
        }
    }

    /// Loads 32 bits, extended to 64.
    fn load_extended(&mut self, signed: bool, r: usize, value: Value) -> Result<(), IcedError> {
        match value {
            Value::Imm(i) if signed => {
                let wide = i64::from(short(i)).cast_unsigned();
                self.load_value(r, true, Value::Imm(wide))
            }
            Value::At(m) if signed => self.asm.movsxd(WIDE[r], dword_ptr(m)),
            Value::In(from) if signed => self.asm.movsxd(WIDE[r], NARROW[from]),
            value => self.load_value(r, false, value),
        }
    }

    /// Loads the product of two 32-bit values in 64 bits.
    fn wide_product(&mut self, signed: bool, r: usize, a: Value, b: Value) -> Result<(), IcedError> {
        self.load_extended(signed, r, a)?;
        let b = match b {
            Value::Imm(i) if signed => Value::Imm(i64::from(short(i)).cast_unsigned()),
            Value::Imm(i) => Value::Imm(i & 0xffff_ffff),
            b => {
                self.load_extended(signed, RCX, b)?;
                Value::In(RCX)
            }
        };
        self.act(Act::Mul, true, r, Some(b))
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
            let compare = Compare {
                test,
                signed,
                wide,
                sources: [0, 1].map(|i| (inst.s[i], operands[i])),
            };
            if self.decides_branch(inst) {
                self.decides = Some(compare);
                return Ok(true);
            }
            self.compare(&compare)?;
            self.put_uniform_predicate(op.d)?;
            return Ok(true);
        }
        let uniform = self.shape(inst.d[0]) == Shape::Uniform;
        let to = slot_disp(op.d);
        let wide = self.class(inst.d[0]) == Class::W64;
        let mut made = Vec::new();
        for c in 0..if uniform { 1 } else { 2 } {
            let mut s = [Value::Imm(0); 3];
            for (i, &v) in inst.s.iter().enumerate().take(3) {
                s[i] = self.element(v, operands[i], c);
            }
            if made.len() + s.iter().filter(|v| v.register().is_some()).count() >= self.keepers().len() {
                for (i, &v) in inst.s.iter().enumerate().take(3) {
                    if s[i].register().is_some() {
                        s[i] = self.in_memory(v, operands[i], c);
                    }
                }
            }
            let mut busy: Vec<usize> = s.iter().filter_map(|v| v.register()).collect();
            busy.extend(&made);
            let r = self.keeper(&busy);
            made.push(r);
            self.compute(alu, wide, r, &s[..inst.s.len()])?;
        }
        for c in 0..2 {
            let r = made[if uniform { 0 } else { usize::from(c != 0) }];
            let at = to + if wide { 8 } else { 4 } * c;
            if wide {
                self.asm.mov(qword_ptr(FRAME + at), WIDE[r])?;
            } else {
                self.asm.mov(dword_ptr(FRAME + at), NARROW[r])?;
            }
        }
        self.forget_slot(to);
        for c in 0..2 {
            let r = made[if uniform { 0 } else { usize::from(c != 0) }];
            self.keep(Place::Frame(to + if wide { 8 } else { 4 } * c), wide, r);
        }
        self.kept_result = true;
        Ok(true)
    }

    /// Makes a result in register `r`, which none of the operands is in.
    fn compute(&mut self, alu: Alu, out_wide: bool, r: usize, s: &[Value]) -> Result<(), IcedError> {
        match (simple(alu), alu) {
            (Some((act, wide)), _) => {
                self.load_value(r, wide, s[0])?;
                self.act(act, wide, r, s.get(1).copied())
            }
            (None, Alu::MadLo32 | Alu::MadLo64) => {
                self.load_value(r, out_wide, s[0])?;
                self.act(Act::Mul, out_wide, r, Some(s[1]))?;
                self.act(Act::Add, out_wide, r, Some(s[2]))
            }
            (None, Alu::Zx32To64) => self.load_extended(false, r, s[0]),
            (None, Alu::Sx32To64) => self.load_extended(true, r, s[0]),
            (None, _) => {
                let signed = matches!(alu, Alu::MulWideS32 | Alu::MadWideS32);
                self.wide_product(signed, r, s[0], s[1])?;
                match s.get(2) {
                    Some(&e) => self.act(Act::Add, true, r, Some(e)),
                    None => Ok(()),
                }
            }
        }
    }

    /// Whether the only thing that a comparison of shared values is for is the branch right behind it.
    fn decides_branch(&self, inst: &Inst) -> bool {
        let block = &self.analysed.kernel.blocks[self.block as usize];
        let next = self.analysed.first[self.block as usize] as usize + self.place_in_block + 1;
        let d = inst.d[0];
        self.place_in_block + 1 == block.insts.len()
            && self.guard.is_none()
            && matches!(block.term, Term::Branch { pred, taken, other, .. } if pred == d && taken != other)
            && self.uses[d as usize] == 1
            && self.code.roles[self.code.op_of_inst[next] as usize] == Role::End
            && self.shape(d) == Shape::Uniform
    }

    /// Sets the processor's flags as a comparison says.
    fn flags(&mut self, compare: &Compare) -> Result<(), IcedError> {
        let wide = compare.wide;
        let [a, b] = compare.sources.map(|(v, operand)| self.element(v, operand, 0));
        let a = if let Some(r) = a.register() {
            r
        } else {
            self.load_value(RAX, wide, a)?;
            RAX
        };
        let b = match b {
            Value::Imm(i) if !fits(i, wide) => {
                self.load_value(RCX, wide, b)?;
                Value::In(RCX)
            }
            b => b,
        };
        two!(self.cmp(wide, a, b))
    }

    /// Goes to a label when a comparison holds, or when it does not.
    pub(super) fn jump_when(
        &mut self,
        compare: &Compare,
        holds: bool,
        to: CodeLabel,
    ) -> Result<(), IcedError> {
        self.flags(compare)?;
        let test = match (compare.test, holds) {
            (test, true) => test,
            (Test::Eq, false) => Test::Ne,
            (Test::Ne, false) => Test::Eq,
            (Test::Lt, false) => Test::Ge,
            (Test::Le, false) => Test::Gt,
            (Test::Gt, false) => Test::Le,
            (Test::Ge, false) => Test::Lt,
        };
        match (test, compare.signed) {
            (Test::Eq, _) => self.asm.je(to),
            (Test::Ne, _) => self.asm.jne(to),
            (Test::Lt, true) => self.asm.jl(to),
            (Test::Le, true) => self.asm.jle(to),
            (Test::Gt, true) => self.asm.jg(to),
            (Test::Ge, true) => self.asm.jge(to),
            (Test::Lt, false) => self.asm.jb(to),
            (Test::Le, false) => self.asm.jbe(to),
            (Test::Gt, false) => self.asm.ja(to),
            (Test::Ge, false) => self.asm.jae(to),
        }
    }

    /// Compares two values and leaves all ones or zeros in `eax`.
    fn compare(&mut self, compare: &Compare) -> Result<(), IcedError> {
        self.flags(compare)?;
        let (test, signed) = (compare.test, compare.signed);
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
