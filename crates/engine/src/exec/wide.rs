//! Accesses of 128 bits that are one access: ordered `ld.b128` and `st.b128`, `atom.cas.b128`, `atom.exch.b128`.
//!
//! A register of 128 bits is a pair of 64-bit ones, low half first. Processors without an instruction for it get the lock of
//! the library that provides the type, which every access here then goes through.

use std::sync::atomic::{Ordering, fence};

use portable_atomic::AtomicU128;

use super::isa::{Body, Isa};
use super::memory::local_site;
use super::thread::{Bad, each, host, is_shared, shared_object};
use super::warp::{NO_OPERAND, lane64};
use super::{Cx, NUMBER, Op};
use crate::env::Access;
use crate::{LOCAL_WINDOW, WINDOW_BYTES};

/// Which access. s: address, then pairs; d: a pair, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Wide {
    Load,
    Store,
    Exch,
    Cas,
}

/// Bit of the flags at which the number of the access begins.
pub(crate) const WIDE_KIND: u32 = NUMBER + 8;

impl Wide {
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Load => 0,
            Self::Store => 1,
            Self::Exch => 2,
            Self::Cas => 3,
        }
    }
}

/// Any of them: `a` address, `b` and `c` first pair, `e` and `g` second pair, `d` and `imm` destination.
pub(crate) struct WideOp;
impl Body for WideOp {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe { wide(cx, op) }
    }
}

/// # Safety
/// As [`Body::run`].
unsafe fn wide(cx: &mut Cx, op: *const Op) -> *const Op {
    // SAFETY: the decoder's slots; an operation like this is never the last one.
    unsafe {
        let o = *op;
        cx.spin = true;
        // Also for the weaker orders: these accesses are rare.
        fence(Ordering::SeqCst);
        let fine = each(cx, op, |cx, lane| {
            let old = access(cx, &o, lane)?;
            if o.d != NO_OPERAND {
                let (low, high) = halves(old);
                *cx.destination(o.d).cast::<u64>().add(lane) = low;
                *cx.destination(o.imm.cast_unsigned()).cast::<u64>().add(lane) = high;
            }
            Ok(())
        });
        fence(Ordering::SeqCst);
        if fine { op.add(1) } else { std::ptr::null() }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the low half is meant")]
const fn halves(v: u128) -> (u64, u64) {
    (v as u64, (v >> 64) as u64)
}

/// One thread's access; what memory held.
///
/// # Safety
/// The decoder's slots.
unsafe fn access(cx: &mut Cx, o: &Op, lane: usize) -> Result<u128, Bad> {
    // SAFETY: the caller's promise; the cell is checked, and device memory is only touched through raw pointers.
    unsafe {
        let kind = o.flags >> WIDE_KIND & 3;
        let address = lane64(cx, o.a, lane);
        let p = if is_shared(o, 0) {
            shared_object(cx, address, true, 16)?
        } else if !address.is_multiple_of(16) {
            return Err(Bad::misaligned(address));
        } else if address.wrapping_sub(LOCAL_WINDOW) < WINDOW_BYTES {
            let site = local_site(cx, lane);
            site.at(address - LOCAL_WINDOW, 16).ok_or(Bad::illegal(address))?
        } else {
            let access = if kind == Wide::Load.number() {
                Access::Read
            } else {
                Access::Write
            };
            let site = cx.sites.add(o.site as usize);
            host(cx, site, address, 16, access)?
        };
        let pair = |low: u32, high: u32| {
            u128::from(lane64(cx, low, lane)) | u128::from(lane64(cx, high, lane)) << 64
        };
        let cell = p.cast::<u128>();
        if !cell.is_aligned() {
            // Spans are aligned in the host as they are in the device; only a thread's own memory may not be.
            return plain(cell, kind, pair(o.b, o.c), || pair(o.e, o.g), address);
        }
        let cell = AtomicU128::from_ptr(cell);
        Ok(match kind {
            0 => cell.load(Ordering::SeqCst),
            1 => {
                cell.store(pair(o.b, o.c), Ordering::SeqCst);
                0
            }
            2 => cell.swap(pair(o.b, o.c), Ordering::SeqCst),
            _ => {
                let done =
                    cell.compare_exchange(pair(o.b, o.c), pair(o.e, o.g), Ordering::SeqCst, Ordering::SeqCst);
                done.unwrap_or_else(|old| old)
            }
        })
    }
}

/// The access on memory that nobody else sees.
///
/// # Safety
/// `cell` is sixteen bytes of the thread's local memory.
unsafe fn plain(
    cell: *mut u128,
    kind: u32,
    first: u128,
    second: impl Fn() -> u128,
    address: u64,
) -> Result<u128, Bad> {
    if address.wrapping_sub(LOCAL_WINDOW) >= WINDOW_BYTES {
        return Err(Bad::misaligned(address));
    }
    // SAFETY: the caller's promise.
    unsafe {
        let old = cell.read_unaligned();
        match kind {
            0 => {}
            3 if old == first => cell.write_unaligned(second()),
            3 => {}
            _ => cell.write_unaligned(first),
        }
        Ok(old)
    }
}
