//! Video instructions: `vadd vsub vabsdiff vmin vmax vshl vshr vset vmad` on selected parts of registers, and the forms on two halves
//! or four bytes at once.
//!
//! Intermediate values are the manual's: 33-bit operands, 34-bit results. A second operation (`.add .min .max`) sees the result before
//! it is cut to 32 bits.

use crate::packed::element;

/// Which part of a register an operand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// All of it.
    Word,
    /// `.b0` to `.b3`
    Byte(u32),
    /// `.h0`, `.h1`
    Half(u32),
}

impl Part {
    /// Its first bit and how many it has.
    const fn range(self) -> (u32, u32) {
        match self {
            Self::Word => (0, 32),
            Self::Byte(n) => (8 * (n & 3), 8),
            Self::Half(n) => (16 * (n & 1), 16),
        }
    }

    /// The part of `a`, extended as its type says.
    #[inline(always)]
    #[must_use]
    pub const fn of(self, a: u32, signed: bool) -> i64 {
        let (at, bits) = self.range();
        if matches!(self, Self::Word) {
            return if signed { a as i32 as i64 } else { a as i64 };
        }
        element(a, at, bits, signed) as i64
    }
}

/// The operation of a video instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VideoOp {
    /// `vadd`
    Add,
    /// `vsub`
    Sub,
    /// `vabsdiff`
    AbsDiff,
    /// `vmin`
    Min,
    /// `vmax`
    Max,
    /// `vavrg`: the mean, rounded away from zero (only packed).
    Average,
    /// `vshl` (only scalar).
    Shl,
    /// `vshr` (only scalar).
    Shr,
    /// `vset.eq`
    Eq,
    /// `vset.ne`
    Ne,
    /// `vset.lt`
    Lt,
    /// `vset.le`
    Le,
    /// `vset.gt`
    Gt,
    /// `vset.ge`
    Ge,
}

/// What becomes of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Second {
    /// It is merged into `c`, or written where there is no part of the destination.
    None,
    /// `.add`: plus `c`.
    Add,
    /// `.min`: the lesser of it and `c`.
    Min,
    /// `.max`: the greater of it and `c`.
    Max,
}

/// A scalar video instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Video {
    /// The operation.
    pub op: VideoOp,
    /// Which part of `a`, and whether it is signed.
    pub a: (Part, bool),
    /// Which part of `b`, and whether it is signed.
    pub b: (Part, bool),
    /// Which part of the destination, and whether the result is signed.
    pub d: (Part, bool),
    /// `.sat`: clamps to the part of the destination.
    pub sat: bool,
    /// `.wrap` of a shift, else `.clamp`.
    pub wrap: bool,
    /// What follows.
    pub second: Second,
}

/// The result of `op` on two operands of 33 bits.
#[inline(always)]
const fn operate(op: VideoOp, a: i64, b: i64, wrap: bool) -> i64 {
    let amount = match (wrap, b) {
        (true, b) => (b & 31) as u32,
        (false, 0..=31) => b as u32,
        (false, _) => 32,
    };
    match op {
        VideoOp::Add => a + b,
        VideoOp::Sub => a - b,
        VideoOp::AbsDiff => (a - b).abs(),
        VideoOp::Min => {
            if a < b {
                a
            } else {
                b
            }
        }
        VideoOp::Max => {
            if a > b {
                a
            } else {
                b
            }
        }
        VideoOp::Average => {
            let sum = a + b;
            if sum >= 0 { (sum + 1) >> 1 } else { sum >> 1 }
        }
        // Cut to the 34 bits of the intermediate result, of which the last is a sign.
        VideoOp::Shl => ((((a as i128) << amount) as i64) << 30) >> 30,
        VideoOp::Shr => a >> amount,
        VideoOp::Eq => (a == b) as i64,
        VideoOp::Ne => (a != b) as i64,
        VideoOp::Lt => (a < b) as i64,
        VideoOp::Le => (a <= b) as i64,
        VideoOp::Gt => (a > b) as i64,
        VideoOp::Ge => (a >= b) as i64,
    }
}

/// Clamps to an integer of `bits` bits.
#[inline(always)]
const fn saturate(value: i64, bits: u32, signed: bool) -> i64 {
    let (low, high) = if signed {
        (-(1i64 << (bits - 1)), (1i64 << (bits - 1)) - 1)
    } else {
        (0, (1i64 << bits) - 1)
    };
    if value < low {
        low
    } else if value > high {
        high
    } else {
        value
    }
}

/// A scalar video instruction. `c` is looked at by a second operation and by a merge.
#[inline(always)]
#[must_use]
pub const fn scalar(a: u32, b: u32, c: u32, v: Video) -> u32 {
    let result = operate(v.op, v.a.0.of(a, v.a.1), v.b.0.of(b, v.b.1), v.wrap);
    let (part, signed) = v.d;
    let (at, bits) = part.range();
    let result = if v.sat {
        saturate(result, bits, signed)
    } else {
        result
    };
    let third = Part::Word.of(c, signed);
    match v.second {
        Second::Add => (result + third) as u32,
        Second::Min => (if result < third { result } else { third }) as u32,
        Second::Max => (if result > third { result } else { third }) as u32,
        Second::None if bits == 32 => result as u32,
        Second::None => {
            let mask = (u32::MAX >> (32 - bits)) << at;
            (result as u32) << at & mask | c & !mask
        }
    }
}

/// A video instruction on all elements at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Simd {
    /// The operation.
    pub op: VideoOp,
    /// Four bytes; else two halves.
    pub bytes: bool,
    /// Signedness of `a`, of `b` and of the result.
    pub signed: (bool, bool, bool),
    /// `.sat`: clamps to an element.
    pub sat: bool,
    /// `.add`: the sum of the elements and `c`; else elements outside the mask are those of `c`.
    pub accumulate: bool,
    /// Which elements of the destination: bit `i` for element `i`.
    pub mask: u32,
}

/// A video instruction on elements that were already brought to their places.
#[inline(always)]
#[must_use]
pub const fn simd(a: u32, b: u32, c: u32, v: Simd) -> u32 {
    let bits = if v.bytes { 8 } else { 16 };
    let mut result = if v.accumulate { c } else { 0 };
    let mut i = 0;
    while i * bits < 32 {
        let at = i * bits;
        let field = (u32::MAX >> (32 - bits)) << at;
        let x = element(a, at, bits, v.signed.0) as i64;
        let y = element(b, at, bits, v.signed.1) as i64;
        let r = operate(v.op, x, y, false);
        let r = if v.sat { saturate(r, bits, v.signed.2) } else { r };
        let wanted = v.mask >> i & 1 != 0;
        result = match (v.accumulate, wanted) {
            (true, true) => result.wrapping_add(r as u32),
            (true, false) => result,
            (false, true) => result | (r as u32) << at & field,
            (false, false) => result | c & field,
        };
        i += 1;
    }
    result
}

/// `vmad`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mad {
    /// Which part of `a`, and whether it is signed.
    pub a: (Part, bool),
    /// Which part of `b`, and whether it is signed.
    pub b: (Part, bool),
    /// The product is negated.
    pub negate_product: bool,
    /// `c` is negated.
    pub negate_c: bool,
    /// `.po`: plus one.
    pub plus_one: bool,
    /// `.sat`
    pub sat: bool,
    /// 0, or 7 or 15: by how much the result is shifted right.
    pub shift: u32,
}

/// `vmad d, {-}a, {-}b, {-}c`: the product plus `c`, shifted right, clamped.
#[inline(always)]
#[must_use]
pub const fn mad(a: u32, b: u32, c: u32, v: Mad) -> u32 {
    let product = v.a.0.of(a, v.a.1) as i128 * v.b.0.of(b, v.b.1) as i128;
    let signed = v.a.1 || v.b.1 || v.negate_product || v.negate_c;
    // `c` has the sign of the product, the result may have one more reason to be signed.
    let third = Part::Word.of(c, v.a.1 || v.b.1 || v.negate_product) as i128;
    let product = if v.negate_product { -product } else { product };
    let third = if v.negate_c { -third } else { third };
    let sum = product + third + v.plus_one as i128;
    let result = sum >> v.shift;
    if !v.sat {
        return result as u32;
    }
    let (low, high) = if signed {
        (i32::MIN as i128, i32::MAX as i128)
    } else {
        (0, u32::MAX as i128)
    };
    (if result < low {
        low
    } else if result > high {
        high
    } else {
        result
    }) as u32
}
