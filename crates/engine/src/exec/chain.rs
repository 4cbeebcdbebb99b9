//! Chains of operations on words, each of which takes the result of the one before it: one operation for all of them.
//!
//! ```text
//!  t = x >> 16    u = t ^ x    v = u * m    w = v + k        x, then u, v, w: the value carried;  m, k the same in all lanes
//!  └── one step: x ^ (x >> 16) ──┘ └ step ┘  └ step ┘        t, u, v are read by nobody else and never written
//! ```
//!
//! The first operation carries the chain out, a few chunks at a time, so that the value stays in registers between steps; the other
//! operations stay where they are and say what the steps are. Nothing in a chain can fail or stop, so it needs no other way.

use super::isa::{Body, Isa};
use super::{Cx, Op, UNMASKED};

/// A function of two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Word {
    Add,
    Sub,
    Mul,
    And,
    Or,
    Xor,
    Shl,
    Shr,
}

/// What a step makes of the value carried, `x`, and its constant, `k`. Kept as a number in an operation.
pub(crate) mod step {
    use super::Word;

    /// `x word k`
    pub(crate) const fn simple(word: Word) -> u32 {
        word as u32
    }
    pub(super) const ADD: u32 = simple(Word::Add);
    pub(super) const SUB: u32 = simple(Word::Sub);
    pub(super) const MUL: u32 = simple(Word::Mul);
    pub(super) const AND: u32 = simple(Word::And);
    pub(super) const OR: u32 = simple(Word::Or);
    pub(super) const XOR: u32 = simple(Word::Xor);
    pub(super) const SHL: u32 = simple(Word::Shl);
    pub(super) const SHR: u32 = simple(Word::Shr);
    /// `x ^ (x >> k)`
    pub(crate) const XOR_SHR: u32 = 8;
    /// `x ^ (x << k)`
    pub(crate) const XOR_SHL: u32 = 9;
    /// `x + (x << k)`
    pub(crate) const ADD_SHL: u32 = 10;

    /// Operations of a step.
    pub(crate) const fn width(step: u32) -> usize {
        if step >= XOR_SHR { 2 } else { 1 }
    }
}

/// The first operation of a chain: `a` the value that goes in, `g` steps, `c` operations. Every step's first operation has its number
/// in `e` and its constant in `site`; the last operation of the chain says where the value goes.
pub(crate) struct Chain;

impl Body for Chain {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`; the decoder counted steps and operations.
        unsafe {
            let mut c = 0;
            while c < cx.chunks {
                // Groups have an even number of chunks, most of them sixteen.
                let left = cx.chunks - c;
                if I::COLUMNS >= 8 && left >= 8 {
                    block::<I, 8>(cx, op, c);
                    c += 8;
                } else if left >= 4 {
                    block::<I, 4>(cx, op, c);
                    c += 4;
                } else {
                    block::<I, 1>(cx, op, c);
                    c += 1;
                }
            }
            op.add((*op).c as usize)
        }
    }
}

/// Replaces every element of an array.
macro_rules! each {
    ($x:ident => $new:expr) => {
        for y in &mut $x {
            let $x = *y;
            *y = $new;
        }
    };
}

/// Carries `N` chunks, from `first` on, through the chain at `op`.
///
/// # Safety
/// The group has these chunks; the processor has unit `I`.
#[inline(always)]
unsafe fn block<I: Isa, const N: usize>(cx: &Cx, op: *const Op, first: usize) {
    // SAFETY: the decoder's slots and numbers.
    unsafe {
        let (from, step) = cx.source((*op).a, 64);
        let from = from.add(first * step);
        // No closures: they may become functions of their own, which have none of the unit's instructions.
        let mut x = [I::get(from.cast()); N];
        for (i, x) in x.iter_mut().enumerate() {
            *x = I::get(from.add(i * step).cast());
        }
        let mut at = op;
        for _ in 0..(*op).g {
            let k = I::get(cx.source((*at).site, 0).0.cast());
            match (*at).e {
                step::ADD => each!(x => I::add(x, k)),
                step::SUB => each!(x => I::sub(x, k)),
                step::MUL => each!(x => I::mul(x, k)),
                step::AND => each!(x => I::both(x, k)),
                step::OR => each!(x => I::either(x, k)),
                step::XOR => each!(x => I::xor(x, k)),
                step::SHL => each!(x => I::shl(x, k)),
                step::SHR => each!(x => I::shr(x, k)),
                step::XOR_SHR => each!(x => I::xor(x, I::shr(x, k))),
                step::XOR_SHL => each!(x => I::xor(x, I::shl(x, k))),
                _ => each!(x => I::add(x, I::shl(x, k))),
            }
            at = at.add(step::width((*at).e));
        }
        let last = op.add((*op).c as usize - 1);
        let to = cx.destination((*last).d);
        let all = cx.full || (*last).flags & UNMASKED != 0;
        for (i, x) in x.into_iter().enumerate() {
            let to = to.add((first + i) * 64).cast::<u32>();
            let m = cx.chunk_mask(first + i);
            if all || m == u16::MAX {
                I::put(to, x);
            } else {
                let mut lanes = [0; super::isa::CHUNK];
                I::put(lanes.as_mut_ptr(), x);
                I::store32(to.cast(), &lanes, m);
            }
        }
    }
}
