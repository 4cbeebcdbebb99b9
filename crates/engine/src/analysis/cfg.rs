//! The order of blocks, on which reconvergence rests.
//!
//! A group always runs its split with the lowest program counter. For lanes that diverged to meet again at the earliest
//! place, blocks are numbered in reverse post-order with loop exits visited first; every loop gets a single latch, which is
//! then its highest block, so that lanes of one loop are always in the same iteration.

use crate::lir::{B, Block, Kernel, Term};

/// Marks "none" in the vectors below.
pub(crate) const NONE: u32 = u32::MAX;

/// A natural loop.
#[derive(Debug, Clone)]
pub(crate) struct Loop {
    pub(crate) header: B,
    /// The highest block.
    pub(crate) latch: B,
    pub(crate) blocks: Vec<B>,
}

/// Facts about the ordered graph.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cfg {
    /// Immediate post-dominator; `NONE` is the end of the kernel.
    pub(crate) ipdom: Vec<B>,
    pub(crate) loops: Vec<Loop>,
    /// There is a cycle with several entries: only the all-vector decoding is right.
    pub(crate) irreducible: bool,
}

fn successors(blocks: &[Block], b: B) -> smallvec::SmallVec<[B; 2]> {
    blocks[b as usize].term.successors()
}

/// Reverse post-order; `rank` says which successor is visited first (lowest).
fn reverse_post_order(blocks: &[Block], rank: impl Fn(B, B) -> u32) -> Vec<B> {
    let mut seen = vec![false; blocks.len()];
    let mut order = Vec::with_capacity(blocks.len());
    let ranked = |b: B| {
        let mut succs = successors(blocks, b);
        // Stable: of equals, the taken branch is visited first and so ends up after the other one.
        succs.sort_by_key(|&s| rank(b, s));
        succs
    };
    let mut stack = vec![(0, ranked(0), 0usize)];
    seen[0] = true;
    while let Some((b, succs, at)) = stack.last_mut() {
        if let Some(&next) = succs.get(*at) {
            *at += 1;
            if !std::mem::replace(&mut seen[next as usize], true) {
                stack.push((next, ranked(next), 0));
            }
        } else {
            order.push(*b);
            stack.pop();
        }
    }
    order.reverse();
    order
}

/// Joins blocks that always follow each other and drops jumps to jumps.
fn simplify(blocks: &mut [Block]) {
    let count = blocks.len();
    // Jumps to empty blocks that only jump on.
    let mut target: Vec<B> = (0..).take(count).collect();
    for b in 0..count {
        let mut to = b;
        for _ in 0..count {
            match blocks[to].term {
                Term::Jump(next) if blocks[to].insts.is_empty() && next as usize != to => to = next as usize,
                _ => break,
            }
        }
        target[b] = u32::try_from(to).unwrap_or(0);
    }
    for block in blocks.iter_mut() {
        for s in block.term.successors() {
            let to = target[s as usize];
            if to != s {
                block.term.retarget(s, to);
            }
        }
        if let Term::Branch { taken, other, .. } = block.term
            && taken == other
        {
            block.term = Term::Jump(taken);
        }
    }
    let mut preds = vec![0u32; count];
    let reachable = reverse_post_order(blocks, |_, _| 0);
    for &b in &reachable {
        for s in successors(blocks, b) {
            preds[s as usize] += 1;
        }
    }
    let mut gone = vec![false; count];
    for &b in &reachable {
        if gone[b as usize] {
            continue;
        }
        while let Term::Jump(next) = blocks[b as usize].term {
            if next == b || next == 0 || preds[next as usize] != 1 {
                break;
            }
            let empty = Block {
                insts: Vec::new(),
                term: Term::Exit,
                at: 0,
            };
            let mut tail = std::mem::replace(&mut blocks[next as usize], empty);
            gone[next as usize] = true;
            let head = &mut blocks[b as usize];
            head.insts.append(&mut tail.insts);
            head.term = tail.term;
            head.at = tail.at;
        }
    }
}

/// Renumbers: block `order[i]` becomes `i`; others are dropped.
fn renumber(kernel: &mut Kernel, order: &[B]) {
    let mut new = vec![NONE; kernel.blocks.len()];
    for (i, &b) in (0u32..).zip(order) {
        new[b as usize] = i;
    }
    let empty = || Block {
        insts: Vec::new(),
        term: Term::Exit,
        at: 0,
    };
    let mut blocks: Vec<Block> = order
        .iter()
        .map(|&b| std::mem::replace(&mut kernel.blocks[b as usize], empty()))
        .collect();
    for block in &mut blocks {
        block.term = match std::mem::replace(&mut block.term, Term::Exit) {
            Term::Jump(b) => Term::Jump(new[b as usize]),
            Term::Branch {
                pred,
                negated,
                taken,
                other,
            } => Term::Branch {
                pred,
                negated,
                taken: new[taken as usize],
                other: new[other as usize],
            },
            Term::Switch { index, targets } => Term::Switch {
                index,
                targets: targets.iter().map(|&b| new[b as usize]).collect(),
            },
            Term::Exit => Term::Exit,
        };
    }
    kernel.blocks = blocks;
}

/// Immediate dominators of a graph whose nodes are numbered so that most edges go up (Cooper, Harvey, Kennedy). Node 0 is the root.
fn dominators(preds: &[Vec<u32>]) -> Vec<u32> {
    let mut idom = vec![NONE; preds.len()];
    if idom.is_empty() {
        return idom;
    }
    idom[0] = 0;
    let mut changed = true;
    while changed {
        changed = false;
        for b in 1..preds.len() {
            let mut new = NONE;
            for &p in &preds[b] {
                if idom[p as usize] == NONE {
                    continue;
                }
                new = if new == NONE { p } else { intersect(&idom, p, new) };
            }
            if new != idom[b] {
                idom[b] = new;
                changed = true;
            }
        }
    }
    idom
}

fn intersect(idom: &[u32], mut a: u32, mut b: u32) -> u32 {
    while a != b {
        while a > b {
            a = idom[a as usize];
        }
        while b > a {
            b = idom[b as usize];
        }
    }
    a
}

fn dominates(idom: &[u32], a: u32, mut b: u32) -> bool {
    while b > a {
        b = idom[b as usize];
        if b == NONE {
            return false;
        }
    }
    a == b
}

fn predecessors(blocks: &[Block]) -> Vec<Vec<B>> {
    let mut preds = vec![Vec::new(); blocks.len()];
    for (b, block) in (0u32..).zip(blocks) {
        for s in block.term.successors() {
            let list: &mut Vec<B> = &mut preds[s as usize];
            if !list.contains(&b) {
                list.push(b);
            }
        }
    }
    preds
}

/// Natural loops, those with one header merged; and whether a retreating edge does not close one.
fn loops(blocks: &[Block], preds: &[Vec<B>]) -> (Vec<Loop>, bool) {
    let idom = dominators(preds);
    let mut irreducible = false;
    let mut found: Vec<Loop> = Vec::new();
    for h in 0u32..u32::try_from(blocks.len()).unwrap_or(0) {
        let mut work = Vec::new();
        for &p in &preds[h as usize] {
            if p >= h {
                if dominates(&idom, h, p) {
                    work.push(p);
                } else {
                    irreducible = true;
                }
            }
        }
        if work.is_empty() {
            continue;
        }
        let latch = work.iter().copied().max().unwrap_or(h);
        let mut inside = std::collections::HashSet::from([h]);
        while let Some(b) = work.pop() {
            if inside.insert(b) {
                work.extend(&preds[b as usize]);
            }
        }
        let mut blocks: Vec<B> = inside.into_iter().collect();
        blocks.sort_unstable();
        found.push(Loop {
            header: h,
            latch,
            blocks,
        });
    }
    (found, irreducible)
}

/// Orders the blocks of a kernel and gives every loop one latch.
pub(crate) fn order(kernel: &mut Kernel) -> Cfg {
    simplify(&mut kernel.blocks);
    let order = reverse_post_order(&kernel.blocks, |_, _| 0);
    renumber(kernel, &order);
    let preds = predecessors(&kernel.blocks);
    let (found, _) = loops(&kernel.blocks, &preds);
    for l in &found {
        let back: Vec<B> = preds[l.header as usize]
            .iter()
            .copied()
            .filter(|p| l.blocks.contains(p))
            .collect();
        if back.len() < 2 {
            continue;
        }
        let latch = u32::try_from(kernel.blocks.len()).unwrap_or(NONE);
        let at = kernel.blocks[l.header as usize].at;
        for b in back {
            kernel.blocks[b as usize].term.retarget(l.header, latch);
        }
        kernel.blocks.push(Block {
            insts: Vec::new(),
            term: Term::Jump(l.header),
            at,
        });
    }
    let depth = depths(kernel, &found);
    let order = reverse_post_order(&kernel.blocks, |b, s| {
        // A successor in fewer loops is an exit: visited first, it comes last.
        u32::from(depth[s as usize] >= depth[b as usize])
    });
    renumber(kernel, &order);
    let preds = predecessors(&kernel.blocks);
    let (loops, irreducible) = loops(&kernel.blocks, &preds);
    let ipdom = post_dominators(&kernel.blocks);
    Cfg {
        ipdom,
        loops,
        irreducible,
    }
}

fn depths(kernel: &Kernel, loops: &[Loop]) -> Vec<u32> {
    let mut depth = vec![0; kernel.blocks.len()];
    for l in loops {
        for &b in &l.blocks {
            depth[b as usize] += 1;
        }
    }
    // A new latch lies in all loops of its header.
    for b in 0..kernel.blocks.len() {
        if let (true, Term::Jump(h)) = (kernel.blocks[b].insts.is_empty(), &kernel.blocks[b].term) {
            depth[b] = depth[b].max(if depth[b] == 0 { depth[*h as usize] } else { 0 });
        }
    }
    depth
}

fn post_dominators(blocks: &[Block]) -> Vec<B> {
    let count = blocks.len();
    // The reversed graph, its nodes in an order found from the end: 0 is the virtual exit, block b is found by `place`.
    let preds = predecessors(blocks);
    let mut place = vec![NONE; count];
    let mut order: Vec<B> = Vec::new();
    let mut seen = vec![false; count];
    let exits: Vec<B> = (0u32..)
        .zip(blocks)
        .filter(|(_, b)| b.term.successors().is_empty())
        .map(|(i, _)| i)
        .collect();
    for &exit in &exits {
        if std::mem::replace(&mut seen[exit as usize], true) {
            continue;
        }
        let mut stack = vec![(exit, 0usize)];
        while let Some((b, at)) = stack.last_mut() {
            if let Some(&p) = preds[*b as usize].get(*at) {
                *at += 1;
                if !std::mem::replace(&mut seen[p as usize], true) {
                    stack.push((p, 0));
                }
            } else {
                order.push(*b);
                stack.pop();
            }
        }
    }
    order.reverse();
    for (i, &b) in (1u32..).zip(&order) {
        place[b as usize] = i;
    }
    let mut reversed: Vec<Vec<u32>> = vec![Vec::new(); order.len() + 1];
    for &b in &order {
        let list = &mut reversed[place[b as usize] as usize];
        let succs = blocks[b as usize].term.successors();
        if succs.is_empty() {
            list.push(0);
        }
        list.extend(succs.iter().map(|&s| place[s as usize]).filter(|&p| p != NONE));
    }
    let idom = dominators(&reversed);
    (0..count)
        .map(|b| match place[b] {
            NONE => NONE,
            at => match idom[at as usize] {
                0 | NONE => NONE,
                up => order[up as usize - 1],
            },
        })
        .collect()
}
