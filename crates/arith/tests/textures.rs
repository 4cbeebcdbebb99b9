//! Coordinates, weights and conversions of texels against exact arithmetic.

use num_bigint::BigInt;
use tessera_arith::texture::*;

/// A float as a fraction of 2^60, exact for what these tests use.
fn exact(x: f32) -> BigInt {
    let bits = x.to_bits();
    let exponent = i64::from(bits >> 23 & 0xff);
    let mantissa = i64::from(bits & 0x7f_ffff) | if exponent > 0 { 0x80_0000 } else { 0 };
    let shift = exponent.max(1) - 150 + 60;
    let magnitude = if shift >= 0 {
        BigInt::from(mantissa) << shift
    } else {
        BigInt::from(mantissa) >> -shift
    };
    if x.is_sign_negative() {
        -magnitude
    } else {
        magnitude
    }
}

fn floor_div(a: &BigInt, b: &BigInt) -> BigInt {
    let (zero, one) = (BigInt::from(0), BigInt::from(1));
    let q = a / b;
    if a % b < zero { q - one } else { q }
}

/// Coordinates between -40 and 40: multiples of 2^-12 and their neighbours.
fn coordinates() -> impl Iterator<Item = f32> {
    (-40 * 4096..40 * 4096).flat_map(|n| {
        let x = n as f32 / 4096.0;
        [x, x.next_up(), x.next_down()]
    })
}

#[test]
fn nearest_texels() {
    let one = BigInt::from(1) << 60;
    for u in coordinates().filter(|u| u.abs() > 1e-10 || *u == 0.0) {
        assert_eq!(BigInt::from(nearest(u)), floor_div(&exact(u), &one), "{u:e}");
    }
    assert_eq!(nearest(f32::MIN_POSITIVE), 0);
    assert_eq!(nearest(-f32::MIN_POSITIVE), -1);
    assert!(nearest(f32::INFINITY) > 1 << 32);
    assert!(nearest(f32::NEG_INFINITY) < -(1 << 32));
}

#[test]
fn weights_are_the_fraction_rounded_to_256ths() {
    let one = BigInt::from(1) << 60;
    let half = BigInt::from(1) << 59;
    for u in coordinates().filter(|u| u.abs() > 1e-10 || *u == 0.0) {
        let x: BigInt = exact(u) - &half;
        let lower = floor_div(&x, &one);
        let fraction: BigInt = &x - &lower * &one;
        let weight = floor_div(&(fraction * 256 + &half), &one);
        let (i, upper) = between(u);
        assert_eq!((BigInt::from(i), BigInt::from(upper)), (lower, weight), "{u:e}");
        assert!(upper <= WEIGHT_ONE);
        let [a, b] = weights(upper);
        assert_eq!(a + b, 1.0);
        assert_eq!(b * 256.0, f64::from(upper));
    }
}

#[test]
fn texels_beyond_the_edges() {
    for n in 1..12u32 {
        let line: Vec<u32> = (0..n).collect();
        let mirrored: Vec<u32> = line.iter().copied().chain(line.iter().rev().copied()).collect();
        let (wrapped, len) = (n as i64, mirrored.len() as i64);
        for i in -50..50i64 {
            assert_eq!(
                texel(i, n, Wrap::Wrap),
                Some(line[(i + 50 * wrapped) as usize % n as usize])
            );
            assert_eq!(
                texel(i, n, Wrap::Mirror),
                Some(mirrored[((i + 50 * len) % len) as usize])
            );
            let inside = (0..i64::from(n)).contains(&i);
            assert_eq!(texel(i, n, Wrap::Border).is_some(), inside);
            let nearest = line.iter().min_by_key(|t| (i64::from(**t) - i).abs());
            assert_eq!(texel(i, n, Wrap::Clamp).as_ref(), nearest);
        }
    }
}

#[test]
fn normalised_coordinates_repeat() {
    for n in [1u32, 3, 8, 1000] {
        for k in -64..64i32 {
            let x = k as f32 / 16.0;
            let near = (k.rem_euclid(16)) as f32 / 16.0;
            assert_eq!(in_texels(x, n, true, Wrap::Wrap), near * n as f32);
            let near = (k.rem_euclid(32)) as f32 / 16.0;
            assert_eq!(in_texels(x, n, true, Wrap::Mirror), near * n as f32);
            assert_eq!(in_texels(x, n, true, Wrap::Clamp), x * n as f32);
            assert_eq!(in_texels(x, n, false, Wrap::Wrap), x);
        }
        assert_eq!(in_texels(f32::NAN, n, true, Wrap::Border), 0.0);
        assert_eq!(in_texels(f32::INFINITY, n, true, Wrap::Wrap), 0.0);
    }
}

/// Rounds a fraction to the nearest `f32` by trying the neighbours of an estimate.
fn rounded(numerator: i64, denominator: i64) -> f32 {
    let estimate = (numerator as f64 / denominator as f64) as f32;
    let wanted: BigInt = BigInt::from(numerator) << 60;
    let distance = |x: f32| {
        let off: BigInt = exact(x) * denominator - &wanted;
        off.magnitude().clone()
    };
    [estimate.next_down(), estimate.next_up()]
        .into_iter()
        .fold(
            estimate,
            |best, x| if distance(x) < distance(best) { x } else { best },
        )
}

#[test]
fn integers_as_fractions_of_one() {
    for raw in 0..=0xffu32 {
        assert_eq!(unit(Format::U8, raw), rounded(raw.into(), 255));
        let signed = i64::from(raw as u8 as i8).max(-127);
        assert_eq!(unit(Format::S8, raw), rounded(signed, 127));
        assert_eq!(element(Format::S8, raw) as i32, i32::from(raw as u8 as i8));
        assert_eq!(element(Format::U8, raw), raw);
    }
    for raw in 0..=0xffffu32 {
        assert_eq!(unit(Format::U16, raw), rounded(raw.into(), 65535));
        let signed = i64::from(raw as u16 as i16).max(-32767);
        assert_eq!(unit(Format::S16, raw), rounded(signed, 32767));
        assert_eq!(element(Format::S16, raw) as i32, i32::from(raw as u16 as i16));
        let float = half::f16::from_bits(raw as u16).to_f32();
        let got = f32::from_bits(element(Format::Half, raw));
        assert!(got == float || got.is_nan() && float.is_nan(), "{raw:#x}");
        if !float.is_nan() {
            assert_eq!(to_half(float.to_bits()), raw);
        }
    }
}

#[test]
fn srgb_is_the_standard_curve() {
    let values: Vec<f32> = (0..=255).map(from_srgb).collect();
    assert_eq!((values[0], values[255]), (0.0, 1.0));
    assert!(values.windows(2).all(|pair| pair[0] < pair[1]));
    // Inverse of the curve: every code comes back.
    for (code, &linear) in values.iter().enumerate() {
        let linear = f64::from(linear);
        let encoded = if linear <= 0.0031308 {
            linear * 12.92
        } else {
            1.055 * linear.powf(1.0 / 2.4) - 0.055
        };
        assert_eq!((encoded * 255.0).round() as usize, code);
    }
}

#[test]
fn faces_of_a_cube() {
    // Centres of the faces, then a step along one axis of each.
    let cases = [
        ([2.0, 0.0, 0.0], (0, 0.5, 0.5)),
        ([-2.0, 0.0, 0.0], (1, 0.5, 0.5)),
        ([0.0, 2.0, 0.0], (2, 0.5, 0.5)),
        ([0.0, -2.0, 0.0], (3, 0.5, 0.5)),
        ([0.0, 0.0, 2.0], (4, 0.5, 0.5)),
        ([0.0, 0.0, -2.0], (5, 0.5, 0.5)),
        ([2.0, 1.0, -1.0], (0, 0.75, 0.25)),
        ([-2.0, 1.0, -1.0], (1, 0.25, 0.25)),
        ([1.0, 2.0, -1.0], (2, 0.75, 0.25)),
        ([1.0, -2.0, -1.0], (3, 0.75, 0.75)),
        ([1.0, -1.0, 2.0], (4, 0.75, 0.75)),
        ([1.0, -1.0, -2.0], (5, 0.25, 0.75)),
    ];
    for (direction, want) in cases {
        assert_eq!(cube_face(direction), want, "{direction:?}");
    }
}

#[test]
fn levels_of_detail() {
    assert_eq!(level_of_detail([4.0, 0.0, 0.0], [0.0, 2.0, 0.0]), 2.0);
    assert_eq!(level_of_detail([0.0; 3], [3.0, 4.0, 0.0]), 5f32.log2());
    assert_eq!(nearest_level(0.49, 4), 0);
    assert_eq!(nearest_level(0.5, 4), 1);
    assert_eq!(nearest_level(99.0, 4), 3);
    assert_eq!(nearest_level(f32::NEG_INFINITY, 4), 0);
    assert_eq!(between_levels(1.5, 4), (1, 128));
    assert_eq!(between_levels(-3.0, 4), (0, 0));
    assert_eq!(between_levels(3.7, 4), (3, 0));
    assert_eq!(between_levels(1.0 - 1.0 / 1024.0, 4), (1, 0));
}

#[test]
fn channels_of_formatted_stores_saturate() {
    assert_eq!(to_channel(Format::U8, 256), 255);
    assert_eq!(to_channel(Format::U8, 7), 7);
    assert_eq!(to_channel(Format::S8, (-300i32).cast_unsigned()), 0x80);
    assert_eq!(to_channel(Format::S16, 40000), 0x7fff);
    assert_eq!(to_channel(Format::Half, 1.5f32.to_bits()), 0x3e00);
    assert_eq!(to_channel(Format::U32, u32::MAX), u32::MAX);
}

#[test]
fn formats_have_the_numbers_of_the_driver() {
    for format in Format::ALL {
        assert_eq!(Format::from_number(format.number()), Some(format));
    }
    assert_eq!(Format::from_number(0), None);
    assert_eq!(Format::Half.number(), 0x10);
    assert_eq!(Format::Float.number(), 0x20);
}
