//! Integer division: quotients and remainders of 16, 32 and 64 bits.
//!
//! Up to 32 bits a floating-point quotient of twice the precision is exact after truncation. For 64 bits an estimate that is
//! never too large is taken twice; what then remains is less than twice the divisor. Everything is rounded so that it errs
//! downwards: the dividend and the reciprocal down, the divisor up.
//!
//! A quotient or remainder by zero has all bits set. Conversions of infinity and NaN to unsigned integers give just that.

use iced_x86::{Code, Register, RoundingControl};

use super::alu::Form;
use super::ops;
use super::vector::{Emit, Result, at, ymm};
use crate::exec::alu::Alu;

/// Sets all bits of `z` where `b` is zero.
fn ones_by_zero(e: &mut Emit<'_>, z: Register, b: Register) -> Result {
    let k = e.k();
    e.op3(ops::NO_BIT, k, b, b)?;
    e.op3i(ops::TERNARY, at(z, k), z, z, 0xff)
}

/// The quotient of 32 bits, in a new temporary; signed by zero it is not yet right.
fn quotient32(e: &mut Emit<'_>, signed: bool) -> Result<Register> {
    let (to_float, to_int) = if signed {
        (
            Code::EVEX_Vcvtdq2pd_zmm_k1z_ymmm256b32_er,
            Code::EVEX_Vcvttpd2dq_ymm_k1z_zmmm512b64_sae,
        )
    } else {
        (
            Code::EVEX_Vcvtudq2pd_zmm_k1z_ymmm256b32_er,
            Code::EVEX_Vcvttpd2udq_ymm_k1z_zmmm512b64_sae,
        )
    };
    let mut halves = [Register::None; 2];
    for (half, result) in halves.iter_mut().enumerate() {
        let z = e.z();
        let used = e.used();
        let a = e.narrow_half(0, half)?;
        e.i2(to_float, z, a)?;
        e.release(used);
        let b = e.narrow_half(1, half)?;
        let t = e.z();
        e.i2(to_float, t, b)?;
        e.i3(ops::DIV_F[1], z, z, t)?;
        e.i2(to_int, ymm(z), z)?;
        e.release(used);
        *result = z;
    }
    e.join(halves[0], halves[0], ymm(halves[1]))?;
    Ok(halves[0])
}

fn div32(e: &mut Emit<'_>, signed: bool, remainder: bool) -> Result {
    let z = quotient32(e, signed)?;
    let z = e.keep_only(z)?;
    if !signed && !remainder {
        return e.done(z);
    }
    let b = e.r(1)?;
    if remainder {
        e.op3(ops::MUL, z, z, b)?;
        let a = e.r(0)?;
        e.op3(ops::SUB, z, a, z)?;
    }
    ones_by_zero(e, z, b)?;
    e.done(z)
}

/// Source `i` cut to 16 bits and extended, in a new temporary.
fn short(e: &mut Emit<'_>, i: usize, signed: bool) -> Result<Register> {
    let (a, z) = (e.rm(i), e.z());
    e.op2i(ops::SHIFT_LEFT_BY, z, a, 16)?;
    let back = if signed {
        ops::SHIFT_RIGHT_S_BY
    } else {
        ops::SHIFT_RIGHT_U_BY
    };
    e.op2i(back, z, z, 16)?;
    Ok(z)
}

/// 16 bits: the quotient of singles is exact after truncation.
fn div16(e: &mut Emit<'_>, signed: bool, remainder: bool) -> Result {
    let (a, b) = (short(e, 0, signed)?, short(e, 1, signed)?);
    let (z, t) = (e.z(), e.z());
    e.i2(Code::EVEX_Vcvtdq2ps_zmm_k1z_zmmm512b32_er, z, a)?;
    e.i2(Code::EVEX_Vcvtdq2ps_zmm_k1z_zmmm512b32_er, t, b)?;
    e.op3(ops::DIV_F, z, z, t)?;
    e.i2(Code::EVEX_Vcvttps2dq_zmm_k1z_zmmm512b32_sae, z, z)?;
    if remainder {
        e.op3(ops::MUL, z, z, b)?;
        e.op3(ops::SUB, z, a, z)?;
    }
    ones_by_zero(e, z, b)?;
    let bits = e.c32(0xffff);
    let to = e.out();
    e.op3(ops::AND, to, z, bits)
}

/// `quotient += trunc(rest / b)`, estimated; `rest -= that * b`. `t` is overwritten.
fn step(e: &mut Emit<'_>, rest: Register, b: Register, reciprocal: Register, t: Register) -> Result {
    e.i2r(
        Code::EVEX_Vcvtuqq2pd_zmm_k1z_zmmm512b64_er,
        t,
        rest,
        RoundingControl::RoundTowardZero,
    )?;
    e.i3r(ops::MUL_F[1], t, t, reciprocal, RoundingControl::RoundTowardZero)?;
    e.i2(Code::EVEX_Vcvttpd2uqq_zmm_k1z_zmmm512b64_sae, t, t)?;
    let used = e.used();
    let product = e.z();
    e.op3(ops::MUL, product, t, b)?;
    e.op3(ops::SUB, rest, rest, product)?;
    e.release(used);
    Ok(())
}

fn div64(e: &mut Emit<'_>, signed: bool, remainder: bool) -> Result {
    let (a, b) = (e.rm(0), e.rm(1));
    let (rest, divisor) = (e.z(), e.z());
    if signed {
        e.op2(ops::ABS, rest, a)?;
        e.op2(ops::ABS, divisor, b)?;
    } else {
        e.mov(rest, a)?;
        e.mov(divisor, b)?;
    }
    let (reciprocal, quotient) = (e.z(), e.z());
    e.i2r(
        Code::EVEX_Vcvtuqq2pd_zmm_k1z_zmmm512b64_er,
        quotient,
        divisor,
        RoundingControl::RoundUp,
    )?;
    let one = e.c64(1f64.to_bits()).element();
    e.op2(ops::BROADCAST, reciprocal, one)?;
    e.i3r(
        ops::DIV_F[1],
        reciprocal,
        reciprocal,
        quotient,
        RoundingControl::RoundTowardZero,
    )?;
    step(e, rest, divisor, reciprocal, quotient)?;
    let t = e.z();
    step(e, rest, divisor, reciprocal, t)?;
    e.op3(ops::ADD, quotient, quotient, t)?;
    let k = e.k();
    e.op3i(ops::COMPARE_U, k, rest, divisor, 5)?;
    let z = if remainder {
        e.op3(ops::SUB, at(rest, k), rest, divisor)?;
        rest
    } else {
        let ones = e.c64(u64::MAX);
        e.op3(ops::SUB, at(quotient, k), quotient, ones)?;
        quotient
    };
    let z = e.keep_only(z)?;
    if signed {
        // The quotient has the sign of both, the remainder that of the dividend.
        let (a, b) = (e.r(0)?, e.rm(1));
        let t = e.z();
        if remainder {
            e.mov(t, a)?;
        } else {
            e.op3(ops::XOR, t, a, b)?;
        }
        e.op2(ops::SIGNS, k, t)?;
        e.op3(ops::XOR, t, t, t)?;
        e.op3(ops::SUB, at(z, k), t, z)?;
    }
    if signed || remainder {
        let b = e.r(1)?;
        e.op3(ops::NO_BIT, k, b, b)?;
        e.op3i(ops::TERNARY, at(z, k), z, z, 0xff)?;
    }
    e.done(z)
}

/// The forms of division.
pub(super) fn form(alu: Alu) -> Option<Form> {
    use Alu::*;
    Some(match alu {
        DivU16 => Form::Lanes(|e| div16(e, false, false)),
        RemU16 => Form::Lanes(|e| div16(e, false, true)),
        DivS16 => Form::Lanes(|e| div16(e, true, false)),
        RemS16 => Form::Lanes(|e| div16(e, true, true)),
        DivU32 => Form::Lanes(|e| div32(e, false, false)),
        RemU32 => Form::Lanes(|e| div32(e, false, true)),
        DivS32 => Form::Lanes(|e| div32(e, true, false)),
        RemS32 => Form::Lanes(|e| div32(e, true, true)),
        DivU64 => Form::Lanes(|e| div64(e, false, false)),
        RemU64 => Form::Lanes(|e| div64(e, false, true)),
        DivS64 => Form::Lanes(|e| div64(e, true, false)),
        RemS64 => Form::Lanes(|e| div64(e, true, true)),
        _ => return None,
    })
}
