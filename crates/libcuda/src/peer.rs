//! Copies that memory of another context takes part in.
//!
//! A context of the device reaches its own memory only. Where the other side is the host's or the same context's, the copy goes through a
//! stream of that context; between two contexts it goes through staging. Events keep the order of the stream that was asked:
//!
//! ```text
//!   stream of the caller  ──┬─ event ─┐                                            ┌─▶ what is behind the copy
//!   stream of the source    │         └─▶ out to staging k ─ event ─┐              │
//!   stream of the destination                                       └─▶ in from k ─┴─ event
//! ```
//!
//! A synchronous copy goes through the legacy streams of all contexts, so it is ordered with their work as documented; an asynchronous
//! one through a stream that a context has for this.

use crate::abi::{DefaultStream, STREAM_LEGACY};
use crate::code::{Answer, Code};
use crate::context::{self, Context, Core, Record};
use crate::copy::{self, Extent, Piece, Return, Side, copy_here, memory_type, pieces, stage};
use crate::copy3d;
use crate::current;
use crate::ranges::RangeKind;
use crate::state::{self, Driver};
use crate::stream::{self, Stream};
use crate::types::{CUDA_MEMCPY3D, Caller, Handle, Memcpy3dSide};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tessera_wire::PLACE_STAGING;
use tessera_wire::messages::{CopyIn, CopyOut, EventCreate, EventDestroy, EventRecord, StreamWaitEvent};

/// `CU_EVENT_DISABLE_TIMING`
const FLAG_DISABLE_TIMING: u32 = 2;

/// An event that nobody sees.
pub(crate) struct Link<'a> {
    driver: &'a Driver,
    event: Handle,
    record: Record,
    /// Sequence number of the newest record posted.
    posted: AtomicU64,
}

impl<'a> Link<'a> {
    pub(crate) fn create(driver: &'a Driver, core: &Core) -> Answer<Self> {
        let record = Record::allocate(driver)?;
        let event = stream::hidden(driver);
        let message = EventCreate {
            context: core.handle,
            event,
            token: record.0.token,
            completion: record.0.index,
            flags: FLAG_DISABLE_TIMING,
        };
        driver.session.post(&message, &[])?;
        Ok(Self {
            driver,
            event,
            record,
            posted: AtomicU64::new(0),
        })
    }

    /// What is posted to `after` from now on waits for what was posted to `before`.
    fn order(&self, before: &Stream, after: &Stream) -> Answer<u64> {
        self.record(before)?;
        self.wait(after)
    }

    pub(crate) fn record(&self, stream: &Stream) -> Answer<u64> {
        let seq = stream.submit(self.driver, &[], |seq| EventRecord {
            stream: stream.handle(),
            seq,
            event: self.event,
        })?;
        self.posted.fetch_max(seq, Ordering::Release);
        Ok(seq)
    }

    pub(crate) fn wait(&self, stream: &Stream) -> Answer<u64> {
        stream.submit(self.driver, &[], |seq| StreamWaitEvent {
            stream: stream.handle(),
            seq,
            event: self.event,
        })
    }

    /// Whether the newest record was reached.
    pub(crate) fn is_done(&self) -> bool {
        self.driver.session.records().value(self.record.0) >= self.posted.load(Ordering::Acquire)
    }
}

impl Drop for Link<'_> {
    fn drop(&mut self) {
        // What is queued still happens; a worker that is gone has no events.
        let _ = self.driver.session.post(&EventDestroy { event: self.event }, &[]);
    }
}

/// Orders two streams; they may be one.
pub(crate) fn order(driver: &Driver, before: &Stream, after: &Stream) -> Answer<Option<u64>> {
    if before.handle() == after.handle() {
        return Ok(None);
    }
    Link::create(driver, &before.core)?.order(before, after).map(Some)
}

/// The stream of a context that does its part of a copy in `stream`.
fn deputy(driver: &Driver, stream: &Arc<Stream>, context: Handle) -> Answer<Arc<Stream>> {
    if context == stream.core.handle {
        return Ok(Arc::clone(stream));
    }
    let context: Arc<Context> = driver.contexts.get(context).map_err(|_| Code::INVALID_CONTEXT)?;
    context.core.check()?;
    let home = driver.contexts.get(stream.core.handle);
    if home.is_ok_and(|home| home.legacy.handle() == stream.handle()) {
        return Ok(Arc::clone(&context.legacy));
    }
    context.peer_stream(driver).map(Arc::clone)
}

/// Does something in another context, in the order of `stream`. The number is one of `stream`'s.
pub(crate) fn detour(
    driver: &Driver,
    stream: &Arc<Stream>,
    context: Handle,
    work: impl FnOnce(&Arc<Stream>) -> Answer<Option<u64>>,
) -> Answer<Option<u64>> {
    let there = deputy(driver, stream, context)?;
    order(driver, stream, &there)?;
    let pending = work(&there)?;
    let back = order(driver, &there, stream)?;
    Ok(pending.and(back))
}

/// [`copy::copy`], where memory of another context than the stream's takes part.
#[cold]
pub(crate) fn copy(
    driver: &Driver,
    stream: &Arc<Stream>,
    to: Side,
    from: Side,
    extent: Extent,
) -> Answer<Option<u64>> {
    match (to.context, from.context) {
        (context, 0) | (0, context) => detour(driver, stream, context, |there| {
            copy_here(driver, there, to, from, extent)
        }),
        (one, other) if one == other => detour(driver, stream, one, |there| {
            copy_here(driver, there, to, from, extent)
        }),
        _ => {
            let source = End {
                context: from.context,
                post: &|stream, piece, packed| take(driver, stream, from, piece, packed),
            };
            let destination = End {
                context: to.context,
                post: &|stream, piece, packed| give(driver, stream, to, piece, packed),
            };
            let pieces = pieces(to, from, extent);
            across(driver, stream, &destination, &source, &pieces).map(|()| None)
        }
    }
}

/// One end of a copy between contexts.
pub(crate) struct End<'a> {
    pub(crate) context: Handle,
    /// Posts its part for a piece that lies packed at this offset of staging.
    pub(crate) post: &'a dyn Fn(&Stream, &Piece, u64) -> Answer<u64>,
}

/// From one context to another, piece by piece through staging.
pub(crate) fn across(
    driver: &Driver,
    stream: &Arc<Stream>,
    to: &End<'_>,
    from: &End<'_>,
    pieces: &[Piece],
) -> Answer {
    let source = deputy(driver, stream, from.context)?;
    let destination = deputy(driver, stream, to.context)?;
    order(driver, stream, &source)?;
    let link = Link::create(driver, &source.core)?;
    for piece in pieces {
        let staging = stage(driver, piece.bytes())?;
        (from.post)(&source, piece, staging.offset())?;
        link.order(&source, &destination)?;
        let seq = (to.post)(&destination, piece, staging.offset())?;
        driver
            .session
            .staging()
            .release_after(staging, destination.record(), seq);
    }
    order(driver, &destination, stream).map(drop)
}

/// A piece of a context's memory into staging.
pub(crate) fn take(driver: &Driver, stream: &Stream, side: Side, piece: &Piece, packed: u64) -> Answer<u64> {
    stream.submit(driver, &[], |seq| CopyOut {
        stream: stream.handle(),
        seq,
        destination: packed,
        destination_pitch: piece.extent.width as u64,
        source: side.address + piece.offset(side) as u64,
        source_pitch: side.pitch as u64,
        width: piece.extent.width as u64,
        height: piece.extent.height as u64,
        place: PLACE_STAGING,
        ..CopyOut::default()
    })
}

/// A piece of staging into a context's memory.
pub(crate) fn give(driver: &Driver, stream: &Stream, side: Side, piece: &Piece, packed: u64) -> Answer<u64> {
    stream.submit(driver, &[], |seq| CopyIn {
        stream: stream.handle(),
        seq,
        destination: side.address + piece.offset(side) as u64,
        destination_pitch: side.pitch as u64,
        source: packed,
        source_pitch: piece.extent.width as u64,
        width: piece.extent.width as u64,
        height: piece.extent.height as u64,
        place: PLACE_STAGING,
        ..CopyIn::default()
    })
}

/// The memory at `address`, if a context's, is that context's.
fn check_owner(driver: &Driver, address: u64, owner: Handle) -> Answer {
    let found = context::context(owner)?;
    found.core.check()?;
    match driver.ranges.find(address) {
        // Pools and pinned memory are the device's and the process's.
        Some(range)
            if matches!(
                range.kind,
                RangeKind::Device { pool: 0 } | RangeKind::Variable { .. }
            ) =>
        {
            if range.context == found.core.handle {
                Ok(())
            } else {
                Err(Code::INVALID_VALUE)
            }
        }
        Some(_) => Ok(()),
        None => Err(Code::INVALID_VALUE),
    }
}

fn linear(
    default: DefaultStream,
    (dst, to): (u64, Handle),
    (src, from): (u64, Handle),
    bytes: usize,
    stream: Handle,
) -> Answer {
    let driver = state::driver()?;
    current::with_current(|_| Ok(()))?;
    let stream = stream::stream(default, stream)?;
    context::context(to)?.core.check()?;
    context::context(from)?.core.check()?;
    if bytes == 0 {
        return Ok(());
    }
    check_owner(driver, dst, to)?;
    check_owner(driver, src, from)?;
    let extent = Extent {
        width: bytes,
        height: 1,
    };
    let to = Side::device(driver, dst, bytes, extent)?;
    let from = Side::device(driver, src, bytes, extent)?;
    copy::copy(driver, &stream, to, from, extent, Return::AtOnce).map(drop)
}

/// `cuMemcpyPeer`
pub(crate) fn memcpy_peer(
    _default: DefaultStream,
    dst: u64,
    dst_context: Handle,
    src: u64,
    src_context: Handle,
    bytes: usize,
) -> Answer {
    // Ordered with all work of the contexts, whatever stream 0 means to the caller.
    linear(
        DefaultStream::Legacy,
        (dst, dst_context),
        (src, src_context),
        bytes,
        STREAM_LEGACY,
    )
}

/// `cuMemcpyPeerAsync`
pub(crate) fn memcpy_peer_async(
    default: DefaultStream,
    dst: u64,
    dst_context: Handle,
    src: u64,
    src_context: Handle,
    bytes: usize,
    stream: Handle,
) -> Answer {
    linear(default, (dst, dst_context), (src, src_context), bytes, stream)
}

/// Checks the context of a side of a 3D copy; it has the place of what is reserved in others. Null stands for the current one:
/// cuda-python's runtime passes it where the current context is not a primary one.
fn check_side(driver: &Driver, side: &Memcpy3dSide) -> Answer {
    match (side.kind, side.reserved) {
        (memory_type::DEVICE, 0) => check_owner(driver, side.device, current::alive()?.shown()),
        (memory_type::DEVICE, owner) => check_owner(driver, side.device, owner),
        _ => Ok(()),
    }
}

fn copy_3d(default: DefaultStream, p_copy: Caller<CUDA_MEMCPY3D>, stream: Handle, until: Return) -> Answer {
    let what = p_copy.get()?;
    let driver = state::driver()?;
    check_side(driver, &what.source)?;
    check_side(driver, &what.destination)?;
    copy3d::run(default, &what, stream, until)
}

/// `cuMemcpy3DPeer`
pub(crate) fn memcpy_3d_peer(_default: DefaultStream, p_copy: Caller<CUDA_MEMCPY3D>) -> Answer {
    copy_3d(DefaultStream::Legacy, p_copy, STREAM_LEGACY, Return::WhenDone)
}

/// `cuMemcpy3DPeerAsync`
pub(crate) fn memcpy_3d_peer_async(
    default: DefaultStream,
    p_copy: Caller<CUDA_MEMCPY3D>,
    stream: Handle,
) -> Answer {
    copy_3d(default, p_copy, stream, Return::AtOnce)
}
