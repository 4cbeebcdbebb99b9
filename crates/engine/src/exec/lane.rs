//! Lifting: from a function on one lane to a loop over all lanes of a group.
//!
//! Two loops each: all lanes execute; or some do, and results are written under the mask. A scalar operation is the first
//! loop over one chunk. Operands that are the same for every chunk have a distance of zero between chunks, so that there is
//! one loop per function and not one per combination of operand kinds.

use std::marker::PhantomData;

use super::isa::{Body, CHUNK, Isa};
use super::{Cx, Mask, Op, SCALAR, UNMASKED};

/// What a lane holds.
pub(crate) trait Lane: Copy + Default + 'static {
    /// Bytes of a chunk in a slot.
    const BYTES: usize;
    /// Whether it is a predicate, which scalar operations read and write differently.
    const PREDICATE: bool = false;

    /// Sixteen lanes.
    ///
    /// # Safety
    /// `from` is a chunk of this kind of lane.
    unsafe fn load(from: *const u8) -> [Self; CHUNK];

    /// The value that a scalar operation works on.
    ///
    /// # Safety
    /// `from` is a slot of this kind of lane, `cx` the context of the group.
    unsafe fn load_scalar(cx: &Cx, from: *const u8) -> [Self; CHUNK];

    /// Writes all lanes.
    ///
    /// # Safety
    /// `to` is a chunk of this kind of lane; the processor has unit `I`.
    unsafe fn store<I: Isa>(to: *mut u8, v: &[Self; CHUNK]);

    /// Writes the lanes of `m`.
    ///
    /// # Safety
    /// As [`store`](Lane::store).
    unsafe fn store_masked<I: Isa>(to: *mut u8, v: &[Self; CHUNK], m: u16);

    /// Writes the result of a scalar operation.
    ///
    /// # Safety
    /// `to` is a slot of this kind of lane; the processor has unit `I`.
    unsafe fn store_scalar<I: Isa>(cx: &mut Cx, to: *mut u8, v: &[Self; CHUNK]);
}

macro_rules! word_lane {
    ($ty:ty, $masked:ident) => {
        impl Lane for $ty {
            const BYTES: usize = CHUNK * size_of::<$ty>();
            #[inline(always)]
            unsafe fn load(from: *const u8) -> [Self; CHUNK] {
                // SAFETY: chunks are aligned to 64 and hold 16 lanes.
                unsafe { *from.cast::<[Self; CHUNK]>() }
            }
            #[inline(always)]
            unsafe fn load_scalar(_: &Cx, from: *const u8) -> [Self; CHUNK] {
                // SAFETY: scalar slots hold 16 elements.
                unsafe { Self::load(from) }
            }
            #[inline(always)]
            unsafe fn store<I: Isa>(to: *mut u8, v: &[Self; CHUNK]) {
                // SAFETY: chunks are aligned to 64 and hold 16 lanes.
                unsafe { *to.cast::<[Self; CHUNK]>() = *v };
            }
            #[inline(always)]
            unsafe fn store_masked<I: Isa>(to: *mut u8, v: &[Self; CHUNK], m: u16) {
                // SAFETY: the caller's promise.
                unsafe { I::$masked(to.cast(), v, m) };
            }
            #[inline(always)]
            unsafe fn store_scalar<I: Isa>(_: &mut Cx, to: *mut u8, v: &[Self; CHUNK]) {
                // SAFETY: scalar slots hold 16 elements.
                unsafe { Self::store::<I>(to, v) };
            }
        }
    };
}
word_lane!(u32, store32);
word_lane!(u64, store64);

/// Predicates: two bytes per chunk.
impl Lane for bool {
    const BYTES: usize = 2;
    const PREDICATE: bool = true;
    #[inline(always)]
    unsafe fn load(from: *const u8) -> [Self; CHUNK] {
        // SAFETY: a chunk of a predicate is two bytes, aligned to two.
        let bits = unsafe { *from.cast::<u16>() };
        let mut v = [false; CHUNK];
        for (i, lane) in v.iter_mut().enumerate() {
            *lane = bits >> i & 1 != 0;
        }
        v
    }
    #[inline(always)]
    unsafe fn load_scalar(cx: &Cx, from: *const u8) -> [Self; CHUNK] {
        // SAFETY: a predicate is 32 bytes, aligned to 32.
        let bits = unsafe { *from.cast::<Mask>() };
        // Lanes that do not execute may hold something else.
        let any = bits.iter().zip(&cx.mask).any(|(p, m)| p & m != 0);
        [any; CHUNK]
    }
    #[inline(always)]
    unsafe fn store<I: Isa>(to: *mut u8, v: &[Self; CHUNK]) {
        // SAFETY: a chunk of a predicate is two bytes, aligned to two.
        unsafe { *to.cast::<u16>() = bits::<I>(v) };
    }
    #[inline(always)]
    unsafe fn store_masked<I: Isa>(to: *mut u8, v: &[Self; CHUNK], m: u16) {
        // SAFETY: as above.
        unsafe {
            let to = to.cast::<u16>();
            *to = *to & !m | bits::<I>(v) & m;
        }
    }
    #[inline(always)]
    unsafe fn store_scalar<I: Isa>(cx: &mut Cx, to: *mut u8, v: &[Self; CHUNK]) {
        // SAFETY: a predicate is 32 bytes, aligned to 32.
        let to = unsafe { &mut *to.cast::<Mask>() };
        for (word, mask) in to.iter_mut().zip(&cx.mask) {
            *word = if v[0] { *word | mask } else { *word & !mask };
        }
    }
}

/// One bit per true lane.
///
/// # Safety
/// The processor has unit `I`.
#[inline(always)]
unsafe fn bits<I: Isa>(v: &[bool; CHUNK]) -> u16 {
    let mut wide = [0u32; CHUNK];
    for i in 0..CHUNK {
        wide[i] = if v[i] { u32::MAX } else { 0 };
    }
    // SAFETY: the caller's promise.
    unsafe { I::nonzero32(&wide) }
}

/// A function of one lane. `x` is the immediate of the operation.
pub(crate) trait Fn1: 'static {
    /// Kind of the operand.
    type A: Lane;
    /// Kind of the result.
    type R: Lane;
    /// The function.
    fn call(a: Self::A, x: u32) -> Self::R;
}

/// A function of two lanes.
pub(crate) trait Fn2: 'static {
    /// Kind of the first operand.
    type A: Lane;
    /// Kind of the second operand.
    type B: Lane;
    /// Kind of the result.
    type R: Lane;
    /// The function.
    fn call(a: Self::A, b: Self::B, x: u32) -> Self::R;
}

/// A function of three lanes.
pub(crate) trait Fn3: 'static {
    /// Kind of the first operand.
    type A: Lane;
    /// Kind of the second operand.
    type B: Lane;
    /// Kind of the third operand.
    type C: Lane;
    /// Kind of the result.
    type R: Lane;
    /// The function.
    fn call(a: Self::A, b: Self::B, c: Self::C, x: u32) -> Self::R;
}

/// Runs `chunk` over the chunks of the group and writes what it returns to slot `d`. `chunk` is instantiated once: these
/// loops exist some hundred times for every vector unit.
///
/// # Safety
/// `op` was made by the decoder for results of kind `R`; the processor has unit `I`.
#[inline(always)]
unsafe fn drive<R: Lane, I: Isa>(cx: &mut Cx, op: &Op, chunk: impl Fn(&Cx, usize) -> [R; CHUNK]) {
    // SAFETY: the decoder's slots.
    unsafe {
        let to = cx.destination(op.d);
        if op.flags & SCALAR != 0 {
            let v = chunk(cx, 0);
            if R::PREDICATE {
                R::store_scalar::<I>(cx, to, &v);
            } else {
                R::store::<I>(to, &v);
            }
        } else if cx.full {
            // Nothing is looked at between chunks: this is where most time goes.
            for c in 0..cx.chunks {
                let v = chunk(cx, c);
                R::store::<I>(to.add(c * R::BYTES), &v);
            }
        } else {
            let force = if op.flags & UNMASKED != 0 { u16::MAX } else { 0 };
            for c in 0..cx.chunks {
                let m = cx.chunk_mask(c);
                if m == 0 {
                    continue;
                }
                let v = chunk(cx, c);
                if m | force == u16::MAX {
                    R::store::<I>(to.add(c * R::BYTES), &v);
                } else {
                    R::store_masked::<I>(to.add(c * R::BYTES), &v, m);
                }
            }
        }
    }
}

/// An operand: where it is, and how far its chunks are apart.
#[derive(Clone, Copy)]
struct Source<A> {
    at: *const u8,
    step: usize,
    scalar: bool,
    lane: PhantomData<A>,
}

impl<A: Lane> Source<A> {
    /// # Safety
    /// `operand` was made by the decoder for this kind of lane.
    #[inline(always)]
    unsafe fn new(cx: &Cx, operand: u32, flags: u32) -> Self {
        // SAFETY: the caller's promise.
        let (at, step) = unsafe { cx.source(operand, A::BYTES) };
        Self {
            at,
            step,
            scalar: flags & SCALAR != 0,
            lane: PhantomData,
        }
    }

    /// # Safety
    /// The group has chunk `c`.
    #[inline(always)]
    unsafe fn load(&self, cx: &Cx, c: usize) -> [A; CHUNK] {
        // SAFETY: the caller's promise.
        unsafe {
            if A::PREDICATE && self.scalar {
                A::load_scalar(cx, self.at)
            } else {
                A::load(self.at.add(c * self.step))
            }
        }
    }
}

/// The operation that applies `F` to every lane.
pub(crate) struct Map1<F>(PhantomData<F>);
/// The operation that applies `F` to every lane.
pub(crate) struct Map2<F>(PhantomData<F>);
/// The operation that applies `F` to every lane.
pub(crate) struct Map3<F>(PhantomData<F>);

impl<F: Fn1> Body for Map1<F> {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`. The operation is copied so that stores to slots cannot be taken to change it.
        unsafe {
            let o = *op;
            let a = Source::<F::A>::new(cx, o.a, o.flags);
            let x = o.imm.cast_unsigned();
            drive::<F::R, I>(cx, &o, |cx, k| {
                let a = a.load(cx, k);
                let mut r = [F::R::default(); CHUNK];
                for i in 0..CHUNK {
                    r[i] = F::call(a[i], x);
                }
                r
            });
            op.add(1)
        }
    }
}

impl<F: Fn2> Body for Map2<F> {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: as in `Map1`.
        unsafe {
            let o = *op;
            let a = Source::<F::A>::new(cx, o.a, o.flags);
            let b = Source::<F::B>::new(cx, o.b, o.flags);
            let x = o.imm.cast_unsigned();
            drive::<F::R, I>(cx, &o, |cx, k| {
                let (a, b) = (a.load(cx, k), b.load(cx, k));
                let mut r = [F::R::default(); CHUNK];
                for i in 0..CHUNK {
                    r[i] = F::call(a[i], b[i], x);
                }
                r
            });
            op.add(1)
        }
    }
}

impl<F: Fn3> Body for Map3<F> {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: as in `Map1`.
        unsafe {
            let o = *op;
            let a = Source::<F::A>::new(cx, o.a, o.flags);
            let b = Source::<F::B>::new(cx, o.b, o.flags);
            let c = Source::<F::C>::new(cx, o.c, o.flags);
            let x = o.imm.cast_unsigned();
            if cx.full && o.flags & SCALAR == 0 {
                // As in `drive`, which compilers take to be too large for three operands and call for each chunk.
                let to = cx.destination(o.d);
                for k in 0..cx.chunks {
                    let v = Self::chunk(cx, &(a, b, c), k, x);
                    F::R::store::<I>(to.add(k * F::R::BYTES), &v);
                }
                return op.add(1);
            }
            drive::<F::R, I>(cx, &o, |cx, k| Self::chunk(cx, &(a, b, c), k, x));
            op.add(1)
        }
    }
}

/// The operands of a function of three lanes.
type Sources<F> = (
    Source<<F as Fn3>::A>,
    Source<<F as Fn3>::B>,
    Source<<F as Fn3>::C>,
);

impl<F: Fn3> Map3<F> {
    /// Chunk `k` of the result.
    ///
    /// # Safety
    /// As [`Source::load`].
    #[inline(always)]
    unsafe fn chunk(cx: &Cx, (a, b, c): &Sources<F>, k: usize, x: u32) -> [F::R; CHUNK] {
        // SAFETY: the caller's promise.
        let (a, b, c) = unsafe { (a.load(cx, k), b.load(cx, k), c.load(cx, k)) };
        let mut r = [F::R::default(); CHUNK];
        for i in 0..CHUNK {
            r[i] = F::call(a[i], b[i], c[i], x);
        }
        r
    }
}

/// The functions on single values, as numbers of 64 bits.
#[cfg(test)]
pub(crate) mod evaluate {
    use super::{Fn1, Fn2, Fn3};

    /// A lane as a number.
    pub(crate) trait Word {
        fn of(word: u64) -> Self;
        fn word(self) -> u64;
    }

    impl Word for u32 {
        fn of(word: u64) -> Self {
            word.try_into().expect("a value of 32 bits")
        }
        fn word(self) -> u64 {
            self.into()
        }
    }

    impl Word for u64 {
        fn of(word: u64) -> Self {
            word
        }
        fn word(self) -> u64 {
            self
        }
    }

    impl Word for bool {
        fn of(word: u64) -> Self {
            word != 0
        }
        fn word(self) -> u64 {
            self.into()
        }
    }

    pub(crate) fn one<F: Fn1<A: Word, R: Word>>(s: [u64; 3], x: u32) -> u64 {
        F::call(Word::of(s[0]), x).word()
    }

    pub(crate) fn two<F: Fn2<A: Word, B: Word, R: Word>>(s: [u64; 3], x: u32) -> u64 {
        F::call(Word::of(s[0]), Word::of(s[1]), x).word()
    }

    pub(crate) fn three<F: Fn3<A: Word, B: Word, C: Word, R: Word>>(s: [u64; 3], x: u32) -> u64 {
        F::call(Word::of(s[0]), Word::of(s[1]), Word::of(s[2]), x).word()
    }
}
