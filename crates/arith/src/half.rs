//! Half precision: `f16` and `bf16`, alone and in pairs.
//!
//! Values are encodings in the low 16 bits of a `u32`. Operations compute in a wider format whose one further rounding cannot
//! be seen (for sums and products of 11 or 8 bits the 24 bits of `f32` suffice) or is avoided (`fma`: exact sum, rounded to odd).
//!
//! The packed forms `.f16x2`, `.bf16x2` are the scalar ones on both halves: [`map1`], [`map2`], [`map3`].

use crate::integer::pack;
use crate::rounding::{add_f64_odd, f64_to_f32_odd};
use crate::{Rounding, approx, convert, float32};

/// The NaN of every half-precision operation, both formats.
pub const NAN: u32 = 0x7fff;

const SIGN: u32 = 0x8000;

/// Applies `f` to both halves.
#[inline(always)]
#[must_use]
pub fn map1(a: u32, f: impl Fn(u32) -> u32) -> u32 {
    pack(f(a & 0xffff), f(a >> 16))
}

/// Applies `f` to the halves of `a` and `b`, pair by pair.
#[inline(always)]
#[must_use]
pub fn map2(a: u32, b: u32, f: impl Fn(u32, u32) -> u32) -> u32 {
    pack(f(a & 0xffff, b & 0xffff), f(a >> 16, b >> 16))
}

/// Applies `f` to the halves of `a`, `b` and `c`, triple by triple.
#[inline(always)]
#[must_use]
pub fn map3(a: u32, b: u32, c: u32, f: impl Fn(u32, u32, u32) -> u32) -> u32 {
    pack(
        f(a & 0xffff, b & 0xffff, c & 0xffff),
        f(a >> 16, b >> 16, c >> 16),
    )
}

/// `cvt.f32.f16`: exact; NaN becomes canonical.
#[inline(always)]
#[must_use]
pub const fn f16_to_f32(a: u32) -> f32 {
    // The fraction and exponent as those of an f32, times the difference of the biases: right for subnormals too.
    let magnitude = (a & 0x7fff) << 13;
    let scaled = f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23);
    let special = if a & 0x3ff != 0 { float32::NAN } else { 0x7f80_0000 };
    let is_special = a & 0x7c00 == 0x7c00;
    let is_nan = is_special & (a & 0x3ff != 0);
    let bits = if is_special { special } else { scaled.to_bits() };
    let sign = if is_nan { 0 } else { (a & SIGN) << 16 };
    f32::from_bits(bits | sign)
}

/// `cvt.f32.bf16`: exact; NaN keeps its bits.
#[inline(always)]
#[must_use]
pub const fn bf16_to_f32(a: u32) -> f32 {
    f32::from_bits(a << 16)
}

/// Whether an `f16` is NaN.
#[inline(always)]
#[must_use]
pub const fn is_nan_f16(a: u32) -> bool {
    a & 0x7fff > 0x7c00
}

/// Whether a `bf16` is NaN.
#[inline(always)]
#[must_use]
pub const fn is_nan_bf16(a: u32) -> bool {
    a & 0x7fff > 0x7f80
}

/// Flushes a subnormal `f16` to zero of its sign.
#[inline(always)]
#[must_use]
pub const fn flush_f16(a: u32) -> u32 {
    if a & 0x7c00 == 0 { a & SIGN } else { a & 0xffff }
}

/// Flushes a subnormal `bf16` to zero of its sign.
#[inline(always)]
#[must_use]
pub const fn flush_bf16(a: u32) -> u32 {
    if a & 0x7f80 == 0 { a & SIGN } else { a & 0xffff }
}

#[inline(always)]
const fn flush_f16_if(a: u32, ftz: bool) -> u32 {
    if ftz { flush_f16(a) } else { a }
}

/// Rounds to `f16`, then `.ftz`, `.sat`, `.relu`.
#[inline(always)]
fn finish_f16(r: f32, ftz: bool, sat: bool, relu: bool) -> u32 {
    let r = if sat { float32::saturate(r) } else { r };
    // 2^-14 - 2^-26: from there on 11 bits with an unbounded exponent round to 2^-14, as with `.ftz` in `f32`.
    let tiny = ftz & (r.abs() < f32::from_bits(0x387f_f000));
    let h = convert::f32_to_f16_rn(if tiny { 0f32.copysign(r) } else { r });
    if relu { relu_half(h) } else { h }
}

#[inline(always)]
fn finish_bf16(r: f32, relu: bool) -> u32 {
    let h = convert::f32_to_bf16(r, Rounding::Rn);
    if relu { relu_half(h) } else { h }
}

/// `.relu` on a result in either format (NaN is positive, being canonical): negative becomes +0.
#[inline(always)]
const fn relu_half(h: u32) -> u32 {
    if h & SIGN != 0 { 0 } else { h }
}

/// `add{.rnd}{.ftz}{.sat}.f16`
#[inline(always)]
#[must_use]
pub fn add_f16(a: u32, b: u32, ftz: bool, sat: bool) -> u32 {
    let (a, b) = (flush_f16_if(a, ftz), flush_f16_if(b, ftz));
    finish_f16(f16_to_f32(a) + f16_to_f32(b), ftz, sat, false)
}

/// `sub{.rnd}{.ftz}{.sat}.f16`
#[inline(always)]
#[must_use]
pub fn sub_f16(a: u32, b: u32, ftz: bool, sat: bool) -> u32 {
    let (a, b) = (flush_f16_if(a, ftz), flush_f16_if(b, ftz));
    finish_f16(f16_to_f32(a) - f16_to_f32(b), ftz, sat, false)
}

/// `mul{.rnd}{.ftz}{.sat}.f16`
#[inline(always)]
#[must_use]
pub fn mul_f16(a: u32, b: u32, ftz: bool, sat: bool) -> u32 {
    let (a, b) = (flush_f16_if(a, ftz), flush_f16_if(b, ftz));
    finish_f16(f16_to_f32(a) * f16_to_f32(b), ftz, sat, false)
}

/// `fma.rn{.ftz}{.sat}{.relu}.f16`
#[inline(always)]
#[must_use]
pub fn fma_f16(a: u32, b: u32, c: u32, ftz: bool, sat: bool, relu: bool) -> u32 {
    let (a, b, c) = (flush_f16_if(a, ftz), flush_f16_if(b, ftz), flush_f16_if(c, ftz));
    finish_f16(fused(f16_to_f32(a), f16_to_f32(b), f16_to_f32(c)), ftz, sat, relu)
}

/// `a * b + c` exactly, rounded to odd in `f32`. For operands of 11 bits or fewer.
#[inline(always)]
fn fused(a: f32, b: f32, c: f32) -> f32 {
    f64_to_f32_odd(add_f64_odd(f64::from(a) * f64::from(b), f64::from(c)))
}

/// `add{.rnd}.bf16`
#[inline(always)]
#[must_use]
pub fn add_bf16(a: u32, b: u32) -> u32 {
    finish_bf16(bf16_to_f32(a) + bf16_to_f32(b), false)
}

/// `sub{.rnd}.bf16`
#[inline(always)]
#[must_use]
pub fn sub_bf16(a: u32, b: u32) -> u32 {
    finish_bf16(bf16_to_f32(a) - bf16_to_f32(b), false)
}

/// `mul{.rnd}.bf16`
#[inline(always)]
#[must_use]
pub fn mul_bf16(a: u32, b: u32) -> u32 {
    finish_bf16(bf16_to_f32(a) * bf16_to_f32(b), false)
}

/// `fma.rn{.relu}.bf16`
#[inline(always)]
#[must_use]
pub fn fma_bf16(a: u32, b: u32, c: u32, relu: bool) -> u32 {
    finish_bf16(fused(bf16_to_f32(a), bf16_to_f32(b), bf16_to_f32(c)), relu)
}

/// The NaN that a tensor copy fills with where it is out of bounds ("OOB NaN").
pub const OUT_OF_BOUNDS: u32 = 0x7ff7;

/// Whether a factor is the NaN of what was out of bounds.
#[inline(always)]
const fn out_of_bounds(a: u32, b: u32) -> bool {
    a & 0xffff == OUT_OF_BOUNDS || b & 0xffff == OUT_OF_BOUNDS
}

/// `fma.rn.oob{.relu}.f16`: +0 where a factor is [`OUT_OF_BOUNDS`].
#[inline(always)]
#[must_use]
pub fn fma_oob_f16(a: u32, b: u32, c: u32, relu: bool) -> u32 {
    let r = fma_f16(a, b, c, false, false, relu);
    if out_of_bounds(a, b) { 0 } else { r }
}

/// `fma.rn.oob{.relu}.bf16`: +0 where a factor is [`OUT_OF_BOUNDS`].
#[inline(always)]
#[must_use]
pub fn fma_oob_bf16(a: u32, b: u32, c: u32, relu: bool) -> u32 {
    let r = fma_bf16(a, b, c, relu);
    if out_of_bounds(a, b) { 0 } else { r }
}

/// `abs{.ftz}.f16`; NaN becomes canonical.
#[inline(always)]
#[must_use]
pub const fn abs_f16(a: u32, ftz: bool) -> u32 {
    if is_nan_f16(a) {
        NAN
    } else {
        flush_f16_if(a, ftz) & 0x7fff
    }
}

/// `neg{.ftz}.f16`; NaN becomes canonical.
#[inline(always)]
#[must_use]
pub const fn neg_f16(a: u32, ftz: bool) -> u32 {
    if is_nan_f16(a) {
        NAN
    } else {
        (flush_f16_if(a, ftz) ^ SIGN) & 0xffff
    }
}

/// `abs.bf16`; NaN becomes canonical.
#[inline(always)]
#[must_use]
pub const fn abs_bf16(a: u32) -> u32 {
    if is_nan_bf16(a) { NAN } else { a & 0x7fff }
}

/// `neg.bf16`; NaN becomes canonical.
#[inline(always)]
#[must_use]
pub const fn neg_bf16(a: u32) -> u32 {
    if is_nan_bf16(a) { NAN } else { (a ^ SIGN) & 0xffff }
}

/// The result of `min`/`max` on encodings, `infinity` being the format's.
#[inline(always)]
fn min_max(a: u32, b: u32, infinity: u32, m: float32::MinMax, less: bool) -> u32 {
    let sign = (a ^ b) & SIGN;
    let mask = if m.abs { 0x7fff } else { 0xffff };
    let (a, b) = (a & mask, b & mask);
    // Sign and magnitude to a number that is ordered as the values are, -0 below +0.
    let key = |x: u32| {
        if x & SIGN != 0 {
            -((x & 0x7fff) as i32) - 1
        } else {
            x as i32
        }
    };
    let a_first = if less { key(a) < key(b) } else { key(a) > key(b) };
    let (nan_a, nan_b) = (a & 0x7fff > infinity, b & 0x7fff > infinity);
    let r = if a_first { a } else { b };
    let r = if nan_a { b } else { r };
    let r = if nan_b { a } else { r };
    let r = if m.xorsign { (r & 0x7fff) | sign } else { r };
    let nan = if m.nan { nan_a | nan_b } else { nan_a & nan_b };
    if nan { NAN } else { r }
}

/// `min{.ftz}{.NaN}{.xorsign.abs}.f16`; -0 is less than +0.
#[inline(always)]
#[must_use]
pub fn min_f16(a: u32, b: u32, m: float32::MinMax) -> u32 {
    min_max(flush_f16_if(a, m.ftz), flush_f16_if(b, m.ftz), 0x7c00, m, true)
}

/// `max{.ftz}{.NaN}{.xorsign.abs}.f16`; -0 is less than +0.
#[inline(always)]
#[must_use]
pub fn max_f16(a: u32, b: u32, m: float32::MinMax) -> u32 {
    min_max(flush_f16_if(a, m.ftz), flush_f16_if(b, m.ftz), 0x7c00, m, false)
}

/// `min{.NaN}{.xorsign.abs}.bf16`; -0 is less than +0.
#[inline(always)]
#[must_use]
pub fn min_bf16(a: u32, b: u32, m: float32::MinMax) -> u32 {
    min_max(a, b, 0x7f80, m, true)
}

/// `max{.NaN}{.xorsign.abs}.bf16`; -0 is less than +0.
#[inline(always)]
#[must_use]
pub fn max_bf16(a: u32, b: u32, m: float32::MinMax) -> u32 {
    min_max(a, b, 0x7f80, m, false)
}

/// `ex2.approx.f16`
#[inline(always)]
#[must_use]
pub fn ex2_f16(a: u32) -> u32 {
    convert::f32_to_f16_rn(approx::ex2(f16_to_f32(a), false))
}

/// `tanh.approx.f16`
#[inline(always)]
#[must_use]
pub fn tanh_f16(a: u32) -> u32 {
    convert::f32_to_f16_rn(approx::tanh(f16_to_f32(a)))
}

/// `ex2.approx.ftz.bf16`
#[inline(always)]
#[must_use]
pub fn ex2_bf16(a: u32) -> u32 {
    flush_bf16(convert::f32_to_bf16(
        approx::ex2(bf16_to_f32(a), true),
        Rounding::Rn,
    ))
}

/// `tanh.approx.bf16`
#[inline(always)]
#[must_use]
pub fn tanh_bf16(a: u32) -> u32 {
    convert::f32_to_bf16(approx::tanh(bf16_to_f32(a)), Rounding::Rn)
}
