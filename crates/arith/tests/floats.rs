//! `f32` and `f64` in all rounding modes against exact big-integer arithmetic.

mod common;

use common::{Exact, F32, F64, MODES, Random, SPECIAL32, SPECIAL64, round_sum};
use tessera_arith::{Rounding, float32, float64, rounding};

const NAN32: u32 = 0x7fff_ffff;
const NAN64: u64 = 0xfff8_0000_0000_0000;

fn sign(x: f64) -> bool {
    x.is_sign_negative()
}

/// What the operation gives where no rounding is involved (an operand or the result is not finite), from the host.
fn special32(host: f32) -> u64 {
    u64::from(if host.is_nan() { NAN32 } else { host.to_bits() })
}

fn special64(host: f64) -> u64 {
    if host.is_nan() { NAN64 } else { host.to_bits() }
}

fn check32(a: f32, b: f32, c: f32) {
    let (x, y, z) = (f64::from(a), f64::from(b), f64::from(c));
    for rnd in MODES {
        let finite = a.is_finite() && b.is_finite();
        let sum = if finite {
            round_sum(&Exact::of(x).add(&Exact::of(y)), sign(x), sign(y), F32, rnd)
        } else {
            special32(a + b)
        };
        assert_eq!(
            u64::from(float32::add(a, b, rnd, false, false).to_bits()),
            sum,
            "{a:e} + {b:e} {rnd:?}"
        );
        assert_eq!(
            u64::from(float32::sub(a, -b, rnd, false, false).to_bits()),
            sum,
            "{a:e} - {:e} {rnd:?}",
            -b
        );

        let product_sign = sign(x) != sign(y);
        let zero = u64::from(product_sign) << 31;
        let product = if !finite {
            special32(a * b)
        } else if a == 0.0 || b == 0.0 {
            zero
        } else {
            Exact::of(x).mul(&Exact::of(y)).round(F32, rnd)
        };
        assert_eq!(
            u64::from(float32::mul(a, b, rnd, false, false).to_bits()),
            product,
            "{a:e} * {b:e} {rnd:?}"
        );

        let quotient = if !finite || b == 0.0 {
            special32(a / b)
        } else if a == 0.0 {
            zero
        } else {
            Exact::of(x).div(&Exact::of(y)).round(F32, rnd)
        };
        assert_eq!(
            u64::from(float32::div(a, b, rnd, false).to_bits()),
            quotient,
            "{a:e} / {b:e} {rnd:?}"
        );

        let root = if a > 0.0 && a.is_finite() {
            Exact::of(x).sqrt().round(F32, rnd)
        } else {
            special32(a.sqrt())
        };
        assert_eq!(
            u64::from(float32::sqrt(a, rnd, false).to_bits()),
            root,
            "sqrt {a:e} {rnd:?}"
        );

        let fused = if finite && c.is_finite() {
            let exact = Exact::of(x).mul(&Exact::of(y)).add(&Exact::of(z));
            round_sum(&exact, product_sign, sign(z), F32, rnd)
        } else {
            // Two roundings, but nothing is rounded: the result is infinite or NaN (a product that overflows is exact in f64).
            special32((x * y + z) as f32)
        };
        let got = float32::fma(a, b, c, rnd, false, false);
        assert_eq!(u64::from(got.to_bits()), fused, "fma {a:e} {b:e} {c:e} {rnd:?}");
    }
}

#[test]
fn single_precision_is_exact_in_every_mode() {
    for a in SPECIAL32 {
        for b in SPECIAL32 {
            for c in SPECIAL32 {
                check32(f32::from_bits(a), f32::from_bits(b), f32::from_bits(c));
            }
        }
    }
    let mut random = Random(1);
    for _ in 0..30_000 {
        let (a, b) = (random.f32(), random.f32());
        // Addends near the product, for cancellation and ties.
        let c = if random.u32().is_multiple_of(2) {
            random.f32()
        } else {
            -a * b
        };
        check32(a, b, c);
    }
}

fn check64(a: f64, b: f64, c: f64) {
    for rnd in MODES {
        let finite = a.is_finite() && b.is_finite();
        let sum = if finite {
            round_sum(&Exact::of(a).add(&Exact::of(b)), sign(a), sign(b), F64, rnd)
        } else {
            special64(a + b)
        };
        assert_eq!(float64::add(a, b, rnd).to_bits(), sum, "{a:e} + {b:e} {rnd:?}");
        assert_eq!(
            float64::sub(a, -b, rnd).to_bits(),
            sum,
            "{a:e} - {:e} {rnd:?}",
            -b
        );

        let product_sign = sign(a) != sign(b);
        let zero = u64::from(product_sign) << 63;
        let product = if !finite {
            special64(a * b)
        } else if a == 0.0 || b == 0.0 {
            zero
        } else {
            Exact::of(a).mul(&Exact::of(b)).round(F64, rnd)
        };
        assert_eq!(
            float64::mul(a, b, rnd).to_bits(),
            product,
            "{a:e} * {b:e} {rnd:?}"
        );

        let quotient = if !finite || b == 0.0 {
            special64(a / b)
        } else if a == 0.0 {
            zero
        } else {
            Exact::of(a).div(&Exact::of(b)).round(F64, rnd)
        };
        assert_eq!(
            float64::div(a, b, rnd).to_bits(),
            quotient,
            "{a:e} / {b:e} {rnd:?}"
        );

        let root = if a > 0.0 && a.is_finite() {
            Exact::of(a).sqrt().round(F64, rnd)
        } else {
            special64(a.sqrt())
        };
        assert_eq!(float64::sqrt(a, rnd).to_bits(), root, "sqrt {a:e} {rnd:?}");

        let fused = if finite && c.is_finite() {
            let exact = Exact::of(a).mul(&Exact::of(b)).add(&Exact::of(c));
            round_sum(&exact, product_sign, sign(c), F64, rnd)
        } else if finite {
            special64(c)
        } else {
            special64(a * b + c)
        };
        assert_eq!(
            float64::fma(a, b, c, rnd).to_bits(),
            fused,
            "fma {a:e} {b:e} {c:e} {rnd:?}"
        );
    }
}

#[test]
fn double_precision_is_exact_in_every_mode() {
    for a in SPECIAL64 {
        for b in SPECIAL64 {
            for c in SPECIAL64 {
                check64(f64::from_bits(a), f64::from_bits(b), f64::from_bits(c));
            }
        }
    }
    let mut random = Random(2);
    for i in 0..20_000 {
        let (mut a, mut b) = (random.f64(), random.f64());
        if i % 3 == 0 {
            // Products and quotients around the subnormal range, which random exponents rarely meet.
            a = f64::from_bits((a.to_bits() & 0x800f_ffff_ffff_ffff) | 0x2000_0000_0000_0000);
            b = f64::from_bits((b.to_bits() & 0x800f_ffff_ffff_ffff) | ((0x1d0 + random.u64() % 0x60) << 52));
        }
        let c = match random.u32() % 3 {
            0 => random.f64(),
            1 => -a * b,
            _ => f64::from_bits((-a * b).to_bits() ^ (random.u64() & 7)),
        };
        check64(a, b, c);
    }
}

#[test]
fn roots_next_to_squares() {
    let mut random = Random(3);
    for _ in 0..20_000 {
        let r = f64::from_bits((random.u64() & 0x000f_ffff_fc00_0000) | 0x3ff0_0000_0000_0000);
        for near in [r * r, (r * r).next_up(), (r * r).next_down()] {
            for rnd in MODES {
                let expected = Exact::of(near).sqrt().round(F64, rnd);
                assert_eq!(
                    float64::sqrt(near, rnd).to_bits(),
                    expected,
                    "sqrt {near:e} {rnd:?}"
                );
            }
        }
    }
}

/// Flushed by the definition: below 2^-126 when rounded to 24 bits with an exponent range to spare.
fn flushed(exact: &Exact, signs: (bool, bool), rnd: Rounding) -> u32 {
    let wide = common::Format {
        exponent_bits: 11,
        fraction_bits: 23,
    };
    let unbounded = round_sum(exact, signs.0, signs.1, wide, rnd);
    let magnitude = unbounded & ((1 << 34) - 1);
    let r = round_sum(exact, signs.0, signs.1, F32, rnd) as u32;
    if magnitude < (1023 - 126) << 23 {
        r & 0x8000_0000
    } else {
        r
    }
}

#[test]
fn flushing_next_to_the_smallest_normal_number() {
    let mut random = Random(6);
    let normal = |x: f32| if x.is_subnormal() { 0.0 } else { x };
    for i in 0..20_000 {
        let a = normal(f32::from_bits(
            random.u32() & 0x807f_ffff | (90 + random.u32() % 40) << 23,
        ));
        // The quotient of 2^-126, and neighbours of it: products that end up around the threshold.
        let b = (f64::from(f32::MIN_POSITIVE) / f64::from(a)) as f32;
        let b = normal(f32::from_bits(
            b.to_bits().wrapping_add(random.u32() % 3).wrapping_sub(1),
        ));
        let c = if i % 2 == 0 {
            0.0
        } else {
            f32::from_bits(random.u32() & 0x80ff_ffff)
        };
        let c = normal(c);
        let (x, y, z) = (f64::from(a), f64::from(b), f64::from(c));
        let product_sign = sign(x) != sign(y);
        for rnd in MODES {
            let exact = Exact::of(x).mul(&Exact::of(y));
            let expected = flushed(&exact, (product_sign, product_sign), rnd);
            assert_eq!(
                float32::mul(a, b, rnd, true, false).to_bits(),
                expected,
                "{a:e} * {b:e} {rnd:?}"
            );
            let exact = exact.add(&Exact::of(z));
            let expected = flushed(&exact, (product_sign, sign(z)), rnd);
            assert_eq!(
                float32::fma(a, b, c, rnd, true, false).to_bits(),
                expected,
                "{a:e} {b:e} {c:e} {rnd:?}"
            );
            let divisor =
                f32::from_bits(((a.to_bits() & 0x7f_ffff) | 0x3f80_0000).wrapping_add(random.u32() % 3));
            let dividend = normal(f32::from_bits(a.to_bits() & 0x7f_ffff | 0x0080_0000));
            let exact = Exact::of(f64::from(dividend)).div(&Exact::of(f64::from(divisor)));
            let expected = flushed(&exact, (false, false), rnd);
            assert_eq!(
                float32::div(dividend, divisor, rnd, true).to_bits(),
                expected,
                "{dividend:e} / {divisor:e} {rnd:?}"
            );
            let wide = x * y;
            let expected = flushed(&Exact::of(wide), (product_sign, product_sign), rnd);
            assert_eq!(
                tessera_arith::convert::f64_to_f32(wide, rnd, true, false).to_bits(),
                expected,
                "{wide:e} {rnd:?}"
            );
        }
    }
    // What the vendor's assembler folds these to.
    let mul = |a: u32, b: u32| {
        float32::mul(f32::from_bits(a), f32::from_bits(b), Rounding::Rn, true, false).to_bits()
    };
    assert_eq!(mul(0x3f7f_ffff, 0x0080_0000), 0);
    assert_eq!(mul(0x3f00_0001, 0x00ff_fffe), 0x0080_0000);
    assert_eq!(mul(0xbf7f_ffff, 0x0080_0000), 0x8000_0000);
}

#[test]
fn flushing_and_saturation() {
    let tiny = f32::from_bits(1);
    let minus_tiny = f32::from_bits(0x8000_0001);
    let bits = |x: f32| x.to_bits();
    assert_eq!(bits(float32::add(tiny, tiny, Rounding::Rn, true, false)), 0);
    assert_eq!(bits(float32::add(tiny, tiny, Rounding::Rn, false, false)), 2);
    assert_eq!(
        bits(float32::add(minus_tiny, minus_tiny, Rounding::Rn, true, false)),
        0x8000_0000
    );
    assert_eq!(
        bits(float32::mul(-f32::MIN_POSITIVE, 0.5, Rounding::Rn, true, false)),
        0x8000_0000
    );
    assert_eq!(bits(float32::div(f32::MIN_POSITIVE, 2.0, Rounding::Rn, true)), 0);
    assert_eq!(bits(float32::rcp(tiny, Rounding::Rn, true)), 0x7f80_0000);
    assert_eq!(bits(float32::sqrt(minus_tiny, Rounding::Rn, true)), 0x8000_0000);
    assert_eq!(bits(float32::sqrt(minus_tiny, Rounding::Rn, false)), NAN32);
    assert_eq!(
        bits(float32::fma(tiny, 1.0, minus_tiny, Rounding::Rm, true, false)),
        0x8000_0000
    );
    let sat = |x: f32| bits(float32::add(x, 0.0, Rounding::Rn, false, true));
    assert_eq!(sat(f32::NAN), 0);
    assert_eq!(sat(-0.5), 0);
    assert_eq!(bits(float32::saturate(-0.0)), 0);
    assert_eq!(sat(0.5), 0.5f32.to_bits());
    assert_eq!(sat(7.0), 1f32.to_bits());
    assert_eq!(sat(f32::INFINITY), 1f32.to_bits());
    assert_eq!(sat(f32::NEG_INFINITY), 0);
}

#[test]
fn signs() {
    assert_eq!(float32::abs(f32::from_bits(0xffc0_0000), false).to_bits(), NAN32);
    assert_eq!(float32::neg(f32::from_bits(0x7fc0_0000), false).to_bits(), NAN32);
    assert_eq!(float32::neg(0.0, false).to_bits(), 0x8000_0000);
    assert_eq!(float32::abs(f32::from_bits(0x8000_0003), true).to_bits(), 0);
    assert_eq!(float32::neg(f32::from_bits(0x8000_0003), true).to_bits(), 0);
    assert_eq!(float32::copysign(-1.0, 2.0), -2.0);
    assert_eq!(float64::copysign(1.0, -2.0), 2.0);
    let payload = 0xfff8_0000_0000_1234;
    assert_eq!(float64::abs(f64::from_bits(payload)).to_bits(), payload);
    assert_eq!(float64::neg(f64::from_bits(payload)).to_bits(), payload);
    assert_eq!(float64::neg(0.0).to_bits(), 1 << 63);
    assert_eq!(float64::abs(-3.0), 3.0);
}

/// The definition of the manual, word by word, on `f32` (and through it on `f64`, `f16`, `bf16`).
fn min_max_reference(a: f32, b: f32, m: float32::MinMax, less: bool) -> f32 {
    let flush = |x: f32| {
        if m.ftz && x.is_subnormal() {
            0f32.copysign(x)
        } else {
            x
        }
    };
    let (mut a, mut b) = (flush(a), flush(b));
    let negative = a.is_sign_negative() != b.is_sign_negative();
    if m.abs {
        (a, b) = (a.abs(), b.abs());
    }
    let nan = f32::from_bits(NAN32);
    let r = match (a.is_nan(), b.is_nan()) {
        (true, true) => nan,
        (true, false) => {
            if m.nan {
                nan
            } else {
                b
            }
        }
        (false, true) => {
            if m.nan {
                nan
            } else {
                a
            }
        }
        (false, false) => {
            if (a.total_cmp(&b).is_lt()) == less {
                a
            } else {
                b
            }
        }
    };
    if m.xorsign && !r.is_nan() {
        r.abs().copysign(if negative { -1.0 } else { 1.0 })
    } else {
        r
    }
}

#[test]
fn minimum_and_maximum() {
    let mut random = Random(4);
    let values = (0..400).map(|i| {
        SPECIAL32
            .get(i)
            .map_or_else(|| random.f32(), |&x| f32::from_bits(x))
    });
    let values: Vec<f32> = values.collect();
    for flags in 0..12 {
        let m = float32::MinMax {
            ftz: flags & 1 != 0,
            nan: flags & 2 != 0,
            abs: flags & 4 != 0,
            xorsign: false,
        };
        let m = if flags >= 8 {
            float32::MinMax {
                abs: true,
                xorsign: true,
                ..m
            }
        } else {
            m
        };
        for &a in &values {
            for &b in &values {
                let (low, high) = (float32::min(a, b, m), float32::max(a, b, m));
                assert_eq!(
                    low.to_bits(),
                    min_max_reference(a, b, m, true).to_bits(),
                    "min {a:e} {b:e} {m:?}"
                );
                assert_eq!(
                    high.to_bits(),
                    min_max_reference(a, b, m, false).to_bits(),
                    "max {a:e} {b:e} {m:?}"
                );
                if m == float32::MinMax::default() && !a.is_nan() && !b.is_nan() {
                    assert_eq!(
                        float64::min(f64::from(a), f64::from(b)).to_bits(),
                        f64::from(low).to_bits()
                    );
                    assert_eq!(
                        float64::max(f64::from(a), f64::from(b)).to_bits(),
                        f64::from(high).to_bits()
                    );
                }
            }
        }
    }
    let nan = f64::from_bits(0x7ff8_0000_0000_0001);
    assert_eq!(float64::min(nan, nan).to_bits(), NAN64);
    assert_eq!(float64::max(nan, -1.0), -1.0);
    assert_eq!(float64::min(-1.0, nan), -1.0);
    let m = float32::MinMax::default();
    assert_eq!(float32::min3(3.0, 2.0, 1.0, m), 1.0);
    assert_eq!(float32::max3(3.0, 4.0, f32::NAN, m), 4.0);
}

#[test]
fn double_to_single() {
    let mut random = Random(5);
    for _ in 0..60_000 {
        let x = match random.u32() % 4 {
            0 => random.f64(),
            1 => f64::from(random.f32()),
            2 => f64::from_bits(f64::from(random.f32()).to_bits() | 1 << 28),
            _ => f64::from_bits(f64::from(random.f32()).to_bits() ^ (random.u64() & 0x3000_0001)),
        };
        for rnd in MODES {
            let expected = if !x.is_finite() {
                continue;
            } else if x == 0.0 {
                u64::from(sign(x)) << 31
            } else {
                Exact::of(x).round(F32, rnd)
            };
            assert_eq!(
                u64::from(rounding::f64_to_f32(x, rnd).to_bits()),
                expected,
                "{x:e} {rnd:?}"
            );
        }
    }
    assert_eq!(rounding::f64_to_f32(f64::INFINITY, Rounding::Rz), f32::INFINITY);
    assert_eq!(
        rounding::f64_to_f32(f64::NEG_INFINITY, Rounding::Rp),
        f32::NEG_INFINITY
    );
}
