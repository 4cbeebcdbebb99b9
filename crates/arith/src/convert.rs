//! `cvt`: between all types, with rounding, saturation and flushing; and the extension of results into wider registers.
//!
//! Integers travel here as `u64` in **extended form**: sign-extended to 64 bits where the type is signed, zero-extended
//! otherwise. A destination register wider than the type receives the same (PTX ISA, `cvt`, notes), so a caller truncates to its
//! register and is done.

mod narrow;
mod tiny;

pub use narrow::*;
pub use tiny::*;

use crate::rounding::f64_to_f32_odd;
use crate::{IntRounding, IntType, Rounding, float32, float64, half, rounding};

/// Brings a register's value of type `ty` into extended form, ignoring the bits above the type.
#[inline(always)]
#[must_use]
pub const fn extend(ty: IntType, a: u64) -> u64 {
    match ty {
        IntType::U8 => a as u8 as u64,
        IntType::S8 => a as i8 as u64,
        IntType::U16 => a as u16 as u64,
        IntType::S16 => a as i16 as u64,
        IntType::U32 => a as u32 as u64,
        IntType::S32 => a as i32 as u64,
        IntType::U64 | IntType::S64 => a,
    }
}

/// The least and greatest value of `ty`; for `u64` the greatest is that of `i64` and the caller knows better.
#[inline(always)]
const fn range(ty: IntType) -> (i64, i64) {
    match ty {
        IntType::U8 => (0, 0xff),
        IntType::S8 => (-0x80, 0x7f),
        IntType::U16 => (0, 0xffff),
        IntType::S16 => (-0x8000, 0x7fff),
        IntType::U32 => (0, 0xffff_ffff),
        IntType::S32 => (-0x8000_0000, 0x7fff_ffff),
        IntType::U64 => (0, i64::MAX),
        IntType::S64 => (i64::MIN, i64::MAX),
    }
}

/// `cvt{.sat}.dst.src` between integer types. `a` is a register's value, the result in extended form.
#[inline(always)]
#[must_use]
pub const fn int_to_int(dst: IntType, src: IntType, a: u64, sat: bool) -> u64 {
    let value = extend(src, a);
    if !sat {
        return extend(dst, value);
    }
    let (low, high) = range(dst);
    if matches!(src, IntType::U64) {
        // Above the range of i64 the value is also above that of every type but its own.
        let clamped = if value > high as u64 { high as u64 } else { value };
        return if matches!(dst, IntType::U64) {
            value
        } else {
            clamped
        };
    }
    let value = value as i64;
    let clamped = if value < low {
        low
    } else if value > high {
        high
    } else {
        value
    };
    clamped as u64
}

/// Rounds to an integral value: `cvt.{rni,rzi,rmi,rpi}.f32.f32` without its other modifiers.
#[inline(always)]
#[must_use]
pub fn round_f32(a: f32, rnd: IntRounding) -> f32 {
    match rnd {
        IntRounding::Rni => a.round_ties_even(),
        IntRounding::Rzi => a.trunc(),
        IntRounding::Rmi => a.floor(),
        IntRounding::Rpi => a.ceil(),
    }
}

/// Rounds to an integral value: `cvt.{rni,rzi,rmi,rpi}.f64.f64` without its other modifiers.
#[inline(always)]
#[must_use]
pub fn round_f64(a: f64, rnd: IntRounding) -> f64 {
    match rnd {
        IntRounding::Rni => a.round_ties_even(),
        IntRounding::Rzi => a.trunc(),
        IntRounding::Rmi => a.floor(),
        IntRounding::Rpi => a.ceil(),
    }
}

/// What NaN becomes: 0, but the top bit alone where the source is `.f64` or the destination has 64 bits (PTX ISA, `cvt`).
#[inline(always)]
const fn nan_to_int(dst: IntType, from_f64: bool) -> u64 {
    if from_f64 || dst.bits() == 64 {
        extend(dst, 1 << (dst.bits() - 1))
    } else {
        0
    }
}

/// The low 32 bits of an integral number below 2^51, in two's complement.
///
/// The addition puts the integer into the low bits of the fraction. A loop of `as`, which saturates, does not vectorise.
#[inline(always)]
#[must_use]
pub(crate) const fn low_word(integral: f64) -> u32 {
    (integral + 6_755_399_441_055_744.0).to_bits() as u32
}

/// An integral number to `dst`, clamped to its range, in extended form. NaN gives anything.
#[inline(always)]
const fn clamp_to_int(dst: IntType, integral: f64) -> u64 {
    match dst {
        IntType::U64 => integral as u64,
        IntType::S64 => integral as i64 as u64,
        _ => {
            let (low, high) = range(dst);
            let (low, high) = (low as f64, high as f64);
            let x = if integral > low { integral } else { low };
            let x = if x < high { x } else { high };
            extend(
                if dst.is_signed() {
                    IntType::S32
                } else {
                    IntType::U32
                },
                low_word(x) as u64,
            )
        }
    }
}

/// `cvt.irnd{.ftz}{.sat}.dst.f32`; out of range clamps. The result is in extended form.
#[inline(always)]
#[must_use]
pub fn f32_to_int(dst: IntType, a: f32, rnd: IntRounding, ftz: bool) -> u64 {
    let value = clamp_to_int(dst, f64::from(round_f32(float32::flush_if(a, ftz), rnd)));
    if a.is_nan() { nan_to_int(dst, false) } else { value }
}

/// `cvt.irnd{.sat}.dst.f64`; out of range clamps. The result is in extended form.
#[inline(always)]
#[must_use]
pub fn f64_to_int(dst: IntType, a: f64, rnd: IntRounding) -> u64 {
    let value = clamp_to_int(dst, round_f64(a, rnd));
    if a.is_nan() { nan_to_int(dst, true) } else { value }
}

/// `cvt.irnd{.sat}.dst.f16`; out of range clamps. The result is in extended form.
#[inline(always)]
#[must_use]
pub fn f16_to_int(dst: IntType, a: u32, rnd: IntRounding) -> u64 {
    f32_to_int(dst, half::f16_to_f32(a), rnd, false)
}

/// `cvt.irnd{.sat}.dst.bf16`; out of range clamps. The result is in extended form.
#[inline(always)]
#[must_use]
pub fn bf16_to_int(dst: IntType, a: u32, rnd: IntRounding) -> u64 {
    f32_to_int(dst, half::bf16_to_f32(a), rnd, false)
}

/// Sign and magnitude of a value in extended form.
#[inline(always)]
const fn magnitude(src: IntType, value: u64) -> (bool, u64) {
    if src.is_signed() && (value as i64) < 0 {
        (true, value.wrapping_neg())
    } else {
        (false, value)
    }
}

/// A 64-bit magnitude as `f64`, exact or rounded to odd at 53 bits.
#[inline(always)]
const fn u64_to_f64_odd(m: u64) -> f64 {
    // Only a magnitude of more than 53 bits loses bits 0..11 to a mark in bit 11.
    let marked = (m & !0x7ff) | (((m & 0x7ff != 0) as u64) << 11);
    (if m >> 53 != 0 { marked } else { m }) as f64
}

/// An integer as `f64`, exact or rounded to odd.
#[inline(always)]
fn int_to_f64_odd(src: IntType, a: u64) -> f64 {
    let value = extend(src, a);
    match src {
        IntType::U8 | IntType::U16 | IntType::U32 => value as u32 as f64,
        IntType::S8 | IntType::S16 | IntType::S32 => value as i32 as f64,
        IntType::U64 | IntType::S64 => {
            let (negative, m) = magnitude(src, value);
            let r = u64_to_f64_odd(m);
            if negative { -r } else { r }
        }
    }
}

/// `cvt.rnd.f32.src`. `a` is a register's value.
#[inline(always)]
#[must_use]
pub fn int_to_f32(src: IntType, a: u64, rnd: Rounding) -> f32 {
    if !matches!(rnd, Rounding::Rn) {
        return rounding::f64_to_f32(int_to_f64_odd(src, a), rnd);
    }
    let value = extend(src, a);
    match src {
        IntType::U8 | IntType::U16 | IntType::U32 => value as u32 as f32,
        IntType::S8 | IntType::S16 | IntType::S32 => value as i32 as f32,
        IntType::U64 => value as f32,
        IntType::S64 => value as i64 as f32,
    }
}

/// `cvt.rnd.f64.src`. `a` is a register's value.
#[inline(always)]
#[must_use]
pub fn int_to_f64(src: IntType, a: u64, rnd: Rounding) -> f64 {
    let value = extend(src, a);
    match src {
        IntType::U8 | IntType::U16 | IntType::U32 => value as u32 as f64,
        IntType::S8 | IntType::S16 | IntType::S32 => value as i32 as f64,
        IntType::U64 | IntType::S64 if matches!(rnd, Rounding::Rn) => {
            if src.is_signed() {
                value as i64 as f64
            } else {
                value as f64
            }
        }
        IntType::U64 | IntType::S64 => {
            let (negative, m) = magnitude(src, value);
            // Two exact halves, whose sum is rounded as asked.
            let high = (m >> 32) as f64 * 4_294_967_296.0;
            let low = m as u32 as f64;
            let (high, low) = if negative { (-high, -low) } else { (high, low) };
            let r = rounding::add_f64(high, low, rnd);
            // An integer zero is +0 in every mode.
            if m == 0 { 0.0 } else { r }
        }
    }
}

/// `cvt.rnd.f16.src`. `a` is a register's value.
#[inline(always)]
#[must_use]
pub fn int_to_f16(src: IntType, a: u64, rnd: Rounding) -> u32 {
    f32_to_f16(f64_to_f32_odd(int_to_f64_odd(src, a)), rnd)
}

/// `cvt.rnd.bf16.src`. `a` is a register's value.
#[inline(always)]
#[must_use]
pub fn int_to_bf16(src: IntType, a: u64, rnd: Rounding) -> u32 {
    f32_to_bf16(f64_to_f32_odd(int_to_f64_odd(src, a)), rnd)
}

/// `cvt{.ftz}{.sat}.f32.f32`, with `rnd` to an integral value.
#[inline(always)]
#[must_use]
pub fn f32_to_f32(a: f32, rnd: Option<IntRounding>, ftz: bool, sat: bool) -> f32 {
    let a = float32::flush_if(a, ftz);
    let r = rnd.map_or(a, |rnd| round_f32(a, rnd));
    if sat {
        float32::saturate(r)
    } else {
        float32::canonical(r)
    }
}

/// `cvt{.sat}.f64.f64`, with `rnd` to an integral value.
#[inline(always)]
#[must_use]
pub fn f64_to_f64(a: f64, rnd: Option<IntRounding>, sat: bool) -> f64 {
    let r = rnd.map_or(a, |rnd| round_f64(a, rnd));
    if sat {
        float64::saturate(r)
    } else {
        float64::canonical(r)
    }
}

/// `cvt{.sat}.f16.f16`, with `rnd` to an integral value.
#[inline(always)]
#[must_use]
pub fn f16_to_f16(a: u32, rnd: Option<IntRounding>, sat: bool) -> u32 {
    f32_to_f16_rn(f32_to_f32(half::f16_to_f32(a), rnd, false, sat))
}

/// `cvt.bf16.bf16`, with `rnd` to an integral value.
#[inline(always)]
#[must_use]
pub fn bf16_to_bf16(a: u32, rnd: Option<IntRounding>) -> u32 {
    f32_to_bf16(f32_to_f32(half::bf16_to_f32(a), rnd, false, false), Rounding::Rn)
}

/// `cvt{.ftz}{.sat}.f64.f32`: exact. A NaN keeps sign and payload, as the hardware has it (0x7fffffff becomes 0x7fffffffe0000000).
#[inline(always)]
#[must_use]
pub fn f32_to_f64(a: f32, ftz: bool, sat: bool) -> f64 {
    let a = float32::flush_if(a, ftz);
    if sat {
        return float64::saturate(f64::from(a));
    }
    let bits = u64::from(a.to_bits());
    let nan = ((bits & 0x8000_0000) << 32) | 0x7ff8_0000_0000_0000 | ((bits & 0x7f_ffff) << 29);
    f64::from_bits(if a.is_nan() { nan } else { f64::from(a).to_bits() })
}

/// `cvt.rnd{.ftz}{.sat}.f32.f64`. A NaN keeps sign and leading payload, quieted, as the vendor's assembler folds it.
#[inline(always)]
#[must_use]
pub fn f64_to_f32(a: f64, rnd: Rounding, ftz: bool, sat: bool) -> f32 {
    let scaled = if ftz {
        rounding::f64_to_f32(a * f64::from(float32::SCALE), rnd)
    } else {
        0.0
    };
    let r = float32::finish_scaled(rounding::f64_to_f32(a, rnd), scaled, ftz, sat);
    let bits = a.to_bits();
    let nan = ((bits >> 32) as u32 & 0x8000_0000) | 0x7fc0_0000 | ((bits >> 29) as u32 & 0x3f_ffff);
    f32::from_bits(if a.is_nan() & !sat { nan } else { r.to_bits() })
}

/// `cvt.rnd.f16.f64`
#[inline(always)]
#[must_use]
pub fn f64_to_f16(a: f64, rnd: Rounding) -> u32 {
    f32_to_f16(f64_to_f32_odd(a), rnd)
}

/// `cvt.rnd.bf16.f64`
#[inline(always)]
#[must_use]
pub fn f64_to_bf16(a: f64, rnd: Rounding) -> u32 {
    f32_to_bf16(f64_to_f32_odd(a), rnd)
}

/// `cvt.f64.f16`: exact.
#[inline(always)]
#[must_use]
pub fn f16_to_f64(a: u32) -> f64 {
    f32_to_f64(half::f16_to_f32(a), false, false)
}

/// `cvt.f64.bf16`: exact.
#[inline(always)]
#[must_use]
pub fn bf16_to_f64(a: u32) -> f64 {
    f32_to_f64(half::bf16_to_f32(a), false, false)
}

/// `cvt.rn.bf16.f16`
#[inline(always)]
#[must_use]
pub fn f16_to_bf16(a: u32, rnd: Rounding) -> u32 {
    f32_to_bf16(half::f16_to_f32(a), rnd)
}

/// `cvt.rnd.f16.bf16`
#[inline(always)]
#[must_use]
pub fn bf16_to_f16(a: u32, rnd: Rounding) -> u32 {
    f32_to_f16(half::bf16_to_f32(a), rnd)
}
