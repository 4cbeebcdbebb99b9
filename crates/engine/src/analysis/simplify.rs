//! What a kernel can do without, found before anything else looks at it: copies of registers, and logic that one operation of
//! three operands does at once.
//!
//! ```text
//!  mov t, 31      shfl d, v, l, t, m      ─▶     shfl d, v, l, 31, m
//!  xor t, a, b    xor d, t, c             ─▶     d = a ^ b ^ c
//! ```
//!
//! Registers that nothing reads any more keep their numbers; they are written nowhere.

use std::collections::{HashMap, HashSet};

use crate::exec::alu::Alu;
use crate::lir::{Atom, AtomKind, Inst, Kernel, Term, V, What};
use tessera_arith::atomics::AtomOp;

use super::live::reads;

/// How far a copy is looked at, in instructions: the time this takes stays proportional to the kernel.
const REACH: usize = 128;
/// Copies of copies: rounds at most.
const ROUNDS: usize = 3;

/// How often registers are read and written, and where the last write is.
struct Counts {
    uses: Vec<u32>,
    defs: Vec<u32>,
    /// Block and place of a write; of the only one where there is one.
    def: Vec<(u32, u32)>,
    /// Block of a read; of the only one where there is one.
    read_in: Vec<u32>,
}

impl Counts {
    fn new(kernel: &Kernel) -> Self {
        let n = kernel.vregs.len();
        let mut counts = Self {
            uses: vec![0; n],
            defs: vec![0; n],
            def: vec![(u32::MAX, 0); n],
            read_in: vec![u32::MAX; n],
        };
        let mut read = |v: V, b: u32| {
            counts.uses[v as usize] += 1;
            counts.read_in[v as usize] = b;
        };
        for (b, block) in (0u32..).zip(&kernel.blocks) {
            for (at, inst) in (0u32..).zip(&block.insts) {
                reads(inst, |v| read(v, b));
                for &d in &inst.d {
                    counts.defs[d as usize] += 1;
                    counts.def[d as usize] = (b, at);
                }
            }
            if let Some(v) = block.term.operand() {
                read(v, b);
            }
        }
        counts
    }
}

/// Simplifies a kernel.
pub(crate) fn simplify(kernel: &mut Kernel) {
    for _ in 0..ROUNDS {
        if !copies(kernel) {
            break;
        }
    }
    let counts = Counts::new(kernel);
    for b in 0..u32::try_from(kernel.blocks.len()).unwrap_or(0) {
        logic(kernel, &counts, b);
    }
    for inst in kernel.blocks.iter_mut().flat_map(|b| &mut b.insts) {
        let unread = |&d: &V| counts.uses[d as usize] == 0;
        match inst.what {
            // Nobody wants to know whether the other lane was there.
            What::Shfl(_) if inst.d.get(1).is_some_and(unread) => inst.d.truncate(1),
            // Nor what was there before: as `red`.
            What::Atom(Atom {
                kind: AtomKind::Int(AtomOp::Add | AtomOp::And | AtomOp::Or | AtomOp::Xor),
                ..
            }) if inst.d.iter().all(unread) => inst.d.clear(),
            _ => {}
        }
    }
}

/// The source and destination of a copy.
fn copy(kernel: &Kernel, inst: &Inst) -> Option<(V, V)> {
    let moves = matches!(inst.what, What::Alu(Alu::Mov32 | Alu::Mov64, _)) && inst.guard.is_none();
    let (&[s], &[d]) = (&inst.s[..], &inst.d[..]) else {
        return None;
    };
    let same = kernel.vregs[s as usize].class == kernel.vregs[d as usize].class;
    (moves && same && s != d).then_some((s, d))
}

/// Whether all reads of `d`, a copy of `s` made at `at`, are in the rest of the block, before either is written again.
fn stays(kernel: &Kernel, counts: &Counts, b: usize, at: usize, (s, d): (V, V)) -> bool {
    let mut left = counts.uses[d as usize];
    let block = &kernel.blocks[b];
    for inst in block.insts.iter().skip(at + 1).take(REACH) {
        reads(inst, |v| left -= u32::from(v == d));
        if left == 0 {
            return true;
        }
        if inst.d.contains(&s) || inst.d.contains(&d) {
            return false;
        }
    }
    block.insts.len() - at <= REACH && left == u32::from(block.term.operand() == Some(d))
}

/// Whether `s` and its copy `d`, each written in one place, are the same wherever `d` is read: wherever the one is written, so
/// is the other before that.
fn together(kernel: &Kernel, counts: &Counts, b: usize, at: usize, (s, d): (V, V)) -> bool {
    let (block, from) = counts.def[s as usize];
    let from = from as usize;
    let only = counts.defs[s as usize] == 1 && counts.defs[d as usize] == 1;
    if !only || block as usize != b || from > at || at - from > REACH {
        return false;
    }
    let between = &kernel.blocks[b].insts[from..=at];
    !between.iter().skip(1).any(|inst| {
        let mut read = false;
        reads(inst, |v| read |= v == d);
        read
    })
}

/// Whether an instruction takes a constant wherever it takes a register.
const fn takes_constants(what: &What) -> bool {
    matches!(
        what,
        What::Alu(..)
            | What::Load(_)
            | What::Store(_)
            | What::Atom(_)
            | What::Shfl(_)
            | What::Vote(_)
            | What::BarWarp
            | What::Bar { .. }
    )
}

/// Replaces copies by what they are copies of; whether there were any.
fn copies(kernel: &mut Kernel) -> bool {
    let counts = Counts::new(kernel);
    let mut alias: Vec<V> = (0u32..).take(kernel.vregs.len()).collect();
    let mut any = false;
    for (b, block) in kernel.blocks.iter().enumerate() {
        for (at, inst) in block.insts.iter().enumerate() {
            let Some((s, d)) = copy(kernel, inst) else {
                continue;
            };
            // One step at a time: what has just been replaced is no longer where the counts say.
            if alias[s as usize] != s || alias[d as usize] != d {
                continue;
            }
            let constant = kernel.vregs[s as usize].konst.is_some() && counts.defs[d as usize] == 1;
            let pair = (s, d);
            if constant || together(kernel, &counts, b, at, pair) || stays(kernel, &counts, b, at, pair) {
                alias[d as usize] = s;
                any = true;
            }
        }
    }
    if any {
        replace(kernel, &alias);
    }
    any
}

fn replace(kernel: &mut Kernel, alias: &[V]) {
    let vregs = &kernel.vregs;
    let mut kept = vec![false; vregs.len()];
    for block in &mut kernel.blocks {
        for inst in &mut block.insts {
            let constants = takes_constants(&inst.what);
            for v in &mut inst.s {
                let to = alias[*v as usize];
                if constants || vregs[to as usize].konst.is_none() {
                    *v = to;
                }
                kept[*v as usize] = true;
            }
        }
        if let Term::Switch { index, .. } = &mut block.term {
            let to = alias[*index as usize];
            if vregs[to as usize].konst.is_none() {
                *index = to;
            }
            kept[*index as usize] = true;
        }
    }
    let gone = |inst: &Inst| {
        let unread = |&d: &V| alias[d as usize] != d && !kept[d as usize];
        matches!(inst.what, What::Alu(..)) && inst.d.iter().all(unread)
    };
    for block in &mut kernel.blocks {
        block.insts.retain(|inst| !gone(inst));
    }
}

/// What a value is of up to three others: bit `4a + 2b + c` of the table is the result for bits a, b, c of these.
#[derive(Clone, Copy)]
struct Cone {
    leaves: [V; 3],
    count: usize,
    table: u8,
    /// The first instruction that reads one of them.
    first: usize,
}

/// The tables of single operands.
const COLUMNS: [u8; 3] = [0xf0, 0xcc, 0xaa];

impl Cone {
    const fn leaf(v: V, at: usize) -> Self {
        Self {
            leaves: [v; 3],
            count: 1,
            table: COLUMNS[0],
            first: at,
        }
    }

    /// The table with the leaves of another cone, which has all of these.
    fn over(&self, leaves: &[V]) -> u8 {
        let place = |v: V| leaves.iter().position(|&l| l == v).unwrap_or(0);
        let mut table = 0;
        for row in 0..8 {
            let mut own = 0;
            for (i, &leaf) in self.leaves.iter().enumerate().take(self.count) {
                own |= (COLUMNS[place(leaf)] >> row & 1) << (2 - i);
            }
            table |= (self.table >> own & 1) << row;
        }
        table
    }

    /// Two values combined, when they are values of no more than three.
    fn join(a: &Self, b: &Self, combine: impl Fn(u8, u8) -> u8) -> Option<Self> {
        let mut joined = *a;
        for &v in &b.leaves[..b.count] {
            if !joined.leaves[..joined.count].contains(&v) {
                *joined.leaves.get_mut(joined.count)? = v;
                joined.count += 1;
            }
        }
        let leaves = joined.leaves;
        let leaves = &leaves[..joined.count];
        joined.table = combine(a.over(leaves), b.over(leaves));
        joined.first = a.first.min(b.first);
        Some(joined)
    }

    /// The operation of three operands that this is, and these.
    fn operation(&self) -> Option<(Alu, [V; 3])> {
        const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        if self.count != 3 {
            return None;
        }
        let orders: &[[usize; 3]] = &ORDERS;
        orders.iter().find_map(|order| {
            let leaves = order.map(|i| self.leaves[i]);
            let alu = match self.over(&leaves) {
                0x96 => Alu::Xor3,
                0xe8 => Alu::Majority,
                0xca => Alu::Choose,
                _ => return None,
            };
            Some((alu, leaves))
        })
    }
}

/// Makes one operation of several of logic in block `b` where their values are wanted by nobody else.
fn logic(kernel: &mut Kernel, counts: &Counts, b: u32) {
    let mut cones: HashMap<V, Cone> = HashMap::new();
    let mut changed = false;
    let block = &mut kernel.blocks[b as usize];
    for at in 0..block.insts.len() {
        let Some(cone) = cone(&block.insts, (b, at), &cones, counts) else {
            continue;
        };
        let inst = &mut block.insts[at];
        let d = inst.d[0];
        if let Some((alu, leaves)) = cone.operation() {
            inst.what = What::Alu(alu, 0);
            inst.s = leaves.into_iter().collect();
            changed = true;
        }
        if counts.uses[d as usize] == 1
            && counts.defs[d as usize] == 1
            && counts.read_in[d as usize] == b
            && block.term.operand() != Some(d)
        {
            cones.insert(d, cone);
        }
    }
    // From behind: what only what has gone reads goes too.
    while std::mem::take(&mut changed) {
        let mut read = HashSet::new();
        for inst in &block.insts {
            reads(inst, |v| {
                read.insert(v);
            });
        }
        let before = block.insts.len();
        // The only reader of each of these was here.
        let used = |inst: &Inst| inst.d.iter().all(|d| !cones.contains_key(d) || read.contains(d));
        block.insts.retain(used);
        changed = block.insts.len() < before;
    }
}

/// What the result of the instruction at this place is, if it is one of logic, with what its operands are.
fn cone(insts: &[Inst], (b, at): (u32, usize), cones: &HashMap<V, Cone>, counts: &Counts) -> Option<Cone> {
    let inst = &insts[at];
    let What::Alu(alu, _) = inst.what else {
        return None;
    };
    let combine: fn(u8, u8) -> u8 = match alu {
        Alu::And32 => |a, b| a & b,
        Alu::Or32 => |a, b| a | b,
        Alu::Xor32 => |a, b| a ^ b,
        Alu::Not32 => |a, _| !a,
        _ => return None,
    };
    if inst.guard.is_some() {
        return None;
    }
    // Whether a register is now what it was when the operation at `first` read it.
    let same = |v: V, first: usize| {
        if counts.defs[v as usize] < 2 {
            let (block, def) = counts.def[v as usize];
            return block != b || !(first..at).contains(&(def as usize));
        }
        at - first <= REACH && !insts[first..at].iter().any(|inst| inst.d.contains(&v))
    };
    let leaf = |i: usize| Cone::leaf(inst.s[i.min(inst.s.len() - 1)], at);
    // An operand's own operands.
    let deep = |i: usize| {
        let cone = cones.get(&leaf(i).leaves[0])?;
        let leaves = &cone.leaves[..cone.count];
        leaves.iter().all(|&v| same(v, cone.first)).then_some(*cone)
    };
    let (a, b) = (deep(0), deep(1));
    let joined = |a: Option<Cone>, b: Option<Cone>| Cone::join(&a?, &b?, combine);
    joined(a, b)
        .or_else(|| joined(a, Some(leaf(1))))
        .or_else(|| joined(Some(leaf(0)), b))
        .or_else(|| joined(Some(leaf(0)), Some(leaf(1))))
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;
    use crate::exec::alu::Class;
    use crate::lir::{Access, Block, Konst, MemType, Order, Space, Vreg};

    /// Registers written anywhere, registers written in one place, constants.
    const MANY: u32 = 5;
    const ONCE: u32 = 24;
    const CONSTANTS: u32 = 3;

    struct Random(u64);
    impl Random {
        fn below(&mut self, n: u32) -> u32 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            u32::try_from(self.0 >> 33).unwrap_or(0) % n
        }
    }

    fn inst(what: What, d: Option<V>, s: &[V]) -> Inst {
        Inst {
            what,
            d: d.into_iter().collect(),
            s: s.iter().copied().collect(),
            guard: None,
            at: 0,
        }
    }

    fn store(v: V) -> Inst {
        let access = Access {
            space: Space::Global,
            ty: MemType::B32,
            n: 1,
            order: Order::Weak,
            offset: 0,
            align: 0,
        };
        inst(What::Store(access), None, &[MANY + ONCE, v])
    }

    fn kernel(blocks: Vec<Block>) -> Kernel {
        let konst = |v: u32| (v >= MANY + ONCE).then(|| Konst::Imm(u64::from(v) * 0x1234_5677));
        let vregs = (0..MANY + ONCE + CONSTANTS).map(|v| Vreg {
            class: Class::W32,
            konst: konst(v),
        });
        Kernel {
            vregs: vregs.collect(),
            blocks,
            ..Kernel::default()
        }
    }

    fn block(insts: Vec<Inst>, term: Term) -> Block {
        Block { insts, term, at: 0 }
    }

    fn random(seed: u64) -> Kernel {
        let mut r = Random(seed);
        let count = 1 + r.below(4);
        let mut once = MANY;
        let mut blocks = Vec::new();
        for _ in 0..count {
            let mut insts = Vec::new();
            for _ in 0..r.below(24) {
                // Often what was made just before.
                let last = once.max(MANY + 1) - 1;
                let any = |r: &mut Random| match r.below(2) {
                    0 => last - r.below(3).min(last - MANY),
                    _ => r.below(MANY + ONCE + CONSTANTS),
                };
                let d = if r.below(2) == 0 && once < MANY + ONCE {
                    once += 1;
                    once - 1
                } else {
                    r.below(MANY)
                };
                let (a, b) = (any(&mut r), any(&mut r));
                let alu = |alu| What::Alu(alu, 0);
                insts.push(match r.below(9) {
                    0..=2 => inst(alu(Alu::Mov32), Some(d), &[a]),
                    3 => inst(alu(Alu::And32), Some(d), &[a, b]),
                    4 => inst(alu(Alu::Or32), Some(d), &[a, b]),
                    5 => inst(alu(Alu::Xor32), Some(d), &[a, b]),
                    6 => inst(alu(Alu::Not32), Some(d), &[a]),
                    7 => inst(alu(Alu::Add32), Some(d), &[a, b]),
                    _ => store(a),
                });
            }
            let term = if r.below(3) == 0 {
                Term::Jump(r.below(count))
            } else {
                Term::Switch {
                    index: r.below(MANY + ONCE),
                    targets: (0..count).collect(),
                }
            };
            blocks.push(block(insts, term));
        }
        kernel(blocks)
    }

    /// What a thread stores, and where switches look, until they have been met some times; none where that hangs on registers that
    /// were never written. Switches go anywhere.
    fn trace(kernel: &Kernel) -> Vec<Option<u32>> {
        let mut random = Random(1);
        let mut values: Vec<Option<u32>> = kernel.vregs.iter().map(|v| constant(v.konst)).collect();
        let (mut seen, mut b) = (Vec::new(), 0);
        for _ in 0..40 {
            let block = &kernel.blocks[b as usize];
            for inst in &block.insts {
                let s: Vec<_> = inst.s.iter().map(|&v| values[v as usize]).collect();
                match inst.what {
                    What::Alu(alu, _) => values[inst.d[0] as usize] = value(alu, &s),
                    _ => seen.push(s[1]),
                }
            }
            b = match &block.term {
                Term::Jump(b) => *b,
                other => {
                    seen.extend(other.operand().map(|v| values[v as usize]));
                    other.successors()[random.below(u32::try_from(kernel.blocks.len()).unwrap()) as usize]
                }
            };
        }
        seen
    }

    fn constant(konst: Option<Konst>) -> Option<u32> {
        match konst {
            #[allow(clippy::cast_possible_truncation, reason = "registers have 32 bits")]
            Some(Konst::Imm(value)) => Some(value as u32),
            _ => None,
        }
    }

    fn value(alu: Alu, s: &[Option<u32>]) -> Option<u32> {
        let s: Vec<u32> = s.iter().copied().collect::<Option<_>>()?;
        Some(match alu {
            Alu::Mov32 => s[0],
            Alu::And32 => s[0] & s[1],
            Alu::Or32 => s[0] | s[1],
            Alu::Xor32 => s[0] ^ s[1],
            Alu::Not32 => !s[0],
            Alu::Add32 => s[0].wrapping_add(s[1]),
            Alu::Xor3 => s[0] ^ s[1] ^ s[2],
            Alu::Choose => s[0] & s[1] | !s[0] & s[2],
            Alu::Majority => s[0] & s[1] | s[0] & s[2] | s[1] & s[2],
            other => panic!("{other:?}"),
        })
    }

    fn whats(kernel: &Kernel) -> Vec<Alu> {
        let alu = |i: &Inst| match i.what {
            What::Alu(alu, _) => Some(alu),
            _ => None,
        };
        kernel
            .blocks
            .iter()
            .flat_map(|b| b.insts.iter().filter_map(alu))
            .collect()
    }

    #[test]
    fn threads_see_no_difference() {
        let mut made = HashSet::new();
        for seed in 0..20_000 {
            let mut kernel = random(seed);
            let before = trace(&kernel);
            let text = format!("{:#?}", kernel.blocks);
            simplify(&mut kernel);
            let after = trace(&kernel);
            assert_eq!(before.len(), after.len());
            for (a, b) in before.iter().zip(&after) {
                assert!(a.is_none() || a == b, "seed {seed}: {text}\n{:#?}", kernel.blocks);
            }
            made.extend(whats(&kernel));
        }
        for alu in [Alu::Xor3, Alu::Choose, Alu::Majority] {
            assert!(made.contains(&alu), "{alu:?}");
        }
    }

    #[test]
    fn constants_go_where_they_are_used() {
        let konst = MANY + ONCE;
        let shuffle = What::Shfl(crate::lir::Shfl::Bfly);
        let mut insts = vec![
            inst(What::Alu(Alu::Mov32, 0), Some(6), &[konst]),
            inst(What::Alu(Alu::Mov32, 0), Some(7), &[6]),
            inst(shuffle, Some(8), &[0, 7, 6, 6]),
            store(8),
        ];
        insts[2].d = smallvec![8, 9];
        let mut kernel = kernel(vec![block(insts, Term::Exit)]);
        simplify(&mut kernel);
        let insts = &kernel.blocks[0].insts;
        assert_eq!(insts.len(), 2);
        assert_eq!(insts[0].s[..], [0, konst, konst, konst]);
        // The predicate that nobody reads has gone.
        assert_eq!(insts[0].d[..], [8]);
    }

    #[test]
    fn a_value_that_changes_meanwhile_is_copied() {
        let alu = |alu, d, s: &[V]| inst(What::Alu(alu, 0), Some(d), s);
        // Two registers change places.
        let insts = vec![
            alu(Alu::Mov32, 6, &[0]),
            alu(Alu::Mov32, 0, &[1]),
            alu(Alu::Mov32, 1, &[6]),
        ];
        let mut kernel = kernel(vec![block(insts, Term::Jump(0))]);
        simplify(&mut kernel);
        assert_eq!(whats(&kernel), [Alu::Mov32; 3]);
    }
}
