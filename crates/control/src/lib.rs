//! Worker configuration and the control protocol between manager and worker.
//!
//! The manager starts a worker as `tessera worker`, writes one [`WorkerConfig`] as JSON to its standard input and closes it. The
//! worker binds `guest.sock` and `control.sock` in [`WorkerConfig::directory`], drops its privileges and then accepts. On
//! `control.sock` each request and each response is one line of JSON; a connection carries any number of them, in turn.
//!
//! ```text
//!  manager                         worker
//!     │ spawn, config on stdin ──────▶│ bind both sockets, sandbox
//!     │ connect control.sock ────────▶│
//!     │ {"status":null} ─────────────▶│
//!     │◀──── {"status":{...}}         │        end of file on this connection = the worker is dead
//!     │ {"shutdown":null} ───────────▶│ sessions are closed with an error, frame buffer given back, exit 0
//! ```
//!
//! A manager that was restarted connects again; nothing in the worker depends on who its parent is.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Name of the socket in [`WorkerConfig::directory`] that guest libraries connect to.
pub const GUEST_SOCKET: &str = "guest.sock";
/// Name of the socket that the manager connects to.
pub const CONTROL_SOCKET: &str = "control.sock";
/// Name of the file that a worker in the checking mode writes findings to: one line of JSON each, with the words in `text`.
pub const FINDINGS: &str = "findings.jsonl";
/// Name of the file in the directory of a vGPU that its workers keep machine code in.
pub const CODE_FILE: &str = "code.cache";
/// Longest line either side accepts, bytes.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// What a worker needs to know; all of it comes from the manager.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerConfig {
    /// Identity of the vGPU.
    pub uuid: String,
    /// Board of the catalogue that the physical GPU stands for.
    pub board: String,
    /// vGPU type of the catalogue, `H100-20C`.
    pub vgpu_type: String,
    /// Name that guests see, `NVIDIA H100-20C`.
    pub device_name: String,
    /// UUID of the physical GPU.
    pub gpu_uuid: String,
    /// PCI address that guests see, `00000000:06:00.0`.
    pub pci_bus_id: String,
    /// Frame buffer of the vGPU in bytes: the hard limit.
    pub frame_buffer_bytes: u64,
    /// Which arena of virtual addresses the vGPU uses.
    pub arena_index: u32,
    /// Compute capability to report, where it is not the board's.
    pub compute_capability: Option<(u32, u32)>,
    /// Executor threads; `None` takes one per available processor.
    pub executors: Option<u32>,
    /// Directory of the vGPU's sockets; exists, mode 0700 unless the manager chose otherwise.
    pub directory: PathBuf,
    /// The checking mode: a list like `memory,race`, empty for the usual checks. Findings go to [`FINDINGS`].
    #[serde(default)]
    pub check: Option<String>,
    /// File in which machine code is kept for later workers; nobody but this vGPU's worker, or this user, may write to it.
    #[serde(default)]
    pub code: Option<PathBuf>,
    /// Tier that kernels run in: `interpreter` or `native`. `None` chooses by kernel.
    #[serde(default)]
    pub tier: Option<String>,
    /// Whether guests have managed memory.
    #[serde(default)]
    pub enable_uvm: bool,
}

/// A request on the control socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Asks for a [`WorkerStatus`].
    Status(()),
    /// Ends the worker.
    Shutdown(()),
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// Answer to [`Request::Status`].
    Status(WorkerStatus),
    /// Answer to [`Request::Shutdown`]; the connection closes after it.
    ShuttingDown(()),
    /// The request could not be served; says why.
    Error(String),
}

/// How a worker is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Identity of the vGPU.
    pub uuid: String,
    /// Process id of the worker.
    pub pid: u32,
    /// Frame buffer of the vGPU, bytes.
    pub frame_buffer_total: u64,
    /// Frame buffer in use, bytes.
    pub frame_buffer_used: u64,
    /// Executor time in kernels since the start, nanoseconds, summed over executors.
    pub kernel_ns: u64,
    /// Executor time in copies and fills, nanoseconds.
    pub copy_ns: u64,
    /// Kernels completed.
    pub kernels: u64,
    /// Bytes copied and filled.
    pub copied_bytes: u64,
    /// Executor threads.
    pub executors: u32,
    /// `CLOCK_MONOTONIC` at the time of the answer, nanoseconds; rates are differences of two answers.
    pub monotonic_ns: u64,
    /// Guest processes connected now.
    pub sessions: Vec<SessionStatus>,
    /// How kernels were carried out; absent in the answer of an older worker.
    #[serde(default)]
    pub tiers: Tiers,
}

/// How kernels were carried out since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
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
    /// Machine code that an earlier worker had compiled.
    pub loaded: u64,
    /// Machine code that no earlier worker had compiled.
    pub missed: u64,
}

/// One guest process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Process id as the kernel reports it for the peer of the socket.
    pub pid: u32,
    /// Name of the program as the guest library gave it; not trusted, shown only.
    pub name: String,
    /// Frame buffer that its contexts hold, bytes.
    pub frame_buffer_used: u64,
    /// Kernels completed.
    pub kernels: u64,
    /// Last sticky fault of one of its contexts.
    pub last_fault: Option<String>,
}
