//! Devices: handles and what they are.

use crate::abi::{
    MEMORY_V2, Memory, MemoryV2, PciInfo, PciInfoV2, UUID_V1, Utilization, Uuid, field, put, put_text,
};
use crate::state::{self, Device};
use crate::status::Status;
use std::ffi::{CStr, c_char, c_int, c_uint};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// `NVML_GPU_VIRTUALIZATION_MODE_VGPU`: inside a guest.
const VIRTUALIZATION_MODE_VGPU: c_uint = 2;
/// `NVML_BRAND_NVIDIA_VCS`: vGPU for Compute.
const BRAND_VCS: c_uint = 9;

/// The software GPU is no PCI function: it has an address for programs that want one, and no ids.
const UNKNOWN_PCI_ID: c_uint = 0;

/// Numbers of `CUdevice_attribute`: clocks in kHz, the bus in bits.
const CLOCK_RATE: i32 = 13;
const MEMORY_CLOCK_RATE: i32 = 36;
const MEMORY_BUS_WIDTH: i32 = 37;

/// Runs the body of an exported function: no panic crosses the ABI.
pub(crate) fn export(name: &'static str, body: impl FnOnce() -> Result<(), Status>) -> u32 {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => Status::Success.code(),
        Ok(Err(status)) => status.code(),
        Err(_) => {
            tessera_guest::log(&format!("{name} failed inside the library"));
            Status::Unknown.code()
        }
    }
}

/// Reads a C string of the caller's.
///
/// # Safety
/// `text` is null or a NUL-terminated string.
unsafe fn text<'a>(text: *const c_char) -> Result<&'a str, Status> {
    if text.is_null() {
        return Err(Status::InvalidArgument);
    }
    // SAFETY: not null, terminated by contract.
    unsafe { CStr::from_ptr(text) }
        .to_str()
        .map_err(|_| Status::InvalidArgument)
}

macro_rules! getters {
    ($( $(#[$doc:meta])* $name:ident ( $($argument:ident : $type:ty),* ) = |$snapshot:ident| $body:expr; )*) => { $(
        $(#[$doc])*
        ///
        /// # Safety
        /// Pointers are null or valid for what NVML's header says is written there.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(device: Device, $($argument: $type),*) -> u32 {
            export(stringify!($name), || {
                let $snapshot = state::snapshot(device)?;
                // SAFETY: the caller's promise, one write helper per argument.
                unsafe { $body }
            })
        }
    )* };
}

/// Number of devices.
///
/// # Safety
/// `count` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> u32 {
    // SAFETY: the caller's promise.
    export("nvmlDeviceGetCount_v2", || unsafe { put(count, state::count()?) })
}

/// As [`nvmlDeviceGetCount_v2`].
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCount(count: *mut c_uint) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { nvmlDeviceGetCount_v2(count) }
}

/// A device by index.
///
/// # Safety
/// `device` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, device: *mut Device) -> u32 {
    // SAFETY: the caller's promise.
    export("nvmlDeviceGetHandleByIndex_v2", || unsafe {
        put(device, state::handle(index)?)
    })
}

/// As [`nvmlDeviceGetHandleByIndex_v2`].
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByIndex(index: c_uint, device: *mut Device) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { nvmlDeviceGetHandleByIndex_v2(index, device) }
}

/// A device by its UUID, with or without the prefix `GPU-`.
///
/// # Safety
/// `uuid` is null or a string; `device` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByUUID(uuid: *const c_char, device: *mut Device) -> u32 {
    export("nvmlDeviceGetHandleByUUID", || {
        // SAFETY: the caller's promise.
        let wanted = unsafe { text(uuid) }?;
        let handle = state::handle(0).map_err(|_| Status::NotFound)?;
        let own = state::snapshot(handle)?.uuid;
        if wanted.trim_start_matches("GPU-") != own.trim_start_matches("GPU-") {
            return Err(Status::NotFound);
        }
        // SAFETY: the caller's promise.
        unsafe { put(device, handle) }
    })
}

/// A device by its UUID in one of two forms: text (1) or sixteen bytes (2).
///
/// # Safety
/// `uuid` is null or points to such a structure; `device` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByUUIDV(uuid: *const Uuid, device: *mut Device) -> u32 {
    export("nvmlDeviceGetHandleByUUIDV", || {
        if uuid.is_null() {
            return Err(Status::InvalidArgument);
        }
        // SAFETY: not null, and the caller's promise.
        let uuid = unsafe { uuid.read_unaligned() };
        if uuid.version != UUID_V1 {
            return Err(Status::ArgumentVersionMismatch);
        }
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let wanted = match uuid.kind {
            1 => {
                let text = uuid.value.split(|b| *b == 0).next().unwrap_or_default();
                String::from_utf8_lossy(text)
                    .trim_start_matches("GPU-")
                    .replace('-', "")
            }
            2 => hex(&uuid.value[..16]),
            _ => return Err(Status::InvalidArgument),
        };
        let handle = state::handle(0).map_err(|_| Status::NotFound)?;
        let own = state::snapshot(handle)?.uuid;
        if wanted != own.trim_start_matches("GPU-").replace('-', "") {
            return Err(Status::NotFound);
        }
        // SAFETY: the caller's promise.
        unsafe { put(device, handle) }
    })
}

/// A device by PCI address: `00000000:06:00.0`, `0000:06:00.0` or `06:00.0`, in either case.
///
/// # Safety
/// `bus_id` is null or a string; `device` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByPciBusId_v2(bus_id: *const c_char, device: *mut Device) -> u32 {
    export("nvmlDeviceGetHandleByPciBusId_v2", || {
        // SAFETY: the caller's promise.
        let wanted = PciAddress::parse(unsafe { text(bus_id) }?).ok_or(Status::InvalidArgument)?;
        let handle = state::handle(0).map_err(|_| Status::NotFound)?;
        let own = PciAddress::parse(&state::snapshot(handle)?.pci_bus_id).ok_or(Status::Unknown)?;
        if wanted != own {
            return Err(Status::NotFound);
        }
        // SAFETY: the caller's promise.
        unsafe { put(device, handle) }
    })
}

/// As [`nvmlDeviceGetHandleByPciBusId_v2`].
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByPciBusId(bus_id: *const c_char, device: *mut Device) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { nvmlDeviceGetHandleByPciBusId_v2(bus_id, device) }
}

getters! {
    /// Name of the vGPU, `NVIDIA H100-20C`.
    nvmlDeviceGetName(name: *mut c_char, length: c_uint) = |s| put_text(name, length, &s.name);
    /// UUID with the prefix `GPU-`.
    nvmlDeviceGetUUID(uuid: *mut c_char, length: c_uint) = |s| put_text(uuid, length, &s.uuid);
    /// Index.
    nvmlDeviceGetIndex(index: *mut c_uint) = |_s| put(index, 0);
    /// Minor number of the device node: the index.
    nvmlDeviceGetMinorNumber(minor: *mut c_uint) = |_s| put(minor, 0);
    /// Brand: vGPU for Compute.
    nvmlDeviceGetBrand(brand: *mut c_uint) = |_s| put(brand, BRAND_VCS);
    /// `NVML_DEVICE_ARCH_*`
    nvmlDeviceGetArchitecture(architecture: *mut c_uint) = |s| put(architecture, architecture_of(s.compute_capability));
    /// Compute capability.
    nvmlDeviceGetCudaComputeCapability(major: *mut c_int, minor: *mut c_int) = |s| {
        put(major, c_int::try_from(s.compute_capability.0).map_err(|_| Status::Unknown)?)?;
        put(minor, c_int::try_from(s.compute_capability.1).map_err(|_| Status::Unknown)?)
    };
    /// Frame buffer of the vGPU.
    nvmlDeviceGetMemoryInfo(memory: *mut Memory) = |s| put(
        memory,
        Memory { total: s.memory_total, free: s.memory_total.saturating_sub(s.memory_used), used: s.memory_used },
    );
    /// Frame buffer of the vGPU; nothing of it is reserved.
    nvmlDeviceGetMemoryInfo_v2(memory: *mut MemoryV2) = |s| {
        if memory.is_null() {
            return Err(Status::InvalidArgument);
        }
        if (&raw const (*memory).version).read_unaligned() != MEMORY_V2 {
            return Err(Status::ArgumentVersionMismatch);
        }
        put(memory, MemoryV2 {
            version: MEMORY_V2,
            total: s.memory_total,
            reserved: 0,
            free: s.memory_total.saturating_sub(s.memory_used),
            used: s.memory_used,
        })
    };
    /// Engine and copy time of the last period, per cent of what the device could have done.
    nvmlDeviceGetUtilizationRates(rates: *mut Utilization) = |s| put(
        rates,
        Utilization { gpu: s.utilization_percent, memory: s.memory_utilization_percent },
    );
    /// CUDA cores: of all multiprocessors.
    nvmlDeviceGetNumGpuCores(cores: *mut c_uint) = |s| {
        put(cores, s.sm_count * cores_of(s.compute_capability).ok_or(Status::NotSupported)?)
    };
    /// Width of the memory's bus, bits.
    nvmlDeviceGetMemoryBusWidth(bits: *mut c_uint) = |s| {
        put(bits, s.attribute(MEMORY_BUS_WIDTH).ok_or(Status::NotSupported)?)
    };
    /// Highest clock of graphics (0), multiprocessors (1) or memory (2), MHz: of the board that is stood for.
    nvmlDeviceGetMaxClockInfo(which: c_uint, mhz: *mut c_uint) = |s| {
        let attribute = match which {
            0 | 1 => CLOCK_RATE,
            2 => MEMORY_CLOCK_RATE,
            3 => return Err(Status::NotSupported),
            _ => return Err(Status::InvalidArgument),
        };
        put(mhz, s.attribute(attribute).ok_or(Status::NotSupported)? / 1000)
    };
    /// Per-process accounting is off.
    nvmlDeviceGetAccountingMode(mode: *mut c_uint) = |_s| put(mode, 0);
    /// The worker keeps the vGPU initialised without clients: enabled.
    nvmlDeviceGetPersistenceMode(mode: *mut c_uint) = |_s| put(mode, 1);
    /// The software GPU always runs at its best: P0.
    nvmlDeviceGetPerformanceState(state: *mut c_uint) = |_s| put(state, 0);
    /// As [`nvmlDeviceGetPerformanceState`].
    nvmlDeviceGetPowerState(state: *mut c_uint) = |_s| put(state, 0);
    /// `NVML_COMPUTEMODE_DEFAULT`: any number of processes.
    nvmlDeviceGetComputeMode(mode: *mut c_uint) = |_s| put(mode, 0);
    /// No display is attached.
    nvmlDeviceGetDisplayMode(mode: *mut c_uint) = |_s| put(mode, 0);
    /// No display is active.
    nvmlDeviceGetDisplayActive(active: *mut c_uint) = |_s| put(active, 0);
    /// MIG mode, now and pending: off.
    nvmlDeviceGetMigMode(current: *mut c_uint, pending: *mut c_uint) = |_s| {
        put(current, 0)?;
        put(pending, 0)
    };
    /// No handle of this library is a MIG device.
    nvmlDeviceIsMigDeviceHandle(is_mig: *mut c_uint) = |_s| put(is_mig, 0);
    /// MIG devices that this device can have: none.
    nvmlDeviceGetMaxMigDeviceCount(count: *mut c_uint) = |_s| put(count, 0);
    /// Which side of virtualisation this is: a guest's vGPU.
    nvmlDeviceGetVirtualizationMode(mode: *mut c_uint) = |_s| put(mode, VIRTUALIZATION_MODE_VGPU);
    /// PCI address and ids.
    nvmlDeviceGetPciInfo_v3(info: *mut PciInfo) = |s| {
        let address = PciAddress::parse(&s.pci_bus_id).ok_or(Status::Unknown)?;
        put(info, PciInfo {
            bus_id_legacy: field(&address.short()),
            domain: address.domain,
            bus: address.bus,
            device: address.device,
            pci_device_id: UNKNOWN_PCI_ID,
            pci_sub_system_id: UNKNOWN_PCI_ID,
            bus_id: field(&address.long()),
        })
    };
    /// PCI address and ids, the older layout.
    nvmlDeviceGetPciInfo_v2(info: *mut PciInfoV2) = |s| {
        let address = PciAddress::parse(&s.pci_bus_id).ok_or(Status::Unknown)?;
        put(info, PciInfoV2 {
            bus_id: field(&address.short()),
            domain: address.domain,
            bus: address.bus,
            device: address.device,
            pci_device_id: UNKNOWN_PCI_ID,
            pci_sub_system_id: UNKNOWN_PCI_ID,
            reserved: [0; 4],
        })
    };
}

/// PCI address and ids, the oldest name of the older layout.
///
/// # Safety
/// As [`nvmlDeviceGetPciInfo_v2`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetPciInfo(device: Device, info: *mut PciInfoV2) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { nvmlDeviceGetPciInfo_v2(device, info) }
}

/// 32-bit arithmetic units of a multiprocessor.
///
/// Source: the table of arithmetic throughput in the CUDA programming guide, 32-bit floating-point additions per clock and
/// multiprocessor.
const fn cores_of((major, minor): (u32, u32)) -> Option<c_uint> {
    match (major, minor) {
        (7, _) | (8, 0) | (6, 0) => Some(64),
        (5 | 6 | 8..=12, _) => Some(128),
        _ => None,
    }
}

/// `NVML_DEVICE_ARCH_*` of a compute capability.
fn architecture_of((major, minor): (u32, u32)) -> c_uint {
    match (major, minor) {
        (3, _) => 2,
        (5, _) => 3,
        (6, _) => 4,
        (7, 5) => 6,
        (7, _) => 5,
        (8, 9) => 8,
        (8, _) => 7,
        (9, _) => 9,
        (10..=12, _) => 10,
        (13, _) => 13,
        _ => c_uint::MAX,
    }
}

/// A PCI address without its function, which is 0 for every GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PciAddress {
    domain: u32,
    bus: u32,
    device: u32,
}

impl PciAddress {
    fn parse(text: &str) -> Option<Self> {
        let hex = |t: &str| u32::from_str_radix(t, 16).ok();
        let text = text.strip_suffix(".0").unwrap_or(text);
        let mut parts = text.rsplit(':');
        let device = hex(parts.next()?)?;
        let bus = hex(parts.next()?)?;
        let domain = parts.next().map_or(Some(0), hex)?;
        (parts.next().is_none() && bus <= 0xff && device <= 0x1f).then_some(Self { domain, bus, device })
    }

    fn short(self) -> String {
        format!("{:04X}:{:02X}:{:02X}.0", self.domain, self.bus, self.device)
    }

    fn long(self) -> String {
        format!("{:08X}:{:02X}:{:02X}.0", self.domain, self.bus, self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_addresses_are_read_in_every_usual_form() {
        let wanted = Some(PciAddress {
            domain: 0,
            bus: 0xaf,
            device: 0,
        });
        for text in ["00000000:AF:00.0", "0000:af:00.0", "af:00.0", "AF:00"] {
            assert_eq!(PciAddress::parse(text), wanted, "{text}");
        }
        for text in ["", ":", "0:1:2:3", "100:00.0", "zz:00.0"] {
            assert_eq!(PciAddress::parse(text), None, "{text}");
        }
        assert_eq!(wanted.map(PciAddress::long).as_deref(), Some("00000000:AF:00.0"));
    }

    #[test]
    fn every_generation_has_its_architecture() {
        for (capability, architecture) in [
            ((7, 0), 5),
            ((7, 5), 6),
            ((8, 0), 7),
            ((8, 9), 8),
            ((9, 0), 9),
            ((12, 0), 10),
        ] {
            assert_eq!(architecture_of(capability), architecture);
        }
    }
}
