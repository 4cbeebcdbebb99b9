//! What matrix products and chains of operations ask of a vector unit, sixteen lanes at a time.

use super::isa::{CHUNK, Portable};

/// Sixteen words.
pub(crate) type Words = [u32; CHUNK];
/// Sixteen numbers.
pub(crate) type Floats = [f32; CHUNK];

/// The part of a vector unit that matrix products and chains of operations use.
///
/// # Safety
/// Every function may only be called where the processor has the unit.
pub(crate) trait Tile {
    /// Sixteen numbers in registers.
    type F: Copy;
    /// Columns of a result that the registers hold beside what else is needed.
    const COLUMNS: usize;

    /// Sixteen words in registers.
    type U: Copy;

    /// Reads words.
    unsafe fn get(from: *const u32) -> Self::U;
    /// Writes words.
    unsafe fn put(to: *mut u32, v: Self::U);
    /// As [`transpose`](Tile::transpose), in registers.
    unsafe fn squares(v: [Self::U; 4]) -> [Self::U; 4];
    /// The halves in the low parts as numbers.
    unsafe fn halves(v: Self::U) -> Self::F;
    /// Shifted right by 16 bits.
    unsafe fn upper(v: Self::U) -> Self::U;
    /// Shifted left by 16 bits.
    unsafe fn lower(v: Self::U) -> Self::U;
    /// The bits of `mask` alone.
    unsafe fn and(v: Self::U, mask: u32) -> Self::U;
    /// Sum of words, wrapping.
    unsafe fn add(a: Self::U, b: Self::U) -> Self::U;
    /// Difference of words, wrapping.
    unsafe fn sub(a: Self::U, b: Self::U) -> Self::U;
    /// Low halves of the products of words.
    unsafe fn mul(a: Self::U, b: Self::U) -> Self::U;
    /// Bits of both.
    unsafe fn both(a: Self::U, b: Self::U) -> Self::U;
    /// Bits of either.
    unsafe fn either(a: Self::U, b: Self::U) -> Self::U;
    /// Bits of one but not both.
    unsafe fn xor(a: Self::U, b: Self::U) -> Self::U;
    /// Shifted left by as many bits as the lanes of `b` say; zero from 32 on.
    unsafe fn shl(a: Self::U, b: Self::U) -> Self::U;
    /// As [`shl`](Tile::shl), right.
    unsafe fn shr(a: Self::U, b: Self::U) -> Self::U;
    /// Bits as numbers.
    unsafe fn numbers(v: Self::U) -> Self::F;
    /// Numbers as bits, with the canonical NaN.
    unsafe fn bits(v: Self::F) -> Self::U;
    /// Reads.
    unsafe fn load(from: &Floats) -> Self::F;
    /// Writes.
    unsafe fn store(to: &mut Floats, v: Self::F);
    /// `a * b + c`, rounded once.
    unsafe fn fma(a: Self::F, b: f32, c: Self::F) -> Self::F;
    /// As [`fma`](Tile::fma) in the lanes of `m`, `c` in the others.
    unsafe fn fma_some(a: Self::F, b: f32, c: Self::F, m: u16) -> Self::F;
    /// Transposes each of the four squares that four vectors are made of: `out[t][4 * q + z] = v[z][4 * q + t]`.
    unsafe fn transpose(v: &[Words; 4]) -> [Words; 4];
    /// Halves in the low parts of words as numbers; exact.
    unsafe fn widen(v: &Words) -> Floats;
    /// Numbers as halves in the low parts of words, to nearest; NaN becomes the canonical one.
    unsafe fn narrow(v: &Floats) -> Words;
}

impl Tile for Portable {
    type F = Floats;
    type U = Words;
    const COLUMNS: usize = 4;

    #[inline(always)]
    unsafe fn get(from: *const u32) -> Words {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<Words>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn put(to: *mut u32, v: Words) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<Words>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn squares(v: [Words; 4]) -> [Words; 4] {
        // SAFETY: any processor will do.
        unsafe { Self::transpose(&v) }
    }
    #[inline(always)]
    unsafe fn halves(v: Words) -> Floats {
        v.map(|x| tessera_arith::half::f16_to_f32(x & 0xffff))
    }
    #[inline(always)]
    unsafe fn upper(v: Words) -> Words {
        v.map(|x| x >> 16)
    }
    #[inline(always)]
    unsafe fn lower(v: Words) -> Words {
        v.map(|x| x << 16)
    }
    #[inline(always)]
    unsafe fn and(v: Words, mask: u32) -> Words {
        v.map(|x| x & mask)
    }
    #[inline(always)]
    unsafe fn add(a: Words, b: Words) -> Words {
        std::array::from_fn(|i| a[i].wrapping_add(b[i]))
    }
    #[inline(always)]
    unsafe fn sub(a: Words, b: Words) -> Words {
        std::array::from_fn(|i| a[i].wrapping_sub(b[i]))
    }
    #[inline(always)]
    unsafe fn mul(a: Words, b: Words) -> Words {
        std::array::from_fn(|i| a[i].wrapping_mul(b[i]))
    }
    #[inline(always)]
    unsafe fn both(a: Words, b: Words) -> Words {
        std::array::from_fn(|i| a[i] & b[i])
    }
    #[inline(always)]
    unsafe fn either(a: Words, b: Words) -> Words {
        std::array::from_fn(|i| a[i] | b[i])
    }
    #[inline(always)]
    unsafe fn xor(a: Words, b: Words) -> Words {
        std::array::from_fn(|i| a[i] ^ b[i])
    }
    #[inline(always)]
    unsafe fn shl(a: Words, b: Words) -> Words {
        std::array::from_fn(|i| tessera_arith::logic::shl32(a[i], b[i]))
    }
    #[inline(always)]
    unsafe fn shr(a: Words, b: Words) -> Words {
        std::array::from_fn(|i| tessera_arith::logic::shr_u32(a[i], b[i]))
    }
    #[inline(always)]
    unsafe fn numbers(v: Words) -> Floats {
        v.map(f32::from_bits)
    }
    #[inline(always)]
    unsafe fn bits(v: Floats) -> Words {
        v.map(|x| if x.is_nan() { 0x7fff_ffff } else { x.to_bits() })
    }

    #[inline(always)]
    unsafe fn load(from: &Floats) -> Floats {
        *from
    }
    #[inline(always)]
    unsafe fn store(to: &mut Floats, v: Floats) {
        *to = v;
    }
    #[inline(always)]
    unsafe fn fma(a: Floats, b: f32, mut c: Floats) -> Floats {
        for i in 0..CHUNK {
            c[i] = a[i].mul_add(b, c[i]);
        }
        c
    }
    #[inline(always)]
    unsafe fn fma_some(a: Floats, b: f32, mut c: Floats, m: u16) -> Floats {
        for i in 0..CHUNK {
            if m >> i & 1 != 0 {
                c[i] = a[i].mul_add(b, c[i]);
            }
        }
        c
    }
    #[inline(always)]
    unsafe fn transpose(v: &[Words; 4]) -> [Words; 4] {
        let mut out = [[0; CHUNK]; 4];
        for (t, row) in out.iter_mut().enumerate() {
            for q in 0..4 {
                for z in 0..4 {
                    row[4 * q + z] = v[z][4 * q + t];
                }
            }
        }
        out
    }
    #[inline(always)]
    unsafe fn widen(v: &Words) -> Floats {
        v.map(tessera_arith::half::f16_to_f32)
    }
    #[inline(always)]
    unsafe fn narrow(v: &Floats) -> Words {
        v.map(tessera_arith::convert::f32_to_f16_rn)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Floats, Tile, Words};
    use crate::exec::isa::{Avx2, Avx512};
    use std::arch::x86_64::*;

    // SAFETY of every intrinsic below: the unit is only used by handlers that were picked after its features were found;
    // arrays of 16 lanes hold two or one full vectors.
    impl Tile for Avx512 {
        type F = __m512;
        type U = __m512i;
        const COLUMNS: usize = 8;

        #[inline(always)]
        unsafe fn get(from: *const u32) -> __m512i {
            // SAFETY: see the head of the impl.
            unsafe { _mm512_loadu_si512(from.cast()) }
        }
        #[inline(always)]
        unsafe fn put(to: *mut u32, v: __m512i) {
            // SAFETY: see the head of the impl.
            unsafe { _mm512_storeu_si512(to.cast(), v) }
        }
        #[inline(always)]
        unsafe fn squares([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
            // SAFETY: see the head of the impl.
            unsafe {
                let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
                let (ef, gh) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
                [
                    _mm512_unpacklo_epi64(ab, cd),
                    _mm512_unpackhi_epi64(ab, cd),
                    _mm512_unpacklo_epi64(ef, gh),
                    _mm512_unpackhi_epi64(ef, gh),
                ]
            }
        }
        #[inline(always)]
        unsafe fn halves(v: __m512i) -> __m512 {
            // SAFETY: see the head of the impl.
            unsafe { _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v)) }
        }
        #[inline(always)]
        unsafe fn upper(v: __m512i) -> __m512i {
            // SAFETY: see the head of the impl.
            unsafe { _mm512_srli_epi32::<16>(v) }
        }
        #[inline(always)]
        unsafe fn lower(v: __m512i) -> __m512i {
            // SAFETY: see the head of the impl.
            unsafe { _mm512_slli_epi32::<16>(v) }
        }
        #[inline(always)]
        unsafe fn and(v: __m512i, mask: u32) -> __m512i {
            // SAFETY: see the head of the impl.
            unsafe { _mm512_and_si512(v, _mm512_set1_epi32(mask.cast_signed())) }
        }
        #[inline(always)]
        unsafe fn add(a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: see the head of the impl.
            unsafe { _mm512_add_epi32(a, b) }
        }
        #[inline(always)]
        unsafe fn sub(a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: see the head of the impl.
            unsafe { _mm512_sub_epi32(a, b) }
        }
        #[inline(always)]
        unsafe fn mul(a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: see the head of the impl.
            unsafe { _mm512_mullo_epi32(a, b) }
        }
        #[inline(always)]
        unsafe fn both(a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: see the head of the impl.
            unsafe { _mm512_and_si512(a, b) }
        }
        #[inline(always)]
        unsafe fn either(a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: see the head of the impl.
            unsafe { _mm512_or_si512(a, b) }
        }
        #[inline(always)]
        unsafe fn xor(a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: see the head of the impl.
            unsafe { _mm512_xor_si512(a, b) }
        }
        #[inline(always)]
        unsafe fn shl(a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: see the head of the impl.
            unsafe { _mm512_sllv_epi32(a, b) }
        }
        #[inline(always)]
        unsafe fn shr(a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: see the head of the impl.
            unsafe { _mm512_srlv_epi32(a, b) }
        }
        #[inline(always)]
        unsafe fn numbers(v: __m512i) -> __m512 {
            // SAFETY: see the head of the impl.
            unsafe { _mm512_castsi512_ps(v) }
        }
        #[inline(always)]
        unsafe fn bits(v: __m512) -> __m512i {
            // SAFETY: see the head of the impl.
            unsafe {
                let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v);
                _mm512_mask_set1_epi32(_mm512_castps_si512(v), nan, 0x7fff_ffff)
            }
        }

        #[inline(always)]
        unsafe fn load(from: &Floats) -> __m512 {
            // SAFETY: see the head of the impl.
            unsafe { _mm512_loadu_ps(from.as_ptr()) }
        }
        #[inline(always)]
        unsafe fn store(to: &mut Floats, v: __m512) {
            // SAFETY: see the head of the impl.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), v) }
        }
        #[inline(always)]
        unsafe fn fma(a: __m512, b: f32, c: __m512) -> __m512 {
            // SAFETY: see the head of the impl.
            unsafe { _mm512_fmadd_ps(a, _mm512_set1_ps(b), c) }
        }
        #[inline(always)]
        unsafe fn fma_some(a: __m512, b: f32, c: __m512, m: u16) -> __m512 {
            // SAFETY: see the head of the impl.
            unsafe { _mm512_mask3_fmadd_ps(a, _mm512_set1_ps(b), c, m) }
        }
        #[inline(always)]
        unsafe fn transpose(v: &[Words; 4]) -> [Words; 4] {
            let mut out = [[0; 16]; 4];
            // SAFETY: see the head of the impl.
            unsafe {
                let get = |z: usize| _mm512_loadu_si512(v[z].as_ptr().cast());
                let (a, b, c, d) = (get(0), get(1), get(2), get(3));
                let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
                let (ef, gh) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
                let mut put = |t: usize, x| _mm512_storeu_si512(out[t].as_mut_ptr().cast(), x);
                put(0, _mm512_unpacklo_epi64(ab, cd));
                put(1, _mm512_unpackhi_epi64(ab, cd));
                put(2, _mm512_unpacklo_epi64(ef, gh));
                put(3, _mm512_unpackhi_epi64(ef, gh));
            }
            out
        }
        #[inline(always)]
        unsafe fn widen(v: &Words) -> Floats {
            let mut out = [0.0; 16];
            // SAFETY: see the head of the impl.
            unsafe {
                let words = _mm512_loadu_si512(v.as_ptr().cast());
                let numbers = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(words));
                _mm512_storeu_ps(out.as_mut_ptr(), numbers);
            }
            out
        }
        #[inline(always)]
        unsafe fn narrow(v: &Floats) -> Words {
            let mut out = [0; 16];
            // SAFETY: see the head of the impl.
            unsafe {
                let x = _mm512_loadu_ps(v.as_ptr());
                let halves = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x);
                let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
                let words = _mm512_mask_set1_epi32(_mm512_cvtepu16_epi32(halves), nan, 0x7fff);
                _mm512_storeu_si512(out.as_mut_ptr().cast(), words);
            }
            out
        }
    }

    impl Tile for Avx2 {
        type F = [__m256; 2];
        type U = [__m256i; 2];
        const COLUMNS: usize = 4;

        #[inline(always)]
        unsafe fn get(from: *const u32) -> [__m256i; 2] {
            // SAFETY: see the head of `impl Tile for Avx512`.
            unsafe {
                [
                    _mm256_loadu_si256(from.cast()),
                    _mm256_loadu_si256(from.add(8).cast()),
                ]
            }
        }
        #[inline(always)]
        unsafe fn put(to: *mut u32, v: [__m256i; 2]) {
            // SAFETY: see the head of `impl Tile for Avx512`.
            unsafe {
                _mm256_storeu_si256(to.cast(), v[0]);
                _mm256_storeu_si256(to.add(8).cast(), v[1]);
            }
        }
        #[inline(always)]
        unsafe fn squares(v: [[__m256i; 2]; 4]) -> [[__m256i; 2]; 4] {
            let mut out = v;
            // SAFETY: see the head of `impl Tile for Avx512`.
            unsafe {
                for half in 0..2 {
                    let [a, b, c, d] = [v[0][half], v[1][half], v[2][half], v[3][half]];
                    let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
                    let (ef, gh) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
                    out[0][half] = _mm256_unpacklo_epi64(ab, cd);
                    out[1][half] = _mm256_unpackhi_epi64(ab, cd);
                    out[2][half] = _mm256_unpacklo_epi64(ef, gh);
                    out[3][half] = _mm256_unpackhi_epi64(ef, gh);
                }
            }
            out
        }
        #[inline(always)]
        unsafe fn halves(v: [__m256i; 2]) -> [__m256; 2] {
            // SAFETY: see the head of `impl Tile for Avx512`.
            unsafe {
                let [a, b] = Self::and(v, 0xffff);
                // Packing works within 128 bits: the middle quarters change places.
                let packed = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(a, b));
                [
                    _mm256_cvtph_ps(_mm256_castsi256_si128(packed)),
                    _mm256_cvtph_ps(_mm256_extracti128_si256::<1>(packed)),
                ]
            }
        }
        #[inline(always)]
        unsafe fn upper(v: [__m256i; 2]) -> [__m256i; 2] {
            // SAFETY: see the head of `impl Tile for Avx512`.
            unsafe { [_mm256_srli_epi32::<16>(v[0]), _mm256_srli_epi32::<16>(v[1])] }
        }
        #[inline(always)]
        unsafe fn lower(v: [__m256i; 2]) -> [__m256i; 2] {
            // SAFETY: see the head of `impl Tile for Avx512`.
            unsafe { [_mm256_slli_epi32::<16>(v[0]), _mm256_slli_epi32::<16>(v[1])] }
        }
        #[inline(always)]
        unsafe fn and(v: [__m256i; 2], mask: u32) -> [__m256i; 2] {
            // SAFETY: see the head of `impl Tile for Avx512`.
            unsafe {
                let mask = _mm256_set1_epi32(mask.cast_signed());
                [_mm256_and_si256(v[0], mask), _mm256_and_si256(v[1], mask)]
            }
        }
        #[inline(always)]
        unsafe fn add(a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
            // SAFETY: see the head of `impl Tile for Avx512`.
            unsafe { [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])] }
        }
        #[inline(always)]
        unsafe fn sub(a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
            // SAFETY: see the head of `impl Tile for Avx512`.
            unsafe { [_mm256_sub_epi32(a[0], b[0]), _mm256_sub_epi32(a[1], b[1])] }
        }
        #[inline(always)]
        unsafe fn mul(a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
            // SAFETY: see the head of `impl Tile for Avx512`.
            unsafe { [_mm256_mullo_epi32(a[0], b[0]), _mm256_mullo_epi32(a[1], b[1])] }
        }
        #[inline(always)]
        unsafe fn both(a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
            // SAFETY: see the head of `impl Tile for Avx512`.
            unsafe { [_mm256_and_si256(a[0], b[0]), _mm256_and_si256(a[1], b[1])] }
        }
        #[inline(always)]
        unsafe fn either(a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
            // SAFETY: see the head of `impl Tile for Avx512`.
            unsafe { [_mm256_or_si256(a[0], b[0]), _mm256_or_si256(a[1], b[1])] }
        }
        #[inline(always)]
        unsafe fn xor(a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
            // SAFETY: see the head of `impl Tile for Avx512`.
            unsafe { [_mm256_xor_si256(a[0], b[0]), _mm256_xor_si256(a[1], b[1])] }
        }
        #[inline(always)]
        unsafe fn shl(a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
            // SAFETY: see the head of `impl Tile for Avx512`.
            unsafe { [_mm256_sllv_epi32(a[0], b[0]), _mm256_sllv_epi32(a[1], b[1])] }
        }
        #[inline(always)]
        unsafe fn shr(a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
            // SAFETY: see the head of `impl Tile for Avx512`.
            unsafe { [_mm256_srlv_epi32(a[0], b[0]), _mm256_srlv_epi32(a[1], b[1])] }
        }
        #[inline(always)]
        unsafe fn numbers(v: [__m256i; 2]) -> [__m256; 2] {
            // SAFETY: see the head of `impl Tile for Avx512`.
            unsafe { [_mm256_castsi256_ps(v[0]), _mm256_castsi256_ps(v[1])] }
        }
        #[inline(always)]
        unsafe fn bits(v: [__m256; 2]) -> [__m256i; 2] {
            // SAFETY: see the head of `impl Tile for Avx512`.
            unsafe {
                let fixed = |x: __m256| {
                    let nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(x, x);
                    let canonical = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fff_ffff));
                    _mm256_castps_si256(_mm256_blendv_ps(x, canonical, nan))
                };
                [fixed(v[0]), fixed(v[1])]
            }
        }

        #[inline(always)]
        unsafe fn load(from: &Floats) -> [__m256; 2] {
            // SAFETY: see the head of `impl Tile for Avx512`.
            unsafe {
                [
                    _mm256_loadu_ps(from.as_ptr()),
                    _mm256_loadu_ps(from.as_ptr().add(8)),
                ]
            }
        }
        #[inline(always)]
        unsafe fn store(to: &mut Floats, v: [__m256; 2]) {
            // SAFETY: see the head of `impl Tile for Avx512`.
            unsafe {
                _mm256_storeu_ps(to.as_mut_ptr(), v[0]);
                _mm256_storeu_ps(to.as_mut_ptr().add(8), v[1]);
            }
        }
        #[inline(always)]
        unsafe fn fma(a: [__m256; 2], b: f32, c: [__m256; 2]) -> [__m256; 2] {
            // SAFETY: see the head of `impl Tile for Avx512`.
            unsafe {
                let b = _mm256_set1_ps(b);
                [_mm256_fmadd_ps(a[0], b, c[0]), _mm256_fmadd_ps(a[1], b, c[1])]
            }
        }
        #[inline(always)]
        unsafe fn fma_some(a: [__m256; 2], b: f32, c: [__m256; 2], m: u16) -> [__m256; 2] {
            // SAFETY: see the head of `impl Tile for Avx512`.
            unsafe {
                let bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
                let all = Self::fma(a, b, c);
                let pick = |half: usize| {
                    let lanes = _mm256_and_si256(_mm256_set1_epi32(i32::from(m >> (8 * half))), bits);
                    let chosen = _mm256_castsi256_ps(_mm256_cmpeq_epi32(lanes, bits));
                    _mm256_blendv_ps(c[half], all[half], chosen)
                };
                [pick(0), pick(1)]
            }
        }
        #[inline(always)]
        unsafe fn transpose(v: &[Words; 4]) -> [Words; 4] {
            let mut out = [[0; 16]; 4];
            // SAFETY: see the head of `impl Tile for Avx512`.
            unsafe {
                for half in [0, 8] {
                    let get = |z: usize| _mm256_loadu_si256(v[z].as_ptr().add(half).cast());
                    let (a, b, c, d) = (get(0), get(1), get(2), get(3));
                    let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
                    let (ef, gh) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
                    let mut put = |t: usize, x| _mm256_storeu_si256(out[t].as_mut_ptr().add(half).cast(), x);
                    put(0, _mm256_unpacklo_epi64(ab, cd));
                    put(1, _mm256_unpackhi_epi64(ab, cd));
                    put(2, _mm256_unpacklo_epi64(ef, gh));
                    put(3, _mm256_unpackhi_epi64(ef, gh));
                }
            }
            out
        }
        #[inline(always)]
        unsafe fn widen(v: &Words) -> Floats {
            let mut out = [0.0; 16];
            // SAFETY: see the head of `impl Tile for Avx512`.
            unsafe {
                let low = _mm256_set1_epi32(0xffff);
                let get =
                    |half: usize| _mm256_and_si256(_mm256_loadu_si256(v.as_ptr().add(half).cast()), low);
                // Packing works within 128 bits: the middle quarters change places.
                let packed = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(get(0), get(8)));
                _mm256_storeu_ps(out.as_mut_ptr(), _mm256_cvtph_ps(_mm256_castsi256_si128(packed)));
                let upper = _mm256_cvtph_ps(_mm256_extracti128_si256::<1>(packed));
                _mm256_storeu_ps(out.as_mut_ptr().add(8), upper);
            }
            out
        }
        #[inline(always)]
        unsafe fn narrow(v: &Floats) -> Words {
            let mut out = [0; 16];
            // SAFETY: see the head of `impl Tile for Avx512`.
            unsafe {
                for half in [0, 8] {
                    let x = _mm256_loadu_ps(v.as_ptr().add(half));
                    let halves = _mm256_cvtepu16_epi32(_mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x));
                    let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(x, x));
                    let words = _mm256_blendv_epi8(halves, _mm256_set1_epi32(0x7fff), nan);
                    _mm256_storeu_si256(out.as_mut_ptr().add(half).cast(), words);
                }
            }
            out
        }
    }
}
