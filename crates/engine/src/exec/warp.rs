//! What lanes of a warp do together: shuffles, votes, matches, reductions.
//!
//! An operation with a member mask waits until all of its live lanes stand there. In strict order they always do, except
//! where a program has lanes meet at different instructions; then the group goes over to the all-vector decoding, where
//! splits can wait ([`Event::Sync`]).

use super::isa::{Body, CHUNK, Isa};
use super::{Cx, Event, FLAT, Mask, NUMBER, Op, WARPS};
use crate::lir::{Redux, Shfl, Vote};

/// Whether a warp-wide operation has to wait for lanes.
///
/// # Safety
/// `members` is a 32-bit operand made by the decoder.
#[inline(always)]
unsafe fn missing(cx: &mut Cx, members: u32) -> bool {
    // SAFETY: the group outlives the run.
    let live = unsafe { (*cx.group).live };
    if cx.mask == live || std::mem::take(&mut cx.force) {
        return false;
    }
    // SAFETY: the caller's promise.
    unsafe { missing_slow(cx, members, &live) }
}

/// Whether an operation of whole warps has to wait for lanes.
#[inline(always)]
pub(crate) fn incomplete(cx: &mut Cx) -> bool {
    // SAFETY: the group outlives the run.
    let live = unsafe { (*cx.group).live };
    let waits = |w: usize| cx.mask[w] != 0 && live[w] & !cx.mask[w] != 0;
    cx.mask != live && !std::mem::take(&mut cx.force) && (0..WARPS).any(waits)
}

#[cold]
unsafe fn missing_slow(cx: &Cx, members: u32, live: &Mask) -> bool {
    for w in 0..WARPS {
        if cx.mask[w] == 0 {
            continue;
        }
        // Lanes of one warp may stand here in several sets, each with a member mask of its own.
        let mut need = 0;
        for i in (0..32).filter(|i| cx.mask[w] >> i & 1 != 0) {
            // SAFETY: the caller's promise.
            need |= unsafe { lane32(cx, members, w * 32 + i) };
        }
        if need & live[w] & !cx.mask[w] != 0 {
            return true;
        }
    }
    false
}

/// Calls `set` for each set of lanes of warp `w` that execute with the same member mask, with those of the mask that execute.
///
/// # Safety
/// `members` is a 32-bit operand made by the decoder.
#[inline(always)]
unsafe fn each_set(cx: &Cx, members: u32, w: usize, mut set: impl FnMut(u32, u32)) {
    let mut rest = cx.mask[w];
    if rest == 0 {
        return;
    }
    // SAFETY: the caller's promise.
    let all = unsafe { warp32(cx, members, w) };
    while rest != 0 {
        let mask = all[rest.trailing_zeros() as usize & 31];
        let mut lanes = 0;
        for (i, m) in all.iter().enumerate() {
            lanes |= u32::from(*m == mask) << i;
        }
        lanes &= rest;
        rest &= !lanes;
        set(lanes, mask & cx.mask[w]);
    }
}

/// Writes `value` in the lanes of `lanes`.
fn fill(all: &mut [u32; 32], lanes: u32, value: u32) {
    for (i, to) in all.iter_mut().enumerate() {
        if lanes >> i & 1 != 0 {
            *to = value;
        }
    }
}

/// A lane of a 32-bit operand.
///
/// # Safety
/// `operand` is one, made by the decoder.
#[inline(always)]
pub(crate) unsafe fn lane32(cx: &Cx, operand: u32, lane: usize) -> u32 {
    // SAFETY: the caller's promise.
    unsafe {
        let (p, step) = cx.source(operand, 64);
        *p.add(lane / CHUNK * step).cast::<u32>().add(lane % CHUNK)
    }
}

/// A lane of a 64-bit operand.
///
/// # Safety
/// `operand` is one, made by the decoder.
#[inline(always)]
pub(crate) unsafe fn lane64(cx: &Cx, operand: u32, lane: usize) -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        let (p, step) = cx.source(operand, 128);
        *p.add(lane / CHUNK * step).cast::<u64>().add(lane % CHUNK)
    }
}

/// The 32 lanes of a warp of a 32-bit operand.
///
/// # Safety
/// `operand` is one, made by the decoder.
#[inline(always)]
pub(crate) unsafe fn warp32(cx: &Cx, operand: u32, w: usize) -> [u32; 32] {
    // SAFETY: the caller's promise.
    unsafe {
        let (p, step) = cx.source(operand, 64);
        let (low, high) = (p.add(w * 2 * step), p.add((w * 2 + 1) * step));
        let (low, high) = (*low.cast::<[u32; CHUNK]>(), *high.cast::<[u32; CHUNK]>());
        let mut all = [0; 32];
        all[..CHUNK].copy_from_slice(&low);
        all[CHUNK..].copy_from_slice(&high);
        all
    }
}

/// Writes the 32 lanes of a warp under the mask.
///
/// # Safety
/// `operand` is a 32-bit destination made by the decoder; the processor has unit `I`.
#[inline(always)]
pub(crate) unsafe fn set_warp32<I: Isa>(cx: &Cx, operand: u32, w: usize, v: &[u32; 32]) {
    let mut halves = [[0; CHUNK]; 2];
    halves[0].copy_from_slice(&v[..CHUNK]);
    halves[1].copy_from_slice(&v[CHUNK..]);
    // SAFETY: the caller's promise.
    unsafe {
        let to = cx.destination(operand);
        for (h, half) in halves.iter().enumerate() {
            let c = w * 2 + h;
            I::store32(to.add(c * 64).cast(), half, cx.chunk_mask(c));
        }
    }
}

/// Which lane each lane reads, and which of those lanes are in its segment.
#[inline(always)]
fn shuffle_pattern(mode: Shfl, by: &[u32; 32], clamp: &[u32; 32]) -> ([u32; 32], u32) {
    let mut from = [0u32; 32];
    let mut ok = [0u32; 32];
    for lane in 0..32u32 {
        let i = lane as usize;
        let (b, bound, segment) = (by[i] & 31, clamp[i] & 31, clamp[i] >> 8 & 31);
        let min = lane & segment;
        let max = min | bound & !segment;
        let (j, fine) = match mode {
            Shfl::Up => (
                lane.wrapping_sub(b),
                lane.wrapping_sub(b).cast_signed() >= max.cast_signed(),
            ),
            Shfl::Down => (lane + b, lane + b <= max),
            Shfl::Bfly => (lane ^ b, lane ^ b <= max),
            Shfl::Idx => (min | b & !segment, min | b & !segment <= max),
        };
        from[i] = if fine { j & 31 } else { lane };
        ok[i] = u32::from(fine) << lane;
    }
    (from, ok.iter().fold(0, |all, bit| all | bit))
}

/// `shfl`: `d` value, `e` predicate or none, `a` value, `b` lane, `c` clamp, `g` members; mode in the flags.
pub(crate) struct Shuffle;
/// An operand that is not there.
pub(crate) const NO_OPERAND: u32 = u32::MAX;

impl Body for Shuffle {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe {
            let o = *op;
            if missing(cx, o.g) {
                return cx.stop(op, Event::Sync);
            }
            let mode = match o.flags >> NUMBER {
                0 => Shfl::Up,
                1 => Shfl::Down,
                2 => Shfl::Bfly,
                _ => Shfl::Idx,
            };
            let mut inside = [0u32; WARPS];
            // Lanes and clamp mostly are constants: then all warps have one pattern.
            let same = o.b & o.c & FLAT != 0;
            let mut pattern = ([0u32; 32], 0);
            for w in 0..cx.chunks / 2 {
                if cx.mask[w] == 0 {
                    continue;
                }
                if !same || w == 0 || pattern.1 == 0 {
                    pattern = shuffle_pattern(mode, &warp32(cx, o.b, w), &warp32(cx, o.c, w));
                }
                let result = I::permute(&warp32(cx, o.a, w), &pattern.0);
                set_warp32::<I>(cx, o.d, w, &result);
                inside[w] = pattern.1;
            }
            if o.e != NO_OPERAND {
                cx.set_predicate(o.e, &inside);
            }
            op.add(1)
        }
    }
}

/// `vote`: `d` result, `a` predicate (maybe negated), `b` members; mode in the flags.
pub(crate) struct VoteOp;
impl Body for VoteOp {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe {
            let o = *op;
            if missing(cx, o.b) {
                return cx.stop(op, Event::Sync);
            }
            let mode = match o.flags >> NUMBER {
                0 => Vote::All,
                1 => Vote::Any,
                2 => Vote::Uni,
                _ => Vote::Ballot,
            };
            let p = cx.predicate(o.a);
            let mut result = [0; WARPS];
            for w in 0..cx.chunks / 2 {
                let mut ballots = [0; 32];
                each_set(cx, o.b, w, |lanes, members| {
                    let yes = p[w] & members;
                    let holds = match mode {
                        Vote::Ballot => return fill(&mut ballots, lanes, yes),
                        Vote::All => yes == members,
                        Vote::Any => yes != 0,
                        Vote::Uni => yes == 0 || yes == members,
                    };
                    result[w] |= if holds { lanes } else { 0 };
                });
                if mode == Vote::Ballot {
                    set_warp32::<I>(cx, o.d, w, &ballots);
                }
            }
            if mode != Vote::Ballot {
                cx.set_predicate(o.d, &result);
            }
            op.add(1)
        }
    }
}

/// `match`: `d` mask, `e` predicate or none, `a` 64-bit value, `b` members; 1 in the flags for `.all`.
pub(crate) struct MatchOp;
impl Body for MatchOp {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe {
            let o = *op;
            if missing(cx, o.b) {
                return cx.stop(op, Event::Sync);
            }
            let all = o.flags >> NUMBER != 0;
            let mut same = [0; WARPS];
            for w in 0..cx.chunks / 2 {
                let mut result = [0u32; 32];
                for (i, r) in result.iter_mut().enumerate() {
                    if cx.mask[w] >> i & 1 == 0 {
                        continue;
                    }
                    let mask = lane32(cx, o.b, w * 32 + i) & cx.mask[w];
                    let mine = lane64(cx, o.a, w * 32 + i);
                    for j in 0..32 {
                        if mask >> j & 1 != 0 && lane64(cx, o.a, w * 32 + j) == mine {
                            *r |= 1 << j;
                        }
                    }
                    if all {
                        let agree = *r == mask;
                        same[w] |= u32::from(agree) << i;
                        *r = if agree { mask } else { 0 };
                    }
                }
                set_warp32::<I>(cx, o.d, w, &result);
            }
            if o.e != NO_OPERAND {
                cx.set_predicate(o.e, &same);
            }
            op.add(1)
        }
    }
}

/// `redux`: `d` result, `a` value, `b` members; operation in the flags.
pub(crate) struct ReduxOp;

/// Number of an operation of `redux`.
pub(crate) const fn redux_number(op: Redux) -> u32 {
    match op {
        Redux::Add => 0,
        Redux::MinU => 1,
        Redux::MaxU => 2,
        Redux::MinS => 3,
        Redux::MaxS => 4,
        Redux::And => 5,
        Redux::Or => 6,
        Redux::Xor => 7,
    }
}

fn reduce(number: u32, lanes: impl Iterator<Item = u32>) -> u32 {
    let signed = |v: &u32| v.cast_signed();
    match number {
        0 => lanes.fold(0, u32::wrapping_add),
        1 => lanes.min().unwrap_or(0),
        2 => lanes.max().unwrap_or(0),
        3 => lanes.min_by_key(signed).unwrap_or(0),
        4 => lanes.max_by_key(signed).unwrap_or(0),
        5 => lanes.fold(u32::MAX, |a, b| a & b),
        6 => lanes.fold(0, |a, b| a | b),
        _ => lanes.fold(0, |a, b| a ^ b),
    }
}

impl Body for ReduxOp {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe {
            let o = *op;
            if missing(cx, o.b) {
                return cx.stop(op, Event::Sync);
            }
            for w in 0..cx.chunks / 2 {
                let value = warp32(cx, o.a, w);
                let mut result = [0; 32];
                each_set(cx, o.b, w, |lanes, members| {
                    let taken = (0..32).filter(|i| members >> i & 1 != 0).map(|i| value[i]);
                    fill(&mut result, lanes, reduce(o.flags >> NUMBER, taken));
                });
                set_warp32::<I>(cx, o.d, w, &result);
            }
            op.add(1)
        }
    }
}

/// `elect.sync`: `d` lane, `e` predicate, `b` members. The lowest lane is elected.
pub(crate) struct ElectOp;
impl Body for ElectOp {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe {
            let o = *op;
            if missing(cx, o.b) {
                return cx.stop(op, Event::Sync);
            }
            let mut leader = [0; WARPS];
            for w in 0..cx.chunks / 2 {
                let mut elected = [0; 32];
                each_set(cx, o.b, w, |lanes, members| {
                    leader[w] |= lanes & members & members.wrapping_neg();
                    fill(&mut elected, lanes, members.trailing_zeros() & 31);
                });
                if o.d != NO_OPERAND {
                    set_warp32::<I>(cx, o.d, w, &elected);
                }
            }
            cx.set_predicate(o.e, &leader);
            op.add(1)
        }
    }
}

/// `activemask`: `d`.
pub(crate) struct ActiveMaskOp;
impl Body for ActiveMaskOp {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe {
            let o = *op;
            for w in 0..cx.chunks / 2 {
                set_warp32::<I>(cx, o.d, w, &[cx.mask[w]; 32]);
            }
            op.add(1)
        }
    }
}

/// `bar.warp.sync`: `b` members.
pub(crate) struct WarpBar;
impl Body for WarpBar {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe {
            if missing(cx, (*op).b) {
                cx.stop(op, Event::Sync)
            } else {
                op.add(1)
            }
        }
    }
}
