//! Which values the lanes of a group share.
//!
//! *Uniform*: the same in all lanes that execute. *Affine*: `base[chunk] + lane * stride`, with the stride known here. Both are
//! kept once and not per lane. That is sound only while splits run in strict order of their program counters (see
//! [`super::cfg`]): lanes of one loop are in the same iteration, and a split never runs ahead of one below it. Where two paths
//! meet that lanes may have taken differently, a register written on one of them becomes a vector; so does one that is
//! written in a loop that lanes leave at different times and read outside.

use super::BitSet;
use super::cfg::{Cfg, NONE};
use super::live::Live;
use crate::exec::alu::{Alu, Class};
use crate::exec::line::MOST_STRIDE;
use crate::lir::{B, Inst, Kernel, Konst, Space, Special, Term, V, What};

/// How threads of a chunk of sixteen lanes lie in the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Threads {
    /// One dimension.
    Linear,
    /// Rows of a multiple of sixteen.
    Rows,
    /// Anything else.
    General,
}

/// What lanes share of a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Nothing known yet.
    Unset,
    Uniform,
    Affine(i64),
    Vector,
}

impl Shape {
    fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unset, s) | (s, Self::Unset) => s,
            (a, b) if a == b => a,
            (Self::Uniform, Self::Affine(0)) | (Self::Affine(0), Self::Uniform) => Self::Affine(0),
            _ => Self::Vector,
        }
    }

    /// Stride of a value that is kept once per chunk.
    pub(crate) const fn stride(self) -> Option<i64> {
        match self {
            Self::Uniform => Some(0),
            Self::Affine(s) => Some(s),
            Self::Unset | Self::Vector => None,
        }
    }
}

struct Shapes<'k> {
    kernel: &'k Kernel,
    cfg: &'k Cfg,
    live: &'k Live,
    threads: Threads,
    shape: Vec<Shape>,
    /// Registers with more than one definition.
    multiple: Vec<bool>,
    divergent: Vec<bool>,
    changed: bool,
}

/// The shape of every register.
pub(crate) fn shapes(kernel: &Kernel, cfg: &Cfg, live: &Live, threads: Threads) -> Vec<Shape> {
    let mut multiple = vec![false; kernel.vregs.len()];
    let mut once = vec![false; kernel.vregs.len()];
    for d in kernel.blocks.iter().flat_map(|b| &b.insts).flat_map(|i| &i.d) {
        multiple[*d as usize] |= std::mem::replace(&mut once[*d as usize], true);
    }
    let shape = kernel
        .vregs
        .iter()
        .map(|v| {
            if v.konst.is_some() {
                Shape::Uniform
            } else {
                Shape::Unset
            }
        })
        .collect();
    let divergent = vec![false; kernel.blocks.len()];
    let mut s = Shapes {
        kernel,
        cfg,
        live,
        threads,
        shape,
        multiple,
        divergent,
        changed: true,
    };
    loop {
        while s.changed {
            s.changed = false;
            for b in 0..u32::try_from(kernel.blocks.len()).unwrap_or(0) {
                s.block(b);
            }
        }
        // Nothing known is written to these. What is computed from them must not be taken to be shared either.
        for shape in s.shape.iter_mut().filter(|shape| **shape == Shape::Unset) {
            *shape = Shape::Vector;
            s.changed = true;
        }
        if !s.changed {
            return s.shape;
        }
    }
}

impl Shapes<'_> {
    fn of(&self, v: V) -> Shape {
        self.shape[v as usize]
    }

    fn lower(&mut self, v: V, to: Shape) {
        if self.kernel.vregs[v as usize].konst.is_some() {
            return;
        }
        let new = self.of(v).join(to);
        if new != self.of(v) {
            self.shape[v as usize] = new;
            self.changed = true;
        }
    }

    fn block(&mut self, b: B) {
        let kernel = self.kernel;
        let block = &kernel.blocks[b as usize];
        for inst in &block.insts {
            let guarded = match inst.guard {
                Some((p, _)) => self.of(p) == Shape::Vector,
                None => false,
            };
            let mut result = if guarded { Shape::Vector } else { self.result(inst) };
            if inst.d.len() > 1 {
                // One operation writes them all: they are shared together or not at all.
                result = inst.d.iter().fold(result, |shape, &d| shape.join(self.of(d)));
            }
            for &d in &inst.d {
                let one = if kernel.vregs[d as usize].class == Class::Pred && result != Shape::Uniform {
                    if result == Shape::Unset {
                        Shape::Unset
                    } else {
                        Shape::Vector
                    }
                } else {
                    result
                };
                self.lower(d, one);
            }
        }
        let split = match &block.term {
            Term::Branch { pred, .. } => self.of(*pred) == Shape::Vector,
            Term::Switch { index, .. } => !matches!(self.of(*index), Shape::Uniform | Shape::Unset),
            _ => false,
        };
        if split && !std::mem::replace(&mut self.divergent[b as usize], true) {
            self.diverge(b);
            self.changed = true;
        }
    }

    /// Registers that lanes may hold different values of once they part at the end of `b`.
    fn diverge(&mut self, b: B) {
        let kernel = self.kernel;
        let meet = self.cfg.ipdom[b as usize];
        let arms: Vec<Vec<B>> = kernel.blocks[b as usize]
            .term
            .successors()
            .iter()
            .map(|&s| self.reach(s, meet))
            .collect();
        let mut count = std::collections::HashMap::new();
        for &x in arms.iter().flatten() {
            *count.entry(x).or_insert(0u32) += 1;
        }
        let mut at_joins = BitSet::new(self.live.shared.len());
        if meet != NONE {
            at_joins.union(&self.live.live_in[meet as usize]);
        }
        for (&x, &n) in &count {
            if n > 1 {
                at_joins.union(&self.live.live_in[x as usize]);
            }
        }
        let starts = kernel.blocks[b as usize].term.successors();
        for (j, arm) in arms.iter().enumerate() {
            // What lanes that went another way may still want as it was before they parted. A loop's exit wants nothing of
            // what the lanes that stay go on changing, or it is wanted where they meet.
            let mut elsewhere = BitSet::new(self.live.shared.len());
            for (_, &start) in starts.iter().enumerate().filter(|(i, _)| *i != j) {
                elsewhere.union(&self.live.live_in[start as usize]);
            }
            for &x in arm {
                for d in kernel.blocks[x as usize].insts.iter().flat_map(|inst| &inst.d) {
                    let Some(i) = self.live.index(*d) else {
                        continue;
                    };
                    if at_joins.contains(i) || self.multiple[*d as usize] && elsewhere.contains(i) {
                        self.lower(*d, Shape::Vector);
                    }
                }
            }
        }
    }

    /// Blocks that can be reached from `from` without passing `stop`.
    fn reach(&self, from: B, stop: B) -> Vec<B> {
        let mut seen = BitSet::new(self.kernel.blocks.len());
        let mut found = Vec::new();
        let mut work = vec![from];
        while let Some(b) = work.pop() {
            if b != stop && seen.insert(b as usize) {
                found.push(b);
                work.extend(self.kernel.blocks[b as usize].term.successors());
            }
        }
        found
    }

    fn result(&self, inst: &Inst) -> Shape {
        match inst.what {
            What::Alu(alu, _) => self.alu(alu, inst),
            What::Pred(_) => self.all_uniform(inst),
            What::Special(special) => self.special(special),
            What::Load(access) if access.space == Space::Global || access.space == Space::Shared => {
                match self.of(inst.s[0]) {
                    Shape::Unset => Shape::Unset,
                    Shape::Uniform => Shape::Uniform,
                    _ => Shape::Vector,
                }
            }
            _ => Shape::Vector,
        }
    }

    fn all_uniform(&self, inst: &Inst) -> Shape {
        inst.s
            .iter()
            .fold(Shape::Uniform, |shape, &v| match (shape, self.of(v)) {
                (Shape::Vector, _) | (_, Shape::Vector | Shape::Affine(_)) => Shape::Vector,
                (Shape::Unset, _) | (_, Shape::Unset) => Shape::Unset,
                _ => Shape::Uniform,
            })
    }

    fn special(&self, special: Special) -> Shape {
        match (special, self.threads) {
            (Special::Tid(0), Threads::Linear | Threads::Rows) => Shape::Affine(1),
            (Special::Tid(_), Threads::Linear) => Shape::Uniform,
            (Special::Tid(_), Threads::Rows) => Shape::Affine(0),
            (Special::Tid(_), Threads::General) => Shape::Vector,
            (Special::LaneId, _) => Shape::Affine(1),
            (Special::WarpId, _) => Shape::Affine(0),
            (Special::Ctaid(_) | Special::Clock | Special::GlobalTimer | Special::Sm | Special::Sms, _) => {
                Shape::Uniform
            }
            _ => Shape::Vector,
        }
    }

    /// The value of an immediate.
    fn immediate(&self, v: V) -> Option<u64> {
        match self.kernel.vregs[v as usize].konst {
            Some(Konst::Imm(value)) => Some(value),
            _ => None,
        }
    }

    fn alu(&self, alu: Alu, inst: &Inst) -> Shape {
        let shapes: smallvec::SmallVec<[Shape; 4]> = inst.s.iter().map(|&v| self.of(v)).collect();
        if shapes.contains(&Shape::Vector) {
            return Shape::Vector;
        }
        if shapes.contains(&Shape::Unset) {
            return Shape::Unset;
        }
        if shapes.iter().all(|&s| s == Shape::Uniform) {
            return Shape::Uniform;
        }
        let pred = |class: &Class| *class == Class::Pred;
        let (ins, out) = alu.signature();
        if out == Class::Pred || ins.iter().any(pred) {
            return Shape::Vector;
        }
        if shapes.iter().all(|s| s.stride() == Some(0)) {
            return Shape::Affine(0);
        }
        let stride = |i: usize| shapes.get(i).and_then(|s| s.stride()).unwrap_or(0);
        let Some(new) = self.stride(alu, inst, &stride) else {
            return Shape::Vector;
        };
        // Strides are kept in 32 bits; a 32-bit value wraps there anyway.
        let fits = i32::try_from(new).is_ok();
        match out {
            Class::W64 if !fits => Shape::Vector,
            Class::W64 => Shape::Affine(new),
            _ => {
                #[allow(clippy::cast_possible_truncation, reason = "arithmetic modulo 2^32")]
                let wrapped = new as i32;
                Shape::Affine(i64::from(wrapped))
            }
        }
    }

    /// Stride of the result of an operation that keeps values affine.
    fn stride(&self, alu: Alu, inst: &Inst, stride: &dyn Fn(usize) -> i64) -> Option<i64> {
        // The factor of a product, as its type has it.
        let factor = |i: usize, signed: bool, wide: bool| {
            self.immediate(inst.s[i]).map(|c| match (wide, signed) {
                (true, _) => c.cast_signed(),
                #[allow(clippy::cast_possible_truncation, reason = "the immediate has 32 bits")]
                (false, true) => {
                    let low = c as u32;
                    i64::from(low.cast_signed())
                }
                (false, false) => c.cast_signed(),
            })
        };
        let product = |signed: bool, wide: bool| match (stride(0), stride(1)) {
            // Two values that are the same in all lanes of a chunk: no factor has to be known.
            (0, 0) => Some(0),
            (s, 0) => s.checked_mul(factor(1, signed, wide)?),
            (0, s) => s.checked_mul(factor(0, signed, wide)?),
            _ => None,
        };
        match alu {
            Alu::Mov32 | Alu::Mov64 | Alu::Low32 | Alu::Zx32To64 | Alu::Sx32To64 => Some(stride(0)),
            Alu::Add32 | Alu::Add64 => stride(0).checked_add(stride(1)),
            Alu::Sub32 | Alu::Sub64 => stride(0).checked_sub(stride(1)),
            Alu::MulLo32 => product(true, false),
            Alu::MulLo64 => product(true, true),
            Alu::MulWideS32 => product(true, false),
            Alu::MulWideU32 => product(false, false),
            Alu::MadLo32 => product(true, false)?.checked_add(stride(2)),
            Alu::MadLo64 => product(true, true)?.checked_add(stride(2)),
            Alu::MadWideS32 => product(true, false)?.checked_add(stride(2)),
            Alu::MadWideU32 => product(false, false)?.checked_add(stride(2)),
            Alu::Shl32 | Alu::Shl64 if stride(1) == 0 => {
                let n = self.immediate(inst.s[1])?;
                if n < 31 {
                    stride(0).checked_mul(1 << n)
                } else {
                    None
                }
            }
            _ => None,
        }
    }
}

/// The operand whose 32-bit value must not wrap inside a chunk for the result of `alu` to be affine, and whether it is signed.
pub(crate) fn widened(alu: Alu, shape: &dyn Fn(usize) -> Shape) -> Option<(usize, bool)> {
    let (signed, product) = match alu {
        Alu::Zx32To64 => (false, false),
        Alu::Sx32To64 => (true, false),
        Alu::MulWideS32 | Alu::MadWideS32 => (true, true),
        Alu::MulWideU32 | Alu::MadWideU32 => (false, true),
        _ => return None,
    };
    let moving = |i: usize| matches!(shape(i), Shape::Affine(s) if s != 0);
    if moving(0) {
        Some((0, signed))
    } else if product && moving(1) {
        Some((1, signed))
    } else {
        None
    }
}

/// Whether `alu` compares values of 32 bits by order that are kept once per chunk, not all of them the same in all lanes: such a
/// comparison needs no lanes.
pub(crate) fn compares_lines(alu: Alu, shape: &dyn Fn(usize) -> Shape) -> bool {
    let order = matches!(
        alu,
        Alu::LtU32 | Alu::LeU32 | Alu::GtU32 | Alu::GeU32 | Alu::LtS32 | Alu::LeS32 | Alu::GtS32 | Alu::GeS32
    );
    let small = |i: usize| shape(i).stride().is_some_and(|s| s.unsigned_abs() < MOST_STRIDE);
    let affine = |i: usize| matches!(shape(i), Shape::Affine(_));
    order && small(0) && small(1) && (affine(0) || affine(1))
}
