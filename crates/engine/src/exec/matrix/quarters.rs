//! `mma.m8n8k4` of halves, the shape of the first matrix units: each quarter of a warp, lanes `4 * q` to `4 * q + 3` and those 16
//! above, multiplies 8 by 4 and 4 by 8 matrices of its own, in layouts that depend on the order of the factors.

use tessera_arith::convert::f32_to_f16_rn;
use tessera_arith::half::f16_to_f32;

use super::{List, canonical, register};
use crate::exec::isa::{Body, Isa};
use crate::exec::tile::Words;
use crate::exec::warp::{incomplete, set_warp32};
use crate::exec::{Cx, Event, NUMBER, Op};

/// Bits of the flags.
pub(crate) const A_COLUMNS: u32 = 1 << NUMBER;
pub(crate) const B_COLUMNS: u32 = 2 << NUMBER;
pub(crate) const C_HALF: u32 = 4 << NUMBER;
pub(crate) const D_HALF: u32 = 8 << NUMBER;

/// The four products: `imm` the place of the operands D, A, B, C in the code's table.
pub(crate) struct Quarter;

/// Row and column of element `i` of a result of numbers, in lane `x` (0 to 3) of the lower or upper half.
#[inline(always)]
fn number_at(x: usize, upper: usize, i: usize) -> (usize, usize) {
    (x % 2 + (i & 2) + 4 * upper, (i & 4) + (x & 2) + i % 2)
}

impl Body for Quarter {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe {
            if incomplete(cx) {
                return cx.stop(op, Event::Sync);
            }
            let o = *op;
            let list = List(cx.targets.add(o.imm.cast_unsigned() as usize));
            for w in 0..cx.chunks / 2 {
                if cx.mask[w] != 0 {
                    warp::<I>(cx, w, o.flags, list);
                }
            }
            op.add(1)
        }
    }
}

/// # Safety
/// As [`Quarter`].
#[inline(always)]
unsafe fn warp<I: Isa>(cx: &Cx, w: usize, flags: u32, list: List) {
    let count = |bit: u32| if flags & bit != 0 { 4 } else { 8 };
    let (nc, nd) = (count(C_HALF), count(D_HALF));
    let mut in_ = [[[0u32; 16]; 2]; 12];
    for (i, v) in in_.iter_mut().enumerate().take(4 + nc) {
        // SAFETY: the caller's promise.
        *v = unsafe { register(cx, list.get(nd + i), w) };
    }
    let mut out = [[0u32; 32]; 8];
    for q in 0..4 {
        quarter(&in_, &mut out, q, flags);
    }
    for (i, v) in out.iter().enumerate().take(nd) {
        // SAFETY: the caller's promise.
        unsafe { set_warp32::<I>(cx, list.get(i), w, v) };
    }
}

/// The product of quarter `q`.
#[inline(always)]
fn quarter(in_: &[[Words; 2]; 12], out: &mut [[u32; 32]; 8], q: usize, flags: u32) {
    let half = |register: usize, upper: usize, lane: usize, i: usize| {
        let word = in_[register + i / 2][upper][lane];
        f16_to_f32(word >> (16 * (i % 2)) & 0xffff)
    };
    let (mut a, mut b, mut d) = ([[0.0f32; 4]; 8], [[0.0f32; 8]; 4], [[0.0f32; 8]; 8]);
    for (upper, x) in (0..8).map(|n| (n / 4, n % 4)) {
        let lane = q * 4 + x;
        for i in 0..4 {
            let (row, k) = if flags & A_COLUMNS != 0 { (i, x) } else { (x, i) };
            a[row + 4 * upper][k] = half(0, upper, lane, i);
            let (k, column) = if flags & B_COLUMNS != 0 { (i, x) } else { (x, i) };
            b[k][column + 4 * upper] = half(2, upper, lane, i);
        }
        for i in 0..8 {
            if flags & C_HALF != 0 {
                d[x + 4 * upper][i] = half(4, upper, lane, i);
            } else {
                let (row, column) = number_at(x, upper, i);
                d[row][column] = f32::from_bits(in_[4 + i][upper][lane]);
            }
        }
    }
    for (row, d) in d.iter_mut().enumerate() {
        for (column, d) in d.iter_mut().enumerate() {
            for k in 0..4 {
                *d = a[row][k].mul_add(b[k][column], *d);
            }
        }
    }
    for (upper, x) in (0..8).map(|n| (n / 4, n % 4)) {
        let lane = q * 4 + x + 16 * upper;
        for i in 0..8 {
            if flags & D_HALF != 0 {
                out[i / 2][lane] |= f32_to_f16_rn(d[x + 4 * upper][i]) << (16 * (i % 2));
            } else {
                let (row, column) = number_at(x, upper, i);
                out[i][lane] = canonical(d[row][column]);
            }
        }
    }
}
