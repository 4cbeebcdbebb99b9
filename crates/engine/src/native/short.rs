//! Integers of 16 bits, alone and in pairs; permutation of bytes; dot products.
//!
//! A 16-bit value lies in the low half of a 32-bit lane. Operands may have anything above it, results have zeros.

use iced_x86::{Code, Register};

use super::alu::Form;
use super::ops;
use super::vector::{Emit, Pair, Result, at, lane, low};
use crate::exec::alu::Alu;

const ADD: Code = Code::EVEX_Vpaddw_zmm_k1z_zmm_zmmm512;
const SUB: Code = Code::EVEX_Vpsubw_zmm_k1z_zmm_zmmm512;
const MUL_LOW: Code = Code::EVEX_Vpmullw_zmm_k1z_zmm_zmmm512;
const MUL_HIGH_U: Code = Code::EVEX_Vpmulhuw_zmm_k1z_zmm_zmmm512;
const MUL_HIGH_S: Code = Code::EVEX_Vpmulhw_zmm_k1z_zmm_zmmm512;
const MUL_ADD: Code = Code::EVEX_Vpmaddwd_zmm_k1z_zmm_zmmm512;
const MIN_U: Code = Code::EVEX_Vpminuw_zmm_k1z_zmm_zmmm512;
const MAX_U: Code = Code::EVEX_Vpmaxuw_zmm_k1z_zmm_zmmm512;
const MIN_S: Code = Code::EVEX_Vpminsw_zmm_k1z_zmm_zmmm512;
const MAX_S: Code = Code::EVEX_Vpmaxsw_zmm_k1z_zmm_zmmm512;
const ABS: Code = Code::EVEX_Vpabsw_zmm_k1z_zmmm512;
const SHUFFLE: Code = Code::EVEX_Vpshufb_zmm_k1z_zmm_zmmm512;

/// Writes the low halves of `z`.
fn cut(e: &mut Emit<'_>, z: Register) -> Result {
    let bits = e.c32(0xffff);
    let to = e.out();
    e.op3(ops::AND, to, z, bits)
}

/// `code(a, b)` on all halves. The result may be in the destination: all operands but source 2 were read.
fn halves(e: &mut Emit<'_>, code: Code) -> Result<Register> {
    let (a, b) = (e.r(0)?, e.full(1)?);
    let z = e.z();
    e.i3(code, z, a, b)?;
    Ok(z)
}

/// Pairs: `d = code(a, b)`
fn pairs(e: &mut Emit<'_>, code: Code) -> Result {
    let z = halves(e, code)?;
    e.done(z)
}

/// Pairs: `d = max(code(a, b), 0)`
fn pairs_relu(e: &mut Emit<'_>, code: Code) -> Result {
    let z = halves(e, code)?;
    let zero = e.zero()?;
    e.i3(MAX_S, z, z, zero)?;
    e.done(z)
}

/// `d = code(a, b)`, 16 bits
fn single(e: &mut Emit<'_>, code: Code) -> Result {
    let z = halves(e, code)?;
    cut(e, z)
}

/// `d = code(a, b)` with an instruction for 32 bits, cut
fn sum(e: &mut Emit<'_>, pair: Pair) -> Result {
    let a = e.r(0)?;
    let b = e.rm(1);
    let z = e.last();
    e.op3(pair, z, a, b)?;
    cut(e, z)
}

/// `d = code(a, b) + c`, 16 bits
fn plus_c(e: &mut Emit<'_>, code: Code) -> Result {
    let z = halves(e, code)?;
    let c = e.rm(2);
    e.op3(ops::ADD, z, z, c)?;
    cut(e, z)
}

/// A product of 32 bits, plus source 2 where `add`.
fn wide_product(e: &mut Emit<'_>, signed: bool, add: bool) -> Result {
    let a = e.r(0)?;
    let z = e.z();
    let bits = e.c32(0xffff);
    e.op3(ops::AND, z, a, bits)?;
    if signed {
        // The product of the upper halves, one of which is zero, adds nothing.
        let b = e.full(1)?;
        e.i3(MUL_ADD, z, z, b)?;
    } else {
        let b = e.r(1)?;
        let t = e.z();
        e.op3(ops::AND, t, b, bits)?;
        e.op3(ops::MUL, z, z, t)?;
    }
    if !add {
        return e.done(z);
    }
    let c = e.rm(2);
    let to = e.out();
    e.op3(ops::ADD, to, z, c)
}

/// `d = |a - b| + c`
fn sad(e: &mut Emit<'_>, min: Code, max: Code) -> Result {
    let (a, b) = (e.r(0)?, e.full(1)?);
    let (z, t) = (e.z(), e.z());
    e.i3(max, z, a, b)?;
    e.i3(min, t, a, b)?;
    e.i3(SUB, z, z, t)?;
    let c = e.rm(2);
    e.op3(ops::ADD, z, z, c)?;
    cut(e, z)
}

fn abs(e: &mut Emit<'_>) -> Result {
    let a = e.full(0)?;
    let z = e.z();
    e.i2(ABS, z, a)?;
    cut(e, z)
}

fn neg(e: &mut Emit<'_>) -> Result {
    let zero = e.zero()?;
    let a = e.rm(0);
    e.op3(ops::SUB, zero, zero, a)?;
    cut(e, zero)
}

fn not(e: &mut Emit<'_>) -> Result {
    let a = e.r(0)?;
    let bits = e.c32(0xffff);
    let to = e.out();
    e.op3(ops::AND_NOT, to, a, bits)
}

fn shift_left(e: &mut Emit<'_>) -> Result {
    let a = e.r(0)?;
    let n = e.rm(1);
    let z = e.last();
    e.op3(ops::SHIFT_LEFT, z, a, n)?;
    cut(e, z)
}

fn shift_right(e: &mut Emit<'_>, signed: bool) -> Result {
    let a = e.rm(0);
    let z = e.z();
    if signed {
        e.op2i(ops::SHIFT_LEFT_BY, z, a, 16)?;
        e.op2i(ops::SHIFT_RIGHT_S_BY, z, z, 16)?;
        let n = e.rm(1);
        e.op3(ops::SHIFT_RIGHT_S, z, z, n)?;
        return cut(e, z);
    }
    let a = e.load(a)?;
    let bits = e.c32(0xffff);
    e.op3(ops::AND, z, a, bits)?;
    let n = e.rm(1);
    let to = e.out();
    e.op3(ops::SHIFT_RIGHT_U, to, z, n)
}

/// The low halves of `a` and `b`, side by side.
fn pack(e: &mut Emit<'_>) -> Result {
    let b = e.rm(1);
    let a = e.r(0)?;
    let z = e.z();
    e.op2i(ops::SHIFT_LEFT_BY, z, b, 16)?;
    let bits = e.c32(0xffff);
    // a where the bits are, else z
    e.op3i(ops::TERNARY, z, a, bits, 0xd8)?;
    e.done(z)
}

/// The tables of the modes of `prmt`, by the two low bits of the control.
const MODES: [[u32; 4]; 6] = [
    [0x3210, 0x4321, 0x5432, 0x6543],
    [0x5670, 0x6701, 0x7012, 0x0123],
    [0x0000, 0x1111, 0x2222, 0x3333],
    [0x3210, 0x3211, 0x3222, 0x3333],
    [0x0000, 0x1110, 0x2210, 0x3210],
    [0x1010, 0x3232, 0x1010, 0x3232],
];

fn permute(e: &mut Emit<'_>, modes: bool) -> Result {
    if let Some(c) = e.constant(2) {
        let c = low(c);
        let selector = if modes {
            MODES[e.x.min(5) as usize][(c & 3) as usize]
        } else {
            c
        };
        if selector & 0x8888 == 0 {
            return permute_known(e, selector);
        }
    }
    let s = e.z();
    let c = e.rm(2);
    e.mov(s, c)?;
    if modes {
        // The index counts in four bits; the table repeats every four.
        let table = MODES[e.x.min(5) as usize];
        let table = e.vector32(std::array::from_fn(|i| table[i % 4]));
        e.i3(Code::EVEX_Vpermd_zmm_k1z_zmm_zmmm512b32, s, s, table)?;
    }
    spread_selector(e, s)?;
    // The bytes of a word lie at four times its number in its 128 bits.
    let first = e.vector32(std::array::from_fn(|i| 0x0404_0404 * (lane(i) % 4)));
    let place = e.copy(first)?;
    let three = e.c32(0x0303_0303);
    // place | s & 3
    e.op3i(ops::TERNARY, place, s, three, 0xf8)?;
    let a = e.r(0)?;
    let z = e.z();
    e.i3(SHUFFLE, z, a, place)?;
    let b = e.r(1)?;
    e.i3(SHUFFLE, place, b, place)?;
    // From b where bit 2 is set; where bit 3 is, the byte's sign instead of the byte.
    let (k, signs) = (e.k(), e.k());
    let bit = e.z();
    let four = e.c32(0x0404_0404);
    e.mov(bit, four)?;
    e.i3(Code::EVEX_Vptestmb_kr_k1_zmm_zmmm512, k, s, bit)?;
    e.i2(Code::EVEX_Vmovdqu8_zmm_k1z_zmmm512, at(z, k), place)?;
    e.op3(ops::ADD, bit, bit, bit)?;
    e.i3(Code::EVEX_Vptestmb_kr_k1_zmm_zmmm512, k, s, bit)?;
    e.i2(Code::EVEX_Vpmovb2m_kr_zmm, signs, z)?;
    e.i2(Code::EVEX_Vpmovm2b_zmm_kr, place, signs)?;
    e.i2(Code::EVEX_Vmovdqu8_zmm_k1z_zmmm512, at(z, k), place)?;
    e.done(z)
}

/// The four low nibbles of `s`, a byte each.
fn spread_selector(e: &mut Emit<'_>, s: Register) -> Result {
    let used = e.used();
    let t = e.z();
    e.op2i(ops::SHIFT_LEFT_BY, t, s, 8)?;
    // Byte 0 twice, then byte 1 twice; the nibble that is not wanted goes afterwards.
    let low = e.c32(0xff);
    e.op3i(ops::TERNARY, t, s, low, 0xd8)?;
    e.op2i(ops::SHIFT_LEFT_BY, s, t, 4)?;
    let even = e.c32(0x00ff_00ff);
    e.op3i(ops::TERNARY, s, t, even, 0xd8)?;
    let nibbles = e.c32(0x0f0f_0f0f);
    e.op3(ops::AND, s, s, nibbles)?;
    e.release(used);
    Ok(())
}

/// Source `i` with its bytes at the places where `from`, a byte number each, wants them; anything where it wants none.
fn bytes_of(e: &mut Emit<'_>, i: usize, from: [Option<u32>; 4]) -> Result<Register> {
    let turns: Vec<u32> = (0..4u32)
        .zip(from)
        .filter_map(|(to, from)| from.map(|from| (to + 4 - from) % 4))
        .collect();
    if turns.iter().all(|&turn| turn == turns[0]) {
        if turns[0] == 0 {
            return e.r(i);
        }
        let (a, z) = (e.rm(i), e.z());
        e.i2i(Code::EVEX_Vprold_zmm_k1z_zmmm512b32_imm8, z, a, 8 * turns[0])?;
        return Ok(z);
    }
    let word = u32::from_le_bytes(from.map(|from| from.unwrap_or(0).to_le_bytes()[0]));
    let places = e.vector32(std::array::from_fn(|i| word + 0x0404_0404 * (lane(i) % 4)));
    let (a, z) = (e.r(i)?, e.z());
    e.i3(SHUFFLE, z, a, places)?;
    Ok(z)
}

/// `prmt` with a known selector that asks for no sign.
fn permute_known(e: &mut Emit<'_>, selector: u32) -> Result {
    let nibble = |i: usize| selector >> (4 * i) & 7;
    let from_a: [Option<u32>; 4] = std::array::from_fn(|i| (nibble(i) < 4).then(|| nibble(i)));
    let from_b: [Option<u32>; 4] = std::array::from_fn(|i| nibble(i).checked_sub(4));
    if from_b == [None; 4] || from_a == [None; 4] {
        let (i, from) = if from_b == [None; 4] {
            (0, from_a)
        } else {
            (1, from_b)
        };
        let z = bytes_of(e, i, from)?;
        let to = e.out();
        return e.mov(to, z);
    }
    let (a, b) = (bytes_of(e, 0, from_a)?, bytes_of(e, 1, from_b)?);
    let bits = u32::from_le_bytes(from_a.map(|from| if from.is_some() { 0xff } else { 0 }));
    let bits = e.c32(bits);
    let z = e.copy(b)?;
    e.op3i(ops::TERNARY, z, a, bits, 0xd8)?;
    e.done(z)
}

/// The even or odd halves of all words as numbers of 16 bits; bytes.
fn bytes16(e: &mut Emit<'_>, a: Register, odd: bool, signed: bool) -> Result<Register> {
    const LEFT: Code = Code::EVEX_Vpsllw_zmm_k1z_zmmm512_imm8;
    const RIGHT_S: Code = Code::EVEX_Vpsraw_zmm_k1z_zmmm512_imm8;
    const RIGHT_U: Code = Code::EVEX_Vpsrlw_zmm_k1z_zmmm512_imm8;
    let z = e.z();
    match (odd, signed) {
        (false, true) => {
            e.i2i(LEFT, z, a, 8)?;
            e.i2i(RIGHT_S, z, z, 8)?;
        }
        (false, false) => {
            let bits = e.c32(0x00ff_00ff);
            e.op3(ops::AND, z, a, bits)?;
        }
        (true, true) => e.i2i(RIGHT_S, z, a, 8)?,
        (true, false) => e.i2i(RIGHT_U, z, a, 8)?,
    }
    Ok(z)
}

/// Four products of bytes, summed, plus source 2.
fn dot4(e: &mut Emit<'_>) -> Result {
    let (a_signed, b_signed) = (e.x & 1 != 0, e.x & 2 != 0);
    let (a, b) = (e.r(0)?, e.r(1)?);
    let (z, t) = (bytes16(e, a, false, a_signed)?, bytes16(e, b, false, b_signed)?);
    e.i3(MUL_ADD, z, z, t)?;
    let used = e.used();
    e.release((used.0 - 1, used.1));
    let (u, v) = (bytes16(e, a, true, a_signed)?, bytes16(e, b, true, b_signed)?);
    e.i3(MUL_ADD, u, u, v)?;
    e.op3(ops::ADD, z, z, u)?;
    let c = e.rm(2);
    let to = e.out();
    e.op3(ops::ADD, to, z, c)
}

/// `bits` of every word of source `i` from bit `from`, extended to 32 bits.
fn field(e: &mut Emit<'_>, i: usize, from: u32, bits: u32, signed: bool) -> Result<Register> {
    let (a, z) = (e.rm(i), e.z());
    e.op2i(ops::SHIFT_LEFT_BY, z, a, 32 - bits - from)?;
    let back = if signed {
        ops::SHIFT_RIGHT_S_BY
    } else {
        ops::SHIFT_RIGHT_U_BY
    };
    e.op2i(back, z, z, 32 - bits)?;
    Ok(z)
}

/// Two products of a half and a byte, summed, plus source 2.
fn dot2(e: &mut Emit<'_>) -> Result {
    let (a_signed, b_signed) = (e.x & 1 != 0, e.x & 2 != 0);
    let first = if e.x & 4 != 0 { 16 } else { 0 };
    let (z, t) = (field(e, 0, 0, 16, a_signed)?, field(e, 1, first, 8, b_signed)?);
    e.op3(ops::MUL, z, z, t)?;
    let (u, v) = (
        field(e, 0, 16, 16, a_signed)?,
        field(e, 1, first + 8, 8, b_signed)?,
    );
    e.op3(ops::MUL, u, u, v)?;
    e.op3(ops::ADD, z, z, u)?;
    let c = e.rm(2);
    let to = e.out();
    e.op3(ops::ADD, to, z, c)
}

/// The forms of 16-bit integers and of what works on parts of words.
pub(super) fn form(alu: Alu) -> Option<Form> {
    use Alu::*;
    Some(match alu {
        Add16 => Form::Lanes(|e| sum(e, ops::ADD)),
        Sub16 => Form::Lanes(|e| sum(e, ops::SUB)),
        Add16x2 => Form::Lanes(|e| pairs(e, ADD)),
        MulLo16 => Form::Lanes(|e| single(e, MUL_LOW)),
        MulHiU16 => Form::Lanes(|e| single(e, MUL_HIGH_U)),
        MulHiS16 => Form::Lanes(|e| single(e, MUL_HIGH_S)),
        MulWideU16 => Form::Lanes(|e| wide_product(e, false, false)),
        MulWideS16 => Form::Lanes(|e| wide_product(e, true, false)),
        MadWideU16 => Form::Lanes(|e| wide_product(e, false, true)),
        MadWideS16 => Form::Lanes(|e| wide_product(e, true, true)),
        MadLo16 => Form::Lanes(|e| plus_c(e, MUL_LOW)),
        MadHiU16 => Form::Lanes(|e| plus_c(e, MUL_HIGH_U)),
        MadHiS16 => Form::Lanes(|e| plus_c(e, MUL_HIGH_S)),
        MinU16 => Form::Lanes(|e| single(e, MIN_U)),
        MaxU16 => Form::Lanes(|e| single(e, MAX_U)),
        MinS16 => Form::Lanes(|e| single(e, MIN_S)),
        MaxS16 => Form::Lanes(|e| single(e, MAX_S)),
        MinU16x2 => Form::Lanes(|e| pairs(e, MIN_U)),
        MaxU16x2 => Form::Lanes(|e| pairs(e, MAX_U)),
        MinS16x2 => Form::Lanes(|e| pairs(e, MIN_S)),
        MaxS16x2 => Form::Lanes(|e| pairs(e, MAX_S)),
        MinReluS16x2 => Form::Lanes(|e| pairs_relu(e, MIN_S)),
        MaxReluS16x2 => Form::Lanes(|e| pairs_relu(e, MAX_S)),
        SadU16 => Form::Lanes(|e| sad(e, MIN_U, MAX_U)),
        SadS16 => Form::Lanes(|e| sad(e, MIN_S, MAX_S)),
        AbsS16 => Form::Lanes(abs),
        Neg16 => Form::Lanes(neg),
        Not16 => Form::Lanes(not),
        Shl16 => Form::Lanes(shift_left),
        ShrU16 => Form::Lanes(|e| shift_right(e, false)),
        ShrS16 => Form::Lanes(|e| shift_right(e, true)),
        Pack16 => Form::Lanes(pack),
        Prmt => Form::Lanes(|e| permute(e, false)),
        PrmtMode => Form::Lanes(|e| permute(e, true)),
        Dp4a => Form::Lanes(dot4),
        Dp2a => Form::Lanes(dot2),
        _ => return None,
    })
}
