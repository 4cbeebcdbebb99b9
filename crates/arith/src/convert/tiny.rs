//! The formats of 4, 6 and 8 bits one value at a time: from `f32` to nearest or with random bits, and back, which is exact; the
//! exponents `ue8m0`; the fixed-point numbers `s2f6`.
//!
//! Halves go through `f32`, which holds them all. Conversions to these formats saturate (`.satfinite` is required).

use super::narrow::to_small;
use super::{f32_to_f16_rn, f64_to_bf16};
use crate::{Rounding, half};

/// A format of a few bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tiny {
    /// `e4m3`: NaN, no infinity.
    E4m3,
    /// `e5m2`: of IEEE shape.
    E5m2,
    /// `e2m3`: 6 bits, neither NaN nor infinity.
    E2m3,
    /// `e3m2`: 6 bits, neither NaN nor infinity.
    E3m2,
    /// `e2m1`: 4 bits, neither NaN nor infinity.
    E2m1,
}

impl Tiny {
    /// Bits of the fraction, bias of the exponent, greatest number, what NaN becomes, sign.
    const fn shape(self) -> (u32, u32, u32, u32, u32) {
        match self {
            Self::E4m3 => (3, 7, 0x7e, 0x7f, 0x80),
            Self::E5m2 => (2, 15, 0x7b, 0x7f, 0x80),
            Self::E2m3 => (3, 1, 0x1f, 0x1f, 0x20),
            Self::E3m2 => (2, 3, 0x1f, 0x1f, 0x20),
            Self::E2m1 => (1, 1, 0x07, 0x07, 0x08),
        }
    }

    /// Sign, saturation, `.relu` and NaN for a rounded magnitude.
    const fn finish(self, a: f32, magnitude: u32, relu: bool) -> u32 {
        let (_, _, greatest, nan, sign) = self.shape();
        if a.is_nan() {
            return nan;
        }
        let magnitude = if magnitude > greatest { greatest } else { magnitude };
        match (a.is_sign_negative(), relu) {
            (true, true) => 0,
            (true, false) => magnitude | sign,
            (false, _) => magnitude,
        }
    }
}

/// `cvt.rn.satfinite{.relu}.TINY.f32` of one value.
#[inline(always)]
#[must_use]
pub const fn f32_to_tiny(a: f32, format: Tiny, relu: bool) -> u32 {
    let magnitude = match format {
        Tiny::E4m3 => to_small::<3, 7>(a, Rounding::Rn),
        Tiny::E5m2 => to_small::<2, 15>(a, Rounding::Rn),
        Tiny::E2m3 => to_small::<3, 1>(a, Rounding::Rn),
        Tiny::E3m2 => to_small::<2, 3>(a, Rounding::Rn),
        Tiny::E2m1 => to_small::<1, 1>(a, Rounding::Rn),
    };
    format.finish(a, magnitude, relu)
}

/// The magnitude of `a` in a format of `fraction` bits and `bias`, cut, plus the carry of adding `bits` random bits to what was cut
/// off, both aligned at their first bit. Infinity and NaN give something above all finite results.
#[inline(always)]
const fn stochastic(a: f32, fraction: u32, bias: u32, random: u32, bits: u32) -> u32 {
    let magnitude = a.to_bits() & 0x7fff_ffff;
    let exponent = magnitude >> 23;
    let normal = exponent > 127 - bias;
    let significand = if exponent == 0 {
        magnitude
    } else {
        magnitude & 0x7f_ffff | 0x80_0000
    };
    let lowest = if exponent == 0 { 1 } else { exponent };
    let (value, shift) = if normal {
        (magnitude - ((127 - bias) << 23), 23 - fraction)
    } else {
        (significand, 151 - bias - fraction - lowest)
    };
    // From 41 on not even the greatest random number carries.
    let shift = if shift > 41 { 41 } else { shift };
    let value = value as u64;
    let cut = value & ((1u64 << shift) - 1);
    let carry = ((cut << bits) + ((random as u64) << shift)) >> (shift + bits);
    ((value >> shift) + carry) as u32
}

/// `cvt.rs{.relu}.satfinite.TINY.f32` of one value; `random` has 16 bits, or 8 for `e2m1`.
#[inline(always)]
#[must_use]
pub const fn f32_to_tiny_rs(a: f32, random: u32, format: Tiny, relu: bool) -> u32 {
    let (fraction, bias, ..) = format.shape();
    let bits = if matches!(format, Tiny::E2m1) { 8 } else { 16 };
    let random = random & ((1 << bits) - 1);
    format.finish(a, stochastic(a, fraction, bias, random, bits), relu)
}

/// `cvt.rs.f16x2.f32` of one value, without its clamps; `random` has 13 bits. What overflows becomes infinity.
#[inline(always)]
#[must_use]
pub const fn f32_to_f16_rs(a: f32, random: u32) -> u32 {
    let magnitude = stochastic(a, 10, 15, random & 0x1fff, 13);
    let magnitude = if magnitude > 0x7c00 { 0x7c00 } else { magnitude };
    if a.is_nan() {
        half::NAN
    } else {
        magnitude | (a.is_sign_negative() as u32) << 15
    }
}

/// `cvt.rs.bf16x2.f32` of one value, without its clamps; `random` has 16 bits.
#[inline(always)]
#[must_use]
pub const fn f32_to_bf16_rs(a: f32, random: u32) -> u32 {
    if a.is_nan() {
        half::NAN
    } else if a.is_infinite() {
        a.to_bits() >> 16
    } else {
        (a.to_bits() + (random & 0xffff)) >> 16
    }
}

/// The value of one `TINY`, exactly; the bits above it are ignored.
#[inline(always)]
#[must_use]
pub const fn tiny_to_f32(a: u32, format: Tiny) -> f32 {
    let (fraction, bias, _, nan, sign) = format.shape();
    let magnitude = a & (sign - 1);
    let infinity = matches!(format, Tiny::E5m2) && magnitude == 0x7c;
    let is_nan = match format {
        Tiny::E4m3 => magnitude == nan,
        Tiny::E5m2 => magnitude > 0x7c,
        _ => false,
    };
    // Fraction and exponent as those of an f32, times the difference of the biases: right for subnormals too.
    let scaled = f32::from_bits(magnitude << (23 - fraction)) * f32::from_bits((254 - bias) << 23);
    let bits = if is_nan {
        return f32::from_bits(crate::float32::NAN);
    } else if infinity {
        0x7f80_0000
    } else {
        scaled.to_bits()
    };
    f32::from_bits(bits | if a & sign != 0 { 1 << 31 } else { 0 })
}

/// `cvt.{rz,rp}{.satfinite}.ue8m0x2.f32` of one value: the exponent of its magnitude, cut or rounded up. NaN is 0xff; without
/// `.satfinite` so is everything from 2^128 on.
#[inline(always)]
#[must_use]
pub const fn f32_to_ue8m0(a: f32, up: bool, satfinite: bool) -> u32 {
    let magnitude = a.to_bits() & 0x7fff_ffff;
    if a.is_nan() {
        return 0xff;
    }
    // The least exponent stands for 2^-127, which as an f32 is subnormal: half of its fraction.
    let least = magnitude <= 0x40_0000;
    let inexact = magnitude & 0x7f_ffff != 0 && !least;
    let exponent = (magnitude >> 23) + (up && inexact) as u32;
    if satfinite && exponent > 0xfe {
        0xfe
    } else {
        exponent
    }
}

/// `cvt.rn.bf16x2.ue8m0x2` of one value: exact.
#[inline(always)]
#[must_use]
pub const fn ue8m0_to_bf16(a: u32) -> u32 {
    match a & 0xff {
        0 => 0x40,
        0xff => half::NAN,
        exponent => exponent << 7,
    }
}

/// `cvt.rn{.scaled::n2::ue8m0}.bf16x2.s2f6x2` of one value, without its clamps: a signed number of 64ths, times the scale.
#[inline(always)]
#[must_use]
pub fn s2f6_to_bf16(a: u32, scale: u32) -> u32 {
    let scale = scale & 0xff;
    if scale == 0xff {
        return half::NAN;
    }
    let value = f64::from(a as u8 as i8) / 64.0;
    // 2^(scale - 127) as an f64.
    let factor = f64::from_bits(u64::from(scale + 1023 - 127) << 52);
    f64_to_bf16(value * factor, Rounding::Rn)
}

/// One value of a tiny format as `f16`, exactly.
#[inline(always)]
#[must_use]
pub const fn tiny_to_f16(a: u32, format: Tiny) -> u32 {
    f32_to_f16_rn(tiny_to_f32(a, format))
}
