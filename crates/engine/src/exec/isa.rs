//! The vector units: what LLVM does badly on plain loops (masked stores, lanes to mask, address patterns), written with
//! intrinsics, and the one wrapper per unit that gives the loops of an operation its instruction set.
//!
//! A loop body is written once, `#[inline(always)]` and generic over [`Isa`]; [`Level::handler`] picks the copy of it that was
//! compiled for the processor at hand.

use super::tile::Tile;
use super::{Cx, Handler, Mask, Op};

/// Lanes that a loop handles at once: half a warp.
pub(crate) const CHUNK: usize = 16;

/// A vector unit.
pub(crate) trait Isa: Tile + Copy + 'static {
    /// Stores the lanes of `v` whose bit in `m` is set.
    ///
    /// # Safety
    /// `to` is aligned to 64 and valid for 16 lanes.
    unsafe fn store32(to: *mut [u32; CHUNK], v: &[u32; CHUNK], m: u16);
    /// As [`store32`](Isa::store32) with 64-bit lanes.
    ///
    /// # Safety
    /// As there.
    unsafe fn store64(to: *mut [u64; CHUNK], v: &[u64; CHUNK], m: u16);
    /// One bit per lane that is not zero.
    ///
    /// # Safety
    /// The processor has this unit.
    unsafe fn nonzero32(v: &[u32; CHUNK]) -> u16;
    /// One bit per lane for which `address == first + lane * step`.
    ///
    /// # Safety
    /// The processor has this unit.
    unsafe fn on_line(address: &[u64; CHUNK], first: u64, step: u64) -> u16;
    /// Sixteen addresses, `imm` further on.
    ///
    /// # Safety
    /// `from` holds 16 lanes; the processor has this unit.
    #[inline(always)]
    unsafe fn offset64(from: *const u64, imm: u64) -> [u64; CHUNK] {
        let mut v = [0; CHUNK];
        for (i, lane) in v.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *lane = unsafe { *from.add(i) }.wrapping_add(imm);
        }
        v
    }
    /// Sixteen addresses of 32 bits, `imm` further on, wrapping in 32 bits.
    ///
    /// # Safety
    /// As [`offset64`](Isa::offset64).
    #[inline(always)]
    unsafe fn offset32(from: *const u32, imm: u64) -> [u64; CHUNK] {
        let mut v = [0; CHUNK];
        for (i, lane) in v.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *lane = u64::from(unsafe { *from.add(i) }).wrapping_add(imm) & 0xffff_ffff;
        }
        v
    }
    /// One bit per lane for which `address - lo <= last` (unsigned, wrapping).
    ///
    /// # Safety
    /// The processor has this unit.
    unsafe fn within(address: &[u64; CHUNK], lo: u64, last: u64) -> u16;
    /// One bit per lane that has none of the bits `low`.
    ///
    /// # Safety
    /// The processor has this unit.
    unsafe fn aligned(address: &[u64; CHUNK], low: u64) -> u16;
    /// One bit per chunk that has a lane in `mask`.
    ///
    /// # Safety
    /// The processor has this unit.
    unsafe fn chunks(mask: &Mask) -> u16;
    /// The lanes of `a` whose bit in `m` is set, the others of `b`.
    ///
    /// # Safety
    /// The processor has this unit.
    unsafe fn select32(m: u16, a: &[u32; CHUNK], b: &[u32; CHUNK]) -> [u32; CHUNK];
    /// As [`select32`](Isa::select32) with 64-bit lanes.
    ///
    /// # Safety
    /// As there.
    unsafe fn select64(m: u16, a: &[u64; CHUNK], b: &[u64; CHUNK]) -> [u64; CHUNK];
    /// Writes the lanes of `mask` of a predicate; chunk `c` is bits `16 * (c % 4)` and up of word `c / 4`.
    ///
    /// # Safety
    /// `to` is a predicate; the processor has this unit.
    unsafe fn merge(to: *mut Mask, words: [u64; 4], mask: &Mask);
    /// Lane `from[i]` of `v` in lane `i`; `from` is less than 32.
    ///
    /// # Safety
    /// The processor has this unit.
    #[inline(always)]
    unsafe fn permute(v: &[u32; 32], from: &[u32; 32]) -> [u32; 32] {
        from.map(|i| v[i as usize & 31])
    }
    /// Asks for the line of memory at `at`, which may be anywhere.
    ///
    /// # Safety
    /// The processor has this unit.
    unsafe fn prefetch<const WRITE: bool>(at: *const u8);
    /// Carries an operation out by a body that is too long, or too seldom wanted, to be part of another one.
    ///
    /// # Safety
    /// As [`Body::run`].
    unsafe fn enter<B: Body>(cx: &mut Cx, op: *const Op) -> *const Op;
}

/// Plain loops: any processor.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Isa for Portable {
    #[inline(always)]
    unsafe fn store32(to: *mut [u32; CHUNK], v: &[u32; CHUNK], m: u16) {
        // SAFETY: the caller's.
        let to = unsafe { &mut *to };
        for i in 0..CHUNK {
            to[i] = if m >> i & 1 != 0 { v[i] } else { to[i] };
        }
    }
    #[inline(always)]
    unsafe fn store64(to: *mut [u64; CHUNK], v: &[u64; CHUNK], m: u16) {
        // SAFETY: the caller's.
        let to = unsafe { &mut *to };
        for i in 0..CHUNK {
            to[i] = if m >> i & 1 != 0 { v[i] } else { to[i] };
        }
    }
    #[inline(always)]
    unsafe fn nonzero32(v: &[u32; CHUNK]) -> u16 {
        let mut bits = 0u16;
        for i in 0..CHUNK {
            bits |= u16::from(v[i] != 0) << i;
        }
        bits
    }
    #[inline(always)]
    unsafe fn on_line(address: &[u64; CHUNK], first: u64, step: u64) -> u16 {
        let mut bits = 0u16;
        for i in 0..CHUNK {
            bits |= u16::from(address[i] == first.wrapping_add(i as u64 * step)) << i;
        }
        bits
    }
    #[inline(always)]
    unsafe fn within(address: &[u64; CHUNK], lo: u64, last: u64) -> u16 {
        let mut bits = 0u16;
        for i in 0..CHUNK {
            bits |= u16::from(address[i].wrapping_sub(lo) <= last) << i;
        }
        bits
    }
    #[inline(always)]
    unsafe fn aligned(address: &[u64; CHUNK], low: u64) -> u16 {
        let mut bits = 0u16;
        for i in 0..CHUNK {
            bits |= u16::from(address[i] & low == 0) << i;
        }
        bits
    }
    #[inline(always)]
    unsafe fn chunks(mask: &Mask) -> u16 {
        let mut bits = 0u16;
        for (w, word) in mask.iter().enumerate() {
            bits |= u16::from(word & 0xffff != 0) << (2 * w) | u16::from(word >> 16 != 0) << (2 * w + 1);
        }
        bits
    }
    #[inline(always)]
    unsafe fn select32(m: u16, a: &[u32; CHUNK], b: &[u32; CHUNK]) -> [u32; CHUNK] {
        std::array::from_fn(|i| if m >> i & 1 != 0 { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn select64(m: u16, a: &[u64; CHUNK], b: &[u64; CHUNK]) -> [u64; CHUNK] {
        std::array::from_fn(|i| if m >> i & 1 != 0 { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn merge(to: *mut Mask, words: [u64; 4], mask: &Mask) {
        // SAFETY: the caller's promise.
        let to = unsafe { &mut *to };
        for (w, word) in to.iter_mut().enumerate() {
            #[allow(clippy::cast_possible_truncation, reason = "half of a word")]
            let new = (words[w / 2] >> (32 * (w % 2))) as u32;
            *word = *word & !mask[w] | new & mask[w];
        }
    }
    #[inline(always)]
    unsafe fn prefetch<const WRITE: bool>(_: *const u8) {}
    #[inline(always)]
    unsafe fn enter<B: Body>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the caller's promise.
        unsafe { enter_portable::<B>(cx, op) }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Body, CHUNK, Cx, Isa, Mask, Op};
    use std::arch::x86_64::*;

    /// AVX-512 F, BW, DQ, VL.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512;

    /// AVX2 and FMA.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2;

    /// Lane numbers 0 to 7 and 8 to 15.
    static IOTA: [i64; CHUNK] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    // SAFETY of every intrinsic below: the unit is only used by handlers that were picked after its features were found
    // (contract of the trait); arrays of 16 lanes hold two or one full vectors.
    impl Isa for Avx512 {
        #[inline(always)]
        unsafe fn store32(to: *mut [u32; CHUNK], v: &[u32; CHUNK], m: u16) {
            // Not a store under the mask: what it writes could not be read back before it has left the store queue.
            // SAFETY: see the head of the impl.
            unsafe {
                let new = _mm512_loadu_si512(v.as_ptr().cast());
                let old = _mm512_loadu_si512(to.cast_const().cast());
                _mm512_storeu_si512(to.cast(), _mm512_mask_mov_epi32(old, m, new));
            }
        }
        #[inline(always)]
        unsafe fn store64(to: *mut [u64; CHUNK], v: &[u64; CHUNK], m: u16) {
            // SAFETY: see the head of the impl.
            unsafe {
                for (half, m) in m.to_le_bytes().into_iter().enumerate() {
                    let to = to.cast::<i64>().add(half * 8);
                    let new = _mm512_loadu_si512(v.as_ptr().add(half * 8).cast());
                    let old = _mm512_loadu_si512(to.cast_const().cast());
                    _mm512_storeu_si512(to.cast(), _mm512_mask_mov_epi64(old, m, new));
                }
            }
        }
        #[inline(always)]
        unsafe fn nonzero32(v: &[u32; CHUNK]) -> u16 {
            // SAFETY: see the head of the impl.
            unsafe {
                let v = _mm512_loadu_si512(v.as_ptr().cast());
                _mm512_test_epi32_mask(v, v)
            }
        }
        #[inline(always)]
        unsafe fn on_line(address: &[u64; CHUNK], first: u64, step: u64) -> u16 {
            // SAFETY: see the head of the impl.
            unsafe {
                let first = _mm512_set1_epi64(first.cast_signed());
                let step = _mm512_set1_epi64(step.cast_signed());
                let half = |at: usize| {
                    let lanes = _mm512_loadu_si512(IOTA.as_ptr().add(at).cast());
                    let line = _mm512_add_epi64(first, _mm512_mullo_epi64(lanes, step));
                    let got = _mm512_loadu_si512(address.as_ptr().add(at).cast());
                    _mm512_cmpeq_epi64_mask(line, got)
                };
                u16::from_le_bytes([half(0), half(8)])
            }
        }
        #[inline(always)]
        unsafe fn offset64(from: *const u64, imm: u64) -> [u64; CHUNK] {
            let mut v = [0u64; CHUNK];
            // SAFETY: see the head of the impl.
            unsafe {
                let imm = _mm512_set1_epi64(imm.cast_signed());
                for at in [0, 8] {
                    let sum = _mm512_add_epi64(_mm512_loadu_si512(from.add(at).cast()), imm);
                    _mm512_storeu_si512(v.as_mut_ptr().add(at).cast(), sum);
                }
            }
            v
        }
        #[inline(always)]
        unsafe fn offset32(from: *const u32, imm: u64) -> [u64; CHUNK] {
            let mut v = [0u64; CHUNK];
            // SAFETY: see the head of the impl.
            unsafe {
                #[allow(clippy::cast_possible_truncation, reason = "addresses of 32 bits wrap there")]
                let imm = _mm512_set1_epi32((imm as u32).cast_signed());
                let sum = _mm512_add_epi32(_mm512_loadu_si512(from.cast()), imm);
                let low = _mm512_cvtepu32_epi64(_mm512_castsi512_si256(sum));
                let high = _mm512_cvtepu32_epi64(_mm512_extracti64x4_epi64::<1>(sum));
                _mm512_storeu_si512(v.as_mut_ptr().cast(), low);
                _mm512_storeu_si512(v.as_mut_ptr().add(8).cast(), high);
            }
            v
        }
        #[inline(always)]
        unsafe fn within(address: &[u64; CHUNK], lo: u64, last: u64) -> u16 {
            // SAFETY: see the head of the impl.
            unsafe {
                let lo = _mm512_set1_epi64(lo.cast_signed());
                let last = _mm512_set1_epi64(last.cast_signed());
                let half = |at: usize| {
                    let got = _mm512_loadu_si512(address.as_ptr().add(at).cast());
                    _mm512_cmple_epu64_mask(_mm512_sub_epi64(got, lo), last)
                };
                u16::from_le_bytes([half(0), half(8)])
            }
        }
        #[inline(always)]
        unsafe fn aligned(address: &[u64; CHUNK], low: u64) -> u16 {
            // SAFETY: see the head of the impl.
            unsafe {
                let low = _mm512_set1_epi64(low.cast_signed());
                let half = |at: usize| {
                    let got = _mm512_loadu_si512(address.as_ptr().add(at).cast());
                    _mm512_testn_epi64_mask(got, low)
                };
                u16::from_le_bytes([half(0), half(8)])
            }
        }
        #[inline(always)]
        unsafe fn chunks(mask: &Mask) -> u16 {
            // SAFETY: see the head of the impl; a mask is 32 bytes.
            unsafe {
                let mask = _mm256_loadu_si256(mask.as_ptr().cast());
                _mm256_test_epi16_mask(mask, mask)
            }
        }
        #[inline(always)]
        unsafe fn select32(m: u16, a: &[u32; CHUNK], b: &[u32; CHUNK]) -> [u32; CHUNK] {
            let mut r = [0; CHUNK];
            // SAFETY: see the head of the impl.
            unsafe {
                let (a, b) = (
                    _mm512_loadu_si512(a.as_ptr().cast()),
                    _mm512_loadu_si512(b.as_ptr().cast()),
                );
                _mm512_storeu_si512(r.as_mut_ptr().cast(), _mm512_mask_blend_epi32(m, b, a));
            }
            r
        }
        #[inline(always)]
        unsafe fn select64(m: u16, a: &[u64; CHUNK], b: &[u64; CHUNK]) -> [u64; CHUNK] {
            let mut r = [0; CHUNK];
            // SAFETY: see the head of the impl.
            unsafe {
                for (half, m) in m.to_le_bytes().into_iter().enumerate() {
                    let at = half * 8;
                    let (a, b) = (
                        _mm512_loadu_si512(a.as_ptr().add(at).cast()),
                        _mm512_loadu_si512(b.as_ptr().add(at).cast()),
                    );
                    let to = r.as_mut_ptr().add(at);
                    _mm512_storeu_si512(to.cast(), _mm512_mask_blend_epi64(m, b, a));
                }
            }
            r
        }
        #[inline(always)]
        unsafe fn merge(to: *mut Mask, words: [u64; 4], mask: &Mask) {
            // SAFETY: the caller's promise; predicates and masks are 32 bytes.
            unsafe { merge(to, words, mask) }
        }
        #[inline(always)]
        unsafe fn permute(v: &[u32; 32], from: &[u32; 32]) -> [u32; 32] {
            let mut r = [0; 32];
            // SAFETY: see the head of the impl.
            unsafe {
                let low = _mm512_loadu_si512(v.as_ptr().cast());
                let high = _mm512_loadu_si512(v.as_ptr().add(16).cast());
                for at in [0, 16] {
                    let from = _mm512_loadu_si512(from.as_ptr().add(at).cast());
                    let got = _mm512_permutex2var_epi32(low, from, high);
                    _mm512_storeu_si512(r.as_mut_ptr().add(at).cast(), got);
                }
            }
            r
        }
        #[inline(always)]
        unsafe fn prefetch<const WRITE: bool>(at: *const u8) {
            // SAFETY: a prefetch touches nothing that a program could see.
            unsafe {
                if WRITE {
                    _mm_prefetch::<_MM_HINT_ET0>(at.cast());
                } else {
                    _mm_prefetch::<_MM_HINT_T0>(at.cast());
                }
            }
        }
        #[inline(always)]
        unsafe fn enter<B: Body>(cx: &mut Cx, op: *const Op) -> *const Op {
            // SAFETY: the caller's promise; this is the processor's unit.
            unsafe { super::enter_avx512::<B>(cx, op) }
        }
    }

    /// [`Isa::merge`]: one store of the whole predicate.
    #[inline(always)]
    unsafe fn merge(to: *mut Mask, words: [u64; 4], mask: &Mask) {
        // SAFETY: see the head of `impl Isa for Avx512`; predicates and masks are 32 bytes.
        unsafe {
            let [a, b, c, d] = words.map(u64::cast_signed);
            let new = _mm256_set_epi64x(d, c, b, a);
            let mask = _mm256_loadu_si256(mask.as_ptr().cast());
            let old = _mm256_loadu_si256(to.cast());
            let both = _mm256_or_si256(_mm256_andnot_si256(mask, old), _mm256_and_si256(mask, new));
            _mm256_storeu_si256(to.cast(), both);
        }
    }

    /// Bit `i` of `m` as all ones or all zeros in lane `i`, for the eight lanes from `at`.
    #[inline(always)]
    unsafe fn spread(m: u16, at: u32) -> __m256i {
        // SAFETY: see the head of `impl Isa for Avx512`.
        unsafe {
            let bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
            let all = _mm256_set1_epi32(i32::from(m >> at));
            _mm256_cmpeq_epi32(_mm256_and_si256(all, bits), bits)
        }
    }

    #[inline(always)]
    fn low_byte(bits: i32) -> u8 {
        bits.to_le_bytes()[0]
    }

    impl Isa for Avx2 {
        #[inline(always)]
        unsafe fn store32(to: *mut [u32; CHUNK], v: &[u32; CHUNK], m: u16) {
            // SAFETY: see the head of `impl Isa for Avx512`.
            unsafe {
                for (half, at) in [(0usize, 0u32), (8, 8)] {
                    let slot = to.cast::<i32>().add(half);
                    let new = _mm256_loadu_si256(v.as_ptr().add(half).cast());
                    let old = _mm256_loadu_si256(slot.cast());
                    _mm256_storeu_si256(slot.cast(), _mm256_blendv_epi8(old, new, spread(m, at)));
                }
            }
        }
        #[inline(always)]
        unsafe fn store64(to: *mut [u64; CHUNK], v: &[u64; CHUNK], m: u16) {
            // SAFETY: see the head of `impl Isa for Avx512`.
            unsafe {
                let bits = _mm256_setr_epi64x(1, 2, 4, 8);
                for quarter in 0..4usize {
                    let slot = to.cast::<i64>().add(quarter * 4);
                    let new = _mm256_loadu_si256(v.as_ptr().add(quarter * 4).cast());
                    let old = _mm256_loadu_si256(slot.cast());
                    let all = _mm256_set1_epi64x(i64::from(m >> (quarter * 4)));
                    let pick = _mm256_cmpeq_epi64(_mm256_and_si256(all, bits), bits);
                    _mm256_storeu_si256(slot.cast(), _mm256_blendv_epi8(old, new, pick));
                }
            }
        }
        #[inline(always)]
        unsafe fn nonzero32(v: &[u32; CHUNK]) -> u16 {
            // SAFETY: see the head of `impl Isa for Avx512`.
            unsafe {
                let half = |at: usize| {
                    let got = _mm256_loadu_si256(v.as_ptr().add(at).cast());
                    let zero = _mm256_cmpeq_epi32(got, _mm256_setzero_si256());
                    !low_byte(_mm256_movemask_ps(_mm256_castsi256_ps(zero)))
                };
                u16::from_le_bytes([half(0), half(8)])
            }
        }
        #[inline(always)]
        unsafe fn on_line(address: &[u64; CHUNK], first: u64, step: u64) -> u16 {
            let mut bits = 0u16;
            // SAFETY: see the head of `impl Isa for Avx512`.
            unsafe {
                for quarter in 0..4usize {
                    let mut line = [0u64; 4];
                    for (i, lane) in line.iter_mut().enumerate() {
                        *lane = first.wrapping_add(((quarter * 4 + i) as u64).wrapping_mul(step));
                    }
                    let line = _mm256_loadu_si256(line.as_ptr().cast());
                    let got = _mm256_loadu_si256(address.as_ptr().add(quarter * 4).cast());
                    let same = _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(line, got)));
                    bits |= u16::from(low_byte(same)) << (quarter * 4);
                }
            }
            bits
        }
        #[inline(always)]
        unsafe fn within(address: &[u64; CHUNK], lo: u64, last: u64) -> u16 {
            let mut bits = 0u16;
            // SAFETY: see the head of `impl Isa for Avx512`.
            unsafe {
                // AVX2 compares signed numbers only: shifting both sides by 2^63 makes that unsigned.
                let top = _mm256_set1_epi64x(i64::MIN);
                let lo = _mm256_set1_epi64x(lo.cast_signed());
                let last = _mm256_xor_si256(_mm256_set1_epi64x(last.cast_signed()), top);
                for quarter in 0..4usize {
                    let got = _mm256_loadu_si256(address.as_ptr().add(quarter * 4).cast());
                    let offset = _mm256_xor_si256(_mm256_sub_epi64(got, lo), top);
                    let beyond = _mm256_cmpgt_epi64(offset, last);
                    let out = _mm256_movemask_pd(_mm256_castsi256_pd(beyond));
                    bits |= u16::from(!low_byte(out) & 15) << (quarter * 4);
                }
            }
            bits
        }
        #[inline(always)]
        unsafe fn aligned(address: &[u64; CHUNK], low: u64) -> u16 {
            let mut bits = 0u16;
            // SAFETY: see the head of `impl Isa for Avx512`.
            unsafe {
                let low = _mm256_set1_epi64x(low.cast_signed());
                for quarter in 0..4usize {
                    let got = _mm256_loadu_si256(address.as_ptr().add(quarter * 4).cast());
                    let even = _mm256_cmpeq_epi64(_mm256_and_si256(got, low), _mm256_setzero_si256());
                    let even = low_byte(_mm256_movemask_pd(_mm256_castsi256_pd(even)));
                    bits |= u16::from(even) << (quarter * 4);
                }
            }
            bits
        }
        #[inline(always)]
        unsafe fn chunks(mask: &Mask) -> u16 {
            // SAFETY: see the head of `impl Isa for Avx512`; a mask is 32 bytes.
            unsafe {
                let mask = _mm256_loadu_si256(mask.as_ptr().cast());
                let none = _mm256_cmpeq_epi16(mask, _mm256_setzero_si256());
                let low = _mm256_castsi256_si128(none);
                let bytes = _mm_packs_epi16(low, _mm256_extracti128_si256::<1>(none));
                let [a, b, ..] = _mm_movemask_epi8(bytes).to_le_bytes();
                !u16::from_le_bytes([a, b])
            }
        }
        #[inline(always)]
        unsafe fn select32(m: u16, a: &[u32; CHUNK], b: &[u32; CHUNK]) -> [u32; CHUNK] {
            let mut r = [0; CHUNK];
            // SAFETY: see the head of `impl Isa for Avx512`.
            unsafe {
                for (half, at) in [(0usize, 0u32), (8, 8)] {
                    let yes = _mm256_loadu_si256(a.as_ptr().add(half).cast());
                    let no = _mm256_loadu_si256(b.as_ptr().add(half).cast());
                    let v = _mm256_blendv_epi8(no, yes, spread(m, at));
                    _mm256_storeu_si256(r.as_mut_ptr().add(half).cast(), v);
                }
            }
            r
        }
        #[inline(always)]
        unsafe fn select64(m: u16, a: &[u64; CHUNK], b: &[u64; CHUNK]) -> [u64; CHUNK] {
            std::array::from_fn(|i| if m >> i & 1 != 0 { a[i] } else { b[i] })
        }
        #[inline(always)]
        unsafe fn merge(to: *mut Mask, words: [u64; 4], mask: &Mask) {
            // SAFETY: the caller's promise; predicates and masks are 32 bytes.
            unsafe { merge(to, words, mask) }
        }
        #[inline(always)]
        unsafe fn prefetch<const WRITE: bool>(at: *const u8) {
            // SAFETY: a prefetch touches nothing that a program could see.
            unsafe {
                if WRITE {
                    _mm_prefetch::<_MM_HINT_ET0>(at.cast());
                } else {
                    _mm_prefetch::<_MM_HINT_T0>(at.cast());
                }
            }
        }
        #[inline(always)]
        unsafe fn enter<B: Body>(cx: &mut Cx, op: *const Op) -> *const Op {
            // SAFETY: the caller's promise; this is the processor's unit.
            unsafe { super::enter_avx2::<B>(cx, op) }
        }
    }
}
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

/// The loop bodies of one operation, generic over the vector unit.
pub(crate) trait Body: 'static {
    /// Executes the operation and returns the next one; null ends the run.
    ///
    /// # Safety
    /// `cx` is the context of a running group, `op` one of its operations, made by the decoder for this body; the
    /// processor has unit `I`.
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op;
}

/// Which vector unit is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// What every processor of the target has.
    Portable,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512 F, BW, DQ, VL.
    Avx512,
}

impl Level {
    /// The best that this processor has.
    #[must_use]
    pub fn best() -> Self {
        [Self::Avx512, Self::Avx2]
            .into_iter()
            .find(|level| level.available())
            .unwrap_or(Self::Portable)
    }

    /// Whether this processor has it.
    #[must_use]
    pub fn available(self) -> bool {
        // `--cfg tessera_one_unit` leaves out the loops of the lesser units: a third of the time to build, for work on the engine.
        if cfg!(tessera_one_unit) && self != Self::Avx512 {
            return false;
        }
        self.detected()
    }

    /// Whether this processor has it, in whatever build.
    pub(crate) fn detected(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
                    && is_x86_feature_detected!("bmi2")
                    && is_x86_feature_detected!("bmi1")
                    && is_x86_feature_detected!("lzcnt")
                    && is_x86_feature_detected!("popcnt")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.detected()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The copy of an operation for this unit. The level must be [`available`](Self::available).
    pub(crate) fn handler<B: Body>(self) -> Handler {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => enter_avx512::<B>,
            #[cfg(tessera_one_unit)]
            _ => enter_avx512::<B>,
            #[cfg(all(target_arch = "x86_64", not(tessera_one_unit)))]
            Self::Avx2 => enter_avx2::<B>,
            #[cfg(not(tessera_one_unit))]
            _ => enter_portable::<B>,
        }
    }
}

/// # Safety
/// As [`Body::run`].
#[inline(never)]
#[cfg_attr(tessera_one_unit, allow(dead_code))]
unsafe fn enter_portable<B: Body>(cx: &mut Cx, op: *const Op) -> *const Op {
    // SAFETY: the caller's promise.
    unsafe { B::run::<Portable>(cx, op) }
}

/// # Safety
/// As [`Body::run`].
#[cfg(target_arch = "x86_64")]
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt")]
#[cfg_attr(tessera_one_unit, allow(dead_code))]
unsafe fn enter_avx2<B: Body>(cx: &mut Cx, op: *const Op) -> *const Op {
    // SAFETY: the caller's promise.
    unsafe { B::run::<Avx2>(cx, op) }
}

/// # Safety
/// As [`Body::run`].
#[cfg(target_arch = "x86_64")]
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn enter_avx512<B: Body>(cx: &mut Cx, op: *const Op) -> *const Op {
    // SAFETY: the caller's promise.
    unsafe { B::run::<Avx512>(cx, op) }
}
