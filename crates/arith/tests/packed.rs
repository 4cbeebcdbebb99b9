//! Packed integers: every pair of bytes, dense pairs of halves, in every mode; `cvt.pack` against clamping by comparison.

mod common;

use common::Random;
use tessera_arith::packed::{Packed, PackedOp, add_sat_u32, cvt_pack, packed};

/// The value of an element by the definition of two's complement.
fn value(bits: u32, width: u32, signed: bool) -> i64 {
    let value = i64::from(bits);
    if signed && value >= 1 << (width - 1) {
        value - (1 << width)
    } else {
        value
    }
}

fn range(width: u32, signed: bool) -> (i64, i64) {
    if signed {
        (-(1 << (width - 1)), (1 << (width - 1)) - 1)
    } else {
        (0, (1 << width) - 1)
    }
}

fn expected(a: u32, b: u32, width: u32, p: Packed) -> u32 {
    let (x, y) = (value(a, width, p.signed), value(b, width, p.signed));
    let r = match p.op {
        PackedOp::Add => x + y,
        PackedOp::Sub => x - y,
        PackedOp::Min => x.min(y),
        PackedOp::Max => x.max(y),
    };
    let (low, high) = range(width, p.signed);
    let r = if p.sat { r.max(low).min(high) } else { r };
    let r = if p.relu { r.max(0) } else { r };
    r.rem_euclid(1 << width) as u32
}

fn modes() -> Vec<Packed> {
    let mut modes = Vec::new();
    for op in [PackedOp::Add, PackedOp::Sub, PackedOp::Min, PackedOp::Max] {
        for signed in [false, true] {
            for (sat, relu) in [(false, false), (true, false), (false, true)] {
                for bytes in [false, true] {
                    modes.push(Packed {
                        op,
                        bytes,
                        signed,
                        sat,
                        relu,
                    });
                }
            }
        }
    }
    modes
}

#[test]
fn every_pair_of_bytes() {
    for p in modes().into_iter().filter(|p| p.bytes) {
        for a in 0..256u32 {
            for b in 0..256u32 {
                // The same pair in one lane, related ones in the others: lanes must not touch each other.
                let lanes_a = [a, 255 - a, b, a ^ b];
                let lanes_b = [b, a, 255 - b, 128];
                let join = |l: [u32; 4]| l[0] | l[1] << 8 | l[2] << 16 | l[3] << 24;
                let wanted: Vec<u32> = (lanes_a.iter().zip(lanes_b))
                    .map(|(a, b)| expected(*a, b, 8, p))
                    .collect();
                let wanted = join([wanted[0], wanted[1], wanted[2], wanted[3]]);
                assert_eq!(packed(join(lanes_a), join(lanes_b), p), wanted, "{a} {b} {p:?}");
            }
        }
    }
}

#[test]
fn dense_pairs_of_halves() {
    let mut random = Random(7);
    for p in modes().into_iter().filter(|p| !p.bytes) {
        let edges = [0, 1, 2, 0x7ffe, 0x7fff, 0x8000, 0x8001, 0xfffe, 0xffff];
        for a in 0..=0xffffu32 {
            let b = if a % 3 == 0 {
                edges[a as usize % edges.len()]
            } else {
                random.u32() & 0xffff
            };
            let (c, d) = (random.u32() & 0xffff, edges[b as usize % edges.len()]);
            let wanted = expected(a, b, 16, p) | expected(c, d, 16, p) << 16;
            assert_eq!(packed(a | c << 16, b | d << 16, p), wanted, "{a:#x} {b:#x} {p:?}");
        }
    }
}

#[test]
fn saturating_unsigned_words() {
    let mut random = Random(8);
    for _ in 0..100_000 {
        let (a, b) = (random.u32() | random.u32(), random.u32());
        let wanted = (u64::from(a) + u64::from(b)).min(u64::from(u32::MAX));
        assert_eq!(u64::from(add_sat_u32(a, b)), wanted);
    }
    assert_eq!(add_sat_u32(u32::MAX, 1), u32::MAX);
    assert_eq!(add_sat_u32(u32::MAX - 1, 1), u32::MAX);
}

#[test]
fn packing_conversions() {
    let mut random = Random(9);
    let edge = |random: &mut Random| {
        let near = [
            0,
            1,
            2,
            3,
            7,
            8,
            15,
            16,
            127,
            128,
            255,
            256,
            0x7fff,
            0x8000,
            0xffff,
            0x1_0000,
            i32::MAX,
        ];
        let value = near[random.u32() as usize % near.len()];
        match random.u32() % 4 {
            0 => value,
            1 => value.wrapping_neg(),
            2 => value.wrapping_neg().wrapping_sub(1),
            _ => random.u32() as i32,
        }
    };
    for (bits, signed) in [2, 4, 8, 16]
        .into_iter()
        .flat_map(|bits| [(bits, false), (bits, true)])
    {
        let (low, high) = range(bits, signed);
        for _ in 0..20_000 {
            let (a, b, c) = (edge(&mut random), edge(&mut random), random.u32());
            let clamped = |x: i32| (i64::from(x).max(low).min(high).rem_euclid(1 << bits)) as u64;
            let wanted = clamped(b) | clamped(a) << bits | u64::from(c) << (2 * bits);
            assert_eq!(
                cvt_pack(a as u32, b as u32, c, bits, signed),
                wanted as u32,
                "{a} {b} {c:#x} {bits} {signed}"
            );
        }
    }
}
