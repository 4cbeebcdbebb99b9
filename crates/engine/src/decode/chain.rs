//! Which operations on words follow one from the other, so that the first of them can carry all of them out.

use super::emit::{Emit, len32};
use crate::analysis::shape::Shape;
use crate::exec::alu::{Alu, Class};
use crate::exec::chain::{Chain, Word, step};
use crate::lir::{Inst, V, What};

/// A step of a chain.
#[derive(Clone, Copy)]
struct Step {
    number: u32,
    /// What goes in and how often it is read, the constant, what comes out.
    from: V,
    reads: u32,
    konst: V,
    to: V,
}

/// Function of an instruction whose operands can change places, or the first of which is carried.
fn word(alu: Alu) -> Option<(Word, bool)> {
    Some(match alu {
        Alu::Add32 => (Word::Add, true),
        Alu::Sub32 => (Word::Sub, false),
        Alu::MulLo32 => (Word::Mul, true),
        Alu::And32 => (Word::And, true),
        Alu::Or32 => (Word::Or, true),
        Alu::Xor32 => (Word::Xor, true),
        Alu::Shl32 => (Word::Shl, false),
        Alu::ShrU32 => (Word::Shr, false),
        _ => return None,
    })
}

impl Emit<'_> {
    /// Joins the chain that begins at instruction `i` of a block; returns how many instructions it has.
    pub(super) fn chain(&mut self, uses: &[(u32, u32)], first: usize, insts: &[Inst], i: usize) -> usize {
        let mut steps: Vec<Step> = Vec::new();
        let mut n = 0;
        while let Some(next) = self.step(uses, first + i + n, &insts[i + n..]) {
            let follows = steps
                .last()
                .is_none_or(|s| s.to == next.from && uses[s.to as usize] == (1, next.reads));
            if !follows {
                break;
            }
            n += step::width(next.number);
            steps.push(next);
        }
        if n < 2 {
            return 0;
        }
        let at = self.op_of_inst[first + i] as usize;
        let mut on = at;
        for s in &steps {
            let site = self.lanes(s.konst);
            let op = &mut self.ops[on];
            (op.e, op.site) = (s.number, site);
            on += step::width(s.number);
        }
        let (a, f) = (self.lanes(steps[0].from), self.level.handler::<Chain>());
        let op = &mut self.ops[at];
        (op.f, op.a, op.g, op.c) = (f, a, len32(steps.len()), len32(n));
        n
    }

    /// The step that begins with instruction `number`, the first of `insts`: a shift that is joined with its operand, or one function.
    fn step(&self, uses: &[(u32, u32)], number: usize, insts: &[Inst]) -> Option<Step> {
        let one = self.link(number, insts.first()?)?;
        if let Some(inst) = insts.get(1)
            && let What::Alu(join, _) = inst.what
            && self.one_operation(number + 1, inst)
            && uses[one.to as usize] == (1, 1)
            && (inst.s[..] == [one.from, one.to] || inst.s[..] == [one.to, one.from])
        {
            const SHL: u32 = step::simple(Word::Shl);
            const SHR: u32 = step::simple(Word::Shr);
            let both = match (one.number, join) {
                (SHR, Alu::Xor32) => Some(step::XOR_SHR),
                (SHL, Alu::Xor32) => Some(step::XOR_SHL),
                (SHL, Alu::Add32) => Some(step::ADD_SHL),
                _ => None,
            };
            if let Some(both) = both {
                let to = inst.d[0];
                return Some(Step {
                    number: both,
                    reads: 2,
                    to,
                    ..one
                });
            }
        }
        Some(one)
    }

    /// A function of a carried value and one that is the same in all lanes.
    fn link(&self, number: usize, inst: &Inst) -> Option<Step> {
        let What::Alu(alu, _) = inst.what else { return None };
        let (word, swaps) = word(alu)?;
        if !self.one_operation(number, inst) {
            return None;
        }
        let uniform = |v: V| self.shape(v) == Shape::Uniform;
        let [a, b] = inst.s[..] else { return None };
        let (from, konst) = match (uniform(a), uniform(b)) {
            (false, true) => (a, b),
            (true, false) if swaps => (b, a),
            _ => return None,
        };
        Some(Step {
            number: step::simple(word),
            from,
            reads: 1,
            konst,
            to: inst.d[0],
        })
    }

    /// Whether an instruction that writes words lane by lane is a single operation in all lanes.
    fn one_operation(&self, number: usize, inst: &Inst) -> bool {
        let at = self.op_of_inst[number];
        let words = |v: V| self.a.kernel.vregs[v as usize].class == Class::W32;
        inst.guard.is_none()
            && self.op_of_inst.get(number + 1) == Some(&(at + 1))
            && words(inst.d[0])
            && self.shape(inst.d[0]) == Shape::Vector
    }
}
