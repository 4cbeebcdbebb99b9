//! The approximate functions against double precision: error bounds and special cases of the manual.

mod common;

use common::Random;
use tessera_arith::{approx, convert, half as h};

const NAN: u32 = 0x7fff_ffff;

/// Distance of `got` from the exact value in units of the last place of the correctly rounded result.
fn ulps(got: f32, exact: f64) -> f64 {
    let rounded = exact as f32;
    if got.to_bits() == rounded.to_bits() {
        return 0.0;
    }
    let unit = f64::from(f32::from_bits((rounded.to_bits() & 0x7fff_ffff) + 1)) - f64::from(rounded.abs());
    ((f64::from(got) - exact) / unit).abs()
}

fn relative(got: f64, exact: f64) -> f64 {
    if got == exact {
        0.0
    } else {
        ((got - exact) / exact).abs()
    }
}

/// About two million numbers spread over all exponents of both signs.
fn everywhere() -> impl Iterator<Item = f32> {
    let mut random = Random(41);
    (0..2_000_000).map(move |_| f32::from_bits(random.u32()))
}

#[test]
fn reciprocals_and_roots() {
    for x in everywhere().filter(|x| x.is_finite() && *x != 0.0) {
        let wide = f64::from(x);
        assert!(ulps(approx::rcp(x, false), 1.0 / wide) <= 1.0, "rcp {x:e}");
        if x > 0.0 {
            let bound = 2f64.powf(-22.9);
            assert!(
                relative(f64::from(approx::rsqrt(x, false)), 1.0 / wide.sqrt()) <= bound,
                "rsqrt {x:e}"
            );
            assert!(
                relative(f64::from(approx::sqrt(x, false)), wide.sqrt()) <= 2f64.powi(-23),
                "sqrt {x:e}"
            );
        }
    }
    let table = |f: fn(f32, bool) -> f32, ftz: bool| {
        let inputs = [
            f32::NEG_INFINITY,
            -1e-40,
            -0.0,
            0.0,
            1e-40,
            f32::INFINITY,
            f32::from_bits(0xffc0_0001),
        ];
        inputs.map(|x| f(x, ftz).to_bits())
    };
    let (inf, minus_inf, minus_zero) = (0x7f80_0000, 0xff80_0000, 0x8000_0000);
    assert_eq!(
        table(approx::rcp, true),
        [minus_zero, minus_inf, minus_inf, inf, inf, 0, NAN]
    );
    assert_eq!(
        table(approx::rcp, false),
        [minus_zero, minus_inf, minus_inf, inf, inf, 0, NAN]
    );
    assert_eq!(
        table(approx::rsqrt, true),
        [NAN, minus_inf, minus_inf, inf, inf, 0, NAN]
    );
    assert_eq!(table(approx::rsqrt, false)[..4], [NAN, NAN, minus_inf, inf]);
    assert_eq!(
        table(approx::sqrt, true),
        [NAN, minus_zero, minus_zero, 0, 0, inf, NAN]
    );
    assert_eq!(table(approx::sqrt, false)[..4], [NAN, NAN, minus_zero, 0]);
    // A subnormal result is flushed.
    assert_eq!(approx::rcp(-3e38, true).to_bits(), minus_zero);
    assert_ne!(approx::rcp(-3e38, false).to_bits(), minus_zero);
}

#[test]
fn division() {
    let mut random = Random(42);
    for _ in 0..500_000 {
        let (a, b) = (random.f32(), random.f32());
        if !a.is_finite() || !b.is_finite() || b == 0.0 {
            continue;
        }
        let exact = f64::from(a) / f64::from(b);
        assert!(ulps(approx::div_full(a, b, false), exact) <= 2.0, "{a:e} / {b:e}");
        if b.abs() >= 2f32.powi(-126) && b.abs() <= 2f32.powi(126) {
            assert!(ulps(approx::div(a, b, false), exact) <= 2.0, "{a:e} / {b:e}");
        }
    }
    let huge = f32::from_bits(0x7e80_0001);
    assert_eq!(approx::div(1e38, huge, false), 0.0);
    assert_eq!(approx::div(1e38, -huge, false).to_bits(), 0x8000_0000);
    assert_eq!(approx::div(f32::INFINITY, huge, false).to_bits(), NAN);
    assert_eq!(approx::div(1e38, f32::INFINITY, false).to_bits(), 0);
    assert_eq!(approx::div(1.0, 0.0, false), f32::INFINITY);
    assert_eq!(approx::div_full(1.0, -0.0, false), f32::NEG_INFINITY);
    assert_eq!(approx::div_full(0.0, 0.0, false).to_bits(), NAN);
    assert_eq!(approx::div_full(1.0, 1e-40, true), f32::INFINITY);
}

#[test]
fn exponential() {
    let mut worst = 0f64;
    let mut random = Random(43);
    for i in 0..2_000_000 {
        let x = if i % 2 == 0 {
            (f64::from(random.u32()) / 2f64.powi(32) * 290.0 - 155.0) as f32
        } else {
            random.f32()
        };
        if x.is_nan() {
            continue;
        }
        let error = ulps(approx::ex2(x, false), f64::from(x).exp2());
        worst = worst.max(error);
        assert!(error <= 2.0, "ex2 {x:e}: {error} ulp");
    }
    assert!(worst > 0.5, "the test looks at something");
    for n in -149..=127 {
        assert_eq!(
            f64::from(approx::ex2(n as f32, false)),
            2f64.powi(n),
            "powers of two are exact"
        );
    }
    assert_eq!(approx::ex2(f32::NEG_INFINITY, false).to_bits(), 0);
    assert_eq!(approx::ex2(f32::INFINITY, false), f32::INFINITY);
    assert_eq!(approx::ex2(-0.0, false), 1.0);
    assert_eq!(approx::ex2(1e-40, true), 1.0);
    assert_eq!(approx::ex2(-127.0, true).to_bits(), 0);
    assert_eq!(approx::ex2(f32::NAN, true).to_bits(), NAN);
    assert_eq!(approx::ex2(3e38, false), f32::INFINITY);
    assert_eq!(approx::ex2(-3e38, false).to_bits(), 0);
}

#[test]
fn logarithm() {
    let bound = 2f64.powi(-22);
    let mut random = Random(44);
    let check = |x: f32| {
        let (got, exact) = (f64::from(approx::lg2(x, false)), f64::from(x).log2());
        if x > 0.5 && x < 2.0 {
            assert!((got - exact).abs() <= bound, "lg2 {x:e}: {got:e} {exact:e}");
        } else {
            assert!(relative(got, exact) <= bound, "lg2 {x:e}: {got:e} {exact:e}");
        }
    };
    everywhere().filter(|x| *x > 0.0 && x.is_finite()).for_each(check);
    for _ in 0..500_000 {
        check(f32::from_bits(0x3f00_0000 + random.u32() % 0x0100_0000));
    }
    for n in -149..=127 {
        assert_eq!(
            f64::from(approx::lg2(2f64.powi(n) as f32, false)),
            f64::from(n),
            "powers of two are exact"
        );
    }
    let table = [
        (f32::NEG_INFINITY, NAN),
        (-1.0, NAN),
        (-1e-40, NAN),
        (-0.0, 0xff80_0000),
        (0.0, 0xff80_0000),
    ];
    for (x, expected) in table {
        assert_eq!(approx::lg2(x, false).to_bits(), expected, "{x:e}");
    }
    assert_eq!(approx::lg2(f32::INFINITY, false), f32::INFINITY);
    assert_eq!(approx::lg2(f32::NAN, false).to_bits(), NAN);
    assert_eq!(approx::lg2(-1e-40, true), f32::NEG_INFINITY);
    assert_eq!(approx::lg2(1.0, false).to_bits(), 0);
}

#[test]
fn sine_and_cosine() {
    let mut random = Random(45);
    for (range, bound) in [
        (std::f64::consts::TAU, 2f64.powf(-20.5)),
        (100.0 * std::f64::consts::PI, 2f64.powf(-14.7)),
    ] {
        for _ in 0..1_000_000 {
            let x = ((f64::from(random.u32()) / 2f64.powi(31) - 1.0) * range) as f32;
            let wide = f64::from(x);
            assert!(
                (f64::from(approx::sin(x, false)) - wide.sin()).abs() <= bound,
                "sin {x:e}"
            );
            assert!(
                (f64::from(approx::cos(x, false)) - wide.cos()).abs() <= bound,
                "cos {x:e}"
            );
        }
    }
    for x in everywhere() {
        let (s, c) = (approx::sin(x, false), approx::cos(x, false));
        if x.is_finite() {
            assert!(s.abs() <= 1.000_001 && c.abs() <= 1.000_001, "{x:e}");
            if x.abs() < 1e-3 {
                assert!((f64::from(s) - f64::from(x)).abs() <= f64::from(x.abs()) * 1e-6);
            }
        } else {
            assert_eq!((s.to_bits(), c.to_bits()), (NAN, NAN));
        }
    }
    assert_eq!(approx::sin(-0.0, false).to_bits(), 0x8000_0000);
    assert_eq!(approx::sin(0.0, false).to_bits(), 0);
    assert_eq!(approx::cos(-0.0, false), 1.0);
    assert_eq!(
        approx::sin(f32::from_bits(0x8000_0001), false).to_bits(),
        0x8000_0001
    );
    assert_eq!(
        approx::sin(f32::from_bits(0x8000_0001), true).to_bits(),
        0x8000_0000
    );
}

#[test]
fn hyperbolic_tangent() {
    for x in everywhere().filter(|x| !x.is_nan()) {
        let error = relative(f64::from(approx::tanh(x)), f64::from(x).tanh());
        assert!(error <= 2f64.powi(-11), "tanh {x:e}: {error:e}");
    }
    assert_eq!(approx::tanh(f32::INFINITY), 1.0);
    assert_eq!(approx::tanh(f32::NEG_INFINITY), -1.0);
    assert_eq!(approx::tanh(-0.0).to_bits(), 0x8000_0000);
    assert_eq!(approx::tanh(f32::from_bits(3)).to_bits(), 3);
    assert_eq!(approx::tanh(f32::NAN).to_bits(), NAN);
}

#[test]
fn gross_double_precision() {
    let mut random = Random(46);
    for _ in 0..500_000 {
        let x = random.f64();
        let high = f64::from_bits(x.to_bits() & 0xffff_ffff_0000_0000);
        let (r, s) = (approx::rcp_f64(x), approx::rsqrt_f64(x));
        assert_eq!(
            (r.to_bits() as u32, s.to_bits() as u32),
            (0, 0),
            "only a high word"
        );
        assert_eq!(
            r.to_bits(),
            approx::rcp_f64(f64::from_bits(x.to_bits() | 0xffff_ffff)).to_bits()
        );
        if high.is_normal() && (1.0 / high).is_normal() {
            assert!(relative(r, 1.0 / high) <= 2f64.powi(-20));
        }
        if high.is_normal() && high > 0.0 {
            assert!(relative(s, 1.0 / high.sqrt()) <= 2f64.powi(-20));
        }
    }
    let inputs = [
        f64::NEG_INFINITY,
        -1e-310,
        -0.0,
        0.0,
        1e-310,
        f64::INFINITY,
        f64::from_bits(0xfff8_0000_0000_0001),
    ];
    let (inf, minus_inf, nan) = (0x7ff0 << 48, 0xfff0 << 48, 0x7fff_ffff_0000_0000);
    let expected = [1 << 63, minus_inf, minus_inf, inf, inf, 0, nan];
    assert_eq!(inputs.map(|x| approx::rcp_f64(x).to_bits()), expected);
    assert_eq!(
        inputs.map(|x| approx::rsqrt_f64(x).to_bits()),
        [nan, minus_inf, minus_inf, inf, inf, 0, nan]
    );
    // The low word is not looked at, not even to tell a NaN from an infinity.
    assert_eq!(
        approx::rcp_f64(f64::from_bits(0x7ff0_0000_0000_0001)).to_bits(),
        0
    );
    assert_eq!(
        approx::rcp_f64(f64::MAX).to_bits(),
        0,
        "a subnormal result is flushed"
    );
    assert!(relative(approx::rsqrt_f64_full(2.0), 0.5f64.sqrt()) < 1e-15);
    assert_eq!(approx::rsqrt_f64_full(-1.0).to_bits(), 0xfff8_0000_0000_0000);
}

#[test]
fn halves_of_every_value() {
    for bits in 0..=0xffff_u32 {
        let x = f64::from(h::f16_to_f32(bits));
        if x.is_nan() {
            assert_eq!((h::ex2_f16(bits), h::tanh_f16(bits)), (0x7fff, 0x7fff));
        } else {
            let exact = x.exp2();
            let got = f64::from(h::f16_to_f32(h::ex2_f16(bits)));
            // Below the normal numbers a unit is 2^-24.
            let bound = (exact * 2f64.powf(-9.9)).max(2f64.powi(-24));
            assert!(
                got == exact || (got - exact).abs() <= bound || exact > 65_504.0 && got.is_infinite(),
                "ex2 {x:e}"
            );
            let got = f64::from(h::f16_to_f32(h::tanh_f16(bits)));
            assert!((got - x.tanh()).abs() <= 2f64.powf(-10.987), "tanh {x:e}");
        }
        let y = h::bf16_to_f32(bits);
        if y.is_nan() {
            assert_eq!((h::ex2_bf16(bits), h::tanh_bf16(bits)), (0x7fff, 0x7fff));
            continue;
        }
        let exact = f64::from(y).exp2();
        let got = f64::from(h::bf16_to_f32(h::ex2_bf16(bits)));
        let close = relative(got, exact) <= 2f64.powi(-7);
        let flushed = got == 0.0 && exact < 2f64.powi(-126);
        assert!(
            close || flushed || (got.is_infinite() && exact > 3e38),
            "ex2 {y:e}: {got:e}"
        );
        let got = f64::from(h::bf16_to_f32(h::tanh_bf16(bits)));
        assert!(relative(got, f64::from(y).tanh()) <= 2f64.powi(-8), "tanh {y:e}");
    }
    assert_eq!(h::ex2_f16(0), convert::f32_to_f16_rn(1.0));
    assert_eq!(h::ex2_bf16(1), 0x3f80, "a subnormal argument is flushed");
}
