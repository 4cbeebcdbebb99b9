//! Surfaces: loads, stores and reductions on images, and questions about images.
//!
//! Coordinates along x count bytes (`.b`) or texels (`.p`). Outside of the image the instruction says what happens: a fault,
//! the nearest element, or nothing.

use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering};

use tessera_arith::texture::{Wrap, to_channel};

use super::isa::{Body, CHUNK, Isa};
use super::texture::{Found, LaneFault, Reader, chunk32, chunk64};
use super::{Cx, NUMBER, Op};
use crate::env::Access;
use crate::error::FaultKind;
use crate::lir::{Edge, Geom, ImageQuery, SurfKind, SurfOp, SurfRed};
use crate::texture::{Image, Kind};

/// `suld`, `sust`, `sured`. `imm` is where the operands stand in the table: surface, maybe layer, coordinates, values.
pub(crate) struct Surface;
impl Body for Surface {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe { surface(cx, op) }
    }
}

/// # Safety
/// As [`Body::run`].
#[inline(never)]
unsafe fn surface(cx: &mut Cx, op: *const Op) -> *const Op {
    // SAFETY: the contract of `Body`; the decoder wrote as many operands as `s` says.
    unsafe {
        let o = *op;
        let s = SurfOp::unpack(o.flags >> NUMBER);
        let list = cx.targets.add(o.imm.cast_unsigned() as usize);
        let coords = list.add(1);
        let values = coords.add(s.geom.operands());
        let access = if s.kind == SurfKind::Load {
            Access::Read
        } else {
            Access::Write
        };
        let memory = cx.env().memory;
        let mut reader = Reader::new(memory, access);
        let mut last = None;
        for c in 0..cx.chunks {
            let m = cx.chunk_mask(c);
            if m == 0 {
                continue;
            }
            let handles = chunk64(cx, *list, c);
            let mut at = [[0u32; CHUNK]; 4];
            for (k, row) in at.iter_mut().enumerate().take(s.geom.operands()) {
                *row = chunk32(cx, *coords.add(k), c);
            }
            for i in 0..CHUNK {
                if m >> i & 1 == 0 {
                    continue;
                }
                let at = at.map(|row| row[i].cast_signed());
                let done = Found::find(&mut last, memory, (handles[i], handles[i])).and_then(|found| {
                    let place = place(&found.image, handles[i], s, at)?;
                    one(cx, s, &found.image, place, &mut reader, values, c, i)
                });
                if let Err((kind, address)) = done {
                    let lane = u32::try_from(c * CHUNK + i).unwrap_or(0);
                    return cx.fail(op, kind, lane, address);
                }
            }
        }
        op.add(1)
    }
}

/// Bytes that an instruction moves at once along x, for an image.
fn unit_bytes(image: &Image, s: SurfOp) -> u32 {
    if s.formatted {
        image.shape.texel_bytes()
    } else {
        u32::from(s.bytes) * u32::from(s.n)
    }
}

/// Address of what a lane touches; `None` where it touches nothing.
fn place(image: &Image, handle: u64, s: SurfOp, at: [i32; 4]) -> Result<Option<u64>, LaneFault> {
    let shape = &image.shape;
    let fits = match s.geom {
        Geom::D1 => shape.kind == Kind::OneD && !shape.layered,
        Geom::D2 => shape.kind == Kind::TwoD && !shape.layered,
        Geom::D3 => shape.kind == Kind::ThreeD,
        Geom::A1 => shape.kind == Kind::OneD && shape.layered,
        // Faces of a cube are written as layers.
        Geom::A2 => shape.kind == Kind::TwoD && shape.layered || shape.kind == Kind::Cube,
        Geom::Cube | Geom::ACube => false,
    };
    let unit = unit_bytes(image, s);
    let too_small = s.formatted && s.kind == SurfKind::Reduce && unit < u32::from(s.bytes);
    if !fits || !image.surface || too_small {
        return Err((FaultKind::IllegalInstruction, handle));
    }
    let [x, y, z] = match s.geom {
        Geom::D1 => [at[0], 0, 0],
        Geom::D2 => [at[0], at[1], 0],
        Geom::A1 => [at[1], 0, at[0]],
        Geom::A2 => [at[1], at[2], at[0]],
        Geom::D3 | Geom::Cube | Geom::ACube => [at[0], at[1], at[2]],
    };
    let (level, unit) = (shape.level(0), i64::from(unit));
    let row = i64::from(shape.extent.width) * i64::from(shape.texel_bytes());
    let x = if s.formatted {
        i64::from(x) * unit
    } else {
        i64::from(x)
    };
    if x % unit != 0 {
        return Err((FaultKind::MisalignedAddress, x.cast_unsigned()));
    }
    let most = [
        (row / unit - 1) * unit,
        i64::from(level.extent.height) - 1,
        i64::from(level.extent.slices) - 1,
    ];
    let mut at = [x, i64::from(y), i64::from(z)];
    let outside = at.iter().zip(most).any(|(&v, most)| v < 0 || v > most);
    if outside {
        match s.edge {
            Edge::Trap => return Err((FaultKind::Trap, 0)),
            Edge::Zero => return Ok(None),
            Edge::Clamp if most[0] < 0 => return Ok(None),
            Edge::Clamp => {
                for (v, most) in at.iter_mut().zip(most) {
                    *v = (*v).clamp(0, most);
                }
            }
        }
    }
    let [x, y, z] = at.map(i64::cast_unsigned);
    let offset = z * level.slice() + y * level.pitch + x;
    Ok(Some(image.base.wrapping_add(offset)))
}

/// What one lane does.
///
/// # Safety
/// `values` has the value operands of `s`, made by the decoder; the group has chunk `c`.
#[allow(clippy::too_many_arguments, reason = "one place of one lane")]
unsafe fn one(
    cx: &Cx,
    s: SurfOp,
    image: &Image,
    place: Option<u64>,
    reader: &mut Reader<'_>,
    values: *const u32,
    c: usize,
    i: usize,
) -> Result<(), LaneFault> {
    let bytes = u64::from(s.bytes);
    let p = match place {
        Some(address) => Some(reader.at(address, u64::from(unit_bytes(image, s)))?),
        None => None,
    };
    // SAFETY: the caller's promise; `p` is mapped for all that the instruction touches.
    unsafe {
        let value = |k: usize| {
            if s.bytes == 8 {
                chunk64(cx, *values.add(k), c)[i]
            } else {
                u64::from(chunk32(cx, *values.add(k), c)[i])
            }
        };
        match (s.kind, p) {
            (SurfKind::Load, p) => {
                for k in 0..usize::from(s.n) {
                    let v = p.map_or(0, |p| get(p.add(k * usize::from(s.bytes)), bytes));
                    put_register(cx, *values.add(k), c, i, s.bytes == 8, v);
                }
            }
            (_, None) => {}
            (SurfKind::Store, Some(p)) if s.formatted => {
                let format = image.shape.format;
                let channel = u64::from(format.bytes());
                for k in 0..usize::from(s.n).min(image.shape.channels as usize) {
                    let v = to_channel(format, chunk32(cx, *values.add(k), c)[i]);
                    put(p.add(k * format.bytes() as usize), channel, u64::from(v));
                }
            }
            (SurfKind::Store, Some(p)) => {
                for k in 0..usize::from(s.n) {
                    put(p.add(k * usize::from(s.bytes)), bytes, value(k));
                }
            }
            (SurfKind::Reduce, Some(p)) => {
                if !(p.addr() as u64).is_multiple_of(bytes) {
                    return Err((FaultKind::MisalignedAddress, place.unwrap_or(0)));
                }
                reduce(p, s, value(0));
            }
        }
    }
    Ok(())
}

/// # Safety
/// `p` is readable for `bytes` bytes: 1, 2, 4 or 8.
unsafe fn get(p: *const u8, bytes: u64) -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        match bytes {
            1 => u64::from(p.read()),
            2 => u64::from(p.cast::<u16>().read_unaligned()),
            4 => u64::from(p.cast::<u32>().read_unaligned()),
            _ => p.cast::<u64>().read_unaligned(),
        }
    }
}

/// # Safety
/// `p` is writable for `bytes` bytes: 1, 2, 4 or 8.
#[allow(clippy::cast_possible_truncation, reason = "the low bytes are what is stored")]
unsafe fn put(p: *mut u8, bytes: u64, v: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        match bytes {
            1 => p.write(v as u8),
            2 => p.cast::<u16>().write_unaligned(v as u16),
            4 => p.cast::<u32>().write_unaligned(v as u32),
            _ => p.cast::<u64>().write_unaligned(v),
        }
    }
}

/// # Safety
/// `operand` is a destination of this width, made by the decoder; the group has chunk `c`.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the value has 32 bits where the register has"
)]
unsafe fn put_register(cx: &Cx, operand: u32, c: usize, i: usize, wide: bool, v: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        let to = cx.destination(operand);
        if wide {
            *to.add(c * 128).cast::<u64>().add(i) = v;
        } else {
            *to.add(c * 64).cast::<u32>().add(i) = v as u32;
        }
    }
}

/// # Safety
/// `p` is writable and aligned for the operation.
#[allow(clippy::cast_possible_truncation, reason = "operations on 32 bits")]
unsafe fn reduce(p: *mut u8, s: SurfOp, v: u64) {
    const ORDER: Ordering = Ordering::Relaxed;
    // SAFETY: the caller's promise; device memory is only touched through raw pointers.
    unsafe {
        if s.bytes == 8 {
            let (to, signed) = (AtomicU64::from_ptr(p.cast()), AtomicI64::from_ptr(p.cast()));
            match s.red {
                SurfRed::Add => to.fetch_add(v, ORDER),
                SurfRed::MinU => to.fetch_min(v, ORDER),
                SurfRed::MaxU => to.fetch_max(v, ORDER),
                SurfRed::MinS => signed.fetch_min(v.cast_signed(), ORDER).cast_unsigned(),
                SurfRed::MaxS => signed.fetch_max(v.cast_signed(), ORDER).cast_unsigned(),
                SurfRed::And => to.fetch_and(v, ORDER),
                SurfRed::Or => to.fetch_or(v, ORDER),
            };
            return;
        }
        let v = v as u32;
        let (to, signed) = (AtomicU32::from_ptr(p.cast()), AtomicI32::from_ptr(p.cast()));
        match s.red {
            SurfRed::Add => to.fetch_add(v, ORDER),
            SurfRed::MinU => to.fetch_min(v, ORDER),
            SurfRed::MaxU => to.fetch_max(v, ORDER),
            SurfRed::MinS => signed.fetch_min(v.cast_signed(), ORDER).cast_unsigned(),
            SurfRed::MaxS => signed.fetch_max(v.cast_signed(), ORDER).cast_unsigned(),
            SurfRed::And => to.fetch_and(v, ORDER),
            SurfRed::Or => to.fetch_or(v, ORDER),
        };
    }
}

/// `txq` and `suq`: `d` result, `a` handle, `b` level; the question in the flags.
pub(crate) struct Query;
impl Body for Query {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe { query(cx, op) }
    }
}

/// # Safety
/// As [`Body::run`].
#[inline(never)]
unsafe fn query(cx: &mut Cx, op: *const Op) -> *const Op {
    // SAFETY: the contract of `Body`.
    unsafe {
        let o = *op;
        let question = ImageQuery::unpack(o.flags >> NUMBER);
        let memory = cx.env().memory;
        let mut last = None;
        for c in 0..cx.chunks {
            let m = cx.chunk_mask(c);
            if m == 0 {
                continue;
            }
            let (handles, levels) = (chunk64(cx, o.a, c), chunk32(cx, o.b, c));
            for i in 0..CHUNK {
                if m >> i & 1 == 0 {
                    continue;
                }
                match Found::find(&mut last, memory, (handles[i], handles[i])) {
                    Ok(found) => {
                        let v = answer(&found.image, question, levels[i]);
                        put_register(cx, o.d, c, i, false, u64::from(v));
                    }
                    Err((kind, address)) => {
                        let lane = u32::try_from(c * CHUNK + i).unwrap_or(0);
                        return cx.fail(op, kind, lane, address);
                    }
                }
            }
        }
        op.add(1)
    }
}

fn answer(image: &Image, question: ImageQuery, level: u32) -> u32 {
    let (shape, sampler) = (&image.shape, &image.sampler);
    let extent = shape.level(level.min(shape.levels - 1)).extent;
    // wrap, mirror, clamp_ogl, clamp_to_edge, clamp_to_border
    let wrap = |axis: usize| match sampler.wrap[axis] {
        Wrap::Wrap => 0,
        Wrap::Mirror => 1,
        Wrap::Clamp => 3,
        Wrap::Border => 4,
    };
    match question {
        ImageQuery::Width => extent.width,
        ImageQuery::Height => extent.height,
        ImageQuery::Depth if shape.keeps_slices() => 1,
        ImageQuery::Depth => extent.slices,
        ImageQuery::ChannelType => shape.format.number(),
        ImageQuery::ChannelOrder => shape.channels,
        ImageQuery::Normalized => u32::from(sampler.normalized),
        ImageQuery::ArraySize if shape.kind == Kind::Cube => shape.layers() / 6,
        ImageQuery::ArraySize => shape.layers(),
        ImageQuery::Levels => shape.levels,
        ImageQuery::Samples => 1,
        ImageQuery::ForceUnnormalized | ImageQuery::MemoryLayout => 0,
        ImageQuery::Filter => u32::from(sampler.linear),
        ImageQuery::Wrap0 => wrap(0),
        ImageQuery::Wrap1 => wrap(1),
        ImageQuery::Wrap2 => wrap(2),
    }
}
