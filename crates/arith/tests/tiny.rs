//! The formats of 4, 6 and 8 bits against the list of their values: every half and bfloat, neighbours of every midpoint, random
//! `f32`; random rounding against exact fractions.

mod common;

use common::Random;
use num_bigint::BigInt;
use tessera_arith::convert::{self, Tiny};

const FORMATS: [(Tiny, u32, i32, u32); 5] = [
    // Format, bits of the fraction, bias, sign.
    (Tiny::E4m3, 3, 7, 0x80),
    (Tiny::E5m2, 2, 15, 0x80),
    (Tiny::E2m3, 3, 1, 0x20),
    (Tiny::E3m2, 2, 3, 0x20),
    (Tiny::E2m1, 1, 1, 0x08),
];

/// The value of a magnitude by the definition of the encoding, as if all were numbers.
fn decode(code: u32, fraction: u32, bias: i32) -> f64 {
    let (exponent, f) = (code >> fraction, f64::from(code & ((1 << fraction) - 1)));
    let unit = f64::from(1 << fraction);
    if exponent == 0 {
        f / unit * 2f64.powi(1 - bias)
    } else {
        (1.0 + f / unit) * 2f64.powi(exponent as i32 - bias)
    }
}

/// The finite magnitudes of a format, by encoding.
fn values(format: (Tiny, u32, i32, u32)) -> Vec<f64> {
    let (tiny, fraction, bias, sign) = format;
    let count = match tiny {
        Tiny::E4m3 => 0x7f,
        Tiny::E5m2 => 0x7c,
        _ => sign,
    };
    (0..count).map(|code| decode(code, fraction, bias)).collect()
}

fn nearest(x: f64, values: &[f64]) -> usize {
    let above = values.partition_point(|v| *v <= x);
    if above == values.len() {
        return above - 1;
    }
    let (low, high) = (x - values[above - 1], values[above] - x);
    // Differences are exact: both have few bits and are near each other, or `x` is far below the first value.
    if low < high || (low == high && (above - 1) % 2 == 0) {
        above - 1
    } else {
        above
    }
}

fn expected(a: f32, format: (Tiny, u32, i32, u32), relu: bool, list: &[f64]) -> u32 {
    if a.is_nan() {
        return match format.0 {
            Tiny::E4m3 | Tiny::E5m2 => 0x7f,
            _ => list.len() as u32 - 1,
        };
    }
    let code = nearest(f64::from(a.abs()), list) as u32;
    match (a.is_sign_negative(), relu) {
        (true, true) => 0,
        (true, false) => code | format.3,
        _ => code,
    }
}

#[test]
fn from_every_half_and_around_every_midpoint() {
    let mut random = Random(31);
    for format in FORMATS {
        let list = values(format);
        let check = |a: f32| {
            for relu in [false, true] {
                let wanted = expected(a, format, relu, &list);
                assert_eq!(
                    convert::f32_to_tiny(a, format.0, relu),
                    wanted,
                    "{a:e} {:?} {relu}",
                    format.0
                );
            }
        };
        for bits in 0..=0xffffu32 {
            check(tessera_arith::half::f16_to_f32(bits));
            check(f32::from_bits(bits << 16));
        }
        for pair in list.windows(2) {
            let middle = ((pair[0] + pair[1]) / 2.0) as f32;
            for bits in [-2i32, -1, 0, 1, 2] {
                let near = f32::from_bits(middle.to_bits().wrapping_add_signed(bits));
                check(near);
                check(-near);
            }
        }
        for _ in 0..200_000 {
            check(random.f32());
        }
    }
}

#[test]
fn widening_is_exact() {
    for format in FORMATS {
        let (tiny, fraction, bias, sign) = format;
        let list = values(format);
        for code in 0..2 * sign {
            let magnitude = code & (sign - 1);
            // Bits above the format must not be looked at.
            let got = convert::tiny_to_f32(code | 0xabcd_ef00, tiny);
            match list.get(magnitude as usize) {
                Some(_) => {
                    let value = decode(magnitude, fraction, bias) * if code & sign == 0 { 1.0 } else { -1.0 };
                    assert_eq!(f64::from(got).to_bits(), value.to_bits(), "{code:#x} {tiny:?}");
                    assert_eq!(convert::f32_to_tiny(got, tiny, false), code);
                    let half = tessera_arith::half::f16_to_f32(convert::tiny_to_f16(code, tiny));
                    assert_eq!(half.to_bits(), got.to_bits());
                }
                None if tiny == Tiny::E5m2 && magnitude == 0x7c => {
                    assert!(got.is_infinite() && got.is_sign_negative() == (code & sign != 0));
                }
                None => assert_eq!(got.to_bits(), 0x7fff_ffff),
            }
        }
    }
}

/// `x * 2^149`, an integer for every finite `f32`.
fn scaled(x: f64) -> BigInt {
    let bits = x.to_bits();
    let (exponent, fraction) = ((bits >> 52) as i64, bits & ((1 << 52) - 1));
    assert!(exponent != 0 || fraction == 0);
    if exponent == 0 {
        return BigInt::ZERO;
    }
    let significand = BigInt::from(fraction | 1 << 52);
    let shift = exponent - 1075 + 149;
    if shift >= 0 {
        significand << shift
    } else {
        significand >> -shift
    }
}

/// Whether the fraction of the way from `low` to `high` at which `x` lies and `random / 2^bits` make one.
fn carries(x: f64, low: f64, high: f64, random: u32, bits: u32) -> bool {
    let (x, low, high) = (scaled(x), scaled(low), scaled(high));
    let gap = &high - &low;
    (x - low) * (1u64 << bits) + BigInt::from(random) * &gap >= gap << bits
}

fn stochastic(a: f32, random: u32, bits: u32, list: &[f64]) -> u32 {
    let x = f64::from(a.abs());
    let above = list.partition_point(|v| *v <= x);
    if above == list.len() {
        return above as u32 - 1;
    }
    let up = carries(x, list[above - 1], list[above], random, bits);
    above as u32 - 1 + u32::from(up)
}

#[test]
fn rounding_with_random_bits() {
    let mut random = Random(32);
    for format in FORMATS {
        let list = values(format);
        let bits = if format.0 == Tiny::E2m1 { 8 } else { 16 };
        for n in 0..100_000 {
            let a = match n % 3 {
                0 => f32::from_bits(random.u32() & 0x87ff_ffff | 0x3800_0000),
                1 => (random.u32() as f32) * 2f32.powi(-32 - (n % 21)),
                _ => random.f32(),
            };
            let dice = match n % 5 {
                0 => 0,
                1 => (1 << bits) - 1,
                _ => random.u32() & ((1 << bits) - 1),
            };
            let got = convert::f32_to_tiny_rs(a, dice | 0xabc << 20, format.0, false);
            let wanted = if a.is_nan() {
                expected(a, format, false, &list)
            } else {
                stochastic(a, dice, bits, &list) | if a.is_sign_negative() { format.3 } else { 0 }
            };
            assert_eq!(got, wanted, "{a:e} {dice:#x} {:?}", format.0);
        }
    }
}

#[test]
fn halves_with_random_bits() {
    let mut random = Random(33);
    let list: Vec<f64> = (0..=0x7c00).map(|code| decode(code, 10, 15)).collect();
    for n in 0..100_000 {
        let a = match n % 3 {
            0 => f32::from_bits(random.u32() & 0x87ff_ffff | 0x3800_0000),
            1 => (random.u32() as f32) * 2f32.powi(-32 - (n % 31)),
            _ => random.f32(),
        };
        let dice = random.u32() & 0x1fff;
        let (got, brain) = (
            convert::f32_to_f16_rs(a, dice),
            convert::f32_to_bf16_rs(a, dice << 3),
        );
        if a.is_nan() {
            assert_eq!((got, brain), (0x7fff, 0x7fff));
            continue;
        }
        let sign = u32::from(a.is_sign_negative()) << 15;
        assert_eq!(got, stochastic(a, dice, 13, &list) | sign, "{a:e} {dice:#x}");
        let cut = a.to_bits() >> 16;
        let up = a.is_finite() && (a.to_bits() & 0xffff) + (dice << 3) >= 0x1_0000;
        assert_eq!(brain, cut + u32::from(up), "{a:e} {dice:#x}");
    }
}

#[test]
fn exponents() {
    // The least power of two that is not below, the greatest that is not above, by trying them.
    let powers: Vec<f64> = (-127..=127).map(|e| 2f64.powi(e)).collect();
    let mut random = Random(34);
    let check = |a: f32| {
        let x = f64::from(a.abs());
        for satfinite in [false, true] {
            let (down, up) = (
                convert::f32_to_ue8m0(a, false, satfinite),
                convert::f32_to_ue8m0(a, true, satfinite),
            );
            if a.is_nan() {
                assert_eq!((down, up), (0xff, 0xff));
                continue;
            }
            let beyond = if satfinite { 0xfe } else { 0xff };
            let below = powers.partition_point(|p| *p <= x).saturating_sub(1) as u32;
            let below = if x.is_infinite() { beyond } else { below };
            let above = powers.partition_point(|p| *p < x) as u32;
            let above = if above == 0xff { beyond } else { above };
            assert_eq!((down, up), (below, above), "{a:e} {satfinite}");
        }
    };
    for bits in 0..=0xffffu32 {
        for low in [0, 1, 0x8000, 0xffff] {
            check(f32::from_bits(bits << 16 | low));
        }
    }
    for _ in 0..100_000 {
        check(random.f32());
    }
    for code in 0..=0xffu32 {
        let value = f64::from(f32::from_bits(convert::ue8m0_to_bf16(code | 0x1200) << 16));
        if code == 0xff {
            assert!(value.is_nan());
        } else {
            assert_eq!(value, powers[code as usize]);
        }
    }
}

#[test]
fn fixed_point() {
    for code in 0..=0xffu32 {
        for scale in 0..=0xffu32 {
            let got = convert::s2f6_to_bf16(code | 0x5600, scale | 0x700);
            if scale == 0xff {
                assert_eq!(got, 0x7fff);
                continue;
            }
            let number = f64::from(code) - if code >= 128 { 256.0 } else { 0.0 };
            let value = number * 2f64.powi(scale as i32 - 127 - 6);
            let list = half::bf16::from_f64(value);
            assert_eq!(got, u32::from(list.to_bits()), "{code:#x} {scale:#x}");
        }
    }
}
