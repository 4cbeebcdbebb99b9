//! The reference: exact numbers as big integers, rounded to any binary format in any mode by the definition of rounding.
#![allow(dead_code, reason = "each test binary uses its part")]

use num_bigint::{BigInt, BigUint, Sign};
use tessera_arith::Rounding;

pub(crate) const MODES: [Rounding; 4] = [Rounding::Rn, Rounding::Rz, Rounding::Rm, Rounding::Rp];

/// A binary floating-point format of IEEE shape.
#[derive(Clone, Copy)]
pub(crate) struct Format {
    pub(crate) exponent_bits: u32,
    pub(crate) fraction_bits: u32,
}

pub(crate) const F16: Format = Format {
    exponent_bits: 5,
    fraction_bits: 10,
};
pub(crate) const BF16: Format = Format {
    exponent_bits: 8,
    fraction_bits: 7,
};
pub(crate) const F32: Format = Format {
    exponent_bits: 8,
    fraction_bits: 23,
};
pub(crate) const F64: Format = Format {
    exponent_bits: 11,
    fraction_bits: 52,
};
pub(crate) const TF32: Format = Format {
    exponent_bits: 8,
    fraction_bits: 10,
};

/// `number * 2^exponent`, exactly, plus something positive below one unit of `number`'s magnitude where `more`.
#[derive(Clone)]
pub(crate) struct Exact {
    pub(crate) number: BigInt,
    pub(crate) exponent: i64,
    pub(crate) more: bool,
}

impl Exact {
    pub(crate) fn of(x: f64) -> Self {
        assert!(x.is_finite());
        let bits = x.to_bits();
        let biased = (bits >> 52 & 0x7ff) as i64;
        let fraction = bits & ((1 << 52) - 1);
        let significand = if biased == 0 { fraction } else { fraction | 1 << 52 };
        let number = BigInt::from(significand);
        let number = if bits >> 63 == 1 { -number } else { number };
        Self {
            number,
            exponent: biased.max(1) - 1075,
            more: false,
        }
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.number.sign() == Sign::NoSign && !self.more
    }

    pub(crate) fn add(&self, other: &Self) -> Self {
        let exponent = self.exponent.min(other.exponent);
        let number =
            (&self.number << (self.exponent - exponent)) + (&other.number << (other.exponent - exponent));
        Self {
            number,
            exponent,
            more: false,
        }
    }

    pub(crate) fn mul(&self, other: &Self) -> Self {
        Self {
            number: &self.number * &other.number,
            exponent: self.exponent + other.exponent,
            more: false,
        }
    }

    pub(crate) fn div(&self, other: &Self) -> Self {
        let dividend = &self.number << 240;
        let number = &dividend / &other.number;
        let more = &number * &other.number != dividend;
        Self {
            number,
            exponent: self.exponent - 240 - other.exponent,
            more,
        }
    }

    pub(crate) fn sqrt(&self) -> Self {
        let mut number: BigInt = &self.number << 300;
        let mut exponent = self.exponent - 300;
        if exponent % 2 != 0 {
            number <<= 1;
            exponent -= 1;
        }
        let root = number.sqrt();
        let more = &root * &root != number;
        Self {
            number: root,
            exponent: exponent / 2,
            more,
        }
    }

    /// The encoding in `format`; not for zero.
    pub(crate) fn round(&self, format: Format, rnd: Rounding) -> u64 {
        let negative = self.number.sign() == Sign::Minus;
        let magnitude: &BigUint = self.number.magnitude();
        let f = i64::from(format.fraction_bits);
        let bias = (1i64 << (format.exponent_bits - 1)) - 1;
        let top = magnitude.bits() as i64 - 1 + self.exponent;
        let unit = (top - f).max(1 - bias - f);
        let shift = unit - self.exponent;
        let (mut q, rest, half) = if shift <= 0 {
            (magnitude << -shift, BigUint::ZERO, BigUint::ZERO)
        } else {
            let q = magnitude >> shift;
            let rest = magnitude - (&q << shift);
            (q, rest, BigUint::from(1u8) << (shift - 1))
        };
        let exact = rest == BigUint::ZERO && !self.more;
        let up = match rnd {
            Rounding::Rz => false,
            Rounding::Rm => negative && !exact,
            Rounding::Rp => !negative && !exact,
            Rounding::Rn if shift <= 0 => {
                assert!(!self.more, "the reference needs more bits");
                false
            }
            Rounding::Rn => rest > half || (rest == half && (self.more || q.bit(0))),
        };
        if up {
            q += 1u8;
        }
        let infinity = ((1u64 << format.exponent_bits) - 1) << format.fraction_bits;
        // q * 2^unit, q at most 2^(f+1): the field of the exponent counts from the unit of subnormals.
        let q = u64::try_from(q).expect("f + 1 bits");
        let steps = unit - (1 - bias - f);
        let encoding = if q >> f == 0 {
            q
        } else {
            ((steps as u64) << f).saturating_add(q)
        };
        let encoding = if steps > 2 * bias || encoding >= infinity {
            match (rnd, negative) {
                (Rounding::Rn, _) | (Rounding::Rm, true) | (Rounding::Rp, false) => infinity,
                _ => infinity - 1,
            }
        } else {
            encoding
        };
        encoding | u64::from(negative) << (format.exponent_bits + format.fraction_bits)
    }
}

/// The encoding of an exact sum that may be zero, of terms of these signs.
pub(crate) fn round_sum(
    sum: &Exact,
    a_negative: bool,
    b_negative: bool,
    format: Format,
    rnd: Rounding,
) -> u64 {
    if !sum.is_zero() {
        return sum.round(format, rnd);
    }
    let negative = if a_negative == b_negative {
        a_negative
    } else {
        rnd == Rounding::Rm
    };
    u64::from(negative) << (format.exponent_bits + format.fraction_bits)
}

/// A small generator: the suite must give the same on every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn u64(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn u32(&mut self) -> u32 {
        (self.u64() >> 32) as u32
    }

    /// An `f32` of any kind; often near another one, or with few bits, where rounding is interesting.
    pub(crate) fn f32(&mut self) -> f32 {
        let bits = self.u32();
        f32::from_bits(match self.u32() % 8 {
            0 => bits & 0xff80_0000,
            1 => bits & 0xfff8_0000,
            2 => bits & 0x807f_ffff,
            3 => (bits & 0x8007_ffff) | 0x3f80_0000,
            4 => bits | 0x007f_fff0,
            5 => SPECIAL32[bits as usize % SPECIAL32.len()],
            _ => bits,
        })
    }

    pub(crate) fn f64(&mut self) -> f64 {
        let bits = self.u64();
        f64::from_bits(match self.u32() % 8 {
            0 => bits & 0xfff0_0000_0000_0000,
            1 => bits & 0xffff_ff00_0000_0000,
            2 => bits & 0x800f_ffff_ffff_ffff,
            3 => (bits & 0x800f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000,
            4 => bits | 0x000f_ffff_ffff_ff00,
            5 => SPECIAL64[bits as usize % SPECIAL64.len()],
            _ => bits,
        })
    }
}

pub(crate) const SPECIAL32: [u32; 18] = [
    0,
    0x8000_0000,
    1,
    0x8000_0001,
    0x007f_ffff,
    0x807f_ffff,
    0x0080_0000,
    0x8080_0000,
    0x3f80_0000,
    0xbf80_0000,
    0x7f7f_ffff,
    0xff7f_ffff,
    0x7f80_0000,
    0xff80_0000,
    0x7fc0_0000,
    0xffc1_2345,
    0x7f80_0001,
    0x7fff_ffff,
];

pub(crate) const SPECIAL64: [u64; 16] = [
    0,
    1 << 63,
    1,
    (1 << 63) | 1,
    0x000f_ffff_ffff_ffff,
    0x0010_0000_0000_0000,
    0x8010_0000_0000_0000,
    0x3ff0_0000_0000_0000,
    0xbff0_0000_0000_0000,
    0x7fef_ffff_ffff_ffff,
    0xffef_ffff_ffff_ffff,
    0x7ff0_0000_0000_0000,
    0xfff0_0000_0000_0000,
    0x7ff8_0000_0000_0000,
    0xfff8_1234_0000_0000,
    0x7ff0_0000_0000_0001,
];
