//! Where a device is: a vGPU on a software GPU is as near to every processor and every memory as the next.

use crate::abi::put;
use crate::device::export;
use crate::state::{self, Device};
use crate::status::Status;
use std::ffi::{c_int, c_uint, c_ulong};

/// `NVML_AFFINITY_SCOPE_SOCKET`, the last of the scopes.
const LAST_SCOPE: c_uint = 1;
/// `NVML_TOPOLOGY_INTERNAL`: one board.
const TOPOLOGY_INTERNAL: c_uint = 0;

/// The numbers in a list of the kernel's, `0-3,8`.
fn numbers(list: &str) -> Option<Vec<usize>> {
    let mut all = Vec::new();
    for part in list.trim().split(',').filter(|p| !p.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        all.extend(first..=last);
    }
    Some(all)
}

/// Those of a kind that are online; the first one where the system does not say.
fn online(path: &str) -> Vec<usize> {
    let list = std::fs::read_to_string(path).ok();
    list.and_then(|l| numbers(&l)).unwrap_or_else(|| vec![0])
}

/// Sets bits in `words` words; bits that do not fit are left out.
///
/// # Safety
/// `set` is null or valid for `words` words.
unsafe fn put_set(set: *mut c_ulong, words: c_uint, bits: &[usize]) -> Result<(), Status> {
    if set.is_null() || words == 0 {
        return Err(Status::InvalidArgument);
    }
    let width = c_ulong::BITS as usize;
    for word in 0..words as usize {
        let own = bits.iter().filter(|&&b| b / width == word);
        let value = own.fold(0, |all, b| all | 1 << (b % width));
        // SAFETY: within the caller's words.
        unsafe { set.add(word).write_unaligned(value) };
    }
    Ok(())
}

const PROCESSORS: &str = "/sys/devices/system/cpu/online";
const NODES: &str = "/sys/devices/system/node/online";

/// The processors near a device: all that are online.
///
/// # Safety
/// `set` is null or valid for `words` words.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCpuAffinity(device: Device, words: c_uint, set: *mut c_ulong) -> u32 {
    export("nvmlDeviceGetCpuAffinity", || {
        state::snapshot(device)?;
        // SAFETY: the caller's promise.
        unsafe { put_set(set, words, &online(PROCESSORS)) }
    })
}

/// As [`nvmlDeviceGetCpuAffinity`], in a NUMA node (0) or a socket (1).
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCpuAffinityWithinScope(
    device: Device,
    words: c_uint,
    set: *mut c_ulong,
    scope: c_uint,
) -> u32 {
    export("nvmlDeviceGetCpuAffinityWithinScope", || {
        state::snapshot(device)?;
        if scope > LAST_SCOPE {
            return Err(Status::InvalidArgument);
        }
        // SAFETY: the caller's promise.
        unsafe { put_set(set, words, &online(PROCESSORS)) }
    })
}

/// The NUMA nodes near a device: all that are online.
///
/// # Safety
/// `set` is null or valid for `words` words.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMemoryAffinity(
    device: Device,
    words: c_uint,
    set: *mut c_ulong,
    scope: c_uint,
) -> u32 {
    export("nvmlDeviceGetMemoryAffinity", || {
        state::snapshot(device)?;
        if scope > LAST_SCOPE {
            return Err(Status::InvalidArgument);
        }
        // SAFETY: the caller's promise.
        unsafe { put_set(set, words, &online(NODES)) }
    })
}

/// Whether two devices are on one board: there is one device.
///
/// # Safety
/// `same` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceOnSameBoard(one: Device, other: Device, same: *mut c_int) -> u32 {
    export("nvmlDeviceOnSameBoard", || {
        state::snapshot(one)?;
        state::snapshot(other)?;
        // SAFETY: the caller's promise.
        unsafe { put(same, 1) }
    })
}

/// How near two devices are: there is one device.
///
/// # Safety
/// `path` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetTopologyCommonAncestor(
    one: Device,
    other: Device,
    path: *mut c_uint,
) -> u32 {
    export("nvmlDeviceGetTopologyCommonAncestor", || {
        state::snapshot(one)?;
        state::snapshot(other)?;
        // SAFETY: the caller's promise.
        unsafe { put(path, TOPOLOGY_INTERNAL) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_the_kernel_are_read() {
        assert_eq!(numbers("0-3,8\n"), Some(vec![0, 1, 2, 3, 8]));
        assert_eq!(numbers("0\n"), Some(vec![0]));
        assert_eq!(numbers("\n"), Some(Vec::new()));
        assert_eq!(numbers("a-b"), None);
    }

    #[test]
    fn bits_go_where_they_belong_and_no_further() {
        let mut words = [7; 3];
        // SAFETY: two words are within the array.
        let put = unsafe { put_set(words.as_mut_ptr(), 2, &[0, 63, 64, 200]) };
        assert_eq!((put, words), (Ok(()), [1 | 1 << 63, 1, 7]));
        // SAFETY: null is refused.
        let none = unsafe { put_set(std::ptr::null_mut(), 1, &[]) };
        assert_eq!(none, Err(Status::InvalidArgument));
    }
}
