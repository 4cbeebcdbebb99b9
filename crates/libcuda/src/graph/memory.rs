//! Memory of graphs: allocation and free nodes, values of conditional nodes.
//!
//! An address is fixed when its node is made. Here the memory is there from then on, until nothing names it any more. What a launch has
//! allocated stays associated with graphs beyond its free node and its graph, until `cuDeviceGraphMemTrim` or until a new node needs it.
//!
//! ```text
//!   node made ─▶ reserved ── launch ──▶ live ──┬─ free node of the launch ─▶ reserved
//!                   ▲                          ├─ cuMemFree, cuMemFreeAsync ─▶ reserved
//!                   │                          └─ launched again: refused, or freed first (AUTO_FREE_ON_LAUNCH)
//!                   └── given back with the last graph that names it and the next trim, if it is not live
//! ```

use super::node::Work;
use crate::code::{Answer, Code};
use crate::context::Context;
use crate::current;
use crate::device::device;
use crate::managed;
use crate::memory;
use crate::ranges::RangeKind;
use crate::state::{self, Driver};
use crate::types::{CUDA_MEM_ALLOC_NODE_PARAMS, Caller, c_void};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tessera_wire::messages::MemFree;

/// `CU_MEM_ALLOCATION_TYPE_MANAGED`
const MANAGED: i32 = 2;

static USED: AtomicU64 = AtomicU64::new(0);
static USED_HIGH: AtomicU64 = AtomicU64::new(0);
static RESERVED: AtomicU64 = AtomicU64::new(0);
static RESERVED_HIGH: AtomicU64 = AtomicU64::new(0);
/// What a launch has allocated since the last trim: the memory that counts as used.
static ASSOCIATED: Mutex<Vec<Arc<GraphMemory>>> = Mutex::new(Vec::new());
static KNOWN: Mutex<Option<HashMap<u64, Weak<GraphMemory>>>> = Mutex::new(None);

fn known() -> MutexGuard<'static, Option<HashMap<u64, Weak<GraphMemory>>>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn associated() -> MutexGuard<'static, Vec<Arc<GraphMemory>>> {
    ASSOCIATED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Memory that belongs to graphs.
pub(crate) struct GraphMemory {
    pub(crate) address: u64,
    bytes: u64,
    context: u64,
    /// [`RangeKind::Graph`] or [`RangeKind::GraphManaged`]
    kind: RangeKind,
    pub(crate) params: Option<CUDA_MEM_ALLOC_NODE_PARAMS>,
    live: AtomicBool,
    /// Whether it stands in [`ASSOCIATED`].
    associated: AtomicBool,
    /// Keeps itself while it is live: the program may free it after the graph is gone.
    own: Mutex<Option<Arc<GraphMemory>>>,
}

impl GraphMemory {
    pub(crate) fn allocate(
        driver: &Driver,
        context: &Context,
        bytes: usize,
        params: Option<CUDA_MEM_ALLOC_NODE_PARAMS>,
    ) -> Answer<Arc<Self>> {
        if params.is_some() {
            make_way(bytes as u64);
        }
        let kind = match &params {
            Some(params) if params.pool.alloc_type == MANAGED => RangeKind::GraphManaged,
            _ => RangeKind::Graph,
        };
        let address = Self::fresh(driver, context, bytes, kind)?;
        let made = Arc::new(Self {
            address,
            bytes: bytes as u64,
            context: context.handle(),
            kind,
            params,
            live: AtomicBool::new(false),
            associated: AtomicBool::new(false),
            own: Mutex::default(),
        });
        if params.is_some() {
            let now = RESERVED.fetch_add(made.bytes, Ordering::Relaxed) + made.bytes;
            RESERVED_HIGH.fetch_max(now, Ordering::Relaxed);
            known()
                .get_or_insert_default()
                .insert(address, Arc::downgrade(&made));
        }
        Ok(made)
    }

    /// Memory that was not there; where there is no more, what no graph needs is given back first.
    fn fresh(driver: &Driver, context: &Context, bytes: usize, kind: RangeKind) -> Answer<u64> {
        let allocate = || match kind {
            RangeKind::GraphManaged => {
                memory::allocate_in_host_arena(driver, context, bytes, tessera_wire::HOST_PORTABLE, kind)
            }
            _ => memory::allocate_as(driver, context, bytes, kind),
        };
        match allocate() {
            Err(Code::OUT_OF_MEMORY) if trim() > 0 => allocate(),
            answer => answer,
        }
    }

    /// Whether its context still has it.
    fn is_there(&self, driver: &Driver) -> bool {
        let range = driver.ranges.find(self.address);
        range.is_some_and(|range| range.kind == self.kind && range.context == self.context)
    }

    /// It is in the list no more.
    fn dissociate(&self) {
        if self.associated.swap(false, Ordering::AcqRel) {
            USED.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }

    fn own(&self) -> MutexGuard<'_, Option<Arc<Self>>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_live(&self) -> bool {
        self.live.load(Ordering::Acquire)
    }

    /// A launch has allocated it.
    pub(crate) fn begin(self: &Arc<Self>) {
        if !self.live.swap(true, Ordering::AcqRel) {
            *self.own() = Some(Arc::clone(self));
        }
        if !self.associated.swap(true, Ordering::AcqRel) {
            let now = USED.fetch_add(self.bytes, Ordering::Relaxed) + self.bytes;
            USED_HIGH.fetch_max(now, Ordering::Relaxed);
            associated().push(Arc::clone(self));
        }
    }

    /// It was freed; whether it was live.
    pub(crate) fn end(&self) -> bool {
        let was = self.live.swap(false, Ordering::AcqRel);
        if was {
            let own = self.own().take();
            drop(own);
        }
        was
    }
}

impl Drop for GraphMemory {
    fn drop(&mut self) {
        if self.params.is_some() {
            RESERVED.fetch_sub(self.bytes, Ordering::Relaxed);
            if let Some(known) = &mut *known() {
                known.remove(&self.address);
            }
        }
        // It left the table with its context where that is gone.
        let Ok(driver) = state::driver() else { return };
        let Some(range) = driver.ranges.take(self.address, |range| range.kind == self.kind) else {
            return;
        };
        if range.is_managed() {
            driver.managed.forget(&range);
            let _ = memory::free_host(driver, &range);
            return;
        }
        let message = MemFree {
            context: self.context,
            address: self.address,
        };
        let _ = driver.session.post(&message, &[]);
    }
}

/// The memory of an allocation node that has this address.
pub(crate) fn find(address: u64) -> Option<Arc<GraphMemory>> {
    known().as_ref()?.get(&address)?.upgrade()
}

/// Frees memory of a graph's; `false` where the address is of none.
pub(crate) fn free(driver: &Driver, address: u64) -> Answer<bool> {
    let of_graph = driver
        .ranges
        .find(address)
        .is_some_and(|range| matches!(range.kind, RangeKind::Graph | RangeKind::GraphManaged));
    if !of_graph {
        return Ok(false);
    }
    match find(address) {
        Some(memory) if memory.end() => Ok(true),
        _ => Err(Code::INVALID_VALUE),
    }
}

/// What an allocation node does; the address is written to the parameters.
pub(crate) fn alloc_work(driver: &Driver, out: Caller<CUDA_MEM_ALLOC_NODE_PARAMS>) -> Answer<Work> {
    const PINNED: i32 = 1;
    const ON_DEVICE: i32 = 1;
    let mut params = out.get()?;
    if params.bytes == 0 || params.pool.handle_types != 0 {
        return Err(Code::INVALID_VALUE);
    }
    match params.pool.alloc_type {
        PINNED if params.pool.location.kind == ON_DEVICE && params.pool.location.id == 0 => {}
        MANAGED => managed::pool::check(&params.pool)?,
        _ => return Err(Code::INVALID_VALUE),
    }
    params.access = Caller::null();
    params.access_count = 0;
    let context = current::current()?;
    let memory = GraphMemory::allocate(driver, &context, params.bytes, Some(params))?;
    let mut answer = out.get()?;
    answer.address = memory.address;
    out.put(answer)?;
    Ok(Work::Alloc(memory))
}

/// What a free node does.
pub(crate) fn free_work(address: u64) -> Answer<Work> {
    find(address)
        .map(|_| Work::Free(address))
        .ok_or(Code::INVALID_VALUE)
}

/// `CUgraphMem_attribute`
mod attribute {
    pub(super) const USED: i32 = 0;
    pub(super) const USED_HIGH: i32 = 1;
    pub(super) const RESERVED: i32 = 2;
    pub(super) const RESERVED_HIGH: i32 = 3;
}

/// Takes what `gone` says off the list; how much that was.
fn take_off(mut gone: impl FnMut(&Arc<GraphMemory>) -> bool) -> usize {
    // They are dropped without the lock.
    let taken: Vec<_> = associated().extract_if(.., |memory| gone(memory)).collect();
    for memory in &taken {
        memory.dissociate();
    }
    taken.len()
}

/// Gives back as much of what no graph names as a new node needs, if there is so much: graphs do not hold more than they did together.
fn make_way(bytes: u64) {
    let mut freed = 0;
    take_off(|memory| {
        let gone = freed < bytes && Arc::strong_count(memory) == 1;
        freed += if gone { memory.bytes } else { 0 };
        gone
    });
}

/// Gives back what is not live and no graph names.
fn trim() -> usize {
    take_off(|memory| !memory.is_live())
}

/// Forgets what went with its context.
fn forget_lost(driver: &Driver) {
    take_off(|memory| {
        let lost = !memory.is_there(driver);
        if lost {
            memory.end();
        }
        lost
    });
}

/// `cuDeviceGraphMemTrim`
pub(crate) fn device_graph_mem_trim(dev: i32) -> Answer {
    device(dev)?;
    trim();
    Ok(())
}

/// `cuDeviceGetGraphMemAttribute`
pub(crate) fn device_get_graph_mem_attribute(dev: i32, attr: i32, value: Caller<c_void>) -> Answer {
    device(dev)?;
    let number = match attr {
        attribute::USED => &USED,
        attribute::USED_HIGH => &USED_HIGH,
        attribute::RESERVED => &RESERVED,
        attribute::RESERVED_HIGH => &RESERVED_HIGH,
        _ => return Err(Code::INVALID_VALUE),
    };
    forget_lost(state::driver()?);
    value.cast::<u64>().put(number.load(Ordering::Relaxed))
}

/// `cuDeviceSetGraphMemAttribute`: high-water marks can be set back to 0.
pub(crate) fn device_set_graph_mem_attribute(dev: i32, attr: i32, value: Caller<c_void>) -> Answer {
    device(dev)?;
    let (high, now) = match attr {
        attribute::USED_HIGH => (&USED_HIGH, &USED),
        attribute::RESERVED_HIGH => (&RESERVED_HIGH, &RESERVED),
        _ => return Err(Code::INVALID_VALUE),
    };
    if value.cast::<u64>().get()? != 0 {
        return Err(Code::INVALID_VALUE);
    }
    high.store(now.load(Ordering::Relaxed), Ordering::Relaxed);
    Ok(())
}
