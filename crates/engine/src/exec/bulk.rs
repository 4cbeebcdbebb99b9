//! Bulk operations: copies, reductions and fills of ranges, and the stores and reductions that report to an `mbarrier`.
//!
//! They have no lanes: a thread that issues one has it done, whole, before its next instruction. First every byte of both
//! ranges is looked up, then memory is touched; so a range that leaves its allocation is a fault that changes nothing.

use smallvec::SmallVec;

use super::atomics::{apply, kind_number};
use super::isa::{Body, Isa};
use super::mbarrier::complete;
use super::memory::{Kind, refill};
use super::thread::{Bad, each, is_shared, shared_is_private, shared_object, shared_range};
use super::warp::{lane32, lane64};
use super::{Cx, Op, Site};
use crate::env::Access;
use crate::lir::AtomKind;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Bulk {
    /// s: destination, source, bytes; then the `mbarrier` that the bytes are reported to, or a mask of bytes.
    Copy { reports: bool, masked: bool },
    /// As a copy, of elements that are combined with those of the destination.
    Reduce {
        kind: AtomKind,
        bytes: u8,
        reports: bool,
    },
    /// Zeros. s: address, bytes.
    Zero,
    /// `st.async`. s: address, `mbarrier`, elements.
    Store { bytes: u8, n: u8 },
    /// `red.async`. s: address, `mbarrier`, value.
    Red { kind: AtomKind, bytes: u8 },
}

/// Sizes of bulk copies and the addresses of both their ends are multiples of this.
const UNIT: u64 = 16;

impl Bulk {
    /// A number for the immediate: what in the low four bits, a flag or two, bytes or elements, kind of atomic.
    pub(crate) fn number(self) -> i32 {
        let flag = |on: bool, bit: i32| i32::from(on) << bit;
        let kind_of = |kind: AtomKind| i32::try_from(kind_number(kind)).unwrap_or(0) << 16;
        match self {
            Self::Copy { reports, masked } => flag(reports, 4) | flag(masked, 5),
            Self::Reduce { kind, bytes, reports } => {
                1 | flag(reports, 4) | i32::from(bytes) << 8 | kind_of(kind)
            }
            Self::Zero => 2,
            Self::Store { bytes, n } => 3 | i32::from(bytes) << 8 | i32::from(n) << 16,
            Self::Red { kind, bytes } => 4 | i32::from(bytes) << 8 | kind_of(kind),
        }
    }
}

/// The parts of [`Bulk::number`].
#[derive(Clone, Copy)]
struct What(u32);

impl What {
    const fn kind(self) -> u32 {
        self.0 & 15
    }

    const fn reports(self) -> bool {
        self.0 & 16 != 0
    }

    const fn masked(self) -> bool {
        self.0 & 32 != 0
    }

    /// Bytes of an element.
    const fn bytes(self) -> u64 {
        (self.0 >> 8 & 255) as u64
    }

    /// Number of the atomic, or of elements.
    const fn upper(self) -> u32 {
        self.0 >> 16
    }
}

/// Any of them: sources in `a`, `b`, `c`, `e`, `g`, `d`; what in `imm`.
pub(crate) struct BulkOp;
impl Body for BulkOp {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe { bulk(cx, op) }
    }
}

/// # Safety
/// As [`Body::run`].
unsafe fn bulk(cx: &mut Cx, op: *const Op) -> *const Op {
    // SAFETY: the decoder's slots; an operation like this is never the last one.
    unsafe {
        let o = *op;
        let what = What(o.imm.cast_unsigned());
        let fine = each(cx, op, |cx, lane| match what.kind() {
            0 | 1 => transfer(cx, &o, what, lane),
            2 => zero(cx, &o, lane),
            3 => store(cx, &o, what, lane),
            _ => reduce_one(cx, &o, what, lane),
        });
        if fine { op.add(1) } else { std::ptr::null() }
    }
}

/// A piece of a range that lies in one span.
type Piece = (*mut u8, u64);

/// Host memory of a range, which may go over several allocations that lie side by side.
fn pieces(
    cx: &mut Cx,
    address: u64,
    offset: bool,
    bytes: u64,
    access: Access,
) -> Result<SmallVec<[Piece; 2]>, Bad> {
    let mut found = SmallVec::new();
    if offset {
        found.push((shared_range(cx, address, true, bytes)?, bytes));
        return Ok(found);
    }
    let mut at = 0;
    while at < bytes {
        let here = address.wrapping_add(at);
        let mut site = Site::EMPTY;
        if here < address || !refill(cx, Kind::Generic, &raw mut site, here, access) {
            return Err(Bad::illegal(here));
        }
        let room = (site.len - here.wrapping_sub(site.lo)).min(bytes - at);
        let Some(p) = site.at(here, room) else {
            return Err(Bad::illegal(here));
        };
        found.push((p, room));
        at += room;
    }
    Ok(found)
}

/// Calls `part` with destination, source and length of the stretches in which both ranges are in one piece.
fn stretches(to: &[Piece], from: &[Piece], mut part: impl FnMut(*mut u8, *const u8, usize)) {
    let (mut to, mut from) = (to.iter().copied(), from.iter().copied());
    let (mut d, mut s) = (to.next(), from.next());
    while let (Some((dp, dn)), Some((sp, sn))) = (d, s) {
        let n = dn.min(sn);
        let step = usize::try_from(n).unwrap_or(0);
        part(dp, sp, step);
        let rest = |p: *mut u8, left: u64| (left > n).then(|| (p.wrapping_add(step), left - n));
        d = rest(dp, dn).or_else(|| to.next());
        s = rest(sp, sn).or_else(|| from.next());
    }
}

/// A bulk copy or reduction of one thread.
///
/// # Safety
/// The decoder's slots.
unsafe fn transfer(cx: &mut Cx, o: &Op, what: What, lane: usize) -> Result<(), Bad> {
    // SAFETY: the caller's promise; memory is only touched in ranges that were looked up.
    unsafe {
        let (to, from) = (lane64(cx, o.a, lane), lane64(cx, o.b, lane));
        let bytes = u64::from(lane32(cx, o.c, lane));
        for address in [to, from] {
            if !address.is_multiple_of(UNIT) {
                return Err(Bad::misaligned(address));
            }
        }
        if !bytes.is_multiple_of(UNIT) {
            return Err(Bad::MEANINGLESS);
        }
        let barrier = if what.reports() {
            let address = lane64(cx, o.e, lane);
            Some(shared_object(cx, address, is_shared(o, 3), 8)?)
        } else {
            None
        };
        let mask = if what.masked() {
            lane32(cx, o.e, lane)
        } else {
            0xffff
        };
        let source = pieces(cx, from, is_shared(o, 1), bytes, Access::Read)?;
        let target = pieces(cx, to, is_shared(o, 0), bytes, Access::Write)?;
        if what.kind() == 1 {
            // Others can reach global memory, and only this thread the block's own.
            let plain = is_shared(o, 0) && shared_is_private(cx);
            combine(&target, &source, what, plain);
        } else if mask & 0xffff == 0xffff {
            stretches(&target, &source, |d, s, n| d.copy_from(s, n));
        } else {
            copy_masked(&target, &source, mask);
        }
        match barrier {
            Some(p) => complete(p, bytes),
            None => Ok(()),
        }
    }
}

/// Copies the bytes whose place in their sixteen has a bit in the mask.
///
/// # Safety
/// The pieces are mapped.
unsafe fn copy_masked(to: &[Piece], from: &[Piece], mask: u32) {
    let mut at = 0;
    stretches(to, from, |d, s, n| {
        for i in 0..n {
            if mask >> ((at + i) % 16) & 1 != 0 {
                // SAFETY: inside the stretch.
                unsafe { d.add(i).write(s.add(i).read()) };
            }
        }
        at += n;
    });
}

/// Combines element by element. Pieces are multiples of elements, since allocations begin at multiples of 16.
///
/// # Safety
/// The pieces are mapped; with `plain`, nobody else uses the destination.
unsafe fn combine(to: &[Piece], from: &[Piece], what: What, plain: bool) {
    let bytes = usize::try_from(what.bytes()).unwrap_or(8);
    stretches(to, from, |d, s, n| {
        for i in (0..n - n % bytes).step_by(bytes) {
            // SAFETY: inside the stretch, and aligned as both ranges are.
            unsafe {
                let value = element(s.add(i), bytes);
                apply(d.add(i), bytes, what.upper(), value, plain);
            }
        }
    });
}

/// # Safety
/// `p` is readable for `bytes`.
unsafe fn element(p: *const u8, bytes: usize) -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        match bytes {
            2 => u64::from(p.cast::<u16>().read_unaligned()),
            4 => u64::from(p.cast::<u32>().read_unaligned()),
            _ => p.cast::<u64>().read_unaligned(),
        }
    }
}

/// `st.bulk`.
///
/// # Safety
/// The decoder's slots.
unsafe fn zero(cx: &Cx, o: &Op, lane: usize) -> Result<(), Bad> {
    // SAFETY: the caller's promise.
    let (to, bytes) = unsafe { (lane64(cx, o.a, lane), lane64(cx, o.b, lane)) };
    if !to.is_multiple_of(8) {
        return Err(Bad::misaligned(to));
    }
    if !bytes.is_multiple_of(8) {
        return Err(Bad::MEANINGLESS);
    }
    if bytes != 0 {
        let p = shared_range(cx, to, is_shared(o, 0), bytes)?;
        // SAFETY: the range was checked.
        unsafe { p.write_bytes(0, usize::try_from(bytes).unwrap_or(0)) };
    }
    Ok(())
}

/// `st.async`: the elements, then their bytes to the barrier.
///
/// # Safety
/// The decoder's slots.
unsafe fn store(cx: &Cx, o: &Op, what: What, lane: usize) -> Result<(), Bad> {
    let total = what.bytes() * u64::from(what.upper());
    // SAFETY: the caller's promise; the objects are checked.
    unsafe {
        let p = shared_object(cx, lane64(cx, o.a, lane), is_shared(o, 0), total)?;
        let barrier = shared_object(cx, lane64(cx, o.b, lane), is_shared(o, 1), 8)?;
        let bytes = usize::try_from(what.bytes()).unwrap_or(8);
        let values = [o.c, o.e, o.g, o.d];
        for (i, value) in values.into_iter().enumerate().take(what.upper() as usize) {
            let to = p.add(i * bytes);
            if bytes == 8 {
                to.cast::<u64>().write_unaligned(lane64(cx, value, lane));
            } else {
                to.cast::<u32>().write_unaligned(lane32(cx, value, lane));
            }
        }
        complete(barrier, total)
    }
}

/// `red.async`
///
/// # Safety
/// The decoder's slots.
unsafe fn reduce_one(cx: &Cx, o: &Op, what: What, lane: usize) -> Result<(), Bad> {
    // SAFETY: the caller's promise; the objects are checked.
    unsafe {
        let p = shared_object(cx, lane64(cx, o.a, lane), is_shared(o, 0), what.bytes())?;
        let barrier = shared_object(cx, lane64(cx, o.b, lane), is_shared(o, 1), 8)?;
        let bytes = usize::try_from(what.bytes()).unwrap_or(8);
        let value = if bytes == 8 {
            lane64(cx, o.c, lane)
        } else {
            u64::from(lane32(cx, o.c, lane))
        };
        apply(p, bytes, what.upper(), value, shared_is_private(cx));
        complete(barrier, what.bytes())
    }
}
