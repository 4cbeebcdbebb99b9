//! Copies between host and device.
//!
//! Where nothing is in the way, the calling thread copies by itself ([`bar1`]). What the worker has to do goes there like this:
//!
//! ```text
//!   pinned host   ◀──── one message, the worker copies in place ────▶ device
//!   pageable host ─ small: in the message ─────────────────────────▶ device
//!                 ─ large: chunk k+1 into staging while the worker moves chunk k ─▶ device
//!   pageable host ◀ chunk k out of staging while the worker fills chunk k+1 ─────── device
//! ```
//!
//! What CUDA finds at once is found here: null pointers, lengths beyond an allocation, pitches below the width.

use crate::abi::DefaultStream;
use crate::bar1;
use crate::code::{Answer, Code};
use crate::current;
use crate::device::attribute;
use crate::graph::capture;
use crate::peer;
use crate::ranges::Bar1Place;
use crate::state::{self, Driver};
use crate::stream::{self, Stream};
use crate::types::{CUDA_MEMCPY2D, Caller, Handle, c_void};
use std::collections::VecDeque;
use std::sync::Arc;
use tessera_channel::Staging;
use tessera_wire::messages::{CopyIn, CopyOut, CopyWithin};
use tessera_wire::{PLACE_PINNED, PLACE_STAGING, PLACE_TAIL};

/// Pageable copies up to this many bytes travel inside the message.
pub(crate) const INLINE_BYTES: usize = 16 << 10;
/// Pieces of a large pageable copy are at most this long: small enough to stay in a cache between the two copies and to be copied by
/// the thread that takes the message, large enough that a message per piece does not count.
const LARGEST_CHUNK: usize = 128 << 10;
/// And at least this long, as far as there is so much.
const SMALLEST_CHUNK: usize = 64 << 10;
/// Pieces that a copy is cut into where the limits allow it: of n pieces, n - 1 are moved on both sides at once.
const CHUNKS_WANTED: usize = 8;
/// Pieces of one copy under way at once.
pub(crate) const CHUNKS_AHEAD: usize = 4;

/// Extent of a copy: `height` rows of `width` bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// One side of a copy: address of the first row, bytes from row to row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side {
    pub(crate) address: u64,
    pub(crate) pitch: usize,
    pub(crate) place: Place,
    /// The context whose memory it is; 0 for memory of the host.
    pub(crate) context: Handle,
    /// Where the address is in BAR1, if all of the side is there.
    pub(crate) bar1: Option<Bar1Place>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Device,
    Pinned,
    Pageable,
}

impl Extent {
    pub(crate) fn is_empty(self) -> bool {
        self.width == 0 || self.height == 0
    }

    pub(crate) fn bytes(self) -> Answer<usize> {
        self.width.checked_mul(self.height).ok_or(Code::INVALID_VALUE)
    }

    /// Bytes from the first to behind the last, for a pitch.
    pub(crate) fn span(self, pitch: usize) -> Answer<usize> {
        let rows = self.height.checked_sub(1).ok_or(Code::INVALID_VALUE)?;
        pitch
            .checked_mul(rows)
            .and_then(|bytes| bytes.checked_add(self.width))
            .ok_or(Code::INVALID_VALUE)
    }
}

impl Side {
    /// A side that must be device-accessible memory.
    pub(crate) fn device(driver: &Driver, address: u64, pitch: usize, extent: Extent) -> Answer<Self> {
        let side = Self::any(driver, address, pitch, extent)?;
        if side.place == Place::Pageable {
            Err(Code::INVALID_VALUE)
        } else {
            Ok(side)
        }
    }

    /// A side that may be anything: the address says what it is.
    pub(crate) fn any(driver: &Driver, address: u64, pitch: usize, extent: Extent) -> Answer<Self> {
        if address == 0 || (extent.height > 1 && pitch < extent.width) {
            return Err(Code::INVALID_VALUE);
        }
        let bytes = extent.span(pitch)? as u64;
        let end = address.checked_add(bytes).ok_or(Code::INVALID_VALUE)?;
        let (place, context, bar1) = match driver.ranges.covering(address, bytes) {
            Some(range) if range.is_in_host_arena() => (Place::Pinned, 0, None),
            Some(range) => {
                let bar1 = range.bar1.map(|place| Bar1Place {
                    offset: place.offset + (address - range.base),
                    ..place
                });
                (Place::Device, range.context, bar1)
            }
            None => {
                let arena = driver.session.welcome();
                let outside =
                    end <= arena.arena_base || address >= arena.arena_base.saturating_add(arena.arena_bytes);
                if !outside {
                    return Err(Code::INVALID_VALUE);
                }
                (Place::Pageable, 0, None)
            }
        };
        Ok(Self {
            address,
            pitch,
            place,
            context,
            bar1,
        })
    }

    /// The same side as plain host memory of the program, for pinned memory too.
    pub(crate) fn pointer(self) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(usize::try_from(self.address).unwrap_or(0))
    }
}

/// Copies `from` to `to` in stream order, by this thread where that is possible. Says the sequence number of the last operation if
/// host memory of the program's is still in use by it.
pub(crate) fn copy(
    driver: &Driver,
    stream: &Arc<Stream>,
    to: Side,
    from: Side,
    extent: Extent,
    until: Return,
) -> Answer<Option<u64>> {
    if capture::enter(stream)? {
        return capture::copy_rows(stream, Return::AtOnce, to, from, extent).map(|()| None);
    }
    let foreign = |side: Side| side.context != 0 && side.context != stream.core.handle;
    if foreign(to) || foreign(from) {
        return peer::copy(driver, stream, to, from, extent);
    }
    if bar1::copy(driver, stream, (to, from, extent), until)? {
        return Ok(None);
    }
    copy_here(driver, stream, to, from, extent)
}

/// [`copy`] through the channel, where no other context's memory takes part.
pub(crate) fn copy_here(
    driver: &Driver,
    stream: &Arc<Stream>,
    to: Side,
    from: Side,
    extent: Extent,
) -> Answer<Option<u64>> {
    match (to.place, from.place) {
        (Place::Device, Place::Pageable) => {
            copy_in(driver, stream, to, from, extent)?;
            Ok(None)
        }
        (Place::Pageable, Place::Device) => {
            copy_out(driver, stream, to, from, extent)?;
            Ok(None)
        }
        (Place::Device, Place::Pinned) => pinned_in(driver, stream, to, from, extent).map(Some),
        (Place::Pinned, Place::Device) => pinned_out(driver, stream, to, from, extent).map(Some),
        (Place::Device, Place::Device) => {
            device_to_device(driver, stream, to, from, extent)?;
            Ok(None)
        }
        (Place::Pinned, Place::Pinned) => device_to_device(driver, stream, to, from, extent).map(Some),
        (_, Place::Pageable) | (Place::Pageable, _) => {
            stream.synchronize()?;
            host_to_host(to, from, extent);
            Ok(None)
        }
    }
}

fn device_to_device(driver: &Driver, stream: &Stream, to: Side, from: Side, extent: Extent) -> Answer<u64> {
    stream.submit(driver, &[], |seq| CopyWithin {
        stream: stream.handle(),
        seq,
        destination: to.address,
        destination_pitch: to.pitch as u64,
        source: from.address,
        source_pitch: from.pitch as u64,
        width: extent.width as u64,
        height: extent.height as u64,
    })
}

fn pinned_in(driver: &Driver, stream: &Stream, to: Side, from: Side, extent: Extent) -> Answer<u64> {
    stream.submit(driver, &[], |seq| CopyIn {
        stream: stream.handle(),
        seq,
        destination: to.address,
        destination_pitch: to.pitch as u64,
        source: from.address,
        source_pitch: from.pitch as u64,
        width: extent.width as u64,
        height: extent.height as u64,
        place: PLACE_PINNED,
        ..CopyIn::default()
    })
}

fn pinned_out(driver: &Driver, stream: &Stream, to: Side, from: Side, extent: Extent) -> Answer<u64> {
    stream.submit(driver, &[], |seq| CopyOut {
        stream: stream.handle(),
        seq,
        destination: to.address,
        destination_pitch: to.pitch as u64,
        source: from.address,
        source_pitch: from.pitch as u64,
        width: extent.width as u64,
        height: extent.height as u64,
        place: PLACE_PINNED,
        ..CopyOut::default()
    })
}

pub(crate) fn host_to_host(to: Side, from: Side, extent: Extent) {
    for row in 0..extent.height {
        // SAFETY: both sides are host memory for which the program promised `height` rows; it may let them overlap.
        unsafe {
            std::ptr::copy(
                from.pointer().add(row * from.pitch),
                to.pointer().add(row * to.pitch),
                extent.width,
            );
        }
    }
}

/// A piece of a pageable copy: rows that lie packed in staging.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    /// Bytes from the start of the first row on either side; together with the row it says where the piece begins.
    pub(crate) row: usize,
    pub(crate) column: usize,
    pub(crate) extent: Extent,
}

/// Cuts a copy into pieces: several whole rows, or a part of one.
pub(crate) fn pieces(to: Side, from: Side, extent: Extent) -> Vec<Piece> {
    let chunk = extent
        .bytes()
        .unwrap_or(usize::MAX)
        .div_ceil(CHUNKS_WANTED)
        .clamp(SMALLEST_CHUNK, LARGEST_CHUNK)
        .next_multiple_of(4096);
    // Rows that touch each other on both sides are one long row.
    let extent = match extent.bytes() {
        Ok(bytes) if extent.height > 1 && to.pitch == extent.width && from.pitch == extent.width => Extent {
            width: bytes,
            height: 1,
        },
        _ => extent,
    };
    let mut list = Vec::new();
    if extent.width > chunk {
        for row in 0..extent.height {
            for column in (0..extent.width).step_by(chunk) {
                let width = chunk.min(extent.width - column);
                list.push(Piece {
                    row,
                    column,
                    extent: Extent { width, height: 1 },
                });
            }
        }
        return list;
    }
    let rows = (chunk / extent.width).max(1);
    for row in (0..extent.height).step_by(rows) {
        let height = rows.min(extent.height - row);
        list.push(Piece {
            row,
            column: 0,
            extent: Extent {
                width: extent.width,
                height,
            },
        });
    }
    list
}

impl Piece {
    /// Where the piece begins on a side.
    pub(crate) fn offset(&self, side: Side) -> usize {
        self.row * side.pitch + self.column
    }

    pub(crate) fn bytes(&self) -> usize {
        self.extent.width * self.extent.height
    }

    /// Packs the program's rows at `packed`.
    ///
    /// # Safety
    /// `packed` has room for [`Piece::bytes`] bytes.
    pub(crate) unsafe fn pack(&self, from: Side, packed: *mut u8) {
        for row in 0..self.extent.height {
            // SAFETY: the program promised the rows of the source; the caller promised the room.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    from.pointer().add(self.offset(from) + row * from.pitch),
                    packed.add(row * self.extent.width),
                    self.extent.width,
                );
            }
        }
    }

    /// Unpacks to the program's rows.
    ///
    /// # Safety
    /// `packed` has [`Piece::bytes`] bytes.
    pub(crate) unsafe fn unpack(&self, to: Side, packed: *const u8) {
        for row in 0..self.extent.height {
            // SAFETY: the program promised the rows of the destination; the caller promised the bytes.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    packed.add(row * self.extent.width),
                    to.pointer().add(self.offset(to) + row * to.pitch),
                    self.extent.width,
                );
            }
        }
    }
}

pub(crate) fn stage(driver: &Driver, bytes: usize) -> Answer<Staging> {
    driver
        .session
        .staging()
        .allocate(bytes as u64, driver.session.records())
        .map_err(|error| tessera_guest::Failure::from(error).into())
}

/// Pageable host to device; the program's memory is not looked at any more when this returns.
fn copy_in(driver: &Driver, stream: &Stream, to: Side, from: Side, extent: Extent) -> Answer {
    let message = |piece: &Piece, source: u64, place: u32| {
        let destination = to.address + piece.offset(to) as u64;
        let extent = piece.extent;
        move |seq| CopyIn {
            stream: stream.handle(),
            seq,
            destination,
            destination_pitch: to.pitch as u64,
            source,
            source_pitch: extent.width as u64,
            width: extent.width as u64,
            height: extent.height as u64,
            place,
            ..CopyIn::default()
        }
    };
    let whole = Piece {
        row: 0,
        column: 0,
        extent,
    };
    if extent.height == 1 && extent.width <= INLINE_BYTES {
        // SAFETY: the program promised this many readable bytes; they are copied into the ring once, before this returns.
        let bytes = unsafe { std::slice::from_raw_parts(from.pointer(), extent.width) };
        stream.submit(driver, bytes, message(&whole, 0, PLACE_TAIL))?;
        return Ok(());
    }
    if extent.bytes()? <= INLINE_BYTES {
        let mut packed = vec![0u8; whole.bytes()];
        // SAFETY: the buffer has as many bytes as the piece.
        unsafe { whole.pack(from, packed.as_mut_ptr()) };
        stream.submit(driver, &packed, message(&whole, 0, PLACE_TAIL))?;
        return Ok(());
    }
    let mut ahead = VecDeque::with_capacity(CHUNKS_AHEAD);
    let records = driver.session.records();
    for piece in pieces(to, from, extent) {
        let staging = match reuse(driver, stream, &mut ahead, piece.bytes()) {
            Some(staging) => staging,
            None => stage(driver, piece.bytes())?,
        };
        // SAFETY: the piece of staging has room for this many bytes.
        unsafe { piece.pack(from, staging.range().as_ptr()) };
        let seq = stream.submit(driver, &[], message(&piece, staging.offset(), PLACE_STAGING))?;
        ahead.push_back((staging, seq));
    }
    for (staging, seq) in ahead {
        if records.value(stream.record()) < seq {
            driver
                .session
                .staging()
                .release_after(staging, stream.record(), seq);
        }
    }
    Ok(())
}

/// The oldest piece of staging of this copy, once enough of them are under way and the worker is through with it: using few pieces
/// again and again keeps them in the caches that both sides share. A stream that is busy with something else is not waited for.
fn reuse(
    driver: &Driver,
    stream: &Stream,
    ahead: &mut VecDeque<(Staging, u64)>,
    bytes: usize,
) -> Option<Staging> {
    if ahead.len() < CHUNKS_AHEAD {
        return None;
    }
    let (oldest, seq) = ahead.pop_front()?;
    let done = || driver.session.records().value(stream.record()) >= seq;
    let mut rounds = 0;
    while !done() && rounds < REUSE_ROUNDS {
        // With as few processors as threads at work, spinning would take the worker's away.
        std::thread::yield_now();
        rounds += 1;
    }
    if !done() {
        driver
            .session
            .staging()
            .release_after(oldest, stream.record(), seq);
        return None;
    }
    (oldest.range().len() >= bytes).then_some(oldest)
}

/// Device to pageable host; waits until everything is there.
fn copy_out(driver: &Driver, stream: &Stream, to: Side, from: Side, extent: Extent) -> Answer {
    let mut ahead: VecDeque<(Piece, Staging, u64)> = VecDeque::with_capacity(CHUNKS_AHEAD);
    let mut todo = pieces(to, from, extent).into_iter();
    loop {
        while ahead.len() < CHUNKS_AHEAD {
            let Some(piece) = todo.next() else { break };
            let staging = stage(driver, piece.bytes())?;
            let seq = stream.submit(driver, &[], |seq| CopyOut {
                stream: stream.handle(),
                seq,
                destination: staging.offset(),
                destination_pitch: piece.extent.width as u64,
                source: from.address + piece.offset(from) as u64,
                source_pitch: from.pitch as u64,
                width: piece.extent.width as u64,
                height: piece.extent.height as u64,
                place: PLACE_STAGING,
                ..CopyOut::default()
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

/// Looks at the oldest piece before another one is taken: a few times what the worker needs for one.
const REUSE_ROUNDS: u32 = 500;

/// When the call returns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Return {
    /// When pinned memory is free to use again.
    WhenDone,
    AtOnce,
}

fn run(
    default: DefaultStream,
    stream: Handle,
    until: Return,
    sides: impl FnOnce(&Driver) -> Answer<(Side, Side, Extent)>,
) -> Answer {
    let driver = state::driver()?;
    let stream = current::with_current(|context| {
        stream::with_stream_in(context, default, stream, |stream| Ok(Arc::clone(stream)))
    })?;
    let (to, from, extent) = sides(driver)?;
    if capture::enter(&stream)? {
        return capture::copy_rows(&stream, until, to, from, extent);
    }
    let pending = copy(driver, &stream, to, from, extent, until)?;
    match (until, pending) {
        (Return::WhenDone, Some(seq)) => stream.wait(seq),
        _ => Ok(()),
    }
}

fn linear(
    default: DefaultStream,
    stream: Handle,
    until: Return,
    (to, to_device): (u64, bool),
    (from, from_device): (u64, bool),
    bytes: usize,
) -> Answer {
    if bytes == 0 {
        return current::current().map(drop);
    }
    if bar1::at_once(
        default,
        (stream, until),
        (to, to_device),
        (from, from_device),
        bytes,
    ) {
        return Ok(());
    }
    run(default, stream, until, |driver| {
        let extent = Extent {
            width: bytes,
            height: 1,
        };
        let side = |address, device: bool| {
            if device {
                Side::device(driver, address, bytes, extent)
            } else {
                Side::any(driver, address, bytes, extent)
            }
        };
        Ok((side(to, to_device)?, side(from, from_device)?, extent))
    })
}

/// `cuMemcpy`
pub(crate) fn memcpy(default: DefaultStream, dst: u64, src: u64, bytes: usize) -> Answer {
    linear(default, 0, Return::WhenDone, (dst, false), (src, false), bytes)
}

/// `cuMemcpyAsync`
pub(crate) fn memcpy_async(
    default: DefaultStream,
    dst: u64,
    src: u64,
    bytes: usize,
    stream: Handle,
) -> Answer {
    linear(default, stream, Return::AtOnce, (dst, false), (src, false), bytes)
}

/// `cuMemcpyHtoD`
pub(crate) fn memcpy_htod(default: DefaultStream, dst: u64, src: Caller<c_void>, bytes: usize) -> Answer {
    linear(
        default,
        0,
        Return::WhenDone,
        (dst, true),
        (src.address(), false),
        bytes,
    )
}

/// `cuMemcpyHtoDAsync`
pub(crate) fn memcpy_htod_async(
    default: DefaultStream,
    dst: u64,
    src: Caller<c_void>,
    bytes: usize,
    stream: Handle,
) -> Answer {
    linear(
        default,
        stream,
        Return::AtOnce,
        (dst, true),
        (src.address(), false),
        bytes,
    )
}

/// `cuMemcpyDtoH`
pub(crate) fn memcpy_dtoh(default: DefaultStream, dst: Caller<c_void>, src: u64, bytes: usize) -> Answer {
    linear(
        default,
        0,
        Return::WhenDone,
        (dst.address(), false),
        (src, true),
        bytes,
    )
}

/// `cuMemcpyDtoHAsync`: to pageable memory it returns when the bytes are there, as documented.
pub(crate) fn memcpy_dtoh_async(
    default: DefaultStream,
    dst: Caller<c_void>,
    src: u64,
    bytes: usize,
    stream: Handle,
) -> Answer {
    linear(
        default,
        stream,
        Return::AtOnce,
        (dst.address(), false),
        (src, true),
        bytes,
    )
}

/// `cuMemcpyDtoD`
pub(crate) fn memcpy_dtod(default: DefaultStream, dst: u64, src: u64, bytes: usize) -> Answer {
    linear(default, 0, Return::AtOnce, (dst, true), (src, true), bytes)
}

/// `cuMemcpyDtoDAsync`
pub(crate) fn memcpy_dtod_async(
    default: DefaultStream,
    dst: u64,
    src: u64,
    bytes: usize,
    stream: Handle,
) -> Answer {
    linear(default, stream, Return::AtOnce, (dst, true), (src, true), bytes)
}

/// `CUmemorytype`
pub(crate) mod memory_type {
    pub(crate) const HOST: i32 = 1;
    pub(crate) const DEVICE: i32 = 2;
    pub(crate) const ARRAY: i32 = 3;
    pub(crate) const UNIFIED: i32 = 4;
}

/// The pitch of one side: as given, up to the device's limit, or what rows without a gap have.
pub(crate) fn row_pitch(driver: &Driver, pitch: usize, extent: Extent) -> Answer<usize> {
    if pitch as u64 > u64::from(driver.limit(attribute::MAX_PITCH)) {
        return Err(Code::INVALID_VALUE);
    }
    Ok(if pitch == 0 { extent.width } else { pitch })
}

/// One side of a 2D copy: its base, moved to the first byte that counts.
pub(crate) fn side_2d(
    driver: &Driver,
    kind: i32,
    (host, device): (Caller<c_void>, u64),
    (x, y): (usize, usize),
    pitch: usize,
    extent: Extent,
) -> Answer<Side> {
    let base = match kind {
        memory_type::HOST => host.address(),
        memory_type::DEVICE | memory_type::UNIFIED => device,
        _ => return Err(Code::INVALID_VALUE),
    };
    let pitch = row_pitch(driver, pitch, extent)?;
    let offset = y
        .checked_mul(pitch)
        .and_then(|bytes| bytes.checked_add(x))
        .ok_or(Code::INVALID_VALUE)?;
    if base == 0 || x.checked_add(extent.width).is_none_or(|end| end > pitch) {
        return Err(Code::INVALID_VALUE);
    }
    let address = base.checked_add(offset as u64).ok_or(Code::INVALID_VALUE)?;
    if kind == memory_type::DEVICE {
        Side::device(driver, address, pitch, extent)
    } else {
        Side::any(driver, address, pitch, extent)
    }
}

fn copy_2d(default: DefaultStream, p_copy: Caller<CUDA_MEMCPY2D>, stream: Handle, until: Return) -> Answer {
    let copy = p_copy.get()?;
    let extent = Extent {
        width: copy.width,
        height: copy.height,
    };
    if extent.is_empty() {
        return current::current().map(drop);
    }
    if copy.source_type == memory_type::ARRAY || copy.destination_type == memory_type::ARRAY {
        return crate::copy3d::flat(default, &copy, stream, until);
    }
    run(default, stream, until, |driver| {
        let to = side_2d(
            driver,
            copy.destination_type,
            (copy.destination_host, copy.destination_device),
            (copy.destination_x, copy.destination_y),
            copy.destination_pitch,
            extent,
        )?;
        let from = side_2d(
            driver,
            copy.source_type,
            (copy.source_host, copy.source_device),
            (copy.source_x, copy.source_y),
            copy.source_pitch,
            extent,
        )?;
        Ok((to, from, extent))
    })
}

/// `cuMemcpy2D`
pub(crate) fn memcpy_2d(default: DefaultStream, p_copy: Caller<CUDA_MEMCPY2D>) -> Answer {
    copy_2d(default, p_copy, 0, Return::WhenDone)
}

/// `cuMemcpy2DUnaligned`: any pitch will do here, so it is the same.
pub(crate) fn memcpy_2d_unaligned(default: DefaultStream, p_copy: Caller<CUDA_MEMCPY2D>) -> Answer {
    copy_2d(default, p_copy, 0, Return::WhenDone)
}

/// `cuMemcpy2DAsync`
pub(crate) fn memcpy_2d_async(
    default: DefaultStream,
    p_copy: Caller<CUDA_MEMCPY2D>,
    stream: Handle,
) -> Answer {
    copy_2d(default, p_copy, stream, Return::AtOnce)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(pitch: usize) -> Side {
        Side {
            address: 0x1000,
            pitch,
            place: Place::Pageable,
            context: 0,
            bar1: None,
        }
    }

    #[test]
    fn pieces_cover_a_copy_once() {
        for (width, height, pitch) in [
            (1, 1, 1),
            (LARGEST_CHUNK + 1, 1, LARGEST_CHUNK + 1),
            (1000, 3000, 1024),
            (1000, 3000, 1000),
            (LARGEST_CHUNK * 2 + 7, 3, LARGEST_CHUNK * 3),
        ] {
            let extent = Extent { width, height };
            let list = pieces(side(pitch), side(width), extent);
            let total: usize = list.iter().map(Piece::bytes).sum();
            assert_eq!(total, width * height);
            assert!(list.iter().all(|piece| piece.bytes() <= LARGEST_CHUNK));
        }
    }
}
