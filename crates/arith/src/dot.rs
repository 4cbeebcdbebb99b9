//! Dot products with accumulation: `dp4a`, `dp2a`. Sums wrap in 32 bits.

/// Byte `i` of `a`, extended to 32 bits as the type says.
#[inline(always)]
const fn byte(a: u32, i: u32, signed: bool) -> u32 {
    let b = a >> (8 * i);
    if signed {
        b as u8 as i8 as i32 as u32
    } else {
        b & 0xff
    }
}

/// Half-word `i` of `a`, extended to 32 bits as the type says.
#[inline(always)]
const fn half(a: u32, i: u32, signed: bool) -> u32 {
    let h = a >> (16 * i);
    if signed {
        h as u16 as i16 as i32 as u32
    } else {
        h & 0xffff
    }
}

/// `dp4a.atype.btype`: `c` plus the four products of bytes of `a` and `b`; signedness per operand.
#[inline(always)]
#[must_use]
pub const fn dp4a(a: u32, b: u32, c: u32, a_signed: bool, b_signed: bool) -> u32 {
    let p0 = byte(a, 0, a_signed).wrapping_mul(byte(b, 0, b_signed));
    let p1 = byte(a, 1, a_signed).wrapping_mul(byte(b, 1, b_signed));
    let p2 = byte(a, 2, a_signed).wrapping_mul(byte(b, 2, b_signed));
    let p3 = byte(a, 3, a_signed).wrapping_mul(byte(b, 3, b_signed));
    c.wrapping_add(p0)
        .wrapping_add(p1)
        .wrapping_add(p2)
        .wrapping_add(p3)
}

/// `dp2a.{lo,hi}.atype.btype`: `c` plus the two products of half-words of `a` and bytes of `b` (0 and 1, or 2 and 3 with `hi`).
#[inline(always)]
#[must_use]
pub const fn dp2a(a: u32, b: u32, c: u32, hi: bool, a_signed: bool, b_signed: bool) -> u32 {
    let first = if hi { 2 } else { 0 };
    let p0 = half(a, 0, a_signed).wrapping_mul(byte(b, first, b_signed));
    let p1 = half(a, 1, a_signed).wrapping_mul(byte(b, first + 1, b_signed));
    c.wrapping_add(p0).wrapping_add(p1)
}
