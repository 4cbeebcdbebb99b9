//! Where answers come from: a stream session with the worker of this guest's vGPU.

use std::ffi::c_int;
use tessera_channel::{CallError, ChannelError, Client, ClientOptions};
use tessera_guest::ConnectError;
use tessera_wire::messages::{QueryFaults, QueryUse, QueryVgpu};
use tessera_wire::{ProcessList, UseList, WireError, kind};
use thiserror::Error;

/// CUDA version that the guest driver speaks: the API of CUDA 13.5.
pub(crate) const CUDA_DRIVER_VERSION: c_int = 13050;
/// Version of the NVML API that this library follows.
pub(crate) const NVML_VERSION: &str = "13.615.71";

/// Why the worker gave no answer.
#[derive(Debug, Error)]
pub(crate) enum SourceError {
    /// There is no vGPU to ask.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The worker cannot be reached any more.
    #[error("no worker answers")]
    Channel(#[from] ChannelError),
    /// The worker refused the question, or the session broke.
    #[error("the worker does not answer")]
    Call(#[from] CallError),
    /// The answer makes no sense.
    #[error("the worker's answer cannot be read")]
    Wire(#[from] WireError),
}

/// One process on the vGPU.
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) memory_used: u64,
}

/// Use of the device by a process, per cent of a period.
pub(crate) struct ProcessUse {
    pub(crate) pid: u32,
    pub(crate) kernels: u32,
    pub(crate) copies: u32,
}

/// Use of the device in a period.
pub(crate) struct Use {
    /// End of the period, microseconds since 1970.
    pub(crate) time_us: u64,
    pub(crate) kernels: u32,
    pub(crate) copies: u32,
    pub(crate) processes: Vec<ProcessUse>,
}

/// Faults of kernels since the worker started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    pub(crate) count: u64,
    /// Xids of the last eight, a byte each, the latest in the lowest.
    pub(crate) xids: u64,
}

/// The vGPU at the time of the question.
pub(crate) struct Snapshot {
    pub(crate) name: String,
    pub(crate) uuid: String,
    pub(crate) driver_version: String,
    pub(crate) pci_bus_id: String,
    pub(crate) compute_capability: (u32, u32),
    pub(crate) memory_total: u64,
    pub(crate) memory_used: u64,
    pub(crate) utilization_percent: u32,
    pub(crate) memory_utilization_percent: u32,
    pub(crate) processes: Vec<Process>,
    pub(crate) sm_count: u32,
    /// Values of `CUdevice_attribute`, by number.
    pub(crate) attributes: Vec<(i32, i32)>,
}

impl Snapshot {
    /// A `CUdevice_attribute` that the device has, and that is not 0.
    pub(crate) fn attribute(&self, number: i32) -> Option<u32> {
        let (_, value) = self.attributes.iter().find(|(n, _)| *n == number)?;
        u32::try_from(*value).ok().filter(|v| *v != 0)
    }
}

/// A session for questions.
pub(crate) struct Source {
    client: Client,
}

impl Source {
    pub(crate) fn open() -> Result<Self, SourceError> {
        let path = tessera_guest::socket_path()?;
        let program = tessera_guest::program();
        let options = ClientOptions {
            kind: kind::NVML,
            program: &program,
            reserve_arena: false,
        };
        Ok(Self {
            client: Client::connect(&path, &options)?,
        })
    }

    /// Asks; connects anew once where the session broke, since a worker that died is replaced.
    pub(crate) fn snapshot(&mut self) -> Result<Snapshot, SourceError> {
        match self.ask() {
            Err(SourceError::Call(CallError::Channel(_))) => {
                *self = Self::open()?;
                self.ask()
            }
            answer => answer,
        }
    }

    /// As [`snapshot`](Self::snapshot), of faults only.
    pub(crate) fn faults(&mut self) -> Result<Faults, SourceError> {
        match self.ask_faults() {
            Err(SourceError::Call(CallError::Channel(_))) => {
                *self = Self::open()?;
                self.ask_faults()
            }
            answer => answer,
        }
    }

    /// As [`snapshot`](Self::snapshot), of use only.
    pub(crate) fn utilisation(&mut self) -> Result<Use, SourceError> {
        match self.ask_use() {
            Err(SourceError::Call(CallError::Channel(_))) => {
                *self = Self::open()?;
                self.ask_use()
            }
            answer => answer,
        }
    }

    fn ask_use(&self) -> Result<Use, SourceError> {
        let reply = self.client.call(&QueryUse::default(), &[])?;
        let of = |process: tessera_wire::ProcessUse| ProcessUse {
            pid: process.pid,
            kernels: process.kernels.min(100),
            copies: process.copies.min(100),
        };
        Ok(Use {
            time_us: reply.value.time_us,
            kernels: reply.value.gpu_utilisation.min(100),
            copies: reply.value.memory_utilisation.min(100),
            processes: UseList::decode(&reply.tail)?.0.into_iter().map(of).collect(),
        })
    }

    fn ask_faults(&self) -> Result<Faults, SourceError> {
        let reply = self.client.call(&QueryFaults::default(), &[])?.value;
        Ok(Faults {
            count: reply.count,
            xids: reply.xids,
        })
    }

    fn ask(&self) -> Result<Snapshot, SourceError> {
        let reply = self.client.call(&QueryVgpu::default(), &[])?;
        let processes = ProcessList::decode(&reply.tail)?;
        let vgpu = self.client.vgpu();
        Ok(Snapshot {
            name: vgpu.name.clone(),
            uuid: with_prefix(&vgpu.uuid),
            driver_version: vgpu.driver_version.clone(),
            pci_bus_id: vgpu.pci_bus_id.clone(),
            compute_capability: vgpu.compute_capability,
            sm_count: vgpu.sm_count,
            attributes: vgpu.attributes.clone(),
            memory_total: reply.value.memory_total,
            memory_used: reply.value.memory_used,
            utilization_percent: reply.value.gpu_utilisation.min(100),
            memory_utilization_percent: reply.value.memory_utilisation.min(100),
            processes: processes
                .0
                .into_iter()
                .map(|p| Process {
                    pid: p.pid,
                    memory_used: p.bytes,
                })
                .collect(),
        })
    }
}

/// NVML gives UUIDs of GPUs with a prefix.
fn with_prefix(uuid: &str) -> String {
    if uuid.starts_with("GPU-") {
        uuid.to_owned()
    } else {
        format!("GPU-{uuid}")
    }
}
