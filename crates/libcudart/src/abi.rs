//! Types of the C interface, as the public headers of the runtime API lay them out.

use crate::error::Error;
use std::ffi::{CStr, c_char, c_void};

/// `cudaStream_t`, `cudaEvent_t`, `cudaMemPool_t`, `cudaKernel_t`, ...: opaque handles, the driver's own.
pub(crate) type Handle = *mut c_void;

/// A device address.
pub(crate) type DevicePtr = u64;

/// What stream 0 means to a function.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum DefaultStream {
    /// The legacy default stream, which synchronises with all blocking streams.
    Legacy,
    /// The default stream of the calling thread (`_ptsz`, `_ptds`).
    PerThread,
}

/// `cudaStreamPerThread`.
const PER_THREAD: usize = 2;

impl DefaultStream {
    /// The handle for the driver.
    pub(crate) fn stream(self, stream: Handle) -> Handle {
        if stream.is_null() && self == DefaultStream::PerThread {
            std::ptr::without_provenance_mut(PER_THREAD)
        } else {
            stream
        }
    }
}

/// `dim3`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dim3 {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) z: u32,
}

/// An address that a C caller gave for a result, or for several in a row.
///
/// Invariant: only made by the C calling convention from an argument, or from a reference to a local. The contract of the C
/// interface is that it is null, or valid for writes of what the function returns.
#[repr(transparent)]
pub(crate) struct Out<T>(*mut T);

impl<T> Clone for Out<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Out<T> {}

impl<T> Out<T> {
    /// For results that the driver writes into a local.
    pub(crate) fn local(place: &mut T) -> Self {
        Out(place)
    }

    /// The address as it was given.
    pub(crate) fn as_ptr(self) -> *mut T {
        self.0
    }

    /// The same address for a result of another type.
    pub(crate) fn of<U>(self) -> Out<U> {
        Out(self.0.cast())
    }

    /// The address in an argument whose type depends on the version.
    pub(crate) fn at(word: Word) -> Self {
        Out(address(word))
    }

    /// The same address for reading what the program wrote there.
    pub(crate) fn input(self) -> In<T> {
        In(self.0)
    }

    /// The place of a member of what is written there.
    pub(crate) fn member<U>(self, offset: usize) -> Out<U> {
        Out(self.0.wrapping_byte_add(offset).cast())
    }

    /// `cudaErrorInvalidValue` where the address is null.
    pub(crate) fn required(self) -> Result<Self, Error> {
        if self.0.is_null() {
            Err(Error::INVALID_VALUE)
        } else {
            Ok(self)
        }
    }

    /// Writes the result.
    pub(crate) fn set(self, value: T) -> Result<(), Error> {
        let place = self.required()?;
        // SAFETY: not null, and then valid for writes by the invariant of this type; C callers may be careless of alignment.
        unsafe { place.0.write_unaligned(value) };
        Ok(())
    }

    /// Writes the result where one is wanted.
    pub(crate) fn set_if_wanted(self, value: T) {
        let _ = self.set(value);
    }
}

/// An address that a C caller gave for an argument.
///
/// Invariant: only made by the C calling convention. The contract of the C interface is that it is null, or valid for reads.
#[repr(transparent)]
pub(crate) struct In<T>(*const T);

impl<T> Clone for In<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for In<T> {}

impl<T: Copy> In<T> {
    /// Reads the argument.
    pub(crate) fn get(self) -> Result<T, Error> {
        if self.0.is_null() {
            return Err(Error::INVALID_VALUE);
        }
        // SAFETY: not null, and then valid for reads by the invariant of this type.
        Ok(unsafe { self.0.read_unaligned() })
    }
}

impl<T> In<T> {
    /// A member of what is read there; the address itself was found not to be null.
    pub(crate) fn member<U>(self, offset: usize) -> In<U> {
        In(self.0.wrapping_byte_add(offset).cast())
    }
}

impl In<c_char> {
    /// The text, if there is one.
    pub(crate) fn text(self) -> Option<&'static CStr> {
        if self.0.is_null() {
            return None;
        }
        // SAFETY: not null, and then a NUL-terminated string by the contract of the C interface; the callers copy it before they return.
        Some(unsafe { CStr::from_ptr(self.0) })
    }
}

/// `cudaLaunchConfig_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct LaunchConfig {
    pub(crate) grid: Dim3,
    pub(crate) block: Dim3,
    pub(crate) shared_bytes: usize,
    pub(crate) stream: Handle,
    pub(crate) attributes: *mut c_void,
    pub(crate) attribute_count: u32,
}

/// `cudaLaunchParams`: the launch of one of several devices.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct LaunchParams {
    pub(crate) function: *const c_void,
    pub(crate) grid: Dim3,
    pub(crate) block: Dim3,
    pub(crate) arguments: *mut *mut c_void,
    pub(crate) shared_bytes: usize,
    pub(crate) stream: Handle,
}

/// `CUDA_LAUNCH_PARAMS` of the driver API.
#[repr(C)]
pub(crate) struct DriverLaunchParams {
    pub(crate) function: Handle,
    pub(crate) grid: Dim3,
    pub(crate) block: Dim3,
    pub(crate) shared_bytes: u32,
    pub(crate) stream: Handle,
    pub(crate) arguments: *mut *mut c_void,
}

/// `CUlaunchConfig` of the driver API.
#[repr(C)]
pub(crate) struct DriverLaunchConfig {
    pub(crate) grid: Dim3,
    pub(crate) block: Dim3,
    pub(crate) shared_bytes: u32,
    pub(crate) stream: Handle,
    pub(crate) attributes: *mut c_void,
    pub(crate) attribute_count: u32,
}

/// `CUDA_MEMCPY2D` of the driver API.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Memcpy2d {
    pub(crate) source_x: usize,
    pub(crate) source_y: usize,
    pub(crate) source_type: u32,
    pub(crate) source_host: *const c_void,
    pub(crate) source_device: DevicePtr,
    pub(crate) source_array: Handle,
    pub(crate) source_pitch: usize,
    pub(crate) destination_x: usize,
    pub(crate) destination_y: usize,
    pub(crate) destination_type: u32,
    pub(crate) destination_host: *mut c_void,
    pub(crate) destination_device: DevicePtr,
    pub(crate) destination_array: Handle,
    pub(crate) destination_pitch: usize,
    pub(crate) width_bytes: usize,
    pub(crate) height: usize,
}

/// `cudaMemLocation`, laid out and numbered as the driver's.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Location {
    pub(crate) kind: i32,
    pub(crate) id: i32,
}

/// `cudaGraphEdgeData`, laid out as the driver's.
pub(crate) type EdgeData = [u8; 8];

/// `cudaLaunchAttributeValue`.
pub(crate) type AttributeValue = [u64; 8];

/// `CUDA_KERNEL_NODE_PARAMS` of the driver API; what comes before `kernel` is `cudaKernelNodeParams`, with the stub as its function.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct DriverKernelNode {
    pub(crate) first: KernelNode,
    pub(crate) kernel: Handle,
    pub(crate) context: Handle,
}

/// `cudaKernelNodeParams`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct KernelNode {
    pub(crate) function: Handle,
    pub(crate) grid: Dim3,
    pub(crate) block: Dim3,
    pub(crate) shared_bytes: u32,
    pub(crate) arguments: *mut *mut c_void,
    pub(crate) extra: *mut *mut c_void,
}

impl Default for DriverKernelNode {
    fn default() -> Self {
        let zero = Dim3 { x: 0, y: 0, z: 0 };
        Self {
            first: KernelNode {
                function: std::ptr::null_mut(),
                grid: zero,
                block: zero,
                shared_bytes: 0,
                arguments: std::ptr::null_mut(),
                extra: std::ptr::null_mut(),
            },
            kernel: std::ptr::null_mut(),
            context: std::ptr::null_mut(),
        }
    }
}

const _: () = assert!(size_of::<KernelNode>() == 56 && size_of::<DriverKernelNode>() == 72);

/// `cudaFuncAttributes`; 12 and 13 differ only in what they call reserved.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct FuncAttributes {
    pub(crate) shared_bytes: usize,
    pub(crate) const_bytes: usize,
    pub(crate) local_bytes: usize,
    pub(crate) max_threads_per_block: i32,
    pub(crate) registers: i32,
    pub(crate) ptx_version: i32,
    pub(crate) binary_version: i32,
    pub(crate) cache_mode_ca: i32,
    pub(crate) max_dynamic_shared_bytes: i32,
    pub(crate) preferred_shared_carveout: i32,
    pub(crate) cluster_dim_must_be_set: i32,
    pub(crate) required_cluster_width: i32,
    pub(crate) required_cluster_height: i32,
    pub(crate) required_cluster_depth: i32,
    pub(crate) cluster_scheduling_policy: i32,
    pub(crate) non_portable_cluster_allowed: i32,
    pub(crate) reserved: [i32; 16],
}

const _: () = assert!(size_of::<FuncAttributes>() == 144);
const _: () = assert!(size_of::<LaunchConfig>() == 56);
const _: () = assert!(size_of::<DriverLaunchConfig>() == 56);
const _: () = assert!(size_of::<LaunchParams>() == 56 && size_of::<DriverLaunchParams>() == 56);
const _: () = assert!(size_of::<Memcpy2d>() == 128);

/// The address of a device allocation from the pointer that a program holds.
pub(crate) fn device_address(pointer: *const c_void) -> DevicePtr {
    pointer.addr() as u64
}

/// An argument whose type depends on the version of the runtime API: what the register holds.
pub(crate) type Word = usize;

/// Such an argument as an address.
pub(crate) fn address<T>(word: Word) -> *mut T {
    std::ptr::with_exposed_provenance_mut(word)
}

/// Such an argument as a number of 32 bits; what lies above it in the register means nothing.
pub(crate) fn low(word: Word) -> i32 {
    let [a, b, c, d, ..] = word.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}

/// The pointer that programs hold for a device address.
pub(crate) fn pointer(address: DevicePtr) -> Result<*mut c_void, Error> {
    let address = usize::try_from(address).map_err(|_| Error::UNKNOWN)?;
    Ok(std::ptr::with_exposed_provenance_mut(address))
}
