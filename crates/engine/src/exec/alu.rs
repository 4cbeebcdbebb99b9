//! The table of lane functions: every arithmetic operation, by the function of `tessera-arith` that says what it computes.
//!
//! One line makes a variant of [`Alu`], its signature and its loops for every vector unit. `x` is the immediate; forms with
//! rare modifiers take them from there (see [`super::modifiers`]), common ones have a line of their own.

#![allow(unused_variables, reason = "most functions do not look at the immediate")]

use tessera_arith::Rounding::Rn;
use tessera_arith::compare::CmpOp;
use tessera_arith::float32::MinMax;
use tessera_arith::logic::PermuteMode;
use tessera_arith::{
    IntRounding, IntType, approx, carry, compare, convert, dot, float32, float64, half, integer, logic,
    packed, video,
};

use super::Handler;
use super::isa::Level;
use super::lane::{Fn1, Fn2, Fn3, Map1, Map2, Map3, Select};
use super::line::CompareLine;
use super::media;
use super::modifiers::*;

/// What a register holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// Up to 32 bits.
    W32,
    /// 64 bits.
    W64,
    /// A predicate.
    Pred,
}

#[inline(always)]
fn f(bits: u32) -> f32 {
    f32::from_bits(bits)
}

#[inline(always)]
fn d(bits: u64) -> f64 {
    f64::from_bits(bits)
}

#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
fn low(a: u64) -> u32 {
    a as u32
}

#[inline(always)]
fn low8(a: u32) -> u8 {
    a.to_le_bytes()[0]
}

#[inline(always)]
fn sx8(a: u32) -> u32 {
    i32::from(low8(a).cast_signed()).cast_unsigned()
}

macro_rules! class {
    (u32) => {
        Class::W32
    };
    (u64) => {
        Class::W64
    };
    (bool) => {
        Class::Pred
    };
}

macro_rules! function {
    ($name:ident, $x:ident, ($a:ident: $at:ty), $r:ty, $body:expr) => {
        impl Fn1 for $name {
            type A = $at;
            type R = $r;
            #[inline(always)]
            fn call($a: $at, $x: u32) -> $r {
                $body
            }
        }
    };
    ($name:ident, $x:ident, ($a:ident: $at:ty, $b:ident: $bt:ty), $r:ty, $body:expr) => {
        impl Fn2 for $name {
            type A = $at;
            type B = $bt;
            type R = $r;
            #[inline(always)]
            fn call($a: $at, $b: $bt, $x: u32) -> $r {
                $body
            }
        }
    };
    ($name:ident, $x:ident, ($a:ident: $at:ty, $b:ident: $bt:ty, $c:ident: $ct:ty), $r:ty, $body:expr) => {
        impl Fn3 for $name {
            type A = $at;
            type B = $bt;
            type C = $ct;
            type R = $r;
            #[inline(always)]
            fn call($a: $at, $b: $bt, $c: $ct, $x: u32) -> $r {
                $body
            }
        }
    };
}

macro_rules! handler {
    ($level:ident, $name:ident, $a:ident) => {
        $level.handler::<Map1<functions::$name>>()
    };
    ($level:ident, $name:ident, $a:ident $b:ident) => {
        $level.handler::<Map2<functions::$name>>()
    };
    ($level:ident, $name:ident, $a:ident $b:ident $c:ident) => {
        $level.handler::<Map3<functions::$name>>()
    };
}

#[cfg(test)]
macro_rules! evaluate {
    ($name:ident, $s:ident, $x:ident, $a:ident) => {
        one::<functions::$name>($s, $x)
    };
    ($name:ident, $s:ident, $x:ident, $a:ident $b:ident) => {
        two::<functions::$name>($s, $x)
    };
    ($name:ident, $s:ident, $x:ident, $a:ident $b:ident $c:ident) => {
        three::<functions::$name>($s, $x)
    };
}

macro_rules! table {
    ($x:ident; $($name:ident($($arg:ident: $at:ident),+) -> $r:ident { $body:expr })+) => {
        /// An arithmetic operation on lanes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Alu { $($name),+ }

        mod functions {
            use super::*;
            $(
                pub(crate) struct $name;
                function!($name, $x, ($($arg: $at),+), $r, $body);
            )+
        }

        impl Alu {
            /// Classes of the operands, class of the result.
            pub(crate) const fn signature(self) -> (&'static [Class], Class) {
                match self { $(Self::$name => (&[$(class!($at)),+], class!($r))),+ }
            }

            /// Its loop for a vector unit.
            pub(crate) fn handler(self, level: Level) -> Handler {
                match self {
                    Self::Sel32 => return level.handler::<Select<u32>>(),
                    Self::Sel64 => return level.handler::<Select<u64>>(),
                    _ => {}
                }
                match self { $(Self::$name => handler!(level, $name, $($arg)+)),+ }
            }
        }

        impl Alu {
            /// As [`handler`](Self::handler), of a comparison by order that is made from the bases of affine values; and whether it
            /// is one of signed numbers.
            pub(crate) fn line_handler(self, level: Level) -> Option<(Handler, bool)> {
                Some(match self {
                    Self::LtU32 => (level.handler::<CompareLine<functions::LtU32>>(), false),
                    Self::LeU32 => (level.handler::<CompareLine<functions::LeU32>>(), false),
                    Self::GtU32 => (level.handler::<CompareLine<functions::GtU32>>(), false),
                    Self::GeU32 => (level.handler::<CompareLine<functions::GeU32>>(), false),
                    Self::LtS32 => (level.handler::<CompareLine<functions::LtS32>>(), true),
                    Self::LeS32 => (level.handler::<CompareLine<functions::LeS32>>(), true),
                    Self::GtS32 => (level.handler::<CompareLine<functions::GtS32>>(), true),
                    Self::GeS32 => (level.handler::<CompareLine<functions::GeS32>>(), true),
                    _ => return None,
                })
            }
        }

        #[cfg(test)]
        impl Alu {
            /// All of them.
            pub(crate) const ALL: &[Self] = &[$(Self::$name),+];

            /// Its function on one lane; values are zero-extended.
            pub(crate) fn evaluate(self, s: [u64; 3], x: u32) -> u64 {
                use super::lane::evaluate::*;
                match self { $(Self::$name => evaluate!($name, s, x, $($arg)+)),+ }
            }
        }
    };
}

#[rustfmt::skip]
table! {
    x;
    Add16(a: u32, b: u32) -> u32 { integer::add16(a, b) }
    Add32(a: u32, b: u32) -> u32 { integer::add32(a, b) }
    AddSatS32(a: u32, b: u32) -> u32 { integer::add_sat_s32(a, b) }
    Add16x2(a: u32, b: u32) -> u32 { integer::add16x2(a, b) }
    Sub16(a: u32, b: u32) -> u32 { integer::sub16(a, b) }
    Sub32(a: u32, b: u32) -> u32 { integer::sub32(a, b) }
    SubSatS32(a: u32, b: u32) -> u32 { integer::sub_sat_s32(a, b) }
    MulLo16(a: u32, b: u32) -> u32 { integer::mul_lo16(a, b) }
    MulLo32(a: u32, b: u32) -> u32 { integer::mul_lo32(a, b) }
    MulHiU16(a: u32, b: u32) -> u32 { integer::mul_hi_u16(a, b) }
    MulHiS16(a: u32, b: u32) -> u32 { integer::mul_hi_s16(a, b) }
    MulHiU32(a: u32, b: u32) -> u32 { integer::mul_hi_u32(a, b) }
    MulHiS32(a: u32, b: u32) -> u32 { integer::mul_hi_s32(a, b) }
    MulWideU16(a: u32, b: u32) -> u32 { integer::mul_wide_u16(a, b) }
    MulWideS16(a: u32, b: u32) -> u32 { integer::mul_wide_s16(a, b) }
    Mul24LoU32(a: u32, b: u32) -> u32 { integer::mul24_lo_u32(a, b) }
    Mul24LoS32(a: u32, b: u32) -> u32 { integer::mul24_lo_s32(a, b) }
    Mul24HiU32(a: u32, b: u32) -> u32 { integer::mul24_hi_u32(a, b) }
    Mul24HiS32(a: u32, b: u32) -> u32 { integer::mul24_hi_s32(a, b) }
    MinU16(a: u32, b: u32) -> u32 { integer::min_u16(a, b) }
    MaxU16(a: u32, b: u32) -> u32 { integer::max_u16(a, b) }
    MinS16(a: u32, b: u32) -> u32 { integer::min_s16(a, b) }
    MaxS16(a: u32, b: u32) -> u32 { integer::max_s16(a, b) }
    MinU32(a: u32, b: u32) -> u32 { integer::min_u32(a, b) }
    MaxU32(a: u32, b: u32) -> u32 { integer::max_u32(a, b) }
    MinS32(a: u32, b: u32) -> u32 { integer::min_s32(a, b) }
    MaxS32(a: u32, b: u32) -> u32 { integer::max_s32(a, b) }
    MinReluS32(a: u32, b: u32) -> u32 { integer::min_relu_s32(a, b) }
    MaxReluS32(a: u32, b: u32) -> u32 { integer::max_relu_s32(a, b) }
    MinU16x2(a: u32, b: u32) -> u32 { integer::min_u16x2(a, b) }
    MaxU16x2(a: u32, b: u32) -> u32 { integer::max_u16x2(a, b) }
    MinS16x2(a: u32, b: u32) -> u32 { integer::min_s16x2(a, b) }
    MaxS16x2(a: u32, b: u32) -> u32 { integer::max_s16x2(a, b) }
    MinReluS16x2(a: u32, b: u32) -> u32 { integer::min_relu_s16x2(a, b) }
    MaxReluS16x2(a: u32, b: u32) -> u32 { integer::max_relu_s16x2(a, b) }
    DivU16(a: u32, b: u32) -> u32 { integer::div_u16(a, b) }
    RemU16(a: u32, b: u32) -> u32 { integer::rem_u16(a, b) }
    DivS16(a: u32, b: u32) -> u32 { integer::div_s16(a, b) }
    RemS16(a: u32, b: u32) -> u32 { integer::rem_s16(a, b) }
    DivU32(a: u32, b: u32) -> u32 { integer::div_u32(a, b) }
    RemU32(a: u32, b: u32) -> u32 { integer::rem_u32(a, b) }
    DivS32(a: u32, b: u32) -> u32 { integer::div_s32(a, b) }
    RemS32(a: u32, b: u32) -> u32 { integer::rem_s32(a, b) }
    Pack16(a: u32, b: u32) -> u32 { integer::pack(a, b) }
    Add64(a: u64, b: u64) -> u64 { integer::add64(a, b) }
    Sub64(a: u64, b: u64) -> u64 { integer::sub64(a, b) }
    MulLo64(a: u64, b: u64) -> u64 { integer::mul_lo64(a, b) }
    MulHiU64(a: u64, b: u64) -> u64 { integer::mul_hi_u64(a, b) }
    MulHiS64(a: u64, b: u64) -> u64 { integer::mul_hi_s64(a, b) }
    MinU64(a: u64, b: u64) -> u64 { integer::min_u64(a, b) }
    MaxU64(a: u64, b: u64) -> u64 { integer::max_u64(a, b) }
    MinS64(a: u64, b: u64) -> u64 { integer::min_s64(a, b) }
    MaxS64(a: u64, b: u64) -> u64 { integer::max_s64(a, b) }
    DivU64(a: u64, b: u64) -> u64 { integer::div_u64(a, b) }
    RemU64(a: u64, b: u64) -> u64 { integer::rem_u64(a, b) }
    DivS64(a: u64, b: u64) -> u64 { integer::div_s64(a, b) }
    RemS64(a: u64, b: u64) -> u64 { integer::rem_s64(a, b) }
    MulWideU32(a: u32, b: u32) -> u64 { integer::mul_wide_u32(a, b) }
    MulWideS32(a: u32, b: u32) -> u64 { integer::mul_wide_s32(a, b) }
    AbsS16(a: u32) -> u32 { integer::abs_s16(a) }
    AbsS32(a: u32) -> u32 { integer::abs_s32(a) }
    Neg16(a: u32) -> u32 { integer::neg16(a) }
    Neg32(a: u32) -> u32 { integer::neg32(a) }
    AbsS64(a: u64) -> u64 { integer::abs_s64(a) }
    Neg64(a: u64) -> u64 { integer::neg64(a) }
    MadLo16(a: u32, b: u32, c: u32) -> u32 { integer::mad_lo16(a, b, c) }
    MadLo32(a: u32, b: u32, c: u32) -> u32 { integer::mad_lo32(a, b, c) }
    MadHiU16(a: u32, b: u32, c: u32) -> u32 { integer::mad_hi_u16(a, b, c) }
    MadHiS16(a: u32, b: u32, c: u32) -> u32 { integer::mad_hi_s16(a, b, c) }
    MadHiU32(a: u32, b: u32, c: u32) -> u32 { integer::mad_hi_u32(a, b, c) }
    MadHiS32(a: u32, b: u32, c: u32) -> u32 { integer::mad_hi_s32(a, b, c) }
    MadHiSatS32(a: u32, b: u32, c: u32) -> u32 { integer::mad_hi_sat_s32(a, b, c) }
    MadWideU16(a: u32, b: u32, c: u32) -> u32 { integer::mad_wide_u16(a, b, c) }
    MadWideS16(a: u32, b: u32, c: u32) -> u32 { integer::mad_wide_s16(a, b, c) }
    Mad24LoU32(a: u32, b: u32, c: u32) -> u32 { integer::mad24_lo_u32(a, b, c) }
    Mad24LoS32(a: u32, b: u32, c: u32) -> u32 { integer::mad24_lo_s32(a, b, c) }
    Mad24HiU32(a: u32, b: u32, c: u32) -> u32 { integer::mad24_hi_u32(a, b, c) }
    Mad24HiS32(a: u32, b: u32, c: u32) -> u32 { integer::mad24_hi_s32(a, b, c) }
    Mad24HiSatS32(a: u32, b: u32, c: u32) -> u32 { integer::mad24_hi_sat_s32(a, b, c) }
    SadU16(a: u32, b: u32, c: u32) -> u32 { integer::sad_u16(a, b, c) }
    SadS16(a: u32, b: u32, c: u32) -> u32 { integer::sad_s16(a, b, c) }
    SadU32(a: u32, b: u32, c: u32) -> u32 { integer::sad_u32(a, b, c) }
    SadS32(a: u32, b: u32, c: u32) -> u32 { integer::sad_s32(a, b, c) }
    MadLo64(a: u64, b: u64, c: u64) -> u64 { integer::mad_lo64(a, b, c) }
    MadHiU64(a: u64, b: u64, c: u64) -> u64 { integer::mad_hi_u64(a, b, c) }
    MadHiS64(a: u64, b: u64, c: u64) -> u64 { integer::mad_hi_s64(a, b, c) }
    SadU64(a: u64, b: u64, c: u64) -> u64 { integer::sad_u64(a, b, c) }
    SadS64(a: u64, b: u64, c: u64) -> u64 { integer::sad_s64(a, b, c) }
    MadWideU32(a: u32, b: u32, c: u64) -> u64 { integer::mad_wide_u32(a, b, c) }
    MadWideS32(a: u32, b: u32, c: u64) -> u64 { integer::mad_wide_s32(a, b, c) }
    AddC32(a: u32, b: u32, c: bool) -> u32 { carry::addc32(a, b, c).0 }
    AddCOut32(a: u32, b: u32, c: bool) -> bool { carry::addc32(a, b, c).1 }
    SubC32(a: u32, b: u32, c: bool) -> u32 { carry::subc32(a, b, c).0 }
    SubCOut32(a: u32, b: u32, c: bool) -> bool { carry::subc32(a, b, c).1 }
    AddC64(a: u64, b: u64, c: bool) -> u64 { carry::addc64(a, b, c).0 }
    AddCOut64(a: u64, b: u64, c: bool) -> bool { carry::addc64(a, b, c).1 }
    SubC64(a: u64, b: u64, c: bool) -> u64 { carry::subc64(a, b, c).0 }
    SubCOut64(a: u64, b: u64, c: bool) -> bool { carry::subc64(a, b, c).1 }
    And32(a: u32, b: u32) -> u32 { a & b }
    Or32(a: u32, b: u32) -> u32 { a | b }
    Xor32(a: u32, b: u32) -> u32 { a ^ b }
    And64(a: u64, b: u64) -> u64 { a & b }
    Or64(a: u64, b: u64) -> u64 { a | b }
    Xor64(a: u64, b: u64) -> u64 { a ^ b }
    Not16(a: u32) -> u32 { logic::not16(a) }
    Not32(a: u32) -> u32 { !a }
    Not64(a: u64) -> u64 { !a }
    Cnot16(a: u32) -> u32 { logic::cnot16(a) }
    Cnot32(a: u32) -> u32 { logic::cnot32(a) }
    Cnot64(a: u64) -> u64 { logic::cnot64(a) }
    Xor3(a: u32, b: u32, c: u32) -> u32 { a ^ b ^ c }
    Choose(a: u32, b: u32, c: u32) -> u32 { a & b | !a & c }
    Majority(a: u32, b: u32, c: u32) -> u32 { a & b | a & c | b & c }
    Lop3(a: u32, b: u32, c: u32) -> u32 { logic::lop3(a, b, c, low8(x)) }
    Shl16(a: u32, b: u32) -> u32 { logic::shl16(a, b) }
    Shl32(a: u32, b: u32) -> u32 { logic::shl32(a, b) }
    ShrU16(a: u32, b: u32) -> u32 { logic::shr_u16(a, b) }
    ShrS16(a: u32, b: u32) -> u32 { logic::shr_s16(a, b) }
    ShrU32(a: u32, b: u32) -> u32 { logic::shr_u32(a, b) }
    ShrS32(a: u32, b: u32) -> u32 { logic::shr_s32(a, b) }
    Shl64(a: u64, b: u32) -> u64 { logic::shl64(a, b) }
    ShrU64(a: u64, b: u32) -> u64 { logic::shr_u64(a, b) }
    ShrS64(a: u64, b: u32) -> u64 { logic::shr_s64(a, b) }
    ShfLWrap(a: u32, b: u32, c: u32) -> u32 { logic::shf_l(a, b, c, false) }
    ShfLClamp(a: u32, b: u32, c: u32) -> u32 { logic::shf_l(a, b, c, true) }
    ShfRWrap(a: u32, b: u32, c: u32) -> u32 { logic::shf_r(a, b, c, false) }
    ShfRClamp(a: u32, b: u32, c: u32) -> u32 { logic::shf_r(a, b, c, true) }
    RotL(a: u32, b: u32) -> u32 { a.rotate_left(b & 31) }
    RotR(a: u32, b: u32) -> u32 { a.rotate_right(b & 31) }
    Prmt(a: u32, b: u32, c: u32) -> u32 { logic::prmt(a, b, c, PermuteMode::Default) }
    PrmtMode(a: u32, b: u32, c: u32) -> u32 { logic::prmt(a, b, c, permute_mode(x)) }
    BfeU32(a: u32, b: u32, c: u32) -> u32 { logic::bfe_u32(a, b, c) }
    BfeS32(a: u32, b: u32, c: u32) -> u32 { logic::bfe_s32(a, b, c) }
    BfeU64(a: u64, b: u32, c: u32) -> u64 { logic::bfe_u64(a, b, c) }
    BfeS64(a: u64, b: u32, c: u32) -> u64 { logic::bfe_s64(a, b, c) }
    Bfi32(a: u32, b: u32, c: u32) -> u32 { logic::bfi32(a, b, c & 255, c >> 8) }
    Bfi64(a: u64, b: u64, c: u32) -> u64 { logic::bfi64(a, b, c & 255, c >> 8) }
    BfindU32(a: u32) -> u32 { logic::bfind_u32(a, x != 0) }
    BfindU64(a: u64) -> u32 { logic::bfind_u64(a, x != 0) }
    SzextU32(a: u32, b: u32) -> u32 { logic::szext_u32(a, b, x != 0) }
    BfindS32(a: u32) -> u32 { logic::bfind_s32(a, x != 0) }
    BfindS64(a: u64) -> u32 { logic::bfind_s64(a, x != 0) }
    SzextS32(a: u32, b: u32) -> u32 { logic::szext_s32(a, b, x != 0) }
    Bmsk(a: u32, b: u32) -> u32 { logic::bmsk(a, b, x != 0) }
    Brev32(a: u32) -> u32 { logic::brev32(a) }
    Brev64(a: u64) -> u64 { logic::brev64(a) }
    Clz32(a: u32) -> u32 { logic::clz32(a) }
    Clz64(a: u64) -> u32 { logic::clz64(a) }
    Popc32(a: u32) -> u32 { logic::popc32(a) }
    Popc64(a: u64) -> u32 { logic::popc64(a) }
    Fns(a: u32, b: u32, c: u32) -> u32 { logic::fns(a, b, c) }
    Dp4a(a: u32, b: u32, c: u32) -> u32 { dot::dp4a(a, b, c, x & 1 != 0, x & 2 != 0) }
    Dp2a(a: u32, b: u32, c: u32) -> u32 { dot::dp2a(a, b, c, x & 4 != 0, x & 1 != 0, x & 2 != 0) }
    Mov32(a: u32) -> u32 { a }
    Mov64(a: u64) -> u64 { a }
    Sel32(a: u32, b: u32, c: bool) -> u32 { if c { a } else { b } }
    Sel64(a: u64, b: u64, c: bool) -> u64 { if c { a } else { b } }
    Pack32(a: u32, b: u32) -> u64 { u64::from(a) | u64::from(b) << 32 }
    Low32(a: u64) -> u32 { low(a) }
    High32(a: u64) -> u32 { low(a >> 32) }
    Zx8(a: u32) -> u32 { a & 0xff }
    Zx16(a: u32) -> u32 { a & 0xffff }
    High16(a: u32) -> u32 { a >> 16 }
    Byte(a: u32) -> u32 { a >> (x & 31) & 0xff }
    Sx8(a: u32) -> u32 { sx8(a) }
    Sx16(a: u32) -> u32 { integer::sx16(a).cast_unsigned() }
    Zx32To64(a: u32) -> u64 { u64::from(a) }
    Sx32To64(a: u32) -> u64 { i64::from(a.cast_signed()).cast_unsigned() }
    IntToInt32(a: u32) -> u32 { low(convert::int_to_int(int_type(x), int_type(x >> 4), u64::from(a), x & 256 != 0)) }
    IntToInt32To64(a: u32) -> u64 { convert::int_to_int(int_type(x), int_type(x >> 4), u64::from(a), x & 256 != 0) }
    IntToInt64(a: u64) -> u64 { convert::int_to_int(int_type(x), int_type(x >> 4), a, x & 256 != 0) }
    IntToInt64To32(a: u64) -> u32 { low(convert::int_to_int(int_type(x), int_type(x >> 4), a, x & 256 != 0)) }
    EqU16(a: u32, b: u32) -> bool { compare::cmp_u16(CmpOp::Eq, a, b) }
    NeU16(a: u32, b: u32) -> bool { compare::cmp_u16(CmpOp::Ne, a, b) }
    LtU16(a: u32, b: u32) -> bool { compare::cmp_u16(CmpOp::Lt, a, b) }
    LeU16(a: u32, b: u32) -> bool { compare::cmp_u16(CmpOp::Le, a, b) }
    GtU16(a: u32, b: u32) -> bool { compare::cmp_u16(CmpOp::Gt, a, b) }
    GeU16(a: u32, b: u32) -> bool { compare::cmp_u16(CmpOp::Ge, a, b) }
    LtS16(a: u32, b: u32) -> bool { compare::cmp_s16(CmpOp::Lt, a, b) }
    LeS16(a: u32, b: u32) -> bool { compare::cmp_s16(CmpOp::Le, a, b) }
    GtS16(a: u32, b: u32) -> bool { compare::cmp_s16(CmpOp::Gt, a, b) }
    GeS16(a: u32, b: u32) -> bool { compare::cmp_s16(CmpOp::Ge, a, b) }
    EqU32(a: u32, b: u32) -> bool { compare::cmp_u32(CmpOp::Eq, a, b) }
    NeU32(a: u32, b: u32) -> bool { compare::cmp_u32(CmpOp::Ne, a, b) }
    LtU32(a: u32, b: u32) -> bool { compare::cmp_u32(CmpOp::Lt, a, b) }
    LeU32(a: u32, b: u32) -> bool { compare::cmp_u32(CmpOp::Le, a, b) }
    GtU32(a: u32, b: u32) -> bool { compare::cmp_u32(CmpOp::Gt, a, b) }
    GeU32(a: u32, b: u32) -> bool { compare::cmp_u32(CmpOp::Ge, a, b) }
    LtS32(a: u32, b: u32) -> bool { compare::cmp_s32(CmpOp::Lt, a, b) }
    LeS32(a: u32, b: u32) -> bool { compare::cmp_s32(CmpOp::Le, a, b) }
    GtS32(a: u32, b: u32) -> bool { compare::cmp_s32(CmpOp::Gt, a, b) }
    GeS32(a: u32, b: u32) -> bool { compare::cmp_s32(CmpOp::Ge, a, b) }
    EqU64(a: u64, b: u64) -> bool { compare::cmp_u64(CmpOp::Eq, a, b) }
    NeU64(a: u64, b: u64) -> bool { compare::cmp_u64(CmpOp::Ne, a, b) }
    LtU64(a: u64, b: u64) -> bool { compare::cmp_u64(CmpOp::Lt, a, b) }
    LeU64(a: u64, b: u64) -> bool { compare::cmp_u64(CmpOp::Le, a, b) }
    GtU64(a: u64, b: u64) -> bool { compare::cmp_u64(CmpOp::Gt, a, b) }
    GeU64(a: u64, b: u64) -> bool { compare::cmp_u64(CmpOp::Ge, a, b) }
    LtS64(a: u64, b: u64) -> bool { compare::cmp_s64(CmpOp::Lt, a, b) }
    LeS64(a: u64, b: u64) -> bool { compare::cmp_s64(CmpOp::Le, a, b) }
    GtS64(a: u64, b: u64) -> bool { compare::cmp_s64(CmpOp::Gt, a, b) }
    GeS64(a: u64, b: u64) -> bool { compare::cmp_s64(CmpOp::Ge, a, b) }
    EqF32(a: u32, b: u32) -> bool { compare::cmp_f32(CmpOp::Eq, f(a), f(b)) }
    EqF64(a: u64, b: u64) -> bool { compare::cmp_f64(CmpOp::Eq, d(a), d(b)) }
    NeF32(a: u32, b: u32) -> bool { compare::cmp_f32(CmpOp::Ne, f(a), f(b)) }
    NeF64(a: u64, b: u64) -> bool { compare::cmp_f64(CmpOp::Ne, d(a), d(b)) }
    LtF32(a: u32, b: u32) -> bool { compare::cmp_f32(CmpOp::Lt, f(a), f(b)) }
    LtF64(a: u64, b: u64) -> bool { compare::cmp_f64(CmpOp::Lt, d(a), d(b)) }
    LeF32(a: u32, b: u32) -> bool { compare::cmp_f32(CmpOp::Le, f(a), f(b)) }
    LeF64(a: u64, b: u64) -> bool { compare::cmp_f64(CmpOp::Le, d(a), d(b)) }
    GtF32(a: u32, b: u32) -> bool { compare::cmp_f32(CmpOp::Gt, f(a), f(b)) }
    GtF64(a: u64, b: u64) -> bool { compare::cmp_f64(CmpOp::Gt, d(a), d(b)) }
    GeF32(a: u32, b: u32) -> bool { compare::cmp_f32(CmpOp::Ge, f(a), f(b)) }
    GeF64(a: u64, b: u64) -> bool { compare::cmp_f64(CmpOp::Ge, d(a), d(b)) }
    EquF32(a: u32, b: u32) -> bool { compare::cmp_f32(CmpOp::Equ, f(a), f(b)) }
    EquF64(a: u64, b: u64) -> bool { compare::cmp_f64(CmpOp::Equ, d(a), d(b)) }
    NeuF32(a: u32, b: u32) -> bool { compare::cmp_f32(CmpOp::Neu, f(a), f(b)) }
    NeuF64(a: u64, b: u64) -> bool { compare::cmp_f64(CmpOp::Neu, d(a), d(b)) }
    LtuF32(a: u32, b: u32) -> bool { compare::cmp_f32(CmpOp::Ltu, f(a), f(b)) }
    LtuF64(a: u64, b: u64) -> bool { compare::cmp_f64(CmpOp::Ltu, d(a), d(b)) }
    LeuF32(a: u32, b: u32) -> bool { compare::cmp_f32(CmpOp::Leu, f(a), f(b)) }
    LeuF64(a: u64, b: u64) -> bool { compare::cmp_f64(CmpOp::Leu, d(a), d(b)) }
    GtuF32(a: u32, b: u32) -> bool { compare::cmp_f32(CmpOp::Gtu, f(a), f(b)) }
    GtuF64(a: u64, b: u64) -> bool { compare::cmp_f64(CmpOp::Gtu, d(a), d(b)) }
    GeuF32(a: u32, b: u32) -> bool { compare::cmp_f32(CmpOp::Geu, f(a), f(b)) }
    GeuF64(a: u64, b: u64) -> bool { compare::cmp_f64(CmpOp::Geu, d(a), d(b)) }
    NumF32(a: u32, b: u32) -> bool { compare::cmp_f32(CmpOp::Num, f(a), f(b)) }
    NumF64(a: u64, b: u64) -> bool { compare::cmp_f64(CmpOp::Num, d(a), d(b)) }
    NanF32(a: u32, b: u32) -> bool { compare::cmp_f32(CmpOp::Nan, f(a), f(b)) }
    NanF64(a: u64, b: u64) -> bool { compare::cmp_f64(CmpOp::Nan, d(a), d(b)) }
    SlctS32(a: u32) -> bool { compare::slct_s32(a) }
    SlctF32(a: u32) -> bool { compare::slct_f32(f(a), x & FTZ != 0) }
    TestpF32(a: u32) -> bool { compare::testp_f32(float_class(x), f(a)) }
    TestpF64(a: u64) -> bool { compare::testp_f64(float_class(x), d(a)) }
    AddF32(a: u32, b: u32) -> u32 { float32::add(f(a), f(b), Rn, false, false).to_bits() }
    AddFtzF32(a: u32, b: u32) -> u32 { float32::add(f(a), f(b), Rn, true, false).to_bits() }
    AddXF32(a: u32, b: u32) -> u32 { float32::add(f(a), f(b), rounding(x), x & FTZ != 0, x & SAT != 0).to_bits() }
    AddF64(a: u64, b: u64) -> u64 { float64::add(d(a), d(b), Rn).to_bits() }
    AddXF64(a: u64, b: u64) -> u64 { float64::add(d(a), d(b), rounding(x)).to_bits() }
    SubF32(a: u32, b: u32) -> u32 { float32::sub(f(a), f(b), Rn, false, false).to_bits() }
    SubFtzF32(a: u32, b: u32) -> u32 { float32::sub(f(a), f(b), Rn, true, false).to_bits() }
    SubXF32(a: u32, b: u32) -> u32 { float32::sub(f(a), f(b), rounding(x), x & FTZ != 0, x & SAT != 0).to_bits() }
    SubF64(a: u64, b: u64) -> u64 { float64::sub(d(a), d(b), Rn).to_bits() }
    SubXF64(a: u64, b: u64) -> u64 { float64::sub(d(a), d(b), rounding(x)).to_bits() }
    MulF32(a: u32, b: u32) -> u32 { float32::mul(f(a), f(b), Rn, false, false).to_bits() }
    MulFtzF32(a: u32, b: u32) -> u32 { float32::mul(f(a), f(b), Rn, true, false).to_bits() }
    MulXF32(a: u32, b: u32) -> u32 { float32::mul(f(a), f(b), rounding(x), x & FTZ != 0, x & SAT != 0).to_bits() }
    MulF64(a: u64, b: u64) -> u64 { float64::mul(d(a), d(b), Rn).to_bits() }
    MulXF64(a: u64, b: u64) -> u64 { float64::mul(d(a), d(b), rounding(x)).to_bits() }
    FmaF32(a: u32, b: u32, c: u32) -> u32 { float32::fma(f(a), f(b), f(c), Rn, false, false).to_bits() }
    FmaFtzF32(a: u32, b: u32, c: u32) -> u32 { float32::fma(f(a), f(b), f(c), Rn, true, false).to_bits() }
    FmaXF32(a: u32, b: u32, c: u32) -> u32 { float32::fma(f(a), f(b), f(c), rounding(x), x & FTZ != 0, x & SAT != 0).to_bits() }
    FmaF64(a: u64, b: u64, c: u64) -> u64 { float64::fma(d(a), d(b), d(c), Rn).to_bits() }
    FmaXF64(a: u64, b: u64, c: u64) -> u64 { float64::fma(d(a), d(b), d(c), rounding(x)).to_bits() }
    DivF32(a: u32, b: u32) -> u32 { float32::div(f(a), f(b), Rn, false).to_bits() }
    DivXF32(a: u32, b: u32) -> u32 { float32::div(f(a), f(b), rounding(x), x & FTZ != 0).to_bits() }
    DivApproxF32(a: u32, b: u32) -> u32 { approx::div(f(a), f(b), x & FTZ != 0).to_bits() }
    DivFullF32(a: u32, b: u32) -> u32 { approx::div_full(f(a), f(b), x & FTZ != 0).to_bits() }
    DivF64(a: u64, b: u64) -> u64 { float64::div(d(a), d(b), Rn).to_bits() }
    DivXF64(a: u64, b: u64) -> u64 { float64::div(d(a), d(b), rounding(x)).to_bits() }
    RcpF32(a: u32) -> u32 { float32::rcp(f(a), Rn, false).to_bits() }
    RcpXF32(a: u32) -> u32 { float32::rcp(f(a), rounding(x), x & FTZ != 0).to_bits() }
    RcpF64(a: u64) -> u64 { float64::rcp(d(a), Rn).to_bits() }
    RcpXF64(a: u64) -> u64 { float64::rcp(d(a), rounding(x)).to_bits() }
    SqrtF32(a: u32) -> u32 { float32::sqrt(f(a), Rn, false).to_bits() }
    SqrtXF32(a: u32) -> u32 { float32::sqrt(f(a), rounding(x), x & FTZ != 0).to_bits() }
    SqrtF64(a: u64) -> u64 { float64::sqrt(d(a), Rn).to_bits() }
    SqrtXF64(a: u64) -> u64 { float64::sqrt(d(a), rounding(x)).to_bits() }
    RcpApproxF32(a: u32) -> u32 { approx::rcp(f(a), x & FTZ != 0).to_bits() }
    RsqrtApproxF32(a: u32) -> u32 { approx::rsqrt(f(a), x & FTZ != 0).to_bits() }
    SqrtApproxF32(a: u32) -> u32 { approx::sqrt(f(a), x & FTZ != 0).to_bits() }
    Ex2ApproxF32(a: u32) -> u32 { approx::ex2(f(a), x & FTZ != 0).to_bits() }
    Lg2ApproxF32(a: u32) -> u32 { approx::lg2(f(a), x & FTZ != 0).to_bits() }
    SinApproxF32(a: u32) -> u32 { approx::sin(f(a), x & FTZ != 0).to_bits() }
    CosApproxF32(a: u32) -> u32 { approx::cos(f(a), x & FTZ != 0).to_bits() }
    TanhApproxF32(a: u32) -> u32 { approx::tanh(f(a)).to_bits() }
    RcpApproxF64(a: u64) -> u64 { approx::rcp_f64(d(a)).to_bits() }
    RsqrtApproxFtzF64(a: u64) -> u64 { approx::rsqrt_f64(d(a)).to_bits() }
    RsqrtApproxF64(a: u64) -> u64 { approx::rsqrt_f64_full(d(a)).to_bits() }
    AbsF32(a: u32) -> u32 { float32::abs(f(a), false).to_bits() }
    AbsFtzF32(a: u32) -> u32 { float32::abs(f(a), true).to_bits() }
    AbsF64(a: u64) -> u64 { float64::abs(d(a)).to_bits() }
    AbsF16(a: u32) -> u32 { half::abs_f16(a, x & FTZ != 0) }
    AbsBf16(a: u32) -> u32 { half::abs_bf16(a) }
    AbsF16x2(a: u32) -> u32 { half::map1(a, |a| half::abs_f16(a, x & FTZ != 0)) }
    AbsBf16x2(a: u32) -> u32 { half::map1(a, half::abs_bf16) }
    NegF32(a: u32) -> u32 { float32::neg(f(a), false).to_bits() }
    NegFtzF32(a: u32) -> u32 { float32::neg(f(a), true).to_bits() }
    NegF64(a: u64) -> u64 { float64::neg(d(a)).to_bits() }
    NegF16(a: u32) -> u32 { half::neg_f16(a, x & FTZ != 0) }
    NegBf16(a: u32) -> u32 { half::neg_bf16(a) }
    NegF16x2(a: u32) -> u32 { half::map1(a, |a| half::neg_f16(a, x & FTZ != 0)) }
    NegBf16x2(a: u32) -> u32 { half::map1(a, half::neg_bf16) }
    CopysignF32(a: u32, b: u32) -> u32 { float32::copysign(f(a), f(b)).to_bits() }
    CopysignF64(a: u64, b: u64) -> u64 { float64::copysign(d(a), d(b)).to_bits() }
    MinF32(a: u32, b: u32) -> u32 { float32::min(f(a), f(b), MinMax::default()).to_bits() }
    MinXF32(a: u32, b: u32) -> u32 { float32::min(f(a), f(b), min_max(x)).to_bits() }
    Min3F32(a: u32, b: u32, c: u32) -> u32 { float32::min3(f(a), f(b), f(c), min_max(x)).to_bits() }
    MinF64(a: u64, b: u64) -> u64 { float64::min(d(a), d(b)).to_bits() }
    MinF16(a: u32, b: u32) -> u32 { half::min_f16(a, b, min_max(x)) }
    MinF16x2(a: u32, b: u32) -> u32 { half::map2(a, b, |a, b| half::min_f16(a, b, min_max(x))) }
    MinBf16(a: u32, b: u32) -> u32 { half::min_bf16(a, b, min_max(x)) }
    MinBf16x2(a: u32, b: u32) -> u32 { half::map2(a, b, |a, b| half::min_bf16(a, b, min_max(x))) }
    MaxF32(a: u32, b: u32) -> u32 { float32::max(f(a), f(b), MinMax::default()).to_bits() }
    MaxXF32(a: u32, b: u32) -> u32 { float32::max(f(a), f(b), min_max(x)).to_bits() }
    Max3F32(a: u32, b: u32, c: u32) -> u32 { float32::max3(f(a), f(b), f(c), min_max(x)).to_bits() }
    MaxF64(a: u64, b: u64) -> u64 { float64::max(d(a), d(b)).to_bits() }
    MaxF16(a: u32, b: u32) -> u32 { half::max_f16(a, b, min_max(x)) }
    MaxF16x2(a: u32, b: u32) -> u32 { half::map2(a, b, |a, b| half::max_f16(a, b, min_max(x))) }
    MaxBf16(a: u32, b: u32) -> u32 { half::max_bf16(a, b, min_max(x)) }
    MaxBf16x2(a: u32, b: u32) -> u32 { half::map2(a, b, |a, b| half::max_bf16(a, b, min_max(x))) }
    AddF16(a: u32, b: u32) -> u32 { half::add_f16(a, b, x & FTZ != 0, x & SAT != 0) }
    AddF16x2(a: u32, b: u32) -> u32 { half::map2(a, b, |a, b| half::add_f16(a, b, x & FTZ != 0, x & SAT != 0)) }
    AddBf16(a: u32, b: u32) -> u32 { half::add_bf16(a, b) }
    AddBf16x2(a: u32, b: u32) -> u32 { half::map2(a, b, half::add_bf16) }
    SubF16(a: u32, b: u32) -> u32 { half::sub_f16(a, b, x & FTZ != 0, x & SAT != 0) }
    SubF16x2(a: u32, b: u32) -> u32 { half::map2(a, b, |a, b| half::sub_f16(a, b, x & FTZ != 0, x & SAT != 0)) }
    SubBf16(a: u32, b: u32) -> u32 { half::sub_bf16(a, b) }
    SubBf16x2(a: u32, b: u32) -> u32 { half::map2(a, b, half::sub_bf16) }
    MulF16(a: u32, b: u32) -> u32 { half::mul_f16(a, b, x & FTZ != 0, x & SAT != 0) }
    MulF16x2(a: u32, b: u32) -> u32 { half::map2(a, b, |a, b| half::mul_f16(a, b, x & FTZ != 0, x & SAT != 0)) }
    MulBf16(a: u32, b: u32) -> u32 { half::mul_bf16(a, b) }
    MulBf16x2(a: u32, b: u32) -> u32 { half::map2(a, b, half::mul_bf16) }
    FmaF16(a: u32, b: u32, c: u32) -> u32 { half::fma_f16(a, b, c, x & FTZ != 0, x & SAT != 0, x & RELU != 0) }
    FmaF16x2(a: u32, b: u32, c: u32) -> u32 { half::map3(a, b, c, |a, b, c| half::fma_f16(a, b, c, x & FTZ != 0, x & SAT != 0, x & RELU != 0)) }
    FmaBf16(a: u32, b: u32, c: u32) -> u32 { half::fma_bf16(a, b, c, x & RELU != 0) }
    FmaBf16x2(a: u32, b: u32, c: u32) -> u32 { half::map3(a, b, c, |a, b, c| half::fma_bf16(a, b, c, x & RELU != 0)) }
    Ex2F16(a: u32) -> u32 { half::ex2_f16(a) }
    Ex2F16x2(a: u32) -> u32 { half::map1(a, half::ex2_f16) }
    Ex2Bf16(a: u32) -> u32 { half::ex2_bf16(a) }
    Ex2Bf16x2(a: u32) -> u32 { half::map1(a, half::ex2_bf16) }
    TanhF16(a: u32) -> u32 { half::tanh_f16(a) }
    TanhF16x2(a: u32) -> u32 { half::map1(a, half::tanh_f16) }
    TanhBf16(a: u32) -> u32 { half::tanh_bf16(a) }
    TanhBf16x2(a: u32) -> u32 { half::map1(a, half::tanh_bf16) }
    F16ToF32(a: u32) -> u32 { half::f16_to_f32(a).to_bits() }
    Bf16ToF32(a: u32) -> u32 { half::bf16_to_f32(a).to_bits() }
    F32ToInt32(a: u32) -> u32 { low(convert::f32_to_int(int_type(x >> 8), f(a), int_rounding(x >> 12), x & FTZ != 0)) }
    F32ToInt64(a: u32) -> u64 { convert::f32_to_int(int_type(x >> 8), f(a), int_rounding(x >> 12), x & FTZ != 0) }
    F64ToInt32(a: u64) -> u32 { low(convert::f64_to_int(int_type(x >> 8), d(a), int_rounding(x >> 12))) }
    F64ToInt64(a: u64) -> u64 { convert::f64_to_int(int_type(x >> 8), d(a), int_rounding(x >> 12)) }
    F16ToInt32(a: u32) -> u32 { low(convert::f16_to_int(int_type(x >> 8), a, int_rounding(x >> 12))) }
    F16ToInt64(a: u32) -> u64 { convert::f16_to_int(int_type(x >> 8), a, int_rounding(x >> 12)) }
    Bf16ToInt32(a: u32) -> u32 { low(convert::bf16_to_int(int_type(x >> 8), a, int_rounding(x >> 12))) }
    Bf16ToInt64(a: u32) -> u64 { convert::bf16_to_int(int_type(x >> 8), a, int_rounding(x >> 12)) }
    F32ToS32(a: u32) -> u32 { low(convert::f32_to_int(IntType::S32, f(a), IntRounding::Rzi, false)) }
    F32ToU32(a: u32) -> u32 { low(convert::f32_to_int(IntType::U32, f(a), IntRounding::Rzi, false)) }
    F32ToS64(a: u32) -> u64 { convert::f32_to_int(IntType::S64, f(a), IntRounding::Rzi, false) }
    F32ToU64(a: u32) -> u64 { convert::f32_to_int(IntType::U64, f(a), IntRounding::Rzi, false) }
    F64ToS32(a: u64) -> u32 { low(convert::f64_to_int(IntType::S32, d(a), IntRounding::Rzi)) }
    F64ToU32(a: u64) -> u32 { low(convert::f64_to_int(IntType::U32, d(a), IntRounding::Rzi)) }
    F64ToS64(a: u64) -> u64 { convert::f64_to_int(IntType::S64, d(a), IntRounding::Rzi) }
    Int32ToF32(a: u32) -> u32 { convert::int_to_f32(int_type(x >> 8), u64::from(a), rounding(x)).to_bits() }
    Int64ToF32(a: u64) -> u32 { convert::int_to_f32(int_type(x >> 8), a, rounding(x)).to_bits() }
    Int32ToF64(a: u32) -> u64 { convert::int_to_f64(int_type(x >> 8), u64::from(a), rounding(x)).to_bits() }
    Int64ToF64(a: u64) -> u64 { convert::int_to_f64(int_type(x >> 8), a, rounding(x)).to_bits() }
    Int32ToF16(a: u32) -> u32 { convert::int_to_f16(int_type(x >> 8), u64::from(a), rounding(x)) }
    Int64ToF16(a: u64) -> u32 { convert::int_to_f16(int_type(x >> 8), a, rounding(x)) }
    Int32ToBf16(a: u32) -> u32 { convert::int_to_bf16(int_type(x >> 8), u64::from(a), rounding(x)) }
    Int64ToBf16(a: u64) -> u32 { convert::int_to_bf16(int_type(x >> 8), a, rounding(x)) }
    S32ToF32(a: u32) -> u32 { convert::int_to_f32(IntType::S32, u64::from(a), Rn).to_bits() }
    U32ToF32(a: u32) -> u32 { convert::int_to_f32(IntType::U32, u64::from(a), Rn).to_bits() }
    S32ToF64(a: u32) -> u64 { convert::int_to_f64(IntType::S32, u64::from(a), Rn).to_bits() }
    U32ToF64(a: u32) -> u64 { convert::int_to_f64(IntType::U32, u64::from(a), Rn).to_bits() }
    F32ToF32(a: u32) -> u32 { convert::f32_to_f32(f(a), maybe_int_rounding(x >> 12), x & FTZ != 0, x & SAT != 0).to_bits() }
    F64ToF64(a: u64) -> u64 { convert::f64_to_f64(d(a), maybe_int_rounding(x >> 12), x & SAT != 0).to_bits() }
    F16ToF16(a: u32) -> u32 { convert::f16_to_f16(a, maybe_int_rounding(x >> 12), x & SAT != 0) }
    Bf16ToBf16(a: u32) -> u32 { convert::bf16_to_bf16(a, maybe_int_rounding(x >> 12)) }
    F32ToF64(a: u32) -> u64 { convert::f32_to_f64(f(a), x & FTZ != 0, x & SAT != 0).to_bits() }
    F64ToF32(a: u64) -> u32 { convert::f64_to_f32(d(a), rounding(x), x & FTZ != 0, x & SAT != 0).to_bits() }
    F64ToF16(a: u64) -> u32 { convert::f64_to_f16(d(a), rounding(x)) }
    F64ToBf16(a: u64) -> u32 { convert::f64_to_bf16(d(a), rounding(x)) }
    F16ToF64(a: u32) -> u64 { convert::f16_to_f64(a).to_bits() }
    Bf16ToF64(a: u32) -> u64 { convert::bf16_to_f64(a).to_bits() }
    F16ToBf16(a: u32) -> u32 { convert::f16_to_bf16(a, rounding(x)) }
    Bf16ToF16(a: u32) -> u32 { convert::bf16_to_f16(a, rounding(x)) }
    F32ToF16(a: u32) -> u32 { clamp(x).f16(convert::f32_to_f16(f(a), rounding(x))) }
    F32ToF16Rn(a: u32) -> u32 { convert::f32_to_f16_rn(f(a)) }
    F32ToBf16(a: u32) -> u32 { clamp(x).bf16(convert::f32_to_bf16(f(a), rounding(x))) }
    F32ToTf32(a: u32) -> u32 { clamp(x).tf32(convert::f32_to_tf32(f(a), tf32_rounding(x))) }
    F32ToF16x2(a: u32, b: u32) -> u32 { convert::f32_to_f16x2(f(a), f(b), rounding(x), clamp(x)) }
    F32ToBf16x2(a: u32, b: u32) -> u32 { convert::f32_to_bf16x2(f(a), f(b), rounding(x), clamp(x)) }
    F32ToE4m3x2(a: u32, b: u32) -> u32 { convert::f32_to_e4m3x2(f(a), f(b), x & RELU != 0) }
    F16x2ToE4m3x2(a: u32) -> u32 { convert::f16x2_to_e4m3x2(a, x & RELU != 0) }
    Bf16x2ToE4m3x2(a: u32) -> u32 { convert::bf16x2_to_e4m3x2(a, x & RELU != 0) }
    E4m3x2ToF16x2(a: u32) -> u32 { convert::e4m3x2_to_f16x2(a, x & RELU != 0) }
    F32ToE5m2x2(a: u32, b: u32) -> u32 { convert::f32_to_e5m2x2(f(a), f(b), x & RELU != 0) }
    F16x2ToE5m2x2(a: u32) -> u32 { convert::f16x2_to_e5m2x2(a, x & RELU != 0) }
    Bf16x2ToE5m2x2(a: u32) -> u32 { convert::bf16x2_to_e5m2x2(a, x & RELU != 0) }
    E5m2x2ToF16x2(a: u32) -> u32 { convert::e5m2x2_to_f16x2(a, x & RELU != 0) }
    AddSatU32(a: u32, b: u32) -> u32 { packed::add_sat_u32(a, b) }
    Packed(a: u32, b: u32) -> u32 { packed::packed(a, b, media::packed(x)) }
    CvtPack(a: u32, b: u32, c: u32) -> u32 { packed::cvt_pack(a, b, c, x & 31, x & 32 != 0) }
    VideoScalar(a: u32, b: u32, c: u32) -> u32 { video::scalar(a, b, c, media::video(x)) }
    VideoSimd(a: u32, b: u32, c: u32) -> u32 { video::simd(a, b, c, media::simd(x)) }
    VideoMad(a: u32, b: u32, c: u32) -> u32 { video::mad(a, b, c, media::mad(x)) }
    FmaOobF16x2(a: u32, b: u32, c: u32) -> u32 { half::map3(a, b, c, |a, b, c| half::fma_oob_f16(a, b, c, x & RELU != 0)) }
    FmaOobBf16x2(a: u32, b: u32, c: u32) -> u32 { half::map3(a, b, c, |a, b, c| half::fma_oob_bf16(a, b, c, x & RELU != 0)) }
    F32ToTiny(a: u32) -> u32 { convert::f32_to_tiny(f(a), media::tiny(x), x & RELU != 0) }
    F32ToTinyRs(a: u32, b: u32) -> u32 { convert::f32_to_tiny_rs(f(a), b, media::tiny(x), x & RELU != 0) }
    TinyToF32(a: u32) -> u32 { convert::tiny_to_f32(a, media::tiny(x)).to_bits() }
    F32ToF16Rs(a: u32, b: u32) -> u32 { clamp(x).f16(convert::f32_to_f16_rs(f(a), b)) }
    F32ToBf16Rs(a: u32, b: u32) -> u32 { clamp(x).bf16(convert::f32_to_bf16_rs(f(a), b)) }
    F32ToUe8m0(a: u32) -> u32 { convert::f32_to_ue8m0(f(a), x & 3 == 3, x & SATFINITE != 0) }
    Ue8m0ToBf16(a: u32) -> u32 { convert::ue8m0_to_bf16(a) }
    S2f6ToBf16(a: u32, b: u32) -> u32 { clamp(x).bf16(convert::s2f6_to_bf16(a, b)) }
}
