//! Copies of up to three axes, with arrays on either side.
//!
//! A copy goes slice by slice; a slice is rows, and where no array takes part it is what `copy.rs` does. Arrays are copied by
//! their own message, which names a place in texels of the array and lets the worker know where that is:
//!
//! ```text
//!   array ◀─▶ array, device, pinned host    one message per slice
//!   array ◀── pageable host                 small: in the message; large: pieces through staging
//!   array ──▶ pageable host                 pieces through staging, waited for
//! ```

use crate::abi::DefaultStream;
use crate::array;
use crate::code::{Answer, Code};
use crate::copy::{
    self, CHUNKS_AHEAD, Extent, INLINE_BYTES, Piece, Place, Return, Side, memory_type, pieces, row_pitch,
    stage,
};
use crate::current;
use crate::graph::capture;
use crate::peer;
use crate::state::{self, Driver};
use crate::stream::{self, Stream};
use crate::types::{CUDA_MEMCPY2D, CUDA_MEMCPY3D, Caller, Handle, Memcpy3dSide, c_void};
use std::collections::VecDeque;
use std::sync::Arc;
use tessera_wire::messages::CopyArray;
use tessera_wire::{PLACE_ARRAY, PLACE_DEVICE, PLACE_PINNED, PLACE_STAGING, PLACE_TAIL};

/// A place in an array.
#[derive(Clone, Copy)]
pub(crate) struct Inside {
    root: Handle,
    context: Handle,
    level: u32,
    /// Bytes from the start of a row.
    x: usize,
    y: usize,
    z: usize,
}

/// One side of a slice.
#[derive(Clone, Copy)]
pub(crate) enum Slice {
    Memory(Side),
    Array(Inside),
}

/// One side of a copy, before it is cut into slices.
enum Whole {
    Memory {
        first: u64,
        pitch: usize,
        slice: usize,
        device: bool,
    },
    Array(Inside),
}

fn end(from: usize, length: usize) -> Answer<usize> {
    from.checked_add(length).ok_or(Code::INVALID_VALUE)
}

fn whole(driver: &Driver, side: &Memcpy3dSide, extent: Extent, depth: usize) -> Answer<Whole> {
    let base = match side.kind {
        memory_type::HOST => side.host.address(),
        memory_type::DEVICE | memory_type::UNIFIED => side.device,
        memory_type::ARRAY => {
            let array = array::array(driver, side.array)?;
            let row = array.shape.width * array.texel_bytes();
            let (rows, slices) = array.rows();
            let aligned = side.x.is_multiple_of(array.texel_bytes())
                && extent.width.is_multiple_of(array.texel_bytes());
            if !aligned
                || end(side.x, extent.width)? > row
                || end(side.y, extent.height)? > rows
                || end(side.z, depth)? > slices
            {
                return Err(Code::INVALID_VALUE);
            }
            return Ok(Whole::Array(Inside {
                root: array.root,
                context: array.core.handle,
                level: array.level,
                x: side.x,
                y: side.y,
                z: side.z,
            }));
        }
        _ => return Err(Code::INVALID_VALUE),
    };
    let pitch = row_pitch(driver, side.pitch, extent)?;
    let rows = if side.height == 0 {
        extent.height
    } else {
        side.height
    };
    let slice = pitch.checked_mul(rows).ok_or(Code::INVALID_VALUE)?;
    if base == 0 || end(side.x, extent.width)? > pitch || depth > 1 && end(side.y, extent.height)? > rows {
        return Err(Code::INVALID_VALUE);
    }
    let offset = side
        .y
        .checked_mul(pitch)
        .zip(side.z.checked_mul(slice))
        .and_then(|(rows, slices)| rows.checked_add(slices)?.checked_add(side.x))
        .ok_or(Code::INVALID_VALUE)?;
    Ok(Whole::Memory {
        first: base.checked_add(offset as u64).ok_or(Code::INVALID_VALUE)?,
        pitch,
        slice,
        device: side.kind == memory_type::DEVICE,
    })
}

impl Whole {
    fn slice(&self, driver: &Driver, n: usize, extent: Extent) -> Answer<Slice> {
        match *self {
            Self::Array(place) => Ok(Slice::Array(Inside {
                z: place.z + n,
                ..place
            })),
            Self::Memory {
                first,
                pitch,
                slice,
                device,
            } => {
                let offset = slice.checked_mul(n).ok_or(Code::INVALID_VALUE)?;
                let address = first.checked_add(offset as u64).ok_or(Code::INVALID_VALUE)?;
                let side = if device {
                    Side::device(driver, address, pitch, extent)?
                } else {
                    Side::any(driver, address, pitch, extent)?
                };
                Ok(Slice::Memory(side))
            }
        }
    }
}

pub(crate) fn message(stream: Handle, seq: u64, place: Inside, out: bool, extent: Extent) -> CopyArray {
    CopyArray {
        stream,
        seq,
        array: place.root,
        x: place.x as u64,
        y: place.y as u64,
        z: place.z as u64,
        width: extent.width as u64,
        height: extent.height as u64,
        level: place.level,
        out: u32::from(out),
        ..CopyArray::default()
    }
}

impl Inside {
    fn at(self, piece: &Piece) -> Self {
        Self {
            x: self.x + piece.column,
            y: self.y + piece.row,
            ..self
        }
    }
}

/// Whether rows of pageable memory may be taken for one: never, the array's rows are apart.
fn apart(extent: Extent) -> Side {
    Side {
        address: 0,
        pitch: extent.width.saturating_add(1),
        place: Place::Device,
        context: 0,
        bar1: None,
    }
}

/// Pageable memory to an array; the program's memory is not looked at any more when this returns.
fn pageable_in(driver: &Driver, stream: &Stream, place: Inside, from: Side, extent: Extent) -> Answer {
    if extent.bytes()? <= INLINE_BYTES {
        let all = Piece {
            row: 0,
            column: 0,
            extent,
        };
        let mut packed = vec![0u8; all.bytes()];
        // SAFETY: the buffer has as many bytes as the piece.
        unsafe { all.pack(from, packed.as_mut_ptr()) };
        stream.submit(driver, &packed, |seq| CopyArray {
            place: PLACE_TAIL,
            other_pitch: extent.width as u64,
            ..message(stream.handle(), seq, place, false, extent)
        })?;
        return Ok(());
    }
    for piece in pieces(apart(extent), from, extent) {
        let staging = stage(driver, piece.bytes())?;
        // SAFETY: the piece of staging has room for this many bytes.
        unsafe { piece.pack(from, staging.range().as_ptr()) };
        let seq = stream.submit(driver, &[], |seq| CopyArray {
            place: PLACE_STAGING,
            other: staging.offset(),
            other_pitch: piece.extent.width as u64,
            ..message(stream.handle(), seq, place.at(&piece), false, piece.extent)
        })?;
        driver
            .session
            .staging()
            .release_after(staging, stream.record(), seq);
    }
    Ok(())
}

/// An array to pageable memory; waits until everything is there.
fn pageable_out(driver: &Driver, stream: &Stream, to: Side, place: Inside, extent: Extent) -> Answer {
    let mut ahead = VecDeque::with_capacity(CHUNKS_AHEAD);
    let mut todo = pieces(to, apart(extent), extent).into_iter();
    loop {
        while ahead.len() < CHUNKS_AHEAD {
            let Some(piece) = todo.next() else { break };
            let staging = stage(driver, piece.bytes())?;
            let seq = stream.submit(driver, &[], |seq| CopyArray {
                place: PLACE_STAGING,
                other: staging.offset(),
                other_pitch: piece.extent.width as u64,
                ..message(stream.handle(), seq, place.at(&piece), true, piece.extent)
            })?;
            ahead.push_back((piece, staging, seq));
        }
        let Some((piece, staging, seq)) = ahead.pop_front() else {
            return Ok(());
        };
        if let Err(code) = stream.wait(seq) {
            // The worker may still write to these pieces: they are free only when the stream has passed them.
            for (_, staging, seq) in ahead {
                driver
                    .session
                    .staging()
                    .release_after(staging, stream.record(), seq);
            }
            return Err(code);
        }
        // SAFETY: the piece of staging was allocated with this many bytes.
        unsafe { piece.unpack(to, staging.range().as_ptr()) };
    }
}

/// The message that copies between an array and something that is not pageable memory, for a node of a graph.
pub(crate) fn node(to: Slice, from: Slice, extent: Extent) -> Option<CopyArray> {
    let (place, other, out) = match (to, from) {
        (Slice::Array(to), from) => (to, from, false),
        (to, Slice::Array(from)) => (from, to, true),
        _ => return None,
    };
    let message = message(0, 0, place, out, extent);
    match other {
        Slice::Array(there) => Some(CopyArray {
            place: PLACE_ARRAY,
            other: there.root,
            other_x: there.x as u64,
            other_y: there.y as u64,
            other_z: there.z as u64,
            other_level: there.level,
            ..message
        }),
        Slice::Memory(side) => Some(CopyArray {
            place: match side.place {
                Place::Device => PLACE_DEVICE,
                Place::Pinned => PLACE_PINNED,
                Place::Pageable => return None,
            },
            other: side.address,
            other_pitch: side.pitch as u64,
            ..message
        }),
    }
}

/// An array and something else. The number of the last operation is given back where pinned memory is in use by it.
fn with_array(
    driver: &Driver,
    stream: &Stream,
    place: Inside,
    other: Slice,
    out: bool,
    extent: Extent,
) -> Answer<Option<u64>> {
    let side = match other {
        Slice::Array(there) => {
            stream.submit(driver, &[], |seq| CopyArray {
                place: PLACE_ARRAY,
                other: there.root,
                other_x: there.x as u64,
                other_y: there.y as u64,
                other_z: there.z as u64,
                other_level: there.level,
                ..message(stream.handle(), seq, place, out, extent)
            })?;
            return Ok(None);
        }
        Slice::Memory(side) => side,
    };
    let kind = match (side.place, out) {
        (Place::Pageable, true) => return pageable_out(driver, stream, side, place, extent).map(|()| None),
        (Place::Pageable, false) => return pageable_in(driver, stream, place, side, extent).map(|()| None),
        (Place::Device, _) => PLACE_DEVICE,
        (Place::Pinned, _) => PLACE_PINNED,
    };
    let seq = stream.submit(driver, &[], |seq| CopyArray {
        place: kind,
        other: side.address,
        other_pitch: side.pitch as u64,
        ..message(stream.handle(), seq, place, out, extent)
    })?;
    Ok((kind == PLACE_PINNED).then_some(seq))
}

/// A side of a slice as an end of a copy between contexts.
fn end_of(
    side: Slice,
    driver: &Driver,
    into: bool,
) -> (Handle, impl Fn(&Stream, &Piece, u64) -> Answer<u64>) {
    let context = match side {
        Slice::Memory(side) => side.context,
        Slice::Array(place) => place.context,
    };
    let post = move |stream: &Stream, piece: &Piece, packed: u64| match side {
        Slice::Memory(side) if into => peer::give(driver, stream, side, piece, packed),
        Slice::Memory(side) => peer::take(driver, stream, side, piece, packed),
        Slice::Array(place) => stream.submit(driver, &[], |seq| CopyArray {
            place: PLACE_STAGING,
            other: packed,
            other_pitch: piece.extent.width as u64,
            ..message(stream.handle(), seq, place.at(piece), !into, piece.extent)
        }),
    };
    (context, post)
}

/// An array, and an array or memory of another context.
fn between_contexts(driver: &Driver, stream: &Arc<Stream>, to: Slice, from: Slice, extent: Extent) -> Answer {
    let (to, give) = end_of(to, driver, true);
    let (from, take) = end_of(from, driver, false);
    let (to, from) = (
        peer::End {
            context: to,
            post: &give,
        },
        peer::End {
            context: from,
            post: &take,
        },
    );
    let pieces = pieces(apart(extent), apart(extent), extent);
    peer::across(driver, stream, &to, &from, &pieces)
}

fn slice(
    driver: &Driver,
    stream: &Arc<Stream>,
    to: Slice,
    from: Slice,
    extent: Extent,
) -> Answer<Option<u64>> {
    let (place, other, out) = match (to, from) {
        (Slice::Memory(to), Slice::Memory(from)) => {
            return copy::copy(driver, stream, to, from, extent, Return::AtOnce);
        }
        (Slice::Array(to), from) => (to, from, false),
        (to, Slice::Array(from)) => (from, to, true),
    };
    let there = match other {
        Slice::Memory(side) => side.context,
        Slice::Array(place) => place.context,
    };
    if there != 0 && there != place.context {
        return between_contexts(driver, stream, to, from, extent).map(|()| None);
    }
    if place.context == stream.core.handle {
        return with_array(driver, stream, place, other, out, extent);
    }
    peer::detour(driver, stream, place.context, |stream| {
        with_array(driver, stream, place, other, out, extent)
    })
}

/// A copy that was found good: both sides of every slice.
pub(crate) struct Prepared {
    extent: Extent,
    pub(crate) slices: Vec<(Slice, Slice)>,
}

impl Prepared {
    /// Checks a copy.
    pub(crate) fn new(driver: &Driver, what: &CUDA_MEMCPY3D) -> Answer<Self> {
        let extent = Extent {
            width: what.width,
            height: what.height,
        };
        let mut slices = Vec::new();
        if extent.is_empty() || what.depth == 0 {
            return Ok(Self { extent, slices });
        }
        if what.source.level != 0 || what.destination.level != 0 {
            return Err(Code::INVALID_VALUE);
        }
        let to = whole(driver, &what.destination, extent, what.depth)?;
        let from = whole(driver, &what.source, extent, what.depth)?;
        for n in 0..what.depth {
            slices.push((to.slice(driver, n, extent)?, from.slice(driver, n, extent)?));
        }
        Ok(Self { extent, slices })
    }

    /// Takes pinned memory of the source for the program's own: it is looked at before this returns.
    pub(crate) fn at_once(&mut self) {
        for (_, from) in &mut self.slices {
            if let Slice::Memory(side) = from
                && side.place == Place::Pinned
            {
                side.place = Place::Pageable;
            }
        }
    }

    /// Copies; the number of the last operation is given back where pinned memory is in use by it.
    pub(crate) fn post(&self, driver: &Driver, stream: &Arc<Stream>) -> Answer<Option<u64>> {
        let mut pending = None;
        for &(to, from) in &self.slices {
            pending = slice(driver, stream, to, from, self.extent)?.or(pending);
        }
        Ok(pending)
    }
}

pub(crate) fn run(default: DefaultStream, what: &CUDA_MEMCPY3D, stream: Handle, until: Return) -> Answer {
    let driver = state::driver()?;
    current::with_current(|_| Ok(()))?;
    if what.width == 0 || what.height == 0 || what.depth == 0 {
        return Ok(());
    }
    let stream = stream::stream(default, stream)?;
    let prepared = Prepared::new(driver, what)?;
    if capture::enter(&stream)? {
        return capture::copy(&stream, until, what);
    }
    let pending = prepared.post(driver, &stream)?;
    match (until, pending) {
        (Return::WhenDone, Some(seq)) => stream.wait(seq),
        _ => Ok(()),
    }
}

/// A 2D copy with an array.
pub(crate) fn flat(default: DefaultStream, copy: &CUDA_MEMCPY2D, stream: Handle, until: Return) -> Answer {
    let side = |kind, x, y, host, device, array, pitch| Memcpy3dSide {
        x,
        y,
        z: 0,
        level: 0,
        kind,
        host,
        device,
        array,
        reserved: 0,
        pitch,
        height: 0,
    };
    let what = CUDA_MEMCPY3D {
        source: side(
            copy.source_type,
            copy.source_x,
            copy.source_y,
            copy.source_host,
            copy.source_device,
            copy.source_array,
            copy.source_pitch,
        ),
        destination: side(
            copy.destination_type,
            copy.destination_x,
            copy.destination_y,
            copy.destination_host,
            copy.destination_device,
            copy.destination_array,
            copy.destination_pitch,
        ),
        width: copy.width,
        height: copy.height,
        depth: 1,
    };
    run(default, &what, stream, until)
}

/// `cuMemcpy3D`
pub(crate) fn memcpy_3d(default: DefaultStream, p_copy: Caller<CUDA_MEMCPY3D>) -> Answer {
    run(default, &p_copy.get()?, 0, Return::WhenDone)
}

/// `cuMemcpy3DAsync`
pub(crate) fn memcpy_3d_async(
    default: DefaultStream,
    p_copy: Caller<CUDA_MEMCPY3D>,
    stream: Handle,
) -> Answer {
    run(default, &p_copy.get()?, stream, Return::AtOnce)
}

fn of_array(array: Handle, offset: usize) -> Memcpy3dSide {
    Memcpy3dSide {
        x: offset,
        kind: memory_type::ARRAY,
        array,
        ..of_memory(memory_type::ARRAY, Caller::null(), 0)
    }
}

fn of_memory(kind: i32, host: Caller<c_void>, device: u64) -> Memcpy3dSide {
    Memcpy3dSide {
        x: 0,
        y: 0,
        z: 0,
        level: 0,
        kind,
        host,
        device,
        array: 0,
        reserved: 0,
        pitch: 0,
        height: 0,
    }
}

/// A copy along the first row of an array.
fn row(
    default: DefaultStream,
    destination: Memcpy3dSide,
    source: Memcpy3dSide,
    bytes: usize,
    stream: Handle,
    until: Return,
) -> Answer {
    let what = CUDA_MEMCPY3D {
        source,
        destination,
        width: bytes,
        height: 1,
        depth: 1,
    };
    run(default, &what, stream, until)
}

/// `cuMemcpyAtoA`
pub(crate) fn memcpy_atoa(
    default: DefaultStream,
    dst: Handle,
    dst_offset: usize,
    src: Handle,
    src_offset: usize,
    bytes: usize,
) -> Answer {
    let (to, from) = (of_array(dst, dst_offset), of_array(src, src_offset));
    row(default, to, from, bytes, 0, Return::AtOnce)
}

/// `cuMemcpyAtoD`
pub(crate) fn memcpy_atod(
    default: DefaultStream,
    dst: u64,
    src: Handle,
    src_offset: usize,
    bytes: usize,
) -> Answer {
    let to = of_memory(memory_type::DEVICE, Caller::null(), dst);
    row(default, to, of_array(src, src_offset), bytes, 0, Return::AtOnce)
}

/// `cuMemcpyDtoA`
pub(crate) fn memcpy_dtoa(
    default: DefaultStream,
    dst: Handle,
    dst_offset: usize,
    src: u64,
    bytes: usize,
) -> Answer {
    let from = of_memory(memory_type::DEVICE, Caller::null(), src);
    row(default, of_array(dst, dst_offset), from, bytes, 0, Return::AtOnce)
}

/// `cuMemcpyAtoH`
pub(crate) fn memcpy_atoh(
    default: DefaultStream,
    dst: Caller<c_void>,
    src: Handle,
    src_offset: usize,
    bytes: usize,
) -> Answer {
    let to = of_memory(memory_type::HOST, dst, 0);
    row(default, to, of_array(src, src_offset), bytes, 0, Return::WhenDone)
}

/// `cuMemcpyAtoHAsync`
pub(crate) fn memcpy_atoh_async(
    default: DefaultStream,
    dst: Caller<c_void>,
    src: Handle,
    src_offset: usize,
    bytes: usize,
    stream: Handle,
) -> Answer {
    let to = of_memory(memory_type::HOST, dst, 0);
    row(
        default,
        to,
        of_array(src, src_offset),
        bytes,
        stream,
        Return::AtOnce,
    )
}

/// `cuMemcpyHtoA`
pub(crate) fn memcpy_htoa(
    default: DefaultStream,
    dst: Handle,
    dst_offset: usize,
    src: Caller<c_void>,
    bytes: usize,
) -> Answer {
    let from = of_memory(memory_type::HOST, src, 0);
    row(
        default,
        of_array(dst, dst_offset),
        from,
        bytes,
        0,
        Return::WhenDone,
    )
}

/// `cuMemcpyHtoAAsync`
pub(crate) fn memcpy_htoa_async(
    default: DefaultStream,
    dst: Handle,
    dst_offset: usize,
    src: Caller<c_void>,
    bytes: usize,
    stream: Handle,
) -> Answer {
    let from = of_memory(memory_type::HOST, src, 0);
    row(
        default,
        of_array(dst, dst_offset),
        from,
        bytes,
        stream,
        Return::AtOnce,
    )
}
