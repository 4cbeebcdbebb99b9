//! Integers of the operation's width, 32 or 64 bits: sums, products, minima, carries. See also [`super::short`].

use iced_x86::{Code, Register};

use super::alu::Form;
use super::ops;
use super::vector::{Emit, Pair, Result, To, at};
use crate::exec::alu::Alu;

/// `d = code(a, b)`
fn two(e: &mut Emit<'_>, pair: Pair) -> Result {
    let a = e.r(0)?;
    let b = e.rm(1);
    let to = e.out();
    e.op3(pair, to, a, b)
}

/// `d = code(a, b)`, `a` and `b` in either order
pub(super) fn commuting(e: &mut Emit<'_>, pair: Pair) -> Result {
    let (a, b) = e.either(0, 1)?;
    let to = e.out();
    e.op3(pair, to, a, b)
}

/// `d = code(a)`
fn one(e: &mut Emit<'_>, pair: Pair) -> Result {
    let a = e.rm(0);
    let to = e.out();
    e.op2(pair, to, a)
}

/// `d = z + c`, `c` being source 2
fn plus_c(e: &mut Emit<'_>, z: Register) -> Result {
    let c = e.rm(2);
    let to = e.out();
    e.op3(ops::ADD, to, z, c)
}

fn neg(e: &mut Emit<'_>) -> Result {
    let zero = e.zero()?;
    let a = e.rm(0);
    let to = e.out();
    e.op3(ops::SUB, to, zero, a)
}

/// `d = max(code(a, b), 0)`
fn relu(e: &mut Emit<'_>, pair: Pair, max: Pair) -> Result {
    let (a, b) = e.either(0, 1)?;
    let zero = e.zero()?;
    let t = e.last();
    e.op3(pair, t, a, b)?;
    let to = e.out();
    e.op3(max, to, t, zero)
}

/// `d = a * b + c`, low halves
fn mad_low(e: &mut Emit<'_>) -> Result {
    let (a, b) = e.either(0, 1)?;
    let t = e.z();
    e.op3(ops::MUL, t, a, b)?;
    plus_c(e, t)
}

/// `d = |a - b| + c`
fn sad(e: &mut Emit<'_>, min: Pair, max: Pair) -> Result {
    let (a, b) = e.either(0, 1)?;
    let (t, u) = (e.z(), e.z());
    e.op3(max, t, a, b)?;
    e.op3(min, u, a, b)?;
    e.op3(ops::SUB, t, t, u)?;
    plus_c(e, t)
}

/// `a + b` or `a - b` of 32 bits, clamped; `a` and `b` stay.
fn saturated(e: &mut Emit<'_>, pair: Pair, a: Register, b: Register) -> Result {
    let (sum, over) = (e.z(), e.copy(a)?);
    e.op3(pair, sum, a, b)?;
    // The sign bit: whether the sum's sign is one that these operands cannot give.
    let table = if pair == ops::ADD { 0x42 } else { 0x18 };
    e.op3i(ops::TERNARY, over, b, sum, table)?;
    let k = e.k();
    e.op2(ops::SIGNS, k, over)?;
    e.op2i(ops::SHIFT_RIGHT_S_BY, over, sum, 31)?;
    let sign = e.c32(1 << 31);
    e.op3(ops::XOR, at(sum, k), over, sign)?;
    e.done(sum)
}

fn add_sat(e: &mut Emit<'_>, pair: Pair) -> Result {
    let (a, b) = (e.r(0)?, e.r(1)?);
    saturated(e, pair, a, b)
}

/// The upper half of a product of 32 bits, or bits 16 to 48 (`shift` 16), in a new temporary.
pub(super) fn high32(
    e: &mut Emit<'_>,
    signed: bool,
    a: Register,
    b: Register,
    shift: u32,
) -> Result<Register> {
    let multiply = if signed {
        Code::EVEX_Vpmuldq_zmm_k1z_zmm_zmmm512b64
    } else {
        Code::EVEX_Vpmuludq_zmm_k1z_zmm_zmmm512b64
    };
    let (even, odd, t) = (e.z(), e.z(), e.z());
    e.i2i(ops::SHIFT_RIGHT_U_BY[1], odd, a, 32)?;
    e.i2(Code::EVEX_Vmovshdup_zmm_k1z_zmmm512, t, b)?;
    e.i3(multiply, even, a, b)?;
    e.i3(multiply, odd, odd, t)?;
    e.i2i(ops::SHIFT_RIGHT_U_BY[1], even, even, shift)?;
    if shift != 32 {
        e.i2i(ops::SHIFT_LEFT_BY[1], odd, odd, 32 - shift)?;
    }
    // The upper word of each pair from the odd lanes' product, the lower from the even lanes'.
    let upper = e.c64(0xffff_ffff_0000_0000);
    e.i3i(ops::TERNARY[1], odd, even, upper, 0xe4)?;
    Ok(odd)
}

fn mul_high(e: &mut Emit<'_>, signed: bool) -> Result {
    let (a, b) = (e.r(0)?, e.r(1)?);
    let z = high32(e, signed, a, b, 32)?;
    e.done(z)
}

fn mad_high(e: &mut Emit<'_>, signed: bool) -> Result {
    let (a, b) = (e.r(0)?, e.r(1)?);
    let z = high32(e, signed, a, b, 32)?;
    plus_c(e, z)
}

fn mad_high_sat(e: &mut Emit<'_>) -> Result {
    let (a, b) = (e.r(0)?, e.r(1)?);
    let z = high32(e, true, a, b, 32)?;
    clamped_plus_c(e, z)
}

/// `d = z + c`, clamped.
fn clamped_plus_c(e: &mut Emit<'_>, z: Register) -> Result {
    let z = e.keep_only(z)?;
    let c = e.r(2)?;
    saturated(e, ops::ADD, z, c)
}

/// Source `i` cut to 24 bits and extended, in a new temporary.
fn bits24(e: &mut Emit<'_>, i: usize, signed: bool) -> Result<Register> {
    let a = e.rm(i);
    let z = e.z();
    if signed {
        e.op2i(ops::SHIFT_LEFT_BY, z, a, 8)?;
        e.op2i(ops::SHIFT_RIGHT_S_BY, z, z, 8)?;
        return Ok(z);
    }
    e.mov(z, a)?;
    let ones = e.c32(0xff_ffff);
    e.op3(ops::AND, z, z, ones)?;
    Ok(z)
}

/// What becomes of a product.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Nothing,
    PlusC,
    PlusCClamped,
}

/// `mul24`, `mad24`: the low word of the product, or bits 16 to 48.
fn mul24(e: &mut Emit<'_>, signed: bool, high: bool, then: Then) -> Result {
    let (a, b) = (bits24(e, 0, signed)?, bits24(e, 1, signed)?);
    let z = if high {
        high32(e, signed, a, b, 16)?
    } else {
        e.op3(ops::MUL, a, a, b)?;
        a
    };
    match then {
        Then::Nothing => e.done(z),
        Then::PlusC => plus_c(e, z),
        Then::PlusCClamped => clamped_plus_c(e, z),
    }
}

/// A product of 32-bit operands in 64 bits, plus source 2 where `add`.
fn mul_wide(e: &mut Emit<'_>, signed: bool, add: bool) -> Result {
    let multiply = if signed {
        Code::EVEX_Vpmuldq_zmm_k1z_zmm_zmmm512b64
    } else {
        Code::EVEX_Vpmuludq_zmm_k1z_zmm_zmmm512b64
    };
    // Only the low words of the lanes count: how an operand is extended does not matter, nor what a broadcast has above.
    let a = e.spread(0)?;
    let b = e.spread(1)?;
    if add {
        let t = e.z();
        e.i3(multiply, t, a, b)?;
        return plus_c(e, t);
    }
    let to = e.out();
    e.i3(multiply, to, a, b)
}

/// `t = t + carry` or `t = t - borrow` where predicate `k` is set.
fn count(e: &mut Emit<'_>, pair: Pair, t: Register, k: Register) -> Result {
    let one = e.c(1, 1);
    e.op3(pair, at(t, k), t, one)
}

/// `d = a + b + c` or `d = a - b - c`, `c` a predicate
fn with_carry(e: &mut Emit<'_>, pair: Pair) -> Result {
    let k = e.predicate(2)?;
    let a = e.r(0)?;
    let b = e.rm(1);
    let t = e.last();
    e.op3(pair, t, a, b)?;
    count(e, pair, t, k)?;
    e.done(t)
}

/// The carry out of `a + b + c`, or the borrow out of `a - b - c`.
pub(super) fn carry_out(e: &mut Emit<'_>, pair: Pair, to: To) -> Result {
    let carry = e.predicate(2)?;
    let a = e.r(0)?;
    let b = e.rm(1);
    let (t, second) = (e.z(), e.mask_from(carry));
    e.op3(pair, t, a, b)?;
    if pair == ops::ADD {
        // All ones plus a carry overflows, and so does a sum below its term.
        let ones = e.c(u32::MAX, u64::MAX);
        e.op3(ops::EQUAL, at(second, carry), t, ones)?;
        e.op3i(ops::COMPARE_U, to, t, a, 1)?;
    } else {
        e.op3(ops::NO_BIT, at(second, carry), t, t)?;
        e.op3i(ops::COMPARE_U, to, a, t, 1)?;
    }
    e.also(to, second)
}

/// Products of 64 bits, upper half, plus source 2 where `add`.
fn mul_high64(e: &mut Emit<'_>, signed: bool, add: bool) -> Result {
    let (a, b) = (e.r(0)?, e.r(1)?);
    let z = high64(e, a, b)?;
    if signed {
        // Each negative operand counts 2^64 too much of the other.
        for (x, y) in [(a, b), (b, a)] {
            let k = e.k();
            e.op2(ops::SIGNS, k, x)?;
            e.op3(ops::SUB, at(z, k), z, y)?;
        }
    }
    if add { plus_c(e, z) } else { e.done(z) }
}

/// The upper half of an unsigned product of 64 bits, by the four products of halves, in a new temporary.
fn high64(e: &mut Emit<'_>, a: Register, b: Register) -> Result<Register> {
    let multiply = Code::EVEX_Vpmuludq_zmm_k1z_zmm_zmmm512b64;
    let (t, u, v, w) = (e.z(), e.z(), e.z(), e.z());
    e.op2i(ops::SHIFT_RIGHT_U_BY, t, a, 32)?;
    e.op2i(ops::SHIFT_RIGHT_U_BY, u, b, 32)?;
    // middle = a_high * b_low + (a_low * b_low >> 32), which does not overflow
    e.i3(multiply, v, a, b)?;
    e.op2i(ops::SHIFT_RIGHT_U_BY, v, v, 32)?;
    e.i3(multiply, w, t, b)?;
    e.op3(ops::ADD, v, v, w)?;
    // Then the other cross product on top of its low word; both high words go into the result.
    e.i3(multiply, w, a, u)?;
    e.i3(multiply, t, t, u)?;
    e.op2i(ops::SHIFT_RIGHT_U_BY, u, v, 32)?;
    e.op3(ops::ADD, t, t, u)?;
    let word = e.c64(0xffff_ffff);
    e.op3(ops::AND, v, v, word)?;
    e.op3(ops::ADD, w, w, v)?;
    e.op2i(ops::SHIFT_RIGHT_U_BY, w, w, 32)?;
    e.op3(ops::ADD, t, t, w)?;
    Ok(t)
}

/// The forms of integer arithmetic.
pub(super) fn form(alu: Alu) -> Option<Form> {
    use Alu::*;
    Some(match alu {
        Add32 | Add64 => Form::Lanes(|e| commuting(e, ops::ADD)),
        Sub32 | Sub64 => Form::Lanes(|e| two(e, ops::SUB)),
        MulLo32 | MulLo64 => Form::Lanes(|e| commuting(e, ops::MUL)),
        MadLo32 | MadLo64 => Form::Lanes(mad_low),
        AddSatS32 => Form::Lanes(|e| add_sat(e, ops::ADD)),
        SubSatS32 => Form::Lanes(|e| add_sat(e, ops::SUB)),
        MinU32 | MinU64 => Form::Lanes(|e| commuting(e, ops::MIN_U)),
        MaxU32 | MaxU64 => Form::Lanes(|e| commuting(e, ops::MAX_U)),
        MinS32 | MinS64 => Form::Lanes(|e| commuting(e, ops::MIN_S)),
        MaxS32 | MaxS64 => Form::Lanes(|e| commuting(e, ops::MAX_S)),
        MinReluS32 => Form::Lanes(|e| relu(e, ops::MIN_S, ops::MAX_S)),
        MaxReluS32 => Form::Lanes(|e| relu(e, ops::MAX_S, ops::MAX_S)),
        AbsS32 | AbsS64 => Form::Lanes(|e| one(e, ops::ABS)),
        Neg32 | Neg64 => Form::Lanes(neg),
        SadU32 | SadU64 => Form::Lanes(|e| sad(e, ops::MIN_U, ops::MAX_U)),
        SadS32 | SadS64 => Form::Lanes(|e| sad(e, ops::MIN_S, ops::MAX_S)),
        MulHiU32 => Form::Lanes(|e| mul_high(e, false)),
        MulHiS32 => Form::Lanes(|e| mul_high(e, true)),
        MadHiU32 => Form::Lanes(|e| mad_high(e, false)),
        MadHiS32 => Form::Lanes(|e| mad_high(e, true)),
        MadHiSatS32 => Form::Lanes(mad_high_sat),
        MulHiU64 => Form::Lanes(|e| mul_high64(e, false, false)),
        MulHiS64 => Form::Lanes(|e| mul_high64(e, true, false)),
        MadHiU64 => Form::Lanes(|e| mul_high64(e, false, true)),
        MadHiS64 => Form::Lanes(|e| mul_high64(e, true, true)),
        MulWideU32 => Form::Lanes(|e| mul_wide(e, false, false)),
        MulWideS32 => Form::Lanes(|e| mul_wide(e, true, false)),
        MadWideU32 => Form::Lanes(|e| mul_wide(e, false, true)),
        MadWideS32 => Form::Lanes(|e| mul_wide(e, true, true)),
        AddC32 | AddC64 => Form::Lanes(|e| with_carry(e, ops::ADD)),
        SubC32 | SubC64 => Form::Lanes(|e| with_carry(e, ops::SUB)),
        Mul24LoU32 => Form::Lanes(|e| mul24(e, false, false, Then::Nothing)),
        Mul24LoS32 => Form::Lanes(|e| mul24(e, true, false, Then::Nothing)),
        Mul24HiU32 => Form::Lanes(|e| mul24(e, false, true, Then::Nothing)),
        Mul24HiS32 => Form::Lanes(|e| mul24(e, true, true, Then::Nothing)),
        Mad24LoU32 => Form::Lanes(|e| mul24(e, false, false, Then::PlusC)),
        Mad24LoS32 => Form::Lanes(|e| mul24(e, true, false, Then::PlusC)),
        Mad24HiU32 => Form::Lanes(|e| mul24(e, false, true, Then::PlusC)),
        Mad24HiS32 => Form::Lanes(|e| mul24(e, true, true, Then::PlusC)),
        Mad24HiSatS32 => Form::Lanes(|e| mul24(e, true, true, Then::PlusCClamped)),
        _ => return None,
    })
}
