//! Atomics, lane after lane: real host atomics where other threads can reach the memory, plain ones on the shared memory of a block
//! outside of a cluster, which only the thread that runs the block touches.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

use tessera_arith::atomics::{self, AtomOp};

use super::isa::{Body, CHUNK, Isa};
use super::lane::Lane;
use super::memory::{Kind, SpaceTag, addresses, alignment, each_lane, each_local, misaligned, site_of};
use super::thread::shared_is_private;
use super::warp::NO_OPERAND;
use super::{Cx, NUMBER, Op, Site};
use crate::env::Access;
use crate::lir::AtomKind;

/// Numbers of the kinds of atomics in the flags of an operation.
pub(crate) const fn kind_number(kind: AtomKind) -> u32 {
    match kind {
        AtomKind::Int(op) => match op {
            AtomOp::Add => 0,
            AtomOp::MinU => 1,
            AtomOp::MaxU => 2,
            AtomOp::MinS => 3,
            AtomOp::MaxS => 4,
            AtomOp::And => 5,
            AtomOp::Or => 6,
            AtomOp::Xor => 7,
            AtomOp::Exch => 8,
            AtomOp::Inc => 9,
            AtomOp::Dec => 10,
        },
        AtomKind::Cas => 11,
        AtomKind::AddF32 { ftz: false } => 12,
        AtomKind::AddF32 { ftz: true } => 13,
        AtomKind::AddF64 => 14,
        AtomKind::AddF16 => 15,
        AtomKind::AddF16x2 => 16,
        AtomKind::AddBf16 => 17,
        AtomKind::AddBf16x2 => 18,
        AtomKind::Half { max, bf16, packed } => {
            HALF | if max { 1 } else { 0 } | if bf16 { 2 } else { 0 } | if packed { 4 } else { 0 }
        }
    }
}

const fn int_op(number: u32) -> AtomOp {
    match number {
        0 => AtomOp::Add,
        1 => AtomOp::MinU,
        2 => AtomOp::MaxU,
        3 => AtomOp::MinS,
        4 => AtomOp::MaxS,
        5 => AtomOp::And,
        6 => AtomOp::Or,
        7 => AtomOp::Xor,
        8 => AtomOp::Exch,
        9 => AtomOp::Inc,
        _ => AtomOp::Dec,
    }
}

const ADD: u32 = 0;
const CAS: u32 = 11;
const EXCH: u32 = 8;
/// First of the eight numbers of `min` and `max` of halves.
const HALF: u32 = 24;
/// Bits of a number.
const KINDS: u32 = 31;

/// What a 32-bit atomic leaves in memory.
#[inline(always)]
fn next32(number: u32, old: u32, b: u32, c: u32) -> u32 {
    let f = f32::from_bits;
    match number {
        0..=10 => atomics::atom32(int_op(number), old, b),
        CAS => atomics::cas32(old, b, c),
        12 => atomics::add_f32(f(old), f(b), false).to_bits(),
        13 => atomics::add_f32(f(old), f(b), true).to_bits(),
        16 => atomics::add_f16x2(old, b),
        HALF.. => atomics::min_max_half(old, b, number & 1 != 0, number & 2 != 0),
        _ => atomics::add_bf16x2(old, b),
    }
}

/// What a 64-bit atomic leaves in memory.
#[inline(always)]
fn next64(number: u32, old: u64, b: u64, c: u64) -> u64 {
    match number {
        0..=10 => atomics::atom64(int_op(number), old, b),
        CAS => atomics::cas64(old, b, c),
        _ => atomics::add_f64(f64::from_bits(old), f64::from_bits(b)).to_bits(),
    }
}

/// What a 16-bit atomic leaves in memory.
#[inline(always)]
fn next16(number: u32, old: u32, b: u32, c: u32) -> u32 {
    match number {
        CAS => atomics::cas16(old, b, c),
        15 => atomics::add_f16(old, b),
        HALF.. => atomics::min_max_half(old, b, number & 1 != 0, number & 2 != 0) & 0xffff,
        _ => atomics::add_bf16(old, b),
    }
}

/// Width of an atomic.
pub(crate) trait Width: 'static {
    /// Lane of its registers.
    type L: Lane;
    /// Bytes in memory.
    const BYTES: u64;
    /// Whether the width has integer addition.
    const ADDS: bool;
    /// Does it; returns what memory held.
    ///
    /// # Safety
    /// `p` is writable and aligned; with `plain`, nobody else uses it.
    unsafe fn exchange(p: *mut u8, number: u32, b: Self::L, c: Self::L, plain: bool) -> Self::L;
    /// Integer addition.
    fn sum(a: Self::L, b: Self::L) -> Self::L;
}

macro_rules! width {
    ($name:ident, $lane:ty, $atomic:ty, $mem:ty, $next:ident, $whole:literal) => {
        pub(crate) struct $name;
        impl Width for $name {
            type L = $lane;
            const BYTES: u64 = size_of::<$mem>() as u64;
            const ADDS: bool = $whole;
            #[inline(always)]
            fn sum(a: $lane, b: $lane) -> $lane {
                a.wrapping_add(b)
            }
            #[inline(always)]
            #[allow(
                clippy::cast_possible_truncation,
                clippy::unnecessary_cast,
                clippy::cast_lossless,
                reason = "values of the width of the memory"
            )]
            unsafe fn exchange(p: *mut u8, number: u32, b: $lane, c: $lane, plain: bool) -> $lane {
                if plain {
                    let p = p.cast::<$mem>();
                    // SAFETY: the caller's promise.
                    unsafe {
                        let old = p.read() as $lane;
                        p.write($next(number, old, b, c) as $mem);
                        return old;
                    }
                }
                // SAFETY: the caller's promise; device memory is only touched through raw pointers.
                let cell = unsafe { <$atomic>::from_ptr(p.cast()) };
                // What the processor does in one instruction.
                match number {
                    0 if $whole => return cell.fetch_add(b as $mem, Ordering::SeqCst) as $lane,
                    5 => return cell.fetch_and(b as $mem, Ordering::SeqCst) as $lane,
                    6 => return cell.fetch_or(b as $mem, Ordering::SeqCst) as $lane,
                    EXCH => return cell.swap(b as $mem, Ordering::SeqCst) as $lane,
                    _ => {}
                }
                let update = |old: $mem| Some($next(number, old as $lane, b, c) as $mem);
                match cell.fetch_update(Ordering::SeqCst, Ordering::SeqCst, update) {
                    Ok(old) | Err(old) => old as $lane,
                }
            }
        }
    };
}
width!(W16, u32, AtomicU16, u16, next16, false);
width!(W32, u32, AtomicU32, u32, next32, true);
width!(W64, u64, AtomicU64, u64, next64, true);

/// Combines `value` into the element of `bytes` at `p`, as [`kind_number`] says.
///
/// # Safety
/// As [`Width::exchange`].
pub(crate) unsafe fn apply(p: *mut u8, bytes: usize, number: u32, value: u64, plain: bool) {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the value has the bytes of the element"
    )]
    let narrow = value as u32;
    // SAFETY: the caller's promise.
    unsafe {
        match bytes {
            2 => _ = W16::exchange(p, number, narrow, 0, plain),
            4 => _ = W32::exchange(p, number, narrow, 0, plain),
            _ => _ = W64::exchange(p, number, value, 0, plain),
        }
    }
}

/// An atomic: `d` old value or none, `a` address, `b` operand, `c` second operand of `cas`; kind in the flags.
pub(crate) struct Atomic<S, W>(PhantomData<(S, W)>);

impl<S: SpaceTag, W: Width> Body for Atomic<S, W> {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`; memory is only touched in checked spans.
        unsafe {
            let o = *op;
            let number = o.flags >> NUMBER & KINDS;
            let site = site_of(cx, S::KIND, &o);
            let plain = S::KIND == Kind::Shared && shared_is_private(cx);
            let adds = W::ADDS && number == ADD;
            if number == CAS || number == EXCH {
                cx.spin = true;
            }
            for chunk in 0..cx.chunks {
                let m = cx.chunk_mask(chunk);
                if m == 0 {
                    continue;
                }
                let ad = addresses::<I>(cx, &o, chunk);
                let (b, step) = cx.source(o.b, W::L::BYTES);
                let b = W::L::load(b.add(chunk * step));
                let mut old = [W::L::default(); CHUNK];
                let what = (W::BYTES, alignment(&o, W::BYTES), chunk, Access::Write);
                let done = adds
                    && if o.d == NO_OPERAND {
                        add_chunk::<W, I, false>(&*site, &ad, (m, what.1), &b, &mut old, plain)
                    } else {
                        add_chunk::<W, I, true>(&*site, &ad, (m, what.1), &b, &mut old, plain)
                    };
                let fine = done || {
                    let (c, step) = cx.source(o.c, W::L::BYTES);
                    let c = W::L::load(c.add(chunk * step));
                    each_lane::<I>(cx, op, S::KIND, site, &ad, m, what, |i, p| {
                        old[i] = W::exchange(p, number, b[i], c[i], plain);
                    })
                };
                if !fine {
                    return std::ptr::null();
                }
                if o.d != NO_OPERAND {
                    W::L::store_masked::<I>(cx.destination(o.d).add(chunk * W::L::BYTES), &old, m);
                }
            }
            op.add(1)
        }
    }
}

/// Adds the lanes of `m`, if all of them lie in the site's span: one after the other, or, where all have one address, with one
/// access for all. That is an order in which the threads may have come. `KEEP`: somebody wants what memory held before.
///
/// # Safety
/// The processor has unit `I`; with `plain`, nobody else uses the memory.
#[inline(always)]
unsafe fn add_chunk<W: Width, I: Isa, const KEEP: bool>(
    s: &Site,
    ad: &[u64; CHUNK],
    (m, align): (u16, u64),
    b: &[W::L; CHUNK],
    old: &mut [W::L; CHUNK],
    plain: bool,
) -> bool {
    let lane = m.trailing_zeros() as usize % CHUNK;
    // SAFETY: the caller's promise; every address is inside the span and aligned.
    unsafe {
        if s.len < W::BYTES
            || I::within(ad, s.lo, s.len - W::BYTES) & m != m
            || misaligned::<I>(ad, align, m) != 0
        {
            return false;
        }
        #[allow(
            clippy::cast_possible_truncation,
            reason = "inside the span, which is host memory"
        )]
        let host = |i: usize| s.host.wrapping_add(ad[i].wrapping_sub(s.lo) as usize);
        // The last lane first: mostly that already tells.
        let last = 15 - m.leading_zeros() as usize % CHUNK;
        if last != lane && ad[last] == ad[lane] && I::on_line(ad, ad[lane], 0) & m == m {
            let mut sum = W::L::default();
            for i in 0..CHUNK {
                old[i] = sum;
                if m >> i & 1 != 0 {
                    sum = W::sum(sum, b[i]);
                }
            }
            let first = W::exchange(host(lane), ADD, sum, sum, plain);
            for o in old {
                *o = W::sum(*o, first);
            }
        } else if m == u16::MAX {
            for i in 0..CHUNK {
                let was = W::exchange(host(i), ADD, b[i], b[i], plain);
                if KEEP {
                    old[i] = was;
                }
            }
        } else {
            let mut rest = m;
            while rest != 0 {
                let i = rest.trailing_zeros() as usize % CHUNK;
                rest &= rest - 1;
                let was = W::exchange(host(i), ADD, b[i], b[i], plain);
                if KEEP {
                    old[i] = was;
                }
            }
        }
    }
    true
}

/// An atomic through a generic address that lies in local memory, which no other thread sees.
pub(crate) struct AtomicLocal<W>(PhantomData<W>);

impl<W: Width> Body for AtomicLocal<W> {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`; memory is only touched in checked spans.
        unsafe {
            let o = *op;
            let number = o.flags >> NUMBER & KINDS;
            let fine = each_local::<I>(cx, op, &o, W::BYTES, |cx, chunk, i, p| {
                let operand = |operand: u32| {
                    let (p, step) = cx.source(operand, W::L::BYTES);
                    *p.add(chunk * step).cast::<W::L>().add(i)
                };
                let old = W::exchange(p, number, operand(o.b), operand(o.c), true);
                if o.d != NO_OPERAND {
                    let chunk = cx.destination(o.d).add(chunk * W::L::BYTES);
                    *chunk.cast::<W::L>().add(i) = old;
                }
            });
            if fine { op.add(1) } else { std::ptr::null() }
        }
    }
}

/// `membar`, `fence.sc` and fences between paths to memory: full ones; 1 in the flags: `fence.acq_rel`.
pub(crate) struct Fence;
impl Body for Fence {
    #[inline(always)]
    unsafe fn run<I: Isa>(_: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`; a fence is never the last operation.
        unsafe {
            fence(if (*op).flags >> NUMBER == 0 {
                Ordering::SeqCst
            } else {
                Ordering::AcqRel
            });
            op.add(1)
        }
    }
}

/// `isspacep`: `d` predicate, `a` address, `g` the window's first byte; 1 in the flags: everything outside the windows.
pub(crate) struct IsSpace;
impl Body for IsSpace {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe {
            let o = *op;
            let mut bits = [0u32; super::WARPS];
            for c in 0..cx.chunks {
                let ad = addresses::<I>(cx, &o, c);
                let inside = match o.flags >> NUMBER {
                    0 => I::within(&ad, crate::SHARED_WINDOW, crate::WINDOW_BYTES - 1),
                    1 => I::within(&ad, crate::LOCAL_WINDOW, crate::WINDOW_BYTES - 1),
                    2 => I::within(&ad, crate::PARAM_WINDOW, crate::WINDOW_BYTES - 1),
                    _ => {
                        let windows = crate::PARAM_WINDOW + crate::WINDOW_BYTES - 1;
                        !I::within(&ad, crate::SHARED_WINDOW, windows - crate::SHARED_WINDOW)
                    }
                };
                bits[c / 2] |= u32::from(inside) << (16 * (c % 2));
            }
            cx.set_predicate(o.d, &bits);
            op.add(1)
        }
    }
}
