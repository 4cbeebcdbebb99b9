//! Transfers of control: who runs next, who waits where.
//!
//! As in the interpreter, the lanes at the lowest place run first, and lanes that come to one place go on together. Lanes
//! that wait are a mask per place and one bit per place that has any.

use std::mem::offset_of;

use iced_x86::IcedError;
use iced_x86::code_asm::*;

use super::compile::{CX, FRAME, Gen, STATE, Stub, disp, slot_disp};
use super::context::{NOBODY, State, WORDS};
use crate::analysis::cfg::NONE;
use crate::analysis::shape::Shape;
use crate::decode::Role;
use crate::exec::{Cx, Event, NEGATED, Op};
use crate::lir::{Inst, Term, What};

fn cx(field: usize) -> AsmMemoryOperand {
    dword_ptr(CX + disp(field))
}

fn state(field: usize) -> AsmMemoryOperand {
    dword_ptr(STATE + disp(field))
}

impl Gen<'_> {
    /// Counts `cost` operations; goes to `pc`'s stop stub when the quantum is used up.
    fn count(&mut self, cost: u32, pc: u32) -> Result<(), IcedError> {
        let from = self.asm.create_label();
        let fuel = qword_ptr(CX + disp(offset_of!(Cx, fuel)));
        self.asm.sub(fuel, i32::try_from(cost).unwrap_or(i32::MAX))?;
        self.asm.js(from)?;
        self.stubs.push(Stub::Stop { from, pc });
        Ok(())
    }

    /// Ends the run at `pc`, with homes in registers.
    pub(super) fn stop(&mut self, pc: u32, event: Event) -> Result<(), IcedError> {
        self.asm.mov(cx(offset_of!(Cx, pc)), pc)?;
        self.asm
            .mov(byte_ptr(CX + disp(offset_of!(Cx, event))), event as u32)?;
        self.asm.jmp(self.save_and_leave)
    }

    pub(super) fn poll(&mut self, op: &Op, at: u32) -> Result<(), IcedError> {
        self.count(op.site, at + 1)
    }

    /// Goes to the elect stub of `block` when lanes wait there or before it.
    fn check(&mut self, block: u32) -> Result<(), IcedError> {
        let place = self.place[block as usize];
        let from = self.asm.create_label();
        self.asm.cmp(state(offset_of!(State, next)), place)?;
        self.asm.jbe(from)?;
        self.stubs.push(Stub::Elect { from, place });
        Ok(())
    }

    /// Goes on at `block`.
    fn goto(&mut self, block: u32, cost: u32, falls: bool) -> Result<(), IcedError> {
        self.count(cost, self.start(block))?;
        self.check(block)?;
        if !falls {
            let again = self.alone.filter(|_| block == self.block);
            self.asm.jmp(again.unwrap_or(self.blocks[block as usize]))?;
        }
        Ok(())
    }

    pub(super) fn terminator(&mut self, op: &Op, at: u32) -> Result<(), IcedError> {
        let next = self.block + 1;
        let term = self.analysed.kernel.blocks[self.block as usize].term.clone();
        match term {
            Term::Jump(b) => self.goto(b, op.site, b == next),
            Term::Branch { taken, other, .. } => self.branch(op, taken, other),
            Term::Switch { .. } => self.by_handler(at),
            Term::Exit => self.exit(at),
        }
    }

    /// A transfer of control by its handler of tier 0.
    fn by_handler(&mut self, at: u32) -> Result<(), IcedError> {
        let operand = self.analysed.kernel.blocks[self.block as usize].term.operand();
        let copied = self.copied(operand.as_slice());
        self.widen_operands(&copied)?;
        for home in self.held.clone() {
            self.save(home)?;
        }
        self.asm.vzeroupper()?;
        self.asm.mov(rdi, STATE)?;
        self.asm.mov(esi, at)?;
        self.asm
            .call(qword_ptr(STATE + disp(offset_of!(State, control))))?;
        self.asm.test(rax, rax)?;
        self.asm.je(self.leave)?;
        self.asm.jmp(self.load_and_go)
    }

    /// The 32 lanes of a predicate.
    pub(super) fn predicate_word(&mut self, to: AsmRegister32, operand: u32) -> Result<(), IcedError> {
        match self.homes.get(operand) {
            Some(_) => self.asm.kmovd(to, k7),
            None => self.asm.mov(to, dword_ptr(FRAME + slot_disp(operand))),
        }
    }

    fn branch(&mut self, op: &Op, taken: u32, other: u32) -> Result<(), IcedError> {
        let (none, all, part) = (
            self.asm.create_label(),
            self.asm.create_label(),
            self.asm.create_label(),
        );
        let next = self.block + 1;
        if taken == other {
            return self.goto(taken, op.site, taken == next);
        }
        if self.uniform_branch() {
            return self.branch_together(op, taken, other);
        }
        self.predicate_word(ecx, op.a)?;
        self.asm.mov(eax, cx(offset_of!(Cx, mask)))?;
        if op.flags & NEGATED != 0 {
            self.asm.andn(ecx, ecx, eax)?;
        } else {
            self.asm.and(ecx, eax)?;
        }
        if taken == next {
            self.asm.cmp(ecx, eax)?;
            self.asm.je(all)?;
            self.asm.test(ecx, ecx)?;
            self.asm.jne(part)?;
            self.goto(other, op.site, false)?;
            self.bind(all)?;
            self.goto(taken, op.site, true)?;
        } else {
            self.asm.test(ecx, ecx)?;
            self.asm.je(none)?;
            self.asm.cmp(ecx, eax)?;
            self.asm.jne(part)?;
            self.goto(taken, op.site, false)?;
            self.bind(none)?;
            self.goto(other, op.site, other == next)?;
        }
        // ecx: lanes that take the branch; eax: all.
        let (low, high) = if taken < other {
            (taken, other)
        } else {
            (other, taken)
        };
        self.stubs.push(Stub::Part {
            from: part,
            high,
            low,
            cost: op.site,
            low_taken: taken < other,
        });
        Ok(())
    }

    /// Whether all lanes go the same way at the end of the block.
    pub(super) fn uniform_branch(&self) -> bool {
        let operand = self.analysed.kernel.blocks[self.block as usize].term.operand();
        operand.is_some_and(|v| self.shape(v) == Shape::Uniform)
    }

    /// A branch whose predicate is the same in all lanes that execute.
    fn branch_together(&mut self, op: &Op, taken: u32, other: u32) -> Result<(), IcedError> {
        let (then, next) = (self.asm.create_label(), self.block + 1);
        // The one that follows comes last.
        let (first, last, negated) = if taken == next {
            (other, taken, op.flags & NEGATED == 0)
        } else {
            (taken, other, op.flags & NEGATED != 0)
        };
        self.unless(op, !negated, then)?;
        self.goto(first, op.site, false)?;
        self.bind(then)?;
        self.goto(last, op.site, last == next)
    }

    /// Goes to a label unless the predicate of a branch, the same in all lanes that execute, is `holds`.
    pub(super) fn unless(&mut self, op: &Op, holds: bool, to: CodeLabel) -> Result<(), IcedError> {
        if let Some(compare) = self.decides.take() {
            return self.jump_when(&compare, !holds, to);
        }
        self.predicate_word(ecx, op.a)?;
        self.asm.test(cx(offset_of!(Cx, mask)), ecx)?;
        if holds { self.asm.je(to) } else { self.asm.jne(to) }
    }

    /// Lanes part: of the lanes `eax`, those of `ecx` take the branch.
    pub(super) fn part(&mut self, high: u32, low: u32, cost: u32, low_taken: bool) -> Result<(), IcedError> {
        let place = self.place[high as usize];
        debug_assert_ne!(place, NONE, "a successor is a place");
        self.asm.xor(eax, ecx)?;
        let (stays, goes) = if low_taken { (eax, ecx) } else { (ecx, eax) };
        self.wait_at(place, stays)?;
        self.asm.mov(cx(offset_of!(Cx, mask)), goes)?;
        self.asm.kmovd(k1, goes)?;
        self.asm.kshiftrd(k2, k1, 16)?;
        self.goto(low, cost, false)
    }

    /// Leaves lanes behind at a place.
    fn wait_at(&mut self, place: u32, lanes: AsmRegister32) -> Result<(), IcedError> {
        let at = i32::try_from(place).unwrap_or(0);
        let pending = disp(offset_of!(State, pending)) + 4 * at;
        self.asm.or(dword_ptr(STATE + pending), lanes)?;
        let word = disp(offset_of!(State, bits)) + at / 64 * 8;
        self.asm
            .bts(qword_ptr(STATE + word), u32::try_from(at % 64).unwrap_or(0))?;
        self.asm.mov(edx, place)?;
        self.asm.mov(esi, state(offset_of!(State, next)))?;
        self.asm.cmp(esi, edx)?;
        self.asm.cmovb(edx, esi)?;
        self.asm.mov(state(offset_of!(State, next)), edx)?;
        self.asm.inc(state(offset_of!(State, progress)))
    }

    /// The routine behind all jumps that find lanes waiting at or before their target, whose place is `eax`.
    pub(super) fn elect_routine(&mut self) -> Result<(), IcedError> {
        let pending = disp(offset_of!(State, pending));
        let bits = disp(offset_of!(State, bits));
        let (join, take) = (self.asm.create_label(), self.take);
        self.bind(self.elect)?;
        self.asm.mov(ecx, cx(offset_of!(Cx, mask)))?;
        self.asm.mov(esi, state(offset_of!(State, next)))?;
        self.asm.cmp(esi, eax)?;
        self.asm.je(join)?;
        // Lower lanes first: these wait where they wanted to go.
        self.asm.or(dword_ptr(STATE + rax * 4 + pending), ecx)?;
        self.asm.bts(qword_ptr(STATE + bits), rax)?;
        self.asm.xor(ecx, ecx)?;
        self.bind(join)?;
        // Entered here with ecx lanes that run already and the place esi.
        self.bind(take)?;
        self.asm.or(ecx, dword_ptr(STATE + rsi * 4 + pending))?;
        self.asm.mov(dword_ptr(STATE + rsi * 4 + pending), 0)?;
        self.asm.btr(qword_ptr(STATE + bits), rsi)?;
        self.asm.mov(cx(offset_of!(Cx, mask)), ecx)?;
        self.asm.kmovd(k1, ecx)?;
        self.asm.kshiftrd(k2, k1, 16)?;
        self.asm.inc(state(offset_of!(State, progress)))?;
        self.lowest()?;
        self.asm
            .mov(rdx, qword_ptr(STATE + disp(offset_of!(State, places))))?;
        self.asm.jmp(qword_ptr(rdx + rsi * 8))
    }

    /// Finds the lowest place where lanes wait.
    fn lowest(&mut self) -> Result<(), IcedError> {
        let bits = disp(offset_of!(State, bits));
        let used = self
            .place
            .iter()
            .filter(|p| **p != NONE)
            .count()
            .div_ceil(64)
            .clamp(1, WORDS);
        let found = self.asm.create_label();
        self.asm.mov(eax, NOBODY)?;
        for w in 0..used {
            let next = self.asm.create_label();
            self.asm.mov(rdx, qword_ptr(STATE + (bits + 8 * disp(w))))?;
            self.asm.test(rdx, rdx)?;
            self.asm.je(next)?;
            self.asm.tzcnt(rdx, rdx)?;
            self.asm.lea(eax, dword_ptr(rdx + 64 * disp(w)))?;
            self.asm.jmp(found)?;
            self.bind(next)?;
        }
        self.bind(found)?;
        self.asm.mov(state(offset_of!(State, next)), eax)
    }

    /// Whether an operation behind a guard has a native form.
    fn has_guarded_form(&self, inst: &Inst, op: &Op) -> bool {
        match inst.what {
            What::Alu(alu, x) => super::alu::has_native(alu, x),
            What::Pred(_) => true,
            What::Load(access) => self.form(&access, inst, op, true).is_some(),
            What::Store(access) => self.form(&access, inst, op, false).is_some(),
            _ => false,
        }
    }

    /// A guarded operation: the mask is narrowed for it, in the registers.
    pub(super) fn guarded(&mut self, inst: &Inst, at: u32) -> Result<(), IcedError> {
        let (guard, op) = (self.code.ops[at as usize], self.code.ops[at as usize + 1]);
        let role = self.code.roles[at as usize + 1];
        if role != Role::Expand && !self.has_guarded_form(inst, &op) {
            let held = self.held.clone();
            let access = Self::accesses(inst).then_some(at + 1);
            let copied = self.copied(&inst.s);
            self.widen_operands(&copied)?;
            return self.call_handler(super::compile::Call { number: at, access }, &held);
        }
        let skip = self.asm.create_label();
        self.predicate_word(ecx, guard.a)?;
        self.asm.mov(eax, cx(offset_of!(Cx, mask)))?;
        if guard.flags & NEGATED != 0 {
            self.asm.andn(ecx, ecx, eax)?;
        } else {
            self.asm.and(ecx, eax)?;
        }
        self.asm.je(skip)?;
        self.asm.kmovd(k1, ecx)?;
        self.asm.kshiftrd(k2, k1, 16)?;
        let outer = self.guard.replace(at);
        let done = self.native(inst, role, &op, at + 1)?;
        debug_assert!(done, "a form that was said to exist");
        self.guard = outer;
        self.bind(skip)?;
        self.load_masks()
    }
}
