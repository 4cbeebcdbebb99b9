//! What `nvmlInit` sets up: the count of initialisations and the devices of this guest.
//!
//! ```text
//!   uninitialised ── nvmlInit* (vGPU reachable) ──▶ initialised(n) ── nvmlInit* ──▶ initialised(n + 1)
//!         ▲                                              │
//!         └──────────────── nvmlShutdown (n = 1) ────────┘
//! ```
//! A device handle is the address of a static cell, so that a handle outlives re-initialisation as it does with the vendor's
//! library; any other pointer is refused without being looked at.

use crate::source::{Faults, Snapshot, Source, SourceError, Use};
use crate::status::Status;
use std::ffi::c_void;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// `nvmlDevice_t`.
pub type Device = *mut c_void;

/// Its address is the handle of device 0. A guest process sees one vGPU.
static DEVICE_0: u8 = 0;

struct State {
    initialised: u32,
    source: Option<Source>,
}

static STATE: Mutex<State> = Mutex::new(State {
    initialised: 0,
    source: None,
});

fn lock() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `nvmlInit*`. `allow_no_gpus` is the flag `NVML_INIT_FLAG_NO_GPUS`.
pub(crate) fn init(allow_no_gpus: bool) -> Result<(), Status> {
    let mut state = lock();
    if state.initialised == 0 {
        match Source::open() {
            Ok(source) => state.source = Some(source),
            Err(error) => {
                tessera_guest::log(&format!("NVML finds no vGPU: {}", tessera_guest::chain(&error)));
                if !allow_no_gpus {
                    return Err(Status::DriverNotLoaded);
                }
            }
        }
    }
    state.initialised += 1;
    Ok(())
}

/// `nvmlShutdown`.
pub(crate) fn shutdown() -> Result<(), Status> {
    let mut state = lock();
    state.initialised = state.initialised.checked_sub(1).ok_or(Status::Uninitialized)?;
    if state.initialised == 0 {
        state.source = None;
    }
    Ok(())
}

/// Fails before `nvmlInit*`.
pub(crate) fn require() -> Result<(), Status> {
    if lock().initialised == 0 {
        Err(Status::Uninitialized)
    } else {
        Ok(())
    }
}

/// Number of devices.
pub(crate) fn count() -> Result<u32, Status> {
    let state = lock();
    if state.initialised == 0 {
        return Err(Status::Uninitialized);
    }
    Ok(u32::from(state.source.is_some()))
}

/// The handle of a device by index.
pub(crate) fn handle(index: u32) -> Result<Device, Status> {
    if index >= count()? {
        return Err(Status::InvalidArgument);
    }
    Ok((&raw const DEVICE_0).cast_mut().cast::<c_void>())
}

/// The truth about a device, asked for now.
pub(crate) fn snapshot(device: Device) -> Result<Snapshot, Status> {
    asked(device, Source::snapshot)
}

/// The faults of a device up to now.
pub(crate) fn faults(device: Device) -> Result<Faults, Status> {
    asked(device, Source::faults)
}

/// The use of a device in the last moments.
pub(crate) fn utilisation(device: Device) -> Result<Use, Status> {
    asked(device, Source::utilisation)
}

fn asked<T>(device: Device, ask: impl FnOnce(&mut Source) -> Result<T, SourceError>) -> Result<T, Status> {
    let mut state = lock();
    if state.initialised == 0 {
        return Err(Status::Uninitialized);
    }
    if device != (&raw const DEVICE_0).cast_mut().cast::<c_void>() {
        return Err(Status::InvalidArgument);
    }
    let source = state.source.as_mut().ok_or(Status::InvalidArgument)?;
    ask(source).map_err(|error| {
        tessera_guest::log(&format!("NVML lost its vGPU: {}", tessera_guest::chain(&error)));
        Status::GpuIsLost
    })
}

/// Version of the driver, as the worker's host gives it.
pub(crate) fn driver_version() -> Result<String, Status> {
    snapshot(handle(0)?).map(|s| s.driver_version)
}
