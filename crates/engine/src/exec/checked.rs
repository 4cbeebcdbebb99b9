//! Operations of the checking mode: they stand before an operation, look at what it is going to do, run it, and look at what it did.
//!
//! A checked operation takes the place of the guard too. Where the operation has to wait for lanes, the checked one is run again.

use super::isa::{Body, CHUNK, Isa, Portable};
use super::memory::{addresses, elements, targets};
use super::warp::{lane32, lane64};
use super::{Cx, Event, Mask, NEGATED, Op, WARPS, checked_thread};
use crate::analysis::cfg::NONE;
use crate::check::AccessKind;
use crate::check::access::{Lanes, WIDEST};
use crate::check::info::{Looked, Shape, hands_on, register_bytes};
use crate::check::state::{BlockState, Step};
use crate::check::sync::party;
use crate::exec::alu::{Alu, Class};
use crate::exec::matrix::tiles::pieces;
use crate::lir::matrix::{Move, TileMove};
use crate::lir::{Hook, PredOp, Space, What};

/// Flag: the operation is guarded by predicate `a`.
pub(crate) const GUARDED: u32 = 1 << 8;

/// Before an operation: `a` the guard, `imm` the index into the table.
pub(crate) struct Checked;
impl Body for Checked {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe { checked(cx, op) }
    }
}

/// Before a terminator: `imm` the index into the table.
pub(crate) struct CheckedTerm;
impl Body for CheckedTerm {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`; a terminator follows.
        unsafe {
            with_state(cx, op, |cx, check, step| {
                let operand = step.looked().s.first().copied().unwrap_or(NONE);
                check.uses(step, operand, &cx.mask, "where to go on");
            });
            op.add(1)
        }
    }
}

/// Calls `f` with the block's state, when it is checked.
///
/// # Safety
/// `op` is one of the two operations of this file, in the context of a running group.
unsafe fn with_state(cx: &mut Cx, op: *const Op, f: impl FnOnce(&mut Cx, &mut BlockState, &Step<'_>)) {
    // SAFETY: group and block outlive the run; the launch is kept by a count of its own.
    unsafe {
        let Some(mut check) = (*cx.cta).check.take() else {
            return;
        };
        let launch = std::sync::Arc::clone(&(*cx.cta).launch);
        if let Some(table) = launch.program().analysed.table.get() {
            let group = &*cx.group;
            let per_group = launch.variant().key.warps.max(1);
            let step = Step {
                launch: &launch,
                table,
                index: (*op).imm.cast_unsigned(),
                block: (*cx.cta).block,
                group: group.first_warp as usize / per_group,
                first_thread: group.first_thread(),
            };
            f(cx, &mut check, &step);
        }
        (*cx.cta).check = Some(check);
    }
}

/// # Safety
/// As [`Body::run`].
#[inline(never)]
unsafe fn checked(cx: &mut Cx, op: *const Op) -> *const Op {
    // SAFETY: the contract of `Body`; the operation that is looked at follows, and after it another one.
    unsafe {
        let o = *op;
        let (mask, full) = (cx.mask, cx.full);
        if o.flags & GUARDED != 0 {
            with_state(cx, op, |cx, check, step| {
                check.uses(
                    step,
                    step.looked().guard,
                    &cx.mask,
                    "whether the instruction is executed",
                );
            });
            let p = cx.predicate(o.a);
            let flip = if o.flags & NEGATED != 0 { u32::MAX } else { 0 };
            for w in 0..WARPS {
                cx.mask[w] &= p[w] ^ flip;
            }
            if cx.mask == [0; WARPS] {
                cx.mask = mask;
                return op.add(2);
            }
            cx.full = full && cx.mask == mask;
        }
        let inner = op.add(1);
        let mut named = None;
        with_state(cx, op, |cx, check, step| {
            before(cx, inner, check, step);
            named = members(cx, inner, step);
        });
        let acted = cx.mask;
        let next = ((*inner).f)(cx, inner);
        if next.is_null() && cx.event == Event::Sync {
            cx.pc = cx.index(op);
            return next;
        }
        // What gives way goes on behind the operation.
        let passed = !next.is_null() || cx.event == Event::Idle;
        with_state(cx, op, |cx, check, step| {
            after(cx, inner, check, step, &acted, named.as_deref(), passed);
        });
        if o.flags & GUARDED != 0 {
            (cx.mask, cx.full) = (mask, full);
        }
        next
    }
}

/// # Safety
/// `inner` is the operation that the step is about.
unsafe fn before(cx: &mut Cx, inner: *const Op, check: &mut BlockState, step: &Step<'_>) {
    let looked = step.looked();
    // SAFETY: the caller's promise.
    unsafe {
        if step.table.tracked != 0 {
            registers(cx, inner, check, step, looked);
        }
        if looked.shape.is_some() {
            access(cx, inner, check, step, looked);
        }
        match looked.what {
            Some(What::Hook(Hook::Free)) => freed(cx, inner, check, step),
            Some(What::Bar { arrive: true, .. }) => {
                let id = lane32(cx, (*inner).a, cx.first_lane() as usize);
                check
                    .clocks
                    .arrive(id as usize, &party(step.first_thread, &cx.mask));
            }
            Some(What::Fence | What::LightFence) => check.fence(&*cx.cta),
            Some(What::Thread(thread)) => checked_thread::before(cx, inner, check, step, thread),
            Some(What::LoadMatrix(m)) => rows(cx, inner, check, step, (AccessKind::Read, m)),
            Some(What::StoreMatrix(m)) => rows(cx, inner, check, step, (AccessKind::Write, m)),
            Some(What::LoadTile(m)) => tile(cx, inner, check, step, (AccessKind::Read, m)),
            Some(What::StoreTile(m)) => tile(cx, inner, check, step, (AccessKind::Write, m)),
            _ => {}
        }
    }
}

/// What an instruction does with values that nobody wrote.
///
/// # Safety
/// As [`before`].
unsafe fn registers(cx: &mut Cx, inner: *const Op, check: &mut BlockState, step: &Step<'_>, looked: &Looked) {
    let Some(what) = looked.what else { return };
    let mask = cx.mask;
    if matches!(what, What::Shfl(_)) {
        // Which lane's value it is shows only when it is executed; the value itself is handed on as written.
        let rest = looked.s.iter().skip(1);
        rest.for_each(|&s| check.uses(step, s, &mask, "an operand"));
    } else if !hands_on(&what) {
        let name = |i: usize| match what {
            What::Store(_) | What::Load(_) | What::Atom(_) if i == 0 => "the address",
            What::Store(_) => "the value that is stored",
            What::Hook(_) => "an argument",
            _ => "an operand",
        };
        let stores = matches!(what, What::Store(_));
        for (i, &s) in looked.s.iter().enumerate() {
            // A vector may have an element that nobody cares for, and a variable of the frame may be copied as it is.
            if !(stores && i > 0 && looked.s.len() > 2) {
                check.uses(step, s, &mask, name(i));
            }
        }
    }
    let mut bad = [0; WARPS];
    if hands_on(&what) && !matches!(what, What::Shfl(_)) {
        for &s in &looked.s {
            let from = check.unwritten(step, s);
            for w in 0..WARPS {
                bad[w] |= from[w];
            }
        }
        // SAFETY: the caller's promise.
        unsafe { refine(cx, inner, check, step, (&what, looked), &mut bad) };
    }
    for &d in &looked.d {
        check.set_unwritten(step, d, &mask, &bad);
    }
}

/// Operations that do not look at all of their operands.
///
/// # Safety
/// As [`before`].
unsafe fn refine(
    cx: &Cx,
    inner: *const Op,
    check: &BlockState,
    step: &Step<'_>,
    (what, looked): (&What, &Looked),
    bad: &mut Mask,
) {
    let of = |i: usize| check.unwritten(step, looked.s.get(i).copied().unwrap_or(NONE));
    // SAFETY: operands of these operations, made by the decoder.
    unsafe {
        match what {
            What::Alu(Alu::Sel32 | Alu::Sel64, _) => {
                let (p, yes, no, which) = (cx.predicate((*inner).c), of(0), of(1), of(2));
                for w in 0..WARPS {
                    bad[w] = p[w] & yes[w] | !p[w] & no[w] | which[w];
                }
            }
            What::Pred(op @ (PredOp::And | PredOp::Or)) => {
                let (p, q) = (cx.predicate((*inner).a), cx.predicate((*inner).b));
                let (a, b) = (of(0), of(1));
                // One operand alone decides when it is false, or true.
                let flip = if *op == PredOp::And { u32::MAX } else { 0 };
                for w in 0..WARPS {
                    let decided = !a[w] & (p[w] ^ flip) | !b[w] & (q[w] ^ flip);
                    bad[w] &= !decided;
                }
            }
            _ => {}
        }
    }
}

/// # Safety
/// As [`before`].
unsafe fn access(cx: &mut Cx, inner: *const Op, check: &mut BlockState, step: &Step<'_>, looked: &Looked) {
    let Some(shape) = looked.shape else { return };
    // SAFETY: the caller's promise.
    unsafe {
        let o = *inner;
        for c in 0..cx.chunks {
            let mask = cx.chunk_mask(c);
            if mask == 0 {
                continue;
            }
            let store = matches!(looked.what, Some(What::Store(_)));
            let values = (store && check.wants_values()).then(|| stored(cx, &o, c, shape.unit));
            let mut lanes = Lanes {
                chunk: c,
                mask,
                address: addresses::<Portable>(cx, &o, c),
                object: looked.object,
                values,
            };
            check.access(step, &shape, &mut lanes);
        }
    }
}

/// The rows of matrices, whose addresses come from the first lanes of a warp.
///
/// # Safety
/// As [`before`].
unsafe fn rows(
    cx: &mut Cx,
    inner: *const Op,
    check: &mut BlockState,
    step: &Step<'_>,
    (kind, m): (AccessKind, Move),
) {
    let shape = Shape {
        kind,
        space: if m.generic { Space::Generic } else { Space::Shared },
        bytes: 16,
        unit: 4,
        align: 16,
        strong: false,
        verifies: false,
    };
    for c in 0..cx.chunks {
        // Eight lanes for each matrix: those of the second half of a warp for the third and fourth.
        let named = match (c % 2, m.n) {
            (0, 1) => 0x00ff,
            (0, _) | (_, 4) => u16::MAX,
            _ => 0,
        };
        let mask = cx.chunk_mask(c) & named;
        if mask != 0 {
            let mut lanes = Lanes {
                chunk: c,
                mask,
                // SAFETY: the caller's promise.
                address: unsafe { addresses::<Portable>(cx, &*inner, c) },
                object: step.looked().object,
                values: None,
            };
            check.access(step, &shape, &mut lanes);
        }
    }
}

/// The pieces of a matrix whose rows lie a stride apart.
///
/// # Safety
/// As [`before`].
unsafe fn tile(
    cx: &mut Cx,
    inner: *const Op,
    check: &mut BlockState,
    step: &Step<'_>,
    (kind, m): (AccessKind, TileMove),
) {
    // SAFETY: the caller's promise.
    let (bytes, pieces) = unsafe { pieces(cx, &*inner) };
    let unit = u32::from(m.bits).div_ceil(8);
    let shape = Shape {
        kind,
        space: m.space,
        bytes,
        unit,
        align: unit,
        strong: false,
        verifies: false,
    };
    for (chunk, mask, address) in pieces {
        let mut lanes = Lanes {
            chunk,
            mask,
            address,
            object: step.looked().object,
            values: None,
        };
        check.access(step, &shape, &mut lanes);
    }
}

/// What the lanes of a chunk store.
///
/// # Safety
/// `o` is a store made by the decoder.
unsafe fn stored(cx: &Cx, o: &Op, c: usize, unit: u32) -> Box<[[u8; WIDEST]; CHUNK]> {
    let mut all = Box::new([[0; WIDEST]; CHUNK]);
    let unit = unit as usize;
    let class = if unit == 8 { Class::W64 } else { Class::W32 };
    let bytes = register_bytes(class);
    for (k, s) in targets(o).into_iter().enumerate().take(elements(o)) {
        // SAFETY: the caller's promise.
        unsafe {
            let (p, step) = cx.source(s, CHUNK * bytes);
            let p = p.add(c * step);
            for (i, lane) in all.iter_mut().enumerate() {
                let raw = std::slice::from_raw_parts(p.add(i * bytes), unit.min(bytes));
                if let Some(to) = lane.get_mut(k * unit..k * unit + raw.len()) {
                    to.copy_from_slice(raw);
                }
            }
        }
    }
    all
}

/// # Safety
/// As [`before`], of a call of `free`.
unsafe fn freed(cx: &mut Cx, inner: *const Op, check: &mut BlockState, step: &Step<'_>) {
    for lane in lanes(&cx.mask) {
        // SAFETY: the caller's promise.
        let base = unsafe { lane64(cx, (*inner).a, lane) };
        if base != 0
            && let Some((kind, note)) = check.checker.heap_freed(base)
            && check.checker.checks().memory
        {
            check.report_at(step, kind, lane, note);
        }
    }
}

pub(super) fn lanes(mask: &Mask) -> impl Iterator<Item = usize> + use<> {
    let mask = *mask;
    (0..WARPS * 32).filter(move |lane| mask[lane / 32] >> (lane % 32) & 1 != 0)
}

/// The member mask of each lane, of an operation that has one: taken before it runs, since its result may go where the mask was.
///
/// # Safety
/// As [`before`].
unsafe fn members(cx: &Cx, inner: *const Op, step: &Step<'_>) -> Option<Box<[u32; WARPS * 32]>> {
    // SAFETY: the caller's promise.
    unsafe {
        let operand = match step.looked().what {
            Some(What::Shfl(_)) => (*inner).g,
            Some(What::BarWarp | What::Vote(_) | What::Match { .. } | What::Redux(_) | What::Elect) => {
                (*inner).b
            }
            _ => return None,
        };
        let mut named = Box::new([0; WARPS * 32]);
        for lane in lanes(&cx.mask) {
            named[lane] = lane32(cx, operand, lane);
        }
        Some(named)
    }
}

/// # Safety
/// As [`before`]. The operation was executed in the lanes of `acted`, which named the lanes in `named`; `passed` when it did not stop.
unsafe fn after(
    cx: &mut Cx,
    inner: *const Op,
    check: &mut BlockState,
    step: &Step<'_>,
    acted: &Mask,
    named: Option<&[u32; WARPS * 32]>,
    passed: bool,
) {
    if !passed {
        return;
    }
    // SAFETY: the caller's promise; operands outlive results where the operation is not lane by lane.
    unsafe {
        let (all, live) = ((*cx.group).all, (*cx.group).live);
        let masks = (acted, &all, &live);
        if matches!(step.looked().what, Some(What::BarWarp)) {
            check.warp_barrier(step, acted);
        }
        if let Some(named) = named {
            check.members(step, masks, |lane| named[lane]);
        }
        match step.looked().what {
            Some(What::Bar { arrive: false, .. }) => check.passed(step, &*cx.cta, acted, &all),
            Some(What::Thread(thread)) => checked_thread::after(cx, inner, check, step, thread, acted),
            Some(What::Hook(Hook::Malloc)) => {
                for lane in lanes(acted) {
                    let (base, bytes) = (lane64(cx, (*inner).d, lane), lane64(cx, (*inner).a, lane));
                    if base != 0 {
                        check.heap_allocated(step, lane, base, bytes);
                    }
                }
            }
            _ => {}
        }
    }
}
