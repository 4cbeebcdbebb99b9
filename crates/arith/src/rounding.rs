//! Addition, multiplication, fused multiply-add, division and square root in all four rounding modes, `f32` and `f64`.
//!
//! Exact including subnormal results and overflow. NaN results keep the host's payload here; [`crate::float32`] and
//! [`crate::float64`] make them canonical.
//!
//! `f32` works through error terms: the nearest result plus the sign of what it misses tell the directed result, and that
//! sign is exact in `f64`. `f64` has no wider type to lean on and uses integers (128 bits); it is slow and rarely used.

use crate::Rounding;

const SIGN64: u64 = 1 << 63;

/// The nearest result `r`, moved by one unit where `rnd` asks for it. `error` has the sign of (exact value - `r`).
///
/// A zero `r` has the sign of the exact value, an infinite `r` with an `error` is an overflow.
#[inline(always)]
fn direct32(r: f32, error: f64, rnd: Rounding) -> f32 {
    let negative = r.is_sign_negative();
    let wanted = match rnd {
        Rounding::Rn => false,
        Rounding::Rz => ((error < 0.0) & !negative) | ((error > 0.0) & negative),
        Rounding::Rm => error < 0.0,
        Rounding::Rp => error > 0.0,
    };
    // Consecutive encodings of one sign are neighbours in magnitude, infinity included.
    let outwards = (error < 0.0) == negative;
    let bits = r.to_bits();
    let moved = if outwards {
        bits.wrapping_add(1)
    } else {
        bits.wrapping_sub(1)
    };
    f32::from_bits(if wanted { moved } else { bits })
}

/// As [`direct32`] for `f64`.
#[inline(always)]
fn direct64(r: f64, error: f64, rnd: Rounding) -> f64 {
    let negative = r.is_sign_negative();
    let wanted = match rnd {
        Rounding::Rn => false,
        Rounding::Rz => ((error < 0.0) & !negative) | ((error > 0.0) & negative),
        Rounding::Rm => error < 0.0,
        Rounding::Rp => error > 0.0,
    };
    let outwards = (error < 0.0) == negative;
    let bits = r.to_bits();
    let moved = if outwards {
        bits.wrapping_add(1)
    } else {
        bits.wrapping_sub(1)
    };
    f64::from_bits(if wanted { moved } else { bits })
}

/// Whether an exact zero sum of terms of these signs is negative: by the terms where they agree, else only rounding down.
#[inline(always)]
fn zero_sum_negative(a_negative: bool, b_negative: bool, rnd: Rounding) -> bool {
    if a_negative == b_negative {
        a_negative
    } else {
        matches!(rnd, Rounding::Rm)
    }
}

/// `s` and the exact error of `s = a + b` (`s + error == a + b`); 0 where `s` is not finite.
#[inline(always)]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    // Dekker's form with the larger term first: unlike Knuth's it cannot overflow on the way.
    let (big, small) = if a.abs() >= b.abs() { (a, b) } else { (b, a) };
    let s = big + small;
    let error = small - (s - big);
    (s, if s.is_finite() { error } else { 0.0 })
}

/// `f64` to `f32`.
#[inline(always)]
#[must_use]
pub fn f64_to_f32(x: f64, rnd: Rounding) -> f32 {
    let r = x as f32;
    if matches!(rnd, Rounding::Rn) {
        return r;
    }
    // inf - inf is NaN, which compares false both ways: no move.
    direct32(r, x - f64::from(r), rnd)
}

/// `f64` to `f32` towards zero, the last bit set where that was inexact ("round to odd"): a later rounding to 22 bits or
/// fewer, in any mode, gives what rounding `x` itself would.
#[inline(always)]
#[must_use]
pub fn f64_to_f32_odd(x: f64) -> f32 {
    let towards_zero = f64_to_f32(x, Rounding::Rz);
    let inexact = f64::from(towards_zero) != x && !x.is_nan();
    f32::from_bits(towards_zero.to_bits() | u32::from(inexact))
}

/// The exact sum `a + b` rounded to odd in `f64`: see [`f64_to_f32_odd`]. The sign of an exact zero is the nearest mode's.
#[inline(always)]
#[must_use]
pub fn add_f64_odd(a: f64, b: f64) -> f64 {
    let (s, error) = two_sum(a, b);
    let towards_zero = direct64(s, error, Rounding::Rz);
    f64::from_bits(towards_zero.to_bits() | u64::from(error != 0.0))
}

/// `a + b`
#[inline(always)]
#[must_use]
pub fn add_f32(a: f32, b: f32, rnd: Rounding) -> f32 {
    let s = a + b;
    if matches!(rnd, Rounding::Rn) {
        return s;
    }
    // In f64 neither difference overflows, also where `s` is the largest number; with `s` infinite from finite terms the
    // error is minus infinity times its sign, as it should be.
    let (big, small) = if a.abs() >= b.abs() { (a, b) } else { (b, a) };
    let error = f64::from(small) - (f64::from(s) - f64::from(big));
    let r = direct32(s, error, rnd);
    let zero = if zero_sum_negative(a.is_sign_negative(), b.is_sign_negative(), rnd) {
        -0.0
    } else {
        0.0
    };
    if s == 0.0 { zero } else { r }
}

/// `a * b`
#[inline(always)]
#[must_use]
pub fn mul_f32(a: f32, b: f32, rnd: Rounding) -> f32 {
    if matches!(rnd, Rounding::Rn) {
        return a * b;
    }
    // 48 bits: exact in f64, also in range.
    f64_to_f32(f64::from(a) * f64::from(b), rnd)
}

/// `a * b + c`, rounded once.
#[inline(always)]
#[must_use]
pub fn fma_f32(a: f32, b: f32, c: f32, rnd: Rounding) -> f32 {
    if matches!(rnd, Rounding::Rn) {
        return a.mul_add(b, c);
    }
    let product = f64::from(a) * f64::from(b);
    let sum = add_f64_odd(product, f64::from(c));
    let negative = zero_sum_negative(product.is_sign_negative(), c.is_sign_negative(), rnd);
    let zero = if negative { -0.0 } else { 0.0 };
    if sum == 0.0 { zero } else { f64_to_f32(sum, rnd) }
}

/// `a / b`
#[inline(always)]
#[must_use]
pub fn div_f32(a: f32, b: f32, rnd: Rounding) -> f32 {
    let q = a / b;
    if matches!(rnd, Rounding::Rn) {
        return q;
    }
    // The remainder a - q*b is exact in f64. An infinite q of finite operands makes it infinite, of the right sign.
    let remainder = f64::from(a) - f64::from(q) * f64::from(b);
    let error = if b.is_sign_negative() {
        -remainder
    } else {
        remainder
    };
    let inexact = a.is_finite() & b.is_finite() & (b != 0.0);
    direct32(q, if inexact { error } else { 0.0 }, rnd)
}

/// The square root of `a`.
#[inline(always)]
#[must_use]
pub fn sqrt_f32(a: f32, rnd: Rounding) -> f32 {
    let r = a.sqrt();
    if matches!(rnd, Rounding::Rn) {
        return r;
    }
    // The square of 24 bits is exact in f64, and so is what `a` exceeds it by (both are near each other).
    let error = f64::from(a) - f64::from(r) * f64::from(r);
    direct32(r, error, rnd)
}

/// `a + b`
#[inline(always)]
#[must_use]
pub fn add_f64(a: f64, b: f64, rnd: Rounding) -> f64 {
    let s = a + b;
    if matches!(rnd, Rounding::Rn) {
        return s;
    }
    let (big, small) = if a.abs() >= b.abs() { (a, b) } else { (b, a) };
    // Where `s` overflows, `s - big` is infinite and the error has the sign against `s`; infinite operands give NaN: no move.
    let error = small - (s - big);
    let r = direct64(s, error, rnd);
    let zero = if zero_sum_negative(a.is_sign_negative(), b.is_sign_negative(), rnd) {
        -0.0
    } else {
        0.0
    };
    if s == 0.0 { zero } else { r }
}

/// `a * b`
#[inline(always)]
#[must_use]
pub fn mul_f64(a: f64, b: f64, rnd: Rounding) -> f64 {
    let nearest = a * b;
    if matches!(rnd, Rounding::Rn) || !a.is_finite() || !b.is_finite() || a == 0.0 || b == 0.0 {
        return nearest;
    }
    mul_f64_directed(a, b, rnd)
}

/// `a * b + c`, rounded once.
#[inline(always)]
#[must_use]
pub fn fma_f64(a: f64, b: f64, c: f64, rnd: Rounding) -> f64 {
    if matches!(rnd, Rounding::Rn) {
        return a.mul_add(b, c);
    }
    fma_f64_directed(a, b, c, rnd)
}

/// `a / b`
#[inline(always)]
#[must_use]
pub fn div_f64(a: f64, b: f64, rnd: Rounding) -> f64 {
    let nearest = a / b;
    if matches!(rnd, Rounding::Rn) || !a.is_finite() || !b.is_finite() || a == 0.0 || b == 0.0 {
        return nearest;
    }
    div_f64_directed(a, b, rnd)
}

/// The square root of `a`.
#[inline(always)]
#[must_use]
pub fn sqrt_f64(a: f64, rnd: Rounding) -> f64 {
    let nearest = a.sqrt();
    if matches!(rnd, Rounding::Rn) || !a.is_finite() || a <= 0.0 {
        return nearest;
    }
    sqrt_f64_directed(a, nearest, rnd)
}

/// The significand (bit 52 set) and exponent of a finite non-zero number: `|x| = significand * 2^exponent`.
const fn unpack(x: f64) -> (u64, i32) {
    let bits = x.to_bits() & !SIGN64;
    let biased = (bits >> 52) as i32;
    let fraction = bits & ((1 << 52) - 1);
    if biased == 0 {
        let shift = fraction.leading_zeros() as i32 - 11;
        (fraction << shift, -1074 - shift)
    } else {
        (fraction | (1 << 52), biased - 1075)
    }
}

/// Rounds `significand * 2^exponent` (significand not 0) to `f64`. A set lowest bit may stand for "and a bit more", as long
/// as the significand has more than 54 bits above it.
fn pack(negative: bool, significand: u128, exponent: i32, rnd: Rounding) -> f64 {
    let lead = significand.leading_zeros();
    let significand = significand << lead;
    // The value is 1.xxx * 2^top.
    let top = exponent - lead as i32 + 127;
    let shift = (75 + (-1022 - top).max(0)).min(129);
    let (mut q, above_half, half, inexact) = match shift {
        129 => (0, false, false, true),
        128 => {
            let half = 1 << 127;
            (0, significand > half, significand == half, true)
        }
        _ => {
            let rest = significand & ((1 << shift) - 1);
            let half = 1 << (shift - 1);
            (
                (significand >> shift) as u64,
                rest > half,
                rest == half,
                rest != 0,
            )
        }
    };
    let up = match rnd {
        Rounding::Rn => above_half || (half && q & 1 == 1),
        Rounding::Rz => false,
        Rounding::Rm => negative && inexact,
        Rounding::Rp => !negative && inexact,
    };
    q += u64::from(up);
    // The leading bit of a normal `q` counts as one in the exponent field, and so does a carry out of rounding.
    let bits = if top > 1023 {
        u64::MAX
    } else if top >= -1022 {
        (((top + 1022) as u64) << 52) + q
    } else {
        q
    };
    let infinity = f64::INFINITY.to_bits();
    let bits = if bits < infinity {
        bits
    } else {
        match (rnd, negative) {
            (Rounding::Rn, _) | (Rounding::Rm, true) | (Rounding::Rp, false) => infinity,
            _ => infinity - 1,
        }
    };
    f64::from_bits(bits | if negative { SIGN64 } else { 0 })
}

fn mul_f64_directed(a: f64, b: f64, rnd: Rounding) -> f64 {
    let ((ma, ea), (mb, eb)) = (unpack(a), unpack(b));
    let negative = a.is_sign_negative() != b.is_sign_negative();
    pack(negative, u128::from(ma) * u128::from(mb), ea + eb, rnd)
}

fn fma_f64_directed(a: f64, b: f64, c: f64, rnd: Rounding) -> f64 {
    if !a.is_finite() || !b.is_finite() || !c.is_finite() {
        return a.mul_add(b, c);
    }
    let product_negative = a.is_sign_negative() != b.is_sign_negative();
    if a == 0.0 || b == 0.0 {
        let negative = zero_sum_negative(product_negative, c.is_sign_negative(), rnd);
        let zero = if negative { -0.0 } else { 0.0 };
        return if c == 0.0 { zero } else { c };
    }
    if c == 0.0 {
        return mul_f64_directed(a, b, rnd);
    }
    let ((ma, ea), (mb, eb), (mc, ec)) = (unpack(a), unpack(b), unpack(c));
    // Both terms with their leading bit at 125, so that their sum fits and 19 bits or more below the product are free.
    let product = u128::from(ma) * u128::from(mb);
    let up = product.leading_zeros() - 2;
    let (p, ep) = (product << up, ea + eb - up as i32);
    let (c_wide, ec) = (u128::from(mc) << 73, ec - 73);
    let (big, e_big, big_negative, small, e_small, small_negative) = if ep > ec || (ep == ec && p >= c_wide) {
        (p, ep, product_negative, c_wide, ec, c.is_sign_negative())
    } else {
        (c_wide, ec, c.is_sign_negative(), p, ep, product_negative)
    };
    // Bits of the smaller term that fall out leave a mark in the lowest bit. They only do at distances where the
    // difference keeps its leading bits, far above the mark.
    let distance = (e_big - e_small) as u32;
    let small = match distance {
        0 => small,
        1..=126 => (small >> distance) | u128::from(small & ((1 << distance) - 1) != 0),
        _ => 1,
    };
    if big_negative == small_negative {
        pack(big_negative, big + small, e_big, rnd)
    } else if big == small {
        if matches!(rnd, Rounding::Rm) { -0.0 } else { 0.0 }
    } else {
        pack(big_negative, big - small, e_big, rnd)
    }
}

fn div_f64_directed(a: f64, b: f64, rnd: Rounding) -> f64 {
    let ((ma, ea), (mb, eb)) = (unpack(a), unpack(b));
    let negative = a.is_sign_negative() != b.is_sign_negative();
    let (dividend, divisor) = (u128::from(ma) << 72, u128::from(mb));
    let mark = u128::from(dividend % divisor != 0);
    pack(negative, (dividend / divisor) | mark, ea - 72 - eb, rnd)
}

fn sqrt_f64_directed(a: f64, nearest: f64, rnd: Rounding) -> f64 {
    let ((ma, ea), (mr, er)) = (unpack(a), unpack(nearest));
    let square = u128::from(mr) * u128::from(mr);
    // The root is within one unit of exact, so the square's exponent is 52 to 54 below that of `a`.
    let exact = u128::from(ma) << (ea - 2 * er);
    let error = match exact.cmp(&square) {
        std::cmp::Ordering::Less => -1.0,
        std::cmp::Ordering::Equal => 0.0,
        std::cmp::Ordering::Greater => 1.0,
    };
    direct64(nearest, error, rnd)
}
