//! The immediates of packed integers, video instructions and tiny floats: how the modes of `tessera-arith` travel in 32 bits.
//!
//! Every mode is written by one function and read by another; a test runs through all of them.

use tessera_arith::convert::Tiny;
use tessera_arith::packed::{Packed, PackedOp};
use tessera_arith::video::{Mad, Part, Second, Simd, Video, VideoOp};

/// Where the tiny format lies; the flags of [`super::modifiers`] keep their places.
pub(crate) const TINY: u32 = 8;

const TINIES: [Tiny; 5] = [Tiny::E4m3, Tiny::E5m2, Tiny::E2m3, Tiny::E3m2, Tiny::E2m1];
const OPS: [VideoOp; 14] = [
    VideoOp::Add,
    VideoOp::Sub,
    VideoOp::AbsDiff,
    VideoOp::Min,
    VideoOp::Max,
    VideoOp::Average,
    VideoOp::Shl,
    VideoOp::Shr,
    VideoOp::Eq,
    VideoOp::Ne,
    VideoOp::Lt,
    VideoOp::Le,
    VideoOp::Gt,
    VideoOp::Ge,
];
const PARTS: [Part; 8] = [
    Part::Word,
    Part::Byte(0),
    Part::Byte(1),
    Part::Byte(2),
    Part::Byte(3),
    Part::Half(0),
    Part::Half(1),
    Part::Word,
];
const SECONDS: [Second; 4] = [Second::None, Second::Add, Second::Min, Second::Max];

const fn flag(on: bool, bit: u32) -> u32 {
    (on as u32) << bit
}

const fn has(x: u32, bit: u32) -> bool {
    x >> bit & 1 != 0
}

pub(crate) const fn tiny_bits(format: Tiny) -> u32 {
    (format as u32) << TINY
}

#[inline(always)]
pub(crate) const fn tiny(x: u32) -> Tiny {
    let n = (x >> TINY & 7) as usize;
    TINIES[if n < TINIES.len() { n } else { 0 }]
}

pub(crate) const fn packed_bits(p: Packed) -> u32 {
    p.op as u32 | flag(p.bytes, 2) | flag(p.signed, 3) | flag(p.sat, 4) | flag(p.relu, 5)
}

#[inline(always)]
pub(crate) const fn packed(x: u32) -> Packed {
    Packed {
        op: match x & 3 {
            0 => PackedOp::Add,
            1 => PackedOp::Sub,
            2 => PackedOp::Min,
            _ => PackedOp::Max,
        },
        bytes: has(x, 2),
        signed: has(x, 3),
        sat: has(x, 4),
        relu: has(x, 5),
    }
}

const fn part_bits(part: Part) -> u32 {
    match part {
        Part::Word => 0,
        Part::Byte(n) => 1 + (n & 3),
        Part::Half(n) => 5 + (n & 1),
    }
}

/// A part and its signedness, in 4 bits.
const fn operand_bits((part, signed): (Part, bool), at: u32) -> u32 {
    (part_bits(part) | flag(signed, 3)) << at
}

#[inline(always)]
const fn operand(x: u32, at: u32) -> (Part, bool) {
    (PARTS[(x >> at & 7) as usize], has(x, at + 3))
}

#[inline(always)]
const fn op(x: u32) -> VideoOp {
    let n = (x & 15) as usize;
    OPS[if n < OPS.len() { n } else { 0 }]
}

pub(crate) const fn video_bits(v: Video) -> u32 {
    v.op as u32
        | operand_bits(v.a, 4)
        | operand_bits(v.b, 8)
        | operand_bits(v.d, 12)
        | flag(v.sat, 16)
        | flag(v.wrap, 17)
        | (v.second as u32) << 18
}

#[inline(always)]
pub(crate) const fn video(x: u32) -> Video {
    Video {
        op: op(x),
        a: operand(x, 4),
        b: operand(x, 8),
        d: operand(x, 12),
        sat: has(x, 16),
        wrap: has(x, 17),
        second: SECONDS[(x >> 18 & 3) as usize],
    }
}

pub(crate) const fn simd_bits(v: Simd) -> u32 {
    v.op as u32
        | flag(v.bytes, 4)
        | flag(v.signed.0, 5)
        | flag(v.signed.1, 6)
        | flag(v.signed.2, 7)
        | flag(v.sat, 8)
        | flag(v.accumulate, 9)
        | (v.mask & 15) << 10
}

#[inline(always)]
pub(crate) const fn simd(x: u32) -> Simd {
    Simd {
        op: op(x),
        bytes: has(x, 4),
        signed: (has(x, 5), has(x, 6), has(x, 7)),
        sat: has(x, 8),
        accumulate: has(x, 9),
        mask: x >> 10 & 15,
    }
}

pub(crate) const fn mad_bits(v: Mad) -> u32 {
    operand_bits(v.a, 0)
        | operand_bits(v.b, 4)
        | flag(v.negate_product, 8)
        | flag(v.negate_c, 9)
        | flag(v.plus_one, 10)
        | flag(v.sat, 11)
        | v.shift << 12
}

#[inline(always)]
pub(crate) const fn mad(x: u32) -> Mad {
    Mad {
        a: operand(x, 0),
        b: operand(x, 4),
        negate_product: has(x, 8),
        negate_c: has(x, 9),
        plus_one: has(x, 10),
        sat: has(x, 11),
        shift: x >> 12 & 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every immediate that a mode is written as is read as that mode.
    #[test]
    fn modes_survive_the_immediate() {
        for x in 0..1 << 6 {
            assert_eq!(packed_bits(packed(x)), x);
        }
        for x in (0..1u32 << 20).filter(|x| x & 15 < 14) {
            assert_eq!(video(video_bits(video(x))), video(x));
        }
        for x in (0..1u32 << 14).filter(|x| x & 15 < 14) {
            assert_eq!(simd_bits(simd(x)), x);
        }
        for x in 0..1u32 << 17 {
            assert_eq!(mad(mad_bits(mad(x))), mad(x));
        }
        for format in TINIES {
            assert_eq!(tiny(tiny_bits(format)), format);
        }
        for op in OPS {
            assert_eq!(OPS[op as usize], op);
        }
        for second in SECONDS {
            assert_eq!(SECONDS[second as usize], second);
        }
    }
}
