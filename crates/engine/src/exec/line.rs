//! Comparisons of affine values: from the bases of the chunks, without their lanes.
//!
//! Along a chunk the difference of two affine values grows or falls evenly, unless one of them wraps. So a chunk whose first and last
//! lane compare alike compares alike in all of them. Only the others are looked at lane by lane, of which a row of threads has
//! one at most.

use std::marker::PhantomData;

use super::isa::{Body, CHUNK, Isa};
use super::lane::Fn2;
use super::{Cx, Mask, NEGATED, Op, WARPS};

/// Compares `a` with stride `e` and `b` with stride `g` by `F`, an order; [`NEGATED`]: of signed numbers. `d` predicate.
pub(crate) struct CompareLine<F>(PhantomData<F>);

/// Largest stride of an operand: fifteen times as much must be less than half of what 32 bits count.
pub(crate) const MOST_STRIDE: u64 = 1 << 26;

/// Whether adding `reach` to `base` passes the end of the numbers, which `bias` brings to 0.
#[inline(always)]
fn wraps(base: u32, reach: u32, bias: u32) -> bool {
    let first = base.wrapping_add(bias);
    let last = first.wrapping_add(reach);
    (last < first) != (reach.cast_signed() < 0) && reach != 0
}

impl<F: Fn2<A = u32, B = u32, R = bool>> Body for CompareLine<F> {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`; scalar slots have an element per chunk.
        unsafe {
            let o = *op;
            let a = *cx.source(o.a, 0).0.cast::<[u32; CHUNK]>();
            let b = *cx.source(o.b, 0).0.cast::<[u32; CHUNK]>();
            let bias = if o.flags & NEGATED != 0 { 1 << 31 } else { 0 };
            let (far_a, far_b) = (o.e.wrapping_mul(15), o.g.wrapping_mul(15));
            let (mut first, mut last, mut even) = ([0; CHUNK], [0; CHUNK], [0; CHUNK]);
            for i in 0..CHUNK {
                first[i] = u32::from(F::call(a[i], b[i], 0));
                last[i] = u32::from(F::call(a[i].wrapping_add(far_a), b[i].wrapping_add(far_b), 0));
                even[i] = u32::from(!wraps(a[i], far_a, bias) & !wraps(b[i], far_b, bias));
            }
            let (first, last) = (I::nonzero32(&first), I::nonzero32(&last));
            let active = cx.active_chunks::<I>();
            let alike = I::nonzero32(&even) & !(first ^ last);
            let bits = if alike & !first & active == active {
                [0; WARPS]
            } else if alike & first & active == active {
                [u32::MAX; WARPS]
            } else {
                let mut bits = whole(first);
                let mut rest = active & !alike;
                while rest != 0 {
                    let c = rest.trailing_zeros() as usize % CHUNK;
                    rest &= rest - 1;
                    let mut lanes = [0; CHUNK];
                    let (mut x, mut y) = (a[c], b[c]);
                    for lane in &mut lanes {
                        *lane = u32::from(F::call(x, y, 0));
                        (x, y) = (x.wrapping_add(o.e), y.wrapping_add(o.g));
                    }
                    let shift = c % 2 * 16;
                    let word = &mut bits[c / 2 % WARPS];
                    *word = *word & !(0xffff << shift) | u32::from(I::nonzero32(&lanes)) << shift;
                }
                bits
            };
            cx.set_predicate(o.d, &bits);
            op.add(1)
        }
    }
}

/// All lanes of the chunks in `chunks`.
#[inline(always)]
fn whole(chunks: u16) -> Mask {
    std::array::from_fn(|w| {
        let two = u32::from(chunks) >> (2 * w);
        ((two & 1) * 0xffff) | ((two >> 1 & 1) * 0xffff_0000)
    })
}
