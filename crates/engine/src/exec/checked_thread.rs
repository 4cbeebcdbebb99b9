//! The checks of instructions that are carried out thread by thread: asynchronous copies, barriers that are objects in shared
//! memory, bulk operations, accesses of 128 bits.

use super::bulk::Bulk;
use super::checked::lanes;
use super::mbarrier::Mbarrier;
use super::thread::{Thread, ThreadOp, is_shared};
use super::warp::{lane32, lane64};
use super::wide::Wide;
use super::{Cx, Mask, Op};
use crate::check::AccessKind;
use crate::check::info::Shape;
use crate::check::state::{BlockState, Step};
use crate::lir::{AtomKind, Space};
use crate::{SHARED_WINDOW, WINDOW_BYTES};

/// A range that a thread uses.
struct Range {
    /// Which source has the address.
    source: u32,
    address: u64,
    bytes: u64,
    kind: AccessKind,
    strong: bool,
    align: u32,
}

/// Looks at a range that one lane uses.
fn range(check: &mut BlockState, step: &Step<'_>, o: &Op, lane: usize, r: &Range) {
    let Ok(bytes) = u32::try_from(r.bytes) else { return };
    if bytes == 0 {
        return;
    }
    let shared = is_shared(o, r.source);
    let shape = Shape {
        kind: r.kind,
        space: if shared { Space::Shared } else { Space::Generic },
        bytes,
        unit: bytes,
        align: r.align,
        strong: r.strong,
        verifies: false,
    };
    let at = if shared {
        r.address & (WINDOW_BYTES - 1)
    } else {
        r.address
    };
    let object = step.looked().object.filter(|_| r.source == 0);
    check.lane_access(step, &shape, (lane, at, object));
}

/// The generic address of an object in shared memory.
const fn variable(o: &Op, source: u32, address: u64) -> u64 {
    if is_shared(o, source) {
        (address & (WINDOW_BYTES - 1)) + SHARED_WINDOW
    } else {
        address
    }
}

/// # Safety
/// `inner` is the operation of `thread`, made by the decoder.
pub(super) unsafe fn before(
    cx: &mut Cx,
    inner: *const Op,
    check: &mut BlockState,
    step: &Step<'_>,
    thread: Thread,
) {
    // SAFETY: the caller's promise.
    let o = unsafe { *inner };
    for lane in lanes(&cx.mask) {
        // SAFETY: sources of the operation: 64 bits where it says so.
        unsafe {
            match thread.what {
                ThreadOp::CopyAsync(bytes) => copy(cx, &o, check, step, lane, u64::from(bytes)),
                ThreadOp::Mbarrier(what) => object(cx, &o, check, step, lane, what),
                ThreadOp::Bulk(what) => bulk(cx, &o, check, step, lane, what),
                ThreadOp::Wide(what) => {
                    let kind = match what {
                        Wide::Load => AccessKind::Read,
                        Wide::Store => AccessKind::Write,
                        Wide::Exch | Wide::Cas => AccessKind::Atomic,
                    };
                    let r = Range {
                        source: 0,
                        address: lane64(cx, o.a, lane),
                        bytes: 16,
                        kind,
                        strong: true,
                        align: 16,
                    };
                    range(check, step, &o, lane, &r);
                }
            }
        }
    }
}

/// # Safety
/// As [`before`].
unsafe fn copy(cx: &Cx, o: &Op, check: &mut BlockState, step: &Step<'_>, lane: usize, bytes: u64) {
    // SAFETY: the caller's promise.
    let (to, from, count) = unsafe {
        (
            lane64(cx, o.a, lane),
            lane64(cx, o.b, lane),
            lane32(cx, o.c, lane),
        )
    };
    let align = u32::try_from(bytes).unwrap_or(1);
    let part = |source, address, bytes, kind| Range {
        source,
        address,
        bytes,
        kind,
        strong: false,
        align,
    };
    range(
        check,
        step,
        o,
        lane,
        &part(1, from, bytes.min(u64::from(count)), AccessKind::Read),
    );
    range(check, step, o, lane, &part(0, to, bytes, AccessKind::Write));
}

/// # Safety
/// As [`before`].
unsafe fn object(cx: &Cx, o: &Op, check: &mut BlockState, step: &Step<'_>, lane: usize, what: Mbarrier) {
    // SAFETY: the caller's promise.
    let address = unsafe { lane64(cx, o.a, lane) };
    let r = Range {
        source: 0,
        address,
        bytes: 8,
        kind: match what {
            Mbarrier::Init => AccessKind::Write,
            Mbarrier::Wait { .. } => AccessKind::Read,
            _ => AccessKind::Atomic,
        },
        strong: true,
        align: 8,
    };
    range(check, step, o, lane, &r);
    if !matches!(what, Mbarrier::Wait { .. }) {
        check.publishes(step, lane, variable(o, 0, address));
    }
}

/// # Safety
/// As [`before`].
unsafe fn bulk(cx: &Cx, o: &Op, check: &mut BlockState, step: &Step<'_>, lane: usize, what: Bulk) {
    // SAFETY: the caller's promise.
    let source = |n: u32| unsafe { lane64(cx, [o.a, o.b, o.c, o.e][n as usize % 4], lane) };
    let part = |n: u32, bytes: u64, kind: AccessKind, align: u32| Range {
        source: n,
        address: source(n),
        bytes,
        kind,
        strong: kind == AccessKind::Atomic,
        align,
    };
    // SAFETY: the caller's promise.
    let (size, zeros) = unsafe {
        match what {
            Bulk::Copy { .. } | Bulk::Reduce { .. } => (u64::from(lane32(cx, o.c, lane)), 0),
            Bulk::Zero => (0, source(1)),
            Bulk::Store { .. } | Bulk::Red { .. } => (0, 0),
        }
    };
    let ranges = match what {
        Bulk::Copy { .. } => vec![
            part(1, size, AccessKind::Read, 16),
            part(0, size, AccessKind::Write, 16),
        ],
        Bulk::Reduce { .. } => vec![
            part(1, size, AccessKind::Read, 16),
            part(0, size, AccessKind::Atomic, 16),
        ],
        Bulk::Zero => vec![part(0, zeros, AccessKind::Write, 1)],
        Bulk::Store { bytes, n } => vec![part(
            0,
            u64::from(bytes) * u64::from(n),
            AccessKind::Write,
            u32::from(bytes),
        )],
        Bulk::Red { bytes, kind } => {
            debug_assert!(kind != AtomKind::Cas, "no such form");
            vec![part(0, u64::from(bytes), AccessKind::Atomic, u32::from(bytes))]
        }
    };
    for r in &ranges {
        range(check, step, o, lane, r);
    }
    let reports_to = match what {
        Bulk::Copy { reports: true, .. } | Bulk::Reduce { reports: true, .. } => Some(3),
        Bulk::Store { .. } | Bulk::Red { .. } => Some(1),
        _ => None,
    };
    if let Some(n) = reports_to {
        check.publishes(step, lane, variable(o, n, source(n)));
    }
}

/// # Safety
/// As [`before`]; the operation was executed in the lanes of `acted`.
pub(super) unsafe fn after(
    cx: &Cx,
    inner: *const Op,
    check: &mut BlockState,
    step: &Step<'_>,
    thread: Thread,
    acted: &Mask,
) {
    if !matches!(thread.what, ThreadOp::Mbarrier(Mbarrier::Wait { .. })) {
        return;
    }
    for lane in lanes(acted) {
        // SAFETY: the caller's promise.
        let address = unsafe { lane64(cx, (*inner).a, lane) };
        // SAFETY: as above.
        let at = variable(unsafe { &*inner }, 0, address);
        check.learns(step, lane, at);
    }
}
