//! Comparison and selection: the operators of `set` and `setp`, and `slct`, `testp`.

use crate::integer::{sx16, zx16};

/// A comparison operator of `set` and `setp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CmpOp {
    /// Equal; false with NaN.
    Eq,
    /// Not equal; false with NaN.
    Ne,
    /// Less; false with NaN.
    Lt,
    /// Less or equal; false with NaN.
    Le,
    /// Greater; false with NaN.
    Gt,
    /// Greater or equal; false with NaN.
    Ge,
    /// Unsigned less.
    Lo,
    /// Unsigned less or equal.
    Ls,
    /// Unsigned greater.
    Hi,
    /// Unsigned greater or equal.
    Hs,
    /// Equal; true with NaN.
    Equ,
    /// Not equal; true with NaN.
    Neu,
    /// Less; true with NaN.
    Ltu,
    /// Less or equal; true with NaN.
    Leu,
    /// Greater; true with NaN.
    Gtu,
    /// Greater or equal; true with NaN.
    Geu,
    /// Neither operand is NaN.
    Num,
    /// An operand is NaN.
    Nan,
}

// The verifier refuses operators that a type does not have (`lo` on floats, `num` on integers). Here they mean the
// nearest that makes sense, so that the functions are total: `lo` is `lt`, `equ` on integers is `eq`, `num` is true.
macro_rules! compare {
    ($(#[$doc:meta])* $name:ident($ty:ty) $a:ident $b:ident => $x:expr, $y:expr) => {
        $(#[$doc])*
        #[inline(always)]
        #[must_use]
        pub fn $name(op: CmpOp, $a: $ty, $b: $ty) -> bool {
            let (x, y) = ($x, $y);
            match op {
                CmpOp::Eq | CmpOp::Equ => x == y,
                CmpOp::Ne | CmpOp::Neu => x != y,
                CmpOp::Lt | CmpOp::Ltu | CmpOp::Lo => x < y,
                CmpOp::Le | CmpOp::Leu | CmpOp::Ls => x <= y,
                CmpOp::Gt | CmpOp::Gtu | CmpOp::Hi => x > y,
                CmpOp::Ge | CmpOp::Geu | CmpOp::Hs => x >= y,
                CmpOp::Num => true,
                CmpOp::Nan => false,
            }
        }
    };
}

compare! {
    /// `{u16,b16}`
    cmp_u16(u32) a b => zx16(a), zx16(b)
}
compare! {
    /// `s16`
    cmp_s16(u32) a b => sx16(a), sx16(b)
}
compare! {
    /// `{u32,b32}`
    cmp_u32(u32) a b => a, b
}
compare! {
    /// `s32`
    cmp_s32(u32) a b => a as i32, b as i32
}
compare! {
    /// `{u64,b64}`
    cmp_u64(u64) a b => a, b
}
compare! {
    /// `s64`
    cmp_s64(u64) a b => a as i64, b as i64
}

macro_rules! compare_float {
    ($(#[$doc:meta])* $name:ident($ty:ty)) => {
        $(#[$doc])*
        #[inline(always)]
        #[must_use]
        #[allow(clippy::neg_cmp_op_on_partial_ord, reason = "true with NaN is what `ltu` and the like mean")]
        pub fn $name(op: CmpOp, a: $ty, b: $ty) -> bool {
            match op {
                CmpOp::Eq => a == b,
                // "Ordered and different": `!=` of Rust is true with NaN.
                CmpOp::Ne => (a < b) | (a > b),
                CmpOp::Lt | CmpOp::Lo => a < b,
                CmpOp::Le | CmpOp::Ls => a <= b,
                CmpOp::Gt | CmpOp::Hi => a > b,
                CmpOp::Ge | CmpOp::Hs => a >= b,
                CmpOp::Equ => !((a < b) | (a > b)),
                CmpOp::Neu => a != b,
                CmpOp::Ltu => !(a >= b),
                CmpOp::Leu => !(a > b),
                CmpOp::Gtu => !(a <= b),
                CmpOp::Geu => !(a < b),
                CmpOp::Num => !a.is_nan() & !b.is_nan(),
                CmpOp::Nan => a.is_nan() | b.is_nan(),
            }
        }
    };
}

compare_float! {
    /// `f32` without `.ftz`; see [`cmp_f32_ftz`].
    cmp_f32(f32)
}
compare_float! {
    /// `f64`
    cmp_f64(f64)
}

/// `f32` with `.ftz`: subnormal operands count as zero.
#[inline(always)]
#[must_use]
pub fn cmp_f32_ftz(op: CmpOp, a: f32, b: f32) -> bool {
    cmp_f32(op, crate::float32::flush(a), crate::float32::flush(b))
}

/// `f16`; with `ftz` subnormal operands count as zero.
#[inline(always)]
#[must_use]
pub fn cmp_f16(op: CmpOp, a: u32, b: u32, ftz: bool) -> bool {
    let (a, b) = if ftz {
        (crate::half::flush_f16(a), crate::half::flush_f16(b))
    } else {
        (a, b)
    };
    cmp_f32(op, crate::half::f16_to_f32(a), crate::half::f16_to_f32(b))
}

/// `bf16`
#[inline(always)]
#[must_use]
pub fn cmp_bf16(op: CmpOp, a: u32, b: u32) -> bool {
    cmp_f32(op, crate::half::bf16_to_f32(a), crate::half::bf16_to_f32(b))
}

/// The combining operator of `set` and `setp` with a third, predicate operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BoolOp {
    /// `.and`
    And,
    /// `.or`
    Or,
    /// `.xor`
    Xor,
}

/// Combines the result of a comparison with predicate `c`.
#[inline(always)]
#[must_use]
pub const fn combine(op: BoolOp, compared: bool, c: bool) -> bool {
    match op {
        BoolOp::And => compared & c,
        BoolOp::Or => compared | c,
        BoolOp::Xor => compared ^ c,
    }
}

/// The predicate of `slct.dtype.s32`: true selects `a`.
#[inline(always)]
#[must_use]
pub const fn slct_s32(c: u32) -> bool {
    (c as i32) >= 0
}

/// The predicate of `slct{.ftz}.dtype.f32`: true selects `a`. -0 counts as 0; NaN selects `b`.
#[inline(always)]
#[must_use]
pub fn slct_f32(c: f32, ftz: bool) -> bool {
    let c = if ftz { crate::float32::flush(c) } else { c };
    c >= 0.0
}

/// The property that `testp` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FloatClass {
    /// Neither infinite nor NaN.
    Finite,
    /// Positive or negative infinity.
    Infinite,
    /// Not NaN.
    Number,
    /// NaN.
    NotANumber,
    /// A normal number; zero counts as one (PTX ISA, `testp`).
    Normal,
    /// A subnormal number, not zero.
    Subnormal,
}

/// `testp.op.f32`
#[inline(always)]
#[must_use]
pub fn testp_f32(class: FloatClass, a: f32) -> bool {
    match class {
        FloatClass::Finite => a.is_finite(),
        FloatClass::Infinite => a.is_infinite(),
        FloatClass::Number => !a.is_nan(),
        FloatClass::NotANumber => a.is_nan(),
        FloatClass::Normal => a.is_normal() | (a == 0.0),
        FloatClass::Subnormal => a.is_subnormal(),
    }
}

/// `testp.op.f64`
#[inline(always)]
#[must_use]
pub fn testp_f64(class: FloatClass, a: f64) -> bool {
    match class {
        FloatClass::Finite => a.is_finite(),
        FloatClass::Infinite => a.is_infinite(),
        FloatClass::Number => !a.is_nan(),
        FloatClass::NotANumber => a.is_nan(),
        FloatClass::Normal => a.is_normal() | (a == 0.0),
        FloatClass::Subnormal => a.is_subnormal(),
    }
}
