//! Operations on textures and surfaces: their operands stand in the table that switches use.

use super::emit::{Emit, len32};
use crate::exec::surface::{Query, Surface};
use crate::exec::texture::Fetch;
use crate::exec::{NUMBER, Op};
use crate::lir::{Inst, What};

impl Emit<'_> {
    pub(super) fn image(&mut self, inst: &Inst) {
        let op = match inst.what {
            What::Tex(t) => Op {
                imm: self.listed(inst),
                flags: t.pack() << NUMBER,
                ..self.blank::<Fetch>()
            },
            What::Surf(s) => Op {
                imm: self.listed(inst),
                flags: s.pack() << NUMBER,
                ..self.blank::<Surface>()
            },
            What::ImageQuery(query) => Op {
                d: self.lanes(inst.d[0]),
                a: self.lanes(inst.s[0]),
                b: self.lanes(inst.s[1]),
                flags: query.pack() << NUMBER,
                ..self.blank::<Query>()
            },
            _ => return,
        };
        self.emit(op);
    }

    /// Writes sources, then destinations, to the table; says where.
    fn listed(&mut self, inst: &Inst) -> i32 {
        let at = len32(self.targets.len()).cast_signed();
        let all: Vec<u32> = inst.s.iter().chain(&inst.d).map(|&v| self.lanes(v)).collect();
        self.targets.extend(all);
        at
    }
}
