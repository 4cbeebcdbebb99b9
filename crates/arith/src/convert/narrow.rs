//! From `f32` to the narrow formats: `f16`, `bf16`, `tf32`, `e4m3`, `e5m2`; from the 8-bit ones to `f16`.

use crate::{Rounding, float32, half};

/// Whether a magnitude cut to `q`, having lost `rest` (of which `half` is one half unit), rounds to the next one outwards.
#[inline(always)]
const fn rounds_up(negative: bool, q: u32, rest: u32, half: u32, rnd: Rounding) -> bool {
    match rnd {
        Rounding::Rn => rest > half || (rest == half && q & 1 == 1),
        Rounding::Rz => false,
        Rounding::Rm => negative & (rest != 0),
        Rounding::Rp => !negative & (rest != 0),
    }
}

/// The magnitude of a finite `a` in a format of `FRACTION` bits and `bias`, rounded. May be at or above the format's infinity:
/// overflow is the caller's. Infinity and NaN of `f32` give something above all finite results.
#[inline(always)]
pub(super) const fn to_small<const FRACTION: u32, const BIAS: u32>(a: f32, rnd: Rounding) -> u32 {
    let bits = a.to_bits();
    let negative = bits >> 31 != 0;
    let magnitude = bits & 0x7fff_ffff;
    let exponent = magnitude >> 23;
    let normal = exponent > 127 - BIAS;
    // A normal number keeps its exponent field, rebased, above the fraction: a carry of rounding goes where it belongs.
    let fraction = magnitude & 0x7f_ffff;
    let (significand, lowest) = if exponent == 0 {
        (fraction, 1)
    } else {
        (fraction | 0x80_0000, exponent)
    };
    let value = if normal {
        magnitude - ((127 - BIAS) << 23)
    } else {
        significand
    };
    let shift = if normal {
        23 - FRACTION
    } else {
        151 - BIAS - FRACTION - lowest
    };
    let shift = if shift > 26 { 26 } else { shift };
    let q = value >> shift;
    let rest = value & !(u32::MAX << shift);
    q + rounds_up(negative, q, rest, 1 << (shift - 1), rnd) as u32
}

/// `cvt.rnd.f16.f32`
#[inline(always)]
#[must_use]
pub const fn f32_to_f16(a: f32, rnd: Rounding) -> u32 {
    if matches!(rnd, Rounding::Rn) {
        return f32_to_f16_rn(a);
    }
    let negative = a.is_sign_negative();
    let magnitude = to_small::<10, 15>(a, rnd);
    let inwards = match rnd {
        Rounding::Rm => !negative,
        Rounding::Rp => negative,
        Rounding::Rn | Rounding::Rz => true,
    };
    let largest = if inwards { 0x7bff } else { 0x7c00 };
    let magnitude = if magnitude > largest { largest } else { magnitude };
    let magnitude = if a.is_infinite() { 0x7c00 } else { magnitude };
    if a.is_nan() {
        half::NAN
    } else {
        magnitude | ((negative as u32) << 15)
    }
}

/// `cvt.rn.f16.f32`, the common case, in few operations.
#[inline(always)]
#[must_use]
pub const fn f32_to_f16_rn(a: f32) -> u32 {
    let bits = a.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    let normal = (magnitude
        .wrapping_sub(112 << 23)
        .wrapping_add(0xfff + ((magnitude >> 13) & 1)))
        >> 13;
    // Adding 1/2 puts the last bit of an f16 subnormal (2^-24) last in the f32, and the addition rounds.
    let subnormal = (f32::from_bits(magnitude) + 0.5)
        .to_bits()
        .wrapping_sub(0x3f00_0000);
    let r = if magnitude < 0x3880_0000 {
        subnormal
    } else {
        normal
    };
    let r = if magnitude >= 0x477f_f000 { 0x7c00 } else { r };
    if magnitude > 0x7f80_0000 {
        half::NAN
    } else {
        r | ((bits >> 16) & 0x8000)
    }
}

/// Rounds the low `drop` bits of the encoding away. The exponent range being that of `f32`, subnormals, overflow and infinity
/// come out right by themselves. NaN is the caller's.
#[inline(always)]
const fn drop_bits(bits: u32, drop: u32, rnd: Rounding) -> u32 {
    let negative = bits >> 31 != 0;
    let rest = (1 << drop) - 1;
    let increment = match rnd {
        Rounding::Rn => (rest >> 1) + ((bits >> drop) & 1),
        Rounding::Rz => 0,
        Rounding::Rm => {
            if negative {
                rest
            } else {
                0
            }
        }
        Rounding::Rp => {
            if negative {
                0
            } else {
                rest
            }
        }
    };
    bits.wrapping_add(increment) & !rest
}

/// `cvt.rnd.bf16.f32`
#[inline(always)]
#[must_use]
pub const fn f32_to_bf16(a: f32, rnd: Rounding) -> u32 {
    if a.is_nan() {
        half::NAN
    } else {
        drop_bits(a.to_bits(), 16, rnd) >> 16
    }
}

/// The rounding of `cvt` to `.tf32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tf32Rounding {
    /// `.rna`: to nearest, ties away from zero.
    Rna,
    /// `.rn`: to nearest, ties to even.
    Rn,
    /// `.rz`: towards zero.
    Rz,
}

/// `cvt.rnd.tf32.f32`: the encoding of an `f32` whose low 13 bits are zero.
///
/// `.rna` drops the low bits of a NaN (as the vendor's assembler folds it), the others make it canonical.
#[inline(always)]
#[must_use]
pub const fn f32_to_tf32(a: f32, rnd: Tf32Rounding) -> u32 {
    let bits = a.to_bits();
    let special = bits & 0x7f80_0000 == 0x7f80_0000;
    match rnd {
        Tf32Rounding::Rna => (if special { bits } else { bits.wrapping_add(0x1000) }) & !0x1fff,
        _ if a.is_nan() => float32::NAN,
        Tf32Rounding::Rn => drop_bits(bits, 13, Rounding::Rn),
        Tf32Rounding::Rz => drop_bits(bits, 13, Rounding::Rz),
    }
}

/// What `cvt` to a narrow format does with the rounded value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Clamp {
    /// `.sat`: clamp to [0, 1], NaN to +0.
    pub sat: bool,
    /// `.relu`: negative to +0; NaN stays (canonical).
    pub relu: bool,
    /// `.satfinite`: beyond the largest finite number (infinity too) to that number; NaN stays.
    pub satfinite: bool,
}

impl Clamp {
    /// Applies to an encoding with its sign in bit `sign_bit`.
    #[inline(always)]
    const fn apply(self, h: u32, nan: u32, one: u32, infinity: u32, sign: u32) -> u32 {
        let negative = h & sign != 0;
        let magnitude = h & (sign - 1);
        let is_nan = magnitude > infinity;
        let magnitude = if self.satfinite && magnitude == infinity {
            infinity - 1
        } else {
            magnitude
        };
        let h = (h & sign) | magnitude;
        let h = if self.relu && negative { 0 } else { h };
        if self.sat {
            let low = if negative || is_nan { 0 } else { h };
            return if low > one { one } else { low };
        }
        if is_nan { nan } else { h }
    }

    /// Applies to an `f16`.
    #[inline(always)]
    #[must_use]
    pub const fn f16(self, h: u32) -> u32 {
        self.apply(h, half::NAN, 0x3c00, 0x7c00, 0x8000)
    }

    /// Applies to a `bf16`.
    #[inline(always)]
    #[must_use]
    pub const fn bf16(self, h: u32) -> u32 {
        self.apply(h, half::NAN, 0x3f80, 0x7f80, 0x8000)
    }

    /// Applies to a `tf32`.
    #[inline(always)]
    #[must_use]
    pub const fn tf32(self, t: u32) -> u32 {
        let r = self.apply(t, float32::NAN, 0x3f80_0000, 0x7f80_0000, 1 << 31);
        // Its largest finite number has zeros in the low 13 bits, unlike that of f32.
        if r & 0x7fff_ffff == 0x7f7f_ffff {
            r & !0x1fff
        } else {
            r
        }
    }
}

/// `cvt.rnd{.relu}{.satfinite}.f16x2.f32 d, a, b`: `a` in the high half.
#[inline(always)]
#[must_use]
pub const fn f32_to_f16x2(a: f32, b: f32, rnd: Rounding, clamp: Clamp) -> u32 {
    crate::integer::pack(clamp.f16(f32_to_f16(b, rnd)), clamp.f16(f32_to_f16(a, rnd)))
}

/// `cvt.rnd{.relu}{.satfinite}.bf16x2.f32 d, a, b`: `a` in the high half.
#[inline(always)]
#[must_use]
pub const fn f32_to_bf16x2(a: f32, b: f32, rnd: Rounding, clamp: Clamp) -> u32 {
    crate::integer::pack(clamp.bf16(f32_to_bf16(b, rnd)), clamp.bf16(f32_to_bf16(a, rnd)))
}

/// One `f32` to `e4m3`, `.rn.satfinite{.relu}`.
#[inline(always)]
const fn to_e4m3(a: f32, relu: bool) -> u32 {
    let magnitude = to_small::<3, 7>(a, Rounding::Rn);
    // 448 is 0x7e; 0x7f is NaN and there is no infinity.
    let magnitude = if magnitude > 0x7e { 0x7e } else { magnitude };
    finish_small(a, magnitude, relu)
}

/// One `f32` to `e5m2`, `.rn.satfinite{.relu}`.
#[inline(always)]
const fn to_e5m2(a: f32, relu: bool) -> u32 {
    let magnitude = to_small::<2, 15>(a, Rounding::Rn);
    let magnitude = if magnitude > 0x7b { 0x7b } else { magnitude };
    finish_small(a, magnitude, relu)
}

#[inline(always)]
const fn finish_small(a: f32, magnitude: u32, relu: bool) -> u32 {
    if a.is_nan() {
        return 0x7f;
    }
    let negative = a.is_sign_negative();
    if negative && relu {
        0
    } else {
        magnitude | ((negative as u32) << 7)
    }
}

/// `cvt.rn.satfinite{.relu}.e4m3x2.f32 d, a, b`: `a` in the high byte of 16 bits.
#[inline(always)]
#[must_use]
pub const fn f32_to_e4m3x2(a: f32, b: f32, relu: bool) -> u32 {
    (to_e4m3(a, relu) << 8) | to_e4m3(b, relu)
}

/// `cvt.rn.satfinite{.relu}.e5m2x2.f32 d, a, b`: `a` in the high byte of 16 bits.
#[inline(always)]
#[must_use]
pub const fn f32_to_e5m2x2(a: f32, b: f32, relu: bool) -> u32 {
    (to_e5m2(a, relu) << 8) | to_e5m2(b, relu)
}

/// `cvt.rn.satfinite{.relu}.e4m3x2.f16x2`
#[inline(always)]
#[must_use]
pub const fn f16x2_to_e4m3x2(a: u32, relu: bool) -> u32 {
    f32_to_e4m3x2(half::f16_to_f32(a >> 16), half::f16_to_f32(a), relu)
}

/// `cvt.rn.satfinite{.relu}.e5m2x2.f16x2`
#[inline(always)]
#[must_use]
pub const fn f16x2_to_e5m2x2(a: u32, relu: bool) -> u32 {
    f32_to_e5m2x2(half::f16_to_f32(a >> 16), half::f16_to_f32(a), relu)
}

/// `cvt.rn.satfinite{.relu}.e4m3x2.bf16x2`
#[inline(always)]
#[must_use]
pub const fn bf16x2_to_e4m3x2(a: u32, relu: bool) -> u32 {
    f32_to_e4m3x2(half::bf16_to_f32(a >> 16), half::bf16_to_f32(a & 0xffff), relu)
}

/// `cvt.rn.satfinite{.relu}.e5m2x2.bf16x2`
#[inline(always)]
#[must_use]
pub const fn bf16x2_to_e5m2x2(a: u32, relu: bool) -> u32 {
    f32_to_e5m2x2(half::bf16_to_f32(a >> 16), half::bf16_to_f32(a & 0xffff), relu)
}

/// One `e5m2` as `f16`: its high byte.
#[inline(always)]
const fn e5m2_to_f16(a: u32) -> u32 {
    let h = (a & 0xff) << 8;
    if half::is_nan_f16(h) { half::NAN } else { h }
}

/// One `e4m3` as `f16`.
#[inline(always)]
const fn e4m3_to_f16(a: u32) -> u32 {
    // Fraction and exponent as those of an f32, times the difference of the biases: right for subnormals too.
    let scaled = f32::from_bits((a & 0x7f) << 20) * f32::from_bits((127 + 120) << 23);
    let h = f32_to_f16_rn(scaled) | ((a & 0x80) << 8);
    if a & 0x7f == 0x7f { half::NAN } else { h }
}

/// `cvt.rn{.relu}.f16x2.e4m3x2`: exact.
#[inline(always)]
#[must_use]
pub const fn e4m3x2_to_f16x2(a: u32, relu: bool) -> u32 {
    let clamp = Clamp {
        sat: false,
        relu,
        satfinite: false,
    };
    crate::integer::pack(clamp.f16(e4m3_to_f16(a)), clamp.f16(e4m3_to_f16(a >> 8)))
}

/// `cvt.rn{.relu}.f16x2.e5m2x2`: exact.
#[inline(always)]
#[must_use]
pub const fn e5m2x2_to_f16x2(a: u32, relu: bool) -> u32 {
    let clamp = Clamp {
        sat: false,
        relu,
        satfinite: false,
    };
    crate::integer::pack(clamp.f16(e5m2_to_f16(a)), clamp.f16(e5m2_to_f16(a >> 8)))
}
