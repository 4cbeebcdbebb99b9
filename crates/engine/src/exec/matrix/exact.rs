//! Products that are not worked out in `f32`: of `f64`, and of single bits.
//!
//! `f64` takes one fused multiply-add per k in increasing order, rounded as the instruction says. Bits are combined a word at a
//! time and counted; the counts are added modulo 2^32.

use tessera_arith::float64;

use super::{List, register};
use crate::exec::isa::{Body, CHUNK, Isa};
use crate::exec::modifiers::rounding;
use crate::exec::warp::{incomplete, lane64, set_warp32};
use crate::exec::{Cx, Event, NUMBER, Op};
use crate::lir::matrix::Mma;

/// Blocks along k at most: 16 columns of `f64`, 256 bits.
const BLOCKS: usize = 4;

/// A product of `f64`: operands as in [`Product`](super::Product), the rounding in `e`.
pub(crate) struct Doubles;

/// A 64-bit register of a warp; zero in lanes that are not there.
///
/// # Safety
/// `operand` is a 64-bit one, made by the decoder.
#[inline(always)]
unsafe fn register64(cx: &Cx, operand: u32, w: usize) -> [f64; 32] {
    std::array::from_fn(|lane| {
        if cx.mask[w] >> lane & 1 == 0 {
            return 0.0;
        }
        // SAFETY: the caller's promise.
        f64::from_bits(unsafe { lane64(cx, operand, w * 32 + lane) })
    })
}

impl Body for Doubles {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe {
            if incomplete(cx) {
                return cx.stop(op, Event::Sync);
            }
            let o = *op;
            let m = Mma::unpack(o.flags >> NUMBER);
            let list = List(cx.targets.add(o.imm.cast_unsigned() as usize));
            for w in 0..cx.chunks / 2 {
                if cx.mask[w] != 0 {
                    doubles::<I>(cx, w, &m, list, o.e);
                }
            }
            op.add(1)
        }
    }
}

/// # Safety
/// As [`Doubles`].
#[inline(always)]
unsafe fn doubles<I: Isa>(cx: &Cx, w: usize, m: &Mma, list: List, round: u32) {
    let [na, nb, nc, nd] = m.registers();
    let heights = if m.half { 1 } else { 2 };
    let deep = (m.deep as usize).min(BLOCKS);
    let mut a = [[0.0; 32]; 2 * BLOCKS];
    let mut b = [[0.0; 32]; BLOCKS];
    let mut c = [[0.0; 32]; 4];
    // SAFETY: the caller's promise.
    unsafe {
        for (i, a) in a.iter_mut().enumerate().take(na) {
            *a = register64(cx, list.get(nd + i), w);
        }
        for (i, b) in b.iter_mut().enumerate().take(nb) {
            *b = register64(cx, list.get(nd + na + i), w);
        }
        for (i, c) in c.iter_mut().enumerate().take(nc) {
            *c = register64(cx, list.get(nd + na + nb + i), w);
        }
        for (i, sums) in c.iter_mut().enumerate().take(nd) {
            for (lane, sum) in sums.iter_mut().enumerate() {
                // Rows of the second half follow in the third and fourth register.
                let (row, column) = (lane / 4, 2 * (lane % 4) + i % 2);
                for k in 0..deep * 4 {
                    let x = a[(k / 4 * heights + i / 2) % (2 * BLOCKS)][row * 4 + k % 4];
                    let y = b[k / 4 % BLOCKS][column * 4 + k % 4];
                    *sum = float64::fma(x, y, *sum, rounding(round));
                }
            }
        }
        for (i, sums) in c.iter().enumerate().take(nd) {
            let to = cx.destination(list.get(i));
            for half in 0..2 {
                let at = w * 2 + half;
                let bits = std::array::from_fn(|k| sums[half * CHUNK + k].to_bits());
                I::store64(to.add(at * 128).cast(), &bits, cx.chunk_mask(at));
            }
        }
    }
}

/// A product of bits: operands as in [`Product`](super::Product).
pub(crate) struct Bits;

impl Body for Bits {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe {
            if incomplete(cx) {
                return cx.stop(op, Event::Sync);
            }
            let o = *op;
            let m = Mma::unpack(o.flags >> NUMBER);
            let list = List(cx.targets.add(o.imm.cast_unsigned() as usize));
            for w in 0..cx.chunks / 2 {
                if cx.mask[w] != 0 {
                    bits::<I>(cx, w, &m, list);
                }
            }
            op.add(1)
        }
    }
}

/// # Safety
/// As [`Bits`].
#[inline(always)]
unsafe fn bits<I: Isa>(cx: &Cx, w: usize, m: &Mma, list: List) {
    let [na, nb, nc, nd] = m.registers();
    let heights = if m.half { 1 } else { 2 };
    let deep = (m.deep as usize).min(BLOCKS);
    let mut all = [[[0u32; CHUNK]; 2]; 16];
    // SAFETY: the caller's promise.
    unsafe {
        for (i, v) in all.iter_mut().enumerate().take(na + nb + nc) {
            *v = register(cx, list.get(nd + i), w);
        }
        let word = |v: &[[u32; CHUNK]; 2], at: usize| v[at / CHUNK % 2][at % CHUNK];
        for i in 0..nd {
            let mut sums = [0u32; 32];
            for (lane, sum) in sums.iter_mut().enumerate() {
                let (row, column) = (lane / 4, 2 * (lane % 4) + i % 2);
                *sum = word(&all[(na + nb + i) % 16], lane);
                for k in 0..deep * 4 {
                    let x = word(&all[(k / 4 * heights + i / 2) % 16], row * 4 + k % 4);
                    let y = word(&all[(na + k / 4) % 16], column * 4 + k % 4);
                    let both = if m.and { x & y } else { x ^ y };
                    *sum = sum.wrapping_add(both.count_ones());
                }
            }
            set_warp32::<I>(cx, list.get(i), w, &sums);
        }
    }
}
