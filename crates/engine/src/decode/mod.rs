//! From a kernel to operations, for one geometry of groups: the fast decoding, in which lanes share uniform and affine values,
//! and the all-vector decoding, in which splits may run in any order.
//!
//! ```text
//!  instruction ─▶ [Widen] ([Guard] operation) ([Guard] Expand)      terminator ─▶ Jump | Branch | Switch | Exit | Label
//! ```
//!
//! A program counter of a split always is the first operation of an instruction, so that it can be carried from one decoding
//! to the other.

mod chain;
mod checks;
mod emit;
mod fuse;
mod image;
mod select;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use crate::analysis::cfg::{self, Cfg};
use crate::analysis::live::{Live, reads};
use crate::analysis::shape::{Shape, Threads, compares_lines, shapes};
use crate::analysis::simplify::simplify;
use crate::analysis::slots::{Slots, allocate};
use crate::cache::{self, CodeCache, CodeKey};
use crate::check::info::Table;
use crate::exec::alu::Class;
use crate::exec::isa::Level;
use crate::exec::{FLAT, Op, POOL, UNIT};
use crate::lir::{B, Kernel, Konst, V, What};
use crate::native::Compiled;

/// A kernel with the facts that do not depend on the launch.
#[derive(Debug)]
pub(crate) struct Analysed {
    pub(crate) kernel: Kernel,
    pub(crate) cfg: Cfg,
    pub(crate) live: Live,
    /// Number of the first instruction of each block; terminators count.
    pub(crate) first: Vec<u32>,
    /// Block and line of each instruction.
    pub(crate) insts: Vec<(B, u32)>,
    pub(crate) pool: PoolLayout,
    /// How many instructions write each register, and how many operands read it.
    pub(crate) uses: Vec<(u32, u32)>,
    /// What the checks look at, made when a launch is first checked.
    pub(crate) table: OnceLock<Table>,
    content: OnceLock<CodeKey>,
}

/// Where constants lie in the pool.
#[derive(Debug, Default)]
pub(crate) struct PoolLayout {
    /// Operand of each constant register.
    operand: Vec<u32>,
    pub(crate) entries: Vec<(Konst, Class, usize)>,
    pub(crate) bytes: usize,
}

impl PoolLayout {
    fn new(kernel: &Kernel) -> Self {
        let mut layout = Self {
            operand: vec![cfg::NONE; kernel.vregs.len()],
            ..Self::default()
        };
        for (v, vreg) in kernel.vregs.iter().enumerate() {
            let Some(konst) = vreg.konst else { continue };
            layout.operand[v] = u32::try_from(layout.bytes / UNIT).unwrap_or(0) | POOL | FLAT;
            layout.entries.push((konst, vreg.class, layout.bytes));
            layout.bytes += if vreg.class == Class::W64 { 128 } else { 64 };
        }
        layout
    }

    pub(crate) fn operand(&self, v: V) -> u32 {
        self.operand[v as usize]
    }
}

fn uses(kernel: &Kernel) -> Vec<(u32, u32)> {
    let mut uses = vec![(0, 0); kernel.vregs.len()];
    for block in &kernel.blocks {
        for inst in &block.insts {
            inst.d.iter().for_each(|&d| uses[d as usize].0 += 1);
            reads(inst, |v| uses[v as usize].1 += 1);
        }
        block.term.operand().iter().for_each(|&v| uses[v as usize].1 += 1);
    }
    uses
}

impl Analysed {
    pub(crate) fn new(mut kernel: Kernel) -> Self {
        simplify(&mut kernel);
        let cfg = cfg::order(&mut kernel);
        let live = Live::new(&kernel);
        let mut first = Vec::new();
        let mut insts = Vec::new();
        for (b, block) in (0u32..).zip(&kernel.blocks) {
            first.push(u32::try_from(insts.len()).unwrap_or(0));
            insts.extend(block.insts.iter().map(|i| (b, i.at)));
            insts.push((b, block.at));
        }
        let pool = PoolLayout::new(&kernel);
        let uses = uses(&kernel);
        Self {
            kernel,
            cfg,
            live,
            first,
            insts,
            pool,
            uses,
            table: OnceLock::new(),
            content: OnceLock::new(),
        }
    }

    /// Digest of what the kernel does.
    pub(crate) fn content(&self) -> &CodeKey {
        self.content.get_or_init(|| cache::content(&self.kernel))
    }

    /// 32-bit registers that are alive together at most between blocks, and a few for what lives inside.
    pub(crate) fn registers(&self) -> u32 {
        let words = |v: V| match self.kernel.vregs[v as usize].class {
            Class::W64 => 2,
            Class::W32 => 1,
            Class::Pred => 0,
        };
        let most = self
            .live
            .live_in
            .iter()
            .map(|set| set.iter().map(|i| words(self.live.shared[i])).sum::<u32>());
        (most.max().unwrap_or(0) + 8).next_multiple_of(8).min(255)
    }

    /// Block and place in it of an instruction.
    pub(crate) fn locate(&self, inst: u32) -> (B, usize) {
        let b = self.insts.get(inst as usize).map_or(0, |i| i.0);
        (b, (inst - self.first[b as usize]) as usize)
    }
}

/// What an operation is for, beside what its instruction says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It carries the instruction out.
    Plain,
    /// It says in which lanes the next one runs.
    Guard,
    /// It checks that an affine value does not wrap.
    Widen,
    /// It writes the lanes of an affine result.
    Expand,
    /// A safe point in straight code.
    Poll,
    /// The end of a block.
    End,
}

/// A decoding.
#[derive(Debug)]
pub(crate) struct Code {
    pub(crate) ops: Vec<Op>,
    pub(crate) roles: Vec<Role>,
    /// First block at which lanes may wait for others of their group.
    pub(crate) first_wait: B,
    /// Instruction of each operation.
    pub(crate) inst_of_op: Vec<u32>,
    /// First operation of each instruction.
    pub(crate) op_of_inst: Vec<u32>,
    pub(crate) slots: Slots,
    /// Shapes of registers; none in the all-vector decoding.
    pub(crate) shapes: Option<Vec<Shape>>,
    pub(crate) halves: Halves,
    /// Targets of switches, and operands of operations that have more than an [`Op`] holds.
    pub(crate) targets: Vec<u32>,
}

/// How the two halves of a warp lie in the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Halves {
    /// The upper one has the threads that follow those of the lower one in its row: rows are a multiple of a warp.
    Follow,
    /// Both have the same `%tid.x`, in two rows of sixteen.
    Repeat,
    /// Anything else.
    Apart,
}

/// What a decoding is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// Warps that a group's frame has room for: 1, 2, 4 or 8.
    pub(crate) warps: usize,
    pub(crate) threads: Threads,
    pub(crate) halves: Halves,
    pub(crate) level: Level,
    /// Only the all-vector decoding is wanted.
    pub(crate) plain: bool,
    /// With the operations of the checks.
    pub(crate) check: bool,
}

impl Key {
    /// Whether some operations do what several instructions say, or do it from the bases of affine values. Machine code, which is
    /// made for one warp, has its own ways.
    const fn joins(self) -> bool {
        self.warps > 1
    }
}

/// Both decodings for a geometry; the second one when it is first wanted.
#[derive(Debug)]
pub(crate) struct Variant {
    pub(crate) key: Key,
    pub(crate) fast: Option<Code>,
    vector: OnceLock<Code>,
    native: OnceLock<Option<Arc<Compiled>>>,
    /// Sites of memory accesses, the same numbers in both.
    pub(crate) sites: usize,
    /// Distinguishes the variant from every other one in this process.
    pub(crate) id: u64,
}

impl Variant {
    pub(crate) fn new(analysed: &Analysed, key: Key, id: u64) -> Self {
        let fast = (!analysed.cfg.irreducible && !key.plain).then(|| decode(analysed, key, true));
        let sites = analysed
            .kernel
            .blocks
            .iter()
            .flat_map(|b| &b.insts)
            .filter(|i| i.what.has_site())
            .count();
        Self {
            key,
            fast,
            vector: OnceLock::new(),
            native: OnceLock::new(),
            sites,
            id,
        }
    }

    pub(crate) fn vector(&self, analysed: &Analysed) -> &Code {
        self.vector.get_or_init(|| decode(analysed, self.key, false))
    }

    /// Machine code of the fast decoding, made when it is first wanted; none where that cannot be.
    pub(crate) fn native(&self, analysed: &Analysed, cache: &CodeCache) -> Option<&Arc<Compiled>> {
        let compile = || cache.code(analysed, self.key, self.fast.as_ref()?);
        self.native.get_or_init(compile).as_ref()
    }

    pub(crate) fn code(&self, analysed: &Analysed, vector: bool) -> &Code {
        match &self.fast {
            Some(code) if !vector => code,
            _ => self.vector(analysed),
        }
    }
}

/// Registers of which some instruction reads lanes although they are kept as affine values. `lines`: comparisons need none.
fn twins(a: &Analysed, shapes: &[Shape], lines: bool) -> Vec<bool> {
    let mut twins = vec![false; shapes.len()];
    let affine = |v: V| matches!(shapes[v as usize], Shape::Affine(_));
    for block in &a.kernel.blocks {
        for inst in &block.insts {
            let scalar = matches!(inst.what, What::Alu(..))
                && inst.d.iter().all(|&d| shapes[d as usize].stride().is_some());
            let shape = |i: usize| inst.s.get(i).map_or(Shape::Uniform, |&v| shapes[v as usize]);
            let line = lines && matches!(inst.what, What::Alu(alu, _) if compares_lines(alu, &shape));
            let memory = matches!(
                inst.what,
                What::Load(_)
                    | What::Store(_)
                    | What::Atom(_)
                    | What::IsSpace(_)
                    | What::LoadMatrix(_)
                    | What::StoreMatrix(_)
                    | What::LoadTile(_)
                    | What::StoreTile(_)
            );
            for (i, &v) in inst.s.iter().enumerate() {
                let kept = scalar || line || (memory && i == 0);
                if affine(v) && !kept {
                    twins[v as usize] = true;
                }
            }
        }
        if let Some(v) = block.term.operand()
            && affine(v)
        {
            twins[v as usize] = true;
        }
    }
    twins
}

fn decode(analysed: &Analysed, key: Key, fast: bool) -> Code {
    let a = analysed;
    let shapes = fast.then(|| shapes(&a.kernel, &a.cfg, &a.live, key.threads));
    let twins = match &shapes {
        Some(shapes) => twins(a, shapes, key.joins()),
        None => vec![false; a.kernel.vregs.len()],
    };
    let slots = allocate(&a.kernel, &a.cfg, &a.live, shapes.as_deref(), &twins, key.warps);
    let table = key
        .check
        .then(|| a.table.get_or_init(|| Table::new(&a.kernel, &a.live)));
    emit::Emit::new(a, key, shapes, slots, table).run()
}
