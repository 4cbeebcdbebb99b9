//! Sums of products of what two loads read, as the inner loops of matrix products have them: one operation for many.
//!
//! ```text
//!  x0 = load [a+0]   y0 = load [b+0]    s1 = fma(x0, y0, s0)
//!  x1 = load [a+4]   y1 = load [b+64]   s2 = fma(x1, y1, s1)        ...        x, y and the sums between are read by nobody else
//! ```
//!
//! The first load carries all of it out, chunk by chunk, so that the sum stays in a register; the other operations stay where they
//! are. It does so when all lanes execute and both rows of addresses lie in one span, from the lowest offset to the highest.
//! Otherwise it is the load that it was, and the others follow.

use std::marker::PhantomData;

use super::isa::{Body, CHUNK, Isa};
use super::memory::{B32, Kind, Load, SpaceTag, fetch_ahead, line, site_of};
use super::{Cx, Op};

/// The first load of such a run: `g` products, `b` and `c` which of them has the lowest and the highest offset. The second load has
/// the same for its own.
pub(crate) struct Dot<S>(PhantomData<S>);

impl<S: SpaceTag> Body for Dot<S> {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`; the decoder counted the products.
        unsafe {
            let n = (*op).g as usize;
            if cx.full
                && let Some(x) = rows::<S, I>(cx, op)
                && let Some(y) = rows::<S, I>(cx, op.add(1))
            {
                if (*op).e == 0 {
                    sum::<I>(cx, op, &x, &y, 0);
                } else {
                    sum::<I>(cx, op, &y, &x, 1);
                }
                return op.add(3 * n);
            }
            I::enter::<Load<S, B32>>(cx, op)
        }
    }
}

/// Where the first lanes of the chunks are for an offset of zero.
///
/// # Safety
/// `op` is one of the first two loads of a run.
#[inline(always)]
unsafe fn rows<S: SpaceTag, I: Isa>(cx: &mut Cx, op: *const Op) -> Option<[*const u8; CHUNK]> {
    // SAFETY: the decoder's numbers.
    unsafe {
        let o = *op;
        let s = *site_of(cx, S::KIND, &o);
        let active = cx.active_chunks::<I>();
        let (low, high) = (*op.add(3 * o.b as usize), *op.add(3 * o.c as usize));
        let offset = line::<I>(cx, &low, &s, 4, active)?;
        if S::KIND != Kind::Shared {
            fetch_ahead::<I, false>(cx, &o, s.host, &offset);
        }
        if low.imm != high.imm {
            let mut reach = line::<I>(cx, &high, &s, 4, active)?;
            for c in 0..CHUNK {
                reach[c] = reach[c].wrapping_sub(offset[c]);
            }
            // Addresses of 32 bits may wrap between the two.
            let distance = i64::from(high.imm) - i64::from(low.imm);
            if I::within(&reach, distance.cast_unsigned(), 0) & active != active {
                return None;
            }
        }
        let base = s.host.cast_const().wrapping_offset(-(low.imm as isize));
        let mut host = [base; CHUNK];
        for c in 0..CHUNK {
            #[allow(
                clippy::cast_possible_truncation,
                reason = "inside the span, which is host memory"
            )]
            let at = offset[c] as usize;
            host[c] = base.wrapping_add(at);
        }
        Some(host)
    }
}

/// Adds the products up. `one` are the chunks' places of the load that reads one element for all lanes of a chunk, `row` those of the
/// other, which is the operation after it, or before it when `flip` is 1.
///
/// # Safety
/// [`rows`] found both for the run at `op`; the processor has unit `I`.
#[inline(always)]
unsafe fn sum<I: Isa>(
    cx: &Cx,
    op: *const Op,
    one: &[*const u8; CHUNK],
    row: &[*const u8; CHUNK],
    flip: usize,
) {
    // SAFETY: every place between the lowest and the highest offset lies in a span that was checked.
    unsafe {
        let n = (*op).g as usize;
        let (from, step) = cx.source((*op.add(2)).c, 64);
        let to = cx.destination((*op.add(3 * n - 1)).d);
        let (ones, rows) = (op.add(flip), op.add(1 - flip));
        for c in 0..cx.chunks {
            let (one, row) = (one[c % CHUNK], row[c % CHUNK]);
            let mut sum = I::numbers(I::get(from.add(c * step).cast()));
            for t in 0..n {
                let x = one.wrapping_offset((*ones.add(3 * t)).imm as isize);
                let y = row.wrapping_offset((*rows.add(3 * t)).imm as isize);
                let x = x.cast::<f32>().read_unaligned();
                let y = I::numbers(I::get(y.cast()));
                sum = I::fma(y, x, sum);
            }
            // Not a number stays that through all products: it is made the canonical one once.
            I::put(to.add(c * 64).cast(), I::bits(sum));
        }
    }
}
