//! Texture units: from a coordinate to texels, from texels to a value.
//!
//! The formulas are those of the programming guide's appendix on texture fetching. A coordinate in texels becomes an index
//! and, for linear filtering, a weight: a fixed-point number of nine bits, eight of them a fraction, so that a weight of one
//! is exact. Products of up to three weights have 24 fractional bits: as `f64` they and their products with a texel are
//! exact, and a filtered value is the exact sum rounded once.
//!
//! Indices go through the addressing mode last, texel by texel: a texel beyond an edge is another texel of the image or the
//! border.

use crate::half;

/// Bits of a filter weight after the point.
pub const WEIGHT_BITS: u32 = 8;
/// A weight of one.
pub const WEIGHT_ONE: u32 = 1 << WEIGHT_BITS;

/// What lies beyond the edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Wrap {
    /// The image again.
    Wrap,
    /// The texel at the edge.
    #[default]
    Clamp,
    /// The image mirrored.
    Mirror,
    /// The border's colour.
    Border,
}

/// Channel of a texel, with the numbers of `CUarray_format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `CU_AD_FORMAT_UNSIGNED_INT8`
    U8 = 1,
    /// `CU_AD_FORMAT_UNSIGNED_INT16`
    U16 = 2,
    /// `CU_AD_FORMAT_UNSIGNED_INT32`
    U32 = 3,
    /// `CU_AD_FORMAT_SIGNED_INT8`
    S8 = 8,
    /// `CU_AD_FORMAT_SIGNED_INT16`
    S16 = 9,
    /// `CU_AD_FORMAT_SIGNED_INT32`
    S32 = 10,
    /// `CU_AD_FORMAT_HALF`
    Half = 16,
    /// `CU_AD_FORMAT_FLOAT`
    Float = 32,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::U8,
        Self::U16,
        Self::U32,
        Self::S8,
        Self::S16,
        Self::S32,
        Self::Half,
        Self::Float,
    ];

    /// The format with this number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.number() == number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// Bytes of a channel.
    #[inline(always)]
    #[must_use]
    pub const fn bytes(self) -> u32 {
        match self {
            Self::U8 | Self::S8 => 1,
            Self::U16 | Self::S16 | Self::Half => 2,
            Self::U32 | Self::S32 | Self::Float => 4,
        }
    }

    /// Whether values are floating point.
    #[inline(always)]
    #[must_use]
    pub const fn is_float(self) -> bool {
        matches!(self, Self::Half | Self::Float)
    }

    /// Whether it can be read as a number of 0 to 1, or -1 to 1.
    #[inline(always)]
    #[must_use]
    pub const fn has_unit(self) -> bool {
        matches!(self, Self::U8 | Self::S8 | Self::U16 | Self::S16)
    }
}

/// A coordinate in texels of an image `n` texels long; normalised ones lie in 0 to 1. Those that repeat are first brought
/// near the image, so that they lose no digits to the length. NaN is 0.
#[inline(always)]
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "images are shorter than 2^24 texels")]
pub fn in_texels(x: f32, n: u32, normalized: bool, mode: Wrap) -> f32 {
    let near = match mode {
        _ if !normalized => x,
        Wrap::Wrap => x - x.floor(),
        Wrap::Mirror => x - 2.0 * (x * 0.5).floor(),
        Wrap::Clamp | Wrap::Border => x,
    };
    let u = if normalized { near * n as f32 } else { near };
    if u.is_nan() { 0.0 } else { u }
}

/// Most that an index can be away from 0; everything further is as far out.
const FAR: f64 = (1u64 << 40) as f64;

/// The texel that a coordinate lies in.
#[inline(always)]
#[must_use]
#[allow(clippy::cast_possible_truncation, reason = "bounded just before")]
pub fn nearest(u: f32) -> i64 {
    f64::from(u).floor().clamp(-FAR, FAR) as i64
}

/// The lower of the two texels whose centres a coordinate lies between, and the weight of the upper one: 0 to 256.
#[inline(always)]
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded just before, not negative"
)]
pub fn between(u: f32) -> (i64, u32) {
    let from_centre = f64::from(u).clamp(-FAR, FAR) - 0.5;
    let lower = from_centre.floor();
    let upper = (from_centre - lower) * f64::from(WEIGHT_ONE) + 0.5;
    (lower as i64, upper as u32)
}

/// The texel that stands at index `i` of an image of `n` texels (at least one); `None` is the border.
#[inline(always)]
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "every result is below `n`"
)]
pub const fn texel(i: i64, n: u32, mode: Wrap) -> Option<u32> {
    let len = n as i64;
    if i >= 0 && i < len {
        return Some(i as u32);
    }
    match mode {
        Wrap::Wrap => Some(i.rem_euclid(len) as u32),
        Wrap::Clamp => Some(if i < 0 { 0 } else { n - 1 }),
        Wrap::Mirror => {
            let r = i.rem_euclid(2 * len);
            Some(if r < len { r } else { 2 * len - 1 - r } as u32)
        }
        Wrap::Border => None,
    }
}

/// Weights of the lower and the upper of two texels.
#[inline(always)]
#[must_use]
pub fn weights(upper: u32) -> [f64; 2] {
    let one = f64::from(WEIGHT_ONE);
    [f64::from(WEIGHT_ONE - upper) / one, f64::from(upper) / one]
}

/// Face of a cube map that a direction meets, and where: coordinates of 0 to 1. Of equally long components the first counts.
#[inline(always)]
#[must_use]
pub fn cube_face([x, y, z]: [f32; 3]) -> (u32, f32, f32) {
    let (ax, ay, az) = (x.abs(), y.abs(), z.abs());
    let (face, m, s, t) = if ax >= ay && ax >= az {
        if x >= 0.0 { (0, ax, -z, -y) } else { (1, ax, z, -y) }
    } else if ay >= az {
        if y >= 0.0 { (2, ay, x, z) } else { (3, ay, x, -z) }
    } else if z >= 0.0 {
        (4, az, x, -y)
    } else {
        (5, az, -x, -y)
    };
    (face, (s / m + 1.0) * 0.5, (t / m + 1.0) * 0.5)
}

/// Level of detail for steps in texels along both axes of the screen: the longer one counts.
#[inline(always)]
#[must_use]
pub fn level_of_detail(dx: [f32; 3], dy: [f32; 3]) -> f32 {
    let length = |d: [f32; 3]| d.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>();
    let square = length(dx).max(length(dy));
    #[allow(clippy::cast_possible_truncation, reason = "rounding is what is wanted")]
    let level = (0.5 * square.log2()) as f32;
    level
}

/// The nearest level.
#[inline(always)]
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded just before"
)]
pub fn nearest_level(lod: f32, levels: u32) -> u32 {
    let last = f64::from(levels.saturating_sub(1));
    (f64::from(lod) + 0.5).floor().clamp(0.0, last) as u32
}

/// The finer of the two levels that a level of detail lies between, and the weight of the coarser one.
#[inline(always)]
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded just before"
)]
pub fn between_levels(lod: f32, levels: u32) -> (u32, u32) {
    let last = f64::from(levels.saturating_sub(1));
    let fixed = (f64::from(lod).clamp(0.0, last) * f64::from(WEIGHT_ONE) + 0.5).floor() as u32;
    (fixed >> WEIGHT_BITS, fixed % WEIGHT_ONE)
}

/// A channel as a register holds it: integers extended, half precision as `f32`. `raw` has the channel in its low bits and
/// zeros above.
#[inline(always)]
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "sign extension"
)]
pub const fn element(format: Format, raw: u32) -> u32 {
    match format {
        Format::S8 => raw as u8 as i8 as i32 as u32,
        Format::S16 => raw as u16 as i16 as i32 as u32,
        Format::Half => half::f16_to_f32(raw).to_bits(),
        Format::U8 | Format::U16 | Format::U32 | Format::S32 | Format::Float => raw,
    }
}

/// A channel as a number of 0 to 1 (unsigned) or -1 to 1 (signed). Other formats are what they are.
#[inline(always)]
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "up to 16 bits")]
pub fn unit(format: Format, raw: u32) -> f32 {
    let signed = |most: f32| {
        let v = element(format, raw).cast_signed() as f32 / most;
        if v < -1.0 { -1.0 } else { v }
    };
    match format {
        Format::U8 => raw as f32 / 255.0,
        Format::U16 => raw as f32 / 65535.0,
        Format::S8 => signed(127.0),
        Format::S16 => signed(32767.0),
        Format::U32 | Format::S32 | Format::Half | Format::Float => f32::from_bits(element(format, raw)),
    }
}

/// A colour channel of 8 bits in the sRGB encoding as a linear number of 0 to 1.
#[must_use]
pub fn from_srgb(raw: u32) -> f32 {
    let c = f64::from(raw & 0xff) / 255.0;
    let linear = if c <= 0.04045 {
        c / 12.92
    } else {
        ((c + 0.055) / 1.055).powf(2.4)
    };
    #[allow(clippy::cast_possible_truncation, reason = "rounding is what is wanted")]
    let linear = linear as f32;
    linear
}

/// A register's value as a channel of a formatted store: integers saturate, floats are rounded.
#[inline(always)]
#[must_use]
pub fn to_channel(format: Format, value: u32) -> u32 {
    let signed = |least: i32, most: i32| value.cast_signed().clamp(least, most).cast_unsigned();
    match format {
        Format::U8 => value.min(0xff),
        Format::U16 => value.min(0xffff),
        Format::S8 => signed(-0x80, 0x7f) & 0xff,
        Format::S16 => signed(-0x8000, 0x7fff) & 0xffff,
        Format::Half => to_half(value),
        Format::U32 | Format::S32 | Format::Float => value,
    }
}

/// The bits of an `f32` as half precision, rounded to nearest even.
#[inline(always)]
#[must_use]
pub fn to_half(value: u32) -> u32 {
    crate::convert::f64_to_f16(f64::from(f32::from_bits(value)), crate::Rounding::Rn)
}
