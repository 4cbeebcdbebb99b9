//! Samples of use: of the device, and of each process on it.
//!
//! The worker measures while somebody asks: a sample is the use in the period between two questions, or in a tenth of a second where
//! the last question is long ago. So there is one sample at a time, as new as the question; a program that has seen it already, by its
//! time, finds none. Engines for pictures are not there, and never in use.

use crate::abi::{
    DeviceSample, PROCESS_DETAILS_V1, PROCESSES_UTILIZATION_V1, ProcessDetail, ProcessDetails,
    ProcessUtilization, ProcessUtilizationInfo, ProcessesUtilizationInfo, SUPPORT_V1, Support, put,
    put_array,
};
use crate::device::export;
use crate::source::{Process, ProcessUse, Use};
use crate::state::{self, Device};
use crate::status::Status;
use std::ffi::{c_uint, c_ulonglong};

/// `NVML_VALUE_TYPE_UNSIGNED_INT`
const UNSIGNED: c_uint = 1;
/// `NVML_PROCESS_MODE_*`: compute, graphics, MPS, all.
const COMPUTE: c_uint = 0;
const ALL: c_uint = 3;
/// Not in a MIG instance.
const NO_INSTANCE: c_uint = c_uint::MAX;

/// Processes that used the device in a period that ended after `seen`.
fn since(device: Device, seen: c_ulonglong) -> Result<(u64, Vec<ProcessUse>), Status> {
    let used: Use = state::utilisation(device)?;
    let busy = |process: &ProcessUse| process.kernels > 0 || process.copies > 0;
    let list: Vec<_> = used.processes.into_iter().filter(busy).collect();
    if used.time_us <= seen || list.is_empty() {
        return Err(Status::NotFound);
    }
    Ok((used.time_us, list))
}

/// Use of the device by each process, in a period that ended after `seen`: microseconds since 1970.
///
/// # Safety
/// `count` is null or valid for read and write, `samples` null or valid for `*count` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetProcessUtilization(
    device: Device,
    samples: *mut ProcessUtilization,
    count: *mut c_uint,
    seen: c_ulonglong,
) -> u32 {
    export("nvmlDeviceGetProcessUtilization", || {
        if count.is_null() {
            return Err(Status::InvalidArgument);
        }
        let (time, list) = since(device, seen)?;
        let of = |process: ProcessUse| ProcessUtilization {
            pid: process.pid,
            time,
            sm: process.kernels,
            memory: process.copies,
            encoder: 0,
            decoder: 0,
        };
        let list = list.into_iter().map(of).collect();
        // SAFETY: the caller's promise.
        unsafe { put_array(count, samples, list) }
    })
}

/// The same with more engines, in a structure with a version.
///
/// # Safety
/// `info` is null or points to such a structure, whose array is null or has as many elements as it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetProcessesUtilizationInfo(
    device: Device,
    info: *mut ProcessesUtilizationInfo,
) -> u32 {
    export("nvmlDeviceGetProcessesUtilizationInfo", || {
        if info.is_null() {
            return Err(Status::InvalidArgument);
        }
        // SAFETY: not null, and the caller's promise.
        let asked = unsafe { info.read_unaligned() };
        if asked.version != PROCESSES_UTILIZATION_V1 {
            return Err(Status::ArgumentVersionMismatch);
        }
        let (time, list) = since(device, asked.seen)?;
        let of = |process: ProcessUse| ProcessUtilizationInfo {
            time,
            pid: process.pid,
            sm: process.kernels,
            memory: process.copies,
            encoder: 0,
            decoder: 0,
            jpeg: 0,
            optical_flow: 0,
        };
        let list = list.into_iter().map(of).collect();
        // SAFETY: not null; the array is the caller's promise.
        unsafe { put_array(&raw mut (*info).count, asked.processes, list) }
    })
}

/// Use of an engine of the device: 1 is kernels, 2 is copies, 3, 4, 8 and 9 are engines for pictures.
///
/// # Safety
/// `kind` and `count` are null or valid for a write, `samples` null or valid for `*count` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetSamples(
    device: Device,
    which: c_uint,
    seen: c_ulonglong,
    kind: *mut c_uint,
    count: *mut c_uint,
    samples: *mut DeviceSample,
) -> u32 {
    export("nvmlDeviceGetSamples", || {
        let used = match which {
            1..=4 | 8 | 9 => state::utilisation(device)?,
            0 | 5..=7 => return state::snapshot(device).and(Err(Status::NotSupported)),
            _ => return Err(Status::InvalidArgument),
        };
        let value = match which {
            1 => used.kernels,
            2 => used.copies,
            _ => 0,
        };
        // SAFETY: the caller's promise, one write helper per argument.
        unsafe {
            if count.is_null() {
                return Err(Status::InvalidArgument);
            }
            put(kind, UNSIGNED)?;
            if samples.is_null() {
                return put(count, 1);
            }
            if used.time_us <= seen {
                return Err(Status::NotFound);
            }
            let sample = DeviceSample {
                time: used.time_us,
                value: u64::from(value),
            };
            put_array(count, samples, vec![sample])
        }
    })
}

/// Processes with a context of a mode, in a structure with a version.
///
/// # Safety
/// `list` is null or points to such a structure, whose array is null or has as many elements as it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetRunningProcessDetailList(
    device: Device,
    list: *mut ProcessDetails,
) -> u32 {
    export("nvmlDeviceGetRunningProcessDetailList", || {
        if list.is_null() {
            return Err(Status::InvalidArgument);
        }
        // SAFETY: not null, and the caller's promise.
        let asked = unsafe { list.read_unaligned() };
        if asked.version != PROCESS_DETAILS_V1 {
            return Err(Status::ArgumentVersionMismatch);
        }
        if asked.mode > ALL {
            return Err(Status::InvalidArgument);
        }
        let processes = state::snapshot(device)?.processes.into_iter();
        let of = |process: Process| ProcessDetail {
            pid: process.pid,
            used_gpu_memory: process.memory_used,
            gpu_instance_id: NO_INSTANCE,
            compute_instance_id: NO_INSTANCE,
            used_protected_memory: 0,
        };
        let wanted = |_: &Process| matches!(asked.mode, COMPUTE | ALL);
        let details = processes.filter(wanted).map(of).collect();
        // SAFETY: not null; the array is the caller's promise.
        unsafe { put_array(&raw mut (*list).count, asked.processes, details) }
    })
}

/// Whether counters of performance (GPM) can be read: not on a vGPU that is a share of time.
///
/// # Safety
/// `support` is null or points to such a structure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmQueryDeviceSupport(device: Device, support: *mut Support) -> u32 {
    export("nvmlGpmQueryDeviceSupport", || {
        state::snapshot(device)?;
        if support.is_null() {
            return Err(Status::InvalidArgument);
        }
        // SAFETY: not null, and the caller's promise.
        let asked = unsafe { support.read_unaligned() };
        if asked.version != SUPPORT_V1 {
            return Err(Status::ArgumentVersionMismatch);
        }
        // SAFETY: as above.
        unsafe {
            put(
                support,
                Support {
                    is_supported: 0,
                    ..asked
                },
            )
        }
    })
}
