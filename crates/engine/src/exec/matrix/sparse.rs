//! Products with a sparse A: of every four elements of a row (or pairs of elements, for 4-bit ones) two are given, and a register of two
//! bits each says which. `tf32` has one of two, with the bits that a pair of halves would have.
//!
//! The bits of a row lie together: 16 of them in one half of a register for the 16-bit formats and `tf32`, the upper half for the rows
//! from 8 on; 32 in a whole register for the others, the next lane having the rows from 8 on. Rows of more bits go on in the next
//! lanes, and where there are lanes left the selector says which of them are meant.
//!
//! An element that is not given is not multiplied: zero times infinity does not come up.

use super::{DEPTH, List, Result16, addend, elements, finish, register, result, rows};
use crate::exec::isa::{Body, Isa};
use crate::exec::tile::{Floats, Words};
use crate::exec::warp::incomplete;
use crate::exec::{Cx, Event, NUMBER, Op};
use crate::lir::matrix::{Elem, Mma};

/// Elements along k at most.
const K: usize = 2 * DEPTH;

/// A sparse product: operands as in [`Product`](super::Product) and the choice, the selector in `e`.
pub(crate) struct Sparse;

impl Body for Sparse {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe {
            if incomplete(cx) {
                return cx.stop(op, Event::Sync);
            }
            let o = *op;
            let mut m = Mma::unpack(o.flags >> NUMBER);
            m.sparse = Some(o.e.to_le_bytes()[0]);
            let list = List(cx.targets.add(o.imm.cast_unsigned() as usize));
            for w in 0..cx.chunks / 2 {
                if cx.mask[w] != 0 {
                    warp::<I>(cx, w, &m, list);
                }
            }
            op.add(1)
        }
    }
}

/// Where in its row unit `u` of row `row` belongs; a unit is what two bits are about.
#[inline(always)]
fn place(m: &Mma, choice: &[Words; 2], row: usize, u: usize, units: usize) -> usize {
    let selector = usize::from(m.sparse.unwrap_or(0));
    let (group, half) = (row % 8, row / 8);
    let narrow = m.a.bits() >= 16;
    let (lane, shift) = match (narrow, units) {
        (true, 0..=8) => (selector, half * 16 + u * 2),
        (true, _) => (2 * selector + u / 8, half * 16 + u % 8 * 2),
        (false, 0..=16) => (2 * selector + half, u * 2),
        (false, _) => (u / 16 * 2 + half, u % 16 * 2),
    };
    let at = group * 4 + lane % 4;
    let bits = choice[at / 16][at % 16] >> shift & 3;
    u / 2 * 4 + bits as usize
}

/// Puts the given elements where they belong. `given` and `a` are by k and position, `there` says which lanes of `a` are meant.
#[inline(always)]
fn spread(m: &Mma, choice: &[Words; 2], given: &[Floats; DEPTH], a: &mut [Floats; K], there: &mut [u16; K]) {
    let count = m.deep as usize * 4 * m.a.per_word();
    let units = match m.a {
        Elem::Tf32 => count * 2,
        Elem::S4 | Elem::U4 => count / 2,
        _ => count,
    };
    for (e, given) in given.iter().enumerate().take(count) {
        for (position, x) in given.iter().enumerate() {
            // The order of rows that the transposition gives.
            let row = position % 4 * 4 + position / 4;
            let k = match m.a {
                Elem::Tf32 => place(m, choice, row, e * 2, units) / 2,
                Elem::S4 | Elem::U4 => place(m, choice, row, e / 2, units) * 2 + e % 2,
                _ => place(m, choice, row, e, units),
            };
            a[k % K][position] = *x;
            there[k % K] |= 1 << position;
        }
    }
}

/// # Safety
/// As [`Sparse`].
#[inline(always)]
unsafe fn warp<I: Isa>(cx: &Cx, w: usize, m: &Mma, list: List) {
    let [na, nb, nc, nd] = m.registers();
    let (la, lb, lc) = (list.from(nd), list.from(nd + na), list.from(nd + na + nb));
    let mut given = [[0.0; 16]; DEPTH];
    let mut a = [[0.0; 16]; K];
    let mut there = [0u16; K];
    let mut b = [[[0.0; 16]; 2]; K / 4];
    let (per, deep) = (m.a.per_word(), m.deep as usize);
    // SAFETY: the caller's promise; A has `deep` blocks, B twice as many.
    unsafe {
        for block in 0..deep {
            let words = rows::<I>(cx, w, la.get(block * 2), Some(la.get(block * 2 + 1)));
            for (t, v) in words.iter().enumerate() {
                elements::<I>(m.a, v, given.as_mut_ptr().add((block * 4 + t) * per), 1);
            }
        }
        let choice = register(cx, lc.get(nc), w);
        spread(m, &choice, &given, &mut a, &mut there);
        for block in 0..2 * deep {
            for (h, v) in register(cx, lb.get(block), w).iter().enumerate() {
                let to = b.as_mut_ptr().cast::<Floats>().add(block * per * 2 + h);
                elements::<I>(m.b, v, to, 2);
            }
        }
        let mut sum: Result16 = addend::<I>(cx, w, lc, m.c, false);
        for (j, sum) in sum.iter_mut().enumerate() {
            let mut d = I::load(sum);
            for k in 0..(2 * deep * 4 * per).min(K) {
                // Block and element of a word, then column and word.
                let (block, word, e) = (k / (4 * per), k / per % 4, k % per);
                let at = j * 4 + word;
                let x = b[block * per + e][at / 16][at % 16];
                d = I::fma_some(I::load(&a[k]), x, d, there[k]);
            }
            I::store(sum, d);
        }
        let bits = finish::<I>(cx, w, m, lc, &sum);
        result::<I>(cx, w, (m, list), &bits);
    }
}
