//! Changes of width: extensions, halves, pairs, conversions between integer types.

use iced_x86::Register;
use tessera_arith::IntType;

use super::alu::Form;
use super::ops;
use super::vector::{Emit, Result, lane};
use crate::exec::alu::Alu;
use crate::exec::modifiers::int_type;

/// `d = a & bits`
fn and(e: &mut Emit<'_>, bits: u32) -> Result {
    let a = e.r(0)?;
    let bits = e.c32(bits);
    let to = e.out();
    e.op3(ops::AND, to, a, bits)
}

/// The low bits of `a` below `32 - drop`, with their sign.
fn sign_extend(e: &mut Emit<'_>, drop: u32) -> Result {
    let a = e.rm(0);
    let z = e.last();
    e.op2i(ops::SHIFT_LEFT_BY, z, a, drop)?;
    let to = e.out();
    e.op2i(ops::SHIFT_RIGHT_S_BY, to, z, drop)
}

fn byte(e: &mut Emit<'_>) -> Result {
    let at = e.x & 31;
    if at == 0 {
        return and(e, 0xff);
    }
    let a = e.rm(0);
    if at == 24 {
        let to = e.out();
        return e.op2i(ops::SHIFT_RIGHT_U_BY, to, a, 24);
    }
    let z = e.last();
    e.op2i(ops::SHIFT_RIGHT_U_BY, z, a, at)?;
    let bits = e.c32(0xff);
    let to = e.out();
    e.op3(ops::AND, to, z, bits)
}

fn high16(e: &mut Emit<'_>) -> Result {
    let a = e.rm(0);
    let to = e.out();
    e.op2i(ops::SHIFT_RIGHT_U_BY, to, a, 16)
}

/// Word `which` of every 64-bit lane.
fn word(e: &mut Emit<'_>, which: u32) -> Result {
    let [low, high] = e.both(0)?;
    let places = e.vector32(std::array::from_fn(|i| 2 * lane(i) + which));
    let z = e.words(low, high, places)?;
    e.done(z)
}

/// 64-bit lanes of a low and a high word.
fn pair(e: &mut Emit<'_>) -> Result {
    let (a, b) = (e.all_lanes(0)?, e.all_lanes(1)?);
    let first = 8 * lane(e.half());
    let places = e.vector32(std::array::from_fn(|i| {
        first + lane(i / 2) + if i % 2 == 0 { 0 } else { 16 }
    }));
    let z = e.words(a, b, places)?;
    e.done(z)
}

fn extend(e: &mut Emit<'_>, signed: bool) -> Result {
    let (to, scratch) = (e.out(), e.z());
    e.extend(to, scratch, 0, signed)
}

/// Cuts `z` to a type and extends it again.
pub(super) fn cut(e: &mut Emit<'_>, z: Register, ty: IntType) -> Result {
    let width = if e.wide { 64 } else { 32 };
    if ty.bits() >= width {
        return Ok(());
    }
    let drop = width - ty.bits();
    e.op2i(ops::SHIFT_LEFT_BY, z, z, drop)?;
    let back = if ty.is_signed() {
        ops::SHIFT_RIGHT_S_BY
    } else {
        ops::SHIFT_RIGHT_U_BY
    };
    e.op2i(back, z, z, drop)
}

/// The greatest value of a type.
const fn greatest(ty: IntType) -> u64 {
    let bits = if ty.is_signed() { ty.bits() - 1 } else { ty.bits() };
    u64::MAX >> (64 - bits)
}

/// Source 0 converted between the types of the immediate, in a new temporary.
fn convert(e: &mut Emit<'_>) -> Result<Register> {
    let (dst, src, sat) = (int_type(e.x), int_type(e.x >> 4), e.x & 256 != 0);
    let a = e.rm(0);
    let z = e.copy(a)?;
    cut(e, z, src)?;
    if !sat {
        cut(e, z, dst)?;
        return Ok(z);
    }
    let most = greatest(dst);
    if src.is_signed() && (!dst.is_signed() || dst.bits() < src.bits()) {
        let least = if dst.is_signed() { !most } else { 0 };
        let least = e.c(super::vector::low(least), least);
        e.op3(ops::MAX_S, z, z, least)?;
    }
    if most < greatest(src) {
        let most = e.c(super::vector::low(most), most);
        e.op3(if src.is_signed() { ops::MIN_S } else { ops::MIN_U }, z, z, most)?;
    }
    Ok(z)
}

/// As [`convert`], from a type of up to 32 bits into a register of 64.
fn convert_wide(e: &mut Emit<'_>) -> Result {
    let (dst, src, sat) = (int_type(e.x), int_type(e.x >> 4), e.x & 256 != 0);
    let z = convert(e)?;
    let signed = if sat {
        src.is_signed() && dst.is_signed()
    } else if dst.bits() == 64 {
        src.is_signed()
    } else {
        dst.is_signed()
    };
    e.done_extended(z, signed)
}

/// The forms of moves that change the width.
pub(super) fn form(alu: Alu) -> Option<Form> {
    use Alu::*;
    Some(match alu {
        Zx8 => Form::Lanes(|e| and(e, 0xff)),
        Zx16 => Form::Lanes(|e| and(e, 0xffff)),
        High16 => Form::Lanes(high16),
        Byte => Form::Lanes(byte),
        Sx8 => Form::Lanes(|e| sign_extend(e, 24)),
        Sx16 => Form::Lanes(|e| sign_extend(e, 16)),
        Low32 => Form::Whole(|e| word(e, 0)),
        High32 => Form::Whole(|e| word(e, 1)),
        Pack32 => Form::Lanes(pair),
        Zx32To64 => Form::Lanes(|e| extend(e, false)),
        Sx32To64 => Form::Lanes(|e| extend(e, true)),
        IntToInt32 | IntToInt64 | IntToInt64To32 => Form::Value(convert),
        IntToInt32To64 => Form::Whole(convert_wide),
        _ => return None,
    })
}
