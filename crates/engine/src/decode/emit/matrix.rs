//! Emission of matrix instructions: their registers are listed in the code's table of targets.

use super::{Emit, len32};
use crate::exec::matrix::Product;
use crate::exec::matrix::exact::{Bits, Doubles};
use crate::exec::matrix::memory::{GENERIC, LoadMatrix, MoveMatrix, StoreMatrix, TRANSPOSED};
use crate::exec::matrix::quarters::{A_COLUMNS, B_COLUMNS, C_HALF, D_HALF, Quarter};
use crate::exec::matrix::sparse::Sparse;
use crate::exec::matrix::tiles::{LoadTile, StoreTile};
use crate::exec::memory::{Generic, Global, Shared};
use crate::exec::{NUMBER, Op};
use crate::lir::matrix::{Elem, Move, TileMove};
use crate::lir::{Inst, Space, V, What};

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
            What::Mma(m) => {
                let list = self.list(inst.d.iter().chain(&inst.s).copied());
                let blank = match (m.a, m.sparse) {
                    (Elem::F64, _) => self.blank::<Doubles>(),
                    (Elem::B1, _) => self.blank::<Bits>(),
                    (_, Some(_)) => self.blank::<Sparse>(),
                    _ => self.blank::<Product>(),
                };
                Op {
                    imm: list.cast_signed(),
                    e: u32::from(m.sparse.unwrap_or(m.rounding)),
                    flags: m.pack() << NUMBER,
                    ..blank
                }
            }
            What::Quarters(q) => {
                let list = self.list(inst.d.iter().chain(&inst.s).copied());
                let bit = |set: bool, flag: u32| if set { flag } else { 0 };
                Op {
                    imm: list.cast_signed(),
                    flags: bit(q.a_columns, A_COLUMNS)
                        | bit(q.b_columns, B_COLUMNS)
                        | bit(q.c_half, C_HALF)
                        | bit(q.d_half, D_HALF),
                    ..self.blank::<Quarter>()
                }
            }
            What::LoadTile(m) => {
                let list = self.list(inst.d.iter().copied());
                self.tile(&m, inst, list)
            }
            What::StoreTile(m) => {
                let list = self.list(inst.s.iter().skip(2).copied());
                self.tile(&m, inst, list)
            }
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

    /// A load or store of a tile, whose registers are in the table already.
    fn tile(&mut self, m: &TileMove, inst: &Inst, list: u32) -> Op {
        let origins = m.origin.iter().take(m.n.into());
        self.targets
            .extend(origins.map(|&(i, j)| u32::from(i) | u32::from(j) << 8));
        let site = self.site();
        macro_rules! handler {
            ($($op:ident)::+) => {
                match m.space {
                    Space::Global => self.level.handler::<$($op)::+<Global>>(),
                    Space::Shared => self.level.handler::<$($op)::+<Shared>>(),
                    Space::Generic | Space::Local => self.level.handler::<$($op)::+<Generic>>(),
                }
            };
        }
        let handler = if matches!(inst.what, What::LoadTile(_)) {
            handler!(LoadTile)
        } else {
            handler!(StoreTile)
        };
        let mut op = self.addressed(handler, inst.s[0], m.offset);
        (op.b, op.c, op.site) = (list, self.lanes(inst.s[1]), site);
        op.flags |= m.pack() << NUMBER;
        op
    }
}
