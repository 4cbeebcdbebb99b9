//! Comparisons: their results are bits of a mask register.

use super::alu::Form;
use super::vector::{Emit, Pair, Result, To};
use super::{int, ops};
use crate::exec::alu::Alu;
use crate::exec::modifiers::FTZ;

/// Predicates of the integer comparison instructions.
const EQ: u32 = 0;
const LT: u32 = 1;
const LE: u32 = 2;
const NE: u32 = 4;
const GE: u32 = 5;
const GT: u32 = 6;

/// Compares the sources with an instruction that takes the comparison as an immediate.
fn two(e: &mut Emit<'_>, to: To, pair: Pair, comparison: u32) -> Result {
    let a = e.r(0)?;
    let b = e.rm(1);
    e.op3i(pair, to, a, b, comparison)
}

/// As [`two`] on the low 16 bits.
fn short(e: &mut Emit<'_>, to: To, pair: Pair, comparison: u32) -> Result {
    let (a, b) = (e.rm(0), e.rm(1));
    let t = e.z();
    if comparison == EQ || comparison == NE {
        let a = e.load(a)?;
        e.op3(ops::XOR, t, a, b)?;
        let bits = e.c32(0xffff);
        return e.op3(
            if comparison == EQ {
                ops::NO_BIT
            } else {
                ops::ANY_BIT
            },
            to,
            t,
            bits,
        );
    }
    let u = e.z();
    e.op2i(ops::SHIFT_LEFT_BY, t, a, 16)?;
    e.op2i(ops::SHIFT_LEFT_BY, u, b, 16)?;
    e.op3i(pair, to, t, u, comparison)
}

/// Whether source 0 is not negative.
fn not_negative(e: &mut Emit<'_>, to: To) -> Result {
    let a = e.r(0)?;
    let minus_one = e.c32(u32::MAX);
    e.op3i(ops::COMPARE_S, to, a, minus_one, GT)
}

/// Whether source 0 is at least zero; with `.ftz` also from the largest negative subnormal on.
fn at_least_zero(e: &mut Emit<'_>, to: To) -> Result {
    let a = e.r(0)?;
    let ftz = e.x & FTZ != 0;
    // Greater than the least normal number's negative, or greater than or equal to zero; both false with NaN.
    let (bound, comparison) = if ftz { (0x8080_0000, 0x1e) } else { (0, 0x1d) };
    let bound = e.c32(bound);
    e.op3i(ops::COMPARE_F, to, a, bound, comparison)
}

/// `testp`: whether source 0 is of the class that the immediate names.
fn class(e: &mut Emit<'_>, to: To) -> Result {
    const NAN: u32 = 0x81;
    const INFINITE: u32 = 0x18;
    const SUBNORMAL: u32 = 0x20;
    let (classes, not) = match e.x {
        0 => (NAN | INFINITE, true),
        1 => (INFINITE, false),
        2 => (NAN, true),
        3 => (NAN, false),
        4 => (NAN | INFINITE | SUBNORMAL, true),
        _ => (SUBNORMAL, false),
    };
    let a = e.rm(0);
    if !not {
        return e.op2i(ops::CLASS_F, to, a, classes);
    }
    let k = e.k();
    e.op2i(ops::CLASS_F, k, a, classes)?;
    e.none_of(to, k)
}

/// The forms of the comparisons.
pub(super) fn form(alu: Alu) -> Option<Form> {
    use Alu::*;
    Some(match alu {
        EqU16 => Form::Bits(|e, to| short(e, to, ops::COMPARE_U, EQ)),
        NeU16 => Form::Bits(|e, to| short(e, to, ops::COMPARE_U, NE)),
        LtU16 => Form::Bits(|e, to| short(e, to, ops::COMPARE_U, LT)),
        LeU16 => Form::Bits(|e, to| short(e, to, ops::COMPARE_U, LE)),
        GtU16 => Form::Bits(|e, to| short(e, to, ops::COMPARE_U, GT)),
        GeU16 => Form::Bits(|e, to| short(e, to, ops::COMPARE_U, GE)),
        LtS16 => Form::Bits(|e, to| short(e, to, ops::COMPARE_S, LT)),
        LeS16 => Form::Bits(|e, to| short(e, to, ops::COMPARE_S, LE)),
        GtS16 => Form::Bits(|e, to| short(e, to, ops::COMPARE_S, GT)),
        GeS16 => Form::Bits(|e, to| short(e, to, ops::COMPARE_S, GE)),
        EqU32 | EqU64 => Form::Bits(|e, to| two(e, to, ops::COMPARE_U, EQ)),
        NeU32 | NeU64 => Form::Bits(|e, to| two(e, to, ops::COMPARE_U, NE)),
        LtU32 | LtU64 => Form::Bits(|e, to| two(e, to, ops::COMPARE_U, LT)),
        LeU32 | LeU64 => Form::Bits(|e, to| two(e, to, ops::COMPARE_U, LE)),
        GtU32 | GtU64 => Form::Bits(|e, to| two(e, to, ops::COMPARE_U, GT)),
        GeU32 | GeU64 => Form::Bits(|e, to| two(e, to, ops::COMPARE_U, GE)),
        LtS32 | LtS64 => Form::Bits(|e, to| two(e, to, ops::COMPARE_S, LT)),
        LeS32 | LeS64 => Form::Bits(|e, to| two(e, to, ops::COMPARE_S, LE)),
        GtS32 | GtS64 => Form::Bits(|e, to| two(e, to, ops::COMPARE_S, GT)),
        GeS32 | GeS64 => Form::Bits(|e, to| two(e, to, ops::COMPARE_S, GE)),
        SlctS32 => Form::Bits(not_negative),
        SlctF32 => Form::Bits(at_least_zero),
        TestpF32 | TestpF64 => Form::Bits(class),
        AddCOut32 | AddCOut64 => Form::Bits(|e, to| int::carry_out(e, ops::ADD, to)),
        SubCOut32 | SubCOut64 => Form::Bits(|e, to| int::carry_out(e, ops::SUB, to)),
        _ => return float(alu),
    })
}

/// The forms of the floating-point comparisons: quiet, and each true or false with NaN as its name says.
fn float(alu: Alu) -> Option<Form> {
    use Alu::*;
    Some(match alu {
        EqF32 | EqF64 => Form::Bits(|e, to| two(e, to, ops::COMPARE_F, 0x00)),
        NeF32 | NeF64 => Form::Bits(|e, to| two(e, to, ops::COMPARE_F, 0x0c)),
        LtF32 | LtF64 => Form::Bits(|e, to| two(e, to, ops::COMPARE_F, 0x11)),
        LeF32 | LeF64 => Form::Bits(|e, to| two(e, to, ops::COMPARE_F, 0x12)),
        GtF32 | GtF64 => Form::Bits(|e, to| two(e, to, ops::COMPARE_F, 0x1e)),
        GeF32 | GeF64 => Form::Bits(|e, to| two(e, to, ops::COMPARE_F, 0x1d)),
        EquF32 | EquF64 => Form::Bits(|e, to| two(e, to, ops::COMPARE_F, 0x08)),
        NeuF32 | NeuF64 => Form::Bits(|e, to| two(e, to, ops::COMPARE_F, 0x04)),
        LtuF32 | LtuF64 => Form::Bits(|e, to| two(e, to, ops::COMPARE_F, 0x19)),
        LeuF32 | LeuF64 => Form::Bits(|e, to| two(e, to, ops::COMPARE_F, 0x1a)),
        GtuF32 | GtuF64 => Form::Bits(|e, to| two(e, to, ops::COMPARE_F, 0x16)),
        GeuF32 | GeuF64 => Form::Bits(|e, to| two(e, to, ops::COMPARE_F, 0x15)),
        NumF32 | NumF64 => Form::Bits(|e, to| two(e, to, ops::COMPARE_F, 0x07)),
        NanF32 | NanF64 => Form::Bits(|e, to| two(e, to, ops::COMPARE_F, 0x03)),
        _ => return None,
    })
}
