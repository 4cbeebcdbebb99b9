//! Video instructions against the manual's description in unbounded integers.

mod common;

use common::Random;
use num_bigint::BigInt;
use tessera_arith::video::{self, Mad, Part, Second, Simd, Video, VideoOp};

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

const PARTS: [Part; 7] = [
    Part::Word,
    Part::Byte(0),
    Part::Byte(1),
    Part::Byte(2),
    Part::Byte(3),
    Part::Half(0),
    Part::Half(1),
];

fn place(part: Part) -> (u32, u32) {
    match part {
        Part::Word => (0, 32),
        Part::Byte(n) => (8 * n, 8),
        Part::Half(n) => (16 * n, 16),
    }
}

/// An integer of `bits` bits at bit `at`, by the definition of two's complement.
fn integer(a: u32, at: u32, bits: u32, signed: bool) -> BigInt {
    let value = i64::from(a) >> at & ((1i64 << bits) - 1);
    let negative = signed && value >> (bits - 1) & 1 == 1;
    BigInt::from(if negative { value - (1i64 << bits) } else { value })
}

fn clamp(x: BigInt, bits: u32, signed: bool) -> BigInt {
    let one = BigInt::from(1);
    let (low, high) = if signed {
        (-(one.clone() << (bits - 1)), (one << (bits - 1)) - 1)
    } else {
        (BigInt::ZERO, (one << bits) - 1)
    };
    x.max(low).min(high)
}

/// The low `bits` bits of a number, in two's complement.
fn cut(x: &BigInt, bits: u32) -> u64 {
    let modulus = BigInt::from(1) << bits;
    let r = ((x % &modulus) + &modulus) % &modulus;
    u64::try_from(r).expect("64 bits or fewer")
}

fn operate(op: VideoOp, a: &BigInt, b: &BigInt, wrap: bool) -> BigInt {
    let amount = if wrap {
        b % 32
    } else {
        b.clone().min(BigInt::from(32))
    };
    let amount = if matches!(op, VideoOp::Shl | VideoOp::Shr) {
        u32::try_from(amount).expect("not negative")
    } else {
        0
    };
    match op {
        VideoOp::Add => a + b,
        VideoOp::Sub => a - b,
        VideoOp::AbsDiff => (a - b).max(b - a),
        VideoOp::Min => a.min(b).clone(),
        VideoOp::Max => a.max(b).clone(),
        VideoOp::Average => {
            let sum: BigInt = a + b;
            if sum >= BigInt::ZERO {
                (sum + 1) >> 1
            } else {
                sum >> 1
            }
        }
        VideoOp::Shl => {
            let cut = cut(&(a << amount), 34);
            BigInt::from(cut)
                - if cut >> 33 == 1 {
                    BigInt::from(1u64 << 34)
                } else {
                    BigInt::ZERO
                }
        }
        VideoOp::Shr => a >> amount,
        VideoOp::Eq => BigInt::from(u8::from(a == b)),
        VideoOp::Ne => BigInt::from(u8::from(a != b)),
        VideoOp::Lt => BigInt::from(u8::from(a < b)),
        VideoOp::Le => BigInt::from(u8::from(a <= b)),
        VideoOp::Gt => BigInt::from(u8::from(a > b)),
        VideoOp::Ge => BigInt::from(u8::from(a >= b)),
    }
}

fn expected(a: u32, b: u32, c: u32, v: Video) -> u32 {
    let take = |x: u32, (part, signed): (Part, bool)| {
        let (at, bits) = place(part);
        integer(x, at, bits, signed)
    };
    let (at, bits) = place(v.d.0);
    let r = operate(v.op, &take(a, v.a), &take(b, v.b), v.wrap);
    let r = if v.sat { clamp(r, bits, v.d.1) } else { r };
    let third = integer(c, 0, 32, v.d.1);
    match v.second {
        Second::Add => cut(&(r + third), 32) as u32,
        Second::Min => cut(&r.min(third), 32) as u32,
        Second::Max => cut(&r.max(third), 32) as u32,
        Second::None => {
            let mask = ((1u64 << bits) - 1) << at;
            ((cut(&r, bits) << at) | (u64::from(c) & !mask)) as u32
        }
    }
}

/// Numbers with edges in their words, halves and bytes.
fn word(random: &mut Random) -> u32 {
    let x = random.u32();
    let edges = [
        0,
        1,
        0x7f,
        0x80,
        0xff,
        0x7fff,
        0x8000,
        0xffff,
        0x7fff_ffff,
        0x8000_0000,
        u32::MAX,
    ];
    match random.u32() % 4 {
        0 => edges[x as usize % edges.len()],
        1 => x & 0x80ff_7f80 | 0x0100_0000,
        _ => x,
    }
}

fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[random.u32() as usize % from.len()]
}

#[test]
fn scalar() {
    let mut random = Random(21);
    for op in OPS {
        for _ in 0..60_000 {
            let flag = |random: &mut Random| random.u32() & 1 == 1;
            let shift = matches!(op, VideoOp::Shl | VideoOp::Shr);
            let second = pick(
                &mut random,
                &[Second::None, Second::Add, Second::Min, Second::Max],
            );
            let d = if second == Second::None {
                pick(&mut random, &PARTS)
            } else {
                Part::Word
            };
            let v = Video {
                op,
                a: (pick(&mut random, &PARTS), flag(&mut random)),
                b: (pick(&mut random, &PARTS), flag(&mut random) && !shift),
                d: (d, flag(&mut random)),
                sat: flag(&mut random),
                wrap: flag(&mut random),
                second,
            };
            let (a, c) = (word(&mut random), word(&mut random));
            let b = if shift && flag(&mut random) {
                random.u32() % 40
            } else {
                word(&mut random)
            };
            assert_eq!(
                video::scalar(a, b, c, v),
                expected(a, b, c, v),
                "{a:#x} {b:#x} {c:#x} {v:?}"
            );
        }
    }
}

#[test]
fn packed() {
    let mut random = Random(22);
    for op in OPS
        .into_iter()
        .filter(|op| !matches!(op, VideoOp::Shl | VideoOp::Shr))
    {
        for _ in 0..40_000 {
            let flag = |random: &mut Random| random.u32() & 1 == 1;
            let v = Simd {
                op,
                bytes: flag(&mut random),
                signed: (flag(&mut random), flag(&mut random), flag(&mut random)),
                sat: flag(&mut random),
                accumulate: flag(&mut random),
                mask: random.u32() & 15,
            };
            let (a, b, c) = (word(&mut random), word(&mut random), word(&mut random));
            let bits = if v.bytes { 8 } else { 16 };
            let mut merged = 0u64;
            let mut sum = BigInt::from(c);
            for i in 0..32 / bits {
                let at = i * bits;
                let r = operate(
                    op,
                    &integer(a, at, bits, v.signed.0),
                    &integer(b, at, bits, v.signed.1),
                    false,
                );
                let r = if v.sat { clamp(r, bits, v.signed.2) } else { r };
                let wanted = v.mask >> i & 1 == 1;
                merged |= if wanted {
                    cut(&r, bits) << at
                } else {
                    u64::from(c) & (((1u64 << bits) - 1) << at)
                };
                sum += if wanted { r } else { BigInt::ZERO };
            }
            let wanted = if v.accumulate { cut(&sum, 32) } else { merged };
            assert_eq!(
                u64::from(video::simd(a, b, c, v)),
                wanted,
                "{a:#x} {b:#x} {c:#x} {v:?}"
            );
        }
    }
}

#[test]
fn multiply_add() {
    let mut random = Random(23);
    for _ in 0..300_000 {
        let flag = |random: &mut Random| random.u32() & 1 == 1;
        let form = random.u32() % 4;
        let v = Mad {
            a: (pick(&mut random, &PARTS), flag(&mut random)),
            b: (pick(&mut random, &PARTS), flag(&mut random)),
            negate_product: form == 1,
            negate_c: form == 2,
            plus_one: form == 3,
            sat: flag(&mut random),
            shift: pick(&mut random, &[0, 7, 15]),
        };
        let (a, b, c) = (word(&mut random), word(&mut random), word(&mut random));
        let take = |x: u32, (part, signed): (Part, bool)| {
            let (at, bits) = place(part);
            integer(x, at, bits, signed)
        };
        let product_signed = v.a.1 || v.b.1 || v.negate_product;
        let mut sum = take(a, v.a) * take(b, v.b);
        if v.negate_product {
            sum = -sum;
        }
        let third = integer(c, 0, 32, product_signed);
        sum += if v.negate_c { -third } else { third };
        sum += i32::from(v.plus_one);
        let r = sum >> v.shift;
        let r = if v.sat {
            clamp(r, 32, product_signed || v.negate_c)
        } else {
            r
        };
        assert_eq!(
            u64::from(video::mad(a, b, c, v)),
            cut(&r, 32),
            "{a:#x} {b:#x} {c:#x} {v:?}"
        );
    }
}
