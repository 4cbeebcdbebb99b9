//! Event sets: programs that wait for what goes wrong on a vGPU.
//!
//! One type of event exists here, the **Xid**: a kernel of any program on the vGPU faulted. The worker counts faults and
//! remembers the Xids of the last eight; a set that is registered compares.
//!
//! ```text
//!  create ──▶ empty ── register ──▶ follows the vGPU from here on ── wait ──▶ the next fault, in order; or time is up
//! ```
//!
//! A handle is a number that was given out, never an address: any other pointer is refused without being looked at. A wait asks
//! the worker fifty times a second and holds no lock while it sleeps.

use crate::abi::{EventData, EventDataV1, put};
use crate::device::export;
use crate::source::Faults;
use crate::state::{self, Device};
use crate::status::Status;
use std::collections::BTreeMap;
use std::ffi::{c_uint, c_ulonglong, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The type of event that is called a critical Xid error.
const XID: c_ulonglong = 8;
/// How many faults the worker tells apart.
const REMEMBERED: u64 = 8;
/// Between two questions of a wait.
const PERIOD: Duration = Duration::from_millis(20);
/// Not in a MIG instance.
const NO_INSTANCE: c_uint = c_uint::MAX;

/// Sets by handle, each with the faults that its owner knows of; none before a device is registered.
struct Sets {
    last: usize,
    open: BTreeMap<usize, Option<u64>>,
}

static SETS: Mutex<Sets> = Mutex::new(Sets {
    last: 0,
    open: BTreeMap::new(),
});

fn sets() -> MutexGuard<'static, Sets> {
    SETS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The Xid of the fault after the first `seen`, and how many are known then.
fn next(faults: Faults, seen: u64) -> Option<(u8, u64)> {
    // A worker that was replaced counts from zero.
    let seen = if seen > faults.count { 0 } else { seen };
    let oldest = faults.count.saturating_sub(REMEMBERED);
    let number = seen.max(oldest) + 1;
    if number > faults.count {
        return None;
    }
    let back = faults.count - number;
    let [xid, ..] = (faults.xids >> (8 * back)).to_le_bytes();
    Some((xid, number))
}

/// Waits for the next event of a set: the device and the Xid.
fn wait(set: *mut c_void, timeout: Duration) -> Result<(Device, u8), Status> {
    let start = Instant::now();
    let handle = set.addr();
    loop {
        let device = state::handle(0)?;
        let seen = sets().open.get(&handle).copied().ok_or(Status::InvalidArgument)?;
        if let Some(seen) = seen {
            let faults = state::faults(device)?;
            if let Some((xid, number)) = next(faults, seen) {
                let mut sets = sets();
                let place = sets.open.get_mut(&handle).ok_or(Status::InvalidArgument)?;
                // Another thread that waits on this set may have had it.
                if *place == Some(seen) {
                    *place = Some(number);
                    return Ok((device, xid));
                }
                continue;
            }
        }
        let left = timeout.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Err(Status::Timeout);
        }
        std::thread::sleep(left.min(PERIOD));
    }
}

/// Creates an event set.
///
/// # Safety
/// `set` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetCreate(set: *mut *mut c_void) -> u32 {
    export("nvmlEventSetCreate", || {
        state::require()?;
        let mut sets = sets();
        let handle = sets.last + 1;
        // SAFETY: the caller's promise.
        unsafe { put(set, std::ptr::without_provenance_mut(handle)) }?;
        sets.last = handle;
        sets.open.insert(handle, None);
        Ok(())
    })
}

/// Frees an event set; a wait on it ends.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlEventSetFree(set: *mut c_void) -> u32 {
    export("nvmlEventSetFree", || {
        state::require()?;
        let known = sets().open.remove(&set.addr());
        known.map(|_| ()).ok_or(Status::InvalidArgument)
    })
}

/// The types of events that a device reports: Xids.
///
/// # Safety
/// `types` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetSupportedEventTypes(device: Device, types: *mut c_ulonglong) -> u32 {
    export("nvmlDeviceGetSupportedEventTypes", || {
        state::snapshot(device)?;
        // SAFETY: the caller's promise.
        unsafe { put(types, XID) }
    })
}

/// Has a set follow a device, from now on. Types that it does not report are not supported, and then nothing is registered.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceRegisterEvents(device: Device, types: c_ulonglong, set: *mut c_void) -> u32 {
    export("nvmlDeviceRegisterEvents", || {
        let faults = state::faults(device)?;
        let mut sets = sets();
        let place = sets.open.get_mut(&set.addr()).ok_or(Status::InvalidArgument)?;
        if types & !XID != 0 {
            return Err(Status::NotSupported);
        }
        if types != 0 {
            place.get_or_insert(faults.count);
        }
        Ok(())
    })
}

/// Waits up to `timeout` milliseconds for an event.
///
/// # Safety
/// `data` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetWait_v2(set: *mut c_void, data: *mut EventData, timeout: c_uint) -> u32 {
    export("nvmlEventSetWait_v2", || {
        state::require()?;
        if data.is_null() {
            return Err(Status::InvalidArgument);
        }
        let (device, xid) = wait(set, Duration::from_millis(timeout.into()))?;
        let event = EventData {
            device,
            event_type: XID,
            event_data: xid.into(),
            gpu_instance_id: NO_INSTANCE,
            compute_instance_id: NO_INSTANCE,
        };
        // SAFETY: the caller's promise.
        unsafe { put(data, event) }
    })
}

/// As [`nvmlEventSetWait_v2`], without instances.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetWait(set: *mut c_void, data: *mut EventDataV1, timeout: c_uint) -> u32 {
    export("nvmlEventSetWait", || {
        state::require()?;
        if data.is_null() {
            return Err(Status::InvalidArgument);
        }
        let (device, xid) = wait(set, Duration::from_millis(timeout.into()))?;
        let event = EventDataV1 {
            device,
            event_type: XID,
            event_data: xid.into(),
        };
        // SAFETY: the caller's promise.
        unsafe { put(data, event) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_in_order_and_those_that_nobody_remembers_are_left_out() {
        let faults = |count, xids| Faults { count, xids };
        assert_eq!(next(faults(0, 0), 0), None);
        assert_eq!(next(faults(2, 0x1f0d), 0), Some((31, 1)));
        assert_eq!(next(faults(2, 0x1f0d), 1), Some((13, 2)));
        assert_eq!(next(faults(2, 0x1f0d), 2), None);
        // Twelve, of which the first four are forgotten.
        assert_eq!(next(faults(12, 0x0807_0605_0403_0201), 1), Some((8, 5)));
        assert_eq!(next(faults(12, 0x0807_0605_0403_0201), 11), Some((1, 12)));
        // A new worker.
        assert_eq!(next(faults(1, 0x1f), 7), Some((31, 1)));
        assert_eq!(next(faults(0, 0), 7), None);
    }
}
