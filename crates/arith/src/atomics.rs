//! What an atomic operation writes, given what memory holds: the combining function of each `atom` and `red`.
//!
//! `old` is the value in memory, `b` the operand. Making it atomic is the caller's.

use crate::Rounding;

/// An operation of `atom` and `red` on integers of 32 or 64 bits. `cas` has three operands: see [`cas32`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AtomOp {
    /// `.add`
    Add,
    /// `.min` on `.u`
    MinU,
    /// `.max` on `.u`
    MaxU,
    /// `.min` on `.s`
    MinS,
    /// `.max` on `.s`
    MaxS,
    /// `.and`
    And,
    /// `.or`
    Or,
    /// `.xor`
    Xor,
    /// `.exch`
    Exch,
    /// `.inc`: 0 where `old >= b`, else `old + 1`.
    Inc,
    /// `.dec`: `b` where `old` is 0 or above `b`, else `old - 1`.
    Dec,
}

macro_rules! atom {
    ($name:ident, $cas:ident, $uty:ty, $sty:ty) => {
        /// The value that `op` leaves in memory.
        #[inline(always)]
        #[must_use]
        pub const fn $name(op: AtomOp, old: $uty, b: $uty) -> $uty {
            match op {
                AtomOp::Add => old.wrapping_add(b),
                AtomOp::MinU => {
                    if b < old {
                        b
                    } else {
                        old
                    }
                }
                AtomOp::MaxU => {
                    if b > old {
                        b
                    } else {
                        old
                    }
                }
                AtomOp::MinS => {
                    if (b as $sty) < (old as $sty) {
                        b
                    } else {
                        old
                    }
                }
                AtomOp::MaxS => {
                    if (b as $sty) > (old as $sty) {
                        b
                    } else {
                        old
                    }
                }
                AtomOp::And => old & b,
                AtomOp::Or => old | b,
                AtomOp::Xor => old ^ b,
                AtomOp::Exch => b,
                AtomOp::Inc => {
                    if old >= b {
                        0
                    } else {
                        old + 1
                    }
                }
                AtomOp::Dec => {
                    if old == 0 || old > b {
                        b
                    } else {
                        old - 1
                    }
                }
            }
        }

        /// `cas`: `c` where memory holds `b`, else what it holds.
        #[inline(always)]
        #[must_use]
        pub const fn $cas(old: $uty, b: $uty, c: $uty) -> $uty {
            if old == b { c } else { old }
        }
    };
}

atom!(atom32, cas32, u32, i32);
atom!(atom64, cas64, u64, i64);

/// `atom.cas.b16`
#[inline(always)]
#[must_use]
pub const fn cas16(old: u32, b: u32, c: u32) -> u32 {
    if old & 0xffff == b & 0xffff {
        c & 0xffff
    } else {
        old & 0xffff
    }
}

/// `atom.add.f32`. On `.global` the hardware flushes subnormal operands and results (`ftz`), on `.shared` it does not.
#[inline(always)]
#[must_use]
pub fn add_f32(old: f32, b: f32, ftz: bool) -> f32 {
    crate::float32::add(old, b, Rounding::Rn, ftz, false)
}

/// `atom.add.f64`
#[inline(always)]
#[must_use]
pub fn add_f64(old: f64, b: f64) -> f64 {
    crate::float64::add(old, b, Rounding::Rn)
}

/// `atom.add.noftz.f16`
#[inline(always)]
#[must_use]
pub fn add_f16(old: u32, b: u32) -> u32 {
    crate::half::add_f16(old, b, false, false)
}

/// `atom.add.noftz.f16x2`
#[inline(always)]
#[must_use]
pub fn add_f16x2(old: u32, b: u32) -> u32 {
    crate::half::map2(old, b, add_f16)
}

/// `atom.add.noftz.bf16`
#[inline(always)]
#[must_use]
pub fn add_bf16(old: u32, b: u32) -> u32 {
    crate::half::add_bf16(old, b)
}

/// `atom.add.noftz.bf16x2`
#[inline(always)]
#[must_use]
pub fn add_bf16x2(old: u32, b: u32) -> u32 {
    crate::half::map2(old, b, add_bf16)
}

/// `atom.min.noftz` and `atom.max.noftz` of `.f16x2` and `.bf16x2`; a single half is the low one. Of two operands of which one is
/// NaN the other is the result.
#[inline(always)]
#[must_use]
pub fn min_max_half(old: u32, b: u32, max: bool, bf16: bool) -> u32 {
    let plain = crate::float32::MinMax::default();
    crate::half::map2(old, b, |old, b| match (max, bf16) {
        (false, false) => crate::half::min_f16(old, b, plain),
        (true, false) => crate::half::max_f16(old, b, plain),
        (false, true) => crate::half::min_bf16(old, b, plain),
        (true, true) => crate::half::max_bf16(old, b, plain),
    })
}
