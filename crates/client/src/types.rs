//! Bodies of requests and answers. Sizes are bytes, times Unix milliseconds.

use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf, str::FromStr};
use utoipa::ToSchema;
use uuid::Uuid;

/// Compute capability, `9.0`: what a device reports and which PTX it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ComputeCapability {
    /// Before the point.
    pub major: u32,
    /// After the point.
    pub minor: u32,
}

/// A text is not a compute capability.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a compute capability; give MAJOR.MINOR from 5.0 to 99.9, like 9.0 or 12.0")]
pub struct ComputeCapabilityError(String);

impl FromStr for ComputeCapability {
    type Err = ComputeCapabilityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = |part: &str| -> Option<u32> {
            let short = matches!(part.len(), 1..=2) && part.bytes().all(|b| b.is_ascii_digit());
            if short { part.parse().ok() } else { None }
        };
        let parsed = text
            .split_once('.')
            .and_then(|(major, minor)| Some((digits(major)?, digits(minor)?)));
        match parsed {
            Some((major @ 5..=99, minor @ 0..=9)) => Ok(Self { major, minor }),
            _ => Err(ComputeCapabilityError(text.chars().take(40).collect())),
        }
    }
}

impl TryFrom<String> for ComputeCapability {
    type Error = ComputeCapabilityError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ComputeCapability> for String {
    fn from(capability: ComputeCapability) -> Self {
        capability.to_string()
    }
}

impl fmt::Display for ComputeCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ManagerInfo {
    /// Version of the manager.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Its state directory.
    #[schema(value_type = String)]
    pub state_directory: PathBuf,
    /// Its run directory.
    #[schema(value_type = String)]
    pub run_directory: PathBuf,
}

/// A physical GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gpu {
    /// Number on this host, from 0.
    pub index: u32,
    /// `GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`; stays over restarts.
    pub uuid: String,
    /// Name of the board.
    pub name: String,
    /// Id of the board in the catalogue.
    pub board: String,
    /// What stands behind it: `software`.
    pub device: String,
    /// Compute capability of the board.
    #[schema(value_type = Option<String>, example = "9.0")]
    pub compute_capability: Option<ComputeCapability>,
    /// Streaming multiprocessors.
    pub sm_count: Option<u32>,
    /// Frame buffer that vGPUs are cut from.
    pub frame_buffer_bytes: u64,
    /// Frame buffer that vGPUs hold.
    pub frame_buffer_reserved_bytes: u64,
    /// vGPUs on it.
    pub vgpus: u32,
}

/// A vGPU type of a physical GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GpuType {
    /// `H100-20C`.
    pub name: String,
    /// What guests see, `NVIDIA H100-20C`.
    pub device_name: String,
    /// The vendor's number.
    pub type_id: Option<u32>,
    /// `A`, `B`, `C` or `Q`.
    pub series: String,
    /// `time-sliced`, `mig-backed` or `time-sliced-mig-backed`.
    pub mode: String,
    /// Frame buffer of a vGPU.
    pub frame_buffer_bytes: u64,
    /// Most vGPUs of the type on a GPU.
    pub max_per_gpu: Option<u32>,
    /// Whether one can be created now.
    pub creatable: Creatable,
}

/// Whether a vGPU of a type can be created now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Creatable {
    /// How many, one after the other, if only this type is created.
    pub count: u32,
    /// Why none, in a few words.
    pub summary: Option<String>,
    /// Why none, and what to do.
    pub reason: Option<String>,
}

/// Request for a vGPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateVgpu {
    /// Type, `H100-20C`.
    pub vgpu_type: String,
    /// GPU: index or UUID. Without it, the first with room.
    #[serde(default)]
    pub gpu: Option<String>,
    /// Name of the user's choice, unique on the host.
    #[serde(default)]
    pub name: Option<String>,
    /// Compute capability to report instead of the board's.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "9.0")]
    pub compute_capability: Option<ComputeCapability>,
    /// Unified memory: guests have managed memory. For a type that has the whole frame buffer.
    #[serde(default)]
    pub enable_uvm: bool,
}

/// Where a vGPU is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VgpuState {
    /// Its worker is being started, for the first time or again.
    Starting,
    /// Its worker answers: guests can connect.
    Running,
    /// Its worker cannot be kept alive. The frame buffer stays reserved until the vGPU is deleted.
    Failed,
    /// It is being taken away.
    Deleting,
}

impl VgpuState {
    /// The word used in the API and in the state.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Deleting => "deleting",
        }
    }
}

impl fmt::Display for VgpuState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A vGPU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Vgpu {
    /// Identity.
    pub uuid: Uuid,
    /// Name of the user's choice.
    pub name: Option<String>,
    /// Type, `H100-20C`.
    pub vgpu_type: String,
    /// What guests see, `NVIDIA H100-20C`.
    pub device_name: String,
    /// UUID of the GPU.
    pub gpu_uuid: String,
    /// Number of the GPU.
    pub gpu_index: u32,
    /// Frame buffer: reserved from creation to deletion.
    pub frame_buffer_bytes: u64,
    /// Compute capability that guests see.
    #[schema(value_type = Option<String>, example = "9.0")]
    pub compute_capability: Option<ComputeCapability>,
    /// Whether guests have managed memory.
    #[serde(default)]
    pub enable_uvm: bool,
    /// Where it is in its life.
    pub state: VgpuState,
    /// Times that a dead worker was replaced. Each left the guests of that time with an error and the vGPU empty.
    pub restarts: u32,
    /// How the worker died last, or why it could not be started.
    pub last_failure: Option<String>,
    /// Process id of the worker.
    pub worker_pid: Option<u32>,
    /// What guests connect to: the value of `TESSERA_VGPU_SOCKET`.
    #[schema(value_type = String)]
    pub guest_socket: PathBuf,
    /// What the worker writes.
    #[schema(value_type = String)]
    pub worker_log: PathBuf,
    /// Time of creation.
    pub created_at_ms: u64,
    /// What it does now; absent where the worker does not answer.
    pub usage: Option<Usage>,
}

/// What a vGPU does now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Frame buffer in use.
    pub frame_buffer_used_bytes: u64,
    /// Part of the engines' time spent in its kernels and copies over about the last second, 0 to 1. Absent until there are two
    /// measurements; `sample_ms` makes the manager take both.
    pub time_share: Option<f64>,
    /// Kernels completed since the worker started.
    pub kernels: u64,
    /// Bytes copied and filled since the worker started.
    pub copied_bytes: u64,
    /// Guest processes connected.
    pub processes: Vec<Process>,
    /// How kernels were carried out since the worker started.
    #[serde(default)]
    pub tiers: Tiers,
}

/// How kernels were carried out: launches by where they began, machine code by where it came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

/// A guest process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Process {
    /// Process id, from the kernel.
    pub pid: u32,
    /// What the process calls itself; not trusted.
    pub name: String,
    /// Frame buffer that it holds.
    pub frame_buffer_used_bytes: u64,
    /// Kernels completed.
    pub kernels: u64,
    /// Last sticky fault of one of its contexts.
    pub last_fault: Option<String>,
}

/// Kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The manager started.
    ManagerStarted,
    /// A vGPU was created: its frame buffer is reserved.
    VgpuCreated,
    /// A worker answers for the first time.
    WorkerStarted,
    /// The manager found a worker of an earlier run and took it back.
    WorkerTakenBack,
    /// A worker died without being told to.
    WorkerDied,
    /// A worker could not be started, or not be kept alive.
    VgpuFailed,
    /// A vGPU was deleted: its frame buffer is free.
    VgpuDeleted,
}

impl EventKind {
    /// The word used in the API and in the state.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ManagerStarted => "manager_started",
            Self::VgpuCreated => "vgpu_created",
            Self::WorkerStarted => "worker_started",
            Self::WorkerTakenBack => "worker_taken_back",
            Self::WorkerDied => "worker_died",
            Self::VgpuFailed => "vgpu_failed",
            Self::VgpuDeleted => "vgpu_deleted",
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Rises by one or more from event to event; ask for what came `after` it.
    pub sequence: u64,
    /// When.
    pub time_ms: u64,
    /// What kind.
    pub kind: EventKind,
    /// Which vGPU.
    pub vgpu: Option<Uuid>,
    /// What happened, for people.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compute_capabilities_have_one_form() {
        assert_eq!("12.0".parse(), Ok(ComputeCapability { major: 12, minor: 0 }));
        for bad in [
            "", "9", "9.", ".0", "9.0.0", "4.9", "100.0", "9.10", "-9.0", "9.x", "+9.0",
        ] {
            assert!(bad.parse::<ComputeCapability>().is_err(), "{bad}");
        }
        let text = serde_json::to_string(&ComputeCapability { major: 9, minor: 0 }).unwrap();
        assert_eq!(text, "\"9.0\"");
    }

    #[test]
    fn words_of_the_state_are_those_of_the_api() {
        for state in [
            VgpuState::Starting,
            VgpuState::Running,
            VgpuState::Failed,
            VgpuState::Deleting,
        ] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for kind in [
            EventKind::ManagerStarted,
            EventKind::WorkerTakenBack,
            EventKind::VgpuDeleted,
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
