//! Emission of matrix instructions: their registers are listed in the code's table of targets.

use super::{Emit, len32};
use crate::exec::matrix::Product;
use crate::exec::matrix::memory::{GENERIC, LoadMatrix, MoveMatrix, StoreMatrix, TRANSPOSED};
use crate::exec::{NUMBER, Op};
use crate::lir::matrix::Move;
use crate::lir::{Inst, V, What};

impl Emit<'_> {
    /// Adds registers to the table and returns where they begin.
    fn list(&mut self, registers: impl Iterator<Item = V>) -> u32 {
        let at = len32(self.targets.len());
        for v in registers {
            let operand = self.lanes(v);
            self.targets.push(operand);
        }
        at
    }

    pub(super) fn matrix(&mut self, inst: &Inst) {
        let op = match inst.what {
            What::Mma(m) => Op {
                imm: self.list(inst.d.iter().chain(&inst.s).copied()).cast_signed(),
                flags: m.pack() << NUMBER,
                ..self.blank::<Product>()
            },
            What::LoadMatrix(m) => {
                let list = self.list(inst.d.iter().copied());
                self.moved(&m, inst, list, self.level.handler::<LoadMatrix>())
            }
            What::StoreMatrix(m) => {
                let list = self.list(inst.s.iter().skip(1).copied());
                self.moved(&m, inst, list, self.level.handler::<StoreMatrix>())
            }
            _ => Op {
                d: self.lanes(inst.d[0]),
                a: self.lanes(inst.s[0]),
                ..self.blank::<MoveMatrix>()
            },
        };
        self.emit(op);
    }

    fn moved(&self, m: &Move, inst: &Inst, list: u32, handler: crate::exec::Handler) -> Op {
        let mut op = self.addressed(handler, inst.s[0], m.offset);
        op.site = list;
        op.flags |= u32::from(m.n) << NUMBER;
        if m.transposed {
            op.flags |= TRANSPOSED;
        }
        if m.generic {
            op.flags |= GENERIC;
        }
        op
    }
}
