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

    /// One bit per lane, of a predicate.
    ///
    /// # Safety
    /// The processor has unit `I`.
    #[inline(always)]
    unsafe fn bits<I: Isa>(_: &[Self; CHUNK]) -> u16 {
        0
    }
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
    unsafe fn bits<I: Isa>(v: &[Self; CHUNK]) -> u16 {
        // SAFETY: the caller's promise.
        unsafe { bits::<I>(v) }
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

/// What an operation makes of a chunk. Not a closure: one that is called from several places may become a function of its own, which
/// then has none of the unit's instructions.
trait Chunk {
    /// Kind of the result.
    type R: Lane;
    /// The result of chunk `c`.
    ///
    /// # Safety
    /// The group has chunk `c`; the processor has unit `I`.
    unsafe fn at<I: Isa>(&self, cx: &Cx, c: usize) -> [Self::R; CHUNK];
}

/// Runs `chunk` over the chunks of the group and writes what it returns to slot `d`.
///
/// # Safety
/// `op` was made by the decoder for results of kind `R`; the processor has unit `I`.
#[inline(always)]
unsafe fn drive<C: Chunk, I: Isa>(cx: &mut Cx, op: &Op, chunk: &C) {
    // SAFETY: the decoder's slots.
    unsafe {
        let to = cx.destination(op.d);
        let bytes = C::R::BYTES;
        if C::R::PREDICATE {
            drive_predicate::<C, I>(cx, to, op.flags & SCALAR != 0, chunk);
        } else if op.flags & SCALAR != 0 {
            C::R::store::<I>(to, &chunk.at::<I>(cx, 0));
        } else if cx.full {
            // Nothing is looked at between chunks: this is where most time goes.
            for c in 0..cx.chunks {
                let v = chunk.at::<I>(cx, c);
                C::R::store::<I>(to.add(c * bytes), &v);
            }
        } else {
            let force = if op.flags & UNMASKED != 0 { u16::MAX } else { 0 };
            for c in 0..cx.chunks {
                let m = cx.chunk_mask(c);
                if m == 0 {
                    continue;
                }
                let v = chunk.at::<I>(cx, c);
                if m | force == u16::MAX {
                    C::R::store::<I>(to.add(c * bytes), &v);
                } else {
                    C::R::store_masked::<I>(to.add(c * bytes), &v, m);
                }
            }
        }
    }
}

/// As [`drive`], for results that are predicates. Their bits are put together in registers and written at once: what is written in
/// pieces cannot be read back as a whole until the pieces have left the store queue, and the next operation mostly is the branch
/// that reads it. Lanes that do not execute are computed too, which is quicker than asking.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn drive_predicate<C: Chunk, I: Isa>(cx: &mut Cx, to: *mut u8, scalar: bool, chunk: &C) {
    // SAFETY: the decoder's slots.
    unsafe {
        let words = if scalar {
            let yes = C::R::bits::<I>(&chunk.at::<I>(cx, 0)) & 1 != 0;
            [if yes { u64::MAX } else { 0 }; 4]
        } else {
            let a = quarter::<C, I, 0>(cx, chunk);
            let b = quarter::<C, I, 4>(cx, chunk);
            let c = quarter::<C, I, 8>(cx, chunk);
            let d = quarter::<C, I, 12>(cx, chunk);
            [a, b, c, d]
        };
        I::merge(to.cast(), words, &cx.mask);
    }
}

/// The bits of four chunks.
///
/// # Safety
/// As [`drive_predicate`].
#[inline(always)]
unsafe fn quarter<C: Chunk, I: Isa, const FIRST: usize>(cx: &Cx, chunk: &C) -> u64 {
    let mut word = 0;
    if FIRST < cx.chunks {
        for c in [FIRST + 3, FIRST + 2, FIRST + 1, FIRST] {
            word <<= 16;
            if c < cx.chunks {
                // SAFETY: the caller's promise.
                word |= unsafe { u64::from(C::R::bits::<I>(&chunk.at::<I>(cx, c))) };
            }
        }
    }
    word
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

struct Of1<F: Fn1> {
    a: Source<F::A>,
    x: u32,
}

impl<F: Fn1> Chunk for Of1<F> {
    type R = F::R;
    #[inline(always)]
    unsafe fn at<I: Isa>(&self, cx: &Cx, c: usize) -> [F::R; CHUNK] {
        // SAFETY: the caller's promise.
        unsafe {
            let va = self.a.load(cx, c);
            let mut r = [F::R::default(); CHUNK];
            for i in 0..CHUNK {
                r[i] = F::call(va[i], self.x);
            }
            r
        }
    }
}

impl<F: Fn1> Body for Map1<F> {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`. The operation is copied so that stores to slots cannot be taken to change it.
        unsafe {
            let o = *op;
            let of = Of1::<F> {
                a: Source::new(cx, o.a, o.flags),
                x: o.imm.cast_unsigned(),
            };
            drive::<_, I>(cx, &o, &of);
            op.add(1)
        }
    }
}

struct Of2<F: Fn2> {
    a: Source<F::A>,
    b: Source<F::B>,
    x: u32,
}

impl<F: Fn2> Chunk for Of2<F> {
    type R = F::R;
    #[inline(always)]
    unsafe fn at<I: Isa>(&self, cx: &Cx, c: usize) -> [F::R; CHUNK] {
        // SAFETY: the caller's promise.
        unsafe {
            let va = self.a.load(cx, c);
            let vb = self.b.load(cx, c);
            let mut r = [F::R::default(); CHUNK];
            for i in 0..CHUNK {
                r[i] = F::call(va[i], vb[i], self.x);
            }
            r
        }
    }
}

impl<F: Fn2> Body for Map2<F> {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`. The operation is copied so that stores to slots cannot be taken to change it.
        unsafe {
            let o = *op;
            let of = Of2::<F> {
                a: Source::new(cx, o.a, o.flags),
                b: Source::new(cx, o.b, o.flags),
                x: o.imm.cast_unsigned(),
            };
            drive::<_, I>(cx, &o, &of);
            op.add(1)
        }
    }
}

struct Of3<F: Fn3> {
    a: Source<F::A>,
    b: Source<F::B>,
    c: Source<F::C>,
    x: u32,
}

impl<F: Fn3> Chunk for Of3<F> {
    type R = F::R;
    #[inline(always)]
    unsafe fn at<I: Isa>(&self, cx: &Cx, c: usize) -> [F::R; CHUNK] {
        // SAFETY: the caller's promise.
        unsafe {
            let va = self.a.load(cx, c);
            let vb = self.b.load(cx, c);
            let vc = self.c.load(cx, c);
            let mut r = [F::R::default(); CHUNK];
            for i in 0..CHUNK {
                r[i] = F::call(va[i], vb[i], vc[i], self.x);
            }
            r
        }
    }
}

impl<F: Fn3> Body for Map3<F> {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`. The operation is copied so that stores to slots cannot be taken to change it.
        unsafe {
            let o = *op;
            let of = Of3::<F> {
                a: Source::new(cx, o.a, o.flags),
                b: Source::new(cx, o.b, o.flags),
                c: Source::new(cx, o.c, o.flags),
                x: o.imm.cast_unsigned(),
            };
            drive::<_, I>(cx, &o, &of);
            op.add(1)
        }
    }
}

/// What [`Select`] picks from.
pub(crate) trait Pick: Lane {
    /// The lanes of `a` whose bit in `m` is set, the others of `b`.
    ///
    /// # Safety
    /// The processor has unit `I`.
    unsafe fn pick<I: Isa>(m: u16, a: &[Self; CHUNK], b: &[Self; CHUNK]) -> [Self; CHUNK];
}

impl Pick for u32 {
    #[inline(always)]
    unsafe fn pick<I: Isa>(m: u16, a: &[Self; CHUNK], b: &[Self; CHUNK]) -> [Self; CHUNK] {
        // SAFETY: the caller's promise.
        unsafe { I::select32(m, a, b) }
    }
}

impl Pick for u64 {
    #[inline(always)]
    unsafe fn pick<I: Isa>(m: u16, a: &[Self; CHUNK], b: &[Self; CHUNK]) -> [Self; CHUNK] {
        // SAFETY: the caller's promise.
        unsafe { I::select64(m, a, b) }
    }
}

/// `selp`: `a` where predicate `c` holds, else `b`. As a function of lanes it takes twice as long: compilers make a lane of every bit.
pub(crate) struct Select<L>(PhantomData<L>);

struct Picked<L> {
    a: Source<L>,
    b: Source<L>,
    c: Source<bool>,
}

impl<L: Pick> Chunk for Picked<L> {
    type R = L;
    #[inline(always)]
    unsafe fn at<I: Isa>(&self, cx: &Cx, c: usize) -> [L; CHUNK] {
        // SAFETY: the caller's promise.
        unsafe {
            let m = match self.c.scalar {
                true if bool::load_scalar(cx, self.c.at)[0] => u16::MAX,
                true => 0,
                false => *self.c.at.add(c * self.c.step).cast::<u16>(),
            };
            L::pick::<I>(m, &self.a.load(cx, c), &self.b.load(cx, c))
        }
    }
}

impl<L: Pick> Body for Select<L> {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: as in `Map1`.
        unsafe {
            let o = *op;
            let picked = Picked::<L> {
                a: Source::new(cx, o.a, o.flags),
                b: Source::new(cx, o.b, o.flags),
                c: Source::new(cx, o.c, o.flags),
            };
            drive::<_, I>(cx, &o, &picked);
            op.add(1)
        }
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
