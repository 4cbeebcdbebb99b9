//! Device memory and memory of the host arena.

use crate::code::{Answer, Code};
use crate::context::Context;
use crate::current;
use crate::ranges::{Bar1Place, Range, RangeKind};
use crate::state::{self, Driver};
use crate::types::{Caller, Handle, c_void};
use std::sync::PoisonError;
use tessera_wire::messages::{Bar1Alloc, HostAlloc, HostFree, MemFree, MemInfo};

/// Rows of `cuMemAllocPitch` start at multiples of this; what boards report as texture pitch alignment is not above it.
const PITCH_ALIGN: usize = 512;
/// `CU_MEMHOSTALLOC_PORTABLE | DEVICEMAP | WRITECOMBINED`
const HOST_FLAGS_KNOWN: u32 = 7;
const HOST_PORTABLE: u32 = 1;
/// `CU_MEMHOSTALLOC_DEVICEMAP`: with unified addressing every pinned page is mapped.
const HOST_DEVICEMAP: u32 = 2;

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// `cuMemGetInfo`
pub(crate) fn mem_get_info(free: Caller<usize>, total: Caller<usize>) -> Answer {
    free.required()?;
    total.required()?;
    current::faultless()?;
    let (reply, _) = state::driver()?.session.call(&MemInfo::default(), &[])?;
    free.put(to_usize(reply.free))?;
    total.put(to_usize(reply.total))
}

/// Allocates device memory for a context.
pub(crate) fn allocate(driver: &Driver, context: &Context, bytes: usize, pool: Handle) -> Answer<u64> {
    allocate_as(driver, context, bytes, RangeKind::Device { pool })
}

/// Allocates device memory that is not for everybody to free.
pub(crate) fn allocate_as(driver: &Driver, context: &Context, bytes: usize, kind: RangeKind) -> Answer<u64> {
    if bytes == 0 {
        return Err(Code::INVALID_VALUE);
    }
    // More than there is can only be out of memory, whatever else the size breaks.
    if bytes as u64 > driver.info().memory_bytes {
        return Err(Code::OUT_OF_MEMORY);
    }
    let message = Bar1Alloc {
        context: context.handle(),
        bytes: bytes as u64,
        align: 0,
    };
    let (reply, _) = driver.session.call(&message, &[])?;
    driver.ranges.insert(Range {
        bar1: (reply.placed != 0).then_some(Bar1Place {
            offset: reply.offset,
            filled: false,
        }),
        ..context.range(driver, reply.address, bytes as u64, kind)
    });
    Ok(reply.address)
}

/// `cuMemAlloc`
pub(crate) fn mem_alloc(dptr: Caller<u64>, bytesize: usize) -> Answer {
    dptr.required()?;
    let context = current::faultless()?;
    dptr.put(allocate(state::driver()?, &context, bytesize, 0)?)
}

/// `cuMemAllocPitch`
pub(crate) fn mem_alloc_pitch(
    dptr: Caller<u64>,
    p_pitch: Caller<usize>,
    width_in_bytes: usize,
    height: usize,
    element_size_bytes: u32,
) -> Answer {
    dptr.required()?;
    p_pitch.required()?;
    if !matches!(element_size_bytes, 4 | 8 | 16) {
        return Err(Code::INVALID_VALUE);
    }
    let context = current::faultless()?;
    let pitch = width_in_bytes
        .checked_next_multiple_of(PITCH_ALIGN)
        .ok_or(Code::INVALID_VALUE)?;
    let bytes = pitch.checked_mul(height).ok_or(Code::OUT_OF_MEMORY)?;
    let address = allocate(state::driver()?, &context, bytes, 0)?;
    p_pitch.put(pitch)?;
    dptr.put(address)
}

/// Whether memory of another process's pool begins there.
pub(crate) fn is_imported(driver: &Driver, address: u64) -> bool {
    let range = driver.ranges.find(address);
    range.is_some_and(|range| range.base == address && matches!(range.kind, RangeKind::Imported { .. }))
}

/// `cuMemFree`: null is fine. The worker frees once the work that was queued before is done.
pub(crate) fn mem_free(dptr: u64) -> Answer {
    if dptr == 0 {
        return Ok(());
    }
    let driver = state::driver()?;
    current::faultless()?;
    if crate::graph::memory::free(driver, dptr)? {
        return Ok(());
    }
    if is_imported(driver, dptr) {
        return crate::sharing::close(driver, dptr);
    }
    let range = driver
        .ranges
        .take(dptr, |range| {
            matches!(range.kind, RangeKind::Device { .. } | RangeKind::Managed { .. })
        })
        .ok_or(Code::INVALID_VALUE)?;
    if range.is_managed() {
        driver.managed.forget(&range);
        crate::pool::freed(driver, &range);
        return settle_and_free_host(driver, &range);
    }
    let message = MemFree {
        context: range.context,
        address: dptr,
    };
    driver.session.post(&message, &[])?;
    crate::pool::freed(driver, &range);
    Ok(())
}

/// `cuMemGetAddressRange`
pub(crate) fn mem_get_address_range(pbase: Caller<u64>, psize: Caller<usize>, dptr: u64) -> Answer {
    current::current()?;
    let range = state::driver()?.ranges.find(dptr).ok_or(Code::NOT_FOUND)?;
    pbase.put_if_wanted(range.base);
    psize.put_if_wanted(to_usize(range.bytes));
    Ok(())
}

/// `cuMemHostAlloc`
pub(crate) fn mem_host_alloc(pp: Caller<Caller<c_void>>, bytesize: usize, flags: u32) -> Answer {
    pp.required()?;
    if flags & !HOST_FLAGS_KNOWN != 0 || bytesize == 0 {
        return Err(Code::INVALID_VALUE);
    }
    let address = allocate_host(state::driver()?, &*current::faultless()?, bytesize, flags)?;
    pp.put(Caller::from_raw(std::ptr::with_exposed_provenance_mut(to_usize(
        address,
    ))))
}

/// Allocates pinned host memory for a context; `flags` are `CU_MEMHOSTALLOC_*`.
pub(crate) fn allocate_host(driver: &Driver, context: &Context, bytes: usize, flags: u32) -> Answer<u64> {
    let kind = RangeKind::Host {
        flags: flags | HOST_DEVICEMAP,
    };
    let flags = if flags & HOST_PORTABLE != 0 {
        tessera_wire::HOST_PORTABLE
    } else {
        0
    };
    allocate_in_host_arena(driver, context, bytes, flags, kind)
}

/// Takes memory of the host arena and maps it in this process.
pub(crate) fn allocate_in_host_arena(
    driver: &Driver,
    context: &Context,
    bytes: usize,
    flags: u32,
    kind: RangeKind,
) -> Answer<u64> {
    // What cannot be rounded up to pages is more than there is.
    if bytes > isize::MAX.unsigned_abs() {
        return Err(Code::OUT_OF_MEMORY);
    }
    let message = HostAlloc {
        context: context.handle(),
        bytes: bytes as u64,
        flags,
        ..HostAlloc::default()
    };
    let (reply, _) = driver.session.call(&message, &[])?;
    let mapping = match driver.session.map_host(reply.address, reply.offset, reply.bytes) {
        Ok(mapping) => mapping,
        Err(failure) => {
            driver.session.post(
                &HostFree {
                    address: reply.address,
                },
                &[],
            )?;
            return Err(failure.into());
        }
    };
    driver
        .pinned
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(reply.address, mapping);
    driver
        .ranges
        .insert(context.range(driver, reply.address, bytes as u64, kind));
    Ok(reply.address)
}

/// `cuMemAllocHost`
pub(crate) fn mem_alloc_host(pp: Caller<Caller<c_void>>, bytesize: usize) -> Answer {
    mem_host_alloc(pp, bytesize, 0)
}

/// Takes the mapping of pinned memory out of this process.
pub(crate) fn unmap_pinned(driver: &Driver, range: &Range) {
    driver
        .pinned
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(&range.base);
}

/// `cuMemFreeHost`
pub(crate) fn mem_free_host(p: Caller<c_void>) -> Answer {
    if p.is_null() {
        return Ok(());
    }
    let driver = state::driver()?;
    let range = driver
        .ranges
        .take(p.address(), |range| matches!(range.kind, RangeKind::Host { .. }))
        .ok_or(Code::INVALID_VALUE)?;
    settle_and_free_host(driver, &range)
}

/// Gives memory of the host arena back. Work in flight may still use it: as documented, freeing waits for that. A fault of that work is
/// told; the memory is free all the same.
fn settle_and_free_host(driver: &Driver, range: &Range) -> Answer {
    let mut told = Ok(());
    if let Ok(context) = driver.contexts.get(range.context) {
        for stream in context.streams() {
            let _ = stream.settle();
        }
        told = context.core.look();
    }
    free_host(driver, range)?;
    told
}

/// Gives memory of the host arena back that nothing uses any more and that is in no table.
pub(crate) fn free_host(driver: &Driver, range: &Range) -> Answer {
    unmap_pinned(driver, range);
    Ok(driver.session.post(&HostFree { address: range.base }, &[])?)
}

/// `cuMemHostGetDevicePointer`: guest and device use one address.
pub(crate) fn mem_host_get_device_pointer(pdptr: Caller<u64>, p: Caller<c_void>, flags: u32) -> Answer {
    pdptr.required()?;
    if flags != 0 {
        return Err(Code::INVALID_VALUE);
    }
    current::current()?;
    let range = state::driver()?.ranges.find(p.address());
    range.filter(Range::is_host).ok_or(Code::INVALID_VALUE)?;
    pdptr.put(p.address())
}

/// `cuMemHostGetFlags`
pub(crate) fn mem_host_get_flags(p_flags: Caller<u32>, p: Caller<c_void>) -> Answer {
    current::current()?;
    match state::driver()?.ranges.find(p.address()).map(|range| range.kind) {
        Some(RangeKind::Host { flags }) => p_flags.put(flags),
        _ => Err(Code::INVALID_VALUE),
    }
}
