//! Operations that carry out those after them too.
//!
//! Such an operation takes the place of the first of them; the others stay, so that a program counter means the same as ever and the
//! slow way is the ordinary one. Nothing may lead into the middle, and what the operations between write must be read by nobody
//! else, since it is not written.

use super::emit::{Emit, len32};
use crate::analysis::shape::Shape;
use crate::exec::alu::Alu;
use crate::exec::dot::Dot;
use crate::exec::memory::{Global, Shared};
use crate::lir::{Inst, MemType, Order, Space, V, What};

/// Two loads and the operation that multiplies what they read and adds it up.
#[derive(Clone, Copy)]
struct Product {
    space: Space,
    /// Registers and offsets of the two addresses.
    from: [(V, i32); 2],
    /// The sum before and after.
    sum: (V, V),
}

impl Emit<'_> {
    /// Looks through all blocks.
    pub(super) fn fuse(&mut self) {
        let uses = &self.a.uses;
        for (b, block) in self.a.kernel.blocks.iter().enumerate() {
            let first = self.a.first[b] as usize;
            let mut i = 0;
            while i < block.insts.len() {
                let mut joined = self.products(uses, first, &block.insts, i);
                if joined == 0 {
                    joined = self.chain(uses, first, &block.insts, i);
                }
                i += joined.max(1);
            }
        }
    }

    /// Joins the products that begin at instruction `i` of a block; returns how many instructions those are.
    fn products(&mut self, uses: &[(u32, u32)], first: usize, insts: &[Inst], i: usize) -> usize {
        let Some(one) = self.product(uses, first + i, &insts[i..]) else {
            return 0;
        };
        let mut all = vec![one];
        while let Some(next) = self.product(uses, first + i + 3 * all.len(), &insts[i + 3 * all.len()..]) {
            let before = all[all.len() - 1];
            let [(a, x), (b, y)] = next.from;
            let [(first_a, first_x), (first_b, first_y)] = one.from;
            let steps = (i64::from(x) - i64::from(first_x)) | (i64::from(y) - i64::from(first_y));
            let fits = next.space == one.space
                && (a, b) == (first_a, first_b)
                && steps % 4 == 0
                && next.sum.0 == before.sum.1
                && uses[before.sum.1 as usize] == (1, 1);
            if !fits {
                break;
            }
            all.push(next);
        }
        let at = self.op_of_inst[first + i] as usize;
        for side in 0..2 {
            let offset = |n: &usize| all[*n].from[side].1;
            let op = &mut self.ops[at + side];
            op.b = len32((0..all.len()).min_by_key(offset).unwrap_or(0));
            op.c = len32((0..all.len()).max_by_key(offset).unwrap_or(0));
        }
        let handler = match one.space {
            Space::Shared => self.level.handler::<Dot<Shared>>(),
            _ => self.level.handler::<Dot<Global>>(),
        };
        let op = &mut self.ops[at];
        (op.f, op.g) = (handler, len32(all.len()));
        3 * all.len()
    }

    /// The product that begins with instruction `number`, the first of `insts`.
    fn product(&self, uses: &[(u32, u32)], number: usize, insts: &[Inst]) -> Option<Product> {
        let [x, y, sum, ..] = insts else { return None };
        // One operation each, one after the other.
        let at = self.op_of_inst[number];
        let alone = (1..=3).all(|n| self.op_of_inst.get(number + n as usize) == Some(&(at + n)));
        let (What::Load(a), What::Load(b), What::Alu(Alu::FmaF32, _)) = (x.what, y.what, sum.what) else {
            return None;
        };
        let plain = |inst: &Inst| inst.guard.is_none() && self.shape(inst.d[0]) == Shape::Vector;
        let load = |inst: &Inst, access: &crate::lir::Access| {
            let simple = access.ty == MemType::B32 && access.n == 1 && access.order == Order::Weak;
            simple && plain(inst) && uses[inst.d[0] as usize] == (1, 1)
        };
        let strides = [self.shape(x.s[0]), self.shape(y.s[0])];
        let one_and_row = [Shape::Affine(0), Shape::Affine(4)];
        let fits = alone
            && a.space == b.space
            && matches!(a.space, Space::Global | Space::Shared)
            && load(x, &a)
            && load(y, &b)
            && plain(sum)
            && (strides == one_and_row || strides == [one_and_row[1], one_and_row[0]]);
        let factors = [sum.s[0], sum.s[1]];
        let (dx, dy) = (x.d[0], y.d[0]);
        let both = factors == [dx, dy] || factors == [dy, dx];
        (fits && both && !factors.contains(&sum.s[2])).then(|| Product {
            space: a.space,
            from: [(x.s[0], a.offset), (y.s[0], b.offset)],
            sum: (sum.s[2], sum.d[0]),
        })
    }
}
