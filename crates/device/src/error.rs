//! Errors of a device. The worker's table maps them to CUDA codes.

use thiserror::Error;

/// Why a request to a device was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The frame buffer of the vGPU, or the arena, is used up.
    #[error("Out of frame buffer: {requested} bytes asked for, {free} of {total} free")]
    OutOfMemory {
        /// Bytes asked for.
        requested: u64,
        /// Bytes free.
        free: u64,
        /// Bytes in all.
        total: u64,
    },
    /// An argument is out of its range; the text names it.
    #[error("Invalid value: {0}")]
    InvalidValue(String),
    /// No allocation, mapping or symbol with this name.
    #[error("Not found: {0}")]
    NotFound(String),
    /// PTX does not parse or verify. The text carries line, column and the offending text.
    #[error("Invalid PTX: {0}")]
    InvalidPtx(String),
    /// PTX of a newer ISA version than the device knows.
    #[error("Unsupported PTX version: {0}")]
    UnsupportedPtxVersion(String),
    /// PTX for a target that this device cannot run.
    #[error("No kernel image for this device: {0}")]
    NoBinaryForGpu(String),
    /// An instruction or feature that is not executed yet; refused at load, with its line.
    #[error("Not supported by this device: {0}")]
    NotSupported(String),
    /// A name is undefined or defined twice among the linked texts.
    #[error("Link error: {0}")]
    Link(String),
    /// Launch needs more threads, shared memory or registers than the board has.
    #[error("Launch out of resources: {0}")]
    LaunchOutOfResources(String),
    /// The context is poisoned by an earlier fault.
    #[error("Context is poisoned by an earlier fault: {0}")]
    Poisoned(Fault),
    /// A node of a graph is refused.
    #[error("Node {node} of the graph: {source}")]
    InvalidNode {
        /// Its index.
        node: u32,
        /// Why.
        #[source]
        source: Box<DeviceError>,
    },
    /// The operating system refused something.
    #[error("Host operating system error in {what}")]
    Os {
        /// What was tried.
        what: &'static str,
        /// The error.
        #[source]
        source: std::io::Error,
    },
}

/// A fault of a running kernel or copy.
#[derive(Clone, Debug, Error)]
#[error("{kind:?} in {place}: {detail}")]
pub struct Fault {
    /// What happened.
    pub kind: FaultKind,
    /// Kernel, PTX line, block and thread, as far as known.
    pub place: String,
    /// Address or message.
    pub detail: String,
}

/// Kinds of faults, each with a CUDA code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// `CUDA_ERROR_ILLEGAL_ADDRESS`
    IllegalAddress,
    /// `CUDA_ERROR_MISALIGNED_ADDRESS`
    MisalignedAddress,
    /// `CUDA_ERROR_INVALID_ADDRESS_SPACE`
    InvalidAddressSpace,
    /// `CUDA_ERROR_ILLEGAL_INSTRUCTION`
    IllegalInstruction,
    /// `CUDA_ERROR_INVALID_PC`
    InvalidPc,
    /// `CUDA_ERROR_HARDWARE_STACK_ERROR`
    StackOverflow,
    /// `CUDA_ERROR_ASSERT`
    Assert,
    /// `CUDA_ERROR_LAUNCH_FAILED`: trap and everything else
    LaunchFailed,
    /// `CUDA_ERROR_LAUNCH_TIMEOUT`
    LaunchTimeout,
}
