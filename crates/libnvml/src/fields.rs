//! Values by number.

use crate::abi::FieldValue;
use crate::device::export;
use crate::state::{self, Device};
use crate::status::Status;
use std::ffi::c_int;
use std::time::{SystemTime, UNIX_EPOCH};

/// Answers each of `count` values for itself, as NVML does: none of them (counters of errors, links, power) exists on a vGPU, and
/// each says so.
///
/// # Safety
/// `values` is null or valid for `count` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetFieldValues(
    device: Device,
    count: c_int,
    values: *mut FieldValue,
) -> u32 {
    export("nvmlDeviceGetFieldValues", || {
        state::snapshot(device)?;
        let count = usize::try_from(count).ok().filter(|c| *c > 0);
        let (Some(count), false) = (count, values.is_null()) else {
            return Err(Status::InvalidArgument);
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let timestamp = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        for i in 0..count {
            // SAFETY: within the caller's elements.
            unsafe {
                let place = values.add(i);
                (&raw mut (*place).timestamp).write_unaligned(timestamp);
                (&raw mut (*place).latency).write_unaligned(0);
                (&raw mut (*place).status).write_unaligned(Status::NotSupported.code());
            }
        }
        Ok(())
    })
}
