//! Instructions that are carried out thread by thread: asynchronous copies, barriers that are objects in shared memory, bulk
//! operations.
//!
//! Vectors do nothing for them, so they are plain functions that exist once. Their addresses are 64-bit registers with the
//! offset of the instruction added: generic addresses, or offsets into shared memory, as one bit per operand says. Every
//! access is checked like any other: a range that is not mapped as a whole is a fault, and nothing of it is touched.

use super::bulk::Bulk;
use super::isa::{Body, CHUNK, Isa};
use super::mbarrier::Mbarrier;
use super::memory::{Kind, refill};
use super::wide::{WIDE_KIND, Wide};
use super::{Cx, NUMBER, Op, Site, WARPS};
use crate::env::Access;
use crate::error::FaultKind;
use crate::{SHARED_WINDOW, WINDOW_BYTES};

/// Such an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Thread {
    pub(crate) what: ThreadOp,
    /// One bit per source: it is an offset into shared memory.
    pub(crate) shared: u8,
}

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ThreadOp {
    /// `cp.async` of this many bytes. s: destination, source, bytes to read.
    CopyAsync(u8),
    Mbarrier(Mbarrier),
    Bulk(Bulk),
    Wide(Wide),
}

impl ThreadOp {
    /// What the handler finds in the immediate.
    pub(crate) fn number(self) -> i32 {
        match self {
            Self::CopyAsync(bytes) => i32::from(bytes),
            Self::Mbarrier(op) => op.number(),
            Self::Bulk(op) => op.number(),
            Self::Wide(_) => 0,
        }
    }

    /// What the handler finds in the flags, beside the bits of the operands.
    pub(crate) const fn flags(self) -> u32 {
        match self {
            Self::Wide(op) => op.number() << WIDE_KIND,
            _ => 0,
        }
    }

    /// Whether a split may stop there.
    pub(crate) fn stops(self) -> bool {
        matches!(self, Self::Mbarrier(Mbarrier::Wait { gives_way: true, .. }))
    }
}

/// Why a thread cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Bad {
    pub(crate) kind: FaultKind,
    pub(crate) address: u64,
}

impl Bad {
    pub(crate) const fn illegal(address: u64) -> Self {
        Self {
            kind: FaultKind::IllegalAddress,
            address,
        }
    }

    pub(crate) const fn misaligned(address: u64) -> Self {
        Self {
            kind: FaultKind::MisalignedAddress,
            address,
        }
    }

    /// An operand, or an object in memory, that has no meaning.
    pub(crate) const MEANINGLESS: Self = Self {
        kind: FaultKind::IllegalInstruction,
        address: 0,
    };
}

/// Whether source `n` of an operation is an offset into shared memory.
pub(crate) const fn is_shared(o: &Op, n: u32) -> bool {
    o.flags >> (NUMBER + n) & 1 != 0
}

/// Host memory of an object of `bytes` (a power of two) in shared memory; aligned.
pub(crate) fn shared_object(cx: &Cx, address: u64, offset: bool, bytes: u64) -> Result<*mut u8, Bad> {
    if !address.is_multiple_of(bytes) {
        return Err(Bad::misaligned(address));
    }
    shared_range(cx, address, offset, bytes)
}

/// Host memory of a range of the block's shared memory, or, at a generic address, of that of any block of its cluster.
pub(crate) fn shared_range(cx: &Cx, address: u64, offset: bool, bytes: u64) -> Result<*mut u8, Bad> {
    if offset {
        let at = address & (WINDOW_BYTES - 1);
        return cx.shared.at(at, bytes).ok_or(Bad::illegal(address));
    }
    let at = address.wrapping_sub(SHARED_WINDOW);
    if at >= WINDOW_BYTES {
        return Err(Bad::illegal(address));
    }
    // SAFETY: the block outlives the run.
    let site = unsafe { (*cx.cta).shared_at(at) };
    site.and_then(|site| site.at(at, bytes))
        .ok_or(Bad::illegal(address))
}

/// Whether only the thread that runs the block reaches its shared memory.
pub(crate) fn shared_is_private(cx: &Cx) -> bool {
    // SAFETY: the block outlives the run.
    unsafe { (*cx.cta).cluster.is_none() }
}

/// Host memory of `bytes` at a generic address, by way of the translation that `site` keeps.
///
/// # Safety
/// `site` is that of the operation.
pub(crate) unsafe fn host(
    cx: &mut Cx,
    site: *mut Site,
    address: u64,
    bytes: u64,
    access: Access,
) -> Result<*mut u8, Bad> {
    // SAFETY: the caller's promise.
    unsafe {
        if let Some(p) = (*site).at(address, bytes) {
            return Ok(p);
        }
        if refill(cx, Kind::Generic, site, address, access)
            && let Some(p) = (*site).at(address, bytes)
        {
            return Ok(p);
        }
    }
    Err(Bad::illegal(address))
}

/// Runs `thread` for every lane that executes, in their order, until one cannot go on: then that is the fault.
pub(crate) fn each(
    cx: &mut Cx,
    op: *const Op,
    mut thread: impl FnMut(&mut Cx, usize) -> Result<(), Bad>,
) -> bool {
    for lane in 0..cx.chunks * CHUNK {
        if cx.mask[lane / 32 % WARPS] >> (lane % 32) & 1 == 0 {
            continue;
        }
        if let Err(bad) = thread(cx, lane) {
            cx.fail(op, bad.kind, u32::try_from(lane).unwrap_or(0), bad.address);
            return false;
        }
    }
    true
}

/// `cp.async`: `a` destination in shared memory, `b` source, `c` bytes to read, the rest being zeros; size in `imm`.
///
/// The copy is made now. A program can only see that it is early if it reads the destination before it has waited, or
/// changes the source after the copy was issued, which it must not.
pub(crate) struct CopyAsync;
impl Body for CopyAsync {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe { copy_async(cx, op) }
    }
}

/// # Safety
/// As [`Body::run`].
unsafe fn copy_async(cx: &mut Cx, op: *const Op) -> *const Op {
    // SAFETY: the decoder's slots; memory is only touched in checked spans.
    unsafe {
        let o = *op;
        let size = u64::from(o.imm.cast_unsigned());
        let site = cx.sites.add(o.site as usize);
        for c in 0..cx.chunks {
            let m = cx.chunk_mask(c);
            if m == 0 {
                continue;
            }
            let chunk = |operand: u32, bytes: usize| {
                let (p, step) = cx.source(operand, bytes);
                p.add(c * step)
            };
            let to = *chunk(o.a, 128).cast::<[u64; CHUNK]>();
            let from = *chunk(o.b, 128).cast::<[u64; CHUNK]>();
            let count = *chunk(o.c, 64).cast::<[u32; CHUNK]>();
            for i in 0..CHUNK {
                if m >> i & 1 == 0 {
                    continue;
                }
                let read = u64::from(count[i]).min(size);
                if let Err(bad) = copy_one(cx, site, &o, (to[i], from[i]), (size, read)) {
                    let lane = u32::try_from(c * CHUNK + i).unwrap_or(0);
                    return cx.fail(op, bad.kind, lane, bad.address);
                }
            }
        }
        op.add(1)
    }
}

/// One thread's copy of `read` bytes, followed by zeros up to `size`.
///
/// # Safety
/// `site` is that of the operation.
#[inline(always)]
unsafe fn copy_one(
    cx: &mut Cx,
    site: *mut Site,
    o: &Op,
    (to, from): (u64, u64),
    (size, read): (u64, u64),
) -> Result<(), Bad> {
    let target = shared_object(cx, to, is_shared(o, 0), size)?;
    if read == 0 {
        // Nothing is read, so the source may be anywhere.
        // SAFETY: the span was checked.
        unsafe { target.write_bytes(0, usize::try_from(size).unwrap_or(0)) };
        return Ok(());
    }
    if !from.is_multiple_of(size) {
        return Err(Bad::misaligned(from));
    }
    // SAFETY: both spans are checked; they do not overlap, one being the block's own.
    unsafe {
        let source = host(cx, site, from, read, Access::Read)?;
        match (size, read) {
            (16, 16) => target
                .cast::<[u64; 2]>()
                .write_unaligned(source.cast::<[u64; 2]>().read_unaligned()),
            (8, 8) => target
                .cast::<u64>()
                .write_unaligned(source.cast::<u64>().read_unaligned()),
            (4, 4) => target
                .cast::<u32>()
                .write_unaligned(source.cast::<u32>().read_unaligned()),
            _ => {
                let (size, read) = (
                    usize::try_from(size).unwrap_or(0),
                    usize::try_from(read).unwrap_or(0),
                );
                target.copy_from(source, read);
                target.add(read).write_bytes(0, size - read);
            }
        }
    }
    Ok(())
}
