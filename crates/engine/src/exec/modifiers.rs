//! Modifiers of an instruction packed into the immediate of an operation, for the forms too rare to have a loop of their own.
//!
//! ```text
//!  bits 0-1 rounding   2 ftz   3 sat   4 relu   5 NaN   6 abs   7 xorsign   8-10 integer type   12-14 integral rounding (7 none)   16 satfinite
//! ```

use tessera_arith::compare::FloatClass;
use tessera_arith::convert::{Clamp, Tf32Rounding};
use tessera_arith::float32::MinMax;
use tessera_arith::logic::PermuteMode;
use tessera_arith::{IntRounding, IntType, Rounding};

/// `.ftz`
pub(crate) const FTZ: u32 = 1 << 2;
/// `.sat`
pub(crate) const SAT: u32 = 1 << 3;
/// `.relu`
pub(crate) const RELU: u32 = 1 << 4;
/// `.NaN`
pub(crate) const NAN: u32 = 1 << 5;
/// `.abs`
pub(crate) const ABS: u32 = 1 << 6;
/// `.xorsign`
pub(crate) const XORSIGN: u32 = 1 << 7;
/// Where the integer type lies.
pub(crate) const INT_TYPE: u32 = 8;
/// Where the integral rounding lies.
pub(crate) const INT_ROUNDING: u32 = 12;
/// No integral rounding.
pub(crate) const NO_INT_ROUNDING: u32 = 7;
/// `.satfinite`
pub(crate) const SATFINITE: u32 = 1 << 16;

#[inline(always)]
pub(crate) const fn rounding(x: u32) -> Rounding {
    match x & 3 {
        0 => Rounding::Rn,
        1 => Rounding::Rz,
        2 => Rounding::Rm,
        _ => Rounding::Rp,
    }
}

pub(crate) const fn rounding_bits(r: Rounding) -> u32 {
    match r {
        Rounding::Rn => 0,
        Rounding::Rz => 1,
        Rounding::Rm => 2,
        Rounding::Rp => 3,
    }
}

#[inline(always)]
pub(crate) const fn int_rounding(x: u32) -> IntRounding {
    match x & 7 {
        0 => IntRounding::Rni,
        1 => IntRounding::Rzi,
        2 => IntRounding::Rmi,
        _ => IntRounding::Rpi,
    }
}

#[inline(always)]
pub(crate) const fn maybe_int_rounding(x: u32) -> Option<IntRounding> {
    if x & 7 == NO_INT_ROUNDING {
        None
    } else {
        Some(int_rounding(x))
    }
}

pub(crate) const fn int_rounding_bits(r: IntRounding) -> u32 {
    match r {
        IntRounding::Rni => 0,
        IntRounding::Rzi => 1,
        IntRounding::Rmi => 2,
        IntRounding::Rpi => 3,
    }
}

#[inline(always)]
pub(crate) const fn int_type(x: u32) -> IntType {
    match x & 7 {
        0 => IntType::U8,
        1 => IntType::S8,
        2 => IntType::U16,
        3 => IntType::S16,
        4 => IntType::U32,
        5 => IntType::S32,
        6 => IntType::U64,
        _ => IntType::S64,
    }
}

pub(crate) const fn int_type_bits(t: IntType) -> u32 {
    match t {
        IntType::U8 => 0,
        IntType::S8 => 1,
        IntType::U16 => 2,
        IntType::S16 => 3,
        IntType::U32 => 4,
        IntType::S32 => 5,
        IntType::U64 => 6,
        IntType::S64 => 7,
    }
}

#[inline(always)]
pub(crate) const fn min_max(x: u32) -> MinMax {
    MinMax {
        ftz: x & FTZ != 0,
        nan: x & NAN != 0,
        abs: x & ABS != 0,
        xorsign: x & XORSIGN != 0,
    }
}

#[inline(always)]
pub(crate) const fn clamp(x: u32) -> Clamp {
    Clamp {
        sat: x & SAT != 0,
        relu: x & RELU != 0,
        satfinite: x & SATFINITE != 0,
    }
}

/// `.rna` is kept as "towards positive infinity", which `tf32` does not have.
#[inline(always)]
pub(crate) const fn tf32_rounding(x: u32) -> Tf32Rounding {
    match x & 3 {
        0 => Tf32Rounding::Rn,
        1 => Tf32Rounding::Rz,
        _ => Tf32Rounding::Rna,
    }
}

#[inline(always)]
pub(crate) const fn float_class(x: u32) -> FloatClass {
    match x {
        0 => FloatClass::Finite,
        1 => FloatClass::Infinite,
        2 => FloatClass::Number,
        3 => FloatClass::NotANumber,
        4 => FloatClass::Normal,
        _ => FloatClass::Subnormal,
    }
}

#[inline(always)]
pub(crate) const fn permute_mode(x: u32) -> PermuteMode {
    match x {
        0 => PermuteMode::F4e,
        1 => PermuteMode::B4e,
        2 => PermuteMode::Rc8,
        3 => PermuteMode::Ecl,
        4 => PermuteMode::Ecr,
        _ => PermuteMode::Rc16,
    }
}
