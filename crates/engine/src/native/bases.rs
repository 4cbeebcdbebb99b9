//! Accesses of a block at constant distances from one address: their bounds are checked together, by the first of them, which
//! leaves the host's address for the others. Where the check fails, handlers carry out all that is left of the stretch:
//!
//! ```text
//!  lead ──fails──▶ handlers of all operations up to the end ─┐
//!   │ address                                                 │
//!   ▼                                                         │
//!  access, access, …      no check                            │
//!   ▼                                                         │
//!  end of the stretch: a barrier, a safe point, a branch ◀────┘
//! ```
//!
//! A value that is loaded this way and wanted once, by arithmetic soon after, is not loaded at all: the instruction reads it
//! where it is.

use std::collections::HashSet;
use std::mem::offset_of;

use iced_x86::IcedError;
use iced_x86::code_asm::*;

use super::alu::Source;
use super::compile::{Gen, STATE, Stub, WINDOWS, disp, slot_disp};
use super::context::{BASES, State, Window};
use super::memory::{Form, Pattern, upper};
use super::regs::Home;
use crate::analysis::cfg::NONE;
use crate::analysis::live::reads;
use crate::decode::Role;
use crate::exec::alu::Class;
use crate::exec::{LINE, Op, SCALAR, WIDE};
use crate::lir::{Inst, V, What};

/// How far behind a load the arithmetic may be that reads memory itself, in instructions.
const FOLD: usize = 16;
/// Known addresses this far from each other are taken to belong to one allocation.
const GAP: i64 = 64;

/// What distances count from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    /// The operand of the address.
    Slot(u32),
    /// Zero: the address is in the kernel's text.
    Zero,
}

/// An address that has been checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Base {
    root: Root,
    /// What else an access has to agree in.
    kind: (bool, bool),
    /// The lowest distance, and the end of what was checked.
    min: i64,
    end: i64,
    /// Place in [`State::bases`], and in bytes how much further on that of the upper half is.
    at: i32,
    next: i32,
    /// How much further on the upper half's address is than what its place holds.
    upper: i32,
}

impl Base {
    /// Place of the address of chunk `c`, and how much further on it is.
    pub(super) fn chunk(&self, c: u8) -> (i32, i32) {
        let c = i32::from(c);
        (self.at + self.next * c, self.upper * c)
    }
}

/// A check that has its stub when the end of the stretch is known.
#[derive(Debug)]
pub(super) struct Lead {
    failed: CodeLabel,
    /// Operation, and instruction in the block.
    at: u32,
    place: usize,
    held: Vec<Home>,
}

/// A load that did not take place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Folded {
    /// Operand of the value.
    operand: u32,
    /// Places of the addresses of the chunks.
    at: [i32; 2],
    distance: [i32; 2],
    row: bool,
}

/// Accesses that are checked together: distances, ends, largest alignment, how many.
struct Span {
    min: i64,
    end: i64,
    align: u32,
    count: u32,
}

/// Whether checked addresses stay right: nothing can stop here and be entered again, no other group runs.
pub(super) const fn keeps(what: &What) -> bool {
    matches!(
        what,
        What::Alu(..)
            | What::Pred(_)
            | What::Load(_)
            | What::Store(_)
            | What::Special(_)
            | What::Shfl(_)
            | What::Vote(_)
    )
}

impl Gen<'_> {
    /// After an instruction: forgets what it makes wrong.
    pub(super) fn forget_bases(&mut self, inst: &Inst) {
        if !keeps(&inst.what) {
            self.forget_checks();
        }
        let slots = &self.code.slots.scalar;
        self.bases
            .retain(|b| !inst.d.iter().any(|&d| b.root == Root::Slot(slots[d as usize])));
        self.folded.retain(|f| {
            let mut read = false;
            reads(inst, |v| {
                read |= self.code.slots.vector[v as usize] == f.operand || slots[v as usize] == f.operand;
            });
            !read
        });
        if !self.kept_result {
            for &d in inst.d.iter().filter(|d| slots[**d as usize] != NONE) {
                self.forget_slot(slot_disp(slots[d as usize]));
            }
        }
    }

    /// Where a group may be entered nothing is known.
    pub(super) fn forget_checks(&mut self) {
        self.bases.clear();
        self.kept.clear();
    }

    fn kind(form: &Form, load: bool) -> (bool, bool) {
        // A window for reading is not one for writing; shared memory is both.
        (form.shared, form.shared || load)
    }

    /// What an access counts from, and how far it is from there.
    fn root(&self, inst: &Inst, op: &Op) -> (Root, i64) {
        let imm = i64::from(op.imm);
        match self.constant(inst.s[0]) {
            Some(address) => (Root::Zero, address.cast_signed().wrapping_add(imm)),
            None => (Root::Slot(op.a), imm),
        }
    }

    /// What has been checked for this access, and its distance from there.
    pub(super) fn base(&self, inst: &Inst, op: &Op, form: &Form, load: bool) -> Option<(Base, i32)> {
        let kind = Self::kind(form, load);
        let (root, from) = self.root(inst, op);
        let end = from.checked_add(i64::from(form.span()))?;
        let fits = |b: &&Base| b.root == root && b.kind == kind && b.min <= from && end <= b.end;
        if form.pattern == Pattern::Any {
            return None;
        }
        let base = self.bases.iter().find(fits)?;
        Some((*base, i32::try_from(from - base.min).ok()?))
    }

    /// The accesses that this one can check along.
    fn others(&self, inst: &Inst, op: &Op, form: &Form, load: bool) -> Option<Span> {
        let kind = Self::kind(form, load);
        let (root, from) = self.root(inst, op);
        let mut found = vec![(from, from.checked_add(i64::from(form.span()))?, form.align())];
        let block = &self.analysed.kernel.blocks[self.block as usize];
        let first = self.analysed.first[self.block as usize] as usize;
        for (j, inst) in block.insts.iter().enumerate().skip(self.place_in_block + 1) {
            let number = first + j;
            let ops = self.code.op_of_inst[number] as usize..self.code.op_of_inst[number + 1] as usize;
            if !keeps(&inst.what) || self.code.roles[ops].contains(&Role::Poll) {
                break;
            }
            let access = match inst.what {
                What::Load(access) => Some((access, true)),
                What::Store(access) => Some((access, false)),
                _ => None,
            };
            if let Some((access, load)) = access {
                let at = self.code.op_of_inst[number] as usize + usize::from(inst.guard.is_some());
                let other = self.code.ops[at];
                let (other_root, other_from) = self.root(inst, &other);
                if other_root == root
                    && let Some(form) = self.form(&access, inst, &other, load)
                    && form.pattern != Pattern::Any
                    && Self::kind(&form, load) == kind
                {
                    let end = other_from.checked_add(i64::from(form.span()))?;
                    found.push((other_from, end, form.align()));
                }
            }
            let written = |&d: &V| root == Root::Slot(self.code.slots.scalar[d as usize]);
            if inst.d.iter().any(written) {
                break;
            }
        }
        let mut span = Span {
            min: found[0].0,
            end: found[0].1,
            align: found[0].2,
            count: 0,
        };
        found.sort_unstable();
        // Known addresses may be those of several variables: what is near, and near to that.
        let near =
            |s: &Span, f: &(i64, i64, u32)| root != Root::Zero || f.0 <= s.end + GAP && f.1 >= s.min - GAP;
        for f in found.iter().chain(found.iter().rev()) {
            if near(&span, f) {
                span.min = span.min.min(f.0);
                span.end = span.end.max(f.1);
            }
        }
        found.retain(|f| near(&span, f));
        for f in found {
            span.align = span.align.max(f.2);
            span.count += 1;
            if (f.0 - span.min) % i64::from(f.2) != 0 {
                // It would not be aligned where the first is: none of them relies on the others.
                return None;
            }
        }
        Some(span)
    }

    /// Checks this access and those after it that have the same address, when there are some.
    pub(super) fn lead(
        &mut self,
        inst: &Inst,
        op: &Op,
        form: &Form,
        (load, at): (bool, u32),
    ) -> Result<Option<(Base, i32)>, IcedError> {
        // Handlers know nothing of what was not loaded.
        let open = self.guard.is_some() || !self.folded.is_empty();
        if form.pattern == Pattern::Any || open || self.next_base + 2 > BASES {
            return Ok(None);
        }
        let Some(span) = self.others(inst, op, form, load) else {
            return Ok(None);
        };
        let (root, from) = self.root(inst, op);
        let back = i32::try_from(from - span.min);
        let (Ok(back), Ok(length)) = (back, i32::try_from(span.end.saturating_sub(span.min))) else {
            return Ok(None);
        };
        let min = op.imm.checked_sub(back);
        let (Some(min), true) = (min, span.count >= 2 && length <= 1 << 20) else {
            return Ok(None);
        };
        let (line, joined) = (op.flags & LINE != 0, self.joins(op));
        let upper = if joined { upper(op) } else { 0 };
        let Some(length) = length.checked_add(upper).filter(|_| upper >= 0) else {
            return Ok(None);
        };
        let base = Base {
            root,
            kind: Self::kind(form, load),
            min: span.min,
            end: span.end,
            at: disp(offset_of!(State, bases) + 8 * self.next_base),
            next: if line && !joined { 8 } else { 0 },
            upper,
        };
        self.next_base += 2;
        let failed = self.asm.create_label();
        let chunks = if line && !joined { 2u8 } else { 1 };
        for c in 0..chunks {
            self.line_address(op, min, c)?;
            if joined {
                self.follows(op, min, failed)?;
            }
            self.checked(op, form, (span.align, length), failed)?;
            self.leave_address(base.at + 8 * i32::from(c))?;
        }
        self.leads.push(Lead {
            failed,
            at,
            place: self.place_in_block,
            held: self.held.clone(),
        });
        self.bases.push(base);
        Ok(Some((base, back)))
    }

    /// From the address in `rax`, of so many bytes, to the host's.
    fn checked(
        &mut self,
        op: &Op,
        form: &Form,
        (align, length): (u32, i32),
        failed: CodeLabel,
    ) -> Result<(), IcedError> {
        if align > 1 {
            self.asm.test(al, i32::try_from(align - 1).unwrap_or(0))?;
            self.asm.jne(failed)?;
        }
        if form.shared {
            let len = qword_ptr(STATE + disp(offset_of!(State, shared_len)));
            if op.flags & WIDE != 0 {
                self.asm.cmp(rax, len)?;
                self.asm.jae(failed)?;
            }
            self.asm.lea(rcx, qword_ptr(rax + length))?;
            self.asm.cmp(rcx, len)?;
            self.asm.ja(failed)?;
            return self
                .asm
                .add(rax, qword_ptr(STATE + disp(offset_of!(State, shared))));
        }
        let window = WINDOWS + disp(op.site as usize * size_of::<Window>());
        let one = qword_ptr(window + disp(offset_of!(Window, one)));
        self.asm.mov(rcx, rax)?;
        self.asm.sub(rcx, qword_ptr(window))?;
        self.asm.cmp(rcx, one)?;
        self.asm.jae(failed)?;
        self.asm
            .add(rcx, length - i32::try_from(form.lane()).unwrap_or(0))?;
        self.asm.cmp(rcx, one)?;
        self.asm.jae(failed)?;
        self.asm
            .add(rax, qword_ptr(window + disp(offset_of!(Window, delta))))
    }

    /// Before operation `end`, which is of instruction `place` of the block: nothing that is known stays known behind it.
    pub(super) fn close(&mut self, end: u32, place: usize) -> Result<(), IcedError> {
        debug_assert!(self.folded.is_empty(), "what was not loaded has been read");
        if !self.leads.is_empty() {
            let label = self.asm.create_label();
            self.bind(label)?;
            for lead in std::mem::take(&mut self.leads) {
                let copied = self.read_between(lead.place, place);
                self.stubs.push(Stub::Stretch {
                    from: lead.failed,
                    end: label,
                    ops: (lead.at, end),
                    held: [lead.held, self.held.clone()],
                    copied,
                });
            }
        }
        self.forget_checks();
        Ok(())
    }

    /// The uniform values from before instruction `from` of the block that those before `to` read.
    fn read_between(&self, from: usize, to: usize) -> Vec<(u32, Class)> {
        let (mut read, mut seen) = (Vec::new(), HashSet::new());
        let block = &self.analysed.kernel.blocks[self.block as usize];
        for inst in &block.insts[from..to] {
            read.extend(inst.s.iter().filter(|v| seen.insert(**v)));
            seen.extend(&inst.d);
        }
        self.copied(&read)
    }

    /// Leaves a load of operation `at` to the arithmetic that wants its value, when it may be; whether it may.
    pub(super) fn fold(
        &mut self,
        inst: &Inst,
        op: &Op,
        form: &Form,
        at: u32,
        (base, distance): (Base, i32),
    ) -> bool {
        let whole = if form.class == Class::W64 { 8 } else { 4 };
        if form.n != 1 || form.bytes != whole || self.guard.is_some() || !self.folds(inst.d[0], at) {
            return false;
        }
        let chunks = [0, if op.flags & LINE == 0 { 0 } else { 1 }].map(|c| base.chunk(c));
        self.folded.push(Folded {
            operand: op.d,
            at: chunks.map(|(at, _)| at),
            distance: chunks.map(|(_, between)| distance + between),
            row: form.pattern == Pattern::Row,
        });
        true
    }

    /// Whether the only reader of `v` is arithmetic on lanes that follows soon, with nothing between that writes memory.
    fn folds(&self, v: V, at: u32) -> bool {
        if self.uses[v as usize] != 1 {
            return false;
        }
        let block = &self.analysed.kernel.blocks[self.block as usize];
        let first = self.analysed.first[self.block as usize] as usize + self.place_in_block;
        for (j, inst) in (1..).zip(block.insts.iter().skip(self.place_in_block + 1).take(FOLD)) {
            let mut read = false;
            reads(inst, |s| read |= s == v);
            let [from, to] = [first + j, first + j + 1].map(|i| self.code.op_of_inst[i]);
            let roles = &self.code.roles[at as usize + 1..to as usize];
            if roles.iter().any(|r| matches!(r, Role::Poll | Role::Widen)) || inst.d.contains(&v) {
                return false;
            }
            if read {
                return matches!(inst.what, What::Alu(alu, x) if super::alu::has_native(alu, x))
                    && inst.guard.is_none()
                    && to == from + 1
                    && self.code.ops[from as usize].flags & SCALAR == 0;
            }
            if !self.passes(inst, first + j) {
                return false;
            }
        }
        false
    }

    /// Whether an instruction, whose number this is, neither writes memory nor can end the run: what was not loaded would be
    /// missing there.
    fn passes(&self, inst: &Inst, number: usize) -> bool {
        let op = &self.code.ops[self.code.op_of_inst[number] as usize + usize::from(inst.guard.is_some())];
        match inst.what {
            What::Alu(..) | What::Pred(_) | What::Special(_) => true,
            What::Load(access) => self
                .form(&access, inst, op, true)
                .is_some_and(|form| self.base(inst, op, &form, true).is_some()),
            _ => false,
        }
    }

    /// An operand that was not loaded, where it is.
    pub(super) fn folded_source(&mut self, operand: u32, c: u8) -> Result<Option<Source>, IcedError> {
        let Some(&f) = self.folded.iter().find(|f| f.operand == operand) else {
            return Ok(None);
        };
        let base = self.kept_address(f.at[usize::from(c)])?;
        let disp = f.distance[usize::from(c)];
        Ok(Some(if f.row {
            Source::Memory { base, disp }
        } else {
            Source::Broadcast { base, disp }
        }))
    }
}
