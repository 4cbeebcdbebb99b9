//! Conversions between integers and floating point, and among the formats of floating point.
//!
//! Integers clamp to their type's range and NaN becomes 0, or the top bit alone where 64 bits take part: the processor's
//! conversions are brought there by clamping before them or by replacing lanes after them.

use iced_x86::{Code, Register, RoundingControl};
use tessera_arith::IntType;

use super::alu::Form;
use super::float::{self, UNORDERED};
use super::half;
use super::moves;
use super::ops;
use super::vector::{Emit, Pair, Result, Rm, at, rounding, ymm, zeroed};
use crate::exec::alu::Alu;
use crate::exec::modifiers::{FTZ, SAT, int_type};

const NEAREST: RoundingControl = RoundingControl::RoundToNearest;
const TOWARDS_ZERO: RoundingControl = RoundingControl::RoundTowardZero;

/// Ordered and greater or equal.
const AT_LEAST: u32 = 0x1d;

/// The integral rounding of an immediate's bits 12 to 14.
const fn integral(x: u32) -> RoundingControl {
    rounding(x >> 12)
}

/// `to = code(b)`, with embedded rounding unless to nearest.
fn rounded(e: &mut Emit<'_>, code: Code, to: Register, b: Rm, how: RoundingControl) -> Result {
    if how == NEAREST {
        return e.i2(code, to, b);
    }
    let b = e.load(b)?;
    e.i2r(code, to, b, how)
}

// From integers.

/// The 32-bit source 0 as a number of its type.
fn number(e: &mut Emit<'_>, ty: IntType) -> Result<Rm> {
    let a = e.rm(0);
    if ty.bits() >= if e.wide { 64 } else { 32 } {
        return Ok(a);
    }
    let z = e.copy(a)?;
    moves::cut(e, z, ty)?;
    Ok(z.into())
}

const fn from32(ty: IntType) -> Code {
    if ty.is_signed() {
        Code::EVEX_Vcvtdq2ps_zmm_k1z_zmmm512b32_er
    } else {
        Code::EVEX_Vcvtudq2ps_zmm_k1z_zmmm512b32_er
    }
}

const fn from64(ty: IntType) -> Code {
    if ty.is_signed() {
        Code::EVEX_Vcvtqq2ps_ymm_k1z_zmmm512b64_er
    } else {
        Code::EVEX_Vcvtuqq2ps_ymm_k1z_zmmm512b64_er
    }
}

fn int32_to_f32(e: &mut Emit<'_>, ty: IntType, how: RoundingControl) -> Result {
    let a = number(e, ty)?;
    if how == NEAREST {
        let to = e.out();
        return e.i2(from32(ty), to, a);
    }
    let z = e.last();
    rounded(e, from32(ty), z, a, how)?;
    e.done(z)
}

/// Source 0, of 64 bits, as singles.
fn singles_of_int64(e: &mut Emit<'_>, ty: IntType, how: RoundingControl) -> Result<Register> {
    e.gather_halves(|e, z, a| {
        let mut a = a;
        if ty.bits() < 64 {
            a = e.copy(a)?;
            moves::cut(e, a, ty)?;
        }
        rounded(e, from64(ty), ymm(z), a.into(), how)
    })
}

fn int64_to_f32(e: &mut Emit<'_>) -> Result {
    let z = singles_of_int64(e, int_type(e.x >> 8), rounding(e.x))?;
    e.done(z)
}

fn int32_to_f64(e: &mut Emit<'_>, ty: IntType) -> Result {
    if ty.bits() < 32 {
        let Rm::Reg(z) = number(e, ty)? else {
            unreachable!("a number that is cut is in a register")
        };
        e.substitute(0, z)?;
    }
    let code = if ty.is_signed() {
        Code::EVEX_Vcvtdq2pd_zmm_k1z_ymmm256b32_er
    } else {
        Code::EVEX_Vcvtudq2pd_zmm_k1z_ymmm256b32_er
    };
    e.widely(|e| {
        let a = e.narrow(0)?;
        let to = e.out();
        e.i2(code, to, a)
    })
}

fn int64_to_f64(e: &mut Emit<'_>) -> Result {
    let (ty, how) = (int_type(e.x >> 8), rounding(e.x));
    let code = if ty.is_signed() {
        Code::EVEX_Vcvtqq2pd_zmm_k1z_zmmm512b64_er
    } else {
        Code::EVEX_Vcvtuqq2pd_zmm_k1z_zmmm512b64_er
    };
    let a = number(e, ty)?;
    let z = e.last();
    rounded(e, code, z, a, how)?;
    e.done(z)
}

/// The source, an integer, as singles rounded to odd.
fn odd_of_int(e: &mut Emit<'_>, wide: bool) -> Result<Register> {
    let ty = int_type(e.x >> 8);
    if wide {
        let down = singles_of_int64(e, ty, RoundingControl::RoundDown)?;
        let up = singles_of_int64(e, ty, RoundingControl::RoundUp)?;
        half::pick_odd(e, down, up)?;
        return Ok(down);
    }
    let a = number(e, ty)?;
    let a = e.load(a)?;
    let (down, up) = (e.z(), e.z());
    e.i2r(from32(ty), down, a, RoundingControl::RoundDown)?;
    e.i2r(from32(ty), up, a, RoundingControl::RoundUp)?;
    half::pick_odd(e, down, up)?;
    Ok(down)
}

fn int_to_half(e: &mut Emit<'_>, wide: bool, brain: bool) -> Result {
    let z = odd_of_int(e, wide)?;
    let z = e.keep_only(z)?;
    let h = half::narrowed(e, z, brain, e.x)?;
    e.done(h)
}

// To integers.

fn to_int(
    e: &mut Emit<'_>,
    [by_rounding, by_truncation]: Pair,
    to: super::vector::To,
    a: Register,
    how: RoundingControl,
) -> Result {
    if how == TOWARDS_ZERO {
        e.i2(by_truncation, to, a)
    } else {
        e.i2r(by_rounding, to, a, how)
    }
}

const F32_TO_S32: Pair = [
    Code::EVEX_Vcvtps2dq_zmm_k1z_zmmm512b32_er,
    Code::EVEX_Vcvttps2dq_zmm_k1z_zmmm512b32_sae,
];
const F32_TO_U32: Pair = [
    Code::EVEX_Vcvtps2udq_zmm_k1z_zmmm512b32_er,
    Code::EVEX_Vcvttps2udq_zmm_k1z_zmmm512b32_sae,
];
const F32_TO_S64: Pair = [
    Code::EVEX_Vcvtps2qq_zmm_k1z_ymmm256b32_er,
    Code::EVEX_Vcvttps2qq_zmm_k1z_ymmm256b32_sae,
];
const F32_TO_U64: Pair = [
    Code::EVEX_Vcvtps2uqq_zmm_k1z_ymmm256b32_er,
    Code::EVEX_Vcvttps2uqq_zmm_k1z_ymmm256b32_sae,
];
const F64_TO_S32: Pair = [
    Code::EVEX_Vcvtpd2dq_ymm_k1z_zmmm512b64_er,
    Code::EVEX_Vcvttpd2dq_ymm_k1z_zmmm512b64_sae,
];
const F64_TO_U32: Pair = [
    Code::EVEX_Vcvtpd2udq_ymm_k1z_zmmm512b64_er,
    Code::EVEX_Vcvttpd2udq_ymm_k1z_zmmm512b64_sae,
];
const F64_TO_S64: Pair = [
    Code::EVEX_Vcvtpd2qq_zmm_k1z_zmmm512b64_er,
    Code::EVEX_Vcvttpd2qq_zmm_k1z_zmmm512b64_sae,
];
const F64_TO_U64: Pair = [
    Code::EVEX_Vcvtpd2uqq_zmm_k1z_zmmm512b64_er,
    Code::EVEX_Vcvttpd2uqq_zmm_k1z_zmmm512b64_sae,
];

/// Clamps the signed words of `z` to a smaller type.
fn clamp(e: &mut Emit<'_>, z: Register, ty: IntType) -> Result {
    let (least, most) = match ty {
        IntType::U8 => (0, 0xff),
        IntType::S8 => (0xffff_ff80, 0x7f),
        IntType::U16 => (0, 0xffff),
        IntType::S16 => (0xffff_8000, 0x7fff),
        _ => return Ok(()),
    };
    let least = e.c32(least);
    e.op3(ops::MAX_S, z, z, least)?;
    let most = e.c32(most);
    e.op3(ops::MIN_S, z, z, most)
}

/// The singles of source 0 as integers of up to 32 bits.
fn words_of_f32(e: &mut Emit<'_>, ty: IntType, how: RoundingControl, ftz: bool) -> Result<Register> {
    // Only these roundings see a subnormal.
    let flush = ftz && matches!(how, RoundingControl::RoundDown | RoundingControl::RoundUp);
    let a = float::operand(e, 0, flush)?;
    let a = e.load(a)?;
    let z = e.z();
    if ty == IntType::U32 {
        // Negative numbers and NaN become 0 here; too large ones become all ones below.
        let zero = e.c32(0);
        e.op3(ops::MAX_F, z, a, zero)?;
        to_int(e, F32_TO_U32, z.into(), z, how)?;
        return Ok(z);
    }
    let k = e.k();
    e.op3i(ops::COMPARE_F, k, a, a, 7)?;
    to_int(e, F32_TO_S32, zeroed(z, k), a, how)?;
    let bound = e.c32(2_147_483_648f32.to_bits());
    e.op3i(ops::COMPARE_F, k, a, bound, AT_LEAST)?;
    let most = e.c32(0x7fff_ffff).element();
    e.op2(ops::BROADCAST, at(z, k), most)?;
    clamp(e, z, ty)?;
    Ok(z)
}

fn f32_to_int32(e: &mut Emit<'_>, ty: IntType, how: RoundingControl, ftz: bool) -> Result {
    let z = words_of_f32(e, ty, how, ftz)?;
    e.done(z)
}

fn f32_to_int64(e: &mut Emit<'_>, ty: IntType, how: RoundingControl, ftz: bool) -> Result {
    if ty.bits() < 64 {
        let z = words_of_f32(e, ty, how, ftz)?;
        return e.done_extended(z, ty.is_signed());
    }
    if ftz && matches!(how, RoundingControl::RoundDown | RoundingControl::RoundUp) {
        let Rm::Reg(z) = float::operand(e, 0, true)? else {
            unreachable!("a flushed operand is in a register")
        };
        e.substitute(0, z)?;
    }
    e.widely(|e| {
        let a = e.narrow_register(0)?;
        let (z, k) = (e.z(), e.k());
        let compare = Code::EVEX_Vcmpps_kr_k1_ymm_ymmm256b32_imm8;
        if ty.is_signed() {
            to_int(e, F32_TO_S64, z.into(), a, how)?;
            let bound = e.c32(9_223_372_036_854_775_808f32.to_bits());
            e.i3i(compare, k, a, bound, AT_LEAST)?;
        } else {
            let zero = e.c32(0);
            e.i3(Code::EVEX_Vmaxps_ymm_k1z_ymm_ymmm256b32, ymm(z), a, zero)?;
            to_int(e, F32_TO_U64, z.into(), ymm(z), how)?;
            e.i3i(compare, k, a, a, UNORDERED)?;
        }
        // Too large, or NaN.
        let special = if ty.is_signed() { u64::MAX >> 1 } else { 1 << 63 };
        let special = e.c64(special).element();
        e.op2(ops::BROADCAST, at(z, k), special)?;
        e.done(z)
    })
}

/// The doubles of source 0 as integers of up to 32 bits.
fn words_of_f64(e: &mut Emit<'_>, ty: IntType, how: RoundingControl) -> Result<Register> {
    let z = e.gather_halves(|e, z, a| {
        let used = e.used();
        if ty == IntType::U32 {
            let zero = e.c64(0);
            e.op3(ops::MAX_F, z, a, zero)?;
            to_int(e, F64_TO_U32, ymm(z).into(), z, how)?;
        } else {
            // Of a number and NaN the instruction gives the second.
            let most = e.c64(2_147_483_647f64.to_bits());
            let most = e.copy(most)?;
            e.op3(ops::MIN_F, z, most, a)?;
            to_int(e, F64_TO_S32, ymm(z).into(), z, how)?;
        }
        if !ty.is_signed() {
            let k = e.k();
            e.op3i(ops::COMPARE_F, k, a, a, UNORDERED)?;
            let top = e.c32(1 << (ty.bits() - 1)).element();
            e.i2(Code::EVEX_Vpbroadcastd_ymm_k1z_xmmm32, at(ymm(z), k), top)?;
        }
        e.release(used);
        Ok(())
    })?;
    clamp(e, z, ty)?;
    Ok(z)
}

fn f64_to_int32(e: &mut Emit<'_>, ty: IntType, how: RoundingControl) -> Result {
    let z = words_of_f64(e, ty, how)?;
    e.done(z)
}

fn f64_to_int64(e: &mut Emit<'_>, ty: IntType, how: RoundingControl) -> Result {
    if ty.bits() < 64 {
        let z = words_of_f64(e, ty, how)?;
        return e.done_extended(z, ty.is_signed());
    }
    e.widely(|e| {
        let a = e.r(0)?;
        let (z, k) = (e.z(), e.k());
        if ty.is_signed() {
            to_int(e, F64_TO_S64, z.into(), a, how)?;
            let bound = e.c64(9_223_372_036_854_775_808f64.to_bits());
            e.op3i(ops::COMPARE_F, k, a, bound, AT_LEAST)?;
        } else {
            let zero = e.c64(0);
            e.op3(ops::MAX_F, z, a, zero)?;
            to_int(e, F64_TO_U64, z.into(), z, how)?;
            e.op3i(ops::COMPARE_F, k, a, a, UNORDERED)?;
        }
        let special = if ty.is_signed() { u64::MAX >> 1 } else { 1 << 63 };
        let special = e.c64(special).element();
        e.op2(ops::BROADCAST, at(z, k), special)?;
        e.done(z)
    })
}

/// From half precision by way of single: exact.
fn half_to_int(e: &mut Emit<'_>, wide: bool, brain: bool) -> Result {
    let z = half::widened(e, 0, brain)?;
    e.substitute(0, z)?;
    let (ty, how) = (int_type(e.x >> 8), integral(e.x));
    if wide {
        f32_to_int64(e, ty, how, false)
    } else {
        f32_to_int32(e, ty, how, false)
    }
}

// Among the formats of floating point.

/// Rounds `z` to integral values as bits 12 to 14 of the immediate say; 7 leaves it.
pub(super) fn to_integral(e: &mut Emit<'_>, z: Register) -> Result {
    // The instruction's own numbers of the roundings, without an exception for what is inexact.
    let how = match e.x >> 12 & 7 {
        0 => 8,
        1 => 11,
        2 => 9,
        7 => return Ok(()),
        _ => 10,
    };
    e.op2i(ops::ROUND_F, z, z, how)
}

/// To the same format: rounded to integral values, flushed, saturated.
fn same(e: &mut Emit<'_>) -> Result {
    let a = e.rm(0);
    let z = e.copy(a)?;
    if e.x & FTZ != 0 && !e.wide {
        float::flush(e, z)?;
    }
    to_integral(e, z)?;
    if e.x & SAT != 0 {
        float::saturated(e, z)
    } else {
        float::finish(e, z)
    }
}

fn f32_to_f64(e: &mut Emit<'_>) -> Result {
    if e.x & FTZ != 0 {
        let Rm::Reg(z) = float::operand(e, 0, true)? else {
            unreachable!("a flushed operand is in a register")
        };
        e.substitute(0, z)?;
    }
    doubles(e, e.x & SAT != 0)
}

/// Source 0, singles, as doubles.
fn doubles(e: &mut Emit<'_>, sat: bool) -> Result {
    e.widely(|e| {
        let a = e.narrow(0)?;
        if sat {
            let z = e.last();
            e.i2(Code::EVEX_Vcvtps2pd_zmm_k1z_ymmm256b32_sae, z, a)?;
            return float::saturated(e, z);
        }
        let to = e.out();
        e.i2(Code::EVEX_Vcvtps2pd_zmm_k1z_ymmm256b32_sae, to, a)
    })
}

/// Source 0, doubles, as singles.
fn singles(e: &mut Emit<'_>, how: RoundingControl) -> Result<Register> {
    e.gather_halves(|e, z, a| {
        rounded(
            e,
            Code::EVEX_Vcvtpd2ps_ymm_k1z_zmmm512b64_er,
            ymm(z),
            a.into(),
            how,
        )
    })
}

fn f64_to_f32(e: &mut Emit<'_>) -> Result {
    let how = rounding(e.x);
    let z = singles(e, how)?;
    if e.x & FTZ != 0 {
        let scaled = e.gather_halves(|e, z, a| {
            let factor = e.c64(16_777_216f64.to_bits());
            e.op3(ops::MUL_F, z, a, factor)?;
            rounded(
                e,
                Code::EVEX_Vcvtpd2ps_ymm_k1z_zmmm512b64_er,
                ymm(z),
                z.into(),
                how,
            )
        })?;
        float::flush_tiny(e, z, scaled)?;
    }
    // A NaN keeps its sign and the upper part of its payload.
    if e.x & SAT != 0 {
        float::saturated(e, z)
    } else {
        e.done(z)
    }
}

fn f64_to_half(e: &mut Emit<'_>, brain: bool) -> Result {
    let down = singles(e, RoundingControl::RoundDown)?;
    let up = singles(e, RoundingControl::RoundUp)?;
    half::pick_odd(e, down, up)?;
    let z = e.keep_only(down)?;
    let h = half::narrowed(e, z, brain, e.x)?;
    e.done(h)
}

fn half_to_f64(e: &mut Emit<'_>, brain: bool) -> Result {
    let z = half::widened(e, 0, brain)?;
    if !brain {
        float::canonical(e, z)?;
    }
    e.substitute(0, z)?;
    doubles(e, false)
}

/// The forms of conversions.
pub(super) fn form(alu: Alu) -> Option<Form> {
    use Alu::*;
    Some(match alu {
        S32ToF32 => Form::Lanes(|e| int32_to_f32(e, IntType::S32, NEAREST)),
        U32ToF32 => Form::Lanes(|e| int32_to_f32(e, IntType::U32, NEAREST)),
        Int32ToF32 => Form::Lanes(|e| int32_to_f32(e, int_type(e.x >> 8), rounding(e.x))),
        Int64ToF32 => Form::Whole(int64_to_f32),
        S32ToF64 => Form::Whole(|e| int32_to_f64(e, IntType::S32)),
        U32ToF64 => Form::Whole(|e| int32_to_f64(e, IntType::U32)),
        Int32ToF64 => Form::Whole(|e| int32_to_f64(e, int_type(e.x >> 8))),
        Int64ToF64 => Form::Lanes(int64_to_f64),
        Int32ToF16 => Form::Lanes(|e| int_to_half(e, false, false)),
        Int64ToF16 => Form::Whole(|e| int_to_half(e, true, false)),
        Int32ToBf16 => Form::Lanes(|e| int_to_half(e, false, true)),
        Int64ToBf16 => Form::Whole(|e| int_to_half(e, true, true)),
        F32ToS32 => Form::Lanes(|e| f32_to_int32(e, IntType::S32, TOWARDS_ZERO, false)),
        F32ToU32 => Form::Lanes(|e| f32_to_int32(e, IntType::U32, TOWARDS_ZERO, false)),
        F32ToInt32 => Form::Lanes(|e| f32_to_int32(e, int_type(e.x >> 8), integral(e.x), e.x & FTZ != 0)),
        F32ToS64 => Form::Whole(|e| f32_to_int64(e, IntType::S64, TOWARDS_ZERO, false)),
        F32ToU64 => Form::Whole(|e| f32_to_int64(e, IntType::U64, TOWARDS_ZERO, false)),
        F32ToInt64 => Form::Whole(|e| f32_to_int64(e, int_type(e.x >> 8), integral(e.x), e.x & FTZ != 0)),
        F64ToS32 => Form::Whole(|e| f64_to_int32(e, IntType::S32, TOWARDS_ZERO)),
        F64ToU32 => Form::Whole(|e| f64_to_int32(e, IntType::U32, TOWARDS_ZERO)),
        F64ToInt32 => Form::Whole(|e| f64_to_int32(e, int_type(e.x >> 8), integral(e.x))),
        F64ToS64 => Form::Whole(|e| f64_to_int64(e, IntType::S64, TOWARDS_ZERO)),
        F64ToInt64 => Form::Whole(|e| f64_to_int64(e, int_type(e.x >> 8), integral(e.x))),
        F16ToInt32 => Form::Lanes(|e| half_to_int(e, false, false)),
        F16ToInt64 => Form::Whole(|e| half_to_int(e, true, false)),
        Bf16ToInt32 => Form::Lanes(|e| half_to_int(e, false, true)),
        Bf16ToInt64 => Form::Whole(|e| half_to_int(e, true, true)),
        F32ToF32 | F64ToF64 => Form::Lanes(same),
        F32ToF64 => Form::Whole(f32_to_f64),
        F64ToF32 => Form::Whole(f64_to_f32),
        F64ToF16 => Form::Whole(|e| f64_to_half(e, false)),
        F64ToBf16 => Form::Whole(|e| f64_to_half(e, true)),
        F16ToF64 => Form::Whole(|e| half_to_f64(e, false)),
        Bf16ToF64 => Form::Whole(|e| half_to_f64(e, true)),
        _ => return None,
    })
}
