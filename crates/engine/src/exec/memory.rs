//! Loads and stores.
//!
//! Sixteen lanes at a time: their addresses, then the cheapest way that the pattern allows. Every path checks bounds before it
//! touches memory: once for lanes that lie in a row, per lane otherwise. A lane outside the span that the site used last makes
//! the site look up again; a lane outside every span faults with its own address.
//!
//! ```text
//!  addresses ── in a row? ──▶ one check, one vector access
//!      │ no ── all the same (loads)? ──▶ one check, one access, spread
//!      │ no ──▶ lanes in the site's span: accessed;  others: look up, again;  nowhere: fault
//! ```

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

use super::isa::{Body, CHUNK, Isa};
use super::lane::Lane;
use super::{Cx, Event, LINE, NUMBER, Op, SCALAR, Site, UNMASKED, WIDE};
use crate::env::Access;
use crate::error::FaultKind;
use crate::{PARAM_WINDOW, SHARED_WINDOW};

/// Flag: each element is one atomic access, with the fence that the order asks for.
pub(crate) const ORDERED: u32 = 32;
/// Flag: a fence after the access.
pub(crate) const ACQUIRE: u32 = 64;
/// Flag: a fence before the access.
pub(crate) const RELEASE: u32 = 128;
/// Two bits from here: the address is a multiple of the bytes of the access, shifted left by this.
pub(crate) const ALIGN: u32 = 16;

/// What the address of an access of `bytes` is a multiple of.
#[inline(always)]
pub(crate) const fn alignment(o: &Op, bytes: u64) -> u64 {
    bytes << (o.flags >> ALIGN & 3)
}

/// A state space.
pub(crate) trait SpaceTag: 'static {
    /// Which.
    const KIND: Kind;
}

/// The state spaces that share the loops below.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Global,
    Shared,
    Generic,
}

macro_rules! spaces {
    ($($name:ident)+) => {$(
        pub(crate) struct $name;
        impl SpaceTag for $name {
            const KIND: Kind = Kind::$name;
        }
    )+};
}
spaces!(Global Shared Generic);

/// What memory holds per element and what a register makes of it.
pub(crate) trait Element: 'static {
    /// Lane of the register.
    type L: Lane;
    /// Bytes in memory.
    const BYTES: usize;
    /// Reads.
    ///
    /// # Safety
    /// `from` is readable for the bytes of the element.
    unsafe fn get(from: *const u8) -> Self::L;
    /// Writes.
    ///
    /// # Safety
    /// `to` is writable for the bytes of the element.
    unsafe fn put(to: *mut u8, v: Self::L);
    /// Reads with one access.
    ///
    /// # Safety
    /// As [`get`](Element::get), and aligned.
    unsafe fn get_atomic(from: *mut u8) -> Self::L;
    /// Writes with one access.
    ///
    /// # Safety
    /// As [`put`](Element::put), and aligned.
    unsafe fn put_atomic(to: *mut u8, v: Self::L);
}

macro_rules! element {
    ($($name:ident $mem:ty, $raw:ty, $lane:ty, $atomic:ty;)+) => {$(
        pub(crate) struct $name;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap,
            clippy::unnecessary_cast, clippy::cast_lossless, reason = "extension and truncation are what the element does")]
        impl Element for $name {
            type L = $lane;
            const BYTES: usize = size_of::<$mem>();
            #[inline(always)]
            unsafe fn get(from: *const u8) -> $lane {
                // SAFETY: the caller's promise.
                unsafe { from.cast::<$mem>().read_unaligned() as $lane }
            }
            #[inline(always)]
            unsafe fn put(to: *mut u8, v: $lane) {
                // SAFETY: the caller's promise.
                unsafe { to.cast::<$mem>().write_unaligned(v as $mem) }
            }
            #[inline(always)]
            unsafe fn get_atomic(from: *mut u8) -> $lane {
                // SAFETY: the caller's promise; device memory is only touched through raw pointers.
                unsafe { <$atomic>::from_ptr(from.cast()).load(Ordering::Relaxed) as $mem as $lane }
            }
            #[inline(always)]
            unsafe fn put_atomic(to: *mut u8, v: $lane) {
                // SAFETY: as above.
                unsafe { <$atomic>::from_ptr(to.cast()).store(v as $raw, Ordering::Relaxed) }
            }
        }
    )+};
}
element! {
    U8 u8, u8, u32, AtomicU8;
    S8 i8, u8, u32, AtomicU8;
    U16 u16, u16, u32, AtomicU16;
    S16 i16, u16, u32, AtomicU16;
    B32 u32, u32, u32, AtomicU32;
    WideU8 u8, u8, u64, AtomicU8;
    WideS8 i8, u8, u64, AtomicU8;
    WideU16 u16, u16, u64, AtomicU16;
    WideS16 i16, u16, u64, AtomicU16;
    WideU32 u32, u32, u64, AtomicU32;
    WideS32 i32, u32, u64, AtomicU32;
    B64 u64, u64, u64, AtomicU64;
}

/// The addresses of chunk `c`.
///
/// # Safety
/// `o` is an access made by the decoder for this frame; the processor has unit `I`.
#[inline(always)]
pub(crate) unsafe fn addresses<I: Isa>(cx: &Cx, o: &Op, c: usize) -> [u64; CHUNK] {
    let wide = o.flags & WIDE != 0;
    let imm = i64::from(o.imm).cast_unsigned();
    // SAFETY: the decoder's slots.
    unsafe {
        let (p, step) = cx.source(o.a, if wide { 128 } else { 64 });
        // Each kind in a loop of its own over all lanes: what one writes in pieces cannot be read back in one.
        if o.flags & LINE != 0 {
            let base = if wide {
                (*p.cast::<[u64; CHUNK]>())[c % CHUNK]
            } else {
                u64::from((*p.cast::<[u32; CHUNK]>())[c % CHUNK])
            };
            let stride = i64::from(o.e.cast_signed()).cast_unsigned();
            let mask = if wide { u64::MAX } else { 0xffff_ffff };
            let mut ad = [0u64; CHUNK];
            for (i, a) in (0u64..).zip(ad.iter_mut()) {
                *a = base.wrapping_add(stride.wrapping_mul(i)).wrapping_add(imm) & mask;
            }
            ad
        } else if wide {
            I::offset64(p.add(c * step).cast(), imm)
        } else {
            I::offset32(p.add(c * step).cast(), imm)
        }
    }
}

/// Makes `site` translate `address`; false when nothing is mapped there.
#[cold]
pub(crate) fn refill(cx: &mut Cx, kind: Kind, site: *mut Site, address: u64, access: Access) -> bool {
    let found = match kind {
        Kind::Shared => None,
        Kind::Generic if (SHARED_WINDOW..SHARED_WINDOW + crate::WINDOW_BYTES).contains(&address) => {
            cx.private_sites = true;
            // SAFETY: the block outlives the run.
            let found = unsafe { (*cx.cta).shared_at(address - SHARED_WINDOW) };
            found.map(|site| Site {
                lo: SHARED_WINDOW + site.lo,
                ..site
            })
        }
        Kind::Generic if (PARAM_WINDOW..PARAM_WINDOW + crate::WINDOW_BYTES).contains(&address) => {
            cx.private_sites = true;
            // SAFETY: the block outlives the run.
            let params = unsafe { (*cx.cta).params() };
            (access == Access::Read).then_some(Site {
                lo: PARAM_WINDOW,
                ..params
            })
        }
        Kind::Global | Kind::Generic => cx.env().memory.lookup(address, access).map(|span| Site {
            lo: span.lo,
            len: span.len,
            host: span.host,
        }),
    };
    match found {
        Some(new) if address.wrapping_sub(new.lo) < new.len => {
            // SAFETY: sites are as many as the code says; see `Cx::sites`.
            unsafe { *site = new };
            true
        }
        _ => false,
    }
}

/// The site of an access.
///
/// # Safety
/// `o` is an access made by the decoder.
#[inline(always)]
pub(crate) unsafe fn site_of(cx: &mut Cx, kind: Kind, o: &Op) -> *mut Site {
    if kind == Kind::Shared {
        &raw mut cx.shared
    } else {
        // SAFETY: the worker has as many sites as the code says.
        unsafe { cx.sites.add(o.site as usize) }
    }
}

/// Lanes of `m` whose address is not a multiple of `bytes`, a power of two.
///
/// # Safety
/// The processor has unit `I`.
#[inline(always)]
pub(crate) unsafe fn misaligned<I: Isa>(ad: &[u64; CHUNK], bytes: u64, m: u16) -> u16 {
    // SAFETY: the caller's promise.
    m & unsafe { !I::aligned(ad, bytes - 1) }
}

/// Runs `lane` on every lane of `m` with its host address, looking spans up as needed.
///
/// # Safety
/// `site` is that of the access `op`, whose addresses are `ad`.
#[inline(always)]
#[allow(
    clippy::too_many_arguments,
    reason = "one loop under loads, stores and atomics"
)]
pub(crate) unsafe fn each_lane<I: Isa>(
    cx: &mut Cx,
    op: *const Op,
    kind: Kind,
    site: *mut Site,
    ad: &[u64; CHUNK],
    m: u16,
    (bytes, align, chunk, access): (u64, u64, usize, Access),
    mut lane: impl FnMut(usize, *mut u8),
) -> bool {
    let first_of = |bits: u16| bits.trailing_zeros();
    let lane_number = |i: u32| u32::try_from(chunk * CHUNK).unwrap_or(0) + i;
    // SAFETY: the processor has unit `I`.
    let crooked = unsafe { misaligned::<I>(ad, align, m) };
    if crooked != 0 {
        let i = first_of(crooked);
        cx.fail(
            op,
            FaultKind::MisalignedAddress,
            lane_number(i),
            ad[i as usize % CHUNK],
        );
        return false;
    }
    let mut rest = m;
    while rest != 0 {
        // SAFETY: the caller's promise.
        let s = unsafe { *site };
        let near = if s.len >= bytes {
            // SAFETY: the processor has unit `I`.
            unsafe { I::within(ad, s.lo, s.len - bytes) }
        } else {
            0
        };
        let inside = near & rest;
        if inside == 0 {
            let i = first_of(rest);
            let address = ad[i as usize % CHUNK];
            // SAFETY: the caller's promise.
            if !refill(cx, kind, site, address, access) || unsafe { (*site).at(address, bytes) }.is_none() {
                cx.fail(op, FaultKind::IllegalAddress, lane_number(i), address);
                return false;
            }
            continue;
        }
        rest &= !inside;
        let mut bits = inside;
        while bits != 0 {
            let i = first_of(bits) as usize;
            bits &= bits - 1;
            #[allow(
                clippy::cast_possible_truncation,
                reason = "inside the span, which is host memory"
            )]
            let offset = ad[i].wrapping_sub(s.lo) as usize;
            lane(i, s.host.wrapping_add(offset));
        }
    }
    true
}

/// A load. See [`targets`] for where the elements of a vector go.
pub(crate) struct Load<S, M>(PhantomData<(S, M)>);
/// A store.
pub(crate) struct Store<S, M>(PhantomData<(S, M)>);

/// Slots of the elements of a vector access.
#[inline(always)]
pub(crate) fn targets(o: &Op) -> [u32; 4] {
    [o.d, o.b, o.c, o.g]
}

/// Elements of a vector access.
#[inline(always)]
pub(crate) fn elements(o: &Op) -> usize {
    (o.flags >> NUMBER & 7) as usize
}

/// Flag of a number of elements: the access has one.
const ONE: u32 = 1 << NUMBER;

#[inline(always)]
fn begin(cx: &mut Cx, o: &Op) {
    if o.flags & ORDERED != 0 {
        cx.spin = true;
        if o.flags & RELEASE != 0 {
            fence(Ordering::Release);
        }
    }
}

#[inline(always)]
fn end(o: &Op) {
    if o.flags & ACQUIRE != 0 {
        fence(Ordering::Acquire);
    }
}

/// Host address of `count` elements in a row that the lanes of `m` use, if they do and all lie in the site's span.
///
/// # Safety
/// The processor has unit `I`.
#[inline(always)]
unsafe fn in_a_row<I: Isa>(s: &Site, ad: &[u64; CHUNK], m: u16, bytes: u64) -> Option<*mut u8> {
    let lane = m.trailing_zeros() as usize % CHUNK;
    let first = ad[lane].wrapping_sub(lane as u64 * bytes);
    // SAFETY: the caller's promise.
    let row = unsafe { I::on_line(ad, first, bytes) };
    if !first.is_multiple_of(bytes) || row & m != m {
        return None;
    }
    s.at(first, bytes * CHUNK as u64)
}

/// Where the first lane of each chunk is in the span at `s`, when the lanes of the chunks in `active` lie in a row or at one place,
/// aligned and inside the span. Lanes that do not execute are included, which a load may read.
///
/// # Safety
/// `o` is an access with [`LINE`], made by the decoder; the processor has unit `I`.
#[inline(always)]
pub(crate) unsafe fn line<I: Isa>(
    cx: &Cx,
    o: &Op,
    s: &Site,
    bytes: u64,
    active: u16,
) -> Option<[u64; CHUNK]> {
    let stride = u64::from(o.e);
    let span = if stride == bytes {
        bytes * CHUNK as u64
    } else {
        bytes
    };
    if stride != bytes && stride != 0 || s.len < span {
        return None;
    }
    let imm = i64::from(o.imm).cast_unsigned();
    // SAFETY: the decoder's slots; a scalar slot has an element per chunk.
    unsafe {
        let (p, _) = cx.source(o.a, 0);
        let base = if o.flags & WIDE != 0 {
            I::offset64(p.cast(), imm)
        } else {
            I::offset32(p.cast(), imm)
        };
        let fine = I::within(&base, s.lo, s.len - span) & I::aligned(&base, bytes - 1);
        let mut offset = [0u64; CHUNK];
        for c in 0..CHUNK {
            offset[c] = base[c].wrapping_sub(s.lo);
        }
        (fine & active == active).then_some(offset)
    }
}

/// How many accesses of a site ahead memory is asked for: about as many as it takes to come.
const AHEAD: u64 = 8;

/// Asks for the rows that this site will want soon, if it goes on as it did since the last time: a loop through memory, or block after
/// block of a grid. Hardware finds that out for itself only within a page, and not when many rows are between.
///
/// # Safety
/// `o` is an access made by the decoder; the processor has unit `I`.
#[inline(always)]
pub(crate) unsafe fn fetch_ahead<I: Isa, const WRITE: bool>(
    cx: &Cx,
    o: &Op,
    host: *mut u8,
    offset: &[u64; CHUNK],
) {
    // SAFETY: the worker has as many places as the code has sites.
    let last = unsafe { &mut *cx.lasts.add(o.site as usize) };
    let step = offset[0].wrapping_sub(*last);
    *last = offset[0];
    if step == 0 || o.e == 0 {
        return;
    }
    #[allow(clippy::cast_possible_truncation, reason = "nothing is read there")]
    let ahead = host.wrapping_add(step.wrapping_mul(AHEAD) as usize);
    let mut last = ahead;
    for offset in &offset[..cx.chunks.min(CHUNK)] {
        #[allow(clippy::cast_possible_truncation, reason = "as above")]
        let at = ahead.wrapping_add(*offset as usize);
        // SAFETY: the caller's promise.
        unsafe { I::prefetch::<WRITE>(at) };
        last = at;
    }
    // Rows that do not begin with a line of memory end in one more.
    // SAFETY: as above.
    unsafe { I::prefetch::<WRITE>(last.wrapping_add(o.e as usize * (CHUNK - 1))) };
}
/// Sixteen elements that lie in a row.
///
/// # Safety
/// `p` is readable for them.
#[inline(always)]
unsafe fn row<M: Element>(p: *const u8) -> [M::L; CHUNK] {
    let mut v = [M::L::default(); CHUNK];
    for i in 0..CHUNK {
        // SAFETY: the caller's promise.
        v[i] = unsafe { M::get(p.add(i * M::BYTES)) };
    }
    v
}

/// Writes sixteen elements in a row.
///
/// # Safety
/// `p` is writable for them.
#[inline(always)]
unsafe fn put_row<M: Element>(p: *mut u8, v: &[M::L; CHUNK]) {
    for i in 0..CHUNK {
        // SAFETY: the caller's promise.
        unsafe { M::put(p.add(i * M::BYTES), v[i]) };
    }
}

/// Writes the lanes of `m` of the destination of a load.
///
/// # Safety
/// As [`Lane::store_masked`]; `o` is a load of elements `M`.
#[inline(always)]
unsafe fn put_chunk<M: Element, I: Isa>(cx: &Cx, o: &Op, c: usize, v: &[M::L; CHUNK], m: u16) {
    // SAFETY: the caller's promise.
    unsafe {
        let to = cx.destination(o.d).add(c * M::L::BYTES);
        if m == u16::MAX {
            M::L::store::<I>(to, v);
        } else {
            M::L::store_masked::<I>(to, v, m);
        }
    }
}

impl<S: SpaceTag, M: Element> Body for Load<S, M> {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`; every access to memory is through a checked span.
        unsafe {
            let o = *op;
            if o.flags & (ORDERED | LINE | ONE) == LINE | ONE {
                let s = *site_of(cx, S::KIND, &o);
                let active = cx.active_chunks::<I>();
                if let Some(offset) = line::<I>(cx, &o, &s, M::BYTES as u64, active) {
                    if S::KIND != Kind::Shared {
                        fetch_ahead::<I, false>(cx, &o, s.host, &offset);
                    }
                    load_line::<M, I>(cx, &o, s.host, &offset);
                    return op.add(1);
                }
            }
            I::enter::<LoadAny<S, M>>(cx, op)
        }
    }
}

/// Any load.
struct LoadAny<S, M>(PhantomData<(S, M)>);

impl<S: SpaceTag, M: Element> Body for LoadAny<S, M> {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`; every access to memory is through a checked span.
        unsafe {
            let o = *op;
            let site = site_of(cx, S::KIND, &o);
            let n = elements(&o);
            begin(cx, &o);
            if o.flags & SCALAR != 0 {
                return load_scalar::<S, M, I>(cx, op, &o, site, n);
            }
            let force = if o.flags & UNMASKED != 0 { u16::MAX } else { 0 };
            let (bytes, total) = (M::BYTES as u64, (M::BYTES * n) as u64);
            for c in 0..cx.chunks {
                let m = cx.chunk_mask(c);
                if m == 0 {
                    continue;
                }
                let ad = addresses::<I>(cx, &o, c);
                if n == 1 && o.flags & ORDERED == 0 {
                    let s = *site;
                    if let Some(p) = in_a_row::<I>(&s, &ad, m, bytes) {
                        put_chunk::<M, I>(cx, &o, c, &row::<M>(p), m | force);
                        continue;
                    }
                    let lane = m.trailing_zeros() as usize % CHUNK;
                    if ad[lane].is_multiple_of(bytes)
                        && I::on_line(&ad, ad[lane], 0) & m == m
                        && let Some(p) = s.at(ad[lane], bytes)
                    {
                        put_chunk::<M, I>(cx, &o, c, &[M::get(p); CHUNK], m | force);
                        continue;
                    }
                }
                let mut v = [[M::L::default(); CHUNK]; 4];
                let ordered = o.flags & ORDERED != 0;
                let what = (total, alignment(&o, total), c, Access::Read);
                let fine = each_lane::<I>(cx, op, S::KIND, site, &ad, m, what, |i, p| {
                    for (k, row) in v.iter_mut().enumerate().take(n) {
                        let p = p.add(k * M::BYTES);
                        row[i] = if ordered { M::get_atomic(p) } else { M::get(p) };
                    }
                });
                if !fine {
                    return std::ptr::null();
                }
                for (row, d) in v.iter().zip(targets(&o)).take(n) {
                    M::L::store_masked::<I>(cx.destination(d).add(c * M::L::BYTES), row, m | force);
                }
            }
            end(&o);
            op.add(1)
        }
    }
}

/// A load of chunks that lie in the span at `host`.
///
/// # Safety
/// As [`put_chunk`]; `offset` was found by [`line`] for this access and this span.
#[inline(always)]
unsafe fn load_line<M: Element, I: Isa>(cx: &Cx, o: &Op, host: *mut u8, offset: &[u64; CHUNK]) {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "inside the span, which is host memory"
    )]
    let at = |c: usize| host.wrapping_add(offset[c % CHUNK] as usize).cast_const();
    // SAFETY: the caller's promise.
    unsafe {
        let to = cx.destination(o.d);
        if cx.full && o.e != 0 {
            for c in 0..cx.chunks {
                M::L::store::<I>(to.add(c * M::L::BYTES), &row::<M>(at(c)));
            }
        } else if cx.full {
            for c in 0..cx.chunks {
                M::L::store::<I>(to.add(c * M::L::BYTES), &[M::get(at(c)); CHUNK]);
            }
        } else {
            let force = if o.flags & UNMASKED != 0 { u16::MAX } else { 0 };
            for c in 0..cx.chunks {
                let m = cx.chunk_mask(c);
                if m != 0 {
                    let v = if o.e == 0 {
                        [M::get(at(c)); CHUNK]
                    } else {
                        row::<M>(at(c))
                    };
                    put_chunk::<M, I>(cx, o, c, &v, m | force);
                }
            }
        }
    }
}

/// A load that all lanes make from the same address: one access, one value.
#[inline(always)]
unsafe fn load_scalar<S: SpaceTag, M: Element, I: Isa>(
    cx: &mut Cx,
    op: *const Op,
    o: &Op,
    site: *mut Site,
    n: usize,
) -> *const Op {
    // SAFETY: as in `Load`.
    unsafe {
        let total = (M::BYTES * n) as u64;
        let address = addresses::<I>(cx, o, 0)[0];
        let mut host = (*site).at(address, total);
        if address & (alignment(o, total) - 1) != 0 {
            let lane = cx.first_lane();
            return cx.fail(op, FaultKind::MisalignedAddress, lane, address);
        }
        if host.is_none() && refill(cx, S::KIND, site, address, Access::Read) {
            host = (*site).at(address, total);
        }
        let Some(p) = host else {
            let lane = cx.first_lane();
            return cx.fail(op, FaultKind::IllegalAddress, lane, address);
        };
        for (k, d) in targets(o).into_iter().enumerate().take(n) {
            let p = p.add(k * M::BYTES);
            let v = if o.flags & ORDERED != 0 {
                M::get_atomic(p)
            } else {
                M::get(p)
            };
            M::L::store::<I>(cx.destination(d), &[v; CHUNK]);
        }
        end(o);
        op.add(1)
    }
}

impl<S: SpaceTag, M: Element> Body for Store<S, M> {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: as in `Load`.
        unsafe {
            let o = *op;
            if o.flags & (ORDERED | LINE | ONE) == LINE | ONE && cx.full && o.e != 0 {
                let s = *site_of(cx, S::KIND, &o);
                let active = cx.active_chunks::<I>();
                if let Some(offset) = line::<I>(cx, &o, &s, M::BYTES as u64, active) {
                    if S::KIND != Kind::Shared {
                        fetch_ahead::<I, true>(cx, &o, s.host, &offset);
                    }
                    let (first, step) = cx.source(o.d, M::L::BYTES);
                    for c in 0..cx.chunks {
                        #[allow(
                            clippy::cast_possible_truncation,
                            reason = "inside the span, which is host memory"
                        )]
                        let p = s.host.wrapping_add(offset[c % CHUNK] as usize);
                        put_row::<M>(p, &M::L::load(first.add(c * step)));
                    }
                    return op.add(1);
                }
            }
            I::enter::<StoreAny<S, M>>(cx, op)
        }
    }
}

/// Any store.
struct StoreAny<S, M>(PhantomData<(S, M)>);

impl<S: SpaceTag, M: Element> Body for StoreAny<S, M> {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: as in `Load`.
        unsafe {
            let o = *op;
            let site = site_of(cx, S::KIND, &o);
            let n = elements(&o);
            begin(cx, &o);
            let (bytes, total) = (M::BYTES as u64, (M::BYTES * n) as u64);
            let plain = n == 1 && o.flags & ORDERED == 0;
            let (first, step) = cx.source(o.d, M::L::BYTES);
            for c in 0..cx.chunks {
                let m = cx.chunk_mask(c);
                if m == 0 {
                    continue;
                }
                let ad = addresses::<I>(cx, &o, c);
                if plain
                    && m == u16::MAX
                    && let Some(p) = in_a_row::<I>(&*site, &ad, m, bytes)
                {
                    put_row::<M>(p, &M::L::load(first.add(c * step)));
                    continue;
                }
                let mut v = [[M::L::default(); CHUNK]; 4];
                for (row, s) in v.iter_mut().zip(targets(&o)).take(n) {
                    let (p, step) = cx.source(s, M::L::BYTES);
                    *row = M::L::load(p.add(c * step));
                }
                let ordered = o.flags & ORDERED != 0;
                let what = (total, alignment(&o, total), c, Access::Write);
                let fine = each_lane::<I>(cx, op, S::KIND, site, &ad, m, what, |i, p| {
                    for (k, row) in v.iter().enumerate().take(n) {
                        let p = p.add(k * M::BYTES);
                        if ordered {
                            M::put_atomic(p, row[i]);
                        } else {
                            M::put(p, row[i]);
                        }
                    }
                });
                if !fine {
                    return std::ptr::null();
                }
            }
            end(&o);
            op.add(1)
        }
    }
}

/// A load from local memory.
pub(crate) struct LoadLocal<M>(PhantomData<M>);
/// A store to local memory.
pub(crate) struct StoreLocal<M>(PhantomData<M>);

/// Local memory of lane `lane`: as many bytes as the kernel declares.
#[inline(always)]
pub(crate) fn local_site(cx: &Cx, lane: usize) -> Site {
    // SAFETY: the block outlives the run.
    let len = unsafe { (*cx.cta).local_bytes() };
    Site {
        lo: 0,
        len: len as u64,
        host: cx.local.wrapping_add(lane * len),
    }
}

/// Calls `lane` with chunk, lane in it and host address of each lane's access.
///
/// # Safety
/// `o` is an access made by the decoder.
#[inline(always)]
pub(crate) unsafe fn each_local<I: Isa>(
    cx: &mut Cx,
    op: *const Op,
    o: &Op,
    total: u64,
    mut lane: impl FnMut(&Cx, usize, usize, *mut u8),
) -> bool {
    for c in 0..cx.chunks {
        let m = cx.chunk_mask(c);
        if m == 0 {
            continue;
        }
        // SAFETY: the caller's operation.
        let ad = unsafe { addresses::<I>(cx, o, c) };
        for i in 0..CHUNK {
            if m >> i & 1 == 0 {
                continue;
            }
            let number = c * CHUNK + i;
            let at = u32::try_from(number).unwrap_or(0);
            if ad[i] & (alignment(o, total) - 1) != 0 {
                cx.fail(op, FaultKind::MisalignedAddress, at, ad[i]);
                return false;
            }
            // A generic address has the window in its upper half.
            let Some(p) = local_site(cx, number).at(ad[i] & (crate::WINDOW_BYTES - 1), total) else {
                cx.fail(op, FaultKind::IllegalAddress, at, ad[i]);
                return false;
            };
            lane(cx, c, i, p);
        }
    }
    true
}

impl<M: Element> Body for LoadLocal<M> {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: as in `Load`.
        unsafe {
            let o = *op;
            let n = elements(&o);
            let fine = each_local::<I>(cx, op, &o, (M::BYTES * n) as u64, |cx, c, i, p| {
                for (k, d) in targets(&o).into_iter().enumerate().take(n) {
                    let chunk = cx.destination(d).add(c * M::L::BYTES).cast::<M::L>();
                    *chunk.add(i) = M::get(p.add(k * M::BYTES));
                }
            });
            if fine { op.add(1) } else { std::ptr::null() }
        }
    }
}

impl<M: Element> Body for StoreLocal<M> {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: as in `Load`.
        unsafe {
            let o = *op;
            let n = elements(&o);
            let fine = each_local::<I>(cx, op, &o, (M::BYTES * n) as u64, |cx, c, i, p| {
                for (k, s) in targets(&o).into_iter().enumerate().take(n) {
                    let (from, step) = cx.source(s, M::L::BYTES);
                    let v = *from.add(c * step).cast::<M::L>().add(i);
                    M::put(p.add(k * M::BYTES), v);
                }
            });
            if fine { op.add(1) } else { std::ptr::null() }
        }
    }
}

/// Generic accesses that may go to local memory: lanes are told apart one by one.
pub(crate) struct Mixed<B, L>(PhantomData<(B, L)>);

impl<B: Body, L: Body> Body for Mixed<B, L> {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe {
            let o = *op;
            let mut local = [0u32; super::WARPS];
            let mut any = false;
            if o.flags & SCALAR == 0 {
                for c in 0..cx.chunks {
                    let m = cx.chunk_mask(c);
                    if m != 0 {
                        let ad = addresses::<I>(cx, &o, c);
                        let bits = I::within(&ad, crate::LOCAL_WINDOW, crate::WINDOW_BYTES - 1) & m;
                        local[c / 2] |= u32::from(bits) << (16 * (c % 2));
                        any |= bits != 0;
                    }
                }
            }
            if !any {
                return B::run::<I>(cx, op);
            }
            split::<L, I>(cx, op, &local)
        }
    }
}

/// Runs the lanes of `local` as a local access. The others come next, as an operation of their own: the caller's handler is
/// entered again with them alone.
#[inline(always)]
unsafe fn split<L: Body, I: Isa>(cx: &mut Cx, op: *const Op, local: &super::Mask) -> *const Op {
    // SAFETY: the contract of `Body`; the handler of `op` is the one that called.
    unsafe {
        let (mask, full) = (cx.mask, cx.full);
        let mut part = *op;
        part.flags &= !UNMASKED;
        cx.full = false;
        cx.mask = *local;
        let mut next = L::run::<I>(cx, &raw const part);
        let mut rest = super::Mask::default();
        for w in 0..super::WARPS {
            rest[w] = mask[w] & !local[w];
        }
        if !next.is_null() && rest != super::Mask::default() {
            cx.mask = rest;
            next = (part.f)(cx, &raw const part);
        }
        (cx.mask, cx.full) = (mask, full);
        if next.is_null() {
            // A fault; its place is the operation itself, not the copy.
            return cx.stop(op, Event::Fault);
        }
        op.add(1)
    }
}
