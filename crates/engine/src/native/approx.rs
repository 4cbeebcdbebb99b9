//! The approximate functions: the same operations in the same order as the reference, so that the bits are the same.

use iced_x86::{Code, Register};

use super::alu::Form;
use super::float::{self, UNORDERED};
use super::ops;
use super::vector::{Emit, Pair, Result, at, ymm};
use crate::exec::alu::Alu;
use crate::exec::modifiers::FTZ;

const ROUND32: f32 = 12_582_912.0;
const ROUND64: f64 = 6_755_399_441_055_744.0;

/// `z = pair(z, c)`, one constant for all lanes.
fn with(e: &mut Emit<'_>, pair: Pair, z: Register, c: f32) -> Result {
    let c = e.c32(c.to_bits());
    e.op3(pair, z, z, c)
}

/// `to = pair(z, c)`
fn from(e: &mut Emit<'_>, pair: Pair, to: Register, z: Register, c: f32) -> Result {
    let c = e.c32(c.to_bits());
    e.op3(pair, to, z, c)
}

const fn ftz(e: &Emit<'_>) -> bool {
    e.x & FTZ != 0
}

/// Source `i` flushed if the operation says so, in a new temporary.
fn operand(e: &mut Emit<'_>, i: usize) -> Result<Register> {
    let a = e.rm(i);
    let z = e.copy(a)?;
    if ftz(e) {
        float::flush(e, z)?;
    }
    Ok(z)
}

/// Flushes if the operation says so, makes NaN canonical and writes.
fn end(e: &mut Emit<'_>, z: Register) -> Result {
    if ftz(e) {
        float::flush(e, z)?;
    }
    float::finish(e, z)
}

/// `1 / z`, in a new temporary.
fn reciprocal(e: &mut Emit<'_>, z: Register) -> Result<Register> {
    let one = e.c(1f32.to_bits(), 1f64.to_bits());
    let r = e.copy(one)?;
    e.op3(ops::DIV_F, r, r, z)?;
    Ok(r)
}

fn rcp(e: &mut Emit<'_>) -> Result {
    let z = operand(e, 0)?;
    let r = reciprocal(e, z)?;
    end(e, r)
}

fn rsqrt(e: &mut Emit<'_>) -> Result {
    let z = operand(e, 0)?;
    e.op2(ops::SQRT_F, z, z)?;
    let r = reciprocal(e, z)?;
    float::finish(e, r)
}

fn sqrt(e: &mut Emit<'_>) -> Result {
    let z = operand(e, 0)?;
    e.op2(ops::SQRT_F, z, z)?;
    float::finish(e, z)
}

/// Where the divisor's magnitude is above 2^126 and finite, the dividend times a zero of its sign.
fn div(e: &mut Emit<'_>, full: bool) -> Result {
    let (a, b) = (operand(e, 0)?, operand(e, 1)?);
    let (q, t) = (e.z(), e.z());
    e.op3(ops::DIV_F, q, a, b)?;
    if !full {
        let k = e.k();
        let magnitude = float::magnitude(e);
        e.op3(ops::AND, t, b, magnitude)?;
        let bound = e.c32(0x7e80_0000);
        e.op3i(ops::COMPARE_F, k, t, bound, 0x1e)?;
        let infinity = e.c32(0x7f80_0000);
        e.op3i(ops::COMPARE_F, at(k, k), t, infinity, 0x11)?;
        let sign = float::sign(e);
        e.op3(ops::AND, t, b, sign)?;
        e.op3(ops::MUL_F, at(q, k), a, t)?;
    }
    end(e, q)
}

/// `2^z` in `z`; the operand is flushed already. Takes four temporaries and gives them back.
pub(super) fn ex2(e: &mut Emit<'_>, z: Register, ftz: bool) -> Result {
    use std::f32::consts::LN_2;
    let used = e.used();
    let k = e.k();
    e.op3i(ops::COMPARE_F, k, z, z, UNORDERED)?;
    let (n, f2, t, u) = (e.z(), e.z(), e.z(), e.z());
    // Of NaN and a bound these instructions give the bound.
    with(e, ops::MAX_F, z, -160.0)?;
    with(e, ops::MIN_F, z, 130.0)?;
    from(e, ops::ADD_F, t, z, ROUND32)?;
    from(e, ops::SUB, n, t, ROUND32)?;
    with(e, ops::SUB_F, t, ROUND32)?;
    e.op3(ops::SUB_F, z, z, t)?;
    e.op3(ops::MUL_F, f2, z, z)?;
    from(e, ops::MUL_F, t, z, 0.000_154_531_63)?;
    with(e, ops::ADD_F, t, 0.001_339_086_3)?;
    e.op3(ops::MUL_F, t, t, f2)?;
    from(e, ops::MUL_F, u, z, 0.009_618_083)?;
    with(e, ops::ADD_F, u, 0.055_503_57)?;
    e.op3(ops::ADD_F, t, t, u)?;
    e.op3(ops::MUL_F, t, t, f2)?;
    from(e, ops::MUL_F, u, z, 0.240_226_5)?;
    with(e, ops::ADD_F, u, LN_2)?;
    e.op3(ops::ADD_F, t, t, u)?;
    e.op3(ops::MUL_F, t, t, z)?;
    with(e, ops::ADD_F, t, 1.0)?;
    // Times 2^n, in two factors.
    e.op2i(ops::SHIFT_RIGHT_S_BY, u, n, 1)?;
    e.op3(ops::SUB, n, n, u)?;
    let bias = e.c32(127);
    for exponent in [u, n] {
        e.op3(ops::ADD, exponent, exponent, bias)?;
        e.op2i(ops::SHIFT_LEFT_BY, exponent, exponent, 23)?;
    }
    e.op3(ops::MUL_F, t, t, u)?;
    e.op3(ops::MUL_F, z, t, n)?;
    if ftz {
        float::flush(e, z)?;
    }
    let nan = float::nan(e).element();
    e.op2(ops::BROADCAST, at(z, k), nan)?;
    e.release(used);
    Ok(())
}

fn ex2_alone(e: &mut Emit<'_>) -> Result {
    let z = operand(e, 0)?;
    ex2(e, z, ftz(e))?;
    e.done(z)
}

fn lg2(e: &mut Emit<'_>) -> Result {
    let a = operand(e, 0)?;
    let (n, m, t, p) = (e.z(), e.z(), e.z(), e.z());
    let (k, small) = (e.k(), e.k());
    from_compare(e, small, a, f32::MIN_POSITIVE.to_bits(), 0x11)?;
    e.mov(m, a)?;
    let up = e.c32(8_388_608f32.to_bits());
    e.op3(ops::MUL_F, at(m, small), m, up)?;
    // a = m * 2^n, m from sqrt(1/2) to sqrt(2)
    let cut = e.c32(0x3f35_04f3);
    e.op3(ops::SUB, m, m, cut)?;
    e.op2i(ops::SHIFT_RIGHT_S_BY, n, m, 23)?;
    let fraction = e.c32(0x007f_ffff);
    e.op3(ops::AND, m, m, fraction)?;
    e.op3(ops::ADD, m, m, cut)?;
    let less = e.c32(23);
    e.op3(ops::SUB, at(n, small), n, less)?;
    from(e, ops::ADD_F, t, m, 1.0)?;
    with(e, ops::SUB_F, m, 1.0)?;
    e.op3(ops::DIV_F, m, m, t)?;
    e.op3(ops::MUL_F, t, m, m)?;
    from(e, ops::MUL_F, p, t, 0.340_721_1)?;
    for c in [0.411_673_3, 0.577_083_6, 0.961_796_67] {
        with(e, ops::ADD_F, p, c)?;
        e.op3(ops::MUL_F, p, p, t)?;
    }
    with(e, ops::ADD_F, p, 2.885_39)?;
    e.op3(ops::MUL_F, p, p, m)?;
    e.i2(Code::EVEX_Vcvtdq2ps_zmm_k1z_zmmm512b32_er, n, n)?;
    e.op3(ops::ADD_F, p, p, n)?;
    // 0, infinity, and what is neither positive nor zero.
    for (operand, comparison, result) in [
        (0, 0, 0xff80_0000),
        (0x7f80_0000, 0, 0x7f80_0000),
        (0, 0x19, tessera_arith::float32::NAN),
    ] {
        from_compare(e, k, a, operand, comparison)?;
        let result = e.c32(result).element();
        e.op2(ops::BROADCAST, at(p, k), result)?;
    }
    if ftz(e) {
        float::flush(e, p)?;
    }
    e.done(p)
}

/// Compares `a` with a constant.
fn from_compare(e: &mut Emit<'_>, k: Register, a: Register, bits: u32, comparison: u32) -> Result {
    let c = e.c32(bits);
    e.op3i(ops::COMPARE_F, k, a, c, comparison)
}

/// Of half of the singles in `a`, quadrant and distance from its axis: eight words each, in two new temporaries.
fn reduce(e: &mut Emit<'_>, a: Register, half: usize) -> Result<(Register, Register)> {
    let (s, x) = (e.z(), e.z());
    let used = e.used();
    let (n, t) = (e.z(), e.z());
    let mut part = ymm(a);
    if half == 1 {
        e.i2i(Code::EVEX_Vextracti64x4_ymmm256_k1z_zmm_imm8, ymm(x), a, 1)?;
        part = ymm(x);
    }
    e.i2(Code::EVEX_Vcvtps2pd_zmm_k1z_ymmm256b32_sae, x, part)?;
    let (quarter, round) = (
        e.c64(std::f64::consts::FRAC_2_PI.to_bits()),
        e.c64(ROUND64.to_bits()),
    );
    e.i3(ops::MUL_F[1], s, x, quarter)?;
    e.i3(ops::ADD_F[1], s, s, round)?;
    e.i3(ops::SUB_F[1], n, s, round)?;
    for c in [1.570_796_326_734_125_6f64, 6.077_100_506_506_192e-11] {
        let c = e.c64(c.to_bits());
        e.i3(ops::MUL_F[1], t, n, c)?;
        e.i3(ops::SUB_F[1], x, x, t)?;
    }
    e.i2(Code::EVEX_Vcvtpd2ps_ymm_k1z_zmmm512b64_er, ymm(x), x)?;
    e.i2(Code::EVEX_Vpmovqd_ymmm256_k1z_zmm, ymm(s), s)?;
    e.release(used);
    Ok((s, x))
}

/// The sine, or with a quadrant more the cosine.
fn sine(e: &mut Emit<'_>, cosine: bool) -> Result {
    let a = if ftz(e) { operand(e, 0)? } else { e.r(0)? };
    let finite = e.k();
    e.op2i(ops::CLASS_F, finite, a, 0x99)?;
    // Eight quadrants and eight distances in one register until the other half is there.
    let (first, r) = reduce(e, a, 0)?;
    e.join(first, first, ymm(r))?;
    let (zmm, k) = e.used();
    e.release((zmm - 1, k));
    let (q, r) = reduce(e, a, 1)?;
    let t = e.z();
    e.i2i(Code::EVEX_Vextracti64x4_ymmm256_k1z_zmm_imm8, ymm(t), first, 1)?;
    e.join(t, t, ymm(r))?;
    e.join(q, first, ymm(q))?;
    let (r, z, s, c) = (t, r, first, e.z());
    if cosine {
        let one = e.c32(1);
        e.op3(ops::ADD, q, q, one)?;
    }
    with(e, ops::MIN_F, r, 1.0)?;
    with(e, ops::MAX_F, r, -1.0)?;
    e.op3(ops::MUL_F, z, r, r)?;
    // s = r * (1 + z * (-1/6 + z * (1/120 - z * 1/5104)))
    from(e, ops::MUL_F, s, z, 0.000_195_876_39)?;
    let lead = e.c32(0.008_332_747f32.to_bits());
    e.mov(c, lead)?;
    e.op3(ops::SUB_F, s, c, s)?;
    for c in [-0.166_666_66, 1.0] {
        e.op3(ops::MUL_F, s, s, z)?;
        with(e, ops::ADD_F, s, c)?;
    }
    e.op3(ops::MUL_F, s, s, r)?;
    // c = 1 + z * (-1/2 + z * (1/24 + z * (-1/720 + z / 40877)))
    from(e, ops::MUL_F, c, z, 0.000_024_463_453)?;
    with(e, ops::ADD_F, c, -0.001_388_758_7)?;
    for term in [0.041_666_65, -0.5, 1.0] {
        e.op3(ops::MUL_F, c, c, z)?;
        with(e, ops::ADD_F, c, term)?;
    }
    let k = e.k();
    let one = e.c32(1);
    e.op3(ops::ANY_BIT, k, q, one)?;
    e.op2(ops::MOVE, at(s, k), c)?;
    // Quadrants 2 and 3 are negative.
    e.op2i(ops::SHIFT_LEFT_BY, q, q, 30)?;
    let sign = float::sign(e);
    // s ^ (q & sign)
    e.op3i(ops::TERNARY, s, q, sign, 0x78)?;
    if ftz(e) {
        float::flush(e, s)?;
    }
    let nan = float::nan(e).element();
    e.op2(ops::BROADCAST, at(s, finite), nan)?;
    e.done(s)
}

/// Where singles come from once more, after they were overwritten.
type Fetch = fn(&mut Emit<'_>) -> Result<Register>;

/// `tanh` in a new temporary.
fn tanh_of(e: &mut Emit<'_>, fetch: Fetch) -> Result<Register> {
    let x = fetch(e)?;
    let magnitude = float::magnitude(e);
    e.op3(ops::AND, x, x, magnitude)?;
    with(e, ops::MUL_F, x, -2.885_39)?;
    ex2(e, x, false)?;
    // large = (1 - t) / (1 + t)
    let one = e.c32(1f32.to_bits());
    let large = e.copy(one)?;
    e.op3(ops::SUB_F, large, large, x)?;
    with(e, ops::ADD_F, x, 1.0)?;
    e.op3(ops::DIV_F, large, large, x)?;
    e.mov(x, large)?;
    let used = e.used();
    e.release((used.0 - 1, used.1));
    // small = x - x * x * x / 3
    let a = fetch(e)?;
    let (m, t) = (e.z(), e.z());
    e.op3(ops::AND, m, a, magnitude)?;
    e.op3(ops::MUL_F, t, m, m)?;
    e.op3(ops::MUL_F, t, t, m)?;
    with(e, ops::MUL_F, t, 0.333_333_34)?;
    let k = e.k();
    from_compare(e, k, m, 0.125f32.to_bits(), 0x11)?;
    e.op3(ops::SUB_F, at(x, k), m, t)?;
    // The sign of the argument; NaN of a NaN is canonical all the same.
    let sign = float::sign(e);
    e.op3i(ops::TERNARY, x, a, sign, 0xd8)?;
    float::canonical(e, x)?;
    Ok(x)
}

fn tanh(e: &mut Emit<'_>) -> Result {
    let z = tanh_of(e, |e| {
        let a = e.rm(0);
        e.copy(a)
    })?;
    e.done(z)
}

/// Clears the low word of every lane of `z` and flushes subnormals.
fn gross(e: &mut Emit<'_>, z: Register) -> Result {
    let high = e.c64(0xffff_ffff_0000_0000);
    e.op3(ops::AND, z, z, high)?;
    float::flush(e, z)
}

/// The approximations of doubles that look at the high word only and give a high word only.
fn gross_f64(e: &mut Emit<'_>, root: bool) -> Result {
    let a = e.rm(0);
    let z = e.copy(a)?;
    gross(e, z)?;
    if root {
        e.op2(ops::SQRT_F, z, z)?;
    }
    let r = reciprocal(e, z)?;
    let k = e.k();
    e.op3i(ops::COMPARE_F, k, r, r, UNORDERED)?;
    // To nearest, ties to even.
    e.op2i(ops::SHIFT_RIGHT_U_BY, z, r, 32)?;
    let one = e.c64(1);
    e.op3(ops::AND, z, z, one)?;
    let rest = e.c64(0x7fff_ffff);
    e.op3(ops::ADD, z, z, rest)?;
    e.op3(ops::ADD, r, r, z)?;
    gross(e, r)?;
    let nan = e.c64(0x7fff_ffff_0000_0000).element();
    e.op2(ops::BROADCAST, at(r, k), nan)?;
    if root {
        // Also of a NaN whose payload lies in the low word, which was cut off.
        let a = e.r(0)?;
        e.op3i(ops::COMPARE_F, k, a, a, UNORDERED)?;
        e.op2(ops::BROADCAST, at(r, k), nan)?;
    }
    e.done(r)
}

/// The forms of the approximations.
pub(super) fn form(alu: Alu) -> Option<Form> {
    use Alu::*;
    Some(match alu {
        RcpApproxF32 => Form::Lanes(rcp),
        RsqrtApproxF32 | RsqrtApproxF64 => Form::Lanes(rsqrt),
        SqrtApproxF32 => Form::Lanes(sqrt),
        DivApproxF32 => Form::Lanes(|e| div(e, false)),
        DivFullF32 => Form::Lanes(|e| div(e, true)),
        Ex2ApproxF32 => Form::Lanes(ex2_alone),
        Lg2ApproxF32 => Form::Lanes(lg2),
        SinApproxF32 => Form::Lanes(|e| sine(e, false)),
        CosApproxF32 => Form::Lanes(|e| sine(e, true)),
        TanhApproxF32 => Form::Lanes(tanh),
        RcpApproxF64 => Form::Lanes(|e| gross_f64(e, false)),
        RsqrtApproxFtzF64 => Form::Lanes(|e| gross_f64(e, true)),
        _ => return None,
    })
}
