//! Double precision: `add sub mul fma div rcp sqrt min max abs neg copysign`, exact in every rounding mode.

use crate::{Rounding, rounding};

/// The NaN of every double-precision operation (`CUDART_NAN`; the manual leaves payloads open).
pub const NAN: u64 = 0xfff8_0000_0000_0000;

const SIGN: u64 = 1 << 63;

/// Any NaN becomes [`NAN`].
#[inline(always)]
#[must_use]
pub const fn canonical(a: f64) -> f64 {
    f64::from_bits(if a.is_nan() { NAN } else { a.to_bits() })
}

/// `cvt.sat.f64.f64`: clamps to [0, 1]; NaN and -0 become +0.
#[inline(always)]
#[must_use]
pub const fn saturate(a: f64) -> f64 {
    let low = if a > 0.0 { a } else { 0.0 };
    if low < 1.0 { low } else { 1.0 }
}

/// `add{.rnd}.f64`
#[inline(always)]
#[must_use]
pub fn add(a: f64, b: f64, rnd: Rounding) -> f64 {
    canonical(rounding::add_f64(a, b, rnd))
}

/// `sub{.rnd}.f64`
#[inline(always)]
#[must_use]
pub fn sub(a: f64, b: f64, rnd: Rounding) -> f64 {
    canonical(rounding::add_f64(a, -b, rnd))
}

/// `mul{.rnd}.f64`
#[inline(always)]
#[must_use]
pub fn mul(a: f64, b: f64, rnd: Rounding) -> f64 {
    canonical(rounding::mul_f64(a, b, rnd))
}

/// `fma.rnd.f64` and `mad.rnd.f64`
#[inline(always)]
#[must_use]
pub fn fma(a: f64, b: f64, c: f64, rnd: Rounding) -> f64 {
    canonical(rounding::fma_f64(a, b, c, rnd))
}

/// `div.rnd.f64`
#[inline(always)]
#[must_use]
pub fn div(a: f64, b: f64, rnd: Rounding) -> f64 {
    canonical(rounding::div_f64(a, b, rnd))
}

/// `rcp.rnd.f64`
#[inline(always)]
#[must_use]
pub fn rcp(a: f64, rnd: Rounding) -> f64 {
    div(1.0, a, rnd)
}

/// `sqrt.rnd.f64`
#[inline(always)]
#[must_use]
pub fn sqrt(a: f64, rnd: Rounding) -> f64 {
    canonical(rounding::sqrt_f64(a, rnd))
}

/// `abs.f64`; NaN passes through unchanged (CUDA C Programming Guide, "Floating-Point Standard").
#[inline(always)]
#[must_use]
pub const fn abs(a: f64) -> f64 {
    f64::from_bits(if a.is_nan() {
        a.to_bits()
    } else {
        a.to_bits() & !SIGN
    })
}

/// `neg.f64`; NaN passes through unchanged (CUDA C Programming Guide, "Floating-Point Standard").
#[inline(always)]
#[must_use]
pub const fn neg(a: f64) -> f64 {
    f64::from_bits(if a.is_nan() {
        a.to_bits()
    } else {
        a.to_bits() ^ SIGN
    })
}

/// `copysign.f64 d, a, b`: the magnitude of `b` with the sign of `a`.
#[inline(always)]
#[must_use]
pub const fn copysign(a: f64, b: f64) -> f64 {
    f64::from_bits((a.to_bits() & SIGN) | (b.to_bits() & !SIGN))
}

#[inline(always)]
fn min_max(a: f64, b: f64, less: bool) -> f64 {
    let (x, y) = (a.to_bits(), b.to_bits());
    // Equal operands differ at most in the sign of zero, and -0 < +0: the sign bits' union is the minimum.
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
    let r = if a.is_nan() { y } else { r };
    let r = if b.is_nan() { x } else { r };
    f64::from_bits(if a.is_nan() & b.is_nan() { NAN } else { r })
}

/// `min.f64`: the other operand where one is NaN; -0 is less than +0.
#[inline(always)]
#[must_use]
pub fn min(a: f64, b: f64) -> f64 {
    min_max(a, b, true)
}

/// `max.f64`: the other operand where one is NaN; -0 is less than +0.
#[inline(always)]
#[must_use]
pub fn max(a: f64, b: f64) -> f64 {
    min_max(a, b, false)
}
