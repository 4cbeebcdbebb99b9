//! Half precision, `f16` and `bf16`, alone and in pairs, by way of single precision.
//!
//! Sums and products of halves lose nothing that matters in single precision; a fused multiply-add is rounded to odd there:
//! of the results rounded down and up the one with an odd last bit, which a later rounding treats as it would the exact value.

use iced_x86::{Code, Register, RoundingControl};

use super::alu::Form;
use super::approx;
use super::convert::to_integral;
use super::float::{self, UNORDERED};
use super::ops;
use super::vector::{Emit, Pair, Result, Rm, at, ymm};
use crate::exec::alu::Alu;
use crate::exec::modifiers::{FTZ, RELU, SAT, SATFINITE};

const TO_SINGLE: Code = Code::EVEX_Vcvtph2ps_zmm_k1z_ymmm256_sae;
const TO_HALF: Code = Code::EVEX_Vcvtps2ph_ymmm256_k1z_zmm_imm8_sae;

/// Source `i`, halves in the low parts of lanes, as singles in a new temporary. A NaN is not canonical.
pub(super) fn widened(e: &mut Emit<'_>, i: usize, brain: bool) -> Result<Register> {
    if brain {
        let (a, z) = (e.rm(i), e.z());
        e.op2i(ops::SHIFT_LEFT_BY, z, a, 16)?;
        return Ok(z);
    }
    let z = e.z();
    let used = e.used();
    let a = e.r(i)?;
    e.i2(Code::EVEX_Vpmovdw_ymmm256_k1z_zmm, ymm(z), a)?;
    e.i2(TO_SINGLE, z, ymm(z))?;
    e.release(used);
    Ok(z)
}

/// Of `down` and `up`, one value rounded both ways, the odd one where they differ; in `down`.
pub(super) fn pick_odd(e: &mut Emit<'_>, down: Register, up: Register) -> Result {
    let used = e.used();
    let k = e.k();
    e.op3i(ops::COMPARE_F, k, down, up, 4)?;
    // The lesser magnitude; next to it lies an odd one unless it is odd itself.
    e.op3(ops::MIN_U, down, down, up)?;
    let one = e.c32(1);
    e.op3(ops::OR, at(down, k), down, one)?;
    e.release(used);
    Ok(())
}

/// The number by which the processor knows the rounding of bits 0 and 1.
const fn control(x: u32) -> u32 {
    match x & 3 {
        0 => 0,
        1 => 3,
        2 => 1,
        _ => 2,
    }
}

/// The singles of `z` rounded to half precision, as lanes; `z` is overwritten or stays. NaN is canonical.
pub(super) fn narrowed(e: &mut Emit<'_>, z: Register, brain: bool, x: u32) -> Result<Register> {
    if brain {
        rounded_high(e, z, x)?;
        e.op2i(ops::SHIFT_RIGHT_U_BY, z, z, 16)?;
        return Ok(z);
    }
    let k = e.k();
    let h = e.z();
    e.op3i(ops::COMPARE_F, k, z, z, UNORDERED)?;
    e.i2i(TO_HALF, ymm(h), z, control(x))?;
    e.i2(Code::EVEX_Vpmovzxwd_zmm_k1z_ymmm256, h, ymm(h))?;
    let nan = e.c32(0x7fff).element();
    e.op2(ops::BROADCAST, at(h, k), nan)?;
    Ok(h)
}

/// Rounds `z` to its upper 16 bits, a `bf16`; below it anything remains.
fn rounded_high(e: &mut Emit<'_>, z: Register, x: u32) -> Result {
    let used = e.used();
    let k = e.k();
    e.op3i(ops::COMPARE_F, k, z, z, UNORDERED)?;
    let t = e.z();
    match x & 3 {
        0 => {
            // Half a unit, less one where the last bit is even.
            let (one, rest) = (e.c32(1), e.c32(0x7fff));
            e.op2i(ops::SHIFT_RIGHT_U_BY, t, z, 16)?;
            e.op3(ops::AND, t, t, one)?;
            e.op3(ops::ADD, z, z, rest)?;
            e.op3(ops::ADD, z, z, t)?;
        }
        1 => {}
        direction => {
            // All of a unit but one, for the sign that goes outwards.
            let rest = e.c32(0xffff);
            e.op2i(ops::SHIFT_RIGHT_S_BY, t, z, 31)?;
            e.op3(if direction == 2 { ops::AND } else { ops::AND_NOT }, t, t, rest)?;
            e.op3(ops::ADD, z, z, t)?;
        }
    }
    let nan = e.c32(0x7fff_0000).element();
    e.op2(ops::BROADCAST, at(z, k), nan)?;
    e.release(used);
    Ok(())
}

/// Flushes the lanes of `z` whose magnitude is below `bound` to zero of their sign.
fn flush_below(e: &mut Emit<'_>, z: Register, bound: u32) -> Result {
    let used = e.used();
    let (t, k) = (e.z(), e.k());
    let magnitude = float::magnitude(e);
    e.op3(ops::AND, t, z, magnitude)?;
    let bound = e.c32(bound);
    e.op3i(ops::COMPARE_F, k, t, bound, 0x11)?;
    let sign = float::sign(e);
    e.op3(ops::AND, at(z, k), z, sign)?;
    e.release(used);
    Ok(())
}

/// What is computed, in single precision. The operands are temporaries; the result comes in the first.
#[derive(Clone, Copy)]
enum What {
    Two(Pair),
    Fma,
    Least,
    Greatest,
    Ex2,
}

impl What {
    const fn operands(self) -> usize {
        match self {
            Self::Ex2 => 1,
            Self::Two(_) | Self::Least | Self::Greatest => 2,
            Self::Fma => 3,
        }
    }
}

/// Computes and finishes: in `z[0]` a single that is to be rounded to half precision, or is one already.
fn compute(e: &mut Emit<'_>, what: What, z: [Register; 3], brain: bool) -> Result {
    let x = e.x;
    let ftz = x & FTZ != 0 && !brain;
    if ftz {
        for &operand in &z[..what.operands()] {
            // Below the least normal number, 2^-14.
            flush_below(e, operand, 0x3880_0000)?;
        }
    }
    match what {
        What::Two(pair) => e.op3(pair, z[0], z[0], z[1])?,
        What::Fma => {
            let used = e.used();
            let down = e.copy(z[2])?;
            e.i3r(ops::FMA_231[0], down, z[0], z[1], RoundingControl::RoundDown)?;
            e.i3r(ops::FMA_213[0], z[0], z[1], z[2], RoundingControl::RoundUp)?;
            pick_odd(e, z[0], down)?;
            e.release(used);
        }
        What::Least | What::Greatest => {
            return float::choose(e, z[0], z[1], matches!(what, What::Greatest), x & !FTZ);
        }
        What::Ex2 => {
            let ftz = brain;
            if ftz {
                float::flush(e, z[0])?;
            }
            return approx::ex2(e, z[0], ftz);
        }
    }
    if !brain && x & SAT != 0 {
        float::clamp_unit(e, z[0])?;
    }
    if ftz {
        // 2^-14 - 2^-26: from there on 11 bits with an unbounded exponent round to 2^-14.
        flush_below(e, z[0], 0x387f_f000)?;
    }
    Ok(())
}

/// Whether negative results become zero.
const fn relu(what: What, x: u32) -> bool {
    matches!(what, What::Fma) && x & RELU != 0
}

/// Clears the lanes of `z` that are negative; NaN is positive.
fn clear_negative(e: &mut Emit<'_>, z: Register) -> Result {
    let used = e.used();
    let k = e.k();
    e.op2(ops::SIGNS, k, z)?;
    e.op3(ops::XOR, at(z, k), z, z)?;
    e.release(used);
    Ok(())
}

fn alone(e: &mut Emit<'_>, what: What, brain: bool) -> Result {
    let mut z = [Register::None; 3];
    for (i, operand) in z.iter_mut().enumerate().take(what.operands()) {
        *operand = widened(e, i, brain)?;
    }
    compute(e, what, z, brain)?;
    let z = e.keep_only(z[0])?;
    if relu(what, e.x) {
        float::canonical(e, z)?;
        clear_negative(e, z)?;
    }
    let h = narrowed(e, z, brain, 0)?;
    if brain && matches!(what, What::Ex2) {
        flush_brain(e, h)?;
    }
    e.done(h)
}

/// Flushes subnormal `bf16` in lanes.
fn flush_brain(e: &mut Emit<'_>, h: Register) -> Result {
    let used = e.used();
    let k = e.k();
    let exponent = e.c32(0x7f80);
    e.op3(ops::NO_BIT, k, h, exponent)?;
    let sign = e.c32(0x8000);
    e.op3(ops::AND, at(h, k), h, sign)?;
    e.release(used);
    Ok(())
}

/// Sixteen halves of source `i`, those of the low or the high eight lanes, as singles in a new temporary.
fn widened_part(e: &mut Emit<'_>, i: usize, part: usize, brain: bool) -> Result<Register> {
    if brain {
        // Of all lanes the low or the high halves.
        let (a, z) = (e.rm(i), e.z());
        if part == 0 {
            e.op2i(ops::SHIFT_LEFT_BY, z, a, 16)?;
        } else {
            e.mov(z, a)?;
            let upper = e.c32(0xffff_0000);
            e.op3(ops::AND, z, z, upper)?;
        }
        return Ok(z);
    }
    let z = e.z();
    let used = e.used();
    let mut a = e.narrow_half(i, part)?;
    if let Rm::Mem(memory) = a
        && memory.is_broadcast
    {
        e.i2(Code::EVEX_Vpbroadcastd_ymm_k1z_xmmm32, ymm(z), a.element())?;
        a = Rm::Reg(ymm(z));
    }
    e.i2(TO_SINGLE, z, a)?;
    e.release(used);
    Ok(z)
}

fn paired(e: &mut Emit<'_>, what: What, brain: bool) -> Result {
    let mut parts = [Register::None; 2];
    for (part, result) in parts.iter_mut().enumerate() {
        let mut z = [Register::None; 3];
        for (i, operand) in z.iter_mut().enumerate().take(what.operands()) {
            *operand = widened_part(e, i, part, brain)?;
        }
        compute(e, what, z, brain)?;
        let z = z[0];
        if brain {
            rounded_high(e, z, 0)?;
        } else {
            float::canonical(e, z)?;
        }
        if relu(what, e.x) {
            clear_negative(e, z)?;
        }
        if !brain {
            // The canonical NaN of singles has all the bits that become that of halves.
            e.i2i(TO_HALF, ymm(z), z, 0)?;
        }
        e.release((part + 1, 0));
        *result = z;
    }
    let [low, high] = parts;
    if !brain {
        e.join(low, low, ymm(high))?;
        return e.done(low);
    }
    e.op2i(ops::SHIFT_RIGHT_U_BY, low, low, 16)?;
    let upper = e.c32(0xffff_0000);
    // high where the bits are, else low
    e.op3i(ops::TERNARY, low, high, upper, 0xd8)?;
    e.done(low)
}

/// `abs` and `neg` of one or two halves in a lane.
fn signs(e: &mut Emit<'_>, negate: bool, brain: bool, pair: bool) -> Result {
    let a = e.r(0)?;
    let (z, t, k) = (e.z(), e.z(), e.k());
    let infinity: u32 = if brain { 0x7f80_7f80 } else { 0x7c00_7c00 };
    let (magnitude, sign) = (e.c32(0x7fff_7fff), e.c32(0x8000_8000));
    if negate {
        e.op3(ops::XOR, z, a, sign)?;
    } else {
        e.op3(ops::AND, z, a, magnitude)?;
    }
    if !brain && e.x & FTZ != 0 {
        let exponents = e.c32(infinity);
        e.mov(t, exponents)?;
        e.i3(Code::EVEX_Vptestnmw_kr_k1_zmm_zmmm512, k, a, t)?;
        e.op3(ops::AND, t, z, sign)?;
        e.i2(Code::EVEX_Vmovdqu16_zmm_k1z_zmmm512, at(z, k), t)?;
    }
    e.op3(ops::AND, t, a, magnitude)?;
    let infinities = e.c32(infinity);
    let infinities = e.copy(infinities)?;
    e.i3i(Code::EVEX_Vpcmpuw_kr_k1_zmm_zmmm512_imm8, k, t, infinities, 6)?;
    e.mov(t, magnitude)?;
    e.i2(Code::EVEX_Vmovdqu16_zmm_k1z_zmmm512, at(z, k), t)?;
    if pair {
        return e.done(z);
    }
    let bits = e.c32(0xffff);
    let to = e.out();
    e.op3(ops::AND, to, z, bits)
}

// Conversions of one format to the other.

fn to_f32(e: &mut Emit<'_>, brain: bool) -> Result {
    let z = widened(e, 0, brain)?;
    if brain { e.done(z) } else { float::finish(e, z) }
}

/// Rounded to integral values.
fn integral(e: &mut Emit<'_>, brain: bool) -> Result {
    let z = widened(e, 0, brain)?;
    to_integral(e, z)?;
    if !brain && e.x & SAT != 0 {
        float::clamp_unit(e, z)?;
    }
    let h = narrowed(e, z, brain, 0)?;
    e.done(h)
}

fn other(e: &mut Emit<'_>, brain: bool) -> Result {
    let z = widened(e, 0, !brain)?;
    let h = narrowed(e, z, brain, e.x)?;
    e.done(h)
}

/// `.satfinite`, `.relu`, `.sat` on rounded values; `below` is what lies between infinity and the largest finite number.
fn clamp(e: &mut Emit<'_>, h: Register, [infinity, one, sign, below]: [u32; 4]) -> Result {
    let used = e.used();
    let (t, k) = (e.z(), e.k());
    if e.x & SATFINITE != 0 {
        let magnitude = e.c32(sign - 1);
        e.op3(ops::AND, t, h, magnitude)?;
        let infinity = e.c32(infinity);
        e.op3(ops::EQUAL, k, t, infinity)?;
        let below = e.c32(below);
        e.op3(ops::SUB, at(h, k), h, below)?;
    }
    if e.x & RELU != 0 {
        let sign = e.c32(sign);
        e.op3(ops::ANY_BIT, k, h, sign)?;
        e.op3(ops::XOR, at(h, k), h, h)?;
    }
    if e.x & SAT != 0 {
        // NaN and negative numbers are greater than infinity as integers.
        let infinity = e.c32(infinity);
        e.op3i(ops::COMPARE_U, k, h, infinity, 6)?;
        e.op3(ops::XOR, at(h, k), h, h)?;
        let one = e.c32(one);
        e.op3(ops::MIN_U, h, h, one)?;
    }
    e.release(used);
    Ok(())
}

const F16: [u32; 4] = [0x7c00, 0x3c00, 0x8000, 1];
const BF16: [u32; 4] = [0x7f80, 0x3f80, 0x8000, 1];
/// Its largest finite number has zeros in the low 13 bits.
const TF32: [u32; 4] = [0x7f80_0000, 0x3f80_0000, 0x8000_0000, 0x2000];

/// Source `i`, singles, as clamped halves.
fn half_of(e: &mut Emit<'_>, i: usize, brain: bool) -> Result<Register> {
    let mut a = e.r(i)?;
    if brain {
        a = e.copy(a)?;
    }
    let h = narrowed(e, a, brain, e.x)?;
    clamp(e, h, if brain { BF16 } else { F16 })?;
    Ok(h)
}

fn from_f32(e: &mut Emit<'_>, brain: bool) -> Result {
    let h = half_of(e, 0, brain)?;
    e.done(h)
}

fn from_f32_plain(e: &mut Emit<'_>) -> Result {
    let a = e.r(0)?;
    let h = narrowed(e, a, false, 0)?;
    e.done(h)
}

/// Two singles, the first into the upper half.
fn pair_from_f32(e: &mut Emit<'_>, brain: bool) -> Result {
    let high = half_of(e, 0, brain)?;
    let high = e.keep_only(high)?;
    e.release((e.used().0, 0));
    let low = half_of(e, 1, brain)?;
    e.op2i(ops::SHIFT_LEFT_BY, high, high, 16)?;
    let to = e.out();
    e.op3(ops::OR, to, high, low)
}

fn to_tf32(e: &mut Emit<'_>) -> Result {
    let a = e.rm(0);
    let z = e.copy(a)?;
    let (t, k) = (e.z(), e.k());
    e.op3i(ops::COMPARE_F, k, z, z, UNORDERED)?;
    let low = e.c32(!0x1fff);
    match e.x & 3 {
        0 => {
            let (one, rest) = (e.c32(1), e.c32(0xfff));
            e.op2i(ops::SHIFT_RIGHT_U_BY, t, z, 13)?;
            e.op3(ops::AND, t, t, one)?;
            e.op3(ops::ADD, z, z, rest)?;
            e.op3(ops::ADD, z, z, t)?;
            e.op3(ops::AND, z, z, low)?;
        }
        1 => e.op3(ops::AND, z, z, low)?,
        _ => {
            // Infinity and NaN are only cut; what of a NaN is left may be infinity.
            let exponent = e.c32(0x7f80_0000);
            e.op3(ops::AND, t, z, exponent)?;
            e.op3i(ops::COMPARE_U, k, t, exponent, 4)?;
            let half = e.c32(0x1000);
            e.op3(ops::ADD, at(z, k), z, half)?;
            e.op3(ops::AND, z, z, low)?;
            e.op3i(ops::COMPARE_F, k, z, z, UNORDERED)?;
        }
    }
    let nan = float::nan(e).element();
    e.op2(ops::BROADCAST, at(z, k), nan)?;
    clamp(e, z, TF32)?;
    e.done(z)
}

/// The forms of half precision.
pub(super) fn form(alu: Alu) -> Option<Form> {
    use Alu::*;
    Some(match alu {
        AddF16 => Form::Lanes(|e| alone(e, What::Two(ops::ADD_F), false)),
        SubF16 => Form::Lanes(|e| alone(e, What::Two(ops::SUB_F), false)),
        MulF16 => Form::Lanes(|e| alone(e, What::Two(ops::MUL_F), false)),
        FmaF16 => Form::Lanes(|e| alone(e, What::Fma, false)),
        MinF16 => Form::Lanes(|e| alone(e, What::Least, false)),
        MaxF16 => Form::Lanes(|e| alone(e, What::Greatest, false)),
        Ex2F16 => Form::Lanes(|e| alone(e, What::Ex2, false)),
        AddF16x2 => Form::Lanes(|e| paired(e, What::Two(ops::ADD_F), false)),
        SubF16x2 => Form::Lanes(|e| paired(e, What::Two(ops::SUB_F), false)),
        MulF16x2 => Form::Lanes(|e| paired(e, What::Two(ops::MUL_F), false)),
        FmaF16x2 => Form::Lanes(|e| paired(e, What::Fma, false)),
        MinF16x2 => Form::Lanes(|e| paired(e, What::Least, false)),
        MaxF16x2 => Form::Lanes(|e| paired(e, What::Greatest, false)),
        Ex2F16x2 => Form::Lanes(|e| paired(e, What::Ex2, false)),
        AddBf16 => Form::Lanes(|e| alone(e, What::Two(ops::ADD_F), true)),
        SubBf16 => Form::Lanes(|e| alone(e, What::Two(ops::SUB_F), true)),
        MulBf16 => Form::Lanes(|e| alone(e, What::Two(ops::MUL_F), true)),
        FmaBf16 => Form::Lanes(|e| alone(e, What::Fma, true)),
        MinBf16 => Form::Lanes(|e| alone(e, What::Least, true)),
        MaxBf16 => Form::Lanes(|e| alone(e, What::Greatest, true)),
        Ex2Bf16 => Form::Lanes(|e| alone(e, What::Ex2, true)),
        AddBf16x2 => Form::Lanes(|e| paired(e, What::Two(ops::ADD_F), true)),
        SubBf16x2 => Form::Lanes(|e| paired(e, What::Two(ops::SUB_F), true)),
        MulBf16x2 => Form::Lanes(|e| paired(e, What::Two(ops::MUL_F), true)),
        FmaBf16x2 => Form::Lanes(|e| paired(e, What::Fma, true)),
        MinBf16x2 => Form::Lanes(|e| paired(e, What::Least, true)),
        MaxBf16x2 => Form::Lanes(|e| paired(e, What::Greatest, true)),
        AbsF16 => Form::Lanes(|e| signs(e, false, false, false)),
        NegF16 => Form::Lanes(|e| signs(e, true, false, false)),
        AbsBf16 => Form::Lanes(|e| signs(e, false, true, false)),
        NegBf16 => Form::Lanes(|e| signs(e, true, true, false)),
        AbsF16x2 => Form::Lanes(|e| signs(e, false, false, true)),
        NegF16x2 => Form::Lanes(|e| signs(e, true, false, true)),
        AbsBf16x2 => Form::Lanes(|e| signs(e, false, true, true)),
        NegBf16x2 => Form::Lanes(|e| signs(e, true, true, true)),
        F16ToF32 => Form::Lanes(|e| to_f32(e, false)),
        Bf16ToF32 => Form::Lanes(|e| to_f32(e, true)),
        F16ToF16 => Form::Lanes(|e| integral(e, false)),
        Bf16ToBf16 => Form::Lanes(|e| integral(e, true)),
        F16ToBf16 => Form::Lanes(|e| other(e, true)),
        Bf16ToF16 => Form::Lanes(|e| other(e, false)),
        F32ToF16 => Form::Lanes(|e| from_f32(e, false)),
        F32ToF16Rn => Form::Lanes(from_f32_plain),
        F32ToBf16 => Form::Lanes(|e| from_f32(e, true)),
        F32ToF16x2 => Form::Lanes(|e| pair_from_f32(e, false)),
        F32ToBf16x2 => Form::Lanes(|e| pair_from_f32(e, true)),
        F32ToTf32 => Form::Lanes(to_tf32),
        _ => return None,
    })
}
