//! Pools of managed memory, one default and one current pool to a location.
//!
//! An allocation is managed memory made at once; its pool's location is what its pages prefer. A free waits for its stream: the host
//! uses the same pages, which must not go while work before the free may touch them.

use super::{HOST, HOST_NUMA, NOWHERE, ON_DEVICE, Place, pages, place, supported};
use crate::code::{Answer, Code};
use crate::context::Context;
use crate::device;
use crate::memory;
use crate::pool::Pool;
use crate::ranges::RangeKind;
use crate::state::{self, Driver};
use crate::types::{CUmemLocation, CUmemPoolProps, Handle};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
struct Pools {
    defaults: BTreeMap<Place, Arc<Pool>>,
    current: BTreeMap<Place, Arc<Pool>>,
}

/// The pools of each location.
#[derive(Debug, Default)]
pub(crate) struct ManagedPools(Mutex<Pools>);

impl ManagedPools {
    fn lock(&self) -> MutexGuard<'_, Pools> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pool is destroyed: where it was the current one, the default is again.
    pub(crate) fn forget(&self, handle: Handle) {
        self.lock().current.retain(|_, pool| pool.handle != handle);
    }
}

/// The location of a pool; the number of one that has none is 0.
fn located(location: CUmemLocation) -> Answer<CUmemLocation> {
    match location.kind {
        NOWHERE | HOST => Ok(CUmemLocation {
            kind: location.kind,
            id: 0,
        }),
        ON_DEVICE => device::device(location.id).map(|_| location),
        HOST_NUMA if location.id >= 0 => Ok(location),
        _ => Err(Code::INVALID_VALUE),
    }
}

/// What there can be no managed memory of; without unified memory there is none.
pub(crate) fn check(props: &CUmemPoolProps) -> Answer {
    located(props.location).map_err(|_| Code::INVALID_VALUE)?;
    if props.handle_types != 0 || props.max_bytes != 0 || props.usage != 0 {
        return Err(Code::INVALID_VALUE);
    }
    supported(state::driver()?)
}

/// `cuMemPoolCreate` of managed memory.
pub(crate) fn create(props: &CUmemPoolProps) -> Answer<Arc<Pool>> {
    check(props)?;
    let location = located(props.location)?;
    state::driver()?
        .pools
        .insert(|handle| Ok(Pool::managed(handle, false, location)))
}

/// The default pool of a location.
pub(crate) fn default(location: CUmemLocation) -> Answer<Arc<Pool>> {
    let location = located(location)?;
    let driver = state::driver()?;
    supported(driver)?;
    let mut pools = driver.managed_pools.lock();
    let key = (location.kind, location.id);
    if let Some(pool) = pools.defaults.get(&key) {
        return Ok(Arc::clone(pool));
    }
    let pool = driver
        .pools
        .insert(|handle| Ok(Pool::managed(handle, true, location)))?;
    pools.defaults.insert(key, Arc::clone(&pool));
    Ok(pool)
}

/// The current pool of a location.
pub(crate) fn current(location: CUmemLocation) -> Answer<Arc<Pool>> {
    let place = located(location)?;
    let driver = state::driver()?;
    supported(driver)?;
    let set = driver
        .managed_pools
        .lock()
        .current
        .get(&(place.kind, place.id))
        .map(Arc::clone);
    set.map_or_else(|| default(location), Ok)
}

/// Makes a pool the current one of its location.
pub(crate) fn set_current(location: CUmemLocation, pool: Arc<Pool>) -> Answer {
    let location = located(location)?;
    let driver = state::driver()?;
    supported(driver)?;
    let key = (location.kind, location.id);
    let of_pool = pool.managed_location().ok_or(Code::INVALID_VALUE)?;
    if (of_pool.kind, of_pool.id) != key {
        return Err(Code::INVALID_VALUE);
    }
    driver.managed_pools.lock().current.insert(key, pool);
    Ok(())
}

/// Allocates from a pool of managed memory.
pub(crate) fn allocate(driver: &Driver, context: &Context, bytes: usize, pool: &Pool) -> Answer<u64> {
    let kind = RangeKind::Managed { pool: pool.handle };
    let flags = tessera_wire::HOST_PORTABLE;
    let address = memory::allocate_in_host_arena(driver, context, bytes, flags, kind)?;
    // Without a location, nothing is preferred.
    if let Some(preferred) = pool.managed_location().and_then(|location| place(location).ok()) {
        let (start, end) = pages(address, bytes);
        driver.managed.with(|advised| {
            advised.change(start, end, |said| said.preferred = Some(preferred));
        });
    }
    Ok(address)
}

/// Whether memory of a pool of managed memory begins there.
pub(crate) fn is_of_pool(driver: &Driver, address: u64) -> bool {
    let range = driver.ranges.find(address);
    range.is_some_and(|range| {
        range.base == address && matches!(range.kind, RangeKind::Managed { pool } if pool != 0)
    })
}

/// Frees an allocation of a pool that nothing uses any more.
pub(crate) fn free(driver: &Driver, address: u64) -> Answer {
    let range = driver
        .ranges
        .take(
            address,
            |range| matches!(range.kind, RangeKind::Managed { pool } if pool != 0),
        )
        .ok_or(Code::INVALID_VALUE)?;
    driver.managed.forget(&range);
    crate::pool::freed(driver, &range);
    memory::free_host(driver, &range)
}
