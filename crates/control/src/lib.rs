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
