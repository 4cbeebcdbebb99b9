//! Memory pools and stream-ordered allocation.
//!
//! An allocation is made at once, which is earlier than its stream asks for; a free takes effect when the stream gets there. When
//! memory is short because frees are still on their way, the stream is waited for and the allocation tried once more, as a real
//! pool would reuse it.

use crate::abi::DefaultStream;
use crate::code::{Answer, Code};
use crate::context::Context;
use crate::device::device;
use crate::graph::memory::GraphMemory;
use crate::graph::node::Work;
use crate::graph::{self, capture};
use crate::managed;
use crate::memory;
use crate::pool_sharing;
use crate::ranges::{Range, RangeKind};
use crate::sharing::{self, Token};
use crate::state::{self, Driver};
use crate::stream;
use crate::types::{
    CUDA_MEM_ALLOC_NODE_PARAMS, CUmemAccessDesc, CUmemLocation, CUmemPoolProps, Caller, Handle, c_void,
};
use crate::virtual_memory::FILE_DESCRIPTOR;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use tessera_wire::messages::MemFreeAsync;

/// `CUmemPool_attribute`
mod attribute {
    pub(super) const REUSE_FIRST: i32 = 1;
    pub(super) const REUSE_LAST: i32 = 3;
    pub(super) const RELEASE_THRESHOLD: i32 = 4;
    pub(super) const RESERVED_CURRENT: i32 = 5;
    pub(super) const RESERVED_HIGH: i32 = 6;
    pub(super) const USED_CURRENT: i32 = 7;
    pub(super) const USED_HIGH: i32 = 8;
    pub(super) const ALLOCATION_TYPE: i32 = 9;
    pub(super) const EXPORT_HANDLE_TYPES: i32 = 10;
    pub(super) const LOCATION_ID: i32 = 11;
    pub(super) const LOCATION_TYPE: i32 = 12;
    pub(super) const MAX_POOL_SIZE: i32 = 13;
    pub(super) const HW_DECOMPRESS_ENABLED: i32 = 14;
}

/// `CU_MEM_ALLOCATION_TYPE_PINNED`, `CU_MEM_LOCATION_TYPE_DEVICE`
const PINNED: i32 = 1;
const ON_DEVICE: i32 = 1;
/// `CU_MEM_ALLOCATION_TYPE_MANAGED`
const MANAGED: i32 = 2;
/// Other `CU_MEM_LOCATION_TYPE_*`
const HOST: i32 = 2;
const HOST_NUMA: i32 = 3;
const LOCALITY_DOMAIN: i32 = 6;
/// `CU_MEM_ACCESS_FLAGS_PROT_READWRITE`
const READ_WRITE: i32 = 3;

/// A pool.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) handle: Handle,
    is_default: bool,
    max_bytes: u64,
    /// Where memory of a managed pool is preferred to be; of a pool of device memory, nothing.
    managed: Option<CUmemLocation>,
    /// `CUmemAllocationHandleType`
    pub(crate) handle_types: i32,
    /// Of another process: nothing can be allocated from it.
    pub(crate) imported: bool,
    token: OnceLock<Token>,
    reuse: [AtomicI32; 3],
    threshold: AtomicU64,
    used: AtomicU64,
    used_high: AtomicU64,
}

impl Pool {
    fn new(handle: Handle, is_default: bool, max_bytes: u64, handle_types: i32) -> Self {
        Self {
            handle,
            is_default,
            max_bytes,
            managed: None,
            handle_types,
            imported: false,
            token: OnceLock::new(),
            reuse: [const { AtomicI32::new(1) }; 3],
            threshold: AtomicU64::new(0),
            used: AtomicU64::new(0),
            used_high: AtomicU64::new(0),
        }
    }

    /// A pool of managed memory, which no other process can have.
    pub(crate) fn managed(handle: Handle, is_default: bool, location: CUmemLocation) -> Self {
        Self {
            managed: Some(location),
            ..Self::new(handle, is_default, 0, 0)
        }
    }

    /// Where its managed memory is preferred to be.
    pub(crate) fn managed_location(&self) -> Option<CUmemLocation> {
        self.managed
    }

    /// A pool of another process.
    pub(crate) fn imported(handle: Handle, token: Token) -> Self {
        Self {
            imported: true,
            token: OnceLock::from(token),
            ..Self::new(handle, false, 0, FILE_DESCRIPTOR)
        }
    }

    /// What its allocations are known by in other processes.
    pub(crate) fn token(&self) -> Answer<Token> {
        if let Some(token) = self.token.get() {
            return Ok(*token);
        }
        let token = pool_sharing::random()?;
        Ok(*self.token.get_or_init(|| token))
    }

    fn charge(&self, bytes: u64) {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.used_high.fetch_max(used, Ordering::Relaxed);
    }
}

/// The device's default pool.
fn default_pool(driver: &'static Driver) -> Answer<Arc<Pool>> {
    if let Some(pool) = driver.default_pool.get() {
        return Ok(Arc::clone(pool));
    }
    let pool = driver.pools.insert(|handle| Ok(Pool::new(handle, true, 0, 0)))?;
    // Of two threads that get here at once, one pool stays.
    Ok(Arc::clone(driver.default_pool.get_or_init(|| pool)))
}

/// The pool that allocations without one come from.
fn current_pool(driver: &'static Driver) -> Answer<Arc<Pool>> {
    let set = driver
        .current_pool
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    set.map_or_else(|| default_pool(driver), Ok)
}

pub(crate) fn pool(handle: Handle) -> Answer<Arc<Pool>> {
    state::driver()?
        .pools
        .get(handle)
        .map_err(|_| Code::INVALID_VALUE)
}

/// `cuDeviceGetDefaultMemPool`
pub(crate) fn device_get_default_mem_pool(pool_out: Caller<Handle>, dev: i32) -> Answer {
    pool_out.required()?;
    pool_out.put(default_pool(device(dev)?)?.handle)
}

/// `cuDeviceGetMemPool`
pub(crate) fn device_get_mem_pool(out: Caller<Handle>, dev: i32) -> Answer {
    out.required()?;
    out.put(current_pool(device(dev)?)?.handle)
}

/// `cuDeviceSetMemPool`
pub(crate) fn device_set_mem_pool(dev: i32, handle: Handle) -> Answer {
    let driver = device(dev)?;
    let pool = pool(handle)?;
    if pool.imported || pool.managed.is_some() {
        return Err(Code::INVALID_VALUE);
    }
    *driver.current_pool.lock().unwrap_or_else(PoisonError::into_inner) = Some(pool);
    Ok(())
}

/// Whether pools of a location are the device's; those of the host are not served.
fn check_location(location: Caller<CUmemLocation>, kind: i32) -> Answer<&'static Driver> {
    let location = location.get()?;
    match (kind, location.kind) {
        (PINNED, ON_DEVICE) => device(location.id),
        (PINNED, HOST..=HOST_NUMA | LOCALITY_DOMAIN) => Err(Code::NOT_SUPPORTED),
        _ => Err(Code::INVALID_VALUE),
    }
}

/// `cuMemGetDefaultMemPool`
pub(crate) fn mem_get_default_mem_pool(
    out: Caller<Handle>,
    location: Caller<CUmemLocation>,
    kind: i32,
) -> Answer {
    out.required()?;
    if kind == MANAGED {
        return out.put(managed::pool::default(location.get()?)?.handle);
    }
    out.put(default_pool(check_location(location, kind)?)?.handle)
}

/// `cuMemGetMemPool`
pub(crate) fn mem_get_mem_pool(out: Caller<Handle>, location: Caller<CUmemLocation>, kind: i32) -> Answer {
    out.required()?;
    if kind == MANAGED {
        return out.put(managed::pool::current(location.get()?)?.handle);
    }
    out.put(current_pool(check_location(location, kind)?)?.handle)
}

/// `cuMemSetMemPool`
pub(crate) fn mem_set_mem_pool(location: Caller<CUmemLocation>, kind: i32, handle: Handle) -> Answer {
    if kind == MANAGED {
        return managed::pool::set_current(location.get()?, pool(handle)?);
    }
    check_location(location, kind)?;
    device_set_mem_pool(0, handle)
}

/// What an allocation that is captured shows as the parameters of its node.
fn node_params(bytes: usize) -> CUDA_MEM_ALLOC_NODE_PARAMS {
    CUDA_MEM_ALLOC_NODE_PARAMS {
        pool: CUmemPoolProps {
            alloc_type: PINNED,
            handle_types: 0,
            location: CUmemLocation {
                kind: ON_DEVICE,
                id: 0,
            },
            security: Caller::null(),
            max_bytes: 0,
            usage: 0,
            rest: [0; 54],
        },
        access: Caller::null(),
        access_count: 0,
        bytes,
        address: 0,
    }
}

fn allocate(out: Caller<u64>, bytes: usize, pool: &Pool, default: DefaultStream, stream: Handle) -> Answer {
    out.required()?;
    let driver = state::driver()?;
    let stream = stream::stream(default, stream)?;
    let context: Arc<Context> = driver.contexts.get(stream.core.handle)?;
    let captured = capture::enter(&stream)?;
    // Of a pool, nothing can be had.
    if bytes == 0 {
        return out.put(0);
    }
    if pool.managed.is_some() {
        if captured {
            return Err(Code::NOT_SUPPORTED);
        }
        let address = managed::pool::allocate(driver, &context, bytes, pool)?;
        pool.charge(bytes as u64);
        return out.put(address);
    }
    if captured {
        let params = node_params(bytes);
        let memory = GraphMemory::allocate(driver, &context, bytes, Some(params))?;
        let address = memory.address;
        capture::add(driver, &stream, Work::Alloc(memory))?;
        return out.put(address);
    }
    if pool.max_bytes != 0 && pool.used.load(Ordering::Relaxed).saturating_add(bytes as u64) > pool.max_bytes
    {
        return Err(Code::OUT_OF_MEMORY);
    }
    let address = match memory::allocate(driver, &context, bytes, pool.handle) {
        Err(Code::OUT_OF_MEMORY) => {
            stream.synchronize()?;
            memory::allocate(driver, &context, bytes, pool.handle)?
        }
        other => other?,
    };
    pool.charge(bytes as u64);
    out.put(address)
}

/// `cuMemAllocAsync`
pub(crate) fn mem_alloc_async(
    default: DefaultStream,
    dptr: Caller<u64>,
    bytesize: usize,
    stream: Handle,
) -> Answer {
    let pool = current_pool(state::driver()?)?;
    allocate(dptr, bytesize, &pool, default, stream)
}

/// `cuMemAllocFromPoolAsync`
pub(crate) fn mem_alloc_from_pool_async(
    default: DefaultStream,
    dptr: Caller<u64>,
    bytesize: usize,
    handle: Handle,
    stream: Handle,
) -> Answer {
    let pool = pool(handle)?;
    if pool.imported {
        return Err(Code::INVALID_VALUE);
    }
    allocate(dptr, bytesize, &pool, default, stream)
}

/// Takes what an allocation held off its pool's account.
pub(crate) fn freed(driver: &Driver, range: &Range) {
    if let RangeKind::Device { pool } | RangeKind::Managed { pool } = range.kind
        && let Ok(pool) = driver.pools.get(pool)
    {
        pool.used.fetch_sub(range.bytes, Ordering::Relaxed);
    }
}

/// `cuMemFreeAsync`
pub(crate) fn mem_free_async(default: DefaultStream, dptr: u64, stream: Handle) -> Answer {
    let driver = state::driver()?;
    let stream = stream::stream(default, stream)?;
    if dptr == 0 {
        return Err(Code::INVALID_VALUE);
    }
    if capture::enter(&stream)? {
        return capture::add(driver, &stream, graph::memory::free_work(dptr)?);
    }
    if graph::memory::free(driver, dptr)? {
        return Ok(());
    }
    if memory::is_imported(driver, dptr) {
        stream.synchronize()?;
        return sharing::close(driver, dptr);
    }
    if managed::pool::is_of_pool(driver, dptr) {
        stream.synchronize()?;
        return managed::pool::free(driver, dptr);
    }
    let range = driver
        .ranges
        .take(dptr, |range| matches!(range.kind, RangeKind::Device { .. }))
        .ok_or(Code::INVALID_VALUE)?;
    stream.submit(driver, &[], |seq| MemFreeAsync {
        stream: stream.handle(),
        seq,
        address: dptr,
    })?;
    freed(driver, &range);
    Ok(())
}

/// `cuMemPoolCreate`
pub(crate) fn mem_pool_create(out: Caller<Handle>, pool_props: Caller<CUmemPoolProps>) -> Answer {
    out.required()?;
    let props = pool_props.get()?;
    if props.alloc_type == MANAGED {
        return out.put(managed::pool::create(&props)?.handle);
    }
    if props.alloc_type != PINNED || props.location.kind != ON_DEVICE {
        return Err(Code::INVALID_VALUE);
    }
    if props.location.id != 0 {
        return Err(Code::INVALID_VALUE);
    }
    pool_sharing::check_types(props.handle_types)?;
    let pool = state::driver()?.pools.insert(|handle| {
        Ok(Pool::new(
            handle,
            false,
            props.max_bytes as u64,
            props.handle_types,
        ))
    })?;
    out.put(pool.handle)
}

/// `cuMemPoolDestroy`: its allocations live on until they are freed.
pub(crate) fn mem_pool_destroy(handle: Handle) -> Answer {
    let driver = state::driver()?;
    if pool(handle)?.is_default {
        return Err(Code::INVALID_VALUE);
    }
    driver.pools.remove(handle).map_err(|_| Code::INVALID_VALUE)?;
    driver.managed_pools.forget(handle);
    let mut current = driver.current_pool.lock().unwrap_or_else(PoisonError::into_inner);
    if current.as_ref().is_some_and(|pool| pool.handle == handle) {
        *current = None;
    }
    Ok(())
}

/// `cuMemPoolTrimTo`: freed memory goes back to the vGPU at once, so nothing is kept that could be trimmed.
pub(crate) fn mem_pool_trim_to(handle: Handle, _min_bytes_to_keep: usize) -> Answer {
    pool(handle).map(drop)
}

/// `cuMemPoolSetAttribute`
pub(crate) fn mem_pool_set_attribute(handle: Handle, attr: i32, value: Caller<c_void>) -> Answer {
    let pool = pool(handle)?;
    match attr {
        attribute::REUSE_FIRST..=attribute::REUSE_LAST => {
            let wanted = value.cast::<i32>().get()?;
            if let Some(flag) = reuse(&pool, attr) {
                flag.store(i32::from(wanted != 0), Ordering::Relaxed);
            }
            Ok(())
        }
        attribute::RELEASE_THRESHOLD => {
            pool.threshold
                .store(value.cast::<u64>().get()?, Ordering::Relaxed);
            Ok(())
        }
        // High-water marks can only be set back to 0.
        attribute::RESERVED_HIGH | attribute::USED_HIGH => {
            if value.cast::<u64>().get()? != 0 {
                return Err(Code::INVALID_VALUE);
            }
            pool.used_high
                .store(pool.used.load(Ordering::Relaxed), Ordering::Relaxed);
            Ok(())
        }
        _ => Err(Code::INVALID_VALUE),
    }
}

fn reuse(pool: &Pool, attr: i32) -> Option<&AtomicI32> {
    pool.reuse
        .get(usize::try_from(attr.checked_sub(attribute::REUSE_FIRST)?).ok()?)
}

/// `cuMemPoolGetAttribute`
pub(crate) fn mem_pool_get_attribute(handle: Handle, attr: i32, value: Caller<c_void>) -> Answer {
    let pool = pool(handle)?;
    value.required()?;
    let number = value.cast::<i32>();
    let wide = value.cast::<u64>();
    match attr {
        attribute::REUSE_FIRST..=attribute::REUSE_LAST => {
            number.put(reuse(&pool, attr).map_or(0, |flag| flag.load(Ordering::Relaxed)))
        }
        attribute::RELEASE_THRESHOLD => wide.put(pool.threshold.load(Ordering::Relaxed)),
        attribute::RESERVED_CURRENT | attribute::USED_CURRENT => wide.put(pool.used.load(Ordering::Relaxed)),
        attribute::RESERVED_HIGH | attribute::USED_HIGH => wide.put(pool.used_high.load(Ordering::Relaxed)),
        attribute::ALLOCATION_TYPE => number.put(if pool.managed.is_some() { MANAGED } else { PINNED }),
        attribute::EXPORT_HANDLE_TYPES => number.put(pool.handle_types),
        attribute::LOCATION_ID => number.put(pool.managed.map_or(0, |location| location.id)),
        attribute::HW_DECOMPRESS_ENABLED => number.put(0),
        attribute::LOCATION_TYPE => number.put(pool.managed.map_or(ON_DEVICE, |location| location.kind)),
        attribute::MAX_POOL_SIZE => wide.put(pool.max_bytes),
        _ => Err(Code::INVALID_VALUE),
    }
}

/// `cuMemPoolSetAccess`: the device that holds the memory always has access, and there is no other.
pub(crate) fn mem_pool_set_access(handle: Handle, map: Caller<CUmemAccessDesc>, count: usize) -> Answer {
    pool(handle)?;
    for index in 0..count {
        let access = map.at(index)?;
        if access.location.kind != ON_DEVICE {
            return Err(Code::INVALID_VALUE);
        }
        if access.location.id != 0 {
            return Err(Code::INVALID_DEVICE);
        }
        if access.flags != READ_WRITE {
            return Err(Code::INVALID_VALUE);
        }
    }
    Ok(())
}

/// `cuMemPoolGetAccess`
pub(crate) fn mem_pool_get_access(
    flags: Caller<i32>,
    handle: Handle,
    location: Caller<CUmemLocation>,
) -> Answer {
    let pool = pool(handle)?;
    let location = location.get()?;
    if pool.managed.is_some() && matches!(location.kind, HOST | HOST_NUMA) {
        return flags.put(READ_WRITE);
    }
    if location.kind != ON_DEVICE || location.id != 0 {
        return Err(Code::INVALID_VALUE);
    }
    flags.put(READ_WRITE)
}
