//! Control flow: jumps, divergence and reconvergence, safe points.
//!
//! ```text
//!              take lowest pc                branch, lanes differ
//!   pending ──────────────────▶ current ──────────────────────────▶ one part current, the other pending
//!      ▲                          │  │ jump past the lowest pending pc: swap;  to it: merge
//!      └──────────────────────────┘  └─▶ exit: lanes leave `live`, next split
//! ```
//!
//! Every terminator counts the operations of its block against the quantum, so every transfer of control is a safe point.

use super::isa::{Body, CHUNK, Isa};
use super::{Cx, Event, Mask, NEGATED, Op, WARPS};
use crate::error::FaultKind;
use crate::frame::{Split, Wait};

const EMPTY: Mask = [0; WARPS];

/// Goes on at operation `target`, or with a split that comes first.
#[inline(always)]
fn go(cx: &mut Cx, target: u32, cost: u32) -> *const Op {
    cx.fuel -= i64::from(cost);
    if target < cx.next && cx.fuel >= 0 {
        // SAFETY: the decoder only makes targets inside the array.
        unsafe { cx.ops.add(target as usize) }
    } else {
        elect(cx, target)
    }
}

/// The slow half of [`go`]: pending splits, and the end of the quantum.
#[cold]
#[inline(never)]
fn elect(cx: &mut Cx, target: u32) -> *const Op {
    // SAFETY: the group outlives the run and nothing else refers to it meanwhile.
    let group = unsafe { &mut *cx.group };
    let mut pc = target;
    let waiting = group
        .splits
        .iter()
        .position(|s| s.pc == target && s.wait == Wait::None);
    if !cx.rotating && cx.next < target {
        // Lower lanes first, also where some wait at the target already: what runs here may overwrite registers that lanes at
        // lower blocks still want.
        match waiting.and_then(|at| group.splits.get_mut(at)) {
            Some(other) => {
                for w in 0..WARPS {
                    other.mask[w] |= cx.mask[w];
                }
                group.progress += 1;
            }
            None => group.splits.push(Split {
                pc: target,
                mask: cx.mask,
                wait: Wait::None,
                stamp: 0,
            }),
        }
        // The lowest one; there is one, since `next` is its counter.
        if let Some(lowest) = group.take_lowest() {
            cx.mask = lowest.mask;
            pc = lowest.pc;
        }
    } else if let Some(at) = waiting {
        let other = group.splits.swap_remove(at);
        for w in 0..WARPS {
            cx.mask[w] |= other.mask[w];
        }
        group.progress += 1;
    }
    refresh(cx);
    // SAFETY: as in `go`.
    let op = unsafe { cx.ops.add(pc as usize) };
    if cx.fuel < 0 {
        cx.stop(op, Event::Quantum)
    } else {
        op
    }
}

/// Recomputes what the context derives from mask and splits.
pub(crate) fn refresh(cx: &mut Cx) {
    // SAFETY: as in `elect`.
    let group = unsafe { &mut *cx.group };
    cx.next = if cx.rotating && !group.splits.is_empty() {
        0
    } else {
        group.lowest()
    };
    cx.full = cx.mask == cx.all && is_whole(&cx.all, cx.chunks);
}

/// Whether all lanes of `chunks` chunks are there.
fn is_whole(mask: &Mask, chunks: usize) -> bool {
    (0..WARPS).all(|w| w * 2 >= chunks || mask[w] == u32::MAX)
}

/// `bra`: `imm` target, `site` cost.
pub(crate) struct Jump;
impl Body for Jump {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        let o = unsafe { *op };
        go(cx, o.imm.cast_unsigned(), o.site)
    }
}

/// `@p bra`: `a` predicate, `imm` target, `e` the other target, `site` cost.
pub(crate) struct Branch;
impl Body for Branch {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        let (o, p) = unsafe { (*op, cx.predicate((*op).a)) };
        let flip = if o.flags & NEGATED != 0 { u32::MAX } else { 0 };
        let (mut yes, mut no) = (EMPTY, EMPTY);
        let (mut some, mut others) = (0, 0);
        for w in 0..WARPS {
            yes[w] = cx.mask[w] & (p[w] ^ flip);
            no[w] = cx.mask[w] & !(p[w] ^ flip);
            some |= yes[w];
            others |= no[w];
        }
        if others == 0 {
            return go(cx, o.imm.cast_unsigned(), o.site);
        }
        if some == 0 {
            return go(cx, o.e, o.site);
        }
        let (low, high) = if o.imm.cast_unsigned() < o.e {
            ((o.imm.cast_unsigned(), yes), (o.e, no))
        } else {
            ((o.e, no), (o.imm.cast_unsigned(), yes))
        };
        part(cx, high.0, high.1);
        cx.mask = low.1;
        refresh(cx);
        go(cx, low.0, o.site)
    }
}

/// Leaves lanes behind at `pc`.
#[inline(never)]
fn part(cx: &mut Cx, pc: u32, mask: Mask) {
    // SAFETY: as in `elect`.
    let group = unsafe { &mut *cx.group };
    match group
        .splits
        .iter_mut()
        .find(|s| s.pc == pc && s.wait == Wait::None)
    {
        Some(split) => {
            for w in 0..WARPS {
                split.mask[w] |= mask[w];
            }
        }
        None => group.splits.push(Split {
            pc,
            mask,
            wait: Wait::None,
            stamp: group.clock,
        }),
    }
    group.progress += 1;
}

/// `brx.idx`: `a` index, `imm` place in the code's table of targets, `e` how many, `site` cost.
pub(crate) struct Switch;
impl Body for Switch {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe {
            let o = *op;
            let (p, step) = cx.source(o.a, 64);
            // One target per turn: the first lane's, with all lanes that agree.
            let mut rest = cx.mask;
            let mut found: Vec<(u32, Mask)> = Vec::new();
            while rest != EMPTY {
                let mut chosen = None;
                let mut mask = EMPTY;
                for lane in 0..cx.chunks * 16 {
                    let (w, bit) = (lane / 32, 1u32 << (lane % 32));
                    if rest[w] & bit == 0 {
                        continue;
                    }
                    let index = *p.add(lane / 16 * step).cast::<u32>().add(lane % 16);
                    if index >= o.e {
                        return cx.fail(
                            op,
                            FaultKind::InvalidPc,
                            u32::try_from(lane).unwrap_or(0),
                            u64::from(index),
                        );
                    }
                    let target = *cx.targets.add(o.imm.cast_unsigned() as usize + index as usize);
                    if *chosen.get_or_insert(target) == target {
                        mask[w] |= bit;
                        rest[w] &= !bit;
                    }
                }
                found.push((chosen.unwrap_or(0), mask));
            }
            found.sort_unstable_by_key(|f| f.0);
            for &(pc, mask) in found.iter().skip(1) {
                part(cx, pc, mask);
            }
            let (pc, mask) = found[0];
            cx.mask = mask;
            refresh(cx);
            go(cx, pc, o.site)
        }
    }
}

/// The start of a block that control falls into and that splits may wait at.
pub(crate) struct Label;
impl Body for Label {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`; a label is never the last operation.
        let after = unsafe { op.add(1) };
        // SAFETY: as above.
        cx.fuel -= i64::from(unsafe { (*op).site });
        // Jumps go past the label: that is where splits wait.
        let at = cx.index(after);
        if at < cx.next { after } else { elect(cx, at) }
    }
}

/// A safe point in straight code. `site` cost.
pub(crate) struct Poll;
impl Body for Poll {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`; a poll is never the last operation.
        unsafe {
            cx.fuel -= i64::from((*op).site);
            let after = op.add(1);
            if cx.fuel < 0 {
                cx.stop(after, Event::Quantum)
            } else {
                after
            }
        }
    }
}

/// `exit`, or `ret` of the kernel.
pub(crate) struct Exit;
impl Body for Exit {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: as in `elect`.
        let group = unsafe { &mut *cx.group };
        for w in 0..WARPS {
            group.live[w] &= !cx.mask[w];
        }
        group.progress += 1;
        cx.mask = EMPTY;
        let event = if group.live == EMPTY {
            Event::Done
        } else {
            Event::Next
        };
        cx.stop(op, event)
    }
}

/// Number of a fault that [`Trap`] raises.
pub(crate) const fn raised_number(kind: FaultKind) -> u32 {
    match kind {
        FaultKind::InvalidPc => 1,
        FaultKind::StackOverflow => 2,
        _ => 0,
    }
}

/// `trap`, and faults that the decoder puts where they belong.
pub(crate) struct Trap;
impl Body for Trap {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        let lane = cx.first_lane();
        // SAFETY: the contract of `Body`.
        let kind = match unsafe { (*op).flags } >> super::NUMBER {
            1 => FaultKind::InvalidPc,
            2 => FaultKind::StackOverflow,
            _ => FaultKind::Trap,
        };
        cx.fail(op, kind, lane, 0)
    }
}

/// A guard: the next operation runs in the lanes whose predicate `a` holds.
pub(crate) struct Guard;
impl Body for Guard {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`; a guard is followed by the operation that it guards and another one.
        unsafe {
            let o = *op;
            let p = cx.predicate(o.a);
            let flip = if o.flags & NEGATED != 0 { u32::MAX } else { 0 };
            let (mask, full) = (cx.mask, cx.full);
            let mut any = 0;
            let mut same = true;
            for w in 0..WARPS {
                let m = mask[w] & (p[w] ^ flip);
                same &= m == mask[w];
                any |= m;
                cx.mask[w] = m;
            }
            if any == 0 {
                cx.mask = mask;
                return op.add(2);
            }
            cx.full = full && same;
            let guarded = op.add(1);
            let next = ((*guarded).f)(cx, guarded);
            cx.mask = mask;
            cx.full = full;
            next
        }
    }
}

/// Checks that 32-bit affine value `a` with stride `e` does not wrap inside a chunk, signed if [`NEGATED`].
pub(crate) struct Widen;
impl Body for Widen {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe {
            let o = *op;
            let (p, _) = cx.source(o.a, 64);
            let base = *p.cast::<[u32; CHUNK]>();
            let reach = o.e.cast_signed().wrapping_mul(15);
            // Adding the half of the range makes signed order unsigned order.
            let bias = if o.flags & NEGATED != 0 { 1 << 31 } else { 0 };
            let mut wraps = [0; CHUNK];
            for (w, b) in wraps.iter_mut().zip(base) {
                let first = b.wrapping_add(bias);
                let last = first.wrapping_add_signed(reach);
                *w = if reach < 0 {
                    u32::from(last > first)
                } else {
                    u32::from(last < first)
                };
            }
            // Strides so large that the distance itself does not fit are never right.
            let fits = i64::from(o.e.cast_signed()) * 15 == i64::from(reach);
            let bad = !fits || I::nonzero32(&wraps) & cx.active_chunks::<I>() != 0;
            if bad { cx.stop(op, Event::Deopt) } else { op.add(1) }
        }
    }
}

/// `nanosleep`: the group gives way.
pub(crate) struct Sleep;
impl Body for Sleep {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        cx.spin = true;
        // SAFETY: the contract of `Body`; a sleep is never the last operation.
        cx.stop(unsafe { op.add(1) }, Event::Idle)
    }
}

/// Any barrier: the block decides.
pub(crate) struct Bar;
impl Body for Bar {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: as in `elect`; a barrier is never the last operation.
        unsafe {
            let group = &*cx.group;
            let simple = (*op).flags >> super::NUMBER == 0 && (*cx.cta).one_group();
            if simple && cx.mask == group.live {
                return op.add(1);
            }
            cx.stop(op, Event::Barrier)
        }
    }
}
