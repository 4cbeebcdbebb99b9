//! Structures of the public NVML header, and careful writes to the caller's memory.

use crate::state::Device;
use crate::status::Status;
use std::ffi::{c_char, c_int, c_uint, c_ulonglong};

/// `nvmlMemory_t`, bytes.
#[repr(C)]
pub struct Memory {
    /// All.
    pub total: c_ulonglong,
    /// Not in use.
    pub free: c_ulonglong,
    /// In use.
    pub used: c_ulonglong,
}

/// `nvmlMemory_v2_t`, bytes.
#[repr(C)]
pub struct MemoryV2 {
    /// [`MEMORY_V2`].
    pub version: c_uint,
    /// All.
    pub total: c_ulonglong,
    /// Held back by the driver.
    pub reserved: c_ulonglong,
    /// Not in use.
    pub free: c_ulonglong,
    /// In use.
    pub used: c_ulonglong,
}

/// Version word of [`MemoryV2`]: size in the low bits, 2 in the high byte.
pub const MEMORY_V2: c_uint = 0x0200_0028;

/// `nvmlUtilization_t`, per cent over the last sample period.
#[repr(C)]
pub struct Utilization {
    /// Of the engines.
    pub gpu: c_uint,
    /// Of the memory interface.
    pub memory: c_uint,
}

/// `nvmlPciInfo_t` as of version 3.
#[repr(C)]
pub struct PciInfo {
    /// `0000:06:00.0`
    pub bus_id_legacy: [c_char; 16],
    /// Domain.
    pub domain: c_uint,
    /// Bus.
    pub bus: c_uint,
    /// Device.
    pub device: c_uint,
    /// Device id in the high half, vendor id in the low half.
    pub pci_device_id: c_uint,
    /// Likewise of the subsystem.
    pub pci_sub_system_id: c_uint,
    /// `00000000:06:00.0`
    pub bus_id: [c_char; 32],
}

/// `nvmlPciInfo_v2_t`.
#[repr(C)]
pub struct PciInfoV2 {
    /// `0000:06:00.0`
    pub bus_id: [c_char; 16],
    /// Domain.
    pub domain: c_uint,
    /// Bus.
    pub bus: c_uint,
    /// Device.
    pub device: c_uint,
    /// Device id in the high half, vendor id in the low half.
    pub pci_device_id: c_uint,
    /// Likewise of the subsystem.
    pub pci_sub_system_id: c_uint,
    /// Zero.
    pub reserved: [c_uint; 4],
}

/// `nvmlProcessInfo_v1_t`.
#[repr(C)]
pub struct ProcessInfoV1 {
    /// Process id.
    pub pid: c_uint,
    /// Frame buffer, bytes.
    pub used_gpu_memory: c_ulonglong,
}

/// `nvmlProcessInfo_t` as of versions 2 and 3.
#[repr(C)]
pub struct ProcessInfo {
    /// Process id.
    pub pid: c_uint,
    /// Frame buffer, bytes.
    pub used_gpu_memory: c_ulonglong,
    /// `0xFFFFFFFF` without MIG.
    pub gpu_instance_id: c_uint,
    /// `0xFFFFFFFF` without MIG.
    pub compute_instance_id: c_uint,
}

/// `nvmlProcessUtilizationSample_t`, per cent.
#[repr(C)]
pub struct ProcessUtilization {
    /// Process id.
    pub pid: c_uint,
    /// End of the period, microseconds since 1970.
    pub time: c_ulonglong,
    /// Of the multiprocessors.
    pub sm: c_uint,
    /// Of the memory interface.
    pub memory: c_uint,
    /// Of the encoder.
    pub encoder: c_uint,
    /// Of the decoder.
    pub decoder: c_uint,
}

/// `nvmlProcessUtilizationInfo_v1_t`, per cent.
#[repr(C)]
pub struct ProcessUtilizationInfo {
    /// End of the period, microseconds since 1970.
    pub time: c_ulonglong,
    /// Process id.
    pub pid: c_uint,
    /// Of the multiprocessors.
    pub sm: c_uint,
    /// Of the memory interface.
    pub memory: c_uint,
    /// Of the encoder.
    pub encoder: c_uint,
    /// Of the decoder.
    pub decoder: c_uint,
    /// Of the JPEG decoder.
    pub jpeg: c_uint,
    /// Of the optical flow accelerator.
    pub optical_flow: c_uint,
}

/// `nvmlProcessesUtilizationInfo_v1_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ProcessesUtilizationInfo {
    /// [`PROCESSES_UTILIZATION_V1`].
    pub version: c_uint,
    /// Room in, number out.
    pub count: c_uint,
    /// Only samples that ended later, microseconds since 1970.
    pub seen: c_ulonglong,
    /// The array.
    pub processes: *mut ProcessUtilizationInfo,
}

/// Version word of [`ProcessesUtilizationInfo`].
pub const PROCESSES_UTILIZATION_V1: c_uint = 0x0100_0018;

/// `nvmlSample_t`.
#[repr(C)]
pub struct DeviceSample {
    /// End of the period, microseconds since 1970.
    pub time: c_ulonglong,
    /// Per cent, in the lower half.
    pub value: u64,
}

/// `nvmlProcessDetail_v1_t`.
#[repr(C)]
pub struct ProcessDetail {
    /// Process id.
    pub pid: c_uint,
    /// Frame buffer, bytes.
    pub used_gpu_memory: c_ulonglong,
    /// `0xFFFFFFFF` without MIG.
    pub gpu_instance_id: c_uint,
    /// `0xFFFFFFFF` without MIG.
    pub compute_instance_id: c_uint,
    /// Of confidential computing, bytes.
    pub used_protected_memory: c_ulonglong,
}

/// `nvmlProcessDetailList_v1_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ProcessDetails {
    /// [`PROCESS_DETAILS_V1`].
    pub version: c_uint,
    /// Whose processes.
    pub mode: c_uint,
    /// Room in, number out.
    pub count: c_uint,
    /// The array.
    pub processes: *mut ProcessDetail,
}

/// Version word of [`ProcessDetails`].
pub const PROCESS_DETAILS_V1: c_uint = 0x0100_0018;

/// `nvmlGpmSupport_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Support {
    /// [`SUPPORT_V1`].
    pub version: c_uint,
    /// 0 or 1.
    pub is_supported: c_uint,
}

/// Version of [`Support`]: a plain number.
pub const SUPPORT_V1: c_uint = 1;

/// `nvmlUUID_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Uuid {
    /// [`UUID_V1`].
    pub version: c_uint,
    /// 1: text that ends with NUL; 2: sixteen bytes.
    pub kind: c_uint,
    /// Either.
    pub value: [u8; 41],
}

/// Version word of [`Uuid`].
pub const UUID_V1: c_uint = 0x0100_0034;

/// `nvmlEventData_t`.
#[repr(C)]
pub struct EventData {
    /// Which device.
    pub device: Device,
    /// Which type.
    pub event_type: c_ulonglong,
    /// Of an Xid its number.
    pub event_data: c_ulonglong,
    /// `0xFFFFFFFF` without MIG.
    pub gpu_instance_id: c_uint,
    /// `0xFFFFFFFF` without MIG.
    pub compute_instance_id: c_uint,
}

/// The same before there were instances.
#[repr(C)]
pub struct EventDataV1 {
    /// Which device.
    pub device: Device,
    /// Which type.
    pub event_type: c_ulonglong,
    /// Of an Xid its number.
    pub event_data: c_ulonglong,
}

/// `nvmlFieldValue_t`.
#[repr(C)]
pub struct FieldValue {
    /// Which value is wanted.
    pub field: c_uint,
    /// Of which link, or the like.
    pub scope: c_uint,
    /// When it was read, microseconds since 1970.
    pub timestamp: i64,
    /// How long that took, microseconds.
    pub latency: i64,
    /// How `value` is to be read.
    pub value_type: c_uint,
    /// `nvmlReturn_t` of this value.
    pub status: c_uint,
    /// The value.
    pub value: u64,
}

/// `nvmlFBCStats_t`.
#[repr(C)]
#[derive(Default)]
pub struct FbcStats {
    sessions: c_uint,
    average_fps: c_uint,
    average_latency: c_uint,
}

/// Bytes of the texts of licences.
pub const LICENCE_TEXT: usize = 128;

/// `nvmlGridLicenseExpiry_t`; status 0 says that nothing is known.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct LicenceExpiry {
    year: u32,
    month: u16,
    day: u16,
    hour: u16,
    minute: u16,
    second: u16,
    status: u8,
}

/// `nvmlGridLicensableFeature_t`; later versions add what is `extra`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct LicensableFeature<E> {
    /// Which feature.
    pub code: c_uint,
    /// 1 with a licence.
    pub state: c_uint,
    /// Text.
    pub licence_info: [c_char; LICENCE_TEXT],
    /// Of a later version.
    pub extra: E,
}

impl<E: Default> Default for LicensableFeature<E> {
    fn default() -> Self {
        Self {
            code: 0,
            state: 0,
            licence_info: [0; LICENCE_TEXT],
            extra: E::default(),
        }
    }
}

/// `nvmlGridLicensableFeatures_t`.
#[repr(C)]
pub struct LicensableFeatures<E> {
    /// Whether there are licences at all.
    pub supported: c_int,
    /// How many of the features mean something.
    pub count: c_uint,
    /// They.
    pub features: [LicensableFeature<E>; 3],
}

/// Writes `value` where `place` points.
///
/// # Safety
/// `place` is null or valid for a write of `T`, as the NVML caller promises.
pub(crate) unsafe fn put<T>(place: *mut T, value: T) -> Result<(), Status> {
    if place.is_null() {
        return Err(Status::InvalidArgument);
    }
    // SAFETY: not null, and valid by this function's contract. The caller's structure may lie unaligned in packed memory.
    unsafe { place.write_unaligned(value) };
    Ok(())
}

/// Writes `text` and a NUL into a buffer of `length` bytes.
///
/// # Safety
/// `place` is null or valid for `length` bytes.
pub(crate) unsafe fn put_text(place: *mut c_char, length: c_uint, text: &str) -> Result<(), Status> {
    if place.is_null() {
        return Err(Status::InvalidArgument);
    }
    if text.len() + 1 > length as usize {
        return Err(Status::InsufficientSize);
    }
    // SAFETY: the buffer holds `length` bytes by this function's contract, and text plus NUL fit as just checked.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast::<c_char>(), place, text.len());
        place.add(text.len()).write(0);
    }
    Ok(())
}

/// Writes an array in the two-call manner: `count` holds the room on entry and the number on return.
///
/// # Safety
/// `count` is null or valid for read and write; `items` is null or valid for `*count` elements.
pub(crate) unsafe fn put_array<T>(count: *mut c_uint, items: *mut T, values: Vec<T>) -> Result<(), Status> {
    if count.is_null() {
        return Err(Status::InvalidArgument);
    }
    let number = c_uint::try_from(values.len()).map_err(|_| Status::Unknown)?;
    // SAFETY: not null, valid by contract.
    let room = unsafe { count.read_unaligned() };
    // SAFETY: as above.
    unsafe { count.write_unaligned(number) };
    if number > room {
        return Err(Status::InsufficientSize);
    }
    if number > 0 && items.is_null() {
        return Err(Status::InvalidArgument);
    }
    for (index, value) in values.into_iter().enumerate() {
        // SAFETY: index < number <= room, and `items` has room for that many by contract.
        unsafe { items.add(index).write_unaligned(value) };
    }
    Ok(())
}

/// A fixed field of a structure with `text`, cut to fit and ended by NUL.
pub(crate) fn field<const N: usize>(text: &str) -> [c_char; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(text.bytes().take(N.saturating_sub(1))) {
        *to = c_char::from_ne_bytes([from]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_header() {
        assert_eq!(size_of::<Memory>(), 24);
        assert_eq!(
            size_of::<MemoryV2>(),
            usize::try_from(MEMORY_V2 & 0xff_ffff).unwrap()
        );
        assert_eq!(size_of::<PciInfo>(), 68);
        assert_eq!(size_of::<PciInfoV2>(), 52);
        assert_eq!(size_of::<ProcessInfo>(), 24);
        assert_eq!(size_of::<EventData>(), 32);
        assert_eq!(size_of::<ProcessUtilization>(), 32);
        assert_eq!(size_of::<ProcessUtilizationInfo>(), 40);
        assert_eq!(size_of::<DeviceSample>(), 16);
        assert_eq!(size_of::<ProcessDetail>(), 32);
        for (version, size) in [
            (PROCESSES_UTILIZATION_V1, size_of::<ProcessesUtilizationInfo>()),
            (PROCESS_DETAILS_V1, size_of::<ProcessDetails>()),
        ] {
            assert_eq!(size, usize::try_from(version & 0xff_ffff).unwrap());
        }
        assert_eq!(size_of::<Uuid>(), 52);
        assert_eq!(size_of::<FieldValue>(), 40);
        assert_eq!(size_of::<FbcStats>(), 12);
        assert_eq!(size_of::<LicenceExpiry>(), 16);
    }

    #[test]
    fn an_array_is_written_only_where_it_fits() {
        let mut count: c_uint = 1;
        let mut room = [7_u8; 2];
        // SAFETY: both places are live and `count` does not exceed the room.
        let result = unsafe { put_array(&raw mut count, room.as_mut_ptr(), vec![1, 2]) };
        assert_eq!((result, count, room), (Err(Status::InsufficientSize), 2, [7, 7]));
        // SAFETY: as above.
        let result = unsafe { put_array(&raw mut count, room.as_mut_ptr(), vec![1, 2]) };
        assert_eq!((result, count, room), (Ok(()), 2, [1, 2]));
    }
}
