//! Devices: a guest sees one, its vGPU.

use crate::code::{Answer, Code};
use crate::state::{self, Driver};
use crate::types::{CUasyncCallback, CUdevprop, CUuuid, Caller, Handle, c_char, c_void};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// `CUdevice_attribute` numbers that this library looks at itself.
pub(crate) mod attribute {
    pub(crate) const MAX_THREADS_PER_BLOCK: i32 = 1;
    pub(crate) const MAX_BLOCK_DIM_X: i32 = 2;
    pub(crate) const MAX_BLOCK_DIM_Y: i32 = 3;
    pub(crate) const MAX_BLOCK_DIM_Z: i32 = 4;
    pub(crate) const MAX_GRID_DIM_X: i32 = 5;
    pub(crate) const MAX_GRID_DIM_Y: i32 = 6;
    pub(crate) const MAX_GRID_DIM_Z: i32 = 7;
    pub(crate) const MAX_SHARED_MEMORY_PER_BLOCK: i32 = 8;
    pub(crate) const TOTAL_CONSTANT_MEMORY: i32 = 9;
    pub(crate) const WARP_SIZE: i32 = 10;
    pub(crate) const MAX_PITCH: i32 = 11;
    pub(crate) const MAX_REGISTERS_PER_BLOCK: i32 = 12;
    pub(crate) const CLOCK_RATE: i32 = 13;
    pub(crate) const TEXTURE_ALIGNMENT: i32 = 14;
    pub(crate) const MULTIPROCESSOR_COUNT: i32 = 16;
    pub(crate) const MAX_THREADS_PER_MULTIPROCESSOR: i32 = 39;
    pub(crate) const MAX_SHARED_MEMORY_PER_MULTIPROCESSOR: i32 = 81;
    pub(crate) const MAX_REGISTERS_PER_MULTIPROCESSOR: i32 = 82;
    pub(crate) const MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: i32 = 97;
    pub(crate) const MANAGED_MEMORY: i32 = 83;
    pub(crate) const CAN_FLUSH_REMOTE_WRITES: i32 = 98;
    pub(crate) const MAX_BLOCKS_PER_MULTIPROCESSOR: i32 = 106;
    pub(crate) const MAX_ACCESS_POLICY_WINDOW_SIZE: i32 = 109;
    pub(crate) const CLUSTER_LAUNCH: i32 = 120;
    pub(crate) const RESERVED_SHARED_MEMORY_PER_BLOCK: i32 = 111;
    pub(crate) const MEM_SYNC_DOMAIN_COUNT: i32 = 126;
    /// Highest number that the table of CUDA 13.5 has.
    pub(crate) const LAST: i32 = 161;
}

/// The driver, where `dev` is its one device.
pub(crate) fn device(dev: i32) -> Answer<&'static Driver> {
    let driver = state::driver()?;
    if dev == 0 {
        Ok(driver)
    } else {
        Err(Code::INVALID_DEVICE)
    }
}

/// `cuDeviceGet`
pub(crate) fn device_get(out: Caller<i32>, ordinal: i32) -> Answer {
    device(ordinal)?;
    out.put(ordinal)
}

/// `cuDeviceGetCount`
pub(crate) fn device_get_count(count: Caller<i32>) -> Answer {
    state::driver()?;
    count.put(1)
}

/// `cuDeviceGetName`
pub(crate) fn device_get_name(name: Caller<c_char>, len: i32, dev: i32) -> Answer {
    let driver = device(dev)?;
    name.put_text(
        &driver.info().name,
        usize::try_from(len).map_err(|_| Code::INVALID_VALUE)?,
    )
}

/// `cuDeviceGetUuid`, both versions: the vGPU's.
pub(crate) fn device_get_uuid(uuid: Caller<CUuuid>, dev: i32) -> Answer {
    uuid.put(device(dev)?.uuid())
}

/// `cuDeviceTotalMem`
pub(crate) fn device_total_mem(bytes: Caller<usize>, dev: i32) -> Answer {
    let total = device(dev)?.info().memory_bytes;
    bytes.put(usize::try_from(total).unwrap_or(usize::MAX))
}

/// `cuDeviceGetAttribute`
pub(crate) fn device_get_attribute(pi: Caller<i32>, attrib: i32, dev: i32) -> Answer {
    let driver = device(dev)?;
    pi.required()?;
    if !(1..=attribute::LAST).contains(&attrib) {
        return Err(Code::INVALID_VALUE);
    }
    // What the board does not say is a feature that it does not have.
    pi.put(driver.attribute(attrib).unwrap_or(0))
}

/// `cuDeviceComputeCapability`
pub(crate) fn device_compute_capability(major: Caller<i32>, minor: Caller<i32>, dev: i32) -> Answer {
    let driver = device(dev)?;
    let (first, second) = driver.info().compute_capability;
    minor.required()?;
    major.put(i32::try_from(first).unwrap_or(0))?;
    minor.put(i32::try_from(second).unwrap_or(0))
}

/// `cuDeviceGetProperties`
pub(crate) fn device_get_properties(prop: Caller<CUdevprop>, dev: i32) -> Answer {
    use attribute as number;
    let driver = device(dev)?;
    let of = |which| driver.attribute(which).unwrap_or(0);
    prop.put(CUdevprop {
        max_threads_per_block: of(number::MAX_THREADS_PER_BLOCK),
        max_threads: [
            of(number::MAX_BLOCK_DIM_X),
            of(number::MAX_BLOCK_DIM_Y),
            of(number::MAX_BLOCK_DIM_Z),
        ],
        max_grid: [
            of(number::MAX_GRID_DIM_X),
            of(number::MAX_GRID_DIM_Y),
            of(number::MAX_GRID_DIM_Z),
        ],
        shared_bytes: of(number::MAX_SHARED_MEMORY_PER_BLOCK),
        constant_bytes: of(number::TOTAL_CONSTANT_MEMORY),
        simd_width: of(number::WARP_SIZE),
        memory_pitch: of(number::MAX_PITCH),
        registers: of(number::MAX_REGISTERS_PER_BLOCK),
        clock_khz: of(number::CLOCK_RATE),
        texture_align: of(number::TEXTURE_ALIGNMENT),
    })
}

/// The four-digit domain that CUDA prints, of an address whose domain may have eight.
fn short_bus_id(id: &str) -> &str {
    match id.split_once(':') {
        Some((domain, _)) if domain.len() == 8 && domain.starts_with("0000") => id.get(4..).unwrap_or(id),
        _ => id,
    }
}

/// `cuDeviceGetPCIBusId`
pub(crate) fn device_get_pci_bus_id(pci_bus_id: Caller<c_char>, len: i32, dev: i32) -> Answer {
    let driver = device(dev)?;
    let room = usize::try_from(len).map_err(|_| Code::INVALID_VALUE)?;
    pci_bus_id.put_text(short_bus_id(&driver.info().pci_bus_id), room)
}

/// Domain, bus, device and function; a missing domain is 0, a missing function too.
fn parse_bus_id(text: &str) -> Option<[u32; 4]> {
    let (head, function) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = head.rsplit(':');
    let device = parts.next()?;
    let bus = parts.next()?;
    let domain = parts.next().unwrap_or("0");
    let number = |digits: &str| u32::from_str_radix(digits, 16).ok();
    Some([number(domain)?, number(bus)?, number(device)?, number(function)?])
}

/// `cuDeviceGetByPCIBusId`
pub(crate) fn device_get_by_pci_bus_id(dev: Caller<i32>, pci_bus_id: Caller<c_char>) -> Answer {
    let driver = state::driver()?;
    dev.required()?;
    let wanted = parse_bus_id(pci_bus_id.text()?.trim()).ok_or(Code::INVALID_VALUE)?;
    if parse_bus_id(&driver.info().pci_bus_id) == Some(wanted) {
        dev.put(0)
    } else {
        Err(Code::INVALID_DEVICE)
    }
}

/// `cuDeviceCanAccessPeer`: a device is not its own peer.
pub(crate) fn device_can_access_peer(out: Caller<i32>, dev: i32, peer_dev: i32) -> Answer {
    device(dev)?;
    device(peer_dev)?;
    out.put(0)
}

/// `cuDeviceGetP2PAttribute`: needs two different devices, and there is one.
pub(crate) fn device_get_p2p_attribute(
    value: Caller<i32>,
    _attrib: i32,
    source: i32,
    destination: i32,
) -> Answer {
    value.required()?;
    device(source)?;
    device(destination)?;
    Err(Code::INVALID_DEVICE)
}

/// `CU_ATOMIC_OPERATION_FLOAT_MAX`
const LAST_ATOMIC: i32 = 12;

fn check_atomics(capabilities: Caller<u32>, operations: Caller<i32>, count: u32) -> Answer {
    capabilities.required()?;
    operations.required()?;
    if count == 0 {
        return Err(Code::INVALID_VALUE);
    }
    for index in 0..count as usize {
        if !(0..=LAST_ATOMIC).contains(&operations.at(index)?) {
            return Err(Code::INVALID_VALUE);
        }
    }
    Ok(())
}

/// `cuDeviceGetHostAtomicCapabilities`: none, as `CU_DEVICE_ATTRIBUTE_HOST_NATIVE_ATOMIC_SUPPORTED` says.
pub(crate) fn device_get_host_atomic_capabilities(
    capabilities: Caller<u32>,
    operations: Caller<i32>,
    count: u32,
    dev: i32,
) -> Answer {
    device(dev)?;
    check_atomics(capabilities, operations, count)?;
    for index in 0..count as usize {
        capabilities.put_at(index, 0)?;
    }
    Ok(())
}

/// `cuDeviceGetP2PAtomicCapabilities`: needs two different devices, and there is one.
pub(crate) fn device_get_p2p_atomic_capabilities(
    capabilities: Caller<u32>,
    operations: Caller<i32>,
    count: u32,
    source: i32,
    destination: i32,
) -> Answer {
    check_atomics(capabilities, operations, count)?;
    device(source)?;
    device(destination)?;
    Err(Code::INVALID_DEVICE)
}

/// Callbacks that were registered, by their handles.
static NOTIFIED: Mutex<BTreeSet<Handle>> = Mutex::new(BTreeSet::new());

/// `cuDeviceRegisterAsyncNotification`: the one notification that there is says that memory is taken from the process, and a vGPU's
/// memory never is.
pub(crate) fn device_register_async_notification(
    dev: i32,
    function: CUasyncCallback,
    _user_data: Caller<c_void>,
    callback: Caller<Handle>,
) -> Answer {
    let driver = device(dev)?;
    function.ok_or(Code::INVALID_VALUE)?;
    callback.required()?;
    let handle = driver.next_identity() << 4;
    NOTIFIED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(handle);
    callback.put(handle)
}

/// `cuDeviceUnregisterAsyncNotification`
pub(crate) fn device_unregister_async_notification(dev: i32, callback: Handle) -> Answer {
    device(dev)?;
    let known = NOTIFIED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(&callback);
    if known { Ok(()) } else { Err(Code::INVALID_VALUE) }
}

/// `cuDeviceGetExecAffinitySupport`: number of multiprocessors cannot be chosen.
pub(crate) fn device_get_exec_affinity_support(pi: Caller<i32>, kind: i32, dev: i32) -> Answer {
    device(dev)?;
    if kind != 0 {
        return Err(Code::INVALID_VALUE);
    }
    pi.put(0)
}

/// Reads `GPU-xxxxxxxx-xxxx-...` or the bare form.
pub(crate) fn parse_uuid(text: &str) -> CUuuid {
    let digits: Vec<u8> = text
        .trim_start_matches("GPU-")
        .trim_start_matches("MIG-")
        .chars()
        .filter_map(|letter| letter.to_digit(16))
        .filter_map(|digit| u8::try_from(digit).ok())
        .collect();
    let mut uuid = CUuuid::default();
    for (byte, pair) in uuid.bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair.iter().fold(0, |value, digit| (value << 4) | digit);
    }
    uuid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bus_ids_compare_by_value() {
        assert_eq!(short_bus_id("00000000:06:00.0"), "0000:06:00.0");
        assert_eq!(parse_bus_id("0000:06:00.0"), parse_bus_id("00000000:06:00"));
        assert_eq!(parse_bus_id("06:00.0"), Some([0, 6, 0, 0]));
        assert_eq!(parse_bus_id("six"), None);
    }

    #[test]
    fn uuids_are_read_with_and_without_prefix() {
        let uuid = parse_uuid("GPU-00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(uuid.bytes[1], 0x11);
        assert_eq!(uuid.bytes[15], 0xff);
        assert_eq!(uuid, parse_uuid("00112233-4455-6677-8899-aabbccddeeff"));
    }
}
