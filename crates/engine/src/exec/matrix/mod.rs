//! Matrix products of a warp.
//!
//! ```text
//!  registers ─ blocks of 8 rows x 4 words ─▶ transposed, 16 rows to a vector ─▶ elements as f32 ─┐
//!                                            registers of B: elements as f32, read one by one ───┼─▶ d[column] += a[k] * b[k][column]
//!                                            registers of C: transposed, 16 rows to a vector ────┘        k = 0, 1, 2 ...
//! ```
//!
//! # Numbers
//! Every element is exact as `f32`. A sum of numbers starts with C and takes one fused multiply-add per k, in increasing order,
//! each rounded to nearest; halves as a result are rounded once more at the end. So it is at least as exact as the hardware,
//! which leaves order and intermediate precision open, and the same on every vector unit. NaN is the canonical one.
//! Integer products are summed in `f32` too: the sums of all shapes stay below 2^24, where that is exact. C is added last, modulo
//! 2^32 or with `.satfinite` between the ends of the range.
//!
//! Lanes that are not there (a last warp of fewer threads) count as zeros.

pub(crate) mod exact;
pub(crate) mod memory;
pub(crate) mod quarters;
mod quick;
pub(crate) mod sparse;
pub(crate) mod tiles;

use super::isa::{Body, Isa};
use super::tile::{Floats, Words};
use super::warp::{incomplete, set_warp32, warp32};
use super::{Cx, Event, NUMBER, Op};
use crate::lir::matrix::{Elem, Mma, Sum};

/// Rows of 16 elements of A that one result needs at most: 64 along k.
const DEPTH: usize = 64;
/// Where the accumulators of a result are: by column, in the order of rows that the transposition gives.
type Result16 = [Floats; 8];

/// The registers of an operation, which are listed in the code's table.
#[derive(Clone, Copy)]
struct List(*const u32);

impl List {
    /// # Safety
    /// The operation was made by the decoder with as many operands.
    #[inline(always)]
    unsafe fn get(self, i: usize) -> u32 {
        // SAFETY: the caller's promise.
        unsafe { *self.0.add(i) }
    }

    #[inline(always)]
    fn from(self, i: usize) -> Self {
        Self(self.0.wrapping_add(i))
    }
}

/// A register of a warp, in two chunks; zero in lanes that are not there.
///
/// # Safety
/// `operand` is a 32-bit one, made by the decoder.
#[inline(always)]
unsafe fn register(cx: &Cx, operand: u32, w: usize) -> [Words; 2] {
    // SAFETY: the caller's promise.
    let all = unsafe { warp32(cx, operand, w) };
    let mut halves = [[0; 16]; 2];
    for (h, half) in halves.iter_mut().enumerate() {
        half.copy_from_slice(&all[h * 16..h * 16 + 16]);
    }
    if cx.mask[w] != u32::MAX {
        for (h, half) in halves.iter_mut().enumerate() {
            for (i, word) in half.iter_mut().enumerate() {
                if cx.mask[w] >> (h * 16 + i) & 1 == 0 {
                    *word = 0;
                }
            }
        }
    }
    halves
}

/// Four vectors of rows: two registers of eight rows each, transposed. Without the second one its rows are zero.
///
/// # Safety
/// As [`register`]; the processor has unit `I`.
#[inline(always)]
unsafe fn rows<I: Isa>(cx: &Cx, w: usize, low: u32, high: Option<u32>) -> [Words; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        let [a, b] = register(cx, low, w);
        let [c, d] = match high {
            Some(high) => register(cx, high, w),
            None => [[0; 16]; 2],
        };
        I::transpose(&[a, b, c, d])
    }
}

/// The elements of sixteen words: first the lowest ones of all words, and so on, `step` vectors apart.
///
/// # Safety
/// `to` has room; the processor has unit `I`.
#[inline(always)]
unsafe fn elements<I: Isa>(elem: Elem, v: &Words, to: *mut Floats, step: usize) {
    // SAFETY: the caller's promise.
    let put = |i: usize, x: Floats| unsafe { *to.add(i * step) = x };
    match elem {
        Elem::Tf32 => put(0, v.map(|x| f32::from_bits(x & 0xffff_e000))),
        Elem::Bf16 => {
            put(0, v.map(|x| f32::from_bits(x << 16)));
            put(1, v.map(|x| f32::from_bits(x & 0xffff_0000)));
        }
        Elem::F16 => {
            // SAFETY: the caller's promise.
            unsafe {
                put(0, I::widen(v));
                put(1, I::widen(&v.map(|x| x >> 16)));
            }
        }
        Elem::E4m3 => {
            for i in 0..4 {
                put(i, v.map(|x| e4m3(x >> (8 * i) & 0xff)));
            }
        }
        Elem::E5m2 => {
            for i in 0..4 {
                // The upper half of a half.
                // SAFETY: the caller's promise.
                put(i, unsafe { I::widen(&v.map(|x| (x >> (8 * i) & 0xff) << 8)) });
            }
        }
        Elem::S8 => {
            for i in 0..4 {
                put(i, v.map(|x| integer((x << (24 - 8 * i)).cast_signed() >> 24)));
            }
        }
        Elem::U8 => {
            for i in 0..4 {
                put(i, v.map(|x| integer((x >> (8 * i) & 0xff).cast_signed())));
            }
        }
        Elem::S4 => {
            for i in 0..8 {
                put(i, v.map(|x| integer((x << (28 - 4 * i)).cast_signed() >> 28)));
            }
        }
        Elem::U4 => {
            for i in 0..8 {
                put(i, v.map(|x| integer((x >> (4 * i) & 15).cast_signed())));
            }
        }
        // Not multiplied as `f32`.
        Elem::B1 | Elem::F64 => {}
    }
}

#[inline(always)]
#[allow(clippy::cast_precision_loss, reason = "numbers of eight bits")]
fn integer(x: i32) -> f32 {
    x as f32
}

/// An `e4m3` as a number: its fields put where those of `f32` are have an exponent that is 120 too low.
#[inline(always)]
fn e4m3(x: u32) -> f32 {
    let magnitude = f32::from_bits((x & 0x7f) << 20) * f32::from_bits((127 + 120) << 23);
    let value = if x & 0x7f == 0x7f { f32::NAN } else { magnitude };
    f32::from_bits(value.to_bits() | (x & 0x80) << 24)
}

/// Adds the products of one tile: `a` by k and row, `b` by block, element of a word, column and word.
///
/// # Safety
/// `a` and `b` hold as much as `deep` and `per` ask for; the processor has unit `I`.
#[inline(always)]
unsafe fn multiply<I: Isa, const COLUMNS: usize>(
    a: *const Floats,
    b: *const f32,
    (deep, per): (usize, usize),
    sum: &mut Result16,
    first: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut d: [I::F; COLUMNS] = std::array::from_fn(|j| I::load(&sum[first + j]));
        let mut a = a;
        for block in 0..deep {
            for word in 0..4 {
                for i in 0..per {
                    let column = b.add(((block * per + i) * 8 + first) * 4 + word);
                    let row = I::load(&*a);
                    for (j, d) in d.iter_mut().enumerate() {
                        *d = I::fma(row, *column.add(j * 4), *d);
                    }
                    a = a.add(1);
                }
            }
        }
        for (j, d) in d.into_iter().enumerate() {
            I::store(&mut sum[first + j], d);
        }
    }
}

/// Reads the addend of a tile of numbers.
///
/// # Safety
/// As [`rows`].
#[inline(always)]
unsafe fn addend<I: Isa>(cx: &Cx, w: usize, c: List, ty: Sum, half: bool) -> Result16 {
    let mut sum = [[0.0; 16]; 8];
    // SAFETY: the caller's promise.
    unsafe {
        match ty {
            Sum::F16 => {
                let words = rows::<I>(cx, w, c.get(0), (!half).then(|| c.get(1)));
                for (t, v) in words.iter().enumerate() {
                    elements::<I>(Elem::F16, v, sum.as_mut_ptr().add(2 * t), 1);
                }
            }
            Sum::F32 => {
                for odd in 0..2 {
                    let words = rows::<I>(cx, w, c.get(odd), (!half).then(|| c.get(2 + odd)));
                    for (t, v) in words.iter().enumerate() {
                        sum[2 * t + odd] = v.map(f32::from_bits);
                    }
                }
            }
            // Integers are added after the products.
            Sum::S32 | Sum::F64 => {}
        }
    }
    sum
}

/// Writes four vectors of rows to one or two registers.
///
/// # Safety
/// As [`rows`].
#[inline(always)]
unsafe fn put_rows<I: Isa>(cx: &Cx, w: usize, v: &[Words; 4], low: u32, high: Option<u32>) {
    // SAFETY: the caller's promise.
    unsafe {
        let back = I::transpose(v);
        for (operand, pair) in [Some(low), high].into_iter().zip([0, 2]) {
            if let Some(operand) = operand {
                let mut all = [0; 32];
                all[..16].copy_from_slice(&back[pair]);
                all[16..].copy_from_slice(&back[pair + 1]);
                set_warp32::<I>(cx, operand, w, &all);
            }
        }
    }
}

/// `.satfinite` of numbers: the largest finite ones in place of infinities, zero in place of NaN.
#[inline(always)]
fn finite(x: f32, most: f32) -> f32 {
    if x.is_nan() { 0.0 } else { x.clamp(-most, most) }
}

#[inline(always)]
fn canonical(x: f32) -> u32 {
    if x.is_nan() { 0x7fff_ffff } else { x.to_bits() }
}

/// The bits of the result of a tile, by column: halves in the low parts.
///
/// # Safety
/// As [`rows`].
#[inline(always)]
unsafe fn finish<I: Isa>(cx: &Cx, w: usize, m: &Mma, c: List, sum: &Result16) -> [Words; 8] {
    let mut bits = [[0; 16]; 8];
    match m.d {
        Sum::F16 => {
            for (bits, &x) in bits.iter_mut().zip(sum) {
                let x = if m.clamp { x.map(|x| finite(x, 65504.0)) } else { x };
                // SAFETY: the caller's promise.
                *bits = unsafe { I::narrow(&x) };
            }
        }
        Sum::F32 => {
            for (bits, &x) in bits.iter_mut().zip(sum) {
                let x = if m.clamp {
                    x.map(|x| finite(x, f32::MAX))
                } else {
                    x
                };
                *bits = x.map(canonical);
            }
        }
        Sum::S32 | Sum::F64 => {
            for odd in 0..2 {
                // SAFETY: the caller's promise.
                let words = unsafe { rows::<I>(cx, w, c.get(odd), (!m.half).then(|| c.get(2 + odd))) };
                for (t, word) in words.iter().enumerate() {
                    for i in 0..16 {
                        let (p, x) = (whole(sum[2 * t + odd][i]), word[i].cast_signed());
                        let total = if m.clamp {
                            x.saturating_add(p)
                        } else {
                            x.wrapping_add(p)
                        };
                        bits[2 * t + odd][i] = total.cast_unsigned();
                    }
                }
            }
        }
    }
    bits
}

/// Writes the result of a tile.
///
/// # Safety
/// As [`rows`].
#[inline(always)]
unsafe fn result<I: Isa>(cx: &Cx, w: usize, (m, d): (&Mma, List), bits: &[Words; 8]) {
    let half = m.half;
    // SAFETY: the caller's promise.
    unsafe {
        if m.d == Sum::F16 {
            let mut words = [[0; 16]; 4];
            for (t, word) in words.iter_mut().enumerate() {
                for i in 0..16 {
                    word[i] = bits[2 * t][i] | bits[2 * t + 1][i] << 16;
                }
            }
            put_rows::<I>(cx, w, &words, d.get(0), (!half).then(|| d.get(1)));
            return;
        }
        for odd in 0..2 {
            let words = [bits[odd], bits[2 + odd], bits[4 + odd], bits[6 + odd]];
            put_rows::<I>(cx, w, &words, d.get(odd), (!half).then(|| d.get(2 + odd)));
        }
    }
}

#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "a whole number below 2^24")]
fn whole(x: f32) -> i32 {
    x as i32
}

/// A dense product: `imm` the place of its operands D, A, B, C in the code's table, the rest in the flags.
pub(crate) struct Product;

impl Body for Product {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe {
            if incomplete(cx) {
                return cx.stop(op, Event::Sync);
            }
            let o = *op;
            let m = Mma::unpack(o.flags >> NUMBER);
            let list = List(cx.targets.add(o.imm.cast_unsigned() as usize));
            let quick = quick::fits(&m);
            if quick {
                let mut factors = quick::Factors::new();
                for w in 0..cx.chunks / 2 {
                    if cx.mask[w] == u32::MAX {
                        quick::product::<I>(cx, w, &m, list, &mut factors);
                    }
                }
                if cx.full {
                    return op.add(1);
                }
            }
            let mut room = Room::new();
            for w in 0..cx.chunks / 2 {
                if cx.mask[w] != 0 && !(quick && cx.mask[w] == u32::MAX) {
                    warp_product::<I>(cx, w, &m, list, &mut room);
                }
            }
            op.add(1)
        }
    }
}

/// Where the product of a warp is worked out.
#[repr(align(64))]
struct Room {
    a: [Floats; DEPTH],
    b: [Floats; DEPTH],
    bits: [[Words; 8]; MOST_TILES],
}

impl Room {
    #[inline(always)]
    const fn new() -> Self {
        Self {
            a: [[0.0; 16]; DEPTH],
            b: [[0.0; 16]; DEPTH],
            bits: [[[0; 16]; 8]; MOST_TILES],
        }
    }
}

/// The product of one warp. Results of several tiles are kept until all are computed: their registers may be those of factors.
///
/// # Safety
/// As [`Product`].
#[inline(always)]
unsafe fn warp_product<I: Isa>(cx: &Cx, w: usize, m: &Mma, list: List, room: &mut Room) {
    let [na, nb, nc, nd] = m.registers();
    let (la, lb, lc) = (list.from(nd), list.from(nd + na), list.from(nd + na + nb));
    let (tall, wide, deep) = (m.tall as usize, m.wide as usize, m.deep as usize);
    let (per_a, per_b) = (m.a.per_word(), m.b.per_word());
    let tiles = tall * wide;
    let (c_step, d_step) = (nc / tiles.max(1), nd / tiles.max(1));
    let heights = if m.half { 1 } else { 2 };
    let Room { a, b, bits } = room;
    // SAFETY: the caller's promise; the decoder keeps `deep * 4 * per` and `tiles` in range.
    unsafe {
        for row in 0..tall {
            for block in 0..deep {
                let at = (row * deep + block) * heights;
                let words = rows::<I>(cx, w, la.get(at), (!m.half).then(|| la.get(at + 1)));
                for (t, v) in words.iter().enumerate() {
                    elements::<I>(m.a, v, a.as_mut_ptr().add((block * 4 + t) * per_a), 1);
                }
            }
            for column in 0..wide {
                for block in 0..deep {
                    for (h, v) in register(cx, lb.get(column * deep + block), w).iter().enumerate() {
                        elements::<I>(m.b, v, b.as_mut_ptr().add(block * per_b * 2 + h), 2);
                    }
                }
                let tile = row * wide + column;
                let c = lc.from(tile * c_step);
                let mut sum = addend::<I>(cx, w, c, m.c, m.half);
                let (a, b) = (a.as_ptr(), b.as_ptr().cast());
                if I::COLUMNS == 8 {
                    multiply::<I, 8>(a, b, (deep, per_b), &mut sum, 0);
                } else {
                    multiply::<I, 4>(a, b, (deep, per_b), &mut sum, 0);
                    multiply::<I, 4>(a, b, (deep, per_b), &mut sum, 4);
                }
                bits[tile % MOST_TILES] = finish::<I>(cx, w, m, c, &sum);
            }
        }
        for (tile, bits) in bits.iter().enumerate().take(tiles) {
            result::<I>(cx, w, (m, list.from(tile * d_step)), bits);
        }
    }
}

/// Results of 16 by 8 that an operation has at most.
const MOST_TILES: usize = 4;
