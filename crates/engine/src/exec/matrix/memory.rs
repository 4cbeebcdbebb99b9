//! `ldmatrix` and `stmatrix`: matrices of eight rows of 16 bytes between shared memory and registers, and `movmatrix`.
//!
//! Lanes `8 * i` to `8 * i + 7` give the addresses of the rows of matrix `i`. As stored, a row is four words, and lane `4 * row +
//! word` of the register holds one: the 128 bytes of a register are the matrix. Transposed, the same holds of its columns.

use super::{List, register};
use crate::error::FaultKind;
use crate::exec::isa::{Body, Isa};
use crate::exec::memory::addresses;
use crate::exec::warp::{incomplete, set_warp32, warp32};
use crate::exec::{Cx, Event, NUMBER, Op};
use crate::{SHARED_WINDOW, WINDOW_BYTES};

/// Flag: the matrix is transposed on its way.
pub(crate) const TRANSPOSED: u32 = 8 << NUMBER;
/// Flag: the address is a generic one.
pub(crate) const GENERIC: u32 = 16 << NUMBER;

/// The transpose of a matrix of eight rows of eight halves.
#[inline(always)]
pub(super) fn transposed(v: &[u32; 32]) -> [u32; 32] {
    let mut out = [0; 32];
    let half = |row: usize, column: usize| v[row * 4 + column / 2] >> (16 * (column % 2)) & 0xffff;
    for (i, word) in out.iter_mut().enumerate() {
        let (column, pair) = (i / 4, i % 4);
        *word = half(2 * pair, column) | half(2 * pair + 1, column) << 16;
    }
    out
}

/// Host address of a row.
///
/// # Safety
/// As [`Body::run`].
#[inline(always)]
unsafe fn row(cx: &mut Cx, op: *const Op, lane: usize, address: u64) -> Option<*mut u8> {
    // SAFETY: the caller's promise.
    let generic = unsafe { (*op).flags } & GENERIC != 0;
    let at = u32::try_from(lane).unwrap_or(0);
    if !address.is_multiple_of(16) {
        cx.fail(op, FaultKind::MisalignedAddress, at, address);
        return None;
    }
    let offset = if generic {
        address.wrapping_sub(SHARED_WINDOW)
    } else {
        address
    };
    let found = if generic && offset >= WINDOW_BYTES {
        None
    } else {
        cx.shared.at(offset, 16)
    };
    if found.is_none() {
        cx.fail(op, FaultKind::IllegalAddress, at, address);
    }
    found
}

/// The addresses of the rows of `n` matrices; `None` after a fault.
///
/// # Safety
/// As [`Body::run`].
#[inline(always)]
unsafe fn all_rows<I: Isa>(cx: &mut Cx, op: *const Op, w: usize, n: usize) -> Option<[*mut u8; 32]> {
    let mut hosts = [std::ptr::null_mut(); 32];
    for h in 0..2 {
        if n * 8 <= h * 16 {
            break;
        }
        // SAFETY: the caller's promise.
        let ad = unsafe { addresses::<I>(cx, &*op, w * 2 + h) };
        for (i, address) in ad.into_iter().enumerate() {
            let lane = h * 16 + i;
            // A lane that is not there has no address; its row counts as zeros and is not stored.
            if lane < n * 8 && cx.mask[w] >> lane & 1 != 0 {
                // SAFETY: the caller's promise.
                hosts[lane] = unsafe { row(cx, op, w * 32 + lane, address)? };
            }
        }
    }
    Some(hosts)
}

/// `ldmatrix`: `a` address, the place of the destinations in the code's table in `site`; how many in the flags.
pub(crate) struct LoadMatrix;

impl Body for LoadMatrix {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`; rows are inside shared memory.
        unsafe {
            if incomplete(cx) {
                return cx.stop(op, Event::Sync);
            }
            let o = *op;
            let n = (o.flags >> NUMBER & 7) as usize;
            let list = List(cx.targets.add(o.site as usize));
            for w in 0..cx.chunks / 2 {
                if cx.mask[w] == 0 {
                    continue;
                }
                let Some(rows) = all_rows::<I>(cx, op, w, n) else {
                    return std::ptr::null();
                };
                for i in 0..n {
                    let mut v = [0u32; 32];
                    for (r, host) in rows[i * 8..i * 8 + 8].iter().enumerate() {
                        if !host.is_null() {
                            let words = host.cast::<[u32; 4]>().read_unaligned();
                            v[r * 4..r * 4 + 4].copy_from_slice(&words);
                        }
                    }
                    if o.flags & TRANSPOSED != 0 {
                        v = transposed(&v);
                    }
                    set_warp32::<I>(cx, list.get(i), w, &v);
                }
            }
            op.add(1)
        }
    }
}

/// `stmatrix`: as [`LoadMatrix`], the other way.
pub(crate) struct StoreMatrix;

impl Body for StoreMatrix {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`; rows are inside shared memory.
        unsafe {
            if incomplete(cx) {
                return cx.stop(op, Event::Sync);
            }
            let o = *op;
            let n = (o.flags >> NUMBER & 7) as usize;
            let list = List(cx.targets.add(o.site as usize));
            for w in 0..cx.chunks / 2 {
                if cx.mask[w] == 0 {
                    continue;
                }
                let Some(rows) = all_rows::<I>(cx, op, w, n) else {
                    return std::ptr::null();
                };
                for i in 0..n {
                    let mut v = warp32(cx, list.get(i), w);
                    if o.flags & TRANSPOSED != 0 {
                        v = transposed(&v);
                    }
                    for (r, host) in rows[i * 8..i * 8 + 8].iter().enumerate() {
                        if !host.is_null() {
                            let mut words = [0u32; 4];
                            words.copy_from_slice(&v[r * 4..r * 4 + 4]);
                            host.cast::<[u32; 4]>().write_unaligned(words);
                        }
                    }
                }
            }
            op.add(1)
        }
    }
}

/// `movmatrix`: `d`, `a`.
pub(crate) struct MoveMatrix;

impl Body for MoveMatrix {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe {
            if incomplete(cx) {
                return cx.stop(op, Event::Sync);
            }
            let o = *op;
            for w in 0..cx.chunks / 2 {
                if cx.mask[w] != 0 {
                    let [low, high] = register(cx, o.a, w);
                    let mut v = [0; 32];
                    v[..16].copy_from_slice(&low);
                    v[16..].copy_from_slice(&high);
                    set_warp32::<I>(cx, o.d, w, &transposed(&v));
                }
            }
            op.add(1)
        }
    }
}
