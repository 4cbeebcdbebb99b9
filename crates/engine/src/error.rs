//! What can go wrong: while compiling, while launching, while running.

use std::fmt;
use std::sync::Arc;

/// Why a kernel was not compiled. The text names the instruction as written and its line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The function asked for is not an entry of the module.
    #[error("`{0}` is not a kernel of this module")]
    NotAnEntry(String),
    /// An instruction that this engine does not execute.
    #[error("line {line}: `{text}` in `{function}`: {why}")]
    Unsupported {
        /// Function that holds the instruction.
        function: String,
        /// The instruction as written.
        text: String,
        /// Its line in the PTX text.
        line: u32,
        /// What it is that is not executed.
        why: String,
    },
    /// A function or variable without a definition.
    #[error("line {line}: `{name}`, used in `{function}`, is not defined")]
    Undefined {
        /// Function that uses the symbol.
        function: String,
        /// The symbol.
        name: String,
        /// Line of the use.
        line: u32,
    },
    /// A limit of the engine.
    #[error("`{function}`: {what} exceeds the limit of {limit}")]
    TooLarge {
        /// The kernel.
        function: String,
        /// What there is too much of.
        what: &'static str,
        /// How much there may be.
        limit: u64,
    },
}

/// Why a launch was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// A zero or too large grid or block dimension.
    #[error("block of {threads} threads; this kernel takes 1 to {max}")]
    BlockSize {
        /// Threads asked for.
        threads: u64,
        /// Most threads that the kernel takes.
        max: u32,
    },
    /// A grid dimension of zero or beyond the limits.
    #[error("grid of {0:?} blocks")]
    GridSize([u32; 3]),
    /// Clusters that the kernel does not take, or that do not divide the grid.
    #[error("clusters of {0:?} blocks")]
    Cluster([u32; 3]),
    /// Fewer or more bytes of parameters than the kernel declares.
    #[error("{got} bytes of parameters; the kernel declares {want}")]
    Parameters {
        /// Bytes given.
        got: usize,
        /// Bytes declared.
        want: usize,
    },
    /// More shared memory than a block can have.
    #[error("{bytes} bytes of shared memory; a block has {max}")]
    SharedSize {
        /// Static and dynamic bytes together.
        bytes: u64,
        /// The limit.
        max: u32,
    },
    /// The memory of a block could not be had.
    #[error("a block needs {0} bytes of state, which exceeds the limit")]
    State(u64),
}

/// What kind of fault ended a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// An address that is not mapped, or not mapped for this access (`CUDA_ERROR_ILLEGAL_ADDRESS`).
    IllegalAddress,
    /// An address that is not a multiple of the access size (`CUDA_ERROR_MISALIGNED_ADDRESS`).
    MisalignedAddress,
    /// The `trap` instruction (`CUDA_ERROR_ILLEGAL_INSTRUCTION`'s sibling, `CUDA_ERROR_LAUNCH_FAILED`).
    Trap,
    /// `__assertfail` (`CUDA_ERROR_ASSERT`).
    Assert,
    /// An indirect branch or call to something that is not a target (`CUDA_ERROR_INVALID_PC`).
    InvalidPc,
    /// An instruction with an operand that has no meaning, such as barrier 16 (`CUDA_ERROR_ILLEGAL_INSTRUCTION`).
    IllegalInstruction,
    /// Calls nested deeper, or an `alloca` larger, than the thread's stack ([`crate::Geometry::stack`]) has room for
    /// (`CUDA_ERROR_HARDWARE_STACK_ERROR`).
    StackOverflow,
    /// A hook of [`crate::Runtime`] refused (`CUDA_ERROR_LAUNCH_FAILED`).
    Hook,
    /// All threads wait at barriers that cannot open; only a checked launch ends there (`CUDA_ERROR_LAUNCH_FAILED`).
    Deadlock,
}

/// A fault: it ends its own block and leaves every other alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What happened.
    pub kind: FaultKind,
    /// Function of the PTX text that holds the instruction.
    pub function: Arc<str>,
    /// Line of the PTX text, counted from 1; 0 when unknown.
    pub line: u32,
    /// The block.
    pub block: [u32; 3],
    /// The thread: for warp-wide instructions the first lane concerned.
    pub thread: [u32; 3],
    /// The address that the thread used, for the memory faults; otherwise 0.
    pub address: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            FaultKind::IllegalAddress => "illegal address",
            FaultKind::MisalignedAddress => "misaligned address",
            FaultKind::Trap => "trap",
            FaultKind::Assert => "assertion failed",
            FaultKind::InvalidPc => "invalid program counter",
            FaultKind::IllegalInstruction => "illegal instruction",
            FaultKind::StackOverflow => "stack overflow",
            FaultKind::Hook => "refused by the runtime",
            FaultKind::Deadlock => "deadlock",
        };
        write!(f, "{what}")?;
        if matches!(
            self.kind,
            FaultKind::IllegalAddress | FaultKind::MisalignedAddress
        ) {
            write!(f, " {:#x}", self.address)?;
        }
        write!(
            f,
            " in `{}` at PTX line {}, block {:?}, thread {:?}",
            self.function, self.line, self.block, self.thread
        )
    }
}

impl std::error::Error for Fault {}
