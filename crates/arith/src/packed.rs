//! Packed integers: `add sub neg min max` on `.u16x2 .s16x2 .u8x4 .s8x4`, and `cvt.pack`.
//!
//! Element 0 lies in the lowest bits. Every element is computed as if alone, in a wider integer, then cut or clamped.

/// What is done to each pair of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PackedOp {
    /// `add`
    Add,
    /// `sub`
    Sub,
    /// `min`
    Min,
    /// `max`
    Max,
}

/// A packed integer operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Packed {
    /// What is done.
    pub op: PackedOp,
    /// Four bytes; else two halves.
    pub bytes: bool,
    /// Signed elements.
    pub signed: bool,
    /// `.sat`: clamps to the range of an element, else wraps.
    pub sat: bool,
    /// `.relu`: negative results become 0.
    pub relu: bool,
}

/// The element of `bits` bits at bit `at`, extended by its sign or with zeros.
#[inline(always)]
#[must_use]
pub const fn element(a: u32, at: u32, bits: u32, signed: bool) -> i32 {
    let top = a << (32 - bits - at);
    if signed {
        (top as i32) >> (32 - bits)
    } else {
        (top >> (32 - bits)) as i32
    }
}

/// Clamps to the range of an integer of `bits` bits (16 at most).
#[inline(always)]
const fn clamp(value: i32, bits: u32, signed: bool) -> i32 {
    let (low, high) = if signed {
        (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    } else {
        (0, (1 << bits) - 1)
    };
    if value < low {
        low
    } else if value > high {
        high
    } else {
        value
    }
}

/// `add{.sat}`, `sub{.sat}`, `min{.relu}`, `max{.relu}` of packed integers.
#[inline(always)]
#[must_use]
pub const fn packed(a: u32, b: u32, p: Packed) -> u32 {
    let bits = if p.bytes { 8 } else { 16 };
    let mut result = 0;
    let mut at = 0;
    while at < 32 {
        let x = element(a, at, bits, p.signed);
        let y = element(b, at, bits, p.signed);
        let r = match p.op {
            PackedOp::Add => x + y,
            PackedOp::Sub => x - y,
            PackedOp::Min if x < y => x,
            PackedOp::Max if x > y => x,
            PackedOp::Min | PackedOp::Max => y,
        };
        let r = if p.sat { clamp(r, bits, p.signed) } else { r };
        let r = if p.relu && r < 0 { 0 } else { r };
        result |= (r as u32 & (u32::MAX >> (32 - bits))) << at;
        at += bits;
    }
    result
}

/// `add.sat.u32`: clamps to the greatest number.
#[inline(always)]
#[must_use]
pub const fn add_sat_u32(a: u32, b: u32) -> u32 {
    a.saturating_add(b)
}

/// `cvt.pack.sat.TYPE.s32{.b32} d, a, b, c`: the low elements of `d` are `b` and `a`, clamped to integers of `bits` bits; above them
/// follow the lowest bits of `c`. Without `c` (16 bits) there is no room for it.
#[inline(always)]
#[must_use]
pub const fn cvt_pack(a: u32, b: u32, c: u32, bits: u32, signed: bool) -> u32 {
    let mask = u32::MAX >> (32 - bits);
    let x = clamp_any(a as i32, bits, signed) & mask;
    let y = clamp_any(b as i32, bits, signed) & mask;
    let both = y | x << bits;
    if bits == 16 { both } else { both | c << (2 * bits) }
}

/// Clamps any 32-bit integer to one of `bits` bits (16 at most).
#[inline(always)]
const fn clamp_any(value: i32, bits: u32, signed: bool) -> u32 {
    clamp(value, bits, signed) as u32
}
