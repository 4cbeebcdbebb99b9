//! Values in memory that streams wait for and write.
//!
//! Each operation is one message. A memory barrier or a flush of remote writes needs none: what a stream has done, and what others
//! have written, is visible to all that comes after it on this device.

use crate::abi::DefaultStream;
use crate::code::{Answer, Code};
use crate::copy::{Extent, Side};
use crate::device::attribute;
use crate::graph::capture;
use crate::graph::node::Work;
use crate::state::{self, Driver};
use crate::stream::{self, Stream};
use crate::types::{CUstreamBatchMemOpParams, Caller, Handle};
use std::sync::atomic::{AtomicBool, Ordering};
use tessera_wire::messages::StreamValue;
use tessera_wire::{VALUE_AND, VALUE_EQUAL, VALUE_GREATER_OR_EQUAL, VALUE_NOR, VALUE_WRITE};

/// `CU_STREAM_WAIT_VALUE_FLUSH`
const WAIT_FLUSH: u32 = 1 << 30;
/// `CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER`
const WRITE_NO_BARRIER: u32 = 1;
/// Operations of a batch are fewer than this.
const MOST: u32 = 256;

/// `CU_STREAM_MEM_OP_*`
mod kind {
    pub(super) const WAIT_32: u64 = 1;
    pub(super) const WRITE_32: u64 = 2;
    pub(super) const FLUSH_REMOTE_WRITES: u64 = 3;
    pub(super) const WAIT_64: u64 = 4;
    pub(super) const WRITE_64: u64 = 5;
    pub(super) const BARRIER: u64 = 6;
    pub(super) const ATOMIC_REDUCTION: u64 = 8;
}

/// Which functions are called: the first had a flag that the second have not, the second have operations that the first had not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    First,
    Second,
}

/// A wait was queued, in whichever stream.
static WAITED: AtomicBool = AtomicBool::new(false);

/// Whether there may be work that waits for a value.
pub(crate) fn has_waited() -> bool {
    WAITED.load(Ordering::Relaxed)
}

/// An operation that was found good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    address: u64,
    value: u64,
    kind: u32,
    bytes: u32,
}

impl Operation {
    /// The message for a stream, or for a node of a graph.
    pub(crate) fn message(self, stream: Handle, seq: u64) -> StreamValue {
        if self.kind != VALUE_WRITE {
            WAITED.store(true, Ordering::Relaxed);
        }
        StreamValue {
            stream,
            seq,
            address: self.address,
            value: self.value,
            kind: self.kind,
            bytes: self.bytes,
        }
    }

    /// As a batch has it.
    pub(crate) fn params(self) -> CUstreamBatchMemOpParams {
        let (tag, flags) = match (self.kind, self.bytes) {
            (VALUE_WRITE, 4) => (kind::WRITE_32, 0),
            (VALUE_WRITE, _) => (kind::WRITE_64, 0),
            (flags, 4) => (kind::WAIT_32, u64::from(flags)),
            (flags, _) => (kind::WAIT_64, u64::from(flags)),
        };
        CUstreamBatchMemOpParams {
            words: [tag, self.address, self.value, flags, 0, 0],
        }
    }

    fn new(driver: &Driver, address: u64, value: u64, kind: u32, bytes: u32) -> Answer<Self> {
        if !address.is_multiple_of(u64::from(bytes)) {
            return Err(Code::INVALID_VALUE);
        }
        let extent = Extent {
            width: bytes as usize,
            height: 1,
        };
        Side::device(driver, address, 0, extent)?;
        Ok(Self {
            address,
            value,
            kind,
            bytes,
        })
    }

    fn wait(driver: &Driver, address: u64, value: u64, bytes: u32, flags: u32) -> Answer<Self> {
        let kind = match flags & !WAIT_FLUSH {
            0 => VALUE_GREATER_OR_EQUAL,
            1 => VALUE_EQUAL,
            2 => VALUE_AND,
            3 => VALUE_NOR,
            _ => return Err(Code::INVALID_VALUE),
        };
        if flags & WAIT_FLUSH != 0 {
            check_flush(driver)?;
        }
        Self::new(driver, address, value, kind, bytes)
    }

    fn write(
        driver: &Driver,
        version: Version,
        address: u64,
        value: u64,
        bytes: u32,
        flags: u32,
    ) -> Answer<Self> {
        // What is before a write is visible before it in any case.
        match (flags, version) {
            (0, _) | (WRITE_NO_BARRIER, Version::First) => {}
            (WRITE_NO_BARRIER, Version::Second) => return Err(Code::NOT_SUPPORTED),
            _ => return Err(Code::INVALID_VALUE),
        }
        Self::new(driver, address, value, VALUE_WRITE, bytes)
    }
}

fn check_flush(driver: &Driver) -> Answer {
    if driver.limit(attribute::CAN_FLUSH_REMOTE_WRITES) == 0 {
        return Err(Code::NOT_SUPPORTED);
    }
    Ok(())
}

/// Reads a batch; `None` for what needs no operation.
fn operation(
    driver: &Driver,
    version: Version,
    params: &CUstreamBatchMemOpParams,
) -> Answer<Option<Operation>> {
    let [tag, address, value, flags, ..] = params.words;
    let low = |word: u64| u32::try_from(word & 0xffff_ffff).unwrap_or(0);
    let narrow = u64::from(low(value));
    let flags = low(flags);
    let wait = |value, bytes| Operation::wait(driver, address, value, bytes, flags).map(Some);
    let write = |value, bytes| Operation::write(driver, version, address, value, bytes, flags).map(Some);
    match u64::from(low(tag)) {
        kind::WAIT_32 => wait(narrow, 4),
        kind::WAIT_64 => wait(value, 8),
        kind::WRITE_32 => write(narrow, 4),
        kind::WRITE_64 => write(value, 8),
        // These two have their flags right behind the tag.
        kind::FLUSH_REMOTE_WRITES if tag >> 32 == 0 => check_flush(driver).map(|()| None),
        kind::BARRIER if version == Version::Second && tag >> 32 <= 1 => Ok(None),
        kind::ATOMIC_REDUCTION if version == Version::Second => Err(Code::NOT_SUPPORTED),
        _ => Err(Code::INVALID_VALUE),
    }
}

/// Reads the operations of a batch.
pub(crate) fn operations(
    driver: &Driver,
    version: Version,
    count: u32,
    params: Caller<CUstreamBatchMemOpParams>,
    flags: u32,
) -> Answer<Vec<Operation>> {
    if count >= MOST || flags != 0 {
        return Err(Code::INVALID_VALUE);
    }
    let mut list = Vec::with_capacity(count as usize);
    for index in 0..count as usize {
        list.extend(operation(driver, version, &params.at(index)?)?);
    }
    Ok(list)
}

fn post(driver: &Driver, stream: &Stream, operation: Operation) -> Answer {
    if capture::enter(stream)? {
        return capture::add(driver, stream, Work::values_of(vec![operation]));
    }
    let message = |seq| operation.message(stream.handle(), seq);
    stream.submit(driver, &[], message).map(drop)
}

fn wait(default: DefaultStream, handle: Handle, address: u64, value: u64, bytes: u32, flags: u32) -> Answer {
    let driver = state::driver()?;
    stream::with_stream(default, handle, |stream| {
        post(
            driver,
            stream,
            Operation::wait(driver, address, value, bytes, flags)?,
        )
    })
}

/// `cuStreamWaitValue32`, both versions
pub(crate) fn stream_wait_value32(
    default: DefaultStream,
    stream: Handle,
    addr: u64,
    value: u32,
    flags: u32,
) -> Answer {
    wait(default, stream, addr, value.into(), 4, flags)
}

/// `cuStreamWaitValue64`, both versions
pub(crate) fn stream_wait_value64(
    default: DefaultStream,
    stream: Handle,
    addr: u64,
    value: u64,
    flags: u32,
) -> Answer {
    wait(default, stream, addr, value, 8, flags)
}

fn write(
    default: DefaultStream,
    handle: Handle,
    version: Version,
    address: u64,
    (value, bytes): (u64, u32),
    flags: u32,
) -> Answer {
    let driver = state::driver()?;
    stream::with_stream(default, handle, |stream| {
        let operation = Operation::write(driver, version, address, value, bytes, flags)?;
        post(driver, stream, operation)
    })
}

/// `cuStreamWriteValue32`
pub(crate) fn stream_write_value32_v1(
    default: DefaultStream,
    stream: Handle,
    addr: u64,
    value: u32,
    flags: u32,
) -> Answer {
    write(default, stream, Version::First, addr, (value.into(), 4), flags)
}

/// `cuStreamWriteValue32_v2`
pub(crate) fn stream_write_value32(
    default: DefaultStream,
    stream: Handle,
    addr: u64,
    value: u32,
    flags: u32,
) -> Answer {
    write(default, stream, Version::Second, addr, (value.into(), 4), flags)
}

/// `cuStreamWriteValue64`
pub(crate) fn stream_write_value64_v1(
    default: DefaultStream,
    stream: Handle,
    addr: u64,
    value: u64,
    flags: u32,
) -> Answer {
    write(default, stream, Version::First, addr, (value, 8), flags)
}

/// `cuStreamWriteValue64_v2`
pub(crate) fn stream_write_value64(
    default: DefaultStream,
    stream: Handle,
    addr: u64,
    value: u64,
    flags: u32,
) -> Answer {
    write(default, stream, Version::Second, addr, (value, 8), flags)
}

fn batch(
    default: DefaultStream,
    handle: Handle,
    version: Version,
    count: u32,
    params: Caller<CUstreamBatchMemOpParams>,
    flags: u32,
) -> Answer {
    let driver = state::driver()?;
    stream::with_stream(default, handle, |stream| {
        let list = operations(driver, version, count, params, flags)?;
        if capture::enter(stream)? {
            return capture::add(driver, stream, Work::values_of(list));
        }
        list.into_iter()
            .try_for_each(|operation| post(driver, stream, operation))
    })
}

/// `cuStreamBatchMemOp`
pub(crate) fn stream_batch_mem_op_v1(
    default: DefaultStream,
    stream: Handle,
    count: u32,
    params: Caller<CUstreamBatchMemOpParams>,
    flags: u32,
) -> Answer {
    batch(default, stream, Version::First, count, params, flags)
}

/// `cuStreamBatchMemOp_v2`
pub(crate) fn stream_batch_mem_op(
    default: DefaultStream,
    stream: Handle,
    count: u32,
    params: Caller<CUstreamBatchMemOpParams>,
    flags: u32,
) -> Answer {
    batch(default, stream, Version::Second, count, params, flags)
}
