//! Machine code for arithmetic: the sequences that stand for the lane functions of [`Alu`], to the bit.

use iced_x86::code_asm::{AsmRegister64, AsmRegisterK, AsmRegisterZmm};
use iced_x86::{IcedError, Register};

use super::asm::Asm;
use super::vector::{Emit, Result, To};
use super::{approx, compare, convert, divide, float, half, int, logic, moves, short};
use crate::exec::alu::{Alu, Class};

/// A value of sixteen lanes in registers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lanes {
    /// 32-bit lanes.
    W32(AsmRegisterZmm),
    /// 64-bit lanes, the low eight and the high eight.
    W64([AsmRegisterZmm; 2]),
    /// A predicate.
    Pred(AsmRegisterK),
}

/// An operand.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// In registers.
    Reg(Lanes),
    /// A chunk in memory: 64 or 128 bytes, 2 for a predicate.
    Memory {
        /// Address,
        base: AsmRegister64,
        /// and what is added to it.
        disp: i32,
    },
    /// One element in memory for all lanes; not of predicates.
    Broadcast {
        /// Address,
        base: AsmRegister64,
        /// and what is added to it.
        disp: i32,
    },
    /// One known value for all lanes; not of predicates. Amounts and places that are known make shorter code.
    Constant(u64),
}

/// Registers free for use, disjoint from every operand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Temps {
    /// Vectors.
    pub(super) zmm: [AsmRegisterZmm; 6],
    /// Masks.
    pub(super) k: [AsmRegisterK; 3],
    /// Integers.
    pub(super) gpr: [AsmRegister64; 2],
}

/// How an operation is emitted.
pub(super) enum Form {
    /// For each vector of the result.
    Lanes(fn(&mut Emit<'_>) -> Result),
    /// For each vector of the first source, as a value; low words of it where the result has 32 bits.
    Value(fn(&mut Emit<'_>) -> Result<Register>),
    /// For each vector of the first source, as a predicate.
    Bits(fn(&mut Emit<'_>, To) -> Result),
    /// In one go.
    Whole(fn(&mut Emit<'_>) -> Result),
}

fn form(alu: Alu) -> Option<Form> {
    int::form(alu)
        .or_else(|| logic::form(alu))
        .or_else(|| compare::form(alu))
        .or_else(|| float::form(alu))
        .or_else(|| moves::form(alu))
        .or_else(|| short::form(alu))
        .or_else(|| divide::form(alu))
        .or_else(|| convert::form(alu))
        .or_else(|| half::form(alu))
        .or_else(|| approx::form(alu))
}

/// Whether [`emit`] knows the operation with this immediate.
pub(super) fn has_native(alu: Alu, _x: u32) -> bool {
    form(alu).is_some()
}

/// Emits `d = alu(s...)` on sixteen lanes. With `mask` only its lanes of `d` are written. `d` may be one of the sources.
/// False: the operation has no native form, and nothing was emitted.
pub(super) fn emit(
    a: &mut Asm,
    alu: Alu,
    x: u32,
    d: Lanes,
    mask: Option<AsmRegisterK>,
    s: &[Source],
    t: &Temps,
) -> std::result::Result<bool, IcedError> {
    let Some(form) = form(alu) else {
        return Ok(false);
    };
    let (sources, result) = alu.signature();
    let wide = sources[0] == Class::W64;
    let mask = mask.map_or(Register::None, Register::from);
    let mut e = Emit::new(a, x, d, mask, s, t)?;
    match form {
        Form::Lanes(body) => e.each(result == Class::W64, body)?,
        Form::Value(body) => e.value(wide, body)?,
        Form::Bits(body) => e.compare(wide, body)?,
        Form::Whole(body) => body(&mut e)?,
    }
    Ok(true)
}
