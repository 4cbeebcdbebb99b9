//! `f16`, `bf16` and the narrow formats: every value where there are 65,536, dense samples of pairs, against exact arithmetic.

mod common;

use common::{BF16, Exact, F16, Format, MODES, Random, TF32, round_sum};
use tessera_arith::convert::{self, Clamp, Tf32Rounding};
use tessera_arith::float32::MinMax;
use tessera_arith::{Rounding, float32, half as h};

const NAN: u32 = 0x7fff;
const PLAIN: Clamp = Clamp {
    sat: false,
    relu: false,
    satfinite: false,
};

/// Any value of the format, decoded by the definition of the encoding.
fn decode(bits: u32, format: Format) -> f64 {
    let exponent = (bits & 0x7fff) >> format.fraction_bits;
    let fraction = f64::from(bits & ((1 << format.fraction_bits) - 1));
    let unit = f64::from(1u32 << format.fraction_bits);
    let bias = (1 << (format.exponent_bits - 1)) - 1;
    let magnitude = if exponent == (1 << format.exponent_bits) - 1 {
        if fraction == 0.0 { f64::INFINITY } else { f64::NAN }
    } else if exponent == 0 {
        fraction / unit * 2f64.powi(1 - bias)
    } else {
        (1.0 + fraction / unit) * 2f64.powi(exponent as i32 - bias)
    };
    if bits & 0x8000 != 0 { -magnitude } else { magnitude }
}

/// The encoding of the exact `x`, given as a sum of terms of these signs, or of an infinity or NaN.
fn encode(x: f64, exact: Option<&Exact>, signs: (bool, bool), format: Format, rnd: Rounding) -> u32 {
    let infinity = ((1 << format.exponent_bits) - 1) << format.fraction_bits;
    match exact {
        Some(exact) => round_sum(exact, signs.0, signs.1, format, rnd) as u32,
        None if x.is_nan() => NAN,
        None => infinity | u32::from(x < 0.0) << 15,
    }
}

/// Interesting halves: specials, neighbours of powers of two, random.
fn sample(random: &mut Random, count: usize, format: Format) -> Vec<u32> {
    let mut all = vec![0, 1, 2, 3, 0x7bff, 0x7c00, 0x7c01, 0x7e00, 0x7f7f, 0x7f80, 0x7fff];
    for exponent in 0..1 << format.exponent_bits {
        let power = exponent << format.fraction_bits;
        all.extend([power, power | 1, (power + (1 << format.fraction_bits)) - 1]);
    }
    all.truncate(120);
    all.extend((0..count).map(|_| random.u32() & 0x7fff));
    let negative: Vec<u32> = all.iter().map(|x| x | 0x8000).collect();
    all.extend(negative);
    all
}

/// Operands with garbage above their 16 bits.
fn dirty(x: u32) -> u32 {
    x | 0x5a5a_0000
}

#[test]
fn widening_of_every_half() {
    for bits in 0..=0xffff_u32 {
        let (value, brain) = (decode(bits, F16), decode(bits, BF16));
        let (got, got_brain) = (h::f16_to_f32(dirty(bits)), h::bf16_to_f32(dirty(bits)));
        if value.is_nan() {
            assert_eq!(got.to_bits(), 0x7fff_ffff);
        } else {
            assert_eq!(f64::from(got).to_bits(), value.to_bits(), "{bits:#x}");
            assert_eq!(convert::f16_to_f64(bits).to_bits(), value.to_bits());
            // A second, independent reference.
            assert_eq!(
                got.to_bits(),
                half::f16::from_bits(bits as u16).to_f32().to_bits()
            );
        }
        assert_eq!(got_brain.to_bits(), bits << 16);
        if !brain.is_nan() {
            assert_eq!(f64::from(got_brain).to_bits(), brain.to_bits(), "{bits:#x}");
            assert_eq!(convert::bf16_to_f64(bits).to_bits(), brain.to_bits());
        }
        unary(bits);
    }
}

fn unary(bits: u32) {
    let a = dirty(bits);
    assert_eq!(h::is_nan_f16(a), decode(bits, F16).is_nan());
    assert_eq!(h::is_nan_bf16(a), decode(bits, BF16).is_nan());
    let flushed = |x: u32, format: Format| {
        if x & 0x7fff < 1 << format.fraction_bits {
            x & 0x8000
        } else {
            x
        }
    };
    assert_eq!(h::flush_f16(a), flushed(bits, F16));
    assert_eq!(h::flush_bf16(a), flushed(bits, BF16));
    let (nan, nan_brain) = (decode(bits, F16).is_nan(), decode(bits, BF16).is_nan());
    let of = |nan: bool, x: u32| if nan { NAN } else { x };
    assert_eq!(h::abs_f16(a, false), of(nan, bits & 0x7fff));
    assert_eq!(h::abs_f16(a, true), of(nan, flushed(bits, F16) & 0x7fff));
    assert_eq!(h::neg_f16(a, false), of(nan, bits ^ 0x8000));
    assert_eq!(h::neg_f16(a, true), of(nan, flushed(bits, F16) ^ 0x8000));
    assert_eq!(h::abs_bf16(a), of(nan_brain, bits & 0x7fff));
    assert_eq!(h::neg_bf16(a), of(nan_brain, bits ^ 0x8000));
}

#[test]
fn narrowing_and_back_of_every_half() {
    for bits in 0..=0xffff_u32 {
        let (nan, nan_brain) = (decode(bits, F16).is_nan(), decode(bits, BF16).is_nan());
        for rnd in MODES {
            let expected = if nan { NAN } else { bits };
            assert_eq!(
                convert::f32_to_f16(h::f16_to_f32(bits), rnd),
                expected,
                "{bits:#x} {rnd:?}"
            );
            assert_eq!(
                convert::f64_to_f16(decode(bits, F16), rnd),
                expected,
                "{bits:#x} {rnd:?}"
            );
            let expected = if nan_brain { NAN } else { bits };
            assert_eq!(
                convert::f32_to_bf16(h::bf16_to_f32(bits), rnd),
                expected,
                "{bits:#x} {rnd:?}"
            );
            assert_eq!(
                convert::f64_to_bf16(decode(bits, BF16), rnd),
                expected,
                "{bits:#x} {rnd:?}"
            );
        }
    }
}

#[test]
fn narrowing() {
    let mut random = Random(21);
    for i in 0..80_000 {
        let x = match i % 5 {
            // The middle between two halves and its neighbours.
            0 => f32::from_bits(
                (random.u32() & 0xffff_e000 | 0x1000)
                    .wrapping_add(random.u32() % 3)
                    .wrapping_sub(1),
            ),
            1 => f32::from_bits(
                (random.u32() & 0xffff_0000 | 0x8000)
                    .wrapping_add(random.u32() % 3)
                    .wrapping_sub(1),
            ),
            // Around the subnormal halves.
            2 => f32::from_bits(random.u32() & 0x87ff_ffff | 0x3000_0000),
            3 => f32::from_bits(random.u32() & 0x8fff_ffff | 0x4000_0000),
            _ => random.f32(),
        };
        for rnd in MODES {
            let wide = f64::from(x);
            let exact = x.is_finite().then(|| Exact::of(wide));
            let signs = (x.is_sign_negative(), x.is_sign_negative());
            let got = convert::f32_to_f16(x, rnd);
            assert_eq!(
                got,
                encode(wide, exact.as_ref(), signs, F16, rnd),
                "{x:e} {rnd:?}"
            );
            let got = convert::f32_to_bf16(x, rnd);
            assert_eq!(
                got,
                encode(wide, exact.as_ref(), signs, BF16, rnd),
                "{x:e} {rnd:?}"
            );
            // From f64: a bit far below the middle must still decide.
            if x.is_finite() && x != 0.0 {
                let near = f64::from_bits(wide.to_bits() ^ (random.u64() & 1));
                let exact = Exact::of(near);
                assert_eq!(
                    convert::f64_to_f16(near, rnd),
                    exact.round(F16, rnd) as u32,
                    "{near:e} {rnd:?}"
                );
                assert_eq!(
                    convert::f64_to_bf16(near, rnd),
                    exact.round(BF16, rnd) as u32,
                    "{near:e} {rnd:?}"
                );
            }
        }
    }
}

/// Runs `check` on the pairs of a dense sample, with what the exact result is to be compared to.
fn pairs(format: Format, seed: u64, mut check: impl FnMut(u32, u32, f64, f64)) {
    let mut random = Random(seed);
    let all = sample(&mut random, 250, format);
    for &a in &all {
        for &b in &all {
            check(a, b, decode(a, format), decode(b, format));
        }
    }
}

/// Sum, difference and product of the exact values, encoded.
fn expected(x: f64, y: f64, format: Format) -> [u32; 3] {
    let both = x.is_finite() && y.is_finite();
    let exact = |f: &dyn Fn(Exact, Exact) -> Exact| both.then(|| f(Exact::of(x), Exact::of(y)));
    let (nx, ny) = (x.is_sign_negative(), y.is_sign_negative());
    let product_signs = (nx != ny, nx != ny);
    [
        encode(
            x + y,
            exact(&|a, b| a.add(&b)).as_ref(),
            (nx, ny),
            format,
            Rounding::Rn,
        ),
        encode(
            x - y,
            both.then(|| Exact::of(x).add(&Exact::of(-y))).as_ref(),
            (nx, !ny),
            format,
            Rounding::Rn,
        ),
        encode(
            x * y,
            exact(&|a, b| a.mul(&b)).as_ref(),
            product_signs,
            format,
            Rounding::Rn,
        ),
    ]
}

/// The result of `.ftz` on `f16`: zero where 11 bits with an unbounded exponent give less than 2^-14.
fn flushed(r: u32, exact: Option<&Exact>) -> u32 {
    let Some(exact) = exact.filter(|e| !e.is_zero()) else {
        return r;
    };
    let wide = exact.round(
        Format {
            exponent_bits: 8,
            fraction_bits: 10,
        },
        Rounding::Rn,
    ) & 0x3ffff;
    if wide < (127 - 14) << 10 { r & 0x8000 } else { r }
}

/// `.sat` by its definition.
fn saturated(r: u32) -> u32 {
    if r & 0x8000 != 0 || h::is_nan_f16(r) {
        0
    } else {
        r.min(0x3c00)
    }
}

#[test]
fn arithmetic_f16() {
    pairs(F16, 22, |a, b, x, y| {
        let [sum, difference, product] = expected(x, y, F16);
        let (p, q) = (dirty(a), dirty(b));
        assert_eq!(h::add_f16(p, q, false, false), sum, "{x:e} + {y:e}");
        assert_eq!(h::sub_f16(p, q, false, false), difference, "{x:e} - {y:e}");
        assert_eq!(h::mul_f16(p, q, false, false), product, "{x:e} * {y:e}");
        assert_eq!(h::add_f16(p, q, false, true), saturated(sum), "sat {x:e} + {y:e}");
        assert_eq!(
            h::sub_f16(p, q, false, true),
            saturated(difference),
            "sat {x:e} - {y:e}"
        );
        assert_eq!(
            h::mul_f16(p, q, false, true),
            saturated(product),
            "sat {x:e} * {y:e}"
        );
        let (fa, fb) = (h::flush_f16(a), h::flush_f16(b));
        let (x, y) = (decode(fa, F16), decode(fb, F16));
        let [sum, difference, product] = expected(x, y, F16);
        let exact = (x.is_finite() && y.is_finite()).then(|| (Exact::of(x), Exact::of(y)));
        let (sum, difference) = (h::flush_f16(sum), h::flush_f16(difference));
        let product = flushed(product, exact.map(|(x, y)| x.mul(&y)).as_ref());
        assert_eq!(h::add_f16(p, q, true, false), sum, "ftz {x:e} + {y:e}");
        assert_eq!(h::sub_f16(p, q, true, false), difference, "ftz {x:e} - {y:e}");
        assert_eq!(h::mul_f16(p, q, true, false), product, "ftz {x:e} * {y:e}");
    });
}

#[test]
fn arithmetic_bf16() {
    pairs(BF16, 23, |a, b, x, y| {
        let [sum, difference, product] = expected(x, y, BF16);
        let (p, q) = (dirty(a), dirty(b));
        assert_eq!(h::add_bf16(p, q), sum, "{x:e} + {y:e}");
        assert_eq!(h::sub_bf16(p, q), difference, "{x:e} - {y:e}");
        assert_eq!(h::mul_bf16(p, q), product, "{x:e} * {y:e}");
    });
}

fn fused(x: f64, y: f64, z: f64, format: Format) -> u32 {
    let product_sign = x.is_sign_negative() != y.is_sign_negative();
    let finite = x.is_finite() && y.is_finite() && z.is_finite();
    let exact = finite.then(|| Exact::of(x).mul(&Exact::of(y)).add(&Exact::of(z)));
    encode(
        x * y + z,
        exact.as_ref(),
        (product_sign, z.is_sign_negative()),
        format,
        Rounding::Rn,
    )
}

#[test]
fn fused_multiply_add() {
    let mut random = Random(24);
    for i in 0..60_000 {
        let (a, b) = (random.u32() & 0xffff, random.u32() & 0xffff);
        for (format, multiply) in [
            (F16, h::mul_f16 as fn(u32, u32, bool, bool) -> u32),
            (BF16, |a, b, _, _| h::mul_bf16(a, b)),
        ] {
            // Addends: any; cancelling the product; tiny, to break ties of the product.
            let c = match i % 3 {
                0 => random.u32() & 0xffff,
                1 => multiply(a, b, false, false) ^ 0x8000,
                _ => random.u32() & 0x83ff,
            };
            let (x, y, z) = (decode(a, format), decode(b, format), decode(c, format));
            let expected = fused(x, y, z, format);
            let relu = if expected & 0x8000 != 0 { 0 } else { expected };
            if format.fraction_bits == 10 {
                assert_eq!(
                    h::fma_f16(a, b, c, false, false, false),
                    expected,
                    "{x:e} {y:e} {z:e}"
                );
                assert_eq!(h::fma_f16(a, b, c, false, false, true), relu, "{x:e} {y:e} {z:e}");
                assert_eq!(
                    h::fma_f16(a, b, c, false, true, false),
                    saturated(expected),
                    "{x:e} {y:e} {z:e}"
                );
                let [x, y, z] = [a, b, c].map(|x| decode(h::flush_f16(x), F16));
                let finite = x.is_finite() && y.is_finite() && z.is_finite();
                let exact = finite.then(|| Exact::of(x).mul(&Exact::of(y)).add(&Exact::of(z)));
                let expected = flushed(fused(x, y, z, F16), exact.as_ref());
                assert_eq!(h::fma_f16(a, b, c, true, false, false), expected);
            } else {
                assert_eq!(h::fma_bf16(a, b, c, false), expected, "{x:e} {y:e} {z:e}");
                assert_eq!(h::fma_bf16(a, b, c, true), relu, "{x:e} {y:e} {z:e}");
            }
        }
    }
    // A product exactly between two bf16, decided by an addend 100 binary orders below.
    let tie = (0x3f81, 0x3fc0);
    let low = h::fma_bf16(tie.0, tie.1, 0x8080, false);
    let high = h::fma_bf16(tie.0, tie.1, 0x0080, false);
    assert_eq!(high, low + 1);
}

#[test]
fn pairs_of_halves() {
    let (a, b, c) = (0x3c00_4000, 0x4200_4400, 0x3800_bc00);
    assert_eq!(h::map2(a, b, |x, y| h::add_f16(x, y, false, false)), 0x4400_4600);
    assert_eq!(
        h::map3(a, b, c, |x, y, z| h::fma_f16(x, y, z, false, false, false)),
        0x4300_4700
    );
    assert_eq!(h::map1(a, |x| h::neg_f16(x, false)), 0xbc00_c000);
}

#[test]
fn minimum_and_maximum() {
    let nan = |x: u32| if h::is_nan_f16(x) { NAN } else { x };
    for flags in 0..12 {
        let m = MinMax {
            ftz: flags & 1 != 0,
            nan: flags & 2 != 0,
            abs: flags & 4 != 0,
            xorsign: false,
        };
        let m = if flags >= 8 {
            MinMax {
                abs: true,
                xorsign: true,
                ..m
            }
        } else {
            m
        };
        // The f32 functions (tested against the manual's text) on the same values: ordering is that of the values.
        let wide = MinMax { ftz: false, ..m };
        let mut random = Random(25);
        let all = sample(&mut random, 60, F16);
        for &a in &all {
            for &b in &all {
                let flush = |x: u32| if m.ftz { h::flush_f16(x) } else { x };
                let (x, y) = (h::f16_to_f32(flush(a)), h::f16_to_f32(flush(b)));
                // f16_to_f32 makes NaN positive, which `.xorsign` would see.
                let (x, y) = (
                    x.copysign(if a >> 15 == 1 { -1.0 } else { 1.0 }),
                    y.copysign(if b >> 15 == 1 { -1.0 } else { 1.0 }),
                );
                let low = convert::f32_to_f16_rn(float32::min(x, y, wide));
                let high = convert::f32_to_f16_rn(float32::max(x, y, wide));
                assert_eq!(
                    nan(h::min_f16(dirty(a), dirty(b), m)),
                    low,
                    "min {a:#x} {b:#x} {m:?}"
                );
                assert_eq!(
                    nan(h::max_f16(dirty(a), dirty(b), m)),
                    high,
                    "max {a:#x} {b:#x} {m:?}"
                );
                let (x, y) = (h::bf16_to_f32(a), h::bf16_to_f32(b));
                let low = convert::f32_to_bf16(float32::min(x, y, wide), Rounding::Rn);
                let high = convert::f32_to_bf16(float32::max(x, y, wide), Rounding::Rn);
                assert_eq!(h::min_bf16(dirty(a), dirty(b), m), low, "min {a:#x} {b:#x} {m:?}");
                assert_eq!(
                    h::max_bf16(dirty(a), dirty(b), m),
                    high,
                    "max {a:#x} {b:#x} {m:?}"
                );
            }
        }
    }
}

#[test]
fn tf32() {
    let mut random = Random(26);
    for i in 0..60_000 {
        let x = if i % 2 == 0 {
            random.f32()
        } else {
            f32::from_bits(random.u32() & 0xffff_e000 | 0x1000)
        };
        let got = |rnd| convert::f32_to_tf32(x, rnd);
        if !x.is_finite() {
            let expected = if x.is_nan() { 0x7fff_ffff } else { x.to_bits() };
            let cut = if x.is_nan() {
                x.to_bits() & !0x1fff
            } else {
                expected
            };
            assert_eq!(
                [Tf32Rounding::Rna, Tf32Rounding::Rn, Tf32Rounding::Rz].map(got),
                [cut, expected, expected]
            );
            continue;
        }
        let exact = Exact::of(f64::from(x));
        let sign = (x.is_sign_negative(), x.is_sign_negative());
        let expected = |rnd| (round_sum(&exact, sign.0, sign.1, TF32, rnd) as u32) << 13;
        assert_eq!(got(Tf32Rounding::Rn), expected(Rounding::Rn), "{x:e}");
        assert_eq!(got(Tf32Rounding::Rz), expected(Rounding::Rz), "{x:e}");
        // Ties away: the nearest of the number a little further out.
        let outwards = f32::from_bits(x.to_bits() | u32::from(x.to_bits() & 0x1fff == 0x1000));
        let away = round_sum(
            &Exact::of(f64::from(outwards)),
            sign.0,
            sign.1,
            TF32,
            Rounding::Rn,
        ) as u32;
        assert_eq!(got(Tf32Rounding::Rna), away << 13, "{x:e}");
    }
    let finite = Clamp {
        satfinite: true,
        ..PLAIN
    };
    assert_eq!(finite.tf32(0x7f80_0000), 0x7f7f_e000);
    assert_eq!(finite.tf32(0xff80_0000), 0xff7f_e000);
    assert_eq!(Clamp { relu: true, ..PLAIN }.tf32(0xbf80_0000), 0);
}

#[test]
fn clamping() {
    for bits in 0..=0xffff_u32 {
        let (value, brain) = (decode(bits, F16), decode(bits, BF16));
        assert_eq!(PLAIN.f16(bits), if value.is_nan() { NAN } else { bits });
        let negative = bits & 0x8000 != 0;
        let relu = Clamp { relu: true, ..PLAIN };
        let positive = |nan: bool| {
            if nan {
                NAN
            } else if negative {
                0
            } else {
                bits
            }
        };
        // The producers hand NaN over in canonical, positive form.
        if !(value.is_nan() && negative) {
            assert_eq!(relu.f16(bits), positive(value.is_nan()));
        }
        if !(brain.is_nan() && negative) {
            assert_eq!(relu.bf16(bits), positive(brain.is_nan()));
        }
        let finite = Clamp {
            satfinite: true,
            ..PLAIN
        };
        let infinite = |x: f64, largest: u32| {
            if x.is_nan() {
                NAN
            } else if x.is_infinite() {
                largest | bits & 0x8000
            } else {
                bits
            }
        };
        assert_eq!(finite.f16(bits), infinite(value, 0x7bff));
        assert_eq!(finite.bf16(bits), infinite(brain, 0x7f7f));
        let sat = Clamp { sat: true, ..PLAIN };
        assert_eq!(sat.f16(bits), saturated(bits));
        let expected = if negative || brain.is_nan() {
            0
        } else {
            bits.min(0x3f80)
        };
        assert_eq!(sat.bf16(bits), expected);
    }
    assert_eq!(convert::f32_to_f16x2(1.0, -2.0, Rounding::Rn, PLAIN), 0x3c00_c000);
    assert_eq!(
        convert::f32_to_f16x2(1.0, -2.0, Rounding::Rz, Clamp { relu: true, ..PLAIN }),
        0x3c00_0000
    );
    assert_eq!(
        convert::f32_to_bf16x2(
            1.0,
            f32::INFINITY,
            Rounding::Rn,
            Clamp {
                satfinite: true,
                ..PLAIN
            }
        ),
        0x3f80_7f7f
    );
}

/// Every finite value of an 8-bit format, by its definition.
fn eight_bits(exponent_bits: u32, code: u32) -> f64 {
    let fraction_bits = 7 - exponent_bits;
    let bias = (1 << (exponent_bits - 1)) - 1;
    let exponent = ((code & 0x7f) >> fraction_bits) as i32;
    let fraction = f64::from(code & ((1 << fraction_bits) - 1)) / f64::from(1 << fraction_bits);
    let magnitude = if exponent == 0 {
        fraction * 2f64.powi(1 - bias)
    } else {
        (1.0 + fraction) * 2f64.powi(exponent - bias)
    };
    if code & 0x80 != 0 { -magnitude } else { magnitude }
}

/// The code nearest to `x`, ties to the even code, magnitudes beyond `largest` to it.
fn nearest_code(x: f64, exponent_bits: u32, largest: u32) -> u32 {
    let m = x.abs().min(eight_bits(exponent_bits, largest));
    let best = (0..=largest).min_by(|&a, &b| {
        let (da, db) = (
            (eight_bits(exponent_bits, a) - m).abs(),
            (eight_bits(exponent_bits, b) - m).abs(),
        );
        da.total_cmp(&db).then((a & 1).cmp(&(b & 1)))
    });
    best.unwrap_or(0) | u32::from(x.is_sign_negative()) << 7
}

#[test]
fn eight_bit_formats() {
    for code in 0..=0xff_u32 {
        let pair = code << 8 | 0x38;
        let e4m3 = convert::e4m3x2_to_f16x2(pair, false);
        assert_eq!(e4m3 & 0xffff, 0x3c00, "0x38 is 1.0");
        let expected = if code & 0x7f == 0x7f {
            NAN
        } else {
            convert::f64_to_f16(eight_bits(4, code), Rounding::Rn)
        };
        assert_eq!(e4m3 >> 16, expected, "e4m3 {code:#x}");
        let e5m2 = convert::e5m2x2_to_f16x2(code << 8 | 0x3c, false);
        assert_eq!(e5m2 & 0xffff, 0x3c00);
        let expected = if code & 0x7f > 0x7c { NAN } else { code << 8 };
        assert_eq!(e5m2 >> 16, expected, "e5m2 {code:#x}");
        // And back.
        let canonical = if code & 0x7f == 0x7f { 0x7f } else { code };
        assert_eq!(convert::f16x2_to_e4m3x2(e4m3, false), canonical << 8 | 0x38);
        let canonical = if code & 0x7f > 0x7c {
            0x7f
        } else if code & 0x7f == 0x7c {
            code - 1
        } else {
            code
        };
        assert_eq!(convert::f16x2_to_e5m2x2(e5m2, false), canonical << 8 | 0x3c);
    }
    assert_eq!(convert::e4m3x2_to_f16x2(0xb838, true), 0x0000_3c00);
    assert_eq!(convert::e5m2x2_to_f16x2(0x3cbc, true), 0x3c00_0000);
}

#[test]
fn narrowing_to_eight_bits() {
    for bits in 0..=0xffff_u32 {
        let value = decode(bits, F16);
        let (e4m3, e5m2) = if value.is_nan() {
            (0x7f, 0x7f)
        } else {
            (nearest_code(value, 4, 0x7e), nearest_code(value, 5, 0x7b))
        };
        assert_eq!(
            convert::f16x2_to_e4m3x2(bits << 16, false),
            e4m3 << 8,
            "{value:e}"
        );
        assert_eq!(convert::f16x2_to_e5m2x2(bits, false), e5m2, "{value:e}");
        let relu = |c: u32| if c & 0x80 != 0 { 0 } else { c };
        assert_eq!(convert::f16x2_to_e4m3x2(bits, true), relu(e4m3));
        assert_eq!(convert::f16x2_to_e5m2x2(bits, true), relu(e5m2));
        let brain = decode(bits, BF16);
        let (e4m3, e5m2) = if brain.is_nan() {
            (0x7f, 0x7f)
        } else {
            (nearest_code(brain, 4, 0x7e), nearest_code(brain, 5, 0x7b))
        };
        assert_eq!(convert::bf16x2_to_e4m3x2(bits, false), e4m3, "{brain:e}");
        assert_eq!(
            convert::bf16x2_to_e5m2x2(bits << 16, false),
            e5m2 << 8,
            "{brain:e}"
        );
    }
    let mut random = Random(27);
    for _ in 0..20_000 {
        // Magnitudes that these formats can tell apart, ties included.
        let x =
            f32::from_bits((random.u32() & 0x8fff_ffff & (u32::MAX << (random.u32() % 22))) | 0x3800_0000);
        let wide = f64::from(x);
        assert_eq!(
            convert::f32_to_e4m3x2(x, 1.0, false),
            nearest_code(wide, 4, 0x7e) << 8 | 0x38,
            "{x:e}"
        );
        assert_eq!(
            convert::f32_to_e5m2x2(1.0, x, false),
            0x3c00 | nearest_code(wide, 5, 0x7b),
            "{x:e}"
        );
    }
    assert_eq!(
        convert::f32_to_e4m3x2(f32::INFINITY, f32::NEG_INFINITY, false),
        0x7efe
    );
    assert_eq!(convert::f32_to_e5m2x2(f32::NAN, f32::MAX, false), 0x7f7b);
}
