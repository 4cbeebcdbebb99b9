//! The operations of the checks, before those that they look at.

use super::emit::Emit;
use crate::analysis::cfg::NONE;
use crate::exec::checked::{Checked, CheckedTerm, GUARDED};
use crate::exec::{NEGATED, Op};

impl Emit<'_> {
    /// The index in the table of the instruction at hand, where the checks look at it.
    pub(super) fn looked_at(&self) -> Option<u32> {
        let index = *self.table?.of_inst.get(self.inst as usize)?;
        (index != NONE).then_some(index)
    }

    /// Adds an operation behind one that looks at it, which also does what a guard does.
    pub(super) fn push_checked(&mut self, looked: u32, op: Op) {
        let mut check = Op {
            imm: looked.cast_signed(),
            ..self.blank::<Checked>()
        };
        if let Some((p, negated)) = self.guard {
            check.a = self.lanes(p);
            check.flags = GUARDED | if negated { NEGATED } else { 0 };
        }
        self.push(check);
        self.push(op);
    }

    /// Adds what looks at the operand of a terminator, before it.
    pub(super) fn check_terminator(&mut self) {
        if let Some(looked) = self.looked_at() {
            let check = Op {
                imm: looked.cast_signed(),
                ..self.blank::<CheckedTerm>()
            };
            self.push(check);
        }
    }
}
