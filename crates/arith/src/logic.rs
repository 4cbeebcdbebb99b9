//! Logic, shifts and bit fields: `and or xor not cnot lop3 shl shr shf prmt bfe bfi bfind bmsk szext brev clz popc fns`.
//!
//! Shift amounts above the width clamp to the width (PTX), they do not wrap (Rust).

use crate::integer::{sx16, zx16};

/// `cnot.b16`: 1 where the value is 0, else 0.
#[inline(always)]
#[must_use]
pub const fn cnot16(a: u32) -> u32 {
    (zx16(a) == 0) as u32
}

/// `cnot.b32`
#[inline(always)]
#[must_use]
pub const fn cnot32(a: u32) -> u32 {
    (a == 0) as u32
}

/// `cnot.b64`
#[inline(always)]
#[must_use]
pub const fn cnot64(a: u64) -> u64 {
    (a == 0) as u64
}

/// `not.b16`
#[inline(always)]
#[must_use]
pub const fn not16(a: u32) -> u32 {
    zx16(!a)
}

/// `lop3.b32`: bit `i` of the result is bit `(a_i << 2) | (b_i << 1) | c_i` of `lut`.
#[inline(always)]
#[must_use]
pub const fn lop3(a: u32, b: u32, c: u32, lut: u8) -> u32 {
    let mut result = 0;
    let mut minterm = 0;
    while minterm < 8 {
        let x = if minterm & 4 != 0 { a } else { !a };
        let y = if minterm & 2 != 0 { b } else { !b };
        let z = if minterm & 1 != 0 { c } else { !c };
        let chosen = if (lut >> minterm) & 1 != 0 { u32::MAX } else { 0 };
        result |= x & y & z & chosen;
        minterm += 1;
    }
    result
}

/// `shl.b16`
#[inline(always)]
#[must_use]
pub const fn shl16(a: u32, n: u32) -> u32 {
    if n > 15 { 0 } else { zx16(a << (n & 15)) }
}

/// `shl.b32`
#[inline(always)]
#[must_use]
pub const fn shl32(a: u32, n: u32) -> u32 {
    if n > 31 { 0 } else { a << (n & 31) }
}

/// `shl.b64`
#[inline(always)]
#[must_use]
pub const fn shl64(a: u64, n: u32) -> u64 {
    if n > 63 { 0 } else { a << (n & 63) }
}

/// `shr.{u16,b16}`
#[inline(always)]
#[must_use]
pub const fn shr_u16(a: u32, n: u32) -> u32 {
    if n > 15 { 0 } else { zx16(a) >> (n & 15) }
}

/// `shr.s16`: fills with the sign.
#[inline(always)]
#[must_use]
pub const fn shr_s16(a: u32, n: u32) -> u32 {
    zx16((sx16(a) >> if n > 15 { 15 } else { n }) as u32)
}

/// `shr.{u32,b32}`
#[inline(always)]
#[must_use]
pub const fn shr_u32(a: u32, n: u32) -> u32 {
    if n > 31 { 0 } else { a >> (n & 31) }
}

/// `shr.s32`: fills with the sign.
#[inline(always)]
#[must_use]
pub const fn shr_s32(a: u32, n: u32) -> u32 {
    ((a as i32) >> if n > 31 { 31 } else { n }) as u32
}

/// `shr.{u64,b64}`
#[inline(always)]
#[must_use]
pub const fn shr_u64(a: u64, n: u32) -> u64 {
    if n > 63 { 0 } else { a >> (n & 63) }
}

/// `shr.s64`: fills with the sign.
#[inline(always)]
#[must_use]
pub const fn shr_s64(a: u64, n: u32) -> u64 {
    ((a as i64) >> if n > 63 { 63 } else { n }) as u64
}

/// The shift amount of `shf`: modulo 32 for `.wrap`, at most 32 for `.clamp`.
#[inline(always)]
const fn shf_amount(n: u32, clamp: bool) -> u32 {
    if !clamp {
        n & 31
    } else if n > 32 {
        32
    } else {
        n
    }
}

/// `shf.l.{clamp,wrap}.b32`: the high word of `{b,a} << n`.
#[inline(always)]
#[must_use]
pub const fn shf_l(a: u32, b: u32, n: u32, clamp: bool) -> u32 {
    let both = ((b as u64) << 32) | a as u64;
    ((both << shf_amount(n, clamp)) >> 32) as u32
}

/// `shf.r.{clamp,wrap}.b32`: the low word of `{b,a} >> n`.
#[inline(always)]
#[must_use]
pub const fn shf_r(a: u32, b: u32, n: u32, clamp: bool) -> u32 {
    let both = ((b as u64) << 32) | a as u64;
    (both >> shf_amount(n, clamp)) as u32
}

/// The mode of `prmt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PermuteMode {
    /// No mode: the selector names a byte (and sign replication) per byte of the result.
    Default,
    /// `.f4e`: forward extract.
    F4e,
    /// `.b4e`: backward extract.
    B4e,
    /// `.rc8`: replicate 8 bits.
    Rc8,
    /// `.ecl`: edge clamp left.
    Ecl,
    /// `.ecr`: edge clamp right.
    Ecr,
    /// `.rc16`: replicate 16 bits.
    Rc16,
}

/// `prmt.b32{.mode}`: picks four of the eight bytes of `{b,a}`.
///
/// Without a mode the low 16 bits of `c` are four selectors of 4 bits: bits 0..3 the byte, bit 3 replicates that byte's sign.
#[inline(always)]
#[must_use]
pub const fn prmt(a: u32, b: u32, c: u32, mode: PermuteMode) -> u32 {
    let selector = permute_selector(c, mode);
    let both = ((b as u64) << 32) | a as u64;
    let mut result = 0;
    let mut i = 0;
    while i < 4 {
        let s = selector >> (4 * i);
        let byte = (both >> (8 * (s & 7))) as u8;
        let sign = (byte as i8 >> 7) as u8;
        let byte = if s & 8 != 0 { sign } else { byte };
        result |= (byte as u32) << (8 * i);
        i += 1;
    }
    result
}

/// The selector of the default mode that does the same as `mode` with control `c` (only its two low bits count).
#[inline(always)]
const fn permute_selector(c: u32, mode: PermuteMode) -> u32 {
    const F4E: [u32; 4] = [0x3210, 0x4321, 0x5432, 0x6543];
    const B4E: [u32; 4] = [0x5670, 0x6701, 0x7012, 0x0123];
    const RC8: [u32; 4] = [0x0000, 0x1111, 0x2222, 0x3333];
    const ECL: [u32; 4] = [0x3210, 0x3211, 0x3222, 0x3333];
    const ECR: [u32; 4] = [0x0000, 0x1110, 0x2210, 0x3210];
    const RC16: [u32; 4] = [0x1010, 0x3232, 0x1010, 0x3232];
    let row = (c & 3) as usize;
    match mode {
        PermuteMode::Default => c,
        PermuteMode::F4e => F4E[row],
        PermuteMode::B4e => B4E[row],
        PermuteMode::Rc8 => RC8[row],
        PermuteMode::Ecl => ECL[row],
        PermuteMode::Ecr => ECR[row],
        PermuteMode::Rc16 => RC16[row],
    }
}

/// `bfe.u32`: `len` bits of `a` from bit `pos`; only the low 8 bits of `pos` and `len` count.
#[inline(always)]
#[must_use]
pub const fn bfe_u32(a: u32, pos: u32, len: u32) -> u32 {
    let len = len & 0xff;
    let field = shr_u32(a, pos & 0xff);
    if len > 31 {
        field
    } else {
        field & !(u32::MAX << (len & 31))
    }
}

/// `bfe.s32`: as `bfe.u32`, sign-extended from the field's top bit, or from bit 31 where the field reaches beyond it.
#[inline(always)]
#[must_use]
pub const fn bfe_s32(a: u32, pos: u32, len: u32) -> u32 {
    let (pos, len) = (pos & 0xff, len & 0xff);
    if len == 0 {
        return 0;
    }
    // The field's top bit, clamped to bit 31; everything above it in the result is a copy of it.
    let top = if pos + len - 1 > 31 { 31 } else { pos + len - 1 };
    let up = 31 - top;
    let keep = if pos > top { 31 } else { up + pos };
    (((a << up) as i32) >> keep) as u32
}

/// `bfe.u64`
#[inline(always)]
#[must_use]
pub const fn bfe_u64(a: u64, pos: u32, len: u32) -> u64 {
    let len = len & 0xff;
    let field = shr_u64(a, pos & 0xff);
    if len > 63 {
        field
    } else {
        field & !(u64::MAX << (len & 63))
    }
}

/// `bfe.s64`
#[inline(always)]
#[must_use]
pub const fn bfe_s64(a: u64, pos: u32, len: u32) -> u64 {
    let (pos, len) = (pos & 0xff, len & 0xff);
    if len == 0 {
        return 0;
    }
    let top = if pos + len - 1 > 63 { 63 } else { pos + len - 1 };
    let up = 63 - top;
    let keep = if pos > top { 63 } else { up + pos };
    (((a << up) as i64) >> keep) as u64
}

/// `bfi.b32`: inserts the low `len` bits of `a` into `b` at bit `pos`; only the low 8 bits of `pos` and `len` count.
#[inline(always)]
#[must_use]
pub const fn bfi32(a: u32, b: u32, pos: u32, len: u32) -> u32 {
    let (pos, len) = (pos & 0xff, len & 0xff);
    let ones = if len > 31 {
        u32::MAX
    } else {
        !(u32::MAX << (len & 31))
    };
    let mask = shl32(ones, pos);
    (b & !mask) | (shl32(a, pos) & mask)
}

/// `bfi.b64`
#[inline(always)]
#[must_use]
pub const fn bfi64(a: u64, b: u64, pos: u32, len: u32) -> u64 {
    let (pos, len) = (pos & 0xff, len & 0xff);
    let ones = if len > 63 {
        u64::MAX
    } else {
        !(u64::MAX << (len & 63))
    };
    let mask = shl64(ones, pos);
    (b & !mask) | (shl64(a, pos) & mask)
}

/// `bfind{.shiftamt}.u32`: the position of the most significant 1, all ones where there is none.
/// With `shiftamt` the left shift that brings it to bit 31.
#[inline(always)]
#[must_use]
pub const fn bfind_u32(a: u32, shiftamt: bool) -> u32 {
    if a == 0 {
        u32::MAX
    } else if shiftamt {
        a.leading_zeros()
    } else {
        31 - a.leading_zeros()
    }
}

/// `bfind{.shiftamt}.s32`: the most significant bit that differs from the sign; all ones for 0 and -1.
#[inline(always)]
#[must_use]
pub const fn bfind_s32(a: u32, shiftamt: bool) -> u32 {
    bfind_u32(a ^ (((a as i32) >> 31) as u32), shiftamt)
}

/// `bfind{.shiftamt}.u64`
#[inline(always)]
#[must_use]
pub const fn bfind_u64(a: u64, shiftamt: bool) -> u32 {
    if a == 0 {
        u32::MAX
    } else if shiftamt {
        a.leading_zeros()
    } else {
        63 - a.leading_zeros()
    }
}

/// `bfind{.shiftamt}.s64`
#[inline(always)]
#[must_use]
pub const fn bfind_s64(a: u64, shiftamt: bool) -> u32 {
    bfind_u64(a ^ (((a as i64) >> 63) as u64), shiftamt)
}

/// `bmsk.{clamp,wrap}.b32`: `width` ones from bit `pos`. `.wrap` takes both modulo 32, `.clamp` limits both to 32.
#[inline(always)]
#[must_use]
pub const fn bmsk(pos: u32, width: u32, clamp: bool) -> u32 {
    let (pos, width) = if clamp {
        (pos, width)
    } else {
        (pos & 31, width & 31)
    };
    let ones = if width > 31 {
        u32::MAX
    } else {
        !(u32::MAX << (width & 31))
    };
    shl32(ones, pos)
}

/// `szext.{clamp,wrap}.u32`: keeps the low `n` bits. `n` modulo 32 for `.wrap`, at most 32 for `.clamp`.
#[inline(always)]
#[must_use]
pub const fn szext_u32(a: u32, n: u32, clamp: bool) -> u32 {
    let n = if clamp { n } else { n & 31 };
    if n > 31 { a } else { a & !(u32::MAX << (n & 31)) }
}

/// `szext.{clamp,wrap}.s32`: sign-extends the low `n` bits; 0 where `n` is 0.
#[inline(always)]
#[must_use]
pub const fn szext_s32(a: u32, n: u32, clamp: bool) -> u32 {
    let n = if clamp { n } else { n & 31 };
    if n == 0 {
        0
    } else if n > 31 {
        a
    } else {
        (((a << (32 - n)) as i32) >> (32 - n)) as u32
    }
}

/// `brev.b32`
#[inline(always)]
#[must_use]
pub const fn brev32(a: u32) -> u32 {
    a.reverse_bits()
}

/// `brev.b64`
#[inline(always)]
#[must_use]
pub const fn brev64(a: u64) -> u64 {
    a.reverse_bits()
}

/// `clz.b32`: 32 for 0.
#[inline(always)]
#[must_use]
pub const fn clz32(a: u32) -> u32 {
    a.leading_zeros()
}

/// `clz.b64`: 64 for 0. The result is a 32-bit value.
#[inline(always)]
#[must_use]
pub const fn clz64(a: u64) -> u32 {
    a.leading_zeros()
}

/// `popc.b32`
#[inline(always)]
#[must_use]
pub const fn popc32(a: u32) -> u32 {
    a.count_ones()
}

/// `popc.b64`. The result is a 32-bit value.
#[inline(always)]
#[must_use]
pub const fn popc64(a: u64) -> u32 {
    a.count_ones()
}

/// `fns.b32`: the position of the `offset`-th set bit of `mask` counted from bit `base` upwards (`offset` > 0) or downwards
/// (`offset` < 0), the bit at `base` being the first; `base` itself where `offset` is 0 and that bit is set. All ones where there is none.
#[inline(always)]
#[must_use]
pub const fn fns(mask: u32, base: u32, offset: u32) -> u32 {
    if base > 31 {
        return u32::MAX;
    }
    let offset = offset as i32;
    if offset == 0 {
        return if mask & (1 << base) != 0 { base } else { u32::MAX };
    }
    let up = offset > 0;
    let mut rest = if up {
        mask & (u32::MAX << base)
    } else {
        mask & (u32::MAX >> (31 - base))
    };
    let mut left = offset.unsigned_abs();
    while rest != 0 {
        let bit = if up {
            rest.trailing_zeros()
        } else {
            31 - rest.leading_zeros()
        };
        left -= 1;
        if left == 0 {
            return bit;
        }
        rest &= !(1 << bit);
    }
    u32::MAX
}
