//! Engines for pictures, which vGPUs for Compute do not show: nothing of them is in use, and no session exists.

use crate::abi::{FbcStats, put};
use crate::device::export;
use crate::state::{self, Device};
use std::ffi::{c_uint, c_void};

macro_rules! engines {
    ($( $(#[$doc:meta])* $name:ident; )*) => { $(
        $(#[$doc])*
        ///
        /// Per cent, and the period in microseconds.
        ///
        /// # Safety
        /// Pointers are null or valid for a write.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(device: Device, percent: *mut c_uint, period_us: *mut c_uint) -> u32 {
            export(stringify!($name), || {
                state::snapshot(device)?;
                // SAFETY: the caller's promise.
                unsafe {
                    put(percent, 0)?;
                    put(period_us, 0)
                }
            })
        }
    )* };
}

macro_rules! sessions {
    ($( $(#[$doc:meta])* $name:ident; )*) => { $(
        $(#[$doc])*
        ///
        /// # Safety
        /// `count` is null or valid for a write; nothing is written to `sessions`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(device: Device, count: *mut c_uint, _sessions: *mut c_void) -> u32 {
            export(stringify!($name), || {
                state::snapshot(device)?;
                // SAFETY: the caller's promise.
                unsafe { put(count, 0) }
            })
        }
    )* };
}

engines! {
    /// Use of the encoder: none.
    nvmlDeviceGetEncoderUtilization;
    /// Use of the decoder: none.
    nvmlDeviceGetDecoderUtilization;
    /// Use of the JPEG decoder: none.
    nvmlDeviceGetJpgUtilization;
    /// Use of the optical flow accelerator: none.
    nvmlDeviceGetOfaUtilization;
}

sessions! {
    /// Sessions of the encoder: none.
    nvmlDeviceGetEncoderSessions;
    /// Sessions that capture frames: none.
    nvmlDeviceGetFBCSessions;
}

/// Sessions of the encoder, their frames a second and their latency: none.
///
/// # Safety
/// Pointers are null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetEncoderStats(
    device: Device,
    sessions: *mut c_uint,
    fps: *mut c_uint,
    latency_us: *mut c_uint,
) -> u32 {
    export("nvmlDeviceGetEncoderStats", || {
        state::snapshot(device)?;
        // SAFETY: the caller's promise.
        unsafe {
            put(sessions, 0)?;
            put(fps, 0)?;
            put(latency_us, 0)
        }
    })
}

/// Sessions that capture frames: none.
///
/// # Safety
/// `stats` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetFBCStats(device: Device, stats: *mut FbcStats) -> u32 {
    export("nvmlDeviceGetFBCStats", || {
        state::snapshot(device)?;
        // SAFETY: the caller's promise.
        unsafe { put(stats, FbcStats::default()) }
    })
}
