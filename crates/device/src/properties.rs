//! What a device and its objects are.

/// A device, as the guest sees it.
#[derive(Clone, Debug)]
pub struct Properties {
    /// Marketing name, `NVIDIA H100 80GB HBM3` or the vGPU's full type name.
    pub name: String,
    /// Compute capability: major, minor.
    pub compute_capability: (u32, u32),
    /// Frame buffer of this vGPU, bytes.
    pub memory_bytes: u64,
    /// Streaming multiprocessors.
    pub sm_count: u32,
    /// Values of `CUdevice_attribute`, by number.
    pub attributes: Vec<(i32, i32)>,
}

/// Frame buffer, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUsage {
    /// Of the vGPU.
    pub total: u64,
    /// Held by allocations, modules and contexts.
    pub used: u64,
}

/// What a device has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Executor time spent in kernels, nanoseconds, summed over executors.
    pub kernel_ns: u64,
    /// Executor time spent in copies and fills, nanoseconds.
    pub copy_ns: u64,
    /// Kernels completed.
    pub kernels: u64,
    /// Bytes copied and filled.
    pub copied_bytes: u64,
    /// CTAs stopped at a safe point because their quantum was over.
    pub preemptions: u64,
    /// Executors that the device has; `kernel_ns` can rise this many nanoseconds per nanosecond.
    pub executors: u32,
}

/// How a device that compiles kernels itself carried them out, since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tiers {
    /// Launches that began in machine code.
    pub native: u64,
    /// Launches that began in the interpreter because the kernel had not proved hot.
    pub cold: u64,
    /// Launches kept in the interpreter by an option.
    pub option: u64,
    /// Launches kept in the interpreter by the processor.
    pub processor: u64,
    /// Launches of hot kernels whose warps part for good or wait inside for each other.
    pub contended: u64,
    /// Launches of hot kernels most of whose work has no machine form.
    pub unprofitable: u64,
    /// Launches of hot kernels that cannot be compiled.
    pub impossible: u64,
    /// Launches that changed to machine code while they ran.
    pub changes: u64,
    /// Kernels compiled to machine code.
    pub compiled: u64,
    /// Time that this took, nanoseconds.
    pub compile_ns: u64,
    /// Bytes of machine code compiled or loaded.
    pub code_bytes: u64,
    /// Machine code that another kernel of the same content had already.
    pub shared: u64,
    /// Machine code that an earlier process had compiled.
    pub loaded: u64,
    /// Machine code that no earlier process had compiled.
    pub missed: u64,
}

/// One kernel parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterInfo {
    /// Bytes from the start of the parameter block.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}

/// A kernel: `CUfunction_attribute` values and the layout of its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionInfo {
    /// Name in the PTX.
    pub name: String,
    /// In order.
    pub parameters: Vec<ParameterInfo>,
    /// Bytes of the parameter block.
    pub parameter_bytes: u32,
    /// Most threads of a block.
    pub max_threads_per_block: u32,
    /// Static shared memory, bytes.
    pub shared_bytes: u32,
    /// Constant memory of the user's, bytes.
    pub const_bytes: u32,
    /// Local memory of a thread, bytes.
    pub local_bytes: u32,
    /// Registers of a thread.
    pub registers: u32,
    /// Virtual architecture that the PTX was made for, 80 for `compute_80`; libraries choose their algorithms by it.
    pub ptx_version: u32,
    /// Target compute capability times ten.
    pub binary_version: u32,
}

/// A variable of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalInfo {
    /// Where.
    pub address: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A texture or surface reference of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageReference {
    /// Which, in its context.
    pub place: u64,
    /// Whether it is a surface reference.
    pub surface: bool,
}
