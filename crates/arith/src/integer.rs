//! Integer arithmetic: `add sub mul mad mul24 mad24 sad div rem abs neg min max` and their packed forms.
//!
//! Addition, subtraction, negation and the low half of a product do not depend on signedness: one function per width.
//! Results wrap, except where `.sat` is said. See the crate's table for the bits above 16 in 16-bit values.

/// Sign-extends the low 16 bits.
#[inline(always)]
#[must_use]
pub const fn sx16(a: u32) -> i32 {
    a as u16 as i16 as i32
}

/// Keeps the low 16 bits.
#[inline(always)]
#[must_use]
pub const fn zx16(a: u32) -> u32 {
    a & 0xffff
}

macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident($a:ident, $b:ident: $ty:ty) -> $out:ty { $body:expr })*) => {$(
        $(#[$doc])*
        #[inline(always)]
        #[must_use]
        pub const fn $name($a: $ty, $b: $ty) -> $out { $body }
    )*};
}

macro_rules! ternary {
    ($($(#[$doc:meta])* $name:ident($a:ident, $b:ident: $ty:ty, $c:ident: $cty:ty) -> $out:ty { $body:expr })*) => {$(
        $(#[$doc])*
        #[inline(always)]
        #[must_use]
        pub const fn $name($a: $ty, $b: $ty, $c: $cty) -> $out { $body }
    )*};
}

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident($a:ident: $ty:ty) -> $out:ty { $body:expr })*) => {$(
        $(#[$doc])*
        #[inline(always)]
        #[must_use]
        pub const fn $name($a: $ty) -> $out { $body }
    )*};
}

binary! {
    /// `add.{u16,s16}`
    add16(a, b: u32) -> u32 { zx16(a.wrapping_add(b)) }
    /// `add.{u32,s32}`
    add32(a, b: u32) -> u32 { a.wrapping_add(b) }
    /// `add.{u64,s64}`
    add64(a, b: u64) -> u64 { a.wrapping_add(b) }
    /// `add.sat.s32`: clamps to the range of the type.
    add_sat_s32(a, b: u32) -> u32 { (a as i32).saturating_add(b as i32) as u32 }
    /// `add.{u16x2,s16x2}`
    add16x2(a, b: u32) -> u32 { ((a & 0x7fff_7fff).wrapping_add(b & 0x7fff_7fff)) ^ ((a ^ b) & 0x8000_8000) }
    /// `sub.{u16,s16}`
    sub16(a, b: u32) -> u32 { zx16(a.wrapping_sub(b)) }
    /// `sub.{u32,s32}`
    sub32(a, b: u32) -> u32 { a.wrapping_sub(b) }
    /// `sub.{u64,s64}`
    sub64(a, b: u64) -> u64 { a.wrapping_sub(b) }
    /// `sub.sat.s32`: clamps to the range of the type.
    sub_sat_s32(a, b: u32) -> u32 { (a as i32).saturating_sub(b as i32) as u32 }
    /// `mul.lo.{u16,s16}`
    mul_lo16(a, b: u32) -> u32 { zx16(a.wrapping_mul(b)) }
    /// `mul.lo.{u32,s32}`
    mul_lo32(a, b: u32) -> u32 { a.wrapping_mul(b) }
    /// `mul.lo.{u64,s64}`
    mul_lo64(a, b: u64) -> u64 { a.wrapping_mul(b) }
    /// `mul.hi.u16`
    mul_hi_u16(a, b: u32) -> u32 { (zx16(a) * zx16(b)) >> 16 }
    /// `mul.hi.s16`
    mul_hi_s16(a, b: u32) -> u32 { zx16(((sx16(a) * sx16(b)) >> 16) as u32) }
    /// `mul.hi.u32`
    mul_hi_u32(a, b: u32) -> u32 { ((a as u64 * b as u64) >> 32) as u32 }
    /// `mul.hi.s32`
    mul_hi_s32(a, b: u32) -> u32 { ((a as i32 as i64 * b as i32 as i64) >> 32) as u32 }
    /// `mul.hi.u64`
    mul_hi_u64(a, b: u64) -> u64 { ((a as u128 * b as u128) >> 64) as u64 }
    /// `mul.hi.s64`
    mul_hi_s64(a, b: u64) -> u64 { ((a as i64 as i128 * b as i64 as i128) >> 64) as u64 }
    /// `mul.wide.u16`: a 32-bit product.
    mul_wide_u16(a, b: u32) -> u32 { zx16(a) * zx16(b) }
    /// `mul.wide.s16`: a 32-bit product.
    mul_wide_s16(a, b: u32) -> u32 { (sx16(a) * sx16(b)) as u32 }
    /// `mul.wide.u32`: a 64-bit product.
    mul_wide_u32(a, b: u32) -> u64 { a as u64 * b as u64 }
    /// `mul.wide.s32`: a 64-bit product.
    mul_wide_s32(a, b: u32) -> u64 { (a as i32 as i64 * b as i32 as i64) as u64 }
    /// `mul24.lo.u32`: the low 32 bits of the 48-bit product of the low 24 bits.
    mul24_lo_u32(a, b: u32) -> u32 { zx24(a).wrapping_mul(zx24(b)) }
    /// `mul24.lo.s32`
    mul24_lo_s32(a, b: u32) -> u32 { sx24(a).wrapping_mul(sx24(b)) as u32 }
    /// `mul24.hi.u32`: bits 16..48 of the 48-bit product.
    mul24_hi_u32(a, b: u32) -> u32 { ((zx24(a) as u64 * zx24(b) as u64) >> 16) as u32 }
    /// `mul24.hi.s32`: bits 16..48 of the 48-bit product.
    mul24_hi_s32(a, b: u32) -> u32 { ((sx24(a) as i64 * sx24(b) as i64) >> 16) as u32 }
    /// `min.u16`
    min_u16(a, b: u32) -> u32 { min_u32(zx16(a), zx16(b)) }
    /// `max.u16`
    max_u16(a, b: u32) -> u32 { max_u32(zx16(a), zx16(b)) }
    /// `min.s16`
    min_s16(a, b: u32) -> u32 { zx16(min_s32(sx16(a) as u32, sx16(b) as u32)) }
    /// `max.s16`
    max_s16(a, b: u32) -> u32 { zx16(max_s32(sx16(a) as u32, sx16(b) as u32)) }
    /// `min.u32`
    min_u32(a, b: u32) -> u32 { if a < b { a } else { b } }
    /// `max.u32`
    max_u32(a, b: u32) -> u32 { if a > b { a } else { b } }
    /// `min.s32`
    min_s32(a, b: u32) -> u32 { if (a as i32) < (b as i32) { a } else { b } }
    /// `max.s32`
    max_s32(a, b: u32) -> u32 { if (a as i32) > (b as i32) { a } else { b } }
    /// `min.relu.s32`: the minimum, or 0 where that is negative.
    min_relu_s32(a, b: u32) -> u32 { max_s32(min_s32(a, b), 0) }
    /// `max.relu.s32`: the maximum, or 0 where that is negative.
    max_relu_s32(a, b: u32) -> u32 { max_s32(max_s32(a, b), 0) }
    /// `min.u64`
    min_u64(a, b: u64) -> u64 { if a < b { a } else { b } }
    /// `max.u64`
    max_u64(a, b: u64) -> u64 { if a > b { a } else { b } }
    /// `min.s64`
    min_s64(a, b: u64) -> u64 { if (a as i64) < (b as i64) { a } else { b } }
    /// `max.s64`
    max_s64(a, b: u64) -> u64 { if (a as i64) > (b as i64) { a } else { b } }
    /// `min.u16x2`
    min_u16x2(a, b: u32) -> u32 { pack(min_u16(a, b), min_u16(a >> 16, b >> 16)) }
    /// `max.u16x2`
    max_u16x2(a, b: u32) -> u32 { pack(max_u16(a, b), max_u16(a >> 16, b >> 16)) }
    /// `min.s16x2`
    min_s16x2(a, b: u32) -> u32 { pack(min_s16(a, b), min_s16(a >> 16, b >> 16)) }
    /// `max.s16x2`
    max_s16x2(a, b: u32) -> u32 { pack(max_s16(a, b), max_s16(a >> 16, b >> 16)) }
    /// `min.relu.s16x2`
    min_relu_s16x2(a, b: u32) -> u32 { max_s16x2(min_s16x2(a, b), 0) }
    /// `max.relu.s16x2`
    max_relu_s16x2(a, b: u32) -> u32 { max_s16x2(max_s16x2(a, b), 0) }
}

/// Packs two 16-bit values: `lo` in bits 0..16, `hi` in bits 16..32.
#[inline(always)]
#[must_use]
pub const fn pack(lo: u32, hi: u32) -> u32 {
    zx16(lo) | (hi << 16)
}

const fn zx24(a: u32) -> u32 {
    a & 0xff_ffff
}

const fn sx24(a: u32) -> i32 {
    ((a << 8) as i32) >> 8
}

unary! {
    /// `abs.s16`; the most negative value stays as it is.
    abs_s16(a: u32) -> u32 { zx16(sx16(a).wrapping_abs() as u32) }
    /// `abs.s32`; the most negative value stays as it is.
    abs_s32(a: u32) -> u32 { (a as i32).wrapping_abs() as u32 }
    /// `abs.s64`; the most negative value stays as it is.
    abs_s64(a: u64) -> u64 { (a as i64).wrapping_abs() as u64 }
    /// `neg.s16`
    neg16(a: u32) -> u32 { zx16(a.wrapping_neg()) }
    /// `neg.s32`
    neg32(a: u32) -> u32 { a.wrapping_neg() }
    /// `neg.s64`
    neg64(a: u64) -> u64 { a.wrapping_neg() }
}

ternary! {
    /// `mad.lo.{u16,s16}`
    mad_lo16(a, b: u32, c: u32) -> u32 { zx16(a.wrapping_mul(b).wrapping_add(c)) }
    /// `mad.lo.{u32,s32}`
    mad_lo32(a, b: u32, c: u32) -> u32 { a.wrapping_mul(b).wrapping_add(c) }
    /// `mad.lo.{u64,s64}`
    mad_lo64(a, b: u64, c: u64) -> u64 { a.wrapping_mul(b).wrapping_add(c) }
    /// `mad.hi.u16`
    mad_hi_u16(a, b: u32, c: u32) -> u32 { add16(mul_hi_u16(a, b), c) }
    /// `mad.hi.s16`
    mad_hi_s16(a, b: u32, c: u32) -> u32 { add16(mul_hi_s16(a, b), c) }
    /// `mad.hi.u32`
    mad_hi_u32(a, b: u32, c: u32) -> u32 { mul_hi_u32(a, b).wrapping_add(c) }
    /// `mad.hi.s32`
    mad_hi_s32(a, b: u32, c: u32) -> u32 { mul_hi_s32(a, b).wrapping_add(c) }
    /// `mad.hi.sat.s32`: the addition clamps to the range of the type.
    mad_hi_sat_s32(a, b: u32, c: u32) -> u32 { add_sat_s32(mul_hi_s32(a, b), c) }
    /// `mad.hi.u64`
    mad_hi_u64(a, b: u64, c: u64) -> u64 { mul_hi_u64(a, b).wrapping_add(c) }
    /// `mad.hi.s64`
    mad_hi_s64(a, b: u64, c: u64) -> u64 { mul_hi_s64(a, b).wrapping_add(c) }
    /// `mad.wide.u16`: a 32-bit product and sum.
    mad_wide_u16(a, b: u32, c: u32) -> u32 { mul_wide_u16(a, b).wrapping_add(c) }
    /// `mad.wide.s16`: a 32-bit product and sum.
    mad_wide_s16(a, b: u32, c: u32) -> u32 { mul_wide_s16(a, b).wrapping_add(c) }
    /// `mad.wide.u32`: a 64-bit product and sum.
    mad_wide_u32(a, b: u32, c: u64) -> u64 { mul_wide_u32(a, b).wrapping_add(c) }
    /// `mad.wide.s32`: a 64-bit product and sum.
    mad_wide_s32(a, b: u32, c: u64) -> u64 { mul_wide_s32(a, b).wrapping_add(c) }
    /// `mad24.lo.u32`
    mad24_lo_u32(a, b: u32, c: u32) -> u32 { mul24_lo_u32(a, b).wrapping_add(c) }
    /// `mad24.lo.s32`
    mad24_lo_s32(a, b: u32, c: u32) -> u32 { mul24_lo_s32(a, b).wrapping_add(c) }
    /// `mad24.hi.u32`
    mad24_hi_u32(a, b: u32, c: u32) -> u32 { mul24_hi_u32(a, b).wrapping_add(c) }
    /// `mad24.hi.s32`
    mad24_hi_s32(a, b: u32, c: u32) -> u32 { mul24_hi_s32(a, b).wrapping_add(c) }
    /// `mad24.hi.sat.s32`: the addition clamps to the range of the type.
    mad24_hi_sat_s32(a, b: u32, c: u32) -> u32 { add_sat_s32(mul24_hi_s32(a, b), c) }
    /// `sad.u16`: `c + |a - b|`
    sad_u16(a, b: u32, c: u32) -> u32 { add16(zx16(a).abs_diff(zx16(b)), c) }
    /// `sad.s16`: `c + |a - b|`
    sad_s16(a, b: u32, c: u32) -> u32 { add16(sx16(a).abs_diff(sx16(b)), c) }
    /// `sad.u32`: `c + |a - b|`
    sad_u32(a, b: u32, c: u32) -> u32 { a.abs_diff(b).wrapping_add(c) }
    /// `sad.s32`: `c + |a - b|`
    sad_s32(a, b: u32, c: u32) -> u32 { (a as i32).abs_diff(b as i32).wrapping_add(c) }
    /// `sad.u64`: `c + |a - b|`
    sad_u64(a, b: u64, c: u64) -> u64 { a.abs_diff(b).wrapping_add(c) }
    /// `sad.s64`: `c + |a - b|`
    sad_s64(a, b: u64, c: u64) -> u64 { (a as i64).abs_diff(b as i64).wrapping_add(c) }
}

// Division. The manual leaves a division by zero "unspecified, machine-specific"; the hardware's code gives all ones for
// quotient and remainder of every width. The most negative value divided by -1 wraps to itself, remainder 0.

/// `div.u32`. Through `f64`, whose 53 bits make the truncated quotient exact: a loop of it vectorises, a loop of `div` does not.
#[inline(always)]
#[must_use]
pub fn div_u32(a: u32, b: u32) -> u32 {
    // By 0 the quotient is infinite or NaN; the select below replaces whatever the conversion makes of it.
    let quotient = crate::convert::low_word((f64::from(a) / f64::from(b)).trunc());
    if b == 0 { u32::MAX } else { quotient }
}

/// `rem.u32`
#[inline(always)]
#[must_use]
pub fn rem_u32(a: u32, b: u32) -> u32 {
    let remainder = a.wrapping_sub(div_u32(a, b).wrapping_mul(b));
    if b == 0 { u32::MAX } else { remainder }
}

/// `div.s32`, truncating.
#[inline(always)]
#[must_use]
pub fn div_s32(a: u32, b: u32) -> u32 {
    // The quotient of the most negative value and -1 is 2^31, whose low word is the right result.
    let quotient = crate::convert::low_word((f64::from(a as i32) / f64::from(b as i32)).trunc());
    if b == 0 { u32::MAX } else { quotient }
}

/// `rem.s32`; the sign is that of the dividend.
#[inline(always)]
#[must_use]
pub fn rem_s32(a: u32, b: u32) -> u32 {
    let remainder = a.wrapping_sub(div_s32(a, b).wrapping_mul(b));
    if b == 0 { u32::MAX } else { remainder }
}

/// `div.u16`
#[inline(always)]
#[must_use]
pub fn div_u16(a: u32, b: u32) -> u32 {
    zx16(div_u32(zx16(a), zx16(b)))
}

/// `rem.u16`
#[inline(always)]
#[must_use]
pub fn rem_u16(a: u32, b: u32) -> u32 {
    zx16(rem_u32(zx16(a), zx16(b)))
}

/// `div.s16`, truncating.
#[inline(always)]
#[must_use]
pub fn div_s16(a: u32, b: u32) -> u32 {
    zx16(div_s32(sx16(a) as u32, sx16(b) as u32))
}

/// `rem.s16`
#[inline(always)]
#[must_use]
pub fn rem_s16(a: u32, b: u32) -> u32 {
    zx16(rem_s32(sx16(a) as u32, sx16(b) as u32))
}

/// `div.u64`
#[inline(always)]
#[must_use]
pub const fn div_u64(a: u64, b: u64) -> u64 {
    match a.checked_div(b) {
        Some(q) => q,
        None => u64::MAX,
    }
}

/// `rem.u64`
#[inline(always)]
#[must_use]
pub const fn rem_u64(a: u64, b: u64) -> u64 {
    match a.checked_rem(b) {
        Some(r) => r,
        None => u64::MAX,
    }
}

/// `div.s64`, truncating.
#[inline(always)]
#[must_use]
pub const fn div_s64(a: u64, b: u64) -> u64 {
    if b == 0 {
        u64::MAX
    } else {
        (a as i64).wrapping_div(b as i64) as u64
    }
}

/// `rem.s64`; the sign is that of the dividend.
#[inline(always)]
#[must_use]
pub const fn rem_s64(a: u64, b: u64) -> u64 {
    if b == 0 {
        u64::MAX
    } else {
        (a as i64).wrapping_rem(b as i64) as u64
    }
}
