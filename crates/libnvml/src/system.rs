//! Initialisation, errors and the system as a whole.

use crate::abi::{put, put_text};
use crate::device::export;
use crate::source::{CUDA_DRIVER_VERSION, NVML_VERSION};
use crate::state;
use crate::status::Status;
use std::ffi::{c_char, c_int, c_uint};
use std::io::ErrorKind;

/// `NVML_INIT_FLAG_NO_GPUS`
const INIT_FLAG_NO_GPUS: c_uint = 1;

/// Connects to the vGPU.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit() -> u32 {
    export("nvmlInit", || state::init(false))
}

/// Connects to the vGPU.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> u32 {
    export("nvmlInit_v2", || state::init(false))
}

/// Connects to the vGPU; with flag 1 it succeeds without one.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlInitWithFlags(flags: c_uint) -> u32 {
    export("nvmlInitWithFlags", || {
        state::init(flags & INIT_FLAG_NO_GPUS != 0)
    })
}

/// Undoes one initialisation.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> u32 {
    export("nvmlShutdown", state::shutdown)
}

/// The text of a return code; works before initialisation.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlErrorString(result: u32) -> *const c_char {
    crate::status::text(result).as_ptr()
}

/// Version of the guest driver.
///
/// # Safety
/// `version` is null or valid for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetDriverVersion(version: *mut c_char, length: c_uint) -> u32 {
    export("nvmlSystemGetDriverVersion", || {
        let driver_version = state::driver_version()?;
        // SAFETY: the caller's promise.
        unsafe { put_text(version, length, &driver_version) }
    })
}

/// Version of this library.
///
/// # Safety
/// `version` is null or valid for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetNVMLVersion(version: *mut c_char, length: c_uint) -> u32 {
    // The vendor's library answers this one before initialisation too.
    // SAFETY: the caller's promise.
    export("nvmlSystemGetNVMLVersion", || unsafe {
        put_text(version, length, NVML_VERSION)
    })
}

/// CUDA version of the guest driver, 1000 * major + 10 * minor.
///
/// # Safety
/// `version` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetCudaDriverVersion(version: *mut c_int) -> u32 {
    // SAFETY: the caller's promise.
    export("nvmlSystemGetCudaDriverVersion", || unsafe {
        put(version, CUDA_DRIVER_VERSION)
    })
}

/// As [`nvmlSystemGetCudaDriverVersion`].
///
/// # Safety
/// `version` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetCudaDriverVersion_v2(version: *mut c_int) -> u32 {
    // SAFETY: the caller's promise.
    export("nvmlSystemGetCudaDriverVersion_v2", || unsafe {
        put(version, CUDA_DRIVER_VERSION)
    })
}

/// The name of a process: what it was started as, cut to `length`.
///
/// # Safety
/// `name` is null or valid for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetProcessName(pid: c_uint, name: *mut c_char, length: c_uint) -> u32 {
    export("nvmlSystemGetProcessName", || {
        state::require()?;
        if length == 0 {
            return Err(Status::InvalidArgument);
        }
        let started = std::fs::read(format!("/proc/{pid}/cmdline")).map_err(|e| match e.kind() {
            ErrorKind::PermissionDenied => Status::NoPermission,
            _ => Status::NotFound,
        })?;
        let first = started.split(|b| *b == 0).next().unwrap_or_default();
        let text = String::from_utf8_lossy(first);
        let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
        let cut = ends.take_while(|end| *end < length as usize).last().unwrap_or(0);
        // SAFETY: the caller's promise.
        unsafe { put_text(name, length, &text[..cut]) }
    })
}

/// Number of S-class units: none.
///
/// # Safety
/// `count` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlUnitGetCount(count: *mut c_uint) -> u32 {
    export("nvmlUnitGetCount", || {
        state::require()?;
        // SAFETY: the caller's promise.
        unsafe { put(count, 0) }
    })
}

/// Number of GPUs kept from this system by its administrator: none.
///
/// # Safety
/// `count` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGetExcludedDeviceCount(count: *mut c_uint) -> u32 {
    // SAFETY: the caller's promise.
    export("nvmlGetExcludedDeviceCount", || unsafe { put(count, 0) })
}
