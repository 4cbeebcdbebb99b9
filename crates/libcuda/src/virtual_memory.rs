//! Virtual memory management: memory, addresses and access, each by itself.
//!
//! ```text
//!   cuMemCreate ─▶ memory ────────┐
//!                                 ├─ cuMemMap ─▶ mapping ── cuMemSetAccess ─▶ usable by kernels and copies
//!   cuMemAddressReserve ─▶ range ─┘
//! ```
//!
//! Neither belongs to a context: a mapping holds in all contexts of the process. The worker has the same books; those here say
//! which error a call answers, and what a pointer is.
//!
//! Invariants
//! * The worker has a handle of a memory as long as the program has one or a mapping is there, because
//!   `cuMemRetainAllocationHandle` can ask for it again.
//! * Each mapping is a range of [`crate::ranges::Ranges`].

use crate::code::{Answer, Code};
use crate::current;
use crate::objects::KIND_BITS;
use crate::ranges::{Range, RangeKind};
use crate::state::{self, Driver};
use crate::types::{CUmemAccessDesc, CUmemAllocationProp, CUmemLocation, Caller, Handle, c_void};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tessera_wire::messages::{
    AddressFree, AddressReserve, MemCreate, MemMap, MemRelease, MemSetAccess, MemUnmap,
};

/// Granularity of every board since Volta, least and recommended.
pub(crate) const GRANULARITY: u64 = 2 << 20;
/// Addresses are reserved in pages of the host.
const PAGE: u64 = 4096;
/// `CU_MEM_ALLOCATION_TYPE_PINNED`
pub(crate) const PINNED: i32 = 1;
/// `CU_MEM_LOCATION_TYPE_DEVICE`, `_HOST`, `_HOST_NUMA_CURRENT`
pub(crate) const ON_DEVICE: i32 = 1;
const HOST: i32 = 2;
const HOST_NUMA_CURRENT: i32 = 4;
/// `CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR`
pub(crate) const FILE_DESCRIPTOR: i32 = 1;
/// Other `CU_MEM_HANDLE_TYPE_*`
pub(crate) const OTHER_HANDLE_TYPES: i32 = 0xe;
/// `CU_MEM_ACCESS_FLAGS_PROT_*`
const ACCESS_NONE: i32 = 0;
const ACCESS_READ: i32 = 1;
pub(crate) const ACCESS_READ_WRITE: i32 = 3;

/// Memory without an address.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) bytes: u64,
    pub(crate) properties: CUmemAllocationProp,
    /// Handles that the program has.
    references: u64,
    mappings: u64,
}

struct Mapping {
    bytes: u64,
    memory: Handle,
    access: i32,
}

#[derive(Default)]
struct Books {
    memories: HashMap<Handle, Memory>,
    /// Address to length.
    reserved: BTreeMap<u64, u64>,
    mappings: BTreeMap<u64, Mapping>,
}

/// Of the process.
#[derive(Default)]
pub(crate) struct VirtualMemory(Mutex<Books>);

impl VirtualMemory {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The memory of a handle that the program has.
    pub(crate) fn memory(&self, handle: Handle) -> Answer<Memory> {
        self.books().held(handle).copied()
    }

    /// Enters memory that the worker has under this handle.
    pub(crate) fn enter(&self, handle: Handle, bytes: u64, properties: CUmemAllocationProp) {
        let memory = Memory {
            bytes,
            properties,
            references: 1,
            mappings: 0,
        };
        self.books().memories.insert(handle, memory);
    }
}

impl Books {
    fn held(&self, handle: Handle) -> Answer<&Memory> {
        let memory = self.memories.get(&handle).ok_or(Code::INVALID_VALUE)?;
        if memory.references == 0 {
            return Err(Code::INVALID_VALUE);
        }
        Ok(memory)
    }

    /// Tells the worker of a memory that is neither held nor mapped any more.
    fn let_go(&mut self, driver: &Driver, handle: Handle) -> Answer {
        let unused = |memory: &Memory| memory.references == 0 && memory.mappings == 0;
        if self.memories.get(&handle).is_some_and(unused) {
            self.memories.remove(&handle);
            driver.session.post(&MemRelease { memory: handle }, &[])?;
        }
        Ok(())
    }

    /// Where the mappings begin that make up a range without a gap.
    fn whole(&self, address: u64, bytes: u64) -> Answer<Vec<u64>> {
        let end = address
            .checked_add(bytes)
            .filter(|_| bytes > 0)
            .ok_or(Code::INVALID_VALUE)?;
        let mut at = address;
        let mut found = Vec::new();
        while at < end {
            found.push(at);
            at += self.mappings.get(&at).ok_or(Code::INVALID_VALUE)?.bytes;
        }
        if at == end {
            Ok(found)
        } else {
            Err(Code::INVALID_VALUE)
        }
    }

    fn is_mapped(&self, start: u64, end: u64) -> bool {
        let before = self.mappings.range(..end).next_back();
        before.is_some_and(|(base, mapping)| base + mapping.bytes > start)
    }

    /// What the table of ranges says of a mapping.
    fn range(&self, address: u64, identity: u64) -> Option<Range> {
        let mapping = self.mappings.get(&address)?;
        let handle_types = self.memories.get(&mapping.memory)?.properties.handle_types;
        Some(Range {
            base: address,
            bytes: mapping.bytes,
            kind: RangeKind::Mapped {
                handle_types,
                access: mapping.access,
            },
            context: 0,
            identity,
            bar1: None,
        })
    }
}

/// A handle of the process that no table of objects gives out: theirs name a kind above 2 in the low bits.
pub(crate) fn new_handle(driver: &Driver) -> Handle {
    (driver.next_identity() << KIND_BITS) | 1
}

/// Memory can be on the device only.
pub(crate) fn check_properties(properties: &CUmemAllocationProp) -> Answer {
    if properties.kind != PINNED {
        return Err(Code::INVALID_VALUE);
    }
    match properties.location.kind {
        ON_DEVICE if properties.location.id == 0 => {}
        ON_DEVICE => return Err(Code::INVALID_DEVICE),
        // Documented: nowhere in particular, and not to be shared.
        HOST_NUMA_CURRENT => return Err(Code::INVALID_VALUE),
        HOST if properties.handle_types != 0 => return Err(Code::INVALID_VALUE),
        HOST..HOST_NUMA_CURRENT => return Err(Code::NOT_SUPPORTED),
        _ => return Err(Code::INVALID_VALUE),
    }
    match properties.handle_types {
        0 | FILE_DESCRIPTOR => Ok(()),
        types if types & !(FILE_DESCRIPTOR | OTHER_HANDLE_TYPES) == 0 => Err(Code::NOT_SUPPORTED),
        _ => Err(Code::INVALID_VALUE),
    }
}

/// `cuMemGetAllocationGranularity`
pub(crate) fn mem_get_allocation_granularity(
    granularity: Caller<usize>,
    prop: Caller<CUmemAllocationProp>,
    option: i32,
) -> Answer {
    let prop = prop.get()?;
    if !(0..=1).contains(&option) || prop.kind != PINNED {
        return Err(Code::INVALID_VALUE);
    }
    match prop.location.kind {
        ON_DEVICE if prop.location.id != 0 => return Err(Code::INVALID_DEVICE),
        ON_DEVICE..=HOST_NUMA_CURRENT => {}
        _ => return Err(Code::INVALID_VALUE),
    }
    granularity.put(usize::try_from(GRANULARITY).unwrap_or(usize::MAX))
}

/// `cuMemCreate`
pub(crate) fn mem_create(
    handle: Caller<Handle>,
    size: usize,
    prop: Caller<CUmemAllocationProp>,
    flags: u64,
) -> Answer {
    handle.required()?;
    let mut properties = prop.get()?;
    let bytes = size as u64;
    if flags != 0 || bytes == 0 || !bytes.is_multiple_of(GRANULARITY) {
        return Err(Code::INVALID_VALUE);
    }
    check_properties(&properties)?;
    let driver = state::driver()?;
    let memory = new_handle(driver);
    driver.session.call(&MemCreate { memory, bytes }, &[])?;
    // Compression is a wish, and the answer to it is read from here.
    properties.compression = 0;
    driver.virtual_memory.enter(memory, bytes, properties);
    handle.put(memory)
}

/// `cuMemRelease`: what is mapped stays.
pub(crate) fn mem_release(handle: Handle) -> Answer {
    let driver = state::driver()?;
    let mut books = driver.virtual_memory.books();
    books.held(handle)?;
    if let Some(memory) = books.memories.get_mut(&handle) {
        memory.references -= 1;
    }
    books.let_go(driver, handle)
}

/// `cuMemRetainAllocationHandle`: any address of a mapping names its memory.
pub(crate) fn mem_retain_allocation_handle(handle: Caller<Handle>, addr: Caller<c_void>) -> Answer {
    handle.required()?;
    let driver = state::driver()?;
    let mut books = driver.virtual_memory.books();
    let address = addr.address();
    let memory = books
        .mappings
        .range(..=address)
        .next_back()
        .filter(|(base, mapping)| address - **base < mapping.bytes)
        .map(|(_, mapping)| mapping.memory)
        .ok_or(Code::INVALID_VALUE)?;
    if let Some(memory) = books.memories.get_mut(&memory) {
        memory.references += 1;
    }
    handle.put(memory)
}

/// `cuMemGetAllocationPropertiesFromHandle`
pub(crate) fn mem_get_allocation_properties_from_handle(
    prop: Caller<CUmemAllocationProp>,
    handle: Handle,
) -> Answer {
    prop.required()?;
    prop.put(state::driver()?.virtual_memory.memory(handle)?.properties)
}

/// Reserves addresses in the worker.
pub(crate) fn reserve(driver: &Driver, bytes: u64, align: u64, wanted: u64) -> Answer<u64> {
    let message = AddressReserve { bytes, align, wanted };
    Ok(driver.session.call(&message, &[])?.0.address)
}

/// `cuMemAddressReserve`: an address that cannot be had is a wish, not an error.
pub(crate) fn mem_address_reserve(
    ptr: Caller<u64>,
    size: usize,
    alignment: usize,
    addr: u64,
    flags: u64,
) -> Answer {
    ptr.required()?;
    let (bytes, align) = (size as u64, alignment as u64);
    let aligned = align == 0 || align.is_power_of_two();
    if flags != 0 || bytes == 0 || !bytes.is_multiple_of(PAGE) || !aligned {
        return Err(Code::INVALID_VALUE);
    }
    let driver = state::driver()?;
    let address = reserve(driver, bytes, align, addr)?;
    driver.virtual_memory.books().reserved.insert(address, bytes);
    ptr.put(address)
}

/// `cuMemAddressFree`
pub(crate) fn mem_address_free(ptr: u64, size: usize) -> Answer {
    let driver = state::driver()?;
    let bytes = size as u64;
    let mut books = driver.virtual_memory.books();
    if books.reserved.get(&ptr) != Some(&bytes) || books.is_mapped(ptr, ptr + bytes) {
        return Err(Code::INVALID_VALUE);
    }
    driver.session.call(&AddressFree { address: ptr, bytes }, &[])?;
    books.reserved.remove(&ptr);
    Ok(())
}

/// `cuMemMap`: nobody can use the memory there until `cuMemSetAccess` says so.
pub(crate) fn mem_map(ptr: u64, size: usize, offset: usize, handle: Handle, flags: u64) -> Answer {
    let driver = state::driver()?;
    let bytes = size as u64;
    // The offset is documented to be 0 as yet.
    if flags != 0 || offset != 0 || bytes == 0 || !(bytes | ptr).is_multiple_of(GRANULARITY) {
        return Err(Code::INVALID_VALUE);
    }
    let mut books = driver.virtual_memory.books();
    let whole = books.held(handle)?.bytes;
    let end = ptr.checked_add(bytes).ok_or(Code::INVALID_VALUE)?;
    let inside = books
        .reserved
        .range(..=ptr)
        .next_back()
        .is_some_and(|(base, length)| end <= base + length);
    if bytes > whole || !inside || books.is_mapped(ptr, end) {
        return Err(Code::INVALID_VALUE);
    }
    let message = MemMap {
        address: ptr,
        bytes,
        offset: 0,
        memory: handle,
    };
    driver.session.call(&message, &[])?;
    let mapping = Mapping {
        bytes,
        memory: handle,
        access: ACCESS_NONE,
    };
    books.mappings.insert(ptr, mapping);
    if let Some(memory) = books.memories.get_mut(&handle) {
        memory.mappings += 1;
    }
    if let Some(range) = books.range(ptr, driver.next_identity()) {
        driver.ranges.insert(range);
    }
    Ok(())
}

/// Waits for the work of the current context, which may use what is about to go.
pub(crate) fn settle() {
    if let Ok(context) = current::alive() {
        for stream in context.streams() {
            let _ = stream.settle();
        }
    }
}

/// `cuMemUnmap`: whole mappings only.
pub(crate) fn mem_unmap(ptr: u64, size: usize) -> Answer {
    let driver = state::driver()?;
    let bytes = size as u64;
    driver.virtual_memory.books().whole(ptr, bytes)?;
    settle();
    let mut books = driver.virtual_memory.books();
    let whole = books.whole(ptr, bytes)?;
    driver.session.call(&MemUnmap { address: ptr, bytes }, &[])?;
    for address in whole {
        let Some(mapping) = books.mappings.remove(&address) else {
            continue;
        };
        driver
            .ranges
            .take(address, |range| matches!(range.kind, RangeKind::Mapped { .. }));
        if let Some(memory) = books.memories.get_mut(&mapping.memory) {
            memory.mappings -= 1;
        }
        books.let_go(driver, mapping.memory)?;
    }
    Ok(())
}

/// Whether a location is the device; others are not served.
fn check_location(location: CUmemLocation) -> Answer {
    match location.kind {
        ON_DEVICE if location.id == 0 => Ok(()),
        ON_DEVICE => Err(Code::INVALID_DEVICE),
        HOST..=HOST_NUMA_CURRENT => Err(Code::NOT_SUPPORTED),
        _ => Err(Code::INVALID_VALUE),
    }
}

/// `cuMemSetAccess`: whole mappings only.
pub(crate) fn mem_set_access(ptr: u64, size: usize, desc: Caller<CUmemAccessDesc>, count: usize) -> Answer {
    let driver = state::driver()?;
    desc.required()?;
    let mut wanted = None;
    for index in 0..count {
        let one = desc.at(index)?;
        check_location(one.location)?;
        if !matches!(one.flags, ACCESS_NONE | ACCESS_READ | ACCESS_READ_WRITE) {
            return Err(Code::INVALID_VALUE);
        }
        wanted = Some(one.flags);
    }
    let access = wanted.ok_or(Code::INVALID_VALUE)?;
    let bytes = size as u64;
    let mut books = driver.virtual_memory.books();
    let whole = books.whole(ptr, bytes)?;
    let message = MemSetAccess {
        address: ptr,
        bytes,
        access: access.cast_unsigned(),
        ..MemSetAccess::default()
    };
    driver.session.call(&message, &[])?;
    for address in whole {
        if let Some(mapping) = books.mappings.get_mut(&address) {
            mapping.access = access;
        }
        let identity = driver.ranges.find(address).map_or(0, |range| range.identity);
        if let Some(range) = books.range(address, identity) {
            driver.ranges.insert(range);
        }
    }
    Ok(())
}

/// `cuMemGetAccess`
pub(crate) fn mem_get_access(flags: Caller<u64>, location: Caller<CUmemLocation>, ptr: u64) -> Answer {
    flags.required()?;
    let driver = state::driver()?;
    check_location(location.get()?)?;
    let range = driver.ranges.find(ptr).ok_or(Code::INVALID_VALUE)?;
    match range.kind {
        RangeKind::Mapped { access, .. } => flags.put(u64::from(access.cast_unsigned())),
        _ => Err(Code::INVALID_VALUE),
    }
}
