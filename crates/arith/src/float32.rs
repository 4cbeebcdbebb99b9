//! Single precision: `add sub mul fma div rcp sqrt min max abs neg copysign`, exact in every rounding mode.
//!
//! `ftz` flushes subnormal operands and results to zero of the same sign; `sat` clamps the result to [0, 1], NaN to +0.
//!
//! A result is flushed if it would be below 2^-126 when rounded to 24 bits with an unbounded exponent. That differs from looking
//! at the rounded result only just below 2^-126, where rounding to a subnormal's fewer bits gives 2^-126; the vendor's assembler,
//! folding constants, shows which it is.

use crate::{Rounding, rounding};

/// The NaN of every single-precision operation.
pub const NAN: u32 = 0x7fff_ffff;

const SIGN: u32 = 0x8000_0000;

/// Flushes a subnormal number to zero of its sign.
#[inline(always)]
#[must_use]
pub const fn flush(a: f32) -> f32 {
    let bits = a.to_bits();
    f32::from_bits(if bits & 0x7f80_0000 == 0 {
        bits & SIGN
    } else {
        bits
    })
}

/// [`flush`] where `ftz`.
#[inline(always)]
#[must_use]
pub const fn flush_if(a: f32, ftz: bool) -> f32 {
    if ftz { flush(a) } else { a }
}

/// Any NaN becomes [`NAN`].
#[inline(always)]
#[must_use]
pub const fn canonical(a: f32) -> f32 {
    f32::from_bits(if a.is_nan() { NAN } else { a.to_bits() })
}

/// `.sat`: clamps to [0, 1]; NaN and -0 become +0. Also `cvt.sat.f32.f32`.
#[inline(always)]
#[must_use]
pub const fn saturate(a: f32) -> f32 {
    let low = if a > 0.0 { a } else { 0.0 };
    if low < 1.0 { low } else { 1.0 }
}

/// What every arithmetic result goes through that is exact where it is subnormal.
#[inline(always)]
const fn finish(r: f32, ftz: bool, sat: bool) -> f32 {
    let r = flush_if(r, ftz);
    if sat { saturate(r) } else { canonical(r) }
}

/// 2^24, which takes the results in question out of the subnormal range.
pub(crate) const SCALE: f32 = 16_777_216.0;

/// As [`finish`] for results that are rounded where they are subnormal. `scaled` is the result times [`SCALE`], rounded by itself.
#[inline(always)]
pub(crate) fn finish_scaled(r: f32, scaled: f32, ftz: bool, sat: bool) -> f32 {
    // 2^-126 * 2^24. Where scaling overflows the result is not tiny, and NaN and infinity compare as not tiny.
    let tiny = scaled.abs() < f32::from_bits((127 - 102) << 23);
    let r = f32::from_bits(if ftz & tiny {
        r.to_bits() & SIGN
    } else {
        r.to_bits()
    });
    if sat { saturate(r) } else { canonical(r) }
}

/// `add{.rnd}{.ftz}{.sat}.f32`
#[inline(always)]
#[must_use]
pub fn add(a: f32, b: f32, rnd: Rounding, ftz: bool, sat: bool) -> f32 {
    finish(
        rounding::add_f32(flush_if(a, ftz), flush_if(b, ftz), rnd),
        ftz,
        sat,
    )
}

/// `sub{.rnd}{.ftz}{.sat}.f32`
#[inline(always)]
#[must_use]
pub fn sub(a: f32, b: f32, rnd: Rounding, ftz: bool, sat: bool) -> f32 {
    finish(
        rounding::add_f32(flush_if(a, ftz), -flush_if(b, ftz), rnd),
        ftz,
        sat,
    )
}

/// `mul{.rnd}{.ftz}{.sat}.f32`
#[inline(always)]
#[must_use]
pub fn mul(a: f32, b: f32, rnd: Rounding, ftz: bool, sat: bool) -> f32 {
    let (a, b) = (flush_if(a, ftz), flush_if(b, ftz));
    let scaled = if ftz {
        rounding::mul_f32(a * SCALE, b, rnd)
    } else {
        0.0
    };
    finish_scaled(rounding::mul_f32(a, b, rnd), scaled, ftz, sat)
}

/// `fma.rnd{.ftz}{.sat}.f32` and `mad.rnd{.ftz}{.sat}.f32`
#[inline(always)]
#[must_use]
pub fn fma(a: f32, b: f32, c: f32, rnd: Rounding, ftz: bool, sat: bool) -> f32 {
    let (a, b, c) = (flush_if(a, ftz), flush_if(b, ftz), flush_if(c, ftz));
    let scaled = if ftz {
        rounding::fma_f32(a * SCALE, b, c * SCALE, rnd)
    } else {
        0.0
    };
    finish_scaled(rounding::fma_f32(a, b, c, rnd), scaled, ftz, sat)
}

/// `div.rnd{.ftz}.f32`; the approximate forms are in [`crate::approx`].
#[inline(always)]
#[must_use]
pub fn div(a: f32, b: f32, rnd: Rounding, ftz: bool) -> f32 {
    let (a, b) = (flush_if(a, ftz), flush_if(b, ftz));
    let scaled = if ftz {
        rounding::div_f32(a * SCALE, b, rnd)
    } else {
        0.0
    };
    finish_scaled(rounding::div_f32(a, b, rnd), scaled, ftz, false)
}

/// `rcp.rnd{.ftz}.f32`
#[inline(always)]
#[must_use]
pub fn rcp(a: f32, rnd: Rounding, ftz: bool) -> f32 {
    div(1.0, a, rnd, ftz)
}

/// `sqrt.rnd{.ftz}.f32`
#[inline(always)]
#[must_use]
pub fn sqrt(a: f32, rnd: Rounding, ftz: bool) -> f32 {
    finish(rounding::sqrt_f32(flush_if(a, ftz), rnd), ftz, false)
}

/// `abs{.ftz}.f32`; NaN becomes canonical.
#[inline(always)]
#[must_use]
pub const fn abs(a: f32, ftz: bool) -> f32 {
    canonical(f32::from_bits(flush_if(a, ftz).to_bits() & !SIGN))
}

/// `neg{.ftz}.f32`; NaN becomes canonical.
#[inline(always)]
#[must_use]
pub const fn neg(a: f32, ftz: bool) -> f32 {
    canonical(f32::from_bits(flush_if(a, ftz).to_bits() ^ SIGN))
}

/// `copysign.f32 d, a, b`: the magnitude of `b` with the sign of `a`.
#[inline(always)]
#[must_use]
pub const fn copysign(a: f32, b: f32) -> f32 {
    f32::from_bits((a.to_bits() & SIGN) | (b.to_bits() & !SIGN))
}

/// Modifiers of `min` and `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct MinMax {
    /// `.ftz`
    pub ftz: bool,
    /// `.NaN`: NaN where any operand is NaN; without it, where all are.
    pub nan: bool,
    /// `.abs`: compares and returns magnitudes.
    pub abs: bool,
    /// `.xorsign` (always with `.abs`): the result's sign is the exclusive or of the operands'.
    pub xorsign: bool,
}

#[inline(always)]
fn min_max(a: f32, b: f32, m: MinMax, less: bool) -> f32 {
    let (a, b) = (flush_if(a, m.ftz), flush_if(b, m.ftz));
    let sign = (a.to_bits() ^ b.to_bits()) & SIGN;
    let (a, b) = if m.abs { (a.abs(), b.abs()) } else { (a, b) };
    // Equal operands differ at most in the sign of zero, and -0 < +0: the sign bits' union is the minimum.
    let (x, y) = (a.to_bits(), b.to_bits());
    let same = if less { x | y } else { x & y };
    let first = if less { a < b } else { a > b };
    let second = if less { a > b } else { a < b };
    let r = if first {
        x
    } else if second {
        y
    } else {
        same
    };
    let r = if m.xorsign { (r & !SIGN) | sign } else { r };
    let (nan_a, nan_b) = (a.is_nan(), b.is_nan());
    let lone = if nan_a { y } else { x };
    let lone = if m.xorsign { (lone & !SIGN) | sign } else { lone };
    let r = if nan_a | nan_b { lone } else { r };
    let nan = if m.nan { nan_a | nan_b } else { nan_a & nan_b };
    f32::from_bits(if nan { NAN } else { r })
}

/// `min{.ftz}{.NaN}{.xorsign.abs}.f32`; -0 is less than +0.
#[inline(always)]
#[must_use]
pub fn min(a: f32, b: f32, modifiers: MinMax) -> f32 {
    min_max(a, b, modifiers, true)
}

/// `max{.ftz}{.NaN}{.xorsign.abs}.f32`; -0 is less than +0.
#[inline(always)]
#[must_use]
pub fn max(a: f32, b: f32, modifiers: MinMax) -> f32 {
    min_max(a, b, modifiers, false)
}

/// `min{.ftz}{.NaN}{.abs}.f32` with three operands.
#[inline(always)]
#[must_use]
pub fn min3(a: f32, b: f32, c: f32, modifiers: MinMax) -> f32 {
    min(min(a, b, modifiers), c, modifiers)
}

/// `max{.ftz}{.NaN}{.abs}.f32` with three operands.
#[inline(always)]
#[must_use]
pub fn max3(a: f32, b: f32, c: f32, modifiers: MinMax) -> f32 {
    max(max(a, b, modifiers), c, modifiers)
}
