//! Managed memory: one pointer for host and device.
//!
//! It is memory of the host arena, as pinned memory is: both sides work on the same pages at the same address, at any time, so that
//! nothing has to move. What a program advises or prefetches is kept and answered, page by page, and changes nothing else. A vGPU has
//! managed memory where it was created with `enable_uvm`.

pub(crate) mod batch;
pub(crate) mod pool;

use crate::abi::DefaultStream;
use crate::code::{Answer, Code};
use crate::context::Context;
use crate::current;
use crate::device::attribute::MANAGED_MEMORY;
use crate::memory;
use crate::ranges::{Range, RangeKind};
use crate::state::{self, Driver};
use crate::stream;
use crate::types::{CUmemLocation, Caller, Handle, c_void};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use tessera_wire::messages::Marker;

/// `CU_MEM_ATTACH_*`
const ATTACH_GLOBAL: u32 = 1;
const ATTACH_HOST: u32 = 2;
const ATTACH_SINGLE: u32 = 4;
/// `CU_STREAM_LEGACY`, `CU_STREAM_PER_THREAD`
const LAST_DEFAULT_STREAM: Handle = 2;
/// `CU_MEM_LOCATION_TYPE_*`
const NOWHERE: i32 = 0;
const ON_DEVICE: i32 = 1;
const HOST: i32 = 2;
const HOST_NUMA: i32 = 3;
const HOST_NUMA_CURRENT: i32 = 4;
/// `CU_DEVICE_CPU`, `CU_DEVICE_INVALID`
const CPU: i32 = -1;
const NO_DEVICE: i32 = -2;
/// Advice is for whole pages.
const PAGE: u64 = 4096;

/// `CUmem_advise`
mod advice {
    pub(super) const SET_READ_MOSTLY: i32 = 1;
    pub(super) const UNSET_READ_MOSTLY: i32 = 2;
    pub(super) const SET_PREFERRED_LOCATION: i32 = 3;
    pub(super) const UNSET_PREFERRED_LOCATION: i32 = 4;
    pub(super) const SET_ACCESSED_BY: i32 = 5;
    pub(super) const UNSET_ACCESSED_BY: i32 = 6;
}

/// `CUmem_range_attribute`
mod attribute {
    pub(super) const READ_MOSTLY: i32 = 1;
    pub(super) const PREFERRED_LOCATION: i32 = 2;
    pub(super) const ACCESSED_BY: i32 = 3;
    pub(super) const LAST_PREFETCH_LOCATION: i32 = 4;
    pub(super) const PREFERRED_LOCATION_TYPE: i32 = 5;
    pub(super) const PREFERRED_LOCATION_ID: i32 = 6;
    pub(super) const LAST_PREFETCH_LOCATION_TYPE: i32 = 7;
    pub(super) const LAST_PREFETCH_LOCATION_ID: i32 = 8;
}

/// A place: kind and number of a `CUmemLocation`.
type Place = (i32, i32);

/// What was said of some pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Advice {
    read_mostly: bool,
    preferred: Option<Place>,
    by_device: bool,
    by_host: bool,
    prefetched: Option<Place>,
}

/// Advice by address: from a key to the next the same holds. Before the first, and wherever nothing was said, the default does.
#[derive(Debug, Default)]
struct Advised(BTreeMap<u64, Advice>);

impl Advised {
    fn at(&self, address: u64) -> Advice {
        let before = self.0.range(..=address).next_back();
        before.map(|(_, advice)| *advice).unwrap_or_default()
    }

    fn change(&mut self, start: u64, end: u64, change: impl Fn(&mut Advice)) {
        let behind = self.at(end);
        let first = self.at(start);
        self.0.insert(start, first);
        self.0.insert(end, behind);
        self.0
            .range_mut(start..end)
            .for_each(|(_, advice)| change(advice));
    }

    /// What holds in a range, piece by piece.
    fn pieces(&self, start: u64, end: u64) -> impl Iterator<Item = Advice> {
        std::iter::once(self.at(start)).chain(self.0.range(start + 1..end).map(|(_, advice)| *advice))
    }

    fn forget(&mut self, start: u64, end: u64) {
        self.change(start, end, |advice| *advice = Advice::default());
        self.0.retain(|&at, _| at <= start || at >= end);
        let mut last = Advice::default();
        self.0
            .retain(|_, advice| std::mem::replace(&mut last, *advice) != *advice);
    }
}

/// Of the process.
#[derive(Debug, Default)]
pub(crate) struct Managed(Mutex<Advised>);

impl Managed {
    fn with<R>(&self, look: impl FnOnce(&mut Advised) -> R) -> R {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Memory is gone, and what was said of it.
    pub(crate) fn forget(&self, range: &Range) {
        self.with(|advised| advised.forget(range.base, page_end(range.base + range.bytes)));
    }
}

fn page_end(address: u64) -> u64 {
    address.next_multiple_of(PAGE)
}

/// Whether this vGPU has managed memory.
fn supported(driver: &Driver) -> Answer {
    static LOGGED: AtomicBool = AtomicBool::new(false);
    if driver.attribute(MANAGED_MEMORY) == Some(1) {
        return Ok(());
    }
    if !LOGGED.swap(true, Ordering::Relaxed) {
        tessera_guest::log(
            "managed memory is not enabled for this vGPU; `tessera vgpu create --enable-uvm` makes one that has it",
        );
    }
    Err(Code::NOT_SUPPORTED)
}

/// `cuMemAllocManaged`
pub(crate) fn mem_alloc_managed(dptr: Caller<u64>, bytesize: usize, flags: u32) -> Answer {
    dptr.required()?;
    let context = current::faultless()?;
    if bytesize == 0 || !matches!(flags, ATTACH_GLOBAL | ATTACH_HOST) {
        return Err(Code::INVALID_VALUE);
    }
    let driver = state::driver()?;
    supported(driver)?;
    let flags = tessera_wire::HOST_PORTABLE;
    dptr.put(memory::allocate_in_host_arena(
        driver,
        &context,
        bytesize,
        flags,
        RangeKind::Managed { pool: 0 },
    )?)
}

/// The managed variables of a module, or of all modules of a library; gone with the last of them.
pub(crate) struct Variables {
    address: u64,
}

impl Variables {
    /// Takes memory for `bytes` bytes of variables.
    pub(crate) fn allocate(driver: &Driver, context: &Context, bytes: u64) -> Answer<Self> {
        let bytes = usize::try_from(bytes).map_err(|_| Code::OUT_OF_MEMORY)?;
        let kind = RangeKind::ManagedVariables;
        let flags = tessera_wire::HOST_PORTABLE;
        let address = memory::allocate_in_host_arena(driver, context, bytes, flags, kind)?;
        Ok(Self { address })
    }

    pub(crate) fn address(&self) -> u64 {
        self.address
    }
}

impl Drop for Variables {
    fn drop(&mut self) {
        let Ok(driver) = state::driver() else { return };
        let range = driver
            .ranges
            .take(self.address, |range| range.kind == RangeKind::ManagedVariables);
        if let Some(range) = range {
            driver.managed.forget(&range);
            // A worker that is gone has given it back.
            let _ = memory::free_host(driver, &range);
        }
    }
}

/// The managed memory that holds a range, which is not empty.
fn managed(driver: &Driver, address: u64, bytes: usize) -> Answer<Range> {
    let range = driver.ranges.covering(address, bytes as u64);
    range
        .filter(|range| bytes > 0 && range.is_managed())
        .ok_or(Code::INVALID_VALUE)
}

/// The pages that a range touches.
fn pages(address: u64, bytes: usize) -> (u64, u64) {
    (address - address % PAGE, page_end(address + bytes as u64))
}

/// Where a device number of the older functions is.
fn place_of_device(device: i32) -> CUmemLocation {
    let kind = if device == CPU { HOST } else { ON_DEVICE };
    CUmemLocation { kind, id: device }
}

/// A location that memory can be at; those of the host are one.
fn place(location: CUmemLocation) -> Answer<Place> {
    match location.kind {
        ON_DEVICE if location.id == 0 => Ok((ON_DEVICE, 0)),
        ON_DEVICE => Err(Code::INVALID_DEVICE),
        HOST | HOST_NUMA_CURRENT => Ok((location.kind, 0)),
        HOST_NUMA if location.id >= 0 => Ok((HOST_NUMA, location.id)),
        _ => Err(Code::INVALID_VALUE),
    }
}

/// `cuMemAdvise_v2`
pub(crate) fn mem_advise_v2(dev_ptr: u64, count: usize, advice: i32, location: CUmemLocation) -> Answer {
    let driver = state::driver()?;
    if !(advice::SET_READ_MOSTLY..=advice::UNSET_ACCESSED_BY).contains(&advice) {
        return Err(Code::INVALID_VALUE);
    }
    managed(driver, dev_ptr, count)?;
    // Whose reading it is does not matter, nor where memory is no longer preferred.
    let unset = matches!(
        advice,
        advice::SET_READ_MOSTLY | advice::UNSET_READ_MOSTLY | advice::UNSET_PREFERRED_LOCATION
    );
    let place = if unset { (NOWHERE, 0) } else { place(location)? };
    let change = |said: &mut Advice| match advice {
        advice::SET_READ_MOSTLY | advice::UNSET_READ_MOSTLY => {
            said.read_mostly = advice == advice::SET_READ_MOSTLY;
        }
        advice::SET_PREFERRED_LOCATION => said.preferred = Some(place),
        advice::UNSET_PREFERRED_LOCATION => said.preferred = None,
        _ => {
            let by = if place.0 == ON_DEVICE {
                &mut said.by_device
            } else {
                &mut said.by_host
            };
            *by = advice == advice::SET_ACCESSED_BY;
        }
    };
    let (start, end) = pages(dev_ptr, count);
    driver.managed.with(|advised| advised.change(start, end, change));
    Ok(())
}

/// `cuMemAdvise`
pub(crate) fn mem_advise(dev_ptr: u64, count: usize, advice: i32, device: i32) -> Answer {
    mem_advise_v2(dev_ptr, count, advice, place_of_device(device))
}

/// `cuMemPrefetchAsync_v2`: the memory is there already.
pub(crate) fn mem_prefetch_async_v2(
    default: DefaultStream,
    dev_ptr: u64,
    count: usize,
    location: CUmemLocation,
    flags: u32,
    stream: Handle,
) -> Answer {
    let driver = state::driver()?;
    let stream = stream::stream(default, stream)?;
    if flags != 0 {
        return Err(Code::INVALID_VALUE);
    }
    managed(driver, dev_ptr, count)?;
    let place = place(location)?;
    stream.submit(driver, &[], |seq| Marker {
        stream: stream.handle(),
        seq,
    })?;
    let (start, end) = pages(dev_ptr, count);
    driver.managed.with(|advised| {
        advised.change(start, end, |said| said.prefetched = Some(place));
    });
    Ok(())
}

/// `cuMemPrefetchAsync`
pub(crate) fn mem_prefetch_async(
    default: DefaultStream,
    dev_ptr: u64,
    count: usize,
    dst_device: i32,
    stream: Handle,
) -> Answer {
    let location = place_of_device(dst_device);
    mem_prefetch_async_v2(default, dev_ptr, count, location, 0, stream)
}

/// What all pieces have, or nothing.
fn common<T: PartialEq>(mut pieces: impl Iterator<Item = Option<T>>) -> Option<T> {
    let first = pieces.next()??;
    pieces
        .all(|other| other.as_ref() == Some(&first))
        .then_some(first)
}

/// `cuMemRangeGetAttribute`
pub(crate) fn mem_range_get_attribute(
    data: Caller<c_void>,
    data_size: usize,
    attribute: i32,
    dev_ptr: u64,
    count: usize,
) -> Answer {
    data.required()?;
    let driver = state::driver()?;
    let sized = match attribute {
        attribute::ACCESSED_BY => data_size > 0 && data_size.is_multiple_of(4),
        attribute::READ_MOSTLY..=attribute::LAST_PREFETCH_LOCATION_ID => data_size == 4,
        _ => false,
    };
    if !sized {
        return Err(Code::INVALID_VALUE);
    }
    managed(driver, dev_ptr, count)?;
    let (start, end) = pages(dev_ptr, count);
    let all: Vec<Advice> = driver
        .managed
        .with(|advised| advised.pieces(start, end).collect());
    let out = data.cast::<i32>();
    let preferred = || common(all.iter().map(|said| said.preferred));
    let prefetched = || common(all.iter().map(|said| said.prefetched));
    let device = |place: Option<Place>| match place {
        Some((ON_DEVICE, id)) => id,
        Some(_) => CPU,
        None => NO_DEVICE,
    };
    let kind = |place: Option<Place>| place.map_or(NOWHERE, |place| place.0);
    let id = |place: Option<Place>| place.map_or(0, |place| place.1);
    match attribute {
        attribute::READ_MOSTLY => out.put(i32::from(all.iter().all(|said| said.read_mostly))),
        attribute::PREFERRED_LOCATION => out.put(device(preferred())),
        attribute::LAST_PREFETCH_LOCATION => out.put(device(prefetched())),
        attribute::PREFERRED_LOCATION_TYPE => out.put(kind(preferred())),
        attribute::PREFERRED_LOCATION_ID => out.put(id(preferred())),
        attribute::LAST_PREFETCH_LOCATION_TYPE => out.put(kind(prefetched())),
        attribute::LAST_PREFETCH_LOCATION_ID => out.put(id(prefetched())),
        _ => {
            let by = [
                all.iter().all(|said| said.by_device).then_some(0),
                all.iter().all(|said| said.by_host).then_some(CPU),
            ];
            let devices = by.into_iter().flatten().chain(std::iter::repeat(NO_DEVICE));
            for (index, device) in devices.take(data_size / 4).enumerate() {
                out.put_at(index, device)?;
            }
            Ok(())
        }
    }
}

/// `cuMemRangeGetAttributes`
pub(crate) fn mem_range_get_attributes(
    data: Caller<Caller<c_void>>,
    data_sizes: Caller<usize>,
    attributes: Caller<i32>,
    num_attributes: usize,
    dev_ptr: u64,
    count: usize,
) -> Answer {
    data.required()?;
    data_sizes.required()?;
    attributes.required()?;
    if num_attributes == 0 {
        return Err(Code::INVALID_VALUE);
    }
    for index in 0..num_attributes {
        let (out, bytes) = (data.at(index)?, data_sizes.at(index)?);
        mem_range_get_attribute(out, bytes, attributes.at(index)?, dev_ptr, count)?;
    }
    Ok(())
}

/// `cuStreamAttachMemAsync`: any stream and the host can always use the memory.
pub(crate) fn stream_attach_mem_async(
    default: DefaultStream,
    handle: Handle,
    dptr: u64,
    length: usize,
    flags: u32,
) -> Answer {
    let driver = state::driver()?;
    let stream = stream::stream(default, handle)?;
    let single = match flags {
        ATTACH_GLOBAL | ATTACH_HOST => false,
        ATTACH_SINGLE => true,
        _ => return Err(Code::INVALID_VALUE),
    };
    // Memory of one stream cannot be that of the default stream.
    if single && handle <= LAST_DEFAULT_STREAM {
        return Err(Code::INVALID_VALUE);
    }
    let range = managed(driver, dptr, length.max(1))?;
    // The whole allocation, by its base.
    if dptr != range.base || (length != 0 && length as u64 != range.bytes) {
        return Err(Code::INVALID_VALUE);
    }
    stream.submit(driver, &[], |seq| Marker {
        stream: stream.handle(),
        seq,
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_kept_by_page_and_forgotten_with_the_memory() {
        let mut advised = Advised::default();
        let preferred =
            |advised: &Advised, start, end| common(advised.pieces(start, end).map(|advice| advice.preferred));
        advised.change(0x2000, 0x4000, |advice| advice.preferred = Some((ON_DEVICE, 0)));
        advised.change(0x3000, 0x6000, |advice| advice.read_mostly = true);
        assert_eq!(preferred(&advised, 0x2000, 0x4000), Some((ON_DEVICE, 0)));
        assert_eq!(preferred(&advised, 0x2000, 0x5000), None);
        assert_eq!(preferred(&advised, 0x1000, 0x3000), None);
        assert!(advised.pieces(0x3000, 0x6000).all(|advice| advice.read_mostly));
        assert!(!advised.at(0x2fff).read_mostly && !advised.at(0x6000).read_mostly);
        advised.forget(0x1000, 0x6000);
        assert_eq!(advised.at(0x3000), Advice::default());
        assert!(advised.0.is_empty());
    }
}
