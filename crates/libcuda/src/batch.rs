//! Copies with attributes, alone and many in one call.
//!
//! All copies of a batch are checked before the first is posted. Of the attributes one counts: a source that may only be looked at during
//! the call is copied then. Hints of places are for kinds of memory that this device has not.

use crate::abi::{DefaultStream, STREAM_LEGACY};
use crate::array;
use crate::code::{Answer, Code};
use crate::copy::{Extent, Place, Return, Side, copy, memory_type};
use crate::copy3d::Prepared;
use crate::current;
use crate::state::{self, Driver};
use crate::stream::{self, Stream};
use crate::types::{
    CUDA_MEMCPY3D, CUDA_MEMCPY3D_BATCH_OP, CUmemcpy3DOperand, CUmemcpyAttributes, Caller, Handle,
    Memcpy3dSide,
};
use std::sync::Arc;

/// `CU_MEMCPY_FLAG_PREFER_OVERLAP_WITH_COMPUTE`: copies always do.
const FLAGS_KNOWN: u32 = 1;

/// `CU_MEMCPY_OPERAND_TYPE_*`
mod operand {
    pub(super) const POINTER: i32 = 1;
    pub(super) const ARRAY: i32 = 2;
}

/// When the source may be looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    InOrder,
    DuringCall,
}

fn access(order: i32, flags: u32) -> Answer<Access> {
    if flags & !FLAGS_KNOWN != 0 {
        return Err(Code::INVALID_VALUE);
    }
    match order {
        // Stream order, or any: in order is one of them.
        1 | 3 => Ok(Access::InOrder),
        2 => Ok(Access::DuringCall),
        _ => Err(Code::INVALID_VALUE),
    }
}

/// A copy of a batch that was found good.
struct Linear {
    to: Side,
    from: Side,
    extent: Extent,
    access: Access,
}

impl Linear {
    fn new(driver: &Driver, dst: u64, src: u64, bytes: usize, access: Access) -> Answer<Self> {
        let extent = Extent {
            width: bytes,
            height: 1,
        };
        let to = Side::any(driver, dst, bytes, extent)?;
        let mut from = Side::any(driver, src, bytes, extent)?;
        if access == Access::DuringCall && from.place == Place::Pinned {
            from.place = Place::Pageable;
        }
        Ok(Self {
            to,
            from,
            extent,
            access,
        })
    }

    fn post(&self, driver: &Driver, stream: &Arc<Stream>) -> Answer {
        if self.extent.is_empty() {
            return Ok(());
        }
        copy(driver, stream, self.to, self.from, self.extent, Return::AtOnce)?;
        if self.access == Access::DuringCall && self.from.place == Place::Device {
            stream.synchronize()?;
        }
        Ok(())
    }
}

/// The stream of a batch, which must not be the legacy one.
fn batch_stream(default: DefaultStream, stream: Handle) -> Answer<Arc<Stream>> {
    current::with_current(|_| Ok(()))?;
    if default.resolve(stream) == STREAM_LEGACY {
        return Err(Code::INVALID_VALUE);
    }
    stream::stream(default, stream)
}

/// A batch's copies and which attributes each has.
#[derive(Clone, Copy)]
struct Batch {
    dsts: Caller<u64>,
    srcs: Caller<u64>,
    sizes: Caller<usize>,
    count: usize,
    attributes: Caller<CUmemcpyAttributes>,
    firsts: Caller<usize>,
    attribute_count: usize,
}

/// What failed: a copy, or the batch as a whole.
type Failed = (Code, usize);

/// No copy in particular: `SIZE_MAX`.
const NONE: usize = usize::MAX;

impl Batch {
    /// For each copy when its source may be looked at.
    fn accesses(&self) -> Answer<Vec<Access>> {
        if self.attribute_count == 0 || self.attribute_count > self.count {
            return Err(Code::INVALID_VALUE);
        }
        let mut list = Vec::new();
        for index in 0..self.attribute_count {
            let first = self.firsts.at(index)?;
            let last = match index + 1 {
                next if next < self.attribute_count => self.firsts.at(next)?,
                _ => self.count,
            };
            // Each begins where the one before ended, the first at 0, and none is empty.
            if first != list.len() || last <= first || last > self.count {
                return Err(Code::INVALID_VALUE);
            }
            let attributes = self.attributes.at(index)?;
            let access = access(attributes.order, attributes.flags)?;
            list.resize(last, access);
        }
        Ok(list)
    }

    fn prepare(&self, driver: &Driver) -> Result<Vec<Linear>, Failed> {
        let whole = |code| (code, NONE);
        self.dsts.required().map_err(whole)?;
        self.srcs.required().map_err(whole)?;
        self.sizes.required().map_err(whole)?;
        let accesses = self.accesses().map_err(whole)?;
        let copies = accesses.into_iter().enumerate().map(|(index, access)| {
            let copy = || {
                let (dst, src) = (self.dsts.at(index)?, self.srcs.at(index)?);
                Linear::new(driver, dst, src, self.sizes.at(index)?, access)
            };
            copy().map_err(|code| (code, index))
        });
        copies.collect()
    }

    fn run(&self, default: DefaultStream, stream: Handle) -> Result<(), Failed> {
        let whole = |code| (code, NONE);
        let driver = state::driver().map_err(whole)?;
        let stream = batch_stream(default, stream).map_err(whole)?;
        let copies = self.prepare(driver)?;
        for (index, copy) in copies.iter().enumerate() {
            copy.post(driver, &stream).map_err(|code| (code, index))?;
        }
        Ok(())
    }
}

/// `cuMemcpyBatchAsync_v2`
#[allow(clippy::too_many_arguments)]
pub(crate) fn memcpy_batch_async(
    default: DefaultStream,
    dsts: Caller<u64>,
    srcs: Caller<u64>,
    sizes: Caller<usize>,
    count: usize,
    attributes: Caller<CUmemcpyAttributes>,
    firsts: Caller<usize>,
    attribute_count: usize,
    stream: Handle,
) -> Answer {
    let fail = Caller::null();
    memcpy_batch_async_v1(
        default,
        dsts,
        srcs,
        sizes,
        count,
        attributes,
        firsts,
        attribute_count,
        fail,
        stream,
    )
}

/// `cuMemcpyBatchAsync`: says which copy failed.
#[allow(clippy::too_many_arguments)]
pub(crate) fn memcpy_batch_async_v1(
    default: DefaultStream,
    dsts: Caller<u64>,
    srcs: Caller<u64>,
    sizes: Caller<usize>,
    count: usize,
    attributes: Caller<CUmemcpyAttributes>,
    firsts: Caller<usize>,
    attribute_count: usize,
    fail: Caller<usize>,
    stream: Handle,
) -> Answer {
    let batch = Batch {
        dsts,
        srcs,
        sizes,
        count,
        attributes,
        firsts,
        attribute_count,
    };
    batch.run(default, stream).map_err(|(code, index)| {
        fail.put_if_wanted(index);
        code
    })
}

/// `cuMemcpyWithAttributesAsync`
pub(crate) fn memcpy_with_attributes_async(
    default: DefaultStream,
    dst: u64,
    src: u64,
    bytes: usize,
    attributes: Caller<CUmemcpyAttributes>,
    stream: Handle,
) -> Answer {
    let driver = state::driver()?;
    current::with_current(|_| Ok(()))?;
    let attributes = attributes.get()?;
    let access = access(attributes.order, attributes.flags)?;
    let stream = stream::stream(default, stream)?;
    if bytes == 0 {
        return Ok(());
    }
    Linear::new(driver, dst, src, bytes, access)?.post(driver, &stream)
}

/// Bytes of an element of an operand; `None`: whatever the other side has.
fn element(driver: &Driver, operand: &CUmemcpy3DOperand) -> Answer<Option<usize>> {
    match operand.kind {
        operand::POINTER => Ok(None),
        operand::ARRAY => array::array(driver, operand.words[0]).map(|array| Some(array.texel_bytes())),
        _ => Err(Code::INVALID_VALUE),
    }
}

/// An operand as a side of a 3D copy, whose rows are bytes.
fn side(operand: &CUmemcpy3DOperand, element: usize, extent: [usize; 3]) -> Answer<Memcpy3dSide> {
    let number = |index: usize| usize::try_from(operand.words[index]).map_err(|_| Code::INVALID_VALUE);
    let mut side = Memcpy3dSide {
        x: 0,
        y: 0,
        z: 0,
        level: 0,
        kind: memory_type::UNIFIED,
        host: Caller::null(),
        device: operand.words[0],
        array: 0,
        reserved: 0,
        pitch: 0,
        height: 0,
    };
    let bytes = |elements: usize| elements.checked_mul(element).ok_or(Code::INVALID_VALUE);
    if operand.kind == operand::ARRAY {
        (side.kind, side.device, side.array) = (memory_type::ARRAY, 0, operand.words[0]);
        (side.x, side.y, side.z) = (bytes(number(1)?)?, number(2)?, number(3)?);
        return Ok(side);
    }
    let (row, layer) = (number(1)?, number(2)?);
    if row != 0 && row < extent[0] || layer != 0 && layer < extent[1] {
        return Err(Code::INVALID_VALUE);
    }
    (side.pitch, side.height) = (bytes(row)?, layer);
    Ok(side)
}

struct Solid {
    copy: Prepared,
    access: Access,
}

impl Solid {
    fn new(driver: &Driver, what: &CUDA_MEMCPY3D_BATCH_OP) -> Answer<Self> {
        let access = access(what.order, what.flags)?;
        if what.extent.contains(&0) {
            return Err(Code::INVALID_VALUE);
        }
        let bytes = match (
            element(driver, &what.source)?,
            element(driver, &what.destination)?,
        ) {
            (Some(one), Some(other)) if one != other => return Err(Code::INVALID_VALUE),
            (Some(bytes), _) | (None, Some(bytes)) => bytes,
            (None, None) => 1,
        };
        let [width, height, depth] = what.extent;
        let flat = CUDA_MEMCPY3D {
            source: side(&what.source, bytes, what.extent)?,
            destination: side(&what.destination, bytes, what.extent)?,
            width: width.checked_mul(bytes).ok_or(Code::INVALID_VALUE)?,
            height,
            depth,
        };
        let mut copy = Prepared::new(driver, &flat)?;
        if access == Access::DuringCall {
            copy.at_once();
        }
        Ok(Self { copy, access })
    }

    fn post(&self, driver: &Driver, stream: &Arc<Stream>) -> Answer {
        self.copy.post(driver, stream)?;
        if self.access == Access::DuringCall {
            stream.synchronize()?;
        }
        Ok(())
    }
}

fn solids(
    default: DefaultStream,
    count: usize,
    operations: Caller<CUDA_MEMCPY3D_BATCH_OP>,
    flags: u64,
    stream: Handle,
) -> Result<(), Failed> {
    let whole = |code| (code, NONE);
    let driver = state::driver().map_err(whole)?;
    let stream = batch_stream(default, stream).map_err(whole)?;
    if count == 0 || flags != 0 {
        return Err(whole(Code::INVALID_VALUE));
    }
    operations.required().map_err(whole)?;
    let prepare = |index| {
        let what = operations.at(index).map_err(whole)?;
        Solid::new(driver, &what).map_err(|code| (code, index))
    };
    let copies = (0..count).map(prepare).collect::<Result<Vec<_>, _>>()?;
    for (index, copy) in copies.iter().enumerate() {
        copy.post(driver, &stream).map_err(|code| (code, index))?;
    }
    Ok(())
}

/// `cuMemcpy3DBatchAsync_v2`
pub(crate) fn memcpy_3d_batch_async(
    default: DefaultStream,
    count: usize,
    operations: Caller<CUDA_MEMCPY3D_BATCH_OP>,
    flags: u64,
    stream: Handle,
) -> Answer {
    solids(default, count, operations, flags, stream).map_err(|(code, _)| code)
}

/// `cuMemcpy3DBatchAsync`: says which copy failed.
pub(crate) fn memcpy_3d_batch_async_v1(
    default: DefaultStream,
    count: usize,
    operations: Caller<CUDA_MEMCPY3D_BATCH_OP>,
    fail: Caller<usize>,
    flags: u64,
    stream: Handle,
) -> Answer {
    solids(default, count, operations, flags, stream).map_err(|(code, index)| {
        fail.put_if_wanted(index);
        code
    })
}

/// `cuMemcpy3DWithAttributesAsync`
pub(crate) fn memcpy_3d_with_attributes_async(
    default: DefaultStream,
    operation: Caller<CUDA_MEMCPY3D_BATCH_OP>,
    flags: u64,
    stream: Handle,
) -> Answer {
    let driver = state::driver()?;
    current::with_current(|_| Ok(()))?;
    let what = operation.get()?;
    if flags != 0 {
        return Err(Code::INVALID_VALUE);
    }
    let stream = stream::stream(default, stream)?;
    Solid::new(driver, &what)?.post(driver, &stream)
}
