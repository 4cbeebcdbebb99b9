//! Operations that are not a function of lanes: predicates, special registers, the lanes of an affine value.

use std::marker::PhantomData;

use super::isa::{Body, CHUNK, Isa};
use super::lane::Lane;
use super::{Cx, NUMBER, Op, SCALAR, UNMASKED, WARPS};
use crate::lir::{PredOp, Special};

/// An operation on predicates.
pub(crate) trait PredFn: 'static {
    /// Word by word.
    fn call(a: u32, b: u32) -> u32;
}

macro_rules! pred_ops {
    ($($name:ident($a:ident, $b:ident) $body:expr;)+) => {$(
        pub(crate) struct $name;
        impl PredFn for $name {
            #[inline(always)]
            fn call($a: u32, $b: u32) -> u32 { $body }
        }
    )+};
}
pred_ops! {
    Mov(a, _b) a;
    Not(a, _b) !a;
    And(a, b) a & b;
    Or(a, b) a | b;
    Xor(a, b) a ^ b;
    True(_a, _b) u32::MAX;
    False(_a, _b) 0;
}

/// Applies `F` to predicates `a` and `b`.
pub(crate) struct Pred<F>(PhantomData<F>);
impl<F: PredFn> Body for Pred<F> {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe {
            let o = *op;
            let (a, b) = (cx.predicate(o.a), cx.predicate(o.b));
            let mut r = [0; WARPS];
            for w in 0..WARPS {
                r[w] = F::call(a[w], b[w]);
            }
            cx.set_predicate(o.d, &r);
            op.add(1)
        }
    }
}

/// The handler of a predicate operation.
pub(crate) fn pred_handler(op: PredOp, level: super::isa::Level) -> super::Handler {
    match op {
        PredOp::Mov => level.handler::<Pred<Mov>>(),
        PredOp::Not => level.handler::<Pred<Not>>(),
        PredOp::And => level.handler::<Pred<And>>(),
        PredOp::Or => level.handler::<Pred<Or>>(),
        PredOp::Xor => level.handler::<Pred<Xor>>(),
        PredOp::True => level.handler::<Pred<True>>(),
        PredOp::False => level.handler::<Pred<False>>(),
    }
}

/// Lanes of an affine value: `a` its bases, `e` its stride.
pub(crate) struct Expand<L>(PhantomData<L>);

macro_rules! expand {
    ($ty:ty, $stride:expr) => {
        impl Body for Expand<$ty> {
            #[inline(always)]
            unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
                // SAFETY: the contract of `Body`.
                unsafe {
                    let o = *op;
                    let (p, _) = cx.source(o.a, 0);
                    let base = *p.cast::<[$ty; CHUNK]>();
                    let stride: $ty = $stride(o.e);
                    let to = cx.destination(o.d);
                    let force = if o.flags & UNMASKED != 0 { u16::MAX } else { 0 };
                    for c in 0..cx.chunks {
                        let m = cx.chunk_mask(c);
                        if m == 0 {
                            continue;
                        }
                        let mut v = [0; CHUNK];
                        let mut lane: $ty = 0;
                        for r in &mut v {
                            *r = base[c % CHUNK].wrapping_add(stride.wrapping_mul(lane));
                            lane = lane.wrapping_add(1);
                        }
                        <$ty>::store_masked::<I>(to.add(c * <$ty>::BYTES), &v, m | force);
                    }
                    op.add(1)
                }
            }
        }
    };
}
expand!(u32, |e: u32| e);
expand!(u64, |e: u32| i64::from(e.cast_signed()).cast_unsigned());

/// Numbers of special registers in the flags of an operation.
pub(crate) const fn special_number(special: Special) -> u32 {
    match special {
        Special::Tid(c) => c as u32,
        Special::Ctaid(c) => 4 + c as u32,
        Special::LaneId => 8,
        Special::WarpId => 9,
        Special::LaneMaskEq => 10,
        Special::LaneMaskLe => 11,
        Special::LaneMaskLt => 12,
        Special::LaneMaskGe => 13,
        Special::LaneMaskGt => 14,
        Special::Clock => 15,
        Special::GlobalTimer => 16,
        Special::Sm => 17,
        Special::Sms => 18,
    }
}

/// The value of a special register in a lane of the group.
fn special(cx: &Cx, number: u32, lane: u32) -> u64 {
    // SAFETY: block and group outlive the run.
    let (cta, group) = unsafe { (&*cx.cta, &*cx.group) };
    let lane_id = lane % 32;
    u64::from(match number {
        0..=3 => cta.thread(group.first_thread() + lane)[number as usize % 3],
        4..=7 => cta.block[number as usize % 4 % 3],
        8 => lane_id,
        9 => group.first_thread() / 32 + lane / 32,
        10 => 1 << lane_id,
        11 => u32::MAX >> (31 - lane_id),
        12 => (1 << lane_id) - 1,
        13 => u32::MAX << lane_id,
        14 => (u32::MAX << lane_id) << 1,
        15 => return cx.env().runtime.clock(),
        16 => return cx.env().runtime.global_timer(),
        17 => cx.env().sm,
        _ => cx.env().sms,
    })
}

/// A special register. With [`SCALAR`] the value of the first lane of every chunk.
pub(crate) struct ReadSpecial;
impl Body for ReadSpecial {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe { read_special(cx, op) }
    }
}

#[inline(never)]
unsafe fn read_special(cx: &mut Cx, op: *const Op) -> *const Op {
    // SAFETY: the contract of `Body`.
    unsafe {
        let o = *op;
        let number = o.flags >> NUMBER;
        let to = cx.destination(o.d);
        if matches!(number, 15 | 16) {
            // A clock is read once: the lanes execute together.
            let v = [special(cx, number, 0); CHUNK];
            each_chunk(cx, o.flags, |_, c, m| {
                masked(to.cast::<[u64; CHUNK]>().add(c), &v, m);
            });
            return op.add(1);
        }
        if o.flags & SCALAR != 0 {
            *to.cast::<[u32; CHUNK]>() = firsts(cx, number);
            return op.add(1);
        }
        let mut at = Coordinates::new(cx, 0);
        each_chunk(cx, o.flags, |cx, c, m| {
            let mut v = [0; CHUNK];
            for (i, v) in v.iter_mut().enumerate() {
                *v = if number <= 3 {
                    at.next(1)[number as usize % 3]
                } else {
                    narrow(cx, number, c * CHUNK + i)
                };
            }
            masked(to.cast::<[u32; CHUNK]>().add(c), &v, m);
        });
        op.add(1)
    }
}

/// Calls `chunk` for every chunk with the lanes to write; once, for all lanes of a scalar slot.
#[inline(always)]
fn each_chunk(cx: &Cx, flags: u32, mut chunk: impl FnMut(&Cx, usize, u16)) {
    if flags & SCALAR != 0 {
        return chunk(cx, 0, u16::MAX);
    }
    for c in 0..cx.chunks {
        chunk(cx, c, cx.chunk_mask(c));
    }
}

/// Writes the lanes of `m`.
///
/// # Safety
/// `to` is a chunk of a slot.
#[inline(always)]
unsafe fn masked<T: Copy>(to: *mut [T; CHUNK], v: &[T; CHUNK], m: u16) {
    // SAFETY: the caller's promise.
    let to = unsafe { &mut *to };
    for i in 0..CHUNK {
        to[i] = if m >> i & 1 != 0 { v[i] } else { to[i] };
    }
}

/// A special register of 32 bits in a lane of the group.
fn narrow(cx: &Cx, number: u32, lane: usize) -> u32 {
    #[allow(clippy::cast_possible_truncation, reason = "these registers have 32 bits")]
    let v = special(cx, number, u32::try_from(lane).unwrap_or(0)) as u32;
    v
}

/// A special register of 32 bits in the first lane of every chunk; of the first chunk where there is none.
#[inline(always)]
fn firsts(cx: &Cx, number: u32) -> [u32; CHUNK] {
    let mut v = [0; CHUNK];
    match number {
        0..=3 => {
            let step = u32::try_from(CHUNK).unwrap_or(16);
            let mut at = Coordinates::new(cx, 0);
            for (c, v) in v.iter_mut().enumerate() {
                if c == cx.chunks {
                    at = Coordinates::new(cx, 0);
                }
                *v = at.next(step)[number as usize % 3];
            }
        }
        4..=7 | 17.. => v = [narrow(cx, number, 0); CHUNK],
        _ => {
            for (c, v) in v.iter_mut().enumerate() {
                *v = narrow(cx, number, if c < cx.chunks { c * CHUNK } else { 0 });
            }
        }
    }
    v
}

/// Coordinates of threads one after the other, without a division for each.
struct Coordinates {
    size: [u32; 3],
    at: [u32; 3],
}

impl Coordinates {
    /// From a lane of the group on.
    fn new(cx: &Cx, lane: u32) -> Self {
        // SAFETY: block and group outlive the run.
        let (cta, group) = unsafe { (&*cx.cta, &*cx.group) };
        let first = group.first_thread() + lane;
        let size = cta.launch.geometry().block.map(|d| d.max(1));
        let at = if first == 0 { [0; 3] } else { cta.thread(first) };
        Self { size, at }
    }

    /// The coordinates, then on to `step` threads further. In x threads are counted on past the last row of the block.
    fn next(&mut self, step: u32) -> [u32; 3] {
        let now = self.at;
        self.at[0] += step;
        if self.size[1] == 1 && self.size[2] == 1 {
            return now;
        }
        while self.at[0] >= self.size[0] {
            self.at[0] -= self.size[0];
            self.at[1] += 1;
            if self.at[1] == self.size[1] {
                self.at[1] = 0;
                self.at[2] += 1;
            }
        }
        now
    }
}
