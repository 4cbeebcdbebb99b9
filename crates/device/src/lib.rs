//! What a worker needs of a GPU.
//!
//! A [`Device`] holds [`Context`]s; a context is one device address space with its modules, streams and events, and one fate:
//! a fault in any kernel of a context is *sticky*, ends every stream of it and touches no other context.
//!
//! Work is submitted to a [`Stream`] as an [`Operation`] with a sequence number chosen by the caller (strictly rising in each
//! stream). The device reports completion of each operation, in order, through the stream's [`StreamSink`]. Submission never
//! blocks on the execution of earlier work.
//!
//! ```text
//!   submit(seq, op) ─▶ queued ─▶ running ─▶ StreamSink::completed(seq, Ok)
//!                        │          └─ fault ─▶ Context is poisoned; completed(seq, Err(fault)) for this and all later ones
//!                        └─ waits for: the previous operation of the stream, the legacy stream (unless non-blocking), WaitEvent
//! ```
//!
//! Units: bytes, nanoseconds of `CLOCK_MONOTONIC`. Addresses are device virtual addresses unless a [`HostRange`] is named.

mod bar1;
mod error;
mod graph;
mod host;
mod image;
mod operation;
mod physical;
mod properties;

pub use bar1::Bar1;
pub use error::{DeviceError, Fault, FaultKind};
pub use graph::{Comparison, ConditionKind, Conditional, Graph, GraphNode, HostCall};
pub use host::HostRange;
pub use image::{
    AddressMode, Array, ArrayOptions, ArrayPlace, ChannelFormat, ImageSource, ImageView, Sampling,
    TexelFormat,
};
pub use operation::{Dim3, Fill, Launch, Operation, Span2d};
pub use physical::{Physical, PhysicalRange};
pub use properties::{
    Counters, FunctionInfo, GlobalInfo, ImageReference, MemoryUsage, ParameterInfo, Properties, Tiers,
};

use std::sync::Arc;

/// A device virtual address.
pub type DevicePtr = u64;

/// A GPU, or the part of one that a vGPU holds.
pub trait Device: Send + Sync {
    /// What the device is; constant while it lives.
    fn properties(&self) -> &Properties;

    /// Frame buffer in bytes: total of this vGPU and what its contexts hold now.
    fn memory(&self) -> MemoryUsage;

    /// Counters since the device was opened.
    fn counters(&self) -> Counters;

    /// How kernels were carried out, where there is a choice.
    fn tiers(&self) -> Tiers {
        Tiers::default()
    }

    /// Creates a context whose device addresses lie in `arena` (start, length). Text that kernels print goes to `printer`.
    fn create_context(&self, options: ContextOptions) -> Result<Arc<dyn Context>, DeviceError>;

    /// Takes frame buffer that has no address yet; contents are zero. `bytes` is a multiple of 2 MiB.
    fn create_physical(&self, bytes: u64) -> Result<Arc<dyn Physical>, DeviceError>;

    /// Opens a part of the frame buffer to one process; `None` where the device must see every access itself, or has no such part.
    fn open_bar1(&self) -> Result<Option<Arc<dyn Bar1>>, DeviceError> {
        Ok(None)
    }
}

/// What [`Device::create_context`] needs.
pub struct ContextOptions {
    /// First address and length of the range from which device addresses are taken; both multiples of 2 MiB.
    pub arena: (DevicePtr, u64),
    /// Receives what kernels print, in whole calls of `printf`, from executor threads.
    pub printer: Arc<dyn Printer>,
    /// Stack bytes per thread (`CU_LIMIT_STACK_SIZE`).
    pub stack_bytes: u64,
    /// Bytes of the device heap that `malloc` in kernels takes from (`CU_LIMIT_MALLOC_HEAP_SIZE`).
    pub heap_bytes: u64,
    /// Where allocations go: memory of [`Device::open_bar1`], or, with `None`, frame buffer that only the device reaches.
    pub bar1: Option<Arc<dyn Bar1>>,
}

/// Receives the text that kernels print.
pub trait Printer: Send + Sync {
    /// `text` of one `printf` call of one thread; `to_stderr` for failed assertions.
    fn print(&self, text: &[u8], to_stderr: bool);
}

/// One device address space and everything in it. Dropping the last reference ends its work and frees its memory.
pub trait Context: Send + Sync {
    /// Allocates frame buffer; contents are zero. `align` is a power of two, at least 256 is used.
    fn alloc(&self, bytes: u64, align: u64) -> Result<DevicePtr, DeviceError>;

    /// Frees an allocation by its base address at once. The caller has made sure that no queued work uses it.
    fn free(&self, base: DevicePtr) -> Result<(), DeviceError>;

    /// Base and length of the allocation or host mapping that holds `address`.
    fn range_of(&self, address: DevicePtr) -> Option<(DevicePtr, u64)>;

    /// Offset of the allocation with this base in the context's [`Bar1`], if it lies there, and in one piece.
    fn bar1_place(&self, _base: DevicePtr) -> Option<u64> {
        None
    }

    /// Maps host memory (pinned by the guest, shared with the worker) at `address`; both multiples of 4 KiB.
    fn map_host(&self, address: DevicePtr, memory: HostRange, read_only: bool) -> Result<(), DeviceError>;

    /// Takes a mapping of [`Context::map_host`] away.
    fn unmap_host(&self, address: DevicePtr) -> Result<(), DeviceError>;

    /// Maps frame buffer of [`Device::create_physical`] or [`Context::share`] at `address`, which belongs to no allocation; address
    /// and range are multiples of 4 KiB. The mapping keeps the memory. A store to a read-only mapping faults.
    fn map_physical(
        &self,
        address: DevicePtr,
        memory: &PhysicalRange,
        read_only: bool,
    ) -> Result<(), DeviceError>;

    /// Takes a mapping of [`Context::map_physical`] away. The caller has made sure that no queued work uses it.
    fn unmap_physical(&self, address: DevicePtr) -> Result<(), DeviceError>;

    /// The memory of an allocation by its base address, to be mapped elsewhere too. It is not the context's any more: it lives as long
    /// as the allocation or another holder does.
    fn share(&self, base: DevicePtr) -> Result<Arc<dyn Physical>, DeviceError>;

    /// Creates an array; contents are zero.
    fn create_array(&self, options: &ArrayOptions) -> Result<Arc<dyn Array>, DeviceError>;

    /// Creates a texture or surface: the handle that kernels use. It lives until it is destroyed or the context is.
    fn create_image(&self, view: &ImageView) -> Result<u64, DeviceError>;

    /// Destroys a texture or surface. The caller has made sure that no queued work uses it; a kernel that does faults.
    fn destroy_image(&self, handle: u64) -> Result<(), DeviceError>;

    /// Compiles and links PTX texts into one module. All texts are linked together; names that stay undefined are an error.
    fn load_module(&self, ptx: &[PtxText<'_>], options: &ModuleOptions) -> Result<ModuleLoaded, DeviceError>;

    /// Looks whether a PTX text is one and is for this device, without linking it.
    fn check_module(&self, ptx: &PtxText<'_>) -> Result<(), DeviceError>;

    /// Creates a stream.
    fn create_stream(
        &self,
        options: StreamOptions,
        sink: Arc<dyn StreamSink>,
    ) -> Result<Arc<dyn Stream>, DeviceError>;

    /// Makes one graph of `nodes`.
    ///
    /// # Errors
    /// What [`Stream::submit`] would refuse of a node; [`DeviceError::InvalidNode`] names it.
    fn create_graph(&self, nodes: Vec<GraphNode>) -> Result<Arc<dyn Graph>, DeviceError>;

    /// Creates an event.
    fn create_event(&self, sink: Arc<dyn EventSink>) -> Arc<dyn Event>;

    /// Whether the newest record of an event, of this context or another of the device, was reached, or never will be because its context
    /// is lost. One that was never recorded counts as reached.
    fn is_reached(&self, event: &Arc<dyn Event>) -> bool;

    /// Changes the stack bytes per thread, for kernels launched from now on.
    fn set_stack_bytes(&self, bytes: u64);

    /// Changes the size of the heap of kernels; false, and nothing is changed, once a kernel that takes from it was launched.
    fn set_heap_bytes(&self, bytes: u64) -> bool;

    /// Whether a kernel was launched that prints.
    fn has_printed(&self) -> bool;

    /// Addresses of values that the work of this context waits for, where none of it does anything else and none of it waits for
    /// another context's. Empty: the work goes on, or is done.
    fn stuck_at(&self) -> Vec<DevicePtr>;

    /// The fault that poisoned this context, if any.
    fn fault(&self) -> Option<Fault>;

    /// Counters of this context since it was created.
    fn counters(&self) -> Counters;

    /// Frame buffer that this context alone holds now, bytes: without what it maps or shares.
    fn memory_used(&self) -> u64;
}

/// One PTX text to be linked.
#[derive(Clone, Copy, Debug)]
pub struct PtxText<'a> {
    /// Shown in messages: file name where the fatbin has one.
    pub name: &'a str,
    /// The text, without a terminating NUL.
    pub text: &'a [u8],
}

/// Options of [`Context::load_module`].
#[derive(Clone, Debug, Default)]
pub struct ModuleOptions {
    /// `CU_JIT_MAX_REGISTERS`, if given.
    pub max_registers: Option<u32>,
}

/// A loaded module with what the compiler had to say.
pub struct ModuleLoaded {
    /// The module.
    pub module: Arc<dyn Module>,
    /// Text for `CU_JIT_INFO_LOG_BUFFER`.
    pub log: String,
}

/// A loaded module. Memory of its variables lives as long as it does.
pub trait Module: Send + Sync {
    /// Names of the kernels.
    fn function_names(&self) -> Vec<String>;
    /// A kernel by name; the first use may compile it.
    fn function(&self, name: &str) -> Result<Arc<dyn Function>, DeviceError>;
    /// Names of the global and constant variables.
    fn global_names(&self) -> Vec<String>;
    /// A global or constant variable by name.
    fn global(&self, name: &str) -> Option<GlobalInfo>;
    /// Bytes of memory that host and device both use which its managed variables need; 0 where it has none. Until
    /// [`Module::place_managed`] gave them a place nothing of such a module can be used.
    fn managed_bytes(&self) -> u64;
    /// Says where the managed variables are: host memory that is mapped in the context, page aligned, as long as the module lives.
    /// `initialise`: they get their initial values; else another module's are there already.
    fn place_managed(&self, address: DevicePtr, initialise: bool) -> Result<(), DeviceError>;
    /// A texture or surface reference by name: what [`Operation::BindImage`] takes.
    fn image_reference(&self, name: &str) -> Option<ImageReference>;
}

/// A kernel. Implementations are downcast by their own device at launch.
pub trait Function: Send + Sync {
    /// Parameters, registers, shared and local memory.
    fn info(&self) -> &FunctionInfo;
    /// For the device that made it.
    fn as_any(self: Arc<Self>) -> Arc<dyn std::any::Any + Send + Sync>;
}

/// Kind of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamOptions {
    /// This is the legacy default stream: it waits for all blocking streams of the context and they wait for it.
    pub legacy: bool,
    /// `CU_STREAM_NON_BLOCKING`: does not synchronise with the legacy stream.
    pub non_blocking: bool,
    /// Lower is more urgent, as in CUDA; 0 is the default.
    pub priority: i32,
}

/// A queue of work. Dropping it lets queued work finish.
pub trait Stream: Send + Sync {
    /// Queues `operation`. Fails at once, without queueing, only for what is wrong with the operation itself.
    /// `seq` rises by at least one with each call.
    fn submit(&self, seq: u64, operation: Operation) -> Result<(), DeviceError>;

    /// Changes the priority, for what becomes ready from now on.
    fn set_priority(&self, priority: i32);
}

/// Receives completions of a stream, in order and one at a time, from executor threads and, for work that is over at once, from
/// within [`Stream::submit`] itself. Must not block, and must not take a lock that is held over a call of `submit`.
pub trait StreamSink: Send + Sync {
    /// The operation with this number is done and its effects are visible.
    fn completed(&self, seq: u64, result: Result<(), Fault>);

    /// The stream has come to a host function ([`Operation::HostCall`]), submitted with this number, alone or in a graph; what is behind
    /// it waits until `call` is finished. Host functions of one stream come one after the other, in the order submitted.
    fn host_call(&self, _seq: u64, call: HostCall) {
        call.finish();
    }
}

/// An event; recorded and waited for through [`Operation`].
pub trait Event: Send + Sync {
    /// For the device that made it.
    fn as_any(self: Arc<Self>) -> Arc<dyn std::any::Any + Send + Sync>;
}

/// Receives completed records of an event, from the same places as [`StreamSink`]. Must not block. A record in a poisoned context is
/// never reached: only the stream's [`StreamSink::completed`] tells of it, with the fault.
pub trait EventSink: Send + Sync {
    /// The record with this generation was reached at `nanoseconds` (`CLOCK_MONOTONIC`).
    fn recorded(&self, generation: u64, nanoseconds: u64);
}
