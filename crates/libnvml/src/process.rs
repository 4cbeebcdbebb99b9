//! Processes on a vGPU.

use crate::abi::{ProcessInfo, ProcessInfoV1, put_array};
use crate::device::export;
use crate::state::{self, Device};
use crate::status::Status;
use std::ffi::c_uint;

/// `NVML_INVALID`-like marker: not in a MIG instance.
const NO_INSTANCE: c_uint = c_uint::MAX;

fn processes(device: Device) -> Result<Vec<ProcessInfo>, Status> {
    Ok(state::snapshot(device)?
        .processes
        .iter()
        .map(|p| ProcessInfo {
            pid: p.pid,
            used_gpu_memory: p.memory_used,
            gpu_instance_id: NO_INSTANCE,
            compute_instance_id: NO_INSTANCE,
        })
        .collect())
}

macro_rules! lists {
    ($( $(#[$doc:meta])* $name:ident : $type:ty = $values:expr; )*) => { $(
        $(#[$doc])*
        ///
        /// # Safety
        /// `count` is null or valid for read and write, `infos` null or valid for `*count` elements.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(device: Device, count: *mut c_uint, infos: *mut $type) -> u32 {
            export(stringify!($name), || {
                let values: fn(Device) -> Result<Vec<$type>, Status> = $values;
                // SAFETY: the caller's promise.
                unsafe { put_array(count, infos, values(device)?) }
            })
        }
    )* };
}

fn old(device: Device) -> Result<Vec<ProcessInfoV1>, Status> {
    Ok(processes(device)?
        .into_iter()
        .map(|p| ProcessInfoV1 {
            pid: p.pid,
            used_gpu_memory: p.used_gpu_memory,
        })
        .collect())
}

/// The software GPU has no graphics engine and no MPS server: such lists are empty, for a valid device.
fn none<T>(device: Device) -> Result<Vec<T>, Status> {
    state::snapshot(device).map(|_| Vec::new())
}

lists! {
    /// Processes with a CUDA context.
    nvmlDeviceGetComputeRunningProcesses: ProcessInfoV1 = old;
    /// Processes with a CUDA context.
    nvmlDeviceGetComputeRunningProcesses_v2: ProcessInfo = processes;
    /// Processes with a CUDA context.
    nvmlDeviceGetComputeRunningProcesses_v3: ProcessInfo = processes;
    /// Processes with a graphics context: none.
    nvmlDeviceGetGraphicsRunningProcesses: ProcessInfoV1 = none;
    /// Processes with a graphics context: none.
    nvmlDeviceGetGraphicsRunningProcesses_v2: ProcessInfo = none;
    /// Processes with a graphics context: none.
    nvmlDeviceGetGraphicsRunningProcesses_v3: ProcessInfo = none;
    /// Clients of an MPS server: none.
    nvmlDeviceGetMPSComputeRunningProcesses: ProcessInfoV1 = none;
    /// Clients of an MPS server: none.
    nvmlDeviceGetMPSComputeRunningProcesses_v2: ProcessInfo = none;
    /// Clients of an MPS server: none.
    nvmlDeviceGetMPSComputeRunningProcesses_v3: ProcessInfo = none;
}
