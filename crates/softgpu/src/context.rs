//! Contexts: one address space, one fate.
//!
//! ```text
//!   alive ── a kernel or copy faults ──▶ poisoned (sticky: every queued and later operation completes with that fault)
//!     └────── last reference dropped ──▶ closed   (running blocks stop at a safe point, memory is given back at once)
//! ```
//!
//! [`SoftContext`] is what the worker holds; [`ContextCore`] is what streams, modules and running work hold. The core outlives the
//! context only until those let go of it, with no memory of its own any more. `stack_bytes` of the options bounds what calls nest and `alloca`
//! takes in kernels that recurse or use it; no other kernel has a stack.

use crate::bar1::SoftBar1;
use crate::checking;
use crate::counters::CounterCell;
use crate::device::{Core, Shared};
use crate::events::SoftEvent;
use crate::fb::FrameBuffer;
use crate::graph::SoftGraph;
use crate::heap::Heap;
use crate::holdings::{Holdings, Kind};
use crate::images::{self, Headers};
use crate::module;
use crate::physical::SoftPhysical;
use crate::stream::SoftStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tessera_device::{
    Array, ArrayOptions, Context, ContextOptions, Counters, DeviceError, DevicePtr, Event, EventSink, Fault,
    FaultKind, Graph, GraphNode, HostRange, ImageView, ModuleLoaded, ModuleOptions, Physical, PhysicalRange,
    Printer, PtxText, Stream, StreamOptions, StreamSink,
};
use tessera_engine::check::{Allocation, Checker, Origin};
use tessera_mmu::AddressSpace;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What everything inside a context shares.
pub(crate) struct ContextCore {
    pub(crate) id: u64,
    pub(crate) shared: Arc<Shared>,
    pub(crate) space: AddressSpace,
    pub(crate) holdings: Holdings,
    /// The file of allocations, where it is not the device's.
    bar1: Option<Arc<FrameBuffer>>,
    pub(crate) counters: CounterCell,
    pub(crate) printer: Arc<dyn Printer>,
    pub(crate) heap: Mutex<Heap>,
    /// A kernel that prints was launched.
    pub(crate) printed: AtomicBool,
    /// Bytes of a thread's stack.
    pub(crate) stack: AtomicU64,
    pub(crate) headers: Headers,
    /// Of a device in the checking mode.
    pub(crate) checker: Option<Arc<Checker>>,
    fault: OnceLock<Fault>,
    dead: AtomicBool,
}

impl ContextCore {
    fn new(shared: Arc<Shared>, options: ContextOptions) -> Result<Arc<Self>, DeviceError> {
        let bar1 = match &options.bar1 {
            Some(bar1) => Some(SoftBar1::file_of(bar1.as_ref(), shared.memory.file())?),
            None => None,
        };
        let core = Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            space: AddressSpace::new(),
            holdings: Holdings::new(options.arena)?,
            bar1,
            counters: CounterCell::default(),
            printer: options.printer,
            heap: Mutex::new(Heap::new(options.heap_bytes)),
            printed: AtomicBool::new(false),
            stack: AtomicU64::new(options.stack_bytes),
            headers: Headers::default(),
            checker: checking::checker(shared.checking.as_ref()),
            fault: OnceLock::new(),
            dead: AtomicBool::new(false),
            shared,
        });
        core.shared.register(&core);
        Ok(core)
    }

    /// The fault, if the context is poisoned or closed.
    pub(crate) fn fault(&self) -> Option<&Fault> {
        if self.is_dead() { self.fault.get() } else { None }
    }

    /// Whether work of this context must not go on. One load, for the hot paths.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Poisons the context; the first fault stays.
    pub(crate) fn poison(&self, fault: Fault) {
        if self.fault.set(fault).is_ok() {
            self.dead.store(true, Ordering::SeqCst);
            self.shared.slots.stop_all();
        }
    }

    pub(crate) fn alloc(&self, bytes: u64, align: u64, kind: Kind) -> Result<DevicePtr, DeviceError> {
        let memory = &self.shared.memory;
        // What the device takes for itself is nothing that a guest should write to behind its back.
        let file = match (&self.bar1, kind) {
            (Some(bar1), Kind::Allocation) => bar1,
            _ => memory.file(),
        };
        let base = self
            .holdings
            .alloc((memory, file), &self.space, bytes, align, kind)?;
        // What the device takes for itself is told by who knows what it is.
        if let (Some(checker), Kind::Allocation) = (&self.checker, kind) {
            checker.allocated(Allocation::host(base, bytes));
        }
        Ok(base)
    }

    /// Whether host memory lies in a file of this context's frame buffer and none of it was ever touched.
    pub(crate) fn is_untouched(&self, pointer: *const u8, bytes: u64) -> bool {
        let files = self.bar1.iter().chain([self.shared.memory.file()]);
        files
            .filter_map(|file| Some((file, file.offset_of(pointer, bytes)?)))
            .any(|(file, offset)| file.is_hole(offset, bytes))
    }

    pub(crate) fn remove(&self, base: DevicePtr, kind: Kind) -> Result<(), DeviceError> {
        self.holdings
            .remove(&self.shared.memory, &self.space, base, kind)?;
        if let Some(checker) = &self.checker {
            checker.freed(base);
        }
        self.shared.tidy();
        Ok(())
    }

    fn close(&self) {
        if let (Some(checker), Some(checking)) = (&self.checker, &self.shared.checking) {
            checker.finish();
            checking.sink.found(&checker.findings());
        }
        self.poison(Fault {
            kind: FaultKind::LaunchFailed,
            place: "context".to_owned(),
            detail: "the context is destroyed".to_owned(),
        });
        self.holdings.close(&self.shared.memory, &self.space);
        self.shared.scheduler.forget_context(self.id);
        self.shared.tidy();
    }
}

/// A context of the software GPU.
pub(crate) struct SoftContext {
    core: Arc<ContextCore>,
    /// Executors run as long as a context lives.
    _device: Arc<Core>,
}

impl SoftContext {
    pub(crate) fn new(device: Arc<Core>, options: ContextOptions) -> Result<Self, DeviceError> {
        let core = ContextCore::new(Arc::clone(device.shared()), options)?;
        Ok(Self {
            core,
            _device: device,
        })
    }
}

impl Drop for SoftContext {
    fn drop(&mut self) {
        self.core.close();
    }
}

impl Context for SoftContext {
    fn alloc(&self, bytes: u64, align: u64) -> Result<DevicePtr, DeviceError> {
        self.core.alloc(bytes, align, Kind::Allocation)
    }

    fn free(&self, base: DevicePtr) -> Result<(), DeviceError> {
        self.core.remove(base, Kind::Allocation)
    }

    fn range_of(&self, address: DevicePtr) -> Option<(DevicePtr, u64)> {
        self.core.holdings.range_of(address)
    }

    fn bar1_place(&self, base: DevicePtr) -> Option<u64> {
        self.core.holdings.place_of(base, self.core.bar1.as_ref()?)
    }

    fn map_host(&self, address: DevicePtr, memory: HostRange, read_only: bool) -> Result<(), DeviceError> {
        let bytes = memory.len() as u64;
        self.core
            .holdings
            .map_host(&self.core.space, address, memory, read_only)?;
        if let Some(checker) = &self.core.checker {
            checker.allocated(checking::unseen(address, bytes, Origin::Mapped, None));
        }
        Ok(())
    }

    fn unmap_host(&self, address: DevicePtr) -> Result<(), DeviceError> {
        self.core.remove(address, Kind::Host)
    }

    fn map_physical(
        &self,
        address: DevicePtr,
        range: &PhysicalRange,
        read_only: bool,
    ) -> Result<(), DeviceError> {
        let physical = Arc::clone(range.memory())
            .as_any()
            .downcast::<SoftPhysical>()
            .map_err(|_| DeviceError::InvalidValue("physical memory of another device".to_owned()))?;
        let part = (range.offset(), range.bytes());
        let core = &self.core;
        core.holdings
            .map_physical(&core.space, address, &physical, part, read_only)?;
        if let Some(checker) = &core.checker {
            checker.allocated(checking::unseen(address, part.1, Origin::Mapped, None));
        }
        Ok(())
    }

    fn unmap_physical(&self, address: DevicePtr) -> Result<(), DeviceError> {
        self.core.remove(address, Kind::Physical)
    }

    fn share(&self, base: DevicePtr) -> Result<Arc<dyn Physical>, DeviceError> {
        let core = &self.core;
        let shared = core
            .holdings
            .share(base, |pages| SoftPhysical::adopt(&core.shared, pages))?;
        Ok(shared)
    }

    fn create_array(&self, options: &ArrayOptions) -> Result<Arc<dyn Array>, DeviceError> {
        Ok(Arc::new(images::SoftArray::new(&self.core, options)?))
    }

    fn create_image(&self, view: &ImageView) -> Result<u64, DeviceError> {
        let image = images::image(&self.core, view)?;
        self.core.headers.add(&self.core, &image)
    }

    fn destroy_image(&self, handle: u64) -> Result<(), DeviceError> {
        self.core.headers.remove(&self.core, handle)
    }

    fn load_module(&self, ptx: &[PtxText<'_>], options: &ModuleOptions) -> Result<ModuleLoaded, DeviceError> {
        module::load(&self.core, ptx, options)
    }

    fn check_module(&self, ptx: &PtxText<'_>) -> Result<(), DeviceError> {
        module::parse(&self.core, ptx).map(drop)
    }

    fn create_stream(
        &self,
        options: StreamOptions,
        sink: Arc<dyn StreamSink>,
    ) -> Result<Arc<dyn Stream>, DeviceError> {
        if options.legacy && options.non_blocking {
            let text = "the legacy default stream cannot be non-blocking";
            return Err(DeviceError::InvalidValue(text.to_owned()));
        }
        Ok(Arc::new(SoftStream::new(Arc::clone(&self.core), options, sink)))
    }

    fn create_graph(&self, nodes: Vec<GraphNode>) -> Result<Arc<dyn Graph>, DeviceError> {
        Ok(Arc::new(SoftGraph::new(&self.core, nodes)?))
    }

    fn create_event(&self, sink: Arc<dyn EventSink>) -> Arc<dyn Event> {
        Arc::new(SoftEvent::new(sink))
    }

    fn is_reached(&self, event: &Arc<dyn Event>) -> bool {
        let event = Arc::clone(event).as_any().downcast::<SoftEvent>();
        event.is_ok_and(|event| self.core.shared.scheduler.is_reached(&event))
    }

    fn set_stack_bytes(&self, bytes: u64) {
        self.core.stack.store(bytes, Ordering::Relaxed);
    }

    fn set_heap_bytes(&self, bytes: u64) -> bool {
        let mut heap = self.core.heap.lock().unwrap_or_else(PoisonError::into_inner);
        heap.resize(bytes)
    }

    fn has_printed(&self) -> bool {
        self.core.printed.load(Ordering::Relaxed)
    }

    fn stuck_at(&self) -> Vec<DevicePtr> {
        self.core.shared.scheduler.stuck_at(self.core.id)
    }

    fn fault(&self) -> Option<Fault> {
        self.core.fault().cloned()
    }

    fn counters(&self) -> Counters {
        self.core.counters.read(self.core.shared.executors)
    }

    fn memory_used(&self) -> u64 {
        self.core.holdings.used().0
    }
}
