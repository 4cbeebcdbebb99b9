//! The approximate functions: `rcp rsqrt sqrt div ex2 lg2 sin cos tanh` with `.approx`, and `div.full`.
//!
//! The manual gives error bounds and tables of special cases, not bits; these functions keep both. They are polynomials and
//! the processor's division and root, without tables and branches, and **without fused operations**: the result is the same on
//! every processor and in every build. Measured errors are in the tests.
//!
//! | function | bound (PTX ISA) |
//! |---|---|
//! | `rcp.approx.f32` | 1 ulp |
//! | `rsqrt.approx.f32` | relative 2^-22.9 |
//! | `sqrt.approx.f32` | relative 2^-23 |
//! | `div.approx.f32`, `div.full.f32` | 2 ulp |
//! | `ex2.approx.f32` | 2 ulp |
//! | `lg2.approx.f32` | absolute 2^-22 in (0.5, 2), relative 2^-22 elsewhere |
//! | `sin.approx.f32`, `cos.approx.f32` | absolute 2^-20.5 to 2 pi, 2^-14.7 to 100 pi |
//! | `tanh.approx.f32` | relative 2^-11 |
//! | `rcp.approx.ftz.f64`, `rsqrt.approx.ftz.f64` | 20 bits of fraction |

use crate::float32::{canonical, flush_if};

/// `rcp.approx{.ftz}.f32`
#[inline(always)]
#[must_use]
pub fn rcp(a: f32, ftz: bool) -> f32 {
    canonical(flush_if(1.0 / flush_if(a, ftz), ftz))
}

/// `rsqrt.approx{.ftz}.f32`
#[inline(always)]
#[must_use]
pub fn rsqrt(a: f32, ftz: bool) -> f32 {
    canonical(1.0 / flush_if(a, ftz).sqrt())
}

/// `sqrt.approx{.ftz}.f32`
#[inline(always)]
#[must_use]
pub fn sqrt(a: f32, ftz: bool) -> f32 {
    canonical(flush_if(a, ftz).sqrt())
}

/// `div.approx{.ftz}.f32`: where `|b|` is above 2^126 (and finite) a finite `a` gives 0, an infinite one NaN.
#[inline(always)]
#[must_use]
pub fn div(a: f32, b: f32, ftz: bool) -> f32 {
    let (a, b) = (flush_if(a, ftz), flush_if(b, ftz));
    let huge = (b.abs() > f32::from_bits(0x7e80_0000)) & b.is_finite();
    let q = if huge { a * 0f32.copysign(b) } else { a / b };
    canonical(flush_if(q, ftz))
}

/// `div.full{.ftz}.f32`
#[inline(always)]
#[must_use]
pub fn div_full(a: f32, b: f32, ftz: bool) -> f32 {
    canonical(flush_if(flush_if(a, ftz) / flush_if(b, ftz), ftz))
}

/// Adding and subtracting it rounds an `f32` below 2^22 to an integer (ties to even), which then stands in its low bits.
const ROUND32: f32 = 12_582_912.0;
/// As [`ROUND32`] for `f64`, below 2^51.
const ROUND64: f64 = 6_755_399_441_055_744.0;

/// 2^n for `n` in -126..=127, else nonsense.
#[inline(always)]
const fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((n.wrapping_add(127)) as u32) << 23)
}

/// `ex2.approx{.ftz}.f32`
#[inline(always)]
#[must_use]
pub fn ex2(a: f32, ftz: bool) -> f32 {
    let a = flush_if(a, ftz);
    // Beyond these bounds the result is 0 or infinite all the same; NaN goes to a bound and is put back below.
    let x = if a > -160.0 { a } else { -160.0 };
    let x = if x < 130.0 { x } else { 130.0 };
    let shifted = x + ROUND32;
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND32.to_bits() as i32);
    let f = x - (shifted - ROUND32);
    let f2 = f * f;
    let low = std::f32::consts::LN_2 + f * 0.240_226_5;
    let mid = 0.055_503_57 + f * 0.009_618_083;
    let high = 0.001_339_086_3 + f * 0.000_154_531_63;
    let p = 1.0 + f * (low + f2 * (mid + f2 * high));
    // In two factors, since 2^n itself may be subnormal or above the largest number.
    let half = n >> 1;
    let r = p * power_of_two(half) * power_of_two(n - half);
    canonical(if a.is_nan() { a } else { flush_if(r, ftz) })
}

/// `lg2.approx{.ftz}.f32`
#[inline(always)]
#[must_use]
pub fn lg2(a: f32, ftz: bool) -> f32 {
    let a = flush_if(a, ftz);
    let subnormal = a < f32::MIN_POSITIVE;
    let scaled = if subnormal { a * 8_388_608.0 } else { a };
    // m in [sqrt(1/2), sqrt(2)), a = m * 2^e: the offset moves the cut of the fraction from 1 to sqrt(1/2).
    let bits = scaled.to_bits();
    let offset = bits.wrapping_sub(0x3f35_04f3);
    let e = (offset as i32) >> 23;
    let m = f32::from_bits((offset & 0x007f_ffff).wrapping_add(0x3f35_04f3));
    let e = e - if subnormal { 23 } else { 0 };
    // log2(m) = log2((1+s)/(1-s)), odd in s, |s| < 0.172.
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let p = 2.885_39 + z * (0.961_796_67 + z * (0.577_083_6 + z * (0.411_673_3 + z * 0.340_721_1)));
    let r = e as f32 + s * p;
    let r = if a == 0.0 { f32::NEG_INFINITY } else { r };
    let r = if a == f32::INFINITY { a } else { r };
    let r = if a >= 0.0 { r } else { f32::NAN };
    canonical(flush_if(r, ftz))
}

/// The quadrant of `a` and its distance to that quadrant's middle axis, in [-pi/4, pi/4] for `|a|` up to 2^48 or so.
#[inline(always)]
fn reduce(a: f32) -> (u32, f32) {
    // f64 carries the argument exactly and pi/2 far enough; beyond the documented range (100 pi) this is best effort.
    let x = f64::from(a);
    let shifted = x * std::f64::consts::FRAC_2_PI + ROUND64;
    let n = shifted - ROUND64;
    let r = (x - n * 1.570_796_326_734_125_6) - n * 6.077_100_506_506_192e-11;
    let r = r as f32;
    // Also where the argument is too large for any of this the result must be a sine.
    let r = if r < 1.0 { r } else { 1.0 };
    let r = if r > -1.0 { r } else { -1.0 };
    (shifted.to_bits() as u32, r)
}

/// The sine of the angle in quadrant `quadrant` at `r`.
#[inline(always)]
fn sine(quadrant: u32, r: f32) -> f32 {
    let z = r * r;
    let s = r * (1.0 + z * (-0.166_666_66 + z * (0.008_332_747 - z * 0.000_195_876_39)));
    let c = 1.0 + z * (-0.5 + z * (0.041_666_65 + z * (-0.001_388_758_7 + z * 0.000_024_463_453)));
    let v = if quadrant & 1 != 0 { c } else { s };
    f32::from_bits(v.to_bits() ^ ((quadrant & 2) << 30))
}

/// `sin.approx{.ftz}.f32`
#[inline(always)]
#[must_use]
pub fn sin(a: f32, ftz: bool) -> f32 {
    let a = flush_if(a, ftz);
    let (quadrant, r) = reduce(a);
    canonical(if a.is_finite() {
        flush_if(sine(quadrant, r), ftz)
    } else {
        f32::NAN
    })
}

/// `cos.approx{.ftz}.f32`
#[inline(always)]
#[must_use]
pub fn cos(a: f32, ftz: bool) -> f32 {
    let a = flush_if(a, ftz);
    let (quadrant, r) = reduce(a);
    canonical(if a.is_finite() {
        flush_if(sine(quadrant.wrapping_add(1), r), ftz)
    } else {
        f32::NAN
    })
}

/// `tanh.approx.f32`; subnormal arguments pass through.
#[inline(always)]
#[must_use]
pub fn tanh(a: f32) -> f32 {
    let x = a.abs();
    // exp(-2x); near 0 the difference cancels and two terms of the series are better.
    let t = ex2(x * -2.885_39, false);
    let large = (1.0 - t) / (1.0 + t);
    let small = x - x * x * x * 0.333_333_34;
    let r = if x < 0.125 { small } else { large };
    canonical(if a.is_nan() { a } else { r.copysign(a) })
}

/// NaN of the two gross `f64` approximations (PTX ISA).
const NAN_GROSS: u64 = 0x7fff_ffff_0000_0000;

/// The high word of `a`, subnormals flushed. A NaN whose payload lies in the low word alone is an infinity to these instructions.
#[inline(always)]
fn gross_operand(a: f64) -> f64 {
    let bits = a.to_bits() & 0xffff_ffff_0000_0000;
    let subnormal = bits & 0x7ff0_0000_0000_0000 == 0;
    f64::from_bits(if subnormal { bits & (1 << 63) } else { bits })
}

/// Rounds to the high word, flushes, makes NaN canonical.
#[inline(always)]
fn gross_result(r: f64) -> f64 {
    let bits = r.to_bits();
    let rounded = bits.wrapping_add(0x7fff_ffff + ((bits >> 32) & 1)) & 0xffff_ffff_0000_0000;
    let subnormal = rounded & 0x7ff0_0000_0000_0000 == 0;
    let flushed = if subnormal { rounded & (1 << 63) } else { rounded };
    f64::from_bits(if r.is_nan() { NAN_GROSS } else { flushed })
}

/// `rcp.approx.ftz.f64`: looks at the high word only, gives a high word only.
#[inline(always)]
#[must_use]
pub fn rcp_f64(a: f64) -> f64 {
    gross_result(1.0 / gross_operand(a))
}

/// `rsqrt.approx.ftz.f64`: looks at the high word only, gives a high word only.
#[inline(always)]
#[must_use]
pub fn rsqrt_f64(a: f64) -> f64 {
    gross_result(if a.is_nan() {
        a
    } else {
        1.0 / gross_operand(a).sqrt()
    })
}

/// `rsqrt.approx.f64`: the full-precision form, which the vendor's compiler expands into code of about 2 ulp.
#[inline(always)]
#[must_use]
pub fn rsqrt_f64_full(a: f64) -> f64 {
    crate::float64::canonical(1.0 / a.sqrt())
}
