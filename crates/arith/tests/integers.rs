//! Integer, logic, carry, dot-product, comparison and atomic operations against their definitions in wider or bitwise
//! arithmetic. 8 and 16 bits exhaustively or densely, 32 and 64 bits on corners and at random.

mod common;

use common::Random;
use tessera_arith::atomics::{self, AtomOp};
use tessera_arith::compare::{self, CmpOp};
use tessera_arith::{carry, dot, integer, logic};

/// Corner values of `bits` bits, and random ones.
fn values(bits: u32, random: usize) -> Vec<u64> {
    let mask = u64::MAX >> (64 - bits);
    let top = 1u64 << (bits - 1);
    let mut all = vec![
        0,
        1,
        2,
        3,
        7,
        top - 2,
        top - 1,
        top,
        top + 1,
        mask - 2,
        mask - 1,
        mask,
        0x5555_5555_5555_5555 & mask,
    ];
    let mut r = Random(u64::from(bits));
    for _ in 0..random {
        all.push((r.u64() >> (r.u64() % 64)) & mask);
    }
    all
}

fn signed(x: u64, bits: u32) -> i128 {
    i128::from((x << (64 - bits)) as i64 >> (64 - bits))
}

/// The low `bits` bits.
fn cut(x: i128, bits: u32) -> u64 {
    x as u64 & (u64::MAX >> (64 - bits))
}

fn clamp(x: i128, bits: u32) -> u64 {
    let top = 1i128 << (bits - 1);
    cut(x.clamp(-top, top - 1), bits)
}

/// Garbage above 16 bits, which every 16-bit operation has to ignore.
fn dirty(x: u64) -> u32 {
    x as u32 | 0xa5a5_0000
}

fn w(x: u32) -> u64 {
    u64::from(x)
}

#[test]
fn arithmetic_16() {
    let all = values(16, 300);
    for &a in &all {
        for &b in &all {
            let (x, y) = (dirty(a), dirty(b));
            let (ua, ub, sa, sb) = (i128::from(a), i128::from(b), signed(a, 16), signed(b, 16));
            assert_eq!(w(integer::add16(x, y)), cut(ua + ub, 16));
            assert_eq!(w(integer::sub16(x, y)), cut(ua - ub, 16));
            assert_eq!(w(integer::mul_lo16(x, y)), cut(ua * ub, 16));
            assert_eq!(w(integer::mul_hi_u16(x, y)), cut((ua * ub) >> 16, 16));
            assert_eq!(w(integer::mul_hi_s16(x, y)), cut((sa * sb) >> 16, 16));
            assert_eq!(w(integer::mul_wide_u16(x, y)), cut(ua * ub, 32));
            assert_eq!(w(integer::mul_wide_s16(x, y)), cut(sa * sb, 32));
            assert_eq!(w(integer::min_u16(x, y)), cut(ua.min(ub), 16));
            assert_eq!(w(integer::max_u16(x, y)), cut(ua.max(ub), 16));
            assert_eq!(w(integer::min_s16(x, y)), cut(sa.min(sb), 16));
            assert_eq!(w(integer::max_s16(x, y)), cut(sa.max(sb), 16));
            let q = |n: i128, d: i128| if d == 0 { -1 } else { n / d };
            let r = |n: i128, d: i128| if d == 0 { -1 } else { n % d };
            assert_eq!(w(integer::div_u16(x, y)), cut(q(ua, ub), 16));
            assert_eq!(w(integer::rem_u16(x, y)), cut(r(ua, ub), 16));
            assert_eq!(w(integer::div_s16(x, y)), cut(q(sa, sb), 16), "{sa} / {sb}");
            assert_eq!(w(integer::rem_s16(x, y)), cut(r(sa, sb), 16), "{sa} % {sb}");
            let c = dirty(a ^ (b << 3));
            let (uc, sc) = (i128::from(c & 0xffff), signed(w(c), 16));
            assert_eq!(w(integer::mad_lo16(x, y, c)), cut(ua * ub + uc, 16));
            assert_eq!(w(integer::mad_hi_u16(x, y, c)), cut(((ua * ub) >> 16) + uc, 16));
            assert_eq!(w(integer::mad_hi_s16(x, y, c)), cut(((sa * sb) >> 16) + sc, 16));
            assert_eq!(
                w(integer::mad_wide_u16(x, y, c)),
                cut(ua * ub + i128::from(c), 32)
            );
            assert_eq!(
                w(integer::mad_wide_s16(x, y, c)),
                cut(sa * sb + i128::from(c), 32)
            );
            assert_eq!(w(integer::sad_u16(x, y, c)), cut((ua - ub).abs() + uc, 16));
            assert_eq!(w(integer::sad_s16(x, y, c)), cut((sa - sb).abs() + sc, 16));
        }
        assert_eq!(w(integer::abs_s16(dirty(a))), cut(signed(a, 16).abs(), 16));
        assert_eq!(w(integer::neg16(dirty(a))), cut(-signed(a, 16), 16));
        assert_eq!(w(logic::not16(dirty(a))), cut(!i128::from(a), 16));
        assert_eq!(logic::cnot16(dirty(a)), u32::from(a == 0));
    }
}

#[test]
fn packed_16() {
    let all = values(32, 300);
    for &a in &all {
        for &b in &all {
            let (a, b) = (a as u32, b as u32);
            let pairs = |f: fn(u32, u32) -> u32| f(a, b) | (f(a >> 16, b >> 16) << 16);
            assert_eq!(integer::add16x2(a, b), pairs(integer::add16));
            assert_eq!(integer::min_u16x2(a, b), pairs(integer::min_u16));
            assert_eq!(integer::max_u16x2(a, b), pairs(integer::max_u16));
            assert_eq!(integer::min_s16x2(a, b), pairs(integer::min_s16));
            assert_eq!(integer::max_s16x2(a, b), pairs(integer::max_s16));
            let relu = |x: u32| if x & 0x8000 != 0 { 0 } else { x };
            let halves = |x: u32| relu(x & 0xffff) | (relu(x >> 16) << 16);
            assert_eq!(integer::min_relu_s16x2(a, b), halves(integer::min_s16x2(a, b)));
            assert_eq!(integer::max_relu_s16x2(a, b), halves(integer::max_s16x2(a, b)));
        }
    }
}

#[test]
fn arithmetic_32() {
    let all = values(32, 300);
    let mut random = Random(7);
    for &a in &all {
        for &b in &all {
            let (x, y, z) = (a as u32, b as u32, random.u32());
            let (ua, ub, uc) = (i128::from(a), i128::from(b), i128::from(z));
            let (sa, sb, sc) = (signed(a, 32), signed(b, 32), signed(w(z), 32));
            let is = |got: u32, expected: i128| assert_eq!(w(got), cut(expected, 32), "{x:#x} {y:#x} {z:#x}");
            is(integer::add32(x, y), ua + ub);
            is(integer::sub32(x, y), ua - ub);
            assert_eq!(w(integer::add_sat_s32(x, y)), clamp(sa + sb, 32));
            assert_eq!(w(integer::sub_sat_s32(x, y)), clamp(sa - sb, 32));
            is(integer::mul_lo32(x, y), ua * ub);
            is(integer::mul_hi_u32(x, y), (ua * ub) >> 32);
            is(integer::mul_hi_s32(x, y), (sa * sb) >> 32);
            assert_eq!(integer::mul_wide_u32(x, y), cut(ua * ub, 64));
            assert_eq!(integer::mul_wide_s32(x, y), cut(sa * sb, 64));
            is(integer::mad_lo32(x, y, z), ua * ub + uc);
            is(integer::mad_hi_u32(x, y, z), ((ua * ub) >> 32) + uc);
            is(integer::mad_hi_s32(x, y, z), ((sa * sb) >> 32) + sc);
            assert_eq!(
                w(integer::mad_hi_sat_s32(x, y, z)),
                clamp(((sa * sb) >> 32) + sc, 32)
            );
            let wide = (a << 32) ^ b;
            assert_eq!(
                integer::mad_wide_u32(x, y, wide),
                cut(ua * ub + i128::from(wide), 64)
            );
            assert_eq!(
                integer::mad_wide_s32(x, y, wide),
                cut(sa * sb + i128::from(wide), 64)
            );
            let (u24, v24) = (ua & 0xff_ffff, ub & 0xff_ffff);
            let (s24, t24) = (signed(a, 24), signed(b, 24));
            is(integer::mul24_lo_u32(x, y), u24 * v24);
            is(integer::mul24_hi_u32(x, y), (u24 * v24) >> 16);
            is(integer::mul24_lo_s32(x, y), s24 * t24);
            is(integer::mul24_hi_s32(x, y), (s24 * t24) >> 16);
            is(integer::mad24_lo_u32(x, y, z), u24 * v24 + uc);
            is(integer::mad24_hi_u32(x, y, z), ((u24 * v24) >> 16) + uc);
            is(integer::mad24_lo_s32(x, y, z), s24 * t24 + sc);
            is(integer::mad24_hi_s32(x, y, z), ((s24 * t24) >> 16) + sc);
            let high = signed(cut((s24 * t24) >> 16, 32), 32);
            assert_eq!(w(integer::mad24_hi_sat_s32(x, y, z)), clamp(high + sc, 32));
            is(integer::sad_u32(x, y, z), (ua - ub).abs() + uc);
            is(integer::sad_s32(x, y, z), (sa - sb).abs() + sc);
            is(integer::min_u32(x, y), ua.min(ub));
            is(integer::max_u32(x, y), ua.max(ub));
            is(integer::min_s32(x, y), sa.min(sb));
            is(integer::max_s32(x, y), sa.max(sb));
            is(integer::min_relu_s32(x, y), sa.min(sb).max(0));
            is(integer::max_relu_s32(x, y), sa.max(sb).max(0));
        }
        is_unary_32(a);
    }
}

fn is_unary_32(a: u64) {
    let x = a as u32;
    assert_eq!(w(integer::abs_s32(x)), cut(signed(a, 32).abs(), 32));
    assert_eq!(w(integer::neg32(x)), cut(-signed(a, 32), 32));
    assert_eq!(logic::cnot32(x), u32::from(a == 0));
    assert_eq!(
        logic::clz32(x),
        (0..32).rev().take_while(|i| x >> i & 1 == 0).count() as u32
    );
    assert_eq!(
        logic::popc32(x),
        (0..32).filter(|i| x >> i & 1 == 1).count() as u32
    );
    assert_eq!(
        logic::brev32(x),
        (0..32).map(|i| (x >> i & 1) << (31 - i)).sum::<u32>()
    );
    let top = (0..32).rev().find(|i| x >> i & 1 == 1);
    assert_eq!(logic::bfind_u32(x, false), top.unwrap_or(u32::MAX));
    assert_eq!(logic::bfind_u32(x, true), top.map_or(u32::MAX, |t| 31 - t));
    let differs = (0..32).rev().find(|i| x >> i & 1 != x >> 31);
    assert_eq!(logic::bfind_s32(x, false), differs.unwrap_or(u32::MAX));
    assert_eq!(logic::bfind_s32(x, true), differs.map_or(u32::MAX, |t| 31 - t));
}

#[test]
fn division_32() {
    let all = values(32, 1_500);
    for &a in &all {
        for &b in &all {
            let (x, y) = (a as u32, b as u32);
            assert_eq!(
                integer::div_u32(x, y),
                x.checked_div(y).unwrap_or(u32::MAX),
                "{x} / {y}"
            );
            assert_eq!(
                integer::rem_u32(x, y),
                x.checked_rem(y).unwrap_or(u32::MAX),
                "{x} % {y}"
            );
            let (n, d) = (x as i32, y as i32);
            let (q, r) = if d == 0 {
                (-1, -1)
            } else {
                (n.wrapping_div(d), n.wrapping_rem(d))
            };
            assert_eq!(integer::div_s32(x, y) as i32, q, "{n} / {d}");
            assert_eq!(integer::rem_s32(x, y) as i32, r, "{n} % {d}");
        }
    }
    // Quotients next to integers, where a rounded division could step over.
    let mut random = Random(8);
    for _ in 0..1_000_000 {
        let y = (random.u32() >> (random.u32() % 31)).max(1);
        let x = (u32::MAX / y).saturating_mul(y).wrapping_sub(random.u32() % 3);
        assert_eq!(integer::div_u32(x, y), x / y, "{x} / {y}");
    }
}

#[test]
fn arithmetic_64() {
    let all = values(64, 200);
    let mut random = Random(9);
    for &a in &all {
        for &b in &all {
            let c = random.u64();
            let (ua, ub) = (u128::from(a), u128::from(b));
            let (sa, sb) = (i128::from(a as i64), i128::from(b as i64));
            let (high_u, high_s) = (((ua * ub) >> 64) as u64, ((sa * sb) >> 64) as u64);
            assert_eq!(integer::add64(a, b), (ua + ub) as u64);
            assert_eq!(integer::sub64(a, b), (sa - sb) as u64);
            assert_eq!(integer::mul_lo64(a, b), (ua * ub) as u64);
            assert_eq!(integer::mul_hi_u64(a, b), high_u);
            assert_eq!(integer::mul_hi_s64(a, b), high_s);
            assert_eq!(integer::mad_lo64(a, b, c), ((ua * ub) as u64).wrapping_add(c));
            assert_eq!(integer::mad_hi_u64(a, b, c), high_u.wrapping_add(c));
            assert_eq!(integer::mad_hi_s64(a, b, c), high_s.wrapping_add(c));
            assert_eq!(
                integer::sad_u64(a, b, c),
                (sad(ua as i128, ub as i128) as u64).wrapping_add(c)
            );
            assert_eq!(integer::sad_s64(a, b, c), (sad(sa, sb) as u64).wrapping_add(c));
            assert_eq!(integer::min_u64(a, b), ua.min(ub) as u64);
            assert_eq!(integer::max_u64(a, b), ua.max(ub) as u64);
            assert_eq!(integer::min_s64(a, b), sa.min(sb) as u64);
            assert_eq!(integer::max_s64(a, b), sa.max(sb) as u64);
            assert_eq!(
                integer::div_u64(a, b),
                if b == 0 { u64::MAX } else { (ua / ub) as u64 }
            );
            assert_eq!(
                integer::rem_u64(a, b),
                if b == 0 { u64::MAX } else { (ua % ub) as u64 }
            );
            assert_eq!(
                integer::div_s64(a, b),
                if b == 0 { u64::MAX } else { (sa / sb) as u64 }
            );
            assert_eq!(
                integer::rem_s64(a, b),
                if b == 0 { u64::MAX } else { (sa % sb) as u64 }
            );
        }
        assert_eq!(integer::abs_s64(a), signed(a, 64).unsigned_abs() as u64);
        assert_eq!(integer::neg64(a), (-signed(a, 64)) as u64);
        assert_eq!(logic::cnot64(a), u64::from(a == 0));
        assert_eq!(
            logic::brev64(a),
            (0..64).map(|i| (a >> i & 1) << (63 - i)).sum::<u64>()
        );
        assert_eq!(
            logic::popc64(a),
            (0..64).filter(|i| a >> i & 1 == 1).count() as u32
        );
        assert_eq!(
            logic::clz64(a),
            (0..64).rev().take_while(|i| a >> i & 1 == 0).count() as u32
        );
        let top = (0..64).rev().find(|i| a >> i & 1 == 1);
        assert_eq!(logic::bfind_u64(a, false), top.unwrap_or(u32::MAX));
        assert_eq!(logic::bfind_u64(a, true), top.map_or(u32::MAX, |t| 63 - t));
        let differs = (0..64).rev().find(|i| a >> i & 1 != a >> 63);
        assert_eq!(logic::bfind_s64(a, false), differs.unwrap_or(u32::MAX));
        assert_eq!(logic::bfind_s64(a, true), differs.map_or(u32::MAX, |t| 63 - t));
    }
}

fn sad(a: i128, b: i128) -> i128 {
    (a - b).abs()
}

#[test]
fn shifts() {
    let counts = (0..70).chain([255, 256, 0x8000_0000, u32::MAX]);
    for n in counts {
        let k = n.min(127);
        for a in values(64, 100) {
            let (h, v) = (dirty(a & 0xffff), a as u32);
            assert_eq!(
                w(logic::shl16(h, n)),
                cut(i128::from(a & 0xffff) << k.min(100), 16)
            );
            assert_eq!(
                w(logic::shl32(v, n)),
                if n > 31 { 0 } else { cut(i128::from(v) << n, 32) }
            );
            assert_eq!(
                logic::shl64(a, n),
                if n > 63 { 0 } else { cut(i128::from(a) << n, 64) }
            );
            assert_eq!(w(logic::shr_u16(h, n)), cut(i128::from(a & 0xffff) >> k, 16));
            assert_eq!(w(logic::shr_s16(h, n)), cut(signed(a, 16) >> k, 16));
            assert_eq!(w(logic::shr_u32(v, n)), cut(i128::from(v) >> k, 32));
            assert_eq!(w(logic::shr_s32(v, n)), cut(signed(w(v), 32) >> k, 32));
            assert_eq!(logic::shr_u64(a, n), cut(i128::from(a) >> k, 64));
            assert_eq!(logic::shr_s64(a, n), cut(signed(a, 64) >> k, 64));
            let (low, high) = (a as u32, (a >> 32) as u32);
            for clamp in [false, true] {
                let m = if clamp { n.min(32) } else { n % 32 };
                assert_eq!(
                    w(logic::shf_l(low, high, n, clamp)),
                    cut((i128::from(a) << m) >> 32, 32)
                );
                assert_eq!(w(logic::shf_r(low, high, n, clamp)), cut(i128::from(a) >> m, 32));
            }
        }
    }
}

/// Bit-by-bit definition of `bfe` (PTX ISA).
fn bfe_reference(a: u64, pos: u32, len: u32, bits: u32, signed: bool) -> u64 {
    let (pos, len) = (pos & 0xff, len & 0xff);
    let fill = if !signed || len == 0 {
        0
    } else {
        a >> (pos + len - 1).min(bits - 1) & 1
    };
    (0..bits).fold(0, |d, i| {
        d | (if i < len && pos + i < bits {
            a >> (pos + i) & 1
        } else {
            fill
        }) << i
    })
}

#[test]
fn bit_fields() {
    let mut random = Random(10);
    let places: Vec<u32> = (0..70)
        .chain([127, 128, 200, 255, 256, 258, 0xffff_ff03])
        .collect();
    for &pos in &places {
        for &len in &places {
            for _ in 0..4 {
                let (a, b) = (random.u64(), random.u64());
                let (x, y) = (a as u32, b as u32);
                assert_eq!(
                    w(logic::bfe_u32(x, pos, len)),
                    bfe_reference(w(x), pos, len, 32, false)
                );
                assert_eq!(
                    w(logic::bfe_s32(x, pos, len)),
                    bfe_reference(w(x), pos, len, 32, true),
                    "{x:#x} {pos} {len}"
                );
                assert_eq!(logic::bfe_u64(a, pos, len), bfe_reference(a, pos, len, 64, false));
                assert_eq!(logic::bfe_s64(a, pos, len), bfe_reference(a, pos, len, 64, true));
                let (p, l) = (pos & 0xff, len & 0xff);
                let insert = |bits: u32, a: u64, b: u64| {
                    let end = (p + l).min(bits);
                    (p.min(bits)..end).fold(b, |d, i| (d & !(1 << i)) | (a >> (i - p) & 1) << i)
                };
                assert_eq!(w(logic::bfi32(x, y, pos, len)), insert(32, w(x), w(y)));
                assert_eq!(logic::bfi64(a, b, pos, len), insert(64, a, b));
                masks(x, pos, len);
            }
        }
    }
}

fn masks(x: u32, pos: u32, len: u32) {
    for clamp in [false, true] {
        let limit = |n: u32| if clamp { n.min(32) } else { n % 32 };
        let (p, l) = (limit(pos), limit(len));
        let ones = (0..32)
            .filter(|&i| i >= p && i < p + l)
            .fold(0, |m, i| m | 1 << i);
        assert_eq!(logic::bmsk(pos, len, clamp), ones, "bmsk {pos} {len} {clamp}");
        let keep = |i: u32, sign: u32| if i < l { x >> i & 1 } else { sign };
        let zero = (0..32).fold(0, |d, i| d | keep(i, 0) << i);
        assert_eq!(logic::szext_u32(x, len, clamp), zero);
        let sign = if l == 0 || l == 32 { 0 } else { x >> (l - 1) & 1 };
        let extended = (0..32).fold(0, |d, i| d | keep(i, sign) << i);
        assert_eq!(logic::szext_s32(x, len, clamp), extended);
    }
}

#[test]
fn three_input_logic_of_every_table() {
    // One bit of each operand per minterm; two more patterns so that no position is special.
    for (a, b, c) in [
        (0xf0u32, 0xccu32, 0xaau32),
        (0x1234_5678, 0x9abc_def0, 0x0f1e_2d3c),
    ] {
        for lut in 0..=255u8 {
            let expected = (0..32).fold(0, |d, i| {
                let row = (a >> i & 1) << 2 | (b >> i & 1) << 1 | (c >> i & 1);
                d | u32::from(lut >> row & 1) << i
            });
            assert_eq!(logic::lop3(a, b, c, lut), expected);
        }
    }
}

#[test]
fn permutation() {
    use logic::PermuteMode::{B4e, Default, Ecl, Ecr, F4e, Rc8, Rc16};
    let (a, b) = (0x8382_8180u32, 0x0706_0504u32);
    assert_eq!(logic::prmt(a, b, 0x3210, Default), a);
    assert_eq!(logic::prmt(a, b, 0x7654, Default), b);
    assert_eq!(logic::prmt(a, b, 0xffff_0123, Default), 0x8081_8283);
    assert_eq!(logic::prmt(a, b, 0x8c9f, Default), 0xff00_ff00);
    let row = |mode| [0, 1, 2, 0xffff_fff3].map(|c| logic::prmt(a, b, c, mode));
    assert_eq!(row(F4e), [0x8382_8180, 0x0483_8281, 0x0504_8382, 0x0605_0483]);
    assert_eq!(row(B4e), [0x0506_0780, 0x0607_8081, 0x0780_8182, 0x8081_8283]);
    assert_eq!(row(Rc8), [0x8080_8080, 0x8181_8181, 0x8282_8282, 0x8383_8383]);
    assert_eq!(row(Ecl), [0x8382_8180, 0x8382_8181, 0x8382_8282, 0x8383_8383]);
    assert_eq!(row(Ecr), [0x8080_8080, 0x8181_8180, 0x8282_8180, 0x8382_8180]);
    assert_eq!(row(Rc16), [0x8180_8180, 0x8382_8382, 0x8180_8180, 0x8382_8382]);
}

#[test]
fn nth_set_bit() {
    let mut random = Random(11);
    for _ in 0..200_000 {
        let (mask, base) = (random.u32() & random.u32(), random.u32() % 32);
        let offset = (random.u32() % 24) as i32 - 12;
        let mut expected = u32::MAX;
        if offset == 0 {
            if mask >> base & 1 == 1 {
                expected = base;
            }
        } else {
            let (mut position, mut count) = (base as i32, offset.abs() - 1);
            while (0..32).contains(&position) {
                if mask >> position & 1 == 1 {
                    if count == 0 {
                        expected = position as u32;
                        break;
                    }
                    count -= 1;
                }
                position += offset.signum();
            }
        }
        assert_eq!(
            logic::fns(mask, base, offset as u32),
            expected,
            "{mask:#x} {base} {offset}"
        );
    }
}

#[test]
fn carries() {
    for &a in &values(64, 60) {
        for &b in &values(64, 60) {
            for c in [false, true] {
                let (ua, ub, uc) = (u128::from(a), u128::from(b), u128::from(c));
                let sum = ua + ub + uc;
                assert_eq!(carry::addc64(a, b, c), (sum as u64, sum >> 64 != 0));
                assert_eq!(
                    carry::subc64(a, b, c),
                    (ua.wrapping_sub(ub + uc) as u64, ua < ub + uc)
                );
                let (x, y) = (a as u32, b as u32);
                let sum = u64::from(x) + u64::from(y) + u64::from(c);
                assert_eq!(carry::addc32(x, y, c), (sum as u32, sum >> 32 != 0));
                let take = u64::from(y) + u64::from(c);
                assert_eq!(
                    carry::subc32(x, y, c),
                    (u64::from(x).wrapping_sub(take) as u32, u64::from(x) < take)
                );
                let addend = (a ^ b) as u32;
                let low = w(x.wrapping_mul(y)) + w(addend) + u64::from(c);
                assert_eq!(carry::madc_lo32(x, y, addend, c), (low as u32, low >> 32 != 0));
                let high = w(integer::mul_hi_u32(x, y)) + w(addend) + u64::from(c);
                assert_eq!(
                    carry::madc_hi_u32(x, y, addend, c),
                    (high as u32, high >> 32 != 0)
                );
                let high = w(integer::mul_hi_s32(x, y)) + w(addend) + u64::from(c);
                assert_eq!(
                    carry::madc_hi_s32(x, y, addend, c),
                    (high as u32, high >> 32 != 0)
                );
                let high = u128::from(integer::mul_hi_u64(a, b)) + ua + uc;
                assert_eq!(carry::madc_hi_u64(a, b, a, c), (high as u64, high >> 64 != 0));
                let high = u128::from(integer::mul_hi_s64(a, b)) + ua + uc;
                assert_eq!(carry::madc_hi_s64(a, b, a, c), (high as u64, high >> 64 != 0));
                let low = u128::from(a.wrapping_mul(b)) + ub + uc;
                assert_eq!(carry::madc_lo64(a, b, b, c), (low as u64, low >> 64 != 0));
            }
        }
    }
}

#[test]
fn dot_products() {
    let mut random = Random(12);
    for _ in 0..50_000 {
        let (a, b, c) = (random.u32(), random.u32(), random.u32());
        for (a_signed, b_signed) in [(false, false), (false, true), (true, false), (true, true)] {
            let byte = |x: u32, i: u32, s: bool| {
                if s {
                    i64::from((x >> (8 * i)) as i8)
                } else {
                    i64::from((x >> (8 * i)) as u8)
                }
            };
            let half = |i: u32| {
                if a_signed {
                    i64::from((a >> (16 * i)) as i16)
                } else {
                    i64::from((a >> (16 * i)) as u16)
                }
            };
            let four: i64 = (0..4).map(|i| byte(a, i, a_signed) * byte(b, i, b_signed)).sum();
            assert_eq!(
                dot::dp4a(a, b, c, a_signed, b_signed),
                (i64::from(c) + four) as u32
            );
            for hi in [false, true] {
                let two: i64 = (0..2)
                    .map(|i| half(i) * byte(b, i + 2 * u32::from(hi), b_signed))
                    .sum();
                assert_eq!(
                    dot::dp2a(a, b, c, hi, a_signed, b_signed),
                    (i64::from(c) + two) as u32
                );
            }
        }
    }
}

#[test]
fn comparisons_of_integers() {
    use CmpOp::{Eq, Ge, Gt, Hi, Hs, Le, Lo, Ls, Lt, Ne};
    for &a in &values(64, 60) {
        for &b in &values(64, 60) {
            let all = |a: i128, b: i128| {
                [
                    a == b,
                    a != b,
                    a < b,
                    a <= b,
                    a > b,
                    a >= b,
                    a < b,
                    a <= b,
                    a > b,
                    a >= b,
                ]
            };
            let got = |f: &dyn Fn(CmpOp) -> bool| [Eq, Ne, Lt, Le, Gt, Ge, Lo, Ls, Hi, Hs].map(f);
            let (x, y) = (a as u32, b as u32);
            assert_eq!(
                got(&|op| compare::cmp_u16(op, x, y)),
                all(i128::from(x as u16), i128::from(y as u16))
            );
            assert_eq!(
                got(&|op| compare::cmp_s16(op, x, y)),
                all(i128::from(x as i16), i128::from(y as i16))
            );
            assert_eq!(
                got(&|op| compare::cmp_u32(op, x, y)),
                all(i128::from(x), i128::from(y))
            );
            assert_eq!(
                got(&|op| compare::cmp_s32(op, x, y)),
                all(i128::from(x as i32), i128::from(y as i32))
            );
            assert_eq!(
                got(&|op| compare::cmp_u64(op, a, b)),
                all(i128::from(a), i128::from(b))
            );
            assert_eq!(
                got(&|op| compare::cmp_s64(op, a, b)),
                all(i128::from(a as i64), i128::from(b as i64))
            );
        }
    }
}

#[test]
fn atomic_operations() {
    for &a in &values(64, 60) {
        for &b in &values(64, 60) {
            let (x, y) = (a as u32, b as u32);
            let inc = if a >= b { 0 } else { a + 1 };
            let dec = if a == 0 || a > b { b } else { a - 1 };
            let pairs = [
                (AtomOp::Add, a.wrapping_add(b)),
                (AtomOp::MinU, a.min(b)),
                (AtomOp::MaxU, a.max(b)),
                (AtomOp::MinS, (a as i64).min(b as i64) as u64),
                (AtomOp::MaxS, (a as i64).max(b as i64) as u64),
                (AtomOp::And, a & b),
                (AtomOp::Or, a | b),
                (AtomOp::Xor, a ^ b),
                (AtomOp::Exch, b),
                (AtomOp::Inc, inc),
                (AtomOp::Dec, dec),
            ];
            for (op, expected) in pairs {
                assert_eq!(atomics::atom64(op, a, b), expected, "{op:?} {a:#x} {b:#x}");
            }
            assert_eq!(atomics::atom32(AtomOp::Inc, x, y), if x >= y { 0 } else { x + 1 });
            assert_eq!(
                atomics::atom32(AtomOp::Dec, x, y),
                if x == 0 || x > y { y } else { x - 1 }
            );
            assert_eq!(
                atomics::atom32(AtomOp::MinS, x, y) as i32,
                (x as i32).min(y as i32)
            );
            assert_eq!(
                atomics::atom32(AtomOp::MaxS, x, y) as i32,
                (x as i32).max(y as i32)
            );
            assert_eq!(atomics::atom32(AtomOp::MinU, x, y), x.min(y));
            assert_eq!(atomics::atom32(AtomOp::MaxU, x, y), x.max(y));
            assert_eq!(atomics::atom32(AtomOp::Add, x, y), x.wrapping_add(y));
        }
    }
    assert_eq!(atomics::cas32(5, 5, 9), 9);
    assert_eq!(atomics::cas32(5, 6, 9), 5);
    assert_eq!(atomics::cas64(5, 5, 9), 9);
    assert_eq!(atomics::cas64(5, 6, 9), 5);
    assert_eq!(atomics::cas16(0x1_0005, 0x2_0005, 0x3_0009), 9);
    assert_eq!(atomics::cas16(0x1_0005, 0x2_0006, 0x3_0009), 5);
    let tiny = f32::from_bits(1);
    assert_eq!(atomics::add_f32(tiny, tiny, false).to_bits(), 2);
    assert_eq!(atomics::add_f32(tiny, tiny, true).to_bits(), 0);
    assert_eq!(atomics::add_f64(0.5, 0.25), 0.75);
    assert_eq!(atomics::add_f16x2(0x3c00_0001, 0x3c00_0001), 0x4000_0002);
    assert_eq!(atomics::add_bf16x2(0x3f80_0001, 0x3f80_0001), 0x4000_0002);
}
