//! The products that programs spend their time in: `f16`, `bf16` and `tf32` with a sum of `f32`, all lanes there. The same
//! arithmetic as [`Product`](super::Product) in the same order, with the sums kept in registers from C to D.

use super::List;
use crate::exec::Cx;
use crate::exec::isa::Isa;
use crate::exec::tile::Floats;
use crate::lir::matrix::{Elem, Mma, Sum};

/// The factors of a product: A by k and position, B by block, element of a word and lane.
#[repr(align(64))]
pub(super) struct Factors {
    a: [Floats; 16],
    b: [Floats; 16],
}

impl Factors {
    #[inline(always)]
    pub(super) const fn new() -> Self {
        Self {
            a: [[0.0; 16]; 16],
            b: [[0.0; 16]; 16],
        }
    }
}

/// Whether products of this kind are worked out here.
#[inline(always)]
pub(super) fn fits(m: &Mma) -> bool {
    m.a == m.b
        && matches!(m.a, Elem::F16 | Elem::Bf16 | Elem::Tf32)
        && (m.c, m.d) == (Sum::F32, Sum::F32)
        && !(m.half || m.clamp)
        && (m.tall, m.wide) == (1, 1)
        && m.deep <= 2
}

/// Half of a register of warp `w`.
///
/// # Safety
/// `operand` is a 32-bit one, made by the decoder; the processor has unit `I`.
#[inline(always)]
unsafe fn chunk<I: Isa>(cx: &Cx, w: usize, operand: u32, half: usize) -> I::U {
    // SAFETY: the caller's promise.
    unsafe {
        let (p, step) = cx.source(operand, 64);
        I::get(p.add((w * 2 + half) * step).cast())
    }
}

/// Two registers of eight rows, transposed.
///
/// # Safety
/// As [`chunk`].
#[inline(always)]
unsafe fn rows<I: Isa>(cx: &Cx, w: usize, low: u32, high: u32) -> [I::U; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        I::squares([
            chunk::<I>(cx, w, low, 0),
            chunk::<I>(cx, w, low, 1),
            chunk::<I>(cx, w, high, 0),
            chunk::<I>(cx, w, high, 1),
        ])
    }
}

/// The elements of sixteen words, `step` vectors apart.
///
/// # Safety
/// The processor has unit `I`; `to` has room.
#[inline(always)]
unsafe fn elements<I: Isa>(elem: Elem, v: I::U, to: *mut Floats, step: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match elem {
            Elem::F16 => {
                I::store(&mut *to, I::halves(v));
                I::store(&mut *to.add(step), I::halves(I::upper(v)));
            }
            Elem::Bf16 => {
                I::store(&mut *to, I::numbers(I::lower(v)));
                I::store(&mut *to.add(step), I::numbers(I::and(v, 0xffff_0000)));
            }
            _ => I::store(&mut *to, I::numbers(I::and(v, 0xffff_e000))),
        }
    }
}

/// Adds the products to columns `first` and following.
///
/// # Safety
/// As [`elements`]; `deep` and `per` are those of the factors.
#[inline(always)]
unsafe fn add<I: Isa, const N: usize>(
    f: &Factors,
    (deep, per): (usize, usize),
    sum: &mut [I::F; 8],
    first: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut d: [I::F; N] = std::array::from_fn(|j| sum[first + j]);
        let (mut a, b) = (f.a.as_ptr(), f.b.as_ptr().cast::<f32>());
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
        sum[first..first + N].copy_from_slice(&d);
    }
}

/// The product of warp `w`, of which all lanes are there.
///
/// # Safety
/// As [`Product`](super::Product); [`fits`] said yes.
#[inline(always)]
pub(super) unsafe fn product<I: Isa>(cx: &Cx, w: usize, m: &Mma, list: List, f: &mut Factors) {
    let (deep, per) = (m.deep as usize, m.a.per_word());
    let (la, lb, lc) = (list.from(4), list.from(4 + 2 * deep), list.from(4 + 3 * deep));
    // SAFETY: the caller's promise; at most two blocks of at most two elements to a word.
    unsafe {
        for block in 0..deep {
            let words = rows::<I>(cx, w, la.get(2 * block), la.get(2 * block + 1));
            for (t, v) in words.into_iter().enumerate() {
                elements::<I>(m.a, v, f.a.as_mut_ptr().add((block * 4 + t) * per), 1);
            }
            for half in 0..2 {
                let v = chunk::<I>(cx, w, lb.get(block), half);
                elements::<I>(m.a, v, f.b.as_mut_ptr().add(block * per * 2 + half), 2);
            }
        }
        let even = rows::<I>(cx, w, lc.get(0), lc.get(2));
        let odd = rows::<I>(cx, w, lc.get(1), lc.get(3));
        let mut sum: [I::F; 8] = std::array::from_fn(|j| I::numbers([even, odd][j % 2][j / 2]));
        if I::COLUMNS == 8 {
            add::<I, 8>(f, (deep, per), &mut sum, 0);
        } else {
            add::<I, 4>(f, (deep, per), &mut sum, 0);
            add::<I, 4>(f, (deep, per), &mut sum, 4);
        }
        for i in 0..2 {
            let column = |t: usize| I::bits(sum[2 * t + i]);
            let back = I::squares([column(0), column(1), column(2), column(3)]);
            for (z, v) in back.into_iter().enumerate() {
                let to = cx.destination(list.get(i + z / 2 * 2));
                I::put(to.add((w * 2 + z % 2) * 64).cast(), v);
            }
        }
    }
}
