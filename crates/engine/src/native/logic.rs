//! Logic, shifts, bit fields, counting of bits, permutation of bytes; moves and selections.

use iced_x86::{Code, Register};

use super::alu::Form;
use super::int::commuting;
use super::ops;
use super::vector::{Emit, Pair, Result, Rm, at, low, zeroed};
use crate::exec::alu::Alu;

pub(super) fn not(e: &mut Emit<'_>) -> Result {
    let a = e.r(0)?;
    let to = e.out();
    e.op3i(ops::TERNARY, to, a, a, 0x55)
}

pub(super) fn mov(e: &mut Emit<'_>) -> Result {
    let a = e.rm(0);
    let to = e.out();
    e.mov(to, a)
}

pub(super) fn sel(e: &mut Emit<'_>) -> Result {
    let k = e.predicate(2)?;
    let (a, b) = (e.rm(0), e.r(1)?);
    let z = e.last();
    e.op3(ops::BLEND, at(z, k), b, a)?;
    e.done(z)
}

/// 1 where the bits of `bits` are all zero, else 0.
pub(super) fn cnot(e: &mut Emit<'_>, bits: Option<u32>) -> Result {
    let a = e.r(0)?;
    let k = e.k();
    let tested = match bits {
        Some(bits) => e.c32(bits),
        None => a.into(),
    };
    e.op3(ops::NO_BIT, k, a, tested)?;
    let one = e.c(1, 1).element();
    let z = e.last();
    e.op2(ops::BROADCAST, zeroed(z, k), one)?;
    e.done(z)
}

/// The table with operands in another order: operand `i` of the new table is operand `order[i]` of the old.
fn reorder(table: u32, order: [usize; 3]) -> u32 {
    let mut result = 0;
    for row in 0..8u32 {
        let mut old = 0;
        for (i, &operand) in order.iter().enumerate() {
            old |= (row >> (2 - i) & 1) << (2 - operand);
        }
        result |= (table >> old & 1) << row;
    }
    result
}

/// The operation that a table of three operands says.
fn ternary(e: &mut Emit<'_>, table: u32) -> Result {
    let mut operands = [e.rm(0), e.rm(1), e.rm(2)];
    let mut order = [0, 1, 2];
    // The operand that the instruction overwrites goes first: the destination, if it is one and unmasked lanes are free.
    let to = e.last();
    let first = operands.iter().position(|&o| o.is(to));
    // The last may be in memory.
    let memory = operands.iter().rposition(|o| matches!(o, Rm::Mem(_)));
    for (place, at) in [(2, memory), (0, first)] {
        if let Some(at) = at.and_then(|at| order.iter().position(|&o| o == at)) {
            operands.swap(place, at);
            order.swap(place, at);
        }
    }
    let table = reorder(table, order);
    let [a, b, c] = operands;
    let b = e.load(b)?;
    if first.is_none() {
        e.mov(to, a)?;
    }
    e.op3i(ops::TERNARY, to, b, c, table)?;
    e.done(to)
}

/// A shift whose amount has the width of the operation or, `wide`, 32 bits.
pub(super) fn shift(e: &mut Emit<'_>, variable: Pair, fixed: Pair, wide: bool) -> Result {
    let to = e.out();
    if let Some(amount) = e.constant(1) {
        let bits = if wide { 64 } else { 32 };
        let amount = low(amount);
        let arithmetic = variable == ops::SHIFT_RIGHT_S;
        if amount < bits || arithmetic {
            let a = e.rm(0);
            return e.op2i(fixed, to, a, amount.min(bits - 1));
        }
        let zero = e.zero()?;
        return e.mov(to, zero);
    }
    let a = e.r(0)?;
    let n = if wide {
        e.extended(1, false)?.into()
    } else {
        e.rm(1)
    };
    e.op3(variable, to, a, n)
}

pub(super) fn rotate(e: &mut Emit<'_>, right: bool) -> Result {
    let to = e.out();
    let (by, fixed) = if right {
        (
            Code::EVEX_Vprorvd_zmm_k1z_zmm_zmmm512b32,
            Code::EVEX_Vprord_zmm_k1z_zmmm512b32_imm8,
        )
    } else {
        (
            Code::EVEX_Vprolvd_zmm_k1z_zmm_zmmm512b32,
            Code::EVEX_Vprold_zmm_k1z_zmmm512b32_imm8,
        )
    };
    if let Some(n) = e.constant(1) {
        let a = e.rm(0);
        return e.i2i(fixed, to, a, low(n) & 31);
    }
    let a = e.r(0)?;
    let n = e.rm(1);
    e.i3(by, to, a, n)
}

/// `shf`: of the pair (b, a) shifted left the high word, shifted right the low word.
pub(super) fn funnel(e: &mut Emit<'_>, right: bool, clamp: bool) -> Result {
    let known = e
        .constant(2)
        .map(|n| if clamp { low(n).min(32) } else { low(n) & 31 });
    match known {
        Some(n) if n == 0 || n == 32 => {
            // A whole word, and which one.
            let word = e.rm(usize::from((n == 0) != right));
            let to = e.out();
            return e.mov(to, word);
        }
        Some(n) => {
            let (a, b) = (e.rm(0), e.rm(1));
            let (t, u) = (e.z(), e.z());
            let left = if right { 32 - n } else { n };
            e.op2i(ops::SHIFT_LEFT_BY, t, b, left)?;
            e.op2i(ops::SHIFT_RIGHT_U_BY, u, a, 32 - left)?;
            let to = e.out();
            return e.op3(ops::OR, to, t, u);
        }
        None => {}
    }
    if e.extras().vbmi2 && !clamp {
        // The word that is shifted is the destination as well.
        let (moved, filled) = if right { (0, 1) } else { (1, 0) };
        let z = e.z();
        let word = e.rm(moved);
        e.mov(z, word)?;
        let code = if right {
            Code::EVEX_Vpshrdvd_zmm_k1z_zmm_zmmm512b32
        } else {
            Code::EVEX_Vpshldvd_zmm_k1z_zmm_zmmm512b32
        };
        let (filler, n) = (e.r(filled)?, e.rm(2));
        e.i3(code, z, filler, n)?;
        return e.done(z);
    }
    let n = e.z();
    let amount = e.rm(2);
    if clamp {
        let most = e.c32(32);
        e.mov(n, amount)?;
        e.op3(ops::MIN_U, n, n, most)?;
    } else {
        let most = e.c32(31);
        e.mov(n, amount)?;
        e.op3(ops::AND, n, n, most)?;
    }
    let rest = e.c32(32);
    let rest = e.copy(rest)?;
    e.op3(ops::SUB, rest, rest, n)?;
    let (left, right) = if right { (rest, n) } else { (n, rest) };
    let b = e.r(1)?;
    e.op3(ops::SHIFT_LEFT, left, b, left)?;
    let a = e.r(0)?;
    e.op3(ops::SHIFT_RIGHT_U, right, a, right)?;
    let to = e.out();
    e.op3(ops::OR, to, left, right)
}

/// Source `i`, of 32 bits, cut to the bits of `cut`, of the width of the operation; in a new temporary.
fn amount(e: &mut Emit<'_>, i: usize, cut: u32) -> Result<Register> {
    if e.wide {
        let z = e.extended(i, false)?;
        let cut = e.c64(u64::from(cut));
        e.op3(ops::AND, z, z, cut)?;
        return Ok(z);
    }
    let n = e.rm(i);
    let z = e.copy(n)?;
    if cut != u32::MAX {
        let cut = e.c32(cut);
        e.op3(ops::AND, z, z, cut)?;
    }
    Ok(z)
}

/// `z = (1 << z) - 1`: that many ones, all from the width on.
fn ones_below(e: &mut Emit<'_>, z: Register) -> Result {
    let one = e.c(1, 1);
    let used = e.used();
    let t = e.copy(one)?;
    e.op3(ops::SHIFT_LEFT, z, t, z)?;
    e.release(used);
    let all = e.c(u32::MAX, u64::MAX);
    e.op3(ops::ADD, z, z, all)
}

const fn width(e: &Emit<'_>) -> u32 {
    if e.wide { 64 } else { 32 }
}

/// The low `n` bits set.
const fn mask(n: u32) -> u64 {
    if n >= 64 { u64::MAX } else { (1 << n) - 1 }
}

/// `bfe` without a sign.
pub(super) fn extract(e: &mut Emit<'_>) -> Result {
    let bits = width(e);
    if let (Some(at), Some(len)) = (e.constant(1), e.constant(2)) {
        let (at, len) = (low(at) & 255, low(len) & 255);
        let to = e.out();
        if at >= bits || len == 0 {
            let zero = e.zero()?;
            return e.mov(to, zero);
        }
        let a = e.rm(0);
        if at + len >= bits {
            return e.op2i(ops::SHIFT_RIGHT_U_BY, to, a, at);
        }
        let z = e.z();
        e.op2i(ops::SHIFT_RIGHT_U_BY, z, a, at)?;
        let ones = e.c(low(mask(len)), mask(len));
        return e.op3(ops::AND, to, z, ones);
    }
    let len = amount(e, 2, 255)?;
    ones_below(e, len)?;
    let at = amount(e, 1, 255)?;
    let a = e.r(0)?;
    e.op3(ops::SHIFT_RIGHT_U, at, a, at)?;
    let to = e.out();
    e.op3(ops::AND, to, at, len)
}

/// `bfe` with a sign: the field's top bit goes to the top, and down again with copies of itself.
pub(super) fn extract_signed(e: &mut Emit<'_>) -> Result {
    let bits = width(e);
    let at_ = amount(e, 1, 255)?;
    let len = amount(e, 2, 255)?;
    let k = e.k();
    e.op3(ops::ANY_BIT, k, len, len)?;
    // up = bits - min(at + len, bits)
    e.op3(ops::ADD, len, len, at_)?;
    let most = e.c(bits, u64::from(bits));
    e.op3(ops::MIN_U, len, len, most)?;
    let up = e.copy(most)?;
    e.op3(ops::SUB, up, up, len)?;
    // Amounts beyond the width give the sign alone.
    e.op3(ops::ADD, at_, at_, up)?;
    let a = e.r(0)?;
    e.op3(ops::SHIFT_LEFT, up, a, up)?;
    e.op3(ops::SHIFT_RIGHT_S, zeroed(up, k), up, at_)?;
    e.done(up)
}

/// `bfi`: position and length are bytes 0 and 1 of the third source.
pub(super) fn insert(e: &mut Emit<'_>) -> Result {
    let bits = width(e);
    if let Some(both) = e.constant(2) {
        let (at, len) = (low(both) & 255, low(both) >> 8 & 255);
        let to = e.out();
        if at >= bits || len == 0 {
            let b = e.rm(1);
            return e.mov(to, b);
        }
        let field = (mask(len) << at) & mask(bits);
        let a = e.rm(0);
        let z = if e.rm(1).is(e.destination()) {
            e.z()
        } else {
            e.last()
        };
        e.op2i(ops::SHIFT_LEFT_BY, z, a, at)?;
        let field = e.c(low(field), field);
        let b = e.r(1)?;
        // z where the field has bits, else b
        e.op3i(ops::TERNARY, z, b, field, 0xe4)?;
        return e.done(z);
    }
    let at = amount(e, 2, 255)?;
    let len = e.z();
    let both = if e.wide {
        e.extended(2, false)?.into()
    } else {
        e.rm(2)
    };
    e.op2i(ops::SHIFT_RIGHT_U_BY, len, both, 8)?;
    let cut = e.c(255, 255);
    e.op3(ops::AND, len, len, cut)?;
    ones_below(e, len)?;
    e.op3(ops::SHIFT_LEFT, len, len, at)?;
    let a = e.r(0)?;
    e.op3(ops::SHIFT_LEFT, at, a, at)?;
    let b = e.rm(1);
    e.choose(len, at, b)?;
    e.done(len)
}

/// `len` ones from bit `at`: sources 1 and 0.
pub(super) fn bit_mask(e: &mut Emit<'_>) -> Result {
    let cut = if e.x != 0 { u32::MAX } else { 31 };
    let len = amount(e, 1, cut)?;
    ones_below(e, len)?;
    let at = amount(e, 0, cut)?;
    let to = e.out();
    e.op3(ops::SHIFT_LEFT, to, len, at)
}

pub(super) fn extend_unsigned(e: &mut Emit<'_>) -> Result {
    let cut = if e.x != 0 { u32::MAX } else { 31 };
    let len = amount(e, 1, cut)?;
    ones_below(e, len)?;
    let a = e.rm(0);
    let to = e.out();
    e.op3(ops::AND, to, len, a)
}

pub(super) fn extend_signed(e: &mut Emit<'_>) -> Result {
    let len = amount(e, 1, if e.x != 0 { u32::MAX } else { 31 })?;
    let bits = e.c32(32);
    e.op3(ops::MIN_U, len, len, bits)?;
    let up = e.copy(bits)?;
    e.op3(ops::SUB, up, up, len)?;
    let a = e.r(0)?;
    e.op3(ops::SHIFT_LEFT, len, a, up)?;
    let to = e.out();
    e.op3(ops::SHIFT_RIGHT_S, to, len, up)
}

/// Leading zeros of `a` in a new temporary.
fn leading_zeros(e: &mut Emit<'_>, a: impl Into<Rm>) -> Result<Register> {
    let a = a.into();
    if e.extras().cd {
        let z = e.z();
        e.op2(ops::LEADING_ZEROS, z, a)?;
        return Ok(z);
    }
    // The exponent of the number, rounded towards zero, is the place of its first one.
    let a = e.load(a)?;
    let z = e.z();
    let (code, drop, top) = if e.wide {
        (Code::EVEX_Vcvtuqq2pd_zmm_k1z_zmmm512b64_er, 52, 1086)
    } else {
        (Code::EVEX_Vcvtudq2ps_zmm_k1z_zmmm512b32_er, 23, 158)
    };
    e.i2r(code, z, a, iced_x86::RoundingControl::RoundTowardZero)?;
    e.op2i(ops::SHIFT_RIGHT_U_BY, z, z, drop)?;
    let top = e.c(top, u64::from(top));
    let t = e.copy(top)?;
    e.op3(ops::SUB, z, t, z)?;
    let bits = width(e);
    let most = e.c(bits, u64::from(bits));
    e.op3(ops::MIN_U, z, z, most)?;
    Ok(z)
}

pub(super) fn clz(e: &mut Emit<'_>) -> Result<Register> {
    let a = e.rm(0);
    leading_zeros(e, a)
}

pub(super) fn bfind(e: &mut Emit<'_>, signed: bool) -> Result<Register> {
    let mut a = e.r(0)?;
    if signed {
        // Bits that differ from the sign.
        let t = e.z();
        let bits = width(e);
        e.op2i(ops::SHIFT_RIGHT_S_BY, t, a, bits - 1)?;
        e.op3(ops::XOR, t, t, a)?;
        a = t;
    }
    let z = leading_zeros(e, a)?;
    if e.x != 0 {
        let k = e.k();
        e.op3(ops::NO_BIT, k, a, a)?;
        e.op3i(ops::TERNARY, at(z, k), z, z, 0xff)?;
    } else {
        // Of nothing the place is -1.
        let top = width(e) - 1;
        let top = e.c(top, u64::from(top));
        let t = e.copy(top)?;
        e.op3(ops::SUB, z, t, z)?;
    }
    Ok(z)
}

/// A table of sixteen bytes in every 128 bits.
fn bytes16(e: &mut Emit<'_>, table: [u8; 16]) -> Rm {
    let words: [u32; 4] =
        std::array::from_fn(|i| u32::from_le_bytes(std::array::from_fn(|j| table[4 * i + j])));
    e.vector32(std::array::from_fn(|i| words[i % 4]))
}

/// The halves of every byte, low and high, each as a byte in a new temporary.
fn nibbles(e: &mut Emit<'_>, a: Register) -> Result<(Register, Register)> {
    let (l, h) = (e.z(), e.z());
    let cut = e.c(0x0f0f_0f0f, 0x0f0f_0f0f_0f0f_0f0f);
    e.op3(ops::AND, l, a, cut)?;
    e.op2i(ops::SHIFT_RIGHT_U_BY, h, a, 4)?;
    e.op3(ops::AND, h, h, cut)?;
    Ok((l, h))
}

pub(super) fn popc(e: &mut Emit<'_>) -> Result<Register> {
    let a = e.rm(0);
    if e.extras().popcnt {
        let z = e.z();
        e.op2(ops::ONES, z, a)?;
        return Ok(z);
    }
    let a = e.load(a)?;
    let (l, h) = nibbles(e, a)?;
    let table = bytes16(e, [0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4]);
    let table = e.copy(table)?;
    e.i3(Code::EVEX_Vpshufb_zmm_k1z_zmm_zmmm512, l, table, l)?;
    e.i3(Code::EVEX_Vpshufb_zmm_k1z_zmm_zmmm512, h, table, h)?;
    e.i3(Code::EVEX_Vpaddb_zmm_k1z_zmm_zmmm512, l, l, h)?;
    // The sum of a lane's bytes.
    if e.wide {
        let zero = e.zero()?;
        e.i3(Code::EVEX_Vpsadbw_zmm_zmm_zmmm512, l, l, zero)?;
    } else {
        let ones = e.c32(0x0101_0101);
        e.mov(h, ones)?;
        e.i3(Code::EVEX_Vpmaddubsw_zmm_k1z_zmm_zmmm512, l, l, h)?;
        let ones = e.c32(0x0001_0001);
        e.mov(h, ones)?;
        e.i3(Code::EVEX_Vpmaddwd_zmm_k1z_zmm_zmmm512, l, l, h)?;
    }
    Ok(l)
}

pub(super) fn brev(e: &mut Emit<'_>) -> Result {
    let a = e.r(0)?;
    let (l, h) = nibbles(e, a)?;
    let reversed = [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15];
    let table = bytes16(e, reversed.map(|n: u8| n << 4));
    let t = e.copy(table)?;
    e.i3(Code::EVEX_Vpshufb_zmm_k1z_zmm_zmmm512, l, t, l)?;
    let table = bytes16(e, reversed);
    e.mov(t, table)?;
    e.i3(Code::EVEX_Vpshufb_zmm_k1z_zmm_zmmm512, h, t, h)?;
    e.op3(ops::OR, l, l, h)?;
    let order: [u8; 16] = if e.wide {
        [7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8]
    } else {
        [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12]
    };
    let order = bytes16(e, order);
    e.i3(Code::EVEX_Vpshufb_zmm_k1z_zmm_zmmm512, l, l, order)?;
    e.done(l)
}

/// The forms of logic and shifts.
pub(super) fn form(alu: Alu) -> Option<Form> {
    use Alu::*;
    Some(match alu {
        And32 | And64 => Form::Lanes(|e| commuting(e, ops::AND)),
        Or32 | Or64 => Form::Lanes(|e| commuting(e, ops::OR)),
        Xor32 | Xor64 => Form::Lanes(|e| commuting(e, ops::XOR)),
        Not32 | Not64 => Form::Lanes(not),
        Cnot16 => Form::Lanes(|e| cnot(e, Some(0xffff))),
        Cnot32 | Cnot64 => Form::Lanes(|e| cnot(e, None)),
        Xor3 => Form::Lanes(|e| ternary(e, 0x96)),
        Choose => Form::Lanes(|e| ternary(e, 0xca)),
        Majority => Form::Lanes(|e| ternary(e, 0xe8)),
        Lop3 => Form::Lanes(|e| ternary(e, e.x & 0xff)),
        Shl32 => Form::Lanes(|e| shift(e, ops::SHIFT_LEFT, ops::SHIFT_LEFT_BY, false)),
        ShrU32 => Form::Lanes(|e| shift(e, ops::SHIFT_RIGHT_U, ops::SHIFT_RIGHT_U_BY, false)),
        ShrS32 => Form::Lanes(|e| shift(e, ops::SHIFT_RIGHT_S, ops::SHIFT_RIGHT_S_BY, false)),
        Shl64 => Form::Lanes(|e| shift(e, ops::SHIFT_LEFT, ops::SHIFT_LEFT_BY, true)),
        ShrU64 => Form::Lanes(|e| shift(e, ops::SHIFT_RIGHT_U, ops::SHIFT_RIGHT_U_BY, true)),
        ShrS64 => Form::Lanes(|e| shift(e, ops::SHIFT_RIGHT_S, ops::SHIFT_RIGHT_S_BY, true)),
        ShfLWrap => Form::Lanes(|e| funnel(e, false, false)),
        ShfLClamp => Form::Lanes(|e| funnel(e, false, true)),
        ShfRWrap => Form::Lanes(|e| funnel(e, true, false)),
        ShfRClamp => Form::Lanes(|e| funnel(e, true, true)),
        RotL => Form::Lanes(|e| rotate(e, false)),
        RotR => Form::Lanes(|e| rotate(e, true)),
        BfeU32 | BfeU64 => Form::Lanes(extract),
        BfeS32 | BfeS64 => Form::Lanes(extract_signed),
        Bfi32 | Bfi64 => Form::Lanes(insert),
        BfindU32 | BfindU64 => Form::Value(|e| bfind(e, false)),
        BfindS32 | BfindS64 => Form::Value(|e| bfind(e, true)),
        Bmsk => Form::Lanes(bit_mask),
        SzextU32 => Form::Lanes(extend_unsigned),
        SzextS32 => Form::Lanes(extend_signed),
        Brev32 | Brev64 => Form::Lanes(brev),
        Clz32 | Clz64 => Form::Value(clz),
        Popc32 | Popc64 => Form::Value(popc),
        Mov32 | Mov64 => Form::Lanes(mov),
        Sel32 | Sel64 => Form::Lanes(sel),
        _ => return None,
    })
}
