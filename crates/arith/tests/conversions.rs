//! `cvt` between integers and floats, and comparisons of floats.

mod common;

use common::{BF16, Exact, F16, F32, F64, Format, MODES, Random, SPECIAL32, SPECIAL64};
use num_bigint::BigInt;
use tessera_arith::compare::{self, BoolOp, CmpOp, FloatClass};
use tessera_arith::{IntRounding, IntType, Rounding, convert, half as h};

const INTS: [IntType; 8] = [
    IntType::U8,
    IntType::S8,
    IntType::U16,
    IntType::S16,
    IntType::U32,
    IntType::S32,
    IntType::U64,
    IntType::S64,
];
const INT_MODES: [IntRounding; 4] = [
    IntRounding::Rni,
    IntRounding::Rzi,
    IntRounding::Rmi,
    IntRounding::Rpi,
];

/// What a register's bits mean as `ty`.
fn value(ty: IntType, bits: u64) -> i128 {
    let shift = 64 - ty.bits();
    if ty.is_signed() {
        i128::from((bits << shift) as i64 >> shift)
    } else {
        i128::from(bits << shift >> shift)
    }
}

fn range(ty: IntType) -> (i128, i128) {
    let n = ty.bits();
    if ty.is_signed() {
        (-(1 << (n - 1)), (1 << (n - 1)) - 1)
    } else {
        (0, (1 << n) - 1)
    }
}

fn integers(random: &mut Random) -> u64 {
    let x = random.u64();
    match random.u32() % 6 {
        0 => x,
        1 => x >> (x % 64),
        2 => (1u64 << (x % 64)).wrapping_sub(x >> 63),
        // Few leading ones, then zeros and something at the end: ties of every rounding.
        3 => (0xfff8_0000_0000_0000 >> (x % 50)) | (x & 1),
        4 => 0u64.wrapping_sub(1u64 << (x % 64)),
        _ => (x | 0xffff) >> (x % 40),
    }
}

#[test]
fn integer_to_integer() {
    let mut random = Random(31);
    for _ in 0..20_000 {
        let bits = integers(&mut random);
        for src in INTS {
            for dst in INTS {
                let v = value(src, bits);
                let plain = convert::int_to_int(dst, src, bits, false);
                assert_eq!(
                    value(dst, plain),
                    value(dst, v as u64),
                    "{src:?} {dst:?} {bits:#x}"
                );
                assert_eq!(convert::extend(dst, plain), plain, "extended form");
                let (low, high) = range(dst);
                let sat = convert::int_to_int(dst, src, bits, true);
                assert_eq!(sat, v.clamp(low, high) as u64, "sat {src:?} {dst:?} {bits:#x}");
            }
        }
    }
}

/// The encoding of an integer, rounded.
fn encode(v: i128, format: Format, rnd: Rounding) -> u64 {
    if v == 0 {
        return 0;
    }
    Exact {
        number: BigInt::from(v),
        exponent: 0,
        more: false,
    }
    .round(format, rnd)
}

#[test]
fn integer_to_float() {
    let mut random = Random(32);
    for _ in 0..8_000 {
        let bits = integers(&mut random);
        for src in INTS {
            let v = value(src, bits);
            for rnd in MODES {
                let what = || format!("{src:?} {v} {rnd:?}");
                assert_eq!(
                    u64::from(convert::int_to_f32(src, bits, rnd).to_bits()),
                    encode(v, F32, rnd),
                    "{}",
                    what()
                );
                assert_eq!(
                    convert::int_to_f64(src, bits, rnd).to_bits(),
                    encode(v, F64, rnd),
                    "{}",
                    what()
                );
                assert_eq!(
                    u64::from(convert::int_to_f16(src, bits, rnd)),
                    encode(v, F16, rnd),
                    "{}",
                    what()
                );
                assert_eq!(
                    u64::from(convert::int_to_bf16(src, bits, rnd)),
                    encode(v, BF16, rnd),
                    "{}",
                    what()
                );
            }
        }
    }
}

/// `x` rounded to an integer by comparing with its neighbours, exactly; `None` for NaN and infinity.
fn integral(x: f64, rnd: IntRounding) -> Option<BigInt> {
    if !x.is_finite() {
        return None;
    }
    let Exact { number, exponent, .. } = Exact::of(x);
    if exponent >= 0 {
        return Some(number << exponent);
    }
    // An arithmetic shift of a big integer is a floor.
    let floor: BigInt = &number >> -exponent;
    let rest = number - (&floor << -exponent);
    let half = BigInt::from(1) << (-exponent - 1);
    let exact = rest == BigInt::ZERO;
    let up = match rnd {
        IntRounding::Rmi => false,
        IntRounding::Rpi => !exact,
        IntRounding::Rzi => !exact && x < 0.0,
        IntRounding::Rni => rest > half || (rest == half && floor.bit(0)),
    };
    Some(if up { floor + 1 } else { floor })
}

/// What `cvt` to `dst` gives, as a number.
fn clamped(x: f64, dst: IntType, rnd: IntRounding, from_f64: bool) -> i128 {
    let (low, high) = range(dst);
    match integral(x, rnd) {
        Some(v) => i128::try_from(v)
            .unwrap_or(if x < 0.0 { i128::MIN } else { i128::MAX })
            .clamp(low, high),
        None if x.is_nan() && (from_f64 || dst.bits() == 64) => value(dst, 1 << (dst.bits() - 1)),
        None if x.is_nan() => 0,
        None if x < 0.0 => low,
        None => high,
    }
}

/// Values around the ranges of the integer types and the ties between integers.
fn near_integers(random: &mut Random) -> f64 {
    let power = 2f64.powi((random.u32() % 70) as i32);
    let small = f64::from(random.u32() % 600) / 4.0 - 75.0;
    match random.u32() % 6 {
        0 => small,
        1 => power + f64::from(random.u32() % 8) / 4.0 - 1.0,
        2 => -power + f64::from(random.u32() % 8) / 4.0 - 1.0,
        3 => (power * 3.0 / 2.0).next_down(),
        4 => f64::from(random.f32()),
        _ => random.f64(),
    }
}

#[test]
fn float_to_integer() {
    let mut random = Random(33);
    for _ in 0..10_000 {
        let x = near_integers(&mut random);
        let y = x as f32;
        for dst in INTS {
            for rnd in INT_MODES {
                let got = convert::f64_to_int(dst, x, rnd);
                assert_eq!(got, clamped(x, dst, rnd, true) as u64, "{x:e} {dst:?} {rnd:?}");
                let got = convert::f32_to_int(dst, y, rnd, false);
                assert_eq!(
                    got,
                    clamped(f64::from(y), dst, rnd, false) as u64,
                    "{y:e} {dst:?} {rnd:?}"
                );
            }
        }
    }
    let tiny = f32::from_bits(0x8000_0001);
    assert_eq!(
        convert::f32_to_int(IntType::S32, tiny, IntRounding::Rmi, false) as i64,
        -1
    );
    assert_eq!(convert::f32_to_int(IntType::S32, tiny, IntRounding::Rmi, true), 0);
}

#[test]
fn half_to_integer() {
    for bits in 0..=0xffff_u32 {
        let (x, y) = (f64::from(h::f16_to_f32(bits)), f64::from(h::bf16_to_f32(bits)));
        for dst in INTS {
            for rnd in INT_MODES {
                assert_eq!(
                    convert::f16_to_int(dst, bits, rnd),
                    clamped(x, dst, rnd, false) as u64
                );
                assert_eq!(
                    convert::bf16_to_int(dst, bits, rnd),
                    clamped(y, dst, rnd, false) as u64
                );
            }
        }
    }
}

#[test]
fn float_to_integral_float() {
    let mut random = Random(34);
    for _ in 0..10_000 {
        let x = near_integers(&mut random);
        let y = x as f32;
        for rnd in INT_MODES {
            if let Some(v) = integral(x, rnd) {
                let got = convert::f64_to_f64(x, Some(rnd), false);
                assert_eq!(
                    Exact::of(got)
                        .add(&Exact {
                            number: -v,
                            exponent: 0,
                            more: false
                        })
                        .number,
                    BigInt::ZERO
                );
                assert_eq!(
                    got.is_sign_negative(),
                    x.is_sign_negative(),
                    "{x:e}: a zero keeps its sign"
                );
            }
            if let Some(v) = integral(f64::from(y), rnd) {
                let got = convert::f32_to_f32(y, Some(rnd), false, false);
                let difference = Exact::of(f64::from(got)).add(&Exact {
                    number: -v,
                    exponent: 0,
                    more: false,
                });
                assert_eq!(difference.number, BigInt::ZERO);
                assert_eq!(got.is_sign_negative(), y.is_sign_negative());
            }
        }
    }
    assert_eq!(
        convert::f32_to_f32(f32::from_bits(0x7f80_0001), None, false, false).to_bits(),
        0x7fff_ffff
    );
    assert_eq!(convert::f32_to_f32(-7.0, None, false, true).to_bits(), 0);
    assert_eq!(convert::f64_to_f64(7.0, None, true), 1.0);
    assert_eq!(convert::f64_to_f64(f64::NAN, None, true).to_bits(), 0);
    assert_eq!(convert::f16_to_f16(0x3e00, Some(IntRounding::Rni), false), 0x4000);
    assert_eq!(convert::f16_to_f16(0x4500, None, true), 0x3c00);
    assert_eq!(convert::bf16_to_bf16(0x3fc0, Some(IntRounding::Rzi)), 0x3f80);
    assert_eq!(convert::f16_to_bf16(0x3c01, Rounding::Rn), 0x3f80);
    assert_eq!(convert::f16_to_bf16(0x3c01, Rounding::Rp), 0x3f81);
    assert_eq!(convert::bf16_to_f16(0x4780, Rounding::Rn), 0x7c00);
    assert_eq!(convert::bf16_to_f16(0x4780, Rounding::Rz), 0x7bff);
}

#[test]
fn between_single_and_double() {
    assert_eq!(
        convert::f32_to_f64(f32::from_bits(0x7fff_ffff), false, false).to_bits(),
        0x7fff_ffff_e000_0000
    );
    assert_eq!(
        convert::f32_to_f64(f32::from_bits(0xff80_0001), false, false).to_bits(),
        0xfff8_0000_2000_0000
    );
    assert_eq!(
        convert::f32_to_f64(f32::from_bits(1), false, false),
        2f64.powi(-149)
    );
    assert_eq!(
        convert::f32_to_f64(f32::from_bits(0x8000_0001), true, false).to_bits(),
        1 << 63
    );
    assert_eq!(convert::f32_to_f64(9.0, false, true), 1.0);
    assert_eq!(convert::f32_to_f64(f32::INFINITY, false, false), f64::INFINITY);
    let nan = |bits| convert::f64_to_f32(f64::from_bits(bits), Rounding::Rn, true, false).to_bits();
    assert_eq!(nan(0xfffc_1234_4000_0001), 0xffe0_91a2);
    assert_eq!(nan(0x7ff0_0000_4000_0001), 0x7fc0_0002);
    assert_eq!(
        convert::f64_to_f32(f64::NAN, Rounding::Rn, false, true).to_bits(),
        0
    );
    assert_eq!(
        convert::f64_to_f32(-1e-40, Rounding::Rn, true, false).to_bits(),
        0x8000_0000
    );
    assert_eq!(convert::f64_to_f32(1e300, Rounding::Rz, false, false), f32::MAX);
    assert_eq!(convert::f64_to_f16(65_519.999, Rounding::Rn), 0x7bff);
    assert_eq!(convert::f64_to_f16(65_520.0, Rounding::Rn), 0x7c00);
    assert_eq!(convert::f64_to_f16(f64::INFINITY, Rounding::Rz), 0x7c00);
    assert_eq!(convert::f64_to_f16(f64::NEG_INFINITY, Rounding::Rp), 0xfc00);
    assert_eq!(convert::f64_to_bf16(f64::NAN, Rounding::Rz), 0x7fff);
    assert_eq!(convert::f64_to_f16(f64::NAN, Rounding::Rm), 0x7fff);
}

const FLOAT_OPS: [CmpOp; 14] = [
    CmpOp::Eq,
    CmpOp::Ne,
    CmpOp::Lt,
    CmpOp::Le,
    CmpOp::Gt,
    CmpOp::Ge,
    CmpOp::Equ,
    CmpOp::Neu,
    CmpOp::Ltu,
    CmpOp::Leu,
    CmpOp::Gtu,
    CmpOp::Geu,
    CmpOp::Num,
    CmpOp::Nan,
];

/// The truth table of the operators by the order of the operands (`None`: one is NaN).
fn compared(op: CmpOp, order: Option<std::cmp::Ordering>) -> bool {
    let Some(order) = order else {
        return matches!(
            op,
            CmpOp::Equ | CmpOp::Neu | CmpOp::Ltu | CmpOp::Leu | CmpOp::Gtu | CmpOp::Geu | CmpOp::Nan
        );
    };
    match op {
        CmpOp::Eq | CmpOp::Equ => order.is_eq(),
        CmpOp::Ne | CmpOp::Neu => order.is_ne(),
        CmpOp::Lt | CmpOp::Ltu | CmpOp::Lo => order.is_lt(),
        CmpOp::Le | CmpOp::Leu | CmpOp::Ls => order.is_le(),
        CmpOp::Gt | CmpOp::Gtu | CmpOp::Hi => order.is_gt(),
        CmpOp::Ge | CmpOp::Geu | CmpOp::Hs => order.is_ge(),
        CmpOp::Num => true,
        CmpOp::Nan => false,
    }
}

#[test]
fn comparisons_of_floats() {
    let mut random = Random(35);
    let singles: Vec<f32> = SPECIAL32
        .iter()
        .map(|&x| f32::from_bits(x))
        .chain((0..60).map(|_| random.f32()))
        .collect();
    let doubles: Vec<f64> = SPECIAL64
        .iter()
        .map(|&x| f64::from_bits(x))
        .chain((0..60).map(|_| random.f64()))
        .collect();
    let flush = |x: f32| if x.is_subnormal() { 0.0 } else { x };
    for op in FLOAT_OPS {
        for &a in &singles {
            for &b in &singles {
                assert_eq!(
                    compare::cmp_f32(op, a, b),
                    compared(op, a.partial_cmp(&b)),
                    "{op:?} {a:e} {b:e}"
                );
                assert_eq!(
                    compare::cmp_f32_ftz(op, a, b),
                    compared(op, flush(a).partial_cmp(&flush(b)))
                );
                let (p, q) = (a.to_bits() >> 16, b.to_bits() >> 16);
                let (x, y) = (h::bf16_to_f32(p), h::bf16_to_f32(q));
                assert_eq!(compare::cmp_bf16(op, p, q), compared(op, x.partial_cmp(&y)));
                let (x, y) = (h::f16_to_f32(p), h::f16_to_f32(q));
                assert_eq!(compare::cmp_f16(op, p, q, false), compared(op, x.partial_cmp(&y)));
            }
        }
        for &a in &doubles {
            for &b in &doubles {
                assert_eq!(
                    compare::cmp_f64(op, a, b),
                    compared(op, a.partial_cmp(&b)),
                    "{op:?} {a:e} {b:e}"
                );
            }
        }
    }
    assert!(compare::cmp_f16(CmpOp::Eq, 1, 2, true));
    assert!(!compare::cmp_f16(CmpOp::Eq, 1, 2, false));
}

#[test]
fn selection_and_classes() {
    for (op, table) in [
        (BoolOp::And, [0, 0, 0, 1]),
        (BoolOp::Or, [0, 1, 1, 1]),
        (BoolOp::Xor, [0, 1, 1, 0]),
    ] {
        for (i, expected) in table.into_iter().enumerate() {
            assert_eq!(compare::combine(op, i & 2 != 0, i & 1 != 0), expected == 1);
        }
    }
    assert!(compare::slct_s32(0) && compare::slct_s32(7) && !compare::slct_s32(0x8000_0000));
    assert!(compare::slct_f32(-0.0, false) && compare::slct_f32(1.0, false));
    assert!(!compare::slct_f32(f32::NAN, false) && !compare::slct_f32(-1e-40, false));
    assert!(compare::slct_f32(-1e-40, true));
    use FloatClass::{Finite, Infinite, Normal, NotANumber, Number, Subnormal};
    let classes = [Finite, Infinite, Number, NotANumber, Normal, Subnormal];
    let table = [
        (0.0, [true, false, true, false, true, false]),
        (1.5, [true, false, true, false, true, false]),
        (1e-40, [true, false, true, false, false, true]),
        (f32::NEG_INFINITY, [false, true, true, false, false, false]),
        (f32::NAN, [false, false, false, true, false, false]),
    ];
    for (x, expected) in table {
        assert_eq!(classes.map(|c| compare::testp_f32(c, x)), expected, "{x:e}");
        let wide = if x == 1e-40 {
            f64::from_bits(5)
        } else {
            f64::from(x)
        };
        assert_eq!(classes.map(|c| compare::testp_f64(c, wide)), expected, "{wide:e}");
    }
}
