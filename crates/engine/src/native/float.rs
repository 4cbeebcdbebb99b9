//! Floating point of 32 and 64 bits: `add sub mul fma div sqrt min max` in every rounding, `abs neg copysign`.
//!
//! The processor's results are those of the reference but for NaN, which is made canonical, and for `.ftz`: operands are
//! flushed before, results after, the latter by whether they are tiny before they are rounded as subnormals.

use iced_x86::{Register, RoundingControl};

use super::alu::Form;
use super::ops;
use super::vector::{Emit, Pair, Result, Rm, To, at, rounding};
use crate::exec::alu::Alu;
use crate::exec::modifiers::{ABS, FTZ, NAN, SAT, XORSIGN};

/// Predicate of the comparison that is true with NaN only.
pub(super) const UNORDERED: u32 = 3;
/// Classes of the classification instruction.
pub(super) const SUBNORMAL: u32 = 0x20;

/// The canonical NaN of the operation's width.
pub(super) fn nan(e: &mut Emit<'_>) -> Rm {
    e.c(tessera_arith::float32::NAN, tessera_arith::float64::NAN)
}

/// The sign bit of every lane.
pub(super) fn sign(e: &mut Emit<'_>) -> Rm {
    e.c(1 << 31, 1 << 63)
}

/// All bits but the sign of every lane.
pub(super) fn magnitude(e: &mut Emit<'_>) -> Rm {
    e.c(!(1 << 31), !(1 << 63))
}

/// Writes `z` with every NaN made canonical; `z` is overwritten.
pub(super) fn finish(e: &mut Emit<'_>, z: Register) -> Result {
    if !e.any_nan() {
        canonical(e, z)?;
    }
    e.done(z)
}

/// Makes the NaNs canonical that an instruction just wrote to the destination.
fn finish_written(e: &mut Emit<'_>) -> Result {
    if e.any_nan() {
        return Ok(());
    }
    let d = e.destination();
    let k = e.k();
    let lanes = e.lanes();
    e.op3i(ops::COMPARE_F, at(k, lanes), d, d, UNORDERED)?;
    let nan = nan(e).element();
    e.op2(ops::BROADCAST, at(d, k), nan)
}

/// Makes every NaN of `z` canonical.
pub(super) fn canonical(e: &mut Emit<'_>, z: Register) -> Result {
    let used = e.used();
    let k = e.k();
    e.op3i(ops::COMPARE_F, k, z, z, UNORDERED)?;
    let nan = nan(e).element();
    e.op2(ops::BROADCAST, at(z, k), nan)?;
    e.release(used);
    Ok(())
}

/// Flushes the subnormals of `z` to zero of their sign.
pub(super) fn flush(e: &mut Emit<'_>, z: Register) -> Result {
    let used = e.used();
    let k = e.k();
    e.op2i(ops::CLASS_F, k, z, SUBNORMAL)?;
    let sign = sign(e);
    e.op3(ops::AND, at(z, k), z, sign)?;
    e.release(used);
    Ok(())
}

/// Source `i`, flushed where `ftz`.
pub(super) fn operand(e: &mut Emit<'_>, i: usize, ftz: bool) -> Result<Rm> {
    let a = e.rm(i);
    if !ftz {
        return Ok(a);
    }
    let z = e.copy(a)?;
    flush(e, z)?;
    Ok(z.into())
}

/// Clamps `z` to [0, 1], NaN and -0 to +0, and writes it.
pub(super) fn saturated(e: &mut Emit<'_>, z: Register) -> Result {
    let to = e.out();
    clamp(e, z, to)
}

/// Clamps `z` to [0, 1], NaN and -0 to +0.
pub(super) fn clamp_unit(e: &mut Emit<'_>, z: Register) -> Result {
    clamp(e, z, z.into())
}

fn clamp(e: &mut Emit<'_>, z: Register, to: To) -> Result {
    // Where an operand is NaN, or both are zero, these instructions give the second.
    let zero = e.c(0, 0);
    e.op3(ops::MAX_F, z, z, zero)?;
    let one = e.c(1f32.to_bits(), 1f64.to_bits());
    e.op3(ops::MIN_F, to, z, one)
}

/// Modifiers of an arithmetic instruction.
#[derive(Clone, Copy)]
pub(super) struct How {
    pub(super) rounding: RoundingControl,
    pub(super) ftz: bool,
    pub(super) sat: bool,
}

impl How {
    pub(super) const PLAIN: Self = Self {
        rounding: RoundingControl::RoundToNearest,
        ftz: false,
        sat: false,
    };
    pub(super) const FTZ: Self = Self {
        ftz: true,
        ..Self::PLAIN
    };

    /// Without clamping.
    const fn unsaturated(self) -> Self {
        Self { sat: false, ..self }
    }

    /// As an immediate says.
    pub(super) const fn of(x: u32) -> Self {
        Self {
            rounding: rounding(x),
            ftz: x & FTZ != 0,
            sat: x & SAT != 0,
        }
    }

    /// The rounding of an immediate alone.
    const fn rounding_of(x: u32) -> Self {
        Self {
            rounding: rounding(x),
            ..Self::PLAIN
        }
    }
}

/// Saturates or makes canonical, and writes.
fn end(e: &mut Emit<'_>, z: Register, how: How) -> Result {
    if how.sat { saturated(e, z) } else { finish(e, z) }
}

/// Flushes the lanes of `z` where `scaled`, the result times 2^24 rounded by itself, is below 2^-102.
pub(super) fn flush_tiny(e: &mut Emit<'_>, z: Register, scaled: Register) -> Result {
    let used = e.used();
    let magnitude = magnitude(e);
    e.op3(ops::AND, scaled, scaled, magnitude)?;
    let k = e.k();
    let bound = e.c32((127 - 102) << 23);
    // Ordered and less: false with NaN.
    e.op3i(ops::COMPARE_F, k, scaled, bound, 0x11)?;
    let sign = sign(e);
    e.op3(ops::AND, at(z, k), z, sign)?;
    e.release(used);
    Ok(())
}

/// 2^24
fn scale(e: &mut Emit<'_>) -> Rm {
    e.c32(16_777_216f32.to_bits())
}

/// `a + b` or `a - b`: exact where subnormal, so the flush may look at the result.
pub(super) fn sum(e: &mut Emit<'_>, pair: Pair, how: How) -> Result {
    let a = operand(e, 0, how.ftz)?;
    let b = operand(e, 1, how.ftz)?;
    let a = e.load(a)?;
    if !how.ftz && !how.sat {
        let to = e.out();
        e.op3r(pair, to, a, b, how.rounding)?;
        return finish_written(e);
    }
    let z = e.last();
    e.op3r(pair, z, a, b, how.rounding)?;
    if how.ftz {
        flush(e, z)?;
    }
    end(e, z, how)
}

/// `a * b` or `a / b`
pub(super) fn product(e: &mut Emit<'_>, pair: Pair, how: How) -> Result {
    let a = operand(e, 0, how.ftz)?;
    let a = e.load(a)?;
    let b = operand(e, 1, how.ftz)?;
    let b = if how.ftz { e.load(b)?.into() } else { b };
    ratio(e, pair, a, b, how)
}

/// `1 / a`
pub(super) fn rcp(e: &mut Emit<'_>, how: How) -> Result {
    let b = operand(e, 0, how.ftz)?;
    let one = e.c(1f32.to_bits(), 1f64.to_bits());
    let one = e.copy(one)?;
    ratio(e, ops::DIV_F, one, b, how)
}

fn ratio(e: &mut Emit<'_>, pair: Pair, a: Register, b: Rm, how: How) -> Result {
    if how.ftz {
        let scaled = e.z();
        let factor = scale(e);
        e.op3(ops::MUL_F, scaled, a, factor)?;
        e.op3r(pair, scaled, scaled, b, how.rounding)?;
        let z = e.last();
        e.op3r(pair, z, a, b, how.rounding)?;
        flush_tiny(e, z, scaled)?;
        return end(e, z, how);
    }
    if !how.sat {
        let to = e.out();
        e.op3r(pair, to, a, b, how.rounding)?;
        return finish_written(e);
    }
    let z = e.last();
    e.op3r(pair, z, a, b, how.rounding)?;
    end(e, z, how)
}

/// `to = a * b + c`, where `to` may be one of them.
fn fused(e: &mut Emit<'_>, to: To, a: Rm, b: Rm, c: Rm, how: How) -> Result {
    let d = to.register();
    // The instruction overwrites one operand and takes one from memory.
    let (a, b) = if b.is(d) || (matches!(a, Rm::Mem(_)) && !a.is(d)) {
        (b, a)
    } else {
        (a, b)
    };
    if c.is(d) {
        let a = e.load(a)?;
        return e.op3r(ops::FMA_231, to, a, b, how.rounding);
    }
    if !a.is(d) {
        if matches!(a, Rm::Mem(_)) || matches!(c, Rm::Reg(_)) && matches!(b, Rm::Mem(_)) {
            // Two in memory, or a factor in memory and the term in a register: the term is copied.
            let a = e.load(a)?;
            e.mov(to, c)?;
            return e.op3r(ops::FMA_231, to, a, b, how.rounding);
        }
        e.mov(to, a)?;
    }
    let b = e.load(b)?;
    e.op3r(ops::FMA_213, to, b, c, how.rounding)
}

/// `a * b + c`, rounded once.
pub(super) fn fma(e: &mut Emit<'_>, how: How) -> Result {
    if !how.ftz {
        let (a, b, c) = (e.rm(0), e.rm(1), e.rm(2));
        if !how.sat {
            let to = e.out();
            fused(e, to, a, b, c, how)?;
            return finish_written(e);
        }
        let z = e.last();
        fused(e, z.into(), a, b, c, how)?;
        return end(e, z, how);
    }
    let [a, b, c] = [operand(e, 0, true)?, operand(e, 1, true)?, operand(e, 2, true)?];
    let (a, b, c) = (e.load(a)?, e.load(b)?, e.load(c)?);
    let (scaled, z) = (e.z(), e.last());
    let factor = scale(e);
    e.op3(ops::MUL_F, scaled, c, factor)?;
    // All operands are temporaries: the second pass may take one for its result.
    e.mov(z, c)?;
    e.op3r(ops::FMA_231, z, a, b, how.rounding)?;
    e.op3(ops::MUL_F, a, a, factor)?;
    e.op3r(ops::FMA_231, scaled, a, b, how.rounding)?;
    flush_tiny(e, z, scaled)?;
    end(e, z, how)
}

pub(super) fn sqrt(e: &mut Emit<'_>, how: How) -> Result {
    let a = operand(e, 0, how.ftz)?;
    let z = e.last();
    e.op2r(ops::SQRT_F, z, a, how.rounding)?;
    if how.ftz {
        flush(e, z)?;
    }
    end(e, z, how)
}

/// `abs` and `neg` of 32 bits: NaN becomes canonical.
pub(super) fn signs32(e: &mut Emit<'_>, negate: bool, ftz: bool) -> Result {
    let a = operand(e, 0, ftz)?;
    let a = e.load(a)?;
    let bits = if negate { sign(e) } else { magnitude(e) };
    let z = e.last();
    e.op3(if negate { ops::XOR } else { ops::AND }, z, a, bits)?;
    finish(e, z)
}

/// `abs` and `neg` of 64 bits: NaN passes unchanged.
pub(super) fn signs64(e: &mut Emit<'_>, negate: bool) -> Result {
    let a = e.r(0)?;
    let k = e.k();
    e.op3i(ops::COMPARE_F, k, a, a, 7)?;
    let z = e.last();
    e.mov(z, a)?;
    let bits = if negate { sign(e) } else { magnitude(e) };
    e.op3(if negate { ops::XOR } else { ops::AND }, at(z, k), z, bits)?;
    e.done(z)
}

/// The magnitude of source 1 with the sign of source 0.
pub(super) fn copysign(e: &mut Emit<'_>) -> Result {
    let a = e.rm(0);
    let b = e.r(1)?;
    let z = if Rm::Reg(b).is(e.destination()) {
        e.z()
    } else {
        e.last()
    };
    e.mov(z, a)?;
    let sign = sign(e);
    e.op3i(ops::TERNARY, z, b, sign, 0xe4)?;
    e.done(z)
}

/// The lesser or greater of `a` and `b`, temporaries both, in `a`, as `x` modifies it. NaN results are not yet canonical.
pub(super) fn choose(e: &mut Emit<'_>, a: Register, b: Register, greater: bool, x: u32) -> Result {
    if x & FTZ != 0 {
        flush(e, a)?;
        flush(e, b)?;
    }
    let used = e.used();
    let signs = e.z();
    if x & XORSIGN != 0 {
        e.op3(ops::XOR, signs, a, b)?;
    }
    if x & ABS != 0 {
        let magnitude = magnitude(e);
        e.op3(ops::AND, a, a, magnitude)?;
        e.op3(ops::AND, b, b, magnitude)?;
    }
    let k = e.k();
    if x & NAN != 0 {
        e.op3i(ops::COMPARE_F, k, a, b, UNORDERED)?;
    } else {
        // A signaling NaN would win over a number; made quiet it does not. The table: SNaN becomes quiet, all else stays.
        let table = e.c(0x1111_1121, 0x1111_1121);
        e.op3i(ops::FIX_F, a, a, table, 0)?;
        e.op3i(ops::FIX_F, b, b, table, 0)?;
    }
    // The sign is that of the chosen operand, -0 being less than +0.
    e.op3i(ops::RANGE_F, a, a, b, 4 | u32::from(greater))?;
    if x & XORSIGN != 0 {
        // signs where the sign bit is, else the magnitude
        let sign = sign(e);
        e.op3i(ops::TERNARY, a, signs, sign, 0xd8)?;
    }
    if x & NAN != 0 {
        let nan = nan(e).element();
        e.op2(ops::BROADCAST, at(a, k), nan)?;
    }
    e.release(used);
    Ok(())
}

/// `min` and `max` of two operands, or three.
pub(super) fn min_max(e: &mut Emit<'_>, greater: bool, x: u32, three: bool) -> Result {
    let (a, b) = (e.rm(0), e.rm(1));
    let (a, b) = (e.copy(a)?, e.copy(b)?);
    choose(e, a, b, greater, x)?;
    if three {
        canonical(e, a)?;
        let c = e.rm(2);
        e.mov(b, c)?;
        choose(e, a, b, greater, x)?;
    }
    finish(e, a)
}

/// The forms of floating-point arithmetic.
pub(super) fn form(alu: Alu) -> Option<Form> {
    use Alu::*;
    Some(match alu {
        AddF32 | AddF64 => Form::Lanes(|e| sum(e, ops::ADD_F, How::PLAIN)),
        AddFtzF32 => Form::Lanes(|e| sum(e, ops::ADD_F, How::FTZ)),
        AddXF32 => Form::Lanes(|e| sum(e, ops::ADD_F, How::of(e.x))),
        AddXF64 => Form::Lanes(|e| sum(e, ops::ADD_F, How::rounding_of(e.x))),
        SubF32 | SubF64 => Form::Lanes(|e| sum(e, ops::SUB_F, How::PLAIN)),
        SubFtzF32 => Form::Lanes(|e| sum(e, ops::SUB_F, How::FTZ)),
        SubXF32 => Form::Lanes(|e| sum(e, ops::SUB_F, How::of(e.x))),
        SubXF64 => Form::Lanes(|e| sum(e, ops::SUB_F, How::rounding_of(e.x))),
        MulF32 | MulF64 => Form::Lanes(|e| product(e, ops::MUL_F, How::PLAIN)),
        MulFtzF32 => Form::Lanes(|e| product(e, ops::MUL_F, How::FTZ)),
        MulXF32 => Form::Lanes(|e| product(e, ops::MUL_F, How::of(e.x))),
        MulXF64 => Form::Lanes(|e| product(e, ops::MUL_F, How::rounding_of(e.x))),
        FmaF32 | FmaF64 => Form::Lanes(|e| fma(e, How::PLAIN)),
        FmaFtzF32 => Form::Lanes(|e| fma(e, How::FTZ)),
        FmaXF32 => Form::Lanes(|e| fma(e, How::of(e.x))),
        FmaXF64 => Form::Lanes(|e| fma(e, How::rounding_of(e.x))),
        DivF32 | DivF64 => Form::Lanes(|e| product(e, ops::DIV_F, How::PLAIN)),
        DivXF32 => Form::Lanes(|e| product(e, ops::DIV_F, How::of(e.x).unsaturated())),
        DivXF64 => Form::Lanes(|e| product(e, ops::DIV_F, How::rounding_of(e.x))),
        RcpF32 | RcpF64 => Form::Lanes(|e| rcp(e, How::PLAIN)),
        RcpXF32 => Form::Lanes(|e| rcp(e, How::of(e.x).unsaturated())),
        RcpXF64 => Form::Lanes(|e| rcp(e, How::rounding_of(e.x))),
        SqrtF32 | SqrtF64 => Form::Lanes(|e| sqrt(e, How::PLAIN)),
        SqrtXF32 => Form::Lanes(|e| sqrt(e, How::of(e.x).unsaturated())),
        SqrtXF64 => Form::Lanes(|e| sqrt(e, How::rounding_of(e.x))),
        AbsF32 => Form::Lanes(|e| signs32(e, false, false)),
        AbsFtzF32 => Form::Lanes(|e| signs32(e, false, true)),
        NegF32 => Form::Lanes(|e| signs32(e, true, false)),
        NegFtzF32 => Form::Lanes(|e| signs32(e, true, true)),
        AbsF64 => Form::Lanes(|e| signs64(e, false)),
        NegF64 => Form::Lanes(|e| signs64(e, true)),
        CopysignF32 | CopysignF64 => Form::Lanes(copysign),
        MinF32 | MinF64 => Form::Lanes(|e| min_max(e, false, 0, false)),
        MaxF32 | MaxF64 => Form::Lanes(|e| min_max(e, true, 0, false)),
        MinXF32 => Form::Lanes(|e| min_max(e, false, e.x, false)),
        MaxXF32 => Form::Lanes(|e| min_max(e, true, e.x, false)),
        Min3F32 => Form::Lanes(|e| min_max(e, false, e.x, true)),
        Max3F32 => Form::Lanes(|e| min_max(e, true, e.x, true)),
        _ => return None,
    })
}
