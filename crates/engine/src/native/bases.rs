//! Accesses of a block at constant distances from one shared address: their bounds are checked together, by the first of them,
//! which leaves the host's address for the others. Where the check fails it leaves zero, and each goes its own way.

use std::mem::offset_of;

use iced_x86::IcedError;
use iced_x86::code_asm::*;

use super::compile::{Gen, STATE, WINDOWS, disp};
use super::context::{BASES, State, Window};
use super::memory::{Form, Pattern};
use crate::exec::{LINE, Op, WIDE};
use crate::lir::{Inst, What};

/// An address that has been checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Base {
    /// Operand of the address, and what else it has to agree in.
    slot: u32,
    kind: (bool, bool),
    /// The lowest distance.
    min: i32,
    /// Place in [`State::bases`].
    pub(super) at: i32,
}

impl Base {
    /// Distance of an access from what is left in memory.
    pub(super) const fn distance(&self, op: &Op) -> i32 {
        op.imm - self.min
    }
}

/// Whether checked addresses stay right: nothing can stop here and be entered again, no other group runs.
const fn keeps(what: &What) -> bool {
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
            self.bases.clear();
        }
        let slots = &self.code.slots.scalar;
        self.bases
            .retain(|b| !inst.d.iter().any(|&d| slots[d as usize] == b.slot));
    }

    fn kind(form: &Form, load: bool) -> (bool, bool) {
        // A window for reading is not one for writing; shared memory is both.
        (form.shared, form.shared || load)
    }

    /// What has been checked for this access.
    pub(super) fn base(&self, op: &Op, form: &Form, load: bool) -> Option<Base> {
        let kind = Self::kind(form, load);
        let fits = |b: &&Base| b.slot == op.a && b.kind == kind;
        self.bases
            .iter()
            .find(fits)
            .copied()
            .filter(|_| form.pattern != Pattern::Any)
    }

    /// Distances and ends of the accesses that this one can check along: lowest, highest end, largest alignment, how many.
    fn others(&self, op: &Op, form: &Form, load: bool) -> (i64, i64, u32, u32) {
        let kind = Self::kind(form, load);
        let mut all = (
            i64::from(op.imm),
            i64::from(op.imm) + i64::from(form.span()),
            form.align(),
            1,
        );
        let block = &self.analysed.kernel.blocks[self.block as usize];
        let first = self.analysed.first[self.block as usize] as usize;
        for (j, inst) in block.insts.iter().enumerate().skip(self.place_in_block + 1) {
            if !keeps(&inst.what) {
                break;
            }
            let (access, load) = match inst.what {
                What::Load(access) => (access, true),
                What::Store(access) => (access, false),
                _ => {
                    if inst.d.iter().any(|&d| self.code.slots.scalar[d as usize] == op.a) {
                        break;
                    }
                    continue;
                }
            };
            let at = self.code.op_of_inst[first + j] as usize + usize::from(inst.guard.is_some());
            let other = self.code.ops[at];
            if other.a == op.a
                && let Some(form) = self.form(&access, inst, &other, load)
                && form.pattern != Pattern::Any
                && Self::kind(&form, load) == kind
            {
                let from = i64::from(other.imm);
                if (from - i64::from(op.imm)) % i64::from(form.align()) == 0 {
                    all.0 = all.0.min(from);
                    all.1 = all.1.max(from + i64::from(form.span()));
                    all.2 = all.2.max(form.align());
                    all.3 += 1;
                } else {
                    // It would not be aligned where the first is: none of them relies on the others.
                    return (0, i64::MAX, 1, 0);
                }
            }
            if inst.d.iter().any(|&d| self.code.slots.scalar[d as usize] == op.a) {
                break;
            }
        }
        all
    }

    /// Checks this access and those after it that have the same address, when there are some.
    pub(super) fn lead(
        &mut self,
        op: &Op,
        form: &Form,
        load: bool,
        slow: CodeLabel,
    ) -> Result<Option<Base>, IcedError> {
        if form.pattern == Pattern::Any || self.guard.is_some() || self.next_base + 2 > BASES {
            return Ok(None);
        }
        let (min, end, align, count) = self.others(op, form, load);
        let (Ok(min), Ok(length)) = (i32::try_from(min), i32::try_from(end.saturating_sub(min))) else {
            return Ok(None);
        };
        if count < 2 || length > 1 << 20 {
            return Ok(None);
        }
        let base = Base {
            slot: op.a,
            kind: Self::kind(form, load),
            min,
            at: disp(offset_of!(State, bases) + 8 * self.next_base),
        };
        self.next_base += 2;
        let failed = self.asm.create_label();
        let chunks = if op.flags & LINE != 0 { 2u8 } else { 1 };
        for c in 0..chunks {
            self.line_address(op, min, c)?;
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
                self.asm
                    .add(rax, qword_ptr(STATE + disp(offset_of!(State, shared))))?;
            } else {
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
                    .add(rax, qword_ptr(window + disp(offset_of!(Window, delta))))?;
            }
            self.asm
                .mov(qword_ptr(STATE + (base.at + 8 * i32::from(c))), rax)?;
        }
        self.stubs.push(super::compile::Stub::Unchecked {
            from: failed,
            slow,
            at: base.at,
        });
        self.bases.push(base);
        Ok(Some(base))
    }
}
